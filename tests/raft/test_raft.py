"""The rules of Raft, one by one: each test hands a member what the rule is about and looks.

The members here are driven by hand, with the options of the paper.  notebooks/book/figure2.md says
which test holds which sentence of Figure 2; ``test_figure2.py`` has those that are missing here.
What is not in Figure 2 is in ``test_prevote.py``, ``_lease``, ``_reads``, ``_members``,
``_snapshot`` and ``_proposals``; what no correct member would send in ``test_garbage.py``.  Whole
clusters run in ``test_simulated.py`` and ``tests/check/test_explorer.py``.
"""

from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.events import (
    CommitAdvanced,
    EntriesSuperseded,
    MessageRejected,
    ProgressChanged,
    RoleChanged,
    VoteGranted,
)
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    FollowerStatus,
    InstallSnapshot,
    InstallSnapshotReply,
    PreVoteReply,
    RaftOptions,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    Role,
    TimeoutNow,
)
from kvraft.record import NOOP, Entry, entry_size
from tests.helpers.raft_member import (
    FIVE,
    PAPER,
    THREE,
    ack,
    append,
    at,
    campaign,
    change,
    entries,
    finish,
    lead,
    leader,
    member,
    record,
    refuse,
    terms_of,
    ticks,
)

bounded = settings(deadline=None, derandomize=True, max_examples=200)
SMALL = replace(PAPER, max_batch_bytes=1, window=3)


# ── elections (§5.2, §5.4.1) ────────────────────────────────────────────────────────────────────


def test_each_election_draws_its_timeout_anew():
    raft, waits = member(), []
    for _ in range(300):
        before, ticks = raft.term, 0
        while raft.term == before:
            raft.tick()
            ticks += 1
        waits.append(ticks)
    assert set(waits) == set(range(15, 30))


def test_a_candidate_votes_for_itself_durably_before_it_asks():
    raft = member([1, 1, 2])
    while raft.role is Role.FOLLOWER:
        raft.tick()
    ready = raft.ready()
    assert ready.hard_state == (3, "n1")
    assert ready.messages == tuple(RequestVote("n1", to, 3, 3, 2) for to in ("n2", "n3"))


def test_a_vote_is_durable_before_it_is_told_and_holds_after_a_crash():
    raft = member(term=4)
    raft.step(RequestVote("n2", "n1", 5, 0, 0))
    ready = raft.ready()
    assert ready.hard_state == (5, "n2")
    assert ready.messages == (RequestVoteReply("n1", "n2", 5, True),)
    again = member(term=5, vote="n2")
    for candidate in ("n3", "n2"):
        again.step(RequestVote(candidate, "n1", 5, 0, 0))
    assert [(m.to, m.granted) for m in finish(again).messages] == [("n3", False), ("n2", True)]


def test_one_vote_a_term_and_again_to_the_same_candidate():
    raft = member()
    for term, candidate in ((1, "n2"), (1, "n3"), (1, "n2"), (2, "n3"), (1, "n2")):
        raft.step(RequestVote(candidate, "n1", term, 0, 0))
    told = [(m.to, m.term, m.granted) for m in finish(raft).messages]
    assert told == [
        ("n2", 1, True),
        ("n3", 1, False),
        ("n2", 1, True),
        ("n3", 2, True),
        ("n2", 2, False),
    ]


def test_no_vote_in_a_term_that_is_over():
    raft = member(term=5)
    raft.step(RequestVote("n2", "n1", 4, 0, 0))
    assert finish(raft).messages == [RequestVoteReply("n1", "n2", 5, False)]
    assert raft.vote is None


