"""Log segments: the bytes of the log on disk, and what they say when they are read again.

The log (``wal.py``) is a row of files, each a row of frames (``frame.py``)::

    0000000000000004-0000000000000029.wal      sealed
    0000000000000005-0000000000000041.wal      sealed
    0000000000000006-0000000000000058.wal      active
    └── segment id ──┘ └─ first index ─┘       (hexadecimal)

    HEADER      JSON: format, owner (cluster and member), segment, first; term_before, of the
                entry before first; continues, whether this segment goes on where the one before
                it ends; and term and vote so far, so that the segments before this one can go
    HARD_STATE  term (8 bytes, little-endian), whether a vote follows (1), the vote
    ENTRIES     entries, as record.py packs them
    CLOSED      empty: the log was closed here; more may follow
    SEAL        empty: nothing follows

Invariants:

- Entries are contiguous and their terms never fall.  Entries that begin at or below the last index
  supersede it and all behind it (Raft §5.3): nothing is cut out of a file, the later frame wins.
- Only the newest segment is active, each other one ends with a SEAL.  Ids have no gap.  Each
  segment begins at the index after the last one of the log as it was then.
- The next segment is durable before the SEAL is written.  So a log always ends in one that is not
  sealed: where it does not, files are missing.  A crash in between leaves an empty segment behind
  one that is active; it is removed.
- A segment that does not continue the one before it begins the log, the very first one or one
  behind an installed snapshot (Raft §7).  Segments before it are void: a crash kept them from being
  removed, and nobody reads them.  So a hole that a snapshot leaves is told from a lost segment.
- A segment file is made aside, synced and renamed, so it always has a whole header.

The newest segment may end in a torn write, which was never acknowledged.  Everything else that does
not add up is :class:`~kvraft.errors.Damage`: a log that was promised is never quietly shortened
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

:func:`recover` only looks.  :func:`mend` then makes durable what it found:

- The torn bytes are copied to a file of their own, never read again, for whoever wants to know what
  was lost: ``{segment id}-{first index}-{offset}.torn``.  The newest ``KEPT_ASIDE`` of these stay.
- The newest segment is written anew, without them, and renamed over the old one; if nothing is in
  it yet, then so is the one before, whose seal may not have been synced.  A sync would not do:
  after a failed one the operating system still shows the bytes to the next process, calls them
  clean, and its next sync succeeds without writing them (Rebello et al., *Can Applications Recover
  from fsync Failures?*, ATC 2020).

Space is not allocated ahead: it was measured to buy nothing clear, and leaves tails of zeros that
would have to be told from damage.

Sources: etcd wal (superseding by index, hard state at the head of each segment, segment names, a
copy of what a repair takes away).
"""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kvraft import disk as files
from kvraft import frame
from kvraft.disk import TEMPORARY, Disk
from kvraft.errors import BadInput, Damage, Foreign, other_format
from kvraft.filenames import is_segment, is_torn, segment_name, torn_name
from kvraft.frame import Frame
from kvraft.logindex import Batch, LogIndex
from kvraft.record import ORIGIN, HardState, Position, survey_entries

FORMAT = 2
"""2 since entries carry the incarnation of a client; 1 was that of kvraft 0.1 and earlier."""

HEADER, HARD_STATE, ENTRIES, CLOSED, SEAL = range(1, 6)

KEPT_ASIDE = 4
"""How many torn ends are kept, the newest: by segment, then by offset, as their names sort."""

_OPENING_BYTES = 4096  # enough for any header but one with very long names
HEADER_SEED = frame.seed_of("kvraft log segment")  # a header can be read whoever owns it
_HARD_STATE = struct.Struct("<Q?")


class Segment(NamedTuple):
    """One file of the log.  It was begun for index ``first``, its sequence number is ``id``.

    ``low`` and ``high`` are the smallest and the largest index in it, superseded entries included;
    an empty one has ``low == first`` and ``high == first - 1``.  ``size`` is in bytes.
    """

    id: int
    first: int
    low: int
    high: int
    size: int
    sealed: bool = False

    @property
    def name(self) -> str:
        """The name of its file; names sort by id."""
        return segment_name(self.id, self.first)


class Torn(NamedTuple):
    """The torn end of the newest segment: ``size`` bytes from ``offset`` on, and what is wrong."""

    file: str
    offset: int
    size: int
    why: str

    @property
    def aside(self) -> str:
        """The name of the file that keeps these bytes once they are cut."""
        return torn_name(self.file, self.offset)


