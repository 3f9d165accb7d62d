"""Planted bugs of the client: which answer belongs to which request, and what an answer means."""

from __future__ import annotations

from random import Random
from typing import Any

from kvraft.client import Client, DraftTransaction, Ticket
from kvraft.record import Timestamp
from kvraft.transaction import (
    Read,
    ReadReply,
    Redirect,
    Reply,
    Request,
    Stage,
    WriteReply,
    Writes,
)


class _Noting:
    """A runtime of a client that remembers the latest read."""

    def __init__(self, runtime: Any) -> None:
        self.latest = 0
        self._runtime = runtime

    def send(self, request: Request) -> None:
        """Note ``request``, and carry it."""
        if isinstance(request, Read):
            self.latest = request.number
        self._runtime.send(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


class TakesAnyAnswer(Client):
    """A client takes the next answer to a read for the answer to its latest one."""

    def __init__(self, *args: Any, runtime: Any, **options: Any) -> None:
        self._noting: Any = _Noting(runtime)
        super().__init__(*args, runtime=self._noting, **options)

    def receive(self, reply: Reply) -> None:
        """Handle an answer to any read as one to the latest."""
        if isinstance(reply, ReadReply):
            reply = reply._replace(number=self._noting.latest)
        super().receive(reply)


class RetriesUnderANewId(Client):
    """A client that heard nothing of a transaction sends it again as another one."""

    def retry(self, ticket: Ticket, **options: Any) -> None:
        """Reopen ``ticket`` under a new id."""
        ticket.attempts = 0
        ticket.live_attempts.clear()
        super().retry(ticket, **options)


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

    def transaction(self) -> DraftTransaction:
        """Return a draft that forgets what it read."""

        def submit(reads: dict[bytes, Timestamp], writes: Writes, **options: Any) -> Ticket:
            return self.submit(writes, **options)

        return DraftTransaction(self.read, submit, self.wait_for)


class ReadsAnywhere(Client):
    """A client reads what the nearest member has, though it was asked for a fresh read."""

    def __init__(self, *args: Any, random: Random, **options: Any) -> None:
        super().__init__(*args, random=random, **options)
        self._near = random.choice(self.members)

    def read(self, key: Any, **options: Any) -> ReadReply:
        """Read ``key`` at the nearest member, at once."""
        return super().read(key, **{**options, "member": self._near, "stale": True})


BUGS = {
    "takes any answer": TakesAnyAnswer,
    "retries under a new id": RetriesUnderANewId,
    "timeout is failure": TimeoutIsFailure,
    "redirect is failure": RedirectIsFailure,
    "appended is enough": AppendedIsEnough,
    "drafts without reads": DraftsWithoutReads,
    "reads anywhere": ReadsAnywhere,
}
"""The planted bugs of this place by name."""
