"""A client's name used again: nobody is ever taken for somebody else, and no write is lost so."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.events import TransactionIdTaken
from kvraft.record import Kind, Record, TxnId, digest
from kvraft.replica import Replica, ReplicaOptions, StateMachine
from kvraft.replica.writes import WriteDesk
from kvraft.sim import SimDisk, World
from kvraft.transaction import (
    Overloaded,
    ReadReply,
    Redirect,
    Registered,
    Stage,
    WriteReply,
    build_transaction,
)
from tests.client.test_client import Hand
from tests.replica.test_replica import Member

# ── the name alone ──────────────────────────────────────────────────────────────────────────────


def test_a_name_that_is_used_again_is_another_client():
    world = World(3, seed=1)
    world.client("a").put(b"k", b"1")
    world.dismiss("a")
    second = world.client("a").put(b"k", b"2")
    assert second.stage is Stage.APPLIED
    assert world.client("a").get(b"k") == b"2"


@pytest.mark.parametrize("seeds", [(1, 2), (1, 1), (1, 1, 1)])
def test_a_cluster_opened_again_from_its_disks_knows_its_clients_apart(seeds):
    """Worlds of one seed do the very same: only what is on the disks can tell them apart."""
    disks = {name: SimDisk() for name in ("n1", "n2", "n3")}
    ids, put = [], {}
    for round, seed in enumerate(seeds):
        world = World(3, seed=seed, disk=disks.__getitem__)
        for number in range(5):
            key, value = b"%d" % number, b"%d of %d" % (number, round)
            ids.append(world.client("alice").put(key, value).txn)
            put[key] = value
        assert {key: world.client("alice").get(key) for key in put} == put
        world.settle()
        world.close()
    assert len(set(ids)) == len(ids)


def test_what_a_member_forgot_of_a_snapshot_or_a_restart_it_still_knows_a_retry():
    world = World(3, seed=4, options=ReplicaOptions(memtable_bytes=200, segment_bytes=200))
    client = world.client("a")
    first = client.put(b"k", b"1")
    away = next(name for name in world.members if name != world.leader())
    world.crash(away)
    for number in range(20):
        world.client("b").put(b"x", b"%d" % number * 30)
    world.restart(away)
    world.settle()
    world.transfer(away)
    world.run_until(lambda: world.leader() == away)
    world.client("b").put(b"k", b"2")
    first.stage = Stage.UNKNOWN  # as if nobody had told it
    client.retry(first)
    assert client.wait_for(first).index == first.index
    assert client.get(b"k") == b"2"


# ── registering ─────────────────────────────────────────────────────────────────────────────────


def test_what_is_submitted_before_the_registration_waits_for_it():
    hand = Hand(registers=False)
    tickets = [hand.client.submit({b"k": b"%d" % n}) for n in range(3)]
    (register,) = hand.sent
    assert {ticket.stage for ticket in tickets} == {Stage.QUEUED}
    assert [str(ticket.txn) for ticket in tickets] == ["c#1", "c#2", "c#3"]
    hand.client.receive(Registered("n2", "c", register.number + 1, 5))  # not what was asked
    assert hand.sent == [register]
    hand.client.receive(Registered("n2", "c", register.number, 9))
    assert [str(sent.transaction.id) for sent in hand.sent[1:]] == ["c.9#1", "c.9#2", "c.9#3"]
    assert {sent.to for sent in hand.sent[1:]} == {"n2"}
    hand.client.receive(Registered("n2", "c", register.number, 12))  # a second entry of it
    assert str(hand.client.submit({b"k": b"4"}).txn) == "c.9#4"


def test_a_registration_is_asked_for_again_and_elsewhere():
    hand = Hand(registers=False)
    hand.client.submit({b"k": b"v"})
    first = hand.sent[0]
    leader = next(name for name in ("n1", "n2", "n3") if name != first.to)
    hand.client.receive(Redirect(first.to, "c", first.number, first.attempt, leader))
    assert [sent.to for sent in hand.sent] == [first.to, leader]
    hand.client.receive(Overloaded(leader, "c", first.number, 2, "its disk is full"))
    hand.pass_time(3_000)
    assert len(hand.sent) > 3
    assert {sent.number for sent in hand.sent} == {first.number}


def test_what_was_never_sent_is_aborted_and_says_why_and_a_retry_has_a_new_number():
    hand = Hand(registers=False)
    ticket = hand.client.submit({b"k": b"v"}, timeout=500)
    register = hand.sent[0]
    hand.client.receive(Overloaded(register.to, "c", register.number, 1, "its disk is full"))
    hand.pass_time(600)
    assert ticket.stage is Stage.ABORTED
    assert ticket.reason == "no leader registered 'c', so it was never sent: its disk is full"
    assert not hand.client.busy
    sent = len(hand.sent)
    hand.client.receive(Registered("n1", "c", register.number, 5))  # too late
    hand.client.retry(ticket)
    again = hand.sent[sent]
    assert again.number != register.number
    hand.client.receive(Registered("n1", "c", again.number, 8))
    assert str(hand.sent[-1].transaction.id) == "c.8#2"


def test_what_is_on_its_way_to_an_earlier_client_of_the_name_is_ignored():
    hand = Hand()
    ticket = hand.client.submit({b"k": b"v"})
    old = TxnId("c", 3, 1)
    for reply in (
        WriteReply("n1", "c", old, (1,), Stage.APPLIED, 9, 9, ""),
        Redirect("n1", "c", old, 1, "n3"),
        Overloaded("n1", "c", old, 1, "busy"),
        ReadReply("n1", "c", 99, b"old", 9),
    ):
        hand.client.receive(reply)
    assert (ticket.stage, ticket.live_attempts, len(hand.sent)) == (Stage.SENT, {1}, 1)
    failed = Hand().client.submit({b"k": b"v"})
    failed.stage = Stage.UNKNOWN
    with pytest.raises(BadInput, match="by another client than this 'c'"):
        hand.client.retry(failed)


def test_a_read_is_not_answered_with_what_an_earlier_client_asked_for():
    """The answer to a dismissed client's second sending comes when its heir reads."""
    world = World(3, seed=1)
    world.client("a").write({b"old": b"1", b"new": b"2"})
    first = world.client("a")
    world.run_for(100)
    sent, carry = [], world.send
    world.send = lambda message, after=0: (sent.append(message), carry(message, after))
    first.get(b"old")
    late = ReadReply(world.leader(), "a", sent[0].number, b"1", 3)
    world.dismiss("a")
    world.send(late)
    assert world.client("a").get(b"new") == b"2"


