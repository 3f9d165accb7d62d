"""Quorums: which members vote, and what their answers add up to.

Pure functions of a :class:`Configuration`, apart from the consensus module that calls them, so
that each can be checked against brute force.

Source: Raft §5.2 (votes), §5.3 (commitment).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvraft.errors import BadInput


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members of a cluster that vote.  Names are kept in the order given."""

    voters: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.voters:
            raise BadInput("a cluster needs at least one voting member")
        if len(set(self.voters)) != len(self.voters):
            raise BadInput(f"a member is named twice: {', '.join(self.voters)}")

    @property
    def quorum(self) -> int:
        """How many voters make a majority."""
        return len(self.voters) // 2 + 1


def committed_index(configuration: Configuration, match: Mapping[str, int]) -> int:
    """Return the highest index that a majority of voters hold, given each one's match index.

    A voter missing from ``match`` holds nothing (Raft §5.3, Figure 2 "rules for leaders").
    """
    held = sorted((match.get(voter, 0) for voter in configuration.voters), reverse=True)
    return held[configuration.quorum - 1]


def won(configuration: Configuration, votes: Mapping[str, bool]) -> bool | None:
    """Return whether an election is won or lost, or ``None`` while it is open (Raft §5.2).

    ``votes`` holds at most one answer a voter: a repeated reply cannot count twice.
    """
    yes = sum(votes.get(voter) is True for voter in configuration.voters)
    no = sum(votes.get(voter) is False for voter in configuration.voters)
    if yes >= configuration.quorum:
        return True
    return False if no > len(configuration.voters) - configuration.quorum else None
