"""Hunting in the zoo: the swarm runs with one planted bug after another, until it is found.

::

    bug ──► seed 1, 2, 3, … ──► the first run with a finding ──► made small action by action
                                  the property, and the seed       a run file of data/runs/zoo

Invariant: what is measured depends on the code and the seeds alone, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

from kvraft.check.bugs import (
    Exhibit,
    Finding,
    find_exhibit,
    load_findings,
    save_findings,
    story_lines,
)
from kvraft.check.sweep.parallel import SwarmSettings, run_seed
from kvraft.check.sweep.replay import history_lines, shrink_record
from kvraft.check.sweep.stored import find_run
from kvraft.display import counted
from kvraft.sim import parse_run

BUDGET = 50
"""How many smaller runs are tried for each bug."""


class Hunted(NamedTuple):
    """What a hunt for the bug ``name`` came to, with the run file of the smallest run that has it.

    ``finding`` is ``None`` if it was not found.
    """

    name: str
    finding: Finding | None
    run_file: str


def hunt_bug(name: str, seeds: Iterable[int]) -> Hunted:
    """Run ``seeds`` with the bug ``name`` planted until one finds it; make that run small."""
    settings, bug = SwarmSettings(bug=name), find_exhibit(name).bug
    for seed in seeds:
        result = run_seed(seed, settings)
        if result.found is not None:
            record = parse_run(result.run_file, f"the run under seed {seed}")
            small = shrink_record(record, bug, budget=BUDGET)
            finding = Finding(small.broken, seed, len(small.record.actions))
            return Hunted(name, finding, small.record.without_trace().to_text())
    return Hunted(name, None, "")


def hunt_lines(
    exhibits: Iterable[Exhibit],
    runs: int | None = None,
    *,
    path: Path | None = None,
    folder: Path | None = None,
    executor: Executor | None = None,
) -> Iterator[tuple[str, bool]]:
    """Hunt for one bug after another; yield for each what was found, and whether anything was.

    A bug gets as many ``runs``, by default those within which it is to be found.  Findings are
    stored in the file ``path``, next to those in it, and run files in ``folder``: after each bug,
    so a hunt can be interrupted.  With an ``executor`` several are hunted for at once.
    """
    stored = load_findings(path) if path is not None else {}
    limits = {each.bug.name: runs or each.within for each in exhibits}
    for result in _hunt_all(limits, executor):
        stored.pop(result.name, None)
        if result.finding is not None:
            stored[result.name] = result.finding
            if folder is not None:
                file = folder / f"{find_exhibit(result.name).run}.jsonl"
                file.parent.mkdir(exist_ok=True)
                file.write_text(result.run_file, encoding="ascii", newline="\n")
        if path is not None:
            save_findings(path, stored)
        yield _hunted_line(result, limits[result.name]), result.finding is not None


def _hunt_all(limits: Mapping[str, int], executor: Executor | None) -> Iterator[Hunted]:
    """Hunt for bugs by name in as many runs each; yield what it came to, as hunts end."""
    if executor is None:
        for name, limit in limits.items():
            yield hunt_bug(name, range(1, limit + 1))
        return
    # A browser's Python has no threads, and never has an executor.
    from concurrent.futures import as_completed

    hunts = [executor.submit(hunt_bug, name, range(1, n + 1)) for name, n in limits.items()]
    for hunt in as_completed(hunts):
        yield hunt.result()


def _hunted_line(result: Hunted, limit: int) -> str:
    if result.finding is None:
        return f"{result.name}: not found in {counted(limit, 'run')}"
    broken, seed, actions = result.finding
    found = f"{result.name}: found by “{broken}” in run {seed}"
    return f"{found}, with {counted(actions, 'action')} when made small"


def shown_lines(exhibit: Exhibit) -> Iterator[str]:
    """Yield the story of one bug, and the shortest known run that has it."""
    yield from story_lines(exhibit)
    if exhibit.found is None:
        return
    record = find_run(exhibit.run)
    yield f"\nIts shortest known run, of {counted(len(record.members), 'member')}:"
    yield from history_lines(record)
    yield f'\n  kvraft play {exhibit.run} --bug "{exhibit.bug.name}"'
