"""A slider over the step at which a leader dies: what became of the write that it was sent."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from kvraft.display import counted
from kvraft.events import MemberCrashed
from kvraft.sim import WriteOutage
from kvraft.viz.sandbox import Film, still
from kvraft.viz.widgets.slider import Slider


class OutageSlider(Slider):
    """Shows the write whose leader died after as many steps as the slider says."""

    def __init__(self, outages: Sequence[WriteOutage], start: int = 0) -> None:
        self._outages = {each.step: each for each in outages}
        low, high = min(self._outages), max(self._outages)
        super().__init__(widgets.IntSlider(start, low, high, description="steps"))

    @property
    def shown(self) -> WriteOutage:
        """The outage that is shown."""
        return self._outages[int(self.slider.value)]

    def words(self) -> str:
        """Return what is shown, in a line."""
        each = self.shown
        times = {0: "not applied", 1: "applied once"}
        done = times.get(each.effects, f"applied {each.effects} times")
        return (
            f"the leader dies {counted(each.step, 'step')} after the write was sent, when "
            f"{counted(each.logs, 'log')} have it and its client knows it to be {each.stage}: "
            f"after {counted(each.attempts, 'sending')} the client reports {each.reported}, "
            f"and the write is {done}"
        )

    def picture(self) -> str:
        """Return who sent what to whom up to the death of the leader, and the logs at that time."""
        each = self.shown
        died = next(
            n
            for n in range(each.first, len(each.trace))
            if isinstance(each.trace[n].event, MemberCrashed)
        )
        film = Film(each.trace)
        step, says = film.settled(died), f"{each.trace[died].who} dies"
        drawn = still(film, "clients", "logs", step=step, since=each.first, says=says)
        return drawn._repr_html_()

    def __repr__(self) -> str:
        return f"OutageSlider: run this cell to move it. Shown: {self.words()}"
