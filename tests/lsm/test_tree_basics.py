"""The tree: one sorted map, whatever is flushed and merged when; and on disk never a mixture."""

import doctest
import errno
import gc
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.disk import RealDisk
from kvraft.errors import BadInput, Corruption, ForeignFile, Stopped
from kvraft.events import Flushed, MemtableFrozen, TableRemoved, TableWritten, TreeOpened
from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions, WriteBatch
from kvraft.lsm import tree as lsm
from kvraft.mapping import prefix_stop
from kvraft.record import MAX_KEY_BYTES, MAX_VALUE_BYTES, ORIGIN, Position, Version
from kvraft.sim import PowerCut, SimDisk
from kvraft.sstable import Table

KEYS = [b"", b"\x00", b"\xff", b"\xff\xff", b"a", b"a\x00", b"ab"]
KEYS += [b"k%02d" % number for number in range(16)]
SMALL = Levelled(tables=2, level_bytes=600, fanout=2, table_bytes=300)


def sst(disk):
    return {name for name in disk.names() if name.endswith(".sst")}


def names_of(tree):
    return {f"{info.number:06d}.sst" for info in tree.tables}


def within(model, start=b"", stop=None):
    return [(k, model[k]) for k in sorted(model) if start <= k and (stop is None or k < stop)]


def flush_oldest(tree):
    waiting = tree.immutable_memtables
    while waiting and tree.immutable_memtables == waiting:
        tree.work()


def settle(tree):
    while tree.has_work:
        tree.work()


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(lsm)
    assert result.attempted > 10
    assert not result.failed


# ── against a dict ──────────────────────────────────────────────────────────────────────────────


class Life:
    """A tree through random work, and what it should hold: now, and at every time before."""

    def __init__(self, random, options):
        self.random, self.options = random, options
        self.disk = SimDisk()
        self.tree = Tree.open(self.disk, options=options)
        self.past = [{}]  # after each timestamp
        self.views, self.scans = [], []

    def key(self):
        return self.random.choice(KEYS)

    def span(self):
        start, stop = sorted((self.key(), self.key()))
        return start, None if self.random.random() < 0.2 else stop

    def put(self):
        key = self.key()
        value = self.random.choice((b"", b"x" * self.random.randrange(80), b"%d" % len(self.past)))
        self.tree.put(key, value)
        self.past.append(self.past[-1] | {key: value})

    def delete(self):
        key = self.key()
        self.tree.delete(key)
        self.past.append({k: v for k, v in self.past[-1].items() if k != key})

    def delete_range(self):
        start, stop = self.span()
        if stop is None or start < stop:
            self.tree.delete_range(start, stop)
            gone = dict(within(self.past[-1], start, stop))
            self.past.append({k: v for k, v in self.past[-1].items() if k not in gone})

    def write(self):
        batch, now = WriteBatch(), dict(self.past[-1])
        for number in range(self.random.randrange(1, 5)):
            key, kind = self.key(), self.random.random()
            start, stop = self.span()
            if kind < 0.5:
                batch.put(key, b"b%d" % number)
                now[key] = b"b%d" % number
            elif kind < 0.7 or (stop is not None and start >= stop):
                batch.delete(key)
                now.pop(key, None)
            else:
                batch.delete_range(start, stop)
                for gone, _ in within(now, start, stop):
                    del now[gone]
        self.tree.write(batch)
        self.past.append(now)

    def work(self):
        for _ in range(self.random.randrange(1, 9)):
            self.tree.work()

    def view(self):
        self.views.append((self.tree.view(), self.past[-1]))

    def close_view(self):
        if self.views:
            self.views.pop(self.random.randrange(len(self.views)))[0].close()

    def scan(self):
        (start, stop), reverse = self.span(), self.random.random() < 0.5
        if stop is None or start <= stop:
            right = within(self.past[-1], start, stop)[:: -1 if reverse else 1]
            self.scans.append((self.tree.scan(start, stop, reverse=reverse), iter(right)))

    def freeze(self):
        self.tree.freeze()

    def compact(self):
        self.tree.compact()

    def reopen(self):
        self.tree.flush()
        self.tree.close()
        self.views, self.scans = [], []
        self.tree = Tree.open(self.disk, options=self.options)
        assert self.tree.applied == self.tree.flushed
        assert sst(self.disk) == names_of(self.tree)

    def check(self):
        now, tree = self.past[-1], self.tree
        assert tree.timestamp == len(self.past) - 1
        for _ in range(3):
            key = self.key()
            assert tree.get(key) == now.get(key)
            version = tree.version(key)
            assert (version.value if version else None) == now.get(key)
        start, stop = self.span()
        assert list(tree.scan(start, stop)) == within(now, start, stop)
        assert list(tree.scan(start, stop, reverse=True)) == within(now, start, stop)[::-1]
        for view, then in self.views:
            assert view.get(start) == then.get(start)
            assert list(view.scan(start, stop)) == within(then, start, stop)
        for found, right in self.scans:
            assert next(found, None) == next(right, None)
        if self.options.history:
            at = self.random.randrange(tree.horizon, tree.timestamp + 1)
            assert tree.get(start, at=at) == self.past[at].get(start)
            assert list(tree.scan(at=at, reverse=True)) == within(self.past[at])[::-1]

    def end(self):
        for found, right in self.scans:
            assert list(found) == list(right)
        self.tree.verify()
        for view, _ in self.views:
            view.close()
        self.tree.compact()
        if not self.options.history:
            assert all(info.tombstones == info.ranges == 0 for info in self.tree.tables)
            assert self.tree.stats().rows == len(self.past[-1])
        assert list(self.tree.scan()) == within(self.past[-1])
        assert sst(self.disk) == names_of(self.tree)


