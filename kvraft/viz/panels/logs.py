"""The ends of the members' logs at one moment, entry by entry."""

from __future__ import annotations

from kvraft.viz import svg
from kvraft.viz.trace import EntryState, MemberState, TraceHistory, summary

CELLS = 26
CELL = 29


def log_view(history: TraceHistory, step: int) -> str:
    """Draw the ends of all logs, one row a member, one column an index.

    A cell holds the term; a bold corner is the commit mark of a transaction; a dashed border means
    not committed yet, as far as that member knows; a struck-out entry was discarded.
    """
    state = history.at(step)
    last = max((member.marks.last for member in state.members.values()), default=0)
    low = max(1, last - CELLS + 1)
    parts = [svg.text(8, 18, "log index", size=11)]
    for index in range(low, low + CELLS):
        if index == low or index % 5 == 0:
            parts.append(svg.text(_column(index, low) + CELL / 2, 18, str(index), 11, "middle"))
    for row, (name, member) in enumerate(state.members.items()):
        top = 30 + 62 * row
        status = member.role if member.running else "down"
        parts.append(svg.text(8, top + 16, name, weight="bold"))
        parts.append(svg.text(8, top + 31, status, size=11))
        parts += [
            _cell(cell, member, _column(cell.index, low), top)
            for cell in member.log
            if low <= cell.index < low + CELLS
        ]
        parts += _brackets([c for c in member.log if c.index >= low], low, top)
        if member.marks.last < low:
            ends = f"◂ ends at {member.marks.last:,}" if member.marks.last else "empty"
            parts.append(svg.text(_column(low, low), top + 17, ends))
    says = "dashed: not committed here yet   ◢ commit mark   struck out: discarded"
    says += "   ∅ no-op   ® registration"
    height = 30 + 62 * len(state.members) + 22
    parts.append(svg.legend(8, height - 8, says))
    return svg.drawing(height, summary(history, step), parts)


def _column(index: int, low: int) -> float:
    return 80 + CELL * (index - low)


def _cell(cell: EntryState, member: MemberState, x: float, top: float) -> str:
    dashes = "" if cell.index <= member.marks.committed else "3 3"
    sign = "®" if cell.key else "∅"
    shown = str(cell.term) if cell.txn else f"{sign}{cell.term}"
    parts = [
        svg.rect(
            x + 1, top, CELL - 2, 26, svg.fill_of(cell.term), dashes=dashes, title=_name_of(cell)
        ),
        svg.text(x + CELL / 2, top + 17, shown, 12, "middle"),
    ]
    if cell.end:
        parts.append(svg.corner(x + CELL - 1, top + 26, 9))
    if cell.discarded:
        parts.append(svg.line(x + 3, top + 23, x + CELL - 3, top + 3, svg.BLACK, 2.5))
    return "".join(parts)


def _name_of(cell: EntryState) -> str:
    if not cell.txn:
        what = f"registration of {cell.key}" if cell.key else "no-op"
        return f"entry {cell.index}, term {cell.term}: {what}"
    mark = ", commit mark" if cell.end else ""
    return f"entry {cell.index}, term {cell.term}: {cell.key} of {cell.txn}{mark}"


def _brackets(cells: list[EntryState], low: int, top: float) -> list[str]:
    """Draw a line under the entries of each transaction, with its name where there is room."""
    runs: list[list[EntryState]] = []
    for cell in cells:
        if runs and cell.txn and runs[-1][-1].txn == cell.txn and not runs[-1][-1].end:
            runs[-1].append(cell)
        elif cell.txn:
            runs.append([cell])
    parts = []
    for run in runs:
        x1, x2 = _column(run[0].index, low) + 3, _column(run[-1].index, low) + CELL - 3
        parts.append(svg.line(x1, top + 31, x2, top + 31, svg.BLACK, 2))
        if len(run) >= 2:
            room = len(run) * CELL // 7
            parts.append(
                svg.text((x1 + x2) / 2, top + 43, svg.short(run[0].txn, room), 10, "middle")
            )
    return parts
