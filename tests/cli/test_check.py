"""kvraft check: a class of the working directory on trial, whatever it does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kvraft.check.trial import RUNS
from kvraft.cli import cli
from kvraft.trial import REPLICA_SECONDS, SECONDS, usual_seconds

ROOT = Path(__file__).resolve().parents[2]
MINE = f"""
import os, sys, itertools
sys.path.insert(0, {str(ROOT)!r})
from tests.helpers.minimal_raft import *
from tests.helpers.minimal_tree import ForgetsToSync

class Prints(MinimalRaft):
    def tick(self):
        print("tick")
        super().tick()

class Hangs(MinimalRaft):
    def lead(self):
        while True:
            pass

class HangsInC(MinimalRaft):
    def lead(self):
        sum(itertools.repeat(0))

class Dies(MinimalRaft):
    def lead(self):
        os._exit(3)

class Bare:
    def tick(self):
        pass

class Nothing:
    pass

class HalfATree:
    def put(self, key, value):
        pass
    get = put

from kvraft.replica import Replica
class MyReplica(Replica):
    pass

class ReplicaHangs(Replica):
    def save(self, ready):
        while True:
            pass

class StampsAsTheyCome(Replica):
    def raised_timestamp(self, timestamp):
        return timestamp
"""


@pytest.fixture
def check(tmp_path):
    """Run ``kvraft check`` in a folder that has a module of one's own."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("x = 1 / 0\n")

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "kvraft", *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_right_one_is_clean_and_what_it_prints_disturbs_no_report(check):
    status, out, err = check("check", "mine:Prints", "--runs", "2", "--json", "-")
    report = json.loads(out)
    assert status == 0
    assert {verdict["outcome"] for verdict in report["verdicts"]} == {"holds", "not tried"}
    assert err.startswith("kvraft: mine:Prints: it printed ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["ForgetsItsVote", "ForgetsToSync", "StampsAsTheyCome"])
def test_standard_output_is_one_document_of_json_whatever_is_broken(check, name):
    status, out, err = check("check", f"mine:{name}", "--runs", "1", "--json", "-")
    assert (status, err) == (1, "")
    assert any(verdict["outcome"] == "broken" for verdict in json.loads(out)["verdicts"])


def test_a_wrong_one_is_shown_saved_drawn_and_played_again(check, tmp_path):
    words = ("check", "mine:ForgetsItsVote", "--runs", "1", "--save", "found.txt")
    status, out, _ = check(*words, "--picture", "found.svg", "--json", "found.json")
    assert status == 1
    assert "broken     durable before use" in out
    assert "durable before use is broken in run 1" in out
    assert (tmp_path / "found.svg").read_text().startswith("<svg")
    assert check(*words[:4], "--picture", "found.html")[0] == 1
    assert "<html" in (tmp_path / "found.html").read_text()
    report = json.loads((tmp_path / "found.json").read_text())
    assert [v["outcome"] for v in report["verdicts"] if v["property"] == "durable before use"] == [
        "broken"
    ]
    status, out, _ = check("play", "found.txt", "--with", "mine:ForgetsItsVote")
    assert status == 0
    assert "As expected, this breaks" in out
    status, _, err = check("play", "found.txt", "--with", "mine:MinimalRaft")
    assert status == 1
    assert "expected a violation" in err


def test_a_tree_is_judged_by_the_same_command(check):
    status, out, _ = check("check", "mine:ForgetsToSync", "--runs", "5")
    assert status == 1
    assert "holds      reads see the last write     in 5 runs" in out
    assert "  tree.flush()" in out


def test_a_replica_is_judged_in_whole_clusters(check, tmp_path):
    assert check("check", "mine:MyReplica", "--runs", "1")[0] == 0
    saved = tmp_path / "found.jsonl"
    wrong = ("mine:StampsAsTheyCome", "--runs", "1")
    status, out, _ = check("check", *wrong, "--save", str(saved))
    assert status == 1
    assert "broken     timestamps rise" in out
    assert "timestamps rise is broken in run 1: " in out
    status, out, _ = check("play", str(saved), "--with", "mine:StampsAsTheyCome")
    assert status == 1
    assert "It is the recorded run, to the letter." in out
    assert "“timestamps rise” breaks at step " in out
    status, out, _ = check("play", str(saved), "--with", "mine:MyReplica")
    assert status == 0
    assert "Nothing breaks: " in out
    assert (
        "has nothing that it could do without"
        in check("check", "mine:MyReplica", "--without", "reads")[2]
    )


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("mine", "'mine' is not MODULE:CLASS, such as mymodule:MyRaft"),
        ("nowhere:MyRaft", "there is no module nowhere in the working directory"),
        ("broken:MyRaft", "broken cannot be imported: it raises ZeroDivisionError"),
        ("mine:Missing", "mine has no class Missing: it has Bare, Dies, HalfATree, Hangs"),
        ("mine:Bare", "mine:Bare lacks the methods step, propose, has_ready, ready, advance"),
        ("mine:Nothing", "mine:Nothing is nothing that can be judged"),
        ("mine:HalfATree", "mine:HalfATree lacks the methods delete, scan, flush: a tree has put"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_sentence(check, subject, words):
    status, out, err = check("check", subject, "--runs", "1")
    assert (status, out) == (2, "")
    assert err.startswith("kvraft: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Hangs", "mine:Hangs did not come back within 2 seconds, in mine.py, line 1"),
        ("ReplicaHangs", "mine:ReplicaHangs did not come back within 2 seconds, in mine.py"),
        ("HangsInC", "mine:HangsInC did not come back within 2 seconds, in mine.py, line "),
        ("Dies", "mine:Dies ended the process that judged it, with status 3"),
    ],
)
def test_what_never_ends_or_dies_is_a_sentence(check, name, words):
    status, out, err = check("check", f"mine:{name}", "--runs", "1", "--seconds", "2")
    assert (status, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


def test_the_help_says_what_is_done_without_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"({RUNS}; 100 of a tree, 30 of a command)" in text
    limits = f"({SECONDS}; {REPLICA_SECONDS} of a replica), or an answer of a command ({SECONDS})"
    assert f"one run may take {limits}" in text


def test_a_run_of_whole_members_may_take_longer():
    assert usual_seconds("kvraft.replica:Replica") == REPLICA_SECONDS
    assert usual_seconds("kvraft.raft:Raft") == usual_seconds("kvraft.lsm:Tree") == SECONDS
    assert REPLICA_SECONDS >= 10 * SECONDS