STEPS = ["put"] * 7 + ["delete"] * 3 + ["delete_range", "write", "view", "scan", "close_view"]
STEPS += ["work"] * 3 + ["freeze", "compact", "reopen"]


def options_of(random):
    strategies = [
        Levelled(2, 600, 2, random.choice((150, 400, 2000))),
        Tiered(2, random.choice((1.0, 3.0))),
        Levelled(),
    ]
    return TreeOptions(
        memtable_bytes=random.choice((200, 600, 3000)),
        block_bytes=random.choice((1, 60, 300)),
        bits_per_key=random.choice((0, 1, 10)),
        codec=random.choice(("none", "none", "zstd", "lz4")),
        cache_bytes=random.choice((0, 1000, 1 << 20)),
        strategy=random.choice(strategies),
        history=random.choice((0, 0, 0, 5, 60)),
        stall_tables=random.choice((2, 12)),
    )


@pytest.mark.parametrize("seed", range(120))
def test_a_tree_reads_like_a_dict_at_every_time_under_any_options(seed):
    random = Random(seed)
    life = Life(random, options_of(random))
    for number in range(random.randrange(20, 160)):
        getattr(life, random.choice(STEPS))()
        if number % 4 == 0:
            life.check()
    life.check()
    life.end()


def test_one_key_in_every_place_the_highest_timestamp_wins():
    for order in ((1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)):
        tree = Tree.open(SimDisk())
        for index, stamp in enumerate(order, 1):
            value = None if stamp == 4 else b"%d" % stamp
            tree.apply([(b"k", stamp, value), (b"%d" % stamp, 9, b"")], Position(index, 1))
            if index < 4:  # two tables, an immutable memtable, the memtable
                tree.freeze()
            if index < 3:
                flush_oldest(tree)
        assert (len(tree.tables), tree.immutable_memtables, tree.memtable_rows) == (2, 1, 2)
        assert tree.version(b"k") == Version(4, None)
        assert b"k" not in dict(tree.scan())
        assert b"k" not in dict(tree.scan(reverse=True))
        assert tree.get(b"k") is None


def test_a_tombstone_in_a_table_hides_older_tables_through_the_filter():
    tree = Tree.open(SimDisk())
    tree.put(b"k", b"old")
    tree.flush()
    tree.delete(b"k")
    tree.flush()
    assert [info.tombstones for info in tree.tables] == [1, 0]
    assert tree.get(b"k") is None
    assert list(tree.scan()) == []


