"""The reading half of a client: one key, or a scan page by page, and like a mapping.

A client reads what a cluster holds in the words in which a store is read (face.py).  What differs
is what a network allows: each key is a request, and a scan is a request for each page, so that no
answer is huge.  What the pages of a scan promise together is said at :meth:`ClientReads.pages`::

    Scan(start=b"")          ──►   Page(…, next=b"m", timestamp=17)
    Scan(start=b"m", at=17)  ──►   Page(…, next=None, timestamp=17)

Invariant: everything here is said in terms of one question that gets one answer (``_ask``), and
knows nothing of leaders, retries and time.

Source: Raft §8, thesis §6.4 (linearizable reads).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from typing import overload

from kvraft.client.ticket import TIMEOUT_MILLIS
from kvraft.errors import BadInput
from kvraft.inputs import flag, whole_number
from kvraft.mapping import ReadableMapping, scan_bounds
from kvraft.record import MAX_KEY_BYTES, Buffer, KeyValue, Timestamp
from kvraft.transaction import PAGE_ROWS, Read, ReadReply, Scan, ScanPage, check_key


class ClientReads(ReadableMapping):
    """What a client can ask for without changing anything."""

    @property
    @abstractmethod
    def members(self) -> tuple[str, ...]:
        """The members it knows of."""

    @abstractmethod
    def _ask(
        self, request: Read | Scan, member: str | None, what: str, timeout: int
    ) -> ReadReply | ScanPage:
        """Return the answer to a request, whose sender and number are filled in here.

        Raises :class:`~kvraft.client.ReadFailed`, which calls it ``what``.
        """

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
        """Return what ``key`` holds, ``default`` if nothing: a linearizable read (thesis §6.4).

        The leader answers, or ``member``, which asks the leader how far it must have come first.
        With ``stale`` that member answers at once with what it has: the value may be old, and a
        later read may find an older one yet.

        With ``at``, a timestamp, it is what the key held then: everything stamped at or below it,
        and nothing later.  As stamps only rise along the log, asking again gives the same answer.

        Raises :class:`~kvraft.client.ReadFailed` if nobody answers within ``timeout`` milliseconds,
        or if what was ``at`` that time is not kept any more, or is not known yet.
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
        """Return value, timestamp and place in the log of what ``key`` holds; see :meth:`get`."""
        key = check_key(key)
        self._check_reading(at, member, stale, timeout)
        request = Read("", "", 0, 0, key, member is not None, stale, at)
        answer = self._ask(request, member, f"read of {key!r:.60}", timeout)
        assert isinstance(answer, ReadReply)
        return answer

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

        With ``prefix`` instead of bounds: over all keys that begin with it.  With ``reverse`` from
        the last key to the first.  What is there comes in pages, each asked for when the one before
        it is used up; :meth:`pages` returns them as they are, and says what they promise together.
        ``at``, ``member`` and ``stale`` mean what they mean for :meth:`get`, and ``timeout`` goes
        for each page.

        Raises :class:`~kvraft.errors.BadInput` at once for bounds that make no sense, and where it
        has come to :class:`~kvraft.client.ReadFailed`, as :meth:`get` does.
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
        keep history (``history_millis``), which a page says (``kept``):

        - if they do, or with ``at``, all pages show one moment, the ``timestamp`` of the first.  A
          scan that takes longer than history is kept ends with :class:`~kvraft.client.ReadFailed`;
        - if not, each page shows the moment at which it was read, its own ``timestamp``.  A
          transaction that commits between two pages may be seen in part.  No key is shown twice,
          and, unless ``stale``, none that was there all the time is missed.
        """
        start, stop = _bounds(start, stop, prefix)
        self._check_reading(at, member, stale, timeout)
        flag(reverse, "reverse")
        whole_number(page_rows, "the number of keys in a page", minimum=1)
        here = member is not None
        first = Scan("", "", 0, 0, start, stop, page_rows, reverse, here, stale, at)
        return self._pages(first, member, timeout)

    def _pages(
        self, scan: Scan, member: str | None, timeout: int
    ) -> Generator[ScanPage, None, None]:
        while True:
            stop = "the end" if scan.stop is None else f"{scan.stop!r:.60}"
            what = f"scan from {scan.start!r:.60} to {stop}"
            page = self._ask(scan, member, what, timeout)
            assert isinstance(page, ScanPage)
            yield page
            if page.next is None:
                return
            at = page.timestamp if page.history_kept else scan.at
            ends = (scan.start, page.next) if scan.reverse else (page.next, scan.stop)
            scan = scan._replace(start=ends[0], stop=ends[1], at=at)

    def _check_reading(
        self, at: Timestamp | None, member: str | None, stale: bool, timeout: int
    ) -> None:
        """Check what reads and scans have in common."""
        if member is not None and member not in self.members:
            raise BadInput(f"there is no member called {member}: {', '.join(self.members)}")
        if stale and member is None:
            raise BadInput("a stale read needs to be told at which member")
        if at is not None:
            whole_number(at, "a time to read at", minimum=0)
        whole_number(timeout, "a timeout", minimum=0)


def _bounds(
    start: Buffer, stop: Buffer | None, prefix: Buffer | None
) -> tuple[bytes, bytes | None]:
    """Return where a client's scan begins and stops; ``BadInput`` if it may not, or no key can."""
    low, high = scan_bounds(start, stop, prefix)
    if prefix is not None:
        check_key(low)
    longest = max(len(low), len(high or b""))
    if longest > MAX_KEY_BYTES:
        raise BadInput(f"a bound of {longest} bytes is longer than any key: {MAX_KEY_BYTES}")
    return low, high
