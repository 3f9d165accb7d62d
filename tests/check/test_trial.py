"""A foreign consensus module on trial: what is right comes out clean, what is wrong is found."""

import json

import pytest

from kvraft.check import scenario
from kvraft.check.bugs import find_bug
from kvraft.check.properties import FIGURE_3, Property
from kvraft.check.trial import (
    CONSENSUS,
    RUNS,
    Ability,
    Outcome,
    Promise,
    Report,
    judge_consensus,
)
from kvraft.check.trial.guest import abilities_of, guest_class
from kvraft.errors import BadInput, KvraftError, NotLeader
from kvraft.raft import Raft, Ready, RequestVote
from kvraft.record import Entry, HardState
from kvraft.sim import Cluster
from tests.helpers.minimal_raft import WRONG, MinimalRaft

FOUND = {
    "VotesTwice": (1, Property.ONE_VOTE),
    "VotesForAnyLog": (1, Property.LEADER_COMPLETENESS),
    "VotesForLongerLog": (17, Property.LEADER_COMPLETENESS),
    "ForgetsItsVote": (1, Property.DURABLE_FIRST),
    "CountsVotesTwice": (62, Property.ELECTION_SAFETY),
    "CountsOldVotes": (11, Property.ELECTION_SAFETY),
    "CountsOlderTerms": (32, Property.LEADER_COMPLETENESS),
    "IgnoresPreviousEntry": (1, Property.LOG_MATCHING),
    "AnswersEarly": (1, Property.DURABLE_FIRST),
    "BelievesOldAnswers": (163, Property.COMMITTED_KEPT),
    "TruncatesAlways": (7, Property.COMMITTED_KEPT),
    "CommitsItsTail": (17, Property.STATE_MACHINE_SAFETY),
    "NeverStands": (1, Promise.LEADER),
    "AppliesAgain": (7, Property.STATE_MACHINE_SAFETY),
    "RaisesOnMismatch": (1, Promise.ANSWERS),
}
"""The first run, of 200, that shows what is wrong with each variant, and a property it breaks."""


# ── the verdicts ────────────────────────────────────────────────────────────────────────────────


def test_a_minimal_raft_comes_out_clean_and_what_it_lacks_is_not_tried():
    report = judge_consensus(MinimalRaft, runs=20)
    assert not report.broken
    assert report.abilities == []
    assert set(report.lacks) == set(Ability)
    assert [verdict.name for verdict in report.verdicts] == list(CONSENSUS)
    not_tried = [v.name for v in report.verdicts if v.outcome is Outcome.NOT_TRIED]
    assert not_tried == [Property.ONE_CHANGE, Property.ONE_LEASE, Property.FRESH_READS]


def test_kvrafts_own_comes_out_clean_with_all_that_it_can():
    report = judge_consensus(Raft, runs=15, seed=1_000)
    assert not report.broken
    assert not report.lacks
    assert {verdict.outcome for verdict in report.verdicts} == {Outcome.HOLDS}


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_each_wrong_variant_is_found_and_its_run_made_small(kind):
    seed, broken = FOUND[kind.__name__]
    assert seed <= RUNS
    report = judge_consensus(kind, runs=1, seed=seed, shrinking=40)
    assert broken in [verdict.name for verdict in report.broken]
    for verdict in report.broken:
        assert verdict.what
        assert verdict.trace is not None
        assert not verdict.lines or verdict.lines[-1][1] == len(verdict.trace)


@pytest.mark.parametrize(
    ("name", "seed"), [("votes twice", 4), ("reads unconfirmed", 43), ("changes at once", 2)]
)
def test_a_bug_planted_in_kvrafts_own_is_found(name, seed):
    assert judge_consensus(find_bug(name).consensus, runs=1, seed=seed, shrinking=10).broken


def test_the_shrunk_run_is_a_scenario_that_breaks_and_breaks_no_right_one():
    kind = next(kind for kind in WRONG if kind.__name__ == "VotesForAnyLog")
    report = judge_consensus(kind, runs=1)
    verdict = next(verdict for verdict in report.broken if verdict.name in FIGURE_3)
    played = scenario.parse(verdict.saved)
    wrong, right = (guest_class(each, each.__name__, ()) for each in (kind, MinimalRaft))
    assert played.play(consensus=wrong).violation.what.startswith(verdict.what)
    with pytest.raises(KvraftError, match="expected a violation"):
        played.play(consensus=right)
    for at in range(len(verdict.lines)):  # each line is needed
        left = [line for number, (line, _) in enumerate(verdict.lines) if number != at]
        head = verdict.saved.splitlines()[: -len(verdict.lines) - 1]
        text = "\n".join([*head, *left, f"violation {verdict.name}"])
        with pytest.raises(KvraftError):
            scenario.parse(text).play(consensus=wrong)


