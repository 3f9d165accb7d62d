"""Faults of disks: calls fail, space ends; a disk is slow, lost, an old copy, or lies."""

from __future__ import annotations

from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.disk import MEMBER, is_segment, table_number
from kvraft.sim import SYNC


def break_disk(faults: Faults) -> None:
    """Make one of the next calls to a disk fail, of which the process dies, maybe its host."""
    name, random = faults.victim(), faults.random
    faults.do("break_disk", name, random.randint(1, 30), False, faults.seed())
    host = random.random() < 0.6
    faults.plan(30, 600, partial(_cut_and_restart if host else Faults.restart, faults, name))


def _cut_and_restart(faults: Faults, name: str) -> None:
    faults.kill(name)
    faults.restart(name)


def fail_to_read(faults: Faults) -> None:
    """Make one of the next reads of a disk fail: whatever needed it, the member must stop."""
    name, random = faults.victim(), faults.random
    faults.do("break_disk", name, random.randint(1, 12), True)
    faults.plan(100, 600, partial(faults.restart, name))


def fill(faults: Faults) -> None:
    """Leave little room on a disk, or none."""
    name = faults.victim()
    faults.do("fill", name, faults.random.choice((0, 500, 4_000)))
    faults.plan(200, 1_500, partial(faults.restart, name))


def slow(faults: Faults) -> None:
    """Make each sync of a disk take longer for a while, sometimes much longer."""
    name, times = faults.victim(), faults.random.randint(3, 30)
    _slow(faults, name, times)


def _slow(faults: Faults, name: str, times: int) -> None:
    if not times:
        faults.do("slow_disk", name, SYNC)
        return
    faults.do("slow_disk", name, int(faults.random.expovariate(1 / 6_000)))
    faults.plan(5, 60, partial(_slow, faults, name, times - 1))


def _loser(faults: Faults) -> str:
    """Return a member whose disk may be lost, ``""`` if there is none."""
    return faults.random.choice([n for n in faults.members if faults.may_lose(n)] or [""])


def lose(faults: Faults) -> bool:
    """Wipe a member's disk: it must notice, and a new member replaces it."""
    name = _loser(faults)
    if not name:
        return False
    faults.kill(name)
    faults.repair(name)  # a new disk: what was planned for the old one is cancelled
    if not faults.do("wipe", name):
        return False
    faults.do("restart", name)  # which must be refused
    faults.lose(name, "losses noticed")
    return True


def bring_old_copy(faults: Faults) -> bool:
    """Copy a disk; some time later the member comes back with the copy, which it must refuse."""
    name = _loser(faults)
    if not name:
        return False
    faults.do("copy_disk", name)
    faults.plan(50, 1_500, partial(_start_on_copy, faults, name))
    return True


def _start_on_copy(faults: Faults, name: str) -> None:
    if not faults.may_lose(name) or name in faults.gone:
        return
    faults.kill(name)
    if faults.do("bring_copy", name):
        faults.do("restart", name)  # which must be refused
        faults.lose(name, "old copies refused")


# ── disks that must not be trusted: what a member must notice is in sweep/doubt.py ──────────────


def rot(faults: Faults) -> bool:
    """Flip bits in what a member that is down had made durable, and start it."""
    name, random = _doubtful(faults, "rot"), faults.random
    if not name:
        return False
    faults.kill(name)
    disk = faults.world.sim_disk(name)
    segments = [file for file in disk.names() if is_segment(file)]
    tables = [file for file in disk.names() if table_number(file) is not None]
    files = (*segments, *segments[-1:] * 3, *tables, MEMBER)
    file = random.choice([file for file in files if disk.size(file)])
    place, mask = random.randrange(disk.size(file)), random.randint(1, 255)
    faults.do("corrupt", name, file, place, mask)
    faults.restart(name)
    return True


def lie_about_syncs(faults: Faults) -> bool:
    """Have syncs of a disk succeed and do nothing, some or all of them, until its power is cut."""
    name = _doubtful(faults, "lying sync")
    if not name:
        return False
    faults.do("lie_about_syncs", name, faults.random.choice((30, 70, 100)), faults.seed())
    faults.plan(20, 800, partial(_cut_off, faults, name))
    return True


def misdirect(faults: Faults) -> bool:
    """Have one of the next writes to a disk land elsewhere; some time later its power is cut."""
    name = _doubtful(faults, "misdirected write")
    if not name:
        return False
    faults.do("misdirect", name, faults.random.randint(1, 12), faults.seed())
    faults.plan(20, 800, partial(_cut_off, faults, name))
    return True


def go_stale(faults: Faults) -> bool:
    """Have a sector hold what it held some time before, and cut the power of its disk later."""
    name = _doubtful(faults, "stale sector")
    if not name:
        return False
    faults.do("remember_disk", name)
    faults.plan(5, 400, partial(_go_stale, faults, name))
    return True


def _go_stale(faults: Faults, name: str) -> None:
    if name in faults.doubts:
        faults.do("go_stale", name, faults.random.choice((64, 512)), faults.seed())
        faults.plan(0, 300, partial(_cut_off, faults, name))


def _doubtful(faults: Faults, what: str) -> str:
    """Return a member whose disk is looked at before it next starts on it, ``""`` if none may."""
    name = _loser(faults)
    if name:
        faults.doubts[name] = partial(_start_in_doubt, faults, name, what)
    return name


def _cut_off(faults: Faults, name: str) -> None:
    """Cut the power of a member whose disk is in doubt, and start it again."""
    if name in faults.doubts:
        faults.kill(name)
        faults.restart(name)


def _start_in_doubt(faults: Faults, name: str, what: str) -> None:
    """Start a member, as an operator would who did not verify its disk first.

    If its loss cannot be noticed, it is never started again.
    """
    if faults.random.random() < 0.5:  # the machine was off, not only the process
        faults.do("switch_off", name, faults.seed())
    faults.repair(name)
    doubt = faults.judged.doubt(name)
    if doubt.whole:
        faults.tally[f"{what}: nothing lost"] += 1
        faults.restart(name)
        return
    if doubt.lost and not doubt.refuse:
        faults.lose(name, f"{what}: nobody could notice")
        return
    faults.do("restart", name)
    if name not in faults.world.replicas:
        faults.lose(name, f"{what}: noticed at the start")
        return
    faults.kill(name)  # before it meets the damage, as a checker might
    faults.lose(name, f"{what}: noticed by verify")
