"""The Raft log in memory: what the consensus module looks at.

The same entries are on disk (wal.py).  The front is cut off when its segments go; the place of the
cut, the *base*, stays known by index and term, for the first entry behind it must still be checked
against its predecessor (Raft §5.3, §7).

Invariants: indexes are contiguous, terms never fall.  No operation but :meth:`Log.drop_through`
costs more as the log grows (a search costs its logarithm).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from kvraft.errors import BadInput
from kvraft.record import ORIGIN, Entry, Position, entry_size


class Log:
    """The entries after ``base``, the place up to which the log was cut."""

    def __init__(self, base: Position = ORIGIN, entries: Iterable[Entry] = ()) -> None:
        self.base = base
        self._entries: list[Entry] = []
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

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``, which may be the base's."""
        if index == self.base.index:
            return self.base.term
        if not self.base.index < index <= self.last_index:
            raise BadInput(f"the log holds {self.first_index} to {self.last_index}, not {index}")
        return self._entries[index - self.base.index - 1].term

    def slice(
        self, first: int, last: int | None = None, *, max_bytes: int | None = None
    ) -> tuple[Entry, ...]:
        """Return entries ``first`` … ``last``, at most ``max_bytes`` of them but at least one."""
        last = self.last_index if last is None else last
        if first <= self.base.index or last > self.last_index:
            raise BadInput(
                f"the log holds {self.first_index} to {self.last_index}, not {first} to {last}"
            )
        offset = self.base.index + 1
        if max_bytes is None:
            return tuple(self._entries[first - offset : last - offset + 1])
        end = first
        while end <= last:
            max_bytes -= entry_size(self._entries[end - offset])
            if max_bytes < 0 and end > first:
                break
            end += 1
        return tuple(self._entries[first - offset : end - offset])

    def last_not_above(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``.

        Terms never fall along a log, so a binary search finds it.
        """
        found = bisect_right(self._entries, term, key=attrgetter("term"))
        return min(self.base.index + found, index)

    def append(self, entries: Iterable[Entry]) -> None:
        """Add entries at the end; ``BadInput`` if they do not follow on."""
        for entry in entries:
            if entry.index != self.last_index + 1 or entry.term < self.last_term:
                raise BadInput(f"entry {entry.index} does not follow on entry {self.last_index}")
            self._entries.append(entry)

    def truncate_from(self, index: int) -> None:
        """Drop the entry at ``index`` and all behind it; ``BadInput`` if it was cut off before."""
        if index <= self.base.index:
            raise BadInput(
                f"the log begins at {self.first_index}: entry {index} was cut off before"
            )
        del self._entries[index - self.base.index - 1 :]

    def drop_through(self, index: int) -> None:
        """Forget the entries through ``index``, which becomes the base."""
        self.base, gone = Position(index, self.term(index)), index - self.base.index
        del self._entries[:gone]
