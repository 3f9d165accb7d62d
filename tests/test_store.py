"""The store: what was acknowledged survives as its durability says, through crashes anywhere."""

import doctest
from random import Random

import pytest

from kvraft import store as module
from kvraft.errors import BadInput, Corruption, ForeignFile, Locked, Stopped
from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions, WriteBatch
from kvraft.record import Position
from kvraft.sim import PowerCut, SimDisk
from kvraft.store import OWNER, Store
from kvraft.wal import Durability

KEYS = [b"", b"\x00", b"\xff", b"a", b"a\x00", b"ab"] + [b"k%02d" % n for n in range(16)]


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


class Life:
    """A store through random work and crashes, and what it held after each timestamp."""

    def __init__(self, random):
        self.random = random
        strategies = [Levelled(2, 600, 2, 300), Tiered(2, 2.0)]
        options = TreeOptions(
            memtable_bytes=random.choice((200, 600, 3000)),
            block_bytes=random.choice((1, 60, 300)),
            strategy=random.choice(strategies),
        )
        self.options = {
            "options": options,
            "durability": random.choice(list(Durability)),
            "segment_bytes": random.choice((200, 1000, 100_000)),
        }
        self.disk = SimDisk()
        self.store = Store.open(self.disk, **self.options)
        self.past = [{}]
        self.synced = 0  # the newest timestamp that must survive

    def put(self, key, value):
        self.past.append(self.past[-1] | {key: value})
        self.store.put(key, value)
        self.acknowledged()

    def acknowledged(self):
        if self.options["durability"] is Durability.SYNC:
            self.synced = self.store.timestamp

    def write(self):
        batch, now = WriteBatch(), dict(self.past[-1])
        for number in range(self.random.randrange(1, 5)):
            (start, stop), kind = sorted(self.random.sample(KEYS, 2)), self.random.random()
            if kind < 0.5:
                batch.put(start, b"b%d" % number)
                now[start] = b"b%d" % number
            elif kind < 0.75:
                batch.delete(start)
                now.pop(start, None)
            else:
                batch.delete_range(start, stop)
                now = {k: v for k, v in now.items() if not start <= k < stop}
        self.past.append(now)
        self.store.write(batch)
        self.acknowledged()

    def step(self):
        kind, key = self.random.random(), self.random.choice(KEYS)
        if kind < 0.45:
            self.put(key, self.random.choice((b"", b"x" * self.random.randrange(80))))
        elif kind < 0.6:
            self.write()
        elif kind < 0.78:
            for _ in range(self.random.randrange(1, 9)):
                self.store.work()
        elif kind < 0.85:
            getattr(self.store, self.random.choice(("sync", "flush", "compact")))()
            self.synced = self.store.timestamp
        else:
            self.crash()

    def crash(self):
        """Die in the middle of something or between two calls, with or without the power."""
        power = self.random.random() < 0.7
        if self.random.random() < 0.6:
            self.disk.fail_at(self.random.randrange(1, 15), self.random)
            with pytest.raises(PowerCut):
                self.put_for_ever()
        keeps = not power and self.options["durability"] is Durability.OS
        least = len(self.past) - 2 if keeps else self.synced
        for _ in range(self.random.choice((0, 0, 1, 2))):  # recoveries crash, too
            self.lose(power)
            self.disk.fail_at(self.random.randrange(1, 10), self.random)
            try:
                Store.open(self.disk, **self.options)
            except PowerCut:
                continue
            break
        self.lose(power)
        self.store = Store.open(self.disk, **self.options)
        now = self.store.timestamp
        assert least <= now < len(self.past)
        assert dict(self.store.scan()) == self.past[now]
        del self.past[now + 1 :]
        self.synced = now

    def put_for_ever(self):
        while True:
            self.put(self.random.choice(KEYS), b"z" * self.random.randrange(100))

    def lose(self, power):
        if power:
            self.disk.crash(self.random, reorder=self.random.random() < 0.3)
        else:
            self.disk.restore()


