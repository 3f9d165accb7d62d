"""One member: consensus module, log and tree joined, and the rule for who may cut the log.

A replica is synchronous and owns no time, thread or socket.  A world drives it: hand in ticks,
messages and requests, then call :meth:`Replica.drain`, which makes durable what must be, applies
what is committed, and returns what may now be sent.  Many inputs may precede one drain: they share
one sync of the disk (group commit).  Long work is done in slices between drains
(:meth:`Replica.work`).  Its parts, each in a module of its own::

    requests ──► WriteDesk, Desk ──► answers         replica/writes.py, replica/desk.py
                      │
    messages ──► Raft ──► begin ──► save ──► finish  a drain: take what consensus wants done,
                                     │         │     make it durable, apply it and answer
                                    Wal     Machine ──► Tree
                                     ╰── Upkeep ──────────╯   replica/upkeep.py: flushes, truncation

Everything a replica does moves one of five marks, which never cross::

     first ≤ flushed + 1            flushed ≤ applied ≤ committed ≤ last
     │ oldest entry kept            │ in SSTables  │ in the     │ on a      │ in the
     │ in the log                   │ on disk      │ memtable   │ majority  │ log

Neither owner of the log cuts it alone: :meth:`Replica.pins` tells who still needs what, by the
rule of replica/retention.py.  A member that needs what is gone is sent a snapshot: the tables at
the flushed mark, as they are.

Too much at once is refused, never lost.  A leader whose disk is nearly full, or whose flushes lag,
takes no more writes (:class:`~kvraft.transaction.Overloaded`); a follower with a full disk takes no
more entries.  Heartbeats, elections and reads go on, and so do writes once there is space again.  A
member whose disk has no byte left for a term or a vote falls silent until it has.

Order of things, which makes an acknowledged write survive: hard state and entries are synced, then
messages leave; a table is synced, then the directory, then the manifest, and only then log
segments go.

Sources: Raft §5 and §7; Kudu's log anchors and all-replicated index for the holders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from kvraft import clock
from kvraft.disk import Disk, claim_disk
from kvraft.errors import Corruption, DiskFull, Stopped
from kvraft.events import EventSink, Marks, MemberStarted, ignore
from kvraft.inputs import instance, whole_number
from kvraft.log_and_tree import check_disk, should_freeze
from kvraft.lsm import (
    CompactionStrategy,
    Levelled,
    SnapshotSpool,
    Tree,
    TreeOptions,
    check_strategy,
)
from kvraft.raft import (
    AppendEntriesReply,
    Configuration,
    Log,
    Message,
    ProposalOutcome,
    Raft,
    RaftOptions,
    Ready,
    ReceivedSnapshot,
    Role,
    malformed_reason,
)
from kvraft.record import Entry, Timestamp
from kvraft.replica.desk import ReadDesk
from kvraft.replica.retention import (
    Pins,
    follower_pins,
    members_pin,
    oldest_within_budget,
    tree_pin,
)
from kvraft.replica.skew import ClusterClock
from kvraft.replica.snapshots import ReplicaSnapshotSource
from kvraft.replica.state_machine import CONFIGURATION_KEY, StateMachine
from kvraft.replica.upkeep import Upkeep
from kvraft.replica.writes import WriteDesk
from kvraft.transaction import Read, Register, Reply, Scan, Submit
from kvraft.wal import Segment, Wal


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """Sizes in bytes, times in milliseconds, and the timing of consensus in ticks.

    - ``log_bytes`` is how much sealed log may wait for a memtable that is slow to fill: beyond it
      the memtable is flushed however small it is;
    - ``retain_bytes`` is how much sealed log is kept for followers (replica/retention.py);
    - ``reserve_bytes`` is how much of the disk must be free for new writes to be taken; it should
      cover a flush and a segment, which is how space is won back;
    - ``stall_memtables`` is how many memtables may wait to be flushed before new writes have to;
    - ``strategy`` says which tables are merged;
    - ``history_millis`` is how far back one can read at a timestamp;
    - ``session_millis`` is how long a session is kept that nobody uses, in log time
      (replica/sessions.py). It **must be the same on every member**, for it decides what their
      state is;
    - ``skew_millis`` is how far ahead of the members' clocks a client's may be (replica/skew.py).
    """

    memtable_bytes: int = 4 << 20
    segment_bytes: int = 1 << 20
    log_bytes: int = 16 << 20
    retain_bytes: int = 16 << 20
    reserve_bytes: int = 8 << 20
    stall_memtables: int = 4
    strategy: CompactionStrategy = field(default_factory=Levelled)
    history_millis: int = 0
    session_millis: int = 3_600_000
    skew_millis: int = 500
    raft: RaftOptions = field(default_factory=RaftOptions)

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for options that make no sense here."""
        for name in ("log_bytes", "retain_bytes", "reserve_bytes", "history_millis", "skew_millis"):
            whole_number(getattr(self, name), name, minimum=0)
        for name in ("memtable_bytes", "segment_bytes", "stall_memtables", "session_millis"):
            whole_number(getattr(self, name), name, minimum=1)
        instance(self.raft, RaftOptions, "raft")
        check_strategy(self.strategy)


