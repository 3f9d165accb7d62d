"""Sentences of Figure 2 that no other test covers; notebooks/book/figure2.md lists all of them."""

from dataclasses import replace
from random import Random
from zlib import crc32

import pytest

from kvraft.check import Property, Violation
from kvraft.check.raft import watch
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    Follower,
    InstallSnapshot,
    InstallSnapshotReply,
    PreVote,
    PreVoteReply,
    Raft,
    RequestVote,
    RequestVoteReply,
    Role,
)
from kvraft.record import HardState
from kvraft.replica import Replica
from kvraft.sim import Cluster, SimDisk
from tests.helpers.raft_member import (
    FIVE,
    PAPER,
    THREE,
    ack,
    append,
    at,
    finish,
    lead,
    leader,
    member,
    record,
    terms_of,
    ticks,
)

# ── state ───────────────────────────────────────────────────────────────────────────────────────


def test_on_first_boot_everything_is_zero_and_the_first_index_is_one():
    members = Configuration(THREE)
    replica = Replica("n1", members, SimDisk(), random=Random(1), incarnation=1, new=True)
    raft, marks = replica.raft, replica.marks
    assert replica.wal.hard_state == HardState(0, None)
    assert (raft.role, raft.term, raft.vote, raft.leader) == (Role.FOLLOWER, 0, None, None)
    assert (marks.first, marks.last, raft.log.first_index, raft.log.last_index) == (1, 0, 1, 0)
    assert (raft.commit_index, marks.committed, marks.applied) == (0, 0, 0)


def test_the_commit_index_never_falls():
    raft = member([1, 1, 1, 1])
    for said in (3, 1, 0, 2):  # the later ones were overtaken
        raft.step(append(after=(4, 1), commit=said))
        assert raft.commit_index == 3
    raft = leader(terms=[1, 1])
    for match in (1, 2):
        ack(raft, "n2", match)
        ack(raft, "n3", match)
        assert raft.commit_index == 3


def test_a_leader_that_is_elected_again_knows_nothing_of_its_followers():
    """One that lost its log while another led would otherwise count for what it held once."""
    raft = leader("n2", terms=[1, 1])
    assert at(raft, "n2") == (4, 3)
    raft.step(append(term=3, after=(3, 2), sender="n3"))
    assert raft.role is Role.FOLLOWER
    lead(raft)
    assert terms_of(raft) == [1, 1, 2, 4]
    for name in ("n2", "n3"):
        assert at(raft, name) == (4, 0)


# ── AppendEntries ───────────────────────────────────────────────────────────────────────────────


def test_a_follower_commits_no_further_than_its_leader():
    """Rule 5 takes the smaller of two: test_raft.py has the other one."""
    raft = member([1])
    raft.step(append([1, 1, 1], after=(1, 1), commit=2))
    assert raft.commit_index == 2
    raft.step(append([], after=(4, 1), commit=3))
    assert raft.commit_index == 3


def test_a_leader_sends_its_commit_index_with_every_append():
    raft = leader("n2", terms=[1, 1])
    raft.propose([record()])
    assert {(m.to, m.commit, len(m.entries)) for m in finish(raft).messages} == {("n2", 3, 1)}
    ticks(raft, 5)
    assert {(m.to, m.commit, len(m.entries)) for m in finish(raft).messages} == {
        ("n2", 3, 0),
        ("n3", 3, 0),
    }


class _SkipsTheCheck(Follower):
    def on_append_entries(self, append):
        log = self.core.log
        if append.prev_index <= log.last_index:
            append = append._replace(prev_term=log.term(append.prev_index))
        super().on_append_entries(append)


class SkipsTheCheck(Raft):
    """A follower looks for an entry at prevLogIndex, and not at its term (rule 2)."""

    follower_type = _SkipsTheCheck


@pytest.mark.parametrize("consensus", [Raft, SkipsTheCheck])
def test_without_the_check_of_prev_log_term_logs_do_not_match(consensus):
    """Both end in the no-op of term 3, after entries of different terms (Figure 3)."""
    logs = {"n1": [1, 2], "n2": [1, 1], "n3": [1, 2]}
    cluster = Cluster(3, logs=logs, options=PAPER, consensus=consensus)
    checker = watch(cluster)
    cluster.timeout("n1")
    if consensus is Raft:
        cluster.settle()
        checker.check_everything()
        assert {raft.log.last for raft in cluster.rafts.values()} == {(3, 3)}
        return
    with pytest.raises(Violation) as found:
        cluster.settle()
    assert found.value.property is Property.LOG_MATCHING


