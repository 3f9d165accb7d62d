"""The tree: one sorted map, whatever is flushed, merged, installed or reopened when."""

import doctest
import gc
from itertools import islice
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvraft.disk import RealDisk
from kvraft.errors import BadInput, Corruption, ForeignFile, Locked
from kvraft.events import (
    Compacted,
    CompactionStarted,
    Flushed,
    MemtableFrozen,
    TableRemoved,
    TableWritten,
    TreeOpened,
)
from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions, WriteBatch
from kvraft.lsm import tree as lsm
from kvraft.mapping import prefix_stop
from kvraft.record import MAX_KEY_BYTES, MAX_VALUE_BYTES, ORIGIN, Position, Version
from kvraft.sim import SimDisk
from kvraft.store import Store
from tests.helpers.tree_model import (
    KEYS,
    after,
    assert_same,
    between,
    bounds,
    do,
    live_files,
    options,
    random_options,
    random_write,
    table_files,
    writes,
)


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(lsm)
    assert result.attempted > 10
    assert not result.failed


# ── against a dict ──────────────────────────────────────────────────────────────────────────────


class Life(RuleBasedStateMachine):
    """A tree, or a store, and the dict that it should equal, now and at each time before."""

    @initialize(kind=st.sampled_from([Tree, Tree, Store]), options=options)
    def open(self, kind, options):
        self.kind, self.disk = kind, SimDisk()
        self.tree = kind.open(self.disk, options=options)
        self.model = {}
        self.past = {0: self.model}  # by timestamp
        self.places = {0: ORIGIN}  # the position in the log, by timestamp
        self.views = []  # each with the dict that it sees
        self.scans = []  # open iterators, each with what is still to come

    # ── writing ──

    @rule(some=st.lists(writes, min_size=1, max_size=8))
    def write(self, some):
        for write in some:
            do(self.tree, write)
            self.model = after(self.model, write)
            self.remember()

    def remember(self):
        self.past[self.tree.timestamp] = self.model
        self.places[self.tree.timestamp] = self.tree.applied

    # ── long work ──

    @rule(slices=st.integers(0, 9))
    def work(self, slices):
        self.tree.freeze()
        for _ in range(slices):
            assert self.tree.work() == self.tree.has_work

    @rule()
    def compact(self):
        self.tree.compact()
        assert self.tree.flushed == self.tree.applied
        if not self.views and not self.scans and not self.tree.options.history:
            assert_all_merged(self.tree, self.model)

    # ── readers that stay ──

    @rule()
    def open_view(self):
        self.views.append((self.tree.view(), self.model))

    @rule(share=st.floats(0, 1), between_=bounds, reverse=st.booleans())
    def look_back(self, share, between_, reverse):
        tree = self.tree
        low = tree.horizon
        at = low + round((tree.timestamp - low) * share)
        then = self.past[at]
        assert {key: tree.get(key, at=at) for key in KEYS} == {key: then.get(key) for key in KEYS}
        assert list(tree.scan(*between_, reverse=reverse, at=at)) == between(
            then, *between_, reverse=reverse
        )
        self.views.append((tree.view(at=at), then))
        if low > 0 and low - 1 not in tree.readers.keep(tree.timestamp).times:
            with pytest.raises(BadInput, match="may be gone"):
                tree.get(b"", at=low - 1)
        with pytest.raises(BadInput, match="lies in the future"):
            tree.scan(at=tree.timestamp + 1)

    @precondition(lambda self: self.views)
    @rule(which=st.integers(0, 99))
    def close_view(self, which):
        self.views.pop(which % len(self.views))[0].close()

    @rule(between_=bounds, reverse=st.booleans(), pull=st.integers(0, 2))
    def open_scan(self, between_, reverse, pull):
        expected = between(self.model, *between_, reverse=reverse)
        scan = self.tree.scan(*between_, reverse=reverse)
        assert list(islice(scan, pull)) == expected[:pull]
        self.scans.append((scan, expected[pull:]))

    @precondition(lambda self: self.scans)
    @rule(which=st.integers(0, 99), pull=st.integers(1, 99))
    def go_on_with_a_scan(self, which, pull):
        scan, expected = self.scans.pop(which % len(self.scans))
        assert list(islice(scan, pull)) == expected[:pull]
        if pull < 50:
            self.scans.append((scan, expected[pull:]))

    # ── taking its place ──

    @rule(options=options)
    def reopen(self, options):
        tree = self.tree
        if self.kind is Tree:
            places = self.places.items()
            self.model = self.past[max(at for at, place in places if place <= tree.flushed)]
        tree.close()
        for reader in (*[view for view, _ in self.views], tree):
            with pytest.raises(BadInput, match="the tree is closed"):
                reader.get(b"")
        for scan, left in self.scans:
            if left:
                with pytest.raises(BadInput, match="the tree is closed"):
                    list(scan)
        self.views, self.scans = [], []
        tree = self.tree = self.kind.open(self.disk, options=options)
        assert tree.applied == self.places[tree.timestamp]
        assert self.model == self.past[tree.timestamp]
        self.past = {at: then for at, then in self.past.items() if at <= tree.timestamp}
        self.places = {at: place for at, place in self.places.items() if at <= tree.timestamp}
        assert table_files(self.disk) == live_files(tree)

    @precondition(lambda self: self.kind is Tree)
    @rule(options=options, some=st.lists(writes, max_size=8), gap=st.integers(1, 9))
    def install(self, options, some, gap):
        other = Tree.open(SimDisk(), options=options)
        row = (b"installed", self.tree.timestamp + 1, b"")
        other.apply([row], Position(self.tree.applied.index + gap, 1))
        self.model = {b"installed": b""}
        for write in some:
            do(other, write)
            self.model = after(self.model, write)
        other.flush()
        snapshot = other.snapshot()
        self.tree.install(snapshot.read(0, 50) + snapshot.read(50, snapshot.size))
        assert self.tree.applied == self.tree.flushed == other.applied
        self.past, self.places = {}, {}
        self.remember()
        for view, _ in self.views:
            with pytest.raises(BadInput, match="what the view saw is gone"):
                view.get(b"")
        self.views = []
        if other.horizon < other.timestamp:
            # What the others can still see, so can we; the machine does not know what that was.
            self.past = {
                at: dict(other.scan(at=at)) for at in range(other.horizon, other.timestamp)
            }
            self.remember()

    @rule(some=st.lists(writes, max_size=4))
    def checkpoint(self, some):
        target = SimDisk()
        self.tree.checkpoint(target)
        with self.kind.open(target, options=self.tree.options) as copy:
            assert copy.applied == self.tree.applied
            assert_same(copy, self.model)
            for write in some:
                do(copy, write)
            copy.compact()
            copy.verify()

    # ── always ──

    @invariant()
    def it_is_what_the_dict_is(self):
        if not hasattr(self, "tree"):
            return
        tree, model = self.tree, self.model
        assert {key: tree.get(key) for key in KEYS} == {key: model.get(key) for key in KEYS}
        for key in KEYS:
            version = tree.version(key)
            assert (version.value if version else None) == model.get(key)
        for view, then in self.views[-2:]:
            assert_same(view, then)

    @invariant()
    def files_are_those_that_somebody_needs(self):
        if hasattr(self, "tree") and not self.tree.has_work and not self.scans:
            assert table_files(self.disk) == live_files(self.tree)

    def teardown(self):
        if not hasattr(self, "tree") or self.tree.closed:
            return
        for scan, expected in self.scans:
            assert list(scan) == expected
        for view, then in self.views:
            assert_same(view, then)
            view.close()
        self.scans.clear()
        assert_same(self.tree, self.model)
        while self.tree.work():
            pass
        assert self.tree.pressure < 1
        assert self.tree.options.strategy.pick(self.tree.tables) is None
        self.tree.verify()
        self.tree.close()
        tree = Tree.open(self.disk, owner=self.tree.owner)  # without history
        if self.kind is Tree:
            tree.compact()
            assert_all_merged(tree, self.past[tree.timestamp])


