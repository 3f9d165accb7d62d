"""The storage engine: memtables and tables, read as one sorted map.

::

    apply ─► memtable ─freeze─► immutable memtables ─flush─► level 0 ─compaction─► level 1 …
                 │                        │                      │                     │
    get, scan ◄──┴────────────────────────┴──────────────────────┴─────────────────────┘
                                 highest timestamp wins

The engine has no log of its own.  Whoever applies rows names the position in *their* log after
which the rows hold; after a crash they apply again whatever lies above ``flushed``.  In kvraft that
log is Raft's, and applying stops at complete transactions.

Flushes and compactions are long work, done in slices (``work``) by whoever has time.

Many threads may use one engine: each call, each slice of work and each piece of a scan is done
under one lock.  ``flush`` and ``compact`` hold it to their end; who wants others to go on meanwhile
calls ``work`` again and again.  An iterator is for one thread at a time, as any in Python.  An
engine belongs to the process that opened it (``disk/real.py``).

Invariants:

- Reads see every applied row; of the versions of a key the one with the highest timestamp.  Scans
  and views see the tree as it was when they began, whatever happens meanwhile (``lsm/readers.py``).
- On disk is the tree as it was at one position of the log, ``flushed``: never a mixture.
- How tables change, and that a crash leaves the old ones or the new, is told in
  ``lsm/versions.py``.
- A disk that is full stops long work until there is space; nothing is lost.  After any other disk
  error the tree serves reads and never writes again: it must be reopened.

Sources: O'Neil et al., *The Log-Structured Merge-Tree*, 1996; LevelDB impl.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from threading import RLock
from typing import NoReturn, Self

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
from kvraft.lsm.reading import find, scan
from kvraft.lsm.snapshot import ByteSource, InMemorySource, TreeSnapshot, unpack_snapshot
from kvraft.lsm.stats import Stats, TreeCounters
from kvraft.lsm.version_edit import State
from kvraft.lsm.versions import VersionSet
from kvraft.lsm.view import View
from kvraft.mapping import ReadableMapping, scan_bounds
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


class StorageEngine(ReadableMapping):
    """A log-structured merge-tree on one disk, which it may share with the log.

    ``timestamp`` is the highest one ever applied, ``counts`` what was counted since it was opened;
    ``read_only`` says that it takes no writes.
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
        self.counts = TreeCounters()
        self._disk = disk
        self._lock = RLock()
        self._disk_is_mine = False
        self._owner = owner
        self._report = report
        self._tables = VersionSet(disk, owner, options, report, self.counts, read_only=read_only)
        self.timestamp: Timestamp = self._tables.state.timestamp
        self._index, self._term = self._tables.state.flushed
        self._memtables = Memtables()
        self.readers = Readers(options.history)
        self._work = LongWork(
            self._tables, self._memtables, options, self.counts, self._past, self._secure
        )
        # Why nothing more will be written:
        self._failure = "it was opened for reading only" if read_only else ""
        self._closed = False
        if not self._tables.manifest_unsure:  # or else what counts is first written down, by work()
            self._tables.remove_orphans()
        self._forked = ""  # why this process may not use it, if it is the child of one that may
        refuse_after_fork(self, disk)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def apply(self, rows: Iterable[Row], position: Position, ranges: Iterable[Row] = ()) -> None:
        """Take in the rows of one complete transaction, or none, as of ``position`` in a log.

        ``ranges`` are range deletes: start, timestamp, stop.  All or, where ``BadInput`` is raised
        for a bad row, none.  Positions must grow.  Timestamps should: what is applied with one not
        above that of an open view is seen by it, and what a delete hid whose tombstone is gone
        already would come back.
        """
        with self._lock:
            self._check_open()
            rows, ranges = list(rows), list(ranges)
            for row in rows:
                check_row(row)
            for row in ranges:
                check_range_tombstone(row)
            instance(position, Position, "a position in the log")
            if position.index <= self._index:
                raise BadInput(f"position {position} is not above {self.applied}, applied before")
            self._take(rows, ranges, position)

    def _take(self, rows: list[Row], ranges: list[Row], position: Position) -> None:
        for row in ranges:
            self._memtables.active.delete_range(row, self.readers.pinned)
        self._memtables.active.update(rows, self.readers.pinned)
        self._index, self._term = position
        self.timestamp = max(self.timestamp, self._memtables.active.timestamp)
        counts = self.counts
        counts.rows_put += len(rows) + len(ranges)
        counts.bytes_put += sum(len(key) + len(value or b"") for key, _, value in rows)

    # ── long work ───────────────────────────────────────────────────────────────────────────────

    def freeze(self) -> None:
        """Let the memtable take no more writes: it waits to be flushed, a new one takes its place.

        One without rows is frozen too if the applied mark has moved, so that transactions which
        wrote nothing do not hold on to the log.  If nothing was applied since, nothing happens.
        """
        with self._lock:
            self._check_open()
            waiting = self._memtables.frozen
            before = waiting[-1].through if waiting else self.flushed
            if self.applied == before:
                return
            frozen = self._memtables.freeze(self.applied)
            self._report(MemtableFrozen(len(frozen), frozen.size, self._index))

    @property
    def has_work(self) -> bool:
        """Whether :meth:`work` has anything to do."""
        with self._lock:
            if self._failure or self._closed:
                return False
            self.readers.settle()
            return self._work.waits

    def work(self) -> bool:
        """Do one slice of long work; return whether there is more.

        A flush goes before a compaction.  Raises ``OSError`` if the disk fails or does not
        give back what was written.  A full disk leaves everything as it was before the job, to be
        begun again; after anything else the tree writes no more.
        """
        with self._lock:
            self._check_writable()
            self.readers.settle()
            try:
                self._work.step()
            except (OSError, Corruption, ForeignFile) as error:
                self._give_up(error, "there is no space to flush or merge tables")
            return self.has_work

    def flush(self) -> None:
        """Write everything applied so far to durable tables, now."""
        with self._lock:
            self._check_writable()
            self.freeze()
            while self._memtables.frozen:
                self.work()

    def compact(self) -> None:
        """Flush, and merge all tables for good, now: what is hidden goes, and its tombstones."""
        with self._lock:
            self.flush()
            while self._work.compacting is not None:
                self.work()
            self._work.asked = full_compaction(self.tables, self.options.strategy)
            while self.has_work:
                self.work()

    def _past(self) -> tuple[RetainedTimes, Timestamp]:
        """Return who can read the past, and the horizon: what a merge may drop depends on both."""
        return self.readers.keep(self.timestamp), self.horizon

    def _secure(self, through: Position) -> None:
        """See to it that the tables do not get ahead of the log: who has one does."""

    def _give_up(self, error: Exception, lack: str) -> NoReturn:
        """Give up long work after ``error``, and raise it.

        If the disk was only full, all is as before, and ``lack`` says what there was no space for.
        After anything else nothing is written any more.
        """
        full = is_disk_full(error)
        self._work.drop(full=full)
        if not full:
            self._failure = self._failure or str(error)
            raise error
        if not self._tables.manifest_unsure:
            self._tables.remove_orphans()
        if isinstance(error, DiskFull):
            raise error
        raise DiskFull(lack) from error

    @property
    def pressure(self) -> float:
        """How much long work waits: from 1 on writers should be held back."""
        return self._work.pressure

    # ── snapshots (Raft §7) ─────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return what is on disk, everything through :attr:`flushed`, to be sent to a member.

        Its tables stay for as long as the snapshot is held.
        """
        with self._lock:
            self._check_open()
            return self._tables.snapshot()

    def install(self, stream: ByteSource | bytes) -> None:
        """Let the snapshot in ``stream`` take the place of all that this tree holds.

        Durable in this order: the tables under numbers of this tree, their directory entries, the
        manifest.  Then memory follows, and long work under way is abandoned.  Open scans go on with
        what they have; what views saw is gone, and they say so.

        Nothing is written and nothing changes where this raises ``Corruption`` that names
        :data:`~kvraft.lsm.snapshot.STREAM` or :class:`~kvraft.errors.ForeignFile` for a stream that
        cannot be meant, or ``BadInput`` for one that reaches no further than :attr:`applied`.
        Raises ``OSError`` if the disk fails or does not give back what was written, and
        :class:`~kvraft.errors.Stopped` from then on.
        """
        with self._lock:
            self._check_writable()
            contents = unpack_snapshot(
                InMemorySource(stream) if isinstance(stream, bytes) else stream, self._owner
            )
            if contents.last.index <= self._index:
                what = f"a snapshot through {contents.last} holds nothing new"
                raise BadInput(f"{what}: everything through {self.applied} is applied")
            self._work.drop(full=self._work.full)
            self._work.asked = None
            self.readers.settle()  # a file that nobody reads any more goes with the rest
            try:
                self._follow(self._tables.install(contents))
                self._tables.remove_obsolete_files()
                self._tables.remove_orphans()
            except (OSError, Corruption) as error:
                self._give_up(error, "there is no space for the tables of a snapshot")

    def _follow(self, state: State) -> None:
        """Let memory follow a snapshot that was installed."""
        self._memtables.clear()
        self.readers.reset()
        self._index, self._term = state.flushed
        self.timestamp = max(self.timestamp, state.timestamp)
        self._report(SnapshotInstalled(self._index, tuple(info.number for info in state.tables)))

    def checkpoint(self, target: Disk | str | os.PathLike[str]) -> None:
        """Flush, and make of the empty disk or directory ``target`` a tree with the same contents.

        Tables are linked, not copied, where both are on one file system: it costs next to nothing,
        and neither tree ever changes what they share.  Raises ``BadInput`` if ``target`` holds
        anything.
        """
        mine = isinstance(target, str | os.PathLike)
        with self._lock:
            self.flush()
            disk = RealDisk(target) if isinstance(target, str | os.PathLike) else target
            try:
                self._checkpoint(disk)
            finally:
                if mine:
                    disk.close()

    def _checkpoint(self, target: Disk) -> None:
        self._tables.checkpoint(target)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def get(
        self, key: Buffer, default: bytes | None = None, *, at: Timestamp | None = None
    ) -> bytes | None:
        """Return the value of ``key``, ``default`` if it has none; as it was ``at``, if given.

        Raises ``BadInput`` for a time whose versions may be gone (:attr:`horizon`).
        """
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        with self._lock:
            if self._closed:
                self._check_open()
            self.counts.gets += 1
            time = MAX_TIMESTAMP if at is None else self._time(at)
            row = find(self._memtables.newest_first, self._tables.levels, key, time)
        return default if row is None or row[2] is None else row[2]

    def version(self, key: Buffer, *, at: Timestamp | None = None) -> Version | None:
        """Return the newest version of ``key``, maybe a tombstone, ``None`` if none is known.

        With ``at`` the one that was newest at that time: see :meth:`get`.
        """
        key = as_bytes(key, "a key")
        with self._lock:
            self._check_open()
            time = MAX_TIMESTAMP if at is None else self._time(at)
            row = find(self._memtables.newest_first, self._tables.levels, key, time)
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
        whatever happens until it is exhausted, closed or forgotten.

        Raises ``BadInput`` for bounds that make no sense and for a time whose versions may be gone.
        """
        start, stop = scan_bounds(start, stop, prefix)
        with self._lock:
            self._check_open()
            self.counts.scans += 1
            time = self.timestamp if at is None else self._time(at)
            pairs = self._pairs(start, stop, reverse, time)
            next(pairs)  # from here on it holds what it needs, and lets go of it even if abandoned
        return pairs

    def _pairs(
        self, start: bytes, stop: bytes | None, reverse: bool, at: Timestamp
    ) -> Generator[KeyValue, None, None]:
        levels, memtables = self._tables.levels, self._memtables.newest_first
        reader = self.readers.enter(at, levels)
        try:
            yield b"", b""  # taken by scan
            found = scan(memtables, levels, start, stop, at, reverse=reverse)
            while True:
                with self._lock:
                    self._check_open()
                    pairs = next(found, None)
                if pairs is None:
                    return
                yield from reversed(pairs) if reverse else pairs
        finally:
            self.readers.leave(reader)

    def view(self, *, at: Timestamp | None = None) -> View:
        """Return a view of the tree as it is now, or was ``at`` a time; close it after use.

        What it sees stays, in memory and on disk, until it is closed or forgotten.
        """
        with self._lock:
            self._check_open()
            time = self.timestamp if at is None else self._time(at)
            return View(self, self.readers.enter(time))

    @property
    def horizon(self) -> Timestamp:
        """The time from which on all versions are there; before it only views can look."""
        latest = max(0, self.timestamp - self.options.history)
        return max(self._tables.state.horizon, latest)

    def _time(self, at: Timestamp) -> Timestamp:
        """Return ``at`` if it can be read at, else raise ``BadInput``."""
        if whole_number(at, "a time to read at", minimum=0) > self.timestamp:
            raise BadInput(f"{at} lies in the future: the newest timestamp is {self.timestamp}")
        self.readers.settle()
        if at < self.horizon and at not in self.readers.by_time:
            raise BadInput(f"versions at {at} may be gone: all are there from {self.horizon} on")
        return at

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def applied(self) -> Position:
        """The position in the log through which everything was applied."""
        return Position(self._index, self._term)

    @property
    def flushed(self) -> Position:
        """The last log position whose rows are all in durable tables."""
        return self._tables.state.flushed

    @property
    def memtable_full(self) -> bool:
        """Whether the memtable has reached its size and should be frozen."""
        return self._memtables.active.size >= self.options.memtable_bytes

    @property
    def immutable_memtables(self) -> int:
        """How many immutable memtables wait to be flushed."""
        return len(self._memtables.frozen)

    @property
    def memtable_rows(self) -> int:
        """How many keys the memtable holds, tombstones included."""
        return len(self._memtables.active)

    @property
    def memtable_size(self) -> int:
        """About how many bytes of table the memtable would fill."""
        return self._memtables.active.size

    @property
    def tables(self) -> tuple[TableMetadata, ...]:
        """The live tables: level 0 newest first, then each deeper level by key."""
        return self._tables.state.tables

    def stats(self, *, live: bool = False) -> Stats:
        """Return what was counted, and what there is; with ``live``, scan to see what is alive."""
        with self._lock:
            self._check_open()
            alive = sum(len(key) + len(value) for key, value in self.scan()) if live else None
            return Stats.of(
                self.counts,
                self.tables,
                self._tables.cache,
                memtable_bytes=sum(memtable.size for memtable in self._memtables.newest_first),
                waiting=self.immutable_memtables,
                live_bytes=alive,
            )

    def verify(self) -> None:
        """Read every live table; raises :class:`~kvraft.errors.Corruption` at the first defect."""
        with self._lock:
            self._check_open()
            self._tables.verify()

    def close(self) -> None:
        """Refuse all further use, open scans and views too; a scan may hand out what it has read.

        What was not flushed is dropped; it is in the log.  A disk that was handed in stays open,
        for it may be shared.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._work.drop()
            try:
                self._vouch_for_log()
            finally:
                if self._disk_is_mine:
                    self._disk.close()

    def record_log_end(self, log_end: Callable[[], LogEnd]) -> None:
        """Keep in the manifest how far the log on the same disk is synced, as ``log_end`` says.

        It is written down now, at the close, and with whatever else is: a log that is shorter than
        that one day has lost something.
        """
        self._tables.log_end = log_end
        self._vouch_for_log()

    def _vouch_for_log(self) -> None:
        """Write down how far the log is synced, unless there is no space for that now."""
        if self._failure or self._tables.manifest_unsure:
            return
        try:
            self._tables.record_log_end()
        except OSError as error:
            if not is_disk_full(error):
                raise

    def disable(self, why: str) -> None:
        """Refuse all further use, and touch nothing: called in the child of a fork.

        The lock is a new one, for the thread that held the old one may not exist here.
        """
        self._lock = RLock()
        self._closed, self._forked = True, why
        self._work.drop()

    def __repr__(self) -> str:
        path = getattr(self._disk, "path", None)
        where = "in memory" if path is None else repr(str(path))
        if self._closed:
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
        if self._closed:
            raise BadInput("the tree is closed")

    def _check_writable(self) -> None:
        self._check_open()
        if self.read_only:
            raise ReadOnly("nothing can be written: this was opened for reading only")
        if self._failure:
            raise Stopped(f"the tree stopped writing: {self._failure}")
