"""A member whose disk forgot what it promised: it does not start, and comes back as another."""

from itertools import combinations
from random import Random

import pytest

from kvraft.check import WorldChecker
from kvraft.cli import main
from kvraft.disk import (
    ASIDE_PREFIX,
    MEMBER,
    RealDisk,
    claim_disk,
    is_segment,
    replacement_name,
    set_aside,
    table_number,
)
from kvraft.errors import BadInput, Corruption, ForeignFile, StateLost, TimedOut
from kvraft.events import MemberCrashed
from kvraft.raft import Configuration, Role
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import PowerCut, SimDisk, World
from kvraft.transaction import Stage

TINY = ReplicaOptions(memtable_bytes=1_500, segment_bytes=900, log_bytes=4_000)


def opened(disk, *, new, name="n1", voters=("n1",)):
    return Replica(
        name, Configuration(voters), disk, random=Random(1), incarnation=1, options=TINY, new=new
    )


def used(writes=40, seed=1, members=3):
    """A world that has written something, and a dict of it."""
    world = World(members, seed=seed, options=TINY)
    world.run_until(lambda: world.leader() is not None)
    client, wrote = world.client("c"), {}
    for n in range(writes):
        client.put(b"k%d" % (n % 17), b"%d" % n + b"v" * 40)
        wrote[b"k%d" % (n % 17)] = b"%d" % n + b"v" * 40
    world.settle()
    return world, wrote


# ── one disk ────────────────────────────────────────────────────────────────────────────────────


def test_only_a_new_member_begins_with_nothing_and_it_is_new_once():
    disk = SimDisk()
    with pytest.raises(StateLost, match=r"empty, though it has run before.*rebuild"):
        opened(disk, new=False)
    assert disk.names() == []
    opened(disk, new=True).close()
    with pytest.raises(StateLost, match="was started as new, but it has run before"):
        opened(disk, new=True)
    opened(disk, new=False).close()
    disk.wipe()
    with pytest.raises(StateLost, match="empty"):
        opened(disk, new=False)


def test_a_copy_is_refused_and_the_original_is_not():
    disk = SimDisk()
    opened(disk, new=True).close()
    for copy in (disk.backup(), disk.backup().backup()):
        with pytest.raises(StateLost, match="is a copy, and so maybe an old one"):
            opened(copy, new=False)
    opened(disk, new=False)


def test_files_of_the_system_are_told_from_their_copies(tmp_path):
    disk = RealDisk(tmp_path / "a")
    claim_disk(disk, "c/n1", new=True)
    disk.create("0000000000000001-0000000000000001.wal")
    claim_disk(disk, "c/n1", new=False)
    disk.close()
    moved = (tmp_path / "a").rename(tmp_path / "b")
    disk = RealDisk(moved)
    claim_disk(disk, "c/n1", new=False)
    twin = RealDisk(tmp_path / "copy")
    for name in disk.names():
        twin.create(name)
        twin.append(name, disk.read(name))
    with pytest.raises(StateLost, match="is a copy"):
        claim_disk(twin, "c/n1", new=False)
    with pytest.raises(ForeignFile, match=r"'c/n1', not of 'c/n2'"):
        claim_disk(disk, "c/n2", new=False)
    disk.close()
    twin.close()


def test_the_member_file_is_checked_to_the_last_bit():
    disk = SimDisk()
    opened(disk, new=True).close()
    whole = disk.read(MEMBER)
    for offset in range(len(whole)):
        for mask in (1, 0x80):
            disk.corrupt(MEMBER, offset, mask)
            with pytest.raises(Corruption, match=MEMBER):
                opened(disk, new=False)
            disk.corrupt(MEMBER, offset, mask)
    for size in range(len(whole)):
        twin = disk.copy()
        twin.truncate(MEMBER, size)
        with pytest.raises(Corruption, match=MEMBER):
            opened(twin, new=False)
    disk.remove(MEMBER)
    with pytest.raises(StateLost, match="its MEMBER file is gone"):
        opened(disk, new=False)


