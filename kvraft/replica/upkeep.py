"""Upkeep of a member: what makes room in memory and on disk, slice by slice, and when it is due.

::

    memtable full, or log waits for it ──► frozen ──► flushed ──► tables ──► compacted
                                                         │
                                                         ╰──► the log's oldest segment may go

Neither owner of the log truncates it alone.  Who still needs what the member's *rules* tell
(replica/retention.py); here a segment is dropped once nobody does, one at a time: an append that
waits for it waits for the removal of one directory entry.

What is committed must be applied, whatever the disk does, so memory is bounded by working on what
is frozen already before more is taken (:meth:`Upkeep.make_room`).  New writes are to wait before it
comes to that, and while the disk is nearly full (:attr:`Upkeep.low`).  Work that meets a full disk
loses nothing, and is tried again with the next tick.

Source: Kudu's log anchors; LevelDB's ``MakeRoomForWrite``.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from kvraft.disk import Disk, is_disk_full
from kvraft.display import counted
from kvraft.events import EventSink, PinsChanged, TruncationDecided, ignore
from kvraft.log_and_tree import waiting_log
from kvraft.lsm import Tree
from kvraft.raft import Raft
from kvraft.replica.retention import Pins
from kvraft.wal import Segment, Wal

_PACE = 64  # slices of long work at most that a drain does for each memtable it fills


class LogRules(Protocol):
    """What upkeep asks its member."""

    def pins(self) -> Pins:
        """Return who still needs which part of the log, and why."""

    def may_drop(self, segment: Segment) -> bool:
        """Return whether ``segment``, the oldest, may go."""

    def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
        """Return whether the memtable is to be frozen."""


class Upkeep:
    """Flushing, compacting and truncating for ``member``, by its ``rules``.

    ``reserve`` is how many bytes of its disk must be free for new writes to be taken.
    """

    def __init__(
        self,
        member: str,
        disk: Disk,
        wal: Wal,
        tree: Tree,
        raft: Raft,
        *,
        rules: LogRules,
        reserve: int,
        report: EventSink,
    ) -> None:
        self.low = ""
        """Why nothing new may be written, for the disk is nearly full; ``""`` if it is not."""
        self._member = member
        self._disk = disk
        self._wal = wal
        self._tree = tree
        self._raft = raft
        self._rules = rules
        self._reserve = reserve
        self._report = report
        self._full = False  # whether a slice met a full disk since the last tick
        self._reported: tuple[tuple[str, int], ...] = ()

    def tick(self) -> None:
        """Let a tick pass: see how much of the disk is free, and try again what found it full."""
        self._full = False
        free = self._disk.free_bytes()
        if free is None or free >= self._reserve:
            self.low = ""
        else:
            self.low = f"the disk of {self._member} is full: {counted(free, 'byte')} free"

    @property
    def has_work(self) -> bool:
        """Whether a slice is waiting to be done."""
        return self._may_drop() or self._tree_has_work

    def work(self) -> None:
        """Do one slice of what there is: drop a segment, or do a part of a flush or compaction."""
        if self._may_drop():
            self._drop()
        else:
            self._work_tree()

    def make_room(self) -> None:
        """Freeze the memtable if it is time, and keep up with what is frozen already."""
        tree = self._tree
        # Log that only followers still need says nothing about the memtable.
        held = waiting_log(self._wal.segments, tree.flushed.index)
        if self._rules.should_freeze(tree.memtable_size, held, tree.immutable_memtables):
            tree.freeze()
        slices = _PACE
        while slices and tree.pressure >= 1 and self._tree_has_work:
            self._work_tree()
            slices -= 1

    @property
    def _tree_has_work(self) -> bool:
        return self._tree.has_work and not self._full

    def _work_tree(self) -> None:
        try:
            self._tree.work()
        except OSError as error:
            if not is_disk_full(error):
                raise
            self._full = True
        self._raft.log.release(self._tree.flushed.index)  # it is read back from disk if need be

    def _may_drop(self) -> bool:
        return self._rules.may_drop(self._wal.segments[0])

    def _drop(self) -> None:
        """Drop the oldest segment, which nobody needs any more."""
        holds = self._rules.pins()
        self._report(TruncationDecided(holds.floor, *_columns(holds)))
        self._wal.drop_below(self._wal.segments[0].high + 1, 1)
        self._raft.compact(self._wal.base.index)

    def report_holds(self) -> None:
        """Report who holds the log whenever somebody needs it from another segment on."""
        if self._report is ignore:
            return
        firsts = [segment.first for segment in self._wal.segments]
        holds = self._rules.pins()
        now = tuple(
            (hold.pinned_by, bisect_right(firsts, hold.needed_from) - len(firsts)) for hold in holds
        )
        if now != self._reported:
            self._reported = now
            self._report(PinsChanged(*_columns(holds)))


def _columns(holds: Pins) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return who holds the log, and from which index on each needs it."""
    return tuple(hold.pinned_by for hold in holds), tuple(hold.needed_from for hold in holds)
