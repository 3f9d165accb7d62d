"""Reading a table: its filter and index are in memory, its data blocks on disk.

:meth:`Table.open` reads the parts after the data (``sstable/format.py``), beginning with the footer
at the end of the file.  A data block is read when a key may be in it::

    get ──► filter: certainly not here
              └─ maybe ─► index: which block ─► cache, or disk and checksum ─► row

Invariants:

- Every checksum is verified whenever its block is read from disk; a defect is
  :class:`~kvraft.errors.Corruption`.
- Data blocks are read only when they are needed.

Source: LevelDB table_format.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from kvraft.bloom import BloomFilter
from kvraft.disk import ReadableFiles, table_name
from kvraft.errors import Corruption
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import MAX_TIMESTAMP, Row, Timestamp
from kvraft.slices import SlicedWork
from kvraft.sstable.block import Block, unpack_block
from kvraft.sstable.cache import BlockCache, Shelf
from kvraft.sstable.digest import DigestCheck
from kvraft.sstable.format import (
    Footer,
    decode_index,
    log_range_of,
    metadata_of,
    read_footer,
)
from kvraft.sstable.metadata import TableMetadata

CHUNK_BYTES = 16 * 1024
"""How many bytes of blocks a merge takes from a table at once: it limits a slice's work."""

_LARGE_FILTER = 8 * 1024
INDEXED_AT = 4
"""How many times a block must be found in the cache by look-ups before its rows are indexed."""


@dataclass(slots=True)
class ReadCounts:
    """Counts of what reading tables costs."""

    tables_probed: int = 0  # by a get, for one key
    filter_negatives: int = 0  # … whose filter answered: certainly not here
    filter_false_positives: int = 0  # … whose filter answered: maybe, though the key is not there
    blocks_read: int = 0  # from disk
    bytes_read: int = 0


class Table:
    """One open table.

    ``bloom`` is ``None`` if it has no filter, ``range_tombstones`` is ``None`` if it has none.
    ``properties`` are as they were written; ``log_range`` is the part of the log that they name.
    ``last_keys`` is the last key of each data block.
    ``plain`` says that each key has one version, and that nothing is deleted.
    """

    def __init__(
        self, disk: ReadableFiles, info: TableMetadata, parts: _Parts, cache: BlockCache
    ) -> None:
        """Wrap the parts of a table: use :meth:`open`."""
        self.metadata = info
        self.name = table_name(info.number)
        self.bloom: BloomFilter | None = None
        self.range_tombstones, self.properties = parts.ranges, parts.properties
        (self.last_keys, self._starts), self._origin = parts.index, parts.origin
        self.shelf = Shelf(info.number, len(self.last_keys))
        self.log_range = log_range_of(self.properties)
        self.plain = (
            self.range_tombstones is None and info.rows == info.keys and not info.tombstones
        )
        self.counts = ReadCounts()
        self._disk = disk
        self._cache = cache

    @classmethod
    def open(
        cls,
        disk: ReadableFiles,
        table: TableMetadata | int,
        cache: BlockCache | None = None,
        counts: ReadCounts | None = None,
    ) -> Table:
        """Open a table by its number, or by the metadata that the manifest has of it.

        Blocks that are read go into ``cache``; reads are counted in ``counts``.

        Raises :class:`~kvraft.errors.Corruption` if the file is missing, damaged or not the table
        that the manifest names, and :class:`~kvraft.errors.ForeignFile` if it has another format.
        Data blocks are not read.
        """
        cache = BlockCache(0) if cache is None else cache
        return TableOpening(disk, table, cache, counts or ReadCounts()).run_to_end()

    def __deepcopy__(self, memo: dict[int, Any]) -> Table:
        """Return this table on a copied disk; what never changes of it in memory is shared."""
        other = memo[id(self)] = copy(self)
        other._disk = deepcopy(self._disk, memo)
        other._cache = deepcopy(self._cache, memo)
        other.shelf = deepcopy(self.shelf, memo)
        other.counts = deepcopy(self.counts, memo)
        return other

    @property
    def rows(self) -> dict[bytes, bytes | None]:
        """The newest value of each key of those blocks that are indexed in the cache."""
        return self.shelf.rows

    @property
    def blocks(self) -> int:
        """How many data blocks the table has."""
        return len(self.last_keys)

    def extent(self, at: int) -> tuple[int, int]:
        """Return the offset of data block ``at`` in the file, and its size in bytes."""
        return self._starts[at], self._starts[at + 1] - self._starts[at]

    def may_contain(self, key: bytes) -> bool:
        """Return whether the table may have ``key``; ``False`` is certain.  Reads nothing."""
        return self.metadata.covers(key) and (self.bloom is None or key in self.bloom)

    def get(
        self, key: bytes, at: Timestamp = MAX_TIMESTAMP, *, excluded: bool | None = None
    ) -> Row | None:
        """Return the newest version of ``key`` up to ``at``, ``None`` if the table has none.

        It may be a tombstone.  Range tombstones are ignored.  ``excluded`` is what
        :meth:`excludes` returned, if the caller has asked.
        """
        counts = self.counts
        counts.tables_probed += 1
        if excluded is None:
            excluded = key not in self.rows and self.excludes(key)
        if excluded:
            counts.filter_negatives += 1
            return None
        block = bisect_left(self.last_keys, key)
        row = None if block == self.blocks else self.read_block(block, index=True).get(key, at)
        if row is None:
            counts.filter_false_positives += 1
        return row

    def blocks_from(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Block]:
        """Yield the blocks that may have rows with ``start <= key < stop``; ``None``: no end.

        With ``reverse`` the last block comes first.
        """
        last_keys = self.last_keys
        first = bisect_left(last_keys, start) if start else 0
        end = len(last_keys)
        if stop is not None:
            # The index has last keys only: where the first block begins, the metadata knows.
            end = min(end, bisect_left(last_keys, stop) + 1) if stop > self.metadata.start else 0
        for at in range(end - 1, first - 1, -1) if reverse else range(first, end):
            yield self.read_block(at)

    def chunks(
        self, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[list[Row]]:
        """Yield the rows with ``start <= key < stop`` block by block, each in ascending order."""
        for block in self.blocks_from(start, stop, reverse=reverse):
            yield block.rows(start, stop)

    def scan(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Row]:
        """Yield the rows with ``start <= key < stop`` one by one, in ascending order."""
        for chunk in self.chunks(start, stop):
            yield from chunk

    def at_level(self, level: int) -> Table:
        """Return this table at ``level``; the file is the same."""
        if level == self.metadata.level:
            return self
        other = copy(self)
        other.metadata = replace(self.metadata, level=level)
        return other

    def read_block(self, at: int, *, index: bool = False) -> Block:
        """Return data block ``at``, counted from 0, from the cache or else from disk.

        One that is found in the cache is warmed up; with ``index``, for looking up keys, only once
        it has been found there a few times (``sstable/cache.py``).
        """
        block = self.shelf.blocks[at]
        if block is None:
            block = self.load_block(at)
            self._cache.put(self.shelf, at, block)
        else:
            block.uses += 1
            if index:
                if block.uses >= INDEXED_AT and not block.indexed:
                    self._cache.warm(self.shelf, block, index=True)
            elif not block.extracted:
                self._cache.warm(self.shelf, block, index=False)
        return block

    def excludes(self, key: bytes) -> bool:
        """Return whether the filter says that the table certainly does not have ``key``."""
        return self.bloom is not None and self.bloom.excludes(key)

    def mark_used(self, key: bytes) -> None:
        """Mark the cached block of ``key`` as used: for every 13th hit of ``rows``.

        So the cache keeps what is read much.  To find the block at each hit would take longer than
        the whole look-up; and with 13, no loop over a round number of keys leaves any of them out.
        """
        block = self.shelf.blocks[bisect_left(self.last_keys, key)]
        if block is not None:
            block.uses += 13

    def load_chunks(self, chunk_bytes: int = CHUNK_BYTES) -> TableRun:
        """Return an iterator over all rows in chunks, without the cache: see :class:`TableRun`."""
        return TableRun([self], chunk_bytes)

    def load_block(self, at: int) -> Block:
        """Read data block ``at``, counted from 0, from disk and check it."""
        start = self._starts[at]
        data = self._read_bytes(start, self._starts[at + 1], 1)
        return self._parse(data, start, self._starts[at + 1] - start)

    def load_blocks(self, first: int, end: int) -> Iterator[Block]:
        """Read the data blocks from ``first`` on and below ``end`` from disk, with one call.

        Each is checked when it is yielded.
        """
        starts = self._starts
        begin = starts[first]
        data = self._read_bytes(begin, starts[end], end - first)
        for start, stop in pairwise(starts[first : end + 1]):
            yield self._parse(data[start - begin : stop - begin], start, stop - start)

    def _read_bytes(self, start: int, end: int, blocks: int) -> bytes:
        self.counts.blocks_read += blocks
        self.counts.bytes_read += end - start
        return self._disk.read(self.name, start, end - start)

    def _parse(self, data: bytes, start: int, length: int) -> Block:
        """Return the data block that was read at offset ``start``; it must have that ``length``."""
        try:
            return Block(unpack_block(data, length, start, self._origin, self.name))
        except ValueError as error:
            raise Corruption(self.name, start, str(error)) from None

    def blocks_within(self, first: int, most: int, size: int) -> int:
        """Return the end of a run of blocks from ``first`` on: of at most ``most``.

        Together they have at most ``size`` bytes, unless the first one has more.
        """
        by_size = bisect_right(self._starts, self._starts[first] + size) - 1
        return max(first + 1, min(first + most, by_size, self.blocks))

    def verify_bytes(self) -> None:
        """Check every byte against the digest; raise ``Corruption`` if they do not match."""
        self.require_match(self.check_digest().run_to_end())

    def check_digest(self) -> DigestCheck:
        """Return the work of comparing every byte with the digest, to be done in slices."""
        read, size = partial(self._disk.read, self.name), self._disk.size(self.name)
        return DigestCheck(read, size, self.metadata.digest)

    def require_match(self, matches: bool) -> None:
        """Raise ``Corruption`` unless the bytes were found to match the digest."""
        if not matches:
            raise Corruption(self.name, 0, "the table does not match its digest")


class TableRun:
    """All rows of ``tables``, one after the other, in chunks, read without the cache.

    A chunk is one block at first, then more, up to ``chunk_bytes``: each step of a merge costs
    something, however few rows it takes.  The iterator can be copied half-way.
    """

    def __init__(self, tables: Sequence[Table], chunk_bytes: int) -> None:
        self._tables = tuple(tables)
        self._chunk_bytes = chunk_bytes
        self._table = self._block = 0  # where the next block is
        self._read = 0  # blocks so far

    def __iter__(self) -> TableRun:
        return self

    def __next__(self) -> list[Row]:
        while self._table < len(self._tables):
            table = self._tables[self._table]
            if self._block < table.blocks:
                first = self._block
                most = max(1, self._read // 8)
                self._block = table.blocks_within(first, most, self._chunk_bytes)
                self._read += self._block - first
                blocks = table.load_blocks(first, self._block)
                return [row for block in blocks for row in block.rows()]
            self._table, self._block = self._table + 1, 0
        raise StopIteration


class TableOpening(SlicedWork[Table]):
    """The work of :meth:`Table.open`: a large filter is a slice by itself."""

    def __init__(
        self, disk: ReadableFiles, table: TableMetadata | int, cache: BlockCache, counts: ReadCounts
    ) -> None:
        self._disk, self._info = disk, table
        self._cache, self._counts = cache, counts
        self.stage = self._read_parts

    def _read_parts(self) -> None:
        wanted = self._info
        number = wanted if isinstance(wanted, int) else wanted.number
        name = table_name(number)
        try:
            size = self._disk.size(name)
        except FileNotFoundError:
            raise Corruption(name, 0, "the table is missing") from None
        footer = read_footer(self._disk, name, size)
        if isinstance(wanted, TableMetadata) and wanted.digest != footer.digest:
            raise Corruption(name, 0, "this is not the table that the manifest means")
        parts = _read_parts(self._disk, name, footer)
        try:
            info = metadata_of(parts.properties, number, size, footer.digest)
            log_range_of(parts.properties)
        except ValueError as error:
            raise Corruption(name, footer.layout.properties, str(error)) from None
        if isinstance(wanted, TableMetadata):
            if replace(info, level=wanted.level) != wanted:
                raise Corruption(name, 0, "the table is not what the manifest says of it")
            info = wanted
        self.result = Table(self._disk, info, parts, self._cache)
        self.result.counts = self._counts
        self._filter, self._filter_at = parts.packed_filter, footer.layout.filter
        if len(self._filter) > _LARGE_FILTER:
            self.stage = self._unpack_filter
        else:
            self.then(self._unpack_filter)

    def _unpack_filter(self) -> None:
        try:
            self.result.bloom = BloomFilter.from_bytes(self._filter) if self._filter else None
        except ValueError as error:
            raise Corruption(self.result.name, self._filter_at, str(error)) from None
        self.stage = None


class _Parts(NamedTuple):
    """The parts of an open table that are kept in memory."""

    packed_filter: bytes  # empty if there is none
    ranges: RangeTombstones | None
    properties: dict[str, Any]
    index: tuple[list[bytes], tuple[int, ...]]  # type: ignore[assignment]
    origin: int


def _read_parts(disk: ReadableFiles, name: str, footer: Footer) -> _Parts:
    """Read everything between the data and the footer, with one read."""
    layout, origin, _ = footer
    tail = disk.read(name, layout.filter, layout.footer - layout.filter)

    def body(start: int, end: int) -> bytes:
        if start == end:
            return b""
        part = tail[start - layout.filter : end - layout.filter]
        return unpack_block(part, end - start, start, origin, name)

    at = layout.properties
    try:
        properties = json.loads(body(layout.properties, layout.index))
        packed_filter = body(layout.filter, layout.ranges)
        at = layout.ranges
        packed = body(layout.ranges, layout.properties)
        ranges = RangeTombstones(Block(packed).rows()) if packed else None
        at = layout.index
        index = last_keys, starts = decode_index(body(layout.index, layout.footer))
    except ValueError as error:
        raise Corruption(name, at, str(error)) from None
    if not isinstance(properties, dict):
        raise Corruption(name, layout.properties, "the properties of a table make no sense")
    covers = starts[-1] == layout.filter and list(starts) == sorted(starts)
    if not covers or last_keys != sorted(last_keys):
        raise Corruption(name, layout.index, "the index does not cover the data blocks")
    return _Parts(packed_filter, ranges, properties, index, origin)
