"""Shrinking what broke something: delta debugging, until each thing left is needed.

:func:`shrink` takes a list and a question, whether what is left still breaks, and drops ever
smaller pieces of it::

    1 2 3 4 5 6 7 8      breaks
            5 6 7 8      breaks: the first half is dropped
                7 8      does not
            5 6          does not: pieces of one from here on
            5   7 8      breaks
            5     8      breaks, and without either it does not: that is the result

Invariants:

- What is returned breaks, in the order given, and was tried: nothing is assumed of the question but
  that it answers the same each time.
- Nothing is tried twice, and at most ``budget`` lists are.  Within the budget, the result is
  minimal in the sense that without any one item it does not break.

Source: Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

BUDGET = 2_000
"""How many lists are tried, unless the caller allows another number."""


def shrink(
    items: Sequence[T], breaks: Callable[[Sequence[T]], bool], *, budget: int = BUDGET
) -> list[T]:
    """Return as few of ``items``, in their order, as still break.

    ``breaks`` says whether a list does; that ``items`` do is the caller's word.  When ``budget``
    lists were tried, the shortest until then is returned.
    """
    question = _Question(breaks, budget)
    left = list(range(len(items)))
    size = len(left)
    while size:
        size = max(1, size // 2)
        dropped = True
        while dropped and question.budget:
            left, dropped = _drop_pieces(items, left, size, question)
            dropped = dropped and size == 1  # a piece may be needed only for one dropped later
        if size == 1:
            break
    return [items[number] for number in left]


class _Question(Generic[T]):
    """Whether a list breaks, asked at most ``budget`` times and never twice about one list."""

    def __init__(self, breaks: Callable[[Sequence[T]], bool], budget: int) -> None:
        self._breaks, self.budget = breaks, budget
        self._asked: set[tuple[int, ...]] = set()

    def ask(self, items: Sequence[T], numbers: Sequence[int]) -> bool:
        """Return whether the items of these numbers break; false once the budget is spent."""
        key = tuple(numbers)
        if not self.budget or key in self._asked:  # what breaks is kept, and not asked again
            return False
        self.budget -= 1
        self._asked.add(key)
        return self._breaks([items[number] for number in numbers])


def _drop_pieces(
    items: Sequence[T], left: list[int], size: int, question: _Question[T]
) -> tuple[list[int], bool]:
    """Try to drop each piece of ``size``, the last first; return what is left, and whether any was.

    The last first: what comes after the harm is needed least.
    """
    dropped, stop = False, len(left)
    while stop > 0:
        start = max(0, stop - size)
        without = left[:start] + left[stop:]
        if question.ask(items, without):
            left, dropped = without, True
        stop = start
    return left, dropped
