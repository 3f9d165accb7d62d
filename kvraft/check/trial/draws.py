"""What a schedule draws again and again: a member, a message, a crash, a request.

Invariant: every draw is a function of the random source and of what the cluster did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from random import Random

from kvraft.check.trial.acts import NEEDED, Act
from kvraft.check.trial.promises import Ability
from kvraft.raft import Message, Raft, Role
from kvraft.sim import Cluster

MOST = 6
"""How many members a cluster grows to."""


class Draws:
    """Draws for one ``cluster``, of what an implementation with these abilities can be asked."""

    def __init__(self, cluster: Cluster, random: Random, abilities: Collection[Ability]) -> None:
        self.cluster, self.random, self._abilities = cluster, random, abilities
        self.extras: list[Callable[[], Act]] = [
            extra
            for verb, extra in (
                ("change", self._change),
                ("add", self._add),
                ("transfer", self._transfer),
                ("read", self._read),
                ("snapshot", self._snapshot),
            )
            if self.can(verb)
        ]
        """What not every implementation has."""
        self._proposals = self._reads = 0

    @property
    def rafts(self) -> dict[str, Raft]:
        """The consensus modules of the members that run."""
        return self.cluster.rafts

    def can(self, verb: str) -> bool:
        """Return whether the implementation has the ability that an act needs, if it needs one."""
        return verb not in NEEDED or NEEDED[verb] in self._abilities

    def member(self) -> str:
        """Return a member, one that runs if any does."""
        return self.random.choice(list(self.rafts) or list(self.cluster.members))

    def leader(self) -> str:
        """Return a member that leads, of whatever term, if any does."""
        leads = [name for name, raft in self.rafts.items() if raft.role is Role.LEADER]
        return self.random.choice(leads) if leads else self.member()

    def key(self) -> str:
        """Return a key that is new."""
        self._proposals += 1
        return f"x{self._proposals}"

    def proposal(self) -> Act:
        """Return a proposal to a leader."""
        return ("propose", self.leader(), self.key())

    def read_at(self, name: str) -> Act:
        """Return a read at a member, under a token that is new."""
        self._reads += 1
        return ("read", name, self._reads)

    def message(self, verb: str) -> Act:
        """Return what is done to any message in flight."""
        messages = [letter.message for letter in self.cluster.in_flight]
        return self.done_to_one(verb, messages) if messages else ("timeout", self.member())

    def done_to_one(self, verb: str, messages: Sequence[Message]) -> Act:
        """Return what is done to one of these messages, which are in flight."""
        picked = self.random.choice(messages)
        kind, sender, to = type(picked).__name__, picked.sender, picked.to
        alike = self.cluster.find(sender=sender, to=to, kind=type(picked))
        place = next(at for at, letter in enumerate(alike) if letter.message is picked)
        return (verb, kind, sender, to, place)

    def crash(self) -> Act:
        """Return a crash, now or in the middle of a member's work."""
        name = self.leader() if self.random.random() < 0.5 else self.member()
        return ("crash", name, self.random.choice(("", "", "begin", "save")))

    def returns(self, most: int) -> Iterator[Act]:
        """Yield the restarts of as many members that are down."""
        for name, member in self.cluster.members.items():
            if most and member.raft is None:
                most -= 1
                yield ("restart", name)

    # ── what not every implementation has ───────────────────────────────────────────────────────

    def _change(self) -> Act:
        names = list(self.cluster.members)
        voters = self.random.sample(names, self.random.randint(1, len(names)))
        return ("change", self.leader(), *voters)

    def _add(self) -> Act:
        count = len(self.cluster.members)
        return ("add", f"n{count + 1}") if count < MOST else ("heal",)

    def _transfer(self) -> Act:
        return ("transfer", self.leader(), self.member())

    def _read(self) -> Act:
        return self.read_at(self.leader() if self.random.random() < 0.7 else self.member())

    def _snapshot(self) -> Act:
        return ("snapshot", self.member(), self.random.randint(0, 3))
