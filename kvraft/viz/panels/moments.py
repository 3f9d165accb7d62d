"""Moments side by side, for arguments about safety.

:func:`panels` draws chosen moments of one run or of several, each with a caption, as Figure 8 of
the paper does::

    (a)              (b)              (c)           name of the moment
    s1   1 2         s1   1 2         s1   1 2 4    a log: the terms of its entries; dashed means
    s2   1 2         s2   1 2         s2   1 2      not committed, as far as this member knows
    s3   1           s3   1           s3   1 2
    committed 1      committed 1      committed 1   what anybody ever took for committed, and
              3/3              3/3              3/3 on how many disks it is now
    s1 leads …       s3 leads …       s1 leads …    the caption

The row *committed* is folded from the trace: an entry is entered when the first member reports a
commit index that covers it, and stays.  So an entry that should have been kept, and is not, is seen
to vanish: what counts its copies falls below a majority.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from kvraft.errors import BadInput
from kvraft.events import Marks, Trace
from kvraft.sim import Cluster
from kvraft.viz import svg
from kvraft.viz.panels.lamps import Lamps
from kvraft.viz.trace import ClusterState, EntryState, MemberState, members_of, take


class Moment(NamedTuple):
    """The state after ``step`` of ``trace``, drawn under ``name`` and above its ``caption``.

    With ``lamps`` it is also said which properties had been broken by then.
    """

    name: str
    caption: str
    trace: Trace
    step: int
    lamps: Lamps | None = None


def moment(name: str, caption: str, cluster: Cluster, lamps: Lamps | None = None) -> Moment:
    """Return the moment that ``cluster`` is in now."""
    return Moment(name, caption, cluster.trace, len(cluster.trace) - 1, lamps)


class DrawnMoment(NamedTuple):
    """A moment worked out: the members, and what was ever committed, by index the term."""

    moment: Moment
    state: ClusterState
    ledger: dict[int, int]

    @property
    def last(self) -> int:
        """The last index that is to be seen."""
        ends = [cell.index for member in self.state.members.values() for cell in member.log[-1:]]
        return max([*ends, *self.ledger], default=0)

    def holders(self, index: int) -> int:
        """Return how many disks hold the entry that was committed at ``index``."""
        wanted = (index, self.ledger[index])
        logs = [member.log for member in self.state.members.values()]
        return sum(any((cell.index, cell.term) == wanted for cell in log) for log in logs)

    def lost(self, index: int) -> bool:
        """Return whether less than a majority holds the entry that was committed at ``index``."""
        return 2 * self.holders(index) <= len(self.state.members)

    def __str__(self) -> str:
        """Return the moment in words."""
        logs = [f"{name} {_words(member)}" for name, member in self.state.members.items()]
        kept = [
            f"{index} of term {term} on {self.holders(index)} of {len(logs)}"
            for index, term in self.ledger.items()
        ]
        return f"{self.moment.name}: {'; '.join(logs)}; committed {', '.join(kept) or 'nothing'}"


def _words(member: MemberState) -> str:
    terms = " ".join(str(cell.term) for cell in member.log) or "empty"
    return f"{_role(member)}, log {terms}"


def _role(member: MemberState) -> str:
    return f"{member.role} {member.term}" if member.running else "down"


def panel(moment: Moment) -> DrawnMoment:
    """Work out a moment; raises :class:`~kvraft.errors.BadInput` if its trace has no such step.

    Logs of up to 64 entries are seen whole.
    """
    trace, step = moment.trace, moment.step
    if not 0 <= step < len(trace):
        raise BadInput(f"{moment.name}: the trace has steps 0 to {len(trace) - 1}, not {step}")
    state = ClusterState(members={name: MemberState() for name in members_of(trace)})
    ledger: dict[int, int] = {}
    for number in range(step + 1):
        take(state, trace, number)
        _, who, event = trace[number]
        if isinstance(event, Marks):  # a member is done with an input: log and marks fit together
            for cell in state.members[who].log:
                if cell.index <= event.committed:
                    ledger.setdefault(cell.index, cell.term)
    return DrawnMoment(moment, state, dict(sorted(ledger.items())))


ROW, HEAD, NAMES = 34, 24, 62


def panels(moments: Sequence[Moment], across: int = 5) -> str:
    """Draw ``moments`` from left to right, ``across`` in a row.

    Raises :class:`~kvraft.errors.BadInput` if there are none.
    """
    if not moments or across < 1:
        raise BadInput("there is nothing to draw: no moment was chosen")
    found = [panel(moment) for moment in moments]
    wide = svg.WIDTH / across
    cell = min(24.0, (wide - NAMES - 10) / max([p.last for p in found] + [1]))
    parts: list[str] = []
    top = 0.0
    for start in range(0, len(found), across):
        row = found[start : start + across]
        for number, each in enumerate(row):
            parts += _draw(each, wide * number, top, wide, cell)
        top += max(_height(each, wide) for each in row)
    says = "dashed: not committed, as far as this member knows      n/m: on n of m disks"
    parts.append(svg.legend(6, top + 12, says, 10))
    return svg.drawing(top + 20, " | ".join(map(str, found)), parts)


def _lines(each: DrawnMoment, wide: float) -> list[str]:
    return textwrap.wrap(each.moment.caption, int((wide - 12) / 5.8))


def _broken(each: DrawnMoment) -> list[str]:
    """Return the properties that had been broken by then."""
    lamps = each.moment.lamps
    return [str(p) for p, v in lamps.at(each.moment.step).items() if v] if lamps else []


def _height(each: DrawnMoment, wide: float) -> float:
    told = max(len(_broken(each)), 1) if each.moment.lamps else 0
    return HEAD + ROW * (len(each.state.members) + 1) + 16 + 14 * (len(_lines(each, wide)) + told)


def _draw(each: DrawnMoment, left: float, top: float, wide: float, cell: float) -> list[str]:
    parts = [svg.text(left + 6, top + 15, each.moment.name, 14, weight="bold")]
    y = top + HEAD
    for name, member in each.state.members.items():
        parts += _row(name, member, left, y, cell)
        y += ROW
    parts += _committed(each, left, y, wide, cell)
    y += ROW + 14
    if each.moment.lamps:
        broken = _broken(each)
        for says in [f"✗ {name}" for name in broken] or ["✓ all properties hold"]:
            colour = svg.DARK_RED if broken else svg.BLACK
            parts.append(svg.text(left + 6, y, says, 11, weight="bold", colour=colour))
            y += 14
    for says in _lines(each, wide):
        parts.append(svg.text(left + 6, y, says, 11))
        y += 14
    return parts


def _row(name: str, member: MemberState, left: float, y: float, cell: float) -> list[str]:
    """Draw one member: its name, in bold while it leads, its role and term, and its log."""
    grey = svg.BLACK if member.running else "#666666"
    weight = "bold" if member.running and member.role == "leader" else "normal"
    parts = [
        svg.text(left + 6, y + 11, name, 12, weight=weight, colour=grey),
        svg.text(left + 6, y + 22, _role(member), 9, weight=weight, colour=grey),
    ]
    committed = member.marks.committed if member.running else 0
    for each in member.log:
        parts.append(_cell(each, left, y, cell, dashed=each.index > committed))
    return parts


def _cell(cell: EntryState, left: float, y: float, wide: float, *, dashed: bool) -> str:
    x = left + NAMES + wide * (cell.index - 1)
    width, dashes = (None, "3 3") if dashed else (2, "")
    box = svg.rect(x + 1, y, wide - 2, 22, svg.fill_of(cell.term), width=width, dashes=dashes)
    return box + svg.text(x + wide / 2, y + 15, str(cell.term), 12, "middle")


def _committed(each: DrawnMoment, left: float, y: float, wide: float, cell: float) -> list[str]:
    """Draw what was ever committed, and below each entry on how many disks it is."""
    parts = [
        svg.line(left + 6, y - 6, left + wide - 8, y - 6, "#777777"),
        svg.text(left + 6, y + 14, "committed", 10),
    ]
    members = len(each.state.members)
    for index, term in each.ledger.items():
        shown = EntryState(index, term, "", "", True)
        parts.append(_cell(shown, left, y, cell, dashed=False))
        x, lost = left + NAMES + cell * (index - 0.5), each.lost(index)
        count = f"{each.holders(index)}/{members}"
        colour = svg.DARK_RED if lost else svg.BLACK
        weight = "bold" if lost else "normal"
        size = 9 if cell >= 20 else 7
        parts.append(svg.text(x, y + 32, count, size, "middle", weight=weight, colour=colour))
        if lost:
            parts.append(svg.line(x - cell / 2 + 3, y + 20, x + cell / 2 - 3, y + 2, svg.RED, 3))
    return parts