def test_a_trial_is_a_function_of_runs_and_seed():
    kind = next(kind for kind in WRONG if kind.__name__ == "ForgetsItsVote")
    first, second = (judge_consensus(kind, runs=1, shrinking=5) for _ in range(2))
    assert first.broken
    assert first.to_json() == second.to_json()
    assert Report.from_json(json.loads(json.dumps(first.to_json()))).to_json() == first.to_json()


# ── what an implementation lacks ────────────────────────────────────────────────────────────────


class NotHere(Raft):
    """A base class wants these methods, and they refuse."""

    def compact(self, index, snapshot=None):
        if index:
            raise BadInput("not here")

    def propose_change(self, voters, learners=()):
        raise NotImplementedError

    def read_index(self, token):
        raise BadInput("not here")

    def transfer_leader(self, to):
        raise NotImplementedError("not here")


def test_methods_that_refuse_are_found_out_and_not_tried():
    report = judge_consensus(NotHere, runs=8)
    assert not report.broken
    assert set(report.lacks) == {"snapshots", "membership", "reads", "transfers"}
    assert "not here" in report.lacks["reads"]
    assert report.abilities == ["leases"]


def test_what_is_switched_off_is_not_tried():
    report = judge_consensus(find_bug("reads unconfirmed").consensus, runs=12, without=["reads"])
    assert report.verdict(Property.FRESH_READS).outcome is Outcome.NOT_TRIED
    assert not report.broken
    with pytest.raises(BadInput, match="no ability 'color' to do without: snapshots, membership"):
        judge_consensus(MinimalRaft, without=["color"])


# ── answers that make no sense ──────────────────────────────────────────────────────────────────


def answering(**methods):
    """A minimal Raft in which some methods are other ones."""
    return type("Own", (MinimalRaft,), methods)


def wrong_ready(**parts):
    def ready(self):
        return MinimalRaft.ready(self)._replace(**parts)

    return ready


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"ready": lambda self: None}, "returns None (NoneType) from ready; right would be a"),
        ({"ready": wrong_ready(messages=3)}, "returns 3 (int) as Ready.messages, not a tuple"),
        ({"ready": wrong_ready(messages=["x"])}, "sends a str that nobody can take"),
        ({"ready": wrong_ready(hard_state=(1, None))}, "as Ready.hard_state: HardState(term"),
        ({"ready": wrong_ready(hard_state=HardState("1"))}, "right would be a whole number"),
        ({"ready": wrong_ready(entries=[1])}, "hands out 1 (int) in Ready.entries, not an Entry"),
        ({"ready": wrong_ready(entries=[Entry(1, 9, None)])}, "hands out entry 9 to be saved"),
        ({"ready": wrong_ready(committed=[1])}, "in Ready.committed, not an Entry"),
        (
            {"ready": wrong_ready(messages=[RequestVote("n9", "n1", 1, 0, 0)])},
            "in the name of another",
        ),
        ({"has_ready": lambda self: True}, "still has a Ready after 1,000 of them"),
        ({"role": property(lambda self: "king", lambda self, role: None)}, "has the role 'king'"),
        ({"term": property(lambda self: -1, lambda self, term: None)}, "has the term -1"),
        ({"step": lambda self, message: 1 / 0}, "Own.step raises ZeroDivisionError"),
        ({"propose": lambda self, records: "later"}, "from propose; right would be"),
        ({"__init__": lambda self, *a, **k: {}["x"]}, "Own.__init__ raises KeyError: 'x'"),
    ],
)
def test_nonsense_is_one_sentence_that_says_what_would_be_right(methods, words):
    report = judge_consensus(answering(**methods), runs=2, shrinking=10)
    verdict = report.verdict(Promise.ANSWERS)
    assert verdict.outcome is Outcome.BROKEN
    assert words in verdict.what
    assert "\n" not in verdict.what


def test_where_it_raised_is_named():
    def step(self, message):
        raise ValueError("what now?")

    what = judge_consensus(answering(step=step), runs=3).verdict(Promise.ANSWERS).what
    line = step.__code__.co_firstlineno + 1
    assert what.endswith(f'(test_trial.py, line {line}: raise ValueError("what now?"))')


def test_a_class_without_the_methods_is_refused():
    with pytest.raises(BadInput, match="Bare lacks the methods propose, has_ready, ready, advance"):
        judge_consensus(type("Bare", (), {"tick": print, "step": print}))


def test_a_guest_refuses_what_its_module_refuses():
    cluster = Cluster(3, consensus=guest_class(MinimalRaft, "own", abilities_of(MinimalRaft)))
    with pytest.raises(NotLeader):
        cluster.propose("n1", "x")
    cluster.timeout("n2")
    cluster.settle()
    assert cluster.propose("n2", "x") == (2, 2)
    assert isinstance(cluster.rafts["n2"].ready(), Ready)
