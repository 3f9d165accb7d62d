"""What is drawn in a panel: boxes of text, lines, and what covers them, read from its SVG."""

import re
from typing import NamedTuple
from xml.etree import ElementTree

from kvraft.viz.sandbox.canvas import Box, text_box

NS = "{http://www.w3.org/2000/svg}"


class Drawn(NamedTuple):
    """The parts of a panel in the order in which they were painted."""

    texts: list  # (order, box, words, size)
    lines: list  # (order, x1, y1, x2, y2)
    covers: list  # (order, box) of opaque grounds
    hits: list  # (what, says, wide, high)
    size: tuple


def _number(element, name):
    return float(element.get(name, 0))


def read(svg: str) -> Drawn:
    root = ElementTree.fromstring(svg)
    texts, lines, covers, hits = [], [], [], []
    for order, element in enumerate(root.iter()):
        match element.tag.removeprefix(NS):
            case "text":
                words, size = element.text, float(element.get("font-size"))
                bold = element.get("font-weight") == "bold"
                x, y = _number(element, "x"), _number(element, "y")
                box = text_box(x, y, words, size, element.get("text-anchor"), bold=bold)
                texts.append((order, box, words, size))
            case "line" if element.get("stroke") != "transparent":
                lines.append((order, *(_number(element, n) for n in ("x1", "y1", "x2", "y2"))))
            case "circle" if element.get("fill") != "none":
                x, y, r = (_number(element, n) for n in ("cx", "cy", "r"))
                covers.append((order, Box(x - r, y - r, x + r, y + r)))
            case "rect" if element.get("fill") not in ("none", "transparent"):
                x, y = _number(element, "x"), _number(element, "y")
                box = Box(x, y, x + _number(element, "width"), y + _number(element, "height"))
                covers.append((order, box))
            case "g" if element.get("data-act"):
                hits.append(_hit(element))
    width, height = map(float, root.get("viewBox").split()[2:])
    return Drawn(texts, lines, covers, hits, (width, height))


def _hit(group):
    """Return what a group is called, and how wide and high it can be hit at least."""
    wide = high = 0.0
    for element in group.iter():
        match element.tag.removeprefix(NS):
            case "circle":
                wide = max(wide, 2 * _number(element, "r"))
                high = max(high, 2 * _number(element, "r"))
            case "rect":
                wide = max(wide, _number(element, "width"))
                high = max(high, _number(element, "height"))
            case "line":
                wide = max(wide, _number(element, "stroke-width"))
                high = max(high, _number(element, "stroke-width"))
    return group.get("data-act"), group.get("aria-label"), wide, high, dict(group.attrib)


def faults(svg: str) -> list[str]:
    """Return what is wrong with a panel: overlaps, struck labels, small text, what is outside."""
    drawn, found = read(svg), []
    wide, high = drawn.size
    for order, box, words, size in drawn.texts:
        if size < 16:
            found.append(f"{words!r} is only {size} high")
        if box.left < 0 or box.top < 0 or box.right > wide or box.bottom > high:
            found.append(f"{words!r} is outside: {box}")
        for later, other, others, _ in drawn.texts:
            if later > order and _inner(box).meets(_inner(other)):
                found.append(f"{words!r} lies on {others!r}")
        for line_order, *line in drawn.lines:
            covered = any(
                line_order < cover_order < order and _within(box, cover)
                for cover_order, cover in drawn.covers
            )
            if not covered and _inner(box).is_crossed(*line):
                found.append(f"{words!r} is struck by a line {line}")
    for what, says, wide, high, attributes in drawn.hits:
        if wide < 32 or high < 32:
            found.append(f"{what} is only {wide} by {high}")
        if not says or attributes.get("tabindex") != "0":
            found.append(f"{what} has no name, or cannot be reached")
        if attributes.get("data-lm-suppress-shortcuts") != "true":
            found.append(f"{what} lets a notebook's keys through")
    if re.search(r"aria-label=\"\"", svg):
        found.append("an empty aria-label")
    return found


TILE = 44


def inked(svg: str) -> float:
    """Return what share of a panel's tiles has anything in it: the rest is white."""
    drawn = read(svg)
    wide, high = (max(int(side // TILE), 1) for side in drawn.size)
    boxes = [box for _, box, _, _ in drawn.texts] + [
        box
        for _, box in drawn.covers[1:]  # the first is the ground
    ]
    tiles = [
        Box(x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE)
        for x in range(wide)
        for y in range(high)
    ]
    full = [
        tile
        for tile in tiles
        if any(tile.meets(box) for box in boxes)
        or any(tile.is_crossed(*line) for _, *line in drawn.lines)
    ]
    return len(full) / len(tiles)


def _inner(box: Box) -> Box:
    """Return the box of the letters themselves: words measure generously."""
    return Box(box.left + 1, box.top + 2, box.right - 1, box.bottom - 3)


def _within(box: Box, cover: Box) -> bool:
    inner = _inner(box)
    return (
        cover.left <= inner.left
        and cover.top <= inner.top
        and inner.right <= cover.right
        and inner.bottom <= cover.bottom
    )
