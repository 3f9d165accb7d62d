"""Segments: the files of the log on disk, and the meaning of their bytes.

The log (``wal/wal.py``) is a sequence of files, each a sequence of frames (``disk/frame.py``)::

    0000000000000004-0000000000000029.wal      sealed
    0000000000000005-0000000000000041.wal      sealed
    0000000000000006-0000000000000058.wal      active
    └── segment id ──┘ └─ first index ─┘       (hexadecimal)

    HEADER      JSON: format; owner (cluster and member); segment; first; term_before, the term
                of the entry before first; continues, whether this segment continues the one
                before it; term and vote so far, so that older segments can be removed
    HARD_STATE  term (8 bytes, little-endian), whether a vote follows (1), the vote
    ENTRIES     entries, as record.py packs them
    CLOSED      empty: the log was closed here; more frames may follow
    SEAL        empty: no frame follows

Invariants:

- Entries are contiguous and their terms never fall.  Entries that begin at or below the last index
  supersede all entries from there on (Raft §5.3).  The old frame stays; the later one counts.
- Only the newest segment is active; each other one ends with a SEAL.  Ids have no gap.  Each
  segment begins at the index after the last entry of the log at that time.
- The next segment is durable before the SEAL is written.  So a log that ends in a sealed segment
  has lost files.  A crash between the two leaves an empty segment after an active one; it is
  removed.
- A segment that does not continue the one before it is the beginning of the log: the very first
  segment, or one begun after an installed snapshot (Raft §7).  Segments before it are void: a crash
  prevented their removal, and they are not read.  This distinguishes the hole that a snapshot
  leaves from a lost segment.
- A segment is written to a temporary file, synced and renamed, so its header is always complete.

Space is not preallocated: measurements showed no clear benefit, and it leaves zeros at the end that
would have to be distinguished from damage.

Sources: etcd wal (superseding by index, hard state in the header of each segment, names).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, NamedTuple

from kvraft.disk import Disk, frame, is_segment, segment_name
from kvraft.errors import BadInput, Corruption, ForeignFile, format_mismatch
from kvraft.events import EntriesAppended
from kvraft.record import Entry, HardState, Position, label
from kvraft.wal.index import FrameLocation

FORMAT = 3
"""3 since frames are bound to their offset, 2 since entries carry the incarnation of a client."""


class FrameKind(IntEnum):
    """What a frame of the log contains; the number is the frame's kind on disk."""

    HEADER = 1
    HARD_STATE = 2
    ENTRIES = 3
    CLOSED = 4
    SEAL = 5


HEADER_SEED = frame.checksum_seed("kvraft log segment")
"""The checksum seed of all headers, so that a header can be read whatever its owner is."""

RUN_BYTES = 64 * 1024
"""A run of frames (wal/index.py) ends at this many bytes: so much is read for one entry of it."""
READ_BYTES = 1 << 20
"""How many bytes of a segment are read at once, unless a frame is larger."""
_OPENING_BYTES = 4096  # enough for any header without very long names
_HARD_STATE = struct.Struct("<Q?")


class Segment(NamedTuple):
    """One file of the log, with the sequence number ``id``, begun at index ``first``.

    ``low`` and ``high`` are its smallest and largest index, superseded entries included; an empty
    segment has ``low == first`` and ``high == first - 1``.  ``size`` is in bytes.
    """

    id: int
    first: int
    low: int
    high: int
    size: int
    sealed: bool = False

    @property
    def name(self) -> str:
        """The name of its file.  Names sort by id."""
        return segment_name(self.id, self.first)

    def grown(self, first: int, last: int) -> Segment:
        """Return this segment after the entries ``first`` … ``last`` were added."""
        if self.low > self.high:
            return self._replace(low=first, high=last)
        return self._replace(low=min(self.low, first), high=max(self.high, last))


def log_owner(disk: Disk) -> str:
    """Return the owner that the log on ``disk`` names.

    Raises ``BadInput`` if there is no log, and as :func:`read_segment_header` does.
    """
    names = [name for name in disk.names() if is_segment(name)]
    if not names:
        raise BadInput("there is no log here that could name its owner")
    return str(read_opening(disk, names[-1])[0].get("owner"))


def frame_kind_name(kind: int) -> str:
    """Return the name of frames of ``kind``, for people."""
    names: dict[int, str] = {
        FrameKind.HARD_STATE: "hard state",
        FrameKind.ENTRIES: "entries",
        FrameKind.CLOSED: "closed",
        FrameKind.SEAL: "seal",
    }
    return names.get(kind, f"kind {kind}")


def pack_hard_state(state: HardState) -> bytes:
    """Return the payload of a HARD_STATE frame."""
    vote = b"" if state.vote is None else state.vote.encode()
    return _HARD_STATE.pack(state.term, state.vote is not None) + vote


def unpack_hard_state(payload: bytes) -> HardState:
    """Return the hard state in ``payload``; raise ``ValueError`` if it is too short."""
    if len(payload) < _HARD_STATE.size:
        raise ValueError("a hard state is cut short")
    term, voted = _HARD_STATE.unpack_from(payload)
    return HardState(term, payload[_HARD_STATE.size :].decode() if voted else None)


