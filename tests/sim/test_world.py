"""Whole clusters in the simulated world: the same every time, and right under faults."""

from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from kvraft.check import MarksChecker, Violation, WorldChecker
from kvraft.check.history import TransactionChecker
from kvraft.client.writing import WriteFailed
from kvraft.errors import BadInput, Corruption, ForeignFile, TimedOut
from kvraft.events import (
    EntriesAppended,
    EntriesSuperseded,
    MemberCrashed,
    MemberStopped,
    MessageLost,
    MessageSent,
    SegmentDropped,
    Trace,
    TransactionDiscarded,
    TransactionRepeated,
)
from kvraft.raft import AppendEntries, AppendEntriesReply, Configuration, RaftOptions, Role
from kvraft.record import RESERVED_PREFIX
from kvraft.replica import ReplicaOptions
from kvraft.sim import SimDisk, World
from kvraft.sim.seat import Seat
from kvraft.transaction import Stage, Submit, WriteReply

TINY = ReplicaOptions(
    memtable_bytes=1_500,
    segment_bytes=1_200,
    log_bytes=6_000,
    raft=RaftOptions(max_batch_bytes=150),
)


def user_map(world, name):
    rows = world.replicas[name].tree.scan()
    return {key: value for key, value in rows if not key.startswith(RESERVED_PREFIX)}


def elected(seed=1, members=3, **kwargs):
    world = World(members, seed=seed, **kwargs)
    world.run_until(lambda: world.leader() is not None)
    return world


def test_a_write_reaches_every_member_and_a_read_sees_it():
    world = elected()
    alice = world.client("alice")
    ticket = alice.put(b"greeting", b"hello")
    assert [stage.value for _, stage, _ in ticket.history][-2:] == ["COMMITTED", "APPLIED"]
    assert alice.get(b"greeting") == b"hello"
    assert alice.get(b"other") is None
    alice.delete(b"greeting")
    assert alice.get(b"greeting") is None
    alice.put(b"", b"")
    assert alice.get(b"") == b""
    world.settle()
    assert [user_map(world, name) for name in world.members] == [{b"": b""}] * 3


def busy_day(seed):
    """A little of everything, to compare two runs of it."""
    world = World(3, seed=seed, options=TINY)
    clients = [world.client(name) for name in ("alice", "bob")]
    for i in range(30):
        for client in clients:
            client.submit([(b"%s-%d" % (client.name.encode(), i % 7), b"x" * i), (b"both", b"y")])
        world.run_for(20)
    leader = world.leader()
    world.crash(leader)
    world.run_for(500)
    world.restart(leader)
    world.partition(["n1"], ["n2", "n3"])
    world.run_for(500)
    world.heal()
    world.settle()
    return world


def test_the_same_seed_and_calls_give_the_same_trace_byte_for_byte():
    one, two, other = busy_day(5), busy_day(5), busy_day(6)
    assert "\n".join(one.trace.lines()) == "\n".join(two.trace.lines())
    assert one.trace.digest() != other.trace.digest()


def test_the_trace_does_not_depend_on_the_hash_seed(tmp_path):
    import os
    import subprocess
    import sys

    code = "from tests.sim.test_world import busy_day; print(busy_day(5).trace.digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_saved_trace_is_the_same_history(tmp_path):
    trace = busy_day(5).trace
    with (tmp_path / "trace.jsonl").open("w", encoding="utf-8") as file:
        trace.save(file)
    assert list(Trace.load(tmp_path / "trace.jsonl")) == list(trace)


@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_clusters_of_any_size_elect_and_commit(members):
    world = elected(members=members)
    world.client("c").put(b"k", b"v")
    world.settle()
    assert all(user_map(world, name) == {b"k": b"v"} for name in world.members)


def test_a_minority_cannot_write_and_catches_up_when_healed():
    world = elected()
    old = world.leader()
    rest = [name for name in world.members if name != old]
    stuck = world.client("stuck")
    stuck.put(b"k", b"before")
    world.partition([old], rest)
    stuck.route.members = (old,)  # it knows of no other member
    stuck.leader = old
    ticket = stuck.submit({b"k": b"lost?"}, timeout=1_500)
    world.run_until(lambda: ticket.done)
    assert ticket.stage is Stage.UNKNOWN
    world.client("c").put(b"k", b"v")
    assert world.leader() in rest
    world.heal()
    world.settle()
    assert all(user_map(world, name) == {b"k": b"v"} for name in world.members)
    assert world.trace.of(EntriesSuperseded, who=old)


