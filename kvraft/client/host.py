"""The host of a client: the world it lives in, which carries what it sends and lets time pass.

A client has no thread, no socket and no clock of its own.  Its host hands it replies and ticks
(:meth:`kvraft.client.Client.receive`, :meth:`~kvraft.client.Client.tick`), and is all
that the client knows of networks and time: so the same client runs in a simulated world and by hand
in a test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kvraft.transaction import Request


class ClientRuntime(Protocol):
    """What a client needs of the world it lives in."""

    def wall_millis(self) -> int:
        """Return the wall time in milliseconds since the Unix epoch, for stamps: it may jump."""

    def millis(self) -> int:
        """Return milliseconds since some moment, for deadlines: these never jump."""

    def number(self) -> int:
        """Return a number for a request: a new one each time.

        No client that went by the same name before must have been given it, so that no answer to
        that one is taken for an answer to this one.
        """

    def send(self, request: Request) -> None:
        """Carry a request to the member it is for, as well as can be."""

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let time pass until ``condition`` holds, handing the client its replies and ticks."""

    def until(self, condition: Callable[[], bool]) -> Awaitable[None]:
        """Return something to await until ``condition`` holds."""
