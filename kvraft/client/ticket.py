"""Pending requests, which a client sends until there is a reply, and the ticket of a write.

A :class:`PendingRequest` is a read, a page of a scan, a registration or a write.  The one of a
write is its :class:`Ticket`, which the caller gets::

    QUEUED ──► SENT ──► APPENDED ──► COMMITTED ──► APPLIED

client/client.py moves it; client/__init__.py draws all its stages.  A ticket that is ``done`` moves
no further, unless its client reopens it (:meth:`kvraft.client.Client.retry`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from html import escape
from random import Random
from typing import Self

from kvraft.client.runtime import ClientRuntime
from kvraft.clock import show
from kvraft.record import Timestamp, TxnId
from kvraft.transaction import Read, ReadReply, Scan, ScanPage, Stage, Transaction

MAX_RETRY_MILLIS = 1_200
"""The longest pause before a request is sent again."""

TIMEOUT_MILLIS = 10_000
"""After how many milliseconds a client gives up, unless the caller sets another timeout."""


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A request that is sent until there is a reply.  Times are in milliseconds.

    ``retry_pause`` is how long to wait for a reply before it is sent again; it doubles with each
    sending, up to ``MAX_RETRY_MILLIS``.
    """

    deadline: int
    retry_pause: int
    attempts: int = 0
    sent_to: str = ""  # the member it was sent to last
    retry_at: int = 0
    redirects: int = 0  # in a row

    def note_sending(self, to: str, now: int, random: Random) -> None:
        """Record that it is sent to member ``to``, and when to send it again."""
        self.attempts += 1
        self.sent_to = to
        self.retry_at = now + self.retry_pause + random.randrange(self.retry_pause // 2)
        self.retry_pause = min(self.retry_pause * 2, MAX_RETRY_MILLIS)


@dataclass(slots=True, eq=False)
class PendingRead(PendingRequest):
    """A read or a page of a scan; ``request`` lacks the member and the number of the attempt."""

    request: Read | Scan = field(kw_only=True)
    member: str | None = None  # the member that must answer, if not the leader
    reported: bool = False  # whether its end is reported as an event
    answer: ReadReply | ScanPage | None = None
    failed: bool = False

    @property
    def done(self) -> bool:
        """Whether there is an answer, or the client has given up."""
        return self.answer is not None or self.failed


@dataclass(slots=True, eq=False)
class PendingRegistration(PendingRequest):
    """A client's registration; ``number`` identifies the request."""

    number: int = 0
    overloaded_reason: str = ""  # why a leader did not take it the last time


@dataclass(slots=True, eq=False, repr=False)
class Ticket(PendingRequest):
    """How far one write has come.  ``history`` lists (milliseconds, stage, member), in order.

    ``index`` is the transaction's last log index, and ``timestamp`` the one that its records got
    from the leader, both once known.  ``reason`` is why it did not end APPLIED, and ``conflict``
    the key that was written after it was read, if that is why.  ``await ticket`` waits until the
    ticket is done and returns it.
    """

    transaction: Transaction = field(kw_only=True)
    runtime: ClientRuntime = field(kw_only=True)
    stage: Stage = Stage.QUEUED
    index: int = 0
    timestamp: Timestamp = 0
    reason: str = ""
    conflict: bytes | None = None
    history: list[tuple[int, Stage, str]] = field(default_factory=list)
    overloaded_reason: str = ""
    """Why a leader last did not take it, ``""`` if that never happened."""
    live_attempts: set[int] = field(default_factory=set)
    """The attempts whose copy may still take effect, as far as the client knows."""

    @property
    def txn(self) -> TxnId:
        """The id of the transaction; it is final from the first sending on."""
        return self.transaction.id

    @property
    def done(self) -> bool:
        """Whether the ticket has reached its last stage."""
        return self.stage in (Stage.APPLIED, Stage.ABORTED, Stage.UNKNOWN)

    def __await__(self) -> Generator[None, None, Self]:
        yield from self.runtime.until(lambda: self.done).__await__()
        return self

    def __repr__(self) -> str:
        return f"<Ticket {self.txn} {self.stage}, sent {self.sent}>"

    def __str__(self) -> str:
        """Return its stage, the reason, and what to do about it, in words."""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.txn} is {self.stage}{why}{self.advice and '; ' + self.advice}"

    @property
    def advice(self) -> str:
        """What to do about a ticket that did not end APPLIED, in words; ``""`` for others."""
        if self.stage is Stage.UNKNOWN:
            return (
                "it may have happened or not, and client.retry(ticket) is safe: "
                "it cannot happen twice"
            )
        if self.stage is not Stage.ABORTED:
            return ""
        if self.conflict is not None:
            return "it did not happen: retry it with the current value of the key"
        return "it did not happen: submit it again"

    def _repr_html_(self) -> str:
        """Return a small table, for notebooks."""
        rows: list[tuple[str, object]] = [
            ("transaction", self.txn),
            ("stage", self.stage),
            ("sent", self.sent),
        ]
        if self.index:
            rows += [("log index", self.index), ("timestamp", show(self.timestamp))]
        rows += [("why", self.reason), ("what to do", self.advice)] if self.reason else []
        lines = (f"<tr><th>{name}</th><td>{escape(str(what))}</td></tr>" for name, what in rows)
        return f"<table>{''.join(lines)}</table>"

    @property
    def sent(self) -> str:
        """How often it was sent, in words."""
        return "once" if self.attempts == 1 else f"{self.attempts} times"
