"""The log on disk: Raft's log and the storage engine's write-ahead log are this one thing.

Consensus appends to the newest segment all the time; the tree decides when the oldest ones are no
longer needed.  What the files look like is told in ``wal/segment.py``::

    ┌─────────┐ ┌─────────┐ ┌─────────┐ ┌─────────┐
    │ sealed  │ │ sealed  │ │ sealed  │ │ active  │ ◄── save: hard state, entries, one sync
    └─────────┘ └─────────┘ └─────────┘ └─────────┘
     ▲ drop_below: whole segments, oldest first

How far its end comes towards the disk (``wal/writer.py``) is the caller's choice of
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
- A write for which there is no space is taken back to the last good byte, and the next one finds
  the log as it was.  Where that cannot be done, the log is stopped.
- What is kept is a row without a hole, whenever a crash comes.  The hard state is at all times on
  disk, in a segment that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum

from kvraft.disk import Disk, frame, refuse_after_fork
from kvraft.errors import BadInput, Corruption, DiskFull, Locked, Stopped
from kvraft.events import (
    DiskFilled,
    EntriesAppended,
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
    label,
    summarize_entries,
    unpack_entries,
)
from kvraft.wal.files import LogFiles
from kvraft.wal.index import FrameLocation, LogIndex, term_starts
from kvraft.wal.recovery import Recovery, make_durable, recover
from kvraft.wal.segment import CLOSED, HARD_STATE, Segment, pack_hard_state, read_frames
from kvraft.wal.writer import FrameContents, frames_for

SEGMENT_BYTES = 4 * 1024 * 1024
BUFFER_BYTES = 64 * 1024
"""What waits in the process is handed over when it comes to this many bytes."""


class Durability(Enum):
    """What entries outlive once the call that wrote them has returned."""

    SYNC = "the loss of power"
    OS = "the end of the process, for the operating system has them"
    BUFFERED = "nothing: they wait in the process, until something hands them over"


_BUFFERED = Durability.BUFFERED  # a global is found faster than a member of an Enum


class Wal:
    """The log of one member, open for reading and writing.  Made by :meth:`open`.

    ``out_of_space`` says what there was no space for, ``""`` since a write succeeded.

    Every method that reads may raise ``OSError``, and :class:`~kvraft.errors.Corruption` if a frame
    is no longer what was written.  A write or sync that fails raises what the disk raised, and from
    then on whatever would write raises :class:`~kvraft.errors.Stopped`: a failed sync is never
    retried (Rebello et al., ATC 2020), the file is read again by the next :meth:`open`.

    It is for one thread at a time: a :class:`~kvraft.store.Store` sees to that.  In the child of a
    fork it raises :class:`~kvraft.errors.Locked`, and closing it there does nothing.
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
        self._found: Recovery | None = found  # until all of it is durable
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
        """Open the log of the member ``owner`` on ``disk``; where there is none, begin one.

        A segment that a save leaves at ``segment_bytes`` or more is sealed.  A torn end is cut,
        kept aside (``Torn.aside``) and reported.  All that was read is durable on return: a process
        that was killed leaves bytes and files that can be read, yet would be lost with the power.
        ``found`` is what :func:`recover` returned, if that was called; a reset that it found begun
        is finished.

        With ``read_only`` nothing is written, and whatever would write is refused; what was read
        may then not all be durable yet (:attr:`synced_index`).

        Raises ``Corruption`` and ``ForeignFile`` as :func:`recover` does, and ``BadInput`` for a
        size that is not a positive number.
        """
        whole_number(segment_bytes, "segment_bytes", minimum=1)
        wal = cls(disk, owner, segment_bytes, report, found or recover(disk, owner))
        if read_only:
            wal._stopped, wal._failed = "it was opened for reading only", True
            wal._found = None
            return wal
        with suppress(DiskFull):
            wal.finish_recovery()
        return wal

    def finish_recovery(self) -> None:
        """Make durable what was found, so that it can be built on; once that is done, nothing.

        Raises :class:`~kvraft.errors.DiskFull` if there is no space for that.  Until it succeeds,
        the log can be read, and everything that would write tries this first.
        """
        found = self._found
        if found is None:
            return
        with self._writing():
            try:
                self._make_durable(found)
            except DiskFull as error:
                what = f"what was found in the log cannot be made durable: {error}"
                raise DiskFull(what) from error
        self._found, self._synced_index = None, self._index.last
        self._note_space("")

    def _make_durable(self, found: Recovery) -> None:
        torn = found.torn
        make_durable(self._disk, found)
        if torn is not None:
            self._report(TailTruncated(torn.file, torn.offset, torn.size))
        if found.segments and not found.segments[-1].sealed:
            self._files.tail.ends_empty = found.cleanly_closed
        else:
            self._files.begin(self._index.end, self._hard_state, continues=False)
            self._report(SegmentOpened(self._files.tail.segment.id, self._files.tail.segment.first))
        if found.obsolete:
            self._files.remove(found.obsolete)
            self._report(LogReset(*found.base))

    # ── what it holds ───────────────────────────────────────────────────────────────────────────

    @property
    def base(self) -> Position:
        """The place before the first entry kept: index and term."""
        return self._index.base

    @property
    def first_index(self) -> int:
        """The index of the first entry kept, ``last_index + 1`` if there is none."""
        return self._index.base.index + 1

    @property
    def last_index(self) -> int:
        """The index of the last entry, ``base.index`` if there is none."""
        return self._index.last

    @property
    def synced_index(self) -> int:
        """The index through which all entries survive a loss of power."""
        return self._synced_index

    @property
    def synced_end(self) -> LogEnd:
        """How many bytes of which segment survive a power loss; ``NO_LOG`` if that is unknown."""
        if self._found is not None or self._failed:
            return NO_LOG
        return LogEnd(self._files.tail.segment.id, self._files.tail.synced)

    @property
    def hard_state(self) -> HardState:
        """The hard state saved last."""
        return self._hard_state

    @property
    def segments(self) -> list[Segment]:
        """All segments, oldest first; the last one is active.  Sizes are what was handed over."""
        return self._files.all

    def term(self, index: int) -> int:
        """Return the term of the entry at ``index``, or of ``base``."""
        return self._index.term_at(index)

    def find_conflict_by_term(self, term: int, index: int) -> int:
        """Return the last index, at most ``index``, whose entry's term is at most ``term``."""
        return self._index.find_conflict_by_term(term, index)

    def entries(self) -> list[Entry]:
        """Return every entry behind ``base``, read from disk."""
        return self.read(self.first_index, self.last_index)

    def read(self, first: int, last: int) -> list[Entry]:
        """Return the entries ``first`` … ``last`` from disk; none if ``last`` is ``first - 1``.

        Raises ``BadInput`` if the log does not hold all of them.
        """
        entries: list[Entry] = []
        for batch, payload in self._stored(first, last):
            try:
                entries += unpack_entries(payload)
            except ValueError as error:
                raise Corruption(batch.file, batch.offset, str(error)) from None
        return entries

    def payloads(self, first: int, last: int) -> Iterator[bytes]:
        """Yield the entries ``first`` … ``last`` packed (``record.py``), a frame's at a time.

        It is :meth:`read` for one who has a faster use for the bytes than to make an ``Entry`` of
        each.  The log must not be cut meanwhile.  Raises as :meth:`read` does.
        """
        for _, payload in self._stored(first, last):
            yield payload

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def save(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        durability: Durability = Durability.SYNC,
    ) -> None:
        """Write a new hard state, if any, and entries: durable on return, by one append, one sync.

        Entries that begin at or below ``last_index`` supersede all from there on.  A lower
        ``durability`` than ``SYNC`` is for entries alone.  Raises ``BadInput`` if they leave a gap,
        begin at or below ``base`` or have falling terms.
        """
        self._check_running()
        turns = self._check(entries) if entries else []
        pieces = frames_for(entries)
        if hard_state is not None:
            durability = Durability.SYNC
            pieces.insert(0, FrameContents(HARD_STATE, pack_hard_state(hard_state)))
        elif not pieces:
            return
        if durability is _BUFFERED:
            if (
                self._files.tail.buffered_bytes >= BUFFER_BYTES
                or entries[0].index <= self.last_index
            ):
                self._settle(sync=False)  # a frame supersedes nothing of itself
            for piece in pieces:
                self._buffer(piece)
            return
        self._write(pieces, turns, sync=durability is Durability.SYNC)
        self._hard_state = hard_state or self._hard_state
        if entries and self._report is not ignore:
            self._report(_appended(self._files.tail.segment, entries))
        self._rotate_if_full()

    def append(
        self, first: int, last: int, payload: bytes, durability: Durability = Durability.SYNC
    ) -> bool:
        """Write the entries ``first`` … ``last``, packed already: the way of a store without Raft.

        The caller vouches that ``payload`` is what :func:`~kvraft.record.pack_entries` makes of
        these entries, all of the current term: the hard state's, or the last entry's if that is
        newer.  Appends that wait share a frame.  Return whether a segment was sealed.  Raises
        ``BadInput`` unless ``first`` follows ``last_index``.
        """
        if self._stopped or self._found is not None:
            self._check_running()
        index, tail = self._index, self._files.tail
        if not first == index.last + 1 <= last:
            raise BadInput(f"entries {first} to {last} do not follow entry {index.last}")
        if len(payload) > frame.MAX_PAYLOAD_BYTES:
            raise BadInput(f"{len(payload)} bytes are too many for a frame of the log")
        if not tail.buffered_bytes and index.newest_term < (term := self._hard_state.term):
            index.extend([Position(first, term)], first)
        waiting = tail.buffer(first, last, payload)
        index.last = last
        if durability is not _BUFFERED or waiting >= BUFFER_BYTES:
            try:
                self._settle(sync=durability is Durability.SYNC)
            except DiskFull:
                tail.unbuffer(first)
                index.last = first - 1
                raise
        return tail is not self._files.tail

    def flush(self) -> None:
        """Hand everything over to the operating system: from now on it survives this process."""
        self._check_running()
        self._settle(sync=False)

    def sync(self) -> None:
        """Make everything durable: from now on it survives a loss of power."""
        self._check_running()
        self._settle(sync=True)

    def drop_below(self, floor: int, most: int | None = None) -> list[Segment]:
        """Remove the oldest sealed segments whose every index is below ``floor``; return them.

        No more than ``most`` of them, if given: each costs two calls to the disk.
        The next one is looked at only when the one before it may go, so what is kept has no gap.
        ``base`` moves to the place before the first segment kept.  The caller vouches that no entry
        below ``floor`` will ever be superseded: they are committed (Raft §7).

        Raises ``BadInput`` if ``floor`` is above ``last_index + 1``.
        """
        self._check_running()
        if whole_number(floor, "an index of the log") > self.last_index + 1:
            raise BadInput(f"the log ends at {self.last_index}: it cannot be cut below {floor}")
        dropped: list[Segment] = []
        while self._files.sealed and self._files.sealed[0].high < floor and len(dropped) != most:
            with self._writing():
                oldest = self._files.drop_oldest()
            self._index.truncate_prefix(max(self.base.index, self.segments[0].first - 1))
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
        instance(place, Position, "a place in the log")
        if place.term > (term := self._hard_state.term):
            raise BadInput(f"a log saved in term {term} cannot go on behind {place}")
        if place.index <= self.base.index and place != self.base:
            raise BadInput(f"the log begins behind {self.base}: it cannot begin behind {place}")
        if self._index.has(place):
            return
        with self._writing():
            void = self.segments
            self._files.begin(place, self._hard_state, continues=False)
            self._files.sealed, self._index = [], LogIndex(place)
            self._synced_index = place.index
            self._files.remove([old.name for old in void])
        self._report(SegmentOpened(self._files.tail.segment.id, self._files.tail.segment.first))
        for old in void:
            self._report(SegmentDropped(old.id, old.low, old.high, old.size))
        self._report(LogReset(*place))

    def close(self) -> None:
        """Make everything durable, mark the end as synced, so that later damage to it is seen, and
        write no more.

        A log that stopped, or never had the space to be written, is left as it is.
        """
        if self._stopped or self._found is not None:
            self._found, self._stopped = None, self._stopped or "it was closed"
            return
        self._write(sync=True)
        if not self._files.tail.ends_empty:
            with suppress(DiskFull):
                self._write([FrameContents(CLOSED)], sync=True)
        self._stopped = "it was closed"

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def disable(self, why: str) -> None:
        """Refuse all further use, and never write what waits: called in the child of a fork."""
        self._stopped = self._forked = why
        self._found = None

    def _check_owned(self) -> None:
        if self._forked:
            raise Locked(f"the log of {self._owner}: {self._forked}")

    def _check_running(self) -> None:
        self._check_owned()
        if self._found is not None:
            self.finish_recovery()
        if self._stopped:
            raise Stopped(f"the log of {self._owner} takes no more writes: {self._stopped}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Stop the log for good if what is inside does not come to its end, for any reason but one:
        a full disk, after which everything is as it was.
        """
        try:
            yield
        except DiskFull as error:
            self._note_space(str(error))
            raise
        except BaseException as error:
            self._fail(error)
            raise

    def _note_space(self, lack: str) -> None:
        """Take note of what there is no space for, ``""`` if there is."""
        if lack and not self.out_of_space:
            self._report(DiskFilled(lack))
        elif self.out_of_space and not lack:
            self._report(SpaceRecovered())
        self.out_of_space = lack

    def _fail(self, error: BaseException) -> None:
        self._failed = True
        self._stopped = f"a write failed ({str(error) or type(error).__name__})"

    def _check(self, entries: Sequence[Entry]) -> list[Position]:
        """Return where terms begin in ``entries``; ``BadInput`` if the log cannot take them."""
        try:
            turns = term_starts(entries)
            self._index.check_follows(turns)
        except ValueError as error:
            raise BadInput(str(error)) from None
        if turns[0].index <= self.base.index:
            raise BadInput(f"the log begins behind {self.base}: it has no place for {turns[0]}")
        return turns

    def _stored(self, first: int, last: int) -> Iterator[tuple[FrameLocation, bytes]]:
        """Yield the entries ``first`` … ``last`` packed, with the batch that each part is from."""
        self._check_owned()
        if not self.first_index <= first <= last + 1 <= self.last_index + 1:
            held = f"{self.first_index} to {self.last_index}"
            raise BadInput(f"the log holds the entries {held}, not {first} to {last}")
        if first > last:
            return
        batches = self._index.covering(first, last)
        for batch, payload in read_frames(self._disk, self._owner, batches):
            yield batch, batch.part(payload, first, last)
        if self._files.tail.buffered_bytes:
            batch, payload = self._files.tail.buffered()
            if batch.first <= last:
                yield batch, batch.part(payload, first, last)

    def _buffer(self, piece: FrameContents) -> None:
        """Let entries wait."""
        turns, last = summarize_entries(piece.payload)
        self._extend(turns, last)
        if self._files.tail.buffer(piece.first, last, piece.payload) >= BUFFER_BYTES:
            with suppress(DiskFull):  # then they wait on, and no more are taken
                self._settle(sync=False)

    def _extend(self, turns: Sequence[Position], last: int) -> None:
        self._index.extend(turns, last)
        self._synced_index = min(self._synced_index, turns[0].index - 1)

    def _settle(self, *, sync: bool) -> None:
        if (
            self._files.tail.buffered_bytes and not sync and self._report is ignore
        ):  # the way of every put
            try:
                self._index.frames.append(self._files.tail.flush_buffer())
            except DiskFull as error:
                self._note_space(str(error))
                raise
            except BaseException as error:
                self._fail(error)
                raise
            if self.out_of_space:
                self._note_space("")
        else:
            self._write(sync=sync)
        self._rotate_if_full()

    def _write(
        self, pieces: Sequence[FrameContents] = (), turns: Sequence[Position] = (), *, sync: bool
    ) -> None:
        """Write what waits and then ``pieces``, whose entries have ``turns``, and take note."""
        tail, waits = self._files.tail, self._files.tail.buffered_bytes > 0
        waited = tail.buffered()[1] if waits and self._report is not ignore else b""
        with self._writing():
            batches = tail.write(pieces, sync=sync)
        if self.out_of_space and (waits or pieces):
            self._note_space("")
        if waits:
            self._index.add_frame(batches.pop(0))
        if turns:
            self._extend(turns, pieces[-1].last)
        for batch in batches:
            self._index.add_frame(batch)
        if sync:
            self._synced_index = self.last_index
        if waited:
            self._report(_appended(tail.segment, unpack_entries(waited)))

    def _rotate_if_full(self) -> None:
        if self._files.tail.size < self._segment_bytes:
            return
        self._write(sync=True)  # so that the seal vouches for all before it
        with suppress(DiskFull):  # then this one goes on growing, until there is space
            with self._writing():
                full = self._files.rotate(self._index.end, self._hard_state)
            self._report(SegmentSealed(full.id, full.low, full.high, full.size))
            self._report(SegmentOpened(self._files.tail.segment.id, self._files.tail.segment.first))


def _appended(segment: Segment, entries: Sequence[Entry]) -> EntriesAppended:
    records = [entry.record for entry in entries]
    return EntriesAppended(
        segment.id,
        entries[0].index,
        tuple(entry.term for entry in entries),
        tuple(label(record.key) for record in records),
        tuple(str(record.txn) if record.kind.is_data else "" for record in records),
        tuple(record.commit for record in records),
    )
