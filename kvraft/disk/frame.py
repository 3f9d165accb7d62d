"""Frames: one way to put bytes into a file so that damage is seen, for log and manifest alike.

A file is a row of frames.  Each carries a *kind*, which the file's owner gives a meaning, and a
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

Both checksums start from a *seed* made of the file's name and its owner's, so that a frame of
another file, or one that lies inside a value, is never taken for one of this file.

A crash may tear the last write, which nobody was told of; anything else that does not add up is
damage.  The two are told apart by ``synced``: a bad frame at offset *o* is a **torn tail** only if
no sound frame after it claims that the bytes at *o* were synced.  (A torn write can leave sound
frames behind it, for a disk may write its sectors in any order.)  What remains undetected, from
the file alone, is damage to its last frames, all of them from some offset on, and a file that ends
early between two frames: both look like what a torn write leaves.  An empty frame at the end of a
finished file, whose ``synced`` covers all before it, closes that hole where a file is sealed; for a
file that still grows somebody else must know how long it was (``wal/segment.py``).

Sources: LevelDB log_format (checksums against foreign blocks), Pebble record (synced offset),
Alagappan et al., *Protocol-Aware Recovery*, FAST 2018 (why the two must be told apart).
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
"""What the checksum of anything that ends in its own checksum comes to, whatever the seed."""
FRAME_OVERHEAD = _HEAD.size + 2 * _CRC.size


class Frame(NamedTuple):
    """One sound frame: ``offset`` is where it starts in its file, ``end`` where the next would."""

    kind: int
    payload: bytes
    synced: int
    offset: int
    end: int


class FrameScan(NamedTuple):
    """The frames of a file, and ``end``, the offset behind the last sound one.

    ``torn`` tells what is wrong with the bytes from ``end`` on, ``""`` if there are none.
    """

    frames: list[Frame]
    end: int
    torn: str


def checksum_seed(*names: str) -> int:
    """Return the checksum seed of a file that the given names tell apart from all others."""
    return zlib.crc32("\0".join(names).encode())


def encode(kind: int, payload: bytes, *, synced: int, seed: int) -> bytes:
    """Return the bytes of one frame.  ``synced`` is how much of the file was synced before it."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is above {MAX_PAYLOAD_BYTES}")
    head = _HEAD.pack(FRAME_MAGIC, kind, len(payload), synced)
    head_crc = _CRC.pack(zlib.crc32(head, seed))
    return b"".join((head, head_crc, payload, _CRC.pack(zlib.crc32(payload, seed))))


def decode(data: bytes, offset: int, *, seed: int) -> Frame | str:
    """Return the frame at ``offset`` of a file's bytes, or what is wrong with it in a few words."""
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
    """Return the payload of the frame that ``data`` is, ``None`` if :func:`encode` would not make
    just these bytes of it: for one who knows already what the frame's head says.
    """
    payload = data[_HEAD.size + _CRC.size : -_CRC.size]
    return payload if encode(kind, payload, synced=synced, seed=seed) == data else None


def scan(data: bytes, *, name: str, seed: int, start: int = 0, sealed: bool = False) -> FrameScan:
    """Read the frames of the file ``name`` whose bytes are ``data``, from offset ``start`` on.

    Raises :class:`~kvraft.errors.Corruption` where bytes that were synced are not sound.  A
    ``sealed`` file was finished and synced, so in it every defect is damage.
    """
    frames: list[Frame] = []
    at = start
    while at < len(data):
        frame = decode(data, at, seed=seed)
        if isinstance(frame, str):
            if sealed or _promised(data, at, seed):
                raise Corruption(name, at, frame)
            return FrameScan(frames, at, frame)
        frames.append(frame)
        at = frame.end
    return FrameScan(frames, at, "")


def _promised(data: bytes, at: int, seed: int) -> bool:
    """Return whether a sound frame behind ``at`` says that the bytes at ``at`` were synced."""
    found = data.find(FRAME_MAGIC, at + 1)
    while found >= 0:
        frame = decode(data, found, seed=seed)
        if isinstance(frame, Frame) and frame.synced > at:
            return True
        found = data.find(FRAME_MAGIC, found + 1)
    return False
