"""Whatever is typed, the command line answers in sentences, with a status, and in time."""

import errno
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from kvraft.bench import PARTS, engines
from kvraft.cli import cli, terminal
from kvraft.errors import Corruption, ForeignFile, Locked, NotLeader, StateLost
from kvraft.store import Store

COMMANDS = [
    "lab",
    "grade",
    "playground",
    "tour",
    "play",
    "swarm",
    "zoo",
    "check",
    "soak",
    "verify",
    "inspect",
    "repair",
]
COMMANDS += ["rebuild", "dump", "load", "bench"]
LOOKING = ["verify", "inspect log", "inspect table", "inspect manifest", "inspect tree"]
LOOKING += ["repair", "repair --dry-run", "rebuild", "dump"]


def run(capsys, line, *paths):
    """Run a command line, in which {0} and so on stand for ``paths``."""
    arguments = [word.format(*paths) for word in line.split()]
    try:
        status = cli.main(arguments)
    except SystemExit as left:
        status = left.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys, line, *paths):
    """Return the one sentence with which a command line is refused."""
    status, out, err = run(capsys, line, *paths)
    assert (status, out) == (2, ""), (line, err)
    assert err.startswith("kvraft: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "Errno" not in err
    return err


# ── statuses ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Corruption("1.wal", 7, "rotten"), 1),
        (ForeignFile("another member's"), 1),
        (StateLost("it lacks files"), 1),
        (NotLeader("n1", None), 1),
        (Locked("in use"), 2),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2),
    ],
)
def test_what_was_found_and_what_could_not_be_done_have_statuses_of_their_own(
    capsys, monkeypatch, error, status
):
    def fail(options):
        raise error

    monkeypatch.setattr(cli.commands, "verify", fail)
    found, _, err = run(capsys, "verify {0}", ".")
    assert found == status
    assert err.count("\n") == 1


def test_damage_is_not_a_missing_directory(capsys, tmp_path):
    Store.open(tmp_path / "store").close()
    (log,) = (tmp_path / "store").glob("*.wal")
    assert run(capsys, "verify {0}", tmp_path / "store")[0] == 0
    log.write_bytes(b"\xff" + log.read_bytes()[1:])
    assert run(capsys, "verify {0}", tmp_path / "store")[0] == 1
    assert run(capsys, "verify {0}", tmp_path / "nowhere")[0] == 2


def test_the_statuses_are_in_every_help(capsys):
    for command in ("", *COMMANDS):
        status, out, _ = run(capsys, f"{command} --help")
        assert status == 0
        assert " ".join(cli.STATUSES.split()) in " ".join(out.split())


def test_kvraft_alone_prints_its_help(capsys):
    status, out, err = run(capsys, "")
    assert (status, err) == (0, "")
    listed = [line.split()[0] for line in out.splitlines() if re.match(r" {4}\w", line)]
    assert [word for word in listed if word != "COMMAND"] == list(COMMANDS)


# ── junk ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", LOOKING)
def test_what_is_not_a_data_directory_is_refused_in_a_sentence(
    capsys, tmp_path, command, monkeypatch
):
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.write_text("mine")
    for place in (tmp_path / "nowhere", file, empty, file / "below", tmp_path / ("x" * 300)):
        assert str(place) in refused(capsys, f"{command} {{0}}", place)
    assert list(empty.iterdir()) == []
    assert file.read_text() == "mine"
    assert "arguments are required" in refused(capsys, command)


