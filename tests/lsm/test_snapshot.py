"""Snapshots: what one member flushed is what another has, to the last byte, whenever it crashes."""

import errno
import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft.disk import RealDisk, claim_disk, frame
from kvraft.errors import BadInput, Corruption, ForeignFile, KvraftError, Stopped
from kvraft.events import SnapshotInstalled, TableWritten
from kvraft.log_and_tree import check_disk
from kvraft.lsm import Tree, load_manifest, snapshot, unpack_snapshot
from kvraft.lsm.snapshot import STREAM, InMemorySource
from kvraft.record import ORIGIN, Entry, HardState, Kind, Position, Record, TxnId, Version
from kvraft.sim import PowerCut, SimDisk
from kvraft.tools.verify import verify_disk
from kvraft.wal import Wal

KEYS = [b"", b"\x00", b"a", b"ab", b"b", b"\xff"]


def put(tree, rows, position):
    tree.apply([(key, *version) for key, version in rows], position)


def flush_oldest(tree):
    waiting = tree.immutable_memtables
    while waiting and tree.immutable_memtables == waiting:
        tree.work()


def put_in(model, rows):
    for key, version in rows:
        if key not in model or model[key].timestamp <= version.timestamp:
            model[key] = version


def model_of(log, position):
    """Return what a tree that applied ``log`` through ``position`` holds, tombstones and all."""
    model = {}
    for rows, at in log:
        if at <= position:
            put_in(model, rows)
    return model


def live(model):
    return [(key, v.value) for key, v in sorted(model.items()) if v.value is not None]


def stream(tree):
    data = tree.snapshot()
    return data.read(0, data.size)


def sst(disk):
    return sorted(name for name in disk.names() if name.endswith(".sst"))


def check(tree, disk, log):
    """A tree says what its log says through the applied mark, and keeps no dead table."""
    model = model_of(log, tree.applied)
    assert list(tree.scan()) == live(model)
    for key in KEYS:
        assert tree.version(key) == model.get(key)
    assert tree.timestamp == max((v.timestamp for v in model.values()), default=0)
    tree.verify()


# ── two trees and one log ───────────────────────────────────────────────────────────────────────


class Member:
    """A tree with an owner and numbers of its own, on its way along the log that all share."""

    def __init__(self, owner, numbers):
        self.disk, self.owner = SimDisk(), owner
        for _ in range(numbers):  # every open takes a number: nothing is called the same
            self.tree = Tree.open(self.disk, owner=owner)

    def apply(self, log, count):
        for rows, position in log:
            if position > self.tree.applied and count:
                put(self.tree, rows, position)
                count -= 1

    def slices(self, number):
        for _ in range(number):
            if self.tree.immutable_memtables:
                self.tree.work()

    def flush(self):
        flush_oldest(self.tree)

    def reopen(self):
        state = load_manifest(self.disk, self.owner)
        self.tree = Tree.open(self.disk, owner=self.owner)
        assert self.tree.applied == self.tree.flushed == state.flushed
        assert set(sst(self.disk)) == {f"{t.number:06d}.sst" for t in self.tree.tables}

    def install_from(self, sender, log):
        flushed, applied, operations = sender.tree.flushed, self.tree.applied, self.disk.operations
        data = stream(sender.tree)
        if flushed.index <= applied.index:
            with pytest.raises(BadInput, match="holds nothing new"):
                self.tree.install(data)
            assert (self.tree.applied, self.disk.operations) == (applied, operations)
            return
        self.tree.install(data)
        mine, theirs = self.tree, sender.tree
        assert mine.applied == mine.flushed == flushed
        assert (mine.immutable_memtables, mine.memtable_rows) == (0, 0)
        assert load_manifest(self.disk, self.owner).installed
        assert [replace(t, number=0) for t in mine.tables] == [
            replace(t, number=0) for t in theirs.tables
        ]
        assert set(sst(self.disk)) == {f"{t.number:06d}.sst" for t in mine.tables}
        for name, other in zip(
            sst(self.disk), sorted(t.number for t in theirs.tables), strict=True
        ):
            assert self.disk.read(name) == sender.disk.read(f"{other:06d}.sst")
        assert not mine.has_work or mine.options.strategy.pick(mine.tables)
        check(mine, self.disk, log)


def make_log(transactions):
    """Return transactions with positions; stamps ascend as in a log."""
    log, index, stamp = [], 0, 1
    for rows, gap, tick in transactions:
        index, stamp = index + gap, stamp + tick
        log.append(([(key, Version(stamp, value)) for key, value in rows], Position(index, 1)))
    return log


