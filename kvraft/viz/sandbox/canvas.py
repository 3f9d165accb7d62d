"""A panel's drawing: shapes, words that know their boxes, and labels that find a free place.

A panel is 440 units wide, so two of them stand side by side at 900 pixels, and one fills a phone::

    display   440 units are   text of 16 units is    a hit area of 32 units is
    900 px    440 px          16 px                  32 px
    390 px    390 px          14.2 px                28.4 px

Words are measured with the widths of DejaVu Sans, which is wider than what most screens use, so
what is free here is free there.

Invariants:

- No word is smaller than :data:`SMALL`, and no hit area than :data:`HIT`.
- A label stands in no box and on no line that was drawn before it; if there is no such place near
  its glyph, it is left out, and the glyph's accessible name says it.
- Equal calls give equal text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.viz import svg

WIDE = 440
SMALL, NAME = 16, 19
"""Sizes of text: all of it, and names."""
HIT = 32
"""How wide and high what can be clicked is, at least."""
DISTANCES = (0.0, 9.0, 20.0)
"""How far labels stand from their glyphs, the nearest tried first."""

INK, SOFT, FAINT, PALE = "#1A1A1A", "#595959", "#C4C8CF", "#EEF0F3"
ALARM = "#A3002B"
"""Lost, cut, refused, doomed, or nearly out of time; always with a sign or a word as well."""
APPLIED, FLUSHED = svg.BLUE, "#00795A"
FONT = "system-ui,-apple-system,Segoe UI,DejaVu Sans,sans-serif"

# Widths of DejaVu Sans and DejaVu Sans Bold, in thousandths of the size, from " " to "~".
_PLAIN = (
    "318 401 460 838 636 950 780 275 390 390 500 838 318 361 318 337 636 636 636 636 636 636"
    " 636 636 636 636 337 337 838 838 838 531 1000 684 686 698 770 632 575 775 752 295 295 656"
    " 557 863 748 787 603 787 695 635 611 732 684 989 685 611 685 390 337 390 838 500 500 613"
    " 635 550 635 615 352 635 634 278 278 579 278 974 634 612 635 635 411 521 392 634 592 818"
    " 592 592 525 636 337 636 838"
)
_BOLD = (
    "348 456 521 838 696 1002 872 306 457 457 523 838 380 415 380 365 696 696 696 696 696 696"
    " 696 696 696 696 400 400 838 838 838 580 1000 774 762 734 830 683 683 821 837 372 372 775"
    " 637 995 837 850 733 850 770 720 682 812 774 1103 771 724 725 457 365 457 838 500 500 675"
    " 716 593 716 678 435 716 712 343 343 665 343 1042 712 687 716 716 493 595 478 712 652 924"
    " 645 652 582 712 365 712 838"
)
_WIDTHS = tuple(tuple(map(int, text.split())) for text in (_PLAIN, _BOLD))
_OTHER = 1000


def width_of(words: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Return how wide ``words`` are at most, in units."""
    widths = _WIDTHS[bold]
    total = sum(widths[ord(c) - 32] if " " <= c <= "~" else _OTHER for c in words)
    return total * size / 1000


def inside(x: float, words: str) -> float:
    """Return where words have their middle that are wanted around ``x``: they stay in the panel."""
    half = width_of(words) / 2 + 1
    return min(max(x, half), WIDE - half)


def span(first: int, last: int) -> str:
    """Return a stretch of the log, as briefly as possible.

    >>> span(6, 6), span(7, 9)
    ('6', '7\u20139')
    """
    return str(first) if first == last else f"{first}\u2013{last}"


def fitted(words: str, room: float, size: float = SMALL, *, bold: bool = False) -> str:
    """Return ``words``, cut with an ellipsis if they are wider than ``room``."""
    if width_of(words, size, bold=bold) <= room:
        return words
    while words and width_of(words + "…", size, bold=bold) > room:
        words = words[:-1]
    return words.rstrip() + "…"


