r"""What all figures share: a width, letters that stay readable, panels, legends and titles.

::

    The title says what was found,            bold, folded, from the left edge
    in as many lines as it takes
    what goes up in this panel                a panel's name, where others turn it on its side
      │ _/\__/                                 one panel below the other, never two in a row
      └────────── what goes to the right
    ── one line   -- another                  the legend, below: it hides no curve

A figure is as wide as the screen of a phone; on a stage it is shown larger.  So its letters, all of
:data:`POINTS` or more, have 14 pixels or more wherever it is shown at :data:`SHOWN` pixels or more.

A figure grows by the height of its title, its legends and the names of its panels: what is given
to :func:`one_panel` and :func:`stacked` is the height of what is drawn.

No global state of matplotlib is touched, so a figure is shown once, by whoever was given it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from kvraft.errors import BadInput
from kvraft.viz.svg import BLACK, BLUE, GREEN, PURPLE, RED

WIDTH = 3.25
"""How wide a figure is, in inches."""
POINTS = 10
"""The size of all letters but the title's, in points: matplotlib's own."""
SHOWN = (330, 480)
"""How many pixels wide a figure is shown at the least and at the most."""
TITLE_POINTS = 11
PANEL_ROOM = 185
"""How much text fits beside a panel's ticks, in points."""
_LINE = 1.25 / 72
"""The height of a line of text, in inches a point."""
_HANDLE = 1.8 * POINTS
_GAP = 1.2 * POINTS

MEMBER_LINES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"), (BLACK, "-"))
"""Colour and style of a line, one for each member or run."""


# ── panels ──────────────────────────────────────────────────────────────────────────────────────


def one_panel(height: float, *, grid: bool = True) -> tuple[Figure, Axes]:
    """Return a figure with one panel of this height, in inches."""
    figure, (axes,) = stacked([height])
    if grid:
        axes.grid(alpha=0.3)
    return figure, axes


def stacked(heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels of these heights, which share their horizontal axis."""
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights)
    )
    return figure, list(panels[:, 0])


def named(axes: Axes, up: str = "", right: str = "") -> None:
    """Say what goes up in a panel, above it, and what goes to the right, below it."""
    if up:
        axes.set_title(fold(up, PANEL_ROOM), loc="left", fontsize=POINTS, pad=4)
        _grow(axes, axes.get_title(loc="left"), POINTS)
    if right:
        axes.set_xlabel(fold(right, PANEL_ROOM - 25), fontsize=POINTS)
        _grow(axes, axes.get_xlabel(), POINTS)


def lane(axes: Axes, y: float, name: str) -> None:
    """Write the ``name`` of a lane above it: at the left end of what ends at ``y``."""
    axes.annotate(
        name,
        (0, y),
        xycoords=("axes fraction", "data"),
        xytext=(1, 2),
        textcoords="offset points",
        va="bottom",
        fontsize=POINTS,
    )


# ── words ───────────────────────────────────────────────────────────────────────────────────────


def titled(figure: Figure, text: str) -> Figure:
    """Give ``figure`` its title, what it says, and return it; each line of it begins one."""
    figure.set_label(text)
    room = WIDTH * 72 - 6
    folded = fold(text, room, TITLE_POINTS, bold=True)
    figure.suptitle(folded, fontsize=TITLE_POINTS, fontweight="bold", x=0.01, ha="left")
    _grow(figure, folded, TITLE_POINTS)
    return figure


def title_of(figure: Figure) -> str:
    """Return the title of ``figure``: its text for those who do not see it."""
    return str(figure.get_label())


def legend(figure: Figure, handles: Iterable[Artist] | Axes | None = None, title: str = "") -> None:
    """Explain the lines, by default those of the first panel, below the figure.

    Raises :class:`~kvraft.errors.BadInput` if there is nothing to explain.
    """
    of = figure.axes[0] if handles is None else handles
    shown = of.get_legend_handles_labels()[0] if isinstance(of, Axes) else list(of)
    some(shown, "nothing in it has a name")
    names = [fold(str(each.get_label()), WIDTH * 72 - _HANDLE - 2 * _GAP) for each in shown]
    widest = max(_width(line) for name in names for line in name.split("\n"))
    columns = max(int((WIDTH * 72) // (_HANDLE + widest + 1.6 * _GAP)), 1)
    columns = min(columns, len(shown))
    options: dict[str, Any] = {"title": title or None, "alignment": "left", "frameon": False}
    options |= {"handlelength": 1.8, "handletextpad": 0.5, "columnspacing": 1.0}
    options |= {"borderpad": 0.1, "labelspacing": 0.3, "fontsize": POINTS}
    figure.legend(shown, names, loc="outside lower left", ncols=columns, **options)
    rows = -(-sum(name.count("\n") + 1 for name in names) // columns) + bool(title)
    _grow(figure, "\n" * rows, POINTS)


def fold(text: str, room: float, points: float = POINTS, *, bold: bool = False) -> str:
    """Return ``text`` in lines at most ``room`` points wide, as far as its words let."""
    if "\n" in text:
        return "\n".join(fold(line, room, points, bold=bold) for line in text.split("\n"))
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(longer, points, bold=bold) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def fits(text: str, share: float) -> bool:
    """Return whether ``text`` fits into this share of a panel's width."""
    return _width(text) + 4 <= share * PANEL_ROOM


@cache
def _width(text: str, points: float = POINTS, *, bold: bool = False) -> float:
    font = FontProperties(size=points, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _grow(of: Figure | Axes, text: str, points: float) -> None:
    figure = of if isinstance(of, Figure) else of.get_figure()
    assert isinstance(figure, Figure)
    lines = text.count("\n") + 1
    figure.set_figheight(figure.get_figheight() + lines * points * _LINE)


def some(data: object, why: str = "nothing was measured") -> None:
    """Raise :class:`~kvraft.errors.BadInput` if there is nothing to draw."""
    if not data:
        raise BadInput(f"there is nothing to draw: {why}")