def test_a_deleted_key_stays_deleted_while_its_old_value_lies_deeper():
    """Level 1 has the tombstone, level 2 the value: merging above must not drop the tombstone."""
    tree = Tree.open(SimDisk(), options=TreeOptions(strategy=SMALL))
    for number in range(40):
        tree.put(b"%02d" % number, bytes(60))
    tree.compact()
    settle(tree)
    deepest = max(info.level for info in tree.tables)
    assert deepest >= 2
    tree.delete(b"20")
    tree.flush()
    tree.put(b"00", b"new")
    tree.flush()
    while any(info.level == 0 for info in tree.tables):
        tree.work()
    assert tree.get(b"20") is None
    above = [info for info in tree.tables if info.level < deepest]
    assert sum(info.tombstones for info in above) == 1
    tree.compact()
    assert tree.get(b"20") is None
    assert sum(info.tombstones for info in tree.tables) == 0


def test_merging_tombstones_alone_makes_no_table():
    disk = SimDisk()
    tree = Tree.open(disk)
    for number in range(9):
        tree.delete(b"%d" % number)
    tree.delete_range(b"x", b"z")
    tree.compact()
    assert (tree.tables, sst(disk)) == ((), set())
    assert tree.counts.tombstones_dropped == 9


def test_a_value_above_the_memtable_and_the_block():
    tree = Tree.open(SimDisk(), options=TreeOptions(memtable_bytes=100))
    big = b"\x00\xff" * (1 << 19)
    tree.apply([(b"big", 1, big), (b"b", 1, b"")], Position(1, 1))
    assert tree.memtable_full
    tree.flush()
    assert list(tree.scan()) == [(b"b", b""), (b"big", big)]


def test_a_point_read_leaves_tables_alone_that_cannot_have_a_newer_version(monkeypatch):
    tree = Tree.open(SimDisk())
    for stamp in (1, 2, 3):
        tree.put(b"k", b"%d" % stamp)
        tree.flush()
    read, get = [], Table.get

    def noted(self, key, at):
        read.append(self.name)
        return get(self, key, at)

    monkeypatch.setattr(Table, "get", noted)
    assert tree.get(b"k") == b"3"
    assert read == ["000004.sst"]
    assert tree.get(b"k", at=3) == b"3"


@given(st.binary(max_size=3), st.lists(st.binary(max_size=4), max_size=20))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_a_prefix_scan_finds_the_keys_with_that_prefix(prefix, keys):
    tree = Tree.open(SimDisk())
    keys = {*keys, prefix, prefix + b"\xff\xff", prefix + b"\x00"}
    for key in keys:
        tree.put(key, b"")
    right = sorted(key for key in keys if key.startswith(prefix))
    assert [key for key, _ in tree.scan(prefix=prefix)] == right
    assert [key for key, _ in tree.scan(prefix=prefix, reverse=True)] == right[::-1]
    stop = prefix_stop(prefix)
    assert all(key.startswith(prefix) == (prefix <= key and not (stop and key >= stop))
               for key in keys)  # fmt: skip


# ── views, and times gone by ────────────────────────────────────────────────────────────────────


def test_a_view_pins_what_it_sees_and_lets_go_when_closed_or_forgotten():
    disk, events = SimDisk(), []
    tree = Tree.open(disk, report=events.append)
    for value in (b"1", b"2"):
        tree.put(b"k", value)
        tree.flush()
    old = sst(disk)
    with tree.view() as view:
        scan = view.scan()
        tree.put(b"k", b"3")
        tree.compact()
        assert view.get(b"k") == b"2"
        assert sum(info.rows for info in tree.tables) == 2  # the value that the view sees, too
        assert old <= sst(disk)  # the scan reads them
        assert list(scan) == [(b"k", b"2")]
        settle(tree)
        assert sst(disk) == names_of(tree)
    with pytest.raises(BadInput, match="the view is closed"):
        view.get(b"k")
    tree.compact()
    assert [info.rows for info in tree.tables] == [1]
    removed = [event.table for event in events if isinstance(event, TableRemoved)]
    assert len(removed) == len(set(removed)) >= 4
    for forgotten in (tree.view(), tree.scan()):
        tree.put(b"k", b"4")
        del forgotten
    gc.collect()
    tree.put(b"k", b"5")
    tree.compact()
    assert [info.rows for info in tree.tables] == [1]


