"""The state of a whole cluster after any step of a trace, folded from its events.

:class:`TraceHistory` is what pictures look at.  It keeps a copy of the state every
few hundred steps, so that jumping to any step of a long trace costs a short replay only.  It
follows a trace that grows: what was folded once is not folded again.

The state is what the events report; nothing here knows the simulator.  What they leave out (a slice
of a trace, a disk that was in use before, a power cut before a report) is filled in as soon as a
later event shows it.
"""

from __future__ import annotations

import copy
from bisect import insort
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kvraft.events import (
    ClockSet,
    CommitAdvanced,
    Compacted,
    ConfigurationChanged,
    DiskExtended,
    DiskLimited,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    Flushed,
    LinkChanged,
    LogReset,
    Marks,
    MemberCrashed,
    MemberPaused,
    MemberResumed,
    MemberStarted,
    MemberStopped,
    MemtableFrozen,
    MessageDelayed,
    MessageDelivered,
    MessageLost,
    MessageSent,
    NetworkHealed,
    NetworkPartitioned,
    PinsChanged,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
    SnapshotReceived,
    TableWritten,
    Trace,
    TransactionApplied,
    TransactionDiscarded,
    TreeOpened,
    VoteGranted,
)
from kvraft.viz.trace.series import MEMBER_EVENTS, live_tables

CHECKPOINT = 500
"""Steps between two kept copies of the state."""

LOG_SHOWN = 64
"""How many entries of a log's end are kept for the pictures."""


EMPTY = Marks(1, 0, 0, 0, 0)
"""The marks of a member with an empty disk."""


class EntryState(NamedTuple):
    """One log entry as a picture shows it."""

    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    term: int
    key: str
    txn: str
    end: bool  # carries the commit mark
    discarded: bool = False
    configuration: bool = False


class SegmentState(NamedTuple):
    """One log segment as a picture shows it; ``last`` is known once it is sealed."""

    number: int
    first: int
    last: int | None


@dataclass(slots=True)
class MemberState:
    """One member, from its own events."""

    running: bool = False
    paused: bool = False
    limited: bool = False  # the room on its disk was limited by hand
    role: str = "follower"
    term: int = 0
    leader: str = ""
    vote: str = ""
    votes: dict[str, bool] = field(default_factory=dict)  # the answers to its own election
    marks: Marks = EMPTY
    configured: int = 0  # the index of its configuration
    log: list[EntryState] = field(default_factory=list)
    segments: list[SegmentState] = field(default_factory=list)
    memtable_rows: int = 0
    memtable_size: int = 0
    waiting: int = 0  # frozen memtables
    tables: list[tuple[int, int]] = field(default_factory=list)  # number, bytes; oldest first
    levels: dict[int, int] = field(default_factory=dict)  # of live tables, by number
    written: list[tuple[int, int]] = field(default_factory=list)  # tables that are not live yet
    pins: tuple[tuple[str, int], ...] = ()  # what pins the log, from which index on


@dataclass(slots=True)
class ClusterState:
    """A cluster at one moment, ``at`` in microseconds."""

    at: int = 0
    members: dict[str, MemberState] = field(default_factory=dict)
    in_flight: dict[int, tuple[str, MessageSent]] = field(default_factory=dict)
    delayed: dict[int, int] = field(default_factory=dict)
    """When messages in flight that were held up by hand arrive, in microseconds."""
    groups: tuple[str, ...] = ()
    links: dict[tuple[str, str], LinkChanged] = field(default_factory=dict)
    """The links that are cut, clogged, slow or lossy, by sender and receiver."""
    clocks: dict[str, int] = field(default_factory=dict)
    """How many milliseconds clocks are ahead that were set by hand."""

    def copy(self) -> ClusterState:
        """Return a state that later events will not change."""
        members = {name: copy.copy(member) for name, member in self.members.items()}
        for member in members.values():
            member.log = list(member.log)
            member.segments = list(member.segments)
            member.tables = list(member.tables)
            member.written = list(member.written)
            member.levels = dict(member.levels)
            member.votes = dict(member.votes)
        return ClusterState(
            self.at,
            members,
            dict(self.in_flight),
            dict(self.delayed),
            self.groups,
            dict(self.links),
            dict(self.clocks),
        )


