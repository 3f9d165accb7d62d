"""One member of the cluster: consensus, log and tree on one disk, and the rules that join them.

A world gives a replica ticks, messages and requests, and sends what its drains return::

    replica.py            Replica: inputs, a drain in three steps, the rules a subclass may replace
     ├─ interface.py      ReplicaOptions; Drained, what a drain returns
     ├─ idle.py           whether anything is left to do, and time that passes while nothing is
     ├─ recovery.py       log and tree opened from the disk
     ├─ writes.py         WriteDesk: requests to write, and what becomes of each
     │   ├─ pending.py    the transactions that wait for the log to decide
     │   └─ skew.py       how far ahead a client's timestamp may be
     ├─ desk.py           ReadDesk: reads and scans
     ├─ state_machine.py  what every member does alike with committed entries
     │   └─ sessions.py   which transactions of a client were applied already
     ├─ upkeep.py         flushes and truncation, in slices
     │   └─ retention.py  what pins the log
     └─ snapshots.py      the tables, as the snapshot for a follower

Everything that a member does moves one of five marks, which never cross::

     first ≤ flushed + 1            flushed ≤ applied ≤ committed ≤ last
     │ oldest entry kept            │ in SSTables  │ in the     │ on a      │ in the
     │ in the log                   │ on disk      │ memtable   │ majority  │ log

Too much at once is refused, never lost.  A leader whose disk is nearly full, or whose flushes lag,
takes no more writes (:class:`~kvraft.transaction.Overloaded`); a follower with a full disk takes no
more entries.  Heartbeats, elections and reads continue, and so do writes once there is space again.
A member whose disk has no byte left for a term or a vote is silent until it has.

Invariants:

- Whatever a message or a reply depends on was synced before it leaves.
- Neither owner of the log truncates it alone: a segment is dropped only when nothing pins it.
- Members that applied the same entries hold the same rows, sessions and configuration included.
- A transaction takes effect at most once, whole or not at all.

Sources: Raft §5, §7 and §8, thesis §6.3; Kudu's log anchors (one log for consensus and storage).
"""

from kvraft.replica.interface import ReplicaOptions
from kvraft.replica.replica import Replica
from kvraft.replica.retention import Pin, Pins, tree_pin
from kvraft.replica.sessions import (
    MAX_UNWRITTEN,
    SESSION_PREFIX,
    Asked,
    Session,
    Sessions,
    TransactionOutcome,
)
from kvraft.replica.snapshots import ReplicaSnapshot, ReplicaSnapshotSource
from kvraft.replica.state_machine import CONFIGURATION_KEY, EndedTransaction, StateMachine
from kvraft.replica.writes import WriteDesk

__all__ = [
    "CONFIGURATION_KEY",
    "MAX_UNWRITTEN",
    "SESSION_PREFIX",
    "Asked",
    "EndedTransaction",
    "Pin",
    "Pins",
    "Replica",
    "ReplicaOptions",
    "ReplicaSnapshot",
    "ReplicaSnapshotSource",
    "Session",
    "Sessions",
    "StateMachine",
    "TransactionOutcome",
    "WriteDesk",
    "tree_pin",
]
