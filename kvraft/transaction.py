"""Transactions: built at the client, assembled from the log, discarded if incomplete.

A transaction of *n* records is *n* contiguous log entries, and only the last of them carries the
commit mark.  A leader can crash when only the first few of them are on its followers.  One rule
decides, from the log alone and so alike on every replica:

    **an open transaction ends when the next entry belongs to another transaction or is a new
    term's no-op; its records are dropped and never reach a memtable.**

::

    index      7      8      9      10     11     12     13
    record   A#1    A#1*   B#4    B#4    no-op  B#4    B#4*          * commit mark
             ╰─ complete ─╯╰─ discarded ─╯         ╰─ the retry: complete ─╯

Invariants:

- The records of a transaction have one id, one timestamp and pairwise different keys, so that no
  two versions of a key ever tie.
- :class:`TransactionAssembler` hands out a transaction whole or not at all.

A transaction may depend on what it read: before its writes it then carries *expectations*, one for
each key, with the timestamp that the key carried.  If any key carries another one when the
transaction is applied, nothing of it takes effect.  This, too, is decided from the log alone, at
the transaction's place in the log; and as each transaction reads and writes as if at that one
place, they are serialisable (Kung and Robinson, *On Optimistic Methods for Concurrency Control*,
TODS 1981, backward validation).

The second half of this module are the messages between client and replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from kvraft.errors import BadInput, WrongType
from kvraft.inputs import as_bytes
from kvraft.record import (
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    RESERVED_PREFIX,
    Buffer,
    Entry,
    Kind,
    Record,
    Timestamp,
    TxnId,
    expectation,
)

Writes = Mapping[bytes, Buffer | None] | Iterable[tuple[Buffer, Buffer | None]]
"""The writes of a transaction: keys with the values to store, ``None`` to delete the key."""


class Transaction(NamedTuple):
    """Records that take effect together or not at all."""

    id: TxnId
    records: tuple[Record, ...]

    @property
    def timestamp(self) -> Timestamp:
        """The one timestamp of all its records."""
        return self.records[0].timestamp

    def with_timestamp(self, timestamp: Timestamp) -> Transaction:
        """Return the same transaction under another timestamp."""
        return Transaction(
            self.id,
            tuple(
                Record(kind, key, value, timestamp, txn, commit)
                for kind, key, value, _, txn, commit in self.records
            ),
        )

    def with_id(self, txn: TxnId) -> Transaction:
        """Return the same transaction under another id."""
        return Transaction(
            txn,
            tuple(
                Record(kind, key, value, timestamp, txn, commit)
                for kind, key, value, timestamp, _, commit in self.records
            ),
        )


def build_transaction(
    txn: TxnId,
    writes: Writes,
    timestamp: Timestamp,
    reads: Mapping[bytes, Timestamp] | None = None,
) -> Transaction:
    """Return the transaction ``txn`` that makes ``writes`` in their order, if ``reads`` still hold.

    A key that is written more than once keeps its last write only.  ``reads`` has, for each key
    that was read, the timestamp that it carried, 0 if it had no value.  Raises
    :class:`~kvraft.errors.BadInput` for an empty transaction, a key or value of a wrong type or
    size, and a key that kvraft reserves for itself.
    """
    final: dict[bytes, bytes | None] = {}
    for key, value in _pairs(writes):
        key, value = check_write(key, value)
        final.pop(key, None)
        final[key] = value
    if not final and not reads:
        raise BadInput("a transaction needs at least one write")
    records = [expectation(key, at, timestamp, txn) for key, at in reads.items()] if reads else []
    last = next(reversed(final), None)
    for key, value in final.items():
        kind = Kind.DELETE if value is None else Kind.PUT
        records.append(Record(kind, key, value or b"", timestamp, txn, key == last))
    if last is None:
        records[-1] = records[-1]._replace(commit=True)
    return Transaction(txn, tuple(records))


def check_key(given: object) -> bytes:
    """Return the key ``given`` as bytes; a bytearray or memoryview is copied.

    Raises :class:`~kvraft.errors.BadInput` unless a client may use it.
    """
    key = given if type(given) is bytes else as_bytes(given, "a key")
    if len(key) > MAX_KEY_BYTES:
        raise BadInput(f"a key of {len(key)} bytes is longer than {MAX_KEY_BYTES}")
    if key.startswith(RESERVED_PREFIX):
        raise BadInput(f"keys that begin with {RESERVED_PREFIX!r} are reserved, so not {key!r:.60}")
    return key


def check_write(given: object, stored: object) -> tuple[bytes, bytes | None]:
    """Return the key and the value that were given, as bytes; the value ``None`` deletes the key.

    Raises :class:`~kvraft.errors.BadInput` unless a client may write them.
    """
    key = check_key(given)
    if stored is None:
        return key, None
    # The name of the value is made for an error only: it costs as much as all the rest.
    value = stored if type(stored) is bytes else as_bytes(stored, _value_of(key))
    if len(value) > MAX_VALUE_BYTES:
        size = f"{len(value)} bytes is longer than {MAX_VALUE_BYTES}"
        raise BadInput(f"{_value_of(key)}: {size}")
    return key, value


def _value_of(key: bytes) -> str:
    return f"the value of key {key!r:.60}"


def _pairs(writes: Any) -> Iterable[tuple[bytes, bytes | None]]:
    """Yield the pairs of ``writes``; raise ``WrongType`` for anything that has none."""
    items = writes
    if type(writes) is not list:  # to ask for an abstract class costs as much as a write
        items = writes.items() if isinstance(writes, Mapping) else writes
        if not isinstance(items, Iterable) or isinstance(items, bytes | str):
            raise WrongType(f"writes must be key/value pairs, not {type(writes).__name__}")
    for pair in items:
        if (type(pair) is not tuple and not isinstance(pair, tuple | list)) or len(pair) != 2:
            raise WrongType(f"a write must be a key and a value, not {pair!r:.60}")
        yield pair[0], pair[1]


# ── assembling ──────────────────────────────────────────────────────────────────────────────────


class CompleteTransaction(NamedTuple):
    """The entries of a transaction, from the first to the one with the commit mark."""

    entries: tuple[Entry, ...]


class DiscardedTransaction(NamedTuple):
    """The entries of a transaction that ended without its commit mark: they have no effect."""

    entries: tuple[Entry, ...]


class TransactionAssembler:
    """Assembles transactions from committed entries, taken one by one in log order."""

    def __init__(self) -> None:
        self._open: list[Entry] = []

    @property
    def open(self) -> tuple[Entry, ...]:
        """The entries of the open transaction, ``()`` without one."""
        return tuple(self._open)

    def take(self, entry: Entry) -> Sequence[CompleteTransaction | DiscardedTransaction]:
        """Return the transactions that ``entry`` ends: none, one discarded, one complete, or both.

        Both are possible: a transaction of one record ends an open one, and itself.
        """
        record = entry.record
        if not self._open and record.commit and record.kind is Kind.PUT:  # most often
            return (CompleteTransaction((entry,)),)
        ended: list[CompleteTransaction | DiscardedTransaction] = []
        if self._open and record.txn != self._open[0].record.txn:
            ended.append(DiscardedTransaction(tuple(self._open)))
            self._open = []
        if record.kind.is_data:
            self._open.append(entry)
            if record.commit:
                ended.append(CompleteTransaction(tuple(self._open)))
                self._open = []
        return ended


# ── messages between client and replica ─────────────────────────────────────────────────────────

SESSION_WINDOW = 32
"""How many transactions of one client may be open, counted from the oldest open one.

