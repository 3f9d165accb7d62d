"""The cluster on a ring: members with role, term, vote, timer and votes; messages on their way.

::

        leader
       ╔══════╗   double ring: leads          ╌╌╌╌  broken outline: down
       ║  n1  ║   fill: the term              ╭──╮  islands: a partition
       ║term 2║   arc: what is left of the    ►     request; the way travelled is dark
       ║ ✓ n1 ║        election timer         ○     reply; with a bar: refused
       ╚══════╝   ● ○: votes, yes and open    ✕     a link that carries nothing
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.letters import draw_letters, draw_ways
from kvraft.viz.sandbox.links import are_islands, draw_islands, draw_links, link_says
from kvraft.viz.trace import MemberState

HIGHS = {3: 404.0}
"""How high the picture is, by the number of members: :data:`HIGH` for more than three."""
HIGH = 446.0
CENTRE = (kit.WIDE / 2, 226.0)
_FEW: tuple[tuple[tuple[svg.Point, ...], svg.Point, float], ...] = (
    (((140.0, 112.0),), (330.0, 112.0), 206.0),
    (((94.0, 112.0), (346.0, 112.0)), (220.0, 196.0), 226.0),
)
"""For one member and for two: where they are, where clients are, and how high the picture is."""
CROWD = 7
"""With more members than this, words stand in their circles: there is no room between them."""
_CANDIDATES = {"pre-candidate": "would you?", "candidate": "candidate"}


@immutable
class Seats(NamedTuple):
    """Where everybody is: members on the ring, clients together in the hub.

    ``radius`` is that of each member, ``high`` the height of the picture.
    """

    members: dict[str, svg.Point]
    hub: svg.Point
    radius: float
    high: float

    def of(self, name: str) -> svg.Point:
        """Return the place of a member or a client."""
        return self.members.get(name, self.hub)


def ring_panel(film: Film, step: int) -> str:
    """Draw the members after ``step``, and the messages between them."""
    if not len(film):
        return kit.empty("Nothing has happened yet: no member has started.")
    state = film.at(step)
    if not state.members:
        return kit.empty("No member has reported anything by this step.")
    seats = _seats(list(state.members))
    drawing = Canvas()
    if are_islands(state.groups, list(state.members)):
        draw_islands(drawing, state.groups, seats.members, seats.radius)
    labels = draw_links(drawing, state, seats.members, seats.radius)
    members = set(state.members)
    spots = draw_ways(drawing, film.flights(step), seats.of, seats.radius + 10, members)
    tags: list[str] = []  # on top of what passes below them
    for name, member in state.members.items():
        tags += _draw_member(drawing, film, step, name, member, seats)
    clients = film.clients(step)
    if clients:
        _draw_hub(drawing, clients, seats)
    draw_letters(drawing, spots)
    for words, x, y in labels:
        drawing.label(words, x, y, colour=kit.ALARM)
    drawing.add(*tags)
    return drawing.picture(seats.high, ring_says(film, step))


def ring_says(film: Film, step: int) -> str:
    """Return the ring in words."""
    state = film.at(step)
    each = "; ".join(member_says(name, member) for name, member in state.members.items())
    count = len(state.in_flight)
    way = f" {count} message{'s' * (count != 1)} on the way." if count else ""
    cut = f" The network is cut: {' | '.join(state.groups)}." if state.groups else ""
    links = "".join(f" {link_says(link)}." for link in state.links.values())
    return f"{each}.{cut}{links}{way}"


def member_says(name: str, member: MemberState) -> str:
    """Return one member in words."""
    if not member.running:
        return f"{name} is down"
    vote = f", voted for {member.vote}" if member.vote else ""
    votes = ""
    if member.role in _CANDIDATES:
        votes = f", {sum(member.votes.values()) + 1} say yes"
    paused = ", paused" if member.paused else ""
    return f"{name} is {member.role} in term {member.term}{vote}{votes}{paused}"


def _seats(names: Sequence[str]) -> Seats:
    count = len(names)
    if count <= len(_FEW):
        places, hub, high = _FEW[count - 1]
        return Seats(dict(zip(names, places, strict=True)), hub, 60.0, high)
    radius = {3: 56.0, 4: 50.0, 5: 44.0}.get(count, 41.0 if count <= CROWD else 36.0)
    around = {3: 132.0, 4: 138.0}.get(count, 150.0)
    turn = 2 * math.pi / count
    x, y = CENTRE
    members = {
        name: (x + 1.06 * around * math.sin(turn * n), y - around * math.cos(turn * n) + 4)
        for n, name in enumerate(names)
    }
    # Straight lines between members of an even ring cross its centre.
    hub = (x + 52.0, y - 30.0) if count % 2 == 0 else (x, y + 4)
    return Seats(members, hub, radius, HIGHS.get(count, HIGH))


# ── members and clients ─────────────────────────────────────────────────────────────────────────


def _draw_member(
    drawing: Canvas, film: Film, step: int, name: str, member: MemberState, seats: Seats
) -> list[str]:
    """Draw a member; return its tag, for which a place is taken."""
    x, y = seats.members[name]
    radius = seats.radius
    outer = radius + 10
    drawing.take(x - outer, y - outer, x + outer, y + outer)
    word = "down" if not member.running else _CANDIDATES.get(member.role, "")
    word = "leader" if member.running and member.role == "leader" else word
    word = "paused" if member.paused else word
    crowded = len(seats.members) > CROWD
    tag = Canvas()
    if word and not crowded:
        place = y - outer - 8 if y <= CENTRE[1] else y + outer + 8
        _draw_tag(tag, word, x, min(max(place, 13), seats.high - 13))
        drawing.boxes += tag.boxes
    shapes = Canvas()
    shapes.add(f'<circle cx="{svg.num(x)}" cy="{svg.num(y)}" r="{svg.num(outer)}" fill="#FFFFFF"/>')
    if member.running:
        _draw_running(shapes, film, step, name, member, (x, y, radius))
    else:
        shapes.add(svg.circle(x, y, radius, kit.PALE, kit.SOFT, 2, "5 4"))
        shapes.text(x, y + 7, name, kit.NAME, "middle", bold=True, colour=kit.SOFT)
        if crowded:
            shapes.text(x, y + 25, "down", anchor="middle", colour=kit.SOFT)
    drawing.add(kit.hot(f"member {name}", member_says(name, member), *shapes.parts))
    return tag.parts


def _draw_tag(drawing: Canvas, word: str, x: float, y: float) -> None:
    """Draw the word for what a member is, on a ground of its own: it may stand on a shore."""
    half = kit.width_of(word, bold=True) / 2 + 7
    x = min(max(x, half + 2), kit.WIDE - half - 2)
    ground, colour = (kit.INK, svg.WHITE) if word == "leader" else (svg.WHITE, kit.INK)
    drawing.add(svg.rect(x - half, y - 11, 2 * half, 22, ground, kit.INK, width=1.2, rounded=11))
    drawing.take(x - half, y - 11, x + half, y + 11)
    drawing.text(x, y + 5.5, word, anchor="middle", bold=True, colour=colour)


def _draw_running(
    shapes: Canvas,
    film: Film,
    step: int,
    name: str,
    member: MemberState,
    circle: tuple[float, float, float],
) -> None:
    x, y, radius = circle
    if member.role == "leader":
        shapes.add(svg.circle(x, y, radius + 7, "none", kit.INK, 3.5))
    else:
        timer = film.timer(name, step)
        if timer is not None:
            shapes.add(*_arc(x, y, radius + 6.5, timer.left(film.at(step).at)))
    dashes = "3 3" if member.role in _CANDIDATES else ""
    shapes.add(svg.circle(x, y, radius, svg.fill_of(member.term), kit.INK, 1.5, dashes))
    term = f"term {member.term}"
    if kit.width_of(term) > 2 * radius - 16:
        term = f"t {member.term}"
    shapes.text(x, y - 9, name, kit.NAME, "middle", bold=True)
    shapes.text(x, y + 9, term, anchor="middle")
    if member.role in _CANDIDATES:
        _draw_votes(shapes, film, step, name, member, (x, y))
    elif member.role == "leader" and len(film.at(step).members) > CROWD:
        shapes.text(x, y + 27, "leader", anchor="middle", bold=True)
    elif member.vote:
        vote = kit.fitted(f"✓{member.vote}", 1.5 * radius)
        shapes.text(x, y + 27, vote, anchor="middle")


def _draw_votes(
    shapes: Canvas,
    film: Film,
    step: int,
    name: str,
    member: MemberState,
    centre: svg.Point,
) -> None:
    """Draw a dot for each member: its vote is black if it is a yes, a cross if it is a no."""
    x, y = centre
    names = list(film.at(step).members)
    yes = {name} | {voter for voter, granted in member.votes.items() if granted}
    if len(names) > 5:
        shapes.text(x, y + 27, f"{len(yes)} of {len(names)}", anchor="middle")
        return
    for number, voter in enumerate(names):
        dot, level = x + 12.5 * (number - (len(names) - 1) / 2), y + 23
        if member.votes.get(voter) is False and voter != name:
            shapes.add(svg.line(dot - 4, level - 4, dot + 4, level + 4, kit.ALARM, 2.5))
            shapes.add(svg.line(dot - 4, level + 4, dot + 4, level - 4, kit.ALARM, 2.5))
        else:
            fill = kit.INK if voter in yes else svg.WHITE
            shapes.add(svg.circle(dot, level, 4.5, fill, kit.INK, 1.3))


def _arc(x: float, y: float, radius: float, left: float) -> list[str]:
    """Draw what is left of a timer: it runs out clockwise, and is dark red when nearly out."""
    parts = [svg.circle(x, y, radius, "none", "#DCDFE4", 6)]
    if left >= 0.999:
        parts.append(svg.circle(x, y, radius, "none", kit.SOFT, 6))
    elif left > 0.005:
        angle = 2 * math.pi * (1 - left)
        x1, y1 = x + radius * math.sin(angle), y - radius * math.cos(angle)
        large = 1 if left > 0.5 else 0
        colour = kit.ALARM if left < 0.15 else kit.SOFT
        parts.append(
            f'<path d="M{svg.num(x1)} {svg.num(y1)}A{svg.num(radius)} {svg.num(radius)} 0 {large} 1'
            f' {svg.num(x)} {svg.num(y - radius)}" fill="none" stroke="{colour}"'
            ' stroke-width="6"/>'
        )
    return parts


def _draw_hub(drawing: Canvas, clients: list[str], seats: Seats) -> None:
    x, y = seats.hub
    words = clients[0] if len(clients) == 1 else f"{len(clients)} clients"
    words = kit.fitted(words, 84)
    wide, high = max(kit.width_of(words) + 16, kit.HIT), float(kit.HIT)
    drawing.take(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    shapes = [
        svg.rect(x - wide / 2, y - high / 2, wide, high, svg.WHITE, kit.INK, rounded=6, width=1.5),
        svg.text(x, y + 6, words, kit.SMALL, "middle"),
    ]
    says = f"client {clients[0]}" if len(clients) == 1 else f"clients {', '.join(clients)}"
    drawing.add(kit.hot(f"client {clients[0]}", says, *shapes))
