"""The faults of the swarm: each kind goes by its name, happens, is survived, and ends."""

import pytest

from kvraft.check import Violation
from kvraft.check.sweep import KINDS, SwarmRun, fault_names
from kvraft.errors import BadInput
from kvraft.sim.network import INTACT
from kvraft.sim.seat import SYNC

LOSSES = ("lost-disk", "old-copy", "rot", "lying-sync", "misdirected-write", "stale-sector")
"""The kinds by which a member may lose what it promised."""


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_fault_happens_and_is_survived(name):
    """Alone, but for crashes, without which nothing starts."""
    kinds = (name, "crash") if name == "power-cut-at-start" else (name,)
    for seed in range(1, 20):
        run = SwarmRun(
            seed, acts=60, members=5 if name in ("ring", "diverging") else None, faults=kinds
        )
        run.faults.losses = run.faults.beheadings = 1
        run.run()
        struck = {key.removeprefix("fault ") for key in run.tally if key.startswith("fault ")}
        struck = {each for each in struck if run.tally[f"fault {each}"]}
        assert struck <= set(kinds)
        if name in struck:
            return
    pytest.fail(f"no run had the fault {name}")


def test_everything_is_repaired_at_the_end():
    run = SwarmRun(3, members=5)
    run.start()
    faults, world = run.faults, run.world
    for name, kind in KINDS.items():
        if name not in (*LOSSES, "beheading"):
            kind(faults)
    faults.end_all()
    assert not [name for name in faults.members if name not in world.replicas]
    assert not any(seat.paused for seat in world.seats.values())
    assert {seat.sync_micros for seat in world.seats.values()} == {SYNC}
    assert world.network.loss == 0
    ends = [*world.members, *world.clients]
    assert {world.network.link(a, b) for a in ends for b in ends if a != b} == {INTACT}
    assert not any(world.network.why_unreachable(a, b) for a in ends for b in ends)
    assert {world.ahead(name) for name in world.members} == {0}


def test_a_run_without_leases_is_the_only_one_whose_clocks_may_stop():
    for seed in range(1, 12):
        run = SwarmRun(seed)
        froze = KINDS["freeze"](run.faults)
        assert froze == (run.options.raft.lease_ticks == 0)
        if froze:
            assert any(seat.paused for seat in run.world.seats.values())


def test_a_member_that_starts_on_what_it_must_refuse_is_a_finding():
    run = SwarmRun(3)
    run.start()
    name = next(each for each in run.world.members if each != run.world.leader())
    disk = run.world.disk(name)
    run.faults.kill(name)
    run.judged.do("copy_disk", name)
    run.judged.do("bring_copy", name)
    run.world.seats[name].disk, whole = disk, run.world.seats[name].disk
    assert whole is not disk
    with pytest.raises(Violation, match=f"{name} starts with an old copy of its disk"):
        run.judged.do("restart", name)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_disk_is_lost_only_where_the_others_hold_everything(kind):
    run = SwarmRun(3, members=3)
    run.start()
    faults, world = run.faults, run.world
    leader = world.leader()
    follower, other = (each for each in world.members if each != leader)
    faults.losses = 2
    assert not faults.may_lose(leader)
    assert faults.may_lose(follower)
    faults.gone.append(other)
    assert not faults.may_lose(follower)
    faults.gone.clear()
    faults.wait_for(lambda: None)  # somebody is being replaced
    assert not faults.may_lose(follower)
    faults.do_waiting()
    faults.losses = 0
    faults.victim = lambda: follower
    assert KINDS[kind](faults) is False
    assert set(world.replicas) == set(world.members)


def test_a_fault_that_has_no_name_is_refused_with_all_that_have():
    assert fault_names(["pause", "rot", "pause"]) == ("pause", "rot")
    with pytest.raises(BadInput, match="no fault called rain, hail: crash, "):
        fault_names(["rain", "pause", "hail"])


def test_a_cluster_of_one_has_faults_too():
    run = SwarmRun(5, members=1, acts=40)
    run.run()
    assert sum(count for name, count in run.tally.items() if name.startswith("fault "))
