"""Many runs drawn by chance, and one very long one.

::

    smaller       a run in which something is found, with as few acts as possible
    ├─ replay     a run file: replayed with every checker, and made small action by action
    ├─ stored     the run files of data/runs, by name
    parallel      many seeds on all cores, or wherever an executor runs them
    ├─ results    what was found, in a file from which a sweep resumes
    └─ swarm      a run per seed: drawn options, drawn faults
       ├─ clients    what clients do
       ├─ faults/    what the environment does, by kinds
       └─ judged     a run that is recorded, with every checker at every step
          ├─ rows    what clients keep true, so that no model is needed
          └─ doubt   what a member must notice of its disk, and what nobody can
    twice         a run repeated in another interpreter: it must be the same
    soak          transactions without end: does disk or memory grow?
    └─ usage      what a member uses, and whether a line through it climbs
    hunt          a cluster of consensus modules driven at random, and how soon it breaks

Invariant: a run is a function of its seed and of the code, so ``kvraft swarm --seeds N`` repeats
what was found.

Sources: Groce et al., *Swarm Testing*, ISSTA 2012; FoundationDB's simulation (Will Wilson, 2014).
"""

from kvraft.check.sweep.faults import KINDS, fault_names
from kvraft.check.sweep.hunt import hunt
from kvraft.check.sweep.parallel import SwarmSettings, processes, run_seed, run_seeds
from kvraft.check.sweep.replay import (
    Judgement,
    broken_by,
    history_lines,
    judge_record,
    shrink_record,
)
from kvraft.check.sweep.results import ResultsFile, Summary, SwarmResult, error_of, result_of
from kvraft.check.sweep.smaller import smaller_run, what_breaks
from kvraft.check.sweep.soak import MemberOutage, Soak, UsageSample, usage_points, usage_trends
from kvraft.check.sweep.stored import RUNS, find_run, is_run, run_names, scenario_file
from kvraft.check.sweep.swarm import SwarmRun
from kvraft.check.sweep.twice import summary_of
from kvraft.check.sweep.usage import fit_trend, second_half

__all__ = [
    "KINDS",
    "RUNS",
    "Judgement",
    "MemberOutage",
    "ResultsFile",
    "Soak",
    "Summary",
    "SwarmResult",
    "SwarmRun",
    "SwarmSettings",
    "UsageSample",
    "broken_by",
    "error_of",
    "fault_names",
    "find_run",
    "fit_trend",
    "history_lines",
    "hunt",
    "is_run",
    "judge_record",
    "processes",
    "result_of",
    "run_names",
    "run_seed",
    "run_seeds",
    "scenario_file",
    "second_half",
    "shrink_record",
    "smaller_run",
    "summary_of",
    "usage_points",
    "usage_trends",
    "what_breaks",
]
