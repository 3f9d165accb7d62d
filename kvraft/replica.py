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

Neither owner of the log cuts it alone.  A sealed segment goes only when all of it lies below what
every holder still needs (:meth:`Replica.holds`):

- the **tree** needs everything above its flushed mark, to rebuild its memtables after a crash; an
  open transaction is not applied, so it is above that mark;
- the **followers** need everything that is not yet on every member, to catch up.  One that joins
  later is sent a snapshot: the tables at the flushed mark, as they are.

Order of things, which makes an acknowledged write survive: hard state and entries are synced, then
messages leave; a table is synced, then the directory, then the manifest, and only then log
segments go.

Sources: Raft §5 and §7; Kudu's log anchors and all-replicated index for the holders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from kvraft.compaction import Levelled, Strategy
from kvraft.disk import Disk
from kvraft.errors import Busy, Damage, NotLeader, Stopped
from kvraft.events import (
    Applied,
    CutDecided,
    Marks,
    Repeated,
    Report,
    Started,
    Undone,
    ignore,
)
from kvraft.log import Log
from kvraft.lsm import Tree, TreeOptions
from kvraft.membership import Configuration
from kvraft.messages import Message
from kvraft.raft import Options as RaftOptions
from kvraft.raft import Raft, ReadReady, Ready, Received, Role
from kvraft.record import RESERVED, Entry, Kind, Position, Row, TxnId
from kvraft.session import Outcome, Session, session_key
from kvraft.snapshot import TreeSnapshot
from kvraft.store import check_disk
from kvraft.transaction import (
    Answer,
    Complete,
    Gatherer,
    Later,
    Read,
    ReadAnswer,
    Redirect,
    Reply,
    Stage,
    Submit,
)
from kvraft.wal import Wal

CONFIGURATION_KEY = RESERVED + b"configuration"
"""Where the tree keeps the latest configuration applied."""


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes in bytes, and the timing of consensus in ticks.

    ``log_bytes`` is how much sealed log may wait for a memtable that is slow to fill: beyond it
    the memtable is flushed however small it is.  ``strategy`` says which tables are merged.
    """

    memtable_bytes: int = 4 << 20
    segment_bytes: int = 1 << 20
    log_bytes: int = 16 << 20
    strategy: Strategy = field(default_factory=Levelled)
    raft: RaftOptions = field(default_factory=RaftOptions)


class Drained(NamedTuple):
    """What :meth:`Replica.drain` hands out: messages for members, replies for clients.

    ``synced`` tells whether the disk was synced for it.  ``early`` are messages for members that
    need not wait for that sync (thesis §10.2.1).
    """

    early: tuple[Message, ...]
    messages: tuple[Message, ...]
    replies: tuple[Reply, ...]
    synced: bool


@dataclass(frozen=True, slots=True)
class Shipped:
    """A member's tables as the :class:`~kvraft.log.Snapshot` that followers are sent."""

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


@dataclass(slots=True)
class _Pending:
    """A transaction that this member, as leader, appended and has not seen the end of."""

    client: str
    txn: TxnId
    first: int
    term: int
    attempts: list[int] = field(default_factory=list)


