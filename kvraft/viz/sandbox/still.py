"""Stills: panels of one step, as a cell shows them and a page or a phone keeps them.

A cell's still is HTML: a picture a panel, each with words in place of it (``alt``), two in a row on
a stage and one below the other on a phone, so no panel is ever drawn smaller than it was meant::

    ┌───────────────┐ ┌───────────────┐      what is the case, as it was when the still was made
    │ ring          │ │ logs          │
    └───────────────┘ └───────────────┘      <img alt="n1 leads term 1: …" src="data:…">

Invariant: a still is a function of the trace up to its step, and does not change when that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from kvraft.copying import immutable
from kvraft.errors import BadInput
from kvraft.events import Trace
from kvraft.sim import Run, World
from kvraft.viz.sandbox.canvas import FONT, SOFT, WIDE, cold
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.session import PANELS, Session
from kvraft.viz.sandbox.space_time import clients_panel, space_time_panel
from kvraft.viz.sandbox.title import conclusion, moment
from kvraft.viz.shown import label_of

STAGE, LEAST = 920, 390
"""How wide all is at most, and a panel at least, in pixels: narrower, its words would be small."""
DASH, _WHOLE = "\u2013", "&#8288;\u2013&#8288;"
"""A dash, and one at which a line does not break."""
_AS_IT_IS = " /:;,=()!*+-._~?@$'"
"""What stands for itself in a URL of data: the rest is encoded."""
_STRETCHES = {"space-time": space_time_panel, "clients": clients_panel}


@immutable
class Picture(NamedTuple):
    """One drawing in SVG, and what it says to those who do not see it."""

    svg: str
    says: str


@immutable
class Group(NamedTuple):
    """Pictures of one moment, below a ``caption``, which may be empty."""

    caption: str
    pictures: tuple[Picture, ...]


class Still:
    """Pictures for a cell, a page or a phone."""

    def __init__(self, groups: Iterable[Group], heading: str = "") -> None:
        self.groups = tuple(groups)
        self.heading = heading
        """HTML above all of them."""

    def next_to(self, *others: Still) -> Still:
        """Return these pictures and those of ``others`` in one still, in that order."""
        return Still([group for still in (self, *others) for group in still.groups])

    def _repr_html_(self) -> str:
        """Return what a cell shows."""
        return f"{self.heading}{_row(_figure(group) for group in self.groups)}"

    def __repr__(self) -> str:
        """Return all of it in words."""
        return "\n".join(picture.says for group in self.groups for picture in group.pictures)


def still(
    what: World | Run | Trace | Film,
    *panels: str,
    step: int | None = None,
    since: int | None = None,
    says: str = "",
    name: str = "",
) -> Still:
    """Return ``panels`` of a world, a run or a trace after ``step``, by default after all of it.

    ``says`` stands above the panels, by default what is the case, after a ``name`` for the moment
    such as ``(a)``.  Space and time show the messages that were sent from step ``since`` on, by
    default the last few.  Of a world and a run the election timers are known as they are now.
    Raises :class:`~kvraft.errors.BadInput` for a panel or a step that does not exist.
    """
    film = _film(what)
    last = len(film) - 1
    step = last if step is None else step
    for panel in panels:
        if panel not in PANELS:
            raise BadInput(f"there is no panel {panel!r}: {', '.join(PANELS)}")
    for number in (step, since or 0):
        if not 0 <= number <= max(last, 0):
            raise BadInput(f"the run has steps 0 to {last}, not {number}")
    says = f"{name} {says or conclusion(film, max(step, 0))}".strip()
    found = []
    for panel in panels:
        if panel in _STRETCHES and since is not None:
            drawn = _STRETCHES[panel](film, step, since)
        else:
            drawn = PANELS[panel](film, step)
        found.append(_picture(cold(drawn), says))
    return Still([Group(says, tuple(found))])


def _film(what: World | Run | Trace | Film) -> Film:
    if isinstance(what, Film):
        return what
    if isinstance(what, Trace):
        return Film(what)
    film = Film(what.trace)
    film.glance(what.world if isinstance(what, Run) else what)
    return film


def picture(session: Session) -> Still:
    """Return what a sitting shows now, for where there is no kernel: its mission, and panels."""
    film, step = session.branch.film, session.branch.step
    words = conclusion(film, step)
    heading = (
        f'<div style="font:16px/1.35 {FONT};max-width:{STAGE}px">{session.mission()}'
        f'<div style="font-size:19px;font-weight:700;padding-top:6px">{escape(words)}</div>'
        f'<div style="color:{SOFT};padding-bottom:6px">{escape(moment(film, step))}</div></div>'
    )
    pictures = tuple(_picture(drawn, words) for drawn in session.still().values())
    return Still([Group("", pictures)], heading)


def shown(svg: str) -> Still:
    """Return any drawing that says in its ``aria-label`` what it shows."""
    return Still([Group("", (_picture(svg, ""),))])


def _picture(drawn: str, says: str) -> Picture:
    label = label_of(drawn)
    return Picture(drawn, f"{says}. {label}" if says else label)


def _row(parts: Iterable[str]) -> str:
    """Return parts side by side, as far as there is room."""
    style = f"display:flex;flex-wrap:wrap;gap:14px 20px;align-items:flex-start;max-width:{STAGE}px"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _figure(group: Group) -> str:
    caption = (
        f'<figcaption style="font:700 17px/1.3 {FONT};padding:2px 6px 6px">'
        f"{escape(group.caption).replace(DASH, _WHOLE)}</figcaption>"
        if group.caption
        else ""
    )
    images = [_image(picture) for picture in group.pictures]
    wide = f"0 1 {WIDE}px;min-width:min(100%,{LEAST}px)" if len(images) == 1 else "1 1 100%"
    inner = images[0] if len(images) == 1 else _row(images)
    return f'<figure style="margin:0;flex:{wide}">{caption}{inner}</figure>'


def _image(picture: Picture) -> str:
    source = quote(picture.svg.replace('"', "'"), safe=_AS_IT_IS)
    return (
        f'<img alt="{escape(picture.says)}" width="{WIDE}"'
        f' style="flex:0 1 {WIDE}px;min-width:min(100%,{LEAST}px);max-width:100%;height:auto"'
        f' src="data:image/svg+xml,{source}">'
    )
