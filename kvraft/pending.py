"""What a leader has appended for its clients and not seen the end of yet.

A transaction waits here from its append until the log decides about it: it is complete and
committed, or it is undone, or another leader's entries are committed in its place.  The last is why
places matter: the client of a transaction must be told that *this* copy is dead, and a copy is
known by the index and the term of its first entry.

Invariant: of one transaction at most one copy waits, the one appended last.

Source: Raft §8; hashicorp/raft's and etcd's lesson that a waiter must match on index and term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvraft.log import Log
from kvraft.record import TxnId


@dataclass(slots=True)
class Waiter:
    """One copy of a transaction, and who waits for it: its client, by these sendings.

    ``digest`` tells what was asked for: another transaction under the same id is not this one.
    """

    client: str
    txn: TxnId
    digest: int
    first: int
    term: int
    attempts: list[int] = field(default_factory=list)


class Pending:
    """The transactions that wait, by id and by place."""

    def __init__(self) -> None:
        self._by_txn: dict[TxnId, Waiter] = {}
        # Several at one place: once this member was superseded and leads again.
        self._by_place: dict[int, list[TxnId]] = {}

    def __iter__(self) -> Iterator[Waiter]:
        return iter(list(self._by_txn.values()))

    def get(self, txn: TxnId) -> Waiter | None:
        """Return who waits for ``txn``."""
        return self._by_txn.get(txn)

    def add(self, waiter: Waiter) -> None:
        """Let somebody wait; an earlier copy, which the log has lost, is waited for no more."""
        self.pop(waiter.txn)
        self._by_txn[waiter.txn] = waiter
        self._by_place.setdefault(waiter.first, []).append(waiter.txn)

    def pop(self, txn: TxnId) -> Waiter | None:
        """Let nobody wait for ``txn`` any more; return who did."""
        waiter = self._by_txn.pop(txn, None)
        if waiter is not None:
            place = self._by_place[waiter.first]
            place.remove(txn)
            if not place:
                del self._by_place[waiter.first]
        return waiter

    def superseded(self, index: int, term: int) -> list[TxnId]:
        """Return the transactions whose place was committed to an entry of another ``term``."""
        txns = self._by_place.get(index)
        return [txn for txn in txns if self._by_txn[txn].term != term] if txns else []

    def held_by(self, log: Log, txn: TxnId) -> bool:
        """Return whether ``log`` still holds the copy of ``txn`` that is waited for."""
        waiter = self._by_txn.get(txn)
        return waiter is not None and log.holds(waiter.first, waiter.term)
