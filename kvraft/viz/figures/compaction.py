"""What a strategy of compaction costs, as figures of what :mod:`kvraft.sim.load` measured.

:func:`plot_timeline` draws it write by write, :func:`plot_triangle` as three costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kvraft.sim import Amplification, TreeSample, amplification_of
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, one_panel, some, stacked, titled
from kvraft.viz.svg import GREEN, GREY, ORANGE, PURPLE, SKY, YELLOW

LEVEL_COLOURS = (ORANGE, SKY, GREEN, PURPLE, YELLOW)


def plot_timeline(runs: Mapping[str, Sequence[TreeSample]]) -> Figure:
    """Draw for each run its sorted runs over time, and below them the three amplifications of all.

    A band is a sorted run, as high as its bytes, the oldest lowest.  Raises ``BadInput`` if there
    is nothing to draw.
    """
    tables = [any(sample.runs for sample in samples) for samples in runs.values()]
    some(tables and all(tables), "there never was a table")
    figure, axes = stacked([1.0] * len(runs) + [0.8, 0.8, 1.0])
    most = max(_total(sample) for samples in runs.values() for sample in samples)
    for panel, (name, samples) in zip(axes, runs.items(), strict=False):
        for part in _bands(samples):
            panel.add_collection(part)
        named(panel, f"{name}: tables (KiB)")
        panel.set_ylim(0, 1.05 * most)
    levels = max(level for samples in runs.values() for each in samples for level, _ in each.runs)
    key: list[Artist] = [
        Patch(color=LEVEL_COLOURS[level], label=f"level {level}") for level in range(levels + 1)
    ]
    for panel, cost in zip(axes[len(runs) :], Amplification._fields, strict=True):
        for (name, samples), (colour, style) in zip(runs.items(), MEMBER_LINES * 9, strict=False):
            times, values = _line(samples, cost)
            panel.plot(times, values, color=colour, ls=style, lw=1.2, label=name)
        named(panel, f"{cost} amplification")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    named(axes[-1], right="writes")
    axes[-1].set_xlim(0, max(each[-1].writes for each in runs.values()))
    legend(figure, key + axes[-1].get_legend_handles_labels()[0] * (len(runs) > 1))
    return titled(figure, _ends(runs))


def _line(samples: Sequence[TreeSample], cost: str) -> tuple[list[int], list[float]]:
    """Return times and values of one amplification, from when there was a table on."""
    full = [sample for sample in samples if sample.runs]
    return [sample.writes for sample in full], [getattr(sample, cost) for sample in full]


def _total(sample: TreeSample) -> float:
    return sum(size for _, size in sample.runs) / 1024


def _bands(samples: Sequence[TreeSample]) -> tuple[PolyCollection, LineCollection]:
    """Return the sorted runs over time, and the lines on top of them.

    A table of level 0 is the darker the larger it is.
    """
    shapes, lines, colours = [], [], []
    smallest = min((size for each in samples for _, size in each.runs), default=1)
    ends = [sample.writes for sample in samples[1:]] + [samples[-1].writes]
    for runs, group in groupby(zip(samples, ends, strict=True), lambda pair: pair[0].runs):
        pairs = list(group)
        left, right, low = pairs[0][0].writes, pairs[-1][1], 0.0
        for level, size in runs:
            high = low + size / 1024
            shapes.append([(left, low), (left, high), (right, high), (right, low)])
            lines.append([(left, high), (right, high)])
            dark = 1.0 if level else min(0.35 + 0.13 * math.log2(size / smallest), 1.0)
            colours.append(to_rgba(LEVEL_COLOURS[level % len(LEVEL_COLOURS)], dark))
            low = high
    return (
        PolyCollection(shapes, facecolors=colours, edgecolors="none"),
        LineCollection(lines, colors="#000000", linewidths=0.5),
    )


def _ends(runs: Mapping[str, Sequence[TreeSample]]) -> str:
    """Say what each run cost."""
    told = []
    for name, samples in runs.items():
        cost = amplification_of(samples)
        told.append(
            f"{name}: {cost.write:.1f} bytes written for each put in, {cost.read:.1f} blocks a "
            f"read, {cost.space:.1f} bytes held for each alive"
        )
    return "\n".join(told)


def plot_triangle(costs: Mapping[str, Amplification]) -> Figure:
    """Draw the three amplifications of each run as a triangle: the smaller, the better.

    Each corner lies as far out as the worst of all runs, the middle is 0.
    """
    some(costs)
    figure, axes = one_panel(3.0, grid=False)
    worst = [max(cost[at] for cost in costs.values()) or 1.0 for at in range(3)]
    spokes = [math.radians(angle) for angle in (90, 210, 330)]
    for at, (name, angle) in enumerate(zip(Amplification._fields, spokes, strict=True)):
        x, y = math.cos(angle), math.sin(angle)
        axes.plot([0, x], [0, y], color=GREY, lw=1)
        away, where = (-1, "top") if y < 0 else (1, "bottom")
        says = f"{name}: {worst[at]:.1f}"
        axes.text(x, y + 0.08 * away, says, ha="center", va=where, weight="bold")
    for part in (0.25, 0.5, 0.75, 1.0):
        ring = [(part * math.cos(angle), part * math.sin(angle)) for angle in spokes]
        axes.plot(*zip(*ring, ring[0], strict=True), color=GREY, lw=0.6)
    for (name, cost), (colour, style) in zip(costs.items(), MEMBER_LINES * 9, strict=False):
        _triangle(axes, cost, worst, spokes, colour=colour, style=style, name=name)
    axes.set(xlim=(-1.3, 1.3), ylim=(-0.8, 1.3), aspect="equal")
    axes.axis("off")
    named(axes, "amplification: 0 in the middle, the most at a corner")
    legend(figure)
    best = [min(costs, key=lambda name: costs[name][at]) for at in range(3)]
    if len(set(best)) == 1:
        return titled(figure, f"{best[0]} is lowest in all three")
    told = [f"{cost}: {name}" for cost, name in zip(Amplification._fields, best, strict=True)]
    return titled(figure, f"None is lowest in all three. Lowest {'; '.join(told)}")


def _triangle(
    axes: Axes,
    cost: Amplification,
    worst: Sequence[float],
    spokes: Sequence[float],
    *,
    colour: str,
    style: str,
    name: str,
) -> None:
    shares = [value / most for value, most in zip(cost, worst, strict=True)]
    corners = [(s * math.cos(a), s * math.sin(a)) for s, a in zip(shares, spokes, strict=True)]
    xs, ys = zip(*corners, corners[0], strict=True)
    axes.plot(xs, ys, color=colour, ls=style, lw=2, label=name, marker="o", ms=4)
