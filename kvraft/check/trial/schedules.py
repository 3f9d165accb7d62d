"""Schedules of a trial: what happens in a run is drawn from its seed.

There are four kinds, because each is blind where another sees:

=========== =======================================================================================
``chaos``   one message, timer or crash at a time, in any order
``terms``   one term at a time (``terms.py``): logs diverge, and answers come too late
``clock``   time passes, and decides; links and members fail and come back
classics    a few situations of the literature (``classics.py``), and then a few terms
=========== =======================================================================================

What was sent and not delivered stays in flight, so that answers of an earlier term arrive late.

Invariant: a schedule yields the next act only when the one before it was done, and is a function of
seed, abilities and what the cluster did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from random import Random
from typing import NamedTuple

from kvraft.check.trial.acts import Act
from kvraft.check.trial.classics import classics, forgotten_promise
from kvraft.check.trial.draws import Draws
from kvraft.check.trial.promises import Ability
from kvraft.check.trial.terms import terms
from kvraft.raft import RaftOptions
from kvraft.sim import Cluster

STEPS = 160
"""About how many acts a run has."""


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
    kind = random.choice(("chaos", "clock", *["terms"] * 2, *["classics"] * 3))
    members = random.choice((3, 3, 5) if kind in ("chaos", "clock") else (3, 5, 5))
    # Where nobody's clock runs, a member that heard a leader never hears candidates again.
    guarded = random.random() < {"chaos": 0.2, "clock": 0.5}.get(kind, 0.1)
    # A lease assumes clocks: a timer that runs out by hand is a clock that is wrong.
    lease = 8 if guarded and kind == "clock" and Ability.LEASES in abilities else 0
    options = RaftOptions(
        pre_vote=guarded,
        check_quorum=guarded,
        lease_ticks=lease,
        max_batch_bytes=random.choice((64, 64, 64, 1 << 16)),  # entries one by one, or many at once
    )
    return Plan(seed, kind, members, options, (1, random.choice((1, 2, 6))))


def acts_of(plan: Plan, cluster: Cluster, abilities: Collection[Ability]) -> Iterator[Act]:
    """Yield the acts of a run, each when the one before it was done."""
    draws = Draws(cluster, Random(f"trial/{plan.seed}/acts"), abilities)
    yield from _KINDS[plan.kind](draws)


def _chaos(draws: Draws) -> Iterator[Act]:
    """Yield one small thing after another."""
    random = draws.random
    for _ in range(STEPS):
        dice = random.random()
        if dice < 0.66 and draws.cluster.in_flight:
            yield draws.message(random.choice(("deliver",) * 14 + ("drop", "duplicate")))
        elif dice < 0.76:
            yield ("timeout", draws.member())
        elif dice < 0.88:
            yield draws.proposal()
        elif dice < 0.93:
            yield draws.crash()
        elif draws.extras and dice < 0.96:
            yield random.choice(draws.extras)()
        else:
            yield from draws.returns(1)


def _classics(draws: Draws) -> Iterator[Act]:
    """Yield situations of the literature, and what comes of them."""
    yield from classics(draws)
    yield from terms(draws, elections=2)


def _clock(draws: Draws) -> Iterator[Act]:
    """Yield time that passes, and what goes wrong meanwhile."""
    random = draws.random
    for _ in range(STEPS // 5):
        if random.random() < 0.06:
            yield from forgotten_promise(draws)
        yield ("run", random.choice((1, 3, 8, 20, 40)))
        dice = random.random()
        if dice < 0.45:
            yield draws.proposal()
        elif dice < 0.55:
            yield draws.crash()
        elif dice < 0.65:
            names = list(draws.cluster.members)
            yield ("partition", *random.sample(names, random.randint(1, len(names) - 1)))
        elif dice < 0.75:
            yield ("heal",)
        elif draws.extras and dice < 0.85:
            yield random.choice(draws.extras)()
        else:
            yield from draws.returns(1)


_KINDS: dict[str, Callable[[Draws], Iterator[Act]]] = {
    "chaos": _chaos,
    "terms": terms,
    "clock": _clock,
    "classics": _classics,
}
