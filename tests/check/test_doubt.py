"""What a member must notice of its disk, what nobody can, and that not to notice is a finding."""

import pytest

from kvraft.check import Violation
from kvraft.check.sweep.doubt import Doubt
from kvraft.check.sweep.judged import JudgedRun
from kvraft.disk import MEMBER, is_segment
from kvraft.errors import Corruption
from kvraft.lsm import load_manifest
from kvraft.sim import Run
from kvraft.wal import recover


@pytest.fixture
def judged():
    return begun(2)


def begun(seed):
    judged = JudgedRun(Run(3, seed=seed))
    world = judged.world
    world.run_until(lambda: world.leader() is not None)
    for number in range(4):
        write(judged, number)
    return judged


def write(judged, number):
    ticket = judged.do("put", "c", "key", str(number))
    judged.world.run_until(lambda: ticket.done)
    judged.world.settle()


def follower(judged):
    return next(name for name in judged.world.members if name != judged.world.leader())


def newest_segment(judged, name):
    disk = judged.world.sim_disk(name)
    return disk, max(file for file in disk.names() if is_segment(file))


@pytest.fixture
def behind():
    """A run with a member that lost what nobody can notice, and its name: chance leaves much."""
    for seed in range(10):
        judged = begun(seed)
        name = follower(judged)
        judged.do("lie_about_syncs", name)
        for number in range(4, 8):
            write(judged, number)
        judged.do("crash", name)
        judged.do("repair_disk", name)
        if judged.doubt(name) == Doubt(lost=True):
            return judged, name
    pytest.fail("no crash took a whole end")


def test_a_whole_disk_is_not_in_doubt(judged):
    name = follower(judged)
    judged.do("crash", name)
    assert judged.doubt(name) == Doubt()
    assert judged.doubt(name).whole


def test_a_member_that_goes_on_without_what_a_lying_sync_promised_is_a_finding(behind):
    judged, name = behind
    assert judged.lost == {name}
    judged.do("restart", name)
    with pytest.raises(Violation, match=f"{name} held entry"):
        judged.world.run_for(5)


def test_what_the_manifest_knows_to_be_synced_must_be_there(judged, monkeypatch):
    name = follower(judged)
    judged.do("crash", name)
    judged.do("restart", name)  # which writes a manifest
    judged.do("crash", name)
    disk, segment = newest_segment(judged, name)
    before = recover(disk, f"kvraft/{name}")
    disk.truncate(segment, recover(disk, f"kvraft/{name}").index.frames[-1].offset)
    disk.sync(segment)
    judged.do("corrupt", name, MEMBER, 0, 1)
    disk.corrupt(MEMBER, 0, 1)  # it is whole again, and the disk is in doubt
    assert recover(disk, f"kvraft/{name}").last < before.last
    assert "it was synced through byte" in judged.doubt(name).refuse

    def forgetful(disk, owner, take=None):
        return recover(disk, owner, take=take)

    monkeypatch.setattr("kvraft.check.sweep.doubt.check_disk", forgetful)
    monkeypatch.setattr("kvraft.replica.recovery.check_disk", forgetful)
    assert "its manifest knows of a log through byte" in judged.doubt(name).refuse
    with pytest.raises(Violation, match=f"{name} starts on a disk of which it must see"):
        judged.do("restart", name)


@pytest.mark.parametrize("kind", ["misdirect", "go_stale", "corrupt"])
def test_damage_before_what_was_synced_must_be_seen(judged, monkeypatch, kind):
    name = follower(judged)
    if kind == "go_stale":
        judged.do("remember_disk", name)
    elif kind == "misdirect":
        judged.do("misdirect", name, 1, 5)
    place = judged.world.sim_disk(name).size(newest_segment(judged, name)[1]) + 9
    for number in range(4, 8):
        write(judged, number)
    disk, segment = newest_segment(judged, name)
    if kind == "go_stale":
        judged.do("go_stale", name, 64)
    elif kind == "corrupt":
        judged.do("corrupt", name, segment, place)
    judged.do("crash", name)
    assert disk.as_written()[segment] != disk.read(segment)
    assert isinstance(judged.run.perform("restart", name), Corruption)
    assert judged.doubt(name).refuse
    # A member that takes any damage for a torn end starts on what is left.
    monkeypatch.setattr("kvraft.disk.frame.check_torn", lambda *_, **__: None)
    assert "was synced through byte" in judged.doubt(name).refuse
    with pytest.raises(Violation, match="nothing is forgotten"):
        judged.do("restart", name)


def test_a_disk_that_lost_nothing_is_trusted_again(judged):
    name = follower(judged)
    judged.do("lie_about_syncs", name, 0)
    write(judged, 4)
    judged.do("crash", name)
    assert judged.lost == {name}
    judged.do("restart", name)
    assert not judged.lost
    assert not judged.world.sim_disk(name).spoilt


def test_a_manifest_that_lost_its_last_edits_is_in_doubt_though_the_log_is_whole():
    """A flush that a sync lied about is undone by a crash; the log need not have lost anything."""
    told = set()
    for seed in range(12):
        judged = begun(seed)
        name = follower(judged)
        replica = judged.world.replicas[name]
        judged.do("lie_about_syncs", name)
        judged.do("flush", name)
        judged.world.run_until(lambda replica=replica: replica.marks.flushed > 0)
        judged.do("crash", name)
        judged.do("repair_disk", name)
        disk, owner = judged.world.sim_disk(name), f"kvraft/{name}"
        if judged.doubt(name).refuse:
            continue
        went_back = load_manifest(disk, owner).flushed.index < replica.marks.flushed
        whole = recover(disk, owner).last.index == replica.wal.last_index
        told.add((went_back, whole))
        if went_back:
            assert judged.doubt(name).lost
    assert (True, True) in told
