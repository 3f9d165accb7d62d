"""Lesson 04: damaged logs to judge, and a learner's own readers of frames.

- :func:`damaged` makes eight logs that something happened to.  Which of them open is found by
  opening them, here and nowhere else.
- A learner's ``scan_segment`` is run against :func:`kvraft.disk.frame.scan` on rows of frames that
  were cut at every byte, flipped at every byte, and worse, the shortest first.
- A learner's ``torn_or_damage`` is run against the same function on logs of several saves with one
  frame made bad: it is asked only about what stands behind that frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

from kvraft.course.lesson import agrees, called, unanswered
from kvraft.disk import FRAME_MAGIC, Frame, frame
from kvraft.display import listed
from kvraft.errors import Corruption
from kvraft.record import Entry, HardState, Kind, Record, TxnId
from kvraft.sim import SimDisk
from kvraft.wal import Wal


def put(term: int, index: int, key: bytes, value: bytes = b"ripe") -> Entry:
    """Return an entry with a put of ``key`` by the client *ann*, a transaction of its own."""
    record = Record(Kind.PUT, key, value, index, TxnId("ann", 0, index), commit=True)
    return Entry(term, index, record)


# ── eight logs ──────────────────────────────────────────────────────────────────────────────────


class DamagedLog(NamedTuple):
    """A log of the member n1 that something happened to: what, and the disk it is on."""

    description: str
    disk: SimDisk


FRUIT = (b"apple", b"pear", b"plum", b"fig", b"lime", b"quince")
BIG = 1 << 20
SMALL = 300
"""Segment sizes in bytes: one that is never reached, and one that two entries exceed."""


def saved(segment_bytes: int = BIG, *, closed: bool = False) -> tuple[SimDisk, list[int]]:
    """Return a disk with a log of six saves, the last with a hard state, and where each begins.

    The offsets are those in the newest segment as it was at that time.
    """
    disk = SimDisk()
    wal = Wal.open(disk, "n1", segment_bytes=segment_bytes)
    starts = []
    for index, key in enumerate(FRUIT, 1):
        starts.append(wal.segments[-1].size)
        wal.save(HardState(2) if index == len(FRUIT) else None, [put(1, index, key)])
    if closed:
        wal.close()
    return disk, starts


def damaged() -> dict[str, DamagedLog]:
    """Return eight logs by letter: each held the entries 1 to 6 before something happened to it."""
    told = (
        ("the last 5 bytes of the only segment are missing", _shorter),
        ("a bit of entry 2, in the middle of the only segment, is flipped", _middle),
        ("a bit of entry 6, in the last frame of the only segment, is flipped", _last),
        ("the same, but the log had been closed", _last_closed),
        ("a bit of the hard state is flipped, which was saved together with entry 6", _hard_state),
        ("100 zero bytes follow the last frame of the only segment", _zeros),
        ("the last 5 bytes of the first of several segments are missing", _sealed),
        ("the second of several segments is missing", _missing),
    )
    return {
        letter: DamagedLog(says, make())
        for letter, (says, make) in zip("abcdefgh", told, strict=True)
    }


def _shorter() -> SimDisk:
    disk, _ = saved()
    (name,) = disk.names()
    disk.truncate(name, disk.size(name) - 5)
    return disk


def _middle() -> SimDisk:
    return _flipped(saved(), save=1, behind=40)


def _last() -> SimDisk:
    return _flipped(saved(), save=5, behind=80)


def _last_closed() -> SimDisk:
    return _flipped(saved(closed=True), save=5, behind=80)


def _hard_state() -> SimDisk:
    return _flipped(saved(), save=5, behind=30)


def _zeros() -> SimDisk:
    disk, _ = saved()
    disk.append(disk.names()[0], bytes(100))
    return disk


def _sealed() -> SimDisk:
    disk, _ = saved(SMALL)
    name = disk.names()[0]
    disk.truncate(name, disk.size(name) - 5)
    return disk


def _missing() -> SimDisk:
    disk, _ = saved(SMALL)
    disk.remove(disk.names()[1])
    return disk


def _flipped(log: tuple[SimDisk, list[int]], save: int, behind: int) -> SimDisk:
    disk, starts = log
    disk.corrupt(disk.names()[0], starts[save] + behind, 0x01)
    return disk


# ── scanning ────────────────────────────────────────────────────────────────────────────────────

Scanner = Callable[[bytes, int], tuple[list[int], int]]

SEED = frame.checksum_seed("n1", "exercise")
OTHER = frame.checksum_seed("n2", "exercise")


class FrameFile(NamedTuple):
    """The bytes of a file, and in words how they came about."""

    description: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.description}:"


def rows() -> list[bytes]:
    """Return files of no frame, one frame, and so on, all sound; each goes on where one ends."""
    inside = frame.encode(3, b"grape", synced=0, seed=SEED)
    found = [b""]
    for payload in (b"fig", b"", b"a longer one, of plums and pears", b"within " + inside):
        last = found[-1]
        found.append(last + frame.encode(3, payload, synced=len(last), seed=SEED))
    return found


def files() -> Iterator[FrameFile]:
    """Yield the files that a scanner is tried on, those of few frames first."""
    found = rows()
    yield FrameFile("An empty file", b"")
    for count, (before, data) in enumerate(pairwise(found), 1):
        what = f"A file of {count} frame{'s' * (count > 1)}, {len(data)} bytes"
        yield FrameFile(what, data)
        for size in range(len(before) + 1, len(data)):
            yield FrameFile(f"{what}, cut after byte {size}", data[:size])
        for at, mask in product(range(len(data)), (0x01, 0x80)):
            yield FrameFile(f"{what}, with a bit flipped at offset {at}", _flip(data, at, mask))
        yield FrameFile(f"{what}, and 64 zero bytes", data + bytes(64))
        foreign = frame.encode(3, b"cherry", synced=len(data), seed=OTHER)
        yield FrameFile(f"{what}, and one with the seed of another file", data + foreign)
        yield FrameFile(f"{what}, and a stretch with no magic", data + b"?" * 64)


def _flip(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def valid_frames(data: bytes, seed: int = SEED) -> tuple[list[int], int]:
    """Return where the frames in front of the first unsound one are, and where they end.

    It asks :func:`kvraft.disk.frame.scan`; damage, which that refuses, ends the row here as a tear
    does.
    """
    try:
        found = frame.scan(data, name="exercise", seed=seed)
    except Corruption as damage:
        found = frame.scan(data[: damage.offset], name="exercise", seed=seed)
    return [each.offset for each in found.frames], found.end


def check_scan(scanner: Scanner) -> None:
    """Print whether ``scanner`` finds what ``frame.scan`` finds, else where it does not."""
    if unanswered(lambda: scanner(b"", SEED), "function"):
        return
    if (count := agrees(files(), lambda case: _compare(scanner, case))) is not None:
        print(f"Right. It agrees with kvraft.disk.frame.scan on all {count:,} files.")


def _compare(scanner: Scanner, case: FrameFile) -> str:
    """Return what is wrong with what ``scanner`` finds in a file, ``""`` if nothing is."""
    right = valid_frames(case.data)
    said: Any = called(lambda: scanner(case.data, SEED), "your function")
    if not (isinstance(said, tuple) and len(said) == 2):
        return f"your function gives {_shown(said)}: give two things, a list of offsets and the end"
    if (list(said[0]) if isinstance(said[0], list | tuple) else said[0], said[1]) == right:
        return ""
    _, end = right
    why = frame.decode(case.data, end, seed=SEED) if end < len(case.data) else ""
    reason = f", where {why}" if why else ", where the file ends"
    return f"yours gives {_shown(said)}, right is {right}: the frames end at {end}{reason}."


def _shown(said: object) -> str:
    text = repr(said)
    return text if len(text) <= 80 else text[:79] + "…"


# ── torn or damaged ─────────────────────────────────────────────────────────────────────────────

Judge = Callable[[Sequence[Frame], int], str]

WORDS = ("torn", "damage")
SHAPES = ((1,), (2,), (1, 1), (2, 1), (1, 2), (3,), (1, 1, 1), (2, 2), (1, 3, 1), (2, 1, 2))
"""How many frames each save of a log has, one log after another."""


class BadFrame(NamedTuple):
    """A bad frame at ``offset``, the sound ones behind it, and what the real module says of it."""

    description: str
    after: list[Frame]
    offset: int
    right: str

    def __str__(self) -> str:
        return f"{self.description}."


def situations() -> Iterator[BadFrame]:
    """Yield a bad frame in every place of logs of several shapes, those of few frames first."""
    for shape in sorted(SHAPES, key=sum):
        for echo in (False, True):
            data, starts = _log(shape, echo)
            for number, (at, save) in enumerate(starts, 1):
                bad = _flip(data, at + 5, 0x04)
                says = (
                    f"{_told(shape)}; frame {number}, at offset {at} in save {save}, is bad"
                    f"{', and the last value holds a copy of the first frame' * echo}"
                )
                yield BadFrame(says, _behind(bad, at), at, _verdict(bad))


def _log(shape: Sequence[int], echo: bool) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a log of saves with so many frames each, and of each frame its offset and its save.

    With ``echo`` the payload of the last frame holds a copy of the first one, magic and all.
    """
    data, starts = b"", []
    for save, count in enumerate(shape, 1):
        synced = len(data)
        for number in range(count):
            last = save == len(shape) and number == count - 1
            payload = b"fig" * save + (data[:40] if echo and last else b"")
            starts.append((len(data), save))
            data += frame.encode(3, payload, synced=synced, seed=SEED)
    return data, starts


