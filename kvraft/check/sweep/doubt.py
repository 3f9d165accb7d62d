"""A disk in doubt: what a member must notice when it starts on one, and what nobody can.

A sync that lied, a write that went astray, a sector that is stale, a bit that flipped: as far as
promises go, the disk has gone back in time.  What kvraft promises then::

    damage in what a start reads (log, manifest, MEMBER)    the member refuses to start
    damage in a table                                       found when it is read, or by verify
    an end of the log or of the manifest is gone, and
    ├─ what is left says that there was more                the member refuses to start
    └─ nothing on this disk says that it was ever there     nobody can notice (wal/recovery.py)

In the last case a member would go on without votes and entries that others count on, and only
another copy of the disk could show it.  So the swarm never starts such a member: it replaces it, as
one whose disk was lost.

Invariant: what must be noticed is worked out from the bytes that should be there, too, and not only
by the code that is to notice it.

Sources: Alagappan et al., *Protocol-Aware Recovery*, FAST 2018; TigerBeetle, whose simulator keeps
one good copy of everything, for the same reason.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from kvraft.check.invariants import KeptLog, log_on_disk
from kvraft.disk import check_owner, frame
from kvraft.errors import Corruption, ForeignFile, StateLost
from kvraft.log_and_tree import check_disk
from kvraft.lsm import load_manifest
from kvraft.record import HardState
from kvraft.replica import Replica
from kvraft.sim import SimDisk
from kvraft.tools import verify_disk
from kvraft.wal import Recovery, read_segment_header

NOTICED = (Corruption, StateLost, ForeignFile)


class Doubt(NamedTuple):
    """What is wrong with a disk: a start must refuse it for ``refuse``, ``""`` if it need not.

    ``damaged`` says that a table is damaged, ``lost`` that votes, entries or edits of the manifest
    are gone.
    """

    refuse: str = ""
    damaged: bool = False
    lost: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self)


def look(disk: SimDisk, owner: str, fallen: Replica | None) -> Doubt:
    """Return what is wrong with the disk of a member that is down; ``fallen`` is what it was."""
    try:
        check_owner(disk, owner)
        found = check_disk(disk, owner)
    except (*NOTICED, FileNotFoundError) as error:
        return Doubt(str(error))
    lost = fallen is not None and (
        _lacks(found, log_on_disk(fallen), fallen.wal.hard_state)
        or load_manifest(disk, owner).flushed.index < fallen.marks.flushed
    )
    if lost and (sign := _sign(disk, owner, found)):
        return Doubt(sign, lost=True)
    try:
        verify_disk(disk, owner)
    except NOTICED:
        return Doubt(damaged=True, lost=lost)
    return Doubt(lost=lost)


def _lacks(found: Recovery, kept: KeptLog, promised: HardState) -> bool:
    """Return whether a log that was found lacks entries or a vote that were on the disk before."""
    (term, vote), (before, voted) = found.hard_state, promised
    if term < before or (term == before and voted not in (None, vote)):
        return True
    last = kept.through
    if found.last.index < last or found.base.index > last or last < kept.wal.base.index:
        return found.last.index < last
    return found.index.term_at(last) != kept.wal.term(last)


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
        start = read_segment_header(name, right)[1]
        for each in frame.scan(right, name=name, seed=seed, start=start).frames:
            there = data[each.offset : each.end] == right[each.offset : each.end]
            if each.offset >= cut < each.synced and there:
                return f"{name} was synced through byte {each.synced}, and ends at {cut}"
    return ""
