"""Faults of disks: calls fail, space ends, bytes rot; a disk is slow, or lost, or an old copy."""

from __future__ import annotations

import errno
from functools import partial

from kvraft.check.properties import Violation
from kvraft.check.sweep.faults.plan import Faults
from kvraft.disk import MEMBER, is_segment, table_number
from kvraft.errors import Corruption, StateLost
from kvraft.tools import verify_disk


def break_disk(faults: Faults) -> None:
    """Make one of the next calls to a disk fail, of which the process dies, maybe its host."""
    name, random = faults.victim(), faults.random
    faults.disk(name).break_at(random.randint(1, 30), error=errno.EIO, random=random)
    faults.plan(100, 600, partial(faults.restart, name))


def fail_to_read(faults: Faults) -> None:
    """Make one of the next reads of a disk fail: whatever needed it, the member must stop."""
    name, random = faults.victim(), faults.random
    faults.disk(name).break_at(random.randint(1, 12), error=errno.EIO, kinds=("read",))
    faults.plan(100, 600, partial(faults.restart, name))


def fill(faults: Faults) -> None:
    """Leave little room on a disk, or none."""
    name = faults.victim()
    faults.world.fill_disk(name, faults.random.choice((0, 500, 4_000)))
    faults.plan(200, 1_500, partial(faults.restart, name))


def slow(faults: Faults) -> None:
    """Make each sync of a disk take longer for a while, sometimes much longer."""
    name, times = faults.victim(), faults.random.randint(3, 30)
    _slow(faults, name, times)


def _slow(faults: Faults, name: str, times: int) -> None:
    if not times:
        faults.world.slow_disk(name)
        return
    faults.world.slow_disk(name, int(faults.random.expovariate(1 / 6_000)))
    faults.plan(5, 60, partial(_slow, faults, name, times - 1))


def lose(faults: Faults) -> bool:
    """Wipe a member's disk: it must notice, and a new member replaces it."""
    name = faults.victim()
    if not faults.may_lose(name):
        return False
    faults.kill(name)
    faults.repair(name)
    disk = faults.disk(name)
    disk.restore()  # a new disk: what was planned for the old one is cancelled
    disk.wipe()
    faults.must_refuse(name, "an empty disk")
    faults.lose(name, "losses noticed")
    return True


def bring_old_copy(faults: Faults) -> bool:
    """Copy a disk; some time later the member comes back with the copy, which it must refuse."""
    name = faults.victim()
    if not faults.may_lose(name):
        return False
    copy = faults.disk(name).backup()
    faults.plan(50, 1_500, partial(_start_on, faults, name, copy))
    return True


def _start_on(faults: Faults, name: str, copy: object) -> None:
    if not faults.may_lose(name) or name in faults.gone:
        return
    faults.kill(name)
    seat = faults.world.seats[name]
    seat.disk = copy  # type: ignore[assignment]
    faults.must_refuse(name, "an old copy of its disk")
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
    disk = faults.disk(name)
    faults.repair(name)
    disk.restore()
    segments = sorted(file for file in disk.names() if is_segment(file))[:-1]
    tables = [file for file in disk.names() if table_number(file) is not None]
    files = [file for file in (*segments, *tables, MEMBER) if disk.size(file)]
    file = random.choice(files)
    faults.world.corrupt_disk(name, file, random.randrange(disk.size(file)), random.randint(1, 255))
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
    try:
        started = faults.world.restart(name)
    except (Corruption, StateLost):
        faults.lose(name, "rot noticed at the start")
        return
    if not started:
        raise Violation("nothing is forgotten", (name,), f"{name} lost its power on a whole disk")
    faults.kill(name)  # before it meets the damage, as a checker might
    faults.lose(name, "rot noticed by verify")
