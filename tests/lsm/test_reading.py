"""Reads of a tree against all that was ever written to it, whatever is in memory and whatever not.

A key is looked up several times in a row, because a block answers in another way at each of its
first uses (``sstable/cache.py``), and a look-up that memory can answer goes a short way.
"""

from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.lsm import Levelled, Tree, TreeOptions
from kvraft.lsm.reading import find
from kvraft.record import MAX_TIMESTAMP, Position
from kvraft.sim import SimDisk

KEYS = [b"", b"a", b"a\0", b"ab", b"b", b"ba", b"c", b"\xff"]
PROBES = [*KEYS, b"aa", b"bb", b"\0", b"\xff\xff"]
keys = st.sampled_from(KEYS)

writes = st.tuples(st.just("row"), keys, st.none() | st.sampled_from([b"", b"x", b"y" * 40]))
ranges = st.tuples(st.just("range"), keys, keys | st.just(b"")).filter(
    lambda step: not step[2] or step[1] < step[2]
)
others = st.sampled_from([("flush",), ("compact",), ("work",), ("view",), ("close",)])
reads = st.tuples(st.just("read"), st.integers(0, 60))


class Model:
    """Every version that was ever written, with its timestamp; the newest at a time counts."""

    def __init__(self):
        self.rows, self.ranges = [], []

    def at(self, key, time):
        """The value of a key at a time, ``None`` if it has none."""
        found = [(stamp, 1, value) for k, stamp, value in self.rows if k == key and stamp <= time]
        found += [
            (stamp, 0, None)
            for start, stamp, stop in self.ranges
            if start <= key and (not stop or key < stop) and stamp <= time
        ]
        return max(found, key=lambda each: each[:2])[2] if found else None

    def scan(self, time):
        """All keys and values at a time."""
        found = [(key, self.at(key, time)) for key in KEYS]
        return sorted(pair for pair in found if pair[1] is not None)


