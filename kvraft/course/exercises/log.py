"""Lesson 04: damaged logs to judge, and a learner's own readers of frames.

- :func:`damaged` makes eight logs that something happened to.  Only opening them shows which of
  them are refused.
- A learner's ``scan_segment`` is compared with :func:`kvraft.disk.frame.scan` on rows of frames
  that end after every byte, have a bit flipped in every byte, and worse, the shortest first.
- A learner's ``torn_or_damage`` is compared with the same function on logs of several saves in
  which one frame is bad.  It is given the intact frames after that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

from kvraft.course.answers import one_of, shown, value_of
from kvraft.course.guard import Broken, called
from kvraft.course.lesson import agrees, need_function
from kvraft.course.verdicts import exercise
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
    """A log of the member n1 that something happened to: what happened, and the log's disk."""

    description: str
    disk: SimDisk


FRUIT = (b"apple", b"pear", b"plum", b"fig", b"lime", b"quince")
BIG = 1 << 20
SMALL = 300
"""Segment sizes in bytes: one that is never reached, and one that two entries exceed."""


def saved(segment_bytes: int = BIG, *, closed: bool = False) -> tuple[SimDisk, list[int]]:
    """Return a disk with a log of six saves, the last with a hard state, and each save's offset.

    An offset is that in the segment which was the newest at the time.
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
    damage = (
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
        letter: DamagedLog(description, make())
        for letter, (description, make) in zip("abcdefgh", damage, strict=True)
    }


def _shorter() -> SimDisk:
    disk, _ = saved()
    (name,) = disk.names()
    disk.truncate(name, disk.size(name) - 5)
    return disk


def _middle() -> SimDisk:
    return _flipped(saved(), save=1, offset=40)


def _last() -> SimDisk:
    return _flipped(saved(), save=5, offset=80)


def _last_closed() -> SimDisk:
    return _flipped(saved(closed=True), save=5, offset=80)


def _hard_state() -> SimDisk:
    return _flipped(saved(), save=5, offset=30)


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


def _flipped(log: tuple[SimDisk, list[int]], save: int, offset: int) -> SimDisk:
    disk, starts = log
    disk.corrupt(disk.names()[0], starts[save] + offset, 0x01)
    return disk


# ── scanning ────────────────────────────────────────────────────────────────────────────────────

Scanner = Callable[[bytes, int], tuple[list[int], int]]

SEED = frame.checksum_seed("n1", "exercise")
OTHER = frame.checksum_seed("n2", "exercise")


class FrameFile(NamedTuple):
    """The bytes of a file, and how they came about."""

    description: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.description}:"


def rows() -> list[bytes]:
    """Return valid files of no frame, one frame, and so on; each extends the one before it."""
    inside = frame.encode(3, b"grape", synced=0, seed=SEED, offset=0)
    found = [b""]
    for payload in (b"fig", b"", b"a longer one, of plums and pears", b"within " + inside):
        last = found[-1]
        at = len(last)
        found.append(last + frame.encode(3, payload, synced=at, seed=SEED, offset=at))
    return found


def files() -> Iterator[FrameFile]:
    """Yield the files that a scanner is tried on, those with the fewest frames first."""
    found = rows()
    yield FrameFile("An empty file", b"")
    for count, (before, data) in enumerate(pairwise(found), 1):
        what = f"A file of {count} frame{'s' * (count > 1)}, {len(data)} bytes"
        yield FrameFile(what, data)
        for size in range(len(before) + 1, len(data)):
            yield FrameFile(f"{what}, truncated after byte {size}", data[:size])
        for at, mask in product(range(len(data)), (0x01, 0x80)):
            yield FrameFile(f"{what}, with a bit flipped at offset {at}", _flip(data, at, mask))
        yield FrameFile(f"{what}, and 64 zero bytes", data + bytes(64))
        at = len(data)
        foreign = frame.encode(3, b"cherry", synced=at, seed=OTHER, offset=at)
        yield FrameFile(f"{what}, and one with the seed of another file", data + foreign)
        yield FrameFile(f"{what}, and a copy of all of it", data + data)
        yield FrameFile(f"{what}, and a stretch with no magic", data + b"?" * 64)


def _flip(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def valid_frames(data: bytes, seed: int = SEED) -> tuple[list[int], int]:
    """Return the offsets of the frames before the first invalid one, and where they end.

    :func:`kvraft.disk.frame.scan` finds them; corruption, which that refuses, ends the row here as
    a torn frame does.
    """
    try:
        found = frame.scan(data, name="exercise", seed=seed)
    except Corruption as corruption:
        found = frame.scan(data[: corruption.offset], name="exercise", seed=seed)
    return [each.offset for each in found.frames], found.end


@exercise("04.2")
def check_scan(scanner: Scanner) -> str:
    """Print whether ``scanner`` finds what ``frame.scan`` finds, or the first difference."""
    need_function(lambda: scanner(b"", SEED), "function")
    count = agrees(files(), lambda case: _compare(scanner, case))
    return f"It agrees with kvraft.disk.frame.scan on all {count:,} files."


def _compare(scanner: Scanner, case: FrameFile) -> str:
    """Return what is wrong with what ``scanner`` finds in a file, ``""`` if nothing is."""
    right = valid_frames(case.data)
    answer: Any = value_of(called(lambda: scanner(case.data, SEED), "your function"))
    if not (isinstance(answer, list) and len(answer) == 2 and isinstance(answer[0], list)):
        raise Broken(
            f"your function gives {shown(answer)}: give two things, a list of offsets and the end."
        )
    if tuple(answer) == right:
        return ""
    _, end = right
    why = frame.decode(case.data, end, seed=SEED) if end < len(case.data) else ""
    reason = f", where {why}" if why else ", where the file ends"
    return f"yours gives {shown(tuple(answer))}, right is {right}: the frames end at {end}{reason}."


# ── torn or damaged ─────────────────────────────────────────────────────────────────────────────

Judge = Callable[[Sequence[Frame], int], str]

WORDS = ("torn", "damage")
SHAPES = ((1,), (2,), (1, 1), (2, 1), (1, 2), (3,), (1, 1, 1), (2, 2), (1, 3, 1), (2, 1, 2))
"""How many frames each save of a log has, one log after another."""


class BadFrame(NamedTuple):
    """A bad frame at ``offset``, the valid ones after it, and the real module's verdict."""

    description: str
    after: list[Frame]
    offset: int
    right: str

    def __str__(self) -> str:
        return f"{self.description}."


