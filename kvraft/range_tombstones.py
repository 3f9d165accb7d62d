"""Range tombstones: which keys were deleted when, for any number of ranges, which may overlap.

A ``delete_range`` is stored as one tombstone, however many keys it covers: start, timestamp, stop.
So that one bisection finds what deletes a key, overlapping ranges are split into *fragments*, each
with the timestamps of all tombstones that cover it::

    ranges       a ─────── 5 ────── m              bounds  b""   a    f    m    t
                        f ──── 9 ──────── t        stamps        5   9,5   9

This is a feature of the embedded engine (``Store``, ``Tree``), as in RocksDB; a cluster refuses it.
This module decides what a tombstone covers, what it hides and when it may be removed.  For all
other modules it is a row whose value is the stop:

- ``record.py`` and ``lsm/batch.py`` define the kind of write, and decode its rows from a log entry;
- ``memtable.py``, ``sstable/reader.py`` and ``sstable/writer.py`` store the tombstones next to
  their rows; a table's span includes them (``sstable/metadata.py``);
- ``lsm/merging.py`` and ``lsm/reading.py`` find out what hides a row or a key, ``lsm/versions.py``
  and ``lsm/compaction.py`` which tombstones survive a flush or a merge.

Invariants:

- A range tombstone hides rows that are *older*.  A row with the same timestamp stays visible: the
  same transaction wrote it after the ``delete_range``.
- Fragments are adjacent and cover all keys, from ``b""`` on without an end.
- In a table they are rows (start, timestamp, stop); a stop of ``b""`` means no end.

Source: RocksDB, *DeleteRange: A New Native RocksDB Operation*, 2018 (fragments).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from kvraft.record import MAX_TIMESTAMP, Row, Timestamp

NEVER_DELETED = -1
"""Lower than every timestamp: no tombstone covers the key."""


class RangeTombstones:
    """Range tombstones in fragments; true if there is any.

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

        Older ones of the same keys are removed if they are above ``pinned``: no reader reads at a
        timestamp at which they were the newest.
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
        """Split a fragment so that one begins at ``key``; return its number."""
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
        """Return the fragments within ``start`` … ``stop`` as rows, by start and then timestamp."""
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
        """Return the tombstones that may still hide something after a merge.

        Of several that cover the same keys the newest hides whatever the others do, except from
        readers of older timestamps: ``needs`` says whether there is a reader between two
        timestamps.  The newest is removed too, once nothing is left for it to hide: ``hides`` says
        whether rows older than a timestamp may be left between two keys.
        """
        rows: list[Row] = []
        ends = [*self._bounds[1:], b""]
        for start, stop, stamps in zip(self._bounds, ends, self._stamps, strict=True):
            kept: list[Row] = []
            until: Timestamp | None = None  # the timestamp of the next newer one
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
    """Return the tombstones of ``parts`` in ``start`` … ``stop``, ``None`` without any."""
    rows = [row for part in parts if part is not None for row in part.rows(start, stop or b"")]
    return RangeTombstones(rows) if rows else None
