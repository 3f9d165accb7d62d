"""Planted bugs where consensus and storage meet: replicas that are wrong in one way each.

Each class breaks one rule of the shared log, of transactions, sessions or snapshots, in a way that
is easy to get wrong, and runs wherever :class:`~kvraft.replica.Replica` runs.
:data:`STORAGE_BUGS` has them by name; the swarm must find each: ``kvraft swarm --bug NAME``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

from kvraft import clock
from kvraft.disk import Disk, table_name
from kvraft.lsm import ManifestState, TreeCounters, TreeSnapshot, unpack_snapshot
from kvraft.raft import Configuration, Ready, Role
from kvraft.record import Entry, Kind, Position, Row, Timestamp, TxnId
from kvraft.replica import (
    SESSION_PREFIX,
    Pins,
    Replica,
    ReplicaSnapshot,
    ReplicaSnapshotSource,
    Session,
    Sessions,
    StateMachine,
    tree_pin,
)
from kvraft.sim import SimDisk
from kvraft.sstable import BlockCache, Table, TableFormat, TableMetadata, TableWriter
from kvraft.transaction import (
    CompleteTransaction,
    DiscardedTransaction,
    Rejected,
    Submit,
    TransactionAssembler,
)

# ── log truncation ──────────────────────────────────────────────────────────────────────────────


class TruncatesByFlushedMark(Replica):
    """The log is truncated at the flushed mark, though followers or snapshots may need it."""

    def pins(self) -> Pins:
        """Return the pin of the tree only."""
        return Pins((tree_pin(self.tree.flushed.index),))


class _ManifestNotSynced:
    """A disk that does not sync the manifest."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def sync(self, name: str) -> None:
        """Sync any file except the manifest."""
        if not name.startswith("MANIFEST-"):
            self._disk.sync(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)


class TruncatesBeforeManifest(Replica):
    """The log is truncated after the manifest is written and before it is synced."""

    def __init__(
        self, member: str, configuration: Configuration, disk: Disk, **options: Any
    ) -> None:
        careless = cast(Disk, _ManifestNotSynced(disk))
        super().__init__(member, configuration, careless, **options)


# ── drains ──────────────────────────────────────────────────────────────────────────────────────


class SendsBeforeSaving(Replica):
    """All messages leave at once, and what they say is made durable while they travel."""

    def begin(self) -> Ready | None:
        """Return what consensus wants done, with every message as an early one."""
        ready = super().begin()
        if ready is None:
            return None
        self.unsaved = ready._replace(early=(), messages=())
        return self.unsaved._replace(early=ready.early + ready.messages)


# ── applying ────────────────────────────────────────────────────────────────────────────────────


class AppliesWhatIsAppended(Replica):
    """A record takes effect when it is appended, not when it is committed."""

    _through = 0

    def save(self, ready: Ready) -> bool:
        """Save ``ready``, and apply its new entries at once."""
        saved = super().save(ready)
        for entry in ready.entries if saved else ():
            if entry.index > max(self._through, self.tree.applied.index):
                self._through = entry.index
                super().take(entry)
        return saved

    def take(self, entry: Entry) -> None:
        """Apply a committed entry, unless it was applied when it was appended."""
        if entry.index > max(self._through, self.tree.applied.index):
            super().take(entry)


class _NothingDiscarded(TransactionAssembler):
    """Takes a torn transaction for a complete one."""

    def take(self, entry: Entry) -> Sequence[CompleteTransaction | DiscardedTransaction]:
        """Return the transactions that ``entry`` ends, all as complete ones."""
        return [CompleteTransaction(ended.entries) for ended in super().take(entry)]


class DiscardsWhatItBegan(Replica):
    """Only the leader that appended a transaction knows, from memory, that it must be discarded."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that discards nothing."""
        machine = super().new_machine()
        machine.gatherer = _NothingDiscarded()
        return machine


