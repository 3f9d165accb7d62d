"""kvraft: a replicated key/value database to read, step through, break and run.

One idea sets it apart: **the Raft log and the storage engine's write-ahead log are the same
file**.  Follow a write down the stack and you have read the package::

    client/              {key: value, ...}      names and stamps a transaction
    transaction.py       all of it or none      n records, the last carries the commit mark
    raft/                <term, key, value>     orders, replicates, commits
    wal/                 <term, key, value>     segments on disk: this *is* the Raft log
    memtable.py          <key, value>           sorted, in memory
    sstable/  lsm/       <key, value>           sorted, on disk, immutable; all of them as one tree
    bloom.py             <key>                  'certainly not here'

``replica/`` joins them into one member, ``sim/`` runs a whole cluster of members in one process
under one seed, ``check/`` judges it, and ``viz/`` draws what happened from the events they report.
``ARCHITECTURE.md``, next to this file, follows one write step by step.

Six names are at hand as ``from kvraft import World``, each loaded when it is first asked for:

========== ==================================================================
`World`    a whole cluster in one process, under one seed
`Client`   what puts and gets in such a cluster
`Cluster`  consensus alone: members that have neither disks nor tables
`Raft`     one consensus module, driven by hand
`Store`    the embedded database: a tree that owns a log
`Tree`     the same without a log
========== ==================================================================

Invariant: importing this package loads nothing but itself, so that ``import kvraft`` costs nothing
and nobody who wants a store loads a simulator.
"""

TYPE_CHECKING = False  # what type checkers take for typing's; loading that would cost 10 ms

if TYPE_CHECKING:
    from kvraft.client import Client
    from kvraft.lsm import Tree
    from kvraft.raft import Raft
    from kvraft.sim import Cluster, World
    from kvraft.store import Store

__version__ = "0.1.0"
__all__ = ["Client", "Cluster", "Raft", "Store", "Tree", "World"]

_HOMES = {
    "Client": "kvraft.client.client",
    "Cluster": "kvraft.sim.cluster",
    "Raft": "kvraft.raft.raft",
    "Store": "kvraft.store",
    "Tree": "kvraft.lsm.tree",
    "World": "kvraft.sim.world",
}

if not TYPE_CHECKING:  # else every name that is not there would pass for one

    def __getattr__(name):
        """Load one of the names of ``__all__`` from its module, on first use."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    """Return what is here, loaded or not."""
    return sorted({*globals(), *__all__})