class Drained(NamedTuple):
    """What :meth:`Replica.drain` hands out: messages for members, replies for clients.

    ``synced`` tells whether the disk was synced for it.  ``early`` are messages for members that
    need not wait for that sync (thesis §10.2.1).
    """

    early: tuple[Message, ...]
    messages: tuple[Message, ...]
    replies: tuple[Reply, ...]
    synced: bool


class Replica:
    """One member of a cluster, on one disk.

    Opening it recovers what the disk holds: the tables' contents are applied, everything above
    their flushed mark waits in the log to be committed again.  ``millis`` tells the wall time in
    milliseconds since the Unix epoch; it is used to refuse stamps from far ahead (replica/skew.py),
    and for nothing that must be alike on all members; without it none are refused.  ``random`` and
    ``incarnation``, a number that no earlier start of this member was given, are what
    :class:`~kvraft.raft.Raft` says.  Raises :class:`~kvraft.errors.ForeignFile` if the disk belongs
    to another member or cluster, and :class:`~kvraft.errors.Corruption` or
    :class:`~kvraft.errors.StateLost` if what it promised to keep is not there.  Only a member that
    is ``new``, and never ran before, may begin with nothing.  ``waits_for_space`` says what there
    is no space for, ``""`` if nothing waits for that.
    """

    read_desk = ReadDesk
    """Who answers reads and scans."""
    write_desk = WriteDesk
    """Who answers registrations and transactions."""

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
        self.wal, self.tree = _open(disk, owner, options, report)
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
        self._make_parts(disk)
        self.writes.note_stamps(entries)
        self.raft.compact(self.wal.base.index, self.snapshot_source())
        self._marks = self.marks
        report(
            MemberStarted(self.raft.term, self._marks.first, self._marks.flushed, self._marks.last)
        )
        report(self._marks)

    def _make_parts(self, disk: Disk) -> None:
        """Make what stands around consensus, log and tree."""
        member, options, raft, tree = self.member, self.options, self.raft, self.tree
        self._replies: list[Reply] = []
        self._held: Ready | None = None  # what was begun, and is not durable yet
        self._stopped = ""
        self._spool = SnapshotSpool(disk)
        patience = options.raft.election_ticks
        self.skew = ClusterClock(
            member, self.millis, allowed=options.skew_millis, patience=patience
        )
        kept = options.history_millis > 0
        self.reads = self.read_desk(member, raft, tree, kept=kept, answer=self.reply)
        self.writes = self.write_desk(
            member, raft, self.skew, rules=self, log_time=tree.timestamp, reply=self.reply
        )
        self._upkeep = Upkeep(
            member,
            disk,
            self.wal,
            tree,
            raft,
            rules=self,
            reserve=options.reserve_bytes,
            report=self.report,
        )

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Let one tick of time pass."""
        self._upkeep.tick()
        self.skew.tick()
        self.raft.tick(full=bool(self._upkeep.low))

    def receive(self, message: Message) -> None:
        """Take a message from another member; one that waits for space on its disk hears none."""
        if self.waits_for_space:
            return  # nothing could rest on it, and what it says would be kept in memory
        self.raft.step(message)
        if isinstance(message, AppendEntriesReply) and not malformed_reason(
            message, self.member, self.raft.cluster
        ):
            self.skew.note_reading(message.sender, message.wall_millis)

    def register(self, request: Register) -> None:
        """Take a client's wish to be registered; see :meth:`WriteDesk.register`."""
        self.writes.register(request)

    def submit(self, request: Submit) -> None:
        """Take a client's transaction: append it if this member leads, else say who does."""
        self.writes.submit(request)

    def read(self, request: Read | Scan) -> None:
        """Take a client's read or scan; replica/desk.py says when it is answered, and by whom.

        Raises :class:`~kvraft.errors.Stopped` if the disk fails.
        """
        try:
            self.reads.take(request)
        except (OSError, Corruption) as error:
            self._stop(error)

    def change_members(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Begin to make ``voters`` and ``learners`` the members; return the entry's index.

        Raises what :meth:`~kvraft.raft.Raft.propose_change` raises.
        """
        return self.raft.propose_change(voters, learners)

    def transfer_leadership(self, to: str) -> None:
        """Begin to hand leadership over; see :meth:`~kvraft.raft.Raft.transfer_leader`."""
        self.raft.transfer_leader(to)

    def cancel_transfer(self) -> None:
        """Call a transfer off; see :meth:`~kvraft.raft.Raft.cancel_transfer`."""
        self.raft.cancel_transfer()

    # ── a drain ─────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> Drained:
        """Make durable, apply, and return what may be sent now.

        Where there is no space to make something durable, nothing rests on it: no message leaves
        and nothing is applied until there is (:attr:`waits_for_space`).  The member then is like
        one that nobody hears, but it answers reads that need no consensus.

        Raises :class:`~kvraft.errors.Stopped` for ever after the disk failed once: what it holds
        is then unknown, and the member must be opened anew.
        """
        if self._stopped:
            raise Stopped(self._stopped)
        early: list[Message] = []
        messages: list[Message] = []
        synced = False
        try:
            self.wal.finish_recovery()  # nothing is promised before what was found is durable
            while (ready := self.begin()) is not None:
                # What comes after a sync may rest on it.
                (messages if synced else early).extend(ready.early)
                self.save(ready)
                synced = synced or _needs_sync(ready)
                messages += ready.messages
                self.finish(ready)
            self.writes.note_role()
            if self._spool.size and not self.raft.receiving:
                self._spool.drop()  # its leader leads no more
            self._upkeep.make_room()
        except DiskFull as error:
            self.waits_for_space = str(error)
        except (OSError, Corruption) as error:
            self._stop(error)
        else:
            self.waits_for_space = ""
        self._report_marks()
        replies, self._replies = tuple(self._replies), []
        sign = self.skew.with_wall_time
        return Drained(tuple(map(sign, early)), tuple(map(sign, messages)), replies, synced)

    def begin(self) -> Ready | None:
        """Take what consensus wants done, ``None`` if nothing: its early messages may leave now.

        What had no space the last time comes first; its early messages left then.
        """
        if self._held is None and self.raft.has_ready():
            ready = self.raft.ready()
            self._held = ready._replace(early=())
            return ready
        return self._held

    def save(self, ready: Ready) -> None:
        """Make durable what was begun: a term before whatever came in it.

        Raises :class:`~kvraft.errors.DiskFull`, ``OSError`` and :class:`~kvraft.errors.Corruption`.
        """
        for chunk in ready.chunks:
            self._spool.write(chunk.offset, chunk.data)
        if ready.snapshot is not None:
            if ready.hard_state is not None:
                self.wal.save(ready.hard_state, ())
            self._install(ready.snapshot)
            self.wal.save(None, ready.entries)
        elif _needs_sync(ready):
            self.wal.save(ready.hard_state, ready.entries)
        self.writes.note_stamps(ready.entries)

    def finish(self, ready: Ready) -> None:
        """Apply what is committed, answer who waits for it, and tell consensus that all is done."""
        self._held = None
        lost = [
            proposal for proposal in ready.decided if proposal.outcome is ProposalOutcome.SUPERSEDED
        ]
        for entry in ready.committed:
            lost = self.writes.superseded(lost, entry) if lost else lost
            self.take(entry)
        for read in ready.reads:  # their indexes are among what was just taken
            self.reads.serve(read)
        for token in ready.failed_reads:
            self.reads.fail(token)
        self.raft.advance()

    def take(self, entry: Entry) -> None:
        """Give the state machine one committed entry, and tell those who wait for what it ends."""
        self.writes.committed(entry)
        for ended in self.machine.take(entry):
            self.writes.ended(ended)
        if self.tree.memtable_full:  # in the middle of a drain, when a member catches up
            self._upkeep.make_room()

    def reply(self, reply: Reply) -> None:
        """Have a reply leave with the next drain."""
        self._replies.append(reply)

    def _install(self, snapshot: ReceivedSnapshot) -> None:
        """Let a leader's snapshot take the place of tables and log, in this order (Raft §7)."""
        if self.tree.flushed != snapshot.last:  # or else only the log lacked space, the last time
            self.tree.install(self._spool)
        self.wal.reset(snapshot.last)
        self._spool.drop()
        self.machine = self.new_machine()
        self.writes.installed(snapshot.last, self.tree.timestamp)

    # ── long work ───────────────────────────────────────────────────────────────────────────────

    @property
    def has_work(self) -> bool:
        """Whether a slice of long work (a cut, a flush, a compaction) is waiting to be done."""
        return not self._stopped and self._upkeep.has_work

    def work(self) -> None:
        """Do one slice of long work: remove one segment, or do a part of a flush or compaction."""
        if not self.has_work:
            return
        try:
            self._upkeep.work()
        except (OSError, Corruption) as error:
            self._stop(error)
        self._report_marks()

    def close(self) -> None:
        """Close log and tree in good order."""
        self.wal.close()
        self.tree.close()

    def _stop(self, error: OSError | Corruption) -> None:
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
            committed=min(self.raft.commit_index, self.wal.last_index),  # if it waits for space
            last=self.wal.last_index,
        )

    @property
    def log_time(self) -> Timestamp:
        """The highest timestamp in this member's log, or in its tree."""
        return self.writes.log_time

    def _report_marks(self) -> None:
        if self._marks != (marks := self.marks):
            self._marks = marks
            self.report(marks)
        self._upkeep.report_holds()

    # ── rules: each may be another in a subclass ────────────────────────────────────────────────

    def pins(self) -> Pins:
        """Return who still needs which part of the log, and why (replica/retention.py)."""
        segments, budget = self.wal.segments, self.options.retain_bytes
        reach, tree = oldest_within_budget(segments, budget), tree_pin(self.tree.flushed.index)
        if self.raft.role is Role.LEADER:
            far, base = oldest_within_budget(segments, 2 * budget), self.wal.base.index
            return Pins((tree, *follower_pins(self.raft.followers, base, reach, far)))
        if self.raft.configuration.members == (self.member,):
            return Pins((tree,))
        return Pins((tree, members_pin(self.raft.all_replicated_index, reach)))

    def may_drop(self, segment: Segment) -> bool:
        """Whether ``segment``, the oldest, may go: it is sealed, and nobody needs it."""
        return segment.sealed and self.pins().frees(segment)

    def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
        """Whether the memtable is to be frozen: see :func:`kvraft.log_and_tree.should_freeze`."""
        full_at, log_limit = self.options.memtable_bytes, self.options.log_bytes
        return should_freeze(
            memtable_bytes, log_bytes, waiting, full_at=full_at, log_limit=log_limit
        )

    def why_busy(self) -> str:
        """Return why a leader takes no writes for now: the disk is full, or flushes lag."""
        tree = self.tree
        slow = f"{self.member} has {tree.immutable_memtables} memtables to flush first"
        return self._upkeep.low or self.waits_for_space or (slow if tree.pressure >= 1 else "")

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return the stamp that a transaction gets which its client stamped ``timestamp``.

        Timestamp order must be log order, whatever a client's clock says: the highest timestamp
        wins wherever two versions meet, so a stamp from behind would be a write that is lost.
        """
        return max(timestamp, self.log_time + 1)

    def incarnation(self, entry: Entry) -> int:
        """Return the incarnation that a committed registration gives: its place in the log."""
        return entry.index

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return what followers could be sent."""
        return ReplicaSnapshotSource(self.tree, self.raft)

    def new_machine(self) -> StateMachine:
        """Return the state machine over the tree as it is: it begins anew with an open transaction.

        Called when this is opened, and whenever a snapshot was installed.
        """
        return StateMachine(self.tree, clock.pack(self.options.session_millis), self.report)


def _open(disk: Disk, owner: str, options: ReplicaOptions, report: EventSink) -> tuple[Wal, Tree]:
    """Open log and tree.  The log first: a tree without a log is then never a crash, but a loss."""
    found = check_disk(disk, owner)
    wal = Wal.open(disk, owner, segment_bytes=options.segment_bytes, report=report, found=found)
    tree_options = TreeOptions(
        memtable_bytes=options.memtable_bytes,
        strategy=options.strategy,
        stall_memtables=options.stall_memtables,
        history=clock.pack(options.history_millis),
    )
    tree = Tree.open(disk, owner=owner, options=tree_options, report=report)
    tree.record_log_end(lambda: wal.synced_end)
    return wal, tree


def _needs_sync(ready: Ready) -> bool:
    return bool(ready.hard_state or ready.entries or ready.snapshot)
