"""The verbs that act on links and messages.

A message is named by its number, and in an action also by sender, receiver and kind, which are
filled in: in a replay by another version the number may be another message's, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvraft import inputs
from kvraft.errors import BadInput
from kvraft.sim.network import INTACT
from kvraft.sim.runs.action import Argument
from kvraft.sim.runs.parameters import Parameter, ParameterKind
from kvraft.sim.runs.verb import Target, Verb
from kvraft.sim.world import World

# ── links ───────────────────────────────────────────────────────────────────────────────────────


def _no_link(world: World, sender: str, to: str, *_: Any) -> str:
    if sender == to:
        return f"there is no link from {sender} to itself"
    both = sender not in world.seats and to not in world.seats
    return f"{sender} and {to} are clients, which send each other nothing" if both else ""


def _no_cut(world: World, sender: str, to: str) -> str:
    cut = world.network.link(sender, to).cut
    return _no_link(world, sender, to) or (f"{sender} does not reach {to}" if cut else "")


def _no_clog(world: World, sender: str, to: str) -> str:
    clogged = world.network.link(sender, to).clogged
    why = f"the link from {sender} to {to} is clogged already" if clogged else ""
    return _no_link(world, sender, to) or why


def _no_repair(world: World, sender: str, to: str) -> str:
    works = world.network.link(sender, to) == INTACT
    return f"the link from {sender} to {to} works" if works else ""


def _no_partition(world: World, groups: Sequence[Sequence[str]]) -> str:
    try:
        inputs.groups(groups, world.check_known)
    except BadInput as error:
        return str(error)
    return ""


def _no_loss(world: World, percent: int) -> str:
    same = world.network.loss == percent / 100
    return f"{percent} % of all messages are lost already" if same else ""


LINK = (Parameter("sender", ParameterKind.NAME), Parameter("to", ParameterKind.NAME))

LINK_VERBS = (
    Verb(
        "cut",
        Target.LINK,
        LINK,
        "Cut a link in one direction: what the sender sends is lost.",
        lambda world, sender, to: world.cut_link(sender, to),
        _no_cut,
    ),
    Verb(
        "slow",
        Target.LINK,
        (*LINK, Parameter("millis", ParameterKind.NUMBER, unit="ms")),
        "Make messages on a link take so much longer, in one direction.",
        lambda world, sender, to, millis: world.slow_link(sender, to, millis),
        _no_link,
    ),
    Verb(
        "lossy",
        Target.LINK,
        (*LINK, Parameter("percent", ParameterKind.NUMBER, most=100, unit="%")),
        "Lose that share of the messages on a link, in one direction.",
        lambda world, sender, to, percent: world.lose_on_link(sender, to, percent),
        _no_link,
    ),
    Verb(
        "clog",
        Target.LINK,
        LINK,
        "Clog a link in one direction: messages wait at its end until it is repaired.",
        lambda world, sender, to: world.clog_link(sender, to),
        _no_clog,
    ),
    Verb(
        "repair",
        Target.LINK,
        LINK,
        "Make a link as good as new, in one direction; what waited there arrives.",
        lambda world, sender, to: world.repair_link(sender, to),
        _no_repair,
    ),
    Verb(
        "partition",
        Target.WORLD,
        (Parameter("groups", ParameterKind.GROUPS),),
        "Cut all links between groups of members; those in no group form one more.",
        lambda world, groups: world.partition(*groups),
        _no_partition,
    ),
    Verb(
        "heal",
        Target.WORLD,
        (),
        "End the partition, and repair all links.",
        lambda world: world.heal(),
    ),
    Verb(
        "lose",
        Target.WORLD,
        (Parameter("percent", ParameterKind.NUMBER, most=100, unit="%"),),
        "Lose that share of all messages from now on; 0 ends it.",
        lambda world, percent: world.lose(percent),
        _no_loss,
        offered=False,
    ),
)


# ── messages ────────────────────────────────────────────────────────────────────────────────────


def _identify(world: World, bound: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Return the arguments with sender, receiver and kind of the message filled in."""
    number, *rest = bound
    envelope = world.network.in_flight.get(number) if isinstance(number, int) else None
    if envelope is None:
        return bound
    message = envelope.message
    found = (message.sender, message.to, type(message).__name__)
    return (number, *(given or true for given, true in zip(rest, found, strict=False)), *rest[3:])


def _no_message(world: World, message: int, sender: str, to: str, kind: str, *_: Any) -> str:
    envelope = world.network.in_flight.get(message)
    if envelope is None:
        return f"message {message} is not in flight"
    found = envelope.message
    name = type(found).__name__
    if (sender, to, kind) != (found.sender, found.to, name):
        wanted = f"{kind} from {sender} to {to}"
        return f"message {message} is {name} from {found.sender} to {found.to}, not {wanted}"
    return ""


def _no_second(world: World, message: int, *more: Any) -> str:
    why = _no_message(world, message, *more)
    return why or world.why_never_twice(world.message(message))


def _no_delivery(world: World, message: int, *more: Any) -> str:
    if why := _no_message(world, message, *more):
        return why
    found = world.message(message).message
    return world.network.why_unreachable(found.sender, found.to) or world.why_gone(found.to)


def _picked(world: World, sender: str, to: str, kind: str) -> list[int]:
    """Return the numbers of the messages in flight that all that is given fits."""
    return [
        envelope.id
        for envelope in world.in_flight
        if sender in ("", envelope.message.sender)
        and to in ("", envelope.message.to)
        and kind in ("", type(envelope.message).__name__)
    ]


def _drop_all(world: World, sender: str, to: str, kind: str) -> None:
    for message in _picked(world, sender, to, kind):
        world.drop(message)


MESSAGE = (
    Parameter("message", ParameterKind.NUMBER),
    Parameter("sender", ParameterKind.NAME, ""),
    Parameter("to", ParameterKind.NAME, ""),
    Parameter("kind", ParameterKind.TEXT, ""),
)

MESSAGE_VERBS = (
    Verb(
        "drop",
        Target.MESSAGE,
        MESSAGE,
        "Lose a message in flight.",
        lambda world, message, *_: world.drop(message),
        _no_message,
        _identify,
    ),
    Verb(
        "duplicate",
        Target.MESSAGE,
        MESSAGE,
        "Send a message between members once more; the copy arrives right after it.",
        lambda world, message, *_: world.duplicate(message),
        _no_second,
        _identify,
    ),
    Verb(
        "delay",
        Target.MESSAGE,
        (*MESSAGE, Parameter("millis", ParameterKind.NUMBER, 50, least=1, unit="ms")),
        "Have a message arrive so much later; others may overtake it.",
        lambda world, message, sender, to, kind, millis: world.delay(message, millis),
        _no_message,
        _identify,
    ),
    Verb(
        "deliver",
        Target.MESSAGE,
        MESSAGE,
        "Have a message arrive now.",
        lambda world, message, *_: world.deliver(message),
        _no_delivery,
        _identify,
    ),
    Verb(
        "drop_all",
        Target.WORLD,
        (
            Parameter("sender", ParameterKind.NAME, ""),
            Parameter("to", ParameterKind.NAME, ""),
            Parameter("kind", ParameterKind.TEXT, ""),
        ),
        "Lose all messages in flight, or those of a sender, to a receiver, or of a kind.",
        _drop_all,
        lambda world, *which: "" if _picked(world, *which) else "no such message is in flight",
        offered=False,
    ),
)
