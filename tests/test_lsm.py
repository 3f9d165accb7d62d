"""The tree: one sorted map, whatever is flushed when; and on disk never a mixture."""

import doctest
import errno
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import lsm
from kvraft.disk import RealDisk
from kvraft.errors import BadInput, Damage, Foreign, Stopped
from kvraft.events import Flushed, MemtableFrozen, TableWritten
from kvraft.lsm import Tree, prefix_stop
from kvraft.record import ORIGIN, Position, Version
from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sstable import Table

KEYS = [b"", b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xfe", b"\xff", b"\xff\xff"]


def put_in(model, rows):
    """Apply ``rows`` to a plain dict of versions: the highest timestamp wins, then the later."""
    for key, version in rows:
        if key not in model or model[key].timestamp <= version.timestamp:
            model[key] = version


def live(model, start=b"", stop=None):
    return [
        (key, version.value)
        for key, version in sorted(model.items())
        if version.value is not None and start <= key and (stop is None or key < stop)
    ]


def finish(job):
    for _ in job:
        pass


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(lsm)
    assert result.attempted > 10
    assert not result.failed


# ── against a dict ──────────────────────────────────────────────────────────────────────────────


class Life:
    """A tree, the log it is rebuilt from, and the dict that it should equal."""

    def __init__(self):
        self.disk = SimDisk()
        self.log = []  # (rows, position)
        self.model = {}
        self.job = None
        self.scans = []  # open iterators, each with what is still to come
        self.tree = Tree.open(self.disk, memtable_bytes=60)

    def apply(self, rows):
        position = Position(self.tree.applied.index + 1 + len(rows), 1)
        self.log.append((rows, position))
        self.tree.apply(rows, position)
        put_in(self.model, rows)

    def freeze(self):
        self.tree.freeze()

    def slices(self, number):
        self.job = self.job or self.tree.flush()
        if next(islice(self.job, number, None), self) is self:
            self.job = None

    def flush(self):
        self.slices(1 << 30)

    def drop(self):
        self.job = None

    def reopen(self):
        self.job, self.scans = None, []
        self.tree.close()
        flushed = self.tree.flushed
        self.tree = Tree.open(self.disk, memtable_bytes=60)
        assert self.tree.flushed == self.tree.applied == flushed
        for rows, position in self.log:
            if position > flushed:
                self.tree.apply(rows, position)

    def scan(self, bounds):
        self.scans.append((self.tree.scan(*bounds), live(self.model, *bounds)))

    def check(self, bounds):
        tree, model = self.tree, self.model
        for key in KEYS:
            assert tree.version(key) == model.get(key)
            assert tree.get(key) == (model[key].value if key in model else None)
        assert list(tree.scan()) == live(model)
        assert list(tree.scan(*bounds)) == live(model, *bounds)
        for found, expected in self.scans:
            for pair in islice(found, 1):
                assert pair == expected.pop(0)
        assert tree.timestamp == max(
            (v.timestamp for rows, _ in self.log for _, v in rows), default=0
        )
        assert tree.full == (tree.memtable_size >= 60)

    def end(self):
        for found, expected in self.scans:
            assert list(found) == expected
        self.tree.verify()


values = st.none() | st.just(b"") | st.binary(max_size=20)
rows = st.lists(
    st.tuples(st.sampled_from(KEYS), st.builds(Version, st.integers(1, 12), values)), max_size=4
)
bounds = st.tuples(st.sampled_from(KEYS), st.none() | st.sampled_from(KEYS))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), rows),
        st.tuples(st.just("apply"), rows),
        st.tuples(st.sampled_from(["freeze", "freeze", "flush", "drop", "reopen"])),
        st.tuples(st.just("slices"), st.integers(0, 4)),
        st.tuples(st.just("scan"), bounds),
    ),
    max_size=30,
)


@given(steps, bounds)
@settings(deadline=None, derandomize=True, max_examples=250)
def test_a_tree_reads_like_a_dict_through_freezes_flushes_and_reopenings(steps, between):
    # Timestamps come from a small range in any order, so versions tie and arrive late all the time.
    life = Life()
    for name, *arguments in steps:
        getattr(life, name)(*arguments)
        life.check(between)
    life.end()