def test_a_scan_that_was_begun_and_abandoned_lets_go():
    disk = SimDisk()
    tree = Tree.open(disk)
    for number in range(200):
        tree.put(b"%03d" % number, bytes(100))
    tree.flush()
    scan = tree.scan()
    assert next(scan) == (b"000", bytes(100))
    tree.put(b"000", b"new")
    tree.compact()
    assert len(sst(disk)) > len(tree.tables)
    scan.close()
    settle(tree)
    assert sst(disk) == names_of(tree)


def test_without_history_only_now_and_views_can_be_read_at():
    tree = Tree.open(SimDisk())
    for value in (b"1", b"2", b"3"):
        tree.put(b"k", value)
    assert (tree.horizon, tree.get(b"k", at=3)) == (3, b"3")
    for at, says in ((2, "may be gone"), (4, "lies in the future"), (-1, "must be at least 0"),
                     ("2", "a time to read at must be a whole number")):  # fmt: skip
        for read in (lambda at: tree.get(b"k", at=at), lambda at: tree.scan(at=at),
                     lambda at: tree.view(at=at)):  # fmt: skip
            with pytest.raises(BadInput, match=says):
                read(at)
    view = tree.view()
    tree.put(b"k", b"4")
    assert (tree.get(b"k", at=3), view.get(b"k")) == (b"3", b"3")
    view.close()
    with pytest.raises(BadInput, match="may be gone"):
        tree.get(b"k", at=3)


def test_the_horizon_outlives_a_reopening_with_a_longer_history():
    disk = SimDisk()
    tree = Tree.open(disk)
    for value in (b"1", b"2", b"3"):
        tree.put(b"k", value)
    tree.flush()
    tree = Tree.open(disk, options=TreeOptions(history=100))
    assert tree.horizon == 3
    tree.put(b"k", b"4")
    tree.flush()
    assert tree.get(b"k", at=3) == b"3"
    with pytest.raises(BadInput, match="may be gone"):
        tree.get(b"k", at=2)


# ── the door ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", [("a", 1, b""), (None, 1, b""), (b"a", None, b""), (b"a", 1), b"a"])
def test_a_bad_row_is_refused_and_nothing_is_applied(row):
    tree = Tree.open(SimDisk())
    with pytest.raises(BadInput):
        tree.apply([(b"good", 5, b""), row], Position(1, 1))
    with pytest.raises(BadInput):
        tree.apply([(b"good", 5, b"")], Position(1, 1), [(b"b", 5, b"a")])
    assert (tree.applied, tree.timestamp, list(tree.scan())) == (ORIGIN, 0, [])


