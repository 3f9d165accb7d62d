"""What clients wrote and read, judged: by the log, and by what they saw alone.

::

    transactions      TransactionChecker: compares members, answers and tickets with the model
    └─ model          a second state machine, which applies the committed entries one by one
    linearizability   judge: is there one order of all operations that explains what each saw?
    └─ order_search   all situations that are possible, moment by moment

Invariants:

- The model shares no code with ``replica/state_machine.py``, which it judges.
- It takes each entry once, when the first member knows it to be committed, and forgets nothing.

Sources: Raft §5.3, §8; Herlihy and Wing, *Linearizability*, TOPLAS 1990; Lowe, *Testing for
Linearizability*, CCPE 2017.
"""

from kvraft.check.history.linearizability import Operation, Point, Stuck, Verdict, judge
from kvraft.check.history.model import Effect, Fate, Model, Promise
from kvraft.check.history.transactions import TransactionChecker

__all__ = [
    "Effect",
    "Fate",
    "Model",
    "Operation",
    "Point",
    "Promise",
    "Stuck",
    "TransactionChecker",
    "Verdict",
    "judge",
]
