"""The Raft log, as the consensus module looks at it: the newest entries in memory, others on disk.

All of it is on disk (wal/wal.py); what is in tables, too, is seldom looked at again, so only what
follows is held in memory, and the rest is read back for a follower that needs it.  The front is cut
off when its segments go; the place of the cut, the *base*, stays known by index and term, for the
first entry behind it must still be checked against its predecessor (Raft §5.3, §7)::

     cut off     base  first                    last
    ╌╌╌╌╌╌╌╌╌╌╌╌╌┬────┬─────┬─────┬─────┬─────┬─────┐
                 │ 17 │ 18  │ 19  │ 20  │ 21  │ 22  │
    ╌╌╌╌╌╌╌╌╌╌╌╌╌┴────┴─────┴─────┴─────┴─────┴─────┘
                      ╰ on disk ╯╰──── in memory ───╯
     a snapshot stands in for everything through the base, or further

Invariants: indexes are contiguous, terms never fall.  What is not in memory is durable and will
never be superseded.  No operation but :meth:`Log.drop_through` and :meth:`Log.release` costs more
as the log grows (a search costs its logarithm).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

from kvraft.errors import BadInput
from kvraft.raft.quorum import Configuration
from kvraft.record import ORIGIN, Entry, Position, entry_size

_term_of = attrgetter("term")
_index_of = attrgetter("index")
_READ_AHEAD = 64  # entries


class Snapshot(Protocol):
    """Everything replicated as of one place in the log, as bytes that its owner understands.

    What it is read from stays for as long as somebody holds it.
    """

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


class SnapshotSource(Protocol):
    """What an owner could send to a follower, and opens only when one needs it."""

    @property
    def last(self) -> Position:
        """The last log position that it covers now; a snapshot opened later covers no less."""

    def open(self) -> Snapshot:
        """Return the snapshot as it is now."""


class LogStorage(Protocol):
    """A log on disk, from which entries can be read that are not in memory."""

    def read(self, first: int, last: int) -> Sequence[Entry]:
        """Return the entries ``first`` … ``last``."""

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``."""

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``."""


class Log:
    """The entries after ``base``, the place up to which the log was cut.

    ``entries`` are those that are held in memory, all of them or the newest; then the others are in
    ``stored``.
    """

    def __init__(
        self,
        base: Position = ORIGIN,
        entries: Sequence[Entry] = (),
        *,
        stored: LogStorage | None = None,
        released: int = 0,
    ) -> None:
        self.base = base
        self._stored = stored
        self._released = max(released, base.index)  # through here nothing is in memory
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
        return self._released + len(self._entries)

    @property
    def last_term(self) -> int:
        """The term of the last entry, or of the base if there is none."""
        return self._entries[-1].term if self._entries else self.term(self._released)

    @property
    def released(self) -> int:
        """The index through which no entry is held in memory."""
        return self._released

    @property
    def last(self) -> Position:
        """Where the log ends."""
        return Position(self.last_index, self.last_term)

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``, which may be the base's."""
        offset = index - self._released
        if 0 < offset <= len(self._entries):
            return self._entries[offset - 1].term
        if index == self.base.index:
            return self.base.term
        if not self.base.index < index <= self._released or self._stored is None:
            raise BadInput(f"the log holds {self.first_index} to {self.last_index}, not {index}")
        return self._stored.term(index)

    def has(self, index: int, term: int) -> bool:
        """Return whether there is an entry at ``index``, or the base, and its term is ``term``."""
        return self.base.index <= index <= self.last_index and self.term(index) == term

    def slice(self, first: int, last: int | None = None) -> tuple[Entry, ...]:
        """Return the entries ``first`` … ``last``, or all from ``first`` on."""
        last = self.last_index if last is None else last
        if first <= self.base.index or last > self.last_index:
            raise BadInput(
                f"the log holds {self.first_index} to {self.last_index}, not {first} to {last}"
            )
        older: Sequence[Entry] = ()
        if first <= min(self._released, last) and self._stored is not None:
            older = self._stored.read(first, min(self._released, last))
            first = self._released + 1
        offset = self._released + 1
        newer = self._entries[first - offset : max(last - offset + 1, 0)]
        return (*older, *newer)

    def batch(self, first: int, max_bytes: int) -> tuple[Entry, ...]:
        """Return entries from ``first`` on, at most ``max_bytes`` of them but at least one.

        Followers that keep up ask for the same batch one after another, so the latest is kept.
        """
        key = (first, self.last_index, max_bytes)
        if self._batch[:3] != key:
            self._batch = (*key, self._measure(first, max_bytes))
        return self._batch[3]

    def _measure(self, first: int, max_bytes: int) -> tuple[Entry, ...]:
        if not self.base.index < first <= self.last_index:
            raise BadInput(f"the log holds {self.first_index} to {self.last_index}, not {first}")
        taken: list[Entry] = []
        while first <= self.last_index:
            some = self._some(first)
            for entry in some:
                max_bytes -= entry_size(entry)
                if max_bytes < 0 and taken:
                    return tuple(taken)
                taken.append(entry)
            first += len(some)
        return tuple(taken)

    def _some(self, first: int) -> Sequence[Entry]:
        """Return entries from ``first`` on, as many as it is no waste to look at."""
        last = first + _READ_AHEAD - 1
        if first <= self._released:
            return self.slice(first, min(last, self._released))
        return self.slice(first, min(last, self.last_index))

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``.

        Terms never fall along a log, so a binary search finds it.
        """
        found = bisect_right(self._entries, term, key=_term_of)
        if not found and self._released > self.base.index and self._stored is not None:
            return self._stored.find_conflict_by_term(term, min(index, self._released))
        return min(self._released + found, index)

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
        """Drop the entry at ``index`` and all behind it; ``BadInput`` if it is there for good."""
        if index <= self._released:
            raise BadInput(f"entry {index} is there for good: all are through {self._released}")
        del self._entries[index - self._released - 1 :]
        self._batch = (0, 0, 0, ())

    def drop_through(self, index: int) -> None:
        """Forget the entries through ``index``, which becomes the base."""
        self.base = Position(index, self.term(index))
        self.release(index)

    def release(self, index: int) -> None:
        """Hold the entries through ``index`` in memory no more: they are committed, and stored."""
        if index > self._released:
            del self._entries[: index - self._released]
            self._released = index

    def reset(self, base: Position) -> None:
        """Forget all entries: the log goes on behind ``base``, where a snapshot ends (§7)."""
        self.base = base
        self._released = base.index
        self._entries.clear()
        self._batch = (0, 0, 0, ())