@pytest.mark.parametrize("seed", range(150))
def test_a_crash_anywhere_leaves_a_prefix_with_all_that_was_durable(seed):
    random = Random(seed)
    life = Life(random)
    for _ in range(random.randrange(20, 100)):
        life.step()
        key = random.choice(KEYS)
        assert life.store.get(key) == life.past[-1].get(key)
    life.store.verify()
    life.store.close()
    store = Store.open(life.disk)
    assert dict(store.scan()) == life.past[-1]
    store.compact()
    assert dict(store.scan()) == life.past[-1]


def test_the_log_is_cut_behind_the_tables_and_never_before():
    disk = SimDisk()
    store = Store.open(disk, segment_bytes=500)
    for number in range(50):
        store.put(b"%02d" % number, bytes(50))
    before = len(store.wal.segments)
    assert before > 5
    store.flush()
    assert len(store.wal.segments) < before
    assert store.wal.first_index <= store.flushed.index + 1
    (newest, *_) = [segment for segment in store.wal.segments if not segment.sealed]
    assert newest.high == store.flushed.index


def test_a_log_that_lost_what_tables_hold_is_refused():
    disk = SimDisk()
    store = Store.open(disk)
    store.put(b"a", b"1")
    store.flush()
    store.put(b"b", b"2")
    store.close()
    for name in [name for name in disk.names() if name.endswith(".wal")]:
        disk.remove(name)
    with pytest.raises(Corruption, match="the log that belongs to it is gone"):
        Store.open(disk)


def test_a_failed_write_stops_the_store_and_what_it_refused_is_not_there():
    disk = SimDisk()
    store = Store.open(disk, durability=Durability.SYNC)
    store.put(b"a", b"1")
    disk.break_at(1, kinds=("append",), random=Random(3))
    with pytest.raises(OSError, match="Input/output"):
        store.put(b"a", b"2")
    assert store.get(b"a") == b"1"
    for call in (lambda: store.put(b"b", b""), lambda: store.delete(b"a"), store.sync):
        with pytest.raises(Stopped):
            call()
    assert dict(store.scan()) == {b"a": b"1"}
    store.close()
    assert Store.open(disk).get(b"a") == b"1"


def test_bad_calls_are_refused_and_the_store_stays_usable():
    store = Store.open(SimDisk())
    calls = {
        "a key must be bytes": lambda: store.put("a", b""),
        "a value of 67108865 bytes": lambda: store.put(b"a", bytes((64 << 20) + 1)),
        "a batch must be kvraft.lsm.batch.WriteBatch": lambda: store.write({}),
        "writes its own log: use put": lambda: store.apply((), Position(1, 1)),
        "a snapshot cannot take its place": lambda: store.install(b""),
        "SYNC, OS or BUFFERED": lambda: Store.open(SimDisk(), durability="sync"),
    }
    for says, call in calls.items():
        with pytest.raises(BadInput, match=says):
            call()
    store.put(b"a", b"1")
    assert store.get(b"a") == b"1"


def test_directories_of_others_are_refused(tmp_path):
    with Store.open(tmp_path / "one") as store:
        store.put(b"a", b"1")
        with pytest.raises(Locked):
            Store.open(tmp_path / "one")
    with pytest.raises(ForeignFile):
        Store.open(tmp_path / "one", owner="another")
    with Tree.open(tmp_path / "tree", owner=OWNER) as tree:
        tree.put(b"a", b"1")
        tree.flush()
    with pytest.raises(Corruption, match="the log that belongs to it is gone"):
        Store.open(tmp_path / "tree")
    with Store.open(tmp_path / "one") as store:
        assert store.get(b"a") == b"1"


