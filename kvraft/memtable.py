"""The memtable: the newest version of each key, sorted, in memory.

Applied transactions are written here first.  A full memtable is *frozen*: it takes no more writes
but can be read, and a flush writes it to an SSTable.  It needs no log of its own, because every row
is in the log until the table that replaces the memtable is durable.

It is a plain ``dict`` and a sorted list of its keys.  New keys enter the list only when they are
needed in order; until then they are the last ones of the ``dict``.  Most memtables are never
scanned before they are flushed, and sorting once is several times cheaper than inserting each key
at its place.

Invariants:

- The version with the highest timestamp (LevelDB's sequence number) counts, in whatever order
  versions arrive.  Of two with the same timestamp the later one counts: they are two records of one
  transaction.
- Older versions stay only if a reader may still need them: those up to the timestamp ``pinned``,
  which the caller passes.
- Range tombstones hide what is older, also rows that are put in later (``range_tombstones.py``).

Source: LevelDB impl.md (memtable); Chang et al., *Bigtable*, OSDI 2006, §5.3.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from copy import copy, deepcopy
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
"""There are no readers of earlier timestamps: an overwritten version is removed at once."""

_FIRST_CHUNK, _LAST_CHUNK = 32, 256
_SORTED_AT_ONCE = 2048
_FREED_AT_ONCE = 4096
_timestamp = itemgetter(1)


class Memtable:
    """A sorted map from each key to its newest version, and to older ones that readers need.

    - ``bytes_written`` is the size of a table of all that was put in, overwritten rows included.
    - ``timestamp`` is the highest timestamp put in, 0 if there is none.
    - ``range_tombstones`` is ``None`` if it has none.
    - ``len()`` is the number of keys, tombstones included.

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
        self._hidden = 0  # of the bytes written, those that are no longer here
        self.timestamp: Timestamp = 0
        self.range_tombstones: RangeTombstones | None = None
        self.newest: dict[bytes, Row] = {}
        self._older: dict[bytes, list[Row]] = {}  # oldest first
        self._keys: SortedList[bytes] = SortedList()  # all but those that were put in last

    def __len__(self) -> int:
        return len(self.newest)

    @property
    def size(self) -> int:
        """About how many bytes a table of its rows would have."""
        return self.bytes_written - self._hidden

    def __bool__(self) -> bool:
        return bool(self.newest or self.range_tombstones)

    def put(self, row: Row, pinned: Timestamp = UNPINNED) -> None:
        """Put in one row, as :meth:`update` does."""
        key, timestamp, value = row
        size = ROW_OVERHEAD + len(key) + (0 if value is None else len(value))
        old = self.newest.get(key)
        if old is not None:
            if not pinned < old[1] <= timestamp:  # the older of the two may be needed
                self.update((row,), pinned)
                return
            self._hidden += ROW_OVERHEAD + len(key) + (0 if old[2] is None else len(old[2]))
        self.newest[key] = row
        self.bytes_written += size
        if timestamp > self.timestamp:
            self.timestamp = timestamp

    def update(self, rows: Iterable[Row], pinned: Timestamp = UNPINNED) -> None:
        """Put in ``rows``, which the caller has checked (:func:`check_row`).

        An overwritten version stays if its timestamp is at most ``pinned``.
        """
        newest, find = self.newest, self.newest.get
        size, hidden, latest = 0, 0, self.timestamp
        for row in rows:
            key, timestamp, value = row
            old = find(key)
            if old is not None:
                if old[1] > timestamp:
                    if timestamp <= pinned:
                        self._keep(row, counted=False)
                    continue
                if old[1] <= pinned and old[1] < timestamp:
                    self._keep(old, counted=True)
                else:
                    hidden += ROW_OVERHEAD + len(key) + (0 if old[2] is None else len(old[2]))
            newest[key] = row
            size += ROW_OVERHEAD + len(key) + (0 if value is None else len(value))
            if timestamp > latest:
                latest = timestamp
        self.bytes_written += size
        self._hidden += hidden
        self.timestamp = latest

    def delete_range(self, row: Row, pinned: Timestamp = UNPINNED) -> None:
        """Put in one range tombstone: start, timestamp, stop (``b""``: no end).

        An older one of the same keys stays only if its timestamp is at most ``pinned``.
        """
        start, timestamp, stop = row
        if self.range_tombstones is None:
            self.range_tombstones = RangeTombstones()
        self.range_tombstones.add(row, pinned)
        self.bytes_written += ROW_OVERHEAD + len(start) + len(stop or b"")
        self.timestamp = max(self.timestamp, timestamp)

    def _keep(self, row: Row, *, counted: bool) -> None:
        insort(self._older.setdefault(row[0], []), row, key=_timestamp)
        if not counted:
            self.bytes_written += ROW_OVERHEAD + len(row[0]) + len(row[2] or b"")

    def get(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Row | None:
        """Return the newest version of ``key`` up to ``at``, ``None`` if there is none.

        It may be a tombstone.  Range tombstones are ignored.
        """
        row = self.newest.get(key)
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

        All versions of a key are in one list.  With ``reverse`` the last list comes first.  Rows
        that are put in during the scan may or may not appear; a reader ignores them by timestamp.
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
            yield self.rows_of(keys)
            count = min(2 * count, _LAST_CHUNK)

    @property
    def plain(self) -> bool:
        """Whether each key has one version, and no range tombstone hides any."""
        return not self._older and self.range_tombstones is None

    def drain(self) -> Drain:
        """Return an iterator over all rows in order, in lists, for a flush.

        Each list takes a bounded amount of work; some are empty.  Nothing may be put in before the
        last list was taken.
        """
        return Drain(self)

    def __deepcopy__(self, memo: dict[int, object]) -> Memtable:
        """Return a memtable of the same rows, which are shared: they never change."""
        other = copy(self)
        other.range_tombstones = deepcopy(self.range_tombstones, memo)
        other.newest = self.newest.copy()
        other._older = {key: rows.copy() for key, rows in self._older.items()}
        other._keys = self._keys.copy()
        return other

    def _sorted(self) -> SortedList[bytes]:
        if late := len(self.newest) - len(self._keys):
            self._keys.update(islice(reversed(self.newest), late))  # a dict is in order
        return self._keys

    def rows_of(self, keys: list[bytes]) -> list[Row]:
        """Return all versions of ``keys``, which it has, in this order."""
        newest, older = self.newest, self._older
        if not older:
            return list(map(newest.__getitem__, keys))
        return [row for key in keys for row in (*older.get(key, ()), newest[key])]


class Drain:
    """All rows of a frozen memtable in order: an iterator that can be copied half-way.

    First the keys are sorted in runs, one a slice.  Then the runs are merged, from *edge* to edge::

        runs    a b d e │ g h k │ l n …
                c f     │ i j   │ m o …
        edges           f       k

    Between two edges are about ``_LAST_CHUNK`` keys, however they are spread over the runs: edges
    are picked from an evenly spaced sample of all runs.
    """

    def __init__(self, memtable: Memtable) -> None:
        self._memtable = memtable
        self._fresh: list[bytes] = []  # all keys, as they came
        self._sorted = 0  # of these, how many are in a run
        self._runs: list[list[bytes]] = []
        self._places: list[int] = []  # of the next key in each run
        self._edges: list[bytes] = []
        self._edge = 0  # the next one
        self._pauses = 2 * (len(memtable) > _SORTED_AT_ONCE)  # before and after it takes the keys
        if not self._pauses:
            self._take_keys()

    def __deepcopy__(self, memo: dict[int, object]) -> Drain:
        """Return a copy; the runs are shared, for they never change."""
        other = copy(self)
        other._memtable = deepcopy(self._memtable, memo)
        other._runs, other._places = self._runs.copy(), self._places.copy()
        return other

    def __iter__(self) -> Drain:
        return self

    def __next__(self) -> list[Row]:
        if self._pauses:
            self._pauses -= 1
            if not self._pauses:
                self._take_keys()
            return []
        if self._sorted < len(self._fresh):
            end = self._sorted + _SORTED_AT_ONCE
            self._runs.append(sorted(self._fresh[self._sorted : end]))
            self._sorted = end
            return []
        if not self._places:
            self._pick_edges()
        if self._edge == len(self._edges):
            raise StopIteration
        return self._memtable.rows_of(self._next_keys())

    def _take_keys(self) -> None:
        # In the order in which they came, even if a reader sorted them meanwhile: how many slices
        # there are, and what is in each, must not depend on who looked.
        self._fresh = list(self._memtable.newest)

    def _pick_edges(self) -> None:
        runs = self._runs
        step = max(1, _LAST_CHUNK // max(1, len(runs)))
        sample = sorted(key for run in runs for key in run[step - 1 :: step])
        last = [max(run[-1] for run in runs)] if runs else []
        edges = sample[len(runs) - 1 :: len(runs) or 1]
        self._edges = edges + last if edges[-1:] != last else edges
        self._places = [0] * len(runs)

    def _next_keys(self) -> list[bytes]:
        edge, places = self._edges[self._edge], self._places
        self._edge += 1
        keys: list[bytes] = []
        for n, run in enumerate(self._runs):
            low = places[n]
            high = places[n] = bisect_right(run, edge, low)
            if low < high:
                keys += run[low:high]
        keys.sort()  # Timsort: the runs are in order already
        return keys


class Frozen(NamedTuple):
    """A frozen memtable, and the log position of its last rows."""

    memtable: Memtable
    through: Position


class Memtables:
    """The memtables of one tree: the ``active`` one, and those ``frozen``, oldest first.

    ``newest_first`` has all of them, in the order in which they are read.  The tuple is replaced,
    never changed, so a reader keeps those that it began with.  ``dropped`` rows are to be freed.
    """

    newest_first: tuple[Memtable, ...]
    active: Memtable
    frozen: list[Frozen]

    def __init__(self) -> None:
        self.dropped: list[Row] = []
        self.clear()

    def clear(self) -> None:
        """Remove all memtables, and begin an empty one."""
        self.frozen = []
        self._begin()

    def adopt(self, other: Memtables) -> None:
        """Take the place of ``other``, which is not used from here on."""
        self.frozen, self.active = other.frozen, other.active
        self.newest_first = other.newest_first

    def freeze(self, through: Position) -> Memtable:
        """Freeze the active memtable, whose last rows are of ``through``, and return it."""
        frozen = self.active
        self.frozen.append(Frozen(frozen, through))
        self._begin()
        return frozen

    def drop_oldest(self) -> None:
        """Remove the oldest frozen memtable, in a table by now; ``dropped`` keeps many rows."""
        self.newest_first = self.newest_first[:-1]
        if len(rows := self.frozen.pop(0).memtable.newest) > _FREED_AT_ONCE:
            self.dropped += rows.values()

    def free_some(self) -> None:
        """Free some rows of a memtable that was dropped: all at once takes milliseconds."""
        del self.dropped[-_FREED_AT_ONCE:]

    def _begin(self) -> None:
        self.active = Memtable()
        frozen = (each.memtable for each in reversed(self.frozen))
        self.newest_first = (self.active, *frozen)


def check_row(row: Row) -> None:
    """Raise ``BadInput`` unless ``row`` is a valid key, timestamp and value."""
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
    """Raise ``BadInput`` unless ``key`` is valid."""
    if not isinstance(key, bytes):
        raise WrongType(f"a key must be bytes, not {type(key).__name__}")
    if len(key) > MAX_KEY_BYTES:
        raise BadInput(f"a key of {len(key)} bytes is above the limit of {MAX_KEY_BYTES}")


def check_range_tombstone(row: Row) -> None:
    """Raise ``BadInput`` unless ``row`` is a valid range tombstone: start, timestamp, stop."""
    check_row(row)
    start, _, stop = row
    if stop is None:
        raise WrongType("a range tombstone stops at a key, or at b'' for no end, not at None")
    check_key(stop)
    if stop and start >= stop:
        raise BadInput(f"a range must start before it stops: {start!r} is not below {stop!r}")
