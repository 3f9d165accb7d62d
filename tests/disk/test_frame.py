"""Frames: any change to their bytes is detected, and a torn end is distinguished from damage."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.disk import frame
from kvraft.errors import Corruption

SEED = frame.checksum_seed("n1", "some.wal")
PAYLOADS = [b"first", b"", b"\x00" * 40, frame.FRAME_MAGIC * 3, b"the last one"]


def build(payloads: list[bytes], *, seed: int = SEED) -> tuple[bytes, list[int]]:
    """Return a file whose every frame was synced before the next, and where each frame begins."""
    data, starts = b"", []
    for kind, payload in enumerate(payloads):
        starts.append(len(data))
        at = len(data)
        data += frame.encode(kind, payload, synced=at, seed=seed, offset=at)
    return data, starts


def scan(data: bytes, *, sealed: bool = False) -> frame.FrameScan:
    return frame.scan(data, name="some.wal", seed=SEED, sealed=sealed)


def payloads(found: frame.FrameScan) -> list[bytes]:
    return [each.payload for each in found.frames]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(contents: list[bytes], seed: int) -> None:
    data, starts = build(contents, seed=seed)
    found = frame.scan(data, name="f", seed=seed)
    assert [(each.kind, each.payload, each.offset, each.synced) for each in found.frames] == [
        (kind, payload, start, start)
        for kind, (payload, start) in enumerate(zip(contents, starts, strict=True))
    ]
    assert (found.end, found.torn) == (len(data), "")


def test_a_file_cut_at_any_byte_is_torn_and_keeps_the_exact_prefix() -> None:
    data, starts = build(PAYLOADS)
    ends = [*starts[1:], len(data)]
    for cut in range(len(data)):
        found = scan(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert payloads(found) == PAYLOADS[:whole]
        assert found.end == ([0, *ends])[whole]
        assert bool(found.torn) == (found.end < cut)
        if found.torn:
            with pytest.raises(Corruption) as caught:
                scan(data[:cut], sealed=True)
            assert (caught.value.file, caught.value.offset) == ("some.wal", found.end)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flip_is_damage_but_in_the_last_frame_where_it_looks_torn(mask: int) -> None:
    data, starts = build(PAYLOADS)
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= mask
        owner = max(start for start in starts if start <= at)
        if owner == starts[-1]:
            found = scan(bytes(bad))
            assert payloads(found) == PAYLOADS[:-1]
            assert found.end == owner
            assert found.torn
        else:
            with pytest.raises(Corruption) as caught:
                scan(bytes(bad))
            assert (caught.value.file, caught.value.offset) == ("some.wal", owner)


def test_an_empty_frame_behind_it_shields_the_last_one() -> None:
    data, starts = build([*PAYLOADS, b""])
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 0xFF
        if at < starts[-1]:
            with pytest.raises(Corruption):
                scan(bytes(bad))
        else:
            assert payloads(scan(bytes(bad))) == PAYLOADS
        with pytest.raises(Corruption):
            scan(bytes(bad), sealed=True)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(0, len(PAYLOADS) - 2))
def test_a_damaged_length_never_shortens_the_file(length: int, which: int) -> None:
    data, starts = build(PAYLOADS)
    bad = bytearray(data)
    bad[starts[which] + 8 : starts[which] + 12] = length.to_bytes(4, "little")
    if bytes(bad) == data:
        return
    with pytest.raises(Corruption) as caught:
        scan(bytes(bad))
    assert caught.value.offset == starts[which]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_writes_of_one_sync_may_reach_the_disk_in_any_order(lost: int) -> None:
    """Three frames on their way together, one lost: those before it stay, and none is damage."""
    before, _ = build([b"synced"])
    synced, at = len(before), [len(before)]
    parts = []
    for payload in (b"a", b"bb", b"ccc"):
        parts.append(frame.encode(1, payload, synced=synced, seed=SEED, offset=at[-1]))
        at.append(at[-1] + len(parts[-1]))
    parts[lost] = bytes(len(parts[lost]))
    torn = before + b"".join(parts)
    assert payloads(scan(torn)) == [b"synced", b"a", b"bb"][: lost + 1]
    later = frame.encode(1, b"d", synced=len(torn), seed=SEED, offset=len(torn))
    with pytest.raises(Corruption):  # but not once all of it was acknowledged
        scan(torn + later)


@pytest.mark.parametrize("tail", [bytes(1), bytes(500), random.Random(5).randbytes(500)])
def test_zeros_and_garbage_behind_the_end_are_torn(tail: bytes) -> None:
    data, _ = build(PAYLOADS)
    found = scan(data + tail)
    assert payloads(found) == PAYLOADS
    assert found.end == len(data)
    assert found.torn


def test_a_frame_of_another_file_is_never_taken_for_one_of_this_file() -> None:
    data, _ = build(PAYLOADS)
    for names in [("n2", "some.wal"), ("n1", "other.wal"), ("n1some.wal",)]:
        seed, at = frame.checksum_seed(*names), len(data)
        foreign = frame.encode(1, b"stale", synced=at, seed=seed, offset=at)
        assert payloads(scan(data + foreign)) == PAYLOADS
        assert scan(data + foreign).torn
        assert scan(foreign).frames == []


def test_this_very_file_inside_a_payload_is_bytes_like_any_other() -> None:
    """Not read as frames where all is well, and no proof of a sync where the write is torn."""
    later = frame.encode(9, b"later", synced=10**6, seed=SEED, offset=2 * 10**6)
    inner = build(PAYLOADS)[0] + later
    data, starts = build([*PAYLOADS, inner + inner])
    assert payloads(scan(data)) == [*PAYLOADS, inner + inner]
    for at in range(starts[-1], len(data)):
        bad = bytearray(data)
        bad[at] ^= 0xFF
        assert payloads(scan(bytes(bad))) == PAYLOADS
        assert payloads(scan(data[:at])) == PAYLOADS


def test_a_head_that_claims_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = frame.encode(1, b"x", synced=1, seed=SEED, offset=0)  # nothing below 0 is synced
    assert isinstance(frame.decode(ahead, 0, seed=SEED), str)
    valid = frame.encode(1, b"x" * 9, synced=0, seed=SEED, offset=0)
    monkeypatch.setattr(frame, "MAX_PAYLOAD_BYTES", 8)
    assert isinstance(frame.decode(valid, 0, seed=SEED), str)
    with pytest.raises(ValueError, match="9 bytes"):
        frame.encode(1, b"x" * 9, synced=0, seed=SEED, offset=0)


def test_a_frame_counts_only_in_the_place_that_it_was_written_for() -> None:
    """A misdirected write of this very file, or the rest of an earlier one, is no frame."""
    data, starts = build(PAYLOADS)
    for start, end in pairwise([*starts, len(data)]):
        for at in (
            *starts,
            len(data),
            start + 1,
            start + 256,
            start + (1 << 16),
            start + (1 << 31),
        ):
            found = frame.decode(data[start:end], at, seed=SEED, base=at)
            assert isinstance(found, frame.Frame) == (at == start)
    assert payloads(scan(data + data)) == PAYLOADS
    swapped = data[: starts[1]] + data[starts[2] : starts[3]] + data[starts[1] : starts[2]]
    assert payloads(scan(swapped)) == PAYLOADS[:1]


def test_a_part_of_a_file_is_read_as_the_whole_is() -> None:
    data, starts = build(PAYLOADS)
    for start in starts:
        for base in (0, start // 2, start):
            found = frame.decode(data[base:], start, seed=SEED, base=base)
            assert found == frame.decode(data, start, seed=SEED)


def test_magics_in_a_torn_value_cost_no_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value may claim a frame at each of its bytes; the search must not read it as often."""
    data, starts = build([*PAYLOADS, frame.FRAME_MAGIC * 1000])
    checked: list[int] = []
    decode = frame.decode
    monkeypatch.setattr(
        frame, "decode", lambda *args, **names: checked.append(args[1]) or decode(*args, **names)
    )
    assert payloads(scan(data[:-1])) == PAYLOADS
    assert len(checked) <= len(starts) + 1, "each magic was read as a frame"


def test_the_layout_is_the_documented_one() -> None:
    data = frame.encode(7, b"payload", synced=3, seed=SEED, offset=300)
    head = b"kvF2" + (7).to_bytes(4, "little") + (7).to_bytes(4, "little") + b"\x03" + bytes(7)
    crc = zlib.crc32(head + b"payload", SEED ^ 300).to_bytes(4, "little")
    assert data == head + b"payload" + crc
    assert len(data) == frame.FRAME_OVERHEAD + 7
