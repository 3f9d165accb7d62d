"""The rules of Raft, one by one: each test hands a member what the rule is about and looks.

The members here are driven by hand.  ``test_raft_network.py`` runs whole clusters.
"""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput, NotLeader
from kvraft.events import Committed, RoleChanged, Superseded, Voted
from kvraft.log import Log
from kvraft.membership import Configuration
from kvraft.messages import AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply
from kvraft.raft import Options, Raft, ReadReady, Role
from kvraft.record import NOOP, Entry, HardState, Kind, Position, Record, TxnId, entry_size

THREE = ("n1", "n2", "n3")
FIVE = ("n1", "n2", "n3", "n4", "n5")
bounded = settings(deadline=None, derandomize=True, max_examples=200)


def record(n=0, size=0):
    return Record(Kind.PUT, b"%d" % n, b"x" * size, 0, TxnId("c", n))


def entries(terms, first=1):
    """Entries of the given terms; equal place and term means equal entry."""
    return tuple(Entry(term, n, record(1000 * term + n)) for n, term in enumerate(terms, first))


def member(terms=(), voters=THREE, term=None, vote=None, seed=0, base=0, **keywords):
    """Member n1, whose log holds entries of these terms (the first ``base`` of them cut off)."""
    log = Log(Position(base, terms[base - 1] if base else 0), entries(terms)[base:])
    state = HardState(max(terms, default=0) if term is None else term, vote)
    return Raft("n1", Configuration(voters), log, state, random=Random(seed), **keywords)


@dataclass
class Done:
    """What one turn of the contract's loop, or several, handed out."""

    states: list = field(default_factory=list)
    entries: list = field(default_factory=list)
    messages: list = field(default_factory=list)
    committed: list = field(default_factory=list)
    reads: list = field(default_factory=list)
    failed: list = field(default_factory=list)

    def to(self, name):
        return [message for message in self.messages if message.to == name]


def finish(raft):
    """Do all there is to do, as the contract says."""
    done = Done()
    while raft.has_ready():
        for items, new in zip(vars(done).values(), raft.ready(), strict=True):
            items.extend([new] if isinstance(new, HardState) else new or ())
        raft.advance()
    return done


def campaign(raft):
    """Let time pass until the member stands for election; return what that led to."""
    term = raft.term
    while raft.term == term:
        raft.tick()
    return finish(raft)


def lead(raft):
    """Make the member leader of its next term by the votes of a majority."""
    campaign(raft)
    for voter in raft.configuration.voters[1 : raft.configuration.quorum]:
        raft.step(RequestVoteReply(voter, "n1", raft.term, True))
    assert raft.role is Role.LEADER
    return raft


def append(terms=(), after=(0, 0), term=1, commit=0, sender="n2", replicated=0, round=1):
    index, previous = after
    made = entries(terms, index + 1)
    return AppendEntries(sender, "n1", term, index, previous, made, commit, replicated, round)


def ack(raft, sender, match, round=1, term=None):
    term = raft.term if term is None else term
    raft.step(AppendEntriesReply(sender, "n1", term, True, match, 0, 0, round))


def refuse(raft, sender, index, term, round=1):
    raft.step(AppendEntriesReply(sender, "n1", raft.term, False, 0, index, term, round))


def terms_of(raft):
    return [entry.term for entry in raft.log.slice(raft.log.first_index)]


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
    for _ in range(14):  # the shortest timeout there is, less one
        raft.tick()
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
]


@pytest.mark.parametrize("message", NEWER)
@pytest.mark.parametrize("prepare", [campaign, lead])
def test_any_message_of_a_newer_term_makes_a_follower_without_a_vote(prepare, message):
    raft = member([1])
    prepare(raft)
    raft.step(message)
    assert (raft.role, raft.term, raft.vote) == (Role.FOLLOWER, 9, None)
    assert raft.leader == ("n3" if isinstance(message, AppendEntries) else None)
    assert finish(raft).states == [(9, None)]


def test_a_candidate_follows_the_leader_of_its_term_and_keeps_its_vote():
    raft = member()
    campaign(raft)
    raft.step(append(term=raft.term))
    assert (raft.role, raft.vote, raft.leader) == (Role.FOLLOWER, "n1", "n2")
    raft.step(RequestVote("n3", "n1", raft.term, 99, 99))
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


def test_what_is_not_a_proposal():
    raft = lead(member())
    with pytest.raises(BadInput):
        raft.propose([])
    raft.step(append(term=7, sender="n3"))
    with pytest.raises(NotLeader) as refusal:
        raft.propose([record()])
    assert refusal.value.leader == "n3"
    assert terms_of(raft) == [1]


