"""Tables: what is written is read back, and no damage is ever read as data."""

import struct
import zlib
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from random import Random

import mmh3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvraft.bloom import BloomFilter, BloomFilterBuilder
from kvraft.disk import table_name, table_number
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.record import ROW_OVERHEAD, Version
from kvraft.sim import PowerCut, SimDisk
from kvraft.sstable import (
    Block,
    BlockCache,
    DigestCheck,
    Table,
    TableFormat,
    TableWriter,
    check_table,
)
from kvraft.sstable import format as table_format
from kvraft.sstable import writer as tablewriter
from kvraft.sstable.format import MAGIC
from kvraft.sstable.writer import PropertiesCollector
from tests.helpers.storage import holds, in_order, whole_keys, write_table

quick = settings(deadline=None, derandomize=True, max_examples=100)

keys = st.binary(max_size=3) | st.sampled_from([b"\x00", b"\xff", b"\xff\xff", b"ab", b"a"])
versions = st.builds(
    Version, st.integers(0, (1 << 64) - 1), st.none() | st.just(b"") | st.binary(max_size=60)
)
runs = st.dictionaries(keys, versions, min_size=1, max_size=40)

SMALL = {b"": Version(9, b""), b"a": Version(1 << 63, None), b"ab": Version(3, b"three")}


def intact(data, digest):
    return DigestCheck(lambda at, length: data[at : at + length], len(data), digest).run_to_end()


def rows_of(versions):
    """A dict of versions as the rows that a table holds."""
    return [(key, *versions[key]) for key in sorted(versions)]


def write(disk, versions, number=1, owner="me", ranges=(), **form):
    return write_rows(disk, rows_of(versions), number, owner, ranges, **form)


def write_rows(disk, rows, number=1, owner="me", ranges=(), **form):
    writer = TableWriter(disk, number, owner, TableFormat(**form))
    for at in range(0, len(rows), 7):
        writer.add(rows[at : at + 7])
    return writer.finish(list(ranges)).run_to_end()


def scan(table, start=b"", stop=None):
    return [row for chunk in table.chunks(start, stop) for row in chunk]


def get(table, key):
    return table.get(key) if table.may_contain(key) else None


@given(runs, st.sampled_from([1, 40, 200, 4096]), keys, st.none() | keys)
@quick
def test_a_table_reads_like_the_rows_it_was_written_from(rows, block_bytes, start, stop):
    disk = SimDisk()
    info = write(disk, rows, block_bytes=block_bytes)
    table = Table.open(disk, info)
    assert scan(table) == rows_of(rows)
    within = [row for row in rows_of(rows) if start <= row[0] and (stop is None or row[0] < stop)]
    assert scan(table, start, stop) == within
    backward = list(table.chunks(start, stop, reverse=True))
    assert [row for chunk in reversed(backward) for row in chunk] == within
    for key in [*rows, start, *(key + b"\x00" for key in rows), *(key[:-1] for key in rows)]:
        assert get(table, key) == ((key, *rows[key]) if key in rows else None)
    check_table(table)
    stamps = [version.timestamp for version in rows.values()]
    assert (info.number, info.level, info.size) == (1, 0, disk.size("000001.sst"))
    assert (info.start, info.stop) == (min(rows), max(rows) + b"\0")
    assert (info.min_timestamp, info.max_timestamp) == (min(stamps), max(stamps))
    assert info.rows == info.keys == len(rows)
    assert table.plain == (not info.tombstones)
    assert info.tombstones == sum(version.value is None for version in rows.values())
    assert Table.open(disk, 1).metadata == info


