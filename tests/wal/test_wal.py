"""The log on disk: what a save returned for is there, whatever crashes, tears or rots.

The model of a log is a tuple of all entries from index 1 on and the hard state: nothing else.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import kvraft.wal.segment
import kvraft.wal.wal
import kvraft.wal.writer
from kvraft import events
from kvraft.disk import frame
from kvraft.errors import BadInput, Corruption, ForeignFile, KvraftError, Stopped
from kvraft.events import Event
from kvraft.record import (
    NO_TXN,
    NOOP,
    ORIGIN,
    Entry,
    HardState,
    Kind,
    Position,
    Record,
    TxnId,
    pack_entries,
    unpack_entries,
)
from kvraft.sim import PowerCut, SimDisk
from kvraft.wal import FrameKind, Segment, Wal, log_owner, recover
from kvraft.wal.segment import pack_header

ME = "n1"
SMALL = 300  # bytes of a segment, for tests that want many


def entry(term: int, index: int, size: int = 5) -> Entry:
    """An entry whose bytes tell term and index, so that no two are alike."""
    value = f"{term}.{index}.".encode().ljust(size, b"v")
    record = Record(Kind.PUT, b"key", value, index << 16, TxnId("c", 1, index), index % 2 == 0)
    return Entry(term, index, record)


def run(term: int, first: int, last: int) -> list[Entry]:
    return [entry(term, index) for index in range(first, last + 1)]


@dataclass(frozen=True)
class Model:
    """What a log should say: every entry that was never superseded, and the hard state."""

    log: tuple[Entry, ...] = ()
    hard_state: HardState = HardState()  # noqa: RUF009

    def save(self, hard_state: HardState | None, entries: list[Entry]) -> Model:
        log = self.log[: entries[0].index - 1] + tuple(entries) if entries else self.log
        return Model(log, hard_state or self.hard_state)

    def torn_saves(self, hard_state: HardState | None, entries: list[Entry]) -> Iterator[Model]:
        """Yield what a crash in the middle of a save may leave: nothing, a prefix or all of it."""
        yield self
        for count in range(len(entries) + 1):
            yield self.save(hard_state, entries[:count])

    def reset(self, place: Position) -> Model:
        """Continue after ``place``.  No entry before it is ever read: any entries will do."""
        if place.index <= len(self.log) and self.position(place.index) == place:
            return self
        return replace(self, log=tuple(run(place.term, 1, place.index)))

    def position(self, index: int) -> Position:
        return Position(index, self.log[index - 1].term) if index else ORIGIN

    def matches(self, wal: Wal) -> bool:
        """Whether ``wal`` says the same of all it keeps."""
        return (
            wal.last_index == len(self.log)
            and wal.hard_state == self.hard_state
            and wal.base == self.position(wal.base.index)
            and wal.entries() == list(self.log[wal.base.index :])
        )


def opened(disk: SimDisk, *, segment_bytes: int = SMALL) -> Wal:
    return Wal.open(disk, ME, segment_bytes=segment_bytes)


def reopened(disk: SimDisk, random: Random, installed: Position = ORIGIN) -> Wal:
    """Open a log after a crash, and see that a second crash at once takes nothing of it away.

    A process that was only killed leaves bytes and names that nobody synced: whoever reads them
    and acts on them without a sync breaks promises when the power goes.
    """
    wal = Wal.open(disk, ME, segment_bytes=SMALL, found=recover(disk, ME, installed))
    later = disk.copy()
    later.crash(random)
    again = opened(later)
    assert (again.base, again.last_index) == (wal.base, wal.last_index)
    assert (again.entries(), again.hard_state) == (wal.entries(), wal.hard_state)
    check_segments(wal, disk)
    return wal


def check_segments(wal: Wal, disk: SimDisk) -> None:
    """The invariants of a row of segments, and that what is on disk says the same."""
    segments = wal.segments
    assert [segment.name for segment in segments] == [n for n in disk.names() if n.endswith(".wal")]
    assert [s.id - segments[0].id for s in segments] == list(range(len(segments)))
    assert [s.sealed for s in segments] == [True] * (len(segments) - 1) + [False]
    assert all(disk.size(segment.name) == segment.size for segment in segments)
    found = recover(disk, ME)
    assert found.segments == segments
    assert (found.torn, found.unfinished, found.obsolete) == (None, [], [])
    for segment in segments:
        held = [
            e.index
            for frame_ in frame.scan(
                disk.read(segment.name),
                name=segment.name,
                seed=frame.checksum_seed(ME, segment.name),
                start=len(header_of(disk, segment)),
            ).frames
            if frame_.kind == FrameKind.ENTRIES
            for e in unpack_entries(frame_.payload)
        ]
        low, high = (min(held), max(held)) if held else (segment.first, segment.first - 1)
        assert (segment.low, segment.high) == (low, high)


def header_of(disk: SimDisk, segment: Segment) -> bytes:
    data = disk.read(segment.name)
    length = int.from_bytes(data[8:12], "little")
    return data[: frame.FRAME_OVERHEAD + length]


# ── against a model ─────────────────────────────────────────────────────────────────────────────


class LogMachine(RuleBasedStateMachine):
    """Random saves, supersedings, drops, reopenings and crashes in and between them."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk()
        self.wal = opened(self.disk)
        self.model = Model()

    def draw_save(self, data: st.DataObject) -> tuple[HardState | None, list[Entry]]:
        state = None
        if data.draw(st.booleans(), "hard state"):
            term = self.model.hard_state.term + data.draw(st.integers(0, 1))
            state = HardState(term, data.draw(st.sampled_from([None, "", "n2", "ñ"])))
        back = data.draw(st.integers(0, 8), "superseded")
        first = max(self.wal.base.index + 1, len(self.model.log) + 1 - back)
        # A new leader's entries can be of an older term than those they supersede.
        lowest = max(self.model.position(first - 1).term, 1)
        newest = max((e.term for e in self.model.log), default=0)
        term = data.draw(st.integers(lowest, newest + 1), "term")
        size = data.draw(st.sampled_from([1, 5, 60]), "value size")
        count = data.draw(st.integers(0, 6), "entries")
        return state, [entry(term, first + i, size) for i in range(count)]

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        state, entries = self.draw_save(data)
        self.wal.save(state, entries)
        self.model = self.model.save(state, entries)

    @rule(data=st.data(), step=st.integers(1, 9), seed=st.integers(0, 999), kill=st.booleans())
    def crash_in_save(self, data: st.DataObject, step: int, seed: int, kill: bool) -> None:
        state, entries = self.draw_save(data)
        self.disk.fail_at(step, Random(seed))
        legal = [self.model.save(state, entries)]
        try:
            self.wal.save(state, entries)
        except PowerCut:
            legal = list(self.model.torn_saves(state, entries))
        self.come_back(seed, kill)
        self.model = next((model for model in legal if model.matches(self.wal)), None) or legal[-1]

    @rule(data=st.data(), step=st.integers(1, 9), seed=st.integers(0, 999), kill=st.booleans())
    def crash_in_drop(self, data: st.DataObject, step: int, seed: int, kill: bool) -> None:
        floor = data.draw(st.integers(0, len(self.model.log) + 1), "floor")
        base = self.wal.base.index
        self.disk.fail_at(step, Random(seed))
        try:
            self.wal.drop_below(floor)
        except PowerCut:
            assert any(segment.high < floor for segment in self.wal.segments)
        self.come_back(seed, kill)
        assert self.wal.base.index <= max(floor - 1, base)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        floor = data.draw(st.integers(0, len(self.model.log) + 1), "floor")
        before = self.wal.segments
        dropped = self.wal.drop_below(floor)
        assert before == dropped + self.wal.segments
        assert all(segment.high < floor for segment in dropped)
        oldest = self.wal.segments[0]
        assert oldest.high >= floor or not oldest.sealed
        if dropped:
            assert self.wal.base.index >= oldest.first - 1

    def draw_place(self, data: st.DataObject) -> Position:
        """Draw where a snapshot ends, and be in its term, as a member that takes it is."""
        base = self.wal.base.index
        index = data.draw(st.integers(base + 1, len(self.model.log) + 9), "index")
        held = self.model.log[index - 1].term if index <= len(self.model.log) else 0
        term = max(held + data.draw(st.integers(0, 1), "newer"), 1)
        if term > self.model.hard_state.term:
            self.wal.save(HardState(term, "n2"), [])
            self.model = self.model.save(HardState(term, "n2"), [])
        return Position(index, term)

    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        place = self.draw_place(data)
        self.wal.reset(place)
        self.model = self.model.reset(place)

    @rule(data=st.data(), step=st.integers(1, 12), seed=st.integers(0, 999), kill=st.booleans())
    def crash_in_reset(self, data: st.DataObject, step: int, seed: int, kill: bool) -> None:
        """Whatever the log is then, a recovery that knows of the snapshot finishes the reset."""
        place = self.draw_place(data)
        after = self.model.reset(place)
        self.disk.fail_at(step, Random(seed))
        with suppress(PowerCut):
            self.wal.reset(place)
        if kill:
            self.disk.restore()
        else:
            self.disk.crash(Random(seed))
        ignorant = opened(self.disk.copy())
        assert self.model.matches(ignorant) or after.matches(ignorant)
        self.wal = reopened(self.disk, Random(seed + 1), installed=place)
        self.model = after

    @rule(seed=st.integers(0, 999), kill=st.booleans())
    def crash(self, seed: int, kill: bool) -> None:
        self.come_back(seed, kill)

    @rule()
    def close_and_open(self) -> None:
        self.wal.close()
        assert recover(self.disk, ME).cleanly_closed
        self.wal = reopened(self.disk, Random(0))

    @precondition(lambda self: self.wal.last_index > self.wal.base.index)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(self.wal.first_index, self.wal.last_index))
        last = data.draw(st.integers(first - 1, self.wal.last_index))
        assert self.wal.read(first, last) == list(self.model.log[first - 1 : last])

    def come_back(self, seed: int, kill: bool) -> None:
        if kill:
            self.disk.restore()
        else:
            self.disk.crash(Random(seed))
        self.wal = reopened(self.disk, Random(seed + 1))

    @invariant()
    def says_what_the_model_says(self) -> None:
        assert self.model.matches(self.wal)
        check_segments(self.wal, self.disk)


