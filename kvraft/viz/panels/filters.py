"""A Bloom filter: its bits, and how often it says "maybe" for nothing.

:func:`bits_view` draws the bits of a small one and who set them; :func:`measure` builds a real one
and asks it for keys that it does not have.  Keys are numbered, so rates are the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from kvraft.bloom import BloomFilter, positions
from kvraft.display import counted
from kvraft.record import label
from kvraft.viz import svg

LEFT = 12.0
_Z = 1.96  # of a normal distribution, 95 % lie within so many standard deviations


def bits_view(bloom: BloomFilter, keys: Sequence[bytes], asked: bytes | None = None) -> str:
    """Return a picture of the bits of a small filter: which keys set them, which one asks for."""
    across, side = 64, 13
    owners: dict[int, list[str]] = {}
    for key in keys:
        for bit in positions(key, bloom.k, bloom.m):
            owners.setdefault(bit, []).append(label(key))
    wanted = set() if asked is None else set(positions(asked, bloom.k, bloom.m))
    drawn = []
    for bit in range(bloom.m):
        x, y = LEFT + bit % across * side, 10 + bit // across * (side + 14)
        says = f"bit {bit}: set by {', '.join(owners.get(bit, ['nobody']))}"
        colour = svg.BLUE if bit in owners else svg.WHITE
        drawn.append(
            svg.rect(
                x,
                y,
                side - 2,
                side - 2,
                colour,
                width=0.5,
                opacity=1,
                title=says,
            )
        )
        if bit in wanted:
            sign = "●" if bit in owners else "○"
            drawn.append(svg.text(x + side / 2 - 1, y + side + 8, sign, 10, "middle"))
    rows = -(-bloom.m // across)
    said = (
        f"{len(owners)} of {counted(bloom.m, 'bit')} set by "
        f"{counted(len(keys), 'key')}, {bloom.k} each"
    )
    y = 22 + rows * (side + 14)
    drawn.append(svg.text(LEFT, y, said, 12))
    if asked is not None:
        hits = len(wanted & set(owners))
        verdict = "maybe" if hits == len(wanted) else "certainly not here"
        says = f"{label(asked)}: {hits} of its {len(wanted)} bits are set: {verdict}"
        drawn.append(svg.text(LEFT, y + 18, says, 12, weight="bold"))
        said += f"; {says}"
    return svg.drawing(y + 28, said, drawn)


class FalsePositiveRate(NamedTuple):
    """How often a filter said "maybe" for nothing: ``passed`` of ``probes``, and the theory."""

    bits_per_key: int
    k: int
    probes: int
    passed: int
    theory: float

    @property
    def measured(self) -> float:
        """The share of absent keys that passed."""
        return self.passed / self.probes

    @property
    def band(self) -> tuple[float, float]:
        """Where 95 % of measurements lie if the theory is right (normal approximation)."""
        spread = _Z * math.sqrt(self.theory * (1 - self.theory) / self.probes)
        return self.theory - spread, self.theory + spread


def measure(keys: int, bits_per_key: int, probes: int, k: int | None = None) -> FalsePositiveRate:
    """Build a filter of so many ``keys`` and ask it for ``probes`` others; ``k`` may be given."""
    bloom = BloomFilter.sized(keys, bits_per_key)
    if k is not None:
        bloom = BloomFilter(k, bloom.m, bytearray(bloom.m))
    bloom.add(b"in %d" % number for number in range(keys))
    passed = sum(b"out %d" % number in bloom for number in range(probes))
    return FalsePositiveRate(bits_per_key, bloom.k, probes, passed, bloom.expected_fpr(keys))
