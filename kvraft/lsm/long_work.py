"""Long work: the flush and the compaction under way, a slice at a time.

::

    frozen memtables ──flush──► level 0 ──compaction──► deeper          one slice: LongWork.step

There is at most one flush at a time, of the oldest memtable that waits, and one compaction.  A
flush goes before a compaction, and both go before obsolete files are removed, for writers wait for
them.

Invariants:

- A job that is dropped half-way changes nothing, and is retried from its start.
- Tables are merged only when no file waits to be removed: space is freed before more is taken.
- While it is unknown what the manifest holds, the only work is to rewrite it.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.lsm.compaction import CompactionTask
from kvraft.lsm.jobs import Compaction, Flush, Job
from kvraft.lsm.merging import RetainedTimes
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.versions import VersionSet
from kvraft.memtable import Memtables
from kvraft.record import Position, Timestamp


class LongWork:
    """What a tree has to flush and to merge.

    ``compacting`` is the compaction under way, ``asked`` one that a caller asked for; ``disk_full``
    means that there was no space for some work, and that it was not completed since.
    """

    def __init__(
        self,
        tables: VersionSet,
        memtables: Memtables,
        options: TreeOptions,
        counts: TreeCounters,
        retained: Callable[[], tuple[RetainedTimes, Timestamp]],
        sync_log: Callable[[Position], None],
    ) -> None:
        """Begin with nothing under way.

        ``retained`` returns the times at which readers look, and the horizon; ``sync_log`` makes
        the log durable through a position, for the tables must not get ahead of it.
        """
        self._tables = tables
        self._memtables = memtables
        self._options = options
        self._counts = counts
        self._retained = retained
        self._sync_log = sync_log
        self._flushing: Job | None = None
        self.compacting: Job | None = None
        self.asked: CompactionTask | None = None
        self.disk_full = False

    @property
    def waits(self) -> bool:
        """Whether :meth:`step` has anything to do."""
        memtables = self._memtables
        if self._flushing is not None or self.compacting is not None or memtables.frozen:
            return True
        if memtables.dropped:
            return True
        return (self.asked or self._tables.next_task) is not None or self._tables.has_obsolete_files

    @property
    def pressure(self) -> float:
        """How much work waits: from 1 on, writers should wait for it (``lsm/pacing.py``)."""
        waiting = len(self._memtables.frozen) / self._options.stall_memtables
        if self.compacting is None and self._tables.next_task is None:
            return waiting  # nothing will reduce the number of tables
        return max(waiting, len(self._tables.levels.unsorted) / self._options.stall_tables)

    def step(self) -> None:
        """Do one slice.  Raises what a job raises; then :meth:`drop` it."""
        if self._memtables.dropped:
            self._memtables.free_some()
            return
        job = self._job()
        if job is None:
            self._tables.remove_obsolete_files()
        else:
            self._counts.slices += 1
            if not job.step():
                self._finish(job)
        self.disk_full = self.disk_full and self.waits

    def drop(self, *, disk_full: bool = False) -> None:
        """Drop what is under way, to be retried; ``disk_full`` if that is for lack of space."""
        self._flushing = self.compacting = None
        self.disk_full = disk_full

    def _job(self) -> Job | None:
        """Return the job to continue, begun if need be; ``None`` if only files wait for removal."""
        if self._tables.manifest_unsure:
            return None
        if self._flushing is None and self._memtables.frozen:
            memtable, through = self._memtables.frozen[0]
            self._sync_log(through)
            self._flushing = Flush(self._tables, memtable, through, *self._retained())
        if self._flushing is not None:
            return self._flushing
        task = self.asked or self._tables.next_task
        if self.compacting is None and task is not None and not self._tables.has_obsolete_files:
            self.asked = None
            self.compacting = Compaction(self._tables, task, *self._retained())
        return self.compacting

    def _finish(self, job: Job) -> None:
        """Bring memory in line with a job that is done."""
        if job is self._flushing:
            self._memtables.drop_oldest()
            self._flushing = None
        else:
            self.compacting = None
        self.disk_full = False
