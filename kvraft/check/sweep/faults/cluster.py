"""What operators do at bad moments: change members, hand leadership over; and clocks that are off.

Bad moments are made here, too: a leader that is cut off with those who join, or while others lead.

A change of members may be refused, and is then asked for again later.  No change leaves fewer than
three voters, and no more than :data:`MOST_MEMBERS` members are ever started.
"""

from __future__ import annotations

from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.raft import Configuration

MOST_MEMBERS = 7
TROUBLE = ("split-change", "isolation", "crash", "stay-away", "pause", "time-out")
"""Faults that are worst while members change, and two majorities decide."""


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
        new = _newcomers(faults, started)
        if not new:
            return _remove(faults, now)
        _ask(faults, now.voters, (*now.learners, *new), 3)
        faults.plan(0, 150, partial(_promote, faults, new))
    elif random.random() < 0.6:
        _promote(faults, random.sample(now.learners, random.randint(1, len(now.learners))))
    else:
        return _remove(faults, now)
    return True


def _newcomers(faults: Faults, started: list[str]) -> list[str]:
    """Return one member or two to add, of those that are ``started`` and do not belong, or new."""
    world, new = faults.world, []
    for _ in range(faults.random.choice((1, 2))):
        if started:
            new.append(started.pop(faults.random.randrange(len(started))))
        elif len(world.members) < MOST_MEMBERS:
            new.append(f"m{len(world.members) + 1}")
            faults.do("add", new[-1])
    return new


def _promote(faults: Faults, names: list[str]) -> None:
    """Promote learners together, often instead of as many voters; it may be too early."""
    leader = faults.world.leader()
    if leader is None:
        return
    now = faults.world.replicas[leader].raft.configuration
    voters, random = list(now.voters), faults.random
    names = [name for name in names if name in now.learners]
    if not names:
        return
    for name in names:
        old = [voter for voter in voters if voter not in names]
        if old and (len(voters) >= 5 or (len(voters) > 2 and random.random() < 0.5)):
            voters.remove(random.choice(old))
        voters.append(name)
    learners = tuple(other for other in now.learners if other not in names)
    _ask(faults, tuple(voters), learners, 4)


def split_change(faults: Faults) -> bool:
    """Cut the leader and those who join off from the others, while members change."""
    leader = faults.world.leader()
    if leader is None:
        return False
    now = faults.world.replicas[leader].raft.configuration
    before = now.outgoing or now.voters
    joining = [name for name in now.members if name not in before and name in faults.members]
    if not joining or len(joining) + 1 >= len(faults.members):
        return False
    faults.do("partition", [[leader, *(name for name in joining if name != leader)]])
    faults.write_large()
    faults.plan(60, 1_200, faults.heal)
    return True


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
        return
    if faults.random.random() < 0.5:
        faults.plan(0, 6, partial(faults.follow, *TROUBLE))


def transfer(faults: Faults) -> bool:
    """Ask the leader to hand over to another member, maybe one that cannot take over."""
    world = faults.world
    leader = world.leader()
    if leader is None:
        return False
    others = [name for name in world.replicas[leader].raft.configuration.voters if name != leader]
    if faults.random.random() < 0.3:
        faults.follow("deaf-leader")
    if not _hand_over(faults, faults.random.choice(others or faults.members)):
        return False
    if faults.random.random() < 0.2:
        faults.plan(1, 60, partial(_cancel, faults))
    if faults.random.random() < 0.5:  # some clients do not know of it yet
        faults.plan(5, 20, partial(faults.read_at, leader))
        faults.plan(20, 60, partial(faults.read_at, leader))
    if faults.random.random() < 0.3:  # it is back where it is usual
        faults.plan(10, 400, partial(_hand_over, faults, leader))
    return True


def _hand_over(faults: Faults, to: str) -> bool:
    try:
        faults.judged.do("transfer", to)
    except (NotLeader, Busy, BadInput):
        faults.tally["transfers refused"] += 1
        return False
    return True


def outlive(faults: Faults) -> bool:
    """Cut the leader off, maybe with one other, until others led without it, one after another.

    Clients go on writing there, and some messages are late.  When it is back, it may be asked to
    lead again, and the other may be down.
    """
    world, random = faults.world, faults.random
    leader, members = world.leader(), faults.members
    if leader is None or len(members) < 3:
        return False
    others = [name for name in members if name != leader]
    company = random.sample(others, int(len(members) > 3 and random.random() < 0.8))
    for one in (leader, *company):
        for other in others:
            if other not in company:
                faults.cut(one, other)
    faults.write_large()
    faults.plan(0, 30, partial(faults.follow, "duplicates"))
    faults.plan(200, 500, partial(_lead_without, faults, leader, company, random.randint(0, 2)))
    return True


def _lead_without(faults: Faults, old: str, company: list[str], times: int) -> None:
    """Have leadership change hands ``times`` among the others; then repair the links."""
    world, random = faults.world, faults.random
    others = [name for name in faults.members if name not in (old, *company)]
    rivals = [name for name in others if name != world.leader()]
    if times and rivals and world.leader() in others:
        faults.write_large()
        _hand_over(faults, random.choice(rivals))
        faults.plan(15, 120, partial(_lead_without, faults, old, company, times - 1))
        return
    for one in (old, *company):
        for other in others:
            faults.reconnect(one, other)
    if random.random() < 0.7:
        for name in company:
            faults.kill(name)
            faults.plan(200, 1_500, partial(faults.restart, name))
    if random.random() < 0.8:
        faults.plan(5, 150, partial(_hand_over, faults, old))


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
