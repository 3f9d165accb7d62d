"""Sessions: how every replica knows which transactions of a client it has applied already.

A client that hears nothing sends its transaction again under the same id.  If the first copy took
effect after all, the second must change nothing and get the first one's answer.  So for each client
the replicated state holds a *session*: how its latest transactions ended.

Sessions live in memory and are *rows* of the tree under a reserved key prefix.  A row has the
outcomes of all transactions that its session remembers, so writing it with each of them would move
many times the bytes of the transaction itself.  The log has them anyway.  So a changed row is
written when the memtable is frozen, into that same memtable::

    log        ──────────────────┬───────────────────────────────────────┬──────────►
                 flushed through │                      applied through  │
    tree         rows as of here ╯                                       │
    memory                                        sessions as of here ───╯
                                 ╰─ a start takes these entries again ──╯

On disk is then, as of the flushed mark, all that a session needs to be: it is recovered, replicated
and sent in snapshots as everything else is.  A freeze must not stop a member for long, so a session
that has waited among many (:data:`MAX_UNWRITTEN`) is written before.

A name does not identify a client: a restarted program may use it again, and count from 1 again.  So
a client registers: the leader appends an entry for it, and once that is committed its log index is
the client's *incarnation*, a part of every id.  A committed index is given out only once, whatever
restarts, snapshots, changes of leader, clocks and random numbers do.  Nothing else is kept of a
registration.

An id names one transaction.  If another one comes under it, for example from a client that was
restored from a backup, the *digest* of its records differs: it is rejected, and never given the
outcome of the first.

A session remembers a window of sequence numbers::

                     newest - WINDOW                newest
    ────────────────────────┤░░░░░░░░░░░░░░░░░░░░░░░░│
       settled long ago:     outcome known, or not    not seen yet:
       never applied again   applied: apply it now    apply it now

Clients come and go, so sessions expire.  They do so by *log time*, since clocks differ and the log
does not.  Log time at an entry is its timestamp, which never falls along the log.  With a lifetime
*L*::

            s: stamped by its client          T: log time now
    ────────┼─────────────────────────────────┼──────►
            ├──────── no more than L ─────────┤           else a leader refuses to append it
                 ├── no more than L since ────┤           else the session is deleted
                 last used, not before s

A leader gives a transaction a timestamp of *T* or above.  If a copy of it was applied before, that
was at *s* or later, so the session that knows of it cannot have expired yet.  So nothing forgotten
can be applied again, and no clock is needed for that.

Invariants:

- A transaction is applied at most once: if its outcome is known, or its sequence number lies below
  the window, it is not applied.
- No two clients ever have the same session, whatever they are called.
- An outcome is reported only for the transaction that it belongs to.
- A client sends a transaction only if all its transactions ``SESSION_WINDOW`` or more numbers below
  are settled (client/client.py), so no transaction that a client still waits for falls out of the
  window.
- The sessions after an entry depend on the log through that entry and on nothing else; when their
  rows are written depends on the member, and no answer depends on that.
- A frozen memtable, with those before it, holds the row of each session as of its last entry.

Source: Raft §8, thesis §6.3 (linearizable semantics, registration through the log, sessions that
expire by log time; here with a bounded window, and with nothing kept until the first transaction).

A session as bytes: newest sequence number, then per outcome sequence, index, timestamp, conflict,
digest, each 8 bytes little-endian, in rising order of sequence.  Its key ends in
``client.incarnation``, and its timestamp is the log time of its last use; a session that expired is
a tombstone at the log time of that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from kvraft.record import RESERVED_PREFIX, Entry, Row, Timestamp, TxnId, digest
from kvraft.transaction import SESSION_WINDOW

SESSION_PREFIX = RESERVED_PREFIX + b"session/"
"""The prefix of the sessions' keys in the tree."""
SessionId = tuple[str, int]
"""What names a session: client and incarnation, the first two parts of a transaction's id."""
MAX_UNWRITTEN = 128
"""How many sessions may wait for a freeze: beyond it, each transaction writes those that have
waited longest, two rows at most.  So a freeze packs about that many, some 100 KB, at once."""
_NUMBER = struct.Struct("<Q")
_OUTCOME = struct.Struct("<QQQQQ")


class TransactionOutcome(NamedTuple):
    """How a transaction ended: its last log index, its timestamp, and whether it took effect.

    It did if ``conflict`` is 0; else that is the number, from 1, of its first record whose
    expectation failed.
    """

    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    timestamp: Timestamp
    conflict: int = 0


Asked = int | Sequence[Entry]
"""What a client asked for: the digest of its records (:func:`~kvraft.record.digest`), or the
entries that have them.

Hashing is dear, and only a repeated transaction and a row that is written need the digest.  Most
outcomes fall out of the window before.  The entries cost no memory: until a freeze writes the row,
the log holds them, too."""


def session_key(session: SessionId) -> bytes:
    """Return the key in the tree of a session; that of ``("alice", 7)`` ends in ``alice.7``."""
    return SESSION_PREFIX + session_name(session).encode()


def session_name(session: SessionId) -> str:
    """Return the name of a session: ``alice.7``."""
    client, incarnation = session
    return f"{client}.{incarnation}"


