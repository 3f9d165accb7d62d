"""Tables and filters as pictures, drawn from their real bytes, and filters measured.

- :func:`table_map` draws the parts of a table's file to scale; :func:`block_map` one data block,
  column by column; :func:`bits_view` the bits of a small filter and who set them.
- :func:`measure` builds a real filter and asks it for keys that it does not have;
  :func:`plot_rates` and :func:`plot_k` draw what that gives beside the theory.

Everything is a pure function of its arguments: keys are numbered, so rates are the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvraft.block import Block
from kvraft.bloom import Bloom, positions
from kvraft.disk import Disk
from kvraft.display import counted
from kvraft.filenames import table_name
from kvraft.record import label
from kvraft.sstable import Table
from kvraft.table_format import read_footer
from kvraft.viz.plots import BLACK, BLUE, ORANGE, SKY
from kvraft.viz.views import WIDTH, _n, _svg, _text

_COLOURS = {
    "data": "#56B4E9",
    "filter": "#E69F00",
    "ranges": "#CC79A7",
    "properties": "#F0E442",
    "index": "#009E73",
    "footer": "#BBBBBB",
}
_LEFT = 12.0
_Z = 1.96  # of a normal distribution, 95 % lie within so many standard deviations


class Part(NamedTuple):
    """The bytes ``start`` … ``end - 1`` of a table's file, and what they are."""

    name: str
    start: int
    end: int


def parts_of(disk: Disk, number: int) -> list[Part]:
    """Return the parts of table ``number`` from its first byte to its last."""
    name = table_name(number)
    size = disk.size(name)
    bounds, _ = read_footer(disk, name, size)
    table = Table.open(disk, number)
    extents = [table.extent(at) for at in range(table.blocks)]
    parts = [Part("data", start, start + length) for start, length in extents]
    names = ("filter", "ranges", "properties", "index", "footer")
    for what, start, end in zip(names, bounds, [*bounds[1:], size], strict=True):
        if end > start:
            parts.append(Part(what, start, end))
    return parts


def table_map(disk: Disk, number: int) -> str:
    """Return a picture of the file of table ``number``, to scale, each part with its size."""
    parts = parts_of(disk, number)
    scale = (WIDTH - 2 * _LEFT) / parts[-1].end
    drawn: list[str] = [
        _text(_LEFT, 16, f"{table_name(number)}, {counted(parts[-1].end, 'byte')}", 12)
    ]
    for part in parts:
        x, wide = _LEFT + part.start * scale, (part.end - part.start) * scale
        drawn.append(_box(x, 26, wide, 40, _COLOURS[part.name], str(part)))
    x = _LEFT
    for name, colour in _COLOURS.items():
        mine = [part for part in parts if part.name == name]
        if mine:
            size = sum(part.end - part.start for part in mine)
            count = f"{counted(len(mine), 'block')}, " if name == "data" else ""
            says = f"{name}: {count}{counted(size, 'byte')}"
            drawn += [_box(x, 80, 12, 12, colour, says), _text(x + 17, 91, says, 11)]
            x += 35 + 6.2 * len(says)
    told = ", ".join(f"{part.name} {part.start} to {part.end}" for part in parts)
    return _svg(104, f"{table_name(number)}: {told}", drawn)


def block_map(block: Block) -> str:
    """Return a picture of a block of rows: its columns, row by row."""
    rows = block.rows()
    heads = (("key", 12), ("timestamp", 200), ("kind", 320), ("value", 400))
    drawn = [_text(x, 18, head, 12, weight="bold") for head, x in heads]
    for at, (key, timestamp, value) in enumerate(rows):
        y = 40 + 20 * at
        colour = "#D55E00" if value is None else "#56B4E9"
        drawn.append(_box(8, y - 14, WIDTH - 16, 18, colour, label(key), opacity=0.25))
        said = "" if value is None else label(value)
        cells = (label(key), f"{timestamp}", "delete" if value is None else "put", said[:60])
        drawn += [_text(x, y, cell, 12) for cell, (_, x) in zip(cells, heads, strict=True)]
    says = (
        f"a block of {counted(len(rows), 'row')} from {label(rows[0][0])} to {label(rows[-1][0])}"
    )
    return _svg(40 + 20 * len(rows), says, drawn)


