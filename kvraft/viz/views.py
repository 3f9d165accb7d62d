"""Pictures of one moment in SVG: pure functions of a history and a step.

``render(history, step) -> str`` is the shape of all of them:

- :func:`cluster_view`: members, their roles and terms, and the messages on their way;
- :func:`log_view`: the ends of the members' logs, entry by entry;
- :func:`disk_view`: log segments to scale, the five marks, memtable and tables.

Equal input gives equal text, on every machine.  What colour says, text or shape says too, and a
picture's ``aria-label`` tells the moment in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape as escape_html
from itertools import combinations

from kvraft.display import counted
from kvraft.viz.state import Cell, History, Member, State

WIDTH = 860
FILL = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00")
"""Colours of terms (Okabe and Ito); black text is readable on each, and shows the term too."""

View = Callable[[History, int], str]


def fill_of(term: int) -> str:
    """Return the colour of a term, white before the first."""
    return FILL[(term - 1) % len(FILL)] if term > 0 else "#FFFFFF"


def summary(history: History, step: int) -> str:
    """Return the state after ``step`` in a sentence: who leads, who is down, where the logs are."""
    state = history.at(step)
    parts = []
    for name, member in state.members.items():
        marks = member.marks
        role = f"{member.role} in term {member.term}" if member.running else "down"
        log = f"log {marks.first} to {marks.last}" if marks.first <= marks.last else "log empty"
        parts.append(f"{name} {role}, {log}")
    return f"{state.at / 1000:.1f} ms: {'; '.join(parts)}."


# ── the cluster ─────────────────────────────────────────────────────────────────────────────────


def cluster_view(history: History, step: int) -> str:
    """Draw the members on a ring and what is on its way between them."""
    state = history.at(step)
    places = _ring(history.names, x=560, y=150, radius=100)
    clients = sorted({who for pair in _pairs(state) for who in pair} - set(places))
    for row, client in enumerate(clients[:6]):
        places[client] = (110, 45 + 42 * row)
    parts = list(_cuts(state.groups, places))
    parts += [_arrow(places, pair, notes) for pair, notes in _pairs(state).items()]
    parts += [_client(client, *places[client]) for client in clients[:6]]
    for name, member in state.members.items():
        parts.append(_member(name, member, *places[name]))
    if state.groups:
        groups = "  |  ".join(state.groups)
        parts.append(_text(560, 292, f"partitioned: {groups}", anchor="middle", weight="bold"))
    return _svg(300, summary(history, step), parts)


def _ring(names: list[str], x: float, y: float, radius: float) -> dict[str, tuple[float, float]]:
    turn = 2 * math.pi / max(len(names), 1)
    return {
        name: (x + 1.6 * radius * math.sin(turn * n), y - radius * math.cos(turn * n))
        for n, name in enumerate(names)
    }


def _cuts(groups: tuple[str, ...], places: dict[str, tuple[float, float]]) -> Iterable[str]:
    """Draw a broken line with a cross between any two members that a partition keeps apart."""
    group_of = {name: n for n, group in enumerate(groups) for name in group.split()}
    for one, other in combinations(sorted(name for name in group_of if name in places), 2):
        if group_of[one] != group_of[other]:
            (x1, y1), (x2, y2) = places[one], places[other]
            yield (
                f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke="#777777"'
                ' stroke-width="1.5" stroke-dasharray="6 6"/>'
            )
            middle = (x1 + x2) / 2, (y1 + y2) / 2 + 7
            yield _text(*middle, "✕", size=20, anchor="middle", weight="bold")


def _pairs(state: State) -> dict[tuple[str, str], list[str]]:
    """Return the messages in flight, by sender and receiver, in a word each."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for sender, sent in state.in_flight.values():
        what = sent.kind
        if sent.first:
            what += f" {sent.first}-{sent.last}"
        elif sent.kind == "AppendEntries":
            what = "heartbeat"
        elif sent.kind.endswith("Reply") or sent.kind == "Answer":
            what = sent.note
        pairs.setdefault((sender, sent.to), []).append(what)
    return pairs


