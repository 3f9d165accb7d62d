"""The log over time: the lifetime of each segment, what pinned it last, and what that costs.

:func:`plot_bands` draws time against index, a band for each segment::

    index │                     ┌──────        ┆ last
          │             ┌───────┤▓▓▓▓▓▓▓▓▓▓    white: being written
          │     ┌───────┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓      then the colour of what pins it
          │─────┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░         until it is gone
          └───────────────────────────────── time

:func:`plot_log_bytes` draws how many bytes that is, and the budget; :func:`plot_catching_up` what
it costs to bring a follower back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kvraft.display import counted
from kvraft.events import SegmentDropped, Trace
from kvraft.sim import CatchUp
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, one_panel, some, titled
from kvraft.viz.sandbox import PIN_COLOURS
from kvraft.viz.svg import BLACK, BLUE, RED
from kvraft.viz.trace import (
    MEMBERS,
    PIN_KINDS,
    TREE,
    UNPINNED,
    PinnedFrom,
    hardest_pin,
    pins_over_time,
    sealed_sizes,
    series,
)
from kvraft.wal import Segment


class SegmentBand(NamedTuple):
    """A segment between two moments: what pinned it, or that it was active, or that it is unknown.

    ``pinned_by`` is ``None`` while the member is down, and empty while the segment is active.
    """

    segment: int
    first: int
    last: int
    start: int
    end: int
    pinned_by: tuple[str, ...] | None
    active: bool = False


def bands(trace: Trace, member: str) -> list[SegmentBand]:
    """Return the lifetime of each log segment of ``member``, a band for each change of its pins."""
    end = series.end_of(trace)
    changes = [*pins_over_time(trace, member), PinnedFrom(end, None)]
    found: list[SegmentBand] = []
    for life in series.segments(trace, member):
        number, first, last, opened, sealed, dropped = life
        gone = end if dropped is None else dropped
        sealed = gone if sealed is None else sealed
        found.append(SegmentBand(number, first, last, opened, sealed, (), active=True))
        segment = Segment(number, first, first, last, 0, sealed=True)
        for (at, pins), (until, _) in pairwise(changes):
            start, stop = max(at, sealed), min(until, gone)
            if start < stop:
                who = None if pins is None else tuple(p.pinned_by for p in pins.of(segment))
                if found[-1].pinned_by == who and not found[-1].active:
                    found[-1] = found[-1]._replace(end=stop)
                else:
                    found.append(SegmentBand(number, first, last, start, stop, who))
    return found


def last_pins(trace: Trace, member: str) -> dict[int, tuple[str, ...]]:
    """Return what pinned each dropped segment last; empty if it was dropped when it was sealed."""
    dropped = {e.segment for _, _, e in trace.of(SegmentDropped, who=member)}  # type: ignore[attr-defined]
    found: dict[int, tuple[str, ...]] = dict.fromkeys(sorted(dropped), ())
    for band in bands(trace, member):
        if band.segment in dropped and band.pinned_by:
            found[band.segment] = band.pinned_by
    return found


# ── over time ───────────────────────────────────────────────────────────────────────────────────


def plot_bands(trace: Trace, member: str, follower: str = "") -> Figure:
    """Draw the segments of ``member`` over time, with its marks and the log end of ``follower``."""
    found = bands(trace, member)
    some(found, f"{member} reports no log segments")
    figure, axes = one_panel(2.6)
    for band in found:
        _draw_band(axes, band)
    end = series.end_of(trace)
    _draw_mark(axes, trace, member, "last", BLACK, "-", end)
    _draw_mark(axes, trace, member, "flushed", BLUE, "-", end)
    if follower:
        _draw_mark(axes, trace, follower, "last", RED, "--", end)
        for down in series.downtimes(trace):
            if down.member == follower:
                axes.axvspan(down.start / 1e6, down.end / 1e6, color=BLACK, alpha=0.07, zorder=0)
    axes.set_xlim(0, max(end, 1) / 1e6)
    axes.set_ylim(bottom=0)
    named(axes, f"log of {member} (index)", "virtual time (s)")
    _legend(figure, found, member, follower)
    return titled(figure, _last_words(trace, member))


def _draw_band(axes: Axes, band: SegmentBand) -> None:
    colour, hatch = "#FFFFFF", None
    if band.pinned_by is None:
        hatch = "////"
    elif not band.active:
        colour = PIN_COLOURS[hardest_pin(band.pinned_by)]
    axes.barh(
        (band.first + band.last) / 2,
        (band.end - band.start) / 1e6,
        left=band.start / 1e6,
        height=max(band.last - band.first + 1, 1),
        color=colour,
        edgecolor="#777777" if band.active or hatch else "white",
        linewidth=0.4,
        hatch=hatch,
    )


def _draw_mark(
    axes: Axes, trace: Trace, member: str, mark: str, colour: str, style: str, end: int
) -> None:
    """Draw one mark of a member; while it is down, as its disk has it."""
    times: list[float] = []
    values: list[int] = []
    for at, marks in series.marks(trace, member):
        if marks is not None:
            times.append(at / 1e6)
            values.append(getattr(marks, mark))
    if values:
        xs, ys = [*times, end / 1e6], [*values, values[-1]]
        axes.step(xs, ys, where="post", color=colour, linestyle=style, linewidth=1.4)


def _legend(figure: Figure, found: Sequence[SegmentBand], member: str, follower: str) -> None:
    kinds = {hardest_pin(band.pinned_by) for band in found if band.pinned_by is not None}
    key: list[Patch | Line2D] = [Patch(facecolor="white", edgecolor="#777777", label="written")]
    for kind, colour in PIN_COLOURS.items():
        if kind in kinds and kind != UNPINNED:
            key.append(Patch(color=colour, label=f"pinned: {kind}"))
    if any(band.pinned_by is None for band in found):
        key.append(Patch(facecolor="none", edgecolor="#777777", hatch="////", label="down"))
    key.append(Line2D([], [], color=BLACK, label=f"last of {member}"))
    key.append(Line2D([], [], color=BLUE, label=f"flushed of {member}"))
    if follower:
        key.append(Line2D([], [], color=RED, linestyle="--", label=f"last of {follower}"))
        key.append(Patch(color=BLACK, alpha=0.07, label=f"{follower} is down"))
    legend(figure, key)


def _last_words(trace: Trace, member: str) -> str:
    """Return how many segments were dropped, and what pinned them last."""
    counts: dict[str, int] = {}
    found = last_pins(trace, member)
    for who in found.values():
        counts[hardest_pin(who)] = counts.get(hardest_pin(who), 0) + 1
    words = [f"{counts[kind]} by {_the(kind)}" for kind in PIN_KINDS if kind in counts]
    last = f": pinned last {', '.join(words)}" if words else ""
    return f"{counted(len(found), 'log segment')} of {member} dropped{last}"


def _the(kind: str) -> str:
    return {TREE: "the tree", MEMBERS: "the members"}.get(kind, kind)


def plot_log_bytes(trace: Trace, member: str, budget: int) -> Figure:
    """Draw the bytes of sealed log on ``member`` by the hardest pin, and the ``budget``."""
    found = [band for band in bands(trace, member) if not band.active]
    some(found, f"{member} sealed no log segment")
    sizes = sealed_sizes(trace, member)
    times = sorted({at for band in found for at in (band.start, band.end)})
    kinds = [kind for kind in PIN_KINDS if kind in {hardest_pin(b.pinned_by or ()) for b in found}]
    layers = {kind: [0.0] * len(times) for kind in kinds}
    for band in found:
        layer = layers[hardest_pin(band.pinned_by or ())]
        for number in range(times.index(band.start), times.index(band.end)):
            layer[number] += sizes.get(band.segment, 0) / 1024
    figure, axes = one_panel(2.2)
    low = [0.0] * len(times)
    seconds = [at / 1e6 for at in times]
    for kind in kinds:
        high = [a + b for a, b in zip(low, layers[kind], strict=True)]
        label = f"pinned: {kind}" if kind != UNPINNED else "not pinned"
        axes.fill_between(
            seconds, low, high, step="post", color=PIN_COLOURS[kind], label=label, linewidth=0
        )
        low = high
    axes.axhline(budget / 1024, color=RED, linestyle="--", label="retain_bytes")
    axes.set_xlim(0, max(series.end_of(trace), 1) / 1e6)
    axes.set_ylim(bottom=0)
    named(axes, f"sealed log of {member} (KiB)", "virtual time (s)")
    legend(figure)
    # A segment is sealed just before the oldest is dropped: that moment is too short to be seen.
    steps, narrow = zip(low, pairwise(times), strict=False), times[-1] / 1000
    wide = [size for size, (at, until) in steps if until - at > narrow]
    peak = f"{max(wide, default=0.0):.1f} KiB of sealed log at most"
    return titled(figure, f"{member}: {peak}; the budget is {budget / 1024:.1f} KiB")


def plot_catching_up(measured: Mapping[str, Sequence[CatchUp]]) -> Figure:
    """Draw what a returning follower is sent, over how long it was away.

    ``measured`` has a line for each name; the title compares the first with the last.
    """
    some(measured and all(measured.values()), "no follower came back")
    figure, axes = one_panel(2.2)
    for (name, costs), (colour, style) in zip(measured.items(), MEMBER_LINES, strict=False):
        away = [cost.away / 1000 for cost in costs]
        sent = [cost.sent / 1024 for cost in costs]
        axes.plot(away, sent, color=colour, linestyle=style, label=name)
        for cost in costs:
            marker = "s" if cost.snapshot else "o"
            axes.plot(cost.away / 1000, cost.sent / 1024, marker, color=colour, markersize=6)
    named(axes, "sent to bring it back (KiB)", "away (s of virtual time)")
    axes.set_ylim(bottom=0)
    handles, _ = axes.get_legend_handles_labels()
    for marker, label in (("o", "entries only"), ("s", "with a snapshot")):
        handles.append(Line2D([], [], color="#555555", marker=marker, linestyle="", label=label))
    legend(figure, handles)
    return titled(figure, _cheaper(measured))


def _cheaper(measured: Mapping[str, Sequence[CatchUp]]) -> str:
    """Return from when on the last line stays below the first."""
    names = list(measured)
    pairs = list(zip(measured[names[0]], measured[names[-1]], strict=True))
    since: CatchUp | None = None
    for one, other in pairs:
        if other.sent >= one.sent:
            since = None
        elif since is None:
            since = one
    if since is None:
        return f"{names[0]} is never dearer in the end than {names[-1]}"
    return f"From {since.away / 1000:.1f} s away on, {names[-1]} is cheaper than {names[0]}"
