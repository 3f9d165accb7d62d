"""Checks of arguments: each value is what it should be, or one sentence says what is wrong with it.

A wrong value that is accepted shows up much later, far from its cause: a member called ``3``, time
that runs backwards, a client that waits forever.  Each function returns the value that it was
given, so that it can be checked and stored in one line.

They raise :class:`~kvraft.errors.WrongType` for a value of another type (``True`` is not a number
here), and :class:`~kvraft.errors.BadInput` for one that makes no sense.  Both call it ``what``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import isfinite
from typing import TypeVar

from kvraft.errors import BadInput, WrongType

T = TypeVar("T")
F = TypeVar("F")


def whole_number(value: object, what: str, *, minimum: int | None = None) -> int:
    """Return ``value``, a whole number of at least ``minimum``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongType(f"{what} must be a whole number, not {describe_value(value)}")
    if minimum is not None and value < minimum:
        raise BadInput(f"{what} must be at least {minimum}, not {value}")
    return value


def number(value: object, what: str, *, minimum: float | None = None) -> float:
    """Return ``value``, a number, whole or not, of at least ``minimum``."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{what} must be a number, not {describe_value(value)}")
    if not isfinite(value) or (minimum is not None and value < minimum):
        raise BadInput(f"{what} must be at least {minimum}, not {value}")
    return value


def probability(value: object, what: str) -> float:
    """Return ``value``, a number from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongType(f"{what} must be a number from 0 to 1, not {describe_value(value)}")
    if not 0 <= value <= 1:
        raise BadInput(f"{what} must be from 0 to 1, not {value}")
    return value


def flag(value: object, what: str) -> bool:
    """Return ``value``, true or false."""
    if not isinstance(value, bool):
        raise WrongType(f"{what} must be True or False, not {describe_value(value)}")
    return value


def text(value: object, what: str) -> str:
    """Return ``value``, text of at least one character."""
    if not isinstance(value, str):
        raise WrongType(f"{what} must be text, not {describe_value(value)}")
    if not value:
        raise BadInput(f"{what} must not be empty")
    return value


def instance(value: object, kind: type[T], what: str) -> T:
    """Return ``value``, which is of ``kind``."""
    if not isinstance(value, kind):
        raise WrongType(f"{what} must be {_full_name(kind)}, not {describe_value(value)}")
    return value


def subclass(value: type[T], kind: type[T], what: str) -> type[T]:
    """Return ``value``, a class that is ``kind`` or derived from it."""
    if not isinstance(value, type) or not issubclass(value, kind):
        raise WrongType(
            f"{what} must be a class derived from {_full_name(kind)}, not {value!r:.60}"
        )
    return value


def function(value: F, what: str) -> F:
    """Return ``value``, which can be called."""
    if not callable(value):
        raise WrongType(f"{what} must be a function, not {describe_value(value)}")
    return value


def names(value: object, what: str) -> tuple[str, ...]:
    """Return the names in ``value``, in their order, those of a set sorted.

    Text is not a list of names, though Python would iterate over its letters.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        raise WrongType(f"{what} must be a list of names, not {describe_value(value)}")
    found = [text(name, f"a name in {what}") for name in value]
    return tuple(sorted(found) if isinstance(value, set | frozenset) else found)


def members(value: object) -> tuple[str, ...]:
    """Return the names of members: those listed, or ``n1`` to ``n3`` for 3.

    :class:`~kvraft.raft.Configuration` checks whether they make a configuration.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(f"n{i + 1}" for i in range(value))
    if isinstance(value, bool | float | str | bytes) or not isinstance(value, Sequence):
        raise WrongType(f"members must be a number or a list of names, not {describe_value(value)}")
    return names(value, "members")


def groups(
    value: Sequence[Collection[str]], known: Callable[[str], object]
) -> list[tuple[str, ...]]:
    """Return the groups of a partition: each name is in one group, and ``known``.

    ``known`` raises for a name that is not.
    """
    found = [names(group, "a group") for group in value]
    grouped = [name for group in found for name in group]
    for name in grouped:
        known(name)
        if grouped.count(name) > 1:
            raise BadInput(f"{name} cannot be in two groups of a partition")
    if not grouped:
        raise BadInput("a partition needs at least one group that is not empty")
    return found


def as_bytes(data: object, what: str) -> bytes:
    """Return ``data`` as ``bytes``; a ``bytearray`` or ``memoryview`` is copied.

    Raises :class:`~kvraft.errors.WrongType`, which calls it ``what`` ("a key"), for anything else.

    >>> as_bytes(bytearray(b"k"), "a key")
    b'k'
    >>> as_bytes("k", "a key")
    Traceback (most recent call last):
    kvraft.errors.WrongType: a key must be bytes, not str: write b'k', or use .encode()
    """
    if type(data) is bytes:
        return data
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if isinstance(data, str):
        example = ascii(data) if data.isascii() and len(data) <= 40 else "'…'"
        raise WrongType(f"{what} must be bytes, not str: write b{example}, or use .encode()")
    raise WrongType(f"{what} must be bytes, not {type(data).__name__}")


def describe_value(value: object) -> str:
    """Return ``value`` and its type as short text for a message."""
    return f"{value!r:.60} ({type(value).__name__})"


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
