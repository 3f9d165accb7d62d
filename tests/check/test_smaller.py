"""Runs in which something is found are made small, and still show what they showed."""

import shlex
from dataclasses import replace

import pytest

from kvraft.check.bugs import find_bug
from kvraft.check.sweep import SwarmSettings, find_run, judge_record, run_seed, smaller_run
from kvraft.check.sweep.smaller import what_breaks
from kvraft.cli import main
from kvraft.display import listed
from kvraft.errors import BadInput
from kvraft.events import Trace

BUG, BROKEN = "sessions not flushed", "one state machine"
ACTS = 12
SEED = 2
"""Under which the bug is found within so many acts."""
EAGER = "apply on append"
"""It is found before anybody acts, so its run is made small in no time."""
SICK = SwarmSettings(bug=BUG, acts=ACTS)


def test_each_act_that_is_left_is_needed():
    small = smaller_run(SICK, SEED)
    assert what_breaks(small, SEED) == what_breaks(SICK, SEED) == BROKEN
    assert 1 <= len(small.only) <= 10
    for act in small.only:
        fewer = tuple(each for each in small.only if each != act)
        assert what_breaks(replace(small, only=fewer), SEED) != BROKEN


def test_nothing_is_left_of_what_needs_no_act():
    """The first data is written before anybody acts."""
    small = smaller_run(SwarmSettings(bug=EAGER, acts=ACTS), 1)
    assert small.only == ()
    assert small.as_options().endswith(" --acts none")


def test_a_run_without_a_finding_cannot_be_made_smaller():
    with pytest.raises(BadInput, match="nothing is found in the run under seed 2"):
        smaller_run(SwarmSettings(acts=2), 2)


def test_the_command_makes_a_run_small_and_writes_what_it_prints(capsys, tmp_path):
    trace, file = tmp_path / "small.jsonl", tmp_path / "small.run.jsonl"
    every = ",".join(map(str, range(ACTS)))
    command = ["swarm", "--seeds", str(SEED), "--bug", EAGER, "--acts", every, "--shrink"]
    assert main([*command, "--trace", str(trace), "--run", str(file)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"seed {SEED}: Violation: the five marks")
    small = judge_record(find_run(str(file)), find_bug(EAGER))
    actions, members = len(small.record.actions), len(small.record.members)
    assert said[2].startswith(f"{actions} action")
    assert said[2].endswith(f" break it, in {listed(small.record.members)}:")
    assert (actions, members < 5) == (0, True)
    assert said[3] == small.sentence
    assert [*Trace.load(trace)] == [*small.run.trace]


def test_where_actions_alone_break_nothing_acts_are_left_out(capsys, tmp_path, monkeypatch):
    """So it is where a look of a checker moved a read error."""

    def nothing(record, code, *, alive):
        alive()
        raise BadInput("nothing breaks in this run, so it cannot be made smaller")

    monkeypatch.setattr("kvraft.cli.sweep.shrink_record", nothing)
    trace = tmp_path / "small.jsonl"
    every = ",".join(map(str, range(ACTS)))
    command = ["swarm", "--seeds", str(SEED), "--bug", EAGER, "--acts", every, "--shrink"]
    assert main([*command, "--trace", str(trace)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[2] == f"Its actions alone do not break it. 0 acts of {ACTS} do:"
    assert main(shlex.split(said[3].partition("kvraft ")[2])) == 1
    assert capsys.readouterr().out.splitlines()[0] == said[0]
    members = 3 if "--members 3" in said[3] else None
    assert trace.read_text() == run_seed(SEED, SwarmSettings(EAGER, members=members, only=())).trace


def test_wrong_options_are_refused_in_a_sentence(capsys):
    assert main(["swarm", "--seeds", "1-2", "--shrink"]) == 2
    assert "give a single seed" in capsys.readouterr().err
    assert main(["swarm", "--seeds", "2", "--acts", "none", "--shrink"]) == 2
    assert "nothing is found under seed 2, so there is" in capsys.readouterr().err
    for wrong in ("3,-1", "x", ""):
        with pytest.raises(SystemExit, match="2"):
            main(["swarm", "--acts", wrong])
        assert "is not a list of acts, such as 3,9,41" in capsys.readouterr().err