def test_a_registration_that_another_leader_superseded_is_not_answered_with_its_index():
    member = Member(voters=3)
    member.elect()
    member.acknowledge("n2")
    member.register("a", 1)
    member.drain()
    place = member.raft.log.last_index
    term = member.raft.term
    assert not [r for r in member.replies if isinstance(r, Registered)]
    member.append("n2", term + 1, place - 1, Record(Kind.NOOP, b"", b"", 0, TxnId("", 0, 0)))
    replies = member.append("n2", term + 1, place, commit=place)
    assert not [r for r in member.replies if isinstance(r, Registered)]
    assert [r.request for r in member.replies if isinstance(r, Redirect)] == [1, 1]
    assert len(replies) == 1


def test_a_full_disk_puts_registrations_off():
    member = Member(options=ReplicaOptions(reserve_bytes=1 << 40), voters=1)
    member.disk.capacity = 1 << 20
    member.elect()
    member.replica.tick()
    member.register("a", 4)
    (later,) = member.drain()
    assert isinstance(later, Overloaded)
    assert later.request == 4


# ── another transaction under an old id ─────────────────────────────────────────────────────────


def test_a_digest_is_of_what_was_asked_for_and_of_nothing_else():
    txn = TxnId("a", 4, 1)
    asked = build_transaction(txn, [(b"a", b"1"), (b"b", None)], 7, {b"r": 3})
    assert digest(asked.records) == digest(
        asked.with_timestamp(9).with_id(TxnId("z", 1, 8)).records
    )
    assert digest(asked.records) == 4786643945507076440, "on every machine, for ever"
    others = [
        build_transaction(txn, [(b"a", b"1"), (b"b", b"")], 7, {b"r": 3}),
        build_transaction(txn, [(b"a", b"1"), (b"b", None)], 7, {b"r": 4}),
        build_transaction(txn, [(b"b", None), (b"a", b"1")], 7, {b"r": 3}),
        build_transaction(txn, [(b"a1", b""), (b"b", None)], 7, {b"r": 3}),
        build_transaction(txn, [(b"a", b"1")], 7, {b"r": 3}),
    ]
    assert len({digest(t.records) for t in (asked, *others)}) == 6


def test_another_transaction_under_an_old_id_is_refused_at_the_door():
    member = Member()
    member.elect()
    member.write("c", 1, {b"k": b"1"})
    last = member.replica.marks.last
    (answer,) = member.write("c", 1, {b"k": b"2"})
    assert (answer.stage, answer.conflict) == (Stage.ABORTED, None)
    assert "another transaction was applied as c.1#1" in answer.reason
    assert member.replica.marks.last == last
    assert member.replica.tree.get(b"k") == b"1"


def test_it_waits_at_the_door_while_the_first_is_not_decided():
    member = Member(voters=3)
    member.elect()
    member.acknowledge("n2")
    member.submit("c", 1, {b"k": b"1"})
    member.submit("c", 1, {b"k": b"2"})
    later = [r for r in member.drain() if isinstance(r, Overloaded)]
    assert [r.reason for r in later] == ["another transaction is on its way as c.1#1"]
    (applied,) = member.acknowledge("n2")
    assert (applied.stage, applied.attempts) == (Stage.APPLIED, (1,))