TestLog = LogMachine.TestCase
TestLog.settings = settings(
    deadline=None, derandomize=True, max_examples=100, stateful_step_count=30
)


# ── a crash at every step ───────────────────────────────────────────────────────────────────────

Step = Callable[[Wal, Model], Model]


def saving(hard_state: HardState | None, entries: list[Entry]) -> Step:
    def step(wal: Wal, model: Model) -> Model:
        wal.save(hard_state, entries)
        return model.save(hard_state, entries)

    step.legal = lambda model: list(model.torn_saves(hard_state, entries))  # type: ignore[attr-defined]
    return step


def dropping(floor: int) -> Step:
    def step(wal: Wal, model: Model) -> Model:
        wal.drop_below(floor)
        return model

    step.legal = lambda model: [model]  # type: ignore[attr-defined]
    return step


def resetting(place: Position) -> Step:
    def step(wal: Wal, model: Model) -> Model:
        wal.reset(place)
        return model.reset(place)

    step.legal = lambda model: [model, model.reset(place)]  # type: ignore[attr-defined]
    return step


WORKLOAD = [
    saving(HardState(1, "n1"), [Entry(1, 1, NOOP)]),
    *(saving(None, [entry(1, index)]) for index in range(2, 6)),
    saving(None, run(1, 6, 9)),
    saving(HardState(2, None), []),
    saving(HardState(2, "n3"), run(2, 8, 10)),  # supersedes 8 and 9
    saving(None, run(2, 11, 14)),
    dropping(5),
    saving(None, run(2, 15, 16)),
    saving(HardState(4), run(4, 7, 8)),  # supersedes ten entries of several segments
    saving(None, run(4, 9, 13)),
    *(saving(HardState(4 + i, f"n{i}"), []) for i in range(8)),  # a segment without any entry
    saving(None, run(9, 14, 16)),
    dropping(13),
    saving(None, run(9, 17, 24)),
    dropping(25),
    saving(None, run(9, 25, 26)),
    resetting(Position(40, 10)),  # far after the end
    saving(None, run(11, 41, 44)),
    saving(None, run(11, 45, 47)),
    resetting(Position(42, 11)),  # held: nothing to do
    saving(HardState(12, "n1"), []),
    resetting(Position(46, 12)),  # in conflict with what is there
    saving(None, run(12, 47, 49)),
]