values = st.none() | st.binary(max_size=20)
transaction = st.tuples(
    st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=4),
    st.integers(1, 3),
    st.integers(1, 2),
)
who = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), who, st.integers(1, 3)),
        st.tuples(st.just("fill"), who, st.integers(1, 3)),
        st.tuples(st.just("fill"), who, st.integers(1, 3)),
        st.tuples(st.just("begin"), who, st.integers(0, 2)),
        st.tuples(st.sampled_from(["freeze", "reopen"]), who, st.just(0)),
        st.tuples(st.just("install"), who, who),
        st.tuples(st.just("install"), who, who),
    ),
    min_size=15,
    max_size=40,
)


@given(st.lists(transaction, min_size=15, max_size=25), steps)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_members_that_flush_and_send_and_install_and_reopen_all_say_what_the_log_says(
    transactions, steps
):
    log = make_log(transactions)
    members = [Member(f"c/n{at}", numbers) for at, numbers in enumerate((1, 2, 7))]
    for name, at, argument in steps:
        member = members[at]
        match name:
            case "apply":
                member.apply(log, argument)
            case "fill":
                member.apply(log, argument)
                member.tree.freeze()
                member.flush()
            case "begin":
                member.apply(log, 2)
                member.tree.freeze()
                member.slices(argument)
            case "freeze":
                member.tree.freeze()
            case "install":
                member.install_from(members[argument], log)
            case "reopen":
                member.reopen()
        check(member.tree, member.disk, log)
    for member in members:
        member.apply(log, len(log))
        while member.tree.immutable_memtables or member.tree.applied != member.tree.flushed:
            member.tree.freeze()
            member.flush()
        member.reopen()
        check(member.tree, member.disk, log)
        assert member.tree.applied == log[-1][1]
        assert (
            not load_manifest(member.disk, member.owner).installed
            or member.tree.immutable_memtables == 0
        )


# ── the stream ──────────────────────────────────────────────────────────────────────────────────

LOG = [
    ([(b"a", Version(1, b"1")), (b"b", Version(1, b"x" * 40))], Position(3, 1)),
    ([(b"a", Version(2, None)), (b"", Version(2, b""))], Position(5, 2)),
    ([], Position(6, 3)),
    ([(b"b", Version(3, b"3")), (b"c", Version(3, b"3"))], Position(9, 3)),
]


def sender(log=LOG, owner="c/n1"):
    """A tree that flushed ``log``, one table a transaction, and has applied no more."""
    tree = Tree.open(SimDisk(), owner=owner)
    for rows, position in log:
        put(tree, rows, position)
        tree.freeze()
        flush_oldest(tree)
    return tree


class Reads(SimDisk):
    """A disk that counts the bytes that are read."""

    count = 0

    def read(self, name, offset=0, length=None):
        data = super().read(name, offset, length)
        self.count += len(data)
        return data


def test_any_part_of_a_stream_can_be_read_and_no_more_than_that_is_read():
    disk = Reads()
    tree = Tree.open(disk, owner="c/n1")
    for rows, position in LOG:
        put(tree, rows, position)
        tree.freeze()
        flush_oldest(tree)
    disk.count = 0
    found = tree.snapshot()
    assert (disk.count, found.last) == (0, Position(9, 3))
    data = found.read(0, found.size + 99)
    assert len(data) == found.size
    assert data == stream(tree) == stream(tree)
    sizes = sum(table.size for table in tree.tables)
    newest_first = [disk.read(f"{table.number:06d}.sst") for table in tree.tables]
    assert data.endswith(b"".join(newest_first))
    for step in (1, 7, 100, found.size - sizes, found.size - 1):
        for offset in range(0, found.size + 3, step):
            disk.count = 0
            assert found.read(offset, step) == data[offset : offset + step]
            assert disk.count <= step
    for offset, length in ((-1, 5), (0, -1)):
        with pytest.raises(BadInput, match="a snapshot has no"):
            found.read(offset, length)


def test_a_snapshot_stays_what_it_was_while_the_tree_goes_on():
    tree = sender(LOG[:2])
    found = tree.snapshot()
    before = found.read(0, found.size)
    put(tree, *LOG[3])
    tree.freeze()
    flush_oldest(tree)
    assert (found.read(0, found.size), found.last) == (before, LOG[1][1])


