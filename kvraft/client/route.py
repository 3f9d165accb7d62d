"""Which member a client asks: the leader as far as it knows one, otherwise each in turn.

Invariant: however members name each other, each is asked in turn until one answers as the leader.
One that was only named is asked out of turn: if it is of no help, those who come after the one that
named it are next.  Otherwise two removed members could send a client to and fro until it gives up.

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

    def led_by(self, member: str) -> None:
        """Record that a member has answered as the leader; after it, the next one in turn is."""
        self.leader = member
        if member in self.members:
            self._turn = self.members.index(member)

    def turn_from(self, member: str) -> None:
        """Turn to the next member, since ``member`` was of no help to a request.

        Another request may have done so already: then nothing changes.
        """
        if member == self.leader:
            self.leader = None
        elif member != self.members[self._turn % len(self.members)]:
            return
        self._turn += 1
        if member == self.members[self._turn % len(self.members)]:
            self._turn += 1

    def suspect(self, asked: str, now: int, patience: int) -> None:
        """Turn to the next member, since the one that was ``asked`` has not answered in time.

        A leader that has answered something else less than ``patience`` milliseconds ago is kept:
        it has only lost this request, maybe before a crash.  With many requests pending, one of
        them would otherwise cast doubt on it all the time.
        """
        silent = now - self._last_heard >= patience
        if self.leader is None or (self.leader == asked and silent):
            self.turn_from(asked)
