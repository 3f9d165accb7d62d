"""Hunting for bugs by chance: a random schedule, until one of Figure 3's properties breaks."""

from __future__ import annotations

from random import Random

from kvraft.check.properties import FIGURE_3, Property, Violation
from kvraft.check.raft import watch
from kvraft.sim import Cluster

KINDS = ("arrive",) * 16 + ("time out",) * 3 + ("lose", "crash", "restart", "restart")
"""The kinds of events; one is the likelier, the more often it is listed."""


def random_event(cluster: Cluster, random: Random) -> None:
    """Make one event happen, drawn from ``random``; messages may overtake each other."""
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
    """Make up to ``events`` random events happen; return the number of the one that did harm.

    Harm is a broken property of Figure 3; ``None`` means that no event did any.
    """
    random = Random(f"hunt/{seed}")
    watch(cluster, but=[other for other in Property if other not in FIGURE_3])
    for number in range(1, events + 1):
        try:
            random_event(cluster, random)
        except Violation:
            return number
    return None
