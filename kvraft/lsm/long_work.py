"""Long work: the flush and the compaction under way, a slice at a time.

::

    frozen memtables ──flush──► level 0 ──compaction──► deeper          one slice: LongWork.step

There is one flush at a time, of the oldest memtable that waits, and one compaction.  A flush goes
before a compaction, and both go before tidying up, for writers wait for it.

Invariants:

- A job that is dropped half-way changes nothing, and is begun again from the start.
- Tables are merged only when no file waits to be removed: so space is given back before more is
  taken.
- While nobody knows what the manifest says, nothing is done but to write it anew.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.lsm.compaction import CompactionTask
from kvraft.lsm.merging import RetainedTimes
from kvraft.lsm.options import TreeOptions
from kvraft.lsm.stats import TreeCounters
from kvraft.lsm.versions import Job, VersionSet
from kvraft.memtable import Memtables
from kvraft.record import Position, Timestamp


class LongWork:
    """What a tree has to flush and to merge.

    ``compacting`` is the compaction under way, ``asked`` one that somebody asked for; ``full`` says
    that there was no space for it, and that it has not come to an end since.
    """

    def __init__(
        self,
        tables: VersionSet,
        memtables: Memtables,
        options: TreeOptions,
        counts: TreeCounters,
        past: Callable[[], tuple[RetainedTimes, Timestamp]],
        secure: Callable[[Position], None],
    ) -> None:
        """Begin with nothing under way.

        ``past`` returns who can read the past, and the horizon; ``secure`` makes durable, up to a
        position, what the tables must not get ahead of.
        """
        self._tables = tables
        self._memtables = memtables
        self._options = options
        self._counts = counts
        self._past = past
        self._secure = secure
        self._flushing: Job | None = None
        self.compacting: Job | None = None
        self.asked: CompactionTask | None = None
        self.full = False

    @property
    def waits(self) -> bool:
        """Whether :meth:`step` has anything to do."""
        if self._flushing is not None or self.compacting is not None or self._memtables.frozen:
            return True
        return (self.asked or self._tables.next_task) is not None or self._tables.has_obsolete_files

    @property
    def pressure(self) -> float:
        """How much of it waits: from 1 on writers should be held back (``lsm/pacing.py``)."""
        waiting = len(self._memtables.frozen) / self._options.stall_memtables
        if self.compacting is None and self._tables.next_task is None:
            return waiting  # however many tables there are, nobody will make them fewer
        return max(waiting, len(self._tables.levels.unsorted) / self._options.stall_tables)

    def step(self) -> None:
        """Do one slice.  Raises what a job raises; then :meth:`drop` it."""
        job = self._job()
        if job is None:
            self._tables.remove_obsolete_files()
        else:
            self._counts.slices += 1
            if next(job, self) is self:
                self._finish(job)
        self.full = self.full and self.waits

    def drop(self, *, full: bool = False) -> None:
        """Drop what is under way, to be begun again; ``full`` if that is for a lack of space."""
        self._flushing = self.compacting = None
        self.full = full

    def _job(self) -> Job | None:
        """Return the job to go on with, begun if need be; ``None`` if there is only tidying."""
        if self._tables.manifest_unsure:
            return None
        if self._flushing is None and self._memtables.frozen:
            memtable, through = self._memtables.frozen[0]
            self._secure(through)
            self._flushing = self._tables.flush(memtable, through, *self._past())
        if self._flushing is not None:
            return self._flushing
        task = self.asked or self._tables.next_task
        if self.compacting is None and task is not None and not self._tables.has_obsolete_files:
            self.asked = None
            self.compacting = self._tables.compact(task, *self._past())
        return self.compacting

    def _finish(self, job: Job) -> None:
        """Let memory follow a job that came to its end."""
        if job is self._flushing:
            self._memtables.drop_oldest()
            self._flushing = None
        else:
            self.compacting = None
        self.full = False
