"""Merging runs, showing them at a time, and keeping what somebody can see: against plain models."""

import doctest

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.lsm import RetainedTimes, merge, retain
from kvraft.lsm import merging as module
from kvraft.lsm.merging import visible
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import MAX_TIMESTAMP

quick = settings(deadline=None, derandomize=True, max_examples=300)
KEYS = [b"", b"a", b"a\0", b"b", b"c", b"\xff"]
keys = st.sampled_from(KEYS)
stamps = st.integers(0, 9)
values = st.none() | st.sampled_from([b"", b"1"])
# No two rows of one key have the same timestamp.
tables = st.lists(
    st.dictionaries(st.tuples(keys, stamps), values, max_size=12), max_size=5
)  # fmt: skip
spans = st.tuples(keys, keys).filter(lambda pair: pair[0] < pair[1])
ranges_ = st.lists(st.tuples(spans, stamps), max_size=3)


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def run_of(rows, cut):
    """Chunks of about ``cut`` rows that never part the versions of a key."""
    chunks = []
    for row in sorted(rows):
        if not chunks or (len(chunks[-1]) >= cut and chunks[-1][-1][0] != row[0]):
            chunks.append([])
        chunks[-1].append(row)
    return chunks


def distinct(dicts):
    """The runs as rows; of rows with the same key and timestamp the first one stays."""
    seen, runs = set(), []
    for each in dicts:
        runs.append([(*place, value) for place, value in each.items() if place not in seen])
        seen |= set(each)
    return runs


@given(tables, st.integers(1, 4))
@quick
def test_a_merge_yields_every_row_once_in_order_both_ways(dicts, cut):
    runs = distinct(dicts)
    chunks = [run_of(run, cut) for run in runs]
    ordered = sorted((row for run in runs for row in run), key=lambda row: row[:2])
    forward = list(merge(map(iter, chunks)))
    assert [row for chunk in forward for row in chunk] == ordered
    backward = list(merge((iter(run[::-1]) for run in chunks), reverse=True))
    assert [row for chunk in reversed(backward) for row in chunk] == ordered
    for found in (forward, backward):
        for chunk in found:  # no key is in two chunks
            others = [row[0] for other in found if other is not chunk for row in other]
            assert not {row[0] for row in chunk} & set(others)


def test_a_value_and_a_tombstone_of_one_timestamp_do_not_stop_a_merge():
    (chunk,) = merge([iter([[(b"a", 1, None)]]), iter([[(b"a", 1, b"x")]])])
    assert sorted(map(repr, chunk)) == ["(b'a', 1, None)", "(b'a', 1, b'x')"]


def build(found):
    return RangeTombstones((start, stamp, stop) for (start, stop), stamp in found)


def seen(rows, deleted, at):
    """What a reader at a time sees, by definition."""
    result = []
    for key in sorted({row[0] for row in rows}):
        mine = [row for row in rows if row[0] == key and row[1] <= at]
        row = max(mine, key=lambda row: row[1], default=None)
        gone = max((t for (a, b), t in deleted if a <= key < b and t <= at), default=-1)
        if row is not None and row[2] is not None and row[1] >= gone:
            result.append((key, row[2]))
    return result


@given(tables, ranges_, st.integers(0, 10))
@quick
def test_a_reader_sees_the_newest_at_its_time(dicts, deleted, at):
    rows = sorted((row for run in distinct(dicts) for row in run), key=lambda row: row[:2])
    assert visible(rows, at, build(deleted) if deleted else None) == seen(rows, deleted, at)


@given(tables, ranges_, st.lists(stamps, max_size=3), st.integers(0, 12), st.booleans())
@quick
def test_nothing_that_somebody_can_see_is_dropped_and_nothing_else_is_kept(
    dicts, deleted, pins, floor, history
):
    rows = sorted((row for run in distinct(dicts) for row in run), key=lambda row: row[:2])
    keep = RetainedTimes(tuple(sorted(set(pins))), floor if history else MAX_TIMESTAMP)
    ranges = build(deleted) if deleted else None
    kept = retain(rows, keep, ranges)
    assert [row for row in rows if row in kept] == kept
    times = {*pins, 12, *(range(floor, 13) if history else ())}
    for at in times:
        assert visible(kept, at, ranges) == seen(rows, deleted, at), at
    for row in kept:  # each is the newest of its key for some reader, or the newest of all
        newer = [r[1] for r in rows if r[0] == row[0] and r[1] > row[1]]
        newer += [t for (a, b), t in deleted if a <= row[0] < b and t > row[1]]
        until = min(newer, default=13)
        assert any(row[1] <= at < until for at in times) or not newer


@given(tables, st.lists(stamps, max_size=2))
@quick
def test_tombstones_go_only_where_nothing_older_is_kept_and_the_caller_agrees(dicts, pins):
    rows = sorted((row for run in distinct(dicts) for row in run), key=lambda row: row[:2])
    keep = RetainedTimes(tuple(sorted(set(pins))))
    asked = []

    def droppable(key, timestamp):
        asked.append((key, timestamp))
        return key < b"b"

    with_them, without = retain(rows, keep), retain(rows, keep, None, droppable)
    for at in {*pins, 12}:
        assert visible(without, at) == visible(with_them, at)
    for row in with_them:
        older = [r for r in without if r[0] == row[0] and r[1] < row[1]]
        if row not in without:
            assert row[2] is None
            assert row[0] < b"b"
            assert not older
        elif row[2] is None:
            assert older or row[0] >= b"b"
    assert set(asked) <= {row[:2] for row in rows if row[2] is None}
