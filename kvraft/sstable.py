"""SSTables: sorted runs on disk, written once, never changed.

A table is a row of blocks and a footer; a reader starts at the end::

    ┌────────────┬────────────┬─────┬────────┬────────────┬───────┬────────┐
    │ data block │ data block │  …  │ filter │ properties │ index │ footer │
    └────────────┴────────────┴─────┴────────┴────────────┴───────┴────────┘

Every part but the footer is a checksummed block (``block.py``); all integers are little-endian.

- A **data block** holds rows in ascending order: about ``block_bytes`` bytes, but whole rows.
- The **filter** is a bloom filter of all keys, those of tombstones among them (``bloom.py``).
- The **properties** are JSON: what can be known of the table without its data.
- The **index** has the last key of each of the *n* data blocks, and where in the file each begins,
  and the last one ends::

      offset       size
           0          4  n
           4     4(n+1)  offsets of the last keys in the index
           …     8(n+1)  offsets of the data blocks in the file
           …          …  last keys

- The **footer**, 64 bytes; its size and its last 16 bytes stay the same in every format to come::

      offset  size
           0    32  4 offsets: where filter, properties, index and footer begin
          32     8  digest of everything before the footer: BLAKE2b, 8 bytes of it
          40     8  zero
          48     4  format version, 1
          52     4  crc32 of the 52 bytes above
          56     8  magic "kvSSTbl1"

A table is known by what is in it, its **digest**.  Neither the number in the file's name nor the
owner counts, so a snapshot can carry a table to another member, byte for byte (``snapshot.py``);
the properties tell who wrote it first, and under which number.  The manifest names each table with
its digest, so a file that took another's place is found out.  (A CRC over the file would not do: of
bytes that end in their own CRC, as blocks do, it is the same whatever they are.)

Invariants:

- Keys ascend strictly; one version a key.
- Every checksum is verified on every read.  What does not add up is
  :class:`~kvraft.errors.Damage`; the data blocks are read only when asked for.
- A table is on disk, synced, its directory too, before :func:`write_table` returns.

Source: LevelDB table_format (blocks, filter, index, footer).
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

from kvraft.block import ROW_OVERHEAD, Block, seal, unseal
from kvraft.bloom import Bloom
from kvraft.disk import Disk
from kvraft.errors import BadInput, Damage, Foreign
from kvraft.record import Row, Version
from kvraft.tableinfo import TableInfo, table_name

FORMAT = 1
MAGIC = b"kvSSTbl1"
BLOCK_BYTES = 4096
BITS_PER_KEY = 10

_FOOTER = struct.Struct("<5Q8xI")
_FOOTER_BYTES = 64
_END = struct.Struct("<I8s")  # of the footer: its checksum and the magic
_COUNT = struct.Struct("<I")
_KEYS_PER_SLICE = 1000  # when the filter is built


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def write_table(
    disk: Disk,
    number: int,
    rows: Iterable[Row],
    *,
    owner: str,
    block_bytes: int = BLOCK_BYTES,
    bits_per_key: int = BITS_PER_KEY,
) -> Generator[None, None, TableInfo | None]:
    """Write ``rows`` as table ``number`` in slices; return what the manifest is to know of it.

    A slice is one block of about ``block_bytes`` (a row is never split), a part of the filter, or
    the rest.  The table is durable when the generator returns, at level 0.  No rows make no table:
    then it returns ``None``.  A job that is dropped half-way leaves a file that nobody knows of.

    Raises ``BadInput`` unless keys ascend strictly, ``OSError`` if the disk fails, and
    ``FileExistsError`` if the number was used before.
    """
    file = _Writer(disk, table_name(number))
    summary = _Summary()
    pending: list[Row] = []
    size = 0
    for row in rows:
        size += summary.add(row)
        pending.append(row)
        if size >= block_bytes:
            file.add_block(pending)
            pending, size = [], 0
            yield
    if pending:
        file.add_block(pending)
        yield
    if not summary.keys:
        return None
    bloom = Bloom.sized(len(summary.keys), bits_per_key)
    for at in range(0, len(summary.keys), _KEYS_PER_SLICE):
        bloom.add(summary.keys[at : at + _KEYS_PER_SLICE])
        yield
    properties = summary.properties(number, owner, block_bytes, bits_per_key)
    digest = file.add_rest(bloom, properties)
    yield
    disk.sync(file.name)
    disk.sync_dir()
    return _info(properties, number, file.size, digest)


class _Writer:
    """A table's file while it grows.  It is made when there is something to put in."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.name = name
        self.size = 0
        self._hash = _hash()
        self._last_keys: list[bytes] = []
        self._starts = [0]  # of each data block, and of what comes next
        self._disk = disk

    def add_block(self, rows: list[Row]) -> None:
        self._append(seal(Block.encode(rows), self.size))
        self._last_keys.append(rows[-1][0])
        self._starts.append(self.size)

    def add_rest(self, bloom: Bloom, properties: dict[str, Any]) -> int:
        """Add all that follows the data, and return the table's digest."""
        bounds = (
            self._append(seal(bloom.to_bytes(), self.size)),
            self._append(seal(json.dumps(properties).encode(), self.size)),
            self._append(seal(_encode_index(self._last_keys, self._starts), self.size)),
            self.size,
        )
        digest = _digest(self._hash)
        footer = _FOOTER.pack(*bounds, digest, FORMAT)
        self._append(footer + _END.pack(zlib.crc32(footer), MAGIC))
        return digest

    def _append(self, data: bytes) -> int:
        """Add ``data`` and return the offset at which it begins."""
        if self.size == 0:
            self._disk.create(self.name)
        offset = self.size
        self._disk.append(self.name, data)
        self.size += len(data)
        self._hash.update(data)
        return offset


