"""The runtime of a client, which carries what it sends and makes time pass.

A client has no thread, no socket and no clock of its own.  Its runtime passes it replies and ticks
(:meth:`kvraft.client.Client.receive`, :meth:`~kvraft.client.Client.tick`), and is all that the
client knows of networks and time.  So the same client runs in a simulated world, and by hand in a
test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kvraft.transaction import Request


class ClientRuntime(Protocol):
    """What a client needs of the world it runs in."""

    def wall_millis(self) -> int:
        """Return the wall time in milliseconds since the Unix epoch, for timestamps."""

    def millis(self) -> int:
        """Return milliseconds since some moment, for deadlines; they never jump."""

    def number(self) -> int:
        """Return a number for a request: a new one each time.

        An earlier client of the same name must not have been given it, so that no reply to that one
        is taken for a reply to this one.
        """

    def send(self, request: Request) -> None:
        """Carry a request to its member; it may get lost."""

    def wait(self, condition: Callable[[], bool]) -> None:
        """Return once ``condition`` holds; meanwhile pass the client its replies and ticks."""

    def until(self, condition: Callable[[], bool]) -> Awaitable[None]:
        """Return an awaitable that is done once ``condition`` holds."""
