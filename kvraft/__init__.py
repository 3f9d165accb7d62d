"""kvraft: a replicated key/value database to read, step through, break and run.

One idea sets it apart: **the Raft log and the storage engine's write-ahead log are the same
file**.  Follow a write down the stack and you have read the package::

    client.py            {key: value, ...}      names and stamps a transaction
    transaction.py       all of it or none      n records, the last carries the commit mark
    raft.py              <term, key, value>     orders, replicates, commits
    wal.py               <term, key, value>     segments on disk: this *is* the Raft log
    memtable.py          <key, value>           sorted, in memory
    sstable.py           <key, value>           sorted, on disk, immutable
    bloom.py             <key>                  'certainly not here'

``replica.py`` joins them into one member, ``kvraft.sim`` runs a whole cluster of members in one
process under one seed, and ``kvraft.viz`` draws what happened from the events they report.

Importing this package loads nothing but itself: take what you need, for instance
``from kvraft.sim import World`` or ``from kvraft.lsm import Tree``.
"""

__version__ = "0.1.0"
