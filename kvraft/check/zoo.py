"""Hunting in the zoo: each planted bug is hunted for until something finds it.

::

    bug ──► the swarm: seed 1, 2, 3, … ──► the first run with a finding ──► made small,
        ╰─► if it finds nothing, and the bug is in consensus: a trial ──►   if asked to
    bug that no run can show ──► the explorer                               data/runs/zoo

Invariant: what is measured depends on the code and the seeds alone, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kvraft.check import scenario
from kvraft.check.bugs import (
    Exhibit,
    Finder,
    Finding,
    find_exhibit,
    load_findings,
    save_findings,
    story_lines,
)
from kvraft.check.explore import NO_TIME, ExplorationBounds, explore
from kvraft.check.sweep import (
    SwarmSettings,
    find_run,
    history_lines,
    judge_record,
    run_seed,
    scenario_file,
    shrink_record,
    what_breaks,
)
from kvraft.check.trial import SHRINKING, first_broken
from kvraft.display import counted
from kvraft.raft import Raft
from kvraft.sim import Cluster, RunRecord, parse_run

BUDGET = 200
"""How many smaller runs are tried in a round of making one small."""
SHORT, LOOKS = (10, 20, 40, 80), 24
"""How many acts runs have, and how many such runs are tried, before a long run is made small."""


class Hunted(NamedTuple):
    """What a hunt for the bug ``name`` came to; ``finding`` is ``None`` if it was not found.

    ``text`` is that of the run that was made small, if that was asked for: a run file, or the
    scenario of a trial.
    """

    name: str
    finding: Finding | None
    text: str = ""

    @property
    def file(self) -> str:
        """The name of the file for the text."""
        trial = self.finding is not None and self.finding.by is Finder.TRIAL
        return f"{find_exhibit(self.name).run}.{'txt' if trial else 'jsonl'}"


def hunt_bug(name: str, seeds: Iterable[int], *, shrinks: bool = False) -> Hunted:
    """Run ``seeds`` of the swarm with the bug ``name`` planted until one finds it.

    If none does, a bug of consensus is put on trial; one that no run can show is explored at once.
    With ``shrinks`` a run that finds it is made small.
    """
    exhibit = find_exhibit(name)
    if exhibit.explored:
        return Hunted(name, _explored(exhibit))
    settings = SwarmSettings(bug=name)
    for seed in seeds:
        if broken := what_breaks(settings, seed):
            found = Finding(broken, seed)
            return _made_small(name, found) if shrinks else Hunted(name, found)
    return _tried(exhibit, shrinks)


def _made_small(name: str, found: Finding) -> Hunted:
    """Make a run small that breaks what was found: if possible one that is short to begin with."""
    settings = SwarmSettings(bug=name)
    looks = [(replace(settings, acts=acts), seed) for acts in SHORT for seed in range(1, LOOKS + 1)]
    looks.append((settings, found.seed))
    for look in looks:
        broken, record = _replayed(*look)
        if broken == found.property:
            break
    if record is None or not broken:  # a look of the swarm warms a cache, and moves a read error
        return Hunted(name, found)
    small, before = record, None
    while len(small.actions) != before:  # a round is cheaper, the shorter the run is by then
        before = len(small.actions)
        small = shrink_record(small, settings.code, budget=BUDGET).record
    found = found._replace(actions=before, small="" if broken == found.property else broken)
    return Hunted(name, found, small.without_trace().to_text())


def _replayed(settings: SwarmSettings, seed: int) -> tuple[str, RunRecord | None]:
    """Return what was done in a run in which something is found, and what that alone breaks."""
    text = run_seed(seed, settings).run_file
    if not text:
        return "", None
    record = parse_run(text, f"the run under seed {seed}")
    return judge_record(record, settings.code).broken, record


def _tried(exhibit: Exhibit, shrinks: bool) -> Hunted:
    """Put a bug of consensus on trial."""
    name, consensus = exhibit.bug.name, exhibit.bug.consensus
    if consensus is Raft:
        return Hunted(name, None)
    verdict = first_broken(consensus, title=name, shrinking=SHRINKING if shrinks else 0)
    if verdict is None:
        return Hunted(name, None)
    steps = len(verdict.lines) if shrinks else None
    finding = Finding(verdict.name, verdict.run, steps, Finder.TRIAL)
    return Hunted(name, finding, verdict.saved if shrinks else "")


def _explored(exhibit: Exhibit) -> Finding | None:
    """Explore the futures of a small cluster that has a bug."""
    cluster = Cluster(3, options=NO_TIME, consensus=exhibit.bug.consensus)
    report = explore(cluster, ExplorationBounds(**exhibit.explored))
    if report.violation is None:
        return None
    return Finding(report.violation.property, by=Finder.EXPLORER, states=report.states)


# ── many bugs ───────────────────────────────────────────────────────────────────────────────────


def hunt_lines(
    exhibits: Iterable[Exhibit],
    runs: int | None = None,
    *,
    path: Path | None = None,
    folder: Path | None = None,
    executor: Executor | None = None,
) -> Iterator[tuple[str, bool]]:
    """Hunt for one bug after another; yield for each what was found, and whether anything was.

    A bug gets as many ``runs`` of the swarm, by default those within which it is to be found.
    Findings are stored in the file ``path``, next to those in it: after each bug, so a hunt can be
    interrupted.  With a ``folder`` runs are made small, and stored there unless a shorter one is
    known, which stays as it is.  With an ``executor`` several bugs are hunted for at once.
    """
    stored = load_findings(path) if path is not None else {}
    limits = {each.bug.name: runs or each.within for each in exhibits}
    for result in _hunt_all(limits, folder is not None, executor):
        _store(result, stored, folder)
        if path is not None:
            save_findings(path, stored)
        yield _hunted_line(result, limits[result.name]), result.finding is not None


def _store(result: Hunted, stored: dict[str, Finding], folder: Path | None) -> None:
    """Store what a hunt came to, in place of what an earlier one did."""
    before, finding = stored.pop(result.name, None), result.finding
    if finding is None:
        if before is not None and before.by is Finder.SCRIPT:  # which no hunt finds
            stored[result.name] = before
        return
    if before is not None and _is_shortest(before, finding):
        finding = finding._replace(actions=before.actions, small=before.small)
    elif folder is not None and result.text:
        file = folder / result.file
        file.parent.mkdir(exist_ok=True)
        file.write_text(result.text, encoding="utf-8", newline="\n")
    stored[result.name] = finding


def _is_shortest(before: Finding, finding: Finding) -> bool:
    """Return whether the run stored ``before`` shows the same, and is the shortest known one."""
    if (before.by, before.property) != (finding.by, finding.property) or before.actions is None:
        return False
    return finding.actions is None or before.actions < finding.actions


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


# ── one bug ─────────────────────────────────────────────────────────────────────────────────────


def shown_lines(exhibit: Exhibit) -> Iterator[str]:
    """Yield the story of one bug, and the shortest known run that has it, if it has one."""
    yield from story_lines(exhibit)
    found = exhibit.found
    if found is None or found.actions is None:
        return
    if found.by is Finder.TRIAL:
        played = scenario.load(scenario_file(exhibit.run))
        members = counted(len(played.setup.members), "member")
        lines = [f"  {line.text}" for line in played.lines]
    else:
        record = find_run(exhibit.run)
        members = counted(len(record.members), "member")
        lines = list(history_lines(record))
    yield f"\nIts shortest known run, of {members}:"
    yield from lines
    if exhibit.play != exhibit.command:
        yield f"\n  {exhibit.play}"
