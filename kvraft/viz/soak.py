"""A soak as a figure: what members keep on disk, over the transactions that went through."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from kvraft.sim.soak import OPTIONS, Sample, trend
from kvraft.viz.plots import BLACK, BLUE, GREEN, GREY, ORANGE


def plot_soak(samples: Sequence[Sample]) -> Figure:
    """Draw log and tables on disk, the most of any member, and the budget of the log."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    disk, memory = figure.subplots(2, 1, sharex=True)
    applied = [each.applied / 1000 for each in samples]
    for name, colour, style in (
        ("tables", GREEN, "-"),
        ("log", ORANGE, "-"),
        ("other", BLACK, ":"),
    ):
        values = [getattr(each, name) / 1024 for each in samples]
        disk.plot(applied, values, style, color=colour, linewidth=1, label=name)
    budget = OPTIONS.retain_bytes / 1024
    disk.axhline(budget, color=GREY, linestyle="--", label="log kept for followers, at most")
    disk.set(ylabel="on disk, KiB", ylim=(0, None))
    disk.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    memory.plot(applied, [e.entries for e in samples], color=BLUE, linewidth=1, label="log entries")
    memory.plot(
        applied, [e.sessions for e in samples], "--", color=BLACK, linewidth=1, label="sessions"
    )
    memory.set(ylabel="in memory", xlabel="transactions applied, thousands", ylim=(0, None))
    memory.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    log, tables = trend(samples, "log"), trend(samples, "tables")
    figure.suptitle(
        f"{samples[-1].applied:,} transactions: the log stays below {log.highest / 1024:,.0f} KiB, "
        f"tables below {tables.highest / 1024:,.0f} KiB; growth over the second half "
        f"{100 * log.growth:+.0f} ± {100 * log.error:.0f} % and {100 * tables.growth:+.0f} ± "
        f"{100 * tables.error:.0f} %",
        wrap=True,
    )
    return figure
