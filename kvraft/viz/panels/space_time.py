"""A space-time diagram: who sent what to whom, and when it arrived (Lamport 1978, Figure 1).

::

    time   n1         n2         n3      a lane a member, time runs down
     │      │╲─────────┼────╲     │      ╲    a request, from Sent to Delivered
     │      │ ╲        │     ╲    │
     │      │  ╲──────►│      ✕   │      ✕    a message that was lost
     │      │◄╌╌╌╌╌╌╌╌╌│          │      ◄╌╌  a reply
     ▼    [commit 2]   ┆          │      ┆    down, from Crashed to Started

Rows are *moments*: what one member did at one time.  They stand one below the other in the order of
the trace, however long it was from one to the next; the margin tells the time.  So an arrow never
rises, and two lines cross only where messages overtook each other.

:func:`spacetime` is a pure function of the trace and the steps asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import (
    CommitAdvanced,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    MessageDelivered,
    MessageLost,
    MessageSent,
    NetworkHealed,
    NetworkPartitioned,
    RoleChanged,
    SnapshotReceived,
    Trace,
)
from kvraft.viz import svg
from kvraft.viz.trace import members_of

LEFT, RIGHT, TOP = 130.0, 80.0, 46.0
ROW, NOTE, STUB = 22.0, 19.0, 17.0
"""Heights: of a row, of a note in it, of a message in it that is lost at once."""
REQUEST, REPLY, LOSS = svg.BLUE, svg.DARK_RED, "#B00000"
PALE_GREEN, PALE_GREY = "#BFE5D8", "#DDDDDD"
WIDE = 220.0
"""How far apart lanes are if there is room for long words between them."""
NAMES_BELOW = 16
"""With more rows than this the lanes are named at their lower ends, too."""

_REPLIES = ("Overloaded", "Redirect", "Registered", "ScanPage")
_WORDS = {
    "RequestVote": "vote?",
    "RequestVoteReply": "vote",
    "PreVote": "would you vote?",
    "PreVoteReply": "would vote",
    "InstallSnapshot": "snapshot",
    "InstallSnapshotReply": "snapshot",
    "AppendEntriesReply": "",
}


@dataclass(slots=True)
class _Row:
    """A moment: ``who`` took message ``arrived``, did what the notes say, and sent messages."""

    at: int
    who: str
    arrived: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)  # text, colour
    sent: list[MessageSent] = field(default_factory=list)
    lost: list[_Line] = field(default_factory=list)  # as they were sent
    band: str = ""  # what happened to the whole network
    y: float = 0.0

    @property
    def after(self) -> float:
        """Where lines of messages that leave begin: below the notes."""
        return self.y + NOTE * len(self.notes)

    @property
    def height(self) -> float:
        return ROW + NOTE * len(self.notes) + STUB * len(self.lost)


@dataclass(slots=True)
class _Line:
    """A message: from a row to a row; none if it was sent before, or is still on its way."""

    sender: str
    sent: MessageSent
    start: _Row | None = None
    end: _Row | None = None
    lost: bool = False


def spacetime(trace: Trace, first: int = 0, last: int | None = None) -> str:
    """Return the steps ``first`` … ``last`` of ``trace``, by default all, as SVG text.

    Members stand from left to right in the order of their names, then clients that have a part in
    it.  Meant for up to five lanes and some forty messages.  Raises
    :class:`~kvraft.errors.BadInput` if the trace has no such steps.
    """
    last = len(trace) - 1 if last is None else last
    if not 0 <= first <= last < len(trace):
        raise BadInput(f"the trace has steps 0 to {len(trace) - 1}, not {first} to {last}")
    rows, lines = _fold(trace, first, last)
    names = members_of(trace)
    names += sorted({who for line in lines for who in (line.sender, line.sent.to)} - set(names))
    bottom = _place(rows)
    x = {name: _lane(number, len(names)) for number, name in enumerate(names)}
    parts = [part for name in names for part in _draw_lane(trace, first, name, x[name], rows)]
    parts += _draw_names(x, bottom if len(rows) > NAMES_BELOW else None)
    parts += _draw_margin(rows)
    taken = _Taken(rows, x)
    parts += [_draw_line(line, x, bottom, taken) for line in lines if not _lost_at_once(line)]
    for row in rows:
        parts += _draw_row(row, x)
    says = "solid, full head: request   dashed, open head: reply   [2]: carries entry 2   "
    says += "✕: lost   …: still on its way   dotted lane: down"
    parts.append(svg.legend(8, bottom + 34, says))
    return svg.drawing(bottom + 44, _says(trace, first, last, names, lines), parts)


def _says(trace: Trace, first: int, last: int, names: list[str], lines: list[_Line]) -> str:
    """Return the diagram in a sentence."""
    lost = sum(line.lost for line in lines)
    way = sum(line.end is None for line in lines)
    return (
        f"Space-time diagram of {', '.join(names)} from {trace[first].at / 1000:.1f} ms to "
        f"{trace[last].at / 1000:.1f} ms: {counted(len(lines), 'message')}, {lost} "
        f"lost, {way} on their way."
    )


# ── from steps to rows and lines ────────────────────────────────────────────────────────────────


def _fold(trace: Trace, first: int, last: int) -> tuple[list[_Row], list[_Line]]:
    """Gather steps into rows, and find where each message begins and ends."""
    open_lines: dict[int, _Line] = {}
    for _, who, event in trace[:first]:
        if isinstance(event, MessageSent):
            open_lines[event.id] = _Line(who, event)
        elif isinstance(event, MessageDelivered | MessageLost):
            open_lines.pop(event.id, None)
    before = list(open_lines)
    rows: list[_Row] = []
    lines: list[_Line] = []
    for at, who, event in trace[first : last + 1]:
        match event:
            case MessageSent():
                row = _row_for(rows, at, who)
                row.sent.append(event)
                open_lines[event.id] = _Line(who, event, row)
                lines.append(open_lines[event.id])
            case MessageDelivered() | MessageLost() if event.id in open_lines:
                line = open_lines.pop(event.id)
                if line.start is None:
                    lines.append(line)
                _end(rows, line, at, who, event)
            case NetworkPartitioned() | NetworkHealed():
                groups = event.groups if isinstance(event, NetworkPartitioned) else ()
                rows.append(_Row(at, "", band=f"cut: {' | '.join(groups)}" if groups else "healed"))
            case _ if (note := _note(event))[0]:
                _row_for(rows, at, who, note=True).notes.append(note)
    lines += [open_lines[id] for id in before if id in open_lines]  # on their way all the time
    return rows, lines


def _end(
    rows: list[_Row], line: _Line, at: int, who: str, event: MessageDelivered | MessageLost
) -> None:
    """Let a message end: in a row of its own, or in its sender's if it is lost at once."""
    line.lost = isinstance(event, MessageLost)
    if line.lost and line.start is not None and line.start is rows[-1] and line.start.at == at:
        line.end = line.start
        line.start.lost.append(line)
        return
    line.end = _Row(at, "" if line.lost else who, arrived=event.id)
    rows.append(line.end)


