"""What the swarm does is a run: replayed to the letter, judged the same, made small and played."""

import subprocess
import sys
from dataclasses import replace

import pytest

from kvraft.check.bugs import Bug, find_bug
from kvraft.check.sweep import (
    KINDS,
    SwarmRun,
    SwarmSettings,
    broken_by,
    error_of,
    find_run,
    history_lines,
    judge_record,
    shrink_record,
)
from kvraft.check.sweep.faults import Faults
from kvraft.cli import main
from kvraft.errors import BadInput
from kvraft.replica import Replica
from kvraft.sim import Run, parse_run

EAGER = find_bug("apply on append")
"""It is found as soon as anything is appended."""
CALM = tuple(name for name in KINDS if name != "read-error")
"""A look at a member warms its cache, so without the looks another of its reads is the one that
fails."""
CARELESS = find_bug("drafts without reads")


def classes(bug):
    return {"consensus": bug.consensus, "replica": bug.replica, "client": bug.client}


def found(bug, seed, acts):
    """Return what is found under a seed, and the record of the run."""
    run = SwarmSettings(bug=bug.name, acts=acts, faults=CALM).make(seed)
    error = error_of(run)
    return broken_by(error), run.judged.record()


@pytest.fixture(scope="module")
def sick():
    broken, record = found(EAGER, 1, 12)
    assert broken
    return broken, record


@pytest.mark.parametrize("bug", ["tables not synced", "entries before the term"])
def test_a_start_that_fails_is_part_of_the_record(bug):
    """With the error of a disk, or with one that an action might be refused with."""
    record = find_run(f"zoo/{bug.replace(' ', '_')}")
    first = judge_record(record, find_bug(bug))
    assert first.broken in ("Corruption", "BadInput")
    assert first.record.actions[-1].verb == "restart"
    assert judge_record(first.record, find_bug(bug), to_end=False).broken == first.broken
    assert not first.left_out


@pytest.mark.parametrize("seed", [1, 4, 6, 12])
def test_what_was_done_to_a_world_gives_the_same_trace_without_the_swarm(seed):
    run = SwarmRun(seed, acts=60, faults=CALM)
    assert error_of(run) is None
    record = run.judged.record()
    assert len(record.actions) > 60
    again = Run.parse(record.to_text())  # which compares the traces
    assert again.actions == record.actions
    assert list(again.trace) == list(run.trace[: record.footprint.steps])


def test_what_is_done_to_a_world_past_its_verbs_is_noticed(monkeypatch):
    monkeypatch.setattr(Faults, "heal", lambda faults: faults.world.heal())
    run = SwarmRun(4, acts=30, faults=["partition", "isolation"])
    error_of(run)
    with pytest.raises(BadInput, match="does not replay to the letter"):
        Run.parse(run.judged.record().to_text())


@pytest.mark.parametrize(
    ("bug", "seed", "acts"),
    [("apply on append", 1, 12), ("sessions not flushed", 2, 12), ("reads anywhere", 1, 12)],
)
def test_a_replay_finds_what_the_swarm_found_and_nothing_without_the_bug(bug, seed, acts):
    broken, record = found(find_bug(bug), seed, acts)
    judged = judge_record(record, find_bug(bug))
    assert (judged.broken, bool(broken)) == (broken, True)
    assert not judged.left_out
    assert judged.record.to_text() == record.to_text()
    assert judged.run.trace[judged.step].at >= record.until
    well = judge_record(record)
    assert well.error is None
    assert well.sentence.startswith("Nothing breaks: ")


def test_the_run_of_a_finding_opens_at_the_moment_when_it_broke(sick):
    _, record = sick
    judged = judge_record(record, EAGER)
    run = Run.parse(record.to_text(), **classes(EAGER))
    assert run.now == judged.run.trace[judged.step].at
    assert len(run.trace) - 1 >= judged.step


def test_code_that_fails_in_the_middle_of_a_step_leaves_a_run_that_can_be_opened():
    class Breaks(Replica):
        def tick(self):
            if self.tree.applied.index > 4:
                raise ZeroDivisionError("in the middle")
            return super().tick()

    code = Bug("breaks", replica=Breaks)
    run = SwarmRun(1, replica=Breaks, acts=10)
    assert broken_by(error_of(run)) == "ZeroDivisionError"
    record = run.judged.record()
    assert Run.parse(record.to_text(), **classes(code)).now == record.until
    assert judge_record(record, code).broken == "ZeroDivisionError"


# ── smaller ─────────────────────────────────────────────────────────────────────────────────────


def careless():
    """Return a run in which two clients add to a counter at once, among other things."""
    run = Run(5, seed=1, client=CARELESS.client)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("write", "bank", [(f"account/{number}", "100") for number in range(4)])
    run.act("put", "bob", "sea", "cold")
    for name in ("ann", "bob", "cy"):
        run.act("get", name, "counter")
    run.run_for(50)
    run.act("crash", next(name for name in run.world.members if name != run.world.leader()))
    run.act("write", "cy", [("sea", "warm"), ("city", "Oslo")])
    run.run_for(40)
    for name in ("ann", "bob"):
        run.act("increment", name, [("counter", "1")], 5_000)
    run.run_for(200)
    return run.record()


