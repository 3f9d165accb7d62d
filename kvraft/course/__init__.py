"""What the lessons run: the tour, the checks of their exercises, and the copies a reader edits.

::

    tour/          real earthquakes replayed into a cluster that is made to fail, act by act
    exercises/     one file a lesson: tries a learner's rule in the real module, prints a verdict
      └─ lesson    how an exercise checks itself without giving the answer away
    copies         copies the lessons to where a reader works on them (``kvraft lab``)

Invariants:

- A learner's rule runs in the real consensus module, log or tree, not in a model of it.
- Cases are tried the smallest first, so the first wrong one that is printed is the simplest.
- Equal code gives equal text, whatever the machine: seeds decide everything that is random.
- A lesson that a reader changed is never overwritten.

Nothing else imports this room except the command line.  Lessons import each exercise from its own
file (``from kvraft.course.exercises.flush import check_kept``).
"""

from kvraft.course import copies
from kvraft.course.lesson import check

__all__ = ["check", "copies"]
