"""Faults of members: they crash, also in the middle of a drain, stand still, or lose patience."""

from __future__ import annotations

from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.sim import DrainStep


def crash(faults: Faults, fastest: int = 20, slowest: int = 600) -> bool:
    """Crash a member for a moment."""
    name = faults.victim()
    if name not in faults.world.replicas:
        return False
    faults.kill(name)
    faults.plan(fastest, slowest, partial(faults.restart, name))
    return True


def stay_away(faults: Faults) -> bool:
    """Crash a member for so long that it may need a snapshot."""
    return crash(faults, 1_500, 3_000)


def crash_in_drain(faults: Faults) -> bool:
    """Crash a member between two steps of one of its next drains."""
    name = faults.victim()
    if name not in faults.world.replicas:
        return False
    faults.do("crash", name, str(faults.random.choice(tuple(DrainStep))))
    faults.plan(100, 600, partial(faults.restart, name))
    return True


def cut_power(faults: Faults) -> None:
    """Cut the power in the middle of one of the next calls to a disk."""
    name, random = faults.victim(), faults.random
    faults.do("cut_power", name, random.randint(1, 30), faults.seed())
    faults.plan(100, 600, partial(faults.restart, name))


def crash_loop(faults: Faults) -> bool:
    """Crash a member again and again soon after it starts, while clients read there.

    Often its links are slow as well, so that it hears what was meant for the process before.
    """
    name = faults.victim()
    if name not in faults.world.replicas:
        return False
    if not faults.alone and faults.random.random() < 0.65:
        slower = faults.random.choice((30, 80, 120))
        for other in faults.members:
            if other != name:
                faults.do("slow", other, name, slower)
                faults.plan(500, 900, partial(faults.do, "repair", other, name))
    _crash_soon(faults, name, faults.random.randint(3, 6))
    return True


def _crash_soon(faults: Faults, name: str, times: int) -> None:
    """Have a member run for a moment in which clients read there, and start again."""
    if not times or name in faults.gone:
        return
    up = faults.random.randint(15, 130)
    for _ in range(4):
        faults.plan(1, up, partial(faults.read_at, name))
    faults.plan(up, up, partial(faults.kill, name))
    faults.plan(up + 5, up + 40, partial(faults.restart, name))
    faults.plan(up + 40, up + 40, partial(_crash_soon, faults, name, times - 1))


def restart_all(faults: Faults) -> None:
    """Restart one member after another, each for a moment, as for a new release."""
    members = faults.members
    faults.random.shuffle(members)
    after = 0
    for name in members:
        faults.plan(after, after, partial(faults.kill, name))
        faults.plan(after + 5, after + 60, partial(faults.restart, name))
        after += faults.random.randint(30, 250)


def pause(faults: Faults, *, ticks: bool = True) -> bool:
    """Make the process of a member stand still; it finds out by its clock."""
    name = (faults.leases and faults.world.leader()) or faults.victim()
    if not faults.do("pause", name, 0, ticks):
        return False
    faults.plan(
        *faults.random.choice(((5, 80), (100, 700), (500, 2_000))), partial(faults.resume, name)
    )
    return True


def freeze(faults: Faults) -> bool:
    """Make a process stand still that never learns how long: no lease may depend on its clock."""
    return not faults.leases and pause(faults, ticks=False)


def time_out(faults: Faults) -> bool:
    """Make the timer of a member run out."""
    if not faults.time_out(faults.random.choice(faults.members)):
        return False
    if faults.random.random() < 0.4:  # and soon another one's, so that terms pass without a leader
        faults.plan(1, 30, partial(faults.strike, "time-out"))
    return True


def behead(faults: Faults) -> bool:
    """Kill the leader when a follower's log ends inside a large transaction."""
    if not faults.beheadings:
        return False
    faults.beheadings -= 1
    faults.wait_for(partial(_behead, faults))
    return True


def _behead(faults: Faults) -> None:
    world = faults.world
    leader = world.leader()
    if leader is None:
        return
    faults.write_large()
    for _ in range(200):
        world.step()
        others = [r.raft.log for name, r in world.replicas.items() if name != leader]
        logs = [log for log in others if log.last_index >= log.first_index]
        with world.undisturbed():
            ends = [log.slice(log.last_index)[0] for log in logs]
        if any(end.record.kind.is_data and not end.record.commit for end in ends):
            break
    if leader in world.replicas:
        faults.kill(leader)
        faults.do("drop_all", leader)
        faults.plan(20, 600, partial(faults.restart, leader))
