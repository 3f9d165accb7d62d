"""The sandbox as a widget: a run that one can touch, in a notebook.

With anywidget (the extra ``lab``) members, links and messages can be clicked themselves.  Without
it the same panels stand above buttons and a list (:mod:`kvraft.viz.widgets.plain`).

No state of the widget is stored: a page asks for everything when it is opened.  Where there is no
kernel pictures and words remain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvraft import inputs
from kvraft.check.missions import Mission
from kvraft.events import Trace
from kvraft.sim import Run
from kvraft.viz.sandbox import USUAL, Session, css, frame, module, page, picture
from kvraft.viz.widgets.plain import PlainControls

try:
    import anywidget
except ImportError:  # the extra is missing: buttons do
    anywidget = None  # type: ignore[assignment]

_RENDER = """
export default {
  render({ model, el }) {
    el.innerHTML = %s;
    const seat = attach(el, (message) => model.send(message));
    const take = (answer) => seat.apply(answer);
    model.on("msg:custom", take);
    seat.hello();
    return () => { seat.stop(); model.off("msg:custom", take); };
  },
};
"""


class Sandbox:
    """A sandbox of ``what``: a run, a recorded trace, or a number of members with a ``seed``.

    ``mission`` is one by its name, or its file, and has its own run (:mod:`kvraft.check.missions`).
    ``panels`` are those to be shown, by name; ``step`` is the one that is shown first, by default
    the last of a run, and of a trace the one in which a property broke, or the first.  Raises
    :class:`~kvraft.errors.BadInput` for anything else.
    """

    def __init__(
        self,
        what: Run | Trace | int | None = None,
        *,
        seed: int = 0,
        panels: Sequence[str] = USUAL,
        mission: Mission | str | Path | None = None,
        step: int | None = None,
    ) -> None:
        self.session = Session(what, seed=seed, panels=panels, mission=mission)
        if step is not None:
            self.session.branch.go(inputs.whole_number(step, "the step to show", minimum=0))
        self._widget = self._live() if anywidget is not None else PlainControls(self.session).box

    @property
    def run(self) -> Run | None:
        """The run of the branch that is shown; ``None`` in a recording."""
        return self.session.branch.run

    @property
    def trace(self) -> Trace:
        """The trace of the branch that is shown."""
        return self.session.branch.film.trace

    @property
    def widget(self) -> Any:
        """The widget itself, to be put among others."""
        return self._widget

    def save(self, path: str | Path, *, captions: Mapping[int, str] | None = None) -> None:
        """Write the branch that is shown as one page that plays it, without kernel and network.

        ``captions`` are words for some steps, by number.
        """
        drawn = page(self.session.branch.film, panels=self.session.panels, captions=captions)
        Path(path).write_text(drawn, encoding="utf-8")

    def _live(self) -> Any:
        esm = module() + _RENDER % _quoted(frame(self.session.panels))
        live = type("SandboxWidget", (anywidget.AnyWidget,), {"_esm": esm, "_css": css()})()
        live.on_msg(lambda widget, message, buffers: live.send(self.session.take(message)))
        return live

    def __repr__(self) -> str:
        return f"Sandbox: {self.session}; run this cell to touch it"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget, and for where there is no kernel pictures and words."""
        found = self._widget._repr_mimebundle_(**options)
        bundle = dict(found[0] if isinstance(found, tuple) else found)
        bundle["text/plain"] = repr(self)
        bundle["text/html"] = picture(self.session)._repr_html_()
        return bundle


def _quoted(html: str) -> str:
    """Return text as a string of JavaScript."""
    return json.dumps(html).replace("</", "<\\/")
