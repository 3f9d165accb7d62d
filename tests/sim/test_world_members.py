"""Members that join, leave and hand over, whole: consensus, log and tables together."""

from random import Random

import pytest

from kvraft.check import MarksChecker
from kvraft.client import ReadFailed
from kvraft.errors import BadInput, Busy
from kvraft.events import (
    ClientRedirected,
    ConfigurationChanged,
    SnapshotInstalled,
    SnapshotReceived,
    TicketMoved,
)
from kvraft.raft import AppendEntriesReply, InstallSnapshot, RaftOptions, Role
from kvraft.replica import ReplicaOptions
from kvraft.sim import SimDisk, World
from kvraft.transaction import Stage
from tests.sim.test_world import TINY, elected, user_map


def filled(seed=0, members=3, writes=80):
    """A cluster whose log was cut: who joins it needs a snapshot."""
    world = World(members, seed=seed, options=TINY)
    world.run_until(lambda: world.leader() is not None)
    client = world.client("c")
    for number in range(writes):
        client.put(b"k%d" % (number % 30), b"v%d" % number)
    world.settle()
    assert world.replicas[world.leader()].marks.first > 2
    return world, client


def configuration(world, name):
    return world.replicas[name].raft.configuration


@pytest.mark.parametrize("seed", range(3))
def test_a_newcomer_gets_a_snapshot_then_the_log_then_a_vote(seed):
    world, client = filled(seed)
    checker = MarksChecker(world)
    world.add("n4")
    world.change(("n1", "n2", "n3"), ("n4",))
    with pytest.raises(Busy, match="under way"):
        world.change(("n1", "n2", "n3", "n4"))
    world.settle()
    checker.check()
    assert [step.who for step in world.trace.of(SnapshotReceived, SnapshotInstalled)] == [
        "n4",
        "n4",
    ]
    assert user_map(world, "n4") == user_map(world, world.leader())
    world.run_for(100)
    world.change(("n2", "n3", "n4"))
    for number in range(40):
        client.put(b"z%d" % number, b"")
        checker.check()
    world.run_for(1_000)
    assert {str(configuration(world, name)) for name in ("n2", "n3", "n4")} == {"n2 n3 n4"}
    assert world.leader() in ("n2", "n3", "n4")
    if "n1" in world.replicas:
        world.crash("n1")
    world.settle()
    assert len({tuple(user_map(world, name).items()) for name in ("n2", "n3", "n4")}) == 1


def test_configuration_and_snapshot_are_found_again_after_a_crash_of_everybody():
    world, client = filled()
    world.add("n4")
    world.change(("n1", "n2", "n3"), ("n4",))
    world.settle()
    world.run_for(100)
    world.change(("n1", "n2", "n4"))
    for number in range(120):  # enough to flush the configuration and to cut its entry off
        client.put(b"y%d" % (number % 9), b"x" * 30)
    world.settle()
    index = configuration_index(world)
    assert world.replicas["n4"].marks.first > index
    for name in list(world.replicas):
        world.crash(name)
    for name in ("n1", "n2", "n4"):
        world.restart(name)
        assert str(configuration(world, name)) == "n1 n2 n4"
    world.settle()
    assert client.get(b"y1") == b"x" * 30
    assert user_map(world, "n4") == user_map(world, "n1")


def configuration_index(world):
    return max(step.event.index for step in world.trace.of(ConfigurationChanged))


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_at_any_step_of_an_install_leaves_a_member_that_catches_up(seed):
    """The newcomer's power goes at a random operation of its disk, again and again."""
    random = Random(seed)
    world, client = filled(seed)
    world.add("n4")
    checker = MarksChecker(world)
    world.change(("n1", "n2", "n3"), ("n4",))
    cuts = 0
    for _ in range(24):
        disk = world.disk("n4")
        assert isinstance(disk, SimDisk)
        disk.fail_at(random.randint(1, 14), random)
        client.put(b"k", b"%d" % random.randrange(99))
        world.run_for(random.choice([5, 30, 120]))
        checker.check()
        while "n4" not in world.replicas:
            cuts += 1
            world.restart("n4")
    world.disk("n4").fail_at(10**9, random)
    world.settle()
    checker.check()
    assert cuts >= 2
    assert user_map(world, "n4") == user_map(world, world.leader())


def test_a_lost_chunk_is_sent_again():
    world, _ = filled()
    world.add("n4")
    world.change(("n1", "n2", "n3"), ("n4",))
    for _ in range(3):
        world.run_until(
            lambda: any(isinstance(e.message, InstallSnapshot) for e in world.in_flight)
        )
        assert world.drop(lambda message: isinstance(message, InstallSnapshot))
    world.settle()
    assert user_map(world, "n4") == user_map(world, world.leader())


def test_leadership_is_handed_over_at_once_and_clients_are_sent_on():
    world, client = filled()
    old = world.leader()
    to = next(name for name in world.members if name != old)
    ticket = client.submit({b"k": b"handed over"})
    world.run_until(lambda: ticket.stage is Stage.APPENDED)
    began = world.now
    world.transfer(to)
    world.run_until(lambda: world.leader() == to)
    assert world.now - began < 20_000
    world.run_until(lambda: ticket.done)
    assert ticket.stage is Stage.APPLIED
    assert client.get(b"k") == b"handed over"


