"""A soak as a figure: what each member uses while transactions go by, and when it was down.

Every line is a member's samples (``check/usage.py``), thin; over the second half the straight line
that fits them, thick.  Where the thick lines are level, nothing grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kvraft.check.sweep import (
    MemberOutage,
    UsageSample,
    fit_trend,
    second_half,
    usage_points,
    usage_trends,
)
from kvraft.display import counted
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, stacked, titled
from kvraft.viz.svg import BLACK, GREY, ORANGE

PANELS = (
    ("log", "log on disk (KiB)"),
    ("tables", "tables on disk (KiB)"),
    ("other", "other files (KiB)"),
    ("memory", "in memory (KiB)"),
)
"""What is drawn: a name in :class:`~kvraft.check.sweep.usage.Usage`, and its label."""


def plot_soak(
    members: Sequence[str], samples: Sequence[UsageSample], outages: Sequence[MemberOutage]
) -> Figure:
    """Draw disk and memory of each member over transactions; below, when it was down.

    Raises :class:`~kvraft.errors.BadInput` for fewer than six samples.
    """
    figure, panels = stacked([*(1.0 for _ in PANELS), 0.4 + 0.2 * len(members)])
    end = samples[-1].transactions if samples else 0
    for axes, (kind, label) in zip(panels, PANELS, strict=False):
        for number, name in enumerate(members):
            _draw(axes, usage_points(samples, number, kind), number, name)
        named(axes, label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    _draw_outages(panels[-1], members, outages, end)
    panels[-1].set_xlim(0, end)
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    panels[-1].xaxis.set_major_locator(MaxNLocator(4))
    named(panels[-1], right="transactions applied; thick: the line that fits the second half")
    legend(figure)
    return titled(figure, soak_title(members, samples))


def soak_title(members: Sequence[str], samples: Sequence[UsageSample]) -> str:
    """Return the conclusion: how much a disk held at most, and what grows."""
    found = usage_trends(members, samples)
    most = -(-max(found["disk", name].peak for name in members) // 1024)
    growing = [f"{kind} of {name}" for (kind, name), each in found.items() if each.grows]
    return (
        f"{counted(samples[-1].transactions, 'transaction')}: no disk ever holds more "
        f"than {most:,} KiB;\n"
        f"from the middle on {', '.join(growing) or 'nothing'} grows beyond chance"
    )


def _draw(axes: Axes, values: Sequence[tuple[int, int]], number: int, name: str) -> None:
    colour, style = MEMBER_LINES[number % len(MEMBER_LINES)]
    xs, ys = [x for x, _ in values], [y / 1024 for _, y in values]
    axes.plot(xs, ys, color=colour, linewidth=0.6, alpha=0.5)
    late = second_half(values)
    ends = [late[0][0], late[-1][0]]
    fitted = [y / 1024 for y in fit_trend(values).ends]
    axes.plot(ends, fitted, color="white", linewidth=4)
    axes.plot(ends, fitted, color=colour, linestyle=style, linewidth=2, label=name)


def _draw_outages(
    axes: Axes, members: Sequence[str], outages: Sequence[MemberOutage], end: int
) -> None:
    """Draw a lane a member: a tick for each crash, and a bar for as long as it stayed away."""
    for outage in outages:
        lane, until = members.index(outage.member), end if outage.until is None else outage.until
        if outage.long:
            axes.barh(lane, until - outage.since, left=outage.since, color=ORANGE, height=0.8)
        axes.plot([outage.since] * 2, [lane - 0.4, lane + 0.4], color=BLACK, linewidth=0.5)
    axes.set_yticks(range(len(members)), members)
    axes.set_ylim(len(members) - 0.4, -0.6)
    named(axes, "crashes (bar: long)")
    axes.grid(axis="x", alpha=0.3, color=GREY)