def play(disk: SimDisk) -> tuple[Model, list[Model], bool]:
    """Open a log and do the workload until the power goes.

    Return what was acknowledged, what may be found after a crash, and whether it was cut short.
    """
    model = Model()
    try:
        wal = opened(disk)
    except PowerCut:
        return model, [model], True
    for step in WORKLOAD:
        try:
            model = step(wal, model)
        except PowerCut:
            return model, step.legal(model), True  # type: ignore[attr-defined]
    return model, [model], False


@pytest.fixture
def tiny_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves of several entries make several frames, so that a crash can come between them."""
    monkeypatch.setattr(kvraft.wal.writer, "MAX_ENTRIES_FRAME_BYTES", 130)


def power_cuts() -> Iterator[tuple[int, SimDisk, list[Model]]]:
    """Yield the disk as it is when the power goes, at every operation of the workload."""
    step = 0
    while True:
        step += 1
        disk = SimDisk()
        disk.fail_at(step, Random(step))
        _, legal, cut = play(disk)
        if not cut:
            return
        yield step, disk, legal


@pytest.mark.usefixtures("tiny_frames")
def test_a_crash_at_every_step_loses_nothing_acknowledged() -> None:
    partial, steps = 0, 0
    for step, disk, legal in power_cuts():
        for seed in range(7):
            victim = disk.copy()
            if seed:
                victim.crash(Random(f"{step} {seed}"))
            else:
                victim.restore()  # the process died, the machine did not
            wal = reopened(victim, Random(seed))
            matching = [at for at, model in enumerate(legal) if model.matches(wal)]
            assert matching, (step, seed)
            partial += 0 < matching[0] < len(legal) - 1
            follow(wal, victim)
        steps = step
    assert steps > 100
    assert partial > 20, "no crash tore a save in two: the test shows less than it says"


def follow(wal: Wal, disk: SimDisk) -> None:
    """The log goes on after a recovery: what is appended next is there next time."""
    term = max(wal.hard_state.term, 9) + 1
    new = run(term, wal.last_index + 1, wal.last_index + 2)
    wal.save(HardState(term, "me"), new)
    expected = wal.entries()
    assert expected[-2:] == new
    wal.close()
    again = opened(disk)
    assert (again.entries(), again.hard_state) == (expected, HardState(term, "me"))


@pytest.mark.usefixtures("tiny_frames")
def test_a_crash_at_every_step_of_a_recovery_changes_nothing() -> None:
    crashes = 0
    for step, disk, legal in power_cuts():
        disk.crash(Random(f"first {step}"))
        for second in range(1, 20):
            victim = disk.copy()
            victim.fail_at(second, Random(step))
            try:
                opened(victim)
            except PowerCut:
                crashes += 1
            else:
                break
            victim.crash(Random(f"second {step} {second}"))
            wal = reopened(victim, Random(step))
            assert any(model.matches(wal) for model in legal), (step, second)
    assert crashes > 200


# ── damage ──────────────────────────────────────────────────────────────────────────────────────


def small_log(*, close: bool = False) -> tuple[SimDisk, Wal, Model]:
    """A log of three segments; the last of two saves in the newest has a hard state too."""
    disk, model = SimDisk(), Model()
    wal = opened(disk, segment_bytes=450)
    for step in (
        saving(HardState(1, "n1"), run(1, 1, 3)),
        saving(None, run(1, 4, 5)),
        saving(HardState(2, "n1"), run(2, 5, 6)),
        saving(None, run(2, 7, 10)),
        saving(None, run(2, 11, 11)),
        saving(HardState(3, "n2"), run(3, 11, 12)),
    ):
        model = step(wal, model)
    assert len(wal.segments) == 3
    if close:
        wal.close()
    return disk, wal, model


def before_last_save(model: Model) -> list[Model]:
    """What is left when the last save of the small log is torn after its first frame, or all."""
    before = Model(tuple(run(1, 1, 4) + run(2, 5, 11)), HardState(2, "n1"))
    return [before, replace(before, hard_state=HardState(3, "n2"))]


def bytes_of(segments: list[Segment]) -> list[tuple[Segment, int]]:
    return [(segment, offset) for segment in segments for offset in range(segment.size)]


def open_or_damage(disk: SimDisk) -> Wal | Corruption:
    try:
        return opened(disk)
    except Corruption as error:
        return error


@pytest.mark.parametrize("mask", [0x01, 0xFF])
@pytest.mark.parametrize("close", [False, True])
def test_a_flip_of_any_byte_is_said_or_costs_the_last_frame(close: bool, mask: int) -> None:
    """The residual of an active segment: its last frames, not yet claimed as synced by another."""
    disk, wal, model = small_log(close=close)
    cut = 0
    for segment, offset in bytes_of(wal.segments):
        victim = disk.copy()
        victim.corrupt(segment.name, offset, mask)
        found = open_or_damage(victim)
        if isinstance(found, Corruption):
            assert found.file == segment.name
            assert found.offset <= offset
        elif close:
            assert segment == wal.segments[-1]
            assert offset >= segment.size - frame.FRAME_OVERHEAD, (
                "only the CLOSED frame may be truncated"
            )
            assert model.matches(found)
        else:
            assert segment == wal.segments[-1]
            assert any(each.matches(found) for each in before_last_save(model))
            cut += 1
    assert close or cut > 100


def test_the_newest_segment_cut_at_any_byte_keeps_the_exact_prefix() -> None:
    disk, wal, model = small_log()
    newest = wal.segments[-1]
    header = len(header_of(disk, newest))
    before = Model(tuple(run(1, 1, 4) + run(2, 5, 10)), HardState(2, "n1"))
    states = [before, *before_last_save(model), model]
    states[1] = before.save(None, run(2, 11, 11))
    seen = []
    for size in range(newest.size + 1):
        victim = disk.copy()
        victim.truncate(newest.name, size)
        reported: list[Event] = []
        if size < header:
            with pytest.raises(Corruption, match=f"{newest.name}, offset 0: .*header"):
                opened(victim)
            continue
        torn = recover(victim, ME).torn
        again = Wal.open(victim, ME, segment_bytes=SMALL, report=reported.append)
        at = next(i for i, state in enumerate(states) if state.matches(again))
        assert not seen or at in (seen[-1], seen[-1] + 1)
        seen.append(at)
        cut = [event for event in reported if isinstance(event, events.TailTruncated)]
        kept = again.segments[-1].size
        aside = f"{newest.name.removesuffix('.wal')}-{kept:016x}.torn"
        if size > kept:
            assert cut == [events.TailTruncated(newest.name, kept, size - kept)]
            assert victim.read(aside) == disk.read(newest.name)[kept:size]
        else:
            assert cut == []
        assert (torn is None) == (not cut)
        follow(again, victim)
    assert set(seen) == set(range(4))


def test_a_sealed_segment_cut_at_any_byte_is_damage() -> None:
    disk, wal, _ = small_log()
    for segment in wal.segments[:-1]:
        for size in range(segment.size):
            victim = disk.copy()
            victim.truncate(segment.name, size)
            with pytest.raises(Corruption) as caught:
                opened(victim)
            between_frames = caught.value.offset == size > 0
            assert caught.value.file == segment.name
            assert caught.value.offset <= size
            assert ("not sealed" in caught.value.what) == between_frames


def test_a_segment_without_a_seal_or_missing_or_swapped_is_damage() -> None:
    disk, wal, _ = small_log()
    first, second, third = (segment.name for segment in wal.segments)
    unsealed, missing, swapped, renamed = (disk.copy() for _ in range(4))
    unsealed.truncate(second, disk.size(second) - frame.FRAME_OVERHEAD)
    with pytest.raises(Corruption, match=f"{second}, offset {unsealed.size(second)}: .*not sealed"):
        opened(unsealed)
    missing.remove(second)
    with pytest.raises(Corruption, match=f"{third}, offset 0: .*missing"):
        opened(missing)
    for name, other in ((first, second), (second, first)):
        swapped.remove(name)
        swapped.create(name)
        swapped.append(name, disk.read(other))
    with pytest.raises(Corruption, match=f"{second}, offset 0: .*under another name"):
        opened(swapped)
    renamed.rename(third, wal.segments[2]._replace(first=99).name)
    with pytest.raises(Corruption, match="under another name"):
        opened(renamed)


def rewrite(disk: SimDisk, name: str, data: bytes) -> None:
    disk.truncate(name, 0)
    disk.append(name, data)


def test_a_segment_that_does_not_continue_the_one_before_it_is_damage() -> None:
    """Sound frames, but of another history: only comparing the headers can tell."""
    for before, state in [
        (Position(10, 1), HardState(2, "n1")),
        (Position(9, 2), HardState(2, "n1")),
        (Position(10, 2), HardState(1, "n1")),
    ]:
        disk, wal, _ = small_log()
        third = wal.segments[2]
        disk.remove(third.name)
        name = f"{3:016x}-{before.index + 1:016x}.wal"
        disk.create(name)
        disk.append(name, pack_header(ME, 3, before, state, continues=True))
        with pytest.raises(Corruption, match=f"{name}, offset 0: .*does not continue"):
            opened(disk)


def add_frame(disk: SimDisk, name: str, kind: int, payload: bytes) -> None:
    """Put a frame with right checksums at the end of a file."""
    seed, at = frame.checksum_seed(ME, name), disk.size(name)
    disk.append(name, frame.encode(kind, payload, synced=at, seed=seed, offset=at))


IMPOSSIBLE = {
    "a gap": [(FrameKind.ENTRIES, pack_entries(run(3, 14, 15)))],
    "a gap inside": [(FrameKind.ENTRIES, pack_entries([entry(3, 13), entry(3, 15)]))],
    "a falling term": [(FrameKind.ENTRIES, pack_entries(run(2, 13, 13)))],
    "a falling term inside": [(FrameKind.ENTRIES, pack_entries([entry(4, 13), entry(3, 14)]))],
    "a falling term after a superseding": [(FrameKind.ENTRIES, pack_entries(run(1, 6, 7)))],
    "index 0": [(FrameKind.ENTRIES, pack_entries(run(3, 0, 1)))],
    "no entry": [(FrameKind.ENTRIES, b"")],
    "half an entry": [(FrameKind.ENTRIES, pack_entries(run(3, 13, 13))[:-1])],
    "an unknown record": [
        (FrameKind.ENTRIES, pack_entries([entry(3, 13)])[:42] + b"\x09" + bytes(10))
    ],
    "an unknown frame": [(99, b"")],
    "a second header": [(1, b"{}")],
    "a seal with contents": [(FrameKind.SEAL, b"x")],
    "half a hard state": [(FrameKind.HARD_STATE, bytes(8))],
    "a vote that is not text": [(FrameKind.HARD_STATE, bytes(8) + b"\x01\xff")],
}


@pytest.mark.parametrize("frames", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_sound_frame_that_cannot_have_been_written_is_damage(
    frames: list[tuple[int, bytes]],
) -> None:
    disk, wal, _ = small_log()
    newest = wal.segments[-1]
    for kind, payload in frames:
        add_frame(disk, newest.name, kind, payload)
    with pytest.raises(Corruption) as caught:
        opened(disk)
    assert (caught.value.file, caught.value.offset) == (newest.name, newest.size)


@pytest.mark.parametrize("tail", ["a frame", "garbage"])
def test_nothing_follows_a_seal(tail: str) -> None:
    disk, wal, _ = small_log()
    newest = wal.segments[-1]
    add_frame(disk, newest.name, FrameKind.SEAL, b"")
    end = disk.size(newest.name)
    if tail == "a frame":
        add_frame(disk, newest.name, FrameKind.CLOSED, b"")
    else:
        disk.append(newest.name, b"garbage")
    with pytest.raises(Corruption, match=f"{newest.name}, offset {end}: .*seal"):
        opened(disk)


def test_a_log_of_another_member_or_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    disk, wal, _ = small_log()
    name = wal.segments[0].name
    before = {name: disk.read(name) for name in disk.names()}
    with pytest.raises(ForeignFile, match=f"{name} is the log of member 'n1', not of 'n2'"):
        Wal.open(disk, "n2")
    name = wal.segments[-1].name
    monkeypatch.setattr(kvraft.wal.segment, "FORMAT", 4)
    with pytest.raises(ForeignFile, match=f"{name} has format 3; .* reads format 4: dump it"):
        opened(disk)
    assert before == {name: disk.read(name) for name in disk.names()}
    with pytest.raises(ForeignFile):
        log_owner(disk)
    monkeypatch.undo()
    assert log_owner(disk) == "n1"
    with pytest.raises(BadInput):
        log_owner(SimDisk())


SOUND_HEADER = {"format": 3, "owner": "n1", "segment": 1, "first": 1, "term_before": 0} | {
    "continues": False,
    "term": 0,
    "vote": None,
}


@pytest.mark.parametrize(
    "says",
    [
        b"not JSON",
        b"[]",
        b'{"format": 3, "owner": "n1"}',
        *(
            json.dumps(SOUND_HEADER | wrong).encode()
            for wrong in (
                {"first": 0},
                {"segment": True},
                {"term": -1},
                {"vote": 7},
                {"continues": 0},
                {"continues": None},
            )
        ),
    ],
)
def test_a_header_that_makes_no_sense_is_damage(says: bytes) -> None:
    disk = SimDisk()
    opened(disk)
    [name] = disk.names()
    seed = frame.checksum_seed("kvraft log segment")
    sound = json.dumps(SOUND_HEADER).encode()
    rewrite(disk, name, frame.encode(1, sound, synced=0, seed=seed, offset=0))
    opened(disk)
    rewrite(disk, name, frame.encode(1, says, synced=0, seed=seed, offset=0))
    with pytest.raises(Corruption, match=f"{name}, offset 0: .*header"):
        opened(disk)


def test_a_frame_that_rots_under_an_open_log_is_not_served() -> None:
    disk, wal, model = small_log()
    damaged = set()
    for segment, offset in bytes_of(wal.segments):
        disk.corrupt(segment.name, offset)
        try:
            assert wal.entries() == list(model.log)  # no entry lives in the frame of this byte
        except Corruption as error:
            damaged.add((segment.name, error.file, error.offset <= offset))
        disk.corrupt(segment.name, offset)
    assert sorted(damaged) == [(s.name, s.name, True) for s in wal.segments]
    disk.corrupt(wal.segments[0].name, wal.segments[0].size - frame.FRAME_OVERHEAD - 1)
    with pytest.raises(Corruption):
        wal.read(4, 4)
    assert wal.read(5, 12) == list(model.log[4:])


# ── what else was promised ──────────────────────────────────────────────────────────────────────


def test_looking_changes_nothing() -> None:
    disk, wal, _ = small_log()
    newest = wal.segments[-1]
    disk.append(newest.name, b"torn")
    disk.create(newest.name + ".tmp")
    before = disk.operations
    found = recover(disk, ME)
    assert disk.operations == before
    assert found.torn is not None
    assert found.torn[:3] == (newest.name, newest.size, 4)
    assert found.unfinished == [newest.name + ".tmp"]


def test_only_leftovers_of_the_log_are_removed() -> None:
    disk, wal, model = small_log()
    others = [".DS_Store", "000001.sst", "000002.sst.tmp", "MANIFEST.tmp", "notes.wal"]
    leftover = wal.segments[-1]._replace(id=4).name + ".tmp"
    aside = f"{3:016x}-{11:016x}-{999:016x}.torn.tmp"
    for name in [*others, leftover, aside]:
        disk.create(name)
    assert model.matches(opened(disk))
    assert [name for name in disk.names() if not name.startswith("0000000000")] == sorted(others)
    assert not {leftover, aside} & set(disk.names())


def test_the_hard_state_outlives_the_segments_it_was_written_in() -> None:
    disk = SimDisk()
    wal = opened(disk)
    wal.save(HardState(7, "n3"), run(7, 1, 1))
    for index in range(2, 40):
        wal.save(None, run(7, index, index))
    assert wal.drop_below(40)
    assert len(wal.segments) == 1
    again = opened(disk)
    assert (again.hard_state, again.base) == (HardState(7, "n3"), Position(wal.base.index, 7))


def test_the_term_at_the_base_is_the_one_that_won() -> None:
    """The header of a kept segment tells the term before it as it was when it was begun."""
    disk = SimDisk()
    wal = Wal.open(disk, ME, segment_bytes=1)  # one save a segment
    for save in (run(1, 1, 4), run(1, 5, 6), run(3, 3, 5), run(3, 6, 9)):
        wal.save(None, save)
    assert [(s.first, s.low, s.high) for s in wal.segments] == [
        (1, 1, 4), (5, 5, 6), (7, 3, 5), (6, 6, 9), (10, 10, 9),
    ]  # fmt: skip
    wal.drop_below(5)
    assert wal.base == Position(4, 3)
    again = Wal.open(disk, ME)
    assert (again.base, again.entries()) == (Position(4, 3), run(3, 5, 9))
    with pytest.raises(BadInput):
        again.read(4, 5)


def test_entries_of_an_older_term_supersede_what_is_dropped_with_them() -> None:
    """What is left tells nothing of the entry before the first of them, but that they won."""
    disk = SimDisk()
    wal = Wal.open(disk, ME, segment_bytes=1)
    for save in (run(1, 1, 4), run(3, 5, 6), run(2, 3, 9)):
        wal.save(None, save)
    wal.drop_below(7)
    assert wal.base == Position(6, 2)
    again = Wal.open(disk, ME)
    assert (again.base, again.entries()) == (Position(6, 2), run(2, 7, 9))


# ── after a snapshot ────────────────────────────────────────────────────────────────────────────


def test_void_segments_may_be_there_in_part_but_a_lost_one_is_damage() -> None:
    """A hole that a snapshot left is not a hole in what counts."""
    disk, wal, model = small_log()
    old = disk.copy()
    void = [segment.name for segment in wal.segments]
    wal.reset(Position(90, 3))
    for index in range(91, 107):
        wal.save(None, run(3, index, index))
    model = model.reset(Position(90, 3)).save(None, run(3, 91, 106))
    first, second, *_ = (segment.name for segment in wal.segments[:-1])
    for kept in range(1 << len(void)):
        left = disk.copy()
        for at, name in enumerate(void):
            if kept & 1 << at:
                left.create(name)
                left.append(name, old.read(name)[: 70 * at])  # whatever: nobody reads it
        before = left.copy().names()
        assert recover(left, ME).obsolete == [name for name in void if name in before]
        assert left.names() == before
        again = opened(left)
        assert model.matches(again)
        check_segments(again, left)
    for lost in (first, second):
        torn = disk.copy()
        torn.remove(lost)
        if lost == second:
            with pytest.raises(Corruption, match="one is missing"):
                opened(torn)
        else:  # whole files missing at the front look like a log that was truncated
            assert opened(torn).base.index > 90


class Recorder(SimDisk):
    """A disk that writes down what is done to its directory, and syncs of files."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def sync(self, name: str) -> None:
        super().sync(name)
        self.done.append("sync")

    def sync_dir(self) -> None:
        super().sync_dir()
        self.done.append("sync_dir")

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self.done.append("rename")

    def remove(self, name: str) -> None:
        super().remove(name)
        self.done.append("remove")


