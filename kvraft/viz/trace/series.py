"""A trace as plain series, ready to be drawn or compared: pure functions, nothing but data.

Times are microseconds of the trace's own time.  A span that has not ended yet ends with the trace.

A trace may be incomplete: it may be a slice, it may begin on disks that were in use before, and a
power cut may prevent a report.  What is missing is filled in as soon as a later event shows it.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.events import (
    Compacted,
    EntriesAppended,
    Flushed,
    Marks,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    MemtableFrozen,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
    TableWritten,
    TicketMoved,
    Trace,
    TransactionApplied,
    TransactionDiscarded,
    TreeOpened,
)


class LeaderSpan(NamedTuple):
    """``member`` led ``term`` from ``start`` to ``end``."""

    member: str
    term: int
    start: int
    end: int


class Downtime(NamedTuple):
    """``member`` did not run from ``start`` to ``end``."""

    member: str
    start: int
    end: int


class MarksAt(NamedTuple):
    """The five marks of a member from the moment ``at`` on; it did not run if they are ``None``."""

    at: int
    marks: Marks | None


class SegmentLifetime(NamedTuple):
    """A log segment on one member's disk: entries ``first`` … ``last``, as far as is known.

    ``sealed`` and ``dropped`` are ``None`` if it never came to that.
    """

    segment: int
    first: int
    last: int
    opened: int
    sealed: int | None
    dropped: int | None


class TicketStages(NamedTuple):
    """How far a client's transaction came: ``(at, stage, member)`` in order of time."""

    txn: str
    client: str
    stages: tuple[tuple[int, str, str], ...]


class DiscardedAt(NamedTuple):
    """``member`` dropped the entries ``first`` … ``last`` of ``txn``, which never completed."""

    at: int
    member: str
    txn: str
    first: int
    last: int


class SizeAt(NamedTuple):
    """From ``at`` on, the memtable and the tables of a member had so many bytes."""

    at: int
    memtable: int
    tables: int
    table_count: int


def end_of(trace: Trace) -> int:
    """Return the time of the last step, 0 for an empty trace."""
    return trace[-1].at if len(trace) else 0


MEMBER_EVENTS = (MemberStarted, RoleChanged, Marks, MemberCrashed, MemberStopped)
"""What members alone report."""


def members_of(trace: Trace) -> list[str]:
    """Return the names of all members that report anything, sorted."""
    return sorted({step.who for step in trace.of(*MEMBER_EVENTS)})


def leaderships(trace: Trace) -> list[LeaderSpan]:
    """Return who led when, in order of time."""
    open_: dict[str, tuple[int, int]] = {}
    spans: list[LeaderSpan] = []
    for at, who, event in trace.of(RoleChanged, MemberCrashed, MemberStopped):
        if who in open_:
            spans.append(LeaderSpan(who, open_[who][0], open_.pop(who)[1], at))
        if isinstance(event, RoleChanged) and event.role == "leader":
            open_[who] = (event.term, at)
    end = end_of(trace)
    spans += [LeaderSpan(who, term, start, end) for who, (term, start) in open_.items()]
    return sorted(spans, key=lambda span: (span.start, span.member))


def leaderless(trace: Trace) -> int:
    """Return for how long, in all, no member led."""
    covered = reached = 0
    for _, _, start, end in leaderships(trace):
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return end_of(trace) - covered


def downtimes(trace: Trace) -> list[Downtime]:
    """Return which members did not run when, in order of time."""
    down: dict[str, int] = {}
    spans: list[Downtime] = []
    for at, who, event in trace.of(MemberCrashed, MemberStopped, MemberStarted):
        if isinstance(event, MemberStarted):
            if who in down:
                spans.append(Downtime(who, down.pop(who), at))
        else:
            down[who] = at
    spans += [Downtime(who, start, end_of(trace)) for who, start in down.items()]
    return sorted(spans, key=lambda span: (span.start, span.member))


def marks(trace: Trace, member: str) -> list[MarksAt]:
    """Return the five marks of ``member`` over time, one item a change."""
    return [
        MarksAt(at, event if isinstance(event, Marks) else None)
        for at, _, event in trace.of(Marks, MemberCrashed, MemberStopped, who=member)
    ]


