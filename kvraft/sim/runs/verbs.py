"""The verbs: everything that can be done to a world from outside, each with its parameters.

A verb checks its arguments, says why it cannot be done now, and does it; so a button, a file and a
cell of a notebook all speak the same language::

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
from typing import Any

from kvraft.display import counted
from kvraft.errors import BadInput, KvraftError
from kvraft.events import MemberStopped, OperationRequested
from kvraft.sim.runs.action import Argument, as_data
from kvraft.sim.runs.parameters import Parameter, ParameterKind
from kvraft.sim.world import World
from kvraft.transaction import check_write


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
    both take the arguments that ``bind`` returned.
    """

    name: str
    target: Target
    parameters: tuple[Parameter, ...]
    sentence: str
    do: Callable[..., object]
    refuse: Callable[..., str] = lambda world, *arguments: ""

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
        return tuple(bound)

    def shortened(self, bound: Sequence[Argument]) -> tuple[Argument, ...]:
        """Return bound arguments without the last ones, as far as they are the defaults."""
        shortened = list(bound)
        while shortened and shortened[-1] == self.parameters[len(shortened) - 1].default:
            shortened.pop()
        return tuple(shortened)


def find_verb(name: object) -> Verb:
    """Return the verb of that name; ``BadInput`` if there is none."""
    verb = VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        raise BadInput(f"there is no verb {name!r:.60}: {', '.join(VERBS)}")
    return verb


# ── what is in the way ──────────────────────────────────────────────────────────────────────────


def _not_running(world: World, member: str, *_: Any) -> str:
    return "" if member in world.replicas else f"{member} does not run"


def _running(world: World, member: str, *_: Any) -> str:
    return f"{member} runs already" if member in world.replicas else ""


def _no_rebuild(world: World, member: str) -> str:
    return f"{member} runs, so its files are in use" if member in world.replicas else ""


def _no_leader(world: World, *_: Any) -> str:
    return "" if world.leader() else "no member leads"


def _no_transfer(world: World, to: str) -> str:
    leader = world.leader()
    if leader is None:
        return "no member leads"
    if to == leader:
        return f"{to} leads already"
    voting = world.replicas[leader].raft.configuration.voting
    return "" if to in voting else f"{to} has no vote"


def _not_in_flight(world: World, message: int) -> str:
    found = any(envelope.id == message for envelope in world.in_flight)
    return "" if found else f"message {message} is not in flight"


def _no_write(world: World, client: str, *writes: Any) -> str:
    pairs = writes[0] if isinstance(writes[0], tuple) else [(*writes, None)[:2]]
    if not pairs:
        return "a transaction needs at least one write"
    try:
        for key, value in pairs:
            check_write(as_data(key), None if value is None else as_data(value))
    except BadInput as error:
        return str(error)
    return ""


# ── doing it ────────────────────────────────────────────────────────────────────────────────────


def _restart(world: World, member: str) -> None:
    """Start a member; if its disk does not allow that, report why."""
    try:
        world.restart(member)
    except (KvraftError, OSError) as error:
        world.report(member, MemberStopped(str(error)))


def _write(world: World, client: str, pairs: Sequence[tuple[str, str | None]]) -> None:
    """Have a client submit ``pairs`` as one transaction."""
    words = [key if value is None else f"{key}={value}" for key, value in pairs]
    world.report(client, OperationRequested("write", " ".join(words)))
    world.client(client).submit(
        [(as_data(key), None if value is None else as_data(value)) for key, value in pairs]
    )


def _put(world: World, client: str, key: str, value: str) -> None:
    _write(world, client, [(key, value)])


def _delete(world: World, client: str, key: str) -> None:
    _write(world, client, [(key, None)])


MEMBER = Parameter("member", ParameterKind.MEMBER)
CLIENT = Parameter("client", ParameterKind.CLIENT)
KEY = Parameter("key", ParameterKind.TEXT)

_ALL = (
    Verb(
        "crash",
        Target.MEMBER,
        (MEMBER, Parameter("after", ParameterKind.DRAIN_STEP, "")),
        "Cut the power of a member: its memory and its unsynced bytes are gone.",
        lambda world, member, after: world.crash(member, after=after),
        _not_running,
    ),
    Verb(
        "restart",
        Target.MEMBER,
        (MEMBER,),
        "Start a member from what its disk holds.",
        _restart,
        _running,
    ),
    Verb(
        "transfer",
        Target.MEMBER,
        (Parameter("to", ParameterKind.MEMBER),),
        "Ask the leader to hand over to this member.",
        lambda world, to: world.transfer(to),
        _no_transfer,
    ),
    Verb(
        "partition",
        Target.WORLD,
        (Parameter("groups", ParameterKind.GROUPS),),
        "Cut all links between groups of members; those in no group form one more.",
        lambda world, groups: world.partition(*groups),
    ),
    Verb("heal", Target.WORLD, (), "Repair all links.", lambda world: world.heal()),
    Verb(
        "drop",
        Target.MESSAGE,
        (Parameter("message", ParameterKind.NUMBER),),
        "Lose a message in flight.",
        lambda world, message: world.drop(message),
        _not_in_flight,
    ),
    Verb(
        "put",
        Target.CLIENT,
        (CLIENT, KEY, Parameter("value", ParameterKind.TEXT)),
        "Have a client set a key to a value; it does not wait for the outcome.",
        _put,
        _no_write,
    ),
    Verb(
        "delete",
        Target.CLIENT,
        (CLIENT, KEY),
        "Have a client delete a key; it does not wait for the outcome.",
        _delete,
        _no_write,
    ),
    Verb(
        "write",
        Target.CLIENT,
        (CLIENT, Parameter("writes", ParameterKind.WRITES)),
        "Have a client submit a transaction; it does not wait for the outcome.",
        _write,
        _no_write,
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in _ALL}
"""All verbs, by name."""