def assert_all_merged(tree, model):
    """Nothing is in the tables but what can be read."""
    assert sum(info.tombstones + info.ranges for info in tree.tables) == 0
    assert tree.stats().rows == len(model)
    assert list(tree.scan()) == between(model)


TestLife = Life.TestCase
TestLife.settings = settings(
    deadline=None, derandomize=True, max_examples=80, stateful_step_count=25
)


def some_bounds(random):
    low, high = sorted(random.sample(KEYS, 2))
    return low, random.choice([high, None])


STEPS = {  # how often, and with what; the machine above picks as it likes, and rarely for long
    "write": (40, lambda r: [random_write(r) for _ in range(r.randrange(1, 6))]),
    "work": (15, lambda r: r.randrange(12)),
    "compact": (2,),
    "open_view": (6,),
    "look_back": (6, Random.random, some_bounds, lambda r: r.random() < 0.5),
    "close_view": (6, lambda r: r.randrange(99)),
    "open_scan": (8, some_bounds, lambda r: r.random() < 0.5, lambda r: r.randrange(3)),
    "go_on_with_a_scan": (8, lambda r: r.randrange(99), lambda r: r.choice([1, 2, 99])),
    "reopen": (4, random_options),
    "install": (1, random_options, lambda r: [random_write(r)], lambda r: r.randrange(1, 9)),
    "checkpoint": (1, lambda r: [random_write(r)]),
}


