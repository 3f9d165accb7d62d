"""What is the case after a step, in a sentence that concludes, and when that was."""

from __future__ import annotations

from kvraft.display import counted, listed
from kvraft.viz.sandbox.canvas import span
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.links import link_says
from kvraft.viz.sandbox.logs import doomed_entries
from kvraft.viz.trace import ClusterState, story_line, tables_at

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
        entries = "the one entry is" if committed == 1 else f"all {committed:,} entries are"
        return f"{entries} committed"
    first = committed + 1
    held = sum(
        any(e.index == newest.index and e.term == newest.term for e in m.log[-64:])
        for m in state.members.values()
    )
    one = first >= newest.index
    what = f"entry {newest.index} is" if one else f"entries {span(first, newest.index)} are"
    return f"{what} on {held} of {counted(len(state.members), 'disk')}: not committed"


def _doom(state: ClusterState) -> str:
    doomed = doomed_entries(state)
    if not doomed:
        return ""
    first = min(doomed.values())
    same = [other for other, index in doomed.items() if index == first]
    last = max(state.members[other].log[-1].index for other in same)
    what = "entry" if first == last else "entries"
    return f"{what} {span(first, last)} of {listed(same)} will be overwritten"


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
