"""One member by hand: what it answers, remembers over crashes and keeps of its log; and its reads.

The other members are played by the test, so that it can lose, hold back and contradict at will.
"""

from collections import namedtuple
from contextlib import nullcontext
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from zlib import crc32

import pytest

from kvraft.check import MarksChecker, Violation
from kvraft.errors import Stopped
from kvraft.events import (
    MemtableFrozen,
    SegmentDropped,
    TransactionDiscarded,
    TransactionRepeated,
    TruncationDecided,
)
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    InstallSnapshot,
    Log,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
    Role,
)
from kvraft.record import NOOP, Entry, HardState, Kind, Position, Record, TxnId
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import SimDisk, World
from kvraft.transaction import (
    SESSION_WINDOW,
    Read,
    ReadReply,
    Redirect,
    Register,
    Stage,
    Submit,
    WriteReply,
    build_transaction,
)
from tests.client.test_client import Hand

SMALL = ReplicaOptions(memtable_bytes=1_500, segment_bytes=900, log_bytes=4_000)


class Member:
    """Member n1 on a simulated disk; n2 and n3, if there are any, are the test itself."""

    def __init__(self, voters=1, options=SMALL):
        self.disk = SimDisk()
        self.events = []
        self.replies = []
        self.messages = []
        self.attempt = 0
        self._voters = tuple(f"n{i + 1}" for i in range(voters))
        self._options = options
        self._starts = 0
        self.start()

    def start(self):
        self._starts += 1
        self.replica = Replica(
            "n1",
            Configuration(self._voters),
            self.disk,
            random=Random(self._starts),
            incarnation=self._starts,
            options=self._options,
            new=self._starts == 1,
            report=self.events.append,
        )

    def crash(self, random):
        self.disk.crash(random)
        self.start()

    @property
    def raft(self):
        return self.replica.raft

    def drain(self, *, work=True):
        """Return the replies of one drain, with the flushes behind it all done."""
        drained = self.replica.drain()
        self.messages += drained.early + drained.messages
        self.replies += drained.replies
        while work and self.replica.has_work:
            self.replica.work()
        return list(drained.replies)

    def elect(self):
        """Let it win an election; n2 votes for it."""
        while self.raft.role is Role.FOLLOWER:
            self.replica.tick()
        self.drain()
        if self.raft.role is Role.PRE_CANDIDATE:
            self.replica.receive(PreVoteReply("n2", "n1", self.raft.term + 1, True))
            self.drain()
        if self.raft.role is not Role.LEADER:
            self.replica.receive(RequestVoteReply("n2", "n1", self.raft.term, True))
            self.drain()
        assert self.raft.role is Role.LEADER

    def acknowledge(self, *peers, through=None):
        """The peers say that they hold all of the log, or what is through an index."""
        last = self.raft.log.last_index if through is None else through
        for peer in peers:
            reply = AppendEntriesReply(peer, "n1", self.raft.term, True, last, last, round=1)
            self.replica.receive(reply)
        return self.drain()

    def append(self, sender, term, after, *records, commit=0, replicated=0):
        """A leader of ``term`` sends records that follow the entry at ``after``."""
        entries = tuple(Entry(term, after + n, r) for n, r in enumerate(records, 1))
        prev = (after, self.raft.log.term(after))
        self.replica.receive(
            AppendEntries(sender, "n1", term, *prev, entries, commit, replicated, 1)
        )
        return self.drain()

    def submit(self, client, sequence, writes, stamp=1):
        self.attempt += 1
        transaction = build_transaction(TxnId(client, 1, sequence), writes, stamp)
        self.replica.submit(Submit(client, "n1", transaction, self.attempt))

    def register(self, client, number):
        self.attempt += 1
        self.replica.register(Register(client, "n1", number, self.attempt))

    def write(self, client, sequence, writes, stamp=1):
        """Carry out a transaction, on a cluster of one: return its answers."""
        self.submit(client, sequence, writes, stamp)
        return [a for a in self.drain() if isinstance(a, WriteReply)]


def stages(replies):
    return [(str(reply.txn), reply.stage) for reply in replies if isinstance(reply, WriteReply)]


def records(client, sequence, *keys, stamp):
    return build_transaction(
        TxnId(client, 1, sequence), [(key, b"v") for key in keys], stamp
    ).records


