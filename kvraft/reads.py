"""Linearizable reads: which ones wait, and for what (Raft §8, thesis §6.4).

A leader may serve a read as of its commit index, provided that it still leads.  It cannot know by
looking at itself; so it waits until a quorum has answered a heartbeat *round* that began after the
read was asked for.  One round serves all reads that gathered before it.

Invariant: a read waits for a round that had not begun when it was asked for, or that begins with
it; answers to an earlier round never count.
"""

from __future__ import annotations

from typing import NamedTuple


class Asker(NamedTuple):
    """A follower that asked on behalf of its own reader; ``asker`` names one start of it."""

    member: str
    asker: int
    token: int


class Waiting(NamedTuple):
    """A read that waits for an answered ``round``, and for ``index`` to be committed."""

    who: Asker | int  # an int is the token of a reader of the leader itself
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    round: int


class Reads:
    """The reads that wait at a leader."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, who: Asker | int, index: int, round: int) -> None:
        """Let a read wait."""
        self._waiting.append(Waiting(who, index, round))

    def want(self, round: int) -> bool:
        """Return whether a read waits for a later round than ``round``."""
        return bool(self._waiting) and self._waiting[-1].round > round  # rounds never fall

    def release(self, answered: int, commit_index: int) -> list[Waiting]:
        """Return the reads that may be served, and wait for them no more."""
        free: list[Waiting] = []
        still: list[Waiting] = []
        for waiting in self._waiting:
            served = waiting.round <= answered and waiting.index <= commit_index
            (free if served else still).append(waiting)
        self._waiting = still
        return free

    def give_up(self) -> list[Waiting]:
        """Return all reads, and wait for none of them any more."""
        waiting, self._waiting = self._waiting, []
        return waiting
