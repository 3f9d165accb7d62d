"""The bytes of an SSTable: its parts, its footer, its index and its digest.

::

    ┌────────────┬────────────┬─────┬────────┬────────┬────────────┬───────┬────────┐
    │ data block │ data block │  …  │ filter │ ranges │ properties │ index │ footer │
    └────────────┴────────────┴─────┴────────┴────────┴────────────┴───────┴────────┘

Every part but the footer is a checksummed block (``sstable/block.py``); all integers are
little-endian.

- A **data block** holds rows in ascending order: about ``block_bytes`` bytes, but whole keys, with
  all their versions.
- The **filter** is a bloom filter of all keys, those of tombstones among them (``bloom.py``); of no
  bytes, without any block, if the table has none.
- The **ranges** are its range tombstones in fragments (``range_tombstones.py``), as a block of
  rows; of no bytes if there are none.
- The **properties** are JSON: what can be known of the table without its data.  ``after`` and
  ``through`` are positions of the log, index and term: every row comes from an entry after the one
  and through the other (:class:`LogRange`), so that tables without a manifest still tell how far
  they reach.
- The **index** has the last key of each of the *n* data blocks, and where in the file each begins,
  and the last one ends::

      offset       size
           0          4  n
           4     4(n+1)  offsets of the last keys in the index
           …     8(n+1)  offsets of the data blocks in the file
           …          …  last keys

- The **footer**, 64 bytes; its size and its last 16 bytes stay the same in every format to come::

      offset  size
           0    40  5 offsets: where filter, ranges, properties, index and footer begin
          40     8  digest of everything before the footer: BLAKE2b, 8 bytes of it
          48     4  format version, 2
          52     4  crc32 of the 52 bytes above
          56     8  magic "kvSSTbl1"

A table is known by what is in it, its **digest**.  Neither the number in the file's name nor the
owner counts, so a snapshot can carry a table to another member, byte for byte
(``lsm/snapshot.py``); the properties tell who wrote it first, and under which number.  The manifest
names each table with its digest, so a file that took another's place is found out.  (A CRC over the
file would not do: of bytes that end in their own CRC, as blocks do, it is the same whatever they
are.)

Source: LevelDB table_format (blocks, filter, footer).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from kvraft.disk import ReadableFiles
from kvraft.display import counted
from kvraft.errors import Corruption, format_mismatch
from kvraft.record import ORIGIN, Position
from kvraft.sstable.metadata import TableMetadata, check_integers

FORMAT = 2
MAGIC = b"kvSSTbl1"

_FOOTER = struct.Struct("<6QI")
FOOTER_BYTES = 64
READ_CHUNK_BYTES = 256 * 1024
"""Whoever goes through a whole file reads so much of it at once."""
_END = struct.Struct("<I8s")  # of the footer: its checksum and the magic
_COUNT = struct.Struct("<I")


class TableLayout(NamedTuple):
    """Where in its file each part behind the data begins, and so where the one before it ends."""

    filter: int
    ranges: int
    properties: int
    index: int  # type: ignore[assignment]
    footer: int


class LogRange(NamedTuple):
    """Which part of the log a table comes from: entries after ``after`` and through ``through``.

    Tables that were flushed one after another follow on: each begins where the newest before it
    ends.  What a compaction wrote has the hull of what it read.  A table that was made by hand has
    no log: both are the origin.
    """

    after: Position = ORIGIN
    through: Position = ORIGIN


def covering_range(reaches: Iterable[LogRange]) -> LogRange:
    """Return the smallest reach that holds all of ``reaches``, at least one."""
    afters, throughs = zip(*reaches, strict=True)
    return LogRange(min(afters), max(throughs))


def hash_of(data: bytes | memoryview = b"") -> hashlib.blake2b:
    """Return the running hash whose end is a table's digest, begun with ``data``."""
    return hashlib.blake2b(data, digest_size=8)


