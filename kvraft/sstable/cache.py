"""The block cache: blocks that were read recently stay in memory, up to a number of bytes.

The least recently used block is evicted first.  The key of a block is its table's number and its
place in that table.  Numbers are never reused, so a block of a removed table is never taken for
another table's.  It is evicted with its table; otherwise a cache that is larger than all tables
together would fill up with blocks that no reader can ask for.

Invariant: the cached blocks never exceed the capacity, counted in bytes of memory.

Source: LevelDB util/cache; Mattson et al., *Evaluation techniques for storage hierarchies*, 1970.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from kvraft.errors import BadInput
from kvraft.sstable.block import Block


class BlockCache:
    """Blocks by (table number, place), at most ``capacity`` bytes; with 0 it caches nothing.

    ``hits`` and ``misses`` count calls of :meth:`get`; ``size`` is in bytes.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise BadInput(f"a cache cannot have {capacity} bytes")
        self.capacity = capacity
        self.size = 0
        self.hits = 0
        self.misses = 0
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: tuple[int, int]) -> Block | None:
        """Return the cached block of ``key``, a table number and a place, or ``None``."""
        block = self._blocks.get(key)
        if block is None:
            self.misses += 1
            return None
        self.hits += 1
        self._blocks.move_to_end(key)
        return block

    def put(self, key: tuple[int, int], block: Block) -> None:
        """Cache ``block`` and evict others to make room; do nothing if it is too large."""
        if block.memory > self.capacity:
            return
        old = self._blocks.pop(key, None)
        if old is not None:
            self.size -= old.memory
        self._blocks[key] = block
        self.size += block.memory
        while self.size > self.capacity:
            _, oldest = self._blocks.popitem(last=False)
            self.size -= oldest.memory

    def evict(self, tables: Collection[int]) -> None:
        """Evict all blocks of ``tables``, which were removed."""
        if not tables:
            return  # the usual case, and looking through all blocks is slow
        for place in [place for place in self._blocks if place[0] in tables]:
            self.size -= self._blocks.pop(place).memory
