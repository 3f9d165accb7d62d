"""Who may cut the log: the one rule of a log with two owners.

Consensus reads the log for its followers, the tree to rebuild its memtables; neither may delete
segments by itself.  Each *holder* names the oldest index that it still needs, and a sealed segment
goes once all of it lies below every one of these::

    segments   ┌───────┐┌───────┐┌───────┐┌───────┐┌───────┐
               │ 1   9 ││10  19 ││20  29 ││30  39 ││40 ··  │ active: never
               └───────┘└───────┘└───────┘└───────┘└───────┘
                 free      n3       n3     n3, tree  n3, tree
                          ▲ n3 needs 12         ▲ the tree needs 34

- **The tree** needs all above its flushed mark: after a crash that is all there is of it.  This
  hold is hard, nothing bounds it but flushing.  An open transaction is not applied, so it lies
  above that mark.
- **A follower** needs all that is not on its disk.  This hold is soft: it reaches back no further
  than ``budget`` bytes of sealed log.  One that needs more is sent a snapshot, so it holds nothing
  until it has got that.  What is on its way to it counts as got, until it is known to be lost.  A
  member that does not lead cannot tell the others apart; it knows through where all of them have
  the log (AppendEntries.all_replicated_index), and keeps the same budget, for it may lead tomorrow.
- **A snapshot in flight** needs all behind the place it was taken at, or its receiver could not go
  on from there and would need the next one.  It gets twice the budget: were it no more than a
  follower's, then one that takes its time would never be done with snapshots.

Invariant: what :class:`Pins` frees is needed neither to recover this member, nor by a member
within its budget.

Sources: Raft §7; Kudu's log anchors and ``max_log_segments``, CockroachDB's quota for truncation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvraft.raft import FollowerStatus, ProgressState
from kvraft.wal import Segment


class Pin(NamedTuple):
    """``pinned_by`` still needs the log from index ``needed_from`` on, and ``reason``."""

    pinned_by: str
    needed_from: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pins:
    """All that hold the log of one member at one moment."""

    pins: tuple[Pin, ...]

    def __iter__(self) -> Iterator[Pin]:
        return iter(self.pins)

    @property
    def floor(self) -> int:
        """The oldest index that anybody needs: what lies below it may go."""
        return min(hold.needed_from for hold in self.pins)

    def needed_from(self, pinned_by: str) -> int | None:
        """Return the oldest index that ``holder`` needs, ``None`` if it holds nothing."""
        return next((hold.needed_from for hold in self.pins if hold.pinned_by == pinned_by), None)

    def of(self, segment: Segment) -> tuple[Pin, ...]:
        """Return who still needs ``segment``; it may go once that is nobody and it is sealed."""
        return tuple(hold for hold in self.pins if hold.needed_from <= segment.high)

    def frees(self, segment: Segment) -> bool:
        """Return whether ``segment`` may go."""
        return segment.sealed and segment.high < self.floor


def tree_pin(flushed: int) -> Pin:
    """Return what the tree holds whose tables reach through index ``flushed``."""
    return Pin("tree", flushed + 1, "what lies behind is in no table yet")


def members_pin(replicated: int, reach: int) -> Pin:
    """Return what a member that does not lead holds for the others.

    All of them have the log through ``replicated``; ``reach`` is how far back the budget goes.
    """
    if replicated + 1 >= reach:
        return Pin("members", replicated + 1, "not known to be on every member")
    return Pin("members", reach, "as much as the budget allows, should this member lead")


def follower_pins(
    followers: Mapping[str, FollowerStatus], base: int, reach: int, far_reach: int
) -> Iterator[Pin]:
    """Yield what the followers of a leader hold whose log begins behind index ``base``.

    ``reach`` is how far back the budget goes for a follower, ``far_reach`` for a snapshot.
    """
    for name, follower in followers.items():
        if follower.state == ProgressState.SNAPSHOT:
            needs = max(follower.snapshot + 1, far_reach)
            yield Pin(f"snapshot for {name}", needs, f"{name} goes on from there")
        elif follower.next_unsent > base:  # it may lack nothing that is gone
            known = max(follower.match, base) + 1
            why = f"it is known to hold all through {follower.match}"
            yield Pin(name, max(known, reach), why if reach <= known else f"{why}: over budget")
        # else it is sent a snapshot next, whatever the log still holds


def oldest_within_budget(segments: Sequence[Segment], budget: int) -> int:
    """Return the first index of the oldest sealed segment from which on ``budget`` bytes suffice.

    That is 0 if they suffice for all of them.
    """
    for segment in reversed(segments):
        if segment.sealed:
            budget -= segment.size
            if budget < 0:
                return segment.high + 1
    return 0
