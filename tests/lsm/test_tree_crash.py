"""Crashes and failures of the disk, at every single call: what was flushed is there, exactly.

The trees here are driven as a replica drives one: rows are applied, memtables frozen, slices worked
off, snapshots installed.  What a disk may do in a crash is told in ``kvraft.sim.disk``.
"""

import errno
from random import Random

import pytest

from kvraft.errors import BadInput, Corruption, Stopped
from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions, manifest
from kvraft.record import ORIGIN, Position
from kvraft.sim import PowerCut, SimDisk
from kvraft.sim.disk import WRITES
from kvraft.store import Store
from kvraft.wal import Durability
from tests.helpers.tree_model import (
    after,
    assert_same,
    between,
    do,
    live_files,
    random_write,
    table_files,
)

KEYS = [b"", b"\x00", b"a", b"b", b"c", b"d", b"\xff"]
STRATEGIES = {"levelled": Levelled(2, 400, 2, 200), "tiered": Tiered(tables=2, ratio=3.0)}


@pytest.fixture(autouse=True)
def short_manifests(monkeypatch):
    """Let the manifest be written anew now and then, not only at the opening."""
    monkeypatch.setattr(manifest, "ROLL_BYTES", 1200)
    monkeypatch.setattr(manifest, "ROLL_FACTOR", 0)


def options_of(strategy, **others):
    settings = {"memtable_bytes": 200, "block_bytes": 60, **others}
    return TreeOptions(strategy=STRATEGIES[strategy], **settings)


def workload(seed, install=True, rounds=7):
    """Return steps, each a write or the name of a method of :class:`Run`."""
    random = Random(seed)
    steps = []
    for n in range(rounds):
        steps += [random_write(random, KEYS, 25) for _ in range(3)] + ["flush", "work", "work"]
        if n == 5 and install:
            steps += ["install"]
    return [*steps, random_write(random, KEYS, 25), "compact"]


class Run:
    """One incarnation of a tree that goes through a workload.

    ``states`` is what the tree held at each position of its log, ``durable`` the highest position
    of which it said that it was flushed, ``model`` what it holds now.
    """

    def __init__(self, disk, options, states=None):
        self.disk, self.options = disk, options
        self.states = states if states is not None else {ORIGIN: {}}
        self.durable = ORIGIN
        self.tree = None
        self.model = {}

    def open(self):
        self.tree = Tree.open(self.disk, options=self.options)
        self.model = self.states[self.tree.flushed]

    def step(self, step):
        if isinstance(step, str):
            getattr(self, step)()
        else:
            model = after(self.model, step)
            do(self.tree, step)
            self.model = model
            self.states[self.tree.applied] = model
        self.durable = max(self.durable, self.tree.flushed)

    def flush(self):
        self.tree.flush()

    def work(self):
        for _ in range(4):
            self.tree.work()

    def compact(self):
        self.tree.compact()

    def install(self):
        stream, place, model = self.others()
        self.states[place] = model
        self.tree.install(stream)
        self.model = model

    def others(self):
        """Return the snapshot of another member that is further, where it ends, what it holds."""
        other, place = Tree.open(SimDisk(), options=self.options), Position(1000, 7)
        rows = [(b"a", 500, b"installed"), (b"b", 500, None), (b"z", 500, b"z" * 30)]
        other.apply(rows, Position(999, 7))
        other.flush()
        other.apply([(b"c", 501, b"")], place, [(b"y", 501, b"")])
        other.flush()
        snapshot = other.snapshot()
        return snapshot.read(0, snapshot.size), place, {b"a": b"installed", b"c": b""}


def play(run, steps):
    run.open()
    for step in steps:
        run.step(step)
    return run


def assert_recovered(disk, run):
    """Open what a crash left: the tree as it was at its flushed mark, and nothing else."""
    tree = Tree.open(disk, options=run.options)
    assert tree.flushed in run.states
    assert tree.flushed >= run.durable
    assert_same(tree, run.states[tree.flushed], KEYS)
    assert table_files(disk) == live_files(tree)
    tree.verify()
    return tree