@pytest.mark.parametrize("seed", range(30))
def test_long_lives(seed):
    random, life = Random(seed), Life()
    kind = random.choice([Tree, Tree, Store])
    life.open(kind, random_options(random))
    names, weights = list(STEPS), [step[0] for step in STEPS.values()]
    for name in random.choices(names, weights, k=80):
        readers = {"close_view": life.views, "go_on_with_a_scan": life.scans}
        if not readers.get(name, True) or (name == "install" and kind is Store):
            continue
        getattr(life, name)(*(draw(random) for draw in STEPS[name][1:]))
        life.it_is_what_the_dict_is()
        life.files_are_those_that_somebody_needs()
    life.teardown()


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def bad_calls():
    big_key, big_value = bytes(MAX_KEY_BYTES + 1), bytes(MAX_VALUE_BYTES + 1)
    return {
        "text as key": (lambda t: t.put("a", b""), "a key must be bytes, not str"),
        "text as value": (lambda t: t.put(b"a", "v"), "a value must be bytes"),
        "list": (lambda t: t.put([1], b""), "a key must be bytes, not list"),
        "None as value": (lambda t: t.put(b"a", None), "to delete a key, use delete"),
        "huge key": (lambda t: t.put(big_key, b""), "65537 bytes is above the limit of 65536"),
        "huge value": (lambda t: t.put(b"a", big_value), "above the limit of 67108864"),
        "delete": (lambda t: t.delete(1), "a key must be bytes, not int"),
        "empty range": (lambda t: t.delete_range(b"b", b"b"), "must start before it stops"),
        "range backwards": (lambda t: t.delete_range(b"b", b"a"), "b'b' is not below b'a'"),
        "range to b''": (lambda t: t.delete_range(b"", b""), "None means no end"),
        "batch": (
            lambda t: t.write([("put", b"a", b"")]),
            "a batch must be kvraft.lsm.batch.Wri",
        ),
        "get": (lambda t: t.get("a"), "a key must be bytes, not str"),
        "version": (lambda t: t.version(None), "a key must be bytes, not NoneType"),
        "scan": (lambda t: t.scan(b"a", "b"), "the stop of a scan must be bytes, not str"),
        "scan backwards": (lambda t: t.scan(b"b", b"a"), "b'b' is above b'a'"),
        "scan backwards in reverse": (lambda t: t.scan(b"b", b"a", reverse=True), "above b'a'"),
        "prefix and start": (lambda t: t.scan(b"b", prefix=b"a"), "a prefix or bounds, not both"),
        "prefix and stop": (lambda t: t.scan(stop=b"b", prefix=b"a"), "prefix or bounds, not both"),
        "prefix": (lambda t: t.scan(prefix="a"), "the prefix of a scan must be bytes, not str"),
        "time": (
            lambda t: t.get(b"a", at=1.0),
            "must be a whole number, not 1.0",
        ),
        "negative time": (lambda t: t.view(at=-1), "a time to read at must be at least 0, not -1"),
        "future": (lambda t: t.scan(at=10**9), "1000000000 lies in the future: the newest"),
        "rows": (lambda t: t.apply([(b"a", 1)], Position(9, 1)), "a row is a key, a timestamp and"),
        "old position": (lambda t: t.apply([], t.applied), "is not above Position"),
        "no position": (
            lambda t: t.apply([], (9, 1)),
            r"record.Position, not \(9, 1\)",
        ),
        "range rows": (lambda t: t.apply([], Position(9, 1), [(b"b", 9, b"a")]), "must start bef"),
        "endless range rows": (lambda t: t.apply([], Position(9, 1), [(b"b", 9, None)]), "b'' for"),
    }