def test_a_snapshot_whose_tables_went_says_so():
    tree = sender(LOG[:1])
    disk, found = tree._disk, tree.snapshot()
    before = found.read(0, found.size)
    tree.install(stream(sender()))
    tree.work()
    assert found.read(0, found.size) == before
    tree = Tree.open(disk, owner="c/n1")  # which knows nothing of who held what
    with pytest.raises(BadInput, match=r"the snapshot at .*index=3.* is gone: 000002\.sst was"):
        found.read(0, found.size)
    damaged = sender()
    disk = damaged._disk
    found = damaged.snapshot()
    name = f"{damaged.tables[0].number:06d}.sst"
    disk.truncate(name, disk.size(name) - 1)
    with pytest.raises(Corruption, match=f"{name}, offset 0: .* bytes here where .* were written"):
        found.read(0, found.size)


@pytest.mark.parametrize("part", [1, 7, 48, 100, 10_000])
def test_damage_anywhere_in_a_table_is_found_by_who_sends_it(part):
    """Whatever the size of the parts, and though each is sent twice."""
    tree = sender()
    whole = stream(tree)
    name = f"{tree.tables[0].number:06d}.sst"
    size = tree._disk.size(name)

    def sent(snapshot):
        for offset in range(0, snapshot.size, part):
            snapshot.read(max(0, offset - part), part)
            yield snapshot.read(offset, part)

    assert b"".join(sent(tree.snapshot())) == whole
    for place in range(0, size, 7 if part > 1 else 91):
        tree._disk.corrupt(name, place)
        with pytest.raises(Corruption, match=f"{name}, offset 0: the file does not match its"):
            list(sent(tree.snapshot()))
        tree._disk.corrupt(name, place)
    assert b"".join(sent(tree.snapshot())) == whole


def test_the_format_is_the_same_for_ever():
    data = stream(sender())
    head = frame.decode(data, 0, seed=frame.checksum_seed("kvraft snapshot"))
    says = json.loads(head.payload)
    assert (head.kind, list(says)) == (
        1,
        ["format", "owner", "flushed", "timestamp", "horizon", "tables"],
    )
    assert (says["format"], says["owner"], says["timestamp"]) == (3, "c/n1", 3)
    assert (says["flushed"], len(says["tables"])) == ([9, 3], 3)
    assert len(data) == head.end + sum(table["size"] for table in says["tables"])
    assert [table["start"] for table in says["tables"]] == ["62", "", "61"]


def receiver():
    """A tree with two tables, a frozen memtable, a memtable, a flush half done: through 4."""
    disk = SimDisk()
    tree = Tree.open(disk, owner="c/n2")
    old = [([(b"%d" % index, Version(1, b"old"))], Position(index, 1)) for index in (1, 2, 3, 4)]
    for number, (rows, position) in enumerate(old):
        put(tree, rows, position)
        if number < 3:
            tree.freeze()
        if number < 2:
            flush_oldest(tree)
    tree.work()  # a flush is half done
    return disk, tree


def state_of(tree):
    marks = tree.applied, tree.flushed, tree.timestamp, tree.tables, tree.immutable_memtables
    return marks, list(tree.scan())


def test_a_flip_or_a_cut_of_any_byte_of_a_stream_is_found_and_nothing_is_touched():
    data = stream(sender(LOG[:2]))
    disk, tree = receiver()
    before, operations = state_of(tree), disk.operations
    wrong = [data[:at] for at in range(len(data))] + [data + b"\0", data + data]
    for at in range(len(data)):
        wrong += [data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :] for mask in (1, 0x80)]
    for each in wrong:
        with pytest.raises(Corruption) as found:
            tree.install(each)
        assert found.value.file == STREAM
        assert 0 <= found.value.offset <= len(each)
    assert (state_of(tree), disk.operations) == (before, operations)
    tree.install(data)
    assert list(tree.scan()) == live(model_of(LOG[:2], LOG[1][1]))


def test_damage_in_a_stream_is_said_to_be_in_the_part_that_it_is_in():
    tree = sender()
    data = stream(tree)
    at = len(data)
    for table in reversed(tree.tables):
        at -= table.size
        for offset in (at, at + table.size - 1):
            flipped = data[:offset] + bytes((data[offset] ^ 1,)) + data[offset + 1 :]
            with pytest.raises(
                Corruption, match=f"{STREAM}, offset {at}: table {table.number} does"
            ):
                unpack_snapshot(InMemorySource(flipped), "c/n2")