def test_the_format_is_the_same_for_ever():
    """Byte for byte what the docstrings draw; every machine and version must write this."""
    body = Block.encode(rows_of(SMALL))
    head = struct.pack("<II4BIIQ", 3, 0, 1, 1, 8, 1, 0, 0, 0)
    columns = struct.pack("<3B3B3Q3B", 0, 1, 2, 0, 0, 5, 9, 1 << 63, 3, 0, 1, 0)
    assert body == head + columns + b"aab" + b"three"
    disk = SimDisk()
    write(disk, SMALL)
    data = disk.read("000001.sst")
    origin = zlib.crc32(b"me\x00000001.sst")
    block = body + struct.pack("<BI", 0, origin)
    assert data.startswith(block + struct.pack("<I", zlib.crc32(block, 0)))
    footer_at = len(data) - 64
    filter_at, ranges_at, properties_at, index_at, found = struct.unpack_from(
        "<5Q", data, footer_at
    )
    assert found == origin
    assert filter_at == len(block) + 4
    assert ranges_at == properties_at
    assert data[filter_at : ranges_at - 9] == BloomFilter.build(sorted(SMALL)).to_bytes()
    index = data[index_at : footer_at - 9]
    assert index == struct.pack("<I2I2Q", 1, 28, 30, 0, filter_at) + b"ab"
    trailer = data[footer_at - 4 : footer_at]
    assert trailer == struct.pack("<I", zlib.crc32(index + struct.pack("<BI", 0, origin), index_at))
    digest = mmh3.mmh3_x64_128_digest(data[:footer_at])[:8]
    assert data[footer_at + 40 :] == struct.pack(
        "<8sII8s", digest, 3, zlib.crc32(data[footer_at:-12]), MAGIC
    )
    assert (len(data), zlib.crc32(data)) == (502, 299321974)


def test_values_of_any_size():
    rows = {b"big": Version(1, b"\xab" * (16 << 20)), b"c": Version(2, b"kvSSTbl1" * 9)}
    disk = SimDisk()
    table = Table.open(disk, write(disk, rows))
    assert table.blocks == 2
    assert scan(table) == rows_of(rows)
    assert table.get(b"big") == (b"big", *rows[b"big"])


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def test_a_block_is_written_as_soon_as_it_is_full():
    disk = SimDisk()
    writer = TableWriter(disk, 1, "me", TableFormat(block_bytes=500))
    sizes = []
    for at in range(100):
        writer.add([(b"%03d" % at, at, bytes(100))])
        sizes.append(writer.size)
    writer.finish([]).run_to_end()
    steps = [after - before for before, after in pairwise([0, *sizes]) if after > before]
    assert len(steps) == Table.open(disk, 1).blocks == 20
    assert set(steps) == {steps[0]}


def test_no_rows_make_no_table():
    disk = SimDisk()
    assert write(disk, {}) is None
    assert disk.operations == 0


@pytest.mark.parametrize("second", [b"b", b"a", b""])
def test_keys_must_ascend(second):
    rows = [(b"b", 2, b""), (second, 1, b"")]
    for form in ({}, {"block_bytes": 1}):
        with pytest.raises(BadInput, match="must ascend"):
            write_rows(SimDisk(), rows, **form)


def test_a_file_number_cannot_be_used_twice():
    disk = SimDisk()
    write(disk, SMALL)
    before = disk.read("000001.sst")
    with pytest.raises(FileExistsError):
        write(disk, {b"other": Version(1, b"")})
    assert disk.read("000001.sst") == before


def test_a_power_cut_at_any_step_leaves_the_table_or_none():
    rows = {b"%02d" % at: Version(at, bytes(20)) for at in range(20)}
    disk = SimDisk()
    write(disk, rows, block_bytes=100)
    steps = disk.operations
    for step in range(1, steps + 2):
        for seed in range(8):
            disk, random = SimDisk(), Random(f"{step} {seed}")
            disk.fail_at(step, random)
            done = False
            try:
                write(disk, rows, block_bytes=100)
                done = True
            except PowerCut:
                pass
            disk.crash(random)
            try:
                table = Table.open(disk, 1)
                check_table(table)
                assert scan(table) == rows_of(rows)
            except Corruption:
                assert not done
            assert done == (step == steps + 1)


# ── damage ──────────────────────────────────────────────────────────────────────────────────────


def read_all(disk, rows):
    """Read a table by all ways there are; whatever comes must be right."""
    table = Table.open(disk, 1)
    assert scan(table) == rows_of(rows)
    for key in rows:
        assert table.get(key) == (key, *rows[key])
    check_table(table)


