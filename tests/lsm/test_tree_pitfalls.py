"""What storage engines got wrong before: each pitfall with the test that a wrong tree fails.

Numbers are those of the list in the project's notes on storage.  Crashes (1 to 4, 7) are in
test_tree_crash.py and test_wal_faults.py, damage (3, 17) in test_tree_damage.py as well.
"""

import ast
import gc
import os
import subprocess
import sys
from errno import EIO
from pathlib import Path
from random import Random

import pytest

import kvraft
from kvraft.errors import BadInput, Corruption, Stopped
from kvraft.lsm import CompactionTask, Levelled, Tiered, Tree, TreeOptions, WriteBatch
from kvraft.record import MAX_KEY_BYTES, Position
from kvraft.sim import SimDisk
from kvraft.sstable import BlockCache, Table
from tests.helpers.tree_model import KEYS, assert_same, between, live_files, table_files

NEVER = Levelled(tables=10**6)  # compacts only when told to


def tables_of(tree, level):
    return [info for info in tree.tables if info.level == level]


def settle(tree):
    while tree.work():
        pass


def three_levels(rows):
    """Return a tree with ``rows`` one by one on level 2, level 1 and level 0, oldest deepest.

    Each is (key, value), a ``None`` value a delete.
    """
    disk = SimDisk()
    for depth, (key, value) in enumerate(rows):
        tree = Tree.open(disk, options=TreeOptions(strategy=NEVER))
        tree.put(b"%d" % depth, b"")  # so that no level is empty
        if value is None:
            tree.delete(key)
        else:
            tree.put(key, value)
        tree.flush()
        tree.close()
        if depth < 2:
            sink(disk, 2 - depth)
    return disk, Tree.open(disk, options=TreeOptions(strategy=NEVER))


class Sink:
    """A strategy that moves the tables of level 0 down to ``level``, rewriting nothing."""

    def __init__(self, level):
        self.level = level

    def pick(self, tables):
        top = tuple(table for table in tables if table.level == 0)
        return CompactionTask(top, self.level, 1 << 20, move=True) if top else None


def sink(disk, level):
    with Tree.open(disk, options=TreeOptions(strategy=Sink(level))) as tree:
        settle(tree)


# ── 5: crash windows, and files of others ───────────────────────────────────────────────────────


def test_5_a_table_that_the_manifest_does_not_know_goes_and_files_of_others_stay():
    disk = SimDisk()
    with Tree.open(disk) as tree:
        tree.put(b"a", b"1")
        tree.flush()
    others = [".DS_Store", "notes.sst", "7.sst", "x.tmp", "MANIFEST-1", "0000000000000001.wal"]
    for name in [*others, "000077.sst"]:
        disk.create(name)
    for _ in range(2):
        with Tree.open(disk) as tree:
            assert tree.get(b"a") == b"1"
            assert set(others) <= set(disk.names())
            assert table_files(disk) == live_files(tree)
            tree.put(b"b", b"")
            tree.flush()
            assert all(info.number > 77 for info in tree.tables[:1])  # no number is used twice


def test_5_a_table_survives_whose_edit_landed_although_its_sync_failed():
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.put(b"a", b"1")
    disk.break_at(2, error=EIO, kinds=("sync",))  # the table's is the first
    with pytest.raises(OSError, match="Input/output"):
        tree.flush()
    with pytest.raises(Stopped):
        tree.work()
    tree.close()
    again = Tree.open(disk)  # the system shows all bytes
    assert (again.flushed.index, again.get(b"a")) == (1, b"1")
    disk.crash(Random(1))  # but who opened it did not believe them
    assert Tree.open(disk).get(b"a") == b"1"


# ── 8: tombstones ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("deep", [b"old", b""])
def test_8_what_is_deleted_stays_deleted_while_an_old_value_lies_below(deep):
    disk, tree = three_levels([(b"k", deep), (b"other", b""), (b"k", None)])
    assert [info.level for info in tree.tables] == [0, 1, 2]
    tree.close()
    # Levels 0 and 1 are merged; level 2, where the old value lies, is not.
    with Tree.open(disk, options=TreeOptions(strategy=Levelled(tables=1))) as tree:
        settle(tree)
        assert {info.level for info in tree.tables} == {1, 2}
        assert tables_of(tree, 1)[0].tombstones == 1
        assert tree.get(b"k") is None
        assert [key for key, _ in tree.scan()] == [b"0", b"1", b"2", b"other"]
        tree.compact()
        assert sum(info.tombstones for info in tree.tables) == 0
        assert tree.get(b"k") is None