def situations() -> Iterator[BadFrame]:
    """Yield a bad frame in every place of logs of several shapes, the shortest logs first."""
    for shape in sorted(SHAPES, key=sum):
        data, starts = _log(shape)
        for number, (at, save) in enumerate(starts, 1):
            bad = _flip(data, at + 5, 0x04)
            where = f"frame {number}, at offset {at} in save {save}, is bad"
            description = f"{_shape_words(shape)}; {where}"
            yield BadFrame(description, _frames_after(bad, at), at, _verdict(bad))


def _log(shape: Sequence[int]) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a log with ``shape`` frames in its saves, and the offset and save of each frame.

    The last payload contains a copy of the first frame, which does not count there.
    """
    data, starts = b"", []
    for save, count in enumerate(shape, 1):
        synced = len(data)
        for number in range(count):
            last = save == len(shape) and number == count - 1
            payload = b"fig" * save + (data[:40] if last else b"")
            starts.append((len(data), save))
            data += frame.encode(3, payload, synced=synced, seed=SEED, offset=len(data))
    return data, starts


def _frames_after(data: bytes, at: int) -> list[Frame]:
    """Return every valid frame after ``at``, wherever a magic is."""
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


@exercise("04.3")
def check_torn_or_damage(judge: Judge) -> str:
    """Print whether ``judge`` distinguishes torn tails from damage as ``frame.scan`` does."""
    need_function(lambda: judge([], 0))
    count = agrees(situations(), lambda case: _misjudged(judge, case))
    return f"It agrees with kvraft.disk.frame.scan on all {count} logs."


def _misjudged(judge: Judge, case: BadFrame) -> str:
    """Return what is wrong with the verdict of ``judge`` on a bad frame, ``""`` if nothing is."""
    given = called(lambda: judge(list(case.after), case.offset))
    answer = one_of(value_of(given), WORDS)
    if answer is None:
        raise Broken(f'Your rule gives {shown(given)}: give "torn" or "damage".')
    if answer == case.right:
        return ""
    after = "No valid frame follows it"
    if case.after:
        after = f"The valid frames after it have synced {listed(f.synced for f in case.after)}"
    which = "one was" if case.right == "damage" else "none was"
    return (
        f"{after}. Your rule says {answer!r}, right is {case.right!r}: {which} written after a "
        f"sync of the byte at {case.offset}."
    )


def _shape_words(shape: Sequence[int]) -> str:
    saves = "one save" if len(shape) == 1 else f"{len(shape)} saves, each synced,"
    frames = "frame" if shape[-1] == 1 else "frames"
    return f"A log of {saves} of {listed(shape)} {frames}"
