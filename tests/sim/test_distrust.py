"""A disk that must not be trusted: what it does unseen, and what should be there instead."""

from random import Random

import pytest

from kvraft.errors import BadInput
from kvraft.sim import SimDisk


def disk_with(**files):
    disk = SimDisk()
    for name, data in files.items():
        disk.create(name)
        disk.append(name, data)
        disk.sync(name)
    disk.sync_dir()
    return disk


def contents(disk):
    return {name: disk.read(name) for name in disk.names()}


def crash(disk, seed=1):
    disk.crash(Random(seed))
    return contents(disk)


def test_what_a_lying_sync_promised_may_be_gone_after_a_crash():
    lost = 0
    for seed in range(20):
        disk = disk_with(a=b"old")
        disk.lie_about_syncs(Random(seed))
        disk.append("a", b" and new")
        disk.sync("a")
        disk.create("b")
        disk.sync_dir()
        assert not disk.spoilt
        found = crash(disk, seed)
        assert found["a"].startswith(b"old")
        assert disk.spoilt
        assert disk.as_written() == {"a": b"old and new", "b": b""}
        disk.forgive()
        assert disk.as_written() == found
        lost += found != {"a": b"old and new", "b": b""}
    assert lost > 10


@pytest.mark.parametrize("how", ["honest", "confess", "repair"])
def test_an_honest_sync_makes_good_what_earlier_ones_promised(how):
    disk = disk_with(a=b"old")
    disk.lie_about_syncs(Random(1))
    disk.append("a", b" and new")
    disk.sync("a")
    disk.create("b")
    disk.sync_dir()
    if how == "honest":
        disk.lie_about_syncs(Random(1), share=0.0)
        disk.sync("a")
        disk.sync_dir()
    else:
        getattr(disk, how)()
    assert crash(disk) == {"a": b"old and new", "b": b""}
    assert not disk.spoilt


def test_some_syncs_are_lies():
    disk = disk_with(a=b"")
    disk.lie_about_syncs(Random(1), share=0.5)
    lies = 0
    for _ in range(40):
        disk.append("a", b"x")
        disk.sync("a")
        lies += disk.file("a").lied
    assert 8 < lies < 32


def test_a_misdirected_append_is_missing_in_one_place_and_spoils_another():
    for seed in range(20):
        disk = disk_with(a=b"a" * 40, b=b"b" * 40)
        disk.misdirect_at(2, Random(seed))
        disk.append("a", b"one")
        disk.append("a", b"two")
        disk.append("a", b"six")
        disk.sync("a")
        found = crash(disk)
        assert len(found["a"]) == 49
        assert found != disk.as_written()
        assert disk.as_written() == {"a": b"a" * 40 + b"onetwosix", "b": b"b" * 40}
        with disk.undisturbed():  # an observer sees what should be there
            assert contents(disk) == disk.as_written()
        assert contents(disk) == found
    with pytest.raises(BadInput, match="no append 0"):
        disk.misdirect_at(0, Random(1))


def test_a_stale_sector_holds_what_it_held_before():
    disk = disk_with(a=b"a" * 20, b=b"b" * 20)
    disk.remember()
    assert disk.go_stale(Random(1), sector=16) == ""  # nothing was written since
    disk.append("a", b"+" * 20)
    disk.sync("a")
    assert disk.go_stale(Random(1), sector=16) == "a"
    stale = {b"a" * 20 + bytes(12) + b"+" * 8, b"a" * 20 + b"+" * 12 + bytes(8)}
    assert contents(disk)["a"] in stale
    assert disk.as_written()["a"] == b"a" * 20 + b"+" * 20
    disk.truncate("a", 10)
    assert disk.as_written()["a"] == b"a" * 10


def test_flipped_bits_are_known_too():
    disk = disk_with(a=b"abc")
    disk.corrupt("a", 1)
    disk.corrupt("a", 1, 1)
    disk.append("a", b"d")
    assert disk.spoilt
    assert disk.as_written() == {"a": b"abcd"}
    copy = disk.copy()
    assert copy.as_written() == {"a": b"abcd"}
