"""The growing end of the log: the active segment, and how far each byte of it has come.

::

    ┌─ synced ──────────────┬─ handed over ─────────┐  ┌─ waiting ────────────┐
    │ survives everything   │ the operating system  │  │ packed entries, the  │
    │                       │ has it                │  │ payload of one frame │
    └───────────────────────┴───────────────────────┘  └──────────────────────┘
                            ▲ synced                ▲ segment.size

The log (``wal.py``) decides how far they must come, this part moves them there.

Invariants:

- The ``synced`` field of a frame is never more than was synced when the frame was handed over: by
  it recovery tells a torn end from damage (``frame.py``), whatever durability was asked for.
- What is handed over at one time is one append, and waits no longer than until then.
- After an ``OSError`` nothing here has changed, and nothing more may be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvraft import frame
from kvraft.disk import Disk
from kvraft.logindex import Batch
from kvraft.record import Entry, entry_size, pack_entries
from kvraft.segment import CLOSED, ENTRIES, SEAL, Segment

FRAME_BYTES = 1024 * 1024
"""A frame takes entries up to this many bytes, or one that is larger."""


class Piece(NamedTuple):
    """The contents of one frame to be written; ``first`` … ``last`` are the entries in it."""

    kind: int
    payload: bytes = b""
    first: int = 0
    last: int = -1


class Tail:
    """The active ``segment`` of the log of ``owner``, all of which is durable at first.

    ``closed`` says that its last frame is one without contents, which shields what is before it.
    """

    def __init__(self, disk: Disk, owner: str, segment: Segment, *, closed: bool = True) -> None:
        self._disk = disk
        self._seed = frame.seed_of(owner, segment.name)
        self.segment = segment
        self.synced = segment.size  # bytes
        self.closed = closed
        self._waiting: list[bytes] = []
        self.held = 0  # bytes of entries that wait
        self._first = self._last = 0

    def hold(self, first: int, last: int, payload: bytes) -> int:
        """Let packed entries wait behind those that do; return how many bytes wait now."""
        if not self._waiting:
            self._first = first
        self._waiting.append(payload)
        self._last = last
        self.held += len(payload)
        return self.held

    def waiting(self) -> tuple[Batch, bytes]:
        """Return the entries that wait, and where they will be."""
        payload = b"".join(self._waiting)
        name, at = self.segment.name, self.segment.size
        return Batch(self._first, self._last, self._last, name, at, 0, self.synced), payload

    def write(self, pieces: Sequence[Piece], *, sync: bool) -> list[Batch]:
        """Append what waits and then ``pieces``, and make all that is here durable if asked.

        Return where the entries in it are.  Raises ``OSError``.
        """
        if self._waiting:
            waited = Piece(ENTRIES, b"".join(self._waiting), self._first, self._last)
            pieces = [waited, *pieces]
        data, batches = self._encode(pieces)
        size = self.segment.size + len(data)
        if data:
            self._disk.append(self.segment.name, data)
        if sync and self.synced < size:
            self._disk.sync(self.segment.name)
            self.synced = size
        if pieces:
            self.closed = pieces[-1].kind in (CLOSED, SEAL)
        self.segment = self.segment.grown(batches, size)
        self._waiting, self.held = [], 0
        return batches

    def _encode(self, pieces: Sequence[Piece]) -> tuple[bytes, list[Batch]]:
        name, at = self.segment.name, self.segment.size
        parts: list[bytes] = []
        batches: list[Batch] = []
        for kind, payload, first, last in pieces:
            data = frame.encode(kind, payload, synced=self.synced, seed=self._seed)
            if kind == ENTRIES:
                batches.append(Batch(first, last, last, name, at, len(data), self.synced))
            parts.append(data)
            at += len(data)
        return b"".join(parts), batches


def pieces_of(entries: Sequence[Entry]) -> list[Piece]:
    """Return contiguous ``entries`` in pieces that each fit ``FRAME_BYTES``, or are one entry."""
    pieces: list[Piece] = []
    start, size = 0, 0
    for at, entry in enumerate(entries):
        more = entry_size(entry)
        if at > start and size + more > FRAME_BYTES:
            pieces.append(_piece(entries[start:at]))
            start, size = at, 0
        size += more
    return [*pieces, _piece(entries[start:])] if entries else pieces


def _piece(run: Sequence[Entry]) -> Piece:
    return Piece(ENTRIES, pack_entries(run), run[0].index, run[-1].index)
