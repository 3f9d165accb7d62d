"""A soak as a figure: what each member uses while transactions go by, and when it was down.

Every line is a member's samples (``check/usage.py``), thin; over the second half the straight line
that fits them, thick.  Where the thick lines are level, nothing grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from kvraft.check.sweep import (
    MemberOutage,
    UsageSample,
    fit_trend,
    second_half,
    usage_points,
    usage_trends,
)
from kvraft.display import counted
from kvraft.viz.figures.style import MEMBER_LINES, titled
from kvraft.viz.svg import BLACK, GREY, ORANGE

PANELS = (
    ("log", "log on disk\n(KiB)"),
    ("tables", "tables on disk\n(KiB)"),
    ("other", "other files\n(KiB)"),
    ("memory", "in memory\n(KiB)"),
)
"""What is drawn: a name in :class:`~kvraft.check.sweep.usage.Usage`, and its label."""


def plot_soak(
    members: Sequence[str], samples: Sequence[UsageSample], outages: Sequence[MemberOutage]
) -> Figure:
    """Draw disk and memory of each member over transactions; below, when it was down.

    Raises :class:`~kvraft.errors.BadInput` for fewer than six samples.
    """
    figure = Figure(figsize=(9, 9.5), layout="constrained")
    heights = [*(3 for _ in PANELS), 1.2]
    panels = list(
        figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    )
    end = samples[-1].transactions if samples else 0
    for axes, (kind, label) in zip(panels, PANELS, strict=False):
        for number, name in enumerate(members):
            _draw(axes, usage_points(samples, number, kind), number, name)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    _draw_outages(panels[-1], members, outages, end)
    panels[-1].set_xlim(0, end)
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    panels[-1].set_xlabel("transactions applied; thick: the line that fits the second half")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
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
    axes.set_ylabel("crashes\n(bar: long)")
    axes.grid(axis="x", alpha=0.3, color=GREY)
