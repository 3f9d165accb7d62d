"""Grading: the exercises of papers that were handed in, each run in a process of its own.

::

    papers   reads notebooks, and makes of one exercise in a paper a Job: statements to run
      └─ runner   runs a Job in another process, with limits of time, memory and output
           ├─ child    what runs there, and writes a verdict to a file
           └─ table    the verdicts as rows, for ``kvraft grade``

It is honest grading, and not proof against cheating: a paper runs in the process that judges it.
"""

from kvraft.course.grading.runner import Limits
from kvraft.course.grading.table import Row, csv_text, grade, text_rows

__all__ = ["Limits", "Row", "csv_text", "grade", "text_rows"]