@pytest.mark.parametrize("name", bad_calls())
def test_a_bad_call_is_refused_in_one_sentence_and_changes_nothing(name):
    call, says = bad_calls()[name]
    tree = Tree.open(SimDisk())
    tree.put(b"a", b"1")
    before = tree.applied, tree.timestamp, tree.stats().counts.rows_put, tree.memtable_size
    with pytest.raises(BadInput, match=says):
        call(tree)
    assert before == (
        tree.applied,
        tree.timestamp,
        tree.stats().counts.rows_put,
        tree.memtable_size,
    )
    tree.put(b"b", b"2")
    tree.flush()
    assert list(tree.scan()) == [(b"a", b"1"), (b"b", b"2")]


def test_a_transaction_with_a_bad_row_is_not_applied_at_all():
    tree = Tree.open(SimDisk())
    for rows, ranges in (
        ([(b"good", 5, b""), ("bad", 5, b"")], []),
        ([(b"good", 5, b"")], [(b"b", 5, b"a")]),
    ):
        with pytest.raises(BadInput):
            tree.apply(rows, Position(1, 1), ranges)
        assert (tree.applied, tree.timestamp, list(tree.scan())) == (ORIGIN, 0, [])
        assert tree.memtable_rows == tree.memtable_size == 0


@pytest.mark.parametrize("number", [7, -1, 0])
@pytest.mark.parametrize("name", ["memtable_bytes", "block_bytes", "stall_tables", "history"])
def test_options_out_of_range_are_named(name, number):
    if number < (0 if name == "history" else 1):
        with pytest.raises(BadInput, match=name):
            TreeOptions(**{name: number})
    else:
        assert getattr(TreeOptions(**{name: number}), name) == number
    with pytest.raises(BadInput, match="there is no codec 'zip': choose one of none, zstd, lz4"):
        TreeOptions(codec="zip")


def test_a_batch_is_written_at_one_time_and_later_changes_to_it_change_nothing():
    tree = Tree.open(SimDisk(), options=TreeOptions(history=100))
    tree.put(b"a", b"0")
    batch = WriteBatch().put(b"a", b"1").put(b"c", b"1").delete_range(b"b", b"d").put(b"b", b"2")
    tree.write(batch)
    batch.put(b"z", b"")
    tree.write(WriteBatch())
    assert tree.timestamp == 2
    assert [dict(tree.scan(at=at)) for at in range(3)] == [
        {},
        {b"a": b"0"},
        {b"a": b"1", b"b": b"2"},
    ]
    assert tree.version(b"b") == Version(2, b"2")
    assert tree.version(b"c") == Version(2, None)
    assert tree.version(b"elsewhere") is None


