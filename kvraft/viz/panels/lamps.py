"""The properties of Raft as lamps: which of them hold, step by step.

:class:`Lamps` watches a cluster at work.  Each of the five properties of Figure 3 has a checker of
its own and a lamp: green with a tick while it holds, vermillion with a cross from the step on that
broke it.  Nothing is raised, so a run goes on and shows what follows from what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvraft.check import FIGURE_3, Property, Violation
from kvraft.check.raft import RaftChecker, watch
from kvraft.raft import Message, ReadReady
from kvraft.sim import Cluster
from kvraft.viz import svg
from kvraft.viz.trace import TraceHistory


class Lamps:
    """Watches ``cluster`` from now on: a lamp for each of ``properties``.

    ``broken`` has for each property that no longer holds the step of the trace that broke it, and
    the :class:`~kvraft.check.Violation`.
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

    def view(self, history: TraceHistory, step: int) -> str:
        """Draw the lamps as they were after ``step``, as every view does."""
        states = self.at(step)
        parts, wide = [], svg.WIDTH / len(states)
        for number, (property, violation) in enumerate(states.items()):
            x = wide * number + 17
            sign, colour = ("✗", svg.RED) if violation else ("✓", svg.GREEN)
            parts.append(
                svg.circle(x, 26, 13, colour)
                + svg.text(x, 32, sign, 16, "middle", weight="bold")
                + svg.text(x + 18, 23, property, 11, weight="bold")
                + svg.text(x + 18, 38, "is broken" if violation else "holds", 11)
            )
        told = [violation.what for violation in states.values() if violation]
        parts += [svg.text(12, 60 + 15 * row, what, 11) for row, what in enumerate(told)]
        says = "; ".join(f"{p} {'is broken' if v else 'holds'}" for p, v in states.items())
        return svg.drawing(52 + 15 * len(told) + 3 * bool(told), f"{says}.", parts)
