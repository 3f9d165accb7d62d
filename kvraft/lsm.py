"""The tree: a memtable, memtables that wait to be flushed, and tables; read as one sorted map.

::

    put, apply ─► memtable ─freeze─► immutable memtables ─flush─► level 0 ─compaction─► level 1 …
                     │                        │                      │                     │
    get, scan ◄──────┴────────────────────────┴──────────────────────┴─────────────────────┘
                                     highest timestamp wins

The tree has no log of its own.  Whoever applies rows names the position in *their* log after which
the rows hold; after a crash they apply again whatever lies above :attr:`Tree.flushed`.  In kvraft
that log is Raft's, and applying stops at complete transactions.  Used alone, :meth:`Tree.put` and
its like count positions and timestamps by themselves, and what they write is durable once it is
flushed; :class:`kvraft.store.Store` is a tree that owns a log.

Flushes and compactions are long work, done in slices (:meth:`Tree.work`) by whoever has time; the
tree has no thread of its own.  Used alone, each write pays for a share of it.

Many threads may use one tree: each call, each slice of work and each piece of a scan is done under
one lock.  :meth:`Tree.flush` and :meth:`Tree.compact` hold it to their end; who wants others to go
on meanwhile calls :meth:`Tree.work` again and again.  An iterator is for one thread at a time, as
any in Python.  A tree belongs to the process that opened it (``disk.py``).

Invariants:

- Reads see every applied row; of the versions of a key the one with the highest timestamp.  Scans
  and views see the tree as it was when they began, whatever happens meanwhile (``readers.py``).
- On disk is the tree as it was at one position of the log, ``flushed``: never a mixture.
- How tables change, and that a crash leaves the old ones or the new, is told in ``tables.py``.
- A disk that is full stops long work until there is space; nothing is lost.  After any other disk
  error the tree serves reads and never writes again: it must be reopened.

>>> import tempfile
>>> directory = tempfile.TemporaryDirectory()
>>> tree = Tree.open(directory.name)
>>> tree.put(b"a", b"1")
>>> tree.put(b"b", b"2")
>>> with tree.view() as before:
...     tree.delete(b"a")
...     tree.get(b"a"), before.get(b"a")
(None, b'1')
>>> tree.flush()
>>> tree.close()
>>> tree = Tree.open(directory.name)
>>> list(tree.scan()), tree.flushed
([(b'b', b'2')], Position(index=3, term=0))
>>> tree.close(); directory.cleanup()

Sources: O'Neil et al., *The Log-Structured Merge-Tree*, 1996; LevelDB impl.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import NamedTuple, Self

from kvraft.batch import WriteBatch, as_value
from kvraft.compaction import Task, everything
from kvraft.disk import Disk, RealDisk, belongs_here, is_full
from kvraft.display import counted
from kvraft.errors import BadInput, Damage, DiskFull, Foreign, Locked, ReadOnly, Stopped
from kvraft.events import Installed, MemtableFrozen, Report, TreeOpened, ignore
from kvraft.inputs import instance, whole
from kvraft.levels import Levels
from kvraft.manifest import State
from kvraft.mapping import Readable, bounds
from kvraft.memtable import UNPINNED, Memtable, check_range, check_row
from kvraft.merge import Keep, merge, visible
from kvraft.options import TreeOptions
from kvraft.ranges import NONE, Ranges
from kvraft.readers import Reader, Readers
from kvraft.readonly import opened
from kvraft.record import (
    MAX_TIMESTAMP,
    MAX_VALUE_BYTES,
    Buffer,
    LogEnd,
    Pair,
    Position,
    Row,
    Timestamp,
    Version,
    as_bytes,
)
from kvraft.snapshot import InMemory, Source, TreeSnapshot, unpack
from kvraft.stats import Counts, Stats
from kvraft.tableinfo import TableInfo
from kvraft.tables import Job, Tables
from kvraft.view import View

_SLICES_BEYOND, _MOST_SLICES = 16, 64  # of long work in one write, see Tree._pay

__all__ = ["Tree", "TreeOptions", "View"]


class _Immutable(NamedTuple):
    """A frozen memtable, and the log position whose rows it ends with."""

    memtable: Memtable
    through: Position


class Tree(Readable):
    """A log-structured merge-tree on one disk, which it may share with the log.

    ``timestamp`` is the highest one ever applied, ``counts`` what was counted since it was opened;
    ``read_only`` says that it takes no writes.
    """

    def __init__(
        self,
        disk: Disk,
        owner: str,
        options: TreeOptions,
        report: Report = ignore,
        clock: Callable[[], float] | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        """Open what is on ``disk``: use :meth:`open`."""
        self.read_only = read_only
        self.options = options
        self.counts = Counts()
        self._disk = disk
        self._lock = RLock()
        self._disk_is_mine = False
        self._owner = owner
        self._report = report
        self._clock = clock
        self._tables = Tables(disk, owner, options, report, self.counts, read_only=read_only)
        self.timestamp: Timestamp = self._tables.state.timestamp
        self._index, self._term = self._tables.state.flushed
        self._immutables: list[_Immutable] = []  # oldest first
        self._begin_memtable()
        self.readers = Readers()
        self._pinned: Timestamp = MAX_TIMESTAMP if options.history else UNPINNED
        self._flushing: Job | None = None
        self._compacting: Job | None = None
        self._due: Task | None = None  # asked for by compact()
        self._pay_at = options.memtable_bytes  # bytes written to the memtable till a writer works
        self._full = False  # whether long work found no space, and has not come to an end since
        # Why nothing more will be written:
        self._failure = "it was opened for reading only" if read_only else ""
        self._closed = False
        if not self._tables.unsure:  # or else what counts is first written down, by work()
            self._tables.remove_unknown()
        self._forked = ""  # why this process may not use it, if it is the child of one that may
        belongs_here(self, disk)

    @classmethod
    def open(
        cls,
        where: Disk | str | os.PathLike[str],
        *,
        owner: str = "",
        options: TreeOptions | None = None,
        report: Report = ignore,
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
    ) -> Self:
        """Open the tree on a disk or in a directory, a new one if there is none, as last flushed.

        ``owner`` names whose tree it is; files of another owner are refused.  ``clock`` returns
        seconds, to tell how long writers were stalled.

        With ``read_only`` it takes no writes (:class:`~kvraft.errors.ReadOnly`), and nothing is
        written to the disk, not even to tidy up after a crash.  A directory must exist then; it may
        be written by another process meanwhile, for it is read as it was at one moment
        (``readonly.py``).  Later reads see that moment, too, or raise
        :class:`~kvraft.errors.Changed` if a table is gone that could not be held open.

        Removes tables that a crash left unfinished and no other file.  Raises
        :class:`~kvraft.errors.Damage` and :class:`~kvraft.errors.Foreign` rather than open a tree
        that lacks anything; data blocks are checked when they are read.
        """
        options = TreeOptions() if options is None else instance(options, TreeOptions, "options")
        tree = opened(
            where,
            lambda disk: cls(disk, owner, options, report, clock, read_only=read_only),
            read_only=read_only,
        )
        tree._disk_is_mine = isinstance(where, str | os.PathLike)
        infos = tree.tables
        numbers, levels = [t.number for t in infos], [t.level for t in infos]
        report(TreeOpened(tuple(numbers), tuple(levels), tuple(t.size for t in infos)))
        return tree

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def put(self, key: Buffer, value: Buffer) -> None:
        """Let ``key`` hold ``value``.

        This and the other writes below raise ``BadInput`` for what cannot be written, what
        :meth:`work` does if this write has to pay for a slice of it, and
        :class:`~kvraft.errors.Stopped` once a disk error stopped the tree.  Where they raise,
        nothing is written.
        """
        if type(key) is not bytes:
            key = as_bytes(key, "a key")
        if type(value) is not bytes:
            value = as_value(value)
        with self._lock:
            if self._closed or self._failure or len(key) > 65536 or len(value) > MAX_VALUE_BYTES:
                self._check_writable()
                check_row((key, 0, value))
            if self._memtable.written >= self._pay_at:
                self._pay()
            self.timestamp = timestamp = self.timestamp + 1
            self._index += 1
            self._memtable.put((key, timestamp, value), self._pinned)
            counts = self.counts
            counts.rows_put += 1
            counts.bytes_put += len(key) + len(value)

    def delete(self, key: Buffer) -> None:
        """Let ``key`` hold nothing."""
        self.write(WriteBatch().delete(key))

    def delete_range(self, start: Buffer, stop: Buffer | None = None) -> None:
        """Delete all keys from ``start`` on and below ``stop``, however many; ``None``: no end."""
        self.write(WriteBatch().delete_range(start, stop))

    def write(self, batch: WriteBatch) -> None:
        """Let all writes of ``batch`` take effect, or where this raises, none."""
        with self._lock:
            instance(batch, WriteBatch, "a batch")
            self._check_writable()
            if batch.writes:
                self._pay()
                rows, ranges = batch.rows(self.timestamp + 1)
                position = Position(self._index + len(rows) + len(ranges), self._term)
                self._take(rows, ranges, position)

    def __setitem__(self, key: Buffer, value: Buffer) -> None:
        """Let ``key`` hold ``value``: see :meth:`put`."""
        self.put(key, value)

    def __delitem__(self, key: Buffer) -> None:
        """Let ``key`` hold nothing; ``KeyError`` if it holds none (:meth:`delete` never looks)."""
        with self._lock:
            if key not in self:
                raise KeyError(key)
            self.delete(key)

    @contextmanager
    def batch(self) -> Iterator[WriteBatch]:
        """Return a ``with`` statement's empty batch, which is written at its end: all or nothing.

        If what is inside raises, nothing is written.

        >>> from kvraft.sim.disk import SimDisk
        >>> tree = Tree.open(SimDisk())
        >>> with tree.batch() as batch:
        ...     _ = batch.put(b"a", b"1").put(b"b", b"2")
        >>> dict(tree.items())
        {b'a': b'1', b'b': b'2'}
        """
        batch = WriteBatch()
        yield batch
        self.write(batch)

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
                check_range(row)
            instance(position, Position, "a position in the log")
            if position.index <= self._index:
                raise BadInput(f"position {position} is not above {self.applied}, applied before")
            self._take(rows, ranges, position)

    def _take(self, rows: list[Row], ranges: list[Row], position: Position) -> None:
        for row in ranges:
            self._memtable.delete_range(row, self._pinned)
        self._memtable.update(rows, self._pinned)
        self._index, self._term = position
        self.timestamp = max(self.timestamp, self._memtable.timestamp)
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
            before = self._immutables[-1].through if self._immutables else self.flushed
            if self.applied == before:
                return
            frozen = self._memtable
            self._immutables.append(_Immutable(frozen, self.applied))
            self._begin_memtable()
            self._report(MemtableFrozen(len(frozen), frozen.size, self._index))

    def _begin_memtable(self) -> None:
        self._memtable = Memtable()
        frozen = (each.memtable for each in reversed(self._immutables))
        self._memtables = (self._memtable, *frozen)  # newest first

    @property
    def has_work(self) -> bool:
        """Whether :meth:`work` has anything to do."""
        with self._lock:
            if self._failure or self._closed:
                return False
            self._settle()
            if self._flushing is not None or self._compacting is not None or self._immutables:
                return True
            return (self._due or self._tables.task) is not None or self._tables.untidy

    def work(self) -> bool:
        """Do one slice of long work; return whether there is more.

        A flush goes before a compaction.  Raises ``OSError`` if the disk fails or does not
        give back what was written.  A full disk leaves everything as it was before the job, to be
        begun again; after anything else the tree writes no more.
        """
        with self._lock:
            self._check_writable()
            self._settle()
            job = self._job()
            try:
                if job is None:
                    self._tables.tidy()
                else:
                    self.counts.slices += 1
                    if next(job, self) is self:
                        self._finish(job)
            except (OSError, Damage, Foreign) as error:
                self._abandon(error)
                if self._full and not isinstance(error, DiskFull):
                    raise DiskFull("there is no space to flush or merge tables") from error
                raise
            self._full = self._full and self.has_work
            return self.has_work

    def flush(self) -> None:
        """Write everything applied so far to durable tables, now."""
        with self._lock:
            self._check_writable()
            self.freeze()
            while self._immutables:
                self.work()

    def compact(self) -> None:
        """Flush, and merge all tables for good, now: what is hidden goes, and its tombstones."""
        with self._lock:
            self.flush()
            while self._compacting is not None:
                self.work()
            self._due = everything(self.tables, self.options.strategy)
            while self.has_work:
                self.work()

    def _job(self) -> Job | None:
        """Return the job to go on with, begun if need be; ``None`` if there is only tidying."""
        if self._tables.unsure:
            return None
        if self._flushing is None and self._immutables:
            memtable, through = self._immutables[0]
            self._secure(through)
            self._flushing = self._tables.flush(memtable, through, self._keep(), self.horizon)
        if self._flushing is not None:
            return self._flushing
        task = self._due or self._tables.task
        if self._compacting is None and task is not None and not self._tables.untidy:
            self._due = None
            self._compacting = self._tables.compact(task, self._keep(), self.horizon)
        return self._compacting

    def _finish(self, job: Job) -> None:
        """Let memory follow a job that came to its end."""
        if job is self._flushing:
            del self._immutables[0]
            self._memtables = self._memtables[:-1]
            self._flushing = None
        else:
            self._compacting = None
        self._full = False

    def _secure(self, through: Position) -> None:
        """See to it that the tables do not get ahead of the log: who has one does."""

    def _abandon(self, error: Exception) -> None:
        """Give up long work after ``error``; unless the disk was only full, give up writing."""
        self._flushing = self._compacting = None
        self._full = is_full(error)
        if not self._full:
            self._failure = self._failure or str(error)
        elif not self._tables.unsure:
            self._tables.remove_unknown()

    # ── a writer's share of it ──────────────────────────────────────────────────────────────────

    def _pay(self) -> None:
        """Do a share of long work, larger the more of it waits: so it always comes to an end.

        Before a write, so that where the disk fails the write can be refused.  Normally one slice
        for every few KiB written.  When too much waits, every write does one,
        and more of them the further it is beyond the limit, up to a bound.
        """
        if self._should_freeze():
            self.freeze()
        written = self._memtable.written
        room = max(0, self.options.memtable_bytes - self._memtable.size)
        if self.has_work:
            self._pay_at = 0  # should it fail, the next write has to try again
            pressure = self.pressure
            if pressure >= 1:
                self._stall()
            else:
                self.work()
            step = 4096 if pressure < 0.5 else 1024 if pressure < 1 else 0
            self._pay_at = written + min(room, step)
        else:
            self._pay_at = written + room

    def _should_freeze(self) -> bool:
        """Whether the memtable has to make room for another one."""
        return self.full

    def _stall(self) -> None:
        began = self._clock() if self._clock else 0.0
        beyond = self.pressure - 1
        for _ in range(min(1 + int(_SLICES_BEYOND * beyond), _MOST_SLICES)):
            self.counts.stall_slices += 1
            if not self.work():
                break
        self.counts.stalls += 1
        self.counts.stall_seconds += self._clock() - began if self._clock else 0.0
        while self._full:  # once there is space this write is the last to wait: it sees to that
            self.work()

    @property
    def pressure(self) -> float:
        """How much long work waits: from 1 on writers should be held back."""
        waiting = len(self._immutables) / self.options.stall_memtables
        if self._compacting is None and self._tables.task is None:
            return waiting  # however many tables there are, nobody will make them fewer
        return max(waiting, len(self._tables.levels.unsorted) / self.options.stall_tables)

    # ── snapshots (Raft §7) ─────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return what is on disk, everything through :attr:`flushed`, to be sent to a member.

        Its tables stay for as long as the snapshot is held.
        """
        with self._lock:
            self._check_open()
            return self._tables.snapshot()

    def install(self, stream: Source | bytes) -> None:
        """Let the snapshot in ``stream`` take the place of all that this tree holds.

        Durable in this order: the tables under numbers of this tree, their directory entries, the
        manifest.  Then memory follows, and long work under way is abandoned.  Open scans go on with
        what they have; what views saw is gone, and they say so.

        Nothing is written and nothing changes where this raises ``Damage`` that names
        :data:`~kvraft.snapshot.STREAM` or :class:`~kvraft.errors.Foreign` for a stream that cannot
        be meant, or ``BadInput`` for one that reaches no further than :attr:`applied`.  Raises
        ``OSError`` if the disk fails or does not give back what was written, and
        :class:`~kvraft.errors.Stopped` from then on.
        """
        with self._lock:
            self._check_writable()
            contents = unpack(
                InMemory(stream) if isinstance(stream, bytes) else stream, self._owner
            )
            if contents.last.index <= self._index:
                what = f"a snapshot through {contents.last} holds nothing new"
                raise BadInput(f"{what}: everything through {self.applied} is applied")
            self._flushing = self._compacting = self._due = None
            self._settle()  # a file that nobody reads any more goes with the rest
            try:
                self._follow(self._tables.install(contents))
                self._tables.tidy()
                self._tables.remove_unknown()
            except (OSError, Damage) as error:
                self._abandon(error)
                if self._full and not isinstance(error, DiskFull):
                    raise DiskFull("there is no space for the tables of a snapshot") from error
                raise

    def _follow(self, state: State) -> None:
        """Let memory follow a snapshot that was installed."""
        self._immutables = []
        self._begin_memtable()
        self.readers.forget()
        self._pinned = MAX_TIMESTAMP if self.options.history else UNPINNED
        self._index, self._term = state.flushed
        self.timestamp = max(self.timestamp, state.timestamp)
        self._report(Installed(self._index, tuple(info.number for info in state.tables)))

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
            row, deleted = self._find(key, MAX_TIMESTAMP if at is None else self._time(at))
        if row is None or row[1] < deleted or row[2] is None:
            return default
        return row[2]

    def version(self, key: Buffer, *, at: Timestamp | None = None) -> Version | None:
        """Return the newest version of ``key``, maybe a tombstone, ``None`` if none is known.

        With ``at`` the one that was newest at that time: see :meth:`get`.
        """
        key = as_bytes(key, "a key")
        with self._lock:
            self._check_open()
            row, deleted = self._find(key, MAX_TIMESTAMP if at is None else self._time(at))
        if row is not None and row[1] >= deleted:
            return Version(row[1], row[2])
        return Version(deleted, None) if deleted != NONE else None

    def _find(self, key: bytes, at: Timestamp) -> tuple[Row | None, Timestamp]:
        """Return the newest row of ``key`` at a time, and when it was last deleted by a range."""
        best: Row | None = None
        newest = deleted = NONE  # newest is the higher of that of best and deleted
        for memtable in self._memtables:
            row = memtable.get(key, at)
            if row is not None and row[1] > newest:
                best, newest = row, row[1]
            if memtable.ranges is not None:
                deleted = max(deleted, memtable.ranges.newest(key, at))
                newest = max(newest, deleted)
        levels = self._tables.levels
        if levels.newest <= newest:
            return best, deleted
        for table in levels.candidates(key):
            # Once a version is found, older tables rarely have a chance.
            if table.info.max_timestamp > newest:
                row = table.get(key, at)
                if row is not None and row[1] > newest:
                    best, newest = row, row[1]
                if table.ranges is not None:
                    deleted = max(deleted, table.ranges.newest(key, at))
                    newest = max(newest, deleted)
        return best, deleted

    def scan(
        self,
        start: Buffer = b"",
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        reverse: bool = False,
        at: Timestamp | None = None,
    ) -> Generator[Pair, None, None]:
        """Return an iterator over keys and values with ``start <= key < stop``, in order of keys.

        With ``prefix`` instead of bounds: over all keys that begin with it.  With ``reverse`` from
        the last key to the first.  It sees the tree as it is at this call, or was ``at`` a time,
        whatever happens until it is exhausted, closed or forgotten.

        Raises ``BadInput`` for bounds that make no sense and for a time whose versions may be gone.
        """
        start, stop = bounds(start, stop, prefix)
        with self._lock:
            self._check_open()
            self.counts.scans += 1
            time = self.timestamp if at is None else self._time(at)
            pairs = self._pairs(start, stop, reverse, time)
            next(pairs)  # from here on it holds what it needs, and lets go of it even if abandoned
        return pairs

    def _pairs(
        self, start: bytes, stop: bytes | None, reverse: bool, at: Timestamp
    ) -> Generator[Pair, None, None]:
        levels, memtables = self._tables.levels, self._memtables
        reader = self._enter(at, levels)
        try:
            yield b"", b""  # taken by scan
            found = self._found(levels, memtables, start, stop, at, reverse)
            while True:
                with self._lock:
                    self._check_open()
                    pairs = next(found, None)
                if pairs is None:
                    return
                yield from reversed(pairs) if reverse else pairs
        finally:
            self.readers.leave(reader)

    def _found(
        self,
        levels: Levels,
        memtables: Sequence[Memtable],
        start: bytes,
        stop: bytes | None,
        at: Timestamp,
        reverse: bool,
    ) -> Iterator[list[Pair]]:
        """Yield keys and values, some at a time; each list in ascending order."""
        runs = levels.runs(start, stop)
        memtables = [memtable for memtable in memtables if memtable]
        if not memtables and len(runs) == 1 and runs[0].plain and levels.newest <= at:
            # Nothing to reconcile, nothing to hide: blocks are handed out as they are.
            for block in runs[0].blocks_from(start, stop, reverse=reverse):
                yield block.pairs(start, stop)
            return
        chunks = [run.chunks(start, stop, reverse=reverse) for run in (*memtables, *runs)]
        ranges = _ranges(levels, memtables, start, stop)
        for chunk in merge(chunks, reverse=reverse):
            yield visible(chunk, at, ranges)

    def view(self, *, at: Timestamp | None = None) -> View:
        """Return a view of the tree as it is now, or was ``at`` a time; close it after use.

        What it sees stays, in memory and on disk, until it is closed or forgotten.
        """
        with self._lock:
            self._check_open()
            return View(self, self._enter(self.timestamp if at is None else self._time(at)))

    @property
    def horizon(self) -> Timestamp:
        """The time from which on all versions are there; before it only views can look."""
        latest = max(0, self.timestamp - self.options.history)
        return max(self._tables.state.horizon, latest)

    def _time(self, at: Timestamp) -> Timestamp:
        """Return ``at`` if it can be read at, else raise ``BadInput``."""
        if whole(at, "a time to read at", least=0) > self.timestamp:
            raise BadInput(f"{at} lies in the future: the newest timestamp is {self.timestamp}")
        self._settle()
        if at < self.horizon and at not in self.readers.pins:
            raise BadInput(f"versions at {at} may be gone: all are there from {self.horizon} on")
        return at

    def _keep(self) -> Keep:
        """Return who can read the past, to be asked before versions are dropped."""
        self._settle()
        history = self.options.history
        floor = max(0, self.timestamp - history) if history else MAX_TIMESTAMP
        return Keep(tuple(sorted(self.readers.pins)), floor)

    def _enter(self, at: Timestamp, levels: Levels | None = None) -> Reader:
        self._settle()
        self._pinned = max(self._pinned, at)
        return self.readers.enter(at, levels)

    def _settle(self) -> None:
        """Take note of the readers who left."""
        if self.readers.settle() and not self.options.history:
            self._pinned = max(self.readers.pins, default=UNPINNED)

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
    def full(self) -> bool:
        """Whether the memtable has reached its size and should be frozen."""
        return self._memtable.size >= self.options.memtable_bytes

    @property
    def waiting(self) -> int:
        """How many immutable memtables wait to be flushed."""
        return len(self._immutables)

    @property
    def memtable_rows(self) -> int:
        """How many keys the memtable holds, tombstones included."""
        return len(self._memtable)

    @property
    def memtable_size(self) -> int:
        """About how many bytes of table the memtable would fill."""
        return self._memtable.size

    @property
    def tables(self) -> tuple[TableInfo, ...]:
        """The live tables: level 0 newest first, then each deeper level by key."""
        return self._tables.state.tables

    def stats(self, *, live: bool = False) -> Stats:
        """Return what was counted, and what there is; with ``live``, scan to see what is alive."""
        with self._lock:
            self._check_open()
            infos = self.tables
            depth = max((info.level for info in infos), default=-1) + 1
            levels = [[info for info in infos if info.level == level] for level in range(depth)]
            counts, cache = replace(self.counts), self._tables.cache
            alive = sum(len(key) + len(value) for key, value in self.scan()) if live else None
            return Stats(
                counts,
                tables=tuple(len(level) for level in levels),
                table_bytes=tuple(sum(info.size for info in level) for level in levels),
                rows=sum(info.rows for info in infos),
                memtable_bytes=sum(memtable.size for memtable in self._memtables),
                waiting=self.waiting,
                cache_bytes=cache.size,
                cache_hits=cache.hits,
                cache_misses=cache.misses,
                live_bytes=alive,
            )

    def verify(self) -> None:
        """Read every live table; raises :class:`~kvraft.errors.Damage` at the first defect."""
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
            self._flushing = self._compacting = None
            try:
                self._vouch_for_log()
            finally:
                if self._disk_is_mine:
                    self._disk.close()

    def follow_log(self, log_end: Callable[[], LogEnd]) -> None:
        """Keep in the manifest how far the log on the same disk is synced, as ``log_end`` says.

        It is written down now, at the close, and with whatever else is: a log that is shorter than
        that one day has lost something.
        """
        self._tables.log_end = log_end
        self._vouch_for_log()

    def _vouch_for_log(self) -> None:
        """Write down how far the log is synced, unless there is no space for that now."""
        if self._failure or self._tables.unsure:
            return
        try:
            self._tables.vouch_for_log()
        except OSError as error:
            if not is_full(error):
                raise

    def disown(self, why: str) -> None:
        """Refuse all further use, and touch nothing: called in the child of a fork (``disk.py``).

        The lock is a new one, for the thread that held the old one may not exist here.
        """
        self._lock = RLock()
        self._closed, self._forked = True, why
        self._flushing = self._compacting = None

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


def _ranges(
    levels: Levels, memtables: Sequence[Memtable], start: bytes, stop: bytes | None
) -> Ranges | None:
    """Return all range deletes in a range of keys, ``None`` if there are none."""
    rows: list[Row] = levels.range_rows(start, stop) if levels.ranged else []
    for memtable in memtables:
        if memtable.ranges is not None:
            rows += memtable.ranges.rows(start, stop or b"")
    return Ranges(rows) if rows else None
