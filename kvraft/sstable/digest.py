"""The digest of a table: what identifies its bytes, and the checks that a file still has them.

It is the first 8 bytes of murmur3 (x64, 128 bits) over everything before the footer, which contains
it (``sstable/format.py``).  It is against accidents, not against attackers: a cryptographic hash
would take ten times as long, a sixth of what writing a table takes.

Invariant: a check ends with ``True`` only if every byte was read and is as it was written.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.murmur3 import Murmur3
from kvraft.slices import SlicedWork
from kvraft.sstable.format import FOOTER_BYTES, is_footer

READ_CHUNK_BYTES = 256 * 1024
"""How many bytes to read at once when a whole file is read."""


class TableDigest:
    """The digest of the bytes that were passed to :meth:`update` so far."""

    def __init__(self) -> None:
        self._hash = Murmur3()

    def update(self, data: bytes) -> None:
        """Add ``data`` at the end."""
        self._hash.update(data)

    @property
    def value(self) -> int:
        """The digest, a whole number of 64 bits."""
        return self._hash.utupledigest()[0]

    def is_of(self, footer: bytes, wanted: int) -> bool:
        """Return whether the bytes, and ``footer`` after them, are the table that is ``wanted``."""
        return self.value == wanted and is_footer(footer, wanted)

    def __deepcopy__(self, memo: dict[int, object]) -> TableDigest:
        """Return a digest of the same bytes, to go on by itself."""
        other = TableDigest()
        other._hash = self._hash.copy()
        return other


class DigestCheck(SlicedWork[bool]):
    """Compares ``size`` bytes with the table that ``digest`` identifies: are they exactly those?

    ``read`` takes an offset and a length, and returns those bytes.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, digest: int) -> None:
        self._read = read
        self._end = size - FOOTER_BYTES  # of what the digest covers
        self._wanted = digest
        self._found = TableDigest()
        self._offset = 0
        self.stage = self._read_part if self._end > 0 else self._read_footer

    def _read_part(self) -> None:
        part = min(READ_CHUNK_BYTES, self._end - self._offset)
        self._found.update(self._read(self._offset, part))
        self._offset += part
        if self._offset == self._end:
            self.stage = self._read_footer

    def _read_footer(self) -> None:
        footer = self._read(self._end, FOOTER_BYTES) if self._end >= 0 else b""
        self.result = self._found.is_of(footer, self._wanted)
        self.stage = None


class PassingCheck:
    """The same check of a table whose parts pass by in order, on their way to somebody else."""

    def __init__(self, size: int, digest: int) -> None:
        self._wanted, self._size = digest, size
        self._found = TableDigest()
        self._through = 0
        self._footer = b""

    def passes(self, offset: int, data: bytes) -> bool:
        """Take the part at ``offset``; return ``False`` if it is the last one of another table.

        A part that passed before is ignored, for it is sent again; so is one after a gap.
        """
        if offset > self._through:
            return True
        fresh = data[max(0, self._through - offset) :]
        covered = max(0, self._size - FOOTER_BYTES - self._through)
        self._found.update(fresh[:covered])
        self._footer += fresh[covered:]
        self._through += len(fresh)
        return self._through < self._size or self._found.is_of(self._footer, self._wanted)
