"""The sequential model of a cluster: it applies transactions one by one.

:class:`Model` is a second state machine that shares no code with ``replica/state_machine.py`` and
is as simple as possible: it takes the committed entries in log order and never forgets anything.
It keeps all versions of each key, so it knows the whole map after every index and at every
timestamp::

    key      versions: (index, timestamp, value)            rows(index=17, at=None) ─► b"2"
    b"a"     (4, t4, b"1")  (17, t17, b"2")  (30, t30, ∅)   rows(index=30, at=t17)  ─► b"2"

It checks two promises by itself, because the log alone can break them: **exactly once** and
**timestamps rise** (:class:`Promise`).

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
from kvraft.check.properties import Violation
from kvraft.record import RESERVED_PREFIX, Entry, Kind, Timestamp, TxnId

_REMEMBERED = 32  # outcomes that a session keeps: of its newest sequence numbers
_CONFIGURATION = RESERVED_PREFIX + b"configuration"
_SESSION = RESERVED_PREFIX + b"session/"
_SESSION_HEAD = struct.Struct("<Q")
_SESSION_ROW = struct.Struct("<QQQQQ")


class Promise(StrEnum):
    """A promise of the database about transactions; its value is its name."""

    ONE_STATE_MACHINE = "one state machine"
    EXACTLY_ONCE = "exactly once"
    ONE_ID_ONE_CLIENT = "one id, one client"
    TIMESTAMPS_RISE = "timestamps rise"
    TRUE_ANSWERS = "true answers"
    LINEARIZABLE = "linearizability"


class ModelSession(NamedTuple):
    """A session: its newest sequence number, and the outcomes of its transactions.

    An outcome is sequence, index, timestamp, conflict, and a digest of the request.
    """

    newest: int
    outcomes: tuple[tuple[int, int, Timestamp, int, int], ...]


Value = bytes | ModelSession | None
"""What a key holds; ``None`` if it holds nothing."""


class Version(NamedTuple):
    """The value of a key from entry ``index`` on, ``None`` if it was deleted there."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    timestamp: Timestamp
    value: Value


