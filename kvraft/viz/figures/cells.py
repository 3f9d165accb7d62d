"""Lanes of cells: a column for each run, a lane for each thing that is known of it.

Neighbours that say the same are drawn as one cell, so that what it says has room::

    entries on n2
    ▏ 0    ▏   1   ▏▏  3   ▏    5    ▏
    what they came to
    ▏ . ▏ discarded  ▏   completed   ▏
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kvraft.viz.figures.style import fits, lane, one_panel
from kvraft.viz.svg import GREY

LANE = 0.42
"""The height of a lane, in inches, with its name above."""


class Cell(NamedTuple):
    """What a lane says of one column: a sign, and the look that repeats it."""

    sign: str
    colour: str
    alpha: float = 1.0
    hatch: str = ""


def lanes_of_cells(
    lanes: Mapping[str, Sequence[Cell]] | Iterable[tuple[str, Sequence[Cell]]],
    ticks: Mapping[int, str],
) -> tuple[Figure, Axes]:
    """Return a figure of ``lanes``, names with their cells; ``ticks`` name some columns."""
    rows = list(lanes.items() if isinstance(lanes, Mapping) else lanes)
    figure, axes = one_panel(0.3 + LANE * len(rows), grid=False)
    columns = max(len(cells) for _, cells in rows)
    axes.set_xlim(-0.5, columns - 0.5)
    for y, (name, cells) in enumerate(rows):
        lane(axes, y, name)
        _draw(axes, y, cells, columns)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


def _draw(axes: Axes, y: int, cells: Sequence[Cell], columns: int) -> None:
    """Draw the cells of a lane, below its name."""
    at = 0
    for cell, same in groupby(cells):
        wide = len(list(same))
        corner, size = (at - 0.5, y), (wide, 0.45)
        look: dict[str, Any] = {
            "facecolor": cell.colour,
            "alpha": cell.alpha,
            "hatch": cell.hatch or None,
        }
        axes.add_patch(Rectangle(corner, *size, edgecolor=GREY, linewidth=0.6, **look))
        if cell.sign and fits(cell.sign, wide / columns):
            middle = at + wide / 2 - 0.5
            words = axes.text(middle, y + 0.225, cell.sign, ha="center", va="center_baseline")
            if cell.hatch:  # a plate over its lines
                words.set_bbox({"facecolor": cell.colour, "edgecolor": "none", "pad": 1})
        at += wide