@pytest.mark.parametrize("last_term", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("last_index", [0, 2, 3, 4, 9])
def test_votes_go_to_logs_at_least_as_complete_only(last_index, last_term):
    raft = member([1, 3, 3])
    raft.step(RequestVote("n2", "n1", 5, last_index, last_term))
    newer = last_term > 3 or (last_term == 3 and last_index >= 3)
    assert [reply.granted for reply in finish(raft).messages] == [newer]


def test_one_voter_counts_once_however_often_it_answers():
    raft = member(voters=FIVE)
    campaign(raft)
    for _ in range(5):
        raft.step(RequestVoteReply("n2", "n1", raft.term, True))
    assert raft.role is Role.CANDIDATE
    raft.step(RequestVoteReply("n3", "n1", raft.term, True))
    assert raft.role is Role.LEADER


def test_only_votes_granted_in_this_term_count():
    raft = member()
    campaign(raft)
    campaign(raft)
    raft.step(RequestVoteReply("n2", "n1", raft.term - 1, True))
    raft.step(RequestVoteReply("n2", "n1", raft.term, False))
    raft.step(RequestVoteReply("n9", "n1", raft.term, True))
    assert raft.role is Role.CANDIDATE


@pytest.mark.parametrize(("last_index", "granted"), [(1, True), (0, False)])
def test_a_vote_delays_the_own_election_only_if_granted(last_index, granted):
    raft = member([1])
    ticks(raft, 14)  # the shortest timeout there is, less one
    raft.step(RequestVote("n2", "n1", 2, last_index, 1))
    for _ in range(14):
        raft.tick()
    assert granted == (raft.role is Role.FOLLOWER)
    for _ in range(15):
        raft.tick()
    assert raft.role is Role.CANDIDATE


def test_a_heartbeat_delays_the_own_election():
    raft = member([1])
    for _ in range(10):
        for _ in range(14):
            raft.tick()
        raft.step(append(after=(1, 1)))
    assert raft.role is Role.FOLLOWER


NEWER = [
    RequestVote("n3", "n1", 9, 0, 0),
    RequestVoteReply("n3", "n1", 9, False),
    AppendEntries("n3", "n1", 9, 0, 0, (), 0, 0, 1),
    AppendEntriesReply("n3", "n1", 9, False, 0, 0, 0, 0),
    PreVoteReply("n3", "n1", 9, False),
    InstallSnapshot("n3", "n1", 9, 7, 2, Configuration(THREE), 4, 0, b"ab", crc32(b"ab")),
    InstallSnapshotReply("n3", "n1", 9, 7, 0, False),
    ReadIndex("n3", "n1", 9, 1, 1),
    ReadIndexReply("n3", "n1", 9, 1, 1, -1),
    TimeoutNow("n3", "n1", 9),
]


@pytest.mark.parametrize("message", NEWER)
@pytest.mark.parametrize("prepare", [campaign, lead])
def test_any_message_of_a_newer_term_makes_a_follower_without_a_vote(prepare, message):
    raft = member([1])
    prepare(raft)
    raft.step(message)
    assert (raft.role, raft.term, raft.vote) == (Role.FOLLOWER, 9, None)
    leads = isinstance(message, AppendEntries | InstallSnapshot)
    assert raft.leader == ("n3" if leads else None)
    assert finish(raft).states == [(9, None)]


def test_a_candidate_follows_the_leader_of_its_term_and_keeps_its_vote():
    raft = member()
    campaign(raft)
    raft.step(append(term=raft.term))
    assert (raft.role, raft.vote, raft.leader) == (Role.FOLLOWER, "n1", "n2")
    raft.step(RequestVote("n3", "n1", raft.term, 99, 0))
    assert not finish(raft).messages[-1].granted


def test_a_cluster_of_one_elects_itself_and_commits_once_durable():
    raft = member(voters=("n1",))
    while raft.role is not Role.LEADER:
        raft.tick()
    ready = raft.ready()
    assert ready.hard_state == (1, "n1")
    assert ready.entries == (Entry(1, 1, NOOP),)
    assert not ready.committed
    assert raft.commit_index == 0
    raft.advance()
    assert finish(raft).committed == [Entry(1, 1, NOOP)]


# ── replication: the leader (§5.3) ──────────────────────────────────────────────────────────────


def test_a_leader_begins_its_term_with_a_no_op():
    raft = lead(member([1, 1]))
    sent = finish(raft).to("n3")
    assert sent == [AppendEntries("n1", "n3", 2, 2, 1, (Entry(2, 3, NOOP),), 0, 0, 1)]


def test_proposals_between_two_readies_share_one_message():
    raft = lead(member())
    finish(raft)
    ack(raft, "n2", 1)
    finish(raft)
    assert raft.propose([record(1), record(2)]) == (2, 3)
    assert raft.propose([record(3)]) == (4, 4)
    done = finish(raft)
    assert [len(message.entries) for message in done.to("n2")] == [3]
    assert not done.to("n3"), "n3 has not answered the no-op yet"


@pytest.mark.parametrize("records", [[], [NOOP], [record(), change(1, 1, THREE).record]])
def test_what_is_not_a_proposal(records):
    raft = lead(member())
    with pytest.raises(BadInput):
        raft.propose(records)
    raft.step(append(term=7, sender="n3"))
    with pytest.raises(NotLeader) as refusal:
        raft.propose([record()])
    assert refusal.value.leader == "n3"
    assert terms_of(raft) == [1]


def test_a_leader_that_cannot_commit_takes_no_more_than_so_much():
    raft = lead(member(options=replace(PAPER, max_uncommitted=3)))
    raft.propose([record(1), record(2)])
    with pytest.raises(Busy):
        raft.propose([record(3)])
    finish(raft)
    ack(raft, "n2", 1)
    raft.propose([record(3)])


def test_nothing_follows_the_first_append_to_a_follower_before_it_is_answered():
    raft = lead(member(options=SMALL))
    raft.propose([record(n) for n in range(20)])
    sent = finish(raft).to("n2")
    ticks(raft, 15)
    sent += finish(raft).to("n2")
    assert [[entry.index for entry in message.entries] for message in sent] == [[1], []]


def test_appends_follow_each_other_unanswered_until_the_window_is_full():
    raft = lead(member(options=SMALL))
    raft.propose([record(n) for n in range(20)])
    finish(raft)
    ack(raft, "n2", 1)
    assert [m.entries[0].index for m in finish(raft).to("n2")] == [2, 3, 4]
    for match in range(2, 15):
        sent = []
        for _ in range(2):  # both copies of the answer come
            ack(raft, "n2", match)
            sent += finish(raft).to("n2")
        assert [[e.index for e in m.entries] for m in sent] == [[match + 3]]


def test_an_answer_for_several_appends_makes_room_for_as_many():
    raft = lead(member(options=SMALL))
    raft.propose([record(n) for n in range(20)])
    finish(raft)
    ack(raft, "n2", 1)
    finish(raft)
    ack(raft, "n2", 4)
    assert [m.entries[0].index for m in finish(raft).to("n2")] == [5, 6, 7]


def test_a_window_of_lost_appends_is_found_out_by_the_next_heartbeat():
    raft = lead(member(options=SMALL))
    raft.propose([record(n) for n in range(9)])
    finish(raft)
    ack(raft, "n2", 1)
    assert [m.prev_index for m in finish(raft).to("n2")] == [1, 2, 3]  # all of them are lost
    ticks(raft, 5)
    (heartbeat,) = finish(raft).to("n2")
    assert (heartbeat.prev_index, heartbeat.entries, heartbeat.round) == (4, (), 2)
    refuse(raft, "n2", 4, (1, 1), round=2)
    assert [m.prev_index for m in finish(raft).to("n2")] == [1]
    ack(raft, "n2", 2, round=2)
    assert [m.prev_index for m in finish(raft).to("n2")] == [2, 3, 4]


def test_a_late_refusal_that_was_heard_already_sends_nothing_again():
    raft = lead(member([1] * 9))
    finish(raft)
    refuse(raft, "n2", 9, (4, 1))
    assert [m.prev_index for m in finish(raft).to("n2")] == [4]
    refuse(raft, "n2", 9, (4, 1))
    assert not finish(raft).to("n2")
    ack(raft, "n2", 10)
    refuse(raft, "n2", 9, (4, 1))
    assert at(raft, "n2") == (11, 10)


def test_a_batch_is_bounded_in_bytes_and_takes_one_entry_at_least():
    sizes = [10, 10, 500, 10, 10, 10]
    one = entry_size(Entry(1, 1, record(0, 10)))
    raft = lead(member(options=replace(PAPER, max_batch_bytes=2 * one)))
    finish(raft)
    ack(raft, "n2", 1)
    raft.propose([record(n, size) for n, size in enumerate(sizes)])
    sent = finish(raft).to("n2")
    assert [len(message.entries) for message in sent] == [2, 1, 2, 1]
    assert [message.prev_index for message in sent] == [1, 3, 4, 6]


def test_match_never_falls_and_next_stays_above_it():
    raft = lead(member([1] * 5))
    finish(raft)
    for match in (3, 6, 2, 0):
        ack(raft, "n2", match)
        following, matching = at(raft, "n2")
        assert following > matching == (3 if match == 3 else 6)
    for prev in range(7):
        refuse(raft, "n2", prev, (0, 0))
        assert at(raft, "n2") == (7, 6)
    assert raft.status().progress["n2"].state == "replicate"


def test_a_hint_that_makes_no_sense_leads_neither_past_the_conflict_nor_below_what_matches():
    raft = lead(member([1] * 9))
    finish(raft)
    refuse(raft, "n2", 9, (9, 1))
    assert at(raft, "n2") == (9, 0)
    ack(raft, "n2", 4)
    finish(raft)
    refuse(raft, "n2", 9, (0, 0))
    assert at(raft, "n2") == (5, 4)


def test_replies_of_an_older_term_are_ignored():
    raft = lead(member([1, 1]))
    finish(raft)
    ack(raft, "n2", 3, term=1)
    raft.step(AppendEntriesReply("n2", "n1", 1, False, 2, 0, 0, 0, 1))
    assert raft.commit_index == 0
    assert at(raft, "n2") == (3, 0)


def test_who_says_it_holds_more_than_there_is_is_not_believed():
    """A follower that forgot what it acknowledged says less; one that says more is not sound."""
    events = []
    raft = lead(member([1, 1], report=events.append))
    finish(raft)
    ack(raft, "n2", 4)
    ack(raft, "n2", 3, round=2)
    assert [type(event) for event in events[-2:]] == [MessageRejected, MessageRejected]
    assert (raft.commit_index, at(raft, "n2")) == (0, (3, 0))


def test_a_refused_append_of_an_older_term_is_no_answer_to_one_of_the_new_term():
    """The refusal carries the newer term, and its receiver may come to lead just that term."""
    voter = member([1] * 5, term=2)
    voter.step(append(term=1, after=(5, 1), round=2, sender="n2"))
    (refusal,) = finish(voter).messages
    assert refusal.term == 2
    assert not refusal.success
    raft = lead(member([1] * 5))
    assert raft.term == 2
    finish(raft)
    raft.read_index(1)
    finish(raft)
    before = at(raft, "n2")
    raft.step(refusal._replace(sender="n2", to="n1"))
    ack(raft, "n3", 6, round=1)
    assert at(raft, "n2") == before
    assert not finish(raft).reads


# ── replication: the follower (§5.3) ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", [(3, 2), (2, 1), (2, 3), (1, 2)])
@pytest.mark.parametrize("new", [(), (3,)])
def test_entries_that_do_not_follow_on_are_refused_and_change_nothing(after, new):
    raft = member([1, 2])
    raft.step(append(new, after=after, term=3, commit=9, round=8))
    done = finish(raft)
    assert terms_of(raft) == [1, 2]
    assert raft.commit_index == 0
    assert [(m.success, m.term, m.round) for m in done.messages] == [(False, 3, 8)]


def test_an_append_of_an_older_term_changes_nothing_and_tells_the_term():
    raft = member([1, 2], term=5)
    raft.step(append([3, 3], after=(1, 1), term=4, commit=2, replicated=2))
    assert finish(raft).messages[0][:4] == ("n1", "n2", 5, False)
    assert (terms_of(raft), raft.commit_index) == ([1, 2], 0)
    assert (raft.leader, raft.all_replicated_index) == (None, 0)


@bounded
@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20),
)
def test_appends_of_one_leader_late_twice_or_out_of_order_never_shorten_the_log(steps, windows):
    terms = [1 + sum(steps[: n + 1]) for n in range(len(steps))]
    raft, reached = member(), 0
    for first, size in windows:
        start = min(first, len(terms))
        part = terms[start : start + size]
        previous = terms[start - 1] if start else 0
        raft.step(append(part, after=(start, previous), term=99))
        if start <= reached:
            reached = max(reached, start + len(part))
        assert terms_of(raft) == terms[:reached]


