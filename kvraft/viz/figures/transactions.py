"""Transactions as figures: what became of one, how often they conflict, and what a bank holds.

:func:`plot_deaths` draws what became of a transaction whose leader was killed at each step,
:func:`plot_conflicts` how often transactions conflict, :func:`plot_totals` what a bank holds after
each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from kvraft.check.storage import CopyEnd, LeaderDeath
from kvraft.sim import ContentionResult
from kvraft.viz.figures.style import MEMBER_LINES, one_panel, some, titled
from kvraft.viz.svg import BLACK, GREEN, GREY, PURPLE, RED, SKY

FATES = {
    CopyEnd.NEVER: GREY,
    CopyEnd.LOST: PURPLE,
    CopyEnd.DISCARDED: RED,
    CopyEnd.COMPLETED: GREEN,
}
LETTERS = {CopyEnd.NEVER: ".", CopyEnd.LOST: "L", CopyEnd.DISCARDED: "D", CopyEnd.COMPLETED: "C"}


def plot_deaths(deaths: Sequence[LeaderDeath]) -> Figure:
    """Draw a column for each run: what the members had at the leader's death, and the outcome.

    Raises :class:`~kvraft.errors.BadInput` if nobody died.
    """
    some(deaths, "no leader was killed")
    members = [name for name, _ in deaths[0].held]
    leader = deaths[0].leader
    labels = [f"entries on {n}" + " (dies)" * (n == leader) for n in members]
    labels += ["what they came to", "sent, times", "keys ever held"]
    figure, axes = one_panel(3.6, 9.4, grid=False)
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
    return titled(figure, _verdict(deaths))


def _box(axes: Axes, x: float, y: float, colour: str, text: str, alpha: float = 1.0) -> None:
    axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, color=colour, alpha=alpha, lw=0))
    axes.text(x, y, text, ha="center", va="center", fontsize=7.5)


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
    figure, axes = one_panel(3.6)
    keys = sorted({contest.keys for contest in contests})
    for count, (colour, style) in zip(keys, MEMBER_LINES, strict=False):
        line = sorted(contest for contest in contests if contest.keys == count)
        x, y = [c.clients for c in line], [100 * c.rate for c in line]
        axes.plot(x, y, color=colour, linestyle=style, marker="o", label=f"{count} accounts")
    axes.set_xlabel("clients that transfer at the same time")
    axes.set_ylabel("transfers in conflict (%)")
    axes.set_xticks(sorted({contest.clients for contest in contests}))
    axes.set_ylim(0, 100)
    axes.legend(loc="upper left", fontsize="small", framealpha=1)
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
    figure, axes = one_panel(3.2)
    for (name, sums), (colour, style) in zip(totals.items(), MEMBER_LINES, strict=False):
        x = range(1, len(sums) + 1)
        axes.step(x, list(sums), where="post", color=colour, linestyle=style, label=name, lw=1.8)
    first = next(iter(totals.values()))[0]
    axes.axhline(first, color=BLACK, lw=0.6, alpha=0.5)
    axes.set_xlabel("transactions that took effect")
    axes.set_ylabel("sum of all accounts")
    axes.margins(y=0.15)
    axes.legend(loc="upper left", fontsize="small", framealpha=1)
    told = [
        f"{name}: the sum stays {sums[0]}"
        if len(set(sums)) == 1
        else f"{name}: {sums[0]} becomes {sums[-1]}"
        for name, sums in totals.items()
    ]
    return titled(figure, "; ".join(told))
