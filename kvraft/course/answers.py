"""Answers as plain values: what means the same is the same, and a digest identifies it.

An answer is any plain value: numbers, text, lists, dicts.  A float without a fraction is a whole
number, a number or an array of numpy is what it contains, a tuple or a set is a list.  Text is also
right in another case, and with spaces or commas between its letters (:func:`spellings`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from kvraft.course.guard import Broken, called

DEEPEST = 20
"""How many lists may be inside each other in an answer."""


def plain(answer: Any, depth: int = 0) -> Any:
    """Return ``answer`` as a plain value; raises ``TypeError`` or ``ValueError`` if it is not one.

    >>> plain((1.0, {3, 2}, "a"))
    [1, [2, 3], 'a']
    """
    if depth > DEEPEST:
        raise ValueError("lists within lists within lists")
    if answer is None or isinstance(answer, bool | str | int):
        return answer
    if isinstance(answer, float):
        return int(answer) if answer.is_integer() else answer
    if isinstance(answer, dict):
        return {_key(key): plain(value, depth + 1) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(each, depth + 1) for each in answer]
    if isinstance(answer, set | frozenset):
        return sorted(plain(each, depth + 1) for each in answer)
    if hasattr(answer, "tolist") and not isinstance(answer, type):  # numpy and its like
        return plain(answer.tolist(), depth + 1)
    raise TypeError(f"a {type(answer).__name__}")


def _key(key: Any) -> Any:
    found = plain(key)
    if isinstance(found, list | dict):
        raise TypeError("a key that is a list")
    return found


def spellings(answer: Any) -> Iterator[Any]:
    """Yield a plain answer as it is, then without spaces and commas, in upper and lower case."""
    yield answer
    for case in (str, str.upper, str.lower):
        spelt = _spelt(answer, case)
        yield spelt
        if isinstance(spelt, list) and spelt and all(isinstance(each, str) for each in spelt):
            yield "".join(spelt)


def _spelt(answer: Any, case: Callable[[str], str]) -> Any:
    if isinstance(answer, str):
        return case("".join(answer.replace(",", " ").split()))
    if isinstance(answer, list):
        return [_spelt(each, case) for each in answer]
    if isinstance(answer, dict):
        return {_spelt(key, case): _spelt(value, case) for key, value in answer.items()}
    return answer


def digest(answer: Any) -> str:
    """Return 12 hexadecimal digits that identify an answer."""
    text = json.dumps(answer, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ── what a learner's function returns ───────────────────────────────────────────────────────────


def shown(answer: object) -> str:
    """Return an answer as text of at most 80 characters."""
    try:
        text = called(lambda: repr(answer), "the repr of your answer")
    except Broken:
        text = f"a {type(answer).__name__}"
    text = re.sub(r" at 0x[0-9a-f]+", "", text)  # says nothing, and differs each time
    return text if len(text) <= 80 else f"{text[:79]}…"


def value_of(answer: Any) -> Any:
    """Return ``answer`` as a plain value, or as it is if it is not one."""
    try:
        return called(lambda: plain(answer))
    except Broken:
        return answer


def yes_or_no(ask: Callable[[], object], what: str = "Your rule") -> bool:
    """Return what ``ask`` returns; raises :class:`Broken` if that is not a truth value."""
    answer = value_of(called(ask, what))
    if not isinstance(answer, bool):
        raise Broken(f"{what} gives {shown(answer)}: give True or False.")
    return answer


def whole_number(ask: Callable[[], object], give: str, what: str = "Your rule") -> int:
    """Return what ``ask`` returns; raises :class:`Broken` if that is not a whole number."""
    answer = value_of(called(ask, what))
    if type(answer) is not int:
        raise Broken(f"{what} gives {shown(answer)}, which is not a whole number: give {give}.")
    return answer


def one_of(answer: object, words: tuple[str, ...]) -> str | None:
    """Return which of ``words`` the answer is, whatever its case; ``None`` if none."""
    if not isinstance(answer, str):
        return None
    return next((word for word in words if word.lower() == answer.strip().lower()), None)