class Session:
    """The known outcomes of one client's transactions, in one incarnation."""

    def __init__(self, newest: int = 0) -> None:
        self.newest = newest
        self._known: dict[int, tuple[TransactionOutcome, Asked]] = {}  # by sequence number
        self.last_used: Timestamp = 0
        """Log time of its last use, 0 if there was none."""

    def outcome(self, sequence: int) -> TransactionOutcome | None:
        """Return how transaction ``sequence`` ended, ``None`` if that is not known."""
        known = self._known.get(sequence)
        return None if known is None else known[0]

    def digest(self, sequence: int) -> int:
        """Return the digest of transaction ``sequence``, whose outcome is known."""
        outcome, asked = self._known[sequence]
        if not isinstance(asked, int):
            asked = digest([entry.record for entry in asked])
            self._known[sequence] = outcome, asked
        return asked

    def ended(self, sequence: int) -> bool:
        """Return whether ``sequence`` must not be applied: its outcome is known, or forgotten."""
        if sequence > self.newest:  # most often
            return False
        return sequence in self._known or self.forgotten(sequence)

    def forgotten(self, sequence: int) -> bool:
        """Return whether ``sequence`` lies below the window, so that it must not be applied."""
        return sequence <= self.newest - SESSION_WINDOW

    def add(self, sequence: int, outcome: TransactionOutcome, asked: Asked) -> None:
        """Record an outcome, and forget those that fall out of the window."""
        known = self._known
        known[sequence] = outcome, asked
        if outcome.timestamp > self.last_used:
            self.last_used = outcome.timestamp
        if sequence == self.newest + 1:  # most often, and then one number falls out
            self.newest = sequence
            known.pop(sequence - SESSION_WINDOW, None)
            return
        self.newest = max(self.newest, sequence)
        for old in [seq for seq in known if self.forgotten(seq)]:
            del known[old]

    def to_bytes(self) -> bytes:
        """Return the session as bytes."""
        numbers = [self.newest]
        for sequence in sorted(self._known):
            asked = self.digest(sequence)
            numbers += (sequence, *self._known[sequence][0], asked)
        return struct.pack(f"<{len(numbers)}Q", *numbers)

    @classmethod
    def from_bytes(cls, data: bytes) -> Session:
        """Return the session that :meth:`to_bytes` packed."""
        (newest,) = _NUMBER.unpack_from(data)
        session = cls(newest)
        for sequence, *ended, asked in _OUTCOME.iter_unpack(data[_NUMBER.size :]):
            session.add(sequence, TransactionOutcome(*ended), asked)
        return session


class Sessions:
    """All sessions, by client and incarnation, the least recently used first.

    ``rows`` are their keys and values in the tree; ``lifetime`` is *L*, in units of timestamps.
    """

    def __init__(self, rows: Iterable[tuple[bytes, bytes]], lifetime: int) -> None:
        self.lifetime = lifetime
        found = [(_session_of(key), Session.from_bytes(data)) for key, data in rows]
        self._sessions = dict(sorted(found, key=lambda item: item[1].last_used))
        # No session expires through that time; use only puts it off.  -1: not known.
        self._none_expires_through: Timestamp = -1
        # Those whose rows are not in the tree yet, the longest first: the log time of their last
        # use, or of their end.  A session that is used again keeps its place in this order.
        self._unwritten: dict[SessionId, Timestamp] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[str]:
        """Iterate over their names."""
        return map(session_name, self._sessions)

    def find(self, txn: TxnId, now: Timestamp) -> Session:
        """Return the session of ``txn``; an empty one if there is none or it expired by ``now``."""
        session = self._sessions.get(txn[:2])
        if session is None or now - session.last_used > self.lifetime:
            return Session()
        return session

    def too_old(self, stamped: Timestamp, now: Timestamp) -> bool:
        """Return whether a session used at ``stamped`` may have expired by ``now``."""
        return now - stamped > self.lifetime

    def record(
        self, txn: TxnId, outcome: TransactionOutcome, asked: Asked
    ) -> tuple[Sequence[Row], Sequence[str]]:
        """Record how ``txn`` ended; return the rows to write with it, and who expired.

        Most often there are none to write: see :meth:`take_unwritten`.
        """
        now = outcome.timestamp
        expired = self.expire(now)
        mine = txn[:2]
        session = self._sessions.pop(mine, None) or Session()
        session.add(txn.sequence, outcome, asked)
        self._sessions[mine] = session  # used last
        unwritten = self._unwritten
        unwritten[mine] = now
        if len(unwritten) <= MAX_UNWRITTEN:
            return (), expired
        waited_longest = list(islice(unwritten, 2))
        rows = [self._row(session) for session in waited_longest]
        for each in waited_longest:
            del unwritten[each]
        return rows, expired

    def expire(self, now: Timestamp) -> Sequence[str]:
        """Forget the sessions that were not used for a lifetime; return their names."""
        if now <= self._none_expires_through:
            return ()
        expired: list[SessionId] = []
        for each, session in self._sessions.items():
            if now - session.last_used <= self.lifetime:
                self._none_expires_through = session.last_used + self.lifetime
                break  # and so are all that follow
            expired.append(each)
        if not expired:
            return ()
        for each in expired:
            del self._sessions[each]
            self._unwritten[each] = now
        return list(map(session_name, expired))

    def unwritten(self) -> list[Row]:
        """Return the rows that the tree lacks to hold all sessions, and no others."""
        return [self._row(session) for session in self._unwritten]

    def take_unwritten(self) -> list[Row]:
        """Return the rows that the tree lacks, which the caller writes now."""
        rows = self.unwritten()
        self._unwritten.clear()
        return rows

    def _row(self, session: SessionId) -> Row:
        found = self._sessions.get(session)
        value = None if found is None else found.to_bytes()
        return session_key(session), self._unwritten[session], value


def _session_of(key: bytes) -> SessionId:
    client, _, incarnation = key[len(SESSION_PREFIX) :].decode().rpartition(".")
    return client, int(incarnation)