def test_a_conflict_supersedes_the_tail_and_hands_it_out_to_be_saved_again():
    events = []
    raft = member([1, 1, 2, 2], report=events.append)
    raft.step(append([1, 3], after=(1, 1), term=3))
    done = finish(raft)
    assert terms_of(raft) == [1, 1, 3]
    assert done.entries == list(entries([3], 3))
    assert done.messages[0].match == 3
    assert EntriesSuperseded(3, 4) in events


def test_committed_entries_are_never_superseded():
    events = []
    raft = member([1, 1], report=events.append)
    raft.step(append(after=(2, 1), commit=2))
    finish(raft)
    raft.step(append([3], after=(1, 1), term=3))
    assert isinstance(events[-1], MessageRejected)
    assert terms_of(raft) == [1, 1]
    assert not finish(raft).of(AppendEntriesReply)


def test_of_two_leaders_in_one_term_the_second_is_refused():
    events = []
    raft = member([1, 1], report=events.append)
    raft.step(append(after=(2, 1), term=2, sender="n2"))
    finish(raft)
    raft.step(append([2], after=(2, 1), term=2, sender="n3"))
    assert isinstance(events[-1], MessageRejected)
    assert (terms_of(raft), raft.leader) == ([1, 1], "n2")


def test_a_leader_takes_no_entries_from_another_of_its_term():
    raft = leader("n2")
    raft.step(append([1, 1], term=1))
    assert (raft.role, terms_of(raft)) == (Role.LEADER, [1])


