"""Tables, level by level, and what a strategy of compaction costs.

:func:`levels_view` draws one moment of a tree's trace, and :func:`levels_svg` any tables::

    level 0   [7 ───────────────────]          newest first, a row each; spans may overlap
              [6 ──────────────]
    level 1   [3 ─────][4 ────────────][5 ─]    one sorted run: one row
    on disk   [1 ──────────]                    live no more, but its file is still there

Lengths are spans of keys; all keys at which a table begins or ends stand at equal distances.
A table of level 0 is the higher the larger it is, so that tiers are seen.  Framed and marked ▼ is
what is being merged, marked ★ what came out last.

The figures are of what :mod:`kvraft.sim.load` measured: :func:`plot_timeline` write by write,
:func:`plot_triangle` as three costs.

As in ``plots.py`` and ``views.py``: titles are computed, equal input gives equal pictures, and what
colour says, a sign or a word says too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kvraft.errors import BadInput
from kvraft.events import (
    Compacted,
    CompactionBegan,
    Event,
    Flushed,
    Step,
    TableRemoved,
    TableWritten,
    Trace,
)
from kvraft.record import label
from kvraft.sim.load import Cost, Sample, cost_of
from kvraft.tableinfo import TableInfo
from kvraft.viz.plots import GREEN, GREY, MEMBER_LINES, ORANGE, PURPLE, SKY, YELLOW, titled
from kvraft.viz.state import History
from kvraft.viz.views import WIDTH, _n, _svg, _text, escape

LEVELS = (ORANGE, SKY, GREEN, PURPLE, YELLOW)
"""Colours of levels; of tables of one level, colours of sizes."""

JUMPS: dict[str, Callable[[Step], bool]] = {
    "next flush": lambda step: isinstance(step.event, Flushed),
    "next pick": lambda step: isinstance(step.event, CompactionBegan),
    "next result": lambda step: isinstance(step.event, Compacted),
}
"""Buttons for a :class:`~kvraft.viz.stepper.Stepper` over a tree's trace."""


def stops(trace: Trace) -> list[int]:
    """Return the steps of a tree's trace at which its tables change."""
    kinds = Flushed, CompactionBegan, Compacted
    return [number for number, step in enumerate(trace) if isinstance(step.event, kinds)]


# ── which tables there are ──────────────────────────────────────────────────────────────────────


class Box(NamedTuple):
    """One table as a picture shows it; ``first`` and ``last`` are keys, as text."""

    number: int
    level: int
    size: int
    first: str
    last: str


def box_of(info: TableInfo) -> Box:
    """Return the picture of a table."""
    last = label(info.stop.removesuffix(b"\0"))
    return Box(info.number, info.level, info.size, label(info.start), last)


@dataclass(slots=True)
class Shelf:
    """The tables of a tree, level 0 newest first, as its own events tell.

    ``merging`` are the numbers of those being merged and ``into`` the level that the result goes
    to, -1 if nothing is merged; ``fresh`` is what the last event brought; ``dead`` are live no
    more, but their files are there.
    """

    live: list[Box] = field(default_factory=list)
    merging: tuple[int, ...] = ()
    into: int = -1
    fresh: tuple[int, ...] = ()
    dead: list[Box] = field(default_factory=list)
    written: dict[int, Box] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Change by one event."""
        match event:
            case TableWritten():
                box = Box(event.table, 0, event.size, event.first_key, event.last_key)
                self.written[event.table] = box
            case Flushed(table=number) if number:
                self.live.insert(0, self.written.pop(number))
                self.fresh = (number,)
            case CompactionBegan():
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

    def rows(self) -> list[tuple[str, list[Box]]]:
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
        text = ", ".join(f"{count} on level {level}" for level, count in counts.items())
        text = f"tables: {text or 'none'}"
        if self.merging:
            text += f"; {_numbers(self.merging)} are merged into level {self.into}"
        if self.dead:
            text += f"; {_numbers(tuple(box.number for box in self.dead))} on disk only"
        return text + "."


def _packed(boxes: Sequence[Box]) -> list[list[Box]]:
    """Return ``boxes`` in as few rows as the first place that is free gives."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: _key(box.first)):
        free = [row for row in rows if _key(row[-1].last) < _key(box.first)]
        if free:
            free[0].append(box)
        else:
            rows.append([box])
    return rows


