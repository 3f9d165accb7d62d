"""What the lessons run: the tour, the checks of their exercises, and the copies a reader edits.

::

    tour/          real earthquakes replayed into a cluster that is made to fail, act by act
    exercises/     one file a lesson: tries a learner's rule in the real module
      ├─ lesson    cases tried one after another, the situation put before what is wrong
      ├─ answers   answers as plain values, whatever their spelling
      ├─ guard     how a learner's code is called, so that it never hangs or breaks the check
      └─ verdicts  a verdict for every check, printed and kept; hints and solutions
           ├─ values    the answers that are plain values: a word for each likely error
           └─ registry  all exercises, from exercises.toml: title, difficulty, minutes, hints
    solutions/     one file a lesson: right answers, and wrong ones with their words
    copies         copies the lessons to where a reader works on them (``kvraft lab``)

Invariants:

- A learner's rule runs in the real consensus module, log or tree, not in a model of it.
- Cases are tried the smallest first, so the first wrong one that is printed is the simplest.
- Equal code gives equal text, whatever the machine: seeds decide everything that is random.
- A learner's answer gives a verdict whatever it is: it may raise, print, recurse or never end.
- A lesson that a reader changed is never overwritten.

Nothing else imports this room except the command line.  Lessons import each exercise from its own
file (``from kvraft.course.exercises.flush import check_kept``).
"""

from kvraft.course import copies
from kvraft.course.verdicts import about, check, next_hint, solution

__all__ = ["about", "check", "copies", "next_hint", "solution"]
