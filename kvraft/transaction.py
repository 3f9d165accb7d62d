"""Transactions: building one at the client, gathering one from the log, undoing one that is torn.

A transaction of *n* records travels as *n* contiguous log entries, and only the last of them
carries the commit mark.  A leader can die when only a first part of them is on its followers.  One
rule settles the matter on every replica alike, from the log alone:

    **an open transaction ends when the next entry belongs to another transaction or is a new
    term's no-op; its records are dropped and never reach a memtable.**

::

    index      7      8      9      10     11     12     13
    record   A#1    A#1*   B#4    B#4    no-op  B#4    B#4*          * commit mark
             ╰─ complete ─╯╰─ undone  ─╯        ╰─ the retry: complete ─╯

Invariants:

- The records of a transaction have one id, one timestamp and pairwise different keys, so that no
  two versions of a key ever tie.
- :class:`TransactionAssembler` hands out a transaction whole or not at all.

A transaction may depend on what it read: before its writes it then carries *expectations*, one for
each key, with the timestamp that the key carried.  If any key carries another one when the
transaction is applied, nothing of it takes effect.  That is decided from the log alone, at its
place in the log, so it is decided alike on every replica; and as each transaction reads and writes
as if at that one place, they are serialisable (Kung and Robinson, *On Optimistic Methods for
Concurrency Control*, TODS 1981, backward validation).

This module also holds what client and replica say to each other about a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from kvraft.errors import BadInput, WrongType
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
    as_bytes,
    expectation,
)

Writes = Mapping[bytes, Buffer | None] | Iterable[tuple[Buffer, Buffer | None]]
"""What a client asks for: keys with the values to store, ``None`` to delete the key."""


class Transaction(NamedTuple):
    """Records that take effect together or not at all."""

    id: TxnId
    records: tuple[Record, ...]

    @property
    def timestamp(self) -> Timestamp:
        """The one stamp of all its records."""
        return self.records[0].timestamp

    def with_timestamp(self, timestamp: Timestamp) -> Transaction:
        """Return the same transaction under another timestamp."""
        records = tuple(record._replace(timestamp=timestamp) for record in self.records)
        return Transaction(self.id, records)

    def with_id(self, txn: TxnId) -> Transaction:
        """Return the same transaction under another id."""
        return Transaction(txn, tuple(record._replace(txn=txn) for record in self.records))


def build_transaction(
    txn: TxnId,
    writes: Writes,
    timestamp: Timestamp,
    reads: Mapping[bytes, Timestamp] | None = None,
) -> Transaction:
    """Return the transaction ``txn`` that makes ``writes`` in their order, if ``reads`` still hold.

    A key that is written more than once keeps its last write only.  ``reads`` gives for each key
    that was read the timestamp that it carried, 0 if it held nothing.  Raises
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
    records = [expectation(key, at, timestamp, txn) for key, at in (reads or {}).items()]
    records += [
        Record(Kind.DELETE, key, b"", timestamp, txn)
        if value is None
        else Record(Kind.PUT, key, value, timestamp, txn)
        for key, value in final.items()
    ]
    records[-1] = records[-1]._replace(commit=True)
    return Transaction(txn, tuple(records))


def check_key(given: object) -> bytes:
    """Return the key that was ``given``, as bytes; a bytearray or memoryview is copied.

    Raises :class:`~kvraft.errors.BadInput` unless a client may use it.
    """
    key = as_bytes(given, "a key")
    if len(key) > MAX_KEY_BYTES:
        raise BadInput(f"a key of {len(key)} bytes is longer than {MAX_KEY_BYTES}")
    if key.startswith(RESERVED_PREFIX):
        raise BadInput(f"keys that begin with {RESERVED_PREFIX!r} are reserved, so not {key!r:.60}")
    return key


def check_write(given: object, stored: object) -> tuple[bytes, bytes | None]:
    """Return the key and the value that were given, as bytes; the value ``None`` deletes the key.

    Raises :class:`~kvraft.errors.BadInput` unless a client may write the one under the other.
    """
    key = check_key(given)
    value = None if stored is None else as_bytes(stored, f"the value of key {key!r:.60}")
    if value is not None and len(value) > MAX_VALUE_BYTES:
        size = f"{len(value)} bytes is longer than {MAX_VALUE_BYTES}"
        raise BadInput(f"the value of key {key!r:.60}: {size}")
    return key, value


def _pairs(writes: Any) -> Iterable[tuple[bytes, bytes | None]]:
    """Yield the pairs of whatever a caller handed in as writes, if that is what it is."""
    items = writes.items() if isinstance(writes, Mapping) else writes
    if not isinstance(items, Iterable) or isinstance(items, bytes | str):
        raise WrongType(f"writes must be key/value pairs, not {type(writes).__name__}")
    for pair in items:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise WrongType(f"a write must be a key and a value, not {pair!r:.60}")
        yield pair[0], pair[1]


