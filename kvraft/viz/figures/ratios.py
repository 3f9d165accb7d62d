"""A benchmark as a figure: how many times better kvraft is, row by row, on a logarithmic axis.

A point is the median of the ratios of paired rounds, the line through it their spread.  Right of
the black line, at 1, kvraft is better.  Each peer has its marker as well as its colour.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kvraft.bench import Result, Spread
from kvraft.display import counted, listed
from kvraft.viz.figures.style import lane, legend, named, one_panel, some, titled
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED

MARKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (PURPLE, "^"), (ORANGE, "v"))
"""Colour and marker of each peer."""

Lines = list[tuple[str, dict[str, Spread]]]
"""Each row's name, and for each peer that was measured in it the ratios' spread."""


def plot_ratios(result: Result) -> Figure:
    """Draw the ratios of a benchmark to all of its peers, a line for each row.

    Raises :class:`~kvraft.errors.BadInput` if it was compared with nobody.
    """
    lines = _lines(result)
    some(lines, "the benchmark has no peer, so there are no ratios")
    each = 0.24 + 0.11 * len(result.peers)  # inches: a row's name, and a lane for each peer
    figure, axes = one_panel(0.3 + each * len(lines), grid=False)
    named_part = 0.2 / each
    for number, (name, spreads) in enumerate(lines):
        lane(axes, number + named_part, name)
        if number % 2:
            axes.axhspan(number, number + 1, color=GREY, alpha=0.2, linewidth=0)
        for peer, spread in spreads.items():
            share = (result.peers.index(peer) + 0.5) / len(result.peers)
            at = number + named_part + share * (0.95 - named_part)
            _draw(axes, result.peers, peer, at, spread)
    rows = [number + named_part for number in range(len(lines))]
    axes.vlines([1] * len(rows), rows, range(1, len(rows) + 1), color=BLACK, linewidth=1)
    axes.set(yticks=[], ylim=(len(lines), 0))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", alpha=0.3)
    waits = any(row.by_wall for row in result.rows)
    clock = "wall time" if result.wall else "CPU time" + (", a disk's: wall time" if waits else "")
    named(
        axes,
        right=f"worse ← 1 → better\nratio by {clock}; points: medians of "
        f"{counted(len(result.rounds), 'round')}; lines: lowest to highest",
    )
    once = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each peer once
    legend(figure, once.values())
    return titled(figure, ratios_title(result))


def ratios_title(result: Result) -> str:
    """Return the conclusion: in how many rows kvraft is better than each peer."""
    total = len(_lines(result))
    better = [
        f"than {peer} in {sum(spreads[peer].median > 1 for spreads in with_peer) or 'none'}"
        + (f" of {len(with_peer)}" if len(with_peer) < total else "")
        for peer in result.peers
        if (with_peer := [spreads for _, spreads in _lines(result) if peer in spreads])
    ]
    return f"{result.part}: of {counted(total, 'row')}, kvraft is better {listed(better)}"


def ratios_text(result: Result) -> str:
    """Return all that the figure shows in words, for those who do not see it."""
    shown = [
        f"{name}: {', '.join(f'{spread.median:.2f} of {peer}' for peer, spread in spreads.items())}"
        for name, spreads in _lines(result)
    ]
    return f"How many times better kvraft is, as medians. {'; '.join(shown)}."


def _lines(result: Result) -> Lines:
    found: Lines = []
    for row in result.rows:
        ratios = {peer: result.ratios(peer, row) for peer in result.peers}
        if any(ratios.values()):
            found.append((row.name, {peer: Spread.of(r) for peer, r in ratios.items() if r}))
    return found


def _draw(axes: Axes, peers: tuple[str, ...], peer: str, at: float, spread: Spread) -> None:
    """Draw one ratio at its height."""
    colour, marker = MARKS[peers.index(peer) % len(MARKS)]
    axes.plot([spread.low, spread.high], [at, at], color=colour, linewidth=1.5)
    axes.plot(
        spread.median, at, color=colour, marker=marker, markersize=5, linestyle="", label=peer
    )
