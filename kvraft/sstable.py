"""SSTables: sorted runs on disk, written once, never changed.

A table is a row of blocks and a footer; a reader starts at the end::

    ┌────────────┬────────────┬─────┬────────┬────────┬────────────┬───────┬────────┐
    │ data block │ data block │  …  │ filter │ ranges │ properties │ index │ footer │
    └────────────┴────────────┴─────┴────────┴────────┴────────────┴───────┴────────┘

Every part but the footer is a checksummed block (``block.py``); all integers are little-endian.

- A **data block** holds rows in ascending order: about ``block_bytes`` bytes, but whole keys, with
  all their versions.
- The **filter** is a bloom filter of all keys, those of tombstones among them (``bloom.py``); of no
  bytes, without any block, if the table has none.
- The **ranges** are its range deletes in fragments (``ranges.py``), as a block of rows; of no bytes
  if there are none.
- The **properties** are JSON: what can be known of the table without its data.  ``after`` and
  ``through`` are positions of the log, index and term: every row comes from an entry after the one
  and through the other (:class:`Reach`), so that tables without a manifest still tell how far they
  reach.
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
owner counts, so a snapshot can carry a table to another member, byte for byte (``snapshot.py``);
the properties tell who wrote it first, and under which number.  The manifest names each table with
its digest, so a file that took another's place is found out.  (A CRC over the file would not do: of
bytes that end in their own CRC, as blocks do, it is the same whatever they are.)

Invariants:

- Rows ascend by key and timestamp; no key is in two blocks.
- Every checksum is verified on every read from disk.  What does not add up is
  :class:`~kvraft.errors.Damage`; the data blocks are read only when asked for.

Tables are written by ``tablewriter.py``.  Source: LevelDB table_format (blocks, filter, footer).
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from kvraft.block import Block, unseal
from kvraft.bloom import Bloom
from kvraft.cache import BlockCache
from kvraft.disk import Files
from kvraft.display import counted
from kvraft.errors import Damage, other_format
from kvraft.filenames import table_name
from kvraft.ranges import Ranges
from kvraft.record import MAX_TIMESTAMP, ORIGIN, Position, Row, Timestamp
from kvraft.stats import Counts
from kvraft.tableinfo import TableInfo, integers

FORMAT = 2
MAGIC = b"kvSSTbl1"

_FOOTER = struct.Struct("<6QI")
FOOTER_BYTES = 64
PART_BYTES = 256 * 1024
"""Whoever goes through a whole file reads so much of it at once."""
_END = struct.Struct("<I8s")  # of the footer: its checksum and the magic
_COUNT = struct.Struct("<I")


class Bounds(NamedTuple):
    """Where in its file each part behind the data begins, and so where the one before it ends."""

    filter: int
    ranges: int
    properties: int
    index: int  # type: ignore[assignment]
    footer: int


class Reach(NamedTuple):
    """Which part of the log a table comes from: entries after ``after`` and through ``through``.

    Tables that were flushed one after another follow on: each begins where the newest before it
    ends.  What a compaction wrote has the hull of what it read.  A table that was made by hand has
    no log: both are the origin.
    """

    after: Position = ORIGIN
    through: Position = ORIGIN


def hull(reaches: Iterable[Reach]) -> Reach:
    """Return the smallest reach that holds all of ``reaches``, at least one."""
    afters, throughs = zip(*reaches, strict=True)
    return Reach(min(afters), max(throughs))


# ── the bytes ───────────────────────────────────────────────────────────────────────────────────


def hash_of(data: bytes | memoryview = b"") -> hashlib.blake2b:
    """Return the running hash whose end is a table's digest, begun with ``data``."""
    return hashlib.blake2b(data, digest_size=8)


def digest_of(whole: hashlib.blake2b) -> int:
    """Return the digest that is the end of the hash ``whole``."""
    return int.from_bytes(whole.digest(), "little")


def is_table(read: Callable[[int, int], bytes], size: int, digest: int) -> bool:
    """Return whether some ``size`` bytes are, to the last one, the table known by ``digest``.

    ``read`` returns so many of them from an offset on; no more than a part is asked for at once.
    """
    return all(compare(read, size, digest))


def compare(read: Callable[[int, int], bytes], size: int, digest: int) -> Iterator[bool]:
    """Do what :func:`is_table` does, part by part: yield ``False`` as soon as something is wrong,
    ``True`` for every part until then.
    """
    end = size - FOOTER_BYTES
    whole = hash_of(b"")
    for offset in range(0, end, PART_BYTES):
        whole.update(read(offset, min(PART_BYTES, end - offset)))
        yield True
    footer = read(end, FOOTER_BYTES) if end >= 0 else b""
    if digest_of(whole) != digest or len(footer) != FOOTER_BYTES:
        yield False
        return
    head, rest = footer[: _FOOTER.size], footer[_FOOTER.size :]
    yield _FOOTER.unpack(head)[5] == digest and rest == _END.pack(zlib.crc32(head), MAGIC)


