"""What a trace says: the state after any of its steps, its events in words, and plain series.

::

    text                   the tour's pictures as lines for a terminal
    words    state         an event as a sentence; the whole cluster after a step, and in a sentence
         │   │   holders   who held a member's log, and when
         └─ series         who led when, the five marks, log segments, sizes: over time

Invariants:

- Everything here is a pure function of a trace; nothing knows the simulator, and nothing draws.
- A trace need not tell everything: it may be a slice, or begin on disks that were in use.  What was
  left out is taken up as soon as a later event shows it.
"""

from kvraft.viz.trace import series, text
from kvraft.viz.trace.holders import (
    FOLLOWER,
    HOLD_REASONS,
    HOLDER_KINDS,
    MEMBERS,
    SNAPSHOT,
    TREE,
    UNPINNED,
    PinnedFrom,
    between,
    hardest_pin,
    kind_of,
    pins_over_time,
    sealed_sizes,
)
from kvraft.viz.trace.series import members_of
from kvraft.viz.trace.state import (
    EMPTY,
    EntryState,
    Member,
    Segment,
    State,
    TraceHistory,
    View,
    summary,
    take,
)
from kvraft.viz.trace.words import interesting, story_line

__all__ = [
    "EMPTY",
    "FOLLOWER",
    "HOLDER_KINDS",
    "HOLD_REASONS",
    "MEMBERS",
    "SNAPSHOT",
    "TREE",
    "UNPINNED",
    "EntryState",
    "Member",
    "PinnedFrom",
    "Segment",
    "State",
    "TraceHistory",
    "View",
    "between",
    "hardest_pin",
    "interesting",
    "kind_of",
    "members_of",
    "pins_over_time",
    "sealed_sizes",
    "series",
    "story_line",
    "summary",
    "take",
    "text",
]
