"""Faults of disks: calls fail, space ends, bytes rot; a disk is slow, or lost, or an old copy."""

from __future__ import annotations

from functools import partial

from kvraft.check.sweep.faults.plan import Faults
from kvraft.disk import MEMBER, is_segment, table_number
from kvraft.errors import Corruption, StateLost
from kvraft.sim import SYNC
from kvraft.tools import verify_disk


def break_disk(faults: Faults) -> None:
    """Make one of the next calls to a disk fail, of which the process dies, maybe its host."""
    name, random = faults.victim(), faults.random
    faults.do("break_disk", name, random.randint(1, 30), False, faults.seed())
    faults.plan(100, 600, partial(faults.restart, name))


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


def lose(faults: Faults) -> bool:
    """Wipe a member's disk: it must notice, and a new member replaces it."""
    name = faults.victim()
    if not faults.may_lose(name):
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
    name = faults.victim()
    if not faults.may_lose(name):
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


def rot(faults: Faults) -> bool:
    """Flip bits in what a member that is down had made durable: it must notice, or not mind.

    Only files are hit that were complete long ago.  The end of the newest segment may look torn
    instead of damaged (disk/frame.py), as after any crash.
    """
    name, random = faults.victim(), faults.random
    if not faults.may_lose(name):
        return False
    faults.kill(name)
    faults.repair(name)
    disk = faults.world.sim_disk(name)
    segments = sorted(file for file in disk.names() if is_segment(file))[:-1]
    tables = [file for file in disk.names() if table_number(file) is not None]
    files = [file for file in (*segments, *tables, MEMBER) if disk.size(file)]
    file = random.choice(files)
    place, mask = random.randrange(disk.size(file)), random.randint(1, 255)
    faults.do("corrupt", name, file, place, mask)
    try:
        verify_disk(disk, f"kvraft/{name}")
    except (Corruption, StateLost):
        _start_rotten(faults, name)
    else:
        faults.tally["rot that nobody needed"] += 1
        faults.restart(name)
    return True


def _start_rotten(faults: Faults, name: str) -> None:
    """Start a member on a damaged disk, as an operator would who did not verify it first."""
    faults.do("restart", name)
    if name not in faults.world.replicas:
        faults.lose(name, "rot noticed at the start")
        return
    faults.kill(name)  # before it meets the damage, as a checker might
    faults.lose(name, "rot noticed by verify")