def _row_for(rows: list[_Row], at: int, who: str, *, note: bool = False) -> _Row:
    """Return the last row if it is of that moment, else a new one.

    What a member does after it sent something begins a new row, so that the order can be seen.
    """
    if rows and (rows[-1].at, rows[-1].who) == (at, who) and not (note and rows[-1].sent):
        return rows[-1]
    rows.append(_Row(at, who))
    return rows[-1]


def _note(event: Event) -> tuple[str, str]:
    """Return what is written on a lane, and its colour; no text if nothing is."""
    match event:
        case EntriesAppended(first=first, terms=terms):
            return f"writes {_span(first, first + len(terms) - 1)}", svg.WHITE
        case EntriesSuperseded():
            return f"drops {_span(event.first, event.last)}", PALE_GREY
        case CommitAdvanced():
            return f"commit {event.index}", PALE_GREEN
        case RoleChanged(role="leader"):
            return f"leads term {event.term}", svg.fill_of(event.term)
        case RoleChanged(role="candidate"):
            return f"stands, term {event.term}", svg.fill_of(event.term)
        case MemberCrashed() | MemberStopped():
            return "✕ crashes" if isinstance(event, MemberCrashed) else "✕ stops", PALE_GREY
        case MemberStarted():
            return "starts", svg.WHITE
        case SnapshotReceived():
            return f"takes all to {event.index}", PALE_GREEN
    return "", ""


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _words(sent: MessageSent, room: float = WIDE) -> str:
    """Return what a message says, in a few words; the commit index only where there is room."""
    if sent.kind == "AppendEntries":
        what = f"[{_span(sent.first, sent.last)}]" if sent.first else "heartbeat"
        return f"{what} {sent.note if room >= WIDE else sent.note.partition(',')[0]}"
    return f"{_WORDS.get(sent.kind, sent.kind)} {sent.note}".strip()


