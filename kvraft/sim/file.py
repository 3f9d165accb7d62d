"""One file of a simulated disk: its bytes, which of them are durable, and what a crash leaves.

::

    ┌──────────── stable ────────────┬──── appended since ────┐
    │ survives every crash           │ a prefix of it may     │
    └────────────────────────────────┴────────────────────────┘

Invariant: what was synced is there after a crash, unless a later truncation removed it, or a failed
sync left it in doubt.
"""

from __future__ import annotations

from random import Random


class SimFile:
    """The bytes of one file: ``data[:stable] + truncated`` is what the last sync made durable."""

    __slots__ = ("data", "doubt", "number", "stable", "truncated")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.data = bytearray()
        self.stable = 0
        self.truncated = b""  # durable bytes that an unsynced truncation removed
        self.doubt: list[tuple[int, int]] = []  # ranges that a failed sync left: start, end

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes; durable ones may return at a crash."""
        if size < self.stable:
            self.truncated = bytes(self.data[size : self.stable]) + self.truncated
            self.stable = size
        del self.data[size:]
        self.doubt = [(start, min(end, size)) for start, end in self.doubt if start < size]

    def sync(self) -> None:
        """Make all bytes durable."""
        self.stable = len(self.data)
        self.truncated = b""

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
        self.sync()

    def _garble(self, random: Random, low: int, high: int) -> None:
        start = random.randrange(low, high)
        length = random.randint(1, high - start)
        stretch = bytes(length) if random.random() < 0.5 else random.randbytes(length)
        self.data[start : start + length] = stretch