class _Summary:
    """What is gathered while rows go by: the keys for the filter, and the properties."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self._tombstones = 0
        self._raw_bytes = 0
        self._min = self._max = 0

    def add(self, row: Row) -> int:
        """Take note of a row and return what it adds to a block; ``BadInput`` if out of order."""
        key, (timestamp, value) = row
        if not self.keys:
            self._min = timestamp
        elif key <= self.keys[-1]:
            raise BadInput(f"keys must ascend: {key!r} comes after {self.keys[-1]!r}")
        self.keys.append(key)
        self._min = min(self._min, timestamp)
        self._max = max(self._max, timestamp)
        self._tombstones += value is None
        size = len(key) + len(value or b"")
        self._raw_bytes += size
        return size + ROW_OVERHEAD

    def properties(
        self, number: int, owner: str, block_bytes: int, bits_per_key: int
    ) -> dict[str, Any]:
        """Return the properties block; keys are written in hexadecimal."""
        return {
            "number": number,
            "owner": owner,
            "rows": len(self.keys),
            "tombstones": self._tombstones,
            "first_key": self.keys[0].hex(),
            "last_key": self.keys[-1].hex(),
            "min_timestamp": self._min,
            "max_timestamp": self._max,
            "raw_bytes": self._raw_bytes,
            "block_bytes": block_bytes,
            "bits_per_key": bits_per_key,
        }


def _hash(data: bytes | memoryview = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=8)


def _digest(whole: hashlib.blake2b) -> int:
    return int.from_bytes(whole.digest(), "little")


def _encode_index(last_keys: list[bytes], starts: list[int]) -> bytes:
    n = len(last_keys)
    offsets = accumulate(map(len, last_keys), initial=4 + 12 * (n + 1))
    return b"".join((struct.pack(f"<I{n + 1}I{n + 1}Q", n, *offsets, *starts), *last_keys))


def _decode_index(body: bytes) -> tuple[list[bytes], tuple[int, ...]]:
    """Return the last key of each block and where blocks begin; ``ValueError`` if not sound."""
    try:
        (n,) = _COUNT.unpack_from(body)
        columns = struct.unpack_from(f"<{n + 1}I{n + 1}Q", body, _COUNT.size)
    except struct.error:
        raise ValueError("the index is too short for its blocks") from None
    offsets, starts = columns[: n + 1], columns[n + 1 :]
    if n == 0 or (offsets[0], offsets[n], starts[0]) != (4 + 12 * (n + 1), len(body), 0):
        raise ValueError("the columns of the index do not meet")
    return [body[start:end] for start, end in pairwise(offsets)], starts


def _info(properties: dict[str, Any], number: int, size: int, digest: int) -> TableInfo:
    """Return ``properties`` as the manifest knows them; ``ValueError`` if they are none."""
    try:
        return TableInfo(
            number=number,
            level=0,
            rows=int(properties["rows"]),
            tombstones=int(properties["tombstones"]),
            size=size,
            first_key=bytes.fromhex(properties["first_key"]),
            last_key=bytes.fromhex(properties["last_key"]),
            min_timestamp=int(properties["min_timestamp"]),
            max_timestamp=int(properties["max_timestamp"]),
            digest=digest,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the properties lack something: {error}") from None


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def is_table(data: bytes | memoryview, digest: int) -> bool:
    """Return whether ``data`` is, to the last byte, the table that is known by ``digest``."""
    end = len(data) - _FOOTER_BYTES
    if end < 0 or _digest(_hash(data[:end])) != digest:
        return False
    footer = bytes(data[end:])
    head, rest = footer[: _FOOTER.size], footer[_FOOTER.size :]
    return _FOOTER.unpack(head)[4] == digest and rest == _END.pack(zlib.crc32(head), MAGIC)


class Table:
    """One table, open: its index and its filter are in memory, its data on disk."""

    def __init__(
        self,
        disk: Disk,
        info: TableInfo,
        bloom: Bloom,
        index: tuple[list[bytes], tuple[int, ...]],
    ) -> None:
        self.info = info
        self.name = table_name(info.number)
        self.bloom = bloom
        self._disk = disk
        self._last_keys, self._starts = index

    @classmethod
    def open(cls, disk: Disk, table: TableInfo | int) -> Table:
        """Open a table by its number, or as the manifest knows it.

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
        bounds, digest = _read_footer(disk, name, size)
        if isinstance(table, TableInfo) and table.digest != digest:
            raise Damage(name, 0, "this is not the table that the manifest means")
        filter_at, properties_at, index_at, footer_at = bounds
        tail = disk.read(name, filter_at, footer_at - filter_at)

        def body(start: int, end: int) -> bytes:
            return unseal(tail[start - filter_at : end - filter_at], end - start, start, name)

        at = properties_at
        try:
            properties = json.loads(body(properties_at, index_at))
            info = _info(properties, number, size, digest)
            at = filter_at
            bloom = Bloom.from_bytes(body(filter_at, properties_at))
            at = index_at
            index = _decode_index(body(index_at, footer_at))
        except ValueError as error:
            raise Damage(name, at, str(error)) from None
        last_keys, starts = index
        covers = starts[-1] == filter_at and last_keys[-1] == info.last_key
        if not covers or list(starts) != sorted(starts):
            raise Damage(name, index_at, "the index does not cover the data blocks")
        if isinstance(table, TableInfo):
            if replace(info, level=table.level) != table:
                raise Damage(name, 0, "the table is not what the manifest says of it")
            info = table
        return cls(disk, info, bloom, index)

    @property
    def blocks(self) -> int:
        """How many data blocks the table has."""
        return len(self._last_keys)

    def may_contain(self, key: bytes) -> bool:
        """Return whether ``key`` may be here; ``False`` is certain and reads nothing."""
        return self.info.first_key <= key <= self.info.last_key and key in self.bloom

    def get(self, key: bytes) -> Version | None:
        """Return what ``key`` holds here, maybe a tombstone; ``None`` if it is not here."""
        if not self.may_contain(key):
            return None
        return self.read_block(bisect_left(self._last_keys, key)).get(key)

    def scan(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Row]:
        """Yield the rows with ``start <= key < stop`` in ascending order; no ``stop``, no end."""
        for at in range(bisect_left(self._last_keys, start), self.blocks):
            yield from self.read_block(at).rows(start, stop)
            if stop is not None and self._last_keys[at] >= stop:
                return

    def read_block(self, at: int) -> Block:
        """Read and check the data block ``at``, counted from 0."""
        start, end = self._starts[at], self._starts[at + 1]
        data = self._disk.read(self.name, start, end - start)
        try:
            return Block(unseal(data, end - start, start, self.name))
        except ValueError as error:
            raise Damage(self.name, start, str(error)) from None

    def verify(self) -> None:
        """Read every byte, and check order, index, filter and properties against the rows."""
        summary = _Summary()
        for at, last_key in enumerate(self._last_keys):
            block, offset = self.read_block(at), self._starts[at]
            try:
                for row in block.rows():
                    summary.add(row)
            except BadInput as error:
                raise Damage(self.name, offset, str(error)) from None
            if block.keys[-1] != last_key:
                raise Damage(self.name, offset, "a block does not end where the index says")
            if not all(key in self.bloom for key in block.keys):
                raise Damage(self.name, offset, "a block has a key that is not in the filter")
        info = self.info
        found = _info(summary.properties(0, "", 0, 0), info.number, info.size, info.digest)
        if replace(found, level=info.level) != info:
            raise Damage(self.name, 0, "the properties do not describe the rows")
        self.verify_bytes()

    def verify_bytes(self) -> None:
        """Check every byte against the digest, whatever the bytes mean."""
        if not is_table(self._disk.read(self.name), self.info.digest):
            raise Damage(self.name, 0, "the table does not match its digest")


def _read_footer(disk: Disk, name: str, size: int) -> tuple[tuple[int, int, int, int], int]:
    """Return where filter, properties, index and footer begin, and the table's digest."""
    at = size - _FOOTER_BYTES
    if at < 0:
        raise Damage(name, 0, f"a file of {size} bytes is no table")
    data = disk.read(name, at, _FOOTER_BYTES)
    if len(data) != _FOOTER_BYTES or not data.endswith(MAGIC):
        raise Damage(name, at, "the file does not end in a table's footer")
    checksum, _ = _END.unpack_from(data, _FOOTER.size)
    if zlib.crc32(data[: _FOOTER.size]) != checksum:
        raise Damage(name, at, "the footer does not match its checksum")
    filter_at, properties_at, index_at, footer_at, digest, version = _FOOTER.unpack_from(data)
    if version != FORMAT:
        raise Foreign(f"{name} has format {version}; this version reads format {FORMAT}")
    if not 0 < filter_at < properties_at < index_at < footer_at == at:
        raise Damage(name, at, "the footer makes no sense")
    return (filter_at, properties_at, index_at, footer_at), digest
