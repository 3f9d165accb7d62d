"""Run files: a run as a few lines of text, which replays to the letter.

Lines of JSON in ASCII.  The first is a table, the header; each other one is an action: its time in
microseconds, its verb and its arguments::

    {"kvraft_run": 2, "version": "0.1.0", "members": ["n1", "n2", "n3"], "seed": 1, "options": {},
     "reorder": false, "consensus": "", "replica": "", "client": "", "actions": 2,
     "until": 900000, "steps": 316, "digest": "5f0c…", "every": 1, "marks": "q3Zt…"}
    [250300, "put", "alice", "color", "red"]
    [350300, "crash", "n1"]

=========== ======================================================================================
kvraft_run  the number of this format
version     the version of kvraft that wrote it
options     those that differ from the defaults (runs/options.py)
reorder     whether messages may overtake each other on a link
consensus   the name of the class that all members run, ``""`` for kvraft's own; so for replica and
            client.  Code is never loaded for a file: the caller that plays it passes the class
actions     how many there are, so that a file that was cut short is noticed
until       when the run stands, in microseconds
steps       how many steps its trace has
digest      the SHA-256 of the trace; ``""`` if none was recorded, and then nothing is compared
every       how many steps each mark stands for
marks       two characters of base64 for each ``every`` steps: the first 12 bits of the SHA-256 of
            the trace until then.  By them the first step that differs is found
=========== ======================================================================================

Everything wrong is refused, with file and line: what is not JSON, a field that is missing, unknown
or of another type, and more actions than a run can have.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import Trace
from kvraft.inputs import describe_value
from kvraft.replica import ReplicaOptions
from kvraft.sim.runs.action import Action, Argument
from kvraft.sim.runs.options import options_from_json, options_to_json

FORMAT = 2
MOST_ACTIONS = 10_000
"""How many actions a run can have."""
MOST_MARKS = 4_096
"""How many marks a file has at most; with more steps, each mark stands for several."""
LONGEST_RUN = 600_000
"""How many simulated milliseconds a run can last."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a trace leaves in a file, to find out whether another one is the same.

    See the module for the fields.
    """

    steps: int
    digest: str
    every: int
    marks: str

    def difference(self, trace: Trace) -> str:
        """Return in a few words where ``trace`` first differs, ``""`` if it does not.

        Nothing differs from a footprint without a digest.
        """
        if not self.digest:
            return ""
        other = footprint(trace, self.every)
        if other == self:
            return ""
        same = 0
        while (mark := self.marks[2 * same : 2 * same + 2]) and other.marks[2 * same :][:2] == mark:
            same += 1
        first = same * self.every
        if first >= min(self.steps, len(trace)):
            return f"it has {counted(len(trace), 'step')}, and the recorded one {self.steps:,}"
        last = min(first + self.every, len(trace)) - 1
        step = trace[first]
        which = f"step {first}" if self.every == 1 else f"one of the steps {first} to {last}"
        return f"the first difference is {which}, at {step.at / 1_000:,.1f} ms ({step.event})"


def footprint(trace: Trace, every: int = 0) -> Footprint:
    """Return the footprint of a trace, with a mark for each ``every`` steps (0: as many as fit)."""
    every = every or max(1, -(-len(trace) // MOST_MARKS))
    digest, marks = hashlib.sha256(), bytearray()
    for number, line in enumerate(trace.lines(), 1):
        digest.update(line.encode() + b"\n")
        if number % every == 0 or number == len(trace):
            marks += base64.b64encode(digest.digest()[:3])[:2]
    return Footprint(len(trace), digest.hexdigest(), every, marks.decode("ascii"))


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run file says."""

    version: str
    members: tuple[str, ...]
    seed: int
    options: ReplicaOptions
    reorder: bool
    consensus: str
    replica: str
    client: str
    until: int
    footprint: Footprint
    actions: tuple[Action, ...]

    def to_text(self) -> str:
        """Return the text of the file."""
        header = {
            "kvraft_run": FORMAT,
            "version": self.version,
            "members": self.members,
            "seed": self.seed,
            "options": options_to_json(self.options),
            "reorder": self.reorder,
            "consensus": self.consensus,
            "replica": self.replica,
            "client": self.client,
            "actions": len(self.actions),
            "until": self.until,
            **{field.name: getattr(self.footprint, field.name) for field in fields(Footprint)},
        }
        rows = [header, *(action.to_json() for action in self.actions)]
        return "".join(json.dumps(row) + "\n" for row in rows)


