"""Missions: what a learner is to bring about in a sandbox, and a judge who sees whether it is so.

A mission is a small file that a teacher can write (mission.py has its fields)::

    files/*.toml ──► mission   a goal in one sentence, a beginning, hints, how it ends
                        │
        judge ◄─────────╯      open, reached, impossible, over: a function of a run alone
          │
        goals                  what a goal can be: one table, a sentence and a few lines each
          │
        facts                  what is known after each step of a trace

Invariants:

- A verdict depends on the actions and the trace of a run and nothing else, so a fork is judged by
  its own history.
- A mission is either reachable, and its file has the actions that reach it, or impossible, and then
  it names the rule that is in the way.  The files of kvraft are tested for both.
- An error in a file is one sentence that names file and field.
"""

from kvraft.check.missions.goals import GOALS, Goal
from kvraft.check.missions.judge import Judge, State, Verdict, rehearse
from kvraft.check.missions.mission import Mission, find_mission, load_mission, missions

__all__ = [
    "GOALS",
    "Goal",
    "Judge",
    "Mission",
    "State",
    "Verdict",
    "find_mission",
    "load_mission",
    "missions",
    "rehearse",
]
