"""Who holds the log: one member's segments as a strip, and what became of them over time.

:func:`strip_view` makes a picture of one moment, to be stepped through; a row for each holder, a
flag over each segment that it still needs (:meth:`~kvraft.retention.Holds.of`)::

    tree              ·     ·     ·     ⚑     ⚑
    n3                ·     ⚑     ⚑     ⚑     ⚑
                    ┌╌╌╌╌┐┌────┐┌────┐┌────┐┌────┐┌──
                    ╎gone╎│ 5  ││ 6  ││ 7  ││ 8  ││9        width: entries
                    └╌╌╌╌┘└────┘└────┘└────┘└────┘└──
                          ▲ first     ▲ flushed    ▲ applied = committed = last

The figures fold a whole trace: :func:`plot_bands` time against index, a band for each segment from
its first entry to its removal, coloured by who holds it; :func:`plot_log_bytes` the bytes of it
beside the budget; :func:`plot_catching_up` what it costs to bring a follower back.

All is drawn from events, and by :class:`~kvraft.retention.Holds`, so a picture says what the rule
says.  As in ``plots.py`` and ``views.py``: titles are computed, equal input gives equal pictures,
and what colour says, a word says too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kvraft.errors import BadInput
from kvraft.events import (
    Crashed,
    Delivered,
    Failed,
    HoldsChanged,
    Lost,
    Marks,
    RoleChanged,
    SegmentDropped,
    SegmentSealed,
    Sent,
    Started,
    Step,
    Trace,
)
from kvraft.retention import Hold, Holds
from kvraft.segment import Segment
from kvraft.sim.lag import CatchUp
from kvraft.viz import series
from kvraft.viz.plots import BLACK, BLUE, GREEN, GREY, MEMBER_LINES, ORANGE, PURPLE, RED, SKY
from kvraft.viz.state import EMPTY, History
from kvraft.viz.views import WIDTH, View, _n, _svg, _text

# ── from events to holds ────────────────────────────────────────────────────────────────────────

TREE, FOLLOWER, SNAPSHOT, MEMBERS, NOBODY = "tree", "a follower", "a snapshot", "members", "nobody"
COLOURS = {TREE: SKY, FOLLOWER: ORANGE, SNAPSHOT: PURPLE, MEMBERS: GREEN, NOBODY: GREY}
"""Who holds a segment, the hardest hold first, and in which colour it is drawn."""

REASONS = {
    TREE: "in no table yet",
    FOLLOWER: "this follower lacks it",
    SNAPSHOT: "to go on behind it",
    MEMBERS: "others may lack it",
}


def kind_of(holder: str) -> str:
    """Return what kind of holder that is: one of the keys of :data:`COLOURS`."""
    if holder in (TREE, MEMBERS):
        return holder
    return SNAPSHOT if holder.startswith("snapshot for ") else FOLLOWER


def held_by(holders: Sequence[str]) -> str:
    """Return the hardest kind of hold among ``holders``, ``nobody`` if there are none."""
    kinds = {kind_of(holder) for holder in holders}
    return next((kind for kind in COLOURS if kind in kinds), NOBODY)


class HeldFrom(NamedTuple):
    """From ``at`` on these hold the log of a member; it does not run if they are ``None``."""

    at: int
    holds: Holds | None


def holds_over_time(trace: Trace, member: str) -> list[HeldFrom]:
    """Return who holds the log of ``member``, one item a change.

    An index is that of the moment at which it was told, so it may lie behind by less than a
    segment: which segments are held is exact.
    """
    return [
        HeldFrom(at, _holds(event) if isinstance(event, HoldsChanged) else None)
        for at, _, event in trace.of(HoldsChanged, Crashed, Failed, who=member)
    ]


def _holds(event: HoldsChanged) -> Holds:
    told = zip(event.holders, event.needs, strict=True)
    return Holds(tuple(Hold(who, needs, REASONS[kind_of(who)]) for who, needs in told))


class Band(NamedTuple):
    """A segment between two moments: who held it, or that it was written, or that nobody knows.

    ``holders`` is ``None`` while the member is down; a segment that is written belongs to nobody.
    """

    segment: int
    first: int
    last: int
    start: int
    end: int
    holders: tuple[str, ...] | None
    active: bool = False


def bands(trace: Trace, member: str) -> list[Band]:
    """Return the life of each log segment of ``member``, a band for each change of its holders."""
    end = series.end_of(trace)
    changes = [*holds_over_time(trace, member), HeldFrom(end, None)]
    found: list[Band] = []
    for life in series.segments(trace, member):
        number, first, last, opened, sealed, dropped = life
        gone = end if dropped is None else dropped
        sealed = gone if sealed is None else sealed
        found.append(Band(number, first, last, opened, sealed, (), active=True))
        segment = Segment(number, first, first, last, 0, sealed=True)
        for (at, holds), (until, _) in pairwise(changes):
            start, stop = max(at, sealed), min(until, gone)
            if start < stop:
                who = None if holds is None else tuple(h.holder for h in holds.of(segment))
                if found[-1].holders == who and not found[-1].active:
                    found[-1] = found[-1]._replace(end=stop)
                else:
                    found.append(Band(number, first, last, start, stop, who))
    return found


def last_holders(trace: Trace, member: str) -> dict[int, tuple[str, ...]]:
    """Return who held each segment last that was dropped; nobody if it went as it was sealed."""
    dropped = {e.segment for _, _, e in trace.of(SegmentDropped, who=member)}  # type: ignore[attr-defined]
    found: dict[int, tuple[str, ...]] = dict.fromkeys(sorted(dropped), ())
    for band in bands(trace, member):
        if band.segment in dropped and band.holders:
            found[band.segment] = band.holders
    return found


def between(trace: Trace, *names: str) -> Trace:
    """Return what ``names`` did and the messages among them: for a diagram with few lanes."""
    ids = {e.id for _, who, e in trace if isinstance(e, Sent) and who in names and e.to in names}

    def kept(step: Step) -> bool:
        event = step.event
        if isinstance(event, Sent | Delivered | Lost):
            return event.id in ids
        return step.who in names

    return Trace(step for step in trace if kept(step))


# ── one moment ──────────────────────────────────────────────────────────────────────────────────

LEFT, WIDE = 158.0, 690.0
ROW, STRIP = 27.0, 30.0
ROOM = 1.25
"""How much wider than the longest log the strip is, so that segments that are gone can be seen."""


def strip_view(member: str) -> View:
    """Return the view that draws the log of ``member``, its five marks and who holds it."""

    def view(history: History, step: int) -> str:
        return _strip(history.trace, member, step)

    return view


def _strip(trace: Trace, member: str, step: int) -> str:
    if member not in series.members_of(trace):
        raise BadInput(f"there is no member called {member} in this trace")
    past = trace[: step + 1]
    lives = series.segments(past, member)
    held = holds_over_time(past, member)
    holds = held[-1].holds if held else None
    marks = [e for _, _, e in past.of(Marks, who=member) if isinstance(e, Marks)]
    now = marks[-1] if marks else EMPTY
    scale = _Scale(trace, member, now.last)
    names = _holders(trace, member)
    top = 34.0
    parts = [_text(8, 18, f"{member}: {_role(past, member)}", weight="bold")]
    parts.append(_text(WIDTH - 12, 18, _weighs(past, member, lives), 11, "end"))
    for row, name in enumerate(names):
        parts += _flags(name, lives, holds, scale, top + ROW * row)
    strip = top + ROW * len(names) + 4
    parts.append(_text(8, strip + 19, "segments", 11))
    for life in lives:
        parts += _segment(life, holds, scale, strip, now.last)
    parts += _draw_marks(now, scale, strip)
    height = strip + STRIP + 84
    legend = "dashed: gone   white: being written   grey: free to go   else: the colour of a holder"
    parts.append(_text(8, height - 8, legend, 11, colour="#333333"))
    return _svg(height, _says(member, lives, holds, now), parts)


class _Scale:
    """Where an index stands: a window as wide as the longest log, and some, up to its end now."""

    def __init__(self, trace: Trace, member: str, last: int) -> None:
        marks = [e for _, _, e in trace.of(Marks, who=member) if isinstance(e, Marks)]
        longest = max((mark.last - mark.first + 1 for mark in marks), default=1)
        self.shown = max(int(longest * ROOM), 24)
        self.low = max(1, last + 1 - self.shown)

    def x(self, index: int) -> float:
        """Return where the entry ``index`` begins, the edge of the picture if it is far behind."""
        return LEFT + WIDE * max(index - self.low, 0) / self.shown


def _role(past: Trace, member: str) -> str:
    told = past.of(RoleChanged, Started, Crashed, Failed, who=member)
    for _, _, event in reversed(list(told)):
        match event:
            case RoleChanged():
                return f"{event.role} of term {event.term}"
            case Started():
                return f"starts in term {event.term}"
            case _:
                return "down"
    return "not started"


def _weighs(past: Trace, member: str, lives: Sequence[series.SegmentLife]) -> str:
    sizes = _sizes(past, member)
    sealed = [life for life in lives if life.sealed is not None and life.dropped is None]
    total = sum(sizes.get(life.segment, 0) for life in sealed)
    gone = sum(life.dropped is not None for life in lives)
    return f"sealed: {len(sealed)} of {total:,} bytes; gone: {gone}"


def _sizes(trace: Trace, member: str) -> dict[int, int]:
    return {e.segment: e.size for _, _, e in trace.of(SegmentSealed, who=member)}  # type: ignore[attr-defined]


def _holders(trace: Trace, member: str) -> list[str]:
    """Return all that ever hold this log, so that a row stays where it is."""
    names = {h for _, _, e in trace.of(HoldsChanged, who=member) for h in e.holders}  # type: ignore[attr-defined]
    order = list(COLOURS)
    return sorted(names, key=lambda name: (order.index(kind_of(name)), name))


def _flags(
    name: str,
    lives: Sequence[series.SegmentLife],
    holds: Holds | None,
    scale: _Scale,
    top: float,
) -> Iterator[str]:
    """Draw the row of one holder: a flag over each sealed segment that it needs."""
    kind = kind_of(name)
    sealed = [life for life in lives if life.dropped is None and life.sealed is not None]
    held = [life for life in sealed if name in _who_holds(life, holds)]
    listed = holds is not None and holds.needs(name) is not None
    says = (
        REASONS[kind] if held else "needs nothing that is sealed" if listed else "not on the list"
    )
    yield _text(8, top + 12, name, 12, weight="bold" if listed else "normal")
    yield _text(8, top + 23, says, 9, colour="#333333")
    yield (
        f'<line x1="{_n(LEFT)}" y1="{_n(top + 24)}" x2="{_n(LEFT + WIDE)}" y2="{_n(top + 24)}"'
        ' stroke="#DDDDDD"/>'
    )
    for life in held:
        yield _flag(scale, life, top, COLOURS[kind], f"{name} holds {life.segment}")


def _flag(scale: _Scale, life: series.SegmentLife, top: float, colour: str, says: str) -> str:
    left, right = scale.x(life.first), scale.x(life.last + 1)
    x, wide = left + (right - left) * 0.3, max(min((right - left) * 0.55, 15), 4)
    return (
        f'<g><title>{says}</title><line x1="{_n(x)}" y1="{_n(top + 2)}" x2="{_n(x)}"'
        f' y2="{_n(top + 24)}" stroke="#000000"/><polygon points="{_n(x)},{_n(top + 2)}'
        f' {_n(x + wide)},{_n(top + 7.5)} {_n(x)},{_n(top + 13)}" fill="{colour}"'
        ' stroke="#000000" stroke-width="0.8"/></g>'
    )


def _who_holds(life: series.SegmentLife, holds: Holds | None) -> list[str]:
    return [hold.holder for hold in holds.of(_as_segment(life))] if holds else []


def _as_segment(life: series.SegmentLife) -> Segment:
    return Segment(life.segment, life.first, life.first, life.last, 0, life.sealed is not None)


def _segment(
    life: series.SegmentLife, holds: Holds | None, scale: _Scale, top: float, last: int
) -> Iterator[str]:
    """Draw one segment of the strip; of those that are gone only what is in sight."""
    end = last if life.sealed is None else life.last
    left, right = scale.x(life.first), max(scale.x(end + 1), scale.x(life.first) + 3)
    if end + 1 <= scale.low:
        return
    fill, stroke, says = "#FFFFFF", ' stroke="#000000"', "being written"
    if life.dropped is not None:
        fill, stroke, says = "#F7F7F7", ' stroke="#999999" stroke-dasharray="3 3"', "gone"
    elif life.sealed is not None:
        who = _who_holds(life, holds)
        fill = COLOURS[held_by(who)] if holds else "#FFFFFF"
        says = f"held by {', '.join(who) or NOBODY}" if holds else "who holds it was not told"
    yield (
        f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(right - left)}" height="{_n(STRIP)}"'
        f' fill="{fill}"{stroke}><title>segment {life.segment}, entries {life.first} to {end}:'
        f" {says}</title></rect>"
    )
    if right - left >= 17:
        colour = "#777777" if life.dropped is not None else "#000000"
        number = str(life.segment)
        yield _text((left + right) / 2, top + 19, number, 10, "middle", colour=colour)


def _draw_marks(marks: Marks, scale: _Scale, strip: float) -> Iterator[str]:
    """Draw the five marks below the strip; those at one place share a label."""
    places: dict[int, list[str]] = {}
    for name in ("first", "flushed", "applied", "committed", "last"):
        index = getattr(marks, name)
        places.setdefault(index if name == "first" else index + 1, []).append(name)
    # A label stands to the left of its line, and those further right stand lower: so no line
    # crosses a label.
    ends: list[float] = []  # how far to the right each line of labels is taken
    for place, names in sorted(places.items()):
        label = " = ".join(n for n in names if n != "first")
        label = f"{label} {place - 1:,}" if label else ""
        if "first" in names:
            label = f"first {place:,}" + (f", {label}" if label else "")
        x, wide = scale.x(place), 6.3 * len(label)
        left = max(x - wide + 4, 4)
        line = next((n for n, end in enumerate(ends) if end + 8 <= left), len(ends))
        ends[line:] = [left + wide, *ends[line + 1 :]]
        y = strip + STRIP + 16 + 14 * line
        yield (
            f'<line x1="{_n(x)}" y1="{_n(strip - 4)}" x2="{_n(x)}" y2="{_n(y - 10)}"'
            ' stroke="#D55E00" stroke-width="2.5"/>'
        )
        yield _text(left, y, label, 11)


def _says(
    member: str, lives: Sequence[series.SegmentLife], holds: Holds | None, marks: Marks
) -> str:
    """Return the picture in words."""
    alive = [life for life in lives if life.dropped is None and life.sealed is not None]
    words = [f"Log of {member}: entries {marks.first} to {marks.last}, flushed {marks.flushed}."]
    if holds is None:
        return f"{words[0]} It is down, or has just started: who holds it was not told."
    for hold in holds:
        count = sum(hold in holds.of(_as_segment(life)) for life in alive)
        words.append(f"{hold.holder} needs {hold.needs} on: {count} sealed segments.")
    return " ".join(words)


# ── over time ───────────────────────────────────────────────────────────────────────────────────


def plot_bands(trace: Trace, member: str, follower: str = "") -> Figure:
    """Draw the segments of ``member`` over time, with its marks and the log end of ``follower``."""
    found = bands(trace, member)
    if not found:
        raise BadInput(f"there is nothing to draw: {member} reports no log segments")
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    axes = figure.subplots()
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
    axes.set_xlabel("virtual time (s)")
    axes.set_ylabel(f"log of {member} (index)")
    axes.grid(alpha=0.3)
    _legend(axes, found, member, follower)
    _title(figure, _who_was_last(trace, member))
    return figure


def _draw_band(axes: Axes, band: Band) -> None:
    colour, hatch = "#FFFFFF", None
    if band.holders is None:
        hatch = "////"
    elif not band.active:
        colour = COLOURS[held_by(band.holders)]
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
    """Draw one mark of a member; while it is down, where its disk has it."""
    times: list[float] = []
    values: list[int] = []
    for at, marks in series.marks(trace, member):
        if marks is not None:
            times.append(at / 1e6)
            values.append(getattr(marks, mark))
    if values:
        axes.step(
            [*times, end / 1e6],
            [*values, values[-1]],
            where="post",
            color=colour,
            linestyle=style,
            linewidth=1.4,
        )


def _legend(axes: Axes, found: Sequence[Band], member: str, follower: str) -> None:
    kinds = {held_by(band.holders) for band in found if band.holders is not None}
    key: list[Patch | Line2D] = [Patch(facecolor="white", edgecolor="#777777", label="written")]
    for kind, colour in COLOURS.items():
        if kind in kinds and kind != NOBODY:
            key.append(Patch(color=colour, label=f"held: {kind}"))
    if any(band.holders is None for band in found):
        key.append(Patch(facecolor="none", edgecolor="#777777", hatch="////", label="down"))
    key.append(Line2D([], [], color=BLACK, label=f"last of {member}"))
    key.append(Line2D([], [], color=BLUE, label=f"flushed of {member}"))
    if follower:
        key.append(Line2D([], [], color=RED, linestyle="--", label=f"last of {follower}"))
        key.append(Patch(color=BLACK, alpha=0.07, label=f"{follower} is down"))
    axes.legend(handles=key, loc="upper left", fontsize="small", framealpha=1)


def _who_was_last(trace: Trace, member: str) -> str:
    """Return how many segments went, and by whom they were held last."""
    counts: dict[str, int] = {}
    held = last_holders(trace, member)
    for who in held.values():
        counts[held_by(who)] = counts.get(held_by(who), 0) + 1
    words = [f"{counts[kind]} by {_the(kind)}" for kind in COLOURS if kind in counts]
    said = f": held last {', '.join(words)}" if words else ""
    return f"{len(held)} log segments of {member} went{said}"


def _the(kind: str) -> str:
    return {TREE: "the tree", MEMBERS: "the members"}.get(kind, kind)


def plot_log_bytes(trace: Trace, member: str, budget: int) -> Figure:
    """Draw the bytes of sealed log on ``member``, by the hardest hold, beside the ``budget``."""
    found = [band for band in bands(trace, member) if not band.active]
    if not found:
        raise BadInput(f"there is nothing to draw: {member} sealed no log segment")
    sizes = _sizes(trace, member)
    times = sorted({at for band in found for at in (band.start, band.end)})
    kinds = [kind for kind in COLOURS if kind in {held_by(b.holders or ()) for b in found}]
    layers = {kind: [0.0] * len(times) for kind in kinds}
    for band in found:
        layer = layers[held_by(band.holders or ())]
        for number in range(times.index(band.start), times.index(band.end)):
            layer[number] += sizes.get(band.segment, 0) / 1024
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    low = [0.0] * len(times)
    seconds = [at / 1e6 for at in times]
    for kind in kinds:
        high = [a + b for a, b in zip(low, layers[kind], strict=True)]
        label = f"held: {kind}" if kind != NOBODY else "free to go"
        axes.fill_between(
            seconds, low, high, step="post", color=COLOURS[kind], label=label, linewidth=0
        )
        low = high
    axes.axhline(budget / 1024, color=RED, linestyle="--", label="retain_bytes")
    axes.set_xlim(0, max(series.end_of(trace), 1) / 1e6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("virtual time (s)")
    axes.set_ylabel(f"sealed log of {member} (KiB)")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small", framealpha=1)
    peak = f"{max(low):.1f} KiB of sealed log at the most"
    _title(figure, f"{member}: {peak}; the budget is {budget / 1024:.1f} KiB")
    return figure


def plot_catching_up(measured: Mapping[str, Sequence[CatchUp]]) -> Figure:
    """Draw what a follower is sent that comes back, over how long it was away.

    ``measured`` has a line for each name; the title compares the first with the last.
    """
    if not measured or not all(measured.values()):
        raise BadInput("there is nothing to draw: no follower came back")
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots()
    for (name, costs), (colour, style) in zip(measured.items(), MEMBER_LINES, strict=False):
        away = [cost.away / 1000 for cost in costs]
        sent = [cost.sent / 1024 for cost in costs]
        axes.plot(away, sent, color=colour, linestyle=style, label=name)
        for cost in costs:
            marker = "s" if cost.snapshot else "o"
            axes.plot(cost.away / 1000, cost.sent / 1024, marker, color=colour, markersize=6)
    axes.set_xlabel("away (s of virtual time)")
    axes.set_ylabel("sent to bring it back (KiB)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    handles, _ = axes.get_legend_handles_labels()
    for marker, label in (("o", "entries only"), ("s", "with a snapshot")):
        handles.append(Line2D([], [], color="#555555", marker=marker, linestyle="", label=label))
    axes.legend(handles=handles, loc="upper left", fontsize="small", framealpha=1)
    _title(figure, _cheaper(measured))
    return figure


def _cheaper(measured: Mapping[str, Sequence[CatchUp]]) -> str:
    """Return from when on the last line lies below the first, for good."""
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


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontsize="large", fontweight="bold", x=0.01, ha="left")
