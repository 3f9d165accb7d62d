"""The properties of consensus, by name, and the error that is raised when one does not hold.

Sources: Raft Figure 3 and §5.4.3 (the first five), §5.2, §6, §8; thesis §6.4.1 (leases).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from kvraft.errors import BadInput, KvraftError


class Property(StrEnum):
    """A property that must always hold; its value is its name."""

    ELECTION_SAFETY = "election safety"
    """At most one leader a term (Figure 3)."""
    LEADER_APPEND_ONLY = "leader append-only"
    """A leader never drops or changes entries of its log (Figure 3)."""
    LOG_MATCHING = "log matching"
    """Logs that hold an entry of one index and term are the same through it (Figure 3)."""
    LEADER_COMPLETENESS = "leader completeness"
    """What was committed in one term is in the log of every later leader (Figure 3)."""
    STATE_MACHINE_SAFETY = "state-machine safety"
    """No two members apply different entries at one index (Figure 3)."""
    COMMITTED_KEPT = "committed entries are kept"
    """A quorum's disks hold what is committed, from the moment that it is."""
    ONE_VOTE = "one vote a term"
    """A member votes for one candidate in a term, whatever it forgot in between (§5.2)."""
    DURABLE_FIRST = "durable before use"
    """A term, a vote or an entry is on disk before a message says so (Figure 2)."""
    NOTHING_GOES_BACK = "nothing goes back"
    """Terms never fall; a vote and what is on disk stay; the commit index falls in a crash only."""
    ONE_LEASE = "one lease"
    """While a leader holds a lease, no member leads a later term (thesis §6.4.1)."""
    ONE_CHANGE = "one change at a time"
    """A change of members starts after the last is committed, by overlapping majorities (§6)."""
    FRESH_READS = "fresh reads"
    """A read sees everything that was committed when it was requested (§8)."""


FIGURE_3 = (
    Property.ELECTION_SAFETY,
    Property.LEADER_APPEND_ONLY,
    Property.LOG_MATCHING,
    Property.LEADER_COMPLETENESS,
    Property.STATE_MACHINE_SAFETY,
)
"""The five properties of Figure 3, in its order."""


class Violation(KvraftError):
    """A property that must always hold does not.

    ``property`` is its name, ``members`` are the members that break it, ``what`` says how.
    """

    def __init__(self, property: str, members: Sequence[str], what: str) -> None:
        super().__init__(f"{property}: {what}")
        self.property = property
        self.members = tuple(members)
        self.what = what


def named(text: str) -> Property:
    """Return the property called ``text``.

    Raises :class:`~kvraft.errors.BadInput` if there is no such property.
    """
    try:
        return Property(text)
    except ValueError:
        raise BadInput(f"there is no property {text!r}: {', '.join(Property)}") from None
