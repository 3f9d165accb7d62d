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

- **PROBE**: the leader does not know where the two logs meet.  It sends one append at a time, until
  one succeeds.
- **REPLICATE**: they meet.  Appends follow each other without waiting (pipelining), until
  ``window`` of them are not answered yet (flow control).
- **SNAPSHOT**: chunk after chunk, one at a time; no entries.

Invariants: ``match < next``; ``match`` never falls within a term, not even if the follower lost
what it acknowledged, which is reported instead; at most one message with content is in flight to a
follower in PROBE or SNAPSHOT.

Sources: Raft Figure 2 ("volatile state on leaders"), §7; thesis §10.2.2 (pipelining).
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
    ``in_flight`` holds the last index of each append, or chunk, that is not answered.
    """

    next: int
    match: int = 0
    state: ProgressState = ProgressState.PROBE
    in_flight: deque[int] = field(default_factory=deque)
    round: int = 0  # the latest heartbeat round that it answered
    last_heard: int | None = None  # the tick in which it was last heard
    match_round: int = 0  # the leader's round when ``match`` was acknowledged
    lost_entries: bool = False  # whether it has lost entries that it had acknowledged
    snapshot: Snapshot | None = None  # the snapshot that it is being sent
    snapshot_number: int = 0  # its number among all that were sent in this term
    offset: int = 0  # of the chunk that is in flight, or is sent next
    sent_round: int = 0  # the round in which that chunk was sent

    def paused(self, window: int) -> bool:
        """Return whether nothing with content may be sent until an answer comes.

        A probe that fails would make each append after it fail, too, and a chunk of a snapshot can
        be lost: so one at a time.  A follower that keeps up is not waited for, but a slow one is
        not flooded either (thesis §10.2.2).
        """
        if self.state is ProgressState.REPLICATE:
            return len(self.in_flight) >= window
        return bool(self.in_flight)

    @property
    def last_sent(self) -> int:
        """The last entry of the appends that are not answered, 0 if there is none."""
        if self.state is ProgressState.SNAPSHOT or not self.in_flight:
            return 0
        return self.in_flight[-1]

    def sent(self, last: int) -> None:
        """Note that an append with entries through ``last``, or a chunk, is in flight."""
        self.in_flight.append(last)
        if self.state is ProgressState.REPLICATE:
            # Assume that it arrives, and continue after it.  If it is lost, the next one fails the
            # consistency check, and the refusal leads back to PROBE (§5.3).
            self.next = last + 1

    def heard_since(self, tick: int) -> bool:
        """Return whether the follower was heard in ``tick`` or later."""
        return self.last_heard is not None and self.last_heard >= tick

    def matched(self, index: int, round: int) -> None:
        """Record that the follower holds everything through ``index``, learned in ``round``."""
        if index > self.match:  # an older answer may come later, and has nothing new
            self.match, self.match_round = index, round
        if self.state is ProgressState.PROBE:  # the logs meet: now appends may be pipelined
            self.begin(ProgressState.REPLICATE)
        # An answer covers all appends up to its index, also those whose own answers were lost.
        while self.in_flight and self.in_flight[0] <= index:
            self.in_flight.popleft()
        self.next = max(self.next, self.match + 1)

    def retracts_acknowledgement(self, prev_index: int, round: int) -> bool:
        """Return whether a refusal of ``prev_index`` retracts what was acknowledged.

        The append of ``round`` that it answers must have left after the acknowledgement came:
        otherwise the refusal may be an older one that was overtaken.
        """
        return 0 < prev_index <= self.match and round > self.match_round

    def rejected(self, prev_index: int, meet: int) -> bool:
        """Go back to probing: the logs differ at ``prev_index``, and may agree at ``meet``.

        Return whether that is news, which an answer that was overtaken by a later one is not.
        """
        if prev_index <= self.match or self.state is ProgressState.SNAPSHOT:
            return False  # it has acknowledged that place since, or is being sent a snapshot
        if self.state is ProgressState.PROBE and prev_index != self.next - 1:
            return False  # it answers an earlier probe: ``next`` would go back twice for it
        self.begin(ProgressState.PROBE)
        # "Decrement nextIndex and retry" (§5.3): by more than one where the hint allows it, at
        # least by one, so that probing ends, and never below what is known to match.
        self.next = max(self.match, min(meet, prev_index - 1)) + 1
        return True

    def begin(self, state: ProgressState) -> None:
        """Change to ``state``; what is in flight no longer counts."""
        self.state = state
        self.in_flight.clear()
        self.snapshot, self.offset = None, 0
        if state is not ProgressState.SNAPSHOT:
            self.next = self.match + 1
