"""Drafts: transactions that are being put together, with what they read and what they will write.

Nothing is locked meanwhile.  A draft keeps the timestamp of each key that it reads.  Whether these
are still current is decided at the transaction's place in the log (replica/state_machine.py).

Invariants: a key is read once, and a draft that was sent no longer changes.

Source: Kung and Robinson, *On Optimistic Methods for Concurrency Control*, TODS 1981.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from kvraft.client.ticket import TIMEOUT_MILLIS, Ticket
from kvraft.errors import BadInput
from kvraft.record import Buffer, Timestamp
from kvraft.transaction import ReadReply, Writes, check_key, check_write


class SubmitIf(Protocol):
    """A call that submits writes that depend on reads."""

    def __call__(
        self, reads: dict[bytes, Timestamp], writes: Writes, *, timeout: int = TIMEOUT_MILLIS
    ) -> Ticket:
        """Submit them and return the ticket; give up after ``timeout`` milliseconds."""


class DraftTransaction:
    """A transaction that is being put together, with reads.  Made by
    :meth:`~kvraft.client.Client.transaction`.

    ::

        with client.transaction() as txn:
            balance = int(txn.get(b"ann") or b"0")
            txn.put(b"ann", b"%d" % (balance - 5))

    The end of the block sends it and waits for it.  It is applied only if no key that it read was
    written meanwhile; otherwise it has no effect, and :class:`~kvraft.client.Conflict` is raised.
    A block that ends with an exception sends nothing.  Outside a ``with`` statement,
    :meth:`submit` sends it and returns its ticket at once.
    """

    def __init__(
        self,
        read: Callable[[bytes], ReadReply],
        submit: SubmitIf,
        wait_for: Callable[[Ticket], Ticket],
    ) -> None:
        self._ask = read
        self._submit = submit
        self._wait_for = wait_for
        self._reads: dict[bytes, Timestamp] = {}
        self._read: dict[bytes, bytes | None] = {}
        self._writes: dict[bytes, bytes | None] = {}
        self.ticket: Ticket | None = None
        """The ticket, once it was sent."""

    def get(self, key: Buffer) -> bytes | None:
        """Return the value of ``key``, this transaction's own writes included.

        A key is read once, so a second call returns the same.  Raises what
        :meth:`~kvraft.client.Client.get` raises.
        """
        self._check_open()
        key = check_key(key)
        if key in self._writes:
            return self._writes[key]
        if key not in self._read:
            answer = self._ask(key)
            self._read[key], self._reads[key] = answer.value, answer.timestamp
        return self._read[key]

    def put(self, key: Buffer, value: Buffer) -> None:
        """Set ``key`` to ``value`` if the transaction is applied."""
        self._write(key, value)

    def delete(self, key: Buffer) -> None:
        """Delete ``key`` if the transaction is applied."""
        self._write(key, None)

    def _write(self, given: Buffer, stored: Buffer | None) -> None:
        self._check_open()
        key, value = check_write(given, stored)
        self._writes[key] = value

    def submit(self, *, timeout: int = TIMEOUT_MILLIS) -> Ticket:
        """Send it and return its ticket at once; see :meth:`~kvraft.client.Client.submit`."""
        self._check_open()
        self.ticket = self._submit(self._reads, self._writes, timeout=timeout)
        return self.ticket

    def _check_open(self) -> None:
        if self.ticket is not None:
            raise BadInput(f"{self.ticket.txn} was sent: what it reads and writes is settled")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self.ticket is None and (self._reads or self._writes):
            self._wait_for(self.submit())
