"""A store: a tree that owns a log, so that what it acknowledged survives a crash.  No Raft in it.

::

    put ──► log ──► memtable ──► tables            a crash loses the memtable …
             └── replayed above `flushed` ──►      … and opening fills it again from the log

It is what a key/value database on one machine is, and what this project's tree is measured as,
beside LevelDB and others.  A member of a cluster (``replica/replica.py``) joins the same log and
the same tree in the same way, with consensus in between.

Invariants:

- A write is in the log, as durable as its :class:`~kvraft.wal.Durability` says, before it is in the
  memtable, and before the call returns.
- After a crash the store is as it was after some prefix of all writes; every write that was synced
  is in it.  A batch is there whole or not at all.
- The tables never get ahead of the log: it is synced before a flush is.
- A log segment goes once all of it is in durable tables.  How much log waits for that is bounded
  (``log_and_tree.py``), whatever is written.

>>> import tempfile
>>> directory = tempfile.TemporaryDirectory()
>>> with Store.open(directory.name) as store:
...     store.put(b"k", b"v")
>>> with Store.open(directory.name) as store:
...     store.get(b"k")
b'v'
>>> directory.cleanup()

Source: LevelDB impl.md (log files); Spinnaker, VLDB 2011 (one log for recovery and replication).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Self

from kvraft.disk import Disk, open_on_disk
from kvraft.display import counted, html_table
from kvraft.errors import BadInput, WrongType
from kvraft.events import EventSink, ignore
from kvraft.inputs import as_bytes, describe_value, instance, whole_number
from kvraft.log_and_tree import LOG_BYTES, check_disk, should_freeze, waiting_log
from kvraft.lsm import ByteSource, Tree, TreeOptions, WriteBatch, as_value
from kvraft.memtable import check_row
from kvraft.record import (
    MAX_VALUE_BYTES,
    Buffer,
    Kind,
    Position,
    Row,
    pack_write,
    unpack_writes,
)
from kvraft.wal import SEGMENT_BYTES, Durability, Wal

OWNER = "kvraft/store"


class Store(Tree):
    """A tree with a log of its own.  Made by :meth:`open`, usable in a ``with`` statement.

    ``durability`` is that of every write; :meth:`sync` makes all before it durable at any time.

    Any number of threads may use it, and no other process: see ``lsm/tree.py`` and
    ``disk/real.py``.
    """

    wal: Wal
    durability: Durability
    log_bytes: int
    _log_grew = True  # whether a segment was sealed since the log was found short enough

    @classmethod
    def open(
        cls,
        where: Disk | str | os.PathLike[str],
        *,
        owner: str = OWNER,
        options: TreeOptions | None = None,
        report: EventSink = ignore,
        clock: Callable[[], float] | None = None,
        durability: Durability = Durability.OS,
        segment_bytes: int = SEGMENT_BYTES,
        log_bytes: int = LOG_BYTES,
        read_only: bool = False,
    ) -> Self:
        """Open the store on a disk or in a directory, a new one if there is none.

        A segment of the log is sealed at ``segment_bytes``.  Once more than ``log_bytes`` of sealed
        log wait for the memtable it is flushed, however small it is.

        With ``read_only`` as :meth:`Tree.open` says: no lock, no right to write and no space are
        needed, and another process may go on writing.  What is seen is a prefix of its writes, the
        newest of which it may not have made durable yet: see :attr:`durable_index`.

        After a crash the newest segment of the log is written anew.  Where there is no space for
        that, the store can be read, and says so (:attr:`lacks_space`, the event ``DiskFilled``):
        writes raise :class:`~kvraft.errors.DiskFull` until there is.

        Raises :class:`~kvraft.errors.Corruption` and :class:`~kvraft.errors.ForeignFile` rather
        than open a store that lacks anything that was durable.
        """
        if not isinstance(durability, Durability):
            kinds = "Durability.SYNC, OS or BUFFERED"
            raise WrongType(f"durability must be {kinds}, not {describe_value(durability)}")
        whole_number(log_bytes, "log_bytes", minimum=0)
        store = open_on_disk(
            where,
            lambda disk: cls._begin(
                disk, owner, options, report, clock, durability, segment_bytes, log_bytes, read_only
            ),
            read_only=read_only,
        )
        store._disk_is_mine = isinstance(where, str | os.PathLike)
        return store

    @classmethod
    def _begin(
        cls,
        disk: Disk,
        owner: str,
        options: TreeOptions | None,
        report: EventSink,
        clock: Callable[[], float] | None,
        durability: Durability,
        segment_bytes: int,
        log_bytes: int,
        read_only: bool,
    ) -> Self:
        # The log first: then a tree without a log is never a crash, but always a loss.
        found = check_disk(disk, owner)
        wal = Wal.open(
            disk,
            owner,
            segment_bytes=segment_bytes,
            report=report,
            found=found,
            read_only=read_only,
        )
        store = super().open(
            disk, owner=owner, options=options, report=report, clock=clock, read_only=read_only
        )
        store.record_log_end(lambda: wal.synced_end)
        store.wal, store.durability, store.log_bytes = wal, durability, log_bytes
        store._pay_at = 0  # the log may be too long by now
        store._replay()
        return store

    @property
    def lacks_space(self) -> str:
        """What there is no space for on the disk, ``""`` if nothing was refused for that.

        Reads go on; each write tries again, and succeeds as soon as there is space.
        """
        return self.wal.out_of_space

    @property
    def durable_index(self) -> int:
        """The log index through which all writes certainly survive a loss of power.

        What follows it was handed over, and may or may not survive: below :attr:`Durability.SYNC`,
        or when the store is only read beside the process that writes it.
        """
        return max(self.flushed.index, self.wal.synced_index)

    def _replay(self) -> None:
        """Put into the memtable what the log has and the tables have not."""
        first, last = self.flushed.index + 1, self.wal.last_index
        if first > last:
            return
        index = first - 1
        for payload in self.wal.payloads(first, last):
            rows, ranges, taken = unpack_writes(payload)
            if taken:  # of a batch without its end nobody was told
                index += taken
                self._take(rows, ranges, Position(index, 0))
            if self.memtable_full:
                self.freeze()
        self._index = last

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def put(self, key: Buffer, value: Buffer) -> None:
        """Let ``key`` hold ``value``: see :meth:`Tree.put`.

        Raises :class:`~kvraft.errors.DiskFull` if there is no space, and any other ``OSError`` if
        the disk fails: then the store serves reads until it is opened again.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        if type(value) is not bytes:
            value = as_value(value)
        with self._lock:
            if self._closed or self._failure or len(key) > 65536 or len(value) > MAX_VALUE_BYTES:
                self._check_writable()
                check_row((key, 0, value))
            if self._memtables.active.bytes_written >= self._pay_at:
                self._pay()
            index, timestamp = self._index + 1, self.timestamp + 1
            payload = pack_write(Kind.PUT, index, timestamp, key, value, commit=True)
            if self.wal.append(index, index, payload, self.durability):
                self._pay_at, self._log_grew = 0, True
            self._index, self.timestamp = index, timestamp
            self._memtables.active.put((key, timestamp, value), self.readers.pinned)
            counts = self.counts
            counts.rows_put += 1
            counts.bytes_put += len(key) + len(value)

    def write(self, batch: WriteBatch) -> None:
        """Let all writes of ``batch`` take effect, or where this raises, none."""
        with self._lock:
            instance(batch, WriteBatch, "a batch")
            self._check_writable()
            if not batch.writes:
                return
            self._pay()
            rows, ranges = batch.rows(self.timestamp + 1)
            first, last = self._index + 1, self._index + len(rows) + len(ranges)
            if self.wal.append(first, last, _pack(first, rows, ranges), self.durability):
                self._pay_at, self._log_grew = 0, True
            self._take(rows, ranges, Position(last, 0))

    def _repr_html_(self) -> str:
        """Return a small table for a notebook."""
        if self._closed:
            return html_table(repr(self), ())
        with self._lock:
            segments, stats = self.wal.segments, self.stats()
        log = sum(segment.size for segment in segments)
        rows = [
            ("log", f"{counted(len(segments), 'segment')}, {counted(log, 'byte')}"),
            (
                "memtable",
                f"{counted(self.memtable_rows, 'key')}, {counted(self.memtable_size, 'byte')}",
            ),
            ("waiting to be flushed", counted(stats.immutable_memtables, "memtable")),
            *(
                (f"level {level}", f"{counted(tables, 'table')}, {counted(size, 'byte')}")
                for level, (tables, size) in enumerate(
                    zip(stats.tables, stats.table_bytes, strict=True)
                )
            ),
            ("durability", self.durability.name),
        ]
        return html_table(repr(self), rows)

    def sync(self) -> None:
        """Make everything written so far durable: from now on it survives a loss of power."""
        with self._lock:
            self._check_writable()
            self.wal.sync()
            self._pay_at, self._log_grew = 0, True  # it may have sealed a segment

    def apply(self, rows: Iterable[Row], position: Position, ranges: Iterable[Row] = ()) -> None:
        """Refuse: the positions of a store are those of its own log."""
        raise BadInput("a store writes its own log: use put, delete, delete_range or write")

    def install(self, stream: ByteSource | bytes) -> None:
        """Refuse: a snapshot of another tree would have to take the place of the log, too."""
        raise BadInput("a store writes its own log: a snapshot cannot take its place")

    # ── long work ───────────────────────────────────────────────────────────────────────────────

    def work(self) -> bool:
        """Do one slice of long work, and cut the log if it was the end of a flush."""
        with self._lock:
            flushed = self.flushed
            more = super().work()
            if self.flushed != flushed:
                self.wal.drop_below(self.flushed.index + 1)
            return more

    def _should_freeze(self) -> bool:
        if not self._log_grew:
            return self.memtable_full
        held = waiting_log(self.wal.segments, self.flushed.index)
        self._log_grew = held > self.log_bytes
        full_at, size = self.options.memtable_bytes, self._memtables.active.size
        return should_freeze(
            size, held, self.immutable_memtables, full_at=full_at, log_limit=self.log_bytes
        )

    def _secure(self, through: Position) -> None:
        if self.wal.synced_index < through.index:
            self.wal.sync()

    def close(self) -> None:
        """Make everything durable and refuse all further use."""
        with self._lock:
            if not self._closed:
                try:
                    self.wal.close()
                finally:
                    super().close()

    def _checkpoint(self, target: Disk) -> None:
        super()._checkpoint(target)
        wal = Wal.open(target, self._owner)
        wal.reset(self.flushed)
        wal.close()


def _pack(first: int, rows: list[Row], ranges: list[Row]) -> bytes:
    """Return one batch as entries of the log, from index ``first`` on."""
    writes = [(Kind.DELETE_RANGE, *row) for row in ranges]
    writes += [(Kind.PUT if row[2] is not None else Kind.DELETE, *row) for row in rows]
    last = len(writes) - 1
    return b"".join(
        pack_write(kind, first + at, timestamp, key, value or b"", commit=at == last)
        for at, (kind, key, timestamp, value) in enumerate(writes)
    )
