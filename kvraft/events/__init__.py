"""What happened: the one stream of typed events that every part of the system reports.

Plots, widgets, checkers, recorded traces and ``--json`` output all read this stream and nothing
else.  A part says *what* happened by calling the ``report`` function it was given with an
:class:`Event`; the world that runs the part knows *when* and *to whom*, and files a
:class:`TraceStep` in its :class:`Trace`.

Invariants:

- Fields hold only ``int``, ``str``, ``bool`` and tuples of them, so that an event is the same
  value after a trip through JSON.
- A trace is written one step a line with keys in a fixed order: the same history gives the same
  bytes, on every machine.

One line of a saved trace::

    {"at": 215000, "who": "n2", "event": "RoleChanged", "role": "leader", "term": 1, "leader": "n2"}

``at`` is microseconds of the world's time; ``who`` is a member, a client, or ``""`` for the world.
"""

# Each module is a theme, and all of its events are exported.
# ruff: noqa: F403

from kvraft.events.consensus import *
from kvraft.events.event import *
from kvraft.events.storage import *
from kvraft.events.trace import *
from kvraft.events.world import *
