"""The log on disk as pictures in SVG, drawn from its real bytes.

- :func:`strip` draws the segments of a log to scale, one below the other::

      ┌──┬────────┬┐┌──┬─────┬─────┬┐┌──┬─────┬┐┌─ ─ ─    dark: head and checksum of a frame
      │██│ header │█│██│  1  │  2  │█│██│░░2░░│█│  torn   light: payload, entry by entry
      └──┴────────┴┘└──┴─────┴─────┴┘└──┴─────┴┘└─ ─ ─    hatched: superseded

- :func:`inspector` draws one frame as a table: offset, bytes, field, value, meaning.
- :func:`hexdump` draws the bytes around one, with its field picked out.

As in ``views.py``, equal input gives equal text, and what colour says, words say too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvraft.disk import Disk
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.segment import CLOSED, ENTRIES, HARD_STATE, HEADER, SEAL
from kvraft.viz.anatomy import Field, Part, Piece, Placed, dissect, field_at, piece_at
from kvraft.viz.views import WIDTH, _n, _short, _svg, _text

COLOURS = {
    HEADER: "#56B4E9",
    HARD_STATE: "#CC79A7",
    ENTRIES: "#E69F00",
    CLOSED: "#009E73",
    SEAL: "#009E73",
}
RED, DARK_RED = "#D55E00", "#8A3B00"
"""Of what is not sound, and the darker one for text."""

MARGIN, BAR, ROW = 12, 36, 92


# ── the segments of a log ───────────────────────────────────────────────────────────────────────


def strip(disk: Disk, owner: str) -> str:
    """Draw every segment of the log of ``owner`` on ``disk``, all to one scale, oldest on top.

    Raises :class:`~kvraft.errors.BadInput` if there is none.
    """
    found = dissect(disk, owner)
    parts, height = strip_parts(found)
    told = [f"{name}: {', '.join(map(str, pieces))}" for name, pieces in found.items()]
    return _svg(height, "; ".join(told), parts)


def strip_parts(
    found: dict[str, list[Piece]], cursor: int | None = None
) -> tuple[list[str], float]:
    """Return the parts of that picture and its height; ``cursor`` points at one byte."""
    longest = max(pieces[-1].end for pieces in found.values())
    scale = (WIDTH - 2 * MARGIN) / longest
    parts: list[str] = []
    for number, (name, pieces) in enumerate(found.items()):
        top = 22.0 + ROW * number
        size = f"{counted(pieces[-1].end, 'byte')}"
        parts.append(_text(MARGIN, top - 7, f"{name}    {size}", 12, weight="bold"))
        for piece in pieces:
            parts += _piece(piece, top, scale)
        if cursor is not None:
            parts.append(_cursor(MARGIN + scale * (cursor + 0.5), top))
    height = ROW * len(found)
    parts += _legend(found, height + 10)
    return parts, height + 24


def _piece(piece: Piece, top: float, scale: float) -> Iterator[str]:
    left, wide = MARGIN + scale * piece.start, scale * (piece.end - piece.start)
    if piece.kind == 0:
        yield (
            f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(wide)}" height="{BAR}" fill="#FFFFFF"'
            f' stroke="{RED}" stroke-width="3" stroke-dasharray="5 4"/>'
        )
    else:
        colour = COLOURS.get(piece.kind, RED)
        yield _rect(left, top, wide, colour, opacity=0.35)
        for part in (Part.HEAD, Part.CHECK):
            inside = [field for field in piece.fields if field.part == part]
            start, end = inside[0].start, inside[-1].end
            yield _rect(MARGIN + scale * start, top, scale * (end - start), colour)
    for placed in piece.entries:
        yield from _entry(placed, top, scale)
    yield from _labels(piece, left, wide, top)


def _rect(x: float, y: float, wide: float, colour: str, opacity: float = 1) -> str:
    see_through = f' fill-opacity="{opacity}"' if opacity < 1 else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{BAR}" fill="{colour}"'
        f'{see_through} stroke="#000000" stroke-width="0.7"/>'
    )


def _entry(placed: Placed, top: float, scale: float) -> Iterator[str]:
    """Draw an entry in its frame: its index and term, hatched if it is superseded."""
    x, wide = MARGIN + scale * placed.start, scale * (placed.end - placed.start)
    yield (
        f'<line x1="{_n(x + wide)}" y1="{_n(top)}" x2="{_n(x + wide)}" y2="{_n(top + BAR)}"'
        ' stroke="#000000" stroke-width="0.7"/>'
    )
    if placed.superseded:
        yield from _hatch(x, top, wide)
    if wide >= 24:
        middle, entry = x + wide / 2, placed.entry
        yield _plate(middle, top + 11, 8 * len(str(entry.index)) + 4) if placed.superseded else ""
        yield _text(middle, top + 16, str(entry.index), 13, "middle", weight="bold")
        if wide >= 36:
            yield _plate(middle, top + 27, 34) if placed.superseded else ""
            yield _text(middle, top + 30, f"term {entry.term}", 9, "middle")


def _plate(middle: float, y: float, wide: float) -> str:
    """Return a white ground for text upon hatching."""
    x = middle - wide / 2
    return f'<rect x="{_n(x)}" y="{_n(y - 7)}" width="{_n(wide)}" height="13" fill="#FFFFFF"/>'


def _hatch(x: float, top: float, wide: float, gap: float = 7) -> Iterator[str]:
    """Draw lines that rise to the right, cut off at the sides of the box."""
    start = x - BAR
    while start < x + wide:
        low, high = max(start, x), min(start + BAR, x + wide)
        yield (
            f'<line x1="{_n(low)}" y1="{_n(top + BAR - (low - start))}" x2="{_n(high)}"'
            f' y2="{_n(top + BAR - (high - start))}" stroke="#444444" stroke-width="1.2"/>'
        )
        start += gap


def _labels(piece: Piece, left: float, wide: float, top: float) -> Iterator[str]:
    """Write below a piece what it is and at which offset it begins, as far as there is room."""
    colour, weight = ("#000000", "normal") if piece.kind else (DARK_RED, "bold")
    for text in (piece.label, piece.short):
        if 5.6 * len(text) <= wide or not piece.kind:
            yield _text(left, top + BAR + 13, text, 10, weight=weight, colour=colour)
            break
    if 5.5 * len(str(piece.start)) <= wide:
        yield _text(left, top + BAR + 25, str(piece.start), 9, colour="#555555")


def _cursor(x: float, top: float) -> str:
    return (
        f'<line x1="{_n(x)}" y1="{_n(top - 4)}" x2="{_n(x)}" y2="{_n(top + BAR + 4)}"'
        ' stroke="#000000" stroke-width="2"/>'
        f'<path d="M{_n(x - 6)} {_n(top - 10)}h12l-6 9z" fill="#000000"/>'
    )


def _legend(found: dict[str, list[Piece]], y: float) -> Iterator[str]:
    pieces = [piece for each in found.values() for piece in each]
    says = ["dark: head and checksum of a frame", "light: its payload", "below: offset in the file"]
    if any(placed.superseded for piece in pieces for placed in piece.entries):
        says.append("hatched: superseded by a later frame")
    if any(piece.kind == 0 for piece in pieces):
        says.append("dashed: not sound")
    yield _text(MARGIN, y, "     ".join(says), 10, colour="#333333")


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
        _text(x, 18, heading, 11, weight="bold")
        for x, heading in zip(COLUMNS, ("offset", "bytes", "field", "value", ""), strict=True)
    ]
    colour = COLOURS.get(piece.kind, RED)
    for row, field in enumerate(piece.fields):
        y = 26.0 + LINE * row
        solid = field.part in (Part.HEAD, Part.CHECK)
        parts += _field(field, data, y, colour, 1 if solid else 0.35)
    told = "; ".join(f"{field.name} {field.value}" for field in piece.fields)
    return _svg(34 + LINE * len(piece.fields), f"{name}, {piece}: {told}", parts)


def _field(field: Field, data: bytes, y: float, colour: str, opacity: float) -> Iterator[str]:
    yield (
        f'<rect x="{MARGIN}" y="{_n(y)}" width="8" height="{LINE}" fill="{colour}"'
        f' fill-opacity="{opacity}" stroke="#000000" stroke-width="0.5"/>'
    )
    shown = data[field.start : min(field.end, field.start + 12)].hex(" ")
    if field.end - field.start > 12:
        shown += " …"
    texts = (str(field.start), shown, field.name, _short(field.value, 16), field.meaning)
    for x, text, weight in zip(COLUMNS, texts, ("normal",) * 3 + ("bold", "normal"), strict=True):
        yield _text(x, y + 13, text, 11, weight=weight)


# ── the bytes around one ────────────────────────────────────────────────────────────────────────

ACROSS, CELL, DOWN = 16, 36, 5
"""Bytes a line, pixels a byte, and lines."""


def hexdump(data: bytes, pieces: Sequence[Piece], offset: int, top: float) -> list[str]:
    """Return the parts of a picture: the lines of bytes around ``offset``, from ``top`` down.

    Its field is framed, the byte itself filled, and printable bytes are shown as letters, too.
    """
    field = field_at(pieces, offset)
    lines = -(-len(data) // ACROSS)
    first = max(0, min(offset // ACROSS - DOWN // 2, lines - DOWN))
    parts: list[str] = []
    for line in range(first, min(first + DOWN, lines)):
        y = top + 32 * (line - first)
        parts.append(_text(MARGIN, y + 15, f"{line * ACROSS:>5}", 11, colour="#555555"))
        for at in range(line * ACROSS, min((line + 1) * ACROSS, len(data))):
            x = MARGIN + 52 + CELL * (at % ACROSS)
            parts += _byte(data[at], x, y, inside=field.start <= at < field.end, here=at == offset)
    return parts


def _byte(value: int, x: float, y: float, *, inside: bool, here: bool) -> Iterator[str]:
    if inside:
        fill, stroke = ("#000000", 2) if here else ("#F0E442", 1)
        yield (
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{CELL - 2}" height="29" fill="{fill}"'
            f' stroke="#000000" stroke-width="{stroke}"/>'
        )
    colour = "#FFFFFF" if here else "#000000"
    middle = x + CELL / 2 - 1
    yield _text(middle, y + 14, f"{value:02x}", 12, "middle", colour=colour)
    letter = chr(value) if 33 <= value < 127 else "·"
    yield _text(middle, y + 26, letter, 10, "middle", colour=colour if here else "#555555")