def test_positions_and_timestamps_of_a_log_are_kept():
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.apply([(b"a", 70, b"1"), (b"b", 70, None)], Position(5, 2), [(b"c", 70, b"")])
    tree.apply([], Position(6, 3))
    assert (tree.applied, tree.flushed, tree.timestamp) == (Position(6, 3), ORIGIN, 70)
    tree.flush()
    tree = Tree.open(disk)
    assert (tree.applied, tree.flushed, tree.timestamp) == (Position(6, 3), Position(6, 3), 70)
    assert tree.version(b"b") == tree.version(b"c") == Version(70, None)
    tree.put(b"d", b"")
    assert (tree.applied, tree.version(b"d")) == (Position(7, 3), Version(71, b""))


# ── readers ─────────────────────────────────────────────────────────────────────────────────────


def test_a_scan_sees_the_moment_of_its_call_not_that_of_its_first_pair():
    tree = Tree.open(SimDisk())
    tree.put(b"a", b"old")
    tree.put(b"b", b"old")
    scan = tree.scan()
    tree.write(WriteBatch().put(b"a", b"new").delete(b"b").put(b"c", b"new"))
    tree.delete_range(b"")
    tree.compact()
    assert list(scan) == [(b"a", b"old"), (b"b", b"old")]
    assert list(tree.scan()) == []


def test_looking_back_goes_as_far_as_history_says_and_never_further_after_it_was_shorter():
    disk = SimDisk()
    with Tree.open(disk, options=TreeOptions(history=2)) as tree:
        for n in range(1, 7):
            tree.put(b"k", b"%d" % n)
        tree.compact()
        assert (tree.horizon, tree.timestamp) == (4, 6)
        assert [tree.get(b"k", at=at) for at in (4, 5, 6)] == [b"4", b"5", b"6"]
        with pytest.raises(BadInput, match="at 3 may be gone: all are there from 4 on"):
            tree.get(b"k", at=3)
        assert tree.stats().rows == 3
    with Tree.open(disk) as tree:
        tree.put(b"k", b"7")
        tree.compact()
    with Tree.open(disk, options=TreeOptions(history=100)) as tree:
        tree.put(b"k", b"8")
        assert tree.horizon == 7
        assert [tree.get(b"k", at=at) for at in (7, 8)] == [b"7", b"8"]


def test_the_time_from_which_all_versions_are_there_is_never_in_the_future():
    # A flush looks at its own memtable: what was written meanwhile says nothing about it.
    disk = SimDisk()
    tree = Tree.open(disk)
    tree.put(b"k", b"1")
    tree.freeze()
    tree.put(b"k", b"2")
    while tree.immutable_memtables:
        tree.work()
    tree = Tree.open(disk)
    assert (tree.timestamp, tree.horizon) == (1, 1)
    assert tree.get(b"k", at=1) == b"1"


def test_views_stay_while_they_are_open_and_let_go_when_closed_or_forgotten():
    tree = Tree.open(SimDisk())
    tree.put(b"k", b"1")
    kept, forgotten = tree.view(), tree.view()
    tree.put(b"k", b"2")
    with tree.view() as closed:
        tree.put(b"k", b"3")
        tree.compact()
        assert tree.stats().rows == 3
        assert [v.get(b"k") for v in (kept, forgotten, closed)] == [b"1", b"1", b"2"]
        assert list(kept.scan(prefix=b"k", reverse=True)) == [(b"k", b"1")]
        with tree.view(at=kept.timestamp) as same:
            assert same.get(b"k") == b"1"
    for call in (lambda: closed.get(b"k"), closed.scan):
        with pytest.raises(BadInput, match="the view is closed"):
            call()
    closed.close()
    tree.compact()
    assert tree.stats().rows == 2
    kept.close()
    del forgotten
    gc.collect()
    tree.compact()
    assert tree.stats().rows == 1


