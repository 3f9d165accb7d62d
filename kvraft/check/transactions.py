"""What every member should hold: transactions carried out one by one, and a judge of members.

:class:`Model` is a second state machine, written apart from ``machine.py`` and in the simplest way:
it takes the committed entries in log order and never forgets anything.  Of each key it keeps all
versions, so it knows the whole map after every index and at every timestamp::

    key      versions: (index, timestamp, value)            rows(index=17, at=None) ─► b"2"
    b"a"     (4, t4, b"1")  (17, t17, b"2")  (30, t30, ∅)   rows(index=30, at=t17)  ─► b"2"

:class:`TransactionChecker` feeds it from the members of a world and compares.  What it holds them
to has names:

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

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from kvraft import clock
from kvraft.check.properties import Property, Violation
from kvraft.display import counted
from kvraft.record import RESERVED, Entry, Kind, Timestamp, TxnId
from kvraft.replica import Replica
from kvraft.sim.world import World
from kvraft.ticket import Ticket
from kvraft.transaction import Answer, Page, Read, ReadAnswer, Registered, Scan, Stage

__all__ = ["Effect", "Fate", "Model", "Promise", "Remembered", "TransactionChecker"]

_REMEMBERED = 32  # outcomes that a session keeps, and how far back it can tell
_CONFIGURATION = RESERVED + b"configuration"
_SESSION = RESERVED + b"session/"
_SESSION_HEAD = struct.Struct("<Q")
_SESSION_ROW = struct.Struct("<QQQQQ")


class Promise(StrEnum):
    """What the database promises about transactions, by name."""

    ONE_STATE_MACHINE = "one state machine"
    EXACTLY_ONCE = "exactly once"
    ONE_ID_ONE_CLIENT = "one id, one client"
    TIMESTAMPS_RISE = "timestamps rise"
    TRUE_ANSWERS = "true answers"


# ── the model ───────────────────────────────────────────────────────────────────────────────────


class Remembered(NamedTuple):
    """A session: its newest sequence number, and how transactions ended.

    That is sequence, index, stamp, conflict, and a digest of what was asked for.
    """

    newest: int
    outcomes: tuple[tuple[int, int, Timestamp, int, int], ...]


Value = bytes | Remembered | None
"""What a key holds; ``None`` is nothing."""


class _Version(NamedTuple):
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    timestamp: Timestamp
    value: Value


class Effect(StrEnum):
    """What came of one copy of a transaction in the log."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    REPEATED = "repeated"
    TAKEN = "refused, for its id is taken"
    UNDONE = "undone"


class Fate(NamedTuple):
    """What came of the copy that ends at ``index``; ``conflict`` numbers the failed expectation."""

    effect: Effect
    index: int  # type: ignore[assignment]
    timestamp: Timestamp
    conflict: int = 0


def _asked(entries: Iterable[Entry]) -> bytes:
    """Return what a client asked for, whatever its stamp: the bytes that a digest is made of."""
    asked = b""
    for entry in entries:
        kind, key, value = entry.record[:3]
        asked += bytes((kind,))
        asked += len(key).to_bytes(4, "little") + len(value).to_bytes(4, "little") + key + value
    return asked


