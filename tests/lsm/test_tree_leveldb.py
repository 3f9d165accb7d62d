"""The same operations as LevelDB give the same answers: through plyvel, where it is installed."""

from random import Random

import pytest

from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions
from kvraft.store import Store
from tests.helpers.tree_model import do

plyvel = pytest.importorskip("plyvel", reason="LevelDB is not compared: plyvel has no wheel here")

KEYS = [b"", b"\x00", b"\xff", b"\xff\xff", b"a", b"a\x00", *(b"k%02d" % n for n in range(40))]
STRATEGIES = [Levelled(2, 1500, 2, 600), Tiered(tables=2), Tiered(tables=3, ratio=3.0)]


def some_write(random):
    """Return a write that LevelDB has, too: it has no range tombstones."""
    key, chance = random.choice(KEYS), random.random()
    if chance < 0.6:
        return "put", key, random.randbytes(random.randrange(60))
    if chance < 0.8:
        return "delete", key
    parts = [some_write(random) for _ in range(random.randrange(6))]
    return "batch", [part for part in parts if part[0] != "batch"]


def do_to_leveldb(database, write):
    kind, *arguments = write
    if kind == "batch":
        with database.write_batch() as batch:
            for part in arguments[0]:
                {"put": batch.put, "delete": batch.delete}[part[0]](*part[1:])
    else:
        {"put": database.put, "delete": database.delete}[kind](*arguments)


def backwards(reader, start, stop):
    """Return what LevelDB has from ``stop`` down to ``start``, by its own steps.

    For plyvel's iterator finds nothing in reverse where there is just one pair.
    """
    pairs = []
    with reader.raw_iterator() as iterator:
        iterator.seek_to_last()
        if stop is not None:
            iterator.seek(stop)
            if iterator.valid():
                iterator.prev()
            else:
                iterator.seek_to_last()
        while iterator.valid() and iterator.key() >= start:
            pairs.append(iterator.item())
            iterator.prev()
    return pairs


def compare(random, ours, theirs):
    """Compare two trees, or a view of one with a snapshot of the other."""
    for key in random.choices(KEYS, k=3):
        assert ours.get(key) == theirs.get(key)
    start, stop = sorted(random.choices(KEYS, k=2))
    stop = random.choice([stop, None])
    assert list(ours.scan(start, stop)) == list(theirs.iterator(start=start, stop=stop))
    assert list(ours.scan(start, stop, reverse=True)) == backwards(theirs, start, stop)
    prefix = random.choice(KEYS)[:2]
    assert list(ours.scan(prefix=prefix)) == list(theirs.iterator(prefix=prefix))


@pytest.mark.parametrize("seed", range(12))
def test_random_operations_give_the_same_answers_as_leveldb(seed, tmp_path):
    random = Random(seed)
    kind = Store if seed % 3 == 0 else Tree
    options = TreeOptions(
        memtable_bytes=random.choice([200, 900]),
        block_bytes=random.choice([1, 100, 4096]),
        codec=random.choice(["none", "zstd", "lz4"]),
        strategy=random.choice(STRATEGIES),
    )
    mine, its = tmp_path / "kvraft", str(tmp_path / "leveldb")
    tree = kind.open(mine, options=options)
    database = plyvel.DB(its, create_if_missing=True, write_buffer_size=4096)
    pairs = []  # a view, and the snapshot that was taken at the same time
    for _ in range(250):
        chance = random.random()
        if chance < 0.80:
            write = some_write(random)
            do(tree, write)
            do_to_leveldb(database, write)
        elif chance < 0.84:
            pairs.append((tree.view(), database.snapshot()))
        elif chance < 0.88 and pairs:
            view, snapshot = pairs.pop(random.randrange(len(pairs)))
            view.close()
            snapshot.close()
        elif chance < 0.90:
            tree.compact()
            database.compact_range()
        elif chance < 0.92:
            pairs.clear()
            if kind is Tree:
                tree.flush()
            tree.close()
            database.close()
            tree = kind.open(mine, options=options)
            database = plyvel.DB(its)
        else:
            tree.work()
        for ours, theirs in [(tree, database), *pairs[-1:]]:
            compare(random, ours, theirs)
    pairs.clear()
    assert list(tree.scan()) == list(database.iterator())
    assert list(tree.scan(reverse=True)) == backwards(database, b"", None)
    tree.verify()
    tree.close()
    database.close()
