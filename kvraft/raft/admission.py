"""What may stand in a log: one rule, asked wherever entries enter.

A leader appends before anybody else has looked.  If it took what a follower refuses, that follower
would refuse the append, and each one after it, for ever: nothing would commit any more.  So a
leader asks the very question that its followers will ask, before it takes anything::

    propose, propose_change ──► admission ──► the leader's log
    an append from a leader ──► admission ──► a follower's log      (messages.problem)
    the log of a member that starts ──► admission                   (Raft's constructor)

Invariants: the rule looks at the records alone, never at who asks or in which state he is; and
whatever passes it can be written by ``record.pack_entries`` and is read back equal.
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

_PROPOSED = frozenset((Kind.PUT, Kind.DELETE, Kind.EXPECT))
_PARTICULAR = frozenset((Kind.EXPECT, Kind.CONFIGURATION, Kind.REGISTER))


def inadmissible_reason(records: Sequence[object]) -> str:
    """Return why ``records`` cannot stand in a replicated log, ``""`` if they can.

    Raises nothing, whatever they are.  Column by column, because the loops then run in C: this is
    done for every entry that is proposed or received.
    """
    if not records:
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
    return _kinds_problem(kinds, keys, values)


def _kinds_problem(kinds: Sequence[Kind], keys: Sequence[bytes], values: Sequence[bytes]) -> str:
    """Check what only some kinds of records promise about their key and value."""
    if Kind.DELETE_RANGE in kinds:
        return "range deletes are not replicated"
    if not _PARTICULAR.intersection(kinds):
        return ""
    for kind, key, value in zip(kinds, keys, values, strict=True):
        if kind is Kind.EXPECT and len(value) != EXPECTATION_BYTES:
            return f"an expectation is a timestamp of {EXPECTATION_BYTES} bytes"
        if kind is Kind.REGISTER and not is_name(key.decode(errors="surrogateescape")):
            return "a registration holds the name of a client, which can be written down"
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
    why = inadmissible_reason(records)
    if why:
        raise BadInput(f"no follower would take this proposal: {why}")
    kinds = {record.kind for record in records}
    alone = kinds == {Kind.REGISTER} and len(records) == 1
    if not ((kinds and kinds <= _PROPOSED) or alone):
        raise BadInput(
            "a proposal needs records of a client's data, or the registration of a client alone"
        )


def wrong_value(rule: str, value: object, kind: type) -> BadInput:
    """Return the error for a ``value`` that breaks ``rule``: its type is another, or itself bad."""
    if isinstance(value, kind):
        return BadInput(f"{rule}, not {value!r:.60}")
    return WrongType(f"{rule}, not of type {type(value).__name__}")


def check_number(what: str, number: object) -> None:
    """Raise ``BadInput`` unless ``number`` is a whole number that anybody can write down."""
    if type(number) is not int or not 0 <= number <= MAX_NUMBER:
        rule = f"{what} should be a whole number from 0 to 2**63 - 1"
        raise wrong_value(rule, number, int)
