# ruff: noqa: PT012  (a block that is to fail as a whole is what is tested here)
"""Transactions that read, in a simulated cluster: conflicts, retries, time; and what is refused."""

import asyncio
from random import Random

import pytest

from kvraft import clock
from kvraft.client import Conflict, ReadFailed
from kvraft.errors import BadInput
from kvraft.events import (
    MessageSent,
    SessionExpired,
    TransactionApplied,
    TransactionConflicted,
    TransactionRepeated,
)
from kvraft.lsm import Tree
from kvraft.raft import Role
from kvraft.record import RESERVED_PREFIX
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import World
from kvraft.transaction import Stage, WriteReply

TINY = ReplicaOptions(memtable_bytes=1_500, segment_bytes=900, log_bytes=4_000, reserve_bytes=0)


def elected(seed=1, members=3, **kwargs):
    world = World(members, seed=seed, **kwargs)
    world.run_until(lambda: world.leader() is not None)
    return world


def user_rows(tree):
    return {key: value for key, value in tree.scan() if not key.startswith(RESERVED_PREFIX)}


# ── transactions with reads ─────────────────────────────────────────────────────────────────────


def test_a_transaction_sees_its_own_writes_and_reads_a_key_once():
    world = elected()
    client, other = world.client("c"), world.client("o")
    client.put(b"a", b"1")
    with pytest.raises(Conflict), client.transaction() as txn:
        assert txn.get(b"a") == b"1"
        txn.put(b"a", b"2")
        txn.delete(b"b")
        assert (txn.get(b"a"), txn.get(b"b")) == (b"2", None)
        other.put(b"a", b"9")
    with client.transaction() as txn:
        assert txn.get(b"a") == b"9"
        other.put(b"x", b"elsewhere")
        assert txn.get(b"a") == b"9"
        txn.put(b"a", b"10")
    assert txn.ticket.stage is Stage.APPLIED
    assert client.get(b"a") == b"10"


def test_a_lost_update_is_a_conflict_and_every_member_decides_alike():
    world = elected()
    ann, bob = world.client("ann"), world.client("bob")
    ann.put(b"n", b"0")
    drafts = [ann.transaction(), bob.transaction()]
    for draft in drafts:
        draft.put(b"n", b"%d" % (int(draft.get(b"n")) + 1))
    tickets = [draft.submit() for draft in drafts]
    world.run_until(lambda: all(ticket.done for ticket in tickets))
    world.settle()
    assert sorted(ticket.stage for ticket in tickets) == [Stage.ABORTED, Stage.APPLIED]
    (loser,) = [ticket for ticket in tickets if ticket.stage is Stage.ABORTED]
    assert loser.conflict == b"n"
    assert "conflict" in loser.reason
    told = {(s.who, s.event.txn) for s in world.trace.of(TransactionConflicted)}
    assert told == {(name, str(loser.txn)) for name in world.members}
    assert ann.get(b"n") == b"1"


def test_a_transaction_that_only_reads_is_validated_too():
    world = elected()
    client, other = world.client("c"), world.client("o")
    client.write({b"a": b"1", b"b": b"1"})
    with pytest.raises(Conflict), client.transaction() as txn:
        txn.get(b"a")
        other.write({b"a": b"2", b"b": b"2"})
        txn.get(b"b")


def test_a_block_that_raises_sends_nothing_and_a_draft_is_sent_once():
    world = elected()
    client = world.client("c")
    with pytest.raises(ZeroDivisionError), client.transaction() as txn:
        txn.put(b"k", b"v")
        1 / 0  # noqa: B018
    assert txn.ticket is None
    assert client.get(b"k") is None
    with client.transaction() as txn:
        txn.put(b"k", b"v")
    for again in (txn.submit, lambda: txn.get(b"k"), lambda: txn.put(b"k", b"")):
        with pytest.raises(BadInput, match="was sent"):
            again()
    with client.transaction() as txn:
        pass
    assert txn.ticket is None
    with pytest.raises(BadInput, match="reserved"), client.transaction() as txn:
        txn.get(RESERVED_PREFIX)


