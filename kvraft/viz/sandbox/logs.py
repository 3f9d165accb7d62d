"""The logs, entry by entry: one row a member, one column an index, up to the last entry of all.

::

             79  80  81  82
    n1      ┌──┬──┬──┐╌╌╌┐      number and fill: the term    pale, dashed: not committed,
    follows │ 1│ 1│ 1│ 2 ╎                                   as far as this member knows
            ━━━━━━━━━━          black: committed             ✕ below: the leader of the highest
            ━━━━━━━             blue: applied                  term has another entry, or none
            ━━━                 green: flushed to tables     ⌐¬ above: one transaction

A member that is down knows nothing: what of its log the cluster has committed is dashed.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film
from kvraft.viz.trace import ClusterState, EntryState, MemberState

LEFT, RIGHT = 92.0, 434.0
TOP, ROW, CELL = 34.0, 66.0, 32.0
NARROW, BROAD = 26.0, 171.0
KEYS = 62.0
"""From this width on a cell shows its key."""
PALER = 0.45


def logs_panel(film: Film, step: int) -> str:
    """Draw the end of each member's log after ``step``."""
    if not len(film):
        return kit.empty("Nothing has happened yet: there is no log.")
    state = film.at(step)
    last = max((m.log[-1].index for m in state.members.values() if m.log), default=0)
    first = min((m.log[0].index for m in state.members.values() if m.log), default=1)
    if not last:
        return kit.empty("All logs are empty: no entry has been written yet.")
    count = min(last - first + 1, int((RIGHT - LEFT) / NARROW))
    low, wide = last - count + 1, min((RIGHT - LEFT) / count, BROAD)
    drawing = Canvas()
    _draw_indexes(drawing, low, last, wide)
    doomed = doomed_entries(state)
    for row, (name, member) in enumerate(state.members.items()):
        top = TOP + ROW * row
        parts = Canvas()
        _draw_name(parts, name, member, top)
        _draw_row(parts, film, member, (low, last, wide, top), doomed.get(name, 0))
        says = row_says(name, member, doomed.get(name, 0))
        area = kit.clear((LEFT + RIGHT) / 2, top + 24, RIGHT, ROW - 8)
        drawing.add(kit.hot(f"member {name}", says, area, *parts.parts))
    height = _draw_legend(drawing, TOP + ROW * len(state.members) + 12, bool(doomed))
    return drawing.picture(height, logs_says(film, step))


def logs_says(film: Film, step: int) -> str:
    """Return the logs in words."""
    state = film.at(step)
    doomed = doomed_entries(state)
    says = (row_says(name, m, doomed.get(name, 0)) for name, m in state.members.items())
    return f"Logs. {'; '.join(says)}."


def row_says(name: str, member: MemberState, doomed: int = 0) -> str:
    """Return one log in words; ``doomed`` is its first entry that will be overwritten, or 0."""
    marks = member.marks
    if marks.first > marks.last:
        return f"the log of {name} is empty"
    says = f"log of {name}: {marks.first} to {marks.last}"
    if member.running:
        says += f", committed {marks.committed}, applied {marks.applied}"
    says += f", flushed {marks.flushed}"
    return says + (f", overwritten from {doomed} on" if doomed else "")


def entry_says(entry: EntryState) -> str:
    """Return what an entry is, in words."""
    if entry.txn:
        return f"{entry.key} of {entry.txn}"
    if entry.key:
        return f"registration of {entry.key}"
    return "configuration" if entry.configuration else "no-op"


def doomed_entries(state: ClusterState) -> dict[str, int]:
    """Return from which entry on each log differs from that of the leader of the highest term.

    A log that does not differ is not in it.  Without a running leader of the highest term, none is.
    """
    highest = max((m.term for m in state.members.values()), default=0)
    leaders = [
        name
        for name, m in state.members.items()
        if m.running and m.role == "leader" and m.term == highest
    ]
    if len(leaders) != 1:
        return {}
    wanted = {entry.index: entry.term for entry in state.members[leaders[0]].log}
    if not wanted:
        return {}
    found = {}
    for name, member in state.members.items():
        for entry in member.log:
            if entry.index >= min(wanted) and wanted.get(entry.index) != entry.term:
                found[name] = entry.index
                break
    return found


def _draw_indexes(drawing: Canvas, low: int, last: int, wide: float) -> None:
    every = 1 if kit.width_of(str(last)) + 5 <= wide else 2
    if kit.width_of(str(last)) + 5 > 2 * wide:
        every = 4
    drawing.text(6, 22, "entry", colour=kit.SOFT)
    for index in range(last, low - 1, -every):
        middle = LEFT + wide * (index - low + 0.5)
        drawing.text(
            kit.inside(middle, str(index)), 22, str(index), anchor="middle", colour=kit.SOFT
        )


def _draw_name(drawing: Canvas, name: str, member: MemberState, top: float) -> None:
    colour = kit.INK if member.running else kit.SOFT
    word = {"leader": "leader", "follower": "follows"}.get(member.role, "stands")
    name = kit.fitted(name, LEFT - 14, kit.NAME, bold=True)
    drawing.text(6, top + 20, name, kit.NAME, bold=True, colour=colour)
    drawing.text(6, top + 41, word if member.running else "down", colour=kit.SOFT)


