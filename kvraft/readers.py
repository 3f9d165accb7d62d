"""Who reads a tree, and at which time: so that what they see is kept for as long as they look.

::

    view, scan ──enter──► pins   time → how many read there     asked before a version is dropped
         │                levels.readers                        asked before a file goes
         └─────leave──►   a queue ──settle──► both counts

A reader may be forgotten instead of closed; then Python's collector closes it, in whatever thread
and in the middle of whatever that thread does, be it a change of these very counts.  So leaving
changes nothing but a queue, which takes no lock, and the tree settles it under its own lock when it
wants to know who is left.

Invariant: counts are never too low, and right once they are settled.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kvraft.levels import Levels
from kvraft.record import Timestamp

Pins = dict[Timestamp, int]


class Reader(NamedTuple):
    """One reader: where its time is counted, the time, and the levels it reads, if it holds any."""

    pins: Pins
    at: Timestamp
    levels: Levels | None


class Readers:
    """The readers of one tree.  ``pins`` tells how many there are at which time.

    The tree calls all methods under its lock, but for :meth:`leave`, which is safe anywhere.
    """

    __slots__ = ("_left", "pins")

    def __init__(self) -> None:
        self.pins: Pins = {}
        self._left: deque[Reader] = deque()

    def enter(self, at: Timestamp, levels: Levels | None = None) -> Reader:
        """Keep what can be seen ``at`` a time, and the files of ``levels``, until it is left."""
        self.pins[at] = self.pins.get(at, 0) + 1
        if levels is not None:
            levels.readers += 1
        return Reader(self.pins, at, levels)

    def leave(self, reader: Reader) -> None:
        """Let go of what ``reader`` held, soon: in any thread, in a finalizer, at any moment."""
        self._left.append(reader)

    def settle(self) -> bool:
        """Count those who left; return whether there were any."""
        found = False
        while self._left:
            pins, at, levels = self._left.popleft()
            found = True
            if levels is not None:
                levels.readers -= 1
            pins[at] -= 1
            if not pins[at]:
                del pins[at]
        return found

    def forget(self) -> None:
        """Begin anew: what readers of a past time saw is gone, for a snapshot took its place."""
        self.pins = {}
