"""After all repairs a cluster elects a leader and serves its clients, or that is found."""

import pytest

from kvraft.check import Violation
from kvraft.check.liveness import DONE_MILLIS, Liveness, check_liveness
from kvraft.check.sweep import SwarmRun
from kvraft.raft import PreVote, Raft, RequestVote
from kvraft.replica import Replica
from kvraft.sim import World


class NeverElectsAgain(Raft):
    """After the first term nobody votes any more."""

    def step(self, message):
        """Ignore candidates."""
        asks = isinstance(message, PreVote | RequestVote) and self.term > 0
        return False if asks else super().step(message)


class RefusesAll(Replica):
    """A leader refuses all writes from some day on: it says that it is busy."""

    def why_busy(self):
        """Return an excuse."""
        return "not today" if self.tree.applied_index > 10 else ""


class Forgets(Replica):
    """Reads are taken, and never answered."""

    def read(self, request):
        """Do nothing."""


def healthy(**classes):
    world = World(3, seed=1, **classes)
    world.run_until(lambda: world.leader() is not None)
    return world, world.client("ann")


def test_a_sound_cluster_is_alive_soon():
    world, ann = healthy()
    ann.put(b"a", b"1")
    for name in world.members:
        world.crash(name)
    for name in world.members:
        world.restart(name)
    before = world.now
    check_liveness(world, [ann])
    assert world.now - before < 1_000_000


@pytest.mark.parametrize(
    ("classes", "property"),
    [
        ({"consensus": NeverElectsAgain}, Liveness.LEADER),
        ({"replica": RefusesAll}, Liveness.WRITES),
        ({"replica": Forgets}, Liveness.READS),
    ],
)
def test_a_cluster_that_does_nothing_wrong_and_nothing_at_all_is_found(classes, property):
    world, ann = healthy(**classes)
    for number in range(12):
        ann.put(b"a", b"%d" % number) if world.leader() else None
        if classes.get("replica") is RefusesAll and number == 3:
            break
    if "consensus" in classes:
        leader = world.leader()
        world.crash(leader)
        world.restart(leader)
    while classes.get("replica") is RefusesAll and world.replicas["n1"].tree.applied_index <= 10:
        ann.submit({b"b": b"2"}, timeout=200)
        world.run_for(50)
    with pytest.raises(Violation) as found:
        check_liveness(world, [ann])
    assert found.value.property == property


def test_a_call_that_never_ends_is_found():
    world, ann = healthy()
    for name in world.members:
        world.cut_link(name, "ann")
    ann.start_read(b"a", timeout=10 * DONE_MILLIS)
    with pytest.raises(Violation, match="a client waits") as found:
        check_liveness(world, [ann])
    assert found.value.property == Liveness.DONE


@pytest.mark.parametrize("classes", [{"consensus": NeverElectsAgain}, {"replica": RefusesAll}])
def test_the_swarm_finds_it(classes):
    def play():
        for seed in range(1, 4):
            SwarmRun(seed, acts=30, faults=["crash"], **classes).run()

    with pytest.raises(Violation) as found:
        play()
    assert found.value.property in tuple(Liveness)
