"""Messages on their way: where each is, what it says in a word, and the line that it travels.

A message stands 7 units right of the straight line, so that two directions never share one.  The
way travelled is dark, the way ahead pale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.events import MessageSent
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Flight
from kvraft.viz.sandbox.links import ASIDE


@immutable
class Spot(NamedTuple):
    """Where a message is, and its direction, of length 1."""

    flight: Flight
    x: float
    y: float
    ux: float
    uy: float


_REPLIES = ("Redirect", "Registered", "Overloaded", "Rejected", "ScanPage")
_WORDS = {
    "RequestVote": "vote?",
    "PreVote": "would you?",
    "InstallSnapshot": "snapshot",
    "InstallSnapshotReply": "got part",
    "TimeoutNow": "stand now",
    "ReadIndex": "read?",
    "ReadIndexReply": "read at",
    "Submit": "write",
    "Read": "get",
    "Scan": "scan",
    "ReadReply": "value",
    "ScanPage": "page",
    "Register": "hello",
    "Registered": "welcome",
    "Redirect": "not me",
    "Overloaded": "busy",
    "Rejected": "no",
}


def is_reply(sent: MessageSent) -> bool:
    """Return whether a message answers another."""
    return sent.kind.endswith("Reply") or sent.kind in _REPLIES


def is_refusal(sent: MessageSent) -> bool:
    """Return whether a message says no."""
    return sent.note in ("refused", "not the leader") or sent.note.startswith("mismatch")


def word_of(sent: MessageSent) -> str:
    """Return what a message says, in a word or two."""
    note = sent.note
    match sent.kind:
        case "AppendEntries":
            if not sent.first:
                return "beat"
            many = "entry" if sent.first == sent.last else "entries"
            return f"{many} {kit.span(sent.first, sent.last)}"
        case "AppendEntriesReply":
            return f"ok {note.removeprefix('have ')}" if note.startswith("have") else "no match"
        case "RequestVoteReply" | "PreVoteReply":
            return "yes" if note == "granted" else "no"
        case "WriteReply":
            return note.rpartition(" ")[2].lower()
    return _WORDS.get(sent.kind, sent.kind)


def message_says(sender: str, sent: MessageSent) -> str:
    """Return a message in a sentence."""
    term = f", term {sent.term}" if sent.term else ""
    return f"message {sent.id} from {sender} to {sent.to}: {sent.kind}{term}, {sent.note}"


def draw_ways(
    drawing: Canvas,
    flights: Sequence[Flight],
    place_of: Callable[[str], svg.Point],
    gap: float,
    members: set[str],
) -> list[Spot]:
    """Draw the lines along which messages travel; return where each message is."""
    spots = []
    for flight in flights:
        spot = _way(drawing, flight, place_of, gap, members)
        if spot is not None:
            spots.append(spot)
    return spots


def draw_letters(drawing: Canvas, spots: Sequence[Spot]) -> None:
    """Draw the messages themselves, and then what each says, as far as there is a place."""
    for _, x, y, _, _ in spots:
        drawing.take(x - 9, y - 9, x + 9, y + 9)
    for flight, x, y, ux, uy in spots:
        says = message_says(flight.sender, flight.sent)
        glyph = _glyph(flight.sent, x, y, ux, uy)
        drawing.add(kit.hot(f"message {flight.id}", says, kit.clear(x, y, 0, 0), *glyph))
    for flight, x, y, _, _ in spots:
        drawing.label(word_of(flight.sent), x, y)


def _way(
    drawing: Canvas,
    flight: Flight,
    place_of: Callable[[str], svg.Point],
    gap: float,
    members: set[str],
) -> Spot | None:
    """Draw the way of a message; return where it is."""
    (x1, y1), (x2, y2) = place_of(flight.sender), place_of(flight.sent.to)
    length = math.hypot(x2 - x1, y2 - y1)
    if not length:
        return None
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    start = gap + 9 if flight.sender in members else 34.0
    end = gap + 9 if flight.sent.to in members else 34.0
    x1, y1 = x1 + ux * start - uy * ASIDE, y1 + uy * start + ux * ASIDE
    x2, y2 = x2 - ux * end - uy * ASIDE, y2 - uy * end + ux * ASIDE
    x, y = x1 + (x2 - x1) * flight.share, y1 + (y2 - y1) * flight.share
    drawing.line(x, y, x2, y2, kit.FAINT, 1.5)
    drawing.line(x1, y1, x, y, kit.SOFT, 2)
    return Spot(flight, x, y, ux, uy)


def _glyph(sent: MessageSent, x: float, y: float, ux: float, uy: float) -> list[str]:
    """Draw a filled arrow for a request, a hollow circle for a reply, with a bar if it refuses."""
    if not is_reply(sent):
        head = [
            (x + 8 * ux, y + 8 * uy),
            (x - 7 * ux - 6 * uy, y - 7 * uy + 6 * ux),
            (x - 7 * ux + 6 * uy, y - 7 * uy - 6 * ux),
        ]
        return [svg.polygon(head, kit.INK)]
    if is_refusal(sent):
        return [
            svg.circle(x, y, 6.5, svg.WHITE, kit.ALARM, 2.2),
            svg.line(x - 4, y, x + 4, y, kit.ALARM, 2.5),
        ]
    return [svg.circle(x, y, 6.5, svg.WHITE, kit.INK, 2.2)]
