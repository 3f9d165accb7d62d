"""Merging sorted runs: the one place where versions of a key from different runs are reconciled.

A *run* is an iterator of rows in strictly ascending key order: a memtable, a table.  Reading a tree
means merging its runs on the fly; compaction will mean merging some of them for good.

Invariants:

- The highest timestamp wins, whichever run it lies in; of equal ones that from the newer run.
- The result is a run.  Tombstones stay in it: only the reader may hide them.

Source: O'Neil et al., *The Log-Structured Merge-Tree*, 1996, §2.1 (rolling merge).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter

from kvraft.record import Row

_key = itemgetter(0)


def merge(runs: Iterable[Iterable[Row]]) -> Iterator[Row]:
    """Yield each key of ``runs`` (given newest first) once, with its winning version.

    >>> from kvraft.record import Version
    >>> new = [(b"a", Version(5, None)), (b"c", Version(4, b"3"))]
    >>> old = [(b"a", Version(1, b"1")), (b"b", Version(2, b"2"))]
    >>> [(key, version.timestamp) for key, version in merge([new, old])]
    [(b'a', 5), (b'b', 2), (b'c', 4)]
    """
    # heapq.merge is stable: rows of one key come in the order of their runs, newest first.
    best: Row | None = None
    for row in heapq.merge(*runs, key=_key):
        if best is None:
            best = row
        elif row[0] != best[0]:
            yield best
            best = row
        elif row[1].timestamp > best[1].timestamp:
            best = row
    if best is not None:
        yield best
