"""Filters as figures: how often one says "maybe" for nothing, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from kvraft.viz.figures.style import legend, named, one_panel, titled
from kvraft.viz.panels import FalsePositiveRate
from kvraft.viz.svg import BLACK, BLUE, ORANGE, SKY


def plot_rates(rates: Sequence[FalsePositiveRate]) -> Figure:
    """Draw the measured rate of false positives over bits per key, on the band of the theory."""
    figure, axes = one_panel(2.4)
    bits = [rate.bits_per_key for rate in rates]
    lows, highs = zip(*(rate.band for rate in rates), strict=True)
    floor = 0.5 / max(rate.probes for rate in rates)
    axes.fill_between(bits, [max(low, floor) for low in lows], highs, color=SKY, alpha=0.5,
                      label="theory, 95 % of measurements")  # fmt: skip
    axes.plot(bits, [rate.theory for rate in rates], color=BLUE, label="theory")
    axes.plot(bits, [rate.measured for rate in rates], "o", color=BLACK, label="measured")
    axes.set_yscale("log")
    axes.set_xticks(bits[::3])
    named(axes, "false positives, share of absent keys", "bits per key")
    legend(figure)
    inside = sum(rate.band[0] <= rate.measured <= rate.band[1] for rate in rates)
    return titled(figure, f"{inside} of {len(rates)} measured rates lie in the band of the theory")


def plot_k(rates: Sequence[FalsePositiveRate]) -> Figure:
    """Draw the rate over *k*, the bits that each key sets, at one number of bits per key."""
    figure, axes = one_panel(2.4)
    axes.plot([rate.k for rate in rates], [rate.theory for rate in rates], color=BLUE,
              label="theory")  # fmt: skip
    axes.plot([rate.k for rate in rates], [rate.measured for rate in rates], "o", color=BLACK,
              label="measured")  # fmt: skip
    best = min(rates, key=lambda rate: rate.theory)
    ideal = best.bits_per_key * math.log(2)
    axes.axvline(ideal, color=ORANGE, linestyle="--", label=f"bits per key · ln 2 = {ideal:.1f}")
    named(axes, "false positives, share of absent keys", "k, bits set by each key")
    axes.set_ylim(bottom=0)
    legend(figure)
    return titled(figure, f"With {best.bits_per_key} bits per key, k = {best.k} errs least")
