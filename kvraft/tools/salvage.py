"""Salvage: what can still be read of a damaged table and of a damaged log.

Every block of a table and every frame of a log has its own checksum, so a damaged one does not
affect the others:

- **A table** yields each block that is intact.  What is lost is named by the keys next to it in the
  index.  Without an intact index, blocks are found one after another, for a block ends where its
  checksum matches; then everything after the first damaged block is lost.  Without an intact
  footer, the properties or the manifest say how many rows to expect.  If neither can be read, what
  is in ascending order is data; but the last block could be range tombstones, which look the same:
  then it is left out.
- **A log** yields each frame that is intact; after a damaged one the next is searched for.  The
  entries between are lost.

Nothing is guessed: what is yielded was written exactly so.  What *was* lost may have been newer, or
a delete, so that an older value shows again; so everything lost is named.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kvraft.disk import Disk, frame, table_name
from kvraft.display import counted
from kvraft.errors import Corruption, ForeignFile
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import Row, label, summarize_entries
from kvraft.sstable import (
    BLOCK_TRAILER_BYTES,
    Block,
    Footer,
    LogRange,
    TableMetadata,
    decode_index,
    log_range_of,
    read_footer,
    unpack_block,
)
from kvraft.wal import FrameKind, read_segment_header, unpack_writes

_UNREADABLE = (Corruption, ForeignFile, ValueError)
_CRC_RESIDUE = zlib.crc32(bytes(4))
"""The checksum of anything that ends in its own checksum (sstable/block.py)."""


@dataclass
class Salvaged:
    """What was read: ``chunks`` of rows in order, range tombstones, and in words what is lost."""

    chunks: list[list[Row]] = field(default_factory=list)
    ranges: list[Row] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    log_range: LogRange = field(default_factory=LogRange)
    owner: str | None = None

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(map(len, self.chunks))


# ── a table ─────────────────────────────────────────────────────────────────────────────────────


def salvage_table(disk: Disk, number: int, info: TableMetadata | None = None) -> Salvaged:
    """Return what can be read of table ``number``; raises ``ForeignFile`` if its format is another.

    ``info`` is its metadata in the manifest, if that can be read.
    """
    name = table_name(number)
    data = disk.read(name)
    found = Salvaged()
    try:
        footer: Footer | None = read_footer(disk, name, len(data))
    except Corruption:
        footer = None
    properties = _properties(name, data, footer)
    try:
        found.owner = str(properties["owner"])
        found.log_range = log_range_of(properties)
    except (KeyError, ValueError):
        pass
    if footer is None:
        known = {"rows": info.rows, "ranges": info.ranges} if info is not None else {}
        _without_footer(name, data, known | properties, found)
        return found
    _read_blocks(name, data, footer, found)
    bounds = footer.layout
    if bounds.ranges != bounds.properties:
        try:
            body = _body(name, data, bounds.ranges, bounds.properties, footer.origin)
            found.ranges = RangeTombstones(Block(body).rows()).rows()
        except _UNREADABLE:
            found.lost.append(
                f"the range tombstones of {name}: what they deleted may be there again"
            )
    return found


def _body(name: str, data: bytes, start: int, end: int, origin: int | None) -> bytes:
    """Return the body of a block of the table; without a footer of any ``origin``."""
    return unpack_block(data[start:end], end - start, start, origin, name)


def _properties(name: str, data: bytes, footer: Footer | None) -> dict[str, Any]:
    """Return the properties of a table, empty if they cannot be read."""
    start = data.rfind(b'{"number": ') if footer is None else footer.layout.properties
    if start < 0:
        return {}
    end = _end_of(data, start) if footer is None else footer.layout.index
    try:
        found = json.loads(_body(name, data, start, end, footer and footer.origin))
    except _UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def _read_blocks(name: str, data: bytes, footer: Footer, found: Salvaged) -> None:
    """Read the data blocks by the index, or one after another if the index is lost."""
    bounds, origin = footer.layout, footer.origin
    try:
        last_keys, starts = decode_index(_body(name, data, bounds.index, bounds.footer, origin))
    except _UNREADABLE:
        found.chunks, end = _blocks(name, data[: bounds.filter], origin)
        if end < bounds.filter:
            found.lost.append(f"{_above(found)} of {name}, whose index is lost, too")
        return
    for at, last_key in enumerate(last_keys):
        try:
            block = Block(_body(name, data, starts[at], starts[at + 1], origin))
            found.chunks.append(block.rows())
        except _UNREADABLE:
            after = f"after {label(last_keys[at - 1])}" if at else "from the first one on"
            found.lost.append(f"the keys of {name} {after} through {label(last_key)}")


def _without_footer(name: str, data: bytes, properties: dict[str, Any], found: Salvaged) -> None:
    """Read data blocks until all rows of the properties are there, but no range tombstones."""
    expected = properties.get("rows")
    if type(expected) is not int:
        expected = None
    found.chunks, _ = _blocks(name, data, None, expected)
    if expected is None and found.chunks and _could_be_ranges(found.chunks[-1]):
        found.chunks.pop()
    if expected is None or found.rows < expected:
        found.lost.append(f"{_above(found)} of {name}, whose footer is lost, too")
    if properties.get("ranges", expected is None):
        found.lost.append(f"the range tombstones of {name}: what they deleted may be there again")


def _could_be_ranges(rows: list[Row]) -> bool:
    """Return whether ``rows`` might be range tombstones: starts and stops that do not overlap."""
    if any(stop is None or (stop and stop <= start) for start, _, stop in rows):
        return False
    return all(
        (here[0], here[2]) == (after[0], after[2]) or (here[2] and here[2] <= after[0])
        for here, after in pairwise(rows)
    )


def _above(found: Salvaged) -> str:
    return f"the keys above {label(found.chunks[-1][-1][0])}" if found.chunks else "all keys"


def _blocks(
    name: str, data: bytes, origin: int | None, rows: int | None = None
) -> tuple[list[list[Row]], int]:
    """Return the rows of the intact blocks at the start of ``data``, and where they end."""
    chunks: list[list[Row]] = []
    at = found = 0
    while at < len(data) and (rows is None or found < rows):
        end = _end_of(data, at)
        try:
            chunk = Block(_body(name, data, at, end, origin)).rows()
        except _UNREADABLE:
            break
        if chunks and chunk[0][0] <= chunks[-1][-1][0]:
            break
        chunks.append(chunk)
        found, at = found + len(chunk), end
    return chunks, at


def _end_of(data: bytes, start: int) -> int:
    """Return where the block that begins at ``start`` ends, ``start`` if it is damaged."""
    checksum = start & 0xFFFFFFFF
    for end in range(start + 1, len(data) + 1):
        checksum = zlib.crc32(data[end - 1 : end], checksum)
        if checksum == _CRC_RESIDUE and end - start > BLOCK_TRAILER_BYTES:
            return end
    return start


# ── a log ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class SalvagedLog:
    """What was read of a store's log: rows and range tombstones, through entry ``last``."""

    rows: list[Row] = field(default_factory=list)
    ranges: list[Row] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    first: int = 0  # 0 if there is no entry
    last: int = 0