# ── what a client is told ───────────────────────────────────────────────────────────────────────


def test_applied_is_said_when_a_majority_has_the_commit_mark_and_not_before():
    member = Member(voters=3)
    member.elect()
    member.acknowledge("n2")
    member.submit("c", 1, {b"a": b"1", b"b": b"2"})
    assert stages(member.drain()) == [("c.1#1", Stage.APPENDED)]
    assert stages(member.acknowledge("n2", through=2)) == []  # one of its two records
    assert member.replica.tree.get(b"a") is None
    assert member.replica.marks.applied == 1 < member.replica.marks.committed == 2
    assert stages(member.acknowledge("n2")) == [("c.1#1", Stage.APPLIED)]
    assert member.replica.tree.get(b"a") == b"1"


def test_all_attempts_that_made_one_copy_are_told_that_it_is_dead():
    member = Member(voters=3)
    member.elect()
    for _ in range(3):
        member.submit("c", 1, {b"k": b"v"})
    assert member.replica.marks.last == 1  # nothing is durable before the drain
    member.drain()
    assert member.replica.marks.last == 2  # one copy
    (answer,) = [
        reply
        for reply in member.append("n2", 7, 1, NOOP, commit=2)
        if isinstance(reply, WriteReply) and reply.stage is Stage.DISCARDED
    ]
    assert answer.attempts == (1, 2, 3)


def test_a_torn_transaction_is_told_to_be_discarded_and_another_copy_is_not():
    """A leader of term 2 holds the first record only.  n1 leads again and gets the retry."""
    member = Member(voters=3)
    member.elect()
    term = member.raft.term
    member.submit("c", 1, {b"a": b"1", b"b": b"2"})
    member.drain()
    assert stages(member.append("n2", term + 1, 2, NOOP, commit=3)) == [("c.1#1", Stage.DISCARDED)]
    member.elect()
    member.submit("c", 1, {b"a": b"1", b"b": b"2"})
    member.drain()
    assert stages(member.acknowledge("n2")) == [("c.1#1", Stage.APPLIED)]


def test_the_end_of_another_leaders_copy_says_nothing_of_the_own_one():
    """n2 left the first record of a transaction; n1, now leader, has its own copy of it."""
    member = Member(voters=3)
    torn, _ = records("c", 1, b"a", b"b", stamp=9)
    member.append("n2", 1, 0, NOOP, torn)
    member.elect()
    member.submit("c", 1, {b"a": b"v", b"b": b"v"}, stamp=9)
    member.drain()
    assert stages(member.acknowledge("n2")) == [("c.1#1", Stage.APPLIED)]
    assert [(e.first, e.last) for e in member.events if isinstance(e, TransactionDiscarded)] == [
        (2, 2)
    ]


def test_a_vote_is_remembered_over_a_crash_although_no_entry_came_with_it():
    member = Member(voters=3)
    member.replica.receive(RequestVote("n2", "n1", 5, 0, 0))
    member.drain()
    member.crash(Random(1))
    member.replica.receive(RequestVote("n3", "n1", 5, 0, 0))
    member.drain()
    votes = [message for message in member.messages if isinstance(message, RequestVoteReply)]
    assert [(vote.to, vote.granted) for vote in votes] == [("n2", True), ("n3", False)]


def test_a_deposed_leader_redirects_what_it_still_waits_for():
    member = Member(voters=3)
    member.elect()
    member.submit("c", 1, {b"k": b"v"})
    member.drain()
    (redirect,) = member.append("n2", 7, 1)
    assert redirect == Redirect("n1", "c", TxnId("c", 1, 1), 1, "n2", may_still_apply=True)
    member.submit("c", 1, {b"k": b"v"})
    (redirect,) = member.drain()
    assert redirect == Redirect("n1", "c", TxnId("c", 1, 1), 2, "n2")


def superseded_and_led_again():
    """n1 leads, is superseded, and leads again before it heard what became of its entries.

    Its new entries stand in the places of its old ones, which are neither committed nor dead.
    """
    member = Member(voters=3)
    member.elect()
    member.acknowledge("n2", "n3")
    for name in ("x", "y", "z"):  # indexes 2, 3 and 4
        member.submit(name, 1, {name.encode(): b"1"})
    member.drain()
    member.append("n2", member.raft.term + 1, 1, NOOP, commit=1)
    assert member.raft.log.last_index == 2
    member.elect()  # its no-op is 3
    return member


