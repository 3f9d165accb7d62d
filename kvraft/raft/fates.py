"""What became of proposals: the promise that their proposer is told once, and the truth.

A proposal is a few entries in a row, of the term in which its member led.  Its fate is known once
commitment has passed its place, whoever leads by then: its entries stand there, or another leader's
do, or a snapshot hides what stands there.

Invariants: only what was proposed has a fate (a leader's own entries have none); each proposal has
exactly one, unless its member is restarted before: then nobody is told.

Source: Raft §5.3, §5.4 (what is committed stays).
"""

from __future__ import annotations

import heapq

from kvraft.raft.interface import DecidedProposal, ProposalOutcome
from kvraft.raft.log import Log


class OpenProposals:
    """The proposals of one member that are open."""

    def __init__(self) -> None:
        self._open: list[tuple[int, int, int]] = []  # first, last, term: a heap

    def __len__(self) -> int:
        return len(self._open)

    def add(self, first: int, last: int, term: int) -> None:
        """Entries ``first`` … ``last`` of ``term`` have been proposed."""
        heapq.heappush(self._open, (first, last, term))

    def decide(self, commit_index: int, log: Log) -> list[DecidedProposal]:
        """Return the proposals whose fate is known now that ``log`` is committed so far."""
        decided: list[DecidedProposal] = []
        open_still: list[tuple[int, int, int]] = []
        heap = self._open
        while heap and heap[0][0] <= commit_index:
            _, last, term = proposal = heapq.heappop(heap)
            reached = min(last, commit_index)
            # Log Matching (§5.3): if the last entry that commitment has reached is of the
            # proposal's term, the log up to it is the one that this leader had then, with the
            # proposal in it.  If it is of another term, another leader's entries won the place.
            if reached <= log.base.index and log.base.term != term:
                decided.append(
                    DecidedProposal(*proposal, ProposalOutcome.UNKNOWN)
                )  # what stood there is cut off
            elif log.term(max(reached, log.base.index)) != term:
                decided.append(DecidedProposal(*proposal, ProposalOutcome.SUPERSEDED))
            elif reached == last:
                decided.append(DecidedProposal(*proposal, ProposalOutcome.COMMITTED))
            else:  # the rest may yet be committed, or superseded
                open_still.append(proposal)
        for proposal in open_still:
            heapq.heappush(heap, proposal)
        return decided
