"""Replication as figures: match indexes, backing up, and the window of pipelining.

Each function takes plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvraft.display import counted
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, one_panel, some, titled
from kvraft.viz.svg import BLACK, BLUE, GREEN, ORANGE, RED


class MatchSample(NamedTuple):
    """A moment of a leader: ``match`` is what each voter holds durably, itself included."""

    millis: int
    match: dict[str, int]
    commit: int


class BackUpSample(NamedTuple):
    """How many appends were refused before two logs met, for a tail of ``entries`` conflicts."""

    entries: int
    with_hints: int
    one_by_one: int


def plot_matches(moments: Sequence[MatchSample]) -> Figure:
    """Draw the match index of every voter, nine at the most, and the commit index over time."""
    some(moments)
    figure, axes = _figure(2.4)
    times = [moment.millis for moment in moments]
    names = list(moments[0].match)
    for name, (colour, style) in zip(names, MEMBER_LINES * len(names), strict=False):
        held = [moment.match[name] for moment in moments]
        axes.step(times, held, where="post", color=colour, ls=style, lw=1.3, label=f"match {name}")
    commits = [moment.commit for moment in moments]
    axes.step(times, commits, where="post", color=ORANGE, lw=6, alpha=0.5, label="commit index")
    quorum = len(names) // 2 + 1
    agree = sum(
        moment.commit == sorted(moment.match.values(), reverse=True)[quorum - 1]
        for moment in moments
    )
    named(axes, "log index", "virtual time (ms)")
    legend(figure)
    count = "all" if agree == len(moments) else f"{agree} of"
    rank = ("", "second ", "third ", "fourth ", "fifth ")[quorum - 1]
    return _titled(
        figure,
        f"At {count} {len(moments)} moments the commit index is the {rank}highest "
        f"of {len(names)} match indexes",
    )


def plot_back_up(measured: Sequence[BackUpSample]) -> Figure:
    """Draw how many appends are refused against the length of a conflicting tail."""
    some(measured)
    figure, axes = _figure(2.0)
    entries = [row.entries for row in measured]
    one_by_one = [row.one_by_one for row in measured]
    hinted = [row.with_hints for row in measured]
    axes.plot(entries, one_by_one, color=RED, ls="--", marker="s", label="one entry at a time")
    axes.plot(entries, hinted, color=BLUE, ls="-", marker="o", label="with a hint: term and index")
    named(axes, "refused appends", "conflicting entries on the follower")
    legend(figure)
    worst = max(measured)
    return _titled(
        figure,
        f"To back up over {counted(worst.entries, 'entry')} costs "
        f"{_refusals(worst.with_hints)} with hints, "
        f"{worst.one_by_one} without",
    )


def _refusals(number: int) -> str:
    return f"{number} refusal{'' if number == 1 else 's'}"


def plot_windows(commits: Mapping[int, Sequence[int]], round_trip: int) -> Figure:
    """Draw how many entries are committed over time, one line a window.

    ``commits[window]`` holds the time at which each entry was committed, in milliseconds;
    ``round_trip`` is the network's, in milliseconds.
    """
    some(commits)
    figure, axes = _figure(2.4)
    styles = ((RED, ":"), (GREEN, "-."), (BLUE, "--"), (BLACK, "-")) * len(commits)
    for (window, times), (colour, style) in zip(sorted(commits.items()), styles, strict=False):
        counts = list(range(1, len(times) + 1))
        axes.step(times, counts, where="post", color=colour, ls=style, label=f"window {window}")
    named(axes, "entries committed", "virtual time since they were proposed (ms, logarithmic)")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    legend(figure)
    least, most = min(commits), max(commits)
    total = len(commits[least])
    return _titled(
        figure,
        f"{total} entries over a round trip of {round_trip} ms: {commits[least][-1]:,} ms with a "
        f"window of {least}, {commits[most][-1]:,} ms with {most}",
    )


def _figure(height: float) -> tuple[Figure, Axes]:
    figure, axes = one_panel(height)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    return figure, axes


def _titled(figure: Figure, text: str) -> Figure:
    axes = figure.axes[0]
    axes.set_ylim(bottom=0)
    return titled(figure, text)
