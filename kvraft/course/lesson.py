"""Exercises that check themselves, without giving the answer away.

A notebook holds the digest of the right answer, not the answer.  An answer is any plain value:
numbers, strings, lists, dicts.  Where a learner writes a function, it is tried in one case after
another, the smallest first, and the first in which it is wrong is printed (:func:`agrees`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kvraft.record import Position

T = TypeVar("T")

UNANSWERED = ...
"""What stands where a learner's answer belongs."""


def unanswered(ask: Callable[[], object], what: str = "rule") -> bool:
    """Return whether a learner's function still answers with three dots, and say so if it does.

    ``ask`` calls it with any arguments; what it raises is for the check itself to tell.
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
    """A learner's function did something that can be judged on the spot; the text says what."""


def error_text(error: Exception) -> str:
    """Return how an error that a learner's function raised is printed."""
    return f"{type(error).__name__}: {error}"


def called(ask: Callable[[], T], what: str = "Your rule") -> T:
    """Return what ``ask`` does; raises :class:`Wrong`, which names ``what``, if it raises."""
    try:
        return ask()
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"{what} raised {error_text(error)}") from None


def yes_or_no(ask: Callable[[], object], what: str = "Your rule") -> bool:
    """Return what ``ask`` does; raises :class:`Wrong` if that is neither true nor false."""
    answer = called(ask, what)
    if not isinstance(answer, bool):
        raise Wrong(f"{what} gives {answer!r:.80}: give True or False.")
    return answer


def agrees(cases: Iterable[T], wrong_in: Callable[[T], str]) -> int | None:
    """Return how many cases there are if nothing is wrong in them, else print the first that is.

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
    """Return in words where a log ends."""
    return f"ends with entry {last.index} of term {last.term}" if last.index else "is empty"


def digest(answer: Any) -> str:
    """Return 12 hexadecimal digits by which an answer is known."""
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check(answer: Any, right: str, hint: str = "") -> None:
    """Print whether ``answer`` is the one whose digest is ``right``, and a hint if it is not."""
    if answer is UNANSWERED:
        print("Not answered yet: put your answer in place of the three dots.")
        return
    try:
        found = digest(answer)
    except TypeError:
        print(f"A {type(answer).__name__} is no answer: give numbers, text or a list of them.")
        return
    print("Right." if found == right else f"Not yet. {hint}".rstrip())
