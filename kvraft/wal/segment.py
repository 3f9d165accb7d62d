"""Segments: the files of the log on disk, and what their bytes mean.

The log (``wal/wal.py``) is a row of files, each a row of frames (``disk/frame.py``)::

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
  supersede it and all after it (Raft §5.3): nothing is cut out of a file, the later frame wins.
- Only the newest segment is active, each other one ends with a SEAL.  Ids have no gap.  Each
  segment begins at the index after the last one of the log as it was then.
- The next segment is durable before the SEAL is written.  So a log always ends in one that is not
  sealed: where it does not, files are missing.  A crash in between leaves an empty segment after
  one that is active; it is removed.
- A segment that does not continue the one before it begins the log, the very first one or one
  after an installed snapshot (Raft §7).  Segments before it are void: a crash kept them from being
  removed, and nobody reads them.  So a hole that a snapshot leaves is told from a lost segment.
- A segment file is made aside, synced and renamed, so it always has a whole header.

How a log is read again after a crash is in ``wal/recovery.py``.  Space is not allocated ahead: it
was measured to buy nothing clear, and leaves tails of zeros that would have to be told from damage.

Sources: etcd wal (superseding by index, hard state at the head of each segment, segment names).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from kvraft.disk import Disk, frame, is_segment, segment_name
from kvraft.errors import BadInput, Corruption, ForeignFile, format_mismatch
from kvraft.record import HardState, Position
from kvraft.wal.index import FrameLocation

FORMAT = 2
"""2 since entries carry the incarnation of a client; 1 was that of kvraft 0.1 and earlier."""

HEADER, HARD_STATE, ENTRIES, CLOSED, SEAL = range(1, 6)
HEADER_SEED = frame.checksum_seed("kvraft log segment")
"""The seed of a header's frame, the same for all: so it can be read whoever owns it."""

READ_BYTES = 1 << 20
"""What is read of a segment in one go, unless a frame is larger."""
_OPENING_BYTES = 4096  # enough for any header but one with very long names
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

    def grown(self, first: int, last: int) -> Segment:
        """Return this segment with the entries ``first`` … ``last`` in it, too."""
        if self.low > self.high:
            return self._replace(low=first, high=last)
        return self._replace(low=min(self.low, first), high=max(self.high, last))


def log_owner(disk: Disk) -> str:
    """Return the member that the log on ``disk`` says it belongs to.

    Raises ``BadInput`` if there is no log, else as :func:`read_segment_header` does.
    """
    names = [name for name in disk.names() if is_segment(name)]
    if not names:
        raise BadInput("there is no log here that could name its owner")
    return str(opening(disk, names[-1])[0].get("owner"))


def frame_kind_name(kind: int) -> str:
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


def read_segment_header(name: str, data: bytes) -> tuple[dict[str, Any], int]:
    """Return the fields of a segment's header, not yet checked, and where it ends.

    Raises ``Corruption`` if the bytes of the file ``name`` do not begin with one, and
    ``ForeignFile`` if it is of another format.
    """
    head = frame.decode(data, 0, seed=HEADER_SEED)
    if isinstance(head, str):
        raise Corruption(name, 0, f"the header of this segment is unsound: {head}")
    says: Any = None
    with suppress(ValueError):
        says = json.loads(head.payload)
    if head.kind != HEADER or not isinstance(says, dict):
        raise Corruption(name, 0, "this segment does not begin with a header")
    if (found := says.get("format")) != FORMAT:
        raise format_mismatch(name, found, FORMAT)
    return says, head.end


def opening(disk: Disk, name: str) -> tuple[dict[str, Any], int]:
    """Do what :func:`read_segment_header` does, reading little more of the file than its header."""
    data = disk.read(name, 0, _OPENING_BYTES)
    if isinstance(frame.decode(data, 0, seed=HEADER_SEED), str):
        data = disk.read(name)
    return read_segment_header(name, data)


def check_header(owner: str, name: str, data: bytes) -> tuple[Segment, Position, HardState]:
    """Return what a segment's header says: the segment, the place before it, the hard state.

    Raises as :func:`read_segment_header` does, and ``ForeignFile`` for another owner's segment.
    """
    says, end = read_segment_header(name, data)
    if says.get("owner") != owner:
        raise ForeignFile(f"{name} is the log of member {says.get('owner')!r}, not of {owner!r}")
    numbers = [says.get(key) for key in ("segment", "first", "term_before", "term")]
    number, first, term_before, term = (n if type(n) is int else -1 for n in numbers)
    vote = says.get("vote")
    whole = type(says.get("continues")) is bool and isinstance(vote, str | None)
    if min(number, first) < 1 or min(term_before, term) < 0 or not whole:
        raise Corruption(name, 0, "the header of this segment does not say all it must")
    segment = Segment(number, first, first, first - 1, end)
    if segment.name != name:
        raise Corruption(name, 0, f"this is the file {segment.name} under another name")
    return segment, Position(first - 1, term_before), HardState(term, vote)


# ── entries ─────────────────────────────────────────────────────────────────────────────────────


def read_frames(
    disk: Disk, owner: str, batches: Sequence[FrameLocation]
) -> Iterator[tuple[FrameLocation, bytes]]:
    """Yield each of ``batches`` with the packed entries of its frame, superseded ones included.

    Neighbours are read together: a log of single writes has very many small frames.  Raises
    ``Corruption`` where a frame is no longer what was written.
    """
    for stretch in _stretches(batches):
        start, end = stretch[0].offset, stretch[-1].offset + stretch[-1].length
        data = disk.read(stretch[0].file, start, end - start)
        seed = frame.checksum_seed(owner, stretch[0].file)
        for batch in stretch:
            at = batch.offset - start
            part = data[at : at + batch.length]
            payload = frame.payload_of(part, ENTRIES, synced=batch.synced, seed=seed)
            if payload is None:
                what = "a frame is no longer what was written"
                raise Corruption(batch.file, batch.offset, what)
            yield batch, payload


def _stretches(batches: Sequence[FrameLocation]) -> Iterator[list[FrameLocation]]:
    """Yield ``batches`` in lists of such as lie in one file, near each other and in order."""
    stretch: list[FrameLocation] = []
    for batch in batches:
        if stretch and (
            batch.file != stretch[-1].file
            or batch.offset < stretch[-1].offset
            or batch.offset + batch.length - stretch[0].offset > READ_BYTES
        ):
            yield stretch
            stretch = []
        stretch.append(batch)
    if stretch:
        yield stretch
