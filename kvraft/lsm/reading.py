"""Reading: memtables and tables as one sorted map, as it was at one time.

::

    memtable, frozen memtables       newest first
    level 0, level 1, …              lsm/levels.py

Both ways of reading go from new to old and reconcile what they find: the highest timestamp wins,
and a range tombstone hides what is older than it.

Invariants:

- These functions change nothing and remember nothing.
- Once a version is known, tables that have only older ones are not searched.

Source: LevelDB db_impl (Get, NewInternalIterator).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvraft.lsm.levels import Levels
from kvraft.lsm.merging import merge, visible
from kvraft.memtable import Memtable
from kvraft.range_tombstones import NEVER_DELETED, gather
from kvraft.record import KeyValue, Row, Timestamp


def find(memtables: Sequence[Memtable], levels: Levels, key: bytes, at: Timestamp) -> Row | None:
    """Return the newest row of ``key`` at the time ``at``, ``None`` if there is none.

    A row without a value is a tombstone; a range tombstone that is newer than all rows of the key
    counts as one of its own.
    """
    best: Row | None = None
    newest = deleted = NEVER_DELETED
    for memtable in memtables:
        row = memtable.get(key, at)
        if row is not None and row[1] > newest:
            best, newest = row, row[1]
        if memtable.range_tombstones is not None:
            deleted = max(deleted, memtable.range_tombstones.newest(key, at))
    for table in levels.has_range_tombstones:
        deleted = (
            max(deleted, table.range_tombstones.newest(key, at))
            if table.range_tombstones
            else deleted
        )
    # A row as old as a range tombstone is of the same transaction, and stays.
    newest = max(newest, deleted - 1)
    if levels.newest > newest:
        for table in levels.candidates(key):
            if table.metadata.max_timestamp > newest:
                row = table.get(key, at)
                if row is not None and row[1] > newest:
                    best, newest = row, row[1]
    if best is not None and best[1] >= deleted:
        return best
    return None if deleted == NEVER_DELETED else (key, deleted, None)


def scan(
    memtables: Sequence[Memtable],
    levels: Levels,
    start: bytes,
    stop: bytes | None,
    at: Timestamp,
    *,
    reverse: bool,
) -> Iterator[list[KeyValue]]:
    """Yield lists of keys and values with ``start <= key < stop`` at the time ``at``.

    With ``reverse`` the last list comes first; each list is in ascending order.
    """
    runs = levels.runs(start, stop)
    memtables = [memtable for memtable in memtables if memtable]
    if not memtables and len(runs) == 1 and runs[0].plain and levels.newest <= at:
        # Nothing to reconcile and nothing to hide: blocks are returned unchanged.
        for block in runs[0].blocks_from(start, stop, reverse=reverse):
            yield block.pairs(start, stop)
        return
    chunks = [run.chunks(start, stop, reverse=reverse) for run in (*memtables, *runs)]
    tombstones = [
        *(m.range_tombstones for m in memtables),
        *(t.range_tombstones for t in levels.has_range_tombstones),
    ]
    ranges = gather(tombstones, start, stop)
    for chunk in merge(chunks, reverse=reverse):
        yield visible(chunk, at, ranges)
