"""The memtable: the newest version of each key, sorted, in memory.

Applied transactions land here first.  When it is full it is *frozen*: no more writes, reads go on,
and a flush turns it into an SSTable.  It needs no log of its own, for whoever fills it has every
row in a log until the table that replaces this memtable is durable.

It is a plain ``dict`` beside a sorted list of its keys, and the list learns of new keys only when
somebody wants them in order.  Most memtables are never scanned before they are flushed, and sorting
once is several times cheaper than inserting each key in its place.

Invariants:

- What counts is the version with the highest timestamp, in whatever order versions arrive.  Of two
  with the same timestamp the later wins, for they are two records of one transaction.
- Older versions stay only where somebody may still read at their time: the caller says up to which
  timestamp (``pinned``).
- Range deletes hide what is older, whatever is put in later (``range_tombstones.py``).

Source: LevelDB impl.md (memtable); Chang et al., *Bigtable*, OSDI 2006, §5.3.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from sortedcontainers import SortedList

from kvraft.errors import BadInput, WrongType
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import (
    MAX_KEY_BYTES,
    MAX_TIMESTAMP,
    MAX_VALUE_BYTES,
    ROW_OVERHEAD,
    Position,
    Row,
    Timestamp,
)

UNPINNED: Timestamp = -1
"""Nobody reads at an earlier time: overwritten versions go at once."""

_FIRST_CHUNK, _LAST_CHUNK = 32, 256
_SORTED_AT_ONCE = 4096
_timestamp = itemgetter(1)


class Memtable:
    """A sorted map from key to its newest version, and older ones while someone can see them.

    ``bytes_written`` is how many bytes of table all that was put in would fill, had nothing been
    overwritten, ``timestamp`` the highest timestamp put into it (0 while there is none),
    ``range_tombstones`` its range deletes if it has any, ``len()`` the number of keys, tombstones
    included.

    >>> memtable = Memtable()
    >>> memtable.update([(b"k", 2, b"new")])
    >>> memtable.update([(b"k", 1, b"late, and older")])
    >>> memtable.get(b"k")
    (b'k', 2, b'new')
    >>> memtable.update([(b"k", 3, None)], pinned=2)
    >>> memtable.get(b"k"), memtable.get(b"k", at=2)
    ((b'k', 3, None), (b'k', 2, b'new'))
    """

    def __init__(self) -> None:
        self.bytes_written = 0
        self._hidden = 0  # of the bytes written, those that are here no more
        self.timestamp: Timestamp = 0
        self.range_tombstones: RangeTombstones | None = None
        self._newest: dict[bytes, Row] = {}
        self._older: dict[bytes, list[Row]] = {}  # oldest first
        self._keys: SortedList[bytes] = SortedList()
        self._fresh: list[bytes] = []  # keys that are not in the sorted list yet

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def size(self) -> int:
        """About how many bytes of table it would fill."""
        return self.bytes_written - self._hidden

    def __bool__(self) -> bool:
        return bool(self._newest or self.range_tombstones)

    def put(self, row: Row, pinned: Timestamp = UNPINNED) -> None:
        """Put in one row, as :meth:`update` does."""
        key, timestamp, value = row
        if key in self._newest:
            self.update((row,), pinned)
            return
        self._newest[key] = row
        self._fresh.append(key)
        self.bytes_written += ROW_OVERHEAD + len(key) + (0 if value is None else len(value))
        if timestamp > self.timestamp:
            self.timestamp = timestamp

    def update(self, rows: Iterable[Row], pinned: Timestamp = UNPINNED) -> None:
        """Put in ``rows``, which :func:`check_row` finds nothing wrong with.

        A version that is overwritten stays if its timestamp is at most ``pinned``.
        """
        newest = self._newest
        for row in rows:
            key, timestamp, value = row
            old = newest.get(key)
            if old is None:
                newest[key] = row
                self._fresh.append(key)
                self.bytes_written += ROW_OVERHEAD + len(key) + (0 if value is None else len(value))
            elif old[1] <= timestamp:
                newest[key] = row
                self._replace(old, row, pinned)
            elif timestamp <= pinned:
                self._keep(row)
            if timestamp > self.timestamp:
                self.timestamp = timestamp

    def delete_range(self, row: Row, pinned: Timestamp = UNPINNED) -> None:
        """Put in one range delete: start, timestamp, stop (``b""``: no end).

        An earlier one of the same keys stays only if its timestamp is at most ``pinned``.
        """
        start, timestamp, stop = row
        if self.range_tombstones is None:
            self.range_tombstones = RangeTombstones()
        self.range_tombstones.add(row, pinned)
        self.bytes_written += ROW_OVERHEAD + len(start) + len(stop or b"")
        self.timestamp = max(self.timestamp, timestamp)

    def _replace(self, old: Row, new: Row, pinned: Timestamp) -> None:
        self.bytes_written += ROW_OVERHEAD + len(new[0]) + len(new[2] or b"")
        if old[1] <= pinned and old[1] < new[1]:
            self._keep(old, counted=True)
        else:
            self._hidden += ROW_OVERHEAD + len(old[0]) + len(old[2] or b"")

    def _keep(self, row: Row, *, counted: bool = False) -> None:
        insort(self._older.setdefault(row[0], []), row, key=_timestamp)
        if not counted:
            self.bytes_written += ROW_OVERHEAD + len(row[0]) + len(row[2] or b"")

    def get(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Row | None:
        """Return the newest version of ``key`` at ``at``, maybe a tombstone, ``None`` if none.

        Range deletes are not looked at.
        """
        row = self._newest.get(key)
        if row is None or row[1] <= at:
            return row
        for old in reversed(self._older.get(key, ())):
            if old[1] <= at:
                return old
        return None

    def chunks(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[list[Row]]:
        """Yield the rows with ``start <= key < stop`` in lists, each in ascending order.

        All versions of a key are in one list.  With ``reverse`` the last list comes first.  What is
        put in meanwhile may or may not be among them: a reader tells it by its timestamp.
        """
        low, high, inclusive, count = start, stop, (True, False), _FIRST_CHUNK
        while True:
            found = self._sorted().irange(low, high, inclusive, reverse=reverse)
            keys = list(islice(found, count))
            if not keys:
                return
            if reverse:
                high, inclusive = keys[-1], (inclusive[0], False)
                keys.reverse()
            else:
                low, inclusive = keys[-1], (False, False)
            yield self._rows(keys)
            count = min(2 * count, _LAST_CHUNK)

    def drain(self) -> Iterator[list[Row]]:
        """Yield all rows in order, in lists, each after a bounded amount of work; some are empty.

        For a flush.  Nothing may be put in before the last list was taken.
        """
        fresh = list(self._fresh)
        runs = [list(self._keys)] if self._keys else []
        for at in range(0, len(fresh), _SORTED_AT_ONCE):
            runs.append(sorted(fresh[at : at + _SORTED_AT_ONCE]))
            yield []
        places = [0] * len(runs)
        while runs:
            share = max(8, _LAST_CHUNK // len(runs))
            edge = min(run[at : at + share][-1] for run, at in zip(runs, places, strict=True))
            keys: list[bytes] = []
            for n, (run, at) in enumerate(zip(runs, places, strict=True)):
                places[n] = bisect_right(run, edge, at, min(at + share, len(run)))
                keys += run[at : places[n]]
            keys.sort()  # it gallops through what is in order already
            left = [n for n, run in enumerate(runs) if places[n] < len(run)]
            runs, places = [runs[n] for n in left], [places[n] for n in left]
            yield self._rows(keys)

    def _sorted(self) -> SortedList[bytes]:
        if self._fresh:
            self._keys.update(self._fresh)
            self._fresh.clear()
        return self._keys

    def _rows(self, keys: list[bytes]) -> list[Row]:
        newest, older = self._newest, self._older
        if not older:
            return [newest[key] for key in keys]
        return [row for key in keys for row in (*older.get(key, ()), newest[key])]


class Frozen(NamedTuple):
    """A frozen memtable, and the log position whose rows it ends with."""

    memtable: Memtable
    through: Position


class Memtables:
    """The memtables of one tree: the ``active`` one, and those ``frozen``, oldest first.

    ``newest_first`` are all of them, in the order in which they are read; it is never changed, but
    replaced, so that a reader keeps those that it began with.
    """

    newest_first: tuple[Memtable, ...]

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew, with an empty memtable."""
        self.frozen: list[Frozen] = []
        self._begin()

    def freeze(self, through: Position) -> Memtable:
        """Begin a new memtable, and return the one that waits now, complete ``through`` there."""
        frozen = self.active
        self.frozen.append(Frozen(frozen, through))
        self._begin()
        return frozen

    def drop_oldest(self) -> None:
        """Let go of the frozen memtable that has waited longest: it is in a table now."""
        del self.frozen[0]
        self.newest_first = self.newest_first[:-1]

    def _begin(self) -> None:
        self.active = Memtable()
        frozen = (each.memtable for each in reversed(self.frozen))
        self.newest_first = (self.active, *frozen)