@dataclass(slots=True)
class Recovery:
    """What the files of a log say, read without writing anything.

    ``index`` says where the live entries are, and of which term.  ``torn`` is what :func:`mend`
    cuts, ``leftovers`` are the unfinished files it removes, ``aside`` the torn ends kept already.
    ``closed`` says that no frame with contents is the last one of the newest segment.  The first
    ``sure`` segments are durable for certain, and so are ``synced`` bytes of the newest one, as it
    says itself.  ``void`` are
    the segments that an installed snapshot put out of force and :meth:`Wal.open` removes; if there
    are such and no others, it also begins the log anew behind ``base``.
    """

    segments: list[Segment] = field(default_factory=list)
    index: LogIndex = field(default_factory=LogIndex)
    hard_state: HardState = field(default_factory=HardState)
    torn: Torn | None = None
    leftovers: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    next_id: int = 1  # of a segment
    sure: int = 0
    closed: bool = True
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
        newest = self.segments[-1].name if self.segments and not self.closed else ""
        for batch in self.index.batches:
            if batch.file == newest and batch.offset + batch.length > self.synced:
                return batch.first - 1
        return self.index.last


def recover(disk: Disk, owner: str, installed: Position = ORIGIN) -> Recovery:
    """Read the log of the member ``owner`` on ``disk``, without writing anything.

    ``installed`` is where a snapshot ends that took the place of all tables, if no flush followed
    it.  A log that neither holds that place nor begins behind it is then no loss: a crash came
    between the manifest and :meth:`Wal.reset`.  It is read as the reset would have left it.

    Raises :class:`~kvraft.errors.Damage`, which names file and offset, and
    :class:`~kvraft.errors.Foreign` for another member's log or another format version.
    """
    log = _read(disk, owner)
    if not log.segments or log.base.index >= installed.index or log.index.holds(installed):
        return log
    return Recovery(
        index=LogIndex(installed),
        hard_state=log.hard_state,
        leftovers=log.leftovers,
        aside=log.aside,
        void=log.void + [segment.name for segment in log.segments],
        next_id=log.next_id,
    )


def mend(disk: Disk, log: Recovery) -> None:
    """Make durable what :func:`recover` found, and take away what it left out.

    A crash or a failure at any moment leaves a log of which :func:`recover` finds the same.  It
    needs space for a copy of the newest segment: on a full disk it raises
    :class:`~kvraft.errors.DiskFull`, and can be called again.
    """
    while log.leftovers:
        disk.remove(log.leftovers[-1])
        log.leftovers.pop()
    if log.torn:
        _set_aside(disk, log.torn, log.aside)
    for segment in log.segments[log.sure :]:
        files.replace(disk, segment.name, disk.read(segment.name, 0, segment.size))
    log.torn, log.sure = None, len(log.segments)


def _set_aside(disk: Disk, torn: Torn, before: list[str]) -> None:
    files.replace(disk, torn.aside, disk.read(torn.file, torn.offset, torn.size))
    others = [name for name in before if name != torn.aside]
    for name in others[: max(0, len(others) + 1 - KEPT_ASIDE)]:
        disk.remove(name)


def _read(disk: Disk, owner: str) -> Recovery:
    log = Recovery()
    names = disk.names()
    for name in names:
        whole = name.removesuffix(TEMPORARY)
        if whole != name and (is_segment(whole) or is_torn(whole)):
            log.leftovers.append(name)
    log.aside = [name for name in names if is_torn(name)]
    names = [name for name in names if is_segment(name)]
    begin = _begin(disk, names)
    log.void = names[:begin]
    _read_segments(log, disk, owner, names[begin:])
    if log.segments:
        log.next_id = log.segments[-1].id + 1
    if log.index.last < log.base.index:
        newest = log.segments[-1]
        what = f"the log ends at entry {log.index.last}, before its base {log.base.index}"
        raise Damage(newest.name, newest.size, what)
    # The oldest header tells the term of the base as it was then; a later frame may have superseded
    # that entry, and holds the one that won.
    log.index.cut(log.base.index)
    return log