def test_one_key_in_every_place_the_highest_timestamp_wins():
    for order in ((1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)):
        disk = SimDisk()
        tree = Tree.open(disk)
        for index, stamp in enumerate(order, 1):
            value = None if stamp == 4 else b"%d" % stamp
            rows = [(b"k", Version(stamp, value)), (b"%d" % stamp, Version(9, b""))]
            tree.apply(rows, Position(index, 1))
            if index < 4:  # two tables, an immutable memtable, the memtable
                tree.freeze()
            if index < 3:
                finish(tree.flush())
        assert (len(tree.tables), tree.waiting, tree.memtable_rows) == (2, 1, 2)
        assert tree.version(b"k") == Version(4, None)
        assert b"k" not in dict(tree.scan())
        assert tree.get(b"k") is None


@pytest.mark.parametrize("flushes", [0, 1, 2, 3])
@pytest.mark.parametrize("freezes", [2, 3])
def test_of_equal_timestamps_the_later_wins_in_every_place(flushes, freezes):
    tree = Tree.open(SimDisk())
    for index in (1, 2, 3):
        tree.apply([(b"k", Version(7, b"%d" % index))], Position(index, 1))
        if index <= freezes:
            tree.freeze()
    for _ in range(flushes):
        finish(tree.flush())
    assert tree.get(b"k") == b"3"
    assert list(tree.scan()) == [(b"k", b"3")]


def test_a_tombstone_in_a_table_hides_older_tables_through_the_filter():
    tree = Tree.open(SimDisk())
    tree.apply([(b"k", Version(1, b"old"))], Position(1, 1))
    tree.freeze()
    tree.apply([(b"k", Version(2, None))], Position(2, 1))
    tree.freeze()
    finish(tree.flush())
    finish(tree.flush())
    assert [info.tombstones for info in tree.tables] == [1, 0]
    assert tree.get(b"k") is None
    assert list(tree.scan()) == []


def test_a_value_above_the_memtable_and_the_block():
    tree = Tree.open(SimDisk(), memtable_bytes=100)
    big = b"\x00\xff" * (1 << 19)
    tree.apply([(b"big", Version(1, big)), (b"b", Version(1, b""))], Position(1, 1))
    assert tree.full
    tree.freeze()
    finish(tree.flush())
    assert list(tree.scan()) == [(b"b", b""), (b"big", big)]


def test_a_point_read_leaves_tables_alone_that_cannot_have_a_newer_version(monkeypatch):
    tree = Tree.open(SimDisk())
    for stamp in (1, 2, 3):
        tree.apply([(b"k", Version(stamp, b"%d" % stamp))], Position(stamp, 1))
        tree.freeze()
        finish(tree.flush())
    read, get = [], Table.get
    monkeypatch.setattr(Table, "get", lambda self, key: read.append(self.name) or get(self, key))
    assert tree.get(b"k") == b"3"
    assert read == ["000004.sst"]


@given(st.binary(max_size=3), st.lists(st.binary(max_size=4), max_size=20))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_a_prefix_scan_finds_the_keys_with_that_prefix(prefix, keys):
    for key in [*keys, prefix, prefix + b"\xff\xff", prefix + b"\x00"]:
        stop = prefix_stop(prefix)
        assert key.startswith(prefix) == (prefix <= key and (stop is None or key < stop))


# ── the door ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("row", [("a", Version(1, b"")), (None, Version(1, b"")), (b"a", None)])
def test_a_bad_row_is_refused_and_nothing_is_applied(row):
    tree = Tree.open(SimDisk())
    with pytest.raises(BadInput):
        tree.apply([(b"good", Version(5, b"")), row], Position(1, 1))
    assert (tree.applied, tree.timestamp, list(tree.scan())) == (ORIGIN, 0, [])


def test_bad_calls_are_refused_in_one_sentence():
    tree = Tree.open(SimDisk())
    tree.apply((), Position(3, 1))
    for position in (Position(3, 1), Position(2, 9)):
        with pytest.raises(BadInput, match="is not above"):
            tree.apply([(b"a", Version(1, b""))], position)
    with pytest.raises(BadInput, match=r"is a Position, not \(4, 1\)"):
        tree.apply([(b"a", Version(1, b""))], (4, 1))
    assert tree.get(b"a") is None
    for call in (lambda: tree.get("a"), lambda: tree.version(None), lambda: tree.scan(b"a", "b")):
        with pytest.raises(BadInput, match="a key must be bytes, not"):
            call()
    with pytest.raises(BadInput, match="memtable_bytes"):
        Tree.open(SimDisk(), memtable_bytes=0)


