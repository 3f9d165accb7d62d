"""The growing end of the log: the active segment, and how far each byte of it has come.

::

    ┌─ synced ──────────────┬─ handed over ─────────┐  ┌─ waiting ────────────┐
    │ survives everything   │ the operating system  │  │ packed entries, the  │
    │                       │ has it                │  │ payload of one frame │
    └───────────────────────┴───────────────────────┘  └──────────────────────┘
                            ▲ synced                ▲ size

The log (``wal/wal.py``) decides how far they must come, this part moves them there.

Invariants:

- The ``synced`` field of a frame is never more than was synced when the frame was handed over: by
  it recovery tells a torn end from damage (``disk/frame.py``), whatever durability was asked for.
- What is handed over at one time is one append, and waits no longer than until then.
- After an ``OSError`` nothing here has changed, and nothing more may be written; unless it is
  :class:`~kvraft.errors.DiskFull`: then the file ends again where it did, and all may go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvraft.disk import Disk, frame, is_disk_full
from kvraft.errors import DiskFull
from kvraft.record import Entry, entry_size, pack_entries
from kvraft.wal.index import FrameLocation
from kvraft.wal.segment import CLOSED, ENTRIES, SEAL, Segment

_EMPTY = (CLOSED, SEAL)
MAX_ENTRIES_FRAME_BYTES = 1024 * 1024
"""A frame takes entries up to this many bytes, or one that is larger."""


class FrameContents(NamedTuple):
    """The contents of one frame to be written; ``first`` … ``last`` are the entries in it."""

    kind: int
    payload: bytes = b""
    first: int = 0
    last: int = -1


class SegmentWriter:
    """The active segment of the log of ``owner``, all of which is durable at first.

    ``size`` is how many bytes of it were handed over, ``synced`` how many are durable.
    ``ends_empty`` says that its last frame is one without contents, which shields what is before
    it.
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
        self._waiting: list[bytes] = []
        self.buffered_bytes = 0  # bytes of entries that wait
        self._first = self._last = 0

    @property
    def segment(self) -> Segment:
        """The segment as it is now, without what waits."""
        return self._began._replace(low=self._low, high=self._high, size=self.size)

    def buffer(self, first: int, last: int, payload: bytes) -> int:
        """Let packed entries wait behind those that do; return how many bytes wait now."""
        if not self._waiting:
            self._first = first
        self._waiting.append(payload)
        self._last = last
        self.buffered_bytes += len(payload)
        return self.buffered_bytes

    def buffered(self) -> tuple[FrameLocation, bytes]:
        """Return the entries that wait, and where they will be."""
        payload, first, last = self._held()
        return FrameLocation(first, last, last, self.name, self.size, 0, self.synced), payload

    def flush_buffer(self) -> FrameLocation:
        """Append what waits, as one frame, and return where it is.  Raises ``OSError``."""
        payload, first, last = self._held()
        data = frame.encode(ENTRIES, payload, synced=self.synced, seed=self._seed)
        self._put(data)
        size = len(data)
        batch = FrameLocation(first, last, last, self.name, self.size, size, self.synced)
        self._grow(first, last, size)
        self.ends_empty = False
        self._waiting.clear()
        self.buffered_bytes = 0
        return batch

    def _held(self) -> tuple[bytes, int, int]:
        waiting = self._waiting
        payload = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        return payload, self._first, self._last

    def write(self, pieces: Sequence[FrameContents], *, sync: bool) -> list[FrameLocation]:
        """Append what waits and then ``pieces``, and make all that is here durable if asked.

        Return where the entries in it are.  Raises ``OSError``.
        """
        batches: list[FrameLocation] = []
        if pieces:
            waiting = [FrameContents(ENTRIES, *self._held())] if self._waiting else []
            batches = self._append([*waiting, *pieces])
            self._waiting.clear()
            self.buffered_bytes = 0
        elif self._waiting:
            batches = [self.flush_buffer()]
        if sync and self.synced < self.size:
            self._disk.sync(self.name)
            self.synced = self.size
        return batches

    def _append(self, pieces: Sequence[FrameContents]) -> list[FrameLocation]:
        """Append ``pieces`` in one go."""
        name, at, synced = self.name, self.size, self.synced
        parts: list[bytes] = []
        batches: list[FrameLocation] = []
        for kind, payload, first, last in pieces:
            data = frame.encode(kind, payload, synced=synced, seed=self._seed)
            if kind == ENTRIES:
                batches.append(FrameLocation(first, last, last, name, at, len(data), synced))
            parts.append(data)
            at += len(data)
        data = b"".join(parts)
        self._put(data)
        for batch in batches:
            self._grow(batch.first, batch.last, 0)
        self.size += len(data)
        self.ends_empty = pieces[-1].kind in _EMPTY
        return batches

    def _put(self, data: bytes) -> None:
        """Append ``data``, all of it or, where there is no space for all, nothing."""
        try:
            self._disk.append(self.name, data)
        except OSError as error:
            if not is_disk_full(error):
                raise
            self._disk.truncate(self.name, self.size)
            what = f"there is no space for {len(data)} bytes more in {self.name}"
            raise DiskFull(what) from error

    def unbuffer(self, first: int) -> None:
        """Let the entries from ``first`` on, which were the last to be held, wait no more."""
        self.buffered_bytes -= len(self._waiting.pop())
        self._last = first - 1

    def _grow(self, first: int, last: int, size: int) -> None:
        if self._low > self._high:
            self._low, self._high = first, last
        else:
            self._low = first if first < self._low else self._low
            self._high = last if last > self._high else self._high
        self.size += size


def frames_for(entries: Sequence[Entry]) -> list[FrameContents]:
    """Return contiguous ``entries`` in pieces of ``MAX_ENTRIES_FRAME_BYTES`` or of one entry."""
    pieces: list[FrameContents] = []
    start, size = 0, 0
    for at, entry in enumerate(entries):
        more = entry_size(entry)
        if at > start and size + more > MAX_ENTRIES_FRAME_BYTES:
            pieces.append(_piece(entries[start:at]))
            start, size = at, 0
        size += more
    return [*pieces, _piece(entries[start:])] if entries else pieces


def _piece(run: Sequence[Entry]) -> FrameContents:
    return FrameContents(ENTRIES, pack_entries(run), run[0].index, run[-1].index)
