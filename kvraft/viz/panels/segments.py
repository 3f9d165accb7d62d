"""The log on disk as pictures in SVG, drawn from its real bytes.

- :func:`strip` draws the segments of a log to scale, one below the other::

      ┌──┬────────┬┐┌──┬─────┬─────┬┐┌──┬─────┬┐┌─ ─ ─    dark: head and checksum of a frame
      │██│ header │█│██│  1  │  2  │█│██│░░2░░│█│  torn   light: payload, entry by entry
      └──┴────────┴┘└──┴─────┴─────┴┘└──┴─────┴┘└─ ─ ─    hatched: superseded

- :func:`inspector` draws one frame as a table: offset, bytes, field, value, meaning.
- :func:`hexdump` draws the bytes around one, with its field picked out.

What colour says, words say too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvraft.disk import Disk
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.viz import svg
from kvraft.viz.panels.anatomy import (
    Field,
    FramePart,
    PlacedEntry,
    SegmentPiece,
    dissect,
    field_at,
    piece_at,
)
from kvraft.wal import FrameKind

FRAME_COLOURS: dict[int, str] = {
    FrameKind.HEADER: svg.SKY,
    FrameKind.HARD_STATE: svg.PURPLE,
    FrameKind.ENTRIES: svg.ORANGE,
    FrameKind.CLOSED: svg.GREEN,
    FrameKind.SEAL: svg.GREEN,
}

MARGIN, BAR, ROW = 12, 36, 92


# ── the segments of a log ───────────────────────────────────────────────────────────────────────


def strip(disk: Disk, owner: str) -> str:
    """Draw every segment of the log of ``owner`` on ``disk``, all to one scale, oldest on top.

    Raises :class:`~kvraft.errors.BadInput` if there is none.
    """
    found = dissect(disk, owner)
    parts, height = strip_parts(found)
    told = [f"{name}: {', '.join(map(str, pieces))}" for name, pieces in found.items()]
    return svg.drawing(height, "; ".join(told), parts)


def strip_parts(
    found: dict[str, list[SegmentPiece]], cursor: int | None = None
) -> tuple[list[str], float]:
    """Return the parts of that picture and its height; ``cursor`` points at one byte."""
    longest = max(pieces[-1].end for pieces in found.values())
    scale = (svg.WIDTH - 2 * MARGIN) / longest
    parts: list[str] = []
    for number, (name, pieces) in enumerate(found.items()):
        top = 22.0 + ROW * number
        size = f"{counted(pieces[-1].end, 'byte')}"
        parts.append(svg.text(MARGIN, top - 7, f"{name}    {size}", 12, weight="bold"))
        for piece in pieces:
            parts += _piece(piece, top, scale)
        if cursor is not None:
            parts.append(_cursor(MARGIN + scale * (cursor + 0.5), top))
    height = ROW * len(found)
    parts += _legend(found, height + 10)
    return parts, height + 24


def _piece(piece: SegmentPiece, top: float, scale: float) -> Iterator[str]:
    left, wide = MARGIN + scale * piece.start, scale * (piece.end - piece.start)
    if piece.kind == 0:
        yield svg.rect(left, top, wide, BAR, svg.WHITE, svg.RED, width=3, dashes="5 4")
    else:
        colour = FRAME_COLOURS.get(piece.kind, svg.RED)
        yield svg.rect(left, top, wide, BAR, colour, width=0.7, opacity=0.35)
        for part in (FramePart.HEAD, FramePart.CHECK):
            inside = [field for field in piece.fields if field.part == part]
            x, end = MARGIN + scale * inside[0].start, MARGIN + scale * inside[-1].end
            yield svg.rect(x, top, end - x, BAR, colour, width=0.7)
    for placed in piece.entries:
        yield from _entry(placed, top, scale)
    yield from _labels(piece, left, wide, top)


def _entry(placed: PlacedEntry, top: float, scale: float) -> Iterator[str]:
    """Draw an entry in its frame: its index and term, hatched if it is superseded."""
    x, wide = MARGIN + scale * placed.start, scale * (placed.end - placed.start)
    yield svg.line(x + wide, top, x + wide, top + BAR, svg.BLACK, 0.7)
    if placed.superseded:
        yield from _hatch(x, top, wide)
    if wide >= 24:
        middle, entry = x + wide / 2, placed.entry
        yield _plate(middle, top + 11, 8 * len(str(entry.index)) + 4) if placed.superseded else ""
        yield svg.text(middle, top + 16, str(entry.index), 13, "middle", weight="bold")
        if wide >= 36:
            yield _plate(middle, top + 27, 34) if placed.superseded else ""
            yield svg.text(middle, top + 30, f"term {entry.term}", 9, "middle")


def _plate(middle: float, y: float, wide: float) -> str:
    """Return a white ground for text upon hatching."""
    return svg.rect(middle - wide / 2, y - 7, wide, 13, svg.WHITE, "")


def _hatch(x: float, top: float, wide: float, gap: float = 7) -> Iterator[str]:
    """Draw lines that rise to the right, cut off at the sides of the box."""
    start = x - BAR
    while start < x + wide:
        low, high = max(start, x), min(start + BAR, x + wide)
        bottom = top + BAR + start
        yield svg.line(low, bottom - low, high, bottom - high, "#444444", 1.2)
        start += gap


def _labels(piece: SegmentPiece, left: float, wide: float, top: float) -> Iterator[str]:
    """Write below a piece what it is and at which offset it begins, as far as there is room."""
    colour, weight = (svg.BLACK, "normal") if piece.kind else (svg.DARK_RED, "bold")
    for says in (piece.label, piece.short):
        if 5.6 * len(says) <= wide or not piece.kind:
            yield svg.text(left, top + BAR + 13, says, 10, weight=weight, colour=colour)
            break
    if 5.5 * len(str(piece.start)) <= wide:
        yield svg.text(left, top + BAR + 25, str(piece.start), 9, colour="#555555")


def _cursor(x: float, top: float) -> str:
    here = svg.line(x, top - 4, x, top + BAR + 4, svg.BLACK, 2)
    return here + f'<path d="M{svg.num(x - 6)} {svg.num(top - 10)}h12l-6 9z" fill="{svg.BLACK}"/>'


def _legend(found: dict[str, list[SegmentPiece]], y: float) -> Iterator[str]:
    pieces = [piece for each in found.values() for piece in each]
    says = ["dark: head and checksum of a frame", "light: its payload", "below: offset in the file"]
    if any(placed.superseded for piece in pieces for placed in piece.entries):
        says.append("hatched: superseded by a later frame")
    if any(piece.kind == 0 for piece in pieces):
        says.append("dashed: not sound")
    yield svg.legend(MARGIN, y, "     ".join(says), 10)


# ── one frame, field by field ───────────────────────────────────────────────────────────────────

COLUMNS = (24, 78, 336, 440, 550)
"""Where the columns of the inspector begin: offset, bytes, field, value, meaning."""

LINE = 18


def inspector(disk: Disk, owner: str, name: str, offset: int) -> str:
    """Draw the frame of the segment ``name`` that holds the byte at ``offset``, field by field.

    Raises :class:`~kvraft.errors.BadInput` if there is no such byte.
    """
    found = dissect(disk, owner)
    if name not in found:
        raise BadInput(f"there is no segment {name} here: {', '.join(found)}")
    piece, data = piece_at(found[name], offset), disk.read(name)
    parts = [
        svg.text(x, 18, heading, 11, weight="bold")
        for x, heading in zip(COLUMNS, ("offset", "bytes", "field", "value", ""), strict=True)
    ]
    colour = FRAME_COLOURS.get(piece.kind, svg.RED)
    for row, field in enumerate(piece.fields):
        y = 26.0 + LINE * row
        solid = field.part in (FramePart.HEAD, FramePart.CHECK)
        parts += _field(field, data, y, colour, 1 if solid else 0.35)
    told = "; ".join(f"{field.name} {field.value}" for field in piece.fields)
    return svg.drawing(34 + LINE * len(piece.fields), f"{name}, {piece}: {told}", parts)


def _field(field: Field, data: bytes, y: float, colour: str, opacity: float) -> Iterator[str]:
    yield svg.rect(MARGIN, y, 8, LINE, colour, width=0.5, opacity=opacity)
    shown = data[field.start : min(field.end, field.start + 12)].hex(" ")
    if field.end - field.start > 12:
        shown += " …"
    texts = (str(field.start), shown, field.name, svg.short(field.value, 16), field.meaning)
    for x, says, weight in zip(COLUMNS, texts, ("normal",) * 3 + ("bold", "normal"), strict=True):
        yield svg.text(x, y + 13, says, 11, weight=weight)


# ── the bytes around one ────────────────────────────────────────────────────────────────────────

ACROSS, CELL, DOWN = 16, 36, 5
"""Bytes a line, pixels a byte, and lines."""

HEXDUMP_HEIGHT = 32 * DOWN


def hexdump(data: bytes, pieces: Sequence[SegmentPiece], offset: int, top: float) -> list[str]:
    """Return the parts of a picture: the lines of bytes around ``offset``, from ``top`` down.

    Its field is framed, the byte itself filled, and printable bytes are shown as letters, too.
    """
    field = field_at(pieces, offset)
    lines = -(-len(data) // ACROSS)
    first = max(0, min(offset // ACROSS - DOWN // 2, lines - DOWN))
    parts: list[str] = []
    for row in range(first, min(first + DOWN, lines)):
        y = top + 32 * (row - first)
        parts.append(svg.text(MARGIN, y + 15, f"{row * ACROSS:>5}", 11, colour="#555555"))
        for at in range(row * ACROSS, min((row + 1) * ACROSS, len(data))):
            x = MARGIN + 52 + CELL * (at % ACROSS)
            parts += _byte(data[at], x, y, inside=field.start <= at < field.end, here=at == offset)
    return parts


def _byte(value: int, x: float, y: float, *, inside: bool, here: bool) -> Iterator[str]:
    if inside:
        fill, width = (svg.BLACK, 2) if here else (svg.YELLOW, 1)
        yield svg.rect(x, y, CELL - 2, 29, fill, width=width)
    colour = svg.WHITE if here else svg.BLACK
    middle = x + CELL / 2 - 1
    yield svg.text(middle, y + 14, f"{value:02x}", 12, "middle", colour=colour)
    letter = chr(value) if 33 <= value < 127 else "·"
    yield svg.text(middle, y + 26, letter, 10, "middle", colour=colour if here else "#555555")
