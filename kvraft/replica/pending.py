"""What a leader has appended for its clients and not seen the end of yet.

A transaction waits here from its append until the log decides about it: it is complete and
committed, or another leader's entries are committed in the place of some of its own.  The latter is
why places matter: the client of a transaction must learn that *this* copy is undone, and a copy is
known by the index and the term of its first entry, as in
:class:`~kvraft.raft.DecidedProposal`.

Invariants: of one transaction at most one copy waits, the one appended last; at one place, which is
an index and a term, at most one transaction waits, for a leader only appends.

Source: Raft §8; hashicorp/raft's and etcd's lesson that a waiter must match on index and term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvraft.raft import Log
from kvraft.record import Position, TxnId


@dataclass(slots=True)
class PendingTransaction:
    """One copy of a transaction, and who waits for it: its client, by these sendings.

    ``digest`` tells what was asked for: another transaction under the same id is not this one.
    """

    client: str
    txn: TxnId
    digest: int
    first: int
    term: int
    attempts: list[int] = field(default_factory=list)


class PendingTransactions:
    """The transactions that wait, by id and by place."""

    def __init__(self) -> None:
        self._by_txn: dict[TxnId, PendingTransaction] = {}
        self._by_place: dict[Position, PendingTransaction] = {}

    def __iter__(self) -> Iterator[PendingTransaction]:
        return iter(list(self._by_txn.values()))

    def get(self, txn: TxnId) -> PendingTransaction | None:
        """Return who waits for ``txn``."""
        return self._by_txn.get(txn)

    def add(self, waiter: PendingTransaction) -> None:
        """Let somebody wait; an earlier copy, which the log has lost, is waited for no more."""
        self.pop(waiter.txn)
        self._by_txn[waiter.txn] = waiter
        self._by_place[Position(waiter.first, waiter.term)] = waiter

    def pop(self, txn: TxnId) -> PendingTransaction | None:
        """Let nobody wait for ``txn`` any more; return who did."""
        waiter = self._by_txn.pop(txn, None)
        if waiter is not None:
            del self._by_place[Position(waiter.first, waiter.term)]
        return waiter

    def at(self, first: int, term: int) -> PendingTransaction | None:
        """Return who waits for the copy that was appended from ``first`` on in ``term``."""
        return self._by_place.get(Position(first, term))

    def held_by(self, log: Log, txn: TxnId) -> bool:
        """Return whether ``log`` still holds the copy of ``txn`` that is waited for."""
        waiter = self._by_txn.get(txn)
        return waiter is not None and log.has(waiter.first, waiter.term)
