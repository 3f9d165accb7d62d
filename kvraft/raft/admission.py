"""Which records may be in a log: one rule, checked wherever entries come in.

A leader appends before any follower has seen the records.  If it took what a follower refuses, that
follower would refuse the append and each one after it, and nothing would be committed any longer.
So a leader applies the rule that its followers will apply, before it takes anything::

    propose, propose_change ──► admission ──► the leader's log
    an append from a leader ──► admission ──► a follower's log      (malformed_reason)
    the log of a member that starts ──► admission                   (Raft's constructor)

Invariants: the rule depends on the records alone, never on a member or its state; and
``record.pack_entries`` can write whatever passes it, and reads it back equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvraft.errors import BadInput, WrongType
from kvraft.raft.quorum import Configuration
from kvraft.record import (
    EXPECTATION_BYTES,
    MAX_KEY_BYTES,
    MAX_NUMBER,
    MAX_VALUE_BYTES,
    Kind,
    Record,
    TxnId,
    is_name,
)

# Tuples, not sets: a member of an IntEnum is hashed in Python, and found in a tuple by identity.
_PROPOSED = (Kind.PUT, Kind.DELETE, Kind.EXPECT)
_RECORD_TYPES = (Kind, bytes, bytes, int, TxnId, bool)
_TXN_TYPES = (str, int, int)


def inadmissible_reason(records: Sequence[object]) -> str:
    """Return why ``records`` cannot be in a replicated log, ``""`` if they can.

    Raises nothing, whatever they are.  It works column by column, because the loops then run in C:
    this is done for every entry that is proposed or received.
    """
    if not records or (len(records) == 1 and _is_usual(records[0])):
        return ""
    if set(map(type, records)) != {Record}:
        return "not all of its entries hold a record"
    kinds, keys, values, times, txns, marks = zip(*records, strict=True)
    if set(map(type, txns)) != {TxnId}:
        return "a record's transaction id is not a TxnId"
    clients, incarnations, sequences = zip(*txns, strict=True)
    for name, column, kind in (
        ("kind", kinds, Kind),
        ("key", keys, bytes),
        ("value", values, bytes),
        ("timestamp", times, int),
        ("commit mark", marks, bool),
        ("client", clients, str),
        ("incarnation", incarnations, int),
        ("sequence", sequences, int),
    ):
        if set(map(type, column)) != {kind}:
            return f"a record's {name} is not of type {kind.__name__}"
    if max(map(len, keys)) > MAX_KEY_BYTES or max(map(len, values)) > MAX_VALUE_BYTES:
        return f"a key is over {MAX_KEY_BYTES} bytes, or a value over {MAX_VALUE_BYTES}"
    numbers = times + incarnations + sequences
    if min(numbers) < 0 or max(numbers) > MAX_NUMBER:
        return "times and transactions should be numbered from 0 to 2**63 - 1"
    if not all(client == "" or is_name(client) for client in set(clients)):
        return "the client of a transaction should have a name that can be written down"
    return _content_problem(kinds, keys, values)


def _is_usual(record: object) -> bool:
    """Return whether ``record`` is a put, and can be in a log.

    Columns pay for many records, not for one; and most proposals are one put.
    """
    if type(record) is not Record or type(record.txn) is not TxnId:
        return False
    kind, key, value, timestamp, txn, _ = record
    client, incarnation, sequence = txn
    return (
        kind is Kind.PUT
        and tuple(map(type, record)) == _RECORD_TYPES
        and tuple(map(type, txn)) == _TXN_TYPES
        and len(key) <= MAX_KEY_BYTES
        and len(value) <= MAX_VALUE_BYTES
        and min(timestamp, incarnation, sequence) >= 0
        and max(timestamp, incarnation, sequence) <= MAX_NUMBER
        and (not client or is_name(client))
    )


def _content_problem(
    kinds: tuple[Kind, ...], keys: Sequence[bytes], values: Sequence[bytes]
) -> str:
    """Return what is wrong with a key or value, by the rules of its kind of record."""
    if kinds.count(Kind.PUT) == len(kinds):
        return ""
    if Kind.DELETE_RANGE in kinds:
        return "range tombstones are not replicated"
    for kind, key, value in zip(kinds, keys, values, strict=True):
        if kind is Kind.EXPECT and len(value) != EXPECTATION_BYTES:
            return f"an expectation is a timestamp of {EXPECTATION_BYTES} bytes"
        if kind is Kind.REGISTER and not is_name(key.decode(errors="surrogateescape")):
            return "a registration has the name of a client, in UTF-8, as its key"
        if kind is Kind.CONFIGURATION:
            try:
                Configuration.from_bytes(value)
            except BadInput as error:
                return str(error)
    return ""


def check_proposal(records: object) -> None:
    """Raise ``BadInput`` unless ``records`` are what a client may propose."""
    if not isinstance(records, list | tuple):
        raise wrong_value("a proposal is a list or tuple of records", records, list)
    if len(records) == 1 and _is_usual(records[0]):
        return
    reason = inadmissible_reason(records)
    if reason:
        raise BadInput(f"no follower would take this proposal: {reason}")
    kinds = [record.kind for record in records]
    if not kinds or (kinds != [Kind.REGISTER] and any(kind not in _PROPOSED for kind in kinds)):
        raise BadInput("a proposal needs records of a client's data, or one registration alone")


def wrong_value(rule: str, value: object, kind: type) -> BadInput:
    """Return the error for a ``value`` that breaks ``rule``: ``WrongType`` if not of ``kind``."""
    if isinstance(value, kind):
        return BadInput(f"{rule}, not {value!r:.60}")
    return WrongType(f"{rule}, not of type {type(value).__name__}")


def check_number(what: str, number: object) -> None:
    """Raise ``BadInput`` unless ``number`` is a whole number from 0 to :data:`MAX_NUMBER`."""
    if type(number) is not int or not 0 <= number <= MAX_NUMBER:
        rule = f"{what} should be a whole number from 0 to 2**63 - 1"
        raise wrong_value(rule, number, int)