def test_two_transactions_that_wait_for_one_place_in_the_log_both_get_their_answer():
    member = superseded_and_led_again()
    member.submit("new", 1, {b"new": b"1"})
    member.drain()
    assert member.raft.log.last_index == 4
    said = member.acknowledge("n2")
    assert sorted(stages(said)) == [
        ("new.1#1", Stage.APPLIED),
        *((f"{name}.1#1", Stage.DISCARDED) for name in ("x", "y", "z")),
    ]
    member.submit("z", 1, {b"z": b"1"})
    member.drain()
    assert stages(member.acknowledge("n2")) == [("z.1#1", Stage.APPLIED)]


def test_a_retry_is_appended_when_the_first_copy_is_in_the_log_no_more():
    member = superseded_and_led_again()
    member.submit("z", 1, {b"z": b"1"})
    assert stages(member.drain()) == [("z.1#1", Stage.APPENDED)]
    assert ("z.1#1", Stage.APPLIED) in stages(member.acknowledge("n2"))
    member.submit("other", 1, {b"k": b"1"})
    member.drain()
    assert stages(member.acknowledge("n2")) == [("other.1#1", Stage.APPLIED)]


def test_what_fell_out_of_the_session_is_refused_and_changes_nothing():
    member = Member()
    member.elect()
    member.write("c", 1, {b"k": b"old"})
    member.write("c", 1 + SESSION_WINDOW, {b"k": b"new"})
    last = member.replica.marks.last
    (answer,) = member.write("c", 1, {b"k": b"old"})
    assert answer.stage is Stage.UNKNOWN
    assert "too old" in answer.reason
    assert member.replica.marks.last == last


def test_a_copy_in_the_log_that_fell_out_of_the_session_is_not_applied_nor_said_to_be():
    """A new leader does not know yet that the session has moved on, so it appends the copy."""
    member = Member(voters=3)
    newer = records("c", 1 + SESSION_WINDOW, b"k", stamp=50)
    member.append("n2", 1, 0, NOOP, *newer, commit=0)
    member.elect()
    member.submit("c", 1, {b"k": b"old"})  # never applied, and given up long ago
    member.drain()
    said = member.acknowledge("n2")
    assert stages(said) == [("c.1#1", Stage.UNKNOWN)]
    assert member.replica.tree.get(b"k") == b"v"
    assert [e for e in member.events if isinstance(e, TransactionRepeated)]


def test_the_newest_session_row_is_the_one_that_a_restart_finds():
    member = Member()
    member.elect()
    for sequence in range(1, 20):
        member.write("c", sequence, {b"k": b"%d" % sequence})
    replica = member.replica
    replica.tree.freeze()
    while replica.has_work:
        replica.work()
    member.crash(Random(1))
    member.elect()
    last = member.replica.marks.last
    for sequence in range(1, 20):
        (answer,) = member.write("c", sequence, {b"k": b"%d" % sequence})
        assert answer.stage is Stage.APPLIED
    assert member.replica.marks.last == last
    assert member.replica.tree.get(b"k") == b"19"


def test_a_member_whose_disk_failed_does_nothing_any_more(monkeypatch):
    member = Member(options=ReplicaOptions(memtable_bytes=1))
    member.elect()
    member.submit("c", 1, {b"k": b"v"})
    member.drain(work=False)
    assert member.replica.has_work
    member.submit("c", 2, {b"k": b"w"})

    def fail(name):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(member.disk, "sync", fail)
    with pytest.raises(Stopped, match="n1 stopped: its disk failed"):
        member.replica.drain()
    monkeypatch.undo()
    with pytest.raises(Stopped, match="n1 stopped: its disk failed"):
        member.replica.drain()  # though there is nothing left that it would write
    assert not member.replica.has_work


