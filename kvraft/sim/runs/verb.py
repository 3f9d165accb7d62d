"""What a verb is: something that can be done to a world from outside, with its parameters.

A verb checks its arguments, says why it cannot be done now, and does it; so a button, a file and a
cell of a notebook all speak the same language (the verbs are in runs/verbs.py)::

    VERBS["crash"] ── bind(world, ("n1",)) ──► ("n1",)     the arguments, checked and complete
                   ── refuse(world, "n1")  ──► ""          or one sentence
                   ── do(world, "n1")                      events in the trace

Invariants:

- ``bind`` and ``refuse`` change nothing.
- A verb that raises has changed nothing, and one that does not has left an event in the trace.
- What a verb does depends on the world and its arguments alone, so that it does the same again in a
  replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.sim.runs.action import Argument
from kvraft.sim.runs.parameters import Parameter
from kvraft.sim.world import World


class NotNow(BadInput):
    """A verb cannot be done as the world is now."""


class Target(StrEnum):
    """What a verb acts on."""

    MEMBER = "member"
    LINK = "link"
    MESSAGE = "message"
    DISK = "disk"
    CLIENT = "client"
    WORLD = "world"


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it acts on, its parameters in order, and a sentence that says what it does.

    ``do`` does it to a world, and ``refuse`` returns why it cannot be done now, ``""`` if it can;
    both take the arguments that ``bind`` returned.  What ``do`` returns is for the caller: a
    ticket, a read that is under way, the error with which a start failed.  ``complete`` fills in
    what was left out and can be seen in the world.  The sandbox has a button for it if it is
    ``offered``; others are for cells, files and the swarm.
    """

    name: str
    target: Target
    parameters: tuple[Parameter, ...]
    sentence: str
    do: Callable[..., object]
    refuse: Callable[..., str] = lambda world, *arguments: ""
    complete: Callable[[World, tuple[Argument, ...]], tuple[Argument, ...]] = lambda world, bound: (
        bound
    )
    offered: bool = True

    def bind(
        self, world: World, given: Sequence[object], named: Mapping[str, object] | None = None
    ) -> tuple[Argument, ...]:
        """Return the arguments that were given, checked and complete.

        Raises :class:`~kvraft.errors.BadInput`, which names what is wrong with which.
        """
        names = [parameter.name for parameter in self.parameters]
        if len(given) > len(names):
            most = counted(len(names), "argument")
            raise BadInput(f"{self.name} takes at most {most}, not {len(given)}")
        values = dict(zip(names, given, strict=False))
        for name, value in (named or {}).items():
            if name not in names or name in values:
                why = "twice" if name in values else f"by none of its names: {', '.join(names)}"
                raise BadInput(f"{self.name} is given {name!r} {why}")
            values[name] = value
        bound = []
        for parameter in self.parameters:
            if parameter.name in values:
                bound.append(parameter.check(world, values[parameter.name]))
            elif parameter.default is not None:
                bound.append(parameter.default)
            else:
                raise BadInput(f"{self.name} needs the argument {parameter.name!r}")
        return self.complete(world, tuple(bound))

    def shortened(self, bound: Sequence[Argument]) -> tuple[Argument, ...]:
        """Return bound arguments without the last ones, as far as they are the defaults."""
        shortened = list(bound)
        while shortened and shortened[-1] == self.parameters[len(shortened) - 1].default:
            shortened.pop()
        return tuple(shortened)
