"""Consensus on a network that loses, repeats and reorders, with members that crash at any moment.

The network is a bag of messages and a disk is a hard state with a list of entries: nothing of the
rest of kvraft is needed.  What must always hold (Raft Figure 3, and what the storage engine relies
on) is checked after every single step.
"""

from itertools import pairwise
from random import Random

import pytest

from kvraft.events import RoleChanged, Superseded
from kvraft.log import Log
from kvraft.membership import Configuration
from kvraft.messages import RequestVoteReply
from kvraft.raft import Options, Raft, Role
from kvraft.record import ORIGIN, HardState, Kind, Position, Record, TxnId

OPTIONS = Options(election_ticks=6, heartbeat_ticks=2, max_batch_bytes=150)


class Member:
    """A consensus module on a disk, driven as its contract says."""

    def __init__(self, name, names, seed):
        self.name, self.configuration, self.random = name, Configuration(names), Random(seed)
        self.hard_state = HardState()
        self.base, self.entries = ORIGIN, []  # the log on disk
        self.flushed = 0  # committed entries through here are never asked for again
        self.start()

    def start(self):
        """Begin anew from what is on disk: after a crash, too."""
        self.events = []
        self.ready = None
        self.applied = self.flushed
        self.raft = Raft(
            self.name,
            self.configuration,
            Log(self.base, list(self.entries)),
            self.hard_state,
            random=self.random,
            options=OPTIONS,
            committed=self.flushed,
            report=self.events.append,
        )

    def persist(self, ready):
        """Write what a Ready asks for; entries supersede by index."""
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        if ready.entries:
            del self.entries[ready.entries[0].index - self.base.index - 1 :]
            self.entries += ready.entries

    def cut(self):
        """Flush all that is applied, then drop what every member holds from disk and memory."""
        self.flushed = self.applied
        floor = min(self.flushed, self.raft.replicated)
        if floor > self.base.index:
            term = self.entries[floor - self.base.index - 1].term
            del self.entries[: floor - self.base.index]
            self.base = Position(floor, term)
            self.raft.compact(floor)

    def holds(self, index, term):
        """Whether the entry is on disk, or was, and was cut because every member held it."""
        if index <= self.base.index:
            return True
        at = index - self.base.index - 1
        return at < len(self.entries) and self.entries[at].term == term


