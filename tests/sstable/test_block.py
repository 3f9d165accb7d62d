"""Blocks: rows go in and come out, by every way of asking; no byte of them can change unseen."""

import random
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import Corruption, ForeignFile
from kvraft.record import MAX_TIMESTAMP
from kvraft.sstable import BLOCK_TRAILER_BYTES, Block, codec, unpack_block
from kvraft.sstable.block import pack_block

quick = settings(deadline=None, derandomize=True, max_examples=200)

keys = st.binary(max_size=3) | st.sampled_from([b"", b"\0", b"a", b"a\0", b"ab", b"\xff\xff"])
stamps = st.integers(0, 4) | st.integers(0, MAX_TIMESTAMP)
values = st.none() | st.just(b"") | st.binary(max_size=30)
blocks = st.dictionaries(st.tuples(keys, stamps), values, min_size=1, max_size=25).map(
    lambda versions: [(*place, versions[place]) for place in sorted(versions)]
)

SMALL = [(b"", 9, b""), (b"a", 3, None), (b"a", 1 << 63, b"three")]
BODY = Block.encode(SMALL)


@given(blocks, keys, st.none() | keys)
@quick
def test_rows_come_out_as_they_went_in(rows, start, stop):
    block = Block(Block.encode(rows))
    assert block.rows() == rows
    assert len(block) == len(rows)
    assert block.keys == [row[0] for row in rows]
    within = [row for row in rows if start <= row[0] and (stop is None or row[0] < stop)]
    assert block.rows(start, stop) == within
    plain = [(key, stamp, value or b"") for key, stamp, value in rows]
    pairs = Block(Block.encode(plain)).pairs(start, stop)
    assert pairs == [(row[0], row[2] or b"") for row in within]


@given(blocks, keys, st.integers(0, 5))
@quick
def test_a_key_is_found_at_any_time_packed_and_extracted(rows, absent, at):
    packed, extracted = Block(Block.encode(rows)), Block(Block.encode(rows))
    extracted.extract()
    for key in [*(row[0] for row in rows), absent, absent + b"\0", absent[:-1]]:
        for time in (MAX_TIMESTAMP, at):
            mine = [row for row in rows if row[0] == key and row[1] <= time]
            for block in (packed, extracted):
                assert block.get(key, time) == (mine[-1] if mine else None)


@given(blocks, keys, st.none() | keys)
@quick
def test_a_block_answers_alike_packed_and_extracted(rows, start, stop):
    block = Block(Block.encode(rows))
    for extracted in (False, True, True):
        assert block.extracted == extracted
        assert block.rows() == rows
        assert dict(block.newest()) == {key: value for key, _, value in rows}
        before = block.keys, block.rows(start, stop)
        block.extract()
        assert (block.keys, block.rows(start, stop)) == before


longer = st.builds(
    lambda stem, ends: sorted({stem + end for end in ends}),
    st.binary(max_size=40),
    st.lists(st.binary(max_size=300), min_size=1, max_size=20),
)


@given(
    longer,
    st.integers(0, MAX_TIMESTAMP),
    st.lists(st.integers(0, 1 << 40), min_size=20, max_size=20),
    st.sampled_from([0, 1, 255, 256, 70_000]),
)
@quick
def test_keys_times_and_values_of_every_size_come_back(keys, low, stamps, size):
    rows = [
        (key, min(low + stamp, MAX_TIMESTAMP), bytes(size if at % 3 else 1))
        for at, (key, stamp) in enumerate(zip(keys, stamps, strict=False))
    ]
    block = Block(Block.encode(rows))
    assert block.rows() == rows
    block.extract()
    assert block.rows() == rows


def test_memory_is_what_python_takes_for_it():
    """Counted by the interpreter: a cache that counts less would outgrow its limit."""
    for size in (10, 100, 3000):
        rows = [(b"user/%06d" % at, 1 << 40 | at, random.randbytes(size)) for at in range(60)]
        for warm in (Block.__len__, Block.extract):
            body, count = Block.encode(rows), 50
            kept = [None] * count
            tracemalloc.start()
            for at in range(count):
                kept[at] = Block(bytes(bytearray(body)))
                warm(kept[at])
            taken = tracemalloc.get_traced_memory()[0] / count
            tracemalloc.stop()
            # The interpreter does not count that each object is rounded up to 16 bytes.
            assert taken * 0.97 < kept[0].memory < taken * 1.03 + 16 * len(rows)


