"""Planted bugs where consensus and storage meet: replicas that are wrong in one way each.

A check is worth what it catches.  Each class here breaks one rule of a log with two owners, of
transactions, sessions or snapshots, as one easily could, and runs wherever
:class:`~kvraft.replica.Replica` runs.  :data:`STORAGE_BUGS` has them by name; the swarm
(``swarm.py``) must find each of them: ``kvraft swarm --bug NAME``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

from kvraft import clock
from kvraft.disk import Disk, table_name
from kvraft.lsm import State, TreeCounters, TreeSnapshot, unpack_snapshot
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
    Rejected,
    Submit,
    TransactionAssembler,
    UndoneTransaction,
)

# ── who may cut the log ─────────────────────────────────────────────────────────────────────────


class TruncatesByFlushedMark(Replica):
    """The log is truncates by the flushed mark alone, whoever still needs it."""

    def pins(self) -> Pins:
        """Return what the tree needs."""
        return Pins((tree_pin(self.tree.flushed.index),))


class _ManifestNotSynced:
    """A disk as its owner sees it who forgets to sync the manifest."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def sync(self, name: str) -> None:
        """Sync any file but the manifest."""
        if not name.startswith("MANIFEST-"):
            self._disk.sync(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)


class TruncatesBeforeManifest(Replica):
    """The log is cut when the manifest was written, before it was synced."""

    def __init__(
        self, member: str, configuration: Configuration, disk: Disk, **options: Any
    ) -> None:
        lazy = cast(Disk, _ManifestNotSynced(disk))
        super().__init__(member, configuration, lazy, **options)


# ── what is applied ─────────────────────────────────────────────────────────────────────────────


class AppliesWhatIsAppended(Replica):
    """A record takes effect when it is in the log, not when it is committed."""

    _through = 0

    def save(self, ready: Ready) -> None:
        """Save it, and give the state machine what is new in it."""
        super().save(ready)
        for entry in ready.entries:
            if entry.index > max(self._through, self.tree.applied.index):
                self._through = entry.index
                super().take(entry)

    def take(self, entry: Entry) -> None:
        """Take a committed entry that was not taken yet."""
        if entry.index > max(self._through, self.tree.applied.index):
            super().take(entry)


class _Forgiving(TransactionAssembler):
    """Lets a torn transaction take effect as far as it came."""

    def take(self, entry: Entry) -> list[CompleteTransaction | UndoneTransaction]:
        """Return what ``entry`` ends, all of it complete."""
        return [CompleteTransaction(ended.entries) for ended in super().take(entry)]


class UndoesWhatItBegan(Replica):
    """Only the leader that appended a transaction knows, from memory, that it is to be undone."""

    def new_machine(self) -> StateMachine:
        """Return one that undoes nothing."""
        machine = super().new_machine()
        machine.gatherer = _Forgiving()
        return machine


class _Careless(StateMachine):
    """Never finds that a key has changed."""

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return 0: all is well."""
        return 0


class ChecksBeforeAppending(Replica):
    """A leader checks what a transaction has read before it appends it; nobody does at apply."""

    def new_machine(self) -> StateMachine:
        """Return one that finds no conflict."""
        return _Careless(self.tree, clock.pack(self.options.session_millis), self.report)

    def submit(self, request: Submit) -> None:
        """Take a transaction if all that it has read is still so, as far as this member knows."""
        asked = [Entry(0, 0, record) for record in request.transaction.records]
        honest = StateMachine.conflict(self.machine, tuple(asked))
        if honest and self.raft.role is Role.LEADER:
            txn, why = request.transaction.id, "what it read was written since"
            self.reply(Rejected(self.member, request.sender, txn, request.attempt, 0, why))
        else:
            super().submit(request)


class _TombstonesCount(StateMachine):
    """Takes the timestamp of a delete for what its key carries."""

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return the number of the first expectation that fails against versions as they are."""
        for number, entry in enumerate(entries, 1):
            key, value = entry.record.key, entry.record.value
            if entry.record.kind is Kind.EXPECT:
                found = self.tree.version(key)
                if (found.timestamp if found else 0) != int.from_bytes(value, "little"):
                    return number
        return 0


class ExpectsTombstones(Replica):
    """A key that was deleted is not the same as one that never was, until its tombstone goes."""

    def new_machine(self) -> StateMachine:
        """Return one that looks at tombstones."""
        return _TombstonesCount(self.tree, clock.pack(self.options.session_millis), self.report)


