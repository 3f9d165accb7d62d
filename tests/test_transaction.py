"""Transactions: what a client may ask for, and how the log alone tells complete from torn."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.errors import BadInput
from kvraft.record import NOOP, RESERVED_PREFIX, Entry, Kind, TxnId
from kvraft.transaction import (
    CompleteTransaction,
    DiscardedTransaction,
    TransactionAssembler,
    build_transaction,
)

keys = st.binary(max_size=3)
values = st.none() | st.binary(max_size=3)


@given(st.lists(st.tuples(keys, values), min_size=1))
@settings(derandomize=True, deadline=None)
def test_a_transaction_does_to_a_map_what_its_writes_do_one_by_one(writes):
    records = build_transaction(TxnId("c", 1, 1), writes, 7).records
    one_by_one: dict[bytes, bytes | None] = {}
    for key, value in writes:
        one_by_one[key] = value
    assert {r.key: None if r.kind is Kind.DELETE else r.value for r in records} == one_by_one
    assert len({record.key for record in records}) == len(records)
    assert [record.commit for record in records] == [False] * (len(records) - 1) + [True]
    assert {(record.timestamp, record.txn) for record in records} == {(7, TxnId("c", 1, 1))}


def test_an_empty_value_is_not_a_delete():
    put, delete = build_transaction(TxnId("c", 1, 1), [(b"a", b""), (b"b", None)], 1).records
    assert (put.kind, delete.kind) == (Kind.PUT, Kind.DELETE)


@pytest.mark.parametrize(
    ("writes", "says"),
    [
        ([], "at least one write"),
        ({}, "at least one write"),
        ([("a", b"x")], "a key must be bytes, not str: write b'a'"),
        ([(None, b"x")], "a key must be bytes, not NoneType"),
        ([(b"a", "x")], "value of key b'a' must be bytes, not str"),
        ([(b"a", 3)], "not int"),
        ([(b"a",)], "a key and a value"),
        ([b"ab"], "a key and a value"),
        (b"ab", "key/value pairs, not bytes"),
        (None, "key/value pairs, not NoneType"),
        ([(RESERVED_PREFIX + b"x", b"")], "reserved"),
        ([(b"k" * 70_000, b"")], "70000 bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(writes, says):
    with pytest.raises(BadInput, match=says.replace("(", r"\(")) as refused:
        build_transaction(TxnId("c", 1, 1), writes, 1)
    assert "\n" not in str(refused.value)


# A log is made of pieces: whole transactions, first parts of transactions, and the no-ops that a
# new leader puts after such a part.
pieces = st.lists(
    st.tuples(st.sampled_from(["whole", "part+noop", "noop", "part+other"]), st.integers(1, 4)),
    max_size=12,
)


@given(pieces)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_whole_transactions_come_out_and_parts_are_discarded(pieces):
    entries: list[Entry] = []
    expected: list[tuple[str, TxnId, int]] = []
    sequence = 0

    def add(record):
        entries.append(Entry(1, len(entries) + 1, record))

    for what, size in pieces:
        if what == "noop":
            add(NOOP)
            continue
        sequence += 1
        txn = TxnId("c", 1, sequence)
        records = build_transaction(
            txn, [(b"%d" % i, b"") for i in range(size + 1)], sequence
        ).records
        if what == "whole":
            expected.append(("CompleteTransaction", txn, size + 1))
        else:
            records = records[:-1]
            expected.append(("DiscardedTransaction", txn, size))
        for record in records:
            add(record)
        if what == "part+noop":
            add(NOOP)
        elif what == "part+other":  # ended by another transaction instead
            sequence += 1
            (record,) = build_transaction(TxnId("d", 1, sequence), [(b"x", b"")], sequence).records
            add(record)
            expected.append(("CompleteTransaction", record.txn, 1))
    gatherer = TransactionAssembler()
    ended = [outcome for entry in entries for outcome in gatherer.take(entry)]
    assert [(type(e).__name__, e.entries[0].record.txn, len(e.entries)) for e in ended] == expected
    assert gatherer.open == ()


def test_a_retry_under_the_same_id_starts_afresh_after_the_noop():
    records = build_transaction(TxnId("c", 1, 1), [(b"a", b"1"), (b"b", b"2")], 5).records
    log = [records[0], NOOP, *records]
    gatherer = TransactionAssembler()
    ended = [o for i, r in enumerate(log, 1) for o in gatherer.take(Entry(1, i, r))]
    assert ended == [
        DiscardedTransaction((Entry(1, 1, records[0]),)),
        CompleteTransaction((Entry(1, 3, records[0]), Entry(1, 4, records[1]))),
    ]
