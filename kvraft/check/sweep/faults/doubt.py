"""A disk in doubt: what a member must notice when it starts on one, and what nobody can.

A sync that lied, a write that went astray, a sector that is stale, a bit that flipped: as far as
promises go, the disk has gone back in time.  What kvraft promises then::

    damage in what a start reads (log, manifest, MEMBER)    the member refuses to start
    damage in a table                                       found when it is read, or by verify
    an end of the log is gone, and
    ├─ a later frame, or the manifest, says it was synced   the member refuses to start
    └─ nothing on this disk says that it was ever there     nobody can notice (wal/recovery.py)

In the last case a member would go on without votes and entries that others count on.  No protocol
survives that on a majority, and nobody survives it unnoticed even on one member; so a member whose
loss cannot be noticed is replaced here, as one is whose disk was lost, and never started.

Invariant: who may notice what is worked out from the bytes that should be there, without the code
that is to notice it.

Sources: Alagappan et al., *Protocol-Aware Recovery*, FAST 2018; TigerBeetle, whose simulator
keeps one good copy of everything, for the same reason.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from kvraft.check.invariants import KeptLog, log_on_disk
from kvraft.check.properties import Violation
from kvraft.check.sweep.faults.plan import Faults
from kvraft.disk import check_owner, frame
from kvraft.errors import Corruption, ForeignFile, StateLost
from kvraft.log_and_tree import check_disk
from kvraft.lsm import load_manifest
from kvraft.record import HardState
from kvraft.sim import SimDisk
from kvraft.tools import verify_disk
from kvraft.wal import Recovery, read_segment_header

_NOTICED = (Corruption, StateLost, ForeignFile)


def loser(faults: Faults) -> str:
    """Return a member whose disk may be lost, ``""`` if there is none."""
    return faults.random.choice([n for n in faults.members if faults.may_lose(n)] or [""])


def doubt(faults: Faults, name: str, what: str) -> None:
    """Have the disk of a member be looked at before it starts on it again."""
    faults.doubts[name] = partial(_start, faults, name, what)


def cut_off(faults: Faults, name: str) -> None:
    """Cut the power of a member whose disk is in doubt, and start it again."""
    if name in faults.doubts:
        faults.kill(name)
        faults.restart(name)


def _start(faults: Faults, name: str, what: str) -> None:
    """Start a member on a disk in doubt: it must refuse, or have lost nothing."""
    disk, owner = faults.disk(name), f"kvraft/{name}"
    if faults.random.random() < 0.5:
        disk.crash(faults.random)  # the machine was off, not only the process
    faults.repair(name)
    disk.restore()
    fallen = faults.world.seats[name].fallen
    try:
        verify_disk(disk, owner)
    except _NOTICED:
        _start_damaged(faults, name, what)
        return
    assert fallen is not None
    found = check_disk(disk, owner)
    if not _lacks(found, log_on_disk(fallen), fallen.wal.hard_state):
        faults.tally[f"{what}: nothing lost"] += 1
        disk.forgive()
        faults.restart(name)
        return
    if sign := _sign(disk, owner, found):
        raise Violation("nothing is forgotten", (name,), f"{name} does not see that {sign}")
    faults.lose(name, f"{what}: nobody could notice")


def _start_damaged(faults: Faults, name: str, what: str) -> None:
    """Start a member on a damaged disk, as an operator would who did not verify it first."""
    must_refuse = _is_noticed_at_start(faults.disk(name), f"kvraft/{name}")
    try:
        started = faults.world.restart(name)
    except _NOTICED:
        faults.lose(name, f"{what}: noticed at the start")
        return
    if must_refuse or not started:
        raise Violation("nothing is forgotten", (name,), f"{name} starts on a damaged disk")
    faults.kill(name)  # before it meets the damage, as a checker might
    faults.lose(name, f"{what}: noticed by verify")


def _is_noticed_at_start(disk: SimDisk, owner: str) -> bool:
    """Return whether log, manifest or ``MEMBER`` are damaged, which every start reads."""
    try:
        check_owner(disk, owner)
        check_disk(disk, owner)
    except (*_NOTICED, FileNotFoundError):
        return True
    return False


def _lacks(found: Recovery, kept: KeptLog, promised: HardState) -> bool:
    """Return whether a log that was found lacks entries or a vote that were on the disk before."""
    (term, vote), (before, voted) = found.hard_state, promised
    if term < before or (term == before and voted not in (None, vote)):
        return True
    last = kept.through
    if found.last.index < last or found.base.index > last:
        return found.last.index < last
    return last >= kept.wal.base.index and found.index.term_at(last) != kept.wal.term(last)


def _sign(disk: SimDisk, owner: str, found: Recovery) -> str:
    """Return what shows that the log which was found is too short, ``""`` if nothing does."""
    newest = found.segments[-1] if found.segments else None
    if newest is None:
        return ""
    if (newest.id, newest.size) < (synced := load_manifest(disk, owner).log):
        return f"its manifest knows of a log through byte {synced.size} of segment {synced.segment}"
    name, cut = newest.name, newest.size
    data, right = disk.read(name), disk.as_written().get(name, b"")
    seed = frame.checksum_seed(owner, name)
    with suppress(Corruption):
        frames = frame.scan(
            right, name=name, seed=seed, start=read_segment_header(name, right)[1]
        ).frames
        for each in frames:
            there = data[each.offset : each.end] == right[each.offset : each.end]
            if each.offset >= cut < each.synced and there:
                return f"{name} was synced through byte {each.synced}, and ends at {cut}"
    return ""
