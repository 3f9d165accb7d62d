"""Repair: what is intact comes back, what is lost is named, and the store opens."""

import random
import re
from typing import NamedTuple

import pytest

from kvraft.disk import RealDisk, claim_disk, frame, is_segment
from kvraft.errors import BadInput, Corruption, StateLost
from kvraft.lsm import Tree, TreeOptions, load_manifest
from kvraft.lsm import TreeOptions as Options
from kvraft.record import Entry, HardState, Kind, Position, Record, TxnId, unpack_entries
from kvraft.sstable import LogRange, Table
from kvraft.store import OWNER, Store
from kvraft.tools import repair, verify
from kvraft.tools.repair import INTACT
from kvraft.wal import FrameKind, Wal, read_segment_header

SMALL = Options(memtable_bytes=2000, block_bytes=200)


def pairs(directory):
    with Store.open(directory) as store:
        return dict(store.scan())


def written(directory, seed, writes=400):
    """Return a directory with many tables and a log that was cut, and each key's every value."""
    chance = random.Random(seed)
    values = {}
    with Store.open(directory, options=SMALL, segment_bytes=1500) as store:
        for number in range(writes):
            key = b"%03d" % chance.randrange(120)
            if chance.random() < 0.15:
                store.delete(key)
                values.setdefault(key, []).append(None)
            else:
                value = b"%d-" % number + b"v" * chance.randrange(30)
                store.put(key, value)
                values.setdefault(key, []).append(value)
        while store.work():
            pass
        right = dict(store.scan())
    return right, values


def reaches(directory):
    disk = RealDisk(directory)
    with Tree.open(disk, owner="kvraft/store") as tree:
        found = [Table.open(disk, info).log_range for info in tree.tables]
    disk.close()
    return found


# ── what tables tell ────────────────────────────────────────────────────────────────────────────


def test_flushes_follow_on_and_a_compaction_has_the_hull(tmp_path):
    with Tree.open(tmp_path) as tree:
        for index in (3, 7, 9):
            tree.apply([(b"%d" % index, index, b"v")], Position(index, 2))
            tree.flush()
        disk = tree._disk
        found = [Table.open(disk, info).log_range for info in tree.tables]
        at = [Position(0, 0), Position(3, 2), Position(7, 2), Position(9, 2)]
        assert found == [LogRange(at[2], at[3]), LogRange(at[1], at[2]), LogRange(at[0], at[1])]
        tree.compact()
        assert [Table.open(disk, info).log_range for info in tree.tables] == [
            LogRange(at[0], at[3])
        ]


def test_the_manifest_lost_after_the_log_was_cut(tmp_path):
    """The tables alone tell through which entry they reach: the store opens, and has it all."""
    right, _ = written(tmp_path, seed=1)
    for path in [*tmp_path.glob("MANIFEST-*"), tmp_path / "CURRENT"]:
        path.unlink()
    said = repair(tmp_path)
    assert not any(line.startswith("LOST") for line in said)
    assert pairs(tmp_path) == right
    assert repair(tmp_path) == [INTACT]


# ── damage ──────────────────────────────────────────────────────────────────────────────────────


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def test_one_rotten_block_costs_its_own_keys_and_they_are_named(tmp_path):
    with Store.open(tmp_path, options=Options(block_bytes=200), segment_bytes=500) as store:
        for number in range(100):
            store.put(b"%03d" % number, b"v" * 20)
        store.flush()
        store.compact()
        name = f"{store.tables[0].number:06d}.sst"
    disk = RealDisk(tmp_path)
    table = Table.open(disk, int(name[:6]))
    block = table.load_block(3)
    lost = set(block.keys)
    before, last = table.last_keys[2], table.last_keys[3]
    offset = table.extent(3)[0]
    disk.close()
    flip(tmp_path / name, offset + 5)
    said = repair(tmp_path)
    assert f"LOST: the keys of {name} after {before.decode()} through {last.decode()}." in said
    found = pairs(tmp_path)
    assert set(found) >= {b"%03d" % n for n in range(100)} - lost
    assert (tmp_path / "lost" / name).exists()


