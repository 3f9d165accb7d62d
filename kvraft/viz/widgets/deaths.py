"""A slider over the step at which a leader dies: the logs when it dies, and when all is settled."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from kvraft.check.storage import CopyEnd, LeaderDeath
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.viz.sandbox import Film, still
from kvraft.viz.widgets.slider import Slider


class DeathSlider(Slider):
    """Shows one of ``deaths``: at first the one after ``start`` steps, else a discarded one."""

    def __init__(self, deaths: Sequence[LeaderDeath], start: int | None = None) -> None:
        if not deaths:
            raise BadInput("there is nothing to show: no leader was killed")
        self._deaths = list(deaths)
        steps = [death.step for death in self._deaths]
        discarded = [death.step for death in self._deaths if death.end is CopyEnd.DISCARDED]
        chosen = start if start is not None else (discarded or steps)[0]
        if chosen not in steps:
            raise BadInput(f"no leader was killed after {counted(chosen, 'step')}")
        super().__init__(
            widgets.SelectionSlider(options=steps, value=chosen, description="dies after")
        )

    @property
    def death(self) -> LeaderDeath:
        """The life that is shown."""
        return next(death for death in self._deaths if death.step == self.slider.value)

    def words(self) -> str:
        """Return what is shown, in a line."""
        return f"{self.death.leader} dies after {self.death}"

    def picture(self) -> str:
        """Return the transactions in the logs when the leader dies, and those in the end."""
        film = Film(self.death.world.trace)
        then = still(film, "transactions", step=self.death.moment, says="When it dies")
        end = still(film, "transactions", says="In the end")
        return then.next_to(end)._repr_html_()

    def __repr__(self) -> str:
        return f"DeathSlider: {len(self._deaths)} deaths; run this cell to move it. {self.words()}"
