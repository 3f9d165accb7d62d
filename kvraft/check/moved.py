"""What is new in a world since a checker last looked: members that moved, messages that were sent.

A step of a world changes one member, as a rule, so a checker that looks at all of them after each
step spends most of its time on what is as it was.

Invariant: what is left out has not changed since it was looked at, unless somebody changed it from
outside, without the world.
"""

from __future__ import annotations

from typing import Any

from kvraft.sim import World


class MovedMembers:
    """The members of ``world`` that did anything since they were last asked for."""

    def __init__(self, world: World) -> None:
        self._seats = world.seats
        self._moves: dict[str, int] = {}

    def names(self) -> list[str]:
        """Return the names of members that moved, and count from here on."""
        known, moved = self._moves, []
        for name, seat in self._seats.items():
            if known.get(name) != seat.moves:
                known[name] = seat.moves
                moved.append(name)
        return moved


def new_messages(world: World, last: int, kinds: Any) -> list[tuple[int, Any]]:
    """Return the messages in flight of certain ``kinds`` with numbers above ``last``, in order."""
    fresh = []
    for id, envelope in reversed(world.network.in_flight.items()):
        if id <= last:
            break
        if isinstance(envelope.message, kinds):
            fresh.append((id, envelope.message))
    fresh.reverse()
    return fresh
