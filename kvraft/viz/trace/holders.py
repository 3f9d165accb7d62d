"""Who held a member's log, and when: folded from its events.

What a holder needs is asked of :class:`~kvraft.replica.retention.Holds`, so a picture says what the rule
says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvraft.events import (
    Crashed,
    Delivered,
    Failed,
    HoldsChanged,
    Lost,
    SegmentSealed,
    Sent,
    Step,
    Trace,
)
from kvraft.replica.retention import Hold, Holds

TREE, FOLLOWER, SNAPSHOT, MEMBERS, NOBODY = "tree", "a follower", "a snapshot", "members", "nobody"
HOLDER_KINDS = (TREE, FOLLOWER, SNAPSHOT, MEMBERS, NOBODY)
"""Who holds a segment, the hardest hold first."""

HOLD_REASONS = {
    TREE: "in no table yet",
    FOLLOWER: "this follower lacks it",
    SNAPSHOT: "to go on behind it",
    MEMBERS: "others may lack it",
}


def kind_of(holder: str) -> str:
    """Return what kind of holder that is: one of :data:`HOLDER_KINDS`."""
    if holder in (TREE, MEMBERS):
        return holder
    return SNAPSHOT if holder.startswith("snapshot for ") else FOLLOWER


def held_by(holders: Sequence[str]) -> str:
    """Return the hardest kind of hold among ``holders``, ``nobody`` if there are none."""
    kinds = {kind_of(holder) for holder in holders}
    return next((kind for kind in HOLDER_KINDS if kind in kinds), NOBODY)


class HeldFrom(NamedTuple):
    """From ``at`` on these hold the log of a member; it does not run if they are ``None``."""

    at: int
    holds: Holds | None


def holds_over_time(trace: Trace, member: str) -> list[HeldFrom]:
    """Return who holds the log of ``member``, one item a change.

    An index is that of the moment at which it was told, so it may lie behind by less than a
    segment: which segments are held is exact.
    """
    return [
        HeldFrom(at, _holds(event) if isinstance(event, HoldsChanged) else None)
        for at, _, event in trace.of(HoldsChanged, Crashed, Failed, who=member)
    ]


def _holds(event: HoldsChanged) -> Holds:
    told = zip(event.holders, event.needs, strict=True)
    return Holds(tuple(Hold(who, needs, HOLD_REASONS[kind_of(who)]) for who, needs in told))


def between(trace: Trace, *names: str) -> Trace:
    """Return what ``names`` did and the messages among them: for a diagram with few lanes."""
    ids = {e.id for _, who, e in trace if isinstance(e, Sent) and who in names and e.to in names}

    def kept(step: Step) -> bool:
        event = step.event
        if isinstance(event, Sent | Delivered | Lost):
            return event.id in ids
        return step.who in names

    return Trace(step for step in trace if kept(step))


def sealed_sizes(trace: Trace, member: str) -> dict[int, int]:
    """Return the bytes of each segment that ``member`` sealed, by number."""
    return {e.segment: e.size for _, _, e in trace.of(SegmentSealed, who=member)}  # type: ignore[attr-defined]
