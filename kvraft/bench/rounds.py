"""Rounds in which the sides of a comparison take turns, a row at a time.

::

    round 1   kvraft: fillseq   LevelDB: fillseq   kvraft: fillrandom   LevelDB: fillrandom   …
    round 2   LevelDB: fillseq   kvraft: fillseq   …            (another side begins each round)

Each side works in a process of its own (``bench/worker.py``), which is new in each round, so memory
is measured from nothing and nobody inherits another's heap.  Only one of them works at a time.
When the machine gets slower, it gets slower for both sides of a ratio.

Invariants:

- All sides of a round get the same seed and the same number of records.
- However a round ends, its processes have ended and its files are removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kvraft.bench.measure import Row, Sample
from kvraft.errors import BadInput

HERE = Path(__file__).resolve().parent
OURS = HERE.parent.parent
"""The directory that this version of kvraft is imported from."""

KVRAFT = "kvraft"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a version of kvraft, in ``tree``, or a peer of this name."""

    name: str
    tree: Path = OURS
    peer: str = ""


Round = dict[str, dict[str, Sample]]
"""What was measured in one round: for each side its samples, by the name of the row."""


def other_version(tree: Path) -> Side:
    """Return the version of kvraft in the directory ``tree`` as a side, named by its commit.

    Raises :class:`~kvraft.errors.BadInput` if there is none.
    """
    if not (tree / "kvraft" / "__init__.py").is_file():
        raise BadInput(f"{tree} holds no kvraft: name the top directory of another checkout")
    return Side(commit_of(tree) or "other", tree.resolve())


def commit_of(tree: Path) -> str:
    """Return the commit that ``tree`` is a checkout of, ``""`` if nobody knows."""
    if not (tree / ".git").exists() or (git := shutil.which("git")) is None:
        return ""
    command = [git, "-C", str(tree), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def compare(part: str, sides: Sequence[Side], rounds: int, records: int) -> Iterator[Round]:
    """Yield what each of so many rounds measured: ``part`` is a module of this package.

    Raises :class:`~kvraft.errors.BadInput` if a side cannot do the work.
    """
    with tempfile.TemporaryDirectory(prefix="kvraft-bench-", ignore_cleanup_errors=True) as place:
        for number in range(rounds):
            first = number % len(sides)
            yield _round(part, [*sides[first:], *sides[:first]], number, records, Path(place))


def _round(part: str, sides: Sequence[Side], number: int, records: int, place: Path) -> Round:
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(part, side, number, records, place)) for side in sides
        ]
        under_way = True
        while under_way:
            under_way = False
            for worker in workers:
                under_way |= worker.take()
    return {worker.side.name: worker.samples for worker in workers}


def _environment(side: Side, number: int, place: Path) -> dict[str, str]:
    """Return the environment of a process: the order of a set is the same for all sides."""
    environment = os.environ | {"PYTHONHASHSEED": str(number)}
    if side.tree != OURS:  # no compiled files are left in another's directory
        environment["PYTHONPYCACHEPREFIX"] = str(place / "compiled")
    return environment


class _Worker:
    """One side's process in one round, and what it has measured so far."""

    def __init__(self, part: str, side: Side, number: int, records: int, place: Path) -> None:
        self.side = side
        self.samples: dict[str, Sample] = {}
        self._files = Path(tempfile.mkdtemp(dir=place))
        words = (HERE / "worker.py", side.tree, part, side.peer, number, records, self._files)
        self._process = subprocess.Popen(
            [sys.executable, "-P", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=_environment(side, number, place),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._files, ignore_errors=True)

    def take(self) -> bool:
        """Let it measure one row; return whether there may be another."""
        answer = self._ask()
        if "error" in answer:
            raise BadInput(f"{self.side.name} cannot do this benchmark: {answer['error']}")
        if "row" in answer:
            row = Row(**answer["row"])
            self.samples[row.name] = Sample(row, answer["cpu"], answer["wall"])
        return "end" not in answer

    def _ask(self) -> dict[str, Any]:
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        try:
            questions.write("next\n")
            questions.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"its process ended with status {self._process.wait()}"}
        return dict(json.loads(line))
