"""Lesson 09: what its checks say of rules and budgets; its answers are true."""

from dataclasses import replace

import pytest

from kvraft.course.exercises import truncation
from kvraft.course.exercises.truncation import (
    LIMITS,
    RETAIN_BYTES,
    TRIALS,
    check_may_drop,
    check_retain_bytes,
    judge,
    matches_of,
    retained_from,
)
from kvraft.course.solutions import s09_truncation as solutions
from kvraft.raft import FollowerStatus
from kvraft.replica import Pins, Replica, tree_pin
from kvraft.replica.retention import follower_pins
from kvraft.sim import World, last_follower, write_values
from kvraft.wal import Segment
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    return without_name(capsys.readouterr().out)


def test_the_answer_of_the_first_exercise_is_what_the_rule_says():
    followers = {
        "n2": FollowerStatus("replicate", 49, 48, 0, True),
        "n3": FollowerStatus("replicate", 21, 20, 0, False),
        "n4": FollowerStatus("snapshot", 25, 3, 1, True, snapshot=24),
    }
    holds = Pins((tree_pin(30), *follower_pins(followers, 0, 0, 0)))
    segments = [Segment(n, 10 * n + 1, 10 * n + 1, 10 * n + 10, 900, sealed=True) for n in range(4)]
    names = [[h.pinned_by.removeprefix("snapshot for ") for h in holds.of(s)] for s in segments]
    assert names == solutions.RIGHT["pinned_by"]


# ── the rule ────────────────────────────────────────────────────────────────────────────────────


def test_what_a_rule_is_told_suffices_to_say_what_the_member_says():
    """In the lives of the trials, wherever no snapshot flies, both rules give the same answer."""
    asked = {True: 0, False: 0}

    class Both(Replica):
        def may_drop(self, segment):
            own = super().may_drop(segment)
            told = (segment, self.marks, matches_of(self), retained_from(self, segment))
            if not any(hold.pinned_by.startswith("snapshot") for hold in self.pins()):
                assert solutions.may_drop(*told) is own, (told, self.pins())
                asked[own] += 1
            return own

    for seed in range(3):
        world = World(3, seed=seed, options=LIMITS, replica=Both)
        write_values(world, 100)
        away = last_follower(world)
        world.crash(away)
        write_values(world, 60 * (1 + seed))
        world.transfer(next(name for name in world.replicas if name != world.leader()))
        world.run_for(50)
        world.restart(away)
        write_values(world, 60)
        world.settle()
    assert asked[True] > 60
    assert asked[False] > 1000


def test_the_rule_of_the_member_passes_its_own_exercise():
    assert [judge(trial, None) for trial in TRIALS] == [""] * len(TRIALS)


def only_the_leader_keeps(segment, marks, matches, retained):
    """One that does not lead knows one number for all, and takes it for its own affair."""
    alone = len(matches) == 1
    needed = segment.high > min(matches) and retained <= RETAIN_BYTES and not alone
    return segment.sealed and segment.high <= marks.flushed and not needed


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        (solutions.applied, 0),
        (solutions.budget_for_the_tree, 1),
        (solutions.flushed_alone, 2),
        (only_the_leader_keeps, 3),
        (solutions.without_budget, 4),
        (solutions.below_matched, 5),
    ],
)
def test_for_each_trial_there_is_a_rule_that_it_is_the_first_to_catch(rule, first):
    """But for the last, which is there for rules that nobody thought of."""
    assert next(n for n, trial in enumerate(TRIALS) if judge(trial, rule)) == first


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        (solutions.applied, "longer in the log"),
        (solutions.below_flushed, "still has 1 sealed segment, the last one through entry"),
        (solutions.active, "drops the active segment"),
        (solutions.sealed, "it still needs entries that are gone"),
        (solutions.forgets_to_return, "gives None: give True or False"),
        (solutions.wrong_name, "raised AttributeError"),
        (lambda *told: 1, "gives 1: give True or False"),
    ],
)
def test_what_comes_of_a_wrong_rule_is_said(capsys, rule, hint):
    words = said(capsys, check_may_drop, rule)
    assert words.startswith("Not yet. "), words
    assert hint in words
    assert words.count("\n") == 1


def test_a_rule_that_differs_and_does_no_harm_is_right(capsys):
    def roomier(segment, marks, matches, retained):
        needed = segment.high > min(matches) and retained <= RETAIN_BYTES + 1024
        return segment.sealed and segment.high <= marks.flushed and not needed

    words = said(capsys, check_may_drop, roomier)
    assert words.startswith("Right. In 7 situations, the last of them 4 runs full of"), words


# ── the budget ──────────────────────────────────────────────────────────────────────────────────


def test_a_budget_has_a_lower_and_an_upper_end(capsys):
    words = {kib: said(capsys, check_retain_bytes, kib * 1024) for kib in (8, 24, 64)}
    assert "had to be sent a snapshot: 8,192 bytes are less than the log" in words[8]
    assert words[24].startswith("Right. A follower that is back within 800 ms needs no snapshot")
    assert "bytes of sealed log, and there is room for 28,672." in words[64]


@pytest.mark.parametrize("answer", [True, -5, 1.5, "12", [1]])
def test_what_is_no_budget_is_said(capsys, answer):
    assert said(capsys, check_retain_bytes, answer).startswith("Not yet. A budget is a whole")


def test_the_limits_of_the_lesson_are_those_of_the_exercise():
    assert LIMITS.retain_bytes == RETAIN_BYTES
    assert truncation._budgeted(RETAIN_BYTES).replicas["n1"].options == replace(LIMITS)