def salvage_log(disk: Disk, owner: str, names: list[str]) -> SalvagedLog:
    """Return what can be read of the segments ``names`` of the store of ``owner``, in order."""
    log = SalvagedLog()
    sealed = False
    for name in names:
        data = disk.read(name)
        for each in _frames(owner, name, data, log):
            sealed = each.kind == FrameKind.SEAL
            if each.kind != FrameKind.ENTRIES:
                continue
            try:
                term_starts, last = summarize_entries(each.payload)
                rows, ranges, _ = unpack_writes(each.payload)
            except ValueError:
                continue  # the gap in the entries will be named
            first = term_starts[0].index
            if log.first and first > log.last + 1:
                log.lost.append(
                    f"log entries {log.last + 1} to {first - 1}, before those of {name}"
                )
            log.first, log.last = log.first or first, max(log.last, last)
            log.rows += rows
            log.ranges += ranges
    if sealed:
        log.lost.append(f"all log entries after {log.last}: what followed {names[-1]} is gone")
    return log


def _frames(owner: str, name: str, data: bytes, log: SalvagedLog) -> Iterator[frame.Frame]:
    """Yield the intact frames of a segment after its header; add to ``log.lost`` what is not."""
    seed = frame.checksum_seed(owner, name)
    try:
        at = read_segment_header(name, data)[1]
    except Corruption:
        at = 0
    while at < len(data):
        each = frame.decode(data, at, seed=seed)
        if isinstance(each, frame.Frame):
            yield each
            at = each.end
            continue
        following = data.find(frame.FRAME_MAGIC, at + 1)
        while following >= 0 and isinstance(frame.decode(data, following, seed=seed), str):
            following = data.find(frame.FRAME_MAGIC, following + 1)
        if following < 0:
            size = counted(len(data) - at, "byte")
            log.lost.append(f"what the last {size} of {name} contained, if they were ever synced")
            return
        at = following
