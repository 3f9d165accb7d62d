"""The log-structured merge-tree: memtables and tables on one disk, read as one sorted map.

It has no log of its own.  Rows are applied as of a position in a log that its owner keeps
(``store.py``, ``replica/``), and after a crash that log fills the memtable again::

    tree            Tree: writes of its own, and a writer's share of the long work (pacing, batch)
    ▼
    engine          StorageEngine: apply, get, scan, views, snapshots; one lock
    │ reading       a get and a scan over memtables and levels
    │ view          the tree at one moment          readers    who reads, at which time
    │ long_work     the flush and the compaction under way, in slices (jobs)
    ▼
    versions        VersionSet: new tables, one edit, new levels; which files may be removed
    │ compaction    which tables to merge (Levelled, Tiered), and the merge
    │ levels        the live tables, as they are read
    │ manifest      the log of edits on disk        version_edit  one edit, and the whole state
    │ snapshot      the live tables as one stream of bytes (Raft §7)
    ▼
    merging         versions of a key from several sorted runs, reconciled
    options, stats  sizes and choices; counters and the three amplifications

Invariants that cross the files:

- Of the versions of a key the one with the highest timestamp counts, wherever it is.  A range
  tombstone hides what is older than it.
- On disk is the tree as it was at one position of the log, ``flushed``.  Durable in this order:
  tables, their directory entries, the manifest.  A crash leaves the old tables or the new.
- A table is read back to its last byte before the manifest names it, and the manifest before any
  log is truncated or any table removed on the strength of it.
- What a reader can still see is kept, in memory and on disk, until the reader is closed.
- A tombstone is dropped only where nothing older of its key is left to hide.

Sources: O'Neil et al., *The Log-Structured Merge-Tree*, 1996; LevelDB impl.md, db_impl and
version_set; Luo and Carey, VLDB J. 2020 (levelled and tiered compaction).
"""

from kvraft.lsm import compaction
from kvraft.lsm.batch import WriteBatch
from kvraft.lsm.compaction import (
    CompactionStrategy,
    CompactionTask,
    Levelled,
    Tiered,
    check_strategy,
)
from kvraft.lsm.levels import Levels
from kvraft.lsm.manifest import (
    Manifest,
    load_manifest,
    manifest_owner,
    read_edits,
    torn_manifest_tail,
)
from kvraft.lsm.merging import RetainedTimes, merge, retain
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.pacing import REMOVED_BYTES
from kvraft.lsm.readers import Readers
from kvraft.lsm.snapshot import ByteSource, SnapshotSpool, TreeSnapshot, unpack_snapshot
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.tree import Tree
from kvraft.lsm.version_edit import ManifestState
from kvraft.lsm.versions import VersionSet
from kvraft.lsm.view import View

__all__ = [
    "REMOVED_BYTES",
    "ByteSource",
    "CompactionStrategy",
    "CompactionTask",
    "Levelled",
    "Levels",
    "Manifest",
    "ManifestState",
    "Readers",
    "RetainedTimes",
    "SnapshotSpool",
    "Tiered",
    "Tree",
    "TreeCounters",
    "TreeOptions",
    "TreeSnapshot",
    "VersionSet",
    "View",
    "WriteBatch",
    "check_strategy",
    "compaction",
    "load_manifest",
    "manifest_owner",
    "merge",
    "read_edits",
    "retain",
    "torn_manifest_tail",
    "unpack_snapshot",
]
