"""Blocks: rows go in and come out, by every way of asking; no byte of them can change unseen."""

import struct
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
def test_a_key_is_found_at_any_time_at_the_first_question_and_at_later_ones(rows, absent, at):
    """The first question searches the bytes, later ones a list of keys."""
    for key in [*(row[0] for row in rows), absent, absent + b"\0"]:
        for time in (MAX_TIMESTAMP, at):
            mine = [row for row in rows if row[0] == key and row[1] <= time]
            block = Block(Block.encode(rows))
            assert block.get(key, time) == (mine[-1] if mine else None)
            assert block.get(key, time) == (mine[-1] if mine else None)


def test_the_format_is_the_same_for_ever():
    """Byte for byte what the docstring draws; every machine and version must write this."""
    head = struct.pack("<I4I4I3Q3B", 3, 63, 63, 64, 65, 65, 65, 65, 70, 9, 3, 1 << 63, 1, 2, 1)
    assert head + b"aa" + b"three" == BODY
    block = BODY + b"\0"
    assert pack_block(BODY, 7) == block + struct.pack("<I", zlib.crc32(block, 7))
    assert pack_block(b"", 0) == b"\0" + struct.pack("<I", zlib.crc32(b"\0"))


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
@quick
def test_what_is_sealed_is_unsealed_at_its_place_and_nowhere_else(body, offset):
    block = pack_block(body, offset)
    assert len(block) == len(body) + BLOCK_TRAILER_BYTES
    assert unpack_block(block, len(block), offset, "t") == body
    with pytest.raises(Corruption, match=f"t, offset {offset + 1}: a block does not match"):
        unpack_block(block, len(block), offset + 1, "t")


@pytest.mark.parametrize("name", codec.NUMBERS)
def test_a_flip_or_a_cut_of_any_byte_is_found(name):
    if name != "none":
        pytest.importorskip({"zstd": "zstandard", "lz4": "lz4.block"}[name])
    block = pack_block(BODY * 3, 99, codec.codec_number(name))
    for at in range(len(block)):
        for mask in (0x01, 0x80, 0xFF):
            flipped = block[:at] + bytes((block[at] ^ mask,)) + block[at + 1 :]
            with pytest.raises(
                Corruption, match="t, offset 99: a block does not match its checksum"
            ):
                unpack_block(flipped, len(block), 99, "t")
        with pytest.raises(Corruption, match="t, offset 99: a block is cut short"):
            unpack_block(block[:at], len(block), 99, "t")  # the file ends early
        with pytest.raises(Corruption):
            unpack_block(block[:at], at, 99, "t")  # an index that ends it early
    with pytest.raises(Corruption, match="does not match"):
        unpack_block(block + b"\0", len(block) + 1, 99, "t")


def sealed_as(body, number):
    block = body + bytes((number,))
    return block + struct.pack("<I", zlib.crc32(block))


def test_a_sound_checksum_over_what_cannot_be_unpacked():
    for number in (3, 255):
        block = sealed_as(BODY, number)
        says = f"t, offset 0: a block needs a codec: there is no codec number {number}"
        with pytest.raises(ForeignFile, match=says):
            unpack_block(block, len(block), 0, "t")
    for number, library in ((1, "zstandard"), (2, "lz4.block")):
        pytest.importorskip(library)
        block = sealed_as(b"nonsense, whatever the codec", number)
        with pytest.raises(Corruption, match="t, offset 0: a block cannot be unpacked"):
            unpack_block(block, len(block), 0, "t")


@given(st.binary(max_size=80), st.integers(0, 3), st.binary(max_size=3))
@quick
def test_nonsense_is_a_block_that_adds_up_or_a_value_error(data, count, key):
    """A parser that trusts its lengths would raise from deep inside, or allocate gigabytes."""
    for body in (data, struct.pack("<I", count) + data, b"\xff\xff\xff\xff" + data):
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
    first_key, keys_end, first_value, end = 4, 4 + 3 * 4, 4 + 4 * 4, 4 + 7 * 4
    for at in (first_key, keys_end, first_value, end):
        for change in (1, 0xFFFFFFFF):
            (offset,) = struct.unpack_from("<I", BODY, at)
            wrong = struct.pack("<I", (offset + change) & 0xFFFFFFFF)
            with pytest.raises(ValueError, match="do not meet"):
                Block(BODY[:at] + wrong + BODY[at + 4 :])
    for wrong in (BODY + b"\0", BODY[:-1]):
        with pytest.raises(ValueError, match="do not meet"):
            Block(wrong)
    for wrong in (b"", BODY[:3], BODY[:40], struct.pack("<III", 0, 12, 12)):
        with pytest.raises(ValueError, match="too short for its rows"):
            Block(wrong)