def test_a_conflict_is_the_answer_to_every_retry():
    """The answer is lost; meanwhile the key is such that the retry by itself would succeed."""
    world = elected()
    client, other = world.client("c"), world.client("o")
    other.put(b"k", b"old")
    draft = client.transaction()
    assert draft.get(b"none") is None
    draft.put(b"k", b"mine")
    other.put(b"none", b"there")  # so it must fail
    ticket = draft.submit()

    def lose(message):
        return (
            isinstance(message, WriteReply) and message.to == "c" and message.stage is Stage.ABORTED
        )

    world.run_until(lambda: world.drop(lose) > 0)
    other.delete(b"none")  # now the expectation would hold
    world.run_until(lambda: ticket.done)
    assert (ticket.stage, ticket.conflict) == (Stage.ABORTED, b"none")
    assert client.get(b"k") == b"old"


def test_transfers_never_change_the_sum_whoever_crashes():
    """Many clients move money at once; the sum is the same in every state of every member."""
    world = elected(options=TINY, seed=3)
    names = [b"acc%d" % n for n in range(5)]
    world.client("bank").write(dict.fromkeys(names, b"100"))
    random, done, conflicts = Random(3), 0, 0
    for turn in range(60):
        drafts = []
        for who in ("a", "b", "c"):
            draft = world.client(who).transaction()
            source, target = random.sample(names, 2)
            draft.put(source, b"%d" % (int(draft.get(source)) - 7))
            draft.put(target, b"%d" % (int(draft.get(target)) + 7))
            drafts.append(draft)
        tickets = [draft.submit() for draft in drafts]
        if turn % 12 == 5:
            fallen = world.leader()
            world.crash(fallen)
        if turn % 12 == 9:
            world.restart(fallen)
        world.run_until(lambda: all(t.done for t in tickets))
        done += sum(t.stage is Stage.APPLIED for t in tickets)
        conflicts += sum(t.conflict is not None for t in tickets)
        for replica in world.replicas.values():
            rows = user_rows(replica.tree)
            assert not rows or sum(int(rows[name]) for name in names) == 500
    assert done > 60 < done + conflicts
    assert conflicts > 10


class ChecksAtTheLeader(Replica):
    """Decides about expectations when it appends, and not where the log puts the transaction."""

    def new_machine(self):
        machine = super().new_machine()
        machine.conflict = lambda entries: 0
        return machine

    def submit(self, request):
        record = request.transaction.records[0]
        found = self.tree.version(record.key)
        if record.kind.name == "EXPECT" and found.timestamp != int.from_bytes(
            record.value, "little"
        ):
            return
        super().submit(request)


def test_checking_at_the_leader_would_lose_updates():
    """Which is why it is decided at apply: both pass the check before either is applied."""
    world = elected(replica=ChecksAtTheLeader)
    world.client("ann").put(b"n", b"0")
    world.client("bob").register()
    drafts = [world.client(name).transaction() for name in ("ann", "bob")]
    for draft in drafts:
        draft.put(b"n", b"%d" % (int(draft.get(b"n")) + 1))
    tickets = [draft.submit() for draft in drafts]
    world.run_until(lambda: all(ticket.done for ticket in tickets))
    assert {t.stage for t in tickets} == {Stage.APPLIED}
    assert world.client("ann").get(b"n") == b"1", "two increments, one is lost"


# ── time ────────────────────────────────────────────────────────────────────────────────────────


def test_a_stamp_from_far_ahead_or_behind_is_no_reason_to_fail_a_write():
    world = elected()
    client = world.client("c")
    for ahead in (550, 0, -5_000, 0):
        world.set_clock("c", ahead)
        ticket = client.put(b"k", b"%d" % ahead)
        assert ticket.stage is Stage.APPLIED
        assert abs(clock.unpack(ticket.timestamp)[0] - world.millis()) < 50
        assert client.get(b"k") == b"%d" % ahead
    with pytest.raises(BadInput, match="neither a member nor a client"):
        world.set_clock("nobody", 1)


class PlainClocks(Replica):
    """Takes the clients' stamps as they are."""

    def raised_timestamp(self, timestamp):
        return timestamp