def test_only_what_a_message_covers_is_committed_by_it():
    """Entry 3 is not known to be the leader's, and in fact it is not."""
    raft = member([1, 1, 1])
    raft.step(append([], after=(1, 1), term=2, commit=3))
    assert raft.commit_index == 1
    raft.step(append([2], after=(1, 1), term=2, commit=3))
    assert raft.commit_index == 2
    assert [e.term for e in finish(raft).committed] == [1, 2]


def test_a_follower_whose_log_was_cut_takes_old_messages_as_what_they_are():
    raft = member([1] * 6, base=4, committed=4)
    raft.step(append([1, 1, 1, 1, 1, 1, 1], after=(0, 0), term=1))
    assert raft.log.last_index == 7
    raft.step(append([1], after=(1, 1), term=1))
    assert [m.match for m in finish(raft).messages] == [7, 2]
    raft.step(append([2], after=(4, 1), term=2))
    assert terms_of(raft) == [2]


def test_an_append_that_cannot_follow_on_the_place_of_the_cut_is_refused():
    """Its entries 3 and 4 are gone here, so only the terms can tell."""
    events = []
    raft = member([1, 1, 3, 3], base=4, committed=4, term=9, report=events.append)
    raft.step(append([1, 1, 1], after=(2, 1), term=9))
    assert isinstance(events[-1], MessageRejected)
    assert raft.log.last_index == 4


