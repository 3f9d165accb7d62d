"""Entries as bytes: back and forth, exactly, and cut anywhere they are refused."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.record import (
    NO_TXN,
    NOOP,
    Entry,
    Kind,
    Record,
    TxnId,
    entry_size,
    label,
    pack_entries,
    put_record,
    slice_entries,
    summarize_entries,
    unpack_entries,
)
from kvraft.wal.index import term_starts

quick = settings(deadline=None, derandomize=True, max_examples=200)

u64 = st.integers(0, (1 << 64) - 1)
records = st.builds(
    Record,
    st.sampled_from(Kind),
    st.binary(max_size=6),
    st.binary(max_size=9),
    u64,
    st.builds(TxnId, st.text(max_size=4), u64, u64),
    st.booleans(),
)
entries = st.lists(st.builds(Entry, u64, u64, records), max_size=5)


@given(entries)
@quick
def test_entries_come_back_as_they_were(entries):
    data = pack_entries(entries)
    assert unpack_entries(data) == entries
    assert all(type(entry.record.kind) is Kind for entry in unpack_entries(data))
    assert sum(map(entry_size, entries)) == len(data)


def test_the_layout_is_the_one_drawn_in_the_docstring():
    record = Record(Kind.DELETE, b"key", b"va", 3, TxnId("né", 1, 4), True)
    data = pack_entries([Entry(1, 2, record)])
    name = "né".encode()
    assert data == struct.pack("<QQQQQIIHBB", 1, 2, 3, 1, 4, 3, 2, 3, 2, 1) + name + b"keyva"
    assert len(pack_entries([Entry(1, 2, NOOP)])) == 52


def row(first, terms):
    """Contiguous entries of rising terms, no two of one length."""
    record = Record(Kind.PUT, b"k", b"", 1, TxnId("é", 1, 2), False)
    values = (b"v" * at for at in range(len(terms)))
    records = [record._replace(value=value) for value in values]
    return [Entry(t, first + at, r) for at, (t, r) in enumerate(zip(terms, records, strict=True))]


rows = st.builds(
    lambda first, terms: row(first, sorted(terms)),
    st.integers(1, 1 << 60),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
)


@given(rows)
@quick
def test_a_survey_of_packed_entries_says_what_a_look_at_each_would(entries):
    data = pack_entries(entries)
    assert summarize_entries(data) == (term_starts(entries), entries[-1].index)
    for start in range(len(entries) + 1):
        for stop in range(start, len(entries) + 1):
            assert slice_entries(data, start, stop) == pack_entries(entries[start:stop])
    whole = {len(pack_entries(entries[:n])) for n in range(1, len(entries) + 1)}
    for size in range(len(data)):
        if size in whole:
            summarize_entries(data[:size])
        else:
            with pytest.raises(ValueError, match=r"cut short|no entry"):
                summarize_entries(data[:size])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([*row(1, [1]), *row(3, [1])], "entry 3 follows entry 1"),
        ([*row(2, [1]), *row(2, [1])], "entry 2 follows entry 2"),
        (row(1, [2, 1]), "entry 2 is of term 1, after term 2"),
    ],
)
def test_a_survey_refuses_entries_that_are_no_part_of_a_log(wrong, says):
    with pytest.raises(ValueError, match=says):
        summarize_entries(pack_entries(wrong))


@pytest.mark.parametrize("kind", [0, 8, 255])
def test_an_unknown_kind_is_refused(kind):
    data = bytearray(pack_entries(row(1, [1])))
    data[50] = kind
    for read in (summarize_entries, unpack_entries):
        with pytest.raises(ValueError, match=f"entry 1 has the unknown kind {kind}"):
            read(bytes(data))


@given(entries.filter(bool))
@quick
def test_bytes_cut_anywhere_give_whole_entries_or_a_refusal(entries):
    data = pack_entries(entries)
    whole = {0: 0}
    for number, entry in enumerate(entries, 1):
        whole[max(whole) + entry_size(entry)] = number
    for size in range(len(data)):
        if size in whole:
            assert unpack_entries(data[:size]) == entries[: whole[size]]
        else:
            with pytest.raises(ValueError, match="cut short"):
                unpack_entries(data[:size])


@given(entries.filter(bool), st.data())
@quick
def test_damaged_bytes_give_entries_or_a_value_error(entries, data):
    """Nothing else may come out, for the log turns a ValueError into file and offset."""
    damaged = bytearray(pack_entries(entries))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack_entries(bytes(damaged))
    except ValueError:
        return
    assert all(isinstance(entry, Entry) for entry in found)


def test_labels_and_names_are_for_people():
    assert label(b"user/\x00\xff\n") == "user/\\x00\\xff\\n"
    assert str(TxnId("c1", 12, 7)) == "c1.12#7"
    assert str(TxnId("c1", 0, 7)) == "c1#7", "before it is registered"
    assert TxnId("c1", 12, 7).session == "c1.12"


def test_a_put_is_a_whole_transaction_of_one_write():
    made = put_record(b"k", b"v")
    assert made == Record(Kind.PUT, b"k", b"v", 0, NO_TXN, True)
    assert unpack_entries(pack_entries([Entry(1, 1, made)])) == [Entry(1, 1, made)]
