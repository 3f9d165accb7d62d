"""A write batch: any number of writes that take effect together, or not at all.

>>> batch = WriteBatch().put(b"a", b"1").delete(b"b").delete_range(b"c", b"d")
>>> len(batch)
3

Invariants:

- All of a batch has one timestamp.  Of two writes to one key the later one counts.
- A batch contains only what a tree can take: an invalid write raises when it is added, and leaves
  the batch unchanged.
- Keys and values are ``bytes`` from here on: changing a ``bytearray`` that was passed in does not
  change the batch.
"""

from __future__ import annotations

from kvraft.errors import BadInput, WrongType
from kvraft.inputs import as_bytes
from kvraft.memtable import check_range_tombstone, check_row
from kvraft.record import MAX_KEY_BYTES, MAX_VALUE_BYTES, Buffer, Kind, Row, Timestamp

BatchWrite = tuple[Kind, bytes, bytes | None]

_PUT = Kind.PUT  # a global is found faster than a member of an Enum
_SHOWN = 4  # a longer batch shows only how many writes it has


class WriteBatch:
    """Writes in their order.  Each method returns the batch, so that calls can be chained.

    ``writes`` are kind, key and value; for a range tombstone its start and its stop.
    """

    def __init__(self) -> None:
        self.writes: list[BatchWrite] = []
        self._has_ranges = False

    def __len__(self) -> int:
        return len(self.writes)

    def __repr__(self) -> str:
        if len(self.writes) > _SHOWN:
            return f"<WriteBatch of {len(self.writes):,} writes>"
        return "WriteBatch()" + "".join(map(_call, self.writes))

    def put(self, key: Buffer, value: Buffer) -> WriteBatch:
        """Add a write of ``value`` to ``key``; ``BadInput`` if one of them cannot be written."""
        if type(key) is not bytes or type(value) is not bytes:
            key, value = as_bytes(key, "a key"), as_value(value)
        if len(key) > MAX_KEY_BYTES or len(value) > MAX_VALUE_BYTES:
            check_row((key, 0, value))
        self.writes.append((_PUT, key, value))
        return self

    def delete(self, key: Buffer) -> WriteBatch:
        """Add a delete of ``key``."""
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        if len(key) > MAX_KEY_BYTES:
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
        self._has_ranges = True
        return self

    def rows(self, timestamp: Timestamp) -> tuple[list[Row], list[Row]]:
        """Return the rows and the range tombstones of this batch at ``timestamp``.

        A range tombstone hides only what is older, so earlier writes of this batch into its range
        are left out here.
        """
        if not self._has_ranges:
            return [(key, timestamp, value) for _, key, value in self.writes], []
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


def _call(write: BatchWrite) -> str:
    """Return the call that added ``write``."""
    kind, key, value = write
    if kind is Kind.DELETE:
        return f".delete({key!r})"
    if kind is Kind.DELETE_RANGE:
        return f".delete_range({key!r}, {value or None!r})"
    return f".put({key!r}, {value!r})" if len(value or b"") <= 40 else f".put({key!r}, …)"
