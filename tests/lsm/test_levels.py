"""Levels: which tables a key may be in, and the rows between two keys both ways, against a list."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import Corruption
from kvraft.lsm import Levels, ManifestState, TreeCounters, TreeSnapshot
from kvraft.lsm.levels import Level
from kvraft.range_tombstones import gather
from kvraft.sim import SimDisk
from kvraft.sstable import Table
from tests.helpers.storage import holds, in_order, write_table

quick = settings(deadline=None, derandomize=True, max_examples=120)

KEYS = [b"", b"\0", b"a", b"a\0", b"b", b"c", b"d", b"e", b"f", b"\xff"]
PROBES = [*KEYS, b"aa", b"c\0", b"dd", b"\xff\xff"]
keys = st.sampled_from(KEYS)
values = st.none() | st.sampled_from([b"", b"1"])


class Layout:
    """Tables on a disk, level by level, and what is in each, by its number."""

    def __init__(self):
        self.disk, self.counts = SimDisk(), TreeCounters()
        self.tables, self.rows, self.ranges = [], {}, {}

    def add(self, level, rows, ranges=()):
        number = len(self.tables) + 1
        info = write_table(self.disk, number, rows, ranges, block_bytes=30)
        self.tables.append(Table.open(self.disk, info, counts=self.counts).at_level(level))
        self.rows[number], self.ranges[number] = in_order(rows), list(ranges)

    def run(self, level, rows, ranges, cuts):
        """Add a level: its rows and range tombstones, parted where ``cuts`` are."""
        edges = [b"", *sorted(set(cuts) - {b""}), b""]
        for low, high in pairwise(edges):
            mine = [row for row in rows if holds(low, high, row[0])]
            clipped = [
                (max(a, low), t, min(b, high) if high and b else high or b)
                for a, t, b in ranges
                if (not high or a < high) and (not b or low < b)
            ]
            if mine or clipped:
                self.add(level, mine, clipped)


rows_ = st.dictionaries(st.tuples(keys, st.integers(0, 5)), values, max_size=10).map(
    lambda versions: [(*place, value) for place, value in versions.items()]
)
ranges_ = st.lists(
    st.tuples(keys, st.integers(0, 5), keys).filter(lambda r: not r[2] or r[0] < r[2]), max_size=1
)


@st.composite
def layouts(draw):
    layout = Layout()
    for _ in range(draw(st.integers(0, 3))):
        rows, ranges = draw(rows_), draw(ranges_)
        if rows or ranges:
            layout.add(0, rows, ranges)
    for level in draw(st.sampled_from([(), (1,), (1, 2), (2, 5)])):
        layout.run(level, draw(rows_), draw(ranges_), draw(st.lists(keys, max_size=4)))
    return layout


@given(layouts())
@quick
def test_the_candidates_for_a_key_are_the_tables_whose_spans_hold_it_in_reading_order(layout):
    levels = Levels(layout.tables)
    stamp = {table: table.metadata.max_timestamp for table in layout.tables}
    for key in PROBES:
        found = levels.candidates(key)
        assert set(found) == {table for table in layout.tables if table.metadata.covers(key)}
        deep = [table.metadata.level for table in found]
        assert deep == sorted(deep)
        assert all(deep.count(level) <= 1 for level in deep if level > 0)
        newest_first = [stamp[table] for table in found if table.metadata.level == 0]
        assert newest_first == sorted(newest_first, reverse=True)
        for table in layout.tables:  # what a table says of a key it says as a candidate
            if table not in found:
                assert not any(row[0] == key for row in layout.rows[table.metadata.number])
                ranges = layout.ranges[table.metadata.number]
                assert not any(holds(a, b, key) for a, _, b in ranges)
    assert levels.newest == max(stamp.values(), default=-1)
    assert levels.numbers == {table.metadata.number for table in layout.tables}
    assert bool(levels.has_range_tombstones) == any(layout.ranges.values())
    levels.check()


@given(layouts(), keys, st.none() | keys)
@quick
def test_the_runs_between_two_keys_hold_all_rows_there_and_read_no_block_too_many(
    layout, start, stop
):
    if stop is not None and start > stop:
        start, stop = stop, start
    levels = Levels(layout.tables)
    inside = {
        number: [row for row in rows if start <= row[0] and (stop is None or row[0] < stop)]
        for number, rows in layout.rows.items()
    }
    runs = levels.runs(start, stop)
    met = []
    for run in runs:
        tables = run.tables if isinstance(run, Level) else [run]
        met += tables
        expected = [row for table in tables for row in inside[table.metadata.number]]
        wanted = sum(blocks_between(table, start, stop) for table in tables)
        before = layout.counts.blocks_read
        chunks = list(run.chunks(start, stop))
        assert [row for chunk in chunks for row in chunk] == expected
        assert layout.counts.blocks_read - before == wanted
        chunks = list(run.chunks(start, stop, reverse=True))
        assert [row for chunk in reversed(chunks) for row in chunk] == expected
        assert layout.counts.blocks_read - before == 2 * wanted
        blocks = list(run.blocks_from(start, stop))
        assert [block.rows() for block in blocks] == [
            block.rows() for block in reversed(list(run.blocks_from(start, stop, reverse=True)))
        ]
    assert len(met) == len(set(met))
    for table in layout.tables:
        assert table in met or not inside[table.metadata.number]


def blocks_between(table, start, stop):
    """Count the blocks that may have a row in a range, as far as the index can tell."""
    firsts = [table.metadata.start, *table.last_keys[:-1]]  # the key before each block, or its own
    return sum(
        last >= start and (stop is None or before < stop)
        for n, (before, last) in enumerate(zip(firsts, table.last_keys, strict=False))
        if n > 0 or stop is None or table.metadata.start < stop
    )


@given(layouts(), keys, st.none() | keys)
@quick
def test_range_deletes_between_two_keys_are_those_of_all_tables(layout, start, stop):
    found = gather(
        [table.range_tombstones for table in Levels(layout.tables).has_range_tombstones],
        start,
        stop,
    )
    rows = found.rows() if found else []
    every = [each for ranges in layout.ranges.values() for each in ranges]
    for key in PROBES:
        if start <= key and (stop is None or key < stop):
            here = {t for a, t, b in rows if holds(a, b, key)}
            assert here == {t for a, t, b in every if holds(a, b, key)}


def test_a_level_is_plain_if_each_of_its_tables_is():
    rows = {
        "plain": [(b"a", 1, b"1"), (b"b", 2, b"")],
        "two versions": [(b"a", 1, b"1"), (b"a", 2, b"2")],
        "tombstone": [(b"a", 1, None)],
    }
    for name, mine in rows.items():
        layout = Layout()
        layout.add(1, mine)
        layout.add(1, [(b"x", 9, b"9")])
        assert Level(layout.tables).plain == (name == "plain"), name
    layout = Layout()
    layout.add(1, rows["plain"], [(b"k", 1, b"l")])
    assert not Level(layout.tables).plain


def test_spans_that_overlap_where_they_must_not_are_damage():
    layout = Layout()
    layout.add(0, [(b"a", 1, b""), (b"m", 1, b"")])
    layout.add(0, [(b"b", 2, b"")])
    layout.add(1, [(b"a", 0, b""), (b"c", 0, b"")])
    Levels(layout.tables).check()
    layout.add(1, [(b"c", 0, b"")])
    with pytest.raises(Corruption, match=r"000004\.sst, offset 0: overlaps 000003\.sst on level 1"):
        Levels(layout.tables).check()
    layout = Layout()  # the last key of one is the first of the next; then a range reaches too far
    layout.add(2, [(b"a", 1, b"")], [(b"a", 1, b"")])
    layout.add(2, [(b"x", 1, b"")])
    with pytest.raises(Corruption, match="on level 2"):
        Levels(layout.tables).check()


def test_levels_are_in_use_while_they_are_read_or_a_snapshot_of_them_is_held():
    levels = Levels()
    assert not levels.in_use
    levels.readers += 1
    assert levels.in_use
    levels.readers -= 1
    levels.snapshots += 1
    held = [TreeSnapshot(SimDisk(), "c/n1", ManifestState(), levels.release)]
    assert levels.in_use
    held.clear()  # forgotten, not closed
    assert not levels.in_use


def test_no_tables_are_no_levels():
    levels = Levels()
    assert (levels.newest, levels.numbers, levels.has_range_tombstones) == (-1, frozenset(), ())
    assert (levels.candidates(b"a"), levels.runs(b"", None)) == ((), [])
    levels.check()
