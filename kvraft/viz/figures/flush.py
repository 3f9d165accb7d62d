"""Flushes as figures, of numbers measured by :class:`~kvraft.sim.SingleMember`.

:func:`plot_calls` draws which calls to the disk a flush makes, in their order;
:func:`plot_saw_tooth` what is held in memory and in the log, write by write; :func:`plot_paces` and
:func:`plot_pressure` what becomes of that if long work is slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvraft.check.storage import Call
from kvraft.sim import Gauge
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, one_panel, some, stacked, titled
from kvraft.viz.svg import BLACK, BLUE, GREY, ORANGE, PURPLE, RED, SKY

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
    some(calls, "the disk was not called")
    figure, axes = one_panel(1.7, grid=False)
    for kind, (marker, colour) in MARKERS.items():
        at = [n for n, call in enumerate(calls, 1) if call.kind.removesuffix("_dir") == kind]
        rows = [LANES.index(calls[n - 1].part) for n in at]
        if at:
            axes.scatter(at, rows, s=45, marker=marker, color=colour, label=kind, zorder=3)
    for row in range(len(LANES)):
        axes.axhline(row, color=GREY, lw=0.8, zorder=1)
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(len(LANES) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    named(axes, right="calls to the disk, in order")
    legend(figure)
    return titled(figure, _order(calls))


def _order(calls: Sequence[Call]) -> str:
    """Return at which calls table and manifest were durable, and when the log was truncated."""
    steps = [("table synced", "sync", "table"), ("manifest synced", "sync", "manifest")]
    steps += [("log truncated", "remove", "log")]
    parts = []
    for says, kind, where in steps:
        at = [n for n, call in enumerate(calls, 1) if (call.kind, call.part) == (kind, where)]
        if at:
            parts.append(f"{says} at call {at[0]}")
    text = ", ".join(parts) or "no table, no manifest and no truncation"
    return text[0].upper() + text[1:]


# ── what is held, write by write ────────────────────────────────────────────────────────────────


def plot_saw_tooth(gauges: Sequence[Gauge], memtable_bytes: int, log_bytes: int) -> Figure:
    """Draw what is held in memory, and below it in the log; the limits are dashed lines."""
    figure, (memory, log) = _panels(gauges)
    writes = [gauge.writes for gauge in gauges]
    held = [[_kib(gauge.memtable) for gauge in gauges], [_kib(gauge.frozen) for gauge in gauges]]
    memory.stackplot(writes, held, labels=["memtable", "frozen"], colors=[ORANGE, PURPLE], lw=0)
    kept = [[_kib(gauge.sealed) for gauge in gauges], [_kib(gauge.active) for gauge in gauges]]
    log.stackplot(writes, kept, labels=["sealed", "being written"], colors=[SKY, GREY], lw=0)
    longest = max(_kib(gauge.log) for gauge in gauges)
    together = max(_kib(gauge.memtable + gauge.frozen) for gauge in gauges)
    limits = ((memory, _kib(memtable_bytes), together), (log, _kib(log_bytes), longest))
    for axes, limit, peak in limits:
        axes.axhline(limit, color=BLACK, ls="--", lw=1, label="limit")
        axes.set_ylim(0, 1.1 * max(limit, peak))
    for at in _flushes(gauges):
        for axes in (memory, log):
            axes.axvline(at, color=BLUE, lw=0.8, ls=":")
    named(memory, "memory (KiB)")
    named(log, "log held (KiB)", "writes; dotted: a flush is done")
    log_key, _ = log.get_legend_handles_labels()
    legend(figure, [*memory.get_legend_handles_labels()[0][:-1], *log_key])
    flushes = len(_flushes(gauges))
    return titled(
        figure,
        f"{flushes} flush{'' if flushes == 1 else 'es'}: at most {together:.1f} KiB of memory and "
        f"{longest:.1f} KiB of log",
    )


def plot_paces(runs: Mapping[str, Sequence[Gauge]], log_bytes: int) -> Figure:
    """Draw the log held and the memtables waiting for the same writes at several paces of work."""
    some(runs)
    figure, (log, queue) = _panels(next(iter(runs.values())))
    for (name, gauges), (colour, style) in zip(runs.items(), MEMBER_LINES * 9, strict=False):
        writes = [gauge.writes for gauge in gauges]
        log.plot(writes, [_kib(g.log) for g in gauges], color=colour, ls=style, label=name)
        waiting = [gauge.waiting for gauge in gauges]
        queue.step(writes, waiting, where="post", color=colour, ls=style)
    log.axhline(_kib(log_bytes), color=BLACK, ls=":", lw=1, label="its limit")
    named(log, "log held (KiB)")
    named(queue, "memtables waiting", "writes")
    legend(figure, title="slices of work a write")
    log.set_ylim(bottom=0)
    queue.set_ylim(bottom=0)
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
    some(measured and all(measured.values()))
    figure, (above, below) = stacked([1.2, 1.4])
    # The later lie on the earlier: each is narrower than the one before, so none is hidden.
    lines = zip(measured.items(), MEMBER_LINES * 9, range(len(measured), 0, -1), strict=False)
    for (name, points), (colour, style), width in lines:
        writes, pressure, stalls = zip(*points, strict=True)
        look: dict[str, Any] = {"color": colour, "ls": style, "lw": 1.5 * width}
        above.step(writes, pressure, where="post", label=name, **look)
        below.step(writes, stalls, where="post", **look)
    above.axhline(1, color=GREY, ls="--", lw=1)
    named(above, "pressure")
    named(below, "stalls so far", "writes")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
    legend(figure)
    peaks = {name: max(pressure for _, pressure, _ in points) for name, points in measured.items()}
    told = [f"{peak:.1f} ({name})" for name, peak in peaks.items()]
    return titled(figure, f"Highest pressure: {', '.join(told)}")


def _flushes(gauges: Sequence[Gauge]) -> list[int]:
    """Return after which writes the flushed mark had moved."""
    return [after.writes for before, after in pairwise(gauges) if after.flushed > before.flushed]


def _panels(gauges: Sequence[Gauge]) -> tuple[Figure, list[Axes]]:
    some(gauges)
    figure, panels = stacked([1.2, 1.4])
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.set_xlim(gauges[0].writes, gauges[-1].writes)
    return figure, panels


def _kib(size: int) -> float:
    return size / 1024