def segments(trace: Trace, member: str) -> list[SegmentLifetime]:
    """Return the life of every log segment of ``member``, oldest first.

    A segment whose beginning was not told was there when the member started, at the latest.
    """
    lives: dict[int, SegmentLifetime] = {}
    last, since = 0, trace[0].at if len(trace) else 0
    kinds = (MemberStarted, EntriesAppended, SegmentOpened, SegmentSealed, SegmentDropped, Marks)
    for at, _, event in trace.of(*kinds, who=member):
        match event:
            case Marks():
                last = event.last
            case MemberStarted():
                since = at
                _gone(lives, at, [life for life in lives.values() if life.last < event.first])
            case SegmentOpened():
                _begun(lives, event.segment, event.first, at)
            case EntriesAppended():
                _begun(lives, event.segment, event.first, since)
            case SegmentSealed():
                _begun(lives, event.segment, event.first, since)
                lives[event.segment] = lives[event.segment]._replace(last=event.last, sealed=at)
            case SegmentDropped(segment=number):
                if number not in lives:
                    lives[number] = SegmentLifetime(
                        number, event.first, event.last, since, since, None
                    )
                _gone(lives, at, [lives[number]])
    return [
        life if life.sealed is not None else life._replace(last=last)
        for _, life in sorted(lives.items())
    ]


def _begun(lives: dict[int, SegmentLifetime], number: int, first: int, at: int) -> None:
    """Add a segment unless it is known.  Only the newest is written, so those before are sealed."""
    if number in lives:
        return
    for life in lives.values():
        if life.sealed is None and life.segment < number:
            lives[life.segment] = life._replace(last=first - 1, sealed=at)
    lives[number] = SegmentLifetime(number, first, first - 1, at, None, None)


def _gone(lives: dict[int, SegmentLifetime], at: int, which: list[SegmentLifetime]) -> None:
    """Note that sealed segments are on the disk no more."""
    for life in which:
        if life.sealed is not None and life.dropped is None:
            lives[life.segment] = life._replace(dropped=at)


def alive(trace: Trace, member: str) -> list[tuple[int, int]]:
    """Return how many log segments ``member`` had on disk, from each moment of change on."""
    changes: list[tuple[int, int]] = []
    for life in segments(trace, member):
        changes.append((life.opened, 1))
        if life.dropped is not None:
            changes.append((life.dropped, -1))
    counts: list[tuple[int, int]] = []
    for at, change in sorted(changes, key=lambda change: (change[0], -change[1])):
        counts.append((at, (counts[-1][1] if counts else 0) + change))
    return counts


def sizes(trace: Trace, member: str) -> list[SizeAt]:
    """Return how large memtable and tables of ``member`` were over time.

    A memtable that is being flushed is not counted; a crash empties the memtable.
    """
    memtable = 0
    sizes: dict[int, int] = {}  # of all tables that were ever told of
    live: list[int] = []
    series: list[SizeAt] = []
    changing = (TreeOpened, Flushed, Compacted, SnapshotInstalled)
    kinds = (
        TransactionApplied,
        MemtableFrozen,
        TableWritten,
        *changing,
        MemberCrashed,
        MemberStopped,
    )
    for at, _, event in trace.of(*kinds, who=member):
        match event:
            case TableWritten():
                sizes[event.table] = event.size
                continue
            case TransactionApplied():
                memtable = event.memtable_size
            case TreeOpened() | Flushed() | Compacted() | SnapshotInstalled():
                live = live_tables(live, event)
                if isinstance(event, TreeOpened):
                    sizes.update(zip(event.tables, event.sizes, strict=True))
                elif isinstance(event, SnapshotInstalled):
                    memtable = 0
            case _:
                memtable = 0
        total = sum(sizes.get(table, 0) for table in live)
        series.append(SizeAt(at, memtable, total, len(live)))
    return series


def live_tables(
    live: list[int], event: TreeOpened | Flushed | Compacted | SnapshotInstalled
) -> list[int]:
    """Return which tables are live after ``event``, those with the oldest contents first.

    What came out of a merge takes the place of what went in.
    """
    match event:
        case Flushed():
            return live + [event.table] * (event.table > 0)
        case TreeOpened() | SnapshotInstalled():  # which tell them as they are read
            return list(reversed(event.tables))
    kept = [table for table in live if table not in event.inputs]
    place = min((live.index(table) for table in event.inputs if table in live), default=0)
    return [*kept[:place], *reversed(event.outputs), *kept[place:]]


def tickets(trace: Trace) -> list[TicketStages]:
    """Return how far each transaction came, in the order in which they were first sent."""
    lives: dict[str, TicketStages] = {}
    for at, who, event in trace.of(TicketMoved):
        if isinstance(event, TicketMoved):
            life = lives.setdefault(event.txn, TicketStages(event.txn, who, ()))
            stage = (at, event.stage, event.member)
            lives[event.txn] = life._replace(stages=(*life.stages, stage))
    return list(lives.values())


def discarded(trace: Trace) -> list[DiscardedAt]:
    """Return which transactions were discarded where, in order of time."""
    return [
        DiscardedAt(at, who, event.txn, event.first, event.last)
        for at, who, event in trace.of(TransactionDiscarded)
        if isinstance(event, TransactionDiscarded)
    ]
