"""The writes of a client: one key, several at once, and transactions with reads.

Each write is a transaction, and each call here waits for it.  The call returns a ticket that is
APPLIED, or raises an exception that has the ticket.

Invariants:

- The code here knows tickets, and nothing of leaders, retries and time.
- A transaction with reads is applied only if each key still has the timestamp that was read, at the
  one log index where it writes.  Otherwise it is ABORTED, as a :class:`Conflict`.

Source: thesis §6.3; Kung and Robinson, *On Optimistic Methods for Concurrency Control*, TODS 1981
(transactions that are validated at commit).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from kvraft.client.draft import DraftTransaction
from kvraft.client.reading import ClientReads
from kvraft.client.ticket import TIMEOUT_MILLIS, Ticket
from kvraft.errors import KvraftError
from kvraft.record import Buffer, Timestamp
from kvraft.transaction import ReadReply, Stage, Writes


class WriteFailed(KvraftError):
    """A write ended ABORTED or UNKNOWN; ``ticket`` has the reason."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__(str(ticket))
        self.ticket = ticket


class Conflict(WriteFailed):
    """A transaction had no effect, since a key was written after it was read: retry it."""


class ClientWrites(ClientReads):
    """The calls of a client that write."""

    @abstractmethod
    def submit(self, writes: Writes, *, timeout: int = TIMEOUT_MILLIS) -> Ticket:
        """Submit ``writes`` as one transaction and return its ticket at once."""

    @abstractmethod
    def submit_if(
        self, reads: dict[bytes, Timestamp], writes: Writes, *, timeout: int = TIMEOUT_MILLIS
    ) -> Ticket:
        """Submit ``writes``, to be applied only if ``reads`` are still current."""

    def write(self, writes: Writes) -> Ticket:
        """Write ``writes`` as one transaction and wait for it; return its ticket.

        Raises :class:`WriteFailed` if it ends ABORTED or UNKNOWN.
        """
        return self.wait_for(self.submit(writes))

    def wait_for(self, ticket: Ticket) -> Ticket:
        """Wait for a ticket and return it; raises :class:`WriteFailed` unless it is APPLIED."""
        ticket.runtime.wait(lambda: ticket.done)
        if ticket.conflict is not None:
            raise Conflict(ticket)
        if ticket.stage is not Stage.APPLIED:
            raise WriteFailed(ticket)
        return ticket

    def transaction(self, read: Callable[[bytes], ReadReply] | None = None) -> DraftTransaction:
        """Return a transaction with reads, for use in a ``with`` statement.

        It reads a key by asking the cluster, or by calling ``read``, which has the answers already.
        """
        return DraftTransaction(read or self.read, self.submit_if, self.wait_for)

    def put(self, key: Buffer, value: Buffer) -> Ticket:
        """Set ``key`` to ``value`` and wait for it; see :meth:`write`."""
        return self.write([(key, value)])

    def delete(self, key: Buffer) -> Ticket:
        """Delete ``key``, whether it has a value or not, and wait for it; see :meth:`write`."""
        return self.write([(key, None)])

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        """Set ``key`` to ``value`` and wait for it; see :meth:`put`."""
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        """Delete ``key`` and wait for it; ``KeyError`` if it had no value at that moment."""
        with self.transaction() as draft:
            if draft.get(key) is None:
                raise KeyError(key)
            draft.delete(key)
