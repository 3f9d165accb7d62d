"""A store: a tree that owns a log, so that what it acknowledged survives a crash.  No Raft in it.

::

    put ──► log ──► memtable ──► tables            a crash loses the memtable …
             └── replayed above `flushed` ──►      … and opening fills it again from the log

This is a key/value database on one machine, and what the benchmarks compare with LevelDB and
others.  A member of a cluster (``replica/replica.py``) joins the same log and the same tree in the
same way, with consensus in between.  A timestamp does here what LevelDB's sequence number does.

Invariants:

- A write is in the log, as durable as its :class:`~kvraft.wal.Durability` says, before it is in the
  memtable, and before the call returns.
- After a crash the store is as it was after some prefix of all writes; every write that was synced
  is in it.  A batch is there whole or not at all.
- The tables never get ahead of the log: it is synced before a flush begins.
- A log segment is removed once all of it is in durable tables.  How much log may wait for that is
  bounded (``log_and_tree.py``), whatever is written.

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
from functools import partial
from typing import Self

from kvraft.disk import Disk, open_on_disk
from kvraft.display import counted, html_table
from kvraft.errors import BadInput, WrongType
from kvraft.events import EventSink, MemtableFrozen, ignore
from kvraft.inputs import describe_value, instance, whole_number
from kvraft.log_and_tree import LOG_BYTES, check_disk, should_freeze, waiting_log
from kvraft.lsm import REMOVED_BYTES, ByteSource, Tree, TreeOptions
from kvraft.memtable import UNPINNED, Memtables
from kvraft.record import MAX_TIMESTAMP, Position, Row, Timestamp
from kvraft.wal import SEGMENT_BYTES, Durability, Wal, pack_writes

OWNER = "kvraft/store"


class Store(Tree):
    """A tree with a log of its own.  Made by :meth:`open`, usable in a ``with`` statement.

    ``durability`` is that of every write; :meth:`sync` makes all earlier writes durable.
    ``log_bytes`` is how many bytes of sealed log may wait for the memtable.

    Any number of threads may use it, and no other process: see ``lsm/engine.py`` and
    ``disk/real.py``.
    """

    wal: Wal
    durability: Durability
    log_bytes: int
    _log_grew = True  # whether a segment was sealed since the waiting log was last below its limit

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
        """Open the store on a disk or in a directory; create it if there is none.

        A segment of the log is sealed at ``segment_bytes``.  Once more than ``log_bytes`` of sealed
        log wait for the memtable, it is flushed however small it is.

        ``read_only`` is as in :meth:`Tree.open`: no lock, no permission to write and no space are
        needed, and another process may continue to write.  The reader sees a prefix of its writes,
        the newest of which may not be durable yet: see :attr:`durable_index`.

        After a crash the newest segment of the log is written again.  Where there is no space for
        that, the store can be read, and :attr:`lacks_space` and the event ``DiskFilled`` say why:
        writes raise :class:`~kvraft.errors.DiskFull` until there is space.

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
        store.owns_disk = isinstance(where, str | os.PathLike)
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
        # The log is created first: so a tree without a log is never left by a crash, but always a
        # loss.
        options = TreeOptions() if options is None else instance(options, TreeOptions, "options")
        replayed = _Replay(options)
        found = check_disk(disk, owner, replayed.take)
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
        store.record_log_end(wal.synced_end)
        store.wal, store.durability, store.log_bytes = wal, durability, log_bytes
        store.log_write = partial(wal.append_write, durability)
        store.work_soon()  # the log may be too long by now
        store._adopt(replayed, report)
        return store

    @property
    def lacks_space(self) -> str:
        """What the disk has no space for, ``""`` if nothing was refused for lack of space.

        Reads continue; each write tries again, and succeeds as soon as there is space.
        """
        return self.wal.out_of_space

    @property
    def durable_index(self) -> int:
        """The log index through which all writes certainly survive a loss of power.

        Later writes may or may not survive.  There are some below :attr:`Durability.SYNC`, or when
        this is only a reader of a store that another process writes.
        """
        return max(self.flushed.index, self.wal.synced_index)

    def _adopt(self, replayed: _Replay, report: EventSink) -> None:
        """Continue with the memtables that were filled while the log was read."""
        self.memtables.adopt(replayed.memtables)
        for memtable, through in self.memtables.frozen:
            report(MemtableFrozen(len(memtable), memtable.size, through.index))
        self.applied_index = max(self.flushed.index, self.wal.last_index)
        self.timestamp = max(self.timestamp, replayed.timestamp)
        self.counts.rows_put += replayed.rows
        self.counts.bytes_put += replayed.bytes

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def log_rows(self, first: int, rows: list[Row], ranges: list[Row]) -> None:
        """Append one batch to the log, from index ``first`` on, before it is in the memtable.

        Raises :class:`~kvraft.errors.DiskFull` if there is no space, and any other ``OSError`` if
        the disk fails: then the store serves reads until it is opened again.
        """
        last = first + len(rows) + len(ranges) - 1
        if self.wal.append(first, last, pack_writes(first, rows, ranges), self.durability):
            self.log_sealed()

    def sync(self) -> None:
        """Make everything written so far durable: from now on it survives a loss of power."""
        with self.lock:
            self.check_writable()
            self.wal.sync()
            self.log_sealed()  # perhaps

    def log_sealed(self) -> None:
        """Make the next write look how much log waits: a segment was sealed."""
        self._log_grew = True
        self.work_soon()

    def apply(self, rows: Iterable[Row], position: Position, ranges: Iterable[Row] = ()) -> None:
        """Raise ``BadInput``: the positions of a store are those of its own log."""
        raise BadInput("a store writes its own log: use put, delete, delete_range or write")

    def install(self, stream: ByteSource | bytes) -> None:
        """Raise ``BadInput``: a snapshot of another tree would have to replace the log, too."""
        raise BadInput("a store writes its own log: a snapshot cannot take its place")

    # ── long work ───────────────────────────────────────────────────────────────────────────────

    @property
    def has_work(self) -> bool:
        """Whether :meth:`work` has anything to do."""
        with self.lock:
            return super().has_work or self._may_drop()

    def work(self) -> bool:
        """Do one slice of long work, and truncate the log if that was the end of a flush.

        A large segment takes the system so long to remove that it gets a slice by itself.
        """
        with self.lock:
            self.check_writable()
            by_itself, room = self._may_drop(), REMOVED_BYTES
            if not by_itself:
                super().work()
            while self._may_drop() and (by_itself or self.wal.segments[0].size <= room):
                [dropped] = self.wal.drop_below(self.flushed.index + 1, most=1)
                by_itself, room = False, room - dropped.size
            return self.has_work

    def flush(self) -> None:
        """Write everything so far to durable tables, now, and drop the log that they replace."""
        with self.lock:
            super().flush()
            self.wal.drop_below(self.flushed.index + 1)

    def _may_drop(self) -> bool:
        """Return whether the oldest segment is sealed and all in durable tables."""
        return self.wal.can_drop_below(self.flushed.index + 1) and not (self.failure or self.closed)

    def must_freeze(self) -> bool:
        """Return whether the memtable is full, or too much log waits for it."""
        if not self._log_grew:
            return self.memtable_full
        log_bytes = waiting_log(self.wal.segments, self.flushed.index)
        self._log_grew = log_bytes > self.log_bytes
        full_at, waiting = self.options.memtable_bytes, self.immutable_memtables
        return should_freeze(
            self.memtable_size, log_bytes, waiting, full_at=full_at, log_limit=self.log_bytes
        )

    def sync_log(self, through: Position) -> None:
        """Sync the log, unless it is synced ``through`` there: see :class:`StorageEngine`."""
        if self.wal.synced_index < through.index:
            self.wal.sync()

    def close(self) -> None:
        """Make everything durable and refuse all further use."""
        with self.lock:
            if not self.closed:
                try:
                    self.wal.close()
                finally:
                    super().close()

    def write_checkpoint(self, target: Disk) -> None:
        """Write the tree's files to an empty disk, and an empty log that begins after them."""
        super().write_checkpoint(target)
        wal = Wal.open(target, self.owner)
        wal.reset(self.flushed)
        wal.close()

    # ── showing it ──────────────────────────────────────────────────────────────────────────────

    def _repr_html_(self) -> str:
        """Return a small table for a notebook."""
        if self.closed:
            return html_table(repr(self), ())
        with self.lock:
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


class _Replay:
    """Fills memtables with the writes of a log, as they are read and checked (``wal/recovery.py``).

    They are frozen as those of an open store, so no more is in memory than may wait in one.
    """

    def __init__(self, options: TreeOptions) -> None:
        self.memtables = Memtables()
        self.timestamp: Timestamp = 0
        self.rows = self.bytes = 0
        self._full_at = options.memtable_bytes
        self._pinned = MAX_TIMESTAMP if options.history else UNPINNED

    def take(self, rows: list[Row], ranges: list[Row], last: int) -> None:
        """Put in the rows and range tombstones of the log through its index ``last``."""
        active = self.memtables.active
        for row in ranges:
            active.delete_range(row, self._pinned)
        active.update(rows, self._pinned)
        self.timestamp = max(self.timestamp, active.timestamp)
        self.rows += len(rows) + len(ranges)
        self.bytes += sum(len(key) + len(value or b"") for key, _, value in rows)
        if active.size >= self._full_at:
            self.memtables.freeze(Position(last, 0))