@immutable
class Box(NamedTuple):
    """A rectangle that something takes."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether both have a point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def is_crossed(self, x1: float, y1: float, x2: float, y2: float) -> bool:
        """Return whether a straight line has a point in it (Liang and Barsky)."""
        enter, leave = 0.0, 1.0
        for start, way, low, high in (
            (x1, x2 - x1, self.left, self.right),
            (y1, y2 - y1, self.top, self.bottom),
        ):
            if way == 0:
                if not low < start < high:
                    return False
                continue
            one, other = sorted(((low - start) / way, (high - start) / way))
            enter, leave = max(enter, one), min(leave, other)
        return enter < leave


def text_box(
    x: float,
    y: float,
    words: str,
    size: float = SMALL,
    anchor: str = "start",
    *,
    bold: bool = False,
) -> Box:
    """Return the box of words with their base line at ``y``."""
    wide = width_of(words, size, bold=bold)
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return Box(left, y - 0.78 * size, left + wide, y + 0.22 * size)


class Canvas:
    """A picture under way: its parts in order, the boxes that are taken, the lines to stay off."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.boxes: list[Box] = []
        self.lines: list[tuple[float, float, float, float]] = []

    def add(self, *parts: str) -> None:
        """Add shapes that take no place."""
        self.parts += parts

    def take(self, left: float, top: float, right: float, bottom: float) -> None:
        """Let nothing be labelled there."""
        self.boxes.append(Box(left, top, right, bottom))

    def avoid(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Let no label stand on that line."""
        self.lines.append((x1, y1, x2, y2))

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        stroke: str = INK,
        width: float = 1.5,
        dashes: str = "",
    ) -> None:
        """Draw a line that labels stay off."""
        self.avoid(x1, y1, x2, y2)
        self.add(svg.line(x1, y1, x2, y2, stroke, width, dashes))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int = SMALL,
        anchor: str = "start",
        *,
        bold: bool = False,
        colour: str = INK,
    ) -> None:
        """Write words where they are to stand, whatever is there."""
        self.boxes.append(text_box(x, y, words, size, anchor, bold=bold))
        weight = "bold" if bold else "normal"
        self.add(svg.text(x, y, words, size, anchor, weight=weight, colour=colour))

    def label(
        self,
        words: str,
        x: float,
        y: float,
        reach: float = 12,
        *,
        bold: bool = False,
        colour: str = INK,
        bounds: Box | None = None,
        near: bool = False,
    ) -> bool:
        """Write words next to the glyph at (``x``, ``y``), which is ``reach`` wide to each side.

        ``near`` is for where words further off could be taken for another glyph's.  Return whether
        there is a place for them.
        """
        within = bounds or Box(2, 2, WIDE - 2, 10_000)
        for place_x, place_y, anchor in _places(x, y, reach, (0.0,) if near else DISTANCES):
            box = text_box(place_x, place_y, words, anchor=anchor, bold=bold)
            if self._is_free(box, within):
                self.text(place_x, place_y, words, anchor=anchor, bold=bold, colour=colour)
                return True
        return False

    def _is_free(self, box: Box, within: Box) -> bool:
        if box.left < within.left or box.right > within.right:
            return False
        if box.top < within.top or box.bottom > within.bottom:
            return False
        wider = Box(box.left - 3, box.top - 1, box.right + 3, box.bottom + 1)
        return not any(wider.meets(other) for other in self.boxes) and not any(
            wider.is_crossed(*line) for line in self.lines
        )

    def picture(self, height: float, says: str) -> str:
        """Return the panel as SVG; ``says`` is what it shows, in words."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {svg.num(height)}"'
            f' width="{WIDE}" style="max-width:100%;height:auto" role="group"'
            f' aria-label="{svg.escape(says)}" font-family="{FONT}">'
            f'<rect width="{WIDE}" height="{svg.num(height)}" fill="{svg.WHITE}"/>'
            f"{''.join(self.parts)}</svg>"
        )


def _places(
    x: float, y: float, reach: float, distances: Iterable[float]
) -> Iterable[tuple[float, float, str]]:
    """Yield where a label may stand next to a glyph, nearest first: x, base line, anchor."""
    for far in distances:
        side, up = reach + 2 + far, reach + far
        yield x + side, y + 6, "start"
        yield x - side, y + 6, "end"
        yield x, y - up, "middle"
        yield x, y + up + 13, "middle"
        yield x + side * 0.7, y - up * 0.7, "start"
        yield x - side * 0.7, y - up * 0.7, "end"
        yield x + side * 0.7, y + up * 0.7 + 13, "start"
        yield x - side * 0.7, y + up * 0.7 + 13, "end"


def hot(what: str, says: str, *parts: str) -> str:
    """Return parts that can be clicked: ``what`` names the thing, ``says`` describes it.

    A notebook's own keys are suppressed on the element itself: only there it counts.
    """
    return (
        f'<g data-act="{svg.escape(what)}" tabindex="0" role="button"'
        f' data-lm-suppress-shortcuts="true" aria-label="{svg.escape(says)}">'
        f"<title>{svg.escape(says)}</title>{''.join(parts)}</g>"
    )


def cold(picture: str) -> str:
    """Return a panel in which nothing can be clicked, for where nobody listens."""
    picture = picture.replace(' role="group"', ' role="img"')
    pieces = picture.split("<g data-act=")
    for number, piece in enumerate(pieces[1:], 1):
        pieces[number] = "<g>" + piece.partition(">")[2]
    return "".join(pieces)


def clear(x: float, y: float, wide: float, high: float) -> str:
    """Return an invisible area that can be hit, at least :data:`HIT` wide and high."""
    wide, high = max(wide, HIT), max(high, HIT)
    return (
        f'<rect x="{svg.num(x - wide / 2)}" y="{svg.num(y - high / 2)}" width="{svg.num(wide)}"'
        f' height="{svg.num(high)}" fill="transparent"/>'
    )


def empty(says: str, height: float = 80) -> str:
    """Return a panel with one sentence, for where there is nothing to draw."""
    canvas = Canvas()
    canvas.add(svg.rect(4, 4, WIDE - 8, height - 8, PALE, "", rounded=8))
    canvas.text(WIDE / 2, height / 2 + 6, says, anchor="middle", colour=SOFT)
    return canvas.picture(height, says)
