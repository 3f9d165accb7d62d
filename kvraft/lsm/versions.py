"""The tables of a tree: which are live, how they change, and when a file may be removed.

::

    memtable ──flush──► ┌───────────────┐ ──edit──► manifest ──► levels ◄── readers
    tables ──compact──► │ new tables,   │                         past levels ◄── older readers
    snapshot ─install─► │ not yet live  │                          └─ files no longer read: removed
                        └───────────────┘

A flush, a compaction and the installation of a snapshot all end in the same way: with one edit of
the manifest, and new :class:`~kvraft.lsm.Levels`.

Invariants:

- Durable in this order: tables, their directory entries, the manifest.  Then memory follows.  A
  crash in between leaves files that the manifest does not name;
  :meth:`VersionSet.remove_orphans` removes them.
- A new table is opened and read to its last byte before the manifest's edit makes it count, and the
  edit is read back before anything is removed on the strength of it: a log segment, or a table that
  was merged.  So a write that the disk lost makes a flush fail, and no more.  (A *sync* that the
  disk ignored cannot be seen: it shows at the next loss of power.)
- Levels never change.  Readers keep those they began with, and the files in them; only after the
  last of them :meth:`VersionSet.remove_obsolete_files` removes what is no longer live.
- After a failed edit it is unknown what the manifest holds (:attr:`VersionSet.manifest_unsure`).
  Until it is rewritten no file is removed, for either state of the tables may be the one that
  counts.

Sources: LevelDB impl.md (recovery, garbage collection of files), version_set.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from kvraft.disk import Disk, table_name, table_number, write_mismatch
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.events import (
    Compacted,
    CompactionStarted,
    EventSink,
    Flushed,
    TableRemoved,
    TableWritten,
)
from kvraft.lsm.compaction import CompactionTask, compact
from kvraft.lsm.levels import Levels
from kvraft.lsm.manifest import Manifest
from kvraft.lsm.merging import RetainedTimes, retain
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.snapshot import SnapshotContents, TreeSnapshot
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.version_edit import ManifestState, VersionEdit
from kvraft.memtable import Memtable
from kvraft.range_tombstones import RangeTombstones
from kvraft.record import NO_LOG, ORIGIN, LogEnd, Position, Timestamp, label
from kvraft.sstable import (
    BlockCache,
    LogRange,
    Table,
    TableFormat,
    TableMetadata,
    TableWriter,
    check_table,
    run_to_end,
)

Job = Generator[None, None, None]
"""Long work: each step is a slice of it.  A job that is dropped half-way changes nothing."""


class VersionSet:
    """The tables on one disk: ``levels`` are the live ones, ``next_task`` is the next merge."""

    def __init__(
        self,
        disk: Disk,
        owner: str,
        options: TreeOptions,
        report: EventSink,
        counts: TreeCounters,
        *,
        read_only: bool = False,
    ) -> None:
        """Open what is on ``disk``; raises as :meth:`Manifest.open` and :meth:`Table.open` do."""
        self.cache = BlockCache(options.cache_bytes)
        self._disk = disk
        self._owner = owner
        self._options = options
        self._form = TableFormat(options.block_bytes, options.bits_per_key, options.codec)
        self._report = report
        self._counts = counts
        self.log_end: Callable[[], LogEnd] = lambda: NO_LOG  # how far the log is synced now
        self._manifest = Manifest.open(disk, owner, report, read_only=read_only)
        self.levels = Levels(self._open(info) for info in self.state.tables)
        self.levels.check()
        self._past: list[Levels] = []  # some of whose files may still be read
        self.next_task = options.strategy.pick(self.state.tables)

    @property
    def state(self) -> ManifestState:
        """The contents of the manifest."""
        return self._manifest.state

    @property
    def manifest_unsure(self) -> bool:
        """Whether an edit of the manifest failed, so that it may be on disk or not."""
        return not self._manifest.sure

    def _open(self, info: TableMetadata) -> Table:
        return Table.open(self._disk, info, self.cache, self._counts)

    def _check(self, info: TableMetadata) -> Generator[None, None, Table]:
        """Open a table that was just written, and read all of it, in slices.

        Raises ``OSError`` unless every byte is what was written.
        """
        name = table_name(info.number)
        try:
            self._disk.drop_cached(name)
            table = self._open(info)
            yield from table.verify_slices()
        except (Corruption, ForeignFile, FileNotFoundError) as error:
            raise write_mismatch(name, str(error)) from error
        return table

    # ── changing ────────────────────────────────────────────────────────────────────────────────

    def flush(
        self, memtable: Memtable, through: Position, keep: RetainedTimes, horizon: Timestamp
    ) -> Job:
        """Write ``memtable`` to a table and make it live, in slices.

        With it everything through the log position ``through`` is in tables, except for versions
        that only a reader before ``horizon`` that is not in ``keep`` could see.
        """
        number = self._manifest.new_file_number()
        log_range = LogRange(min(self._flushed_through(), through), through)  # for repair
        writer = TableWriter(self._disk, number, self._owner, self._form, log_range)
        for chunk in memtable.drain():
            if kept := retain(chunk, keep, memtable.range_tombstones):
                writer.add(kept)
            yield
        # Any table may have something older than its range tombstones; a flush does not look.
        tombstones = memtable.range_tombstones or RangeTombstones()
        ranges = tombstones.surviving(keep.needs, lambda *_: True)
        info = yield from writer.finish(ranges)
        fresh: list[Table] = []
        if info is not None:
            fresh.append((yield from self._check(info)))
            self._report_written(info)
            self._counts.bytes_flushed += info.size
            yield
        add = () if info is None else (info,)
        newest = max(memtable.timestamp, self.state.timestamp)
        # Only rows up to the newest were dropped, so readers from there on see all versions.
        horizon = min(horizon, newest)
        self._commit(
            VersionEdit(add, (), flushed=through, timestamp=newest, horizon=horizon), fresh
        )
        self._counts.flushes += 1
        self._report(Flushed(through.index, info.number if info else 0))

    def _flushed_through(self) -> Position:
        """Return the log position through which the live tables go, by their own properties."""
        return max((table.log_range.through for table in self.levels.tables), default=ORIGIN)

    def compact(self, task: CompactionTask, keep: RetainedTimes, horizon: Timestamp) -> Job:
        """Do the merge ``task`` in slices; ``keep`` and ``horizon`` are as in :meth:`flush`."""
        numbers = tuple(info.number for info in task.inputs)
        self._report(CompactionStarted(numbers, task.level))
        outputs, dropped, read = task.inputs, 0, 0
        fresh: list[Table] = []
        if not task.move:
            outputs, dropped = yield from compact(
                self._disk,
                [table for table in self.levels.tables if table.metadata.number in numbers],
                [info for info in self.state.tables if info.number not in numbers],
                keep,
                self._manifest.new_file_number,
                owner=self._owner,
                form=self._form,
                table_bytes=task.table_bytes,
            )
            read = sum(info.size for info in task.inputs)
            for info in outputs:
                fresh.append((yield from self._check(info)))
                self._report_written(info)
        add = tuple(replace(info, level=task.level) for info in outputs)
        horizon = 0 if task.move else min(horizon, self.state.timestamp)
        self._commit(VersionEdit(add, numbers, horizon=horizon), fresh)
        written = 0 if task.move else sum(info.size for info in add)
        self._count_compaction(task, read, written, dropped)
        made = tuple(info.number for info in add)
        self._report(Compacted(numbers, made, task.level, read, written, dropped))

    def _count_compaction(
        self, task: CompactionTask, read: int, written: int, dropped: int
    ) -> None:
        counts = self._counts
        counts.compactions += 1
        counts.bytes_merged += read
        counts.bytes_compacted += written
        counts.tombstones_dropped += dropped
        counts.tables_moved += len(task.inputs) if task.move else 0

    def install(self, contents: SnapshotContents) -> ManifestState:
        """Replace all tables by those of a snapshot; return the new state."""
        infos: list[TableMetadata] = []
        for info, start in reversed(contents.tables):  # newer ones get higher numbers
            info = replace(info, number=self._manifest.new_file_number())
            name = table_name(info.number)
            self._disk.create(name)
            for part in contents.parts(info, start):
                self._disk.append(name, part)
            self._disk.sync(name)
            infos.append(info)
            self._report_written(info)
        self._disk.sync_dir()
        fresh = [run_to_end(self._check(info)) for info in infos]
        return self._commit(
            VersionEdit(
                add=tuple(infos),
                remove=tuple(info.number for info in self.state.tables),
                flushed=contents.last,
                timestamp=contents.timestamp,
                horizon=contents.horizon,
                installed=True,
            ),
            fresh,
        )

    def _commit(self, edit: VersionEdit, fresh: Sequence[Table]) -> ManifestState:
        """Write ``edit`` to the manifest, and then change memory; ``fresh`` are the new tables.

        After the edit nothing is read, so nothing can fail.
        """
        state = self._manifest.commit(replace(edit, log=self.log_end()))
        known = {table.metadata.number: table for table in (*self.levels.tables, *fresh)}
        tables = [known[info.number].at_level(info.level) for info in state.tables]
        self._past.append(self.levels)
        self.levels = Levels(tables)
        self.next_task = self._options.strategy.pick(state.tables)
        return state

    def record_log_end(self) -> None:
        """Write to the manifest how far the log is synced, if that has changed."""
        if self.log_end() > self.state.log:
            self._manifest.commit(VersionEdit(log=self.log_end()))

    def _report_written(self, info: TableMetadata) -> None:
        first, last = label(info.start), label(info.stop.removesuffix(b"\0"))
        self._report(TableWritten(info.number, info.rows, info.size, first, last))

    # ── removing files ────────────────────────────────────────────────────────────────────────────

    @property
    def has_obsolete_files(self) -> bool:
        """Whether :meth:`remove_obsolete_files` has anything to do."""
        return self.manifest_unsure or any(not levels.in_use for levels in self._past)

    def remove_obsolete_files(self) -> None:
        """Remove the files of tables that are no longer live and no longer read.

        After a failed edit, rewrite the manifest first, and remove the tables that it does not
        name.
        """
        if self.manifest_unsure:
            self._manifest.rewrite()
            self.remove_orphans()
        idle = [levels.numbers for levels in self._past if not levels.in_use]
        self._past = [levels for levels in self._past if levels.in_use]
        gone = set().union(*idle) - self._needed()
        self.cache.evict(gone)
        for number in sorted(gone):
            self._disk.remove(table_name(number))
            self._report(TableRemoved(number))

    def remove_orphans(self) -> None:
        """Remove tables that are not live: what a crash or a full disk left unfinished."""
        needed = self._needed()
        for name in self._disk.names():
            number = table_number(name)
            if number is not None and number not in needed:
                self._disk.remove(name)

    def _needed(self) -> frozenset[int]:
        return self.levels.numbers.union(*(levels.numbers for levels in self._past))

    # ── copies ────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return the live tables as a stream; they are kept while it exists (Raft §7)."""
        snapshot = TreeSnapshot(self._disk, self._owner, self.state)
        self.levels.snapshots.add(snapshot)
        return snapshot

    def checkpoint(self, target: Disk) -> None:
        """Make a tree with the same tables on the empty disk ``target``."""
        if target.names():
            raise BadInput("a checkpoint needs an empty place, and there are files already")
        for info in self.state.tables:
            self._disk.link(table_name(info.number), target)
        target.sync_dir()
        Manifest(target, self._owner, replace(self.state, log=NO_LOG))

    def verify(self) -> None:
        """Read every live table; raises :class:`~kvraft.errors.Corruption` at the first defect."""
        self.levels.check()
        for table in self.levels.tables:
            check_table(table)