@st.composite
def two_logs(draw):
    """Terms of two logs that may stand in one cluster: after they part, they share no term."""
    common = sorted(draw(st.lists(st.integers(1, 3), max_size=6)))
    mine = sorted(draw(st.lists(st.sampled_from([3, 4, 6, 8]), max_size=12)))
    other = sorted(draw(st.lists(st.sampled_from([5, 7, 9]), max_size=12)))
    return common + mine, common + other


@bounded
@given(two_logs())
def test_leader_and_follower_agree_and_a_round_trip_skips_a_whole_term(logs):
    leading, following = logs
    raft = lead(member(leading, term=20))
    other = member(following, term=20)
    refused = 0
    for _ in range(40):
        for message in finish(raft).to("n2"):
            other.step(message._replace(sender="n3", to="n1"))
        for reply in finish(other).messages:
            refused += not reply.success
            raft.step(reply._replace(sender="n2", to="n1"))
    assert terms_of(other) == terms_of(raft)
    assert at(raft, "n2")[1] == raft.log.last_index
    assert refused <= 1 + min(len(set(leading)), len(set(following)))


# ── commitment (§5.3, §5.4.2) ───────────────────────────────────────────────────────────────────


def test_a_leader_counts_itself_only_once_its_entries_are_durable():
    raft = lead(member())
    raft.ready()
    raft.propose([record()])  # behind the ready: not even on its way to the disk
    ack(raft, "n2", 2)
    assert raft.commit_index == 0
    raft.advance()
    assert raft.commit_index == 1
    finish(raft)
    assert raft.commit_index == 2


