"""Flushes as figures, of numbers measured by :class:`~kvraft.sim.SingleMember`.

:func:`plot_calls` draws which calls to the disk a flush makes, in their order;
:func:`plot_saw_tooth` what is held in memory and in the log, write by write; :func:`plot_paces` and
:func:`plot_pressure` what becomes of that if long work is slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvraft.check.storage import Call
from kvraft.sim import Gauge
from kvraft.viz.figures.style import MEMBER_LINES, one_panel, some, stacked, titled
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
    figure, axes = one_panel(2.9, grid=False)
    for kind, (marker, colour) in MARKERS.items():
        at = [n for n, call in enumerate(calls, 1) if call.kind.removesuffix("_dir") == kind]
        rows = [LANES.index(calls[n - 1].part) for n in at]
        if at:
            axes.scatter(at, rows, s=90, marker=marker, color=colour, label=kind, zorder=3)
    for row in range(len(LANES)):
        axes.axhline(row, color=GREY, lw=0.8, zorder=1)
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(len(LANES) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("calls to the disk, in order")
    figure.legend(loc="outside lower center", ncols=len(MARKERS), fontsize="small")
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
    figure, (memory, log) = _panels(gauges, 2, 5.2)
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
        axes.set_ylim(0, 1.3 * max(limit, peak))  # room for the legend
    for at in _flushes(gauges):
        for axes in (memory, log):
            axes.axvline(at, color=BLUE, lw=0.8, ls=":")
    memory.set_ylabel("memory (KiB)")
    log.set_ylabel("log held (KiB)")
    for axes in (memory, log):
        axes.legend(loc="upper left", ncols=3, fontsize="small", framealpha=0.9)
    log.set_xlabel("writes; dotted: a flush is done")
    flushes = len(_flushes(gauges))
    return titled(
        figure,
        f"{flushes} flush{'' if flushes == 1 else 'es'}: at most {together:.1f} KiB of memory and "
        f"{longest:.1f} KiB of log",
    )


def plot_paces(runs: Mapping[str, Sequence[Gauge]], log_bytes: int) -> Figure:
    """Draw the log held and the memtables waiting for the same writes at several paces of work."""
    some(runs)
    figure, (log, queue) = _panels(next(iter(runs.values())), 2, 5.2)
    for (name, gauges), (colour, style) in zip(runs.items(), MEMBER_LINES * 9, strict=False):
        writes = [gauge.writes for gauge in gauges]
        log.plot(writes, [_kib(g.log) for g in gauges], color=colour, ls=style, label=name)
        waiting = [gauge.waiting for gauge in gauges]
        queue.step(writes, waiting, where="post", color=colour, ls=style)
    log.axhline(_kib(log_bytes), color=GREY, ls="--", lw=1)
    log.set(ylabel="log held (KiB)", ylim=(0, None))
    log.legend(loc="upper left", fontsize="small", title="slices of work a write")
    queue.set(ylabel="memtables waiting", xlabel="writes", ylim=(0, None))
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
    figure, (above, below) = stacked(2, 4.6)
    for (name, points), (colour, style) in zip(measured.items(), MEMBER_LINES * 9, strict=False):
        writes, pressure, stalls = zip(*points, strict=True)
        above.step(writes, pressure, where="post", color=colour, ls=style, label=name)
        below.step(writes, stalls, where="post", color=colour, ls=style)
    above.axhline(1, color=GREY, ls="--", lw=1)
    above.set(ylabel="pressure", ylim=(0, None))
    below.set(ylabel="stalls so far", xlabel="writes", ylim=(0, None))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    above.legend(loc="upper left", fontsize="small")
    peaks = {name: max(pressure for _, pressure, _ in points) for name, points in measured.items()}
    told = [f"{peak:.1f} ({name})" for name, peak in peaks.items()]
    return titled(figure, f"Highest pressure: {', '.join(told)}")


def _flushes(gauges: Sequence[Gauge]) -> list[int]:
    """Return after which writes the flushed mark had moved."""
    return [after.writes for before, after in pairwise(gauges) if after.flushed > before.flushed]


def _panels(gauges: Sequence[Gauge], count: int, height: float) -> tuple[Figure, list[Axes]]:
    some(gauges)
    figure, panels = stacked(count, height)
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.set_xlim(gauges[0].writes, gauges[-1].writes)
    return figure, panels


def _kib(size: int) -> float:
    return size / 1024
