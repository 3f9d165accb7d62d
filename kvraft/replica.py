"""One member: consensus module, log and tree joined, and the rule for who may cut the log.

A replica is synchronous and owns no time, thread or socket.  A world drives it: hand in ticks,
messages and requests, then call :meth:`Replica.drain`, which makes durable what must be, applies
what is committed, and returns what may now be sent.  Many inputs may precede one drain: they share
one sync of the disk (group commit).  Long work is done in slices between drains
(:meth:`Replica.work`).

Everything a replica does moves one of five marks, which never cross::

     first ≤ flushed + 1            flushed ≤ applied ≤ committed ≤ last
     │ oldest entry kept            │ in SSTables  │ in the     │ on a      │ in the
     │ in the log                   │ on disk      │ memtable   │ majority  │ log

Neither owner of the log cuts it alone: :meth:`Replica.holds` tells who still needs what, by the
rule of retention.py.  A member that needs what is gone is sent a snapshot: the tables at the
flushed mark, as they are.

Too much at once is refused, never lost.  A leader whose disk is nearly full, or whose flushes lag,
takes no more writes (:class:`~kvraft.transaction.Later`); a follower with a full disk takes no more
entries.  Heartbeats, elections and reads go on, and so do writes once there is space again.  A
member whose disk has no byte left for a term or a vote falls silent until it has.

Order of things, which makes an acknowledged write survive: hard state and entries are synced, then
messages leave; a table is synced, then the directory, then the manifest, and only then log
segments go.

Sources: Raft §5 and §7; Kudu's log anchors and all-replicated index for the holders.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from kvraft import clock
from kvraft.compaction import Levelled, Strategy, check_strategy
from kvraft.desk import Desk
from kvraft.disk import Disk, is_full
from kvraft.display import counted
from kvraft.errors import BadInput, Busy, Damage, DiskFull, KvraftError, NotLeader, Stopped
from kvraft.events import CutDecided, HoldsChanged, Marks, Report, Started, ignore
from kvraft.identity import claim
from kvraft.inputs import instance, whole
from kvraft.log import Log
from kvraft.log_and_tree import check_disk, should_freeze, waiting_log
from kvraft.lsm import Tree, TreeOptions
from kvraft.machine import CONFIGURATION_KEY, Ended, Machine
from kvraft.membership import Configuration
from kvraft.messages import AppendEntriesReply, Message, problem
from kvraft.offer import Tables
from kvraft.pending import Pending, Waiter
from kvraft.raft import Decided, Fate, Raft, Ready, Received, Role
from kvraft.raft import Options as RaftOptions
from kvraft.record import Entry, Timestamp, TxnId, digest, registration
from kvraft.retention import Holds, follower_holds, members_hold, reach_of, tree_hold
from kvraft.segment import Segment
from kvraft.session import Outcome
from kvraft.skew import Skew
from kvraft.snapshot import Spool
from kvraft.transaction import (
    Answer,
    Later,
    Read,
    Redirect,
    Refusal,
    Register,
    Registered,
    Reply,
    Scan,
    Stage,
    Submit,
)
from kvraft.wal import Wal

_PACE = 64  # slices of long work at most that a drain does for each memtable it fills


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes in bytes, times in milliseconds, and the timing of consensus in ticks.

    - ``log_bytes`` is how much sealed log may wait for a memtable that is slow to fill: beyond it
      the memtable is flushed however small it is;
    - ``retain_bytes`` is how much sealed log is kept for followers (retention.py);
    - ``reserve_bytes`` is how much of the disk must be free for new writes to be taken; it should
      cover a flush and a segment, which is how space is won back;
    - ``stall_memtables`` is how many memtables may wait to be flushed before new writes have to;
    - ``strategy`` says which tables are merged;
    - ``history_millis`` is how far back one can read at a timestamp;
    - ``session_millis`` is how long a session is kept that nobody uses, in log time (session.py).
      It **must be the same on every member**, for it decides what their state is;
    - ``skew_millis`` is how far ahead of the members' clocks a client's may be (skew.py).
    """

    memtable_bytes: int = 4 << 20
    segment_bytes: int = 1 << 20
    log_bytes: int = 16 << 20
    retain_bytes: int = 16 << 20
    reserve_bytes: int = 8 << 20
    stall_memtables: int = 4
    strategy: Strategy = field(default_factory=Levelled)
    history_millis: int = 0
    session_millis: int = 3_600_000
    skew_millis: int = 500
    raft: RaftOptions = field(default_factory=RaftOptions)

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for options that make no sense here."""
        for name in ("log_bytes", "retain_bytes", "reserve_bytes", "history_millis", "skew_millis"):
            whole(getattr(self, name), name, least=0)
        for name in ("memtable_bytes", "segment_bytes", "stall_memtables", "session_millis"):
            whole(getattr(self, name), name, least=1)
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
    milliseconds since the Unix epoch; it is used to refuse stamps from far ahead (skew.py), and for
    nothing that must be alike on all members; without it none are refused.  ``random`` and
    ``incarnation``, a number that no earlier start of this member was given, are what
    :class:`~kvraft.raft.Raft` says.  Raises
    :class:`~kvraft.errors.Foreign` if the disk belongs to another member or cluster, and
    :class:`~kvraft.errors.Damage` or :class:`~kvraft.errors.Forgotten` if what it promised to keep
    is not there.  Only a member that is ``new``, and never ran before, may begin with nothing.
    ``waits_for_space`` says what there is no space for, ``""`` if nothing waits for that.
    """

    desk = Desk
    """Who answers reads and scans."""

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        disk: Disk,
        *,
        random: Random,
        incarnation: int,
        cluster: str = "kvraft",
        options: Options | None = None,
        consensus: type[Raft] = Raft,
        new: bool = False,
        millis: Callable[[], int] | None = None,
        report: Report = ignore,
    ) -> None:
        options = options or Options()
        owner = f"{cluster}/{member}"
        self.member = member
        self.options = options
        self.millis = millis
        """This member's own clock, ``None`` if it has none."""
        patience = options.raft.election_ticks
        self._skew = Skew(member, millis, allowed=options.skew_millis, patience=patience)
        self._disk = disk
        self.report = report
        """Takes every event that this member reports."""
        claim(disk, owner, new=new)
        found = check_disk(disk, owner)
        # The log first: then a tree without a log is never a crash, but always a loss.
        self.wal = Wal.open(
            disk, owner, segment_bytes=options.segment_bytes, report=report, found=found
        )
        self.tree = Tree.open(
            disk,
            owner=owner,
            options=TreeOptions(
                memtable_bytes=options.memtable_bytes,
                strategy=options.strategy,
                stall_memtables=options.stall_memtables,
                history=clock.pack(options.history_millis),
            ),
            report=report,
        )
        self.tree.follow_log(lambda: self.wal.synced_end)
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
        self._pending = Pending()
        self._spool = Spool(disk)
        self._registering: dict[int, tuple[int, Register]] = {}  # by index, with the term
        self._replies: list[Reply] = []
        self._desk = self.desk(
            member,
            self.raft,
            self.tree,
            kept=options.history_millis > 0,
            answer=self.reply,
        )
        self._stopped = ""
        self._held: Ready | None = None  # what could not be saved yet, for there was no space
        self._low = ""  # why nothing new may be written for now
        self._full = False  # whether long work met a full disk since the last tick
        self.stamp = self.tree.timestamp
        """The highest timestamp in this member's log, or in its tree."""
        self._note_stamps(entries)
        self.raft.compact(self.wal.base.index, self.offer())
        self._led = False
        self.waits_for_space = ""
        self._told_holds: tuple[tuple[str, int], ...] = ()
        self._marks = self.marks
        report(Started(self.raft.term, self._marks.first, self._marks.flushed, self._marks.last))
        report(self._marks)

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Let one tick of time pass."""
        self._full = False
        self._look_for_space()
        self._skew.tick()
        self.raft.tick(full=bool(self._low))

    def receive(self, message: Message) -> None:
        """Take a message from another member; one that waits for space on its disk hears none."""
        if self.waits_for_space:
            return  # nothing could rest on it, and what it says would be kept in memory
        self.raft.step(message)
        if isinstance(message, AppendEntriesReply) and not problem(
            message, self.member, self.raft.cluster
        ):
            self._skew.hear(message.sender, message.wall)

    def register(self, request: Register) -> None:
        """Take a client's wish to be registered: append an entry for it if this member leads.

        Its index is the answer once it is committed.  A client that asks again may get several,
        from several members, and takes one.
        """
        try:
            self._check_pace()
            index, _ = self.raft.propose([registration(request.sender)])
        except (NotLeader, Busy, BadInput) as refusal:
            self._turn_away(request.sender, request.number, request.attempt, refusal)
        else:
            self._registering[index] = (self.raft.term, request)

    def submit(self, request: Submit) -> None:
        """Take a client's transaction: append it if this member leads, else say who does."""
        transaction = request.transaction
        txn, asked = transaction.id, digest(transaction.records)
        waiter = self._pending.get(txn)
        if waiter and self.raft.role is Role.LEADER and self._pending.held_by(self.raft.log, txn):
            if waiter.digest == asked:
                waiter.attempts.append(request.attempt)  # it is on its way
            else:  # which of the two it will be is not decided yet
                busy = Busy(f"another transaction is on its way as {txn}")
                self._turn_away(request.sender, txn, request.attempt, busy)
            return
        if self._answer_from_session(request, asked):
            return
        stamp = self.raised(transaction.timestamp)
        why = self._refuses(txn, transaction.timestamp, stamp)
        if why:
            better = max(self.stamp, self._skew.now(self.raft.configuration.members))
            self.reply(Refusal(self.member, request.sender, txn, request.attempt, better, why))
            return
        try:
            self._check_pace()
            first, last = self.raft.propose(transaction.stamped(stamp).records)
        except BadInput as error:  # no follower would take it, now or ever
            self.reply(Refusal(self.member, request.sender, txn, request.attempt, 0, str(error)))
            return
        except (NotLeader, Busy) as refusal:
            self._turn_away(request.sender, txn, request.attempt, refusal)
            return
        self.stamp = max(self.stamp, stamp)
        # An earlier copy is waited for no more: this log has lost it, and nobody knows if it lives.
        attempts = [request.attempt]
        self._pending.add(Waiter(request.sender, txn, asked, first, self.raft.term, attempts))
        self._answer(request.sender, txn, (request.attempt,), Stage.APPENDED, Outcome(last, stamp))

    def _turn_away(
        self, client: str, request: TxnId | int, attempt: int, refusal: KvraftError
    ) -> None:
        """Tell a client of what was not taken where, or when, to ask again."""
        self.reply(
            Redirect(self.member, client, request, attempt, refusal.leader)
            if isinstance(refusal, NotLeader)
            else Later(self.member, client, request, attempt, str(refusal))
        )

    def raised(self, timestamp: Timestamp) -> Timestamp:
        """Return the stamp that a transaction gets which its client stamped ``timestamp``.

        Timestamp order must be log order, whatever a client's clock says: the highest timestamp
        wins wherever two versions meet, so a stamp from behind would be a write that is lost.
        """
        return max(timestamp, self.stamp + 1)

    def _answer_from_session(self, request: Submit, asked: int) -> bool:
        """Answer a transaction whose id was carried out before; return whether it was."""
        transaction, attempts = request.transaction, (request.attempt,)
        txn = transaction.id
        session = self.machine.sessions.find(txn, self.stamp)
        outcome = session.outcome(txn.sequence)
        if outcome is not None and outcome.digest != asked:
            self._answer(request.sender, txn, attempts, Stage.ABORTED, reason=_taken(txn))
            return True
        if outcome is None:
            if session.forgotten(txn.sequence):
                why = _too_late(txn)
                self._answer(request.sender, txn, attempts, Stage.UNKNOWN, reason=why)
                return True
            return False
        if not outcome.conflict:
            self._answer(request.sender, txn, attempts, Stage.APPLIED, outcome)
        else:
            key = transaction.records[outcome.conflict - 1].key
            why = _conflict(key)
            self._answer(request.sender, txn, attempts, Stage.ABORTED, outcome, why, key)
        return True

    def _refuses(self, txn: TxnId, stamped: Timestamp, stamp: Timestamp) -> str:
        """Return why this leader refuses a transaction for its stamp, ``""`` if it does not."""
        if self.raft.role is not Role.LEADER:
            return ""
        if self.machine.sessions.too_old(stamped, stamp):
            return (
                f"{txn} was stamped {clock.show(stamped)}, more than "
                f"{self.options.session_millis} ms before log time: if it was carried out, "
                f"its session has expired since"
            )
        members = self.raft.configuration.members
        too_far = self._skew.too_far(stamped, self.stamp, members)
        return f"{txn} {too_far}" if too_far else ""

    def _check_pace(self) -> None:
        """Raise ``Busy`` while more must not be written: the disk is full, or flushes lag."""
        if self.raft.role is Role.LEADER:
            if why := self._low or self.waits_for_space:
                raise Busy(why)
            if self.tree.pressure >= 1:
                raise Busy(f"{self.member} has {self.tree.waiting} memtables to flush first")

    def read(self, request: Read | Scan) -> None:
        """Take a client's read or scan; desk.py says when it is answered, and by whom.

        Raises :class:`~kvraft.errors.Stopped` if the disk fails.
        """
        try:
            self._desk.take(request)
        except (OSError, Damage) as error:
            self._stop(error)

    def change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Begin to make ``voters`` and ``learners`` the members; return the entry's index.

        Raises what :meth:`~kvraft.raft.Raft.propose_change` raises.
        """
        return self.raft.propose_change(voters, learners)

    def transfer(self, to: str) -> None:
        """Begin to hand leadership over; see :meth:`~kvraft.raft.Raft.transfer_leader`."""
        self.raft.transfer_leader(to)

    def cancel_transfer(self) -> None:
        """Call a transfer off; see :meth:`~kvraft.raft.Raft.cancel_transfer`."""
        self.raft.cancel_transfer()

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

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
            self.wal.begin()  # nothing is promised before what was found is durable
            while self._held or self.raft.has_ready():
                ready = self._held or self.raft.ready()
                if self._held is None:  # what comes after a sync may rest on it
                    (messages if synced else early).extend(ready.early)
                self._held = ready
                for chunk in ready.chunks:
                    self._spool.write(chunk.offset, chunk.data)
                if ready.hard_state or ready.entries or ready.snapshot:
                    self.save(ready)
                    synced = True
                self._held = None
                messages += ready.messages
                lost = [told for told in ready.decided if told.fate is Fate.SUPERSEDED]
                for entry in ready.committed:
                    lost = self._settle_lost(lost, entry) if lost else lost
                    self.take(entry)
                for read in ready.reads:  # their indexes are among what was just taken
                    self._desk.serve(read)
                for token in ready.failed_reads:
                    self._desk.fail(token)
                self.raft.advance()
            self._tell_of_lost_leadership()
            if self._spool.size and not self.raft.receiving:
                self._spool.drop()  # its leader leads no more
            self._make_room()
        except DiskFull as error:
            self.waits_for_space = str(error)
        except (OSError, Damage) as error:
            self._stop(error)
        else:
            self.waits_for_space = ""
        self._note_marks()
        replies, self._replies = tuple(self._replies), []
        sign = self._skew.sign
        return Drained(tuple(map(sign, early)), tuple(map(sign, messages)), replies, synced)

    @property
    def has_work(self) -> bool:
        """Whether a slice of long work (a cut, a flush, a compaction) is waiting to be done."""
        return not self._stopped and (self._may_cut() or self._tree_has_work)

    def work(self) -> None:
        """Do one slice of long work: remove one segment, or do a part of a flush or compaction."""
        if not self.has_work:
            return
        try:
            if self._may_cut():
                self._cut()
            else:
                self._work_tree()
        except (OSError, Damage) as error:
            self._stop(error)
        self._note_marks()

    @property
    def _tree_has_work(self) -> bool:
        return self.tree.has_work and not self._full

    def _work_tree(self) -> None:
        try:
            self.tree.work()
        except OSError as error:
            if not is_full(error):
                raise
            self._full = True  # nothing is lost; the next tick tries again
        self.raft.log.release(self.tree.flushed.index)  # it is read back from disk if need be

    def close(self) -> None:
        """Close log and tree in good order."""
        self.wal.close()
        self.tree.close()

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

    def holds(self) -> Holds:
        """Return who still needs which part of the log, and why (retention.py)."""
        segments, budget = self.wal.segments, self.options.retain_bytes
        reach, tree = reach_of(segments, budget), tree_hold(self.tree.flushed.index)
        if self.raft.role is Role.LEADER:
            far, base = reach_of(segments, 2 * budget), self.wal.base.index
            return Holds((tree, *follower_holds(self.raft.followers, base, reach, far)))
        if self.raft.configuration.members == (self.member,):
            return Holds((tree,))
        return Holds((tree, members_hold(self.raft.replicated, reach)))

    # ── what consensus asks for ─────────────────────────────────────────────────────────────────

    def save(self, ready: Ready) -> None:
        """Make durable what a Ready asks for: a term before whatever came in it."""
        if ready.snapshot is not None:
            if ready.hard_state is not None:
                self.wal.save(ready.hard_state, ())
            self._install(ready.snapshot)
            self.wal.save(None, ready.entries)
        else:
            self.wal.save(ready.hard_state, ready.entries)
        self._note_stamps(ready.entries)

    def _install(self, snapshot: Received) -> None:
        """Let a leader's snapshot take the place of tables and log, in this order (Raft §7)."""
        if self.tree.flushed != snapshot.last:  # or else only the log lacked space, the last time
            self.tree.install(self._spool)
        self.wal.reset(snapshot.last)
        self._spool.drop()
        self.machine = self.new_machine()
        self.stamp = max(self.stamp, self.tree.timestamp)
        for waiter in self._pending:
            if waiter.first <= snapshot.last.index:
                session = self.machine.sessions.find(waiter.txn, self.stamp)
                outcome = session.outcome(waiter.txn.sequence)
                known = outcome is not None and outcome.digest == waiter.digest
                if outcome is not None and known and not outcome.conflict:
                    self._settle(waiter.txn, Stage.APPLIED, outcome)
                else:  # its client was sent on when this member ceased to lead, and will ask again
                    self._pending.pop(waiter.txn)
        for index in [index for index in self._registering if index <= snapshot.last.index]:
            del self._registering[index]  # so were these

    def offer(self) -> Tables:
        """Return what followers could be sent."""
        return Tables(self.tree, self.raft)

    def new_machine(self) -> Machine:
        """Return a state machine over the tree as it is: at the start, and after a snapshot."""
        return Machine(self.tree, clock.pack(self.options.session_millis), self.report)

    def reply(self, reply: Reply) -> None:
        """Send ``reply`` to its client with what the next :meth:`drain` hands out."""
        self._replies.append(reply)

    # ── committed entries ───────────────────────────────────────────────────────────────────────

    def take(self, entry: Entry) -> None:
        """Give the state machine one committed entry, and tell those who wait for what it ends."""
        if entry.index in self._registering:
            _, request = self._registering.pop(entry.index)
            incarnation = self.incarnation(entry)
            self.reply(Registered(self.member, request.sender, request.number, incarnation))
        for ended in self.machine.take(entry):
            if not ended.undone:  # who waits for that one learns it from Ready.decided
                self._settle_ended(ended)
        if self.tree.full:  # in the middle of a drain, when a member catches up
            self._make_room()

    def _settle_lost(self, lost: list[Decided], entry: Entry) -> list[Decided]:
        """Answer who waits for a proposal that ``entry`` supersedes; return the others."""
        for first, last, term, _ in (gone := [d for d in lost if _supersedes(entry, d)]):
            if first == entry.index:
                why = "another leader's entries took its place"
            else:
                why = "its leader died before all of it was copied"
            if waiter := self._pending.at(first, term):
                self._settle(waiter.txn, Stage.UNDONE, None, why)
            if first == last and self._registering.get(first, (0,))[0] == term:
                _, request = self._registering.pop(first)
                refusal = NotLeader(self.member, self.raft.leader)
                self._turn_away(request.sender, request.number, request.attempt, refusal)
        return [d for d in lost if d not in gone]

    def incarnation(self, entry: Entry) -> int:
        """Return the incarnation that a committed registration gives: no other has it."""
        return entry.index

    def _settle_ended(self, ended: Ended) -> None:
        waiter = self._pending.get(ended.txn)
        if waiter is None or waiter.digest != ended.digest:
            return  # that one is decided where it is itself
        if ended.taken:
            self._settle(ended.txn, Stage.ABORTED, None, _taken(ended.txn))
        elif ended.outcome is None:
            self._settle(ended.txn, Stage.UNKNOWN, None, _too_late(ended.txn))
        elif ended.conflict is None:
            self._settle(ended.txn, Stage.APPLIED, ended.outcome)
        else:
            why = _conflict(ended.conflict)
            self._settle(ended.txn, Stage.ABORTED, ended.outcome, why, ended.conflict)

    def _settle(
        self,
        txn: TxnId,
        stage: Stage,
        outcome: Outcome | None,
        reason: str = "",
        conflict: bytes | None = None,
    ) -> None:
        """Answer the client of a pending transaction for the last time, if it is ours."""
        waiter = self._pending.pop(txn)
        if waiter is not None:
            attempts = tuple(waiter.attempts)
            self._answer(waiter.client, txn, attempts, stage, outcome, reason, conflict)

    def _tell_of_lost_leadership(self) -> None:
        """A leader that steps down sends its clients on: what they wait for may still happen."""
        leads = self.raft.role is Role.LEADER
        if self._led and not leads:
            leader = self.raft.leader
            self._replies += [
                Redirect(self.member, w.client, w.txn, w.attempts[-1], leader, live=True)
                for w in self._pending
            ]
            for _, asked in self._registering.values():  # answered yet if it is committed after all
                refusal = NotLeader(self.member, leader)
                self._turn_away(asked.sender, asked.number, asked.attempt, refusal)
        self._led = leads

    # ── flushing and cutting ────────────────────────────────────────────────────────────────────

    def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
        """Whether the memtable is to be frozen: see :func:`kvraft.log_and_tree.should_freeze`."""
        full_at, log_limit = self.options.memtable_bytes, self.options.log_bytes
        return should_freeze(
            memtable_bytes, log_bytes, waiting, full_at=full_at, log_limit=log_limit
        )

    def _make_room(self) -> None:
        """Freeze the memtable if it is time, and keep up with what is frozen already."""
        tree = self.tree
        # Log that only followers still need says nothing about the memtable.
        held = waiting_log(self.wal.segments, tree.flushed.index)
        if self.should_freeze(tree.memtable_size, held, tree.waiting):
            tree.freeze()
        slices = _PACE  # what is committed must be applied: so memory is bounded by working here
        while slices and tree.pressure >= 1 and self._tree_has_work:
            self._work_tree()
            slices -= 1

    def may_drop(self, segment: Segment) -> bool:
        """Whether ``segment``, the oldest, may go: it is sealed, and nobody needs it."""
        return segment.sealed and self.holds().frees(segment)

    def _may_cut(self) -> bool:
        return self.may_drop(self.wal.segments[0])

    def _cut(self) -> None:
        """Drop the oldest segment, which nobody needs any more.

        Only one: an append that waits for it waits for the removal of one directory entry.
        """
        holds = self.holds()
        names, needs = zip(*((hold.holder, hold.needs) for hold in holds), strict=True)
        self.report(CutDecided(holds.floor, names, needs))
        self.wal.drop_below(self.wal.segments[0].high + 1, 1)
        self.raft.compact(self.wal.base.index)

    def _look_for_space(self) -> None:
        free = self._disk.free()
        if free is None or free >= self.options.reserve_bytes:
            self._low = ""
        else:
            self._low = f"the disk of {self.member} is full: {counted(free, 'byte')} free"

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def _note_stamps(self, entries: list[Entry] | tuple[Entry, ...]) -> None:
        """Keep in mind the highest timestamp in the log; the newest data record carries it."""
        for entry in reversed(entries):
            if entry.record.kind.is_data:
                self.stamp = max(self.stamp, entry.record.timestamp)
                return

    def _note_marks(self) -> None:
        if self._marks != (marks := self.marks):
            self._marks = marks
            self.report(marks)
        if self.report is not ignore:
            self._note_holds()

    def _note_holds(self) -> None:
        """Report who holds the log whenever somebody needs it from another segment on."""
        firsts = [segment.first for segment in self.wal.segments]
        holds = self.holds()
        told = tuple(
            (hold.holder, bisect_right(firsts, hold.needs) - len(firsts)) for hold in holds
        )
        if told != self._told_holds:
            self._told_holds = told
            names, needs = zip(*((hold.holder, hold.needs) for hold in holds), strict=True)
            self.report(HoldsChanged(names, needs))

    def _answer(
        self,
        client: str,
        txn: TxnId,
        attempts: tuple[int, ...],
        stage: Stage,
        outcome: Outcome | None = None,
        reason: str = "",
        conflict: bytes | None = None,
    ) -> None:
        index, stamp = (outcome.index, outcome.timestamp) if outcome else (0, 0)
        self.reply(
            Answer(self.member, client, txn, attempts, stage, index, stamp, reason, conflict)
        )

    def _stop(self, error: OSError | Damage) -> None:
        self._stopped = f"{self.member} stopped: its disk failed ({error})"
        raise Stopped(self._stopped) from error


def _supersedes(entry: Entry, proposal: Decided) -> bool:
    """Whether ``entry`` is the first committed one in a proposal's place that is not its own.

    To be asked of the committed entries in order.
    """
    return proposal.first <= entry.index and entry.term != proposal.term


def _too_late(txn: TxnId) -> str:
    return f"{txn} is too old: its session no longer knows whether it was applied"


def _taken(txn: TxnId) -> str:
    return f"another transaction was carried out as {txn}, so this one never will be under that id"


def _conflict(key: bytes) -> str:
    return f"conflict: {key!r:.60} was written after it was read"
