"""Linearizable reads: which ones wait, and for what (Raft §8, thesis §6.4).

A leader may serve a read as of its commit index if it still leads.  Its own state does not tell it;
so it waits until a quorum has answered a heartbeat *round* that began after the read was asked for.
One round serves all reads that gathered before it (:class:`WaitingReads`).  A follower asks its
leader, and then waits until it holds what the leader held (:class:`ForwardedReads`)::

    follower   ask ──► wait for the answer ──► wait for the index to be committed here ──► serve
    leader             wait for a round, and for its own term to commit ──► answer

Invariants:

- A read waits for a round that had not begun when it was asked for, or that begins with it; answers
  to an earlier round never count.
- An answer counts for one question only: a question is named by its member, the member's
  incarnation and a number that is used once in it.
- Each wait above ends after ``election_ticks``: then the read has failed.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kvraft.raft.interface import ReadReady
from kvraft.record import MAX_NUMBER


class RemoteReader(NamedTuple):
    """A follower that asked for one of its own readers; ``incarnation`` is the follower's."""

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
        """Queue a read."""
        self._waiting.append(waiting)

    def release(self, answered: int, commit_index: int) -> list[WaitingRead]:
        """Remove and return the reads that may be served.

        ``answered`` is the latest round that a quorum has answered.
        """
        free: list[WaitingRead] = []
        still: list[WaitingRead] = []
        for waiting in self._waiting:
            served = waiting.round <= answered and waiting.index <= commit_index
            (free if served else still).append(waiting)
        self._waiting = still
        return free

    def expire(self, since: int) -> list[WaitingRead]:
        """Remove and return the reads that were asked for in tick ``since`` or before."""
        late = [waiting for waiting in self._waiting if waiting.since <= since]
        self._waiting = [waiting for waiting in self._waiting if waiting.since > since]
        return late


class Lease:
    """The time in which no other leader can have been elected: ``ticks`` from the start of the
    latest round that a quorum answered (thesis §6.4.1).

    A member that answered it listens to no candidate for an election timeout, and ``ticks`` is
    less.
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
        """Note that a round began in ``tick``.

        The lease counts from there: followers may have answered right after, and count from then.
        """
        if self._ticks:
            self._rounds.append((round, tick))

    def answered(self, round: int) -> None:
        """Extend the lease: a quorum has answered all rounds through ``round``."""
        while self._rounds and self._rounds[0][0] <= round:
            self._since = self._rounds.popleft()[1]

    def holds(self, tick: int) -> bool:
        """Return whether the lease is valid in ``tick``."""
        return self._since is not None and tick - self._since < self._ticks

    def left(self, tick: int) -> int:
        """Return how many ticks after ``tick`` it ends; without a lease, more than anyone waits."""
        if not self.holds(tick):
            return MAX_NUMBER
        assert self._since is not None
        return self._since + self._ticks - tick

    def end(self) -> None:
        """End it for this term: the voters grant an election that the leader ordered at any time.

        The order may arrive late, so no later round can renew the lease either.
        """
        self._since = None
        self._rounds.clear()
        self._ticks = 0


class ForwardedReads:
    """The reads of a follower's own clients: those that it asked its leader about, by number, and
    those that were answered and wait for their index.
    """

    def __init__(self) -> None:
        self._number = 0
        self._asked: dict[int, tuple[int, int]] = {}  # number → token, tick
        self._answered: list[tuple[ReadReady, int]] = []  # and the tick of the answer

    def __len__(self) -> int:
        return len(self._asked) + len(self._answered)

    def ask(self, token: int, tick: int) -> int:
        """Queue the read ``token``, which waits for an answer; return the number to ask under."""
        self._number += 1
        self._asked[self._number] = (token, tick)
        return self._number

    def answered(self, number: int, index: int, tick: int) -> int | None:
        """Take an answer; return the token of the read that fails, if ``index`` is -1.

        An answer with a number that no read waits under changes nothing.
        """
        token, _ = self._asked.pop(number, (None, 0))
        if token is not None and index >= 0:
            self._answered.append((ReadReady(token, index), tick))
            return None
        return token

    def release(self, commit_index: int) -> list[ReadReady]:
        """Remove and return the reads whose index is committed here."""
        if not self._answered:
            return []
        free = [read for read, _ in self._answered if read.index <= commit_index]
        self._answered = [wait for wait in self._answered if wait[0].index > commit_index]
        return free

    def fail_asked(self) -> list[int]:
        """Remove all reads that have no answer, and return their tokens."""
        tokens = [token for token, _ in self._asked.values()]
        self._asked.clear()
        return tokens

    def expire(self, since: int) -> list[int]:
        """Remove the reads whose wait began in tick ``since`` or before; return their tokens.

        One wait is for the answer, the next for the index: a member that is removed or cut off gets
        neither.
        """
        if not self:
            return []
        late = [number for number, (_, tick) in self._asked.items() if tick <= since]
        tokens = [self._asked.pop(number)[0] for number in late]
        tokens += [read.token for read, tick in self._answered if tick <= since]
        self._answered = [wait for wait in self._answered if wait[1] > since]
        return tokens
