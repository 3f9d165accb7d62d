"""Hunting for bugs by chance: random schedules of a cluster, and how many of them end badly.

:func:`hunt` lets things happen at random until one of Figure 3's properties is broken;
:func:`plot_hunts` draws after how many events that was the case, as a share of all schedules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from matplotlib.figure import Figure

from kvraft.check.properties import Property, Violation
from kvraft.check.raft import watch
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.sim.cluster import Cluster
from kvraft.viz.panels import FIGURE_3
from kvraft.viz.plots import MEMBER_LINES, titled

KINDS = ("arrive",) * 16 + ("time out",) * 3 + ("lose", "crash", "restart", "restart")
"""What may happen next, each as likely as it is often in here."""


def happen(cluster: Cluster, random: Random) -> None:
    """Let one thing happen, drawn from ``random``; messages overtake each other."""
    up = list(cluster.rafts)
    down = [name for name in cluster.members if name not in up]
    letters = cluster.in_flight
    match random.choice(KINDS):
        case "arrive" if letters:
            cluster.deliver(id=random.choice(letters).id)
        case "lose" if letters:
            cluster.drop(id=random.choice(letters).id)
        case "crash" if up:
            cluster.crash(random.choice(up))
        case "restart" if down:
            cluster.restart(random.choice(down))
        case _ if up:
            cluster.timeout(random.choice(up))


def hunt(cluster: Cluster, seed: int, events: int) -> int | None:
    """Let up to ``events`` things happen by chance; return the number of the one that did harm.

    Harm is what breaks one of Figure 3's properties; ``None`` means that nothing did.
    """
    random = Random(f"hunt/{seed}")
    watch(cluster, but=[other for other in Property if other not in FIGURE_3])
    for number in range(1, events + 1):
        try:
            happen(cluster, random)
        except Violation:
            return number
    return None


def plot_hunts(found: Mapping[str, Sequence[int | None]], events: int) -> Figure:
    """Draw the share of schedules that had done harm by each event, one line a module.

    ``found[name]`` is what :func:`hunt` returned for each schedule of ``events`` events.  Raises
    :class:`~kvraft.errors.BadInput` if there are none.
    """
    if not found or not all(found.values()):
        raise BadInput("there is nothing to draw: no schedule was tried")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    for (name, results), (colour, style) in zip(found.items(), MEMBER_LINES * 9, strict=False):
        ends = sorted(number for number in results if number is not None)
        shares = [100 * (at + 1) / len(results) for at in range(len(ends))]
        times, heights = [0, *ends, events], [0.0, *shares, (shares or [0.0])[-1]]
        label = f"{name}: {len(ends)} of {len(results)}"
        axes.step(times, heights, where="post", color=colour, ls=style, lw=1.8, label=label)
    axes.set(xlabel="events", ylabel="schedules that did harm (%)", xlim=(0, events))
    axes.set_ylim(-1, None)
    axes.legend(loc="upper left", fontsize="small")
    harm = {
        name: sum(number is not None for number in results) / len(results)
        for name, results in found.items()
    }
    ranks = sorted((name for name in harm if harm[name]), key=lambda name: -harm[name])
    told = [f"{harm[name]:.0%} find “{name}”" for name in dict.fromkeys((*ranks[:1], *ranks[-1:]))]
    return titled(
        figure,
        f"Of schedules of {counted(events, 'event')} {', '.join(told) or 'none finds anything'}",
    )