def test_8_a_range_delete_stays_while_old_values_lie_below():
    disk, tree = three_levels([(b"k", b"old"), (b"other", b""), (b"z", b"")])
    tree.delete_range(b"j", b"l")
    tree.flush()
    tree.close()
    with Tree.open(disk, options=TreeOptions(strategy=Levelled(tables=2))) as tree:
        settle(tree)
        assert tables_of(tree, 1)[0].ranges == 1
        assert tables_of(tree, 2)
        assert tree.get(b"k") is None
        tree.compact()
        assert sum(info.ranges for info in tree.tables) == 0
        assert tree.get(b"k") is None


def test_8_a_tombstone_stays_while_a_view_sees_what_it_hides():
    tree = Tree.open(SimDisk())
    tree.put(b"k", b"1")
    view = tree.view()
    tree.delete(b"k")
    tree.compact()
    assert (tree.get(b"k"), view.get(b"k")) == (None, b"1")
    view.close()
    tree.compact()
    assert (tree.get(b"k"), tree.tables) == (None, ())


@pytest.mark.parametrize("strategy", [Levelled(), Tiered()])
def test_8_tombstones_alone_leave_no_table(strategy):
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(strategy=strategy))
    tree.delete(b"never there")
    tree.flush()
    tree.put(b"k", b"")
    tree.flush()
    tree.delete(b"k")
    tree.delete_range(b"a")
    tree.compact()
    assert (tree.tables, table_files(disk), list(tree.scan())) == ((), set(), [])
    assert Tree.open(disk).flushed == Position(4, 0)


# ── 9: the newest wins, wherever it lies ────────────────────────────────────────────────────────


@pytest.mark.parametrize("deleted", range(6))
def test_9_one_key_in_every_place(deleted):
    """It is in two deeper levels, two tables of level 0, an immutable memtable and the memtable."""

    def value(n):
        return None if n == deleted else b"%d" % n

    disk, tree = three_levels([(b"k", value(0)), (b"k", value(1)), (b"k", value(2))])
    for n in (3, 4, 5):
        if value(n) is None:
            tree.delete(b"k")
        else:
            tree.put(b"k", value(n))
        if n == 3:
            tree.flush()
        if n == 4:
            tree.freeze()
        newest = value(n)
        assert tree.get(b"k") == newest
        expected = [] if newest is None else [(b"k", newest)]
        assert list(tree.scan(b"k", b"l")) == expected
        assert list(tree.scan(b"k", b"l", reverse=True)) == expected
    assert [info.level for info in tree.tables] == [0, 0, 1, 2]
    assert (tree.immutable_memtables, tree.memtable_rows) == (1, 1)
    for step in (tree.flush, tree.compact):
        step()
        assert tree.get(b"k") == newest
        assert list(tree.scan(b"k", b"l")) == expected
        with Tree.open(disk.copy()) as again:
            assert again.get(b"k") == newest


def test_9_of_a_batch_the_last_write_to_a_key_counts():
    tree = Tree.open(SimDisk())
    batch = WriteBatch().put(b"k", b"1").delete(b"k").put(b"k", b"2")
    tree.write(batch.put(b"j", b"").delete(b"j"))
    for step in (lambda: None, tree.flush, tree.compact):
        step()
        assert list(tree.scan()) == [(b"k", b"2")]


@pytest.mark.parametrize("strategy", [Levelled(tables=2), Tiered(tables=2)])
def test_9_a_flush_that_ends_during_a_compaction_keeps_its_newer_table(strategy):
    tree = Tree.open(SimDisk(), options=TreeOptions(strategy=strategy, block_bytes=1))
    for n in range(2):
        for key in KEYS:
            tree.put(key, b"%d" % n)
        tree.flush()
    for _ in range(3):
        tree.work()
    assert tree.long_work.compacting is not None
    tree.put(b"a", b"newer")
    tree.delete(b"m")
    tree.flush()
    assert tree.long_work.compacting is not None  # it went on waiting meanwhile
    model = dict.fromkeys(KEYS, b"1") | {b"a": b"newer"}
    del model[b"m"]
    assert_same(tree, model)
    settle(tree)
    assert tree.counts.compactions >= 1
    assert_same(tree, model)
    tree.compact()
    assert_same(tree, model)


