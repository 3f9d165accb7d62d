"""The time of a simulated world: an integer of microseconds that jumps from one event to the next.

Invariant: what is planned happens in the order of its time, and at one time in the order in which
it was planned; nothing else decides.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

MILLISECOND = 1_000
"""Microseconds in a millisecond."""
TICK = 10 * MILLISECOND
"""Microseconds between two ticks of a member or client."""
EPOCH_MILLIS = 1_517_356_800_000
"""The wall time at which every world begins: 31 January 2018, 00:00 UTC."""


class Timeline:
    """What is going to happen, and when: ``now`` is in microseconds since the world began."""

    def __init__(self) -> None:
        self.now = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0

    def plan(self, at: int, action: Callable[[], None]) -> None:
        """Let ``action`` happen at a time that has not passed."""
        self._planned += 1
        heapq.heappush(self._queue, (at, self._planned, action))

    @property
    def next(self) -> int | None:
        """The time of what happens next, ``None`` if nothing ever will."""
        return self._queue[0][0] if self._queue else None

    def step(self) -> None:
        """Let the next thing happen, which there must be."""
        self.now, _, action = heapq.heappop(self._queue)
        action()
