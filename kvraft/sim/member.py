"""One member of a hand-driven cluster: its disk and its memory.

The disk of a :class:`Member` is a few values, written as a Ready asks and read at the next start.
Its state machine is the list of applied entries, so a snapshot is those entries as bytes.

Invariants: ``applied[n]`` is the entry with index ``n + 1``; a snapshot ends exactly at the base of
the log, until a leader's snapshot replaces both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kvraft.errors import BadInput
from kvraft.events import EntriesAppended, Marks
from kvraft.raft import Configuration, DecidedProposal, Log, Message, Raft, ReadReady, Ready
from kvraft.record import (
    Entry,
    HardState,
    Kind,
    Position,
    Record,
    TxnId,
    label,
    pack_entries,
    unpack_entries,
)
from kvraft.sim.seat import DrainStep


class Watcher(Protocol):
    """An observer of a cluster at work, such as a checker of invariants."""

    def sent(self, message: Message) -> None:
        """A member sends ``message`` now; what is durable at this moment counts."""

    def asked(self, name: str, token: int) -> None:
        """A read is about to be requested at a member."""

    def served(self, name: str, read: ReadReady) -> None:
        """A member serves a read now."""

    def stepped(self, name: str) -> None:
        """A member has taken an input, or was started, and has done all that follows."""


@dataclass(frozen=True, slots=True)
class InMemorySnapshot:
    """A snapshot in memory: a :class:`~kvraft.raft.log.Snapshot` that is always open."""

    last: Position
    configuration: Configuration
    data: bytes

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer at the end."""
        return self.data[offset : offset + length]

    def open(self) -> InMemorySnapshot:
        """Return the snapshot itself, whose bytes never change."""
        return self


