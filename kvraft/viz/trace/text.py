"""A trace drawn as lines of text, for a terminal: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvraft.events import Marks, Trace
from kvraft.viz.trace import series

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 72


def overview(trace: Trace, width: int = WIDTH) -> str:
    """Return all pictures: who led when, the marks, the log's segments, memtables and tables."""
    pictures = (leaders, log_kept, final_marks, segments_alive, memtables, tables)
    return "\n\n".join(picture(trace, width) for picture in pictures)


def leaders(trace: Trace, width: int = WIDTH) -> str:
    """Return one lane a member: the term's last digit where it led, ``x`` where it was down."""
    end = max(series.end_of(trace), 1)
    lines = [f"Who led when, over {end / 1e6:.1f} s (a digit: leader of that term; x: down)"]
    for member in series.members_of(trace):
        lane = ["·"] * width
        for down in series.downtimes(trace):
            if down.member == member:
                _fill(lane, down.start, down.end, end, "x")
        for span in series.leaderships(trace):
            if span.member == member:
                _fill(lane, span.start, span.end, end, str(span.term % 10))
        lines.append(f"  {member} {''.join(lane)}")
    return "\n".join(lines)


def segments_alive(trace: Trace, width: int = WIDTH) -> str:
    """Return one sparkline a member: how many log segments were on its disk."""
    return _sparklines(
        trace, width, "Log segments on disk", lambda name: series.alive(trace, name), "segments"
    )


def log_kept(trace: Trace, width: int = WIDTH) -> str:
    """Return one sparkline a member: how far apart its first and its last mark were."""
    title = "Entries kept in the log, from the mark first to the mark last"

    def kept(name: str) -> list[tuple[int, int]]:
        changes = series.marks(trace, name)
        return [(c.at, c.marks.last - c.marks.first + 1 if c.marks else 0) for c in changes]

    return _sparklines(trace, width, title, kept, "entries")


def memtables(trace: Trace, width: int = WIDTH) -> str:
    """Return one sparkline a member: how full its memtable was."""
    return _sparklines(
        trace,
        width,
        "Memtable",
        lambda name: [(size.at, size.memtable) for size in series.sizes(trace, name)],
        "bytes",
    )


def tables(trace: Trace, width: int = WIDTH) -> str:
    """Return one sparkline a member: how many bytes its tables had."""
    return _sparklines(
        trace,
        width,
        "SSTables",
        lambda name: [(size.at, size.tables) for size in series.sizes(trace, name)],
        "bytes",
    )


def final_marks(trace: Trace, width: int = WIDTH) -> str:
    """Return one line a member: its five marks at the end."""
    del width  # five numbers are as wide as they are
    lines = ["The five marks at the end: first ≤ flushed + 1, flushed ≤ applied ≤ committed ≤ last"]
    for member in series.members_of(trace):
        changes = series.marks(trace, member)
        now = changes[-1].marks if changes else None
        if isinstance(now, Marks):
            lines.append(
                f"  {member} {now.first:>7,} {now.flushed:>7,} {now.applied:>7,} "
                f"{now.committed:>7,} {now.last:>7,}"
            )
        else:
            lines.append(f"  {member} is down")
    return "\n".join(lines)


def _sparklines(
    trace: Trace,
    width: int,
    title: str,
    of: Callable[[str], Sequence[tuple[int, int]]],
    unit: str,
) -> str:
    end = max(series.end_of(trace), 1)
    lanes = {name: _highest(of(name), end, width) for name in series.members_of(trace)}
    top = max((value for lane in lanes.values() for value in lane), default=0)
    lines = [f"{title} (highest bar: {top:,} {unit})"]
    for name, lane in lanes.items():
        bars = "".join(BARS[value * (len(BARS) - 1) // top] if value else " " for value in lane)
        lines.append(f"  {name} {bars}")
    return "\n".join(lines)


def _highest(changes: Sequence[tuple[int, int]], end: int, width: int) -> list[int]:
    """Return the highest value within each of ``width`` equal spans of time."""
    lane = [0] * width
    value = cell = 0
    for at, following in changes:
        here = min(at * width // end, width - 1)
        while cell < here:
            lane[cell] = max(lane[cell], value)
            cell += 1
        lane[here] = max(lane[here], value, following)
        value = following
    for rest in range(cell, width):
        lane[rest] = max(lane[rest], value)
    return lane


def _fill(lane: list[str], start: int, stop: int, end: int, mark: str) -> None:
    first = min(start * len(lane) // end, len(lane) - 1)
    for cell in range(first, max(first + 1, stop * len(lane) // end)):
        lane[cell] = mark
