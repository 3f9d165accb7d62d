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

from collections.abc import Callable, Sequence
from dataclasses import replace

from kvraft.disk import Disk, table_name, table_number, write_mismatch
from kvraft.errors import BadInput, Corruption, ForeignFile
from kvraft.events import (
    EventSink,
    TableRemoved,
    TableWritten,
)
from kvraft.lsm import compaction
from kvraft.lsm.levels import Levels
from kvraft.lsm.manifest import Manifest
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.pacing import REMOVED_BYTES
from kvraft.lsm.snapshot import SnapshotContents, TreeSnapshot
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.version_edit import ManifestState, VersionEdit
from kvraft.record import NO_LOG, ORIGIN, LogEnd, Position, Timestamp, label
from kvraft.slices import SlicedWork
from kvraft.sstable import (
    BlockCache,
    LogRange,
    Table,
    TableFormat,
    TableMetadata,
    TableOpening,
    TableWriter,
    check_table,
)


class VersionSet:
    """The tables on one disk: ``levels`` are the live ones, ``next_task`` is the next merge."""

    writer = TableWriter
    """The class of what writes a table.  A subclass may name another one."""

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
        self.report = report
        self.counts = counts
        self.log_end: Callable[[], LogEnd] = lambda: NO_LOG  # how far the log is synced now
        self._manifest = Manifest.open(disk, owner, report, read_only=read_only)
        self.levels = Levels(self._opening(info).run_to_end() for info in self.state.tables)
        self.levels.check()
        self._past: list[Levels] = []  # some of whose files may still be read
        self._obsolete: list[Table] = []  # that nobody reads any more: to be removed
        self.next_task = options.strategy.pick(self.state.tables)

    @property
    def state(self) -> ManifestState:
        """The contents of the manifest."""
        return self._manifest.state

    @property
    def manifest_unsure(self) -> bool:
        """Whether an edit of the manifest failed, so that it may be on disk or not."""
        return not self._manifest.sure

    def _opening(self, info: TableMetadata) -> TableOpening:
        return TableOpening(self._disk, info, self.cache, self.counts)

    # ── changing ────────────────────────────────────────────────────────────────────────────────

    def new_table(self, log_range: LogRange) -> TableWriter:
        """Begin a table, with a new number, for rows from that part of the log."""
        number = self._manifest.new_file_number()
        return self.writer(self._disk, number, self._owner, self._form, log_range)

    def read_back(self, info: TableMetadata) -> ReadBack:
        """Return the work of opening a table that was just written, and reading all of it."""
        return ReadBack(self._disk, info, self._opening(info))

    def flushed_through(self) -> Position:
        """Return the log position through which the live tables go, by their own properties."""
        return max((table.log_range.through for table in self.levels.tables), default=ORIGIN)

    @staticmethod
    def droppable(
        inputs: Sequence[TableMetadata], others: Sequence[TableMetadata]
    ) -> Callable[[bytes, Timestamp], bool]:
        """Return the rule by which a merge drops tombstones.  A subclass may override this."""
        return compaction.droppable(inputs, others)

    def count_flushed(self, info: TableMetadata) -> None:
        """Report and count a table that a flush has written."""
        self.report_written(info)
        self.counts.bytes_flushed += info.size

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
            self.report_written(info)
        self._disk.sync_dir()
        fresh = [self.read_back(info).run_to_end() for info in infos]
        return self.commit(
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

    def commit(self, edit: VersionEdit, fresh: Sequence[Table]) -> ManifestState:
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

    def report_written(self, info: TableMetadata) -> None:
        """Report a table that was written and read back."""
        first, last = label(info.start), label(info.stop.removesuffix(b"\0"))
        self.report(TableWritten(info.number, info.rows, info.size, first, last))

    # ── removing files ────────────────────────────────────────────────────────────────────────────

    @property
    def has_obsolete_files(self) -> bool:
        """Whether :meth:`remove_obsolete_files` has anything to do."""
        if self._obsolete or (self._past and not all(levels.in_use for levels in self._past)):
            return True
        return self.manifest_unsure

    def remove_obsolete_files(self) -> None:
        """Remove a slice of the files of tables that are no longer live and no longer read.

        It ends once ``REMOVED_BYTES`` are removed: a system takes longer for larger files.
        After a failed edit, rewrite the manifest first, and remove the tables that it does not
        name.
        """
        if self.manifest_unsure:
            self._manifest.rewrite()
            self.remove_orphans()
        idle = [levels for levels in self._past if not levels.in_use]
        if idle:
            self._past = [levels for levels in self._past if levels.in_use]
            needed = self._needed()
            tables = {table.metadata.number: table for levels in idle for table in levels.tables}
            self._obsolete += [tables[number] for number in sorted(tables.keys() - needed)]
        removed = 0
        while self._obsolete and removed < REMOVED_BYTES:
            table = self._obsolete[0]
            self.cache.evict(table.shelf)
            self._disk.remove(table.name)
            self.report(TableRemoved(table.metadata.number))
            removed += table.metadata.size
            del self._obsolete[0]

    def remove_orphans(self) -> None:
        """Remove tables that are not live: what a crash or a full disk left unfinished."""
        needed = self._needed()
        for name in self._disk.names():
            number = table_number(name)
            if number is not None and number not in needed:
                self._disk.remove(name)

    def _needed(self) -> frozenset[int]:
        past = (levels.numbers for levels in self._past)
        return self.levels.numbers.union(*past, (t.metadata.number for t in self._obsolete))

    # ── copies ────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> TreeSnapshot:
        """Return the live tables as a stream; they are kept while it exists (Raft §7)."""
        self.levels.snapshots += 1
        return TreeSnapshot(self._disk, self._owner, self.state, self.levels.release)

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


class ReadBack(SlicedWork[Table]):
    """Opens the table ``info`` on ``disk``, which was just written, and reads all of it.

    Raises ``OSError`` unless every byte is what was written.
    """

    def __init__(self, disk: Disk, info: TableMetadata, opening: TableOpening) -> None:
        self._disk = disk
        self._name = table_name(info.number)
        self._small = info.size < REMOVED_BYTES  # its system calls take no time
        self._opening = opening
        self.stage = self._drop_cached

    def step(self) -> bool:
        """Do one slice; return whether there are more."""
        try:
            return super().step()
        except (Corruption, ForeignFile, FileNotFoundError) as error:
            raise write_mismatch(self._name, str(error)) from error

    def _continue(self, stage: Callable[[], None]) -> None:
        """Go on with ``stage``, of a small table in this same slice."""
        self.stage = stage
        if self._small:
            stage()

    def _drop_cached(self) -> None:
        self._disk.drop_cached(self._name)
        self._continue(self._open_table)

    def _open_table(self) -> None:
        if self._opening.step():
            self._continue(self._open_table)
        else:
            self.result = self._opening.result
            self._reading = self.result.check_digest()
            self._continue(self._read)

    def _read(self) -> None:
        if not self._reading.step():
            self.result.require_match(self._reading.result)
            self.stage = None
