"""The memtable: the newest version of each key, sorted, in memory.

Applied transactions land here first.  When it is full it is *frozen*: no more writes, reads go on,
and a flush turns it into an SSTable.  It needs no log of its own, for the Raft log holds every row
until the table that replaces this memtable is durable.

Invariants:

- One version a key: the one with the highest timestamp, in whatever order versions arrive.  Of two
  with the same timestamp the later wins, for they are two records of one transaction.
- A batch of rows goes in whole or, if one of them is no row, not at all.

Source: LevelDB impl.md (memtable); Chang et al., *Bigtable*, OSDI 2006, §5.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sortedcontainers import SortedDict

from kvraft.block import ROW_OVERHEAD
from kvraft.errors import BadInput
from kvraft.record import MAX_KEY_BYTES, MAX_VALUE_BYTES, Row, Timestamp, Version


class Memtable:
    """A sorted map from key to its newest :class:`~kvraft.record.Version`.

    ``size`` is about how many bytes of table it would fill, ``timestamp`` the highest timestamp put
    into it (0 while there is none), ``len()`` the number of keys, tombstones included.

    >>> memtable = Memtable()
    >>> memtable.put(b"k", Version(2, b"new"))
    >>> memtable.put(b"k", Version(1, b"late, and older"))
    >>> memtable.get(b"k")
    Version(timestamp=2, value=b'new')
    """

    def __init__(self) -> None:
        self.size = 0
        self.timestamp: Timestamp = 0
        self._rows: SortedDict[bytes, Version] = SortedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, key: bytes, version: Version) -> None:
        """Put in one version; ``BadInput`` if it is none (:func:`check_row`)."""
        self.update([(key, version)])

    def update(self, rows: Iterable[Row]) -> None:
        """Put in all ``rows``, or none of them and raise ``BadInput`` if one is bad."""
        rows = list(rows)
        for row in rows:
            check_row(row)
        mine = self._rows
        for key, version in rows:
            old = mine.get(key)
            if old is None:
                self.size += ROW_OVERHEAD + len(key) + len(version.value or b"")
            elif old.timestamp <= version.timestamp:
                self.size += len(version.value or b"") - len(old.value or b"")
            else:
                continue
            mine[key] = version
            self.timestamp = max(self.timestamp, version.timestamp)

    def get(self, key: bytes) -> Version | None:
        """Return what ``key`` holds, maybe a tombstone; ``None`` if nothing is known of it."""
        return self._rows.get(key)

    def scan(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Row]:
        """Yield the rows with ``start <= key < stop`` in ascending order; no ``stop``, no end.

        Nothing may be put in before the last row was taken.
        """
        rows = self._rows
        for key in rows.irange(start, stop, inclusive=(True, False)):
            yield key, rows[key]


def check_row(row: Row) -> None:
    """Raise ``BadInput`` unless ``row`` is a key with a version that a table can hold."""
    if not (isinstance(row, tuple) and len(row) == 2 and isinstance(row[1], Version)):
        raise BadInput(f"a row is a pair of a key and a Version, not {row!r}")
    key, (timestamp, value) = row
    if not isinstance(key, bytes):
        raise BadInput(f"a key must be bytes, not {type(key).__name__}")
    if not (value is None or isinstance(value, bytes)):
        raise BadInput(f"a value must be bytes, or None for a delete, not {type(value).__name__}")
    if not (isinstance(timestamp, int) and 0 <= timestamp < 1 << 64):
        raise BadInput(f"a timestamp must be a whole number of 64 bits, not {timestamp!r}")
    if len(key) > MAX_KEY_BYTES:
        raise BadInput(f"a key of {len(key)} bytes is above the limit of {MAX_KEY_BYTES}")
    if value is not None and len(value) > MAX_VALUE_BYTES:
        raise BadInput(f"a value of {len(value)} bytes is above the limit of {MAX_VALUE_BYTES}")