def pack_footer(bounds: Bounds, digest: int) -> bytes:
    """Return the last bytes of a table."""
    head = _FOOTER.pack(*bounds, digest, FORMAT)
    return head + _END.pack(zlib.crc32(head), MAGIC)


def read_footer(disk: Files, name: str, size: int) -> tuple[Bounds, int]:
    """Return where the parts of the table in the file ``name`` begin, and the table's digest.

    Raises ``Damage`` if the last of its ``size`` bytes are no footer, ``Foreign`` if they are one
    of another format.
    """
    at = size - FOOTER_BYTES
    if at < 0:
        raise Damage(name, 0, f"a file of {counted(size, 'byte')} is no table")
    data = disk.read(name, at, FOOTER_BYTES)
    if len(data) != FOOTER_BYTES or not data.endswith(MAGIC):
        raise Damage(name, at, "the file does not end in a table's footer")
    checksum, _ = _END.unpack_from(data, _FOOTER.size)
    if zlib.crc32(data[: _FOOTER.size]) != checksum:
        raise Damage(name, at, "the footer does not match its checksum")
    *offsets, digest, version = _FOOTER.unpack_from(data)
    if version != FORMAT:
        raise other_format(name, version, FORMAT)
    bounds = Bounds(*offsets)
    if list(bounds) != sorted(bounds) or bounds.footer != at:
        raise Damage(name, at, "the footer makes no sense")
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


