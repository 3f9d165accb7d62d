"""Upkeep of a member: what makes room in memory and on disk, slice by slice, and when it is due.

::

    memtable full, or log waits for it ──► frozen ──► flushed ──► tables ──► compacted
                                                         │
                                                         ╰──► the log's oldest segment is dropped

Neither owner of the log truncates it alone.  The member's *rules* decide what pins it
(replica/retention.py); here a segment that nothing pins is dropped.  That is done one at a time, so
that an append waits for the removal of at most one directory entry.

What is committed must be applied, whatever the disk does, so memory is bounded by flushing what is
frozen before more is frozen (:meth:`Upkeep.make_room`).  New writes have to wait before it comes to
that, and while the disk is nearly full (:attr:`Upkeep.low`).  Work that finds the disk full loses
nothing, and is tried again with the next tick.

Source: Kudu's log anchors; LevelDB's ``MakeRoomForWrite``.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from kvraft.disk import Disk, is_disk_full
from kvraft.display import counted
from kvraft.events import EventSink, PinsChanged, TruncationDecided
from kvraft.log_and_tree import waiting_log
from kvraft.lsm import Tree
from kvraft.raft import Raft
from kvraft.replica.retention import Pins
from kvraft.wal import Segment, Wal

_PACE = 64  # how many slices of long work a drain does at most for each memtable it fills


class LogRules(Protocol):
    """The decisions that upkeep leaves to its member."""

    def pins(self) -> Pins:
        """Return what pins the log."""

    def may_drop(self, segment: Segment) -> bool:
        """Return whether ``segment``, the oldest, may be dropped."""

    def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
        """Return whether to freeze the memtable."""


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
        """Why no new writes are taken: the disk is nearly full; ``""`` if it is not."""
        self._member = member
        self._disk = disk
        self._wal = wal
        self._tree = tree
        self._raft = raft
        self._rules = rules
        self._reserve = reserve
        self._report = report
        self.full = False
        """Whether a slice found the disk full since the last tick."""
        self._waiting: tuple[tuple[int, int, int], int] = (0, 0, 0), 0  # see _waiting_log()
        self._reported: tuple[tuple[str, int], ...] = ()
        self._footing: object = None  # what all pins of the newest segment depend on

    def tick(self) -> None:
        """Measure the free space, and try again what found the disk full."""
        self.full = False
        free = self._disk.free_bytes()
        if free is None or free >= self._reserve:
            self.low = ""
        else:
            self.low = f"the disk of {self._member} is full: {counted(free, 'byte')} free"

    def pass_ticks(self) -> None:
        """Take ticks in which the disk had no limit."""
        self.full, self.low = False, ""

    @property
    def has_work(self) -> bool:
        """Whether a slice waits to be done."""
        return self._may_drop() or self._tree_has_work

    def work(self) -> None:
        """Do one slice: drop a segment, or do a part of a flush or compaction."""
        if self._may_drop():
            self._drop()
        else:
            self._work_tree()

    def make_room(self) -> bool:
        """Freeze the memtable if it is due, and flush frozen ones if too many wait.

        Return whether too many wait still: the disk is full, or there was too much for one drain.
        """
        tree = self._tree
        waiting = self._waiting_log()
        if self._rules.should_freeze(tree.memtable_size, waiting, tree.immutable_memtables):
            tree.freeze()
        slices = _PACE
        while (too_many := tree.pressure >= 1) and slices and self._tree_has_work:
            self._work_tree()
            slices -= 1
        return too_many

    def _waiting_log(self) -> int:
        """Return how many bytes of log wait for the memtable.

        Log that only followers still need does not count.  It is added up again only when a segment
        was sealed or dropped, or when tables reach further.
        """
        sealed, flushed = self._wal.sealed_segments, self._tree.flushed.index
        state = (len(sealed), sealed[-1].id, flushed) if sealed else (0, 0, flushed)
        if self._waiting[0] != state:
            self._waiting = state, waiting_log(sealed, flushed)
        return self._waiting[1]

    @property
    def _tree_has_work(self) -> bool:
        return not self.full and self._tree.has_work

    def _work_tree(self) -> None:
        try:
            self._tree.work()
        except OSError as error:
            if not is_disk_full(error):
                raise
            self.full = True
        self._raft.log.release(self._tree.flushed.index)  # from now on they are read from disk

    def _may_drop(self) -> bool:
        return self._rules.may_drop(self._wal.oldest_segment)

    def _drop(self) -> None:
        """Drop the oldest segment, which nothing pins."""
        pins = self._rules.pins()
        self._report(TruncationDecided(pins.floor, *_columns(pins)))
        self._wal.drop_below(self._wal.segments[0].high + 1, 1)
        self._raft.compact(self._wal.base.index)

    def report_pins(self) -> None:
        """Report what pins the log, whenever a pin has moved to another segment."""
        raft, segments = self._raft, self._wal.segments
        ends = segments[0].id, segments[-1].id
        footing = ends, raft.term, raft.changes[1], raft.configuration
        if self._footing == footing:
            return
        firsts = [segment.first for segment in segments]
        pins = self._rules.pins()
        now = tuple(
            (pin.pinned_by, bisect_right(firsts, pin.needed_from) - len(firsts)) for pin in pins
        )
        # While these stay as they are, pins only rise; on the newest segment they stay on it.
        self._footing = None if any(place for _, place in now) else footing
        if now != self._reported:
            self._reported = now
            self._report(PinsChanged(*_columns(pins)))


def _columns(pins: Pins) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the pins as the columns of an event: who needs the log, and from which index on."""
    return tuple(pin.pinned_by for pin in pins), tuple(pin.needed_from for pin in pins)