# ── gathering ───────────────────────────────────────────────────────────────────────────────────


class CompleteTransaction(NamedTuple):
    """A transaction whose commit mark was reached; its entries, first to last."""

    entries: tuple[Entry, ...]


class UndoneTransaction(NamedTuple):
    """A transaction that ended without its commit mark; the entries that have no effect."""

    entries: tuple[Entry, ...]


class TransactionAssembler:
    """Puts transactions together from committed entries, taken one by one in log order."""

    def __init__(self) -> None:
        self._open: list[Entry] = []

    @property
    def open(self) -> tuple[Entry, ...]:
        """The entries of the transaction whose end has not been seen yet, if any."""
        return tuple(self._open)

    def take(self, entry: Entry) -> list[CompleteTransaction | UndoneTransaction]:
        """Return the transactions that ``entry`` ends: none, one undone, one complete, or both."""
        ended: list[CompleteTransaction | UndoneTransaction] = []
        record = entry.record
        if self._open and record.txn != self._open[0].record.txn:
            ended.append(UndoneTransaction(tuple(self._open)))
            self._open = []
        if record.kind.is_data:
            self._open.append(entry)
            if record.commit:
                ended.append(CompleteTransaction(tuple(self._open)))
                self._open = []
        return ended


# ── what client and replica say to each other ───────────────────────────────────────────────────

SESSION_WINDOW = 32
"""How many transactions of one client may be under way, counted from the oldest that is.

A client sends no later one, for a session remembers no more of them (replica/sessions.py).
"""


class Stage(StrEnum):
    """How far a write has come, as its client knows it (see client/client.py)."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    APPENDED = "APPENDED"
    COMMITTED = "COMMITTED"
    APPLIED = "APPLIED"
    UNDONE = "UNDONE"
    ABORTED = "ABORTED"
    UNKNOWN = "UNKNOWN"


class Register(NamedTuple):
    """Client → replica: give me an incarnation.  ``number`` names the request."""

    sender: str
    to: str
    number: int
    attempt: int


class Registered(NamedTuple):
    """Replica → client: your registration is committed, at this log index."""

    sender: str
    to: str
    number: int
    incarnation: int


class Submit(NamedTuple):
    """Client → replica: carry out this transaction.  ``attempt`` counts the client's sendings."""

    sender: str
    to: str
    transaction: Transaction
    attempt: int


class WriteReply(NamedTuple):
    """Replica → client: the write reached ``stage``.

    ``index`` is the transaction's last log index and ``timestamp`` its stamp, as raised by the
    leader.  ``UNDONE`` says that the copy which ``attempts`` made will never take effect;
    ``ABORTED`` that the transaction never will, since the key ``conflict`` had changed, or, if that
    is ``None``, since its id is that of another transaction.
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

    Nothing was done, unless ``may_still_apply``: then I led when I appended the transaction, and it
    may still take effect.
    """

    sender: str
    to: str
    request: TxnId | int
    attempt: int
    leader: str | None
    may_still_apply: bool = False


class Overloaded(NamedTuple):
    """Replica → client: not taken, for now, for this ``reason``; ask me again a little later."""

    sender: str
    to: str
    request: TxnId | int
    attempt: int
    reason: str


class Rejected(NamedTuple):
    """Replica → client: not taken, and under this stamp it will not be for now, or never.

    ``timestamp`` is a stamp that the leader would take, 0 if none would do.
    """

    sender: str
    to: str
    request: TxnId
    attempt: int
    timestamp: Timestamp
    reason: str


class Read(NamedTuple):
    """Client → replica: what does ``key`` hold?  ``number`` names the request, and no other.

    ``follower_read`` asks this member to answer whether it leads or not: with what the cluster has,
    or, if ``stale``, with what this member has, which may be old.  ``at`` is a time to read at.
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
    """Replica → client: the value of the key, ``None`` if it holds none, at a log index.

    ``timestamp`` is what the value carries, 0 if there is none.  ``error`` says why there is no
    answer: the time asked for cannot be read.
    """

    sender: str
    to: str
    number: int
    value: bytes | None
    index: int  # type: ignore[assignment]
    timestamp: Timestamp = 0
    error: str = ""


PAGE_ROWS = 1_000
"""How many keys a page has at most, whatever its client asks for."""


class Scan(NamedTuple):
    """Client → replica: what is there with ``start <= key < stop``?  A page of it, for a beginning.

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

    ``next`` is where the next page begins, its ``start``, or with ``reverse`` its ``stop``; it is
    ``None`` if this is the last one.  As far as ``next`` the page is complete: no key is there that
    it does not show, but kvraft's own.  It shows what was there at the time ``timestamp``, and the
    next page can be asked ``at`` that time if its member keeps history (``history_kept``).
    ``error`` says why there is no answer: the time asked for cannot be read.
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