def check_row(row: Row) -> None:
    """Raise ``BadInput`` unless ``row`` is a key, a timestamp and a value that a table can hold."""
    if not (isinstance(row, tuple) and len(row) == 3):
        raise WrongType(f"a row is a key, a timestamp and a value, not {row!r}")
    key, timestamp, value = row
    check_key(key)
    if not (value is None or isinstance(value, bytes)):
        raise WrongType(f"a value must be bytes, or None for a delete, not {type(value).__name__}")
    if not isinstance(timestamp, int):
        raise WrongType(f"a timestamp must be a whole number, not {type(timestamp).__name__}")
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise BadInput(f"a timestamp must be a whole number of 64 bits, not {timestamp!r}")
    if value is not None and len(value) > MAX_VALUE_BYTES:
        raise BadInput(f"a value of {len(value)} bytes is above the limit of {MAX_VALUE_BYTES}")


def check_key(key: bytes) -> None:
    """Raise ``BadInput`` unless ``key`` is one that a table can hold."""
    if not isinstance(key, bytes):
        raise WrongType(f"a key must be bytes, not {type(key).__name__}")
    if len(key) > MAX_KEY_BYTES:
        raise BadInput(f"a key of {len(key)} bytes is above the limit of {MAX_KEY_BYTES}")


def check_range_tombstone(row: Row) -> None:
    """Raise ``BadInput`` unless ``row`` is a range delete: start, timestamp, stop."""
    check_row(row)
    start, _, stop = row
    if stop is None:
        raise WrongType("a range delete stops at a key, or at b'' for no end, not at None")
    check_key(stop)
    if stop and start >= stop:
        raise BadInput(f"a range must start before it stops: {start!r} is not below {stop!r}")
