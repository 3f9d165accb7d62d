"""Lesson 15: what its check says of rules, and whether the promises break that the answers name."""

import pytest

from kvraft.check.bugs import find_exhibit
from kvraft.course.exercises import trials
from kvraft.course.exercises.trials import check_appended, situations
from kvraft.course.solutions import s15_break_it as solutions


def said(capsys, rule):
    check_appended(rule)
    return capsys.readouterr().out


def test_a_right_rule_survives_a_trial(capsys):
    words = said(capsys, solutions.appended)
    assert words.startswith("Right. It decides as Raft does in 1296 situations"), words


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (solutions.truncates_always, "may have been acknowledged since"),
        (solutions.never_truncates, "the leader's is the right one"),
        (solutions.looks_at_lengths, "the logs differ there already"),
        (solutions.leaves_gaps, "There would be a gap"),
        (solutions.appends_again, "come twice now"),
        (solutions.refuses_old_ones, "so they are not refused"),
        (solutions.returns_text, "give a list of terms, or None"),
        (solutions.raises, "raised IndexError"),
        (lambda mine, previous, sent: ..., "write the rule"),
    ],
)
def test_a_wrong_rule_is_answered_with_the_reason(capsys, rule, reason):
    words = said(capsys, rule)
    assert words.startswith(("Not yet.", "Not answered yet")), words
    assert reason in words


def test_a_rule_that_passes_the_situations_is_judged_by_a_trial(capsys, monkeypatch):
    monkeypatch.setattr(trials, "situations", lambda: situations()[:1])
    assert "On trial, in run " in said(capsys, solutions.truncates_always)


def test_a_rule_cannot_make_entries_up(capsys, monkeypatch):
    monkeypatch.setattr(trials, "situations", list)
    words = said(capsys, lambda mine, previous, sent: [*mine, 9])
    assert "neither the log nor the message has" in words


@pytest.mark.parametrize(
    ("letter", "bug"),
    [
        ("A", "vote not saved"),
        ("B", "follower never asks"),
        ("C", "tombstones dropped"),
        ("D", "truncates by the applied mark"),
        ("E", "votes twice"),
    ],
)
def test_the_promises_that_break_are_those_that_were_measured(letter, bug):
    promises = [
        "one vote a term",
        "durable before use",
        "fresh reads",
        "state-machine safety",
        "the five marks",
    ]
    found = find_exhibit(bug).found
    assert promises.index(found.property) + 1 == solutions.RIGHT["breaks"][letter]


def test_as_many_runs_are_needed_as_the_solution_says():
    needed = solutions.RIGHT["needed"]
    assert 0.95**needed <= 0.05 < 0.95 ** (needed - 1)
