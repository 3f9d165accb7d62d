"""Pictures in a notebook: with words for those who do not see them, and never too small to read.

JupyterLab and nbconvert show an image that a cell returns without any alternative text.  So a
picture is shown as HTML: an ``<img>`` that has one, with the file itself in it.

Invariants:

- A picture's alternative text is what it says itself: a figure's title, a drawing's label.
- A picture shrinks with the page, but not so far that its letters cannot be read: then the page
  scrolls.
"""

from __future__ import annotations

import base64
import re
from html import escape, unescape
from typing import Any
from urllib.parse import quote

_WIDTH = re.compile(r'<svg [^>]*viewBox="0 0 ([\d.]+) ')
_LABEL = re.compile(r'aria-label="([^"]*)"')
_SAFE = " =:/;,.()+-&'!?*"


class SVG:
    """A drawing of this project's own as the value of a cell."""

    def __init__(self, drawn: str) -> None:
        self.drawn = drawn

    def __repr__(self) -> str:
        return label_of(self.drawn)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return {"text/html": svg_image(self.drawn), "text/plain": repr(self)}


def label_of(drawn: str) -> str:
    """Return what a drawing says that it shows."""
    found = _LABEL.search(drawn)
    assert found is not None, "a drawing has a label"
    return unescape(found[1])


def svg_image(drawn: str) -> str:
    """Return the ``<img>`` of a drawing, with its own label as the alternative text."""
    found = _WIDTH.match(drawn)
    assert found is not None, "a drawing says how wide it is"
    wide = round(float(found[1]))
    source = "data:image/svg+xml," + quote(drawn, safe=_SAFE)
    return _image(source, label_of(drawn), (wide * 7 // 8, wide))


def png_image(data: bytes, says: str, shown: tuple[int, int]) -> str:
    """Return the ``<img>`` of a PNG file, from so many to so many pixels wide."""
    return _image("data:image/png;base64," + base64.b64encode(data).decode("ascii"), says, shown)


def _image(source: str, says: str, shown: tuple[int, int]) -> str:
    least, most = shown
    return (
        f'<div style="overflow-x:auto"><img alt="{escape(" ".join(says.split()))}"'
        f' style="width:100%;min-width:{least}px;max-width:{most}px;height:auto"'
        f' src="{escape(source)}"></div>'
    )
