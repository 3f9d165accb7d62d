"""A judge of members: what they hold and answer must be what the log makes of it.

:class:`TransactionChecker` feeds the sequential model (``model.py``) from the members of a world
and compares.  What it holds them to has names:

- **one state machine**: what a member has applied is what the model makes of the log through the
  same entry: every key, every session, the configuration, at every time that can be read; so no
  transaction is there in part, ever, and nothing is applied before it is committed;
- **exactly once**: no transaction takes effect twice, whatever the sessions say about it;
- **one id, one client**: an incarnation is the index of a committed registration of that client and
  is given to one client only; so no two tickets have one id, unless a client is made to forget;
- **timestamps rise** from one that takes effect to the next, so that time order is log order;
- **true answers**: what members answer, and what a ticket says in the end, is what happened;
- **fresh reads**: a read, or a page of a scan, sees all that was committed when it was asked for.

Sources: Raft §5.3, §8; Herlihy and Wing, *Linearizability*, TOPLAS 1990.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kvraft import clock
from kvraft.check.history.model import (
    Effect,
    Fate,
    Model,
    ModelSession,
    Promise,
    asked_for,
    unpacked,
)
from kvraft.check.properties import Property, Violation
from kvraft.client import Ticket
from kvraft.display import counted
from kvraft.record import Entry, Timestamp
from kvraft.replica import Replica
from kvraft.sim import World
from kvraft.transaction import Read, ReadReply, Registered, Scan, ScanPage, Stage, WriteReply


class _Asked(NamedTuple):
    """A read or scan on its way, and what was applied at least when it was asked."""

    request: Read | Scan
    least: int


_Heard = Read | ReadReply | Scan | ScanPage | WriteReply | Registered
"""What is looked at of what clients and members say to each other."""


class TransactionChecker:
    """Watches one world; all of its methods raise :class:`Violation`.

    It must be there from the beginning, for it takes each entry when it is committed.
    """

    def __init__(self, world: World) -> None:
        options = next(iter(world.replicas.values())).options
        self.model = Model(clock.pack(options.session_millis))
        self.reads = 0
        """How many answers to reads were compared."""
        self.pages = 0
        """How many pages of scans were compared."""
        self._world = world
        self._compared: dict[str, int] = {}
        self._asked: dict[tuple[str, int], _Asked] = {}
        self._incarnations: set[int] = set()
        self._heard = 0  # the last message looked at

    def check(self) -> None:
        """Take what was committed in this step, and look at marks and answers.

        To be called after each step: what it costs does not grow with log or map.  The faults of
        simulated disks are not met: they are meant for the members.
        """
        with self._world.undisturbed():
            self._check()

    def _check(self) -> None:
        for name, replica in self._world.replicas.items():
            self._take_committed(name, replica)
        for name, replica in self._world.replicas.items():
            applied = replica.tree.applied.index
            committed = replica.raft.commit_index
            due = self.model.mark(committed)
            # A member whose disk is full knows more to be committed than it could save and apply.
            if applied > due or (applied < due and not replica.waits_for_space):
                what = f"{name} has applied all through {applied}, where the log, committed "
                what += f"through {committed}, asks for {due}"
                raise Violation(Promise.ONE_STATE_MACHINE, (name,), what)
        self._hear()

    def _take_committed(self, name: str, replica: Replica) -> None:
        """Compare what a member newly takes for committed with the model's log, or lengthen it."""
        model, log, committed = self.model, replica.raft.log, replica.raft.commit_index
        first = max(min(self._compared.get(name, 0), committed) + 1, log.first_index)
        self._compared[name] = committed
        if committed > model.last and first > model.last + 1:
            what = f"{name} takes {committed} for committed, and no log holds {model.last + 1}"
            raise Violation(Property.COMMITTED_KEPT, (name,), what)
        for entry in log.slice(first, committed) if first <= committed else ():
            if entry.index > model.last:
                model.take(entry)
            elif entry != model.entries[entry.index - 1]:
                known = model.entries[entry.index - 1]
                what = f"{name} takes {entry} for committed, another member {known}"
                raise Violation(Property.STATE_MACHINE_SAFETY, (name,), what)

    # ── answers on their way ────────────────────────────────────────────────────────────────────

    def _hear(self) -> None:
        for id, message in self._new_messages():
            self._heard = max(self._heard, id)
            if isinstance(message, Read | Scan):
                # One that was delivered at once is not seen, and when it was first asked not known.
                unknown = message.stale or message.attempt > 1
                least = 0 if unknown else self.model.mark(self.model.last)
                asked = _Asked(message, least)
                self._asked.setdefault((message.sender, message.number), asked)
            elif isinstance(message, ScanPage):
                self._check_page(message)
            elif isinstance(message, ReadReply):
                self._check_read(message)
            elif isinstance(message, WriteReply):
                self._check_answer(message)
            elif isinstance(message, Registered):
                self._check_registered(message)

    def _new_messages(self) -> Iterator[tuple[int, _Heard]]:
        """Yield what was sent to or by clients since the last look, if it was not lost at once."""
        fresh: list[tuple[int, _Heard]] = []
        for id, envelope in reversed(self._world.network.in_flight.items()):
            if id <= self._heard:
                break
            message = envelope.message
            if isinstance(message, _Heard):
                fresh.append((id, message))
        yield from reversed(fresh)

    def _check_read(self, answer: ReadReply) -> None:
        asked = self._asked.get((answer.to, answer.number))
        if asked is None or answer.error or not isinstance(read := asked.request, Read):
            return
        self.reads += 1
        who = f"the answer of {answer.sender} to the read of {read.key!r} by {answer.to}"
        self._check_fresh(answer, asked.least, who)
        found = self.model.version(read.key, answer.index, read.at)
        stamp = found.timestamp if found and found.value is not None else 0
        value = found.value if found else None
        if (answer.value, answer.timestamp) != (value, stamp):
            what = f"{who} is {answer.value!r} of {answer.timestamp}, as of entry {answer.index}, "
            what += f"where it held {value!r} of {stamp}"
            raise Violation(Promise.TRUE_ANSWERS, (answer.sender,), what)

    @staticmethod
    def _check_fresh(answer: ReadReply | ScanPage, least: int, who: str) -> None:
        if answer.index < least:
            what = f"{who} is as of entry {answer.index}: {least} was there when it was asked"
            raise Violation(Property.FRESH_READS, (answer.sender,), what)

    def _check_page(self, page: ScanPage) -> None:
        """Check a page: all that was there as far as its end, at its index and at its time."""
        asked = self._asked.get((page.to, page.number))
        if asked is None or page.error or not isinstance(scan := asked.request, Scan):
            return
        self.pages += 1
        who = f"the page of {page.sender} for the scan from {scan.start!r} by {page.to}"
        self._check_fresh(page, asked.least, who)
        start, stop = scan.start, scan.stop
        if page.next is not None:
            start, stop = (page.next, stop) if scan.reverse else (start, page.next)
        for at in (scan.at, page.timestamp):
            should = self.model.span(start, stop, page.index, at)
            if page.pairs != tuple(reversed(should) if scan.reverse else should):
                what = f"{who} is {page.pairs!r:.200} and then {page.next!r}, as of entry "
                what += f"{page.index} and time {clock.show(page.timestamp)}, where it is "
                what += f"{should!r:.200}"
                raise Violation(Promise.TRUE_ANSWERS, (page.sender,), what)
        if len(page.pairs) > scan.limit or (page.next is not None and not page.pairs):
            what = f"{who} has {counted(len(page.pairs), 'key')} of at most {scan.limit}, and then "
            what += f"{page.next!r}"
            raise Violation(Promise.TRUE_ANSWERS, (page.sender,), what)

    def _check_registered(self, registered: Registered) -> None:
        """Check that this index is that of a registration of this client, and told once."""
        client = self.model.registered.get(registered.incarnation)
        told = registered.incarnation in self._incarnations
        self._incarnations.add(registered.incarnation)
        if client != registered.to or told:
            what = f"{registered.sender} gives {registered.to} the incarnation "
            what += f"{registered.incarnation}, "
            what += "as somebody before" if told else f"which registered {client or 'nobody'}"
            raise Violation(Promise.ONE_ID_ONE_CLIENT, (registered.sender,), what)

    def _check_answer(self, answer: WriteReply) -> None:
        """Check a last answer: it must be what the log decided."""
        effect = self.model.outcome(answer.txn)
        if answer.stage is Stage.APPLIED:
            says = Fate(Effect.APPLIED, answer.index, answer.timestamp)
        elif answer.stage is Stage.ABORTED and answer.conflict is not None:
            conflict = effect.conflict if effect else 0  # its key is looked at with the ticket
            says = Fate(Effect.CONFLICT, answer.index, answer.timestamp, conflict)
        elif answer.stage is Stage.ABORTED and effect is None:
            says = Fate(Effect.TAKEN, answer.index, answer.timestamp)  # by whom?
        else:
            return
        if effect != says:
            what = f"{answer.sender} says of {answer.txn}: {says}; but the log says: {effect}"
            raise Violation(Promise.TRUE_ANSWERS, (answer.sender,), what)

    # ── whole members ───────────────────────────────────────────────────────────────────────────

    def check_members(self, moments: int = 2) -> None:
        """Compare all that every running member holds, now and at ``moments`` times gone by."""
        with self._world.undisturbed():
            for name, replica in self._world.replicas.items():
                self._check_member(name, replica, moments)

    def _check_member(self, name: str, replica: Replica, moments: int) -> None:
        index = replica.tree.applied.index
        self._compare(name, replica, index, None)
        horizon, newest = replica.tree.horizon, replica.tree.timestamp
        readable = [s for s in self.model.stamps(index) if horizon <= s < newest]
        step = max(1, len(readable) // moments) if moments else len(readable) + 1
        for at in readable[::step]:
            self._compare(name, replica, index, at)

    def _compare(self, name: str, replica: Replica, index: int, at: Timestamp | None) -> None:
        held = dict(unpacked(replica.tree.scan(at=at)))
        should = self.model.rows(index, at)
        if at is None:
            self._compare_stamps(name, replica, index, should)
        if held == should:
            return
        when = "" if at is None else f" at {clock.show(at)}"
        key = min(k for k in held.keys() | should.keys() if held.get(k) != should.get(k))
        what = f"{name} has applied all through {index} and holds{when} {key!r} = "
        what += f"{held.get(key)!r:.200}, where the log makes it {should.get(key)!r:.200}"
        raise Violation(Promise.ONE_STATE_MACHINE, (name,), what)

    def _compare_stamps(
        self, name: str, replica: Replica, index: int, should: dict[bytes, bytes | ModelSession]
    ) -> None:
        """Compare timestamps, too: what a transaction expects is a timestamp."""
        for key in sorted(should):
            held, due = replica.tree.version(key), self.model.version(key, index)
            if held is not None and due is not None and held.timestamp != due.timestamp:
                what = f"at {name} {key!r} carries {held.timestamp}, and not {due.timestamp}"
                raise Violation(Promise.ONE_STATE_MACHINE, (name,), what)

    # ── in the end ──────────────────────────────────────────────────────────────────────────────

    def check_tickets(self, tickets: Iterable[Ticket]) -> None:
        """Compare what clients were told in the end with what happened."""
        for ticket in tickets:
            effect, says = self.model.outcome(ticket.txn), ticket.stage
            told = Fate(Effect.APPLIED, ticket.index, ticket.timestamp)
            if says is Stage.APPLIED:
                right = effect == told and self._wrote(ticket)
            elif says is Stage.ABORTED and ticket.conflict is not None:
                right = effect is not None and effect.effect is Effect.CONFLICT
                right = right and self._key_of(ticket, effect) == ticket.conflict
            elif says is Stage.ABORTED:
                right = effect is None or not self._is(ticket, effect)
            else:  # it may have happened or not, but it is over
                right = says is Stage.UNKNOWN
            if not right:
                what = f"{ticket.txn} ended {says} ({ticket.reason or ticket.index}): {effect}"
                raise Violation(Promise.TRUE_ANSWERS, (), what)

    def _is(self, ticket: Ticket, fate: Fate) -> bool:
        """Whether what ended so is what the client asked for, and not another under its id."""
        count = len(ticket.transaction.records)
        entries = self.model.entries[max(0, fate.index - count) : fate.index]
        asked = [Entry(0, 0, record) for record in ticket.transaction.records]
        alike = {entry.record.txn for entry in entries} == {ticket.txn}
        return alike and asked_for(entries) == asked_for(asked)

    def _wrote(self, ticket: Ticket) -> bool:
        """Whether the log holds, right before the index of the ticket, what the client wrote."""
        records = ticket.transaction.with_timestamp(ticket.timestamp).records
        stored = self.model.entries[ticket.index - len(records) : ticket.index]
        return tuple(entry.record for entry in stored) == records

    @staticmethod
    def _key_of(ticket: Ticket, fate: Fate | None) -> bytes | None:
        return ticket.transaction.records[fate.conflict - 1].key if fate else None
