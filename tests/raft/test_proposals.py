"""What became of a proposal is told once, and it is the truth; or, after a crash, not at all."""

from zlib import crc32

import pytest

from kvraft.raft import Configuration, DecidedProposal, InstallSnapshot, ProposalOutcome
from tests.helpers.raft_member import THREE, ack, append, finish, lead, leader, member, record


def proposed(*sizes):
    """A leader of term 1 that proposed so many records at a time, from entry 2 on."""
    raft = leader("n2")
    for size in sizes:
        raft.propose([record(n) for n in range(size)])
    finish(raft)
    return raft


def test_a_proposal_is_committed_with_its_last_entry():
    raft = proposed(1, 3)
    ack(raft, "n2", 2)
    assert finish(raft).decided == [DecidedProposal(2, 2, 1, ProposalOutcome.COMMITTED)]
    ack(raft, "n2", 4)
    assert not finish(raft).decided
    ack(raft, "n2", 5)
    assert finish(raft).decided == [DecidedProposal(3, 5, 1, ProposalOutcome.COMMITTED)]
    assert raft.status().undecided == 0


def test_who_leads_no_more_still_learns_what_became_of_it():
    raft = proposed(2, 2)
    raft.step(append(after=(3, 1), term=2))
    assert not finish(raft).decided, "nothing is known yet: it may be committed or not"
    assert raft.status().undecided == 2
    raft.step(append([2], after=(3, 1), term=2, commit=3))
    assert finish(raft).decided == [DecidedProposal(2, 3, 1, ProposalOutcome.COMMITTED)]
    raft.step(append(after=(4, 2), term=2, commit=4))
    assert finish(raft).decided == [DecidedProposal(4, 5, 1, ProposalOutcome.SUPERSEDED)]


def test_a_proposal_of_which_only_the_beginning_survives_is_superseded():
    raft = proposed(3)
    raft.step(append([2], after=(3, 1), term=2, commit=3))
    assert not finish(raft).decided
    raft.step(append(after=(4, 2), term=2, commit=4))
    assert finish(raft).decided == [DecidedProposal(2, 4, 1, ProposalOutcome.SUPERSEDED)]


def test_nothing_is_superseded_before_the_other_entry_is_committed():
    """Dropped here, it may still be on a majority elsewhere, and win."""
    raft = proposed(1)
    raft.step(append([2], after=(1, 1), term=2))
    assert not finish(raft).decided
    raft.step(append([1], after=(1, 1), term=3, sender="n3", commit=2))
    assert finish(raft).decided == [DecidedProposal(2, 2, 1, ProposalOutcome.COMMITTED)]


def test_two_proposals_at_one_place_each_have_their_fate():
    raft = proposed(1)
    raft.step(append([2], after=(1, 1), term=2))
    raft.step(append([], after=(2, 2), term=2))
    lead(raft)
    raft.propose([record(7)])  # at 4, behind the no-op of term 3
    finish(raft)
    raft.step(append([4], after=(2, 2), term=4, sender="n3"))
    raft.step(append([4], after=(3, 4), term=4, sender="n3", commit=4))
    assert finish(raft).decided == [
        DecidedProposal(2, 2, 1, ProposalOutcome.SUPERSEDED),
        DecidedProposal(4, 4, 3, ProposalOutcome.SUPERSEDED),
    ]


@pytest.mark.parametrize(
    ("last", "fate"),
    [((3, 2), ProposalOutcome.UNKNOWN), ((2, 1), ProposalOutcome.COMMITTED)],
    ids=["covered", "its last entry is of the term"],
)
def test_a_snapshot_hides_what_was_there(last, fate):
    """Unless it ends in an entry of the proposal's own term: terms never fall along a log."""
    raft = proposed(1)
    raft.step(append([2], after=(1, 1), term=2, sender="n3"))
    raft.step(InstallSnapshot("n3", "n1", 2, *last, Configuration(THREE), 1, 0, b"x", crc32(b"x")))
    assert finish(raft).decided == [DecidedProposal(2, 2, 1, fate)]


def test_a_change_of_members_has_a_fate_too():
    raft = leader("n2")
    raft.propose_change(THREE, ["n4"])
    finish(raft)
    ack(raft, "n2", 2)
    assert finish(raft).decided == [DecidedProposal(2, 2, 1, ProposalOutcome.COMMITTED)]


def test_a_member_that_restarts_knows_of_no_proposal():
    raft = proposed(1)
    again = member([1, 1])
    again.step(append(after=(2, 1), commit=2))
    assert not finish(again).decided
    assert raft.status().undecided == 1
