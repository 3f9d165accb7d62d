"""The Raft log, as the consensus module sees it: the newest entries in memory, others on disk.

All of it is on disk (``wal/``).  Entries that are also in tables are seldom read again, so only the
entries after them are held in memory; older ones are read back for a follower that needs them.  The
oldest part is truncated with its segments; the last position of it, the *base*, stays known by
index and term, because the first entry after it must still be checked against its predecessor
(Raft §5.3, §7)::

     truncated   base  first                    last
    ╌╌╌╌╌╌╌╌╌╌╌╌╌┬────┬─────┬─────┬─────┬─────┬─────┐
                 │ 17 │ 18  │ 19  │ 20  │ 21  │ 22  │
    ╌╌╌╌╌╌╌╌╌╌╌╌╌┴────┴─────┴─────┴─────┴─────┴─────┘
                      ╰ on disk ╯╰──── in memory ───╯
     a snapshot replaces everything through the base, or further

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
    """Everything replicated as of one position, as bytes that only its owner can interpret.

    The files that it is read from stay for as long as there is a reference to it.
    """

    @property
    def last(self) -> Position:
        """The last log position that it covers."""

    @property
    def configuration(self) -> Configuration:
        """The configuration as of that position."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""


class SnapshotSource(Protocol):
    """Where an owner gets a snapshot from, which is opened only when a follower needs it."""

    @property
    def last(self) -> Position:
        """The last log position that it covers now; a snapshot opened later covers no less."""

    def open(self) -> Snapshot:
        """Return the current snapshot."""


class LogStorage(Protocol):
    """A log on disk, from which entries that are not in memory can be read."""

    def read(self, first: int, last: int) -> Sequence[Entry]:
        """Return the entries ``first`` … ``last``."""

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``."""

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``."""


class Log:
    """The entries after ``base``, the position through which the log was truncated.

    ``entries`` are those that are held in memory; entries through ``released`` are read from
    ``stored`` instead.
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
        self.last_index = self._released
        """The index of the last entry, or of the base if there is none."""
        self._entries: list[Entry] = []
        self._batch: tuple[int, int, int, tuple[Entry, ...]] = (0, 0, 0, ())  # see batch()
        self.append(entries)

    @property
    def first_index(self) -> int:
        """The index of the first entry after the base, whether or not it exists yet."""
        return self.base.index + 1

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
        """The position of the last entry, or the base if there is none."""
        return Position(self.last_index, self.last_term)

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``, which may be the base's."""
        if self._released < index <= self.last_index:  # most often: it is in memory
            return self._entries[index - self._released - 1].term
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
        if self._released < first <= last <= self.last_index:  # most often: all are in memory
            offset = self._released + 1
            return tuple(self._entries[first - offset : last - offset + 1])
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
        """Return entries from ``first`` on: at most ``max_bytes``, but at least one entry.

        Followers that keep up need the same batch one after another, so the latest is cached.
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
            some = self._read_ahead(first)
            for entry in some:
                max_bytes -= entry_size(entry)
                if max_bytes < 0 and taken:
                    return tuple(taken)
                taken.append(entry)
            first += len(some)
        return tuple(taken)

    def _read_ahead(self, first: int) -> Sequence[Entry]:
        """Return a few entries from ``first`` on: a batch may be full after any of them."""
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
        """Add entries at the end; raise ``BadInput`` and add none if they do not follow on."""
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
        self.last_index += len(entries)

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end, which follow one on another: :meth:`append` without that check.

        Raises ``BadInput`` and adds none if the first does not follow on the last one here.
        """
        first, last = entries[0], self.last_index
        if first.index != last + 1 or first.term < self.last_term:
            raise BadInput(f"entry {first.index} of term {first.term} does not follow on {last}")
        self._entries.extend(entries)
        self.last_index = last + len(entries)

    def truncate_from(self, index: int) -> None:
        """Drop the entry at ``index`` and all after it; raise ``BadInput`` if it is permanent."""
        if index <= self._released:
            raise BadInput(f"entry {index} is permanent, like all through {self._released}")
        del self._entries[index - self._released - 1 :]
        self.last_index = self._released + len(self._entries)
        self._batch = (0, 0, 0, ())

    def drop_through(self, index: int) -> None:
        """Forget the entries through ``index``, which becomes the base."""
        self.base = Position(index, self.term(index))
        self.release(index)

    def release(self, index: int) -> None:
        """Stop holding the entries through ``index`` in memory: they are committed and stored."""
        if index > self._released:
            del self._entries[: index - self._released]
            self._released = index
            self.last_index = index + len(self._entries)

    def reset(self, base: Position) -> None:
        """Forget all entries: the log continues after ``base``, where a snapshot ends (§7)."""
        self.base = base
        self._released = self.last_index = base.index
        self._entries.clear()
        self._batch = (0, 0, 0, ())
