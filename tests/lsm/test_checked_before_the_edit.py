"""A table counts, and the log goes, only after what was written has been read back.

Every append of a flush, a compaction, an installed snapshot and an opening is one that the disk
lies about, in four ways, one after the other; nothing that was acknowledged may be lost by it.
"""

from __future__ import annotations

import errno
from random import Random

import pytest

from kvraft.disk import copy_file, replace_file, verify_written
from kvraft.errors import Stopped
from kvraft.lsm import Tree, TreeOptions
from kvraft.record import Position
from kvraft.sim import SimDisk
from kvraft.sim.distrust import SILENT_WRITE_FAULTS
from kvraft.store import Store
from kvraft.wal import Durability

OPTIONS = TreeOptions(memtable_bytes=100_000, block_bytes=256)
ROWS = {b"%03d" % i: b"v%d" % i * 9 for i in range(80)}


def open_store(disk: SimDisk) -> Store:
    return Store.open(disk, options=OPTIONS, durability=Durability.SYNC, segment_bytes=900)


def filled(flushes: int = 0) -> tuple[SimDisk, Store]:
    """A store in which all of ``ROWS`` are acknowledged, the last of them in the memtable."""
    disk = SimDisk()
    store = open_store(disk)
    keys = list(ROWS)
    parts = flushes + 1
    for part in range(parts):
        for key in keys[part::parts]:
            store.put(key, ROWS[key])
        if part < flushes:
            store.flush()
    return disk, store


def appends_of(job, flushes: int) -> int:
    """How many appends ``job`` makes where nothing goes wrong."""
    disk, store = filled(flushes)
    count, append = [0], disk.append

    def counted(name: str, data: bytes) -> None:
        count[0] += 1
        append(name, data)

    disk.append = counted  # type: ignore[method-assign]
    job(store)
    return count[0]


def check_everything_is_there(disk: SimDisk, seed: int) -> None:
    disk.repair()
    disk.crash(Random(seed))
    with open_store(disk) as store:
        assert dict(store.scan()) == ROWS
        store.verify()
        store.put(b"more", b"x")
        store.compact()
    with open_store(disk) as store:
        assert dict(store.scan()) == ROWS | {b"more": b"x"}


@pytest.mark.parametrize("lie", SILENT_WRITE_FAULTS)
@pytest.mark.parametrize(
    ("job", "flushes"), [(Store.flush, 0), (Store.flush, 2), (Store.compact, 3)]
)
def test_a_lie_about_any_append_of_a_flush_or_compaction_loses_nothing(lie, job, flushes):
    caught = 0
    appends = appends_of(job, flushes)
    for n in range(1, appends + 1):
        disk, store = filled(flushes)
        disk.lie_at(n, lie)
        try:
            job(store)
        except OSError as error:
            caught += 1
            assert error.errno == errno.EIO
            assert "not what was just written" in str(error)
            with pytest.raises(Stopped):
                store.put(b"k", b"v")
        assert dict(store.scan()) == ROWS, "reads go on"
        check_everything_is_there(disk, n)
    # Only the mark after the last edit, which nothing depends on yet, may go unnoticed.
    assert appends - 2 <= caught < appends


@pytest.mark.parametrize("lie", SILENT_WRITE_FAULTS)
def test_a_lie_about_the_mark_of_an_edit_is_found_before_the_next_edit_counts(lie):
    disk, store = filled(1)
    table = appends_of(Store.flush, 1)
    disk.lie_at(table, lie)  # the last append of a flush is the mark
    store.flush()
    store.put(b"000", b"new")
    with pytest.raises(OSError, match="not what was just written"):
        store.flush()
    disk.crash(Random(1))
    with open_store(disk) as again:
        assert dict(again.scan()) == ROWS | {b"000": b"new"}


@pytest.mark.parametrize("lie", SILENT_WRITE_FAULTS)
def test_a_lie_while_a_store_is_opened_loses_nothing(lie):
    """The newest segment and the manifest are written anew, and the old ones go."""
    for n in range(1, 30):
        disk, _ = filled(2)
        disk.crash(Random(n))
        disk.lie_at(n, lie)
        try:
            store = open_store(disk)
        except OSError as error:
            assert error.errno == errno.EIO
        else:
            assert dict(store.scan()) == ROWS
            assert n > 3, "the segment, the manifest and its name are read back"
            break
        check_everything_is_there(disk, n)
    else:
        pytest.fail("a store is opened with fewer appends")


@pytest.mark.parametrize("lie", SILENT_WRITE_FAULTS)
def test_a_lie_about_an_installed_snapshot_leaves_the_old_tables(lie):
    source = Tree.open(SimDisk(), options=OPTIONS)
    for key, value in ROWS.items():
        source.put(key, value)
    source.flush()
    snapshot = source.snapshot()
    stream = snapshot.read(0, snapshot.size)
    for n in range(1, 5):
        disk = SimDisk()
        tree = Tree.open(disk, options=OPTIONS)
        tree.apply([(b"old", 1, b"1")], Position(1, 0))
        tree.flush()
        disk.lie_at(n, lie)
        try:
            tree.install(stream)
        except OSError as error:
            assert "not what was just written" in str(error)
        else:
            break
        disk.crash(Random(n))
        assert dict(Tree.open(disk, options=OPTIONS).scan()) == {b"old": b"1"}
    assert n > 1


@pytest.mark.parametrize("lie", SILENT_WRITE_FAULTS)
def test_a_file_that_is_replaced_or_copied_stays_what_it_was(lie):
    disk, other = SimDisk(), SimDisk()
    replace_file(disk, "a", b"before")
    disk.lie_at(1, lie)
    with pytest.raises(OSError, match="not what was just written"):
        replace_file(disk, "a", b"after")
    assert disk.read("a") == b"before"
    other.lie_at(1, lie)
    with pytest.raises(OSError, match="not what was just written"):
        copy_file(disk, "a", other)


def test_what_was_written_and_a_bit_more_is_not_what_was_written():
    disk = SimDisk()
    disk.create("a")
    disk.append("a", b"12345")
    verify_written(disk, "a", 2, b"345")
    for wrong in (b"34", b"346", b"3456"):
        with pytest.raises(OSError, match="not what was just written"):
            verify_written(disk, "a", 2, wrong)
