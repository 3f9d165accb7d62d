"""One picture of a whole sitting, for where there is no kernel: the title above the panels."""

from __future__ import annotations

import re
import textwrap

from kvraft.viz import svg
from kvraft.viz.sandbox.canvas import FONT, SOFT, WIDE
from kvraft.viz.sandbox.session import Session
from kvraft.viz.sandbox.title import conclusion, moment

ACROSS, GAP = 900, 20
_HEIGHT = re.compile(r'viewBox="0 0 \d+ ([\d.]+)"')


def picture(session: Session) -> str:
    """Return the panels as they are now, two in a row, below what is the case."""
    film, step = session.branch.film, session.branch.step
    words = conclusion(film, step)
    parts, top = [], 30.0
    for line in textwrap.wrap(words, 78):
        parts.append(svg.text(6, top, line, 21, weight="bold"))
        top += 27
    parts.append(svg.text(6, top, moment(film, step), 16, colour=SOFT))
    top += 18
    ends = [top, top]
    for drawn in session.still().values():
        match = _HEIGHT.search(drawn)
        assert match is not None
        column = 0 if ends[0] <= ends[1] else 1
        place = f'<svg x="{column * (WIDE + GAP)}" y="{svg.num(ends[column])}" '
        parts.append(place + drawn.removeprefix("<svg "))
        ends[column] += float(match[1]) + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {ACROSS} {svg.num(max(ends))}"'
        f' width="{ACROSS}" style="max-width:100%;height:auto" role="img"'
        f' aria-label="{svg.escape(words)}" font-family="{FONT}">'
        f'<rect width="{ACROSS}" height="{svg.num(max(ends))}" fill="{svg.WHITE}"/>'
        f"{''.join(parts)}</svg>"
    )