@pytest.mark.parametrize("command", LOOKING)
def test_a_directory_that_may_not_be_read_is_refused_in_a_sentence(
    capsys, tmp_path, command, monkeypatch
):
    def denied(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "iterdir", denied)
    monkeypatch.setattr(os, "listdir", denied)
    monkeypatch.setattr(os, "scandir", denied)
    assert "Permission denied" in refused(capsys, f"{command} {{0}}", tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "invalid choice"),
        ("tour --seed x", "x is not a whole number"),
        ("tour --seed -1", "a seed must be at least 0, not -1"),
        ("tour --file {0}/nowhere.csv", "cannot be read"),
        ("play {0}", "{0}"),
        ("play nonsense", "there is no scenario 'nonsense'"),
        ("play --bug nonsense figure_8", "nonsense"),
        ("swarm --seeds 9-1", "9-1 runs backwards: write 1-9"),
        ("swarm --seeds x-y", "x-y is neither a seed, such as 7, nor a range, such as 1-9"),
        ("swarm --seeds=-5", "-5 is neither a seed"),
        ("swarm --seeds " + "9" * 5000, "is neither a seed"),
        ("swarm --bug nonsense", "nonsense"),
        ("swarm --seeds 1-99999999999999999999999 --trace {0}/t", "a trace is of one run"),
        ("soak --transactions -5", "transactions must be at least 1, not -5"),
        ("soak --transactions 1e6", "1e6 is not a whole number"),
        ("inspect nonsense {0}", "invalid choice"),
        ("inspect table {0} --number -1", "a table's number must be at least 1, not -1"),
        ("dump {0} --at -1", "a timestamp must be at least 0, not -1"),
        ("load {0}/new {0}/nowhere", "No such file or directory"),
        ("load {0}/new {0}", "Is a directory"),
        ("load {0}/file {0}/file", "file is not a directory"),
        ("load {0}/new", "arguments are required"),
        ("bench", "arguments are required"),
        ("bench nonsense", "invalid choice"),
        ("bench consensus --rounds 0", "rounds must be at least 1, not 0"),
        ("bench storage --records -7", "records must be at least 1, not -7"),
        ("bench storage --records 7", "cannot be measured with fewer than 100 records"),
        ("bench storage --peers Oracle", "there is no peer 'Oracle' to compare with: there are"),
        ("bench python --figure {0}/x.svg", "there is nothing to compare with"),
        ("bench world --peers none --figure {0}/x.svg", "there is nothing to compare with"),
        ("bench consensus --against {0}", "holds no kvraft"),
        ("bench consensus --against {0}/nowhere", "holds no kvraft"),
        ("lab {0}/file", "file is not a directory"),
        ("lab {0} --jupyter", "expected one argument"),
    ],
)
def test_junk_is_refused_in_a_sentence(capsys, tmp_path, line, says):
    (tmp_path / "file").write_text("mine")
    assert says.format(tmp_path) in refused(capsys, line, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bytes_that_are_no_text_are_refused_in_a_sentence(capsys, tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    refused(capsys, "load {0}/new {0}/bytes", tmp_path)
    refused(capsys, "play {0}/bytes", tmp_path)
    refused(capsys, "tour --file {0}/bytes", tmp_path)


# ── output is known to be possible before the work is begun ─────────────────────────────────────


@pytest.mark.parametrize(
    "line",
    [
        "soak --out {0}",
        "soak --figure {0}",
        "swarm --seeds 1 --trace {0}",
        "dump {1} --out {0}",
        "bench storage --json {0}",
        "bench storage --figure {0}",
    ],
)
@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere/out.png", "nowhere is not a directory"),
        ("file/out.png", "file is not a directory"),
        (".", "is a directory: name a file"),
    ],
)
def test_an_output_file_into_nowhere_is_refused_at_once(
    capsys, tmp_path, monkeypatch, line, target, says
):
    (tmp_path / "file").write_text("mine")
    for name in ("soak", "swarm", "dump", "bench"):
        monkeypatch.setattr(cli.commands, name, lambda options: pytest.fail("it began"))
    assert says in refused(capsys, line, tmp_path / target, tmp_path)


@pytest.mark.parametrize("line", ["tour --save {0}", "tour --data {0}", "load {0} -", "lab {0}"])
@pytest.mark.parametrize("target", ["file", "file/below/that"])
def test_an_output_folder_that_cannot_be_is_refused_at_once(
    capsys, tmp_path, monkeypatch, line, target
):
    (tmp_path / "file").write_text("mine")
    for name in ("tour", "load", "lab"):
        monkeypatch.setattr(cli.commands, name, lambda options: pytest.fail("it began"))
    assert "file is not a directory" in refused(capsys, line, tmp_path / target)


@pytest.mark.parametrize("line", ["soak --out {0}/out", "tour --data {0}", "load {0}/new -"])
def test_output_where_nobody_may_write_is_refused_at_once(capsys, tmp_path, monkeypatch, line):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "no permission" in refused(capsys, line, tmp_path)


def test_a_figure_of_another_kind_is_refused_at_once(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cli.commands, "soak", lambda options: pytest.fail("it began"))
    assert "a figure is a .png or a .svg" in refused(capsys, "soak --figure {0}/a.gif", tmp_path)


