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

from kvraft.lsm.levels import Levels
from kvraft.lsm.merging import RetainedTimes
from kvraft.memtable import UNPINNED
from kvraft.record import MAX_TIMESTAMP, Timestamp

ReadersByTime = dict[Timestamp, int]


class Reader(NamedTuple):
    """One reader: where its time is counted, the time, and the levels it reads, if it holds any."""

    by_time: ReadersByTime
    at: Timestamp
    levels: Levels | None


class Readers:
    """The readers of one tree, which keeps all versions of the last ``history`` timestamps anyway.

    ``by_time`` tells how many there are at which time.  ``pinned`` is the highest timestamp at
    which a version that is overwritten may still be seen.

    The tree calls all methods under its lock, but for :meth:`leave`, which is safe anywhere.
    """

    def __init__(self, history: Timestamp = 0) -> None:
        self.pinned: Timestamp
        self._history = history
        self._left: deque[Reader] = deque()
        self.reset()

    def enter(self, at: Timestamp, levels: Levels | None = None) -> Reader:
        """Keep what can be seen ``at`` a time, and the files of ``levels``, until it is left."""
        self.settle()
        self.pinned = max(self.pinned, at)
        self.by_time[at] = self.by_time.get(at, 0) + 1
        if levels is not None:
            levels.readers += 1
        return Reader(self.by_time, at, levels)

    def leave(self, reader: Reader) -> None:
        """Let go of what ``reader`` held, soon: in any thread, in a finalizer, at any moment."""
        self._left.append(reader)

    def settle(self) -> None:
        """Count those who left."""
        if not self._left:
            return
        while self._left:
            pins, at, levels = self._left.popleft()
            if levels is not None:
                levels.readers -= 1
            pins[at] -= 1
            if not pins[at]:
                del pins[at]
        if not self._history:
            self.pinned = max(self.by_time, default=UNPINNED)

    def keep(self, newest: Timestamp) -> RetainedTimes:
        """Return who can read the past of a tree whose ``newest`` timestamp that is.

        To be asked before versions are dropped.
        """
        self.settle()
        floor = max(0, newest - self._history) if self._history else MAX_TIMESTAMP
        return RetainedTimes(tuple(sorted(self.by_time)), floor)

    def reset(self) -> None:
        """Begin anew: what readers of a past time saw is gone, for a snapshot took its place."""
        self.by_time: ReadersByTime = {}
        self.pinned = MAX_TIMESTAMP if self._history else UNPINNED