def _place(box: Box) -> tuple[int, bytes]:
    return box.level, _key(box.first)


def _key(text: str) -> bytes:
    """Return the key that ``label`` made a text of."""
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def _numbers(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def shelves(trace: Trace) -> list[Shelf]:
    """Return what a tree has after each step of its trace, which begins with an empty tree."""
    found, now = [], Shelf()
    for _, _, event in trace:
        now.take(event)
        copy = Shelf(list(now.live), now.merging, now.into, now.fresh, list(now.dead))
        found.append(copy)
    return found


# ── one moment ──────────────────────────────────────────────────────────────────────────────────

LEFT, WIDE = 66, 690


def summary(history: History, step: int) -> str:
    """Return in words what tables there are after ``step``."""
    return str(shelves(history.trace)[step])


def levels_view(history: History, step: int) -> str:
    """Draw the tables of a tree after ``step`` of its trace; all steps are drawn to one scale."""
    found = shelves(history.trace)
    written = [step.event for step in history.trace if isinstance(step.event, TableWritten)]
    keys = {_key(text) for event in written for text in (event.first_key, event.last_key)}
    flushed = {step.event.table for step in history.trace if isinstance(step.event, Flushed)}
    smallest = min((event.size for event in written if event.table in flushed), default=1)
    height = max(_height(shelf, smallest) for shelf in found)
    return _draw(found[step], sorted(keys), smallest, height)


def levels_svg(tables: Sequence[TableInfo], merging: Sequence[int] = (), into: int = -1) -> str:
    """Draw live tables, in the order in which they are read, and which are to be merged."""
    shelf = Shelf([box_of(info) for info in tables], tuple(merging), into)
    keys = {_key(text) for box in shelf.live for text in (box.first, box.last)}
    smallest = min((box.size for box in shelf.live), default=1)
    return _draw(shelf, sorted(keys), smallest, _height(shelf, smallest))


def _height(shelf: Shelf, smallest: int) -> float:
    return 34 + sum(_tall(boxes, smallest) + 5 for _, boxes in shelf.rows())


def _tall(boxes: Sequence[Box], smallest: int) -> float:
    """Return how high a row is: of one table more where it is larger, on a logarithmic scale."""
    if boxes[0].level or len(boxes) > 1:
        return 22
    return min(20 + 5 * math.log2(max(boxes[0].size / smallest, 1)), 52)


def _draw(shelf: Shelf, keys: list[bytes], smallest: int, height: float) -> str:
    into = f" into level {shelf.into}" if shelf.into >= 0 else ""
    legend = f"keys in order →    ▼ being merged{into}    ★ new"
    parts = [_text(LEFT, 14, legend, 11, colour="#333333")]
    dead, y = {box.number for box in shelf.dead}, 24.0
    step = WIDE / max(len(keys) + 1, 1)
    place = {key: LEFT + at * step for at, key in enumerate(keys)}
    for says, boxes in shelf.rows():
        tall = _tall(boxes, smallest)
        parts.append(_text(4, y + tall / 2 + 4, says, 12, weight="bold"))
        for box in boxes:
            first, last = _key(box.first), _key(box.last)
            # A span without an end has no last key, which would be before the first.
            ends = place[first], place[keys[-1] if last < first else last] + step
            parts += _box(box, ends, y, tall, _sign(box, shelf), box.number in dead)
        total = sum(box.size for box in boxes) / 1024
        parts.append(_text(WIDTH - 6, y + tall / 2 + 4, f"{total:,.1f} KiB", 11, "end"))
        y += tall + 5
    return _svg(height, str(shelf), parts)


def _sign(box: Box, shelf: Shelf) -> str:
    return "▼" if box.number in shelf.merging else "★" if box.number in shelf.fresh else ""


def _box(
    box: Box, ends: tuple[float, float], y: float, tall: float, sign: str, dead: bool
) -> list[str]:
    x, wide = ends[0] + 1, ends[1] - ends[0] - 2
    fill = "#FFFFFF" if dead else LEVELS[box.level % len(LEVELS)]
    stroke = "#D55E00" if sign == "▼" else "#000000"
    style = f'stroke="{stroke}" stroke-width="{3 if sign == "▼" else 1}"'
    dashes = ' stroke-dasharray="5 3"' if dead else ""
    says = f"table {box.number}: {box.size:,} bytes, {box.first} to {box.last}"
    text = f"{sign}{box.number}"
    return [
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(wide, 2))}" height="{_n(tall)}" rx="2"'
        f' fill="{fill}" {style}{dashes}><title>{escape(says)}</title></rect>',
        _text(x + wide / 2, y + tall / 2 + 4, text if wide > 8 * len(text) else "", 12, "middle"),
    ]


