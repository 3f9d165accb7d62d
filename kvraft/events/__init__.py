"""Events: the one typed stream in which every part of the system reports what happened.

Plots, widgets, checkers, recorded traces and ``--json`` output all read this stream and nothing
else.  A part reports *what* happened by calling its ``report`` function with an :class:`Event`; the
world that runs the part adds *when* and *who*, and keeps a :class:`TraceStep` in its
:class:`Trace`::

    trace         Trace and TraceStep: events in order, saved and loaded as lines of JSON
     │
     ├─► consensus    roles, votes, commitment, members, the five marks
     ├─► storage      log segments, transactions, memtables, tables
     └─► world        messages, faults, how far a client's write has come
           │
           ▼
    event         Event, the base of all; EventSink, the type of ``report``

Invariants:

- Fields have only ``int``, ``str``, ``bool`` and tuples of them, so that an event is the same value
  after a trip through JSON.
- A trace is written one step a line with keys in a fixed order: the same history gives the same
  bytes, on every machine.

One line of a saved trace::

    {"at": 215000, "who": "n2", "event": "RoleChanged", "role": "leader", "term": 1, "leader": "n2"}

``at`` is microseconds of the world's time; ``who`` is a member, a client, or ``""`` for the world.
"""

# Each module is a theme, and all of its events are exported: a list of the fifty would repeat them.
# ruff: noqa: F403

from kvraft.events.consensus import *
from kvraft.events.event import *
from kvraft.events.storage import *
from kvraft.events.trace import *
from kvraft.events.world import *
