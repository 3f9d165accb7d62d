"""Planted bugs of consensus: modules that break one rule of the paper each.

A check is worth what it catches.  Each class has a bug that is easy to make, and runs wherever
:class:`~kvraft.raft.Raft` runs: in a cluster by hand, in a simulated world, in the explorer.
:data:`CONSENSUS_BUGS` has them by name.  For each there is a scenario in which it does harm, which
names the property that it breaks.

The first four were in a well-known teaching implementation for six years, until a checker like
``check/raft`` was used on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvraft.raft import (
    AppendEntries,
    Configuration,
    Core,
    Follower,
    Leadership,
    Log,
    Message,
    Raft,
    Ready,
    RemoteReader,
    RequestVote,
    RequestVoteReply,
    Role,
    committed_index,
)
from kvraft.record import HardState, Position, configuration_record


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


class OlderTermsCounted(Raft):
    """A leader commits entries of older terms by counting replicas (§5.4.2, Figure 8)."""

    @staticmethod
    def advance_commit(
        commit_index: int,
        term: int,
        match: Mapping[str, int],
        configuration: Configuration,
        log: Log,
    ) -> int:
        """Return the highest index that a quorum holds, whatever the term of its entry."""
        return max(commit_index, committed_index(configuration, match))


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


class VotesTwice(Raft):
    """A member votes for every candidate whose log is up to date (§5.2)."""

    @staticmethod
    def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
        """Return whether the candidate's log is up to date."""
        return ask.term == term and (ask.last_term, ask.last_index) >= (last.term, last.index)


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


class _DropsTheRest(Follower):
    def take_entries(self, append: AppendEntries) -> bool:
        taken = super().take_entries(append)
        end = append.prev_index + len(append.entries)
        if taken and self.core.commit_index <= end < self.core.log.last_index:
            self.core.supersede(end + 1)
        return taken


class TruncatesAlways(Raft):
    """A follower drops its entries after those of an append without a conflict (Figure 2)."""

    follower_type = _DropsTheRest


class _BelievesTheCommitIndex(Follower):
    def on_append_entries(self, append: AppendEntries) -> None:
        super().on_append_entries(append)
        core = self.core
        if core.leader == append.sender and core.log.has(append.prev_index, append.prev_term):
            core.commit_through(min(append.commit, core.log.last_index))


class CommitsOwnTail(Raft):
    """A follower commits as far as its leader, past the entries known to match (Figure 2)."""

    follower_type = _BelievesTheCommitIndex


class _ServesAtOnce(Leadership):
    def read(self, who: int | RemoteReader) -> None:
        if isinstance(who, RemoteReader):
            super().read(who)
        else:
            self.core.serve(who, self.core.commit_index)


class ReadsUnconfirmed(Raft):
    """A leader serves reads at once, without confirming that it still leads (§8)."""

    leader_type = _ServesAtOnce


class _SkipsTheJointStep(Leadership):
    def propose_change(self, voters: tuple[str, ...], learners: tuple[str, ...]) -> int:
        new = Configuration(voters, (), learners)
        return self.append([configuration_record(new.to_bytes())])[0]


class ChangesAtOnce(Raft):
    """A leader adopts new voters without a joint configuration in between (§6)."""

    leader_type = _SkipsTheJointStep


class VoteNotSaved(Raft):
    """A member does not save its vote, and after a restart votes again (Figure 2)."""

    def ready(self) -> Ready:
        """Hand out the term without the vote."""
        ready = super().ready()
        state = ready.hard_state
        return ready if state is None else ready._replace(hard_state=HardState(state.term, None))


CONSENSUS_BUGS: dict[str, type[Raft]] = {
    "candidacy not saved": CandidacyNotSaved,
    "term not saved": TermNotSaved,
    "vote reset": VoteReset,
    "old votes counted": OldVotesCounted,
    "vote not saved": VoteNotSaved,
    "votes twice": VotesTwice,
    "any log elected": AnyLogElected,
    "longer log elected": LongerLogElected,
    "replies counted": RepliesCounted,
    "older terms counted": OlderTermsCounted,
    "truncates always": TruncatesAlways,
    "commits own tail": CommitsOwnTail,
    "reads unconfirmed": ReadsUnconfirmed,
    "changes at once": ChangesAtOnce,
}
"""The planted bugs of consensus by name."""
