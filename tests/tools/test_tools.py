"""The tools: what the bytes mean, sound or not; what repair keeps; dump and load."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import cli
from kvraft.course.tour import catalogue_path
from kvraft.disk import RealDisk
from kvraft.errors import BadInput, Corruption
from kvraft.lsm import Tree, TreeOptions
from kvraft.record import Entry, HardState, Kind, Record, TxnId
from kvraft.store import Store
from kvraft.tools import inspect, repair, transfer, verify
from kvraft.wal import Wal


@pytest.fixture
def store(tmp_path):
    """A store with two tables, a range tombstone, tombstones, odd bytes and a log in segments."""
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
    disk.append(wal.segments[-1].name, b"kvF2 and then no more")
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


def test_a_file_is_told_to_be_one_and_what_would_be_right(store, capsys):
    status, _, err = run(capsys, "verify", store / "CURRENT")
    right = f"kvraft: {store / 'CURRENT'} is a file: name its directory, {store}\n"
    assert (status, err) == (2, right)


def test_a_directory_in_use_can_be_looked_at_but_not_repaired(store, capsys):
    with Store.open(store) as writer:
        writer.put(b"while open", b"x")
        for command in ("verify", "inspect log", "inspect tree", "inspect table"):
            assert run(capsys, *command.split(), store)[0] == 0
        assert '{"key": "while open", "value": "x"}' in run(capsys, "dump", store)[1]
        status, _, err = run(capsys, "repair", store)
        assert (status != 0, "in use by another process" in err) == (True, True)
        status, _, err = run(capsys, "load", store, "-")
        assert (status != 0, "in use by another process" in err) == (True, True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_another_user_looks_without_the_right_to_write(store):
    """Root may write anywhere, so a process of nobody looks; it is the tools that are asked."""
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is closed to others
        Path(directory).chmod(0o755)
        _look_as_nobody(Path(shutil.copytree(store, Path(directory, "store"))))


def _look_as_nobody(store):
    for path in store.iterdir():
        path.chmod(0o444)
    (store / "LOCK").chmod(0o600)
    before = sorted(path.name for path in store.iterdir())
    code = (
        "import contextlib, io, os, sys, kvraft.cli.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    kvraft.cli.cli.main(sys.argv[1:])  # loads what nobody may not be able to\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "assert not os.access(sys.argv[-1], os.W_OK, effective_ids=True)\n"
        "sys.exit(kvraft.cli.cli.main(sys.argv[1:]))"
    )
    for command in ("verify", "dump", "inspect log", "inspect tree", "inspect table"):
        done = subprocess.run(
            [sys.executable, "-c", code, *command.split(), store], capture_output=True, text=True
        )
        assert (done.stderr, done.returncode) == ("", 0)
        assert len(done.stdout) > 50
    assert sorted(path.name for path in store.iterdir()) == before


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
    with pytest.raises(Corruption) as found:
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
    with pytest.raises(Corruption):
        Store.open(store)
    before = {path.name for path in store.iterdir()}
    planned = repair(store, dry_run=True)
    assert {path.name for path in store.iterdir()} == before
    done = repair(store)
    assert planned == ["Nothing was changed; repair would do this.", *done]
    assert done[-1].startswith("The new manifest: 2 tables with 30 rows, through log index")
    assert not any(line.startswith("LOST") for line in done)
    verify(store)
    assert pairs(store) == right
    assert (store / "lost").is_dir()


def test_nothing_is_repaired_where_nothing_is_wrong(store, capsys):
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    status, out, _ = run(capsys, "repair", store)
    assert (status, out) == (0, "Nothing is wrong here, and nothing was changed.\n")
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before


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
    assert any(newest in line and "damaged" in line for line in said)
    assert (tmp_path / "lost" / newest).read_bytes() == data
    with Tree.open(tmp_path) as tree:
        assert tree.get(b"k") is None
        assert dict(tree.scan()) == {b"1": b"1", b"2": b"2"}


def test_a_missing_table_is_repaired_by_doing_without_it(store):
    (first, *_) = sorted(store.glob("*.sst"))
    first.unlink()
    with pytest.raises(Corruption, match="missing"):
        Store.open(store)
    assert any(line.startswith(f"LOST: {first.name}: keys from key00") for line in repair(store))
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


RIGHT = 'a line is {"key": "city", "value": "Oslo"}, or key64 and value64 with base64'


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("[]", "is not an object"),
        ("{}", 'has neither "key" nor "key64"'),
        ('{"k": 1}', 'has neither "key" nor "key64"'),
        ('{"key": "a"}', 'has neither "value" nor "value64"'),
        ('{"key": "a", "key64": "YQ==", "value": ""}', 'has both "key" and "key64"'),
        ('{"key": 1, "value": ""}', 'has a "key" that is not a string but 1'),
        ('{"key": "a", "value": null}', 'has a "value" that is not a string but null'),
        ('{"key64": "?", "value": ""}', 'has a "key64" that is not base64'),
        ('{"key64": "\\u00e9", "value": ""}', 'has a "key64" that is not base64'),
        ('{"key": "\\ud800", "value": ""}', 'has a "key" with half a character (a lone surrogate)'),
        ('{"key": "a", "value": "", "ttl": 3}', 'has "ttl", which means nothing here'),
        ("no", "is not JSON (Expecting value: line 1 column 1 (char 0))"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named_with_what_would_be_right(line, wrong, tmp_path):
    with pytest.raises(BadInput) as found:
        transfer.load(tmp_path, ['{"key": "a", "value": ""}', line])
    assert str(found.value) == f"line 2 {wrong}: {RIGHT}"
    assert pairs(tmp_path) == {b"a": b""}


def test_a_key_that_is_too_long_is_named_by_its_line(tmp_path):
    with pytest.raises(BadInput, match=r"^line 1: a key of 70,?000 bytes"):
        transfer.load(tmp_path, [json.dumps({"key": "k" * 70_000, "value": ""})])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_of_any_editor_is_loaded(newline, encoding, tmp_path, capsys):
    lines = ['{"key": "ä", "value": "1"}', "", '{"key": "b", "value": "2"}', ""]
    (tmp_path / "in.jsonl").write_bytes(newline.join(lines).encode(encoding))
    status, _, err = run(capsys, "load", tmp_path / "store", tmp_path / "in.jsonl")
    assert (status, err) == (0, "")
    assert pairs(tmp_path / "store") == {"ä".encode(): b"1", b"b": b"2"}


def test_a_file_that_is_not_utf8_is_refused_in_one_sentence(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_bytes('{"key": "ä", "value": "1"}'.encode("utf-16"))
    status, _, err = run(capsys, "load", tmp_path / "store", tmp_path / "in.jsonl")
    assert status != 0
    assert err == "kvraft: line 1 is not UTF-8 text: save the file as UTF-8\n"


def test_a_member_can_be_dumped_but_only_its_cluster_may_write_to_it(tmp_path, capsys):
    data, some = tmp_path / "data", tmp_path / "some.csv"
    lines = catalogue_path().read_text(encoding="utf-8").splitlines(keepends=True)
    some.write_text("".join(lines[:501]), encoding="utf-8")
    assert cli.main(["tour", "--file", str(some), "--data", str(data)]) == 0
    capsys.readouterr()
    dumps = [run(capsys, "dump", data / name)[1] for name in ("n1", "n2")]
    assert len(dumps[0].splitlines()) > 500
    assert "kvraft/" not in dumps[0]
    status, _, err = run(capsys, "load", data / "n1", tmp_path / "none")
    assert status == 2
    (tmp_path / "none").write_text("")
    status, _, err = run(capsys, "load", data / "n1", tmp_path / "none")
    assert (status, "only its cluster may write" in err) == (2, True)
    for what in ("log", "table", "manifest", "tree"):
        assert run(capsys, "inspect", what, data / "n1")[0] == 0


def test_a_progress_bar_shows_on_a_terminal_only(monkeypatch, capsys):
    from kvraft.tools import progress_bar

    assert list(progress_bar(range(3), "things")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress_bar(range(3), "things", 3)) == [0, 1, 2]
    assert "things" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(progress_bar(range(3), "things", 3)) == [0, 1, 2]


def test_documents_hold_what_json_can_hold(store):
    disk = RealDisk(store)
    for document in (inspect.log(disk), inspect.table(disk, rows=True), inspect.manifest(disk)):
        assert json.loads(json.dumps(document)) == document
    disk.close()


# ── beside a process that writes ────────────────────────────────────────────────────────────────

KEYS = 300
WRITER = f"""
import sys
from kvraft.lsm import TreeOptions
from kvraft.store import Store

