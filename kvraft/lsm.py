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
tree has no thread.  Used alone, each write pays for a share of it.

Invariants:

- Reads see every applied row; of the versions of a key the one with the highest timestamp.  Scans
  and views see the tree as it was when they began, whatever happens meanwhile.
- On disk is the tree as it was at one position of the log, ``flushed``: never a mixture.
- A flush or compaction makes durable, in this order: tables, their directory entries, the manifest.
  Then memory follows, and files go that nobody reads any more.  A crash in between leaves tables
  that nobody knows of, which the next open removes.
- A snapshot of another member's tables takes the place of all there is in the same way, and with
  one edit of the manifest: a crash leaves the old tree or the new one (Raft §7).
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

import errno
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from kvraft.batch import WriteBatch
from kvraft.cache import BlockCache
from kvraft.codec import number_of
from kvraft.compaction import Levelled, Strategy, Task, compact, everything, lasting
from kvraft.disk import Disk, RealDisk
from kvraft.errors import BadInput, Damage, Foreign, Stopped
from kvraft.events import (
    Compacted,
    CompactionBegan,
    Flushed,
    Installed,
    MemtableFrozen,
    Report,
    TableRemoved,
    TableWritten,
    TreeOpened,
    ignore,
)
from kvraft.levels import Levels
from kvraft.manifest import Edit, Manifest, State
from kvraft.memtable import UNPINNED, Memtable, check_key, check_range, check_row
from kvraft.merge import Keep, Pair, merge, retain, visible
from kvraft.ranges import NONE, Ranges
from kvraft.record import MAX_TIMESTAMP, MAX_VALUE_BYTES, Position, Row, Timestamp, Version, label
from kvraft.snapshot import Contents, TreeSnapshot, unpack
from kvraft.sstable import Table
from kvraft.stats import Counts, Stats
from kvraft.tableinfo import TableInfo, table_name, table_number
from kvraft.tablewriter import Format, TableWriter, check_table


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """How a tree is kept.  Files written with other options stay good.

    ``memtable_bytes`` is the size from which a memtable is full; ``block_bytes``, ``bits_per_key``
    (0: no filter) and ``codec`` are of new tables; ``cache_bytes`` is what the block cache may
    hold.  ``history`` is how far back readers can look without a view, in units of timestamps.
    ``stall_tables`` is how many tables level 0 may have, and ``stall_memtables`` how many memtables
    may wait, before a writer has to work them off.
    """

    memtable_bytes: int = 4 << 20
    block_bytes: int = 4096
    bits_per_key: int = 10
    codec: str = "none"
    cache_bytes: int = 32 << 20
    strategy: Strategy = field(default_factory=Levelled)
    history: Timestamp = 0
    stall_tables: int = 12
    stall_memtables: int = 2

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for options that make no sense here."""
        for name in ("memtable_bytes", "block_bytes", "stall_tables", "stall_memtables"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("bits_per_key", "cache_bytes", "history"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} must not be negative, as {getattr(self, name)} is")
        number_of(self.codec)


class _Immutable(NamedTuple):
    """A frozen memtable, and the log position whose rows it ends with."""

    memtable: Memtable
    through: Position


_Job = Generator[None, None, None]


class Tree:
    """A log-structured merge-tree on one disk, which it may share with the log.

    ``timestamp`` is the highest one ever applied, ``counts`` what was counted since it was opened.
    """

    def __init__(
        self,
        disk: Disk,
        manifest: Manifest,
        owner: str,
        options: TreeOptions,
        report: Report = ignore,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Wrap an open manifest: use :meth:`open`."""
        self.options = options
        self.counts = Counts()
        self.timestamp: Timestamp = manifest.state.timestamp
        self._index, self._term = manifest.state.flushed
        self._disk = disk
        self._disk_is_mine = False
        self._manifest = manifest
        self._owner = owner
        self._form = Format(options.block_bytes, options.bits_per_key, options.codec)
        self._report = report
        self._clock = clock
        self._cache = BlockCache(options.cache_bytes)
        self._immutables: list[_Immutable] = []  # oldest first
        self._begin_memtable()
        self._levels = Levels(self._open_table(info) for info in manifest.state.tables)
        self._past: list[Levels] = []  # which some of their files outlive
        self._pins: dict[Timestamp, int] = {}  # who reads at which time
        self._pinned: Timestamp = MAX_TIMESTAMP if options.history else UNPINNED
        self._flushing: _Job | None = None
        self._compacting: _Job | None = None
        self._task = options.strategy.pick(self.tables)
        self._pay_at = options.memtable_bytes  # size of the memtable at which a writer works
        self._failure = ""  # why nothing more will be written
        self._closed = False

    @classmethod
    def open(
        cls,
        where: Disk | str | os.PathLike[str],
        *,
        owner: str = "",
        options: TreeOptions | None = None,
        report: Report = ignore,
        clock: Callable[[], float] | None = None,
    ) -> Self:
        """Open the tree on a disk or in a directory, a new one if there is none, as last flushed.

        ``owner`` names whose tree it is; files of another owner are refused.  ``clock`` returns
        seconds, to tell how long writers were stalled.

        Removes tables that a crash left unfinished and no other file.  Raises
        :class:`~kvraft.errors.Damage` and :class:`~kvraft.errors.Foreign` rather than open a tree
        that lacks anything; data blocks are checked when they are read.
        """
        options = options or TreeOptions()
        path = where if isinstance(where, str | os.PathLike) else None
        disk = RealDisk(path) if path is not None else where
        assert not isinstance(disk, str | os.PathLike)
        try:
            manifest = Manifest.open(disk, owner, report)
            tree = cls(disk, manifest, owner, options, report, clock)
            tree._levels.check()
        except BaseException:
            if path is not None:
                disk.close()
            raise
        tree._disk_is_mine = path is not None
        tree._remove_dead()
        infos = tree.tables
        numbers, levels = [t.number for t in infos], [t.level for t in infos]
        report(TreeOpened(tuple(numbers), tuple(levels), tuple(t.size for t in infos)))
        return tree

    def _open_table(self, info: TableInfo) -> Table:
        return Table.open(self._disk, info, self._cache, self.counts)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def put(self, key: bytes, value: bytes) -> None:
        """Let ``key`` hold ``value``.

        This and the other writes below raise ``BadInput`` for what cannot be written, and
        :class:`~kvraft.errors.Stopped` once a disk error stopped the tree.
        """
        if type(key) is not bytes or type(value) is not bytes or len(key) > 65536:
            WriteBatch().put(key, value)  # says what is wrong, if anything is
        if self._closed or self._failure or len(value) > MAX_VALUE_BYTES:
            self._check_writable()
            check_row((key, 0, value))
        self.timestamp = timestamp = self.timestamp + 1
        self._index += 1
        self._memtable.put((key, timestamp, value), self._pinned)
        counts = self.counts
        counts.rows_put += 1
        counts.bytes_put += len(key) + len(value)
        if self._memtable.size >= self._pay_at:
            self._pay()

    def delete(self, key: bytes) -> None:
        """Let ``key`` hold nothing."""
        self.write(WriteBatch().delete(key))

    def delete_range(self, start: bytes, stop: bytes | None = None) -> None:
        """Delete all keys from ``start`` on and below ``stop``, however many; ``None``: no end."""
        self.write(WriteBatch().delete_range(start, stop))

    def write(self, batch: WriteBatch) -> None:
        """Let all writes of ``batch`` take effect, or where this raises, none."""
        if not isinstance(batch, WriteBatch):
            raise BadInput(f"a batch is a WriteBatch, not {batch!r}")
        self._check_writable()
        if batch.writes:
            rows, ranges = batch.rows(self.timestamp + 1)
            position = Position(self._index + len(rows) + len(ranges), self._term)
            self._take(rows, ranges, position)
            self._pay()

    def apply(self, rows: Iterable[Row], position: Position, ranges: Iterable[Row] = ()) -> None:
        """Take in the rows of one complete transaction, or none, as of ``position`` in a log.

        ``ranges`` are range deletes: start, timestamp, stop.  All or, where ``BadInput`` is raised
        for a bad row, none.  Positions must grow.  Timestamps should: what is applied with one
        below that of an open view is seen by it.
        """
        self._check_open()
        rows, ranges = list(rows), list(ranges)
        for row in rows:
            check_row(row)
        for row in ranges:
            check_range(row)
        if not isinstance(position, Position):
            raise BadInput(f"a position in the log is a Position, not {position!r}")
        if position.index <= self._index:
            raise BadInput(f"position {position} is not above {self.applied}, applied before")
        self._take(rows, ranges, position)

    def _take(self, rows: list[Row], ranges: list[Row], position: Position) -> None:
        for row in ranges:
            self._memtable.delete_range(row)
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
        if self._failure or self._closed:
            return False
        under_way = self._flushing is not None or self._compacting is not None
        return under_way or bool(self._immutables or self._task or self._idle_past())

    def work(self) -> bool:
        """Do one slice of long work; return whether there is more.

        A flush goes before a compaction.  Raises ``OSError`` if the disk fails and ``Damage`` if it
        does not give back what was written.  A full disk (``ENOSPC``) leaves everything as it was
        before the job, to be begun again; after anything else the tree writes no more.
        """
        self._check_writable()
        job = self._job()
        try:
            if job is None:
                self._tidy()
            else:
                self.counts.slices += 1
                next(job, None)
        except (OSError, Damage, Foreign) as error:
            self._abandon(error)
            raise
        return self.has_work

    def flush(self) -> None:
        """Write everything applied so far to durable tables, now."""
        self._check_writable()
        self.freeze()
        while self._immutables:
            self.work()

    def compact(self) -> None:
        """Flush, and merge all tables for good, now: what is hidden goes, and its tombstones."""
        self.flush()
        while self._compacting is not None:
            self.work()
        self._task = everything(self.tables, self.options.strategy)
        while self._task is not None or self._compacting is not None or self._idle_past():
            self.work()

    def _job(self) -> _Job | None:
        if self._flushing is None and self._immutables:
            self._flushing = self._flush()
        if self._flushing is not None:
            return self._flushing
        if self._compacting is None and self._task is not None and not self._idle_past():
            self._compacting = self._compact(self._task)
        return self._compacting

    def _flush(self) -> _Job:
        memtable, through = self._immutables[0]
        keep, horizon = self._keep(), self.horizon
        writer = TableWriter(self._disk, self._manifest.take_number(), self._owner, self._form)
        for chunk in memtable.drain():
            if kept := retain(chunk, keep, memtable.ranges):
                writer.add(kept)
            yield
        ranges = lasting(memtable.ranges, keep, None) if memtable.ranges else []
        info = yield from writer.finish(ranges)
        if info is not None:
            self._report_written(info)
            self.counts.bytes_flushed += info.size
            yield
        self._secure(through)
        self.counts.flushes += 1
        add = () if info is None else (info,)
        edit = Edit(add, (), flushed=through, timestamp=memtable.timestamp, horizon=horizon)
        self._commit(edit)
        del self._immutables[0]
        self._memtables = self._memtables[:-1]
        self._flushing = None
        self._report(Flushed(through.index, info.number if info else 0))

    def _secure(self, through: Position) -> None:
        """See to it that the tables do not get ahead of the log: who has one does."""

    def _compact(self, task: Task) -> _Job:
        numbers = tuple(info.number for info in task.inputs)
        self._report(CompactionBegan(numbers, task.level))
        keep, horizon = self._keep(), self.horizon
        size = 0 if task.move else sum(info.size for info in task.inputs)
        if task.move:
            outputs, dropped = task.inputs, 0
            self.counts.tables_moved += len(outputs)
        else:
            outputs, dropped = yield from compact(
                self._disk,
                [table for table in self._levels.tables if table.info.number in numbers],
                [info for info in self.tables if info.number not in numbers],
                keep,
                self._manifest.take_number,
                owner=self._owner,
                form=self._form,
                table_bytes=task.table_bytes,
            )
            for info in outputs:
                self._report_written(info)
        written = 0 if task.move else sum(info.size for info in outputs)
        self._compacting = None
        add = tuple(replace(info, level=task.level) for info in outputs)
        self._commit(Edit(add, numbers, horizon=0 if task.move else horizon))
        counts = self.counts
        counts.compactions += 1
        counts.bytes_merged += size
        counts.bytes_compacted += written
        counts.tombstones_dropped += dropped
        made = tuple(info.number for info in add)
        self._report(Compacted(numbers, made, task.level, size, written, dropped))

    def _report_written(self, info: TableInfo) -> None:
        last = info.stop.removesuffix(b"\0")
        self._report(
            TableWritten(info.number, info.rows, info.size, label(info.start), label(last))
        )

    def _commit(self, edit: Edit) -> State:
        """Let the manifest say so, and then memory follow."""
        try:
            state = self._manifest.commit(edit)
        except OSError as error:
            self._failure = str(error)  # whatever it was: nobody knows if the edit holds
            raise
        known = {table.info.number: table for table in self._levels.tables}
        tables: list[Table] = []
        for info in state.tables:
            table = known.get(info.number)
            tables.append(table.at_level(info.level) if table else self._open_table(info))
        self._past.append(self._levels)
        self._levels = Levels(tables)
        self._task = self.options.strategy.pick(state.tables)
        return state

    def _abandon(self, error: Exception) -> None:
        """Give up long work after ``error``; unless the disk was only full, give up writing."""
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        self._flushing = self._compacting = None
        if full and not self._failure:
            self._remove_dead()
        else:
            self._failure = self._failure or str(error)

    def _idle_past(self) -> list[Levels]:
        return [levels for levels in self._past if not levels.in_use]

    def _tidy(self) -> None:
        """Remove the files of tables that are live no more and that nobody reads."""
        idle = self._idle_past()
        self._past = [levels for levels in self._past if levels.in_use]
        needed = self._levels.numbers.union(*(levels.numbers for levels in self._past))
        for number in sorted(set().union(*(levels.numbers for levels in idle)) - needed):
            self._disk.remove(table_name(number))
            self._report(TableRemoved(number))

    def _remove_dead(self) -> None:
        """Remove the tables that nobody knows of."""
        known = self._levels.numbers.union(*(levels.numbers for levels in self._past))
        for name in self._disk.names():
            number = table_number(name)
            if number is not None and number not in known:
                self._disk.remove(name)

    # ── a writer's share of it ──────────────────────────────────────────────────────────────────

    def _pay(self) -> None:
        """Do a share of long work, larger the more of it waits: so it always comes to an end.

        Normally one slice for every few KiB written.  When too much waits, every write does one: a
        slice handles many more rows than a write adds, whatever the writer does.
        """
        size, limit = self._memtable.size, self.options.memtable_bytes
        if size >= limit:
            self.freeze()
            size = 0
        if self.has_work:
            pressure = self.pressure
            if pressure >= 1:
                self._stall()
            else:
                self.work()
            step = 4096 if pressure < 0.5 else 1024 if pressure < 1 else 0
            self._pay_at = min(limit, size + step)
        else:
            self._pay_at = limit

    def _stall(self) -> None:
        began = self._clock() if self._clock else 0.0
        self.work()
        self.counts.stalls += 1
        self.counts.stall_slices += 1
        self.counts.stall_seconds += self._clock() - began if self._clock else 0.0

    @property
    def pressure(self) -> float:
        """How much long work waits: from 1 on writers should be held back."""
        options = self.options
        waiting = len(self._immutables) / options.stall_memtables
        return max(waiting, len(self._levels.unsorted) / options.stall_tables)

    # ── snapshots (Raft §7) ─────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return what is on disk, everything through :attr:`flushed`, to be sent to a member.

        Its tables stay for as long as the snapshot is held.
        """
        self._check_open()
        snapshot = TreeSnapshot(self._disk, self._owner, self._manifest.state)
        self._levels.snapshots.add(snapshot)
        return snapshot

    def install(self, data: bytes) -> None:
        """Let the snapshot in the stream ``data`` take the place of all that this tree holds.

        Durable in this order: the tables under numbers of this tree, their directory entries, the
        manifest.  Then memory follows, and long work under way is abandoned.  Open scans and views
        go on with what they have.

        Nothing is written and nothing changes where this raises ``Damage`` that names
        :data:`~kvraft.snapshot.STREAM` or :class:`~kvraft.errors.Foreign` for a stream that cannot
        be meant, or ``BadInput`` for one that reaches no further than :attr:`applied`.  Raises
        ``OSError`` if the disk fails, ``Damage`` if it does not give back what was written, and
        :class:`~kvraft.errors.Stopped` from then on.
        """
        self._check_writable()
        contents = unpack(data, self._owner)
        if contents.last.index <= self._index:
            what = f"a snapshot through {contents.last} holds nothing new"
            raise BadInput(f"{what}: everything through {self.applied} is applied")
        try:
            self._put_in_place(contents)
        except (OSError, Damage) as error:
            self._failure = str(error)
            raise

    def _put_in_place(self, contents: Contents) -> None:
        self._flushing = self._compacting = None
        infos = self._write_received(contents)
        state = self._commit(
            Edit(
                add=tuple(infos),
                remove=tuple(info.number for info in self.tables),
                flushed=contents.last,
                timestamp=contents.timestamp,
                horizon=contents.horizon,
                installed=True,
            )
        )
        self._immutables = []
        self._begin_memtable()
        self._index, self._term = state.flushed
        self.timestamp = max(self.timestamp, state.timestamp)
        self._report(Installed(self._index, tuple(info.number for info in state.tables)))
        self._tidy()
        self._remove_dead()

    def _write_received(self, contents: Contents) -> list[TableInfo]:
        """Write the tables of a snapshot, durably, and check what is on disk then."""
        infos: list[TableInfo] = []
        for info, data in contents.tables:
            info = replace(info, number=self._manifest.take_number())
            name = table_name(info.number)
            self._disk.create(name)
            self._disk.append(name, bytes(data))
            self._disk.sync(name)
            infos.append(info)
            self._report_written(info)
        self._disk.sync_dir()
        for info in infos:
            self._open_table(info).verify_bytes()
        return infos

    def checkpoint(self, target: Disk | str | os.PathLike[str]) -> None:
        """Flush, and make of the empty disk or directory ``target`` a tree with the same contents.

        Tables are linked, not copied, where both are on one file system: it costs next to nothing,
        and neither tree ever changes what they share.  Raises ``BadInput`` if ``target`` holds
        anything.
        """
        self.flush()
        mine = isinstance(target, str | os.PathLike)
        disk = RealDisk(target) if isinstance(target, str | os.PathLike) else target
        try:
            if disk.names():
                raise BadInput("a checkpoint needs an empty place, and there are files already")
            state = self._manifest.state
            for info in state.tables:
                self._disk.link(table_name(info.number), disk)
            disk.sync_dir()
            Manifest(disk, self._owner, state)
        finally:
            if mine:
                disk.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def get(self, key: bytes, *, at: Timestamp | None = None) -> bytes | None:
        """Return the value of ``key``, ``None`` if it has none; as it was ``at``, if given.

        Raises ``BadInput`` for a time whose versions may be gone (:attr:`horizon`).
        """
        if self._closed or type(key) is not bytes:
            self._check_open()
            check_key(key)
        self.counts.gets += 1
        time = MAX_TIMESTAMP if at is None else self._time(at)
        row, deleted = self._find(key, time)
        return None if row is None or row[1] < deleted else row[2]

    def version(self, key: bytes) -> Version | None:
        """Return the newest version of ``key``, maybe a tombstone, ``None`` if none is known."""
        self._check_open()
        check_key(key)
        row, deleted = self._find(key, MAX_TIMESTAMP)
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
        levels = self._levels
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
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        at: Timestamp | None = None,
    ) -> Generator[Pair, None, None]:
        """Return an iterator over keys and values with ``start <= key < stop``, in order of keys.

        With ``prefix`` instead of bounds: over all keys that begin with it.  With ``reverse`` from
        the last key to the first.  It sees the tree as it is at this call, or was ``at`` a time,
        whatever happens until it is exhausted, closed or forgotten.

        Raises ``BadInput`` for bounds that make no sense and for a time whose versions may be gone.
        """
        self._check_open()
        start, stop = _bounds(start, stop, prefix)
        self.counts.scans += 1
        time = self.timestamp if at is None else self._time(at)
        pairs = self._pairs(start, stop, reverse, time)
        next(pairs)  # from here on it holds what it needs, and lets go of it even if abandoned
        return pairs

    def _pairs(
        self, start: bytes, stop: bytes | None, reverse: bool, at: Timestamp
    ) -> Generator[Pair, None, None]:
        levels, memtables = self._levels, self._memtables
        levels.readers += 1
        self._pin(at)
        try:
            yield b"", b""  # taken by scan
            for pairs in self._found(levels, memtables, start, stop, at, reverse):
                self._check_open()
                yield from reversed(pairs) if reverse else pairs
            self._check_open()
        finally:
            levels.readers -= 1
            self._unpin(at)

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

        What it sees stays, in memory and on disk, until it is closed.
        """
        self._check_open()
        return View(self, self.timestamp if at is None else self._time(at))

    @property
    def horizon(self) -> Timestamp:
        """The time from which on all versions are there; before it only views can look."""
        latest = max(0, self.timestamp - self.options.history)
        return max(self._manifest.state.horizon, latest)

    def _time(self, at: Timestamp) -> Timestamp:
        """Return ``at`` if it can be read at, else raise ``BadInput``."""
        if not isinstance(at, int) or at < 0:
            raise BadInput(f"a time to read at is a timestamp, not {at!r}")
        if at > self.timestamp:
            raise BadInput(f"{at} lies in the future: the newest timestamp is {self.timestamp}")
        if at < self.horizon and at not in self._pins:
            raise BadInput(f"versions at {at} may be gone: all are there from {self.horizon} on")
        return at

    def _keep(self) -> Keep:
        """Return who can read the past, to be asked before versions are dropped."""
        history = self.options.history
        floor = max(0, self.timestamp - history) if history else MAX_TIMESTAMP
        return Keep(tuple(sorted(self._pins)), floor)

    def _pin(self, at: Timestamp) -> None:
        self._pins[at] = self._pins.get(at, 0) + 1
        self._pinned = max(self._pinned, at)

    def _unpin(self, at: Timestamp) -> None:
        self._pins[at] -= 1
        if not self._pins[at]:
            del self._pins[at]
            if not self.options.history:
                self._pinned = max(self._pins, default=UNPINNED)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def applied(self) -> Position:
        """The position in the log through which everything was applied."""
        return Position(self._index, self._term)

    @property
    def flushed(self) -> Position:
        """The last log position whose rows are all in durable tables."""
        return self._manifest.state.flushed

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
        return self._manifest.state.tables

    def stats(self, *, live: bool = False) -> Stats:
        """Return what was counted, and what there is; with ``live``, scan to see what is alive."""
        self._check_open()
        infos = self.tables
        depth = max((info.level for info in infos), default=-1) + 1
        levels = [[info for info in infos if info.level == level] for level in range(depth)]
        counts, cache = replace(self.counts), self._cache
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
        self._check_open()
        self._levels.check()
        for table in self._levels.tables:
            check_table(table)

    def close(self) -> None:
        """Refuse all further use, open scans and views too.

        What was not flushed is dropped; it is in the log.  A disk that was handed in stays open,
        for it may be shared.
        """
        if self._closed:
            return
        self._closed = True
        self._flushing = self._compacting = None
        if self._disk_is_mine:
            self._disk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput("the tree is closed")

    def _check_writable(self) -> None:
        self._check_open()
        if self._failure:
            raise Stopped(f"the tree stopped writing: {self._failure}")


