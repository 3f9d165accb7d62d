"""What pinned a member's log, and when: folded from its events.

:class:`~kvraft.replica.Pins` decides which segments a pin covers, so pictures follow the rule that
members follow.
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
PIN_KINDS = (TREE, FOLLOWER, SNAPSHOT, MEMBERS, UNPINNED)
"""What pins a segment, the hardest pin first."""

PIN_REASONS = {
    TREE: "in no table yet",
    FOLLOWER: "this follower lacks it",
    SNAPSHOT: "to continue after it",
    MEMBERS: "others may lack it",
}


def kind_of(pinned_by: str) -> str:
    """Return the kind of a pin: one of :data:`PIN_KINDS`."""
    if pinned_by in (TREE, MEMBERS):
        return pinned_by
    return SNAPSHOT if pinned_by.startswith("snapshot for ") else FOLLOWER


def hardest_pin(pinned_by: Sequence[str]) -> str:
    """Return the hardest kind of pin among ``pinned_by``, ``nobody`` if there is none."""
    kinds = {kind_of(name) for name in pinned_by}
    return next((kind for kind in PIN_KINDS if kind in kinds), UNPINNED)


class PinnedFrom(NamedTuple):
    """The pins of a member's log from ``at`` on; ``None`` while it is down."""

    at: int
    pins: Pins | None


def pins_over_time(trace: Trace, member: str) -> list[PinnedFrom]:
    """Return what pins the log of ``member``, one item a change.

    An index is that of the moment at which it was reported, so it may lag by less than a segment:
    which segments are pinned is exact.
    """
    return [
        PinnedFrom(at, _pins(event) if isinstance(event, PinsChanged) else None)
        for at, _, event in trace.of(PinsChanged, MemberCrashed, MemberStopped, who=member)
    ]


def _pins(event: PinsChanged) -> Pins:
    pairs = zip(event.pinned_by, event.needed_from, strict=True)
    return Pins(tuple(Pin(who, needs, PIN_REASONS[kind_of(who)]) for who, needs in pairs))


def between(trace: Trace, *names: str) -> Trace:
    """Return the steps of ``names`` and the messages among them, for a diagram with few lanes."""
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