# ── 10: versions of one key ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strategy", [Levelled(1, 1, 2, 1), Tiered(tables=2)])
def test_10_versions_of_a_key_stay_together_and_views_see_the_newest_of_their_time(strategy):
    options = TreeOptions(strategy=strategy, block_bytes=1, memtable_bytes=100)
    tree, views = Tree.open(SimDisk(), options=options), []
    for n in range(60):
        tree.put(b"k", b"%d" % n)
        tree.put(b"%d" % n, b"")
        if n % 7 == 0:
            views.append((tree.view(), b"%d" % n))
        if n % 10 == 9:
            tree.flush()
            settle(tree)
        for view, value in views:
            assert view.get(b"k") == value
    tree.compact()
    with_k = [info for info in tree.tables if info.covers(b"k") and info.level > 0]
    assert len(with_k) <= len({info.level for info in with_k})
    assert tree.stats().rows == 60 + 1 + len(views)  # and not one more than somebody sees
    for view, value in views:
        assert view.get(b"k") == value
        assert (b"k", value) in view.scan(reverse=True)


# ── 11: filters ─────────────────────────────────────────────────────────────────────────────────


def test_11_tombstones_are_in_the_filter():
    tree = Tree.open(SimDisk(), options=TreeOptions(bits_per_key=20, strategy=NEVER))
    for key in KEYS:
        tree.put(key, b"old")
    tree.flush()
    for key in KEYS:
        tree.delete(key)
    tree.flush()
    assert_same(tree, {})
    assert tree.counts.filter_negatives == 0


def test_11_range_deletes_hide_keys_that_no_filter_knows():
    tree = Tree.open(SimDisk(), options=TreeOptions(bits_per_key=20, strategy=NEVER))
    tree.put(b"k", b"old")
    tree.flush()
    tree.delete_range(b"j", b"l")
    tree.put(b"elsewhere", b"")
    tree.flush()
    assert tree.get(b"k") is None


def test_11_a_damaged_filter_is_an_error_and_never_a_no():
    disk = SimDisk()
    with Tree.open(disk) as tree:
        for n in range(50):
            tree.put(b"%d" % n, b"")
        tree.flush()
        info = tree.tables[0]
    start, size = Table.open(disk, info).extent(0)
    disk.corrupt("000002.sst", start + size + 20)
    with pytest.raises(Corruption, match=r"000002\.sst, offset \d+: a block does not match"):
        Tree.open(disk)


# ── 12: readers that stay ───────────────────────────────────────────────────────────────────────


def full_of_scans(tree):
    for key in KEYS:
        tree.put(key, b"old")
    tree.flush()
    scans = [tree.scan(reverse=reverse) for reverse in (False, True)]
    next(scans[0])
    return scans


def test_12_files_stay_while_somebody_reads_them_and_go_when_the_last_lets_go():
    disk = SimDisk()
    tree = Tree.open(disk)
    forward, backward = full_of_scans(tree)
    old = live_files(tree)
    tree.delete_range(b"")
    tree.compact()
    assert old.isdisjoint(live_files(tree))
    assert old < table_files(disk)
    assert not tree.has_work
    assert [key for key, _ in forward] == sorted(KEYS)[1:]
    assert not tree.has_work  # the other still reads
    assert [key for key, _ in backward] == sorted(KEYS)[::-1]
    assert tree.has_work
    settle(tree)
    assert table_files(disk) == live_files(tree)
    tree.compact()
    assert table_files(disk) == set()


@pytest.mark.parametrize("forget", ["closed", "deleted", "deleted unread", "in a cycle"])
def test_12_an_abandoned_iterator_lets_go(forget):
    disk = SimDisk()
    tree = Tree.open(disk)
    scans = full_of_scans(tree)
    tree.compact()
    tree.put(b"k", b"")
    tree.compact()
    assert len(table_files(disk)) > len(tree.tables)
    if forget == "closed":
        for scan in scans:
            scan.close()
    if forget == "in a cycle":
        scans.append(scans)
    del scans
    if forget != "closed":
        scan = None
        gc.collect()
    settle(tree)
    assert table_files(disk) == live_files(tree)
    assert tree.readers.keep(tree.timestamp).times == ()


