"""Verify: each damaged byte of each kind of file of a member is seen, or provably harmless."""

import pytest

from kvraft.disk import RealDisk
from kvraft.errors import Damage, Foreign, Forgotten
from kvraft.identity import claim
from kvraft.lsm import Tree
from kvraft.record import Entry, HardState, Kind, Position, Record, TxnId
from kvraft.tableinfo import table_name
from kvraft.verify import verify
from kvraft.wal import Wal

OWNER = "c/n1"


def entry(index):
    return Entry(1, index, Record(Kind.PUT, b"%d" % index, b"v", index, TxnId("c", 1, index), True))


@pytest.fixture
def member(tmp_path):
    """A member with MEMBER, two segments, two tables, and a manifest with an edit and its mark."""
    disk = RealDisk(tmp_path)
    claim(disk, OWNER, new=True)
    wal = Wal.open(disk, OWNER, segment_bytes=300)
    for index in range(1, 8):
        wal.save(HardState(1, "n1"), [entry(index)])
    wal.close()
    with Tree.open(disk, owner=OWNER) as tree:
        for index in (2, 4):
            tree.apply([(b"%d" % at, at, b"v") for at in (index - 1, index)], Position(index, 1))
            tree.flush()
    disk.close()
    verify(tmp_path)
    return tmp_path


def kinds(directory):
    names = sorted(path.name for path in directory.iterdir() if path.name != "LOCK")
    segments = [name for name in names if name.endswith(".wal")]
    return names, segments[-1]


def judged(directory):
    """Return what verify calls wrong, ``""`` for nothing, and whether it says an end is gone."""
    try:
        lines = verify(directory)
    except (Damage, Foreign, Forgotten) as error:
        return str(error), False
    return "", any("Torn" in line or "does not name" in line for line in lines)


def damaged(data, how, at):
    if how == "flip":
        return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
    return data[:at]


@pytest.mark.parametrize("how", ["flip", "shorten"])
def test_every_damaged_byte_is_seen_and_blamed_on_its_own_file(member, how):
    """Only the end of the manifest and of the newest segment may be a torn write: that is said."""
    names, newest = kinds(member)
    wrong = []
    for name in names:
        path = member / name
        data = path.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 60)):
            path.write_bytes(damaged(data, how, at))  # the same file: MEMBER knows its number
            said, torn = judged(member)
            if said and name not in said:
                wrong.append(f"{name} {at}: {said}")
            whole = how == "shorten" and name == newest  # at a frame's end: an older, sound log
            if not said and not torn and not whole:
                wrong.append(f"{name} {at}: nothing is said")
            if torn and name != newest and not name.startswith("MANIFEST"):
                wrong.append(f"{name} {at}: taken for torn")
        path.write_bytes(data)
    assert not wrong, "\n".join(wrong)


def test_every_file_that_is_missing_is_missed(member):
    names, _ = kinds(member)
    for name in names[1:]:  # the oldest segment may go: all of it is in tables
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
    with pytest.raises(Forgotten, match=r"MEMBER is missing: .*kvraft rebuild"):
        verify(member)
    (member / "other").rename(member / "MEMBER")
    with pytest.raises(Forgotten, match="is a copy"):
        verify(member)


def test_files_of_others_and_what_a_crash_leaves_are_told_apart(member):
    for name in ("aside-1-CURRENT", "snapshot.part", "CURRENT.tmp", "000099.sst"):
        (member / name).write_bytes(b"anything at all")
    (member / "notes.txt").write_text("mine")
    assert "Not kvraft's, and left alone: notes.txt." in verify(member)


def test_the_name_of_a_table_is_in_what_is_said_of_it(member):
    path = member / table_name(2)
    path.write_bytes(b"")
    with pytest.raises(Damage, match=path.name):
        verify(member)
