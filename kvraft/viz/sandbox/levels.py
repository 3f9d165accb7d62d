"""Tables, level by level: of one member, or any tables.

::

    level 0   [7 ───────────────────]          newest first, a row each; spans may overlap
              [6 ──────────────]
    level 1   [3 ─────][4 ────────────][5 ─]    one sorted run: one row
    on disk   [1 ──────────]                    live no more, but its file is still there

Lengths are spans of keys; all keys at which a table ever began or ended stand at equal distances.
A table of level 0 is the higher the larger it is, so that tiers are seen.  Dark and marked ▼ is
what is being merged, framed in green and marked ★ what came out last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kvraft.errors import BadInput
from kvraft.sstable import TableMetadata
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film, leader_of
from kvraft.viz.trace import TableBox, TreeTables, box_of, key_of_label, tables_at

LEFT, RIGHT = 80.0, 370.0
LEAST, MOST = 24.0, 54.0
"""How high a table is, at least and at most."""
SOLID, DARK = "#E6E9EE", "#AEB5C0"


def levels_panel(film: Film, step: int, member: str = "") -> str:
    """Draw the tables of ``member`` after ``step``; without a name, those of the leader.

    A trace of a tree alone has no members: it shows that tree.  Raises
    :class:`~kvraft.errors.BadInput` if there is no such member.
    """
    if not len(film):
        return kit.empty("Nothing has happened yet: there are no tables.")
    state = film.at(step)
    if member and member not in state.members:
        raise BadInput(f"there is no member called {member} in this trace")
    name = member or (leader_of(state) if state.members else film.trace[0].who)
    tables = tables_at(film.trace, step, name)
    others = ", ".join(other for other in state.members if other != name)
    says = f"{name}: {tables}" + (f"; not shown: {others}" if others else "") + "."
    return _draw(tables, says, f"{name}: " if others else "")


def tables_picture(
    tables: Sequence[TableMetadata], merging: Sequence[int] = (), into: int = -1, name: str = ""
) -> str:
    """Draw live tables, in the order in which they are read, and which are to be merged.

    ``name`` stands above them.
    """
    shown = TreeTables([box_of(info) for info in tables], tuple(merging), into)
    head = f"{name}: " if name else ""
    return _draw(shown, f"{head}{shown}.", head)


def _draw(tables: TreeTables, says: str, head: str) -> str:
    rows = tables.rows()
    drawing = Canvas()
    if not rows:
        drawing.add(svg.rect(4, 4, kit.WIDE - 8, 72, kit.PALE, "", rounded=8))
        drawing.text(kit.WIDE / 2, 46, f"{head}no table yet", anchor="middle", colour=kit.SOFT)
        return drawing.picture(80, says)
    boxes = [box for _, row in rows for box in row]
    spans = [*boxes, *tables.known.values()]
    known = sorted({key_of_label(key) for box in spans for key in (box.first, box.last)})
    each = (RIGHT - LEFT) / (len(known) + 1)
    place = {key: LEFT + each * at for at, key in enumerate(known)}
    smallest = min(box.size for box in boxes)
    drawing.text(6, 20, f"{head}keys in order →", colour=kit.SOFT)
    drawing.text(kit.WIDE - 6, 20, "KiB", anchor="end", colour=kit.SOFT)
    y, dead = 32.0, {box.number for box in tables.dead}
    for label, row in rows:
        tall = _tall(row, smallest)
        drawing.text(6, y + tall / 2 + 6, label, bold=True)
        for box in row:
            first, last = key_of_label(box.first), key_of_label(box.last)
            # A span without an end has no last key, which would be before the first.
            ends = place[first], place[known[-1] if last < first else last] + each
            _draw_box(drawing, box, ends, y, tall, tables, dead=box.number in dead)
        size = f"{sum(box.size for box in row) / 1024:,.1f}"
        drawing.text(kit.WIDE - 6, y + tall / 2 + 6, size, anchor="end")
        y += tall + 6
    return drawing.picture(_draw_legend(drawing, y + 8, tables), says)


def _tall(boxes: Sequence[TableBox], smallest: int) -> float:
    """Return how high a row is: of one table more where it is larger, on a logarithmic scale."""
    if boxes[0].level or len(boxes) > 1:
        return LEAST
    return min(LEAST + 5 * math.log2(max(boxes[0].size / max(smallest, 1), 1)), MOST)


def _draw_box(
    drawing: Canvas,
    box: TableBox,
    ends: tuple[float, float],
    y: float,
    tall: float,
    tables: TreeTables,
    *,
    dead: bool,
) -> None:
    x, wide = ends[0] + 1, max(ends[1] - ends[0] - 2, 2)
    merging, fresh = box.number in tables.merging, box.number in tables.fresh
    sign = "▼" if merging else "★" if fresh else ""
    fill = svg.WHITE if dead else DARK if merging else SOLID
    drawing.add(
        svg.rect(
            x,
            y,
            wide,
            tall,
            fill,
            kit.FLUSHED if fresh else kit.INK,
            width=3 if merging or fresh else 1.3,
            dashes="5 3" if dead else "",
            rounded=2,
            title=f"table {box.number}: {box.size:,} bytes, {box.first} to {box.last}",
        )
    )
    for words in (f"{sign}{box.number}", f"{box.number}"):
        if kit.width_of(words) <= wide:
            drawing.text(x + wide / 2, y + tall / 2 + 6, words, anchor="middle")
            break


def _draw_legend(drawing: Canvas, y: float, tables: TreeTables) -> float:
    """Explain the signs that there are; return where the legend ends."""
    x = 6.0
    if tables.merging:
        drawing.add(svg.rect(7, y, 22, 18, DARK, kit.INK, width=3))
        words = f"▼ being merged into level {tables.into}"
        drawing.text(37, y + 15, words)
        x += 31 + kit.width_of(words) + 14
    if tables.fresh:
        drawing.add(svg.rect(x + 1, y, 22, 18, SOLID, kit.FLUSHED, width=3))
        drawing.text(x + 31, y + 15, "★ new")
        x += 31 + kit.width_of("★ new") + 14
    if tables.dead:
        words = "live no more"
        if x + 31 + kit.width_of(words) > kit.WIDE - 6:
            x, y = 6.0, y + 28
        drawing.add(svg.rect(x + 1, y, 22, 18, svg.WHITE, kit.INK, dashes="5 3", width=1.3))
        drawing.text(x + 31, y + 15, words)
    return y + 26 if x > 6 else y