def test_12_closing_with_an_iterator_open_is_clean(tmp_path):
    tree = Tree.open(tmp_path, options=TreeOptions(block_bytes=1))
    scans = full_of_scans(tree)
    tree.close()
    for scan in scans:
        with pytest.raises(BadInput, match="the tree is closed"):
            list(scan)
    with Tree.open(tmp_path) as tree:  # nothing keeps the directory
        assert len(list(tree.scan())) == len(KEYS)


# ── 13: keys and values of any shape ────────────────────────────────────────────────────────────

ODD = [
    b"",
    b"\x00",
    b"\x00\x00",
    b"a",
    b"a\x00",
    b"aa",
    b"ab",
    b"b",
    "ключ".encode(),
    b"\xff",
    b"\xff\xff",
    b"\xff\xff\x00",
    b"kvSSTbl1",
    b"x" * MAX_KEY_BYTES,
]


@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 20])
def test_13_every_bound_between_and_on_keys_of_any_shape(block_bytes):
    options = TreeOptions(block_bytes=block_bytes, strategy=NEVER)
    tree, model = Tree.open(SimDisk(), options=options), {}
    for n, key in enumerate(ODD):
        tree.put(key, model.setdefault(key, b"" if n % 3 == 0 else key[:9]))
        if n % 5 == 4:
            tree.flush()
    bounds = [*ODD, b"a\x00\x00", b"aaa", b"c", b"\xfe", b"\xff\xff\xff", b"\x00\x01"]
    for _ in range(2):
        assert_same(tree, model, bounds)
        for start in bounds:
            for stop in (*bounds, None):
                if stop is not None and start > stop:
                    continue
                found = between(model, start, stop)
                assert list(tree.scan(start, stop)) == found
                assert list(tree.scan(start, stop, reverse=True)) == found[::-1]
        tree.compact()


def test_13_values_larger_than_everything_and_with_a_whole_table_in_them():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(memtable_bytes=1000, block_bytes=100))
    tree.put(b"small", b"v")
    tree.flush()
    table, manifest = disk.read("000002.sst"), disk.read("MANIFEST-000001")
    model = {b"small": b"v", b"big": b"\x00\xff" * (8 << 20), b"t": table, b"m": manifest * 3}
    for key in (b"big", b"t", b"m"):
        tree.put(key, model[key])
    tree.compact()
    tree.verify()
    with Tree.open(disk) as tree:
        assert list(tree.scan()) == between(model)


# ── 14: the cache ───────────────────────────────────────────────────────────────────────────────


def test_14_the_cache_never_answers_for_a_table_that_took_anothers_place():
    # Every table has one block, number 0, and all are asked for their blocks after each change.
    tree = Tree.open(SimDisk(), options=TreeOptions(strategy=Levelled(tables=1)))
    for n in range(20):
        tree.put(b"k", b"%d" % n)
        tree.flush()
        assert tree.get(b"k") == b"%d" % n
        settle(tree)
        assert tree.get(b"k") == b"%d" % n
        assert list(tree.scan()) == [(b"k", b"%d" % n)]


def test_14_the_cache_is_bounded_in_bytes_and_serves():
    limit = 20_000
    options = TreeOptions(cache_bytes=limit, block_bytes=1000, strategy=NEVER)
    tree = Tree.open(SimDisk(), options=options)
    for n in range(1000):
        tree.put(b"%04d" % n, bytes(100))
    tree.flush()
    for n in range(1000):
        tree.get(b"%04d" % n)
        assert 0 < tree.stats().cache_bytes <= limit
    read = tree.counts.blocks_read
    for _ in range(50):
        tree.get(b"0999")
    assert tree.counts.blocks_read == read
    assert tree.stats().cache_hits >= 50
    assert list(tree.scan()) == [(b"%04d" % n, bytes(100)) for n in range(1000)]
    assert BlockCache(0).size == 0


# ── 15: work that piles up ──────────────────────────────────────────────────────────────────────


