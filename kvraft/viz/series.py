"""A trace as plain series, ready to be drawn or compared: pure functions, nothing but data.

Times are microseconds of the trace's own time.  A span that has not ended yet ends with the trace.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.events import (
    Applied,
    Crashed,
    Failed,
    Flushed,
    Marks,
    MemtableFrozen,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    Started,
    TableWritten,
    Trace,
)


class Leadership(NamedTuple):
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


class SegmentLife(NamedTuple):
    """A log segment on one member's disk: entries ``first`` … ``last``, as far as is known.

    ``sealed`` and ``dropped`` are ``None`` if it never came to that.
    """

    segment: int
    first: int
    last: int
    opened: int
    sealed: int | None
    dropped: int | None


class SizeAt(NamedTuple):
    """From ``at`` on, the memtable and the tables of a member had so many bytes."""

    at: int
    memtable: int
    tables: int
    table_count: int


def end_of(trace: Trace) -> int:
    """Return the time of the last step, 0 for an empty trace."""
    return trace[-1].at if len(trace) else 0


def members_of(trace: Trace) -> list[str]:
    """Return the names of all members that ever started, sorted."""
    return sorted({step.who for step in trace.of(Started)})


def leaderships(trace: Trace) -> list[Leadership]:
    """Return who led when, in order of time."""
    open_: dict[str, tuple[int, int]] = {}
    spans: list[Leadership] = []
    for at, who, event in trace.of(RoleChanged, Crashed, Failed):
        if who in open_:
            spans.append(Leadership(who, open_[who][0], open_.pop(who)[1], at))
        if isinstance(event, RoleChanged) and event.role == "leader":
            open_[who] = (event.term, at)
    end = end_of(trace)
    spans += [Leadership(who, term, start, end) for who, (term, start) in open_.items()]
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
    for at, who, event in trace.of(Crashed, Failed, Started):
        if isinstance(event, Started):
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
        for at, _, event in trace.of(Marks, Crashed, Failed, who=member)
    ]


def segments(trace: Trace, member: str) -> list[SegmentLife]:
    """Return the life of every log segment of ``member``, oldest first."""
    lives: dict[int, SegmentLife] = {}
    last = 0
    for at, _, event in trace.of(SegmentOpened, SegmentSealed, SegmentDropped, Marks, who=member):
        if isinstance(event, SegmentOpened):
            life = SegmentLife(event.segment, event.first, event.first - 1, at, None, None)
            lives[event.segment] = life
        elif isinstance(event, SegmentSealed):
            lives[event.segment] = lives[event.segment]._replace(last=event.last, sealed=at)
        elif isinstance(event, SegmentDropped):
            lives[event.segment] = lives[event.segment]._replace(last=event.last, dropped=at)
        elif isinstance(event, Marks):
            last = event.last
    return [
        life if life.sealed is not None else life._replace(last=last) for life in lives.values()
    ]


def alive(trace: Trace, member: str) -> list[tuple[int, int]]:
    """Return how many log segments ``member`` had on disk, from each moment of change on."""
    changes: list[tuple[int, int]] = []
    for life in segments(trace, member):
        changes.append((life.opened, 1))
        if life.dropped is not None:
            changes.append((life.dropped, -1))
    counts: list[tuple[int, int]] = []
    for at, change in sorted(changes):
        counts.append((at, (counts[-1][1] if counts else 0) + change))
    return counts


def sizes(trace: Trace, member: str) -> list[SizeAt]:
    """Return how large memtable and tables of ``member`` were over time.

    A memtable that is being flushed is not counted; a crash empties the memtable.
    """
    now = SizeAt(0, 0, 0, 0)
    written = 0
    series: list[SizeAt] = []
    kinds = (Applied, MemtableFrozen, TableWritten, Flushed, Crashed, Failed)
    for at, _, event in trace.of(*kinds, who=member):
        if isinstance(event, Applied):
            now = now._replace(at=at, memtable=event.memtable_size)
        elif isinstance(event, TableWritten):
            written = event.size
            continue
        elif isinstance(event, Flushed):
            more = (written, 1) if event.table else (0, 0)
            tables, count = now.tables + more[0], now.table_count + more[1]
            now = now._replace(at=at, tables=tables, table_count=count)
        else:
            now = now._replace(at=at, memtable=0)
        series.append(now)
    return series
