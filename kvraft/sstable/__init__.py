"""Room."""

from kvraft.sstable.block import BLOCK_TRAILER_BYTES, Block, unpack_block
from kvraft.sstable.cache import BlockCache
from kvraft.sstable.codec import codec_number
from kvraft.sstable.format import (
    READ_CHUNK_BYTES,
    LogRange,
    TableLayout,
    covering_range,
    decode_index,
    log_range_of,
    matches_digest,
    read_footer,
)
from kvraft.sstable.metadata import (
    TableMetadata,
    check_integers,
    pack_metadata,
    read_order,
    span_of,
    unpack_metadata,
)
from kvraft.sstable.reader import ReadCounts, Table
from kvraft.sstable.writer import TableFormat, TableWriter, check_table

__all__ = [
    "BLOCK_TRAILER_BYTES",
    "READ_CHUNK_BYTES",
    "Block",
    "BlockCache",
    "LogRange",
    "ReadCounts",
    "Table",
    "TableFormat",
    "TableLayout",
    "TableMetadata",
    "TableWriter",
    "check_integers",
    "check_table",
    "codec_number",
    "covering_range",
    "decode_index",
    "log_range_of",
    "matches_digest",
    "pack_metadata",
    "read_footer",
    "read_order",
    "span_of",
    "unpack_block",
    "unpack_metadata",
]
