"""Clients as pictures: what a client can know of its writes, and clocks that differ.

Functions of pauses, outages and counts (``sim/outages.py``) that return matplotlib figures titled
by what they say, and a slider through the outages of one write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kvraft.client import MAX_RETRY_MILLIS, RETRY_MILLIS
from kvraft.events import Applied, Crashed, Repeated, TicketMoved
from kvraft.sim.outages import Outage
from kvraft.transaction import Stage
from kvraft.viz.plots import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SKY
from kvraft.viz.spacetime import spacetime

_ENDS = {Stage.APPLIED: "✓", Stage.ABORTED: "✗", Stage.UNKNOWN: "?"}
_SAID = {Stage.APPLIED: GREEN, Stage.ABORTED: RED, Stage.UNKNOWN: ORANGE}


def plot_pauses(pauses: Sequence[int]) -> Figure:
    """Draw the pause before each sending of a write that nobody answers, and its bounds."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    number = range(1, len(pauses) + 1)
    least = [min(RETRY_MILLIS * 2**n, MAX_RETRY_MILLIS) for n in range(len(pauses))]
    axes.fill_between(
        number, least, [1.5 * low for low in least], color=SKY, alpha=0.5, label="allowed"
    )
    axes.plot(number, pauses, "o-", color=BLACK, label="paused")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="sending", ylabel="pause behind it, ms", ylim=(0, None))
    axes.legend(loc="lower right")
    figure.suptitle(
        f"Pauses double from {min(pauses)} ms and stay below {MAX_RETRY_MILLIS * 3 // 2} ms"
    )
    return figure


def plot_outages(runs: Mapping[str, Sequence[Outage]]) -> Figure:
    """Draw what clients said and what was carried out, by the step at which the leader died."""
    figure = Figure(figsize=(8, 1.6 + 1.1 * len(runs)), layout="constrained")
    axes = figure.subplots()
    names: list[str] = []
    for lane, (name, outages) in enumerate(runs.items()):
        names += [f"{name}: the client says", "carried out, times"]
        for at, each in enumerate(outages):
            signs = (_ENDS[each.says], str(each.effects))
            right = GREEN if each.effects == 1 else GREY if each.effects == 0 else RED
            for row, (sign, colour) in enumerate(
                zip(signs, (_SAID[each.says], right), strict=True)
            ):
                y = 2 * lane + row
                axes.barh(y, 0.92, left=at - 0.46, height=0.8, color=colour, edgecolor=BLACK)
                axes.text(at, y, sign, ha="center", va="center", fontweight="bold")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-0.6, max(len(outages) for outages in runs.values()) - 0.4)
    steps = [each.step for each in next(iter(runs.values()))]
    axes.set_xticks(range(len(steps)), [str(step) for step in steps])
    axes.set_xlabel("steps after which the leader died")
    handles = [
        Patch(facecolor=_SAID[s], edgecolor=BLACK, label=f"{_ENDS[s]} {s}")
        for s in _SAID
        if any(each.says is s for outages in runs.values() for each in outages)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.suptitle(_says(runs))
    return figure


def _says(runs: Mapping[str, Sequence[Outage]]) -> str:
    every = [each for outages in runs.values() for each in outages]
    unknown = [each for each in every if each.says is Stage.UNKNOWN]
    twice = sum(each.effects > 1 for each in every)
    if twice:
        return f"{twice} of {len(every)} writes were carried out twice"
    if not unknown:
        return f"All {len(every)} writes are carried out, each exactly once"
    done = sum(each.effects == 1 for each in unknown)
    return f"Of {len(unknown)} writes that ended UNKNOWN, {done} were carried out and the rest not"


def plot_lost_updates(counts: Mapping[str, Mapping[int, int]], of: int) -> Figure:
    """Draw how many of ``of`` acknowledged writes were lost, by how far one clock is ahead."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for (name, lost), style, colour in zip(
        counts.items(), ("o-", "s--", "^:"), (RED, BLUE, BLACK), strict=False
    ):
        axes.plot(list(lost), list(lost.values()), style, color=colour, label=name)
    axes.set(
        xlabel="one client's clock is ahead by, ms",
        ylabel=f"acknowledged writes lost, of {of}",
        ylim=(-0.5, None),
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    worst = {name: max(lost.values()) for name, lost in counts.items()}
    figure.suptitle("; ".join(f"{name}: up to {most} lost" for name, most in worst.items()))
    return figure


# ── a slider ────────────────────────────────────────────────────────────────────────────────────


class OutageSlider:
    """Shows the write whose leader died after as many steps as the slider says.

    The same means as in ``stepper.py``: an SVG in an HTML widget, moved by a slider that the
    keyboard reaches; without a kernel, a still picture and a line of text.
    """

    def __init__(self, outages: Sequence[Outage], start: int = 0) -> None:
        self._outages = {each.step: each for each in outages}
        layout = widgets.Layout(width="90%")
        low, high = min(self._outages), max(self._outages)
        self.slider = widgets.IntSlider(start, low, high, description="steps", layout=layout)
        self.slider.observe(lambda change: self._draw(), names="value")
        self._picture = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._box = widgets.VBox([self.slider, self._picture])
        self._draw()

    @property
    def shown(self) -> Outage:
        """The outage that is shown."""
        return self._outages[int(self.slider.value)]

    def words(self) -> str:
        """Return what is shown, in a line."""
        each = self.shown
        times = {0: "not carried out", 1: "carried out once"}
        done = times.get(each.effects, f"carried out {each.effects} times")
        return (
            f"the leader dies {each.step} steps after the write was sent, when its client knows it "
            f"to be {each.stage}: after {each.attempts} sendings the client says {each.says}, "
            f"and the write is {done}"
        )

    def svg(self) -> str:
        """Return a space-time diagram from the sending to the death of the leader."""
        each = self.shown
        died = next(
            n
            for n in range(each.first, len(each.trace))
            if isinstance(each.trace[n].event, Crashed)
        )
        return spacetime(each.trace, each.first, min(died + 3, len(each.trace) - 1))

    def _draw(self) -> None:
        line = f'<div aria-live="polite"><b>{escape(self.words())}</b></div>'
        self._picture.value = line + self.svg()

    def __repr__(self) -> str:
        return f"OutageSlider: run this cell to move it. Shown: {self.words()}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel a still picture and words."""
        bundle = dict(self._box._repr_mimebundle_(**options))
        bundle["text/plain"] = repr(self)
        bundle["image/svg+xml"] = self.svg()
        return bundle


def told(outage: Outage) -> list[str]:
    """Return what happened to the write, from its sending on: its ticket and its effects."""
    kinds = (TicketMoved, Applied, Repeated, Crashed)
    lines: list[str] = []
    for at, who, event in outage.trace[outage.first :]:
        if isinstance(event, TicketMoved):
            lines.append(f"{at / 1000:7.1f} ms  {who}: {event.txn} is {event.stage}")
        elif isinstance(event, kinds):
            lines.append(f"{at / 1000:7.1f} ms  {who}: {type(event).__name__.lower()}")
    return lines
