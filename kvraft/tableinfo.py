"""What is known of a table without opening it: what the manifest and the head of a snapshot say.

:class:`TableInfo` as JSON is an object with its fields as they are, the keys in hexadecimal::

    {"number": 7, "level": 0, "rows": 2, …, "first_key": "61", "last_key": "6b", …, "digest": …}

Invariant: what :func:`unpack_table` returns has the types that its fields promise, whatever the
JSON was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from kvraft.record import Timestamp

_NAME = re.compile(r"([0-9]{6,})\.sst")
_KEYS = ("first_key", "last_key")


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table: enough to choose tables without opening one, and to know the right one.

    ``number`` and ``level`` are its place in one tree; the rest is the same wherever it goes.
    """

    number: int
    level: int
    rows: int
    tombstones: int
    size: int  # bytes
    first_key: bytes
    last_key: bytes
    min_timestamp: Timestamp
    max_timestamp: Timestamp
    digest: int  # of the bytes, see sstable.py


def table_name(number: int) -> str:
    """Return the name of the file of table ``number``."""
    return f"{number:06d}.sst"


def table_number(name: str) -> int | None:
    """Return the number of the table in the file ``name``, ``None`` if that is no table's name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and table_name(int(match[1])) == name else None


def pack_table(table: TableInfo) -> dict[str, Any]:
    """Return ``table`` as what JSON can hold."""
    values = asdict(table)
    return values | {name: values[name].hex() for name in _KEYS}


def unpack_table(values: dict[str, Any]) -> TableInfo:
    """Return what :func:`pack_table` took apart.

    Raises ``ValueError``, ``TypeError``, ``KeyError`` or ``AttributeError`` if it is none.
    """
    keys = {name: bytes.fromhex(values[name]) for name in _KEYS}
    integers(value for name, value in values.items() if name not in _KEYS)
    return TableInfo(**(values | keys))


def integers(values: Iterable[Any]) -> tuple[int, ...]:
    """Return ``values`` if all are whole numbers and none is negative, else ``ValueError``."""
    numbers = tuple(values)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"whole numbers are expected, not {numbers}")
    return numbers
