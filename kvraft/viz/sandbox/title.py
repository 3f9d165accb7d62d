"""What is the case after a step, in a sentence that concludes, and when that was."""

from __future__ import annotations

from kvraft.display import counted, listed
from kvraft.viz.sandbox.canvas import span
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.links import link_says
from kvraft.viz.sandbox.logs import doomed_entries
from kvraft.viz.trace import ClusterState, story_line, tables_at

_LOOK = 64
"""How far back from the end of the logs copies are counted."""
MOST = 4
"""How many conclusions are says at most."""


def conclusion(film: Film, step: int) -> str:
    """Return what is the case after ``step``: who leads, what is committed, what is wrong."""
    if not len(film):
        return "Nothing has happened yet"
    state = film.at(step)
    if not state.members:  # a tree alone
        words = str(tables_at(film.trace, step, film.trace[0].who))
        return words[:1].upper() + words[1:]
    says = [f"{broken} is broken" for broken, what in film.lights.at(step).items() if what]
    says += [_leadership(state), _commitment(film, step, state), _doom(state)]
    says += [_cut(state), _down(state), *(link_says(link) for link in state.links.values())]
    says += [f"{name} is paused" for name, member in state.members.items() if member.paused]
    words = "; ".join([part for part in says if part][:MOST])
    return words if words.split(" ", 1)[0] in state.members else words[:1].upper() + words[1:]


def moment(film: Film, step: int) -> str:
    """Return when a step was, and what happened in it."""
    return story_line(film.trace, step) if len(film) else "0 ms"


def _leadership(state: ClusterState) -> str:
    leaders = [(m.term, n) for n, m in state.members.items() if m.running and m.role == "leader"]
    stand = [n for n, m in state.members.items() if m.running and "candidate" in m.role]
    if not leaders:
        terms = max((m.term for m in state.members.values()), default=0)
        if stand:
            ask = "ask" if len(stand) > 1 else "asks"
            return f"no member leads; {listed(stand)} {ask} for votes"
        return "no member leads" + (f" since term {terms}" if terms else " yet")
    leaders.sort(reverse=True)
    says = [f"{leaders[0][1]} leads term {leaders[0][0]}"]
    says += [f"{name} still believes that it leads term {term}" for term, name in leaders[1:2]]
    return "; ".join(says)


def _commitment(film: Film, step: int, state: ClusterState) -> str:
    """Say what is committed, and for the newest entry that is not, on how many disks it is."""
    lasts = [m.log[-1] for m in state.members.values() if m.log]
    if not lasts:
        return ""
    committed = film.committed(step)
    newest = max(lasts, key=lambda entry: (entry.term, entry.index))
    if newest.index <= committed:
        few = {1: "the one entry is", 2: "both entries are"}
        entries = few.get(committed, f"all {committed:,} entries are")
        return f"{entries} committed"
    first = max(committed + 1, newest.index - _LOOK + 1)
    wanted = {
        entry.index: entry.term
        for entry in next(m.log for m in state.members.values() if m.log and m.log[-1] == newest)
        if entry.index >= first
    }
    disks = counted(len(state.members), "disk")
    held = dict.fromkeys(wanted, 0)
    for member in state.members.values():
        for entry in member.log[-2 * _LOOK :]:
            held[entry.index] = held.get(entry.index, 0) + (wanted.get(entry.index) == entry.term)
    held = {index: held[index] for index in wanted}
    return f"{_on_disks(held, disks)}: not committed"


def _on_disks(held: dict[int, int], disks: str) -> str:
    """Say on how many of so many ``disks`` entries are, given that by index."""
    spans: list[tuple[int, int, int]] = []
    for index, count in held.items():
        first = spans.pop()[0] if spans and spans[-1][2] == count else index
        spans.append((first, index, count))
    if len(spans) > 2:
        low, high = min(held.values()), max(held.values())
        return f"entries {span(spans[0][0], spans[-1][1])} are on {low} to {high} of {disks}"
    first, last, count = spans[0]
    says = f"{_entries(first, last)} {'is' if first == last else 'are'} on {count} of {disks}"
    return says + "".join(f", {_entries(*rest[:2])} on {rest[2]}" for rest in spans[1:])


def _entries(first: int, last: int) -> str:
    return f"entry {first}" if first == last else f"entries {span(first, last)}"


def _doom(state: ClusterState) -> str:
    doomed = doomed_entries(state)
    if not doomed:
        return ""
    first = min(doomed.values())
    if max(doomed.values()) > first:
        return f"entries of {listed(list(doomed))} will be overwritten, from {first} on"
    last = max(state.members[other].log[-1].index for other in doomed)
    return f"{_entries(first, last)} of {listed(list(doomed))} will be overwritten"


def _cut(state: ClusterState) -> str:
    if not state.groups:
        return ""
    largest = max(state.groups, key=lambda group: len(group.split()))
    others = [name for group in state.groups if group != largest for name in group.split()]
    if not others:
        return ""
    return f"{listed(others)} {'are' if len(others) > 1 else 'is'} cut off"


def _down(state: ClusterState) -> str:
    down = [name for name, member in state.members.items() if not member.running]
    return f"{listed(down)} {'are' if len(down) > 1 else 'is'} down" if down else ""