@pytest.mark.parametrize("rule", [Replica, PlainClocks])
def test_plain_client_clocks_lose_an_update_and_the_rule_prevents_it(rule):
    world = elected(replica=rule)
    fast, slow = world.client("fast"), world.client("slow")
    world.set_clock("fast", 400)
    fast.put(b"k", b"first")
    ticket = slow.put(b"k", b"second")
    assert ticket.stage is Stage.APPLIED
    assert slow.get(b"k") == (b"second" if rule is Replica else b"first")


def test_reads_at_a_time_give_the_same_answer_for_ever_on_every_member():
    world = elected(options=ReplicaOptions(memtable_bytes=1_500, history_millis=600_000))
    client = world.client("c")
    then = {}
    for n in range(60):
        ticket = client.write({b"a": b"%d" % n, b"b": b"%d" % n})
        then[ticket.timestamp] = b"%d" % n
    for replica in world.replicas.values():
        while replica.has_work:
            replica.work()
    for stamp, value in then.items():
        for member in (None, *world.members):
            assert client.get(b"a", at=stamp, member=member) == value
        assert client.get(b"b", at=stamp) == value
    assert client.get(b"a", at=min(then) - 1) is None
    with pytest.raises(ReadFailed, match="future"):
        client.get(b"a", at=max(then) + clock.pack(1))
    for wrong in (-1, 1.5, "n1", True):
        with pytest.raises(BadInput, match="a time to read at must be"):
            client.get(b"a", at=wrong)


def test_a_time_that_is_not_kept_is_refused_and_not_guessed():
    world = elected()
    client = world.client("c")
    first = client.put(b"k", b"1").timestamp
    client.put(b"k", b"2")
    with pytest.raises(ReadFailed, match="may be gone"):
        client.get(b"k", at=first)


def test_an_expired_retry_is_refused_and_not_applied_a_second_time():
    world = elected(options=ReplicaOptions(session_millis=2_000))
    client, other = world.client("c"), world.client("o")
    ticket = client.submit({b"n": b"mine"}, timeout=1_000)

    def answers(message):
        return isinstance(message, WriteReply) and message.to == "c"

    while not ticket.done:
        world.drop(answers)
        world.step()
    assert ticket.stage is Stage.UNKNOWN
    for _ in range(8):
        world.run_for(500)
        other.put(b"n", b"theirs")
    expired = {s.event.client for s in world.trace.of(SessionExpired)}
    assert expired == {"c.2"}
    client.retry(ticket)
    world.run_until(lambda: ticket.done)
    assert ticket.stage is Stage.UNKNOWN
    assert "session has expired" in ticket.reason
    assert other.get(b"n") == b"theirs"
    assert client.put(b"n", b"anew").stage is Stage.APPLIED, "a new transaction is welcome"
    first = [s for s in world.trace.of(TransactionApplied) if s.event.txn == str(ticket.txn)]
    assert len(first) == 3, "once on each member"
    assert not world.trace.of(TransactionRepeated)


def test_a_ticket_can_be_awaited():
    world = elected()
    client = world.client("c")

    async def main():
        ticket = await client.submit({b"k": b"v"})
        return ticket.stage, await asyncio.wait_for(client.submit({b"k": b"w"}), 5)

    stage, ticket = asyncio.run(main())
    assert (stage, ticket.stage) == (Stage.APPLIED, Stage.APPLIED)


# ── a full disk, and too much at once ───────────────────────────────────────────────────────────