def test_streams_of_other_clusters_and_formats_are_foreign(monkeypatch):
    data = stream(sender())
    disk, tree = receiver()
    operations = disk.operations
    with pytest.raises(ForeignFile, match="a snapshot of 'd/n1' is not for 'c/n2'"):
        tree.install(stream(sender(owner="d/n1")))
    monkeypatch.setattr(snapshot, "FORMAT", 4)
    with pytest.raises(
        ForeignFile, match=r"a snapshot has format 3; .* reads format 4: the members"
    ):
        tree.install(data)
    assert disk.operations == operations


def with_header(data, change):
    """Return a stream with another header, whose checksum is sound."""
    seed = frame.checksum_seed("kvraft snapshot")
    head = frame.decode(data, 0, seed=seed)
    says = json.loads(head.payload)
    change(says)
    other = frame.encode(1, json.dumps(says).encode(), synced=0, seed=seed, offset=0)
    return other + data[head.end :]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False) | st.text("ab"),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
FIELDS = ["format", "owner", "flushed", "timestamp", "horizon", "tables"]
TABLE_FIELDS = ["number", "level", "rows", "size", "start", "stop", "min_timestamp", "digest"]


@given(st.sampled_from(FIELDS + TABLE_FIELDS), st.none() | json_values)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_a_header_of_nonsense_with_a_sound_checksum_never_makes_half_a_tree(field, value):
    def change(says):
        target = says["tables"][0] if field in TABLE_FIELDS else says
        if value is None:
            del target[field]
        else:
            target[field] = value

    tree = Tree.open(disk := SimDisk(), owner="c/n2")
    put(tree, [(b"old", Version(1, b"old"))], Position(1, 1))
    tree.freeze()
    flush_oldest(tree)
    before = state_of(tree)
    try:
        tree.install(with_header(stream(sender()), change))
    except KvraftError:
        assert state_of(tree) == before
    else:
        assert list(tree.scan()) == live(model_of(LOG, LOG[-1][1]))
    again = Tree.open(disk, owner="c/n2")
    again.verify()
    assert (list(again.scan()), again.flushed) == (list(tree.scan()), tree.flushed)


def test_frames_that_are_no_header_are_damage():
    seed = frame.checksum_seed("kvraft snapshot")
    for kind, payload in ((2, b"{}"), (1, b"[]"), (1, b"\xff"), (1, b"7"), (1, b"{}")):
        data = frame.encode(kind, payload, synced=0, seed=seed, offset=0)
        with pytest.raises(Corruption, match="the header of a snapshot makes no sense"):
            unpack_snapshot(InMemorySource(data), "c/n2")


# ── installing ──────────────────────────────────────────────────────────────────────────────────


def test_an_install_over_memtables_and_a_flush_under_way_leaves_nothing_of_them():
    events = []
    disk, tree = receiver()
    tree._report = tree._tables.report = events.append
    scan = tree.scan()
    begun = tree.scan()
    next(begun)
    old = [table.number for table in tree.tables]
    tree.install(stream(sender()))
    numbers = tuple(table.number for table in tree.tables)
    assert min(numbers) > max(old)
    assert list(numbers) == sorted(numbers, reverse=True)
    assert [type(event) for event in events[:4]] == [TableWritten] * 3 + [SnapshotInstalled]
    assert [event.table for event in events[:3]] == sorted(numbers)
    assert events[3] == SnapshotInstalled(9, numbers)
    # Scans that were open go on with what there was, and hold on to its files until they end.
    assert set(sst(disk)) == {f"{number:06d}.sst" for number in (*old, *numbers)}
    assert list(scan) == [(b"%d" % at, b"old") for at in (1, 2, 3, 4)]
    assert len(list(begun)) == 3
    assert tree.has_work
    tree.work()
    assert [event.table for event in events[4:]] == sorted(old)
    check(tree, disk, LOG)
    assert sst(disk) == [f"{number:06d}.sst" for number in sorted(numbers)]
    put(tree, [(b"new", Version(9, b""))], Position(10, 3))
    tree.freeze()
    flush_oldest(tree)
    assert tree.flushed == Position(10, 3)
    assert not load_manifest(disk, "c/n2").installed
    again = Tree.open(disk, owner="c/n2")
    assert list(again.scan()) == [*live(model_of(LOG, LOG[-1][1])), (b"new", b"")]


