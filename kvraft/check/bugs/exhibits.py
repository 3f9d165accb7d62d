"""The catalogue of the zoo: the story of each planted bug, and what found it how soon.

Two files next to this module have it: ``zoo.toml``, written by hand, and ``found.json``, measured
by ``kvraft zoo --hunt``, as are the shortest known runs in ``data/runs/zoo``::

    zoo.toml     story, where it was seen, what it takes to find    ─┐
    registry     the class that has the bug                          ├─► Exhibit
    found.json   the property that broke, in which run, how shortly ─┘

Invariant: each bug of the registry has an entry in ``zoo.toml``, and each entry a bug.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
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


class Finding(NamedTuple):
    """What found a bug: the ``property`` that broke in the run under ``seed``.

    Of the seeds from 1 on it is the first that found it, so the bug was found in that many runs.
    An error of another kind has its type as the name.  ``actions`` is how many are left of a run
    that was made small (:attr:`Exhibit.run`), ``None`` if that was not done yet.
    """

    property: str
    seed: int
    actions: int | None = None

    def in_words(self) -> str:
        """Return what found it, and how soon."""
        small = ""
        if self.actions is not None:
            small = f", with {counted(self.actions, 'action')} when made small"
        return f"found by “{self.property}” in run {self.seed}{small}"

    def to_json(self) -> dict[str, str | int]:
        """Return what is known, for JSON."""
        return {name: each for name, each in self._asdict().items() if each is not None}


class Exhibit(NamedTuple):
    """One planted bug: its ``story``, where it was ``seen``, and what ``found`` it.

    ``luck`` says what a run must hit to find it, ``""`` if nothing is rare.  ``scenario`` is the
    scenario that shows it, ``explored`` are the bounds within which the explorer finds it, if
    either exists.
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
    def elsewhere(self) -> bool:
        """Whether the explorer or a scenario finds it."""
        return bool(self.explored or self.scenario)

    @property
    def within(self) -> int:
        """Within how many runs of the swarm it is to be found."""
        return LUCKY if self.luck else USUAL

    @property
    def run(self) -> str:
        """The name of its shortest known run, in the folder ``data/runs``."""
        return f"zoo/{self.bug.name.replace(' ', '_')}"

    @property
    def command(self) -> str:
        """The command that finds it, or shows it where no run of the swarm does."""
        if self.found is not None:
            return f'kvraft swarm --seeds {self.found.seed} --bug "{self.bug.name}"'
        if self.scenario:
            return f"kvraft play {self.scenario}"
        return f'kvraft swarm --seeds 1-{self.within} --bug "{self.bug.name}"'


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
        return {find_bug(name).name: Finding(**each) for name, each in stored.items()}
    except (ValueError, TypeError, AttributeError):
        raise BadInput(f"{path} does not hold what a hunt has found") from None


def save_findings(path: Path, found: Mapping[str, Finding]) -> None:
    """Write ``found`` to the file ``path``, one bug a line, in the order of the registry."""
    ordered = {name: found[name].to_json() for name in BUGS if name in found}
    lines = [f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in ordered.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")