class StampsNotRaised(Replica):
    """A leader takes the stamps that clients give, whatever their clocks say."""

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return the stamp as it is."""
        return timestamp


# ── sessions ────────────────────────────────────────────────────────────────────────────────────


class _NoMemory(Sessions):
    """Remembers what happened, and never looks."""

    def find(self, txn: TxnId, now: Timestamp) -> Session:
        """Return an empty session."""
        return Session()


class AppliesRetries(Replica):
    """A transaction that comes again is carried out again."""

    def new_machine(self) -> StateMachine:
        """Return one that knows of no transaction before."""
        machine = super().new_machine()
        machine.sessions = _NoMemory(
            self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime
        )
        return machine


class _ByTheClock(Sessions):
    """Sessions that expire by what a member's own clock says."""

    millis: Callable[[], int] | None = None

    def expire(self, now: Timestamp) -> list[str]:
        """Forget what is too old by that clock."""
        return super().expire(clock.pack(self.millis()) if self.millis else now)


class ExpiresByItsClock(Replica):
    """A session is forgotten when a member's own clock says so."""

    def new_machine(self) -> StateMachine:
        """Return one whose sessions look at this member's clock."""
        machine = super().new_machine()
        sessions = _ByTheClock(self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime)
        sessions.millis = self.millis
        machine.sessions = sessions
        return machine


class CountsIncarnations(Replica):
    """A leader numbers the clients that register by itself, and not by their place in the log."""

    _given = 0

    def incarnation(self, entry: Entry) -> int:
        """Return the next number."""
        self._given += 1
        return self._given


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────


def _without(snapshot: TreeSnapshot, owner: str, lost: Callable[[Row], bool]) -> TreeSnapshot:
    """Return ``snapshot`` made anew, on a disk of its own, without the rows that get ``lost``."""
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
        made = _finish(writer)
        infos += [replace(made, level=info.level)] if made else []
    numbers = [info.number for info in infos]
    state = State(
        tuple(infos),
        contents.last,
        contents.timestamp,
        contents.horizon,
        max(numbers, default=0) + 1,
    )
    return TreeSnapshot(disk, owner, state)


class _Lossy(ReplicaSnapshotSource):
    """Offers the tables without some of their rows."""

    def __init__(
        self, whole: ReplicaSnapshotSource, owner: str, lost: Callable[[Row], bool]
    ) -> None:
        self._whole, self._owner, self._lost = whole, owner, lost

    @property
    def last(self) -> Position:
        """Return what the tables cover."""
        return self._whole.last

    def open(self) -> ReplicaSnapshot:
        """Return what is left of them."""
        shipped = self._whole.open()
        return replace(shipped, tables=_without(shipped.tables, self._owner, self._lost))


class _LosesRows(Replica):
    """What a snapshot does not hold, nobody gets from it."""

    @staticmethod
    def lost(row: Row) -> bool:
        """Return whether ``row`` is missing."""
        raise NotImplementedError

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return the tables without what is lost."""
        return _Lossy(super().snapshot_source(), f"kvraft/{self.member}", self.lost)


class SnapshotsWithoutSessions(_LosesRows):
    """A snapshot holds what clients wrote, and not what is remembered of them."""

    @staticmethod
    def lost(row: Row) -> bool:
        """Return whether ``row`` is of a session."""
        return row[0].startswith(SESSION_PREFIX)


class SnapshotsWithoutTombstones(_LosesRows):
    """A snapshot holds what there is, and not what was deleted."""

    @staticmethod
    def lost(row: Row) -> bool:
        """Return whether ``row`` is a tombstone."""
        return row[2] is None


@dataclass(frozen=True, slots=True)
class _OneFurther(ReplicaSnapshot):
    """Says of itself that it covers one entry more than it does."""

    end: Position

    @property
    def last(self) -> Position:
        """Return the place behind the last one."""
        return self.end


class _TooFar(ReplicaSnapshotSource):
    """Offers the tables as if they covered one entry more."""

    def open(self) -> ReplicaSnapshot:
        """Return the snapshot that claims too much."""
        shipped, log = super().open(), self._raft.log
        index = shipped.last.index + 1
        if index > log.last_index:
            return shipped
        end = Position(index, log.term(index))
        return _OneFurther(shipped.tables, shipped.configuration, end)


class SnapshotsOffByOne(Replica):
    """The log goes on one entry too far behind an installed snapshot."""

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return the tables, which will claim too much."""
        return _TooFar(self.tree, self.raft)


STORAGE_BUGS: dict[str, type[Replica]] = {
    "truncates by the flushed mark": TruncatesByFlushedMark,
    "truncates before the manifest": TruncatesBeforeManifest,
    "apply on append": AppliesWhatIsAppended,
    "undo from memory": UndoesWhatItBegan,
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


def _finish(writer: TableWriter) -> TableMetadata | None:
    job = writer.finish([])
    while True:
        try:
            next(job)
        except StopIteration as end:
            made: TableMetadata | None = end.value
            return made
