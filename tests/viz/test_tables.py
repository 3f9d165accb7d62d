"""Pictures of tables and filters: they cover every byte, and say what is so."""

import re

import pytest

from kvraft.bloom import BloomFilter, positions
from kvraft.record import label
from kvraft.sim import SimDisk
from kvraft.sstable import Table
from kvraft.viz.figures import plot_k, plot_rates, title_of
from kvraft.viz.panels import FalsePositiveRate, bits_view, block_map, measure, parts_of, table_map
from kvraft.viz.shown import svg_image
from kvraft.viz.widgets import FilterSlider
from tests.helpers.storage import write_table

ROWS = [(b"a<%02d" % at, at, None if at % 5 == 0 else b"v" * at) for at in range(30)]


@pytest.mark.parametrize("ranges", [(), [(b"a", 3, b"b")]])
@pytest.mark.parametrize("bits", [0, 10])
def test_the_parts_of_a_table_cover_its_file(ranges, bits):
    disk = SimDisk()
    write_table(disk, 1, ROWS, ranges, block_bytes=100, bits_per_key=bits)
    parts = parts_of(disk, 1)
    assert parts[0].start == 0
    assert parts[-1].end == disk.size("000001.sst")
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    names = [part.name for part in parts]
    assert names.count("data") == Table.open(disk, 1).blocks
    assert ("filter" in names, "ranges" in names) == (bits > 0, bool(ranges))
    picture = table_map(disk, 1)
    assert all(f"{part.name} {part.start} to {part.end}" in picture for part in parts)


def test_a_block_is_shown_row_by_row():
    disk = SimDisk()
    write_table(disk, 1, ROWS, block_bytes=200)
    block = Table.open(disk, 1).load_block(0)
    picture = block_map(block)
    rows = block.rows()
    assert picture.count(">delete<") == sum(value is None for _, _, value in rows)
    assert all(label(key).replace("<", "&lt;") in picture for key, _, _ in rows)


def test_the_bits_shown_are_those_of_the_filter():
    keys = [b"one", b"two", b"three"]
    bloom = BloomFilter.build(keys)
    picture = bits_view(bloom, keys, asked=b"four")
    shown = {int(bit) for bit in re.findall(r"bit (\d+): set by (?!nobody)", picture)}
    assert shown == {bit for key in keys for bit in positions(key, bloom.k, bloom.m)}
    assert len(re.findall("[\u25cf\u25cb]", picture)) == len(set(positions(b"four", 6, 128)))
    assert ("maybe" in picture) == (b"four" in bloom)
    assert "maybe" in bits_view(bloom, keys, asked=b"one")


def test_positions_are_what_a_filter_sets():
    for bits in (1, 7, 10):
        bloom = BloomFilter.sized(50, bits)
        bloom.add([b"key"])
        again = BloomFilter.from_bytes(bloom.to_bytes())
        assert {bit for bit in range(bloom.m) if again._bits[bit]} == set(
            positions(b"key", bloom.k, bloom.m)
        )


def test_what_is_measured_is_near_the_theory_and_told_if_it_is_not():
    rates = [measure(500, bits, 4000) for bits in (4, 8)]
    assert title_of(plot_rates(rates)).startswith("2 of 2")
    wrong = FalsePositiveRate(8, 5, 4000, 4000, 0.02)
    assert title_of(plot_rates([rates[0], wrong])).startswith("1 of 2")
    assert measure(100, 10, 10, k=3).k == 3
    assert "k = 7 errs least" in title_of(plot_k([measure(500, 10, 10, k) for k in (1, 7, 12)]))


def test_the_slider_shows_what_it_says():
    slider = FilterSlider([b"a", b"b"], [measure(100, bits, 100) for bits in (5, 10)], start=5)
    before = slider._picture.value
    assert "5 bits a key" in slider.words()
    slider.slider.value = 10
    assert "10 bits a key" in slider.words()
    assert slider._picture.value != before
    assert slider._repr_mimebundle_()["text/html"] == svg_image(slider.svg())