def _arrow(places: dict[str, tuple[float, float]], pair: tuple[str, str], notes: list[str]) -> str:
    """Draw an arrow beside the straight line, so that two directions do not cover each other."""
    if pair[0] not in places or pair[1] not in places:
        return ""
    (x1, y1), (x2, y2) = places[pair[0]], places[pair[1]]
    length = math.hypot(x2 - x1, y2 - y1) or 1
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    sx, sy = -uy * 7, ux * 7
    x1, y1, x2, y2 = x1 + 46 * ux + sx, y1 + 46 * uy + sy, x2 - 46 * ux + sx, y2 - 46 * uy + sy
    head = f"{_n(x2)},{_n(y2)} {_n(x2 - 10 * ux + 5 * uy)},{_n(y2 - 10 * uy - 5 * ux)} "
    head += f"{_n(x2 - 10 * ux - 5 * uy)},{_n(y2 - 10 * uy + 5 * ux)}"
    more = f" +{len(notes) - 1}" if len(notes) > 1 else ""
    anchor = "start" if sx >= 0 else "end"
    middle = ((x1 + x2) / 2 + 1.4 * sx, (y1 + y2) / 2 + 1.8 * sy + 4)
    return (
        f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke="#0072B2"'
        f' stroke-width="1.5"/><polygon points="{head}" fill="#0072B2"/>'
        + _text(*middle, _short(notes[-1]) + more, size=10, anchor=anchor, colour="#00456B")
    )


def _client(name: str, x: float, y: float) -> str:
    return (
        f'<rect x="{_n(x - 40)}" y="{_n(y - 14)}" width="80" height="28" rx="4" fill="#F4F4F4"'
        f' stroke="#000000"/>' + _text(x, y + 4, _short(name, 10), anchor="middle")
    )


def _member(name: str, member: Member, x: float, y: float) -> str:
    """Draw a member: colour is its term, a double ring a leader, dashes a member that is down."""
    if not member.running:
        shape = f'<circle cx="{_n(x)}" cy="{_n(y)}" r="38" fill="#FFFFFF" stroke="#777777"'
        return (
            f'{shape} stroke-width="2" stroke-dasharray="5 4"/>'
            + _text(x, y - 3, name, anchor="middle", weight="bold", colour="#555555")
            + _text(x, y + 14, "down", anchor="middle", size=11, colour="#555555")
        )
    ring = ""
    if member.role == "leader":
        ring = f'<circle cx="{_n(x)}" cy="{_n(y)}" r="43" fill="none" stroke="#000000"'
        ring += ' stroke-width="3"/>'
    dashes = ' stroke-dasharray="2 3"' if "candidate" in member.role else ""
    vote = f"voted {member.vote}" if member.vote else ""
    return (
        f'{ring}<circle cx="{_n(x)}" cy="{_n(y)}" r="38" fill="{fill_of(member.term)}"'
        f' stroke="#000000" stroke-width="1.5"{dashes}/>'
        + _text(x, y - 12, name, anchor="middle", weight="bold")
        + _text(x, y + 3, member.role, anchor="middle", size=11)
        + _text(x, y + 16, f"term {member.term}", anchor="middle", size=11)
        + _text(x, y + 28, vote, anchor="middle", size=9)
    )


# ── the logs ────────────────────────────────────────────────────────────────────────────────────

CELLS = 26
CELL = 29


def log_view(history: History, step: int) -> str:
    """Draw the ends of all logs, one row a member, one column an index.

    A cell holds the term; a bold corner is the commit mark of a transaction; a dashed border means
    not committed yet, as far as that member knows; a struck-out entry was undone.
    """
    state = history.at(step)
    last = max((member.marks.last for member in state.members.values()), default=0)
    low = max(1, last - CELLS + 1)
    parts = [_text(8, 18, "log index", size=11)]
    for index in range(low, low + CELLS):
        if index == low or index % 5 == 0:
            parts.append(_text(_column(index, low) + CELL / 2, 18, str(index), 11, "middle"))
    for row, (name, member) in enumerate(state.members.items()):
        top = 30 + 62 * row
        status = member.role if member.running else "down"
        parts.append(_text(8, top + 16, name, weight="bold"))
        parts.append(_text(8, top + 31, status, size=11))
        parts += [
            _cell(cell, member, _column(cell.index, low), top)
            for cell in member.log
            if low <= cell.index < low + CELLS
        ]
        parts += _brackets([c for c in member.log if c.index >= low], low, top)
        if member.marks.last < low:
            ends = f"◂ ends at {member.marks.last:,}" if member.marks.last else "empty"
            parts.append(_text(_column(low, low), top + 17, ends))
    legend = "dashed: not committed here yet   ◢ commit mark   struck out: undone"
    legend += "   ∅ no-op   ® registration"
    height = 30 + 62 * len(state.members) + 22
    parts.append(_text(8, height - 8, legend, size=11, colour="#333333"))
    return _svg(height, summary(history, step), parts)


