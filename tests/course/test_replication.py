"""Lesson 02: what its checks say of right, wrong and broken rules; its answers are true."""

import re

import pytest

from kvraft.check import Violation
from kvraft.course.exercises import replication
from kvraft.course.exercises.replication import CommitSituation, check_advance_commit
from kvraft.course.solutions.s02_replication_and_commit import (
    RIGHT,
    WRONG,
    looks_below_the_log,
    of_any_term,
    upper_median,
    with_learners,
)
from kvraft.events import MessageSent
from kvraft.raft import AppendEntries, AppendEntriesReply, RaftOptions
from kvraft.raft import safety as rules
from kvraft.record import HardState
from kvraft.sim import Cluster
from tests.helpers.course import without_name


def said(capsys, rule):
    check_advance_commit(rule)
    return without_name(capsys.readouterr().out)


@pytest.mark.parametrize("rule", [RIGHT["advance_commit"], rules.advance_commit])
def test_a_right_rule_leads_clusters_and_is_told_so(capsys, rule):
    words = said(capsys, rule)
    assert words.startswith("Right. It agrees with Raft in 2,1"), words
    committed = int(re.search(r"([\d,]+) entries committed", words)[1].replace(",", ""))
    assert committed > 200


@pytest.mark.parametrize("rule", WRONG["advance_commit"], ids=lambda rule: rule.__name__)
def test_a_wrong_rule_is_told_where_it_goes_wrong(capsys, rule):
    words = said(capsys, rule)
    assert words.startswith("Not yet. A leader of term"), words
    assert words.count("\n") == 1


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (of_any_term, "only entries of its own term, 2"),
        (upper_median, "1 of 2 voters have entry 1, which is not a majority"),
        (with_learners, "a learner does not count"),
        (looks_below_the_log, "raised BadInput: the log holds"),
    ],
)
def test_the_reason_is_the_one_that_helps(capsys, rule, reason):
    assert reason in said(capsys, rule)


def test_the_situation_told_is_the_shortest_there_is():
    """Brute force, in another order: no shorter log, and with it no fewer voters, shows it."""
    sizes = [
        (len(s.terms), len(s.match))
        for s in replication._situations()
        if s.ask(of_any_term) != s.ask(rules.advance_commit)
    ]
    assert sizes[0] == min(sizes) == (1, 1)
    sizes = [
        (len(s.terms), len(s.match))
        for s in replication._situations()
        if s.ask(upper_median) != s.ask(rules.advance_commit)
    ]
    assert sizes[0] == min(sizes) == (1, 2)


def test_no_answer_and_a_broken_one(capsys):
    assert said(capsys, lambda *given: ...).startswith("Not answered yet")
    assert "raised ZeroDivisionError" in said(capsys, lambda *given: 1 // 0)
    assert "raised TypeError" in said(capsys, lambda: 1)
    assert "is not a whole number" in said(capsys, lambda *given: True)
    assert "7, and has to be a function" in said(capsys, 7)


def test_a_rule_that_fails_only_in_the_cluster_is_caught_there(capsys, monkeypatch):
    """The situations know nothing of it: the checker of the cluster is what finds it."""
    monkeypatch.setattr(replication, "_situations", lambda: iter(()))
    words = said(capsys, lambda commit, term, match, configuration, log: max(match.values()))
    assert words.startswith("Not yet. In a cluster with faults it breaks a promise: ")
    words = said(capsys, of_any_term)
    assert words.startswith(("Not yet. In a cluster", "Right.")), words  # Figure 8 is rare
    assert "raised ZeroDivisionError" in said(capsys, lambda *given: 1 // 0)


def test_the_cluster_meets_faults_under_every_seed(monkeypatch):
    """Else the second half of the check would be a calm run, six times."""
    crashes = []
    monkeypatch.setattr(Cluster, "crash", _counted(Cluster.crash, crashes))
    for seed in replication.SEEDS:
        before = len(crashes)
        assert replication._run(rules.advance_commit, seed) > 20
        assert len(crashes) - before >= 3
    with pytest.raises(Violation):
        replication._run(lambda commit, term, match, configuration, log: log.last_index, 0)


def _counted(method, calls):
    def call(self, name):
        calls.append(name)
        method(self, name)

    return call


# ── the answers of the other two ────────────────────────────────────────────────────────────────


def test_the_commit_indexes_are_those_of_the_rule():
    situations = [
        CommitSituation(2, 2, (1, 1, 2, 2, 2, 2, 2), (7, 5, 3)),
        CommitSituation(3, 1, (1, 1, 3, 3, 3, 3), (6, 2, 4, 6, 3)),
        CommitSituation(2, 0, (2, 2, 2, 2), (4, 4, 3, 1)),
        CommitSituation(3, 2, (1, 1, 2, 2, 3), (5, 4, 4, 2, 1)),
    ]
    assert [s.ask(rules.advance_commit) for s in situations] == RIGHT["commit_indexes"]


FIGURE_7 = {
    "leader": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    "a": [1, 1, 1, 4, 4, 5, 5, 6, 6],
    "b": [1, 1, 1, 4],
    "c": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    "d": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    "e": [1, 1, 1, 4, 4, 4, 4],
    "f": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


def test_the_next_indexes_are_those_of_the_module():
    cluster = Cluster(
        list(FIGURE_7),
        options=RaftOptions(pre_vote=False, check_quorum=False),
        logs=FIGURE_7,
        hard_states={"leader": HardState(7)},
    )
    cluster.timeout("leader")
    cluster.deliver()
    cluster.deliver()
    assert cluster.leader() == "leader"
    cluster.deliver(kind=AppendEntries)
    refused = {
        letter.message.sender
        for letter in cluster.in_flight
        if isinstance(letter.message, AppendEntriesReply) and not letter.message.success
    }
    cluster.deliver(kind=AppendEntriesReply)
    followers = cluster.rafts["leader"].status().progress
    assert {name: followers[name].next for name in sorted(refused)} == RIGHT["next_indexes"]
    cluster.settle()
    again = [s for s in cluster.trace.of(MessageSent) if s.event.note.startswith("mismatch")]
    assert len(again) == len(refused)  # one round trip is enough for each of them
