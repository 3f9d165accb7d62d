"""Faults that the swarm found once: their runs are clean, and fail with the fault planted back."""

import inspect
import textwrap

import pytest

from kvraft.check.invariants import MarksChecker, WorldChecker
from kvraft.check.storage import RetentionChecker
from kvraft.check.sweep import RUNS, find_run, judge_record, run_names
from kvraft.cli import main
from kvraft.client.route import Route
from kvraft.errors import BadInput
from kvraft.replica import Replica
from kvraft.sim import Run
from kvraft.sstable import PassingCheck

FAULTS = {
    "damaged_table": (
        *(PassingCheck, "passes"),
        *("return self._through < self._size or", "return True or"),
        "progress",
    ),
    "unreadable_snapshot": (
        *(Replica, "begin"),
        *("except (OSError, Corruption) as error:", "except ZeroDivisionError as error:"),
        "OSError",
    ),
    "full_disk": (
        *(MarksChecker, "_check_marks"),
        *("(replica.wal.hard_state.term, m.flushed", "(replica.raft.term, m.flushed"),
        "nothing goes back",
    ),
    "copied_chunk": (
        *(RetentionChecker, "_forget_copy"),
        *("self._latest_chunk[0] != id", "self._latest_chunk[0] >= 0"),
        "truncate only what no snapshot needs",
    ),
    "woken_member": (
        *(WorldChecker, "_see"),
        *("seat.paused or any(message is None for message in seat.inbox)", "seat.paused"),
        "one lease",
    ),
    "removed_members": (
        *(Route, "turn_from"),
        *("self._turn += 1\n    if", "self._turn = self.members.index(member) + 1\n    if"),
        "writes are taken",
    ),
}
"""Where each fault was: a method, a part of it as it is and as it was, and what broke."""


def plant(monkeypatch, owner, method, now, then):
    """Replace a part of a method by what stood there before it was repaired."""
    made = getattr(owner, method)
    source = textwrap.dedent(inspect.getsource(made))
    assert source.count(now) == 1
    scope = {}
    exec(source.replace(now, then), made.__globals__, scope)
    monkeypatch.setattr(owner, method, scope[method])


@pytest.mark.parametrize("name", FAULTS)
def test_a_run_is_clean_and_breaks_with_the_fault_that_it_once_showed(name, monkeypatch):
    record = find_run(name)
    judged = judge_record(record)
    assert judged.error is None
    assert judged.left_out == ()
    *where, broken = FAULTS[name]
    plant(monkeypatch, *where)
    assert judge_record(record).broken == broken


def test_each_stored_run_is_told_of_and_its_fault_is_known():
    told = (RUNS.parent / "README.md").read_text(encoding="utf-8")
    assert set(run_names()) == set(FAULTS)
    for name in run_names():
        assert f"`{name}`" in told


def test_they_are_played_by_name_and_opened_like_any_other(capsys):
    assert main(["play"]) == 0
    assert "full_disk" in capsys.readouterr().out
    assert main(["play", "full_disk"]) == 0
    assert "Nothing breaks: " in capsys.readouterr().out
    run = Run.load(RUNS / "full_disk.jsonl")
    assert run.difference == ""


def test_a_name_that_no_run_has_is_refused():
    with pytest.raises(BadInput, match="no stored run 'emtpy_disk': copied_chunk, "):
        find_run("emtpy_disk")
