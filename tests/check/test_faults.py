"""The faults of the swarm: each kind goes by its name, happens, is survived, and ends."""

import pytest

from kvraft.check import Violation
from kvraft.check.sweep import KINDS, SwarmRun, fault_names
from kvraft.check.sweep.faults.cluster import TROUBLE
from kvraft.check.sweep.faults.plan import SCRIPTS
from kvraft.errors import BadInput
from kvraft.raft import Role
from kvraft.sim import MILLISECOND
from kvraft.sim.network import INTACT
from kvraft.sim.seat import SYNC

LOSSES = ("lost-disk", "old-copy", "rot", "lying-sync", "misdirected-write", "stale-sector")
"""The kinds by which a member may lose what it promised."""


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_fault_happens_and_is_survived(name):
    """Alone, but for crashes, without which nothing starts, and changes, which can be split."""
    kinds = (name, *{"power-cut-at-start": ["crash"], "split-change": ["members"]}.get(name, ()))
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


def test_faults_that_come_together_are_those_that_there_are():
    assert {name for script in SCRIPTS for name in script} | set(TROUBLE) <= set(KINDS)
    run = SwarmRun(3, faults=("transfer", "pause", "one-way"))
    run.start()
    faults = run.faults
    faults.draw()
    assert sorted(faults.scripts) == [("one-way", "transfer"), ("transfer", "pause")]
    faults.scripts = [("transfer", "pause")]
    faults.random.random = lambda: 0.9
    faults.random.choice = lambda among: 60 if 60 in among else among[0]
    struck = []
    faults.strike = lambda name: struck.append((name, run.world.now - began))
    began = run.world.now
    faults.strike_soon()
    for _ in range(130):
        run.world.run_for(1)
        faults.do_due()
    (first, soon), (second, later) = struck
    assert (first, second) == ("transfer", "pause")
    assert soon <= 60 * MILLISECOND <= later <= 121 * MILLISECOND


def test_only_what_was_drawn_follows():
    run = SwarmRun(3)
    struck = []
    run.faults.strike = struck.append
    run.faults.follow(*KINDS)  # nothing was drawn yet
    run.faults.drawn = ["rot", "pause", "pause"]
    for _ in range(20):
        run.faults.follow("crash", "pause", "one-way")
    assert set(struck) == {"pause"}


def test_who_alone_joins_others_is_a_likely_victim():
    run = SwarmRun(3, members=5)
    run.start()
    faults, leader = run.faults, run.world.leader()
    KINDS["bridge"](faults)
    (middle,) = faults.between
    ends = [name for name in faults.members if name != middle]
    assert all(run.world.network.link(middle, end) == INTACT for end in ends)
    assert sum(faults.victim() == middle for _ in range(200)) > 70
    run.world.run_for(2_001)
    faults.do_due()
    assert not faults.between
    KINDS["severed-link"](faults)
    assert leader not in faults.between
    assert all(run.world.network.link(leader, name) == INTACT for name in faults.between)
    assert 1 <= len(faults.between) <= 3


def test_leaders_are_cut_off_as_soon_as_they_lead():
    run = SwarmRun(4, members=3)
    run.start()
    faults, world = run.faults, run.world
    KINDS["short-lived"](faults)
    terms = set()
    for _ in range(3_000):
        world.run_for(1)
        faults.do_due()
        terms |= {r.raft.term for r in world.replicas.values() if r.raft.role is Role.LEADER}
    assert len(terms) >= 3
    assert not any(world.network.why_unreachable(*world.members[i : i + 2]) for i in (0, 1))


def test_an_outlived_leader_is_back_in_the_end():
    """It is cut off, alone or with one other; others lead; then all links are repaired."""
    run = SwarmRun(3, members=5)
    run.start()
    faults, world = run.faults, run.world
    leader = world.leader()
    KINDS["outlived"](faults)
    reached = [
        name
        for name in world.members
        if name != leader and world.network.link(leader, name) == INTACT
    ]
    assert len(reached) <= 1
    for _ in range(1_500):
        world.run_for(1)
        faults.do_due()
    assert world.replicas[world.leader()].raft.term > 1
    assert all(world.network.link(leader, name) == INTACT for name in faults.members[1:])


def test_members_change_several_at_once_and_the_leader_may_be_cut_off_with_them():
    run = SwarmRun(3, members=3)
    run.start()
    faults, world = run.faults, run.world
    leader = world.leader()
    assert KINDS["split-change"](faults) is False
    for name in ("m4", "m5"):
        world.add(name)
    voters = world.members[:3]
    world.change(voters, ("m4", "m5"))
    world.run_for(300)
    world.change((leader, "m4", "m5"), ())
    assert KINDS["split-change"](faults)
    world.run_for(60)
    joint = world.replicas[leader].raft.configuration
    assert (joint.voters, joint.outgoing) == ((leader, "m4", "m5"), voters)
    others = [name for name in voters if name != leader]
    assert {world.replicas[name].raft.configuration.joint for name in others} == {False}
    assert {world.replicas[name].raft.configuration.joint for name in ("m4", "m5")} == {True}


def test_a_cluster_of_one_has_faults_too():
    run = SwarmRun(5, members=1, acts=40)
    run.run()
    assert sum(count for name, count in run.tally.items() if name.startswith("fault "))


def test_a_replacement_that_is_removed_before_it_votes_joins_again(monkeypatch):
    run = SwarmRun(1, members=3, faults=())
    run.start()
    faults, world = run.faults, run.world
    name = next(each for each in world.members if each != world.leader())
    new = f"{name}.2"
    ask, removed = faults.ask, []

    def asks_after_somebody_else(voters, learners):
        if new in voters and not removed:
            removed.append(ask([each for each in voters if each != new], learners))
            world.run_for(50)
        return ask(voters, learners)

    monkeypatch.setattr(faults, "ask", asks_after_somebody_else)
    faults.kill(name)
    faults.lose(name, "lost")
    faults.do_waiting()
    assert removed == [""]
    assert new in world.replicas[world.leader()].raft.configuration.voters
