"""How long a cluster is without a leader: measured in a thousand elections, and drawn (Figure 16).

A *trial* is one crash of a leader.  One tick is a millisecond, and a message takes 5 to 10 ms, so
that a broadcast and its answers take about 15 ms, as in the paper (§9.3)::

    last heartbeat          crash                          the next leader
    ──┬───────────────────────┬──────────────────────────────────┬─────► ms
      │◄─ up to half a ──────►│◄──────────── outage ────────────►│
      │   smallest time-out   │
      └► reaches the followers at about the same time, and sets all their timers anew

As there, the trial is made hard: the last heartbeat goes to all at one time, and no two logs end
alike, so that only two of the four that are left can win at all.

Time in which nothing is due is skipped; :func:`outage` gives what it would give tick by tick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from kvraft.contract import Options, Role
from kvraft.errors import BadInput
from kvraft.raft import Raft
from kvraft.sim.cluster import Cluster
from kvraft.sim.timeline import TICK
from kvraft.viz.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, titled

LIMIT = 2_000
"""When a trial is given up, in milliseconds."""

LATENCY = (5, 10)
"""The least and the most milliseconds that a message takes one way."""

MEMBERS = ("n1", "n2", "n3", "n4", "n5")
"""The first is the leader that crashes."""

Range = tuple[int, int]
"""The shortest and the longest election time-out that may be drawn, in milliseconds."""

LINES = ((RED, ":"), (ORANGE, "--"), (PURPLE, "-."), (GREEN, "--"), (BLUE, "-."), (BLACK, "-"))


class Outage(NamedTuple):
    """How a trial went: after ``millis`` somebody led, at the ``elections``-th attempt.

    If nobody led by the end of the trial, ``millis`` is when it was given up, and not ``elected``.
    """

    millis: int
    elections: int
    elected: bool = True


def options_for(low: int, high: int, heartbeat: int | None = None) -> Options:
    """Return the plain Raft of the paper with time-outs from ``low`` to ``high`` milliseconds.

    A tick is a millisecond.  Heartbeats come every ``heartbeat`` of them, by default half the
    shortest time-out, as in the paper.
    """
    if not 2 <= low <= high:
        raise BadInput(f"time-outs from {low} to {high} ms make no sense")
    return Options(
        election_ticks=low,
        spread_ticks=high - low + 1,
        heartbeat_ticks=heartbeat or low // 2,
        pre_vote=False,
        check_quorum=False,
    )


class Patient(Raft):
    """A consensus module that can let many ticks pass at once, as long as nothing is due."""

    @property
    def idle_ticks(self) -> int:
        """How many ticks may pass at once without anything happening."""
        return 0 if self.leading is not None else self._timeout - self._elapsed - 1

    def skip(self, ticks: int) -> None:
        """Let as many ticks pass; not more than are idle, and no read may be waiting."""
        self.ticks += ticks
        self._elapsed += ticks


class LeapingCluster(Cluster):
    """A cluster of :class:`Patient` members whose clock can leap to when something is due."""

    def leap(self) -> None:
        """Do what :meth:`run` does, for as many ticks as it takes until something is due."""
        members = [raft for raft in self.rafts.values() if isinstance(raft, Patient)]
        letters = self.in_flight
        ticks = 1 + min([raft.idle_ticks for raft in members])
        if letters:
            first = min([letter.due for letter in letters])
            ticks = min(ticks, max(1, -((self.now - first) // TICK)))
        self.now += ticks * TICK
        for raft in members:
            raft.skip(ticks - 1)
        due = [letter for letter in letters if letter.due <= self.now]
        for letter in sorted(due, key=lambda letter: letter.due):
            self.arrive(letter)
        for raft in members:
            if raft.idle_ticks:
                raft.skip(1)
            else:
                raft.tick()
                self.work(raft.member)


def outage(options: Options, seed: int, *, equal: bool = False, limit: int = LIMIT) -> Outage:
    """Crash the leader of five members and return how long they were without one.

    With ``equal`` logs everybody can win.  After ``limit`` milliseconds the trial is given up.
    """
    random = Random(f"{seed}/outage")
    cluster = crashed(options, seed, random, equal=equal)
    since = random.randrange(options.heartbeat_ticks)
    start, followers = cluster.now, list(cluster.rafts.values())
    before = followers[0].term
    while True:
        millis = (cluster.now - start) // TICK - since
        leading = [raft for raft in followers if raft.role is Role.LEADER]
        if leading or millis >= limit:
            term = max(raft.term for raft in leading or followers)
            return Outage(min(millis, limit), term - before, bool(leading))
        cluster.leap()


def crashed(options: Options, seed: int, random: Random, *, equal: bool = False) -> LeapingCluster:
    """Return a cluster at the moment at which its leader has sent its last heartbeat."""
    lengths = [1, 1, 1, 1] if equal else random.sample((1, 2, 3, 4), 4)
    logs = [[1] * length for length in (max(lengths), *lengths)]
    cluster = LeapingCluster(
        MEMBERS,
        seed=seed,
        options=options,
        consensus=Patient,
        logs=dict(zip(MEMBERS, logs, strict=True)),
        latency=LATENCY,
        trace=False,
    )
    leader = MEMBERS[0]
    cluster.timeout(leader)
    cluster.deliver()  # its requests
    cluster.deliver()  # the votes: it leads, and says so to everybody
    # Between a heartbeat and the next, a leader that gets no proposals does nothing that a follower
    # would notice: it may as well crash at once, and the outage be counted from later on.
    cluster.crash(leader)
    return cluster


def outages(
    options: Options, trials: int = 1_000, *, equal: bool = False, limit: int = LIMIT
) -> list[Outage]:
    """Return ``trials`` outages, of seeds 0, 1, 2 …; see :func:`outage`."""
    return [outage(options, seed, equal=equal, limit=limit) for seed in range(trials)]


def middle(measured: Sequence[Outage]) -> Outage:
    """Return the trial that half of the others do not outlast: the lower median."""
    _some(measured)
    in_order = sorted(measured, key=lambda trial: (not trial.elected, trial.millis))
    return in_order[(len(in_order) - 1) // 2]


def failed_first(measured: Sequence[Outage]) -> float:
    """Return the share of trials in which the first election elected nobody."""
    _some(measured)
    failed = [trial for trial in measured if trial.elections > 1 or not trial.elected]
    return len(failed) / len(measured)


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def plot_outages(measured: Mapping[Range, Sequence[Outage]]) -> Figure:
    """Draw for each range which share of its trials had a leader by when (Raft Figure 16)."""
    _some(measured)
    figure, axes = _figure(4.0)
    for (span, trials), (colour, style) in zip(
        measured.items(), LINES * len(measured), strict=False
    ):
        times = sorted(trial.millis for trial in trials if trial.elected)
        shares = [(n + 1) / len(trials) for n in range(len(times))]
        label = f"{_range(span)} ms ({len(trials):,} trials)"
        points = [(time, 0.0) for time in times[:1]] + list(zip(times, shares, strict=True))
        xs, ys = [time for time, _ in points], [share for _, share in points]
        axes.step(xs, ys, where="post", color=colour, ls=style, label=label)
    known = [trial.millis for trials in measured.values() for trial in trials]
    _log_axis(axes, min(known), max(known))
    axes.set(xlabel="time without a leader (ms, logarithmic)", ylabel="share of trials")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(loc="outside right center", fontsize="small", title="time-outs drawn from")
    halves = {span: middle(trials) for span, trials in measured.items()}
    in_order = sorted(measured, key=lambda span: _rank(halves[span], measured[span]))
    best, worst = in_order[0], in_order[-1]
    return titled(
        figure,
        f"Half of the outages end {_took(halves[best])} ({_range(best)}), "
        f"{_took(halves[worst])} ({_range(worst)})",
    )


def plot_failed(measured: Mapping[Range, Sequence[Outage]]) -> Figure:
    """Draw for each range in which share of its trials the first election elected nobody."""
    _some(measured)
    figure, axes = _figure(3.0)
    shares = [failed_first(trials) for trials in measured.values()]
    bars = axes.bar(range(len(shares)), shares, color=BLUE, width=0.6)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=2)
    axes.set_xticks(range(len(shares)), [_range(span) for span in measured])
    axes.set(xlabel="time-outs drawn from (ms)", ylabel="first election failed")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(0, 1.15)
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
    _some(terms)
    figure, axes = _figure(3.0)
    axes.axvspan(*cut, facecolor="none", edgecolor=GREY, hatch="//", lw=0)
    styles = ((RED, "--"), (BLUE, "-")) * len(terms)
    for (label, values), (colour, style) in zip(terms.items(), styles, strict=False):
        times = [step * n for n in range(len(values))]
        axes.step(times, values, where="post", color=colour, ls=style, lw=2, label=label)
    axes.set(xlabel="virtual time (ms); hatched: cut off", ylabel="its term")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="upper left")
    ends = ", ".join(
        f"{label}: term {values[min(cut[1] // step, len(values) - 1)]}"
        for label, values in terms.items()
    )
    return titled(figure, f"After {cut[1] - cut[0]:,} ms of being cut off, {ends}")


def _some(data: Sequence[object] | Mapping[Range, object] | Mapping[str, object]) -> None:
    if not data:
        raise BadInput("there is nothing to draw: nothing was measured")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def _log_axis(axes: Axes, shortest: int, longest: int) -> None:
    """Mark 20, 50, 100, 200 … milliseconds, as far as it takes."""
    marks = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
    needed = [mark for mark in marks if shortest / 2 < mark < longest]
    axes.set_xscale("log")
    axes.set_xticks(needed, [f"{mark:,}" for mark in needed])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)


def _range(span: Range) -> str:
    return f"{span[0]} to {span[1]}"


def _rank(half: Outage, trials: Sequence[Outage]) -> tuple[bool, int, float]:
    """Return what makes one range better than another: where half was, then who was given up."""
    return not half.elected, half.millis, sum(not t.elected for t in trials) / len(trials)


def _took(trial: Outage) -> str:
    return f"{'' if trial.elected else 'not '}within {trial.millis:,} ms"
