"""One member: it joins consensus module, log and tree.

A replica is synchronous and owns no time, thread or socket.  A world drives it: it hands in ticks,
messages and requests, then drains it (:meth:`Replica.drain`): what must be is made durable, what is
committed is applied, and what may be sent leaves.  Many inputs may precede one drain; they share
one sync of the disk (group commit).  Long work is done between drains (:meth:`Replica.work`)::

    requests ──► WriteDesk, ReadDesk ──► replies     writes.py, desk.py
                      │
    messages ──► Raft ──► begin ──► save ──► finish  a drain: take what consensus wants done,
                                     │         │     make it durable, apply it and reply
                                    Wal    StateMachine ──► Tree
                                     ╰── Upkeep ─────────────╯   upkeep.py: flushes, truncation

Invariant, which makes an acknowledged write survive: hard state and entries are synced before
messages leave; a table is synced before the directory, the directory before the manifest, and only
then are log segments removed.

Source: Raft §5 and §7; etcd's ``Ready`` loop.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NoReturn

from kvraft import clock
from kvraft.disk import Disk, claim_disk
from kvraft.errors import Corruption, DiskFull, Stopped
from kvraft.events import EventSink, Marks, MemberStarted, ignore
from kvraft.log_and_tree import should_freeze
from kvraft.lsm import SnapshotSpool, Tree
from kvraft.raft import (
    AppendEntriesReply,
    Configuration,
    Log,
    Message,
    ProposalOutcome,
    Raft,
    Ready,
    ReceivedSnapshot,
)
from kvraft.record import Entry, Kind, Timestamp
from kvraft.replica.desk import ReadDesk
from kvraft.replica.idle import IdleMember
from kvraft.replica.interface import Drained, ReplicaOptions
from kvraft.replica.recovery import open_log_and_tree
from kvraft.replica.retention import Pins, member_pins
from kvraft.replica.skew import ClusterClock
from kvraft.replica.snapshots import ReplicaSnapshotSource
from kvraft.replica.state_machine import CONFIGURATION_KEY, StateMachine
from kvraft.replica.upkeep import Upkeep
from kvraft.replica.writes import WriteDesk
from kvraft.transaction import Read, Register, Reply, Scan, Submit
from kvraft.wal import Segment, Wal


class Replica(IdleMember):
    """One member of a cluster, on one disk.

    Opening it recovers what the disk holds: what is in tables is applied, and everything after
    their flushed mark waits in the log to be committed again.  ``millis`` returns the wall time in
    milliseconds since the Unix epoch; it serves to refuse timestamps from far ahead
    (replica/skew.py), and for nothing that must be the same on all members; without it none are
    refused.  ``random`` and ``incarnation``, a number that no earlier start of this member was
    given, are passed to :class:`~kvraft.raft.Raft`.  Only a member that is ``new``, and never ran
    before, may start with an empty disk.

    Raises :class:`~kvraft.errors.ForeignFile` if the disk belongs to another member or cluster, and
    :class:`~kvraft.errors.Corruption` or :class:`~kvraft.errors.StateLost` if something that was
    promised is not there.
    """

    wal_type, tree_type = Wal, Tree
    read_desk, write_desk = ReadDesk, WriteDesk
    """The classes of its parts: log and tree, and what answers reads and writes."""

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        disk: Disk,
        *,
        random: Random,
        incarnation: int,
        cluster: str = "kvraft",
        options: ReplicaOptions | None = None,
        consensus: type[Raft] = Raft,
        new: bool = False,
        millis: Callable[[], int] | None = None,
        report: EventSink = ignore,
    ) -> None:
        options = options or ReplicaOptions()
        owner = f"{cluster}/{member}"
        self.member = member
        self.options = options
        self.millis = millis
        self.report = report
        claim_disk(disk, owner, new=new)
        kinds = self.wal_type, self.tree_type
        self.wal, self.tree = open_log_and_tree(disk, owner, options, report, *kinds)
        flushed = self.tree.flushed.index
        entries = self.wal.read(flushed + 1, self.wal.last_index)
        stored = self.tree.get(CONFIGURATION_KEY)
        self.raft = consensus(
            member,
            configuration if stored is None else Configuration.from_bytes(stored),
            Log(self.wal.base, entries, stored=self.wal, released=flushed),
            self.wal.hard_state,
            options=options.raft,
            random=random,
            incarnation=incarnation,
            committed=flushed,
            cluster=cluster,
            report=report,
        )
        self.machine = self.new_machine()
        self.waits_for_space = ""
        """What the disk has no space for; ``""`` if nothing waits for space."""
        self._make_parts(disk)
        self.writes.note_stamps(entries)
        self.raft.compact(self.wal.base.index, self.snapshot_source())
        marks = self._marks = self.marks
        report(MemberStarted(self.raft.term, marks.first, marks.flushed, marks.last))
        report(marks)

    def _make_parts(self, disk: Disk) -> None:
        """Make the parts around consensus, log and tree."""
        member, options, raft, tree = self.member, self.options, self.raft, self.tree
        self._replies: list[Reply] = []
        self.unsaved: Ready | None = None
        """What a drain has begun and not finished; ``None`` between drains, unless space lacks."""
        self._stopped = ""
        self._moved = True  # whether there may be more in memory or in the log since rest()
        self._spool = SnapshotSpool(disk)
        allowed, patience = options.skew_millis, options.raft.election_ticks
        self.skew = ClusterClock(member, self.millis, allowed=allowed, patience=patience)
        kept = options.history_millis > 0
        self.reads = self.read_desk(member, raft, tree, kept=kept, answer=self.reply)
        self.writes = self.write_desk(
            member, raft, self.skew, rules=self, log_time=tree.timestamp, reply=self.reply
        )
        reserve = options.reserve_bytes
        self._upkeep = Upkeep(
            member, disk, self.wal, tree, raft, rules=self, reserve=reserve, report=self.report
        )

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> bool:
        """Advance time by one tick; return whether it may have left anything for a drain."""
        self._upkeep.tick()
        self.skew.tick()
        return self.raft.tick(disk_full=bool(self._upkeep.low))

    def receive(self, message: Message) -> None:
        """Take a message from another member; while the disk is full it is dropped."""
        if self.waits_for_space:
            return  # it could not be made durable, and would pile up in memory
        if self.raft.step(message) and isinstance(message, AppendEntriesReply):
            self.skew.note_reading(message.sender, message.wall_millis)

    def register(self, request: Register) -> None:
        """Take a client's request to be registered; see :meth:`WriteDesk.register`."""
        self.writes.register(request)

    def submit(self, request: Submit) -> None:
        """Take a client's transaction: append it if this member leads, else redirect the client."""
        self.writes.submit(request)

    def read(self, request: Read | Scan) -> None:
        """Take a client's read or scan; see :class:`ReadDesk`.

        Raises :class:`~kvraft.errors.Stopped` if the disk fails.
        """
        try:
            self.reads.take(request)
        except (OSError, Corruption) as error:
            self._stop(error)

    # ── a drain ─────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> Drained:
        """Make durable, apply, and return what may be sent now: all steps of a drain at once.

        An owner for whom time passes while a disk writes takes the steps one by one: :meth:`begin`,
        :meth:`save`, :meth:`finish`, until nothing is begun, then :meth:`rest`.

        If the disk has no space for what must be durable, no message that depends on it leaves and
        nothing is applied until there is space (:attr:`waits_for_space`).

        Each step raises :class:`~kvraft.errors.Stopped` from the first failure of the disk on: what
        the disk holds is then unknown, and the member must be reopened.
        """
        early: list[Message] = []
        messages: list[Message] = []
        synced = False
        while (ready := self.begin()) is not None:
            (messages if synced else early).extend(ready.early)  # after a sync it may depend on it
            if not self.save(ready):
                break
            synced = synced or ready.must_sync
            messages += self.finish(ready)
        return Drained(tuple(early), tuple(messages), self.rest(), synced)

    def begin(self) -> Ready | None:
        """Return what consensus wants done, ``None`` if nothing; its early messages may leave now.

        What found the disk full comes first, without the early messages, which have left.
        """
        if self._stopped:
            raise Stopped(self._stopped)
        try:
            self.wal.finish_recovery()  # no promise before what was found is durable
            if self.unsaved is not None:
                return self.unsaved
            self.waits_for_space = ""
            if not self.raft.has_ready():
                return None
            ready = self.raft.ready()  # old entries and snapshots are read from the disk
        except (OSError, Corruption) as error:
            self._failed(error)
            return None
        self.unsaved = Ready((), *ready[1:]) if ready.early else ready
        self._moved = self._moved or bool(ready.committed or ready.entries) or ready.must_sync
        return ready

    def save(self, ready: Ready) -> bool:
        """Make durable what was begun; return whether it is, not if there is no space for it."""
        self.waits_for_space = ""
        try:
            self._write(ready)
        except (OSError, Corruption) as error:
            self._failed(error)
        return not self.waits_for_space

    def finish(self, ready: Ready) -> tuple[Message, ...]:
        """Apply what is committed, advance consensus, and return the messages that may leave."""
        self.unsaved = None
        lost = [it for it in ready.decided if it.outcome is ProposalOutcome.SUPERSEDED]
        try:
            for entry in ready.committed:
                lost = self.writes.superseded(lost, entry) if lost else lost
                self.take(entry)
            self.machine.write()
            for read in ready.reads:  # their indexes have just been applied
                self.reads.serve(read)
        except (OSError, Corruption) as error:
            self._stop(error)
        for token in ready.failed_reads:
            self.reads.fail(token)
        self.raft.advance()
        return tuple(map(self.skew.with_wall_time, ready.messages))

    def rest(self) -> tuple[Reply, ...]:
        """End a drain: make room in memory, report the marks, and return the replies."""
        if not self.waits_for_space:
            self.writes.note_role()
            try:
                if self._spool.size and not self.raft.receiving:
                    self._spool.drop()  # its sender no longer leads
                if self._moved:
                    self._moved = self._upkeep.make_room()  # again, if too much waits still
            except (OSError, Corruption) as error:
                self._failed(error)
        self._report_marks()
        return self.come_to_rest()

    def _write(self, ready: Ready) -> None:
        """Write and sync what was begun: a term before what came in it."""
        for chunk in ready.chunks:
            self._spool.write(chunk.offset, chunk.data)
        if ready.snapshot is not None:
            if ready.hard_state is not None:
                self.wal.save(ready.hard_state, ())
            self.install(ready.snapshot)
            self.wal.save(None, ready.entries)
        elif ready.entries or ready.hard_state is not None:
            self.wal.save(ready.hard_state, ready.entries)
        self.writes.note_stamps(ready.entries)

    def take(self, entry: Entry) -> None:
        """Apply one committed entry, and reply to the clients whose transactions it ends."""
        if entry.record.kind is Kind.REGISTER:
            self.writes.committed(entry)
        for ended in self.machine.take(entry):
            self.writes.ended(ended)
        if self.machine.room <= 0:  # full within one drain, when a member catches up
            self._upkeep.make_room()

    def reply(self, reply: Reply) -> None:
        """Queue a reply, which leaves with the next drain."""
        self._replies.append(reply)

    def install(self, snapshot: ReceivedSnapshot) -> None:
        """Replace tables and log, in this order, by a leader's snapshot (Raft §7)."""
        if self.tree.flushed != snapshot.last:  # else only the log lacked space the last time
            self.tree.install(self._spool)
        self.wal.reset(snapshot.last)
        self._spool.drop()
        self.machine = self.new_machine()
        self.writes.installed(snapshot.last, self.tree.timestamp)

    # ── long work ───────────────────────────────────────────────────────────────────────────────

    @property
    def has_work(self) -> bool:
        """Whether a slice of long work (truncation, flush, compaction) waits to be done."""
        return not self._stopped and self._upkeep.has_work

    def work(self) -> None:
        """Do one slice of long work: drop one segment, or do a part of a flush or compaction."""
        if self.has_work:
            try:
                self._upkeep.work()
            except (OSError, Corruption) as error:
                self._stop(error)
            self._moved = True
            self._report_marks()

    def close(self) -> None:
        """Close log and tree cleanly."""
        self.wal.close()
        self.tree.close()

    def _failed(self, error: OSError | Corruption) -> None:
        """Wait for space if the disk is full, and stop for any other failure."""
        if not isinstance(error, DiskFull):
            self._stop(error)
        self.waits_for_space = str(error)

    def _stop(self, error: OSError | Corruption) -> NoReturn:
        self._stopped = f"{self.member} stopped: its disk failed ({error})"
        raise Stopped(self._stopped) from error

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def marks(self) -> Marks:
        """The five marks.  The applied mark stops short of an open transaction."""
        return Marks(
            first=self.wal.first_index,
            flushed=self.tree.flushed.index,
            applied=self.tree.applied.index,
            committed=min(self.raft.commit_index, self.wal.last_index),  # while it waits for space
            last=self.wal.last_index,
        )

    @property
    def log_time(self) -> Timestamp:
        """The highest timestamp in this member's log, or in its tree."""
        return self.writes.log_time

    def _report_marks(self) -> None:
        if self.report is not ignore:
            if self._marks != (marks := self.marks):
                self._marks = marks
                self.report(marks)
            self._upkeep.report_pins()

    # ── rules, which a subclass may replace ─────────────────────────────────────────────────────

    def pins(self) -> Pins:
        """Return what pins the log: who still needs which part of it, and why."""
        return member_pins(self.raft, self.wal, self.tree.flushed.index, self.options.retain_bytes)

    def may_drop(self, segment: Segment) -> bool:
        """Whether ``segment``, the oldest, may be dropped: it is sealed and not pinned."""
        # The tree's pin is the one that counts most often, and the cheapest to ask for.
        free = segment.sealed and segment.high <= self.tree.flushed.index
        return free and self.pins().frees(segment)

    def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
        """Whether to freeze the memtable; see :func:`kvraft.log_and_tree.should_freeze`."""
        full_at, log_limit = self.options.memtable_bytes, self.options.log_bytes
        sizes = memtable_bytes, log_bytes, waiting
        return should_freeze(*sizes, full_at=full_at, log_limit=log_limit)

    def why_busy(self) -> str:
        """Return why a leader takes no writes now: a full disk, slow flushes; ``""`` if it does."""
        if self._upkeep.low or self.waits_for_space or self.tree.pressure < 1:
            return self._upkeep.low or self.waits_for_space
        return f"{self.member} has {self.tree.immutable_memtables} memtables to flush first"

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return ``timestamp``, raised above log time if it is not: no later write may be lower."""
        return max(timestamp, self.log_time + 1)

    def incarnation(self, entry: Entry) -> int:
        """Return the incarnation that a committed registration gives: its log index."""
        return entry.index

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return the source of the snapshots that followers are sent."""
        return ReplicaSnapshotSource(self.tree, self.raft)

    def new_machine(self) -> StateMachine:
        """Return a state machine over the tree: at the start, and after a snapshot's install."""
        return StateMachine(self.tree, clock.pack(self.options.session_millis), self.report)
