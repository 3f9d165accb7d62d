"""The manifest: changes are atomic and durable, and what is missing is said, never made up."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.disk import CURRENT, frame
from kvraft.errors import BadInput, Corruption, ForeignFile, KvraftError
from kvraft.events import TailTruncated
from kvraft.lsm import Manifest, ManifestState, load_manifest, manifest
from kvraft.lsm.version_edit import VersionEdit, encode_edit
from kvraft.record import Position
from kvraft.sim import PowerCut, SimDisk
from kvraft.sstable import TableMetadata

ME = "cluster/me"


def info(number, key=b"k\xff"):
    return TableMetadata(number, 0, 5, 5, 1, 0, 700, b"", key, 3, 1 << 63, 0xC0FFEE)


def flush(man, index, key=b"k\xff"):
    """Commit what a flush would: one new table, through log index ``index``."""
    number = man.new_file_number()
    return man.commit(
        VersionEdit((info(number, key),), flushed=Position(index, 1), timestamp=index)
    )


def seen(state):
    """What a reader of a state cares for: all but the file number."""
    return state.tables, state.flushed, state.timestamp, state.horizon, state.installed


def live(disk):
    return disk.read(CURRENT).decode().strip()


# ── edits ───────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.sampled_from(["flush", "no-op", "merge", "install", "reopen"]), max_size=25),
    st.sampled_from([600, 1 << 20]),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_what_was_committed_is_what_is_read(steps, roll_bytes):
    disk, used, model = SimDisk(), set(), ((), Position(0, 0), 0, 0, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "ROLL_BYTES", roll_bytes)
        patch.setattr(manifest, "ROLL_FACTOR", 0)
        man = Manifest.open(disk, ME)
        for index, step in enumerate(steps, 1):
            tables, flushed, timestamp, horizon, installed = model
            if step == "reopen":
                man = Manifest.open(disk, ME)
            elif step == "no-op":
                flushed, installed = Position(index, 2), False
                man.commit(VersionEdit(flushed=flushed))
            elif step == "flush":
                number = man.new_file_number()
                flushed, timestamp, installed = Position(index, 2), index, False
                man.commit(VersionEdit((info(number),), flushed=flushed, timestamp=timestamp))
                tables = (info(number), *tables)
            elif step == "install":
                number, old = man.new_file_number(), tuple(table.number for table in tables)
                flushed, timestamp, installed = Position(index, 2), index, True
                edit = VersionEdit((info(number),), old, flushed, timestamp, installed=installed)
                man.commit(edit)
                tables = (info(number),)
            elif len(tables) > 1:
                number = man.new_file_number()
                gone, horizon = tuple(t.number for t in tables[1:]), index
                man.commit(VersionEdit((info(number),), remove=gone, horizon=horizon))
                tables = (info(number), tables[0])
            model = (tables, flushed, timestamp, horizon, installed)
            assert seen(man.state) == seen(load_manifest(disk, ME)) == model
            assert [name for name in disk.names() if name.startswith("MANIFEST")] == [live(disk)]
            newest = max([0, *(table.number for table in tables)], default=0)
            assert man.state.next_file > max(newest, int(live(disk)[9:]))
            used |= {table.number for table in tables}
            assert int(live(disk)[9:]) not in used


def test_a_number_is_given_once_whatever_happens():
    disk = SimDisk()
    man = Manifest.open(disk, ME)
    given_out = [man.new_file_number(), man.new_file_number()]
    disk.create("000040.sst")  # left by a flush that the manifest never heard of
    disk.create("MANIFEST-000050")
    man = Manifest.open(disk, ME)
    assert man.new_file_number() > int(live(disk)[9:]) > 50 > max(given_out)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (VersionEdit(remove=(77,)), r"removes tables \(77,\)"),
        (VersionEdit(add=(info(2),)), "their numbers are not new"),  # live already
        (VersionEdit(add=(info(3), info(3))), "their numbers are not new"),
        (VersionEdit(add=(info(99),)), "their numbers are not new"),  # never given out
    ],
)
def test_an_edit_that_does_not_fit_changes_nothing(edit, says):
    disk = SimDisk()
    man = Manifest.open(disk, ME)
    state = flush(man, 1)
    man.new_file_number()
    before = disk.operations
    with pytest.raises(BadInput, match=says):
        man.commit(edit)
    assert (man.state, disk.operations) == (state, before)


def test_a_table_that_is_removed_and_added_moves():
    disk = SimDisk()
    man = Manifest.open(disk, ME)
    flush(man, 1)
    (one,) = flush(man, 2).tables[:1]
    lower = replace(one, level=2)
    state = man.commit(VersionEdit((lower,), remove=(one.number,)))
    assert [(table.number, table.level) for table in state.tables] == [(2, 0), (3, 2)]
    assert load_manifest(disk, ME) == state


def test_tables_are_told_in_the_order_in_which_they_are_read():
    man = Manifest.open(SimDisk(), ME)
    made = [man.new_file_number() for _ in range(6)]
    places = [(0, 5), (1, 9), (0, 7), (2, 1), (1, 3), (0, 7)]  # level, and newest timestamp
    tables = [
        replace(info(number, b"%d" % (9 - number)), level=level, max_timestamp=newest,
                start=b"%d" % (8 - number))
        for number, (level, newest) in zip(made, places, strict=True)
    ]  # fmt: skip
    state = man.commit(VersionEdit(tuple(tables)))
    assert [table.number for table in state.tables] == [made[n] for n in (5, 2, 0, 4, 1, 3)]


def test_marks_never_go_back():
    man = Manifest.open(SimDisk(), ME)
    flush(man, 9)
    man.commit(VersionEdit(flushed=Position(1, 1), horizon=4))
    man.commit(VersionEdit(flushed=Position(5, 1), timestamp=5, horizon=3))
    assert (man.state.flushed, man.state.timestamp, man.state.horizon) == (Position(9, 1), 9, 4)


def test_load_writes_nothing():
    disk = SimDisk()
    assert load_manifest(disk, ME) == ManifestState()
    man = Manifest.open(disk, ME)
    flush(man, 1)
    before = disk.operations
    assert load_manifest(disk, ME) == man.state
    assert disk.operations == before


# ── crashes ─────────────────────────────────────────────────────────────────────────────────────


def life(disk, done):
    """Open twice and commit in between, with a roll on the way; tell ``done`` each new state."""
    man = Manifest.open(disk, ME)
    done(seen(man.state))
    for index in (1, 2, 3):
        done(seen(flush(man, index)))
    man = Manifest.open(disk, ME)
    done(seen(flush(man, 4)))


def test_a_power_cut_at_any_step_leaves_the_state_before_or_after(monkeypatch):
    monkeypatch.setattr(manifest, "ROLL_BYTES", 1000)
    monkeypatch.setattr(manifest, "ROLL_FACTOR", 0)
    disk, history = SimDisk(), []
    life(disk, history.append)
    for step in range(1, disk.operations + 1):
        for seed in range(12):
            disk, random, done = SimDisk(), Random(f"{step} {seed}"), []
            disk.fail_at(step, random)
            with pytest.raises(PowerCut):
                life(disk, done.append)
            disk.crash(random)
            found = load_manifest(disk, ME)
            assert len(history) >= len(done)
            # Numbers may differ from the undisturbed life in nothing: it is the same life so far.
            assert seen(found) in (history[max(len(done) - 1, 0)], history[len(done)])
            # A manifest that the crash brought back says the same, should CURRENT ever name it.
            for name in disk.names():
                if CURRENT in disk.names() and name.startswith("MANIFEST") and name < live(disk):
                    assert seen(manifest._read(disk, name, ME)[0]) == seen(found)
            # Power goes again while it opens, and once more; then it opens.
            for again in (random.randint(1, 9), random.randint(1, 9)):
                disk.fail_at(again, random)
                try:
                    Manifest.open(disk, ME)
                except PowerCut:
                    disk.crash(random)
                disk.restore()
                assert seen(load_manifest(disk, ME)) == seen(found)
            man = Manifest.open(disk, ME)
            assert seen(man.state) == seen(found)
            after = flush(man, 9)
            disk.crash(random)
            assert seen(load_manifest(disk, ME)) == seen(after)


class Recorder(SimDisk):
    """A disk that writes down what is done to it."""

    def __init__(self):
        super().__init__()
        self.done = []

    def append(self, name, data):
        self.done.append(f"append {name}")
        super().append(name, data)

    def sync(self, name):
        self.done.append(f"sync {name}")
        super().sync(name)

    def sync_dir(self):
        self.done.append("sync_dir")
        super().sync_dir()

    def rename(self, old, new):
        self.done.append(f"rename {new}")
        super().rename(old, new)

    def remove(self, name):
        self.done.append(f"remove {name}")
        super().remove(name)


def test_the_order_of_a_switch_trusts_no_disk_to_keep_the_order_of_its_directory():
    disk = Recorder()
    man = Manifest.open(disk, ME)
    disk.done.clear()
    man = Manifest.open(disk, ME)
    man.commit(VersionEdit(flushed=Position(1, 1)))
    new = "MANIFEST-000002"
    assert disk.done == [
        f"append {new}",
        f"sync {new}",
        "sync_dir",
        "append CURRENT.tmp",
        "sync CURRENT.tmp",
        "rename CURRENT",
        "sync_dir",
        "remove MANIFEST-000001",
        "sync_dir",
        f"append {new}",
        f"sync {new}",
        f"append {new}",  # the mark
    ]


class Unsound(SimDisk):
    """A disk whose next sync fails, although the bytes land."""

    failing = False

    def sync(self, name):
        super().sync(name)
        if self.failing:
            self.failing = False
            raise OSError(5, "Input/output error")


def test_an_edit_whose_sync_failed_but_landed_is_there_for_good_or_not_at_all():
    disk = Unsound()
    man = Manifest.open(disk, ME)
    before = flush(man, 1)
    disk.failing = True
    with pytest.raises(OSError, match="Input/output"):
        flush(man, 2)
    assert man.state == before
    found = load_manifest(disk, ME)
    assert found.flushed.index in (1, 2)
    man = Manifest.open(disk, ME)
    flush(man, 3)
    disk.crash(Random(1))
    tables = load_manifest(disk, ME).tables
    assert tables[1:] == found.tables
    assert len({table.number for table in tables}) == len(tables)


# ── damage ──────────────────────────────────────────────────────────────────────────────────────


def test_a_flip_of_any_byte_is_found_unless_it_changes_nothing():
    disk = SimDisk()
    man = Manifest.open(disk, ME)
    states = [flush(man, index) for index in (1, 2)]
    name = live(disk)
    mark = disk.size(name) - frame.FRAME_OVERHEAD  # the last frame vouches for all before it
    for offset in range(disk.size(name)):
        for mask in (0x01, 0x80, 0xFF):
            disk.corrupt(name, offset, mask)
            if offset < mark:
                with pytest.raises(Corruption) as found:
                    load_manifest(disk, ME)
                assert (found.value.file, found.value.offset <= offset) == (name, True)
            else:
                assert load_manifest(disk, ME) == states[-1]
            disk.corrupt(name, offset, mask)
    for offset in range(disk.size(CURRENT)):
        for mask in (0x01, 0x80, 0xFF):
            disk.corrupt(CURRENT, offset, mask)
            with pytest.raises(Corruption, match=CURRENT):
                load_manifest(disk, ME)
            disk.corrupt(CURRENT, offset, mask)
    assert load_manifest(disk, ME) == states[-1]


def test_a_cut_at_any_byte_leaves_a_state_that_once_held():
    disk = SimDisk()
    man = Manifest.open(disk, ME)
    name, start = live(disk), disk.size(live(disk))
    states = [man.state, flush(man, 1), flush(man, 2)]
    ends = []
    data, at = disk.read(name), start
    while at < len(data):
        at = frame.decode(data, at, seed=frame.checksum_seed(name, ME)).end
        ends.append(at)
    edit_1, mark_1, edit_2, mark_2 = ends
    for size in range(len(data)):
        disk.truncate(name, size)
        if size < start:
            with pytest.raises(Corruption):
                load_manifest(disk, ME)
        else:
            torn = []
            found = load_manifest(disk, ME)
            assert found == states[(size >= edit_1) + (size >= edit_2)]
            opened = disk.copy()
            assert seen(Manifest.open(opened, ME, torn.append).state) == seen(found)
            whole = max(end for end in (start, *ends) if end <= size)
            expected = [TailTruncated(name, whole, size - whole)] if size > whole else []
            assert torn == expected
        disk.truncate(name, 0)
        disk.append(name, data)
    assert mark_1 < edit_2 < mark_2 == len(data)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "but is empty"),
        (b"MANIFEST-000001", "but holds b'MANIFEST-000001'"),  # no newline
        (b"MANIFEST-1\n", "but holds"),
        (b"\xff\xfe\n", "but holds"),
        (b"000002.sst\n", "but holds"),
        (b"MANIFEST-000001\nMANIFEST-000001\n", "but holds"),
        (b"MANIFEST-000009\n", "names MANIFEST-000009, which does not exist"),
    ],
)
def test_a_current_that_names_nothing_is_damage(line, says):
    disk = SimDisk()
    flush(Manifest.open(disk, ME), 1)
    disk.truncate(CURRENT, 0)
    disk.append(CURRENT, line)
    for look in (load_manifest, Manifest.open):
        with pytest.raises(Corruption, match=f"CURRENT, offset 0: .*{says}"):
            look(disk, ME)


def test_a_lost_current_is_never_an_empty_tree():
    disk = SimDisk()
    Manifest.open(disk, ME).commit(VersionEdit(flushed=Position(1, 1)))
    for number in (1, 2):  # with an edit; then opened anew, as short as a first one
        lost = disk.copy()
        lost.remove(CURRENT)
        with pytest.raises(
            Corruption, match=f"is missing, although there is MANIFEST-00000{number}"
        ):
            Manifest.open(lost, ME)
        Manifest.open(disk, ME)
    disk = SimDisk()
    disk.create("000003.sst")
    with pytest.raises(Corruption, match=r"is missing, although there is 000003\.sst"):
        Manifest.open(disk, ME)


def test_other_owners_and_other_formats_are_foreign():
    disk = SimDisk()
    Manifest.open(disk, ME)
    name = live(disk)
    with pytest.raises(ForeignFile, match=f"{name} belongs to 'cluster/me', not to 'cluster/you'"):
        load_manifest(disk, "cluster/you")
    header = json.dumps({"format": 4, "owner": ME}).encode()
    disk.truncate(name, 0)
    disk.append(name, frame.encode(1, header, synced=0, seed=manifest.HEADER_SEED, offset=0))
    with pytest.raises(ForeignFile, match=f"{name} has format 4"):
        load_manifest(disk, ME)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False) | st.text("ab"),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
FIELDS = ["add", "remove", "flushed", "timestamp", "horizon", "installed", "next_file"]
FIELDS += TableMetadata.__slots__


@given(st.sampled_from(FIELDS), st.none() | json_values)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_nonsense_with_a_sound_checksum_is_damage_or_foreign(field, value):
    table = json.loads(encode_edit(VersionEdit((info(2),)), 3))["add"][0]
    whole = {"add": [table], "remove": [], "flushed": [1, 1], "timestamp": 1, "next_file": 3}
    whole |= {"installed": False, "horizon": 0}
    target = table if field in table else whole
    if value is None:
        del target[field]
    else:
        target[field] = value
    disk = SimDisk()
    Manifest.open(disk, ME)
    name = live(disk)
    payload = json.dumps(whole).encode()
    seed = frame.checksum_seed(name, ME)
    at = disk.size(name)
    disk.append(name, frame.encode(2, payload, synced=0, seed=seed, offset=at))
    try:
        state = load_manifest(disk, ME)
    except KvraftError as error:
        assert name in str(error)
    else:
        assert all(type(table.rows) is int for table in state.tables)
    for kind, payload in ((2, b"[]"), (2, b"\xff"), (3, b"x"), (9, b"")):
        other = SimDisk()
        Manifest.open(other, ME)
        at = other.size(name)
        other.append(name, frame.encode(kind, payload, synced=0, seed=seed, offset=at))
        with pytest.raises(Corruption, match=name):
            load_manifest(other, ME)


def test_a_manifest_and_its_work_stay_in_proportion_to_the_state(monkeypatch):
    monkeypatch.setattr(manifest, "ROLL_BYTES", 2_000)
    disk = SimDisk()
    man = Manifest.open(disk, ME)
    numbers = [man.new_file_number() for _ in range(20)]
    man.commit(VersionEdit(tuple(info(number) for number in numbers)))
    man.rewrite()
    whole = disk.size(live(disk))
    names, most = set(), 0
    for _ in range(1_000):
        number = man.new_file_number()
        man.commit(VersionEdit((info(number),), remove=(numbers.pop(0),)))
        numbers.append(number)
        names.add(live(disk))
        most = max(most, disk.size(live(disk)))
    edit = disk.size(live(disk)) // 10
    assert 4 * whole < most < 9 * whole + edit
    assert 2 <= len(names) <= 1_000 * 400 // (6 * whole)