store = Store.open(sys.argv[1], options=TreeOptions(memtable_bytes=4000), segment_bytes=3000)
print("open", flush=True)
for number in range(10**9):
    store.put(b"%03d" % (number % {KEYS}), b"%d" % number)
    if number % 250 == 0:
        store.flush()
    if number % 1000 == 0:
        store.compact()
"""


def is_a_moment(lines):
    """Return whether what was dumped is what the writer held after some number of its puts."""
    found = {each["key"]: int(each["value"]) for each in map(json.loads, lines)}
    done = max(found.values(), default=-1) + 1
    return found == {f"{number % KEYS:03d}": number for number in range(done)}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps readers and writers apart")
def test_every_tool_works_beside_a_process_that_flushes_compacts_and_truncates(tmp_path, capsys):
    looks = [f"inspect {what} {{}} --json" for what in ("tree", "log", "table", "manifest")]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    )
    refused, done = [], dict.fromkeys([*looks, "verify {}", "dump {}"], 0)
    unsure, logs = 0, set()
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        end = time.monotonic() + 3
        while time.monotonic() < end or not all(done.values()):
            for command in done:
                arguments = [word.format(tmp_path / "s") for word in command.split()]
                status, out, err = run(capsys, *arguments)
                if status == 2 and "changed while it was read" in err and "open it again" in err:
                    refused.append(command)
                    continue
                assert status == 0, f"{command}: {status} {err}{out[-500:]}"
                done[command] += 1
                unsure += "known to be durable" in out + err
                if command == "dump {}":
                    assert is_a_moment(out.splitlines())
                elif command == looks[1]:
                    logs.add(json.loads(out)["segments"][0]["file"])
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert unsure, "that the newest may not be durable yet is said"
    assert len(logs) > 1, "the log was truncated meanwhile"
    assert len(refused) < sum(done.values())


def test_a_dump_says_what_may_not_be_durable_beside_the_rows_not_among_them(tmp_path, capsys):
    store = Store.open(tmp_path)
    store.put(b"a", b"1")
    status, out, err = run(capsys, "dump", tmp_path)
    assert (status, out) == (0, '{"key": "a", "value": "1"}\n')
    assert err.startswith("kvraft: Log entry 1 is not known to be durable")
    assert len(err.splitlines()) == 1
    assert "Log entry 1 is not known" in run(capsys, "inspect", "log", tmp_path)[1]
    store.close()
    for command in ("dump", "verify", "inspect log"):
        status, out, err = run(capsys, *command.split(), tmp_path)
        assert (status, err, "durable" in out) == (0, "", False)
