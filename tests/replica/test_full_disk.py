"""A full disk: nothing acknowledged is lost, reads go on; writes, too, once there is space."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from random import Random

import pytest

from kvraft.check import WorldChecker
from kvraft.check.history import TransactionChecker
from kvraft.errors import DiskFull, Stopped
from kvraft.events import DiskFilled, Event, SpaceRecovered
from kvraft.lsm import Tree, TreeOptions
from kvraft.raft import RequestVote
from kvraft.replica import ReplicaOptions
from kvraft.sim import SimDisk, World
from kvraft.store import Store
from kvraft.transaction import Read, Stage
from kvraft.wal import Durability

SMALL = TreeOptions(memtable_bytes=3000, block_bytes=256)


def used(disk: SimDisk) -> int:
    return sum(disk.size(name) for name in disk.names())


def open_store(disk: SimDisk, durability: Durability, report=None) -> Store:
    more = {} if report is None else {"report": report}
    return Store.open(disk, options=SMALL, durability=durability, segment_bytes=2000, **more)


@pytest.mark.parametrize("durability", Durability)
@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5, 6])
def test_fills_and_frees_at_random(seed, durability):
    random, disk, model = Random(seed), SimDisk(), {}
    store, refused, resumed, opened_full = open_store(disk, durability), 0, 0, 0
    was_refused = False
    for n in range(700):
        key, value = b"%03d" % random.randrange(90), b"%d" % n * random.randrange(1, 40)
        delete = random.random() < 0.3
        try:
            store.delete(key) if delete else store.put(key, value)
        except DiskFull as error:
            refused, was_refused = refused + 1, True
            assert error.errno == errno.ENOSPC
            assert "space" in str(error)
        else:
            resumed += was_refused
            was_refused = False
            model.pop(key, None) if delete else model.update({key: value})
        if n % 25 == 0:
            assert dict(store.scan()) == model, "reads go on"
        chance = random.random()
        if chance < 0.03:
            disk.capacity = used(disk) + random.choice((0, 30, 500, 3000))
        elif chance < 0.05:
            disk.capacity = None
        elif chance < 0.07:
            with contextlib.suppress(DiskFull):
                store.compact()
        elif chance < 0.09:
            if durability is Durability.SYNC:
                disk.crash(random)
            else:
                with contextlib.suppress(DiskFull):
                    store.sync()  # or what waits in the process would be gone, as it may
                if store.durable_index < store.wal.last_index:
                    continue
                disk.crash(random)
            if disk.capacity is not None:
                disk.capacity = min(disk.capacity, used(disk))
            store = open_store(disk, durability)
            opened_full += bool(store.lacks_space)
            assert dict(store.scan()) == model, "it opens, and nothing is lost"
    assert refused > 20
    assert resumed > 2
    disk.capacity = None
    store.put(b"last", b"one")
    store.compact()
    assert not store.lacks_space
    store.close()
    assert dict(open_store(disk, durability).scan()) == model | {b"last": b"one"}


def test_a_store_opens_on_a_full_disk_says_so_and_writes_again_by_itself():
    disk, events = SimDisk(), list[Event]()
    store = open_store(disk, Durability.SYNC)
    for n in range(100):
        store.put(b"%03d" % n, b"v" * 20)
    disk.crash(Random(1))
    disk.capacity = used(disk)
    before = {name: disk.read(name) for name in disk.names()}
    store = open_store(disk, Durability.SYNC, events.append)
    assert len(list(store.scan())) == 100
    assert "cannot be made durable: there is no space" in store.lacks_space
    assert any(isinstance(event, DiskFilled) for event in events)
    for write in (
        lambda: store.put(b"k", b"v"),
        lambda: store.delete(b"000"),
        lambda: store.delete_range(b"0"),
        store.sync,
        store.flush,
    ):
        with pytest.raises(DiskFull, match="there is no space"):
            write()
    assert store.get(b"000") == b"v" * 20
    store.close()
    assert {name: disk.read(name) for name in disk.names()} == before, "all is as it was"
    store = open_store(disk, Durability.SYNC, events.append)
    disk.capacity = None
    store.put(b"k", b"v")
    assert SpaceRecovered() in events
    assert not store.lacks_space
    store.compact()
    store.close()
    assert len(list(open_store(disk, Durability.SYNC).scan())) == 101


def test_a_tree_opens_on_a_full_disk_and_a_checkpoint_there_is_refused():
    disk, options = SimDisk(), SMALL
    tree = Tree.open(disk, options=options)
    for n in range(50):
        tree.put(b"%03d" % n, b"v" * 20)
    tree.flush()
    disk.capacity = used(disk)
    tree = Tree.open(disk, options=options)
    assert len(list(tree.scan())) == 50
    tree.put(b"k", b"v")
    with pytest.raises(DiskFull):
        tree.flush()
    target = SimDisk()
    target.capacity = 0
    disk.capacity = None
    with pytest.raises(DiskFull):
        tree.checkpoint(target)
    tree.flush()
    assert len(list(Tree.open(disk, options=options).scan())) == 51


@pytest.mark.parametrize("kind", ["sync", "append"])
def test_an_error_that_is_not_for_space_still_stops_the_store(kind):
    disk = SimDisk()
    store = open_store(disk, Durability.SYNC)
    store.put(b"a", b"1")
    disk.break_at(1, kinds=(kind,), error=errno.EIO if kind == "append" else errno.ENOSPC)
    with pytest.raises(OSError, match=r"error|space"):
        store.put(b"b", b"2")
    with pytest.raises(Stopped):
        store.put(b"b", b"2")
    assert store.get(b"a") == b"1"


# Without a reserve, a member meets the end of its disk only when it writes.
NO_RESERVE = ReplicaOptions(memtable_bytes=3000, segment_bytes=2000, reserve_bytes=0)


def elected(seed: int) -> World:
    world = World(3, seed=seed, options=NO_RESERVE)
    world.run_until(lambda: world.leader() is not None)
    return world


@pytest.mark.parametrize("seed", range(3))
def test_a_member_without_a_byte_left_falls_silent_and_comes_back_by_itself(seed):
    world = elected(seed)
    client = world.client("a")
    for n in range(20):
        client.put(b"%03d" % n, b"v")
    full = world.leader()
    world.disk(full).capacity = used(world.disk(full))
    for n in range(20, 40):
        assert client.put(b"%03d" % n, b"v").stage is Stage.APPLIED
    assert full in world.replicas, "it has not stopped"
    replica = world.replicas[full]
    assert "there is no space" in replica.waits_for_space
    assert world.leader() not in (None, full)
    replica.read(Read("a", full, 1, 1, b"000", stale=True))
    assert [reply.value for reply in replica.drain().replies] == [b"v"]
    world.disk(full).capacity = None
    world.run_for(3000)
    assert not replica.waits_for_space
    client.put(b"last", b"v")
    world.settle()
    assert [r.tree.get(b"last") for r in world.replicas.values()] == [b"v"] * 3
    assert [r.tree.get(b"039") for r in world.replicas.values()] == [b"v"] * 3


@pytest.mark.parametrize("seed", range(3))
def test_a_member_starts_on_a_full_disk_and_promises_nothing_until_there_is_space(seed):
    world = elected(seed)
    client = world.client("a")
    for n in range(20):
        client.put(b"%03d" % n, b"v")
    name = next(member for member in world.members if member != world.leader())
    world.crash(name)
    disk = world.disk(name)
    disk.capacity = used(disk)
    world.restart(name)
    for n in range(20, 30):
        assert client.put(b"%03d" % n, b"v").stage is Stage.APPLIED
    replica = world.replicas[name]
    assert "cannot be made durable" in replica.waits_for_space
    assert replica.marks.committed <= replica.marks.last < world.replicas[world.leader()].marks.last
    disk.capacity = None
    world.run_for(3000)
    world.settle()
    assert replica.tree.get(b"029") == b"v"


@pytest.mark.parametrize("seed", range(3))
def test_checkers_know_that_a_full_member_has_not_applied_what_it_could_not_save(seed):
    world = World(3, seed=seed, options=NO_RESERVE)
    checkers = (WorldChecker(world), TransactionChecker(world))
    world.network.loss = 0.2  # what is sent again brings entries and their commitment at once
    client = world.client("a")
    for full in world.members:  # whichever leads
        disk = world.disk(full)
        disk.capacity = used(disk)
        waited = False
        for n in range(15):
            client.submit({b"%03d" % n: b"v"})
        until = world.now + 1_500_000
        while world.now < until:
            world.step()
            waited |= bool(world.replicas[full].waits_for_space)
            for checker in checkers:
                checker.check()
        assert waited
        disk.capacity = None
        world.run_for(2_000)
    world.network.loss = 0.0
    world.settle()
    for checker in checkers:
        checker.check()


@pytest.mark.parametrize("seed", range(3))
def test_checkers_know_that_what_a_full_disk_did_not_take_may_be_forgotten(seed):
    """Seed 60370 of the swarm: a term and a vote that nobody heard of went back in a crash."""
    world = elected(seed)
    for n in range(20):
        world.client("a").put(b"%03d" % n, b"v")
    checker = WorldChecker(world)
    checker.check()
    leader = world.leader()
    full = next(member for member in world.members if member != leader)
    term, end = world.replicas[leader].raft.term + 3, world.replicas[full].raft.log.last_index
    disk, replica = world.disk(full), world.replicas[full]
    disk.capacity = used(disk)
    replica.receive(RequestVote(leader, full, term, end + 9, term - 1, transfer=True))
    sent = replica.drain().messages
    assert replica.raft.term == term
    assert not [message for message in sent if message.term == term], "nobody hears of it"
    checker.check()
    world.crash(full)
    disk.capacity = None
    world.restart(full)
    assert world.replicas[full].raft.term < term
    checker.check()
    for _ in range(500):
        world.step()
        checker.check()


def test_all_members_full_and_space_again():
    world = elected(7)
    client = world.client("a")
    client.put(b"a", b"1")
    for member in world.members:
        world.disk(member).capacity = used(world.disk(member))
    ticket = client.submit({b"b": b"2"}, timeout=20_000)
    world.run_for(3000)
    assert not ticket.done or ticket.stage is not Stage.APPLIED
    assert len(world.replicas) == 3
    for member in world.members:
        world.disk(member).capacity = None
    assert client.put(b"c", b"3").stage is Stage.APPLIED
    assert client.get(b"a") == b"1"


def test_a_real_file_system_that_is_full(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    try:
        ballast = place / "ballast"
        ballast.write_bytes(bytes(1_200_000))
        written = 0
        store = Store.open(place / "s")
        with contextlib.suppress(DiskFull):
            while True:
                store.put(b"%06d" % written, b"v" * 500)
                written += 1
        with contextlib.suppress(DiskFull):
            while True:  # down to the last byte
                store.delete(b"nothing")
        with pytest.raises(DiskFull):
            store.delete(b"nothing")
        assert sum(1 for _ in store.scan()) == written
        store._disk.close()  # the process was killed
        with Store.open(place / "s") as again:
            assert sum(1 for _ in again.scan()) == written
            assert again.lacks_space
        with Store.open(place / "s", read_only=True) as reader:
            assert sum(1 for _ in reader.scan()) == written
        with Store.open(place / "s") as again:
            with pytest.raises(DiskFull):
                again.put(b"k", b"v")
            ballast.unlink()
            again.put(b"k", b"v")
            again.flush()
            assert not again.lacks_space
        with Store.open(place / "s") as again:
            assert sum(1 for _ in again.scan()) == written + 1
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
