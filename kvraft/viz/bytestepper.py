"""Moving through the bytes of a log segment: a slider over offsets, and what each byte means.

The same means as in ``stepper.py``: an SVG in an ordinary HTML widget, moved by a slider and
buttons that the keyboard reaches (Tab, then Enter, Space or the arrows); without a kernel, a still
picture and a line of text.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from kvraft.disk import Disk
from kvraft.errors import BadInput
from kvraft.viz.anatomy import Part, dissect, field_at, piece_at
from kvraft.viz.log import DOWN, MARGIN, hexdump, strip_parts
from kvraft.viz.views import _svg, _text


class ByteStepper:
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
        self._picture = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._build(offset)
        self._draw()

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
        if field.part == Part.UNSOUND:
            return f"offset {at}: {where} of what is {field.name}: {field.meaning}"
        part = f"{field.part} of {piece.label}"
        return f"offset {at}: {where} of {field.name} = {field.value} ({field.meaning}), {part}"

    def svg(self) -> str:
        """Return the picture: the segment with a cursor, and the bytes around it."""
        parts, height = strip_parts({self._name: self._pieces}, self.offset)
        field = field_at(self._pieces, self.offset)
        says = f"{field.name}: {field.meaning}"
        parts += [_text(MARGIN, height + 16, says, 12, weight="bold")]
        parts += hexdump(self._data, self._pieces, self.offset, height + 26)
        return _svg(height + 30 + 32 * DOWN, self.words(), parts)

    @property
    def widget(self) -> widgets.Widget:
        """The widget itself, to be put among others."""
        return self._box

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _build(self, offset: int) -> None:
        last = len(self._data) - 1
        layout = widgets.Layout(width="90%")
        self.slider = widgets.IntSlider(
            offset, 0, last, description="offset", readout=False, layout=layout
        )
        self.slider.observe(lambda change: self._draw(), names="value")
        self.buttons = {
            name: self._button(name, says, action)
            for name, says, action in (
                ("byte back", "one byte back", lambda: self.go(self.offset - 1)),
                ("byte on", "one byte on", lambda: self.go(self.offset + 1)),
                ("next field", "the first byte of the next field", self._next_field),
                ("next frame", "the first byte of the next frame", self._next_frame),
            )
        }
        row = widgets.HBox([*self.buttons.values()])
        self._box = widgets.VBox([row, self.slider, self._picture])

    def _button(self, name: str, says: str, action: Callable[[], None]) -> widgets.Button:
        layout = widgets.Layout(width="auto")
        button = widgets.Button(description=name, tooltip=says, layout=layout)
        button.on_click(lambda _: action())
        return button

    def _next_field(self) -> None:
        self.go(field_at(self._pieces, self.offset).end)

    def _next_frame(self) -> None:
        self.go(piece_at(self._pieces, self.offset).end)

    def _draw(self) -> None:
        line = f'<div aria-live="polite"><b>{escape(self.words())}</b></div>'
        self._picture.value = line + self.svg()

    def __repr__(self) -> str:
        frames = sum(piece.kind != 0 for piece in self._pieces)
        return (
            f"ByteStepper: {len(self._data):,} bytes of {self._name}, {frames} frames; run this "
            f"cell to move through them. Shown: {self.words()}"
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel a still picture and words."""
        bundle = dict(self._box._repr_mimebundle_(**options))
        bundle["text/plain"] = repr(self)
        bundle["image/svg+xml"] = self.svg()
        return bundle
