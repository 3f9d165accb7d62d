"""Links between members: what can be clicked, what is cut, clogged, slow or lossy, and partitions.

::

    ┈┈┈✕┈┈┈►   cut in that direction      ┈┈┈▮┈┈┈►   clogged: what is sent waits at the end
    ╌╌╌+20 ms   slow                      ╌╌╌30 %    lossy

A partition is drawn as islands, if each group is one stretch of the ring; otherwise each link that
it cuts has a cross.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from kvraft.events import LinkChanged
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.trace import ClusterState

ASIDE = 7.0
"""How far right of the straight line each direction runs."""


def are_islands(groups: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether the groups can be drawn as islands: each is one stretch of the ring."""
    group_of = {name: n for n, group in enumerate(groups) for name in group.split()}
    around = [group_of.get(name, -1) for name in names]
    if not groups or -1 in around:
        return False
    changes = sum(a != b for a, b in zip(around, around[1:] + around[:1], strict=True))
    return changes <= len(set(around))


def draw_islands(
    drawing: Canvas, groups: Sequence[str], members: Mapping[str, svg.Point], radius: float
) -> None:
    """Draw a shore around each group."""
    wide = 2 * (radius + 17)
    for group in groups:
        places = [members[name] for name in group.split() if name in members]
        if not places:
            continue
        points = " ".join(f"{svg.num(x)},{svg.num(y)}" for x, y in [*places, places[0]])
        for stroke, width in ((kit.SOFT, wide + 3), (kit.PALE, wide)):
            drawing.add(
                f'<polygon points="{points}" fill="{stroke}" stroke="{stroke}"'
                f' stroke-width="{svg.num(width)}" stroke-linejoin="round" stroke-linecap="round"/>'
            )


def draw_links(
    drawing: Canvas, state: ClusterState, members: Mapping[str, svg.Point], radius: float
) -> list[tuple[str, float, float]]:
    """Draw the links; return labels, and where the glyph of each is, to be written later."""
    group_of = {name: n for n, group in enumerate(state.groups) for name in group.split()}
    islands = are_islands(state.groups, list(state.members))
    labels: list[tuple[str, float, float]] = []
    for one, other in combinations(members, 2):
        start, end = _between(members[one], members[other], radius + 11)
        parts = [
            f'<line x1="{svg.num(start[0])}" y1="{svg.num(start[1])}" x2="{svg.num(end[0])}"'
            f' y2="{svg.num(end[1])}" stroke="transparent" stroke-width="{kit.HIT}"/>'
        ]
        apart = group_of.get(one, -1) != group_of.get(other, -1)
        apart = apart and {one, other} <= group_of.keys()
        if apart and not islands:
            parts += _cut(drawing, start, end)
        for sender, to in ((one, other), (other, one)):
            link = state.links.get((sender, to))
            if link is not None:
                ends = _between(members[sender], members[to], radius + 13, ASIDE)
                parts += _changed(drawing, link, *ends, labels)
        says = f"the link between {one} and {other}" + (", which is cut" if apart else "")
        words = [
            link_says(state.links[pair])
            for pair in ((one, other), (other, one))
            if pair in state.links
        ]
        drawing.add(kit.hot(f"link {one} {other}", "; ".join([says, *words]), *parts))
    return labels


def link_says(link: LinkChanged) -> str:
    """Return what is wrong with a link, in words."""
    if link.cut:
        return f"what {link.sender} sends does not reach {link.to}"
    if link.clogged:
        return f"what {link.sender} sends to {link.to} waits"
    slow = f"{link.slower / 1000:g} ms slower" if link.slower else ""
    lossy = f"loses {link.loss} %" if link.loss else ""
    return (
        f"the link from {link.sender} to {link.to} is {' and '.join(filter(None, (slow, lossy)))}"
    )


def _changed(
    drawing: Canvas,
    link: LinkChanged,
    start: svg.Point,
    end: svg.Point,
    labels: list[tuple[str, float, float]],
) -> list[str]:
    """Draw one direction of a link that does not work as it should."""
    (x1, y1), (x2, y2) = start, end
    x, y = x1 + (x2 - x1) * 0.4, y1 + (y2 - y1) * 0.4
    if link.cut:
        return [*_cut(drawing, start, end, 0.4), *_head(start, end)]
    drawing.avoid(x1, y1, x2, y2)
    parts = [svg.line(x1, y1, x2, y2, kit.ALARM, 1.5, "2 5" if link.clogged else "8 5")]
    if link.clogged:
        length = math.hypot(x2 - x1, y2 - y1) or 1
        ux, uy = 8 * (x2 - x1) / length, 8 * (y2 - y1) / length
        far_x, far_y = x1 + (x2 - x1) * 0.85, y1 + (y2 - y1) * 0.85
        parts.append(svg.line(far_x - uy, far_y + ux, far_x + uy, far_y - ux, kit.ALARM, 5))
        drawing.take(far_x - 8, far_y - 8, far_x + 8, far_y + 8)
    slow = f"+{link.slower / 1000:g} ms" if link.slower else ""
    lossy = f"loses {link.loss} %" if link.loss else ""
    words = " ".join(filter(None, (slow, lossy)))
    if words:
        labels.append((words, x, y))
    return parts + _head(start, end)


def _cut(drawing: Canvas, start: svg.Point, end: svg.Point, share: float = 0.5) -> list[str]:
    (x1, y1), (x2, y2) = start, end
    x, y = x1 + (x2 - x1) * share, y1 + (y2 - y1) * share
    drawing.avoid(x1, y1, x2, y2)
    drawing.take(x - 8, y - 8, x + 8, y + 8)
    return [
        svg.line(x1, y1, x2, y2, kit.ALARM, 1.5, "2 5"),
        svg.line(x - 6, y - 6, x + 6, y + 6, kit.ALARM, 3),
        svg.line(x - 6, y + 6, x + 6, y - 6, kit.ALARM, 3),
    ]


def _head(start: svg.Point, end: svg.Point) -> list[str]:
    return [svg.polygon(svg.arrow_head(*start, *end, half=4), kit.ALARM)]


def _between(
    one: svg.Point, other: svg.Point, gap: float, aside: float = 0.0
) -> tuple[svg.Point, svg.Point]:
    """Return where a line between two circles begins and ends, ``aside`` to its right."""
    (x1, y1), (x2, y2) = one, other
    length = math.hypot(x2 - x1, y2 - y1) or 1
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    sx, sy = -uy * aside, ux * aside
    return (
        (x1 + gap * ux + sx, y1 + gap * uy + sy),
        (x2 - gap * ux + sx, y2 - gap * uy + sy),
    )
