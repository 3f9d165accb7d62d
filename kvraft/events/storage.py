"""Events of log, state machine and tree: segments, transactions, memtables and tables.

Sizes are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvraft.events.event import Event


@dataclass(slots=True, unsafe_hash=True)
class EntriesAppended(Event):
    """Entries were written to the log, from index ``first`` on; each tuple has one item per entry.

    They are synced, unless a store without consensus asked for less (``wal.Durability``).

    ``keys`` are labels; a no-op has key ``""`` and transaction ``""``.  ``commit_marks`` has the
    commit mark of each entry.
    """

    segment: int
    first: int
    terms: tuple[int, ...]
    keys: tuple[str, ...]
    txns: tuple[str, ...]
    commit_marks: tuple[bool, ...]


@dataclass(slots=True, unsafe_hash=True)
class EntriesSuperseded(Event):
    """The entries ``first`` … ``last`` conflict with the leader's, which replace them next."""

    first: int
    last: int


@dataclass(slots=True, unsafe_hash=True)
class SegmentOpened(Event):
    """A log segment was started; its first entry will be ``first``."""

    segment: int
    first: int


@dataclass(slots=True, unsafe_hash=True)
class SegmentSealed(Event):
    """A log segment is complete and will never be written again."""

    segment: int
    first: int
    last: int
    size: int  # bytes


@dataclass(slots=True, unsafe_hash=True)
class PinsChanged(Event):
    """A pin on the log was added, removed, or moved to another segment.

    ``needed_from`` has the oldest index that each of ``pinned_by`` still needs.
    """

    pinned_by: tuple[str, ...]
    needed_from: tuple[int, ...]


@dataclass(slots=True, unsafe_hash=True)
class TruncationDecided(Event):
    """Segments wholly below ``floor`` may be removed: nothing pins them any longer.

    ``needed_from`` has the oldest index that each of ``pinned_by`` still needs.
    """

    floor: int
    pinned_by: tuple[str, ...]
    needed_from: tuple[int, ...]


@dataclass(slots=True, unsafe_hash=True)
class SegmentDropped(Event):
    """A sealed segment was removed from disk."""

    segment: int
    first: int
    last: int
    size: int  # bytes


@dataclass(slots=True, unsafe_hash=True)
class TailTruncated(Event):
    """A torn write, never acknowledged, was truncated from the end of a file.

    The log keeps the bytes in a separate file (``wal/recovery.py``).
    """

    file: str
    offset: int
    size: int  # bytes removed


@dataclass(slots=True, unsafe_hash=True)
class DiskFilled(Event):
    """There was no space for ``what`` the log had to write; reads continue."""

    what: str


@dataclass(slots=True, unsafe_hash=True)
class SpaceRecovered(Event):
    """There is space again: the log takes writes as before."""


@dataclass(slots=True, unsafe_hash=True)
class LogReset(Event):
    """All entries were dropped: the log continues after ``index``, where a snapshot ends (§7)."""

    index: int
    term: int


# ── the tree ────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True, unsafe_hash=True)
class TransactionApplied(Event):
    """A complete transaction reached the memtable, its last entry at ``index``."""

    index: int
    txn: str
    records: int
    memtable_rows: int
    memtable_size: int  # bytes


@dataclass(slots=True, unsafe_hash=True)
class TransactionDiscarded(Event):
    """The entries ``first`` … ``last`` of a transaction that never completed were dropped."""

    txn: str
    first: int
    last: int


@dataclass(slots=True, unsafe_hash=True)
class TransactionRepeated(Event):
    """A transaction that was applied before came again at ``index`` and changed nothing."""

    txn: str
    index: int


@dataclass(slots=True, unsafe_hash=True)
class TransactionIdTaken(Event):
    """The transaction that ends at ``index`` had no effect: ``txn`` is the id of another one."""

    txn: str
    index: int


@dataclass(slots=True, unsafe_hash=True)
class TransactionConflicted(Event):
    """The transaction that ends at ``index`` had no effect: it read ``key``, written since."""

    txn: str
    index: int
    key: str


@dataclass(slots=True, unsafe_hash=True)
class SessionExpired(Event):
    """A session was deleted at ``index``, because it was unused for too long, by log time.

    ``client`` is its client, as ``name.incarnation``.
    """

    client: str
    index: int


@dataclass(slots=True, unsafe_hash=True)
class MemtableFrozen(Event):
    """A memtable takes no more writes and waits to be flushed."""

    rows: int
    size: int  # bytes
    through: int  # the last log index it holds


@dataclass(slots=True, unsafe_hash=True)
class TableWritten(Event):
    """An SSTable is complete and synced, but not yet live."""

    table: int
    rows: int
    size: int  # bytes
    first_key: str
    last_key: str


@dataclass(slots=True, unsafe_hash=True)
class Flushed(Event):
    """The manifest records that everything through log index ``through`` is in live SSTables.

    ``table`` is the number of the table that was added, 0 if there was nothing to write.
    """

    through: int
    table: int


@dataclass(slots=True, unsafe_hash=True)
class CompactionStarted(Event):
    """The SSTables ``inputs`` are being merged into new ones of ``level``."""

    inputs: tuple[int, ...]
    level: int


@dataclass(slots=True, unsafe_hash=True)
class Compacted(Event):
    """The manifest records that ``outputs``, of ``level``, replaced ``inputs``.

    If both are the same, the tables moved to that level unchanged.  ``read`` and ``written`` are in
    bytes; ``tombstones`` is how many were removed permanently.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    level: int
    read: int
    written: int
    tombstones: int


@dataclass(slots=True, unsafe_hash=True)
class TableRemoved(Event):
    """The file of an SSTable was removed: it was no longer live, and no view read it."""

    table: int


@dataclass(slots=True, unsafe_hash=True)
class TreeOpened(Event):
    """A tree was opened with these live SSTables, in the order in which they are read."""

    tables: tuple[int, ...]
    levels: tuple[int, ...]
    sizes: tuple[int, ...]  # bytes


@dataclass(slots=True, unsafe_hash=True)
class SnapshotInstalled(Event):
    """The manifest records that a snapshot through index ``through`` replaced all tables.

    ``tables`` are their numbers, newest first; memtables are empty.
    """

    through: int
    tables: tuple[int, ...]
