"""Transactions and reads, compared with the sequential model of the log.

:class:`TransactionChecker` feeds the model (``model.py``) from the members of a world and compares.
It checks these promises:

- **one state machine**: what a member has applied is what the model makes of the log through the
  same entry: every key, every session, the configuration, and the keys at every time that can be
  read.  So no transaction is ever there in part, and nothing is applied before it is committed.  A
  session whose row is not written yet counts as it is in memory (replica/sessions.py), and past
  sessions are not compared, because nobody reads them;
- **exactly once**: no transaction takes effect twice, whatever the sessions say about it;
- **one id, one client**: an incarnation is the index of a committed registration of its client and
  is given to one client only.  So no two tickets share an id, unless a client is made to forget;
- **timestamps rise** from one transaction that takes effect to the next, so that time order is log
  order;
- **true answers**: what members answer, and how a ticket ends, is what the log decided;
- **fresh reads**: a read, or a page of a scan, sees all that was committed when it was requested.

Sources: Raft §5.3, §8; Herlihy and Wing, *Linearizability*, TOPLAS 1990.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from kvraft import clock
from kvraft.check.history.model import (
    Effect,
    Fate,
    Model,
    ModelSession,
    Promise,
    request_bytes,
    unpacked,
    without_sessions,
)
from kvraft.check.moved import News
from kvraft.check.properties import Property, Violation
from kvraft.client import Ticket
from kvraft.display import counted
from kvraft.raft import Message
from kvraft.record import Entry, Row, Timestamp
from kvraft.replica import Replica
from kvraft.sim import World
from kvraft.transaction import Read, ReadReply, Registered, Scan, ScanPage, Stage, WriteReply


class _Asked(NamedTuple):
    """A read or scan in flight, and the least index that its answer must cover."""

    request: Read | Scan
    least: int


_FROM_MEMBERS = frozenset(get_args(Message))


class TransactionChecker:
    """Checks one world; all of its methods raise :class:`Violation`.

    Create it when the world starts: it must see each entry when it is committed.
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
        self._seen_through = 0  # the last message checked
        self._news = News(world)

    def check(self) -> None:
        """Take the entries committed in this step; check applied marks and answers.

        Its cost does not grow with the log or the map.  It does not meet the faults of simulated
        disks, which are meant for the members.
        """
        self._news.gather()
        self._check(self._world.members, self._news)

    def check_moved(self, news: News) -> None:
        """Do the same after each step of the world, for the members that did anything in it."""
        self._check(news.members, news)

    def check_action(self, news: News) -> None:
        """Take note of what was done between two steps, before the next one hides it.

        That step may deliver a read that was sent just now, and truncate what a member that was
        woken has just committed.
        """
        for _, message in news.sent():
            if isinstance(message, Read | Scan):
                self._note_request(message)
        with self._world.undisturbed():
            for name, replica in self._world.replicas.items():
                self._take_committed(name, replica)

    def _check(self, names: Sequence[str], news: News) -> None:
        seats = self._world.seats
        running = [(name, r) for name in names if (r := seats[name].replica) is not None]
        with self._world.undisturbed(names):
            self._check_running(running)
        self._check_messages(news)

    def _check_running(self, running: Sequence[tuple[str, Replica]]) -> None:
        for name, replica in running:
            self._take_committed(name, replica)
        for name, replica in running:
            applied = replica.tree.applied.index
            committed = replica.raft.commit_index
            due = self.model.mark(committed)
            # In a drain, and while its disk is full, it may know more commits than it has applied.
            late = replica.unsaved is not None or replica.waits_for_space
            if applied > due or (applied < due and not late):
                what = f"{name} has applied entries through {applied}, but the log, committed "
                what += f"through {committed}, requires {due}"
                raise Violation(Promise.ONE_STATE_MACHINE, (name,), what)

    def _take_committed(self, name: str, replica: Replica) -> None:
        """Compare the newly committed entries of a member with the model's, or add them to it."""
        model, log, committed = self.model, replica.raft.log, replica.raft.commit_index
        if committed == self._compared.get(name):
            return  # as most often
        first = max(min(self._compared.get(name, 0), committed) + 1, log.first_index)
        self._compared[name] = committed
        if committed > model.last and first > model.last + 1:
            what = f"{name} commits entry {committed}, but no log holds entry {model.last + 1}"
            raise Violation(Property.COMMITTED_KEPT, (name,), what)
        for entry in log.slice(first, committed) if first <= committed else ():
            if entry.index > model.last:
                model.take(entry)
            elif entry != model.entries[entry.index - 1]:
                known = model.entries[entry.index - 1]
                what = f"{name} commits {entry}, but another member committed {known}"
                raise Violation(Property.STATE_MACHINE_SAFETY, (name,), what)

    # ── requests and answers in flight ──────────────────────────────────────────────────────────

    def _check_messages(self, news: News) -> None:
        for id, message in news.messages:
            if id <= self._seen_through:
                continue
            self._seen_through = id
            if type(message) in _FROM_MEMBERS:
                continue  # most are between members
            if isinstance(message, Read | Scan):
                self._note_request(message)
            elif isinstance(message, ScanPage):
                self._check_page(message)
            elif isinstance(message, ReadReply):
                self._check_read(message)
            elif isinstance(message, WriteReply):
                self._check_answer(message)
            elif isinstance(message, Registered):
                self._check_registered(message)

    def _note_request(self, request: Read | Scan) -> None:
        # The first attempt may have been delivered before it was seen, so when a later one was
        # first requested is not known.
        unknown = request.stale or request.attempt > 1
        least = 0 if unknown else self.model.mark(self.model.last)
        self._asked.setdefault((request.sender, request.number), _Asked(request, least))

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
            what = f"{who} is {answer.value!r} with timestamp {answer.timestamp}, as of entry "
            what += f"{answer.index}, where the key holds {value!r} with {stamp}"
            raise Violation(Promise.TRUE_ANSWERS, (answer.sender,), what)

    @staticmethod
    def _check_fresh(answer: ReadReply | ScanPage, least: int, who: str) -> None:
        if answer.index < least:
            what = f"{who} is as of entry {answer.index}, but entry {least} was committed before "
            what += "the request"
            raise Violation(Property.FRESH_READS, (answer.sender,), what)

    def _check_page(self, page: ScanPage) -> None:
        """Check that a page has all rows up to its end, as of its index and its timestamp."""
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
                what = f"{who} is {page.pairs!r:.200}, continued at {page.next!r}, as of entry "
                what += f"{page.index} and time {clock.show(page.timestamp)}, but should be "
                what += f"{should!r:.200}"
                raise Violation(Promise.TRUE_ANSWERS, (page.sender,), what)
        if len(page.pairs) > scan.limit or (page.next is not None and not page.pairs):
            what = f"{who} has {counted(len(page.pairs), 'key')} of at most {scan.limit}, "
            what += f"continued at {page.next!r}"
            raise Violation(Promise.TRUE_ANSWERS, (page.sender,), what)

    def _check_registered(self, registered: Registered) -> None:
        """Check that the incarnation is the index of this client's registration, given once."""
        client = self.model.registered.get(registered.incarnation)
        given = registered.incarnation in self._incarnations
        self._incarnations.add(registered.incarnation)
        if client != registered.to or given:
            what = f"{registered.sender} gives {registered.to} the incarnation "
            what += f"{registered.incarnation}, "
            before = "was given before" if given else f"registered {client or 'no client'}"
            what += f"which {before}"
            raise Violation(Promise.ONE_ID_ONE_CLIENT, (registered.sender,), what)

    def _check_answer(self, answer: WriteReply) -> None:
        """Check a final answer: it must be what the log decided."""
        effect = self.model.outcome(answer.txn)
        if answer.stage is Stage.APPLIED:
            says = Fate(Effect.APPLIED, answer.index, answer.timestamp)
        elif answer.stage is Stage.ABORTED and answer.conflict is not None:
            conflict = effect.conflict if effect else 0  # check_tickets compares its key
            says = Fate(Effect.CONFLICT, answer.index, answer.timestamp, conflict)
        elif answer.stage is Stage.ABORTED and effect is None:
            says = Fate(Effect.TAKEN, answer.index, answer.timestamp)  # by another one
        else:
            return
        if effect != says:
            what = f"{answer.sender} answers {says} for {answer.txn}, but the log decided {effect}"
            raise Violation(Promise.TRUE_ANSWERS, (answer.sender,), what)

    # ── everything that members hold ────────────────────────────────────────────────────────────

    def check_members(self, names: Iterable[str] | None = None, *, moments: int = 2) -> None:
        """Compare everything that running members hold, now and at ``moments`` past times.

        They are those with these ``names``, by default all.
        """
        replicas = self._world.replicas
        with self._world.undisturbed():
            for name in replicas if names is None else names:
                self._check_member(name, replicas[name], moments)

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
            late = {row[0]: row for row in replica.machine.sessions.unwritten()}
            for key, _, value in late.values():
                held.pop(key, None)
                held.update(unpacked([] if value is None else [(key, value)]))
            self._compare_stamps(name, replica, index, should, late)
        else:
            held, should = without_sessions(held), without_sessions(should)
        if held == should:
            return
        when = "" if at is None else f" at {clock.show(at)}"
        key = min(k for k in held.keys() | should.keys() if held.get(k) != should.get(k))
        what = f"{name} has applied entries through {index} and holds{when} {key!r} = "
        what += f"{held.get(key)!r:.200}, but the log makes it {should.get(key)!r:.200}"
        raise Violation(Promise.ONE_STATE_MACHINE, (name,), what)

    def _compare_stamps(
        self,
        name: str,
        replica: Replica,
        index: int,
        should: dict[bytes, bytes | ModelSession],
        late: dict[bytes, Row],
    ) -> None:
        """Compare timestamps, too, because they are what a transaction expects of a key."""
        for key in sorted(should):
            found, due = replica.tree.version(key), self.model.version(key, index)
            held = late[key][1] if key in late else found and found.timestamp
            if held is not None and due is not None and held != due.timestamp:
                what = f"{name} holds {key!r} with timestamp {held}, "
                what += f"but it should be {due.timestamp}"
                raise Violation(Promise.ONE_STATE_MACHINE, (name,), what)

    # ── at the end ──────────────────────────────────────────────────────────────────────────────

    def check_tickets(self, tickets: Iterable[Ticket]) -> None:
        """Compare how the tickets of clients ended with what the log decided."""
        for ticket in tickets:
            effect, says = self.model.outcome(ticket.txn), ticket.stage
            claim = Fate(Effect.APPLIED, ticket.index, ticket.timestamp)
            if says is Stage.APPLIED:
                right = effect == claim and self._wrote(ticket)
            elif says is Stage.ABORTED and ticket.conflict is not None:
                right = effect is not None and effect.effect is Effect.CONFLICT
                right = right and self._key_of(ticket, effect) == ticket.conflict
            elif says is Stage.ABORTED:
                right = effect is None or not self._is(ticket, effect)
            else:  # it may have taken effect or not
                right = says is Stage.UNKNOWN
            if not right:
                what = f"{ticket.txn} ended {says} ({ticket.reason or ticket.index}), but the log "
                what += f"decided {effect}"
                raise Violation(Promise.TRUE_ANSWERS, (), what)

    def _is(self, ticket: Ticket, fate: Fate) -> bool:
        """Return whether ``fate`` is of this ticket's transaction, not of another with its id."""
        count = len(ticket.transaction.records)
        entries = self.model.entries[max(0, fate.index - count) : fate.index]
        asked = [Entry(0, 0, record) for record in ticket.transaction.records]
        alike = {entry.record.txn for entry in entries} == {ticket.txn}
        return alike and request_bytes(entries) == request_bytes(asked)

    def _wrote(self, ticket: Ticket) -> bool:
        """Return whether the log holds, through the index of the ticket, what the client wrote."""
        records = ticket.transaction.with_timestamp(ticket.timestamp).records
        stored = self.model.entries[ticket.index - len(records) : ticket.index]
        return tuple(entry.record for entry in stored) == records

    @staticmethod
    def _key_of(ticket: Ticket, fate: Fate | None) -> bytes | None:
        return ticket.transaction.records[fate.conflict - 1].key if fate else None
