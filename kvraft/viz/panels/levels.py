"""Tables, level by level.

:func:`levels_view` draws one moment of a tree's trace, and :func:`levels_svg` any tables::

    level 0   [7 ───────────────────]          newest first, a row each; spans may overlap
              [6 ──────────────]
    level 1   [3 ─────][4 ────────────][5 ─]    one sorted run: one row
    on disk   [1 ──────────]                    live no more, but its file is still there

Lengths are spans of keys; all keys at which a table begins or ends stand at equal distances.
A table of level 0 is the higher the larger it is, so that tiers are seen.  Framed and marked ▼ is
what is being merged, marked ★ what came out last.  What colour says, a sign or a word says too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from kvraft.events import (
    Compacted,
    CompactionStarted,
    Event,
    Flushed,
    TableRemoved,
    TableWritten,
    Trace,
    TraceStep,
)
from kvraft.record import label
from kvraft.sstable import TableMetadata
from kvraft.viz import svg
from kvraft.viz.trace import TraceHistory

LEVEL_COLOURS = (svg.ORANGE, svg.SKY, svg.GREEN, svg.PURPLE, svg.YELLOW)
"""Colours of levels; of tables of one level, colours of sizes."""

LEVEL_JUMPS: dict[str, Callable[[TraceStep], bool]] = {
    "next flush": lambda step: isinstance(step.event, Flushed),
    "next pick": lambda step: isinstance(step.event, CompactionStarted),
    "next result": lambda step: isinstance(step.event, Compacted),
}
"""Buttons for a :class:`~kvraft.viz.widgets.Stepper` over a tree's trace."""


def level_stops(trace: Trace) -> list[int]:
    """Return the steps of a tree's trace at which its tables change."""
    kinds = Flushed, CompactionStarted, Compacted
    return [number for number, step in enumerate(trace) if isinstance(step.event, kinds)]


# ── which tables there are ──────────────────────────────────────────────────────────────────────


class TableBox(NamedTuple):
    """One table as a picture shows it; ``first`` and ``last`` are keys, as text."""

    number: int
    level: int
    size: int
    first: str
    last: str


def box_of(info: TableMetadata) -> TableBox:
    """Return the picture of a table."""
    last = label(info.stop.removesuffix(b"\0"))
    return TableBox(info.number, info.level, info.size, label(info.start), last)


