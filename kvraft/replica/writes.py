"""The write desk of a member: requests to register and to write, each answered once.

A leader appends what a client asks for; another member redirects the client.  Then the log decides,
maybe after this member has ceased to lead, and maybe about another copy than the one it appended::

    asked ──► under way? ──► known to its session? ──► stamp refused? ──► appended ──► waits
                 │                  │                       │             │
                 ╰─ waits           ╰─ the same answer      ╰─ Rejected    ╰─ Redirect, Overloaded

    committed ──► replaces what waits?           ──► DISCARDED: that copy will never take effect
    ended     ──► applied, in conflict, too late ──► APPLIED, ABORTED, UNKNOWN

Invariants:

- Timestamp order is log order: a leader raises a stamp that is not above *log time*, the highest
  in its log (:attr:`WriteDesk.log_time`).
- APPLIED is reported only for a transaction that was applied here or is in an installed snapshot.
- Every waiting client is answered or redirected; none waits for nothing.

Source: Raft §8, thesis §6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from kvraft import clock
from kvraft.errors import BadInput, Busy, KvraftError, NotLeader
from kvraft.raft import DecidedProposal, Raft, Role
from kvraft.record import Entry, Position, Timestamp, TxnId, digest, registration
from kvraft.replica.pending import PendingTransaction, PendingTransactions
from kvraft.replica.sessions import TransactionOutcome
from kvraft.replica.skew import ClusterClock
from kvraft.replica.state_machine import EndedTransaction, StateMachine
from kvraft.transaction import (
    Overloaded,
    Redirect,
    Register,
    Registered,
    Rejected,
    Reply,
    Stage,
    Submit,
    WriteReply,
)


class WriteRules(Protocol):
    """The state and the decisions that the desk asks its member for."""

    machine: StateMachine

    def raised_timestamp(self, timestamp: Timestamp) -> Timestamp:
        """Return ``timestamp``, raised above log time if it is not."""

    def incarnation(self, entry: Entry) -> int:
        """Return the incarnation that a committed registration gives."""

    def why_busy(self) -> str:
        """Return why a leader takes no writes now, ``""`` if it does."""


class WriteDesk:
    """Takes requests to write, by the ``rules`` of its member, and passes answers to ``reply``."""

    def __init__(
        self,
        member: str,
        raft: Raft,
        skew: ClusterClock,
        *,
        rules: WriteRules,
        log_time: Timestamp,
        reply: Callable[[Reply], None],
    ) -> None:
        self.log_time = log_time
        """The highest timestamp in the log, or in the tables if they hold a higher one."""
        self._member = member
        self._raft = raft
        self._skew = skew
        self.rules = rules
        self._reply = reply
        self._pending = PendingTransactions()
        self._registering: dict[int, tuple[int, Register]] = {}  # by index, with the term
        self._led = False

    # ── requests ────────────────────────────────────────────────────────────────────────────────

    def register(self, request: Register) -> None:
        """Take a client's request to be registered: append an entry for it if this member leads.

        The answer is its index, once it is committed.  A client that asks again may get several,
        from several members, and takes one.
        """
        try:
            self._check_pace()
            index, _ = self._raft.propose([registration(request.sender)])
        except (NotLeader, Busy, BadInput) as refusal:
            self._turn_away(request.sender, request.number, request.attempt, refusal)
        else:
            self._registering[index] = (self._raft.term, request)

    def submit(self, request: Submit) -> None:
        """Take a client's transaction: append it if this member leads, else redirect the client."""
        transaction = request.transaction
        txn, stamped = transaction.id, transaction.timestamp
        if self._is_pending(request) or self.answer_known(request):
            return
        stamp = self.rules.raised_timestamp(stamped)
        if why := self._why_rejected(txn, stamped, stamp):
            better = max(self.log_time, self._skew.now(self._raft.configuration.members))
            self._reject(request, better, why)
            return
        try:
            self._check_pace()
            if stamp != stamped:
                transaction = transaction.with_timestamp(stamp)
            records = transaction.records
            first, last = self._raft.propose(records)
        except BadInput as error:  # no follower would ever take it
            self._reject(request, 0, str(error))
        except (NotLeader, Busy) as refusal:
            self._turn_away(request.sender, txn, request.attempt, refusal)
        else:
            self.log_time = stamp if stamp > self.log_time else self.log_time
            client, attempts = request.sender, [request.attempt]
            # It replaces an earlier copy, which is no longer in this log.
            self._pending.add(
                PendingTransaction(client, txn, records, first, self._raft.term, attempts)
            )
            sent = (request.attempt,)
            self._reply(
                WriteReply(self._member, client, txn, sent, Stage.APPENDED, last, stamp, "")
            )

    def _is_pending(self, request: Submit) -> bool:
        """Return whether a transaction of this id waits for the log to decide; note the attempt."""
        txn = request.transaction.id
        pending = self._pending.get(txn)
        if pending is None or self._raft.role is not Role.LEADER:
            return False
        if not pending.is_in(self._raft.log):
            return False
        if pending.digest == digest(request.transaction.records):
            pending.attempts.append(request.attempt)
        else:  # the log has not decided yet which of the two it will be
            busy = Busy(f"another transaction is on its way as {txn}")
            self._turn_away(request.sender, txn, request.attempt, busy)
        return True

    def answer_known(self, request: Submit) -> bool:
        """Answer a transaction whose end its session knows; return whether it does.

        Another transaction under an old id is rejected.
        """
        transaction = request.transaction
        txn = transaction.id
        session = self.rules.machine.sessions.find(txn, self.log_time)
        if not session.ended(txn.sequence):
            return False
        outcome, client, attempts = (
            session.outcome(txn.sequence),
            request.sender,
            (request.attempt,),
        )
        if outcome is None:
            self._answer(client, txn, attempts, Stage.UNKNOWN, None, _too_late(txn))
        elif session.digest(txn.sequence) != digest(transaction.records):
            self._answer(client, txn, attempts, Stage.ABORTED, None, _taken(txn))
        elif outcome.conflict:
            key = transaction.records[outcome.conflict - 1].key
            self._answer(client, txn, attempts, Stage.ABORTED, outcome, _conflict(key), key)
        else:
            self._answer(client, txn, attempts, Stage.APPLIED, outcome)
        return True

    def _why_rejected(self, txn: TxnId, stamped: Timestamp, stamp: Timestamp) -> str:
        """Return why this leader rejects a transaction for its timestamp, ``""`` if it does not."""
        if self._raft.role is not Role.LEADER:
            return ""
        sessions = self.rules.machine.sessions
        if sessions.too_old(stamped, stamp):
            return (
                f"{txn} was stamped {clock.show(stamped)}, more than "
                f"{clock.unpack(sessions.lifetime)[0]} ms before log time: if it was applied, "
                f"its session has expired since"
            )
        too_far = self._skew.too_far(stamped, self.log_time, self._raft.configuration.members)
        return f"{txn} {too_far}" if too_far else ""

    def _check_pace(self) -> None:
        if self._raft.role is Role.LEADER and (why := self.rules.why_busy()):
            raise Busy(why)

    # ── what becomes of them ────────────────────────────────────────────────────────────────────

    def note_stamps(self, entries: Sequence[Entry]) -> None:
        """Raise log time to the newest timestamp in ``entries``, which were appended."""
        for entry in reversed(entries):
            if entry.record.kind.is_data:
                self.log_time = max(self.log_time, entry.record.timestamp)
                return

    def superseded(self, lost: list[DecidedProposal], entry: Entry) -> list[DecidedProposal]:
        """Answer the clients of the ``lost`` proposals that ``entry`` supersedes; return the rest.

        It must be called for the committed entries in order.
        """
        gone = [it for it in lost if it.first <= entry.index and it.term != entry.term]
        for first, last, term, _ in gone:
            if first == entry.index:
                why = "another leader's entries took its place"
            else:
                why = "its leader died before all of it was copied"
            if pending := self._pending.at(first, term):
                self._settle(pending.txn, Stage.DISCARDED, None, why)
            if first == last and self._registering.get(first, (0,))[0] == term:
                _, request = self._registering.pop(first)
                self._redirect_registration(request)
        return [proposal for proposal in lost if proposal not in gone]

    def committed(self, entry: Entry) -> None:
        """Answer the client whose registration this entry is."""
        if entry.index in self._registering:
            _, request = self._registering.pop(entry.index)
            given = self.rules.incarnation(entry)
            self._reply(Registered(self._member, request.sender, request.number, given))

    def ended(self, ended: EndedTransaction) -> None:
        """Answer the client of a transaction that the state machine has ended."""
        term, first, (_, _, _, _, txn, _) = ended.entries[0]
        pending = self._pending.get(txn)
        if pending is None or ended.discarded:
            return  # one that was discarded is answered as superseded
        if (first, term) != (pending.first, pending.term) and pending.digest != digest(
            [entry.record for entry in ended.entries]
        ):
            return  # another transaction under this id: it is answered when its own copy ends
        if ended.id_taken:
            self._settle(txn, Stage.ABORTED, None, _taken(txn))
        elif ended.outcome is None:
            self._settle(txn, Stage.UNKNOWN, None, _too_late(txn))
        elif ended.conflict is None:
            self._settle(txn, Stage.APPLIED, ended.outcome)
        else:
            why = _conflict(ended.conflict)
            self._settle(txn, Stage.ABORTED, ended.outcome, why, ended.conflict)

    def installed(self, last: Position, stamp: Timestamp) -> None:
        """Answer the clients of transactions that a snapshot through ``last`` is known to contain.

        ``stamp`` is its highest timestamp.  The other clients were redirected when this member
        ceased to lead, and will ask again.
        """
        self.log_time = max(self.log_time, stamp)
        for pending in self._pending:
            if pending.first <= last.index:
                session = self.rules.machine.sessions.find(pending.txn, self.log_time)
                sequence = pending.txn.sequence
                outcome = session.outcome(sequence)
                known = outcome and session.digest(sequence) == pending.digest
                if outcome and known and not outcome.conflict:
                    self._settle(pending.txn, Stage.APPLIED, outcome)
                else:
                    self._pending.pop(pending.txn)
        for index in [index for index in self._registering if index <= last.index]:
            del self._registering[index]

    def note_role(self) -> None:
        """Redirect clients if this member no longer leads; their writes may still take effect."""
        leads = self._raft.role is Role.LEADER
        if self._led and not leads:
            leader = self._raft.leader
            for pending in self._pending:
                client, txn, last = pending.client, pending.txn, pending.attempts[-1]
                self._reply(Redirect(self._member, client, txn, last, leader, may_still_apply=True))
            for _, request in self._registering.values():  # answered as well, if committed
                self._redirect_registration(request)
        self._led = leads

    def _settle(
        self,
        txn: TxnId,
        stage: Stage,
        outcome: TransactionOutcome | None,
        reason: str = "",
        conflict: bytes | None = None,
    ) -> None:
        """Give the final answer to the client of ``txn``, if it is pending here."""
        pending = self._pending.pop(txn)
        if pending is not None:
            self._answer(pending.client, txn, pending.attempts, stage, outcome, reason, conflict)

    # ── answers ─────────────────────────────────────────────────────────────────────────────────

    def _answer(
        self,
        client: str,
        txn: TxnId,
        attempts: Iterable[int],
        stage: Stage,
        outcome: TransactionOutcome | None,
        reason: str = "",
        conflict: bytes | None = None,
    ) -> None:
        index, stamp = (outcome.index, outcome.timestamp) if outcome else (0, 0)
        sent = tuple(attempts)
        self._reply(
            WriteReply(self._member, client, txn, sent, stage, index, stamp, reason, conflict)
        )

    def _reject(self, request: Submit, better: Timestamp, why: str) -> None:
        """Reject a transaction for its timestamp; ``better`` is one that would do, 0 if none."""
        txn = request.transaction.id
        self._reply(Rejected(self._member, request.sender, txn, request.attempt, better, why))

    def _turn_away(
        self, client: str, request: TxnId | int, attempt: int, refusal: KvraftError
    ) -> None:
        """Tell a client whose request was not taken where to ask, or to ask again later."""
        self._reply(
            Redirect(self._member, client, request, attempt, refusal.leader)
            if isinstance(refusal, NotLeader)
            else Overloaded(self._member, client, request, attempt, str(refusal))
        )

    def _redirect_registration(self, request: Register) -> None:
        """Redirect a client that wants to be registered to the leader."""
        leader = NotLeader(self._member, self._raft.leader)
        self._turn_away(request.sender, request.number, request.attempt, leader)


def _too_late(txn: TxnId) -> str:
    return f"{txn} is too old: its session no longer knows whether it was applied"


def _taken(txn: TxnId) -> str:
    return f"another transaction was applied as {txn}, so this one never will be under that id"


def _conflict(key: bytes) -> str:
    return f"conflict: {key!r:.60} was written after it was read"
