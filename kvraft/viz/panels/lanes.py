"""Transactions in the logs of all members: which are whole, which open, which were discarded.

:func:`lanes_view` makes a picture of one moment, to be stepped through: a row of cells for each
member, one cell an entry, one colour a transaction, the same for all its copies::

    ann#1   SENT → APPENDED → DISCARDED → SENT     what the client knows
    n1   │b ◢│k0│k1│k2│k3│k4◢│                     ◢ commit mark
    n2   │b ◢│k̶0̶│k̶1̶│∅2│k0│k1│k2│k3│k4◢│            struck out: discarded; ∅ no-op, ® registration
          ──  ─────     ──────────────             thick: in effect; dashed: not committed

What colour says, a word or sign says too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from kvraft.events import EntriesAppended, TicketMoved, Trace
from kvraft.viz import svg
from kvraft.viz.trace import EntryState, MemberState, TraceHistory

TXN_COLOURS = (svg.SKY, svg.ORANGE, svg.GREEN, svg.PURPLE, svg.YELLOW, svg.RED)
"""Colours of transactions, in the order in which they first appear in any log."""

LEFT, CELL, HIGH, ROW = 92, 38, 28, 62
CELLS = (svg.WIDTH - LEFT - 6) // CELL
TICKETS = 3


def lanes_view(history: TraceHistory, step: int) -> str:
    """Draw the ends of all logs by transactions, and above them how far each ticket is."""
    state = history.at(step)
    past = history.trace
    colours = colours_of(past)
    last = max((c.index for m in state.members.values() for c in m.log[-1:]), default=0)
    low = max(1, last - CELLS + 1)
    lines = _tickets(past, step)[-TICKETS:]
    room = min(len(_tickets(past, len(past) - 1)), TICKETS)  # so that nothing moves
    parts = []
    for number, (txn, told) in enumerate(lines):
        parts.append(svg.rect(8, 8 + 17 * number, 12, 12, colours.get(txn, svg.WHITE)))
        parts.append(svg.text(26, 18 + 17 * number, f"{txn}:  {told}", 11))
    top = 14 + 17 * room
    parts.append(svg.text(8, top + 8, "log index", 10))
    for index in range(low, low + CELLS):
        parts.append(svg.text(_x(index, low) + CELL / 2, top + 8, str(index), 10, "middle"))
    for row, (name, member) in enumerate(state.members.items()):
        parts += _lane(name, member, low, top + 16 + ROW * row, colours)
    height = top + 16 + ROW * len(state.members) + 20
    says = "thick: in effect   dashed: not committed here, as far as it knows   ◢ commit mark"
    says += "   struck out: discarded   ∅ no-op   ® registration"
    parts.append(svg.text(8, height - 7, says, 11))
    return svg.drawing(height, lanes_words(history, step), parts)


def colours_of(trace: Trace) -> dict[str, str]:
    """Return the colour of each transaction of a trace."""
    names: dict[str, None] = {}
    for _, _, event in trace.of(EntriesAppended):
        assert isinstance(event, EntriesAppended)
        names |= dict.fromkeys(txn for txn in event.txns if txn)
    return {txn: TXN_COLOURS[number % len(TXN_COLOURS)] for number, txn in enumerate(names)}


def lanes_words(history: TraceHistory, step: int) -> str:
    """Return the moment in words: the transactions in each log, and what became of them."""
    state = history.at(step)
    parts = []
    for name, member in state.members.items():
        role = f"{member.role} of term {member.term}" if member.running else "down"
        runs = ", ".join(_run_words(run, member) for run in runs_of(member.log)[-4:])
        parts.append(f"{name}, {role}: {runs or 'empty'}")
    told = "; ".join(f"{txn} {line}" for txn, line in _tickets(history.trace, step)[-1:])
    return f"{state.at / 1000:.1f} ms. {'. '.join(parts)}. {told or 'No ticket'}."


def runs_of(log: Sequence[EntryState]) -> list[list[EntryState]]:
    """Return the entries of a log by copies of transactions; a no-op is a run of its own."""
    runs: list[list[EntryState]] = []
    for cell in log:
        before = runs[-1][-1] if runs else None
        if before and cell.txn and before.txn == cell.txn and not before.end:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    return runs


def _run_words(run: Sequence[EntryState], member: MemberState) -> str:
    first = run[0]
    if not first.txn:
        return f"registration of {first.key}" if first.key else f"no-op of term {first.term}"
    return f"{len(run)} of {first.txn} {_fate(run, member)}"


def _fate(run: Sequence[EntryState], member: MemberState) -> str:
    """Say what a copy is worth at this member now."""
    if _struck(run[0], member):
        return "discarded"
    if run[-1].end and run[-1].index <= member.marks.applied:
        return "in effect"
    return "whole" if run[-1].end else "open"


def _struck(cell: EntryState, member: MemberState) -> bool:
    """Whether it was discarded, as far as the member knows: one that restarted knows no more."""
    return cell.discarded and cell.index <= member.marks.committed


def _tickets(trace: Trace, step: int) -> list[tuple[str, str]]:
    """Return how far each transaction has come, as its client knows it after ``step``."""
    stages: dict[str, list[str]] = {}
    for _, _, event in trace[: step + 1].of(TicketMoved):
        assert isinstance(event, TicketMoved)
        stages.setdefault(event.txn, []).append(event.stage)
    return [(txn, " → ".join(_counted(told))) for txn, told in stages.items()]


def _counted(stages: Sequence[str]) -> Iterator[str]:
    for stage, same in groupby(stages):
        count = len(list(same))
        yield stage if count == 1 else f"{stage} ({count} times)"


def _x(index: int, low: int) -> float:
    return LEFT + CELL * (index - low)


def _lane(
    name: str, member: MemberState, low: int, top: float, colours: Mapping[str, str]
) -> Iterator[str]:
    """Draw one member: its name and role, its log, and under it the names of transactions."""
    says = f"{member.role} {member.term}" if member.running else "down"
    leads = member.running and member.role == "leader"
    yield svg.text(8, top + 13, name, weight="bold")
    yield svg.text(8, top + 27, says, 11, weight="bold" if leads else "normal")
    for run in runs_of(member.log):
        effect = run[-1].end and run[-1].index <= member.marks.applied and not run[0].discarded
        shown = [cell for cell in run if cell.index >= low]
        for cell in shown:
            yield _cell(cell, member, _x(cell.index, low), top, colours, effect=effect)
        if shown and run[0].txn:
            yield from _bracket(run, shown, member, low, top)


def _cell(
    cell: EntryState,
    member: MemberState,
    x: float,
    top: float,
    colours: Mapping[str, str],
    *,
    effect: bool,
) -> str:
    dashes = "3 3" if cell.index > member.marks.committed else ""
    struck = _struck(cell, member)
    fill = colours.get(cell.txn, svg.WHITE) if cell.txn else "#EEEEEE"
    shown = cell.key if len(cell.key) <= 4 else cell.key[:3] + "…"
    own = f"registration of {cell.key}" if cell.key else "no-op"
    what = f"{cell.key} of {cell.txn}" if cell.txn else own
    what += ", commit mark" * cell.end + ", discarded" * struck
    sign = "®" if cell.key else "∅"
    parts = [
        svg.rect(
            x + 2,
            top,
            CELL - 4,
            HIGH,
            fill,
            width=2.6 if effect else 1,
            dashes=dashes,
            opacity=0.25 if struck else 1,
            title=f"entry {cell.index}, term {cell.term}: {what}",
        ),
        svg.text(x + CELL / 2, top + 18, shown if cell.txn else f"{sign}{cell.term}", 11, "middle"),
    ]
    if cell.end:
        parts.append(svg.corner(x + CELL - 2, top + HIGH, 10))
    if struck:
        parts.append(svg.line(x + 4, top + HIGH - 3, x + CELL - 4, top + 3, svg.RED, 3))
    return "".join(parts)


def _bracket(
    run: Sequence[EntryState],
    shown: Sequence[EntryState],
    member: MemberState,
    low: int,
    top: float,
) -> Iterator[str]:
    """Draw a line under a copy, with what it is worth where there is room for that."""
    left, right = _x(shown[0].index, low) + 3, _x(shown[-1].index, low) + CELL - 3
    y = top + HIGH + 6
    yield svg.line(left, y, right, y, svg.BLACK, 1.5)
    says = f"{run[0].txn} {_fate(run, member)}"
    if 5.6 * len(says) > right - left:
        says = run[0].txn if _fate(run, member) != "discarded" else "discarded"
    if 5.6 * len(says) <= right - left + 6:
        yield svg.text((left + right) / 2, y + 13, says, 10, "middle")
