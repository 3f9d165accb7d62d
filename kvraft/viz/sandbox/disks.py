"""What each member has on disk and in memory: log segments with what pins them, memtable, tables.

::

          log segments            memtable   tables
    n1   ┌─────┬─────┬───┆──       ▓▓▓░░      ▮▮▮       open at the right: being written
         │ 1-9 │10-19│20-┆26      12 rows    L0 2 L1 1   dotted: nothing needs it any longer
         pinned by tree, n3                             ┆ green: flushed up to here
"""

from __future__ import annotations

from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film
from kvraft.viz.trace import MemberState, SegmentState

LEFT, RIGHT, MEMORY, TABLES = 50.0, 254.0, 264.0, 356.0
TOP, ROW, HIGH = 36.0, 64.0, 30.0
MOST = 3
"""How many segments are shown, the newest."""
SOLID, FULL = "#DDE1E7", "#C4C8CF"


def disks_panel(film: Film, step: int) -> str:
    """Draw disk and memory of each member after ``step``."""
    if not len(film):
        return kit.empty("Nothing has happened yet: all disks are empty.")
    state = film.at(step)
    drawing = Canvas()
    for x, words in ((LEFT, "log segments"), (MEMORY, "memtable"), (TABLES, "tables")):
        drawing.text(x, 22, words, colour=kit.SOFT)
    for row, (name, member) in enumerate(state.members.items()):
        top, parts = TOP + ROW * row, Canvas()
        colour = kit.INK if member.running else kit.SOFT
        label = kit.fitted(name, LEFT - 12, kit.NAME, bold=True)
        parts.text(6, top + 21, label, kit.NAME, bold=True, colour=colour)
        _draw_segments(parts, member, top)
        _draw_memory(parts, member, top, film.peak(step))
        _draw_tables(parts, member, top)
        area = kit.clear(kit.WIDE / 2, top + ROW / 2, kit.WIDE - 8, ROW - 6)
        drawing.add(kit.hot(f"member {name}", disk_says(name, member), area, *parts.parts))
    top = TOP + ROW * len(state.members) + 14
    _draw_legend(drawing, top)
    return drawing.picture(top + 42, disks_says(film, step))


def disks_says(film: Film, step: int) -> str:
    """Return all disks in words."""
    members = film.at(step).members
    return f"Disks. {'; '.join(disk_says(name, member) for name, member in members.items())}."


def disk_says(name: str, member: MemberState) -> str:
    """Return one disk in words."""
    count, tables = len(member.segments), len(member.tables)
    rows = f"{member.memtable_rows} rows in memory" if member.running else "memory lost"
    pins = _pins(member)
    return (
        f"{name}: {count} log segment{'s' * (count != 1)}{f', {pins}' if pins else ''}, {rows}, "
        f"{tables} table{'s' * (tables != 1)}, flushed {member.marks.flushed}"
    )


def _last(member: MemberState, segment: SegmentState) -> int:
    return segment.last if segment.last is not None else max(member.marks.last, segment.first - 1)


def _pins(member: MemberState) -> str:
    """Return what pins sealed segments, in words."""
    sealed = [segment.last for segment in member.segments if segment.last is not None]
    if not sealed:
        return ""
    if not member.running:
        return "down: no pins"
    if not member.pins:  # it has just started, and has reported none yet
        return ""
    names = [name for name, needed in member.pins if needed <= max(sealed)]
    return f"pinned by {', '.join(names)}" if names else "pinned by nobody"


def _draw_segments(drawing: Canvas, member: MemberState, top: float) -> None:
    shown = member.segments[-MOST:]
    if not shown:
        drawing.text(LEFT, top + 21, "no segment yet", colour=kit.SOFT)
        return
    hidden = len(member.segments) - len(shown)
    left = LEFT
    if hidden:
        words = f"+{hidden}"
        drawing.text(left, top + 21, words, colour=kit.SOFT)
        left += kit.width_of(words) + 5
    wide = (RIGHT - left) / len(shown)
    flag = None
    for number, segment in enumerate(shown):
        x, last = left + wide * number, _last(member, segment)
        _draw_segment(drawing, member, segment, x, top, wide)
        if segment.first <= member.marks.flushed + 1 <= last + 1:
            share = (member.marks.flushed + 1 - segment.first) / max(last + 1 - segment.first, 1)
            flag = x + wide * share
    if flag is not None:
        for y in (top - 4, top + HIGH - 4):
            drawing.add(svg.line(flag, y, flag, y + 8, kit.FLUSHED, 4))
    pins = _pins(member)
    if pins:
        drawing.text(LEFT, top + HIGH + 18, kit.fitted(pins, MEMORY - LEFT - 6), colour=kit.SOFT)