def test_a_closed_tree_refuses_everything_and_its_open_scans_and_flushes_too():
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.apply([(b"a", Version(1, b"")), (b"b", Version(1, b""))], Position(1, 1))
    tree.freeze()
    scan, job = tree.scan(), tree.flush()
    next(scan)
    next(job)
    tree.close()
    before = disk.operations
    calls = [
        lambda: tree.get(b"a"),
        tree.scan,
        tree.freeze,
        lambda: tree.apply((), Position(2, 1)),
        lambda: next(tree.flush()),
        lambda: next(job),
        lambda: next(scan),
        tree.verify,
    ]
    for call in calls:
        with pytest.raises(BadInput, match="the tree is closed"):
            call()
    finish(job)
    assert Tree.open(disk.copy()).flushed == ORIGIN
    assert disk.operations <= before + 1


# ── freezing and flushing ───────────────────────────────────────────────────────────────────────


def test_a_flush_reports_what_it_does_in_order():
    events = []
    tree = Tree.open(SimDisk(), report=events.append)
    tree.apply([(b"\x00a", Version(1, b"1")), (b"b", Version(1, None))], Position(7, 2))
    tree.freeze()
    tree.freeze()  # nothing was applied since
    finish(tree.flush())
    finish(tree.flush())  # nothing waits
    size = tree.tables[0].size
    assert events == [
        MemtableFrozen(2, 17 + 3 + 17 + 1, 7),
        TableWritten(2, 2, size, "\\x00a", "b"),
        Flushed(7, 2),
    ]


def test_no_ops_move_the_flushed_mark_without_a_table():
    disk, events = SimDisk(), []
    tree = Tree.open(disk, report=events.append)
    tree.freeze()
    assert tree.waiting == 0
    tree.apply((), Position(1, 1))
    tree.freeze()
    assert tree.waiting == 1
    finish(tree.flush())
    tree.freeze()
    assert (tree.waiting, tree.flushed, tree.tables) == (0, Position(1, 1), ())
    assert events == [MemtableFrozen(0, 0, 1), Flushed(1, 0)]
    assert Tree.open(disk).flushed == Position(1, 1)


def test_one_flush_at_a_time_and_a_dropped_one_can_be_begun_again():
    disk = SimDisk()
    tree = Tree.open(disk)
    for index in (1, 2):
        tree.apply([(b"%d" % index, Version(index, b""))], Position(index, 1))
        tree.freeze()
    job = tree.flush()
    next(job)
    with pytest.raises(BadInput, match="a flush is under way"):
        next(tree.flush())
    del job
    finish(tree.flush())
    finish(tree.flush())
    assert tree.flushed == Position(2, 1)
    assert [key for key, _ in tree.scan()] == [b"1", b"2"]
    live_files = {f"{info.number:06d}.sst" for info in tree.tables}
    left = {name for name in disk.names() if name.endswith(".sst")} - live_files
    assert len(left) == 1  # of the dropped job, until the next open
    tree = Tree.open(disk)
    assert {name for name in disk.names() if name.endswith(".sst")} == live_files
    tree.verify()


def test_files_of_others_are_left_alone():
    disk = SimDisk()
    others = [
        ".DS_Store",
        "0000000000000001.wal",
        "notes.sst",
        "7.sst",
        "LOCK",
        "x.tmp",
        "MANIFEST-1",
    ]
    for name in others:
        disk.create(name)
    disk.create("000009.sst.tmp")
    for _ in range(2):
        Tree.open(disk)
        assert set(others) <= set(disk.names())


# ── crashes and failures ────────────────────────────────────────────────────────────────────────

LOG = [
    (((b"a", Version(1, b"1")), (b"b", Version(1, b"1"))), Position(2, 1)),
    (((b"a", Version(2, None)), (b"c", Version(2, b"2" * 50))), Position(4, 1)),
    ((), Position(5, 2)),
    (((b"b", Version(3, b"")), (b"d", Version(3, b"3"))), Position(7, 2)),
    (((b"c", Version(4, None)), (b"a", Version(4, b"4"))), Position(9, 2)),
]


