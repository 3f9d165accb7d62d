"""Linearizable reads: which ones wait, and for what (Raft §8, thesis §6.4).

A leader may serve a read as of its commit index, provided that it still leads.  It cannot know by
looking at itself; so it waits until a quorum has answered a heartbeat *round* that began after the
read was asked for.  One round serves all reads that gathered before it (:class:`WaitingReads`).  A
follower asks its leader, and then waits until it holds what the leader held
(:class:`ForwardedReads`)::

    follower   ask ──► wait for the answer ──► wait for the index to be committed here ──► serve
    leader             wait for a round, and for its own term to commit ──► answer

Invariants:

- A read waits for a round that had not begun when it was asked for, or that begins with it; answers
  to an earlier round never count.
- An answer is taken by the one question that it answers: a question is named by its member, the
  member's incarnation and a number that is used once in it.
- Each wait above ends after ``election_ticks``: then the read has failed.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kvraft.raft.interface import ReadReady


class RemoteReader(NamedTuple):
    """A follower that asked on behalf of its own reader; ``incarnation`` is its incarnation."""

    member: str
    incarnation: int
    token: int


class WaitingRead(NamedTuple):
    """A read that waits for an answered ``round``, and for ``index`` to be committed."""

    who: RemoteReader | int  # an int is the token of a reader of the leader itself
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    round: int
    since: int  # the tick in which it was asked for


class WaitingReads:
    """The reads that wait at a leader."""

    def __init__(self) -> None:
        self._waiting: list[WaitingRead] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: WaitingRead) -> None:
        """Let a read wait."""
        self._waiting.append(waiting)

    def release(self, answered: int, commit_index: int) -> list[WaitingRead]:
        """Return the reads that may be served, and wait for them no more."""
        free: list[WaitingRead] = []
        still: list[WaitingRead] = []
        for waiting in self._waiting:
            served = waiting.round <= answered and waiting.index <= commit_index
            (free if served else still).append(waiting)
        self._waiting = still
        return free

    def give_up(self, since: int) -> list[WaitingRead]:
        """Return the reads asked for in tick ``since`` or before, and wait for them no more."""
        late = [waiting for waiting in self._waiting if waiting.since <= since]
        self._waiting = [waiting for waiting in self._waiting if waiting.since > since]
        return late


class Lease:
    """For how long nobody else can have been elected: ``ticks`` from when a round began that a
    quorum answered (thesis §6.4.1).

    Whoever answered it listens to no candidate for an election timeout, and ``ticks`` is less.
    """

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self._since: int | None = None  # when the latest answered round began
        self._rounds: deque[tuple[int, int]] = deque()  # those not answered, and when they began

    @property
    def waits(self) -> bool:
        """Whether answers to a round would extend it."""
        return bool(self._rounds)

    def began(self, round: int, tick: int) -> None:
        """A round of heartbeats began: the lease counts from then, not from when it is answered."""
        if self._ticks:
            self._rounds.append((round, tick))

    def answered(self, round: int) -> None:
        """A quorum has answered all rounds through ``round``."""
        while self._rounds and self._rounds[0][0] <= round:
            self._since = self._rounds.popleft()[1]

    def holds(self, tick: int) -> bool:
        """Return whether it holds in ``tick``."""
        return self._since is not None and tick - self._since < self._ticks

    def end(self) -> None:
        """End it for this term: an election that its leader ordered heeds none, however late."""
        self._since = None
        self._rounds.clear()
        self._ticks = 0


class ForwardedReads:
    """The reads that were asked for at a follower: those it asked its leader about, by number, and
    those that were answered and wait for their index.

    Ticks say since when each waits.
    """

    def __init__(self) -> None:
        self._number = 0
        self._asked: dict[int, tuple[int, int]] = {}  # number → token, tick
        self._answered: list[tuple[ReadReady, int]] = []  # and the tick of the answer

    def __len__(self) -> int:
        return len(self._asked) + len(self._answered)

    def ask(self, token: int, tick: int) -> int:
        """Let the read ``token`` wait for an answer; return the number to ask under."""
        self._number += 1
        self._asked[self._number] = (token, tick)
        return self._number

    def answered(self, number: int, index: int, tick: int) -> int | None:
        """Take an answer, ``index`` being -1 if there is none; return the token if that fails it.

        Nothing is done for a number that is not waited for.
        """
        token, _ = self._asked.pop(number, (None, 0))
        if token is not None and index >= 0:
            self._answered.append((ReadReady(token, index), tick))
            return None
        return token

    def release(self, commit_index: int) -> list[ReadReady]:
        """Return the reads that may be served, and wait for them no more."""
        if not self._answered:
            return []
        free = [read for read, _ in self._answered if read.index <= commit_index]
        self._answered = [wait for wait in self._answered if wait[0].index > commit_index]
        return free

    def give_up_asked(self) -> list[int]:
        """Return the tokens of all reads that have no answer, and wait for none any more."""
        tokens = [token for token, _ in self._asked.values()]
        self._asked.clear()
        return tokens

    def give_up(self, since: int) -> list[int]:
        """Return the tokens of reads whose wait began in tick ``since`` or before; wait no more.

        One wait is for the answer, the next for the index: who is removed, or cut off, hears of
        neither.
        """
        if not self:
            return []
        late = [number for number, (_, tick) in self._asked.items() if tick <= since]
        tokens = [self._asked.pop(number)[0] for number in late]
        tokens += [read.token for read, tick in self._answered if tick <= since]
        self._answered = [wait for wait in self._answered if wait[1] > since]
        return tokens
