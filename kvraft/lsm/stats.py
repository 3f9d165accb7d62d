"""Statistics of a tree: counters, sizes and the ratios between them.

A store trades reading, writing and space against each other, and three ratios measure it:

- **write amplification**: bytes written to tables for each byte that was put in;
- **read amplification**: blocks searched for each get;
- **space amplification**: bytes on disk for each byte that is alive.

Invariant: counters only grow, from 0 when a tree is opened.

Source: O'Neil et al., *The Log-Structured Merge-Tree*, 1996; Athanassoulis et al., *Designing
Access Methods: The RUM Conjecture*, EDBT 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from kvraft.sstable import BlockCache, ReadCounts, TableMetadata


@dataclass(slots=True)
class TreeCounters(ReadCounts):
    """What a tree counts while it works, and its tables while they are read."""

    rows_put: int = 0
    bytes_put: int = 0  # of keys and values that were written to the tree
    bytes_flushed: int = 0  # of tables written by flushes
    bytes_merged: int = 0  # of tables read by compactions
    bytes_compacted: int = 0  # of tables written by compactions
    flushes: int = 0
    compactions: int = 0
    tables_moved: int = 0  # to a deeper level, without being rewritten
    tombstones_dropped: int = 0
    gets: int = 0
    scans: int = 0
    slices: int = 0  # of long work
    stalls: int = 0  # writes that had to do more than their share of long work
    stall_slices: int = 0
    stall_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stats:
    """The counters of a tree at one moment, and what it holds."""

    counts: TreeCounters
    tables: tuple[int, ...]  # how many on each level
    table_bytes: tuple[int, ...]  # on each level
    rows: int  # in tables
    memtable_bytes: int
    immutable_memtables: int  # memtables that wait to be flushed
    filter_bytes: int  # of memory, a byte for each bit of the tables' filters
    cache_bytes: int  # of memory
    cache_hits: int
    cache_misses: int
    live_bytes: int | None = None  # of keys and values that a scan sees, if requested

    @classmethod
    def of(
        cls,
        counts: TreeCounters,
        tables: Sequence[TableMetadata],
        cache: BlockCache,
        *,
        filter_bytes: int,
        memtable_bytes: int,
        waiting: int,
        live_bytes: int | None,
    ) -> Stats:
        """Return the statistics of these live ``tables``, with the counters as they are now."""
        depth = max((info.level for info in tables), default=-1) + 1
        levels = [[info for info in tables if info.level == level] for level in range(depth)]
        return cls(
            replace(counts),
            tables=tuple(len(level) for level in levels),
            table_bytes=tuple(sum(info.size for info in level) for level in levels),
            rows=sum(info.rows for info in tables),
            memtable_bytes=memtable_bytes,
            immutable_memtables=waiting,
            filter_bytes=filter_bytes,
            cache_bytes=cache.size,
            cache_hits=cache.hits,
            cache_misses=cache.misses,
            live_bytes=live_bytes,
        )

    @property
    def write_amplification(self) -> float:
        """Bytes of tables written for each byte put in; 0 if nothing was put in."""
        counts = self.counts
        return _ratio(counts.bytes_flushed + counts.bytes_compacted, counts.bytes_put)

    @property
    def read_amplification(self) -> float:
        """Blocks searched for each get."""
        return _ratio(self.counts.tables_probed - self.counts.filter_negatives, self.counts.gets)

    @property
    def space_amplification(self) -> float | None:
        """Bytes of tables for each byte that is alive; ``None`` unless requested."""
        return None if self.live_bytes is None else _ratio(sum(self.table_bytes), self.live_bytes)

    @property
    def cache_hit_rate(self) -> float:
        """The share of block reads that the cache answered."""
        return _ratio(self.cache_hits, self.cache_hits + self.cache_misses)

    @property
    def filter_hit_rate(self) -> float:
        """The share of fruitless table searches that the filters prevented."""
        counts = self.counts
        return _ratio(
            counts.filter_negatives, counts.filter_negatives + counts.filter_false_positives
        )

    def to_dict(self) -> dict[str, object]:
        """Return all figures and ratios as what JSON can represent."""
        whole = asdict(self)
        whole.update(whole.pop("counts"))
        names = ("write", "read", "space")
        ratios = {f"{name}_amplification": getattr(self, f"{name}_amplification") for name in names}
        rates = {"cache_hit_rate": self.cache_hit_rate, "filter_hit_rate": self.filter_hit_rate}
        return whole | ratios | rates


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
