"""Elections as figures: how long outages last (Raft Figure 16), and what pre-vote is good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kvraft.sim import OutageTrial, TimeoutRange, failed_first_share, median_trial
from kvraft.viz.figures.style import legend, named, one_panel, some, titled
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED

LINES = ((RED, ":"), (ORANGE, "--"), (PURPLE, "-."), (GREEN, "--"), (BLUE, "-."), (BLACK, "-"))


def plot_trials(measured: Mapping[TimeoutRange, Sequence[OutageTrial]]) -> Figure:
    """Draw for each range which share of its trials had a leader by when (Raft Figure 16)."""
    some(measured)
    figure, axes = one_panel(2.4)
    for (span, trials), (colour, style) in zip(
        measured.items(), LINES * len(measured), strict=False
    ):
        times = sorted(trial.millis for trial in trials if trial.elected)
        shares = [(n + 1) / len(trials) for n in range(len(times))]
        label = f"{span[0]}\u2013{span[1]} ({len(trials):,})"
        points = [(time, 0.0) for time in times[:1]] + list(zip(times, shares, strict=True))
        xs, ys = [time for time, _ in points], [share for _, share in points]
        axes.step(xs, ys, where="post", color=colour, ls=style, label=label)
    known = [trial.millis for trials in measured.values() for trial in trials]
    _log_axis(axes, min(known), max(known))
    named(axes, "share of trials", "time without a leader (ms, logarithmic)")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    legend(figure, title="timeouts drawn from, ms (trials)")
    halves = {span: median_trial(trials) for span, trials in measured.items()}
    in_order = sorted(measured, key=lambda span: _rank(halves[span], measured[span]))
    best, worst = in_order[0], in_order[-1]
    return titled(
        figure,
        f"Half of the outages end {_took(halves[best])} ({_range(best)}), "
        f"{_took(halves[worst])} ({_range(worst)})",
    )


def plot_failed(measured: Mapping[TimeoutRange, Sequence[OutageTrial]]) -> Figure:
    """Draw for each range in which share of its trials the first election elected nobody."""
    some(measured)
    figure, axes = one_panel(0.3 + 0.3 * len(measured), grid=False)
    shares = [failed_first_share(trials) for trials in measured.values()]
    bars = axes.barh(range(len(shares)), shares, color=BLUE, height=0.6)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=2)
    axes.set_yticks(range(len(shares)), [_range(span) for span in measured])
    axes.invert_yaxis()
    named(axes, "timeouts drawn from (ms)", "first election failed")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(0, 1.25)
    axes.set_xticks([0, 0.5, 1])
    most, least = max(shares), min(shares)
    spans = list(measured)
    return titled(
        figure,
        f"With {_range(spans[shares.index(most)])} ms {most:.0%} of the first elections fail, "
        f"with {_range(spans[shares.index(least)])} ms {least:.0%}",
    )


def plot_terms(terms: Mapping[str, Sequence[int]], cut: tuple[int, int], step: int) -> Figure:
    """Draw the term of a member that is cut off, one line a way of running it.

    ``terms`` has a number every ``step`` milliseconds; the member is cut off from ``cut[0]`` to
    ``cut[1]``.
    """
    some(terms)
    figure, axes = one_panel(2.0)
    axes.set_axisbelow(True)
    axes.axvspan(*cut, facecolor="none", edgecolor=GREY, hatch="//", lw=0)
    styles = ((RED, "--"), (BLUE, "-")) * len(terms)
    for (label, values), (colour, style) in zip(terms.items(), styles, strict=False):
        times = [step * n for n in range(len(values))]
        axes.step(times, values, where="post", color=colour, ls=style, lw=2, label=label)
    named(axes, "its term", "virtual time (ms); hatched: cut off")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    legend(figure)
    ends = ", ".join(
        f"{label}: term {values[min(cut[1] // step, len(values) - 1)]}"
        for label, values in terms.items()
    )
    return titled(figure, f"After {cut[1] - cut[0]:,} ms of being cut off, {ends}")


def _log_axis(axes: Axes, shortest: int, longest: int) -> None:
    """Mark 10, 30, 100, 300 … milliseconds, as far as it takes."""
    marks = [digit * 10**power for power in range(7) for digit in (1, 3)]
    needed = [mark for mark in marks if shortest / 2 < mark < longest]
    axes.set_xscale("log")
    axes.set_xticks(needed, [f"{mark:,}" for mark in needed])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)


def _range(span: TimeoutRange) -> str:
    return f"{span[0]} to {span[1]}"


def _rank(half: OutageTrial, trials: Sequence[OutageTrial]) -> tuple[bool, int, float]:
    """Return what makes one range better than another: where half was, then who was given up."""
    return not half.elected, half.millis, sum(not t.elected for t in trials) / len(trials)


def _took(trial: OutageTrial) -> str:
    return f"{'' if trial.elected else 'not '}within {trial.millis:,} ms"
