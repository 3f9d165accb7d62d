"""Checkpoints of a run, from which any moment of it is reached in a short replay.

A rung is a copy of the world, taken every :data:`SPACING` steps of the trace, which is set aside::

    steps    0 ───── 1,000 ───── 2,000 ───── 3,000 ───── now
    rungs    │          │           │           │
                                    ╰── replay ──► any moment from there on

Invariants:

- The world of a rung never runs: it is only copied.
- What a rung has seen is what was due by its time and the actions by then; nothing later.
- There are at most :data:`MOST` rungs: when there are more, every other one is dropped, and new
  ones are taken half as often.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.events import Trace, TraceStep
from kvraft.sim.world import World

SPACING = 1_000
"""Steps of the trace between two rungs, at first: replaying them takes about as long as a copy."""
MOST = 96
"""How many rungs there are at most."""


@immutable
class Rung(NamedTuple):
    """The world after everything up to ``at`` microseconds, ``actions`` actions among it.

    Its trace, which is not in ``world``, had ``steps`` steps.
    """

    at: int
    actions: int
    steps: int
    world: World


class Ladder:
    """The rungs of one run, oldest first."""

    def __init__(self, rungs: Iterable[Rung] = (), spacing: int = SPACING) -> None:
        self._rungs = list(rungs)
        self._spacing = spacing

    @property
    def due(self) -> int:
        """How many steps the trace has when the next rung is to be taken."""
        return self._rungs[-1].steps + self._spacing if self._rungs else 0

    def add(self, world: World, actions: int) -> None:
        """Take a rung of ``world`` as it is now."""
        rung = Rung(world.now, actions, len(world.trace), copy_world(world, ()))
        self._rungs.append(rung)
        if len(self._rungs) > MOST:
            del self._rungs[1::2]
            self._spacing *= 2

    def below(self, at: int, actions: int) -> Rung:
        """Return the last rung that is neither later than ``at`` nor has more actions."""
        after = bisect_right(self._rungs, (at, actions), key=lambda rung: rung[:2])
        return self._rungs[after - 1]

    def through(self, rung: Rung) -> Ladder:
        """Return a ladder of the rungs up to ``rung``, to be continued by itself."""
        return Ladder(self._rungs[: self._rungs.index(rung) + 1], self._spacing)


def copy_world(world: World, steps: Iterable[TraceStep]) -> World:
    """Return a copy of ``world`` that goes on like it, after the ``steps`` of another trace.

    Nobody watches the copy.
    """
    return copy.deepcopy(world, {id(world.watch): None, id(world.trace): Trace(steps)})
