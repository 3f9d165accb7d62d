"""The log index: which frame contains an entry of the log, and its term.

A log is read by index, but its files are sequences of frames, and a later frame may supersede
entries of an earlier one.  Recovery (``wal/recovery.py``) and the open log (``wal/wal.py``) keep
this table in memory; it does not contain the entries themselves::

    frames         frame of 1 … 64 │ frame of 65 … 80 │ frame of 81 … 150      where entries are
    term starts    term 1 from 1 on        │ term 3 from 70 on                 their terms

Invariants:

- Frames are in the order of their entries, and no entry is in two of them.  The last entries may
  have no frame yet: they are buffered in memory.
- Term starts rise in index and in term; the first one is ``base``, or comes before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.record import ORIGIN, Entry, Position, slice_entries


@immutable
class FrameLocation(NamedTuple):
    """Where the entries ``first`` … ``last`` are: in one frame, which begins with ``first``.

    Its entries from ``last`` + 1 through ``written`` are superseded.  ``offset`` and ``length`` are
    in bytes.  A *run* of frames that follow one another, as single writes leave them, counts as one
    frame: a location for each would cost more memory than the writes.
    """

    first: int
    last: int
    written: int
    file: str
    offset: int
    length: int

    def part(self, payload: bytes, first: int, last: int) -> bytes:
        """Return the valid ones of the frame's packed entries, within ``first`` … ``last``."""
        first, last = max(first, self.first), min(last, self.last)
        if (first, last) == (self.first, self.written):
            return payload
        return slice_entries(payload, first - self.first, last + 1 - self.first)


class LogIndex:
    """The entries after the position ``base``, through index ``last``."""

    __slots__ = ("_term_starts", "base", "frames", "last")

    def __init__(self, base: Position = ORIGIN) -> None:
        self.base = base
        self.last = base.index
        self.frames: list[FrameLocation] = []
        self._term_starts = [base]

    @property
    def end(self) -> Position:
        """The position of the last entry, ``base`` if there is none."""
        return Position(self.last, self.term_at(self.last))

    def term_at(self, index: int) -> int:
        """Return the term of the entry at ``index``, or of ``base``; 0 before ``base``."""
        starts = self._term_starts
        if starts and starts[-1].index <= index:  # most often it is the newest term
            return starts[-1].term
        at = bisect_right(starts, index, key=lambda start: start.index)
        return starts[at - 1].term if at else 0

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``.

        Returns the index of ``base`` if there is no such entry.
        """
        at = bisect_right(self._term_starts, term, key=lambda start: start.term)
        if at < len(self._term_starts):
            index = min(index, self._term_starts[at].index - 1)
        return max(index, self.base.index)

    def has(self, position: Position) -> bool:
        """Return whether ``position`` is that of an entry, or ``base``."""
        within = self.base.index <= position.index <= self.last
        return within and self.term_at(position.index) == position.term

    def check_follows(self, starts: Sequence[Position]) -> None:
        """Raise ``ValueError`` unless entries that begin at ``starts[0]`` may be added to this log.

        They follow the entries before them and supersede those at and after their first index.  A
        frame may begin at or below ``base``, if it superseded entries of segments that have been
        removed since; the term of the entry before it is then unknown, and taken as 0.
        """
        first, term = starts[0]
        if not 1 <= first <= self.last + 1:
            raise ValueError(f"entry {first} follows entry {self.last}")
        if term < (before := self.term_at(first - 1)):
            raise ValueError(f"entry {first} is of term {term}, after term {before}")

    def extend(self, starts: Sequence[Position], last: int) -> None:
        """Add entries through ``last``, which supersede all from their first index on.

        ``starts`` are the positions at which terms begin among them, the first entry's included.
        """
        first, term = starts[0]
        if first <= self.last:
            self._supersede(first)
        new_term = term > self.newest_term or not self._term_starts
        self._term_starts += starts if new_term else starts[1:]
        self.last = last

    def add_frame(self, frame: FrameLocation) -> None:
        """Record where entries are that :meth:`extend` added."""
        self.frames.append(frame)

    def covering(self, first: int, last: int) -> list[FrameLocation]:
        """Return the frames with entries of ``first`` … ``last``, in order."""
        low = bisect_left(self.frames, first, key=lambda frame: frame.last)
        high = bisect_right(self.frames, last, key=lambda frame: frame.first)
        return self.frames[low:high]

    def truncate_prefix(self, index: int) -> None:
        """Forget all entries at or below ``index``, which becomes the index of ``base``."""
        self.base = Position(index, self.term_at(index))
        after = bisect_right(self._term_starts, index, key=lambda start: start.index)
        self._term_starts[:after] = [self.base]
        del self.frames[: bisect_left(self.frames, index + 1, key=lambda frame: frame.last)]

    @property
    def newest_term(self) -> int:
        """The term of the last entry, or of ``base``."""
        return self._term_starts[-1].term if self._term_starts else 0

    def _supersede(self, first: int) -> None:
        del self._term_starts[
            bisect_left(self._term_starts, first, key=lambda start: start.index) :
        ]
        frames = self.frames
        while frames and frames[-1].first >= first:
            frames.pop()
        if frames and frames[-1].last >= first:
            frames[-1] = frames[-1]._replace(last=first - 1)


def term_starts(entries: Sequence[Entry]) -> list[Position]:
    """Return the positions at which terms begin in ``entries``, the first entry's included.

    Raises ``ValueError`` unless indexes rise by one and terms never fall.
    """
    first_term, first, _ = entries[0]
    if len(entries) == 1:
        return [Position(first, first_term)]
    terms, indexes, _ = zip(*entries, strict=True)
    if indexes != tuple(range(first, first + len(indexes))):
        expected, index = next(pair for pair in enumerate(indexes, first) if pair[0] != pair[1])
        raise ValueError(f"entry {index} follows entry {expected - 1}")
    if terms != tuple(sorted(terms)):
        at = next(n for n in range(1, len(terms)) if terms[n] < terms[n - 1])
        raise ValueError(f"entry {first + at} is of term {terms[at]}, after term {terms[at - 1]}")
    return [Position(first + terms.index(term), term) for term in dict.fromkeys(terms)]
