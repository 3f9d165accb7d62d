"""The reads of a client: one key, or a scan page by page.

A client is read with the same calls as a store (mapping.py).  Over a network each key is a request,
and each page of a scan is one, so that no reply is huge.  :meth:`ClientReads.pages` has what the
pages of a scan guarantee together::

    Scan(start=b"")          ──►   ScanPage(…, next=b"m", timestamp=17)
    Scan(start=b"m", at=17)  ──►   ScanPage(…, next=None, timestamp=17)

Invariant: the code here knows a request and its reply (``_begin``, ``_wait``), and nothing of
leaders, retries and time.

Source: Raft §8, thesis §6.4 (linearizable reads).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from typing import overload

from kvraft.client.ticket import TIMEOUT_MILLIS, PendingRead
from kvraft.errors import BadInput, KvraftError
from kvraft.events import ReadEnded
from kvraft.inputs import flag, whole_number
from kvraft.mapping import ReadableMapping, scan_bounds
from kvraft.record import MAX_KEY_BYTES, Buffer, KeyValue, Timestamp, label
from kvraft.transaction import PAGE_ROWS, Read, ReadReply, Scan, ScanPage, check_key


class ReadFailed(KvraftError):
    """A read got no answer before its deadline, or asks for a time that cannot be read."""


class ClientReads(ReadableMapping):
    """The calls of a client that read."""

    @property
    @abstractmethod
    def members(self) -> tuple[str, ...]:
        """The members that the client knows."""

    @abstractmethod
    def _begin(self, request: Read | Scan, member: str | None, timeout: int) -> PendingRead:
        """Send a request, whose sender and number are filled in here, until there is a reply."""

    @abstractmethod
    def _wait(self, read: PendingRead) -> None:
        """Wait until a request is done."""

    def _ask(
        self, request: Read | Scan, member: str | None, what: str, timeout: int
    ) -> ReadReply | ScanPage:
        """Return the reply to a request.

        Raises :class:`ReadFailed`, in whose message the request is called ``what``.
        """
        read = self._begin(request, member, timeout)
        self._wait(read)
        if read.answer is None:
            raise ReadFailed(f"nobody answered the {what} within {timeout} ms")
        if refused := read.answer.error:
            raise ReadFailed(f"{read.answer.sender} cannot answer the {what}: {refused}")
        return read.answer

    @overload
    def get(
        self,
        key: Buffer,
        default: bytes,
        *,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> bytes: ...

    @overload
    def get(
        self,
        key: Buffer,
        default: bytes | None = None,
        *,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> bytes | None: ...

    def get(
        self,
        key: Buffer,
        default: bytes | None = None,
        *,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> bytes | None:
        """Return the value of ``key``, ``default`` if it has none, by a linearizable read.

        The leader answers, or ``member``, which first asks the leader for the read index.  With
        ``stale`` that member answers at once with what it has: the value may be old, and a later
        read may return an even older one.

        With ``at``, a timestamp, the value is the one of that time: of everything stamped at or
        below it, and nothing later.  As timestamps only rise along the log, a second read returns
        the same.

        Raises :class:`ReadFailed` if there is no reply within ``timeout`` milliseconds, or if the
        value ``at`` that time is no longer kept, or not known yet.
        """
        value = self.read(key, at=at, member=member, stale=stale, timeout=timeout).value
        return default if value is None else value

    def read(
        self,
        key: Buffer,
        *,
        at: Timestamp | None = None,
        member: str | None = None,
        stale: bool = False,
        timeout: int = TIMEOUT_MILLIS,
    ) -> ReadReply:
        """Return the value of ``key`` with its timestamp and log index; see :meth:`get`."""
        key = check_key(key)
        self._check_reading(at, member, stale, timeout)
        request = Read("", "", 0, 0, key, member is not None, stale, at)
        answer = self._ask(request, member, f"read of {key!r:.60}", timeout)
        assert isinstance(answer, ReadReply)
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
        """Ask for ``key`` and return at once; see :meth:`get` for what is asked.

        The reply will be the ``answer`` of what is returned, once that is ``done``, and is reported
        as :class:`~kvraft.events.ReadEnded`.
        """
        key = check_key(key)
        self._check_reading(at, member, stale, timeout)
        request = Read("", "", 0, 0, key, member is not None, stale, at)
        read = self._begin(request, member, timeout)
        read.reported = True
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
        """Ask for the first page of a scan and return at once; see :meth:`pages`.

        :func:`next_page` says what to ask for next.
        """
        low, high = _bounds(start, stop, None)
        scan = self._scan(low, high, reverse, at, member, stale, page_rows, timeout)
        return self._begin(scan, member, timeout)

    def scan(
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
    ) -> Generator[KeyValue, None, None]:
        """Return an iterator over keys and values with ``start <= key < stop``, in order of keys.

        With ``prefix`` instead of bounds, it is over all keys with that prefix; with ``reverse``,
        from the last key to the first.  The pairs come in pages, each read when the one before it
        is used up; see :meth:`pages` for what they guarantee together.  ``at``, ``member`` and
        ``stale`` mean the same as for :meth:`get`, and ``timeout`` is for each page.

        Raises :class:`~kvraft.errors.BadInput` at once for invalid bounds, and :class:`ReadFailed`
        from the iterator, as :meth:`get` does.
        """
        pages = self.pages(
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
        return (pair for page in pages for pair in page.pairs)

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
        """Return an iterator over the pages of a scan (:meth:`scan`), ``page_rows`` keys each.

        A member may make them shorter (replica/desk.py).  Each page is a linearizable read of its
        part of the keys, unless ``stale``.  What they show together depends on whether the members
        keep history (``history_millis``), which a page reports as ``history_kept``:

        - if they do, or with ``at``, all pages show one moment, the ``timestamp`` of the first.  A
          scan that takes longer than history is kept ends with :class:`ReadFailed`;
        - if not, each page shows the moment at which it was read, its own ``timestamp``.  A
          transaction that commits between two pages may be seen in part.  No key is shown twice,
          and, unless ``stale``, no key that had a value throughout is missed.
        """
        low, high = _bounds(start, stop, prefix)
        first = self._scan(low, high, reverse, at, member, stale, page_rows, timeout)
        return self._pages(first, member, timeout)

    def _scan(
        self,
        start: bytes,
        stop: bytes | None,
        reverse: bool,
        at: Timestamp | None,
        member: str | None,
        stale: bool,
        page_rows: int,
        timeout: int,
    ) -> Scan:
        """Return the request for the first page, checked."""
        self._check_reading(at, member, stale, timeout)
        flag(reverse, "reverse")
        whole_number(page_rows, "the number of keys in a page", minimum=1)
        follower = member is not None
        return Scan("", "", 0, 0, start, stop, page_rows, reverse, follower, stale, at)

    def _pages(
        self, first: Scan, member: str | None, timeout: int
    ) -> Generator[ScanPage, None, None]:
        scan: Scan | None = first
        while scan is not None:
            stop = "the end" if scan.stop is None else f"{scan.stop!r:.60}"
            what = f"scan from {scan.start!r:.60} to {stop}"
            page = self._ask(scan, member, what, timeout)
            assert isinstance(page, ScanPage)
            yield page
            scan = next_page(scan, page)

    def _check_reading(
        self, at: Timestamp | None, member: str | None, stale: bool, timeout: int
    ) -> None:
        """Check the arguments that reads and scans have in common."""
        if member is not None and member not in self.members:
            raise BadInput(f"there is no member called {member}: {', '.join(self.members)}")
        if stale and member is None:
            raise BadInput("a stale read needs the name of a member")
        if at is not None:
            whole_number(at, "a time to read at", minimum=0)
        whole_number(timeout, "a timeout", minimum=0)


def next_page(scan: Scan, page: ScanPage) -> Scan | None:
    """Return what to ask for after ``page``, the answer to ``scan``; ``None`` after the last."""
    if page.next is None:
        return None
    at = page.timestamp if page.history_kept else scan.at
    start, stop = (scan.start, page.next) if scan.reverse else (page.next, scan.stop)
    return scan._replace(start=start, stop=stop, at=at)


def read_ended(read: PendingRead) -> ReadEnded:
    """Return the event for a read of one key that is done."""
    answer = read.answer
    assert isinstance(read.request, Read)
    assert not isinstance(answer, ScanPage)
    key = label(read.request.key)
    if answer is None:
        return ReadEnded(key, False, "", "", 0, "nobody answered before the deadline")
    value = None if answer.error else answer.value
    found = value is not None
    return ReadEnded(key, found, label(value or b""), answer.sender, answer.index, answer.error)


def _bounds(
    start: Buffer, stop: Buffer | None, prefix: Buffer | None
) -> tuple[bytes, bytes | None]:
    """Return the bounds of a scan; ``BadInput`` if they are invalid, or longer than any key."""
    low, high = scan_bounds(start, stop, prefix)
    if prefix is not None:
        check_key(low)
    longest = max(len(low), len(high or b""))
    if longest > MAX_KEY_BYTES:
        raise BadInput(f"a bound of {longest} bytes is longer than any key: {MAX_KEY_BYTES}")
    return low, high
