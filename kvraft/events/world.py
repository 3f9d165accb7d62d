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
class MessageDelayed(Event):
    """Message ``id`` was held up by hand: it is to arrive at ``arrives`` microseconds."""

    id: int
    arrives: int


@dataclass(slots=True, unsafe_hash=True)
class MessageDuplicated(Event):
    """Message ``id`` was sent once more by hand, as message ``copy``."""

    id: int
    copy: int


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
class CrashPlanned(Event):
    """The power of a member will be cut after step ``after`` of its next drain that saves."""

    after: str


@dataclass(slots=True, unsafe_hash=True)
class MemberPaused(Event):
    """The process of a member stands still; with ``ticks`` it will find that time has passed."""

    ticks: bool


@dataclass(slots=True, unsafe_hash=True)
class MemberResumed(Event):
    """The process of a member goes on, and first takes the ticks that it missed."""


@dataclass(slots=True, unsafe_hash=True)
class TimerExpired(Event):
    """The timer of a member ran out by hand: an election, or a leader's heartbeats."""


@dataclass(slots=True, unsafe_hash=True)
class ClockSet(Event):
    """The clock of a member or client was set ``ahead`` milliseconds of the world's time."""

    ahead: int


@dataclass(slots=True, unsafe_hash=True)
class DiskLimited(Event):
    """The disk of a member was given room for ``free`` more bytes, and no more."""

    free: int


@dataclass(slots=True, unsafe_hash=True)
class DiskExtended(Event):
    """The disk of a member has as much room as it wants again."""


@dataclass(slots=True, unsafe_hash=True)
class DiskCorrupted(Event):
    """The bits of ``mask`` were flipped in the byte at ``offset`` of a file."""

    file: str
    offset: int
    mask: int


@dataclass(slots=True, unsafe_hash=True)
class DiskWiped(Event):
    """The disk of a member that is down lost all of its ``files``."""

    files: int


@dataclass(slots=True, unsafe_hash=True)
class DiskChanged(Event):
    """The disk of a member was tampered with; ``what`` says how, as a sentence about it goes on."""

    what: str


@dataclass(slots=True, unsafe_hash=True)
class LinkChanged(Event):
    """The link from ``sender`` to ``to`` is now like this; other fields as in a link that works.

    It is ``cut``: what is sent is lost.  It is ``clogged``: what is sent waits at its end.
    Messages take ``slower`` microseconds longer, and ``loss`` percent of them are lost.
    """

    sender: str
    to: str
    cut: bool
    clogged: bool
    slower: int
    loss: int


@dataclass(slots=True, unsafe_hash=True)
class NetworkLossy(Event):
    """The network loses ``percent`` percent of all messages from now on."""

    percent: int


@dataclass(slots=True, unsafe_hash=True)
class NetworkPartitioned(Event):
    """The network was partitioned; each group is written as names with spaces between."""

    groups: tuple[str, ...]


@dataclass(slots=True, unsafe_hash=True)
class NetworkHealed(Event):
    """The network is whole again: there is no partition, and every link works."""


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
    """A client was asked for ``operation``; ``what`` says of which keys or which transaction.

    It is "read" or "read at" an earlier time, "scan", "write", "retry" or "leave".
    """

    operation: str
    what: str


@dataclass(slots=True, unsafe_hash=True)
class ReadEnded(Event):
    """A client's read of ``key`` was answered by ``member`` as of log index ``index``, or failed.

    ``value`` is a label of the value, and ``found`` whether there is one.  ``reason`` is why the
    read failed; ``member`` is ``""`` if nobody answered.  Only reads that do not block report this.
    """

    key: str
    found: bool
    value: str
    member: str
    index: int
    reason: str