def broken(*kinds):
    """A member with one key in a table and part of a snapshot, whose disk fails from now on."""
    member = Member(voters=3, options=replace(SMALL, memtable_bytes=1))
    member.append("n2", 1, 0, *records("c", 1, b"k", stamp=1), commit=1)
    part, voters = b"x" * 9, Configuration(("n1", "n2", "n3"))
    chunk = InstallSnapshot("n2", "n1", 1, 9, 1, voters, 99, 0, part, crc32(part))
    member.replica.receive(chunk)
    member.drain()
    assert "snapshot.part" in member.disk.names()
    member.disk.break_at(1, kinds=kinds, stays=True)
    return member


def test_a_disk_that_fails_where_a_snapshot_is_given_up_stops_the_member():
    member = broken("remove")
    with pytest.raises(Stopped, match=r"snapshot\.part"):
        member.append("n3", 7, 1)  # another leader: what came of the snapshot is of no use


def test_a_disk_that_fails_under_a_stale_read_stops_the_member():
    member = broken("read")
    read = Read("c", "n1", 1, 1, b"k", follower_read=True, stale=True)
    with pytest.raises(Stopped, match="disk failed"):
        member.replica.read(read)
    with pytest.raises(Stopped):
        member.drain()


def test_a_client_whose_first_copy_is_dead_waits_for_the_second():
    """It neither sends a third at once nor says ABORTED when it gives up."""
    hand = Hand()
    ticket = hand.client.submit({b"k": b"v"}, timeout=400)
    hand.pass_time(300)
    first, second = hand.sent
    hand.answer(first, Stage.DISCARDED)
    assert hand.sent == [first, second]
    hand.now += 200
    hand.client.tick()
    assert ticket.stage is Stage.UNKNOWN


# ── stamps ──────────────────────────────────────────────────────────────────────────────────────


def stamps(member):
    """The stamps in its log, one a transaction."""
    entries = member.raft.log.slice(member.raft.log.first_index)
    return [e.record.timestamp for e in entries if e.record.kind is not Kind.NOOP]


@pytest.mark.parametrize("seed", range(6))
def test_stamps_rise_however_often_a_member_restarts_and_whatever_the_clocks_say(seed):
    random = Random(seed)
    member = Member()
    member.elect()
    given, kept, sequence = [], {}, 0
    for _ in range(120):
        if random.random() < 0.15:
            member.crash(random)
            member.elect()
        for _ in range(random.randint(1, 3)):
            sequence += 1
            key, stamp = b"%d" % random.randrange(5), random.randrange(1 << 37)
            member.submit("c", sequence, {key: b"%d" % sequence}, stamp)
            kept[key] = b"%d" % sequence
        answers = [a for a in member.drain() if a.stage is Stage.APPENDED]
        given += [answer.timestamp for answer in answers]
    assert len(given) == sequence
    assert given == sorted(set(given))
    assert {key: member.replica.tree.get(key) for key in kept} == kept
    assert [e for e in member.events if isinstance(e, SegmentDropped)]


def test_stamps_rise_when_only_the_tables_remember_the_highest():
    member = Member(options=ReplicaOptions(memtable_bytes=1, segment_bytes=200))
    member.elect()
    member.write("c", 1, {b"k": b"old"}, stamp=1 << 37)
    while stamps(member):
        member.crash(Random(1))
        member.elect()
        member.replica.tree.freeze()
        member.drain()
    (appended, applied) = member.write("c", 2, {b"k": b"new"}, stamp=5)
    assert appended.timestamp == applied.timestamp == (1 << 37) + 1
    assert member.replica.tree.get(b"k") == b"new"


def test_a_follower_that_comes_to_lead_goes_on_above_the_stamps_of_its_leaders():
    member = Member(voters=3)
    member.append("n2", 1, 0, NOOP, *records("c", 1, b"a", b"b", stamp=1 << 37))
    member.elect()
    member.submit("d", 1, {b"a": b"new"}, stamp=5)
    (answer,) = member.drain()
    assert answer.timestamp == (1 << 37) + 1


# ── the log, and who holds on to it ─────────────────────────────────────────────────────────────


def sealed(member):
    return sum(segment.size for segment in member.replica.wal.segments if segment.sealed)


