"""Planted bugs of the tree: what a flush writes, what a merge drops, and what a read looks into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvraft.bloom import BloomFilter
from kvraft.check.bugs.log import CarelessDisk, OnCarelessDisk
from kvraft.disk import Disk, table_number
from kvraft.lsm import (
    CompactionStrategy,
    CompactionTask,
    Readers,
    RetainedTimes,
    Tree,
    TreeOptions,
    TreeSnapshot,
    VersionSet,
)
from kvraft.memtable import Frozen, Memtable
from kvraft.record import Position, Row, Timestamp
from kvraft.replica import Replica
from kvraft.sstable import TableMetadata, TableWriter


def _with_tables(kind: type[VersionSet]) -> type[Tree]:
    """Return trees that keep their tables in a ``kind`` of set."""

    class Sick(Tree):
        table_set = kind

    return Sick


def _written_by(kind: type[TableWriter]) -> type[Tree]:
    """Return trees whose tables a ``kind`` of writer writes."""

    class Sick(VersionSet):
        writer = kind

    return _with_tables(Sick)


# ── merges ──────────────────────────────────────────────────────────────────────────────────────


class _DropsTombstones(VersionSet):
    @staticmethod
    def droppable(
        inputs: Sequence[TableMetadata], others: Sequence[TableMetadata]
    ) -> Callable[[bytes, Timestamp], bool]:
        return lambda key, timestamp: True


class TombstonesDropped(Replica):
    """A merge drops every tombstone, though an older table may hold what it hides."""

    tree_type = _with_tables(_DropsTombstones)


@dataclass(frozen=True)
class _LeavesOverlapsOut:
    """A strategy that merges tables without those that they overlap on the next level."""

    usual: CompactionStrategy

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return the usual task, without the tables of the level that it writes to."""
        task = self.usual.pick(tables)
        if task is None or task.level == 0:
            return task
        return task._replace(inputs=tuple(t for t in task.inputs if t.level < task.level))


class _OverlapsLeftOut(Tree):
    def __init__(self, disk: Disk, owner: str, options: TreeOptions, *rest: Any, **more: Any):
        options = replace(options, strategy=_LeavesOverlapsOut(options.strategy))
        super().__init__(disk, owner, options, *rest, **more)


class OverlapsLeftOut(Replica):
    """A merge leaves out the tables of the next level that its inputs overlap."""

    tree_type = _OverlapsLeftOut


class _NoReaders(Readers):
    def keep(self, newest: Timestamp) -> RetainedTimes:
        return RetainedTimes()


class _HistoryDropped(Tree):
    def __init__(self, disk: Disk, owner: str, options: TreeOptions, *rest: Any, **more: Any):
        super().__init__(disk, owner, options, *rest, **more)
        self.readers = _NoReaders(options.history)


class HistoryDropped(Replica):
    """Flushes and merges keep the newest version only, though older times can still be read."""

    tree_type = _HistoryDropped


# ── flushes ─────────────────────────────────────────────────────────────────────────────────────


class _WithoutTombstones(TableWriter):
    def add(self, rows: list[Row]) -> None:
        if kept := [row for row in rows if row[2] is not None]:
            super().add(kept)


class TombstonesNotWritten(Replica):
    """A flush leaves tombstones out, as if there were nothing below the memtable to hide."""

    tree_type = _written_by(_WithoutTombstones)


class _FlushesFurther(Tree):
    def work(self) -> bool:
        waiting = self.memtables.frozen
        waiting[:1] = [Frozen(oldest.memtable, self.applied) for oldest in waiting[:1]]
        return super().work()


class FlushedTooFar(Replica):
    """A flush moves the flushed mark to what is applied when it begins, not to what it writes."""

    tree_type = _FlushesFurther


class _TablesNotSynced(CarelessDisk):
    def sync(self, name: str) -> None:
        if table_number(name) is None:
            self.below.sync(name)


class TablesNotSynced(OnCarelessDisk):
    """The manifest names a table that is written, and not synced."""

    careless = _TablesNotSynced


# ── reads ───────────────────────────────────────────────────────────────────────────────────────


class _SkipsDeleted(TableWriter):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deleted: set[bytes] = set()

    def add(self, rows: list[Row]) -> None:
        self._deleted.update(row[0] for row in rows if row[2] is None)
        super().add(rows)

    def write_parts(self, packed_filter: bytes, ranges: list[Row]) -> dict[str, Any]:
        if packed_filter:
            keys = [key for key in self.collector.keys if key not in self._deleted]
            packed_filter = BloomFilter.build(keys, self.form.bits_per_key).to_bytes()
        return super().write_parts(packed_filter, ranges)


class TombstonesNotInFilter(Replica):
    """The filter of a table has no tombstones, so a read goes past them to what they hide."""

    tree_type = _written_by(_SkipsDeleted)


class _ProbesMore(TableWriter):
    def write_parts(self, packed_filter: bytes, ranges: list[Row]) -> dict[str, Any]:
        if packed_filter:
            probes = int.from_bytes(packed_filter[:4], "little") + 1
            packed_filter = probes.to_bytes(4, "little") + packed_filter[4:]
        return super().write_parts(packed_filter, ranges)


class FilterProbedOtherwise(Replica):
    """A filter is read with another hash than it was written with, and denies what is there."""

    tree_type = _written_by(_ProbesMore)


class _ForgetsFrozen(Tree):
    def freeze(self) -> None:
        super().freeze()
        memtables = self.memtables
        nothing = tuple(Memtable() for _ in memtables.frozen)
        memtables.newest_first = (memtables.active, *nothing)


class FrozenNotRead(Replica):
    """A memtable cannot be read from its freeze until its table is live."""

    tree_type = _ForgetsFrozen


class _DoesNotPin(VersionSet):
    def snapshot(self) -> TreeSnapshot:
        shipped = super().snapshot()
        self.levels.release()
        return shipped


class SnapshotTablesRemoved(Replica):
    """A merge removes the tables that a snapshot is being read from."""

    tree_type = _with_tables(_DoesNotPin)


class _EmptyIsNothing(Tree):
    def insert(self, rows: list[Row], ranges: list[Row], position: Position) -> None:
        rows = [(key, timestamp, value or None) for key, timestamp, value in rows]
        super().insert(rows, ranges, position)


class EmptyIsDeleted(Replica):
    """An empty value is taken for a deleted one."""

    tree_type = _EmptyIsNothing


BUGS = {
    "tombstones dropped": TombstonesDropped,
    "overlaps left out": OverlapsLeftOut,
    "history dropped": HistoryDropped,
    "tombstones not written": TombstonesNotWritten,
    "flushed too far": FlushedTooFar,
    "tables not synced": TablesNotSynced,
    "tombstones not in the filter": TombstonesNotInFilter,
    "filter probed otherwise": FilterProbedOtherwise,
    "frozen not read": FrozenNotRead,
    "snapshot tables removed": SnapshotTablesRemoved,
    "empty is deleted": EmptyIsDeleted,
}
"""The planted bugs of this place by name."""
