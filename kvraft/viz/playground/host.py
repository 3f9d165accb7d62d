"""Python's side of the page: it answers the worker in JSON, and never with a traceback.

A message has one field::

    {"open": "#run=…"}     begin with the run in this part of the address; "" for a new one
    {"text": "…"}          begin with the run in this run file, of a mission if one is shown
    {"act": {…}}           what the sandbox's module sent, for the sitting
    {"link": true}         the link to the run is wanted
    {"file": true}         the run is wanted as a file

An answer has any of these::

    frame       the HTML of a sitting that begins, with slots that are still empty
    answer      what changed in the slots, for the sandbox's module
    link        the link to the run that is shown
    file        the text of its run file
    says        a sentence for the reader
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from kvraft.check.missions import find_mission
from kvraft.errors import BadInput, KvraftError
from kvraft.sim import Run
from kvraft.viz.playground.link import LONGEST_TEXT, link_of, mission_of, text_of
from kvraft.viz.sandbox import Session, frame

FROM_LINK = "the run in this link"
FROM_FILE = "the run in this file"
MEMBERS = 5
"""How many members a new run has: enough that a minority can be cut off and still quarrel."""


class Host:
    """A sandbox in a page."""

    def __init__(self) -> None:
        self._seed = 0
        self._session = Session(self._new_run(), listing=True)

    @property
    def run(self) -> Run:
        """The run that the page shows."""
        run = self._session.branch.run
        assert run is not None  # a page opens runs, never recordings
        return run

    def answer(self, message: str) -> str:
        """Return the answer to ``message``; both are JSON."""
        try:
            answer = self._answer(**json.loads(message))
        except KvraftError as error:
            answer = {"says": f"{error}."}
        except Exception as error:  # the page must not die of what a click met
            answer = {"says": f"A bug in kvraft: {type(error).__name__}: {error}."}
        return json.dumps(answer)

    @property
    def _mission(self) -> str:
        """The name of the mission that the page shows, ``""`` for none."""
        return self._session.judge.mission.name if self._session.judge else ""

    def _answer(
        self,
        open: str | None = None,
        act: object = None,
        link: bool = False,
        file: bool = False,
        text: str | None = None,
    ) -> dict[str, Any]:
        if open is not None:
            return self._open(open)
        if text is not None:
            return self._open_file(text)
        if link:
            return {"link": link_of(self.run.to_text(), self._mission)}
        if file:
            return {"file": self.run.to_text()}
        return {"answer": self._session.take(act)}

    def _open(self, address: str) -> dict[str, Any]:
        """Show the run in ``address``; if that cannot be, say why and show a new one."""
        mission, says = None, ""
        if address:
            try:
                name = mission_of(address)
                mission = find_mission(name) if name else None
                play = mission.replay if mission else Run.parse
                run = play(text_of(address), FROM_LINK)
                says = run.difference and f"Another version of kvraft: {run.difference}."
            except BadInput as error:
                run, mission, says = self._new_run(), None, f"{error}. Here is a new run."
        else:
            run = self._new_run()
        self._session = Session(run, mission=mission, listing=True)
        return {"frame": frame(self._session.panels), "says": says}

    def _open_file(self, text: str) -> dict[str, Any]:
        """Show the run of a run file; if that cannot be, what is shown stays."""
        if len(text) > LONGEST_TEXT:
            raise BadInput(f"a run file has at most {LONGEST_TEXT:,} characters, not {len(text):,}")
        mission = self._session.judge.mission if self._session.judge else None
        run: Run | None = None
        if mission is not None:
            with suppress(BadInput):  # it need not be a run of the mission that is shown
                run = mission.replay(text, FROM_FILE)
        if run is None:
            run, mission = Run.parse(text, FROM_FILE), None
        self._session = Session(run, mission=mission, listing=True)
        says = run.difference and f"Another version of kvraft: {run.difference}."
        return {"frame": frame(self._session.panels), "says": says}

    def _new_run(self) -> Run:
        """Return a run in which a leader was just elected, each time another one."""
        self._seed += 1
        run = Run(MEMBERS, seed=self._seed)
        run.run_until(lambda: run.world.leader() is not None)
        return run
