"""The log of a member: what was on its disk is there, and nothing that it has dropped or not heard.

Each test does to a disk what no member does.
"""

import pytest

from kvraft.check import Violation, WorldChecker
from kvraft.disk import is_segment
from kvraft.record import Entry
from kvraft.sim import World


@pytest.fixture
def world():
    world = World(3, seed=4)
    world.run_until(lambda: world.leader() is not None)
    for number in range(3):
        world.client("c").put(b"key", b"%d" % number)
    world.settle()
    return world


def follower(world):
    return next(name for name in world.members if name != world.leader())


def test_what_was_on_disk_is_there_after_a_restart(world):
    checker, name = WorldChecker(world), follower(world)
    checker.check()
    last = world.replicas[name].wal.last_index
    world.crash(name)
    disk = world.sim_disk(name)
    segment = next(file for file in disk.names() if is_segment(file))
    disk.truncate(segment, disk.size(segment) - 1)
    disk.sync(segment)
    world.restart(name)
    assert world.replicas[name].wal.last_index == last - 1
    with pytest.raises(Violation, match=f"{name} held entry {last} of term .* ends at {last - 1}"):
        checker.check()


def test_a_whole_disk_is_no_finding(world):
    checker, name = WorldChecker(world), follower(world)
    checker.check()
    world.crash(name)
    world.restart(name)
    checker.check()


def saved(world, *, term):
    """Save one more entry at a follower, of which its consensus module knows nothing."""
    name = follower(world)
    replica = world.replicas[name]
    last = replica.raft.log.slice(replica.raft.log.last_index)[0]
    checker = WorldChecker(world)
    replica.wal.save(None, [Entry(term(replica), last.index + 1, last.record)])
    with pytest.raises(Violation) as found:
        checker.check()
    assert found.value.property == "the log is kept"
    return str(found.value)


def test_a_log_on_disk_has_no_later_term_than_its_member(world):
    said = saved(world, term=lambda replica: replica.raft.term + 1)
    assert "which it has not heard of" in said


def test_what_a_member_has_dropped_is_not_on_its_disk(world):
    said = saved(world, term=lambda replica: replica.raft.term)
    assert "has dropped those after" in said