class _NoConflicts(StateMachine):
    """Finds no conflict."""

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return 0, which means no conflict."""
        return 0


class ChecksBeforeAppending(Replica):
    """A leader checks expectations before it appends, and no member checks them when it applies."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that finds no conflict."""
        return _NoConflicts(self.tree, clock.pack(self.options.session_millis), self.report)

    def submit(self, request: Submit) -> None:
        """Accept a transaction if all its expectations hold in what this member has applied."""
        asked = [Entry(0, 0, record) for record in request.transaction.records]
        conflict = StateMachine.conflict(self.machine, tuple(asked))
        if conflict and self.raft.role is Role.LEADER:
            txn, why = request.transaction.id, "what it read was written since"
            self.reply(Rejected(self.member, request.sender, txn, request.attempt, 0, why))
        else:
            super().submit(request)


class _TombstonesCount(StateMachine):
    """Compares expectations with the timestamps of tombstones, too."""

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return the number of the first expectation that fails, where tombstones are versions."""
        for number, entry in enumerate(entries, 1):
            key, value = entry.record.key, entry.record.value
            if entry.record.kind is Kind.EXPECT:
                found = self.tree.version(key)
                if (found.timestamp if found else 0) != int.from_bytes(value, "little"):
                    return number
        return 0


class ExpectsTombstones(Replica):
    """A deleted key differs from one that never was, until compaction drops its tombstone."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that looks at tombstones."""
        return _TombstonesCount(self.tree, clock.pack(self.options.session_millis), self.report)


class StampsNotRaised(Replica):
    """A leader appends the timestamps of clients unchanged, whatever their clocks say."""

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return ``timestamp``."""
        return timestamp


# ── sessions ────────────────────────────────────────────────────────────────────────────────────


class _NoOutcomes(Sessions):
    """Stores outcomes, and never finds one."""

    def find(self, txn: TxnId, now: Timestamp) -> Session:
        """Return an empty session."""
        return Session()


class AppliesRetries(Replica):
    """A transaction that is sent again is applied again."""

    def new_machine(self) -> StateMachine:
        """Return a state machine whose sessions find no earlier outcome."""
        machine = super().new_machine()
        machine.sessions = _NoOutcomes(
            self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime
        )
        return machine


class _ByTheClock(Sessions):
    """Sessions that expire by a member's own clock."""

    millis: Callable[[], int] | None = None

    def expire(self, now: Timestamp) -> Sequence[str]:
        """Expire the sessions that are too old by that clock."""
        return super().expire(clock.pack(self.millis()) if self.millis else now)


class ExpiresByItsClock(Replica):
    """A session expires by the member's own clock, not by the timestamps of the log."""

    def new_machine(self) -> StateMachine:
        """Return a state machine whose sessions expire by this member's clock."""
        machine = super().new_machine()
        sessions = _ByTheClock(self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime)
        sessions.millis = self.millis
        machine.sessions = sessions
        return machine


class CountsIncarnations(Replica):
    """A leader numbers registered clients by a counter in memory, not by their log index."""

    _given = 0

    def incarnation(self, entry: Entry) -> int:
        """Return the next number."""
        self._given += 1
        return self._given


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────


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
class _OneTooMany(ReplicaSnapshot):
    """A snapshot that claims to cover one entry more than it does."""

    end: Position

    @property
    def last(self) -> Position:
        """Return the position after the last one that it covers."""
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
        return _OneTooMany(shipped.tables, shipped.configuration, end)


class SnapshotsOffByOne(Replica):
    """A snapshot claims to cover one entry more than it does, so the receiver lacks that entry."""

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return a source that claims one entry too many."""
        return _OffByOne(self.tree, self.raft)


STORAGE_BUGS: dict[str, type[Replica]] = {
    "truncates by the flushed mark": TruncatesByFlushedMark,
    "truncates before the manifest": TruncatesBeforeManifest,
    "messages before the save": SendsBeforeSaving,
    "apply on append": AppliesWhatIsAppended,
    "discard from memory": DiscardsWhatItBegan,
    "checked before appending": ChecksBeforeAppending,
    "expects tombstones": ExpectsTombstones,
    "stamps not raised": StampsNotRaised,
    "retries applied": AppliesRetries,
    "sessions by the clock": ExpiresByItsClock,
    "incarnations counted in memory": CountsIncarnations,
    "snapshot without sessions": SnapshotsWithoutSessions,
    "snapshot without tombstones": SnapshotsWithoutTombstones,
    "snapshot off by one": SnapshotsOffByOne,
}
"""The planted bugs of storage by name."""
