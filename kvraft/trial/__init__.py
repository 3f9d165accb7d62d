"""Trials in processes of their own: of code that may hang, die, or be in another language.

::

    apart      judges a class in another process: a time limit, and no harm done

What is judged, and how, is in ``check/trial``, which runs in a browser's Python, too; here is what
needs processes.

Invariant: whatever foreign code does ends in a report or in one sentence.
"""

from kvraft.trial.apart import SECONDS, judge_apart

__all__ = ["SECONDS", "judge_apart"]