def test_overwritten_versions_take_no_memory_unless_somebody_reads_them():
    tree = Tree.open(SimDisk())
    for n in range(3):
        tree.put(b"k", b"%d" % n)
    size = tree.memtable_size
    scan = tree.scan()
    tree.put(b"k", b"3")
    assert tree.memtable_size > size
    scan.close()
    for n in range(4, 7):
        tree.put(b"k", b"%d" % n)
    tree.flush()
    assert tree.stats().rows == 1


def test_a_prefix_scan_finds_the_keys_with_that_prefix():
    tree = Tree.open(SimDisk())
    for key in KEYS:
        tree.put(key, b"")
    for prefix in [*KEYS, b"\xff\xff\xff", b"nothing"]:
        found = [key for key in sorted(KEYS) if key.startswith(prefix)]
        assert [key for key, _ in tree.scan(prefix=prefix)] == found
        assert [key for key, _ in tree.scan(prefix=prefix, reverse=True)] == found[::-1]
        stop = prefix_stop(prefix)
        assert [key for key in sorted(KEYS) if prefix <= key and (not stop or key < stop)] == found


def test_a_point_read_leaves_tables_alone_that_cannot_have_a_newer_version():
    tree = Tree.open(SimDisk(), options=TreeOptions(cache_bytes=0))
    for n in range(3):
        tree.put(b"k", b"%d" % n)
        tree.flush()
    assert tree.get(b"k") == b"2"
    assert (tree.counts.tables_probed, tree.counts.blocks_read) == (1, 1)
    tree.put(b"k", b"3")
    assert tree.get(b"k") == b"3"
    assert tree.counts.tables_probed == 1


# ── long work ───────────────────────────────────────────────────────────────────────────────────


def test_it_reports_what_it_does_in_order_and_a_listener_always_knows_the_live_tables():
    events = []
    tree = Tree.open(SimDisk(), report=events.append, options=TreeOptions(strategy=Levelled(2)))
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
    del events[:]
    for n in range(5):
        tree.put(b"%d" % n, b"")
        tree.flush()
        while tree.work():
            pass
    tree.close()
    live = {2: 0}
    for event in events:
        match event:
            case Flushed(_, table):
                live[table] = 0
            case CompactionStarted(inputs, _):
                assert set(inputs) <= set(live)
            case Compacted(inputs, outputs, level):
                live = {n: at for n, at in live.items() if n not in inputs}
                live |= dict.fromkeys(outputs, level)
            case TableRemoved(table):
                assert table not in live
    assert live == {info.number: info.level for info in tree.tables}
    assert {type(event) for event in events} >= {
        Flushed,
        CompactionStarted,
        Compacted,
        TableRemoved,
    }


def test_no_ops_move_the_flushed_mark_without_a_table():
    disk, events = SimDisk(), []
    tree = Tree.open(disk, report=events.append)
    tree.freeze()
    assert tree.immutable_memtables == 0
    tree.apply((), Position(1, 1))
    tree.freeze()
    assert (tree.immutable_memtables, tree.has_work) == (1, True)
    tree.flush()
    tree.freeze()
    assert (tree.immutable_memtables, tree.flushed, tree.tables) == (0, Position(1, 1), ())
    assert events[1:] == [MemtableFrozen(0, 0, 1), Flushed(1, 0)]
    assert Tree.open(disk).flushed == Position(1, 1)


