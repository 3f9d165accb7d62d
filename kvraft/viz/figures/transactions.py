"""Transactions as figures: what became of one, how often they conflict, and what a bank holds.

:func:`plot_deaths` draws what became of a transaction whose leader was killed at each step,
:func:`plot_conflicts` how often transactions conflict, :func:`plot_totals` what a bank holds after
each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kvraft.check.storage import CopyEnd, LeaderDeath
from kvraft.sim import ContentionResult
from kvraft.viz.figures.cells import Cell, lanes_of_cells
from kvraft.viz.figures.style import MEMBER_LINES, legend, named, one_panel, some, titled
from kvraft.viz.svg import BLACK, GREEN, GREY, PURPLE, RED, SKY

FATES = {
    CopyEnd.NEVER: GREY,
    CopyEnd.LOST: PURPLE,
    CopyEnd.DISCARDED: RED,
    CopyEnd.COMPLETED: GREEN,
}
HATCHES = {CopyEnd.NEVER: "", CopyEnd.LOST: "..", CopyEnd.DISCARDED: "//", CopyEnd.COMPLETED: ""}


def plot_deaths(deaths: Sequence[LeaderDeath]) -> Figure:
    """Draw a column for each run: what the members had at the leader's death, and the outcome.

    Raises :class:`~kvraft.errors.BadInput` if nobody died.
    """
    some(deaths, "no leader was killed")
    members = [name for name, _ in deaths[0].held]
    leader = deaths[0].leader
    lanes = [
        (f"entries on {name}" + " (dies)" * (name == leader), [_held(d, at) for d in deaths])
        for at, name in enumerate(members)
    ]
    lanes += [
        (
            "what they came to",
            [Cell(str(d.end), FATES[d.end], hatch=HATCHES[d.end]) for d in deaths],
        )
    ]
    lanes += [("sent, times", [Cell(str(d.ticket.attempts), GREY, 0.25) for d in deaths])]
    lanes += [("keys ever held", [_seen(death) for death in deaths])]
    ticks = {at: str(death.step) for at, death in enumerate(deaths) if at % 10 == 0}
    figure, axes = lanes_of_cells(lanes, ticks)
    named(axes, right="the leader dies after so many steps of the transaction")
    ends = {death.end for death in deaths}
    key = [
        Patch(facecolor=FATES[end], edgecolor=GREY, hatch=HATCHES[end], label=str(end))
        for end in FATES
        if end in ends
    ]
    key.append(Patch(color=GREEN, alpha=0.35, label="✓: all or none"))
    if not all(death.whole for death in deaths):
        key.append(Patch(color=RED, alpha=0.6, label="so many, in part"))
    legend(figure, key)
    return titled(figure, _verdict(deaths))


def _held(death: LeaderDeath, at: int) -> Cell:
    count = death.held[at][1]
    return Cell(str(count), SKY, 0.12 + 0.75 * count / death.records if count else 0.0)


def _seen(death: LeaderDeath) -> Cell:
    if set(death.seen) <= {0, death.records}:
        return Cell("✓", GREEN, 0.35)
    return Cell(str(max((n for n in death.seen if 0 < n < death.records), default=0)), RED, 0.6)


def _verdict(deaths: Sequence[LeaderDeath]) -> str:
    counts = {end: sum(death.end is end for death in deaths) for end in CopyEnd}
    torn = sum(not death.whole for death in deaths)
    told = f"Killed {len(deaths)} times, at as many steps: {counts[CopyEnd.DISCARDED]} discarded"
    if torn:
        return f"{told}, {torn} there in part"
    return f"{told}, {counts[CopyEnd.COMPLETED]} completed, none in part"


def data_of(deaths: Sequence[LeaderDeath]) -> list[list[object]]:
    """Return what :func:`plot_deaths` draws, as plain data."""
    return [
        [d.step, [list(h) for h in d.held], str(d.end), d.ticket.attempts, list(d.seen)]
        for d in deaths
    ]


# ── transactions that want the same keys ────────────────────────────────────────────────────────


def plot_conflicts(contests: Sequence[ContentionResult]) -> Figure:
    """Draw which part of the transfers conflicts over how many clients there are, a line a bank.

    Raises :class:`~kvraft.errors.BadInput` if there was no contest.
    """
    some(contests, "nobody transferred anything")
    figure, axes = one_panel(2.2)
    keys = sorted({contest.keys for contest in contests})
    for count, (colour, style) in zip(keys, MEMBER_LINES, strict=False):
        line = sorted(contest for contest in contests if contest.keys == count)
        x, y = [c.clients for c in line], [100 * c.rate for c in line]
        axes.plot(x, y, color=colour, linestyle=style, marker="o", label=f"{count} accounts")
    named(axes, "transfers in conflict (%)", "clients that transfer at the same time")
    axes.set_xticks(sorted({contest.clients for contest in contests}))
    axes.set_ylim(0, 100)
    legend(figure)
    most = max(contest.clients for contest in contests)
    few, many = (
        next(c for c in contests if (c.clients, c.keys) == (most, k)) for k in (keys[0], keys[-1])
    )
    told = f"{most} clients at once: {100 * few.rate:.0f} % conflict on {few.keys} accounts"
    return titled(figure, f"{told}, {100 * many.rate:.0f} % on {many.keys}")


def plot_totals(totals: Mapping[str, Sequence[int]]) -> Figure:
    """Draw what all accounts hold together after each transaction, a line for each name.

    Raises :class:`~kvraft.errors.BadInput` if nothing happened.
    """
    some(totals and all(totals.values()), "no transaction took effect")
    figure, axes = one_panel(2)
    for (name, sums), (colour, style) in zip(totals.items(), MEMBER_LINES, strict=False):
        x = range(1, len(sums) + 1)
        axes.step(x, list(sums), where="post", color=colour, linestyle=style, label=name, lw=1.8)
    first = next(iter(totals.values()))[0]
    axes.axhline(first, color=BLACK, lw=0.6, alpha=0.5)
    named(axes, "sum of all accounts", "transactions that took effect")
    axes.margins(y=0.15)
    legend(figure)
    told = [
        f"{name}: the sum stays {sums[0]}"
        if len(set(sums)) == 1
        else f"{name}: {sums[0]} becomes {sums[-1]}"
        for name, sums in totals.items()
    ]
    return titled(figure, "; ".join(told))