# ── followers ───────────────────────────────────────────────────────────────────────────────────

CHUNK = InstallSnapshot("n2", "n1", 3, 9, 3, Configuration(THREE), 4, 0, b"ab", crc32(b"ab"))
REQUESTS = {
    "an append that follows on": (append([3], after=(2, 1), term=3), AppendEntriesReply),
    "an append that does not": (append([3], after=(4, 3), term=3), AppendEntriesReply),
    "an append that is repeated": (append([1], after=(1, 1), term=3), AppendEntriesReply),
    "a candidate that gets the vote": (RequestVote("n2", "n1", 3, 2, 1), RequestVoteReply),
    "a candidate that does not": (RequestVote("n2", "n1", 3, 1, 1), RequestVoteReply),
    "a pre-vote that is granted": (PreVote("n2", "n1", 4, 2, 1), PreVoteReply),
    "a pre-vote that is not": (PreVote("n2", "n1", 4, 1, 1), PreVoteReply),
    "a chunk of a snapshot": (CHUNK, InstallSnapshotReply),
}


@pytest.mark.parametrize("own", [2, 3, 5], ids="in term {}".format)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_follower_answers_each_request_of_a_leader_or_candidate_once(request_, own):
    """Also one of an older term, whose sender learns the newer one from the answer."""
    asked, kind = REQUESTS[request_]
    raft = member([1, 1], term=own)
    raft.step(asked)
    (reply,) = finish(raft).messages
    assert (type(reply), reply.to) == (kind, "n2")
    entered = kind is not PreVoteReply or reply.granted  # a pre-vote that is refused names our term
    assert reply.term == (max(own, asked.term) if entered else own)


@pytest.mark.parametrize(
    ("message", "restarts"),
    [
        (append(after=(2, 1), term=3), True),
        (append(after=(9, 3), term=3), True),  # refused, and yet its sender is the leader
        (append(after=(2, 1), term=2), False),
        (CHUNK, True),
        (CHUNK._replace(term=2, last_term=2), False),
        (RequestVote("n2", "n1", 3, 1, 1), False),
        (RequestVote("n2", "n1", 2, 9, 1), False),
        (PreVote("n2", "n1", 9, 9, 3), False),
        (RequestVoteReply("n2", "n1", 3, True), False),
        (AppendEntriesReply("n2", "n1", 3, True, 2, 2), False),
    ],
)
def test_only_a_leader_of_the_current_term_delays_an_election(message, restarts):
    """Nor does a candidate that gets no vote; see test_raft.py for one that does."""
    raft = member([1, 1], term=3)
    ticks(raft, 14)
    raft.step(message)
    assert (raft.status().elapsed == 0) is restarts


# ── candidates ──────────────────────────────────────────────────────────────────────────────────


def test_a_candidate_stands_again_at_each_timeout_and_begins_to_count_again():
    raft = member(voters=FIVE)
    for term in range(1, 6):
        ticks(raft, raft.status().timeout - raft.status().elapsed)
        assert (raft.role, raft.term, raft.vote) == (Role.CANDIDATE, term, "n1")
        assert [(m.to, m.term) for m in finish(raft).of(RequestVote)] == [
            (to, term) for to in FIVE[1:]
        ]
        raft.step(RequestVoteReply(FIVE[1 + term % 4], "n1", term, True))  # one more is needed


# ── leaders ─────────────────────────────────────────────────────────────────────────────────────


def test_each_follower_hears_of_a_new_leader_at_once_and_then_in_every_heartbeat_interval():
    raft = lead(member(voters=FIVE, learners=("n6",), options=replace(PAPER, heartbeat_ticks=4)))
    others = ["n2", "n3", "n4", "n5", "n6"]
    assert [m.to for m in finish(raft).of(AppendEntries)] == others
    for _ in range(10):  # nothing to replicate, and no answers
        ticks(raft, 3)
        assert not finish(raft).messages
        ticks(raft, 1)
        assert [(m.to, m.entries) for m in finish(raft).messages] == [(to, ()) for to in others]


def test_a_leader_sends_from_next_on_as_soon_as_the_log_reaches_it_and_never_from_elsewhere():
    raft = leader("n2", terms=[1, 1])
    for index in (4, 5, 6):
        assert at(raft, "n2") == (index, index - 1)
        raft.propose([record(index)])
        (sent,) = finish(raft).to("n2")
        assert (sent.prev_index, [entry.index for entry in sent.entries]) == (index - 1, [index])
        ack(raft, "n2", index)
        assert not finish(raft).of(AppendEntries), "there is nothing more"