def test_a_leader_without_a_quorum_steps_down_and_tells_its_clients():
    world = elected()
    client = world.client("c")
    client.put(b"k", b"1")
    old = world.leader()
    rest = [name for name in world.members if name != old]
    last = world.replicas[old].marks.last
    ticket = client.submit({b"k": b"2"})
    world.run_until(lambda: world.replicas[old].marks.last > last)
    world.partition([old], rest)
    world.drop(lambda message: isinstance(message, AppendEntriesReply))
    world.run_until(lambda: world.replicas[old].raft.role is not Role.LEADER, limit=400)
    world.run_until(lambda: ticket.done)
    world.run_for(10)  # what it said is on its way
    told = [
        s.event.asked for s in world.trace.of(ClientRedirected) if s.event.txn == str(ticket.txn)
    ]
    assert old in told
    assert ticket.stage is Stage.APPLIED
    assert client.get(b"k") == b"2"


def test_too_many_proposals_are_put_off_and_all_are_applied_in_the_end():
    options = ReplicaOptions(raft=RaftOptions(max_uncommitted=4))
    world = World(3, options=options)
    world.run_until(lambda: world.leader() is not None)
    clients = [world.client(f"c{number}") for number in range(12)]
    for client in clients:
        client.leader = world.leader()
    tickets = [client.submit({b"k%d" % n: b""}) for n, client in enumerate(clients)]
    world.run_until(lambda: all(ticket.done for ticket in tickets))
    assert {ticket.stage for ticket in tickets} == {Stage.APPLIED}
    notes = [step.event.note for step in world.trace if hasattr(step.event, "note")]
    assert any("busy" in note for note in notes)
    assert len(user_map(world, world.leader())) == 12
    copies = [s.event.txn for s in world.trace.of(TicketMoved) if s.event.stage == "DISCARDED"]
    assert not copies  # what was put off was never in a log


def test_a_follower_answers_with_what_the_cluster_has_and_stale_reads_with_what_it_has():
    world = elected()
    client = world.client("c")
    client.put(b"k", b"old")
    world.settle()
    leader = world.leader()
    follower = next(name for name in world.members if name != leader)
    other = next(name for name in world.members if name not in (leader, follower))
    assert client.get(b"k", member=follower) == b"old"
    world.partition([follower], [leader, other])
    client.put(b"k", b"new")
    assert client.get(b"k", member=follower, stale=True) == b"old"
    with pytest.raises(ReadFailed):
        client.get(b"k", member=follower, timeout=500)
    assert client.get(b"k", member=other) == b"new"
    world.heal()
    assert client.get(b"k", member=follower) == b"new"
    with pytest.raises(BadInput, match="no member called n9"):
        client.get(b"k", member="n9")
    with pytest.raises(BadInput, match="the name of a member"):
        client.get(b"k", stale=True)


def test_a_lease_saves_a_read_its_round_trip():
    def read_time(lease):
        options = ReplicaOptions(raft=RaftOptions(lease_ticks=lease))
        world = World(3, options=options, fastest=1_000, slowest=1_000)
        world.run_until(lambda: world.leader() is not None)
        client = world.client("c")
        client.put(b"k", b"v")
        world.run_for(200)
        began = world.now
        assert client.get(b"k") == b"v"
        return world.now - began

    assert read_time(0) == 4_000
    assert read_time(10) == 2_000


@pytest.mark.parametrize("seed", range(6))
def test_members_come_and_go_under_crashes_and_nothing_acknowledged_is_lost(seed):
    random = Random(f"members/{seed}")
    world = World(3, seed=seed, options=TINY)
    checker = MarksChecker(world)
    client = world.client("c")
    written = {}
    for number in range(40):
        ticket = client.submit({b"k%d" % (number % 8): b"%d" % number})
        written[ticket] = number
        act = random.choice(["crash", "restart", "add", "change", "change", "transfer", "calm"])
        leader = world.leader()
        down = [name for name in world.members if name not in world.replicas]
        if act == "crash" and not down:
            world.crash(random.choice(list(world.replicas)))
        elif act == "restart" and down:
            world.restart(random.choice(down))
        elif act == "add" and len(world.members) < 6:
            world.add(f"n{len(world.members) + 1}")
        elif act in ("change", "transfer") and leader:
            now = configuration(world, leader)
            try:
                if act == "transfer":
                    world.transfer(random.choice(now.voters))
                elif random.random() < 0.5 or len(now.members) < 4:
                    outside = [name for name in world.members if name not in now.voters]
                    world.change(now.voters, random.sample(outside, min(1, len(outside))))
                else:
                    world.change(random.sample(now.members, 3))
            except (Busy, BadInput):
                pass
        for _ in range(random.choice([50, 200, 800])):
            world.step()
            checker.check()
    for name in world.members:
        if name not in world.replicas:
            world.restart(name)
    world.run_until(lambda: all(ticket.done for ticket in written), limit=120_000)
    world.run_for(3_000)
    checker.check()
    leader = world.leader()
    assert not configuration(world, leader).joint
    members = configuration(world, leader).members
    assert len({tuple(user_map(world, name).items()) for name in members}) == 1
    for key, value in user_map(world, leader).items():
        last = max(
            (ticket for ticket in written if ticket.transaction.records[0].key == key
             and ticket.stage is Stage.APPLIED),
            key=lambda ticket: ticket.index,
        )  # fmt: skip
        assert value == b"%d" % written[last]
