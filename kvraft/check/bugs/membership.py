"""Planted bugs of membership: who counts while members change, and which members are in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvraft.lsm import Tree
from kvraft.raft import (
    Configuration,
    Core,
    Election,
    Leadership,
    Log,
    PreVoteReply,
    Raft,
    RequestVoteReply,
    Role,
    safety,
)
from kvraft.record import configuration_record
from kvraft.replica import (
    CONFIGURATION_KEY,
    Replica,
    ReplicaSnapshot,
    ReplicaSnapshotSource,
)


class _SkipsTheJointStep(Leadership):
    def propose_change(self, voters: tuple[str, ...], learners: tuple[str, ...]) -> int:
        new = Configuration(voters, (), learners)
        return self.append([configuration_record(new.to_bytes())])[0]


class ChangesAtOnce(Raft):
    """A leader adopts new voters without a joint configuration in between (§6)."""

    leader_type = _SkipsTheJointStep


class _DoesNotWait(Leadership):
    def propose_change(self, voters: tuple[str, ...], learners: tuple[str, ...]) -> int:
        old = self.core.configuration.voters
        outgoing = old if sorted(old) != sorted(voters) else ()
        change = Configuration(voters, outgoing, learners)
        return self.append([configuration_record(change.to_bytes())])[0]


class ChangesOverlap(Raft):
    """A leader begins a change while another one is under way (§6)."""

    leader_type = _DoesNotWait


def _counting(whom: Callable[[Configuration], tuple[str, ...]]) -> Any:
    """Return a rule of commitment by which a majority of other members decides."""

    def advance_commit(
        commit_index: int,
        term: int,
        match: Mapping[str, int],
        configuration: Configuration,
        log: Log,
    ) -> int:
        counted = Configuration(whom(configuration))
        return safety.advance_commit(commit_index, term, match, counted, log)

    return advance_commit


class NewMajorityDecides(Raft):
    """In a joint configuration a majority of the new voters is enough to commit (§6)."""

    advance_commit = staticmethod(_counting(lambda configuration: configuration.voters))


class LearnersCounted(Raft):
    """Learners count as voters when a leader commits (thesis §4.2.1)."""

    advance_commit = staticmethod(_counting(lambda configuration: configuration.members))


class HalfIsEnough(Raft):
    """Half of the voters count as a majority: wrong where their number is even (§5.2)."""

    @staticmethod
    def advance_commit(
        commit_index: int,
        term: int,
        match: Mapping[str, int],
        configuration: Configuration,
        log: Log,
    ) -> int:
        """Return the highest index that half of each half of the configuration holds."""
        halves = filter(None, (configuration.voters, configuration.outgoing))
        held = [sorted(match.get(name, 0) for name in voters) for voters in halves]
        index = min(indexes[len(indexes) // 2] for indexes in held)
        return index if index > commit_index and log.term(index) == term else commit_index


class _OneTally(Election):
    def _most_agree(self) -> bool:
        return 2 * sum(self.core.votes.values()) > len(self.core.configuration.voting)

    def on_pre_vote_reply(self, reply: PreVoteReply) -> None:
        super().on_pre_vote_reply(reply)
        if self.core.role is Role.PRE_CANDIDATE and self._most_agree():
            self.campaign()

    def on_vote_reply(self, reply: RequestVoteReply) -> None:
        super().on_vote_reply(reply)
        core = self.core
        if core.role is Role.CANDIDATE and self._most_agree():
            core.become(Role.LEADER, core.term, core.member)
            core.timer.restart()


class OneTally(Raft):
    """A candidate counts the votes of old and new voters together (§6)."""

    election_type = _OneTally


class _KeepsConfigurations(Core):
    def supersede(self, index: int) -> None:
        before = list(self.configurations)
        super().supersede(index)
        self.configurations = before


class ConfigurationNotRolledBack(Raft):
    """A configuration stays in force though its entry was superseded (thesis §4.1)."""

    core_type = _KeepsConfigurations


class _KeepsItsMembers(Core):
    def replace_configuration(self, index: int, configuration: Configuration) -> None:
        super().replace_configuration(index, self.configuration)


class SnapshotMembersIgnored(Raft):
    """A member that takes a snapshot keeps the configuration that it had (§7)."""

    core_type = _KeepsItsMembers


class _MembersOfNow(ReplicaSnapshotSource):
    def open(self) -> ReplicaSnapshot:
        return ReplicaSnapshot(super().open().tables, self.raft.configuration)


class SnapshotMembersOfNow(Replica):
    """A snapshot has the newest configuration of its sender, not the one at its end (§7)."""

    def snapshot_source(self) -> ReplicaSnapshotSource:
        """Return a source with the newest configuration."""
        return _MembersOfNow(self.tree, self.raft)


class _WithoutMembers(Tree):
    def get(self, key: Any, default: bytes | None = None, *, at: int | None = None) -> bytes | None:
        return default if key == CONFIGURATION_KEY else super().get(key, default, at=at)


class MembersFromTheStart(Replica):
    """A member that restarts goes by the members it was started with, not by those it stored."""

    tree_type = _WithoutMembers


BUGS = {
    "changes at once": ChangesAtOnce,
    "changes overlap": ChangesOverlap,
    "new majority decides": NewMajorityDecides,
    "learners counted": LearnersCounted,
    "half is enough": HalfIsEnough,
    "one tally": OneTally,
    "configuration not rolled back": ConfigurationNotRolledBack,
    "snapshot members ignored": SnapshotMembersIgnored,
    "snapshot members of now": SnapshotMembersOfNow,
    "members from the start": MembersFromTheStart,
}
"""The planted bugs of this place by name."""
