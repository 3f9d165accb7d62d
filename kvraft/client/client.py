"""The database client: names and stamps transactions, follows redirects, retries, and tells.

Replication is not a request and a response.  A write moves through stages, and its client may lose
sight of it at any of them, so :meth:`Client.submit` returns a :class:`Ticket`::

    QUEUED ──► SENT ──► APPENDED ──► COMMITTED ──► APPLIED      on the leader's disk; on a
                ▲  ╲        │                                   majority; in the memtable
                │   ╲       ├─► ABORTED    given up, and certainly without effect
                │    ╲──────┴─► UNKNOWN    given up, and the client cannot tell
                └── UNDONE ◄┘              that copy is dead: sent again by itself

:meth:`Client.put` and its like wait for the ticket (client/writing.py).  While it is open the
client sends it again, always under the same transaction id, to the leader it was told of or to the
next member in turn (client/route.py), with a growing, jittered pause.  Reads are asked for in the
same way (client/reading.py).

Before it sends its first transaction a client registers (replica/sessions.py): what is submitted
meanwhile waits QUEUED, without a number that tells it from an earlier client of the same name.
Reads need no registration.

A client has no thread and no socket: its :class:`ClientRuntime`, the world it lives in, carries
what it sends and hands it replies and ticks.

Invariants:

- One id, one transaction: what is sent again is the very same records.  The id is final when the
  transaction is sent first; sequence numbers only rise.  Their stamp is another only after a
  refusal for it, and only if no copy can be anywhere: each was refused or undone.
- A reply is taken only for what was asked for: a number or an id that nobody else ever had.  What
  is still on its way to an earlier client of the same name is ignored.
- A transaction is sent only when all those :data:`~kvraft.transaction.SESSION_WINDOW` or more
  sequence numbers before it are settled, so that the session of every replica still remembers it.
- APPLIED is reported only on a replica's word; ABORTED only if every copy that was sent is known
  to be refused or undone.  (A link may lose what it carries, but must not deliver it twice.)
- A refusal for a clock is not the end of a write: it costs a round trip (replica/skew.py has the
  bound).

Sources: Raft §8, thesis §6.2 (finding the leader), §6.3 (retries).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from kvraft.client.host import ClientRuntime
from kvraft.client.route import Route
from kvraft.client.ticket import TIMEOUT_MILLIS, Question, Registration, Ticket
from kvraft.client.writing import Writing
from kvraft.clock import HybridClock
from kvraft.display import counted
from kvraft.errors import BadInput, KvraftError, TimedOut
from kvraft.events import ClientRedirected, EventSink, TicketMoved, ignore
from kvraft.inputs import instance, whole_number
from kvraft.record import MAX_NAME_BYTES, Timestamp, TxnId, is_name
from kvraft.transaction import (
    SESSION_WINDOW,
    Overloaded,
    Read,
    ReadReply,
    Redirect,
    Register,
    Registered,
    Rejected,
    Reply,
    Scan,
    ScanPage,
    Stage,
    Submit,
    WriteReply,
    Writes,
    build_transaction,
)

RETRY_MILLIS = 150
"""How long a client waits for news of a request before it sends it again, at first."""

MAX_RETRY_MILLIS = 1_200
MAX_REDIRECTS = 3
"""How many redirects in a row a client follows at once, without a pause."""

_RANK = {Stage.SENT: 0, Stage.APPENDED: 1, Stage.COMMITTED: 2, Stage.APPLIED: 3}


class ReadFailed(KvraftError):
    """A read got no answer before its deadline, or asks for a time that cannot be read."""


class Client(Writing):
    """A client of the cluster whose members are ``members``; ``random`` gives the jitter."""

    def __init__(
        self,
        name: str,
        members: Sequence[str],
        *,
        runtime: ClientRuntime,
        random: Random,
        report: EventSink = ignore,
    ) -> None:
        if not is_name(name) or not members:
            what = f"a name of at most {MAX_NAME_BYTES} bytes and a member to talk to"
            raise BadInput(f"a client needs {what}, not {name!r:.60} and {tuple(members)}")
        self.name = name
        self.clock = HybridClock(runtime.wall_millis)
        self.route = Route(tuple(members), random.randrange(len(members)))
        self._host = runtime
        self._millis = runtime.millis
        self._random = random
        self._report = report
        self._incarnation = 0  # not registered
        self._registration: Registration | None = None
        self._sequence = 0
        self._queue: deque[Ticket] = deque()
        self._open: dict[int, Ticket] = {}  # by sequence
        self._reads: dict[int, Question] = {}

    @property
    def leader(self) -> str | None:
        """The member that answered as leader last, or was named as such."""
        return self.route.leader

    @leader.setter
    def leader(self, member: str | None) -> None:
        self.route.leader = member

    @property
    def members(self) -> tuple[str, ...]:
        """The members it knows of."""
        return self.route.members

    # ── what a user calls ───────────────────────────────────────────────────────────────────────

    def register(self, *, timeout: int = TIMEOUT_MILLIS) -> int:
        """Register now, wait for it, and return the incarnation; at once if that was done before.

        A client that is about to write does so by itself.  It is for who wants to see a transaction
        without what comes before the first one.  Raises :class:`~kvraft.errors.TimedOut` if no
        leader did it within ``timeout`` milliseconds.
        """
        until = self._millis() + timeout
        if not self._incarnation:
            self._register(until)
        self._host.wait(lambda: bool(self._incarnation) or self._millis() >= until)
        if not self._incarnation:
            raise TimedOut(f"no leader registered {self.name!r} within {timeout} ms")
        return self._incarnation

    def submit(self, writes: Writes, *, timeout: int = TIMEOUT_MILLIS) -> Ticket:
        """Begin to carry out ``writes`` as one transaction and return its ticket at once.

        The transaction gets its number and its stamp here, and its whole id when it is sent.  After
        ``timeout`` milliseconds the client gives up: the ticket is then ABORTED or UNKNOWN.  Raises
        :class:`~kvraft.errors.BadInput` for writes that
        :func:`~kvraft.transaction.build_transaction` refuses.
        """
        return self.submit_if({}, writes, timeout=timeout)

    def submit_if(
        self, reads: dict[bytes, Timestamp], writes: Writes, *, timeout: int = TIMEOUT_MILLIS
    ) -> Ticket:
        """Begin to carry out ``writes`` if ``reads`` still hold then; see :meth:`submit`.

        ``reads`` gives for each key that was read the timestamp that it carried, 0 if it held
        nothing.
        """
        deadline = self._millis() + whole_number(timeout, "a timeout", minimum=0)
        txn = TxnId(self.name, 0, self._sequence + 1)
        transaction = build_transaction(txn, writes, self.clock.now(), reads)
        self._sequence += 1
        ticket = Ticket(deadline, RETRY_MILLIS, transaction=transaction, runtime=self._host)
        ticket.timestamp = transaction.timestamp
        self._queue.append(ticket)
        self._send_queued()
        return ticket

    def retry(self, ticket: Ticket, *, timeout: int = TIMEOUT_MILLIS) -> None:
        """Take up a ticket that ended ABORTED or UNKNOWN again, under the same transaction id.

        Raises :class:`~kvraft.errors.BadInput` for one that did not, and for that of another
        client, even if it went by the same name.
        """
        instance(ticket, Ticket, "a ticket")
        if ticket.stage not in (Stage.ABORTED, Stage.UNKNOWN):
            raise BadInput(f"{ticket.txn} is {ticket.stage}: there is nothing to retry")
        if ticket.runtime is not self._host:
            raise BadInput(f"{ticket.txn} was submitted by another client than this {self.name!r}")
        ticket.deadline = self._millis() + whole_number(timeout, "a timeout", minimum=0)
        if not ticket.attempts:  # it waited in vain to be sent, and nobody has heard of it yet
            self._sequence += 1  # the window may have left its number behind
            ticket.transaction = ticket.transaction.with_id(TxnId(self.name, 0, self._sequence))
            ticket.stage = Stage.QUEUED
            self._queue.append(ticket)
            self._send_queued()
        else:
            self._open[ticket.txn.sequence] = ticket
            self._send(ticket)

    def __repr__(self) -> str:
        name = f"{self.name}.{self._incarnation}" if self._incarnation else self.name
        leader = f"leader {self.leader}" if self.leader else "no leader known"
        waiting = len(self._open) + len(self._queue)
        return f"<Client {name}, {leader}, {counted(waiting, 'write')} under way>"

    def _ask(
        self, request: Read | Scan, member: str | None, what: str, timeout: int
    ) -> ReadReply | ScanPage:
        deadline = self._millis() + timeout
        request = request._replace(sender=self.name, number=self._host.number())
        question = Question(deadline, RETRY_MILLIS, request=request, member=member)
        self._reads[request.number] = question
        self._send(question)
        self._host.wait(lambda: question.answer is not None or question.failed)
        self._reads.pop(request.number, None)
        if question.answer is None:
            raise ReadFailed(f"nobody answered the {what} within {timeout} ms")
        if refused := question.answer.error:
            raise ReadFailed(f"{question.answer.sender} cannot answer the {what}: {refused}")
        return question.answer

    def add_member(self, member: str) -> None:
        """Learn of a member that was added."""
        if member not in self.members:
            self.route.members += (member,)

    # ── what a world calls ──────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        """Whether anything is open, so that ticks matter."""
        return bool(self._open or self._queue or self._reads or self._registration)

    def tick(self) -> None:
        """Send again what has had no news for too long; give up what is past its deadline."""
        now = self._millis()
        for ticket in [ticket for ticket in self._queue if now >= ticket.deadline]:
            self._queue.remove(ticket)
            self._settle(ticket, Stage.ABORTED, self._why_not_sent())
        if not self._queue and self._registration and now >= self._registration.deadline:
            self._registration = None
        errands: list[Ticket | Question | Registration] = [*self._open.values()]
        errands += self._reads.values()
        errands += [self._registration] if self._registration else []
        for errand in errands:
            if not isinstance(errand, Registration) and now >= errand.deadline:
                self._give_up(errand)
            elif now >= errand.retry_at:
                self.route.suspect(errand.sent_to, now, RETRY_MILLIS)
                self._send(errand)
        self._send_queued()

    def receive(self, reply: Reply) -> None:
        """Take a reply from a member.  A reply to something settled is ignored."""
        if isinstance(reply, Redirect):
            self._redirected(reply)
        elif isinstance(reply, Registered):
            if self._registration is not None and reply.number == self._registration.number:
                self._registration, self._incarnation = None, reply.incarnation
                self.leader = reply.sender
        elif isinstance(reply, ReadReply | ScanPage):
            if (read := self._reads.get(reply.number)) is not None:
                read.answer = reply
                self.route.leader = self.leader if read.member else reply.sender
        elif isinstance(reply, Overloaded):
            self._put_off(reply)
        elif isinstance(reply, Rejected):
            self._refused(reply)
        elif (ticket := self._ticket(reply.txn)) is not None:
            self._answered(ticket, reply)
        self.route.heard(reply.sender, self._millis())
        self._send_queued()

    # ── sending ─────────────────────────────────────────────────────────────────────────────────

    def _send_queued(self) -> None:
        """Send what is queued, as far as the window above the oldest open ticket allows."""
        if self._queue and not self._incarnation:
            self._register()
            return
        while self._queue:
            ticket = self._queue[0]
            sequence = ticket.txn.sequence
            if self._open and sequence - min(self._open) >= SESSION_WINDOW:
                return
            self._queue.popleft()
            self._open[sequence] = ticket
            txn = TxnId(self.name, self._incarnation, sequence)
            ticket.transaction = ticket.transaction.with_id(txn)
            self._send(ticket)

    def _register(self, until: int = 0) -> None:
        """Ask for an incarnation, for as long as something is queued, or until ``until``."""
        registration = self._registration
        if registration is None:
            number = self._host.number()
            registration = Registration(until, RETRY_MILLIS, number=number)
            self._registration = registration
            self._send(registration)
        else:
            registration.deadline = max(until, registration.deadline)

    def _why_not_sent(self) -> str:
        """Return why a queued ticket was never sent."""
        if self._incarnation:
            return f"it waited for {len(self._open)} transactions before it, and was never sent"
        put_off = self._registration.overloaded_reason if self._registration else ""
        why = f": {put_off}" if put_off else ""
        return f"no leader registered {self.name!r}, so it was never sent{why}"

    def _send(self, errand: Ticket | Question | Registration) -> None:
        """Send a request, for the first time or again, to whoever seems to lead."""
        to = self.route.next
        if isinstance(errand, Question) and errand.member:
            to = errand.member
        errand.attempts += 1
        errand.sent_to = to
        errand.retry_at = (
            self._millis() + errand.retry_pause + self._random.randrange(errand.retry_pause // 2)
        )
        errand.retry_pause = min(errand.retry_pause * 2, MAX_RETRY_MILLIS)
        if isinstance(errand, Ticket):
            errand.live_attempts.add(errand.attempts)
            self._move(errand, Stage.SENT, to)
            self._host.send(Submit(self.name, to, errand.transaction, errand.attempts))
        elif isinstance(errand, Registration):
            self._host.send(Register(self.name, to, errand.number, errand.attempts))
        else:
            self._host.send(errand.request._replace(to=to, attempt=errand.attempts))

    def _give_up(self, errand: Ticket | Question) -> None:
        if isinstance(errand, Question):
            errand.failed = True
            del self._reads[errand.request.number]
        elif errand.live_attempts:
            self._settle(errand, Stage.UNKNOWN, "no final answer came before the deadline")
        else:
            cause = errand.overloaded_reason and f": {errand.overloaded_reason}"
            why = f"every copy was refused or undone{cause}"
            self._settle(errand, Stage.ABORTED, why)

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────

    def _answered(self, ticket: Ticket, answer: WriteReply) -> None:
        self.clock.observe(answer.timestamp)
        if answer.stage is Stage.UNDONE:
            ticket.live_attempts.difference_update(answer.attempts)
            if not ticket.live_attempts:  # else another copy is on its way
                self._move(ticket, Stage.UNDONE, answer.sender)
                self._send(ticket)
            return
        self.route.leader = answer.sender
        if answer.stage is Stage.UNKNOWN:
            self._settle(ticket, Stage.UNKNOWN, answer.reason)
        elif answer.stage is Stage.ABORTED:  # decided by the log, for all copies there are
            ticket.index, ticket.timestamp = answer.index, answer.timestamp
            ticket.conflict = answer.conflict
            self._settle(ticket, Stage.ABORTED, answer.reason, answer.sender)
        elif _RANK[answer.stage] > _RANK[ticket.stage]:
            ticket.index, ticket.timestamp = answer.index, answer.timestamp
            ticket.retry_at = self._millis() + ticket.retry_pause
            if answer.stage is Stage.APPLIED:
                self._move(ticket, Stage.COMMITTED, answer.sender)
                self._settle(ticket, Stage.APPLIED, "", answer.sender)
            else:
                self._move(ticket, answer.stage, answer.sender)

    def _redirected(self, reply: Redirect) -> None:
        errand: Ticket | Question | Registration | None
        if isinstance(reply.request, TxnId):
            errand = self._ticket(reply.request)
            if errand is not None and not reply.may_still_apply:
                errand.live_attempts.discard(reply.attempt)
            self._report(ClientRedirected(str(reply.request), reply.sender, reply.leader or ""))
        else:
            errand = self._reads.get(reply.request) or self._registering(reply.request)
        if errand is None or reply.attempt != errand.attempts:
            return  # settled, or sent again since: that sending has its own answer coming
        if isinstance(errand, Question) and errand.member:
            errand.retry_at = self._millis() + self._random.randrange(20, 60)
            return
        errand.redirects += 1
        if reply.leader not in (None, reply.sender) and errand.redirects <= MAX_REDIRECTS:
            self.leader = reply.leader
            self._send(errand)
        else:  # no leader, or members that name each other: let an election take its time
            errand.redirects = 0
            self.route.turn_from(errand.sent_to)
            errand.retry_at = self._millis() + self._random.randrange(20, 60)

    def _put_off(self, reply: Overloaded) -> None:
        """The leader has too much to do: this copy was not taken, send another one later."""
        errand: Ticket | Registration | None
        if isinstance(reply.request, TxnId):
            errand = self._ticket(reply.request)
            if errand is not None:
                errand.live_attempts.discard(reply.attempt)
        else:
            errand = self._registering(reply.request)
        if errand is not None:
            errand.overloaded_reason = reply.reason
            if reply.attempt == errand.attempts:
                errand.retry_at = self._millis() + self._random.randrange(20, errand.retry_pause)

    def _refused(self, reply: Rejected) -> None:
        """The leader will not take this copy, whose stamp is too far ahead or behind.

        That is not the end of the write: if no copy of it can be anywhere, it gets the stamp that
        the leader offers, and is sent again.  The next ones get a better stamp, too: one from
        behind by the leader's time, and one from ahead because what this clock gave so far counts
        no more once the wall clock was set right.
        """
        self.clock = HybridClock(self._host.wall_millis)
        self.clock.observe(reply.timestamp)
        ticket = self._ticket(reply.request)
        if ticket is None:
            return
        ticket.live_attempts.discard(reply.attempt)
        ticket.overloaded_reason = reply.reason
        if reply.attempt != ticket.attempts:
            return  # sent again since: that copy has its own answer coming
        self.leader = reply.sender
        if not reply.timestamp or (
            ticket.live_attempts and reply.timestamp > ticket.transaction.timestamp
        ):
            # Nothing helps, or only a stamp that a copy which may be anywhere does not have.
            stage = Stage.UNKNOWN if ticket.live_attempts else Stage.ABORTED
            self._settle(ticket, stage, reply.reason, reply.sender)
        elif not ticket.live_attempts:
            ticket.transaction = ticket.transaction.with_timestamp(reply.timestamp)
            ticket.timestamp = reply.timestamp
            ticket.redirects += 1
            if ticket.redirects <= MAX_REDIRECTS:
                self._send(ticket)
            else:  # clocks jump about
                ticket.redirects = 0
                ticket.retry_at = self._millis() + self._random.randrange(20, 60)

    # ── settling ────────────────────────────────────────────────────────────────────────────────

    def _ticket(self, txn: TxnId) -> Ticket | None:
        """Return the open ticket of this very transaction."""
        ticket = self._open.get(txn.sequence)
        return ticket if ticket is not None and ticket.txn == txn else None

    def _registering(self, number: int) -> Registration | None:
        """Return the registration that is under way, if that is its number."""
        registration = self._registration
        return registration if registration and registration.number == number else None

    def _settle(self, ticket: Ticket, stage: Stage, reason: str, member: str = "") -> None:
        """Move a ticket to its last stage."""
        ticket.reason = reason
        self._open.pop(ticket.txn.sequence, None)
        self._move(ticket, stage, member)

    def _move(self, ticket: Ticket, stage: Stage, member: str) -> None:
        ticket.stage = stage
        ticket.history.append((self._millis(), stage, member))
        self._report(TicketMoved(str(ticket.txn), stage.value, member, ticket.index))
