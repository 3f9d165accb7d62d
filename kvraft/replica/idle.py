"""A member at rest: whether anything is left to do, and time that passes while nothing is.

Most of what reaches an idle member leaves nothing to drain, and most ticks only count.  An owner
that asks here can leave out both, and saves most of what an idle member costs.

Invariant: what is left out would have changed nothing but counters of ticks.
"""

from __future__ import annotations

from kvraft.raft import Raft, Ready
from kvraft.replica.skew import ClusterClock
from kvraft.replica.upkeep import Upkeep
from kvraft.transaction import Reply


class IdleMember:
    """What an owner may ask a member at rest; :class:`~kvraft.replica.Replica` completes it."""

    raft: Raft
    skew: ClusterClock
    unsaved: Ready | None
    waits_for_space: str
    _upkeep: Upkeep
    _replies: list[Reply]
    _rested: object = None  # what decides whether a drain has anything to end, after the last one

    def pass_ticks(self, count: int) -> None:
        """Take ``count`` ticks at once that only count, while its disk had no limit.

        Those are at most :attr:`kvraft.raft.Raft.quiet`.
        """
        self._upkeep.pass_ticks()
        self.skew.tick(count)
        self.raft.pass_ticks(count)

    @property
    def stuck(self) -> bool:
        """Whether something found the disk full, and is tried again with the next tick."""
        return self.unsaved is not None or bool(self.waits_for_space) or self._upkeep.full

    @property
    def settled(self) -> bool:
        """Whether a drain that has begun nothing would end nothing: nobody waits for an answer.

        It must have come to rest before (:attr:`stuck`, :attr:`kvraft.replica.Replica.has_work`).
        All that a drain then looks after is moved by this member's role, and by what a leader
        learns of its followers.
        """
        return not self._replies and self._rested == (self.raft.role, self.raft.changes)

    def come_to_rest(self) -> tuple[Reply, ...]:
        """End a drain: return the replies, and note by what the next one may be needed."""
        self._rested = self.raft.role, self.raft.changes
        replies, self._replies = tuple(self._replies), []
        return replies
