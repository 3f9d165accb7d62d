"""What each member has on disk and in memory at one moment."""

from __future__ import annotations

from collections.abc import Iterable

from kvraft.display import counted
from kvraft.viz import svg
from kvraft.viz.trace import MemberState, TraceHistory, summary


def disk_view(history: TraceHistory, step: int) -> str:
    """Draw what each member has on disk and in memory.

    Log segments are drawn to scale on one axis of log indexes, with the flushed mark as a flag.
    """
    state = history.at(step)
    low = min((member.marks.first for member in state.members.values()), default=1)
    high = max(max((m.marks.last for m in state.members.values()), default=0) + 1, low + 10)
    parts: list[str] = []
    for row, (name, member) in enumerate(state.members.items()):
        top = 10 + 96 * row
        parts.append(svg.text(8, top + 34, name, weight="bold"))
        if not member.running:
            parts.append(svg.text(8, top + 49, "down", size=11))
        parts += _segments(member, low, high, top)
        parts += _memory_and_tables(member, top, history.memtable_peak)
        marks = member.marks
        words = f"first {marks.first:,}   flushed {marks.flushed:,}   applied {marks.applied:,}"
        words += f"   committed {marks.committed:,}   last {marks.last:,}"
        parts.append(svg.text(70, top + 72, words, size=11))
    height = 10 + 96 * len(state.members) + 16
    caption = f"log {low:,} to {high - 1:,}; "
    caption += "white: being written, blue: not all flushed, grey: flushed"
    for x, words in ((70, caption), (560, "memtable"), (680, "SSTables")):
        parts.append(svg.legend(x, height - 8, words))
    return svg.drawing(height, summary(history, step), parts)


def _segments(member: MemberState, low: int, high: int, top: float) -> Iterable[str]:
    left, width = 70, 470
    scale = width / (high - low)
    for segment in member.segments:
        last = segment.last if segment.last is not None else member.marks.last
        x = left + (max(segment.first, low) - low) * scale
        wide = max((last + 1 - max(segment.first, low)) * scale, 3)
        fill = svg.WHITE if segment.last is None else "#9CCBE8"
        if segment.last is not None and last <= member.marks.flushed:
            fill = "#CCCCCC"
        says = f"segment {segment.number}: entries {segment.first} to {last}"
        yield svg.rect(x, top + 18, wide, 30, fill, title=says)
        if wide >= 16:
            yield svg.text(x + wide / 2, top + 37, str(segment.number), 11, "middle")
    flag = left + (min(max(member.marks.flushed + 1, low), high) - low) * scale
    yield svg.line(flag, top + 8, flag, top + 54, svg.RED, 3)
    yield svg.text(flag + 4, top + 14, "flushed", size=10, colour=svg.DARK_RED)


def _memory_and_tables(member: MemberState, top: float, peak: int) -> Iterable[str]:
    filled = member.memtable_size / max(peak, 1) * 96
    yield svg.rect(560, top + 18, 96, 30, svg.WHITE, "#000")
    yield svg.rect(560, top + 18, filled, 30, svg.SKY, "none")
    waiting = f" +{member.waiting} frozen" if member.waiting else ""
    yield svg.text(560, top + 62, f"{counted(member.memtable_rows, 'row')}{waiting}", size=11)
    for n, (number, size) in enumerate(member.tables[-11:]):
        says = f"table {number}: {counted(size, 'byte')}"
        yield svg.rect(680 + 15 * n, top + 18, 12, 30, svg.GREEN, title=says)
    total = sum(size for _, size in member.tables) / 1024
    yield svg.text(
        680, top + 62, f"{counted(len(member.tables), 'table')}, {total:,.0f} KiB", size=11
    )
