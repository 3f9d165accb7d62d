"""The read desk of a member: the reads and scans that clients ask for, and their answers.

A request is answered once this member has applied the log through the read index.  A leader that is
sure to lead knows that index; for a follower read, the member asks its leader (thesis §6.4)::

    asked here ──► leads? ──► read index known ──► applied through it ──► answered from the tree
                     ╰─ no ─► redirected, unless it is a follower read

A stale request is answered at once, with what this member has.

A scan is answered page by page, and each page is a request like any other, linearizable by itself.
For all pages to show one moment, the client asks for the later ones ``at`` the time of the first;
that works where history is kept (client/reading.py).

Invariants:

- Nothing but a stale request is answered from the tree before consensus has confirmed its index.
- A page has at most :data:`~kvraft.transaction.PAGE_ROWS` keys, and at most :data:`PAGE_BYTES` of
  keys and values unless a single pair is longer.  It has at least one pair if there is one, so that
  a scan makes progress.
- Between its bounds and its ``next`` a page is complete, except for kvraft's own keys, which it
  never shows.

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
    """Takes requests to read and passes answers to ``answer``, one for each.

    ``kept`` is whether the tree keeps history, so that a later page can be read at the time of an
    earlier one.
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
        """Take a request: answer it, queue it or redirect its client.

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
        """Answer the request whose read index has been applied."""
        self._serve(self._waiting.pop(ready.token))

    def fail(self, token: int) -> None:
        """Redirect the client of a request that consensus could not confirm."""
        self._redirect(self._waiting.pop(token), self._raft.leader)

    def _serve(self, request: Read | Scan) -> None:
        """Answer from the tree, which may have applied more than the read index."""
        self._answer(self.page(request) if isinstance(request, Scan) else self.read(request))

    def read(self, request: Read) -> ReadReply:
        """Return the value of a key with its timestamp, or why it cannot be read."""
        problem, found, index = "", None, self._tree.applied.index
        try:
            found = self._tree.version(request.key, at=request.at)
        except BadInput as error:
            problem = str(error)
        stamp, value = found if found and found.value is not None else (0, None)
        to, number = request.sender, request.number
        return ReadReply(self._member, to, number, value, index, stamp, problem)

    def page(self, request: Scan) -> ScanPage:
        """Return the first page of a scan, or why it cannot be read."""
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
        """Return the pairs between the bounds of a scan, without kvraft's own keys."""
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
        """Return the pairs of a page, and where the next one begins, ``None`` if it is the last."""
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
