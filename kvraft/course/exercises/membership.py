"""Lesson 13: a learner's rule of joint configurations decides what is committed in a world.

The rule is first tried in all small configurations, the smallest first, with every set of members
that may hold an entry.  Then it commits in a :class:`~kvraft.sim.World` whose leader begins to add
two members and is cut off from the old ones together with them, so that the old and the new voters
each have a majority of their own.  A :class:`~kvraft.check.WorldChecker` looks on.

Source: Raft §6 (joint consensus), Figure 10.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import combinations, product
from typing import NamedTuple

from kvraft.check import Violation, WorldChecker
from kvraft.course.answers import yes_or_no
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.errors import Busy, NotLeader, TimedOut
from kvraft.raft import Configuration, Log, Raft
from kvraft.sim import MILLISECOND, World

Names = frozenset[str]
JointRule = Callable[[Names, Names, Names], bool]
"""``agreed(voters, outgoing, have)``."""

# ── all small configurations ────────────────────────────────────────────────────────────────────

EVERYONE = ("n1", "n2", "n3", "n4", "n5")
LEARNER = "n9"


class Holding(NamedTuple):
    """A configuration, by its two halves, and the members that hold an entry."""

    voters: Names
    outgoing: Names
    have: Names

    def size(self) -> tuple[int, ...]:
        """Return how large it is: by its configuration first, then by how many have the entry."""
        return len(self.voters) + len(self.outgoing), *map(len, self)

    @property
    def agreed(self) -> bool:
        """Whether they decide, by Raft §6."""
        return self._most(self.voters) and (not self.outgoing or self._most(self.outgoing))

    def _most(self, half: Names) -> bool:
        return 2 * len(half & self.have) > len(half)

    def __str__(self) -> str:
        held = _listed(self.have) or "nobody"
        before = f", outgoing {_listed(self.outgoing)}" if self.outgoing else ""
        return f"Voters {_listed(self.voters)}{before}; held by {held}."

    def reason(self, answer: bool) -> str:
        """Return why ``answer`` is wrong."""
        if not answer:
            if self.outgoing:
                return "A majority of each half holds it: that is enough."
            return "Without outgoing voters a majority of the voters is enough."
        strangers = self.have - self.voters - self.outgoing
        if strangers and not Holding(*self[:2], self.have - strangers)._nearly:
            return f"{_listed(strangers)} is a learner, and does not count."
        if not self._most(self.voters) and not self._most(self.outgoing or self.voters):
            if self.outgoing:
                return "Neither half has a majority, which is more than half of it."
            return "That is not a majority of the voters, which is more than half of them."
        if not self._most(self.voters):
            return "The new voters have not agreed: only the outgoing ones have a majority."
        return "The outgoing voters have not agreed: they could decide otherwise by themselves."

    @property
    def _nearly(self) -> bool:
        return any(2 * len(half & self.have) >= len(half) for half in self[:2] if half)


def _listed(names: Collection[str]) -> str:
    return " ".join(sorted(names))


def situations() -> list[Holding]:
    """Return small configurations with every set of members that may have an entry, small first."""
    new = [frozenset(EVERYONE[:count]) for count in range(1, 5)]
    old = [frozenset(names) for count in range(4) for names in combinations(EVERYONE, count)]
    found = [
        Holding(voters, outgoing, frozenset(have))
        for voters, outgoing in product(new, old)
        for count in range(len(voters | outgoing) + 2)
        for have in combinations(sorted({*voters, *outgoing, LEARNER}), count)
        if outgoing != voters
    ]
    return sorted(found, key=Holding.size)


# ── a world ─────────────────────────────────────────────────────────────────────────────────────


def ruled(rule: JointRule) -> type[Raft]:
    """Return the consensus module that commits by ``rule``, entries of its own term only."""

    class Ruled(Raft):
        @staticmethod
        def advance_commit(
            commit_index: int,
            term: int,
            match: Mapping[str, int],
            configuration: Configuration,
            log: Log,
        ) -> int:
            halves = frozenset(configuration.voters), frozenset(configuration.outgoing)
            for index in range(log.last_index, commit_index, -1):
                if log.term(index) != term:
                    break
                if rule(*halves, frozenset(name for name in match if match[name] >= index)):
                    return index
            return commit_index

    return Ruled


class ChangingWorld:
    """A world of three members that commit by ``rule``, checked after every step.

    All methods raise :class:`~kvraft.check.Violation`, and :class:`~kvraft.errors.TimedOut` if what
    they wait for does not happen.
    """

    def __init__(self, rule: JointRule, seed: int = 1) -> None:
        self.world = World(3, seed=seed, consensus=ruled(rule), trace=False)
        self._checker = WorldChecker(self.world)

    def until(self, done: Callable[[], bool]) -> None:
        """Run until ``done``, for 20 seconds at most."""

        def checked() -> bool:
            self._checker.check()
            return done()

        self.world.run_until(checked, limit=20_000)

    def pass_by(self, millis: int) -> None:
        """Run for ``millis`` milliseconds."""
        end = self.world.now + millis * MILLISECOND
        self.until(lambda: self.world.now >= end)

    def become(self, voters: Sequence[str], learners: Sequence[str] = ()) -> None:
        """Change the members to these; ask again until that is committed."""
        self.until(lambda: self._is(Configuration(tuple(voters), (), tuple(learners))))

    def _is(self, wanted: Configuration) -> bool:
        leader = self.world.leader()
        if leader is None:
            return False
        raft = self.world.replicas[leader].raft
        if raft.configuration == wanted:
            return raft.configuration_index <= raft.commit_index
        with suppress(Busy, NotLeader):
            self.world.change(wanted.voters, wanted.learners)
        return False

    def play(self) -> None:
        """Add two members while the cluster falls in two; when it is whole, remove the others."""
        world, old = self.world, self.world.members
        self.until(lambda: world.leader() is not None)
        world.add("n4")
        world.add("n5")
        self.become(old, ("n4", "n5"))
        self.pass_by(200)  # the learners catch up
        world.partition([str(world.leader()), "n4", "n5"])
        world.change(EVERYONE)
        self.pass_by(1_500)  # the other two elect a leader of their own
        world.heal()
        self.become(EVERYONE)
        self.become(("n4", "n5", old[0]))


# ── the check ───────────────────────────────────────────────────────────────────────────────────


@exercise("13.3")
def check_agreed(rule: JointRule) -> str:
    """Print whether ``rule`` decides as joint consensus does, or where not, and the harm."""
    need_function(lambda: rule(frozenset(EVERYONE[:3]), frozenset(), frozenset(EVERYONE[:2])))
    try:
        count = agrees(situations(), lambda case: _compare(rule, case))
    except Broken:
        raise
    except Wrong as wrong:
        raise Wrong(f"{wrong.words}{_consequence(rule)}", wrong.case) from None
    with within("In a world:"):
        try:
            ChangingWorld(rule).play()
        except (Violation, TimedOut) as error:
            raise Wrong(f"{error}.") from None
    return (
        f"It decides as Raft does in {count:,} situations. In a world that fell in two while two "
        "members joined, nothing broke, and when it was whole again the change was made."
    )


def _compare(rule: JointRule, case: Holding) -> str:
    answer = yes_or_no(lambda: rule(*case))
    return "" if answer == case.agreed else case.reason(answer)


def _consequence(rule: JointRule) -> str:
    """Return what a wrong rule breaks in a world, ``""`` if nothing."""
    try:
        ChangingWorld(rule).play()
    except Violation as violation:
        return f" In a world that falls in two meanwhile, this breaks {violation}."
    except TimedOut:
        return " In a world that falls in two meanwhile, no change is ever committed."
    except Exception:
        return ""  # the rule raises there
    return ""
