"""Recovery: reading the log after a crash, and what can be known of its end.

The newest segment may end in a torn write, which was never acknowledged.  Any other defect is
:class:`~kvraft.errors.Corruption`: a promised log is never shortened silently (Alagappan et al.,
*Protocol-Aware Recovery*, FAST 2018).  An old segment that reappears is either void or continues
into the segments that are kept; otherwise a segment between them is missing, and the log is
refused.  Segments missing at the older end are detected by ``log_and_tree.check_disk``, which knows
how far the tables reach.

**What can be known of the newer end.**  The manifest records how far the log was synced
(``record.LogEnd``) whenever it is written: at each opening, flush, compaction and close.  Only the
close costs an extra sync.  A log that ends before that point, or is damaged before it, was
shortened after it was promised, and is refused.

**What cannot be known.**  Entries saved later, by a process that then died, may be lost without a
trace from any one of them on, if the file ends between two frames or all of its last frames are
damaged: only a later frame records that an earlier one was synced.  To detect that, each save
would need a second sync, in another file.  (It is also not detected that a manifest has lost a last
edit which recorded only this.)

:func:`recover` only reads.  :func:`make_durable` then makes durable what it found:

- The torn bytes are copied to a file of their own (``torn_name``), which is never read again; it
  shows a person what was lost.  The newest ``TORN_COPIES_KEPT`` of these are kept.
- The newest segment is rewritten without them and renamed over the old one.  If it is still empty,
  so is the segment before it, whose seal may not have been synced.  A sync would not be enough:
  after a failed one the operating system shows the bytes to the next process, considers them clean,
  and its next sync succeeds without writing them (Rebello et al., *Can Applications Recover from
  fsync Failures?*, ATC 2020).

Source: etcd wal (a repair keeps a copy of what it truncates).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from kvraft.disk import (
    TEMPORARY_SUFFIX,
    Disk,
    Frame,
    frame,
    is_segment,
    is_torn,
    replace_file,
    torn_name,
)
from kvraft.errors import Corruption
from kvraft.record import (
    MAX_NUMBER,
    ORIGIN,
    HardState,
    Position,
    Row,
    slice_entries,
    summarize_entries,
)
from kvraft.wal.index import FrameLocation, LogIndex
from kvraft.wal.segment import (
    RUN_BYTES,
    FrameKind,
    Segment,
    check_header,
    read_opening,
    unpack_hard_state,
)
from kvraft.wal.writes import read_run, unpack_writes

TakeWrites = Callable[[list[Row], list[Row], int], None]
"""What takes the writes of a log while it is read: rows, range tombstones, the last index."""

TORN_COPIES_KEPT = 4
"""How many torn ends are kept: the newest, by segment and then by offset, as names sort."""


class TornTail(NamedTuple):
    """The torn end of the newest segment: ``size`` bytes from ``offset`` on, and why."""

    file: str
    offset: int
    size: int
    reason: str

    @property
    def copy_name(self) -> str:
        """The name of the file that keeps these bytes after the truncation."""
        return torn_name(self.file, self.offset)


@dataclass(slots=True)
class Recovery:
    """What the files of a log contain.

    - ``segments`` are the valid ones; ``index`` has the location and the term of each live entry.
    - ``torn`` is what :func:`make_durable` truncates, ``unfinished`` are the files that it removes,
      ``kept_copies`` the torn ends kept from earlier.
    - ``obsolete`` are segments that an installed snapshot made void; :meth:`Wal.open` removes them.
      If all segments are obsolete, it begins a new one after ``base``.
    - The first ``durable_segments`` segments are certainly durable, and so are the first ``synced``
      bytes of the newest one.  ``cleanly_closed`` says that its last frame has no contents.
    """

    segments: list[Segment] = field(default_factory=list)
    index: LogIndex = field(default_factory=LogIndex)
    hard_state: HardState = field(default_factory=HardState)
    torn: TornTail | None = None
    unfinished: list[str] = field(default_factory=list)
    kept_copies: list[str] = field(default_factory=list)
    obsolete: list[str] = field(default_factory=list)
    next_id: int = 1  # the id of the next segment
    durable_segments: int = 0
    cleanly_closed: bool = True
    synced: int = 0

    @property
    def base(self) -> Position:
        """The position before the first entry."""
        return self.index.base

    @property
    def last(self) -> Position:
        """The position of the last entry, ``base`` if there is none."""
        return self.index.end

    @property
    def durable(self) -> int:
        """The index through which entries are certainly durable; later ones may be."""
        newest = self.segments[-1].name if self.segments and not self.cleanly_closed else ""
        for location in self.index.frames:
            if location.file == newest and location.offset + location.length > self.synced:
                return location.first - 1
        return self.index.last


def recover(
    disk: Disk,
    owner: str,
    installed: Position = ORIGIN,
    *,
    take: TakeWrites | None = None,
    after: int = 0,
) -> Recovery:
    """Return what the log of the member ``owner`` on ``disk`` contains, without writing anything.

    ``installed`` is the end of a snapshot that replaced all tables, if no flush followed it.  A log
    that neither contains that position nor begins after it is then not damaged: the member crashed
    between the manifest's edit and :meth:`Wal.reset`.  The result is what the reset would leave.

    ``take`` is given all writes above the index ``after``, in their order, as they are read and
    checked: the log of a store is replayed in the same pass.  If this raises, they are void.

    Raises :class:`~kvraft.errors.Corruption`, which names file and offset, and
    :class:`~kvraft.errors.ForeignFile` for another member's log or another format version.
    """
    log = _read(_Reader(disk, owner, take, after))
    if not log.segments or log.base.index >= installed.index or log.index.has(installed):
        return log
    return Recovery(
        index=LogIndex(installed),
        hard_state=log.hard_state,
        unfinished=log.unfinished,
        kept_copies=log.kept_copies,
        obsolete=log.obsolete + [segment.name for segment in log.segments],
        next_id=log.next_id,
    )


def make_durable(disk: Disk, log: Recovery) -> None:
    """Make durable what :func:`recover` found, and remove unfinished files and the torn end.

    After a crash or failure at any point, :func:`recover` finds the same log again.  It needs space
    for a copy of the newest segment: on a full disk it raises :class:`~kvraft.errors.DiskFull`, and
    can be called again.
    """
    while log.unfinished:
        disk.remove(log.unfinished[-1])
        log.unfinished.pop()
    if log.torn:
        _keep_torn_copy(disk, log.torn, log.kept_copies)
    for segment in log.segments[log.durable_segments :]:
        replace_file(disk, segment.name, disk.read(segment.name, 0, segment.size))
    log.torn, log.durable_segments = None, len(log.segments)


def _keep_torn_copy(disk: Disk, torn: TornTail, earlier: list[str]) -> None:
    replace_file(disk, torn.copy_name, disk.read(torn.file, torn.offset, torn.size))
    others = [name for name in earlier if name != torn.copy_name]
    for name in others[: max(0, len(others) + 1 - TORN_COPIES_KEPT)]:
        disk.remove(name)


class _Reader(NamedTuple):
    """What reads the log of ``owner`` from ``disk``, and who takes its writes above ``after``."""

    disk: Disk
    owner: str
    take: TakeWrites | None
    after: int


def _read(reader: _Reader) -> Recovery:
    log, disk = Recovery(), reader.disk
    names = disk.names()
    for name in names:
        whole = name.removesuffix(TEMPORARY_SUFFIX)
        if whole != name and (is_segment(whole) or is_torn(whole)):
            log.unfinished.append(name)
    log.kept_copies = [name for name in names if is_torn(name)]
    names = [name for name in names if is_segment(name)]
    begin = _first_live(disk, names)
    log.obsolete = names[:begin]
    _read_segments(log, reader, names[begin:])
    if log.segments:
        log.next_id = log.segments[-1].id + 1
    if log.index.last < log.base.index:
        newest = log.segments[-1]
        what = f"the log ends at entry {log.index.last}, before its base {log.base.index}"
        raise Corruption(newest.name, newest.size, what)
    # The oldest header has the term of the base as it was then.  A later frame may have superseded
    # that entry; then its entry is the one that counts.
    log.index.truncate_prefix(log.base.index)
    return log


def _read_segments(log: Recovery, reader: _Reader, names: list[str]) -> None:
    disk, owner = reader.disk, reader.owner
    spare = ""  # the newest segment, if it contains only a header
    if len(names) > 1 and read_opening(disk, names[-1])[1] == disk.size(names[-1]):
        spare = names.pop()
    for name in names:
        _read_segment(log, reader, name, newest=name == names[-1])
    if not log.segments:
        return
    log.durable_segments = len(log.segments) - 1
    if spare and not log.segments[-1].sealed:
        _, before, hard_state = check_header(owner, spare, disk.read(spare))
        if (before, hard_state) != (log.last, log.hard_state):
            raise Corruption(spare, 0, "this segment does not continue the one before it")
        log.unfinished.append(spare)  # the crash came before the seal was written
    elif not log.segments[-1].sealed:
        return
    elif spare:  # nothing shows that the seal before it was synced
        _read_segment(log, reader, spare, newest=True)
    else:
        newest = log.segments[-1]
        what = "this segment is sealed, and the one that follows it is missing"
        raise Corruption(newest.name, newest.size, what)


def _first_live(disk: Disk, names: list[str]) -> int:
    """Return which of ``names`` the log begins with: the last segment that continues no other."""
    for at in range(len(names) - 1, 0, -1):
        if read_opening(disk, names[at])[0].get("continues") is False:
            return at
    return 0


def _read_segment(log: Recovery, reader: _Reader, name: str, *, newest: bool) -> None:
    """Read one segment into ``log``: frame by frame, or runs of frames at once."""
    data = reader.disk.read(name)
    segment, before, hard_state = check_header(reader.owner, name, data)
    if not log.segments:
        log.index = LogIndex(before)
    elif segment.id != log.segments[-1].id + 1:
        what = f"segment {segment.id} follows segment {log.segments[-1].id}: one is missing"
        raise Corruption(name, 0, what)
    elif (before, hard_state) != (log.last, log.hard_state):
        raise Corruption(name, 0, "this segment does not continue the one before it")
    log.segments.append(segment)
    log.hard_state = hard_state
    log.cleanly_closed = True
    seed, at = frame.checksum_seed(reader.owner, name), segment.size
    log.synced = at
    torn = ""
    while at < len(data):
        if (end := _read_run(log, reader, name, data, at, seed)) > at:
            at = end
            continue
        each = frame.decode(data, at, seed=seed)
        if isinstance(each, str):
            torn = each
            frame.check_torn(data, at, torn, name=name, seed=seed, sealed=not newest)
            break
        _read_frame(log, reader, name, each)
        at = each.end
    sealed = log.segments[-1].sealed
    if sealed and torn:
        raise Corruption(name, at, f"bytes follow the seal: {torn}")
    if not sealed and not newest:
        raise Corruption(name, at, "this segment is not sealed, though another one follows")
    if torn:
        log.torn = TornTail(name, at, len(data) - at, torn)
    log.segments[-1] = log.segments[-1]._replace(size=at)
    if newest:
        _split_run(log, data)


def _read_run(log: Recovery, reader: _Reader, name: str, data: bytes, at: int, seed: int) -> int:
    """Read the frames of single writes from ``at`` on into ``log``; return where they end.

    It does at once what :func:`_read_frame` does with each of them.
    """
    if log.segments[-1].sealed or log.index.newest_term:
        return at
    first = log.index.last + 1
    after = reader.after if reader.take else MAX_NUMBER
    end, last, synced, rows = read_run(data, at, at + RUN_BYTES, seed, first - 1, after)
    if end > at:
        log.index.last, log.synced = last, max(log.synced, synced)
        log.cleanly_closed = False
        log.index.add_frame(FrameLocation(first, last, last, name, at, end - at))
        log.segments[-1] = log.segments[-1].grown(first, last)
        if rows and reader.take:
            reader.take(rows, [], last)
    return end


def _split_run(log: Recovery, data: bytes) -> None:
    """End the run in ``data`` that reaches past the bytes that were synced there, if one does.

    So :attr:`Recovery.durable` is exact.
    """
    frames, name = log.index.frames, log.segments[-1].name
    for number in range(len(frames) - 1, -1, -1):
        run = frames[number]
        if run.file != name or run.offset + run.length <= log.synced:
            return
        if run.offset < log.synced and run.first < run.last:
            at, index = run.offset, run.first
            while (end := at + frame.length_at(data, at)) <= log.synced:
                at, index = end, index + 1
            if at > run.offset:
                rest = run._replace(first=index, offset=at, length=run.offset + run.length - at)
                whole = run._replace(last=index - 1, written=index - 1, length=at - run.offset)
                frames[number : number + 1] = [whole, rest]
            return


def _read_frame(log: Recovery, reader: _Reader, name: str, found: Frame) -> None:
    """Read one valid frame; a frame that cannot have been written here is damage."""
    segment = log.segments[-1]
    log.synced = max(log.synced, found.synced)
    try:
        if segment.sealed:
            raise ValueError("a frame follows the seal")
        if found.kind == FrameKind.ENTRIES:
            starts, last = summarize_entries(found.payload)
            first, length = starts[0].index, found.end - found.offset
            log.index.check_follows(starts)
            log.index.extend(starts, last)
            log.index.add_frame(FrameLocation(first, last, last, name, found.offset, length))
            log.segments[-1] = segment.grown(first, last)
            if reader.take and last > reader.after:
                _take_frame(reader.take, reader.after, found.payload, first, last)
        elif found.kind == FrameKind.HARD_STATE:
            log.hard_state = unpack_hard_state(found.payload)
        elif found.kind in (FrameKind.CLOSED, FrameKind.SEAL) and not found.payload:
            log.segments[-1] = segment._replace(sealed=found.kind == FrameKind.SEAL)
        else:
            raise ValueError(f"a frame of kind {found.kind} does not belong here")
    except ValueError as error:
        raise Corruption(name, found.offset, str(error)) from None
    log.cleanly_closed = found.kind in (FrameKind.CLOSED, FrameKind.SEAL)


def _take_frame(take: TakeWrites, after: int, payload: bytes, first: int, last: int) -> None:
    """Pass on the writes above ``after`` of a frame with the entries ``first`` … ``last``."""
    if first <= after:
        payload, first = slice_entries(payload, after + 1 - first, last + 1 - first), after + 1
    rows, ranges, taken = unpack_writes(payload)
    if taken:  # a batch without its end was never acknowledged
        take(rows, ranges, first + taken - 1)
