"""The base of all events, and whom they are reported to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Event", "EventSink", "ignore"]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


EventSink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Report to nobody: the default where nothing watches."""
