"""Frames: how log and manifest write bytes so that damage is detected.

A file is a sequence of frames.  Each has a *kind*, whose meaning depends on the file, and a
payload::

    offset  size
         0     4  magic "kvF1"
         4     4  kind
         8     4  length of payload
        12     8  synced         every byte of this file below this offset was synced
                                 before this frame was written
        20     4  crc32 of the 20 bytes above
        24     …  payload
         …     4  crc32 of the payload

Both checksums start from a *seed* that is derived from the names of the file and its owner.  So a
frame of another file, or one inside a value, is never accepted as a frame of this file.

A crash may tear the last write, which was not acknowledged yet; any other defect is damage.  The
field ``synced`` distinguishes the two: a bad frame at offset *o* is a **torn tail** only if no
valid frame after it says that the bytes at *o* were synced.  (A torn write can leave valid frames
after the bad one, because a disk may write its sectors in any order.)

Two kinds of damage look like a torn write and cannot be detected from the file alone: all frames
from some offset on are bad, or the file ends early, between two frames.  In a finished file an
empty last frame, whose ``synced`` covers everything before it, makes both visible.  The length of a
file that still grows must be recorded elsewhere (``wal/recovery.py``).

Sources: LevelDB log_format (checksums against foreign blocks), Pebble record (synced offset),
Alagappan et al., *Protocol-Aware Recovery*, FAST 2018 (why crash and damage must be distinguished).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from kvraft.errors import Corruption

FRAME_MAGIC = b"kvF1"
MAX_PAYLOAD_BYTES = 1 << 30

_HEAD = struct.Struct("<4sIIQ")
_CRC = struct.Struct("<I")
_CRC_RESIDUE = zlib.crc32(bytes(_CRC.size))
"""The checksum of any bytes that end in their own checksum, whatever the seed."""
FRAME_OVERHEAD = _HEAD.size + 2 * _CRC.size


class Frame(NamedTuple):
    """A valid frame; it begins at ``offset`` of its file and ends before ``end``."""

    kind: int
    payload: bytes
    synced: int
    offset: int
    end: int


class FrameScan(NamedTuple):
    """The valid frames of a file; ``end`` is the offset after the last one.

    ``torn`` says what is wrong with the bytes from ``end`` on; it is ``""`` if there are none.
    """

    frames: list[Frame]
    end: int
    torn: str


def checksum_seed(*names: str) -> int:
    """Return the checksum seed of the file that ``names`` together identify."""
    return zlib.crc32("\0".join(names).encode())


def encode(kind: int, payload: bytes, *, synced: int, seed: int) -> bytes:
    """Return a frame as bytes; ``synced`` is how many bytes of the file are synced already."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is above {MAX_PAYLOAD_BYTES}")
    head = _HEAD.pack(FRAME_MAGIC, kind, len(payload), synced)
    head_crc = _CRC.pack(zlib.crc32(head, seed))
    return b"".join((head, head_crc, payload, _CRC.pack(zlib.crc32(payload, seed))))


def decode(data: bytes, offset: int, *, seed: int) -> Frame | str:
    """Return the frame at ``offset`` of a file's bytes, or a short text that says what is wrong."""
    payload_at = offset + _HEAD.size + _CRC.size
    if len(data) < payload_at:
        return "the head of a frame is cut short"
    magic, kind, length, synced = _HEAD.unpack_from(data, offset)
    if magic != FRAME_MAGIC:
        return "no frame begins here"
    if zlib.crc32(data[offset:payload_at], seed) != _CRC_RESIDUE:
        return "the head of a frame does not match its checksum"
    if synced > offset or length > MAX_PAYLOAD_BYTES:
        return "the head of a frame makes no sense"
    payload_end = payload_at + length
    if len(data) < payload_end + _CRC.size:
        return "the payload of a frame is cut short"
    end = payload_end + _CRC.size
    if zlib.crc32(memoryview(data)[payload_at:end], seed) != _CRC_RESIDUE:
        return "the payload of a frame does not match its checksum"
    return Frame(kind, bytes(data[payload_at:payload_end]), synced, offset, end)


def payload_of(data: bytes, kind: int, *, synced: int, seed: int) -> bytes | None:
    """Return the payload of the frame ``data``, whose kind and ``synced`` the caller knows.

    Returns ``None`` unless :func:`encode` would produce exactly these bytes.
    """
    payload = data[_HEAD.size + _CRC.size : -_CRC.size]
    return payload if encode(kind, payload, synced=synced, seed=seed) == data else None


def scan(data: bytes, *, name: str, seed: int, start: int = 0, sealed: bool = False) -> FrameScan:
    """Return the frames in ``data``, the bytes of the file ``name``, from offset ``start`` on.

    Raises :class:`~kvraft.errors.Corruption` if bytes that were synced are damaged.  A ``sealed``
    file was finished and synced, so in it every defect is damage.
    """
    frames: list[Frame] = []
    at = start
    while at < len(data):
        frame = decode(data, at, seed=seed)
        if isinstance(frame, str):
            if sealed or _was_synced(data, at, seed):
                raise Corruption(name, at, frame)
            return FrameScan(frames, at, frame)
        frames.append(frame)
        at = frame.end
    return FrameScan(frames, at, "")


def _was_synced(data: bytes, at: int, seed: int) -> bool:
    """Return whether a valid frame after ``at`` says that the bytes at ``at`` were synced."""
    found = data.find(FRAME_MAGIC, at + 1)
    while found >= 0:
        frame = decode(data, found, seed=seed)
        if isinstance(frame, Frame) and frame.synced > at:
            return True
        found = data.find(FRAME_MAGIC, found + 1)
    return False
