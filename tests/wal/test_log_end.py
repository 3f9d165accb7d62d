"""How much of a log that became shorter is noticed: all that the manifest knew to be synced."""

from __future__ import annotations

from random import Random

import pytest

from kvraft.disk import frame, is_segment
from kvraft.errors import Corruption, ForeignFile
from kvraft.lsm import TreeOptions, load_manifest
from kvraft.raft import Configuration
from kvraft.replica import Replica
from kvraft.sim import SimDisk
from kvraft.store import OWNER, Store
from kvraft.wal import Durability, read_segment_header

OPTIONS = TreeOptions(memtable_bytes=1 << 20)


def open_store(disk: SimDisk, durability: Durability = Durability.SYNC) -> Store:
    return Store.open(disk, options=OPTIONS, durability=durability, segment_bytes=1000)


def fill(store: Store, first: int, last: int) -> None:
    for n in range(first, last):
        store.put(b"%03d" % n, b"v" * 20)


def newest(disk: SimDisk) -> str:
    return max(name for name in disk.names() if is_segment(name))


def frame_starts(disk: SimDisk, owner: str = OWNER) -> list[int]:
    """Where each frame of the newest segment begins, after its header."""
    name = newest(disk)
    data = disk.read(name)
    found = frame.scan(
        data,
        name=name,
        seed=frame.checksum_seed(owner, name),
        start=read_segment_header(name, data)[1],
    )
    return [each.offset for each in found.frames]


def shortened(disk: SimDisk, size: int) -> SimDisk:
    other = disk.backup()
    other.truncate(newest(other), size)
    return other


def damaged(disk: SimDisk, offsets: list[int]) -> SimDisk:
    other = disk.backup()
    for offset in offsets:
        other.corrupt(newest(other), offset + 26)
    return other


def is_refused(disk: SimDisk) -> None:
    with pytest.raises(
        Corruption, match=r"\.wal, offset \d+: the log ends here, but it was synced"
    ):
        open_store(disk)


def test_a_log_that_was_closed_is_refused_wherever_it_is_cut():
    disk = SimDisk()
    with open_store(disk) as store:
        fill(store, 0, 12)
    starts = frame_starts(disk)
    assert len(starts) > 3
    for start in starts:  # the first is the mark of the close alone, then one save more each time
        is_refused(shortened(disk, start))
    is_refused(damaged(disk, [start - 6 for start in starts[-4:]]))


def test_what_was_found_at_an_opening_is_known_at_the_next():
    disk = SimDisk()
    fill(open_store(disk), 0, 12)
    disk.crash(Random(1))
    open_store(disk)
    disk.crash(Random(2))
    for start in frame_starts(disk):
        is_refused(shortened(disk, start))
    is_refused(damaged(disk, frame_starts(disk)[-3:]))


def test_what_was_synced_before_a_flush_is_known_after_it():
    disk = SimDisk()
    store = open_store(disk)
    fill(store, 0, 12)
    store.flush()
    fill(store, 12, 14)
    disk.crash(Random(1))
    known = load_manifest(disk, OWNER).log.size
    starts = frame_starts(disk)
    assert starts[-2] == known
    for start in starts:
        if start < known:
            with pytest.raises(Corruption):
                open_store(shortened(disk, start))
        else:  # of what came later nobody knows but the log itself
            assert len(list(open_store(shortened(disk, start)).scan())) in (12, 13)


@pytest.mark.parametrize("durability", Durability)
def test_no_crash_is_taken_for_a_loss(durability):
    for seed in range(60):
        random, disk = Random(seed), SimDisk()
        store, n = open_store(disk, durability), 0
        for _ in range(random.randrange(1, 60)):
            fill(store, n, n + 1)
            n += 1
            if random.random() < 0.1:
                random.choice((store.flush, store.sync, store.compact))()
            if random.random() < 0.05:
                store.close()
                store = open_store(disk, durability)
            elif random.random() < 0.05:
                disk.crash(random)
                store = open_store(disk, durability)
                n = len(list(store.scan()))
        disk.crash(random)
        with open_store(disk, durability) as store:
            assert len(list(store.scan())) <= n


def test_a_member_refuses_a_log_that_became_shorter():
    disk = SimDisk()

    def start(*, new: bool) -> Replica:
        return Replica(
            "n1", Configuration(["n1"]), disk, random=Random(1), new=new, incarnation=2 - new
        )

    replica = start(new=True)
    for _ in range(100):
        replica.tick()
        replica.drain()
    replica.close()
    starts = frame_starts(disk, "kvraft/n1")
    disk.truncate(newest(disk), starts[-2])
    with pytest.raises(Corruption, match="the log ends here, but it was synced"):
        start(new=False)


def test_a_checkpoint_knows_nothing_of_the_log_that_it_was_made_from():
    disk, target = SimDisk(), SimDisk()
    with open_store(disk) as store:
        fill(store, 0, 40)
        store.checkpoint(target)
    assert len(list(open_store(target).scan())) == 40


def test_a_manifest_of_the_format_before_is_refused_and_says_how_to_move(monkeypatch):
    disk = SimDisk()
    monkeypatch.setattr("kvraft.lsm.manifest.FORMAT", 1)
    open_store(disk).close()
    monkeypatch.undo()
    with pytest.raises(ForeignFile, match=r"format 1.*dump"):
        open_store(disk)
