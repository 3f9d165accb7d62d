"""The plug-in of pytest: nothing until it is asked, then a test for each property."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kvraft.check.trial import CONSENSUS

ROOT = Path(__file__).resolve().parents[2]
MINE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.helpers.minimal_raft import *
"""
OWN_TESTS = """
def test_my_cluster(cluster):
    cluster.timeout("n1")
    cluster.settle()
    assert cluster.leader() == "n1"

def test_a_world(world):
    world.run_until(lambda: world.leader() is not None)
    assert world.client("alice").put(b"k", b"v").stage.value == "APPLIED"
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest in a folder that has a module of one's own and two tests."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "test_own.py").write_text(OWN_TESTS)

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, "-m", "pytest", "-p", "kvraft.plugin", "-rA", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_it_is_not_there_unless_it_is_asked(run):
    status, out = run()
    assert status == 1
    assert "fixture 'cluster' not found" in out
    assert "election safety" not in out


def test_a_right_one_passes_and_what_it_lacks_is_skipped(run, tmp_path):
    words = ("--kvraft-raft", "mine:MinimalRaft", "--kvraft-runs", "2")
    status, out = run(*words, "--kvraft-json", "report.json", "--junitxml", "junit.xml")
    assert status == 0, out
    assert f"{2 + len(CONSENSUS) - 3} passed, 3 skipped" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert [verdict["property"] for verdict in report["verdicts"]] == list(CONSENSUS)
    assert 'name="election safety"' in (tmp_path / "junit.xml").read_text()


def test_a_wrong_one_fails_where_it_is_wrong_with_the_steps(run):
    status, out = run("--kvraft-raft", "mine:ForgetsItsVote", "--kvraft-runs", "1")
    assert status == 1
    assert "durable before use is broken in run 1:" in out
    assert "timeout n" in out
    assert "PASSED" in out


def test_what_cannot_be_judged_is_a_sentence(run):
    status, out = run("--kvraft-raft", "mine:Nothing", "--kvraft-runs", "1", "-k", "election")
    assert status == 1
    assert "mine has no class Nothing" in out
    assert "Traceback" not in out
    status, out = run("--kvraft-raft", "a:B", "--kvraft-command", "c")
    assert status == 4
    assert "--kvraft-raft or --kvraft-command, not both" in out


def test_what_is_no_consensus_module_is_a_sentence_too(run, tmp_path):
    with (tmp_path / "mine.py").open("a") as module:
        module.write("from tests.helpers.minimal_tree import *\n")
    status, out = run("--kvraft-raft", "mine:MinimalTree", "--kvraft-runs", "1")
    assert status == 1
    assert "mine:MinimalTree is a tree: kvraft check judges it" in out
    assert "StopIteration" not in out


def test_it_is_loaded_where_it_is_installed_next_to_a_conftest_of_ones_own(tmp_path):
    """As in the repository of a course: another folder, found by its entry point."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = tmp_path / "site" / "kvraft-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: kvraft\nVersion: 0\n")
    points = [f"{each} = {at}" for each, at in project["entry-points"]["pytest11"].items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *points, ""]))
    course = tmp_path / "course"
    course.mkdir()
    (course / "mine.py").write_text(MINE)
    (course / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef mine(cluster):\n    cluster.timeout('n1')\n"
        "    cluster.settle()\n    return cluster.leader()\n"
    )
    (course / "test_own.py").write_text("def test_mine(mine):\n    assert mine == 'n1'\n")
    done = subprocess.run(
        f"{sys.executable} -m pytest -rA --kvraft-raft mine:MinimalRaft --kvraft-runs 1".split(),
        cwd=course,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "site"), str(ROOT)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED test_own.py::test_mine" in done.stdout
    assert f"{1 + len(CONSENSUS) - 3} passed, 3 skipped" in done.stdout


def test_loading_it_loads_no_world():
    code = "import sys; import kvraft.plugin; print([n for n in sys.modules if 'kvraft.' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "['kvraft.plugin']"
