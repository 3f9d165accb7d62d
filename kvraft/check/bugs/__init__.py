"""Planted bugs: members or clients that are wrong in one way each, for a check or a learner.

::

    registry        find_bug(): all bugs by name
    ├─ consensus    one rule of the Raft paper is broken
    ├─ storage      one rule of the log, of transactions, sessions or snapshots is broken
    └─ client       members are right, and what callers get is wrong

Invariants:

- A bug is a subclass that overrides a public method of the class it stands in for, so it runs
  wherever that class runs.
- Each bug is caught: those of consensus by a scenario in ``data/scenarios``, those of storage and
  of the client by the swarm.

The lessons plant the classes exported here by themselves; everything else asks by name.
"""

from kvraft.check.bugs.consensus import OlderTermsCounted
from kvraft.check.bugs.registry import Bug, consensus_bug, find_bug
from kvraft.check.bugs.storage import (
    AppliesRetries,
    ChecksBeforeAppending,
    CountsIncarnations,
    DiscardsWhatItBegan,
    StampsNotRaised,
)

__all__ = [
    "AppliesRetries",
    "Bug",
    "ChecksBeforeAppending",
    "CountsIncarnations",
    "DiscardsWhatItBegan",
    "OlderTermsCounted",
    "StampsNotRaised",
    "consensus_bug",
    "find_bug",
]
