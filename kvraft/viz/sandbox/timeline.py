"""The whole run at a glance: where elections, commits, flushes, compactions, … and faults are.

A row for each kind, with marks of its own shape; a press on one shows that moment.  The upright
line is the moment that is shown.
"""

from __future__ import annotations

from kvraft.display import plural_of
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import (
    BROKEN,
    COMMIT,
    COMPACTION,
    ELECTION,
    FAULT,
    FLUSH,
    MOMENTS,
    Film,
)

LEFT, RIGHT, ROW = 140.0, 428.0, 34.0
BUCKETS = 9


def timeline_panel(film: Film, step: int) -> str:
    """Draw all moments of the film, and where ``step`` is among them."""
    if not len(film):
        return kit.empty("Nothing has happened yet.")
    end = max(film.trace[len(film) - 1].at, 1)
    drawing = Canvas()
    kinds = [kind for kind in MOMENTS if film.moments[kind] or _is_usual(kind, film)]
    for row, kind in enumerate(kinds):
        y = 20 + ROW * row
        drawing.text(6, y + 6, plural_of(kind))
        drawing.line(LEFT, y, RIGHT, y, kit.FAINT, 1.5)
        _draw_marks(drawing, film, kind, y, end)
    bottom = 20 + ROW * (len(kinds) - 1) + 16
    here = LEFT + (RIGHT - LEFT) * film.trace[step].at / end
    drawing.line(here, 4, here, bottom + 4, kit.INK, 3)
    drawing.text(LEFT, bottom + 24, "0 s", colour=kit.SOFT)
    drawing.text(RIGHT, bottom + 24, f"{end / 1e6:,.2f} s", anchor="end", colour=kit.SOFT)
    return drawing.picture(bottom + 34, timeline_says(film, step))


def _is_usual(kind: str, film: Film) -> bool:
    """Return whether a kind has its row even while there is none: a tree alone elects nobody."""
    return kind not in (BROKEN, COMPACTION) and bool(film.moments[ELECTION] or film.sent)


def timeline_says(film: Film, step: int) -> str:
    """Return how many moments of each kind there are, in words."""
    shown = [kind for kind in MOMENTS if film.moments[kind] or _is_usual(kind, film)]
    counts = ", ".join(f"{plural_of(kind)} {len(film.moments[kind])}" for kind in shown)
    names = ", ".join(film.at(step).members)
    return f"The run of {names} so far: {counts}. Shown is step {step} of {len(film) - 1}."


def _draw_marks(drawing: Canvas, film: Film, kind: str, y: float, end: int) -> None:
    """Draw the marks of one kind; those of one stretch are pressed together."""
    wide = (RIGHT - LEFT) / BUCKETS
    buckets: dict[int, dict[int, int]] = {}  # bucket → place → first step
    for step in film.moments[kind]:
        share = film.trace[step].at / end
        bucket = min(int(share * BUCKETS), BUCKETS - 1)
        place = round(LEFT + (RIGHT - LEFT) * share)
        buckets.setdefault(bucket, {}).setdefault(place, step)
    for bucket, places in buckets.items():
        first = min(places.values())
        says = f"{kind} at {film.trace[first].at / 1000:,.1f} ms"
        area = kit.clear(LEFT + wide * (bucket + 0.5), y, wide, kit.HIT)
        marks = [_mark(kind, x, y) for x in places]
        drawing.add(kit.hot(f"at {first}", says, area, *marks))


def _mark(kind: str, x: float, y: float) -> str:
    if kind == ELECTION:
        return svg.polygon([(x, y - 9), (x + 8, y + 7), (x - 8, y + 7)], kit.INK)
    if kind == COMMIT:
        return svg.line(x, y - 8, x, y + 8, kit.INK, 2)
    if kind == FLUSH:
        return svg.rect(x - 6, y - 6, 12, 12, kit.INK, svg.WHITE)
    if kind == COMPACTION:
        return svg.polygon(
            [(x, y + 9), (x + 6, y), (x, y - 9), (x - 6, y)], svg.WHITE, kit.INK, 1.8
        )
    if kind in (FAULT, BROKEN):
        return svg.line(x - 6, y - 6, x + 6, y + 6, kit.ALARM, 3) + svg.line(
            x - 6, y + 6, x + 6, y - 6, kit.ALARM, 3
        )
    return svg.polygon([(x, y + 9), (x + 8, y - 7), (x - 8, y - 7)], svg.WHITE, kit.INK, 1.8)
