"""The sandbox: a run that one holds in one's hands, as pictures of any of its steps.

::

    page             one page that plays a run, without kernel and network        page.js
    still            panels of one step for a cell, with words
    session          a sitting: what a click does, and what is drawn after it
     ├─ controls         the HTML around the panels             sandbox.js, sandbox.css
     ├─ task             the mission: goal, verdict, hints; the list of missions
     ├─ choices          what can be done to what is selected
     └─ branches         a run or a recording, and its forks
    ring     members, timers, votes, messages on their way      logs     entry by entry, with marks
      ├─ letters     what travels, and what it says             disks    segments, memtable, tables
      └─ links       cut, clogged, slow, lossy; islands
    space_time       who sent what to whom, with clients or not lights   which properties hold
    timeline         where elections, commits, faults … are     title    what is the case
    pins             what pins a log, and the five marks        levels   tables, level by level
    transactions     which copies in the logs are whole, open, discarded
      ╰──────────────┬──────────────────────────────────────────────╯
    film             the history of a trace that grows
    canvas           a panel's drawing: words that know their boxes, labels that find a place

Invariants:

- A panel is a pure function of a film and a step, and says in words what it shows.
- Fill colour means the term, and in pins what pins; each has a number, shape or word as well.
- No word is smaller than 14 pixels as displayed, on a stage (900 pixels) and on a phone (390).
"""

from kvraft.viz.sandbox.canvas import WIDE, cold
from kvraft.viz.sandbox.controls import css, frame, module
from kvraft.viz.sandbox.film import MOMENTS, Film, Flight
from kvraft.viz.sandbox.levels import levels_panel, tables_picture
from kvraft.viz.sandbox.logs import logs_panel
from kvraft.viz.sandbox.page import page
from kvraft.viz.sandbox.pins import PIN_COLOURS, pins_panel
from kvraft.viz.sandbox.ring import ring_panel
from kvraft.viz.sandbox.session import PANELS, USUAL, Session
from kvraft.viz.sandbox.space_time import clients_panel
from kvraft.viz.sandbox.still import Still, picture, shown, still
from kvraft.viz.sandbox.title import conclusion, moment
from kvraft.viz.sandbox.transactions import transactions_panel

__all__ = [
    "MOMENTS",
    "PANELS",
    "PIN_COLOURS",
    "USUAL",
    "WIDE",
    "Film",
    "Flight",
    "Session",
    "Still",
    "clients_panel",
    "cold",
    "conclusion",
    "css",
    "frame",
    "levels_panel",
    "logs_panel",
    "module",
    "moment",
    "page",
    "picture",
    "pins_panel",
    "ring_panel",
    "shown",
    "still",
    "tables_picture",
    "transactions_panel",
]