@pytest.mark.parametrize("block_bytes", [1, 4096])
def test_a_flip_of_any_byte_is_found(block_bytes):
    disk = SimDisk()
    write(disk, SMALL, block_bytes=block_bytes)
    for offset in range(disk.size("000001.sst")):
        for mask in (0x01, 0x80, 0xFF):
            disk.corrupt("000001.sst", offset, mask)
            with pytest.raises(Corruption) as found:
                read_all(disk, SMALL)
            assert found.value.file == "000001.sst"
            assert found.value.offset <= offset
            disk.corrupt("000001.sst", offset, mask)
    read_all(disk, SMALL)


def rewritten(data, number=1):
    disk = SimDisk()
    disk.create(table_name(number))
    disk.append(table_name(number), data)
    return disk


def test_a_cut_at_any_byte_is_found_and_so_is_anything_behind_the_end():
    disk = SimDisk()
    write(disk, SMALL, block_bytes=1)
    data = disk.read("000001.sst")
    for other in [*(data[:at] for at in range(len(data))), data + b"\0", data + data]:
        with pytest.raises(Corruption):
            read_all(rewritten(other), SMALL)


def test_a_block_in_the_place_of_another_is_found():
    disk = SimDisk()
    write(disk, {b"a": Version(1, b"1"), b"b": Version(2, b"2")}, block_bytes=1)
    data = disk.read("000001.sst")
    size = len(Block.encode([(b"a", 1, b"1")])) + 9
    first, second, rest = data[:size], data[size : 2 * size], data[2 * size :]
    assert Table.open(rewritten(first + second + rest), 1).get(b"b") == (b"b", 2, b"2")
    for swapped in (second + first + rest, first + first + rest):
        with pytest.raises(Corruption, match="checksum"):
            check_table(Table.open(rewritten(swapped), 1))


def test_opening_reads_no_data_and_a_damaged_block_spares_the_others():
    disk = SimDisk()
    write(disk, SMALL, block_bytes=1)
    disk.corrupt("000001.sst", 20)  # in the block of the first key
    table = Table.open(disk, 1)
    assert table.get(b"ab") == (b"ab", *SMALL[b"ab"])
    assert scan(table, b"a") == rows_of(SMALL)[1:]
    with pytest.raises(
        Corruption, match=r"000001\.sst, offset 0: a block does not match its checksum"
    ):
        table.get(b"")


def test_a_missing_table_is_damage():
    with pytest.raises(Corruption, match=r"000007\.sst, offset 0: the table is missing"):
        Table.open(SimDisk(), 7)


@pytest.mark.parametrize("value", [b"THREE", b"three"])
@pytest.mark.parametrize("owner", ["me", "you"])
def test_another_table_than_the_manifest_means_is_damage(owner, value):
    """One that differs in a byte of one value, and one that only another member wrote."""
    disk, other = SimDisk(), SimDisk()
    info = write(disk, SMALL)
    swapped = write(other, SMALL | {b"ab": Version(3, value)}, owner=owner)
    if (owner, value) == ("me", b"three"):
        assert swapped == info
        Table.open(other, info)
        return
    assert replace(swapped, digest=0, size=0) == replace(info, digest=0, size=0)
    with pytest.raises(Corruption, match="not the table that the manifest means"):
        Table.open(other, info)


def test_a_table_is_the_same_under_any_number():
    disk = SimDisk()
    info = write(disk, SMALL)
    moved = rewritten(disk.read("000001.sst"), 27)
    table = Table.open(moved, replace(info, number=27))
    check_table(table)
    assert scan(table) == rows_of(SMALL)
    assert Table.open(moved, 27).metadata == table.metadata
    with pytest.raises(Corruption, match="not what the manifest says of it"):
        Table.open(moved, replace(info, number=27, rows=4))