class TraceHistory:
    """A trace with the state after each of its steps, 0 … ``len(trace) - 1``.

    The trace may grow: what is new in it is folded once, at the next look.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.names: list[str] = []
        """The members, sorted."""
        self.memtable_peak = 0
        """The largest memtable there ever was, in bytes."""
        self._kept: dict[int, ClusterState] = {}
        self._running = ClusterState()
        self._next = 0
        self.follow()

    def follow(self) -> None:
        """Fold the steps that were added to the trace since the last time."""
        for number in range(self._next, len(self.trace)):
            if number % CHECKPOINT == 0:
                self._kept[number] = self._running.copy()
            _, who, event = self.trace[number]
            if who not in self._running.members and isinstance(event, MEMBER_EVENTS):
                self._running.members[who] = MemberState()
                insort(self.names, who)
            take(self._running, self.trace, number)
            if isinstance(event, TransactionApplied):
                self.memtable_peak = max(self.memtable_peak, event.memtable_size)
            self._next = number + 1
            self.noticed(number, self._running)

    def noticed(self, step: int, state: ClusterState) -> None:
        """Take note of a step when it is folded first; ``state`` goes on changing."""

    def at(self, step: int) -> ClusterState:
        """Return the state after ``step``; do not change it."""
        if not 0 <= step < len(self.trace):
            raise IndexError(f"the trace has steps 0 to {len(self.trace) - 1}, not {step}")
        self.follow()
        start = step - step % CHECKPOINT
        state = self._kept[start].copy()
        state.members = {name: state.members.get(name, MemberState()) for name in self.names}
        for number in range(start, step + 1):
            take(state, self.trace, number)
        return state


def take(state: ClusterState, trace: Trace, number: int) -> None:
    """Change ``state`` by step ``number`` of ``trace``."""
    at, who, event = trace[number]
    state.at = at
    match event:
        case MessageSent():
            state.in_flight[event.id] = (who, event)
        case MessageDelayed():
            state.delayed[event.id] = event.arrives
        case MessageDelivered():
            sender, sent = state.in_flight.pop(event.id, ("", None))
            state.delayed.pop(event.id, None)
            if sent is not None and sent.kind in _VOTES and who in state.members:
                _count(state.members[who], sender, sent)
        case MessageLost():
            state.in_flight.pop(event.id, None)
            state.delayed.pop(event.id, None)
        case NetworkPartitioned():
            state.groups = event.groups
        case NetworkHealed():
            state.groups, state.links = (), {}
        case LinkChanged(sender=sender, to=to):
            state.links[sender, to] = event
            if event == LinkChanged(sender, to, False, False, 0, 0):
                del state.links[sender, to]
        case ClockSet():
            state.clocks[who] = event.ahead
        case _:
            if who in state.members:
                _take_member(state.members[who], event)


_VOTES = {"RequestVoteReply": "candidate", "PreVoteReply": "pre-candidate"}
"""The answers that are counted, and the role in which they count."""


def _count(member: MemberState, voter: str, answer: MessageSent) -> None:
    """Count an answer to a member's election, unless it is to an older one."""
    if member.role == _VOTES[answer.kind] and answer.term >= member.term:
        member.votes.setdefault(voter, answer.note == "granted")


def _take_member(member: MemberState, event: Event) -> None:
    """Change one member by one of its own events."""
    match event:
        case MemberStarted():
            member.running, member.role, member.leader = True, "follower", ""
            member.term = event.term
            _recover(member, event)
        case MemberPaused() | MemberResumed():
            member.paused = isinstance(event, MemberPaused)
        case DiskLimited() | DiskExtended():
            member.limited = isinstance(event, DiskLimited)
        case MemberCrashed() | MemberStopped():
            member.running, member.role, member.leader = False, "follower", ""
            member.paused = False
            member.votes, member.pins = {}, ()
            member.memtable_rows = member.memtable_size = member.waiting = 0
            flushed = member.marks.flushed  # what lies above was known to memory only
            member.marks = replace(member.marks, applied=flushed, committed=flushed)
        case RoleChanged():
            if event.term != member.term:
                member.vote = ""
            member.running, member.votes = True, {}
            member.role, member.term, member.leader = event.role, event.term, event.leader
        case VoteGranted():
            member.vote = event.candidate
        case ConfigurationChanged():  # reported before its entry is appended
            member.configured = event.index
        case Marks():
            member.running, member.marks = True, event
        case CommitAdvanced():  # the marks follow only when the member has done all it has to
            member.marks = replace(member.marks, committed=event.index)
        case _:
            _take_storage(member, event)


