"""Disks: the real one and the simulated one are the same disk, until the power goes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kvraft.disk.real
from kvraft.disk import Disk, RealDisk, replace_file
from kvraft.errors import BadInput, Locked
from kvraft.sim import PowerCut, SimDisk

NAMES = st.sampled_from(["a", "b", "c.wal"])
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("append"), NAMES, st.binary(max_size=9)),
    st.tuples(st.just("append"), NAMES, st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("truncate"), NAMES, st.integers(0, 9)),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("sync"), NAMES),
    st.tuples(st.just("sync_dir")),
    st.tuples(st.just("size"), NAMES),
    st.tuples(st.just("read"), NAMES, st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12))),
    st.tuples(st.just("replace"), NAMES, st.binary(max_size=9)),
)


def outcome(disk: Disk, operation: tuple[Any, ...]) -> Any:
    """Do one thing; return what it returned, or which error it raised."""
    name, *arguments = operation
    try:
        if name == "replace":
            return replace_file(disk, *arguments)
        if name == "truncate":  # only ever used to cut
            arguments[1] = min(arguments[1], disk.size(arguments[0]))
        return getattr(disk, name)(*arguments)
    except (FileNotFoundError, FileExistsError) as error:
        return type(error)


def contents(disk: Disk) -> dict[str, bytes]:
    return {name: disk.read(name) for name in disk.names()}


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealDisk]:
    disk = RealDisk(tmp_path / "data")
    yield disk
    disk.close()


@settings(deadline=None, derandomize=True, max_examples=120)
@given(st.lists(OPERATIONS, max_size=25))
def test_both_disks_do_the_same(operations: list[tuple[Any, ...]]) -> None:
    simulated = SimDisk()
    with tempfile.TemporaryDirectory() as path:
        disk = RealDisk(path)
        for operation in operations:
            assert outcome(simulated, operation) == outcome(disk, operation), operation
        assert contents(simulated) == contents(disk)
        disk.close()
        again = RealDisk(path)
        assert contents(simulated) == contents(again)
        again.close()


# ── the real disk ───────────────────────────────────────────────────────────────────────────────


def test_a_directory_has_one_process_at_a_time(tmp_path: Path) -> None:
    script = (
        "import sys; from kvraft.disk.real import RealDisk; disk = RealDisk(sys.argv[1]);"
        "print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline().strip() == b"open"
        with pytest.raises(Locked, match=f"{tmp_path}.*another process"):
            RealDisk(tmp_path)
    finally:
        other.kill()
        other.communicate()
    disk = RealDisk(tmp_path)  # the lock of a process that died is nobody's
    with pytest.raises(Locked):
        RealDisk(tmp_path)
    disk.close()
    RealDisk(tmp_path).close()


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    for path in (file, file / "below"):
        with pytest.raises(BadInput, match="is not a directory"):
            RealDisk(path)
    assert file.read_bytes() == b"mine"


def test_short_writes_and_reads_are_continued(
    real: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, pread = os.write, os.pread
    calls: list[int] = []

    def short_write(descriptor: int, data: memoryview) -> int:
        calls.append(len(data))
        return write(descriptor, data[:3])

    monkeypatch.setattr(os, "write", short_write)
    monkeypatch.setattr(os, "pread", lambda fd, n, at: pread(fd, min(n, 2), at))
    real.create("f")
    real.append("f", b"0123456789")
    assert calls == [10, 7, 4, 1]
    assert real.read("f") == b"0123456789"
    assert real.read("f", 3, 100) == b"3456789"


def test_only_files_are_listed_and_the_lock_is_not_one(real: RealDisk) -> None:
    real.create("f")
    (real.path / "directory").mkdir()
    assert real.names() == ["f"]


def test_a_file_descriptor_never_outlives_its_name(real: RealDisk) -> None:
    for name in ("old", "new"):
        real.create(name)
        real.append(name, name.encode())
    real.rename("old", "new")
    real.append("new", b"!")
    assert contents(real) == {"new": b"old!"}
    real.remove("new")
    real.create("new")
    assert contents(real) == {"new": b""}


# ── links, and more files than a process may open ───────────────────────────────────────────────


def test_a_link_is_the_same_file_or_where_that_cannot_be_a_synced_copy(
    tmp_path: Path, real: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real.create("f")
    real.append("f", b"data" * 600_000)  # more than is copied at a time
    real.sync("f")
    target, simulated = RealDisk(tmp_path / "target"), SimDisk()
    real.link("f", target)
    assert (real.path / "f").samefile(target.path / "f")
    target.remove("f")
    for error in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):

        def refuse(*_: Any, error: int = error) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(os, "link", refuse)
        real.link("f", target)
        assert not (real.path / "f").samefile(target.path / "f")
        assert target.read("f") == real.read("f")
        with pytest.raises(FileExistsError):
            real.link("f", target)
        target.remove("f")
    real.link("f", simulated)
    simulated.sync_dir()
    simulated.crash(Random(0))  # the bytes were synced
    simulated.link("f", target)
    assert target.read("f") == real.read("f")
    monkeypatch.undo()
    with pytest.raises(FileExistsError):
        real.link("f", target)
    with pytest.raises(FileNotFoundError):
        real.link("g", target)
    target.close()


def test_few_files_are_open_but_none_with_unsynced_bytes_is_closed(
    real: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports a failed write to open descriptors; a new one may not hear of it."""
    monkeypatch.setattr(kvraft.disk.real, "OPEN_FILES", 4)
    real.create("log")
    real.append("log", b"unsynced")
    log = real._open["log"]
    for number in range(20):
        real.create(f"{number:02}")
        real.append(f"{number:02}", b"%d" % number)
        real.sync(f"{number:02}")
        assert len(real._open) <= 4
    assert real._open["log"] == log
    real.sync("log")
    assert [real.read(name) for name in real.names()[:20]] == [b"%d" % n for n in range(20)]
    assert list(real._open) == ["16", "17", "18", "19"]
    real.read("16")
    real.read("00")
    assert list(real._open) == ["18", "19", "16", "00"]  # the one used longest ago was closed
    real.append("log", b"!")
    assert real.read("log") == b"unsynced!"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit to be set")
