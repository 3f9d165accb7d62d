"""Runs as values: what was done to a world can be replayed, forked at any moment, and saved.

A :class:`Run` is a world of ``members`` under a ``seed``, and the actions that were done to it.  It
is the seam between a world and what touches it: a cell, a picture or a file::

    Run ─────► World            what it is like now: run.world, run.trace, run.now
    run.py     ▲
     ├─ verbs ─╯                what can be done: VERBS, each with parameters and refusals
     │  verbs.py ──► member_verbs.py, traffic_verbs.py, client_verbs.py ──► verb.py
     ├─ actions                 what was done: a verb with arguments, at a time   action.py
     ├─ ladder                  checkpoints, from which forks begin               ladder.py
     └─ files                   a few lines of text         file.py, options.py

- act: ``run.act("crash", "n1")`` does it, and returns the :class:`Action`; ``run.refusal("crash",
  "n1")`` says why it cannot be done now, for a button that is grey; ``action.as_python()`` is the
  call, to be pasted into a cell.
- go on: ``run.run_for(ms)``, ``run.run_until(condition)``; ``run.step()`` executes the next
  microsecond in which anything happens.
- go back: ``run.at(step)`` is the world as it was after a step of the trace; ``run.fork(step)``, or
  ``run.fork(at=micros)``, is another run that goes on from there.
- keep: ``run.save(path)`` and ``Run.load(path)``, ``run.to_text()`` and ``Run.parse(text)``.

Invariants:

- An action at microsecond *t* comes after all that was due at or before *t*; a run stands still
  only between two microseconds.  So the same actions give the same trace, byte for byte.
- Each action leaves an event in the trace.
- What is done to ``run.world`` directly is not known to the run, and lost in a replay.

>>> run = Run(members=3, seed=1)
>>> run.run_until(lambda: run.world.leader() is not None)
>>> run.act("put", "alice", "color", "red")
Action(at=184303, verb='put', arguments=('alice', 'color', 'red'))
>>> run.run_for(100)
>>> before = run.fork()
>>> print(run.act("crash", run.world.leader()).as_python())
run.act("crash", "n2")
>>> run.refusal("crash", "n2")
'crash: n2 does not run'
>>> before.refusal("crash", "n2")
''
>>> again = Run.parse(run.to_text())
>>> again.trace.digest() == run.trace.digest()
True
"""

from kvraft.sim.runs.action import Action, Argument
from kvraft.sim.runs.file import LONGEST_RUN, MOST_ACTIONS, RunRecord, parse_run, read_run
from kvraft.sim.runs.options import options_from_json
from kvraft.sim.runs.parameters import Parameter, ParameterKind
from kvraft.sim.runs.run import Run
from kvraft.sim.runs.verb import NotNow, Target, Verb
from kvraft.sim.runs.verbs import VERBS

__all__ = [
    "LONGEST_RUN",
    "MOST_ACTIONS",
    "VERBS",
    "Action",
    "Argument",
    "NotNow",
    "Parameter",
    "ParameterKind",
    "Run",
    "RunRecord",
    "Target",
    "Verb",
    "options_from_json",
    "parse_run",
    "read_run",
]
