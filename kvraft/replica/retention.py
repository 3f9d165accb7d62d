"""What pins the log: the one rule by which a log with two owners is truncated.

Consensus reads the log for its followers, the tree to rebuild its memtables; neither may delete
segments by itself.  Each *pin* names the oldest index that is still needed, and a sealed segment
may be dropped once all of it lies below every pin::

    segments   ┌───────┐┌───────┐┌───────┐┌───────┐┌───────┐
               │ 1   9 ││10  19 ││20  29 ││30  39 ││40 ··  │ active: never
               └───────┘└───────┘└───────┘└───────┘└───────┘
                 free      n3       n3     n3, tree  n3, tree
                          ▲ n3 needs 12         ▲ the tree needs 34

- **The tree** needs everything above its flushed mark: after a crash, that exists nowhere else on
  this disk.  Only a flush bounds this pin.  An open transaction is not applied, so it lies above
  that mark.
- **A follower** needs what is not on its disk, back to at most ``budget`` bytes of sealed log.  One
  that needs more is sent a snapshot and pins nothing until it has that.  What is on its way to it
  counts as received until it is known to be lost.  A member that does not lead cannot distinguish
  the others; it knows through which index all of them have the log
  (``AppendEntries.all_replicated_index``).  It keeps the same budget, since it may lead next.
- **A snapshot in flight** needs everything after its position; otherwise its receiver could not
  continue from there and would need the next one.  Its budget is twice a follower's: with the same
  one, a slow receiver would be sent snapshots endlessly.

Invariant: what :class:`Pins` frees is needed neither to recover this member, nor by a member
within its budget.

Sources: Raft §7; Kudu's log anchors and ``max_log_segments``, CockroachDB's quota for truncation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvraft.raft import FollowerStatus, ProgressState, Raft, Role
from kvraft.wal import Segment, Wal


class Pin(NamedTuple):
    """``pinned_by`` still needs the log from index ``needed_from`` on, and ``reason``."""

    pinned_by: str
    needed_from: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pins:
    """All pins of one member's log at one moment."""

    pins: tuple[Pin, ...]

    def __iter__(self) -> Iterator[Pin]:
        return iter(self.pins)

    @property
    def floor(self) -> int:
        """The oldest index that is pinned: what lies below it may be dropped."""
        return min(pin.needed_from for pin in self.pins)

    def needed_from(self, pinned_by: str) -> int | None:
        """Return the oldest index that ``pinned_by`` needs, ``None`` if it pins nothing."""
        return next((pin.needed_from for pin in self.pins if pin.pinned_by == pinned_by), None)

    def of(self, segment: Segment) -> tuple[Pin, ...]:
        """Return the pins on ``segment``; a sealed one without any may be dropped."""
        return tuple(pin for pin in self.pins if pin.needed_from <= segment.high)

    def frees(self, segment: Segment) -> bool:
        """Return whether ``segment`` may be dropped."""
        return segment.sealed and segment.high < self.floor


def member_pins(raft: Raft, wal: Wal, flushed: int, budget: int) -> Pins:
    """Return what pins ``wal`` in a member whose tables reach through index ``flushed``.

    ``budget`` is how many bytes of sealed log are kept for others.
    """
    segments = wal.segments
    tree, reach = tree_pin(flushed), oldest_within_budget(segments, budget)
    if raft.role is Role.LEADER:
        far_reach = oldest_within_budget(segments, 2 * budget)
        return Pins((tree, *follower_pins(raft.followers, wal.base.index, reach, far_reach)))
    if raft.configuration.members == (raft.member,):
        return Pins((tree,))
    return Pins((tree, members_pin(raft.all_replicated_index, reach)))


def tree_pin(flushed: int) -> Pin:
    """Return the pin of a tree whose tables reach through index ``flushed``."""
    return Pin("tree", flushed + 1, "later entries are not in a table yet")


def members_pin(replicated: int, reach: int) -> Pin:
    """Return the pin that a member which does not lead keeps for the others.

    All of them have the log through ``replicated``; the budget goes back to index ``reach``.
    """
    if replicated + 1 >= reach:
        return Pin("members", replicated + 1, "not known to be on every member")
    return Pin("members", reach, "as much as the budget allows, should this member lead")


def follower_pins(
    followers: Mapping[str, FollowerStatus], base: int, reach: int, far_reach: int
) -> Iterator[Pin]:
    """Yield the pins of the followers of a leader whose log begins after index ``base``.

    The budget goes back to index ``reach`` for a follower, to ``far_reach`` for a snapshot.
    """
    for name, follower in followers.items():
        if follower.state == ProgressState.SNAPSHOT:
            needs = max(follower.snapshot + 1, far_reach)
            yield Pin(f"snapshot for {name}", needs, f"{name} continues from there")
        elif follower.next_unsent > base:  # it lacks no entry that was dropped
            known = max(follower.match, base) + 1
            why = f"it is known to have all through {follower.match}"
            yield Pin(name, max(known, reach), why if reach <= known else f"{why}: over budget")
        # else it is sent a snapshot next, whatever the log still holds


def oldest_within_budget(segments: Sequence[Segment], budget: int) -> int:
    """Return the first index of the sealed segments that fit into ``budget``, newest first.

    It is 0 if all of them fit.
    """
    for segment in reversed(segments):
        if segment.sealed:
            budget -= segment.size
            if budget < 0:
                return segment.high + 1
    return 0
