"""Which member a client asks: the leader as far as it knows one, otherwise each in turn.

Source: thesis §6.2 (finding the leader).
"""

from __future__ import annotations


class Route:
    """The choice among ``members``; without a leader the ``turn``-th is asked first."""

    def __init__(self, members: tuple[str, ...], turn: int) -> None:
        self.members = members
        self.leader: str | None = None
        """The member that last answered as leader, or was named as leader."""
        self._turn = turn
        self._last_heard = 0  # milliseconds: when the leader last answered

    @property
    def next(self) -> str:
        """The member to ask now."""
        return self.leader or self.members[self._turn % len(self.members)]

    def heard(self, member: str, now: int) -> None:
        """Record that a member has answered, at ``now`` in milliseconds."""
        if member == self.leader:
            self._last_heard = now

    def turn_from(self, member: str) -> None:
        """Forget the leader, and ask the one after ``member`` next."""
        self.leader = None
        self._turn = self.members.index(member) + 1

    def suspect(self, asked: str, now: int, patience: int) -> None:
        """Turn to the next member, since the one that was ``asked`` has not answered in time.

        A leader that has answered something else less than ``patience`` milliseconds ago is kept:
        it has only lost this request, maybe before a crash.  With many requests pending, one of
        them would otherwise cast doubt on it all the time.
        """
        silent = now - self._last_heard >= patience
        if self.leader is None or (self.leader == asked and silent):
            self.turn_from(asked)
