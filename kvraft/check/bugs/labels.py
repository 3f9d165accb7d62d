"""The zoo in words: all bugs as a list, and the story of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from kvraft.check.bugs.exhibits import Exhibit
from kvraft.display import counted


def zoo_lines(exhibits: Iterable[Exhibit]) -> Iterator[str]:
    """Yield two lines for each bug, place by place, and how many of them were found how soon."""
    shown = list(exhibits)
    for place, kinds in groupby(shown, key=lambda each: each.bug.place):
        yield place
        for each in kinds:
            yield f"  {each.bug.name}: {each.rule}"
            yield f"    {_finder(each)}"
        yield ""
    runs = sorted(each.found.seed for each in shown if each.found is not None)
    others = sum(each.found is None and each.elsewhere for each in shown)
    yield f"{counted(len(shown), 'bug')}: {len(runs)} found by the swarm, {others} elsewhere"
    if runs:
        half = counted(runs[len(runs) // 2], "run")
        yield f"{runs.count(1)} in the first run, half of them within {half}"


def story_lines(exhibit: Exhibit) -> Iterator[str]:
    """Yield what goes wrong with one bug, where that was seen, and the command that shows it."""
    planted, finder = exhibit.bug.planted, _finder(exhibit)
    yield f"{exhibit.bug.name} ({planted.__module__}.{planted.__name__})\n"
    yield f"{exhibit.rule}\n\n{exhibit.story}\n\nSeen in:"
    for each in exhibit.seen:
        yield f"  {each}"
    yield f"\n{finder[0].upper()}{finder[1:]}."
    if exhibit.luck:
        yield f"What it takes: {exhibit.luck}"
    yield f"\n  {exhibit.command}"
    if exhibit.scenario and exhibit.found is not None:
        yield f"  kvraft play {exhibit.scenario}"


def _finder(exhibit: Exhibit) -> str:
    """Return who finds a bug, and how soon."""
    if exhibit.found is not None:
        luck = "; it takes luck" if exhibit.luck else ""
        return f"{exhibit.found.in_words()}{luck}"
    if exhibit.explored:
        return "found by the explorer; no run of the swarm can show it"
    if exhibit.scenario:
        return f"found in the scenario {exhibit.scenario}; no run of the swarm has found it"
    return "no run has found it"
