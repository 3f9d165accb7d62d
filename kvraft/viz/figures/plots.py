"""A run as figures: who led when, the five marks, log segments, and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import Flushed, Marks, Trace
from kvraft.viz.figures.style import MEMBER_LINES, fits, legend, named, one_panel, stacked, titled
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, fill_of
from kvraft.viz.trace import series


def plot_leaders(trace: Trace) -> Figure:
    """Draw who led when: one lane a member, a bar a leadership, hatched where it was down."""
    members = _members(trace)
    spans = series.leaderships(trace)
    end = series.end_of(trace)
    figure, axes = one_panel(0.4 + 0.5 * len(members), grid=False)
    for _, start, stop, lane in _lanes(series.downtimes(trace), members):
        _bar(axes, lane, start, stop, color="white", edgecolor=GREY, hatch="////")
    for term, start, stop, lane in _lanes(spans, members):
        _bar(axes, lane, start, stop, color=fill_of(term), edgecolor=BLACK)
        share = (stop - start) / max(end, 1)
        words = next((text for text in (f"term {term}", str(term)) if fits(text, share)), "")
        middle = _s((start + stop) // 2)
        if words:
            axes.text(middle, lane, words, ha="center", va="center")
        else:  # too narrow to be written in
            axes.text(middle, lane - 0.3, str(term), ha="center", va="bottom")
    axes.set_yticks(range(len(members)), members)
    axes.set_ylim(len(members) - 0.4, -0.6)
    _time_axis(axes, end)
    named(axes, right="virtual time (s); hatched: down")
    terms = len({span.term for span in spans})
    titled(
        figure,
        f"{counted(len(spans), 'leadership')} in {counted(terms, 'term')}: "
        f"nobody led for {series.leaderless(trace) / 1e6:.2f} s of {_s(end):.1f} s",
    )
    return figure


def _lanes(
    spans: Sequence[series.LeaderSpan] | Sequence[series.Downtime], members: Sequence[str]
) -> list[tuple[int, int, int, int]]:
    """Return (term, start, end, lane) of each span; the term of a downtime is 0."""
    return [
        (getattr(span, "term", 0), span.start, span.end, members.index(span.member))
        for span in spans
    ]


def _bar(axes: Axes, y: float, start: int, end: int, **style: Any) -> None:
    axes.barh(y, _s(end - start), left=_s(start), height=0.6, linewidth=0.8, **style)


def plot_marks(trace: Trace, members: Sequence[str] | None = None) -> Figure:
    """Draw the five marks over time, one panel a member, in log indexes.

    Between two marks lies what is in the log only for its followers, what is in the memtable, and
    what is not applied yet.
    """
    names = _members(trace, members)
    end = series.end_of(trace)
    changes = {name: series.marks(trace, name) for name in names}
    figure, panels = stacked([1.1] * (len(names) - 1) + [1.3])
    for axes, name in zip(panels, names, strict=True):
        _draw_marks(axes, changes[name], end)
        _time_axis(axes, end)
        named(axes, f"log of {name} (index)")
    named(panels[-1], right="virtual time (s)")
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[0]))
    if fullest.get_legend_handles_labels()[0]:  # somebody has a log
        legend(figure, fullest)
    known = [change.marks for name in names for change in changes[name] if change.marks]
    last = max((marks.last for marks in known), default=0)
    kept = max((marks.last - marks.first + 1 for marks in known), default=0)
    titled(
        figure, f"The log grows to {last:,} entries, but no member ever keeps more than {kept:,}"
    )
    return figure


BANDS = (
    ("first", "flushed", GREEN, 0.45, "in tables and still in the log"),
    ("flushed", "applied", SKY, 0.8, "in the memtable"),
    ("applied", "last", RED, 1.0, "not applied yet"),
)
LINES = (
    ("first", GREEN, "--", "first: truncated below"),
    ("flushed", BLUE, "-", "flushed"),
    ("committed", PURPLE, ":", "committed"),
    ("last", BLACK, "-", "last"),
)


def _draw_marks(axes: Axes, changes: Sequence[series.MarksAt], end: int) -> None:
    """Draw the bands between the marks; where the member is down there is nothing to draw."""
    for number, run in enumerate(_runs(changes, end)):
        times = [_s(at) for at, _ in run]
        marks = {
            name: [getattr(now, name) for _, now in run]
            for name in ("first", "flushed", "applied", "committed", "last")
        }
        hide = "_" if number else ""  # matplotlib leaves such a label out of the legend
        for low, high, colour, alpha, label in BANDS:
            style: dict[str, Any] = {
                "color": colour,
                "alpha": alpha,
                "label": hide + label,
                "linewidth": 0,
            }
            axes.fill_between(times, marks[low], marks[high], step="post", **style)
        for name, colour, dashes, label in LINES:
            style = {"color": colour, "ls": dashes, "lw": 1.2, "label": hide + label}
            axes.step(times, marks[name], where="post", **style)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _runs(changes: Sequence[series.MarksAt], end: int) -> list[list[tuple[int, Marks]]]:
    """Split the changes where the member was down; a run reaches to the next crash or the end."""
    runs: list[list[tuple[int, Marks]]] = [[]]
    for at, marks in changes:
        if marks is not None:
            runs[-1].append((at, marks))
        elif runs[-1]:
            runs[-1].append((at, runs[-1][-1][1]))
            runs.append([])
    if runs[-1]:
        runs[-1].append((end, runs[-1][-1][1]))
    return [run for run in runs if run]


def plot_segments(trace: Trace, members: Sequence[str] | None = None) -> Figure:
    """Draw the log segments alive over time: a bar from the first entry of each to its removal."""
    names = _members(trace, members)
    figure, panels = stacked([1.1] * (len(names) - 1) + [1.3])
    end = series.end_of(trace)
    for axes, name in zip(panels, names, strict=True):
        for life in series.segments(trace, name):
            sealed = life.sealed if life.sealed is not None else end
            gone = life.dropped if life.dropped is not None else end
            for start, stop, colour in ((life.opened, sealed, ORANGE), (sealed, gone, BLUE)):
                width = _s(stop - start)
                axes.barh(life.segment, width, left=_s(start), color=colour, linewidth=0)
        for _, start, stop in (span for span in series.downtimes(trace) if span.member == name):
            axes.axvspan(_s(start), _s(stop), facecolor="none", edgecolor=GREY, hatch="////", lw=0)
        _time_axis(axes, end)
        named(axes, f"segments of {name}")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(alpha=0.3)
    key = [
        Patch(color=ORANGE, label="being written"),
        Patch(color=BLUE, label="sealed, still needed"),
        Patch(facecolor="none", edgecolor=GREY, hatch="////", linewidth=0, label="down"),
    ]
    named(panels[-1], right="virtual time (s)")
    legend(figure, key)
    total = sum(len(series.segments(trace, name)) for name in names)
    most = max((count for name in names for _, count in series.alive(trace, name)), default=0)
    titled(figure, f"{total} log segments were written, but never more than {most} lay on one disk")
    return figure


def plot_sizes(trace: Trace) -> Figure:
    """Draw the memtable of each member over time, and below the tables of all."""
    names = _members(trace)
    figure, panels = stacked([0.8] * len(names) + [1.2])
    end = series.end_of(trace)
    peak = 0
    flushes = sum(isinstance(e, Flushed) and e.table > 0 for _, _, e in trace)
    tables = panels[-1]
    for axes, name, (colour, style) in zip(panels, names, MEMBER_LINES * len(names), strict=False):
        changes = series.sizes(trace, name) or [series.SizeAt(0, 0, 0, 0)]
        changes.append(changes[-1]._replace(at=end))
        times = [_s(size.at) for size in changes]
        memtable = [size.memtable / 1024 for size in changes]
        axes.fill_between(times, memtable, step="post", color=colour, alpha=0.6, linewidth=0)
        named(axes, f"memtable of {name} (KiB)")
        total = [size.tables / 1024 for size in changes]
        tables.step(times, total, where="post", color=colour, linestyle=style, label=name)
        peak = max(peak, *(size.memtable for size in changes))
    for axes in panels:
        _time_axis(axes, end)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    named(tables, "SSTables (KiB)", "virtual time (s)")
    legend(figure, tables)
    limit = f"{math.ceil(peak / 1024):,} KiB"  # never less than it was
    count = counted(flushes, "flush")
    titled(figure, f"{count}: no memtable grows above {limit}, the tables take over")
    return figure


ALL: dict[str, Callable[[Trace], Figure]] = {
    "leaders": plot_leaders,
    "marks": plot_marks,
    "segments": plot_segments,
    "sizes": plot_sizes,
}
"""The four pictures of the tour, by name."""


def _members(trace: Trace, chosen: Sequence[str] | None = None) -> list[str]:
    """Return which members to draw: all, or those chosen; ``BadInput`` if there are none."""
    known = series.members_of(trace)
    if not known:
        raise BadInput("there is nothing to draw: no member reports anything in this trace")
    for name in chosen or ():
        if name not in known:
            raise BadInput(f"there is no member called {name} in this trace: {', '.join(known)}")
    return list(chosen or known)


def _time_axis(axes: Axes, end: int) -> None:
    axes.set_xlim(0, _s(max(end, 1_000)))


def _s(microseconds: int) -> float:
    return microseconds / 1e6