@dataclass(slots=True)
class TreeTables:
    """The tables of a tree, level 0 newest first, as its own events tell.

    ``merging`` are the numbers of those being merged and ``into`` the level that the result goes
    to, -1 if nothing is merged; ``fresh`` is what the last event brought; ``dead`` are live no
    more, but their files are there.
    """

    live: list[TableBox] = field(default_factory=list)
    merging: tuple[int, ...] = ()
    into: int = -1
    fresh: tuple[int, ...] = ()
    dead: list[TableBox] = field(default_factory=list)
    written: dict[int, TableBox] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Change by one event."""
        match event:
            case TableWritten():
                box = TableBox(event.table, 0, event.size, event.first_key, event.last_key)
                self.written[event.table] = box
            case Flushed(table=number) if number:
                self.live.insert(0, self.written.pop(number))
                self.fresh = (number,)
            case CompactionStarted():
                self.merging, self.into, self.fresh = event.inputs, event.level, ()
            case Compacted():
                self._replace(event)
            case TableRemoved():
                self.dead = [box for box in self.dead if box.number != event.table]

    def _replace(self, event: Compacted) -> None:
        known = {box.number: box for box in self.live} | self.written
        place = min(at for at, box in enumerate(self.live) if box.number in event.inputs)
        gone = [box for box in self.live if box.number in event.inputs]
        made = [known[number]._replace(level=event.level) for number in event.outputs]
        self.live[place:place] = made
        self.live = [box for box in self.live if box not in gone]
        self.dead += [box for box in gone if box.number not in event.outputs]
        self.merging, self.into, self.fresh, self.written = (), -1, event.outputs, {}

    def rows(self) -> list[tuple[str, list[TableBox]]]:
        """Return the rows of a picture, and what stands before each."""
        unsorted = [box for box in self.live if box.level == 0]
        rows = [("" if at else "level 0", [box]) for at, box in enumerate(unsorted)]
        deeper = sorted((box for box in self.live if box.level), key=_place)
        for level, boxes in groupby(deeper, lambda box: box.level):
            rows.append((f"level {level}", list(boxes)))
        dead = _packed(self.dead)
        rows += [("" if at else "on disk", boxes) for at, boxes in enumerate(dead)]
        return rows

    def __str__(self) -> str:
        counts = dict.fromkeys(sorted({box.level for box in self.live}), 0)
        for box in self.live:
            counts[box.level] += 1
        says = ", ".join(f"{count} on level {level}" for level, count in counts.items())
        says = f"tables: {says or 'none'}"
        if self.merging:
            says += f"; {_numbers(self.merging)} are merged into level {self.into}"
        if self.dead:
            says += f"; {_numbers(tuple(box.number for box in self.dead))} on disk only"
        return says + "."


def _packed(boxes: Sequence[TableBox]) -> list[list[TableBox]]:
    """Return ``boxes`` in as few rows as the first place that is free gives."""
    rows: list[list[TableBox]] = []
    for box in sorted(boxes, key=lambda box: _key(box.first)):
        free = [row for row in rows if _key(row[-1].last) < _key(box.first)]
        if free:
            free[0].append(box)
        else:
            rows.append([box])
    return rows


def _place(box: TableBox) -> tuple[int, bytes]:
    return box.level, _key(box.first)


def _key(shown: str) -> bytes:
    """Return the key that ``label`` made a text of."""
    return shown.encode("ascii").decode("unicode_escape").encode("latin-1")


def _numbers(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def tables_over_time(trace: Trace) -> list[TreeTables]:
    """Return what a tree has after each step of its trace, which begins with an empty tree."""
    found, now = [], TreeTables()
    for _, _, event in trace:
        now.take(event)
        copy = TreeTables(list(now.live), now.merging, now.into, now.fresh, list(now.dead))
        found.append(copy)
    return found


# ── one moment ──────────────────────────────────────────────────────────────────────────────────

LEFT, WIDE = 66, 690


def level_summary(history: TraceHistory, step: int) -> str:
    """Return in words what tables there are after ``step``."""
    return str(tables_over_time(history.trace)[step])


def levels_view(history: TraceHistory, step: int) -> str:
    """Draw the tables of a tree after ``step`` of its trace; all steps are drawn to one scale."""
    found = tables_over_time(history.trace)
    written = [step.event for step in history.trace if isinstance(step.event, TableWritten)]
    keys = {_key(key) for event in written for key in (event.first_key, event.last_key)}
    flushed = {step.event.table for step in history.trace if isinstance(step.event, Flushed)}
    smallest = min((event.size for event in written if event.table in flushed), default=1)
    height = max(_height(tables, smallest) for tables in found)
    return _draw(found[step], sorted(keys), smallest, height)


def levels_svg(tables: Sequence[TableMetadata], merging: Sequence[int] = (), into: int = -1) -> str:
    """Draw live tables, in the order in which they are read, and which are to be merged."""
    shown = TreeTables([box_of(info) for info in tables], tuple(merging), into)
    keys = {_key(key) for box in shown.live for key in (box.first, box.last)}
    smallest = min((box.size for box in shown.live), default=1)
    return _draw(shown, sorted(keys), smallest, _height(shown, smallest))


def _height(tables: TreeTables, smallest: int) -> float:
    return 34 + sum(_tall(boxes, smallest) + 5 for _, boxes in tables.rows())


def _tall(boxes: Sequence[TableBox], smallest: int) -> float:
    """Return how high a row is: of one table more where it is larger, on a logarithmic scale."""
    if boxes[0].level or len(boxes) > 1:
        return 22
    return min(20 + 5 * math.log2(max(boxes[0].size / smallest, 1)), 52)


def _draw(tables: TreeTables, keys: list[bytes], smallest: int, height: float) -> str:
    into = f" into level {tables.into}" if tables.into >= 0 else ""
    parts = [svg.legend(LEFT, 14, f"keys in order →    ▼ being merged{into}    ★ new")]
    dead, y = {box.number for box in tables.dead}, 24.0
    step = WIDE / max(len(keys) + 1, 1)
    place = {key: LEFT + at * step for at, key in enumerate(keys)}
    for says, boxes in tables.rows():
        tall = _tall(boxes, smallest)
        parts.append(svg.text(4, y + tall / 2 + 4, says, 12, weight="bold"))
        for box in boxes:
            first, last = _key(box.first), _key(box.last)
            # A span without an end has no last key, which would be before the first.
            ends = place[first], place[keys[-1] if last < first else last] + step
            parts += _box(box, ends, y, tall, _sign(box, tables), box.number in dead)
        total = sum(box.size for box in boxes) / 1024
        parts.append(svg.text(svg.WIDTH - 6, y + tall / 2 + 4, f"{total:,.1f} KiB", 11, "end"))
        y += tall + 5
    return svg.drawing(height, str(tables), parts)


def _sign(box: TableBox, tables: TreeTables) -> str:
    return "▼" if box.number in tables.merging else "★" if box.number in tables.fresh else ""


def _box(
    box: TableBox, ends: tuple[float, float], y: float, tall: float, sign: str, dead: bool
) -> list[str]:
    x, wide = ends[0] + 1, ends[1] - ends[0] - 2
    fill = svg.WHITE if dead else LEVEL_COLOURS[box.level % len(LEVEL_COLOURS)]
    stroke, width = (svg.RED, 3) if sign == "▼" else (svg.BLACK, 1)
    dashes = "5 3" if dead else ""
    says = f"table {box.number}: {box.size:,} bytes, {box.first} to {box.last}"
    name = f"{sign}{box.number}" if wide > 8 * len(f"{sign}{box.number}") else ""
    return [
        svg.rect(
            x,
            y,
            max(wide, 2),
            tall,
            fill,
            stroke,
            width=width,
            dashes=dashes,
            rounded=2,
            title=says,
        ),
        svg.text(x + wide / 2, y + tall / 2 + 4, name, 12, "middle"),
    ]
