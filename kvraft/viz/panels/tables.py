"""Tables, drawn from their real bytes.

:func:`table_map` draws the parts of a table's file to scale, :func:`block_map` one data block,
column by column.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.disk import Disk, table_name
from kvraft.display import counted
from kvraft.record import label
from kvraft.sstable import Block, Table, read_footer
from kvraft.viz import svg

_COLOURS = {
    "data": svg.SKY,
    "filter": svg.ORANGE,
    "ranges": svg.PURPLE,
    "properties": svg.YELLOW,
    "index": svg.GREEN,
    "footer": svg.GREY,
}
_LEFT = 12.0


class TablePart(NamedTuple):
    """The bytes ``start`` … ``end - 1`` of a table's file, and what they are."""

    name: str
    start: int
    end: int

    def __str__(self) -> str:
        """Return it in words: what it is and from where to where."""
        return f"{self.name} at {self.start} to {self.end - 1}"


def parts_of(disk: Disk, number: int) -> list[TablePart]:
    """Return the parts of table ``number`` from its first byte to its last."""
    name = table_name(number)
    size = disk.size(name)
    bounds = read_footer(disk, name, size).layout
    table = Table.open(disk, number)
    extents = [table.extent(at) for at in range(table.blocks)]
    parts = [TablePart("data", start, start + length) for start, length in extents]
    names = ("filter", "ranges", "properties", "index", "footer")
    for what, start, end in zip(names, bounds, [*bounds[1:], size], strict=True):
        if end > start:
            parts.append(TablePart(what, start, end))
    return parts


def table_map(disk: Disk, number: int) -> str:
    """Return a picture of the file of table ``number``, to scale, each part with its size."""
    parts = parts_of(disk, number)
    scale = (svg.WIDTH - 2 * _LEFT) / parts[-1].end
    drawn: list[str] = [
        svg.text(_LEFT, 16, f"{table_name(number)}, {counted(parts[-1].end, 'byte')}", 12)
    ]
    for part in parts:
        x, wide = _LEFT + part.start * scale, (part.end - part.start) * scale
        drawn.append(_box(x, 26, wide, 40, _COLOURS[part.name], str(part)))
    x = _LEFT
    for name, colour in _COLOURS.items():
        mine = [part for part in parts if part.name == name]
        if mine:
            size = sum(part.end - part.start for part in mine)
            count = f"{counted(len(mine), 'block')}, " if name == "data" else ""
            says = f"{name}: {count}{counted(size, 'byte')}"
            drawn += [_box(x, 80, 12, 12, colour, says), svg.text(x + 17, 91, says, 11)]
            x += 35 + 6.2 * len(says)
    told = ", ".join(f"{part.name} {part.start} to {part.end}" for part in parts)
    return svg.drawing(104, f"{table_name(number)}: {told}", drawn)


def block_map(block: Block) -> str:
    """Return a picture of a block of rows: its columns, row by row."""
    rows = block.rows()
    heads = (("key", 12), ("timestamp", 200), ("kind", 320), ("value", 400))
    drawn = [svg.text(x, 18, head, 12, weight="bold") for head, x in heads]
    for at, (key, timestamp, value) in enumerate(rows):
        y = 40 + 20 * at
        colour = svg.RED if value is None else svg.SKY
        drawn.append(_box(8, y - 14, svg.WIDTH - 16, 18, colour, label(key), opacity=0.2))
        said = "" if value is None else label(value)
        cells = (label(key), f"{timestamp}", "delete" if value is None else "put", said[:60])
        drawn += [svg.text(x, y, cell, 12) for cell, (_, x) in zip(cells, heads, strict=True)]
    says = (
        f"a block of {counted(len(rows), 'row')} from {label(rows[0][0])} to {label(rows[-1][0])}"
    )
    return svg.drawing(40 + 20 * len(rows), says, drawn)


def _box(
    x: float, y: float, wide: float, high: float, colour: str, says: str, opacity: float = 1
) -> str:
    return svg.rect(x, y, wide, high, colour, width=0.5, opacity=opacity, title=says)