@pytest.mark.parametrize("flush", [False, True])
def test_another_transaction_under_an_old_id_does_nothing_at_any_replica(flush):
    """A leader that did not know of the first yet has appended both."""
    world = World(3, seed=2)
    world.client("a").put(b"k", b"1")
    leader = world.replicas[world.leader()]
    (first,) = [e for e in leader.raft.log.slice(1) if e.record.kind is Kind.PUT]
    if flush:
        for replica in world.replicas.values():
            replica.tree.freeze()
        world.settle()
    stamp = first.record.timestamp + 5
    leader.raft.propose([first.record._replace(value=b"2", timestamp=stamp)])
    world.run_for(300)
    assert {replica.tree.get(b"k") for replica in world.replicas.values()} == {b"1"}
    assert {(s.who, s.event.txn) for s in world.trace.of(TransactionIdTaken)} == {
        (name, str(first.record.txn)) for name in world.members
    }


def test_who_waits_for_one_copy_is_not_told_of_another_under_the_same_id():
    """This member lost leadership with a copy of its own; the new leader's is another one."""
    member = Member(voters=3)
    member.elect()
    member.acknowledge("n2")
    member.submit("x", 1, {b"x": b""})
    member.submit("c", 1, {b"k": b"mine"})
    member.drain()
    term, place = member.raft.term, member.raft.log.last_index - 1
    other = build_transaction(TxnId("c", 1, 1), {b"k": b"other"}, 1 << 40).records
    member.append("n2", term + 1, place - 1, *other, commit=place)
    assert member.replica.tree.get(b"k") == b"other"
    mine = [r for r in member.replies if isinstance(r, WriteReply) and r.txn.client == "c"]
    assert Stage.APPLIED not in [answer.stage for answer in mine]


# ── random lives ────────────────────────────────────────────────────────────────────────────────


class Unnamed(Replica):
    """Gives every client the same incarnation: that is what a name alone amounts to."""

    def incarnation(self, entry):
        return 1


class _NoDigest(StateMachine):
    def apply(self, entries):
        last = entries[-1].record
        session = self.sessions.find(last.txn, last.timestamp)
        outcome = session.outcome(last.txn.sequence)
        if outcome is not None:
            session.add(last.txn.sequence, outcome, entries)
        return super().apply(entries)


class _NoDigestAsked(WriteDesk):
    def answer_known(self, request):
        txn, records = request.transaction.id, request.transaction.records
        session = self.rules.machine.sessions.find(txn, self.log_time)
        if (outcome := session.outcome(txn.sequence)) is not None:
            session.add(txn.sequence, outcome, digest(records))
        return super().answer_known(request)


class Trusting(Unnamed):
    """Knows a transaction by its id alone, besides."""

    write_desk = _NoDigestAsked

    def new_machine(self):
        machine = super().new_machine()
        machine.__class__ = _NoDigest
        return machine


def life(seed, replica=Replica, steps=30):
    """Clients come, go and come back under few names; worlds close and open on the same disks.

    Returns what was told, and what should be there: the writes that were APPLIED, in their order.
    """
    random = Random(seed)
    disks = {name: SimDisk() for name in ("n1", "n2", "n3")}
    options = ReplicaOptions(memtable_bytes=600, segment_bytes=400, retain_bytes=0)
    ids, should = [], {}
    for _ in range(random.randint(2, 3)):
        world = World(3, seed=1, options=options, disk=disks.__getitem__, replica=replica)
        world.run_until(lambda world=world: world.leader() is not None)
        open_tickets = []
        for _ in range(steps):
            act, name = random.random(), random.choice("ab")
            if act < 0.6:
                key, value = random.choice([b"x", b"y", b"z"]), b"%d" % random.randrange(1 << 30)
                ticket = world.client(name).submit({key: value}, timeout=60_000)
                open_tickets.append((ticket, key, value))
            elif act < 0.7:
                running = list(world.replicas)
                if len(running) == 3:
                    world.crash(random.choice(running))
            elif act < 0.8:
                world.network.loss = random.choice([0, 0, 0.2])
            else:
                for down in set(world.members) - set(world.replicas):
                    world.restart(down)
            if random.random() < 0.5:
                world.run_for(random.choice([1, 5, 50, 300]))
            if name in world.clients and not world.client(name).busy:
                world.dismiss(name)
        world.network.loss = 0
        for down in set(world.members) - set(world.replicas):
            world.restart(down)
        world.run_until(lambda tickets=open_tickets: all(t.done for t, _, _ in tickets))
        world.settle()
        assert {ticket.stage for ticket, _, _ in open_tickets} <= {Stage.APPLIED}
        for ticket, key, value in sorted(open_tickets, key=lambda each: each[0].index):
            ids.append((ticket.txn, digest(ticket.transaction.records)))
            should[key] = value
        for member in world.replicas.values():
            assert {key: member.tree.get(key) for key in should} == should
        world.close()
    assert len({txn for txn, _ in ids}) == len(ids)


def lives(count, replica):
    """Live so many lives."""
    for seed in range(count):
        life(seed, replica)


@settings(derandomize=True, deadline=None, max_examples=10)
@given(st.integers(0, 1 << 32))
def test_whoever_comes_and_goes_every_write_that_was_applied_is_there(seed):
    life(seed)


@pytest.mark.parametrize("wrong", [Unnamed, Trusting])
def test_members_that_know_clients_by_name_are_found_out(wrong):
    with pytest.raises(AssertionError):
        lives(5, wrong)
