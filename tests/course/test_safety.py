"""Lesson 03: what its checks say of schedules and rules; its answers are true."""

import pytest

from kvraft.check import Property
from kvraft.check.bugs import find_bug
from kvraft.check.explore import ExplorationBounds, explore
from kvraft.course.exercises import safety
from kvraft.course.exercises.safety import check_schedule, check_up_to_date, replay, start
from kvraft.course.solutions import s03_safety as solutions
from kvraft.errors import BadInput
from kvraft.raft import Raft, RaftOptions, Role
from kvraft.raft import safety as rules
from kvraft.record import HardState
from kvraft.sim import Cluster
from tests.course.test_replication import FIGURE_7
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    return without_name(capsys.readouterr().out)


# ── schedules ───────────────────────────────────────────────────────────────────────────────────


def test_the_schedule_is_as_short_as_can_be_and_harmless_with_the_rule(capsys):
    went = replay(solutions.SCHEDULE)
    assert (went.events, went.violation.property) == (11, Property.LEADER_COMPLETENESS)
    assert replay(solutions.SCHEDULE, Raft).violation is None
    report = explore(start(), ExplorationBounds(timeouts=2))
    assert len(report.trace) == 11 < safety.MOST  # breadth first: there is none shorter
    words = said(capsys, check_schedule, solutions.SCHEDULE)
    assert words.startswith("Right. 11 events: leader completeness: n3 leads term 4"), words


def test_what_the_explorer_finds_is_counted_as_it_counts():
    cluster = start()
    report = explore(cluster, ExplorationBounds(timeouts=2))
    lines = []
    for step in report.trace:
        message = step.message
        if message is None:
            lines.append(f"timeout {step.member}")
        else:
            kind = type(message).__name__
            lines.append(f"deliver {kind} from {message.sender} to {message.to}")
    went = replay("\n".join(lines))
    assert went.events == len(report.trace)
    assert went.violation.property == report.violation.property


@pytest.mark.parametrize(
    ("schedule", "hint"),
    [
        (solutions.WITH_CRASHES, "leader completeness, but in 14 events"),
        ("", "0 events, and no property is broken. No member leads"),
        ("timeout n1\n\ndeliver everything", "line 3: 'everything' does not say which"),
        ("timeout n4", "line 1: there is no member 'n4'"),
        ("deliver to n1", "line 1 cannot be executed: no such message is in flight"),
        ("crash n1\ncrash n1", "line 2 cannot be executed: n1 does not run"),
        ("violation leader completeness", "line 1 begins with none of deliver"),
        ("propose n1 x", "line 1 cannot be executed: n1 is not the leader"),
        (
            "timeout n1\ndeliver to n2\ndeliver from n2\nsettle",
            "Entry 2 is committed: who lacks it",
        ),
        (7, "Give a text"),
        (None, "Give a text"),
    ],
)
def test_what_is_missing_is_said(capsys, schedule, hint):
    words = said(capsys, check_schedule, schedule)
    assert words.startswith("Not yet."), words
    assert hint in words
    assert words.count("\n") == 1


def test_a_leader_that_has_committed_nothing_is_told_so(capsys):
    words = said(capsys, check_schedule, "timeout n1\ndeliver to n2\ndeliver from n2")
    assert "No entry is committed: whose entry" in words


def test_losses_cost_nothing_and_arrivals_are_counted_one_by_one():
    assert replay("timeout n1\ndrop to n3").events == 1
    assert replay("timeout n1\ndeliver RequestVote").events == 3
    assert replay("crash n2\nrestart n2\ntimeout n1\nduplicate to n3\ndeliver to n3").events == 5
    with pytest.raises(BadInput, match="line 2"):
        replay("timeout n1\nheal")


# ── rules ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rule", [solutions.up_to_date, rules.up_to_date])
def test_a_right_rule_is_explored_and_told_so(capsys, rule):
    words = said(capsys, check_up_to_date, rule)
    assert words.startswith("Right. It agrees with Raft on all 289 pairs"), words


@pytest.mark.parametrize("rule", solutions.WRONG["up_to_date"], ids=lambda rule: rule.__name__)
def test_a_wrong_rule_is_told_the_shortest_pair(capsys, rule):
    words = said(capsys, check_up_to_date, rule)
    assert words.startswith("Not yet. The candidate's log"), words


@pytest.mark.parametrize(
    ("rule", "steps"),
    [(solutions.any_log, 3), (solutions.later, 3), (solutions.longer, 11)],
)
def test_the_harm_is_shown_in_a_shortest_run(capsys, rule, steps):
    words = said(capsys, check_up_to_date, rule)
    assert "What can happen where " in words
    assert f"\n{steps:4}. " in words
    assert f"\n{steps + 1:4}. " not in words
    assert "\nThen leader completeness: n3 leads" in words


def test_length_first_does_harm_too(capsys):
    words = said(capsys, check_up_to_date, solutions.length_first)
    assert "What can happen where n3 has three entries of term 1" in words


def test_a_rule_that_is_too_strict_elects_nobody(capsys):
    words = said(capsys, check_up_to_date, solutions.strictly)
    assert "equally up-to-date" in words
    assert "three members with empty logs elect no leader" in words


def test_no_answer_and_a_broken_one(capsys):
    assert said(capsys, check_up_to_date, lambda ask, last: ...).startswith("Not answered yet")
    assert "raised AttributeError" in said(capsys, check_up_to_date, solutions.raises)
    assert "gives None: give True or False" in said(
        capsys, check_up_to_date, solutions.returns_nothing
    )
    assert "7, and has to be a function" in said(capsys, check_up_to_date, 7)


def test_a_rule_that_passes_the_pairs_is_caught_by_the_explorer(capsys, monkeypatch):
    monkeypatch.setattr(safety, "situations", list)
    words = said(capsys, check_up_to_date, solutions.longer)
    assert words.startswith("Not yet. In a cluster it breaks a property: leader completeness")
    words = said(capsys, check_up_to_date, solutions.strictly)
    assert words.startswith("Not yet. In a cluster no member is elected"), words
    assert said(capsys, check_up_to_date, solutions.raises).startswith("Not yet. In a cluster")


# ── who may win ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("case", "holders"), list(enumerate(["", "ac", "ace"])))
def test_the_winners_are_those_of_the_module(case, holders):
    whole = [*FIGURE_7["leader"], 8]
    logs = FIGURE_7 | {"leader": whole} | dict.fromkeys(holders, whole)
    winners = ""
    for name in "abcdef":
        cluster = Cluster(
            list(logs),
            options=RaftOptions(pre_vote=False, check_quorum=False),
            logs=logs,
            hard_states={member: HardState(8) for member in logs},
        )
        cluster.crash("leader")
        cluster.timeout(name)
        cluster.deliver()
        cluster.deliver()
        winners += name * (cluster.rafts[name].role is Role.LEADER)
    assert winners == solutions.RIGHT["winners"][case]


def test_the_start_is_that_of_the_figure():
    assert [[e.term for e in m.log.slice(1)] for m in start().members.values()] == [[1], [], [2]]
    assert start(find_bug("votes twice").consensus, trace=False).leader() is None
