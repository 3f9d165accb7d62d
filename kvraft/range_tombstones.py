"""Range tombstones: which keys were deleted when, for any number of ranges that may overlap.

A range delete is kept as it is asked for, one tombstone however many keys it covers: start,
timestamp, stop.  To answer "what deletes this key" with one bisection, ranges are cut where they
overlap into *fragments*, each with the timestamps of all tombstones that cover it::

    asked for    a ─────── 5 ────── m              bounds  b""   a    f    m    t
                        f ──── 9 ──────── t        stamps        5   9,5   9

It is a feature of the embedded engine (``Store``, ``Tree``), as RocksDB has it; a cluster refuses
it.  What covers what, what hides what and what may go is decided here.  Others hand it through, and
know no more than that a range tombstone is a row whose value is where it stops:

- ``record.py`` and ``lsm/batch.py`` name the kind of write, and take the rows out of a log entry;
- ``memtable.py``, ``sstable/reader.py`` and ``sstable/writer.py`` hold the tombstones of their
  rows; the span of a table covers theirs (``sstable/metadata.py``);
- ``lsm/merging.py`` asks what hides a row, ``lsm/reading.py`` what hides a key, and
  ``lsm/versions.py`` and ``lsm/compaction.py`` which of them outlast a flush and a merge.

Invariants:

- A range tombstone hides what is *older* than it.  A row of the same timestamp stays: it was
  written by the same transaction, after the range delete.
- Fragments meet end to end and cover all keys, from ``b""`` on without an end.
- As rows (start, timestamp, stop) they go into a table; a stop of ``b""`` means no end.

Source: RocksDB, *DeleteRange: A New Native RocksDB Operation*, 2018 (fragments).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from kvraft.record import MAX_TIMESTAMP, Row, Timestamp

NEVER_DELETED = -1
"""Below every timestamp: nothing deletes this key."""


class RangeTombstones:
    """Range tombstones in fragments.  True if there is any.

    >>> ranges = RangeTombstones([(b"a", 5, b"m"), (b"f", 9, b"t")])
    >>> ranges.newest(b"g"), ranges.newest(b"g", at=8), ranges.newest(b"t")
    (9, 5, -1)
    >>> ranges.rows()
    [(b'a', 5, b'f'), (b'f', 5, b'm'), (b'f', 9, b'm'), (b'm', 9, b't')]
    """

    __slots__ = ("_bounds", "_stamps")

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Begin with the range tombstones ``rows``."""
        self._bounds: list[bytes] = [b""]
        self._stamps: list[tuple[Timestamp, ...]] = [()]  # newest first
        for row in rows:
            self.add(row)

    def __bool__(self) -> bool:
        return any(self._stamps)

    def add(self, row: Row, pinned: Timestamp = MAX_TIMESTAMP) -> None:
        """Add one range tombstone: start, timestamp, stop (``b""``: no end).

        Of the older ones that cover the same keys those above ``pinned`` go: nobody reads at a
        time when they were the newest.
        """
        start, timestamp, stop = row
        first = self._split(start)
        last = self._split(stop) if stop else len(self._bounds)
        for at in range(first, last):
            stamps = self._stamps[at]
            if timestamp not in stamps:
                stamps = tuple(t for t in stamps if t <= pinned or t > timestamp)
                self._stamps[at] = tuple(sorted((*stamps, timestamp), reverse=True))

    def _split(self, key: bytes) -> int:
        """Let a fragment begin at ``key``; return which one."""
        at = bisect_right(self._bounds, key) - 1
        if self._bounds[at] != key:
            at += 1
            self._bounds.insert(at, key)
            self._stamps.insert(at, self._stamps[at - 1])
        return at

    def covering(self, key: bytes) -> tuple[Timestamp, ...]:
        """Return the timestamps of all range tombstones that cover ``key``, newest first."""
        return self._stamps[bisect_right(self._bounds, key) - 1]

    def newest(self, key: bytes, at: Timestamp = MAX_TIMESTAMP) -> Timestamp:
        """Return the newest timestamp up to ``at`` that covers ``key``, or ``NEVER_DELETED``."""
        for timestamp in self._stamps[bisect_right(self._bounds, key) - 1]:
            if timestamp <= at:
                return timestamp
        return NEVER_DELETED

    def rows(self, start: bytes = b"", stop: bytes = b"") -> list[Row]:
        """Return what lies in ``start`` … ``stop`` as rows, by start and then by timestamp."""
        rows: list[Row] = []
        ends = [*self._bounds[1:], b""]
        for begin, end, stamps in zip(self._bounds, ends, self._stamps, strict=True):
            low = max(begin, start)
            high = min(end, stop) if end and stop else end or stop
            if stamps and (not high or low < high):
                rows += [(low, timestamp, high) for timestamp in reversed(stamps)]
        return rows

    def surviving(
        self,
        needs: Callable[[Timestamp, Timestamp], bool],
        hides: Callable[[bytes, bytes, Timestamp], bool],
    ) -> list[Row]:
        """Return those that still hide something after a merge, or may.

        Of several that cover the same keys the newest hides what the others do, but for readers of
        the past: ``needs`` says whether anybody reads between two times.  The newest goes too once
        all that it could hide was merged away: ``hides`` says whether anything older than a time
        may be left between two keys.
        """
        rows: list[Row] = []
        ends = [*self._bounds[1:], b""]
        for start, stop, stamps in zip(self._bounds, ends, self._stamps, strict=True):
            kept: list[Row] = []
            until: Timestamp | None = None  # there the next newer one begins
            for timestamp in stamps:
                shows = until is None or needs(timestamp, until)
                if shows and (hides(start, stop, timestamp) or needs(0, timestamp)):
                    kept.append((start, timestamp, stop))
                until = timestamp
            rows += reversed(kept)
        return rows


def gather(
    parts: Iterable[RangeTombstones | None], start: bytes, stop: bytes | None
) -> RangeTombstones | None:
    """Return all of ``parts`` that lie in ``start`` … ``stop``, ``None`` if there are none."""
    rows = [row for part in parts if part is not None for row in part.rows(start, stop or b"")]
    return RangeTombstones(rows) if rows else None
