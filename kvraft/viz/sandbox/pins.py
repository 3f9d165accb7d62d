"""What pins a member's log: a row for each pin over the segments, and the five marks below.

::

    n1   leads term 3
    tree   in no table yet                 ▆▆▆▆▆▆▆    a bar over each sealed segment that it pins
    n3     lacks them                ▆▆▆▆▆▆▆▆▆▆▆▆▆
                               ┌╌╌╌╌┌──┬──┬──┬──┬─    width: entries; dashed: dropped
                               └╌╌╌╌└──┴──┴──┴──┴─    open at the right: being written
                                    ▲ first 113  ▲ flushed 130 …

A bar's colour and the words before it say the same.  A member that is down pins nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film, leader_of
from kvraft.viz.trace import (
    FOLLOWER,
    MEMBERS,
    PIN_KINDS,
    SNAPSHOT,
    TREE,
    UNPINNED,
    MemberState,
    SegmentState,
    hardest_pin,
    kind_of,
)

PIN_COLOURS = {
    TREE: svg.SKY,
    FOLLOWER: svg.ORANGE,
    SNAPSHOT: svg.PURPLE,
    MEMBERS: svg.GREEN,
    UNPINNED: svg.GREY,
}
"""The colour of each kind of pin."""
_REASONS = {
    TREE: "in no table yet",
    FOLLOWER: "lacks them",
    SNAPSHOT: "to go on after it",
    MEMBERS: "some may lack it",
}

LEFT, RIGHT = 160.0, 430.0
TOP, ROW, HIGH = 38.0, 46.0, 32.0
GONE = 0.18
"""What share of the strip is left for what was dropped."""
LEAST = 24
"""How many entries the strip is wide at least."""
LINE = 24.0


def pins_panel(film: Film, step: int, member: str = "") -> str:
    """Draw what pins the log of ``member`` after ``step``; without a name, that of the leader.

    Raises :class:`~kvraft.errors.BadInput` if there is no such member.
    """
    if not len(film):
        return kit.empty("Nothing has happened yet: there is no log.")
    state = film.at(step)
    if member and member not in state.members:
        raise BadInput(f"there is no member called {member} in this trace")
    if not state.members:
        return kit.empty("No member has reported anything by this step.")
    name = member or leader_of(state)
    shown = state.members[name]
    strip = _Strip(shown)
    drawing = Canvas()
    drawing.text(6, 22, name, kit.NAME, bold=True)
    left = 16 + kit.width_of(name, kit.NAME, bold=True)
    drawing.text(left, 22, f"{_role(shown)}: what pins its log", colour=kit.SOFT)
    top = TOP
    for pinned_by, needed in _sorted(shown.pins):
        _draw_pin(drawing, shown, pinned_by, needed, top, strip)
        top += ROW
    if not shown.pins:
        words = "what pins it is not known yet" if shown.running else "down: no pins"
        drawing.text(6, top + 20, words, colour=kit.SOFT)
        top += 30
    top += 4
    drawing.text(6, top + 22, "segments", bold=True)
    _draw_strip(drawing, shown, top, strip)
    top = _draw_marks(drawing, shown, top + HIGH, strip)
    _draw_legend(drawing, top + 18)
    return drawing.picture(top + 32, pins_says(film, step, name))


def pins_says(film: Film, step: int, member: str = "") -> str:
    """Return in words what pins the log of ``member``, or of the leader, and name the others."""
    state = film.at(step)
    name = member or leader_of(state)
    shown, marks = state.members[name], state.members[name].marks
    words = [f"The log of {name}: entries {marks.first} to {marks.last}, flushed {marks.flushed}"]
    if not shown.running:
        words.append("it is down: no pins")
    for pinned_by, needed in _sorted(shown.pins):
        count = len(_pinned(shown, needed))
        on = f"{needed} on: {counted(count, 'sealed segment')}"
        words.append(f"{pinned_by} needs {on if count else 'no sealed segment'}")
    others = [other for other in state.members if other != name]
    words += [f"not shown: {', '.join(others)}"] if others else []
    return "; ".join(words) + "."


def _role(member: MemberState) -> str:
    if not member.running:
        return "is down"
    word = {"leader": "leads", "follower": "follows in"}.get(member.role, "stands for")
    return f"{word} term {member.term}"


def _sorted(pins: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(pins, key=lambda pin: (PIN_KINDS.index(kind_of(pin[0])), pin[0]))


def _pinned(member: MemberState, needed: int) -> list[SegmentState]:
    """Return the sealed segments that are pinned from entry ``needed`` on."""
    return [s for s in member.segments if s.last is not None and s.last >= needed]


class _Strip:
    """Where an entry is drawn: the log fills the strip, but for some room for what was dropped."""

    def __init__(self, member: MemberState) -> None:
        self.first = member.segments[0].first if member.segments else member.marks.first
        self.last = max(member.marks.last, self.first)
        count = max(self.last - self.first + 1, LEAST)
        self.gone = (RIGHT - LEFT) * GONE if self.first > 1 else 0.0
        self._each = (RIGHT - LEFT - self.gone) / count

    def x(self, index: int) -> float:
        """Return where the entry begins."""
        return LEFT + self.gone + self._each * max(index - self.first, 0)


def _draw_pin(
    drawing: Canvas, member: MemberState, pinned_by: str, needed: int, top: float, strip: _Strip
) -> None:
    drawing.text(6, top + 16, kit.fitted(pinned_by, LEFT - 10, bold=True), bold=True)
    segments = _pinned(member, needed)
    says = _REASONS[kind_of(pinned_by)] if segments else "pins nothing"
    drawing.text(6, top + 37, says, colour=kit.SOFT)
    drawing.line(LEFT, top + 42, RIGHT, top + 42, kit.FAINT, 1.5)
    colour = PIN_COLOURS[kind_of(pinned_by)]
    for segment in segments:
        left, right = strip.x(segment.first), strip.x((segment.last or 0) + 1)
        title = f"{pinned_by} pins entries {kit.span(segment.first, segment.last or 0)}"
        drawing.add(
            svg.rect(left + 1, top + 12, right - left - 2, 24, colour, kit.INK, title=title)
        )


def _draw_strip(drawing: Canvas, member: MemberState, top: float, strip: _Strip) -> None:
    if strip.gone:
        drawing.add(
            svg.rect(LEFT, top, strip.gone - 2, HIGH, svg.WHITE, kit.SOFT, dashes="4 3", width=1.5)
        )
    for segment in member.segments:
        last = segment.last if segment.last is not None else max(strip.last, segment.first)
        left, right = strip.x(segment.first), max(strip.x(last + 1), strip.x(segment.first) + 4)
        who = [name for name, needed in member.pins if needed <= last]
        title = f"entries {kit.span(segment.first, last)}"
        if segment.last is None:
            drawing.add(
                f'<path d="M{svg.num(right)} {svg.num(top)}H{svg.num(left)}v{HIGH:g}'
                f'H{svg.num(right)}" fill="none" stroke="{kit.INK}" stroke-width="1.5"/>'
            )
        else:
            fill = PIN_COLOURS[hardest_pin(who)] if member.pins else kit.PALE
            title += f", pinned by {', '.join(who) or UNPINNED}" if member.pins else ""
            drawing.add(
                svg.rect(left, top, right - left, HIGH, fill, kit.INK, width=1.5, title=title)
            )
        words = kit.span(segment.first, last)
        if kit.width_of(words) <= right - left - 6:
            drawing.text((left + right) / 2, top + 22, words, anchor="middle")


def _draw_marks(drawing: Canvas, member: MemberState, top: float, strip: _Strip) -> float:
    """Draw the five marks; those at one place share a label.  Return where they end.

    A label stands to the left of its line if there is room, and those further right stand lower.
    """
    places: dict[int, list[str]] = {}
    for name in ("first", "flushed", "applied", "committed", "last"):
        index = getattr(member.marks, name)
        places.setdefault(index if name == "first" else index + 1, []).append(name)
    labels = []
    for row, (place, names) in enumerate(sorted(places.items())):
        words = " = ".join(name for name in names if name != "first")
        words = f"{words} {place - 1:,}" if words else ""
        if "first" in names:
            words = f"first {place:,}" + (f", {words}" if words else "")
        x, y = strip.x(place), top + 24 + LINE * row
        wide = kit.width_of(words)
        left = max(x - wide - 6, 6)
        labels.append((left, y, words))
        for high, low in ((HIGH + 4, HIGH - 5), (5, -4)):  # off the words in the segment
            drawing.add(svg.line(x, top - high, x, top - low, kit.INK, 4))
        fits = left + wide <= x - 4
        drawing.line(x, top + 4, x, y if fits else y - 15, kit.INK, 1.5)
    for left, y, words in labels:  # one near the left edge lies over the lines of others
        drawing.add(svg.rect(left - 3, y - 14, kit.width_of(words) + 6, 19, svg.WHITE, ""))
        drawing.text(left, y, words)
    return top + 6 + LINE * len(labels)


def _draw_legend(drawing: Canvas, y: float) -> None:
    drawing.add(svg.rect(6, y - 10, 22, 20, svg.WHITE, kit.SOFT, dashes="4 3", width=1.5))
    drawing.text(35, y + 6, "dropped")
    drawing.add(
        f'<path d="M140 {svg.num(y - 10)}H118v20H140" fill="none" stroke="{kit.INK}"'
        ' stroke-width="1.5"/>'
    )
    drawing.text(147, y + 6, "being written")
    drawing.add(svg.rect(270, y - 10, 22, 20, svg.GREY, kit.INK, width=1.5))
    drawing.text(299, y + 6, "nothing pins it")