def test_the_log_stays_short_although_the_memtable_never_fills():
    """One key written again and again: small in memory, long in the log."""
    member = Member(
        options=ReplicaOptions(memtable_bytes=1 << 20, segment_bytes=900, log_bytes=4_000)
    )
    member.elect()
    longest = 0
    for sequence in range(1, 150):
        member.write("c", sequence, {b"k": b"v" * 50})
        longest = max(longest, sealed(member))
    assert 3_000 < longest <= 4_000 + 2 * 900


def test_a_long_log_freezes_one_memtable_and_waits_for_it():
    member = Member(
        options=ReplicaOptions(memtable_bytes=1 << 20, segment_bytes=900, log_bytes=4_000)
    )
    member.elect()
    for sequence in range(1, 100):
        member.submit("c", sequence, {b"k": b"v" * 50})
        member.drain(work=False)
    assert sealed(member) > 8_000
    assert member.replica.tree.immutable_memtables == 1


def test_a_log_held_for_a_member_that_is_away_does_not_hurry_the_memtable():
    """Else every write behind its back would be a table of its own."""
    member = Member(
        voters=3, options=ReplicaOptions(memtable_bytes=1_500, segment_bytes=900, log_bytes=4_000)
    )
    member.elect()
    for sequence in range(1, 150):  # n3 acknowledges nothing
        member.submit("c", sequence, {b"k%d" % sequence: b"v" * 50})
        member.drain()
        member.acknowledge("n2")
        member.drain()
    assert sealed(member) > 3 * 4_000
    frozen = [event for event in member.events if isinstance(event, MemtableFrozen)]
    assert len(frozen) > 5
    assert min(event.size for event in frozen) >= 1_500


def test_a_member_that_applies_much_at_once_still_freezes_by_size():
    """As when it starts again and learns how far its log is committed."""
    member = Member(options=ReplicaOptions(memtable_bytes=1 << 20))
    member.elect()
    for sequence in range(1, 150):
        member.submit("c", sequence, {b"k%d" % sequence: b"v" * 50})
        member.drain()
    member._options = ReplicaOptions(memtable_bytes=1_500)
    member.events.clear()
    member.start()
    member.elect()
    frozen = [event.size for event in member.events if isinstance(event, MemtableFrozen)]
    assert len(frozen) > 5
    assert max(frozen) < 1_500 + 80 + 1_340  # a write, and the client's session, which is full
    assert {sequence: member.replica.tree.get(b"k%d" % sequence) for sequence in (1, 149)} == {
        1: b"v" * 50,
        149: b"v" * 50,
    }


def test_no_ops_alone_do_not_pin_the_log():
    member = Member(options=ReplicaOptions(segment_bytes=200, log_bytes=600))
    for _ in range(30):
        member.crash(Random(1))
        member.elect()
    assert member.replica.marks.first > 15
    assert len(member.replica.wal.segments) < 12


def test_the_log_is_cut_exactly_below_what_tree_and_followers_need():
    """Each segment is cut when the last entry of it is on all members, and not one entry before."""
    member = Member(voters=3, options=ReplicaOptions(memtable_bytes=1, segment_bytes=1))
    member.elect()
    for sequence in range(1, 8):
        member.submit("c", sequence, {b"k": b"v"})
        member.drain()
        member.acknowledge("n2")
    marks = member.replica.marks
    assert (marks.first, marks.flushed, marks.last) == (1, 8, 8)
    for through in range(1, 9):
        member.acknowledge("n3", through=through)
        assert member.replica.marks.first == through + 1
        assert member.raft.log.first_index == through + 1
        holds = {hold.pinned_by: hold.needed_from for hold in member.replica.pins()}
        assert holds == {"tree": 9, "n2": 9, "n3": through + 1}
    cuts = [e for e in member.events if isinstance(e, TruncationDecided)]
    assert [cut.floor for cut in cuts] == list(range(1, 10))  # none cuts nothing


def test_the_log_is_not_cut_above_what_is_flushed():
    member = Member(options=ReplicaOptions(segment_bytes=1))
    member.elect()
    member.write("c", 1, {b"a": b"1"})
    member.replica.tree.freeze()
    member.write("c", 2, {b"b": b"2"})  # flushed is what was frozen before: entry 2
    marks = member.replica.marks
    assert (marks.flushed, marks.first, marks.last) == (2, 3, 3)
    member.crash(Random(1))
    member.elect()
    assert member.replica.tree.get(b"b") == b"2"


