"""Options change speed and space, never an answer; and files of any options can be read by all."""

from dataclasses import replace
from random import Random

import pytest

from kvraft.lsm import Levelled, Tiered, Tree, TreeOptions
from kvraft.sim import SimDisk
from kvraft.sstable import Table
from tests.helpers.tree_model import after, assert_same, between, do, random_write

SMALL = TreeOptions(memtable_bytes=600, block_bytes=200, strategy=Levelled(2, 500, 2, 300))
KEYS = [b"", b"\x00", b"\xff", b"\xff\xff", *(b"key/%03d" % n for n in range(60))]

SETS = {
    "everything at its default": TreeOptions(),
    "small": SMALL,
    "a memtable of one write": replace(SMALL, memtable_bytes=1),
    "a block for every key": replace(SMALL, block_bytes=1),
    "one block a table": replace(SMALL, block_bytes=1 << 20),
    "no filter": replace(SMALL, bits_per_key=0),
    "a filter that is often wrong": replace(SMALL, bits_per_key=1),
    "no cache": replace(SMALL, cache_bytes=0),
    "a cache of two blocks": replace(SMALL, cache_bytes=1500),
    "zstd": replace(SMALL, codec="zstd"),
    "lz4": replace(SMALL, codec="lz4"),
    "a table for every block": replace(SMALL, strategy=Levelled(1, 1, 2, 1)),
    "two tiers": replace(SMALL, strategy=Tiered(tables=2)),
    "tiers of anything": replace(SMALL, strategy=Tiered(tables=2, ratio=1000.0)),
    "no compaction": replace(SMALL, strategy=Levelled(tables=10**6)),
    "all of history": replace(SMALL, history=10**6),
    "some of history": replace(SMALL, history=20),
    "stalled at once": replace(SMALL, stall_tables=1, stall_memtables=1),
}


def answers(options, seed):
    """Return all that a tree of these options says while it lives, and the tree."""
    random, model, disk = Random(seed), {}, SimDisk()
    tree = Tree.open(disk, options=options)
    said, views = [], []
    for step in range(300):
        do(tree, write := random_write(random, KEYS, 60))
        model = after(model, write)
        tree.work()
        tree.work()
        key = random.choice(KEYS)
        said.append(tree.get(key))
        if step % 10 == 0:
            low, high = sorted(random.sample(KEYS, 2))
            said.append(list(tree.scan(low, high)))
            said.append(list(tree.scan(low, reverse=True)))
        if step % 50 == 20:
            views.append(tree.view())
        if step % 50 == 45:
            said.append(list(views[-1].scan()))
            said.append(views.pop().get(key))
        if step % 100 == 60:
            tree.flush()
            tree.close()
            tree = Tree.open(disk, options=options)
    assert said[-1] == model.get(key)
    assert list(tree.scan()) == between(model)
    return said, tree


@pytest.fixture(scope="module")
def expected():
    return {seed: answers(TreeOptions(), seed)[0] for seed in (1, 2)}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_operations_give_the_same_answers(name, seed, expected):
    said, tree = answers(SETS[name], seed)
    assert said == expected[seed]
    tree.verify()
    before = list(tree.scan())
    tree.compact()
    assert list(tree.scan()) == before


def test_the_options_do_what_they_say():
    trees = {name: answers(options, 1)[1] for name, options in SETS.items()}
    for name, tree in trees.items():
        options = tree.options
        for info in tree.tables:
            table = Table.open(tree._disk, info)
            written = {"block_bytes", "bits_per_key", "codec"}
            assert {each: table.properties[each] for each in written} == {
                each: getattr(options, each) for each in written
            }
            assert (table.bloom is None) == (options.bits_per_key == 0 or info.keys == 0), name
            if options.block_bytes == 1:
                assert table.blocks == info.keys

    def rows(name):
        return trees[name].stats().rows

    def counts(name):
        return trees[name].counts

    assert max(info.level for info in trees["small"].tables) >= 2
    assert {info.level for info in trees["two tiers"].tables} == {0}
    assert len(trees["no compaction"].tables) > len(trees["two tiers"].tables)
    assert counts("no filter").filter_negatives == 0 < counts("small").filter_negatives
    assert (
        counts("a filter that is often wrong").filter_false_positives
        > counts("small").filter_false_positives
    )
    assert counts("no cache").blocks_read > counts("small").blocks_read
    assert trees["a cache of two blocks"].stats().cache_bytes <= 1500
    for name in ("small", "some of history", "all of history"):
        trees[name].compact()  # what is left then is what the options keep
    assert rows("small") < rows("some of history") < rows("all of history")
    assert trees["all of history"].horizon == 0


def test_a_tree_is_opened_with_other_options_every_time_and_stays_the_same():
    random, model, disk, mixed = Random(3), {}, SimDisk(), 0
    for options in [*SETS.values(), *SETS.values()]:
        with Tree.open(disk, options=options) as tree:
            assert_same(tree, model, KEYS)
            for _ in range(25):
                do(tree, write := random_write(random, KEYS, 60))
                model = after(model, write)
            tree.flush()
            for _ in range(random.randrange(40)):
                tree.work()
            mixed += len({Table.open(disk, info).properties["codec"] for info in tree.tables}) > 1
    with Tree.open(disk) as tree:
        tree.verify()
        tree.compact()
        assert_same(tree, model, KEYS)
    assert mixed > 3
