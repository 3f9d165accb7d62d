"""Runs in which something is found are made small, and still show what they showed."""

import shlex
from dataclasses import replace

import pytest

from kvraft.check.sweep import SwarmSettings, run_seed, smaller_run
from kvraft.check.sweep.smaller import what_breaks
from kvraft.cli import main
from kvraft.errors import BadInput

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


def test_the_command_makes_a_run_small_and_what_it_prints_repeats_it(capsys, tmp_path):
    trace = tmp_path / "small.jsonl"
    command = ["swarm", "--seeds", str(SEED), "--bug", EAGER, "--acts"]
    every = ",".join(map(str, range(ACTS)))
    assert main([*command, every, "--shrink", "--trace", str(trace)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(f"of {ACTS} break it, too:")
    assert said[1].startswith(f"seed {SEED}: Violation: the five marks")
    assert said[2].endswith(" --acts none")
    assert main(shlex.split(said[2].partition("kvraft ")[2])) == 1
    assert capsys.readouterr().out.splitlines()[0] == said[1]
    members = 3 if "--members 3" in said[2] else None
    assert trace.read_text() == run_seed(SEED, SwarmSettings(EAGER, members=members, only=())).trace


def test_wrong_options_are_refused_in_a_sentence(capsys):
    assert main(["swarm", "--seeds", "1-2", "--shrink"]) == 2
    assert "give a single seed" in capsys.readouterr().err
    for wrong in ("3,-1", "x", ""):
        with pytest.raises(SystemExit, match="2"):
            main(["swarm", "--acts", wrong])
        assert "is not a list of acts, such as 3,9,41" in capsys.readouterr().err
