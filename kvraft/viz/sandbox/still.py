"""A whole sitting as it is now, for where there is no kernel: the title above the panels."""

from __future__ import annotations

from html import escape

from kvraft.viz.sandbox.session import Session
from kvraft.viz.sandbox.title import conclusion, moment
from kvraft.viz.shown import svg_image


def picture(session: Session) -> str:
    """Return the panels as HTML, side by side where there is room, below what is the case.

    Each is an ``<img>`` with its own alternative text.
    """
    film, step = session.branch.film, session.branch.step
    panels = "".join(
        f'<div style="flex:0 1 440px;min-width:0">{svg_image(drawn)}</div>'
        for drawn in session.still().values()
    )
    return (
        f'<div style="font-size:21px;font-weight:bold">{escape(conclusion(film, step))}</div>'
        f'<div style="font-size:16px">{escape(moment(film, step))}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:14px 20px;max-width:920px">{panels}</div>'
    )