def test_a_process_that_may_open_few_files_still_reaches_all(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from kvraft.disk.real import RealDisk; disk = RealDisk(sys.argv[1]);"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "for n in range(60): disk.create(str(n)); disk.append(str(n), b'x'); disk.sync(str(n))\n"
        "disk.sync_dir(); print(sum(disk.read(str(n)) == b'x' for n in range(60)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "60\n"


# ── the simulated disk ──────────────────────────────────────────────────────────────────────────


def crashes(disk: SimDisk, seeds: int = 200) -> Iterator[tuple[SimDisk, int]]:
    """Yield what many crashes leave of one disk, and how many bytes each cost."""
    for seed in range(seeds):
        survivor = disk.copy()
        lost = survivor.crash(Random(seed))
        yield survivor, lost


def durable(files: dict[str, bytes]) -> SimDisk:
    disk = SimDisk()
    for name, data in files.items():
        disk.create(name)
        disk.append(name, data)
        disk.sync(name)
    disk.sync_dir()
    return disk


def test_of_unsynced_bytes_any_prefix_survives_and_synced_ones_always() -> None:
    disk = durable({"f": b"synced"})
    disk.append("f", b"ABCD")
    seen = set()
    for survivor, lost in crashes(disk):
        left = survivor.read("f")
        assert left.startswith(b"synced")
        assert len(left) + lost == len(b"syncedABCD")
        seen.add(left)
    assert {b"synced" + b"ABCD"[:n] for n in range(5)} <= seen
    assert any(b"synced" + b"ABCD"[: len(left) - 6] != left for left in seen), "none was garbled"
    disk.sync("f")
    assert all((s.read("f"), lost) == (b"syncedABCD", 0) for s, lost in crashes(disk))


def test_directory_changes_survive_in_their_order() -> None:
    disk = durable({"a": b"1", "b": b"2"})
    states = [contents(disk)]
    for change in (
        lambda: disk.rename("a", "c"),
        lambda: disk.create("a"),
        lambda: disk.remove("b"),
        lambda: disk.rename("c", "a"),
    ):
        change()
        states.append(contents(disk))
    left = [contents(survivor) for survivor, _ in crashes(disk)]
    assert all(state in states for state in left)
    assert all(state in left for state in states)
    disk.sync_dir()
    assert all(contents(survivor) == {"a": b"1"} for survivor, _ in crashes(disk))


def test_a_synced_file_is_lost_with_its_name() -> None:
    disk = SimDisk()
    disk.create("f")
    disk.append("f", b"data")
    disk.sync("f")
    assert {(tuple(s.names()), lost) for s, lost in crashes(disk)} == {(("f",), 0), ((), 4)}


def test_a_truncation_may_be_undone_until_it_is_synced() -> None:
    disk = durable({"f": b"0123456789"})
    disk.truncate("f", 7)
    disk.truncate("f", 4)
    disk.append("f", b"x")
    left = {survivor.read("f") for survivor, _ in crashes(disk)}
    assert {b"0123456789", b"0123", b"0123x"} <= left
    disk.sync("f")
    assert all(survivor.read("f") == b"0123x" for survivor, _ in crashes(disk))


def test_what_survived_one_crash_survives_the_next() -> None:
    disk = durable({"f": b"synced"})
    disk.append("f", b"more")
    disk.create("g")
    for survivor, _ in crashes(disk, 50):
        left = contents(survivor)
        assert survivor.crash(Random(1)) == 0
        assert contents(survivor) == left


def test_replace_leaves_the_old_bytes_or_the_new_wherever_the_power_goes() -> None:
    disk = durable({"f": b"old"})
    whole = disk.copy()
    replace_file(whole, "f", b"brand new")
    steps = whole.operations - disk.operations
    assert steps == 5
    for step in range(1, steps + 1):
        for seed in range(30):
            victim = disk.copy()
            victim.fail_at(step, Random(seed))
            with pytest.raises(PowerCut):
                replace_file(victim, "f", b"brand new")
            victim.crash(Random(seed))
            assert victim.read("f") in (b"old", b"brand new")
            replace_file(victim, "f", b"third")  # in spite of what the first attempt left behind
            assert contents(victim) == {"f": b"third"}
    victim = whole.copy()
    victim.crash(Random(0))
    assert contents(victim) == {"f": b"brand new"}


def test_the_power_goes_at_the_operation_asked_for_and_stays_away() -> None:
    disk = durable({"f": b"data"})
    done = disk.operations
    disk.fail_at(3)
    disk.append("f", b"1")
    disk.sync("f")
    for _ in range(3):
        with pytest.raises(PowerCut):
            disk.append("f", b"2")
    with pytest.raises(PowerCut):
        disk.sync_dir()
    assert (disk.operations, disk.read("f")) == (done + 2, b"data1")
    assert not issubclass(PowerCut, OSError)
    disk.crash(Random(0))
    disk.append("f", b"3")
    assert disk.read("f") == b"data13"
    disk.fail_at(1)
    disk.restore()
    disk.append("f", b"4")
    with pytest.raises(ValueError, match="0"):
        disk.fail_at(0)


def test_an_append_cut_off_leaves_any_prefix_and_no_second_one_follows() -> None:
    left = set()
    for seed in range(60):
        disk = durable({"f": b""})
        disk.fail_at(1, Random(seed))
        for _ in range(2):
            with pytest.raises(PowerCut):
                disk.append("f", b"abc")
        left.add(disk.read("f"))
    assert left == {b"", b"a", b"ab", b"abc"}


def test_the_same_seed_loses_the_same_and_a_copy_is_apart() -> None:
    disk = durable({"f": b"synced", "g": b""})
    disk.append("f", b"unsynced bytes")
    disk.append("g", b"more of them")
    disk.create("h")
    first, second = disk.copy(), disk.copy()
    assert first.crash(Random(7)) == second.crash(Random(7))
    assert contents(first) == contents(second)
    first.corrupt("f", 0, 0x01)
    assert first.read("f")[0] == second.read("f")[0] ^ 0x01
    assert disk.read("f") == b"syncedunsynced bytes"
