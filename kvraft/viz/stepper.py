"""Moving through a recorded history: a slider, play, step and back, and jumps to what matters.

The picture is an SVG made by the pure functions of ``views.py``, held in an ordinary HTML widget.
There is no output widget, no callback of the browser's and no saved widget state, so the stored
notebook is the same every time; what it shows without a kernel is the picture of the first stop
and a line of text.

Everything can be reached by keyboard: Tab to a control, Enter or Space to press it, arrows on the
slider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets

from kvraft.errors import BadInput
from kvraft.events import Flushed, RoleChanged, SegmentDropped, Step, Trace
from kvraft.viz.state import History
from kvraft.viz.views import View, cluster_view, disk_view, log_view, summary
from kvraft.viz.words import interesting, story_line

Jump = Callable[[Step], bool]

JUMPS: dict[str, Jump] = {
    "next leader": lambda step: isinstance(step.event, RoleChanged) and step.event.role == "leader",
    "next flush": lambda step: isinstance(step.event, Flushed),
    "next cut": lambda step: isinstance(step.event, SegmentDropped),
}
"""The buttons that jump: what each is called, and at which steps it stops."""

PLAY_MILLIS = 400


class Stepper:
    """A widget that shows ``trace`` at one of its ``stops``, step numbers in rising order.

    Without ``stops`` it stops at what :func:`~kvraft.viz.words.interesting` finds, and always at
    the first and the last step.  ``views`` are drawn below each other, ``jumps`` are its buttons,
    and ``says`` tells a moment in words.
    """

    def __init__(
        self,
        trace: Trace,
        *,
        views: Sequence[View] = (cluster_view, log_view, disk_view),
        stops: Sequence[int] | None = None,
        jumps: Mapping[str, Jump] = JUMPS,
        says: View = summary,
    ) -> None:
        if not len(trace):
            raise BadInput("there is nothing to step through: the trace is empty")
        chosen = interesting(trace) if stops is None else stops
        self.stops = sorted({0, *chosen, len(trace) - 1})
        for stop in self.stops:
            if not 0 <= stop < len(trace):
                raise BadInput(f"the trace has steps 0 to {len(trace) - 1}, not {stop}")
        self._history = History(trace)
        self._views = tuple(views)
        self._jumps = dict(jumps)
        self._says = says
        self._picture = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._build()
        self._draw()

    # ── what a program may do ───────────────────────────────────────────────────────────────────

    @property
    def step(self) -> int:
        """The step that is shown: its number in the trace."""
        return self.stops[int(self.slider.value)]

    def go(self, position: int) -> None:
        """Show the stop at ``position``; positions beyond the ends mean the ends."""
        self.slider.value = min(max(position, 0), len(self.stops) - 1)

    def svg(self) -> str:
        """Return the pictures of the step that is shown, one SVG a view."""
        return "".join(view(self._history, self.step) for view in self._views)

    @property
    def widget(self) -> widgets.Widget:
        """The widget itself, to be put among others."""
        return self._box

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _build(self) -> None:
        last = len(self.stops) - 1
        self.slider = widgets.IntSlider(
            0, 0, last, description="stop", readout=False, layout=widgets.Layout(width="90%")
        )
        self.slider.observe(lambda change: self._draw(), names="value")
        self.play = widgets.Play(value=0, min=0, max=last, interval=PLAY_MILLIS)
        self._link = widgets.jslink((self.play, "value"), (self.slider, "value"))
        self.back = self._button("back", "one stop back", lambda: self.go(self.slider.value - 1))
        self.forward = self._button("step", "one stop on", lambda: self.go(self.slider.value + 1))
        self.jumps = {
            name: self._button(name, f"go on to the {name}", partial(self._jump, name))
            for name in self._jumps
        }
        rows = widgets.HBox([self.play, self.back, self.forward, *self.jumps.values()])
        self._box = widgets.VBox([rows, self.slider, self._picture])

    def _button(self, name: str, says: str, action: Callable[[], None]) -> widgets.Button:
        layout = widgets.Layout(width="auto")
        button = widgets.Button(description=name, tooltip=says, layout=layout)
        button.on_click(lambda _: action())
        return button

    def _jump(self, name: str) -> None:
        """Go to the first stop at or behind the next step that the jump is looking for."""
        trace, wanted = self._history.trace, self._jumps[name]
        for number in range(self.step + 1, len(trace)):
            if wanted(trace[number]):
                self.go(next(n for n, stop in enumerate(self.stops) if stop >= number))
                return

    def _draw(self) -> None:
        line = story_line(self._history.trace, self.step)
        count = f"stop {self.slider.value + 1} of {len(self.stops)}"
        self._picture.value = (
            f'<div aria-live="polite"><b>{escape(line)}</b> <small>({count})</small></div>'
            + self.svg()
        )

    def __repr__(self) -> str:
        trace = self._history.trace
        return (
            f"Stepper: {len(trace):,} steps, {len(self.stops):,} stops; run this cell to move "
            f"through them. At the end: {self._says(self._history, len(trace) - 1)}"
        )

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel a still picture and words."""
        bundle = dict(self._box._repr_mimebundle_(**options))
        bundle["text/plain"] = repr(self)
        bundle["image/svg+xml"] = self._views[0](self._history, self.step)
        return bundle