@pytest.mark.parametrize("strategy", [Levelled(tables=2, level_bytes=4000), Tiered(tables=2)])
def test_no_write_does_more_than_a_few_slices_and_yet_work_never_piles_up(strategy):
    tree = Tree.open(
        SimDisk(),
        options=TreeOptions(memtable_bytes=3000, block_bytes=500, strategy=strategy),
    )
    waiting, tables = 0, 0
    for n in range(3000):
        slices = tree.counts.slices
        tree.put(b"%05d" % (n * 7919 % 3000), bytes(40))
        assert tree.counts.slices <= slices + 64
        waiting = max(waiting, tree.immutable_memtables)
        tables = max(tables, len([info for info in tree.tables if info.level == 0]))
    assert waiting <= tree.options.stall_memtables + 1
    assert tables <= 2 * tree.options.stall_tables  # a merge of these small ones takes many slices
    tree.freeze()
    while tree.pressure >= 1:
        n += 1
        tree.put(b"%05d" % n, b"")
    assert n < 6000
    assert tree.counts.flushes > 20
    assert tree.counts.compactions > 2


@pytest.mark.parametrize("strategy", [Levelled(tables=2), Levelled(tables=50), Tiered(tables=4)])
def test_pressure_is_let_off_by_work_alone_and_is_never_there_without_work(strategy):
    options = TreeOptions(strategy=strategy, stall_tables=2, stall_memtables=2)
    tree = Tree.open(SimDisk(), options=options)
    for n in range(9):  # as a replica does, which never pays
        tree.apply([(b"%d" % n, n, bytes(100 * n))], Position(n + 1, 1))
        tree.freeze()
    assert tree.pressure == 4.5
    while tree.work():
        assert tree.has_work
    assert tree.pressure < 1
    tree.put(b"k", b"")
    assert tree.counts.stalls == 0


def test_the_clock_tells_how_long_writers_stalled():
    time = iter(range(10**6))
    options = TreeOptions(memtable_bytes=100, stall_memtables=1)
    tree = Tree.open(SimDisk(), options=options, clock=lambda: next(time))
    for n in range(50):
        tree.put(b"%d" % n, bytes(30))
    counts = tree.stats().counts
    assert counts.stall_slices >= counts.stalls == counts.stall_seconds > 0


def test_the_statistics_add_up():
    events = []
    options = TreeOptions(strategy=Levelled(tables=3), block_bytes=100)
    tree = Tree.open(SimDisk(), report=events.append, options=options)
    put = 0
    for n in range(120):
        key, value = b"%03d" % (n % 60), bytes(n)
        tree.put(key, value)
        put += len(key) + len(value)
        if n % 20 == 19:
            tree.delete(b"%03d" % n)
            tree.delete_range(b"000", b"002")
            put += 3
            tree.flush()
    while tree.work():
        pass
    stats = tree.stats(live=True)
    counts = stats.counts
    written = [event for event in events if isinstance(event, TableWritten)]
    merged = [event for event in events if isinstance(event, Compacted)]
    assert (counts.rows_put, counts.bytes_put) == (120 + 6 + 6, put)
    assert (counts.flushes, counts.compactions) == (6, len(merged))
    assert counts.bytes_compacted == sum(event.written for event in merged) > 0
    assert counts.bytes_merged == sum(event.read for event in merged) > 0
    assert counts.bytes_flushed + counts.bytes_compacted == sum(event.size for event in written)
    assert sum(stats.tables) == len(tree.tables)
    assert sum(stats.table_bytes) == sum(info.size for info in tree.tables)
    live = dict(tree.scan())
    assert stats.live_bytes == sum(len(key) + len(value) for key, value in live.items())
    assert stats.space_amplification == sum(stats.table_bytes) / stats.live_bytes
    assert stats.write_amplification == (counts.bytes_flushed + counts.bytes_compacted) / put

    before = tree.stats()
    for n in range(100):
        tree.get(b"%03d" % n)
        tree.get(b"%03d-" % n)
    counts = tree.stats().counts
    assert counts.gets == before.counts.gets + 200
    assert 0 < counts.filter_false_positives < counts.filter_negatives
    asked = counts.tables_probed - counts.filter_negatives
    assert (
        asked == len([n for n in range(100) if b"%03d" % n in live]) + counts.filter_false_positives
    )
    stats = tree.stats()
    counted = stats.cache_hits + stats.cache_misses - before.cache_hits - before.cache_misses
    assert abs(counted - asked) < 13  # every 13th hit of the rows in memory counts 13 times
    assert stats.to_dict()["read_amplification"] == asked / counts.gets

    dropped = counts.tombstones_dropped
    tree.delete(b"000")
    tree.delete(b"never there")
    tree.compact()
    assert tree.stats().counts.tombstones_dropped == dropped + 2
    assert tree.stats().rows == len(live)