A client sends no later one, because a session remembers no more of them (replica/sessions.py).
"""


class Stage(StrEnum):
    """How far a write has come, as its client knows it (client/ticket.py)."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    APPENDED = "APPENDED"
    COMMITTED = "COMMITTED"
    APPLIED = "APPLIED"
    DISCARDED = "DISCARDED"
    ABORTED = "ABORTED"
    UNKNOWN = "UNKNOWN"


class Register(NamedTuple):
    """Client → replica: assign me an incarnation.  ``number`` identifies the request."""

    sender: str
    to: str
    number: int
    attempt: int


class Registered(NamedTuple):
    """Replica → client: your registration is committed; its log index is your ``incarnation``."""

    sender: str
    to: str
    number: int
    incarnation: int


class Submit(NamedTuple):
    """Client → replica: apply this transaction.  ``attempt`` counts how often it was sent."""

    sender: str
    to: str
    transaction: Transaction
    attempt: int


class WriteReply(NamedTuple):
    """Replica → client: the write reached ``stage``.

    ``index`` is the transaction's last log index and ``timestamp`` its own, as raised by the
    leader.  ``DISCARDED``: the copy that ``attempts`` made will never take effect.  ``ABORTED``:
    the transaction never will, because the key ``conflict`` had changed, or, if that is ``None``,
    because its id is that of another transaction.
    """

    sender: str
    to: str
    txn: TxnId
    attempts: tuple[int, ...]
    stage: Stage
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    timestamp: Timestamp
    reason: str
    conflict: bytes | None = None


