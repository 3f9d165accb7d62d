"""Events of a world and its clients: messages, faults, and how far writes have come."""

from __future__ import annotations

from dataclasses import dataclass

from kvraft.events.event import Event


@dataclass(slots=True, unsafe_hash=True)
class MessageSent(Event):
    """A message was sent to ``to``, with the entries ``first`` … ``last``, 0 if it has none."""

    id: int
    kind: str
    to: str
    term: int
    first: int
    last: int
    note: str


@dataclass(slots=True, unsafe_hash=True)
class MessageDelivered(Event):
    """Message ``id`` was delivered to its receiver."""

    id: int


@dataclass(slots=True, unsafe_hash=True)
class MessageLost(Event):
    """Message ``id`` will never arrive."""

    id: int
    reason: str


@dataclass(slots=True, unsafe_hash=True)
class MemberStarted(Event):
    """A member opened its disk and runs, in the term and with the marks that it found there."""

    term: int
    first: int
    flushed: int
    last: int


@dataclass(slots=True, unsafe_hash=True)
class MemberCrashed(Event):
    """A member lost its memory and every byte that was not synced."""

    lost_bytes: int


@dataclass(slots=True, unsafe_hash=True)
class MemberStopped(Event):
    """A member stopped by itself, for ``reason``."""

    reason: str


@dataclass(slots=True, unsafe_hash=True)
class NetworkPartitioned(Event):
    """The network was partitioned; each group is written as names with spaces between."""

    groups: tuple[str, ...]


@dataclass(slots=True, unsafe_hash=True)
class NetworkHealed(Event):
    """The network is whole again."""


# ── the client ──────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True, unsafe_hash=True)
class TicketMoved(Event):
    """A client's write reached another stage; ``index`` is its last log index, 0 if unknown."""

    txn: str
    stage: str
    member: str
    index: int


@dataclass(slots=True, unsafe_hash=True)
class ClientRedirected(Event):
    """A member sent a client on to ``leader``, which is ``""`` if it knew none."""

    txn: str
    asked: str
    leader: str


@dataclass(slots=True, unsafe_hash=True)
class OperationRequested(Event):
    """A client was asked for ``operation``, such as "write"; ``what`` says of which keys."""

    operation: str
    what: str
