"""Somebody's own implementation on trial: a verdict for each property, and how it is broken.

::

    named          judge(): one call for whatever it is
      subject      the class by name: is it there, and what is it?
      consensus    a consensus module: many runs, what broke made small
          probe        what does it lack?
          run          one run: acts, then healed, then a leader and a write in time
          ├─ schedules     what happens: chaos, terms, clock
          │    └─ classics     situations of the literature
          └─ acts          one thing that is done, and its line in a scenario
          guest        between a cluster and the foreign module
            └─ answers     does what it returns make sense?
      replica      a replica: whole clusters of it, in runs of the swarm
      tree         a tree: next to a dictionary, with crashes on a simulated disk
    report         verdicts, as text and as JSON
    promises       what it is asked, and what that needs

``kvraft/trial`` does this in a process of its own, with a time limit.

Invariants:

- A trial is a function of the implementation, the number of runs and the seed.
- Whatever foreign code raises or returns is a verdict or one sentence.
- A property is reported as broken only with a run that breaks it, repeated after it was shrunk.

>>> from kvraft.raft import Raft
>>> report = judge_consensus(Raft, runs=2)
>>> report.verdict("election safety").outcome.value
'holds'
"""

from kvraft.check.trial.answers import nonsense
from kvraft.check.trial.consensus import RUNS, SHRINKING, first_broken, judge_consensus
from kvraft.check.trial.guest import Stuck
from kvraft.check.trial.named import consensus_named, judge
from kvraft.check.trial.promises import CONSENSUS, Ability, Promise
from kvraft.check.trial.replica import judge_replica
from kvraft.check.trial.report import Outcome, Report, Verdict
from kvraft.check.trial.subject import Subject, subject_of
from kvraft.check.trial.tree import TREE, TreePromise, judge_tree

__all__ = [
    "CONSENSUS",
    "RUNS",
    "SHRINKING",
    "TREE",
    "Ability",
    "Outcome",
    "Promise",
    "Report",
    "Stuck",
    "Subject",
    "TreePromise",
    "Verdict",
    "consensus_named",
    "first_broken",
    "judge",
    "judge_consensus",
    "judge_replica",
    "judge_tree",
    "nonsense",
    "subject_of",
]
