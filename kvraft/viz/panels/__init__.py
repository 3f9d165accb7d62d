"""Pictures in SVG, each a pure function of what it shows.

A *view* draws the state after one step of a history, ``(history, step) -> str``::

    cluster    members on a ring, messages on their way
    logs       the ends of all logs, entry by entry
    disks      segments, memtable, tables of each member   lamps      Raft's five properties

The others draw a stretch of a trace, or bytes::

    space_time     who sent what to whom
    moments        chosen moments side by side
    segments       a log's bytes, taken apart by anatomy
    tables         a table's bytes
    filters        a filter's bits, and how often it errs

Invariants:

- Equal input gives equal text, on every machine.
- What colour says, text or shape says too, and a picture's ``aria-label`` describes it.
- Nothing here needs more than the core: no matplotlib, no widgets.
"""

from kvraft.viz.panels.anatomy import (
    FRAME_NAMES,
    Field,
    FramePart,
    SegmentPiece,
    dissect,
    field_at,
    piece_at,
    segments_of,
)
from kvraft.viz.panels.cluster import cluster_view
from kvraft.viz.panels.disks import disk_view
from kvraft.viz.panels.filters import FalsePositiveRate, bits_view, measure
from kvraft.viz.panels.lamps import Lamps
from kvraft.viz.panels.logs import log_view
from kvraft.viz.panels.moments import DrawnMoment, Moment, moment, panel, panels
from kvraft.viz.panels.segments import (
    FRAME_COLOURS,
    HEXDUMP_HEIGHT,
    MARGIN,
    hexdump,
    inspector,
    strip,
    strip_parts,
)
from kvraft.viz.panels.space_time import spacetime
from kvraft.viz.panels.tables import TablePart, block_map, parts_of, table_map

__all__ = [
    "FRAME_COLOURS",
    "FRAME_NAMES",
    "HEXDUMP_HEIGHT",
    "MARGIN",
    "DrawnMoment",
    "FalsePositiveRate",
    "Field",
    "FramePart",
    "Lamps",
    "Moment",
    "SegmentPiece",
    "TablePart",
    "bits_view",
    "block_map",
    "cluster_view",
    "disk_view",
    "dissect",
    "field_at",
    "hexdump",
    "inspector",
    "log_view",
    "measure",
    "moment",
    "panel",
    "panels",
    "parts_of",
    "piece_at",
    "segments_of",
    "spacetime",
    "strip",
    "strip_parts",
    "table_map",
]
