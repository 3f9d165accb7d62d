"""When a memtable is frozen: the one rule of a store and of a member of a cluster.

A memtable holds on to the log above its tables, for a crash would lose it.  Where keys are new it
fills up as the log does.  Where few keys are written again and again it never does, while each of
the writes is in the log: then the log is what decides, or it would grow, and with it the time to
read it back, for as long as anybody writes.

Invariant: the log that waits for a memtable is bounded, however little the memtable holds.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvraft.segment import Segment

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
