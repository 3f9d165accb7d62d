"""Reading: memtables and tables as one sorted map, as it was at one time.

::

    memtable, frozen memtables       newest first
    level 0, level 1, …              lsm/levels.py

Both ways of reading go from new to old and reconcile what they find: the highest timestamp wins,
and a range tombstone hides what is older than it.

Invariants:

- Reading changes nothing but counters and the cache.
- Once a version is known, tables that have only older ones are not searched.

Source: LevelDB db_impl (Get, NewInternalIterator).
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from kvraft.inputs import as_bytes
from kvraft.lsm.levels import Levels
from kvraft.lsm.merging import merge, visible
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.versions import VersionSet
from kvraft.mapping import ReadableMapping
from kvraft.memtable import Memtable, Memtables
from kvraft.range_tombstones import NEVER_DELETED, gather
from kvraft.record import MAX_TIMESTAMP, Buffer, KeyValue, Row, Timestamp
from kvraft.sstable import Table

_UNKNOWN: Any = object()
"""What a dictionary of rows returns for a key that it does not have; ``None`` is a tombstone."""


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
            start, stop = (start, None) if reverse else (b"", stop)  # only the first block cuts it
        return
    chunks = [run.chunks(start, stop, reverse=reverse) for run in (*memtables, *runs)]
    tombstones = [
        *(m.range_tombstones for m in memtables),
        *(t.range_tombstones for t in levels.has_range_tombstones),
    ]
    ranges = gather(tombstones, start, stop)
    for chunk in merge(chunks, reverse=reverse):
        yield visible(chunk, at, ranges)


class ReadableTree(ReadableMapping):
    """The look-up of one key, which :class:`~kvraft.lsm.engine.StorageEngine` completes."""

    table_set = VersionSet
    """The class of what keeps the tables.  A subclass may name another one."""
    lock: AbstractContextManager[bool]
    closed: bool
    counts: TreeCounters
    memtables: Memtables
    _tables: VersionSet

    def get(
        self, key: Buffer, default: bytes | None = None, *, at: Timestamp | None = None
    ) -> bytes | None:
        """Return the value of ``key``, ``default`` if it has none; with ``at``, at that time.

        Raises ``BadInput`` for a time at which versions may be gone (:attr:`horizon`).

        If no memtable has the key, and only the deepest of the tables that may have it, no versions
        need be compared.  Then it is answered from memory and without the lock: what is read here
        is replaced, never changed, or a ``dict``.  As rows move from memtables to tables, reading
        in this order may meet one twice, but cannot miss it; and rows that are all of a table's are
        never changed (``sstable/cache.py``).  Else it is what :func:`find` finds.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        time = MAX_TIMESTAMP if at is None and not self.closed else self.readable_time(at)
        counts = self.counts
        counts.gets += 1
        only: tuple[Levels, Table] | None = None  # the one table that can have the key
        for memtable in self.memtables.newest_first:
            if key in memtable.newest or memtable.range_tombstones is not None:
                break
        else:
            levels = self._tables.levels
            if levels.plain_from <= time:
                tables = levels.guide[bisect_right(levels.bounds, key) - 1]
                for excluded, table in enumerate(tables):
                    rows, whole = table.shelf.known
                    value = rows.get(key, _UNKNOWN)
                    if value is _UNKNOWN:
                        if whole or table.excludes(key):
                            continue
                        only = (levels, table) if table is tables[-1] else None
                    elif table is tables[-1]:
                        counts.filter_negatives += excluded
                        counts.tables_probed += excluded + 1
                        if not counts.tables_probed % 13:
                            table.mark_used(key)
                        return default if value is None else value
                    break
                else:
                    counts.filter_negatives += len(tables)
                    counts.tables_probed += len(tables)
                    return default
        row = self._read(key, time, at, only)
        return default if row is None or row[2] is None else row[2]

    def _read(
        self, key: bytes, time: Timestamp, at: Timestamp | None, only: tuple[Levels, Table] | None
    ) -> Row | None:
        """Return the newest row of ``key`` at ``time``, from disk if need be.

        ``only`` is the one table that can have it, and its levels, if that is known; then the
        filters of all tables above it, and its own, were asked.
        """
        with self.lock:
            if at is not None or self.closed:
                self.readable_time(at)  # it may have changed since
            levels = self._tables.levels
            if only is None or only[0] is not levels:
                return find(self.memtables.newest_first, levels, key, time)
            above = len(levels.candidates(key)) - 1
            self.counts.filter_negatives += above
            self.counts.tables_probed += above
            return only[1].get(key, time, excluded=False)

    @abstractmethod
    def readable_time(self, at: Timestamp | None) -> Timestamp:
        """Return ``at`` if the tree can be read at that time, the latest time for ``None``.

        Raises ``BadInput`` if it cannot or is closed.
        """
