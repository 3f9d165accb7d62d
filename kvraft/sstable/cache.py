"""The block cache: blocks that were read lately stay in memory, up to a number of bytes.

The block that was not asked for the longest goes first (least recently used).  Blocks are known by
their table's number and their place in it; as a number is never used twice, a block of a table that
is gone is never mistaken for another's.  Nobody can ask for it either, so it goes with its table:
else a cache that is larger than all tables together would fill up with the dead.

Invariant: what is held never exceeds the capacity, counted in bytes of open blocks.

Source: LevelDB util/cache; Mattson et al., *Evaluation techniques for storage hierarchies*, 1970.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from kvraft.errors import BadInput
from kvraft.sstable.block import Block


class BlockCache:
    """Blocks by (table number, place), at most ``capacity`` bytes of them; 0 holds nothing.

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
        """Return the block of that table and place, ``None`` if it is not here."""
        block = self._blocks.get(key)
        if block is None:
            self.misses += 1
            return None
        self.hits += 1
        self._blocks.move_to_end(key)
        return block

    def put(self, key: tuple[int, int], block: Block) -> None:
        """Hold ``block``, and let go of others for its sake; not at all if it is too large."""
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
        """Let go of all blocks of ``tables``, which are gone."""
        if not tables:
            return  # most of the time, and there are many blocks to look through
        for place in [place for place in self._blocks if place[0] in tables]:
            self.size -= self._blocks.pop(place).memory
