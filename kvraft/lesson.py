"""Exercises that check themselves, without giving the answer away.

A notebook holds the digest of the right answer, not the answer.  An answer is any plain value:
numbers, strings, lists, dicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

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