def test_one_append_with_entries_is_on_its_way_to_a_follower_whatever_is_repeated():
    raft = lead(member(options=Options(max_batch_bytes=1)))
    raft.propose([record(n) for n in range(20)])
    finish(raft)
    for _ in range(5):  # the heartbeat repeats what went unanswered
        raft.tick()
    assert [m.entries[0].index for m in finish(raft).to("n2")] == [1]
    for match in range(1, 15):
        sent = []
        for _ in range(2):  # both copies are answered
            ack(raft, "n2", match)
            sent += finish(raft).to("n2")
        assert [[e.index for e in m.entries] for m in sent if m.entries] == [[match + 1]]


def test_a_late_refusal_that_was_heard_already_sends_nothing_again():
    raft = lead(member([1] * 9))
    finish(raft)
    refuse(raft, "n2", 4, 1)
    assert [m.prev_index for m in finish(raft).to("n2")] == [4]
    refuse(raft, "n2", 4, 1)
    assert not finish(raft).to("n2")
    ack(raft, "n2", 10)
    refuse(raft, "n2", 4, 1)
    assert raft.status().progress["n2"] == (11, 10)


def test_a_batch_is_bounded_in_bytes_and_takes_one_entry_at_least():
    sizes = [10, 10, 500, 10, 10, 10]
    one = entry_size(Entry(1, 1, record(0, 10)))
    raft = lead(member(options=Options(max_batch_bytes=2 * one)))
    finish(raft)
    ack(raft, "n2", 1)
    raft.propose([record(n, size) for n, size in enumerate(sizes)])
    batches, match = [], 1
    while match < 7:
        (message,) = [m for m in finish(raft).to("n2") if m.entries]
        assert message.prev_index == match
        batches.append(len(message.entries))
        match += len(message.entries)
        ack(raft, "n2", match)
    assert batches == [2, 1, 2, 1]


def test_match_never_falls_and_next_stays_above_it():
    raft = lead(member([1] * 5))
    finish(raft)
    for match in (3, 6, 2, 0):
        ack(raft, "n2", match)
        following, matching = raft.status().progress["n2"]
        assert following > matching == (3 if match == 3 else 6)
    refuse(raft, "n2", 0, 0)
    assert raft.status().progress["n2"] == (7, 6)


def test_replies_of_an_older_term_are_ignored():
    raft = lead(member([1, 1]))
    finish(raft)
    ack(raft, "n2", 3, term=1)
    assert raft.commit_index == 0
    assert raft.status().progress["n2"] == (3, 0)


def test_a_refused_append_of_an_older_term_is_no_answer_to_one_of_the_new_term():
    """The refusal carries the newer term, and its receiver may come to lead just that term."""
    voter = member([1] * 5, term=2)
    voter.step(append(term=1, after=(5, 1), round=70, sender="n2"))
    (refusal,) = finish(voter).messages
    assert refusal.term == 2
    assert not refusal.success
    raft = lead(member([1] * 5))
    assert raft.term == 2
    finish(raft)
    raft.read_index(1)
    before = raft.status().progress["n2"]
    raft.step(refusal._replace(sender="n2", to="n1"))
    ack(raft, "n3", 6, round=1)
    assert raft.status().progress["n2"] == before
    assert not finish(raft).reads


def test_an_entry_that_was_cut_and_is_asked_for_is_named():
    raft = lead(member([1, 1, 1], base=2, committed=2))
    finish(raft)
    with pytest.raises(BadInput, match="n2 needs entry 1, but the log begins at 3"):
        refuse(raft, "n2", 0, 0)


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
    assert (terms_of(raft), raft.commit_index, raft.leader, raft.replicated) == ([1, 2], 0, None, 0)


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
    assert Superseded(3, 4) in events


def test_committed_entries_are_never_superseded():
    raft = member([1, 1])
    raft.step(append(after=(2, 1), commit=2))
    with pytest.raises(AssertionError, match="committed entry 2"):
        raft.step(append([3], after=(1, 1), term=3))
    assert terms_of(raft) == [1, 1]


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
    assert raft.status().progress["n2"][1] == raft.log.last_index
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
    while raft.role is not Role.CANDIDATE:
        raft.tick()
    raft.step(RequestVoteReply("n2", "n1", 3, True))
    ack(raft, "n2", 3)
    assert raft.commit_index == 0
    assert finish(raft).entries == [*entries([2], 2), Entry(3, 3, NOOP)]
    assert raft.commit_index == 3


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


def test_replicated_is_what_the_last_voter_has_and_everybody_is_told():
    raft = lead(member([1, 1]))
    finish(raft)
    ack(raft, "n2", 3)
    assert raft.replicated == 0
    ack(raft, "n3", 2)
    assert raft.replicated == 2
    for _ in range(5):
        raft.tick()
    assert {m.replicated for m in finish(raft).messages} == {2}
    raft.step(append(after=(3, 2), term=9, replicated=1))
    assert raft.replicated == 2


