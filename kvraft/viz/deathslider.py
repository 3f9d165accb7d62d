"""A slider over the step at which a leader dies: the logs when it dies, and when all is settled.

The same means as in ``stepper.py``: SVG in an ordinary HTML widget, moved by a slider that the
keyboard reaches (Tab, then the arrows); without a kernel, a still picture and a line of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from kvraft.check.torn import Death, End
from kvraft.errors import BadInput
from kvraft.viz.state import History
from kvraft.viz.transactions import lanes_view


class DeathSlider:
    """Shows one of ``deaths``, at first the one after ``start`` steps, else one that was undone."""

    def __init__(self, deaths: Sequence[Death], start: int | None = None) -> None:
        if not deaths:
            raise BadInput("there is nothing to show: no leader was killed")
        self._deaths = list(deaths)
        steps = [death.step for death in self._deaths]
        undone = [death.step for death in self._deaths if death.end is End.UNDONE]
        chosen = start if start is not None else (undone or steps)[0]
        if chosen not in steps:
            raise BadInput(f"no leader was killed after {chosen} steps")
        layout = widgets.Layout(width="90%")
        self.slider = widgets.SelectionSlider(
            options=steps, value=chosen, description="dies after", layout=layout
        )
        self.slider.observe(lambda change: self._draw(), names="value")
        self._picture = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._box = widgets.VBox([self.slider, self._picture])
        self._draw()

    @property
    def death(self) -> Death:
        """The life that is shown."""
        return next(death for death in self._deaths if death.step == self.slider.value)

    def words(self) -> str:
        """Return what is shown, in a line."""
        return f"{self.death.leader} dies after {self.death}"

    def svg(self) -> tuple[str, str]:
        """Return the logs at the death, and at the end."""
        history = History(self.death.world.trace)
        last = len(history.trace) - 1
        return lanes_view(history, self.death.moment), lanes_view(history, last)

    def _draw(self) -> None:
        then, now = self.svg()
        self._picture.value = (
            f'<div aria-live="polite"><b>{escape(self.words())}</b></div>'
            f"<div>when it dies:</div>{then}<div>in the end:</div>{now}"
        )

    def __repr__(self) -> str:
        return f"DeathSlider: {len(self._deaths)} deaths; run this cell to move it. {self.words()}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel a still picture and words."""
        bundle = dict(self._box._repr_mimebundle_(**options))
        bundle["text/plain"] = repr(self)
        bundle["image/svg+xml"] = self.svg()[1]
        return bundle
