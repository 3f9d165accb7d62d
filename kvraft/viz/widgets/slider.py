"""A slider over pictures: what is common to all of this project's widgets.

A picture is an image in an ordinary HTML widget, below a line of words that screen readers
follow.  There is no output widget, no callback of the browser's and no saved widget state, so the
stored notebook is the same every time; without a kernel it shows one still picture and a line of
text.

Everything can be reached by keyboard: Tab to a control, Enter or Space to press it, arrows on the
slider; a letter does nothing, to the notebook neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from kvraft.viz.widgets.named import names


class Slider(ABC):
    """Shows what ``slider`` is set to; ``rows`` of other controls stand above it."""

    def __init__(self, slider: widgets.Widget, *rows: widgets.Widget) -> None:
        self.slider = slider
        slider.layout.width = "90%"
        slider.observe(lambda change: self._draw(), names="value")
        self._picture = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._box = widgets.VBox([*rows, slider, self._picture, *names()])
        self._draw()

    @property
    def widget(self) -> widgets.Widget:
        """The widget itself, to be put among others."""
        return self._box

    @abstractmethod
    def words(self) -> str:
        """Return what is shown, in a line."""

    @abstractmethod
    def picture(self) -> str:
        """Return the picture that is shown as HTML, with words for those who do not see it."""

    def html(self) -> str:
        """Return what the widget shows: its words, and the picture below them."""
        return line(self.words()) + self.picture()

    def _draw(self) -> None:
        self._picture.value = self.html()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel a still picture and words."""
        bundle = dict(self._box._repr_mimebundle_(**options))
        bundle["text/plain"] = repr(self)
        bundle["text/html"] = self.picture()
        return bundle


def line(words: str, aside: str = "") -> str:
    """Return the line above a picture as HTML, with an ``aside`` in small letters."""
    small = f" <small>({escape(aside)})</small>" if aside else ""
    return f'<div aria-live="polite"><b>{escape(words)}</b>{small}</div>'


def button(name: str, says: str, action: Callable[[], None]) -> widgets.Button:
    """Return a button called ``name`` that does ``action``, and ``says`` so."""
    layout = widgets.Layout(width="auto")
    made = widgets.Button(description=name, tooltip=says, layout=layout)
    made.on_click(lambda _: action())
    return made
