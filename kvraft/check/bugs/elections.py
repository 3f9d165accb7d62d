"""Planted bugs of elections: who may stand, who may vote, and what of it must be saved.

The first four were in a well-known teaching implementation for six years, until a checker like
``check/raft`` was used on it.
"""

from __future__ import annotations

from kvraft.raft import Core, Message, Raft, Ready, RequestVote, RequestVoteReply, Role
from kvraft.record import HardState, Position


class CandidacyNotSaved(Raft):
    """A candidate does not save its new term and the vote for itself (Figure 2)."""

    def ready(self) -> Ready:
        """Hand out everything but the hard state of a candidate."""
        ready = super().ready()
        return ready._replace(hard_state=None) if self.role is Role.CANDIDATE else ready


class TermNotSaved(Raft):
    """A follower does not save a term that it learns, only its votes (Figure 2)."""

    def ready(self) -> Ready:
        """Hand out everything but a follower's term without a vote."""
        ready = super().ready()
        state = ready.hard_state
        if self.role is Role.FOLLOWER and state is not None and state.vote is None:
            return ready._replace(hard_state=None)
        return ready


class _ForgetsItsVote(Core):
    def become(self, role: Role, term: int, leader: str | None) -> None:
        super().become(role, term, leader)
        if role is Role.FOLLOWER:
            self.vote = None


class VoteReset(Raft):
    """A member that becomes a follower forgets its vote, though the term is still the same."""

    core_type = _ForgetsItsVote


class OldVotesCounted(Raft):
    """A candidate counts replies that answer an election of an earlier term."""

    def step(self, message: Message) -> bool:
        """Handle a reply of an earlier term as one of this term."""
        if isinstance(message, RequestVoteReply) and message.term < self.term:
            message = message._replace(term=self.term)
        return super().step(message)


class VoteNotSaved(Raft):
    """A member does not save its vote, and after a restart votes again (Figure 2)."""

    def ready(self) -> Ready:
        """Hand out the term without the vote."""
        ready = super().ready()
        state = ready.hard_state
        return ready if state is None else ready._replace(hard_state=HardState(state.term, None))


class VotesTwice(Raft):
    """A member votes for every candidate whose log is up to date (§5.2)."""

    @staticmethod
    def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
        """Return whether the candidate's log is up to date."""
        return ask.term == term and (ask.last_term, ask.last_index) >= (last.term, last.index)


class AnyLogElected(Raft):
    """A member votes without comparing logs (§5.4.1)."""

    @staticmethod
    def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
        """Return whether the vote is still free."""
        return ask.term == term and vote in (None, ask.sender)


class LongerLogElected(Raft):
    """A member compares only the lengths of logs, not the terms of their ends (§5.4.1)."""

    @staticmethod
    def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
        """Return whether the vote is still free, and the candidate's log is not shorter."""
        return ask.term == term and vote in (None, ask.sender) and ask.last_index >= last.index


class RepliesCounted(Raft):
    """A candidate counts replies, not voters: a reply that arrives twice counts twice (§5.2)."""

    def step(self, message: Message) -> bool:
        """Count a second reply of a member as the vote of one that has not replied."""
        before = self.status().votes
        taken = super().step(message)
        if isinstance(message, RequestVoteReply) and message.granted:
            votes = self.status().votes
            if self.role is Role.CANDIDATE and sum(votes.values()) == sum(before.values()):
                silent = [name for name in self.configuration.voting if name not in votes]
                super().step(message._replace(sender=silent[0]))
        return taken


BUGS = {
    "candidacy not saved": CandidacyNotSaved,
    "term not saved": TermNotSaved,
    "vote reset": VoteReset,
    "old votes counted": OldVotesCounted,
    "vote not saved": VoteNotSaved,
    "votes twice": VotesTwice,
    "any log elected": AnyLogElected,
    "longer log elected": LongerLogElected,
    "replies counted": RepliesCounted,
}
"""The planted bugs of this place by name."""
