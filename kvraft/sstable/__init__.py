"""SSTables: sorted runs of rows on disk, written once and never changed.

::

    writer        rows in, blocks out; then filter, properties, index and footer
    │  reader     get, scan and verify one table, by its index and its filter
    │  │  cache       blocks that were read recently
    ▼  ▼  ▼
    format        the bytes of a table: its parts, index and footer
    digest        what identifies a table's bytes, and the check of them
    block         the unit that is read and checked: rows in columns, and a checksum
    columns       columns of integers and strings, packed and extracted at once
    codec         how a block is compressed
    metadata      what the manifest knows of a table without opening it

Invariants:

- Rows ascend by key and, for one key, by timestamp.  All versions of a key are in one block.
- Each block is verified whenever it is read from disk; a defect is
  :class:`~kvraft.errors.Corruption`, which names file and offset.
- A table is identified by its digest, not by its number or owner, so another member can take it as
  it is.
- A table is durable, its directory entry too, before the manifest may name it.

Sources: LevelDB table_format; Pebble colblk; O'Neil et al., *The Log-Structured Merge-Tree*, 1996.
"""

from kvraft.sstable.block import BLOCK_TRAILER_BYTES, Block, unpack_block
from kvraft.sstable.cache import BlockCache
from kvraft.sstable.codec import codec_number
from kvraft.sstable.digest import READ_CHUNK_BYTES, DigestCheck, PassingCheck
from kvraft.sstable.format import (
    Footer,
    LogRange,
    covering_range,
    decode_index,
    log_range_of,
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
from kvraft.sstable.reader import CHUNK_BYTES, ReadCounts, Table, TableOpening, TableRun
from kvraft.sstable.writer import TableFormat, TableWriter, check_table

__all__ = [
    "BLOCK_TRAILER_BYTES",
    "CHUNK_BYTES",
    "READ_CHUNK_BYTES",
    "Block",
    "BlockCache",
    "DigestCheck",
    "Footer",
    "LogRange",
    "PassingCheck",
    "ReadCounts",
    "Table",
    "TableFormat",
    "TableMetadata",
    "TableOpening",
    "TableRun",
    "TableWriter",
    "check_integers",
    "check_table",
    "codec_number",
    "covering_range",
    "decode_index",
    "log_range_of",
    "pack_metadata",
    "read_footer",
    "read_order",
    "span_of",
    "unpack_block",
    "unpack_metadata",
]
