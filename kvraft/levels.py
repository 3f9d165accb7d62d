"""Levels: the live tables as they are read.

::

    level 0   [c────────q] [a───────k] [e─────────z]      newest first; spans may overlap
    level 1   [a──d] [e────h] [i──────p] [q─────z]        one sorted run: spans never overlap
    level 2   [a─b] [c──d] [e─f] [g───────────m] …        one sorted run, older than level 1

A key lies in any number of tables of level 0, and in one table at most of each deeper level.

Invariants:

- What is here never changes: a flush or a compaction makes new levels, and readers of the old ones
  go on with what they have.
- Files of tables that are live no more are removed when nobody reads their levels.

Source: LevelDB impl.md (levels), version_set (versions).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from weakref import WeakSet

from kvraft.errors import Damage
from kvraft.merge import Chunk
from kvraft.record import Row
from kvraft.snapshot import TreeSnapshot
from kvraft.sstable import Table
from kvraft.tableinfo import read_order


class Level:
    """One sorted run of tables whose spans do not overlap."""

    def __init__(self, tables: Iterable[Table]) -> None:
        """Take ``tables``, ordered by their spans."""
        self.tables = tuple(tables)
        self._starts = [table.info.start for table in self.tables]

    def find(self, key: bytes) -> Table | None:
        """Return the table whose span covers ``key``, ``None`` if there is none."""
        at = bisect_right(self._starts, key) - 1
        if at < 0 or not self.tables[at].info.covers(key):
            return None
        return self.tables[at]

    def chunks(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Chunk]:
        """Yield the rows with ``start <= key < stop``, block by block: see ``Table.chunks``."""
        if reverse:
            at = (len(self.tables) if stop is None else bisect_left(self._starts, stop)) - 1
        else:
            at = max(0, bisect_right(self._starts, start) - 1)
        while 0 <= at < len(self.tables):
            info = self.tables[at].info
            if info.overlaps(start, stop or b""):
                yield from self.tables[at].chunks(start, stop, reverse=reverse)
            elif (info.stop and info.stop <= start) if reverse else info.start > start:
                return
            at += -1 if reverse else 1


class Levels:
    """The tables of a tree at one moment, in the order in which they are read.

    ``newest`` is the highest timestamp in any of them, -1 if there are no tables; ``numbers`` are
    those of the tables.  ``readers`` counts open scans and views, ``snapshots`` are those that
    somebody still holds.
    """

    def __init__(self, tables: Iterable[Table] = ()) -> None:
        by_number = {table.info.number: table for table in tables}
        infos = read_order(table.info for table in by_number.values())
        self.readers = 0
        self.snapshots: WeakSet[TreeSnapshot] = WeakSet()
        self.tables = tuple(by_number[info.number] for info in infos)
        self.numbers = frozenset(by_number)
        self.newest = max((info.max_timestamp for info in infos), default=-1)
        runs = [list(run) for _, run in groupby(self.tables, lambda table: table.info.level)]
        begin = 1 if runs and runs[0][0].info.level == 0 else 0
        self.unsorted = tuple(runs[0]) if begin else ()
        self.deeper = tuple(Level(run) for run in runs[begin:])
        self.ranged = any(table.ranges is not None for table in self.tables)

    @property
    def in_use(self) -> bool:
        """Whether somebody still reads them."""
        return self.readers > 0 or len(self.snapshots) > 0

    def candidates(self, key: bytes) -> list[Table]:
        """Return the tables whose spans cover ``key``: level 0 newest first, then down."""
        found = [table for table in self.unsorted if table.info.covers(key)]
        for level in self.deeper:
            table = level.find(key)
            if table is not None:
                found.append(table)
        return found

    def runs(self, start: bytes, stop: bytes | None, *, reverse: bool) -> list[Iterator[Chunk]]:
        """Return the runs to merge for the rows with ``start <= key < stop``."""
        found: list[Iterator[Chunk]] = [
            table.chunks(start, stop, reverse=reverse)
            for table in self.unsorted
            if table.info.overlaps(start, stop or b"")
        ]
        found += [level.chunks(start, stop, reverse=reverse) for level in self.deeper]
        return found

    def range_rows(self, start: bytes, stop: bytes | None) -> list[Row]:
        """Return the range deletes in ``start`` … ``stop``."""
        tables = [table for table in self.tables if table.ranges is not None]
        return [row for t in tables if t.ranges for row in t.ranges.rows(start, stop or b"")]

    def check(self) -> None:
        """Raise ``Damage`` if spans of a level overlap that must not."""
        for level in self.deeper:
            for before, table in zip(level.tables, level.tables[1:], strict=False):
                if before.info.overlaps(table.info.start, table.info.stop):
                    what = f"overlaps {before.name} on level {table.info.level}"
                    raise Damage(table.name, 0, what)
