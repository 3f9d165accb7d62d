"""What a trace shows: the state after any of its steps, its events in words, and plain series.

::

    text                   the tour's pictures as lines for a terminal
    words    state         an event as a sentence; the whole cluster after a step
         │   │   pins      what pinned a member's log, and when
         │   │   tables    the tables of a tree, level by level
         └─ series         who led when, the five marks, log segments, sizes: over time

Invariants:

- Everything here is a pure function of a trace; nothing knows the simulator, and nothing draws.
- A trace may be incomplete: a slice, or one that begins on disks that were in use.  What is missing
  is filled in as soon as a later event shows it.
"""

from kvraft.viz.trace import series, text
from kvraft.viz.trace.pins import (
    FOLLOWER,
    MEMBERS,
    PIN_KINDS,
    PIN_REASONS,
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
    ClusterState,
    EntryState,
    MemberState,
    SegmentState,
    TraceHistory,
    take,
)
from kvraft.viz.trace.tables import TableBox, TreeTables, box_of, key_of_label, tables_at
from kvraft.viz.trace.words import interesting, story_line

__all__ = [
    "EMPTY",
    "FOLLOWER",
    "MEMBERS",
    "PIN_KINDS",
    "PIN_REASONS",
    "SNAPSHOT",
    "TREE",
    "UNPINNED",
    "ClusterState",
    "EntryState",
    "MemberState",
    "PinnedFrom",
    "SegmentState",
    "TableBox",
    "TraceHistory",
    "TreeTables",
    "between",
    "box_of",
    "hardest_pin",
    "interesting",
    "key_of_label",
    "kind_of",
    "members_of",
    "pins_over_time",
    "sealed_sizes",
    "series",
    "story_line",
    "tables_at",
    "take",
    "text",
]