@dataclass(slots=True)
class Member:
    """A member of a cluster, running or not."""

    name: str
    configuration: Configuration
    """As of the base of the log on disk."""
    hard_state: HardState = field(default_factory=HardState)
    log: Log = field(default_factory=Log)
    """On disk; the one in memory is ``raft.log``."""
    snapshot: InMemorySnapshot | None = None
    incoming: bytearray = field(default_factory=bytearray)
    """The bytes received so far of a leader's snapshot."""
    starts: int = 0
    raft: Raft | None = None
    """The consensus module; ``None`` while the member is down."""
    applied: list[Entry] = field(default_factory=list)
    """From index 1 on, as far as known since the last start."""
    decided: list[DecidedProposal] = field(default_factory=list)
    reads: list[ReadReady] = field(default_factory=list)
    failed_reads: list[int] = field(default_factory=list)
    paused: bool = False
    misses_ticks: bool = False
    """Whether the ticks of a pause never come."""
    put_off: list[Message | None] = field(default_factory=list)
    """What came in a pause: messages, and ``None`` for a tick."""
    cut_after: DrainStep | None = None
    """The step of its next work with something to save after which it crashes."""

    def is_cut(self, step: DrainStep, ready: Ready) -> bool:
        """Return whether it crashes after that step of what ``ready`` asks for."""
        return self.cut_after is step and ready.must_sync

    def save(self, ready: Ready) -> None:
        """Make durable what a Ready asks for."""
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        for chunk in ready.chunks:
            del self.incoming[chunk.offset :]
            self.incoming += chunk.data
        if ready.snapshot is not None:
            last, self.configuration, _ = ready.snapshot
            self.snapshot = InMemorySnapshot(last, self.configuration, bytes(self.incoming))
            self.log.reset(last)
        if ready.entries:
            if ready.entries[0].index <= self.log.last_index:
                self.log.truncate_from(ready.entries[0].index)
            self.log.append(ready.entries)

    def take(self, ready: Ready) -> None:
        """Apply what is committed, and keep the decisions and reads that are reported."""
        if ready.snapshot is not None and self.snapshot is not None:
            self.applied = unpack_entries(self.snapshot.data)
        self.applied += ready.committed
        self.decided += ready.decided
        self.reads += ready.reads
        self.failed_reads += ready.failed_reads

    def truncate_log(self, raft: Raft, index: int) -> None:
        """Replace the log through ``index`` by a snapshot of what is applied."""
        first, last = self.log.first_index, len(self.applied)
        if not first <= index <= last:
            what = f"{first} to {last}" if first <= last else "none"
            raise BadInput(
                f"the log of {self.name} can be truncated where applied ({what}), not {index}"
            )
        self.configuration = raft.configuration_at(index)
        place = Position(index, self.log.term(index))
        data = pack_entries(self.applied[:index])
        self.snapshot = InMemorySnapshot(place, self.configuration, data)
        self.log.drop_through(index)
        raft.compact(index, self.snapshot)

    def takes(self, what: Message | None) -> bool:
        """Take a message, or a tick, and return true; while it is paused, put it off."""
        assert self.raft is not None
        if self.paused:
            if what is not None or not self.misses_ticks:
                self.put_off.append(what)
        elif what is None:
            self.raft.tick()
        else:
            self.raft.step(what)
        return not self.paused

    def forget(self) -> None:
        """Lose what is in memory only."""
        self.raft = self.cut_after = None
        self.paused, self.put_off = False, []
        self.applied = unpack_entries(self.snapshot.data) if self.snapshot else []
        self.decided, self.reads, self.failed_reads = [], [], []

    @property
    def marks(self) -> Marks:
        """The five marks; a snapshot counts as what a complete member has flushed."""
        flushed = self.log.base.index
        committed = self.raft.commit_index if self.raft else flushed
        return Marks(flushed + 1, flushed, len(self.applied), committed, self.log.last_index)

    @property
    def row(self) -> tuple[object, ...]:
        """Its name, role, term, vote, and how far its log is committed and reaches."""
        role = "down" if self.raft is None else self.raft.role.value
        term, vote = self.hard_state
        return self.name, role, term, vote or "", self.marks.committed, self.log.last_index

    def __str__(self) -> str:
        """Return role, term, vote and commit index, and the terms of the log, its base first."""
        role, commit = "down", "-"
        if self.raft is not None:
            role, commit = self.raft.role.value, str(self.raft.commit_index)
        term, vote = self.hard_state
        terms = " ".join(str(entry.term) for entry in self.log.slice(self.log.first_index))
        base = f"({self.log.base.index}/{self.log.base.term}) " if self.log.base.index else ""
        head = f"{self.name:4} {role:13} term {term:<2} vote {vote or '-':4}"
        return f"{head} commit {commit:3} log {base}{terms}".rstrip()


def entry_of_term(entry: int | Entry, index: int) -> Entry:
    """Return the entry at ``index`` of a log that is given by its entries' terms.

    Entries of one term and index are the same in all logs, as log matching wants (Raft §5.3).
    """
    if isinstance(entry, Entry):
        return entry
    if entry < 1:
        raise BadInput(f"terms are counted from 1: entry {index} cannot be of term {entry}")
    txn = TxnId(f"term{entry}", 0, index)
    return Entry(entry, index, Record(Kind.PUT, b"%d/%d" % (index, entry), b"", index, txn, True))


def appended(entries: Sequence[Entry]) -> EntriesAppended:
    """Return the event of entries appended to the log, which is one segment, 0."""
    return EntriesAppended(
        0,
        entries[0].index,
        tuple(entry.term for entry in entries),
        tuple(label(entry.record.key) for entry in entries),
        tuple(str(e.record.txn) if e.record.kind.is_data else "" for e in entries),
        tuple(entry.record.commit for entry in entries),
    )


def proposed(what: Sequence[str | bytes | Record], number: int) -> list[Record]:
    """Return records as they are, and keys as the puts of transaction ``number``."""
    txn = TxnId("hand", 0, number)
    records = []
    for at, item in enumerate(what, 1):
        if not isinstance(item, Record):
            key = item.encode() if isinstance(item, str) else item
            item = Record(Kind.PUT, key, b"", number, txn, commit=at == len(what))
        records.append(item)
    return records