def test_a_retry_of_what_was_applied_changes_nothing():
    """The answers are lost, the leader dies, the client asks its successor under the same id."""
    world = elected()
    first, second = world.client("first"), world.client("second")
    first.put(b"k", b"0")
    ticket = first.submit({b"k": b"1"})
    while not any(replica.tree.get(b"k") == b"1" for replica in world.replicas.values()):
        world.step()
    world.drop(lambda message: isinstance(message, WriteReply))
    world.crash(world.leader())
    second.put(b"k", b"2")
    world.run_until(lambda: ticket.done)
    assert ticket.stage is Stage.APPLIED
    assert ticket.attempts > 1
    assert second.get(b"k") == b"2"


def test_a_transaction_that_is_in_the_log_twice_is_applied_once():
    """A new leader cannot commit yet, so it does not know the first copy and appends a second."""
    world = elected()
    client = world.client("c")
    client.put(b"k", b"0")
    ticket = client.submit({b"k": b"v"})
    old = world.leader()
    world.run_until(lambda: all(replica.marks.last == 4 for replica in world.replicas.values()))
    world.drop(lambda message: isinstance(message, AppendEntriesReply))
    world.crash(old)

    def copies():
        return sum(step.event.txns.count("c.2#2") for step in world.trace.of(EntriesAppended))

    while copies() < 3 + 1:
        world.drop(lambda message: isinstance(message, AppendEntriesReply))
        world.step()
    world.run_until(lambda: ticket.done)
    world.settle()
    (first, second) = world.trace.of(TransactionRepeated)
    assert first.event == second.event
    assert first.event.txn == "c.2#2"
    assert first.event.index > 5  # after the first copy and a new leader's no-op
    assert ticket.index == 4  # the first copy's place
    assert world.replicas[world.leader()].tree.version(b"k").timestamp == ticket.timestamp


def test_a_transaction_of_which_only_a_part_was_copied_is_discarded_then_applied_once():
    world = elected(options=TINY)
    client = world.client("c")
    client.put(b"before", b"")
    old = world.leader()
    ticket = client.submit([(b"k%d" % i, b"v" * 40) for i in range(6)])
    others = [name for name in world.members if name != old]

    def partly():
        last = max(world.replicas[name].marks.last for name in others)
        waiting = [message for name in others for message in world.inbox(name)]
        more = any(isinstance(m, AppendEntries) and m.entries for m in waiting)
        return last > world.replicas[old].marks.committed and not more

    world.run_until(partly)
    world.crash(old)
    world.drop(lambda message: message.sender == old)
    world.run_until(lambda: ticket.done)
    world.settle()
    discarded = world.trace.of(TransactionDiscarded)
    assert {s.who for s in discarded} == set(others)
    assert {s.event.txn for s in discarded} == {"c.2#2"}
    assert ticket.stage is Stage.APPLIED
    world.restart(old)
    world.settle()
    assert len({tuple(user_map(world, name).items()) for name in world.members}) == 1
    assert len(user_map(world, old)) == 7
    assert not world.trace.of(TransactionRepeated)


def test_the_log_is_kept_for_a_follower_that_is_away_and_cut_when_it_is_back():
    world = elected(options=TINY)
    client = world.client("c")
    away = next(name for name in world.members if name != world.leader())
    world.crash(away)
    kept = world.replicas[world.leader()].marks.last
    for i in range(120):
        client.put(b"k%d" % (i % 9), b"v" * 50)
    leader = world.replicas[world.leader()]
    assert leader.marks.flushed > kept + 50
    assert leader.marks.first <= kept + 1
    assert leader.pins().needed_from(away) <= kept + 1 < leader.pins().needed_from("tree")
    world.restart(away)
    world.settle()
    world.run_for(500)
    assert world.replicas[world.leader()].marks.first > kept + 50
    assert user_map(world, away) == user_map(world, world.leader())
    assert world.trace.of(SegmentDropped, who=away)


