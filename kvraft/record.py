"""The vocabulary: what crosses each boundary of the system, and the bytes of a log entry.

::

    client ──Transaction of Records──► Raft ──Entry──► log ──Record──► memtable ──Row──► SSTable

Each step removes what the next layer does not need.  A :class:`Record` is one upsert or delete of
one transaction.  Raft wraps it into an :class:`Entry` with a term and an index.  A memtable and an
SSTable keep only a :data:`Row`, the part of a record that a reader of its key can see.

Invariants:

- One record is one entry.  The records of a transaction are contiguous entries, share one
  transaction id and one timestamp, and only the last of them carries the commit mark.
- A delete is a kind of record, never an empty value: ``b""`` is a valid key and a valid value.
- A range tombstone has its range in key (start) and value (stop, exclusive); as no range stops at
  ``b""``, that value means a range without an end.
- An expectation writes nothing: its transaction takes effect only if the key still carries the
  timestamp in its value (8 bytes; 0 for a key without a value).
- A registration has the name of a client in its key, and neither data nor time: only its place
  counts, because a committed log index is never given out again (replica/sessions.py).
- Along one log, timestamps of transactions that take effect rise, so no two share one.

Entries as bytes, in the log on disk and (later) on the wire, little-endian, one after another::

    offset  size
         0     8  term
         8     8  index
        16     8  timestamp      hybrid logical clock, see clock.py
        24     8  incarnation    of the transaction id
        32     8  sequence       of the transaction id
        40     4  length of key
        44     4  length of value
        48     2  length of client name
        50     1  kind           1 put, 2 delete, 3 no-op, 4 configuration, 5 range tombstone,
                              6 expectation, 7 registration
        51     1  commit mark    1 on the last record of a transaction
        52     …  client, key, value
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

from kvraft.copying import immutable

Timestamp = int
"""A hybrid logical timestamp packed into 64 bits; comparing the integers compares the times.

It orders the versions of a key, so it does the work of LevelDB's sequence number, too."""

Buffer = bytes | bytearray | memoryview
"""The types that a caller may pass as a key or a value; kvraft itself uses only ``bytes``."""

MAX_KEY_BYTES = 64 * 1024
MAX_VALUE_BYTES = 64 * 1024 * 1024
MAX_NAME_BYTES = 64 * 1024 - 1
"""The longest name of a client, member or cluster: an entry's head has 2 bytes for its length."""
MAX_NUMBER = 2**63 - 1
"""The highest term, index, timestamp or sequence: a signed 64-bit integer holds it, too."""

RESERVED_PREFIX = b"\x00kvraft/"
"""Keys with this prefix hold the replicated state of kvraft itself (the sessions)."""


class Kind(IntEnum):
    """The kinds of records; the numbers are those on disk."""

    PUT = 1
    DELETE = 2
    NOOP = 3
    CONFIGURATION = 4
    DELETE_RANGE = 5
    EXPECT = 6
    REGISTER = 7

    @property
    def is_data(self) -> bool:
        """Whether records of this kind are part of a client's transaction."""
        return self in _DATA


# A tuple, not a set: a member of an IntEnum is hashed in Python, and found in a tuple by identity.
_DATA = (Kind.PUT, Kind.DELETE, Kind.DELETE_RANGE, Kind.EXPECT)


class TxnId(NamedTuple):
    """Names a transaction permanently: the ``sequence``-th one (from 1) of one client.

    ``incarnation`` is the log index of the client's registration, which distinguishes it from all
    other clients of that name; 0 is a client that is not registered (yet).  As text it is
    ``alice.7#3``, and ``alice#3`` before the registration.
    """

    client: str
    incarnation: int
    sequence: int

    @property
    def session(self) -> str:
        """The name of the session it belongs to: client and incarnation, ``alice.7``."""
        return f"{self.client}.{self.incarnation}"

    def __str__(self) -> str:
        return f"{self.session if self.incarnation else self.client}#{self.sequence}"


NO_TXN = TxnId("", 0, 0)


def is_name(name: object) -> bool:
    """Return whether ``name`` can be the name of a client, a member or a cluster.

    A name is text of at least one character and at most :data:`MAX_NAME_BYTES` bytes in UTF-8.
    Half of a surrogate pair cannot be encoded, so no name has one.
    """
    if type(name) is not str or not 0 < len(name) <= MAX_NAME_BYTES:
        return False
    if name.isascii():
        return True
    data = name.encode(errors="replace")
    return len(data) <= MAX_NAME_BYTES and data.decode() == name


