"""Clients that want the same keys: a bank whose sum must never change, and how often they conflict.

A transfer reads two accounts and moves an amount from one to the other.  In each round
every client reads, then all submit at once::

    reads of all clients ──┬─► submit a ─┐
                           ├─► submit b ─┼─► one after another in the log: the first that wants an
                           └─► submit c ─┘   account gets it, later ones in this round conflict

Everything is drawn from a seed, so a count of conflicts is the same on every machine.

Source: Kung and Robinson, *On Optimistic Methods for Concurrency Control*, TODS 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from kvraft.client import Client, DraftTransaction, Ticket
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.inputs import whole_number
from kvraft.record import Timestamp
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim.world import World

BALANCE = 100
"""What each account holds at first."""

HISTORY = ReplicaOptions(history_millis=3_600_000)
"""Members that keep an hour of history."""


class ContentionResult(NamedTuple):
    """``clients`` clients tried ``tried`` transfers among ``keys`` accounts."""

    clients: int
    keys: int
    tried: int
    conflicts: int

    @property
    def rate(self) -> float:
        """The fraction of transfers that ended in conflict."""
        return self.conflicts / self.tried


def accounts(count: int) -> list[bytes]:
    """Return the keys of ``count`` accounts."""
    return [b"account %d" % number for number in range(count)]


def open_bank(
    count: int,
    *,
    seed: int = 1,
    options: ReplicaOptions = HISTORY,
    replica: type[Replica] = Replica,
) -> World:
    """Return a world of three members in which ``count`` accounts hold :data:`BALANCE` each."""
    world = World(3, seed=seed, options=options, replica=replica)
    world.client("bank").write(dict.fromkeys(accounts(count), b"%d" % BALANCE))
    return world


def transfer(client: Client, source: bytes, target: bytes, amount: int) -> DraftTransaction:
    """Return a transfer that has read and written both accounts, but was not sent."""
    draft = client.transaction()
    left, right = (int(draft.get(key) or b"0") for key in (source, target))
    draft.put(source, b"%d" % (left - amount))
    draft.put(target, b"%d" % (right + amount))
    return draft


def run_transfers(
    world: World, clients: int, keys: int, rounds: int, *, seed: int = 1
) -> list[Ticket]:
    """Make one transfer by each of ``clients`` clients in every round; return all tickets.

    Raises :class:`~kvraft.errors.BadInput` without clients, or with fewer than two accounts.
    """
    whole_number(rounds, "a number of rounds", minimum=0)
    if (
        whole_number(clients, "a number of clients") < 1
        or whole_number(keys, "a number of accounts") < 2
    ):
        raise BadInput(
            f"{counted(clients, 'client')} and {counted(keys, 'account')}: there is "
            "nothing to transfer"
        )
    random = Random(f"transfers/{seed}")
    tickets: list[Ticket] = []
    for _ in range(rounds):
        drafts = []
        for number in range(clients):
            source, target = random.sample(accounts(keys), 2)
            client = world.client(f"client {number}")
            drafts.append(transfer(client, source, target, random.randrange(1, 10)))
        sent = [draft.submit() for draft in drafts]
        world.run_until(lambda sent=sent: all(ticket.done for ticket in sent))  # type: ignore[misc]
        tickets += sent
    world.settle()
    return tickets


def measure_conflicts(clients: int, keys: int, rounds: int, *, seed: int = 1) -> ContentionResult:
    """Return how often transfers conflict in a world of their own."""
    whole_number(keys, "a number of accounts")
    world = open_bank(keys, seed=seed)
    tickets = run_transfers(world, clients, keys, rounds, seed=seed)
    conflicts = sum(ticket.conflict is not None for ticket in tickets)
    return ContentionResult(clients, keys, len(tickets), conflicts)


def account_balances(replica: Replica, count: int, at: Timestamp | None = None) -> list[int]:
    """Return the balances of the accounts at one member, as of the timestamp ``at`` if given."""
    return [int(replica.tree.get(key, at=at) or b"0") for key in accounts(count)]


def applied_timestamps(tickets: Sequence[Ticket]) -> list[Timestamp]:
    """Return the timestamps of the transactions that took effect, ascending."""
    return sorted(ticket.timestamp for ticket in tickets if ticket.stage == "APPLIED")
