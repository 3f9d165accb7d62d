"""Planted bugs of the client library: members do everything right, and their callers are misled.

Nothing on the wire is wrong, so only who looks at what clients called and got can notice.
:data:`CLIENT_BUGS` has the classes by name; each runs wherever :class:`~kvraft.client.Client` does.
"""

from __future__ import annotations

from typing import Any

from kvraft.client import Client
from kvraft.record import TxnId
from kvraft.transaction import Read, ReadReply, Reply, Request, Submit, WriteReply


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


CLIENT_BUGS: dict[str, type[Client]] = {
    "late answers taken": TakesLateAnswers,
    "retries under new ids": RetriesUnderNewIds,
}
"""The planted bugs of the client library by name."""
