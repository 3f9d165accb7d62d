"""The Raft log in memory: what the consensus module looks at.

The same entries are on disk (wal.py).  The front is cut off when its segments go; the place of the
cut, the *base*, stays known by index and term, for the first entry behind it must still be checked
against its predecessor (Raft §5.3, §7)::

     cut off     base  first                    last
    ╌╌╌╌╌╌╌╌╌╌╌╌╌┬────┬─────┬─────┬─────┬─────┬─────┐
                 │ 17 │ 18  │ 19  │ 20  │ 21  │ 22  │
    ╌╌╌╌╌╌╌╌╌╌╌╌╌┴────┴─────┴─────┴─────┴─────┴─────┘
     a snapshot stands in for everything through the base, or further

Invariants: indexes are contiguous, terms never fall.  No operation but :meth:`Log.drop_through`
costs more as the log grows (a search costs its logarithm).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

from kvraft.errors import BadInput
from kvraft.membership import Configuration
from kvraft.record import ORIGIN, Entry, Position, entry_size

_term_of = attrgetter("term")
_index_of = attrgetter("index")


class Snapshot(Protocol):
    """Everything replicated as of one place in the log, as bytes that its owner understands."""

    @property
    def last(self) -> Position:
        """The last log position that it covers."""

    @property
    def configuration(self) -> Configuration:
        """The members as of there."""

    @property
    def size(self) -> int:
        """How many bytes there are to read."""

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""


class Log:
    """The entries after ``base``, the place up to which the log was cut."""

    def __init__(self, base: Position = ORIGIN, entries: Sequence[Entry] = ()) -> None:
        self.base = base
        self._entries: list[Entry] = []
        self._batch: tuple[int, int, int, tuple[Entry, ...]] = (0, 0, 0, ())  # see batch()
        self.append(entries)

    @property
    def first_index(self) -> int:
        """The index of the first entry kept, whether or not it exists yet."""
        return self.base.index + 1

    @property
    def last_index(self) -> int:
        """The index of the last entry, or of the base if there is none."""
        return self.base.index + len(self._entries)

    @property
    def last_term(self) -> int:
        """The term of the last entry, or of the base if there is none."""
        return self._entries[-1].term if self._entries else self.base.term

    @property
    def last(self) -> Position:
        """Where the log ends."""
        return Position(self.last_index, self.last_term)

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``, which may be the base's."""
        offset = index - self.base.index
        if offset == 0:
            return self.base.term
        if not 0 < offset <= len(self._entries):
            raise BadInput(f"the log holds {self.first_index} to {self.last_index}, not {index}")
        return self._entries[offset - 1].term

    def holds(self, index: int, term: int) -> bool:
        """Return whether there is an entry at ``index``, or the base, and its term is ``term``."""
        return self.base.index <= index <= self.last_index and self.term(index) == term

    def slice(self, first: int, last: int | None = None) -> tuple[Entry, ...]:
        """Return the entries ``first`` … ``last``, or all from ``first`` on."""
        last = self.last_index if last is None else last
        if first <= self.base.index or last > self.last_index:
            raise BadInput(
                f"the log holds {self.first_index} to {self.last_index}, not {first} to {last}"
            )
        offset = self.base.index + 1
        return tuple(self._entries[first - offset : last - offset + 1])

    def batch(self, first: int, max_bytes: int) -> tuple[Entry, ...]:
        """Return entries from ``first`` on, at most ``max_bytes`` of them but at least one.

        Followers that keep up ask for the same batch one after another, so the latest is kept.
        """
        key = (first, self.last_index, max_bytes)
        if self._batch[:3] != key:
            self._batch = (*key, self._measure(first, max_bytes))
        return self._batch[3]

    def _measure(self, first: int, max_bytes: int) -> tuple[Entry, ...]:
        entries = self._entries
        start = end = first - self.base.index - 1
        if not 0 <= start < len(entries):
            raise BadInput(f"the log holds {self.first_index} to {self.last_index}, not {first}")
        for at in range(start, len(entries)):
            max_bytes -= entry_size(entries[at])
            if max_bytes < 0 and at > start:
                break
            end = at + 1
        return tuple(entries[start:end])

    def last_not_above(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``.

        Terms never fall along a log, so a binary search finds it.
        """
        found = bisect_right(self._entries, term, key=_term_of)
        return min(self.base.index + found, index)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end; ``BadInput``, and no change, if they do not follow on."""
        if not entries:
            return
        first = self.last_index + 1
        indexes = list(map(_index_of, entries))
        terms = [self.last_term, *map(_term_of, entries)]
        if indexes != list(range(first, first + len(indexes))) or terms != sorted(terms):
            raise BadInput(
                f"entries {indexes[0]} to {indexes[-1]} do not follow on entry {first - 1}"
            )
        self._entries.extend(entries)

    def truncate_from(self, index: int) -> None:
        """Drop the entry at ``index`` and all behind it; ``BadInput`` if it was cut off before."""
        if index <= self.base.index:
            raise BadInput(
                f"the log begins at {self.first_index}: entry {index} was cut off before"
            )
        del self._entries[index - self.base.index - 1 :]
        self._batch = (0, 0, 0, ())

    def drop_through(self, index: int) -> None:
        """Forget the entries through ``index``, which becomes the base."""
        self.base, gone = Position(index, self.term(index)), index - self.base.index
        del self._entries[:gone]

    def reset(self, base: Position) -> None:
        """Forget all entries: the log goes on behind ``base``, where a snapshot ends (§7)."""
        self.base = base
        self._entries.clear()
        self._batch = (0, 0, 0, ())
