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
             undone                   its rows, all at once, with the row of its session

Invariants:

- The tree is given whole transactions only, each at its last entry.  So the applied mark stops
  short of an open one, and so does every flush, every snapshot and every truncation.
- The rows of a transaction and the row of its session are in the same memtable when that is frozen,
  so that neither is ever durable alone (replica/sessions.py).
- The tree's timestamp is log time, also where a transaction wrote nothing.
- Another transaction under an id that is taken has no effect, on any replica.
- An entry that is taken again after a restart has the same effect as before: the tree starts at its
  flushed mark, and every entry after that is taken again.

Source: Raft §5.3 (apply), §8 (exactly once); Schneider, *Implementing Fault-Tolerant Services Using
the State Machine Approach*, 1990.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvraft.events import (
    EventSink,
    SessionExpired,
    TransactionApplied,
    TransactionConflicted,
    TransactionIdTaken,
    TransactionRepeated,
    TransactionUndone,
    ignore,
)
from kvraft.lsm import Tree
from kvraft.record import (
    RESERVED_PREFIX,
    Entry,
    Kind,
    Position,
    Row,
    TxnId,
    digest,
    expected_timestamp,
    label,
)
from kvraft.replica.sessions import SESSION_PREFIX, Sessions, TransactionOutcome
from kvraft.transaction import CompleteTransaction, TransactionAssembler

CONFIGURATION_KEY = RESERVED_PREFIX + b"configuration"
"""The key of the latest applied configuration in the tree."""


class EndedTransaction(NamedTuple):
    """A copy of a transaction, from log index ``first`` on, that an entry has ended.

    ``digest`` is that of its records.  ``outcome`` is ``None`` if it was undone (``undone``), if
    its id is that of another transaction (``id_taken``), or if its session no longer knows what
    became of it.  ``conflict`` is the key whose expectation failed, if one did.
    """

    txn: TxnId
    first: int
    digest: int
    outcome: TransactionOutcome | None
    conflict: bytes | None = None
    undone: bool = False
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

    @property
    def open(self) -> tuple[Entry, ...]:
        """The entries of the transaction whose end has not been seen yet, if any."""
        return self.gatherer.open

    def take(self, entry: Entry) -> Iterator[EndedTransaction]:
        """Apply one committed entry; yield the transactions that it ends, each after its effect."""
        for ended in self.gatherer.take(entry):
            if isinstance(ended, CompleteTransaction):
                yield self.apply(ended.entries)
            else:
                yield self.undo(ended.entries)
        if entry.record.kind in (Kind.NOOP, Kind.REGISTER):
            self.tree.apply((), Position(entry.index, entry.term))
        elif entry.record.kind is Kind.CONFIGURATION:
            row = (CONFIGURATION_KEY, entry.index, entry.record.value)
            self.tree.apply((row,), Position(entry.index, entry.term))

    def apply(self, entries: tuple[Entry, ...]) -> EndedTransaction:
        """Apply a complete transaction, unless its session knows it already."""
        last = entries[-1]
        txn, position = last.record.txn, Position(last.index, last.term)
        asked = digest(entry.record for entry in entries)
        session = self.sessions.find(txn, last.record.timestamp)
        outcome = session.outcome(txn.sequence)
        if outcome is not None and outcome.digest != asked:
            self.tree.apply((), position)
            self._report(TransactionIdTaken(str(txn), last.index))
            return EndedTransaction(txn, entries[0].index, asked, None, id_taken=True)
        if outcome is not None or session.forgotten(txn.sequence):
            self.tree.apply((), position)
            self._report(TransactionRepeated(str(txn), last.index))
        else:
            outcome = TransactionOutcome(
                last.index, last.record.timestamp, self.conflict(entries), asked
            )
            rows = [] if outcome.conflict else list(rows_of(entries))
            due, expired = self.sessions.record(txn, outcome)
            self.tree.apply_checked([*rows, *due], position, outcome.timestamp)
            self._report_applied(txn, outcome, entries, len(rows), expired)
        key = entries[outcome.conflict - 1].record.key if outcome and outcome.conflict else None
        return EndedTransaction(txn, entries[0].index, asked, outcome, key)

    def _take_unwritten(self) -> list[Row]:
        return self.sessions.take_unwritten()  # a subclass may have replaced the sessions

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

    def undo(self, entries: tuple[Entry, ...]) -> EndedTransaction:
        """Drop the records of a transaction that ended without its commit mark."""
        txn = entries[0].record.txn
        self._report(TransactionUndone(str(txn), entries[0].index, entries[-1].index))
        return EndedTransaction(txn, entries[0].index, 0, None, undone=True)

    def _report_applied(
        self,
        txn: TxnId,
        outcome: TransactionOutcome,
        entries: tuple[Entry, ...],
        rows: int,
        expired: list[str],
    ) -> None:
        if self._report is ignore:
            return
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


def rows_of(entries: tuple[Entry, ...]) -> Iterator[Row]:
    """Yield the rows that a transaction writes."""
    for _, _, record in entries:
        if record.kind is Kind.PUT:
            yield record.key, record.timestamp, record.value
        elif record.kind is Kind.DELETE:
            yield record.key, record.timestamp, None
