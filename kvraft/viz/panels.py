"""Moments side by side, and the properties of Raft as lamps: for arguments about safety.

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

:class:`Lamps` watches a cluster at work.  Each of the five properties of Figure 3 has a checker of
its own and a lamp: green with a tick while it holds, vermillion with a cross from the step on that
broke it.  Nothing is raised, so a run goes on and shows what follows from what.

As in ``views.py``, equal input gives equal text, and what colour says, a sign or words say too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kvraft.check.properties import Property, Violation
from kvraft.check.raft import RaftChecker, watch
from kvraft.contract import ReadReady
from kvraft.errors import BadInput
from kvraft.events import Marks, Trace
from kvraft.messages import Message
from kvraft.sim.cluster import Cluster
from kvraft.viz.series import members_of
from kvraft.viz.state import Cell, History, State, take
from kvraft.viz.state import Member as Seen
from kvraft.viz.views import WIDTH, _n, _svg, _text, fill_of

FIGURE_3 = (
    Property.ELECTION_SAFETY,
    Property.LEADER_APPEND_ONLY,
    Property.LOG_MATCHING,
    Property.LEADER_COMPLETENESS,
    Property.STATE_MACHINE_SAFETY,
)
"""The five properties of Figure 3, in its order."""

GREEN, RED = "#009E73", "#D55E00"
DARK_RED = "#8A3B00"
"""For text: the other two are too light to be read well."""


# ── lamps ───────────────────────────────────────────────────────────────────────────────────────


class Lamps:
    """Watches ``cluster`` from now on: a lamp for each of ``properties``.

    ``broken`` has for each property that no longer holds the step of the trace that broke it, and
    the :class:`~kvraft.check.properties.Violation`.
    """

    def __init__(self, cluster: Cluster, properties: Sequence[Property] = FIGURE_3) -> None:
        self.properties = tuple(properties)
        self.broken: dict[Property, tuple[int, Violation]] = {}
        self._cluster = cluster
        self._checkers: dict[Property, RaftChecker] = {}
        for property in self.properties:
            others = [other for other in Property if other is not property]
            self._checkers[property] = watch(cluster, but=others)
            cluster.watchers.pop()  # it is told by way of the lamps, which catch what it raises
        cluster.watchers.append(self)

    def sent(self, message: Message) -> None:
        """Tell the checkers; see :class:`~kvraft.sim.cluster.Watcher`."""
        self._tell(lambda checker: checker.sent(message))

    def asked(self, name: str, token: int) -> None:
        """Tell the checkers."""
        self._tell(lambda checker: checker.asked(name, token))

    def served(self, name: str, read: ReadReady) -> None:
        """Tell the checkers."""
        self._tell(lambda checker: checker.served(name, read))

    def stepped(self, name: str) -> None:
        """Tell the checkers."""
        self._tell(lambda checker: checker.stepped(name))

    def _tell(self, tell: Callable[[RaftChecker], None]) -> None:
        for property in self.properties:
            if property in self.broken:
                continue
            try:
                tell(self._checkers[property])
            except Violation as violation:
                self.broken[property] = len(self._cluster.trace) - 1, violation

    def at(self, step: int) -> dict[Property, Violation | None]:
        """Return for each property what has broken it by ``step`` of the trace, if anything has."""
        return {
            property: next(
                (what for at, what in [self.broken.get(property, (step + 1, None))] if at <= step),
                None,
            )
            for property in self.properties
        }

    def __str__(self) -> str:
        """Return a line for each lamp, as it is now."""
        lines = []
        for property, violation in self.at(len(self._cluster.trace)).items():
            sign, what = ("✗", violation.what) if violation else ("✓", "holds")
            lines.append(f"{sign} {property:21} {what}")
        return "\n".join(lines)

    def view(self, history: History, step: int) -> str:
        """Draw the lamps as they were after ``step``; a view as those of ``views.py`` are."""
        states = self.at(step)
        parts, wide = [], WIDTH / len(states)
        for number, (property, violation) in enumerate(states.items()):
            x = wide * number + 17
            sign, colour = ("✗", RED) if violation else ("✓", GREEN)
            parts.append(
                f'<circle cx="{_n(x)}" cy="26" r="13" fill="{colour}" stroke="#000000"/>'
                + _text(x, 32, sign, 16, "middle", weight="bold")
                + _text(x + 18, 23, property, 11, weight="bold")
                + _text(x + 18, 38, "is broken" if violation else "holds", 11)
            )
        told = [violation.what for violation in states.values() if violation]
        parts += [_text(12, 60 + 15 * row, what, 11) for row, what in enumerate(told)]
        says = "; ".join(f"{p} {'is broken' if v else 'holds'}" for p, v in states.items())
        return _svg(52 + 15 * len(told) + 3 * bool(told), f"{says}.", parts)


# ── panels ──────────────────────────────────────────────────────────────────────────────────────


class Moment(NamedTuple):
    """The state after ``step`` of ``trace``, to be drawn under ``name`` and over what it ``says``.

    With ``lamps`` it is also said which properties had been broken by then.
    """

    name: str
    says: str
    trace: Trace
    step: int
    lamps: Lamps | None = None


def moment(name: str, says: str, cluster: Cluster, lamps: Lamps | None = None) -> Moment:
    """Return the moment that ``cluster`` is in now."""
    return Moment(name, says, cluster.trace, len(cluster.trace) - 1, lamps)


class Panel(NamedTuple):
    """A moment worked out: the members, and what was ever committed, by index the term."""

    moment: Moment
    state: State
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


def _words(member: Seen) -> str:
    terms = " ".join(str(cell.term) for cell in member.log) or "empty"
    return f"{_role(member)}, log {terms}"


def _role(member: Seen) -> str:
    return f"{member.role} {member.term}" if member.running else "down"


def panel(moment: Moment) -> Panel:
    """Work out a moment; raises :class:`~kvraft.errors.BadInput` if its trace has no such step.

    Logs of up to 64 entries are seen whole.
    """
    trace, step = moment.trace, moment.step
    if not 0 <= step < len(trace):
        raise BadInput(f"{moment.name}: the trace has steps 0 to {len(trace) - 1}, not {step}")
    state = State(members={name: Seen() for name in members_of(trace)})
    ledger: dict[int, int] = {}
    for number in range(step + 1):
        take(state, trace, number)
        _, who, event = trace[number]
        if isinstance(event, Marks):  # a member is done with an input: log and marks fit together
            for cell in state.members[who].log:
                if cell.index <= event.committed:
                    ledger.setdefault(cell.index, cell.term)
    return Panel(moment, state, dict(sorted(ledger.items())))


ROW, HEAD, NAMES = 34, 24, 62


def panels(moments: Sequence[Moment], across: int = 5) -> str:
    """Draw ``moments`` from left to right, ``across`` in a row.

    Raises :class:`~kvraft.errors.BadInput` if there are none.
    """
    if not moments or across < 1:
        raise BadInput("there is nothing to draw: no moment was chosen")
    found = [panel(moment) for moment in moments]
    wide = WIDTH / across
    cell = min(24.0, (wide - NAMES - 10) / max([p.last for p in found] + [1]))
    parts: list[str] = []
    top = 0.0
    for start in range(0, len(found), across):
        row = found[start : start + across]
        for number, each in enumerate(row):
            parts += _draw(each, wide * number, top, wide, cell)
        top += max(_height(each, wide) for each in row)
    legend = "dashed: not committed, as far as this member knows      n/m: on n of m disks"
    parts.append(_text(6, top + 12, legend, 10, colour="#333333"))
    return _svg(top + 20, " | ".join(map(str, found)), parts)


def _lines(each: Panel, wide: float) -> list[str]:
    return textwrap.wrap(each.moment.says, int((wide - 12) / 5.8))


def _broken(each: Panel) -> list[str]:
    """Return the properties that had been broken by then."""
    lamps = each.moment.lamps
    return [str(p) for p, v in lamps.at(each.moment.step).items() if v] if lamps else []


def _height(each: Panel, wide: float) -> float:
    told = max(len(_broken(each)), 1) if each.moment.lamps else 0
    return HEAD + ROW * (len(each.state.members) + 1) + 16 + 14 * (len(_lines(each, wide)) + told)


def _draw(each: Panel, left: float, top: float, wide: float, cell: float) -> list[str]:
    parts = [_text(left + 6, top + 15, each.moment.name, 14, weight="bold")]
    y = top + HEAD
    for name, member in each.state.members.items():
        parts += _row(name, member, left, y, cell)
        y += ROW
    parts += _committed(each, left, y, wide, cell)
    y += ROW + 14
    if each.moment.lamps:
        broken = _broken(each)
        for text in [f"✗ {name}" for name in broken] or ["✓ all properties hold"]:
            colour = DARK_RED if broken else "#000000"
            parts.append(_text(left + 6, y, text, 11, weight="bold", colour=colour))
            y += 14
    for line in _lines(each, wide):
        parts.append(_text(left + 6, y, line, 11))
        y += 14
    return parts


def _row(name: str, member: Seen, left: float, y: float, cell: float) -> list[str]:
    """Draw one member: its name, in bold while it leads, its role and term, and its log."""
    grey = "#000000" if member.running else "#666666"
    weight = "bold" if member.running and member.role == "leader" else "normal"
    parts = [
        _text(left + 6, y + 11, name, 12, weight=weight, colour=grey),
        _text(left + 6, y + 22, _role(member), 9, weight=weight, colour=grey),
    ]
    committed = member.marks.committed if member.running else 0
    for each in member.log:
        parts.append(_cell(each, left, y, cell, dashed=each.index > committed))
    return parts


def _cell(cell: Cell, left: float, y: float, wide: float, *, dashed: bool) -> str:
    x = left + NAMES + wide * (cell.index - 1)
    dashes = ' stroke-dasharray="3 3"' if dashed else ' stroke-width="2"'
    return (
        f'<rect x="{_n(x + 1)}" y="{_n(y)}" width="{_n(wide - 2)}" height="22"'
        f' fill="{fill_of(cell.term)}" stroke="#000000"{dashes}/>'
        + _text(x + wide / 2, y + 15, str(cell.term), 12, "middle")
    )


def _committed(each: Panel, left: float, y: float, wide: float, cell: float) -> list[str]:
    """Draw what was ever committed, and below each entry on how many disks it is."""
    parts = [
        f'<line x1="{_n(left + 6)}" y1="{_n(y - 6)}" x2="{_n(left + wide - 8)}" y2="{_n(y - 6)}"'
        ' stroke="#777777"/>',
        _text(left + 6, y + 14, "committed", 10),
    ]
    members = len(each.state.members)
    for index, term in each.ledger.items():
        shown = Cell(index, term, "", "", True)
        parts.append(_cell(shown, left, y, cell, dashed=False))
        x, lost = left + NAMES + cell * (index - 0.5), each.lost(index)
        count = f"{each.holders(index)}/{members}"
        colour = DARK_RED if lost else "#000000"
        weight = "bold" if lost else "normal"
        size = 9 if cell >= 20 else 7
        parts.append(_text(x, y + 32, count, size, "middle", weight=weight, colour=colour))
        if lost:
            parts.append(
                f'<line x1="{_n(x - cell / 2 + 3)}" y1="{_n(y + 20)}" x2="{_n(x + cell / 2 - 3)}"'
                f' y2="{_n(y + 2)}" stroke="{RED}" stroke-width="3"/>'
            )
    return parts
