"""The replicated state machine: what every replica does alike with committed entries.

Entries come in log order, one by one.  What happens follows from them and from the tree alone,
never from a clock, from who leads or from other memory of this member.  So any two replicas that
took the same entries have the same state::

    entry ──► gather ──► complete ──► known to its session? ──► nothing: it was applied before
                │                          │ no              (another one under its id: refused)
                │                          ▼
                │                     do its expectations hold? ──► no: a conflict, remembered
                │                          │ yes
                ▼                          ▼
            discarded                 its rows, all at once, with the row of its session

Invariants:

- The tree is given whole transactions only, each at its last entry.  So the applied mark stops
  short of an open one, and so does every flush, every snapshot and every truncation.
- The rows of a transaction and the row of its session are in the same memtable when that is frozen,
  so that neither is ever durable alone (replica/sessions.py).
- The tree's timestamp is log time, also where a transaction wrote nothing.
- Another transaction under an id that is taken has no effect, on any replica.
- An entry that is taken again after a restart has the same effect as before: the tree starts at its
  flushed mark, and every entry after that is taken again.

Rows of many transactions are given to the tree at once, since most of what that costs does not
depend on how many there are (:meth:`StateMachine.write`).  Nobody can distinguish it from one for
each transaction: they are written before an expectation looks at the tree, before the memtable can
be full, and before the member does anything else.

Source: Raft §5.3 (apply), §8 (exactly once); Schneider, *Implementing Fault-Tolerant Services Using
the State Machine Approach*, 1990.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvraft.events import (
    EventSink,
    SessionExpired,
    TransactionApplied,
    TransactionConflicted,
    TransactionDiscarded,
    TransactionIdTaken,
    TransactionRepeated,
    ignore,
)
from kvraft.lsm import Tree
from kvraft.record import (
    RESERVED_PREFIX,
    ROW_OVERHEAD,
    Entry,
    Kind,
    Position,
    Row,
    Timestamp,
    TxnId,
    digest,
    expected_timestamp,
    label,
)
from kvraft.replica.sessions import SESSION_PREFIX, Session, Sessions, TransactionOutcome
from kvraft.transaction import CompleteTransaction, TransactionAssembler

CONFIGURATION_KEY = RESERVED_PREFIX + b"configuration"
"""The key of the latest applied configuration in the tree."""
_PUT, _EXPECT = Kind.PUT, Kind.EXPECT  # a global is found faster than a member of an Enum


class EndedTransaction(NamedTuple):
    """A copy of a transaction, from its first entry on, that an entry has ended.

    ``outcome`` is ``None`` if it was ``discarded``, if its id is that of another transaction
    (``id_taken``), or if its session no longer knows what became of it.  ``conflict`` is the key
    whose expectation failed, if one did.
    """

    entries: tuple[Entry, ...]
    outcome: TransactionOutcome | None
    conflict: bytes | None = None
    discarded: bool = False
    id_taken: bool = False


class StateMachine:
    """The state machine over ``tree``; sessions live for ``lifetime``, in units of timestamps.

    It holds state that the tree lacks, and so becomes the one that a freeze of that tree asks.
    """

    def __init__(self, tree: Tree, lifetime: int, report: EventSink = ignore) -> None:
        self.tree = tree
        self._report = report
        self.gatherer = TransactionAssembler()
        """Assembles the records of transactions."""
        self.sessions = Sessions(tree.scan(prefix=SESSION_PREFIX), lifetime)
        tree.late_rows = self._take_unwritten
        self._rows: list[Row] = []  # applied, and not given to the tree yet
        # How far entries were applied, given to the tree or not: index and term.
        self._position: tuple[int, int] = tree.applied
        self._time: Timestamp = 0  # the newest timestamp among them
        self.room = tree.options.memtable_bytes - tree.memtable_size
        """How many bytes the memtable takes for certain before it is full; once that is not above
        0, :meth:`take` has written everything, and the memtable may be full."""

    @property
    def open(self) -> tuple[Entry, ...]:
        """The entries of the transaction whose end has not been seen yet, if any."""
        return self.gatherer.open

    def take(self, entry: Entry) -> list[EndedTransaction]:
        """Apply one committed entry; return the transactions that it ends.

        The tree shows the effect after :meth:`write`.
        """
        ended: list[EndedTransaction] = []
        for each in self.gatherer.take(entry):
            whole = type(each) is CompleteTransaction
            ended.append(self.apply(each.entries) if whole else self.discard(each.entries))
        term, index, record = entry
        kind = record.kind
        if kind is not _PUT and not kind.is_data:
            self._position = index, term
            if kind is Kind.CONFIGURATION:
                self._rows.append((CONFIGURATION_KEY, index, record.value))
                self.room = 0  # there is one in a long time
        if self.room <= 0:
            self.write()
        return ended

    def write(self) -> None:
        """Give the tree what was applied since the last time."""
        tree = self.tree
        if self._position[0] != tree.applied_index:
            tree.apply_checked(self._rows, Position(*self._position), self._time)
            self._rows = []
        self.room = tree.options.memtable_bytes - tree.memtable_size

    def apply(self, entries: tuple[Entry, ...]) -> EndedTransaction:
        """Apply a complete transaction, unless its session knows it already."""
        term, index, (_, _, _, now, txn, _) = entries[-1]
        sessions = self.sessions
        session = sessions.find(txn, now)
        if session.ended(txn.sequence):
            self._position = index, term
            return self._repeated(entries, session)
        rows: list[Row] = []
        size, conflict, reads = 0, 0, False
        for _, _, (kind, key, value, timestamp, _, _) in entries:
            if kind is _EXPECT:
                reads = True
                continue
            rows.append((key, timestamp, value if kind is _PUT else None))
            size += ROW_OVERHEAD + len(key) + len(value)
        if reads:
            self.write()  # what it expects depends on everything before it
            conflict = self.conflict(entries)
            rows = [] if conflict else rows
        self._position = index, term
        outcome = TransactionOutcome(index, now, conflict)
        due, expired = sessions.record(txn, outcome, entries)
        if due:
            rows += due
            size += sum(ROW_OVERHEAD + len(key) + len(value or b"") for key, _, value in due)
        self._rows += rows
        self._time = now
        self.room -= size
        if self._report is not ignore:  # events describe the tree after each transaction
            self.write()
            self._report_applied(txn, outcome, entries, len(rows) - len(due), expired)
        failed = entries[conflict - 1].record.key if conflict else None
        return EndedTransaction(entries, outcome, failed)

    def _repeated(self, entries: tuple[Entry, ...], session: Session) -> EndedTransaction:
        """Return what became of a transaction whose id was seen before: it has no effect now."""
        txn, index = entries[-1].record.txn, entries[-1].index
        outcome = session.outcome(txn.sequence)
        asked = digest([entry.record for entry in entries])
        if outcome is not None and session.digest(txn.sequence) != asked:
            self._report(TransactionIdTaken(str(txn), index))
            return EndedTransaction(entries, None, id_taken=True)
        self._report(TransactionRepeated(str(txn), index))
        key = entries[outcome.conflict - 1].record.key if outcome and outcome.conflict else None
        return EndedTransaction(entries, outcome, key)

    def _take_unwritten(self) -> list[Row]:
        """Return the rows of sessions for a memtable that is about to be frozen.

        Sessions know of what was applied, so the tree must have all of it, too.
        """
        self.write()
        return self.sessions.take_unwritten()

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return the number of the first record whose expectation fails, 0 if all of them hold."""
        for number, entry in enumerate(entries, 1):
            record = entry.record
            if record.kind is Kind.EXPECT:
                found = self.tree.version(record.key)
                # A tombstone may be dropped on one replica and not on another: it must not count.
                carried = found.timestamp if found and found.value is not None else 0
                if carried != expected_timestamp(record):
                    return number
        return 0

    def discard(self, entries: tuple[Entry, ...]) -> EndedTransaction:
        """Drop the records of a transaction that ended without its commit mark."""
        txn = entries[0].record.txn
        self._report(TransactionDiscarded(str(txn), entries[0].index, entries[-1].index))
        return EndedTransaction(entries, None, discarded=True)

    def _report_applied(
        self,
        txn: TxnId,
        outcome: TransactionOutcome,
        entries: tuple[Entry, ...],
        rows: int,
        expired: Sequence[str],
    ) -> None:
        for client in expired:
            self._report(SessionExpired(client, outcome.index))
        if outcome.conflict:
            key = label(entries[outcome.conflict - 1].record.key)
            self._report(TransactionConflicted(str(txn), outcome.index, key))
        else:
            tree = self.tree
            size = tree.memtable_size
            self._report(
                TransactionApplied(outcome.index, str(txn), rows, tree.memtable_rows, size)
            )
