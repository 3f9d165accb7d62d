"""The client itself: it registers, sends, sends again, and handles replies.

While a ticket is open the client keeps sending the transaction, always under the same id, to the
leader it knows or to the next member in turn (client/route.py), with growing, jittered pauses.
Reads are sent in the same way.

Before it sends its first transaction a client registers (replica/sessions.py).  What is submitted
before that is done waits QUEUED, since its id is not complete: nothing would distinguish it from
one of an earlier client of the same name.  Reads need no registration.

A client has no thread and no socket: its :class:`~kvraft.client.runtime.ClientRuntime` carries what
it sends, and passes it replies and ticks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from kvraft.client.reading import read_ended
from kvraft.client.route import Route
from kvraft.client.runtime import ClientRuntime
from kvraft.client.ticket import TIMEOUT_MILLIS, PendingRead, PendingRegistration, Ticket
from kvraft.client.writing import ClientWrites
from kvraft.clock import HybridClock
from kvraft.display import counted
from kvraft.errors import BadInput, TimedOut
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
"""How long a client waits for a reply before it sends a request again, the first time."""

MAX_REDIRECTS = 3
"""How many redirects in a row a client follows at once, without a pause."""

_RANK = {Stage.SENT: 0, Stage.APPENDED: 1, Stage.COMMITTED: 2, Stage.APPLIED: 3}


class Client(ClientWrites):
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
        self._runtime = runtime
        self._millis = runtime.millis
        self._random = random
        self._report = report
        self._incarnation = 0  # not registered
        self._registration: PendingRegistration | None = None
        self._sequence = 0
        self._queue: deque[Ticket] = deque()
        self._open: dict[int, Ticket] = {}  # by sequence
        self._reads: dict[int, PendingRead] = {}

    @property
    def leader(self) -> str | None:
        """The member that last answered as leader, or was named as leader."""
        return self.route.leader

    @leader.setter
    def leader(self, member: str | None) -> None:
        self.route.leader = member

    @property
    def members(self) -> tuple[str, ...]:
        """The members that the client knows."""
        return self.route.members

    # ── what a user calls ───────────────────────────────────────────────────────────────────────

    def register(self, *, timeout: int = TIMEOUT_MILLIS) -> int:
        """Register if that is not done yet, wait for it, and return the incarnation.

        A client registers by itself before its first write; this call is for traces that should
        start with a transaction.  Raises :class:`~kvraft.errors.TimedOut` if no leader registered
        it within ``timeout`` milliseconds.
        """
        until = self._millis() + timeout
        if not self._incarnation:
            self._register(until)
        self._runtime.wait(lambda: bool(self._incarnation) or self._millis() >= until)
        if not self._incarnation:
            raise TimedOut(f"no leader registered {self.name!r} within {timeout} ms")
        return self._incarnation

    def submit(self, writes: Writes, *, timeout: int = TIMEOUT_MILLIS) -> Ticket:
        """Submit ``writes`` as one transaction and return its ticket at once.

        The transaction gets its number and its timestamp here, and its whole id when it is sent.
        After ``timeout`` milliseconds the client gives up: the ticket is then ABORTED or UNKNOWN.
        Raises :class:`~kvraft.errors.BadInput` for writes that
        :func:`~kvraft.transaction.build_transaction` rejects.
        """
        return self.submit_if({}, writes, timeout=timeout)

    def submit_if(
        self, reads: dict[bytes, Timestamp], writes: Writes, *, timeout: int = TIMEOUT_MILLIS
    ) -> Ticket:
        """Submit ``writes``, to be applied only if ``reads`` are still current; see :meth:`submit`.

        ``reads`` gives for each key that was read the timestamp of its value, 0 if it had none.
        """
        deadline = self._millis() + whole_number(timeout, "a timeout", minimum=0)
        txn = TxnId(self.name, 0, self._sequence + 1)
        transaction = build_transaction(txn, writes, self.clock.now(), reads)
        self._sequence += 1
        ticket = Ticket(deadline, RETRY_MILLIS, transaction=transaction, runtime=self._runtime)
        ticket.timestamp = transaction.timestamp
        self._queue.append(ticket)
        self._send_queued()
        return ticket

    def retry(self, ticket: Ticket, *, timeout: int = TIMEOUT_MILLIS) -> None:
        """Reopen a ticket that ended ABORTED or UNKNOWN, under the same transaction id.

        Raises :class:`~kvraft.errors.BadInput` for any other ticket, and for a ticket of another
        client, even one of the same name.
        """
        instance(ticket, Ticket, "a ticket")
        if ticket.stage not in (Stage.ABORTED, Stage.UNKNOWN):
            raise BadInput(f"{ticket.txn} is {ticket.stage}: there is nothing to retry")
        if ticket.runtime is not self._runtime:
            raise BadInput(f"{ticket.txn} was submitted by another client than this {self.name!r}")
        ticket.deadline = self._millis() + whole_number(timeout, "a timeout", minimum=0)
        if not ticket.attempts:  # it was never sent, so its number may change
            self._sequence += 1  # its old number may be below the window
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

    def _begin(self, request: Read | Scan, member: str | None, timeout: int) -> PendingRead:
        deadline = self._millis() + timeout
        request = request._replace(sender=self.name, number=self._runtime.number())
        read = PendingRead(deadline, RETRY_MILLIS, request=request, member=member)
        self._reads[request.number] = read
        self._send(read)
        return read

    def _wait(self, read: PendingRead) -> None:
        self._runtime.wait(lambda: read.done)

    def add_member(self, member: str) -> None:
        """Add a member to those that the client asks."""
        if member not in self.members:
            self.route.members += (member,)

    # ── what a world calls ──────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        """Whether a request is pending, so that ticks matter."""
        return bool(self._open or self._queue or self._reads or self._registration)

    def tick(self) -> None:
        """Send again what has had no reply for too long; give up what is past its deadline."""
        now = self._millis()
        for ticket in [ticket for ticket in self._queue if now >= ticket.deadline]:
            self._queue.remove(ticket)
            self._settle(ticket, Stage.ABORTED, self._why_not_sent())
        if not self._queue and self._registration and now >= self._registration.deadline:
            self._registration = None
        requests: list[Ticket | PendingRead | PendingRegistration] = [*self._open.values()]
        requests += self._reads.values()
        requests += [self._registration] if self._registration else []
        for pending in requests:
            if not isinstance(pending, PendingRegistration) and now >= pending.deadline:
                self._give_up(pending)
            elif now >= pending.retry_at:
                self.route.suspect(pending.sent_to, now, RETRY_MILLIS)
                self._send(pending)
        self._send_queued()

    def receive(self, reply: Reply) -> None:
        """Handle a reply from a member.  A reply to a settled request is ignored."""
        if isinstance(reply, Redirect):
            self._redirected(reply)
        elif isinstance(reply, Registered):
            if self._registration is not None and reply.number == self._registration.number:
                self._registration, self._incarnation = None, reply.incarnation
                self.route.led_by(reply.sender)
        elif isinstance(reply, ReadReply | ScanPage):
            if (read := self._reads.pop(reply.number, None)) is not None:
                read.answer = reply
                if not read.member:
                    self.route.led_by(reply.sender)
                if read.reported:
                    self._report(read_ended(read))
        elif isinstance(reply, Overloaded):
            self._overloaded(reply)
        elif isinstance(reply, Rejected):
            self._rejected(reply)
        elif (ticket := self._ticket(reply.txn)) is not None:
            self._answered(ticket, reply)
        self.route.heard(reply.sender, self._millis())
        self._send_queued()

    # ── sending ─────────────────────────────────────────────────────────────────────────────────

    def _send_queued(self) -> None:
        """Send queued transactions, as far as the window above the oldest open one allows."""
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
        """Ask for an incarnation while a transaction is queued, or until ``until``."""
        registration = self._registration
        if registration is None:
            number = self._runtime.number()
            registration = PendingRegistration(until, RETRY_MILLIS, number=number)
            self._registration = registration
            self._send(registration)
        else:
            registration.deadline = max(until, registration.deadline)

    def _why_not_sent(self) -> str:
        """Return why a queued transaction was never sent."""
        if self._incarnation:
            return f"it waited for {len(self._open)} transactions before it, and was never sent"
        reason = self._registration.overloaded_reason if self._registration else ""
        why = f": {reason}" if reason else ""
        return f"no leader registered {self.name!r}, so it was never sent{why}"

    def _send(self, pending: Ticket | PendingRead | PendingRegistration) -> None:
        """Send a request, for the first time or again, to the member that seems to lead."""
        to = self.route.next
        if isinstance(pending, PendingRead) and pending.member:
            to = pending.member
        pending.note_sending(to, self._millis(), self._random)
        if isinstance(pending, Ticket):
            pending.live_attempts.add(pending.attempts)
            self._move(pending, Stage.SENT, to)
            self._runtime.send(Submit(self.name, to, pending.transaction, pending.attempts))
        elif isinstance(pending, PendingRegistration):
            self._runtime.send(Register(self.name, to, pending.number, pending.attempts))
        else:
            self._runtime.send(pending.request._replace(to=to, attempt=pending.attempts))

    def _give_up(self, pending: Ticket | PendingRead) -> None:
        if isinstance(pending, PendingRead):
            pending.failed = True
            del self._reads[pending.request.number]
            if pending.reported:
                self._report(read_ended(pending))
        elif pending.live_attempts:
            self._settle(pending, Stage.UNKNOWN, "no final answer came before the deadline")
        else:
            cause = pending.overloaded_reason and f": {pending.overloaded_reason}"
            why = f"every copy was rejected or discarded{cause}"
            self._settle(pending, Stage.ABORTED, why)

    # ── replies ─────────────────────────────────────────────────────────────────────────────────

    def _answered(self, ticket: Ticket, answer: WriteReply) -> None:
        self.clock.observe(answer.timestamp)
        if answer.stage is Stage.DISCARDED:
            ticket.live_attempts.difference_update(answer.attempts)
            if not ticket.live_attempts:  # else another copy may still be on its way
                self._move(ticket, Stage.DISCARDED, answer.sender)
                self._send(ticket)
            return
        self.route.led_by(answer.sender)
        if answer.stage is Stage.UNKNOWN:
            self._settle(ticket, Stage.UNKNOWN, answer.reason)
        elif answer.stage is Stage.ABORTED:  # decided by the log, for all copies
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
        pending: Ticket | PendingRead | PendingRegistration | None
        if isinstance(reply.request, TxnId):
            pending = self._ticket(reply.request)
            if pending is not None and not reply.may_still_apply:
                pending.live_attempts.discard(reply.attempt)
            self._report(ClientRedirected(str(reply.request), reply.sender, reply.leader or ""))
        else:
            pending = self._reads.get(reply.request) or self._registering(reply.request)
        if pending is None or reply.attempt != pending.attempts:
            return  # settled, or sent again since: that attempt gets its own answer
        if isinstance(pending, PendingRead) and pending.member:
            pending.retry_at = self._millis() + self._random.randrange(20, 60)
            return
        pending.redirects += 1
        if reply.leader not in (None, reply.sender) and pending.redirects <= MAX_REDIRECTS:
            self.leader = reply.leader
            self._send(pending)
        else:  # no leader, or members that name each other: wait for an election
            pending.redirects = 0
            self.route.turn_from(pending.sent_to)
            pending.retry_at = self._millis() + self._random.randrange(20, 60)

    def _overloaded(self, reply: Overloaded) -> None:
        """The leader is overloaded and did not take this copy: send another one later."""
        pending: Ticket | PendingRegistration | None
        if isinstance(reply.request, TxnId):
            pending = self._ticket(reply.request)
            if pending is not None:
                pending.live_attempts.discard(reply.attempt)
        else:
            pending = self._registering(reply.request)
        if pending is not None:
            pending.overloaded_reason = reply.reason
            if reply.attempt == pending.attempts:
                pending.retry_at = self._millis() + self._random.randrange(20, pending.retry_pause)

    def _rejected(self, reply: Rejected) -> None:
        """The leader does not take this copy, since its timestamp is too far ahead or too old.

        That does not end the write.  If no copy of it can be anywhere, it gets the timestamp that
        the leader offers, and is sent again.  Later writes get a better timestamp, too: a slow
        clock has observed the leader's time, and a fast one is started afresh, so that it is right
        once the wall clock is.
        """
        self.clock = HybridClock(self._runtime.wall_millis)
        self.clock.observe(reply.timestamp)
        ticket = self._ticket(reply.request)
        if ticket is None:
            return
        ticket.live_attempts.discard(reply.attempt)
        ticket.overloaded_reason = reply.reason
        if reply.attempt != ticket.attempts:
            return  # sent again since: that attempt gets its own answer
        self.route.led_by(reply.sender)
        if not reply.timestamp or (
            ticket.live_attempts and reply.timestamp > ticket.transaction.timestamp
        ):
            # No timestamp would do, or only one that a copy which may still be live does not have.
            stage = Stage.UNKNOWN if ticket.live_attempts else Stage.ABORTED
            self._settle(ticket, stage, reply.reason, reply.sender)
        elif not ticket.live_attempts:
            ticket.transaction = ticket.transaction.with_timestamp(reply.timestamp)
            ticket.timestamp = reply.timestamp
            ticket.redirects += 1
            if ticket.redirects <= MAX_REDIRECTS:
                self._send(ticket)
            else:  # clocks keep jumping
                ticket.redirects = 0
                ticket.retry_at = self._millis() + self._random.randrange(20, 60)

    # ── settling ────────────────────────────────────────────────────────────────────────────────

    def _ticket(self, txn: TxnId) -> Ticket | None:
        """Return the open ticket of ``txn``, ``None`` if there is none."""
        ticket = self._open.get(txn.sequence)
        return ticket if ticket is not None and ticket.txn == txn else None

    def _registering(self, number: int) -> PendingRegistration | None:
        """Return the pending registration, if ``number`` is its number."""
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
