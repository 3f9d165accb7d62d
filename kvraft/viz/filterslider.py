"""A slider over bits per key: the bits of a small filter, and how often it errs.

The same means as in ``stepper.py``: an SVG in an ordinary HTML widget, moved by a slider that the
keyboard reaches (Tab, then the arrows); without a kernel, a still picture and a line of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from kvraft.bloom import Bloom
from kvraft.viz.tables import Rate, bits_view


class FilterSlider:
    """Shows a filter of ``keys`` with as many bits a key as the slider says; ``rates`` measured."""

    def __init__(self, keys: Sequence[bytes], rates: Sequence[Rate], start: int = 10) -> None:
        self._keys = list(keys)
        self._rates = {rate.bits_per_key: rate for rate in rates}
        low, high = min(self._rates), max(self._rates)
        layout = widgets.Layout(width="90%")
        self.slider = widgets.IntSlider(start, low, high, description="bits a key", layout=layout)
        self.slider.observe(lambda change: self._draw(), names="value")
        self._picture = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._box = widgets.VBox([self.slider, self._picture])
        self._draw()

    def words(self) -> str:
        """Return what is shown, in a line."""
        rate = self._rates[int(self.slider.value)]
        return (
            f"{rate.bits_per_key} bits a key, k = {rate.k}: theory {100 * rate.theory:.2f} %, "
            f"measured {100 * rate.measured:.2f} % false positives"
        )

    def svg(self) -> str:
        """Return the picture: the bits of a filter of these keys."""
        return bits_view(Bloom.build(self._keys, int(self.slider.value)), self._keys)

    def _draw(self) -> None:
        line = f'<div aria-live="polite"><b>{escape(self.words())}</b></div>'
        self._picture.value = line + self.svg()

    def __repr__(self) -> str:
        return f"FilterSlider: run this cell to move it. Shown: {self.words()}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel a still picture and words."""
        bundle = dict(self._box._repr_mimebundle_(**options))
        bundle["text/plain"] = repr(self)
        bundle["image/svg+xml"] = self.svg()
        return bundle
