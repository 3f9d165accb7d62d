"""Blocks: the unit in which a table is read and checked.

**Every block**, of rows or of something else, has a body and a trailer::

    body │ codec u8 │ crc32 u32

The codec is the number of the compression, 0 for none (``sstable/codec.py``).  The checksum covers
body and codec and starts from the block's offset in the file, so that a block at the wrong place is
not valid.

The body of a **block of rows** stores them in columns, because CPython packs and unpacks a whole
column in the time of one step of a loop.  Integers are little-endian.  Offsets count from the start
of the body; each column of offsets has *n* + 1 items, so that the last row has an end::

    offset       size
         0          4  n            rows, at least 1
         4     4(n+1)  key offsets
         …     4(n+1)  value offsets
         …         8n  timestamps
         …          n  kinds        1 put, 2 delete; ``b""`` is a value like any other
         …          …  keys
         …          …  values

Rows ascend by key, and the versions of one key by timestamp.

Sources: LevelDB table_format (block trailer); Pebble colblk (columns).
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate, pairwise

from kvraft.display import counted
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.record import MAX_TIMESTAMP, Kind, Row, Timestamp
from kvraft.sstable import codec

_COUNT = struct.Struct("<I")
_CRC = struct.Struct("<I")
_STAMP = struct.Struct("<Q")
BLOCK_TRAILER_BYTES = 1 + _CRC.size
_CRC_RESIDUE = zlib.crc32(bytes(4))
"""The checksum of any bytes that end in their own checksum."""
_PUT, _DELETE = int(Kind.PUT), int(Kind.DELETE)
_KEY_OBJECT_BYTES = 57  # the memory of a key as an object, without its bytes


def pack_block(body: bytes, offset: int, number: int = codec.NONE) -> bytes:
    """Return ``body`` as a block for ``offset`` of its file, compressed by codec ``number``.

    A body that would not become smaller is stored uncompressed.
    """
    if number != codec.NONE:
        packed = codec.load(number).pack(body)
        body, number = (packed, number) if len(packed) < len(body) else (body, codec.NONE)
    block = body + bytes((number,))
    return block + _CRC.pack(zlib.crc32(block, offset & 0xFFFFFFFF))


def unpack_block(data: bytes, length: int, offset: int, name: str) -> bytes:
    """Return the body of the block of ``length`` bytes that was read at ``offset`` of ``name``.

    Raises :class:`~kvraft.errors.Corruption` if the bytes are not what :func:`pack_block` wrote
    there, and :class:`~kvraft.errors.ForeignFile` if their codec is not available.
    """
    if len(data) != length or length < BLOCK_TRAILER_BYTES:
        raise Corruption(
            name, offset, f"a block is cut short: {counted(len(data), 'byte')} of {length}"
        )
    if zlib.crc32(data, offset & 0xFFFFFFFF) != _CRC_RESIDUE:
        raise Corruption(name, offset, "a block does not match its checksum")
    body_end = length - BLOCK_TRAILER_BYTES
    if data[body_end] == codec.NONE:
        return data[:body_end]
    try:
        return codec.load(data[body_end]).unpack(data[:body_end])
    except BadInput as error:
        raise ForeignFile(f"{name}, offset {offset}: a block needs a codec: {error}") from None
    except ValueError as error:
        raise Corruption(name, offset, str(error)) from None


class Block:
    """A block of rows in memory.  Keys and values are extracted when they are needed.

    ``memory`` is about how many bytes it takes, the extracted keys included.
    """

    __slots__ = ("_body", "_keys", "_kinds_at", "_n", "_offsets", "_probed", "_stamps_at", "memory")

    def __init__(self, body: bytes) -> None:
        """Parse ``body``.

        Raises ``ValueError`` if it is not a block.  The caller adds file and offset.
        """
        n = _COUNT.unpack_from(body)[0] if len(body) >= 4 else 0
        head = _head_bytes(n)
        if n == 0 or len(body) < head:
            raise ValueError("a block is too short for its rows")
        stamps_at = 4 + 8 * (n + 1)
        self._n = n
        self._offsets = offsets = _column("I", body[4:stamps_at])  # of the keys, then of the values
        self._stamps_at = stamps_at
        self._kinds_at = head - n
        if offsets[0] != head or offsets[n] != offsets[n + 1] or offsets[-1] != len(body):
            raise ValueError("the columns of a block do not meet")
        self._body = body
        self._keys: list[bytes] | None = None
        self._probed = False
        self.memory = len(body) + head + n * _KEY_OBJECT_BYTES + offsets[n] - head

    def __len__(self) -> int:
        return self._n

    @staticmethod
    def encode(rows: list[Row]) -> bytes:
        """Return the body of a block of ``rows``; at least one is required."""
        n = len(rows)
        keys, stamps, values = zip(*rows, strict=True)
        if None in values:
            kinds = bytes([_DELETE if value is None else _PUT for value in values])
            values = tuple([value or b"" for value in values])
        else:
            kinds = bytes((_PUT,)) * n
        starts = list(accumulate(map(len, keys), initial=_head_bytes(n)))
        offsets = accumulate(map(len, values), initial=starts[n])
        head = _columns(n).pack(n, *starts, *offsets, *stamps)
        return b"".join((head, kinds, *keys, *values))

    @property
    def keys(self) -> list[bytes]:
        """The key of each row, in order."""
        if self._keys is None:
            body = self._body
            starts = self._offsets[: self._n + 1].tolist()
            self._keys = [body[start:end] for start, end in pairwise(starts)]
        return self._keys

    def get(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Row | None:
        """Return the newest version of ``key`` up to ``at``, ``None`` if this block has none."""
        row = (bisect_right(self._keys or self.keys, key) if self._probed else self._find(key)) - 1
        body, offsets = self._body, self._offsets
        while row >= 0 and body[offsets[row] : offsets[row + 1]] == key:
            (timestamp,) = _STAMP.unpack_from(body, self._stamps_at + 8 * row)
            if timestamp <= at:
                if body[self._kinds_at + row] == _DELETE:
                    return key, timestamp, None
                value = self._n + 1 + row
                return key, timestamp, body[offsets[value] : offsets[value + 1]]
            row -= 1
        return None

    def _find(self, key: bytes) -> int:
        """Return how many rows have a key that is at most ``key``, without extracting all keys.

        Only for the first probe: most blocks are probed once before they leave the cache, and
        extracting all keys takes longer than looking at a few.
        """
        self._probed = True
        body, offsets = self._body, self._offsets
        low, high = 0, self._n
        while low < high:
            middle = (low + high) // 2
            if key < body[offsets[middle] : offsets[middle + 1]]:
                high = middle
            else:
                low = middle + 1
        return low

    def pairs(self, start: bytes = b"", stop: bytes | None = None) -> list[tuple[bytes, bytes]]:
        """Return key and value of the rows with ``start <= key < stop``.

        It takes half the time of :meth:`rows`; the block must not contain tombstones.
        """
        low, high = self._between(start, stop)
        return list(zip(self.keys[low:high], self._values(low, high), strict=True))

    def rows(self, start: bytes = b"", stop: bytes | None = None) -> list[Row]:
        """Return the rows with ``start <= key < stop``."""
        low, high = self._between(start, stop)
        values: list[bytes | None] = [*self._values(low, high)]
        kinds = self._body[self._kinds_at + low : self._kinds_at + high]
        at = kinds.find(_DELETE)
        while at >= 0:
            values[at] = None
            at = kinds.find(_DELETE, at + 1)
        first = self._stamps_at + 8 * low
        stamps = _column("Q", self._body[first : first + 8 * (high - low)])
        return list(zip(self.keys[low:high], stamps, values, strict=True))

    def _between(self, start: bytes, stop: bytes | None) -> tuple[int, int]:
        low = bisect_left(self.keys, start) if start else 0
        return low, self._n if stop is None else bisect_left(self.keys, stop)

    def _values(self, low: int, high: int) -> list[bytes]:
        body, first = self._body, self._n + 1
        ends = self._offsets[first + low : first + high + 1].tolist()
        return [body[begin:end] for begin, end in pairwise(ends)]


@lru_cache(maxsize=256)
def _columns(n: int) -> struct.Struct:
    """Return the layout of the count and the integer columns of a block of ``n`` rows."""
    return struct.Struct(f"<I{2 * (n + 1)}I{n}Q")


def _column(code: str, data: bytes) -> array[int]:
    column = array(code, data)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _head_bytes(n: int) -> int:
    return 4 + 8 * (n + 1) + 9 * n
