"""Writing a table: rows come in by chunks, blocks go out, the other parts follow at the end.

::

    rows ──add──► pending ──enough for one───► data block ──► file
                     └─ keys ──────────────────────────────► filter     ┐
                     └─ counts, span, timestamps ──────────► properties ├─ finish
                     └─ last key and offset of each block ─► index      ┘

Invariants:

- A block ends between two keys, never between two versions of one key.
- The file is created with its first bytes; without rows and range tombstones there is no table.
- File and directory are synced before :meth:`TableWriter.finish` returns.

``sstable/format.py`` describes the bytes.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Generator
from dataclasses import replace
from itertools import accumulate, pairwise, repeat
from operator import add
from typing import Any, NamedTuple, TypeVar

from kvraft.bloom import BloomFilter, BloomFilterBuilder
from kvraft.disk import Disk, table_name
from kvraft.errors import BadInput, Corruption
from kvraft.record import ROW_OVERHEAD, Row, Timestamp
from kvraft.sstable import codec
from kvraft.sstable.block import Block, pack_block
from kvraft.sstable.format import (
    Footer,
    LogRange,
    TableLayout,
    digest_of,
    encode_index,
    hash_of,
    metadata_of,
    origin_of,
    pack_footer,
)
from kvraft.sstable.metadata import TableMetadata
from kvraft.sstable.reader import Table

_KEYS_PER_SLICE = 1000  # while the filter is built
_NO_LOG = LogRange()

_T = TypeVar("_T")


class TableFormat(NamedTuple):
    """How tables are written: about ``block_bytes`` of rows per block, the filter's
    ``bits_per_key`` (0: no filter), and the name of the ``codec``.
    """

    block_bytes: int = 4096
    bits_per_key: int = 10
    codec: str = "none"


class TableWriter:
    """Writes one table; ``size`` is how many bytes its file has so far."""

    def __init__(
        self, disk: Disk, number: int, owner: str, form: TableFormat, log_range: LogRange = _NO_LOG
    ) -> None:
        """Begin table ``number`` of ``owner``; its file is created with the first block.

        ``log_range`` is the part of the log that its rows come from.  Raises ``BadInput`` if the
        codec is not available.
        """
        self.number = number
        self.name = table_name(number)
        self.size = 0
        self.collector = PropertiesCollector()
        self._disk = disk
        self._owner = owner
        self._form = form
        self._log_range = log_range
        self._codec = codec.codec_number(form.codec)
        self._pending: list[Row] = []
        self._origin = origin_of(owner, number)
        self._hash = hash_of()
        self._last_keys: list[bytes] = []
        self._starts = [0]  # of each data block, and of what comes next

    @property
    def pending(self) -> bool:
        """Whether any row was added."""
        return bool(self._pending or self.size)

    def add(self, rows: list[Row]) -> None:
        """Add ``rows``, at least one, in order; all versions of a key must come in one call.

        Raises ``BadInput`` if they do not follow the rows added before, ``FileExistsError`` if the
        table's number was used before, and ``OSError`` if the disk fails.
        """
        self._pending += rows
        keys, _, values = zip(*self._pending, strict=True)
        if None in values:
            values = tuple([value or b"" for value in values])
        sizes = map(add, map(len, keys), map(len, values))
        ends = list(accumulate(map(add, sizes, repeat(ROW_OVERHEAD))))
        done = 0  # rows that are in a block
        while ends[-1] - (base := ends[done - 1] if done else 0) >= self._form.block_bytes:
            end = bisect_left(ends, base + self._form.block_bytes) + 1
            while end < len(ends) and self._pending[end][0] == self._pending[end - 1][0]:
                end += 1
            self._add_block(self._pending[done:end])
            done = end
            if done == len(ends):
                break
        del self._pending[:done]

    def finish(self, ranges: list[Row]) -> Generator[None, None, TableMetadata | None]:
        """Write the remaining parts in slices, with the tombstones ``ranges``; sync the table.

        Returns the table's metadata for the manifest, at level 0; ``None`` if there is no table.
        """
        if self._pending:
            self._add_block(self._pending)
            self._pending = []
            yield
        if not self._last_keys and not ranges:
            return None
        summary = self.collector
        bloom = yield from self._build_filter()
        summary.add_ranges(ranges)
        filter_at = self._append(self._pack(bloom.to_bytes()) if bloom else b"")
        ranges_at = self._append(self._pack(Block.encode(ranges)) if ranges else b"")
        properties = (
            summary.properties(self.number, self._owner, self._form) | self._log_range._asdict()
        )
        properties_at = self._append(self._pack(json.dumps(properties).encode()))
        index = encode_index(self._last_keys, self._starts)
        index_at = self._append(self._pack(index, self._codec))
        layout = TableLayout(filter_at, ranges_at, properties_at, index_at, self.size)
        digest = digest_of(self._hash)
        self._append(pack_footer(Footer(layout, self._origin, digest)))
        yield
        self._disk.sync(self.name)
        self._disk.sync_dir()
        return metadata_of(properties, self.number, self.size, digest)

    def _build_filter(self) -> Generator[None, None, BloomFilter | None]:
        keys = self.collector.keys
        if not self._form.bits_per_key or not keys:
            return None
        builder = BloomFilterBuilder(len(keys), self._form.bits_per_key)
        for at in range(0, len(keys), _KEYS_PER_SLICE):
            builder.add(keys[at : at + _KEYS_PER_SLICE])
            yield
        yield from builder.fold()
        return builder.bloom

    def _add_block(self, rows: list[Row]) -> None:
        self.collector.add(rows)
        self._append(self._pack(Block.encode(rows), self._codec))
        self._last_keys.append(rows[-1][0])
        self._starts.append(self.size)

    def _pack(self, body: bytes, number: int = codec.NONE) -> bytes:
        """Return ``body`` as the next block of the file, compressed by codec ``number``."""
        return pack_block(body, self.size, self._origin, number)

    def _append(self, data: bytes) -> int:
        """Append ``data`` to the file and return the offset at which it begins."""
        offset = self.size
        if not data:
            return offset
        if offset == 0:
            self._disk.create(self.name)
        self._disk.append(self.name, data)
        self.size += len(data)
        self._hash.update(data)
        return offset


class PropertiesCollector:
    """Collects from each block the ``keys`` for the filter, and the properties."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self._rows = 0
        self._tombstones = 0
        self._ranges: list[Row] = []
        self._raw_bytes = 0
        self._stamps: list[Timestamp] = []  # the lowest and the highest of each block

    def add(self, rows: list[Row]) -> None:
        """Count the rows of one block; raise ``BadInput`` if they are out of order."""
        keys, stamps, values = zip(*rows, strict=True)
        new = list(dict.fromkeys(keys))
        if self.keys and new[0] <= self.keys[-1]:
            raise BadInput(f"keys must ascend: {new[0]!r} comes after {self.keys[-1]!r}")
        if len(new) != len(keys) or sorted(new) != new:
            _check_order(rows)
        self.keys += new
        self._rows += len(rows)
        self._tombstones += values.count(None)
        self._raw_bytes += sum(map(len, keys)) + sum(map(len, filter(None, values)))
        self._stamps += (min(stamps), max(stamps))

    def add_ranges(self, ranges: list[Row]) -> None:
        """Count the range tombstones of the table."""
        self._ranges = ranges
        self._raw_bytes += sum(len(start) + len(stop or b"") for start, _, stop in ranges)
        self._stamps += [timestamp for _, timestamp, _ in ranges]

    def properties(self, number: int, owner: str, form: TableFormat) -> dict[str, Any]:
        """Return the table's properties, with keys in hexadecimal."""
        starts = [row[0] for row in self._ranges[:1]] + self.keys[:1]
        stops = [row[2] or b"" for row in self._ranges[-1:]]
        stops += [key + b"\0" for key in self.keys[-1:]]
        return {
            "number": number,
            "owner": owner,
            "rows": self._rows,
            "keys": len(self.keys),
            "tombstones": self._tombstones,
            "ranges": len(self._ranges),
            "start": min(starts).hex(),
            "stop": (max(stops) if all(stops) else b"").hex(),
            "min_timestamp": min(self._stamps),
            "max_timestamp": max(self._stamps),
            "raw_bytes": self._raw_bytes,
            "block_bytes": form.block_bytes,
            "bits_per_key": form.bits_per_key,
            "codec": form.codec,
        }