def pack_header(
    owner: str, number: int, before: Position, state: HardState, *, continues: bool
) -> bytes:
    """Return the header frame of segment ``number``, whose entries will follow ``before``.

    ``continues`` says whether this segment continues the one before it, if there is one.
    """
    fields = {
        "format": FORMAT,
        "owner": owner,
        "segment": number,
        "first": before.index + 1,
        "term_before": before.term,
        "continues": continues,
        "term": state.term,
        "vote": state.vote,
    }
    payload = json.dumps(fields).encode()
    return frame.encode(FrameKind.HEADER, payload, synced=0, seed=HEADER_SEED, offset=0)


def read_segment_header(name: str, data: bytes) -> tuple[dict[str, Any], int]:
    """Return the fields of a segment's header, unchecked, and the offset at which it ends.

    Raises ``Corruption`` if ``data``, the bytes of the file ``name``, does not begin with a header,
    and ``ForeignFile`` if the header has another format.
    """
    if (older := frame.older_format(data)) is not None:
        raise format_mismatch(name, older, FORMAT)
    head = frame.decode(data, 0, seed=HEADER_SEED)
    if isinstance(head, str):
        raise Corruption(name, 0, f"the header of this segment is damaged: {head}")
    fields: Any = None
    with suppress(ValueError):
        fields = json.loads(head.payload)
    if head.kind != FrameKind.HEADER or not isinstance(fields, dict):
        raise Corruption(name, 0, "this segment does not begin with a header")
    if (found := fields.get("format")) != FORMAT:
        raise format_mismatch(name, found, FORMAT)
    return fields, head.end


def read_opening(disk: Disk, name: str) -> tuple[dict[str, Any], int]:
    """Return what :func:`read_segment_header` does, reading little more than the header."""
    data = disk.read(name, 0, _OPENING_BYTES)
    if isinstance(frame.decode(data, 0, seed=HEADER_SEED), str):
        data = disk.read(name)
    return read_segment_header(name, data)


def check_header(owner: str, name: str, data: bytes) -> tuple[Segment, Position, HardState]:
    """Return the segment, the position before it, and the hard state in its header.

    Raises as :func:`read_segment_header` does, and ``ForeignFile`` for another owner's segment.
    """
    fields, end = read_segment_header(name, data)
    if fields.get("owner") != owner:
        raise ForeignFile(f"{name} is the log of member {fields.get('owner')!r}, not of {owner!r}")
    numbers = [fields.get(key) for key in ("segment", "first", "term_before", "term")]
    number, first, term_before, term = (n if type(n) is int else -1 for n in numbers)
    vote = fields.get("vote")
    whole = type(fields.get("continues")) is bool and isinstance(vote, str | None)
    if min(number, first) < 1 or min(term_before, term) < 0 or not whole:
        raise Corruption(name, 0, "the header of this segment is incomplete")
    segment = Segment(number, first, first, first - 1, end)
    if segment.name != name:
        raise Corruption(name, 0, f"this is the file {segment.name} under another name")
    return segment, Position(first - 1, term_before), HardState(term, vote)


# ── entries ─────────────────────────────────────────────────────────────────────────────────────


def read_frames(
    disk: Disk, owner: str, frames: Sequence[FrameLocation]
) -> Iterator[tuple[FrameLocation, bytes]]:
    """Yield each of ``frames`` with its packed entries, superseded ones included.

    Neighbours are read together, because a log of single writes has very many small frames.  Raises
    ``Corruption`` if a frame is no longer what was written.
    """
    for stretch in _stretches(frames):
        start, end = stretch[0].offset, stretch[-1].offset + stretch[-1].length
        data = disk.read(stretch[0].file, start, end - start)
        seed = frame.checksum_seed(owner, stretch[0].file)
        for each in stretch:
            parts: list[bytes] = []
            at, end = each.offset, each.offset + each.length
            while at < end:
                found = frame.decode(data, at, seed=seed, base=start)
                if isinstance(found, str) or found.kind != FrameKind.ENTRIES or found.end > end:
                    raise Corruption(each.file, at, "a frame is no longer what was written")
                parts.append(found.payload)
                at = found.end
            yield each, b"".join(parts)


def _stretches(frames: Sequence[FrameLocation]) -> Iterator[list[FrameLocation]]:
    """Yield ``frames`` in lists: those of one file that ascend within ``READ_BYTES``."""
    stretch: list[FrameLocation] = []
    for each in frames:
        if stretch and (
            each.file != stretch[-1].file
            or each.offset < stretch[-1].offset
            or each.offset + each.length - stretch[0].offset > READ_BYTES
        ):
            yield stretch
            stretch = []
        stretch.append(each)
    if stretch:
        yield stretch


def entries_appended(segment: Segment, entries: Sequence[Entry]) -> EntriesAppended:
    """Return the event that reports ``entries``, which were appended to ``segment``."""
    records = [entry.record for entry in entries]
    return EntriesAppended(
        segment.id,
        entries[0].index,
        tuple(entry.term for entry in entries),
        tuple(label(record.key) for record in records),
        tuple(str(record.txn) if record.kind.is_data else "" for record in records),
        tuple(record.commit for record in records),
    )
