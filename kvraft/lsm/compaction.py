"""Compaction: which tables to merge, and the merge.

Flushes only ever add tables.  Every read would have to search more and more of them, and what was
overwritten or deleted would stay forever; so tables are merged, in slices.

**Which** tables is decided by a :class:`CompactionStrategy`:

- :class:`Levelled`: each level is one sorted run, ten times the size of the one above.  Few tables
  to search and little space wasted, at the price of rewriting (LevelDB, RocksDB).
- :class:`Tiered`: tables of about the same size are merged into one larger table.  Little is
  rewritten, at the price of more tables to search and more space (Cassandra; Bigtable's merging
  compaction).

**The merge** (:class:`Merge`) is the same for both.

Invariants:

- What a reader sees never changes, whatever is merged.
- A tombstone is dropped only if no table outside the merge may have anything older of its key; a
  range tombstone only if that is so for its whole range, and nobody reads at an earlier time.
- Spans of the tables that come out do not overlap: a range tombstone is clipped where a table ends.
- Input files stay unchanged until the manifest no longer names them.

Sources: LevelDB impl.md (compactions); Luo and Carey, *LSM-based Storage Techniques*, VLDB J. 2020,
§2.2 (levelling, tiering); RocksDB (least overlap first, compensated sizes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import NamedTuple, Protocol

from kvraft.errors import WrongType
from kvraft.inputs import describe_value, number, whole_number
from kvraft.lsm.merging import Droppable, RetainedTimes, RowChunk, merge, retain
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import Row, Timestamp
from kvraft.slices import SlicedWork
from kvraft.sstable import (
    CHUNK_BYTES,
    LogRange,
    Table,
    TableMetadata,
    TableRun,
    TableWriter,
    covering_range,
    span_of,
)

# ── which tables ────────────────────────────────────────────────────────────────────────────────


class CompactionTask(NamedTuple):
    """A merge to do: ``inputs`` into tables of ``level``, each of about ``table_bytes``.

    With ``move`` the spans of the inputs do not overlap: they only change level, and nothing is
    rewritten.
    """

    inputs: tuple[TableMetadata, ...]
    level: int
    table_bytes: int
    move: bool = False


class CompactionStrategy(Protocol):
    """Decides what to merge next."""

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return the next merge of these live tables, ``None`` if none is needed.

        ``tables`` are in the order of :func:`~kvraft.sstable.read_order`.  Each merge must bring
        them nearer to a state in which none is needed.
        """


def check_strategy(value: object) -> None:
    """Raise :class:`~kvraft.errors.WrongType` unless it is a :class:`CompactionStrategy`."""
    if isinstance(value, type) or not callable(getattr(value, "pick", None)):
        raise WrongType(
            f"strategy must be a kvraft.lsm.CompactionStrategy, not {describe_value(value)}"
        )


@dataclass(frozen=True, slots=True)
class Levelled:
    """Each level is one sorted run, ``fanout`` times the size of the one above it.

    Level 0 is full with ``tables`` tables, level 1 with ``level_bytes``.  Tables that it writes are
    of about ``table_bytes``.
    """

    tables: int = 4
    level_bytes: int = 10 << 20
    fanout: int = 10
    table_bytes: int = 2 << 20

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for invalid options."""
        for name in ("tables", "level_bytes", "table_bytes"):
            whole_number(getattr(self, name), name, minimum=1)
        whole_number(self.fanout, "fanout", minimum=2)

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return the merge for the level that exceeds its limit most, ``None`` if no level does."""
        levels = {table.level for table in tables}
        fullness = {level: self._fullness(level, tables) for level in levels}
        level = max(sorted(levels), key=fullness.__getitem__, default=0)
        if fullness.get(level, 0) < 1:
            return None
        if level == 0:
            chosen = [table for table in tables if table.level == 0]
        else:
            chosen = [_least_overlap(level, tables)]
        below = _overlapping(tables, level + 1, *span_of(chosen))
        move = not below and disjoint(chosen)
        return CompactionTask((*chosen, *below), level + 1, self.table_bytes, move)

    def _fullness(self, level: int, tables: Sequence[TableMetadata]) -> float:
        here = [table for table in tables if table.level == level]
        if level == 0:
            return len(here) / self.tables
        # One table is never too much: pushing it down, level after level, would gain nothing.
        limit: int = self.level_bytes * self.fanout ** (level - 1)
        row = _row_below(level, tables)
        return sum(_weight(table, row) for table in here) / limit if len(here) > 1 else 0.0


