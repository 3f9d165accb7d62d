"""The two kinds of long work: a flush, and a compaction.

::

    Flush       memtable ──► rows ──► one table of level 0 ──┐
    Compaction  tables ──► Merge ──► tables, one level down ─┴──► read back ──► edit ──► live

Both end alike: a table that was written is opened and read to its last byte, and only then an edit
of the manifest makes it count (``lsm/versions.py``).

Invariant: a job that is dropped between two slices has changed nothing but files that no manifest
names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from kvraft.events import Compacted, CompactionStarted, Flushed
from kvraft.lsm.compaction import CompactionTask, Merge
from kvraft.lsm.merging import RetainedTimes, retain
from kvraft.lsm.version_edit import VersionEdit
from kvraft.lsm.versions import VersionSet
from kvraft.memtable import Memtable
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import Position, Row, Timestamp
from kvraft.slices import SlicedWork
from kvraft.sstable import LogRange, Table, TableMetadata

Job = SlicedWork[None]
"""A flush or a compaction."""


class Flush(Job):
    """Writes ``memtable`` to a table and makes it live.

    With it everything through the log position ``through`` is in tables, except for versions that
    only a reader before ``horizon`` that is not in ``keep`` could see.
    """

    def __init__(
        self,
        tables: VersionSet,
        memtable: Memtable,
        through: Position,
        keep: RetainedTimes,
        horizon: Timestamp,
    ) -> None:
        self._tables = tables
        self._memtable = memtable
        self._through = through
        self._keep = keep
        self._horizon = horizon
        # For repair: where the part of the log begins that its rows come from.
        log_range = LogRange(min(tables.flushed_through(), through), through)
        self._writer = tables.new_table(log_range)
        self._chunks: Iterator[list[Row]] = memtable.drain()
        self._fresh: list[Table] = []
        self.stage = self._write_rows

    def _write_rows(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            # Any table may have something older than its range tombstones; a flush does not look.
            self._chunks = iter(())  # what is large is freed as soon as it can be, not all at once
            tombstones = self._memtable.range_tombstones or RangeTombstones()
            self._ending = self._writer.finish(tombstones.surviving(self._keep.needs, _may_hide))
            self.then(self._finish_table)
        else:
            if not self._memtable.plain:
                chunk = retain(chunk, self._keep, self._memtable.range_tombstones)
            if chunk:
                self._writer.add(chunk)

    def _finish_table(self) -> None:
        if self._ending.step():
            return
        info = self._ending.result
        del self._writer, self._ending
        if info is None:
            self.then(self._commit)
        else:
            self._reading = self._tables.read_back(info)
            self.stage = self._read_back

    def _read_back(self) -> None:
        if not self._reading.step():
            self._fresh.append(self._reading.result)
            self._tables.count_flushed(self._reading.result.metadata)
            self.stage = self._commit

    def _commit(self) -> None:
        add = tuple(table.metadata for table in self._fresh)
        newest = max(self._memtable.timestamp, self._tables.state.timestamp)
        # Only rows up to the newest were dropped, so readers from there on see all versions.
        horizon = min(self._horizon, newest)
        edit = VersionEdit(add, (), flushed=self._through, timestamp=newest, horizon=horizon)
        self._tables.commit(edit, self._fresh)
        self._tables.counts.flushes += 1
        self._tables.report(Flushed(self._through.index, add[0].number if add else 0))
        self.stage = None


def _may_hide(start: bytes, stop: bytes, timestamp: Timestamp) -> bool:
    return True


class Compaction(Job):
    """Does the merge ``task``; ``keep`` and ``horizon`` are as in :class:`Flush`."""

    def __init__(
        self, tables: VersionSet, task: CompactionTask, keep: RetainedTimes, horizon: Timestamp
    ) -> None:
        self._tables = tables
        self._task = task
        self._horizon = horizon
        self._numbers = tuple(info.number for info in task.inputs)
        self._fresh: list[Table] = []
        tables.report(CompactionStarted(self._numbers, task.level))
        if task.move:
            self._outputs, self._dropped = task.inputs, 0
            self.stage: Callable[[], None] | None = self._commit
            return
        self._merging = Merge(
            [table for table in tables.levels.tables if table.metadata.number in self._numbers],
            [info for info in tables.state.tables if info.number not in self._numbers],
            keep,
            tables.new_table,
            task.table_bytes,
            tables.droppable,
        )
        self.stage = self._merge

    def _merge(self) -> None:
        if not self._merging.step():
            self._outputs, self._dropped = self._merging.result
            self._next_table()

    def _next_table(self) -> None:
        """Go on with the next table that came out: it is read back.  After the last, commit."""
        if len(self._fresh) == len(self._outputs):
            self.then(self._commit)
        else:
            self._reading = self._tables.read_back(self._outputs[len(self._fresh)])
            self.stage = self._read_back

    def _read_back(self) -> None:
        if not self._reading.step():
            self._fresh.append(self._reading.result)
            self._tables.report_written(self._reading.result.metadata)
            self._next_table()

    def _commit(self) -> None:
        task, tables, numbers = self._task, self._tables, self._numbers
        add = tuple(replace(info, level=task.level) for info in self._outputs)
        horizon = 0 if task.move else min(self._horizon, tables.state.timestamp)
        tables.commit(VersionEdit(add, numbers, horizon=horizon), self._fresh)
        read = 0 if task.move else _size(task.inputs)
        written = 0 if task.move else _size(add)
        counts = tables.counts
        counts.compactions += 1
        counts.bytes_merged += read
        counts.bytes_compacted += written
        counts.tombstones_dropped += self._dropped
        counts.tables_moved += len(task.inputs) if task.move else 0
        made = tuple(info.number for info in add)
        tables.report(Compacted(numbers, made, task.level, read, written, self._dropped))
        self.stage = None


def _size(tables: tuple[TableMetadata, ...]) -> int:
    return sum(info.size for info in tables)