def _draw_segment(
    drawing: Canvas, member: MemberState, segment: SegmentState, x: float, top: float, wide: float
) -> None:
    last = _last(member, segment)
    if segment.last is None:  # open at the right
        drawing.add(
            f'<path d="M{svg.num(x + wide - 3)} {svg.num(top)}H{svg.num(x)}v{HIGH:g}'
            f'H{svg.num(x + wide - 3)}" fill="none" stroke="{kit.INK}" stroke-width="1.5"/>'
        )
    else:
        known = member.running and member.pins
        pinned = not known or any(needed <= segment.last for _, needed in member.pins)
        fill, dashes = (SOLID, "") if pinned else (svg.WHITE, "2 3")
        drawing.add(svg.rect(x, top, wide, HIGH, fill, kit.INK, width=1.5, dashes=dashes))
    words = kit.span(segment.first, last) if last >= segment.first else "empty"
    if kit.width_of(words) > wide - 6:
        words = f"{last}" if kit.width_of(f"{last}") <= wide - 6 else ""
    if words:
        drawing.text(x + wide / 2, top + 21, words, anchor="middle")


def _draw_memory(drawing: Canvas, member: MemberState, top: float, peak: int) -> None:
    wide = 74.0
    if not member.running:
        drawing.add(svg.rect(MEMORY, top, wide, HIGH, svg.WHITE, kit.SOFT, dashes="4 3"))
        drawing.text(MEMORY + wide / 2, top + 21, "lost", anchor="middle", colour=kit.SOFT)
        return
    filled = wide * min(member.memtable_size / max(peak, 1), 1)
    drawing.add(svg.rect(MEMORY, top, wide, HIGH, svg.WHITE, ""))
    if filled:
        drawing.add(svg.rect(MEMORY, top, filled, HIGH, FULL, ""))
    drawing.add(svg.rect(MEMORY, top, wide, HIGH, "none", kit.INK, width=1.5))
    rows = member.memtable_rows
    words = f"{rows} row" if rows == 1 else f"{rows} rows"
    if kit.width_of(words) > wide - 4:
        words = f"{rows:,}"
    drawing.text(MEMORY + wide / 2, top + 21, words, anchor="middle")
    if member.waiting:
        drawing.text(MEMORY, top + HIGH + 18, f"+{member.waiting} full", colour=kit.SOFT)


def _draw_tables(drawing: Canvas, member: MemberState, top: float) -> None:
    count = len(member.tables)
    if not count:
        drawing.text(TABLES, top + 21, "none", colour=kit.SOFT)
        return
    for number in range(min(count, 6)):
        drawing.add(svg.rect(TABLES + 13 * number, top + 1, 10, HIGH - 2, kit.SOFT, kit.INK))
    levels: dict[int, int] = {}
    for level in member.levels.values():
        levels[level] = levels.get(level, 0) + 1
    words = " ".join(f"L{level} {many}" for level, many in sorted(levels.items()))
    room = kit.WIDE - TABLES - 4
    if kit.width_of(words) > room:
        words = f"{count} in all"
    drawing.text(TABLES, top + HIGH + 18, kit.fitted(words, room), colour=kit.SOFT)


def _draw_legend(drawing: Canvas, y: float) -> None:
    drawing.add(
        f'<path d="M30 {svg.num(y - 10)}H8v20H30" fill="none" stroke="{kit.INK}"'
        ' stroke-width="1.5"/>'
    )
    drawing.text(38, y + 6, "being written")
    drawing.add(svg.rect(176, y - 10, 22, 20, SOLID, kit.INK, width=1.5))
    drawing.text(206, y + 6, "sealed")
    drawing.add(svg.rect(284, y - 10, 22, 20, svg.WHITE, kit.INK, width=1.5, dashes="2 3"))
    drawing.text(314, y + 6, "not needed")
    drawing.add(svg.line(19, y + 18, 19, y + 34, kit.FLUSHED, 4))
    drawing.text(38, y + 32, "flushed to tables up to here")