# ── reads (§8, thesis §6.4) ─────────────────────────────────────────────────────────────────────


def reading():
    """A leader of three whose no-op, entry 1, is committed; round 1 is answered by n2."""
    raft = lead(member())
    finish(raft)
    ack(raft, "n2", 1, round=1)
    finish(raft)
    assert raft.commit_index == 1
    return raft


def test_a_read_waits_for_a_majority_to_answer_a_round_begun_after_it():
    raft = reading()
    for _ in range(5):
        raft.tick()  # round 2 begins before the read is asked for
    raft.read_index(7)
    done = finish(raft)
    assert [m.round for m in done.to("n2")] == [2, 3]
    ack(raft, "n2", 1, round=2)
    ack(raft, "n3", 1, round=2)
    assert not finish(raft).reads
    ack(raft, "n2", 1, round=3)
    assert finish(raft).reads == [ReadReady(7, 1)]
    ack(raft, "n3", 1, round=3)
    assert not finish(raft).reads


def test_a_refusal_confirms_leadership_too():
    raft = reading()
    raft.read_index(7)
    finish(raft)
    refuse(raft, "n3", 0, 0, round=2)
    assert finish(raft).reads == [ReadReady(7, 1)]


def test_one_round_serves_all_reads_that_gathered():
    raft = reading()
    for token in (1, 2, 3):
        raft.read_index(token)
    assert len(finish(raft).messages) == 2
    ack(raft, "n2", 1, round=2)
    assert finish(raft).reads == [ReadReady(1, 1), ReadReady(2, 1), ReadReady(3, 1)]


def test_a_new_leader_reads_once_its_own_term_has_committed():
    """Before that, more may be committed than it knows."""
    raft = lead(member([1, 1, 1], committed=1))
    raft.read_index(7)
    finish(raft)
    ack(raft, "n2", 3, round=2)
    assert not finish(raft).reads
    ack(raft, "n2", 4, round=2)
    done = finish(raft)
    assert done.reads == [ReadReady(7, 4)]
    assert done.committed[-1].index == 4


def test_reads_fail_when_leadership_is_lost_and_are_refused_without_it():
    raft = reading()
    raft.read_index(7)
    raft.step(append(term=5, sender="n3"))
    done = finish(raft)
    assert (done.reads, done.failed) == ([], [7])
    with pytest.raises(NotLeader, match="n3"):
        raft.read_index(8)


def test_a_cluster_of_one_reads_by_itself():
    raft = lead(member(voters=("n1",)))
    finish(raft)
    raft.read_index(1)
    assert finish(raft).reads == [ReadReady(1, 1)]


def test_reads_neither_repeat_entries_on_their_way_nor_keep_lost_ones_from_being_repeated():
    raft = reading()
    raft.propose([record(1)])
    assert [len(m.entries) for m in finish(raft).to("n2")] == [1]
    sent = []
    for token in range(5):
        raft.read_index(token)
        sent.append([len(m.entries) for m in finish(raft).to("n2")])
        raft.tick()
    assert sent == [[0]] * 5
    assert [len(m.entries) for m in finish(raft).to("n2")] == [1]


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


def test_strangers_are_ignored_and_messages_for_others_refused():
    raft = member()
    raft.step(append([9], term=9, sender="n9"))
    raft.step(append([9], term=9, sender="n1"))
    assert (raft.term, raft.log.last_index, raft.has_ready()) == (0, 0, False)
    with pytest.raises(BadInput, match="n2"):
        raft.step(RequestVote("n3", "n2", 1, 0, 0))


@pytest.mark.parametrize(
    "options",
    [
        {"election_ticks": 5, "heartbeat_ticks": 5},
        {"heartbeat_ticks": 0},
        {"max_batch_bytes": 0},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(BadInput):
        Options(**options)


def test_who_is_no_member_cannot_take_part():
    with pytest.raises(BadInput, match="n1 is not one of"):
        member(voters=("n2", "n3"))


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
        Voted(1, "n1"),
        RoleChanged("leader", 1, "n1"),
        Committed(1),
        RoleChanged("follower", 2, "n3"),
        Committed(2),
    ]


def test_status_shows_a_leader_and_its_followers():
    raft = lead(member([1, 1]))
    finish(raft)
    ack(raft, "n2", 3)
    status = raft.status()
    assert (status.member, status.role, status.term, status.vote) == ("n1", Role.LEADER, 2, "n1")
    assert (status.leader, status.commit_index) == ("n1", 3)
    assert (status.first_index, status.last_index) == (1, 3)
    assert status.progress == {"n2": (4, 3), "n3": (3, 0)}


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
