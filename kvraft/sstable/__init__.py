"""Room."""

from kvraft.sstable.block import TRAILER_BYTES, Block, unpack_block
from kvraft.sstable.cache import BlockCache
from kvraft.sstable.codec import number_of
from kvraft.sstable.format import (
    PART_BYTES,
    Bounds,
    LogRange,
    covering_range,
    decode_index,
    is_table,
    reach_of,
    read_footer,
)
from kvraft.sstable.properties import (
    TableMetadata,
    check_integers,
    pack_table,
    read_order,
    span_of,
    unpack_table,
)
from kvraft.sstable.reader import ReadCounts, Table
from kvraft.sstable.writer import TableFormat, TableWriter, check_table

__all__ = [
    "PART_BYTES",
    "TRAILER_BYTES",
    "Block",
    "BlockCache",
    "Bounds",
    "LogRange",
    "ReadCounts",
    "Table",
    "TableFormat",
    "TableMetadata",
    "TableWriter",
    "check_integers",
    "check_table",
    "covering_range",
    "decode_index",
    "is_table",
    "number_of",
    "pack_table",
    "reach_of",
    "read_footer",
    "read_order",
    "span_of",
    "unpack_block",
    "unpack_table",
]