_HEADER: dict[str, type] = {
    "kvraft_run": int,
    "version": str,
    "members": list,
    "seed": int,
    "options": dict,
    "reorder": bool,
    "consensus": str,
    "replica": str,
    "client": str,
    "actions": int,
    "until": int,
    "steps": int,
    "digest": str,
    "every": int,
    "marks": str,
}
_WORDS = {
    int: "a whole number",
    str: "text",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}


def read_run(path: str | Path) -> str:
    """Return the text of the run file at ``path``; ``BadInput`` if it is not text in ASCII."""
    try:
        return Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a run file, which is text in ASCII") from None


def parse_run(text: str, name: str) -> RunRecord:
    """Return what the text of a run file says; ``BadInput`` names file, line and field."""
    lines = text.splitlines()
    header = _header(lines[0] if lines else "", f"{name}, line 1")
    count = header["actions"]
    if count > MOST_ACTIONS or len(lines) - 1 > MOST_ACTIONS:
        most = max(count, len(lines) - 1)
        raise BadInput(f"{name}: a run can have {MOST_ACTIONS:,} actions, not {most:,}")
    if len(lines) - 1 != count:
        raise BadInput(
            f"{name}, line 1: the field 'actions' announces {counted(count, 'action')}, "
            f"and the file has {len(lines) - 1:,}"
        )
    actions: list[Action] = []
    for number, line in enumerate(lines[1:], 2):
        actions.append(_action(line, f"{name}, line {number}"))
        if len(actions) > 1 and actions[-1].at < actions[-2].at:
            raise BadInput(f"{name}, line {number}: the time is before that of the line above")
    if actions and header["until"] < actions[-1].at:
        raise BadInput(f"{name}, line 1: the field 'until' is before the last action")
    return RunRecord(
        header["version"],
        tuple(header["members"]),
        header["seed"],
        header["options"],
        header["reorder"],
        header["consensus"],
        header["replica"],
        header["client"],
        header["until"],
        Footprint(*(header[field.name] for field in fields(Footprint))),
        tuple(actions),
    )


def _json(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise BadInput(f"{where}: not a line of JSON: {line!r:.60}") from None


def _header(line: str, where: str) -> dict[str, Any]:
    """Return the fields of the header, checked."""
    data = _json(line, where)
    if not isinstance(data, dict) or "kvraft_run" not in data:
        raise BadInput(f"{where}: a run file begins with a table that has a field 'kvraft_run'")
    if data["kvraft_run"] != FORMAT:
        found = data["kvraft_run"]
        raise BadInput(
            f"{where}: the format of this run file is {found!r:.60}; this version of kvraft reads "
            f"{FORMAT}"
        )
    if unknown := [name for name in data if name not in _HEADER]:
        raise BadInput(f"{where}: there is no field {unknown[0]!r:.60}: {', '.join(_HEADER)}")
    for name, kind in _HEADER.items():
        if name not in data:
            raise BadInput(f"{where}: the field {name!r} is missing")
        if type(data[name]) is not kind:
            found = describe_value(data[name])
            raise BadInput(f"{where}: the field {name!r} must be {_WORDS[kind]}, not {found}")
    for name, least in {"actions": 0, "until": 0, "steps": 0, "every": 1}.items():
        if data[name] < least:
            raise BadInput(f"{where}: the field {name!r} must be at least {least}")
    if data["until"] > LONGEST_RUN * 1_000:
        raise BadInput(
            f"{where}: a run can last {LONGEST_RUN // 1_000} s, not {data['until']:,} µs"
        )
    try:
        data["options"] = options_from_json(data["options"])
    except BadInput as error:
        raise BadInput(f"{where}: the field 'options': {error}") from None
    return data


def _action(line: str, where: str) -> Action:
    row = _json(line, where)
    if not isinstance(row, list) or len(row) < 2:
        raise BadInput(f"{where}: an action is a list of a time, a verb and arguments")
    at, verb, *arguments = row
    if type(at) is not int or at < 0:
        raise BadInput(f"{where}: the time must be a whole number of microseconds, not {at!r:.60}")
    if not isinstance(verb, str):
        raise BadInput(f"{where}: the verb must be text, not {describe_value(verb)}")
    return Action(at, verb, tuple(_argument(value, where) for value in arguments))


def _argument(value: Any, where: str) -> Argument:
    if isinstance(value, list):
        return tuple(_argument(item, where) for item in value)
    if isinstance(value, dict):
        raise BadInput(f"{where}: an argument is a number, text or a list, not {value!r:.60}")
    found: str | int | float | bool | None = value
    return found
