"""The segment files of one log: the sealed ones, oldest first, and the active one.

::

    ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
    │ sealed  │ │ sealed  │ │ sealed  │ │ active  │ ◄── wal/writer.py
    └─────────┘ └─────────┘ └─────────┘ └─────────┘
     ▲ drop_oldest                 rotate ▲ ▲ begin_segment

Invariants:

- A new segment is durable before the one before it is sealed.  So a log that ends in a sealed
  segment has lost one.
- The removal of a segment is durable before the next one is removed.  So a crash leaves no hole.
- A call that raises ``DiskFull`` has changed nothing; after any other ``OSError`` nothing more may
  be written.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvraft.disk import Disk, replace_file
from kvraft.errors import DiskFull
from kvraft.record import HardState, Position
from kvraft.wal.recovery import Recovery
from kvraft.wal.segment import FrameKind, Segment, pack_header
from kvraft.wal.writer import FrameContents, SegmentWriter


class LogFiles:
    """The segments of the log of ``owner``; ``writer`` appends to the active one."""

    def __init__(self, disk: Disk, owner: str, found: Recovery) -> None:
        """Begin with what recovery found: possibly no file at all, or one not durable yet."""
        self._disk = disk
        self._owner = owner
        self._next_id = found.next_id
        self.sealed = [segment for segment in found.segments if segment.sealed]
        first = found.last.index + 1
        unsealed = [segment for segment in found.segments if not segment.sealed]
        segment = unsealed[-1] if unsealed else Segment(found.next_id, first, first, first - 1, 0)
        self.writer = SegmentWriter(disk, owner, segment)

    @property
    def all(self) -> list[Segment]:
        """All segments, oldest first; the last one is active."""
        return [*self.sealed, self.writer.segment]

    @property
    def oldest(self) -> Segment:
        """The first of them."""
        return self.sealed[0] if self.sealed else self.writer.segment

    def begin_segment(self, before: Position, state: HardState, *, continues: bool) -> None:
        """Begin a new active segment after ``before``, with the hard state in its header."""
        number, first = self._next_id, before.index + 1
        header = pack_header(self._owner, number, before, state, continues=continues)
        segment = Segment(number, first, first, first - 1, len(header))
        replace_file(self._disk, segment.name, header)
        self._next_id += 1
        self.writer = SegmentWriter(self._disk, self._owner, segment)

    def rotate(self, before: Position, state: HardState) -> Segment:
        """Begin a new segment, then seal the one before it, which is synced; return the latter."""
        full = self.writer
        self.begin_segment(before, state, continues=True)
        try:
            full.write([FrameContents(FrameKind.SEAL)], sync=True)
        except DiskFull:
            self.remove([self.writer.name])
            self.writer, self._next_id = full, self._next_id - 1
            raise
        self.sealed.append(full.segment._replace(sealed=True))
        return self.sealed[-1]

    def drop_oldest(self) -> Segment:
        """Remove the oldest sealed segment, durably, and return it."""
        self.remove([self.sealed[0].name])
        return self.sealed.pop(0)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, durably."""
        for name in names:
            self._disk.remove(name)
        self._disk.sync_dir()
