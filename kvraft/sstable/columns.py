"""The columns of a block of rows: strings and integers, packed and extracted a column at a time.

CPython packs and unpacks a whole column in the time of one step of a loop.  So a chunk of rows is
taken apart into columns once, blocks are slices of these, and the functions below turn a column
into bytes and back.  ``sstable/block.py`` says where the bytes are in a block.

- Integers are stored as differences from a *base*, in as few bytes as the largest of them needs,
  and in none if all are equal.
- Strings are stored one after another, and their lengths as integers; what all keys begin with is
  stored once.

Sources: Goldstein et al., *Compressing Relations and Indexes*, ICDE 1998 (frame of reference);
Pebble colblk (differences from a base).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from kvraft.record import Row, Timestamp

CODES = {0: "", 1: "B", 2: "H", 4: "I", 8: "Q"}
"""How ``struct`` names an integer of so many bytes."""
_WIDTHS = (0, 1, 2, 4, 4, 8, 8, 8, 8)
"""The bytes of an integer in a column, by how many bytes the largest one needs."""


class Columns(NamedTuple):
    """Rows in columns, as a block stores them.

    ``values`` has ``b""`` for a tombstone, and ``deleted`` a 1, else a 0.
    """

    keys: Sequence[bytes] = ()
    key_sizes: Sequence[int] = ()
    stamps: Sequence[Timestamp] = ()
    values: Sequence[bytes] = ()
    value_sizes: Sequence[int] = ()
    deleted: bytes = b""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Columns:
        """Return the columns of ``rows``, at least one."""
        keys, stamps, values = zip(*rows, strict=True)
        key_sizes = list(map(len, keys))
        try:
            return cls(keys, key_sizes, stamps, values, list(map(len, values)), bytes(len(keys)))
        except TypeError:  # there are tombstones; to look for them first would take longer
            deleted = bytes([value is None for value in values])
            values = tuple([value or b"" for value in values])
            return cls(keys, key_sizes, stamps, values, list(map(len, values)), deleted)

    def followed_by(self, other: Columns) -> Columns:
        """Return the rows of both."""
        return Columns(
            [*self.keys, *other.keys],
            [*self.key_sizes, *other.key_sizes],
            [*self.stamps, *other.stamps],
            [*self.values, *other.values],
            [*self.value_sizes, *other.value_sizes],
            self.deleted + other.deleted,
        )

    def part(self, low: int, high: int) -> Columns:
        """Return the rows ``low`` … ``high - 1``."""
        return Columns._make([column[low:high] for column in self])

    def size(self, low: int, high: int) -> int:
        """Return how many bytes the keys and values of the rows ``low`` … ``high - 1`` have."""
        return sum(self.key_sizes[low:high]) + sum(self.value_sizes[low:high])


def shared_bytes(first: bytes, last: bytes) -> int:
    """Return how many bytes ``first`` and ``last`` begin with in common, without a loop."""
    n = min(len(first), len(last))
    differs = int.from_bytes(first[:n], "big") ^ int.from_bytes(last[:n], "big")
    return n - (differs.bit_length() + 7 >> 3)


def without_prefix(
    keys: Sequence[bytes], lengths: Sequence[int], shared: int
) -> tuple[Sequence[bytes], Sequence[int]]:
    """Return ``keys``, which have these ``lengths``, without their first ``shared`` bytes."""
    n, length = len(keys), lengths[0]
    if lengths.count(length) < n:
        return [key[shared:] for key in keys], [length - shared for length in lengths]
    # Keys of one length: all are cut by one call.
    rest = length - shared
    return _layout(f"{shared}x{rest}s" * n).unpack(b"".join(keys)), [rest] * n


def pack_integers(numbers: Sequence[int]) -> tuple[int, int, bytes]:
    """Return the width of a column of ``numbers``, its base and its bytes."""
    n = len(numbers)
    if numbers[0] == numbers[-1] and numbers.count(numbers[0]) == n:
        return 0, numbers[0], b""
    low, high = min(numbers), max(numbers)
    width = _WIDTHS[(high - low).bit_length() + 7 >> 3]
    if high >> 8 * width:
        numbers = [number - low for number in numbers]
    else:
        low = 0  # so that a reader need not add anything
    return width, low, _layout(f"<{n}{CODES[width]}").pack(*numbers)


def integers(body: bytes, at: int, n: int, width: int, base: int) -> Sequence[int]:
    """Return the ``n`` integers of ``width`` bytes at offset ``at``."""
    if not width:
        return [base] * n
    numbers: tuple[int, ...] = _layout(f"<{n}{CODES[width]}").unpack_from(body, at)
    return [base + number for number in numbers] if base else numbers


def offsets(body: bytes, at: int, n: int, width: int, base: int, start: int) -> Sequence[int]:
    """Return where each of ``n`` strings begins, and where the last one ends.

    Their lengths are at offset ``at``, and the first string begins at ``start``.
    """
    if width == 0 and base:
        return range(start, start + n * base + 1, base)
    return list(accumulate(integers(body, at, n, width, base), initial=start))


def cut(body: bytes, offsets: Sequence[int]) -> Sequence[bytes]:
    """Return the strings between ``offsets``."""
    if isinstance(offsets, range):  # strings of one length: four times as fast
        size, count = offsets.step, len(offsets) - 1
        strings: tuple[bytes, ...] = _layout(f"{size}s" * count).unpack_from(body, offsets.start)
        return strings
    return [body[start:end] for start, end in pairwise(offsets)]


@lru_cache(maxsize=256)
def _layout(form: str) -> struct.Struct:
    return struct.Struct(form)