def test_old_segments_go_only_once_the_new_one_is_durable_with_the_hard_state() -> None:
    """On no disk, however it orders its directory, is there a moment without a hard state."""
    disk = Recorder()
    wal = opened(disk)
    wal.save(HardState(3, "n2"), run(3, 1, 20))
    assert len(wal.segments) == 2
    unfinished = copy.deepcopy(disk)
    disk.done.clear()
    wal.reset(Position(90, 3))
    expected = ["sync", "rename", "sync_dir", "remove", "remove", "sync_dir"]
    assert disk.done == expected
    assert opened(disk).hard_state == HardState(3, "n2")
    # The same when a recovery does it all,
    begun = copy.deepcopy(unfinished)
    begun.done.clear()
    found = recover(begun, ME, Position(90, 3))
    again = Wal.open(begun, ME, found=found)
    assert (begun.done, again.hard_state) == (expected, HardState(3, "n2"))
    # and when the process died right after the rename.
    for name in wal.segments[0].name, wal.segments[0].name + ".tmp":
        if name not in unfinished.names():
            unfinished.create(name)
    unfinished.append(wal.segments[0].name, disk.read(wal.segments[0].name))
    unfinished.remove(wal.segments[0].name + ".tmp")
    unfinished.done.clear()
    again = Wal.open(unfinished, ME)
    mended = ["sync", "rename", "sync_dir"]
    assert unfinished.done == [*mended, "remove", "remove", "sync_dir"]
    assert (again.base, again.hard_state) == (Position(90, 3), HardState(3, "n2"))


