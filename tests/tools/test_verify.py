"""Verify: each damaged byte of each kind of file of a member is seen, or provably harmless."""

import pytest

from kvraft.disk import RealDisk, claim_disk, frame, table_name
from kvraft.errors import Corruption, ForeignFile, StateLost
from kvraft.lsm import Tree, load_manifest
from kvraft.record import Entry, HardState, Kind, Position, Record, TxnId
from kvraft.store import Store
from kvraft.tools import verify
from kvraft.wal import Durability, Wal

OWNER = "c/n1"


def entry(index):
    return Entry(1, index, Record(Kind.PUT, b"%d" % index, b"v", index, TxnId("c", 1, index), True))


def a_member(directory, *, died=False):
    """Make a member with MEMBER, segments, two tables, and a manifest with edits and their marks.

    It was closed, or it ``died``: then it saved entries that the manifest does not know of.
    """
    disk = RealDisk(directory)
    claim_disk(disk, OWNER, new=True)
    wal = Wal.open(disk, OWNER, segment_bytes=800)
    tree = Tree.open(disk, owner=OWNER)
    tree.record_log_end(wal.synced_end)
    for index in range(1, 8):
        wal.save(HardState(1, "n1"), [entry(index)])
    for index in (2, 4):
        tree.apply([(b"%d" % at, at, b"v") for at in (index - 1, index)], Position(index, 1))
        tree.flush()
    if died:
        for index in range(8, 11):
            wal.save(HardState(1, "n1"), [entry(index)])
    else:
        wal.close()
        tree.close()
    disk.close()
    verify(directory)
    return directory


@pytest.fixture
def member(tmp_path):
    return a_member(tmp_path)


def kinds(directory):
    names = sorted(path.name for path in directory.iterdir() if path.name != "LOCK")
    segments = [name for name in names if name.endswith(".wal")]
    return names, segments[-1]


def judged(directory):
    """Return what verify calls wrong, ``""`` for nothing, and whether it says an end is gone."""
    try:
        lines = verify(directory)
    except (Corruption, ForeignFile, StateLost) as error:
        return str(error), False
    return "", any("Torn" in line or "does not name" in line for line in lines)


def damaged(data, how, at):
    if how == "flip":
        return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
    return data[:at]


def ends_of(path):
    """Return where the frames of a sound file end, decoded one by one, whatever they mean."""
    data, at, ends = path.read_bytes(), 0, []
    headers = [frame.checksum_seed("kvraft log segment"), frame.checksum_seed("MANIFEST")]
    seeds = [*headers, frame.checksum_seed(OWNER, path.name), frame.checksum_seed(path.name, OWNER)]
    while at < len(data):
        found = [frame.decode(data, at, seed=seed) for seed in seeds]
        at = next(each.end for each in found if isinstance(each, frame.Frame))
        ends.append(at)
    return ends


def state_of(directory):
    disk = RealDisk(directory)
    state = load_manifest(disk, OWNER)
    disk.close()
    return state


def harmless(member, newest, manifest):
    """Return where each file can end early without a word, for nothing can be known to be lost.

    That is the newest segment after any frame from where the manifest last heard that it was
    synced, and the manifest after any frame that leaves the same tables and the same mark.
    """
    state, data = state_of(member), (member / manifest).read_bytes()
    assert state.log.segment == int(newest.partition("-")[0], 16)
    fine = {newest: {end for end in ends_of(member / newest) if end >= state.log.size}}
    fine[manifest] = set()
    for end in ends_of(member / manifest)[1:]:
        (member / manifest).write_bytes(data[:end])
        said = state_of(member)
        if (said.tables, said.flushed) == (state.tables, state.flushed):
            fine[manifest].add(end)
    (member / manifest).write_bytes(data)
    return fine


@pytest.mark.parametrize("died", [False, True], ids=["closed", "died"])
@pytest.mark.parametrize("how", ["flip", "shorten"])
def test_every_damaged_byte_is_seen_and_blamed_on_its_own_file(tmp_path, how, died):
    """What a file lacks is missed, but for what nobody can know (``wal/segment.py``)."""
    member = a_member(tmp_path, died=died)
    names, newest = kinds(member)
    [manifest] = [name for name in names if name.startswith("MANIFEST")]
    fine = harmless(member, newest, manifest)
    sure = state_of(member).log.size
    assert (sure == (member / newest).stat().st_size) is not died
    wrong = []
    for name in names:
        path = member / name
        data, silent = path.read_bytes(), set()
        places = {*range(0, len(data), max(1, len(data) // 60)), *fine.get(name, ())}
        for at in sorted(places - {len(data)}):
            path.write_bytes(damaged(data, how, at))  # the same file: MEMBER knows its number
            said, torn = judged(member)
            if said and name not in said:
                wrong.append(f"{name} {at}: {said}")
            if torn and not (name == manifest or (name == newest and at >= sure)):
                wrong.append(f"{name} {at}: taken for torn")
            if not said and not torn:
                silent.add(at)
        path.write_bytes(data)
        expected = fine.get(name, set()) - {len(data)} if how == "shorten" else set()
        wrong += [f"{name} {at}: nothing is said" for at in sorted(silent - expected)]
        wrong += [f"{name} {at}: refused, but nothing is lost" for at in sorted(expected - silent)]
    assert not wrong, "\n".join(wrong)


def test_every_file_that_is_missing_is_missed(member):
    names, _ = kinds(member)
    for name in names:
        path = member / name
        kept = path.rename(member.parent / f"{member.name}-{name}")
        said, _ = judged(member)
        kept.rename(path)
        assert said, name
    assert judged(member) == ("", False)


def test_a_member_without_its_member_file_and_a_copy_are_told(member):
    data = (member / "MEMBER").read_bytes()
    (member / "other").write_bytes(data)  # another number on the file system
    (member / "MEMBER").unlink()
    with pytest.raises(StateLost, match=r"MEMBER is missing: .*kvraft rebuild"):
        verify(member)
    (member / "other").rename(member / "MEMBER")
    with pytest.raises(StateLost, match="is a copy"):
        verify(member)


def test_files_of_others_and_what_a_crash_leaves_are_told_apart(member):
    for name in ("aside-1-CURRENT", "snapshot.part", "CURRENT.tmp", "000099.sst"):
        (member / name).write_bytes(b"anything at all")
    (member / "notes.txt").write_text("mine")
    assert "Not kvraft's, and left alone: notes.txt." in verify(member)


def test_the_name_of_a_table_is_in_what_is_said_of_it(member):
    path = member / table_name(2)
    path.write_bytes(b"")
    with pytest.raises(Corruption, match=path.name):
        verify(member)


def test_what_may_not_be_durable_is_said_and_only_then(tmp_path):
    def said():
        return [line for line in verify(tmp_path) if "known to be durable" in line]

    store = Store.open(tmp_path, durability=Durability.OS)
    for number in range(3):
        store.put(b"%d" % number, b"v")
    end = "not known to be durable: a loss of power now could still take what is newest."
    assert said() == [f"Log entries 1 to 3 are {end}"]
    store.sync()  # only what is written next vouches for it
    store.put(b"more", b"v")
    assert said() == [f"Log entry 4 is {end}"]
    store.flush()
    assert said() == []
    store.put(b"last", b"v")
    store.close()
    assert said() == []
