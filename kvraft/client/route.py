"""Whom a client asks: the member that leads, for all that it knows, or else each in turn.

Source: thesis §6.2 (finding the leader).
"""

from __future__ import annotations


class Route:
    """The way to ``members``; without a leader the ``turn``-th is asked first."""

    def __init__(self, members: tuple[str, ...], turn: int) -> None:
        self.members = members
        self.leader: str | None = None
        """The member that answered as leader last, or was named as such."""
        self._turn = turn
        self._heard = 0  # milliseconds: when the leader said anything last

    @property
    def next(self) -> str:
        """The member to ask now."""
        return self.leader or self.members[self._turn % len(self.members)]

    def heard(self, member: str, now: int) -> None:
        """Take note that a member said something, at ``now`` in milliseconds."""
        if member == self.leader:
            self._heard = now

    def turn_from(self, member: str) -> None:
        """No leader is known: ask the one after ``member`` next."""
        self.leader = None
        self._turn = self.members.index(member) + 1

    def suspect(self, asked: str, now: int, patience: int) -> None:
        """The member that was ``asked`` has not answered in time: turn to the next one.

        Unless it leads and said something else less than ``patience`` milliseconds ago: then it is
        only this request that it lost, maybe long ago, before it crashed.  With many under way,
        somebody would doubt it all the time.
        """
        silent = now - self._heard >= patience
        if self.leader is None or (self.leader == asked and silent):
            self.turn_from(asked)
