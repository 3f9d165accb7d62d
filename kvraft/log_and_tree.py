"""Where log and tree meet: rules that a store and a member of a cluster, which have both, share.

The log and the tree know nothing of each other.  Three things need both:

- **Whether they match** (:func:`check_disk`): checked before a disk is used, so that a member never
  runs on a log and tables of different times.
- **When a memtable is frozen** (:func:`should_freeze`).  A memtable pins the log above its tables,
  for a crash would lose it.  Where keys are new it fills up as the log does.  Where few keys are
  written again and again it never does, while each of the writes is in the log: then the size of
  the log decides, or the log, and the time to read it back, would grow without limit.
- **How much log waits for that** (:func:`waiting_log`).

Invariant: the log that waits for a memtable is bounded, however little is in the memtable.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvraft.disk import CURRENT, Disk
from kvraft.errors import Corruption
from kvraft.lsm import load_manifest
from kvraft.record import ORIGIN
from kvraft.wal import Recovery, Segment, TakeWrites, recover

LOG_BYTES = 8 << 20
"""How many bytes of sealed log may wait for the memtable of a store: twice its default size, so
that where keys are new and rows of a usual size, the memtable is full first."""


def should_freeze(
    memtable_bytes: int, log_bytes: int, waiting: int, *, full_at: int, log_limit: int
) -> bool:
    """Return whether a memtable is full, or more than ``log_limit`` bytes of log wait for it.

    ``log_bytes`` are those of sealed segments that the tree still needs.  While ``waiting``
    memtables wait to be flushed, another small one would not free the log any sooner.
    """
    return memtable_bytes >= full_at or (log_bytes > log_limit and not waiting)


def waiting_log(segments: Iterable[Segment], flushed: int) -> int:
    """Return how many bytes of sealed log a tree needs whose tables end at index ``flushed``."""
    return sum(s.size for s in segments if s.sealed and s.high > flushed)


def check_disk(disk: Disk, owner: str, take: TakeWrites | None = None) -> Recovery:
    """Return what recovery finds in the log of ``owner``, if log and tables match; write nothing.

    ``take`` is given the writes that the tables have not, as the log is read.

    Raises :class:`~kvraft.errors.Corruption` if either is damaged or they do not match, and
    :class:`~kvraft.errors.ForeignFile` for another owner or format.
    """
    state = load_manifest(disk, owner)
    flushed = state.flushed.index
    installed = state.flushed if state.installed else ORIGIN
    log = recover(disk, owner, installed, take=take, after=flushed)
    if not log.segments and not log.obsolete:
        if CURRENT in disk.names():
            raise Corruption(
                CURRENT, 0, "there is a manifest, but the log that belongs to it is gone"
            )
        return log
    if log.base.index > flushed:
        what = f"the log begins after index {log.base.index}, but the tables end at {flushed}"
        raise Corruption(log.segments[0].name, 0, what)
    if log.last.index < flushed:
        what = f"the log ends at index {log.last.index}, but the tables hold all through {flushed}"
        raise Corruption(log.segments[-1].name, log.segments[-1].size, what)
    newest = log.segments[-1] if log.segments else None
    if newest is not None and (newest.id, newest.size) < state.log:
        what = f"the log ends here, but it was synced through byte {state.log.size} of segment"
        raise Corruption(newest.name, newest.size, f"{what} {state.log.segment}")
    return log
