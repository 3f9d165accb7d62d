"""Errands and tickets: what a client sends again and again, and how far one write has come.

An :class:`PendingRequest` is anything that is sent until there is news of it: a read, a scan's
page, a registration, a write.  A :class:`Ticket` is the errand of a write, which its caller holds
in hand::

    QUEUED ──► SENT ──► APPENDED ──► COMMITTED ──► APPLIED

client/client.py moves it, and has the whole picture of its stages.  A ticket moves no further once
it is ``done``, unless its client takes it up again (:meth:`kvraft.client.Client.retry`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from html import escape
from typing import Self

from kvraft.client.host import ClientRuntime
from kvraft.clock import show
from kvraft.record import Timestamp, TxnId
from kvraft.transaction import Read, ReadReply, Scan, ScanPage, Stage, Transaction

TIMEOUT_MILLIS = 10_000
"""After how many milliseconds a client gives up, unless it is asked to sooner or later."""


@dataclass(slots=True, eq=False)
class PendingRequest:
    """Something that is sent again and again until there is news of it.  Times in milliseconds.

    ``retry_pause`` is how long to wait for news before it is sent again; it grows with each
    sending.
    """

    deadline: int
    retry_pause: int
    attempts: int = 0
    sent_to: str = ""  # the member it was sent to last
    retry_at: int = 0
    redirects: int = 0  # in a row


@dataclass(slots=True, eq=False)
class Question(PendingRequest):
    """A read or a page of a scan; ``request`` is what is asked, but for whom and how often."""

    request: Read | Scan = field(kw_only=True)
    member: str | None = None  # that is to answer, if not the leader
    answer: ReadReply | ScanPage | None = None
    failed: bool = False


@dataclass(slots=True, eq=False)
class Registration(PendingRequest):
    """A client's wish to be registered: ``number`` names the request."""

    number: int = 0
    overloaded_reason: str = ""  # why a leader did not take it when it was asked last


@dataclass(slots=True, eq=False, repr=False)
class Ticket(PendingRequest):
    """How far one write has come.  ``history`` lists (milliseconds, stage, member), in order.

    ``index`` is the transaction's last log index and ``timestamp`` the stamp of its records as
    the leader raised it, both once known; ``reason`` says why it ended other than APPLIED, and
    ``conflict`` which key it had read that was written meanwhile, if that is why.  A ticket can be
    awaited: ``await ticket`` gives the ticket itself once it is done.
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
    """Why a leader did not take it the last time that one did not, if ever."""
    live_attempts: set[int] = field(default_factory=set)
    """The attempts whose copy may still take effect, for all that is known."""

    @property
    def txn(self) -> TxnId:
        """The id of the transaction; it is final once it was sent."""
        return self.transaction.id

    @property
    def done(self) -> bool:
        """Whether the ticket will not move any more."""
        return self.stage in (Stage.APPLIED, Stage.ABORTED, Stage.UNKNOWN)

    def __await__(self) -> Generator[None, None, Self]:
        yield from self.runtime.until(lambda: self.done).__await__()
        return self

    def __repr__(self) -> str:
        return f"<Ticket {self.txn} {self.stage}, sent {self.sent}>"

    def __str__(self) -> str:
        """Say how it stands, why, and what can be done about it."""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.txn} is {self.stage}{why}{self.advice and '; ' + self.advice}"

    @property
    def advice(self) -> str:
        """What to do about a ticket that ended other than APPLIED, in words; ``""`` for others."""
        if self.stage is Stage.UNKNOWN:
            return (
                "it may have happened or not, and client.retry(ticket) is safe: "
                "it cannot happen twice"
            )
        if self.stage is not Stage.ABORTED:
            return ""
        if self.conflict is not None:
            return "it did not happen: begin it anew, with what the key holds now"
        return "it did not happen: submit it anew"

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
