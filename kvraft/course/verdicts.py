"""A verdict for every check: printed for the learner, and kept for a test or a grader.

::

    check_kept(kept) ── guarded ──► the judge ──► words of a right answer ─┐
                                        └──► Wrong, Broken, Unanswered ────┴──► Verdict
                                                                          printed, in VERDICTS

:func:`exercise` makes a check of a judge; :func:`check` is the one check of all plain values.
:func:`next_hint` and :func:`solution` are what a learner can ask for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple, ParamSpec

from kvraft.course import values
from kvraft.course.answers import digest, plain, shown, spellings
from kvraft.course.guard import Broken, Unanswered, Wrong, called, error_text, guarded, guarding
from kvraft.course.lesson import need_answer
from kvraft.course.registry import Exercise, find, find_value

P = ParamSpec("P")


class Verdict(NamedTuple):
    """What a check found: ``right`` is ``None`` if nothing was answered.

    ``words`` say what is right or wrong, ``case`` is the simplest situation in which it is wrong,
    and ``exercise`` is a name of the registry, ``""`` for a check that is not there.
    """

    exercise: str
    right: bool | None
    words: str
    case: str = ""

    def __str__(self) -> str:
        begins = {True: "Right.", False: "Not yet.", None: ""}[self.right]
        return " ".join(part for part in (begins, self.case, self.words) if part)


VERDICTS: list[Verdict] = []
"""The verdicts of this process, in order."""


def decide(name: str, judge: Callable[[], str]) -> None:
    """Run ``judge`` with a learner's answer to the exercise ``name``; print and keep the verdict.

    ``judge`` returns the words of a right answer, or raises.
    """
    try:
        with guarding():
            verdict = Verdict(name, True, judge())
    except Unanswered as unanswered:
        verdict = Verdict(name, None, str(unanswered))
    except Broken as broken:
        named = f"Exercise {name}:" if name else ""
        verdict = Verdict(name, False, broken.words, f"{named} {broken.case}".strip())
    except Wrong as wrong:
        verdict = Verdict(name, False, wrong.words, wrong.case)
    except Exception as error:
        words = f"the check failed ({error_text(error)}): please report that."
        verdict = Verdict(name, False, words, f"Exercise {name}:")
    VERDICTS.append(verdict)
    print(verdict)


def exercise(
    name: str, *, functions: bool = True
) -> Callable[[Callable[P, str]], Callable[P, None]]:
    """Make a check of the exercise ``name`` from its judge, which :func:`decide` describes.

    With ``functions`` the answers are functions, which may raise, print or never end: the check
    reports that.
    """
    asked = find(name)

    def decorate(judge: Callable[P, str]) -> Callable[P, None]:
        @wraps(judge)
        def check_(*answers: P.args, **named: P.kwargs) -> None:
            def judged() -> str:
                if not functions:
                    return judge(*answers, **named)
                for called_so, answer in zip(asked.answers, answers, strict=True):
                    need_answer(answer)
                    if not callable(answer):
                        raise Broken(f"{called_so} is {shown(answer)}, and has to be a function.")
                given: tuple[Any, ...] = tuple(guarded(answer) for answer in answers)
                return judge(*given, **named)

            decide(name, judged)

        return check_

    return decorate


def check(answer: Any, right: str, hint: str = "") -> None:
    """Print whether the digest of ``answer`` is ``right``; if not, what is wrong, or ``hint``."""
    found = find_value(right)
    decide(found.name if found else "", lambda: _judge_value(answer, right, found, hint))


def _judge_value(answer: Any, right: str, asked: Exercise | None, hint: str) -> str:
    need_answer(answer)
    try:
        value = called(lambda: plain(answer))
        if right in {digest(spelt) for spelt in spellings(value)}:
            return ""
    except (Broken, ValueError):
        raise Broken(
            f"{shown(answer)} is not an answer: give numbers, text or a list of them."
        ) from None
    raise Wrong((asked and values.wrong_in(asked.name, value)) or hint)


# ── what a learner can ask for ──────────────────────────────────────────────────────────────────

_hints_given: dict[str, int] = {}


def _found(name: str) -> Exercise | None:
    """Return the exercise ``name``; if there is none of that name, print so and return ``None``."""
    try:
        return find(name)
    except LookupError as unknown:
        print(unknown)
        return None


def next_hint(name: str) -> None:
    """Print the next hint to the exercise ``name``, such as ``"06.3"``: the first says least."""
    asked = _found(name)
    if asked is None:
        return
    hints = asked.hints
    given = _hints_given[name] = _hints_given.get(name, 0) + 1
    number = min(given, len(hints))
    again = " once more; after an attempt, solution() opens" if given > len(hints) else ""
    print(f"Hint {number} of {len(hints)}{again}: {hints[number - 1]}")


def about(name: str) -> None:
    """Print what the exercise ``name`` asks for: its title, difficulty and minutes."""
    if asked := _found(name):
        print(asked)


def solution(name: str) -> None:
    """Print the solution of the exercise ``name`` if its check has judged an attempt before."""
    asked = _found(name)
    if asked is None:
        return
    attempts = [v for v in VERDICTS if v.exercise == name and v.right is not None]
    if not attempts:
        print(f"Exercise {name}: its solution opens after an attempt of yours that was checked.")
        return
    module = import_module(f"kvraft.course.solutions.{asked.solutions}")
    print(f"{asked}\n")
    for answer in asked.answers:
        right = module.RIGHT[answer]
        print(inspect.getsource(right) if inspect.isfunction(right) else f"{answer} = {right!r}")
