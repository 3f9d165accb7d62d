"""Judging a run from outside: nothing here takes part in the cluster that it looks at.

A checker sees what members hold, what they send, or the trace of events, and compares that with
what the papers and the database promise.  What it finds is a :class:`Violation`::

    zoo         hunts for the planted bugs, by the three that follow
    sweep/      runs drawn by chance: the swarm, the soak, the hunt
    scenario/   situations written by hand, line by line
    explore/    every future of a small cluster, within bounds
    trial/      somebody's own implementation: a verdict for each property
    missions/   goals for a learner's hands, and a judge of whether they are reached
      │         ↑ these drive clusters;   ↓ these judge them
    invariants  a whole world after each step: the five marks, and all of raft/
    equality    what members hold after each step: those that applied the same hold the same
    liveness    a leader, and an end of all calls, soon after everything is repaired
    marks       what a long range of runs must have met, or says nothing
    shrink      as few items of a list as still break something
    moved       what is new in a world since its checkers looked last
    lights      a trace alone, which may be a recording: says what broke, and goes on
    storage/    crashes at each call, the death of a leader at each step, which log was dropped
    history/    transactions against a sequential model of the log
    raft/       the consensus modules: logs, votes, commits, messages
    properties  the names of what must hold, and Violation
    bugs/       planted in members: a checker that misses one is worth less than it seems

Invariants:

- A checker changes nothing: a run with it and a run without it have the same trace.
- What it judges it works out by itself, never by the rule in the code that it judges.
- A finding can be repeated: a run depends on its seed, its options and the code only.

Sources: Raft Figure 3, §5.4, §6, §8; Herlihy and Wing, *Linearizability*, TOPLAS 1990.
"""

from kvraft.check.invariants import MarksChecker, WorldChecker
from kvraft.check.lights import LIGHTS, BrokenLight, Lights, lights_of
from kvraft.check.moved import News
from kvraft.check.properties import FIGURE_3, Property, Violation

__all__ = [
    "FIGURE_3",
    "LIGHTS",
    "BrokenLight",
    "Lights",
    "MarksChecker",
    "News",
    "Property",
    "Violation",
    "WorldChecker",
    "lights_of",
]
