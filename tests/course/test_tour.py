"""The tour: another history for every seed, the same end for all; and its command line."""

import json
import shutil
import subprocess
import sys
import zlib

import pytest

from kvraft import cli
from kvraft.check import MarksChecker
from kvraft.course.tour import Tour, catalogue_path, load
from kvraft.course.tour.story import OPTIONS, TourFailed
from kvraft.disk import RealDisk, frame, identity
from kvraft.errors import BadInput
from kvraft.events import (
    EntriesAppended,
    Flushed,
    Marks,
    MemberStarted,
    RoleChanged,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    SnapshotInstalled,
    Trace,
    TransactionDiscarded,
    TruncationDecided,
)
from kvraft.lsm import manifest
from kvraft.record import RESERVED_PREFIX
from kvraft.sstable import format as table_format
from kvraft.wal import segment


@pytest.fixture(scope="module")
def tour():
    tour = Tour(load(), seed=1)
    tour.story = dict(tour.run())
    return tour


def test_every_act_happens_and_says_so(tour):
    assert list(tour.story) == list(Tour.ACTS.values())
    assert all(lines for lines in tour.story.values())
    assert tour.applied == len(tour.reports) == 3414


def test_every_member_ends_with_the_map_of_a_plain_dict(tour):
    model = {}
    replayed = Tour(load(), seed=9).catalogue  # a fresh catalogue, no cluster involved
    for report in tour.reports:
        for key, value in replayed.writes(report):
            if value is None:
                del model[key]
            else:
                model[key] = value
    for name in tour.world.members:
        assert tour.map_of(name) == model


def test_a_member_that_differs_in_one_byte_is_found(tour):
    key = next(iter(tour.catalogue.map))
    value = tour.catalogue.map[key]
    tour.catalogue.map[key] = value + b"!"
    try:
        with pytest.raises(TourFailed, match="n1 differs from the dict in 1 key: "):
            tour.check()
    finally:
        tour.catalogue.map[key] = value


def test_the_dead_leaders_transaction_was_torn_discarded_and_applied_once(tour):
    discarded = tour.trace.of(TransactionDiscarded)
    txns = {step.event.txn for step in discarded}
    assert len(txns) == 1
    assert {step.who for step in discarded} == set(tour.world.members)  # on each replica alike
    assert len({(step.event.first, step.event.last) for step in discarded}) == 1
    (txn,) = txns
    events = [step.event for step in tour.trace.of(EntriesAppended)]
    pairs = [pair for e in events for pair in zip(e.txns, e.commit_marks, strict=True)]
    assert any(mark for name, mark in pairs if name == txn)


def test_segments_go_only_when_flushed_and_nobody_within_its_budget_lacks_them(tour):
    """The rule, checked from the trace alone by code of its own."""
    flushed, durable, sealed, over = {}, {}, {}, 0
    for step in tour.trace:
        event, who = step.event, step.who
        if isinstance(event, MemberStarted):
            flushed[who] = event.flushed
        elif isinstance(event, Marks):
            durable[who] = event.last
        elif isinstance(event, Flushed | SnapshotInstalled):
            flushed[who] = event.through
        elif isinstance(event, SegmentSealed):
            sealed[who, event.segment] = event
        elif isinstance(event, TruncationDecided):
            assert event.floor == min(event.needed_from)
        elif isinstance(event, SegmentDropped):
            gone = sealed.pop(
                (who, event.segment), event
            )  # a snapshot makes the active one go, too
            assert gone.last == event.last <= flushed[who]
            if event.last > min(durable.values()):
                over += 1
                kept = sum(each.size for (name, _), each in sealed.items() if name == who)
                behind = durable[tour.away] + 1 < gone.first  # what it needs is gone already
                assert behind or kept + gone.size > OPTIONS.retain_bytes
    assert over
    assert len(tour.trace.of(SegmentDropped)) > 50


def test_the_log_stays_short(tour):
    opened = len(tour.trace.of(SegmentOpened))
    assert opened > 100
    assert all(len(replica.wal.segments) <= 6 for replica in tour.world.replicas.values())


def test_another_seed_is_another_history_with_the_same_end():
    one, other = (Tour(load()[:300], seed=seed) for seed in (1, 2))
    for each in (one, other):
        list(each.run())
    assert other.catalogue.map == one.catalogue.map
    assert other.trace.digest() != one.trace.digest()
    votes = [step for step in one.trace.of(RoleChanged) if step.event.role == "leader"]
    others = [step for step in other.trace.of(RoleChanged) if step.event.role == "leader"]
    assert votes != others


@pytest.mark.parametrize("seed", range(3, 11))
def test_short_tours_keep_every_invariant_at_every_step(seed):
    tour = Tour(load()[:60], seed=seed)
    checker = MarksChecker(tour.world)
    step = tour.world.step

    def checked_step():
        step()
        checker.check()

    tour.world.step = checked_step
    list(tour.run())
    tour.check()


# ── the command line ────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("catalogue") / "small.csv"
    lines = catalogue_path().read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:301]) + "\n", encoding="utf-8")
    return path


