"""The transactions that a leader has appended for its clients and whose end is not decided yet.

A transaction waits here from its append until the log decides: it is complete and committed, or
another leader's entries are committed at some of its indexes.  Then its client must learn that
*this* copy is discarded.  So a copy is identified by the index and the term of its first entry,
as in :class:`~kvraft.raft.DecidedProposal`.

Invariants: at most one copy of a transaction waits, the one appended last; at most one transaction
waits at one index and term, since a leader only appends.

Source: Raft §8; hashicorp/raft and etcd, whose pendings match on index and term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvraft.raft import Log
from kvraft.record import Record, TxnId, digest


@dataclass(slots=True)
class PendingTransaction:
    """One copy of a transaction that ``client`` waits for, with the ``attempts`` that asked for it.

    The digest of its ``records`` distinguishes it from another one under the same id.
    """

    client: str
    txn: TxnId
    records: tuple[Record, ...]
    first: int
    term: int
    attempts: list[int] = field(default_factory=list)

    @property
    def digest(self) -> int:
        """The digest of its records."""
        return digest(self.records)

    def is_in(self, log: Log) -> bool:
        """Return whether it is still in ``log``."""
        return log.has(self.first, self.term)


class PendingTransactions:
    """The pending transactions, by id and by position."""

    def __init__(self) -> None:
        self._by_txn: dict[TxnId, PendingTransaction] = {}
        self._by_position: dict[tuple[int, int], PendingTransaction] = {}

    def __bool__(self) -> bool:
        return bool(self._by_txn)

    def __iter__(self) -> Iterator[PendingTransaction]:
        return iter(list(self._by_txn.values()))

    def get(self, txn: TxnId) -> PendingTransaction | None:
        """Return the pending copy of ``txn``."""
        return self._by_txn.get(txn)

    def add(self, pending: PendingTransaction) -> None:
        """Add a copy; it replaces an earlier one, which is no longer in the log."""
        if pending.txn in self._by_txn:
            self.pop(pending.txn)
        self._by_txn[pending.txn] = pending
        self._by_position[pending.first, pending.term] = pending

    def pop(self, txn: TxnId) -> PendingTransaction | None:
        """Remove and return the pending copy of ``txn``."""
        pending = self._by_txn.pop(txn, None)
        if pending is not None:
            del self._by_position[pending.first, pending.term]
        return pending

    def at(self, first: int, term: int) -> PendingTransaction | None:
        """Return the copy that was appended from index ``first`` on in ``term``."""
        return self._by_position.get((first, term))