def test_a_clock_that_runs_ahead_does_not_hide_later_writes():
    world = elected(options=ReplicaOptions(skew_millis=3_000_000))
    fast, slow = world.client("fast"), world.client("slow")
    world.set_clock("fast", 3_000_000)
    fast.put(b"k", b"from the future")
    slow.put(b"k", b"later")
    assert slow.get(b"k") == b"later"
    world.settle()
    stamps = [e.record.timestamp for e in world.replicas["n1"].raft.log.slice(1)]
    data = [stamp for stamp in stamps if stamp]
    assert data == sorted(set(data))


def crashed_after_flushes():
    """A world with a member down whose disk holds tables and a log of several segments."""
    world = elected(options=TINY)
    for i in range(40):
        world.client("c").put(b"k%d" % (i % 9), b"v" * 60)
    world.settle()
    name = next(name for name in world.members if name != world.leader())
    world.crash(name)
    return world, name


def files(disk):
    return {name: disk.read(name) for name in disk.names()}


def test_a_member_that_lost_its_log_refuses_to_start_and_writes_nothing():
    world, name = crashed_after_flushes()
    disk = world.disk(name)
    for file in [file for file in disk.names() if file.endswith(".wal")]:
        disk.remove(file)
    before = files(disk)
    with pytest.raises(Corruption, match="CURRENT, offset 0: there is a manifest, but the log"):
        world.restart(name)
    assert files(disk) == before


def test_an_old_copy_of_a_log_under_newer_tables_is_refused():
    world = elected(options=TINY)
    name = next(name for name in world.members if name != world.leader())
    disk = world.disk(name)
    world.client("c").put(b"k", b"v")
    old = files(disk.copy())
    for i in range(40):
        world.client("c").put(b"k%d" % (i % 9), b"v" * 60)
    world.settle()
    world.crash(name)
    for file in [file for file in disk.names() if file.endswith(".wal")]:
        disk.remove(file)
    for file, data in old.items():
        if file.endswith(".wal"):
            disk.create(file)
            disk.append(file, data)
    before = files(disk)
    with pytest.raises(
        Corruption, match=r"the log ends at index \d+, but the tables hold all through"
    ):
        world.restart(name)
    assert files(disk) == before


def test_a_log_that_begins_behind_the_tables_is_refused():
    """The oldest segment is gone although the tables never took over what it held."""
    world = elected(options=TINY)
    name = next(name for name in world.members if name != world.leader())
    other = next(n for n in world.members if n not in (name, world.leader()))
    world.crash(other)  # so that nothing is cut
    for i in range(20):
        world.client("c").put(b"k%d" % i, b"v" * 60)
    world.crash(name)
    disk = world.disk(name)
    for file in [f for f in disk.names() if not f.endswith(".wal") and f != "MEMBER"]:
        disk.remove(file)
    logs = disk.names()
    assert len(logs) >= 3
    disk.remove(logs[0])
    before = files(disk)
    with pytest.raises(
        Corruption, match=r"the log begins after index \d+, but the tables end at 0"
    ):
        world.restart(name)
    assert files(disk) == before


def test_a_member_does_not_start_on_the_disk_of_another():
    world, name = crashed_after_flushes()
    disk = world.disk(name)
    before = files(disk)
    for member, cluster in ((name, "other"), ("n9", "kvraft")):
        with pytest.raises(ForeignFile, match=f"{cluster}/{member}"):
            World([member], cluster=cluster, disk=lambda _: disk)
        assert files(disk) == before


def test_nothing_is_appended_after_the_disk_failed(monkeypatch):
    world = elected()
    leader = world.leader()
    client = world.client("c")
    monkeypatch.setattr(world.disk(leader), "sync", fail)
    ticket = client.put(b"k", b"v")  # another member takes over
    assert ticket.stage is Stage.APPLIED
    assert leader not in world.replicas
    failed = [s for s in world.trace if type(s.event).__name__ == "MemberStopped"]
    assert [s.who for s in failed] == [leader]
    assert "disk failed" in failed[0].event.reason


