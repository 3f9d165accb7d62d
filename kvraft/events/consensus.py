"""Events of consensus: roles, votes, commitment, members, and the marks (Raft §5, §6, §7)."""

from __future__ import annotations

from dataclasses import dataclass

from kvraft.events.event import Event


@dataclass(slots=True, unsafe_hash=True)
class RoleChanged(Event):
    """A member has a new role, term or leader.  ``leader`` is ``""`` while none is known."""

    role: str  # "follower", "candidate" or "leader"
    term: int
    leader: str


@dataclass(slots=True, unsafe_hash=True)
class VoteGranted(Event):
    """A member gave its one vote of ``term`` to ``candidate``, maybe itself."""

    term: int
    candidate: str


@dataclass(slots=True, unsafe_hash=True)
class CommitAdvanced(Event):
    """A member learned that the log is committed through ``index``."""

    index: int


@dataclass(slots=True, unsafe_hash=True)
class ConfigurationChanged(Event):
    """A member uses another configuration: the one of log entry ``index`` (Raft §6).

    It may be an older one again, if the newer was superseded.
    """

    index: int
    voters: tuple[str, ...]
    outgoing: tuple[str, ...]
    learners: tuple[str, ...]


@dataclass(slots=True, unsafe_hash=True)
class ProgressChanged(Event):
    """A leader sends to ``member`` in another way: "probe", "replicate" or "snapshot"."""

    member: str
    state: str
    next: int
    match: int


@dataclass(slots=True, unsafe_hash=True)
class TransferStarted(Event):
    """A leader starts to hand over to ``member``, and takes no proposals (thesis §3.10)."""

    member: str


@dataclass(slots=True, unsafe_hash=True)
class TransferEnded(Event):
    """A leader no longer hands over to ``member``, for ``reason``: it takes proposals again."""

    member: str
    reason: str


@dataclass(slots=True, unsafe_hash=True)
class AcknowledgedEntriesLost(Event):
    """A leader found that ``member`` lost entries that it had acknowledged as durable.

    It had acknowledged the log through ``acknowledged_through``, and holds it only through
    ``held_through`` at most.  It counts for no entry after that.
    """

    member: str
    acknowledged_through: int
    held_through: int


@dataclass(slots=True, unsafe_hash=True)
class SnapshotReceived(Event):
    """A member's log was replaced by a leader's snapshot of everything through ``index`` (§7)."""

    index: int
    term: int
    size: int  # bytes


@dataclass(slots=True, unsafe_hash=True)
class MessageRejected(Event):
    """A member ignored a message of ``sender`` that no correct member would send."""

    kind: str
    sender: str
    reason: str


@dataclass(slots=True, unsafe_hash=True)
class Marks(Event):
    """The five marks of a replica, reported whenever one moves."""

    first: int
    flushed: int
    applied: int
    committed: int
    last: int
