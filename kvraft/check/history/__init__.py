"""Transactions judged against a sequential model: what happened is what the log says.

::

    transactions   TransactionChecker: compares members, answers and tickets with the model
    └─ model       a second state machine, which applies the committed entries one by one

Invariants:

- The model shares no code with ``replica/state_machine.py``, which it judges.
- It takes each entry once, when the first member knows it to be committed, and forgets nothing.

Sources: Raft §5.3, §8; Herlihy and Wing, *Linearizability*, TOPLAS 1990.
"""

from kvraft.check.history.model import Effect, Fate, Model, Promise
from kvraft.check.history.transactions import TransactionChecker

__all__ = ["Effect", "Fate", "Model", "Promise", "TransactionChecker"]