class Network:
    """The members, the messages in flight, and everything that was ever seen."""

    def __init__(self, size, seed):
        names = tuple(f"n{n}" for n in range(1, size + 1))
        self.random = Random(seed)
        self.members = [Member(name, names, f"{seed}/{name}") for name in names]
        self.in_flight = []
        self.apart = frozenset()  # a partition: members that talk to each other only
        self.proposed = 0
        self.next_read = 0
        self.reads = {}  # token → who was asked, what was committed then
        self.leader_of = {}  # term → member
        self.votes = {}  # term, voter → candidate
        self.seen = {}  # index, term → the entry and its predecessor's term
        self.committed = {}  # index → entry
        self.committed_in = {}  # index → the term in which it became committed
        self.floors = {}  # member → term, vote, incarnation, commit index
        self.superseded = 0

    # What can happen.  Each step touches one member and returns it.

    def step(self):
        """Let one thing happen, then check that all is well."""
        kind = self.random.choices(
            ("deliver", "tick", "begin", "end", "propose", "read", "cut", "crash", "part"),
            (50, 12, 25, 25, 6, 3, 2, 0.5, 0.8),
        )[0]
        member = getattr(self, f"do_{kind}")(self.random.choice(self.members))
        self.check(member)

    def do_deliver(self, member):
        """A message arrives, any of those in flight; or it is lost, or it will arrive again."""
        if not self.in_flight:
            return member
        at = self.random.randrange(len(self.in_flight))
        message = self.in_flight[at]
        if (message.sender in self.apart) != (message.to in self.apart):
            return member  # it waits until the partition is healed
        fate = self.random.random()
        if fate > 0.1 or len(self.in_flight) > 300:
            self.in_flight[at] = self.in_flight[-1]
            self.in_flight.pop()
        if fate < 0.9:
            member = self.member(message.to)
            member.raft.step(message)
        return member

    def do_part(self, member):
        """Cut some members off from the others, or nobody."""
        size = self.random.randrange(len(self.members) // 2 + 1)
        self.apart = {m.name for m in self.random.sample(self.members, size)}
        return member

    def do_tick(self, member):
        member.raft.tick()
        return member

    def do_begin(self, member):
        """The first half of the contract: take a Ready and make it durable."""
        if member.ready is None and member.raft.has_ready():
            member.ready = member.raft.ready()
            member.persist(member.ready)
        return member

    def do_end(self, member):
        """The second half: send, apply, advance.  Anything may have happened since the first."""
        ready, member.ready = member.ready, None
        if ready is not None:
            for message in ready.messages:
                self.send(message)
            for entry in ready.committed:
                assert entry.index == member.applied + 1
                assert self.committed[entry.index] == entry, "state machine safety"
                member.applied = entry.index
            for token, index in ready.reads:
                assert index >= self.reads.pop(token)[1], "a read missed what was committed before"
            for token in ready.failed_reads:
                del self.reads[token]
            member.raft.advance()
        return member

    def do_propose(self, member):
        if member.raft.role is Role.LEADER:
            self.proposed += 1
            size = self.random.randint(1, 3)
            key = b"%d" % self.proposed
            txn = TxnId("c", self.proposed)
            records = [Record(Kind.PUT, key, b"x" * n, 0, txn) for n in range(size)]
            first, last = member.raft.propose(records)
            assert last == first + size - 1 == member.raft.log.last_index
        return member

    def do_read(self, member):
        if member.raft.role is Role.LEADER:
            self.next_read += 1
            self.reads[self.next_read] = member, len(self.committed)
            member.raft.read_index(self.next_read)
        return member

    def do_cut(self, member):
        if member.ready is None:
            member.cut()
        return member

    def do_crash(self, member):
        """Memory is lost; so is what a Ready made durable but did not send yet."""
        self.reads = {token: read for token, read in self.reads.items() if read[0] is not member}
        member.start()
        return member

    def send(self, message):
        assert message.term <= self.member(message.sender).hard_state.term, "term not durable"
        if isinstance(message, RequestVoteReply) and message.granted:
            vote = self.votes.setdefault((message.term, message.sender), message.to)
            assert vote == message.to, "two votes in one term"
        self.in_flight.append(message)

    def member(self, name):
        return next(m for m in self.members if m.name == name)

    # What must hold.

    def check(self, member):
        """Check all that the last step, which touched ``member``, can have changed."""
        raft = member.raft
        self.check_nothing_goes_back(member)
        self.check_log(raft.log)
        self.check_committed(member)
        if raft.role is Role.LEADER:
            self.check_leader(raft)
        self.superseded += sum(isinstance(event, Superseded) for event in member.events)
        changes = [event for event in member.events if isinstance(event, RoleChanged)]
        assert all(a != b for a, b in pairwise(changes)), "reported twice"
        member.events[:] = changes[-1:]

    def check_nothing_goes_back(self, member):
        term, vote = member.hard_state
        raft = member.raft
        last = self.floors.get(member.name, (0, None, raft, 0))
        assert term >= last[0], "term went back"
        assert term > last[0] or last[1] in (None, vote), "vote changed within a term"
        assert raft.commit_index >= last[3] or raft is not last[2], "commit index went back"
        self.floors[member.name] = (term, vote, raft, raft.commit_index)

    def check_log(self, log):
        """Log matching: index and term name an entry and, by induction, all that precede it."""
        before = log.base.term
        for entry in log.slice(log.first_index):
            known = self.seen.setdefault((entry.index, entry.term), (entry, before))
            assert known == (entry, before), "log matching"
            before = entry.term

    def check_committed(self, member):
        """What is committed is on a majority of disks, and is the same for ever."""
        log, raft = member.raft.log, member.raft
        for index in range(len(self.committed) + 1, raft.commit_index + 1):
            (entry,) = log.slice(index, index)
            holders = sum(m.holds(index, entry.term) for m in self.members)
            assert holders >= raft.configuration.quorum, "committed on less than a majority"
            self.committed[index], self.committed_in[index] = entry, raft.term
        for entry in log.slice(log.first_index, raft.commit_index):
            assert self.committed[entry.index] == entry, "state machine safety"
        through = raft.replicated
        assert all(
            through <= m.base.index or m.holds(through, self.committed_term(through, raft))
            for m in self.members
        ), "not on every member's disk"

    def committed_term(self, index, raft):
        if index in self.committed:
            return self.committed[index].term
        return raft.log.term(index)

    def check_leader(self, raft):
        assert self.leader_of.setdefault(raft.term, raft.member) == raft.member, "election safety"
        for index, term in self.committed_in.items():
            if term < raft.term and index > raft.log.base.index:
                held = index <= raft.log.last_index
                assert held, "leader completeness"
                assert raft.log.term(index) == self.committed[index].term, "leader completeness"
        for following, matching in raft.status().progress.values():
            assert following > matching

    # And in the end, all is well again.

    def heal(self):
        """Deliver everything, in order, until all members agree; at most so many rounds."""
        self.in_flight, self.apart = [], frozenset()
        for _ in range(300):
            for member in self.members:
                self.check(self.do_tick(member))
            self.settle()
            leaders = [m.raft for m in self.members if m.raft.role is Role.LEADER]
            ends = {(m.raft.commit_index, m.raft.log.last_index) for m in self.members}
            if len(leaders) == 1 and len(ends) == 1 and len(set(*ends)) == 1:
                return leaders[0]
        raise AssertionError("the members do not come to agree")

    def settle(self):
        """Let all finish what can be finished without time passing."""
        for _ in range(2000):
            busy = [m for m in self.members if m.ready is not None or m.raft.has_ready()]
            if not busy and not self.in_flight:
                return
            for member in busy:
                self.check(self.do_begin(member))
                self.check(self.do_end(member))
            flying, self.in_flight = self.in_flight, []
            for message in flying:
                self.member(message.to).raft.step(message)
                self.check(self.member(message.to))
        raise AssertionError("messages without end")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [3, 5])
def test_safe_after_every_step_and_live_once_the_network_is_whole(size, seed):
    network = Network(size, seed)
    for _ in range(8000):
        network.step()
    leader = network.heal()
    network.do_propose(network.member(leader.member))
    network.do_read(network.member(leader.member))
    last = leader.log.last_index
    network.heal()
    assert network.committed[last].record.txn.sequence == network.proposed
    assert all(m.applied == leader.log.last_index for m in network.members)
    assert not network.reads, "a read was neither answered nor refused"


def test_the_same_seed_is_the_same_history_and_it_meets_what_it_is_for():
    one, two = Network(3, 5), Network(3, 5)
    for _ in range(8000):
        one.step()
        two.step()
        assert one.in_flight == two.in_flight
    assert one.committed == two.committed
    assert len(one.committed) > 20
    assert len(one.leader_of) > 5, "leaders must change"
    assert one.superseded > 0, "logs must conflict"
    assert one.members[0].base.index > 0, "logs must be cut"