def digest_of(whole: hashlib.blake2b) -> int:
    """Return the digest that is the end of the hash ``whole``."""
    return int.from_bytes(whole.digest(), "little")


def matches_digest(read: Callable[[int, int], bytes], size: int, digest: int) -> bool:
    """Return whether some ``size`` bytes are, to the last one, the table known by ``digest``.

    ``read`` returns so many of them from an offset on; no more than a part is asked for at once.
    """
    return all(compare(read, size, digest))


def compare(read: Callable[[int, int], bytes], size: int, digest: int) -> Iterator[bool]:
    """Compare as :func:`matches_digest` does, in slices.

    Yield ``True`` after each part, and ``False`` as soon as something is wrong.
    """
    end = size - FOOTER_BYTES
    whole = hash_of(b"")
    for offset in range(0, end, READ_CHUNK_BYTES):
        whole.update(read(offset, min(READ_CHUNK_BYTES, end - offset)))
        yield True
    footer = read(end, FOOTER_BYTES) if end >= 0 else b""
    if digest_of(whole) != digest or len(footer) != FOOTER_BYTES:
        yield False
        return
    head, rest = footer[: _FOOTER.size], footer[_FOOTER.size :]
    yield _FOOTER.unpack(head)[5] == digest and rest == _END.pack(zlib.crc32(head), MAGIC)


def pack_footer(bounds: TableLayout, digest: int) -> bytes:
    """Return the last bytes of a table."""
    head = _FOOTER.pack(*bounds, digest, FORMAT)
    return head + _END.pack(zlib.crc32(head), MAGIC)


def read_footer(disk: ReadableFiles, name: str, size: int) -> tuple[TableLayout, int]:
    """Return where the parts of the table in the file ``name`` begin, and the table's digest.

    Raises ``Corruption`` if the last of its ``size`` bytes are no footer, ``ForeignFile`` if they
    are one of another format.
    """
    at = size - FOOTER_BYTES
    if at < 0:
        raise Corruption(name, 0, f"a file of {counted(size, 'byte')} is no table")
    data = disk.read(name, at, FOOTER_BYTES)
    if len(data) != FOOTER_BYTES or not data.endswith(MAGIC):
        raise Corruption(name, at, "the file does not end in a table's footer")
    checksum, _ = _END.unpack_from(data, _FOOTER.size)
    if zlib.crc32(data[: _FOOTER.size]) != checksum:
        raise Corruption(name, at, "the footer does not match its checksum")
    *offsets, digest, version = _FOOTER.unpack_from(data)
    if version != FORMAT:
        raise format_mismatch(name, version, FORMAT)
    bounds = TableLayout(*offsets)
    if list(bounds) != sorted(bounds) or bounds.footer != at:
        raise Corruption(name, at, "the footer makes no sense")
    return bounds, digest


def encode_index(last_keys: list[bytes], starts: list[int]) -> bytes:
    """Return the body of an index: the last key of each block, and where blocks begin."""
    n = len(last_keys)
    offsets = accumulate(map(len, last_keys), initial=4 + 12 * (n + 1))
    return b"".join((struct.pack(f"<I{n + 1}I{n + 1}Q", n, *offsets, *starts), *last_keys))


def decode_index(body: bytes) -> tuple[list[bytes], tuple[int, ...]]:
    """Return what :func:`encode_index` was given; ``ValueError`` if ``body`` is not sound."""
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
    """Return ``properties`` as the manifest knows them; ``ValueError`` if they are none."""
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
        raise ValueError(f"the properties lack something: {error}") from None


def log_range_of(properties: dict[str, Any]) -> LogRange:
    """Return which part of the log ``properties`` name; ``ValueError`` if they name none."""
    try:
        after, through = (Position(*check_integers(properties[name])) for name in LogRange._fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the properties lack log positions: {error}") from None
    if after > through:
        raise ValueError(f"the properties name log entries after {after} and through {through}")
    return LogRange(after, through)
