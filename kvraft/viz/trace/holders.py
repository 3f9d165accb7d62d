"""Who held a member's log, and when: folded from its events.

What a holder needs is asked of :class:`~kvraft.replica.Pins`, so a picture says what the rule
says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvraft.events import (
    MemberCrashed,
    MemberStopped,
    MessageDelivered,
    MessageLost,
    MessageSent,
    PinsChanged,
    SegmentSealed,
    Trace,
    TraceStep,
)
from kvraft.replica import Pin, Pins

TREE, FOLLOWER, SNAPSHOT, MEMBERS, UNPINNED = (
    "tree",
    "a follower",
    "a snapshot",
    "members",
    "nobody",
)
HOLDER_KINDS = (TREE, FOLLOWER, SNAPSHOT, MEMBERS, UNPINNED)
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


def hardest_pin(holders: Sequence[str]) -> str:
    """Return the hardest kind of hold among ``holders``, ``nobody`` if there are none."""
    kinds = {kind_of(holder) for holder in holders}
    return next((kind for kind in HOLDER_KINDS if kind in kinds), UNPINNED)


class PinnedFrom(NamedTuple):
    """From ``at`` on these hold the log of a member; it does not run if they are ``None``."""

    at: int
    pins: Pins | None


def pins_over_time(trace: Trace, member: str) -> list[PinnedFrom]:
    """Return who holds the log of ``member``, one item a change.

    An index is that of the moment at which it was told, so it may lie behind by less than a
    segment: which segments are held is exact.
    """
    return [
        PinnedFrom(at, _holds(event) if isinstance(event, PinsChanged) else None)
        for at, _, event in trace.of(PinsChanged, MemberCrashed, MemberStopped, who=member)
    ]


def _holds(event: PinsChanged) -> Pins:
    told = zip(event.pinned_by, event.needed_from, strict=True)
    return Pins(tuple(Pin(who, needs, HOLD_REASONS[kind_of(who)]) for who, needs in told))


def between(trace: Trace, *names: str) -> Trace:
    """Return what ``names`` did and the messages among them: for a diagram with few lanes."""
    ids = {
        e.id for _, who, e in trace if isinstance(e, MessageSent) and who in names and e.to in names
    }

    def kept(step: TraceStep) -> bool:
        event = step.event
        if isinstance(event, MessageSent | MessageDelivered | MessageLost):
            return event.id in ids
        return step.who in names

    return Trace(step for step in trace if kept(step))


def sealed_sizes(trace: Trace, member: str) -> dict[int, int]:
    """Return the bytes of each segment that ``member`` sealed, by number."""
    return {e.segment: e.size for _, _, e in trace.of(SegmentSealed, who=member)}  # type: ignore[attr-defined]
