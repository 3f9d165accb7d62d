"""The block cache: blocks that were read recently stay in memory, up to a number of bytes.

Each table has a :class:`Shelf` with a place for each of its blocks.  The cache knows which places
are taken, in a ring.  A full cache goes round the ring: a block that was used since the last time
gets a second chance, any other is evicted::

    shelf of table 7   blocks [ · │ B │ · │ B ]   rows {key: value, …}       ring  7:1 ─► 9:0
    shelf of table 9   blocks [ B │ · ]           rows {}                           ▲     ▼
                                                                                    └── 7:3

This evicts nearly the same blocks as a list in the order of last use, in which each hit would have
to be moved to the end.

A block warms up with its use.  It is cached *packed*, as on disk, because most blocks are used once
before they are evicted.  The second use by a scan *extracts* it into an object for each key and
value: about twice the memory.  The fourth time that a look-up finds it, it is *indexed*, too: its
newest values go into a dictionary of the table's rows, which takes another 50 to 100 bytes a row.
Then a look-up needs neither filter nor index nor block.  To index takes as long as reading a block
from disk and answering out of it; in a cache that is much smaller than the tables, most blocks are
evicted before that is earned back.

Numbers of tables are never reused, so a block of a removed table is never taken for another
table's.  It is evicted with its table; otherwise a cache that is larger than all tables together
would fill up with blocks that no reader can ask for.

Invariants:

- What is cached never exceeds the capacity, counted in bytes of memory (``Block.memory``).
- The rows of a shelf are those of its indexed blocks: all of them, and no others.

Sources: Corbató, *A Paging Experiment with the Multics System*, 1968 (second chance); Mattson et
al., *Evaluation techniques for storage hierarchies*, 1970.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import copy, deepcopy
from sys import getsizeof
from typing import Any

from kvraft.errors import BadInput
from kvraft.sstable.block import Block

_NO_ROWS_BYTES = getsizeof({})


class Shelf:
    """What is cached of table ``number``: ``blocks``, each at its place, and their ``rows``.

    ``known`` is ``rows``, and whether these are all rows of the table.  A reader without a lock
    takes both at once.  Once they are all, that dictionary is never changed again, only replaced:
    so a key that it does not have is not in the table, whatever is evicted meanwhile.
    """

    __slots__ = ("_indexed", "blocks", "known", "number")

    def __init__(self, number: int, blocks: int) -> None:
        """Make an empty shelf for a table of that many ``blocks``."""
        self.number = number
        self.blocks: list[Block | None] = [None] * blocks
        self.known: tuple[dict[bytes, bytes | None], bool] = {}, not blocks
        self._indexed = 0  # how many blocks have their rows here

    def __deepcopy__(self, memo: dict[int, Any]) -> Shelf:
        """Return a shelf with its own blocks; keys and values never change, so it shares them."""
        other = memo[id(self)] = copy(self)
        other.blocks = deepcopy(self.blocks, memo)
        other.known = dict(self.rows), self.known[1]
        return other

    @property
    def rows(self) -> dict[bytes, bytes | None]:
        """The newest value of each key of each indexed block; ``None`` is a tombstone."""
        return self.known[0]

    @property
    def memory(self) -> int:
        """How many bytes ``rows`` takes, without the keys and values, which the blocks hold."""
        return getsizeof(self.rows) - _NO_ROWS_BYTES

    def index(self, block: Block) -> None:
        """Put the rows of ``block`` with the others."""
        rows = self.rows
        rows.update(block.newest())
        block.indexed = True
        self._indexed += 1
        self.known = rows, self._indexed == len(self.blocks)

    def remove(self, block: Block) -> None:
        """Take the rows of an indexed ``block`` out again."""
        rows, whole = self.known
        if whole:
            rows = dict(rows)  # a reader may rely on the one that has all
        for key in set(block.keys):
            del rows[key]
        self._indexed -= 1
        self.known = rows or {}, False  # a new dictionary gives the memory back

    def clear(self) -> None:
        """Take all rows out."""
        self._indexed = 0
        self.known = {}, False


class BlockCache:
    """Blocks of tables, at most ``capacity`` bytes of memory; with 0 it caches nothing.

    ``size`` is in bytes; ``misses`` counts blocks that were not there when they were asked for.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise BadInput(f"a cache cannot have {capacity} bytes")
        self.capacity = capacity
        self.size = 0
        self.misses = 0
        self._past_hits = 0  # of blocks that were evicted
        self._ring: OrderedDict[tuple[int, int], Shelf] = OrderedDict()  # by table and place

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def hits(self) -> int:
        """How often a block that was asked for was there."""
        found = (shelf.blocks[at] for (_, at), shelf in self._ring.items())
        return self._past_hits + sum(block.uses for block in found if block is not None)

    def put(self, shelf: Shelf, at: int, block: Block) -> None:
        """Put ``block``, which was not there, at its place, and evict others to make room.

        Do nothing if it is too large.
        """
        self.misses += 1
        if block.memory > self.capacity:
            return
        shelf.blocks[at] = block
        self._ring[shelf.number, at] = shelf
        self.size += block.memory
        self._make_room()

    def warm(self, shelf: Shelf, block: Block, *, index: bool) -> None:
        """Extract the cached ``block``; with ``index`` put its rows on the ``shelf``, too."""
        before = block.memory + shelf.memory
        block.extract()
        if index:
            shelf.index(block)
        self.size += block.memory + shelf.memory - before
        self._make_room()

    def _make_room(self) -> None:
        while self.size > self.capacity:
            place, shelf = next(iter(self._ring.items()))
            block = shelf.blocks[place[1]]
            assert block is not None
            if block.uses != block.uses_before:
                block.uses_before = block.uses
                self._ring.move_to_end(place)
            else:
                del self._ring[place]
                self._evict(shelf, place[1], block)

    def _evict(self, shelf: Shelf, at: int, block: Block) -> None:
        shelf.blocks[at] = None
        self.size -= block.memory
        self._past_hits += block.uses
        if block.indexed:
            before = shelf.memory
            shelf.remove(block)
            self.size += shelf.memory - before

    def evict(self, shelf: Shelf) -> None:
        """Evict all blocks of the table of that ``shelf``, which is removed."""
        self.size -= shelf.memory
        shelf.clear()
        for at, block in enumerate(shelf.blocks):
            if block is not None:
                del self._ring[shelf.number, at]
                self.size -= block.memory
                self._past_hits += block.uses
                shelf.blocks[at] = None
