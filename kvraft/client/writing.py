"""The writing half of a client: one key, several at once, and transactions that read.

Each write is a transaction, and each call here waits for it.  It ends APPLIED, or an exception
tells how it ended, with the ticket that says more.

Invariants:

- Everything here is said in terms of what was submitted and its ticket, and knows nothing of
  leaders, retries and time.
- A transaction with reads is carried out only if each key still carries the timestamp that it
  read, at the one place in the log where it writes: else it is ABORTED, as a :class:`Conflict`.

Source: thesis §6.3; Kung and Robinson, *On Optimistic Methods for Concurrency Control*, TODS 1981
(transactions that are validated at commit).
"""

from __future__ import annotations

from abc import abstractmethod

from kvraft.client.draft import DraftTransaction
from kvraft.client.reading import ClientReads
from kvraft.client.ticket import TIMEOUT_MILLIS, Ticket
from kvraft.errors import KvraftError
from kvraft.record import Buffer, Timestamp
from kvraft.transaction import Stage, Writes


class WriteFailed(KvraftError):
    """A write that somebody waited for ended ABORTED or UNKNOWN; ``ticket`` tells more."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__(str(ticket))
        self.ticket = ticket


class Conflict(WriteFailed):
    """A transaction had no effect, for a key that it read was written meanwhile: begin it anew."""


class Writing(ClientReads):
    """What a client can ask for."""

    @abstractmethod
    def submit(self, writes: Writes, *, timeout: int = TIMEOUT_MILLIS) -> Ticket:
        """Begin to carry out ``writes`` as one transaction and return its ticket at once."""

    @abstractmethod
    def submit_if(
        self, reads: dict[bytes, Timestamp], writes: Writes, *, timeout: int = TIMEOUT_MILLIS
    ) -> Ticket:
        """Begin to carry out ``writes`` if ``reads`` still hold then; see :meth:`submit`."""

    def write(self, writes: Writes) -> Ticket:
        """Carry out ``writes`` as one transaction and wait for it; return its ticket.

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

    def transaction(self) -> DraftTransaction:
        """Return a transaction that reads and writes, to be used in a ``with`` statement."""
        return DraftTransaction(self.read, self.submit_if, self.wait_for)

    def put(self, key: Buffer, value: Buffer) -> Ticket:
        """Store ``value`` under ``key`` and wait for it; see :meth:`write`."""
        return self.write([(key, value)])

    def delete(self, key: Buffer) -> Ticket:
        """Delete ``key``, whether it holds anything or not, and wait; see :meth:`write`."""
        return self.write([(key, None)])

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        """Store ``value`` under ``key`` and wait for it, as :meth:`put` does."""
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        """Delete ``key`` and wait; ``KeyError`` if it held nothing when that was decided."""
        with self.transaction() as draft:
            if draft.get(key) is None:
                raise KeyError(key)
            draft.delete(key)
