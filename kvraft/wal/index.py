"""Which frame holds an entry of the log, and of which term it is, without holding the entries.

A log is read by index, but its files are rows of frames, and a later frame may supersede what an
earlier one holds.  This is the table in memory that both recovery (``wal/recovery.py``) and the
open log (``wal/wal.py``) keep::

    batches     frame of 1 … 64 │ frame of 65 … 80 │ frame of 81 … 150      where entries are
    turns       term 1 from 1 on        │ term 3 from 70 on                 of which term they are

Invariants:

- Batches are in the order of their entries, and no two hold the same one.  The end of the log may
  have no batch yet: it waits in memory to be written.
- Turns rise in index and in term; the first of them is ``base``, or lies before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from kvraft.record import ORIGIN, Entry, Position, slice_entries


class FrameLocation(NamedTuple):
    """Where the entries ``first`` … ``last`` are: one frame, whose first entry is ``first``.

    Entries of the frame from ``last`` + 1 through ``written`` are superseded.  ``offset`` and
    ``length`` are in bytes, ``synced`` is what the head of the frame says (``disk/frame.py``).
    """

    first: int
    last: int
    written: int
    file: str
    offset: int
    length: int
    synced: int

    def part(self, payload: bytes, first: int, last: int) -> bytes:
        """Return of the frame's packed entries those that count, within ``first`` … ``last``."""
        first, last = max(first, self.first), min(last, self.last)
        if (first, last) == (self.first, self.written):
            return payload
        return slice_entries(payload, first - self.first, last + 1 - self.first)


class LogIndex:
    """The entries behind ``base``, the place before the first one, through index ``last``."""

    __slots__ = ("_turns", "base", "frames", "last")

    def __init__(self, base: Position = ORIGIN) -> None:
        self.base = base
        self.last = base.index
        self.frames: list[FrameLocation] = []
        self._turns = [base]

    @property
    def end(self) -> Position:
        """The place of the last entry, ``base`` if there is none."""
        return Position(self.last, self.term_at(self.last))

    def term_at(self, index: int) -> int:
        """Return the term of an entry of the log, or of ``base``; 0 for what is before it."""
        at = bisect_right(self._turns, index, key=lambda turn: turn.index)
        return self._turns[at - 1].term if at else 0

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``.

        The place of ``base`` if there is none behind it.
        """
        at = bisect_right(self._turns, term, key=lambda turn: turn.term)
        if at < len(self._turns):
            index = min(index, self._turns[at].index - 1)
        return max(index, self.base.index)

    def has(self, place: Position) -> bool:
        """Return whether there is an entry at ``place``, or ``base`` is there."""
        within = self.base.index <= place.index <= self.last
        return within and self.term_at(place.index) == place.term

    def check_follows(self, turns: Sequence[Position]) -> None:
        """Raise ``ValueError`` unless entries that begin at ``turns[0]`` can stand in this log.

        They come after those they follow and in the place of those they supersede.  Once older
        segments are gone, a frame may begin at or below ``base``, for it superseded some of what
        they held; the term of the entry before it is then unknown, and taken for 0.
        """
        first, term = turns[0]
        if not 1 <= first <= self.last + 1:
            raise ValueError(f"entry {first} follows entry {self.last}")
        if term < (before := self.term_at(first - 1)):
            raise ValueError(f"entry {first} is of term {term}, after term {before}")

    def extend(self, term_starts: Sequence[Position], last: int) -> None:
        """Take in entries through ``last``, which supersede what is from their first one on.

        ``turns`` are the places where a term begins among them, the first entry's before all.
        """
        first = term_starts[0].index
        if first <= self.last:
            self._supersede(first)
        self._turns += (
            term_starts
            if self.newest_term < term_starts[0].term or not self._turns
            else term_starts[1:]
        )
        self.last = last

    def add_frame(self, batch: FrameLocation) -> None:
        """Say where entries are that :meth:`extend` took in."""
        self.frames.append(batch)

    def covering(self, first: int, last: int) -> list[FrameLocation]:
        """Return the batches that hold entries of ``first`` … ``last``, in order."""
        low = bisect_left(self.frames, first, key=lambda batch: batch.last)
        high = bisect_right(self.frames, last, key=lambda batch: batch.first)
        return self.frames[low:high]

    def truncate_prefix(self, index: int) -> None:
        """Let go of all entries at or below ``index``: ``base`` is there then."""
        self.base = Position(index, self.term_at(index))
        after = bisect_right(self._turns, index, key=lambda turn: turn.index)
        self._turns[:after] = [self.base]
        del self.frames[: bisect_left(self.frames, index + 1, key=lambda batch: batch.last)]

    @property
    def newest_term(self) -> int:
        """The term of the last entry, or of ``base``."""
        return self._turns[-1].term if self._turns else 0

    def _supersede(self, first: int) -> None:
        del self._turns[bisect_left(self._turns, first, key=lambda turn: turn.index) :]
        batches = self.frames
        while batches and batches[-1].first >= first:
            batches.pop()
        if batches and batches[-1].last >= first:
            batches[-1] = batches[-1]._replace(last=first - 1)


def term_starts(entries: Sequence[Entry]) -> list[Position]:
    """Return where a term begins in ``entries``, the first one's place before all.

    Raises ``ValueError`` unless indexes rise by one and terms never fall.
    """
    turns: list[Position] = []
    expected, newest = entries[0].index, -1
    for term, index, _ in entries:
        if index != expected:
            raise ValueError(f"entry {index} follows entry {expected - 1}")
        if term < newest:
            raise ValueError(f"entry {index} is of term {term}, after term {newest}")
        if term > newest:
            turns.append(Position(index, term))
        expected, newest = index + 1, term
    return turns