def run(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_tour_prints_the_story_and_saves_pictures_and_trace(capsys, small, tmp_path):
    status, out, err = run(capsys, "tour", "--file", small, "--save", tmp_path / "out")
    assert (status, err) == (0, "")
    for title in Tour.ACTS.values():
        assert title in out
    assert "equal to a plain dict" in out
    saved = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert saved == ["leaders.png", "marks.png", "segments.png", "sizes.png", "trace.jsonl"]
    trace = Trace.load(tmp_path / "out" / "trace.jsonl")
    assert trace.digest() in out
    assert all((tmp_path / "out" / n).read_bytes()[:4] == b"\x89PNG" for n in saved[:4])


def test_tour_on_real_files_can_be_verified_afterwards(capsys, toured):
    for name in ("n1", "n2", "n3"):
        status, out, _ = run(capsys, "verify", toured / name)
        assert status == 0
        assert f"tour/{name}" in out
        assert "Every checksum and invariant holds" in out


@pytest.fixture(scope="module")
def toured(small, tmp_path_factory):
    """What a tour leaves on disk, for tests that look at it and harm copies of it."""
    folder = tmp_path_factory.mktemp("tour") / "data"
    assert cli.main(["tour", "--file", str(small), "--data", str(folder)]) == 0
    return folder


@pytest.fixture
def data(capsys, toured, tmp_path):
    """A copy, which says so itself once nothing else is wrong with it."""
    capsys.readouterr()
    shutil.copytree(toured, tmp_path / "data")
    return tmp_path / "data"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(capsys, *arguments, status=2):
    """Return the sentence of a refusal; status 1 is for what was found in files."""
    try:
        found, out, err = run(capsys, *arguments)
    except SystemExit as left:
        found, (out, err) = left.code, capsys.readouterr()
    assert found == status
    assert out.count("\n") == 0
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_verify_refuses_what_belongs_to_another_member(capsys, data):
    before = contents(data / "n1")
    err = refused(capsys, "verify", data / "n1", "--owner", "tour/n2", status=1)
    assert "tour/n1" in err
    assert "tour/n2" in err
    assert contents(data / "n1") == before


def test_verify_names_file_and_offset_of_damage_and_changes_nothing(capsys, data):
    for pattern in ("*.wal", "*.sst", "MANIFEST-*"):
        path = sorted((data / "n1").glob(pattern))[0]
        good = path.read_bytes()
        path.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
        before = contents(data / "n1")
        err = refused(capsys, "verify", data / "n1", status=1)
        assert path.name in err
        assert "offset" in err
        assert contents(data / "n1") == before
        path.write_bytes(good)


def of_another_format(kind, good):
    """Return the bytes of a file of this kind as a version of format 99 would have written them."""
    if kind is table_format:
        *rest, now = table_format._FOOTER.unpack_from(good, len(good) - table_format.FOOTER_BYTES)
        assert now == kind.FORMAT
        head = table_format._FOOTER.pack(*rest, 99)
        end = table_format._END.pack(zlib.crc32(head), table_format.MAGIC)
        return good[: -table_format.FOOTER_BYTES] + head + end
    seed = identity._SEED if kind is identity else kind.HEADER_SEED
    head = frame.decode(good, 0, seed=seed)
    says = json.loads(head.payload)
    assert says["format"] == kind.FORMAT
    other = json.dumps(says | {"format": 99}).encode()
    return frame.encode(head.kind, other, synced=0, seed=seed, offset=0) + good[head.end :]


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [("*.wal", segment), ("MANIFEST-*", manifest), ("*.sst", table_format), ("MEMBER", identity)],
)
def test_verify_refuses_another_format_version(capsys, data, pattern, kind):
    path = sorted((data / "n1").glob(pattern))[0]
    path.write_bytes(of_another_format(kind, path.read_bytes()))
    err = refused(capsys, "verify", data / "n1", status=1)
    assert f"{path.name} has format 99" in err


def test_a_second_process_may_look_at_a_directory_in_use_and_not_write_there(toured):
    disk = RealDisk(toured / "n1")
    command = [sys.executable, "-m", "kvraft"]
    options = {"capture_output": True, "text": True, "check": False}
    looked = subprocess.run([*command, "verify", str(toured / "n1")], **options)
    wrote = subprocess.run([*command, "rebuild", str(toured / "n1")], **options)
    disk.close()
    assert (looked.returncode, looked.stderr) == (0, "")
    assert wrote.returncode == 2
    assert "in use by another process" in wrote.stderr
    assert wrote.stderr.count("\n") == 1


def test_tour_writes_over_nothing(capsys, small, data, tmp_path):
    before = contents(data / "n2")
    err = refused(capsys, "tour", "--file", small, "--data", data)
    assert "not empty" in err
    assert contents(data / "n2") == before
    (tmp_path / "file").write_text("mine")
    for option in ("--data", "--save"):
        err = refused(capsys, "tour", "--file", small, option, tmp_path / "file")
        assert "file is not a directory" in err


def test_bad_input_is_one_sentence(capsys, tmp_path):
    assert "there is no directory" in refused(capsys, "verify", tmp_path / "nowhere")
    assert "holds no log" in refused(capsys, "verify", tmp_path)
    assert not list(tmp_path.iterdir())
    assert "cannot be read" in refused(capsys, "tour", "--file", tmp_path / "nowhere.csv")
    (tmp_path / "empty.csv").write_text("")
    assert "is empty" in refused(capsys, "tour", "--file", tmp_path / "empty.csv")


def test_a_tour_needs_something_to_tell():
    with pytest.raises(BadInput, match="at least"):
        Tour(load()[:3], seed=1)


def test_wrong_usage_exits_with_2():
    for arguments in (["nonsense"], ["tour", "--seed", "x"]):
        with pytest.raises(SystemExit) as left:
            cli.main(arguments)
        assert left.value.code == 2


def test_kvraft_is_light():
    """Neither plots nor widgets are loaded, whatever of the core is imported."""
    code = (
        "import sys, kvraft, kvraft.cli.cli, kvraft.sim, kvraft.course.tour, kvraft.lsm;"
        "import kvraft.tools;"
        "print([m for m in ('matplotlib', 'ipywidgets', 'IPython', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reserved_prefix_is_not_shown(tour):
    assert not any(key.startswith(RESERVED_PREFIX) for key in tour.map_of("n1"))
