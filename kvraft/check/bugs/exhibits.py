"""The catalogue of the zoo: the story of each planted bug, and what found it how soon.

Two files next to this module have it: ``zoo.toml``, written by hand, and ``found.json``, measured
by ``kvraft zoo --hunt``.  The shortest known runs are in ``data/runs/zoo``: what a hunt made small,
or a shorter one that was written by hand::

    zoo.toml     story, where it was seen, what it takes to find          ─┐
    registry     the class that has the bug                                ├─► Exhibit
    found.json   who found it: what broke, in which run, in how few steps ─┘

Invariant: each bug of the registry has an entry in ``zoo.toml``, and each entry a bug.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kvraft.check.bugs.registry import BUGS, Bug, find_bug
from kvraft.display import counted
from kvraft.errors import BadInput

FOLDER = Path(__file__).parent
FOUND = FOLDER / "found.json"
"""Where the last measurement is stored."""
USUAL, LUCKY = 60, 300
"""Within how many runs, of seeds from 1 on, a bug is found: as a rule, and where it takes luck."""


class Finder(StrEnum):
    """Who finds a bug."""

    SWARM = "swarm"
    """Runs of whole members by chance (check/sweep)."""
    TRIAL = "trial"
    """A trial of the consensus module alone (check/trial), where no run of the swarm finds it."""
    EXPLORER = "explorer"
    """The explorer (check/explore), where no run can show it."""
    SCRIPT = "script"
    """A run that was written for it, where chance does not find it: that it can be seen."""


class Finding(NamedTuple):
    """What found a bug: the ``property`` that broke, and ``by`` whom.

    Runs of the swarm and of a trial have the seeds from 1 on, and ``seed`` is the first that found
    it, so the bug was found in that many runs; it is 0 of a run that was written for the bug, and
    of the explorer, which looked at so many ``states``.

    An error of another kind has its type as the name of the property.  ``actions`` is how many its
    shortest known run has (:attr:`Exhibit.run`), ``None`` if there is none, and ``small`` is what
    breaks in that run if it is something else: a bug may break several properties.
    """

    property: str
    seed: int = 0
    actions: int | None = None
    by: Finder = Finder.SWARM
    small: str = ""
    states: int = 0

    def in_words(self) -> str:
        """Return what found it, and how soon."""
        count = "" if self.actions is None else counted(self.actions, "action")
        short = f"; its shortest known run has {count}" if count else ""
        short += f", and breaks “{self.small}”" if self.small else ""
        match self.by:
            case Finder.SWARM:
                return f"found by “{self.property}” in run {self.seed}{short}"
            case Finder.TRIAL:
                return f"found by “{self.property}” in run {self.seed} of a trial{short}"
            case Finder.EXPLORER:
                return f"found by “{self.property}” in state {self.states:,} of the explorer"
            case Finder.SCRIPT:
                return f"shown by “{self.property}” in a run that was written for it, with {count}"

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Finding:
        """Return what :meth:`to_json` wrote."""
        return cls(**row | {"by": Finder(row.get("by", Finder.SWARM))})

    def to_json(self) -> dict[str, str | int]:
        """Return what is known, for JSON; the swarm need not be named."""
        usual = self._field_defaults
        return {name: each for name, each in self._asdict().items() if each != usual.get(name)}


class Exhibit(NamedTuple):
    """One planted bug: its ``story``, where it was ``seen``, and what ``found`` it.

    ``luck`` says what a run of the swarm must hit to find it, ``""`` if nothing is rare.
    ``scenario`` is the scenario that shows it, ``explored`` are the bounds within which the
    explorer finds what no run can show, if either exists.
    """

    bug: Bug
    story: str
    seen: tuple[str, ...]
    luck: str
    scenario: str
    explored: Mapping[str, int]
    found: Finding | None

    @property
    def rule(self) -> str:
        """What is wrong, in a line."""
        return " ".join((self.bug.planted.__doc__ or "").split("\n\n")[0].split())

    @property
    def within(self) -> int:
        """Within how many runs of the swarm it is to be found."""
        return LUCKY if self.luck else USUAL

    @property
    def run(self) -> str:
        """The name of its shortest known run, in the folder ``data/runs``."""
        return f"zoo/{self.bug.name.replace(' ', '_')}"

    @property
    def play(self) -> str:
        """The command that plays its shortest known run."""
        return f'kvraft play {self.run} --bug "{self.bug.name}"'

    @property
    def command(self) -> str:
        """The command that finds it."""
        by = self.found.by if self.found is not None else Finder.SWARM
        seed = self.found.seed if self.found is not None else f"1-{self.within}"
        planted = self.bug.planted
        match by:
            case Finder.SWARM:
                return f'kvraft swarm --seeds {seed} --bug "{self.bug.name}"'
            case Finder.TRIAL:
                return f"kvraft check {planted.__module__}:{planted.__name__} --runs {seed}"
            case Finder.EXPLORER:
                return f'kvraft zoo --hunt "{self.bug.name}"'
            case Finder.SCRIPT:
                return self.play


@cache
def catalogue() -> Mapping[str, Exhibit]:
    """Return all exhibits by name, in the order of the registry."""
    entries = tomllib.loads((FOLDER / "zoo.toml").read_text(encoding="utf-8"))
    found = load_findings(FOUND)
    return {
        name: _exhibit(bug, entries.get(name, {"story": "", "seen": []}), found.get(name))
        for name, bug in BUGS.items()
    }


def _exhibit(bug: Bug, entry: dict[str, Any], found: Finding | None) -> Exhibit:
    return Exhibit(
        bug,
        entry["story"],
        tuple(entry["seen"]),
        entry.get("luck", ""),
        entry.get("scenario", ""),
        entry.get("explored", {}),
        found,
    )


def find_exhibit(name: str) -> Exhibit:
    """Return the exhibit ``name``; raises :class:`~kvraft.errors.BadInput` if there is none."""
    return catalogue()[find_bug(name).name]


def load_findings(path: Path) -> dict[str, Finding]:
    """Return what is stored in the file ``path``, by bug; nothing if there is no such file.

    Raises :class:`~kvraft.errors.BadInput` for a file that :func:`save_findings` did not write.
    """
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {find_bug(name).name: Finding.from_json(each) for name, each in stored.items()}
    except (ValueError, TypeError, AttributeError):
        raise BadInput(f"{path} does not hold what a hunt has found") from None


def save_findings(path: Path, found: Mapping[str, Finding]) -> None:
    """Write ``found`` to the file ``path``, one bug a line, in the order of the registry."""
    ordered = {name: found[name].to_json() for name in BUGS if name in found}
    lines = [f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in ordered.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")
