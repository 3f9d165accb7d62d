"""Missions as files: a goal, a beginning, hints, and how it ends.

A file is TOML; its name, without ``.toml``, is the mission's::

    title = "Two leaders at once"
    goal = "Have two members believe at the same time that they lead."
    lesson = "01"
    members = 3
    seed = 1
    setup = [[0, "timeout", "n1"]]
    begins = 500
    reached = "leaders_at_once 2"
    hints = ["Who replaces the old leader?", "Cut off the one that leads."]
    best = 1
    solution = [[500_000, "partition", [["n1"]]]]

=========== ======================================================================================
title       what it is called, in a list
goal        what to bring about, in one sentence
lesson      the number of its lesson, in quotes
members     how many there are: n1, n2, …
seed        that of the run
options     those that differ from the defaults, as in a run file; may be left out
rule_off    the planted bug that all members run (``kvraft.check.bugs``); may be left out
setup       actions before it begins, as in a run file: microseconds, verb, arguments; may be none
begins      when it begins, in milliseconds
reached     the goal for the judge: a name from ``GOALS`` with its arguments
without     verbs that may not be used, because they would make it another mission; may be none
hints       the vaguest first
best        how many actions the best known solution has, and
solution    those actions; or, if it cannot be done:
impossible  the rule that is in the way, in a few words, and
because     a sentence that explains it
actions     after how many actions it ends (12), or
millis      after how many milliseconds of the run (20,000)
=========== ======================================================================================
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from kvraft import inputs
from kvraft.check.bugs import Bug, find_bug
from kvraft.check.missions.goals import Condition, parse_condition
from kvraft.display import listed
from kvraft.errors import BadInput, KvraftError
from kvraft.replica import ReplicaOptions
from kvraft.sim import LONGEST_RUN, MILLISECOND, VERBS, Action, Run, options_from_json

_WORDS = {int: "a whole number", str: "text", list: "a list", dict: "a table"}
_NEEDED = {
    "title": str,
    "goal": str,
    "lesson": str,
    "members": int,
    "seed": int,
    "begins": int,
    "reached": str,
    "hints": list,
}
_OPTIONAL: dict[str, Any] = {
    "options": {},
    "rule_off": "",
    "setup": [],
    "without": [],
    "best": 0,
    "solution": [],
    "impossible": "",
    "because": "",
    "actions": 12,
    "millis": 20_000,
}


@dataclass(frozen=True, slots=True)
class Mission:
    """A mission; see the module for the fields."""

    name: str
    title: str
    goal: str
    lesson: str
    members: tuple[str, ...]
    seed: int
    options: ReplicaOptions
    rule_off: Bug | None
    setup: tuple[Action, ...]
    begins: int
    reached: Condition
    without: tuple[str, ...]
    hints: tuple[str, ...]
    best: int
    solution: tuple[Action, ...]
    impossible: str
    because: str
    actions: int
    millis: int

    def begin(self) -> Run:
        """Return a run at the beginning of the mission; ``BadInput`` if its setup is impossible."""
        run = self._run()
        try:
            play(run, self.setup)
            run.run_to(self.begins * MILLISECOND)
        except KvraftError as error:
            raise BadInput(f"{self.name}.toml: the field 'setup': {error}") from None
        return run

    def replay(self, text: str, name: str) -> Run:
        """Return the run of a run file that was saved in this mission; errors call it ``name``."""
        run, bug = self._run(), self.rule_off
        found = Run.parse(
            text,
            name,
            consensus=bug and run.consensus,
            replica=bug and run.replica,
        )
        if (found.members, found.seed, found.options) != (run.members, run.seed, run.options):
            raise BadInput(f"{name} is not one of the mission {self.name!r}")
        return found

    def _run(self) -> Run:
        bug = self.rule_off or Bug("")
        return Run(
            self.members,
            seed=self.seed,
            options=self.options,
            consensus=bug.consensus,
            replica=bug.replica,
        )

    def __str__(self) -> str:
        return f"{self.lesson} · {self.title}"


def play(run: Run, actions: Sequence[Action]) -> None:
    """Do ``actions`` in a run, each at its time."""
    for at, verb, arguments in actions:
        run.run_to(at)
        run.act(verb, *arguments)


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def load_mission(path: str | Path) -> Mission:
    """Return the mission in a file; ``BadInput`` names the file, and the line or field."""
    path = Path(path)
    try:
        return _parse(path.name, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is not a mission, which is text in UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


@cache
def missions() -> Mapping[str, Mission]:
    """Return kvraft's own missions by name, in the order of their lessons."""
    folder = files("kvraft.check.missions").joinpath("files")
    found = [
        _parse(file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    ]
    return {one.name: one for one in sorted(found, key=lambda one: (one.lesson, one.name))}


def find_mission(name: str) -> Mission:
    """Return kvraft's own mission of that name; ``BadInput`` if there is none."""
    known = missions()
    if name not in known:
        raise BadInput(f"there is no mission {name!r:.60}: {', '.join(known)}")
    return known[name]


def _parse(file: str, text: str) -> Mission:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{file}: not TOML: {error}") from None
    data = _fields(file, data)
    members = inputs.members(_at_least(file, data, "members", 1))
    for field in ("seed", "begins", "best"):
        _at_least(file, data, field, 0)
    for field in ("actions", "millis"):
        _at_least(file, data, field, 1)
    if data["begins"] + data["millis"] > LONGEST_RUN:
        raise BadInput(f"{file}: the field 'millis': a run can last {LONGEST_RUN // 1_000} s")
    for field in ("hints", "without"):
        if not all(isinstance(one, str) for one in data[field]):
            raise BadInput(f"{file}: the field {field!r} must be a list of texts")
    if unknown := [verb for verb in data["without"] if verb not in VERBS]:
        raise BadInput(f"{file}: the field 'without': there is no verb {unknown[0]!r:.60}")
    mission = Mission(
        name=file.removesuffix(".toml"),
        **data
        | {
            "members": members,
            "options": _of(file, "options", options_from_json, data["options"]),
            "rule_off": _of(file, "rule_off", find_bug, data["rule_off"])
            if data["rule_off"]
            else None,
            "setup": _actions(file, "setup", data["setup"]),
            "reached": _of(file, "reached", parse_condition, data["reached"], members),
            "without": tuple(data["without"]),
            "hints": tuple(data["hints"]),
            "solution": _actions(file, "solution", data["solution"]),
        },
    )
    _check_end(file, mission)
    return mission


def _fields(file: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return all fields, checked for their types, those that were left out with their defaults."""
    kinds = _NEEDED | {name: type(default) for name, default in _OPTIONAL.items()}
    if unknown := [name for name in data if name not in kinds]:
        raise BadInput(f"{file}: there is no field {unknown[0]!r:.60}: {', '.join(kinds)}")
    if missing := [name for name in _NEEDED if name not in data]:
        raise BadInput(f"{file}: the field {missing[0]!r} is missing")
    for name, value in data.items():
        if type(value) is not kinds[name]:
            found = inputs.describe_value(value)
            raise BadInput(f"{file}: the field {name!r} must be {_WORDS[kinds[name]]}, not {found}")
    return _OPTIONAL | data


def _at_least(file: str, data: Mapping[str, Any], field: str, least: int) -> int:
    if data[field] < least:
        raise BadInput(f"{file}: the field {field!r} must be at least {least}")
    return int(data[field])


def _of(file: str, field: str, make: Any, *arguments: Any) -> Any:
    """Return what ``make`` makes of a field; its errors name file and field."""
    try:
        return make(*arguments)
    except (KvraftError, TypeError) as error:
        raise BadInput(f"{file}: the field {field!r}: {error}") from None


def _actions(file: str, field: str, rows: Sequence[Any]) -> tuple[Action, ...]:
    found: list[Action] = []
    for number, row in enumerate(rows, 1):
        where = f"{file}: the field {field!r}, action {number}"
        if not isinstance(row, list) or len(row) < 2 or type(row[0]) is not int:
            raise BadInput(f"{where}: an action is a list of microseconds, a verb and arguments")
        if row[1] not in VERBS:
            raise BadInput(f"{where}: there is no verb {row[1]!r:.60}: {listed(tuple(VERBS))}")
        if row[0] < (found[-1].at if found else 0):
            raise BadInput(f"{where}: the time is before that of the action before")
        found.append(Action(row[0], row[1], tuple(map(_frozen, row[2:]))))
    return tuple(found)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _check_end(file: str, mission: Mission) -> None:
    """Check that a mission is reachable or impossible, and says how or why."""
    if bool(mission.impossible) == bool(mission.solution):
        raise BadInput(f"{file}: a mission has the field 'solution' or the field 'impossible'")
    if mission.impossible and not mission.because:
        raise BadInput(f"{file}: the field 'because' must explain the rule that is in the way")
    if mission.best != len(mission.solution):
        count = len(mission.solution)
        raise BadInput(f"{file}: the field 'best' is {mission.best}, and the solution has {count}")
    if mission.best > mission.actions:
        raise BadInput(f"{file}: the field 'actions' must be at least {mission.best}, as 'best' is")
    if mission.setup and mission.setup[-1].at > mission.begins * MILLISECOND:
        raise BadInput(f"{file}: the field 'begins' is before the last action of 'setup'")
    if mission.solution and mission.solution[0].at < mission.begins * MILLISECOND:
        raise BadInput(f"{file}: the field 'solution' begins before the mission does")