def _draw_row(
    drawing: Canvas,
    film: Film,
    member: MemberState,
    window: tuple[int, int, float, float],
    doomed: int,
) -> None:
    low, _, wide, top = window
    shown = [entry for entry in member.log if entry.index >= low]
    if not shown:
        marks = member.marks
        ends = f"◂ ends at {marks.last}" if marks.last else "empty"
        drawing.text(LEFT + 4, top + 21, ends, colour=kit.SOFT)
        return
    for entry in shown:
        x = LEFT + wide * (entry.index - low)
        if entry.index < member.marks.first:
            drawing.add(svg.rect(x + 1.5, top, wide - 3, CELL, "none", kit.FAINT, dashes="2 4"))
            continue
        committed = member.running and entry.index <= member.marks.committed
        _draw_cell(drawing, entry, x, top, wide, pale=not committed)
        if doomed and entry.index >= doomed and not committed:
            _draw_doom(drawing, x + wide / 2, top + CELL + (11 if member.running else 17))
    _draw_transactions(drawing, shown, low, wide, top)
    _draw_marks(drawing, film, member, shown, (low, wide, top))


def _draw_cell(
    drawing: Canvas, entry: EntryState, x: float, top: float, wide: float, *, pale: bool
) -> None:
    says = f"entry {entry.index}, term {entry.term}: {entry_says(entry)}"
    drawing.add(
        svg.rect(
            x + 1.5,
            top,
            wide - 3,
            CELL,
            svg.fill_of(entry.term),
            kit.INK,
            width=1.3 if pale else 2,
            dashes="4 3" if pale else "",
            opacity=PALER if pale else None,
            title=says,
        )
    )
    middle, colour = x + wide / 2, kit.SOFT if entry.discarded else kit.INK
    term = str(entry.term)
    room = wide - kit.width_of(term) - 20
    short = "config" if entry.configuration else "no-op"
    narrow = wide < KEYS or (not entry.key and room < kit.width_of(short))
    if narrow and entry_says(entry) == "no-op":
        drawing.add(svg.circle(x + wide - 7, top + 6.5, 3, svg.WHITE, kit.INK, 1.2))
    if narrow:
        drawing.text(middle, top + 22, term, anchor="middle", colour=colour)
        return
    key = kit.fitted(entry.key or short, room)
    drawing.text(x + 8, top + 22, term, bold=True, colour=colour)
    drawing.text(x + wide - 8, top + 22, key, anchor="end", colour=colour)


def _draw_doom(drawing: Canvas, x: float, y: float) -> None:
    drawing.add(svg.line(x - 5, y - 5, x + 5, y + 5, kit.ALARM, 2.5))
    drawing.add(svg.line(x - 5, y + 5, x + 5, y - 5, kit.ALARM, 2.5))


def _draw_transactions(
    drawing: Canvas, shown: Sequence[EntryState], low: int, wide: float, top: float
) -> None:
    """Draw a bracket over the entries of each transaction of more than one; open if it is open."""
    runs: list[list[EntryState]] = []
    for entry in shown:
        if runs and entry.txn and runs[-1][-1].txn == entry.txn and not runs[-1][-1].end:
            runs[-1].append(entry)
        elif entry.txn:
            runs.append([entry])
    for run in runs:
        if len(run) > 1 or not run[0].end:
            left = LEFT + wide * (run[0].index - low) + 3
            right = LEFT + wide * (run[-1].index - low + 1) - 3
            end = "v4" if run[-1].end else ""
            drawing.add(
                f'<path d="M{svg.num(left)} {svg.num(top - 2)}v-4H{svg.num(right)}{end}"'
                f' fill="none" stroke="{kit.INK}" stroke-width="1.8"/>'
            )


def _draw_marks(
    drawing: Canvas,
    film: Film,
    member: MemberState,
    shown: Sequence[EntryState],
    window: tuple[int, float, float],
) -> None:
    """Draw how far the log is committed, applied and flushed, as three lines below the cells."""
    low, wide, top = window
    marks, last = member.marks, shown[-1].index
    start = LEFT + wide * (max(shown[0].index, member.marks.first) - low) + 2
    committed, dashes = marks.committed, ""
    if not member.running:
        kept = [e.index for e in shown if film.committed_term(e.index) == e.term]
        committed, dashes = max(kept, default=marks.flushed), "7 4"
    lines = [(committed, kit.INK, dashes), (marks.flushed, kit.FLUSHED, "")]
    if member.running:
        lines.insert(1, (marks.applied, kit.APPLIED, ""))
    for number, (through, colour, pattern) in enumerate(lines):
        end = LEFT + wide * (min(through, last) - low + 1) - 2
        if end > start:
            y = top + CELL + 6 + 6.5 * number
            drawing.add(svg.line(start, y, end, y, colour, 4, pattern))


def _draw_legend(drawing: Canvas, top: float, doomed: bool) -> float:
    """Explain the signs; return where the legend ends."""
    x = 6.0
    for words, colour in (
        ("committed", kit.INK),
        ("applied", kit.APPLIED),
        ("in tables", kit.FLUSHED),
    ):
        drawing.add(svg.line(x, top, x + 24, top, colour, 4))
        drawing.text(x + 31, top + 6, words)
        x += 31 + kit.width_of(words) + 20
    y = top + 30
    drawing.add(svg.rect(7, y - 9, 22, 18, svg.WHITE, kit.INK, dashes="4 3", width=1.3))
    drawing.text(37, y + 6, "not known to be committed here")
    drawing.add(svg.circle(352, y, 4, svg.WHITE, kit.INK, 1.2))
    drawing.text(363, y + 6, "no-op")
    if doomed:
        y += 28
        _draw_doom(drawing, 18, y)
        drawing.text(37, y + 6, "will be overwritten: the leader has another")
    return y + 20