class Redirect(NamedTuple):
    """Replica → client: I am not the leader; ``leader`` is, as far as I know.

    The request had no effect, unless ``may_still_apply``: then this replica led when it appended
    the transaction, which may still take effect.
    """

    sender: str
    to: str
    request: TxnId | int
    attempt: int
    leader: str | None
    may_still_apply: bool = False


class Overloaded(NamedTuple):
    """Replica → client: refused for now, for this ``reason``; ask again a little later."""

    sender: str
    to: str
    request: TxnId | int
    attempt: int
    reason: str


class Rejected(NamedTuple):
    """Replica → client: refused, and refused again if sent under the same timestamp.

    ``timestamp`` is one that the leader would take, 0 if there is none.
    """

    sender: str
    to: str
    request: TxnId
    attempt: int
    timestamp: Timestamp
    reason: str


class Read(NamedTuple):
    """Client → replica: what is the value of ``key``?  ``number`` identifies the request.

    With ``follower_read`` this member answers whether it leads or not: with the value in the
    cluster, or, if ``stale``, with its own, which may be old.  ``at`` is a timestamp to read at.
    """

    sender: str
    to: str
    number: int
    attempt: int
    key: bytes
    follower_read: bool = False
    stale: bool = False
    at: Timestamp | None = None


class ReadReply(NamedTuple):
    """Replica → client: the value of the key at a log index, ``None`` if there is none.

    ``timestamp`` is that of the value, 0 if there is none.  ``error`` says why there is no answer:
    the timestamp asked for cannot be read.
    """

    sender: str
    to: str
    number: int
    value: bytes | None
    index: int  # type: ignore[assignment]
    timestamp: Timestamp = 0
    error: str = ""


PAGE_ROWS = 1_000
"""The most keys in a page, whatever its client asks for."""


class Scan(NamedTuple):
    """Client → replica: send the first page of the keys with ``start <= key < stop``.

    The page has at most ``limit`` keys, the first ones, or with ``reverse`` the last ones.  The
    other fields are those of :class:`Read`.
    """

    sender: str
    to: str
    number: int
    attempt: int
    start: bytes
    stop: bytes | None
    limit: int
    reverse: bool = False
    follower_read: bool = False
    stale: bool = False
    at: Timestamp | None = None


class ScanPage(NamedTuple):
    """Replica → client: a page of a scan, ``pairs`` in the order asked for, at a log index.

    ``next`` is where the next page begins: its ``start``, or with ``reverse`` its ``stop``; it is
    ``None`` if this is the last one.  Up to ``next`` the page is complete: it has every key but
    kvraft's own.  It shows the state as of ``timestamp``, and the next page can be read ``at`` that
    timestamp if its member keeps history (``history_kept``).  ``error`` says why there is no
    answer: the timestamp asked for cannot be read.
    """

    sender: str
    to: str
    number: int
    pairs: tuple[tuple[bytes, bytes], ...]
    next: bytes | None
    index: int  # type: ignore[assignment]
    timestamp: Timestamp = 0
    history_kept: bool = False
    error: str = ""


Request = Register | Submit | Read | Scan
Reply = Registered | WriteReply | Redirect | Overloaded | Rejected | ReadReply | ScanPage