def test_an_open_transaction_stays_above_the_flushed_mark_and_survives():
    """All is flushed while its second record is missing; after a crash it comes together."""
    member = Member(voters=3, options=ReplicaOptions(memtable_bytes=1, segment_bytes=1))
    first, second = records("c", 1, b"a", b"b", stamp=9)
    member.append("n2", 1, 0, NOOP)
    member.append("n2", 1, 1, first, commit=2, replicated=2)
    member.replica.tree.freeze()
    member.drain()
    marks = member.replica.marks
    assert (marks.first, marks.flushed, marks.applied, marks.committed) == (2, 1, 1, 2)
    member.crash(Random(1))
    member.append("n2", 1, 2, second, commit=3)
    assert [member.replica.tree.get(key) for key in (b"a", b"b")] == [b"v", b"v"]


# ── reads ───────────────────────────────────────────────────────────────────────────────────────


def values(replies):
    return [(r.number, r.value, r.index) for r in replies if isinstance(r, ReadReply)]


def test_a_read_sees_what_commits_with_its_own_confirmation():
    member = Member(voters=3)
    member.elect()
    member.submit("c", 1, {b"k": b"v"})
    member.replica.read(Read("c", "n1", 1, 1, b"k"))
    member.replica.read(Read("d", "n1", 1, 1, b"k"))
    assert values(member.drain()) == []
    sent = [m for m in member.messages if isinstance(m, AppendEntries) and m.to == "n2"]
    confirmed = AppendEntriesReply("n2", "n1", member.raft.term, True, 2, 2, round=sent[-1].round)
    member.replica.receive(confirmed)
    said = member.drain()
    assert values(said) == [(1, b"v", 2), (1, b"v", 2)]
    assert [r.to for r in said if isinstance(r, ReadReply)] == ["c", "d"]


def test_reads_without_leadership_are_redirected_to_who_has_it():
    member = Member(voters=3)
    member.elect()
    member.acknowledge("n2")
    member.replica.read(Read("c", "n1", 4, 2, b"k"))
    assert member.drain() == []
    assert member.append("n2", 7, 1) == [Redirect("n1", "c", 4, 2, "n2")]
    member.replica.read(Read("c", "n1", 5, 1, b"k"))
    assert member.drain() == [Redirect("n1", "c", 5, 1, "n2")]


class Probe:
    """Reads one key from every member all the time, and notes when it asked and what it heard."""

    def __init__(self, world, key):
        self.world, self.key = world, key
        self.asked = {}
        self.heard = []  # (asked, answered, member, value)
        world.clients["probe"] = self

    def ask(self):
        for name in self.world.members:
            number = len(self.asked) + 1
            self.asked[number] = self.world.now
            self.world.send(Read("probe", name, number, 1, self.key))

    def receive(self, reply):
        if isinstance(reply, ReadReply):
            value = int(reply.value or 0)
            asked = self.asked[reply.number]
            self.heard.append((asked, self.world.now, reply.sender, value))


def counted(world, probe, rounds, fault):
    """Let a client count up while the probe reads; return (sent, acknowledged or None, value)."""
    client = world.client("writer")
    writes, ticket = [], None
    for turn in range(rounds):
        fault(turn)
        if ticket is None or ticket.done:
            ticket = client.submit({probe.key: b"%d" % (len(writes) + 1)}, timeout=120_000)
            writes.append((world.now, ticket))
        probe.ask()
        world.run_for(7)
    world.heal()
    world.run_until(lambda: ticket.done)
    done = []
    for sent, each in writes:
        assert each.stage is Stage.APPLIED
        done.append((sent, each.history[-1][0]))
    return done


def check_linearizable(world, probe, done):
    """Counting has one writer: a read sees no less than was acknowledged when it was asked, no
    more than was sent when it was answered, and no less than an earlier read saw."""
    start = world.millis() - world.now // 1_000
    highest = []
    for asked, answered, member, value in sorted(probe.heard, key=lambda heard: heard[1]):
        before = sum((end - start) * 1_000 + 999 < asked for _, end in done)
        after = sum(sent <= answered for sent, _ in done)
        assert before <= value <= after, (member, asked, answered)
        assert all(value >= seen for when, seen in highest if when < asked), (member, asked)
        highest.append((answered, value))


