"""Schedules of a trial: what happens in a run is drawn from its seed.

There are four kinds, because each is blind where another sees:

=========== =======================================================================================
``chaos``   one message, timer or crash at a time, in any order
``terms``   one term at a time: somebody stands, some members vote, some get the entries, some
            answers arrive, somebody crashes.  Logs that diverge over several terms come of it
            (Raft Figures 7 and 8), which single steps drawn at random hardly ever make
``clock``   time passes, and decides; links and members fail and come back
classics    a situation of the literature (``classics.py``), and then a few terms
=========== =======================================================================================

What was sent and not delivered stays in flight, so that answers of an earlier term arrive late.

Invariant: a schedule yields the next act only when the one before it was done, and is a function of
seed, abilities and what the cluster did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from random import Random
from typing import NamedTuple

from kvraft.check.trial.acts import ALL, NEEDED, NEWEST, Act
from kvraft.check.trial.classics import classic
from kvraft.check.trial.promises import Ability
from kvraft.raft import AppendEntriesReply, RaftOptions, Role
from kvraft.sim import Cluster

STEPS = 160
"""About how many acts a run has."""
ELECTIONS = 24
"""How many elections there are in a run of terms."""
MOST = 6
"""How many members a cluster grows to."""


class Plan(NamedTuple):
    """What a run begins with: drawn from its seed."""

    seed: int
    kind: str
    members: int
    options: RaftOptions
    latency: tuple[int, int]


def draw_plan(seed: int, abilities: Collection[Ability]) -> Plan:
    """Return the plan of the run under ``seed``."""
    random = Random(f"trial/{seed}")
    kind = random.choice(("chaos", "terms", "terms", "clock", "classics", "classics"))
    members = random.choice((3, 3, 5) if kind in ("chaos", "clock") else (3, 5))
    guarded = random.random() < 0.3
    # A lease assumes clocks: a timer that runs out by hand is a clock that is wrong.
    lease = 8 if guarded and kind == "clock" and Ability.LEASES in abilities else 0
    options = RaftOptions(pre_vote=guarded, check_quorum=guarded, lease_ticks=lease)
    return Plan(seed, kind, members, options, (1, random.choice((1, 2, 6))))


def acts_of(plan: Plan, cluster: Cluster, abilities: Collection[Ability]) -> Iterator[Act]:
    """Yield the acts of a run, each when the one before it was done."""
    schedule = _Schedule(cluster, Random(f"trial/{plan.seed}/acts"), abilities)
    yield from getattr(schedule, plan.kind)()


class _Schedule:
    """Draws the acts for one cluster."""

    def __init__(self, cluster: Cluster, random: Random, abilities: Collection[Ability]) -> None:
        self._cluster, self._random = cluster, random
        self._extras: list[Callable[[], Act]] = [
            extra
            for verb, extra in (
                ("change", self._change),
                ("add", self._add),
                ("transfer", self._transfer),
                ("read", self._read),
                ("snapshot", self._snapshot),
            )
            if NEEDED[verb] in abilities
        ]
        self._proposals = self._reads = 0

    # ── four kinds ─────────────────────────────────────────────────────────────────────────────

    def chaos(self) -> Iterator[Act]:
        """Yield one small thing after another."""
        random = self._random
        for _ in range(STEPS):
            dice = random.random()
            if dice < 0.66 and self._cluster.in_flight:
                yield self._message(random.choice(("deliver",) * 14 + ("drop", "duplicate")))
            elif dice < 0.76:
                yield ("timeout", self._member())
            elif dice < 0.88:
                yield self._proposal()
            elif dice < 0.93:
                yield self._crash()
            elif self._extras and dice < 0.96:
                yield random.choice(self._extras)()
            else:
                yield from self._returns(1)

    def classics(self) -> Iterator[Act]:
        """Yield a situation of the literature, and what comes of it."""
        yield from classic(self._cluster, self._random)
        yield from self.terms(elections=2)

    def terms(self, elections: int = ELECTIONS) -> Iterator[Act]:
        """Yield elections, each with what some members get to know of them.

        How often things happen is drawn, too: some bugs need that little else happens.
        """
        random = self._random
        crashes, late = random.choice((0.0, 0.2, 0.5)), random.choice((0.0, 0.3, 0.7))
        rounds = random.choice(((0, 2), (0, 0, 1, 2), (0, 1, 2, 3, 5)))
        answered, most = random.choice((0.5, 0.8, 1.0)), random.choice((0, 0, 1, 2))
        for _ in range(elections):
            candidate = self._member()
            others = [name for name in self._cluster.members if name != candidate]
            bare = (len(others) + 1) // 2
            count = bare if random.random() < 0.6 else random.randint(0, len(others))
            others = random.sample(others, count)
            yield from self._stand(candidate)
            for ask in ("PreVote", "RequestVote"):
                yield from self._ask(ask, candidate, others)
            for _ in range(random.randint(0, most)):
                yield ("propose", candidate, self._key())
            yield from self._spread(candidate, others, random.choice(rounds), answered)
            while random.random() < late:
                yield self._late(candidate)
            if self._extras and random.random() < 0.4:
                yield random.choice(self._extras)()
            if random.random() < crashes:
                yield self._crash()
            yield from self._returns(random.randint(0, 2))

    def _stand(self, candidate: str) -> Iterator[Act]:
        """Yield elections of one member, as a rule until its term is one that nobody has seen."""
        cluster = self._cluster
        raft = cluster.rafts.get(candidate)
        if raft is not None and raft.role is Role.LEADER and self._random.random() < 0.7:
            yield ("crash", candidate, "")  # it stands only once it leads no longer
            yield ("restart", candidate)
        yield ("timeout", candidate)
        while candidate in cluster.rafts and self._random.random() < 0.85:
            others = [raft.term for name, raft in cluster.rafts.items() if name != candidate]
            if cluster.rafts[candidate].term > max(others, default=0):
                return
            yield ("timeout", candidate)

    def _ask(self, ask: str, candidate: str, others: list[str]) -> Iterator[Act]:
        """Yield a question to some members, and most of the answers; the others come late."""
        for name in others:
            yield ("deliver", ask, candidate, name, ALL)
            dice = self._random.random()
            if dice < 0.1:
                yield ("duplicate", f"{ask}Reply", name, candidate, NEWEST)
            if dice < 0.85:
                yield ("deliver", f"{ask}Reply", name, candidate, ALL)

    def _spread(
        self, leader: str, others: list[str], rounds: int, answered: float
    ) -> Iterator[Act]:
        """Yield what some followers get from a leader, and what it gets back."""
        random = self._random
        some = random.sample(others, random.randint(min(1, len(others)), len(others)))
        for _ in range(rounds):
            for name in some:
                yield ("deliver", "AppendEntries", leader, name, ALL)
                if random.random() < answered:
                    yield ("deliver", "AppendEntriesReply", name, leader, ALL)

    def clock(self) -> Iterator[Act]:
        """Yield time that passes, and what goes wrong meanwhile."""
        random = self._random
        for _ in range(STEPS // 5):
            yield ("run", random.choice((1, 3, 8, 20, 40)))
            dice = random.random()
            if dice < 0.45:
                yield self._proposal()
            elif dice < 0.55:
                yield self._crash()
            elif dice < 0.65:
                names = list(self._cluster.members)
                yield ("partition", *random.sample(names, random.randint(1, len(names) - 1)))
            elif dice < 0.75:
                yield ("heal",)
            elif self._extras and dice < 0.85:
                yield random.choice(self._extras)()
            else:
                yield from self._returns(1)

    # ── small things ────────────────────────────────────────────────────────────────────────────

    def _member(self) -> str:
        return self._random.choice(list(self._cluster.rafts) or list(self._cluster.members))

    def _leader(self) -> str:
        leads = [n for n, raft in self._cluster.rafts.items() if raft.role is Role.LEADER]
        return self._random.choice(leads) if leads else self._member()

    def _key(self) -> str:
        self._proposals += 1
        return f"x{self._proposals}"

    def _proposal(self) -> Act:
        return ("propose", self._leader(), self._key())

    def _late(self, leader: str) -> Act:
        """Return what delivers a message late: often an answer to what ``leader`` was before."""
        replies = self._cluster.find(to=leader, kind=AppendEntriesReply)
        if replies and self._random.random() < 0.5:
            return (
                "deliver",
                "AppendEntriesReply",
                self._random.choice(replies).message.sender,
                leader,
                0,
            )
        return self._message(self._random.choice(("deliver", "deliver", "duplicate")))

    def _message(self, verb: str) -> Act:
        letters = self._cluster.in_flight
        if not letters:
            return ("timeout", self._member())
        picked = self._random.choice(letters).message
        kind, sender, to = type(picked).__name__, picked.sender, picked.to
        alike = self._cluster.find(sender=sender, to=to, kind=type(picked))
        place = next(at for at, letter in enumerate(alike) if letter.message is picked)
        return (verb, kind, sender, to, place)

    def _crash(self) -> Act:
        name = self._leader() if self._random.random() < 0.5 else self._member()
        return ("crash", name, self._random.choice(("", "", "begin", "save")))

    def _returns(self, most: int) -> Iterator[Act]:
        for name, member in self._cluster.members.items():
            if most and member.raft is None:
                most -= 1
                yield ("restart", name)

    # ── what not every implementation has ───────────────────────────────────────────────────────

    def _change(self) -> Act:
        names = list(self._cluster.members)
        voters = self._random.sample(names, self._random.randint(1, len(names)))
        return ("change", self._leader(), *voters)

    def _add(self) -> Act:
        count = len(self._cluster.members)
        return ("add", f"n{count + 1}") if count < MOST else ("heal",)

    def _transfer(self) -> Act:
        return ("transfer", self._leader(), self._member())

    def _read(self) -> Act:
        self._reads += 1
        name = self._leader() if self._random.random() < 0.7 else self._member()
        return ("read", name, self._reads)

    def _snapshot(self) -> Act:
        return ("snapshot", self._member(), self._random.randint(0, 3))