class Model:
    """The map that a log leads to; sessions live for ``lifetime``, in units of timestamps."""

    def __init__(self, lifetime: Timestamp) -> None:
        self.entries: list[Entry] = []
        """All entries taken; the one with index 1 comes first."""
        self.fates: dict[TxnId, list[Fate]] = {}
        """What came of each copy of each transaction, in log order."""
        self.registered: dict[int, str] = {}
        """Who was registered at which index."""
        self._lifetime = lifetime
        self._versions: dict[bytes, list[_Version]] = {}
        self._marks = [0]  # by index: through which entry all is applied then
        self._open: list[Entry] = []
        self._stamps: list[tuple[int, Timestamp]] = []  # of what took effect, by index

    @property
    def last(self) -> int:
        """The index of the last entry taken."""
        return len(self.entries)

    def mark(self, committed: int) -> int:
        """Return through which entry all is applied once the log is committed through there."""
        return self._marks[committed]

    def take(self, entry: Entry) -> None:
        """Take the next committed entry; :class:`Violation` if it cannot be the next."""
        if entry.index != self.last + 1:
            raise ValueError(f"entry {entry.index} does not follow entry {self.last}")
        self.entries.append(entry)
        record, applied = entry.record, self._marks[-1]
        if self._open and self._open[0].record.txn != record.txn:
            self._note(Effect.UNDONE, self._open)
            self._open = []
        if record.kind in (Kind.NOOP, Kind.CONFIGURATION, Kind.REGISTER):
            applied = entry.index
            if record.kind is Kind.REGISTER:
                self.registered[entry.index] = record.key.decode()
            if record.kind is Kind.CONFIGURATION:
                self._put(_CONFIGURATION, _Version(entry.index, entry.index, record.value))
        else:
            self._check_stamp(entry)
            self._open.append(entry)
            if record.commit:
                self._carry_out(self._open)
                self._open, applied = [], entry.index
        self._marks.append(applied)

    def _check_stamp(self, entry: Entry) -> None:
        """Check a stamp against what took effect before; what did not may be forgotten with it."""
        stamp = entry.record.timestamp
        if self._open and stamp != self._open[0].record.timestamp:
            what = f"entry {entry.index} has another stamp than the rest of {entry.record.txn}"
            raise Violation(Promise.TIMESTAMPS_RISE, (), what)
        index, before = self._stamps[-1] if self._stamps else (0, 0)
        if stamp <= before:
            what = f"entry {entry.index}, of {entry.record.txn}, is stamped {clock.show(stamp)}, "
            what += f"and what took effect at {index}, {clock.show(before)}"
            raise Violation(Promise.TIMESTAMPS_RISE, (), what)

    def _carry_out(self, entries: list[Entry]) -> None:
        last, txn = entries[-1], entries[-1].record.txn
        now = last.record.timestamp
        session = self._session(txn, now)
        digest = int.from_bytes(blake2b(_asked(entries), digest_size=8).digest(), "little")
        told = [outcome[-1] for outcome in session.outcomes if outcome[0] == txn.sequence]
        if told and told != [digest]:
            self._note(Effect.TAKEN, entries)
            return
        if told or txn.sequence <= session.newest - _REMEMBERED:
            self._note(Effect.REPEATED, entries)
            return
        conflict = self._conflict(entries)
        self._note(Effect.CONFLICT if conflict else Effect.APPLIED, entries, conflict)
        for entry in () if conflict else entries:
            record = entry.record
            if record.kind in (Kind.PUT, Kind.DELETE):
                value = record.value if record.kind is Kind.PUT else None
                self._put(record.key, _Version(last.index, now, value))
        self._expire(last.index, now)
        newest = max(session.newest, txn.sequence)
        kept = [each for each in session.outcomes if each[0] > newest - _REMEMBERED]
        kept.append((txn.sequence, last.index, now, conflict, digest))
        after = Remembered(newest, tuple(sorted(kept)))
        self._put(_session_key(txn), _Version(last.index, now, after))
        self._stamps.append((last.index, now))

    def _conflict(self, entries: list[Entry]) -> int:
        for number, entry in enumerate(entries, 1):
            record = entry.record
            if record.kind is Kind.EXPECT:
                found = self.version(record.key, self.last)
                carried = found.timestamp if found and found.value is not None else 0
                if record.value != struct.pack("<Q", carried):
                    return number
        return 0

    def _session(self, txn: TxnId, now: Timestamp) -> Remembered:
        """Return the session of ``txn``, an empty one if it has none that lives ``now``."""
        found = self._versions.get(_session_key(txn))
        if found and isinstance(found[-1].value, Remembered):
            version = found[-1]
            if now - version.timestamp <= self._lifetime:
                return found[-1].value
        return Remembered(0, ())

    def _expire(self, index: int, now: Timestamp) -> None:
        for key, versions in self._versions.items():
            newest = versions[-1]
            alive = isinstance(newest.value, Remembered)
            if alive and now - newest.timestamp > self._lifetime:
                self._put(key, _Version(index, now, None))

    def _note(self, effect: Effect, entries: list[Entry], conflict: int = 0) -> None:
        last, txn = entries[-1], entries[0].record.txn
        fates = self.fates.setdefault(txn, [])
        took = (Effect.APPLIED, Effect.CONFLICT)
        if effect in took and any(fate.effect in took for fate in fates):
            before = next(fate for fate in fates if fate.effect in took)
            what = f"{txn} is {effect} at {last.index}, and was {before.effect} at {before.index}"
            raise Violation(Promise.EXACTLY_ONCE, (), what)
        fates.append(Fate(effect, last.index, last.record.timestamp, conflict))

    def _put(self, key: bytes, version: _Version) -> None:
        self._versions.setdefault(key, []).append(version)

    # ── asking it ───────────────────────────────────────────────────────────────────────────────

    def version(self, key: bytes, index: int, at: Timestamp | None = None) -> _Version | None:
        """Return what ``key`` holds after entry ``index``, as of the time ``at`` if given."""
        versions = self._versions.get(key, [])
        found = bisect_right(versions, index, key=lambda version: version.index)
        while found and at is not None and versions[found - 1].timestamp > at:
            found -= 1
        return versions[found - 1] if found else None

    def rows(self, index: int, at: Timestamp | None = None) -> dict[bytes, bytes | Remembered]:
        """Return the whole map after entry ``index``, as of the time ``at`` if given."""
        found = ((key, self.version(key, index, at)) for key in self._versions)
        return {key: v.value for key, v in found if v is not None and v.value is not None}

    def span(
        self, start: bytes, stop: bytes | None, index: int, at: Timestamp | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return what a client may see of ``rows`` with ``start <= key < stop``, by key."""
        keys = [k for k in self._versions if start <= k and (stop is None or k < stop)]
        rows: list[tuple[bytes, bytes]] = []
        for key in sorted(k for k in keys if not k.startswith(RESERVED)):
            found = self.version(key, index, at)
            if found is not None and isinstance(found.value, bytes):
                rows.append((key, found.value))
        return rows

    def stamps(self, index: int) -> list[Timestamp]:
        """Return the timestamps of all that was carried out through entry ``index``."""
        return [stamp for place, stamp in self._stamps if place <= index]

    def effect(self, txn: TxnId) -> Fate | None:
        """Return how ``txn`` ended, applied or in conflict, ``None`` if it did not."""
        took = (Effect.APPLIED, Effect.CONFLICT)
        return next((fate for fate in self.fates.get(txn, ()) if fate.effect in took), None)


def _session_key(txn: TxnId) -> bytes:
    return _SESSION + b"%s.%d" % (txn.client.encode(), txn.incarnation)


# ── the judge ───────────────────────────────────────────────────────────────────────────────────


class _Asked(NamedTuple):
    """A read or scan on its way, and what was applied at least when it was asked."""

    request: Read | Scan
    least: int


_Heard = Read | ReadAnswer | Scan | Page | Answer | Registered
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
            elif isinstance(message, Page):
                self._check_page(message)
            elif isinstance(message, ReadAnswer):
                self._check_read(message)
            elif isinstance(message, Answer):
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

    def _check_read(self, answer: ReadAnswer) -> None:
        asked = self._asked.get((answer.to, answer.number))
        if asked is None or answer.refused or not isinstance(read := asked.request, Read):
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
    def _check_fresh(answer: ReadAnswer | Page, least: int, who: str) -> None:
        if answer.index < least:
            what = f"{who} is as of entry {answer.index}: {least} was there when it was asked"
            raise Violation(Property.FRESH_READS, (answer.sender,), what)

    def _check_page(self, page: Page) -> None:
        """Check a page: all that was there as far as its end, at its index and at its time."""
        asked = self._asked.get((page.to, page.number))
        if asked is None or page.refused or not isinstance(scan := asked.request, Scan):
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

    def _check_answer(self, answer: Answer) -> None:
        """Check a last answer: it must be what the log decided."""
        effect = self.model.effect(answer.txn)
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
        self, name: str, replica: Replica, index: int, should: dict[bytes, bytes | Remembered]
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
            effect, says = self.model.effect(ticket.txn), ticket.stage
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
        return alike and _asked(entries) == _asked(asked)

    def _wrote(self, ticket: Ticket) -> bool:
        """Whether the log holds, right before the index of the ticket, what the client wrote."""
        records = ticket.transaction.stamped(ticket.timestamp).records
        stored = self.model.entries[ticket.index - len(records) : ticket.index]
        return tuple(entry.record for entry in stored) == records

    @staticmethod
    def _key_of(ticket: Ticket, fate: Fate | None) -> bytes | None:
        return ticket.transaction.records[fate.conflict - 1].key if fate else None


def unpacked(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes | Remembered]]:
    """Yield keys and values as the model has them: sessions taken apart, without session.py."""
    for key, value in rows:
        if key.startswith(_SESSION):
            (newest,) = _SESSION_HEAD.unpack_from(value)
            outcomes = _SESSION_ROW.iter_unpack(value[_SESSION_HEAD.size :])
            yield key, Remembered(newest, tuple((s, i, t, c, d) for s, i, t, c, d in outcomes))
        else:
            yield key, value
