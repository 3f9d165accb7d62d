"""Table metadata: what the manifest and the head of a snapshot record about a table.

:class:`TableMetadata` is a JSON object of its fields, with keys in hexadecimal::

    {"number": 7, "level": 0, "rows": 2, …, "start": "61", "stop": "6b00", …, "digest": …}

A table's **span** contains all its keys and all that its range tombstones cover: ``start`` is in
it, ``stop`` is not.  The smallest key after *k* is *k* and a zero byte, so a table with the keys
``a`` … ``k`` stops at ``k\\0``.  A ``stop`` of ``b""`` means a span without an end.

Invariant: the result of :func:`unpack_metadata` has the declared types, whatever the JSON was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from kvraft.copying import immutable
from kvraft.record import Timestamp

_KEYS = ("start", "stop")


@immutable
@dataclass(frozen=True, slots=True)
class TableMetadata:
    """One table: enough to select tables for a read or a merge, and to recognise the right file.

    ``number`` and ``level`` are its place in one tree; the other fields are the same in every tree.
    """

    number: int
    level: int
    rows: int  # versions of keys
    keys: int
    tombstones: int
    ranges: int  # range tombstones, in fragments
    size: int  # bytes
    start: bytes
    stop: bytes
    min_timestamp: Timestamp
    max_timestamp: Timestamp
    digest: int  # of the bytes, see format.py

    def covers(self, key: bytes) -> bool:
        """Return whether ``key`` is in the table's span."""
        return self.start <= key and (not self.stop or key < self.stop)

    def overlaps(self, start: bytes, stop: bytes) -> bool:
        """Return whether the table's span and ``start`` … ``stop`` have a key in common."""
        return (not stop or self.start < stop) and (not self.stop or start < self.stop)


def span_of(tables: Iterable[TableMetadata]) -> tuple[bytes, bytes]:
    """Return the smallest span that contains those of ``tables``; at least one is required."""
    tables = list(tables)
    endless = any(not table.stop for table in tables)
    stop = b"" if endless else max(table.stop for table in tables)
    return min(table.start for table in tables), stop


def read_order(tables: Iterable[TableMetadata]) -> tuple[TableMetadata, ...]:
    """Return ``tables`` level by level: level 0 newest first, deeper levels by key."""
    tables = list(tables)
    newest_first = sorted(
        (table for table in tables if table.level == 0),
        key=lambda table: (table.max_timestamp, table.number),
        reverse=True,
    )
    deeper = sorted(
        (table for table in tables if table.level > 0), key=lambda table: (table.level, table.start)
    )
    return (*newest_first, *deeper)


def pack_metadata(table: TableMetadata) -> dict[str, Any]:
    """Return ``table`` as a dictionary for JSON."""
    values = asdict(table)
    return values | {name: values[name].hex() for name in _KEYS}


def unpack_metadata(values: dict[str, Any]) -> TableMetadata:
    """Return the metadata that :func:`pack_metadata` made into ``values``.

    Raises ``ValueError``, ``TypeError``, ``KeyError`` or ``AttributeError`` if they are invalid.
    """
    keys = {name: bytes.fromhex(values[name]) for name in _KEYS}
    if keys["stop"] and keys["start"] >= keys["stop"]:
        raise ValueError("a table stops before it starts")
    check_integers(value for name, value in values.items() if name not in _KEYS)
    return TableMetadata(**(values | keys))


def check_integers(values: Iterable[Any]) -> tuple[int, ...]:
    """Return ``values``; raise ``ValueError`` unless all are whole numbers and not negative."""
    numbers = tuple(values)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"whole numbers are expected, not {numbers}")
    return numbers
