"""Writing a table: rows come in by chunks, blocks go out, the other parts follow at the end.

::

    rows ──add──► pending ──enough for one───► data block ──► file
                     └─ keys ──────────────────────────────► filter     ┐
                     └─ counts, span, timestamps ──────────► properties ├─ finish
                     └─ last key and offset of each block ─► index      ┘

Invariants:

- A block ends between two keys, never between two versions of one key.
- The file is created with its first bytes; without rows and range tombstones there is no table.
- File and directory are synced before :class:`TableFinish` is done.

``sstable/format.py`` describes the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice, pairwise
from operator import lt
from typing import Any, NamedTuple

from kvraft.bloom import BloomFilterBuilder
from kvraft.disk import Disk, table_name
from kvraft.errors import BadInput, Corruption
from kvraft.record import ROW_OVERHEAD, Row, Timestamp
from kvraft.slices import SlicedWork
from kvraft.sstable import codec
from kvraft.sstable.block import Block, pack_block
from kvraft.sstable.columns import Columns
from kvraft.sstable.digest import TableDigest
from kvraft.sstable.format import (
    Footer,
    LogRange,
    TableLayout,
    encode_index,
    metadata_of,
    origin_of,
    pack_footer,
)
from kvraft.sstable.metadata import TableMetadata
from kvraft.sstable.reader import Table

_KEYS_PER_SLICE = 1000  # while the filter is built
_NO_LOG = LogRange()


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
        self.form = form
        self._log_range = log_range
        self._codec = codec.codec_number(form.codec)
        self._pending = Columns()  # rows that are in no block yet
        self._block_rows = 1  # in the last block
        self._origin = origin_of(owner, number)
        self._digest = TableDigest()
        self._last_keys: list[bytes] = []
        self._starts = [0]  # of each data block, and of what comes next

    @property
    def pending(self) -> bool:
        """Whether any row was added."""
        return bool(self._pending.keys or self.size)

    def add(self, rows: list[Row]) -> None:
        """Add ``rows``, at least one, in order; all versions of a key must come in one call.

        Raises ``BadInput`` if they do not follow the rows added before, ``FileExistsError`` if the
        table's number was used before, and ``OSError`` if the disk fails.
        """
        fresh = Columns.of(rows)
        self.collector.add(fresh)
        pending = self._pending.followed_by(fresh)
        done = 0  # rows that are in a block
        while (end := self._block_end(pending, done)) is not None:
            self._add_block(pending.part(done, end))
            done = end
        self._pending = pending.part(done, len(pending.keys))

    def _block_end(self, rows: Columns, low: int) -> int | None:
        """Return where a block of ``rows`` ends that begins at ``low``, ``None`` if it is small.

        It ends with the key that makes it large enough.  Most blocks have about as many rows as
        the one before: so there are few steps, up or down.
        """
        keys, key_sizes, value_sizes = rows.keys, rows.key_sizes, rows.value_sizes
        n = len(keys)
        end = min(low + self._block_rows, n)
        missing = self.form.block_bytes - rows.size(low, end) - ROW_OVERHEAD * (end - low)
        while missing > 0:
            if end == n:
                return None
            missing -= key_sizes[end] + value_sizes[end] + ROW_OVERHEAD
            end += 1
        while (missing := missing + key_sizes[end - 1] + value_sizes[end - 1] + ROW_OVERHEAD) <= 0:
            end -= 1
        self._block_rows = end - low
        while end < n and keys[end] == keys[end - 1]:
            end += 1
        return end

    def finish(self, ranges: list[Row]) -> TableFinish:
        """Return the work of writing the remaining parts, with the tombstones ``ranges``.

        Its result is the table's metadata for the manifest, at level 0; ``None`` if there is no
        table.  Nothing may be added any more.
        """
        return TableFinish(self, ranges)

    def end_block(self) -> bool:
        """Write the rows that are left as a block; return whether there were any."""
        if not self._pending.keys:
            return False
        self._add_block(self._pending)
        self._pending = Columns()
        return True

    def write_parts(self, packed_filter: bytes, ranges: list[Row]) -> dict[str, Any]:
        """Write everything after the data blocks; return the properties.

        The filter comes as bytes, which are empty if there is none.
        """
        summary = self.collector
        summary.add_ranges(ranges)
        filter_at = self._append(self._pack(packed_filter) if packed_filter else b"")
        ranges_at = self._append(self._pack(Block.encode(ranges)) if ranges else b"")
        properties = (
            summary.properties(self.number, self._owner, self.form) | self._log_range._asdict()
        )
        properties_at = self._append(self._pack(json.dumps(properties).encode()))
        index = encode_index(self._last_keys, self._starts)
        index_at = self._append(self._pack(index, self._codec))
        layout = TableLayout(filter_at, ranges_at, properties_at, index_at, self.size)
        self.digest = self._digest.value
        self._append(pack_footer(Footer(layout, self._origin, self.digest)))
        return properties

    def sync(self) -> None:
        """Make the file and its directory entry durable."""
        self._disk.sync(self.name)
        self._disk.sync_dir()

    def _add_block(self, rows: Columns) -> None:
        """Write ``rows`` as a block."""
        self._append(self._pack(Block.encode_columns(rows), self._codec))
        self._last_keys.append(rows.keys[-1])
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
        self._digest.update(data)
        return offset


class TableFinish(SlicedWork[TableMetadata | None]):
    """Writes what follows the data blocks of a table, and makes the table durable."""

    def __init__(self, writer: TableWriter, ranges: list[Row]) -> None:
        self._writer = writer
        self._ranges = ranges
        self._filter: BloomFilterBuilder | None = None
        self._keys_done = 0  # that are in the filter
        self.stage = self._end_block

    def _end_block(self) -> None:
        if self._writer.end_block():
            self.stage = self._begin_filter
        else:
            self.then(self._begin_filter)

    def _begin_filter(self) -> None:
        keys, bits_per_key = len(self._writer.collector.keys), self._writer.form.bits_per_key
        if not keys and not self._ranges:
            self.result, self.stage = None, None
        elif keys and bits_per_key:
            self._filter = BloomFilterBuilder(keys, bits_per_key)
            if keys > _KEYS_PER_SLICE:
                self.stage = self._add_keys  # to get the memory took a slice by itself
            else:
                self.then(self._add_keys)
        else:
            self.then(self._write_parts)

    def _add_keys(self) -> None:
        assert self._filter is not None
        keys, at = self._writer.collector.keys, self._keys_done
        self._filter.add(keys[at : at + _KEYS_PER_SLICE])
        self._keys_done += _KEYS_PER_SLICE
        if self._keys_done >= len(keys):
            self.stage = self._fold_filter

    def _fold_filter(self) -> None:
        assert self._filter is not None
        if not self._filter.fold():
            self.stage = self._write_parts

    def _write_parts(self) -> None:
        self._packed = self._filter.bloom.to_bytes() if self._filter is not None else b""
        if self._keys_done > _KEYS_PER_SLICE:
            self.stage = self._write_packed
        else:
            self.then(self._write_packed)

    def _write_packed(self) -> None:
        self._properties = self._writer.write_parts(self._packed, self._ranges)
        self.stage = self._sync

    def _sync(self) -> None:
        writer = self._writer
        writer.sync()
        self.result = metadata_of(self._properties, writer.number, writer.size, writer.digest)
        self.stage = None


class PropertiesCollector:
    """Collects the ``keys`` for the filter, and the properties."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self._rows = 0
        self._tombstones = 0
        self._ranges: list[Row] = []
        self._raw_bytes = 0
        self._stamps: list[Timestamp] = []  # the lowest and the highest of each call

    def add(self, rows: Columns) -> None:
        """Count rows that follow those before; raise ``BadInput`` if they are out of order."""
        keys, stamps = rows.keys, rows.stamps
        if self.keys and keys[0] <= self.keys[-1]:
            raise BadInput(f"keys must ascend: {keys[0]!r} comes after {self.keys[-1]!r}")
        if all(map(lt, keys, islice(keys, 1, None))):
            self.keys += keys
        else:  # some have several versions
            _check_order(zip(keys, stamps, strict=True))
            self.keys += dict.fromkeys(keys)
        self._rows += len(keys)
        self._tombstones += rows.deleted.count(1)
        self._raw_bytes += rows.size(0, len(keys))
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


def _check_order(places: Iterable[tuple[bytes, Timestamp]]) -> None:
    for before, place in pairwise(places):
        if place <= before:
            raise BadInput(f"rows must ascend: {place!r} comes after {before!r}")


def check_table(table: Table) -> None:
    """Read all of ``table``, and check order, index, filter and properties against its rows.

    Raises :class:`~kvraft.errors.Corruption` at the first defect.
    """
    summary = PropertiesCollector()
    for at, last_key in enumerate(table.last_keys):
        offset = table.extent(at)[0]
        rows = table.load_block(at).rows()
        try:
            summary.add(Columns.of(rows))
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
