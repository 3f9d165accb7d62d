"""Faults of disks: calls fail, space ends; a disk is slow, lost, an old copy, or not to be trusted.

What a member must notice of the last is in ``doubt.py``.
"""

from __future__ import annotations

import errno
from functools import partial
from random import Random

from kvraft.check.sweep.faults.doubt import cut_off, doubt, loser
from kvraft.check.sweep.faults.plan import Faults
from kvraft.disk import MEMBER, is_segment, table_number


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
    name = loser(faults)
    if not name:
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
    name = loser(faults)
    if not name:
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


# ── disks that must not be trusted (doubt.py) ───────────────────────────────────────────────────


def rot(faults: Faults) -> bool:
    """Flip bits in what a member had made durable, which is down and then starts."""
    name, random = loser(faults), faults.random
    if not name:
        return False
    doubt(faults, name, "rot")
    faults.kill(name)
    disk = faults.disk(name)
    segments = [file for file in disk.names() if is_segment(file)]
    tables = [file for file in disk.names() if table_number(file) is not None]
    files = (*segments, *segments[-1:] * 3, *tables, MEMBER)
    file = random.choice([file for file in files if disk.size(file)])
    faults.world.corrupt_disk(name, file, random.randrange(disk.size(file)), random.randint(1, 255))
    faults.restart(name)
    return True


def lie_about_syncs(faults: Faults) -> bool:
    """Have syncs of a disk succeed and do nothing, some or all of them, until its power is cut."""
    name, random = loser(faults), faults.random
    if not name:
        return False
    doubt(faults, name, "lying sync")
    faults.disk(name).lie_about_syncs(Random(random.random()), random.choice((0.3, 0.7, 1.0)))
    faults.plan(20, 800, partial(cut_off, faults, name))
    return True


def misdirect(faults: Faults) -> bool:
    """Have one of the next writes to a disk land elsewhere; some time later its power is cut."""
    name, random = loser(faults), faults.random
    if not name:
        return False
    doubt(faults, name, "misdirected write")
    faults.disk(name).misdirect_at(random.randint(1, 12), Random(random.random()))
    faults.plan(20, 800, partial(cut_off, faults, name))
    return True


def go_stale(faults: Faults) -> bool:
    """Have a sector hold what it held some time before, and cut the power of its disk later."""
    name = loser(faults)
    if not name:
        return False
    doubt(faults, name, "stale sector")
    faults.disk(name).remember()
    faults.plan(5, 400, partial(_go_stale, faults, name))
    return True


def _go_stale(faults: Faults, name: str) -> None:
    random = faults.random
    if name in faults.doubts:
        faults.disk(name).go_stale(Random(random.random()), random.choice((64, 512)))
        faults.plan(0, 300, partial(cut_off, faults, name))
