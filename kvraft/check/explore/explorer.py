"""Every future of a small cluster, within bounds: an exhaustive explorer of the real module.

:func:`explore` begins with a :class:`~kvraft.sim.Cluster` in any situation and tries everything
that may happen next, and then next, breadth first: each message in flight arrives, a timer runs
out, a leader sends heartbeats or takes a proposal, a member crashes and restarts, a disk lags.
:class:`ExplorationBounds` says how often.  After each transition the properties of consensus are
checked; the first that breaks ends the search with a shortest way there.

What makes it feasible with the real :class:`~kvraft.raft.Raft`, rather than a model of it:

- **Members are asked once.**  A state of the cluster is a few numbers (``space.py``), and what one
  member does with one input is worked out once (``moves.py``), on a copy (``fork.py``).
- **Loss costs nothing.**  A message may stay in flight for ever, which to the members is the same
  as being lost; so there is no step for it.  A state therefore covers those with less in flight,
  and a delivery without any effect is left out.  A crash and a restart are one step, for a member
  that is down looks like one that is slow.
- **Symmetry.**  Rename the members throughout a run, and it is again a run, as good or as bad.  So
  of all states that differ by names only, the first met stands for all.  (That needs a module that
  does not look at what a name is, nor at the order in which a configuration has them.  A bug in a
  module that does may be missed, never made up.)
- **What makes no difference is left out** of what is compared: timers, rounds of heartbeats, who
  waits for what (``fork.py`` has the list, with reasons).

Not explored: time (a tick never passes, so leases and check-quorum make no difference, and who
heard a leader refuses pre-votes until its own timer runs out), reads, transfers, changes of
members, snapshots.

>>> from kvraft.check.bugs.registry import planted
>>> cluster = Cluster(3, options=NO_TIME, consensus=planted("votes twice").consensus)
>>> print(explore(cluster, Bounds(timeouts=2)).violation)
one vote a term: n2 votes for n2 and for n1 in term 1

Method: explicit-state model checking, as in Holzmann, *The Model Checker SPIN*, 1997; Ip and Dill,
*Better Verification Through Symmetry*, 1996.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from time import perf_counter

from kvraft.check.explore.clone import fingerprint
from kvraft.check.explore.state_space import ExplorationBounds, StateSpace
from kvraft.check.explore.transitions import Action, Transition
from kvraft.check.properties import Violation
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.raft import RaftOptions
from kvraft.sim import Cluster

__all__ = ["NO_TIME", "Action", "ExplorationBounds", "ExplorationReport", "Transition", "explore"]

NO_TIME = RaftOptions(pre_vote=False, check_quorum=False)
"""Options for a cluster to explore: nothing in it then depends on time."""


@dataclass(frozen=True, slots=True)
class ExplorationReport:
    """How an exploration went; ``str`` says it in words.

    ``states`` are those met that differ by more than names, ``transitions`` what was tried in them,
    ``depth`` how many steps away the farthest is.  ``complete`` says that there is nothing more
    within the bounds.  If there is a ``violation``, ``trace`` is a shortest way to it.
    """

    bounds: ExplorationBounds
    states: int
    transitions: int
    depth: int
    complete: bool
    violation: Violation | None
    trace: tuple[Transition, ...]
    asked: int
    """How often the consensus module itself was given an input."""
    seconds: float = field(compare=False)

    def __str__(self) -> str:
        rate = self.states / self.seconds if self.seconds else 0.0
        lines = [
            f"explored {counted(self.states, 'state')} by "
            f"{counted(self.transitions, 'transition')} to depth "
            f"{self.depth}, within {self.bounds}: {self._end()}",
            f"({self.seconds:.1f} s, {rate:,.0f} states a second; the consensus module was given "
            f"{self.asked:,} inputs)",
        ]
        if self.violation is not None:
            lines.append(str(self.violation))
            lines += [f"{n:4}. {step}" for n, step in enumerate(self.trace, 1)]
        return "\n".join(lines)

    def _end(self) -> str:
        if self.violation is not None:
            return f"{self.violation.property} is broken"
        return "nothing broke" + ("" if self.complete else ", but there is more to explore")

    def play(self, cluster: Cluster) -> Iterator[Transition]:
        """Let ``trace`` happen in ``cluster``, which is as the explored one was; yield each step.

        A step is yielded when it has happened.  Raises :class:`~kvraft.errors.BadInput` where a
        disk lags, for those of a cluster are instant.
        """
        for step in self.trace:
            _play(cluster, step)
            yield step


def explore(
    start: Cluster,
    bounds: ExplorationBounds,
    *,
    but: Collection[str] = (),
    limit: int = 1_000_000,
    symmetry: bool = True,
    clock: Callable[[], float] = perf_counter,
) -> ExplorationReport:
    """Try everything that may happen to ``start`` within ``bounds``; ``start`` is left as it is.

    The properties in ``but`` are let pass.  With ``limit`` states the search ends, incomplete.
    ``symmetry`` takes states that differ by names only for one.  ``clock`` tells seconds.

    Raises :class:`~kvraft.errors.BadInput` if a member of ``start`` is down, has a log that was cut
    or that holds a change of members, or has an attribute that cannot be copied.
    """
    began = clock()
    space = StateSpace(start, bounds, but=but, symmetry=symmetry)
    seen = {space.canonical(space.first)}
    came: list[tuple[int, Transition | None]] = [(0, None)]  # from which state, by which step
    level, number, depth, transitions = [space.first], 0, 0, 0
    broken: Violation | None = None
    trace: tuple[Transition, ...] = ()
    while level and broken is None and len(seen) < limit:
        following = []
        for state in level:
            for step, after in space.following(state):
                transitions += 1
                known = len(seen)
                if isinstance(after, Violation):
                    broken, trace = after, (*_way_to(came, number), step)
                else:
                    seen.add(space.canonical(after))
                    if len(seen) > known:
                        following.append(after)
                        came.append((number, step))
                if broken is not None or len(seen) >= limit:
                    break
            if broken is not None or len(seen) >= limit:
                break
            number += 1
        level = following
        depth += bool(following) or broken is not None
    complete = broken is None and not level
    seconds = clock() - began
    return ExplorationReport(
        bounds, len(seen), transitions, depth, complete, broken, trace, space.asked, seconds
    )


def _way_to(came: list[tuple[int, Transition | None]], number: int) -> tuple[Transition, ...]:
    """Return the steps to the state of that number."""
    steps: list[Transition] = []
    while True:
        number, step = came[number]
        if step is None:
            return tuple(reversed(steps))
        steps.append(step)


def _play(cluster: Cluster, step: Transition) -> None:
    """Let one step happen."""
    name, message = step.member, step.message
    if step.lags or step.do is Action.SYNC:
        raise BadInput(f"the disks of a cluster are instant: it cannot be that {step}")
    if message is not None:
        found = cluster.find(sender=message.sender, to=message.to, kind=type(message))
        same = fingerprint(message, {})
        ids = [letter.id for letter in found if fingerprint(letter.message, {}) == same]
        if not ids:
            raise BadInput(f"no such message is in flight in that cluster: {step}")
        if step.copy:
            cluster.duplicate(id=ids[0])
        cluster.deliver(id=ids[0])
    elif step.do is Action.PROPOSE:
        cluster.propose(name, step.record)
    elif step.do is Action.CRASH:
        cluster.crash(name)
        cluster.restart(name)
    else:
        cluster.timeout(name)
