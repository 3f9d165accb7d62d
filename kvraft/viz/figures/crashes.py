"""Crashes as figures: what a store holds after a crash during each disk call.

Each function takes outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kvraft.check.storage import CrashOutcome
from kvraft.viz.figures.style import one_panel
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SKY

_NOT_THERE, _THERE, _EXTRA, _GONE = range(4)
_COLOURS = ("white", BLUE, SKY, RED)
_SIGNS = ("", "", "+", "×")  # noqa: RUF001  # so that colour is not needed
_LINES = ("-", "--", ":")


def plot_matrix(outcomes: Sequence[CrashOutcome], writes: int) -> Figure:
    """Draw a line for each call during which it crashed, and in it what became of each write."""
    cells = [[_cell(outcome, write) for write in range(1, writes + 1)] for outcome in outcomes]
    figure, axes = one_panel(1.5 + 0.155 * len(outcomes), 6.4, grid=False)
    axes.imshow(cells, cmap=ListedColormap(_COLOURS), vmin=0, vmax=3, aspect="auto")
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            axes.text(column, row, _SIGNS[cell], ha="center", va="center", fontsize=8)
    axes.set_xticks(range(writes), [str(write) for write in range(1, writes + 1)])
    axes.set_yticks(
        range(len(outcomes)), [f"{o.call} {o.call.number}" for o in outcomes], fontsize=7
    )
    axes.set_xticks([x - 0.5 for x in range(1, writes)], minor=True)
    axes.set_yticks([y - 0.5 for y in range(1, len(outcomes))], minor=True)
    axes.grid(which="minor", color=GREY, linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("write")
    axes.set_ylabel("the call during which the power failed")
    lost = sum(outcome.lost > 0 for outcome in outcomes)
    what = "none lost a write" if lost == 0 else f"{lost} lost a write"
    axes.set_title(f"{len(outcomes)} crashes: {what} that was acknowledged")
    names = ("not there", "acknowledged, and there", "there, not acknowledged", "gone")
    used = sorted({cell for line in cells for cell in line})
    handles = [
        Patch(facecolor=_COLOURS[n], edgecolor=BLACK, label=f"{names[n]} {_SIGNS[n]}".strip())
        for n in used
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


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
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    causes = ("the process dies", "the power fails")
    for axes, cause, at in zip(panels, causes, (0, 1), strict=True):
        for (name, both), style, colour in zip(
            levels.items(), _LINES, (BLUE, ORANGE, BLACK), strict=True
        ):
            lost = [outcome.lost for outcome in both[at]]
            share = [100 * n / len(lost) for n in range(len(lost))]
            axes.step(share, lost, style, where="post", color=colour, label=name, linewidth=2)
        axes.set_xlabel("where it crashed, % of all calls")
        axes.set_title(cause)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("acknowledged writes lost")
    panels[0].legend()
    safe = [name for name, both in levels.items() if not any(o.lost for o in both[1])]
    figure.suptitle(f"Whatever fails, {' and '.join(safe) or 'no level'} loses nothing")
    return figure


def plot_careless(parts: Mapping[str, Sequence[CrashOutcome]]) -> Figure:
    """Draw what came of crashes where a disk only says that it synced: a bar for each part."""
    names = list(parts)
    kinds = ("kept its promise", "lost a write", "cannot be opened")
    counts = {name: [0, 0, 0] for name in names}
    for name, outcomes in parts.items():
        for outcome in outcomes:
            counts[name][2 if outcome.damage else 0 if outcome.kept else 1] += 1
    figure, axes = one_panel(1.4 + 0.45 * len(names), 7, grid=False)
    left = [0] * len(names)
    for kind, colour, hatch in zip(range(3), (GREEN, ORANGE, RED), ("", "//", "xx"), strict=True):
        widths = [counts[name][kind] for name in names]
        axes.barh(
            names, widths, left=left, color=colour, hatch=hatch, edgecolor=BLACK, label=kinds[kind]
        )
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("crashes")
    axes.set_ylabel("syncs that did nothing")
    harmed = sum(counts[name][0] < sum(counts[name]) for name in names if name != "none")
    of = len([name for name in names if name != "none"])
    axes.set_title(f"{harmed} of {of} kinds of syncs are missed when they do nothing")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