ONE_KEY = {
    "puts": lambda store, n: store.put(b"key", b"%064d" % n),
    "deletes": lambda store, n: store.delete(b"key"),
    "batches": lambda store, n: store.write(WriteBatch().put(b"key", b"%064d" % n).delete(b"a")),
    "range deletes": lambda store, n: store.delete_range(b"k", b"l"),
    "synced puts": lambda store, n: (store.put(b"key", b"%064d" % n), store.sync()),
}


@pytest.mark.parametrize("durability", [Durability.OS, Durability.BUFFERED])
@pytest.mark.parametrize("kind", ONE_KEY)
def test_the_log_is_bounded_however_few_keys_are_written(kind, durability):
    disk, write = SimDisk(), ONE_KEY[kind]
    limits = {"segment_bytes": 4_000, "log_bytes": 10_000, "durability": durability}
    options = TreeOptions(memtable_bytes=400_000)
    store, most = Store.open(disk, options=options, **limits), 0
    store.put(b"other", b"1")
    for number in range(1500):
        write(store, number)
        most = max(most, sum(segment.size for segment in store.wal.segments))
    assert store.stats().counts.flushes >= 1
    # What may wait, the segment that made it too much, and what is written during a flush.
    chunk = 64 << 10 if durability is Durability.BUFFERED and kind != "synced puts" else 4_200
    assert most < 10_000 + 8 * chunk  # without a bound it comes to 220,000
    before = dict(store.scan())
    del store  # a crash of the process, which lost what waited in it
    again = Store.open(disk, options=options, **limits)
    assert again.get(b"other") == b"1"
    if durability is Durability.OS:
        assert dict(again.scan()) == before


def test_a_log_that_is_too_long_already_is_worked_off_after_it_was_opened():
    disk = SimDisk()
    store = Store.open(disk, segment_bytes=4_000)
    for number in range(600):
        store.put(b"key", b"%064d" % number)
    assert store.stats().counts.flushes == 0
    store.close()
    store = Store.open(disk, segment_bytes=4_000, log_bytes=10_000)
    for number in range(100):
        store.put(b"key", b"%064d" % number)
    assert store.stats().counts.flushes == 1
    assert len(store.wal.segments) < 6
    with pytest.raises(BadInput, match="log_bytes must be at least 0, not -1"):
        Store.open(SimDisk(), log_bytes=-1)


def test_a_range_that_is_deleted_again_and_again_costs_no_more_each_time():
    store = Store.open(SimDisk())
    for _ in range(300):
        store.delete_range(b"a", b"m")
        store.delete_range(b"f", b"z")
    assert len(store.memtables.active.range_tombstones.rows()) == 3
    with store.view() as view:
        store.put(b"g", b"1")
        store.delete_range(b"f", b"z")
        assert (view.get(b"g"), store.get(b"g")) == (None, None)
    store.put(b"g", b"2")
    with store.view() as view:
        store.delete_range(b"a", b"z")
        assert (view.get(b"g"), store.get(b"g")) == (b"2", None)


@pytest.mark.parametrize(("segment_bytes", "together"), [(1 << 20, False), (1 << 17, True)])
def test_large_files_are_removed_in_a_slice_each_and_small_ones_together(segment_bytes, together):
    disk, removed = SimDisk(), {".wal": [], ".sst": []}
    options = TreeOptions(memtable_bytes=1 << 30, strategy=Levelled(tables=3))
    store = Store.open(disk, segment_bytes=segment_bytes, log_bytes=1 << 30, options=options)
    for _ in range(3):
        for number in range(3 * segment_bytes // 100_000 + 2):
            store.put(b"%03d" % number, bytes(100_000))
        store.freeze()
        while store.has_work:
            before = set(disk.names())
            store.work()
            for kind, counts in removed.items():
                counts.append(sum(n.endswith(kind) for n in before - set(disk.names())))
    assert store.stats().counts.compactions == 1
    for counts in removed.values():
        assert sum(counts) >= 3
        assert (max(counts) > 1) is together
    assert len(store.wal.segments) == 1
    store.close()
