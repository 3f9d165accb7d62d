"""The faults of the simulated disk: each does what its docstring says, and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from itertools import combinations
from random import Random

import pytest

from kvraft.sim import SimDisk
from kvraft.sim.disk import WRITES

Call = Callable[[SimDisk], object]

CALLS: dict[str, Call] = {
    "create": lambda disk: disk.create("new"),
    "append": lambda disk: disk.append("f", b"abc"),
    "truncate": lambda disk: disk.truncate("f", 2),
    "sync": lambda disk: disk.sync("f"),
    "rename": lambda disk: disk.rename("f", "h"),
    "remove": lambda disk: disk.remove("g"),
    "link": lambda disk: disk.link("f", SimDisk()),
    "sync_dir": lambda disk: disk.sync_dir(),
    "read": lambda disk: disk.read("f"),
}


def durable(**contents: bytes) -> SimDisk:
    disk = SimDisk()
    for name, data in contents.items():
        disk.create(name)
        disk.append(name, data)
        disk.sync(name)
    disk.sync_dir()
    return disk


def files(disk: SimDisk) -> dict[str, bytes]:
    return {name: disk.read(name) for name in disk.names()}


def crashes(disk: SimDisk, *, reorder: bool = False, seeds: int = 100) -> Iterator[SimDisk]:
    for seed in range(seeds):
        survivor = disk.copy()
        survivor.crash(Random(seed), reorder=reorder)
        yield survivor


# ── calls that fail ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [kind for kind in CALLS if kind != "link"])
def test_the_call_asked_for_fails_once_and_without_effect(kind: str) -> None:
    disk = durable(f=b"data", g=b"")
    before = files(disk)
    disk.break_at(2, kinds=(kind,), error=errno.EDQUOT)
    others = disk.copy()
    for other, call in CALLS.items():
        if other != kind:
            call(others.copy())  # the others are not counted and do not fail
    repeatable = {"create": lambda d: d.create("one"), "remove": lambda d: d.remove("f")}
    repeatable["rename"] = lambda d: d.rename("g", "k")
    repeatable.get(kind, CALLS[kind])(disk)
    before = files(disk) if kind != "read" else before
    with pytest.raises(OSError, match="quota") as caught:
        CALLS[kind](disk)
    assert caught.value.errno == errno.EDQUOT
    assert files(disk) == before
    CALLS[kind](disk)


def test_a_link_fails_where_it_would_be_made() -> None:
    disk, target = durable(f=b"data"), SimDisk()
    target.break_at(1, kinds=("link",))
    with pytest.raises(OSError, match="Input/output"):
        disk.link("f", target)
    assert target.names() == []


def test_by_default_any_write_fails_but_no_read_and_a_fault_may_stay() -> None:
    assert sorted([*WRITES, "read"]) == sorted(CALLS)
    for kind in CALLS:
        disk = durable(f=b"data", g=b"")
        disk.break_at(1, stays=True)
        if kind in ("read", "link"):
            CALLS[kind](disk)
            continue
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output"):
                CALLS[kind](disk)
        disk.crash(Random(0))
        with pytest.raises(OSError, match="Input/output"):  # a new incarnation, the same disk
            CALLS[kind](disk)
        disk.repair()
        CALLS[kind](disk)
    with pytest.raises(ValueError, match="0"):
        SimDisk().break_at(0)
    with pytest.raises(ValueError, match="'close'"):
        SimDisk().break_at(1, kinds=("close",))


def test_a_call_that_fails_by_chance_has_any_effect_it_could_have() -> None:
    appended, renamed = set(), set()
    for seed in range(60):
        disk = durable(f=b"", g=b"")
        disk.break_at(1, random=Random(seed))
        with pytest.raises(OSError, match="Input/output"):
            disk.append("f", b"abc")
        appended.add(disk.read("f"))
        disk.break_at(1, random=Random(seed))
        with pytest.raises(OSError, match="Input/output"):
            disk.rename("f", "h")
        renamed.add(tuple(disk.names()))
    assert appended == {b"", b"a", b"ab", b"abc"}
    assert renamed == {("f", "g"), ("g", "h")}


# ── a sync that fails ───────────────────────────────────────────────────────────────────────────


def test_what_a_failed_sync_left_stays_in_doubt_whatever_is_synced_later() -> None:
    """The page cache shows it, later syncs succeed, and a crash may take it all the same."""
    disk = durable(f=b"safe")
    disk.append("f", b"DOUBT")
    disk.break_at(1, kinds=("sync",))
    with pytest.raises(OSError, match="Input/output"):
        disk.sync("f")
    disk.restore()  # a new process, the same machine
    disk.append("f", b"later")
    disk.sync("f")
    assert disk.read("f") == b"safeDOUBTlater"
    left = {survivor.read("f") for survivor in crashes(disk)}
    assert b"safeDOUBTlater" in left
    assert len(left) > 10
    assert all((data[:4], data[9:]) == (b"safe", b"later") for data in left)
    assert any(bytes(2) in data for data in left)
    assert any(bytes(1) not in data and b"DOUBT" not in data for data in left)
    for survivor in crashes(disk, seeds=20):
        found = files(survivor)
        survivor.crash(Random(1))
        assert files(survivor) == found  # what was read after the crash is on the medium


def test_only_the_bytes_of_the_failed_sync_are_in_doubt_and_cutting_them_off_ends_it() -> None:
    disk = durable(f=b"safe")
    for data in (b"one", b"two"):
        disk.append("f", data)
        disk.break_at(1, kinds=("sync",))
        with pytest.raises(OSError, match="Input/output"):
            disk.sync("f")
    disk.truncate("f", 7)
    disk.append("f", b"new")
    disk.sync("f")
    left = {survivor.read("f") for survivor in crashes(disk)}
    assert b"safeonenew" in left
    assert len(left) > 5
    assert {(data[:4], data[7:]) for data in left} == {(b"safe", b"new")}
    disk.truncate("f", 4)
    disk.append("f", b"onenew")
    disk.sync("f")
    assert {survivor.read("f") for survivor in crashes(disk)} == {b"safeonenew"}


# ── a disk that is full ─────────────────────────────────────────────────────────────────────────


def test_a_full_disk_takes_what_fits_until_there_is_space_again() -> None:
    for capacity in range(15):
        disk = durable(f=b"data")
        disk.capacity = capacity
        if capacity < 10:
            with pytest.raises(OSError, match="No space left") as caught:
                disk.append("f", b"012345")
            assert caught.value.errno == errno.ENOSPC
            assert disk.read("f") == b"data" + b"012345"[: max(0, capacity - 4)]
        else:
            disk.append("f", b"012345")
        if capacity > 10:
            disk.create("g")
            disk.remove("g")
        else:
            with pytest.raises(OSError, match="No space left"):
                disk.create("g")
            disk.rename("f", "h")  # what needs no space works
            disk.truncate("h", 3)
            disk.sync("h")
            disk.sync_dir()
            disk.rename("h", "f")
        disk.capacity = None
        disk.append("f", b"0123456789")
        disk.create("g")


# ── a directory in any order ────────────────────────────────────────────────────────────────────


def test_any_of_the_directorys_changes_survive_if_it_promises_no_order() -> None:
    disk = durable(a=b"a", b=b"b")
    disk.remove("a")
    disk.rename("b", "c")
    disk.create("d")
    changes = [{"a": None}, {"b": None, "c": b"b"}, {"d": b""}]

    def after(indexes: tuple[int, ...]) -> dict[str, bytes]:
        state: dict[str, bytes | None] = {"a": b"a", "b": b"b"}
        for index in indexes:
            state |= changes[index]
        return {name: data for name, data in state.items() if data is not None}

    subsets = [after(some) for n in range(4) for some in combinations(range(3), n)]
    prefixes = [after(tuple(range(n))) for n in range(4)]
    any_order = [files(survivor) for survivor in crashes(disk, reorder=True)]
    in_order = [files(survivor) for survivor in crashes(disk)]
    assert all(state in any_order for state in subsets)
    assert all(state in subsets for state in any_order)
    assert all(state in in_order for state in prefixes)
    assert all(state in prefixes for state in in_order)
    disk.sync_dir()
    assert all(files(s) == {"c": b"b", "d": b""} for s in crashes(disk, reorder=True))


def test_a_change_of_a_file_whose_creation_was_lost_is_no_error() -> None:
    disk = durable()
    disk.create("a")
    disk.append("a", b"data")
    disk.sync("a")
    disk.rename("a", "b")
    disk.remove("b")
    left = [tuple(survivor.names()) for survivor in crashes(disk, reorder=True)]
    assert {(), ("a",), ("b",)} <= set(left)


# ── links ───────────────────────────────────────────────────────────────────────────────────────


def test_a_linked_file_outlives_its_first_name_once_the_directory_is_synced() -> None:
    disk, target = durable(f=b"data"), SimDisk()
    disk.link("f", target)
    with pytest.raises(FileExistsError):
        disk.link("f", target)
    with pytest.raises(FileNotFoundError):
        disk.link("g", target)
    assert {tuple(survivor.names()) for survivor in crashes(target)} == {(), ("f",)}
    target.sync_dir()
    disk.remove("f")
    disk.sync_dir()
    assert all(files(survivor) == {"f": b"data"} for survivor in crashes(target))
