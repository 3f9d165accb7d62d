"""The open log: saving, appending and reading entries, and removing the oldest segments.

::

    ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
    │ sealed  │ │ sealed  │ │ sealed  │ │ active  │ ◄── save: hard state, entries, one sync
    └─────────┘ └─────────┘ └─────────┘ └─────────┘
     ▲ drop_below: whole segments, oldest first

The caller chooses by :class:`Durability` how far entries come towards the disk
(``wal/writer.py``).  Consensus needs ``SYNC``; a store without consensus may use less.

A snapshot that is installed replaces all entries through some position, and the log continues after
that position (:meth:`Wal.reset`, Raft §7)::

    ┌─────────┐ ┌─────────┐                 ┌─────────┐
    │  void   │ │  void   │  ··· hole ···   │ active  │   continues: no
    └─────────┘ └─────────┘                 └─────────┘
     removed once the new segment, with the hard state in its header, is durable

Invariants:

- A save is one append and one sync (group commit), with the hard state before the entries.  Both
  are durable when it returns, and so before any message that depends on them leaves (Raft Figure 2,
  persistent state).  A hard state is always written with ``SYNC``.
- At every durability a crash leaves a prefix of what was written, and at least what was synced.  A
  segment is synced before it is sealed, so nothing survives that follows a loss.
- Everything that :meth:`Wal.open` found is durable before anything is written after it.
- Nothing is written after a failed write or sync.  The log stops; only opening it again shows what
  is on disk (Rebello et al., ATC 2020).
- A write that finds the disk full is undone, and the next one finds the log as it was.  If it
  cannot be undone, the log stops.
- The entries kept are contiguous, whenever a crash comes.  The hard state is always on disk, in a
  segment that is not void.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum

from kvraft.disk import Disk, frame, refuse_after_fork
from kvraft.errors import BadInput, Corruption, DiskFull, Locked, Stopped
from kvraft.events import (
    DiskFilled,
    EventSink,
    LogReset,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SpaceRecovered,
    TailTruncated,
    ignore,
)
from kvraft.inputs import instance, whole_number
from kvraft.record import (
    NO_LOG,
    Entry,
    HardState,
    LogEnd,
    Position,
    Timestamp,
    summarize_entries,
    unpack_entries,
)
from kvraft.wal.files import LogFiles
from kvraft.wal.index import FrameLocation, LogIndex, term_starts
from kvraft.wal.recovery import Recovery, make_durable, recover
from kvraft.wal.segment import (
    RUN_BYTES,
    FrameKind,
    Segment,
    entries_appended,
    pack_hard_state,
    read_frames,
)
from kvraft.wal.writer import FrameContents, frames_for
from kvraft.wal.writes import pack_write

SEGMENT_BYTES = 4 * 1024 * 1024
BUFFER_BYTES = 64 * 1024
"""The buffer is handed over to the system once it holds this many bytes."""


class Durability(Enum):
    """What entries survive once the call that wrote them has returned."""

    SYNC = "the loss of power"
    OS = "the end of the process, for the operating system has them"
    BUFFERED = "nothing: they are buffered in the process until something hands them over"


_BUFFERED = Durability.BUFFERED  # a global is found faster than a member of an Enum
_OS = Durability.OS


class Wal:
    """The log of one member, open for reading and writing; :meth:`open` opens it.

    ``out_of_space`` says what found no space; it is ``""`` again after a write has succeeded.

    Every method that reads may raise ``OSError``, and :class:`~kvraft.errors.Corruption` if a frame
    is not what was written.  A failed write or sync raises the disk's error.  After it every method
    that writes raises :class:`~kvraft.errors.Stopped`: a failed sync is never retried (Rebello et
    al., ATC 2020), and the next :meth:`open` reads the files again.

    It is for one thread at a time, which :class:`~kvraft.store.Store` ensures.  In a forked child
    it raises :class:`~kvraft.errors.Locked`, and closing it there does nothing.
    """

    def __init__(
        self, disk: Disk, owner: str, segment_bytes: int, report: EventSink, found: Recovery
    ) -> None:
        self._disk = disk
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._report = report
        self._files = LogFiles(disk, owner, found)
        self._index = found.index
        self._synced_index = found.durable
        self._hard_state = found.hard_state
        self._stopped = ""
        self._failed = False
        self._recovery: Recovery | None = found  # until all of it is durable
        self.out_of_space = ""
        self._forked = ""  # why this process may not use it, if it is the child of one that may
        refuse_after_fork(self, disk)

    @classmethod
    def open(
        cls,
        disk: Disk,
        owner: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        report: EventSink = ignore,
        found: Recovery | None = None,
        read_only: bool = False,
    ) -> Wal:
        """Open the log of the member ``owner`` on ``disk``, or begin one if there is none.

        A segment that has reached ``segment_bytes`` after a save is sealed.  A torn end is
        truncated, kept in a file of its own (``TornTail.copy_name``) and reported.  All entries
        found are durable on return: a process that was killed leaves bytes and files that can be
        read and yet would not survive a power loss.  ``found`` is the result of :func:`recover`, if
        the caller has it; a reset that was interrupted is completed.

        With ``read_only`` nothing is written, every write is refused, and the last entries may not
        be durable yet (:attr:`synced_index`).

        Raises ``Corruption`` and ``ForeignFile`` as :func:`recover` does, and ``BadInput`` if
        ``segment_bytes`` is not a positive whole number.
        """
        whole_number(segment_bytes, "segment_bytes", minimum=1)
        wal = cls(disk, owner, segment_bytes, report, found or recover(disk, owner))
        if read_only:
            wal._stopped, wal._failed = "it was opened for reading only", True
            wal._recovery = None
            return wal
        with suppress(DiskFull):
            wal.finish_recovery()
        return wal

    def finish_recovery(self) -> None:
        """Make durable what was found on opening, so that writes may follow; then do nothing.

        Raises :class:`~kvraft.errors.DiskFull` if there is no space for it.  Until it succeeds, the
        log can be read, and every write tries this first.
        """
        found = self._recovery
        if found is None:
            return
        with self._writing():
            try:
                self._make_durable(found)
            except DiskFull as error:
                what = f"what was found in the log cannot be made durable: {error}"
                raise DiskFull(what) from error
        self._recovery, self._synced_index = None, self._index.last
        self._record_space("")

    def _make_durable(self, found: Recovery) -> None:
        torn = found.torn
        make_durable(self._disk, found)
        if torn is not None:
            self._report(TailTruncated(torn.file, torn.offset, torn.size))
        if found.segments and not found.segments[-1].sealed:
            self._files.writer.ends_empty = found.cleanly_closed
        else:
            self._files.begin_segment(self._index.end, self._hard_state, continues=False)
            self._report_opened()
        if found.obsolete:
            self._files.remove(found.obsolete)
            self._report(LogReset(*found.base))

    # ── contents ─────────────────────────────────────────────────────────────────────────────────

    @property
    def base(self) -> Position:
        """The position before the first entry kept."""
        return self._index.base

    @property
    def first_index(self) -> int:
        """The index of the first entry kept; ``last_index + 1`` if there is none."""
        return self._index.base.index + 1

    @property
    def last_index(self) -> int:
        """The index of the last entry; ``base.index`` if there is none."""
        return self._index.last

    @property
    def synced_index(self) -> int:
        """The index through which all entries survive a power loss."""
        return self._synced_index

    def synced_end(self) -> LogEnd:
        """The active segment, and how many bytes of it are synced; ``NO_LOG`` if unknown."""
        if self._recovery is not None or self._failed:
            return NO_LOG
        return LogEnd(self._files.writer.segment.id, self._files.writer.synced)

    @property
    def hard_state(self) -> HardState:
        """The hard state saved last."""
        return self._hard_state

    @property
    def segments(self) -> list[Segment]:
        """All segments, oldest first; the last one is active, its size without what is buffered."""
        return self._files.all

    @property
    def sealed_segments(self) -> Sequence[Segment]:
        """All of :attr:`segments` but the active one."""
        return self._files.sealed

    @property
    def oldest_segment(self) -> Segment:
        """The first of :attr:`segments`."""
        return self._files.oldest

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``, or of ``base``."""
        return self._index.term_at(index)

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``."""
        return self._index.find_conflict_by_term(term, index)

    def entries(self) -> list[Entry]:
        """Return all entries after ``base``, read from disk."""
        return self.read(self.first_index, self.last_index)

    def read(self, first: int, last: int) -> list[Entry]:
        """Return the entries ``first`` … ``last`` from disk; none if ``last`` is ``first - 1``.

        Raises ``BadInput`` if the log does not have all of them.
        """
        entries: list[Entry] = []
        for location, payload in self._packed(first, last):
            try:
                entries += unpack_entries(payload)
            except ValueError as error:
                raise Corruption(location.file, location.offset, str(error)) from None
        return entries

    def payloads(self, first: int, last: int) -> Iterator[bytes]:
        """Yield the entries ``first`` … ``last`` packed (``record.py``), frame by frame.

        This is :meth:`read` for a caller that does not need an ``Entry`` of each.  No entry may be
        removed until it ends.  Raises as :meth:`read` does.
        """
        for _, payload in self._packed(first, last):
            yield payload

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def save(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        durability: Durability = Durability.SYNC,
    ) -> None:
        """Write a new hard state, if any, and entries, by one append and one sync.

        Entries that begin at or below ``last_index`` supersede all from there on.  A ``durability``
        below ``SYNC`` counts only without a hard state.  Raises ``BadInput`` if the entries leave a
        gap, begin at or below ``base`` or have falling terms.
        """
        self._check_running()
        starts = self._check_entries(entries) if entries else []
        frames = frames_for(entries)
        if hard_state is not None:
            durability = Durability.SYNC
            frames.insert(0, FrameContents(FrameKind.HARD_STATE, pack_hard_state(hard_state)))
        elif not frames:
            return
        if durability is _BUFFERED:
            supersedes = entries[0].index <= self.last_index
            if supersedes or self._files.writer.buffered_bytes >= BUFFER_BYTES:
                self._write_buffer(sync=False)  # a frame supersedes nothing in itself
                self._index_run()
            for each in frames:
                self._buffer(each)
            return
        self._write(frames, starts, sync=durability is Durability.SYNC)
        self._hard_state = hard_state or self._hard_state
        if entries and self._report is not ignore:
            self._report(entries_appended(self._files.writer.segment, entries))
        self._rotate_if_full()

    def append_write(
        self,
        durability: Durability,
        index: int,
        timestamp: Timestamp,
        key: bytes,
        value: bytes | None,
    ) -> bool:
        """Write one put, or delete for a value of ``None``: :meth:`append` for a log without terms.

        What a put costs on its way to the system (:meth:`SegmentWriter.append_write`) is nearly all
        that it costs.
        """
        if self._stopped or self._recovery is not None:
            self._check_running()
        writer = self._files.writer
        if index != self._index.last + 1:
            raise BadInput(f"entry {index} does not follow entry {self._index.last}")
        if durability is not _OS or writer.buffered_bytes or self._report is not ignore:
            payload = pack_write(index, timestamp, key, value)
            if durability is not _BUFFERED or writer.buffered_bytes + len(payload) >= BUFFER_BYTES:
                return self.append(index, index, payload, durability)
            writer.buffer(index, index, payload)
            self._index.last = index
            return False
        try:
            size = writer.append_write(index, timestamp, key, value)
        except BaseException as error:
            self._note_failure(error)
            raise
        self._index.last = index
        if self.out_of_space:
            self._record_space("")
        if size >= self._segment_bytes or size - writer.run_offset >= RUN_BYTES:
            self._rotate_if_full()
        return writer is not self._files.writer

    def append(
        self, first: int, last: int, payload: bytes, durability: Durability = Durability.SYNC
    ) -> bool:
        """Write the packed entries ``first`` … ``last``; return whether a segment was sealed.

        This is the short way, for a store without consensus.  The caller guarantees that
        ``payload`` is what :func:`~kvraft.record.pack_entries` returns for these entries, all of
        the current term: the hard state's, or the last entry's if that is newer.  Buffered appends
        share a frame.  Raises ``BadInput`` unless ``first`` follows ``last_index``.
        """
        if self._stopped or self._recovery is not None:
            self._check_running()
        index, writer = self._index, self._files.writer
        if not first == index.last + 1 <= last:
            raise BadInput(f"entries {first} to {last} do not follow entry {index.last}")
        if len(payload) > frame.MAX_PAYLOAD_BYTES:
            raise BadInput(f"{len(payload)} bytes are too many for a frame of the log")
        if not writer.buffered_bytes and index.newest_term < (term := self._hard_state.term):
            index.extend([Position(first, term)], first)
        buffered = writer.buffer(first, last, payload)
        index.last = last
        if durability is not _BUFFERED or buffered >= BUFFER_BYTES:
            try:
                self._write_buffer(sync=durability is Durability.SYNC)
            except DiskFull:
                writer.unbuffer(first)
                index.last = first - 1
                raise
        return writer is not self._files.writer

    def flush(self) -> None:
        """Hand all entries over to the operating system, so that they survive this process."""
        self._check_running()
        self._write_buffer(sync=False)

    def sync(self) -> None:
        """Make all entries durable, so that they survive a power loss."""
        self._check_running()
        self._write_buffer(sync=True)

    def can_drop_below(self, floor: int) -> bool:
        """Return whether :meth:`drop_below` would remove a segment now."""
        sealed = self._files.sealed
        return bool(sealed) and sealed[0].high < floor and not (self._stopped or self._recovery)

    def drop_below(self, floor: int, most: int | None = None) -> list[Segment]:
        """Remove the oldest sealed segments that have only entries below ``floor``; return them.

        At most ``most`` segments are removed, if that is given: each costs two calls to the disk.
        It stops at the first segment that must stay, so the log has no gap.  ``base`` moves to the
        position before the first segment kept.  The caller guarantees that no entry below ``floor``
        will ever be superseded, which is so once they are committed (Raft §7).

        Raises ``BadInput`` if ``floor`` is above ``last_index + 1``.
        """
        self._check_running()
        if whole_number(floor, "an index of the log") > self.last_index + 1:
            raise BadInput(
                f"the log ends at {self.last_index}: it cannot be truncated below {floor}"
            )
        dropped: list[Segment] = []
        while self._files.sealed and self._files.sealed[0].high < floor and len(dropped) != most:
            with self._writing():
                oldest = self._files.drop_oldest()
            self._index.truncate_prefix(max(self.base.index, self.segments[0].first - 1))
            dropped.append(oldest)
            self._report(SegmentDropped(oldest.id, oldest.low, oldest.high, oldest.size))
        return dropped

    def reset(self, position: Position) -> None:
        """Continue after ``position``, where a snapshot that is durably installed ends (Raft §7).

        If the log has the entry at ``position``, it stays, and :meth:`drop_below` will remove what
        is no longer needed.  Otherwise all entries are removed and ``base`` becomes ``position``.
        The hard state does not change.

        Raises ``BadInput`` if the log begins after ``position``, or if its hard state has a lower
        term: the term in which a snapshot arrives is saved before the snapshot is installed.
        """
        self._check_running()
        instance(position, Position, "a position in the log")
        if position.term > (term := self._hard_state.term):
            raise BadInput(f"a log saved in term {term} cannot continue after {position}")
        if position.index <= self.base.index and position != self.base:
            raise BadInput(f"the log begins after {self.base}: it cannot begin after {position}")
        if self._index.has(position):
            return
        with self._writing():
            void = self.segments
            self._files.begin_segment(position, self._hard_state, continues=False)
            self._files.sealed, self._index = [], LogIndex(position)
            self._synced_index = position.index
            self._files.remove([old.name for old in void])
        self._report_opened()
        for old in void:
            self._report(SegmentDropped(old.id, old.low, old.high, old.size))
        self._report(LogReset(*position))

    def close(self) -> None:
        """Make everything durable, and write a last frame by which later damage is detected.

        A log that has stopped, or that never had the space for a write, stays as it is.
        """
        if self._stopped or self._recovery is not None:
            self._recovery, self._stopped = None, self._stopped or "it was closed"
            return
        self._write(sync=True)
        if not self._files.writer.ends_empty:
            with suppress(DiskFull):
                self._write([FrameContents(FrameKind.CLOSED)], sync=True)
        self._stopped = "it was closed"

    def disable(self, why: str) -> None:
        """Refuse all further use, and never write the buffer: called in the child of a fork."""
        self._stopped = self._forked = why
        self._recovery = None

    # ── private ─────────────────────────────────────────────────────────────────────────────────

    def _check_owned(self) -> None:
        if self._forked:
            raise Locked(f"the log of {self._owner}: {self._forked}")

    def _check_running(self) -> None:
        self._check_owned()
        if self._recovery is not None:
            self.finish_recovery()
        if self._stopped:
            raise Stopped(f"the log of {self._owner} takes no more writes: {self._stopped}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Stop the log if the block raises anything but ``DiskFull``, which changes nothing."""
        try:
            yield
        except BaseException as error:
            self._note_failure(error)
            raise

    def _note_failure(self, error: BaseException) -> None:
        if isinstance(error, DiskFull):
            self._record_space(str(error))
        else:
            self._failed = True
            self._stopped = f"a write failed ({str(error) or type(error).__name__})"

    def _record_space(self, lack: str) -> None:
        """Record what found no space, ``""`` if a write succeeded, and report each change."""
        if lack and not self.out_of_space:
            self._report(DiskFilled(lack))
        elif self.out_of_space and not lack:
            self._report(SpaceRecovered())
        self.out_of_space = lack

    def _report_opened(self) -> None:
        active = self._files.writer.segment
        self._report(SegmentOpened(active.id, active.first))

    def _check_entries(self, entries: Sequence[Entry]) -> list[Position]:
        """Return the term starts of ``entries``; raise ``BadInput`` if they do not fit this log."""
        try:
            starts = term_starts(entries)
            self._index.check_follows(starts)
        except ValueError as error:
            raise BadInput(str(error)) from None
        if starts[0].index <= self.base.index:
            raise BadInput(f"the log begins after {self.base}: it cannot take {starts[0]}")
        return starts

    def _packed(self, first: int, last: int) -> Iterator[tuple[FrameLocation, bytes]]:
        """Yield location and packed entries of each frame, within ``first`` … ``last``."""
        self._check_owned()
        if not self.first_index <= first <= last + 1 <= self.last_index + 1:
            held = f"{self.first_index} to {self.last_index}"
            raise BadInput(f"the log holds the entries {held}, not {first} to {last}")
        if first > last:
            return
        self._index_run()
        frames = self._index.covering(first, last)
        for location, payload in read_frames(self._disk, self._owner, frames):
            yield location, location.part(payload, first, last)
        if self._files.writer.buffered_bytes:
            location, payload = self._files.writer.buffered()
            if location.first <= last:
                yield location, location.part(payload, first, last)

    def _buffer(self, contents: FrameContents) -> None:
        starts, last = summarize_entries(contents.payload)
        self._extend(starts, last)
        if self._files.writer.buffer(contents.first, last, contents.payload) >= BUFFER_BYTES:
            with suppress(DiskFull):  # then they stay buffered, and no more are accepted
                self._write_buffer(sync=False)

    def _index_run(self) -> None:
        """Put the frames into the index that the writer has appended by themselves."""
        if (run := self._files.writer.take_run()) is not None:
            self._index.add_frame(run)

    def _extend(self, starts: Sequence[Position], last: int) -> None:
        self._index.extend(starts, last)
        self._synced_index = min(self._synced_index, starts[0].index - 1)

    def _write_buffer(self, *, sync: bool) -> None:
        self._write(sync=sync)
        self._rotate_if_full()

    def _write(
        self, frames: Sequence[FrameContents] = (), starts: Sequence[Position] = (), *, sync: bool
    ) -> None:
        """Write the buffer and then ``frames``, whose entries have these term ``starts``."""
        writer, buffered = self._files.writer, self._files.writer.buffered_bytes > 0
        to_report = writer.buffered()[1] if buffered and self._report is not ignore else b""
        if frames:
            self._index_run()
        try:
            locations = writer.write(frames, sync=sync)
        except BaseException as error:
            self._note_failure(error)
            raise
        if self.out_of_space and (buffered or frames):
            self._record_space("")
        if buffered and frames:
            self._index.add_frame(locations.pop(0))
        if starts:
            self._extend(starts, frames[-1].last)
        for location in locations:
            self._index.add_frame(location)
        if sync:
            self._synced_index = self.last_index
        if to_report:
            self._report(entries_appended(writer.segment, unpack_entries(to_report)))

    def _rotate_if_full(self) -> None:
        writer = self._files.writer
        if writer.size - writer.run_offset >= RUN_BYTES:
            self._index_run()
        if writer.size < self._segment_bytes:
            return
        self._write(sync=True)  # the seal records that everything before it was synced
        self._index_run()
        with suppress(DiskFull):  # then this segment keeps growing until there is space
            with self._writing():
                full = self._files.rotate(self._index.end, self._hard_state)
            self._report(SegmentSealed(full.id, full.low, full.high, full.size))
            self._report_opened()
