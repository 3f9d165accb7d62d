"""The reading desk of a member: reads and scans that clients ask for, and who waits for what.

A request is answered once this member knows how far it must have come: from its own leadership, if
it is sure of it, or, if asked to answer in any case, from its leader (thesis §6.4)::

    asked here ──► leads? ──► consensus says how far ──► applied that far ──► answered from the tree
                     ╰─ no ─► redirected, unless this member is to answer itself

A stale request is answered at once, with what this member has.

A scan is answered page by page, and each page is a request like any other: it is linearizable by
itself.  That all of them show one moment is for the client to see to, which asks for the later ones
``at`` the time of the first; that works where history is kept (client/client.py).

Invariants:

- Nothing is answered from the tree before consensus has said that it may be.
- A page holds at most :data:`~kvraft.transaction.PAGE_ROWS` keys, and at most :data:`PAGE_BYTES`
  of keys and values unless a single pair is longer; it holds one at least, if there is one, so that
  a scan moves on.
- Between its bounds and its ``next`` a page is complete, but for kvraft's own keys, which it never
  shows.

Source: Raft §8, thesis §6.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from kvraft.errors import BadInput, NotLeader
from kvraft.lsm import Tree, View
from kvraft.mapping import prefix_stop
from kvraft.raft import Raft, ReadReady, Role
from kvraft.record import RESERVED_PREFIX, KeyValue
from kvraft.transaction import PAGE_ROWS, Read, ReadReply, Redirect, Scan, ScanPage

PAGE_BYTES = 1 << 20
"""How many bytes of keys and values a page has at most, unless its only pair has more."""

_AFTER_RESERVED = prefix_stop(RESERVED_PREFIX) or b""


class ReadDesk:
    """Takes requests to read and gives answers to ``answer``, each one exactly once.

    ``kept`` says whether the tree keeps history, so that a later page can be asked at the time of
    an earlier one.
    """

    def __init__(
        self,
        member: str,
        raft: Raft,
        tree: Tree,
        *,
        kept: bool,
        answer: Callable[[ReadReply | ScanPage | Redirect], None],
    ) -> None:
        self._member = member
        self._raft = raft
        self._tree = tree
        self._kept = kept
        self._answer = answer
        self._waiting: dict[int, Read | Scan] = {}  # by token
        self._next = 1

    def take(self, request: Read | Scan) -> None:
        """Take a request: answer it, let it wait or send its client on.

        A stale one is read at once, and raises ``OSError`` or ``Corruption`` if the disk fails.
        """
        if request.stale:
            self._serve(request)
            return
        if self._raft.role is not Role.LEADER and not request.follower_read:
            self._redirect(request, self._raft.leader)
            return
        token = self._next
        try:
            self._raft.read_index(token)
        except NotLeader as refusal:
            self._redirect(request, refusal.leader)
            return
        self._next += 1
        self._waiting[token] = request

    def serve(self, ready: ReadReady) -> None:
        """Answer the request whose index has been reached."""
        self._serve(self._waiting.pop(ready.token))

    def fail(self, token: int) -> None:
        """Send the client of a request on that consensus could not confirm."""
        self._redirect(self._waiting.pop(token), self._raft.leader)

    def _serve(self, request: Read | Scan) -> None:
        """Answer from the tree as it is: it may have come further than it had to wait for."""
        self._answer(self.page(request) if isinstance(request, Scan) else self.read(request))

    def read(self, request: Read) -> ReadReply:
        """Return what a key holds, or why that cannot be told."""
        refused, found, index = "", None, self._tree.applied.index
        try:
            found = self._tree.version(request.key, at=request.at)
        except BadInput as error:
            refused = str(error)
        stamp, value = found if found and found.value is not None else (0, None)
        return ReadReply(self._member, request.sender, request.number, value, index, stamp, refused)

    def page(self, request: Scan) -> ScanPage:
        """Return the page that a scan begins with, or why there is none."""
        index = self._tree.applied.index
        to, number = request.sender, request.number
        try:
            view = self._tree.view(at=request.at)
        except BadInput as error:
            return ScanPage(self._member, to, number, (), None, index, error=str(error))
        with view:
            pairs, after = self.fill_page(request, self.rows(request, view))
        return ScanPage(self._member, to, number, pairs, after, index, view.timestamp, self._kept)

    def rows(self, request: Scan, view: View) -> Iterator[KeyValue]:
        """Return what a client may see between the bounds of a scan; kvraft's own keys are not."""
        start, stop = request.start, request.stop
        spans = (
            (start, RESERVED_PREFIX if stop is None else min(stop, RESERVED_PREFIX)),
            (max(start, _AFTER_RESERVED), stop),
        )
        found = [
            view.scan(low, high, reverse=request.reverse)
            for low, high in (reversed(spans) if request.reverse else spans)
            if high is None or low < high
        ]
        return chain.from_iterable(found)

    def fill_page(
        self, request: Scan, rows: Iterator[KeyValue]
    ) -> tuple[tuple[KeyValue, ...], bytes | None]:
        """Return the pairs of a page, and where the next page begins, ``None`` if nowhere."""
        limit = max(1, min(request.limit, PAGE_ROWS))
        pairs: list[KeyValue] = []
        size = 0
        for key, value in rows:
            size += len(key) + len(value)
            if pairs and (len(pairs) == limit or size > PAGE_BYTES):
                return tuple(pairs), pairs[-1][0] if request.reverse else key
            pairs.append((key, value))
        return tuple(pairs), None

    def _redirect(self, request: Read | Scan, leader: str | None) -> None:
        self._answer(
            Redirect(self._member, request.sender, request.number, request.attempt, leader)
        )