def bits_view(bloom: Bloom, keys: Sequence[bytes], asked: bytes | None = None) -> str:
    """Return a picture of the bits of a small filter: which keys set them, which one asks for."""
    across, side = 64, 13
    owners: dict[int, list[str]] = {}
    for key in keys:
        for bit in positions(key, bloom.k, bloom.m):
            owners.setdefault(bit, []).append(label(key))
    wanted = set() if asked is None else set(positions(asked, bloom.k, bloom.m))
    drawn = []
    for bit in range(bloom.m):
        x, y = _LEFT + bit % across * side, 10 + bit // across * (side + 14)
        who = ", ".join(owners.get(bit, ["nobody"]))
        colour = "#0072B2" if bit in owners else "#FFFFFF"
        drawn.append(_box(x, y, side - 2, side - 2, colour, f"bit {bit}: set by {who}"))
        if bit in wanted:
            sign = "●" if bit in owners else "○"
            drawn.append(_text(x + side / 2 - 1, y + side + 8, sign, 10, "middle"))
    rows = -(-bloom.m // across)
    said = (
        f"{len(owners)} of {counted(bloom.m, 'bit')} set by "
        f"{counted(len(keys), 'key')}, {bloom.k} each"
    )
    y = 22 + rows * (side + 14)
    drawn.append(_text(_LEFT, y, said, 12))
    if asked is not None:
        hits = len(wanted & set(owners))
        verdict = "maybe" if hits == len(wanted) else "certainly not here"
        says = f"{label(asked)}: {hits} of its {len(wanted)} bits are set: {verdict}"
        drawn.append(_text(_LEFT, y + 18, says, 12, weight="bold"))
        said += f"; {says}"
    return _svg(y + 28, said, drawn)


def _box(
    x: float, y: float, wide: float, high: float, colour: str, says: str, opacity: float = 1
) -> str:
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" fill="{colour}"'
        f' fill-opacity="{_n(opacity)}" stroke="#000000" stroke-width="0.5">'
        f"<title>{says.replace('&', '&amp;').replace('<', '&lt;')}</title></rect>"
    )


# ── filters measured ────────────────────────────────────────────────────────────────────────────


class Rate(NamedTuple):
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


def measure(keys: int, bits_per_key: int, probes: int, k: int | None = None) -> Rate:
    """Build a filter of so many ``keys`` and ask it for ``probes`` others; ``k`` may be given."""
    bloom = Bloom.sized(keys, bits_per_key)
    if k is not None:
        bloom = Bloom(k, bloom.m, bytearray(bloom.m))
    bloom.add(b"in %d" % number for number in range(keys))
    passed = sum(b"out %d" % number in bloom for number in range(probes))
    return Rate(bits_per_key, bloom.k, probes, passed, bloom.expected_fpr(keys))


def plot_rates(rates: Sequence[Rate]) -> Figure:
    """Draw the measured rate of false positives over bits per key, on the band of the theory."""
    figure, axes = _figure()
    bits = [rate.bits_per_key for rate in rates]
    lows, highs = zip(*(rate.band for rate in rates), strict=True)
    floor = 0.5 / max(rate.probes for rate in rates)
    axes.fill_between(bits, [max(low, floor) for low in lows], highs, color=SKY, alpha=0.5,
                      label="theory, 95 % of measurements")  # fmt: skip
    axes.plot(bits, [rate.theory for rate in rates], color=BLUE, label="theory")
    axes.plot(bits, [rate.measured for rate in rates], "o", color=BLACK, label="measured")
    axes.set_yscale("log")
    axes.set_xticks(bits)
    axes.set_xlabel("bits per key")
    axes.set_ylabel("false positives, share of absent keys")
    axes.legend()
    inside = sum(rate.band[0] <= rate.measured <= rate.band[1] for rate in rates)
    axes.set_title(f"{inside} of {len(rates)} measured rates lie in the band of the theory")
    return figure


def plot_k(rates: Sequence[Rate]) -> Figure:
    """Draw the rate over *k*, the bits that each key sets, at one number of bits per key."""
    figure, axes = _figure()
    axes.plot([rate.k for rate in rates], [rate.theory for rate in rates], color=BLUE,
              label="theory")  # fmt: skip
    axes.plot([rate.k for rate in rates], [rate.measured for rate in rates], "o", color=BLACK,
              label="measured")  # fmt: skip
    best = min(rates, key=lambda rate: rate.theory)
    ideal = best.bits_per_key * math.log(2)
    axes.axvline(ideal, color=ORANGE, linestyle="--", label=f"bits per key · ln 2 = {ideal:.1f}")
    axes.set_xlabel("k, bits set by each key")
    axes.set_ylabel("false positives, share of absent keys")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_title(f"With {best.bits_per_key} bits per key, k = {best.k} errs least")
    return figure


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes
