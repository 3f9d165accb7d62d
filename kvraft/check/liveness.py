"""Liveness: once everything is repaired, the cluster works again, and soon.

Safety alone would be kept by a cluster that does nothing.  So at the end of a run, when every
member runs and every link carries, a clock is started::

    healed ──► a leader ──► all open calls have ended ──► each client writes and reads once more
           ├─ ELECTIONS time-outs ─┤
           ├───────────── DONE_MILLIS ──────────┤
                                                ├─────────── DONE_MILLIS ───────────┤

A write that is refused counts as done while something is broken.  Now nothing is: a cluster that
takes no write of a client is a finding, whatever reason it gives.

Invariant: what is asked here can be met: time-outs are drawn from the options' own range, and the
bounds are many times what a correct cluster takes.

Source: TigerBeetle's VOPR, whose safety phase is followed by a liveness phase (docs/internals).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from kvraft.check.properties import Violation
from kvraft.client import Client, ReadFailed
from kvraft.errors import TimedOut
from kvraft.sim import MILLISECOND, TICK, World
from kvraft.transaction import Stage

ELECTIONS = 10
"""So many of the longest election time-outs may pass until there is a leader."""
DONE_MILLIS = 30_000
"""How long calls may take, those that were open and those that begin now."""


class Liveness(StrEnum):
    """What happens at last, by name."""

    LEADER = "a leader in time"
    DONE = "calls end"
    WRITES = "writes are taken"
    READS = "reads are answered"


def check_liveness(world: World, clients: Iterable[Client]) -> None:
    """Step ``world``, in which nothing is broken, until it has a leader and serves ``clients``.

    Raises :class:`~kvraft.check.Violation` if it does not do so in time.
    """
    options = next(iter(world.replicas.values())).options.raft
    longest = (options.election_ticks + options.spread_ticks) * TICK // MILLISECOND
    clients = list(clients)
    _within(
        world,
        ELECTIONS * longest,
        lambda: world.leader() is not None,
        Liveness.LEADER,
        "there is no leader",
    )
    _within(
        world,
        DONE_MILLIS,
        lambda: not any(client.busy for client in clients),
        Liveness.DONE,
        "a client waits",
    )
    writes = [
        (client, client.submit({b"probe/" + client.name.encode(): b"alive"}, timeout=DONE_MILLIS))
        for client in clients
    ]
    _within(
        world,
        DONE_MILLIS + 1_000,
        lambda: all(ticket.done for _, ticket in writes),
        Liveness.WRITES,
        "a write is open",
    )
    for client, ticket in writes:
        if ticket.stage is not Stage.APPLIED:
            what = f"nothing is broken, but the write of {client.name} ended {ticket}"
            raise Violation(Liveness.WRITES, (), what)
        try:
            client.read(b"probe/" + client.name.encode(), timeout=DONE_MILLIS)
        except ReadFailed as error:
            what = f"nothing is broken, but {client.name} cannot read: {error}"
            raise Violation(Liveness.READS, (), what) from error


def _within(
    world: World, millis: int, condition: Callable[[], bool], property: Liveness, what: str
) -> None:
    try:
        world.run_until(condition, limit=millis)
    except TimedOut:
        roles = ", ".join(
            f"{name} {replica.raft.role} of term {replica.raft.term}"
            for name, replica in world.replicas.items()
        )
        late = f"{what} {millis:,} ms after everything was repaired ({roles})"
        raise Violation(property, tuple(world.replicas), late) from None
