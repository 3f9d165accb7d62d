"""How far entries come: each level survives what it says, and a crash leaves a prefix.

The numbers in brackets are those of the pitfalls that the project keeps a list of: 1 directories,
2 torn tails, 3 damage, 4 failed writes, 6 old segments, 7 prefixes, 16 Python's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kvraft.wal.wal
import kvraft.wal.writer
from kvraft import events
from kvraft.disk import RealDisk, frame
from kvraft.errors import BadInput, Corruption, Stopped
from kvraft.events import Event
from kvraft.record import HardState, pack_entries
from kvraft.sim import PowerCut, SimDisk
from kvraft.wal import Durability, FrameKind, Wal, recover
from tests.wal.test_wal import ME, Model, check_segments, entry, reopened, run

SYNC, OS, BUFFERED = Durability.SYNC, Durability.OS, Durability.BUFFERED


class Checking(SimDisk):
    """A disk on which no frame is written that claims more, or less, to be synced than is.

    A CLOSED or SEAL vouches for all before it, so before one of those everything is synced.
    """

    def append(self, name: str, data: bytes) -> None:
        durable = self.file(name).stable
        if name.endswith(".wal"):
            seed, at = frame.checksum_seed(ME, name), 0
            while at < len(data):
                kind, length = (int.from_bytes(data[at + i : at + i + 4], "little") for i in (4, 8))
                end = at + frame.FRAME_OVERHEAD + length
                base = self.size(name)
                found = frame.decode(data[:end], base + at, seed=seed, base=base)
                assert isinstance(found, frame.Frame), found
                assert found.synced == durable
                assert kind not in (FrameKind.CLOSED, FrameKind.SEAL) or durable == self.size(name)
                at = end
        super().append(name, data)


class Story:
    """A log, everything it was ever asked to hold in order, and how far that must have come."""

    def __init__(self) -> None:
        self.disk = Checking()
        self.states = [Model(hard_state=HardState(1, "n1"))]
        self.wal = Wal.open(self.disk, ME, segment_bytes=500)
        self.wal.save(HardState(1, "n1"), [])
        self.handed = self.synced = 0  # the states that survive the process, and the machine

    @property
    def model(self) -> Model:
        return self.states[-1]

    def write(self, data: st.DataObject) -> None:
        level = data.draw(st.sampled_from([SYNC, OS, OS, BUFFERED, BUFFERED]), "level")
        count = data.draw(st.integers(1, 4), "entries")
        how = data.draw(st.sampled_from(["save", "append", "append", "hard state"]), "how")
        last, term = len(self.model.log), self.model.hard_state.term
        if how == "hard state":
            level, state = SYNC, HardState(term + 1, "n2")
            entries = run(term + 1, last + 1, last + count - 1)
            call = lambda: self.wal.save(state, entries, OS)  # noqa: E731  # SYNC all the same
        elif how == "append":
            state, entries = None, run(term, last + 1, last + count)
            payload = pack_entries(entries)
            call = lambda: self.wal.append(last + 1, last + count, payload, level)  # noqa: E731
        else:
            back = data.draw(st.integers(0, 3), "superseded")
            first = max(last + 1 - back, 1)
            lowest = self.model.position(first - 1).term
            state, entries = None, run(max(term, lowest), first, first + count - 1)
            call = lambda: self.wal.save(state, entries, level)  # noqa: E731
        before = self.model
        self.states += list(before.torn_saves(state, entries))
        self.states.append(before.save(state, entries))
        call()
        self.reached(level)

    def reached(self, level: Durability) -> None:
        if level is not BUFFERED:
            self.handed = len(self.states) - 1
        if level is SYNC:
            self.synced = len(self.states) - 1

    def check(self) -> None:
        assert self.wal.entries() == list(self.model.log)
        assert b"".join(self.wal.payloads(1, self.wal.last_index)) == pack_entries(self.model.log)
        assert self.wal.hard_state == self.model.hard_state
        unlucky = self.disk.copy()
        unlucky.crash(Random(0))
        assert self.wal.synced_index <= recover(unlucky, ME).last.index
        if self.synced == len(self.states) - 1:
            assert self.wal.synced_index == self.wal.last_index

    def come_back(self, seed: int, *, kill: bool) -> None:
        promised, log = self.wal.synced_index, self.model.log
        if kill:
            self.disk.restore()
        else:
            self.disk.crash(Random(seed))
        self.wal = reopened(self.disk, Random(seed))
        legal = self.states[self.handed if kill else self.synced :]
        matching = [model for model in legal if model.matches(self.wal)]
        assert matching, (self.wal.last_index, self.wal.hard_state)
        assert matching[0].log[:promised] == log[:promised]
        self.states = [matching[0]]
        self.handed = self.synced = 0


# 2, 7: for any mixture of levels, supersedings and rotations
@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.data())
def test_each_level_survives_what_it_says_and_a_crash_leaves_a_prefix(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kvraft.wal.wal, "BUFFER_BYTES", 300)
        patch.setattr(kvraft.wal.writer, "MAX_ENTRIES_FRAME_BYTES", 150)
        story = Story()
        for _ in range(data.draw(st.integers(1, 12), "steps")):
            what = data.draw(st.sampled_from("wwwwwwfscpk"), "what")
            seed = data.draw(st.integers(0, 99), "seed")
            if what == "w":
                story.write(data)
            elif what == "f":
                story.wal.flush()
                story.reached(OS)
            elif what == "s":
                story.wal.sync()
                story.reached(SYNC)
            elif what == "c":
                story.wal.close()
                story.reached(SYNC)
                story.come_back(seed, kill=False)
            elif what == "p":
                story.disk.fail_at(data.draw(st.integers(1, 4), "operation"), Random(seed))
                with suppress(PowerCut):
                    story.write(data)
                story.come_back(seed, kill=False)
            else:
                story.come_back(seed, kill=seed % 2 == 0)
            story.check()
        story.wal.close()
        check_segments(story.wal, story.disk)


def test_appends_that_wait_share_a_frame_and_cost_the_disk_nothing() -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    wal.save(HardState(3, "n1"), [])
    [name] = disk.names()
    size, done = disk.size(name), disk.operations
    entries = run(3, 1, 1000)
    for each in entries:
        wal.append(each.index, each.index, pack_entries([each]), BUFFERED)
    assert disk.size(name) == wal.segments[-1].size
    assert (
        disk.operations == done + len(pack_entries(entries)) // kvraft.wal.wal.BUFFER_BYTES == done
    )
    assert (disk.size(name), wal.last_index, wal.synced_index) == (size, 1000, 0)
    assert wal.read(400, 402) == entries[399:402]
    wal.flush()
    assert (disk.operations, wal.synced_index) == (done + 1, 0)
    wal.flush()
    wal.sync()
    assert (disk.operations, wal.synced_index) == (done + 2, 1000)
    wal.sync()
    assert disk.operations == done + 2
    assert [(b.first, b.last) for b in recover(disk, ME).index.frames] == [(1, 1000)]
    many = run(3, 1001, 5000)
    for each in many:
        wal.append(each.index, each.index, pack_entries([each]), BUFFERED)
    frames = len(pack_entries(many)) // kvraft.wal.wal.BUFFER_BYTES
    assert frames > 2
    assert disk.operations == done + 2 + frames
    wal.save(HardState(4, "n1"), run(4, 5001, 5001))  # all of it in one append and one sync
    assert (disk.operations, wal.synced_index) == (done + 4 + frames, 5001)
    assert Wal.open(disk, ME).entries() == [*entries, *many, *run(4, 5001, 5001)]


def test_what_the_system_has_survives_a_process_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys; from kvraft.wal.wal import Wal, Durability;"
        "from kvraft.disk.real import RealDisk;"
        "from tests.wal.test_wal import ME, run; wal = Wal.open(RealDisk(sys.argv[1]), ME);"
        "wal.save(None, run(1, 1, 3), Durability.OS);"
        "wal.save(None, run(1, 4, 5), Durability.BUFFERED); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == 9
    disk = RealDisk(tmp_path)
    assert Wal.open(disk, ME).entries() == run(1, 1, 3)
    disk.close()


def test_an_append_writes_the_bytes_that_a_save_would() -> None:
    disks = SimDisk(), SimDisk()
    saving, appending = (Wal.open(disk, ME, segment_bytes=900) for disk in disks)
    for wal in saving, appending:
        wal.save(HardState(2, "n1"), run(1, 1, 3))
    for first in range(4, 40, 3):
        entries = run(2, first, first + 2)
        level = (SYNC, OS)[first % 2]
        saving.save(None, entries, level)
        appending.append(first, first + 2, pack_entries(entries), level)
    saving.close()
    appending.close()
    assert len(disks[0].names()) >= 3
    assert [(n, disks[0].read(n)) for n in disks[0].names()] == [
        (n, disks[1].read(n)) for n in disks[1].names()
    ]


def test_appended_entries_are_of_the_current_term() -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    wal.save(HardState(2, None), [])
    wal.append(1, 2, pack_entries(run(2, 1, 2)), BUFFERED)
    wal.save(None, run(5, 3, 3), BUFFERED)  # a term that no hard state tells of
    wal.append(4, 4, pack_entries(run(5, 4, 4)), BUFFERED)
    for waiting in (True, False):
        with pytest.raises(BadInput, match="term 4, after term 5"):
            wal.save(None, run(4, 5, 5))
        assert wal.entries() == run(2, 1, 2) + run(5, 3, 4)
        if waiting:
            wal.sync()
    again = Wal.open(disk, ME)
    again.append(5, 5, pack_entries(run(5, 5, 5)))
    with pytest.raises(BadInput, match="term 4, after term 5"):
        again.save(None, run(4, 6, 6))


def test_an_append_that_does_not_fit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    wal.append(1, 3, pack_entries(run(0, 1, 3)), BUFFERED)
    done = disk.operations
    for first, last in [(3, 3), (5, 5), (4, 3), (0, 0), (1, 4)]:
        with pytest.raises(BadInput, match=f"{first} to {last} do not follow entry 3"):
            wal.append(first, last, pack_entries(run(0, first, max(first, last))), BUFFERED)
    monkeypatch.setattr(frame, "MAX_PAYLOAD_BYTES", 100)
    with pytest.raises(BadInput, match="too many for a frame"):
        wal.append(4, 4, pack_entries([entry(0, 4, 60)]), BUFFERED)
    monkeypatch.undo()
    wal.append(4, 4, pack_entries(run(0, 4, 4)), BUFFERED)
    assert disk.operations == done
    wal.close()
    for call in (wal.flush, wal.sync, lambda: wal.append(5, 5, pack_entries(run(0, 5, 5)))):
        with pytest.raises(Stopped, match=r"n1.*closed"):
            call()
    assert Wal.open(disk, ME).entries() == run(0, 1, 4)


def test_what_waited_when_the_disk_failed_can_be_read_but_is_not_called_durable() -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    wal.save(None, run(1, 1, 2))
    wal.save(None, run(1, 3, 4), BUFFERED)
    disk.break_at(1, kinds=("append",))
    with pytest.raises(OSError, match="Input/output"):
        wal.flush()
    with pytest.raises(Stopped):
        wal.sync()
    assert wal.entries() == run(1, 1, 4)
    assert wal.synced_index == 2
    assert Wal.open(disk, ME).entries() == run(1, 1, 2)


def test_what_waits_goes_when_a_snapshot_takes_its_place() -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    wal.save(HardState(2, None), run(2, 1, 3))
    wal.save(None, run(2, 4, 5), BUFFERED)
    wal.reset(wal._index.end)  # held, though it waits: nothing to do
    assert wal.entries() == run(2, 1, 5)
    wal.reset(place := wal._index.end._replace(index=9))
    assert (wal.base, wal.last_index, wal.synced_index) == (place, 9, 9)
    wal.append(10, 10, pack_entries(run(2, 10, 10)))
    assert Wal.open(disk, ME).entries() == run(2, 10, 10)


def test_entries_are_reported_when_they_are_handed_over() -> None:
    reported: list[Event] = []
    wal = Wal.open(SimDisk(), ME, report=reported.append)
    wal.save(None, run(1, 1, 1), BUFFERED)
    wal.append(2, 3, pack_entries(run(1, 2, 3)), BUFFERED)
    assert [type(event) for event in reported] == [events.SegmentOpened]
    wal.save(None, run(1, 4, 4), OS)
    appended = [event for event in reported if isinstance(event, events.EntriesAppended)]
    assert [(event.first, len(event.terms)) for event in appended] == [(1, 3), (4, 1)]
    assert appended[0].keys == ("key",) * 3


# 16: what the caller does with its objects afterwards does not affect the log
def test_a_list_that_changes_after_a_save_changes_nothing() -> None:
    wal = Wal.open(SimDisk(), ME)
    entries = run(1, 1, 3)
    wal.save(None, entries, BUFFERED)
    entries.clear()
    assert wal.entries() == run(1, 1, 3)


# 16: the bytes depend on nothing but what was written
def test_the_bytes_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "from hashlib import sha256; from kvraft.sim.disk import SimDisk; from tests.wal.test_wal "
        "import play; disk = SimDisk(); play(disk);"
        "print(sha256(b''.join(n.encode() + disk.read(n) for n in disk.names())).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 65


# 2: frames between two syncs may come to the disk in any order
def test_a_hole_between_unsynced_frames_is_torn_but_one_before_a_sync_is_damage() -> None:
    disk = SimDisk()
    wal = Wal.open(disk, ME)
    wal.save(None, run(1, 1, 2))
    for index in (3, 4, 5):
        wal.save(None, run(1, index, index), OS)
    [name] = disk.names()
    third = recover(disk, ME).index.frames[1]
    torn = disk.copy()
    torn.corrupt(name, third.offset + 30)
    assert Wal.open(torn, ME).entries() == run(1, 1, 2)
    wal.sync()
    wal.save(None, run(1, 6, 6), OS)
    disk.corrupt(name, third.offset + 30)
    with pytest.raises(Corruption, match=f"offset {third.offset}"):
        Wal.open(disk, ME)
