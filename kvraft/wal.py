"""The log on disk: Raft's log and the storage engine's write-ahead log are this one thing.

Consensus appends to the newest segment all the time; the tree decides when the oldest ones are no
longer needed.  What the files look like is told in ``segment.py``::

    ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
    │ sealed  │ │ sealed  │ │ sealed  │ │ active  │ ◄── save: hard state, entries, one sync
    └─────────┘ └─────────┘ └─────────┘ └─────────┘
     ▲ drop_below: whole segments, oldest first

Where a snapshot took the place of everything through some entry, the log goes on behind it
(:meth:`Wal.reset`, Raft §7)::

    ┌─────────┐ ┌─────────┐                 ┌─────────┐
    │  void   │ │  void   │  ··· hole ···   │ active  │   continues: no
    └─────────┘ └─────────┘                 └─────────┘
     removed once the new segment, with the hard state in its header, is durable

Invariants:

- A save is one append and one sync, the hard state before the entries; both are durable when it
  returns, so before any message that depends on them leaves (Raft Figure 2, persistent state).
- All that :meth:`Wal.open` found is durable before anything is built on it.
- Nothing is written behind a failed write or sync: the log is stopped, and what is on disk is
  found out by opening it again (Rebello et al., ATC 2020).
- What is kept is a row without a hole, whenever a crash comes.  The hard state is at all times on
  disk, in a segment that counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

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
from kvraft.record import (
    Entry,
    HardState,
    Position,
    entry_size,
    label,
    pack_entries,
    unpack_entries,
)
from kvraft.segment import (
    CLOSED,
    ENTRIES,
    HARD_STATE,
    SEAL,
    Batch,
    Recovery,
    Segment,
    add_batch,
    check_order,
    forget,
    pack_hard_state,
    pack_header,
    place_of,
    recover,
)

__all__ = ["Recovery", "Segment", "Wal", "recover"]

SEGMENT_BYTES = 4 * 1024 * 1024
FRAME_BYTES = 1024 * 1024
"""A frame takes entries up to this many bytes, or one that is larger."""

_CRC_BYTES = 4  # behind the payload of a frame, see frame.py


class Wal:
    """The log of one member, open for reading and writing.  Made by :meth:`open`.

    Every method that reads may raise ``OSError``, and :class:`~kvraft.errors.Damage` if a frame is
    no longer what was written.  A write or sync that fails raises what the disk raised, and from
    then on whatever would write raises :class:`~kvraft.errors.Stopped`: a failed sync is never
    retried (Rebello et al., ATC 2020), the file is read again by the next :meth:`open`.
    """

    def __init__(
        self, disk: Disk, owner: str, segment_bytes: int, report: Report, found: Recovery
    ) -> None:
        self._disk = disk
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._report = report
        self._segments = found.segments
        self._batches = found.batches
        self._base = found.base
        self._last = found.last
        self._hard_state = found.hard_state
        self._closed = found.closed
        self._next_id = found.next_id
        self._stopped = ""

    @classmethod
    def open(
        cls,
        disk: Disk,
        owner: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        report: Report = ignore,
        found: Recovery | None = None,
    ) -> Wal:
        """Open the log of the member ``owner`` on ``disk``; where there is none, begin one.

        A segment that a save leaves at ``segment_bytes`` or more is sealed.  A torn end is cut and
        reported.  All that was read is durable on return: a process that was killed leaves bytes
        and files that can be read, yet would be lost with the power.  ``found`` is what
        :func:`recover` returned, if that was called; a reset that it found begun is finished.

        Raises ``Damage`` and ``Foreign`` as :func:`recover` does, and ``BadInput`` for a size that
        is not positive.
        """
        if segment_bytes < 1:
            raise BadInput(f"a log segment of {segment_bytes} bytes holds nothing")
        found = found or recover(disk, owner)
        wal = cls(disk, owner, segment_bytes, report, found)
        for name in found.leftovers:
            disk.remove(name)
        if found.torn:
            disk.truncate(found.torn.file, found.torn.offset)
        if found.segments:
            disk.sync(found.segments[-1].name)
            disk.sync_dir()
        if found.torn:
            report(TailCut(found.torn.file, found.torn.offset, found.torn.size))
        if not found.segments or found.segments[-1].sealed:
            wal._begin_segment()
        if found.void:
            wal._remove(found.void)
            report(LogReset(*found.base))
        return wal

    @property
    def base(self) -> Position:
        """The place before the first entry kept: index and term."""
        return self._base

    @property
    def first_index(self) -> int:
        """The index of the first entry kept, ``last_index + 1`` if there is none."""
        return self._base.index + 1

    @property
    def last_index(self) -> int:
        """The index of the last entry, ``base.index`` if there is none."""
        return self._last.index

    @property
    def hard_state(self) -> HardState:
        """The hard state saved last."""
        return self._hard_state

    @property
    def segments(self) -> list[Segment]:
        """All segments, oldest first; the last one is active."""
        return list(self._segments)

    def entries(self) -> list[Entry]:
        """Return every entry behind ``base``, read from disk."""
        return self.read(self.first_index, self.last_index)

    def read(self, first: int, last: int) -> list[Entry]:
        """Return the entries ``first`` … ``last`` from disk; none if ``last`` is ``first - 1``.

        Raises ``BadInput`` if the log does not hold all of them.
        """
        if not self.first_index <= first <= last + 1 <= self.last_index + 1:
            held = f"{self.first_index} to {self.last_index}"
            raise BadInput(f"the log holds the entries {held}, not {first} to {last}")
        entries: list[Entry] = []
        at = bisect_left(self._batches, first, key=lambda batch: batch.last)
        while first <= last:
            batch = self._batches[at]
            end = min(last, batch.last) + 1
            entries += self._load(batch)[first - batch.first : end - batch.first]
            first, at = end, at + 1
        return entries

    def save(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Make a new hard state, if any, and entries durable: one append, one sync.

        Entries that begin at or below ``last_index`` supersede all from there on.  Raises
        ``BadInput`` if they leave a gap, begin at or below ``base`` or have falling terms.
        """
        self._check_running()
        if entries:
            self._check(entries)
        elif hard_state is None:
            return
        data, batches = self._encode(hard_state, entries)
        with self._writing():
            self._write(data)
            self._closed = False
            self._hard_state = hard_state or self._hard_state
            for batch in batches:
                add_batch(self._segments, self._batches, batch)
            if entries:
                self._last = place_of(entries[-1])
        if entries and self._report is not ignore:
            self._report(_appended(self._segments[-1], entries))
        if self._segments[-1].size >= self._segment_bytes:
            with self._writing():
                self._rotate()

    def drop_below(self, floor: int) -> list[Segment]:
        """Remove the oldest sealed segments whose every index is below ``floor``; return them.

        The next one is looked at only when the one before it may go, so what is kept has no gap.
        ``base`` moves to the place before the first segment kept.  The caller vouches that no entry
        below ``floor`` will ever be superseded: they are committed (Raft §7).

        Raises ``BadInput`` if ``floor`` is above ``last_index + 1``.
        """
        self._check_running()
        if floor > self.last_index + 1:
            raise BadInput(f"the log ends at {self.last_index}: it cannot be cut below {floor}")
        dropped: list[Segment] = []
        while self._segments[0].sealed and self._segments[0].high < floor:
            oldest, following = self._segments[:2]
            base = max(self._base.index, following.first - 1)
            term = self._term_at(base)
            with self._writing():
                self._disk.remove(oldest.name)
                self._disk.sync_dir()  # before the next one goes: a crash leaves no hole
                del self._segments[0]
                self._base = Position(base, term)
                forget(self._batches, base)
            dropped.append(oldest)
            self._report(SegmentDropped(oldest.id, oldest.low, oldest.high, oldest.size))
        return dropped

    def reset(self, place: Position) -> None:
        """Go on behind ``place``, where a snapshot ends that is durably installed (Raft §7).

        If the log holds the entry there, what follows it stays, and :meth:`drop_below` will do the
        rest.  Otherwise all entries go: ``base`` is ``place``, the hard state is what it was.

        Raises ``BadInput`` if the log was cut behind ``place``, or if its hard state is of a lower
        term: the term in which a snapshot came is saved before it.
        """
        self._check_running()
        if place.term > (term := self._hard_state.term):
            raise BadInput(f"a log saved in term {term} cannot go on behind {place}")
        if place.index <= self._base.index and place != self._base:
            raise BadInput(f"the log begins behind {self._base}: it cannot begin behind {place}")
        if place.index <= self._last.index and self._term_at(place.index) == place.term:
            return
        with self._writing():
            segment = self._make_segment(place, continues=False)
            void, self._segments = self._segments, [segment]
            self._batches, self._base, self._last = [], place, place
            self._remove([old.name for old in void])
        self._report(SegmentOpened(segment.id, segment.first))
        for old in void:
            self._report(SegmentDropped(old.id, old.low, old.high, old.size))
        self._report(LogReset(*place))

    def close(self) -> None:
        """Mark the end as synced, so that later damage to it is seen, and write no more.

        A log that stopped is left as it is.
        """
        if self._stopped:
            return
        with self._writing():
            if not self._closed:
                self._write(self._frame(CLOSED))
        self._stopped = "it was closed"

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _check_running(self) -> None:
        if self._stopped:
            raise Stopped(f"the log of {self._owner} takes no more writes: {self._stopped}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Stop the log for good if what is inside does not come to its end, for any reason."""
        try:
            yield
        except BaseException as error:
            self._stopped = f"a write failed ({str(error) or type(error).__name__})"
            raise

    def _check(self, entries: Sequence[Entry]) -> None:
        first = entries[0].index
        if not self.first_index <= first <= self.last_index + 1:
            held = f"{self.first_index} to {self.last_index}"
            raise BadInput(f"entries from {first} on do not follow a log of {held}")
        try:
            check_order(entries, self._term_at(first - 1))
        except ValueError as error:
            raise BadInput(str(error)) from None

    def _term_at(self, index: int) -> int:
        for known in (self._last, self._base):
            if known.index == index:
                return known.term
        return self.read(index, index)[0].term

    def _load(self, batch: Batch) -> list[Entry]:
        data = self._disk.read(batch.file, batch.offset, batch.length)
        payload = data[frame.OVERHEAD - _CRC_BYTES : -_CRC_BYTES]
        seed = frame.seed_of(self._owner, batch.file)
        if frame.encode(ENTRIES, payload, synced=batch.synced, seed=seed) != data:
            raise Damage(batch.file, batch.offset, "a frame is no longer what was written")
        return unpack_entries(payload)

    def _encode(
        self, hard_state: HardState | None, entries: Sequence[Entry]
    ) -> tuple[bytes, list[Batch]]:
        """Return the frames of one save, and where its entries will be."""
        active = self._segments[-1]
        parts: list[bytes] = []
        batches: list[Batch] = []
        at = active.size
        if hard_state is not None:
            parts.append(self._frame(HARD_STATE, pack_hard_state(hard_state)))
            at += len(parts[-1])
        for run in _runs(entries):
            data = self._frame(ENTRIES, pack_entries(run))
            first, last = run[0].index, run[-1].index
            batches.append(Batch(first, last, active.name, at, len(data), active.size))
            parts.append(data)
            at += len(data)
        return b"".join(parts), batches

    def _frame(self, kind: int, payload: bytes = b"") -> bytes:
        active = self._segments[-1]
        seed = frame.seed_of(self._owner, active.name)
        return frame.encode(kind, payload, synced=active.size, seed=seed)

    def _write(self, data: bytes) -> None:
        """Append to the active segment and sync: its size is at all times what is durable."""
        active = self._segments[-1]
        self._disk.append(active.name, data)
        self._disk.sync(active.name)
        self._segments[-1] = replace(active, size=active.size + len(data))

    def _rotate(self) -> None:
        self._write(self._frame(SEAL))
        sealed = replace(self._segments[-1], sealed=True)
        self._segments[-1] = sealed
        self._report(SegmentSealed(sealed.id, sealed.low, sealed.high, sealed.size))
        self._begin_segment()

    def _begin_segment(self) -> None:
        segment = self._make_segment(self._last, continues=bool(self._segments))
        self._segments.append(segment)
        self._report(SegmentOpened(segment.id, segment.first))

    def _make_segment(self, before: Position, *, continues: bool) -> Segment:
        """Write the file of a new segment, with nothing but a header that holds the hard state."""
        number, first = self._next_id, before.index + 1
        header = pack_header(self._owner, number, before, self._hard_state, continues=continues)
        segment = Segment(number, first, first, first - 1, len(header))
        files.replace(self._disk, segment.name, header)
        self._next_id += 1
        self._closed = True
        return segment

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._disk.remove(name)
        self._disk.sync_dir()


def _runs(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield ``entries`` in runs that each fit a frame of ``FRAME_BYTES``, or are one entry."""
    start, size = 0, 0
    for at, entry in enumerate(entries):
        more = entry_size(entry)
        if at > start and size + more > FRAME_BYTES:
            yield entries[start:at]
            start, size = at, 0
        size += more
    if entries:
        yield entries[start:]


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
