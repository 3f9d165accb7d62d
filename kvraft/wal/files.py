"""The files of one log: the sealed segments, oldest first, and the active one.

::

    ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
    │ sealed  │ │ sealed  │ │ sealed  │ │ active  │ ◄── wal/writer.py
    └─────────┘ └─────────┘ └─────────┘ └─────────┘
     ▲ drop_oldest                 rotate ▲ ▲ begin

Invariants:

- A new segment is durable before the one it follows is sealed: then a log that ends in a sealed
  segment has lost one.
- The oldest segment is gone for good before the next one goes: so a crash leaves no hole.
- Where a call raises ``DiskFull``, all is as it was; after another ``OSError`` nothing more may be
  written.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvraft.disk import Disk, replace_file
from kvraft.errors import DiskFull
from kvraft.record import HardState, Position
from kvraft.wal.recovery import Recovery
from kvraft.wal.segment import SEAL, Segment, pack_header
from kvraft.wal.writer import FrameContents, SegmentWriter


class LogFiles:
    """The segments of the log of ``owner``; ``tail`` is the active one, which grows."""

    def __init__(self, disk: Disk, owner: str, found: Recovery) -> None:
        """Begin with what was found; it may not be durable yet, and there may be no file at all."""
        self._disk = disk
        self._owner = owner
        self._next_id = found.next_id
        self.sealed = [segment for segment in found.segments if segment.sealed]
        first = found.last.index + 1
        newest = [segment for segment in found.segments if not segment.sealed]
        segment = newest[-1] if newest else Segment(found.next_id, first, first, first - 1, 0)
        self.tail = SegmentWriter(disk, owner, segment)

    @property
    def all(self) -> list[Segment]:
        """All segments, oldest first; the last one is active."""
        return [*self.sealed, self.tail.segment]

    def begin(self, before: Position, state: HardState, *, continues: bool) -> None:
        """Make a new segment the active one: nothing but a header, which holds the hard state."""
        number, first = self._next_id, before.index + 1
        header = pack_header(self._owner, number, before, state, continues=continues)
        segment = Segment(number, first, first, first - 1, len(header))
        replace_file(self._disk, segment.name, header)
        self._next_id += 1
        self.tail = SegmentWriter(self._disk, self._owner, segment)

    def rotate(self, before: Position, state: HardState) -> Segment:
        """Begin a new segment and seal the one before it, all of which is synced; return that."""
        full = self.tail
        self.begin(before, state, continues=True)
        try:
            full.write([FrameContents(SEAL)], sync=True)
        except DiskFull:
            self.remove([self.tail.name])
            self.tail, self._next_id = full, self._next_id - 1
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
