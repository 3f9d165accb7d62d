"""Hunting in the zoo: the swarm runs with one planted bug after another, until it is found.

::

    bug ──► seed 1, 2, 3, … ──► the first run with a finding: the property that broke, and the seed

Invariant: what is measured depends on the code and the seeds alone, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kvraft.check.bugs import Bug, Exhibit, Finding, load_findings, save_findings
from kvraft.check.sweep.parallel import SwarmSettings
from kvraft.check.sweep.smaller import what_breaks
from kvraft.display import counted


def hunt_bug(bug: Bug, seeds: Iterable[int]) -> Finding | None:
    """Run ``seeds`` with ``bug`` planted; return the first finding, ``None`` without any."""
    settings = SwarmSettings(bug=bug.name)
    for seed in seeds:
        if broken := what_breaks(settings, seed):
            return Finding(broken, seed)
    return None


def hunt_lines(
    exhibits: Iterable[Exhibit], runs: int | None = None, path: Path | None = None
) -> Iterator[tuple[str, bool]]:
    """Hunt for one bug after another; yield for each what was found, and whether anything was.

    A bug gets as many ``runs``, by default those within which it is to be found.  Findings are
    stored in the file ``path`` after each bug, next to those in it, so a hunt can be interrupted.
    """
    stored = load_findings(path) if path is not None else {}
    for exhibit in exhibits:
        name, limit = exhibit.bug.name, runs or exhibit.within
        found = hunt_bug(exhibit.bug, range(1, limit + 1))
        stored.pop(name, None)
        if found is not None:
            stored[name] = found
        if path is not None:
            save_findings(path, stored)
        if found is not None:
            yield f"{name}: found by “{found.property}” in run {found.seed}", True
        else:
            yield f"{name}: not found in {counted(limit, 'run')}", False