@pytest.mark.parametrize("saving", [True, False])
def test_what_was_replaced_is_not_durable(saving):
    """Entries 2 and 3 come back in other terms, after the first ones were saved or meanwhile."""
    raft = member([1] if saving else [1, 1, 1])
    if saving:
        raft.step(append([1, 1], after=(1, 1), term=1))
        assert len(raft.ready().entries) == 2
    raft.step(append([2], after=(1, 1), term=2))
    if saving:
        raft.advance()
    assert raft.durable_index == 1
    raft.timeout()
    raft.step(RequestVoteReply("n2", "n1", 3, True))
    assert raft.ready().entries == (*entries([2], 2), Entry(3, 3, NOOP))
    ack(raft, "n2", 3)
    assert raft.commit_index == 0
    raft.advance()
    assert raft.commit_index == 3


def test_an_append_leaves_before_the_leaders_own_disk_has_it_but_not_before_its_term():
    raft = lead(member())
    assert raft.ready().early, "the term was saved when it was asked for"
    raft.advance()
    raft.propose([record()])
    ack(raft, "n2", 1)
    assert [m.to for m in raft.ready().early] == ["n2"]
    alone = member(voters=("n1",), learners=("n2",))
    alone.timeout()
    ready = alone.ready()
    assert (ready.hard_state, ready.early) == ((1, "n1"), ())
    assert [m.to for m in ready.messages] == ["n2"]


def test_only_entries_of_the_own_term_are_committed_by_counting():
    """Figure 8: an entry of an older term, on a majority, can still be superseded."""
    raft = lead(member([1, 2], voters=FIVE))
    finish(raft)
    for follower in ("n2", "n3", "n4", "n5"):
        ack(raft, follower, 2)
    assert raft.commit_index == 0
    ack(raft, "n2", 3)
    assert raft.commit_index == 0
    ack(raft, "n3", 3)
    assert [e.index for e in finish(raft).committed] == [1, 2, 3]


def test_entries_above_the_start_are_handed_out_in_order_once():
    raft = member([1] * 6, committed=2)
    raft.step(append([], after=(4, 1), commit=4))
    raft.step(append([], after=(4, 1), commit=3))
    raft.step(append([1], after=(6, 1), commit=7))
    assert [e.index for e in finish(raft).committed] == [3, 4, 5, 6, 7]


def test_replicated_is_what_the_last_member_has_and_everybody_is_told():
    raft = lead(member([1, 1], voters=THREE[:2], learners=("n3",)))
    finish(raft)
    ack(raft, "n2", 3)
    assert raft.commit_index == 3, "a learner counts for nothing else"
    assert raft.all_replicated_index == 0
    ack(raft, "n3", 2)
    assert raft.all_replicated_index == 2
    for _ in range(5):
        raft.tick()
    assert {m.all_replicated_index for m in finish(raft).messages} == {2}
    raft.step(append(after=(3, 2), term=9, replicated=1))
    assert raft.all_replicated_index == 2
    other = member([1, 1, 1])
    other.step(append(after=(2, 1), replicated=9))
    assert other.all_replicated_index == 2, "what follows is not known to be what they all have"


# ── the contract ────────────────────────────────────────────────────────────────────────────────


def test_a_member_with_nothing_to_do_says_so():
    raft = member([1, 1], committed=1)
    assert not raft.has_ready()
    raft.step(append([], after=(2, 1), commit=2))
    assert raft.has_ready()
    finish(raft)
    assert not raft.has_ready()


def test_an_ack_stands_in_the_ready_that_saves_what_it_acknowledges():
    raft = member()
    raft.step(append([1, 1], term=4))
    ready = raft.ready()
    assert ready.hard_state == (4, None)
    assert [(m.success, m.match) for m in ready.messages] == [(True, 2)]
    assert ready.entries == entries([1, 1])