def _least_overlap(level: int, tables: Sequence[TableMetadata]) -> TableMetadata:
    """Return the table that overlaps the fewest bytes of the next level for its weight.

    So each rewritten byte makes the most room (RocksDB, kMinOverlappingRatio).
    """
    row = _row_below(level, tables)

    def cost(table: TableMetadata) -> float:
        below = _overlapping(tables, level + 1, table.start, table.stop)
        return sum(each.size for each in below) / _weight(table, row)

    return min((table for table in tables if table.level == level), key=cost)


def _weight(table: TableMetadata, row: float) -> float:
    """Return the bytes of ``table``, plus ``row`` bytes for what each of its tombstones hides.

    By their own bytes alone, tables of tombstones would be the last to move, and what they hide
    would pile up (RocksDB, compensated sizes).
    """
    return table.size + table.tombstones * row


def _row_below(level: int, tables: Iterable[TableMetadata]) -> float:
    """Return the mean size of a row on the level below ``level``, 0 if there is none."""
    below = [table for table in tables if table.level == level + 1]
    return sum(table.size for table in below) / max(1, sum(table.rows for table in below))


@dataclass(frozen=True, slots=True)
class Tiered:
    """Every table is a sorted run of its own; ``tables`` of about the same size become one.

    The next older table belongs to a group if it is no larger than ``ratio`` times the mean size of
    those that are in it.
    """

    tables: int = 4
    ratio: float = 1.5

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for invalid options."""
        whole_number(self.tables, "tables", minimum=2)
        number(self.ratio, "ratio", minimum=1)

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return the merge of the newest group of tables that are of about the same size."""
        runs = list(tables)
        for first in range(len(runs) - self.tables + 1):
            group = runs[first : first + 1]
            for table in runs[first + 1 :]:
                if table.size * len(group) > self.ratio * sum(each.size for each in group):
                    break
                group.append(table)
            if len(group) >= self.tables:
                return CompactionTask(tuple(group), 0, 1 << 62)
        return None


def full_compaction(
    tables: Sequence[TableMetadata], strategy: CompactionStrategy
) -> CompactionTask | None:
    """Return the task that merges all ``tables``, ``None`` if there are none.

    The result is where ``strategy`` would leave it: on the deepest level, or in one table.
    """
    if not tables:
        return None
    if not isinstance(strategy, Levelled):
        return CompactionTask(tuple(tables), 0, 1 << 62)
    level = max(1, *(table.level for table in tables))
    size = sum(table.size for table in tables)
    while size >= strategy.level_bytes * strategy.fanout ** (level - 1):
        level += 1
    return CompactionTask(tuple(tables), level, strategy.table_bytes)


def _overlapping(
    tables: Iterable[TableMetadata], level: int, start: bytes, stop: bytes
) -> list[TableMetadata]:
    return [table for table in tables if table.level == level and table.overlaps(start, stop)]


def disjoint(tables: Sequence[TableMetadata]) -> bool:
    """Return whether no two of ``tables`` may have the same key."""
    ordered = sorted(tables, key=lambda table: table.start)
    return not any(before.overlaps(t.start, t.stop) for before, t in pairwise(ordered))


# ── the merge ───────────────────────────────────────────────────────────────────────────────────


class MergeResult(NamedTuple):
    """What a merge made: tables, not yet live, and how many tombstones it dropped."""

    tables: tuple[TableMetadata, ...]
    tombstones: int