def test_a_snapshot_that_the_log_holds_costs_nothing_and_keeps_what_follows() -> None:
    disk, wal, model = small_log()
    operations = disk.operations
    for index in (0, 4, 11, 12):
        wal.reset(model.position(index))
    assert disk.operations == operations
    assert model.matches(wal)
    for index in (0, 4, 11, 12):
        found = recover(disk, ME, model.position(index))
        assert Wal.open(disk.copy(), ME, found=found).entries() == list(model.log)


def test_a_log_does_not_go_where_no_snapshot_can_end() -> None:
    disk, wal, model = small_log()
    wal.drop_below(6)
    base = wal.base
    assert base.index > 1
    operations = disk.operations
    for place in (Position(base.index - 1, 1), Position(base.index, base.term + 1)):
        with pytest.raises(BadInput, match=r"the log begins after .*: it cannot begin after"):
            wal.reset(place)
        found = recover(disk, ME, place)
        assert Wal.open(disk.copy(), ME, found=found).entries() == wal.entries()
    with pytest.raises(BadInput, match="a log saved in term 3 cannot continue after"):
        wal.reset(Position(50, 4))
    assert disk.operations == operations
    assert model.matches(wal)


def test_a_reset_is_reported_and_what_is_dropped_by_it() -> None:
    disk = SimDisk()
    reported: list[Event] = []
    wal = Wal.open(disk, ME, segment_bytes=250, report=reported.append)
    wal.save(HardState(2), run(1, 1, 3))
    before = wal.segments
    assert len(before) == 2
    disk_before = disk.copy()
    reported.clear()
    wal.reset(Position(9, 2))
    assert reported == [
        events.SegmentOpened(3, 10),
        *(events.SegmentDropped(s.id, s.low, s.high, s.size) for s in before),
        events.LogReset(9, 2),
    ]
    reported.clear()
    found = recover(disk_before, ME, Position(9, 2))
    Wal.open(disk_before, ME, report=reported.append, found=found)
    assert reported == [events.SegmentOpened(3, 10), events.LogReset(9, 2)]