def _column(index: int, low: int) -> float:
    return 80 + CELL * (index - low)


def _cell(cell: Cell, member: Member, x: float, top: float) -> str:
    dashes = "" if cell.index <= member.marks.committed else ' stroke-dasharray="3 3"'
    sign = "®" if cell.key else "∅"
    parts = [
        f'<rect x="{_n(x + 1)}" y="{_n(top)}" width="{CELL - 2}" height="26"'
        f' fill="{fill_of(cell.term)}" stroke="#000000"{dashes}>'
        f"<title>{escape(_name_of(cell))}</title></rect>",
        _text(
            x + CELL / 2,
            top + 17,
            str(cell.term) if cell.txn else f"{sign}{cell.term}",
            12,
            "middle",
        ),
    ]
    if cell.end:
        right, bottom = x + CELL - 1, top + 26
        corner = (
            f"{_n(right)},{_n(bottom - 9)} {_n(right)},{_n(bottom)} {_n(right - 9)},{_n(bottom)}"
        )
        parts.append(f'<polygon points="{corner}" fill="#000000"/>')
    if cell.undone:
        parts.append(
            f'<line x1="{_n(x + 3)}" y1="{_n(top + 23)}" x2="{_n(x + CELL - 3)}" y2="{_n(top + 3)}"'
            ' stroke="#000000" stroke-width="2.5"/>'
        )
    return "".join(parts)


def _name_of(cell: Cell) -> str:
    if not cell.txn:
        what = f"registration of {cell.key}" if cell.key else "no-op"
        return f"entry {cell.index}, term {cell.term}: {what}"
    mark = ", commit mark" if cell.end else ""
    return f"entry {cell.index}, term {cell.term}: {cell.key} of {cell.txn}{mark}"


def _brackets(cells: list[Cell], low: int, top: float) -> list[str]:
    """Draw a line under the entries of each transaction, with its name where there is room."""
    runs: list[list[Cell]] = []
    for cell in cells:
        joins = runs and cell.txn and runs[-1][-1].txn == cell.txn and not runs[-1][-1].end
        if joins:
            runs[-1].append(cell)
        elif cell.txn:
            runs.append([cell])
    parts = []
    for run in runs:
        x1, x2 = _column(run[0].index, low) + 3, _column(run[-1].index, low) + CELL - 3
        parts.append(
            f'<line x1="{_n(x1)}" y1="{_n(top + 31)}" x2="{_n(x2)}" y2="{_n(top + 31)}"'
            ' stroke="#000000" stroke-width="2"/>'
        )
        if len(run) >= 2:
            room = len(run) * CELL // 7
            parts.append(_text((x1 + x2) / 2, top + 43, _short(run[0].txn, room), 10, "middle"))
    return parts


# ── the disks ───────────────────────────────────────────────────────────────────────────────────


def disk_view(history: History, step: int) -> str:
    """Draw what each member has on disk and in memory.

    Log segments are drawn to scale on one axis of log indexes, with the flushed mark as a flag.
    """
    state = history.at(step)
    low = min((member.marks.first for member in state.members.values()), default=1)
    high = max(max((m.marks.last for m in state.members.values()), default=0) + 1, low + 10)
    parts: list[str] = []
    for row, (name, member) in enumerate(state.members.items()):
        top = 10 + 96 * row
        parts.append(_text(8, top + 34, name, weight="bold"))
        if not member.running:
            parts.append(_text(8, top + 49, "down", size=11))
        parts += _segments(member, low, high, top)
        parts += _memory_and_tables(member, top, history.memtable_peak)
        marks = member.marks
        words = f"first {marks.first:,}   flushed {marks.flushed:,}   applied {marks.applied:,}"
        words += f"   committed {marks.committed:,}   last {marks.last:,}"
        parts.append(_text(70, top + 72, words, size=11))
    height = 10 + 96 * len(state.members) + 16
    caption = f"log {low:,} to {high - 1:,}; "
    caption += "white: being written, blue: not all flushed, grey: flushed"
    parts.append(_text(70, height - 8, caption, size=11, colour="#333333"))
    parts.append(_text(560, height - 8, "memtable", size=11, colour="#333333"))
    parts.append(_text(680, height - 8, "SSTables", size=11, colour="#333333"))
    return _svg(height, summary(history, step), parts)


