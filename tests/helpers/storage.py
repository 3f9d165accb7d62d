"""What several tests of the storage engine need: tables written from rows, and what a reader sees.

:func:`seen` says what is right by definition, one key and one time after the other; the engine
never works like that.
"""

from kvraft.range_tombstones import RangeTombstones
from kvraft.record import MAX_TIMESTAMP
from kvraft.sstable import TableFormat, TableWriter


def whole_keys(rows, count=3):
    """Return ``rows`` in lists of about ``count``, each with all versions of its keys."""
    lists = []
    for row in rows:
        if not lists or (len(lists[-1]) >= count and lists[-1][-1][0] != row[0]):
            lists.append([])
        lists[-1].append(row)
    return lists


def in_order(rows):
    return sorted(rows, key=lambda row: row[:2])


def write_table(disk, number, rows, ranges=(), owner="me", **form):
    """Write a table of ``rows`` in any order and of range deletes; return what is known of it."""
    writer = TableWriter(disk, number, owner, TableFormat(**form))
    for part in whole_keys(in_order(rows)):
        writer.add(part)
    return writer.finish(RangeTombstones(ranges).rows()).run_to_end()


def holds(start, stop, key):
    """Whether ``key`` lies in a range; ``b""`` and ``None`` are no end."""
    return start <= key and (not stop or key < stop)


def seen(rows, ranges, at=MAX_TIMESTAMP):
    """Return key and value of all that a reader at a time sees, by definition."""
    pairs = []
    for key in sorted({row[0] for row in rows}):
        there = [row for row in rows if row[0] == key and row[1] <= at]
        newest = max(there, key=lambda row: row[1], default=None)
        if newest is None or newest[2] is None:
            continue
        if not any(newest[1] < t <= at for a, t, b in ranges if holds(a, b, key)):
            pairs.append((key, newest[2]))
    return pairs
