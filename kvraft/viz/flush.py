"""A member's memory, tables and log beside each other: how a flush trades one for the other.

:func:`flush_view` draws one moment of a trace, a picture like those of ``views.py``::

    log      ▓▓▓▓│▓▓▓▓│▒▒▒▒│▒▒▒▒│□□       segments: flushed, needed by the tree, being written
    memory   ▒▒▒▒▒▒▒▒□□□□   ▒▒  ▒▒        the memtable, and those frozen that wait
    tables   0: 7 6 5    1: 4             by level

The figures are of numbers measured by :class:`~kvraft.sim.alone.Alone`: :func:`plot_calls` which
calls to the disk a flush makes, in their order; :func:`plot_saw_tooth` what is held in memory and
in the log, write by write; :func:`plot_paces` and :func:`plot_pressure` what becomes of that if
long work is slow.

As in ``plots.py`` and ``views.py``: titles are computed, equal input gives equal pictures, and what
colour says, a shape or a word says too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvraft.check.crashes import Call
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import (
    Applied,
    Compacted,
    Crashed,
    Event,
    Failed,
    Flushed,
    Installed,
    Marks,
    MemtableFrozen,
    TableWritten,
    Trace,
    TreeOpened,
)
from kvraft.sim.alone import Gauge
from kvraft.viz.plots import BLACK, BLUE, GREY, MEMBER_LINES, ORANGE, PURPLE, RED, SKY, titled
from kvraft.viz.state import EMPTY, History, Segment
from kvraft.viz.views import WIDTH, _n, _svg, _text

# ── one moment ──────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Shelf:
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
            case Applied():
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
            case Installed():
                self._lose_memory()
                self.tables = []
                self._live(event.tables, 0)
            case Crashed() | Failed():
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


def shelves(trace: Trace, step: int) -> dict[str, Shelf]:
    """Return what every member has after ``step`` of ``trace``."""
    found: dict[str, Shelf] = {}
    for _, who, event in trace[: step + 1]:
        if who:
            found.setdefault(who, Shelf()).take(event)
    return found


LEFT, WIDE, TALL = 66, 770, 178
FLUSHED, NEEDED, ACTIVE = GREY, SKY, "#FFFFFF"


def flush_view(history: History, step: int) -> str:
    """Draw log, memory and tables of each member after ``step``.

    Lengths are to scale over the whole history: the log in entries, memory in bytes.
    """
    found = shelves(history.trace, step)
    marks = [event for _, _, event in history.trace if isinstance(event, Marks)]
    longest = max((event.last - event.first + 1 for event in marks), default=1)
    parts: list[str] = []
    says = []
    for row, (name, member) in enumerate(history.at(step).members.items()):
        shelf, top = found.get(name, Shelf()), 8 + TALL * row
        parts += _log(name, member.segments, shelf.marks, top, longest)
        parts += _memory(shelf, top + 72, max(history.memtable_peak, 1))
        parts += _tables(shelf, top + 124)
        says.append(f"{name}: {_words(shelf, len(member.segments))}")
    height = 8 + TALL * len(says) + 12
    legend = "log: grey flushed, blue still needed by the tree, white being written"
    parts.append(_text(LEFT, height - 6, legend, 11, colour="#333333"))
    return _svg(height, " ".join(says), parts)


def _words(shelf: Shelf, segments: int) -> str:
    return (
        f"{counted(segments, 'log segment')}, flushed through {shelf.marks.flushed}, a memtable of "
        f"{counted(shelf.size, 'byte')}, {len(shelf.frozen)} waiting, "
        f"{counted(len(shelf.tables), 'table')}."
    )


def _log(
    name: str, segments: Sequence[Segment], marks: Marks, top: float, longest: int
) -> list[str]:
    """Draw the segments, the oldest at the left edge, and the flushed mark as a flag."""
    scale = WIDE / max(longest, 1)
    first = min(marks.first, segments[0].first) if segments else marks.first
    parts = [_text(6, top + 14, name, weight="bold"), _text(6, top + 44, "log", 11)]
    for segment in segments:
        last = marks.last if segment.last is None else segment.last
        wide = max((last + 1 - segment.first) * scale, 3)
        x, fill = LEFT + (segment.first - first) * scale, NEEDED
        if segment.last is None:
            fill = ACTIVE
        elif last <= marks.flushed:
            fill = FLUSHED
        parts.append(
            f'<rect x="{_n(x)}" y="{_n(top + 28)}" width="{_n(wide)}" height="26" fill="{fill}"'
            f' stroke="#000000"><title>segment {segment.number}: entries {segment.first} to {last}'
            "</title></rect>"
        )
        if wide >= 18:
            parts.append(_text(x + wide / 2, top + 45, str(segment.number), 11, "middle"))
    flag = LEFT + min(max(marks.flushed + 1 - first, 0), longest) * scale
    parts.append(
        f'<line x1="{_n(flag)}" y1="{_n(top + 6)}" x2="{_n(flag)}" y2="{_n(top + 60)}"'
        ' stroke="#D55E00" stroke-width="3"/>'
    )
    side, anchor = (flag + 5, "start") if flag < WIDTH / 2 else (flag - 5, "end")
    words = f"flushed {marks.flushed:,}"
    parts.append(_text(side, top + 16, words, 11, anchor, colour="#8A3B00"))
    ends = f"entries {marks.first:,} to {marks.last:,}"
    at = (WIDTH - 12, "end") if flag < WIDTH / 2 else (LEFT, "start")
    parts.append(_text(at[0], top + 16, ends, 11, at[1]))
    return parts


def _memory(shelf: Shelf, top: float, peak: int) -> list[str]:
    """Draw the memtable in a frame as long as the largest there ever was, then those that wait."""
    frame = 250
    filled = min(shelf.size / peak, 1) * frame
    parts = [
        _text(6, top + 17, "memory", 11),
        f'<rect x="{LEFT}" y="{_n(top)}" width="{_n(filled)}" height="26" fill="{ORANGE}"/>',
        f'<rect x="{LEFT}" y="{_n(top)}" width="{frame}" height="26" fill="none" stroke="#000"/>',
        _text(
            LEFT,
            top + 39,
            f"memtable: {counted(shelf.rows, 'key')}, {counted(shelf.size, 'byte')}",
            11,
        ),
    ]
    x = LEFT + frame + 24.0
    for size, through in shelf.frozen[:4]:
        wide = max(size / peak * 100, 4)
        parts.append(
            f'<rect x="{_n(x)}" y="{_n(top)}" width="{_n(wide)}" height="26" fill="{PURPLE}"'
            ' stroke="#000000" stroke-dasharray="4 2"/>'
        )
        parts.append(_text(x, top + 39, f"frozen, to {through:,}", 11))
        x += 112
    if len(shelf.frozen) > 4:
        parts.append(_text(x, top + 17, f"+{len(shelf.frozen) - 4}", 11))
    return parts


def _tables(shelf: Shelf, top: float) -> list[str]:
    parts = [_text(6, top + 17, "tables", 11)]
    x = float(LEFT)
    for level in sorted({level for _, level, _ in shelf.tables}):
        of_level = [table for table in shelf.tables if table[1] == level]
        parts.append(_text(x, top + 17, f"level {level}:", 11))
        x += 52
        for number, _, size in of_level[:10]:
            parts.append(
                f'<rect x="{_n(x)}" y="{_n(top)}" width="26" height="26" fill="#009E73"'
                f' stroke="#000000"><title>table {number}: {counted(size, "byte")}</title></rect>'
            )
            parts.append(_text(x + 13, top + 17, str(number), 11, "middle"))
            x += 30
        x += 18
    if not shelf.tables:
        parts.append(_text(LEFT, top + 17, "none", 11))
    return parts


# ── the calls of a flush ────────────────────────────────────────────────────────────────────────

LANES = ("table", "directory", "manifest", "log")
MARKERS = {
    "create": ("s", SKY),
    "append": ("o", ORANGE),
    "sync": ("^", BLUE),
    "truncate": ("v", BLACK),
    "rename": ("D", PURPLE),
    "remove": ("x", RED),
}


def plot_calls(calls: Sequence[Call]) -> Figure:
    """Draw the calls to a disk in their order, one lane for each kind of file."""
    if not calls:
        raise BadInput("there is nothing to draw: the disk was not called")
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    axes = figure.subplots()
    for kind, (marker, colour) in MARKERS.items():
        at = [n for n, call in enumerate(calls, 1) if call.kind.removesuffix("_dir") == kind]
        rows = [LANES.index(calls[n - 1].part) for n in at]
        if at:
            axes.scatter(at, rows, s=90, marker=marker, color=colour, label=kind, zorder=3)
    for row in range(len(LANES)):
        axes.axhline(row, color=GREY, lw=0.8, zorder=1)
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(len(LANES) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("calls to the disk, in order")
    figure.legend(loc="outside lower center", ncols=len(MARKERS), fontsize="small")
    return titled(figure, _order(calls))


def _order(calls: Sequence[Call]) -> str:
    """Say at which calls table and manifest were durable, and when the log was cut."""
    steps = [("table synced", "sync", "table"), ("manifest synced", "sync", "manifest")]
    steps += [("log cut", "remove", "log")]
    parts = []
    for says, kind, where in steps:
        at = [n for n, call in enumerate(calls, 1) if (call.kind, call.part) == (kind, where)]
        if at:
            parts.append(f"{says} at call {at[0]}")
    text = ", ".join(parts) or "no table, no manifest and no cut"
    return text[0].upper() + text[1:]


# ── what is held, write by write ────────────────────────────────────────────────────────────────


def plot_saw_tooth(gauges: Sequence[Gauge], memtable_bytes: int, log_bytes: int) -> Figure:
    """Draw what is held in memory, and below it in the log; the limits are dashed lines."""
    figure, (memory, log) = _panels(gauges, 2, 5.2)
    writes = [gauge.writes for gauge in gauges]
    held = [[_kib(gauge.memtable) for gauge in gauges], [_kib(gauge.frozen) for gauge in gauges]]
    memory.stackplot(writes, held, labels=["memtable", "frozen"], colors=[ORANGE, PURPLE], lw=0)
    kept = [[_kib(gauge.sealed) for gauge in gauges], [_kib(gauge.active) for gauge in gauges]]
    log.stackplot(writes, kept, labels=["sealed", "being written"], colors=[SKY, GREY], lw=0)
    full = max(_kib(gauge.memtable) for gauge in gauges)
    longest = max(_kib(gauge.log) for gauge in gauges)
    together = max(_kib(gauge.memtable + gauge.frozen) for gauge in gauges)
    limits = ((memory, _kib(memtable_bytes), together), (log, _kib(log_bytes), longest))
    for axes, limit, peak in limits:
        axes.axhline(limit, color=BLACK, ls="--", lw=1, label="limit")
        axes.set_ylim(0, 1.3 * max(limit, peak))  # room for the legend
    for at in _flushes(gauges):
        for axes in (memory, log):
            axes.axvline(at, color=BLUE, lw=0.8, ls=":")
    memory.set_ylabel("memory (KiB)")
    log.set_ylabel("log held (KiB)")
    for axes in (memory, log):
        axes.legend(loc="upper left", ncols=3, fontsize="small", framealpha=0.9)
    log.set_xlabel("writes; dotted: a flush is done")
    flushes = len(_flushes(gauges))
    return titled(
        figure,
        f"{flushes} flush{'' if flushes == 1 else 'es'}: no memtable above {full:.1f} KiB, "
        f"never more than {longest:.1f} KiB of log",
    )


def plot_paces(runs: Mapping[str, Sequence[Gauge]], log_bytes: int) -> Figure:
    """Draw the log held and the memtables waiting for the same writes at several paces of work."""
    if not runs:
        raise BadInput("there is nothing to draw: nothing was measured")
    figure, (log, queue) = _panels(next(iter(runs.values())), 2, 5.2)
    for (name, gauges), (colour, style) in zip(runs.items(), MEMBER_LINES * 9, strict=False):
        writes = [gauge.writes for gauge in gauges]
        log.plot(writes, [_kib(g.log) for g in gauges], color=colour, ls=style, label=name)
        waiting = [gauge.waiting for gauge in gauges]
        queue.step(writes, waiting, where="post", color=colour, ls=style)
    log.axhline(_kib(log_bytes), color=GREY, ls="--", lw=1)
    log.set(ylabel="log held (KiB)", ylim=(0, None))
    log.legend(loc="upper left", fontsize="small", title="slices of work a write")
    queue.set(ylabel="memtables waiting", xlabel="writes", ylim=(0, None))
    queue.yaxis.set_major_locator(MaxNLocator(integer=True))
    peaks = {name: max(_kib(gauge.log) for gauge in gauges) for name, gauges in runs.items()}
    low, high = min(peaks, key=peaks.__getitem__), max(peaks, key=peaks.__getitem__)
    return titled(
        figure,
        f"Log held at the most: {peaks[low]:.0f} KiB at a pace of {low}, "
        f"{peaks[high]:.0f} KiB at {high}",
    )


def plot_pressure(measured: Mapping[str, Sequence[tuple[int, float, int]]]) -> Figure:
    """Draw pressure and waiting memtables over writes; ``measured[name]`` is writes, pressure,
    and how many writers had to stall by then.
    """
    if not measured or not all(measured.values()):
        raise BadInput("there is nothing to draw: nothing was measured")
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for (name, points), (colour, style) in zip(measured.items(), MEMBER_LINES * 9, strict=False):
        writes, pressure, stalls = zip(*points, strict=True)
        above.step(writes, pressure, where="post", color=colour, ls=style, label=name)
        below.step(writes, stalls, where="post", color=colour, ls=style)
    above.axhline(1, color=GREY, ls="--", lw=1)
    above.set(ylabel="pressure", ylim=(0, None))
    below.set(ylabel="stalls so far", xlabel="writes", ylim=(0, None))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    above.legend(loc="upper left", fontsize="small")
    peaks = {name: max(pressure for _, pressure, _ in points) for name, points in measured.items()}
    told = [f"{peak:.1f} ({name})" for name, peak in peaks.items()]
    return titled(figure, f"Highest pressure: {', '.join(told)}")


def _flushes(gauges: Sequence[Gauge]) -> list[int]:
    """Return after which writes the flushed mark had moved."""
    return [after.writes for before, after in pairwise(gauges) if after.flushed > before.flushed]


def _panels(gauges: Sequence[Gauge], count: int, height: float) -> tuple[Figure, list[Axes]]:
    if not gauges:
        raise BadInput("there is nothing to draw: nothing was measured")
    figure = Figure(figsize=(9, height), layout="constrained")
    panels = list(figure.subplots(count, 1, sharex=True))
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.set_xlim(gauges[0].writes, gauges[-1].writes)
    return figure, panels


def _kib(size: int) -> float:
    return size / 1024
