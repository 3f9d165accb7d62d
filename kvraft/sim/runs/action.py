"""One action: a verb with its arguments, at a moment of the world's time.

An action is a plain value: numbers, text and tuples of them, so that it is the same after a trip
through JSON.  Bytes (keys and values) are written as text in UTF-8; bytes that are not UTF-8 become
lone surrogates, as in Python's file names, and are the same bytes again.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from kvraft.copying import immutable

Argument: TypeAlias = "str | int | float | bool | tuple[Argument, ...] | None"
"""What an argument of an action can be."""


@immutable
class Action(NamedTuple):
    """``verb`` with ``arguments`` (runs/verbs.py), at ``at`` microseconds of the world's time."""

    at: int
    verb: str
    arguments: tuple[Argument, ...]

    def as_python(self, run: str = "run") -> str:
        """Return the Python call that does it, on the run of that name."""
        parts = ", ".join([_quoted(self.verb), *(_quoted(part) for part in self.arguments)])
        return f"{run}.act({parts})"

    def to_json(self) -> list[Argument]:
        """Return it as a row for JSON: time, verb, and each argument."""
        return [self.at, self.verb, *self.arguments]


def as_text(data: bytes) -> str:
    """Return bytes as the text of an action."""
    return data.decode("utf-8", "surrogateescape")


def as_data(text: str) -> bytes:
    """Return the bytes that the text of an action stands for."""
    return text.encode("utf-8", "surrogateescape")


def _quoted(value: Argument) -> str:
    """Return a value as Python writes it, with text in double quotes."""
    if isinstance(value, tuple):
        parts = ", ".join(map(_quoted, value))
        return f"[{parts}]"
    if isinstance(value, str) and "'" not in value and '"' not in value:
        return f'"{ascii(value)[1:-1]}"'
    return ascii(value)
