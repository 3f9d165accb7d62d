"""The verbs: all that can be done to a world from outside, in one table.

========= ========================================================================================
member    crash restart timeout pause resume transfer cancel_transfer set_clock add rebuild change
link      cut slow lossy clog repair
world     partition heal
message   drop duplicate delay deliver
disk      flush fill extend corrupt wipe
client    put delete write get
========= ========================================================================================

A message is named by its number, and in an action also by sender, receiver and kind, which are
filled in: in a replay by another version the number may be another message's, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvraft import inputs
from kvraft.disk import replacement_name
from kvraft.errors import BadInput, KvraftError
from kvraft.events import ClockSet, CrashPlanned, MemberStopped, OperationRequested
from kvraft.sim.network import INTACT
from kvraft.sim.runs.action import Argument, as_data
from kvraft.sim.runs.parameters import MOST, Parameter, ParameterKind
from kvraft.sim.runs.verb import Target, Verb
from kvraft.sim.world import World
from kvraft.transaction import check_key, check_write

Pairs = Sequence[tuple[str, str | None]]


def find_verb(name: object) -> Verb:
    """Return the verb of that name; ``BadInput`` if there is none."""
    verb = VERBS.get(name) if isinstance(name, str) else None
    if verb is None:
        raise BadInput(f"there is no verb {name!r:.60}: {', '.join(VERBS)}")
    return verb


# ── members ─────────────────────────────────────────────────────────────────────────────────────


def _down(world: World, member: str, *_: Any) -> str:
    return "" if member in world.replicas else f"{member} does not run"


def _up(world: World, member: str, *_: Any) -> str:
    return f"{member} runs already" if member in world.replicas else ""


def _down_or_paused(world: World, member: str, *_: Any) -> str:
    paused = f"{member} is paused" if world.seats[member].paused else ""
    return _down(world, member) or paused


def _not_paused(world: World, member: str) -> str:
    return _down(world, member) or ("" if world.seats[member].paused else f"{member} is not paused")


def _no_leader(world: World, *_: Any) -> str:
    leader = world.leader()
    return "no member leads" if leader is None else _down_or_paused(world, leader)


def _no_transfer(world: World, to: str) -> str:
    leader, why = world.leader(), _no_leader(world)
    if leader is None or why:
        return why
    if to == leader:
        return f"{to} leads already"
    voting = world.replicas[leader].raft.configuration.voting
    return "" if to in voting else f"{to} has no vote"


def _not_handing_over(world: World) -> str:
    leader, why = world.leader(), _no_leader(world)
    if leader is None or why:
        return why
    handing = world.replicas[leader].raft.status().transfer
    return "" if handing else f"{leader} is not handing over"


def _no_rebuild(world: World, member: str) -> str:
    if member in world.replicas:
        return f"{member} runs, so its files are in use"
    successor = replacement_name(member)
    return f"{successor} was started there already" if successor in world.seats else ""


def _crash(world: World, member: str, after: str) -> None:
    """Cut the power of a member, and report it if that is yet to come."""
    world.crash(member, after=after)
    if after:
        world.report(member, CrashPlanned(after))


def _restart(world: World, member: str) -> None:
    """Start a member; if its disk does not allow that, report why."""
    try:
        world.restart(member)
    except (KvraftError, OSError) as error:
        world.report(member, MemberStopped(str(error)))


def _add(world: World, name: str) -> None:
    try:
        world.add(name)
    except (KvraftError, OSError) as error:
        world.report(name, MemberStopped(str(error)))


def _rebuild(world: World, member: str) -> None:
    try:
        world.rebuild(member)
    except (KvraftError, OSError) as error:
        world.report(replacement_name(member), MemberStopped(str(error)))


def _pause(world: World, member: str, millis: int, ticks: bool) -> None:
    world.pause(member, millis or None, ticks=ticks)


def _set_clock(world: World, name: str, ahead: int) -> None:
    world.set_clock(name, ahead)
    world.report(name, ClockSet(ahead))


MEMBER = Parameter("member", ParameterKind.MEMBER)

_MEMBERS = (
    Verb(
        "crash",
        Target.MEMBER,
        (MEMBER, Parameter("after", ParameterKind.DRAIN_STEP, "")),
        "Cut the power of a member, now or after a step of its next drain: its memory and its "
        "unsynced bytes are gone.",
        _crash,
        _down,
    ),
    Verb(
        "restart",
        Target.MEMBER,
        (MEMBER,),
        "Start a member from what its disk holds.",
        _restart,
        _up,
    ),
    Verb(
        "timeout",
        Target.MEMBER,
        (MEMBER,),
        "Make the timer of a member run out: it stands for election, or a leader sends heartbeats.",
        lambda world, member: world.timeout(member),
        _down_or_paused,
    ),
    Verb(
        "pause",
        Target.MEMBER,
        (
            MEMBER,
            Parameter("millis", ParameterKind.NUMBER, 0, unit="ms"),
            Parameter("ticks", ParameterKind.FLAG, True),
        ),
        "Stop the process of a member for some time, or for 0 until it is resumed; without ticks "
        "it does not know afterwards that time has passed.",
        _pause,
        _down_or_paused,
    ),
    Verb(
        "resume",
        Target.MEMBER,
        (MEMBER,),
        "Have the process of a member go on.",
        lambda world, member: world.resume(member),
        _not_paused,
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
        "cancel_transfer",
        Target.WORLD,
        (),
        "Ask the leader not to hand over.",
        lambda world: world.cancel_transfer(),
        _not_handing_over,
    ),
    Verb(
        "set_clock",
        Target.MEMBER,
        (
            Parameter("name", ParameterKind.NAME),
            Parameter("ahead", ParameterKind.NUMBER, least=-MOST, most=MOST, unit="ms"),
        ),
        "Set the clock of a member or client ahead of the world's time, or back.",
        _set_clock,
    ),
    Verb(
        "add",
        Target.WORLD,
        (Parameter("name", ParameterKind.NEW),),
        "Start a new member with an empty disk, which is in no configuration yet.",
        _add,
    ),
    Verb(
        "rebuild",
        Target.MEMBER,
        (MEMBER,),
        "Set the files of a member that is down aside, and start a new member in its place, which "
        "is in no configuration yet.",
        _rebuild,
        _no_rebuild,
    ),
    Verb(
        "change",
        Target.WORLD,
        (
            Parameter("voters", ParameterKind.NAMES),
            Parameter("learners", ParameterKind.NAMES, ()),
        ),
        "Ask the leader to make these the members.",
        lambda world, voters, learners: world.change(voters, learners),
        _no_leader,
    ),
)


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


LINK = (Parameter("sender", ParameterKind.NAME), Parameter("to", ParameterKind.NAME))

_LINKS = (
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


MESSAGE = (
    Parameter("message", ParameterKind.NUMBER),
    Parameter("sender", ParameterKind.NAME, ""),
    Parameter("to", ParameterKind.NAME, ""),
    Parameter("kind", ParameterKind.TEXT, ""),
)

_MESSAGES = (
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
)


# ── disks ───────────────────────────────────────────────────────────────────────────────────────


def _no_flush(world: World, member: str) -> str:
    return _down_or_paused(world, member) or world.why_no_flush(member)


def _no_limit(world: World, member: str) -> str:
    unlimited = world.sim_disk(member).capacity is None
    return f"the disk of {member} has all the room it wants" if unlimited else ""


def _no_byte(world: World, member: str, file: str, offset: int, mask: int) -> str:
    disk = world.sim_disk(member)
    if file not in disk.names():
        return f"there is no file {file!r:.60} on the disk of {member}"
    size = disk.size(file)
    return "" if offset < size else f"{file} has {size} bytes, and none at {offset}"


def _no_wipe(world: World, member: str) -> str:
    return world.why_in_use(member) or ("" if world.disk(member).names() else "it is empty")


_DISKS = (
    Verb(
        "flush",
        Target.DISK,
        (MEMBER,),
        "Have a member flush its memtable now.",
        lambda world, member: world.flush(member),
        _no_flush,
    ),
    Verb(
        "fill",
        Target.DISK,
        (MEMBER, Parameter("free", ParameterKind.NUMBER, 0, unit="bytes")),
        "Leave room for only so many more bytes on the disk of a member.",
        lambda world, member, free: world.fill_disk(member, free),
    ),
    Verb(
        "extend",
        Target.DISK,
        (MEMBER,),
        "Give the disk of a member all the room it wants.",
        lambda world, member: world.extend_disk(member),
        _no_limit,
    ),
    Verb(
        "corrupt",
        Target.DISK,
        (
            MEMBER,
            Parameter("file", ParameterKind.FILE),
            Parameter("offset", ParameterKind.NUMBER, most=1 << 30),
            Parameter("mask", ParameterKind.NUMBER, 0xFF, least=1, most=0xFF),
        ),
        "Flip bits in one byte of a file on the disk of a member.",
        lambda world, *arguments: world.corrupt_disk(*arguments),
        _no_byte,
    ),
    Verb(
        "wipe",
        Target.DISK,
        (MEMBER,),
        "Lose all files of a member that is down.",
        lambda world, member: world.wipe_disk(member),
        _no_wipe,
    ),
)


# ── clients ─────────────────────────────────────────────────────────────────────────────────────


def _no_write(world: World, client: str, pairs: Pairs) -> str:
    if not pairs:
        return "a transaction needs at least one write"
    try:
        for key, value in pairs:
            check_write(as_data(key), None if value is None else as_data(value))
    except BadInput as error:
        return str(error)
    return ""


def _no_get(world: World, client: str, key: str, member: str, stale: bool) -> str:
    if stale and not member:
        return "a stale read needs the name of a member"
    try:
        check_key(as_data(key))
    except BadInput as error:
        return str(error)
    return ""


def _write(world: World, client: str, pairs: Pairs) -> None:
    """Have a client submit ``pairs`` as one transaction."""
    words = [key if value is None else f"{key}={value}" for key, value in pairs]
    world.report(client, OperationRequested("write", " ".join(words)))
    writes = [(as_data(key), None if value is None else as_data(value)) for key, value in pairs]
    world.client(client).submit(writes)


def _get(world: World, client: str, key: str, member: str, stale: bool) -> None:
    """Have a client read a key."""
    world.report(client, OperationRequested("read", key))
    world.client(client).start_read(as_data(key), member=member or None, stale=stale)


CLIENT = Parameter("client", ParameterKind.CLIENT)
KEY = Parameter("key", ParameterKind.TEXT)

_CLIENTS = (
    Verb(
        "put",
        Target.CLIENT,
        (CLIENT, KEY, Parameter("value", ParameterKind.TEXT)),
        "Have a client set a key to a value, without waiting for the outcome.",
        lambda world, client, key, value: _write(world, client, [(key, value)]),
        lambda world, client, key, value: _no_write(world, client, [(key, value)]),
    ),
    Verb(
        "delete",
        Target.CLIENT,
        (CLIENT, KEY),
        "Have a client delete a key, without waiting for the outcome.",
        lambda world, client, key: _write(world, client, [(key, None)]),
        lambda world, client, key: _no_write(world, client, [(key, None)]),
    ),
    Verb(
        "write",
        Target.CLIENT,
        (CLIENT, Parameter("writes", ParameterKind.WRITES)),
        "Have a client submit a transaction, without waiting for the outcome.",
        _write,
        _no_write,
    ),
    Verb(
        "get",
        Target.CLIENT,
        (
            CLIENT,
            KEY,
            Parameter("member", ParameterKind.MEMBER, ""),
            Parameter("stale", ParameterKind.FLAG, False),
        ),
        "Have a client read a key, from the leader or from a member, which asks the leader first "
        "unless a stale value will do; without waiting for the outcome.",
        _get,
        _no_get,
    ),
)

VERBS: dict[str, Verb] = {
    verb.name: verb for verb in (*_MEMBERS, *_LINKS, *_MESSAGES, *_DISKS, *_CLIENTS)
}
"""All verbs, by name."""
