"""Planted bugs of the client: members do everything right, and callers are misled.

Nothing on the wire is wrong, so only who looks at what clients called and got can notice.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from kvraft.client import Client, DraftTransaction, PendingRead, Ticket
from kvraft.record import Timestamp, TxnId
from kvraft.transaction import (
    Read,
    ReadReply,
    Redirect,
    Reply,
    Request,
    Stage,
    Submit,
    WriteReply,
    Writes,
)


class _Watched:
    """The runtime of a client, with ``sending`` between the client and the network."""

    def __init__(self, runtime: Any, sending: Any) -> None:
        self._runtime = runtime
        self._sending = sending

    def send(self, request: Request) -> None:
        """Send what ``sending`` makes of a request."""
        self._runtime.send(self._sending(request))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a copy asks before there is anything
            raise AttributeError(name)
        return getattr(self._runtime, name)


class _OwnRuntime(Client):
    """A client that changes what it sends."""

    def __init__(self, *arguments: Any, runtime: Any, **options: Any) -> None:
        super().__init__(*arguments, runtime=_Watched(runtime, self.sending), **options)

    def sending(self, request: Request) -> Request:
        """Return what is sent instead of ``request``."""
        raise NotImplementedError


class TakesLateAnswers(_OwnRuntime):
    """An answer to any read is taken for that to the latest one: numbers are not compared."""

    _latest = 0

    def sending(self, request: Request) -> Request:
        """Remember the number of a read."""
        if isinstance(request, Read):
            self._latest = request.number
        return request

    def receive(self, reply: Reply) -> None:
        """Take an answer for the one to the latest read."""
        if isinstance(reply, ReadReply):
            reply = reply._replace(number=self._latest)
        super().receive(reply)


class RetriesUnderNewIds(_OwnRuntime):
    """A transaction that is sent again has a new id, so no session knows that it was applied."""

    _AGAIN = 1 << 32

    def sending(self, request: Request) -> Request:
        """Give each attempt but the first an id of its own."""
        if isinstance(request, Submit) and request.attempt > 1:
            txn = request.transaction.id
            again = txn._replace(sequence=txn.sequence + request.attempt * self._AGAIN)
            request = request._replace(transaction=request.transaction.with_id(again))
        return request

    def receive(self, reply: Reply) -> None:
        """Take a reply to any attempt for one to the transaction."""
        if isinstance(reply, WriteReply):
            super().receive(reply._replace(txn=self._first(reply.txn)))
        elif isinstance(request := getattr(reply, "request", None), TxnId):
            super().receive(reply._replace(request=self._first(request)))  # type: ignore[call-arg]
        else:
            super().receive(reply)

    def _first(self, txn: TxnId) -> TxnId:
        return txn._replace(sequence=txn.sequence % self._AGAIN)


class TimeoutIsFailure(Client):
    """A client reports a write as failed if no answer came before its deadline."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._mine: list[Ticket] = []

    def submit_if(self, reads: dict[bytes, Timestamp], writes: Writes, **options: Any) -> Ticket:
        """Submit ``writes``, and remember the ticket."""
        self._mine.append(ticket := super().submit_if(reads, writes, **options))
        return ticket

    def tick(self) -> None:
        """Take copies of what is past its deadline for lost."""
        for ticket in self._mine:
            if not ticket.done and ticket.runtime.millis() >= ticket.deadline:
                ticket.live_attempts.clear()
        super().tick()


class RedirectIsFailure(Client):
    """A client takes the redirect of a leader that stepped down for proof of no effect."""

    def receive(self, reply: Reply) -> None:
        """Handle any redirect as one of a member that appended nothing."""
        if isinstance(reply, Redirect):
            reply = reply._replace(may_still_apply=False)
        super().receive(reply)


class AppendedIsEnough(Client):
    """A client takes a write for done once the leader has appended it."""

    def receive(self, reply: Reply) -> None:
        """Handle the news of an append as the final answer."""
        if isinstance(reply, WriteReply) and reply.stage is Stage.APPENDED:
            reply = reply._replace(stage=Stage.APPLIED)
        super().receive(reply)


class DraftsWithoutReads(Client):
    """A client does not send what its transactions read, so that one overwrites another."""

    def transaction(self, read: Callable[[bytes], ReadReply] | None = None) -> DraftTransaction:
        """Return a draft that forgets what it read."""

        def submit(reads: dict[bytes, Timestamp], writes: Writes, **options: Any) -> Ticket:
            return self.submit(writes, **options)

        return DraftTransaction(read or self.read, submit, self.wait_for)


class ReadsAnywhere(Client):
    """A client reads what the nearest member has, though it was asked for a fresh read."""

    def __init__(self, *args: Any, random: Random, **options: Any) -> None:
        super().__init__(*args, random=random, **options)
        self._near = random.choice(self.members)

    def read(self, key: Any, **options: Any) -> ReadReply:
        """Read ``key`` at the nearest member, at once."""
        return super().read(key, **{**options, "member": self._near, "stale": True})

    def start_read(self, key: Any, **options: Any) -> PendingRead:
        """Begin to read ``key`` there."""
        return super().start_read(key, **{**options, "member": self._near, "stale": True})


BUGS = {
    "late answers taken": TakesLateAnswers,
    "retries under new ids": RetriesUnderNewIds,
    "timeout is failure": TimeoutIsFailure,
    "redirect is failure": RedirectIsFailure,
    "appended is enough": AppendedIsEnough,
    "drafts without reads": DraftsWithoutReads,
    "reads anywhere": ReadsAnywhere,
}
"""The planted bugs of this place by name."""
