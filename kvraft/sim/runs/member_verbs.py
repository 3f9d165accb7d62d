"""The verbs that act on members and their disks."""

from __future__ import annotations

from typing import Any

from kvraft.disk import replacement_name
from kvraft.errors import KvraftError
from kvraft.events import ClockSet, CrashPlanned, MemberStopped
from kvraft.sim.runs.parameters import MOST, Parameter, ParameterKind
from kvraft.sim.runs.verb import Target, Verb
from kvraft.sim.world import World

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


def _crash(world: World, member: str, after: str) -> None:
    """Cut the power of a member, and report it if that is yet to come."""
    world.crash(member, after=after)
    if after:
        world.report(member, CrashPlanned(after))


def _restart(world: World, member: str) -> Exception | None:
    """Start a member; if its disk does not allow that, report why, and return it."""
    try:
        world.restart(member)
    except (KvraftError, OSError) as error:
        world.report(member, MemberStopped(str(error)))
        return error
    return None


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

MEMBER_VERBS = (
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
        World.rebuild_refusal,
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


def _in_use(world: World, member: str, *_: Any) -> str:
    return world.why_in_use(member)


def _no_copy(world: World, member: str) -> str:
    return world.why_in_use(member) or world.why_no_copy(member)


def _no_wipe(world: World, member: str) -> str:
    return world.why_in_use(member) or ("" if world.disk(member).names() else "it is empty")


CALL = Parameter("call", ParameterKind.NUMBER, 1, least=1, unit="calls on")
SEED = Parameter("seed", ParameterKind.NUMBER, 0, most=1 << 32)
"""Says what chance decides, such as how much of an unsynced write is there afterwards."""

DISK_VERBS = (
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
    Verb(
        "break_disk",
        Target.DISK,
        (MEMBER, CALL, Parameter("reads", ParameterKind.FLAG, False), SEED),
        "Make one of the next calls to the disk of a member fail, a write or a read: its process "
        "dies of it.",
        lambda world, member, call, reads, seed: world.break_disk(
            member, call, reads=reads, seed=seed
        ),
    ),
    Verb(
        "cut_power",
        Target.DISK,
        (MEMBER, CALL, SEED),
        "Cut the power of a member in the middle of one of the next writes to its disk.",
        lambda world, member, call, seed: world.cut_power(member, call, seed),
    ),
    Verb(
        "slow_disk",
        Target.DISK,
        (MEMBER, Parameter("micros", ParameterKind.NUMBER, 20_000, unit="µs")),
        "Make each sync of the disk of a member take so long; 500 µs are usual.",
        lambda world, member, micros: world.slow_disk(member, micros),
    ),
    Verb(
        "repair_disk",
        Target.DISK,
        (MEMBER,),
        "Give a member a disk that works: with room, as fast as usual, and nothing planned.",
        lambda world, member: world.repair_disk(member),
        World.why_no_repair,
    ),
    Verb(
        "switch_off",
        Target.DISK,
        (MEMBER, SEED, Parameter("reorder", ParameterKind.FLAG, False)),
        "Switch off the machine of a member that is down: what it had not synced may be lost.",
        lambda world, member, seed, reorder: world.switch_off(member, seed, reorder=reorder),
        _in_use,
        offered=False,
    ),
    Verb(
        "lie_about_syncs",
        Target.DISK,
        (MEMBER, Parameter("percent", ParameterKind.NUMBER, 100, most=100), SEED),
        "Make syncs of the disk of a member succeed and do nothing, until it is repaired.",
        lambda world, *arguments: world.lie_about_syncs(*arguments),
        offered=False,
    ),
    Verb(
        "misdirect",
        Target.DISK,
        (MEMBER, CALL, SEED),
        "Make one of the next appends to the disk of a member land elsewhere.",
        lambda world, *arguments: world.misdirect(*arguments),
        offered=False,
    ),
    Verb(
        "remember_disk",
        Target.DISK,
        (MEMBER,),
        "Have the disk of a member remember what it holds now.",
        lambda world, member: world.remember_disk(member),
        offered=False,
    ),
    Verb(
        "go_stale",
        Target.DISK,
        (MEMBER, Parameter("sector", ParameterKind.NUMBER, 512, least=1, unit="bytes"), SEED),
        "Have a sector of a member's disk hold what it held when the disk was to remember it.",
        lambda world, *arguments: world.go_stale(*arguments),
        offered=False,
    ),
    Verb(
        "copy_disk",
        Target.DISK,
        (MEMBER,),
        "Copy the disk of a member.",
        lambda world, member: world.copy_disk(member),
        offered=False,
    ),
    Verb(
        "bring_copy",
        Target.DISK,
        (MEMBER,),
        "Give a member that is down the copy of its disk instead of the disk that it had.",
        lambda world, member: world.bring_copy(member),
        _no_copy,
        offered=False,
    ),
)
