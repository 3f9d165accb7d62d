"""What stands still, and what cannot be read: neither breaks a promise."""

from kvraft.check import News, WorldChecker
from kvraft.events import MemberStopped
from kvraft.raft import RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import World


def test_a_leader_that_stands_still_has_no_lease_to_break():
    """Before it acts again, it takes the time that has passed; until then it does nothing."""
    options = ReplicaOptions(raft=RaftOptions(lease_ticks=10))
    world = World(3, seed=1, options=options)
    news, checker = News(world), WorldChecker(world)

    def look():
        news.gather()
        checker.check_moved(news)

    world.stepped = look
    world.run_until(lambda: world.leader() is not None)
    leader = world.leader()
    world.run_until(lambda: world.replicas[leader].raft.lease)
    world.pause(leader, 1_000)
    world.run_for(900)
    assert world.leader() != leader
    assert world.replicas[leader].raft.lease  # as far as it knows
    world.run_for(300)
    assert not world.replicas[leader].raft.lease


def test_a_drain_ends_before_a_member_that_wakes_up_takes_its_ticks():
    """Seed 70004 of the swarm: until then it acts on no message, so its lease does no harm."""
    world = World(3, seed=1, options=ReplicaOptions(raft=RaftOptions(lease_ticks=10)))
    checker = WorldChecker(world)
    world.run_until(lambda: world.leader() is not None)
    leader = world.leader()
    world.run_until(lambda: world.replicas[leader].raft.lease)
    world.client("ann").submit({b"a": b"1"})
    world.stepped = checker.check
    world.run_until(lambda: world.seats[leader].draining)
    world.partition([leader])
    world.pause(leader, 1_000)
    world.run_for(1_500)
    assert world.leader() != leader


def test_a_leader_that_cannot_read_the_snapshot_it_sends_stops():
    options = ReplicaOptions(memtable_bytes=600, segment_bytes=500, retain_bytes=0)
    world = World(3, seed=2, options=options)
    ann = world.client("ann")
    ann.put(b"a", b"1")
    leader = world.leader()
    away = next(name for name in world.members if name != leader)
    world.crash(away)
    for number in range(80):
        ann.put(b"key %d" % number, b"%d" % number)
    world.settle()
    world.sim_disk(leader).break_at(1, kinds=("read",), stays=True)
    world.restart(away)
    world.run_until(lambda: leader not in world.replicas)
    (stopped,) = world.trace.of(MemberStopped)
    assert "its disk failed" in stopped.event.reason
