"""The open readers of a tree and their times, so that what they see is kept while they read.

::

    view, scan ──enter──► by_time: readers at each time     checked before a version is dropped
         │                levels.readers                    checked before a file is removed
         └─────leave──►   a queue ──settle──► both counts

A reader may be garbage-collected instead of closed; then Python closes it in any thread, in the
middle of whatever that thread does, even a change of these very counts.  So leaving only adds to a
queue, which takes no lock, and the tree settles the queue under its own lock before it uses the
counts.

Invariant: counts are never too low, and exact once they are settled.
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
    """One reader: where its time is counted, the time, and the levels that a scan reads."""

    by_time: ReadersByTime
    at: Timestamp
    levels: Levels | None


class Readers:
    """The readers of one tree, which keeps all versions of the last ``history`` timestamps anyway.

    ``by_time`` is how many readers there are at each time.  ``pinned`` is the highest timestamp at
    which a version that is overwritten may still be seen.

    The tree calls all methods under its lock, except for :meth:`leave`, which is safe anywhere.
    """

    def __init__(self, history: Timestamp = 0) -> None:
        self.pinned: Timestamp
        self._history = history
        self._left: deque[Reader] = deque()
        self.reset()

    def enter(self, at: Timestamp, levels: Levels | None = None) -> Reader:
        """Return a new reader; what it sees ``at`` a time and the files of ``levels`` are kept."""
        self.settle()
        self.pinned = max(self.pinned, at)
        self.by_time[at] = self.by_time.get(at, 0) + 1
        if levels is not None:
            levels.readers += 1
        return Reader(self.by_time, at, levels)

    def leave(self, reader: Reader) -> None:
        """Release what ``reader`` keeps, at the next settling; safe in any thread and finalizer."""
        self._left.append(reader)

    def settle(self) -> None:
        """Update the counts for the readers that left."""
        if not self._left:
            return
        while self._left:
            by_time, at, levels = self._left.popleft()
            if levels is not None:
                levels.readers -= 1
            by_time[at] -= 1
            if not by_time[at]:
                del by_time[at]
        if not self._history:
            self.pinned = max(self.by_time, default=UNPINNED)

    def keep(self, newest: Timestamp) -> RetainedTimes:
        """Return the times that can be read in a tree whose newest timestamp is ``newest``.

        Versions that are seen at none of them may be dropped.
        """
        self.settle()
        floor = max(0, newest - self._history) if self._history else MAX_TIMESTAMP
        return RetainedTimes(tuple(sorted(self.by_time)), floor)

    def reset(self) -> None:
        """Forget all readers: what they saw is gone, for a snapshot replaced it."""
        self.by_time: ReadersByTime = {}
        self.pinned = MAX_TIMESTAMP if self._history else UNPINNED
