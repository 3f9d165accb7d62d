"""Damaged files: an error that names the file, or the exact data; never anything else.

A small tree with everything in it: several levels, tombstones, range tombstones, blocks of every
codec; and a small store with a log in several segments.  Every file is cut at every byte, and every
byte of it is flipped.
"""

from random import Random

import pytest

from kvraft.disk.frame import FRAME_OVERHEAD
from kvraft.errors import Corruption, ForeignFile
from kvraft.lsm import Levelled, Tree, TreeOptions
from kvraft.record import ORIGIN
from kvraft.sim import SimDisk
from kvraft.sstable import BLOCK_TRAILER_BYTES, Table
from kvraft.store import Store
from tests.helpers.tree_model import after, between, do, random_write

KEYS = [b"", b"\x00", b"a", b"b", b"c", b"d", b"e", b"\xff"]
STRATEGY = Levelled(2, 300, 2, 150)


def bytes_of(disk):
    return {name: disk.read(name) for name in disk.names()}


def disk_of(files):
    disk = SimDisk()
    for name, data in files.items():
        disk.create(name)
        disk.append(name, data)
    return disk


def tree_files():
    """Return the files of a small tree, and what it held at each of its flushed marks."""
    disk, random, model = SimDisk(), Random(195), {}
    states = {ORIGIN: model}
    for codec in ("zstd", "lz4", "none", "zstd", "lz4", "none"):
        options = TreeOptions(codec=codec, block_bytes=70, bits_per_key=5, strategy=STRATEGY)
        tree = Tree.open(disk, options=options)
        writes = [random_write(random, KEYS, 4) for _ in range(3)]
        for write in (("put", random.choice(KEYS), b"z" * 150), *writes):
            do(tree, write)
            model = after(model, write)
        tree.flush()
        states[tree.flushed] = model
        for _ in range(20 if codec != "none" else 0):
            tree.work()
        tree.close()
    infos = tree.tables
    assert {info.level for info in infos} == {0, 1, 2}
    assert sum(info.tombstones for info in infos) > 0
    assert sum(info.ranges for info in infos) > 0
    blocks = [Table.open(disk, info).extent(0) for info in infos]
    codecs = {
        disk.read(f"{info.number:06d}.sst")[start + size - BLOCK_TRAILER_BYTES]
        for info, (start, size) in zip(infos, blocks, strict=True)
        if size
    }
    assert codecs == {0, 1, 2}
    return bytes_of(disk), states


def store_files():
    """Return the files of a small store that was closed in order, and all states it was in."""
    disk, random, model = SimDisk(), Random(48), {}
    options = TreeOptions(memtable_bytes=150, strategy=STRATEGY)
    states = {0: model}
    with Store.open(disk, options=options, segment_bytes=300) as store:
        for _ in range(14):
            do(store, write := random_write(random, KEYS, 20))
            model = after(model, write)
            states[store.applied.index] = model
            while store.work():  # so few bytes written would not pay for a flush
                pass
    files = bytes_of(disk)
    assert store.tables
    assert store.flushed < store.applied
    assert len([name for name in files if name.endswith(".wal")]) > 1
    return files, states


TREE, TREE_STATES = tree_files()
STORE, STORE_STATES = store_files()


def read_all(tree, model):
    """Read a tree in every way; return how many ways met damage.  What is read must be right."""
    refused = 0
    ways = [
        lambda: (
            dict(zip(KEYS, map(tree.get, KEYS), strict=True)) == {k: model.get(k) for k in KEYS}
        ),
        lambda: list(tree.scan()) == between(model),
        lambda: list(tree.scan(reverse=True)) == between(model, reverse=True),
        lambda: tree.verify() is None,
    ]
    for way in ways:
        try:
            assert way()
        except (Corruption, ForeignFile) as error:
            assert ".sst" in str(error)
            refused += 1
    return refused


