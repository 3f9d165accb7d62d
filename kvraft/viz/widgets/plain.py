"""The sandbox without anywidget: the same panels above buttons and a list of things to choose."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets

from kvraft.check.missions import missions
from kvraft.viz.sandbox import Session, cold
from kvraft.viz.widgets.slider import button

_TIME = {
    "|◀": "go first",
    "◀": "go back",
    "▶": "go on",
    "▶|": "go last",
    "+100 ms": "run 100",
    "next election": "next election",
    "next commit": "next commit",
    "next flush": "next flush",
}


class PlainControls:
    """Buttons for ``session``; ``box`` is the widget."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pictures = widgets.HTML(layout=widgets.Layout(width="100%"))
        self._things = widgets.Dropdown(description="thing", options=[""])
        self._things.observe(lambda change: self._select(change["new"]), names="value")
        self._verbs = widgets.VBox()
        self._busy = False
        time = [button(name, act, partial(self._act, act)) for name, act in _TIME.items()]
        self._missions = widgets.Dropdown(
            description="mission", options=[("", ""), *((str(m), n) for n, m in missions().items())]
        )
        self._missions.observe(lambda change: self._begin(change["new"]), names="value")
        if session.listing:
            found = {"hint": "hint", "give up": "give up", "begin again": "again"}
            time += [button(name, act, partial(self._act, act)) for name, act in found.items()]
        row = widgets.Layout(flex_flow="row wrap")
        parts = [widgets.HBox(time, layout=row), self._pictures, self._things, self._verbs]
        self.box = widgets.VBox([*parts, self._missions] if session.listing else parts)
        self._draw()

    def _act(self, act: str, values: list[str] | None = None) -> None:
        self._session.take({"act": act, "seq": 0, "values": values or []})
        self._draw()

    def _select(self, what: str) -> None:
        if what and not self._busy and what != self._session.selected:
            self._act(what)

    def _begin(self, mission: str) -> None:
        judge = self._session.judge
        if mission and not self._busy and (judge is None or judge.mission.name != mission):
            self._act(f"mission {mission}")

    def _draw(self) -> None:
        self._busy = True
        session = self._session
        slots = session.slots()
        shown = ("title", "notice", *session.panels, "calls")
        self._pictures.value = cold(session.mission() + "".join(slots[name] for name in shown))
        film, step = session.branch.film, session.branch.step
        members = [f"member {name}" for name in film.names]
        flights = [f"message {flight.id}" for flight in film.flights(step)] if len(film) else []
        clients = [f"client {name}" for name in film.clients(step)]
        options = ["", *members, *clients, *flights]
        self._things.options = options
        self._things.value = session.selected if session.selected in options else ""
        known = [name for _, name in self._missions.options]
        current = session.judge.mission.name if session.judge is not None else ""
        self._missions.value = current if current in known else ""
        self._verbs.children = [self._verb(number) for number in range(len(session.offered))]
        self._busy = False

    def _verb(self, number: int) -> widgets.HBox:
        choice = self._session.offered[number]
        fields = zip(choice.fields, choice.texts, strict=True)
        texts = [widgets.Text(text, description=field.name) for field, text in fields]
        press = button(
            choice.label,
            choice.refusal or choice.says,
            lambda: self._act(f"do {number}", [text.value for text in texts]),
        )
        press.disabled = bool(choice.refusal)
        return widgets.HBox([press, *texts, widgets.Label(choice.refusal)])