@given(
    st.lists(writes | writes | ranges | others | reads, max_size=50),
    st.sampled_from([0, 1500, 3000, 1 << 20]),
    st.sampled_from([0, 1, 10]),
    st.sampled_from([1, 60, 4096]),
    st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_reads_are_those_of_all_versions_at_any_time_and_from_any_part_of_memory(
    steps, cache_bytes, bits_per_key, block_bytes, late
):
    """With ``late`` rows arrive with timestamps below those of rows that are in tables already.

    Then nothing is deleted: a compaction need not remember for how long.
    """
    options = TreeOptions(
        memtable_bytes=200, block_bytes=block_bytes, bits_per_key=bits_per_key,
        cache_bytes=cache_bytes, strategy=Levelled(tables=2, level_bytes=300, table_bytes=200),
    )  # fmt: skip
    tree, model, views = Tree.open(SimDisk(), options=options), Model(), []
    for n, step in enumerate(steps, 1):
        time = 2 * n
        if step[0] == "row":
            stamp = time - 15 if late and n % 3 == 0 and time > 15 and not views else time
            row = (step[1], stamp, (step[2] or b"") if late else step[2])
            tree.apply([row], Position(n, 1))
            model.rows.append(row)
        elif step[0] == "range" and not late:
            tree.apply([], Position(n, 1), [(step[1], time, step[2])])
            model.ranges.append((step[1], time, step[2]))
        elif step[0] == "view":
            views.append(tree.view())
        elif step[0] == "close" and views:
            views.pop(0).close()
        elif step[0] == "read":
            for key in PROBES:
                assert tree.get(key, b"none") == model.at(key, MAX_TIMESTAMP) or (
                    tree.get(key) is model.at(key, MAX_TIMESTAMP) is None
                )
        elif step[0] == "work" and tree.has_work:
            tree.work()
        elif step[0] in ("flush", "compact"):
            getattr(tree, step[0])()
    for _ in range(3):
        levels, memtables = tree._tables.levels, tree.memtables.newest_first
        for key in PROBES:
            value = model.at(key, MAX_TIMESTAMP)
            assert tree.get(key) == value
            assert tree.get(key, b"none") == (b"none" if value is None else value)
            row = find(memtables, levels, key, MAX_TIMESTAMP)
            assert (None if row is None else row[2]) == value
            for view in views:
                assert view.get(key) == model.at(key, view.timestamp)
        assert list(tree.scan()) == model.scan(MAX_TIMESTAMP)
        assert list(tree.scan(reverse=True)) == model.scan(MAX_TIMESTAMP)[::-1]
        for view in views:
            assert list(view.scan()) == model.scan(view.timestamp)
            assert list(view.scan(b"a", b"b")) == [
                pair for pair in model.scan(view.timestamp) if b"a" <= pair[0] < b"b"
            ]
        assert tree._tables.cache.size <= cache_bytes


def filled(count=3000, **options):
    """A compacted tree of ``count`` keys, all of whose blocks are in memory, and those keys."""
    tree = Tree.open(SimDisk(), options=TreeOptions(**options))
    names = [b"%06d" % (2 * at) for at in range(count)]
    for key in names:
        tree.put(key, key * 3)
    tree.compact()
    for _ in range(3):
        for key in names:
            assert tree.get(key) == key * 3
    return tree, names


def test_the_highest_timestamp_counts_though_an_older_row_lies_above_it_in_memory():
    tree = Tree.open(SimDisk(), options=TreeOptions(strategy=Levelled(tables=9)))
    for n, stamp in enumerate((9, 5), 1):  # the row that comes later is the older one
        tree.apply([(b"k", stamp, b"%d" % stamp), (b"z", stamp, b"")], Position(n, 1))
        tree.flush()
    for table in tree._tables.levels.tables:
        for _ in range(5):
            table.get(b"k")
        assert b"k" in table.rows
    newest_first = tuple(reversed(tree._tables.levels.tables))  # as if on two levels
    tree._tables.levels.guide[:] = [newest_first] * len(tree._tables.levels.guide)
    for _ in range(4):
        assert tree.get(b"k") == b"9"


def test_what_is_in_memory_needs_neither_filter_nor_block_nor_lock():
    tree, names = filled()
    before = tree.stats()
    tables = {id(table): table for table in tree._tables.levels.tables}
    for table in tables.values():
        assert len(table.rows) == table.metadata.keys
        table.bloom = table.read_block = table.get = None  # any use of them would fail
    got = []
    with tree.lock:  # another thread reads all the same
        reader = Thread(target=lambda: got.extend(tree.get(key) for key in (*names, b"000001")))
        reader.start()
        reader.join(60)
    assert got == [*(key * 3 for key in names), None]
    after = tree.stats()
    assert after.counts.gets - before.counts.gets == len(names) + 1
    assert after.counts.tables_probed - before.counts.tables_probed == len(names) + 1
    assert after.counts.blocks_read == before.counts.blocks_read
    assert after.read_amplification <= 1


def test_rows_that_move_to_tables_are_never_missed_by_another_thread():
    tree, names = filled(300, memtable_bytes=2_000, block_bytes=300)
    wrong, done = [], []

    def read():
        while not done:
            for key in names:
                value = tree.get(key)
                if value is None or not value.startswith(key):
                    wrong.append((key, value))

    reader = Thread(target=read)
    reader.start()
    for turn in range(10):
        for key in names:
            tree.put(key, key + b"%d" % turn)
        tree.compact()
    done.append(True)
    reader.join()
    assert not wrong


def test_a_closed_tree_does_not_answer_from_memory_either():
    tree, names = filled(50)
    view = tree.view()
    tree.close()
    for read in (tree.get, tree.version, view.get):
        with pytest.raises(BadInput, match="the tree is closed"):
            read(names[0])


def test_a_read_at_a_time_that_may_be_gone_is_refused_though_memory_could_answer():
    tree, names = filled(50)
    assert tree.get(names[7], at=tree.timestamp) == names[7] * 3
    with pytest.raises(BadInput, match="may be gone"):
        tree.get(names[7], at=tree.timestamp - 1)
    with pytest.raises(BadInput, match="lies in the future"):
        tree.get(names[7], at=tree.timestamp + 1)


class _Meanwhile(dict):
    """Rows in memory that another thread changes right after the first look-up in them."""

    def __init__(self, rows, change):
        super().__init__(rows)
        self._change = [change]

    def get(self, key, default=None):
        found = super().get(key, default)
        if self._change:
            self._change.pop()()
        return found


def test_rows_that_another_thread_warms_up_or_evicts_meanwhile_are_not_missed():
    tree, names = filled(300)
    [table] = tree._tables.levels.tables
    shelf, cache = table.shelf, tree._tables.cache
    everything, blocks = dict(table.rows), list(shelf.blocks)

    def warm_up():
        rows.update(everything)
        shelf.known = rows, True

    rows = _Meanwhile({}, warm_up)
    shelf.known = rows, False
    assert tree.get(names[7]) == names[7] * 3

    shelf.blocks[:] = blocks
    rows = _Meanwhile(everything, lambda: cache.evict(shelf))
    shelf.known = rows, True
    assert tree.get(names[7]) == names[7] * 3
    assert tree.get(b"000001") is None

    for key in names * 2:
        tree.get(key)
    rows, whole = shelf.known
    assert whole
    assert rows == everything
    shelf.remove(shelf.blocks[0])
    assert rows == everything  # a reader that has it goes on with it
    assert shelf.known[1] is False
    assert names[0] not in shelf.rows


def test_no_version_is_kept_for_a_reader_that_has_left():
    sizes = []
    for reads in (False, True):
        tree = Tree.open(SimDisk())
        for n in range(1, 5):
            tree.apply([(b"k", n, b"v")], Position(n, 1))
            assert not reads or list(tree.scan()) == [(b"k", b"v")]
        sizes.append(tree.memtable_size)
    assert sizes[0] == sizes[1]
