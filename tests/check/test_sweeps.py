"""Sweeps over many seeds: each counted once, on whatever runs them, resumed where they ended."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvraft.check.sweep import (
    ResultsFile,
    Summary,
    SwarmResult,
    SwarmSettings,
    parallel,
    processes,
    run_seed,
    run_seeds,
)
from kvraft.check.sweep.swarm import REACHED
from kvraft.check.sweep.twice import compare_with_child
from kvraft.cli import main
from kvraft.errors import BadInput
from kvraft.events import Trace

BUG = "snapshot off by one"
SHORT = SwarmSettings(acts=5)
FEW = ("--acts", "0,1,2,3,4")


def sums(results):
    return sorted((result.seed, result.found, sorted(result.tally.items())) for result in results)


# ── executors ───────────────────────────────────────────────────────────────────────────────────


def test_results_are_the_same_wherever_they_are_made():
    here = list(run_seeds(range(1, 5), SHORT))
    assert [result.seed for result in here] == [1, 2, 3, 4]
    with processes(2) as others:
        there = list(run_seeds(range(1, 5), SHORT, others))
    assert sums(there) == sums(here)


def test_a_dask_cluster_runs_seeds(capsys):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    )
    with cluster:
        address = cluster.scheduler_address
        assert main(["swarm", "--seeds", "1-2", *FEW, "--dask", address]) == 0
    assert "2 runs, 0 with a finding" in capsys.readouterr().out


def test_without_dask_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["swarm", "--seeds", "1", "--dask", "tcp://127.0.0.1:1"]) == 2
    assert 'pip install "kvraft[dask]"' in capsys.readouterr().err


def test_no_more_seeds_are_taken_than_can_wait(monkeypatch):
    """So a range may be as long as it likes, and who stops reading leaves little undone."""
    monkeypatch.setattr(
        parallel, "run_seed", lambda seed, settings: SwarmResult(seed, None, Counter())
    )
    taken = []
    seeds = (taken.append(seed) or seed for seed in range(10**9))
    with ThreadPoolExecutor(2) as threads:
        results = run_seeds(seeds, SHORT, threads)
        for _ in range(200):
            next(results)
        results.close()
    assert len(taken) <= 200 + parallel.WAITING


# ── the file ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.jsonl"
    with ResultsFile(path, SHORT.to_dict()) as file:
        file.add(SwarmResult(1, None, Counter(crashes=2)))
        file.add(SwarmResult(7, "Violation: ä", Counter(crashes=1), "a trace"))
    return path


def held(path, settings=SHORT):
    with ResultsFile(path, settings.to_dict()) as file:
        return list(file.read())


def test_a_file_gives_back_what_was_added(results):
    one, seven = held(results)
    assert one == SwarmResult(1, None, Counter(crashes=2))
    assert seven == SwarmResult(7, "Violation: ä", Counter(crashes=1))


def test_a_file_that_ends_anywhere_is_resumed(results):
    """A process may be killed at any byte of what it writes, the first line included."""
    whole = results.read_bytes()
    for cut in range(len(whole)):
        results.write_bytes(whole[:cut])
        known = max(0, whole[:cut].count(b"\n") - 1)
        with ResultsFile(results, SHORT.to_dict()) as file:
            assert len(list(file.read())) == known
            file.add(SwarmResult(9, None, Counter()))
        assert [result.seed for result in held(results)] == [*[1, 7][:known], 9]


def test_runs_of_other_settings_or_other_code_are_refused(results, monkeypatch):
    with pytest.raises(BadInput, match="other settings"):
        held(results, SwarmSettings(acts=6))
    monkeypatch.setattr("kvraft.check.sweep.results.code_digest", lambda: "other")
    with pytest.raises(BadInput, match=r"other code, .* name another file"):
        held(results)


@pytest.mark.parametrize("damage", ["not json\n", '{"seed": 3}\n', "[]\n"])
def test_a_damaged_line_is_named(results, damage):
    with results.open("a") as file:
        file.write(damage)
    with pytest.raises(BadInput, match=r"results.jsonl, line 4: .* is not the result of a run"):
        held(results)


def test_another_file_is_not_written_to(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("my notes\n")
    with pytest.raises(BadInput, match="is not a file of results"):
        held(path)
    assert path.read_text() == "my notes\n"


# ── totals ──────────────────────────────────────────────────────────────────────────────────────


def test_a_finding_comes_with_the_command_that_repeats_it():
    summary = Summary(SwarmSettings(bug="x y", members=5).as_options())
    summary.add(SwarmResult(1, None, Counter(crashes=2)))
    sick = SwarmResult(2, "what", Counter(crashes=3), "its trace")
    summary.add(sick)
    assert summary.finding(sick) == (
        'seed 2: what\n    repeat it: kvraft swarm --seeds 2 --bug "x y" --members 5'
    )
    lines = list(summary.lines())
    assert lines == ["2 runs, 1 with a finding", "           5 crashes"]
    assert not summary.clean


def test_a_long_range_that_never_reaches_something_is_a_finding():
    full = Counter(dict.fromkeys(REACHED, 1))
    summary = Summary()
    for tally in (full, *[Counter()] * 99):
        summary.add(SwarmResult(1, None, tally))
    assert summary.clean
    del full["partitions"]
    summary = Summary()
    for _ in range(100):
        summary.add(SwarmResult(1, None, full))
    assert next(summary.lines()) == "seeds: no run reached partitions"
    assert not summary.clean


def test_a_range_with_some_faults_only_need_not_reach_everything():
    settings = SwarmSettings(faults=("pause", "rot"), twice=True)
    assert settings.as_options() == " --faults pause,rot --twice"
    assert SwarmSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    summary = Summary(settings.as_options(), all_faults=False)
    for _ in range(100):
        summary.add(SwarmResult(1, None, Counter()))
    assert summary.clean


# ── each run twice ──────────────────────────────────────────────────────────────────────────────


def test_a_run_is_the_same_in_another_interpreter_that_hashes_otherwise():
    result = run_seed(3, SwarmSettings(acts=15, faults=("crash", "members"), twice=True))
    assert result.found is None
    assert result.trace == ""


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"trace": "another\n"}, "digest"),
        ({"tally": Counter(x=1)}, "tally"),
        ({"found": "x"}, "found"),
    ],
)
def test_a_run_that_is_another_one_elsewhere_is_a_finding(change, what):
    settings = SwarmSettings(acts=5, faults=("crash",))
    result = run_seed(3, settings, keep_trace=True)
    changed = compare_with_child(result._replace(**change), settings.to_dict())
    assert changed.found.startswith(f"determinism: in another interpreter the {what} is ")


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_a_finding_is_repeated_and_its_trace_is_there_already(capsys, tmp_path):
    traces, one = tmp_path / "traces", tmp_path / "one.jsonl"
    command = ["swarm", "--bug", BUG]
    assert main([*command, "--seeds", "1-9", "--jobs", "1", "--traces", str(traces)]) == 1
    said = capsys.readouterr().out
    assert f'--bug "{BUG}"' in said
    seed = said.split()[1].rstrip(":")
    assert main([*command, "--seeds", seed, "--trace", str(one)]) == 1
    assert capsys.readouterr().out.splitlines()[0] == said.splitlines()[0]
    assert one.read_bytes() == (traces / f"seed-{seed}.jsonl").read_bytes()
    assert len(Trace.load(one)) == sum(1 for _ in one.open())


def test_a_sweep_goes_on_where_it_ended(tmp_path, capsys, monkeypatch):
    path, totals = str(tmp_path / "r.jsonl"), tmp_path / "totals.json"
    assert main(["swarm", "--seeds", "3-4", *FEW, "--results", path]) == 0
    ran = []
    monkeypatch.setattr(
        parallel, "run_seed", lambda seed, settings: ran.append(seed) or run_seed(seed, settings)
    )
    command = ["swarm", "--seeds", "2-5", "--jobs", "1", *FEW]
    assert main([*command, "--results", path, "--json", str(totals)]) == 0
    assert ran == [2, 5]
    totals_of = "4 runs, 0 with a finding"
    again = capsys.readouterr().out.partition(totals_of)[2]
    assert main(command) == 0
    assert capsys.readouterr().out.partition(totals_of)[2] == again > ""
    seen = json.loads(totals.read_text())
    assert (seen["runs"], seen["findings"]) == (4, [])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_prints_the_totals_and_loses_nothing(tmp_path):
    path = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "kvraft", "swarm", "--seeds", "1-100000", "--jobs", "2"]
    running = subprocess.Popen(
        [*command, "--results", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        while not path.exists() or path.read_bytes().count(b"\n") < 3:
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert err == "\nkvraft: interrupted\n"
    runs = path.read_bytes().count(b"\n") - 1
    assert f"{runs} runs, 0 with a finding" in out


def test_wrong_options_are_refused_in_a_sentence(tmp_path, capsys):
    for wrong in ("x", "3-1", ""):
        with pytest.raises(SystemExit, match="2"):
            main(["swarm", "--seeds", wrong])
    assert main(["swarm", "--seeds", "1", "--bug", "nothing"]) == 2
    assert "there is no planted bug 'nothing'" in capsys.readouterr().err
    assert main(["swarm", "--seeds", "1-2", "--trace", str(tmp_path / "t")]) == 2
    assert "a trace is of one run" in capsys.readouterr().err


def test_a_fault_that_there_is_not_is_refused(capsys):
    assert main(["swarm", "--seeds", "1", "--faults", "crash,rain"]) == 2
    assert "there is no fault called rain: crash, " in capsys.readouterr().err
    assert main(["swarm", "--seeds", "1", "--faults", "loss", "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert " fault crash\n" not in said
