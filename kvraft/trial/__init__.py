"""Trials in processes of their own: of code that may hang, die, or be in another language.

::

    apart      judges a class in another process: a time limit, and no harm done
    process    judges a consensus module in any language: lines of JSON to a process a member
    ├─ line        one of these processes, and the lines to and from it
    └─ session     how a process is ended, with all that it started

What is judged, and how, is in ``check/trial``, which runs in a browser's Python, too; here is what
needs processes.

Invariant: whatever foreign code does ends in a report or in one sentence.
"""

from kvraft.trial.apart import REPLICA_SECONDS, SECONDS, judge_apart, usual_seconds
from kvraft.trial.process import Command, judge_command

__all__ = [
    "REPLICA_SECONDS",
    "SECONDS",
    "Command",
    "judge_apart",
    "judge_command",
    "usual_seconds",
]
