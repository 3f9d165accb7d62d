"""The tools: what the bytes mean, sound or not; what repair keeps; dump and load."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import cli
from kvraft.disk import RealDisk
from kvraft.errors import BadInput, Damage
from kvraft.lsm import Tree, TreeOptions
from kvraft.record import Entry, HardState, Kind, Record, TxnId
from kvraft.store import Store
from kvraft.tools import inspect, transfer
from kvraft.tools.repair import repair
from kvraft.verify import verify
from kvraft.wal import Wal


@pytest.fixture
def store(tmp_path):
    """A store with two tables, a range delete, tombstones, odd bytes and a log in segments."""
    directory = tmp_path / "store"
    with Store.open(directory, segment_bytes=1000) as made:
        for number in range(30):
            made.put(b"key%02d" % number, b"v" * 30)
        made.delete_range(b"key10", b"key12")
        made.flush()
        made.delete(b"key20")
        made.put(b"\x00\xff", b"\x80")
        made.flush()
        made.put(b"last", b"x")
    return directory


def pairs(directory):
    with Store.open(directory) as opened:
        return dict(opened.scan())


def run(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    found = capsys.readouterr()
    return status, found.out, found.err


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["log", "table", "manifest", "tree"])
def test_what_is_shown_to_people_and_to_programs_changes_nothing(store, what, capsys):
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    status, out, err = run(capsys, "inspect", what, store)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) > 3
    status, out, _ = run(capsys, "inspect", what, store, "--json")
    assert (status, json.loads(out)["what"]) == (0, what)
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before


def test_the_log_is_told_frame_by_frame(store, capsys):
    _, out, _ = run(capsys, "inspect", "log", store, "--json")
    segments = json.loads(out)["segments"]
    entries = [e for each in segments for f in each["frames"] for e in f["entries"]]
    assert [entry["index"] for entry in entries] == list(range(entries[0]["index"], 35))
    assert entries[-1] == {
        "index": 34, "term": 0, "kind": "put", "key": "last", "value_bytes": 1,
        "timestamp": 34, "transaction": "#0", "commit": True, "superseded": False,
    }  # fmt: skip
    for each in segments:
        ends = [f["offset"] + f["bytes"] for f in each["frames"]]
        assert ends[-1] == each["size"]
        assert each["header"]["owner"] == "kvraft/store"
    assert segments[-1]["frames"][-1]["kind"] == "closed"


def test_superseded_entries_and_a_torn_end_are_marked(tmp_path, capsys):
    def entry(term, index):
        return Entry(term, index, Record(Kind.PUT, b"k", b"", index, TxnId("c", 1, index), True))

    disk = RealDisk(tmp_path)
    wal = Wal.open(disk, "c/n1")
    wal.save(HardState(1, "n2"), [entry(1, index) for index in (1, 2, 3)])
    wal.save(HardState(2, None), [entry(2, 2)])
    disk.append(wal.segments[-1].name, b"kvF1 and then no more")
    disk.close()
    _, out, _ = run(capsys, "inspect", "log", tmp_path, "--json")
    [segment] = json.loads(out)["segments"]
    entries = [e for f in segment["frames"] for e in f["entries"]]
    assert [(e["index"], e["term"], e["superseded"]) for e in entries] == [
        (1, 1, False), (2, 1, True), (3, 1, True), (2, 2, False),
    ]  # fmt: skip
    states = [(f["term"], f["vote"]) for f in segment["frames"] if f["kind"] == "hard state"]
    assert states == [(1, "n2"), (2, None)]
    assert segment["torn"]["bytes"] == 21
    status, out, _ = run(capsys, "inspect", "log", tmp_path)
    assert status == 0
    assert out.count("superseded") == 2
    assert "torn" in out


def test_a_table_is_told_block_by_block_and_row_by_row(store, capsys):
    _, out, _ = run(capsys, "inspect", "table", store, "--json", "--rows")
    old, new = json.loads(out)["tables"]
    assert (old["properties"]["rows"], len(old["rows"])) == (28, 28)
    assert [(r["start"], r["stop"]) for r in old["ranges"]] == [("key10", "key12")]
    assert new["rows"] == [
        {"key": "\\x00\\xff", "timestamp": 33, "value": "\\x80"},
        {"key": "key20", "timestamp": 32, "value": None},
    ]
    assert 0 < old["filter"]["expected_fpr"] < 0.02
    _, out, _ = run(capsys, "inspect", "table", store, "--number", 3)
    assert out.count(".sst") == 1
    status, _, err = run(capsys, "inspect", "table", store, "--number", 9)
    assert (status, "there is no table 9" in err) == (2, True)


def test_damage_is_shown_where_it_is_and_the_rest_is_shown_too(store, capsys):
    (log, *_), (table, *_) = sorted(store.glob("*.wal")), sorted(store.glob("*.sst"))
    for path in (log, table):
        data = bytearray(path.read_bytes())
        data[len(data) * 2 // 3] ^= 1
        path.write_bytes(data)
    for what, path in (("log", log), ("table", table)):
        status, out, _ = run(capsys, "inspect", what, store)
        assert status == 1
        assert f"DAMAGE: {path.name}, offset" in out
        assert len(out.splitlines()) >= 3
    status, _, err = run(capsys, "verify", store)
    assert (status, log.name in err) == (1, True)
    current = store / "CURRENT"
    current.write_bytes(b"MANIFEST-000099\n")
    for what in ("manifest", "tree"):
        status, out, _ = run(capsys, "inspect", what, store)
        assert (status, "DAMAGE: CURRENT" in out) == (1, True)


@pytest.mark.parametrize("command", ["inspect log", "inspect tree", "verify", "dump", "repair"])
def test_a_directory_that_holds_nothing_is_told_in_one_sentence(command, tmp_path, capsys):
    status, _, err = run(capsys, *command.split(), tmp_path)
    assert status == 2
    assert err.startswith("kvraft: ")
    assert len(err.splitlines()) == 1
    status, _, err = run(capsys, *command.split(), tmp_path / "nowhere")
    assert (status, "there is no directory" in err) == (2, True)


def test_a_directory_in_use_is_left_alone(store, capsys):
    with Store.open(store):
        for command in ("verify", "dump", "inspect log", "repair"):
            status, _, err = run(capsys, *command.split(), store)
            assert (status, "in use by another process" in err) == (2, True)


def test_verify_knows_trees_and_names_every_defect(tmp_path):
    options = TreeOptions(block_bytes=100)
    with Tree.open(tmp_path, options=options) as tree:
        for value in (b"1", b"2", b"3"):
            for number in range(20):
                tree.put(b"%02d" % number, value)
            tree.flush()
        names = [f"{info.number:06d}.sst" for info in tree.tables]
    lines = verify(tmp_path)
    assert lines[0].startswith("A tree of nobody")
    assert "3 with 60 rows" in lines[1]
    for name in names[:2]:
        data = bytearray((tmp_path / name).read_bytes())
        data[10] ^= 1
        (tmp_path / name).write_bytes(data)
    with pytest.raises(Damage) as found:
        verify(tmp_path)
    assert all(name in str(found.value) for name in names[:2])
    assert names[2] not in str(found.value)


# ── repair ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("loss", ["CURRENT", "manifest", "empty", "nonsense"])
def test_a_lost_manifest_is_made_anew_and_nothing_is_lost(store, loss):
    right = pairs(store)
    [manifest] = store.glob("MANIFEST-*")
    match loss:
        case "CURRENT":
            (store / "CURRENT").unlink()
        case "manifest":
            manifest.write_bytes(b"")
        case "empty":
            (store / "CURRENT").write_bytes(b"")
        case "nonsense":
            data = bytearray(manifest.read_bytes())
            data[80] ^= 1
            manifest.write_bytes(data)
    with pytest.raises(Damage):
        Store.open(store)
    before = {path.name for path in store.iterdir()}
    assert any("would have 2 tables" in line for line in repair(store, dry_run=True))
    assert {path.name for path in store.iterdir()} == before
    assert any("has 2 tables" in line for line in repair(store))
    if loss == "CURRENT":  # the old manifest still tells how far the tables reach
        verify(store)
        assert pairs(store) == right
    with pytest.raises(BadInput, match="nothing to repair"):
        list(repair(store))
    assert (store / "lost").is_dir()


def test_what_is_not_sound_goes_aside_and_what_was_replaced_stays_gone(tmp_path):
    with Tree.open(tmp_path) as tree:
        for value in (b"1", b"2"):
            tree.put(b"k", value)
            tree.put(value, value)
            tree.flush()
        tree.delete(b"k")
        old = [(path, path.read_bytes()) for path in tmp_path.glob("*.sst")]
        tree.compact()  # the tombstone is gone, and so is what it hid
        assert tree.get(b"k") is None
        tree.put(b"more", b"x")
        tree.flush()
        newest = f"{tree.tables[0].number:06d}.sst"
    for path, data in old:  # as if a crash had kept them from being removed
        path.write_bytes(data)
    data = bytearray((tmp_path / newest).read_bytes())
    data[3] ^= 1
    (tmp_path / newest).write_bytes(data)
    (tmp_path / "CURRENT").unlink()
    said = list(repair(tmp_path))
    assert sum("was replaced" in line for line in said) == 2
    assert any(newest in line and "not sound" in line for line in said)
    assert (tmp_path / "lost" / newest).read_bytes() == data
    with Tree.open(tmp_path) as tree:
        assert tree.get(b"k") is None
        assert dict(tree.scan()) == {b"1": b"1", b"2": b"2"}


def test_a_missing_table_is_repaired_by_doing_without_it(store):
    (first, *_) = sorted(store.glob("*.sst"))
    first.unlink()
    with pytest.raises(Damage, match="missing"):
        Store.open(store)
    assert any("tables are missing" in line for line in repair(store))
    assert b"last" in pairs(store)


# ── dump and load ───────────────────────────────────────────────────────────────────────────────

keys = st.binary(max_size=6)


@given(st.dictionaries(keys, st.binary(max_size=20), max_size=20))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_any_bytes_survive_a_dump_and_a_load(tmp_path_factory, model):
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with Store.open(one) as made:
        for key, value in model.items():
            made.put(key, value)
    lines = list(transfer.dump(one))
    assert transfer.load(two, lines) == len(model)
    assert pairs(two) == pairs(one) == model
    assert list(transfer.dump(two)) == lines


def test_a_dump_can_be_cut_to_a_range_and_goes_to_a_file(store, tmp_path, capsys):
    _, out, _ = run(capsys, "dump", store, "--prefix", "key2")
    found = [json.loads(line)["key"] for line in out.splitlines()]
    assert found == [f"key{number}" for number in range(21, 30)]
    _, out, _ = run(capsys, "dump", store, "--start", "key05", "--stop", "key07")
    assert len(out.splitlines()) == 2
    status, out, _ = run(capsys, "dump", store, "--out", tmp_path / "all.jsonl")
    assert (status, "29 keys" in out) == (0, True)
    status, out, _ = run(capsys, "load", tmp_path / "copy", tmp_path / "all.jsonl")
    assert (status, "29 keys" in out) == (0, True)
    assert pairs(tmp_path / "copy") == pairs(store)


@pytest.mark.parametrize("line", ["[]", "{}", '{"key": 1}', '{"key64": "?", "value": ""}', "no"])
def test_a_line_that_cannot_be_meant_is_named(line, tmp_path):
    with pytest.raises(BadInput, match="line 2 is no key and value"):
        transfer.load(tmp_path, ['{"key": "a", "value": ""}', line])


def test_a_member_can_be_dumped_but_only_its_cluster_may_write_to_it(tmp_path, capsys):
    data = tmp_path / "data"
    assert cli.main(["tour", "--data", str(data)]) == 0
    capsys.readouterr()
    dumps = [run(capsys, "dump", data / name)[1] for name in ("n1", "n2")]
    assert len(dumps[0].splitlines()) > 1000
    assert "kvraft/" not in dumps[0]
    status, _, err = run(capsys, "load", data / "n1", tmp_path / "none")
    assert status == 2
    (tmp_path / "none").write_text("")
    status, _, err = run(capsys, "load", data / "n1", tmp_path / "none")
    assert (status, "only its cluster may write" in err) == (2, True)
    for what in ("log", "table", "manifest", "tree"):
        assert run(capsys, "inspect", what, data / "n1")[0] == 0


def test_a_progress_bar_shows_on_a_terminal_only(monkeypatch, capsys):
    from kvraft.tools.progress import progress

    assert list(progress(range(3), "things")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), "things", 3)) == [0, 1, 2]
    assert "things" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(progress(range(3), "things", 3)) == [0, 1, 2]


def test_documents_hold_what_json_can_hold(store):
    disk = RealDisk(store)
    for document in (inspect.log(disk), inspect.table(disk, rows=True), inspect.manifest(disk)):
        assert json.loads(json.dumps(document)) == document
    disk.close()