def test_a_message_for_somebody_else_or_of_another_cluster_changes_nothing():
    events = []
    raft = member(report=events.append)
    raft.step(append([9], term=9, sender="n1"))
    raft.step(RequestVote("n3", "n2", 1, 0, 0))
    raft.step(append([9], term=9)._replace(cluster="other"))
    assert (raft.term, raft.log.last_index, raft.has_ready()) == (0, 0, False)
    assert [event.kind for event in events] == ["AppendEntries", "RequestVote", "AppendEntries"]


def test_a_stranger_may_lead_or_ask_for_a_vote_for_our_configuration_may_be_old():
    """§6: "servers accept requests from servers that are not in their configuration"."""
    raft = member()
    raft.step(RequestVote("n9", "n1", 1, 0, 0))
    assert finish(raft).messages[0].granted
    raft.step(append([2], term=2, sender="n8"))
    assert (raft.leader, terms_of(raft)) == ("n8", [2])


@pytest.mark.parametrize(
    "options",
    [
        {"election_ticks": 5, "heartbeat_ticks": 5},
        {"heartbeat_ticks": 0},
        {"max_batch_bytes": 0},
        {"window": 0},
        {"spread_ticks": 0},
        {"max_uncommitted": 0},
        {"lease_ticks": 15},
        {"lease_ticks": -1},
        {"lease_ticks": 5, "check_quorum": False},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(BadInput):
        RaftOptions(**options)


@pytest.mark.parametrize("base", [0, 1])
def test_what_does_not_fit_together_is_refused_at_the_start(base):
    with pytest.raises(BadInput, match="term 2"):
        member([1, 2], term=1)
    for committed in {base - 1, 3} - {-1}:
        with pytest.raises(BadInput, match=f"entry {committed} "):
            member([1, 2], base=base, committed=committed)


@pytest.mark.parametrize("learners", [(), ("n1",)])
def test_who_does_not_vote_follows_and_votes_when_asked_but_never_stands(learners):
    """Its configuration may be out of date: the cluster may need its vote (§6)."""
    raft = member(voters=("n2", "n3"), learners=learners)
    ticks(raft, 100)
    raft.timeout()
    assert (raft.role, raft.has_ready()) == (Role.FOLLOWER, False)
    raft.step(RequestVote("n2", "n1", 1, 0, 0))
    assert finish(raft).messages[0].granted
    raft.step(append([1], commit=1))
    assert len(finish(raft).committed) == 1


def test_every_change_is_reported_once():
    events = []
    raft = lead(member(report=events.append))
    finish(raft)
    ack(raft, "n2", 1)
    ack(raft, "n2", 1)
    for _ in range(3):
        raft.step(append([2], after=(1, 1), term=2, sender="n3", commit=2))
    assert events == [
        RoleChanged("candidate", 1, ""),
        VoteGranted(1, "n1"),
        RoleChanged("leader", 1, "n1"),
        ProgressChanged("n2", "replicate", 2, 1),
        CommitAdvanced(1),
        RoleChanged("follower", 2, "n3"),
        CommitAdvanced(2),
    ]


def test_status_shows_a_leader_and_its_followers():
    raft = lead(member([1, 1]))
    finish(raft)
    ack(raft, "n2", 3)
    status = raft.status()
    assert (status.member, status.role, status.term, status.vote) == ("n1", Role.LEADER, 2, "n1")
    assert (status.leader, status.commit_index) == ("n1", 3)
    assert (status.first_index, status.last_index) == (1, 3)
    assert status.progress == {
        "n2": FollowerStatus("replicate", 4, 3, 0, True),
        "n3": FollowerStatus("probe", 3, 0, 1, False, sent=3),
    }
    for part in ("n1: leader in term 2", "committed through 3", "n3: probe", "silent"):
        assert part in str(status)


def test_the_log_can_be_cut_and_consensus_goes_on():
    raft = lead(member([1, 1], committed=2))
    finish(raft)
    ack(raft, "n2", 3)
    ack(raft, "n3", 3)
    finish(raft)
    raft.compact(3)
    raft.compact(2)  # an older answer changes nothing
    assert (raft.log.first_index, raft.log.last_index, raft.log.last_term) == (4, 3, 2)
    raft.propose([record()])
    assert [(m.prev_index, m.prev_term) for m in finish(raft).messages] == [(3, 2)] * 2