def model_at(flushed):
    model = {}
    for rows, position in LOG:
        if position <= flushed:
            put_in(model, rows)
    return model


def work(disk, acknowledge):
    """Open, apply what is missing, flush after each transaction; tell what is durable."""
    tree = Tree.open(disk)
    acknowledge(tree.flushed)
    for rows, position in LOG:
        if position > tree.flushed:
            tree.apply(rows, position)
            tree.freeze()
            finish(tree.flush())
            acknowledge(tree.flushed)
    return tree


def test_a_power_cut_at_any_step_leaves_the_tree_as_it_was_at_one_position():
    disk = SimDisk()
    work(disk, lambda _: None)
    places = [ORIGIN] + [position for _, position in LOG]
    for step in range(1, disk.operations + 1):
        for seed in range(8):
            disk, random, acknowledged = SimDisk(), Random(f"{step} {seed}"), [ORIGIN]
            for cut in (step, random.randint(1, 30)):  # and a second cut, while it recovers
                disk.fail_at(cut, random)
                try:
                    work(disk, acknowledged.append)
                except PowerCut:
                    disk.crash(random)
                disk.restore()
                tree = Tree.open(disk.copy())
                assert tree.flushed in places
                assert tree.flushed >= acknowledged[-1]
                model = model_at(tree.flushed)
                assert list(tree.scan()) == live(model)
                assert {key: tree.version(key) for key in model} == model
                assert tree.timestamp == max((v.timestamp for v in model.values()), default=0)
                tree.verify()
            tree = work(disk, acknowledged.append)
            disk.crash(random)
            tree = Tree.open(disk)
            tree.verify()
            assert list(tree.scan()) == live(model_at(LOG[-1][1]))
            files = {name for name in disk.names() if name.endswith(".sst")}
            assert files == {f"{info.number:06d}.sst" for info in tree.tables}


class Failing(SimDisk):
    """A disk on which one operation raises ``OSError``, and all later ones work."""

    fuse = 0

    def _operation(self):
        super()._operation()
        self.fuse -= 1
        if self.fuse == 0:
            raise OSError(errno.EIO, "Input/output error")


def test_a_disk_error_at_any_step_of_a_flush_stops_flushing_but_not_reading():
    def begin():
        disk = Failing()
        tree = Tree.open(disk)
        for rows, position in LOG[:2]:
            tree.apply(rows, position)
            tree.freeze()
        return disk, tree

    disk, tree = begin()
    before = disk.operations
    finish(tree.flush())
    for step in range(1, disk.operations - before + 1):
        disk, tree = begin()
        disk.fuse = step
        with pytest.raises(OSError, match="Input/output"):
            finish(tree.flush())
        operations = disk.operations
        for _ in range(2):
            with pytest.raises(Stopped, match="Input/output error"):
                next(tree.flush())
        assert (disk.operations, tree.waiting) == (operations, 2)
        assert list(tree.scan()) == live(model_at(LOG[1][1]))
        assert tree.get(b"a") is None
        flushed = tree.flushed
        tree = Tree.open(disk)
        assert tree.flushed >= flushed
        assert list(tree.scan()) == live(model_at(tree.flushed))
        work(disk, lambda _: None).verify()


def test_a_missing_or_foreign_table_is_refused_and_nothing_is_deleted():
    disk = SimDisk()
    work(disk, lambda _: None)
    names = set(disk.names())
    with pytest.raises(Foreign):
        Tree.open(disk, owner="another")
    assert set(disk.names()) == names
    disk.remove("000003.sst")
    with pytest.raises(Damage, match=r"000003\.sst, offset 0: the table is missing"):
        Tree.open(disk)
    assert {name for name in names if name.endswith(".sst")} - set(disk.names()) == {"000003.sst"}


def test_verify_names_the_damaged_table():
    disk = SimDisk()
    tree = work(disk, lambda _: None)
    tree.verify()
    disk.corrupt("000003.sst", 9)
    with pytest.raises(Damage, match=r"000003\.sst, offset 0: "):
        tree.verify()


def test_on_a_real_disk(tmp_path):
    disk = RealDisk(tmp_path)
    work(disk, lambda _: None).close()
    disk.close()
    disk = RealDisk(tmp_path)
    tree = Tree.open(disk)
    tree.verify()
    assert list(tree.scan()) == live(model_at(LOG[-1][1]))
    disk.close()
