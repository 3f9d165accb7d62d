"""Copies of a consensus module, and a value that says what state it is in.

A search over many states goes on from each of them more than once, so it needs copies; and it must
know a state that it has met before.  Both walk through everything that hangs from an object:

- :func:`clone` copies what can change and shares what cannot (numbers, names, messages, entries).
- :func:`fingerprint` makes one hashable value of it, in which members may go by other names.

Invariants:

- A copy and its original share nothing that can change.  What reports to the outside world, and
  what draws random numbers, is replaced: a copy tells nobody and always draws the least.
- Equal frozen values stand for states with equal futures, as long as no tick passes, nobody reads
  and no log is cut.  :data:`IGNORED` has what is left out for that reason.
- A type that is not named here is refused, never shared or skipped: whoever gives the consensus
  module a new kind of attribute is told to decide here what it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from operator import itemgetter
from random import Random
from types import FunctionType, MethodType, NoneType
from typing import Any, TypeVar, get_args

from kvraft.errors import BadInput
from kvraft.events import ignore
from kvraft.raft import (
    Configuration,
    Core,
    DecidedProposal,
    Election,
    Follower,
    ForwardedReads,
    IncomingSnapshot,
    Leadership,
    Lease,
    Log,
    Message,
    OpenProposals,
    Outbox,
    Progress,
    ProgressState,
    Raft,
    RaftOptions,
    ReadReady,
    Ready,
    RemoteReader,
    Replication,
    Role,
    Timer,
    WaitingRead,
    WaitingReads,
)
from kvraft.record import Entry, HardState, Position

T = TypeVar("T")


class Least(Random):
    """Draws the least number each time, and so has no state."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """Return ``start``, or 0 if that is where the range ends."""
        return 0 if stop is None else start

    def getrandbits(self, k: int, /) -> int:
        """Return 0."""
        return 0


LEAST = Least()

PLAIN = (
    *(NoneType, bool, int, float, str, bytes, FunctionType),
    *(Role, ProgressState, RaftOptions, Entry, Position),
)
"""What never changes and names no member."""
NAMING = (
    *get_args(Message),
    HardState,
    Ready,
    DecidedProposal,
    ReadReady,
    RemoteReader,
    WaitingRead,
    IncomingSnapshot,
)
"""What never changes, a tuple of fields in which members may be named."""
SHARED = frozenset((*PLAIN, *NAMING, Configuration))
"""What copies and originals have in common."""
PARTS = (Raft, Core, Election, Follower, Leadership, Replication, Outbox, Log, Progress)
"""What changes, and makes a difference to what a module does; subclasses count."""
ASIDE = (Timer, ForwardedReads, OpenProposals, WaitingReads, Lease)
"""What changes, and makes none: timers without ticks, reads, and who is told of proposals."""
CHANGING = PARTS + ASIDE

REPLACED: dict[str, object] = {"report": ignore, "_random": LEAST}
"""Attributes that copies do not take over."""

IGNORED: dict[type, tuple[str, ...]] = {
    Core: (
        *("report", "options", "cluster", "_reported", "incarnation"),  # nothing decides by these
        "all_replicated_index",  # only who truncates a log asks
    ),
    Outbox: ("decided",),  # proposers are told, nobody else
    Leadership: ("_options", "_elapsed", "_quiet_ticks", "_transfer_ticks"),  # only a tick looks
    Replication: (
        *("round", "round_commit", "members"),  # only reads and a change of members ask
        *("_quorum_checked", "_snapshots"),  # check-quorum, snapshots
    ),
    Log: ("_batch",),  # it may be worked out again
    Progress: (
        *("last_heard", "round", "sent_round", "snapshot_number"),  # check-quorum, reads, snapshots
        *("match_round", "lost_entries"),  # told of, and asked by a change of members
    ),
}
"""Attributes that make no difference to what a module does without ticks, reads and cuts."""

IGNORED_FIELDS = ("cluster", "all_replicated_index", "decided")
"""Fields of messages and of a Ready, for the same reasons; of ``round``, only whether it is 0."""


# ── copies ──────────────────────────────────────────────────────────────────────────────────────


def clone(whole: T) -> T:
    """Return an independent copy of ``whole``; raises :class:`BadInput` for an unknown type."""
    copied: T = _fork(whole, {}, type(whole).__name__)
    return copied


def _fork(thing: Any, copies: dict[int, Any], where: str) -> Any:
    way = _way(type(thing))
    if way is None:
        raise BadInput(f"{where} is a {type(thing).__name__}: say in fork.py how to copy that")
    return way(thing, copies, where)


def _share(thing: Any, copies: dict[int, Any], where: str) -> Any:
    return thing


def _fork_bytes(thing: bytearray, copies: dict[int, Any], where: str) -> bytearray:
    return bytearray(thing)


def _fork_method(thing: MethodType, copies: dict[int, Any], where: str) -> MethodType:
    """Bind a method of the original, a rule that was overridden, to the copy."""
    return MethodType(thing.__func__, _fork(thing.__self__, copies, where))


def _fork_row(thing: Any, copies: dict[int, Any], where: str) -> Any:
    return type(thing)([_fork(item, copies, where) for item in thing])


def _fork_dict(thing: dict[Any, Any], copies: dict[int, Any], where: str) -> dict[Any, Any]:
    return {_fork(k, copies, where): _fork(v, copies, where) for k, v in thing.items()}


def _fork_object(thing: Any, copies: dict[int, Any], where: str) -> Any:
    """Copy an object once, however many others refer to it."""
    known = copies.get(id(thing))
    if known is not None:
        return known
    kind: type[Any] = type(thing)
    copy = copies[id(thing)] = object.__new__(kind)
    for name in _attributes(thing):
        if name in REPLACED:
            value = REPLACED[name]
        else:
            value = _fork(getattr(thing, name), copies, f"{kind.__name__}.{name}")
        setattr(copy, name, value)
    return copy


def _way(kind: type) -> Callable[[Any, dict[int, Any], str], Any] | None:
    if kind in SHARED:
        return _share
    if kind in (list, deque, tuple):
        return _fork_row
    if kind is dict:
        return _fork_dict
    if kind is bytearray:
        return _fork_bytes
    if kind is MethodType:
        return _fork_method
    return _fork_object if issubclass(kind, CHANGING) else None


def _attributes(thing: Any) -> tuple[str, ...]:
    """Return the names of a thing's attributes, always in one order."""
    own = getattr(thing, "__dict__", None)
    return tuple(sorted(own)) if own is not None else tuple(thing.__slots__)


