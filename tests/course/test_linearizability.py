"""Lesson 11: the check of a checker, the histories of its exercise, and how long a lease lasts."""

import pytest

from kvraft.course.exercises import linearizability
from kvraft.course.exercises.linearizability import TELLING, check_linearizable, histories, order_of
from kvraft.course.solutions import s11_linearizability as solutions
from kvraft.raft.reads import Lease


def said(capsys, checker):
    check_linearizable(checker)
    return capsys.readouterr().out


def test_a_right_checker_is_right_about_clusters_too(capsys):
    words = said(capsys, solutions.linearizable)
    assert words.startswith("Right. It agrees about 250 histories, and finds the old value"), words


@pytest.mark.parametrize(
    ("checker", "reason"),
    [
        (solutions.by_return, "Calls that overlap may come in either order"),
        (solutions.by_call, "Calls that overlap may come in either order"),
        (solutions.ignores_time, "only time turned around would explain it"),
        (solutions.without_lost, "may have taken effect"),
        (solutions.believes_everything, "No order explains what ann saw"),
        (solutions.returns_nothing, "gives None: give True or False"),
        (solutions.raises, "raised AttributeError"),
        (lambda history: ..., "write the function"),
    ],
)
def test_a_wrong_checker_is_answered_with_the_reason(capsys, checker, reason):
    words = said(capsys, checker)
    assert words.startswith(("Not yet.", "Not answered yet")), words
    assert reason in words
    assert words.count("\n") == 1


def test_what_takes_effect_after_all_others_is_as_good_as_never():
    """So a checker that has every put take effect in the end is right."""
    for history in histories():
        late = 1 + max(call.returned or call.called for call in history)
        every = [call._replace(returned=call.returned or late) for call in history]
        assert order_of(every).linearizable == order_of(history).linearizable


def test_a_checker_that_passes_the_short_histories_is_caught_by_a_cluster(capsys, monkeypatch):
    monkeypatch.setattr(linearizability, "histories", lambda: TELLING[:1])
    assert "What clients of a cluster saw: ann saw what had been replaced" in said(
        capsys, solutions.believes_everything
    )


def test_the_histories_are_of_both_kinds_and_the_shortest_come_first():
    verdicts = [order_of(history).linearizable for history in histories()]
    assert 100 < sum(verdicts) < len(verdicts) - 100
    assert [len(each) for each in histories()] == sorted(len(each) for each in histories())


@pytest.mark.parametrize(
    ("case", "rounds", "last"),
    [("A", [(1, 42)], 47), ("B", [(1, 42), (2, 49)], 50)],
)
def test_a_lease_lasts_as_long_as_the_solution_says(case, rounds, last):
    lease = Lease(8)
    for round, tick in enumerate((40, 43, 46), 1):
        lease.began(round, tick)
    for round, _ in rounds:
        lease.answered(round)
    assert (lease.holds(last), lease.holds(last + 1)) == (True, False)
    assert solutions.RIGHT["last_ticks"][case] == last


def test_a_transfer_ends_a_lease():
    lease = Lease(8)
    lease.began(1, 40)
    lease.answered(1)
    assert lease.holds(44)
    lease.end()
    assert not lease.holds(45)
    assert solutions.RIGHT["last_ticks"]["C"] == 44