class Replica:
    """One member of a cluster, on one disk.

    Opening it recovers what the disk holds: the tables' contents are applied, everything above
    their flushed mark waits in the log to be committed again.  Raises
    :class:`~kvraft.errors.Foreign` if the disk belongs to another member or cluster, and
    :class:`~kvraft.errors.Damage` if what it promised to keep is not there.
    """

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        disk: Disk,
        *,
        random: Random,
        cluster: str = "kvraft",
        options: Options | None = None,
        consensus: type[Raft] = Raft,
        report: Report = ignore,
    ) -> None:
        options = options or Options()
        owner = f"{cluster}/{member}"
        self.member = member
        self.options = options
        self._report = report
        found = check_disk(disk, owner)
        # The log first: then a tree without a log is never a crash, but always a loss.
        self.wal = Wal.open(
            disk, owner, segment_bytes=options.segment_bytes, report=report, found=found
        )
        self.tree = Tree.open(
            disk,
            owner=owner,
            options=TreeOptions(memtable_bytes=options.memtable_bytes, strategy=options.strategy),
            report=report,
        )
        entries = self.wal.entries()
        stored = self.tree.get(CONFIGURATION_KEY)
        self.raft = consensus(
            member,
            configuration if stored is None else Configuration.from_bytes(stored),
            Log(self.wal.base, entries),
            self.wal.hard_state,
            options=options.raft,
            random=random,
            committed=self.tree.flushed.index,
            cluster=cluster,
            report=report,
        )
        self._gatherer = Gatherer()
        self._sessions: dict[str, Session] = {}
        self._pending: dict[TxnId, _Pending] = {}
        # First log index → transactions: several once this member was superseded and leads again.
        self._pending_at: dict[int, list[TxnId]] = {}
        self._reads: dict[int, Read] = {}
        self._next_read = 1
        self._replies: list[Reply] = []
        self._stopped = ""
        self._stamp = self.tree.timestamp
        self._note_stamps(entries)
        self._offer_snapshot()
        self._led = False
        self._marks = self.marks
        report(Started(self.raft.term, self._marks.first, self._marks.flushed, self._marks.last))
        report(self._marks)

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Let one tick of time pass."""
        self.raft.tick()

    def receive(self, message: Message) -> None:
        """Take a message from another member."""
        self.raft.step(message)

    def submit(self, request: Submit) -> None:
        """Take a client's transaction: append it if this member leads, else say who does."""
        transaction = request.transaction
        txn = transaction.id
        if self._on_its_way(txn):
            self._pending[txn].attempts.append(request.attempt)
            return
        session = self._session(txn.client)
        outcome = session.outcome(txn.sequence)
        if outcome is not None:
            self._answer(request.sender, txn, (request.attempt,), Stage.APPLIED, outcome)
            return
        if session.forgotten(txn.sequence):
            attempts = (request.attempt,)
            self._answer(request.sender, txn, attempts, Stage.UNKNOWN, reason=_too_old(txn))
            return
        # Timestamp order must be log order, whatever the client's clock says.
        stamp = max(transaction.timestamp, self._stamp + 1)
        try:
            first, last = self.raft.propose(transaction.stamped(stamp).records)
        except NotLeader as refusal:
            redirect = Redirect(self.member, request.sender, txn, request.attempt, refusal.leader)
            self._replies.append(redirect)
            return
        except Busy:
            self._replies.append(Later(self.member, request.sender, txn, request.attempt))
            return
        self._stamp = stamp
        self._forget(txn)  # an earlier copy, which this log has lost: nobody can say if it is dead
        pending = _Pending(request.sender, txn, first, self.raft.term, [request.attempt])
        self._pending[txn] = pending
        self._pending_at.setdefault(first, []).append(txn)
        self._answer(request.sender, txn, (request.attempt,), Stage.APPENDED, Outcome(last, stamp))

    def read(self, request: Read) -> None:
        """Take a client's read.

        It is answered once this member knows how far it must have come: from its own leadership,
        if it is sure of it, or if asked to answer in any case, from its leader (thesis §6.4).  A
        stale read is answered at once.
        """
        if request.stale:
            self._answer_read(request, self.tree.applied.index)
            return
        if self.raft.role is not Role.LEADER and not request.here:
            self._redirect_read(request, self.raft.leader)
            return
        token = self._next_read
        try:
            self.raft.read_index(token)
        except NotLeader as refusal:
            self._redirect_read(request, refusal.leader)
            return
        self._next_read += 1
        self._reads[token] = request

    def change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Begin to make ``voters`` and ``learners`` the members; return the entry's index.

        Raises what :meth:`~kvraft.raft.Raft.propose_change` raises.
        """
        return self.raft.propose_change(voters, learners)

    def transfer(self, to: str) -> None:
        """Begin to hand leadership over; see :meth:`~kvraft.raft.Raft.transfer_leader`."""
        self.raft.transfer_leader(to)

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> Drained:
        """Make durable, apply, and return what may be sent now.

        Raises :class:`~kvraft.errors.Stopped` for ever after the disk failed once: what it holds
        is then unknown, and the member must be opened anew.
        """
        if self._stopped:
            raise Stopped(self._stopped)
        early: list[Message] = []
        messages: list[Message] = []
        synced = False
        try:
            while self.raft.has_ready():
                ready = self.raft.ready()
                # What comes after a sync may rest on it.
                (messages if synced else early).extend(ready.early)
                if ready.hard_state is not None or ready.entries or ready.snapshot is not None:
                    self._save(ready)
                    synced = True
                messages += ready.messages
                for entry in ready.committed:
                    self._take(entry)
                for read in ready.reads:  # their indexes are among what was just taken
                    self._serve(read)
                for token in ready.failed_reads:
                    self._redirect_read(self._reads.pop(token), self.raft.leader)
                self.raft.advance()
            self._tell_of_lost_leadership()
            self._make_room()
            self._cut()
        except (OSError, Damage) as error:
            self._stop(error)
        self._note_marks()
        replies, self._replies = tuple(self._replies), []
        return Drained(tuple(early), tuple(messages), replies, synced)

    @property
    def has_work(self) -> bool:
        """Whether a slice of long work (a flush, a compaction) is waiting to be done."""
        return not self._stopped and self.tree.has_work

    def work(self) -> None:
        """Do one slice of long work."""
        if not self.has_work:
            return
        flushed = self.tree.flushed
        try:
            self.tree.work()
            if self.tree.flushed != flushed:
                self._cut()
        except (OSError, Damage) as error:
            self._stop(error)
        self._note_marks()

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
            committed=self.raft.commit_index,
            last=self.wal.last_index,
        )

    def holds(self) -> dict[str, int]:
        """Return for each holder of the log the oldest index that it still needs."""
        return {"tree": self.tree.flushed.index + 1, "followers": self.raft.replicated + 1}

    # ── what consensus asks for ─────────────────────────────────────────────────────────────────

    def _save(self, ready: Ready) -> None:
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
        self.tree.install(snapshot.data)
        self.wal.reset(snapshot.last)
        self._gatherer = Gatherer()
        self._sessions = {}
        self._stamp = max(self._stamp, self.tree.timestamp)
        self._offer_snapshot()
        for txn in [p.txn for p in self._pending.values() if p.first <= snapshot.last.index]:
            outcome = self._session(txn.client).outcome(txn.sequence)
            if outcome is None:  # its client was sent on when this member ceased to lead
                self._forget(txn)
            else:
                self._settle(txn, Stage.APPLIED, outcome)

    def _offer_snapshot(self) -> None:
        """Keep ready what followers are sent that need more than the log still holds."""
        flushed = self.tree.flushed.index
        if flushed and flushed >= self.raft.log.base.index:
            configuration = self.raft.configuration_at(flushed)
            self.raft.snapshot = Shipped(self.tree.snapshot(), configuration)

    # ── committed entries ───────────────────────────────────────────────────────────────────────

    def _take(self, entry: Entry) -> None:
        """Look at one committed entry: it may complete a transaction, end one, or do neither."""
        self._settle_superseded(entry)
        for ended in self._gatherer.take(entry):
            if isinstance(ended, Complete):
                self._apply(ended)
            else:
                self._undo(ended.entries)
        if entry.record.kind is Kind.NOOP:
            self.tree.apply((), Position(entry.index, entry.term))
        elif entry.record.kind is Kind.CONFIGURATION:
            row = (CONFIGURATION_KEY, entry.index, entry.record.value)
            self.tree.apply((row,), Position(entry.index, entry.term))

    def _apply(self, complete: Complete) -> None:
        """Give a complete transaction to the tree, unless the session says it was applied."""
        last = complete.entries[-1]
        record = last.record
        txn = record.txn
        position = Position(last.index, last.term)
        session = self._session(txn.client)
        outcome = session.outcome(txn.sequence)
        if outcome is not None or session.forgotten(txn.sequence):
            self.tree.apply((), position)
            self._report(Repeated(str(txn), last.index))
        else:
            outcome = Outcome(last.index, record.timestamp)
            session.add(txn.sequence, outcome)
            rows = [_row(entry) for entry in complete.entries]
            mine = (session_key(txn.client), record.timestamp, session.to_bytes())
            self.tree.apply([*rows, mine], position)
            if self.tree.full:  # in the middle of a drain, when a member catches up
                self._make_room()
            self._report_applied(last.index, txn, len(rows))
        if outcome is None:
            self._settle(txn, Stage.UNKNOWN, None, _too_old(txn))
        else:
            self._settle(txn, Stage.APPLIED, outcome)

    def _undo(self, entries: tuple[Entry, ...]) -> None:
        """Drop the records of a transaction that ended without its commit mark."""
        txn = entries[0].record.txn
        self._report(Undone(str(txn), entries[0].index, entries[-1].index))
        pending = self._pending.get(txn)
        if pending is not None and pending.first == entries[0].index:
            self._settle(txn, Stage.UNDONE, None, "its leader died before all of it was copied")

    def _settle_superseded(self, entry: Entry) -> None:
        """Answer pending transactions whose place in the log was committed to another entry."""
        for txn in tuple(self._pending_at.get(entry.index, ())):
            if self._pending[txn].term != entry.term:
                self._settle(txn, Stage.UNDONE, None, "another leader's entries took its place")

    def _settle(self, txn: TxnId, stage: Stage, outcome: Outcome | None, reason: str = "") -> None:
        """Answer the client of a pending transaction for the last time, if it is ours."""
        pending = self._forget(txn)
        if pending is not None:
            self._answer(pending.client, txn, tuple(pending.attempts), stage, outcome, reason)

    def _tell_of_lost_leadership(self) -> None:
        """A leader that steps down sends its clients on: what they wait for may still happen."""
        leads = self.raft.role is Role.LEADER
        if self._led and not leads:
            for pending in self._pending.values():
                attempt = pending.attempts[-1]
                leader = self.raft.leader
                self._replies.append(
                    Redirect(self.member, pending.client, pending.txn, attempt, leader, live=True)
                )
        self._led = leads

    def _forget(self, txn: TxnId) -> _Pending | None:
        """Strike a transaction off the pending ones; return it if it was one."""
        pending = self._pending.pop(txn, None)
        if pending is not None:
            place = self._pending_at[pending.first]
            place.remove(txn)
            if not place:
                del self._pending_at[pending.first]
        return pending

    def _on_its_way(self, txn: TxnId) -> bool:
        """Whether this member leads and its log still holds the copy that it appended."""
        pending, log = self._pending.get(txn), self.raft.log
        if pending is None or self.raft.role is not Role.LEADER:
            return False
        return pending.first <= log.last_index and log.term(pending.first) == pending.term

    def _session(self, client: str) -> Session:
        if client not in self._sessions:
            self._sessions[client] = Session.from_bytes(self.tree.get(session_key(client)))
        return self._sessions[client]

    # ── reads ───────────────────────────────────────────────────────────────────────────────────

    def _serve(self, ready: ReadReady) -> None:
        """Answer a read whose index has been reached (thesis §6.4)."""
        self._answer_read(self._reads.pop(ready.token), ready.index)

    def _answer_read(self, request: Read, index: int) -> None:
        value = self.tree.get(request.key)
        self._replies.append(ReadAnswer(self.member, request.sender, request.number, value, index))

    def _redirect_read(self, request: Read, leader: str | None) -> None:
        self._replies.append(
            Redirect(self.member, request.sender, request.number, request.attempt, leader)
        )

    # ── flushing and cutting ────────────────────────────────────────────────────────────────────

    def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
        """Whether the memtable is to be frozen: it is full, or the log that waits for it too long.

        ``log_bytes`` are those of sealed segments that the tree still needs; while ``waiting``
        memtables are on their way to a table, another small one would not free them any sooner.
        """
        pressed = log_bytes > self.options.log_bytes and not waiting
        return memtable_bytes >= self.options.memtable_bytes or pressed

    def _make_room(self) -> None:
        tree = self.tree
        # Log that only followers still need says nothing about the memtable.
        flushed = tree.flushed.index
        held = sum(s.size for s in self.wal.segments if s.sealed and s.high > flushed)
        if self.should_freeze(tree.memtable_size, held, tree.waiting):
            tree.freeze()

    def _cut(self) -> None:
        """Drop the sealed segments that nobody needs any more."""
        oldest = self.wal.segments[0]
        holds = self.holds()
        floor = min(holds.values())
        if oldest.sealed and oldest.high < floor:
            self._report(CutDecided(floor, tuple(holds), tuple(holds.values())))
            self.wal.drop_below(floor)
            self.raft.compact(self.wal.base.index)
            self._offer_snapshot()

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def _note_stamps(self, entries: list[Entry] | tuple[Entry, ...]) -> None:
        """Keep in mind the highest timestamp in the log; the newest data record carries it."""
        for entry in reversed(entries):
            if entry.record.kind.is_data:
                self._stamp = max(self._stamp, entry.record.timestamp)
                return

    def _note_marks(self) -> None:
        if self._marks != (marks := self.marks):
            self._marks = marks
            self._report(marks)

    def _report_applied(self, index: int, txn: TxnId, records: int) -> None:
        if self._report is not ignore:
            tree = self.tree
            self._report(Applied(index, str(txn), records, tree.memtable_rows, tree.memtable_size))

    def _answer(
        self,
        client: str,
        txn: TxnId,
        attempts: tuple[int, ...],
        stage: Stage,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> None:
        index, stamp = outcome or (0, 0)
        self._replies.append(
            Answer(self.member, client, txn, attempts, stage, index, stamp, reason)
        )

    def _stop(self, error: OSError | Damage) -> None:
        self._stopped = f"{self.member} stopped: its disk failed ({error})"
        raise Stopped(self._stopped) from error


def _too_old(txn: TxnId) -> str:
    return f"{txn} is too old: its session no longer knows whether it was applied"


def _row(entry: Entry) -> Row:
    record = entry.record
    value = None if record.kind is Kind.DELETE else record.value
    return record.key, record.timestamp, value
