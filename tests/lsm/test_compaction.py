"""Compaction: the strategies always come to an end, and a merge takes nothing from any reader."""

from collections import Counter
from dataclasses import replace
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.disk import table_name
from kvraft.errors import BadInput, Corruption
from kvraft.events import Compacted, CompactionStarted, TableRemoved, TableWritten
from kvraft.lsm import CompactionTask, Levelled, RetainedTimes, Tiered, Tree, TreeOptions
from kvraft.lsm.compaction import Merge, droppable, full_compaction
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import MAX_TIMESTAMP, Position
from kvraft.sim import SimDisk
from kvraft.sstable import (
    Table,
    TableFormat,
    TableMetadata,
    TableWriter,
    check_table,
    read_order,
    span_of,
)
from tests.helpers.storage import holds, seen, write_table

# ── which tables ────────────────────────────────────────────────────────────────────────────────

STRATEGIES = [
    Levelled(tables=1, level_bytes=1, fanout=2, table_bytes=1),
    Levelled(tables=2, level_bytes=1000, fanout=2, table_bytes=300),
    Levelled(tables=4, level_bytes=2000, fanout=10, table_bytes=500),
    Levelled(),
    Tiered(tables=2, ratio=1),
    Tiered(tables=3, ratio=1.5),
    Tiered(tables=4, ratio=100),
]


def info(number, level=0, size=100, start=b"a", stop=b"z", newest=None):
    newest = number if newest is None else newest
    return TableMetadata(number, level, 1, 1, 0, 0, size, start, stop, newest, newest, 0)


def point(number):
    return number.to_bytes(2, "big")


