"""One file of a simulated disk: its bytes, which of them are durable, and what a crash leaves.

::

    ┌──────────── stable ────────────┬──── appended since ────┐
    │ survives every crash           │ a prefix of it may     │
    └────────────────────────────────┴────────────────────────┘

A disk that is not to be trusted breaks that: a sync is a lie (``lied``), or bytes in the middle are
not what was written there (``right`` has what would be).

Invariant: what was synced is there after a crash, unless a later truncation removed it, a failed
sync left it in doubt, or the sync was a lie.
"""

from __future__ import annotations

from random import Random


class SimFile:
    """The bytes of one file: ``data[:stable] + truncated`` is what the last sync made durable."""

    __slots__ = ("data", "doubt", "lied", "number", "right", "stable", "truncated")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.data = bytearray()
        self.stable = 0
        self.truncated = b""  # durable bytes that an unsynced truncation removed
        self.doubt: list[tuple[int, int]] = []  # ranges that a failed sync left: start, end
        self.lied = False  # whether a sync was a lie, and no honest one followed
        self.right: list[tuple[int, bytes]] = []  # what bytes were before they were spoilt: offset

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes; durable ones may return at a crash."""
        if size < self.stable:
            self.truncated = bytes(self.data[size : self.stable]) + self.truncated
            self.stable = size
        del self.data[size:]
        self.doubt = [(start, min(end, size)) for start, end in self.doubt if start < size]
        self.right = [(start, old[: size - start]) for start, old in self.right if start < size]

    def sync(self) -> None:
        """Make all bytes durable."""
        self.stable = len(self.data)
        self.truncated = b""
        self.lied = False

    def spoil(self, start: int, data: bytes, right: bytes | None = None) -> None:
        """Have the bytes from ``start`` on, which are there, be ``data`` instead of ``right``."""
        end = min(start + len(data), len(self.data))
        self.right.append((start, bytes(self.data[start:end]) if right is None else right))
        self.data[start:end] = data[: end - start]

    def as_written(self) -> bytes:
        """Return the bytes as they would be if none were spoilt."""
        data = bytearray(self.data)
        for start, old in reversed(self.right):
            data[start : start + len(old)] = old
        return bytes(data)

    def fail_to_sync(self) -> None:
        """Leave the unsynced bytes in doubt."""
        start = max([self.stable, *(end for _, end in self.doubt)])
        if start < len(self.data):
            self.doubt.append((start, len(self.data)))

    def crash(self, random: Random) -> None:
        """Become what a power loss leaves, and make that durable."""
        unsynced = len(self.data) - self.stable
        if self.truncated and random.random() < 0.5:
            self.data[self.stable :] = self.truncated
        elif unsynced:
            kept = random.choice((0, random.randint(0, unsynced), unsynced))
            del self.data[self.stable + kept :]
            if kept and random.random() < 0.3:
                self._garble(random, self.stable, len(self.data))
        for start, end in self.doubt:
            end = min(end, len(self.data))
            if start < end and random.random() < 0.5:
                self._garble(random, start, end)
        self.doubt = []
        kept = len(self.data)
        self.right = [(start, old[: kept - start]) for start, old in self.right if start < kept]
        self.sync()

    def _garble(self, random: Random, low: int, high: int) -> None:
        start = random.randrange(low, high)
        length = random.randint(1, high - start)
        stretch = bytes(length) if random.random() < 0.5 else random.randbytes(length)
        self.data[start : start + length] = stretch
