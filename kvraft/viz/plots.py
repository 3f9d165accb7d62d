"""A trace as figures: each function takes a trace and returns a matplotlib figure.

A figure is titled by its conclusion, with numbers computed from the trace.  Colours are from the
palette of Okabe and Ito, which stay apart for colour-blind eyes; labels, hatches and line styles
say the same again.  No global state of matplotlib is touched, so a figure is shown once, by whoever
was given it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvraft.events import Marks, Trace
from kvraft.viz import series

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
RED = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#BBBBBB"

TERM_COLOURS = (ORANGE, SKY, GREEN, PURPLE, YELLOW, BLUE)
MEMBER_LINES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"), (BLACK, "-"))


def term_colour(term: int) -> str:
    """Return the colour of a term; the term's number is always shown with it."""
    return TERM_COLOURS[(term - 1) % len(TERM_COLOURS)]


def plot_leaders(trace: Trace) -> Figure:
    """Draw who led when: one lane a member, a bar a leadership, hatched where it was down."""
    members = series.members_of(trace)
    spans = series.leaderships(trace)
    figure, (axes,) = _figure(1, height=1.2 + 0.45 * len(members))
    for lane, member in enumerate(members):
        for _, term, start, end in (span for span in spans if span.member == member):
            axes.barh(
                lane,
                _s(end - start),
                left=_s(start),
                height=0.6,
                color=term_colour(term),
                edgecolor=BLACK,
                linewidth=0.8,
            )
            axes.text(_s((start + end) // 2), lane, f"term {term}", ha="center", va="center")
        for _, start, end in (span for span in series.downtimes(trace) if span.member == member):
            axes.barh(
                lane,
                _s(end - start),
                left=_s(start),
                height=0.6,
                color="white",
                edgecolor=GREY,
                hatch="////",
                linewidth=0.8,
            )
            axes.text(_s(end), lane, " was down", ha="left", va="center", fontsize="small")
    axes.set_yticks(range(len(members)), members)
    axes.set_ylim(len(members) - 0.4, -0.6)
    axes.set_xlim(0, _s(series.end_of(trace)))
    axes.set_xlabel("virtual time (s)")
    terms = len({span.term for span in spans})
    without = series.leaderless(trace) / 1e6
    _title(
        figure,
        f"{_count(len(spans), 'leadership')} in {_count(terms, 'term')}: "
        f"nobody led for {without:.2f} s of {_s(series.end_of(trace)):.1f} s",
    )
    return figure


def plot_marks(trace: Trace, members: Sequence[str] | None = None) -> Figure:
    """Draw the five marks over time, one panel a member, in log indexes.

    Between two marks lies what is in the log only for the tree, in the memtable, or not committed.
    """
    names = list(members or series.members_of(trace))
    figure, panels = _figure(len(names), height=2.0 + 1.7 * len(names))
    for axes, name in zip(panels, names, strict=True):
        _draw_marks(axes, series.marks(trace, name), series.end_of(trace))
        axes.set_ylabel(f"{name}\nlog index")
    panels[0].legend(loc="upper left", ncols=2, fontsize="small", framealpha=1)
    panels[-1].set_xlabel("virtual time (s)")
    last = max(
        (m.marks.last for name in names for m in series.marks(trace, name) if m.marks), default=0
    )
    kept = max(
        (
            m.marks.last - m.marks.first + 1
            for name in names
            for m in series.marks(trace, name)
            if m.marks
        ),
        default=0,
    )
    _title(
        figure, f"The log grows to {last:,} entries, but no member ever keeps more than {kept:,}"
    )
    return figure


def _draw_marks(axes: Axes, changes: Sequence[series.MarksAt], end: int) -> None:
    """Draw the bands between the marks; where the member is down there is nothing to draw."""
    for number, run in enumerate(_runs(changes, end)):
        times = [_s(at) for at, _ in run]

        def line(name: str, run: Sequence[tuple[int, Marks]] = run) -> list[int]:
            return [getattr(marks, name) for _, marks in run]

        def label(text: str, number: int = number) -> str:
            return text if number == 0 else "_nolegend_"

        axes.fill_between(
            times,
            line("first"),
            line("flushed"),
            step="post",
            color=GREEN,
            alpha=0.45,
            label=label("in tables and still in the log"),
            linewidth=0,
        )
        axes.fill_between(
            times,
            line("flushed"),
            line("applied"),
            step="post",
            color=SKY,
            alpha=0.8,
            label=label("in the memtable"),
            linewidth=0,
        )
        axes.fill_between(
            times,
            line("applied"),
            line("last"),
            step="post",
            color=RED,
            label=label("not applied yet"),
            linewidth=0,
        )
        axes.step(
            times,
            line("first"),
            where="post",
            color=GREEN,
            linestyle="--",
            linewidth=1.2,
            label=label("first: cut below"),
        )
        axes.step(
            times, line("flushed"), where="post", color=BLUE, linewidth=1.0, label=label("flushed")
        )
        axes.step(
            times, line("last"), where="post", color=BLACK, linewidth=1.2, label=label("last")
        )
    axes.set_xlim(0, _s(end))
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
    """Draw the log segments alive over time: a bar from when each was begun to when it was cut."""
    names = list(members or series.members_of(trace))
    figure, panels = _figure(len(names), height=1.6 + 1.8 * len(names))
    end = series.end_of(trace)
    for axes, name in zip(panels, names, strict=True):
        for life in series.segments(trace, name):
            sealed = life.sealed if life.sealed is not None else end
            gone = life.dropped if life.dropped is not None else end
            axes.barh(
                life.segment,
                _s(sealed - life.opened),
                left=_s(life.opened),
                height=0.8,
                color=ORANGE,
                linewidth=0,
            )
            axes.barh(
                life.segment,
                _s(gone - sealed),
                left=_s(sealed),
                height=0.8,
                color=BLUE,
                linewidth=0,
            )
        for _, start, stop in (span for span in series.downtimes(trace) if span.member == name):
            axes.axvspan(
                _s(start), _s(stop), facecolor="none", edgecolor=GREY, hatch="////", linewidth=0
            )
        axes.set_xlim(0, _s(end))
        axes.set_ylabel(f"{name}\nsegment")
        axes.grid(alpha=0.3)
    panels[0].barh([0], [0], color=ORANGE, label="being written")
    panels[0].barh([0], [0], color=BLUE, label="sealed, still needed")
    panels[0].fill_between([], [], facecolor="none", edgecolor=GREY, hatch="////", label="down")
    panels[0].legend(loc="lower right", fontsize="small", framealpha=1)
    panels[-1].set_xlabel("virtual time (s)")
    total = sum(len(series.segments(trace, name)) for name in names)
    most = max((count for name in names for _, count in series.alive(trace, name)), default=0)
    _title(figure, f"{total} log segments were written, but never more than {most} lay on one disk")
    return figure


def plot_sizes(trace: Trace) -> Figure:
    """Draw the memtable of each member over time, and below the tables of all."""
    names = series.members_of(trace)
    figure, panels = _figure(len(names) + 1, height=2.4 + 1.2 * len(names))
    end = series.end_of(trace)
    peak = flushes = 0
    tables = panels[-1]
    for axes, name, (colour, style) in zip(panels, names, MEMBER_LINES * len(names), strict=False):
        changes = series.sizes(trace, name) or [series.SizeAt(0, 0, 0, 0)]
        changes.append(changes[-1]._replace(at=end))
        times = [_s(size.at) for size in changes]
        memtable = [size.memtable / 1024 for size in changes]
        axes.fill_between(times, memtable, step="post", color=colour, alpha=0.6, linewidth=0)
        axes.set_ylabel(f"{name}\nmemtable\n(KiB)")
        total = [size.tables / 1024 for size in changes]
        tables.step(times, total, where="post", color=colour, linestyle=style, label=name)
        peak = max(peak, *(size.memtable for size in changes))
        flushes += changes[-1].table_count
    for axes in panels:
        axes.set_xlim(0, _s(end))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    tables.set_ylabel("SSTables\n(KiB)")
    tables.set_xlabel("virtual time (s)")
    tables.legend(loc="upper left", ncols=len(names), framealpha=1)
    limit = f"{peak / 1024:,.0f} KiB"
    _title(figure, f"{flushes} flushes: no memtable grows above {limit}, the tables take over")
    return figure


ALL: dict[str, Callable[[Trace], Figure]] = {
    "leaders": plot_leaders,
    "marks": plot_marks,
    "segments": plot_segments,
    "sizes": plot_sizes,
}
"""The four pictures of the tour, by name."""


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure, list(axes[:, 0])


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontsize="large", fontweight="bold", x=0.01, ha="left")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _s(microseconds: int) -> float:
    return microseconds / 1e6
