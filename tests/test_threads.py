"""Many threads on one store: each acknowledged write is there, and each reader sees one moment."""

import gc
import sys
import threading
from random import Random

import pytest

from kvraft.lsm import Levelled, Tree, TreeOptions, WriteBatch
from kvraft.sim import SimDisk
from kvraft.store import Store
from kvraft.wal import Durability

SMALL = TreeOptions(memtable_bytes=6_000, block_bytes=500, strategy=Levelled(2, 8_000, 2, 4_000))


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works):
    """Do each of ``works`` in a thread of its own; return what was raised in them."""
    raised, start = [], threading.Barrier(len(works))

    def run(work):
        start.wait()
        try:
            work()
        except BaseException as error:
            raised.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads), "threads wait for each other"
    return raised


@pytest.mark.parametrize("kind", [Store, Tree])
def test_what_four_threads_put_is_all_there(tmp_path, kind):
    db = kind.open(tmp_path, options=TreeOptions(memtable_bytes=30_000))
    acknowledged = [{} for _ in range(4)]

    def put(number):
        for at in range(750):
            key, value = b"%d %04d" % (number, at), b"%d" % at * 10
            db.put(key, value)
            acknowledged[number][key] = value

    assert together(*(lambda number=number: put(number) for number in range(4))) == []
    expected = {key: value for each in acknowledged for key, value in each.items()}
    assert len(expected) == 3000
    assert dict(db.scan()) == expected
    db.flush()
    db.close()
    with kind.open(tmp_path) as db:
        assert dict(db.scan()) == expected


class Crowd:
    """Threads that do everything at once to one store; each writer has keys of its own."""

    def __init__(self, store):
        self.store = store
        self.done = threading.Event()
        self.models = [{} for _ in range(3)]

    def write(self, number):
        random, model = Random(number), self.models[number]
        for at in range(150):
            key = b"%d key %02d" % (number, random.randrange(30))
            kind = random.random()
            if kind < 0.6:
                self.store.put(key, value := b"%d" % at * random.randrange(1, 40))
                model[key] = value
            elif kind < 0.8:
                self.store.delete(key)
                model.pop(key, None)
            else:  # two keys that always hold the same
                twins = (b"%d twin a" % number, b"%d twin b" % number)
                value = b"%d" % at
                self.store.write(WriteBatch().put(twins[0], value).put(twins[1], value))
                model.update(dict.fromkeys(twins, value))
            assert self.store.get(key) == model.get(key)

    def look(self, number):
        random = Random(100 + number)
        while not self.done.is_set():
            one = random.randrange(3)
            pairs = self.store.scan(prefix=b"%d" % one, reverse=random.random() < 0.5)
            self.check_twins(dict(pairs), one)
            view = self.store.view()
            first = dict(view.scan())
            for one in range(3):
                self.check_twins(first, one)
            assert dict(view.scan()) == first
            assert all(view.get(key) == value for key, value in first.items())
            if random.random() < 0.5:
                view.close()
            unread = self.store.scan()
            next(unread, None)
            loop = [view, unread]
            loop.append(loop)  # so that the collector closes them, somewhere

    def check_twins(self, pairs, one):
        assert pairs.get(b"%d twin a" % one) == pairs.get(b"%d twin b" % one)

    def tend(self):
        random = Random(7)
        while not self.done.is_set():
            kind = random.random()
            if kind < 0.7:
                self.store.work()
            elif kind < 0.8:
                self.store.flush()
            elif kind < 0.82:
                self.store.compact()
            elif kind < 0.95:
                self.store.sync()
            else:
                self.store.stats(live=True)
                gc.collect()

    def live(self):
        left = [0, 1, 2]

        def write(number):
            try:
                self.write(number)
            finally:
                left.remove(number)
                if not left:
                    self.done.set()

        writers = [lambda number=number: write(number) for number in range(3)]
        readers = [lambda number=number: self.look(number) for number in range(2)]
        return together(*writers, *readers, self.tend)


@pytest.mark.parametrize("durability", [Durability.OS, Durability.BUFFERED])
def test_a_crowd_of_threads_loses_nothing_and_sees_no_half_of_a_batch(tmp_path, durability):
    options = {"options": SMALL, "durability": durability, "segment_bytes": 5_000}
    store = Store.open(tmp_path, **options)
    crowd = Crowd(store)
    assert crowd.live() == []
    expected = {key: value for model in crowd.models for key, value in model.items()}
    assert dict(store.scan()) == expected
    gc.collect()
    store.compact()
    assert not store.has_work  # nobody who left holds on to a file
    store.close()
    with Store.open(tmp_path, **options) as store:
        assert dict(store.scan()) == expected
        store.verify()


def test_a_scan_sees_the_store_as_it_was_when_it_began_whoever_writes_meanwhile():
    store = Store.open(SimDisk(), options=SMALL)
    before = {b"%04d" % number: b"before" for number in range(0, 600, 2)}
    for key, value in before.items():
        store.put(key, value)
    scan, backwards = store.scan(), store.scan(reverse=True)

    def write():
        for number in range(600):
            store.put(b"%04d" % number, b"after")
        store.compact()

    seen = []
    assert together(write, lambda: seen.extend(scan)) == []
    assert dict(seen) == before
    assert dict(backwards) == before
    assert set(dict(store.scan()).values()) == {b"after"}


def test_a_reader_that_is_forgotten_waits_for_no_lock():
    store = Store.open(SimDisk())
    store.put(b"a", b"1")
    view, scan = store.view(), store.scan()
    held, done = threading.Event(), threading.Event()

    def hold():
        with store.lock:
            held.set()
            assert done.wait(30)

    def forget():
        nonlocal view, scan
        assert held.wait(30)
        view = scan = None
        gc.collect()
        done.set()

    assert together(hold, forget) == []
    store.put(b"a", b"2")
    assert store.stats().rows == 0
    assert store.readers.keep(store.timestamp).times == ()


def test_closing_while_others_work_leaves_what_was_acknowledged(tmp_path):
    store = Store.open(tmp_path, options=SMALL)
    acknowledged = {}

    def put():
        for number in range(100_000):
            store.put(b"%05d" % number, b"v")
            acknowledged[b"%05d" % number] = b"v"

    def close():
        while len(acknowledged) < 300:
            pass
        store.close()

    (said,) = together(put, close)
    assert said == "BadInput: the tree is closed"
    with Store.open(tmp_path) as again:
        assert dict(again.scan()) == acknowledged