EXPECTATION_BYTES = 8
_NUMBER = struct.Struct("<Q")
_DIGESTED = struct.Struct("<BII")  # lengths come first, so that no two lists give the same bytes


class Record(NamedTuple):
    """One upsert, delete or expectation, as its client asked for it (client → Raft → memtable)."""

    kind: Kind
    key: bytes
    value: bytes
    timestamp: Timestamp
    txn: TxnId
    commit: bool = False
    """The commit mark: true on the last record of a transaction only."""


NOOP = Record(Kind.NOOP, b"", b"", 0, NO_TXN)
"""What a new leader appends first (Raft §5.4.2, §8).  It carries no data and no time."""


def put_record(key: bytes, value: bytes, timestamp: Timestamp = 0, txn: TxnId = NO_TXN) -> Record:
    """Return the record that sets ``key`` to ``value``, as a transaction of this one write.

    :meth:`~kvraft.raft.Raft.propose` takes a list of records.  Your own state machine may use key
    and value as it likes, and needs neither ``timestamp`` nor ``txn``.
    """
    return Record(Kind.PUT, key, value, timestamp, txn, commit=True)


def expectation(key: bytes, expected: Timestamp, timestamp: Timestamp, txn: TxnId) -> Record:
    """Return the record that makes ``txn`` depend on ``key`` carrying the timestamp ``expected``.

    0 is expected of a key without a value.
    """
    return Record(Kind.EXPECT, key, _NUMBER.pack(expected), timestamp, txn)


def expected_timestamp(record: Record) -> Timestamp:
    """Return the timestamp that the key of an expectation must carry."""
    (expected,) = _NUMBER.unpack(record.value)
    return int(expected)


def registration(client: str) -> Record:
    """Return the record whose place in the log becomes the incarnation of ``client``."""
    return Record(Kind.REGISTER, client.encode(), b"", 0, NO_TXN)


def configuration_record(value: bytes) -> Record:
    """Return the record that makes ``value`` the cluster's configuration (Raft §6)."""
    return Record(Kind.CONFIGURATION, b"", value, 0, NO_TXN)


def digest(records: Iterable[Record]) -> int:
    """Return a 64-bit hash of what a client asked for, the same on every machine.

    It covers kinds, keys and values (so expectations, too) in their order; not the timestamp, which
    a leader may raise, nor the id, because it shows whether one id is used for two transactions.
    """
    state = blake2b(digest_size=8)
    for kind, key, value, *_ in records:
        state.update(_DIGESTED.pack(kind, len(key), len(value)))
        state.update(key)
        state.update(value)
    return int.from_bytes(state.digest(), "little")


@immutable
class Entry(NamedTuple):
    """A record in its place in the log (Raft → peers, Raft → log on disk; Raft §5.3)."""

    term: int
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index
    record: Record


class Position(NamedTuple):
    """A place in a log: an index and the term of its entry.

    Two logs with an entry at the same position are equal up to it (Log Matching, Raft §5.3).
    """

    index: int  # type: ignore[assignment]
    term: int


ORIGIN = Position(0, 0)
"""The place before the first entry of an empty log; the first entry has index 1."""


class LogEnd(NamedTuple):
    """How far a log was synced: through ``size`` bytes of its ``segment`` (log → manifest).
    It never moves back, even if entries are superseded.  Without a log it is ``NO_LOG``."""

    segment: int
    size: int


NO_LOG = LogEnd(0, 0)


class HardState(NamedTuple):
    """What a member must remember in addition to its log (Raft Figure 2, "persistent state")."""

    term: int = 0
    vote: str | None = None


MAX_TIMESTAMP: Timestamp = (1 << 64) - 1


class Version(NamedTuple):
    """The value of one key from ``timestamp`` on; ``None`` is a tombstone."""

    timestamp: Timestamp
    value: bytes | None


Row = tuple[bytes, Timestamp, bytes | None]
"""One version of one key (memtable → SSTable): key, timestamp, value; ``None`` is a tombstone.

Sorted runs consist of rows, ordered by key and then by timestamp.  A row is a plain tuple because
the storage engine handles them by the million.  A range tombstone is a row, too: start, timestamp,
stop."""

ROW_OVERHEAD = 4 + 4 + 8 + 1
"""Bytes that a row takes in a table in addition to key and value; so tombstones have a size."""

KeyValue = tuple[bytes, bytes]
"""The part of a row that a reader gets: a key and its value."""


