"""One write whose leader dies on the way, at every step of it; and writers whose clocks disagree.

What a client can know of its write and what became of it are two things.
:func:`measure_write_outage` crashes the leader a number of steps after a write was sent and returns
both, in the same world each time::

    sent ──┬─ step ─ step ─┬─ … ─ done          client: APPLIED, ABORTED or UNKNOWN
                           leader dies           log: how often was it applied?

:func:`lost_updates` counts the acknowledged writes that cannot be read when one client's clock runs
ahead of another's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from kvraft.errors import BadInput
from kvraft.events import (
    Event,
    Trace,
    TransactionApplied,
    TransactionRepeated,
)
from kvraft.inputs import whole_number
from kvraft.record import TxnId
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim.world import World
from kvraft.transaction import Stage

PATIENCE = 10_000
"""How many milliseconds a client keeps sending its write."""

SEED = 252


class WriteOutage(NamedTuple):
    """What became of a write whose leader died ``step`` steps of the world after it was sent.

    When the leader died, the client knew the write to be at ``stage``, ``logs`` members had it in
    their logs, saved or about to be, and the leader knew whether it was ``committed``.  In the end
    the ticket of ``txn`` reported ``reported`` after ``attempts`` sendings; the write was applied
    ``effects`` times, and ``repeats`` times a second copy in the log was recognised and changed
    nothing.  ``trace`` has all events of the world, from ``first`` on those after the write was
    sent.
    """

    txn: str
    step: int
    stage: Stage
    logs: int
    committed: bool
    reported: Stage
    attempts: int
    effects: int
    repeats: int
    trace: Trace
    first: int


def world_with_client(
    seed: int = SEED, options: ReplicaOptions | None = None, replica: type[Replica] = Replica
) -> World:
    """Return a world of three members whose client ``ann`` has found the leader."""
    world = World(3, seed=seed, options=options, replica=replica)
    world.run_until(lambda: world.leader() is not None)
    world.client("ann").put(b"stock", b"3")
    world.run_for(30)
    return world


def count_write_steps(seed: int = SEED) -> int:
    """Return how many steps of the world a write takes if no member crashes."""
    world, steps = world_with_client(seed), 0
    ticket = world.client("ann").submit({b"stock": b"2"})
    while not ticket.done:
        world.step()
        steps += 1
    return steps


def measure_write_outage(
    step: int,
    *,
    patience: int = PATIENCE,
    again: bool = False,
    replica: type[Replica] = Replica,
    seed: int = SEED,
) -> WriteOutage:
    """Crash the leader ``step`` steps after a write was sent; what it had sent is lost, too.

    The client keeps sending for ``patience`` milliseconds.  With ``again``, a client whose write
    ended UNKNOWN retries it as soon as there is a new leader, whose name it is given.  In the end
    the crashed member is restarted, so that whatever is on its disk takes effect.
    """
    if whole_number(step, "a number of steps") < 0:
        raise BadInput(f"a leader cannot die {step} steps after a write")
    world = world_with_client(seed, replica=replica)
    first, crashed, ann = len(world.trace), world.leader(), world.client("ann")
    assert crashed is not None
    ticket = ann.submit({b"stock": b"2"}, timeout=patience)
    for _ in range(step):
        world.step()
    stage, (logs, committed) = ticket.stage, _progress(world, ticket.txn)
    world.crash(crashed)
    world.drop(lambda message: message.sender == crashed)
    world.run_until(lambda: ticket.done)
    world.run_until(lambda: world.leader() is not None)
    leader = world.leader()
    if again and ticket.stage is Stage.UNKNOWN:
        ann.leader = leader
        ann.retry(ticket)
        world.run_until(lambda: ticket.done)
    world.restart(crashed)
    world.settle()
    news, txn = world.trace[first:], str(ticket.txn)
    effects, repeats = (
        _count(news, kind, txn, leader) for kind in (TransactionApplied, TransactionRepeated)
    )
    ends = ticket.stage, ticket.attempts, effects, repeats
    return WriteOutage(txn, step, stage, logs, committed, *ends, world.trace, first)


def _progress(world: World, txn: TxnId | None) -> tuple[int, bool]:
    """Return how many members have ``txn`` in their logs, and whether one knows it committed."""
    known = []
    for replica in world.replicas.values():
        raft = replica.raft
        entries = raft.log.slice(raft.log.first_index)
        known += [e.index <= raft.commit_index for e in entries if e.record.txn == txn]
    return len(known), any(known)


def _count(news: Trace, kind: type[Event], txn: str, who: str | None) -> int:
    return sum(getattr(step.event, "txn", "") == txn for step in news.of(kind, who=who))


def retry_pauses(count: int, seed: int = SEED) -> list[int]:
    """Return ``count`` pauses, in milliseconds, between sendings of an unanswered write."""
    whole_number(count, "a number of pauses", minimum=0)
    world = World(3, seed=seed)
    client = world.client("ann")
    client.register()
    for name in world.members:
        world.crash(name)
    ticket = client.submit({b"k": b"v"}, timeout=1_000_000)
    world.run_until(lambda: ticket.attempts > count, limit=1_000_000)
    times = [at for at, stage, _ in ticket.history if stage is Stage.SENT]
    return [later - sooner for sooner, later in pairwise(times)][:count]


def lost_updates(
    ahead: int, *, replica: type[Replica] = Replica, rounds: int = 12, seed: int = SEED
) -> int:
    """Return how many acknowledged writes of ``rounds`` rounds are lost, one clock ``ahead`` ms.

    Two clients write to one key in turn, the one with the fast clock first.  A write is lost if a
    read right after its acknowledgement, before the next write, returns another value.
    """
    whole_number(rounds, "a number of rounds", minimum=0)
    world = world_with_client(seed, options=ReplicaOptions(skew_millis=10_000), replica=replica)
    fast, slow = world.client("fast"), world.client("slow")
    world.set_clock("fast", ahead)
    lost = 0
    for number in range(rounds):
        for client in (fast, slow):
            value = f"{client.name} {number}".encode()
            client.put(b"stock", value)
            lost += client.get(b"stock") != value
            world.run_for(20)
    return lost
