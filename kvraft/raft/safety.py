"""The two rules that make Raft safe, as pure functions: who gets a vote, and what is committed.

The rest of ``raft/`` makes progress; these two decide what is safe.  They stand alone so that they
can be read, checked and replaced alone: a subclass of :class:`~kvraft.raft.Raft` that overrides
``grant_vote`` or ``advance_commit`` runs in every world of this project, and what then breaks shows
what the rule prevents.

Source: Raft §5.4.1 (election restriction), §5.4.2 and Figure 8 (commitment).
"""

from __future__ import annotations

from collections.abc import Mapping

from kvraft.raft.log import Log
from kvraft.raft.messages import PreVote, RequestVote
from kvraft.raft.quorum import Configuration, committed_index
from kvraft.record import Position


def up_to_date(ask: RequestVote | PreVote, last: Position) -> bool:
    """Return whether the candidate's log is at least as up-to-date as one that ends at ``last``.

    A log whose last entry has a higher term is; with equal terms, a log at least as long (§5.4.1).
    """
    return (ask.last_term, ask.last_index) >= (last.term, last.index)


def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
    """Return whether a member in ``term``, whose vote there went to ``vote``, votes for ``ask``.

    It votes once a term, so that there is at most one leader; and only for a log at least as
    up-to-date as its own, which ends at ``last``, so that a leader holds everything committed
    (§5.2, §5.4.1).
    """
    return ask.term == term and vote in (None, ask.sender) and up_to_date(ask, last)


def advance_commit(
    commit_index: int, term: int, match: Mapping[str, int], configuration: Configuration, log: Log
) -> int:
    """Return the commit index of a leader of ``term``, given what each member holds durably.

    An entry of the leader's own term is committed once a quorum holds it, and everything before it
    with it.  Older entries are never committed by counting alone: a later leader could still
    overwrite them (§5.4.2, Figure 8).
    """
    index = committed_index(configuration, match)
    if index > commit_index and log.term(index) == term:
        return index
    return commit_index
