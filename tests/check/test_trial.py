"""A foreign consensus module on trial: what is right comes out clean, what is wrong is found."""

import json
import re
from pathlib import Path

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
    subject_of,
)
from kvraft.check.trial.guest import abilities_of, guest_class
from kvraft.check.trial.report import FORMAT
from kvraft.errors import BadInput, KvraftError, NotLeader
from kvraft.raft import Raft, Ready, RequestVote
from kvraft.record import NOOP, Entry, HardState, Position
from kvraft.sim import Cluster
from tests.helpers.minimal_raft import WRONG, MinimalRaft

PAGE = Path(__file__).resolve().parents[2] / "notebooks" / "book" / "own_raft.md"
FOUND = {
    "VotesTwice": (1, Property.ONE_VOTE),
    "VotesForAnyLog": (1, Property.LEADER_COMPLETENESS),
    "VotesForLongerLog": (12, Property.LEADER_COMPLETENESS),
    "ForgetsItsVote": (1, Property.DURABLE_FIRST),
    "CountsVotesTwice": (9, Property.ELECTION_SAFETY),
    "CountsOldVotes": (13, Property.ELECTION_SAFETY),
    "CountsOlderTerms": (1, Property.LEADER_COMPLETENESS),
    "IgnoresPreviousEntry": (1, Property.LOG_MATCHING),
    "AnswersEarly": (1, Property.DURABLE_FIRST),
    "BelievesOldAnswers": (13, Property.COMMITTED_KEPT),
    "TruncatesAlways": (5, Property.COMMITTED_KEPT),
    "CommitsItsTail": (4, Property.STATE_MACHINE_SAFETY),
    "NeverStands": (1, Promise.LEADER),
    "AppliesAgain": (1, Property.STATE_MACHINE_SAFETY),
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
    assert seed <= RUNS // 10  # what takes luck is to be likelier by better schedules
    report = judge_consensus(kind, runs=1, seed=seed, shrinking=40)
    assert broken in [verdict.name for verdict in report.broken]
    for verdict in report.broken:
        assert verdict.what
        assert verdict.trace is not None
        assert not verdict.lines or verdict.lines[-1][1] == len(verdict.trace)


@pytest.mark.parametrize(
    ("name", "seed"), [("votes twice", 1), ("reads unconfirmed", 9), ("changes at once", 2)]
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


def test_a_saved_run_has_the_options_and_the_latency_of_its_plan():
    """Without them it is another run: entries come in larger messages, and at other times."""
    bugs = {"older terms counted": 1, "promise forgotten": 17, "lease too long": 17}
    for name, run in bugs.items():
        made = find_bug(name).consensus
        verdict = judge_consensus(made, runs=1, seed=run, shrinking=0).broken[0]
        assert "max_batch_bytes=64" in verdict.saved
        assert "\nlatency 1 " in verdict.saved
        played = scenario.parse(verdict.saved).play(consensus=made)
        assert played.violation.property == verdict.name


class TakesItsWordBack(MinimalRaft):
    """A leader replaces its last entry as long as nobody has it."""

    def replicate(self):
        if self.kept == len(self.log) > self.commit:
            self.cut(len(self.log))
            self.log.append(Entry(self.term, len(self.log) + 1, NOOP))
        super().replicate()


def test_each_verdict_can_be_that_something_is_broken():
    """A judge who never says so of a property may not have looked."""
    broken = {property for _, property in FOUND.values()}
    assert broken >= {Promise.ANSWERS, Promise.LEADER, Property.LOG_MATCHING}
    others = [
        (TakesItsWordBack, 1, Property.LEADER_APPEND_ONLY),
        (find_bug("vote reset").consensus, 1, Property.NOTHING_GOES_BACK),
        (find_bug("changes at once").consensus, 2, Property.ONE_CHANGE),
        (find_bug("promise forgotten").consensus, 17, Property.ONE_LEASE),
        (find_bug("reads unconfirmed").consensus, 9, Property.FRESH_READS),
        (find_bug("truncates always").consensus, 2, Promise.PROGRESS),
        (WRONG[1], 1, Promise.ACKNOWLEDGED),
    ]
    for kind, seed, property in others:
        assert judge_consensus(kind, runs=1, seed=seed, shrinking=0).verdict(property).run == 1
        broken.add(property)
    assert broken == set(CONSENSUS)


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


def test_what_no_run_comes_to_is_not_said_to_hold():
    report = judge_consensus(answering(tick=lambda self: 1 / 0, timeout=tick_raises), runs=2)
    assert [verdict.name for verdict in report.broken] == [Promise.ANSWERS]
    verdict = report.verdict(Property.ELECTION_SAFETY)
    assert (verdict.outcome, verdict.what) == (Outcome.NOT_TRIED, "no run comes to its end")


def tick_raises(self):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"tick": lambda self: exit_with("bye"), "timeout": lambda self: exit_with("bye")}, "bye"),
        ({"ready": lambda self: (yield 1)}, "returns <generator object <lambda>> (generator)"),
        ({"ready": wrong_ready(messages=("x",) * 10_001)}, "more than 10,000 messages at once"),
        ({"propose": lambda self, records: records.clear()}, "no attribute 'clear'"),
    ],
)
def test_what_would_harm_the_judge_is_a_sentence_too(methods, words):
    verdict = judge_consensus(answering(**methods), runs=2, shrinking=5).verdict(Promise.ANSWERS)
    assert verdict.outcome is Outcome.BROKEN
    assert words in verdict.what


def exit_with(word):
    raise SystemExit(word)


def test_a_method_that_never_runs_is_named():
    async def step(self, message):
        pass

    what = judge_consensus(answering(step=step), runs=2).verdict(Promise.ANSWERS).what
    assert what.endswith("Own.step is async, and nothing of it has run; make it a method")


def test_a_class_that_wants_more_than_it_is_given_is_refused():
    def made(self, member, configuration, log, hard_state, disk):
        pass

    with pytest.raises(BadInput, match="missing a required argument: 'disk'; it is given member"):
        judge_consensus(answering(__init__=made))


def test_its_log_is_its_own():
    class Clears(MinimalRaft):
        def __init__(self, member, configuration, log, hard_state, *, random, options, cluster):
            named = {"random": random, "options": options, "cluster": cluster}
            super().__init__(member, configuration, log, hard_state, **named)
            log.reset(Position(9, 9))

    assert not judge_consensus(Clears, runs=4).broken


def test_a_file_is_as_good_as_a_module(tmp_path):
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "my_raft_file.py").write_text("class Mine:\n    tick = step = print\n")
    assert subject_of(f"{folder}/my_raft_file.py:Mine").kind == "consensus"
    with pytest.raises(BadInput, match=r"there is no file C:\\work\\mine\.py"):
        subject_of(r"C:\work\mine.py:Mine")
    (folder / "my-raft.py").write_text("")
    with pytest.raises(BadInput, match=r"a module has a name such as my_raft\.py"):
        subject_of(f"{folder}/my-raft.py:Mine")


def test_the_page_has_the_form_of_the_report():
    page = json.loads(re.search(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1])
    kind = next(kind for kind in WRONG if kind.__name__ == "ForgetsItsVote")
    report = judge_consensus(kind, runs=1, shrinking=5).to_json()
    assert (list(page), page["kvraft_trial"]) == (list(report), FORMAT)
    for table in (page, report):
        assert {row["outcome"] for row in table["verdicts"]} == set(Outcome)
    fields = [{r["outcome"]: list(r) for r in table["verdicts"]} for table in (page, report)]
    assert fields[0] == fields[1]
    assert Report.from_json(page).to_json() == page
