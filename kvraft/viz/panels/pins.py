"""What pins the log at one moment: one member's segments as a strip.

:func:`strip_view` makes a picture of one moment, to be stepped through; a row for each pin, a flag
over each segment that it covers (:meth:`~kvraft.replica.Pins.of`)::

    tree              ·     ·     ·     ⚑     ⚑
    n3                ·     ⚑     ⚑     ⚑     ⚑
                    ┌╌╌╌╌┐┌────┐┌────┐┌────┐┌────┐┌──
                    ╎gone╎│ 5  ││ 6  ││ 7  ││ 8  ││9        width: entries
                    └╌╌╌╌┘└────┘└────┘└────┘└────┘└──
                          ▲ first     ▲ flushed    ▲ applied = committed = last

A word repeats what colour shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import (
    Marks,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    PinsChanged,
    RoleChanged,
    Trace,
)
from kvraft.replica import Pins
from kvraft.viz import svg
from kvraft.viz.trace import (
    EMPTY,
    FOLLOWER,
    MEMBERS,
    PIN_KINDS,
    PIN_REASONS,
    SNAPSHOT,
    TREE,
    UNPINNED,
    MomentView,
    TraceHistory,
    hardest_pin,
    kind_of,
    pins_over_time,
    sealed_sizes,
    series,
)
from kvraft.wal import Segment

PIN_COLOURS = {
    TREE: svg.SKY,
    FOLLOWER: svg.ORANGE,
    SNAPSHOT: svg.PURPLE,
    MEMBERS: svg.GREEN,
    UNPINNED: svg.GREY,
}
"""The colour of each kind of pin."""

LEFT, WIDE = 158.0, 690.0
ROW, STRIP = 27.0, 30.0
ROOM = 1.25
"""How much wider than the longest log the strip is, so that segments that are gone can be seen."""


def strip_view(member: str) -> MomentView:
    """Return the view that draws the log of ``member``, its five marks and what pins it."""

    def view(history: TraceHistory, step: int) -> str:
        return _strip(history.trace, member, step)

    return view


def _strip(trace: Trace, member: str, step: int) -> str:
    if member not in series.members_of(trace):
        raise BadInput(f"there is no member called {member} in this trace")
    past = trace[: step + 1]
    lifetimes = series.segments(past, member)
    changes = pins_over_time(past, member)
    pins = changes[-1].pins if changes else None
    marks = [e for _, _, e in past.of(Marks, who=member) if isinstance(e, Marks)]
    now = marks[-1] if marks else EMPTY
    scale = _Scale(trace, member, now.last)
    names = _pin_names(trace, member)
    top = 34.0
    parts = [svg.text(8, 18, f"{member}: {_role(past, member)}", weight="bold")]
    parts.append(svg.text(svg.WIDTH - 12, 18, _weighs(past, member, lifetimes), 11, "end"))
    for row, name in enumerate(names):
        parts += _flags(name, lifetimes, pins, scale, top + ROW * row)
    strip = top + ROW * len(names) + 4
    parts.append(svg.text(8, strip + 19, "segments", 11))
    for life in lifetimes:
        parts += _segment(life, pins, scale, strip, now.last)
    parts += _draw_marks(now, scale, strip)
    height = strip + STRIP + 84
    says = "dashed: gone   white: being written   grey: not pinned   else: the colour of a pin"
    parts.append(svg.legend(8, height - 8, says))
    return svg.drawing(height, _says(member, lifetimes, pins, now), parts)


class _Scale:
    """Where an index is drawn: a window a little wider than the longest log, up to its end now."""

    def __init__(self, trace: Trace, member: str, last: int) -> None:
        marks = [e for _, _, e in trace.of(Marks, who=member) if isinstance(e, Marks)]
        longest = max((mark.last - mark.first + 1 for mark in marks), default=1)
        self.shown = max(int(longest * ROOM), 24)
        self.low = max(1, last + 1 - self.shown)

    def x(self, index: int) -> float:
        """Return where the entry ``index`` begins, the edge of the picture if it is far below."""
        return LEFT + WIDE * max(index - self.low, 0) / self.shown


def _role(past: Trace, member: str) -> str:
    changes = past.of(RoleChanged, MemberStarted, MemberCrashed, MemberStopped, who=member)
    for _, _, event in reversed(list(changes)):
        match event:
            case RoleChanged():
                return f"{event.role} of term {event.term}"
            case MemberStarted():
                return f"starts in term {event.term}"
            case _:
                return "down"
    return "not started"


def _weighs(past: Trace, member: str, lifetimes: Sequence[series.SegmentLifetime]) -> str:
    sizes = sealed_sizes(past, member)
    sealed = [life for life in lifetimes if life.sealed is not None and life.dropped is None]
    total = sum(sizes.get(life.segment, 0) for life in sealed)
    gone = sum(life.dropped is not None for life in lifetimes)
    return f"sealed segments: {len(sealed)}, in all {total:,} bytes; gone: {gone}"


def _pin_names(trace: Trace, member: str) -> list[str]:
    """Return the names of all pins of this log at any time, so that each keeps its row."""
    names = {h for _, _, e in trace.of(PinsChanged, who=member) for h in e.pinned_by}  # type: ignore[attr-defined]
    return sorted(names, key=lambda name: (PIN_KINDS.index(kind_of(name)), name))


def _flags(
    name: str,
    lifetimes: Sequence[series.SegmentLifetime],
    pins: Pins | None,
    scale: _Scale,
    top: float,
) -> Iterator[str]:
    """Draw the row of one pin: a flag over each sealed segment that it covers."""
    kind = kind_of(name)
    sealed = [life for life in lifetimes if life.dropped is None and life.sealed is not None]
    pinned = [life for life in sealed if name in _pinned_by(life, pins)]
    listed = pins is not None and pins.needed_from(name) is not None
    says = (
        PIN_REASONS[kind] if pinned else "needs no sealed segment" if listed else "not on the list"
    )
    yield svg.text(8, top + 12, name, 12, weight="bold" if listed else "normal")
    yield svg.text(8, top + 23, says, 9, colour="#333333")
    yield svg.line(LEFT, top + 24, LEFT + WIDE, top + 24, "#DDDDDD")
    for life in pinned:
        yield _flag(scale, life, top, PIN_COLOURS[kind], f"{name} pins {life.segment}")


def _flag(scale: _Scale, life: series.SegmentLifetime, top: float, colour: str, says: str) -> str:
    left, right = scale.x(life.first), scale.x(life.last + 1)
    x, wide = left + (right - left) * 0.3, max(min((right - left) * 0.55, 15), 4)
    cloth = svg.polygon(
        [(x, top + 2), (x + wide, top + 7.5), (x, top + 13)], colour, svg.BLACK, 0.8
    )
    return f"<g><title>{says}</title>{svg.line(x, top + 2, x, top + 24)}{cloth}</g>"


def _pinned_by(life: series.SegmentLifetime, pins: Pins | None) -> list[str]:
    return [pin.pinned_by for pin in pins.of(_as_segment(life))] if pins else []


def _as_segment(life: series.SegmentLifetime) -> Segment:
    return Segment(life.segment, life.first, life.first, life.last, 0, life.sealed is not None)


def _segment(
    life: series.SegmentLifetime, pins: Pins | None, scale: _Scale, top: float, last: int
) -> Iterator[str]:
    """Draw one segment of the strip, if a part of it is visible."""
    end = last if life.sealed is None else life.last
    left, right = scale.x(life.first), max(scale.x(end + 1), scale.x(life.first) + 3)
    if end + 1 <= scale.low:
        return
    gone = life.dropped is not None
    fill, says = svg.WHITE, "being written"
    if gone:
        fill, says = "#F7F7F7", "gone"
    elif life.sealed is not None:
        who = _pinned_by(life, pins)
        fill = PIN_COLOURS[hardest_pin(who)] if pins else svg.WHITE
        says = f"pinned by {', '.join(who) or UNPINNED}" if pins else "what pins it is unknown"
    stroke, dashes = ("#999999", "3 3") if gone else (svg.BLACK, "")
    title = f"segment {life.segment}, entries {life.first} to {end}: {says}"
    yield svg.rect(left, top, right - left, STRIP, fill, stroke, dashes=dashes, title=title)
    if right - left >= 17:
        colour = "#777777" if gone else svg.BLACK
        number = str(life.segment)
        yield svg.text((left + right) / 2, top + 19, number, 10, "middle", colour=colour)


def _draw_marks(marks: Marks, scale: _Scale, strip: float) -> Iterator[str]:
    """Draw the five marks below the strip; those at one place share a label."""
    places: dict[int, list[str]] = {}
    for name in ("first", "flushed", "applied", "committed", "last"):
        index = getattr(marks, name)
        places.setdefault(index if name == "first" else index + 1, []).append(name)
    # A label is to the left of its line, and those further right are lower, so that no line
    # crosses a label.
    ends: list[float] = []  # how far to the right each line of labels is taken
    for place, names in sorted(places.items()):
        label = " = ".join(n for n in names if n != "first")
        label = f"{label} {place - 1:,}" if label else ""
        if "first" in names:
            label = f"first {place:,}" + (f", {label}" if label else "")
        x, wide = scale.x(place), 6.3 * len(label)
        left = max(x - wide + 4, 4)
        row = next((n for n, end in enumerate(ends) if end + 8 <= left), len(ends))
        ends[row:] = [left + wide, *ends[row + 1 :]]
        y = strip + STRIP + 16 + 14 * row
        yield svg.line(x, strip - 4, x, y - 10, svg.RED, 2.5)
        yield svg.text(left, y, label, 11)


def _says(
    member: str, lifetimes: Sequence[series.SegmentLifetime], pins: Pins | None, marks: Marks
) -> str:
    """Return a description of the picture."""
    alive = [life for life in lifetimes if life.dropped is None and life.sealed is not None]
    words = [f"Log of {member}: entries {marks.first} to {marks.last}, flushed {marks.flushed}."]
    if pins is None:
        return f"{words[0]} It is down, or has just started: what pins it is unknown."
    for pin in pins:
        count = sum(pin in pins.of(_as_segment(life)) for life in alive)
        on = f"{pin.needed_from} on: {counted(count, 'sealed segment')}"
        words.append(f"{pin.pinned_by} needs {on if count else 'no sealed segment'}.")
    return " ".join(words)