class Model:
    """Tables without contents, on which tasks are carried out: a merge shrinks, or does not."""

    def __init__(self, random):
        self.random, self.tables, self.numbers, self.moved = random, (), count(1), 0
        self.written = 0

    def flush(self, size):
        low = self.random.randrange(1000)
        high = min(low + self.random.choice((1, 30, 1000)), 1000)
        number = next(self.numbers)
        table = info(number, 0, size, point(low), point(high) if high < 1000 else b"")
        self.tables = read_order((*self.tables, table))
        self.written += size

    def do(self, task):
        """Carry out a task, as far as tables without contents can; check that it may be."""
        numbers = {table.number for table in self.tables}
        inputs = {table.number for table in task.inputs}
        assert inputs
        assert inputs <= numbers
        assert len(inputs) == len(task.inputs)
        if task.move:
            self.moved += 1
            outputs = [replace(table, level=task.level) for table in task.inputs]
            assert all(table.level != task.level for table in task.inputs)
        else:
            outputs = self.merged(task)
        rest = [table for table in self.tables if table.number not in inputs]
        self.tables = read_order((*rest, *outputs))
        self.check()

    def merged(self, task):
        start, stop = span_of(task.inputs)
        size = int(sum(table.size for table in task.inputs) * self.random.choice((0.5, 0.9, 1)))
        pieces = max(1, min(size // task.table_bytes, 50))
        low = int.from_bytes(start, "big")
        high = int.from_bytes(stop, "big") if stop else 1000
        pieces = min(pieces, high - low)
        cuts = sorted(self.random.sample(range(low + 1, high), pieces - 1))
        edges = [start, *map(point, cuts), stop]
        newest = max(table.max_timestamp for table in task.inputs)
        self.written += size
        return [
            info(next(self.numbers), task.level, max(size // pieces, 1), a, b, newest)
            for a, b in pairwise(edges)
        ]

    def check(self):
        for before, table in pairwise(self.tables):
            if before.level == table.level > 0:
                assert not before.overlaps(table.start, table.stop), (before, table)

    def settle(self, strategy, limit=3000):
        for steps in range(limit):
            task = strategy.pick(self.tables)
            if task is None:
                return steps
            self.do(task)
        raise AssertionError(f"{strategy} finds no end: {len(self.tables)} tables are left")


@given(
    st.sampled_from(STRATEGIES),
    st.lists(st.integers(1, 2000), min_size=1, max_size=25),
    st.integers(0, 1 << 30),
    st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=80)
def test_every_pick_can_be_done_and_brings_the_end_nearer(strategy, sizes, seed, often):
    model = Model(Random(seed))
    for size in sizes:
        model.flush(size)
        if often:
            model.settle(strategy)
    model.settle(strategy)
    assert strategy.pick(model.tables) is None
    if isinstance(strategy, Levelled):
        levels = Counter(table.level for table in model.tables)
        assert levels[0] < strategy.tables
        for level in range(1, max(levels, default=0) + 1):
            full = sum(table.size for table in model.tables if table.level == level)
            limit = strategy.level_bytes * strategy.fanout ** (level - 1)
            assert full < limit or levels[level] == 1
    # With all in one task the result lies where the strategy leaves it.
    task = full_compaction(model.tables, strategy)
    assert set(task.inputs) == set(model.tables)
    model.do(task)
    assert strategy.pick(model.tables) is None


def test_all_tables_go_to_a_level_that_has_room_for_them():
    strategy = Levelled(level_bytes=1000, fanout=10)
    assert full_compaction((), strategy) is None
    assert full_compaction((), Tiered()) is None
    for size, level in ((900, 1), (999, 1), (1000, 2), (1001, 2), (100_000, 4)):
        tables = [info(1, size=size // 2), info(2, size=size - size // 2)]
        assert full_compaction(tables, strategy).level == level
    assert full_compaction([info(1, level=3, size=5)], strategy).level == 3  # never up again
    assert full_compaction([info(1, size=1 << 40)], Tiered()) == CompactionTask(
        (info(1, size=1 << 40),), 0, 1 << 62
    )


def test_levelled_takes_all_of_level_0_and_what_lies_under_it():
    strategy = Levelled(tables=2, level_bytes=1000, table_bytes=77)
    low, high = info(8, 0, start=b"c", stop=b"e"), info(9, 0, start=b"m", stop=b"p")
    under = [
        info(1, 1, start=b"a", stop=b"d"),
        info(2, 1, start=b"f", stop=b"g"),  # between the two: what comes out may span it
        info(3, 1, start=b"o", stop=b"z"),
    ]
    beside = [info(4, 1, start=b"z", stop=b""), info(5, 2, start=b"a", stop=b"")]
    tables = read_order([low, high, *under, *beside])
    assert strategy.pick(tables) == CompactionTask((high, low, *under), 1, 77)
    assert strategy.pick(read_order([low, *under, *beside])) is None  # one table is not full


def test_levelled_moves_what_overlaps_nothing():
    strategy = Levelled(tables=2, level_bytes=1000)
    low, high = info(8, 0, start=b"c", stop=b"e"), info(9, 0, start=b"e", stop=b"p")
    beside = [info(1, 1, start=b"a", stop=b"c"), info(2, 1, start=b"p", stop=b"")]
    assert strategy.pick(read_order([low, high, *beside])).move
    crossing = replace(low, stop=b"f")
    assert not strategy.pick(read_order([crossing, high, *beside])).move
    under = info(3, 1, start=b"n", stop=b"o")
    assert not strategy.pick(read_order([low, high, under])).move


def test_levelled_takes_the_fullest_level_and_its_table_that_costs_least():
    strategy = Levelled(tables=4, level_bytes=1000, fanout=10)
    three = [info(n, 0) for n in (91, 92, 93)]
    level_1 = [
        info(1, 1, 1000, b"a", b"c"),  # 3,000 bytes under it
        info(2, 1, 100, b"c", b"e"),  # 400 under it, but only 100 of its own
        info(3, 1, 500, b"e", b"g"),  # 600 under it
    ]
    level_2 = [
        info(4, 2, 3000, b"a", b"c"),
        info(5, 2, 400, b"c", b"e"),
        info(6, 2, 600, b"e", b"g"),
    ]
    tables = read_order([*three, *level_1, *level_2])
    assert strategy.pick(tables) == CompactionTask(
        (level_1[2], level_2[2]), 2, strategy.table_bytes
    )
    fuller = [info(n, 0) for n in range(80, 90)]  # 10 of 4 there, 1,600 of 1,000 bytes here
    assert strategy.pick(read_order([*tables, *fuller])).level == 1


def test_levelled_counts_a_tombstone_as_what_it_will_free():
    strategy = Levelled(tables=4, level_bytes=1000, fanout=10)
    plain = info(1, 1, 600, b"a", b"c")  # 2,400 under it: four for each of its own
    full = replace(info(2, 1, 600, b"c", b"e"), rows=30, tombstones=30)  # 6,000 under it: ten, …
    below = [
        replace(info(3, 2, 2400, b"a", b"c"), rows=8),
        replace(info(4, 2, 6000, b"c", b"e"), rows=40),  # … but most of these 40 rows will go
    ]
    tables = read_order([plain, full, *below])
    assert strategy.pick(tables) == CompactionTask((full, below[1]), 2, strategy.table_bytes)
    few = replace(full, tombstones=5)  # 6,000 / (600 + 5 * 175) is more than 4
    assert strategy.pick(read_order([plain, few, *below])).inputs[0] == plain


def test_one_table_alone_is_never_too_much_for_a_level():
    strategy = Levelled(level_bytes=1, fanout=2)
    assert strategy.pick([info(1, 1, size=1 << 40)]) is None


def test_tiered_merges_the_newest_neighbours_of_about_one_size():
    strategy = Tiered(tables=3, ratio=1.5)

    def pick(*sizes):
        """Newest first; return the sizes that are to be merged."""
        tables = [info(len(sizes) - n, size=size) for n, size in enumerate(sizes)]
        task = strategy.pick(read_order(tables))
        if task is None:
            return None
        assert (task.level, task.move) == (0, False)
        return [table.size for table in task.inputs]

    assert pick(100, 100) is None
    assert pick(100, 100, 100) == [100, 100, 100]
    assert pick(100, 150, 187) == [100, 150, 187]  # 187 is not above 1.5 times 125, their mean
    assert pick(100, 150, 188) is None
    assert pick(100, 1000, 1000, 1000) == [1000, 1000, 1000]
    assert pick(100, 100, 100, 1000) == [100, 100, 100]
    assert pick(100, 100, 100, 90, 80, 500) == [100, 100, 100, 90, 80]
    assert pick(9, 9, 5000, 100, 100, 100) == [5000, 100, 100, 100]


@pytest.mark.parametrize(("tables", "most"), [(2, 12), (4, 16)])
def test_tiered_keeps_a_number_of_tables_that_grows_with_the_logarithm(tables, most):
    model, strategy, peak = Model(Random(1)), Tiered(tables=tables), 0
    model.random = type("Never", (Random,), {"choice": lambda self, them: them[-1]})(1)
    for _ in range(500):
        model.flush(100)
        model.settle(strategy)
        peak = max(peak, len(model.tables))
    assert peak <= most
    assert model.written < 100 * 500 * 12  # each byte is rewritten a few times only


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Levelled(tables=0),
        lambda: Levelled(fanout=1),
        lambda: Levelled(level_bytes=0),
        lambda: Levelled(table_bytes=0),
        lambda: Tiered(tables=1),
        lambda: Tiered(ratio=0.9),
    ],
)
def test_options_that_would_find_no_end_are_refused(wrong):
    with pytest.raises(BadInput, match="must be at least"):
        wrong()


# ── the merge ───────────────────────────────────────────────────────────────────────────────────

KEYS = [b"", b"\0", b"a", b"a\0", b"b", b"c", b"\xff"]
NOW = 12  # above all timestamps
keys = st.sampled_from(KEYS)
places = st.tuples(keys, st.integers(1, 9))
values = st.none() | st.sampled_from([b"", b"1", b"x" * 40])
deletes = st.tuples(keys, st.integers(1, 9), keys).filter(lambda r: not r[2] or r[0] < r[2])


@st.composite
def trees(draw):
    """Return rows and range tombstones for some tables; no two rows in one place."""
    every = draw(st.dictionaries(places, st.tuples(st.integers(0, 3), values), max_size=25))
    contents = [([], []) for _ in range(4)]
    for (key, stamp), (table, value) in every.items():
        contents[table][0].append((key, stamp, value))
    for each in draw(st.lists(st.tuples(st.integers(0, 3), deletes), max_size=4)):
        contents[each[0]][1].append(each[1])
    return contents


def open_all(disk, contents, first=1):
    """Write those tables that have anything in them, and open them."""
    infos = [
        write_table(disk, number, rows, ranges, block_bytes=60)
        for number, (rows, ranges) in enumerate(contents, first)
        if rows or ranges
    ]
    return [Table.open(disk, each) for each in infos]


def merging(disk, inputs, others, keep, table_bytes=1 << 62, block_bytes=60):
    numbers, form = count(100), TableFormat(block_bytes=block_bytes)

    def new_table(log_range):
        return TableWriter(disk, next(numbers), "me", form, log_range)

    return Merge(
        inputs, [table.metadata for table in others], keep, new_table, table_bytes, droppable
    )


def merge_all(*args, **options):
    return merging(*args, **options).run_to_end()


def rows_of(tables):
    return [row for table in tables for chunk in table.load_chunks() for row in chunk]


def ranges_of(tables):
    tombstones = [table.range_tombstones for table in tables if table.range_tombstones is not None]
    return [row for each in tombstones for row in each.rows()]


keeps = st.builds(
    lambda pins, floor: RetainedTimes(tuple(sorted(pins)), floor),
    st.sets(st.integers(0, 9), max_size=3),
    st.just(MAX_TIMESTAMP) | st.integers(0, 10),
)


@given(trees(), st.sets(st.integers(0, 3), min_size=1), keeps, st.sampled_from([1, 300, 1 << 62]))
@settings(deadline=None, derandomize=True, max_examples=400)
def test_a_merge_takes_nothing_from_any_reader_and_leaves_nothing_that_none_can_see(
    contents, chosen, keep, table_bytes
):
    disk = SimDisk()
    tables = {n: open_all(disk, [each], first=n + 1) for n, each in enumerate(contents)}
    inputs = [table for n in tables if n in chosen for table in tables[n]]
    others = [table for n in tables if n not in chosen for table in tables[n]]
    if not inputs:
        return
    rows = [row for each, _ in contents for row in each]
    ranges = [row for _, each in contents for row in each]
    merged = merge_all(disk, inputs, others, keep, table_bytes)
    disk.crash(Random(1))  # what came out is durable
    outputs = [Table.open(disk, each) for each in merged.tables]
    for table in outputs:
        check_table(table)
    for before, after in pairwise(outputs):
        assert not before.metadata.overlaps(after.metadata.start, after.metadata.stop)

    left, lasting_ranges = rows_of(outputs), ranges_of(outputs)
    there, hiding = left + rows_of(others), lasting_ranges + ranges_of(others)
    readers = {NOW, *keep.times, *range(min(keep.floor, NOW), NOW)}
    for at in readers:
        assert seen(there, hiding, at) == seen(rows, ranges, at), at
    put_in = rows_of(inputs)
    assert set(left) <= set(put_in)
    gone = sum(row[2] is None for row in put_in) - sum(row[2] is None for row in left)
    assert merged.tombstones == gone
    for row in left:
        assert_needed(row, put_in, ranges_of(inputs), others, readers)


def assert_needed(row, rows, ranges, others, readers):
    """Each row that is left is some reader's, or a tombstone that hides what lies elsewhere."""
    key, stamp, value = row
    newer = [r[1] for r in rows if r[0] == key and r[1] > stamp]
    newer += [t for a, t, b in ranges if holds(a, b, key) and t > stamp]
    until = min(newer, default=NOW + 1)
    assert any(stamp <= at < until for at in readers)
    if value is None:
        older = [r for r in rows if r[0] == key and r[1] < stamp]
        elsewhere = [
            t for t in others if t.metadata.covers(key) and t.metadata.min_timestamp < stamp
        ]
        assert older or elsewhere


@given(trees(), st.sampled_from([1, 300, 1 << 62]))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_at_the_bottom_only_what_is_alive_is_left(contents, table_bytes):
    disk = SimDisk()
    inputs = open_all(disk, contents)
    if not inputs:
        return
    rows = [row for each, _ in contents for row in each]
    ranges = [row for _, each in contents for row in each]
    merged = merge_all(disk, inputs, [], RetainedTimes(), table_bytes)
    outputs = [Table.open(disk, each) for each in merged.tables]
    assert [(row[0], row[2]) for row in rows_of(outputs)] == seen(rows, ranges)
    assert not ranges_of(outputs)
    assert (len(outputs) == 0) == (not seen(rows, ranges))


@given(st.lists(deletes, max_size=5), keeps, st.lists(deletes, max_size=2))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_a_range_delete_lasts_while_it_may_hide_anything(deleted, keep, elsewhere):
    """Rows in its range may lie in tables outside, or stay in the merge for readers of the past."""
    others = [
        replace(info(n, start=a, stop=b), min_timestamp=t) for n, (a, t, b) in enumerate(elsewhere)
    ]

    def hides(start, stop, timestamp):
        return any(o.min_timestamp < timestamp and o.overlaps(start, stop) for o in others)

    left = RangeTombstones(deleted).surviving(keep.needs, hides)
    unknown = RangeTombstones(deleted).surviving(keep.needs, lambda *_: True)
    readers = {NOW, *keep.times, *range(min(keep.floor, NOW), NOW)}
    for key in KEYS:
        stamps = {t for a, t, b in deleted if holds(a, b, key)}
        mine = {t for a, t, b in left if holds(a, b, key)}
        cautious = {t for a, t, b in unknown if holds(a, b, key)}
        assert mine <= cautious <= stamps
        for at in readers:
            newest = max((t for t in stamps if t <= at), default=None)
            if newest is None:
                continue
            assert max(t for t in cautious if t <= at) == newest
            hides = any(o.covers(key) and o.min_timestamp < newest for o in others)
            if hides or any(reader < newest for reader in readers):
                assert newest in mine
        for stamp in mine:  # and none lasts that no reader looks through
            until = min((t for t in stamps if t > stamp), default=NOW + 1)
            assert any(stamp <= at < until for at in readers)


def test_a_range_delete_is_clipped_where_a_table_ends_and_reaches_as_far_as_before():
    disk = SimDisk()
    rows = [(bytes((65 + n,)), 9, b"x" * 50) for n in range(10)]  # A … J
    inputs = open_all(disk, [(rows, [(b"", 5, b"E"), (b"G", 7, b"")])])
    others = open_all(disk, [([(b"0", 1, b""), (b"z", 1, b"")], [])], first=2)
    merged = merge_all(disk, inputs, others, RetainedTimes(), table_bytes=150, block_bytes=1)
    outputs = [Table.open(disk, each) for each in merged.tables]
    assert len(outputs) > 3
    assert outputs[0].metadata.start == b""
    assert outputs[-1].metadata.stop == b""
    for before, after in pairwise(outputs):
        assert before.metadata.stop <= after.metadata.start
    left = ranges_of(outputs)
    for key in (b"", b"0", b"A", b"DD", b"E", b"F\xff", b"G", b"J", b"z", b"\xff\xff"):
        wanted = {5} if key < b"E" else {7} if key >= b"G" else set()
        assert {t for a, t, b in left if holds(a, b, key)} == wanted


def test_tables_come_out_at_about_the_size_that_was_asked_for():
    disk = SimDisk()
    rows = [(b"%05d" % n, 1, bytes(100)) for n in range(1000)]
    inputs = open_all(disk, [(rows[::2], []), (rows[1::2], [])])
    merged = merge_all(disk, inputs, [], RetainedTimes(), table_bytes=20_000, block_bytes=1000)
    assert [row for table in merged.tables for row in rows_of([Table.open(disk, table)])] == rows
    *full, _ = (table.size for table in merged.tables)
    assert len(full) in (5, 6)
    assert all(20_000 <= size <= 25_000 for size in full)


def test_a_merge_goes_in_slices_and_one_dropped_half_way_changes_nothing():
    disk = SimDisk()
    rows = [(b"%05d" % n, 1, bytes(100)) for n in range(400)]
    inputs = open_all(disk, [(rows[::2], []), (rows[1::2], [])])
    before = {table.name: disk.read(table.name) for table in inputs}
    job = merging(disk, inputs, [], RetainedTimes(), table_bytes=5000, block_bytes=1000)
    read = inputs[0].counts.blocks_read + inputs[1].counts.blocks_read
    for steps, _ in enumerate(job, 1):
        now = inputs[0].counts.blocks_read + inputs[1].counts.blocks_read
        assert now - read <= 3
        read = now
        if steps == 30:
            break
    assert {name: disk.read(name) for name in before} == before
    for table in inputs:
        check_table(table)


def test_nothing_unsound_is_ever_rewritten():
    disk = SimDisk()
    rows = [(b"%05d" % n, 1, bytes(100)) for n in range(40)]
    inputs = open_all(disk, [(rows, [])])
    disk.corrupt(inputs[0].name, inputs[0].extent(inputs[0].blocks - 1)[0] + 30)
    with pytest.raises(Corruption, match=r"000001\.sst, offset [0-9]+: a block does not match"):
        merge_all(disk, inputs, [], RetainedTimes())


# ── in a tree ───────────────────────────────────────────────────────────────────────────────────


def flushed(tree, rows):
    tree.apply(rows, Position(tree.applied.index + 1, 1))
    tree.flush()


def test_a_move_rewrites_nothing():
    disk, events = SimDisk(), []
    strategy = Levelled(tables=3, level_bytes=1 << 20)
    tree = Tree.open(disk, options=TreeOptions(strategy=strategy), report=events.append)
    for n, key in enumerate((b"m", b"a", b"x"), 1):
        flushed(tree, [(key, n, b"x" * 100)])
    files = {table_name(t.number): disk.read(table_name(t.number)) for t in tree.tables}
    before = {t.number: t for t in tree.tables}
    del events[:]
    while tree.work():
        pass
    assert {name: disk.read(name) for name in disk.names() if name.endswith(".sst")} == files
    assert [t.start for t in tree.tables] == [b"a", b"m", b"x"]
    assert tree.tables == tuple(replace(before[t.number], level=1) for t in tree.tables)
    began, done = events
    assert isinstance(began, CompactionStarted)
    assert done == Compacted(began.inputs, began.inputs, 1, 0, 0, 0)
    assert (tree.counts.tables_moved, tree.counts.bytes_compacted) == (3, 0)
    again = Tree.open(disk)
    assert again.tables == tree.tables
    assert [key for key, _ in again.scan()] == [b"a", b"m", b"x"]


def test_a_merge_is_told_in_this_order_and_its_inputs_go_last():
    disk, events = SimDisk(), []
    tree = Tree.open(disk, options=TreeOptions(strategy=Levelled(tables=2)), report=events.append)
    flushed(tree, [(b"a", 1, b"1"), (b"b", 1, b"1")])
    flushed(tree, [(b"a", 2, None)])
    sizes = sum(t.size for t in tree.tables)
    inputs = tuple(t.number for t in tree.tables)
    del events[:]
    while tree.work():
        pass
    (table,) = tree.tables
    assert events == [
        CompactionStarted(inputs, 1),
        TableWritten(table.number, 1, table.size, "b", "b"),
        Compacted(inputs, (table.number,), 1, sizes, table.size, 1),
        *(TableRemoved(number) for number in sorted(inputs)),
    ]
    assert [name for name in disk.names() if name.endswith(".sst")] == [table_name(table.number)]


@pytest.mark.parametrize(
    "strategy",
    [Levelled(tables=2, level_bytes=800, fanout=2, table_bytes=300), Tiered(tables=2)],
    ids=["levelled", "tiered"],
)
@pytest.mark.parametrize("seed", range(3))
def test_under_a_load_of_overwrites_and_deletes_space_does_not_grow(strategy, seed):
    """Whatever the strategy: all that is hidden goes in the end, and levels stay in order."""
    random, disk = Random(seed), SimDisk()
    options = TreeOptions(memtable_bytes=400, block_bytes=100, strategy=strategy)
    tree, model = Tree.open(disk, options=options), {}
    peak = 0
    for n in range(600):
        key = b"%02d" % random.randrange(20)
        if random.random() < 0.3:
            tree.delete(key)
            model.pop(key, None)
        else:
            tree.put(key, b"%d" % n)
            model[key] = b"%d" % n
        peak = max(peak, sum(t.size for t in tree.tables))
        if n % 50 == 0:
            tree.verify()
            assert dict(tree.scan()) == model
    tree.flush()
    while tree.work():
        pass
    assert peak < 12_000  # 600 rows of some 20 bytes are more than that
    tree.compact()
    tree.verify()
    assert dict(tree.scan()) == model
    assert sum(t.rows for t in tree.tables) == len(model)
    assert sum(t.tombstones + t.ranges for t in tree.tables) == 0
    files = [name for name in disk.names() if name.endswith(".sst")]
    assert files == sorted(table_name(t.number) for t in tree.tables)


def test_what_comes_once_and_is_deleted_later_does_not_pile_up():
    """Long rows and short tombstones, among keys that are overwritten for ever.

    Where tables are chosen by their own bytes alone, those of tombstones are passed over.
    """
    random = Random(1)
    levels = Levelled(tables=4, level_bytes=8_000, fanout=8, table_bytes=2_000)
    options = TreeOptions(memtable_bytes=2_000, block_bytes=500, strategy=levels)
    tree, peak = Tree.open(SimDisk(), options=options), 0
    for n in range(12_000):
        tree.put(b"key %03d" % random.randrange(100), b"value" * 4)
        if n % 4 == 0:
            tree.put(b"visitor %d" % n, b"v" * 200)
            tree.delete(b"visitor %d" % (n - 80))
        if n > 8_000:
            peak = max(peak, sum(table.size for table in tree.tables))
    assert peak < 120_000  # and without counting what they hide 190,000, and more each time