def test_a_leader_in_a_minority_answers_no_read_with_what_is_stale():
    world = World(3, seed=4)
    world.run_until(lambda: world.leader() is not None)
    old = world.leader()
    rest = [name for name in world.members if name != old]
    probe = Probe(world, b"k")
    cut_at = []

    def fault(turn):
        if turn == 20:  # the clients still reach everybody
            cut_at.append(world.now)
            world.network.partition([[old], rest])

    done = counted(world, probe, 150, fault)
    check_linearizable(world, probe, done)
    cut_off = [heard for heard in probe.heard if heard[0] >= cut_at[0]]
    assert len(cut_off) > 20
    assert old not in {member for _, _, member, _ in cut_off}


@pytest.mark.parametrize("seed", range(4))
def test_reads_are_linearizable_while_leaders_change(seed):
    random = Random(seed)
    world = World(3, seed=seed, options=SMALL)
    world.run_until(lambda: world.leader() is not None)
    probe = Probe(world, b"k")

    def fault(turn):
        if turn % 25:
            return
        down = [name for name in world.members if name not in world.replicas]
        if down:
            world.restart(down[0])
        elif random.random() < 0.5 and world.leader():
            world.crash(world.leader())
        elif random.random() < 0.5:
            world.heal()
        else:
            leader = world.leader() or "n1"
            rest = [name for name in world.members if name != leader]
            world.network.partition([[leader], rest])

    done = counted(world, probe, 350, fault)
    check_linearizable(world, probe, done)
    assert len({member for _, _, member, _ in probe.heard}) > 1
    assert len(probe.heard) > 50


# ── the world itself ────────────────────────────────────────────────────────────────────────────


def test_a_member_that_restarted_has_one_clock_and_an_empty_inbox():
    """It ticks once in ten milliseconds, and knows nothing of what it had not taken in."""
    world = World(3, seed=1)
    world.run_until(lambda: world.leader() is not None)
    name = next(n for n in world.members if n != world.leader())
    seat = world.seats[name]
    for i in range(20):
        world.client(f"c{i}").submit({b"%d" % i: b"v" * 100})
    world.run_until(lambda: seat.inbox)  # its disk is busy
    for _ in range(5):
        world.crash(name)
        world.restart(name)
        assert seat.inbox == []
    ticks = []
    raft = world.replicas[name].raft
    tick = raft.tick
    raft.tick = lambda **how: (ticks.append(world.now), tick(**how))
    world.run_for(200)
    assert len(ticks) <= 21


def test_a_message_for_a_member_that_is_down_is_not_kept_for_it():
    world = World(3, seed=1)
    world.run_until(lambda: world.leader() is not None)
    name = next(n for n in world.members if n != world.leader())
    world.crash(name)
    world.run_for(300)
    world.restart(name)
    assert world.seats[name].inbox == []
    assert not any(e.message.sender == name for e in world.in_flight)


# ── the checker: each property, broken on purpose ───────────────────────────────────────────────

Marks = namedtuple("Marks", "first flushed applied committed last")


def entry(term, index, key=b"k"):
    return Entry(term, index, Record(Kind.PUT, key, b"", 1, TxnId("c", 1, 1), True))


def shown(terms=(1, 1, 1), *, commit=3, role=Role.FOLLOWER, vote=None, base=0, key=b"k", **marks):
    """A member as the checker sees it."""
    log = Log(Position(base, terms[0]), [entry(t, base + n, key) for n, t in enumerate(terms, 1)])
    full = {"first": base + 1, "flushed": base, "applied": base, "committed": commit}
    raft = SimpleNamespace(term=terms[-1], vote=vote, role=role, log=log, commit_index=commit)
    wal = SimpleNamespace(
        hard_state=HardState(terms[-1], vote),
        last_index=log.last_index,
        base=Position(base, terms[0]),
        term=log.term,
    )
    given = Marks(**{**full, "last": log.last_index, **marks})
    return SimpleNamespace(raft=raft, wal=wal, marks=given, unsaved=None)


