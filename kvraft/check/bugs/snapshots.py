"""Planted bugs of snapshots: what is in one, where it says that it ends, and what it replaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

from kvraft.disk import table_name
from kvraft.lsm import ManifestState, TreeCounters, TreeSnapshot, unpack_snapshot
from kvraft.raft import (
    Follower,
    InstallSnapshot,
    InstallSnapshotReply,
    Raft,
    Ready,
    ReceivedSnapshot,
)
from kvraft.record import Position, Row
from kvraft.replica import (
    SESSION_PREFIX,
    Replica,
    ReplicaSnapshot,
    ReplicaSnapshotSource,
    StateMachine,
)
from kvraft.sim import SimDisk
from kvraft.sstable import BlockCache, Table, TableFormat, TableMetadata, TableWriter


def _without(snapshot: TreeSnapshot, owner: str, lost: Callable[[Row], bool]) -> TreeSnapshot:
    """Return a copy of ``snapshot``, on a disk of its own, without the rows that are ``lost``."""
    contents, disk = unpack_snapshot(snapshot, owner), SimDisk()
    infos: list[TableMetadata] = []
    for info, start in contents.tables:
        source = SimDisk()
        source.create(table_name(info.number))
        for part in contents.parts(info, start):
            source.append(table_name(info.number), part)
        table = Table.open(source, info, BlockCache(0), TreeCounters())
        writer = TableWriter(disk, info.number, owner, TableFormat())
        for _key, versions in groupby(table.scan(), key=itemgetter(0)):
            if kept := [row for row in versions if not lost(row)]:
                writer.add(kept)
        made = writer.finish([]).run_to_end()
        infos += [replace(made, level=info.level)] if made else []
    numbers = [info.number for info in infos]
    state = ManifestState(
        tuple(infos),
        contents.last,
        contents.timestamp,
        contents.horizon,
        max(numbers, default=0) + 1,
    )
    return TreeSnapshot(disk, owner, state)


class _Lossy(ReplicaSnapshotSource):
    """A snapshot source whose tables lack some rows."""

    def __init__(
        self, whole: ReplicaSnapshotSource, owner: str, lost: Callable[[Row], bool]
    ) -> None:
        self._whole, self._owner, self._lost = whole, owner, lost

    @property
    def last(self) -> Position:
        """Return the last position that the tables cover."""
        return self._whole.last

    def open(self) -> ReplicaSnapshot:
        """Open the snapshot without the lost rows."""
        shipped = self._whole.open()
        return replace(shipped, tables=_without(shipped.tables, self._owner, self._lost))


class _LosesRows(Replica):
    """Sends snapshots without the rows that are ``lost``."""

    @staticmethod
    def lost(row: Row) -> bool:
        """Return whether ``row`` is left out."""
        raise NotImplementedError

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return a source without the lost rows."""
        return _Lossy(super().snapshot_source(), f"kvraft/{self.member}", self.lost)


class SnapshotsWithoutSessions(_LosesRows):
    """A snapshot has no session rows."""

    @staticmethod
    def lost(row: Row) -> bool:
        """Return whether ``row`` is of a session."""
        return row[0].startswith(SESSION_PREFIX)


class SnapshotsWithoutTombstones(_LosesRows):
    """A snapshot has no tombstones."""

    @staticmethod
    def lost(row: Row) -> bool:
        """Return whether ``row`` is a tombstone."""
        return row[2] is None


@dataclass(frozen=True, slots=True)
class _Claims(ReplicaSnapshot):
    """A snapshot that claims to end at ``end``."""

    end: Position

    @property
    def last(self) -> Position:
        """Return the end that it claims."""
        return self.end


class _OffByOne(ReplicaSnapshotSource):
    """A snapshot source that claims one entry too many."""

    def open(self) -> ReplicaSnapshot:
        """Open a snapshot that claims one entry too many."""
        shipped, log = super().open(), self.raft.log
        index = shipped.last.index + 1
        if index > log.last_index:
            return shipped
        end = Position(index, log.term(index))
        return _Claims(shipped.tables, shipped.configuration, end)


class SnapshotsOffByOne(Replica):
    """A snapshot claims to cover one entry more than it does, so the receiver lacks that entry."""

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return a source that claims one entry too many."""
        return _OffByOne(self.tree, self.raft)


class _AsApplied(ReplicaSnapshotSource):
    """A snapshot source that claims what is applied."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(replica.tree, replica.raft)
        self._applied = replica.tree

    def open(self) -> ReplicaSnapshot:
        """Open a snapshot that claims everything that is applied."""
        shipped = super().open()
        return _Claims(shipped.tables, shipped.configuration, self._applied.applied)


class SnapshotsClaimApplied(Replica):
    """A snapshot is of the tables, and claims all that is applied, memtables included."""

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return a source that claims what is applied."""
        return _AsApplied(self)


class _TermOfNow(ReplicaSnapshotSource):
    """A snapshot source that names its own term."""

    def open(self) -> ReplicaSnapshot:
        """Open a snapshot that claims to end in the current term."""
        shipped = super().open()
        end = Position(shipped.last.index, self.raft.term)
        return _Claims(shipped.tables, shipped.configuration, end)


class SnapshotsWithWrongTerm(Replica):
    """A snapshot names the term of its sender, not that of the last entry in it (§7)."""

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return a source that names the current term."""
        return _TermOfNow(self.tree, self.raft)


class SessionsOutliveSnapshot(Replica):
    """A member that installs a snapshot goes on with the sessions it had in memory."""

    def new_machine(self) -> StateMachine:
        """Return a state machine with the sessions of the one before."""
        before, machine = getattr(self, "machine", None), super().new_machine()
        if before is not None:
            machine.sessions = before.sessions
        return machine


class _MakesRoom(Follower):
    def on_install_snapshot(self, chunk: InstallSnapshot) -> None:
        core = self.core
        ends = core.log.last_index > chunk.last_index > core.commit_index
        if ends and chunk.term >= core.term:
            core.supersede(core.commit_index + 1)
        super().on_install_snapshot(chunk)


class SuffixDropped(Raft):
    """A follower drops its log for a snapshot, also the entries that follow on it (Figure 13)."""

    follower_type = _MakesRoom


class SnapshotsAcknowledgedFirst(Raft):
    """A follower acknowledges a snapshot before it is installed and durable (Figure 13)."""

    def ready(self) -> Ready:
        """Hand out the answers to chunks as early messages."""
        ready = super().ready()
        soon = tuple(m for m in ready.messages if isinstance(m, InstallSnapshotReply))
        late = tuple(m for m in ready.messages if not isinstance(m, InstallSnapshotReply))
        return ready._replace(early=ready.early + soon, messages=late)


class LogResetFirst(Replica):
    """A member that installs a snapshot empties its log before the tables are durable (§7)."""

    def install(self, snapshot: ReceivedSnapshot) -> None:
        """Reset the log, and then do everything in order."""
        self.wal.reset(snapshot.last)
        super().install(snapshot)


BUGS = {
    "snapshot without sessions": SnapshotsWithoutSessions,
    "snapshot without tombstones": SnapshotsWithoutTombstones,
    "snapshot off by one": SnapshotsOffByOne,
    "snapshot claims the applied mark": SnapshotsClaimApplied,
    "snapshot with the wrong term": SnapshotsWithWrongTerm,
    "sessions outlive a snapshot": SessionsOutliveSnapshot,
    "suffix dropped": SuffixDropped,
    "snapshot acknowledged first": SnapshotsAcknowledgedFirst,
    "log reset first": LogResetFirst,
}
"""The planted bugs of this place by name."""
