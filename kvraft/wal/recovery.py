"""Reading the log again after a crash: what its files say, and what can be known of its end.

The newest segment may end in a torn write, which was never acknowledged.  Everything else that does
not add up is :class:`~kvraft.errors.Corruption`: a log that was promised is never quietly shortened
(Alagappan et al., *Protocol-Aware Recovery*, FAST 2018).  An old segment that reappears is void, or
goes on into the ones that are kept, or a segment between is missing and the log is refused.
Segments missing at the older end are noticed by whoever knows where the tables end
(``log_and_tree.check_disk``).

**What can be known of the newer end.**  The manifest keeps how far the log was synced when it was
last written (``record.LogEnd``): at each opening, flush, compaction and close, at the price of no
sync but one at a close.  A log that ends before that, or is damaged there, was shortened after it
was promised, and is refused.  **What cannot**: of entries that were saved after that, by a process
that then died, any number of the last ones can go without a trace, if the file is cut between two
frames or all of it from some frame on is damaged: only a later frame vouches for an earlier one.
To know more, each save would have to be synced in a second place.  (Nor is it known that a manifest
lost a last edit that says nothing but this: it looks like the one before.)

:func:`recover` only looks.  :func:`make_durable` then makes durable what it found:

- The torn bytes are copied to a file of their own, never read again, for whoever wants to know what
  was lost (``filenames.torn_name``).  The newest ``TORN_COPIES_KEPT`` of these stay.
- The newest segment is written anew, without them, and renamed over the old one; if nothing is in
  it yet, then so is the one before, whose seal may not have been synced.  A sync would not do:
  after a failed one the operating system still shows the bytes to the next process, calls them
  clean, and its next sync succeeds without writing them (Rebello et al., *Can Applications Recover
  from fsync Failures?*, ATC 2020).

Source: etcd wal (a copy of what a repair takes away).
"""

from __future__ import annotations

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
from kvraft.record import ORIGIN, HardState, Position, summarize_entries
from kvraft.wal.index import FrameLocation, LogIndex
from kvraft.wal.segment import (
    CLOSED,
    ENTRIES,
    HARD_STATE,
    SEAL,
    Segment,
    check_header,
    opening,
    unpack_hard_state,
)

TORN_COPIES_KEPT = 4
"""How many torn ends are kept, the newest: by segment, then by offset, as their names sort."""


class TornTail(NamedTuple):
    """The torn end of the newest segment: ``size`` bytes from ``offset`` on, and what is wrong."""

    file: str
    offset: int
    size: int
    reason: str

    @property
    def copy_name(self) -> str:
        """The name of the file that keeps these bytes once they are cut."""
        return torn_name(self.file, self.offset)


@dataclass(slots=True)
class Recovery:
    """What the files of a log say, read without writing anything.

    ``index`` says where the live entries are, and of which term.  ``torn`` is what
    :func:`make_durable` cuts, ``unfinished`` are the unfinished files it removes, ``kept_copies``
    the torn ends kept already.  ``cleanly_closed`` says that no frame with contents is the last one
    of the newest segment.  The first ``durable_segments`` segments are durable for certain, and so
    are ``synced`` bytes of the newest one, as it says itself.  ``obsolete`` are the segments that
    an installed snapshot put out of force and :meth:`Wal.open` removes; if there are such and no
    others, it also begins the log anew after ``base``.
    """

    segments: list[Segment] = field(default_factory=list)
    index: LogIndex = field(default_factory=LogIndex)
    hard_state: HardState = field(default_factory=HardState)
    torn: TornTail | None = None
    unfinished: list[str] = field(default_factory=list)
    kept_copies: list[str] = field(default_factory=list)
    obsolete: list[str] = field(default_factory=list)
    next_id: int = 1  # of a segment
    durable_segments: int = 0
    cleanly_closed: bool = True
    synced: int = 0

    @property
    def base(self) -> Position:
        """The place before the first entry."""
        return self.index.base

    @property
    def last(self) -> Position:
        """The place of the last entry, ``base`` if there is none."""
        return self.index.end

    @property
    def durable(self) -> int:
        """The index through which entries are durable for certain; others may be, too."""
        newest = self.segments[-1].name if self.segments and not self.cleanly_closed else ""
        for batch in self.index.frames:
            if batch.file == newest and batch.offset + batch.length > self.synced:
                return batch.first - 1
        return self.index.last


def recover(disk: Disk, owner: str, installed: Position = ORIGIN) -> Recovery:
    """Read the log of the member ``owner`` on ``disk``, without writing anything.

    ``installed`` is where a snapshot ends that took the place of all tables, if no flush followed
    it.  A log that neither holds that place nor begins behind it is then no loss: a crash came
    between the manifest and :meth:`Wal.reset`.  It is read as the reset would have left it.

    Raises :class:`~kvraft.errors.Corruption`, which names file and offset, and
    :class:`~kvraft.errors.ForeignFile` for another member's log or another format version.
    """
    log = _read(disk, owner)
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
    """Make durable what :func:`recover` found, and take away what it left out.

    A crash or a failure at any moment leaves a log of which :func:`recover` finds the same.  It
    needs space for a copy of the newest segment: on a full disk it raises
    :class:`~kvraft.errors.DiskFull`, and can be called again.
    """
    while log.unfinished:
        disk.remove(log.unfinished[-1])
        log.unfinished.pop()
    if log.torn:
        _set_aside(disk, log.torn, log.kept_copies)
    for segment in log.segments[log.durable_segments :]:
        replace_file(disk, segment.name, disk.read(segment.name, 0, segment.size))
    log.torn, log.durable_segments = None, len(log.segments)


