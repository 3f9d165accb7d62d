"""What is wrong with a figure: small letters, struck or overlapping labels, white windows."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import STEP_LOOKUP_MAP
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kvraft.viz import figures
from kvraft.viz.figures.style import SHOWN

DPI = 200
TILES = 8
INK = 40
"""How much darker than white counts as drawn: a grid's line does not."""


def faults(figure) -> list[str]:
    """Return what is wrong with ``figure`` where it is shown as small as it ever is."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    shown = SHOWN[0] / (figure.get_figwidth() * 72)  # pixels a point
    whole = figure.bbox
    texts = [(text, _letters(text, renderer)) for text in _texts(figure, renderer)]
    found = []
    for number, (text, box) in enumerate(texts):
        words = text.get_text()
        if text.get_fontsize() * shown < 14:
            found.append(f"{words!r} is {text.get_fontsize() * shown:.1f} pixels high")
        if not (whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 <= box.y1):
            found.append(f"{words!r} is outside")
        if box.y1 > whole.y1:
            found.append(f"{words!r} is outside")
        for other, its in texts[number + 1 :]:
            if box.overlaps(its):
                found.append(f"{words!r} lies on {other.get_text()!r}")
        if text.get_bbox_patch() is None:
            found += [f"{words!r} is struck by {what}" for what in _strikes(figure, box, renderer)]
    blank = _white(np.asarray(canvas.buffer_rgba()))
    if blank > 0.5:
        found.append(f"{blank:.0%} of it is white")
    return found


def watch_figures() -> None:
    """Let ``show`` raise, in this process, what is wrong with a figure that it has shown."""
    show = figures.show

    def watched(figure, data):
        show(figure, data)
        dpi = figure.get_dpi()
        found = faults(figure)
        figure.set_dpi(dpi)
        assert not found, found

    figures.show = watched


def _texts(figure, renderer):
    ticks = {
        label
        for axes in figure.axes
        if axes.axison
        for axis, low, high in (
            (axes.xaxis, axes.bbox.x0, axes.bbox.x1),
            (axes.yaxis, axes.bbox.y0, axes.bbox.y1),
        )
        for label in axis.get_ticklabels(which="both")
        if not low - 1 <= _middle(label, axis, renderer) <= high + 1
    }  # of ticks that are not drawn
    for axes in figure.axes:
        if not axes.axison:
            ticks.update(axes.xaxis.get_ticklabels(which="both"))
            ticks.update(axes.yaxis.get_ticklabels(which="both"))
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in ticks
    ]


def _middle(label, axis, renderer):
    box = label.get_window_extent(renderer)
    return (box.x0 + box.x1) / 2 if axis.axis_name == "x" else (box.y0 + box.y1) / 2


def _letters(text, renderer):
    """Return the box of the letters themselves, without the room around them."""
    box = text.get_window_extent(renderer)
    return Bbox.from_extents(box.x0 + 2, box.y0 + 4, box.x1 - 2, box.y1 - 4)


def _strikes(figure, box, renderer):
    for axes in figure.axes:
        frame = axes.get_window_extent(renderer)
        if any(spine.get_visible() for spine in axes.spines.values()) and _crosses(frame, box):
            yield "the frame"
        if not frame.overlaps(box):
            continue
        parts = [artist for artist in axes.get_children() if artist.get_visible()]
        ground = max(
            (part.get_zorder() for part in parts if _covers(part, axes, box, renderer)), default=-1
        )
        for artist in parts:
            if artist.get_zorder() >= ground and _hits(artist, box, renderer):
                yield f"{type(artist).__name__} {artist.get_label()}"


def _covers(artist, axes, box, renderer):
    return (
        isinstance(artist, Rectangle)
        and artist is not axes.patch
        and artist.get_facecolor()[3] == 1
        and artist.get_window_extent(renderer).overlaps(box)
        and not _crosses(artist.get_window_extent(renderer), box)
    )


def _hits(artist, box, renderer):
    match artist:
        case Line2D():
            points = np.column_stack(artist.get_data())
            if artist.get_drawstyle() != "default":
                step = STEP_LOOKUP_MAP[artist.get_drawstyle()]
                points = np.column_stack(step(*points.T.astype(float)))
            path = artist.get_transform().transform_path(Path(points.astype(float)))
            lines = artist.get_linestyle() not in ("None", "") and len(points) > 1
            marks = artist.get_marker() not in ("None", "", None)
            return (lines and path.intersects_bbox(box, filled=False)) or (
                marks and any(box.contains(*point) for point in path.vertices)
            )
        case LineCollection():
            transform = artist.get_transform()
            return any(
                transform.transform_path(path).intersects_bbox(box, filled=False)
                for path in artist.get_paths()
            )
        case PathCollection():
            at = artist.get_offset_transform().transform(artist.get_offsets())
            return any(box.contains(*point) for point in at)
        case Rectangle():
            its = artist.get_window_extent(renderer)
            return _crosses(its, box) or bool(artist.get_hatch() and its.overlaps(box))
    return False


def _crosses(frame, box):
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    return frame.overlaps(box) and not inside


def _white(pixels):
    """Return which share of the tiles of a picture has nothing in it."""
    high, wide = pixels.shape[:2]
    side = wide // TILES
    ink = (255 - pixels[..., :3].min(axis=2)) > INK
    tiles = [
        ink[y : y + side, x : x + side].any()
        for y in range(0, high - side + 1, side)
        for x in range(0, wide - side + 1, side)
    ]
    return 1 - sum(tiles) / len(tiles)