ENTRY_FORMAT = "QQQQQIIHBB"
_ENTRY = struct.Struct("<" + ENTRY_FORMAT)
_HEAD = struct.Struct("<QQ24xIIHBx")  # the same, without the fields of the record itself
_KINDS = {kind.value: kind for kind in Kind}
ENTRY_OVERHEAD = _ENTRY.size


def entry_size(entry: Entry) -> int:
    """Return how many bytes ``entry`` takes when packed by :func:`pack_entries`."""
    record = entry.record
    client = record.txn.client
    names = len(client) if client.isascii() else len(client.encode())
    return ENTRY_OVERHEAD + names + len(record.key) + len(record.value)


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Return ``entries`` as bytes, in the layout of the module docstring."""
    parts: list[bytes] = []
    pack = _ENTRY.pack
    for term, index, (kind, key, value, stamp, (client, incarnation, sequence), commit) in entries:
        name = client.encode()
        k, v, c = len(key), len(value), len(name)
        head = pack(term, index, stamp, incarnation, sequence, k, v, c, kind, commit)
        parts += (head, name, key, value)
    return b"".join(parts)


def unpack_entries(data: bytes) -> list[Entry]:
    """Return the entries in ``data``, as :func:`pack_entries` wrote them.

    Raises ``ValueError`` if ``data`` does not end where an entry ends or has an unknown kind: the
    caller, which knows the file, adds where.
    """
    entries: list[Entry] = []
    unpack, kinds = _ENTRY.unpack_from, _KINDS
    at, end = 0, len(data)
    while at < end:
        if end - at < ENTRY_OVERHEAD:
            raise ValueError("the last entry's head is cut short")
        term, index, timestamp, incarnation, sequence, k, v, c, kind, commit = unpack(data, at)
        client_at = at + ENTRY_OVERHEAD
        key_at = client_at + c
        value_at = key_at + k
        at = value_at + v
        if at > end:
            raise ValueError(f"entry {index} is cut short")
        txn = TxnId(data[client_at:key_at].decode(), incarnation, sequence)
        if kind not in kinds:
            raise ValueError(f"entry {index} has the unknown kind {kind}")
        key, value = data[key_at:value_at], data[value_at:at]
        record = Record(kinds[kind], key, value, timestamp, txn, commit == 1)
        entries.append(Entry(term, index, record))
    return entries


def summarize_entries(data: bytes) -> tuple[list[Position], int]:
    """Return the term starts of packed entries, and their last index.

    A term start is the position of the first entry of a term; the first one is that of the first
    entry.  Only heads are read and no :class:`Entry` is made, so this is several times as fast as
    :func:`unpack_entries`.  Raises ``ValueError`` if there is no entry, if ``data`` does not end
    where one ends, if indexes do not rise by one, if terms fall or a kind is unknown.
    """
    term_starts: list[Position] = []
    unpack, overhead = _HEAD.unpack_from, ENTRY_OVERHEAD
    newest, last = -1, -1
    at, end = 0, len(data)
    try:
        while at < end:
            term, index, k, v, c, kind = unpack(data, at)
            if term != newest or index != last + 1:
                if term_starts and index != last + 1:
                    raise ValueError(f"entry {index} follows entry {last}")
                if term < newest:
                    raise ValueError(f"entry {index} is of term {term}, after term {newest}")
                term_starts.append(Position(index, term))
                newest = term
            if kind not in _KINDS:
                raise ValueError(f"entry {index} has the unknown kind {kind}")
            last = index
            at += overhead + k + v + c
    except struct.error:
        raise ValueError("the last entry's head is cut short") from None
    if at != end:
        raise ValueError(f"entry {last} is cut short")
    if not term_starts:
        raise ValueError("there is no entry")
    return term_starts, last


def slice_entries(data: bytes, start: int, stop: int) -> bytes:
    """Return the packed entries number ``start`` … ``stop - 1`` of ``data``, counted from 0."""
    begin = _skip(data, 0, start)
    return data[begin : _skip(data, begin, stop - start)]


def _skip(data: bytes, at: int, count: int) -> int:
    for _ in range(count):
        _, _, k, v, c, _ = _HEAD.unpack_from(data, at)
        at += ENTRY_OVERHEAD + k + v + c
    return at


def label(key: bytes) -> str:
    """Return ``key`` as text to show: printable ASCII unchanged, the rest as escapes."""
    return key.decode("latin-1").encode("unicode_escape").decode("ascii")
