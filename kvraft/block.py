"""Blocks: what a table is read and checked by.

**Any block**, of rows or of something else, lies in its file as a body and a trailer::

    body │ codec u8 │ crc32 u32

The codec is 0 for a body that is not compressed; there is no other yet.  The checksum covers body
and codec and starts from the block's offset in the file, so that a block which landed elsewhere is
not taken for sound.

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

Sources: LevelDB table_format (block trailer); Pebble colblk (columns).
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from itertools import accumulate, pairwise

from kvraft.errors import Damage, Foreign
from kvraft.record import Kind, Row, Version

CODEC_NONE = 0
ROW_OVERHEAD = 4 + 4 + 8 + 1
"""Bytes that a row takes besides key and value: so tombstones count for something."""

_COUNT = struct.Struct("<I")
_CRC = struct.Struct("<I")
_TRAILER_BYTES = 1 + _CRC.size
_PUT, _DELETE = int(Kind.PUT), int(Kind.DELETE)


def seal(body: bytes, offset: int) -> bytes:
    """Return ``body`` as it is written at ``offset`` of its file: with codec and checksum."""
    block = body + bytes((CODEC_NONE,))
    return block + _CRC.pack(zlib.crc32(block, offset & 0xFFFFFFFF))


def unseal(data: bytes, length: int, offset: int, name: str) -> bytes:
    """Return the body of the block of ``length`` bytes that was read at ``offset`` of ``name``.

    Raises :class:`~kvraft.errors.Damage` if the bytes are not what :func:`seal` wrote there, and
    :class:`~kvraft.errors.Foreign` if they need a codec that this version has not.
    """
    if len(data) != length or length < _TRAILER_BYTES:
        raise Damage(name, offset, f"a block is cut short: {len(data)} bytes of {length}")
    body_end, sum_at = length - _TRAILER_BYTES, length - _CRC.size
    found = zlib.crc32(memoryview(data)[:sum_at], offset & 0xFFFFFFFF)
    if found != _CRC.unpack_from(data, sum_at)[0]:
        raise Damage(name, offset, "a block does not match its checksum")
    if data[body_end] != CODEC_NONE:
        raise Foreign(f"{name}, offset {offset}: a block has unknown codec {data[body_end]}")
    return data[:body_end]


class Block:
    """A block of rows, open.  Keys are cut apart at once, values when asked for."""

    __slots__ = ("_body", "_kinds", "_offsets", "_stamps", "keys")

    def __init__(self, body: bytes) -> None:
        """Parse ``body``.

        Raises ``ValueError`` if it cannot be a block: the caller, who knows the file, says where.
        """
        try:
            (n,) = _COUNT.unpack_from(body)
            columns = struct.unpack_from(_columns(n), body)
        except struct.error:
            raise ValueError("a block is too short for its rows") from None
        starts = columns[1 : n + 2]
        self._offsets = columns[n + 2 : 2 * n + 3]  # of the values
        self._stamps = columns[2 * n + 3 : 3 * n + 3]
        self._kinds = columns[3 * n + 3 :]
        meet = starts[0] == _head_bytes(n) and starts[n] == self._offsets[0]
        if n == 0 or not meet or self._offsets[n] != len(body):
            raise ValueError("the columns of a block do not meet")
        self.keys = [body[start:end] for start, end in pairwise(starts)]
        self._body = body

    @staticmethod
    def encode(rows: list[Row]) -> bytes:
        """Return the body of a block of ``rows``, at least one."""
        n = len(rows)
        keys = [key for key, _ in rows]
        stamps = [version.timestamp for _, version in rows]
        kinds = [_PUT if version.value is not None else _DELETE for _, version in rows]
        values = [version.value or b"" for _, version in rows]
        starts = list(accumulate(map(len, keys), initial=_head_bytes(n)))
        offsets = accumulate(map(len, values), initial=starts[n])
        head = struct.pack(_columns(n), n, *starts, *offsets, *stamps, *kinds)
        return b"".join((head, *keys, *values))

    def get(self, key: bytes) -> Version | None:
        """Return the version of ``key``, ``None`` if it is not here."""
        at = bisect_left(self.keys, key)
        if at == len(self.keys) or self.keys[at] != key:
            return None
        return self._version(at)

    def rows(self, start: bytes = b"", stop: bytes | None = None) -> list[Row]:
        """Return the rows with ``start <= key < stop``."""
        low = bisect_left(self.keys, start)
        high = len(self.keys) if stop is None else bisect_left(self.keys, stop)
        return [(self.keys[at], self._version(at)) for at in range(low, high)]

    def _version(self, at: int) -> Version:
        if self._kinds[at] == _DELETE:
            return Version(self._stamps[at], None)
        return Version(self._stamps[at], self._body[self._offsets[at] : self._offsets[at + 1]])


def _columns(n: int) -> str:
    return f"<I{2 * (n + 1)}I{n}Q{n}B"


def _head_bytes(n: int) -> int:
    return 4 + 8 * (n + 1) + 9 * n
