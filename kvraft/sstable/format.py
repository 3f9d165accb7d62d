"""The bytes of an SSTable: its parts, its footer, its index and its digest.

::

    ┌────────────┬────────────┬─────┬────────┬────────┬────────────┬───────┬────────┐
    │ data block │ data block │  …  │ filter │ ranges │ properties │ index │ footer │
    └────────────┴────────────┴─────┴────────┴────────┴────────────┴───────┴────────┘

Every part but the footer is a checksummed block (``sstable/block.py``); all integers are
little-endian.

- A **data block** contains rows in ascending order: about ``block_bytes`` bytes, and all versions
  of each of its keys.
- The **filter** is a Bloom filter of all keys, those of tombstones included (``bloom.py``); no
  bytes if the table has none.
- The **ranges** are the range tombstones in fragments (``range_tombstones.py``), as a block of
  rows; no bytes if there are none.
- The **properties** are JSON and describe the table without its data.  ``after`` and ``through``
  are positions of the log, each an index and a term: every row comes from an entry after the first
  and through the second (:class:`LogRange`).  So tables without a manifest still show how much of
  the log they cover.
- The **index** has the last key of each of the *n* data blocks, the offset of each in the file, and
  the offset at which the last one ends::

      offset       size
           0          4  n
           4     4(n+1)  offsets of the last keys in the index
           …     8(n+1)  offsets of the data blocks in the file
           …          …  last keys

- The **footer** has 64 bytes; its size and its last 16 bytes stay the same in future formats::

      offset  size
           0    32  4 offsets: where filter, ranges, properties and index begin
          32     8  origin, which each block of the table repeats (``sstable/block.py``)
          40     8  digest of everything before the footer (``sstable/digest.py``)
          48     4  format version, 3
          52     4  crc32 of the 52 bytes above
          56     8  magic "kvSSTbl1"

A table is identified by its **digest**, not by the number in its file name or by its owner.  So a
snapshot can transfer a table to another member unchanged (``lsm/snapshot.py``); its properties keep
the first owner and the first number.  The manifest records the digest of each table, so a wrong
file under the right name is detected.  (A CRC over the file would not be enough: bytes that end in
their own CRC, as blocks do, all have the same one.)

Source: LevelDB table_format (blocks, filter, footer).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from kvraft.disk import ReadableFiles, frame, table_name
from kvraft.display import counted
from kvraft.errors import Corruption, format_mismatch
from kvraft.record import ORIGIN, Position
from kvraft.sstable.metadata import TableMetadata, check_integers

FORMAT = 3
MAGIC = b"kvSSTbl1"

_FOOTER = struct.Struct("<6QI")
FOOTER_BYTES = 64
_END = struct.Struct("<I8s")  # of the footer: its checksum and the magic
_COUNT = struct.Struct("<I")


class TableLayout(NamedTuple):
    """The offset at which each part after the data begins, and so where the one before it ends."""

    filter: int
    ranges: int
    properties: int
    index: int  # type: ignore[assignment]
    footer: int


class LogRange(NamedTuple):
    """The part of the log that a table comes from: entries after ``after`` and through ``through``.

    Each flushed table begins where the one flushed before it ends.  A compaction's output covers
    the ranges of its inputs.  A table that was not made from a log has the origin in both fields.
    """

    after: Position = ORIGIN
    through: Position = ORIGIN


def covering_range(ranges: Iterable[LogRange]) -> LogRange:
    """Return the smallest range that contains all of ``ranges``; at least one is required."""
    afters, throughs = zip(*ranges, strict=True)
    return LogRange(min(afters), max(throughs))


class Footer(NamedTuple):
    """What a footer says: the ``layout``, and what distinguishes the table from all others."""

    layout: TableLayout
    origin: int
    digest: int


def origin_of(owner: str, number: int) -> int:
    """Return the origin of the blocks of table ``number`` that ``owner`` writes, 32 bits."""
    return frame.checksum_seed(owner, table_name(number))


def pack_footer(footer: Footer) -> bytes:
    """Return ``footer`` as bytes, for the place that its layout states."""
    head = _FOOTER.pack(*footer.layout[:-1], footer.origin, footer.digest, FORMAT)
    return head + _END.pack(zlib.crc32(head), MAGIC)


def is_footer(data: bytes, digest: int) -> bool:
    """Return whether ``data`` is a valid footer with that ``digest``, of whatever layout."""
    if len(data) != FOOTER_BYTES:
        return False
    head, end = data[: _FOOTER.size], data[_FOOTER.size :]
    return _FOOTER.unpack(head)[5] == digest and end == _END.pack(zlib.crc32(head), MAGIC)


def read_footer(disk: ReadableFiles, name: str, size: int) -> Footer:
    """Return the footer of the table in the file ``name``, of ``size`` bytes.

    Raises ``Corruption`` if the file does not end in a footer, and ``ForeignFile`` for a footer of
    another format.
    """
    at = size - FOOTER_BYTES
    if at < 0:
        raise Corruption(name, 0, f"a file of {counted(size, 'byte')} is not a table")
    data = disk.read(name, at, FOOTER_BYTES)
    if len(data) != FOOTER_BYTES or not data.endswith(MAGIC):
        raise Corruption(name, at, "the file does not end in a table's footer")
    checksum, _ = _END.unpack_from(data, _FOOTER.size)
    if zlib.crc32(data[: _FOOTER.size]) != checksum:
        raise Corruption(name, at, "the footer does not match its checksum")
    bloom, ranges, properties, index, origin, digest, version = _FOOTER.unpack_from(data)
    if version != FORMAT:
        raise format_mismatch(name, version, FORMAT)
    layout = TableLayout(bloom, ranges, properties, index, at)
    if list(layout) != sorted(layout):
        raise Corruption(name, at, "the footer makes no sense")
    return Footer(layout, origin, digest)


def encode_index(last_keys: list[bytes], starts: list[int]) -> bytes:
    """Return the body of an index of the last key of each block and the offsets of blocks."""
    n = len(last_keys)
    offsets = accumulate(map(len, last_keys), initial=4 + 12 * (n + 1))
    return b"".join((struct.pack(f"<I{n + 1}I{n + 1}Q", n, *offsets, *starts), *last_keys))


def decode_index(body: bytes) -> tuple[list[bytes], tuple[int, ...]]:
    """Return the last keys and offsets in ``body``; raise ``ValueError`` if it is invalid."""
    try:
        (n,) = _COUNT.unpack_from(body)
        columns = struct.unpack_from(f"<{n + 1}I{n + 1}Q", body, _COUNT.size)
    except (struct.error, OverflowError, MemoryError):
        raise ValueError("the index is too short for its blocks") from None
    offsets, starts = columns[: n + 1], columns[n + 1 :]
    if (offsets[0], offsets[n], starts[0]) != (4 + 12 * (n + 1), len(body), 0):
        raise ValueError("the columns of the index do not meet")
    return [body[start:end] for start, end in pairwise(offsets)], starts


def metadata_of(properties: dict[str, Any], number: int, size: int, digest: int) -> TableMetadata:
    """Return the metadata of a table with these properties; ``ValueError`` if they are invalid."""
    try:
        return TableMetadata(
            number=number,
            level=0,
            rows=int(properties["rows"]),
            keys=int(properties["keys"]),
            tombstones=int(properties["tombstones"]),
            ranges=int(properties["ranges"]),
            size=size,
            start=bytes.fromhex(properties["start"]),
            stop=bytes.fromhex(properties["stop"]),
            min_timestamp=int(properties["min_timestamp"]),
            max_timestamp=int(properties["max_timestamp"]),
            digest=digest,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a property is missing or invalid: {error}") from None


def log_range_of(properties: dict[str, Any]) -> LogRange:
    """Return the log range in ``properties``; raise ``ValueError`` if it is missing or invalid."""
    try:
        after, through = (Position(*check_integers(properties[name])) for name in LogRange._fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the properties lack log positions: {error}") from None
    if after > through:
        raise ValueError(f"the properties name log entries after {after} and through {through}")
    return LogRange(after, through)
