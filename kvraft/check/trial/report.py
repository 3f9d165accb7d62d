"""The outcome of a trial: a verdict for each property, with the smallest way to break it.

As JSON (``kvraft check --json``) a report is one table::

    {"kvraft_trial": 1, "subject": "mine:MyRaft", "kind": "consensus", "runs": 100, "seed": 1,
     "abilities": ["reads"], "lacks": {"snapshots": "mine:MyRaft has no compact"}, "notes": [],
     "verdicts": [
        {"property": "election safety", "outcome": "holds", "runs": 100},
        {"property": "one vote a term", "outcome": "broken", "run": 7, "what": "n2 votes for …",
         "steps": 3, "of": 41, "lines": [["timeout n1", 9], …], "file": "…"},
        {"property": "one lease", "outcome": "not tried", "what": "it has no leases"}]}

``lines`` are the ``steps`` that are left of the ``of`` steps of the run, and ``file`` is what
``kvraft play`` plays: a scenario; of a replica it is a run file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kvraft.display import counted, html_table
from kvraft.events import Trace

FORMAT = 1


class Outcome(StrEnum):
    """What is known of a property after a trial."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(slots=True)
class Verdict:
    """What a trial found out about the property ``name``, in ``runs`` runs.

    If it is broken, ``run`` is the number of the first run that broke it, and ``what`` says how.
    ``lines`` are the steps that are left of the ``of`` steps of that run, each with how long the
    trace was after it, and ``saved`` is a file that repeats them.  If it was not tried, ``what``
    says why.  ``trace`` is that of the shrunk run; it is not part of the JSON.
    """

    name: str
    outcome: Outcome
    runs: int = 0
    run: int = 0
    what: str = ""
    lines: list[tuple[str, int]] = field(default_factory=list)
    of: int = 0
    saved: str = ""
    trace: Trace | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a table for JSON."""
        row: dict[str, Any] = {"property": self.name, "outcome": self.outcome.value}
        if self.outcome is Outcome.HOLDS:
            return row | {"runs": self.runs}
        if self.outcome is Outcome.NOT_TRIED:
            return row | {"what": self.what}
        shrunk: dict[str, Any] = {"steps": len(self.lines), "of": self.of, "file": self.saved}
        shrunk["lines"] = [list(line) for line in self.lines]
        return row | {"run": self.run, "what": self.what} | shrunk

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Verdict:
        """Return the verdict that :meth:`to_json` wrote."""
        outcome, what = Outcome(row["outcome"]), row.get("what", "")
        lines = [(text, stop) for text, stop in row.get("lines", [])]
        shrunk = (lines, row.get("of", 0), row.get("file", ""))
        return cls(row["property"], outcome, row.get("runs", 0), row.get("run", 0), what, *shrunk)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        match self.outcome:
            case Outcome.HOLDS:
                words = f"in {counted(self.runs, 'run')}"
            case Outcome.BROKEN:
                words = f"in run {self.run}: {self.what}"
            case _:
                words = self.what
        return f"{self.outcome.value:10} {self.name:28} {words}"


@dataclass(slots=True)
class Report:
    """All verdicts on ``subject``, of a ``kind``: ``consensus``, ``replica`` or ``tree``.

    ``lacks`` says for each ability that was not tried why, ``notes`` what else was noticed.
    """

    subject: str
    kind: str
    runs: int
    seed: int
    verdicts: list[Verdict]
    abilities: list[str] = field(default_factory=list)
    lacks: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[Verdict]:
        """The verdicts on properties that are broken."""
        return [verdict for verdict in self.verdicts if verdict.outcome is Outcome.BROKEN]

    def verdict(self, property: str) -> Verdict:
        """Return the verdict on a property."""
        return next(verdict for verdict in self.verdicts if verdict.name == property)

    def to_json(self) -> dict[str, Any]:
        """Return it as a table for JSON."""
        return {
            "kvraft_trial": FORMAT,
            "subject": self.subject,
            "kind": self.kind,
            "runs": self.runs,
            "seed": self.seed,
            "abilities": self.abilities,
            "lacks": self.lacks,
            "notes": self.notes,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Report:
        """Return the report that :meth:`to_json` wrote."""
        names = ("subject", "kind", "runs", "seed", "abilities", "lacks", "notes")
        verdicts = [Verdict.from_json(row) for row in table["verdicts"]]
        return cls(verdicts=verdicts, **{name: table[name] for name in names})

    def __str__(self) -> str:
        """Return a line for each verdict."""
        lacks = [f"not tried: {what}, {why}" for what, why in self.lacks.items()]
        head = f"{self.subject}, {self.kind}: {counted(self.runs, 'run')} from seed {self.seed}"
        return "\n".join([head, *lacks, *(verdict.line for verdict in self.verdicts)])

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        rows = [
            (each.name, each.outcome.value, each.what or counted(each.runs, "run"))
            for each in self.verdicts
        ]
        return html_table(f"{self.subject}: {counted(self.runs, 'run')}", rows)
