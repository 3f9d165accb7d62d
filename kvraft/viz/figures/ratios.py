"""A benchmark as a figure: how many times better kvraft is, row by row, on a logarithmic axis.

A point is the median of the ratios of paired rounds, the line through it their spread.  Right of
the black line, at 1, kvraft is better.  Each peer has its marker as well as its colour.
"""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kvraft.bench import Result, Spread
from kvraft.display import counted, listed
from kvraft.viz.figures.style import one_panel, some, titled
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED

MARKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (PURPLE, "^"), (ORANGE, "v"))
"""Colour and marker of each peer."""

TITLE_COLUMNS = 88

Lines = list[tuple[str, dict[str, Spread]]]
"""Each row's name, and for each peer that was measured in it the ratios' spread."""


def plot_ratios(result: Result) -> Figure:
    """Draw the ratios of a benchmark to all of its peers, a line for each row.

    Raises :class:`~kvraft.errors.BadInput` if it was compared with nobody.
    """
    lines = _lines(result)
    some(lines, "the benchmark has no peer, so there are no ratios")
    figure, axes = one_panel(1.9 + 0.095 * len(lines) * (1.4 + len(result.peers)), grid=False)
    for number, (_, spreads) in enumerate(lines):
        if number % 2:
            axes.axhspan(number - 0.5, number + 0.5, color=GREY, alpha=0.2, linewidth=0)
        for peer, spread in spreads.items():
            _draw(axes, result.peers, peer, number, spread)
    axes.axvline(1, color=BLACK, linewidth=1)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", alpha=0.3)
    waits = any(row.by_wall for row in result.rows)
    clock = "wall time" if result.wall else "CPU time" + (", a disk's: wall time" if waits else "")
    axes.set_xlabel(
        f"kvraft is worse  ← 1 →  kvraft is better\nratio by {clock}\n"
        f"points: medians of {counted(len(result.rounds), 'round')}; lines: lowest to highest"
    )
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each peer once
    figure.legend(named.values(), named, loc="outside lower left", ncols=len(named))
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
    text = f"{result.part}: of {counted(total, 'row')}, kvraft is better {listed(better)}"
    return textwrap.fill(text, TITLE_COLUMNS)


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


def _draw(axes: Axes, peers: tuple[str, ...], peer: str, number: int, spread: Spread) -> None:
    """Draw one ratio in its lane of a row."""
    at = peers.index(peer)
    colour, marker = MARKS[at % len(MARKS)]
    lane = number + (at - (len(peers) - 1) / 2) * 0.8 / len(peers)
    axes.plot([spread.low, spread.high], [lane, lane], color=colour, linewidth=1.5)
    axes.plot(
        spread.median, lane, color=colour, marker=marker, markersize=5, linestyle="", label=peer
    )