class Merge(SlicedWork[MergeResult]):
    """Merges ``inputs`` in slices; ``others`` are all other live tables.

    ``new_table`` begins a table for rows from that part of the log; ``drop_rule`` decides which
    tombstones are dropped (:func:`droppable`).  Each table that comes out is
    durable.  A merge that is dropped half-way leaves files that the manifest does not name.  Raises
    what reading a table raises, such as ``Corruption``: a damaged block is never rewritten.
    """

    def __init__(
        self,
        inputs: Sequence[Table],
        others: Sequence[TableMetadata],
        keep: RetainedTimes,
        new_table: Callable[[LogRange], TableWriter],
        table_bytes: int,
        drop_rule: Callable[[Sequence[TableMetadata], Sequence[TableMetadata]], Droppable],
    ) -> None:
        self._keep = keep
        self._new_table = partial(new_table, covering_range(table.log_range for table in inputs))
        self._table_bytes = table_bytes
        self._ranges = RangeTombstones(
            row
            for table in inputs
            if table.range_tombstones is not None
            for row in table.range_tombstones.rows()
        )
        self._may_drop = drop_rule([table.metadata for table in inputs], others)
        hides = partial(_hides, tuple(others))
        self._left = RangeTombstones(self._ranges.surviving(keep.needs, hides))
        at_once = min(CHUNK_BYTES, table_bytes // 16)  # else small tables would become too large
        self._chunks = merge(TableRun(run, at_once) for run in _sorted_runs(inputs))
        self._tombstones = any(table.metadata.tombstones for table in inputs)
        self._writer = self._new_table()
        self._start = b""  # where the span of the table that is being written may begin
        self._kept: RowChunk = []  # that come next
        self._tables: list[TableMetadata] = []
        self._dropped = 0  # tombstones
        self.stage = self._merge

    def _merge(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._end_table(self._left.rows(self._start), self._done)
            return
        if self._tombstones:
            self._kept = retain(chunk, self._keep, self._ranges or None, self._may_drop)
            self._dropped += _count_tombstones(chunk) - _count_tombstones(self._kept)
        else:
            self._kept = retain(chunk, self._keep, self._ranges or None)
        if self._kept and self._writer.size >= self._table_bytes:
            self._end_table(self._left.rows(self._start, self._kept[0][0]), self._begin_table)
        elif self._kept:
            self._writer.add(self._kept)

    def _end_table(self, ranges: list[Row], after: Callable[[], None]) -> None:
        self._ending, self._after = self._writer.finish(ranges), after
        self.then(self._finish_table)

    def _finish_table(self) -> None:
        if not self._ending.step():
            self._tables += [self._ending.result] if self._ending.result else []
            self.then(self._after)

    def _begin_table(self) -> None:
        self._writer, self._start = self._new_table(), self._kept[0][0]
        self._writer.add(self._kept)
        self.stage = self._merge

    def _done(self) -> None:
        self.result = MergeResult(tuple(self._tables), self._dropped)
        self.stage = None


def _count_tombstones(rows: RowChunk) -> int:
    return [row[2] for row in rows].count(None)


def _sorted_runs(tables: Sequence[Table]) -> list[list[Table]]:
    """Return the tables in groups that do not overlap: each of level 0, and each deeper level."""
    runs = [[table] for table in tables if table.metadata.level == 0]
    deeper = [table for table in tables if table.metadata.level > 0]
    deeper.sort(key=lambda table: (table.metadata.level, table.metadata.start))
    return runs + [list(run) for _, run in groupby(deeper, lambda table: table.metadata.level)]


def _hides(
    others: Sequence[TableMetadata], start: bytes, stop: bytes, timestamp: Timestamp
) -> bool:
    """Return whether rows older than ``timestamp`` may be left in ``others`` between two keys."""
    return any(o.min_timestamp < timestamp and o.overlaps(start, stop) for o in others)


def droppable(inputs: Sequence[TableMetadata], others: Sequence[TableMetadata]) -> Droppable:
    """Return the rule that a tombstone may be dropped if nothing older of its key is elsewhere."""
    span = span_of(inputs)
    newest = max(table.max_timestamp for table in inputs)
    near = [other for other in others if other.overlaps(*span) and other.min_timestamp < newest]
    return partial(_drops, near) if near else _drops_all


def _drops_all(key: bytes, timestamp: Timestamp) -> bool:
    return True


def _drops(near: Sequence[TableMetadata], key: bytes, timestamp: Timestamp) -> bool:
    return not any(other.min_timestamp < timestamp and other.covers(key) for other in near)