@pytest.mark.parametrize("part", ["footer", "index", "properties", "filter", "first"])
def test_a_table_without_one_of_its_parts_yields_its_rows(tmp_path, part):
    with Tree.open(tmp_path, options=TreeOptions(block_bytes=200)) as tree:
        for number in range(100):
            tree.put(b"%03d" % number, b"v" * 20)
        tree.flush()
        [info] = tree.tables
    from kvraft.disk import table_name
    from kvraft.sstable import read_footer

    disk, name = RealDisk(tmp_path), table_name(info.number)
    bounds = read_footer(disk, name, info.size).layout
    disk.close()
    at = {"first": 3}.get(part)
    flip(tmp_path / name, getattr(bounds, part) + 3 if at is None else at)
    said = repair(tmp_path)
    with Tree.open(tmp_path) as tree:
        found = dict(tree.scan())
    assert len(found) == 100 if part != "first" else 80 < len(found) < 100
    assert (part == "first") == any(line.startswith("LOST") for line in said)


def test_a_rotten_frame_of_the_log_costs_its_own_entries(tmp_path):
    with Store.open(tmp_path) as store:
        for number in range(50):
            store.put(b"%03d" % number, b"v" * 20)
            store.sync()
    [segment] = tmp_path.glob("*.wal")
    size = segment.stat().st_size
    flip(segment, size // 2)
    with pytest.raises(Corruption):
        Store.open(tmp_path)
    said = repair(tmp_path)
    [named] = [line for line in said if line.startswith("LOST: log entries")]
    first, last = int(named.split()[3]), int(named.split()[5].rstrip(","))
    found = pairs(tmp_path)
    assert set(found) == {b"%03d" % n for n in range(50) if not first <= n + 1 <= last}
    assert last - first <= 1
    with Store.open(tmp_path) as store:
        store.put(b"new", b"v")
    assert pairs(tmp_path)[b"new"] == b"v"


class Place(NamedTuple):
    """Where a version of a key lies: ``start`` … ``end`` of ``file``; ``index`` in the log."""

    file: str
    start: int
    end: int
    key: bytes
    timestamp: int
    value: bytes | None
    index: int = 0


def places_of(directory):
    """Return every version that tables and log of an undamaged store hold, block by block."""
    disk = RealDisk(directory)
    found = []
    for info in load_manifest(disk, OWNER).tables:
        table = Table.open(disk, info)
        for at in range(table.blocks):
            offset, size = table.extent(at)
            for row in table.load_block(at).rows():
                found.append(Place(table.name, offset, offset + size, *row))
    for name in filter(is_segment, disk.names()):
        data = disk.read(name)
        seed, at = frame.checksum_seed(OWNER, name), read_segment_header(name, data)[1]
        while at < len(data):
            each = frame.decode(data, at, seed=seed)
            for entry in unpack_entries(each.payload) if each.kind == FrameKind.ENTRIES else ():
                put = entry.record
                value = put.value if put.kind is Kind.PUT else None
                found.append(Place(name, at, each.end, put.key, put.timestamp, value, entry.index))
            at = each.end
    disk.close()
    return found


class Hurt(NamedTuple):
    """What happens to a file: it is gone, ends at ``at``, or has a flipped byte there."""

    how: str
    at: int

    def spares(self, place):
        if self.how == "gone":
            return False
        return (
            place.end <= self.at if self.how == "ends" else not place.start <= self.at < place.end
        )


def hurt_some(directory, chance):
    """Damage two files and maybe the one that names the manifest; return what was done to which."""
    names = chance.sample(sorted(p.name for p in directory.iterdir() if p.name != "LOCK"), 2)
    if chance.random() < 0.5:
        names.append("CURRENT")
    done = {}
    for name in dict.fromkeys(names):
        path = directory / name
        hurt = Hurt(chance.choice(("gone", "ends", "flip")), chance.randrange(path.stat().st_size))
        if hurt.how == "gone":
            path.unlink()
        elif hurt.how == "ends":
            path.write_bytes(path.read_bytes()[: hurt.at])
        else:
            flip(path, hurt.at)
        done[name] = hurt
    return done


def names_it(line, place):
    """Return whether a sentence of repair says that what lay in ``place`` is lost."""
    if found := re.search(r"log entries (\d+) to (\d+)", line):
        return int(found[1]) <= place.timestamp <= int(found[2])  # of a store: also its index
    if found := re.search(r"all log entries after (\d+)", line):
        return place.timestamp > int(found[1])
    if found := re.search(
        r"the keys of (\S+) (?:after (\S+)|from the first one on) through (\S+)\.", line
    ):
        low, high = (found[2] or "").encode(), found[3].encode()
        return found[1] == place.file and low <= place.key <= high
    return place.file in line


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_damaged_all_that_is_intact_comes_back_and_all_that_is_lost_is_named(
    tmp_path, seed
):
    """What is intact is computed from the undamaged store, block by block and frame by frame."""
    chance = random.Random(seed)
    written(tmp_path, seed, writes=250)
    places = places_of(tmp_path)
    assert all(place.index in (0, place.timestamp) for place in places)
    hurt = hurt_some(tmp_path, chance)
    try:
        said = repair(tmp_path)
    except BadInput as error:
        assert "nothing here tells" in str(error)
        assert all(name in hurt for name in {place.file for place in places})
        return
    verify(tmp_path)
    lost = [line for line in said if line.startswith("LOST")]
    found = pairs(tmp_path)
    manifest_lost = any(name == "CURRENT" or name.startswith("MANIFEST") for name in hurt)
    intact, newest = {}, {}
    for place in places:
        if place.file not in hurt or hurt[place.file].spares(place):
            old = intact.get(place.key)
            intact[place.key] = place if old is None else max(old, place, key=lambda p: p.timestamp)
        elif not (manifest_lost and hurt[place.file].how == "gone" and not place.index):
            newest.setdefault((place.key, place.timestamp), []).append(place)
    expected = {key: place.value for key, place in intact.items() if place.value is not None}
    assert found == expected
    for (key, timestamp), gone in newest.items():
        if key not in intact or intact[key].timestamp < timestamp:
            assert any(names_it(line, each) for line in lost for each in gone), gone
    with Store.open(tmp_path) as store:
        store.put(b"after", b"repair")
        store.flush()
    verify(tmp_path)
    assert pairs(tmp_path) == found | {b"after": b"repair"}


# ── members ─────────────────────────────────────────────────────────────────────────────────────


def test_a_member_that_lost_anything_is_refused_and_its_copy_can_be_dumped(tmp_path):
    disk = RealDisk(tmp_path)
    claim_disk(disk, "c/n1", new=True)
    wal = Wal.open(disk, "c/n1")
    puts = [Record(Kind.PUT, b"%d" % at, b"v", at, TxnId("c", 1, at), True) for at in (1, 2)]
    entries = [Entry(1, at, put) for at, put in enumerate(puts, 1)]
    wal.save(HardState(1, "n1"), entries)
    wal.close()
    with Tree.open(disk, owner="c/n1") as tree:
        tree.apply([(b"1", 1, b"v"), (b"2", 2, b"v")], Position(2, 1))
        tree.flush()
    disk.close()
    assert repair(tmp_path) == [INTACT]
    (tmp_path / "CURRENT").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StateLost, match=r"kvraft rebuild.*without its MEMBER file can be repaired"):
        repair(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "MEMBER").unlink()
    assert "These were the files of c/n1: they can be dumped, never run again." in repair(tmp_path)
    from kvraft.tools import dump

    assert len(list(dump(tmp_path))) == 2
    disk = RealDisk(tmp_path)
    with pytest.raises(StateLost):
        claim_disk(disk, "c/n1", new=False)
    disk.close()