def test_a_block_of_another_table_in_its_place_is_found():
    """Each part is valid by itself and at the right offset; only the table as a whole is not."""
    disk, other = SimDisk(), SimDisk()
    info = write(disk, SMALL)
    write(other, SMALL | {b"ab": Version(3, b"THREE")})
    block = len(Block.encode(rows_of(SMALL))) + 9
    mixed = other.read("000001.sst")[:block] + disk.read("000001.sst")[block:]
    table = Table.open(rewritten(mixed), info)
    assert table.get(b"ab") == (b"ab", 3, b"THREE")
    for check in (lambda: check_table(table), table.verify_bytes):
        with pytest.raises(Corruption, match="the table does not match its digest"):
            check()


def test_a_block_that_another_table_has_at_the_same_offset_is_not_read_as_this_ones():
    disk, other = SimDisk(), SimDisk()
    info = write(disk, SMALL)
    block = len(Block.encode(rows_of(SMALL))) + 9
    says = r"000001\.sst, offset 0: a block of another table is in the place of this one's"
    for number, owner in ((2, "me"), (1, "you")):
        write(other, SMALL, number, owner)
        mixed = other.read(table_name(number))[:block] + disk.read("000001.sst")[block:]
        with pytest.raises(Corruption, match=says):
            Table.open(rewritten(mixed), info).get(b"ab")


def test_a_table_is_known_by_its_bytes_and_a_flip_or_a_cut_makes_it_another():
    disk = SimDisk()
    info = write(disk, SMALL)
    data = disk.read("000001.sst")
    assert intact(data, info.digest)
    assert not intact(data, info.digest ^ 1)
    for at in range(len(data)):
        assert not intact(data[:at], info.digest)
        assert not intact(data[at + 1 :], info.digest)
        for mask in (0x01, 0x80, 0xFF):
            flipped = data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]
            assert not intact(flipped, info.digest)
    assert not intact(data + b"\0", info.digest)


def test_foreign_tables_are_told_from_damaged_ones():
    disk = SimDisk()
    write(disk, SMALL)
    data = disk.read("000001.sst")
    footer = bytearray(data[-64:])
    footer[48] = 2
    footer[52:56] = struct.pack("<I", zlib.crc32(footer[:52]))
    with pytest.raises(ForeignFile, match=r"000001\.sst has format 2; .*dump it"):
        Table.open(rewritten(data[:-64] + footer), 1)
    codec = len(Block.encode(rows_of(SMALL)))
    block = data[:codec] + b"\x03" + data[codec + 1 : codec + 5]
    block += struct.pack("<I", zlib.crc32(block))
    with pytest.raises(ForeignFile, match="there is no codec number 3"):
        Table.open(rewritten(block + data[len(block) :]), 1).get(b"")


@given(st.binary(max_size=80), st.integers(0, 3))
@quick
def test_a_sound_checksum_over_nonsense_is_still_no_crash(data, count):
    """A parser that trusts its lengths would raise from deep inside, or allocate gigabytes."""
    for body in (data, struct.pack("<I", count) + data, b"\xff\xff\xff\xff" + data):
        for parse in (Block, table_format.decode_index):
            try:
                parsed = parse(body)
            except ValueError:
                continue
            if isinstance(parsed, Block):
                assert len(parsed.rows()) == len(parsed.keys)


def test_verify_finds_what_no_checksum_can(monkeypatch):
    """A writer's mistakes come with good checksums: plant one at a time."""
    rows = {b"%d" % at: Version(at, b"") for at in range(9)}

    def planted(target, name, wrong, says):
        disk = SimDisk()
        with monkeypatch.context() as patch:
            patch.setattr(target, name, wrong)
            write(disk, rows, block_bytes=70)
        with pytest.raises(Corruption, match=says):
            check_table(Table.open(disk, 1))

    add, encode, index = BloomFilterBuilder.add, Block.encode_columns, table_format.encode_index
    properties = PropertiesCollector.properties
    planted(BloomFilterBuilder, "add", lambda self, keys: add(self, keys[1:]), "not in the filter")
    backwards = staticmethod(lambda rows: encode(rows._make(column[::-1] for column in rows)))
    planted(Block, "encode_columns", backwards, "must ascend")
    planted(
        tablewriter,
        "encode_index",
        lambda keys, starts: index([keys[0] + b"!", *keys[1:]], starts),
        "does not end where the index says",
    )
    planted(
        tablewriter,
        "encode_index",
        lambda keys, starts: index(keys[:-1], starts[:-1]),
        "the index does not cover the data blocks",
    )
    planted(
        tablewriter,
        "encode_index",
        lambda keys, starts: index([*keys[:-1], b"!"], starts),
        "the index does not cover the data blocks",
    )
    planted(
        PropertiesCollector,
        "properties",
        lambda self, *args: properties(self, *args) | {"tombstones": 1},
        "the properties do not describe the rows",
    )


