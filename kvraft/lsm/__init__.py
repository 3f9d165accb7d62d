"""Room."""

from kvraft.lsm import compaction
from kvraft.lsm.batch import WriteBatch, as_value
from kvraft.lsm.compaction import (
    CompactionStrategy,
    CompactionTask,
    Levelled,
    Tiered,
    check_strategy,
)
from kvraft.lsm.levels import Levels
from kvraft.lsm.manifest import Manifest, edits, load, manifest_owner, torn_tail
from kvraft.lsm.merging import RetainedTimes, merge, retain
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.snapshot import ByteSource, SnapshotSpool, TreeSnapshot, unpack_snapshot
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.tree import Tree
from kvraft.lsm.version_edit import State
from kvraft.lsm.view import View

__all__ = [
    "ByteSource",
    "CompactionStrategy",
    "CompactionTask",
    "Levelled",
    "Levels",
    "Manifest",
    "RetainedTimes",
    "SnapshotSpool",
    "State",
    "Tiered",
    "Tree",
    "TreeCounters",
    "TreeOptions",
    "TreeSnapshot",
    "View",
    "WriteBatch",
    "as_value",
    "check_strategy",
    "compaction",
    "edits",
    "load",
    "manifest_owner",
    "merge",
    "retain",
    "torn_tail",
    "unpack_snapshot",
]
