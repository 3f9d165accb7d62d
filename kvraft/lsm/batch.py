"""A write batch: any number of writes that take effect together, or not at all.

>>> batch = WriteBatch().put(b"a", b"1").delete(b"b").delete_range(b"c", b"d")
>>> len(batch)
3

Invariants:

- All of a batch has one timestamp.  Of two writes to one key the later one counts.
- Nothing is in a batch that a tree could not take: what is wrong with a write is said when it is
  added, and leaves the batch as it was.
- Keys and values are ``bytes`` from here on, and what the caller does to a ``bytearray`` that he
  handed in makes no difference to the batch.
"""

from __future__ import annotations

from kvraft.errors import BadInput, WrongType
from kvraft.inputs import as_bytes
from kvraft.memtable import check_range_tombstone, check_row
from kvraft.record import Buffer, Kind, Row, Timestamp

BatchWrite = tuple[Kind, bytes, bytes | None]

_SHOWN = 4  # writes at most that a batch shows one by one


class WriteBatch:
    """Writes in their order.  Each method returns the batch, so that calls can be strung together.

    ``writes`` are kind, key and value; for a range delete where it starts and where it stops.
    """

    def __init__(self) -> None:
        self.writes: list[BatchWrite] = []

    def __len__(self) -> int:
        return len(self.writes)

    def __repr__(self) -> str:
        if len(self.writes) > _SHOWN:
            return f"<WriteBatch of {len(self.writes):,} writes>"
        return "WriteBatch()" + "".join(map(_said, self.writes))

    def put(self, key: Buffer, value: Buffer) -> WriteBatch:
        """Add a write of ``value`` to ``key``; ``BadInput`` if one of them cannot be written."""
        key, value = as_bytes(key, "a key"), as_value(value)
        check_row((key, 0, value))
        self.writes.append((Kind.PUT, key, value))
        return self

    def delete(self, key: Buffer) -> WriteBatch:
        """Add a delete of ``key``."""
        key = as_bytes(key, "a key")
        check_row((key, 0, None))
        self.writes.append((Kind.DELETE, key, None))
        return self

    def delete_range(self, start: Buffer, stop: Buffer | None = None) -> WriteBatch:
        """Add a delete of all keys from ``start`` on and below ``stop``; ``None``: no end."""
        start = as_bytes(start, "the start of a range")
        end = b"" if stop is None else as_bytes(stop, "the stop of a range")
        check_range_tombstone((start, 0, end))
        if stop is not None and not end:
            raise BadInput("a range that stops at b'' holds nothing: None means no end")
        self.writes.append((Kind.DELETE_RANGE, start, end))
        return self

    def rows(self, timestamp: Timestamp) -> tuple[list[Row], list[Row]]:
        """Return the rows and the range deletes that this batch amounts to at ``timestamp``.

        A range delete hides only what is older, so what this batch wrote into its range before goes
        here.
        """
        rows: list[Row] = []
        ranges: list[Row] = []
        for kind, key, value in self.writes:
            if kind is Kind.DELETE_RANGE:
                rows = [row for row in rows if row[0] < key or (value and row[0] >= value)]
                ranges.append((key, timestamp, value))
            else:
                rows.append((key, timestamp, value))
        return rows, ranges


def as_value(value: object) -> bytes:
    """Return ``value`` as ``bytes``, or raise ``WrongType``: see :func:`as_bytes`."""
    if value is None:
        raise WrongType("a value must be bytes: to delete a key, use delete")
    return as_bytes(value, "a value")


def _said(write: BatchWrite) -> str:
    """Return the call that added ``write``."""
    kind, key, value = write
    if kind is Kind.DELETE:
        return f".delete({key!r})"
    if kind is Kind.DELETE_RANGE:
        return f".delete_range({key!r}, {value or None!r})"
    return f".put({key!r}, {value!r})" if len(value or b"") <= 40 else f".put({key!r}, …)"
