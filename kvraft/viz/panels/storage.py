"""A member's log, memory and tables beside each other: how a flush trades one for the other.

:func:`flush_view` draws one moment of a trace::

    log      ▓▓▓▓│▓▓▓▓│▒▒▒▒│▒▒▒▒│□□       segments: flushed, needed by the tree, being written
    memory   ▒▒▒▒▒▒▒▒□□□□   ▒▒  ▒▒        the memtable, and those frozen that wait
    tables   0: 7 6 5    1: 4             by level

What colour says, a shape or a word says too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kvraft.display import counted
from kvraft.events import (
    Compacted,
    Event,
    Flushed,
    Marks,
    MemberCrashed,
    MemberStopped,
    MemtableFrozen,
    SnapshotInstalled,
    TableWritten,
    Trace,
    TransactionApplied,
    TreeOpened,
)
from kvraft.viz import svg
from kvraft.viz.trace import EMPTY, SegmentState, TraceHistory


@dataclass(slots=True)
class Storage:
    """What one member has in memory and in tables, as its own events tell.

    ``frozen`` are the waiting memtables, oldest first: bytes, and the log index they reach to.
    ``tables`` are number, level and bytes: level 0 newest first, deeper levels by number.
    """

    marks: Marks = EMPTY
    rows: int = 0
    size: int = 0
    frozen: list[tuple[int, int]] = field(default_factory=list)
    tables: list[tuple[int, int, int]] = field(default_factory=list)
    written: dict[int, int] = field(default_factory=dict)  # tables that are not live yet

    def take(self, event: Event) -> None:
        """Change by one event."""
        match event:
            case Marks():
                self.marks = event
            case TransactionApplied():
                self.rows, self.size = event.memtable_rows, event.memtable_size
                self.marks = replace(self.marks, applied=event.index)
            case MemtableFrozen():
                self.frozen.append((event.size, event.through))
                self.rows = self.size = 0
            case TableWritten():
                self.written[event.table] = event.size
            case Flushed():
                self.frozen = self.frozen[1:]
                self.marks = replace(self.marks, flushed=event.through)
                self._live((event.table,) if event.table else (), 0)
            case Compacted():
                self._merge(event)
            case SnapshotInstalled():
                self._lose_memory()
                self.tables = []
                self._live(event.tables, 0)
            case MemberCrashed() | MemberStopped():
                self._lose_memory()
            case TreeOpened():
                found = zip(event.tables, event.levels, event.sizes, strict=True)
                self.tables, self.written = sorted(found, key=_place), {}

    def _merge(self, event: Compacted) -> None:
        gone = {number: size for number, _, size in self.tables if number in event.inputs}
        self.tables = [table for table in self.tables if table[0] not in gone]
        if event.outputs == event.inputs:  # they move to another level as they are
            self.written |= gone
        self._live(event.outputs, event.level)

    def _live(self, numbers: Sequence[int], level: int) -> None:
        """Let these be live.

        Others stay written: a flush may come between two slices of a compaction.
        """
        new = [(number, level, self.written.pop(number, 0)) for number in numbers]
        self.tables = sorted([*new, *self.tables], key=_place)

    def _lose_memory(self) -> None:
        self.rows = self.size = 0
        self.frozen = []


def _place(table: tuple[int, int, int]) -> tuple[int, int]:
    number, level, _ = table
    return level, number if level else -number


def storage_at(trace: Trace, step: int) -> dict[str, Storage]:
    """Return what every member has after ``step`` of ``trace``."""
    found: dict[str, Storage] = {}
    for _, who, event in trace[: step + 1]:
        if who:
            found.setdefault(who, Storage()).take(event)
    return found


LEFT, WIDE, TALL = 66, 770, 178
FLUSHED, NEEDED, ACTIVE = svg.GREY, svg.SKY, svg.WHITE


def flush_view(history: TraceHistory, step: int) -> str:
    """Draw log, memory and tables of each member after ``step``.

    Lengths are to scale over the whole history: the log in entries, memory in bytes.
    """
    found = storage_at(history.trace, step)
    marks = [event for _, _, event in history.trace if isinstance(event, Marks)]
    longest = max((event.last - event.first + 1 for event in marks), default=1)
    parts: list[str] = []
    says = []
    for row, (name, member) in enumerate(history.at(step).members.items()):
        held, top = found.get(name, Storage()), 8 + TALL * row
        parts += _log(name, member.segments, held.marks, top, longest)
        parts += _memory(held, top + 72, max(history.memtable_peak, 1))
        parts += _tables(held, top + 124)
        says.append(f"{name}: {_words(held, len(member.segments))}")
    height = 8 + TALL * len(says) + 12
    key = "log: grey flushed, blue still needed by the tree, white being written"
    parts.append(svg.legend(LEFT, height - 6, key))
    return svg.drawing(height, " ".join(says), parts)


def _words(held: Storage, segments: int) -> str:
    return (
        f"{counted(segments, 'log segment')}, flushed through {held.marks.flushed}, a memtable of "
        f"{counted(held.size, 'byte')}, {len(held.frozen)} waiting, "
        f"{counted(len(held.tables), 'table')}."
    )


def _log(
    name: str, segments: Sequence[SegmentState], marks: Marks, top: float, longest: int
) -> list[str]:
    """Draw the segments, the oldest at the left edge, and the flushed mark as a flag."""
    scale = WIDE / max(longest, 1)
    first = min(marks.first, segments[0].first) if segments else marks.first
    parts = [svg.text(6, top + 14, name, weight="bold"), svg.text(6, top + 44, "log", 11)]
    for segment in segments:
        last = marks.last if segment.last is None else segment.last
        wide = max((last + 1 - segment.first) * scale, 3)
        x, fill = LEFT + (segment.first - first) * scale, NEEDED
        if segment.last is None:
            fill = ACTIVE
        elif last <= marks.flushed:
            fill = FLUSHED
        says = f"segment {segment.number}: entries {segment.first} to {last}"
        parts.append(svg.rect(x, top + 28, wide, 26, fill, title=says))
        if wide >= 18:
            parts.append(svg.text(x + wide / 2, top + 45, str(segment.number), 11, "middle"))
    flag = LEFT + min(max(marks.flushed + 1 - first, 0), longest) * scale
    parts.append(svg.line(flag, top + 6, flag, top + 60, svg.RED, 3))
    side, anchor = (flag + 5, "start") if flag < svg.WIDTH / 2 else (flag - 5, "end")
    words = f"flushed {marks.flushed:,}"
    parts.append(svg.text(side, top + 16, words, 11, anchor, colour=svg.DARK_RED))
    ends = f"entries {marks.first:,} to {marks.last:,}"
    at = (svg.WIDTH - 12, "end") if flag < svg.WIDTH / 2 else (LEFT, "start")
    parts.append(svg.text(at[0], top + 16, ends, 11, at[1]))
    return parts


def _memory(held: Storage, top: float, peak: int) -> list[str]:
    """Draw the memtable in a frame as long as the largest there ever was, then those that wait."""
    frame = 250
    filled = min(held.size / peak, 1) * frame
    parts = [
        svg.text(6, top + 17, "memory", 11),
        svg.rect(LEFT, top, filled, 26, svg.ORANGE, ""),
        svg.rect(LEFT, top, frame, 26, "none", "#000"),
        svg.text(
            LEFT,
            top + 39,
            f"memtable: {counted(held.rows, 'key')}, {counted(held.size, 'byte')}",
            11,
        ),
    ]
    x = LEFT + frame + 24.0
    for size, through in held.frozen[:4]:
        wide = max(size / peak * 100, 4)
        parts.append(svg.rect(x, top, wide, 26, svg.PURPLE, dashes="4 2"))
        parts.append(svg.text(x, top + 39, f"frozen, to {through:,}", 11))
        x += 112
    if len(held.frozen) > 4:
        parts.append(svg.text(x, top + 17, f"+{len(held.frozen) - 4}", 11))
    return parts


def _tables(held: Storage, top: float) -> list[str]:
    parts = [svg.text(6, top + 17, "tables", 11)]
    x = float(LEFT)
    for level in sorted({level for _, level, _ in held.tables}):
        of_level = [table for table in held.tables if table[1] == level]
        parts.append(svg.text(x, top + 17, f"level {level}:", 11))
        x += 52
        for number, _, size in of_level[:10]:
            says = f"table {number}: {counted(size, 'byte')}"
            parts.append(svg.rect(x, top, 26, 26, svg.GREEN, title=says))
            parts.append(svg.text(x + 13, top + 17, str(number), 11, "middle"))
            x += 30
        x += 18
    if not held.tables:
        parts.append(svg.text(LEFT, top + 17, "none", 11))
    return parts
