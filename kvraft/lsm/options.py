"""The options of a tree: sizes in bytes, and the choices that change speed and never an answer.

Invariant: invalid options are refused when they are made, and the error names the wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kvraft.inputs import whole_number
from kvraft.lsm.compaction import CompactionStrategy, Levelled, check_strategy
from kvraft.record import Timestamp
from kvraft.sstable import codec_number


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """How a tree is kept.  Files written with other options can still be read.

    ``memtable_bytes`` is the size from which a memtable is full; ``block_bytes``, ``bits_per_key``
    (0: no filter) and ``codec`` are of new tables; ``cache_bytes`` is the size of the block cache.
    A filter takes a byte of memory for each bit, outside the cache: 10 bytes a key as a rule.  In
    the cache a row takes three times its bytes once it is looked up (``sstable/cache.py``).
    ``history`` is how far back readers can look without a view, in units of timestamps.
    ``stall_tables`` is how many tables level 0 may have, and ``stall_memtables`` how many memtables
    may wait, before writers have to flush and merge first.
    """

    memtable_bytes: int = 4 << 20
    block_bytes: int = 4096
    bits_per_key: int = 10
    codec: str = "none"
    cache_bytes: int = 32 << 20
    strategy: CompactionStrategy = field(default_factory=Levelled)
    history: Timestamp = 0
    stall_tables: int = 12
    stall_memtables: int = 2

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for invalid options."""
        least_one = ("memtable_bytes", "block_bytes", "stall_tables", "stall_memtables")
        for name in (*least_one, "bits_per_key", "cache_bytes", "history"):
            whole_number(getattr(self, name), name, minimum=int(name in least_one))
        codec_number(self.codec)
        check_strategy(self.strategy)