def _set_aside(disk: Disk, torn: TornTail, before: list[str]) -> None:
    replace_file(disk, torn.copy_name, disk.read(torn.file, torn.offset, torn.size))
    others = [name for name in before if name != torn.copy_name]
    for name in others[: max(0, len(others) + 1 - TORN_COPIES_KEPT)]:
        disk.remove(name)


def _read(disk: Disk, owner: str) -> Recovery:
    log = Recovery()
    names = disk.names()
    for name in names:
        whole = name.removesuffix(TEMPORARY_SUFFIX)
        if whole != name and (is_segment(whole) or is_torn(whole)):
            log.unfinished.append(name)
    log.kept_copies = [name for name in names if is_torn(name)]
    names = [name for name in names if is_segment(name)]
    begin = _begin(disk, names)
    log.obsolete = names[:begin]
    _read_segments(log, disk, owner, names[begin:])
    if log.segments:
        log.next_id = log.segments[-1].id + 1
    if log.index.last < log.base.index:
        newest = log.segments[-1]
        what = f"the log ends at entry {log.index.last}, before its base {log.base.index}"
        raise Corruption(newest.name, newest.size, what)
    # The oldest header tells the term of the base as it was then; a later frame may have superseded
    # that entry, and holds the one that won.
    log.index.truncate_prefix(log.base.index)
    return log


def _read_segments(log: Recovery, disk: Disk, owner: str, names: list[str]) -> None:
    spare = ""  # the newest one, if nothing but a header is in it
    if len(names) > 1 and opening(disk, names[-1])[1] == disk.size(names[-1]):
        spare = names.pop()
    for name in names:
        _read_segment(log, owner, name, disk.read(name), newest=name == names[-1])
    if not log.segments:
        return
    log.durable_segments = len(log.segments) - 1
    if spare and not log.segments[-1].sealed:
        _, before, hard_state = check_header(owner, spare, disk.read(spare))
        if (before, hard_state) != (log.last, log.hard_state):
            raise Corruption(spare, 0, "this segment does not continue the one before it")
        log.unfinished.append(spare)  # the power went before the seal was written
    elif not log.segments[-1].sealed:
        return
    elif spare:  # nothing shows yet that the seal before it was synced
        _read_segment(log, owner, spare, disk.read(spare), newest=True)
    else:
        newest = log.segments[-1]
        what = "this segment is sealed, and the one that follows it is missing"
        raise Corruption(newest.name, newest.size, what)


def _begin(disk: Disk, names: list[str]) -> int:
    """Return which of the segments ``names`` the log begins with: the last that continues none."""
    for at in range(len(names) - 1, 0, -1):
        if opening(disk, names[at])[0].get("continues") is False:
            return at
    return 0


def _read_segment(log: Recovery, owner: str, name: str, data: bytes, *, newest: bool) -> None:
    segment, before, hard_state = check_header(owner, name, data)
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
    seed = frame.checksum_seed(owner, name)
    found = frame.scan(data, name=name, seed=seed, start=segment.size, sealed=not newest)
    for each in found.frames:
        _replay(log, name, each)
    log.synced = max([segment.size, *(each.synced for each in found.frames)])
    sealed = log.segments[-1].sealed
    if sealed and found.torn:
        raise Corruption(name, found.end, f"bytes follow the seal: {found.torn}")
    if not sealed and not newest:
        raise Corruption(name, found.end, "this segment is not sealed, though another one follows")
    if found.torn:
        log.torn = TornTail(name, found.end, len(data) - found.end, found.torn)
    log.segments[-1] = log.segments[-1]._replace(size=found.end)


def _replay(log: Recovery, name: str, found: Frame) -> None:
    """Let one valid frame have its effect; one that cannot have been written is damage."""
    segment = log.segments[-1]
    try:
        if segment.sealed:
            raise ValueError("a frame follows the seal")
        if found.kind == ENTRIES:
            turns, last = summarize_entries(found.payload)
            first, length = turns[0].index, found.end - found.offset
            log.index.check_follows(turns)
            log.index.extend(turns, last)
            batch = FrameLocation(first, last, last, name, found.offset, length, found.synced)
            log.index.add_frame(batch)
            log.segments[-1] = segment.grown(first, last)
        elif found.kind == HARD_STATE:
            log.hard_state = unpack_hard_state(found.payload)
        elif found.kind in (CLOSED, SEAL) and not found.payload:
            log.segments[-1] = segment._replace(sealed=found.kind == SEAL)
        else:
            raise ValueError(f"a frame of kind {found.kind} does not belong here")
    except ValueError as error:
        raise Corruption(name, found.offset, str(error)) from None
    log.cleanly_closed = found.kind in (CLOSED, SEAL)