def info_of(properties: dict[str, Any], number: int, size: int, digest: int) -> TableInfo:
    """Return ``properties`` as the manifest knows them; ``ValueError`` if they are none."""
    try:
        return TableInfo(
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


def reach_of(properties: dict[str, Any]) -> Reach:
    """Return which part of the log ``properties`` name; ``ValueError`` if they name none."""
    try:
        after, through = (Position(*integers(properties[name])) for name in Reach._fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the properties lack log positions: {error}") from None
    if after > through:
        raise ValueError(f"the properties name log entries after {after} and through {through}")
    return Reach(after, through)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


class Table:
    """One table, open: its index and its filter are in memory, its data on disk.

    ``bloom`` is ``None`` if it has no filter, ``ranges`` if it has no range deletes;
    ``properties`` are as they were written, ``reach`` is the log they name; ``plain`` means one
    version a key, and no deletes.
    """

    def __init__(self, disk: Files, info: TableInfo, parts: _Parts, cache: BlockCache) -> None:
        """Wrap the parts of a table: use :meth:`open`."""
        self.info = info
        self.name = table_name(info.number)
        self.bloom, self.ranges, self.properties, (self._last_keys, self._starts) = parts
        self.reach = reach_of(self.properties)
        self.plain = self.ranges is None and info.rows == info.keys and not info.tombstones
        self.counts = Counts()
        self._disk = disk
        self._cache = cache

    @classmethod
    def open(
        cls,
        disk: Files,
        table: TableInfo | int,
        cache: BlockCache | None = None,
        counts: Counts | None = None,
    ) -> Table:
        """Open a table by its number, or as the manifest knows it.

        Blocks that were read go into ``cache``; what reading costs is counted in ``counts``.

        Raises :class:`~kvraft.errors.Damage` if the file is missing, is not sound or is not the
        table that the manifest means, and :class:`~kvraft.errors.Foreign` if it is sound but has
        another format.  Data blocks are not looked at.
        """
        number = table if isinstance(table, int) else table.number
        name = table_name(number)
        try:
            size = disk.size(name)
        except FileNotFoundError:
            raise Damage(name, 0, "the table is missing") from None
        bounds, digest = read_footer(disk, name, size)
        if isinstance(table, TableInfo) and table.digest != digest:
            raise Damage(name, 0, "this is not the table that the manifest means")
        parts = _read_parts(disk, name, bounds)
        try:
            info = info_of(parts.properties, number, size, digest)
            reach_of(parts.properties)
        except ValueError as error:
            raise Damage(name, bounds.properties, str(error)) from None
        if isinstance(table, TableInfo):
            if replace(info, level=table.level) != table:
                raise Damage(name, 0, "the table is not what the manifest says of it")
            info = table
        opened = cls(disk, info, parts, BlockCache(0) if cache is None else cache)
        opened.counts = opened.counts if counts is None else counts
        return opened

    @property
    def blocks(self) -> int:
        """How many data blocks the table has."""
        return len(self._last_keys)

    @property
    def last_keys(self) -> list[bytes]:
        """The last key of each data block."""
        return self._last_keys

    def extent(self, at: int) -> tuple[int, int]:
        """Return where in the file data block ``at`` begins, and how many bytes it has."""
        return self._starts[at], self._starts[at + 1] - self._starts[at]

    def may_contain(self, key: bytes) -> bool:
        """Return whether a row of ``key`` may be here; ``False`` is certain and reads nothing."""
        return self.info.covers(key) and (self.bloom is None or key in self.bloom)

    def get(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Row | None:
        """Return the newest version of ``key`` at ``at``, maybe a tombstone; ``None`` if none.

        Range deletes are not looked at.
        """
        counts = self.counts
        counts.tables_asked += 1
        if self.bloom is not None and key not in self.bloom:
            counts.filter_denied += 1
            return None
        block = bisect_left(self._last_keys, key)
        row = None if block == len(self._last_keys) else self.read_block(block).get(key, at)
        if row is None:
            counts.filter_wrong += 1
        return row

    def blocks_from(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Block]:
        """Yield the blocks that may have rows with ``start <= key < stop``; no ``stop``, no end.

        With ``reverse`` the last block comes first.
        """
        last_keys = self._last_keys
        first = bisect_left(last_keys, start) if start else 0
        end = len(last_keys)
        if stop is not None:
            end = min(end, bisect_left(last_keys, stop) + 1)
        for at in range(end - 1, first - 1, -1) if reverse else range(first, end):
            yield self.read_block(at)

    def chunks(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[list[Row]]:
        """Yield the rows with ``start <= key < stop`` block by block, each in ascending order."""
        for block in self.blocks_from(start, stop, reverse=reverse):
            yield block.rows(start, stop)

    def scan(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Row]:
        """Yield the rows with ``start <= key < stop`` one by one, in ascending order."""
        for chunk in self.chunks(start, stop):
            yield from chunk

    def at_level(self, level: int) -> Table:
        """Return this table as one of ``level``; the file is the same."""
        if level == self.info.level:
            return self
        other = copy(self)
        other.info = replace(self.info, level=level)
        return other

    def read_block(self, at: int) -> Block:
        """Return the data block ``at``, counted from 0: from the cache, or read and checked."""
        place = self.info.number, at
        block = self._cache.get(place)
        if block is None:
            block = self.load_block(at)
            self._cache.put(place, block)
        return block

    def load_chunks(self) -> Iterator[list[Row]]:
        """Yield all rows block by block, past the cache: for compaction."""
        for at in range(self.blocks):
            yield self.load_block(at).rows()

    def load_block(self, at: int) -> Block:
        """Read and check the data block ``at``, counted from 0, past the cache."""
        start = self._starts[at]
        length = self._starts[at + 1] - start
        data = self._disk.read(self.name, start, length)
        self.counts.blocks_read += 1
        self.counts.bytes_read += length
        try:
            return Block(unseal(data, length, start, self.name))
        except ValueError as error:
            raise Damage(self.name, start, str(error)) from None

    def verify_bytes(self) -> None:
        """Check every byte against the digest, whatever the bytes mean."""
        for _ in self.verify_slices():
            pass

    def verify_slices(self) -> Generator[None, None, None]:
        """Do what :meth:`verify_bytes` does, in slices."""
        size = self._disk.size(self.name)
        for sound in compare(partial(self._disk.read, self.name), size, self.info.digest):
            if not sound:
                raise Damage(self.name, 0, "the table does not match its digest")
            yield


class _Parts(NamedTuple):
    """What is in memory of an open table."""

    bloom: Bloom | None
    ranges: Ranges | None
    properties: dict[str, Any]
    index: tuple[list[bytes], tuple[int, ...]]  # type: ignore[assignment]


def _read_parts(disk: Files, name: str, bounds: Bounds) -> _Parts:
    """Read all that lies between data and footer, in one go."""
    tail = disk.read(name, bounds.filter, bounds.footer - bounds.filter)

    def body(start: int, end: int) -> bytes:
        if start == end:
            return b""
        part = tail[start - bounds.filter : end - bounds.filter]
        return unseal(part, end - start, start, name)

    at = bounds.properties
    try:
        properties = json.loads(body(bounds.properties, bounds.index))
        at = bounds.filter
        packed = body(bounds.filter, bounds.ranges)
        bloom = Bloom.from_bytes(packed) if packed else None
        at = bounds.ranges
        packed = body(bounds.ranges, bounds.properties)
        ranges = Ranges(Block(packed).rows()) if packed else None
        at = bounds.index
        index = last_keys, starts = decode_index(body(bounds.index, bounds.footer))
    except ValueError as error:
        raise Damage(name, at, str(error)) from None
    if not isinstance(properties, dict):
        raise Damage(name, bounds.properties, "the properties of a table make no sense")
    sound = starts[-1] == bounds.filter and list(starts) == sorted(starts)
    if not sound or last_keys != sorted(last_keys):
        raise Damage(name, bounds.index, "the index does not cover the data blocks")
    return _Parts(bloom, ranges, properties, index)
