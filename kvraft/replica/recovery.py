"""A member's log and tree, opened from its disk."""

from __future__ import annotations

from kvraft import clock
from kvraft.disk import Disk
from kvraft.events import EventSink
from kvraft.log_and_tree import check_disk
from kvraft.lsm import Tree, TreeOptions
from kvraft.replica.interface import ReplicaOptions
from kvraft.wal import Wal


def open_log_and_tree(
    disk: Disk,
    owner: str,
    options: ReplicaOptions,
    report: EventSink,
    wal_type: type[Wal] = Wal,
    tree_type: type[Tree] = Tree,
) -> tuple[Wal, Tree]:
    """Return the log and the tree that ``disk`` holds for ``owner``; both are empty at first.

    ``wal_type`` and ``tree_type`` are their classes.

    The log is opened first: a tree without a log is then never the mark of a crash, always of a
    loss.  Raises :class:`~kvraft.errors.Corruption` or :class:`~kvraft.errors.StateLost` if
    something that was promised is not there.
    """
    found = check_disk(disk, owner)
    size = options.segment_bytes
    wal = wal_type.open(disk, owner, segment_bytes=size, report=report, found=found)
    tree_options = TreeOptions(
        memtable_bytes=options.memtable_bytes,
        strategy=options.strategy,
        stall_memtables=options.stall_memtables,
        history=clock.pack(options.history_millis),
    )
    tree = tree_type.open(disk, owner=owner, options=tree_options, report=report)
    tree.record_log_end(wal.synced_end)
    return wal, tree