def fill(world, name, left):
    disk = world.disk(name)
    disk.capacity = sum(map(disk.size, disk.names())) + left


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_full_disk_refuses_writes_serves_reads_and_recovers(who):
    options = ReplicaOptions(memtable_bytes=4_000, segment_bytes=2_000, reserve_bytes=20_000)
    world = elected(options=options, seed=4)
    client = world.client("c")
    client.put(b"k", b"v")
    leader = world.leader()
    name = leader if who == "leader" else next(m for m in world.members if m != leader)
    fill(world, name, 19_000)
    world.run_for(50)
    if who == "leader":
        ticket = client.submit({b"k": b"w"}, timeout=2_000)
        world.run_until(lambda: ticket.done)
        assert ticket.stage is Stage.ABORTED
        assert f"the disk of {leader} is full" in ticket.reason
    else:
        last = world.replicas[name].wal.last_index
        for n in range(40):
            client.put(b"k%d" % n, b"v" * 50)
        assert world.replicas[name].wal.last_index <= last + 1
    assert client.get(b"k") == b"v"
    assert world.replicas[name].raft.role in (Role.LEADER, Role.FOLLOWER)
    world.disk(name).capacity = None
    assert client.put(b"k", b"after").stage is Stage.APPLIED
    world.settle()
    assert [r.tree.get(b"k") for r in world.replicas.values()] == [b"after"] * 3


def test_a_flush_that_finds_no_space_is_tried_again_and_loses_nothing():
    world = elected(members=1, options=TINY)
    client = world.client("c")
    for n in range(20):
        client.put(b"k%d" % n, b"v" * 60)
    world.settle()
    replica = world.replicas["n1"]
    flushed = replica.marks.flushed
    replica.tree.freeze()
    fill(world, "n1", 100)
    world.run_for(200)
    assert replica.marks.flushed == flushed
    assert replica.tree.immutable_memtables == 1
    world.disk("n1").capacity = None
    world.settle()
    assert replica.marks.flushed > flushed
    assert client.get(b"k3") == b"v" * 60


def test_a_leader_whose_flushes_lag_puts_writers_off_and_memory_stays_bounded(monkeypatch):
    """Slices are so rare here that nothing would ever be flushed in time."""
    monkeypatch.setattr("kvraft.sim.seat.SLICE", 400_000)
    world = elected(options=TINY, seed=2)
    client = world.client("c")
    most = 0
    for n in range(150):
        client.put(b"k%d" % (n % 50), b"v" * 80)
        most = max(most, *(r.tree.immutable_memtables for r in world.replicas.values()))
    assert most <= TINY.stall_memtables


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"session_millis": 0}, "session_millis must be at least 1"),
        ({"retain_bytes": -1}, "retain_bytes must be at least 0"),
        ({"skew_millis": -1}, "skew_millis must be at least 0"),
    ],
)
def test_options_that_make_no_sense_are_named(options, why):
    with pytest.raises(BadInput, match=why):
        ReplicaOptions(**options)


def test_long_work_in_a_replica_cuts_one_segment_at_a_time():
    """So an append waits for the removal of one directory entry at most."""
    world = elected(members=1, options=ReplicaOptions(memtable_bytes=1 << 20, segment_bytes=300))
    client = world.client("c")
    for n in range(60):
        client.put(b"k%d" % n, b"v" * 60)
    replica, disk = world.replicas["n1"], world.disk("n1")
    replica.tree.freeze()
    calls = []
    remove, sync_dir = disk.remove, disk.sync_dir
    disk.remove = lambda name: (calls.append(name), remove(name))
    disk.sync_dir = lambda: (calls.append("sync_dir"), sync_dir())
    cuts = 0
    while replica.has_work:
        calls.clear()
        before = len(replica.wal.segments)
        replica.work()
        gone = before - len(replica.wal.segments)
        if gone:
            cuts += gone
            assert [gone, len(calls), calls[1]] == [1, 2, "sync_dir"]
    assert cuts > 10
    assert isinstance(replica.tree, Tree)


def test_a_full_follower_does_not_make_its_leader_send_without_end():
    """It is silent about what it cannot store: an answer would have it sent again at once."""
    world = elected(options=ReplicaOptions(reserve_bytes=20_000), seed=4)
    client, leader = world.client("c"), world.leader()
    name = next(m for m in world.members if m != leader)
    fill(world, name, 19_000)
    world.run_for(50)
    client.put(b"k", b"v")
    before, now = len(world.trace), world.now
    world.run_for(1_000)
    heard = [s for s in world.trace[before:].of(MessageSent, who=leader) if s.event.to == name]
    assert world.now - now == 1_000_000
    assert len(heard) < 60
    assert world.leader() == leader
    assert world.replicas[name].raft.role is Role.FOLLOWER
