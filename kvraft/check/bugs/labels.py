"""The zoo in words: all bugs as a list, and the story of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from kvraft.check.bugs.exhibits import Exhibit, Finder
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
    yield _found_by(shown)
    runs = sorted(
        each.found.seed
        for each in shown
        if each.found is not None and each.found.by is Finder.SWARM
    )
    if runs:
        half = counted(runs[len(runs) // 2], "run")
        yield f"By the swarm {runs.count(1)} in the first run, half of them within {half}"


def _found_by(shown: Sequence[Exhibit]) -> str:
    """Return how many bugs were found by whom."""
    by = Counter(each.found.by if each.found is not None else None for each in shown)
    words: dict[Finder | None, str] = {
        Finder.SWARM: "found by the swarm",
        Finder.TRIAL: "in a trial",
        Finder.EXPLORER: "by the explorer",
        Finder.SCRIPT: "shown by a run that was written for it",
        None: "not found",
    }
    parts = [f"{by[each]} {text}" for each, text in words.items() if by[each]]
    return f"{counted(len(shown), 'bug')}: {', '.join(parts)}"


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
    if exhibit.scenario:
        yield f"  kvraft play {exhibit.scenario}"


def _finder(exhibit: Exhibit) -> str:
    """Return who finds a bug, and how soon."""
    found = exhibit.found
    if found is None:
        return "no run has found it"
    luck = "; finding it takes luck" if exhibit.luck and found.by is Finder.SWARM else ""
    return f"{found.in_words()}{luck}"