def _read_segments(log: Recovery, disk: Disk, owner: str, names: list[str]) -> None:
    spare = names.pop() if len(names) > 1 and _is_empty(disk, names[-1]) else ""
    for name in names:
        _read_segment(log, owner, name, disk.read(name), newest=name == names[-1])
    if not log.segments:
        return
    log.sure = len(log.segments) - 1
    if spare and not log.segments[-1].sealed:
        _, before, hard_state = _read_header(owner, spare, disk.read(spare))
        if (before, hard_state) != (log.last, log.hard_state):
            raise Damage(spare, 0, "this segment does not continue the one before it")
        log.leftovers.append(spare)  # the power went before the seal was written
    elif not log.segments[-1].sealed:
        return
    elif spare:  # nothing shows yet that the seal before it was synced
        _read_segment(log, owner, spare, disk.read(spare), newest=True)
    else:
        newest = log.segments[-1]
        what = "this segment is sealed, and the one that follows it is missing"
        raise Damage(newest.name, newest.size, what)


def _is_empty(disk: Disk, name: str) -> bool:
    """Return whether a segment holds nothing but its header."""
    header = frame.decode(disk.read(name, 0, _OPENING_BYTES), 0, seed=HEADER_SEED)
    return not isinstance(header, str) and header.end == disk.size(name)


def _begin(disk: Disk, names: list[str]) -> int:
    """Return which of the segments ``names`` the log begins with: the last that continues none."""
    for at in range(len(names) - 1, 0, -1):
        if _opening(disk, names[at]).get("continues") is False:
            return at
    return 0


def owner_of(disk: Disk) -> str:
    """Return the member that the log on ``disk`` says it belongs to.

    Raises ``BadInput`` if there is no log, else as :func:`recover` does.
    """
    names = [name for name in disk.names() if is_segment(name)]
    if not names:
        raise BadInput("there is no log here that could name its owner")
    return str(_opening(disk, names[-1]).get("owner"))


def _opening(disk: Disk, name: str) -> dict[str, Any]:
    """Return the fields of a segment's header, reading little more of the file than that."""
    data = disk.read(name, 0, _OPENING_BYTES)
    if isinstance(frame.decode(data, 0, seed=HEADER_SEED), str):
        data = disk.read(name)
    return read_header(name, data)[0]


def _read_segment(log: Recovery, owner: str, name: str, data: bytes, *, newest: bool) -> None:
    segment, before, hard_state = _read_header(owner, name, data)
    if not log.segments:
        log.index = LogIndex(before)
    elif segment.id != log.segments[-1].id + 1:
        what = f"segment {segment.id} follows segment {log.segments[-1].id}: one is missing"
        raise Damage(name, 0, what)
    elif (before, hard_state) != (log.last, log.hard_state):
        raise Damage(name, 0, "this segment does not continue the one before it")
    log.segments.append(segment)
    log.hard_state = hard_state
    log.closed = True
    seed = frame.seed_of(owner, name)
    found = frame.scan(data, name=name, seed=seed, start=segment.size, sealed=not newest)
    for each in found.frames:
        _replay(log, name, each)
    log.synced = max([segment.size, *(each.synced for each in found.frames)])
    sealed = log.segments[-1].sealed
    if sealed and found.torn:
        raise Damage(name, found.end, f"bytes follow the seal: {found.torn}")
    if not sealed and not newest:
        raise Damage(name, found.end, "this segment is not sealed, though another one follows")
    if found.torn:
        log.torn = Torn(name, found.end, len(data) - found.end, found.torn)
    log.segments[-1] = log.segments[-1]._replace(size=found.end)


def _replay(log: Recovery, name: str, found: Frame) -> None:
    """Let one sound frame have its effect; one that cannot have been written is damage."""
    segment = log.segments[-1]
    try:
        if segment.sealed:
            raise ValueError("a frame follows the seal")
        if found.kind == ENTRIES:
            turns, last = survey_entries(found.payload)
            first, length = turns[0].index, found.end - found.offset
            check_follows(log.index, turns)
            log.index.extend(turns, last)
            batch = Batch(first, last, last, name, found.offset, length, found.synced)
            log.index.place(batch)
            log.segments[-1] = _grown(segment, first, last)
        elif found.kind == HARD_STATE:
            log.hard_state = unpack_hard_state(found.payload)
        elif found.kind in (CLOSED, SEAL) and not found.payload:
            log.segments[-1] = segment._replace(sealed=found.kind == SEAL)
        else:
            raise ValueError(f"a frame of kind {found.kind} does not belong here")
    except ValueError as error:
        raise Damage(name, found.offset, str(error)) from None
    log.closed = found.kind in (CLOSED, SEAL)


