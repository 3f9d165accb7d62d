"""What an implementation is asked: each property that it is judged by, and what that needs.

Safety is in ``check/properties.py``, by the names of the papers.  A :class:`Promise` is what they
do not name: that the answers make sense at all, and that something good happens.

A property is *not tried* where the implementation lacks what it is about: :data:`NEEDS` says what.
"""

from __future__ import annotations

from enum import StrEnum

from kvraft.check.properties import FIGURE_3, Property


class Promise(StrEnum):
    """A promise that is judged in a trial only; its value is its name."""

    ANSWERS = "answers that make sense"
    """What it returns is of the right type and fits what it returned before; it never raises."""
    LEADER = "a leader in time"
    """After healing there is a leader within ten election timeouts (§5.2, §5.6)."""
    PROGRESS = "writes after healing"
    """Then a write is applied by every member, within ten more."""
    ACKNOWLEDGED = "acknowledged writes stay"
    """What a leader applied of its own proposals every member has applied in the end (§8)."""


class Ability(StrEnum):
    """A part of consensus that an implementation may lack; its value is its name."""

    SNAPSHOTS = "snapshots"
    MEMBERSHIP = "membership"
    LEASES = "leases"
    READS = "reads"
    TRANSFERS = "transfers"


METHODS = {
    Ability.SNAPSHOTS: "compact",
    Ability.MEMBERSHIP: "propose_change",
    Ability.LEASES: "lease",
    Ability.READS: "read_index",
    Ability.TRANSFERS: "transfer_leader",
}
"""By which attribute an implementation has an ability."""

NEEDS: dict[str, Ability] = {
    Property.ONE_LEASE: Ability.LEASES,
    Property.ONE_CHANGE: Ability.MEMBERSHIP,
    Property.FRESH_READS: Ability.READS,
}
"""The properties that are about an ability."""

CONSENSUS: tuple[str, ...] = (
    Promise.ANSWERS,
    *FIGURE_3,
    Property.COMMITTED_KEPT,
    Property.DURABLE_FIRST,
    Property.ONE_VOTE,
    Property.NOTHING_GOES_BACK,
    Property.ONE_CHANGE,
    Property.ONE_LEASE,
    Property.FRESH_READS,
    Promise.ACKNOWLEDGED,
    Promise.LEADER,
    Promise.PROGRESS,
)
"""What a consensus module is judged by, in the order of the report."""
