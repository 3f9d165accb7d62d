"""The storage engine: memtables and tables, read as one sorted map.

::

    apply ─► memtable ─freeze─► immutable memtables ─flush─► level 0 ─compaction─► level 1 …
                 │                        │                      │                     │
    get, scan ◄──┴────────────────────────┴──────────────────────┴─────────────────────┘
                                 highest timestamp wins

The engine has no log of its own.  A caller that applies rows names the position in *its* log after
which the rows hold; after a crash it applies again whatever is above ``flushed``.  In kvraft that
log is Raft's, and applying stops at complete transactions.

Flushes and compactions are long work, done in slices (:meth:`StorageEngine.work`) by whichever
caller has time.

Many threads may use one engine: each call, each slice of work and each piece of a scan runs under
one lock; only a ``get`` that memory can answer needs none.  ``flush`` and ``compact`` keep it until
they are done; a caller that wants others to run in between calls ``work`` repeatedly.  An iterator
is for one thread at a time, as any in Python.  An engine belongs to the process that opened it
(``disk/real.py``).

Invariants:

- Reads see every applied row; of the versions of a key the one with the highest timestamp
  (LevelDB's sequence number).  Scans and views see the tree as it was when they began, whatever
  happens meanwhile (``lsm/readers.py``).
- On disk is the tree as it was at one position of the log, ``flushed``: never a mixture.
- How tables change, and why a crash leaves the old ones or the new, is in ``lsm/versions.py``.
- A full disk stops long work until there is space; nothing is lost.  After any other disk error the
  tree serves reads and never writes again: it must be reopened.

Sources: O'Neil et al., *The Log-Structured Merge-Tree*, 1996; LevelDB impl.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from copy import deepcopy
from operator import itemgetter
from threading import RLock
from typing import Any, NoReturn, Self

from kvraft.disk import Disk, RealDisk, is_disk_full, refuse_after_fork
from kvraft.display import counted
from kvraft.errors import BadInput, Corruption, DiskFull, ForeignFile, Locked, ReadOnly, Stopped
from kvraft.events import EventSink, MemtableFrozen, SnapshotInstalled, ignore
from kvraft.inputs import as_bytes, instance, whole_number
from kvraft.lsm.compaction import full_compaction
from kvraft.lsm.long_work import LongWork
from kvraft.lsm.merging import RetainedTimes
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.readers import Readers
from kvraft.lsm.reading import ReadableTree, find, scan
from kvraft.lsm.snapshot import ByteSource, InMemorySource, TreeSnapshot, unpack_snapshot
from kvraft.lsm.stats import Stats, TreeCounters
from kvraft.lsm.version_edit import ManifestState
from kvraft.lsm.view import View
from kvraft.mapping import scan_bounds
from kvraft.memtable import Memtables, check_range_tombstone, check_row
from kvraft.record import (
    MAX_TIMESTAMP,
    Buffer,
    KeyValue,
    LogEnd,
    Position,
    Row,
    Timestamp,
    Version,
)
from kvraft.sstable import TableMetadata

_key, _value = itemgetter(0), itemgetter(2)


class StorageEngine(ReadableTree):
    """A log-structured merge-tree on one disk, which it may share with the log.

    ``timestamp`` is the highest one ever applied; ``counts`` are the counters since it was opened;
    ``failure`` is why it takes no writes, ``""`` if it does.

    For subclasses: all work is done under ``lock``; ``memtables``, ``applied_index`` and
    ``applied_term`` change with each write; ``long_work`` is what is under way.  One that owns a
    log overrides :meth:`sync_log` and :meth:`write_checkpoint`.

    ``late_rows`` is for a caller that keeps rows back while they change often, and whose log can
    give them again: a freeze asks it for those that belong to the state at :attr:`applied`, and
    puts them into the memtable that it freezes.  So what is on disk lacks none.
    """

    def __init__(
        self,
        disk: Disk,
        owner: str,
        options: TreeOptions,
        report: EventSink = ignore,
        *,
        read_only: bool = False,
    ) -> None:
        """Open what is on ``disk``: use :meth:`kvraft.lsm.Tree.open`."""
        self.read_only = read_only
        self.options = options
        counts = self.counts = TreeCounters()
        self._disk = disk
        self.lock = RLock()
        self.owns_disk = False  # whether close() closes the disk
        self.owner = owner
        self._report = report
        self._tables = self.table_set(disk, owner, options, report, counts, read_only=read_only)
        self.timestamp: Timestamp = self._tables.state.timestamp
        self.applied_index, self.applied_term = self._tables.state.flushed
        self.memtables = Memtables()
        self.readers = Readers(options.history)
        self.long_work = LongWork(
            self._tables, self.memtables, options, self.counts, self._retained, self.sync_log
        )
        self.failure = "it was opened for reading only" if read_only else ""
        self.closed = False
        self.late_rows: Callable[[], list[Row]] = list  # none
        if not self._tables.manifest_unsure:  # else work() rewrites the manifest first
            self._tables.remove_orphans()
        self._forked = ""  # why this process may not use it, if it is the child of a fork
        refuse_after_fork(self, disk)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def apply(self, rows: Iterable[Row], position: Position, ranges: Iterable[Row] = ()) -> None:
        """Apply the rows of one complete transaction as of ``position`` in a log.

        ``ranges`` are range tombstones: start, timestamp, stop.  Raises ``BadInput`` for a bad row,
        and then applies none.  Positions must grow.  Timestamps should grow, too: an open view sees
        a row whose timestamp is not above its own, and a row older than a tombstone that is gone
        already would show.
        """
        with self.lock:
            self._check_open()
            rows, ranges = list(rows), list(ranges)
            for row in rows:
                check_row(row)
            for row in ranges:
                check_range_tombstone(row)
            instance(position, Position, "a position in the log")
            if position.index <= self.applied_index:
                raise BadInput(f"position {position} is not above {self.applied}, applied before")
            self.insert(rows, ranges, position)

    def apply_checked(self, rows: list[Row], position: Position, timestamp: Timestamp) -> None:
        """Apply rows as of ``position``, as :meth:`apply` does, without checking them again.

        They come from a log that takes nothing else.  ``timestamp`` is the highest among them, or
        that of a transaction which wrote nothing: reads can be at that time from now on.
        """
        with self.lock:
            self._check_open()
            if position.index <= self.applied_index:
                raise BadInput(f"position {position} is not above {self.applied}, applied before")
            self.insert(rows, [], position)
            self.timestamp = max(self.timestamp, timestamp)

    def insert(self, rows: list[Row], ranges: list[Row], position: Position) -> None:
        """Put checked rows into the memtable, as :meth:`apply` does; under ``lock``."""
        self.readers.settle()  # what nobody reads any more is not kept
        pinned = self.readers.pinned
        for row in ranges:
            self.memtables.active.delete_range(row, pinned)
        self.memtables.active.update(rows, pinned)
        self.applied_index, self.applied_term = position
        self.timestamp = max(self.timestamp, self.memtables.active.timestamp)
        counts = self.counts
        counts.rows_put += len(rows) + len(ranges)
        values = filter(None, map(_value, rows))  # neither a tombstone nor b"" has any bytes
        counts.bytes_put += sum(map(len, map(_key, rows))) + sum(map(len, values))

    # ── long work ───────────────────────────────────────────────────────────────────────────────

    def freeze(self) -> None:
        """Freeze the memtable, which then waits to be flushed, and begin a new one.

        One without rows is frozen too if the applied mark has moved, so that transactions which
        wrote nothing do not pin the log.  If nothing was applied since the last freeze or flush,
        nothing happens.
        """
        with self.lock:
            self._check_open()
            waiting = self.memtables.frozen
            before = waiting[-1].through if waiting else self.flushed
            if self.applied == before:
                return
            self.insert(self.late_rows(), [], self.applied)
            frozen = self.memtables.freeze(self.applied)
            self._report(MemtableFrozen(len(frozen), frozen.size, self.applied_index))

    @property
    def has_work(self) -> bool:
        """Whether :meth:`work` has anything to do."""
        with self.lock:
            if self.failure or self.closed:
                return False
            self.readers.settle()
            return self.long_work.waits

    def work(self) -> bool:
        """Do one slice of long work; return whether there is more.

        A flush goes before a compaction.  Raises ``OSError`` if the disk fails or does not return
        what was written.  A full disk leaves everything as it was before the job, which is retried
        later; after any other error the tree takes no more writes.
        """
        with self.lock:
            self.check_writable()
            self.readers.settle()
            try:
                self.long_work.step()
            except (OSError, Corruption, ForeignFile) as error:
                self._stop_work(error, "there is no space to flush or merge tables")
            return self.has_work

    def flush(self) -> None:
        """Write everything applied so far to durable tables, now."""
        with self.lock:
            self.check_writable()
            self.freeze()
            while self.memtables.frozen:
                self.work()

    def compact(self) -> None:
        """Flush, and merge all tables now: what is hidden is removed, and its tombstones too."""
        with self.lock:
            self.flush()
            while self.long_work.compacting is not None:
                self.work()
            self.long_work.asked = full_compaction(self.tables, self.options.strategy)
            while self.has_work:
                self.work()

    def _retained(self) -> tuple[RetainedTimes, Timestamp]:
        """Return the times at which readers look, and the horizon: what a merge must keep."""
        return self.readers.keep(self.timestamp), self.horizon

    def sync_log(self, through: Position) -> None:
        """Make the log durable ``through`` there before a flush: a subclass that has a log does."""

    def _stop_work(self, error: Exception, lack: str) -> NoReturn:
        """Drop long work after ``error``, and raise it.

        If the disk was only full, everything is as before, and ``lack`` says what there was no
        space for.  After any other error the tree takes no more writes.
        """
        full = is_disk_full(error)
        self.long_work.drop(disk_full=full)
        if not full:
            self.failure = self.failure or str(error)
            raise error
        if not self._tables.manifest_unsure:
            self._tables.remove_orphans()
        if isinstance(error, DiskFull):
            raise error
        raise DiskFull(lack) from error

    @property
    def pressure(self) -> float:
        """How much long work waits: from 1 on, writers should wait for it."""
        return self.long_work.pressure

    # ── snapshots (Raft §7) ─────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return everything through :attr:`flushed`, to be sent to a member.

        Its tables are kept while the snapshot object exists.
        """
        with self.lock:
            self._check_open()
            return self._tables.snapshot()

    def install(self, stream: ByteSource | bytes) -> None:
        """Replace everything in this tree by the snapshot in ``stream``.

        Durable in this order: the tables under numbers of this tree, their directory entries, the
        manifest.  Then memory follows, and long work under way is dropped.  Open scans continue
        with what they began with; views raise ``BadInput``, for what they saw is gone.

        Raises ``Corruption`` that names :data:`~kvraft.lsm.snapshot.STREAM` for a damaged stream,
        :class:`~kvraft.errors.ForeignFile` for one of another cluster or format, and ``BadInput``
        for one that ends at or below :attr:`applied`; then nothing has changed.  Raises ``OSError``
        if the disk fails or does not return what was written, and
        :class:`~kvraft.errors.Stopped` from then on.
        """
        with self.lock:
            self.check_writable()
            contents = unpack_snapshot(
                InMemorySource(stream) if isinstance(stream, bytes) else stream, self.owner
            )
            if contents.last.index <= self.applied_index:
                what = f"a snapshot through {contents.last} holds nothing new"
                raise BadInput(f"{what}: everything through {self.applied} is applied")
            self.long_work.drop(disk_full=self.long_work.disk_full)
            self.long_work.asked = None
            self.readers.settle()  # so that files no longer read are removed with the rest
            try:
                self._follow(self._tables.install(contents))
                while self._tables.has_obsolete_files:
                    self._tables.remove_obsolete_files()
                self._tables.remove_orphans()
            except (OSError, Corruption) as error:
                self._stop_work(error, "there is no space for the tables of a snapshot")

    def _follow(self, state: ManifestState) -> None:
        """Bring memory in line with a snapshot that was installed."""
        self.memtables.clear()
        self.readers.reset()
        self.applied_index, self.applied_term = state.flushed
        self.timestamp = max(self.timestamp, state.timestamp)
        self._report(
            SnapshotInstalled(self.applied_index, tuple(info.number for info in state.tables))
        )

    def checkpoint(self, target: Disk | str | os.PathLike[str]) -> None:
        """Flush, and make a tree with the same contents in ``target``, an empty disk or directory.

        Tables are linked, not copied, where both are on one file system: that costs next to
        nothing, and neither tree ever changes a shared file.  Raises ``BadInput`` if ``target`` is
        not empty.
        """
        mine = isinstance(target, str | os.PathLike)
        with self.lock:
            self.flush()
            disk = RealDisk(target) if isinstance(target, str | os.PathLike) else target
            try:
                self.write_checkpoint(disk)
            finally:
                if mine:
                    disk.close()

    def write_checkpoint(self, target: Disk) -> None:
        """Write the files of a checkpoint to an empty disk; a subclass adds those of its log."""
        self._tables.checkpoint(target)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def version(self, key: Buffer, *, at: Timestamp | None = None) -> Version | None:
        """Return the newest version of ``key``, maybe a tombstone, ``None`` if none is known.

        With ``at`` the one that was newest at that time: see :meth:`get`.
        """
        key = as_bytes(key, "a key")
        with self.lock:
            time = self.readable_time(at)
            row = find(self.memtables.newest_first, self._tables.levels, key, time)
        return None if row is None else Version(row[1], row[2])

    def scan(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        at: Timestamp | None = None,
    ) -> Generator[KeyValue, None, None]:
        """Return an iterator over keys and values with ``start <= key < stop``, in order of keys.

        With ``prefix`` instead of bounds: over all keys that begin with it.  With ``reverse`` from
        the last key to the first.  It sees the tree as it is at this call, or was ``at`` a time,
        whatever happens until it is exhausted, closed or garbage-collected.

        Raises ``BadInput`` for invalid bounds and for a time at which versions may be gone.
        """
        start, stop = scan_bounds(start, stop, prefix)
        with self.lock:
            self._check_open()
            self.counts.scans += 1
            time = self.timestamp if at is None else self.readable_time(at)
            pairs = self._pairs(start, stop, reverse, time)
            next(pairs)  # from here on it keeps what it needs, and releases it even if abandoned
        return pairs

    def _pairs(
        self, start: bytes, stop: bytes | None, reverse: bool, at: Timestamp
    ) -> Generator[KeyValue, None, None]:
        levels, memtables = self._tables.levels, self.memtables.newest_first
        reader = self.readers.enter(at, levels)
        try:
            yield b"", b""  # consumed by scan
            found = scan(memtables, levels, start, stop, at, reverse=reverse)
            while True:
                with self.lock:
                    self._check_open()
                    pairs = next(found, None)
                if pairs is None:
                    return
                yield from reversed(pairs) if reverse else pairs
        finally:
            self.readers.leave(reader)

    def view(self, *, at: Timestamp | None = None) -> View:
        """Return a view of the tree as it is now, or was ``at`` a time; close it after use.

        What it sees is kept, in memory and on disk, until it is closed or garbage-collected.
        """
        with self.lock:
            self._check_open()
            time = self.timestamp if at is None else self.readable_time(at)
            return View(self, self.readers.enter(time))

    @property
    def horizon(self) -> Timestamp:
        """The time from which on all versions are kept; older times can be read by views only."""
        latest = max(0, self.timestamp - self.options.history)
        return max(self._tables.state.horizon, latest)

    def readable_time(self, at: Timestamp | None) -> Timestamp:
        """Return ``at``, or for ``None`` the latest time, if the tree can be read then.

        Raises ``BadInput`` if it cannot, for it is closed or versions may be gone.
        """
        with self.lock:
            self._check_open()
            if at is None:
                return MAX_TIMESTAMP
            if whole_number(at, "a time to read at", minimum=0) > self.timestamp:
                raise BadInput(f"{at} lies in the future: the newest timestamp is {self.timestamp}")
            self.readers.settle()
            if at not in self.readers.by_time and at < (since := self.horizon):
                raise BadInput(f"versions at {at} may be gone: all are there from {since} on")
            return at

    # ── what is in it ───────────────────────────────────────────────────────────────────────────

    @property
    def applied(self) -> Position:
        """The position in the log through which everything was applied."""
        return Position(self.applied_index, self.applied_term)

    @property
    def flushed(self) -> Position:
        """The last log position whose rows are all in durable tables."""
        return self._tables.state.flushed

    @property
    def memtable_full(self) -> bool:
        """Whether the memtable has reached its size and should be frozen."""
        return self.memtables.active.size >= self.options.memtable_bytes

    @property
    def immutable_memtables(self) -> int:
        """How many immutable memtables wait to be flushed."""
        return len(self.memtables.frozen)

    @property
    def memtable_rows(self) -> int:
        """How many keys the memtable holds, tombstones included."""
        return len(self.memtables.active)

    @property
    def memtable_size(self) -> int:
        """About how many bytes of table the memtable would fill."""
        return self.memtables.active.size

    @property
    def tables(self) -> tuple[TableMetadata, ...]:
        """The live tables: level 0 newest first, then each deeper level by key."""
        return self._tables.state.tables

    def stats(self, *, live: bool = False) -> Stats:
        """Return the counters and sizes; with ``live``, scan for the bytes that are alive, too."""
        with self.lock:
            self._check_open()
            alive = sum(len(key) + len(value) for key, value in self.scan()) if live else None
            return Stats.of(
                self.counts,
                self.tables,
                self._tables.cache,
                filter_bytes=sum(
                    t.bloom.m for t in self._tables.levels.tables if t.bloom is not None
                ),
                memtable_bytes=sum(memtable.size for memtable in self.memtables.newest_first),
                waiting=self.immutable_memtables,
                live_bytes=alive,
            )

    def verify(self) -> None:
        """Read every live table; raises :class:`~kvraft.errors.Corruption` at the first defect."""
        with self.lock:
            self._check_open()
            self._tables.verify()

    def close(self) -> None:
        """Refuse all further use, also by open scans and views; a scan may yield what it has read.

        What was not flushed is dropped; it is in the log.  A disk that was passed in stays open,
        for it may be shared.
        """
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self.long_work.drop()
            try:
                self._store_log_end()
            finally:
                if self.owns_disk:
                    self._disk.close()

    def record_log_end(self, log_end: Callable[[], LogEnd]) -> None:
        """Record in the manifest how far the log on the same disk is synced: see ``log_end()``.

        It is written now, at the close, and with every edit: a log that is found shorter than that
        has lost something.
        """
        self._tables.log_end = log_end
        self._store_log_end()

    def _store_log_end(self) -> None:
        """Write to the manifest how far the log is synced, unless there is no space for that."""
        if self.failure or self._tables.manifest_unsure:
            return
        try:
            self._tables.record_log_end()
        except OSError as error:
            if not is_disk_full(error):
                raise

    def disable(self, why: str) -> None:
        """Refuse all further use, for the reason ``why``, and touch nothing: for a forked child.

        It gets a new lock, for the thread that has the old one may not exist here.
        """
        self.lock = RLock()
        self.closed, self._forked = True, why
        self.long_work.drop()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that goes on by itself, also from the middle of a job, on a copied disk.

        Its lock is a new one.  Raises ``BadInput`` for a tree on a real disk (:meth:`checkpoint`).
        """
        memo[id(self.lock)] = RLock()
        copied = memo[id(self)] = object.__new__(type(self))
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied

    def __repr__(self) -> str:
        path = getattr(self._disk, "path", None)
        where = "in memory" if path is None else repr(str(path))
        if self.closed:
            return f"<{type(self).__name__} {where}, closed>"
        size = sum(info.size for info in self.tables)
        tables = f"{counted(len(self.tables), 'table')} of {counted(size, 'byte')}"
        keys = counted(self.memtable_rows, "key")
        return f"<{type(self).__name__} {where}: {keys} in the memtable, {tables}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._forked:
            raise Locked(self._forked)
        if self.closed:
            raise BadInput("the tree is closed")

    def check_writable(self) -> None:
        """Raise unless it takes writes: ``BadInput``, ``Locked``, ``ReadOnly`` or ``Stopped``."""
        self._check_open()
        if self.read_only:
            raise ReadOnly("nothing can be written: this was opened for reading only")
        if self.failure:
            raise Stopped(f"the tree stopped writing: {self.failure}")
