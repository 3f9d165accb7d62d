"""The time of a simulated world: an integer of microseconds that jumps from one event to the next.

Invariant: actions happen in the order of their times, and at one time in the order in which they
were planned.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

MILLISECOND = 1_000
"""Microseconds in a millisecond."""
TICK = 10 * MILLISECOND
"""Microseconds between two ticks of a member or client."""
EPOCH_MILLIS = 1_517_356_800_000
"""The wall time at which every world starts: 31 January 2018, 00:00 UTC."""


class Timeline:
    """The planned actions; ``now`` is in microseconds since the start of the world."""

    def __init__(self) -> None:
        self.now = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def plan(self, at: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan ``action`` with its ``arguments`` for a time that has not passed."""
        self._planned += 1
        heappush(self._queue, (at, self._planned, action, arguments))

    @property
    def next(self) -> int | None:
        """The time of the next action, ``None`` if there is none."""
        return self._queue[0][0] if self._queue else None

    def has_due(self, until: int) -> bool:
        """Return whether the next action is due at ``until`` or before."""
        return bool(self._queue) and self._queue[0][0] <= until

    def step(self) -> None:
        """Execute the next action; there must be one."""
        self.now, _, action, arguments = heappop(self._queue)
        action(*arguments)