def test_versions_of_a_key_stay_together_and_each_is_read_at_its_time():
    rows = [(b"a", 1, b"1"), (b"k", 2, b"2"), (b"k", 5, None), (b"k", 9, b"9"), (b"z", 3, b"")]
    for block_bytes in (1, 30, 4096):
        disk = SimDisk()
        info = write_rows(disk, rows, block_bytes=block_bytes)
        table = Table.open(disk, info)
        check_table(table)
        assert scan(table) == rows
        assert [table.get(b"k", at) for at in (1, 2, 4, 5, 8, 9)] == [
            None, rows[1], rows[1], rows[2], rows[2], rows[3]
        ]  # fmt: skip
        assert (info.rows, info.keys, info.tombstones, table.plain) == (5, 3, 1, False)
        for chunk in table.chunks():
            assert {row[0] for row in chunk} & {b"k"} == set() or len(chunk) >= 3


places = st.tuples(keys, st.integers(0, 9))
deletes = st.tuples(keys, st.integers(0, 9), keys).filter(lambda r: not r[2] or r[0] < r[2])


def plain_blocks(rows, block_bytes):
    """The rule of a block, row by row: it ends with the key that makes it large enough."""
    blocks, size = [[]], 0
    for row, after in pairwise([*rows, (None, 0, None)]):
        blocks[-1].append(row)
        size += ROW_OVERHEAD + len(row[0]) + len(row[2] or b"")
        if size >= block_bytes and after[0] != row[0]:
            blocks.append([])
            size = 0
    return [block for block in blocks if block]


@given(
    st.dictionaries(places, st.none() | st.binary(max_size=30), min_size=1, max_size=40),
    st.sampled_from([1, 60, 61, 200, 4096]),
    st.lists(st.integers(1, 20)),
)
@example({(b"%d" % n, 1): bytes(30 * (n == 3)) for n in range(6)}, 48, [])  # 3 rows, then exactly 1
@quick
def test_rows_are_cut_into_blocks_as_columns_as_a_plain_loop_would(versions, block_bytes, calls):
    rows = in_order((*place, value) for place, value in versions.items())
    disk = SimDisk()
    writer, left = TableWriter(disk, 1, "me", TableFormat(block_bytes)), whole_keys(rows, 1)
    for many in [*calls, len(left)]:
        part, left = left[:many], left[many:]
        if part:
            writer.add([row for versions in part for row in versions])
    info = writer.finish([]).run_to_end()
    table = Table.open(disk, info)
    blocks = [table.load_block(at).rows() for at in range(table.blocks)]
    assert blocks == plain_blocks(rows, block_bytes)
    data = disk.read(table.name)
    for at, block in enumerate(blocks):
        offset, size = table.extent(at)
        assert data[offset : offset + size - 9] == Block.encode(block)
    stamps, sizes = [row[1] for row in rows], [len(row[0]) + len(row[2] or b"") for row in rows]
    assert (info.rows, info.keys) == (len(rows), len({row[0] for row in rows}))
    assert info.tombstones == sum(row[2] is None for row in rows)
    assert (info.min_timestamp, info.max_timestamp) == (min(stamps), max(stamps))
    assert table.properties["raw_bytes"] == sum(sizes)


