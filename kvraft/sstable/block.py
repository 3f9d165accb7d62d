"""Blocks: the unit in which a table is read and checked.

**Every block**, of rows or of something else, has a body and a trailer::

    body │ codec u8 │ origin u32 │ crc32 u32

The codec is the number of the compression, 0 for none (``sstable/codec.py``).  The origin is that
of the table, which is derived from the names of its first owner and file.  The checksum covers all
before it and starts from the block's offset in the file.  So neither a block at the wrong place nor
a block of another table is valid.

The body of a **block of rows** stores them in columns (``sstable/columns.py``).  What all keys
begin with is stored once.  A column of integers is stored as differences from a *base*, in as few
bytes as the largest of them needs: in 0 bytes if all are equal.  Integers are little-endian::

    offset  size
         0     4  n     rows, at least 1
         4     4  p     bytes that all keys begin with
         8     1  a     bytes of an integer in the column of key lengths: 0, 1, 2 or 4
         9     1  b     … of value lengths: 0, 1, 2 or 4
        10     1  c     … of timestamps: 0, 1, 2, 4 or 8
        11     1  d     1 if there are tombstones, else 0
        12     4  base of the key lengths, without the p bytes
        16     4  base of the value lengths
        20     8  base of the timestamps
        28     p  what all keys begin with
         …    an  key lengths
         …    bn  value lengths
         …    cn  timestamps
         …    dn  1 for a tombstone, else 0; ``b""`` is a value like any other
         …     …  keys, without the p bytes
         …     …  values

Rows ascend by key, and the versions of one key by timestamp.

Sources: LevelDB table_format (block trailer, shared prefixes); Pebble colblk (columns).
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from copy import copy
from itertools import product
from typing import cast

from kvraft.display import counted
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.record import MAX_TIMESTAMP, Row, Timestamp
from kvraft.sstable import codec
from kvraft.sstable.columns import (
    CODES,
    Columns,
    cut,
    integers,
    offsets,
    pack_integers,
    shared_bytes,
    without_prefix,
)

_HEAD = struct.Struct("<II4BIIQ")
_CRC = struct.Struct("<I")
_TAIL = struct.Struct("<BI")  # codec and origin
BLOCK_TRAILER_BYTES = _TAIL.size + _CRC.size
CRC_RESIDUE = zlib.crc32(bytes(4))
"""The checksum of any bytes that end in their own checksum."""
_WIDTHS_OF_COLUMNS = frozenset(product((0, 1, 2, 4), (0, 1, 2, 4), CODES, (0, 1)))
"""Of key lengths, value lengths, timestamps and tombstones."""
_BLOCK_BYTES = 500
"""The memory of a block without its rows."""
_OFFSET_BYTES = 8 + 32
"""The memory of an integer in a list."""
_ROW_BYTES = 3 * 8 + 2 * (33 + 8)
"""The memory of an extracted row without the bytes of key and value: its place in three columns,
and what CPython adds to each ``bytes`` (33, and half of 16 for the rounding)."""
_SHORT = "a block is too short for its rows"


def pack_block(body: bytes, offset: int, origin: int, number: int = codec.NONE) -> bytes:
    """Return ``body`` as a block for ``offset`` of the table of that ``origin``.

    It is compressed by codec ``number``, unless it would not become smaller.
    """
    if number != codec.NONE:
        packed = codec.load(number).pack(body)
        body, number = (packed, number) if len(packed) < len(body) else (body, codec.NONE)
    block = body + _TAIL.pack(number, origin)
    return block + _CRC.pack(zlib.crc32(block, offset & 0xFFFFFFFF))


def unpack_block(data: bytes, length: int, offset: int, origin: int | None, name: str) -> bytes:
    """Return the body of the block of ``length`` bytes that was read at ``offset`` of ``name``.

    ``None`` is any origin.  Raises :class:`~kvraft.errors.Corruption` if the bytes are not what
    :func:`pack_block` wrote there, and :class:`~kvraft.errors.ForeignFile` if their codec is not
    available.
    """
    if len(data) != length or length < BLOCK_TRAILER_BYTES:
        raise Corruption(
            name, offset, f"a block is cut short: {counted(len(data), 'byte')} of {length}"
        )
    if zlib.crc32(data, offset & 0xFFFFFFFF) != CRC_RESIDUE:
        raise Corruption(name, offset, "a block does not match its checksum")
    body_end = length - BLOCK_TRAILER_BYTES
    number, found = _TAIL.unpack_from(data, body_end)
    if origin is not None and found != origin:
        raise Corruption(name, offset, "a block of another table is in the place of this one's")
    if number == codec.NONE:
        return data[:body_end]
    try:
        return codec.load(number).unpack(data[:body_end])
    except BadInput as error:
        raise ForeignFile(f"{name}, offset {offset}: a block needs a codec: {error}") from None
    except ValueError as error:
        raise Corruption(name, offset, str(error)) from None


class Block:
    """A block of rows in memory, ``memory`` bytes of it.

    A new block is *packed*: it answers out of its bytes, extracting no more than it is asked for,
    because most blocks are used once before they leave the cache.  :meth:`extract` replaces the
    bytes by one object for each key and value: twice the memory, for answers in a tenth of the
    time.

    The rest is for the cache: ``uses`` is how often the block was found there, ``uses_before`` is
    that number when the cache last looked, and ``indexed`` says that its rows are on the shelf of
    its table (``sstable/cache.py``).
    """

    __slots__ = (
        "_body", "_deleted", "_key_offsets", "_keys", "_n", "_prefix", "_stamp_base",
        "_stamp_width", "_stamps", "_stamps_at", "_value_offsets", "_values", "indexed", "memory",
        "uses", "uses_before",
    )  # fmt: skip

    def __init__(self, body: bytes) -> None:
        """Parse ``body``.

        Raises ``ValueError`` if it is not a block.  The caller adds file and offset.
        """
        if len(body) < _HEAD.size:
            raise ValueError(_SHORT)
        n, shared, a, b, c, d, key_base, value_base, stamp_base = _HEAD.unpack_from(body)
        key_lengths_at = _HEAD.size + shared
        value_lengths_at = key_lengths_at + a * n
        self._stamps_at = value_lengths_at + b * n
        deleted_at = self._stamps_at + c * n
        keys_at = deleted_at + d * n
        # A row takes at least one byte, for no two have both key and timestamp in common.
        if not 0 < n <= len(body) or keys_at > len(body):
            raise ValueError(_SHORT)
        if (a, b, c, d) not in _WIDTHS_OF_COLUMNS:
            raise ValueError("a block has columns of an unknown width")
        self._n: int = n
        self._body = body
        self._prefix = body[_HEAD.size : key_lengths_at]
        self._stamp_width, self._stamp_base = c, stamp_base
        self._deleted = body[deleted_at:keys_at]
        self._key_offsets = offsets(body, key_lengths_at, n, a, key_base, keys_at)
        values_at = self._key_offsets[n]
        self._value_offsets = offsets(body, value_lengths_at, n, b, value_base, values_at)
        if self._value_offsets[n] != len(body):
            raise ValueError("the columns of a block do not meet")
        self._keys: Sequence[bytes] = ()
        self._values: Sequence[bytes | None] = ()
        self._stamps: Sequence[Timestamp] = ()
        self.uses = self.uses_before = 0
        self.indexed = False
        lists = isinstance(self._key_offsets, list) + isinstance(self._value_offsets, list)
        self.memory = _BLOCK_BYTES + len(body) + lists * (n + 1) * _OFFSET_BYTES

    def __len__(self) -> int:
        return self._n

    def __deepcopy__(self, memo: dict[int, object]) -> Block:
        """Return a block that warms up by itself; the columns are shared: they never change."""
        return copy(self)

    @staticmethod
    def encode(rows: Sequence[Row]) -> bytes:
        """Return the body of a block of ``rows``, in order; at least one is required."""
        return Block.encode_columns(Columns.of(rows))

    @staticmethod
    def encode_columns(columns: Columns) -> bytes:
        """Return the body of a block of ``columns``, as :meth:`encode` does of their rows."""
        keys, key_sizes, stamps, stored, value_sizes, deleted = columns
        n = len(keys)
        shared = shared_bytes(keys[0], keys[-1])  # they are in order: all others share it, too
        prefix = keys[0][:shared]
        if shared:
            keys, key_sizes = without_prefix(keys, key_sizes, shared)
        if 1 not in deleted:
            deleted = b""
        a, key_base, key_lengths = pack_integers(key_sizes)
        b, value_base, value_lengths = pack_integers(value_sizes)
        c, stamp_base, packed = pack_integers(stamps)
        bases = key_base, value_base, stamp_base
        head = _HEAD.pack(n, shared, a, b, c, bool(deleted), *bases)
        return b"".join((head, prefix, key_lengths, value_lengths, packed, deleted, *keys, *stored))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    @property
    def keys(self) -> list[bytes]:
        """The key of each row, in order."""
        return list(self._cut_keys(0, self._n))

    def get(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Row | None:
        """Return the newest version of ``key`` up to ``at``, ``None`` if this block has none."""
        found = None
        for row in range(self._first(key), self._n):
            if self._key(row) != key or (stamp := self._stamp(row)) > at:
                break
            found = key, stamp, self._value(row)
        return found

    def _first(self, key: bytes) -> int:
        """Return the first row of ``key``; if it has none, any number."""
        offsets = self._key_offsets
        if not isinstance(offsets, range) or len(key) != len(self._prefix) + offsets.step:
            return self._find(key)
        # Keys of one length: the whole column is searched by one call, which is faster than a loop.
        start, end, size = offsets.start, offsets[-1], offsets.step
        at = self._body.find(key[len(self._prefix) :], start, end)
        while at >= 0 and (at - start) % size:
            at = self._body.find(key[len(self._prefix) :], at + 1, end)
        return self._n if at < 0 else (at - start) // size

    def pairs(self, start: bytes = b"", stop: bytes | None = None) -> list[tuple[bytes, bytes]]:
        """Return key and value of the rows with ``start <= key < stop``.

        It takes half the time of :meth:`rows`; the block must not contain tombstones.
        """
        low, high = self._between(start, stop)
        values = cast("Sequence[bytes]", self._cut_values(low, high))
        return list(zip(self._cut_keys(low, high), values, strict=True))

    def rows(self, start: bytes = b"", stop: bytes | None = None) -> list[Row]:
        """Return the rows with ``start <= key < stop``."""
        low, high = self._between(start, stop)
        columns = self._cut_keys(low, high), self._cut_stamps(low, high)
        return list(zip(*columns, self._cut_values(low, high), strict=True))

    def _between(self, start: bytes, stop: bytes | None) -> tuple[int, int]:
        low = self._find(start) if start else 0
        return low, self._n if stop is None else max(low, self._find(stop))

    def _find(self, key: bytes) -> int:
        """Return how many rows have a key below ``key``."""
        if self._keys:
            return bisect_left(self._keys, key)
        prefix, body, offsets = self._prefix, self._body, self._key_offsets
        if not key.startswith(prefix):
            return self._n if key > prefix else 0
        rest = key[len(prefix) :]
        low, high = 0, self._n
        while low < high:
            middle = (low + high) // 2
            if body[offsets[middle] : offsets[middle + 1]] < rest:
                low = middle + 1
            else:
                high = middle
        return low

    def _cut_keys(self, low: int, high: int) -> Sequence[bytes]:
        if self._keys:
            return self._keys[low:high]
        keys = cut(self._body, self._key_offsets[low : high + 1])
        return list(map(self._prefix.__add__, keys)) if self._prefix else keys

    def _cut_values(self, low: int, high: int) -> Sequence[bytes | None]:
        if self._keys:
            return self._values[low:high]
        found = cut(self._body, self._value_offsets[low : high + 1])
        if not self._deleted:
            return found
        deleted = self._deleted[low:high]
        return [None if gone else value for value, gone in zip(found, deleted, strict=True)]

    def _cut_stamps(self, low: int, high: int) -> Sequence[Timestamp]:
        if self._keys:
            return self._stamps[low:high]
        width, base = self._stamp_width, self._stamp_base
        return integers(self._body, self._stamps_at + width * low, high - low, width, base)

    def _key(self, row: int) -> bytes:
        if self._keys:
            return self._keys[row]
        offsets = self._key_offsets
        return self._prefix + self._body[offsets[row] : offsets[row + 1]]

    def _value(self, row: int) -> bytes | None:
        if self._keys:
            return self._values[row]
        if self._deleted and self._deleted[row]:
            return None
        offsets = self._value_offsets
        return self._body[offsets[row] : offsets[row + 1]]

    def _stamp(self, row: int) -> Timestamp:
        if self._keys:
            return self._stamps[row]
        width = self._stamp_width
        at = self._stamps_at + width * row
        base: int = self._stamp_base
        return base + int.from_bytes(self._body[at : at + width], "little")

    # ── warming up ──────────────────────────────────────────────────────────────────────────────

    def extract(self) -> None:
        """Replace the packed bytes by an object for each key and value."""
        if self._keys:
            return
        keys, stamps = self._cut_keys(0, self._n), self._cut_stamps(0, self._n)
        values, low = self._cut_values(0, self._n), self._key_offsets[0]
        size = len(self._prefix) * self._n + self._value_offsets[self._n] - low
        self._body = self._prefix = self._deleted = b""
        self._key_offsets = self._value_offsets = ()
        self._keys, self._values, self._stamps = keys, list(values), array("Q", stamps)
        self.memory = _BLOCK_BYTES + _ROW_BYTES * self._n + size

    @property
    def extracted(self) -> bool:
        """Whether :meth:`extract` was called."""
        return bool(self._keys)

    def newest(self) -> Iterable[tuple[bytes, bytes | None]]:
        """Return the keys and values of all rows: for a ``dict``, which keeps the last of a key."""
        return zip(self.keys, self._cut_values(0, self._n), strict=True)
