"""Finding out what an implementation lacks, in a cluster in which nothing goes wrong.

A method may be there and refuse everything ("not here"), because a base class wants it.  So each
ability is tried once, at a leader that has committed a write, where a right one does not refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from kvraft.check.properties import Violation
from kvraft.check.trial.promises import METHODS, Ability
from kvraft.errors import BadInput, Busy, NotLeader, TimedOut
from kvraft.raft import Raft
from kvraft.sim import Cluster

LIMIT = 600
"""Ticks within which a cluster that works has a leader."""


def probe(consensus: type[Raft], abilities: Collection[Ability]) -> dict[str, str]:
    """Return the abilities that are not there after all, each with the reason."""
    lacks: dict[str, str] = {}
    for ability in abilities:
        try:
            cluster, leader = _working_cluster(consensus)
        except (Violation, TimedOut, NotLeader, Busy):
            return lacks  # it breaks before anything of the kind: the runs will show how
        try:
            _TRIALS[ability](cluster, leader)
        except (NotLeader, Busy):
            continue  # a refusal of this moment
        except (Violation, BadInput) as error:
            what = error.what if isinstance(error, Violation) else str(error)
            lacks[str(ability)] = f"{METHODS[ability]} refuses: {what}"
    return lacks


def _working_cluster(consensus: type[Raft]) -> tuple[Cluster, str]:
    """Return a cluster with a leader that has committed a write."""
    cluster = Cluster(3, consensus=consensus, trace=False)
    cluster.run_until(lambda: cluster.leader() is not None, limit=LIMIT)
    leader = cluster.leader() or ""
    cluster.propose(leader, "probe")
    cluster.run(20)
    return cluster, leader


def _change(cluster: Cluster, leader: str) -> None:
    cluster.add("n4")
    cluster.propose_change(leader, ("n1", "n2", "n3"), ("n4",))


def _transfer(cluster: Cluster, leader: str) -> None:
    cluster.transfer(leader, next(name for name in cluster.members if name != leader))


_TRIALS: dict[Ability, Callable[[Cluster, str], object]] = {
    Ability.SNAPSHOTS: lambda cluster, leader: cluster.truncate_log(leader, 1),
    Ability.MEMBERSHIP: _change,
    Ability.LEASES: lambda cluster, leader: cluster.rafts[leader].lease,
    Ability.READS: lambda cluster, leader: cluster.read(leader, 1),
    Ability.TRANSFERS: _transfer,
}
