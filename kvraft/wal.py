"""The log on disk: Raft's log and the storage engine's write-ahead log are this one thing.

Consensus appends to the newest segment all the time; the tree decides when the oldest ones are no
longer needed.  What the files look like is told in ``segment.py``::

    ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
    │ sealed  │ │ sealed  │ │ sealed  │ │ active  │ ◄── save: hard state, entries, one sync
    └─────────┘ └─────────┘ └─────────┘ └─────────┘
     ▲ drop_below: whole segments, oldest first

How far its end comes towards the disk (``tail.py``) is the caller's choice of
:class:`Durability`.  Consensus takes ``SYNC``; a store without it may take less.

Where a snapshot took the place of everything through some entry, the log goes on behind it
(:meth:`Wal.reset`, Raft §7)::

    ┌─────────┐ ┌─────────┐                 ┌─────────┐
    │  void   │ │  void   │  ··· hole ···   │ active  │   continues: no
    └─────────┘ └─────────┘                 └─────────┘
     removed once the new segment, with the hard state in its header, is durable

Invariants:

- A save is one append and one sync for all it holds (group commit), the hard state before the
  entries; both are durable when it returns, so before any message that depends on them leaves
  (Raft Figure 2, persistent state).  A hard state is never less than ``SYNC``.
- Whatever level was asked for, a crash leaves a prefix of what was written, and at least what was
  synced.  A segment is synced before it is sealed, so a loss is never followed by more.
- All that :meth:`Wal.open` found is durable before anything is built on it.
- Nothing is written behind a failed write or sync: the log is stopped, and what is on disk is
  found out by opening it again (Rebello et al., ATC 2020).
- What is kept is a row without a hole, whenever a crash comes.  The hard state is at all times on
  disk, in a segment that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import NoReturn

from kvraft import disk as files
from kvraft import frame
from kvraft.disk import Disk
from kvraft.errors import BadInput, Damage, Stopped
from kvraft.events import (
    Appended,
    LogReset,
    Report,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    TailCut,
    ignore,
)
from kvraft.logindex import Batch, LogIndex, turns_of
from kvraft.record import (
    Entry,
    HardState,
    Position,
    label,
    survey_entries,
    unpack_entries,
)
from kvraft.segment import (
    CLOSED,
    ENTRIES,
    HARD_STATE,
    SEAL,
    Recovery,
    Segment,
    check_follows,
    mend,
    pack_hard_state,
    pack_header,
    recover,
)
from kvraft.tail import Piece, Tail, pieces_of

__all__ = ["Durability", "Recovery", "Segment", "Wal", "recover"]

SEGMENT_BYTES = 4 * 1024 * 1024
BUFFER_BYTES = 64 * 1024
"""What waits in the process is handed over when it comes to this many bytes."""

    def _begin_term(self, first: int) -> None:
        """Let the entry ``first`` be of the hard state's term, if that is above the last one's."""
        if self._index.newest_term < (term := self._hard_state.term):
            self._index.extend([Position(first, term)], first)

    def _buffer(self, piece: Piece) -> None:
        """Let entries wait."""
        if self._tail.held and piece.first <= self.last_index:
            self._settle(sync=False)  # a frame supersedes nothing of itself
        turns, last = survey_entries(piece.payload)
        self._extend(turns, last)
        if self._tail.hold(piece.first, last, piece.payload) >= BUFFER_BYTES:
            self._settle(sync=False)

    def _extend(self, turns: Sequence[Position], last: int) -> None:
        self._index.extend(turns, last)
        self._synced_index = min(self._synced_index, turns[0].index - 1)

    def _settle(self, *, sync: bool) -> None:
        if self._tail.held and not sync and self._report is ignore:  # the way of every put
            try:
                self._index.batches.append(self._tail.hand_over())
            except BaseException as error:
                self._fail(error)
                raise
        else:
            self._write(sync=sync)
        self._rotate_if_full()

    def _write(
        self, pieces: Sequence[Piece] = (), turns: Sequence[Position] = (), *, sync: bool
    ) -> None:
        """Write what waits and then ``pieces``, whose entries have ``turns``, and take note."""
        tail, waits = self._tail, self._tail.held > 0
        waited = tail.waiting()[1] if waits and self._report is not ignore else b""
        with self._writing():
            batches = tail.write(pieces, sync=sync)
        if waits:
            self._index.place(batches.pop(0))
        if turns:
            self._extend(turns, pieces[-1].last)
        for batch in batches:
            self._index.place(batch)
        if sync:
            self._synced_index = self.last_index
        if waited:
            self._report(_appended(tail.segment, unpack_entries(waited)))

    def _rotate_if_full(self) -> None:
        if self._tail.size < self._segment_bytes:
            return
        self._write(sync=True)  # so that the seal vouches for all before it
        self._write([Piece(SEAL)], sync=True)
        sealed = self._tail.segment._replace(sealed=True)
        self._sealed.append(sealed)
        self._report(SegmentSealed(sealed.id, sealed.low, sealed.high, sealed.size))
        with self._writing():
            self._begin_segment()

    def _begin_segment(self) -> None:
        self._make_segment(self._index.end, continues=bool(self._sealed))
        self._report(SegmentOpened(self._tail.segment.id, self._tail.segment.first))

    def _make_segment(self, before: Position, *, continues: bool) -> None:
        """Write the file of a new segment, with nothing but a header that holds the hard state."""
        number, first = self._next_id, before.index + 1
        header = pack_header(self._owner, number, before, self._hard_state, continues=continues)
        segment = Segment(number, first, first, first - 1, len(header))
        files.replace(self._disk, segment.name, header)
        self._next_id += 1
        self._tail = Tail(self._disk, self._owner, segment)

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._disk.remove(name)
        self._disk.sync_dir()


def _stretches(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    """Yield ``batches`` in lists of such as lie in one file, near each other and in order."""
    stretch: list[Batch] = []
    for batch in batches:
        if stretch and (
            batch.file != stretch[-1].file
            or batch.offset < stretch[-1].offset
            or batch.offset + batch.length - stretch[0].offset > _READ_BYTES
        ):
            yield stretch
            stretch = []
        stretch.append(batch)
    if stretch:
        yield stretch


def _appended(segment: Segment, entries: Sequence[Entry]) -> Appended:
    records = [entry.record for entry in entries]
    return Appended(
        segment.id,
        entries[0].index,
        tuple(entry.term for entry in entries),
        tuple(label(record.key) for record in records),
        tuple(str(record.txn) if record.kind.is_data else "" for record in records),
        tuple(record.commit for record in records),
    )
