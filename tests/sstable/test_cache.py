"""The block cache against a plain list, and what readers find in it against what is on disk."""

from copy import deepcopy
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.lsm import Tree, TreeOptions
from kvraft.sim import SimDisk
from kvraft.sstable import Block, BlockCache, Table
from kvraft.sstable.cache import Shelf
from tests.helpers.storage import write_table

SIZES = (0, 10, 100, 150, 400)
UNIT = Block(Block.encode([(b"k", 1, b"")])).memory
PLACES = [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]

steps = st.lists(
    st.tuples(st.just("read"), st.sampled_from(PLACES), st.sampled_from(SIZES))
    | st.tuples(st.just("warm"), st.sampled_from(PLACES), st.booleans())
    | st.tuples(st.just("evict"), st.sampled_from([(), (1,), (2,), (1, 2)])),
    max_size=60,
)


def block_at(table, at, size):
    """A block with keys that no other place has, one of them in two versions."""
    key = b"%d%d" % (table, at)
    rows = [(key, 1, b"old"), (key, 2, bytes(size)), (key + b"x", 3, None)]
    return Block(Block.encode(rows)), {key: bytes(size), key + b"x": None}


@given(steps, st.sampled_from([0, 1, UNIT, 3 * UNIT, 4 * UNIT + 250, 100 * UNIT]))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_a_block_stays_while_there_is_room_and_has_its_rows_on_the_shelf_once_indexed(
    steps, capacity
):
    cache, shelves = BlockCache(capacity), {1: Shelf(1, 4), 2: Shelf(2, 4)}
    rows, ring, hits, misses = {}, [], 0, 0  # ring: place, and whether it was used since

    for step in steps:
        before = {p: shelves[p[0]].blocks[p[1]] for p in PLACES}
        if step[0] == "evict":
            for number in step[1]:
                cache.evict(shelves[number])
            ring = [each for each in ring if each[0][0] not in step[1]]
        elif step[0] == "read":
            (number, at), size = step[1:]
            if before[number, at] is None:
                block, rows[number, at] = block_at(number, at, size)
                misses += 1
                cache.put(shelves[number], at, block)
                if block.memory <= capacity:
                    ring.append(((number, at), False))
                    before[number, at] = block
            else:
                before[number, at].uses += 1
                hits += 1
                ring = [(p, used or p == (number, at)) for p, used in ring]
        elif before[step[1]] is not None:
            cache.warm(shelves[step[1][0]], before[step[1]], index=step[2])
        # Round the ring, as often as it takes: who was used is spared once.
        there = {p for p in PLACES if shelves[p[0]].blocks[p[1]] is not None}
        for _ in range(2 * len(ring)):
            if {p for p, _ in ring} == there:
                break
            place, used = ring.pop(0)
            if used:
                ring.append((place, False))
            else:
                assert place not in there
        assert {p for p, _ in ring} == there
        assert all(shelves[n].blocks[at] is before[n, at] for n, at in there)
        indexed = [p for p in there if before[p].indexed]
        for number, shelf in shelves.items():
            assert shelf.rows == {
                k: v for p in indexed if p[0] == number for k, v in rows[p].items()
            }
        memory = sum(before[p].memory for p in there) + sum(s.memory for s in shelves.values())
        assert cache.size == memory <= capacity
        assert (len(cache), cache.hits, cache.misses) == (len(there), hits, misses)
    for shelf in shelves.values():
        cache.evict(shelf)
        assert not shelf.rows
    assert (cache.size, len(cache), cache.hits) == (0, 0, hits)


KEYS = [b"%03d" % at for at in range(60)]


@given(
    st.lists(st.sampled_from([*KEYS, b"", b"0015", b"030x", b"z"]), max_size=80),
    st.sampled_from([0, 2_000, 4_000, 100_000]),
    st.sampled_from([0, 10]),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_table_reads_the_same_from_packed_extracted_and_indexed_blocks(asked, capacity, bits):
    disk, cache = SimDisk(), BlockCache(capacity)
    rows = [(key, at + 1, None if at % 7 == 3 else key * 5) for at, key in enumerate(KEYS)]
    info = write_table(disk, 1, rows, block_bytes=200, bits_per_key=bits)
    table = Table.open(disk, info, cache)
    for n, key in enumerate(asked):
        expected = [row for row in rows if row[0] == key]
        assert [table.get(key)] == (expected or [None])
        if n % 5 == 0:
            assert [row for chunk in table.chunks(key) for row in chunk] == [
                row for row in rows if row[0] >= key
            ]
        assert cache.size <= capacity
        assert all(table.rows[key] == value for key, _, value in rows if key in table.rows)


def test_look_ups_index_a_block_only_once_they_have_found_it_a_few_times():
    disk, cache = SimDisk(), BlockCache(1 << 20)
    rows = [(key, at + 1, key) for at, key in enumerate(KEYS)]
    table = Table.open(disk, write_table(disk, 1, rows, block_bytes=200), cache)
    for n in range(7):
        assert table.get(KEYS[0]) == rows[0]
        assert bool(table.rows) == (n >= 4)


def test_a_copy_of_a_table_warms_up_by_itself():
    disk = SimDisk()
    rows = [(key, at + 1, key) for at, key in enumerate(KEYS)]
    cache = BlockCache(1 << 20)
    table = Table.open(disk, write_table(disk, 1, rows, block_bytes=200), cache)
    for key in KEYS[:20] * 3:
        table.get(key)
    assert table.rows
    other, copied = deepcopy((table, cache))
    before = dict(table.rows), cache.size, cache.hits
    assert (other.rows, copied.size, copied.hits) == before
    for key in KEYS * 2:
        assert other.get(key) == rows[KEYS.index(key)]
    copied.evict(other.shelf)
    assert other.rows == {} != table.rows
    assert dict(table.rows) == before[0]
    assert cache.size == before[1]


def test_bytes_below_zero_are_refused():
    with pytest.raises(BadInput, match="a cache cannot have -1 bytes"):
        BlockCache(-1)


def test_blocks_in_use_outlive_others():
    disk, chance = SimDisk(), Random(1)
    rows = [(b"%05d" % at, at + 1, bytes(100)) for at in range(2000)]
    table = Table.open(disk, write_table(disk, 1, rows), BlockCache(60_000))
    for _ in range(3000):  # nine of ten reads are of a twentieth of the keys
        table.get(b"%05d" % chance.randrange(100 if chance.random() < 0.9 else 2000))
    assert table.counts.blocks_read < 3000 * 0.12


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
    assert {shelf.number for shelf in cache._ring.values()} == {info.number for info in tree.tables}
