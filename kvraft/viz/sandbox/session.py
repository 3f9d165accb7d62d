"""A sitting at the sandbox: what is shown, what a click does, and what is drawn after it.

::

    page ──── {act, seq, values} ───► Session.take ──► a branch moves, a verb acts, a fork begins
         ◄─── {seq, slots, play} ───  Session.answer   only the slots that changed

A page is made of slots, each with the HTML that this room draws; it knows nothing else.  What it
sends is a word from a list and the names of things; anything else is refused in a sentence.

Invariant: nothing that a page sends raises, and each message gets one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kvraft import inputs
from kvraft.check.missions import Judge, Mission, Verdict
from kvraft.display import counted
from kvraft.errors import BadInput, KvraftError
from kvraft.events import Trace
from kvraft.sim import Run
from kvraft.viz.sandbox import controls
from kvraft.viz.sandbox.branches import Branch
from kvraft.viz.sandbox.canvas import cold
from kvraft.viz.sandbox.choices import Choice, choices, next_choices
from kvraft.viz.sandbox.disks import disks_panel
from kvraft.viz.sandbox.film import MOMENTS, Film
from kvraft.viz.sandbox.levels import levels_panel
from kvraft.viz.sandbox.lights import lights_panel
from kvraft.viz.sandbox.logs import logs_panel
from kvraft.viz.sandbox.pins import pins_panel
from kvraft.viz.sandbox.ring import ring_panel
from kvraft.viz.sandbox.space_time import clients_panel, space_time_panel
from kvraft.viz.sandbox.task import goal, opened, task, words
from kvraft.viz.sandbox.timeline import timeline_panel
from kvraft.viz.sandbox.title import conclusion
from kvraft.viz.sandbox.transactions import transactions_panel

Panel = Callable[[Film, int], str]

PANELS: dict[str, Panel] = {
    "ring": ring_panel,
    "logs": logs_panel,
    "disks": disks_panel,
    "space-time": space_time_panel,
    "lights": lights_panel,
    "timeline": timeline_panel,
    "clients": clients_panel,
    "pins": pins_panel,
    "transactions": transactions_panel,
    "levels": levels_panel,
}
"""The panels by name, in the order in which they stand."""
USUAL = ("ring", "logs", "disks", "space-time", "lights", "timeline")
"""Those that are shown if nobody says which: each of the others looks at one thing only."""
SPEEDS = {"slow": (0, 450), "steady": (0, 150), "fast": (10, 120)}
"""How to play: milliseconds of the run a picture, 0 for the next event; and between pictures."""
LONGEST = 400
"""How long what a page sends may be, in letters."""


class Session:
    """A sitting at ``what``: a run, a recorded trace, or a number of members with a ``seed``.

    ``mission`` is one by its name, or its file; it has its own run, unless ``what`` is a run of it
    that goes on.  With ``listing``, missions can be chosen though there is none yet.  ``panels``
    are names from :data:`PANELS`.  Raises :class:`~kvraft.errors.BadInput` for a panel or a mission
    that does not exist.  A run is shown as it is now, a trace
    from its start, or where a property broke.
    """

    def __init__(
        self,
        what: Run | Trace | int | None = None,
        *,
        seed: int = 0,
        panels: Sequence[str] = USUAL,
        mission: Mission | str | Path | None = None,
        listing: bool = False,
    ) -> None:
        for name in panels:
            if name not in PANELS:
                raise BadInput(f"there is no panel {name!r}: {', '.join(PANELS)}")
        self.panels = tuple(panels)
        self.judge = None if mission is None else Judge(opened(mission))
        """Who judges the mission, if there is one."""
        if self.judge is not None and not isinstance(what, Run | None):
            raise BadInput("a mission has its own run: open it without members and traces")
        self.listing = listing or mission is not None
        """Whether missions can be chosen."""
        if what is None and self.judge is not None:
            what = self.judge.mission.begin()
        run = Run(3 if what is None else what, seed=seed) if isinstance(what, int | None) else what
        if not isinstance(run, Run | Trace):
            raise BadInput("a sandbox opens a run, a trace or a number of members")
        self._sent: dict[str, str] = {}
        self._open(run)

    def _open(self, run: Run | Trace) -> None:
        """Begin the sitting at a run."""
        first = Branch.of("recording" if isinstance(run, Trace) else "run", run)
        self.branches = {first.name: first}
        """All branches by name; the first is what was opened."""
        self.branch = first
        """The branch that is shown."""
        self.other: Branch | None = None
        """The branch that stands next to it, at the same time."""
        self.selected = ""
        """What the verbs are offered for, such as ``"member n1"``."""
        self.speed = "steady"
        self.playing = False
        self.notice = ""
        """What could not be done, and why."""
        self.calls: list[str] = []
        """The Python call of each action, oldest first."""
        self.offered: list[Choice] = []
        self.choosing = False
        """Whether the list of missions is open."""

    # ── from the page ───────────────────────────────────────────────────────────────────────────

    def take(self, message: object) -> dict[str, object]:
        """Do what a page asks for, and return the answer; nothing raises."""
        self.notice = ""
        number, act = 0, ""
        try:
            number, act, values = _checked(message)
            word, _, rest = act.partition(" ")
            self._do(word, rest, values)
        except KvraftError as error:
            self.playing = False
            self.notice = str(error)
        return self.answer(number, everything=act == "hello")

    def answer(self, number: int = 0, *, everything: bool = False) -> dict[str, object]:
        """Return the slots that changed since the last answer, for message ``number``."""
        slots = self.slots()
        if everything:
            self._sent = {}
        changed = {name: html for name, html in slots.items() if self._sent.get(name) != html}
        self._sent = slots
        millis = SPEEDS[self.speed][1] if self.playing else 0
        return {"seq": number, "slots": changed, "play": millis}

    def _do(self, word: str, rest: str, values: Sequence[str]) -> None:
        branch = self.branch
        if word != "tick" and word != "hello":
            self.playing = False
        match word:
            case "hello":
                pass
            case "member" | "link" | "message" | "client":
                self._select(word, rest)
            case "go":
                self._go(branch, rest)
            case "at":
                branch.go(_whole(values[0] if values else rest))
            case "run":
                branch.run_for(min(_whole(rest), 10_000))
            case "next" | "previous" if rest in MOMENTS:
                if not branch.jump(rest, back=word == "previous"):
                    raise BadInput(f"there is no {word} {rest} as far as this goes")
            case "play":
                self.playing = rest == "on"
            case "speed" if rest in SPEEDS:
                self.speed = rest
            case "tick":
                self._tick(branch)
            case "hint" | "give" | "again" | "missions" | "mission" if self.listing:
                self._mission(word, rest)
            case "do":
                self._act(_whole(rest), values)
            case "branch" | "compare":
                self._choose(word, rest)
            case _:
                raise BadInput(f"there is nothing called {word!r} to do here")

    def _select(self, kind: str, rest: str) -> None:
        """Select a thing, or nothing if it is selected already."""
        names, film = rest.split(), self.branch.film
        known = {*film.names, *film.clients(self.branch.last)}
        if kind == "message":
            if _whole(rest) not in film.sent:
                raise BadInput(f"there is no message {rest}")
        elif len(names) != (2 if kind == "link" else 1) or not known.issuperset(names):
            raise BadInput(f"there is no {kind} {rest!r} here")
        what = f"{kind} {rest}"
        self.selected = "" if what == self.selected else what

    def _go(self, branch: Branch, where: str) -> None:
        match where:
            case "first":
                branch.go(0)
            case "back":
                branch.back()
            case "on":
                if not branch.forward():
                    raise BadInput("this is the end of the recording")
            case "last":
                branch.go(branch.last)
            case _:
                raise BadInput(f"there is no place called {where!r}")

    def _tick(self, branch: Branch) -> None:
        """Show the next picture, while playing."""
        if self.playing:
            millis = SPEEDS[self.speed][0]
            if millis:
                branch.run_for(millis)
                self.playing = branch.run is not None or not branch.at_end
            else:
                self.playing = branch.forward()

    def _mission(self, word: str, rest: str) -> None:
        """Choose a mission, or go on with the one that there is."""
        if word == "missions":
            self.choosing = not self.choosing
        elif word == "mission":
            self.judge = Judge(opened(rest))
            self._open(self.judge.mission.begin())
        elif self.judge is None:
            raise BadInput("there is no mission yet: choose one")
        elif word == "hint":
            self.judge.hint()
        elif word == "give":
            self.judge.give_up()
        else:
            self.judge = Judge(self.judge.mission)
            self._open(self.judge.mission.begin())

    def verdict(self) -> Verdict | None:
        """Return where the mission stands in the branch that is shown; ``None`` without one."""
        run = self.branch.run
        return self.judge.verdict(run) if self.judge is not None and run is not None else None

    def _act(self, number: int, values: Sequence[str]) -> None:
        """Do one of the verbs that were offered; in the past that begins a fork."""
        if not 0 <= number < len(self.offered):
            raise BadInput("that is no longer offered")
        choice, branch = self.offered[number], self.branch
        if self.judge is not None and (why := self.judge.refusal(choice.verb.name)):
            raise BadInput(why)
        if not branch.at_end:
            branch = self._fork(branch)
        assert branch.run is not None
        self.calls.append(choice.act(branch.run, values))
        branch.look()

    def _fork(self, branch: Branch) -> Branch:
        number = sum(name.startswith("fork ") for name in self.branches) + 1
        twin = branch.fork(f"fork {number}")
        self.branches[twin.name] = self.branch = twin
        return twin

    def _choose(self, word: str, name: str) -> None:
        if name and name not in self.branches:
            raise BadInput(f"there is no branch called {name!r}")
        if word == "compare":
            other = self.branches.get(name)
            self.other = None if other is self.other or other is self.branch else other
        elif name:
            self.branch = self.branches[name]
            self.other = None if self.other is self.branch else self.other

    # ── to the page ─────────────────────────────────────────────────────────────────────────────

    def slots(self) -> dict[str, str]:
        """Return the HTML of everything that is shown, by slot."""
        branch = self.branch
        film, step = branch.film, branch.step
        found = {
            "title": controls.title(conclusion(film, step), branch),
            "notice": controls.notice(self.notice),
            "time": controls.time(branch, self.playing, self.speed),
            "branches": controls.branches(self.branches, branch, self.other),
            "mission": task(self.judge, self.verdict(), listing=self.choosing)
            if self.listing
            else "",
        }
        found |= {name: PANELS[name](film, step) for name in self.panels}
        found["menu"] = self._menu()
        found["calls"] = controls.calls(self.calls)
        found["other"] = self._next_to() if self.other is not None else ""
        found["style"] = controls.style(self.selected, two=self.other is not None)
        return found

    def _menu(self) -> str:
        """Draw the verbs for what is selected; not while it plays, when all would pass too fast."""
        self.offered = []
        if self.branch.run is None or self.playing or not len(self.branch.film):
            return controls.no_menu(self.branch, playing=self.playing)
        run = self.branch.here()
        found, coming = choices(run, self.selected), [] if self.selected else next_choices(run)
        self.offered = [*found, *coming]
        if self.judge is not None:
            refusal = self.judge.refusal
            self.offered = [
                replace(choice, refusal=refusal(choice.verb.name) or choice.refusal)
                for choice in self.offered
            ]
        past = not self.branch.at_end
        return controls.menu(self.selected, self.offered, len(found), past=past)

    def _next_to(self) -> str:
        """Draw the other branch as it was at the same time."""
        other = self.other
        assert other is not None
        step = other.film.step_at(self.branch.now)
        pictures = {name: cold(PANELS[name](other.film, step)) for name in self.panels}
        return controls.next_to(other.name, conclusion(other.film, step), pictures)

    def mission(self) -> str:
        """Return the mission in words, with nothing to press; ``""`` without one."""
        verdict = self.verdict()
        return words(self.judge, verdict) if self.judge is not None and verdict else ""

    def still(self) -> dict[str, str]:
        """Return the panels as they are now, for where nobody listens."""
        film, step = self.branch.film, self.branch.step
        return {name: cold(PANELS[name](film, step)) for name in self.panels}

    def __str__(self) -> str:
        """Return what is the case, in words."""
        film, step = self.branch.film, self.branch.step
        task = f"{goal(self.judge.mission)} " if self.judge is not None else ""
        return f"{task}{conclusion(film, step)} ({counted(len(film), 'step')}, {self.branch.name})"


def _checked(message: object) -> tuple[int, str, list[str]]:
    """Return number, act and values of a message; raise ``BadInput`` for any other thing."""
    if not isinstance(message, Mapping):
        raise BadInput("a message from the page must have an act and a number")
    number, act, values = (message.get(key) for key in ("seq", "act", "values"))
    values = [] if values is None else values
    fits = isinstance(act, str) and len(act) <= LONGEST and type(number) is int
    if not fits or not isinstance(values, list) or len(values) > 8:
        raise BadInput("a message from the page must have an act and a number")
    if not all(isinstance(value, str) and len(value) <= 10 * LONGEST for value in values):
        raise BadInput("what stands in a field must be text, and not a book")
    return _number(number), str(act), list(values)


def _number(value: Any) -> int:
    return int(value)


def _whole(text: str) -> int:
    try:
        return inputs.whole_number(int(text), "a number", minimum=0)
    except ValueError:
        raise BadInput(f"{text!r:.40} is not a whole number") from None
