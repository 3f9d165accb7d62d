"""Crashes as figures: what a store holds after a crash during each disk call.

Each function takes outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kvraft.check.storage import CrashOutcome
from kvraft.viz.figures.cells import Cell, lanes_of_cells
from kvraft.viz.figures.style import legend, named, one_panel, some, stacked, titled
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SKY

_NOT_THERE, _THERE, _EXTRA, _GONE = range(4)
_COLOURS = ("white", BLUE, SKY, RED)
_HATCHES = ("", "", "++", "xx")  # so that colour is not needed


def plot_matrix(outcomes: Sequence[CrashOutcome], writes: int) -> Figure:
    """Draw a column for each call during which it crashed, and in it what became of each write."""
    kinds = [[_cell(outcome, write) for outcome in outcomes] for write in range(1, writes + 1)]
    lanes = [
        (f"write {number}", [Cell("", _COLOURS[kind], hatch=_HATCHES[kind]) for kind in line])
        for number, line in enumerate(kinds, 1)
    ]
    ticks = {
        at: str(outcome.call.number)
        for at, outcome in enumerate(outcomes)
        if at == 0 or outcome.call.number % 10 == 0
    }
    figure, axes = lanes_of_cells(lanes, ticks)
    named(axes, right="the call during which the power failed")
    lost = sum(outcome.lost > 0 for outcome in outcomes)
    what = "none lost a write" if lost == 0 else f"{lost} lost a write"
    names = ("not there", "acknowledged, and there", "there, not acknowledged", "gone")
    used = sorted({kind for line in kinds for kind in line})
    legend(
        figure,
        [
            Patch(facecolor=_COLOURS[n], edgecolor=GREY, hatch=_HATCHES[n], label=names[n])
            for n in used
        ],
    )
    return titled(figure, f"{len(outcomes)} crashes: {what} that was acknowledged")


def _cell(outcome: CrashOutcome, write: int) -> int:
    if write <= outcome.acknowledged:
        return _THERE if write <= outcome.found else _GONE
    return _EXTRA if write <= outcome.found else _NOT_THERE


def plot_levels(
    levels: Mapping[str, tuple[Sequence[CrashOutcome], Sequence[CrashOutcome]]],
) -> Figure:
    """Draw how many acknowledged writes were lost, by level of durability.

    Each level has its outcomes where only the process died, and where the power failed.
    """
    some(levels)
    figure, panels = stacked([1.1, 1.3])
    # The later lie on the earlier: each is narrower than the one before, so none is hidden.
    looks = [(BLUE, 7), (ORANGE, 4), (BLACK, 1.3)]
    for axes, cause, at in zip(
        panels, ("the process dies", "the power fails"), (0, 1), strict=True
    ):
        for (name, both), (colour, width) in zip(levels.items(), looks, strict=True):
            lost = [outcome.lost for outcome in both[at]]
            share = [100 * n / len(lost) for n in range(len(lost))]
            axes.step(share, lost, where="post", color=colour, label=name, linewidth=width)
        named(axes, f"acknowledged writes lost: {cause}")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
    named(panels[-1], right="where it crashed, % of all calls")
    legend(figure)
    safe = [name for name, both in levels.items() if not any(o.lost for o in both[1])]
    return titled(figure, f"Whatever fails, {' and '.join(safe) or 'no level'} loses nothing")


def plot_careless(parts: Mapping[str, Sequence[CrashOutcome]]) -> Figure:
    """Draw what came of crashes where a disk only says that it synced: a bar for each part."""
    names = list(parts)
    kinds = ("kept its promise", "lost a write", "cannot be opened")
    counts = {name: [0, 0, 0] for name in names}
    for name, outcomes in parts.items():
        for outcome in outcomes:
            counts[name][2 if outcome.damage else 0 if outcome.kept else 1] += 1
    figure, axes = one_panel(0.3 + 0.36 * len(names), grid=False)
    left = [0] * len(names)
    for kind, colour, hatch in zip(range(3), (GREEN, ORANGE, RED), ("", "//", "xx"), strict=True):
        widths = [counts[name][kind] for name in names]
        axes.barh(
            names, widths, left=left, color=colour, hatch=hatch, edgecolor=BLACK, label=kinds[kind]
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    named(axes, "syncs that did nothing", "crashes")
    harmed = sum(counts[name][0] < sum(counts[name]) for name in names if name != "none")
    of = len([name for name in names if name != "none"])
    legend(figure)
    return titled(figure, f"{harmed} of {of} kinds of syncs are missed when they do nothing")
