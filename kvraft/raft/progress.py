"""What a leader knows of one follower, and how fast it may send to it.

::

            ┌────────────────── entry refused ───────────────────┐
            ▼                                                    │
        ┌───────┐   an append succeeded                    ┌───────────┐
        │ PROBE │ ───────────────────────────────────────► │ REPLICATE │
        └───────┘                                          └───────────┘
            │  the log no longer holds what it needs             ▲
            ▼                                                    │
        ┌──────────┐   installed                                 │
        │ SNAPSHOT │ ────────────────────────────────────────────┘
        └──────────┘

- **PROBE**: where the two logs meet is not known.  One append at a time, until one is answered.
- **REPLICATE**: they meet.  Appends follow each other without waiting (pipelining), until
  ``window`` of them are not answered yet (flow control).
- **SNAPSHOT**: chunk after chunk, one at a time; no entries.

Invariants: ``match < next``; ``match`` never falls within a term, not even if the follower says
that it lost what it acknowledged, which is reported instead; of a follower in PROBE or
SNAPSHOT at most one message with content is on its way.

Sources: Raft Figure 2 ("volatile state on leaders"), §7; thesis §10.2.1 (pipelining).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from kvraft.raft.log import Snapshot


class ProgressState(StrEnum):
    """How a leader sends to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """One follower, as its leader sees it.

    ``next`` is the index of the next entry to send, ``match`` the last one known to be on its disk.
    ``in_flight`` holds the last index of each append that is not answered.
    """

    next: int
    match: int = 0
    state: ProgressState = ProgressState.PROBE
    in_flight: deque[int] = field(default_factory=deque)
    round: int = 0  # the latest heartbeat round that it answered
    last_heard: int | None = None  # the tick in which it was heard last
    match_round: int = 0  # the leader's round when ``match`` was acknowledged
    lost_entries: bool = False  # whether it has lost entries that it had acknowledged
    snapshot: Snapshot | None = None  # what it is being sent
    number: int = 0  # of that snapshot, among all that were sent in this term
    offset: int = 0  # of the chunk to send next, or that was sent last
    sent_round: int = 0  # the round in which the chunk was sent

    def paused(self, window: int) -> bool:
        """Return whether nothing with content may be sent until an answer comes.

        While it is not known where the logs meet, whatever follows the first append would be
        refused like it, and a chunk of a snapshot can be lost: so one at a time.  A follower that
        keeps up is not waited for, but a slow one is not flooded either (thesis §10.2.1).
        """
        if self.state is ProgressState.REPLICATE:
            return len(self.in_flight) >= window
        return bool(self.in_flight)

    @property
    def last_sent(self) -> int:
        """The last entry of the appends that are not answered, 0 if there is none."""
        return (
            self.in_flight[-1] if self.in_flight and self.state is not ProgressState.SNAPSHOT else 0
        )

    def sent(self, last: int) -> None:
        """Note that an append with entries through ``last`` is on its way."""
        self.in_flight.append(last)
        if self.state is ProgressState.REPLICATE:
            # Take for granted that it arrives, and go on after it.  If it is lost, the next one
            # fails the consistency check, and the refusal leads back to PROBE (§5.3).
            self.next = last + 1

    def heard_since(self, tick: int) -> bool:
        """Return whether the follower was heard in ``tick`` or later."""
        return self.last_heard is not None and self.last_heard >= tick

    def matched(self, index: int, round: int) -> None:
        """The follower holds everything through ``index``, as its leader learns in ``round``."""
        if index > self.match:  # an older answer may come later, and tells nothing new
            self.match, self.match_round = index, round
        if self.state is ProgressState.PROBE:  # the logs meet: no need to ask one by one any more
            self.begin(ProgressState.REPLICATE)
        # An answer covers all appends up to its index: those whose own answers were lost, too.
        while self.in_flight and self.in_flight[0] <= index:
            self.in_flight.popleft()
        self.next = max(self.next, self.match + 1)

    def retracts_acknowledgement(self, prev_index: int, round: int) -> bool:
        """Return whether a refusal of ``prev_index`` takes back what was acknowledged.

        The append of ``round`` that it answers must have left after the acknowledgement came: else
        the refusal may be an old one, from before it.
        """
        return 0 < prev_index <= self.match and round > self.match_round

    def rejected(self, prev_index: int, meet: int) -> bool:
        """The follower has no entry ``prev_index`` like the leader's; they may agree at ``meet``.

        Return whether that is news: an answer that was overtaken by a later one is none.
        """
        if prev_index <= self.match or self.state is ProgressState.SNAPSHOT:
            return False  # it has acknowledged that place since, or is being sent all of it
        if self.state is ProgressState.PROBE and prev_index != self.next - 1:
            return False  # it answers an earlier probe; heeded, ``next`` would go back twice
        self.begin(ProgressState.PROBE)
        # "Decrement nextIndex and retry" (§5.3): by more than one where the hint allows it, at
        # least by one, so that probing ends, and never below what is known to match.
        self.next = max(self.match, min(meet, prev_index - 1)) + 1
        return True

    def begin(self, state: ProgressState) -> None:
        """Go over to ``state``; what is on its way no longer counts."""
        self.state = state
        self.in_flight.clear()
        self.snapshot, self.offset = None, 0
        if state is not ProgressState.SNAPSHOT:
            self.next = self.match + 1
