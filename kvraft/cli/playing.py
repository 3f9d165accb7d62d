"""``kvraft play``: a scenario or a run file, step by step, and what breaks in it.

A scenario drives consensus modules by hand (check/scenario).  A run file has members complete: it
is replayed with every checker, as the swarm has them, and goes on after its last action until
everything is repaired and clients are served again (check/sweep/replay.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from kvraft.check import scenario
from kvraft.check.bugs import Bug, consensus_bug, find_bug
from kvraft.check.sweep import Judgement, find_run, is_run, judge_record, run_names, scenario_file
from kvraft.check.trial import consensus_named, subject_of
from kvraft.cli.deadline import time_limit
from kvraft.cli.terminal import say
from kvraft.cli.trial import drawn
from kvraft.display import counted, listed
from kvraft.errors import BadInput
from kvraft.raft import Raft
from kvraft.sim import Cluster, RunRecord
from kvraft.viz.trace import interesting, story_line


def play(options: argparse.Namespace) -> int:
    """Play a scenario or a run, or list all scenarios."""
    if options.bug and options.subject:
        raise BadInput("a bug is planted in kvraft's own module: --bug or --with, not both")
    if options.scenario is None:
        for name in scenario.names():
            say(f"{name:30} {scenario.load(name).title}")
        for name in run_names():
            say(f"{name:30} a fault that the swarm found once (data/README.md)")
        return 0
    sys.path.insert(0, os.getcwd())
    limit: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if options.subject:
        limit = time_limit(options.seconds, options.subject)
    with limit:
        if is_run(options.scenario):
            return _play_run(options)
        if options.picture is not None:
            raise BadInput("a picture is drawn of a run, the .jsonl file of one")
        return _play_scenario(options)


def _play_scenario(options: argparse.Namespace) -> int:
    consensus = consensus_bug(options.bug) if options.bug else None
    if options.subject:
        consensus = consensus_named(options.subject)
    chosen = scenario.load(scenario_file(options.scenario))
    say(f"{chosen.title}\n\n{chosen.prose}")
    printed = 0

    def print_line(cluster: Cluster, line: str) -> None:
        nonlocal printed
        say(f"\n{line or 'At the start'}")
        for step in range(printed, len(cluster.trace)):
            say(f"    {story_line(cluster.trace, step)}")
        printed = len(cluster.trace)

    played = chosen.play(consensus=consensus, on_line=print_line)
    say(f"\n{played.cluster}")
    if played.violation is not None:
        say(f"\nAs expected, this breaks {played.violation}.")
    return 0


# ── runs ────────────────────────────────────────────────────────────────────────────────────────


def _play_run(options: argparse.Namespace) -> int:
    """Play a run file: print what is worth a stop, what breaks, and whether it is the same."""
    record = find_run(options.scenario)
    code = find_bug(options.bug) if options.bug else Bug("none")
    if options.subject:
        code = _subject(options.subject)
    judged = judge_record(record, code)
    _print_run(judged)
    same = _print_sameness(judged, record, code)
    say(judged.sentence)
    if options.picture is not None:
        trace = judged.run.trace[: judged.step + 1]
        options.picture.write_text(drawn(trace, options.picture.suffix), encoding="utf-8")
    return int(bool(judged.broken) or not same)


def _subject(title: str) -> Bug:
    """Return the class of that name, for complete members."""
    _, kind, made = subject_of(title)
    if kind == "replica":
        return Bug(title, replica=made)
    if not issubclass(made, Raft):
        what = f"{title} is a {kind}, and a run has members complete"
        raise BadInput(f"{what}: it needs a subclass of Replica or of Raft")
    return Bug(title, consensus=made)


def _print_run(judged: Judgement) -> None:
    """Print the actions, and what is worth a stop, until something breaks."""
    run, last = judged.run, judged.step
    say(f"{counted(len(run.members), 'member')}, seed {run.seed}")
    acts = dict(zip(run.steps_before, run.actions, strict=True))
    for step in sorted({*interesting(run.trace), *acts}):
        if step <= last:
            if step in acts:
                say(f"\n{acts[step].as_python()}")
            say(f"    {story_line(run.trace, step)}")
    if judged.left_out:
        say(f"\nLeft out, since it could not be done: {counted(len(judged.left_out), 'action')}, ")
        say(f"the first is {judged.left_out[0].as_python()}")


def _print_sameness(judged: Judgement, record: RunRecord, code: Bug) -> bool:
    """Print whether a run is the one that was recorded; return whether it is as it should be."""
    trace = judged.run.trace[: judged.played]
    say(f"\nTrace: {counted(len(trace), 'event')}, sha256 {trace.digest()}")
    now = judged.run.record()
    kinds = ("consensus", "replica", "client")
    other = [kind for kind in kinds if getattr(record, kind) != getattr(now, kind)]
    if other:
        classes = listed([f"{kind} {getattr(record, kind) or 'of kvraft'}" for kind in other])
        say(f"It was recorded with another class: {classes}.")
        return True
    if not record.footprint.digest:
        return True
    difference = record.footprint.difference(trace)
    say(difference or "It is the recorded run, to the letter.")
    return not difference