def fail(name):
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("seed", range(3))
def test_the_power_may_go_at_any_step_of_a_start(seed):
    """That is a crash, and nothing that a world raises; the member can be started again."""
    world = elected(seed=seed, options=TINY)
    client = world.client("c")
    name = next(n for n in world.members if n != world.leader())
    for step in range(1, 100):
        world.crash(name)
        client.put(b"k", b"%d" % step)
        disk = world.disk(name)
        disk.fail_at(step, Random(seed))
        if world.restart(name):
            break
        assert name not in world.replicas
        last = world.trace[-1]
        assert (last.who, type(last.event)) == (name, MemberCrashed)
        assert world.restart(name)
        world.settle()
        assert user_map(world, name) == {b"k": b"%d" % step}
    assert step > 5


@pytest.mark.parametrize("seed", range(2))
def test_the_power_may_go_at_any_step_of_a_first_start(seed):
    """A new member whose first start was cut short is still new, or has begun; never forgetful."""
    for step in range(1, 100):
        disks = {}
        world = elected(disk=lambda name, disks=disks: disks.setdefault(name, SimDisk()))
        disks["n4"] = SimDisk()
        disks["n4"].fail_at(step, Random(seed))
        world.add("n4")
        if "n4" in world.replicas:
            break
        assert world.restart("n4")
        world.settle()
        world.change(world.members[:3], ("n4",))
        world.run_for(500)
        world.settle()
        assert world.replicas["n4"].marks.applied > 0
    assert step > 10


def test_an_error_of_the_disk_at_a_start_is_raised_and_the_member_stays_down():
    world = elected()
    world.crash("n1")
    world.disk("n1").break_at(1)
    with pytest.raises(OSError, match="Input/output error"):
        world.restart("n1")
    assert "n1" not in world.replicas
    assert world.restart("n1")


def test_whatever_disks_do_when_a_world_is_closed_all_of_them_are_let_go():
    closed = []

    class Watched(SimDisk):
        def close(self):
            closed.append(self)

    world = elected(disk=lambda name: Watched())
    world.disk("n1").fail_at(1)
    world.disk("n2").break_at(1)
    world.close()
    assert closed == [world.disk(name) for name in world.members]
    assert world.replicas == {}
    assert [
        (step.who, type(step.event)) for step in world.trace.of(MemberCrashed, MemberStopped)
    ] == [
        ("n1", MemberCrashed),
        ("n2", MemberStopped),
    ]


def test_what_makes_no_sense_is_refused():
    world = elected()
    with pytest.raises(BadInput, match="no member called n9"):
        world.crash("n9")
    with pytest.raises(BadInput, match="n1 runs already"):
        world.restart("n1")
    world.crash("n1")
    with pytest.raises(BadInput, match="n1 does not run"):
        world.crash("n1")
    with pytest.raises(BadInput, match="called n8"):
        world.partition(["n8"])
    with pytest.raises(BadInput, match="cannot be a client"):
        world.client("n2")
    with pytest.raises(TimedOut, match="within 100 ms"):
        world.run_until(lambda: False, limit=100)
    with pytest.raises(BadInput, match="at least one voting member"):
        World(0)
    with pytest.raises(BadInput, match="named twice"):
        World(["a", "a"])


def test_without_a_majority_a_write_stays_unknown():
    world = elected()
    for name in world.members[1:]:
        world.crash(name)
    with pytest.raises(WriteFailed, match=r"UNKNOWN|ABORTED"):
        world.client("c").put(b"k", b"v")


def alone():
    """A cluster of one member, and the client that wrote to it."""
    world = elected(members=1, options=TINY)
    return world, world.client("c")


def restart(world):
    world.crash("n1")
    world.restart("n1")
    world.run_until(lambda: world.leader() is not None)
    world.settle()


def test_a_session_outlives_flushes_and_crashes():
    """It lies in the tree: the same id, asked again long after, is not applied again."""
    world, client = alone()
    ticket = client.put(b"k", b"first")
    for i in range(20):
        client.put(b"other%d" % i, b"v" * 80)
    client.put(b"k", b"last")
    restart(world)
    last = world.replicas["n1"].marks.last
    world.send(Submit("c", "n1", ticket.transaction, 99))
    world.run_for(50)
    assert world.replicas["n1"].marks.last == last
    assert client.get(b"k") == b"last"


