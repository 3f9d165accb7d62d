"""Where log and tree meet: what a store and a member of a cluster, who have both, have in common.

The log and the tree know nothing of each other.  Three things need both:

- **Whether they fit** (:func:`check_disk`): looked at before a disk is used, so that nobody goes on
  with a log and tables of different times.
- **When a memtable is frozen** (:func:`should_freeze`).  A memtable holds on to the log above its
  tables, for a crash would lose it.  Where keys are new it fills up as the log does.  Where few
  keys are written again and again it never does, while each of the writes is in the log: then the
  log is what decides, or it would grow, and with it the time to read it back, for as long as
  anybody writes.
- **How much log waits for that** (:func:`waiting_log`).

Invariant: the log that waits for a memtable is bounded, however little the memtable holds.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvraft.disk import CURRENT, Disk
from kvraft.errors import Corruption
from kvraft.lsm import load_manifest
from kvraft.record import ORIGIN
from kvraft.wal import Recovery, Segment, recover

LOG_BYTES = 8 << 20
"""How much sealed log may wait for the memtable of a store: twice what its memtable may hold, so
that where keys are new and rows of a usual size, the memtable is full first."""


def should_freeze(
    memtable_bytes: int, log_bytes: int, waiting: int, *, full_at: int, log_limit: int
) -> bool:
    """Return whether a memtable is full, or the log that waits for it too long.

    ``log_bytes`` are those of sealed segments that the tree still needs; while ``waiting``
    memtables are on their way to a table, another small one would not free them any sooner.
    """
    return memtable_bytes >= full_at or (log_bytes > log_limit and not waiting)


def waiting_log(segments: Iterable[Segment], flushed: int) -> int:
    """Return how many bytes of sealed log the tree needs, whose tables end at index ``flushed``."""
    return sum(s.size for s in segments if s.sealed and s.high > flushed)


def check_disk(disk: Disk, owner: str) -> Recovery:
    """Return what the log of ``owner`` holds, if log and tables fit together; write nothing.

    Raises :class:`~kvraft.errors.Corruption` and :class:`~kvraft.errors.ForeignFile`.
    """
    state = load_manifest(disk, owner)
    log = recover(disk, owner, state.flushed if state.installed else ORIGIN)
    flushed = state.flushed.index
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
