"""One page without kernel and network that plays a run: for a friend, a talk, a report.

The frames are drawn by the panels, in Python.  Each distinct picture is stored once, panel by
panel, so that pictures that resemble each other lie together and compress well::

    {"names": ["ring", "logs"], "pictures": ["<svg …", …],       gzip, then base64
     "frames": [[3, 17], [4, 17], …],     a picture's number for each panel, by frame
     "titles": […], "times": […]}

The page's own script unpacks that (``DecompressionStream``) and puts pictures into place; arrows,
Home and End move through them.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from kvraft.errors import BadInput
from kvraft.viz.sandbox.canvas import cold
from kvraft.viz.sandbox.controls import css
from kvraft.viz.sandbox.film import MOMENTS, Film
from kvraft.viz.sandbox.session import PANELS, USUAL
from kvraft.viz.sandbox.title import conclusion, moment

MOST = 600
"""How many frames a page has at most; of a longer run it shows the moments and some other steps."""


def stops_of(film: Film) -> list[int]:
    """Return the steps that a page shows: every microsecond, or so many that are worth it."""
    all_stops = [
        number
        for number in range(len(film))
        if number + 1 == len(film) or film.trace[number + 1].at > film.trace[number].at
    ]
    if len(all_stops) <= MOST:
        return all_stops
    chosen = {
        film.settled(step) for kind in MOMENTS[:1] + MOMENTS[2:] for step in film.moments[kind]
    }
    chosen |= {film.settled(step) for step in film.moments["commit"][: MOST // 3]}
    every = -(-len(all_stops) // max(MOST - len(chosen), MOST // 4))
    return sorted(chosen.union(all_stops[::every], all_stops[-1:]))


def page(
    film: Film,
    *,
    panels: Sequence[str] = USUAL,
    stops: Sequence[int] | None = None,
    captions: Mapping[int, str] | None = None,
    name: str = "kvraft: a run",
) -> str:
    """Return a film as one page of HTML.

    ``stops`` are the steps to show, by default those of :func:`stops_of`; ``captions`` are words
    for some of them, by step.  Raises :class:`~kvraft.errors.BadInput` for an empty film, an
    unknown panel or a step that it does not have.
    """
    if not len(film):
        raise BadInput("there is nothing to show: nothing has happened yet")
    for panel in panels:
        if panel not in PANELS:
            raise BadInput(f"there is no panel {panel!r}: {', '.join(PANELS)}")
    shown = sorted({*(stops_of(film) if stops is None else stops), *(captions or {})})
    for step in shown:
        if not 0 <= step < len(film):
            raise BadInput(f"the run has steps 0 to {len(film) - 1}, not {step}")
    packed = base64.b64encode(_packed(film, list(panels), shown, captions or {})).decode()
    inner = "".join(f'<div data-slot="{panel}" class="kv-panel"></div>' for panel in panels)
    code = files("kvraft.viz.sandbox").joinpath("page.js").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(name)}</title><link rel="icon" href="data:,">'
        f"<style>body{{margin:0}}.kv{{margin:0 auto}}{css()}</style></head><body>"
        f'<main class="kv"><h1 class="kv-title" id="title" aria-live="polite"></h1>'
        '<div class="kv-when" id="when"></div><p class="kv-caption" id="caption"></p>'
        f"{_CONTROLS}"
        f'<div class="kv-panels">{inner}</div></main>'
        f'<script type="application/octet-stream" id="film">{packed}</script>'
        f'<script type="module">{code}</script></body></html>\n'
    )


_CONTROLS = (
    '<div class="kv-row"><button id="first" aria-label="to the beginning">|◀</button>'
    '<button id="back" aria-label="one step back">◀</button>'
    '<button id="play" aria-label="play">▶▶</button>'
    '<button id="on" aria-label="one step on">▶</button>'
    '<button id="last" aria-label="to the end">▶|</button>'
    '<span id="place"></span></div>'
    '<input type="range" id="slider" min="0" step="1" value="0" aria-label="step">'
)


def _packed(
    film: Film, panels: Sequence[str], shown: Sequence[int], captions: Mapping[int, str]
) -> bytes:
    pictures: dict[str, int] = {}
    frames: list[list[int]] = [[] for _ in shown]
    for panel in panels:
        for frame, step in zip(frames, shown, strict=True):
            drawn = cold(PANELS[panel](film, step))
            frame.append(pictures.setdefault(drawn, len(pictures)))
    content = {
        "names": list(panels),
        "pictures": list(pictures),
        "frames": frames,
        "titles": [conclusion(film, step) for step in shown],
        "times": [moment(film, step) for step in shown],
        "captions": [captions.get(step, "") for step in shown],
    }
    return gzip.compress(json.dumps(content, ensure_ascii=False).encode(), mtime=0)