def _lost_at_once(line: _Line) -> bool:
    return line.lost and line.start is not None and line.start is line.end


# ── from rows and lines to SVG ──────────────────────────────────────────────────────────────────


def _place(rows: list[_Row]) -> float:
    """Give each row its place from the top; return where the lanes end."""
    y = TOP
    for row in rows:
        row.y = y
        y += row.height
    return y + 10


def _lane(number: int, lanes: int) -> float:
    return LEFT + (svg.WIDTH - LEFT - RIGHT) * (number / (lanes - 1) if lanes > 1 else 0.5)


def _draw_names(x: dict[str, float], bottom: float | None) -> Iterator[str]:
    for name, place in x.items():
        yield svg.text(place, 18, name, anchor="middle", weight="bold")
        if bottom is not None:
            yield svg.text(place, bottom + 15, name, anchor="middle", weight="bold")


def _draw_lane(trace: Trace, first: int, name: str, x: float, rows: list[_Row]) -> Iterator[str]:
    """Draw a member's lane, dotted while it is down."""
    changes = trace[:first].of(MemberStarted, MemberCrashed, MemberStopped, who=name)
    down = bool(changes) and not isinstance(changes[-1].event, MemberStarted)
    top = 26.0
    for row in rows:
        told = [says for says, _ in row.notes] if row.who == name else []
        now = "starts" not in told if down else any(says.startswith("✕") for says in told)
        if now is not down:
            yield _lane_piece(x, top, row.after, down)
            top, down = row.after, now
    end = rows[-1].y + rows[-1].height + 6 if rows else TOP
    yield _lane_piece(x, top, end, down)


def _lane_piece(x: float, top: float, bottom: float, down: bool) -> str:
    return svg.line(x, top, x, bottom, "#777777" if down else svg.BLACK, 1.5, "1 6" if down else "")


def _draw_margin(rows: list[_Row]) -> Iterator[str]:
    """Write the time beside each row at which it changed."""
    before = None
    for row in rows:
        if row.at != before:
            yield svg.text(8, row.y + 4, f"{row.at / 1000:,.1f} ms", size=11, colour="#333333")
        before = row.at


class _Taken:
    """The places of words and notes, so that no words are put over others."""

    def __init__(self, rows: list[_Row], x: dict[str, float]) -> None:
        self._boxes: list[tuple[float, float, float]] = []  # left, right, base line
        for row in rows:
            for number, (words, _) in enumerate(row.notes):
                self._take(x[row.who], row.y + 15 + NOTE * number, words)

    def _take(self, x: float, y: float, words: str) -> None:
        self._boxes.append((*_extent(x, words), y))

    def pick(self, places: list[svg.Point], words: str) -> svg.Point:
        """Return, and take, the first of ``places`` with room for ``words``, else the first."""
        found = next((place for place in places if self._free(*place, words)), places[0])
        self._take(*found, words)
        return found

    def _free(self, x: float, y: float, words: str) -> bool:
        left, right = _extent(x, words)
        return all(
            right < taken_left or left > taken_right or abs(y - base) > 12
            for taken_left, taken_right, base in self._boxes
        )


def _extent(x: float, words: str) -> tuple[float, float]:
    return x - 3.1 * len(words) - 3, x + 3.1 * len(words) + 3


