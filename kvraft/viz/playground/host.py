"""Python's side of the page: it answers the worker in JSON, and never with a traceback.

A message has one field::

    {"open": "#run=…"}     begin with the run in this part of the address; "" for a new one
    {"custom": …}          what the sandbox's module sent with model.send
    {"link": true}         the link to the run is wanted

An answer has any of these::

    fields      all fields of the sandbox that shows a run, by name
    changes     those that changed
    link        the link to the run
    says        a sentence for the reader
"""

from __future__ import annotations

import json
from typing import Any

from kvraft.errors import BadInput, KvraftError
from kvraft.sim import Run
from kvraft.viz.playground.link import link_of, text_of
from kvraft.viz.playground.stage import Stage

FROM_LINK = "the run in this link"


class Host:
    """A sandbox in a page."""

    def __init__(self) -> None:
        self._stage = Stage()

    @property
    def run(self) -> Run:
        """The run that the page shows."""
        return self._stage.run

    def answer(self, message: str) -> str:
        """Return the answer to ``message``; both are JSON."""
        try:
            answer = self._answer(**json.loads(message))
        except KvraftError as error:
            answer = {"says": f"{error}."}
        except Exception as error:  # the page must not die of what a click met
            answer = {"says": f"A bug in kvraft: {type(error).__name__}: {error}."}
        return json.dumps(answer)

    def _answer(
        self, open: str | None = None, custom: object = None, link: bool = False
    ) -> dict[str, Any]:
        if open is not None:
            return self._open(open)
        if link:
            return {"link": link_of(self.run.to_text())}
        before = self._stage.fields()
        self._stage.handle(custom)
        after = self._stage.fields()
        changed = {name: value for name, value in after.items() if value != before[name]}
        return {"changes": changed, "says": ""}

    def _open(self, address: str) -> dict[str, Any]:
        """Show the run in ``address``; if that cannot be, say why and show a new one."""
        says = ""
        run = None
        if address:
            try:
                run = Run.parse(text_of(address), FROM_LINK)
                says = run.difference and f"Another version of kvraft: {run.difference}."
            except BadInput as error:
                says = f"{error}. Here is a new run."
        self._stage = Stage(run)
        return {"fields": self._stage.fields(), "says": says}
