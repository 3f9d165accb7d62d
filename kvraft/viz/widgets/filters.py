"""A slider over bits per key: the bits of a small filter, and how often it errs."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from kvraft.bloom import BloomFilter
from kvraft.viz.panels import FalsePositiveRate, bits_view
from kvraft.viz.shown import svg_image
from kvraft.viz.widgets.slider import Slider


class FilterSlider(Slider):
    """Shows a filter of ``keys`` with as many bits a key as the slider says; ``rates`` measured."""

    def __init__(
        self, keys: Sequence[bytes], rates: Sequence[FalsePositiveRate], start: int = 10
    ) -> None:
        self._keys = list(keys)
        self._rates = {rate.bits_per_key: rate for rate in rates}
        low, high = min(self._rates), max(self._rates)
        super().__init__(widgets.IntSlider(start, low, high, description="bits a key"))

    def words(self) -> str:
        """Return what is shown, in a line."""
        rate = self._rates[int(self.slider.value)]
        return (
            f"{rate.bits_per_key} bits a key, k = {rate.k}: theory {100 * rate.theory:.2f} %, "
            f"measured {100 * rate.measured:.2f} % false positives"
        )

    def picture(self) -> str:
        """Return the picture with its words."""
        return svg_image(self.svg())

    def svg(self) -> str:
        """Return the picture: the bits of a filter of these keys."""
        return bits_view(BloomFilter.build(self._keys, int(self.slider.value)), self._keys)

    def __repr__(self) -> str:
        return f"FilterSlider: run this cell to move it. Shown: {self.words()}"
