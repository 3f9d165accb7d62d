"""What clients wrote and read, judged: by the log, and by what they saw alone.

::

    transactions      TransactionChecker: compares members, answers and tickets with the model
    └─ model          a second state machine, which applies the committed entries one by one
    answers           judge_calls: is what clients got what one map would give?
    ├─ calls          record: what programs asked their clients, and what they got, and when
    └─ linearizability   judge: is there one order of all operations that explains what each saw?
       ├─ operations     an operation, its moment, a verdict in words
       └─ order_search   all situations that are possible, moment by moment

Invariants:

- The model shares no code with ``replica/state_machine.py``, which it judges.
- It takes each entry once, when the first member knows it to be committed, and forgets nothing.

Sources: Raft §5.3, §8; Herlihy and Wing, *Linearizability*, TOPLAS 1990; Lowe, *Testing for
Linearizability*, CCPE 2017.
"""

from kvraft.check.history.answers import Judged, NotLinearizable, judge_calls
from kvraft.check.history.calls import Calls, ReadCall, RecordedClient, WriteCall, record
from kvraft.check.history.linearizability import judge, points_of
from kvraft.check.history.model import Effect, Fate, Model, Promise
from kvraft.check.history.operations import Operation, Point, Stuck, Verdict
from kvraft.check.history.order_search import TooHard
from kvraft.check.history.transactions import TransactionChecker

__all__ = [
    "Calls",
    "Effect",
    "Fate",
    "Judged",
    "Model",
    "NotLinearizable",
    "Operation",
    "Point",
    "Promise",
    "ReadCall",
    "RecordedClient",
    "Stuck",
    "TooHard",
    "TransactionChecker",
    "Verdict",
    "WriteCall",
    "judge",
    "judge_calls",
    "points_of",
    "record",
]