def test_bad_calls_are_refused_in_one_sentence_and_the_tree_stays_usable():
    tree = Tree.open(SimDisk())
    tree.apply((), Position(3, 1))
    tree.put(b"a", b"1")
    calls = {
        "is not above": lambda: tree.apply((), Position(3, 1)),
        r"must be kvraft.record.Position, not \(4, 1\)": lambda: tree.apply((), (4, 1)),
        "a key must be bytes, not str": lambda: tree.get("a"),
        "a key must be bytes, not NoneType": lambda: tree.version(None),
        "the stop of a scan must be bytes, not int": lambda: tree.scan(b"a", 7),
        "a key must be bytes, not list": lambda: tree.put([b"a"], b""),
        "a value must be bytes, not str": lambda: tree.put(b"a", "b"),
        "to delete a key, use delete": lambda: tree.put(b"a", None),
        "a key of 65537 bytes": lambda: tree.put(bytes(MAX_KEY_BYTES + 1), b""),
        "a value of 67108865 bytes": lambda: tree.put(b"a", bytes(MAX_VALUE_BYTES + 1)),
        "must start before it stops": lambda: tree.delete_range(b"b", b"a"),
        "None means no end": lambda: tree.delete_range(b"", b""),
        "must not start after its stop": lambda: tree.scan(b"b", b"a"),
        "a prefix or bounds, not both": lambda: tree.scan(b"b", prefix=b"a"),
        "a batch must be kvraft.lsm.batch.WriteBatch": lambda: tree.write([(b"a", b"1")]),
        "needs an empty place": lambda: tree.checkpoint(tree._disk),
    }
    for says, call in calls.items():
        with pytest.raises(BadInput, match=says):
            call()
    assert list(tree.scan()) == [(b"a", b"1")]
    tree.put(b"b", b"2")
    assert (tree.get(b"b"), tree.timestamp) == (b"2", 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("memtable_bytes", 0),
        ("block_bytes", 0),
        ("bits_per_key", -1),
        ("cache_bytes", -1),
        ("history", -1),
        ("stall_tables", 0),
        ("stall_memtables", 0),
        ("codec", "zip"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(option, value):
    with pytest.raises(BadInput, match=option):
        TreeOptions(**{option: value})


def test_a_closed_tree_refuses_everything_and_its_open_scans_and_views_too():
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.apply([(b"a", 1, b""), (b"b", 1, b"")], Position(1, 1))
    tree.freeze()
    scan, begun, view = tree.scan(), tree.scan(), tree.view()
    next(begun)
    tree.work()
    tree.close()
    before = disk.operations
    calls = [
        lambda: tree.get(b"a"),
        tree.scan,
        tree.view,
        tree.freeze,
        tree.work,
        tree.flush,
        tree.compact,
        tree.stats,
        lambda: tree.put(b"a", b""),
        lambda: tree.delete(b"a"),
        lambda: tree.write(WriteBatch()),
        lambda: tree.apply((), Position(2, 1)),
        lambda: tree.checkpoint(SimDisk()),
        lambda: next(scan),
        lambda: list(begun),
        lambda: view.get(b"a"),
        tree.verify,
    ]
    for call in calls:
        with pytest.raises(BadInput, match="the tree is closed"):
            call()
    view.close()
    tree.close()
    assert not tree.has_work
    assert Tree.open(disk.copy()).flushed == ORIGIN
    assert disk.operations == before


# ── flushing, merging, back-pressure ────────────────────────────────────────────────────────────


def test_a_flush_reports_what_it_does_in_order():
    events = []
    tree = Tree.open(SimDisk(), report=events.append)
    tree.apply([(b"\x00a", 1, b"1"), (b"b", 1, None)], Position(7, 2))
    tree.freeze()
    tree.freeze()  # nothing was applied since
    tree.flush()
    tree.flush()  # nothing waits
    size = tree.tables[0].size
    assert events == [
        TreeOpened((), (), ()),
        MemtableFrozen(2, 17 + 3 + 17 + 1, 7),
        TableWritten(2, 2, size, "\\x00a", "b"),
        Flushed(7, 2),
    ]


def test_no_ops_move_the_flushed_mark_without_a_table():
    disk, events = SimDisk(), []
    tree = Tree.open(disk, report=events.append)
    tree.freeze()
    assert tree.immutable_memtables == 0
    tree.apply((), Position(1, 1))
    tree.freeze()
    assert tree.immutable_memtables == 1
    flush_oldest(tree)
    tree.freeze()
    assert (tree.immutable_memtables, tree.flushed, tree.tables) == (0, Position(1, 1), ())
    assert events[1:] == [MemtableFrozen(0, 0, 1), Flushed(1, 0)]
    assert Tree.open(disk).flushed == Position(1, 1)


@pytest.mark.parametrize("strategy", [SMALL, Tiered(2, 2.0)])
def test_a_writer_pays_for_long_work_in_bounded_slices_and_is_never_stopped(strategy):
    options = TreeOptions(memtable_bytes=2000, block_bytes=200, strategy=strategy, stall_tables=4)
    tree = Tree.open(SimDisk(), options=options)
    most, puts = 0.0, 2500
    for number in range(puts):
        before = tree.counts.slices
        tree.put(b"%05d" % (number * 7919 % puts), bytes(20))
        assert tree.counts.slices - before <= 64
        most = max(most, tree.pressure)
    assert 1 <= most < 3
    assert tree.counts.stalls > 0
    settle(tree)  # and without further writes it all comes to an end
    assert tree.pressure < 1
    assert not tree.work()
    assert sum(1 for _ in tree.scan()) == puts


def test_a_flush_that_ends_in_the_middle_of_a_compaction_keeps_its_table():
    tree = Tree.open(SimDisk(), options=TreeOptions(strategy=Levelled(tables=2), block_bytes=1))
    for value in (b"1", b"2"):
        for number in range(9):
            tree.put(b"%d" % number, value)
        tree.flush()
    tree.work()
    tree.work()  # a compaction is under way
    tree.put(b"4", b"3")
    tree.flush()
    assert [info.level for info in tree.tables] == [0, 0, 0]
    while any(info.level for info in tree.tables) is False:
        tree.work()
    assert [info.level for info in tree.tables] == [0, 1]
    assert tree.get(b"4") == b"3"
    assert dict(tree.scan())[b"4"] == b"3"


def test_tables_that_overlap_nothing_move_without_being_rewritten():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(strategy=Levelled(tables=2)))
    for number in range(2):
        tree.put(b"%d" % number, bytes(50))
        tree.flush()
    files = sst(disk)
    settle(tree)
    assert [info.level for info in tree.tables] == [1, 1]
    assert sst(disk) == files == names_of(tree)
    counts = tree.counts
    assert (counts.tables_moved, counts.bytes_compacted) == (2, 0)
    assert list(Tree.open(disk).scan()) == list(tree.scan())


def test_statistics_add_up():
    seconds = iter(range(10**6))
    options = TreeOptions(memtable_bytes=1000, block_bytes=100, strategy=SMALL, stall_tables=1)
    tree = Tree.open(SimDisk(), options=options, clock=lambda: float(next(seconds)))
    for number in range(300):
        tree.put(b"%03d" % (number % 100), bytes(30))
    tree.compact()
    for number in range(100):
        assert tree.get(b"%03d" % number) == bytes(30)
        assert tree.get(b"%03d x" % number) is None
    stats = tree.stats(live=True)
    counts = stats.counts
    assert (counts.rows_put, counts.bytes_put, counts.gets) == (300, 300 * 33, 200)
    assert sum(stats.tables) == len(tree.tables)
    assert sum(stats.table_bytes) == sum(info.size for info in tree.tables)
    assert (stats.rows, stats.live_bytes, stats.immutable_memtables) == (100, 100 * 33, 0)
    assert stats.write_amplification == pytest.approx(
        (counts.bytes_flushed + counts.bytes_compacted) / 9900
    )
    assert stats.write_amplification > 1 < stats.space_amplification
    assert counts.tables_probed == counts.filter_negatives + counts.filter_false_positives + 100
    assert stats.read_amplification == (100 + counts.filter_false_positives) / 200
    assert 0.9 < stats.filter_hit_rate <= 1
    assert 0 < stats.cache_hit_rate < 1
    assert stats.cache_bytes > 0
    assert counts.stall_seconds == counts.stalls > 0
    assert stats.to_dict()["write_amplification"] == stats.write_amplification


def test_a_checkpoint_is_a_tree_of_its_own():
    disk, target = SimDisk(), SimDisk()
    tree = Tree.open(disk, owner="me", options=TreeOptions(strategy=SMALL))
    for number in range(60):
        tree.put(b"%02d" % number, bytes(40))
    tree.checkpoint(target)
    target.crash(Random(1))
    tree.delete_range(b"")
    tree.compact()
    other = Tree.open(target, owner="me")
    other.verify()
    assert [key for key, _ in other.scan()] == [b"%02d" % number for number in range(60)]
    other.put(b"x", b"")
    other.compact()
    assert (list(tree.scan()), len(list(other.scan()))) == ([], 61)


def test_a_checkpoint_of_directories_shares_their_files(tmp_path):
    with Tree.open(tmp_path / "one") as tree:
        tree.put(b"k", bytes(1000))
        tree.checkpoint(tmp_path / "two")
        name = f"{tree.tables[0].number:06d}.sst"
        assert (tmp_path / "one" / name).samefile(tmp_path / "two" / name)
    with Tree.open(tmp_path / "two") as tree:
        assert tree.get(b"k") == bytes(1000)


# ── crashes and failures ────────────────────────────────────────────────────────────────────────

LOG = [
    ([(b"a", 1, b"1"), (b"b", 1, b"1")], Position(2, 1), []),
    ([(b"a", 2, None), (b"c", 2, b"2" * 50)], Position(4, 1), []),
    ([], Position(5, 2), []),
    ([(b"b", 3, b""), (b"d", 3, b"3")], Position(7, 2), [(b"a", 3, b"bb")]),
    ([(b"c", 4, None), (b"a", 4, b"4")], Position(9, 2), []),
    ([(b"e", 5, b"5")], Position(10, 2), [(b"d", 5, b"")]),
]
PLACES = [ORIGIN] + [position for _, position, _ in LOG]


def model_at(flushed):
    model = {}
    for rows, position, ranges in LOG:
        if position <= flushed:
            for start, _, stop in ranges:
                for key, _ in within(model, start, stop or None):
                    del model[key]
            model.update({key: value for key, _, value in rows})
    return {key: value for key, value in model.items() if value is not None}


def work(disk, acknowledge, strategy=SMALL):
    """Open, apply what is missing, flush and merge after each transaction; tell what is durable."""
    tree = Tree.open(disk, options=TreeOptions(strategy=strategy, block_bytes=20))
    acknowledge(tree.flushed)
    for rows, position, ranges in LOG:
        if position > tree.flushed:
            tree.apply(rows, position, ranges)
            tree.flush()
            acknowledge(tree.flushed)
            settle(tree)
    tree.compact()
    return tree


@pytest.mark.parametrize("strategy", [SMALL, Tiered(2, 9.0)], ids=["levelled", "tiered"])
def test_a_power_cut_at_any_step_leaves_the_tree_as_it_was_at_one_position(strategy):
    disk = SimDisk()
    work(disk, lambda _: None, strategy)
    steps = disk.operations
    assert steps > 100
    for step in range(1, steps + 1):
        for seed in range(2):
            disk, random, acknowledged = SimDisk(), Random(f"{step} {seed}"), [ORIGIN]
            for cut in (step, random.randint(1, 30)):  # and a second cut, while it recovers
                disk.fail_at(cut, random)
                try:
                    work(disk, acknowledged.append, strategy)
                except PowerCut:
                    disk.crash(random)
                disk.restore()
                tree = Tree.open(disk.copy())
                assert tree.flushed in PLACES
                assert tree.flushed >= acknowledged[-1]
                assert dict(tree.scan()) == model_at(tree.flushed)
                tree.verify()
            tree = work(disk, acknowledged.append, strategy)
            disk.crash(random)
            tree = Tree.open(disk)
            tree.verify()
            assert dict(tree.scan()) == model_at(LOG[-1][1])
            assert sst(disk) == names_of(tree)


KINDS = ("create", "append", "sync", "rename", "remove", "sync_dir", "read")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_at_any_call_is_told_and_what_is_on_disk_stays_right(kind):
    count = 0
    while True:
        count += 1
        disk, acknowledged = SimDisk(), [ORIGIN]
        disk.break_at(count, kinds=(kind,), random=Random(count))
        try:
            tree = work(disk, acknowledged.append)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        else:
            disk.repair()
            tree.verify()
            break
        disk.repair()
        tree = Tree.open(disk)
        assert tree.flushed >= acknowledged[-1]
        assert dict(tree.scan()) == model_at(tree.flushed)
        work(disk, lambda _: None).verify()
        disk.crash(Random(count))
        assert dict(Tree.open(disk).scan()) == model_at(LOG[-1][1])
    assert count > (1 if kind in ("rename", "remove") else 5)


def test_an_error_while_writing_stops_writing_but_not_reading():
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.put(b"a", b"1")
    disk.break_at(1, kinds=("sync",))
    with pytest.raises(OSError, match="Input/output"):
        tree.flush()
    assert tree.get(b"a") == b"1"
    assert list(tree.scan()) == [(b"a", b"1")]
    operations = disk.operations
    for call in (tree.work, tree.flush, tree.compact, lambda: tree.put(b"b", b""),
                 lambda: tree.delete(b"a")):  # fmt: skip
        with pytest.raises(Stopped, match="Input/output error"):
            call()
    assert (disk.operations, tree.has_work) == (operations, False)


def test_a_full_disk_stops_long_work_until_there_is_space_and_leaves_no_files_behind():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(strategy=Levelled(tables=2), block_bytes=100))
    for value in (b"1", b"2"):
        for number in range(50):
            tree.put(b"%02d" % number, value * 50)
        tree.flush()
    files = sst(disk)
    for room in range(0, 3000, 450):
        disk.capacity = sum(disk.size(name) for name in disk.names()) + room
        with pytest.raises(OSError, match="no space"):
            settle(tree)
        assert sst(disk) == files == names_of(tree)
        assert tree.get(b"07") == b"2" * 50
        assert tree.has_work
    for number in range(9):
        tree.put(b"x%d" % number, bytes(100))
    disk.capacity = sum(disk.size(name) for name in disk.names()) + 500
    with pytest.raises(OSError, match="no space"):
        tree.flush()
    disk.capacity = None
    tree.flush()
    settle(tree)
    assert sst(disk) == names_of(tree) != files
    assert len(dict(tree.scan())) == 59


