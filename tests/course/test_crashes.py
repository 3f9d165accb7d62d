"""Lesson 05: what its checks say of promises and of orders of a flush."""

import pytest

from kvraft.course.exercises.crashes import STEPS, cases, check_order, check_promise
from kvraft.course.solutions import s05_crash_recovery as solutions
from tests.helpers.course import without_name


def said(capsys, check, answer):
    check(answer)
    return without_name(capsys.readouterr().out)


def test_the_right_promise_judges_all_cases(capsys):
    words = said(capsys, check_promise, solutions.promised)
    assert words.startswith(f"Right. It judges {len(cases())} crashes and losses correctly.")


@pytest.mark.parametrize(
    ("promise", "why"),
    [
        (solutions.any_state, "a durable write is missing"),
        (solutions.nothing_more, "the write in progress may be there"),
        (solutions.exactly, "writes that were acknowledged but not durable may be missing"),
        (solutions.keys_only, "a key has an older value"),
        (solutions.whatever, "a durable write is missing"),
        (solutions.nothing, "None"),
        (solutions.fails, "IndexError"),
    ],
)
def test_a_wrong_promise_is_told_which_part_it_forgets(capsys, promise, why):
    words = said(capsys, check_promise, promise)
    assert words.startswith("Not yet."), words
    assert why in words


@pytest.mark.parametrize("places", [(0, 1, 2, 3, 4), (0, 2, 1, 3, 4)])
def test_more_than_one_order_is_right(capsys, places):
    words = said(capsys, check_order, solutions.order(*places))
    assert words.startswith("Right. Crashed after each of its "), words


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ((0, 3, 1, 2, 4), "cannot be opened"),
        ((0, 1, 3, 2, 4), "the table is missing"),
        ((0, 1, 2, 4, 3), "'drop the log'"),
        ((1, 0, 2, 3, 4), "There is nothing to sync yet in 'sync the table'"),
        ((0, 1, 2, 3), f"Give each of these once: {', '.join(STEPS)}"),
    ],
)
def test_a_wrong_order_is_told_the_step_in_which_a_crash_destroys_the_store(capsys, places, why):
    words = said(capsys, check_order, solutions.order(*places))
    assert words.startswith("Not yet."), words
    assert why in words
