"""The snapshot that a member sends to a follower that needs more than its log has: its tables.

Consensus knows a snapshot as bytes with a log position and a configuration (``raft/log.py``);
the tree knows it as its live tables at the flushed mark (``lsm/snapshot.py``).  Here the two meet.
A snapshot is opened only when a follower needs one, since its tables cannot be removed while it is
open.

Source: Raft §7; thesis §5.2 (snapshots of a state machine on disk).
"""

from __future__ import annotations

from dataclasses import dataclass

from kvraft.lsm import Tree, TreeSnapshot
from kvraft.raft import Configuration, Raft
from kvraft.record import Position


class ReplicaSnapshotSource:
    """A member's tables as they are on disk: the snapshot source for its followers."""

    def __init__(self, tree: Tree, raft: Raft) -> None:
        self._tree, self.raft = tree, raft

    @property
    def last(self) -> Position:
        """The log position through which everything is in tables."""
        return self._tree.flushed

    def open(self) -> ReplicaSnapshot:
        """Return the tables as a snapshot; they are not removed while it is open."""
        tables = self._tree.snapshot()
        return ReplicaSnapshot(tables, self.raft.configuration_at(tables.last.index))


@dataclass(frozen=True, slots=True)
class ReplicaSnapshot:
    """A member's tables as the :class:`~kvraft.raft.log.Snapshot` that a follower is sent."""

    tables: TreeSnapshot
    configuration: Configuration

    @property
    def last(self) -> Position:
        """The last log position that they cover."""
        return self.tables.last

    @property
    def size(self) -> int:
        """How many bytes there are to read."""
        return self.tables.size

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""
        return self.tables.read(offset, length)
