"""What clients called and what they got, recorded where a program meets its client.

Messages say what members answered.  What the *caller* got passes through the client library, too,
which may take a late answer for another request's, or send a retry under a new name.  So this looks
at the calls themselves::

    program ──► submit_if  retry  read  start_read  pages  start_page ──► Client ──► messages
                   ╰── called, returned, ticket or answer ──► Calls

Everything else that a client offers is made of these six calls.  :func:`record` replaces the class
of a world's clients by one that notes them, and does nothing else; who does not record, pays
nothing.

Invariants:

- A run that is recorded has the trace of one that is not.
- ``called`` is the moment before the call, ``returned`` the one after the answer was handed over:
  what the client did lies between them.  No two moments are the same, so what happened first in a
  program is known, if only by a microsecond.
- A write that certainly had no effect and is retried counts from the retry on; one whose outcome
  was unknown counts from its first call on.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from kvraft.client import TIMEOUT_MILLIS, Client, PendingRead, Ticket
from kvraft.errors import BadInput
from kvraft.mapping import scan_bounds
from kvraft.record import Buffer, Timestamp
from kvraft.sim import World
from kvraft.transaction import PAGE_ROWS, ReadReply, ScanPage, Stage, Writes, check_key


class Clock(Protocol):
    """What knows the time of calls."""

    now: int
    """Microseconds since some moment."""


@dataclass(slots=True, eq=False)
class WriteCall:
    """A transaction that was submitted; ``reads`` has the timestamps that it expects.

    ``returned`` is ``None`` while its ticket is open.
    """

    client: str
    called: int
    ticket: Ticket
    reads: dict[bytes, Timestamp]
    returned: int | None = None


@dataclass(slots=True, eq=False)
class ReadCall:
    """Keys that were read: those with ``start <= key < stop``, or only ``start`` if it is ``one``.

    A page of a scan covers the keys from its start to where the next one begins.  ``at`` is the
    timestamp that the caller, or the page before, asked for.  ``answer`` is what the caller got.
    """

    client: str
    called: int
    returned: int
    start: bytes
    stop: bytes | None
    one: bool
    at: Timestamp | None
    stale: bool
    answer: ReadReply | ScanPage


@dataclass(slots=True)
class Calls:
    """All calls to the clients of one world, in the order in which they ended or were submitted."""

    clock: Clock
    writes: list[WriteCall] = field(default_factory=list)
    reads: list[ReadCall] = field(default_factory=list)
    _latest: int = -1

    def moment(self) -> int:
        """Return the time in microseconds, a later one each time: what came first is known."""
        self._latest = max(self.clock.now, self._latest + 1)
        return self._latest

    def __len__(self) -> int:
        return len(self.writes) + len(self.reads)


class _Begun(NamedTuple):
    """A read that does not block, and what its caller asked for: see :class:`ReadCall`."""

    called: int
    read: PendingRead
    start: bytes
    stop: bytes | None
    one: bool
    at: Timestamp | None
    stale: bool
    reverse: bool = False


class RecordedClient(Client):
    """A client that notes in ``calls`` what it is asked for and what it hands back.

    Stands before any subclass of :class:`~kvraft.client.Client` in a list of bases.
    """

    def __init__(self, *arguments: Any, calls: Calls, **options: Any) -> None:
        self.calls = calls
        self._open_calls: dict[Ticket, WriteCall] = {}
        self._begun: list[_Begun] = []
        super().__init__(*arguments, **options)

    def submit_if(
        self, reads: dict[bytes, Timestamp], writes: Writes, *, timeout: int = TIMEOUT_MILLIS
    ) -> Ticket:
        """Note the transaction, which is open until its ticket is done."""
        called = self.calls.moment()
        ticket = super().submit_if(reads, writes, timeout=timeout)
        call = WriteCall(self.name, called, ticket, dict(reads))
        self.calls.writes.append(call)
        self._open_calls[ticket] = call
        return ticket

    def retry(self, ticket: Ticket, *, timeout: int = TIMEOUT_MILLIS) -> None:
        """Note that the ticket is open again."""
        before, called = ticket.stage, self.calls.moment()
        super().retry(ticket, timeout=timeout)
        call = next(each for each in self.calls.writes if each.ticket is ticket)
        call.returned = None
        if before is Stage.ABORTED:
            call.called = called
        self._open_calls[ticket] = call

    def read(
        self,
        key: Buffer,
        *,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> ReadReply:
        """Note what is read, unless that fails."""
        called = self.calls.moment()
        answer = super().read(key, at=at, member=member, stale=stale, timeout=timeout)
        now, asked = self.calls.moment(), check_key(key)
        self.calls.reads.append(
            ReadCall(self.name, called, now, asked, None, True, at, stale, answer)
        )
        return answer

    def start_read(
        self,
        key: Buffer,
        *,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> PendingRead:
        """Note the read, which is done later."""
        called = self.calls.moment()
        read = super().start_read(key, at=at, member=member, stale=stale, timeout=timeout)
        self._begun.append(_Begun(called, read, check_key(key), None, True, at, stale))
        return read

    def start_page(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        reverse: bool = False,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        page_rows: int = PAGE_ROWS,
        timeout: int = TIMEOUT_MILLIS,
    ) -> PendingRead:
        """Note the page, which is read later."""
        called = self.calls.moment()
        page = super().start_page(
            start,
            stop,
            reverse=reverse,
            at=at,
            member=member,
            stale=stale,
            page_rows=page_rows,
            timeout=timeout,
        )
        low, high = scan_bounds(start, stop, None)
        self._begun.append(_Begun(called, page, low, high, False, at, stale, reverse))
        return page

    def pages(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        page_rows: int = PAGE_ROWS,
        timeout: int = TIMEOUT_MILLIS,
    ) -> Generator[ScanPage, None, None]:
        """Note each page when the caller gets it."""
        found = super().pages(
            start,
            stop,
            prefix=prefix,
            reverse=reverse,
            at=at,
            member=member,
            stale=stale,
            page_rows=page_rows,
            timeout=timeout,
        )
        low, high = scan_bounds(start, stop, prefix)
        return self._noted(found, low, high, reverse, at, stale)

    def _noted(
        self,
        pages: Generator[ScanPage, None, None],
        start: bytes,
        stop: bytes | None,
        reverse: bool,
        at: Timestamp | None,
        stale: bool,
    ) -> Generator[ScanPage, None, None]:
        """Yield the pages, and note which keys each of them covers."""
        moment = self.calls.moment
        called = moment()
        for page in pages:
            low, high = _covered(page, start, stop, reverse)
            self.calls.reads.append(
                ReadCall(self.name, called, moment(), low, high, False, at, stale, page)
            )
            yield page
            called = moment()
            if page.next is not None:
                start, stop = (start, page.next) if reverse else (page.next, stop)
                at = page.timestamp if page.history_kept else at

    def receive(self, reply: Any) -> None:
        """Note what the reply completed."""
        super().receive(reply)
        self._note_ends()

    def tick(self) -> None:
        """Note what was given up."""
        super().tick()
        self._note_ends()

    def _note_ends(self) -> None:
        """Note the calls that have ended now."""
        for ticket in [ticket for ticket in self._open_calls if ticket.done]:
            self._open_calls.pop(ticket).returned = self.calls.moment()
        for begun in [each for each in self._begun if each.read.done]:
            self._begun.remove(begun)
            called, read, low, high, one, at, stale, reverse = begun
            if (answer := read.answer) is not None and not answer.error:
                if isinstance(answer, ScanPage):
                    low, high = _covered(answer, low, high, reverse)
                now = self.calls.moment()
                self.calls.reads.append(
                    ReadCall(self.name, called, now, low, high, one, at, stale, answer)
                )


def _covered(
    page: ScanPage, start: bytes, stop: bytes | None, reverse: bool
) -> tuple[bytes, bytes | None]:
    """Return the bounds of the keys that a page covers, of those that were asked for."""
    if page.next is None:
        return start, stop
    return (page.next, stop) if reverse else (start, page.next)


def record(world: World) -> Calls:
    """Record what the clients of ``world`` are asked for and hand back, from now on.

    Raises :class:`~kvraft.errors.BadInput` if it has clients already.
    """
    made = world.new_client
    if world.clients or not isinstance(made, type):
        raise BadInput("clients are recorded from the start: before the first of them is made")
    calls = Calls(world.time)
    world.new_client = partial(type("Recorded", (RecordedClient, made), {}), calls=calls)
    return calls
