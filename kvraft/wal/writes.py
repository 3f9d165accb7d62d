"""Entries of a log without consensus: puts and deletes, packed and read without an object each.

A store's log (``store.py``) has neither terms nor clients, so all of an entry is known where a put
is made, and all of it is needed where the log is replayed.  What is written here is what
``record.py`` packs and ``disk/frame.py`` frames, and their functions are the oracle in the tests.
A put by itself is a frame of its own, with both heads packed, and read, at once::

    magic │ kind │ length │ synced │ term … commit mark │ key │ value │ crc32
    └──── head of the frame ───────┘ └─ of the entry ──┘ └─ payload ─┘

Source: LevelDB write_batch and log_writer, for what a put must carry.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from kvraft.disk import frame
from kvraft.record import ENTRY_FORMAT, ENTRY_OVERHEAD, Kind, Row, Timestamp
from kvraft.wal.segment import FrameKind

# A global is found faster than a member of an Enum.
_ENTRIES = int(FrameKind.ENTRIES)
_PUT, _DELETE, _DELETE_RANGE = int(Kind.PUT), int(Kind.DELETE), int(Kind.DELETE_RANGE)
_pack_entry = struct.Struct("<" + ENTRY_FORMAT).pack
_WRITE = struct.Struct("<16xQ16xIIHBB")  # an entry's head, without terms and clients
_pack_part = struct.Struct("<8xQQ16xIII").pack  # the same, with its index; the last is a kind
_PART_PUT, _PART_DELETE, _PART_RANGE = (kind << 16 for kind in (_PUT, _DELETE, _DELETE_RANGE))
_pack_checksum = struct.Struct("<I").pack

# The heads of frame and entry as few numbers: magic and kind are one, and so are client, kind and
# commit mark.
_HEADS = struct.Struct(frame.HEAD_FORMAT.replace("4sI", "Q") + ENTRY_FORMAT.replace("HBB", "I"))
_pack_heads = _HEADS.pack
_FRAMED_ENTRY = int.from_bytes(frame.FRAME_MAGIC, "little") | _ENTRIES << 32
_WHOLE_PUT, _WHOLE_DELETE = (kind << 16 | True << 24 for kind in (_PUT, _DELETE))
_KEY_AT = frame.FRAME_HEAD + ENTRY_OVERHEAD
_LEAST = frame.FRAME_OVERHEAD + ENTRY_OVERHEAD


def frame_write(
    index: int, timestamp: Timestamp, key: bytes, value: bytes | None, synced: int, seed: int
) -> bytes:
    """Return the frame of one put, or delete for a value of ``None``, that is a whole batch.

    These are the bytes of :func:`pack_write` in :func:`kvraft.disk.frame.encode`.  ``seed`` is the
    file's checksum seed, combined with the frame's offset.
    """
    kind = _WHOLE_PUT
    if value is None:
        value, kind = b"", _WHOLE_DELETE
    k, v = len(key), len(value)
    size = ENTRY_OVERHEAD + k + v
    heads = _pack_heads(_FRAMED_ENTRY, size, synced, 0, index, timestamp, 0, 0, k, v, kind)
    data = heads + key + value
    return data + _pack_checksum(crc32(data, seed))


class Run(NamedTuple):
    """A run of frames of one write each: its ``end``, its ``last`` index, and what is in it.

    ``synced`` is the highest offset that one of them says was synced.
    """

    end: int
    last: int
    synced: int
    rows: list[Row]


def read_run(data: bytes, at: int, stop: int, seed: int, index: int, after: int) -> Run:
    """Read frames of one put or delete each from ``at`` on, of which none begins above ``stop``.

    ``data`` are the bytes of a segment with the checksum ``seed``, and the last entry before ``at``
    is ``index``.  The rows above the index ``after`` are returned.

    It reads what :func:`kvraft.disk.frame.decode`, :func:`~kvraft.record.summarize_entries` and
    :func:`unpack_writes` read, in one loop without an object a frame, for a log may have very many.
    It ends, perhaps at once, before a frame that is anything else or is not valid: such a frame is
    for the caller to look at.
    """
    rows: list[Row] = []
    unpack, framed = _HEADS.unpack_from, _FRAMED_ENTRY
    put, delete = _WHOLE_PUT, _WHOLE_DELETE
    residue, overhead, key_from = frame.CRC_RESIDUE, frame.FRAME_OVERHEAD, _KEY_AT
    stop, size, synced = min(stop, len(data) - _LEAST), len(data), 0
    while at <= stop:
        mark, length, until, term, number, timestamp, _, _, k, v, kind = unpack(data, at)
        key_at = at + key_from
        value_at = key_at + k
        end = value_at + v + 4
        if (
            mark != framed
            or end != at + length + overhead
            or end > size
            or number != index + 1
            or term
            or until > at
            or (kind != put and kind != delete)
            or crc32(data[at:end], seed ^ at) != residue
        ):
            break
        index = number
        if number > after:
            value = data[value_at : end - 4] if kind == put else None
            rows.append((data[key_at:value_at], timestamp, value))
        if until > synced:
            synced = until
        at = end
    return Run(at, index, synced, rows)


def pack_write(index: int, timestamp: Timestamp, key: bytes, value: bytes | None) -> bytes:
    """Return the entry of one put, or delete for a value of ``None``, that is a whole batch.

    These are the bytes of :func:`~kvraft.record.pack_entries`, without an ``Entry`` being made.
    """
    if value is None:
        return _pack_entry(0, index, timestamp, 0, 0, len(key), 0, 0, _DELETE, 1) + key
    sizes = len(key), len(value)
    return _pack_entry(0, index, timestamp, 0, 0, *sizes, 0, _PUT, 1) + key + value


def pack_writes(first: int, rows: list[Row], ranges: list[Row]) -> bytes:
    """Return one batch as entries of a log, from index ``first`` on: ranges, then rows.

    ``ranges`` are range tombstones.  The last entry carries the commit mark; there is at least one.
    """
    parts: list[bytes] = []
    pack = _pack_part
    for index, (start, timestamp, stop) in enumerate(ranges, first):
        end = stop or b""
        parts += (pack(index, timestamp, len(start), len(end), _PART_RANGE), start, end)
    for index, (key, timestamp, value) in enumerate(rows, first + len(ranges)):
        if value is None:
            parts += (pack(index, timestamp, len(key), 0, _PART_DELETE), key, b"")
        else:
            parts += (pack(index, timestamp, len(key), len(value), _PART_PUT), key, value)
    parts[-3] = parts[-3][:-1] + b"\1"  # the commit mark is the last byte of a head
    return b"".join(parts)


def unpack_writes(data: bytes) -> tuple[list[Row], list[Row], int]:
    """Return the rows and range tombstones of packed entries, and the number of those entries.

    Entries after the last commit mark are left out.  ``data`` is intact: a log has checked it.
    """
    rows: list[Row] = []
    ranges: list[Row] = []
    count = whole = whole_rows = whole_ranges = at = 0
    unpack, end = _WRITE.unpack_from, len(data)
    while at < end:
        timestamp, k, v, c, kind, commit = unpack(data, at)
        key_at = at + ENTRY_OVERHEAD + c
        value_at = key_at + k
        at = value_at + v
        if kind == _PUT:
            rows.append((data[key_at:value_at], timestamp, data[value_at:at]))
        elif kind == _DELETE:
            rows.append((data[key_at:value_at], timestamp, None))
        else:
            ranges.append((data[key_at:value_at], timestamp, data[value_at:at]))
        count += 1
        if commit:
            whole, whole_rows, whole_ranges = count, len(rows), len(ranges)
    return rows[:whole_rows], ranges[:whole_ranges], whole