def _grown(segment: Segment, first: int, last: int) -> Segment:
    """Return ``segment`` as it is with the entries ``first`` … ``last`` in it, too."""
    if segment.low > segment.high:
        return Segment(segment.id, segment.first, first, last, segment.size, segment.sealed)
    if segment.low <= first and last == segment.high:
        return segment
    low, high = min(segment.low, first), max(segment.high, last)
    return Segment(segment.id, segment.first, low, high, segment.size, segment.sealed)


def check_follows(index: LogIndex, turns: list[Position]) -> None:
    """Raise ``ValueError`` unless entries that begin at ``turns[0]`` can stand in this log.

    They put themselves behind those they follow and in the place of those they supersede.  Once
    older segments are gone, a frame may begin at or below ``base``, for it superseded some of what
    they held; the term of the entry before it is then unknown, and taken for 0.
    """
    first, term = turns[0]
    if not 1 <= first <= index.last + 1:
        raise ValueError(f"entry {first} follows entry {index.last}")
    if term < (before := index.term_at(first - 1)):
        raise ValueError(f"entry {first} is of term {term}, after term {before}")


def kind_name(kind: int) -> str:
    """Return what a frame of ``kind`` is called."""
    names = {HARD_STATE: "hard state", ENTRIES: "entries", CLOSED: "closed", SEAL: "seal"}
    return names.get(kind, f"kind {kind}")


def pack_hard_state(state: HardState) -> bytes:
    """Return the payload of a HARD_STATE frame."""
    vote = b"" if state.vote is None else state.vote.encode()
    return _HARD_STATE.pack(state.term, state.vote is not None) + vote


def unpack_hard_state(payload: bytes) -> HardState:
    """Return what :func:`pack_hard_state` wrote; ``ValueError`` if it is cut short."""
    if len(payload) < _HARD_STATE.size:
        raise ValueError("a hard state is cut short")
    term, voted = _HARD_STATE.unpack_from(payload)
    return HardState(term, payload[_HARD_STATE.size :].decode() if voted else None)


def pack_header(
    owner: str, number: int, before: Position, state: HardState, *, continues: bool
) -> bytes:
    """Return the header of segment ``number``, a whole frame; entries will follow ``before``.

    ``continues`` says whether the segment before it, if there is one, belongs to the same log.
    """
    says = {
        "format": FORMAT,
        "owner": owner,
        "segment": number,
        "first": before.index + 1,
        "term_before": before.term,
        "continues": continues,
        "term": state.term,
        "vote": state.vote,
    }
    return frame.encode(HEADER, json.dumps(says).encode(), synced=0, seed=HEADER_SEED)


def _read_header(owner: str, name: str, data: bytes) -> tuple[Segment, Position, HardState]:
    """Return what a segment's header says: the segment, the place before it, the hard state."""
    says, end = read_header(name, data)
    if says.get("owner") != owner:
        raise Foreign(f"{name} is the log of member {says.get('owner')!r}, not of {owner!r}")
    numbers = [says.get(key) for key in ("segment", "first", "term_before", "term")]
    number, first, term_before, term = (n if type(n) is int else -1 for n in numbers)
    vote = says.get("vote")
    whole = type(says.get("continues")) is bool and isinstance(vote, str | None)
    if min(number, first) < 1 or min(term_before, term) < 0 or not whole:
        raise Damage(name, 0, "the header of this segment does not say all it must")
    segment = Segment(number, first, first, first - 1, end)
    if segment.name != name:
        raise Damage(name, 0, f"this is the file {segment.name} under another name")
    return segment, Position(first - 1, term_before), HardState(term, vote)


def read_header(name: str, data: bytes) -> tuple[dict[str, Any], int]:
    """Return the fields of a segment's header, not yet checked, and where it ends.

    Raises ``Damage`` if the bytes of the file ``name`` do not begin with one, and ``Foreign`` if it
    is of another format.
    """
    head = frame.decode(data, 0, seed=HEADER_SEED)
    if isinstance(head, str):
        raise Damage(name, 0, f"the header of this segment is unsound: {head}")
    says: Any = None
    with suppress(ValueError):
        says = json.loads(head.payload)
    if head.kind != HEADER or not isinstance(says, dict):
        raise Damage(name, 0, "this segment does not begin with a header")
    if (found := says.get("format")) != FORMAT:
        raise other_format(name, found, FORMAT)
    return says, head.end
