"""Frames: how log and manifest write bytes so that damage is detected.

A file is a sequence of frames.  Each has a *kind*, whose meaning depends on the file, and a
payload::

    offset  size
         0     4  magic "kvF2"
         4     4  kind
         8     4  length of payload
        12     8  synced         every byte of this file below this offset was synced
                                 before this frame was written
        20     …  payload
         …     4  crc32 of all bytes above

The checksum starts from the file's *seed*, which is derived from the names of the file and its
owner, combined with the frame's offset.  So a frame counts only in the place it was written for: it
is refused in another file, at another offset of the same file (a misdirected write, the rest of an
earlier one), and inside a value, even if that value is a copy of this very file.

A length that is damaged leads the reader astray, but it never shortens a file: frames after a bad
one are searched for by their magic, not by its length.

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

import json
import struct
import zlib
from contextlib import suppress
from typing import Any, NamedTuple

from kvraft.errors import Corruption

FRAME_MAGIC = b"kvF2"
MAX_PAYLOAD_BYTES = 1 << 30

HEAD_FORMAT = "<4sIIQ"
_HEAD = struct.Struct(HEAD_FORMAT)
_CRC = struct.Struct("<I")
CRC_RESIDUE = zlib.crc32(bytes(_CRC.size))
"""The checksum of any bytes that end in their own checksum, whatever the seed."""
FRAME_HEAD = _HEAD.size
FRAME_OVERHEAD = _HEAD.size + _CRC.size

_OLD_MAGIC = b"kvF1"
_OLD_HEAD = _HEAD.size + _CRC.size  # its head had a checksum of its own


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


def encode(kind: int, payload: bytes, *, synced: int, seed: int, offset: int) -> bytes:
    """Return the bytes of a frame that will stand at ``offset`` of its file.

    ``synced`` is how many bytes of the file are synced already.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes is above {MAX_PAYLOAD_BYTES}")
    head = _HEAD.pack(FRAME_MAGIC, kind, len(payload), synced)
    checksum = zlib.crc32(payload, zlib.crc32(head, seed ^ offset))
    return b"".join((head, payload, _CRC.pack(checksum)))


def decode(data: bytes, offset: int, *, seed: int, base: int = 0) -> Frame | str:
    """Return the frame at ``offset`` of a file, or a short text that says what is wrong.

    ``data`` are the file's bytes from the offset ``base`` on.
    """
    at = offset - base
    if len(data) - at < FRAME_HEAD:
        return "the head of a frame is cut short"
    magic, kind, length, synced = _HEAD.unpack_from(data, at)
    if magic != FRAME_MAGIC:
        return "no frame begins here"
    if synced > offset or length > MAX_PAYLOAD_BYTES:
        return "the head of a frame makes no sense"
    end = at + length + FRAME_OVERHEAD
    if len(data) < end:
        return "a frame is cut short"
    if zlib.crc32(memoryview(data)[at:end], seed ^ offset) != CRC_RESIDUE:
        return "a frame does not match its checksum"
    payload = bytes(data[at + FRAME_HEAD : end - _CRC.size])
    return Frame(kind, payload, synced, offset, base + end)


def length_at(data: bytes, at: int) -> int:
    """Return how many bytes the valid frame has that begins at ``at``."""
    return int(_HEAD.unpack_from(data, at)[2]) + FRAME_OVERHEAD


def scan(data: bytes, *, name: str, seed: int, start: int = 0, sealed: bool = False) -> FrameScan:
    """Return the frames in ``data``, the bytes of the file ``name``, from offset ``start`` on.

    Raises as :func:`check_torn` does.
    """
    frames: list[Frame] = []
    at = start
    while at < len(data):
        frame = decode(data, at, seed=seed)
        if isinstance(frame, str):
            check_torn(data, at, frame, name=name, seed=seed, sealed=sealed)
            return FrameScan(frames, at, frame)
        frames.append(frame)
        at = frame.end
    return FrameScan(frames, at, "")


def check_torn(
    data: bytes, at: int, why: str, *, name: str, seed: int, sealed: bool = False
) -> None:
    """Raise :class:`~kvraft.errors.Corruption` unless the bad frame at ``at`` is a torn tail.

    ``why`` says what is wrong with it.  A ``sealed`` file was finished and synced, so in it every
    defect is damage.
    """
    if sealed or _was_synced(data, at, seed):
        raise Corruption(name, at, why)


def _was_synced(data: bytes, at: int, seed: int) -> bool:
    """Return whether a valid frame after ``at`` says that the bytes at ``at`` were synced."""
    found = data.find(FRAME_MAGIC, at + 1)
    while found >= 0 and len(data) - found >= FRAME_OVERHEAD:
        # First what costs nothing: values may contain any number of magics, with any lengths.
        synced = _HEAD.unpack_from(data, found)[3]
        if at < synced <= found and isinstance(decode(data, found, seed=seed), Frame):
            return True
        found = data.find(FRAME_MAGIC, found + 1)
    return False


def older_format(data: bytes) -> Any:
    """Return the ``format`` in the first frame of a file with an earlier layout of frames.

    ``None`` for any other bytes.  Such a file cannot be read, but one can say what it is.
    """
    if not data.startswith(_OLD_MAGIC) or len(data) < _OLD_HEAD:
        return None
    length = _HEAD.unpack_from(data)[2]
    with suppress(ValueError, KeyError, TypeError):
        return json.loads(data[_OLD_HEAD : _OLD_HEAD + length])["format"]
    return None