def test_a_save_is_one_append_and_one_sync() -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    before = disk.operations
    wal.save(HardState(1, "n1"), run(1, 1, 50))
    assert disk.operations == before + 2
    wal.save(None, [])
    assert disk.operations == before + 2


def test_a_large_save_makes_frames_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvraft.wal.writer, "MAX_ENTRIES_FRAME_BYTES", 200)
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    entries = [entry(1, index, 500 if index == 4 else 20) for index in range(1, 9)]
    wal.save(None, entries)
    batches = recover(disk, ME).index.frames
    assert [(batch.first, batch.last) for batch in batches] == [
        (1, 2),
        (3, 3),
        (4, 4),
        (5, 6),
        (7, 8),
    ]
    assert Wal.open(disk, ME).entries() == entries


def test_closing_again_and_again_adds_nothing() -> None:
    disk, _, model = small_log(close=True)
    size = sum(disk.size(name) for name in disk.names())
    for _ in range(3):
        wal = opened(disk)
        assert model.matches(wal)
        wal.close()
        wal.close()
    assert sum(disk.size(name) for name in disk.names()) == size
    with pytest.raises(Stopped, match=r"n1.*closed"):
        wal.save(HardState(4), [])
    assert model.matches(wal)


class Failing(SimDisk):
    """A disk whose call ``method`` raises an ``OSError`` once, after doing half of its work."""

    method = ""

    def append(self, name: str, data: bytes) -> None:
        self._fail("append", lambda: SimDisk.append(self, name, data[: len(data) // 2]))
        super().append(name, data)

    def sync(self, name: str) -> None:
        self._fail("sync")
        super().sync(name)

    def sync_dir(self) -> None:
        self._fail("sync_dir")
        super().sync_dir()

    def remove(self, name: str) -> None:
        self._fail("remove")
        super().remove(name)

    def _fail(self, method: str, half: Callable[[], None] = lambda: None) -> None:
        if self.method == method:
            self.method = ""
            half()
            raise OSError(5, "Input/output error")


@pytest.mark.parametrize("method", ["append", "sync", "sync_dir"])
def test_after_a_failed_write_nothing_is_written_any_more(method: str) -> None:
    disk = Failing()
    wal = Wal.open(disk, ME, segment_bytes=1)
    wal.save(None, run(1, 1, 3))
    disk.method = method
    with pytest.raises(OSError, match="Input/output error"):
        wal.save(None, run(1, 4, 6))
    before = disk.operations
    for call in (
        lambda: wal.save(None, run(1, 4, 6)),
        lambda: wal.save(HardState(2), []),
        lambda: wal.drop_below(1),
    ):
        with pytest.raises(Stopped, match=r"n1.*Input/output error"):
            call()
    wal.close()
    assert disk.operations == before
    assert wal.read(1, 3) == run(1, 1, 3)
    again = Wal.open(disk, ME)
    assert again.entries() in (run(1, 1, 3), run(1, 1, 6))


@pytest.mark.parametrize("method", ["append", "sync", "sync_dir", "remove"])
def test_a_reset_that_fails_stops_the_log_and_leaves_the_old_one_or_the_new(method: str) -> None:
    disk = Failing()
    wal = opened(disk)
    wal.save(HardState(3, "n2"), run(3, 1, 4))
    model = Model().save(HardState(3, "n2"), run(3, 1, 4))
    disk.method = method
    with pytest.raises(OSError, match="Input/output error"):
        wal.reset(Position(90, 3))
    with pytest.raises(Stopped):
        wal.reset(Position(90, 3))
    with pytest.raises(Stopped):
        wal.save(None, run(3, 91, 92))
    again = reopened(disk, Random(0))
    assert model.matches(again) == (method in ("append", "sync"))
    assert model.reset(Position(90, 3)).matches(again) == (method in ("sync_dir", "remove"))


def test_a_failed_removal_stops_the_log_too() -> None:
    disk = Failing()
    wal = Wal.open(disk, ME, segment_bytes=1)
    for index in (1, 2, 3):
        wal.save(None, run(1, index, index))
    disk.method = "sync_dir"
    with pytest.raises(OSError, match="Input/output error"):
        wal.drop_below(4)
    with pytest.raises(Stopped):
        wal.save(None, run(1, 4, 4))
    assert Wal.open(disk, ME).entries() == run(1, 2, 3)


@pytest.mark.parametrize(
    "entries",
    [
        run(2, 14, 14),  # a gap
        run(2, 5, 6),  # at the base
        run(1, 13, 13),  # a falling term
        run(1, 9, 9),  # a falling term, superseding
        [entry(3, 13), entry(2, 14)],
        [entry(3, 13), entry(3, 15)],
    ],
)
def test_a_save_that_does_not_fit_changes_nothing(entries: list[Entry]) -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME, segment_bytes=1)
    wal.save(None, run(1, 1, 5))
    wal.save(None, run(2, 6, 12))
    wal.drop_below(6)
    assert wal.base == Position(5, 1)
    before = disk.operations
    with pytest.raises(BadInput):
        wal.save(HardState(9), entries)
    assert (disk.operations, wal.hard_state, wal.last_index) == (before, HardState(), 12)
    wal.save(None, run(2, 13, 13))  # it was the caller's fault: the log goes on


def test_reads_and_drops_out_of_range_are_refused() -> None:
    _, wal, model = small_log()
    assert wal.read(1, 0) == wal.read(13, 12) == []
    for first, last in [(0, 1), (1, 13), (14, 13), (5, 3), (-1, -1)]:
        with pytest.raises(BadInput, match="1 to 12"):
            wal.read(first, last)
    with pytest.raises(BadInput, match="ends at 12"):
        wal.drop_below(14)
    with pytest.raises(BadInput):
        Wal.open(SimDisk(), ME, segment_bytes=0)
    assert model.matches(wal)


def test_every_step_is_reported() -> None:
    disk = SimDisk()
    reported: list[Event] = []
    wal = Wal.open(disk, ME, segment_bytes=200, report=reported.append)
    delete = Record(Kind.DELETE, b"k\xff", b"", 9, TxnId("ann", 1, 4), True)
    wal.save(HardState(1), [Entry(1, 1, NOOP), Entry(1, 2, delete)])
    size = wal.segments[0].size
    wal.drop_below(3)
    disk.append(wal.segments[0].name, b"torn")
    torn_at = wal.segments[0].size
    Wal.open(disk, ME, report=reported.append)
    assert reported == [
        events.SegmentOpened(1, 1),
        events.EntriesAppended(1, 1, (1, 1), ("", "k\\xff"), ("", "ann.1#4"), (False, True)),
        events.SegmentSealed(1, 1, 2, size),
        events.SegmentOpened(2, 3),
        events.SegmentDropped(1, 1, 2, size),
        events.TailTruncated(wal.segments[0].name, torn_at, 4),
    ]
    assert NOOP.txn == NO_TXN


def test_no_event_is_built_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvraft.wal.wal, "entries_appended", None)
    Wal.open(SimDisk(), ME).save(None, run(1, 1, 2))


def test_errors_are_of_the_family() -> None:
    assert all(
        issubclass(kind, KvraftError) for kind in (Corruption, ForeignFile, BadInput, Stopped)
    )


def test_a_start_may_find_entries_below_where_the_log_began_and_they_are_sound():
    """The first segment to go had entries that a later one superseded, so base went far ahead."""
    disk = SimDisk()
    wal = Wal.open(disk, ME, segment_bytes=SMALL)
    wal.save(HardState(1), run(1, 1, 9))  # a segment of its own, 1 … 9, and the next begins at 10
    for first, last in ((4, 7), (8, 13), (14, 15)):  # from 4 on others take their place
        wal.save(HardState(2), run(2, first, last))
    assert [(s.first, s.low, s.high) for s in wal.segments][:3] == [
        (1, 1, 9),
        (10, 4, 7),
        (8, 8, 13),
    ]
    wal.drop_below(10)
    assert wal.first_index == 10
    again = Wal.open(disk, ME, segment_bytes=SMALL)
    assert again.first_index < 10
    assert again.entries() == run(2, again.first_index, 15)
