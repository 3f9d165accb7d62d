"""Blocks: what a table is read and checked by.

**Any block**, of rows or of something else, lies in its file as a body and a trailer::

    body │ codec u8 │ crc32 u32

The codec says how the body was made smaller, 0 if it was not (``codec.py``).  The checksum covers
body and codec and starts from the block's offset in the file, so that a block which landed
elsewhere is not taken for sound.

The body of a **block of rows** holds them in columns, for CPython packs and unpacks a whole column
at the price of one step of a loop.  Integers are little-endian; offsets count from the start of the
body, and each column of offsets is one longer than *n*, to end the last item::

    offset       size
         0          4  n            rows, at least 1
         4     4(n+1)  key offsets
         …     4(n+1)  value offsets
         …         8n  timestamps
         …          n  kinds        1 put, 2 delete: ``b""`` is a value like any other
         …          …  keys
         …          …  values

Rows are in order: by key, and the versions of one key by timestamp.

Sources: LevelDB table_format (block trailer); Pebble colblk (columns).
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate, pairwise

from kvraft import codec
from kvraft.errors import BadInput, Damage, Foreign
from kvraft.record import MAX_TIMESTAMP, Kind, Row, Timestamp

ROW_OVERHEAD = 4 + 4 + 8 + 1
"""Bytes that a row takes besides key and value: so tombstones count for something."""

_COUNT = struct.Struct("<I")
_CRC = struct.Struct("<I")
TRAILER_BYTES = 1 + _CRC.size
_PUT, _DELETE = int(Kind.PUT), int(Kind.DELETE)
_OBJECT_BYTES = 200  # about what an open block takes besides its body


def seal(body: bytes, offset: int, number: int = codec.NONE) -> bytes:
    """Return ``body`` as it is written at ``offset`` of its file: packed by a codec, and checked.

    ``number`` is the codec's; a body that would not become smaller is left as it is.
    """
    if number != codec.NONE:
        packed = codec.load(number).pack(body)
        body, number = (packed, number) if len(packed) < len(body) else (body, codec.NONE)
    block = body + bytes((number,))
    return block + _CRC.pack(zlib.crc32(block, offset & 0xFFFFFFFF))


def unseal(data: bytes, length: int, offset: int, name: str) -> bytes:
    """Return the body of the block of ``length`` bytes that was read at ``offset`` of ``name``.

    Raises :class:`~kvraft.errors.Damage` if the bytes are not what :func:`seal` wrote there, and
    :class:`~kvraft.errors.Foreign` if they need a codec that is not here.
    """
    if len(data) != length or length < TRAILER_BYTES:
        raise Damage(name, offset, f"a block is cut short: {len(data)} bytes of {length}")
    body_end, sum_at = length - TRAILER_BYTES, length - _CRC.size
    found = zlib.crc32(memoryview(data)[:sum_at], offset & 0xFFFFFFFF)
    if found != _CRC.unpack_from(data, sum_at)[0]:
        raise Damage(name, offset, "a block does not match its checksum")
    if data[body_end] == codec.NONE:
        return data[:body_end]
    try:
        return codec.load(data[body_end]).unpack(data[:body_end])
    except BadInput as error:
        raise Foreign(f"{name}, offset {offset}: a block needs a codec: {error}") from None
    except ValueError as error:
        raise Damage(name, offset, str(error)) from None


class Block:
    """A block of rows, open.  Keys and values are cut out of it when asked for.

    ``memory`` is about how many bytes it takes.
    """

    __slots__ = ("_body", "_keys", "_kinds_at", "_n", "_offsets", "_stamps", "_starts", "memory")

    def __init__(self, body: bytes) -> None:
        """Parse ``body``.

        Raises ``ValueError`` if it cannot be a block: the caller, who knows the file, says where.
        """
        try:
            (n,) = _COUNT.unpack_from(body)
            columns = _columns(n).unpack_from(body, 4)
        except (struct.error, OverflowError, MemoryError):
            raise ValueError("a block is too short for its rows") from None
        self._n = n
        self._starts = starts = columns[: n + 1]
        self._offsets = offsets = columns[n + 1 : 2 * n + 2]  # of the values
        self._stamps = columns[2 * n + 2 :]
        self._kinds_at = _head_bytes(n) - n
        meet = starts[0] == _head_bytes(n) and starts[n] == offsets[0]
        if n == 0 or not meet or offsets[n] != len(body):
            raise ValueError("the columns of a block do not meet")
        self._body = body
        self._keys: list[bytes] | None = None
        self.memory = len(body) + 8 * len(columns) + _OBJECT_BYTES

    def __len__(self) -> int:
        return self._n

    @staticmethod
    def encode(rows: list[Row]) -> bytes:
        """Return the body of a block of ``rows``, at least one."""
        n = len(rows)
        keys, stamps, values = zip(*rows, strict=True)
        if None in values:
            kinds = bytes([_DELETE if value is None else _PUT for value in values])
            values = tuple([value or b"" for value in values])
        else:
            kinds = bytes((_PUT,)) * n
        starts = list(accumulate(map(len, keys), initial=_head_bytes(n)))
        offsets = accumulate(map(len, values), initial=starts[n])
        head = _COUNT.pack(n) + _columns(n).pack(*starts, *offsets, *stamps)
        return b"".join((head, kinds, *keys, *values))

    @property
    def keys(self) -> list[bytes]:
        """The key of each row, in order."""
        if self._keys is None:
            body = self._body
            self._keys = [body[start:end] for start, end in pairwise(self._starts)]
        return self._keys

    def get(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Row | None:
        """Return the newest version of ``key`` at ``at``, ``None`` if there is none here."""
        row = bisect_right(self.keys, key) - 1
        while row >= 0 and self.keys[row] == key:
            if self._stamps[row] <= at:
                return key, self._stamps[row], self._value(row)
            row -= 1
        return None

    def rows(self, start: bytes = b"", stop: bytes | None = None) -> list[Row]:
        """Return the rows with ``start <= key < stop``."""
        keys, body, offsets = self.keys, self._body, self._offsets
        low = bisect_left(keys, start) if start else 0
        high = self._n if stop is None else bisect_left(keys, stop)
        kinds = body[self._kinds_at + low : self._kinds_at + high]
        ends = offsets[low : high + 1]
        values: list[bytes | None] = [body[begin:end] for begin, end in pairwise(ends)]
        at = kinds.find(_DELETE)
        while at >= 0:
            values[at] = None
            at = kinds.find(_DELETE, at + 1)
        return list(zip(keys[low:high], self._stamps[low:high], values, strict=True))

    def _value(self, row: int) -> bytes | None:
        if self._body[self._kinds_at + row] == _DELETE:
            return None
        return self._body[self._offsets[row] : self._offsets[row + 1]]


@lru_cache(maxsize=256)
def _columns(n: int) -> struct.Struct:
    """Return the columns of integers of a block of ``n`` rows, behind the count."""
    return struct.Struct(f"<{2 * (n + 1)}I{n}Q")


def _head_bytes(n: int) -> int:
    return 4 + 8 * (n + 1) + 9 * n