def calls_of(options, steps):
    run = play(Run(SimDisk(), options), steps)
    return run.disk.operations


@pytest.mark.parametrize("reorder", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_power_cut_at_every_step_and_at_every_step_of_the_recovery(strategy, reorder):
    options, steps = options_of(strategy), workload(strategy)
    calls = calls_of(options, steps)
    assert calls > 150
    marks = set()
    for call in range(1, calls + 1):
        random = Random(call)
        run = Run(SimDisk(), options)
        run.disk.fail_at(call, random)
        with pytest.raises(PowerCut):
            play(run, steps)
        run.disk.crash(random, reorder=reorder)
        crashed = run.disk.copy()
        tree = assert_recovered(run.disk, run)
        marks.add(tree.flushed)
        if call % 4 == 0:  # recovery is the same few calls every time
            again = 0
            while True:
                again += 1
                disk = crashed.copy()
                disk.fail_at(again, random)
                try:
                    Tree.open(disk, options=options)
                except PowerCut:
                    disk.crash(random, reorder=reorder)
                    assert assert_recovered(disk, run).flushed == tree.flushed
                else:
                    break
            assert again > 5
        # And life goes on.
        place = Position(2000, 9)
        tree.apply([(b"d", 900, b"on")], place, [(b"b", 900, b"c")])
        tree.compact()
        run.durable, run.states = place, {place: dict(tree.scan())}
        assert_recovered(run.disk, run)
    assert len(marks) > 6


# ── errors that are no crash ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [*(each for each in WRITES if each not in ("link", "truncate"))])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_error_at_any_call_stops_writing_but_not_reading_and_costs_nothing(strategy, kind):
    options, steps = options_of(strategy, cache_bytes=0), workload(strategy)
    failures = 0
    while True:
        failures += 1
        run = Run(SimDisk(), options)
        run.disk.break_at(failures, kinds=(kind,), random=Random(failures))
        try:
            play(run, steps)
        except OSError as error:
            assert error.errno == errno.EIO
        else:
            break
        if run.tree is not None:
            assert_stopped(run)
        shown = run.disk.copy()  # what the system shows may not be what is on the disk
        for seed in range(2):
            crashed = run.disk.copy()
            crashed.crash(Random(seed))
            assert_recovered(crashed, run)
        assert_recovered(shown, run)
        shown.crash(Random(failures))
        assert_recovered(shown, run)
    assert failures > 4


def assert_stopped(run):
    tree, done = run.tree, run.disk.operations
    for call in (tree.work, tree.flush, tree.compact, lambda: tree.put(b"a", b"")):
        with pytest.raises(Stopped, match=r"the tree stopped writing: .*Input/output error"):
            call()
    assert not tree.has_work
    assert run.disk.operations == done
    assert tree.flushed >= run.durable
    # An install may have come so far that memory followed.
    assert list(tree.scan()) in (between(run.model), between(run.states.get(tree.applied, {})))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_read_that_fails_says_so_and_no_answer_is_ever_wrong(strategy):
    options, steps = options_of(strategy, cache_bytes=0), workload(strategy)
    failures = errors = 0
    while True:
        failures += 1
        run = Run(SimDisk(), options)
        run.disk.break_at(failures, kinds=("read",))
        try:
            play(run, steps)
        except OSError:
            assert_recovered(run.disk, run)
            errors += 1
            continue
        tree = run.tree  # the workload had fewer reads: one of ours fails
        wrong = 0
        for read in (
            lambda: {key: tree.get(key) for key in KEYS} == {k: run.model.get(k) for k in KEYS},
            lambda: list(tree.scan()) == between(run.model),
            lambda: tree.verify() is None,
        ):
            try:
                assert read()
            except OSError:
                wrong += 1
                assert read()  # the next time it works
        if not wrong:
            break
        tree.put(b"a", b"goes on")
        tree.compact()
        assert tree.get(b"a") == b"goes on"
    assert errors > 20


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_full_disk_refuses_and_forgets_nothing_and_with_space_all_goes_on(strategy):
    options, steps = options_of(strategy), workload(strategy, install=False)
    whole = play(Run(SimDisk(), options), steps)
    refused, capacity = 0, 0
    while True:
        run = Run(SimDisk(), options)
        run.disk.capacity = capacity
        failed = play_with_little_space(run, steps)
        if not failed:
            break
        refused += failed
        assert_same(run.tree, whole.model, KEYS)
        run.tree.verify()
        assert table_files(run.disk) == live_files(run.tree)
        assert_recovered(run.disk, run)
        capacity += 131
    assert refused > 30


def play_with_little_space(run, steps):
    """Go through ``steps``; where one is refused, look, make space and do it again."""
    failed = 0
    for step in ["open", *steps]:
        try:
            run.step(step)
            continue
        except OSError as error:
            assert error.errno == errno.ENOSPC
        failed += 1
        if run.tree is not None:
            assert_same(run.tree, run.model, KEYS)
        if failed % 3 == 1:
            crashed = run.disk.copy()
            crashed.capacity = None
            crashed.crash(Random(failed))
            assert_recovered(crashed, run)
        room, run.disk.capacity = run.disk.capacity, None
        run.step(step)
        if run.tree.has_work:
            run.tree.work()
        used = sum(run.disk.size(name) for name in run.disk.names())
        run.disk.capacity = max(room, used)  # full again, or soon
    return failed


@pytest.mark.parametrize("kind", ["create", "append", "sync", "rename", "sync_dir"])
def test_no_space_at_any_single_call_leaves_everything_as_it_was(kind):
    # Also where only the manifest finds no space: nobody knows then whether the edit holds.
    options, steps = options_of("levelled"), workload("one call", install=False)
    whole, call = play(Run(SimDisk(), options), steps), 0
    while True:
        call += 1
        run = Run(SimDisk(), options)
        run.open()
        run.disk.break_at(call, error=errno.ENOSPC, kinds=(kind,), random=Random(call))
        failed = 0
        for step in steps:
            try:
                run.step(step)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                failed += 1
                for seed in range(2):
                    crashed = run.disk.copy()
                    crashed.crash(Random(seed))
                    assert_recovered(crashed, run)
                assert_same(run.tree, run.model, KEYS)
                assert run.tree.has_work or not run.tree.immutable_memtables
                run.step(step)
        if not failed:
            break
        assert failed == 1
        assert_same(run.tree, whole.model, KEYS)
        assert_recovered(run.disk, run)
    assert call > 3


def test_writers_are_refused_while_the_disk_is_full_so_that_memory_stays_bounded():
    disk = SimDisk()
    tree = Tree.open(disk, options=TreeOptions(memtable_bytes=300, stall_memtables=2))
    disk.capacity, model, refused = 2000, {}, 0
    for n in range(500):
        write = ("put", b"%03d" % n, bytes(30))
        try:
            do(tree, write)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            refused += 1
        else:
            model = after(model, write)
    assert tree.immutable_memtables <= tree.options.stall_memtables + 1
    assert refused > 300
    assert list(tree.scan()) == between(model)
    disk.capacity = None
    while tree.work():
        pass
    do(tree, write)
    assert list(tree.scan()) == between(after(model, write))
    tree.flush()
    assert list(Tree.open(disk).scan()) == between(after(model, write))


@pytest.mark.parametrize("again", ["at once", "opened again"])
def test_a_full_disk_in_an_install_leaves_the_tree_as_it_was(again):
    run = play(Run(SimDisk(), options_of("tiered")), workload(1, install=False))
    run.disk.capacity = sum(run.disk.size(name) for name in run.disk.names()) + 100
    before = run.model
    with pytest.raises(OSError, match="no space"):
        run.step("install")
    assert list(run.tree.scan()) == between(before)
    run.disk.capacity = None
    if again == "opened again":
        run.open()
    assert table_files(run.disk) == live_files(run.tree)
    run.step("install")
    assert_recovered(run.disk, run)


# ── a store: the same, with all that was acknowledged ───────────────────────────────────────────


class Acknowledged:
    """What a store was told, write by write: ``states`` by the index of its log.

    ``safe`` is the index through which everything must survive the crash in question.
    """

    def __init__(self, durability, power):
        self.durability, self.power = durability, power
        self.states, self.model = {0: {}}, {}
        self.safe = 0

    def play(self, disk, options, steps):
        store = Store.open(disk, options=options, durability=self.durability, segment_bytes=400)
        for step in steps:
            if step == "sync":
                store.sync()
            elif isinstance(step, str):
                {"flush": store.flush, "work": store.work, "compact": store.compact}[step]()
            else:
                self.model = after(self.model, step)
                due = store.applied.index + 1  # where it will be, if the crash lets it
                for index in range(due, due + 9):
                    self.states.setdefault(index, self.model)
                do(store, step)
                self.states = {at: then for at, then in self.states.items() if at < due}
                self.states[store.applied.index] = self.model
            survives = {Durability.SYNC: True, Durability.OS: not self.power}
            at_once = survives.get(self.durability, False)
            done = at_once or step in ("sync", "flush", "compact")
            self.safe = store.applied.index if done else self.safe
        return store


def assert_kept(disk, options, told):
    store = Store.open(disk, options=options, segment_bytes=400)
    found = store.applied.index
    assert found in told.states
    assert found >= told.safe
    assert_same(store, told.states[found], KEYS)
    assert table_files(disk) == live_files(store)
    store.verify()
    return store


@pytest.mark.parametrize("power", [True, False], ids=["power loss", "process death"])
@pytest.mark.parametrize("durability", Durability)
def test_a_store_keeps_its_promise_through_a_crash_at_every_step(durability, power):
    options = options_of("levelled" if power else "tiered")
    steps = workload("store", install=False, rounds=4)
    steps[8:8] = ["sync"]
    disk = SimDisk()
    Acknowledged(durability, power).play(disk, options, steps)
    found = set()
    for call in range(1, disk.operations + 1):
        random, disk, told = Random(call), SimDisk(), Acknowledged(durability, power)
        disk.fail_at(call, random)
        with pytest.raises(PowerCut):
            told.play(disk, options, steps)
        crash = disk.crash if power else lambda _, disk=disk: disk.restore()
        crash(random)
        # And again, somewhere in the recovery.
        disk.fail_at(random.randint(1, 12), random)
        try:
            Store.open(disk, options=options, segment_bytes=400)
        except PowerCut:
            crash(random)
        disk.restore()
        store = assert_kept(disk, options, told)
        found.add(store.applied.index)
        do(store, ("batch", [("range", b"a", b"c"), ("put", b"d", b"on")]))
        store.compact()
        expected = after(told.states[max(found & {store.applied.index - 2})], ("range", b"a", b"c"))
        assert dict(store.scan()) == expected | {b"d": b"on"}
    assert len(found) > 6


@pytest.mark.parametrize("durability", Durability)
def test_a_store_whose_log_fails_refuses_writes_serves_reads_and_opens_again(durability):
    options, steps = options_of("levelled"), workload("store", install=False)
    calls = 0
    while True:
        calls += 1
        disk, told = SimDisk(), Acknowledged(durability, True)
        disk.break_at(calls, random=Random(calls))
        try:
            told.play(disk, options, steps)
        except OSError:
            disk.crash(Random(calls))
            assert_kept(disk, options, told)
        else:
            break
    assert calls > 100


def test_a_store_that_cannot_be_closed_in_order_lets_go_of_its_directory(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    store.put(b"a", b"1")

    def fails(name):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store._disk, "sync", fails)
    with pytest.raises(OSError, match="Input/output"):
        store.close()
    with pytest.raises(BadInput, match="closed"):
        store.get(b"a")
    with Store.open(tmp_path) as store:
        assert store.get(b"a") == b"1"


def test_a_store_refuses_a_tree_without_its_log():
    disk = SimDisk()
    with Store.open(disk) as store:
        store.put(b"a", b"1")
        store.flush()
    for name in [name for name in disk.names() if name.endswith(".wal")]:
        disk.remove(name)
    with pytest.raises(Corruption, match="the log that belongs to it is gone"):
        Store.open(disk)
