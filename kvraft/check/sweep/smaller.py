"""A run in which something is found, made small: as few acts and members as still show it.

::

    seed 4711, 150 acts, 5 members ──► without these acts? ──► … ──► acts 3, 9 and 41, 3 members
                                        breaks the same property?

What is left out of a run is an act of a client, with the fault that comes with it and the time that
passes after it; each of the others is drawn from a stream of its own, so it stays what it was
(swarm.py).  Every smaller run that is kept was run, and broke the same property.

Source: Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kvraft.check.shrink import shrink
from kvraft.check.sweep.parallel import SwarmSettings
from kvraft.check.sweep.replay import broken_by
from kvraft.check.sweep.results import error_of
from kvraft.errors import BadInput

BUDGET = 200
"""How many smaller runs are tried."""


def what_breaks(settings: SwarmSettings, seed: int) -> str:
    """Run ``seed``; return the property that breaks, the type of another error, or ``""``."""
    return broken_by(error_of(settings.make(seed)))


def smaller_run(
    settings: SwarmSettings, seed: int, *, alive: Callable[[], object] = lambda: None
) -> SwarmSettings:
    """Return settings with which ``seed`` breaks what it broke, with as little as possible.

    ``alive`` is called before each smaller run.

    Raises :class:`~kvraft.errors.BadInput` if nothing is found under this seed.
    """
    broken = what_breaks(settings, seed)
    if not broken:
        raise BadInput(
            f"nothing is found in the run under seed {seed}, so it cannot be made smaller"
        )
    three = replace(settings, members=3)
    if settings.members is None and what_breaks(three, seed) == broken:
        settings = three

    def breaks(only: Sequence[int]) -> bool:
        alive()
        return what_breaks(replace(settings, only=tuple(only)), seed) == broken

    return replace(settings, only=tuple(shrink(settings.numbers, breaks, budget=BUDGET)))
