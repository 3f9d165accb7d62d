"""The database client: names and stamps transactions, follows redirects, retries, and tells.

Replication is not a request and a response.  A write moves through stages, and its client may lose
sight of it at any of them, so :meth:`Client.submit` returns a :class:`Ticket`::

    QUEUED ──► SENT ──► APPENDED ──► COMMITTED ──► APPLIED      on the leader's disk; on a
                ▲  ╲        │                                   majority; in the memtable
                │   ╲       ├─► ABORTED    given up, and certainly without effect
                │    ╲──────┴─► UNKNOWN    given up, and the client cannot tell
                └── UNDONE ◄┘              that copy is dead: sent again by itself

:meth:`Client.put` and its like wait for the ticket.  While a ticket is open the client sends it
again, always under the same transaction id, to the leader it was told of or to the next member in
turn, with a growing, jittered pause.

A client has no thread and no socket: its :class:`Host`, the world it lives in, carries what it
sends and hands it replies and ticks.

Invariants:

- One id, one transaction: what is sent again is the very same records.
- A transaction is sent only when all those :data:`~kvraft.session.WINDOW` or more sequence numbers
  before it are settled, so that the session of every replica still remembers it.
- APPLIED is reported only on a replica's word; ABORTED only if every copy that was sent is known
  to be refused or undone.  (A link may lose what it carries, but must not deliver it twice.)

Sources: Raft §8, thesis §6.2 (finding the leader), §6.3 (retries).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from kvraft.clock import Clock
from kvraft.errors import BadInput, KvraftError
from kvraft.events import Redirected, Report, TicketMoved, ignore
from kvraft.record import Timestamp, TxnId
from kvraft.session import WINDOW
from kvraft.transaction import (
    Answer,
    Later,
    Read,
    ReadAnswer,
    Redirect,
    Reply,
    Request,
    Stage,
    Submit,
    Transaction,
    Writes,
    build,
    check_key,
)

RETRY_MILLIS = 150
"""How long a client waits for news of a request before it sends it again, at first."""

MAX_RETRY_MILLIS = 1_200
TIMEOUT_MILLIS = 10_000
MAX_REDIRECTS = 3
"""How many redirects in a row a client follows at once, without a pause."""

_RANK = {Stage.SENT: 0, Stage.APPENDED: 1, Stage.COMMITTED: 2, Stage.APPLIED: 3}


class WriteFailed(KvraftError):
    """A write that somebody waited for ended ABORTED or UNKNOWN; ``ticket`` tells more."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__(f"{ticket.txn} is {ticket.stage}: {ticket.reason}")
        self.ticket = ticket


class ReadFailed(KvraftError):
    """A read got no answer before its deadline."""


@dataclass(slots=True, eq=False)
class _Errand:
    """Something that is sent again and again until there is news of it.  Times in milliseconds."""

    deadline: int
    attempts: int = 0
    asked: str = ""  # the member it was sent to last
    retry_at: int = 0
    pause: int = RETRY_MILLIS
    redirects: int = 0  # in a row


@dataclass(slots=True, eq=False)
class _OpenRead(_Errand):
    number: int = 0
    key: bytes = b""
    at: str | None = None  # the member that is to answer, if not the leader
    stale: bool = False
    answer: ReadAnswer | None = None
    failed: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Ticket(_Errand):
    """How far one write has come.  ``history`` lists (milliseconds, stage, member), in order.

    ``index`` is the transaction's last log index and ``timestamp`` the stamp of its records as
    the leader raised it, both once known; ``reason`` says why it ended other than APPLIED.
    """

    transaction: Transaction = field(kw_only=True)
    stage: Stage = Stage.QUEUED
    index: int = 0
    timestamp: Timestamp = 0
    reason: str = ""
    history: list[tuple[int, Stage, str]] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    """The attempts whose copy may still take effect, for all that is known."""

    @property
    def txn(self) -> TxnId:
        """The id of the transaction."""
        return self.transaction.id

    @property
    def done(self) -> bool:
        """Whether the ticket will not move any more."""
        return self.stage in (Stage.APPLIED, Stage.ABORTED, Stage.UNKNOWN)

    def __repr__(self) -> str:
        return f"<Ticket {self.txn} {self.stage}, sent {self.attempts} times>"