def test_each_action_that_is_left_is_needed():
    record = careless()
    small = shrink_record(record, CARELESS)
    left = small.record.actions
    assert small.broken == judge_record(record, CARELESS).broken == "exactly once"
    assert [action.verb for action in left] == ["write", "get", "get", "increment", "increment"]
    assert len(small.record.members) == 1
    assert small.record.until < record.until / 2
    assert len(list(history_lines(small.record))) == len(left)
    for action in left:
        fewer = tuple(each for each in left if each is not action)
        assert not judge_record(replace(small.record, actions=fewer), CARELESS).broken
    assert Run.parse(small.record.to_text(), **classes(CARELESS)).now == small.record.until


def test_nothing_is_left_of_what_needs_no_action(sick):
    assert shrink_record(sick[1], EAGER).record.actions == ()


def test_a_run_in_which_nothing_breaks_cannot_be_made_smaller():
    run = Run(3, seed=1)
    run.run_for(300)
    with pytest.raises(BadInput, match="nothing breaks in this run"):
        shrink_record(run.record())


def test_disks_that_are_lost_beyond_what_a_cluster_bears_are_no_finding():
    """Shrinking may leave out that a lost member was replaced before the next one was."""
    run = Run(3, seed=1)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("put", "ann", "a", "1")
    run.run_for(100)
    for name in ("n1", "n2"):
        run.act("crash", name)
        run.act("wipe", name)
        run.act("restart", name)
    judged = judge_record(run.record())
    assert judged.error is None


def test_what_clients_keep_true_is_demanded_of_the_bank_s_accounts_only():
    run = Run(3, seed=1)
    run.run_until(lambda: run.world.leader() is not None)
    run.act("put", "ann", "account/0", "1")
    run.act("write", "bank", [("account/1", "100")])
    run.run_for(100)
    assert judge_record(run.record()).error is None


# ── the commands ────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_found_made_small_written_played_and_drawn(capsys, tmp_path):
    file, picture = tmp_path / "small.jsonl", tmp_path / "small.svg"
    command = ["swarm", "--seeds", "1", "--bug", EAGER.name, "--acts", "0,1,2", "--shrink"]
    assert main([*command, "--run", str(file)]) == 1
    said = capsys.readouterr().out
    small = parse_run(file.read_text(), "small")
    for line in history_lines(small):
        assert line in said
    play = ["play", str(file)]
    assert main([*play, "--bug", EAGER.name, "--picture", str(picture)]) == 1
    said = capsys.readouterr().out
    assert "It is the recorded run, to the letter." in said
    assert "breaks at step" in said.splitlines()[-1]
    assert picture.read_text().startswith("<svg")
    assert main(play) == 0
    said = capsys.readouterr().out
    assert f"recorded with another class: replica {EAGER.replica.__name__}" in said
    assert "Nothing breaks" in said.splitlines()[-1]


def test_a_sweep_writes_the_run_next_to_the_trace(tmp_path, capsys):
    folder = tmp_path / "found"
    command = ["swarm", "--seeds", "1", "--bug", EAGER.name, "--jobs", "1"]
    assert main([*command, "--traces", str(folder)]) == 1
    record = parse_run((folder / "seed-1.run.jsonl").read_text(), "seed-1")
    assert judge_record(record, EAGER).broken
    capsys.readouterr()


HANGS = """
from kvraft.replica import Replica

class Hangs(Replica):
    def tick(self):
        while True:
            try:
                self
            except BaseException:
                pass
"""


def test_a_class_that_hangs_ends_in_a_sentence(tmp_path):
    (tmp_path / "hang.py").write_text(HANGS)
    run = Run(3, seed=1)
    run.run_for(300)
    run.save(tmp_path / "run.jsonl")
    command = [sys.executable, "-m", "kvraft", "play", "run.jsonl", "--with", "hang:Hangs"]
    ended = subprocess.run(
        [*command, "--seconds", "1"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "kvraft: hang:Hangs did not come back within 1 second, in hang.py, line "
    )


def test_every_kind_of_fault_is_recorded_as_verbs():
    """A fault that acts past them would be lost in a replay."""
    run = SwarmRun(3, members=5)
    run.start()
    run.faults.losses = run.faults.beheadings = 1
    for name in CALM:
        KINDS[name](run.faults)
        run.world.run_for(30)
    run.judged.stop(None)
    Run.parse(run.judged.record().to_text())


def test_the_words_of_a_run_say_who_can_reach_whom():
    run = Run(5, seed=1)
    run.act("partition", [["n1", "n2"], ["n3", "n4"]])
    run.act("write", "ann", [("sea", "cold"), ("sky", None)])
    said = [line.split("ms  ")[1] for line in history_lines(run.record())]
    assert said == ["partition n1 n2 | n3 n4", "write ann sea=cold sky="]
