"""What runs of the swarm found: a result each, the sum of many, and a file that a sweep resumes.

A file of results is text, JSON lines, and is only ever appended to::

    {"format": "kvraft sweep 1", "code": "5c0f…", "settings": {"acts": 150, "bug": "", …}}
    {"seed": 1, "found": null, "tally": {"crashes": 4, …}}
    {"seed": 3, "found": "Violation: …", "tally": {…}}

Its first line names the code and the settings of the runs, for with others they would be other
runs.  A process that is killed may leave half a line at the end: that run is run again.

Invariant: each seed is counted once, in whatever order results arrive.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kvraft.check.sweep.swarm import REACHED, SwarmRun
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.sim import MILLISECOND

FORMAT = "kvraft sweep 1"
ENOUGH = 100
"""From how many runs on a range is long."""


class SwarmResult(NamedTuple):
    """How the run under ``seed`` went: ``found`` says what was wrong, if anything."""

    seed: int
    found: str | None
    tally: Counter[str]
    trace: str = ""
    """The events as JSON lines, of a run in which something was found."""
    run_file: str = ""
    """What was done in such a run, up to there: ``kvraft play`` replays it."""

    def to_line(self) -> str:
        """Return the result as a line of a file of results, without its trace and its run file."""
        seen = {"seed": self.seed, "found": self.found, "tally": dict(sorted(self.tally.items()))}
        return json.dumps(seen) + "\n"

    @classmethod
    def from_line(cls, line: str) -> SwarmResult:
        """Return the result in a line; raises ``BadInput`` for any other line."""
        try:
            seen = json.loads(line)
            return cls(int(seen["seed"]), seen["found"], Counter(seen["tally"]))
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"{line.strip():.60} is not the result of a run") from None


def error_of(run: SwarmRun) -> Exception | None:
    """Run ``run``; return the error that ended it, ``None`` if nothing was found."""
    try:
        run.run()
    except Exception as error:
        return error
    return None


def result_of(run: SwarmRun, *, keep_trace: bool = False) -> SwarmResult:
    """Run ``run`` and return how it went; any error in it is a finding.

    The trace is kept if something was found, or with ``keep_trace``.
    """
    error = error_of(run)
    run.tally["simulated seconds"] = round(run.world.now / (1_000 * MILLISECOND))
    found = None if error is None else f"{type(error).__name__}: {error}"
    trace, run_file = StringIO(), ""
    if keep_trace or found is not None:
        run.trace.save(trace)
    if found is not None:
        run_file = run.judged.record().to_text()
    return SwarmResult(run.seed, found, run.tally, trace.getvalue(), run_file)


class Summary:
    """The sum of many results; a command needs ``options``, and a seed, to repeat one.

    With ``all_faults``, a long range must reach everything in ``REACHED``.
    """

    def __init__(self, options: str = "", *, all_faults: bool = True) -> None:
        self.runs = 0
        self.tally: Counter[str] = Counter()
        self.findings: list[SwarmResult] = []
        """The results in which something was found, without their traces."""
        self._options = options
        self._demands = REACHED if all_faults else ()

    def add(self, result: SwarmResult) -> None:
        """Count a result."""
        self.runs += 1
        self.tally.update(result.tally)
        if result.found is not None:
            self.findings.append(result._replace(trace="", run_file=""))

    def command(self, result: SwarmResult) -> str:
        """Return the command that repeats a run."""
        return f"kvraft swarm --seeds {result.seed}{self._options}"

    def finding(self, result: SwarmResult) -> str:
        """Return what was found in a run, and how to repeat it."""
        return f"seed {result.seed}: {result.found}\n    repeat it: {self.command(result)}"

    @property
    def missing(self) -> list[str]:
        """What a long range of runs should have reached, and did not."""
        return [n for n in self._demands if not self.tally[n]] if self.runs >= ENOUGH else []

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and nothing is missing."""
        return not self.findings and not self.missing

    def lines(self) -> Iterator[str]:
        """Yield the totals, without what no run reached."""
        if self.missing:
            yield f"seeds: no run reached {', '.join(self.missing)}"
        yield f"{counted(self.runs, 'run')}, {len(self.findings):,} with a finding"
        names = [*REACHED, *sorted(self.tally.keys() - set(REACHED))]
        yield from (f"{self.tally[name]:>12,} {name}" for name in names if self.tally[name])

    def to_dict(self) -> dict[str, Any]:
        """Return the totals and the findings, for JSON; findings are in the order of seeds."""
        findings = [
            {"seed": each.seed, "found": each.found, "command": self.command(each)}
            for each in sorted(self.findings, key=lambda result: result.seed)
        ]
        tally = dict(sorted(self.tally.items()))
        return {"runs": self.runs, "findings": findings, "missing": self.missing, "tally": tally}


class ResultsFile:
    """The file of results at ``path`` of runs with ``settings``, created if it is missing.

    Raises ``BadInput`` if it is of other code or of other settings, or not a file of results, and
    ``OSError``.  Used as a context manager, by one process at a time.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self._head = {"format": FORMAT, "code": code_digest(), "settings": dict(settings)}
        self.seeds: set[int] = set()
        """The seeds whose results were read or added."""
        self._file = path.open("a+", encoding="utf-8", errors="replace", newline="\n")
        self._file.seek(0)
        head, mine = self._file.readline(), json.dumps(self._head) + "\n"
        if head != mine and mine.startswith(head):  # empty, or cut short by a kill
            self._file.truncate(0)
            self._append(mine)
        else:
            self._check_head(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self) -> Iterator[SwarmResult]:
        """Yield what the file holds; half a line at its end, which a kill left, is removed."""
        self._file.seek(0)
        end = len(self._file.readline().encode())
        for number, line in enumerate(iter(self._file.readline, ""), 2):
            if not line.endswith("\n"):
                self._file.truncate(end)
                return
            end += len(line.encode())
            try:
                result = SwarmResult.from_line(line)
            except BadInput as error:
                raise BadInput(f"{self._path}, line {number}: {error}") from None
            if result.seed not in self.seeds:
                self.seeds.add(result.seed)
                yield result

    def add(self, result: SwarmResult) -> None:
        """Append a result, and hand it to the system."""
        self.seeds.add(result.seed)
        self._append(result.to_line())

    def _append(self, line: str) -> None:
        self._file.write(line)
        self._file.flush()

    def _check_head(self, line: str) -> None:
        try:
            head = json.loads(line)
        except ValueError:
            head = None
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise BadInput(f"{self._path} is not a file of results: it does not begin so")
        for key in ("code", "settings"):
            if head.get(key) != self._head[key]:
                what = f"{self._path} holds runs of other {key}, {head.get(key)}, not "
                raise BadInput(f"{what}{self._head[key]}: name another file")


@cache
def code_digest() -> str:
    """Return a digest of the source of this package: other code makes other runs.

    The lessons' pictures and the command line are part of it, for simplicity.
    """
    found = hashlib.sha256()
    for name, source in sorted(_sources(resources.files("kvraft"), "")):
        found.update(f"{name}\n".encode() + source)
    return found.hexdigest()[:16]


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _sources(each, f"{prefix}{each.name}/")
        elif each.name.endswith(".py"):
            yield f"{prefix}{each.name}", each.read_bytes()
