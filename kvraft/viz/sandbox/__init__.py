"""The sandbox: a run that one holds in one's hands, as pictures of any of its steps.

::

    ring     members, timers, votes, messages on their way      logs     entry by entry, with marks
      └─ letters     what travels, and what it says             title    what is the case
      ╰──────────────┬──────────────────────────────────────────────╯
    film             the history of a trace that grows
    canvas           a panel's drawing: words that know their boxes, labels that find a place

Invariants:

- A panel is a pure function of a film and a step, and says in words what it shows.
- Fill colour means the term, and nothing else; each colour has a number, shape or word as well.
- No word is smaller than 14 pixels as displayed, on a stage (900 pixels) and on a phone (390).
"""

from kvraft.viz.sandbox.canvas import WIDE, cold
from kvraft.viz.sandbox.film import MOMENTS, Film, Flight
from kvraft.viz.sandbox.logs import logs_panel
from kvraft.viz.sandbox.ring import ring_panel
from kvraft.viz.sandbox.title import conclusion, moment

__all__ = [
    "MOMENTS",
    "WIDE",
    "Film",
    "Flight",
    "cold",
    "conclusion",
    "logs_panel",
    "moment",
    "ring_panel",
]