def test_a_missing_or_foreign_table_is_refused_and_nothing_is_deleted():
    disk = SimDisk()
    tree = work(disk, lambda _: None)
    name = f"{tree.tables[0].number:06d}.sst"
    names = set(disk.names())
    with pytest.raises(ForeignFile):
        Tree.open(disk, owner="another")
    assert set(disk.names()) == names
    disk.remove(name)
    with pytest.raises(Corruption, match=f"{name}, offset 0: the table is missing"):
        Tree.open(disk)
    assert {gone for gone in names - set(disk.names()) if gone.endswith(".sst")} == {name}


def test_a_merge_stops_at_damage_and_never_writes_it_anew():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(strategy=Levelled(tables=2)))
    for value in (b"1", b"2"):
        tree.put(b"k", value * 50)
        tree.flush()
    before = tree.tables
    disk.corrupt(f"{before[1].number:06d}.sst", 30)
    with pytest.raises(Corruption, match="does not match its checksum"):
        settle(tree)
    assert tree.tables == before
    assert tree.get(b"k") == b"2" * 50
    with pytest.raises(Stopped):
        tree.work()


def test_files_of_others_are_left_alone():
    disk = SimDisk()
    others = [".DS_Store", "0000000000000001.wal", "notes.sst", "7.sst", "LOCK", "x.tmp"]
    for name in [*others, "MANIFEST-1"]:
        disk.create(name)
    disk.create("000009.sst.tmp")
    for _ in range(2):
        Tree.open(disk)
        assert set(others) <= set(disk.names())


def test_on_a_real_disk(tmp_path):
    disk = RealDisk(tmp_path)
    work(disk, lambda _: None).close()
    disk.close()
    with Tree.open(tmp_path) as tree:
        tree.verify()
        assert dict(tree.scan()) == model_at(LOG[-1][1])


def test_scans_of_every_kind_agree_with_each_other_on_a_large_tree():
    tree = Tree.open(SimDisk(), options=TreeOptions(memtable_bytes=20_000, strategy=SMALL))
    random = Random(5)
    model = {}
    for number in range(4000):
        key = b"%04d" % random.randrange(3000)
        tree.put(key, b"%d" % number)
        model[key] = b"%d" % number
    for _ in range(40):
        start, stop = sorted(b"%04d" % random.randrange(3000) for _ in range(2))
        assert list(tree.scan(start, stop)) == within(model, start, stop)
        assert list(tree.scan(start, stop, reverse=True)) == within(model, start, stop)[::-1]
        assert list(islice(tree.scan(start), 5)) == within(model, start)[:5]
