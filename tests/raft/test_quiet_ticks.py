"""Ticks that only count: a member skips all else in them, and nobody can tell the difference."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.raft import Raft, RaftOptions
from kvraft.sim import Cluster


class PlainRaft(Raft):
    """A member that acts on every tick, as if any of them could matter."""

    def quiet_ticks(self):
        return 0


class CarefulRaft(Raft):
    """A member that looks at itself around each quiet tick."""

    counted = 0

    def tick(self, *, disk_full=False):
        before = self._seen()
        moved = super().tick(disk_full=disk_full)
        if not moved:
            CarefulRaft.counted += 1
            assert self._seen() == before
            assert not self.has_ready()
        return moved

    def _seen(self):
        status = self.status()
        return {name: getattr(status, name) for name in status.__slots__ if name != "elapsed"}


def fields(part, path=()):
    """Return all that ``part`` consists of, but for what a member knows of its next ticks."""
    if isinstance(part, dict):
        return {key: fields(value, path) for key, value in part.items() if key != "_quiet"}
    if hasattr(part, "getstate"):  # a random stream
        return part.getstate()
    held = {**getattr(part, "__dict__", {})}
    held |= {name: getattr(part, name) for name in getattr(part, "__slots__", ())}
    if not type(part).__module__.startswith("kvraft.raft") or not held or part in path:
        return repr(part) if not isinstance(part, list | tuple) else [fields(p, path) for p in part]
    return fields(held, (*path, part))


def play(cluster, what, number):
    """Do one thing, in the same way whoever the members are."""
    name = f"n{number % 3 + 1}"
    raft = cluster.members[name].raft
    with suppress(BadInput, Busy, NotLeader):
        if raft is None:
            cluster.restart(name)
        elif what == "ticks":
            for _ in range(1 + number % 17):
                cluster.tick(name)
        elif what == "run":
            cluster.run(number)
        elif what == "deliver" and cluster.in_flight:
            cluster.deliver(id=cluster.in_flight[number % len(cluster.in_flight)].id)
        elif what == "full":
            raft.tick(disk_full=True)
            cluster.work(name)
        elif what == "crash":
            cluster.crash(name)
        elif what == "propose":
            cluster.propose(name, f"x{number}")
        elif what == "read":
            cluster.read(name, number)
        elif what == "transfer":
            cluster.transfer(name, f"n{number % 2 + 1}")
        elif what == "change":
            cluster.propose_change(name, ["n1", "n2"], ["n3"] if number % 2 else [])
        elif what == "partition":
            cluster.partition([name])
        elif what == "heal":
            cluster.heal()


ACTS = ("ticks", "ticks", "run", "run", "deliver", "propose", "read", "transfer", "change", "full")
ACTS += ("crash", "partition", "heal")
stories = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 40)), max_size=25)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 20), st.sampled_from([0, 8]), st.booleans(), stories)
def test_quiet_ticks_leave_every_field_as_plain_ones_do(seed, lease, pre_vote, story):
    options = RaftOptions(lease_ticks=lease, pre_vote=pre_vote)
    careful, plain = (
        Cluster(3, seed=seed, options=options, consensus=consensus)
        for consensus in (CarefulRaft, PlainRaft)
    )
    for cluster in (careful, plain):
        cluster.run(40)
    for what, number in story:
        for cluster in (careful, plain):
            play(cluster, what, number)
        for name, raft in careful.rafts.items():
            assert fields(vars(raft)) == fields(vars(plain.rafts[name]))


@pytest.mark.parametrize("name", ["leader", "follower"])
def test_most_ticks_of_an_idle_cluster_are_quiet(name):
    CarefulRaft.counted = 0
    cluster = Cluster(3, seed=1, consensus=CarefulRaft)
    cluster.run_until(lambda: cluster.leader() is not None)
    cluster.settle()
    leads = cluster.leader()
    raft = cluster.rafts[leads if name == "leader" else min(set(cluster.rafts) - {leads})]
    said = [raft.tick() for _ in range(raft.options.heartbeat_ticks - 1)]
    assert said.count(False) >= 2
    before = CarefulRaft.counted
    raft.timeout()  # an input: the next tick looks again
    assert raft.tick()
    assert CarefulRaft.counted == before


@pytest.mark.parametrize("offset", range(5))
def test_a_transfer_ends_in_its_tick_between_two_heartbeats(offset):
    cluster = Cluster(3, seed=1, consensus=CarefulRaft)
    cluster.run_until(lambda: cluster.leader() is not None)
    leads = cluster.leader()
    to = min(set(cluster.rafts) - {leads})
    cluster.run(20 + offset)
    cluster.partition([to])
    cluster.transfer(leads, to)
    cluster.run(cluster.rafts[leads].options.election_ticks - 1)
    assert cluster.rafts[leads].status().transfer == to
    cluster.run(1)
    assert cluster.rafts[leads].status().transfer is None
