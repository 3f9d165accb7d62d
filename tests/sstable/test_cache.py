"""The block cache against a plain list in the order of last use."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.lsm import Tree, TreeOptions
from kvraft.sim import SimDisk
from kvraft.sstable import Block, BlockCache

BLOCKS = [Block(Block.encode([(b"k", 1, bytes(size))])) for size in (0, 10, 100, 150, 400)]
UNIT = BLOCKS[0].memory

places = st.tuples(st.integers(1, 2), st.integers(0, 3))
gone = st.sampled_from([(), (1,), (2, 3), (1, 2)])
steps = st.lists(st.tuples(places, st.none() | st.sampled_from(BLOCKS)) | gone, max_size=60)


@given(steps, st.sampled_from([0, 1, UNIT, 3 * UNIT, 3 * UNIT + 250, 100 * UNIT]))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_it_holds_the_blocks_used_last_and_never_more_than_its_bytes(steps, capacity):
    cache, held, hits, misses = BlockCache(capacity), [], 0, 0  # held: longest unused first
    for step in steps:
        if len(step) < 2 or not isinstance(step[0], tuple):
            cache.evict(step)
            held = [each for each in held if each[0][0] not in step]
            assert (cache.size, len(cache)) == (sum(b.memory for _, b in held), len(held))
            continue
        place, block = step
        known = dict(held)
        if block is None:
            found = cache.get(place)
            assert found is known.get(place)
            hits, misses = hits + (found is not None), misses + (found is None)
            if found is not None:
                held = [each for each in held if each[0] != place] + [(place, found)]
        else:
            cache.put(place, block)
            if block.memory <= capacity:
                held = [each for each in held if each[0] != place] + [(place, block)]
                while sum(each.memory for _, each in held) > capacity:
                    del held[0]
        assert cache.size == sum(each.memory for _, each in held) <= capacity
        assert (len(cache), cache.hits, cache.misses) == (len(held), hits, misses)
    for place, block in held:
        assert cache.get(place) is block


def test_one_table_is_never_taken_for_another():
    cache = BlockCache(10_000)
    cache.put((1, 0), BLOCKS[0])
    cache.put((2, 0), BLOCKS[1])
    assert (cache.get((1, 0)), cache.get((2, 0))) == (BLOCKS[0], BLOCKS[1])
    assert cache.get((0, 1)) is None


def test_memory_is_counted_with_the_keys_that_are_cut_out_later():
    rows = [(b"%06d" % at, at, b"") for at in range(500)]
    block = Block(Block.encode(rows))
    before = block.memory
    assert before > len(Block.encode(rows)) + 500 * 6
    assert [key for key in block.keys] == [row[0] for row in rows]  # noqa: C416
    assert block.memory == before  # else a cache would count a block out that it never counted in


def test_bytes_below_zero_are_refused():
    with pytest.raises(BadInput, match="a cache cannot have -1 bytes"):
        BlockCache(-1)


def test_blocks_of_tables_that_are_gone_go_with_them():
    """Else every merge would leave the blocks of its inputs, up to the capacity."""
    tree = Tree.open(SimDisk(), options=TreeOptions(memtable_bytes=1_000, block_bytes=200))
    for number in range(600):
        tree.put(b"%03d" % (number % 50), b"%06d" % number * 5)
        tree.get(b"%03d" % (number * 7 % 50))
    tree.flush()
    tree.compact()
    while tree.has_work:
        tree.work()
    stats = tree.stats()
    assert stats.counts.compactions > 0
    for number in range(50):
        assert tree.get(b"%03d" % number) is not None
    cache = tree._tables.cache
    assert {table for table, _ in cache._blocks} == {info.number for info in tree.tables}
