"""Drawing in SVG: what every picture is made of, and nothing about a database.

Each function returns one element as a string; :func:`drawing` puts them together.  Coordinates are
in units of the drawing, x to the right and y down.  ``stroke`` is the colour of an outline (``""``
for none), ``width`` its width, ``dashes`` its pattern (``"3 3"``).

Invariants:

- Equal arguments give equal text on every machine: a coordinate has one decimal at most.
- Whatever comes from outside is escaped here, and only here.
- A drawing says in words what it shows, in its ``aria-label`` and its ``<title>``.

Colours are the palette of Okabe and Ito, which stay apart for colour-blind eyes; black text is
readable on each of :data:`TERM_COLOURS`.  What a colour says, a word, a sign or a shape says too.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape as escape_html

WIDTH = 860
"""How wide every drawing is, in its own units; it shrinks to the page."""

Point = tuple[float, float]

BLACK = "#000000"
WHITE = "#FFFFFF"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
RED = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#BBBBBB"
DARK_RED = "#8A3B00"
"""For text: :data:`RED` itself is too light to be read well."""

TERM_COLOURS = (ORANGE, SKY, GREEN, PURPLE, YELLOW, RED)


def fill_of(term: int) -> str:
    """Return the colour of a term, white before the first; the term is always shown with it."""
    return TERM_COLOURS[(term - 1) % len(TERM_COLOURS)] if term > 0 else WHITE


def drawing(height: float, says: str, parts: Iterable[str]) -> str:
    """Return ``parts`` as one SVG of this height; ``says`` is its alternative text."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {num(height)}" role="img"'
        f' width="{WIDTH}" style="max-width:100%" aria-label="{escape(says)}"'
        f' font-family="sans-serif"><title>{escape(says)}</title>'
        f'<rect width="{WIDTH}" height="{num(height)}" fill="#FFFFFF"/>{"".join(parts)}</svg>'
    )


def escape(text: str) -> str:
    """Return ``text`` fit for XML: a character that it cannot hold becomes U+FFFD."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return escape_html(text)


def num(number: float) -> str:
    """Return a coordinate with one decimal at most: the same text on every machine."""
    return f"{number:.1f}".removesuffix(".0")


# ── shapes and text ─────────────────────────────────────────────────────────────────────────────


def rect(
    x: float,
    y: float,
    wide: float,
    high: float,
    fill: str,
    stroke: str = BLACK,
    *,
    width: float | None = None,
    dashes: str = "",
    rounded: int = 0,
    opacity: float | None = None,
    title: str = "",
) -> str:
    """Return a rectangle; ``title`` is what it says to whoever points at it."""
    corners = f' rx="{rounded}"' if rounded else ""
    through = f' fill-opacity="{opacity:g}"' if opacity is not None else ""
    end = f"><title>{escape(title)}</title></rect>" if title else "/>"
    return (
        f'<rect x="{num(x)}" y="{num(y)}" width="{num(wide)}" height="{num(high)}"{corners}'
        f' fill="{fill}"{through}{_outline(stroke, width, dashes)}{end}'
    )


def line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    stroke: str = BLACK,
    width: float | None = None,
    dashes: str = "",
) -> str:
    """Return a straight line."""
    return (
        f'<line x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}"'
        f"{_outline(stroke, width, dashes)}/>"
    )


def circle(
    x: float,
    y: float,
    radius: float,
    fill: str,
    stroke: str = BLACK,
    width: float | None = None,
    dashes: str = "",
) -> str:
    """Return a circle around (``x``, ``y``)."""
    return (
        f'<circle cx="{num(x)}" cy="{num(y)}" r="{num(radius)}" fill="{fill}"'
        f"{_outline(stroke, width, dashes)}/>"
    )


def polygon(
    points: Iterable[Point], fill: str, stroke: str = "", width: float | None = None
) -> str:
    """Return the area inside ``points``."""
    return f'<polygon points="{_points(points)}" fill="{fill}"{_outline(stroke, width)}/>'


def polyline(points: Iterable[Point], stroke: str, width: float) -> str:
    """Return the line through ``points``."""
    return f'<polyline points="{_points(points)}" fill="none"{_outline(stroke, width)}/>'


def corner(right: float, bottom: float, side: float) -> str:
    """Return a black triangle in the lower right corner of a box: ◢, a commit mark."""
    return polygon([(right, bottom - side), (right, bottom), (right - side, bottom)], BLACK)


def arrow_head(x1: float, y1: float, x2: float, y2: float, half: float) -> list[Point]:
    """Return the corners of the head of an arrow to (``x2``, ``y2``); its tip is the second.

    It is ten long and twice ``half`` wide.
    """
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    return [
        (x2 - 10 * ux + half * uy, y2 - 10 * uy - half * ux),
        (x2, y2),
        (x2 - 10 * ux - half * uy, y2 - 10 * uy + half * ux),
    ]


def text(
    x: float,
    y: float,
    words: str,
    size: int = 13,
    anchor: str = "start",
    *,
    weight: str = "normal",
    colour: str = BLACK,
) -> str:
    """Return ``words`` with their base line at ``y``, or nothing for no words.

    ``anchor`` says what is at ``x``: their ``start``, ``middle`` or ``end``.
    """
    return (
        f'<text x="{num(x)}" y="{num(y)}" font-size="{size}" text-anchor="{anchor}"'
        f' font-weight="{weight}" fill="{colour}" xml:space="preserve">{escape(words)}</text>'
        if words
        else ""
    )


def legend(x: float, y: float, words: str, size: int = 11) -> str:
    """Return the line that explains a drawing's signs."""
    return text(x, y, words, size, colour="#333333")


def short(words: str, room: int = 26) -> str:
    """Return ``words`` cut to ``room`` letters, with an ellipsis if something is left out."""
    return words if len(words) <= room else words[: max(room - 1, 1)] + "…"


def _outline(stroke: str, width: float | None, dashes: str = "") -> str:
    wide = f' stroke-width="{width:g}"' if width is not None else ""
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (f' stroke="{stroke}"' if stroke else "") + wide + pattern


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{num(x)},{num(y)}" for x, y in points)
