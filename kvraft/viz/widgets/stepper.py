"""Moving through a recorded history: a slider, play, step and back, and jumps to what matters.

The pictures are views (:mod:`kvraft.viz.panels`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import ipywidgets as widgets

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import Flushed, RoleChanged, SegmentDropped, Trace, TraceStep
from kvraft.viz.panels import cluster_view, disk_view, log_view
from kvraft.viz.shown import svg_image
from kvraft.viz.trace import MomentView, TraceHistory, interesting, story_line, summary
from kvraft.viz.widgets.slider import Slider, button, line

Jump = Callable[[TraceStep], bool]

JUMPS: dict[str, Jump] = {
    "next leader": lambda step: isinstance(step.event, RoleChanged) and step.event.role == "leader",
    "next flush": lambda step: isinstance(step.event, Flushed),
    "next truncation": lambda step: isinstance(step.event, SegmentDropped),
}
"""The buttons that jump: what each is called, and at which steps it stops."""

PLAY_MILLIS = 400


class Stepper(Slider):
    """A widget that shows ``trace`` at one of its ``stops``, step numbers in rising order.

    Without ``stops`` it stops at what :func:`~kvraft.viz.trace.interesting` finds, and always at
    the first and the last step.  ``views`` are drawn below each other, ``jumps`` are its buttons,
    and ``says`` tells a moment in words.
    """

    def __init__(
        self,
        trace: Trace,
        *,
        views: Sequence[MomentView] = (cluster_view, log_view, disk_view),
        stops: Sequence[int] | None = None,
        jumps: Mapping[str, Jump] = JUMPS,
        says: MomentView = summary,
    ) -> None:
        if not len(trace):
            raise BadInput("there is nothing to step through: the trace is empty")
        chosen = interesting(trace) if stops is None else stops
        self.stops = sorted({0, *chosen, len(trace) - 1})
        for stop in self.stops:
            if not 0 <= stop < len(trace):
                raise BadInput(f"the trace has steps 0 to {len(trace) - 1}, not {stop}")
        self._history = TraceHistory(trace)
        self._views = tuple(views)
        self._jumps = dict(jumps)
        self._says = says
        last = len(self.stops) - 1
        slider = widgets.IntSlider(0, 0, last, description="stop", readout=False)
        super().__init__(slider, self._controls(slider, last))

    # ── what a program may do ───────────────────────────────────────────────────────────────────

    @property
    def step(self) -> int:
        """The step that is shown: its number in the trace."""
        return self.stops[int(self.slider.value)]

    def go(self, position: int) -> None:
        """Show the stop at ``position``; positions beyond the ends mean the ends."""
        self.slider.value = min(max(position, 0), len(self.stops) - 1)

    def words(self) -> str:
        """Return what happened in the step that is shown."""
        return story_line(self._history.trace, self.step)

    def svg(self) -> str:
        """Return the pictures of the step that is shown, one SVG a view."""
        return "".join(view(self._history, self.step) for view in self._views)

    def html(self) -> str:
        """Return what is shown: the words, which stop it is, and the pictures."""
        count = f"stop {self.slider.value + 1} of {len(self.stops)}"
        return line(self.words(), count) + self.svg()

    def picture(self) -> str:
        """Return the first of the pictures."""
        return svg_image(self._views[0](self._history, self.step))

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _controls(self, slider: widgets.IntSlider, last: int) -> widgets.HBox:
        self.play = widgets.Play(value=0, min=0, max=last, interval=PLAY_MILLIS)
        self._link = widgets.jslink((self.play, "value"), (slider, "value"))
        self.back = button("back", "one stop back", lambda: self.go(slider.value - 1))
        self.forward = button("step", "one stop on", lambda: self.go(slider.value + 1))
        self.jumps = {
            name: button(name, f"go on to the {name}", partial(self._jump, name))
            for name in self._jumps
        }
        return widgets.HBox([self.play, self.back, self.forward, *self.jumps.values()])

    def _jump(self, name: str) -> None:
        """Go to the first stop at or behind the next step that the jump is looking for."""
        trace, wanted = self._history.trace, self._jumps[name]
        for number in range(self.step + 1, len(trace)):
            if wanted(trace[number]):
                self.go(next(n for n, stop in enumerate(self.stops) if stop >= number))
                return

    def __repr__(self) -> str:
        trace = self._history.trace
        return (
            f"Stepper: {counted(len(trace), 'step')}, "
            f"{counted(len(self.stops), 'stop')}; run this cell to move "
            f"through them. At the end: {self._says(self._history, len(trace) - 1)}"
        )