def test_15_compaction_goes_on_without_further_writes():
    options = TreeOptions(memtable_bytes=300, strategy=Levelled(tables=2), stall_tables=2)
    tree = Tree.open(SimDisk(), options=options)
    for n in range(200):
        tree.put(b"%03d" % n, b"")
    assert tree.has_work
    settle(tree)
    assert (tree.pressure < 1, tree.immutable_memtables) == (True, 0)
    assert len(tables_of(tree, 0)) < 2


def test_15_a_batch_larger_than_the_memtable_is_one_batch():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(memtable_bytes=500))
    batch = WriteBatch()
    for n in range(300):
        batch.put(b"%03d" % n, bytes(20))
    tree.write(batch)
    assert len({tree.version(b"%03d" % n).timestamp for n in range(300)}) == 1
    for step in range(1, 400):
        again = Tree.open(disk.copy())
        assert len(list(again.scan())) in (0, 300)
        if not tree.has_work and step > 1:
            break
        tree.put(b"%03d" % (step % 300), bytes(20))  # pays for a slice
    assert len(list(Tree.open(disk).scan())) == 300


# ── 16: Python ──────────────────────────────────────────────────────────────────────────────────

SCRIPT = """
import hashlib, sys
from random import Random
from kvraft.lsm import Tree
from kvraft.lsm import TreeOptions
from kvraft.lsm import Levelled
from kvraft.sim import SimDisk
from tests.helpers.tree_model import do, random_write
disk, random = SimDisk(), Random(1)
tree = Tree.open(disk, options=TreeOptions(memtable_bytes=300, strategy=Levelled(2, 400, 2, 200)))
for _ in range(330):
    do(tree, random_write(random))
views = [tree.view(), tree.scan()]
whole = hashlib.sha256(b"".join(name.encode() + disk.read(name) for name in disk.names()))
print(len(disk.names()), whole.hexdigest())
"""


def test_16_the_bytes_do_not_depend_on_the_hash_seed_and_the_interpreter_ends_in_silence():
    outputs = set()
    for seed in ("0", "1"):
        root = str(Path(__file__).parents[2])
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr == ""  # with a view and a scan left open
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert int(outputs.pop().split()[0]) > 3


PACKAGE = Path(kvraft.__file__).parent
CORE = [path for room in ("lsm", "sstable", "wal") for path in (PACKAGE / room).glob("*.py")]
CORE += [PACKAGE / "disk" / f"{name}.py" for name in ("disk", "frame")]
CORE += [PACKAGE / f"{name}.py" for name in ("memtable", "range_tombstones", "record", "store")]
CORE += [PACKAGE / "bloom.py"]


@pytest.mark.parametrize("path", sorted(CORE), ids=lambda path: path.stem)
def test_16_no_wall_clock_no_global_randomness_no_threads(path):
    source = path.read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if (node.module, names) != ("threading", {"RLock"}):  # a lock is no thread
                imported.add(str(node.module).partition(".")[0])
    assert imported.isdisjoint({"time", "datetime", "random", "threading", "uuid", "secrets"})


# ── 17: checksums on every read ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strategy", [Levelled(tables=2), Tiered(tables=2)])
def test_17_a_compaction_stops_at_a_damaged_block_and_rewrites_nothing(strategy):
    disk = SimDisk()
    options = TreeOptions(strategy=strategy, block_bytes=1, cache_bytes=1 << 20)
    tree = Tree.open(disk, options=options)
    tree.put(b"a", b"sound")
    tree.put(b"b", b"to be damaged")
    tree.flush()
    tree.put(b"c", b"sound")
    assert tree.get(b"b") == b"to be damaged"  # in the cache, which a compaction must not trust
    damaged = f"{tree.tables[0].number:06d}.sst"
    at = disk.read(damaged).index(b"damaged")
    disk.corrupt(damaged, at)
    with pytest.raises(Corruption, match=damaged):
        tree.compact()
    with pytest.raises(Stopped, match=damaged):
        tree.put(b"d", b"")
    assert (tree.get(b"a"), tree.get(b"c")) == (b"sound", b"sound")
    assert damaged in disk.names()
    for _ in range(2):
        tree = Tree.open(disk, options=options)
        assert tree.get(b"a") == b"sound"
        with pytest.raises(Corruption, match=damaged):
            tree.get(b"b")
        with pytest.raises(Corruption, match=damaged):
            tree.verify()
        assert table_files(disk) == live_files(tree)
        disk.crash(Random(0))