def _behind(data: bytes, at: int) -> list[Frame]:
    """Return every sound frame behind ``at``, wherever a magic is."""
    frames, found = [], data.find(FRAME_MAGIC, at + 1)
    while found >= 0:
        each = frame.decode(data, found, seed=SEED)
        if isinstance(each, Frame):
            frames.append(each)
        found = data.find(FRAME_MAGIC, found + 1)
    return frames


def _verdict(data: bytes) -> str:
    try:
        frame.scan(data, name="exercise", seed=SEED)
    except Corruption:
        return "damage"
    return "torn"


def check_torn_or_damage(judge: Judge) -> None:
    """Print whether ``judge`` tells torn tails from damage as ``kvraft.disk.frame.scan`` does."""
    if unanswered(lambda: judge([], 0)):
        return
    if (count := agrees(situations(), lambda case: _misjudged(judge, case))) is not None:
        print(f"Right. It agrees with kvraft.disk.frame.scan on all {count} logs.")


def _misjudged(judge: Judge, case: BadFrame) -> str:
    """Return what is wrong with what ``judge`` says of a bad frame, ``""`` if nothing is."""
    said: Any = called(lambda: judge(list(case.after), case.offset))
    if not isinstance(said, str) or said not in WORDS:
        return f'Your rule gives {_shown(said)}: give "torn" or "damage".'
    if said == case.right:
        return ""
    behind = "No sound frame is behind it"
    if case.after:
        behind = f"The sound frames behind it have synced {listed(f.synced for f in case.after)}"
    which = "one was" if case.right == "damage" else "none was"
    return (
        f"{behind}. Your rule says {said!r}, right is {case.right!r}: {which} written after a sync "
        f"of the byte at {case.offset}."
    )


def _told(shape: Sequence[int]) -> str:
    saves = "one save" if len(shape) == 1 else f"{len(shape)} saves, each synced,"
    frames = "frame" if shape[-1] == 1 else "frames"
    return f"A log of {saves} of {listed(shape)} {frames}"
