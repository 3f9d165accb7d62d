"""What all figures share: lines that stay apart, panels, and a title that says what was found.

No global state of matplotlib is touched, so a figure is shown once, by whoever was given it.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvraft.errors import BadInput
from kvraft.viz.svg import BLACK, BLUE, GREEN, PURPLE, RED

MEMBER_LINES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"), (BLACK, "-"))
"""Colour and style of a line, one for each member or run."""


def one_panel(height: float, width: float = 9, *, grid: bool = True) -> tuple[Figure, Axes]:
    """Return a figure with one panel, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    if grid:
        axes.grid(alpha=0.3)
    return figure, axes


def stacked(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels below each other, which share their horizontal axis."""
    figure = Figure(figsize=(9, height), layout="constrained")
    return figure, list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])


def titled(figure: Figure, text: str) -> Figure:
    """Give ``figure`` its title, what it says, and return it."""
    figure.suptitle(text, fontsize="large", fontweight="bold", x=0.01, ha="left")
    return figure


def some(data: object, why: str = "nothing was measured") -> None:
    """Raise :class:`~kvraft.errors.BadInput` if there is nothing to draw."""
    if not data:
        raise BadInput(f"there is nothing to draw: {why}")
