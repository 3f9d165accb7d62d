"""Exercises that check themselves without giving the answer away.

A notebook contains the digest of the right answer, not the answer.  An answer is any plain value:
numbers, strings, lists, dicts.  A function that a learner writes is tried in one case after
another, the smallest first, and the first wrong one is printed (:func:`agrees`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kvraft.record import Position

T = TypeVar("T")

UNANSWERED = ...
"""The placeholder for a learner's answer."""


def unanswered(ask: Callable[[], object], what: str = "rule") -> bool:
    """Return whether a learner's function still returns three dots, and print so if it does.

    ``ask`` calls it with any arguments; the check itself reports what it raises.
    """
    try:
        answer = ask()
    except Exception:
        return False
    if answer is UNANSWERED:
        print(f"Not answered yet: write the {what} in place of the three dots.")
        return True
    return False


class Wrong(Exception):
    """A learner's function did something that is certainly wrong; the text says what."""


def error_text(error: Exception) -> str:
    """Return the text that is printed for an error of a learner's function."""
    return f"{type(error).__name__}: {error}"


def called(ask: Callable[[], T], what: str = "Your rule") -> T:
    """Return what ``ask`` returns; raises :class:`Wrong`, which names ``what``, if it raises."""
    try:
        return ask()
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"{what} raised {error_text(error)}") from None


def yes_or_no(ask: Callable[[], object], what: str = "Your rule") -> bool:
    """Return what ``ask`` returns; raises :class:`Wrong` if that is not a ``bool``."""
    answer = called(ask, what)
    if not isinstance(answer, bool):
        raise Wrong(f"{what} gives {answer!r:.80}: give True or False.")
    return answer


def agrees(cases: Iterable[T], wrong_in: Callable[[T], str]) -> int | None:
    """Return the number of cases if all are right; otherwise print the first wrong one.

    ``wrong_in`` returns what is wrong in a case, ``""`` if nothing is, or raises :class:`Wrong`.
    """
    count = 0
    for case in cases:
        try:
            wrong = wrong_in(case)
        except Wrong as error:
            wrong = str(error)
        if wrong:
            print(f"Not yet. {case} {wrong}")
            return None
        count += 1
    return count


def ends(last: Position) -> str:
    """Return where a log ends, as text: "ends with entry 3 of term 2", "is empty"."""
    return f"ends with entry {last.index} of term {last.term}" if last.index else "is empty"


def digest(answer: Any) -> str:
    """Return 12 hexadecimal digits that identify an answer."""
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check(answer: Any, right: str, hint: str = "") -> None:
    """Print whether the digest of ``answer`` is ``right``, and ``hint`` if it is not."""
    if answer is UNANSWERED:
        print("Not answered yet: put your answer in place of the three dots.")
        return
    try:
        found = digest(answer)
    except TypeError:
        print(f"A {type(answer).__name__} is not an answer: give numbers, text or a list of them.")
        return
    print("Right." if found == right else f"Not yet. {hint}".rstrip())