# ── what it costs ───────────────────────────────────────────────────────────────────────────────


def plot_timeline(runs: Mapping[str, Sequence[Sample]]) -> Figure:
    """Draw for each run its sorted runs over time, and below them the three amplifications of all.

    A band is a sorted run, as high as its bytes, the oldest lowest.  Raises ``BadInput`` if there
    is nothing to draw.
    """
    if not all(any(sample.runs for sample in samples) for samples in runs.values()) or not runs:
        raise BadInput("there is nothing to draw: there never was a table")
    figure = Figure(figsize=(9, 4.6 + 1.7 * len(runs)), layout="constrained")
    heights = [1.4] * len(runs) + [1] * 3
    axes = figure.subplots(len(runs) + 3, 1, sharex=True, height_ratios=heights)
    most = max(_total(sample) for samples in runs.values() for sample in samples)
    for panel, (name, samples) in zip(axes, runs.items(), strict=False):
        for part in _bands(samples):
            panel.add_collection(part)
        panel.set(ylabel=f"{name}\ntables (KiB)", ylim=(0, 1.05 * most))
    levels = max(level for samples in runs.values() for each in samples for level, _ in each.runs)
    key = [Patch(color=LEVELS[level], label=f"level {level}") for level in range(levels + 1)]
    axes[0].legend(handles=key, loc="upper left", ncols=levels + 1, fontsize="small")
    for panel, cost in zip(axes[len(runs) :], Cost._fields, strict=True):
        for (name, samples), (colour, style) in zip(runs.items(), MEMBER_LINES * 9, strict=False):
            times, values = _line(samples, cost)
            panel.plot(times, values, color=colour, ls=style, lw=1.2, label=name)
        panel.set(ylabel=f"{cost}\namplification", ylim=(0, None))
        panel.grid(alpha=0.3)
    axes[len(runs)].legend(loc="lower right", fontsize="small", ncols=len(runs))
    axes[-1].set(xlabel="writes", xlim=(0, max(each[-1].writes for each in runs.values())))
    return titled(figure, _ends(runs))


def _line(samples: Sequence[Sample], cost: str) -> tuple[list[int], list[float]]:
    """Return times and values of one amplification, from when there was a table on."""
    full = [sample for sample in samples if sample.runs]
    return [sample.writes for sample in full], [getattr(sample, cost) for sample in full]


def _total(sample: Sample) -> float:
    return sum(size for _, size in sample.runs) / 1024