def outcome(files, name, data):
    """Open a tree of which one file is other than it was; return what came of it."""
    try:
        tree = Tree.open(disk_of(files | {name: data}))
    except (Corruption, ForeignFile) as error:
        assert name in str(error) or name == "CURRENT" or name.startswith("MANIFEST"), error
        return "refused"
    if read_all(tree, TREE_STATES[tree.flushed]):
        return "found"
    return "as it was" if tree.flushed == max(TREE_STATES) else "as it once was"


def flipped(data, at, mask):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


@pytest.mark.parametrize("name", TREE)
def test_a_flip_of_any_byte_of_a_tree_is_found_or_changes_nothing(name):
    data = TREE[name]
    outcomes = {
        (at, mask): outcome(TREE, name, flipped(data, at, mask))
        for at in range(len(data))
        for mask in ((0x01, 0xFF) if name.endswith(".sst") else (0x01, 0x20, 0x80, 0xFF))
    }
    assert "as it once was" not in outcomes.values()
    missed = [place for place, what in outcomes.items() if what == "as it was"]
    if name.startswith("MANIFEST"):
        # The mark at the end vouches for the last edit; for the mark nobody does, or needs to.
        assert all(at >= len(data) - FRAME_OVERHEAD for at, _ in missed)
    else:
        assert not missed


@pytest.mark.parametrize("name", TREE)
def test_a_cut_at_any_byte_of_a_tree_is_found_or_leaves_what_was_flushed_once(name):
    data = TREE[name]
    outcomes = [outcome(TREE, name, data[:size]) for size in range(len(data))]
    if name.startswith("MANIFEST"):
        # An edit that is gone with all behind it was never made; `flushed` says so to the log.
        assert set(outcomes) <= {"refused", "as it was", "as it once was"}
        assert outcomes.count("as it was") == FRAME_OVERHEAD
    else:
        assert set(outcomes) == {"refused"}
    assert outcome(TREE, name, data + b"\0") in ("refused", "as it was")


@pytest.mark.parametrize("name", [name for name in TREE if name.endswith(".sst")])
def test_a_table_that_is_missing_empty_or_another_is_found(name):
    others = [each for each in TREE if each.endswith(".sst") and each != name]
    for data in (b"", bytes(len(TREE[name])), *(TREE[other] for other in others)):
        assert outcome(TREE, name, data) == "refused"
    with pytest.raises(Corruption, match=name):
        Tree.open(disk_of({each: data for each, data in TREE.items() if each != name}))


def store_outcome(files, name, data):
    try:
        store = Store.open(disk_of(files | {name: data}))
    except (Corruption, ForeignFile):
        return None
    model = STORE_STATES[store.applied.index]
    return None if read_all(store, model) else store.applied.index


@pytest.mark.parametrize("name", [name for name in STORE if name.endswith(".wal")])
def test_a_damaged_log_of_a_store_is_refused_or_leaves_a_prefix(name):
    data, last = STORE[name], max(STORE_STATES)
    flips = [
        store_outcome(STORE, name, flipped(data, at, mask))
        for at in range(len(data))
        for mask in (0x01, 0xFF)
    ]
    # It was closed in order: no flip makes it shorter.
    assert set(flips) <= {None, last}
    cuts = [store_outcome(STORE, name, data[:size]) for size in range(len(data))]
    if name == max(each for each in STORE if each.endswith(".wal")):
        found = [index for index in cuts if index is not None]
        assert found == sorted(found)
    else:
        assert set(cuts) <= {None, last}, "the seal may go, if the next segment is empty"
        assert cuts[-40] is None


@pytest.mark.parametrize("name", [n for n in STORE if n.startswith("MANIFEST") or n == "CURRENT"])
def test_a_damaged_manifest_of_a_store_is_refused_or_made_good_by_the_log(name):
    data, last = STORE[name], max(STORE_STATES)
    changed = [flipped(data, at, 0x01) for at in range(len(data))]
    changed += [data[:size] for size in range(len(data))]
    outcomes = {store_outcome(STORE, name, each) for each in changed}
    assert outcomes <= {None, last}
