"""Frames: any change to their bytes is detected, and a torn end is distinguished from damage."""

from __future__ import annotations

import random
import zlib

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
        data += frame.encode(kind, payload, synced=len(data), seed=seed)
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
    parts = [frame.encode(1, p, synced=len(before), seed=SEED) for p in (b"a", b"bb", b"ccc")]
    parts[lost] = bytes(len(parts[lost]))
    torn = before + b"".join(parts)
    assert payloads(scan(torn)) == [b"synced", b"a", b"bb"][: lost + 1]
    later = frame.encode(1, b"d", synced=len(torn), seed=SEED)
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
        foreign = frame.encode(1, b"stale", synced=len(data), seed=frame.checksum_seed(*names))
        assert payloads(scan(data + foreign)) == PAYLOADS
        assert scan(data + foreign).torn
        assert scan(foreign).frames == []


def test_this_very_file_inside_a_payload_is_bytes_like_any_other() -> None:
    """Not read as frames where all is well, and no proof of a sync where the write is torn."""
    inner, _ = build(PAYLOADS)
    data, starts = build([*PAYLOADS, inner + inner])
    assert payloads(scan(data)) == [*PAYLOADS, inner + inner]
    for at in range(starts[-1], len(data)):
        bad = bytearray(data)
        bad[at] ^= 0xFF
        assert payloads(scan(bytes(bad))) == PAYLOADS
        assert payloads(scan(data[:at])) == PAYLOADS


def test_a_head_that_claims_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = frame.encode(1, b"x", synced=1, seed=SEED)  # nothing before offset 0 can be synced
    assert isinstance(frame.decode(ahead, 0, seed=SEED), str)
    valid = frame.encode(1, b"x" * 9, synced=0, seed=SEED)
    monkeypatch.setattr(frame, "MAX_PAYLOAD_BYTES", 8)
    assert isinstance(frame.decode(valid, 0, seed=SEED), str)
    with pytest.raises(ValueError, match="9 bytes"):
        frame.encode(1, b"x" * 9, synced=0, seed=SEED)


def test_a_known_frame_gives_its_payload_and_any_other_bytes_none() -> None:
    data = frame.encode(7, b"payload", synced=3, seed=SEED)
    assert frame.payload_of(data, 7, synced=3, seed=SEED) == b"payload"
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x10
        assert frame.payload_of(bytes(bad), 7, synced=3, seed=SEED) is None
        assert frame.payload_of(data[:at], 7, synced=3, seed=SEED) is None
    assert frame.payload_of(data + b"x", 7, synced=3, seed=SEED) is None
    for kind, synced, seed in ((6, 3, SEED), (7, 4, SEED), (7, 3, SEED + 1)):
        assert frame.payload_of(data, kind, synced=synced, seed=seed) is None


def test_the_layout_is_the_documented_one() -> None:
    data = frame.encode(7, b"payload", synced=3, seed=SEED)
    head = b"kvF1" + (7).to_bytes(4, "little") + (7).to_bytes(4, "little") + b"\x03" + bytes(7)
    crc = [zlib.crc32(part, SEED).to_bytes(4, "little") for part in (head, b"payload")]
    assert data == head + crc[0] + b"payload" + crc[1]
    assert len(data) == frame.FRAME_OVERHEAD + 7
