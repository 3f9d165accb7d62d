"""A directory belongs to the process that opened it: a child of a fork is refused, and harmless."""

import gc
import multiprocessing
import os
import pickle

import pytest

from kvraft.disk import RealDisk
from kvraft.errors import Locked, WrongType
from kvraft.lsm import SnapshotSpool, Tree
from kvraft.record import Entry, Kind, Record, TxnId, pack_entries
from kvraft.sim import SimDisk
from kvraft.store import Store
from kvraft.tools import verify
from kvraft.wal import Durability, Wal

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
KEYS = [b"%03d" % number for number in range(100)]


def in_a_child(work):
    """Return what ``work`` returns in the child of a fork: a string, ``ok`` if nothing."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(work() or "ok").encode())
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    said = b""
    while part := os.read(read, 4096):
        said += part
    os.close(read)
    os.waitpid(child, 0)
    return said.decode()


def refused(*calls):
    """Return which of ``calls`` were not refused as the use of another process's disk is."""
    taken = []
    for number, call in enumerate(calls):
        try:
            call()
        except Locked as error:
            if f"opened by process {os.getppid()}" not in str(error):
                taken.append(f"call {number} says {error}")
        else:
            taken.append(f"call {number} was taken")
    return ", ".join(taken)


@forks
@pytest.mark.parametrize("durability", Durability)
def test_what_a_parent_wrote_is_there_although_a_child_wrote_and_closed(tmp_path, durability):
    store = Store.open(tmp_path / "db", durability=durability)
    store.put(b"before", b"")

    def child():
        for key in KEYS:
            try:
                store.put(key, b"child")
            except Locked:
                continue
            return "a put was taken"
        return store.close()

    said = in_a_child(child)
    for key in KEYS:
        store.put(key, b"parent")
    store.close()
    assert verify(tmp_path / "db")[-1] == "Every checksum and invariant holds."
    with Store.open(tmp_path / "db") as store:
        assert dict(store.scan()) == dict.fromkeys(KEYS, b"parent") | {b"before": b""}
    assert said == "ok"


def open_all(path):
    """Return one of each thing that a directory is used through, with something in it."""
    store = Store.open(path / "store", durability=Durability.BUFFERED)
    for key in KEYS:
        store.put(key, b"1")
    tree = Tree.open(path / "tree")
    tree.put(b"a", b"1")
    disk = RealDisk(path / "log")
    return store, tree, disk, Wal.open(disk, "me")


def entry(index):
    return Entry(0, index, Record(Kind.PUT, b"k", b"v", index, TxnId("", 0, 0), commit=True))


@forks
def test_a_child_is_refused_whatever_it_uses(tmp_path):
    store, tree, disk, wal = open_all(tmp_path)
    wal.append(1, 1, pack_entries([entry(1)]), Durability.BUFFERED)
    spool = SnapshotSpool(disk)
    spool.write(0, b"chunk")
    view, scan, snapshot = store.view(), store.scan(), tree.snapshot()

    def child():
        return refused(
            *(lambda: store.put(b"a", b""), lambda: store.get(KEYS[0]), store.scan, store.view),
            *(lambda: store.delete(b"a"), store.sync, store.flush, store.compact, store.work),
            *(lambda: view.get(KEYS[0]), view.scan, lambda: next(scan), store.verify, store.stats),
            *(lambda: tree.put(b"a", b""), lambda: tree.get(b"a"), tree.flush, tree.snapshot),
            lambda: tree.checkpoint(tmp_path / "copy"),
            *(lambda: wal.append(2, 2, pack_entries([entry(2)])), wal.sync, wal.flush, wal.entries),
            *(lambda: wal.save(None, [entry(2)]), lambda: wal.drop_below(1)),
            *(lambda: spool.write(5, b"more"), lambda: spool.read(0, 1), spool.drop),
            *(disk.names, lambda: disk.size("a"), lambda: disk.read("a"), disk.sync_dir),
            *(lambda: disk.create("a"), lambda: disk.append("a", b"x"), lambda: disk.sync("a")),
            *(lambda: disk.truncate("a", 0), lambda: disk.rename("a", "b"), disk.free_bytes),
            *(lambda: disk.remove("a"), lambda: disk.link("a", SimDisk())),
            lambda: disk.identity("a"),
        )

    assert in_a_child(child) == "ok"
    assert not (tmp_path / "copy").exists()
    assert len(snapshot.read(0, snapshot.size)) == snapshot.size
    assert len(list(scan)) == len(KEYS)
    assert view.get(KEYS[0]) == b"1"
    assert spool.read(0, 5) == b"chunk"
    assert wal.entries() == [entry(1)]


@forks
@pytest.mark.parametrize("way", ["closed", "collected", "left open"])
def test_a_child_that_ends_writes_nothing_and_unlocks_nothing(tmp_path, way):
    things = open_all(tmp_path)
    *_, wal = things
    wal.append(1, 1, pack_entries([entry(1)]), Durability.BUFFERED)
    view, scan = things[0].view(), things[0].scan()
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def child():
        nonlocal things, wal, view, scan
        if way == "closed":
            scan.close()
            view.close()
            for thing in (*things, wal):
                thing.close()
        elif way == "collected":
            things = wal = view = scan = None
            gc.collect()

    assert in_a_child(child) == "ok"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    for name in ("store", "tree", "log"):
        with pytest.raises(Locked, match="in use by another process"):
            RealDisk(tmp_path / name)


@forks
def test_a_parent_can_close_and_open_again_while_a_child_lives(tmp_path):
    store = Store.open(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent ends it
        os._exit(0)
    os.close(read)
    try:
        store.put(b"a", b"1")
        store.close()
        with Store.open(tmp_path) as store:
            assert store.get(b"a") == b"1"
    finally:
        os.close(write)
        os.waitpid(child, 0)


@forks
def test_a_child_may_open_for_itself_what_its_parent_closed(tmp_path):
    store = Store.open(tmp_path)
    store.put(b"a", b"1")
    store.close()

    def child():
        with Store.open(tmp_path) as mine:
            mine.put(b"b", b"2")

    assert in_a_child(child) == "ok"
    with Store.open(tmp_path) as store:
        assert dict(store.scan()) == {b"a": b"1", b"b": b"2"}


@forks
def test_a_disk_in_memory_is_a_copy_in_a_child_and_may_be_used_on():
    store = Store.open(SimDisk())

    def child():
        store.put(b"a", b"child")
        assert store.get(b"a") == b"child"

    assert in_a_child(child) == "ok"
    assert store.get(b"a") is None


def put_and_tell(store, queue):
    try:
        store.put(b"a", b"child")
        queue.put("taken")
    except Locked as error:
        queue.put(str(error))
    store.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_child_of_a_pool_is_refused_too(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    context = multiprocessing.get_context(method)
    with Store.open(tmp_path) as store:
        queue = context.Queue()
        if method == "fork":
            child = context.Process(target=put_and_tell, args=(store, queue))
            child.start()
            assert "open it in the process that uses it" in queue.get(timeout=30)
            child.join()
        else:
            with pytest.raises(WrongType, match="cannot be copied or sent to another process"):
                context.Process(target=put_and_tell, args=(store, queue)).start()
        store.put(b"a", b"parent")
    with Store.open(tmp_path) as store:
        assert store.get(b"a") == b"parent"


def test_what_holds_files_open_is_not_pickled(tmp_path):
    for thing in open_all(tmp_path):
        with pytest.raises(WrongType, match="cannot be copied or sent to another process"):
            pickle.dumps(thing)
