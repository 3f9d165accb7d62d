"""What is new in a world since it was last looked at: members that moved, messages that were sent.

A step of a world changes one member, as a rule, so a checker that looks at all of them after each
step spends most of its time on what is as it was.

Invariant: what is left out has not changed since it was looked at, unless somebody changed it from
outside, without the world.
"""

from __future__ import annotations

from typing import Any

from kvraft.sim import World


class News:
    """What is new in ``world``; all its checkers share one, which is gathered once a step.

    ``members`` are the names of those that did anything between the last two calls of
    :meth:`gather`, and ``messages`` those that were sent meanwhile and are still in flight, in
    order, with their numbers.
    """

    def __init__(self, world: World) -> None:
        self.members: list[str] = []
        self.messages: list[tuple[int, Any]] = []
        self._seats = world.seats
        self._network = world.network
        self._moves: dict[str, int] = {}
        self._last_id = 0  # of the messages gathered

    def gather(self) -> None:
        """Gather what is new since the last call."""
        known = self._moves
        self.members = moved = []
        for name, seat in self._seats.items():
            if known.get(name) != seat.moves:
                known[name] = seat.moves
                moved.append(name)
        self.messages = fresh = self.sent()
        if fresh:
            self._last_id = fresh[-1][0]

    def sent(self) -> list[tuple[int, Any]]:
        """Return the messages that were sent since :meth:`gather` and are in flight, in order."""
        fresh = []
        for id, envelope in reversed(self._network.in_flight.items()):
            if id <= self._last_id:
                break
            fresh.append((id, envelope.message))
        fresh.reverse()
        return fresh
