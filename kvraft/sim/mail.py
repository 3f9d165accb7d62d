"""Messages on their way between hand-driven members, and which links are cut.

A message waits here until somebody says that it arrives, is lost, or goes on its way once more; so
messages may overtake each other.  Messages are picked by number, sender, receiver or kind.

Invariant: what is in flight is delivered or lost once, unless it was put on its way again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict, Unpack

from kvraft.errors import BadInput
from kvraft.messages import Message


class Letter(NamedTuple):
    """A message in flight; ``due`` is when a clock delivers it, in microseconds."""

    id: int
    due: int
    message: Message


class Pick(TypedDict, total=False):
    """Which messages are meant: those for which all that is given holds."""

    id: int
    sender: str
    to: str
    kind: type


class Mail:
    """The messages in flight, and the links that are cut."""

    def __init__(self) -> None:
        self.in_flight: dict[int, Letter] = {}
        """In the order in which they were sent."""
        self._last_id = 0
        self._group_of: dict[str, int] = {}
        self._cut_links: list[tuple[str, str]] = []

    def post(self, message: Message, due: int) -> Letter:
        """Put a message on its way."""
        self._last_id += 1
        letter = Letter(self._last_id, due, message)
        self.in_flight[letter.id] = letter
        return letter

    def find(self, **pick: Unpack[Pick]) -> list[Letter]:
        """Return the messages in flight that are what is asked for, in the order sent."""
        if wrong := [word for word in pick if word not in Pick.__annotations__]:
            known = ", ".join(Pick.__annotations__)
            raise BadInput(f"messages are picked by {known}, not by {wrong[0]}")
        id, sender, to, kind = map(pick.get, ("id", "sender", "to", "kind"))
        return [
            letter
            for letter in self.in_flight.values()
            if id in (None, letter.id)
            and sender in (None, letter.message.sender)
            and to in (None, letter.message.to)
            and kind in (None, type(letter.message))
        ]

    def some(self, **pick: Unpack[Pick]) -> list[Letter]:
        """Return what :meth:`find` finds; ``BadInput`` if that is nothing."""
        found = self.find(**pick)
        if not found:
            names = {"id": "number", "sender": "from"}
            words = [
                f"{names.get(key, key)} {getattr(value, '__name__', value)}"
                for key, value in pick.items()
            ]
            raise BadInput(f"no such message is in flight: {', '.join(words) or 'there is none'}")
        return found

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def why_cut(self, message: Message) -> str:
        """Return why a message cannot arrive now, ``""`` if it can."""
        sender, to = message.sender, message.to
        here, there = self._group_of.get(sender), self._group_of.get(to)
        if here is not None and there is not None and here != there:
            return "partition"
        return f"{sender} does not reach {to}" if (sender, to) in self._cut_links else ""

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Cut all links between different groups.  Who is in no group talks to everybody."""
        self._group_of = {name: number for number, group in enumerate(groups) for name in group}

    def cut_link(self, sender: str, to: str) -> None:
        """Cut a link in one direction."""
        self._cut_links.append((sender, to))

    def heal(self) -> None:
        """Mend all links."""
        self._group_of, self._cut_links = {}, []
