"""The log on a disk that fails, fills up, reorders its directory or brings back old files.

The numbers in brackets are those of the pitfalls that the project keeps a list of: 1 directories,
2 torn tails, 3 damage, 4 failed writes, 6 old segments, 7 prefixes, 16 Python's own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from kvraft import events
from kvraft.disk import RealDisk
from kvraft.errors import Corruption, DiskFull, Stopped
from kvraft.events import Event
from kvraft.record import HardState, Position
from kvraft.sim import PowerCut, SimDisk
from kvraft.tools import verify
from kvraft.wal import Durability, Wal, pack_write, recover
from kvraft.wal.recovery import TORN_COPIES_KEPT
from tests.wal.test_wal import (
    ME,
    SMALL,
    WORKLOAD,
    Model,
    check_segments,
    entry,
    follow,
    header_of,
    opened,
    power_cuts,
    reopened,
    run,
    small_log,
    tiny_frames,
)

__all__ = ["tiny_frames"]  # a fixture


def play_on(disk: SimDisk) -> tuple[Wal | None, list[Model], OSError | None]:
    """Open a log and do the workload until the disk fails.

    Return the log, what may be found on the disk from then on, and the error.
    """
    model, wal = Model(), None
    legal = [model]
    try:
        wal = opened(disk)
        for step in WORKLOAD:
            legal = step.legal(model)  # type: ignore[attr-defined]
            model = step(wal, model)
            legal = [model]
    except OSError as error:
        return wal, legal, error
    return wal, legal, None


def is_stopped(wal: Wal, disk: SimDisk) -> None:
    """Nothing is written by a log that met an error, whatever is asked of it."""
    done = disk.operations
    for call in (lambda: wal.save(HardState(99), []), wal.sync, lambda: wal.drop_below(0)):
        with pytest.raises(Stopped, match="a write failed"):
            call()
    wal.close()
    assert disk.operations == done


# 4: an append may have written anything, a sync that failed is not tried again
# 7: what comes back is a prefix with all that was acknowledged
@pytest.mark.usefixtures("tiny_frames")
@pytest.mark.parametrize(
    "kinds", [("append",), ("sync",), ("create", "rename", "remove"), ("sync_dir",)]
)
def test_an_error_at_any_call_stops_the_log_and_costs_nothing_acknowledged(
    kinds: tuple[str, ...],
) -> None:
    failures = 0
    while True:
        disk = SimDisk()
        disk.break_at(failures + 1, kinds=kinds, random=Random(failures))
        wal, legal, error = play_on(disk)
        if error is None:
            break
        failures += 1
        assert error.errno == errno.EIO
        if wal is not None:
            is_stopped(wal, disk)
        for seed in range(4):
            victim = disk.copy()
            if seed % 2:
                victim.crash(Random(seed))
            # else a new process reads what the system still shows, which may not be on the disk
            again = reopened(victim, Random(seed))
            assert any(model.matches(again) for model in legal), (failures, seed)
            follow(again, victim)
    assert failures > 10


def test_a_sync_that_failed_is_not_tried_again() -> None:
    disk = SimDisk()
    wal = opened(disk)
    wal.save(None, run(1, 1, 3))
    disk.break_at(1, kinds=("sync",))
    with pytest.raises(OSError, match="Input/output"):
        wal.save(None, run(1, 4, 4))
    assert (wal.last_index, wal.synced_index) == (3, 3)
    is_stopped(wal, disk)


def test_a_recovery_does_not_believe_what_a_failed_sync_left_in_memory() -> None:
    """The next process sees the bytes, and its sync succeeds without them: it writes them again."""
    lost = 0
    for seed in range(40):
        disk = SimDisk()
        wal = opened(disk)
        wal.save(None, run(1, 1, 3))
        disk.break_at(1, kinds=("sync",))
        with pytest.raises(OSError, match="Input/output"):
            wal.save(None, run(1, 4, 5))
        naive = disk.copy()
        naive.sync(naive.names()[0])
        naive.crash(Random(seed))
        lost += recover(naive, ME).last.index < 5
        again = opened(disk)
        assert again.entries() == run(1, 1, 5)
        disk.crash(Random(seed))
        assert opened(disk).entries() == run(1, 1, 5)
    assert lost > 10, "the disk lost nothing: the test shows nothing"


def test_a_read_that_fails_says_so_and_the_log_goes_on() -> None:
    disk, wal, model = small_log()
    for number in range(1, 4):  # one for each segment, at least
        disk.break_at(number, kinds=("read",))
        done = disk.operations
        with pytest.raises(OSError, match="Input/output"):
            opened(disk)
        assert disk.operations == done
    disk.break_at(1, kinds=("read",))
    with pytest.raises(OSError, match="Input/output"):
        wal.entries()
    assert model.matches(wal)
    follow(wal, disk)


# 4: a full disk
@pytest.mark.usefixtures("tiny_frames")
@pytest.mark.parametrize("seed", range(12))
def test_a_full_disk_refuses_a_write_and_with_space_the_same_log_goes_on(seed: int) -> None:
    random, disk = Random(seed), SimDisk()
    disk.capacity = random.randrange(300)
    wal, model, refused = opened(disk), Model(), 0
    for step in WORKLOAD:
        before = model
        try:
            model = step(wal, model)
        except DiskFull as error:
            refused += 1
            assert "there is no space for" in str(error)
            assert wal.out_of_space
            assert before.matches(wal), "all is as it was"
            left = disk.copy()
            left.capacity = None
            left.crash(random)
            legal = [*step.legal(before), before]  # type: ignore[attr-defined]
            back = reopened(left, random)
            assert any(each.matches(back) for each in legal)
            disk.capacity = None
            model = step(wal, model)
        assert model.matches(wal)
        used = sum(disk.size(name) for name in disk.names())
        disk.capacity = used + random.choice((0, 0, 5, 40, 150, 400))
    assert refused > 10
    disk.capacity = None
    wal.save(None, [entry(99, wal.last_index + 1)])
    assert not wal.out_of_space
    model = model.save(None, [entry(99, wal.last_index)])
    check_segments(wal, disk)
    disk.crash(random)
    assert model.matches(reopened(disk, random))


@pytest.mark.usefixtures("tiny_frames")
def test_a_log_is_opened_and_read_where_there_is_no_space_to_write_it_anew() -> None:
    for step, disk, legal in power_cuts():
        disk.crash(Random(step))
        disk.capacity = sum(disk.size(name) for name in disk.names())
        reported: list[Event] = []
        wal = Wal.open(disk, ME, segment_bytes=SMALL, report=reported.append)
        now = next(model for model in legal if model.matches(wal))
        if not wal.out_of_space:
            continue  # nothing had to be written, or the torn end that went made room
        assert isinstance(reported[-1], events.DiskFilled)
        for _ in range(2):
            with pytest.raises(DiskFull, match="there is no space for"):
                wal.save(HardState(99), [])
        assert now.matches(wal)
        disk.capacity = None
        wal.save(HardState(99), [])
        assert events.SpaceRecovered() in reported
        now = now.save(HardState(99), [])
        assert now.matches(wal)
        follow(wal, disk)


def test_where_a_full_disk_takes_nothing_back_the_log_is_stopped() -> None:
    disk = SimDisk()
    wal = opened(disk)
    wal.save(None, run(1, 1, 3))
    disk.capacity = sum(disk.size(name) for name in disk.names()) + 9
    disk.break_at(1, kinds=("truncate",))
    with pytest.raises(OSError, match="Input/output error"):
        wal.save(None, run(1, 4, 5))
    disk.capacity = None
    is_stopped(wal, disk)
    assert opened(disk).entries() == run(1, 1, 3)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_sync_that_finds_no_space_is_a_failed_sync(error: int) -> None:
    disk = SimDisk()
    wal = opened(disk)
    disk.break_at(1, kinds=("sync",), error=error)
    with pytest.raises(OSError, match=os.strerror(error)):
        wal.save(None, run(1, 1, 3))
    is_stopped(wal, disk)


def test_a_quota_is_a_full_disk() -> None:
    disk = SimDisk()
    wal = opened(disk)
    disk.break_at(1, kinds=("append",), error=errno.EDQUOT, random=Random(1))
    with pytest.raises(DiskFull, match="there is no space for"):
        wal.save(None, run(1, 1, 3))
    wal.save(None, run(1, 1, 2))
    assert opened(disk).entries() == run(1, 1, 2)


def test_what_waits_in_the_process_is_bounded_on_a_full_disk_and_is_handed_over_later() -> None:
    disk = SimDisk()
    wal = opened(disk)
    disk.capacity = sum(disk.size(name) for name in disk.names())
    taken, value = 0, b"v" * 5000
    for index in range(1, 60):
        payload = pack_write(index, index, b"k", value)
        try:
            wal.append(index, index, payload, Durability.BUFFERED)
        except DiskFull:
            break
        taken = index
    assert taken * 5000 < 2 * 65536
    assert wal.last_index == taken
    disk.capacity = None
    wal.append(taken + 1, taken + 1, payload, Durability.SYNC)
    assert [e.index for e in opened(disk).entries()] == list(range(1, taken + 2))


# 1: no order of the directory's changes is taken for granted
@pytest.mark.usefixtures("tiny_frames")
def test_a_crash_at_every_step_on_a_disk_that_reorders_its_directory() -> None:
    for step, disk, legal in power_cuts():
        for seed in range(4):
            victim = disk.copy()
            victim.crash(Random(f"{step} {seed}"), reorder=True)
            again = reopened(victim, Random(seed))
            assert any(model.matches(again) for model in legal), (step, seed)
            follow(again, victim)


# ── what is truncated is kept ────────────────────────────────────────────────────────────────────


def torn_files(disk: SimDisk) -> dict[str, bytes]:
    return {name: disk.read(name) for name in disk.names() if name.endswith(".torn")}


def tear(disk: SimDisk, data: bytes) -> str:
    """Put bytes after the end of the log; return the name under which they will be kept."""
    newest = recover(disk, ME).segments[-1]
    disk.append(newest.name, data)
    return f"{newest.name.removesuffix('.wal')}-{newest.size:016x}.torn"


# 2: torn at any byte, then written, crashed and read again
def test_what_a_tear_left_is_kept_aside_and_never_read() -> None:
    disk, wal, _ = small_log()
    newest = wal.segments[-1]
    whole = disk.read(newest.name)
    for size in range(len(header_of(disk, newest)), len(whole)):
        victim = disk.copy()
        victim.truncate(newest.name, size)
        victim.sync(newest.name)
        torn = recover(victim, ME).torn
        again = opened(victim)
        kept = torn_files(victim)
        if torn is None:
            assert kept == {}
            continue
        assert kept == {torn.copy_name: whole[torn.offset : size]}
        log = again.entries()
        victim.crash(Random(size))
        assert torn_files(victim) == kept  # durable
        third = reopened(victim, Random(size))
        assert third.entries() == log
        victim.truncate(torn.copy_name, 0)
        victim.append(torn.copy_name, b"kvF2 whatever")
        assert opened(victim).entries() == log
        follow(opened(victim), victim)
        assert recover(victim, ME).torn is None


def test_the_same_tear_again_replaces_its_copy_and_only_the_newest_few_are_kept() -> None:
    disk = SimDisk()
    wal = opened(disk, segment_bytes=150)
    names: list[str] = []
    for index in range(1, 3 * TORN_COPIES_KEPT):
        wal = opened(disk, segment_bytes=150)
        wal.save(None, run(1, index, index))
        for data in (b"first", b"again %d" % index):
            name = tear(disk, data)
            opened(disk)
            disk.crash(Random(index))
            assert disk.read(name) == data
        names.append(name)
        assert list(torn_files(disk)) == names[-TORN_COPIES_KEPT:]
        assert names == sorted(names)
    assert len({name[:33] for name in names}) > 3, "all tears were in one segment"
    assert Wal.open(disk, ME).last_index == 3 * TORN_COPIES_KEPT - 1


def test_a_crash_while_a_tear_is_put_aside_leaves_the_tear_or_the_copy() -> None:
    disk, _, model = small_log()
    name = tear(disk, b"the torn end")
    left = set()
    for step in range(1, 14):
        for seed in range(5):
            victim = disk.copy()
            victim.sync(victim.names()[-1])
            victim.fail_at(step, Random(seed))
            with suppress(PowerCut):
                opened(victim)
            victim.crash(Random(seed), reorder=seed % 2 == 0)
            torn = recover(victim, ME).torn
            left.add((torn is not None, name in victim.names()))
            assert (torn is not None) or victim.read(name) == b"the torn end"
            assert model.matches(reopened(victim, Random(seed)))
            assert victim.read(name) == b"the torn end"
            assert not [other for other in victim.names() if other.endswith(".tmp")]
    assert left == {(True, False), (True, True), (False, True)}


def test_a_directory_with_torn_ends_is_sound(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    wal = Wal.open(disk, "kvraft/store")
    wal.save(HardState(1, "n1"), run(1, 1, 3))
    for data in (b"torn", b"torn again"):
        disk.append(wal.segments[-1].name, data)
        wal = Wal.open(disk, "kvraft/store")
        wal.save(None, run(1, wal.last_index + 1, wal.last_index + 1))
    assert len([name for name in disk.names() if name.endswith(".torn")]) == 2
    wal.close()
    disk.close()
    assert verify(tmp_path)[-1] == "Every checksum and invariant holds."


# 3: what a file system leaves after a file's end is torn, and truncated whatever it looks like
@pytest.mark.parametrize("tail", ["zeros", "garbage", "an old log", "a frame of another segment"])
def test_a_tail_of_anything_is_cut(tail: str) -> None:
    disk, wal, model = small_log()
    first, *_, newest = wal.segments
    data = {
        "zeros": bytes(5000),
        "garbage": Random(1).randbytes(5000),
        "an old log": disk.read(first.name) * 2,
        "a frame of another segment": disk.read(first.name)[len(header_of(disk, first)) :],
    }[tail]
    for size in (1, 3, 4, 23, 24, 25, 200, len(data)):
        victim = disk.copy()
        victim.append(newest.name, data[:size])
        victim.sync(newest.name)
        reported: list[Event] = []
        again = Wal.open(victim, ME, segment_bytes=SMALL, report=reported.append)
        assert model.matches(again)
        torn = next(event for event in reported if isinstance(event, events.TailTruncated))
        assert torn.size == min(size, len(data))
        follow(again, victim)


# ── old segments that come back ─────────────────────────────────────────────────────────────────


def dropped_and_kept() -> Iterator[tuple[SimDisk, SimDisk, list[str]]]:
    """Yield a log, the same with its oldest segments dropped, and the names of these."""
    for floor in (9, 13, 17, 25):
        disk = SimDisk()
        wal = opened(disk)
        for index in range(1, 25):
            wal.save(HardState(1 + index // 8, "n1"), run(1 + index // 8, index, index))
        whole = disk.copy()
        yield whole, disk, [segment.name for segment in wal.drop_below(floor)]


# 6: never taken for new, and no hole is papered over
def test_an_old_segment_that_reappears_goes_on_into_the_log_or_is_refused() -> None:
    for whole, disk, dropped in dropped_and_kept():
        kept = opened(disk.copy())
        for number, name in enumerate(dropped):
            back = disk.copy()
            back.create(name)
            back.append(name, whole.read(name))
            if number == len(dropped) - 1:  # what a crash may leave of a removal
                again = opened(back)
                assert again.first_index < kept.first_index
                assert again.read(kept.first_index, 24) == kept.entries()
                assert (again.last_index, again.hard_state) == (24, kept.hard_state)
            else:
                oldest = kept.segments[0].name
                with pytest.raises(Corruption, match=f"{oldest}, offset 0: .*one is missing"):
                    opened(back)


def test_an_old_segment_that_reappears_before_a_snapshot_is_ignored_and_removed() -> None:
    disk, wal, _ = small_log()
    old = disk.copy()
    wal.reset(Position(50, 3))
    wal.save(HardState(9, "n2"), run(4, 51, 53))
    for name in old.names():
        back = disk.copy()
        back.create(name)
        back.append(name, old.read(name))
        again = opened(back)
        assert (again.base, again.entries()) == (Position(50, 3), run(4, 51, 53))
        assert again.hard_state == HardState(9, "n2")
        assert name not in back.names()
