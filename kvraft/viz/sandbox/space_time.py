"""Space and time: the last messages between members, a lane each, now at the right edge.

::

    n1  ─────►────────────▒▒▒▒▒──────────    solid, to a dot: request   dashed, to a ring: reply
    n2  ──┴───────leads 2─▒▒▒▒▒──┬───────    ending in a cross: lost
    n3  ──────────────────▒▒▒▒▒──✕───────    dotted lane: down
        480 ms             45 ms    now      grey: nothing happens, and takes little room

Source: Lamport 1978, Figure 1.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.events import (
    CommitAdvanced,
    EntriesAppended,
    MemberCrashed,
    MemberStarted,
    MemberStopped,
    RoleChanged,
    TicketMoved,
)
from kvraft.sim import MILLISECOND
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Box, Canvas
from kvraft.viz.sandbox.film import Film, Sent
from kvraft.viz.sandbox.letters import is_refusal, is_reply, word_of

LEFT, RIGHT, TOP = 58.0, 428.0, 28.0
GAPS = {1: 46.0, 2: 92.0, 3: 84.0, 4: 66.0, 5: 54.0}
"""How far lanes are apart, by how many there are: what a message says stands between them."""
SHARES = (0.5, 0.65, 0.35, 0.8, 0.2)
"""Where along its line a message may say what it is."""
MESSAGES = 16
IDLE = 4 * MILLISECOND
"""A stretch without any message under way is idle from this length on."""
IDLE_WIDE = 34.0


@immutable
class Scale(NamedTuple):
    """Where each of ``times`` is: the first and last of each stretch, and of idle ones."""

    times: tuple[int, ...]
    places: tuple[float, ...]
    idle: tuple[tuple[int, int], ...]

    def x(self, at: int) -> float:
        """Return where a time is."""
        number = min(max(bisect_right(self.times, at) - 1, 0), len(self.times) - 1)
        if number + 1 == len(self.times):
            return self.places[number]
        start, end = self.times[number : number + 2]
        share = (min(max(at, start), end) - start) / max(end - start, 1)
        return self.places[number] + share * (self.places[number + 1] - self.places[number])


def space_time_panel(film: Film, step: int, since: int | None = None) -> str:
    """Draw the messages between members up to ``step``: the last ones, or all ``since`` a step."""
    return _panel(film, step, since, clients=False)


def clients_panel(film: Film, step: int, since: int | None = None) -> str:
    """Draw the same with the messages of clients, and what is written, committed and reported."""
    return _panel(film, step, since, clients=True)


def _panel(film: Film, step: int, since: int | None, *, clients: bool) -> str:
    if not len(film):
        return kit.empty("Nothing has happened yet: no message was sent.")
    state = film.at(step)
    sent = _sent(film, step, since, clients=clients)
    if not sent:
        return kit.empty("No member has sent a message to another yet.")
    names = _lanes(film, step, sent)
    gap = GAPS.get(len(names), 36.0)
    lane = {name: TOP + gap * number for number, name in enumerate(names)}
    first = sent[0].step if since is None else since
    notes = _notes(film, first, step, names, clients=clients)
    scale = _scale(film, sent, [at for at, *_ in notes], state.at)
    drawing = Canvas()
    bottom = TOP + gap * (len(names) - 1) + 18
    for start, end in scale.idle:
        x, wide = scale.x(start), scale.x(end) - scale.x(start)
        drawing.add(svg.rect(x, TOP - 18, wide, bottom - TOP + 18, kit.PALE, ""))
    for name, y in lane.items():
        drawing.text(
            6, y + 7, kit.fitted(name, LEFT - 14, kit.NAME, bold=True), kit.NAME, bold=True
        )
        _draw_lane(drawing, film, name, y, scale, (first, step))
    ways = [_draw_message(drawing, film, one, step, lane, scale) for one in sent]
    _draw_notes(drawing, notes, lane, scale)
    between = Box(LEFT, TOP, RIGHT, bottom)
    for one, (x1, y1, x2, y2) in zip(sent, ways, strict=True):
        any(
            drawing.label(
                word_of(one.message),
                x1 + (x2 - x1) * share,
                y1 + (y2 - y1) * share,
                4,
                bounds=between,
                near=True,
            )
            for share in SHARES
        )
    _draw_times(drawing, scale, bottom + 22)
    return drawing.picture(bottom + 34, space_time_says(film, step, since, clients=clients))


def _sent(film: Film, step: int, since: int | None, *, clients: bool) -> list[Sent]:
    if clients:
        found = film.messages(since or 0, step)
        return found[-MESSAGES:] if since is None else found
    if since is None:
        return film.last_messages(step, MESSAGES)
    members = film.at(step).members
    sent = film.messages_since(since, step)
    return [one for one in sent if one.sender in members and one.message.to in members]


def _lanes(film: Film, step: int, sent: Sequence[Sent]) -> list[str]:
    """Return the names of all lanes: members, and clients with a message that is drawn."""
    names = list(film.at(step).members)
    others = {name for one in sent for name in (one.sender, one.message.to)}
    return names + sorted(others.difference(names))


def space_time_says(
    film: Film, step: int, since: int | None = None, *, clients: bool = False
) -> str:
    """Return the messages in words."""
    sent = _sent(film, step, since, clients=clients)
    ends = [film.ended.get(one.message.id) for one in sent]
    lost = sum(end is not None and bool(end.reason) and end.step <= step for end in ends)
    way = sum(end is None or end.step > step for end in ends)
    names = ", ".join(_lanes(film, step, sent))
    which = "The last" if since is None else "The"
    return f"{which} {len(sent)} messages between {names}: {lost} lost, {way} on the way."


Note = tuple[int, str, str, str]
"""When, whose, words, and fill."""


def _notes(film: Film, first: int, last: int, lanes: Sequence[str], *, clients: bool) -> list[Note]:
    """Return what is written on the lanes, what matters most at the end.

    These are candidacies, leaderships, crashes and starts; with ``clients`` also what is written
    and committed, and what a client knows of its transactions.
    """
    found: list[Note] = []
    small: list[Note] = []
    for number in range(first, last + 1):
        at, who, event = film.trace[number]
        match event:
            case RoleChanged(role="leader"):
                found.append((at, who, f"leads {event.term}", svg.fill_of(event.term)))
            case RoleChanged(role="candidate"):
                found.append((at, who, f"stands {event.term}", svg.fill_of(event.term)))
            case MemberCrashed() | MemberStopped():
                found.append((at, who, "down", svg.WHITE))
            case MemberStarted():
                found.append((at, who, "starts", svg.WHITE))
            case EntriesAppended():
                entries = kit.span(event.first, event.first + len(event.terms) - 1)
                small.append((at, who, f"writes {entries}", svg.WHITE))
            case CommitAdvanced():
                small.append((at, who, f"commits {event.index}", svg.WHITE))
            case TicketMoved() if who in lanes:
                small.append((at, who, event.stage, svg.WHITE))
    return [*small, *found] if clients else found


def _scale(film: Film, sent: Sequence[Sent], noted: Sequence[int], now: int) -> Scale:
    """Give each busy stretch room in proportion to its length, and each idle one the same."""
    spans = [(one.at, min(_end(film, one, now), now)) for one in sent]
    spans += [(at, at) for at in noted]
    busy: list[list[int]] = []
    for start, end in sorted([*spans, (now, now)]):
        if busy and start - busy[-1][1] < IDLE:
            busy[-1][1] = max(busy[-1][1], end)
        else:
            busy.append([start, end])
    total = sum(end - start for start, end in busy)
    idle = [(one[1], other[0]) for one, other in pairwise(busy)]
    wide = min(IDLE_WIDE, (RIGHT - LEFT) / 2 / max(len(idle), 1))
    least = min(IDLE_WIDE, (RIGHT - LEFT) / 2 / len(busy))
    room = RIGHT - LEFT - wide * len(idle) - least * len(busy)
    times, places, x = [], [], LEFT
    for start, end in busy:
        times += [start, end]
        places += [x, x + least + room * ((end - start) / total if total else 1 / len(busy))]
        x = places[-1] + wide
    return Scale(tuple(times), tuple(places), tuple(idle))


def _end(film: Film, one: Sent, now: int) -> int:
    ended = film.ended.get(one.message.id)
    return ended.at if ended else now


def _draw_lane(
    drawing: Canvas, film: Film, name: str, y: float, scale: Scale, steps: tuple[int, int]
) -> None:
    """Draw a lane, broken while its member is down."""
    first, last = steps
    member = film.at(first).members.get(name)
    runs, x = member is not None and member.running, LEFT
    runs = runs or name not in film.names  # a client
    for number in range(first + 1, last + 1):
        at, who, event = film.trace[number]
        if who == name and isinstance(event, MemberStarted | MemberCrashed | MemberStopped):
            _draw_piece(drawing, x, scale.x(at), y, runs=runs)
            x, runs = scale.x(at), isinstance(event, MemberStarted)
    _draw_piece(drawing, x, RIGHT, y, runs=runs)


def _draw_piece(drawing: Canvas, x1: float, x2: float, y: float, *, runs: bool) -> None:
    drawing.line(x1, y, x2, y, kit.SOFT if runs else kit.FAINT, 2, "" if runs else "3 6")


def _draw_message(
    drawing: Canvas, film: Film, one: Sent, step: int, lane: dict[str, float], scale: Scale
) -> tuple[float, float, float, float]:
    """Draw one message; return where its line begins and ends."""
    now, ended = film.at(step).at, film.ended.get(one.message.id)
    x1, y1, y2 = scale.x(one.at), lane[one.sender], lane[one.message.to]
    lost = ended is not None and ended.step <= step and bool(ended.reason)
    arrived = ended is not None and ended.step <= step and not lost
    share = 1.0
    if not arrived:
        share = 0.55
        if not lost:
            due = max(film.due(one.message.id, one.at), now + 1)
            share = max(min((now - one.at) / max(due - one.at, 1), 1.0), 0.06)
    x2 = scale.x(ended.at if ended is not None and ended.step <= step else now)
    if lost and x2 - x1 < 6:
        x2 = min(x1 + 10, RIGHT)
    end = y1 + (y2 - y1) * share
    dashes = "6 4" if is_reply(one.message) else ""
    drawing.line(x1, y1, x2, end, kit.ALARM if lost else kit.INK, 1.6, dashes)
    if lost:
        drawing.take(x2 - 6, end - 6, x2 + 6, end + 6)
        for a, b in ((-5, 5), (5, -5)):
            drawing.add(svg.line(x2 - 5, end + a, x2 + 5, end + b, kit.ALARM, 2.5))
    elif arrived and not is_reply(one.message):
        drawing.add(svg.circle(x2, end, 3, kit.INK))
    elif arrived:
        colour = kit.ALARM if is_refusal(one.message) else kit.INK
        drawing.add(svg.circle(x2, end, 3.5, svg.WHITE, colour, 1.5))
    return x1, y1, x2, end


def _draw_notes(
    drawing: Canvas, notes: Sequence[Note], lane: dict[str, float], scale: Scale
) -> None:
    """Draw notes on their lanes, from their time on; the newest first, one without a place not."""
    placed: list[Box] = []
    for at, who, words, fill in reversed(notes):
        half = kit.width_of(words) / 2 + 6
        x = min(scale.x(at) - 6 + half, RIGHT + 6 - half)
        box = Box(x - half, lane[who] - 13, x + half, lane[who] + 13)
        if any(box.meets(other) for other in placed):
            continue
        placed.append(box)
        drawing.add(svg.rect(box.left, box.top, 2 * half, 26, fill, kit.INK, width=1.3, rounded=6))
        drawing.text(x, lane[who] + 6, words, anchor="middle")


def _draw_times(drawing: Canvas, scale: Scale, y: float) -> None:
    """Write the time of the right edge, of the left one, and how long each idle stretch is."""
    placed: list[Box] = []
    wanted = [
        (RIGHT, f"{scale.times[-1] / MILLISECOND:,.1f} ms", "end", kit.INK),
        (LEFT, f"{scale.times[0] / MILLISECOND:,.1f} ms", "start", kit.INK),
    ]
    wanted += [
        (
            (scale.x(start) + scale.x(end)) / 2,
            f"{(end - start) // MILLISECOND} ms",
            "middle",
            kit.SOFT,
        )
        for start, end in scale.idle
    ]
    for x, words, anchor, colour in wanted:
        box = kit.text_box(x, y, words, anchor=anchor)
        wider = Box(box.left - 6, box.top, box.right + 6, box.bottom)
        if not any(wider.meets(other) for other in placed):
            placed.append(box)
            drawing.text(x, y, words, anchor=anchor, colour=colour)
