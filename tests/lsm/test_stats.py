"""Statistics: the ratios are what they say, and what a tree counts is what it does."""

import json
from dataclasses import asdict, fields

import pytest

from kvraft.lsm import Tree, TreeCounters, TreeOptions
from kvraft.lsm.stats import Stats
from kvraft.sim import SimDisk


def stats(live_bytes=None, **counted):
    return Stats(
        TreeCounters(**counted),
        tables=(1, 2),
        table_bytes=(300, 700),
        rows=9,
        memtable_bytes=0,
        immutable_memtables=0,
        filter_bytes=0,
        cache_bytes=0,
        cache_hits=3,
        cache_misses=1,
        live_bytes=live_bytes,
    )


def test_the_ratios_by_hand():
    found = stats(
        bytes_put=100,
        bytes_flushed=150,
        bytes_merged=999,  # read, not written
        bytes_compacted=250,
        gets=10,
        tables_probed=35,
        filter_negatives=20,
        filter_false_positives=5,
        live_bytes=500,
    )
    assert found.write_amplification == 4
    assert found.read_amplification == 1.5
    assert found.space_amplification == 2
    assert found.cache_hit_rate == 0.75
    assert found.filter_hit_rate == 0.8  # of the 25 asked in vain; the other 10 had the key


def test_nothing_done_is_nothing_divided():
    found = stats()
    assert (found.write_amplification, found.read_amplification) == (0, 0)
    assert (found.filter_hit_rate, found.space_amplification) == (0, None)
    assert stats(live_bytes=0).space_amplification == 0


def test_all_of_it_is_in_the_json():
    found = stats(bytes_put=10, bytes_flushed=20, live_bytes=100)
    whole = json.loads(json.dumps(found.to_dict()))
    for field in [*fields(TreeCounters), *fields(Stats)]:
        assert field.name == "counts" or field.name in whole
    assert "counts" not in whole
    assert (whole["bytes_put"], whole["tables"], whole["rows"]) == (10, [1, 2], 9)
    assert (whole["write_amplification"], whole["space_amplification"]) == (2, 10)
    assert (whole["cache_hit_rate"], whole["filter_hit_rate"]) == (0.75, 0)


@pytest.fixture
def tree():
    options = TreeOptions(memtable_bytes=1 << 20, block_bytes=200, cache_bytes=1 << 20)
    return Tree.open(SimDisk(), options=options)


def test_writes_and_flushes_and_merges_are_counted_in_bytes(tree):
    for at in range(100):
        tree.put(b"%03d" % at, b"x" * 7)
    tree.delete(b"000")
    tree.delete_range(b"001", b"003")
    assert (tree.counts.rows_put, tree.counts.bytes_put) == (102, 100 * 10 + 3)
    tree.flush()
    (first,) = tree.tables
    assert (tree.counts.flushes, tree.counts.bytes_flushed) == (1, first.size)
    tree.put(b"050", b"again")
    tree.flush()
    sizes = [table.size for table in tree.tables]
    assert tree.counts.bytes_flushed == sum(sizes)
    tree.compact()
    found = tree.stats(live=True)
    assert (found.counts.compactions, found.counts.bytes_merged) == (1, sum(sizes))
    assert found.counts.bytes_compacted == sum(found.table_bytes) == tree.tables[0].size
    assert found.counts.tombstones_dropped == 1
    assert (found.tables, found.rows) == ((0, 1), 97)
    assert found.live_bytes == 96 * 10 + 3 + 5
    assert found.write_amplification == (sum(sizes) + tree.tables[0].size) / 1011
    assert found.space_amplification == tree.tables[0].size / found.live_bytes


def test_reads_are_counted_by_what_they_cost(tree):
    for at in range(100):
        tree.put(b"%03d" % (2 * at), b"x" * 20)
    tree.flush()
    begin = tree.stats().counts
    assert tree.get(b"100") == tree.get(b"100") == b"x" * 20
    counts = tree.stats().counts
    assert (counts.gets - begin.gets, counts.tables_probed - begin.tables_probed) == (2, 2)
    assert counts.blocks_read - begin.blocks_read == 1  # the second time it is in the cache
    assert (tree.stats().cache_hits, tree.stats().cache_misses) == (1, 1)
    assert tree.stats().cache_bytes > 200
    assert tree.stats().filter_bytes == sum(t.bloom.m for t in tree._tables.levels.tables) > 0
    for at in range(100):
        assert tree.get(b"%03d" % (2 * at + 1)) is None
    after = tree.stats().counts
    denied, wrong = (
        after.filter_negatives - begin.filter_negatives,
        after.filter_false_positives - begin.filter_false_positives,
    )
    assert denied + wrong == 99  # the last one is behind all there is: no table is asked
    assert denied > 90
    assert list(tree.scan()) != []
    assert tree.stats().counts.scans == after.scans + 1


@pytest.mark.parametrize("bits_per_key", [0, 1])
def test_a_filter_that_passes_much_costs_blocks_looked_at_in_vain(bits_per_key):
    options = TreeOptions(bits_per_key=bits_per_key, block_bytes=200, cache_bytes=0)
    tree = Tree.open(SimDisk(), options=options)
    for at in range(100):
        tree.put(b"%03d" % (2 * at), b"x" * 20)
    tree.flush()
    before = tree.stats().counts
    for at in range(99):
        assert tree.get(b"%03d" % (2 * at + 1)) is None
    now = tree.stats().counts
    wrong = now.filter_false_positives - before.filter_false_positives
    assert now.blocks_read - before.blocks_read == wrong
    assert now.filter_negatives + wrong == 99
    assert wrong == 99 if bits_per_key == 0 else 30 < wrong < 90
    assert tree.stats().filter_hit_rate == (99 - wrong) / 99


def test_counters_never_fall_and_a_statistic_stays_as_it_was(tree):
    before = tree.stats()
    frozen = asdict(before)
    for round_ in range(6):
        for at in range(50):
            tree.put(b"%d" % at, b"%d" % round_)
        tree.flush()
        tree.get(b"7")
        tree.get(b"nowhere")
        if round_ % 2:
            tree.compact()
        now = tree.stats()
        for field in fields(TreeCounters):
            assert getattr(now.counts, field.name) >= getattr(before.counts, field.name)
        before = now
    assert asdict(tree.stats()) != frozen
    assert tree.stats().counts is not tree.counts
