"""Every future of a small cluster, within bounds: an exhaustive explorer of the real module.

:func:`explore` starts from a :class:`~kvraft.sim.Cluster` in any situation and tries everything
that may happen next, breadth first: a message in flight arrives, a timer runs out, a leader sends
heartbeats or takes a proposal, a member crashes and restarts, a disk lags.
:class:`ExplorationBounds` limits how often.  After each transition the properties of consensus are
checked; the first that breaks ends the search, with a shortest path to it.

Four things make this feasible with the real :class:`~kvraft.raft.Raft`, not a model of it:

- **Each input is computed once.**  A state of the cluster is a few numbers (``state_space.py``),
  and what one member does with one input is computed once (``transitions.py``), on a copy
  (``clone.py``).
- **Loss costs nothing.**  To the members, a message that stays in flight is the same as a lost one,
  so loss is not a step.  A state therefore covers those with fewer messages in flight, and a
  delivery without any effect is left out.  A crash and a restart are one step, because a member
  that is down looks like one that is slow.
- **Symmetry.**  A run with its members renamed is another valid run.  So one state represents all
  that differ by names only.  (This needs a module that looks neither at what a name is nor at the
  order of names in a configuration.  In a module that does, a bug may be missed, never invented.)
- **What makes no difference is not compared**: timers, rounds of heartbeats, waiting reads
  (``clone.py`` has the list, with reasons).

Not explored: time (no tick passes, so leases and check-quorum make no difference, and a member that
has heard from a leader refuses pre-votes until its own timer runs out), reads, transfers, changes
of members, snapshots.

>>> from kvraft.check.bugs import find_bug
>>> cluster = Cluster(3, options=NO_TIME, consensus=find_bug("votes twice").consensus)
>>> print(explore(cluster, ExplorationBounds(timeouts=2)).violation)
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
"""Options for a cluster to explore: with them nothing depends on time."""


@dataclass(frozen=True, slots=True)
class ExplorationReport:
    """How an exploration went; ``str`` returns it in words.

    ``states`` counts those that differ by more than names, ``transitions`` the steps tried in them;
    ``depth`` is how many steps away the farthest is.  ``complete`` means that the bounds allow no
    more.  If there is a ``violation``, ``trace`` is a shortest path to it.
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
        """Repeat ``trace`` in ``cluster``, which must be like the explored one; yield each step.

        A step is yielded after it has happened.  Raises :class:`~kvraft.errors.BadInput` where a
        disk lags, because the disks of a cluster are instant.
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
    """Try everything that may happen to ``start`` within ``bounds``; ``start`` is not changed.

    The properties in ``but`` may be broken.  At ``limit`` states the search ends, incomplete.
    ``symmetry`` makes states that differ by names only one state.  ``clock`` returns seconds.

    Raises :class:`~kvraft.errors.BadInput` if a member of ``start`` is down, has a log that was
    truncated or that holds a change of members, or has an attribute that cannot be copied.
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
                    broken, trace = after, (*_path_to(came, number), step)
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


def _path_to(came: list[tuple[int, Transition | None]], number: int) -> tuple[Transition, ...]:
    """Return the steps that lead to the state with that ``number``."""
    steps: list[Transition] = []
    while True:
        number, step = came[number]
        if step is None:
            return tuple(reversed(steps))
        steps.append(step)


def _play(cluster: Cluster, step: Transition) -> None:
    """Make one step happen in ``cluster``."""
    name, message = step.member, step.message
    if step.lags or step.do is Action.SYNC:
        raise BadInput(f"the disks of a cluster are instant, so this cannot happen: {step}")
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