# ── the door ────────────────────────────────────────────────────────────────────────────────────


def test_a_closed_tree_refuses_everything_and_writes_no_more():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(memtable_bytes=60))
    for n in range(9):
        tree.put(b"%d" % n, b"")
    scan, view = tree.scan(), tree.view()
    next(scan)
    snapshot = tree.snapshot()
    stream = snapshot.read(0, snapshot.size)
    tree.close()
    before = disk.operations
    calls = {
        "put": lambda: tree.put(b"a", b""),
        "delete": lambda: tree.delete(b"a"),
        "delete_range": lambda: tree.delete_range(b"a"),
        "write": lambda: tree.write(WriteBatch()),
        "apply": lambda: tree.apply((), Position(99, 1)),
        "get": lambda: tree.get(b"a"),
        "version": lambda: tree.version(b"a"),
        "scan": tree.scan,
        "view": tree.view,
        "freeze": tree.freeze,
        "work": tree.work,
        "flush": tree.flush,
        "compact": tree.compact,
        "verify": tree.verify,
        "stats": tree.stats,
        "snapshot": tree.snapshot,
        "install": lambda: tree.install(stream),
        "checkpoint": lambda: tree.checkpoint(SimDisk()),
        "an open scan": lambda: list(scan),
        "an open view": lambda: view.get(b"a"),
        "a scan of an open view": view.scan,
    }
    for name, call in calls.items():
        try:
            found = call()
        except BadInput as error:
            found = str(error)
        assert (name, found) == (name, "the tree is closed")
    assert not tree.has_work
    tree.close()
    view.close()
    assert disk.operations == before


def test_trees_on_a_real_disk(tmp_path):
    path = tmp_path / "tree"
    model = {}
    with Tree.open(str(path), options=TreeOptions(memtable_bytes=500)) as tree:
        for n in range(100):
            do(tree, write := ("put", b"%d" % (n % 37), bytes(n)))
            model = after(model, write)
        with pytest.raises(Locked, match="in use by another process"):
            Tree.open(path)
        tree.checkpoint(tmp_path / "copy")
        with pytest.raises(BadInput, match="an empty place, and there are files already"):
            tree.checkpoint(tmp_path / "copy")
        tree.compact()
    for place in (path, tmp_path / "copy"):
        with Tree.open(place) as tree:
            tree.verify()
            assert list(tree.scan()) == between(model)
        with pytest.raises(ForeignFile, match="belongs to '', not to 'another'"):
            Tree.open(place, owner="another")
    disk = RealDisk(path)
    tree = Tree.open(disk)
    tree.close()
    assert disk.names()  # a disk that was handed in stays open
    disk.close()
    with pytest.raises(BadInput, match="is not a directory"):
        Tree.open(path / "CURRENT")


def test_a_missing_table_is_damage_and_nothing_is_deleted_or_left_locked(tmp_path):
    with Tree.open(tmp_path) as tree:
        for n in range(3):
            tree.put(b"%d" % n, b"")
            tree.flush()
    (tmp_path / "000003.sst").unlink()
    names = sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".sst")
    for _ in range(2):
        with pytest.raises(Corruption, match=r"000003\.sst, offset 0: the table is missing"):
            Tree.open(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".sst") == names
