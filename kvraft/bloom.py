"""The Bloom filter: a set of keys that answers "certainly not here" or "maybe".

It is an array of *m* bits.  Each key sets *k* of them; a key is certainly absent if one of its bits
is not set.  Most reads of a table that does not have the key end here, without reading the disk.

As bytes, little-endian::

    offset  size
         0     4  k     bits per key
         4     4  m     bits in total
         8     …  the bits, bit i in byte i // 8, lowest first; ceil(m / 8) bytes

Invariants:

- No false negatives: a key that was added is always "maybe".
- The bits depend only on the keys, through one hash function (murmur3, 128 bits, seed 0).
- A reader takes *k* and *m* from the bytes, so tables written with other settings stay readable.

In memory each bit takes a byte, because CPython reads and writes a byte of a ``bytearray`` several
times faster than a bit of it; for eight times the memory, probing and adding are twice as fast.

The *k* positions are h, h + d, h + 2d, … modulo m, from two 64-bit halves of one hash (Kirsch and
Mitzenmacher, *Less Hashing, Same Performance*, ESA 2006).  The rest is from LevelDB bloom.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.murmur3 import digest, digests

MIN_BITS = 128
"""With fewer bits, small tables would have far more false positives than in theory."""

_HEAD = struct.Struct("<II")
_MAX_K = 30
_FOLD_BYTES = 1 << 16


class BloomFilter:
    """A filter of ``m`` bits, of which each key sets ``k``.

    >>> bloom = BloomFilter.build([b"here", b"deleted, but its tombstone is here"])
    >>> b"here" in bloom, b"elsewhere" in bloom
    (True, False)
    """

    def __init__(self, k: int, m: int, bits: bytearray) -> None:
        """Wrap ``m`` bits, each in a byte; use :meth:`build` or :meth:`from_bytes`."""
        self.k = k
        self.m = m
        self._bits = bits

    @classmethod
    def sized(cls, keys: int, bits_per_key: int = 10) -> BloomFilter:
        """Return an empty filter sized for that many ``keys``."""
        if bits_per_key < 1:
            raise BadInput(f"a filter needs at least 1 bit a key, not {bits_per_key}")
        m = max(MIN_BITS, keys * bits_per_key)
        # The best k is bits_per_key · ln 2; rounding down costs little and probes less.
        k = min(max(1, int(bits_per_key * math.log(2))), _MAX_K)
        return cls(k, m, bytearray(m))

    @classmethod
    def build(cls, keys: Iterable[bytes], bits_per_key: int = 10) -> BloomFilter:
        """Return the filter of ``keys``, which must include those of tombstones."""
        keys = list(keys)
        builder = BloomFilterBuilder(len(keys), bits_per_key)
        builder.add(keys)
        while builder.fold():
            pass
        return builder.bloom

    def add(self, keys: Iterable[bytes]) -> None:
        """Add ``keys``.  More keys than the filter is sized for raise its error rate."""
        m, k, bits = self.m, self.k, self._bits
        for h, d in digests(keys):
            h, d = h % m, d % m  # small numbers first: they make the steps below cheap
            for _ in range(k):
                bits[h] = 1
                h += d
                if h >= m:
                    h -= m

    def __contains__(self, key: bytes) -> bool:
        return not self.excludes(key)

    def excludes(self, key: bytes) -> bool:
        """Return whether ``key`` was certainly not added."""
        m, bits = self.m, self._bits
        h, d = digest(key)
        h %= m
        if not bits[h]:  # half of the keys that were not added end here
            return True
        d %= m
        for _ in range(self.k - 1):
            h += d
            if h >= m:
                h -= m
            if not bits[h]:
                return True
        return False

    def expected_fpr(self, keys: int) -> float:
        """Return the expected share of absent keys that pass a filter of ``keys`` keys.

        A bit is unset with probability (1 - 1/m)^(k·keys), and a false positive finds k bits set.
        It takes these for independent, which they nearly are in a large filter and not in a tiny
        one: lesson 07 measures both.
        """
        return float((1 - (1 - 1 / self.m) ** (self.k * keys)) ** self.k)

    def to_bytes(self) -> bytes:
        """Return the filter as bytes, in the layout above."""
        # Bit n of every byte at once.  A loop over the bits takes as long as all the hashing: for
        # 20,000 keys 120 ms, and this 2.
        packed = 0
        for n in range(8):
            packed |= int.from_bytes(self._bits[n::8], "little") << n
        return _HEAD.pack(self.k, self.m) + packed.to_bytes(-(-self.m // 8), "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> BloomFilter:
        """Return the filter that :meth:`to_bytes` wrote.

        Raises ``ValueError`` if the bytes are not a filter.  The caller adds file and offset.
        """
        if len(data) < _HEAD.size:
            raise ValueError("the filter is cut short")
        k, m = _HEAD.unpack_from(data)
        if not (1 <= k <= _MAX_K and m >= 1 and len(data) == _HEAD.size + -(-m // 8)):
            raise ValueError(
                f"a filter of {counted(len(data), 'byte')} cannot have k = {k} and m = {m}"
            )
        packed, size = int.from_bytes(data[_HEAD.size :], "little"), -(-m // 8)
        if packed >> m:
            raise ValueError(f"a filter has bits set after its {m} bits")
        bits, ones = bytearray(8 * size), int.from_bytes(b"\1" * size, "little")
        for n in range(8):
            bits[n::8] = (packed >> n & ones).to_bytes(size, "little")
        return cls(k, m, bits[:m])


def positions(key: bytes, k: int, m: int) -> list[int]:
    """Return the ``k`` bits that ``key`` sets in a filter of ``m`` bits."""
    h, d = digest(key)
    h, d = h % m, d % m
    return [(h + step * d) % m for step in range(k)]


class BloomFilterBuilder:
    """Builds the filter that :meth:`BloomFilter.add` would, of many keys, in half the time.

    It sets all *k* bits of a key by one slice assignment, into *k* rows of *m* bits, and so without
    the wrap-around at *m*.  :meth:`fold` then ORs the rows, part by part, until it returns
    ``False``; :attr:`bloom` is the result.
    """

    def __init__(self, keys: int, bits_per_key: int) -> None:
        """Begin a filter sized for that many ``keys``."""
        self.bloom = BloomFilter.sized(keys, bits_per_key)
        self._rows = bytearray(self.bloom.k * self.bloom.m)
        self._folded = 0  # bits of the filter that are final

    def add(self, keys: Iterable[bytes]) -> None:
        """Add ``keys``."""
        m, k, rows = self.bloom.m, self.bloom.k, self._rows
        ones = bytearray(b"\1" * k)  # bytes would be copied into one of these for each key
        for h, d in digests(keys):
            h, d = h % m, d % m
            if d:
                rows[h : h + k * d : d] = ones
            else:
                rows[h] = 1

    def fold(self) -> bool:
        """OR one more part of the rows into :attr:`bloom`; return whether there are more."""
        m, at = self.bloom.m, self._folded
        end = self._folded = min(at + _FOLD_BYTES, m)
        folded = 0
        for row in range(0, len(self._rows), m):
            folded |= int.from_bytes(self._rows[row + at : row + end], "little")
        self.bloom._bits[at:end] = folded.to_bytes(end - at, "little")
        return end < m
