"""What is known after each step of a trace, as far as goals of missions ask for it.

Invariant: facts are a function of the steps and actions that were taken, in order.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.check.lights import Lights
from kvraft.copying import immutable
from kvraft.events import (
    ConfigurationChanged,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    LogReset,
    Marks,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    OperationRequested,
    PinsChanged,
    ReadEnded,
    RoleChanged,
    SegmentDropped,
    SegmentSealed,
    SnapshotReceived,
    TicketMoved,
    TransactionApplied,
)
from kvraft.sim import Action

ACKNOWLEDGED = ("COMMITTED", "APPLIED")
"""The stages of a write in which its client knows that it is kept."""


@immutable
class LogEntry(NamedTuple):
    """What is known of an entry on a disk: ``ends`` is whether it ends its transaction."""

    term: int
    txn: str
    ends: bool


@immutable
class Asked(NamedTuple):
    """A read under way: the log index that its answer must not be older than."""

    key: str
    stale: bool
    wanted: int


class Facts:
    """The facts after the steps that :meth:`take` was called with."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self.members = members
        self.at = 0
        self.lights = Lights()
        self.leaders: dict[int, list[str]] = {}
        """Who ever led each term."""
        self.leads: dict[str, int] = {}
        """Who leads now, or believes so, and which term."""
        self.led = 0
        """When a member led last, in microseconds."""
        self.terms: dict[str, int] = {}
        self.running: set[str] = set()
        self.voters: dict[str, tuple[str, ...]] = {}
        """The voters of the configuration that each member uses, the outgoing ones included."""
        self.logs: dict[str, dict[int, LogEntry]] = {}
        self.last: dict[str, int] = {}
        """The index of the last entry on each disk."""
        self.peak: dict[tuple[int, int], int] = {}
        """On how many disks the entry of an index and term ever was at the same time."""
        self.marks: dict[str, Marks] = {}
        self.committed = 0
        self.acknowledged: dict[int, str] = {}
        """The transactions that clients know to be kept, by the index of their last entry."""
        self.lost = False
        """Whether a member committed something else where an acknowledged one was."""
        self.alone: dict[str, int] = {}
        """For each write, how many members were down from its first message until now."""
        self.old_read: Asked | None = None
        """A read that was answered with an older state than its client had to expect."""
        self.applied: dict[tuple[str, str], set[int]] = {}
        """Where each member applied each transaction."""
        self.sealed: dict[str, dict[int, SegmentSealed]] = {}
        self.pinned: dict[tuple[str, str, int], int] = {}
        """Since when a member, for whom, keeps a sealed segment, in microseconds."""
        self._pins: dict[str, PinsChanged] = {}
        self._keys: dict[str, set[str]] = {}  # transaction → keys
        self._written: dict[str, int] = {}  # key → index of its last acknowledged write
        self._reads: dict[str, list[Asked]] = {}
        self._stale = False

    def acted(self, action: Action) -> None:
        """Take note of an action, before its first step."""
        self._stale = (
            action.verb == "get" and len(action.arguments) > 3 and action.arguments[3] is True
        )

    def down(self) -> int:
        """Return how many of the first members do not run."""
        return sum(name not in self.running for name in self.members)

    def take(self, step: int, at: int, who: str, event: Event) -> None:
        """Take note of one step."""
        self.at = at
        self.lights.take(step, who, event)
        match event:
            case RoleChanged():
                self._change_role(who, event)
            case MemberStarted() | MemberCrashed() | MemberStopped():
                self._start_or_stop(who, event)
            case EntriesAppended():
                self._append(who, event)
            case EntriesSuperseded():
                self._cut(who, event.first)
            case LogReset() | SnapshotReceived():
                self.logs[who] = {}
                self.last[who] = event.index
            case Marks():
                self.marks[who] = event
                self._commit(who, event.committed)
            case ConfigurationChanged():
                self.voters[who] = (*event.voters, *event.outgoing)
            case TransactionApplied():
                self.applied.setdefault((who, event.txn), set()).add(event.index)
            case TicketMoved() | OperationRequested() | ReadEnded():
                self._client(who, event)
            case PinsChanged() | SegmentSealed() | SegmentDropped():
                self._pin(who, event)
        if self.leads:
            self.led = at

    # ── members ─────────────────────────────────────────────────────────────────────────────────

    def _change_role(self, who: str, event: RoleChanged) -> None:
        self.terms[who] = event.term
        self.leads.pop(who, None)
        if event.role == "leader":
            self.leads[who] = event.term
            known = self.leaders.setdefault(event.term, [])
            if who not in known:
                known.append(who)

    def _start_or_stop(
        self, who: str, event: MemberStarted | MemberCrashed | MemberStopped
    ) -> None:
        self.leads.pop(who, None)
        self.running.discard(who)
        if isinstance(event, MemberStarted):
            self.running.add(who)
            self.terms[who] = event.term
            self._cut(who, event.last + 1)
            self.last[who] = event.last
            self.alone = dict.fromkeys(self.alone, 0)

    # ── logs ────────────────────────────────────────────────────────────────────────────────────

    def _append(self, who: str, event: EntriesAppended) -> None:
        self._cut(who, event.first)
        log = self.logs.setdefault(who, {})
        for offset, (term, txn) in enumerate(zip(event.terms, event.txns, strict=True)):
            index = event.first + offset
            log[index] = LogEntry(term, txn, event.commit_marks[offset])
            if txn:
                self._keys.setdefault(txn, set()).add(event.keys[offset])
            held = sum(index in other and other[index].term == term for other in self.logs.values())
            self.peak[index, term] = max(held, self.peak.get((index, term), 0))
            self.last[who] = index

    def _cut(self, who: str, first: int) -> None:
        log = self.logs.setdefault(who, {})
        for index in range(first, self.last.get(who, 0) + 1):
            log.pop(index, None)
        self.last[who] = min(self.last.get(who, 0), first - 1)

    def _commit(self, who: str, committed: int) -> None:
        self.committed = max(self.committed, committed)
        log = self.logs.get(who, {})
        for index, txn in self.acknowledged.items():
            if index <= committed and index in log and log[index].txn != txn:
                self.lost = True

    # ── clients ─────────────────────────────────────────────────────────────────────────────────

    def _client(self, who: str, event: TicketMoved | OperationRequested | ReadEnded) -> None:
        match event:
            case TicketMoved(stage="SENT"):
                self.alone.setdefault(event.txn, self.down())
            case TicketMoved() if event.stage in ACKNOWLEDGED and event.index:
                self.acknowledged.setdefault(event.index, event.txn)
                for key in self._keys.get(event.txn, ()):
                    self._written[key] = max(self._written.get(key, 0), event.index)
            case OperationRequested(operation="read"):
                wanted = self._written.get(event.what, 0)
                self._reads.setdefault(who, []).append(Asked(event.what, self._stale, wanted))
            case ReadEnded():
                self._end_read(who, event)

    def _end_read(self, who: str, event: ReadEnded) -> None:
        under_way = [read for read in self._reads.get(who, ()) if read.key == event.key]
        if under_way:  # which of several it was is not known: the least that it could be
            read = min(under_way, key=lambda read: (not read.stale, read.wanted))
            self._reads[who].remove(read)
            if not event.reason and event.index < read.wanted:
                self.old_read = read

    # ── segments ────────────────────────────────────────────────────────────────────────────────

    def _pin(self, who: str, event: PinsChanged | SegmentSealed | SegmentDropped) -> None:
        sealed = self.sealed.setdefault(who, {})
        match event:
            case PinsChanged():
                self._pins[who] = event
            case SegmentSealed():
                sealed[event.segment] = event
            case SegmentDropped():
                sealed.pop(event.segment, None)
        pins = self._pins.get(who)
        now = {
            (who, by, segment.segment)
            for segment in sealed.values()
            for by, needed in (zip(pins.pinned_by, pins.needed_from, strict=True) if pins else ())
            if needed <= segment.last
        }
        for gone in [known for known in self.pinned if known[0] == who and known not in now]:
            del self.pinned[gone]
        for one in now:
            self.pinned.setdefault(one, self.at)
