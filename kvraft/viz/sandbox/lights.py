"""The lights: which properties hold at a step, Raft's Figure 3 and the five marks.

A tick while a property holds; a cross from the step on that broke it, with what broke it in words.
"""

from __future__ import annotations

import textwrap

from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film

ROW, COLUMN = 36.0, 220.0
LINE = 46
"""How many letters a line of words holds."""


def lights_panel(film: Film, step: int) -> str:
    """Draw the lights as they were after ``step``."""
    if not len(film):
        return kit.empty("Nothing has happened yet: nothing can be broken.")
    drawing = Canvas()
    states = film.lights.at(step)
    for number, (name, what) in enumerate(states.items()):
        x, y = 6 + COLUMN * (number % 2), 22 + ROW * (number // 2)
        ground, rim = (kit.ALARM, kit.ALARM) if what else (svg.WHITE, kit.INK)
        drawing.add(svg.circle(x + 12, y, 12, ground, rim, 1.5))
        if what:
            drawing.add(svg.line(x + 7, y - 5, x + 17, y + 5, svg.WHITE, 3))
            drawing.add(svg.line(x + 7, y + 5, x + 17, y - 5, svg.WHITE, 3))
        else:
            tick = [(x + 6.5, y), (x + 10.5, y + 5), (x + 17.5, y - 5)]
            drawing.add(svg.polyline(tick, kit.FLUSHED, 3))
        drawing.text(x + 31, y + 6, name, colour=kit.ALARM if what else kit.INK)
    top = 22 + ROW * ((len(states) + 1) // 2)
    for words in filter(None, states.values()):
        for line in textwrap.wrap(words, LINE):
            drawing.text(6, top, line, colour=kit.ALARM)
            top += 22
        top += 6
    return drawing.picture(top - 4, lights_says(film, step))


def lights_says(film: Film, step: int) -> str:
    """Return the lights in words."""
    states = film.lights.at(step)
    broken = [f"{name} is broken: {what}" for name, what in states.items() if what]
    holds = [name for name, what in states.items() if not what]
    return "; ".join([*broken, f"these hold: {', '.join(holds)}" if holds else "no property holds"])
