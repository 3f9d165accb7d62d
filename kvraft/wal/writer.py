"""The segment writer: it appends to the active segment, and knows how far each byte has come.

::

    ┌─ synced ──────────────┬─ handed over ─────────┐  ┌─ buffered ───────────┐
    │ survives power loss   │ the operating system  │  │ packed entries, the  │
    │                       │ has it                │  │ payload of one frame │
    └───────────────────────┴───────────────────────┘  └──────────────────────┘
                            ▲ synced                ▲ size

The log (``wal/wal.py``) decides how far they must come; the writer moves them there.

Invariants:

- The ``synced`` field of a frame never exceeds what was synced when the frame was handed over.  By
  it recovery distinguishes a torn end from damage (``disk/frame.py``), at every durability.
- Everything that is handed over together is one append.
- An ``OSError`` leaves the writer's state unchanged, and nothing more may be written, except after
  :class:`~kvraft.errors.DiskFull`: then the file is truncated to where it ended before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from kvraft.disk import Disk, frame, is_disk_full
from kvraft.errors import DiskFull
from kvraft.record import Entry, Timestamp, entry_size, pack_entries
from kvraft.wal.index import FrameLocation
from kvraft.wal.segment import FrameKind, Segment
from kvraft.wal.writes import frame_write

_ENTRIES = int(FrameKind.ENTRIES)  # a global is found faster than a member of an Enum
_EMPTY = (FrameKind.CLOSED, FrameKind.SEAL)
MAX_ENTRIES_FRAME_BYTES = 1024 * 1024
"""A frame contains entries of at most this many bytes, or one larger entry."""
_NO_RUN = -2  # no index follows it


class FrameContents(NamedTuple):
    """The contents of a frame to write; ``first`` … ``last`` are the entries in it."""

    kind: int
    payload: bytes = b""
    first: int = 0
    last: int = -1


class SegmentWriter:
    """Appends to the active segment of the log of ``owner``, which is durable when it begins.

    ``size`` is how many bytes of the segment were handed over, ``synced`` how many of them are
    durable, ``buffered_bytes`` how many bytes of entries are buffered.  ``ends_empty`` says that
    the last frame has no contents: it records that everything before it was synced.
    """

    def __init__(
        self, disk: Disk, owner: str, segment: Segment, *, ends_empty: bool = True
    ) -> None:
        self._disk = disk
        self._seed = frame.checksum_seed(owner, segment.name)
        self._began = segment
        self.name = segment.name
        self.size = self.synced = segment.size
        self.ends_empty = ends_empty
        self._low, self._high = segment.low, segment.high
        self._buffer: list[bytes] = []
        self.buffered_bytes = 0
        self._first = self._last = 0
        self._run_first, self._run_last = 0, _NO_RUN
        self.run_offset = segment.size

    @property
    def segment(self) -> Segment:
        """The segment as it is now, without what is buffered."""
        low, high = self._low, self._high
        if self._run_last != _NO_RUN:
            low, high = _widened(low, high, self._run_first, self._run_last)
        return Segment(self._began.id, self._began.first, low, high, self.size)

    def buffer(self, first: int, last: int, payload: bytes) -> int:
        """Add packed entries to the buffer; return how many bytes it holds."""
        if not self._buffer:
            self._first = first
        self._buffer.append(payload)
        self._last = last
        self.buffered_bytes += len(payload)
        return self.buffered_bytes

    def buffered(self) -> tuple[FrameLocation, bytes]:
        """Return where the buffered entries will be, and the entries packed."""
        payload, first, last = self._join_buffer()
        return FrameLocation(first, last, last, self.name, self.size, 0), payload

    def append_write(
        self, index: int, timestamp: Timestamp, key: bytes, value: bytes | None
    ) -> int:
        """Append one put or delete as a frame of its own to the run; return the segment's size.

        Nothing may be buffered.  Raises ``OSError``.
        """
        at = self.size
        data = frame_write(index, timestamp, key, value, self.synced, self._seed ^ at)
        try:
            self._disk.append(self.name, data)
        except OSError as error:
            self._undo(data, error)
        self.size = end = at + len(data)
        self.ends_empty = False
        if index != self._run_last + 1:
            self._run_first, self.run_offset = index, at
        self._run_last = index
        return end

    def take_run(self) -> FrameLocation | None:
        """Return the location of the run, and begin another; ``None`` if there is none.

        It has all that :meth:`append_write` and :meth:`flush_buffer` appended since the last call,
        and after it no other frame.
        """
        first, last, offset = self._run_first, self._run_last, self.run_offset
        self.run_offset, self._run_last = self.size, _NO_RUN
        if last == _NO_RUN:
            return None
        self._low, self._high = _widened(self._low, self._high, first, last)
        return FrameLocation(first, last, last, self.name, offset, self.size - offset)

    def flush_buffer(self) -> None:
        """Append the buffer as one frame of the run.  Raises ``OSError``."""
        payload, first, last = self._join_buffer()
        at, synced = self.size, self.synced
        data = frame.encode(_ENTRIES, payload, synced=synced, seed=self._seed, offset=at)
        self._append_bytes(data)
        self.size += len(data)
        self.ends_empty = False
        if first != self._run_last + 1:
            self._run_first, self.run_offset = first, at
        self._run_last = last
        self._buffer.clear()
        self.buffered_bytes = 0

    def _join_buffer(self) -> tuple[bytes, int, int]:
        parts = self._buffer
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        return payload, self._first, self._last

    def write(self, frames: Sequence[FrameContents], *, sync: bool) -> list[FrameLocation]:
        """Append the buffer and then ``frames``; with ``sync``, make the whole segment durable.

        Return the locations of the frames with entries; without ``frames`` the buffer is added to
        the run instead.  Raises ``OSError``.
        """
        locations: list[FrameLocation] = []
        if frames:
            buffered = [FrameContents(_ENTRIES, *self._join_buffer())] if self._buffer else []
            locations = self._append([*buffered, *frames])
            self._buffer.clear()
            self.buffered_bytes = 0
        elif self._buffer:
            self.flush_buffer()
        if sync and self.synced < self.size:
            self._disk.sync(self.name)
            self.synced = self.size
        return locations

    def _append(self, frames: Sequence[FrameContents]) -> list[FrameLocation]:
        """Append ``frames`` with one write."""
        name, at, synced = self.name, self.size, self.synced
        parts: list[bytes] = []
        locations: list[FrameLocation] = []
        for kind, payload, first, last in frames:
            data = frame.encode(kind, payload, synced=synced, seed=self._seed, offset=at)
            if kind == _ENTRIES:
                locations.append(FrameLocation(first, last, last, name, at, len(data)))
            parts.append(data)
            at += len(data)
        self._append_bytes(parts[0] if len(parts) == 1 else b"".join(parts))
        for location in locations:
            first, last = location.first, location.last
            self._low, self._high = _widened(self._low, self._high, first, last)
        self.size = self.run_offset = at
        self.ends_empty = frames[-1].kind in _EMPTY
        return locations

    def _append_bytes(self, data: bytes) -> None:
        """Append all of ``data``, or nothing if there is no space for all of it."""
        try:
            self._disk.append(self.name, data)
        except OSError as error:
            self._undo(data, error)

    def _undo(self, data: bytes, error: OSError) -> NoReturn:
        """Raise ``error`` of an append of ``data``; if the disk was full, take the append back."""
        if not is_disk_full(error):
            raise error
        self._disk.truncate(self.name, self.size)
        what = f"there is no space for {len(data)} bytes more in {self.name}"
        raise DiskFull(what) from error

    def unbuffer(self, first: int) -> None:
        """Take the entries from ``first`` on, which were buffered last, out of the buffer again."""
        self.buffered_bytes -= len(self._buffer.pop())
        self._last = first - 1


def _widened(low: int, high: int, first: int, last: int) -> tuple[int, int]:
    """Return the smallest and largest index of a segment after ``first`` … ``last`` were added."""
    return (first, last) if low > high else (min(low, first), max(high, last))


def frames_for(entries: Sequence[Entry]) -> list[FrameContents]:
    """Return frames for contiguous ``entries``: ``MAX_ENTRIES_FRAME_BYTES`` or one entry each."""
    if not entries:
        return []
    whole = _entries_frame(entries)  # to pack them is the fastest way to measure them, too
    if len(entries) == 1 or len(whole.payload) <= MAX_ENTRIES_FRAME_BYTES:
        return [whole]
    frames: list[FrameContents] = []
    start, size = 0, 0
    for at, entry in enumerate(entries):
        more = entry_size(entry)
        if at > start and size + more > MAX_ENTRIES_FRAME_BYTES:
            frames.append(_entries_frame(entries[start:at]))
            start, size = at, 0
        size += more
    return [*frames, _entries_frame(entries[start:])]


def _entries_frame(run: Sequence[Entry]) -> FrameContents:
    return FrameContents(_ENTRIES, pack_entries(run), run[0].index, run[-1].index)
