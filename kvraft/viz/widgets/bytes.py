"""Moving through the bytes of a log segment: a slider over offsets, and what each byte means."""

from __future__ import annotations

import ipywidgets as widgets

from kvraft.disk import Disk
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.viz import svg
from kvraft.viz.panels import (
    HEXDUMP_HEIGHT,
    MARGIN,
    FramePart,
    dissect,
    field_at,
    hexdump,
    piece_at,
    strip_parts,
)
from kvraft.viz.shown import svg_image
from kvraft.viz.widgets.slider import Slider, button


class ByteStepper(Slider):
    """A widget that shows one byte of a segment: where it lies, in which field, and what that says.

    ``name`` is a file of the log of ``owner`` on ``disk``, whose bytes are read once; ``offset`` is
    where to begin.  Raises :class:`~kvraft.errors.BadInput` if there is no such file or byte.
    """

    def __init__(self, disk: Disk, owner: str, name: str, offset: int = 0) -> None:
        found = dissect(disk, owner)
        if name not in found:
            raise BadInput(f"there is no segment {name} here: {', '.join(found)}")
        self._name = name
        self._pieces = found[name]
        self._data = disk.read(name)
        piece_at(self._pieces, offset)
        self.buttons = {
            name: button(name, says, action)
            for name, says, action in (
                ("byte back", "one byte back", lambda: self.go(self.offset - 1)),
                ("byte on", "one byte on", lambda: self.go(self.offset + 1)),
                ("next field", "the first byte of the next field", self._next_field),
                ("next frame", "the first byte of the next frame", self._next_frame),
            )
        }
        last = len(self._data) - 1
        slider = widgets.IntSlider(offset, 0, last, description="offset", readout=False)
        super().__init__(slider, widgets.HBox([*self.buttons.values()]))

    # ── what a program may do ───────────────────────────────────────────────────────────────────

    @property
    def offset(self) -> int:
        """The offset of the byte that is shown."""
        return int(self.slider.value)

    def go(self, offset: int) -> None:
        """Show the byte at ``offset``; offsets beyond the ends mean the ends."""
        self.slider.value = min(max(offset, 0), len(self._data) - 1)

    def words(self) -> str:
        """Return what the byte that is shown means, in a line."""
        at, piece = self.offset, piece_at(self._pieces, self.offset)
        field = field_at(self._pieces, at)
        count = field.end - field.start
        where = f"byte {at - field.start + 1} of {count}" if count > 1 else "the one byte"
        if field.part == FramePart.UNSOUND:
            return f"offset {at}: {where} of what is {field.name}: {field.meaning}"
        part = f"{field.part} of {piece.label}"
        return f"offset {at}: {where} of {field.name} = {field.value} ({field.meaning}), {part}"

    def picture(self) -> str:
        """Return the picture with its words."""
        return svg_image(self.svg())

    def svg(self) -> str:
        """Return the picture: the segment with a cursor, and the bytes around it."""
        parts, height = strip_parts({self._name: self._pieces}, self.offset)
        field = field_at(self._pieces, self.offset)
        says = f"{field.name}: {field.meaning}"
        parts += [svg.text(MARGIN, height + 16, says, 12, weight="bold")]
        parts += hexdump(self._data, self._pieces, self.offset, height + 26)
        return svg.drawing(height + 30 + HEXDUMP_HEIGHT, self.words(), parts)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _next_field(self) -> None:
        self.go(field_at(self._pieces, self.offset).end)

    def _next_frame(self) -> None:
        self.go(piece_at(self._pieces, self.offset).end)

    def __repr__(self) -> str:
        frames = sum(piece.kind != 0 for piece in self._pieces)
        return (
            f"ByteStepper: {counted(len(self._data), 'byte')} of {self._name}, "
            f"{counted(frames, 'frame')}; run this "
            f"cell to move through them. Shown: {self.words()}"
        )
