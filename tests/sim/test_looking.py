"""Who looks at a member changes nothing: its trace is the one that it has when nobody looks."""

from random import Random

import pytest

from kvraft.lsm import Levelled
from kvraft.replica import ReplicaOptions
from kvraft.sim import World

SMALL = ReplicaOptions(
    memtable_bytes=500,
    segment_bytes=300,
    log_bytes=2_000,
    history_millis=200,
    strategy=Levelled(tables=2, level_bytes=4_000, fanout=3, table_bytes=1_000),
)
LOOKS = {
    "a get": lambda member: member.tree.get(b"k1"),
    "a scan": lambda member: list(member.tree.scan()),
    "a scan backwards": lambda member: list(member.tree.scan(reverse=True)),
    "a scan of the past": lambda member: list(member.tree.scan(at=member.tree.horizon)),
    "half a scan": lambda member: next(iter(member.tree.scan()), None),
    "the marks": lambda member: member.marks,
    "the consensus module": lambda member: member.raft.status(),
}


class Looked(World):
    """A world in which ``look`` is called with every member after each step."""

    look = None

    def stepped(self):
        for member in self.replicas.values() if self.look else ():
            self.look(member)
        super().stepped()


def trace_of(look, seed):
    world, random = Looked(3, seed=seed, options=SMALL), Random(seed)
    world.look = look
    world.run_until(lambda: world.leader() is not None)
    client = world.client("a")
    for _ in range(40):
        client.submit({b"k%d" % random.randrange(10): b"v" * random.randrange(30)})
        world.run_for(random.randrange(1, 20))
    return world.trace


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_look_changes_no_trace(look):
    for seed in range(2):
        plain, looked = trace_of(None, seed), trace_of(look, seed)
        assert list(looked) == list(plain)
