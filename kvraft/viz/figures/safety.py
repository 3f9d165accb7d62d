"""Hunts for bugs as a figure: after how many random events a property of Raft was broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from kvraft.display import counted
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, one_panel, some, titled


def plot_hunts(found: Mapping[str, Sequence[int | None]], events: int) -> Figure:
    """Draw the share of schedules that had done harm by each event, one line a module.

    ``found[name]`` is what :func:`~kvraft.check.sweep.hunt` returned for each schedule of
    ``events`` events.  Raises :class:`~kvraft.errors.BadInput` if there are none.
    """
    some(found and all(found.values()), "no schedule was tried")
    figure, axes = one_panel(2.2)
    for (name, results), (colour, style) in zip(found.items(), MEMBER_LINES * 9, strict=False):
        ends = sorted(number for number in results if number is not None)
        shares = [100 * (at + 1) / len(results) for at in range(len(ends))]
        times, heights = [0, *ends, events], [0.0, *shares, (shares or [0.0])[-1]]
        label = f"{name}: {len(ends)} of {len(results)}"
        axes.step(times, heights, where="post", color=colour, ls=style, lw=1.8, label=label)
    named(axes, "schedules that did harm (%)", "events")
    axes.set(xlim=(0, events), ylim=(-1, None))
    legend(figure)
    harm = {
        name: sum(number is not None for number in results) / len(results)
        for name, results in found.items()
    }
    ranks = sorted((name for name in harm if harm[name]), key=lambda name: -harm[name])
    told = [f"{harm[name]:.0%} find “{name}”" for name in dict.fromkeys((*ranks[:1], *ranks[-1:]))]
    return titled(
        figure,
        f"Of schedules of {counted(events, 'event')} {', '.join(told) or 'none finds anything'}",
    )
