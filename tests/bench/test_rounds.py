"""Both sides of a comparison take turns, whichever kvraft they import, and leave nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvraft.bench import KVRAFT, Side, compare, other_version, rounds, run, worker
from kvraft.errors import BadInput

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A directory of their own for temporary files."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(rounds.tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def copy(tmp_path):
    """Another checkout: a copy of the package, without compiled files."""
    tree = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "kvraft", tree / "kvraft", ignore=ignored)
    return tree


def files(tree):
    return sorted(path for path in tree.rglob("*") if path.is_file())


def test_sides_take_turns_row_by_row_and_another_begins_each_round(monkeypatch):
    turns = []

    class Worker:
        def __init__(self, part, side, number, records, place):
            self.side, self.samples, self.left = side, {}, 2 if side.name == "a" else 3

        def __enter__(self):
            turns.append([])
            return self

        def __exit__(self, *_):
            pass

        def take(self):
            turns[-1].append(self.side.name)
            self.left -= 1
            return self.left > 0

    monkeypatch.setattr(rounds, "_Worker", Worker)
    list(compare("any", [Side("a"), Side("b")], 3, 1))
    assert ["".join(turn) for turn in turns if turn] == ["ababab", "bababa", "ababab"]


def test_another_version_does_the_same_work(copy, temporary):
    before = files(copy)
    result = run("consensus", rounds=2, records=256, peers=[], against=copy)
    assert result.sides == (KVRAFT, "other")
    assert len(result.rounds) == 2
    for round in result.rounds:
        assert list(round[KVRAFT]) == list(round["other"])
    assert all(len(result.ratios("other", row)) == 2 for row in result.rows)
    assert files(copy) == before  # no compiled files either
    assert list(temporary.iterdir()) == []


def test_the_benchmarks_are_ours_and_the_rest_is_theirs(copy, tmp_path):
    shutil.rmtree(copy / "kvraft" / "bench")  # an older one has none of this
    (copy / "kvraft" / "raft" / "log.py").write_text("raise RuntimeError('this is the copy')")
    with pytest.raises(BadInput, match=r"^other cannot do this benchmark: .*this is the copy$"):
        run("consensus", rounds=1, records=256, peers=[], against=copy)
    assert worker.HERE == ROOT / "kvraft" / "bench"


def test_a_process_that_ends_early_is_a_sentence(copy, temporary):
    (copy / "kvraft" / "record.py").write_text("import os; os._exit(7)")
    with pytest.raises(BadInput, match="its process ended with status 7"):
        run("consensus", rounds=1, records=256, peers=[], against=copy)
    assert list(temporary.iterdir()) == []


def test_a_kvraft_from_elsewhere_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ImportError, match="kvraft came from"):
        worker.adopt(tmp_path)  # there is none, so Python finds ours


def test_a_directory_without_kvraft_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no kvraft: name the top directory"):
        other_version(tmp_path)


@pytest.mark.parametrize(
    ("part", "options", "says"),
    [
        ("consensus", {"records": 1}, "fewer than 256 records"),
        ("storage", {"records": 99}, "fewer than 100 records"),
        ("consensus", {"peers": ["heap"]}, "there is no peer 'heap' to compare with: there are"),
        ("replica", {"peers": ["store", ""]}, "there is no peer ''"),
    ],
)
def test_what_cannot_be_measured_is_refused(part, options, says):
    with pytest.raises(BadInput, match=says):
        run(part, rounds=1, **options)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_leaves_no_files_and_no_process(tmp_path):
    running = subprocess.Popen(
        [sys.executable, "-m", "kvraft", "bench", "storage", "--records", "50000"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal sends it to all processes of the command
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        until = time.monotonic() + 60
        while not list(tmp_path.rglob("*.wal")) and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, out) == (130, "")
    assert err.endswith("\nkvraft: interrupted\n")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)