class View:
    """A tree as it was at one moment, ``timestamp``.  Made by :meth:`Tree.view`.

    Usable in a ``with`` statement.  One that is forgotten lets go like one that is closed.
    """

    def __init__(self, tree: Tree, timestamp: Timestamp) -> None:
        self.timestamp = timestamp
        self._tree: Tree | None = tree
        tree._pin(timestamp)

    def get(self, key: bytes) -> bytes | None:
        """Return the value that ``key`` had, ``None`` if it had none."""
        return self._open().get(key, at=self.timestamp)

    def scan(
        self,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
    ) -> Generator[Pair, None, None]:
        """Return an iterator over what was there: see :meth:`Tree.scan`."""
        tree = self._open()
        return tree.scan(start, stop, prefix=prefix, reverse=reverse, at=self.timestamp)

    def close(self) -> None:
        """Let go of what it sees."""
        tree, self._tree = self._tree, None
        if tree is not None:
            tree._unpin(self.timestamp)

    def _open(self) -> Tree:
        if self._tree is None:
            raise BadInput("the view is closed")
        return self._tree

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def prefix_stop(prefix: bytes) -> bytes | None:
    r"""Return the ``stop`` that ends a scan from ``prefix`` behind its last key; ``None``: no end.

    >>> prefix_stop(b"user/"), prefix_stop(b"a\xff"), prefix_stop(b"\xff")
    (b'user0', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _bounds(start: bytes, stop: bytes | None, prefix: bytes | None) -> tuple[bytes, bytes | None]:
    """Return where to begin and where to stop; ``BadInput`` if that makes no sense."""
    if prefix is not None:
        check_key(prefix)
        if start != b"" or stop is not None:
            raise BadInput("a scan has a prefix or bounds, not both")
        return prefix, prefix_stop(prefix)
    check_key(start)
    if stop is not None:
        check_key(stop)
        if start > stop:
            raise BadInput(f"a scan must not start behind its stop: {start!r} is above {stop!r}")
    return start, stop


def _ranges(
    levels: Levels, memtables: Sequence[Memtable], start: bytes, stop: bytes | None
) -> Ranges | None:
    """Return all range deletes in a range of keys, ``None`` if there are none."""
    rows: list[Row] = levels.range_rows(start, stop) if levels.ranged else []
    for memtable in memtables:
        if memtable.ranges is not None:
            rows += memtable.ranges.rows(start, stop or b"")
    return Ranges(rows) if rows else None
