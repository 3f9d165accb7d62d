"""The memtable: the highest timestamp wins, older versions stay while seen, order is by key."""

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import memtable as module
from kvraft.errors import BadInput
from kvraft.memtable import UNPINNED, Memtable, check_range_tombstone, check_row
from kvraft.range_tombstones import NEVER_DELETED
from kvraft.record import MAX_KEY_BYTES, MAX_TIMESTAMP, MAX_VALUE_BYTES, ROW_OVERHEAD

keys = st.sampled_from([b"", b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xff", b"\xff\xff"])
rows = st.tuples(keys, st.integers(0, 9), st.none() | st.binary(max_size=5))
bounds = st.tuples(keys, st.none() | keys)
quick = settings(deadline=None, derandomize=True, max_examples=200)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def scan(memtable, start=b"", stop=None):
    return [row for chunk in memtable.chunks(start, stop) for row in chunk]


@given(st.lists(rows), bounds)
@quick
def test_it_is_a_sorted_map_in_which_the_highest_timestamp_wins(puts, between):
    memtable, model = Memtable(), {}
    for row in puts:
        memtable.update([row])
        # Of equal timestamps the later wins: two records of one transaction.
        if row[0] not in model or model[row[0]][1] <= row[1]:
            model[row[0]] = row
    start, stop = between
    there = [model[key] for key in sorted(model)]
    within = [row for row in there if start <= row[0] and (stop is None or row[0] < stop)]
    assert scan(memtable, start, stop) == within
    reverse = list(memtable.chunks(start, stop, reverse=True))
    assert [row for chunk in reverse for row in reversed(chunk)] == within[::-1]
    assert [row for chunk in memtable.drain() for row in chunk] == there
    for key in (b"", b"a", b"nowhere"):
        assert memtable.get(key) == model.get(key)
    assert len(memtable) == len(model)
    assert memtable.timestamp == max((row[1] for row in puts), default=0)
    sizes = [ROW_OVERHEAD + len(key) + len(value or b"") for key, _, value in there]
    assert memtable.size == sum(sizes)


@given(st.lists(rows, max_size=30), st.integers(0, 9))
@quick
def test_what_somebody_can_still_see_stays(puts, pinned):
    """Every version at or below the pin can be read, at its own time and at any later one."""
    memtable = Memtable()
    puts = list({(key, stamp): (key, stamp, value) for key, stamp, value in puts}.values())
    for row in puts:
        memtable.update([row], pinned)
    for at in range(pinned + 1):
        for key in {row[0] for row in puts}:
            seen = [row for row in puts if row[0] == key and row[1] <= at]
            right = max(seen, key=lambda row: row[1], default=None)
            assert memtable.get(key, at) == right
    held = scan(memtable)
    assert held == sorted(held, key=lambda row: row[:2])
    assert memtable.size == sum(ROW_OVERHEAD + len(k) + len(v or b"") for k, _, v in held)
    newest = {key: max(r[1] for r in puts if r[0] == key) for key in {row[0] for row in puts}}
    assert all(row[1] == newest[row[0]] or row[1] <= pinned for row in held)


@given(st.lists(rows, max_size=30), st.integers(-1, 9))
@quick
def test_a_single_put_does_what_an_update_does(puts, pinned):
    one, plain = Memtable(), Memtable()
    for row in puts:
        one.put(row, pinned)
        plain.update([row], pinned)
        assert scan(one) == scan(plain)
        assert vars(one) | {"_keys": list(one._keys)} == vars(plain) | {"_keys": list(plain._keys)}


def test_nobody_looking_back_keeps_nothing():
    memtable = Memtable()
    for stamp in range(9):
        memtable.put((b"k", stamp, bytes(stamp)), UNPINNED)
    assert scan(memtable) == [(b"k", 8, bytes(8))]
    assert memtable.get(b"k", at=7) is None


def test_puts_between_two_chunks_disturb_no_scan():
    memtable = Memtable()
    memtable.update([(b"%04d" % n, n, b"") for n in range(0, 1000, 2)])
    seen = []
    for chunk in memtable.chunks():
        seen += [row for row in chunk if row[1] < 1000]
        number = int(chunk[-1][0])
        memtable.update([(b"%04d" % n, 1000 + n, b"late") for n in (number - 1, number + 1)])
    assert [int(key) for key, _, _ in seen] == list(range(0, 1000, 2))


COUNT = 20_000
ORDERS = {
    "ascending": range(COUNT),
    "descending": range(COUNT)[::-1],
    "shuffled": [n * 7919 % COUNT for n in range(COUNT)],
    "from both ends": [n // 2 if n % 2 else COUNT - 1 - n // 2 for n in range(COUNT)],
    "first half shuffled": [*(n * 7919 % 10_000 for n in range(10_000)), *range(10_000, COUNT)],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("in_order_before", [0, 1, 12_345])
def test_draining_goes_in_bounded_slices_whatever_the_order_of_keys(order, in_order_before):
    memtable, rows = Memtable(), [(b"%08d" % n, n, b"") for n in ORDERS[order]]
    memtable.update(rows[:in_order_before])
    assert len(scan(memtable)) == in_order_before  # these are sorted now
    memtable.update(rows[in_order_before:])
    slices = list(memtable.drain())
    assert [row for part in slices for row in part] == sorted(rows)
    assert max(len(part) for part in slices) <= 600
    assert len([part for part in slices if part]) < COUNT / 200  # nor are they tiny


def test_range_deletes_count_and_are_kept_for_the_reader():
    memtable = Memtable()
    assert not memtable
    memtable.delete_range((b"a", 5, b"m"))
    assert memtable
    assert memtable.range_tombstones.newest(b"b") == 5
    assert memtable.range_tombstones.newest(b"m") == NEVER_DELETED
    assert memtable.timestamp == 5
    assert memtable.size > ROW_OVERHEAD


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("a", 1, b""), "a key must be bytes, not str"),
        ((None, 1, b""), "a key must be bytes, not NoneType"),
        ((bytearray(b"a"), 1, b""), "a key must be bytes, not bytearray"),
        ((b"a", b"x"), "a row is a key, a timestamp and a value"),
        (None, "a row is a key, a timestamp and a value"),
        ((b"a", 1, "x"), "a value must be bytes, or None for a delete, not str"),
        ((b"a", "1", b""), "a timestamp must be a whole number"),
        ((b"a", -1, b""), "a timestamp must be a whole number"),
        ((b"a", 1 << 64, b""), "a timestamp must be a whole number"),
        ((bytes(MAX_KEY_BYTES + 1), 1, b""), "a key of 65537 bytes"),
        ((b"a", 1, bytes(MAX_VALUE_BYTES + 1)), "a value of 67108865 bytes"),
    ],
)
def test_a_bad_row_is_told_what_is_wrong_with_it(row, says):
    with pytest.raises(BadInput, match=says):
        check_row(row)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ((b"b", 1, b"b"), "must start before it stops"),
        ((b"b", 1, b"a"), "must start before it stops"),
        ((b"b", 1, None), "not at None"),
        ((b"b", 1, bytes(MAX_KEY_BYTES + 1)), "a key of 65537 bytes"),
        (("b", 1, b"c"), "a key must be bytes"),
    ],
)
def test_a_bad_range_is_told_what_is_wrong_with_it(row, says):
    with pytest.raises(BadInput, match=says):
        check_range_tombstone(row)


def test_the_largest_key_and_timestamp_are_good():
    row = (bytes(MAX_KEY_BYTES), MAX_TIMESTAMP, None)
    check_row(row)
    check_range_tombstone((b"", MAX_TIMESTAMP, b""))
    memtable = Memtable()
    memtable.update([row])
    assert memtable.timestamp == MAX_TIMESTAMP


def test_a_memtable_of_tombstones_fills_up_too():
    memtable = Memtable()
    for number in range(100):
        memtable.put((b"%d" % number, number, None))
    assert memtable.size > 100 * 8