def _check_order(rows: list[Row]) -> None:
    for before, row in pairwise(rows):
        if row[:2] <= before[:2]:
            raise BadInput(f"rows must ascend: {row[:2]!r} comes after {before[:2]!r}")


def run_to_end(job: Generator[None, None, _T]) -> _T:
    """Run work that comes in slices to its end without a pause; return its result."""
    while True:
        try:
            next(job)
        except StopIteration as stop:
            result: _T = stop.value
            return result


def check_table(table: Table) -> None:
    """Read all of ``table``, and check order, index, filter and properties against its rows.

    Raises :class:`~kvraft.errors.Corruption` at the first defect.
    """
    summary = PropertiesCollector()
    for at, last_key in enumerate(table.last_keys):
        offset = table.extent(at)[0]
        rows = table.load_block(at).rows()
        try:
            summary.add(rows)
        except BadInput as error:
            raise Corruption(table.name, offset, str(error)) from None
        if rows[-1][0] != last_key:
            raise Corruption(table.name, offset, "a block does not end where the index says")
        if table.bloom is not None and not all(row[0] in table.bloom for row in rows):
            raise Corruption(table.name, offset, "a block has a key that is not in the filter")
    info = table.metadata
    ranges = table.range_tombstones.rows() if table.range_tombstones is not None else []
    if not summary.keys and not ranges:
        raise Corruption(table.name, 0, "the table is empty")
    summary.add_ranges(ranges)
    found = metadata_of(
        summary.properties(0, "", TableFormat()), info.number, info.size, info.digest
    )
    if replace(found, level=info.level) != info:
        raise Corruption(table.name, 0, "the properties do not describe the rows")
    table.verify_bytes()