def _draw_line(message: _Line, x: dict[str, float], bottom: float, taken: _Taken) -> str:
    """Draw a message that arrives, is lost on its way, or is still on its way at the end."""
    sent, end = message.sent, message.end
    here, there = x[message.sender], x[sent.to]
    way = 1 if there > here else -1
    gap = (svg.WIDTH - LEFT - RIGHT) / max(len(x) - 1, 1)
    top = message.start.after if message.start else 26.0
    arrives = end is not None and not message.lost
    x2, y2 = there if arrives else there - way * gap * 0.45, end.y if end else bottom
    words = _words(sent, gap) + ("" if end else " …")
    # The words stand in the last gap before the receiver, where lines are furthest apart.
    spots = (0.5, 0.36, 0.64, 0.28, 0.72, 0.2, 0.8, 0.86) if arrives else (0.7, 0.6, 0.8)
    slope = (y2 - top) / (x2 - here)
    middles = [there - way * gap * spot for spot in spots]
    places = [(middle, top + slope * (middle - here) - 3) for middle in middles]
    parts = [_stroke(here, top, x2, y2, sent)]
    if arrives:
        parts.append(_head(here, top, x2, y2, sent))
    elif message.lost:
        parts.append(_cross(x2, y2))
        places = [(x2, y2 + 19)]
    parts.append(svg.rimmed(*taken.pick(places, words), words, _dark(sent)))
    return _group(message, parts)


def _group(message: _Line, parts: list[str]) -> str:
    """Return what belongs to one message, with its story for whoever points at it."""
    sent = message.sent
    fate = "lost" if message.lost else "delivered" if message.end else "on its way"
    story = f"message {sent.id}, {message.sender} to {sent.to}, {fate}: {sent.kind}, {_words(sent)}"
    return f"<g><title>{svg.escape(story)}</title>{''.join(parts)}</g>"


def _draw_row(row: _Row, x: dict[str, float]) -> Iterator[str]:
    """Draw what is at one place: the notes, what is lost as it is sent, a cut of the network."""
    if row.band:
        yield svg.line(70, row.y, svg.WIDTH - 10, row.y, LOSS, 1.5, "8 4")
        yield svg.rimmed(svg.WIDTH / 2, row.y + 4, row.band, LOSS, weight="bold")
    for number, (note, colour) in enumerate(row.notes):
        wide, top = 7.0 * len(note) + 10, row.y + 3 + NOTE * number
        yield svg.rect(x[row.who] - wide / 2, top, wide, 16, colour, rounded=3)
        yield svg.text(x[row.who], top + 12, note, 11, "middle")
    for number, message in enumerate(row.lost):
        sent, here, y = message.sent, x[row.who], row.after + STUB * (number + 0.7)
        way = 1 if x[sent.to] > here else -1
        words, anchor = f"to {sent.to}: {_words(sent)}", "start" if way > 0 else "end"
        parts = [
            _stroke(here, row.after, here + way * 34, y, sent),
            _cross(here + way * 34, y),
            svg.rimmed(here + way * 44, y + 4, words, _dark(sent), anchor),
        ]
        yield _group(message, parts)


def _cross(x: float, y: float) -> str:
    return svg.text(x, y + 6, "✕", 17, "middle", weight="bold", colour=LOSS)


def _colour(sent: MessageSent) -> str:
    return REPLY if _is_reply(sent) else REQUEST


def _dark(sent: MessageSent) -> str:
    """Return the colour of its words."""
    return "#5C2700" if _is_reply(sent) else "#00456B"


def _is_reply(sent: MessageSent) -> bool:
    return sent.kind.endswith("Reply") or sent.kind in _REPLIES


def _head(x1: float, y1: float, x2: float, y2: float, sent: MessageSent) -> str:
    """Draw an arrow's head: full for a request, open for a reply."""
    corners = svg.arrow_head(x1, y1, x2, y2, half=4.5)
    if _is_reply(sent):
        return svg.polyline(corners, _colour(sent), 1.5)
    return svg.polygon(corners, _colour(sent))


def _stroke(x1: float, y1: float, x2: float, y2: float, sent: MessageSent) -> str:
    return svg.line(x1, y1, x2, y2, _colour(sent), 1.5, "6 4" if _is_reply(sent) else "")
