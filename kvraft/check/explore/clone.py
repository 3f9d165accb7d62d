"""Copies of a consensus module, and fingerprints of its state.

A search over many states continues from each of them more than once, so it needs copies; and it
must recognize a state that it has met before.  Both walk through everything an object refers to:

- :func:`clone` copies what can change and shares what cannot (numbers, names, messages, entries).
- :func:`fingerprint` makes one hashable value of it, in which members may be renamed.

Invariants:

- A copy and its original share nothing that can change.  The event sink and the random numbers are
  replaced: a copy reports nothing and always draws the least.
- Equal fingerprints mean equal futures, as long as no tick passes, no member reads and no log is
  truncated.  :data:`IGNORED` lists what is left out for that reason.
- A type that is not listed here is refused, never shared or skipped: a new kind of attribute in the
  consensus module needs a decision here.
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
"""Immutable types that name no member."""
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
"""Immutable tuples with fields that may name members."""
SHARED = frozenset((*PLAIN, *NAMING, Configuration))
"""Types that copies share with their originals."""
PARTS = (Raft, Core, Election, Follower, Leadership, Replication, Outbox, Log, Progress)
"""Mutable types that decide what a module does; subclasses count."""
ASIDE = (Timer, ForwardedReads, OpenProposals, WaitingReads, Lease)
"""Mutable types that do not: timers without ticks, reads, and the waiting proposers."""
CHANGING = PARTS + ASIDE

REPLACED: dict[str, object] = {"report": ignore, "_random": LEAST}
"""Attributes that are replaced in copies, by these values."""

IGNORED: dict[type, tuple[str, ...]] = {
    Core: (
        *("report", "options", "cluster", "_reported", "incarnation"),  # nothing depends on these
        "all_replicated_index",  # only truncation uses it
    ),
    Outbox: ("decided",),  # only proposers see it
    Leadership: ("_options", "_elapsed", "_quiet_ticks", "_transfer_ticks"),  # only ticks use them
    Replication: (
        *("round", "round_commit", "members"),  # only reads and changes of members use them
        *("_quorum_checked", "_snapshots"),  # check-quorum, snapshots
    ),
    Log: ("_batch",),  # a cache
    Progress: (
        *("last_heard", "round", "sent_round", "snapshot_number"),  # check-quorum, reads, snapshots
        *("match_round", "lost_entries"),  # only reports and changes of members use them
    ),
}
"""Attributes that make no difference as long as no tick, read or truncation comes."""

IGNORED_FIELDS = ("cluster", "all_replicated_index", "decided")
"""Fields of messages and of a Ready that make no difference; of ``round``, only 0 or not does."""


# ── copies ──────────────────────────────────────────────────────────────────────────────────────


def clone(whole: T) -> T:
    """Return an independent copy of ``whole``; raises :class:`BadInput` for an unknown type."""
    copied: T = _copy(whole, {}, type(whole).__name__)
    return copied


def _copy(thing: Any, copies: dict[int, Any], where: str) -> Any:
    copier = _copier(type(thing))
    if copier is None:
        raise BadInput(f"{where} is a {type(thing).__name__}: say in clone.py how to copy it")
    return copier(thing, copies, where)


def _share(thing: Any, copies: dict[int, Any], where: str) -> Any:
    return thing


def _copy_bytes(thing: bytearray, copies: dict[int, Any], where: str) -> bytearray:
    return bytearray(thing)


def _copy_method(thing: MethodType, copies: dict[int, Any], where: str) -> MethodType:
    """Bind an overridden rule, a method of the original, to the copy."""
    return MethodType(thing.__func__, _copy(thing.__self__, copies, where))


def _copy_row(thing: Any, copies: dict[int, Any], where: str) -> Any:
    return type(thing)([_copy(item, copies, where) for item in thing])


def _copy_dict(thing: dict[Any, Any], copies: dict[int, Any], where: str) -> dict[Any, Any]:
    return {_copy(k, copies, where): _copy(v, copies, where) for k, v in thing.items()}


def _copy_object(thing: Any, copies: dict[int, Any], where: str) -> Any:
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
            value = _copy(getattr(thing, name), copies, f"{kind.__name__}.{name}")
        setattr(copy, name, value)
    return copy


def _copier(kind: type) -> Callable[[Any, dict[int, Any], str], Any] | None:
    if kind in SHARED:
        return _share
    if kind in (list, deque, tuple):
        return _copy_row
    if kind is dict:
        return _copy_dict
    if kind is bytearray:
        return _copy_bytes
    if kind is MethodType:
        return _copy_method
    return _copy_object if issubclass(kind, CHANGING) else None


def _attributes(thing: Any) -> tuple[str, ...]:
    """Return the names of a thing's attributes, always in one order."""
    own = getattr(thing, "__dict__", None)
    return tuple(sorted(own)) if own is not None else tuple(thing.__slots__)


# ── fingerprints ────────────────────────────────────────────────────────────────────────────────

Fingerprint = Any
"""A hashable value: numbers, names and entries in nested tuples."""


def fingerprint(whole: object, names: Mapping[str, str]) -> Fingerprint:
    """Return the state of ``whole`` as one value, with members renamed by ``names``.

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
    if kind is Configuration:  # the order of members makes no difference
        parts = (thing.voters, thing.outgoing, thing.learners)
        return tuple(tuple(sorted(names.get(name, name) for name in part)) for part in parts)
    if kind in NAMING:
        return _freeze_fields(thing, names, seen)
    if issubclass(kind, ASIDE):
        return None
    if not issubclass(kind, PARTS):
        raise BadInput(f"there is a {kind.__name__}: say in clone.py how to freeze it")
    if id(thing) in seen:
        return ("as before", seen[id(thing)])
    seen[id(thing)] = len(seen)
    ignored = next((some for base, some in IGNORED.items() if issubclass(kind, base)), ())
    used = [name for name in _attributes(thing) if name not in ignored]
    return (kind.__name__, *[_freeze(getattr(thing, name), names, seen) for name in used])


def _freeze_fields(thing: Any, names: Mapping[str, str], seen: dict[int, int]) -> Fingerprint:
    row: list[Fingerprint] = [type(thing).__name__]
    for name, value in zip(thing._fields, thing, strict=True):
        if name == "round":
            row.append(value > 0)
        elif name not in IGNORED_FIELDS:
            row.append(_freeze(value, names, seen))
    return tuple(row)
