"""Transactions in the logs of all members: which are whole, which are open, and which were undone.

:func:`lanes_view` makes a picture of one moment, to be stepped through: a row of cells for each
member, one cell an entry, one colour a transaction, the same for all its copies::

    ann#1   SENT → APPENDED → UNDONE → SENT        what the client knows
    n1   │b ◢│k0│k1│k2│k3│k4◢│                     ◢ commit mark
    n2   │b ◢│k̶0̶│k̶1̶│∅2│k0│k1│k2│k3│k4◢│            struck out: undone; ∅ no-op, ® registration
          ──  ─────     ──────────────             thick: in effect; dashed: not committed

Figures, as in ``plots.py`` titled by their conclusion: :func:`plot_deaths` draws what became of a
transaction whose leader was killed at each step, :func:`plot_conflicts` how often transactions
conflict, :func:`plot_totals` what a bank holds after each of them.

As in ``views.py``: equal input gives equal pictures, and what colour says, a word or sign says too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from kvraft.check.torn import Death, End
from kvraft.errors import BadInput
from kvraft.events import Appended, TicketMoved, Trace
from kvraft.sim.contention import Contest
from kvraft.viz.plots import (
    BLACK,
    GREEN,
    GREY,
    MEMBER_LINES,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    YELLOW,
    titled,
)
from kvraft.viz.state import Cell, History, Member
from kvraft.viz.views import WIDTH, _n, _svg, _text, escape

# ── one moment ──────────────────────────────────────────────────────────────────────────────────

COLOURS = (SKY, ORANGE, GREEN, PURPLE, YELLOW, RED)
"""Colours of transactions, in the order in which they first appear in any log."""

LEFT, CELL, HIGH, ROW = 92, 38, 28, 62
CELLS = (WIDTH - LEFT - 6) // CELL
TICKETS = 3


def lanes_view(history: History, step: int) -> str:
    """Draw the ends of all logs by transactions, and above them how far the clients' tickets are.

    A view as those of ``views.py`` are.
    """
    state = history.at(step)
    past = history.trace
    colours = colours_of(past)
    last = max((c.index for m in state.members.values() for c in m.log[-1:]), default=0)
    low = max(1, last - CELLS + 1)
    lines = _tickets(past, step)[-TICKETS:]
    room = min(len(_tickets(past, len(past) - 1)), TICKETS)  # so that nothing moves
    parts = []
    for number, (txn, told) in enumerate(lines):
        parts.append(_swatch(8, 8 + 17 * number, colours.get(txn, "#FFFFFF")))
        parts.append(_text(26, 18 + 17 * number, f"{txn}:  {told}", 11))
    top = 14 + 17 * room
    parts.append(_text(8, top + 8, "log index", 10))
    for index in range(low, low + CELLS):
        parts.append(_text(_x(index, low) + CELL / 2, top + 8, str(index), 10, "middle"))
    for row, (name, member) in enumerate(state.members.items()):
        parts += _lane(name, member, low, top + 16 + ROW * row, colours)
    height = top + 16 + ROW * len(state.members) + 20
    legend = "thick: in effect   dashed: not committed here, as far as it knows   ◢ commit mark"
    parts.append(
        _text(8, height - 7, f"{legend}   struck out: undone   ∅ no-op   ® registration", 11)
    )
    return _svg(height, words(history, step), parts)


def colours_of(trace: Trace) -> dict[str, str]:
    """Return the colour of each transaction of a trace."""
    names: dict[str, None] = {}
    for _, _, event in trace.of(Appended):
        assert isinstance(event, Appended)
        names |= dict.fromkeys(txn for txn in event.txns if txn)
    return {txn: COLOURS[number % len(COLOURS)] for number, txn in enumerate(names)}


def words(history: History, step: int) -> str:
    """Return the moment in words: the transactions in each log, and what became of them."""
    state = history.at(step)
    parts = []
    for name, member in state.members.items():
        role = f"{member.role} of term {member.term}" if member.running else "down"
        runs = ", ".join(_run_words(run, member) for run in runs_of(member.log)[-4:])
        parts.append(f"{name}, {role}: {runs or 'empty'}")
    told = "; ".join(f"{txn} {line}" for txn, line in _tickets(history.trace, step)[-1:])
    return f"{state.at / 1000:.1f} ms. {'. '.join(parts)}. {told or 'No ticket'}."


def runs_of(log: Sequence[Cell]) -> list[list[Cell]]:
    """Return the entries of a log by copies of transactions; a no-op is a run of its own."""
    runs: list[list[Cell]] = []
    for cell in log:
        before = runs[-1][-1] if runs else None
        if before and cell.txn and before.txn == cell.txn and not before.end:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    return runs


def _run_words(run: Sequence[Cell], member: Member) -> str:
    first = run[0]
    if not first.txn:
        return f"registration of {first.key}" if first.key else f"no-op of term {first.term}"
    return f"{len(run)} of {first.txn} {_fate(run, member)}"


def _fate(run: Sequence[Cell], member: Member) -> str:
    """Say what a copy is worth at this member now."""
    if _struck(run[0], member):
        return "undone"
    if run[-1].end and run[-1].index <= member.marks.applied:
        return "in effect"
    return "whole" if run[-1].end else "open"


def _struck(cell: Cell, member: Member) -> bool:
    """Whether it was undone, as far as the member knows: one that restarted knows no more."""
    return cell.undone and cell.index <= member.marks.committed


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


def _swatch(x: float, y: float, colour: str) -> str:
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="12" height="12" fill="{colour}" stroke="#000000"/>'
    )


def _lane(
    name: str, member: Member, low: int, top: float, colours: Mapping[str, str]
) -> Iterator[str]:
    """Draw one member: its name and role, its log, and under it the names of transactions."""
    says = f"{member.role} {member.term}" if member.running else "down"
    leads = member.running and member.role == "leader"
    yield _text(8, top + 13, name, weight="bold")
    yield _text(8, top + 27, says, 11, weight="bold" if leads else "normal")
    for run in runs_of(member.log):
        effect = run[-1].end and run[-1].index <= member.marks.applied and not run[0].undone
        shown = [cell for cell in run if cell.index >= low]
        for cell in shown:
            yield _cell(cell, member, _x(cell.index, low), top, colours, effect=effect)
        if shown and run[0].txn:
            yield from _bracket(run, shown, member, low, top)


def _cell(
    cell: Cell,
    member: Member,
    x: float,
    top: float,
    colours: Mapping[str, str],
    *,
    effect: bool,
) -> str:
    border = ' stroke-width="2.6"' if effect else ' stroke-width="1"'
    if cell.index > member.marks.committed:
        border += ' stroke-dasharray="3 3"'
    struck = _struck(cell, member)
    fill = colours.get(cell.txn, "#FFFFFF") if cell.txn else "#EEEEEE"
    shown = cell.key if len(cell.key) <= 4 else cell.key[:3] + "…"
    own = f"registration of {cell.key}" if cell.key else "no-op"
    what = f"{cell.key} of {cell.txn}" if cell.txn else own
    what += ", commit mark" * cell.end + ", undone" * struck
    sign = "®" if cell.key else "∅"
    parts = [
        f'<rect x="{_n(x + 2)}" y="{_n(top)}" width="{CELL - 4}" height="{HIGH}" fill="{fill}"'
        f' fill-opacity="{"0.25" if struck else "1"}" stroke="#000000"{border}>'
        f"<title>entry {cell.index}, term {cell.term}: {escape(what)}</title></rect>",
        _text(x + CELL / 2, top + 18, shown if cell.txn else f"{sign}{cell.term}", 11, "middle"),
    ]
    if cell.end:
        right, bottom = x + CELL - 2, top + HIGH
        corner = f"{_n(right)},{_n(bottom - 10)} {_n(right)},{_n(bottom)} {_n(right - 10)}"
        parts.append(f'<polygon points="{corner},{_n(bottom)}" fill="#000000"/>')
    if struck:
        parts.append(
            f'<line x1="{_n(x + 4)}" y1="{_n(top + HIGH - 3)}" x2="{_n(x + CELL - 4)}"'
            f' y2="{_n(top + 3)}" stroke="#D55E00" stroke-width="3"/>'
        )
    return "".join(parts)


def _bracket(
    run: Sequence[Cell], shown: Sequence[Cell], member: Member, low: int, top: float
) -> Iterator[str]:
    """Draw a line under a copy, with what it is worth where there is room for that."""
    left, right = _x(shown[0].index, low) + 3, _x(shown[-1].index, low) + CELL - 3
    y = top + HIGH + 6
    yield (
        f'<line x1="{_n(left)}" y1="{_n(y)}" x2="{_n(right)}" y2="{_n(y)}" stroke="#000000"'
        ' stroke-width="1.5"/>'
    )
    says = f"{run[0].txn} {_fate(run, member)}"
    if 5.6 * len(says) > right - left:
        says = run[0].txn if _fate(run, member) != "undone" else "undone"
    if 5.6 * len(says) <= right - left + 6:
        yield _text((left + right) / 2, y + 13, says, 10, "middle")


# ── a leader killed at every step ───────────────────────────────────────────────────────────────

FATES = {End.NEVER: GREY, End.LOST: PURPLE, End.UNDONE: RED, End.COMPLETED: GREEN}
LETTERS = {End.NEVER: ".", End.LOST: "L", End.UNDONE: "U", End.COMPLETED: "C"}


def plot_deaths(deaths: Sequence[Death]) -> Figure:
    """Draw a column for each life: what the members held at the death, and what came of it.

    Raises :class:`~kvraft.errors.BadInput` if nobody died.
    """
    if not deaths:
        raise BadInput("there is nothing to draw: no leader was killed")
    members = [name for name, _ in deaths[0].held]
    leader = deaths[0].leader
    labels = [f"entries on {n}" + " (dies)" * (n == leader) for n in members]
    labels += ["what they came to", "sent, times", "keys ever held"]
    figure = Figure(figsize=(9.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for x, death in enumerate(deaths):
        for y, (_, count) in enumerate(death.held):
            shade = 0.12 + 0.75 * count / death.records if count else 0.0
            _box(axes, x, y, SKY, str(count), alpha=shade)
        y = len(members)
        _box(axes, x, y, FATES[death.end], LETTERS[death.end])
        _box(axes, x, y + 1, GREY, str(death.ticket.attempts), alpha=0.25)
        partly = not set(death.seen) <= {0, death.records}
        worst = max((n for n in death.seen if 0 < n < death.records), default=death.records)
        text = str(worst) if partly else "✓"
        _box(axes, x, y + 2, RED if partly else GREEN, text, alpha=0.9 if partly else 0.35)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.set_xlim(-0.6, len(deaths) - 0.4)
    ticks = range(0, len(deaths), 5)
    axes.set_xticks(ticks, [str(deaths[tick].step) for tick in ticks])
    axes.set_xlabel("the leader dies after so many steps of the transaction")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    key = [Patch(color=FATES[end], label=f"{LETTERS[end]}: {end}") for end in FATES]
    key.append(Patch(color=GREEN, alpha=0.35, label="✓: all or none, always"))
    if not all(death.whole for death in deaths):
        key.append(Patch(color=RED, label="number: so many, in part"))
    figure.legend(handles=key, loc="outside lower center", ncols=6, fontsize="small")
    titled(figure, _verdict(deaths))
    return figure


def _box(axes: Axes, x: float, y: float, colour: str, text: str, alpha: float = 1.0) -> None:
    axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, color=colour, alpha=alpha, lw=0))
    axes.text(x, y, text, ha="center", va="center", fontsize=7.5)


def _verdict(deaths: Sequence[Death]) -> str:
    counts = {end: sum(death.end is end for death in deaths) for end in End}
    torn = sum(not death.whole for death in deaths)
    told = f"Killed {len(deaths)} times, at as many steps: {counts[End.UNDONE]} undone"
    if torn:
        return f"{told}, {torn} there in part"
    return f"{told}, {counts[End.COMPLETED]} completed, none in part"


def data_of(deaths: Sequence[Death]) -> list[list[object]]:
    """Return what :func:`plot_deaths` draws, as plain data."""
    return [
        [d.step, [list(h) for h in d.held], str(d.end), d.ticket.attempts, list(d.seen)]
        for d in deaths
    ]


# ── transactions that want the same keys ────────────────────────────────────────────────────────


def plot_conflicts(contests: Sequence[Contest]) -> Figure:
    """Draw which part of the transfers conflicts over how many clients there are, a line a bank.

    Raises :class:`~kvraft.errors.BadInput` if there was no contest.
    """
    if not contests:
        raise BadInput("there is nothing to draw: nobody transferred anything")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    keys = sorted({contest.keys for contest in contests})
    for count, (colour, style) in zip(keys, MEMBER_LINES, strict=False):
        line = sorted(contest for contest in contests if contest.keys == count)
        x, y = [c.clients for c in line], [100 * c.rate for c in line]
        axes.plot(x, y, color=colour, linestyle=style, marker="o", label=f"{count} accounts")
    axes.set_xlabel("clients that transfer at the same time")
    axes.set_ylabel("transfers in conflict (%)")
    axes.set_xticks(sorted({contest.clients for contest in contests}))
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small", framealpha=1)
    most = max(contest.clients for contest in contests)
    few, many = (
        next(c for c in contests if (c.clients, c.keys) == (most, k)) for k in (keys[0], keys[-1])
    )
    told = f"{most} clients at once: {100 * few.rate:.0f} % conflict on {few.keys} accounts"
    titled(figure, f"{told}, {100 * many.rate:.0f} % on {many.keys}")
    return figure


def plot_totals(totals: Mapping[str, Sequence[int]]) -> Figure:
    """Draw what all accounts hold together after each transaction, a line for each name.

    Raises :class:`~kvraft.errors.BadInput` if nothing happened.
    """
    if not totals or not all(totals.values()):
        raise BadInput("there is nothing to draw: no transaction took effect")
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    for (name, sums), (colour, style) in zip(totals.items(), MEMBER_LINES, strict=False):
        x = range(1, len(sums) + 1)
        axes.step(x, list(sums), where="post", color=colour, linestyle=style, label=name, lw=1.8)
    first = next(iter(totals.values()))[0]
    axes.axhline(first, color=BLACK, lw=0.6, alpha=0.5)
    axes.set_xlabel("transactions that took effect")
    axes.set_ylabel("sum of all accounts")
    axes.margins(y=0.15)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small", framealpha=1)
    told = [
        f"{name}: the sum stays {sums[0]}"
        if len(set(sums)) == 1
        else f"{name}: {sums[0]} becomes {sums[-1]}"
        for name, sums in totals.items()
    ]
    titled(figure, "; ".join(told))
    return figure
