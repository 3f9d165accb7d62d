"""A write batch: together it does what its writes do one after the other, at one timestamp."""

import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.lsm import WriteBatch
from kvraft.lsm import batch as module
from kvraft.lsm.merging import visible
from kvraft.memtable import Memtable
from kvraft.record import MAX_KEY_BYTES, MAX_VALUE_BYTES, Kind
from tests.helpers.storage import holds

KEYS = [b"", b"\0", b"a", b"ab", b"b", b"c", b"\xff"]
keys = st.sampled_from(KEYS)
stops = st.none() | keys.filter(bool)
writes = st.one_of(
    st.tuples(st.just("put"), keys, st.sampled_from([b"", b"1", b"22"])),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("delete_range"), keys, stops).filter(lambda w: w[2] is None or w[1] < w[2]),
)


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(st.dictionaries(keys, st.just(b"old")), st.lists(writes, max_size=12))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_a_batch_does_what_its_writes_do_one_after_the_other(before, steps):
    """Through a memtable, where a range delete hides what is older but nothing of its own time."""
    memtable = Memtable()
    memtable.update([(key, 4, value) for key, value in before.items()])
    batch, model = WriteBatch(), dict(before)
    for name, *arguments in steps:
        assert getattr(batch, name)(*arguments) is batch
        match name, *arguments:
            case "put", key, value:
                model[key] = value
            case "delete", key:
                model.pop(key, None)
            case "delete_range", start, stop:
                model = {key: v for key, v in model.items() if not holds(start, stop, key)}
    assert len(batch) == len(steps)
    rows, ranges = batch.rows(5)
    assert {row[1] for row in rows + ranges} <= {5}
    for row in ranges:
        memtable.delete_range(row)
    memtable.update(rows)
    chunks = [row for chunk in memtable.chunks() for row in chunk]
    assert dict(visible(chunks, ranges=memtable.range_tombstones)) == model
    assert batch.rows(6) == (
        [(key, 6, value) for key, _, value in rows],
        [(start, 6, stop) for start, _, stop in ranges],
    )


def test_writes_are_kept_as_they_were_asked_for():
    batch = WriteBatch().put(b"a", b"").delete(b"b").delete_range(b"c").delete_range(b"", b"d")
    assert batch.writes == [
        (Kind.PUT, b"a", b""),
        (Kind.DELETE, b"b", None),
        (Kind.DELETE_RANGE, b"c", b""),
        (Kind.DELETE_RANGE, b"", b"d"),
    ]
    assert WriteBatch().writes == []
    assert WriteBatch().rows(1) == ([], [])


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("put", ("a", b""), "a key must be bytes, not str"),
        ("put", (b"a", "x"), "a value must be bytes, not str: write b'x', or use .encode"),
        ("put", (b"a", None), "a value must be bytes: to delete a key, use delete"),
        ("put", (b"a", [1, 2]), "a value must be bytes, not list"),
        ("put", (bytes(MAX_KEY_BYTES + 1), b""), "a key of 65537 bytes"),
        ("put", (b"a", bytes(MAX_VALUE_BYTES + 1)), "a value of 67108865 bytes"),
        ("delete", (7,), "a key must be bytes, not int"),
        ("delete", (bytes(MAX_KEY_BYTES + 1),), "a key of 65537 bytes"),
        ("delete_range", (b"b", b"b"), "must start before it stops: b'b' is not below b'b'"),
        ("delete_range", (b"b", b"a"), "must start before it stops"),
        ("delete_range", (b"a", b""), "None means no end"),
        ("delete_range", (b"", b""), "None means no end"),
        ("delete_range", ("a", b"b"), "the start of a range must be bytes, not str"),
        ("delete_range", (b"a", "b"), "must be bytes"),
        ("delete_range", (b"a", bytes(MAX_KEY_BYTES + 1)), "a key of 65537 bytes"),
    ],
)
def test_what_cannot_be_written_is_said_at_once_and_leaves_the_batch_as_it_was(
    name, arguments, says
):
    batch = WriteBatch().put(b"before", b"1")
    before = list(batch.writes)
    with pytest.raises(BadInput, match=says):
        getattr(batch, name)(*arguments)
    assert batch.writes == before


def test_buffers_are_taken_as_they_are_when_handed_in():
    key, value = bytearray(b"k"), bytearray(b"before")
    batch = WriteBatch().put(key, memoryview(value)[:3]).delete(key).delete_range(key, key + b"z")
    key[:], value[:] = b"x", b"after!"
    assert batch.writes == [
        (Kind.PUT, b"k", b"bef"),
        (Kind.DELETE, b"k", None),
        (Kind.DELETE_RANGE, b"k", b"kz"),
    ]
    assert {type(each) for _, *pair in batch.writes for each in pair} == {bytes, type(None)}


@pytest.mark.parametrize(
    ("text", "says"), [("k'", """write b"k'", or"""), ("ä", "write b'…', or"), ("x" * 50, "b'…'")]
)
def test_who_hands_in_text_is_shown_what_to_write(text, says):
    with pytest.raises(TypeError, match="a key must be bytes, not str: ") as caught:
        WriteBatch().delete(text)
    assert says in str(caught.value)