@given(
    st.dictionaries(places, st.none() | st.binary(max_size=30), max_size=30),
    st.lists(deletes, max_size=3),
    st.sampled_from([1, 80, 4096]),
    st.sampled_from([0, 1, 10]),
)
@quick
def test_any_versions_and_range_deletes_are_read_back_at_any_time(
    versions, ranges, block_bytes, bits_per_key
):
    rows = in_order((*place, value) for place, value in versions.items())
    disk, cache = SimDisk(), BlockCache(1 << 20)
    form = {"block_bytes": block_bytes, "bits_per_key": bits_per_key}
    info = write_table(disk, 1, rows, ranges, **form)
    if info is None:
        assert not rows
        assert not ranges
        return
    table = Table.open(disk, info, cache)
    check_table(table)
    assert [row for chunk in table.load_chunks() for row in chunk] == scan(table) == rows
    assert (table.bloom is None) == (not rows or bits_per_key == 0)
    parts = [{row[0] for row in block.rows()} for block in table.blocks_from()]
    assert sum(map(len, parts)) == len({row[0] for row in rows}) == info.keys  # none in two blocks
    for key in [*KEYS, *(row[0] for row in rows)]:
        for at in (0, 4, 9):
            there = [row for row in rows if row[0] == key and row[1] <= at]
            assert table.get(key, at) == (there[-1] if there else None)
            deleted = [t for a, t, b in ranges if holds(a, b, key) and t <= at]
            found = -1 if table.range_tombstones is None else table.range_tombstones.newest(key, at)
            assert found == max(deleted, default=-1)
        covered = any(row[0] == key for row in rows)
        covered = covered or any(holds(a, b, key) for a, _, b in ranges)
        assert info.covers(key) or not covered
    stamps = [row[1] for row in (*rows, *ranges)]
    assert (info.min_timestamp, info.max_timestamp) == (min(stamps), max(stamps))
    assert table.plain == (not ranges and len(versions) == info.keys and not info.tombstones)


KEYS = [b"", b"\x00", b"a", b"ab", b"zz", b"\xff", b"\xff\xff\xff"]


def test_blocks_come_from_the_cache_the_second_time_but_compaction_goes_past_it():
    disk, cache = SimDisk(), BlockCache(1 << 20)
    rows = {b"%03d" % at: Version(at, bytes(20)) for at in range(50)}
    table = Table.open(disk, write(disk, rows, block_bytes=100), cache)
    assert [row for chunk in table.load_chunks() for row in chunk] == rows_of(rows)
    assert table.blocks == table.counts.blocks_read > 5
    assert table.counts.bytes_read == sum(table.extent(table.blocks - 1))
    assert (len(cache), cache.hits, cache.misses) == (0, 0, 0)
    for _ in range(3):
        assert scan(table) == rows_of(rows)
    assert table.counts.blocks_read == 2 * table.blocks
    assert (cache.hits, cache.misses) == (2 * table.blocks, table.blocks)
    assert table.counts.bytes_read == 2 * sum(table.extent(table.blocks - 1))
    assert scan(table.at_level(3)) == rows_of(rows)  # the same file, the same blocks
    assert table.counts.blocks_read == 2 * table.blocks


def test_versions_of_one_key_must_ascend_too():
    for second in (1, 2):
        with pytest.raises(BadInput, match="must ascend"):
            write_rows(SimDisk(), [(b"k", 2, b""), (b"k", second, b"")])


@pytest.mark.parametrize("versions", [{}, SMALL])
@pytest.mark.parametrize("stop", [b"q", b""])
def test_range_deletes_are_part_of_a_table_and_of_its_span(versions, stop):
    disk = SimDisk()
    ranges = [(b"b", 4, b"d"), (b"b", 7, b"d"), (b"d", 4, stop)]
    info = write(disk, versions, ranges=ranges)
    table = Table.open(disk, info)
    check_table(table)
    assert table.range_tombstones.rows() == ranges
    assert (info.start, info.stop) == (min([b"b", *versions]), stop)
    assert (info.ranges, info.rows, table.blocks) == (3, len(versions), len(versions) and 1)
    assert info.min_timestamp == min([4, *(version.timestamp for version in versions.values())])
    assert table.range_tombstones.newest(b"c") == 7
    assert info.covers(b"bb")
    assert info.covers(b"zz") == (stop == b"")
    for offset in range(disk.size("000001.sst")):
        disk.corrupt("000001.sst", offset)
        with pytest.raises(Corruption):
            check_table(Table.open(disk, 1))
        disk.corrupt("000001.sst", offset)


