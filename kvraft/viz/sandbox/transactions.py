"""Transactions in the logs: which copies are whole, which open, which were discarded.

::

    ann.4#1: APPLIED, sent 2 times         what the client knows
                 5  6  7  8  9
    n1          ┌──┬──┬──┬──┬──┐           fill: the term    words: the key
    leader      │k̶0│k̶1│k̶2│∅ │k0◢           ◢ end mark        struck out: discarded
                └──┴──┴──┴──┴──┘           dashed: not known to be committed here
                 discarded                 thick: in effect  ∅ no-op   ® registration
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.viz import svg
from kvraft.viz.sandbox import canvas as kit
from kvraft.viz.sandbox.canvas import Canvas
from kvraft.viz.sandbox.film import Film
from kvraft.viz.sandbox.logs import entry_says
from kvraft.viz.trace import EntryState, MemberState

LEFT, RIGHT = 78.0, 434.0
ROW, CELL, MOST = 70.0, 32.0, 12
BROAD = 114.0
TICKETS = 2
LINE = 24.0
PALER = 0.4


@immutable
class _Window(NamedTuple):
    """The entries that are shown, from ``low`` on, ``wide`` each."""

    low: int
    wide: float

    def x(self, index: int) -> float:
        return LEFT + self.wide * (index - self.low)


def transactions_panel(film: Film, step: int) -> str:
    """Draw the ends of all logs by transactions after ``step``, below how far each ticket is."""
    if not len(film):
        return kit.empty("Nothing has happened yet: there is no transaction.")
    state = film.at(step)
    last = max((m.log[-1].index for m in state.members.values() if m.log), default=0)
    if not last:
        return kit.empty("All logs are empty: no entry has been written yet.")
    first = min(m.log[0].index for m in state.members.values() if m.log)
    count = min(last - first + 1, MOST)
    window = _Window(last - count + 1, min((RIGHT - LEFT) / count, BROAD))
    drawing, top = Canvas(), 0.0
    for txn, stage in film.tickets(step)[-TICKETS:]:
        top += LINE
        drawing.text(6, top - 4, kit.fitted(f"{txn}: {stage}", RIGHT))
    top += LINE
    every = 1 if kit.width_of(str(last)) + 5 <= window.wide else 2
    drawing.text(6, top - 4, "entry", colour=kit.SOFT)
    for index in range(last, window.low - 1, -every):
        middle = window.x(index) + window.wide / 2
        drawing.text(
            kit.inside(middle, str(index)), top - 4, str(index), anchor="middle", colour=kit.SOFT
        )
    for name, member in state.members.items():
        parts = Canvas()
        _draw_name(parts, name, member, top + 6)
        for run in runs_of(member.log):
            _draw_run(parts, run, member, window, top + 6)
        area = kit.clear(kit.WIDE / 2, top + ROW / 2, kit.WIDE - 8, ROW - 6)
        says = f"{name}: {_log_words(member)}"
        drawing.add(kit.hot(f"member {name}", says, area, *parts.parts))
        top += ROW
    return drawing.picture(_draw_legend(drawing, top + 8), transactions_says(film, step))


def transactions_says(film: Film, step: int) -> str:
    """Return the moment in words: the transactions in each log, and what became of them."""
    members = film.at(step).members
    words = [f"{name}: {_log_words(member)}" for name, member in members.items()]
    words += [f"{txn} is {stage}" for txn, stage in film.tickets(step)[-1:]]
    return f"Transactions. {'; '.join(words)}."


def runs_of(log: Sequence[EntryState]) -> list[list[EntryState]]:
    """Return the entries of a log by copies of transactions; any other entry is a run of its own.

    A registration and a no-op belong to no transaction.
    """
    runs: list[list[EntryState]] = []
    for entry in log:
        before = runs[-1][-1] if runs else None
        if before and entry.txn and before.txn == entry.txn and not before.end:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def fate_of(run: Sequence[EntryState], member: MemberState) -> str:
    """Return what a copy of a transaction is worth at a member, as far as that one knows."""
    if _discarded(run[0], member):
        return "discarded"
    if run[-1].end and run[-1].index <= member.marks.applied:
        return "in effect"
    return "whole" if run[-1].end else "open"


def _discarded(entry: EntryState, member: MemberState) -> bool:
    """Whether it was discarded, as far as the member knows: one that restarted knows no more."""
    return entry.discarded and entry.index <= member.marks.committed


def _log_words(member: MemberState) -> str:
    runs = [run for run in runs_of(member.log) if run[0].txn][-3:]
    found = [f"{len(run)} of {run[0].txn} {fate_of(run, member)}" for run in runs]
    down = "" if member.running else "down, "
    return down + (", ".join(found) or "no transaction")


def _draw_name(drawing: Canvas, name: str, member: MemberState, top: float) -> None:
    colour = kit.INK if member.running else kit.SOFT
    word = {"leader": "leader", "follower": "follows"}.get(member.role, "stands")
    name = kit.fitted(name, LEFT - 10, kit.NAME, bold=True)
    drawing.text(6, top + 16, name, kit.NAME, bold=True, colour=colour)
    drawing.text(6, top + 37, word if member.running else "down", colour=kit.SOFT)


def _draw_run(
    drawing: Canvas, run: Sequence[EntryState], member: MemberState, window: _Window, top: float
) -> None:
    """Draw a copy of a transaction, or another entry, with what it is worth below it."""
    shown = [entry for entry in run if entry.index >= window.low]
    fate = fate_of(run, member) if run[0].txn else ""
    for entry in shown:
        _draw_entry(drawing, entry, member, window, top, fate)
    if not shown or not fate:
        return
    left = window.x(shown[0].index) + 3
    right = window.x(shown[-1].index + 1) - 3
    y = top + CELL + 7
    drawing.add(svg.line(left, y, right, y, kit.INK, 1.8))
    for words in (f"{run[0].txn} {fate}", fate):
        if kit.width_of(words) <= right - left + 4:
            drawing.text((left + right) / 2, y + 19, words, anchor="middle")
            break


def _draw_entry(
    drawing: Canvas, entry: EntryState, member: MemberState, window: _Window, top: float, fate: str
) -> None:
    x, wide = window.x(entry.index), window.wide
    committed = member.running and entry.index <= member.marks.committed
    struck = fate == "discarded"
    says = f"entry {entry.index}, term {entry.term}: {entry_says(entry)}"
    says += ", end mark" * entry.end + ", discarded" * struck
    drawing.add(
        svg.rect(
            x + 1.5,
            top,
            wide - 3,
            CELL,
            svg.fill_of(entry.term),
            kit.INK,
            width=3.2 if fate == "in effect" else 1.3,
            dashes="" if committed else "4 3",
            opacity=None if committed and not struck else PALER,
            title=says,
        )
    )
    shown = entry.key if entry.txn else "®" if entry.key else "∅"
    shown = "C" if entry.configuration else shown
    if entry.end:
        drawing.add(svg.corner(x + wide - 2, top + CELL, 10))
    if struck:
        drawing.add(svg.line(x + 3, top + CELL - 3, x + wide - 3, top + 3, kit.ALARM, 2.5))
    else:
        words = kit.fitted(shown, wide - 5)
        drawing.text(x + wide / 2, top + 22, words, anchor="middle")


def _draw_legend(drawing: Canvas, top: float) -> float:
    """Explain the signs; return where the legend ends."""
    y = top + 10
    drawing.add(svg.rect(7, y - 10, 22, 20, svg.WHITE, kit.INK, dashes="4 3", width=1.3))
    drawing.text(37, y + 6, "not known to be committed here")
    drawing.add(svg.corner(372, y + 8, 12))
    drawing.text(379, y + 6, "end")
    y += 28
    drawing.add(svg.rect(7, y - 10, 22, 20, svg.WHITE, kit.INK, width=3.2))
    drawing.text(37, y + 6, "in effect")
    drawing.add(svg.rect(124, y - 10, 22, 20, svg.WHITE, kit.INK, width=1.3))
    drawing.add(svg.line(126, y + 8, 144, y - 8, kit.ALARM, 2.5))
    drawing.text(154, y + 6, "discarded")
    drawing.text(250, y + 6, "∅ no-op")
    drawing.text(336, y + 6, "® client")
    return y + 20