class Host(Protocol):
    """What a client needs of the world it lives in."""

    def millis(self) -> int:
        """Return the wall time in milliseconds since the Unix epoch."""

    def send(self, request: Request) -> None:
        """Carry a request to the member it is for, as well as can be."""

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let time pass until ``condition`` holds, handing the client its replies and ticks."""


class Client:
    """A client of the cluster whose members are ``members``; ``random`` gives the jitter."""

    def __init__(
        self,
        name: str,
        members: Sequence[str],
        *,
        host: Host,
        random: Random,
        report: Report = ignore,
    ) -> None:
        if not name or not members:
            raise BadInput("a client needs a name and at least one member to talk to")
        self.name = name
        self.clock = Clock(host.millis)
        self.leader: str | None = None
        """The member that answered as leader last, or was named as such."""
        self._members = tuple(members)
        self._turn = random.randrange(len(self._members))
        self._host = host
        self._millis = host.millis
        self._random = random
        self._report = report
        self._sequence = 0
        self._queue: deque[Ticket] = deque()
        self._open: dict[int, Ticket] = {}  # by sequence
        self._reads: dict[int, _OpenRead] = {}
        self._read_number = 0

    # ── what a user calls ───────────────────────────────────────────────────────────────────────

    def submit(self, writes: Writes, *, timeout: int = TIMEOUT_MILLIS) -> Ticket:
        """Begin to carry out ``writes`` as one transaction and return its ticket at once.

        The transaction gets its id and its stamp here.  After ``timeout`` milliseconds the client
        gives up: the ticket is then ABORTED or UNKNOWN.  Raises
        :class:`~kvraft.errors.BadInput` for writes that :func:`~kvraft.transaction.build` refuses.
        """
        txn = TxnId(self.name, self._sequence + 1)
        transaction = build(txn, writes, self.clock.now())
        self._sequence += 1
        ticket = Ticket(self._millis() + timeout, transaction=transaction)
        ticket.timestamp = transaction.timestamp
        self._queue.append(ticket)
        self._send_queued()
        return ticket

    def retry(self, ticket: Ticket, *, timeout: int = TIMEOUT_MILLIS) -> None:
        """Take up a ticket that ended ABORTED or UNKNOWN again, under the same transaction id."""
        if ticket.stage not in (Stage.ABORTED, Stage.UNKNOWN):
            raise BadInput(f"{ticket.txn} is {ticket.stage}: there is nothing to retry")
        ticket.deadline = self._millis() + timeout
        self._open[ticket.txn.sequence] = ticket
        self._send(ticket)

    def write(self, writes: Writes) -> Ticket:
        """Carry out ``writes`` as one transaction and wait for it; return its ticket.

        Raises :class:`WriteFailed` if it ends ABORTED or UNKNOWN.
        """
        ticket = self.submit(writes)
        self._host.wait(lambda: ticket.done)
        if ticket.stage is not Stage.APPLIED:
            raise WriteFailed(ticket)
        return ticket

    def put(self, key: bytes, value: bytes) -> Ticket:
        """Store ``value`` under ``key`` and wait for it; see :meth:`write`."""
        return self.write([(key, value)])

    def delete(self, key: bytes) -> Ticket:
        """Delete ``key`` and wait for it; see :meth:`write`."""
        return self.write([(key, None)])

    def get(
        self,
        key: bytes,
        *,
        at: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> bytes | None:
        """Return what ``key`` holds, ``None`` if nothing: a linearizable read (thesis §6.4).

        The leader answers, or the member ``at``, which asks the leader how far it must have come
        first.  With ``stale`` that member answers at once with what it has: the value may be old,
        and a later read may find an older one yet.

        Raises :class:`ReadFailed` if nobody answers within ``timeout`` milliseconds.
        """
        check_key(key)
        if at is not None and at not in self._members:
            raise BadInput(f"there is no member called {at}: {', '.join(self._members)}")
        if stale and at is None:
            raise BadInput("a stale read needs to be told at which member")
        self._read_number += 1
        read = _OpenRead(
            self._millis() + timeout, number=self._read_number, key=key, at=at, stale=stale
        )
        self._reads[read.number] = read
        self._send(read)
        self._host.wait(lambda: read.answer is not None or read.failed)
        self._reads.pop(read.number, None)
        if read.answer is None:
            raise ReadFailed(f"nobody answered the read of {key!r:.60} within {timeout} ms")
        return read.answer.value

    def meet(self, member: str) -> None:
        """Learn of a member that was added."""
        if member not in self._members:
            self._members += (member,)

    # ── what a world calls ──────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        """Whether anything is open, so that ticks matter."""
        return bool(self._open or self._queue or self._reads)

    def tick(self) -> None:
        """Send again what has had no news for too long; give up what is past its deadline."""
        now = self._millis()
        errands: list[Ticket | _OpenRead] = [*self._open.values(), *self._reads.values()]
        for errand in errands:
            if now >= errand.deadline:
                self._give_up(errand)
            elif now >= errand.retry_at:
                self._lose_faith(errand)
                self._send(errand)
        self._send_queued()

    def receive(self, reply: Reply) -> None:
        """Take a reply from a member.  A reply to something settled is ignored."""
        if isinstance(reply, Redirect):
            self._redirected(reply)
        elif isinstance(reply, ReadAnswer):
            if (read := self._reads.get(reply.number)) is not None:
                read.answer = reply
                self.leader = self.leader if read.at else reply.sender
        elif isinstance(reply, Later):
            self._put_off(reply)
        elif (ticket := self._open.get(reply.txn.sequence)) is not None:
            self._answered(ticket, reply)
        self._send_queued()

    # ── sending ─────────────────────────────────────────────────────────────────────────────────

    def _send_queued(self) -> None:
        """Send what is queued, as far as the window above the oldest open ticket allows."""
        while self._queue:
            ticket = self._queue[0]
            if self._open and ticket.txn.sequence - min(self._open) >= WINDOW:
                return
            self._queue.popleft()
            self._open[ticket.txn.sequence] = ticket
            self._send(ticket)

    def _send(self, errand: Ticket | _OpenRead) -> None:
        """Send a request, for the first time or again, to whoever seems to lead."""
        to = self.leader or self._members[self._turn % len(self._members)]
        if isinstance(errand, _OpenRead) and errand.at:
            to = errand.at
        errand.attempts += 1
        errand.asked = to
        errand.retry_at = self._millis() + errand.pause + self._random.randrange(errand.pause // 2)
        errand.pause = min(errand.pause * 2, MAX_RETRY_MILLIS)
        if isinstance(errand, Ticket):
            errand.live.add(errand.attempts)
            self._move(errand, Stage.SENT, to)
            self._host.send(Submit(self.name, to, errand.transaction, errand.attempts))
        else:
            here = errand.at is not None
            self._host.send(
                Read(self.name, to, errand.number, errand.attempts, errand.key, here, errand.stale)
            )

    def _lose_faith(self, errand: _Errand) -> None:
        """The member that was asked is silent: turn to the next one."""
        if self.leader in (None, errand.asked):
            self._turn_from(errand.asked)

    def _turn_from(self, member: str) -> None:
        """No leader is known: ask the one after ``member`` next."""
        self.leader = None
        self._turn = self._members.index(member) + 1

    def _give_up(self, errand: Ticket | _OpenRead) -> None:
        if isinstance(errand, _OpenRead):
            errand.failed = True
            del self._reads[errand.number]
        elif errand.live:
            self._settle(errand, Stage.UNKNOWN, "no final answer came before the deadline")
        else:
            self._settle(errand, Stage.ABORTED, "every copy was refused or undone")

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────

    def _answered(self, ticket: Ticket, answer: Answer) -> None:
        self.clock.observe(answer.timestamp)
        if answer.stage is Stage.UNDONE:
            ticket.live.difference_update(answer.attempts)
            if not ticket.live:  # else another copy is on its way
                self._move(ticket, Stage.UNDONE, answer.sender)
                self._send(ticket)
            return
        self.leader = answer.sender
        if answer.stage is Stage.UNKNOWN:
            self._settle(ticket, Stage.UNKNOWN, answer.reason)
        elif _RANK[answer.stage] > _RANK[ticket.stage]:
            ticket.index, ticket.timestamp = answer.index, answer.timestamp
            ticket.retry_at = self._millis() + ticket.pause
            if answer.stage is Stage.APPLIED:
                self._move(ticket, Stage.COMMITTED, answer.sender)
                self._settle(ticket, Stage.APPLIED, "", answer.sender)
            else:
                self._move(ticket, answer.stage, answer.sender)

    def _redirected(self, reply: Redirect) -> None:
        errand: Ticket | _OpenRead | None
        if isinstance(reply.request, TxnId):
            errand = self._open.get(reply.request.sequence)
            if errand is not None and not reply.live:
                errand.live.discard(reply.attempt)
            self._report(Redirected(str(reply.request), reply.sender, reply.leader or ""))
        else:
            errand = self._reads.get(reply.request)
        if errand is None or reply.attempt != errand.attempts:
            return  # settled, or sent again since: that sending has its own answer coming
        if isinstance(errand, _OpenRead) and errand.at:
            errand.retry_at = self._millis() + self._random.randrange(20, 60)
            return
        errand.redirects += 1
        if reply.leader not in (None, reply.sender) and errand.redirects <= MAX_REDIRECTS:
            self.leader = reply.leader
            self._send(errand)
        else:  # no leader, or members that name each other: let an election take its time
            errand.redirects = 0
            self._turn_from(errand.asked)
            errand.retry_at = self._millis() + self._random.randrange(20, 60)

    def _put_off(self, reply: Later) -> None:
        """The leader has too much to do: this copy was not taken, send another one later."""
        ticket = self._open.get(reply.request.sequence)
        if ticket is not None:
            ticket.live.discard(reply.attempt)
            if reply.attempt == ticket.attempts:
                ticket.retry_at = self._millis() + self._random.randrange(20, ticket.pause)

    # ── settling ────────────────────────────────────────────────────────────────────────────────

    def _settle(self, ticket: Ticket, stage: Stage, reason: str, member: str = "") -> None:
        """Move a ticket to its last stage."""
        ticket.reason = reason
        del self._open[ticket.txn.sequence]
        self._move(ticket, stage, member)

    def _move(self, ticket: Ticket, stage: Stage, member: str) -> None:
        ticket.stage = stage
        ticket.history.append((self._millis(), stage, member))
        self._report(TicketMoved(str(ticket.txn), stage.value, member, ticket.index))