@pytest.mark.parametrize(("codec", "library"), [("zstd", "zstandard"), ("lz4", "lz4.block")])
def test_a_codec_makes_a_table_smaller_and_changes_nothing_else(codec, library):
    pytest.importorskip(library)
    rows = {b"%04d" % at: Version(at, b"value " * 9) for at in range(200)}
    plain, packed = SimDisk(), SimDisk()
    write(plain, rows)
    info = write(packed, rows, codec=codec)
    assert info.size < plain.size("000001.sst") / 2
    table = Table.open(packed, info)
    check_table(table)
    assert scan(table) == rows_of(rows)
    for offset in range(0, info.size, 7):
        packed.corrupt("000001.sst", offset)
        with pytest.raises(Corruption):
            check_table(Table.open(packed, 1))
        packed.corrupt("000001.sst", offset)
    assert table.properties["codec"] == codec
    noise = {b"%d" % at: Version(at, Random(at).randbytes(50)) for at in range(9)}
    assert write(packed, noise, 2, codec=codec).size <= write(plain, noise, 2).size + 5


def test_a_table_without_a_filter_is_asked_every_time():
    disk = SimDisk()
    info = write(disk, SMALL, bits_per_key=0)
    table = Table.open(disk, info)
    assert table.bloom is None
    check_table(table)
    assert get(table, b"a") == (b"a", *SMALL[b"a"])
    assert get(table, b"aa") is None
    assert (table.counts.tables_probed, table.counts.filter_false_positives) == (2, 1)


def test_what_reading_costs_is_counted_and_the_cache_spares_it():
    rows = {b"%03d" % at: Version(at, bytes(50)) for at in range(100)}
    disk = SimDisk()
    info = write(disk, rows, block_bytes=300)
    cache = BlockCache(1 << 20)
    table = Table.open(disk, info, cache)
    for _ in range(2):
        assert table.get(b"050") == (b"050", *rows[b"050"])
    assert table.get(b"nowhere") is None
    counts = table.counts
    assert (counts.tables_probed, counts.filter_negatives, counts.blocks_read) == (3, 1, 1)
    assert (cache.hits, cache.misses) == (1, 1)
    assert sum(map(len, table.load_chunks())) == len(rows)
    assert (counts.blocks_read, len(cache)) == (1 + table.blocks, 1)


@pytest.mark.parametrize("value_bytes", [0, 100, 3000, 20_000])
def test_a_merge_reads_one_block_at_first_and_then_more_but_a_bounded_number(value_bytes):
    count = 250 if value_bytes > 10_000 else 900
    disk, rows = SimDisk(), [(b"%04d" % n, n, bytes(value_bytes)) for n in range(count)]
    table = Table.open(disk, write_rows(disk, rows, block_bytes=500))
    run, read, chunks = table.load_chunks(), [0], []
    for chunk in run:
        chunks += chunk
        read.append(table.counts.blocks_read)
        assert chunks + [row for part in deepcopy(run) for row in part] == rows
    assert chunks == rows
    assert read[:9] == [*range(9)]
    assert read[-1] == table.blocks
    for before, end in pairwise(read):
        begin, (last, size) = table.extent(before)[0], table.extent(end - 1)
        assert end - before == 1 or last + size - begin <= 16 * 1024
        assert end - before <= max(1, before // 8)
    assert value_bytes > 1000 or max(end - before for before, end in pairwise(read)) > 1


def test_names_and_numbers():
    assert table_name(7) == "000007.sst"
    assert table_number("000007.sst") == 7
    assert table_number(table_name(12_345_678)) == 12_345_678
    for name in (
        "7.sst",
        "0000007.sst",
        "000007.sst.tmp",
        "notes.sst",
        "\u0660\u0660\u0660\u0660\u0660\u0667.sst",
        ".DS_Store",
    ):
        assert table_number(name) is None
