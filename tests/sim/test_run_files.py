"""Run files: the same again in any process; whatever is wrong with one is said in a sentence."""

import json
import os
import subprocess
import sys

import pytest

from kvraft import __version__
from kvraft.check.bugs import find_bug
from kvraft.errors import BadInput
from kvraft.lsm import Tiered
from kvraft.raft import Raft, RaftOptions
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import LONGEST_RUN, MOST_ACTIONS, Action, NoCompaction, Run
from tests.helpers.random_runs import random_run

PLAY = "import sys; from kvraft.sim import Run; print(Run.load(sys.argv[1]).trace.digest())"


class Mine(Raft):
    """A learner's own."""


class Other(Raft):
    """Another one."""


class MyReplica(Replica):
    """A learner's own."""


def small(**more):
    run = Run(3, seed=2, **more)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("put", "ann", b"\xff", "é")
    run.act("crash", run.world.leader())
    run.run_for(300)
    return run


def rows(run):
    return [json.loads(line) for line in run.to_text().splitlines()]


def text(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def edited(run, **fields):
    """Return the text of a run whose header has other fields; ``None`` leaves one out."""
    header, *actions = rows(run)
    header = {name: value for name, value in (header | fields).items() if value is not None}
    return text([header, *actions])


def test_a_saved_run_is_the_same_again(tmp_path):
    run = small(options=ReplicaOptions(memtable_bytes=2_000, raft=RaftOptions(pre_vote=False)))
    run.save(tmp_path / "run.jsonl")
    again = Run.load(tmp_path / "run.jsonl")
    assert (again.trace.digest(), again.now) == (run.trace.digest(), run.now)
    assert (again.actions, again.options) == (run.actions, run.options)
    assert again.to_text() == run.to_text()
    assert again.difference == ""


@pytest.mark.parametrize("drained", [False, True])
def test_it_may_be_saved_in_the_microsecond_of_its_last_action(drained):
    """A timer that runs out by hand leaves a drain to be done in that microsecond."""
    run = small()
    run.act("timeout", next(iter(run.world.replicas)))
    steps = len(run.trace)
    if drained:
        run.run_for(0)
    assert (len(run.trace) > steps) is drained
    assert list(Run.parse(run.to_text()).trace) == list(run.trace)


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_it_is_the_same_in_another_process_whatever_its_hashes(tmp_path, seed):
    run = random_run(5, 40)
    run.save(tmp_path / "run.jsonl")
    played = subprocess.run(
        [sys.executable, "-c", PLAY, str(tmp_path / "run.jsonl")],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert played.stdout.strip() == run.trace.digest()


def test_options_are_kept_as_far_as_they_are_not_the_defaults():
    options = ReplicaOptions(strategy=Tiered(tables=3), raft=RaftOptions(lease_ticks=9))
    run = Run(["a", "b", "c"], seed=-3, options=options)
    header = rows(run)[0]
    assert header["options"] == {
        "strategy": {"kind": "Tiered", "tables": 3},
        "raft": {"lease_ticks": 9},
    }
    assert Run.parse(run.to_text()).options == options
    assert rows(Run())[0]["options"] == {}
    with pytest.raises(BadInput, match="the strategy NoCompaction cannot be saved"):
        Run(options=ReplicaOptions(strategy=NoCompaction())).to_text()


def test_code_is_named_and_never_loaded_and_the_caller_passes_it():
    run = small(consensus=Mine, replica=MyReplica)
    kept = run.to_text()
    assert Run.parse(kept, consensus=Mine, replica=MyReplica).trace.digest() == run.trace.digest()
    for given, why in (
        ({}, "needs the class Mine: pass it as consensus=, and was given no consensus"),
        ({"consensus": Other}, "needs the class Mine: pass it as consensus=, and was given "),
        ({"consensus": Mine}, "needs the class MyReplica: pass it as replica="),
    ):
        with pytest.raises(BadInput, match=why):
            Run.parse(kept, **given)
    with pytest.raises(BadInput, match="needs kvraft's own Raft, and was given consensus=Mine"):
        Run.parse(small().to_text(), consensus=Mine)


def test_a_planted_bug_is_code_like_any_other():
    bug = find_bug("votes twice")
    run = small(consensus=bug.consensus)
    assert Run.parse(run.to_text(), consensus=bug.consensus).actions == run.actions


def first_difference(one, other):
    return next(n for n, (a, b) in enumerate(zip(one.trace, other.trace, strict=False)) if a != b)


def test_of_another_version_it_plays_and_names_the_first_step_that_differs():
    run = small()
    changed = {"version": "0.0.9", "options": {"raft": {"heartbeat_ticks": 4}}}
    again = Run.parse(edited(run, **changed))
    step = first_difference(run, again)
    assert again.difference.startswith(f"the first difference is step {step}, at ")
    assert again.now == run.now
    assert Run.parse(edited(run, version="0.0.9")).difference == ""
    with pytest.raises(BadInput, match=f"does not replay to the letter: .* step {step}, at "):
        Run.parse(edited(run, **changed | {"version": __version__}))


def test_an_action_that_another_version_refuses_ends_the_run_there():
    header, put, crash = rows(small())
    header |= {"version": "0.0.9", "actions": 3}
    again = Run.parse(text([header, put, crash, crash]), "x.jsonl")
    assert len(again.actions) == 2
    assert "x.jsonl, line 4: crash: " in again.difference
    assert "does not run" in again.difference


def test_a_long_run_has_marks_for_several_steps_each():
    run = Run(3, seed=1)
    run.run_for(28_000)
    header = rows(run)[0]
    assert (header["every"], len(header["marks"])) == (2, 2 * -(-header["steps"] // 2))
    again = Run.parse(edited(run, version="0.0.9", seed=2))
    step = first_difference(run, again)
    assert f"one of the steps {step - step % 2} to {step - step % 2 + 1}" in again.difference


HEADER = {
    "seed": "1",
    "members": 3,
    "version": 1,
    "until": True,
    "digest": None,
    "marks": None,
    "options": [],
}


@pytest.mark.parametrize("name", HEADER)
def test_a_field_of_the_wrong_type_or_missing_is_named(name):
    with pytest.raises(BadInput, match=f"run, line 1: the field '{name}' "):
        Run.parse(edited(small(), **{name: HEADER[name]}))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"colour": 1}, "line 1: there is no field 'colour': kvraft_run, "),
        ({"kvraft_run": 1}, "line 1: the format of this run file is 1; .* reads 2"),
        ({"options": {"speed": 1}}, "the field 'options': there is no option 'speed'"),
        ({"options": {"raft": {"speed": 1}}}, "there is no raft option 'speed'"),
        ({"options": {"raft": 3}}, "the option raft must be a table, not 3"),
        ({"options": {"raft": {"window": 0}}}, "'options': window must be at least 1"),
        ({"options": {"memtable_bytes": "1"}}, "'options': memtable_bytes must be a whole number"),
        ({"options": {"strategy": {"kind": "os"}}}, "the option strategy has a 'kind'"),
        ({"digest": "0" * 64}, "does not replay to the letter: "),
        ({"marks": "AA"}, "does not replay to the letter: "),
        ({"seed": 3}, "does not replay to the letter: "),
        ({"actions": 3}, "'actions' announces 3 actions, and the file has 2"),
        ({"actions": MOST_ACTIONS + 1}, "a run can have 10,000 actions, not 10,001"),
        ({"until": -1}, "the field 'until' must be at least 0"),
        ({"until": 5}, "the field 'until' is before the last action"),
        ({"until": LONGEST_RUN * 1_000 + 1}, "line 1: a run can last 600 s, not "),
        ({"every": 0}, "the field 'every' must be at least 1"),
        ({"members": []}, "member"),
        ({"members": [1]}, "a name in members must be text, not 1"),
    ],
)
def test_a_wrong_header_is_refused_in_a_sentence(fields, why):
    with pytest.raises(BadInput, match=why) as found:
        Run.parse(edited(small(), **fields))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{}", "line 3: an action is a list of a time, a verb and arguments"),
        ("[1", "line 3: not a line of JSON: '\\[1'"),
        ('["x", "heal"]', "line 3: the time must be a whole number of microseconds, not 'x'"),
        ("[1, 2]", "line 3: the verb must be text, not 2"),
        ('[1, "heal"]', "line 3: the time is before that of the line above"),
        ('[250000, "put", "ann", {"k": 1}, "v"]', "line 3: an argument is a number, text or a lis"),
        ('[400000, "jump", "n1"]', "line 3: there is no verb 'jump'"),
        ('[400000, "crash", "n7"]', "line 3: there is no member called n7"),
        ('[400000, "drop", 1, "n1", "n2", "PreVote"]', "line 3: drop: message 1 is not in flight"),
        ("[" * 90_000, "line 3: not a line of JSON"),
    ],
)
def test_a_wrong_action_is_refused_with_its_line(row, why):
    header, put, _ = small().to_text().splitlines()
    with pytest.raises(BadInput, match=why):
        Run.parse("\n".join([header, put, row]))


@pytest.mark.parametrize("content", ["", "\n", "[]", "7", "{}", "no", '{"a": 1}'])
def test_what_is_not_a_run_file_is_refused(content):
    with pytest.raises(BadInput, match="run, line 1: "):
        Run.parse(content)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"\xff\x00")
    with pytest.raises(BadInput, match="is not a run file, which is text in ASCII"):
        Run.load(tmp_path / "x.jsonl")


def test_a_run_is_bounded():
    run = Run(1, seed=1)
    with pytest.raises(BadInput, match="a run can last 600 s, and this would be more"):
        run.run_for(LONGEST_RUN + 1)
    with pytest.raises(BadInput, match="actions come in order of time"):
        Run(seed=2, actions=[Action(9_000, "heal", ()), Action(8_999, "heal", ())])


def test_a_fork_begins_in_the_past_of_its_run():
    run = small()
    for wrong in ({"step": -1}, {"step": len(run.trace)}, {"at": run.now + 1}, {"at": -1}):
        with pytest.raises(BadInput):
            run.fork(**wrong)
    with pytest.raises(BadInput, match="not both"):
        run.fork(1, at=1)
    assert len(run.at(0).trace) > 0
    assert run.fork(at=0).actions == ()
