"""Every byte of a log segment, named as ``frame.py``, ``segment.py`` and ``record.py`` do.

:func:`dissect` takes a segment apart into *pieces*, each a frame or a stretch that is no sound
frame, and every piece into *fields*::

    segment   │ header │ hard state │ entries │ entries │ … │ torn │          pieces
    frame     │ magic kind length synced crc32 │ term … key value │ crc32 │   fields
               └──────────── head ────────────┘ └─── payload ────┘ checksum

Invariant: the pieces cover the file from its first byte to its last, and fields cover their piece.

Nothing here decides what is sound: that is asked of :mod:`kvraft.disk.frame`, byte for byte the
code that opens a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from kvraft.disk import Disk, Frame, frame
from kvraft.display import counted
from kvraft.errors import BadInput, Corruption
from kvraft.record import ENTRY_OVERHEAD, Entry, entry_size, label, unpack_entries
from kvraft.wal import HEADER_SEED, FrameKind

FRAME_NAMES: dict[int, str] = {
    FrameKind.HEADER: "header",
    FrameKind.HARD_STATE: "hard state",
    FrameKind.ENTRIES: "entries",
    FrameKind.CLOSED: "closed",
    FrameKind.SEAL: "seal",
}
"""The kinds of frames in words; a piece that is no frame has kind 0."""


class FramePart(StrEnum):
    """Which part of its piece a field belongs to."""

    HEAD = "head"
    PAYLOAD = "payload"
    CHECK = "checksum"
    UNSOUND = "unsound"


class Field(NamedTuple):
    """The bytes ``start`` … ``end - 1`` of a file: a ``name``, and what they say as text."""

    start: int
    end: int
    part: FramePart
    name: str
    value: str
    meaning: str


class PlacedEntry(NamedTuple):
    """An entry and where its bytes are; ``superseded`` if a later frame took its place."""

    entry: Entry
    start: int
    end: int
    superseded: bool = False


class SegmentPiece(NamedTuple):
    """A frame of one ``kind``, or bytes that are none (kind 0); ``why`` says what they are then."""

    kind: int
    start: int
    end: int
    fields: tuple[Field, ...]
    entries: tuple[PlacedEntry, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        """Return it in words: what it is and from where to where."""
        return f"{self.label} at {self.start} to {self.end - 1}"

    @property
    def label(self) -> str:
        """What it is, with the indexes of its entries."""
        if not self.entries:
            return self.why or FRAME_NAMES.get(self.kind, f"kind {self.kind}")
        first, last = self.entries[0].entry.index, self.entries[-1].entry.index
        return f"entry {first}" if first == last else f"entries {first} to {last}"

    @property
    def short(self) -> str:
        """The same where there is little room."""
        return self.label.removeprefix("entries ").removeprefix("hard ").replace(" to ", "-")


def segments_of(disk: Disk) -> list[str]:
    """Return the names of the log segments on ``disk``, oldest first."""
    return [name for name in disk.names() if name.endswith(".wal")]


def dissect(disk: Disk, owner: str) -> dict[str, list[SegmentPiece]]:
    """Return the pieces of every segment of the log of ``owner``, by file, oldest first.

    Entries that a later frame supersedes are marked.  Raises
    :class:`~kvraft.errors.BadInput` if there is no log on ``disk``.
    """
    names = segments_of(disk)
    if not names:
        raise BadInput("there is nothing to draw: no log segment is on this disk")
    found = {
        name: dissect_segment(disk.read(name), owner, name, sealed=name != names[-1])
        for name in names
    }
    return _marked(found)


def dissect_segment(
    data: bytes, owner: str, name: str, *, sealed: bool = False
) -> list[SegmentPiece]:
    """Return the pieces of the segment ``name`` that holds ``data``.

    What is not sound is called *torn* if it would be cut, else *damaged*; in a ``sealed`` segment
    nothing is cut.
    """
    seed = frame.checksum_seed(owner, name)
    pieces: list[SegmentPiece] = []
    at = 0
    while at < len(data):
        found = frame.decode(data, at, seed=HEADER_SEED if at == 0 else seed)
        if isinstance(found, Frame):
            pieces.append(_sound(data, found))
        else:
            torn = at > 0 and not sealed and _is_torn(data, at, name, seed)
            end = len(data) if torn else _next_sound(data, at, seed)
            pieces.append(_unsound(data, at, end, "torn" if torn else "damaged", found))
        at = pieces[-1].end
    return pieces


def piece_at(pieces: Sequence[SegmentPiece], offset: int) -> SegmentPiece:
    """Return the piece that holds the byte at ``offset``; raises ``BadInput`` if there is none."""
    for piece in pieces:
        if piece.start <= offset < piece.end:
            return piece
    size = pieces[-1].end if pieces else 0
    raise BadInput(f"there is no byte {offset} in a segment of {counted(size, 'byte')}")


def field_at(pieces: Sequence[SegmentPiece], offset: int) -> Field:
    """Return the field that holds the byte at ``offset``; raises ``BadInput`` if there is none."""
    fields = piece_at(pieces, offset).fields
    return next(field for field in fields if field.start <= offset < field.end)


# ── inside ──────────────────────────────────────────────────────────────────────────────────────


def _is_torn(data: bytes, at: int, name: str, seed: int) -> bool:
    try:
        frame.scan(data, name=name, seed=seed, start=at)
    except Corruption:
        return False
    return True


def _next_sound(data: bytes, at: int, seed: int) -> int:
    """Return where the next sound frame behind ``at`` begins, else the end of the file."""
    found = data.find(frame.FRAME_MAGIC, at + 1)
    while found >= 0:
        if isinstance(frame.decode(data, found, seed=seed), Frame):
            return found
        found = data.find(frame.FRAME_MAGIC, found + 1)
    return len(data)


def _marked(found: dict[str, list[SegmentPiece]]) -> dict[str, list[SegmentPiece]]:
    """Mark as superseded what a later frame, in whatever file, begins at or below."""
    lowest: float = float("inf")  # the lowest index that a later frame begins at
    for name in reversed(found):
        for number in reversed(range(len(found[name]))):
            piece = found[name][number]
            if piece.entries:
                marked = [p._replace(superseded=p.entry.index >= lowest) for p in piece.entries]
                found[name][number] = piece._replace(entries=tuple(marked))
                lowest = min(lowest, piece.entries[0].entry.index)
    return found


def _unsound(data: bytes, start: int, end: int, what: str, why: str) -> SegmentPiece:
    field = Field(start, end, FramePart.UNSOUND, what, f"{counted(end - start, 'byte')}", why)
    return SegmentPiece(0, start, end, (field,), why=what)


def _sound(data: bytes, found: Frame) -> SegmentPiece:
    payload_at = found.end - 4 - len(found.payload)
    fields = [*_head(data, found)]
    placed: list[PlacedEntry] = []
    if found.kind == FrameKind.ENTRIES:
        at = payload_at
        for entry in unpack_entries(found.payload):
            placed.append(PlacedEntry(entry, at, at + entry_size(entry)))
            fields += _entry(data, entry, at)
            at = placed[-1].end
    elif found.kind == FrameKind.HARD_STATE:
        fields += _hard_state(data, payload_at, found.end - 4)
    elif found.payload:
        text = label(found.payload)
        meaning = "owner, first index, and what was true before it, as JSON"
        fields.append(Field(payload_at, found.end - 4, FramePart.PAYLOAD, "header", text, meaning))
    stored = f"{_int(data, found.end - 4, 4):08x}"
    meaning = "of head and payload, and of this place"
    fields.append(Field(found.end - 4, found.end, FramePart.CHECK, "crc32", stored, meaning))
    return SegmentPiece(found.kind, found.offset, found.end, tuple(fields), tuple(placed))


def _head(data: bytes, found: Frame) -> Iterator[Field]:
    kind = f"{found.kind}: {FRAME_NAMES.get(found.kind, 'unknown')}"
    rows = (
        ("magic", 4, label(frame.FRAME_MAGIC), "a frame begins here"),
        ("kind", 4, kind, "what the payload is"),
        ("length", 4, str(len(found.payload)), "bytes of payload"),
        ("synced", 8, str(found.synced), "all bytes below this offset were synced before"),
    )
    at = found.offset
    for name, size, value, meaning in rows:
        yield Field(at, at + size, FramePart.HEAD, name, value, meaning)
        at += size


def _hard_state(data: bytes, at: int, end: int) -> Iterator[Field]:
    voted = data[at + 8] == 1
    yield Field(at, at + 8, FramePart.PAYLOAD, "term", str(_int(data, at, 8)), "the current term")
    yield Field(
        at + 8, at + 9, FramePart.PAYLOAD, "voted", str(int(voted)), "whether a vote follows"
    )
    if end > at + 9:
        vote = label(data[at + 9 : end])
        yield Field(at + 9, end, FramePart.PAYLOAD, "vote", vote, "for whom, in this term")


_ENTRY_HEAD = (
    ("term", 8, "in which a leader wrote the entry"),
    ("index", 8, "its place in the log"),
    ("timestamp", 8, "of its transaction"),
    ("incarnation", 8, "log index at which the client was registered"),
    ("sequence", 8, "number of the client's transaction"),
    ("key length", 4, "bytes"),
    ("value length", 4, "bytes"),
    ("client length", 2, "bytes"),
    ("kind", 1, "1 put, 2 delete, 3 no-op; the others in record.py"),
    ("commit", 1, "1 on the last record of a transaction"),
)


def _entry(data: bytes, entry: Entry, at: int) -> Iterator[Field]:
    start = at
    for name, size, meaning in _ENTRY_HEAD:
        yield Field(at, at + size, FramePart.PAYLOAD, name, str(_int(data, at, size)), meaning)
        at += size
    assert at == start + ENTRY_OVERHEAD
    record = entry.record
    for name, stored, meaning in (
        ("client", record.txn.client.encode(), "who asked"),
        ("key", record.key, "what the storage engine sorts by"),
        ("value", record.value, "what it keeps"),
    ):
        if stored:
            end = at + len(stored)
            yield Field(at, end, FramePart.PAYLOAD, name, label(stored), meaning)
            at = end


def _int(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
