"""The bytes of files as pictures in SVG, each a pure function of what it shows.

::

    segments    a log's bytes, taken apart by anatomy
    tables      a table's bytes
    filters     a filter's bits, and how often it errs

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
from kvraft.viz.panels.filters import FalsePositiveRate, bits_view, measure
from kvraft.viz.panels.segments import (
    FRAME_COLOURS,
    HEXDUMP_HEIGHT,
    MARGIN,
    hexdump,
    inspector,
    strip,
    strip_parts,
)
from kvraft.viz.panels.tables import TablePart, block_map, parts_of, table_map

__all__ = [
    "FRAME_COLOURS",
    "FRAME_NAMES",
    "HEXDUMP_HEIGHT",
    "MARGIN",
    "FalsePositiveRate",
    "Field",
    "FramePart",
    "SegmentPiece",
    "TablePart",
    "bits_view",
    "block_map",
    "dissect",
    "field_at",
    "hexdump",
    "inspector",
    "measure",
    "parts_of",
    "piece_at",
    "segments_of",
    "strip",
    "strip_parts",
    "table_map",
]