@pytest.mark.parametrize("seed", range(3))
def test_a_first_start_that_was_cut_short_can_be_made_again(seed):
    """Interrupted at each call: either it can be started again, or it has started."""
    for step in range(1, 100):
        disk = SimDisk()
        disk.fail_at(step, Random(seed))
        try:
            opened(disk, new=True)
        except PowerCut:
            disk.crash(Random(seed))
        else:
            break
        try:
            opened(disk, new=True)
        except StateLost as error:
            assert "start it as it is" in str(error)
            opened(disk, new=False)
    assert step > 10


def test_no_file_can_go_unnoticed_nor_any_of_the_newest():
    """Each single file, and each stretch of the newest segments: refused, or nothing is missing."""
    world, _ = used(20)
    name, away = (n for n in world.members if n != world.leader())
    world.crash(away)  # so that log is kept for it
    for n in range(40):
        world.client("c").put(b"k%d" % n, b"v" * 40)
    world.settle()
    world.crash(name)
    disk = world.disk(name)
    segments = [n for n in disk.names() if is_segment(n)]
    assert len(segments) >= 3
    assert any(table_number(n) for n in disk.names())
    whole, refused = opened(disk.copy(), new=False, name=name, voters=world.members), 0
    newest = [segments[-count:] for count in range(1, len(segments) + 1)]
    for gone in [[n] for n in disk.names()] + newest + list(combinations(segments, 2)):
        twin = disk.copy()
        for each in gone:
            twin.remove(each)
        try:
            again = opened(twin, new=False, name=name, voters=world.members)
        except (Corruption, StateLost):
            refused += 1
            continue
        # What went was in tables, and was kept for others only.
        assert again.marks.first <= again.marks.flushed + 1
        assert (again.marks.last, again.wal.hard_state) == (whole.marks.last, whole.wal.hard_state)
        assert dict(again.tree.scan()) == dict(whole.tree.scan())
        assert not any(each in segments[-2:] for each in gone)
    assert refused > len(segments)


def test_what_was_set_aside_is_kept_and_is_in_nobodys_way():
    disk = SimDisk()
    opened(disk, new=True).close()
    before = {name: disk.read(name) for name in disk.names()}
    aside = set_aside(disk)
    assert [disk.read(name) for name in aside] == list(before.values())
    opened(disk, new=True, name="n1.2").close()
    again = set_aside(disk)
    assert all(name.startswith(f"{ASIDE_PREFIX}2-") for name in again)
    assert set(aside) | set(again) == set(disk.names())
    opened(disk, new=True, name="n1.3").close()


@pytest.mark.parametrize("seed", range(2))
def test_the_power_may_go_at_any_step_of_a_rebuild(seed):
    """The operator goes on when it is back; the new member starts, at the second time at last."""
    for step in range(1, 100):
        world, _ = used(5, seed=seed)
        name = next(n for n in world.members if n != world.leader())
        world.crash(name)
        world.disk(name).wipe()
        world.disk(name).create("lost+found")
        world.disk(name).fail_at(step, Random(seed))
        heir = world.rebuild(name)
        _, *cuts = (crash.who for crash in world.trace.of(MemberCrashed))
        if not cuts:
            break
        if heir not in world.replicas:
            assert cuts == [heir]
            assert world.restart(heir)
        else:
            assert cuts == [name]
        world.disk(name).restore()
        world.replace(name, heir)
        assert heir in world.replicas
    assert step > 10


def test_names_count_on():
    assert [replacement_name(n) for n in ("n2", "n2.2", "n2.9", "a.b")] == [
        "n2.2",
        "n2.3",
        "n2.10",
        "a.b.2",
    ]


def test_the_command_sets_files_aside(tmp_path, capsys):
    disk = RealDisk(tmp_path / "n1")
    opened(disk, new=True).close()
    disk.close()
    main(["rebuild", str(tmp_path / "n1")])
    assert "must not return under its old name" in capsys.readouterr().out
    disk = RealDisk(tmp_path / "n1")
    opened(disk, new=True, name="n1.2").close()
    disk.close()


# ── a cluster ───────────────────────────────────────────────────────────────────────────────────


def wipe(disk):
    disk.wipe()