def test_the_format_is_the_same_for_ever():
    """Byte for byte what the docstring draws; every machine and version must write this."""
    head = struct.pack("<II4BIIQ", 3, 0, 1, 1, 8, 1, 0, 0, 0)
    columns = struct.pack("<3B3B3Q3B", 0, 1, 1, 0, 0, 5, 9, 3, 1 << 63, 0, 1, 0)
    assert head + columns + b"aa" + b"three" == BODY
    rows = [(b"name/%d" % at, 1 << 40 | at, b"%03d" % at) for at in (1, 2, 300)]
    head = struct.pack("<II4BIIQ", 3, 5, 1, 0, 2, 0, 0, 3, 1 << 40 | 1)
    columns = b"name/" + struct.pack("<3B3H", 1, 1, 3, 0, 1, 299)
    assert head + columns + b"12300" + b"001002300" == Block.encode(rows)
    block = BODY + struct.pack("<BI", 0, 0xABCD)
    assert pack_block(BODY, 7, 0xABCD) == block + struct.pack("<I", zlib.crc32(block, 7))
    assert pack_block(b"", 0, 0) == bytes(5) + struct.pack("<I", zlib.crc32(bytes(5)))


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
@quick
def test_what_is_sealed_is_unsealed_at_its_place_and_nowhere_else(body, offset):
    block = pack_block(body, offset, 77)
    assert len(block) == len(body) + BLOCK_TRAILER_BYTES
    for origin in (77, None):
        assert unpack_block(block, len(block), offset, origin, "t") == body
        with pytest.raises(Corruption, match=f"t, offset {offset + 1}: a block does not match"):
            unpack_block(block, len(block), offset + 1, origin, "t")
    with pytest.raises(Corruption, match=f"t, offset {offset}: a block of another table"):
        unpack_block(block, len(block), offset, 78, "t")


@pytest.mark.parametrize("name", codec.NUMBERS)
def test_a_flip_or_a_cut_of_any_byte_is_found(name):
    if name != "none":
        pytest.importorskip({"zstd": "zstandard", "lz4": "lz4.block"}[name])
    block = pack_block(BODY * 3, 99, 7, codec.codec_number(name))
    for at in range(len(block)):
        for mask in (0x01, 0x80, 0xFF):
            flipped = block[:at] + bytes((block[at] ^ mask,)) + block[at + 1 :]
            with pytest.raises(
                Corruption, match="t, offset 99: a block does not match its checksum"
            ):
                unpack_block(flipped, len(block), 99, 7, "t")
        with pytest.raises(Corruption, match="t, offset 99: a block is cut short"):
            unpack_block(block[:at], len(block), 99, 7, "t")  # the file ends early
        with pytest.raises(Corruption):
            unpack_block(block[:at], at, 99, 7, "t")  # an index that ends it early
    with pytest.raises(Corruption, match="does not match"):
        unpack_block(block + b"\0", len(block) + 1, 99, 7, "t")


def sealed_as(body, number):
    block = body + struct.pack("<BI", number, 7)
    return block + struct.pack("<I", zlib.crc32(block))


def test_a_sound_checksum_over_what_cannot_be_unpacked():
    for number in (3, 255):
        block = sealed_as(BODY, number)
        says = f"t, offset 0: a block needs a codec: there is no codec number {number}"
        with pytest.raises(ForeignFile, match=says):
            unpack_block(block, len(block), 0, 7, "t")
    for number, library in ((1, "zstandard"), (2, "lz4.block")):
        pytest.importorskip(library)
        block = sealed_as(b"nonsense, whatever the codec", number)
        with pytest.raises(Corruption, match="t, offset 0: a block cannot be unpacked"):
            unpack_block(block, len(block), 0, 7, "t")


@given(st.binary(max_size=80), st.integers(0, 3), st.binary(max_size=3))
@quick
def test_nonsense_is_a_block_that_adds_up_or_a_value_error(data, count, key):
    """A parser that trusts its lengths would raise from deep inside, or allocate gigabytes."""
    for body in (data, struct.pack("<II", count, 0) + data, b"\xff\xff\xff\xff" + data):
        try:
            block = Block(body)
        except ValueError:
            continue
        assert len(block.rows()) == len(block.keys) == len(block)
        assert block.get(key) is None or block.get(key)[0] == key


@given(st.integers(0, len(BODY) - 1), st.integers(0, 255), st.binary(max_size=2))
@quick
def test_a_wrong_byte_behind_a_sound_checksum_is_no_crash(at, byte, key):
    try:
        block = Block(BODY[:at] + bytes((byte,)) + BODY[at + 1 :])
    except ValueError:
        return
    assert len(block.rows()) == len(SMALL)
    assert block.get(key) is None or block.get(key)[0] == key


def test_columns_that_do_not_meet_are_refused():
    lengths, end = 28, 34
    for at in range(lengths, end):
        for change in (1, 255):
            wrong = bytes(((BODY[at] + change) & 255,))
            with pytest.raises(ValueError, match="do not meet"):
                Block(BODY[:at] + wrong + BODY[at + 1 :])
    for wrong in (BODY + b"\0", BODY[:-1]):
        with pytest.raises(ValueError, match="do not meet"):
            Block(wrong)
    head = struct.Struct("<II4BIIQ")
    fields = list(head.unpack_from(BODY))
    for wrong in (b"", BODY[:27], BODY[:40], head.pack(0, *fields[1:]) + BODY[28:]):
        with pytest.raises(ValueError, match="too short for its rows"):
            Block(wrong)
    for column, width in ((2, 3), (2, 8), (3, 8), (4, 5), (5, 2)):
        wrong = head.pack(*fields[:column], width, *fields[column + 1 :]) + BODY[28:] + bytes(99)
        with pytest.raises(ValueError, match="of an unknown width"):
            Block(wrong)
    many = head.pack(0xFFFFFFFF, 0, 0, 0, 0, 0, 0, 0, 0)  # rows without a byte, however many
    with pytest.raises(ValueError, match="too short for its rows"):
        Block(many)
