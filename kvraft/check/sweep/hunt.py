"""Hunting for bugs by chance: random schedules of a cluster, and how many of them end badly.

:func:`hunt` lets things happen at random until one of Figure 3's properties is broken.
"""

from __future__ import annotations

from random import Random

from kvraft.check.properties import FIGURE_3, Property, Violation
from kvraft.check.raft import watch
from kvraft.sim import Cluster

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