def _take_storage(member: MemberState, event: Event) -> None:
    """Change what a member has on disk and in its memtables."""
    match event:
        case EntriesAppended():
            _begin(member, event.segment, event.first)
            _append(member, event)
        case EntriesSuperseded():
            member.log = [cell for cell in member.log if cell.index < event.first]
        case SnapshotReceived() | LogReset():
            member.log = []
        case TransactionDiscarded():
            member.log = [
                cell._replace(discarded=True) if event.first <= cell.index <= event.last else cell
                for cell in member.log
            ]
        case PinsChanged():
            member.pins = tuple(zip(event.pinned_by, event.needed_from, strict=True))
        case SegmentOpened():
            _begin(member, event.segment, event.first)
        case SegmentSealed():
            _begin(member, event.segment, event.first)
            member.segments[-1] = member.segments[-1]._replace(last=event.last)
        case SegmentDropped():
            member.segments = [s for s in member.segments if s.number != event.segment]
        case TransactionApplied():
            member.memtable_rows, member.memtable_size = event.memtable_rows, event.memtable_size
            member.marks = replace(member.marks, applied=event.index)
        case MemtableFrozen():
            member.memtable_rows = member.memtable_size = 0
            member.waiting += 1
        case TableWritten():
            member.written.append((event.table, event.size))
        case TreeOpened():
            member.written = list(zip(event.tables, event.sizes, strict=True))
            _change_tables(member, event)
        case Flushed():
            member.waiting = max(member.waiting - 1, 0)
            _change_tables(member, event)
        case Compacted():
            _change_tables(member, event)
        case SnapshotInstalled():
            member.memtable_rows = member.memtable_size = member.waiting = 0
            _change_tables(member, event)


def _change_tables(
    member: MemberState, event: TreeOpened | Flushed | Compacted | SnapshotInstalled
) -> None:
    """Change which tables are live; their sizes are those with which they were written."""
    sizes = dict([*member.tables, *member.written])
    live = live_tables([table for table, _ in member.tables], event)
    match event:
        case TreeOpened():
            levels = dict(zip(event.tables, event.levels, strict=True))
        case Compacted():
            levels = dict.fromkeys(event.outputs, event.level)
        case _:
            levels = {}  # a flush and a snapshot put their tables on top
    member.levels = {table: levels.get(table, member.levels.get(table, 0)) for table in live}
    member.tables = [(table, sizes.get(table, 0)) for table in live]
    member.written = [(table, size) for table, size in member.written if table not in live]


def _begin(member: MemberState, number: int, first: int) -> None:
    """Add a segment unless it is known.  Only the newest is written, so those before are sealed."""
    if member.segments and member.segments[-1].number >= number:
        return
    if member.segments and member.segments[-1].last is None:
        member.segments[-1] = member.segments[-1]._replace(last=first - 1)
    member.segments.append(SegmentState(number, first, None))


def _recover(member: MemberState, event: MemberStarted) -> None:
    """Drop segments that a restart did not find: a power cut can prevent the report."""
    member.segments = [s for s in member.segments if s.last is None or s.last >= event.first]


def _append(member: MemberState, event: EntriesAppended) -> None:
    """Add the entries, over those that they supersede, and forget what no picture shows."""
    last = event.first + len(event.terms) - 1
    member.marks = replace(member.marks, last=last)
    kept = [cell for cell in member.log if cell.index < event.first]
    for offset, term in enumerate(event.terms):
        index, key, txn = event.first + offset, event.keys[offset], event.txns[offset]
        changes = index == member.configured and not key and not txn
        end = event.commit_marks[offset]
        kept.append(EntryState(index, term, key, txn, end, configuration=changes))
    member.log = kept[-LOG_SHOWN:]
