"""The base of all events, and the function that takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvraft.copying import immutable

__all__ = ["Event", "EventSink", "ignore"]


@immutable
@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


EventSink = Callable[[Event], None]
"""Takes each event, within the call that caused it."""


def ignore(event: Event) -> None:
    """Drop ``event``: the default where nothing watches."""
