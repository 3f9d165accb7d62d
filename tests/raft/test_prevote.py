"""Pre-vote and check-quorum: who was cut off disturbs nobody, and leads no more."""

from dataclasses import replace

import pytest

from kvraft.raft import (
    AppendEntriesReply,
    PreVote,
    PreVoteReply,
    RaftOptions,
    RequestVote,
    RequestVoteReply,
    Role,
)
from tests.helpers.raft_member import (
    FIVE,
    PAPER,
    ack,
    append,
    finish,
    lead,
    leader,
    member,
    record,
    ticks,
)

PRE_VOTE = replace(PAPER, pre_vote=True)
CHECKING = RaftOptions(pre_vote=False)
"""With check-quorum."""


def asking(**keywords):
    """A member that asks whether it could win."""
    raft = member(options=PRE_VOTE, **keywords)
    raft.timeout()
    return raft


# ── pre-vote (thesis §9.6) ──────────────────────────────────────────────────────────────────────


def test_who_asks_first_enters_no_term_and_casts_no_vote():
    raft = asking(terms=[1, 1, 2])
    ready = raft.ready()
    assert ready.hard_state is None
    assert ready.messages == tuple(PreVote("n1", to, 3, 3, 2) for to in ("n2", "n3"))
    assert (raft.role, raft.term, raft.vote) == (Role.PRE_CANDIDATE, 2, None)


def test_a_majority_of_yes_begins_the_election_and_no_less_does():
    raft = asking(voters=FIVE)
    for _ in range(3):
        raft.step(PreVoteReply("n2", "n1", 1, True))
    assert raft.role is Role.PRE_CANDIDATE
    raft.step(PreVoteReply("n3", "n1", 1, True))
    assert (raft.role, raft.term, raft.vote) == (Role.CANDIDATE, 1, "n1")


def test_a_yes_to_an_earlier_question_does_not_count():
    raft = asking(term=4)
    raft.step(append(term=6))
    raft.timeout()
    raft.step(PreVoteReply("n2", "n1", 5, True))
    raft.step(PreVoteReply("n3", "n1", 5, True))
    assert (raft.role, raft.term) == (Role.PRE_CANDIDATE, 6)


def test_a_yes_to_a_question_is_no_vote():
    raft = member(options=PAPER)
    raft.timeout()
    raft.step(PreVoteReply("n2", "n1", raft.term, True))
    raft.step(PreVoteReply("n2", "n1", raft.term + 1, True))
    assert raft.role is Role.CANDIDATE


def test_a_majority_of_no_makes_a_follower_that_knows_no_leader():
    raft = member(options=PRE_VOTE, term=3)
    raft.step(append(term=3))
    raft.timeout()
    assert raft.leader is None, "it gave that leader up: whoever asks it may be listened to"
    for voter in ("n2", "n3"):
        raft.step(PreVoteReply(voter, "n1", 3, False))
    assert (raft.role, raft.term, raft.leader) == (Role.FOLLOWER, 3, None)


def test_a_no_from_a_later_term_is_news_of_that_term():
    raft = asking(term=3)
    raft.step(PreVoteReply("n2", "n1", 8, False))
    assert (raft.role, raft.term) == (Role.FOLLOWER, 8)


@pytest.mark.parametrize("granted", [True, False])
def test_to_answer_changes_nothing(granted):
    """Neither term, vote, role nor timer; a yes names the term asked about, a no our own."""
    raft = member([1, 2], options=PRE_VOTE, term=2, vote="n3")
    ticks(raft, 9)
    before = raft.status()
    raft.step(PreVote("n2", "n1", 9, 2 if granted else 1, 2))
    done = finish(raft)
    assert done.messages == [PreVoteReply("n1", "n2", 9 if granted else 2, granted)]
    assert not done.states
    assert raft.status() == before


@pytest.mark.parametrize("last", [(0, 0), (9, 1), (1, 2), (2, 2), (1, 3), (3, 2)])
@pytest.mark.parametrize("term", [4, 5, 6])
def test_a_yes_means_that_the_vote_itself_would_be_given(last, term):
    asked, voter = (member([1, 2], options=PRE_VOTE, term=5) for _ in range(2))
    asked.step(PreVote("n2", "n1", term, *last))
    voter.step(RequestVote("n2", "n1", term, *last))
    (answer,) = finish(asked).of(PreVoteReply)
    (vote,) = finish(voter).of(RequestVoteReply)
    assert answer.granted == (vote.granted and term > 5)


def test_a_cluster_of_one_need_not_ask():
    raft = asking(voters=("n1",))
    assert raft.role is Role.LEADER


# ── check-quorum (thesis §4.2.3, §6.2) ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("options", [CHECKING, RaftOptions()])
@pytest.mark.parametrize("ask", [PreVote, RequestVote])
def test_who_hears_from_a_leader_listens_to_no_candidate(ask, options):
    """Figure 4.7: a member that the leader's messages no longer reach must not depose it."""
    for raft in (lead(member([1], options=options)), member([1], term=2, options=options)):
        if raft.role is Role.FOLLOWER:
            raft.step(append(after=(1, 1), term=2))
        finish(raft)
        before = raft.role, raft.term, raft.vote, raft.leader
        raft.step(ask("n3", "n1", 9, 7, 8))
        assert not [m for m in finish(raft).messages if getattr(m, "granted", False)]
        assert (raft.role, raft.term, raft.vote, raft.leader) == before


def test_a_leader_that_a_quorum_does_not_answer_leads_no_more():
    raft = leader(voters=FIVE, options=CHECKING)
    raft.propose([record()])
    raft.read_index(1)
    finish(raft)
    ack(raft, "n2", 1)
    ticks(raft, 15)  # all answered before, so this time is theirs
    assert raft.role is Role.LEADER
    ack(raft, "n2", 2)
    ticks(raft, 15)
    assert (raft.role, raft.term, raft.leader) == (Role.FOLLOWER, 1, None)
    assert finish(raft).failed == [1]


def test_a_leader_that_a_quorum_answers_goes_on():
    raft = leader(voters=FIVE, options=CHECKING)
    for n in range(100):
        ticks(raft, 5)
        ack(raft, "n2", 1)
        ack(raft, "n3" if n % 2 else "n5", 1)
    assert raft.role is Role.LEADER


def test_the_answer_of_a_learner_keeps_nobody_in_office():
    raft = leader("n2", voters=("n1", "n2"), learners=("n3", "n4"), options=CHECKING)
    for _ in range(8):
        ticks(raft, 5)
        ack(raft, "n3", 1)
        ack(raft, "n4", 1)
    assert raft.role is Role.FOLLOWER


def test_who_went_on_to_a_later_term_alone_is_found_by_the_leader_and_joins_again():
    """It answers appends with its own term: else leader and member would wait for each other."""
    ahead = member([1], term=7, options=RaftOptions())
    ahead.step(append(after=(1, 1), term=1))
    (reply,) = finish(ahead).of(AppendEntriesReply)
    assert (reply.term, reply.success) == (7, False)
    leading = lead(member([1], options=RaftOptions()))
    leading.step(reply._replace(sender="n2", to="n1"))
    assert (leading.role, leading.term) == (Role.FOLLOWER, 7)
