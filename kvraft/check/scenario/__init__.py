"""Situations in a cluster, written in a text file, played step by step and checked.

::

    scenario      the language; load() and parse() a file, play() it
    └─ grammar    each line becomes an action on a cluster
       ├─ expect  what may be expected of a member
       └─ words   one line, word by word

Invariant: whatever is wrong in a file, or goes otherwise than it says, is one error that names file
and line.

The files are in ``data/scenarios``; the form is that of etcd's datadriven tests.
"""

from kvraft.check.scenario.grammar import Line
from kvraft.check.scenario.scenario import Scenario, UnmetExpectation, load, names, parse

__all__ = ["Line", "Scenario", "UnmetExpectation", "load", "names", "parse"]