class Effect(StrEnum):
    """What one copy of a transaction in the log did."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    REPEATED = "repeated"
    TAKEN = "refused: its id is taken"
    DISCARDED = "discarded"


class Fate(NamedTuple):
    """The effect of the copy that ends at ``index``.

    ``conflict`` is the number of the expectation that failed, from 1, or 0.
    """

    effect: Effect
    index: int  # type: ignore[assignment]
    timestamp: Timestamp
    conflict: int = 0


def request_bytes(entries: Iterable[Entry]) -> bytes:
    """Return what a client requested, without its timestamp: the bytes of the digest."""
    asked = b""
    for entry in entries:
        kind, key, value = entry.record[:3]
        asked += bytes((kind,))
        asked += len(key).to_bytes(4, "little") + len(value).to_bytes(4, "little") + key + value
    return asked


class Model:
    """The map that a log leads to; sessions expire after ``lifetime``, in units of timestamps."""

    def __init__(self, lifetime: Timestamp) -> None:
        self.entries: list[Entry] = []
        """All entries taken, from index 1 on."""
        self.fates: dict[TxnId, list[Fate]] = {}
        """The fates of all copies of each transaction, in log order."""
        self.registered: dict[int, str] = {}
        """The client that was registered at each index."""
        self._lifetime = lifetime
        self._versions: dict[bytes, list[Version]] = {}
        self._alive: dict[bytes, Timestamp] = {}  # the sessions, and when they were used last
        self._marks = [0]  # by index: the applied mark once the log is committed through it
        self._open: list[Entry] = []
        self._stamps: list[
            tuple[int, Timestamp]
        ] = []  # of those that took effect: index, timestamp

    @property
    def last(self) -> int:
        """The index of the last entry taken."""
        return len(self.entries)

    def mark(self, committed: int) -> int:
        """Return the applied mark once the log is committed through ``committed``."""
        return self._marks[committed]

    def take(self, entry: Entry) -> None:
        """Apply the next committed entry; raises :class:`Violation` if it breaks a promise."""
        if entry.index != self.last + 1:
            raise ValueError(f"entry {entry.index} does not follow entry {self.last}")
        self.entries.append(entry)
        record, applied = entry.record, self._marks[-1]
        if self._open and self._open[0].record.txn != record.txn:
            self._note(Effect.DISCARDED, self._open)
            self._open = []
        if record.kind in (Kind.NOOP, Kind.CONFIGURATION, Kind.REGISTER):
            applied = entry.index
            if record.kind is Kind.REGISTER:
                self.registered[entry.index] = record.key.decode()
            if record.kind is Kind.CONFIGURATION:
                self._put(_CONFIGURATION, Version(entry.index, entry.index, record.value))
        else:
            self._check_stamp(entry)
            self._open.append(entry)
            if record.commit:
                self._apply(self._open)
                self._open, applied = [], entry.index
        self._marks.append(applied)

    def _check_stamp(self, entry: Entry) -> None:
        """Check that the timestamp is above that of every transaction that took effect."""
        stamp = entry.record.timestamp
        if self._open and stamp != self._open[0].record.timestamp:
            what = f"entry {entry.index} has another timestamp than the rest of {entry.record.txn}"
            raise Violation(Promise.TIMESTAMPS_RISE, (), what)
        index, before = self._stamps[-1] if self._stamps else (0, 0)
        if stamp <= before:
            what = f"entry {entry.index}, of {entry.record.txn}, has the timestamp "
            what += f"{clock.show(stamp)}, but entry {index} took effect with {clock.show(before)}"
            raise Violation(Promise.TIMESTAMPS_RISE, (), what)

    def _apply(self, entries: list[Entry]) -> None:
        last, txn = entries[-1], entries[-1].record.txn
        now = last.record.timestamp
        session = self._session(txn, now)
        digest = int.from_bytes(blake2b(request_bytes(entries), digest_size=8).digest(), "little")
        known = [outcome[-1] for outcome in session.outcomes if outcome[0] == txn.sequence]
        if known and known != [digest]:
            self._note(Effect.TAKEN, entries)
            return
        if known or txn.sequence <= session.newest - _REMEMBERED:
            self._note(Effect.REPEATED, entries)
            return
        conflict = self._conflict(entries)
        self._note(Effect.CONFLICT if conflict else Effect.APPLIED, entries, conflict)
        for entry in () if conflict else entries:
            record = entry.record
            if record.kind in (Kind.PUT, Kind.DELETE):
                value = record.value if record.kind is Kind.PUT else None
                self._put(record.key, Version(last.index, now, value))
        self._expire(last.index, now)
        newest = max(session.newest, txn.sequence)
        kept = [each for each in session.outcomes if each[0] > newest - _REMEMBERED]
        kept.append((txn.sequence, last.index, now, conflict, digest))
        after = ModelSession(newest, tuple(sorted(kept)))
        self._put(_session_key(txn), Version(last.index, now, after))
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

    def _session(self, txn: TxnId, now: Timestamp) -> ModelSession:
        """Return the session of ``txn``, an empty one if it has none or it has expired ``now``."""
        found = self._versions.get(_session_key(txn))
        if found and isinstance(found[-1].value, ModelSession):
            version = found[-1]
            if now - version.timestamp <= self._lifetime:
                return found[-1].value
        return ModelSession(0, ())

    def _expire(self, index: int, now: Timestamp) -> None:
        late = [key for key, used in self._alive.items() if now - used > self._lifetime]
        for key in late:
            self._put(key, Version(index, now, None))

    def _note(self, effect: Effect, entries: list[Entry], conflict: int = 0) -> None:
        last, txn = entries[-1], entries[0].record.txn
        fates = self.fates.setdefault(txn, [])
        before = self.outcome(txn)
        if before is not None and effect in (Effect.APPLIED, Effect.CONFLICT):
            what = f"{txn} is {effect} at {last.index}, but was {before.effect} at {before.index}"
            raise Violation(Promise.EXACTLY_ONCE, (), what)
        fates.append(Fate(effect, last.index, last.record.timestamp, conflict))

    def _put(self, key: bytes, version: Version) -> None:
        self._versions.setdefault(key, []).append(version)
        if isinstance(version.value, ModelSession):
            self._alive[key] = version.timestamp
        else:
            self._alive.pop(key, None)

    # ── queries ─────────────────────────────────────────────────────────────────────────────────

    def version(self, key: bytes, index: int, at: Timestamp | None = None) -> Version | None:
        """Return the version of ``key`` after entry ``index``, as of the timestamp ``at``."""
        versions = self._versions.get(key, [])
        found = bisect_right(versions, index, key=lambda version: version.index)
        while found and at is not None and versions[found - 1].timestamp > at:
            found -= 1
        return versions[found - 1] if found else None

    def rows(self, index: int, at: Timestamp | None = None) -> dict[bytes, bytes | ModelSession]:
        """Return the whole map after entry ``index``, as of the timestamp ``at``."""
        found = ((key, self.version(key, index, at)) for key in self._versions)
        return {key: v.value for key, v in found if v is not None and v.value is not None}

    def span(
        self, start: bytes, stop: bytes | None, index: int, at: Timestamp | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return the rows that a client may see with ``start <= key < stop``, by key."""
        keys = [k for k in self._versions if start <= k and (stop is None or k < stop)]
        rows: list[tuple[bytes, bytes]] = []
        for key in sorted(k for k in keys if not k.startswith(RESERVED_PREFIX)):
            found = self.version(key, index, at)
            if found is not None and isinstance(found.value, bytes):
                rows.append((key, found.value))
        return rows

    def stamps(self, index: int) -> list[Timestamp]:
        """Return the timestamps of all transactions applied through entry ``index``."""
        return [stamp for place, stamp in self._stamps if place <= index]

    def outcome(self, txn: TxnId) -> Fate | None:
        """Return the fate that ``txn`` ended with, applied or in conflict, if any."""
        took = (Effect.APPLIED, Effect.CONFLICT)
        return next((fate for fate in self.fates.get(txn, ()) if fate.effect in took), None)


def _session_key(txn: TxnId) -> bytes:
    return _SESSION + b"%s.%d" % (txn.client.encode(), txn.incarnation)


def unpacked(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes | ModelSession]]:
    """Yield ``rows`` in the model's form; sessions are decoded without the replica's code."""
    for key, value in rows:
        if key.startswith(_SESSION):
            (newest,) = _SESSION_HEAD.unpack_from(value)
            outcomes = _SESSION_ROW.iter_unpack(value[_SESSION_HEAD.size :])
            yield key, ModelSession(newest, tuple((s, i, t, c, d) for s, i, t, c, d in outcomes))
        else:
            yield key, value


def without_sessions(rows: dict[bytes, bytes | ModelSession]) -> dict[bytes, bytes | ModelSession]:
    """Return ``rows`` without the sessions."""
    return {key: value for key, value in rows.items() if not isinstance(value, ModelSession)}