def _bands(samples: Sequence[Sample]) -> tuple[PolyCollection, LineCollection]:
    """Return the sorted runs over time, and the lines on top of them.

    A table of level 0 is the darker the larger it is.
    """
    shapes, lines, colours = [], [], []
    smallest = min((size for each in samples for _, size in each.runs), default=1)
    ends = [sample.writes for sample in samples[1:]] + [samples[-1].writes]
    for runs, group in groupby(zip(samples, ends, strict=True), lambda pair: pair[0].runs):
        pairs = list(group)
        left, right, low = pairs[0][0].writes, pairs[-1][1], 0.0
        for level, size in runs:
            high = low + size / 1024
            shapes.append([(left, low), (left, high), (right, high), (right, low)])
            lines.append([(left, high), (right, high)])
            dark = 1.0 if level else min(0.35 + 0.13 * math.log2(size / smallest), 1.0)
            colours.append(to_rgba(LEVELS[level % len(LEVELS)], dark))
            low = high
    return (
        PolyCollection(shapes, facecolors=colours, edgecolors="none"),
        LineCollection(lines, colors="#000000", linewidths=0.5),
    )


def _ends(runs: Mapping[str, Sequence[Sample]]) -> str:
    """Say what each run cost."""
    told = []
    for name, samples in runs.items():
        cost = cost_of(samples)
        told.append(
            f"{name}: {cost.write:.1f} bytes written for each put in, {cost.read:.1f} blocks a "
            f"read, {cost.space:.1f} bytes held for each alive"
        )
    return "\n".join(told)


def plot_triangle(costs: Mapping[str, Cost]) -> Figure:
    """Draw the three amplifications of each run as a triangle: the smaller, the better.

    Each corner lies as far out as the worst of all runs, the middle is 0.
    """
    if not costs:
        raise BadInput("there is nothing to draw: nothing was measured")
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    axes = figure.subplots()
    worst = [max(cost[at] for cost in costs.values()) or 1.0 for at in range(3)]
    spokes = [math.radians(angle) for angle in (90, 210, 330)]
    for at, (name, angle) in enumerate(zip(Cost._fields, spokes, strict=True)):
        x, y = math.cos(angle), math.sin(angle)
        axes.plot([0, x], [0, y], color=GREY, lw=1)
        for part in (0.5, 1.0):  # beside the spoke
            side, ends = (-0.06, "right") if x < -0.1 else (0.06, "left")
            where = part * x + side, part * y + 0.04
            text = axes.text(*where, f"{part * worst[at]:.1f}", va="center", ha=ends, zorder=9)
            text.set(fontsize="small", bbox={"facecolor": "#FFFFFF", "edgecolor": "none", "pad": 1})
        axes.text(x, 1.1 * y - 0.07 * (y < 0), f"{name} amplification", ha="center", weight="bold")
    for (name, cost), (colour, style) in zip(costs.items(), MEMBER_LINES * 9, strict=False):
        _triangle(axes, cost, worst, spokes, colour=colour, style=style, name=name)
    axes.set(xlim=(-1.4, 1.4), ylim=(-0.75, 1.2), aspect="equal")
    axes.axis("off")
    axes.legend(loc="upper right")
    best = [min(costs, key=lambda name: costs[name][at]) for at in range(3)]
    if len(set(best)) == 1:
        return titled(figure, f"{best[0]} is lowest in all three")
    told = [f"{cost}: {name}" for cost, name in zip(Cost._fields, best, strict=True)]
    return titled(figure, f"None is lowest in all three. Lowest {'; '.join(told)}")


def _triangle(
    axes: Axes,
    cost: Cost,
    worst: Sequence[float],
    spokes: Sequence[float],
    *,
    colour: str,
    style: str,
    name: str,
) -> None:
    shares = [value / most for value, most in zip(cost, worst, strict=True)]
    corners = [(s * math.cos(a), s * math.sin(a)) for s, a in zip(shares, spokes, strict=True)]
    xs, ys = zip(*corners, corners[0], strict=True)
    axes.plot(xs, ys, color=colour, ls=style, lw=2, label=name, marker="o", ms=4)
