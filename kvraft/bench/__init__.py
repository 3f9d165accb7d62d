"""Benchmarks: how fast a part is, next to a peer or to another version, in the same run.

An absolute speed means little on a machine that others use at the same time.  So both sides of a
comparison do the same work in turns, row by row and round by round, and what is reported are ratios
of paired rounds, with their spread::

    parts         the benchmarks by name; runs one
      │ storage     db_bench's workloads    engines   kvraft, LevelDB, RocksDB, SQLite: same calls
      │ replica     a put of a cluster, next to one of a store alone
      │ consensus   entries and messages, next to a plain loop over the same messages
      │ world       how much simulated time passes in a second, next to a bare loop over a heap
      │ └─ judge    what the checkers of a world cost, each by itself
      │ python      what a call, an object and a system call cost here: they have no peer
    result        medians, ratios, a table, JSON
    rounds        the sides take turns, each in a process of its own
      │ worker      that process: it may import kvraft from another checkout
    measure       rows, samples and clocks

Source: LevelDB db_bench.
"""

from kvraft.bench.measure import Part, Row, Sample
from kvraft.bench.parts import PARTS, ROUNDS, chosen_peers, run
from kvraft.bench.result import Result, Spread
from kvraft.bench.rounds import KVRAFT, Round, Side, compare, other_version

__all__ = [
    "KVRAFT",
    "PARTS",
    "ROUNDS",
    "Part",
    "Result",
    "Round",
    "Row",
    "Sample",
    "Side",
    "Spread",
    "chosen_peers",
    "compare",
    "other_version",
    "run",
]
