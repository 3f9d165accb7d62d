"""The memtable: the highest timestamp wins, batches go in whole, order is by key."""

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import memtable as module
from kvraft.block import ROW_OVERHEAD
from kvraft.errors import BadInput
from kvraft.memtable import Memtable
from kvraft.record import MAX_KEY_BYTES, MAX_VALUE_BYTES, Version

keys = st.sampled_from([b"", b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xff", b"\xff\xff"])
versions = st.builds(Version, st.integers(0, 9), st.none() | st.binary(max_size=5))
bounds = st.tuples(keys, st.none() | keys)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(st.lists(st.tuples(keys, versions)), bounds)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_it_is_a_sorted_map_in_which_the_highest_timestamp_wins(rows, between):
    memtable, model = Memtable(), {}
    for key, version in rows:
        memtable.put(key, version)
        # Of equal timestamps the later wins: two records of one transaction.
        if key not in model or model[key].timestamp <= version.timestamp:
            model[key] = version
    start, stop = between
    assert list(memtable.scan()) == sorted(model.items())
    assert list(memtable.scan(start, stop)) == [
        (key, model[key]) for key in sorted(model) if start <= key and (stop is None or key < stop)
    ]
    for key in (b"", b"a", b"nowhere"):
        assert memtable.get(key) == model.get(key)
    assert len(memtable) == len(model)
    assert memtable.timestamp == max((version.timestamp for _, version in rows), default=0)
    assert memtable.size == sum(
        ROW_OVERHEAD + len(key) + len(version.value or b"") for key, version in model.items()
    )


good = Version(1, b"")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("a", good), "a key must be bytes, not str"),
        ((None, good), "a key must be bytes, not NoneType"),
        ((bytearray(b"a"), good), "a key must be bytes, not bytearray"),
        ((b"a", b"x"), "pair of a key and a Version"),
        ((b"a",), "pair of a key and a Version"),
        (None, "pair of a key and a Version"),
        ((b"a", Version(1, "x")), "a value must be bytes, or None for a delete, not str"),
        ((b"a", Version("1", b"")), "a timestamp must be a whole number"),
        ((b"a", Version(-1, b"")), "a timestamp must be a whole number"),
        ((b"a", Version(1 << 64, b"")), "a timestamp must be a whole number"),
        ((bytes(MAX_KEY_BYTES + 1), good), "a key of 65537 bytes"),
        ((b"a", Version(1, bytes(MAX_VALUE_BYTES + 1))), "a value of 67108865 bytes"),
    ],
)
def test_a_batch_with_a_bad_row_changes_nothing(row, says):
    memtable = Memtable()
    with pytest.raises(BadInput, match=says):
        memtable.update([(b"before", good), row])
    assert (len(memtable), memtable.size, memtable.timestamp) == (0, 0, 0)


def test_the_largest_key_and_timestamp_are_good():
    memtable = Memtable()
    memtable.put(bytes(MAX_KEY_BYTES), Version((1 << 64) - 1, None))
    assert memtable.timestamp == (1 << 64) - 1


def test_a_memtable_of_tombstones_fills_up_too():
    memtable = Memtable()
    for number in range(100):
        memtable.put(b"%d" % number, Version(number, None))
    assert memtable.size > 100 * 8