def test_a_snapshot_without_tables_and_one_sent_on():
    first, second = (Tree.open(SimDisk(), owner=f"c/n{at}") for at in (2, 3))
    first.install(stream(sender([([], Position(4, 2))])))
    assert (first.applied, first.tables) == (Position(4, 2), ())
    first.install(stream(sender()))
    second.install(stream(first))
    check(second, second._disk, LOG)
    assert [t.digest for t in second.tables] == [t.digest for t in first.tables]


def test_a_snapshot_does_not_take_a_tree_back():
    disk, tree = receiver()
    operations = disk.operations
    for position in (Position(3, 9), Position(4, 1), Position(4, 2)):
        with pytest.raises(BadInput, match=r"holds nothing new: everything through .*index=4"):
            tree.install(stream(sender([([(b"x", Version(1, b""))], position)])))
    assert disk.operations == operations
    tree.close()
    with pytest.raises(BadInput, match="the tree is closed"):
        tree.snapshot()
    with pytest.raises(BadInput, match="the tree is closed"):
        tree.install(stream(sender()))


def test_a_file_in_the_place_of_an_installed_table_is_found():
    disk, tree = receiver()
    tree.install(stream(sender()))
    first, second = (f"{table.number:06d}.sst" for table in tree.tables[:2])
    disk.rename(first, "aside")
    disk.rename(second, first)
    disk.rename("aside", second)
    with pytest.raises(Corruption, match="not the table that the manifest means"):
        Tree.open(disk, owner="c/n2")


class Failing(SimDisk):
    """A disk on which one operation fails, or gives back other bytes than were written."""

    fuse = 0
    rotten = ""

    def begin_operation(self):
        super().begin_operation()
        self.fuse -= 1
        if self.fuse == 0:
            raise OSError(errno.EIO, "Input/output error")

    def sync(self, name):
        super().sync(name)
        if name == self.rotten:
            self.corrupt(name, 5)


def test_a_disk_error_at_any_step_of_an_install_stops_writing_but_not_reading():
    data = stream(sender())

    def begin():
        tree = Tree.open(disk := Failing(), owner="c/n2")
        for rows, position in LOG[:2]:
            put(tree, rows, position)
            tree.freeze()
        flush_oldest(tree)
        return disk, tree

    disk, tree = begin()
    before = disk.operations
    tree.install(data)
    outcomes = set()
    for step in range(1, disk.operations - before + 1):
        disk, tree = begin()
        disk.fuse = step
        with pytest.raises(OSError, match="Input/output"):
            tree.install(data)
        with pytest.raises(Stopped, match="Input/output error"):
            tree.install(data)
        with pytest.raises(Stopped, match="Input/output error"):
            tree.work()
        assert tree.applied in (LOG[1][1], LOG[3][1])
        check(tree, disk, LOG)
        outcomes.add(tree.applied)
        flushed = tree.flushed
        again = Tree.open(disk, owner="c/n2")
        assert again.flushed >= flushed
        check(again, disk, LOG)
    assert len(outcomes) == 2
    disk, tree = begin()
    disk.rotten = f"{tree._tables._manifest.new_file_number() + 1:06d}.sst"
    why = f"not what was just written .{disk.rotten}, offset 0: the table does not match"
    with pytest.raises(OSError, match=why):
        tree.install(data)
    assert tree.applied == LOG[1][1]
    check(tree, disk, LOG)
    with pytest.raises(Stopped):
        tree.install(data)


def test_on_a_real_disk(tmp_path):
    first, second = RealDisk(tmp_path / "1"), RealDisk(tmp_path / "2")
    trees = Tree.open(first, owner="c/n1"), Tree.open(second, owner="c/n2")
    for rows, position in LOG:
        put(trees[0], rows, position)
        trees[0].freeze()
        flush_oldest(trees[0])
    put(trees[1], *LOG[0])
    trees[1].freeze()
    flush_oldest(trees[1])
    trees[1].install(stream(trees[0]))
    check(trees[1], second, LOG)
    second.close()
    check(Tree.open(RealDisk(tmp_path / "2"), owner="c/n2"), second, LOG)


# ── tree and log ────────────────────────────────────────────────────────────────────────────────

OWNER = "c/n2"
PLACE = LOG[-1][1]


def entry(term, index):
    record = Record(Kind.PUT, b"k", b"%d" % index, index, TxnId("c", 1, index), True)
    return Entry(term, index, record)


def start(disk):
    found = check_disk(disk, OWNER)
    wal = Wal.open(disk, OWNER, segment_bytes=300, found=found)
    return Tree.open(disk, owner=OWNER), wal


