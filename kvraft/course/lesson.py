"""What the checks of exercises share: an open answer, cases tried one after another, the situation.

A check returns the words of a right answer.  For one that is wrong it raises
:class:`~kvraft.course.guard.Wrong`; :func:`~kvraft.course.verdicts.exercise` prints and records
either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kvraft.course.guard import Broken, Unanswered, Wrong, called
from kvraft.record import Position

T = TypeVar("T")

UNANSWERED = ...
"""The placeholder for a learner's answer."""


def need_answer(answer: Any, text: str = "put your answer in place of the three dots") -> None:
    """Raise :class:`Unanswered` if ``answer`` is still three dots."""
    if answer is UNANSWERED:
        raise Unanswered(f"Not answered yet: {text}.")


def need_function(ask: Callable[[], object], what: str = "rule") -> None:
    """Raise :class:`Unanswered` if a learner's function still returns three dots.

    ``ask`` calls it with any arguments; the check itself reports what it raises.
    """
    try:
        answer = called(ask)
    except Broken:
        return
    need_answer(answer, f"write the {what} in place of the three dots")


@contextmanager
def within(case: str) -> Iterator[None]:
    """Put ``case`` before what is found wrong in this context."""
    try:
        yield
    except Wrong as wrong:
        raise wrong.within(case) from None


def agrees(cases: Iterable[T], wrong_in: Callable[[T], str]) -> int:
    """Return the number of cases if all are right.

    ``wrong_in`` returns what is wrong in a case, ``""`` if nothing is.  Raises :class:`Wrong` for
    the first wrong case, which is the simplest if they are tried the smallest first.
    """
    count = 0
    for case in cases:
        with within(str(case)):
            if wrong := wrong_in(case):
                raise Wrong(wrong)
        count += 1
    return count


def ends(last: Position) -> str:
    """Return where a log ends, as text: "ends with entry 3 of term 2", "is empty"."""
    return f"ends with entry {last.index} of term {last.term}" if last.index else "is empty"
