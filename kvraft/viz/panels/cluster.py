"""The cluster at one moment: members on a ring, and the messages on their way between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations

from kvraft.viz import svg
from kvraft.viz.trace import ClusterState, MemberState, TraceHistory, summary

CLIENTS = 6
"""How many clients are shown at most."""


def cluster_view(history: TraceHistory, step: int) -> str:
    """Draw the members on a ring and what is on its way between them.

    Colour is the term, a double ring a leader, dashes a member that is down.
    """
    state = history.at(step)
    places = _ring(history.names, x=560, y=150, radius=100)
    pairs = _pairs(state)
    clients = sorted({who for pair in pairs for who in pair} - set(places))[:CLIENTS]
    places |= {client: (110, 45 + 42 * row) for row, client in enumerate(clients)}
    parts = list(_cuts(state.groups, places))
    parts += [_arrow(places, pair, notes) for pair, notes in pairs.items()]
    parts += [_client(client, *places[client]) for client in clients]
    parts += [_member(name, member, *places[name]) for name, member in state.members.items()]
    if state.groups:
        groups = "  |  ".join(state.groups)
        parts.append(svg.text(560, 292, f"partitioned: {groups}", anchor="middle", weight="bold"))
    return svg.drawing(300, summary(history, step), parts)


def _ring(names: list[str], x: float, y: float, radius: float) -> dict[str, svg.Point]:
    turn = 2 * math.pi / max(len(names), 1)
    return {
        name: (x + 1.6 * radius * math.sin(turn * n), y - radius * math.cos(turn * n))
        for n, name in enumerate(names)
    }


def _cuts(groups: tuple[str, ...], places: dict[str, svg.Point]) -> Iterable[str]:
    """Draw a broken line with a cross between any two members that a partition keeps apart."""
    group_of = {name: n for n, group in enumerate(groups) for name in group.split()}
    for one, other in combinations(sorted(name for name in group_of if name in places), 2):
        if group_of[one] != group_of[other]:
            (x1, y1), (x2, y2) = places[one], places[other]
            yield svg.line(x1, y1, x2, y2, "#777777", 1.5, "6 6")
            middle = (x1 + x2) / 2, (y1 + y2) / 2 + 7
            yield svg.text(*middle, "✕", size=20, anchor="middle", weight="bold")


def _pairs(state: ClusterState) -> dict[tuple[str, str], list[str]]:
    """Return the messages in flight, by sender and receiver, in a word each."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for sender, sent in state.in_flight.values():
        what = sent.kind
        if sent.first:
            what += f" {sent.first}-{sent.last}"
        elif sent.kind == "AppendEntries":
            what = "heartbeat"
        elif sent.kind.endswith("Reply") and sent.kind != "ReadReply":
            what = sent.note
        pairs.setdefault((sender, sent.to), []).append(what)
    return pairs


def _arrow(places: dict[str, svg.Point], pair: tuple[str, str], notes: list[str]) -> str:
    """Draw an arrow beside the straight line, so that two directions do not cover each other."""
    if pair[0] not in places or pair[1] not in places:
        return ""
    (x1, y1), (x2, y2) = places[pair[0]], places[pair[1]]
    length = math.hypot(x2 - x1, y2 - y1) or 1
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    sx, sy = -uy * 7, ux * 7
    x1, y1, x2, y2 = x1 + 46 * ux + sx, y1 + 46 * uy + sy, x2 - 46 * ux + sx, y2 - 46 * uy + sy
    one, tip, other = svg.arrow_head(x1, y1, x2, y2, half=5)
    more = f" +{len(notes) - 1}" if len(notes) > 1 else ""
    anchor = "start" if sx >= 0 else "end"
    middle = ((x1 + x2) / 2 + 1.4 * sx, (y1 + y2) / 2 + 1.8 * sy + 4)
    return (
        svg.line(x1, y1, x2, y2, svg.BLUE, 1.5)
        + svg.polygon([tip, one, other], svg.BLUE)
        + svg.text(*middle, svg.short(notes[-1]) + more, size=10, anchor=anchor, colour="#00456B")
    )


def _client(name: str, x: float, y: float) -> str:
    box = svg.rect(x - 40, y - 14, 80, 28, "#F4F4F4", rounded=4)
    return box + svg.text(x, y + 4, svg.short(name, 10), anchor="middle")


def _member(name: str, member: MemberState, x: float, y: float) -> str:
    if not member.running:
        return (
            svg.circle(x, y, 38, svg.WHITE, "#777777", 2, "5 4")
            + svg.text(x, y - 3, name, anchor="middle", weight="bold", colour="#555555")
            + svg.text(x, y + 14, "down", anchor="middle", size=11, colour="#555555")
        )
    ring = svg.circle(x, y, 43, "none", svg.BLACK, 3) if member.role == "leader" else ""
    dashes = "2 3" if "candidate" in member.role else ""
    vote = f"voted {member.vote}" if member.vote else ""
    return (
        ring
        + svg.circle(x, y, 38, svg.fill_of(member.term), svg.BLACK, 1.5, dashes)
        + svg.text(x, y - 12, name, anchor="middle", weight="bold")
        + svg.text(x, y + 3, member.role, anchor="middle", size=11)
        + svg.text(x, y + 16, f"term {member.term}", anchor="middle", size=11)
        + svg.text(x, y + 28, vote, anchor="middle", size=9)
    )
