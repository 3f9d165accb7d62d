"""Merging sorted runs: the one place where versions of a key from different runs are reconciled.

A *run* is an iterator of **chunks**: short lists of rows in order, all versions of a key in the
same chunk.  A memtable, a table and a whole level can each be read as a run.  Reading a tree means
merging its runs on the fly (:func:`merge`, then :func:`visible`); compaction means merging some of
them permanently (:func:`merge`, then :func:`retain`).

Chunks are merged up to the edge, the last key of the chunk that ends first: the rows up to it in
each run are taken, concatenated and sorted.  Python's sort recognises the runs and gallops through
them, which is several times faster than a heap that handles one row at a time::

    run 1   a c e│g h          edge e: takes  a c e │ b d │ c     sorted: a b c c d e
    run 2   b d  │f i
    run 3   c    │k

Invariants:

- The highest timestamp wins, whichever run it is in.
- Tombstones pass through a merge like any row.  A reader hides them; compaction drops one only
  where its caller knows that nothing older is left to hide.
- What some reader can still see is kept (:class:`RetainedTimes`).

Sources: O'Neil et al., *The Log-Structured Merge-Tree*, 1996, §2.1 (rolling merge); Peters,
listsort.txt in CPython (galloping).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import NamedTuple

from kvraft.range_tombstones import RangeTombstones
from kvraft.record import MAX_TIMESTAMP, KeyValue, Row, Timestamp

RowChunk = list[Row]

_key = itemgetter(0)
_place = itemgetter(0, 1)


def merge(runs: Iterable[Iterator[RowChunk]], *, reverse: bool = False) -> MergedRuns:
    """Return an iterator over all rows of ``runs``, in chunks, each by key and then timestamp.

    With ``reverse`` the last chunk comes first, in each run and in the result.

    >>> new, old = [(b"a", 5, None), (b"c", 4, b"3")], [(b"a", 1, b"1"), (b"b", 2, b"2")]
    >>> for chunk in merge([iter([new]), iter([old])]):
    ...     print(chunk)
    [(b'a', 1, b'1'), (b'a', 5, None), (b'b', 2, b'2')]
    [(b'c', 4, b'3')]
    """
    return MergedRuns(runs, reverse=reverse)


class MergedRuns:
    """The iterator that :func:`merge` returns; it can be copied half-way if its runs can."""

    def __init__(self, runs: Iterable[Iterator[RowChunk]], *, reverse: bool) -> None:
        self._reverse = reverse
        self._heads = [(chunk, run) for run in runs for chunk in _next(run)]
        self._last: Iterator[RowChunk] | None = None  # the only run that is left

    def __iter__(self) -> MergedRuns:
        return self

    def __next__(self) -> RowChunk:
        if self._last is not None:
            return next(self._last)
        heads, self._heads = self._heads, []
        if len(heads) == 1:
            ((chunk, self._last),) = heads
            return chunk
        if not heads:
            raise StopIteration
        take = _take_high if self._reverse else _take_low
        parts: list[RowChunk] = []
        edges = [chunk[0][0] if self._reverse else chunk[-1][0] for chunk, _ in heads]
        edge = max(edges) if self._reverse else min(edges)
        for chunk, run in heads:
            part, rest = take(chunk, edge)
            if part:
                parts.append(part)
            self._heads += [(chunk, run) for chunk in ([rest] if rest else _next(run))]
        return parts[0] if len(parts) == 1 else in_order(parts)


def _next(run: Iterator[RowChunk]) -> list[RowChunk]:
    """Return the next chunk of a run that is not empty, in a list; none at the end of the run."""
    for chunk in run:
        if chunk:
            return [chunk]
    return []


def _take_low(chunk: RowChunk, edge: bytes) -> tuple[RowChunk, RowChunk]:
    if chunk[-1][0] <= edge:
        return chunk, []
    at = bisect_right(chunk, edge, key=_key)
    return chunk[:at], chunk[at:]


def _take_high(chunk: RowChunk, edge: bytes) -> tuple[RowChunk, RowChunk]:
    if chunk[0][0] >= edge:
        return chunk, []
    at = bisect_left(chunk, edge, key=_key)
    return chunk[at:], chunk[:at]


def in_order(parts: Iterable[RowChunk]) -> RowChunk:
    """Return the rows of ``parts`` by key and then by timestamp."""
    rows = list(chain.from_iterable(parts))
    try:
        rows.sort()
    except TypeError:  # one key has a value and a tombstone with the same timestamp
        rows.sort(key=_place)
    return rows


# ── for a reader ────────────────────────────────────────────────────────────────────────────────


def visible(
    rows: RowChunk, at: Timestamp = MAX_TIMESTAMP, ranges: RangeTombstones | None = None
) -> list[KeyValue]:
    """Return key and value of each key that has one at ``at``, in the order of ``rows``.

    >>> visible([(b"a", 1, b"1"), (b"a", 5, None), (b"b", 2, b"2")])
    [(b'b', b'2')]
    >>> visible([(b"a", 1, b"1"), (b"a", 5, None), (b"b", 2, b"2")], at=1)
    [(b'a', b'1')]
    """
    # The last row of a key is its newest, and a dict keeps the last.
    newest: Iterable[Row] = {row[0]: row for row in rows if row[1] <= at}.values()
    if ranges is not None:
        newest = [row for row in newest if row[1] >= ranges.newest(row[0], at)]
    return [(key, value) for key, _, value in newest if value is not None]


# ── for a compaction ──────────────────────────────────────────────────────────────────────────────


class RetainedTimes(NamedTuple):
    """When the past can still be read: at each of ``times`` (ascending), and from ``floor`` on.

    A floor at or above the newest timestamp means: at ``times`` only.
    """

    times: tuple[Timestamp, ...] = ()
    floor: Timestamp = MAX_TIMESTAMP

    def needs(self, since: Timestamp, until: Timestamp) -> bool:
        """Return whether a reader sees what was there from ``since`` on and before ``until``."""
        if until > self.floor:
            return True
        at = bisect_left(self.times, since)
        return at < len(self.times) and self.times[at] < until


Droppable = Callable[[bytes, Timestamp], bool]
"""Returns whether nothing older than this timestamp of this key exists outside the merge."""


def retain(
    rows: RowChunk,
    keep: RetainedTimes,
    ranges: RangeTombstones | None = None,
    droppable: Droppable | None = None,
) -> RowChunk:
    """Return those of ``rows`` that some reader can see, now or later.

    A tombstone with nothing older left to hide is dropped if ``droppable`` allows it; with ``None``
    all are kept.

    >>> rows = [(b"a", 1, b"1"), (b"a", 5, b"5"), (b"a", 7, None)]
    >>> retain(rows, RetainedTimes())
    [(b'a', 7, None)]
    >>> retain(rows, RetainedTimes(times=(6,)))
    [(b'a', 5, b'5'), (b'a', 7, None)]
    >>> retain(rows, RetainedTimes(), droppable=lambda key, timestamp: True)
    []
    """
    if ranges is None and not keep.times and keep.floor == MAX_TIMESTAMP:
        # The usual case, at the speed of C: only the newest of each key counts.
        newest = {row[0]: row for row in rows}.values()
        if droppable is None:
            return list(newest)
        return [row for row in newest if row[2] is not None or not droppable(row[0], row[1])]
    kept: RowChunk = []
    for key, versions in groupby(rows, key=_key):
        kept += _retain_key(list(versions), keep, ranges.covering(key) if ranges else ())
    return kept if droppable is None else _without_last_tombstones(kept, droppable)


def _retain_key(
    versions: RowChunk, keep: RetainedTimes, deleted: tuple[Timestamp, ...]
) -> RowChunk:
    """Return the versions of one key to keep; each range tombstone counts as a version."""
    chain: list[tuple[Timestamp, int, Row | None]] = [(row[1], 1, row) for row in versions]
    chain += [(timestamp, 0, None) for timestamp in deleted]  # hides only what is older
    chain.sort(key=itemgetter(0, 1), reverse=True)
    kept: RowChunk = []
    until = MAX_TIMESTAMP + 1  # where the next newer version begins
    for timestamp, _, row in chain:
        if row is not None and (until > MAX_TIMESTAMP or keep.needs(timestamp, until)):
            kept.append(row)
        until = timestamp
    kept.reverse()
    return kept


def _without_last_tombstones(rows: RowChunk, droppable: Droppable) -> RowChunk:
    kept: RowChunk = []
    for row in rows:
        oldest = not kept or kept[-1][0] != row[0]
        if not (row[2] is None and oldest and droppable(row[0], row[1])):
            kept.append(row)
    return kept
