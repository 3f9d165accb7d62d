"""Room."""

from kvraft.replica.replica import Replica, ReplicaOptions
from kvraft.replica.retention import Pin, Pins, tree_pin
from kvraft.replica.sessions import SESSION_PREFIX, Session, Sessions, TransactionOutcome
from kvraft.replica.snapshots import ReplicaSnapshot, ReplicaSnapshotSource
from kvraft.replica.state_machine import StateMachine

__all__ = [
    "SESSION_PREFIX",
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
    "tree_pin",
]
