"""Hunting in the zoo: the swarm runs with one planted bug after another, until it is found.

::

    bug ──► seed 1, 2, 3, … ──► the first run with a finding ──► made small, if asked to
                                  the property, and the seed       a run file of data/runs/zoo

Invariant: what is measured depends on the code and the seeds alone, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
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
from kvraft.check.sweep.smaller import what_breaks
from kvraft.check.sweep.stored import find_run
from kvraft.display import counted
from kvraft.sim import parse_run

BUDGET = 200
"""How many smaller runs are tried for each bug."""


class Hunted(NamedTuple):
    """What a hunt for the bug ``name`` came to; ``finding`` is ``None`` if it was not found.

    ``run_file`` is the text of the run that was made small, if that was asked for.
    """

    name: str
    finding: Finding | None
    run_file: str = ""


def hunt_bug(name: str, seeds: Iterable[int], *, shrinks: bool = False) -> Hunted:
    """Run ``seeds`` with the bug ``name`` planted until one finds it.

    With ``shrinks`` that run is made small, action by action.
    """
    settings = SwarmSettings(bug=name)
    for seed in seeds:
        if broken := what_breaks(settings, seed):
            found = Hunted(name, Finding(broken, seed))
            return _made_small(found, settings, seed) if shrinks else found
    return Hunted(name, None)


def _made_small(found: Hunted, settings: SwarmSettings, seed: int) -> Hunted:
    record = parse_run(run_seed(seed, settings).run_file, f"the run under seed {seed}")
    small = shrink_record(record, settings.code, budget=BUDGET)
    finding = Finding(small.broken, seed, len(small.record.actions))
    return Hunted(found.name, finding, small.record.without_trace().to_text())


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
    stored in the file ``path``, next to those in it: after each bug, so a hunt can be interrupted.
    With a ``folder`` runs are made small, and stored there as run files; without, those that were
    stay as they are.  With an ``executor`` several bugs are hunted for at once.
    """
    stored = load_findings(path) if path is not None else {}
    limits = {each.bug.name: runs or each.within for each in exhibits}
    for result in _hunt_all(limits, folder is not None, executor):
        before, finding = stored.pop(result.name, None), result.finding
        if finding is not None:
            if before is not None and folder is None and before.property == finding.property:
                finding = finding._replace(actions=before.actions)
            stored[result.name] = finding
            if folder is not None:
                file = folder / f"{find_exhibit(result.name).run}.jsonl"
                file.parent.mkdir(exist_ok=True)
                file.write_text(result.run_file, encoding="ascii", newline="\n")
        if path is not None:
            save_findings(path, stored)
        yield _hunted_line(result, limits[result.name]), finding is not None


def _hunt_all(
    limits: Mapping[str, int], shrinks: bool, executor: Executor | None
) -> Iterator[Hunted]:
    """Hunt for bugs by name in as many runs each; yield what it came to, as hunts end."""
    hunt = partial(hunt_bug, shrinks=shrinks)
    if executor is None:
        for name, limit in limits.items():
            yield hunt(name, range(1, limit + 1))
        return
    # A browser's Python has no threads, and never has an executor.
    from concurrent.futures import as_completed

    hunts = [executor.submit(hunt, name, range(1, n + 1)) for name, n in limits.items()]
    for ended in as_completed(hunts):
        yield ended.result()


def _hunted_line(result: Hunted, limit: int) -> str:
    if result.finding is None:
        return f"{result.name}: not found in {counted(limit, 'run')}"
    return f"{result.name}: {result.finding.in_words()}"


def shown_lines(exhibit: Exhibit) -> Iterator[str]:
    """Yield the story of one bug, and the shortest known run that has it, if it has one."""
    yield from story_lines(exhibit)
    if exhibit.found is None or exhibit.found.actions is None:
        return
    record = find_run(exhibit.run)
    yield f"\nIts shortest known run, of {counted(len(record.members), 'member')}:"
    yield from history_lines(record)
    yield f'\n  kvraft play {exhibit.run} --bug "{exhibit.bug.name}"'
