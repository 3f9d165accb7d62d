"""Planted bugs of sessions: what is known of a client's transactions, by whom, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvraft import clock
from kvraft.record import Entry, Row, Timestamp, TxnId
from kvraft.replica import (
    SESSION_PREFIX,
    Asked,
    EndedTransaction,
    Replica,
    Session,
    Sessions,
    StateMachine,
    TransactionOutcome,
)


def _with_sessions(machine: StateMachine, kind: type[Sessions]) -> StateMachine:
    """Return ``machine`` with its sessions as objects of another class."""
    rows = machine.tree.scan(prefix=SESSION_PREFIX)
    machine.sessions = kind(rows, machine.sessions.lifetime)
    return machine


class _NoOutcomes(Sessions):
    """Stores outcomes, and never finds one."""

    def find(self, txn: TxnId, now: Timestamp) -> Session:
        """Return an empty session."""
        return Session()


class AppliesRetries(Replica):
    """A transaction that is sent again is applied again."""

    def new_machine(self) -> StateMachine:
        """Return a state machine whose sessions find no earlier outcome."""
        machine = super().new_machine()
        machine.sessions = _NoOutcomes(
            self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime
        )
        return machine


class _ByTheClock(Sessions):
    """Sessions that expire by a member's own clock."""

    millis: Callable[[], int] | None = None

    def expire(self, now: Timestamp) -> Sequence[str]:
        """Expire the sessions that are too old by that clock."""
        return super().expire(clock.pack(self.millis()) if self.millis else now)


class ExpiresByItsClock(Replica):
    """A session expires by the member's own clock, not by the timestamps of the log."""

    def new_machine(self) -> StateMachine:
        """Return a state machine whose sessions expire by this member's clock."""
        machine = super().new_machine()
        sessions = _ByTheClock(self.tree.scan(prefix=SESSION_PREFIX), machine.sessions.lifetime)
        sessions.millis = self.millis
        machine.sessions = sessions
        return machine


class CountsIncarnations(Replica):
    """A leader numbers registered clients by a counter in memory, not by their log index."""

    _given = 0

    def incarnation(self, entry: Entry) -> int:
        """Return the next number."""
        self._given += 1
        return self._given


class SessionsNotFlushed(Replica):
    """Sessions are in memory only: a flush does not write them with what they know of."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that a freeze gets no rows from."""
        machine = super().new_machine()
        late = self.tree.late_rows

        def written() -> list[Row]:
            late()
            return []

        self.tree.late_rows = written
        return machine


class _KnownWhenTaken(Sessions):
    """Finds outcomes for whoever takes requests, not for whoever applies entries."""

    applying = False

    def find(self, txn: TxnId, now: Timestamp) -> Session:
        """Return an empty session while an entry is applied."""
        return Session() if self.applying else super().find(txn, now)


class _AsksNobody(StateMachine):
    """Applies whatever is committed."""

    def apply(self, entries: tuple[Entry, ...]) -> EndedTransaction:
        """Apply a transaction as one that was never seen."""
        sessions = self.sessions
        assert isinstance(sessions, _KnownWhenTaken)
        sessions.applying = True
        try:
            return super().apply(entries)
        finally:
            sessions.applying = False


class CheckedWhenTaken(Replica):
    """A leader looks for an earlier copy when it takes a transaction; nobody when it applies."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that looks for no earlier copy."""
        lifetime = clock.pack(self.options.session_millis)
        return _with_sessions(_AsksNobody(self.tree, lifetime, self.report), _KnownWhenTaken)


class _OnlySuccess(Sessions):
    """Remembers what took effect, and forgets conflicts."""

    def record(
        self, txn: TxnId, outcome: TransactionOutcome, asked: Asked
    ) -> tuple[Sequence[Row], Sequence[str]]:
        """Record an outcome, unless it is a conflict."""
        return ((), ()) if outcome.conflict else super().record(txn, outcome, asked)


class ConflictsForgotten(Replica):
    """A transaction that ended in a conflict may be applied after all when it comes again."""

    def new_machine(self) -> StateMachine:
        """Return a state machine whose sessions forget conflicts."""
        return _with_sessions(super().new_machine(), _OnlySuccess)


class _NewestOnly(Session):
    """Knows the newest number only, and takes all lower ones for done."""

    def ended(self, sequence: int) -> bool:
        """Return whether ``sequence`` is not above the newest."""
        return sequence <= self.newest


class _Counts(Sessions):
    """Remembers one number for each client."""

    def find(self, txn: TxnId, now: Timestamp) -> Session:
        """Return a session that knows a number and no outcomes."""
        return _NewestOnly(super().find(txn, now).newest)


class LowerNumbersAreRepeats(Replica):
    """A session remembers the highest number of its client, and takes lower ones for repeats."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that remembers one number for each client."""
        return _with_sessions(super().new_machine(), _Counts)


class _NeverTooOld(Sessions):
    """Takes every stamp for new enough."""

    def too_old(self, stamped: Timestamp, now: Timestamp) -> bool:
        """Return false."""
        return False


class OldStampsTaken(Replica):
    """A leader takes a transaction though the session that knew of it may have expired."""

    def new_machine(self) -> StateMachine:
        """Return a state machine whose sessions never refuse a stamp."""
        return _with_sessions(super().new_machine(), _NeverTooOld)


BUGS = {
    "retries applied": AppliesRetries,
    "sessions by the clock": ExpiresByItsClock,
    "incarnations counted in memory": CountsIncarnations,
    "sessions not flushed": SessionsNotFlushed,
    "checked when taken": CheckedWhenTaken,
    "conflicts forgotten": ConflictsForgotten,
    "lower numbers are repeats": LowerNumbersAreRepeats,
    "old stamps taken": OldStampsTaken,
}
"""The planted bugs of this place by name."""