# ── frozen values ───────────────────────────────────────────────────────────────────────────────

Fingerprint = Any
"""A hashable value: numbers, names and entries in nested tuples."""


def fingerprint(whole: object, names: Mapping[str, str]) -> Fingerprint:
    """Return what state ``whole`` is in, with each member called what ``names`` says, if anything.

    Raises :class:`BadInput` for an unknown type.
    """
    return _freeze(whole, names, {})


def _freeze(thing: Any, names: Mapping[str, str], seen: dict[int, int]) -> Fingerprint:
    kind = type(thing)
    if kind is str:
        return names.get(thing, thing)
    if kind in PLAIN:
        return thing
    if kind in (list, deque, tuple):
        return tuple([_freeze(item, names, seen) for item in thing])
    if kind is dict:
        items = [(names.get(k, k), _freeze(v, names, seen)) for k, v in thing.items()]
        return tuple(sorted(items, key=itemgetter(0)))
    if kind is bytearray:
        return bytes(thing)
    if kind is MethodType:
        return thing.__func__
    if kind is Configuration:  # in which order members are named makes no difference
        parts = (thing.voters, thing.outgoing, thing.learners)
        return tuple(tuple(sorted(names.get(name, name) for name in part)) for part in parts)
    if kind in NAMING:
        return _freeze_fields(thing, names, seen)
    if issubclass(kind, ASIDE):
        return None
    if not issubclass(kind, PARTS):
        raise BadInput(f"there is a {kind.__name__}: say in fork.py how to freeze that")
    if id(thing) in seen:
        return ("as before", seen[id(thing)])
    seen[id(thing)] = len(seen)
    ignored = next((some for base, some in IGNORED.items() if issubclass(kind, base)), ())
    telling = [name for name in _attributes(thing) if name not in ignored]
    return (kind.__name__, *[_freeze(getattr(thing, name), names, seen) for name in telling])


def _freeze_fields(thing: Any, names: Mapping[str, str], seen: dict[int, int]) -> Fingerprint:
    row: list[Fingerprint] = [type(thing).__name__]
    for name, value in zip(thing._fields, thing, strict=True):
        if name == "round":
            row.append(value > 0)
        elif name not in IGNORED_FIELDS:
            row.append(_freeze(value, names, seen))
    return tuple(row)