def lagging(last, term):
    """A member whose log ends at ``last``, with the tables and the mark that go with it."""
    disk = SimDisk()
    claim_disk(disk, OWNER, new=True)
    tree, wal = start(disk)
    wal.save(HardState(1, "n1"), [entry(1, index) for index in range(1, 4)])
    wal.save(HardState(3, "n2"), [])
    if last > 3:
        wal.save(None, [entry(term, index) for index in range(4, last + 1)])
    put(tree, *LOG[0])
    tree.freeze()
    flush_oldest(tree)
    return disk, tree, wal


@pytest.mark.parametrize(
    ("last", "term"),
    [(3, 1), (6, 1), (9, 2), (14, 2), (9, 3), (14, 3)],
    ids=["behind", "in between", "conflict", "conflict and more", "held", "held and more"],
)
def test_a_crash_at_every_step_of_install_and_reset_and_of_the_recovery(last, term):
    data = stream(sender())
    keeps = last if term == 3 else PLACE.index
    step, outcomes = 0, {"old": 0, "new": 0}
    while True:
        step += 1
        for seed in range(6):
            random = Random(f"{step} {seed}")
            disk, tree, wal = lagging(last, term)
            disk.fail_at(step, random)
            done = False
            try:
                tree.install(data)
                wal.reset(PLACE)
                done = True
                assert (wal.base, wal.last_index) == (PLACE if term < 3 else ORIGIN, keeps)
            except PowerCut:
                pass
            for again in range(1, random.choice((1, 2, 30))):  # the power goes in recoveries, too
                disk.crash(random) if seed else disk.restore()
                check_disk(disk, OWNER)
                disk.fail_at(again, random)
                try:
                    start(disk)
                except PowerCut:
                    continue
                break
            disk.crash(random) if seed else disk.restore()
            tree, wal = start(disk)
            assert wal.hard_state == HardState(3, "n2")
            check(tree, disk, LOG)
            if tree.flushed == PLACE:
                outcomes["new"] += 1
                assert wal.base == (PLACE if term < 3 else ORIGIN)
                assert wal.last_index == keeps
                assert [e.index for e in wal.entries()] == [*range(wal.base.index + 1, keeps + 1)]
            else:
                outcomes["old"] += 1
                assert not done
                assert tree.flushed == LOG[0][1]
                assert (wal.base, wal.last_index) == (ORIGIN, last)
            go_on(disk, tree, wal)
        if done:
            break
    assert min(outcomes.values()) > 10


def go_on(disk, tree, wal):
    """Log and tree work on after a recovery, and what they do is there next time."""
    last = wal.last_index + 1
    wal.save(None, [entry(3, last)])
    put(tree, [(b"more", Version(99, b""))], Position(last, 3))
    tree.freeze()
    flush_oldest(tree)
    again, log = start(disk)
    assert (again.flushed, again.get(b"more")) == (Position(last, 3), b"")
    assert (log.last_index, log.hard_state) == (last, HardState(3, "n2"))
    assert not load_manifest(disk, OWNER).installed


def test_a_log_that_ends_before_the_tables_is_a_loss_unless_a_snapshot_was_installed_last():
    disk, tree, wal = lagging(3, 1)
    tree.install(stream(sender()))
    assert check_disk(disk, OWNER).base == PLACE  # the reset is yet to come
    wal.reset(PLACE)
    go_on(disk, tree, wal)
    lost = Position(PLACE.index + 1, 3)
    assert load_manifest(disk, OWNER).flushed == lost
    [name] = [name for name in disk.names() if name.endswith(".wal")]
    disk.truncate(name, disk.size(name) - 1)
    with pytest.raises(Corruption, match="the log ends at index"):
        check_disk(disk, OWNER)


def test_verify_knows_an_installed_snapshot_and_a_reset_that_is_yet_to_come():
    disk, tree, wal = lagging(6, 1)
    tree.install(stream(sender()))
    before = disk.operations
    lines = verify_disk(disk, OWNER)
    assert disk.operations == before
    assert "everything through log index 9, from a snapshot." in lines[2]
    assert lines[3].startswith("Put out of force by that snapshot, to be removed: 3 log segments.")
    wal.reset(PLACE)
    lines = verify_disk(disk, OWNER)
    assert lines[1].startswith("Log: no entries after 9 in 1 segment,")
    assert len(lines) == 4
    name = f"{tree.tables[1].number:06d}.sst"
    disk.corrupt(name, 7)
    with pytest.raises(Corruption, match=name):
        verify_disk(disk, OWNER)