def _segments(member: Member, low: int, high: int, top: float) -> Iterable[str]:
    left, width = 70, 470
    scale = width / (high - low)
    for segment in member.segments:
        last = segment.last if segment.last is not None else member.marks.last
        x = left + (max(segment.first, low) - low) * scale
        wide = max((last + 1 - max(segment.first, low)) * scale, 3)
        fill = "#FFFFFF" if segment.last is None else "#9CCBE8"
        if segment.last is not None and last <= member.marks.flushed:
            fill = "#CCCCCC"
        yield (
            f'<rect x="{_n(x)}" y="{_n(top + 18)}" width="{_n(wide)}" height="30" fill="{fill}"'
            f' stroke="#000000"><title>segment {segment.number}: entries {segment.first} to {last}'
            f"</title></rect>"
        )
        if wide >= 16:
            yield _text(x + wide / 2, top + 37, str(segment.number), 11, "middle")
    flag = left + (min(max(member.marks.flushed + 1, low), high) - low) * scale
    yield (
        f'<line x1="{_n(flag)}" y1="{_n(top + 8)}" x2="{_n(flag)}" y2="{_n(top + 54)}"'
        ' stroke="#D55E00" stroke-width="3"/>'
    )
    yield _text(flag + 4, top + 14, "flushed", size=10, colour="#8A3B00")


def _memory_and_tables(member: Member, top: float, peak: int) -> Iterable[str]:
    filled = member.memtable_size / max(peak, 1) * 96
    yield f'<rect x="560" y="{_n(top + 18)}" width="96" height="30" fill="#FFFFFF" stroke="#000"/>'
    yield (
        f'<rect x="560" y="{_n(top + 18)}" width="{_n(filled)}" height="30" fill="#56B4E9"'
        ' stroke="none"/>'
    )
    waiting = f" +{member.waiting} frozen" if member.waiting else ""
    yield _text(560, top + 62, f"{counted(member.memtable_rows, 'row')}{waiting}", size=11)
    shown = member.tables[-11:]
    for n, (number, size) in enumerate(shown):
        yield (
            f'<rect x="{680 + 15 * n}" y="{_n(top + 18)}" width="12" height="30" fill="#009E73"'
            f' stroke="#000000"><title>table {number}: {counted(size, "byte")}</title></rect>'
        )
    total = sum(size for _, size in member.tables) / 1024
    yield _text(680, top + 62, f"{counted(len(member.tables), 'table')}, {total:,.0f} KiB", size=11)


# ── drawing ─────────────────────────────────────────────────────────────────────────────────────


def escape(text: str) -> str:
    """Return ``text`` fit for XML: a character that it cannot hold becomes U+FFFD."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return escape_html(text)


def _svg(height: float, says: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_n(height)}" role="img"'
        f' width="{WIDTH}" style="max-width:100%" aria-label="{escape(says)}"'
        f' font-family="sans-serif"><title>{escape(says)}</title>'
        f'<rect width="{WIDTH}" height="{_n(height)}" fill="#FFFFFF"/>{"".join(parts)}</svg>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    size: int = 13,
    anchor: str = "start",
    *,
    weight: str = "normal",
    colour: str = "#000000",
) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" text-anchor="{anchor}"'
        f' font-weight="{weight}" fill="{colour}" xml:space="preserve">{escape(text)}</text>'
        if text
        else ""
    )


def _short(text: str, room: int = 26) -> str:
    return text if len(text) <= room else text[: max(room - 1, 1)] + "…"


def _n(number: float) -> str:
    """Return a coordinate with one decimal at most: the same text on every machine."""
    return f"{number:.1f}".removesuffix(".0")