def test_stamps_rise_over_a_crash_whatever_the_clock_says():
    world, client = alone()
    world.set_clock("c", 400)
    client.put(b"k", b"from the future")
    restart(world)
    world.client("slow").put(b"k", b"later")
    assert client.get(b"k") == b"later"
    stamps = [e.record.timestamp for e in world.replicas["n1"].raft.log.slice(1)]
    assert [s for s in stamps if s] == sorted({s for s in stamps if s})


def test_a_deposed_leader_tells_that_its_copy_is_dead():
    world = elected()
    old = world.leader()
    stuck = world.client("stuck")
    stuck.put(b"k", b"before")
    stuck.route.members = (old,)
    world.partition([old])
    ticket = stuck.submit({b"k": b"v"}, timeout=60_000)
    world.client("c").put(b"other", b"takes its place in the log")
    world.heal()
    world.run_until(lambda: ticket.done)
    said = [step.event.note for step in world.trace.of(MessageSent, who=old)]
    assert "stuck.2#2 DISCARDED" in said
    assert ticket.stage is Stage.APPLIED


def test_what_is_on_its_way_meets_the_partition_and_the_crash():
    world = elected()
    leader = world.leader()
    other = next(name for name in world.members if name != leader)
    world.client("c").submit({b"k": b"v"})
    world.run_until(lambda: any(e.message.to == other for e in world.in_flight))
    world.partition([other])
    world.run_for(10)
    lost = [step for step in world.trace.of(MessageLost) if step.who == other]
    assert {step.event.reason for step in lost} == {"partition"}
    world.heal()
    world.crash(other)
    world.run_for(100)
    lost = [step for step in world.trace.of(MessageLost) if step.who == other]
    assert lost[-1].event.reason == f"{other} is down"
    log = world.disk(other).size(world.disk(other).names()[-1])
    world.run_for(100)
    assert world.disk(other).size(world.disk(other).names()[-1]) == log


def test_only_what_a_leader_appends_leaves_before_its_disk_is_synced():
    """Every hop takes 1 ms, every sync 0.5 ms: the leader syncs while its appends travel."""
    world = elected(fastest=1_000, slowest=1_000)
    client = world.client("c")
    client.put(b"k", b"before")
    world.settle()
    began = world.now
    client.put(b"k", b"v")
    assert world.now - began == 4 * 1_000 + 500


# ── a checker looks past the faults ─────────────────────────────────────────────────────────────


def flushed_world(*checkers):
    """A world whose members have flushed, so that most of the log is on disk only."""
    world = elected(options=replace(TINY, segment_bytes=1 << 20))  # none is cut
    watching = [checker(world) for checker in checkers]
    for i in range(60):
        world.client("c").put(b"k%d" % (i % 40), b"v" * 60)
        for checker in watching:
            checker.check()
    world.settle()
    assert all(replica.raft.log.released > 20 for replica in world.replicas.values())
    return world, watching


def test_a_checker_does_not_meet_the_faults_that_are_meant_for_members():
    world, (transactions,) = flushed_world(TransactionChecker)
    for name in world.members:
        world.disk(name).break_at(1, kinds=("read",), stays=True)
    MarksChecker(world).check()
    WorldChecker(world).check()
    transactions.check()
    transactions.check_members()
    for name in world.members:
        with pytest.raises(OSError, match="Input/output error"):
            world.disk(name).read("MEMBER")


def test_a_leader_has_the_votes_of_a_majority_of_each_half_on_disks():
    world = elected()
    leader = world.replicas[world.leader()].raft
    others = [name for name in world.members if name != leader.member]
    WorldChecker(world).check()
    for halves in ((leader.member, "n4", "n5"), ()), ((leader.member,), ("n4", "n5", others[0])):
        leader._core.configurations[-1] = (0, Configuration(*halves))
        with pytest.raises(Violation, match=f"{leader.member} leads term 1 with the votes of"):
            WorldChecker(world).check()


