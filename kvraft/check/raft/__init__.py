"""Consensus modules judged after every step and at every message.

::

    checker   RaftChecker: what must hold after a step; watch() connects it to a cluster
    ├─ messages   what a message says is on its sender's disk; one vote, one leader a term
    ├─ changes    members change by overlapping majorities, one change at a time
    └─ observed   members at one moment, and as they were before

Invariants:

- A step costs what it changed, however long the logs: index and term name a whole log, by
  induction (Figure 3, log matching).
- The checker keeps its own record of what was committed; it believes no member.

Sources: Raft Figures 2 and 3, §5.2-5.4, §6, §8; thesis §6.4.1 (leases).
"""

from kvraft.check.raft.checker import RaftChecker, watch
from kvraft.check.raft.observed import ObservedMember

__all__ = ["ObservedMember", "RaftChecker", "watch"]
