"""Proposals whose outcome is open, and how it is decided: truthfully, and once.

A proposal is a few consecutive entries of the term in which its member led.  Its outcome is known
once the commit index has passed its place, whichever member leads by then: the log has its entries
there, or another leader's, or a snapshot covers the place.

Invariants: only proposals have an outcome (a leader's own entries have none); each has exactly one,
and is reported once, unless its member restarts before.

Source: Raft §5.3, §5.4 (what is committed stays).
"""

from __future__ import annotations

import heapq

from kvraft.raft.interface import DecidedProposal, ProposalOutcome
from kvraft.raft.log import Log


class OpenProposals:
    """The proposals of one member whose outcome is open."""

    def __init__(self) -> None:
        self._open: list[tuple[int, int, int]] = []  # first, last, term: a heap

    def __len__(self) -> int:
        return len(self._open)

    def add(self, first: int, last: int, term: int) -> None:
        """Add a proposal: the entries ``first`` … ``last`` of ``term``."""
        heapq.heappush(self._open, (first, last, term))

    def decide(self, commit_index: int, log: Log) -> list[DecidedProposal]:
        """Return the proposals whose outcome ``log``, committed to ``commit_index``, decides."""
        decided: list[DecidedProposal] = []
        open_still: list[tuple[int, int, int]] = []
        heap = self._open
        if not heap or heap[0][0] > commit_index:
            return decided
        newest = log.term(commit_index)
        while heap and heap[0][0] <= commit_index:
            _, last, term = proposal = heapq.heappop(heap)
            reached = min(last, commit_index)
            # Log Matching (§5.3): if an entry at or after the last one that commitment has reached
            # is of the proposal's term, the log up to it is the one that this leader had then, with
            # the proposal in it.  If that last one is of another term, another leader's entries
            # replaced the proposal.
            if term == newest and last <= commit_index:  # most often: one look for all of them
                decided.append(DecidedProposal(*proposal, ProposalOutcome.COMMITTED))
            elif reached <= log.base.index and log.base.term != term:
                # A snapshot, or truncation, removed the entries that would tell.
                decided.append(DecidedProposal(*proposal, ProposalOutcome.UNKNOWN))
            elif log.term(max(reached, log.base.index)) != term:
                decided.append(DecidedProposal(*proposal, ProposalOutcome.SUPERSEDED))
            elif reached == last:
                decided.append(DecidedProposal(*proposal, ProposalOutcome.COMMITTED))
            else:  # the rest may yet be committed, or superseded
                open_still.append(proposal)
        for proposal in open_still:
            heapq.heappush(heap, proposal)
        return decided