LEADER = Role.LEADER
BROKEN = {
    "marks of n1 cross": [{"n1": shown(flushed=2, applied=1)}],
    "cross: Marks.first=5": [{"n1": shown(first=5, flushed=3, applied=3)}],
    "cross.*last=2": [{"n1": shown(last=2)}],
    "went back": [
        {"n1": shown(flushed=2, applied=2)},
        {"n1": shown(flushed=1, applied=2)},
    ],
    "lacks log entries": [{"n1": shown(base=2, first=1, flushed=1, applied=2, commit=5)}],
    "voted for n2 and n3 in term 1": [{"n1": shown(vote="n2")}, {"n1": shown(vote="n3")}],
    "entry 1 was committed as": [{"n1": shown(), "n2": shown(key=b"other")}],
    "both lead term 1": [{"n1": shown(role=LEADER), "n2": shown(role=LEADER)}],
    "ends at 2, but entry 3 is committed": [
        {"n1": shown(), "n2": shown((1, 2), commit=0, role=LEADER)}
    ],
    "but .* is committed$": [
        {"n1": shown(), "n2": shown((1, 1, 2), commit=0, role=LEADER)},
    ],
}


@pytest.mark.parametrize("says", BROKEN)
def test_the_checker_finds_each_property_broken(says):
    world = SimpleNamespace(undisturbed=nullcontext, replicas={})
    checker = MarksChecker(world)
    *good, bad = BROKEN[says]
    for replicas in good:
        world.replicas = replicas
        checker.check()
    world.replicas = bad
    with pytest.raises(Violation, match=says):
        checker.check()


def test_the_log_of_a_member_is_never_longer_at_its_front_while_it_runs():
    """A start may find entries again; they are in tables, so nobody is the worse for it."""
    runs = shown((1, 1), base=3, commit=5, first=4, flushed=4, applied=5)
    again = shown((1, 1, 1), base=2, commit=5, first=3, flushed=4, applied=5)
    world = SimpleNamespace(undisturbed=nullcontext, replicas={"n1": runs})
    checker = MarksChecker(world)
    checker.check()
    world.replicas = {"n1": again}
    checker.check()
    again.marks = runs.marks
    checker.check()
    again.marks = runs.marks._replace(first=3)
    with pytest.raises(Violation, match="went back"):
        checker.check()


def test_the_checker_lets_pass_what_is_allowed():
    world = SimpleNamespace(
        undisturbed=nullcontext,
        replicas={"n1": shown(role=LEADER, vote="n1"), "n2": shown(vote="n1")},
    )
    checker = MarksChecker(world)
    checker.check()
    world.replicas = {
        "n1": shown((1, 1, 1, 2), commit=2, vote="n2"),  # restarted: its commit index went back
        "n2": shown((1, 1, 1, 2), role=LEADER, vote="n2"),
    }
    checker.check()


def test_only_what_is_not_in_tables_is_held_in_memory_and_a_follower_is_served_from_disk():
    world = World(3, seed=7, options=SMALL)
    world.run_until(lambda: world.leader() is not None)
    client = world.client("c")
    away = next(name for name in world.members if name != world.leader())
    world.crash(away)
    kept = world.replicas[world.leader()].marks.last
    for n in range(150):
        client.put(b"k%d" % (n % 7), b"v" * 60)
    leader = world.replicas[world.leader()]
    log = leader.raft.log
    assert log.first_index <= kept + 1 < log.released == leader.marks.flushed
    reads = []
    read = leader.wal.read
    leader.wal.read = lambda first, last: reads.append((first, last)) or read(first, last)
    world.restart(away)
    world.settle()
    assert reads
    assert min(first for first, _ in reads) <= kept + 1
    assert world.replicas[away].tree.get(b"k0") == b"v" * 60


def test_a_start_reads_back_what_was_not_flushed_and_no_more():
    member = Member(options=ReplicaOptions(memtable_bytes=1 << 20, segment_bytes=900))
    member.elect()
    for sequence in range(1, 60):
        member.write("c", sequence, {b"k%d" % sequence: b"v" * 40})
    member.replica.tree.freeze()
    while member.replica.has_work:
        member.replica.work()
    for sequence in range(60, 63):
        member.write("c", sequence, {b"k": b"v"})
    member.crash(Random(1))
    log = member.raft.log
    assert (log.released, log.last_index - log.released) == (60, 3)
