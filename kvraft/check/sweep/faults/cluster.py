"""What operators do at bad moments: change members, hand leadership over; and clocks that are off.

A change of members may be refused, and is then asked for again later.  No change leaves fewer than
three voters, and no more than :data:`MOST_MEMBERS` members are ever started.
"""

from __future__ import annotations

from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.raft import Configuration

MOST_MEMBERS = 7


def change_members(faults: Faults) -> bool:
    """Add a learner, promote one, remove or exchange members, the leader among them.

    One change is often followed by another.
    """
    world, random = faults.world, faults.random
    if random.random() < 0.6:
        faults.plan(20, 400, partial(faults.strike, "members"))
    leader = world.leader()
    if leader is None:
        return False
    now = world.replicas[leader].raft.configuration
    started = [name for name in faults.members if name not in now.members]
    if not now.learners or random.random() < 0.2:
        if not started and len(world.members) >= MOST_MEMBERS:
            return _remove(faults, now)
        name = random.choice(started) if started else f"m{len(world.members) + 1}"
        if not started:
            faults.do("add", name)
        _ask(faults, now.voters, (*now.learners, name), 3)
        faults.plan(0, 150, partial(_promote, faults, name))
    elif random.random() < 0.6:
        _promote(faults, random.choice(now.learners))
    else:
        return _remove(faults, now)
    return True


def _promote(faults: Faults, name: str) -> None:
    """Promote a learner, often instead of a voter; it may be too early."""
    leader = faults.world.leader()
    if leader is None:
        return
    now = faults.world.replicas[leader].raft.configuration
    voters, random = list(now.voters), faults.random
    if name not in now.learners:
        return
    if len(voters) >= 5 or (len(voters) > 2 and random.random() < 0.5):
        voters.remove(random.choice(voters))
    learners = tuple(other for other in now.learners if other != name)
    _ask(faults, (*voters, name), learners, 4)


def _remove(faults: Faults, now: Configuration) -> bool:
    """Remove a voter, the leader or another, or make it a learner; or remove a learner."""
    random, voters = faults.random, list(now.voters)
    if len(voters) > 3:
        name = random.choice(voters)
        voters.remove(name)
        learners = (*now.learners, name) if random.random() < 0.3 else now.learners
    elif now.learners:
        learners = now.learners[1:]
    else:
        return False
    _ask(faults, tuple(voters), learners, 2)
    return True


def _ask(faults: Faults, voters: tuple[str, ...], learners: tuple[str, ...], times: int) -> None:
    """Ask for a change, and again up to ``times`` if it is refused for now."""
    if any(name in faults.gone for name in (*voters, *learners)):
        return
    if why := faults.ask(voters, learners):
        early = "cannot vote yet" in why
        faults.tally["promotions refused as too early" if early else "changes refused"] += 1
        if times:
            faults.plan(10, 200, partial(_ask, faults, voters, learners, times - 1))


def transfer(faults: Faults) -> bool:
    """Ask the leader to hand over to another member, maybe one that cannot take over."""
    world = faults.world
    leader = world.leader()
    if leader is None:
        return False
    others = [name for name in world.replicas[leader].raft.configuration.voters if name != leader]
    try:
        faults.judged.do("transfer", faults.random.choice(others or faults.members))
    except (NotLeader, Busy, BadInput):
        faults.tally["transfers refused"] += 1
        return False
    if faults.random.random() < 0.2:
        faults.plan(1, 60, partial(_cancel, faults))
    return True


def _cancel(faults: Faults) -> None:
    faults.do("cancel_transfer")


def set_clock(faults: Faults) -> None:
    """Set the clock of a member or a client wrong for a while, and never quite right again."""
    name, random = _clock(faults), faults.random
    faults.do("set_clock", name, random.choice((-2_000, -300, 100, 450, 2_000)))
    usual = random.choice((-100, 0, 200))
    faults.plan(100, 800, partial(faults.do, "set_clock", name, usual))


def drift(faults: Faults) -> None:
    """Make a clock run too fast or too slow for a while."""
    rate = faults.random.choice((-12, -3, 3, 12))
    _drift(faults, _clock(faults), rate, faults.random.randint(10, 40))


def _drift(faults: Faults, name: str, rate: int, times: int) -> None:
    faults.do("set_clock", name, faults.world.ahead(name) + rate if times else 0)
    if times:
        faults.plan(20, 30, partial(_drift, faults, name, rate, times - 1))


def _clock(faults: Faults) -> str:
    return faults.random.choice((*faults.members, *faults.names))