def test_a_dump_that_fails_leaves_what_was_there(capsys, tmp_path):
    store = Store.open(tmp_path / "store")
    store.put(b"k", b"v")
    store.close()
    (tmp_path / "out").write_text("an older dump")
    assert run(capsys, "dump {0}/store --out {0}/out --at 99999999999999999999", tmp_path)[0] == 2
    assert (tmp_path / "out").read_text() == "an older dump"
    assert run(capsys, "dump {0}/store --out {0}/out", tmp_path)[0] == 0
    assert (tmp_path / "out").read_text() == '{"key": "k", "value": "v"}\n'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_a_benchmark_names_the_peers_that_it_leaves_out(capsys, monkeypatch):
    monkeypatch.setattr(
        engines,
        "PEERS",
        {"LevelDB": (engines.LevelDB, "no_such"), "sqlite3": (engines.Sqlite, "sqlite3")},
    )
    _, out, err = run(capsys, "bench storage --rounds 1 --records 100")
    assert err.startswith("LevelDB is left out: no_such is not installed\n")
    assert "than sqlite3" in out
    assert "LevelDB" not in out
    asked = "bench storage --peers sqlite3,LevelDB"
    assert "LevelDB is not installed: pip install no_such" in refused(capsys, asked)


def test_every_benchmark_of_the_command_line_exists():
    assert set(cli.PARTS) == set(PARTS)


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────


def process(*arguments, **options):
    command = [sys.executable, "-m", "kvraft", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **(pipes | options))


posix = pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console")


def heed_ctrl_c():
    """A shell has what it starts in the background ignore it, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@posix
def test_ctrl_c_during_a_run_is_a_clear_end():
    code = "import sys; from kvraft.__main__ import main; print('up', flush=True); sys.exit(main())"
    command = [sys.executable, "-c", code, "swarm", "--seeds", "1-100000"]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        assert running.stdout.readline() == "up\n"
        time.sleep(0.5)  # whether it still loads or runs already: the end is the same
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert err == "\nkvraft: interrupted\n"


def test_ctrl_c_while_it_still_loads_is_a_clear_end():
    """The import of cli/cli.py is where it comes: a module there raises what a signal does."""
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'kvraft.cli.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from kvraft.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "\nkvraft: interrupted\n")


def test_a_reader_who_has_seen_enough_ends_it_without_a_word(tmp_path):
    store = Store.open(tmp_path / "store")
    for number in range(3000):
        store.put(b"%040d" % number, b"value")
    store.close()
    running = process("dump", str(tmp_path / "store"))
    assert running.stdout.readline().startswith("{")
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(timeout=60) == 0
    running.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_an_output_that_is_full_is_a_sentence():
    with open("/dev/full", "w") as full:
        running = process("play", stdout=full)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 2
    assert err == "kvraft: output: No space left on device\n"


# ── narrow terminals ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_forty_columns(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = run(capsys, f"{command} --help")
    assert max(map(len, out.splitlines())) <= 40


@pytest.mark.parametrize(
    "line", ["play", "play figure_8", "swarm --seeds 1", "swarm --seeds 1 --bug nonsense"]
)
def test_prose_fits_into_forty_columns(capsys, monkeypatch, line):
    monkeypatch.setattr(terminal, "columns", lambda stream=None: 40)
    _, out, err = run(capsys, line)
    for each in (out + err).splitlines():
        assert len(each) <= 40 or " " not in each.strip(), each


def test_prose_is_whole_lines_where_nobody_reads_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, run(capsys, "play figure_8")[1].splitlines())) > 100


def test_folding_keeps_indentation_empty_lines_and_paths():
    text = "one\n\n    two three four five\n/a/very/long/path/that/stays/whole"
    assert terminal.folded(text, 16) == (
        "one\n\n    two three\n      four five\n/a/very/long/path/that/stays/whole"
    )
    assert terminal.folded(text, None) == text


def test_a_terminal_is_as_wide_as_it_says(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "50")
    assert terminal.columns(Screen()) == 50
    assert terminal.columns(io.StringIO()) is None
    screen = Screen()
    terminal.say("word " * 30, screen)
    assert max(map(len, screen.getvalue().splitlines())) <= 50


def test_a_saved_run_is_played_and_said_to_be_the_same_or_where_it_differs(capsys, tmp_path):
    from kvraft.sim import Run

    saved, path = Run(3, seed=2), tmp_path / "run.jsonl"
    saved.run_for(400)
    saved.act("crash", saved.world.leader())
    saved.save(path)
    status, out = run(capsys, f"play {path}")[:2]
    assert status == 0
    assert saved.actions[0].as_python() in out
    assert f"sha256 {saved.trace.digest()}" in out
    assert "It is the recorded run, to the letter.\nNothing breaks: " in out
    other = (
        path.read_text().replace('"version": "', '"version": "9.').replace('"seed": 2', '"seed": 3')
    )
    path.write_text(other)
    status, out = run(capsys, f"play {path}")[:2]
    assert status == 1
    assert "the first difference is step " in out
    assert "No such file" in refused(capsys, f"play {tmp_path}/none.jsonl")
    assert "no planted bug 'nonsense'" in refused(capsys, f"play {path} --bug nonsense")