def rot(disk):
    first = next(n for n in disk.names() if is_segment(n))
    disk.corrupt(first, disk.size(first) // 2)


def lose_newest(disk):
    disk.remove([n for n in disk.names() if is_segment(n)][-1])


@pytest.mark.parametrize("harm", [wipe, rot, lose_newest])
@pytest.mark.parametrize("members", [3, 5])
def test_a_member_that_forgot_comes_back_as_another_and_votes_once_it_has_caught_up(harm, members):
    world, wrote = used(50, seed=members, members=members)
    checker = WorldChecker(world)
    name = next(n for n in world.members if n != world.leader())
    world.crash(name)
    harm(world.disk(name))
    with pytest.raises((Corruption, StateLost)):
        world.restart(name)
    heir = world.rebuild(name)
    assert heir == f"{name}.2"
    world.replace(name, heir)
    for n in range(30):
        world.client("c").put(b"later%d" % n, b"v")
        wrote[b"later%d" % n] = b"v"
        checker.check()
    world.settle()
    raft = world.replicas[heir].raft
    assert heir in raft.configuration.voters
    assert name not in raft.configuration.members
    assert {k: world.replicas[heir].tree.get(k) for k in wrote} == wrote
    world.crash(next(n for n in world.members if n in world.replicas and n != heir))
    assert world.client("c").put(b"k", b"its vote counts").stage is Stage.APPLIED


def test_an_old_copy_is_refused_even_if_it_is_sound():
    world, _ = used(10)
    name = next(n for n in world.members if n != world.leader())
    old = world.disk(name).backup()
    world.client("c").put(b"k", b"newer")
    world.settle()
    world.crash(name)
    world.seats[name].disk = old
    with pytest.raises(StateLost, match="copy"):
        world.restart(name)


def test_with_a_majority_forgotten_nothing_is_decided_and_nothing_is_lost_in_silence():
    world, wrote = used(40)
    fallen = [n for n in world.members if n != world.leader()]
    for name in fallen:
        world.crash(name)
        world.disk(name).wipe()
    for name in fallen:
        heir = world.rebuild(name)
        with pytest.raises(TimedOut):
            world.replace(name, heir, limit=2_000)
    ticket = world.client("c").submit({b"k0": b"x"}, timeout=2_000)
    world.run_until(lambda: ticket.done)
    assert ticket.stage is not Stage.APPLIED
    assert world.leader() is None
    survivor = next(n for n in world.members if n not in fallen and n in world.replicas)
    assert {k: world.replicas[survivor].tree.get(k) for k in wrote} == wrote


def test_why_a_member_that_forgot_must_not_go_on_as_if_nothing_had_happened():
    """Force it, and a write that was acknowledged is gone: two forgetful votes elect nothing."""
    world = World(3, seed=5, options=TINY)
    world.run_until(lambda: world.leader() is not None)
    leader = world.leader()
    keeps, forgets = (n for n in world.members if n != leader)
    world.crash(forgets)
    world.crash(keeps)
    world.restart(keeps)
    world.crash(keeps)
    world.restart(forgets)
    world.run_until(lambda: world.replicas[forgets].raft.leader == leader)
    client = world.client("c")
    assert client.put(b"k", b"acknowledged").stage is Stage.APPLIED  # by leader and forgets
    world.crash(forgets)
    world.disk(forgets).wipe()
    world.seats[forgets].new = True  # a lie: the rule is switched off
    world.crash(leader)
    world.restart(forgets)
    world.restart(keeps)
    world.run_until(lambda: world.leader() is not None)
    assert client.get(b"k") is None, "acknowledged, and gone"


def test_rebuilding_a_member_that_runs_is_refused():
    world, _ = used(1)
    with pytest.raises(BadInput, match="runs"):
        world.rebuild("n1")
    assert world.replicas["n1"].raft.role in Role


def test_a_member_is_rebuilt_once():
    """A second time would set aside the files of the new one, which runs on them."""
    world, _ = used(1)
    world.crash("n1")
    heir = world.rebuild("n1")
    with pytest.raises(BadInput, match=f"{heir} was started there already"):
        world.rebuild("n1")
    assert heir in world.replicas