def test_a_checker_does_not_use_up_the_calls_after_which_a_disk_is_to_fail():
    world, _ = flushed_world()
    disk = world.disk("n1")
    disk.break_at(2, kinds=("read",))
    MarksChecker(world).check()
    disk.read("MEMBER")
    with pytest.raises(OSError, match="Input/output error"):
        disk.read("MEMBER")


def test_after_looking_undisturbed_a_fault_is_there_again_whatever_happened():
    world = elected()
    world.disk("n1").break_at(1, kinds=("read",), stays=True)
    with suppress(Violation), world.undisturbed():
        world.disk("n1").read("MEMBER")
        raise Violation("this", (), "was found")
    with pytest.raises(OSError, match="Input/output error"):
        world.disk("n1").read("MEMBER")


# ── a process that stood still ──────────────────────────────────────────────────────────────────

LEASES = ReplicaOptions(raft=RaftOptions(lease_ticks=10))


class _TicksLast(Seat):
    def wake(self):
        waiting = [message for message in self.inbox if message is not None]
        if not self.paused and waiting:
            self.inbox, missed = waiting, [None] * (len(self.inbox) - len(waiting))
            super().wake()
            self.inbox[:0] = missed
        super().wake()


class TicksLast(World):
    """A world whose members take what waited for them before the ticks that they missed."""

    seat = _TicksLast


def read_after_a_pause(world, *, ticks=True):
    """Return what is read at a leader that stood still while another one was elected and wrote."""
    world.run_until(lambda: world.leader() is not None)
    old = world.leader()
    reader, writer = world.client("reader"), world.client("writer")
    reader.put(b"k", b"old")
    writer.put(b"k", b"old")
    world.run_for(200)
    assert world.replicas[old].raft.lease
    world.partition([old])
    world.pause(old, 1_500, ticks=ticks)
    end = world.now + 1_500_000
    others = [name for name in world.members if name != old]
    world.run_until(lambda: any(world.replicas[name].raft.role is Role.LEADER for name in others))
    writer.put(b"k", b"new")  # acknowledged before the read is asked
    world.run_for((end - world.now) // 1_000 - 5)
    assert reader.leader == old
    return reader.get(b"k")


@pytest.mark.parametrize("seed", range(5))
def test_a_leader_that_stood_still_does_not_serve_from_a_lease_that_has_run_out(seed):
    world = World(3, seed=seed, options=LEASES)
    assert read_after_a_pause(world) == b"new"
    world.heal()
    world.settle()


@pytest.mark.parametrize(("rule", "ticks"), [(World, False), (TicksLast, True)])
def test_without_catching_up_on_ticks_first_that_read_is_stale(rule, ticks):
    worlds = (rule(3, seed=seed, options=LEASES) for seed in range(5))
    assert b"old" in {read_after_a_pause(world, ticks=ticks) for world in worlds}


def test_ticks_that_came_while_a_disk_was_busy_are_taken_before_all_else():
    world = elected()
    name = world.leader()
    seat, given = world.seats[name], []
    seat.replica.raft.tick = lambda **_: given.append("tick")
    seat.replica.receive = lambda message: given.append("message")
    world.run_for(20)
    seat.busy_until = world.now + 55_000  # a sync that takes long
    given.clear()
    world.run_for(54)
    assert not given
    assert None in seat.inbox
    world.run_for(1)
    assert given.count("tick") >= 5
    assert given == sorted(given, reverse=True), "ticks first"


def test_a_member_that_stands_still_does_nothing_and_comes_back():
    world = elected(2, options=TINY)  # whose client does not ask that member first
    client, name = world.client("c"), next(n for n in world.members if n != world.leader())
    world.pause(name, 500)
    marks = world.replicas[name].marks
    for i in range(20):
        client.put(b"k%d" % i, b"v" * 60)
    assert world.now < 450_000
    assert world.replicas[name].marks == marks
    world.run_for(600)
    world.settle()
    assert user_map(world, name) == user_map(world, world.leader())
    with pytest.raises(BadInput, match="at least 0"):
        world.pause(name, -1)
    world.crash(name)
    with pytest.raises(BadInput, match="does not run"):
        world.pause(name, 5)
