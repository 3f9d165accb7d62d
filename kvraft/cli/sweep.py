"""``kvraft swarm``: a sweep over many seeds, with progress, a file of results, and totals.

::

    seeds not yet in --results ──► parallel.run_seeds ──► --results, --traces ──► totals, --json
                                    on --jobs or --dask

Ctrl-C prints the totals so far; with ``--results`` the same command then goes on where it ended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from importlib import import_module
from io import StringIO
from itertools import repeat

from kvraft.check.sweep import (
    ResultsFile,
    Summary,
    SwarmResult,
    SwarmSettings,
    fault_names,
    history_lines,
    processes,
    run_seed,
    run_seeds,
    shrink_record,
    smaller_run,
)
from kvraft.cli.terminal import say
from kvraft.display import counted, listed
from kvraft.errors import BadInput
from kvraft.sim import parse_run
from kvraft.tools import progress_bar


def sweep(options: argparse.Namespace) -> int:
    """Run small clusters at random, and print what was found in them."""
    settings = SwarmSettings(
        bug=options.bug or "",
        members=options.members,
        only=options.acts,
        faults=fault_names(options.faults),
        twice=options.twice,
    )
    settings.make(options.seeds[0]).world.close()  # what cannot be run is refused here, at once
    summary = Summary(settings.as_options(), all_faults=not settings.faults)
    if options.trace is not None or options.run_file is not None or options.shrink:
        _run_one(options, settings, summary)
    else:
        with contextlib.ExitStack() as stack:
            kept = options.results and stack.enter_context(
                ResultsFile(options.results, settings.to_dict())
            )
            _sweep(options, settings, summary, kept)
    _print(options, summary)
    return int(not summary.clean)


def _run_one(options: argparse.Namespace, settings: SwarmSettings, summary: Summary) -> None:
    """Run a single seed, make it small if that is asked for, and write what is asked for."""
    if options.seeds[0] != options.seeds[-1]:
        raise BadInput("a trace is of one run, and so is what --shrink finds: give a single seed")
    result = run_seed(options.seeds[0], settings, keep_trace=True)
    _count(result, summary)
    trace, run_file = result.trace, result.run_file
    if options.shrink:
        trace, run_file = _shrunk(result, settings)
    if options.trace is not None:
        options.trace.write_text(trace, encoding="utf-8", newline="\n")
    if options.run_file is not None and result.found is not None:
        options.run_file.write_text(run_file, encoding="ascii", newline="\n")


def _shrunk(result: SwarmResult, settings: SwarmSettings) -> tuple[str, str]:
    """Print the least that breaks what a run broke; return its trace and its run file."""
    if result.found is None:
        raise BadInput(f"nothing is found under seed {result.seed}, so there is nothing to shrink")
    record = parse_run(result.run_file, f"the run under seed {result.seed}")
    try:
        with _counting_tries() as alive:
            small = shrink_record(record, settings.code, alive=alive)
    except BadInput:  # a look of the swarm warms a cache, and so moves a read error
        return _fewer_acts(result, settings)
    kept = counted(len(small.record.actions), "action")
    say(f"{kept} of {len(record.actions)} break it, in {listed(small.record.members)}:")
    for line in history_lines(small.record):
        say(line)
    say(small.sentence)
    trace = StringIO()
    small.run.trace.save(trace)
    return trace.getvalue(), small.record.to_text()


@contextlib.contextmanager
def _counting_tries() -> Iterator[Callable[[], object]]:
    """Provide what is to be called before each smaller run; a bar counts the calls."""
    with contextlib.closing(progress_bar(repeat(None), "smaller runs tried")) as tries:
        yield partial(next, tries)


def _fewer_acts(result: SwarmResult, settings: SwarmSettings) -> tuple[str, str]:
    """Do the same with whole acts of clients, where the actions alone do not break it."""
    with _counting_tries() as alive:
        smaller = smaller_run(settings, result.seed, alive=alive)
    kept = counted(len(smaller.only or ()), "act")
    say(f"Its actions alone do not break it. {kept} of {len(settings.numbers)} do:")
    say(f"    kvraft swarm --seeds {result.seed}{smaller.as_options()}")
    again = run_seed(result.seed, smaller, keep_trace=True)
    return again.trace, again.run_file


def _sweep(
    options: argparse.Namespace,
    settings: SwarmSettings,
    summary: Summary,
    kept: ResultsFile | None,
) -> None:
    """Run all seeds that ``kept`` does not hold yet; with a planted bug, until it is found."""
    for result in kept.read() if kept else ():
        if result.seed in options.seeds:
            _count(result, summary)
    if settings.bug and summary.findings:
        return
    known = kept.seeds if kept else set()
    left = options.seeds.stop - options.seeds.start - summary.runs
    seeds = (seed for seed in options.seeds if seed not in known)
    with _executor(min(options.jobs, left or 1), options.dask) as executor:
        results = progress_bar(run_seeds(seeds, settings, executor), "runs", left)
        try:
            with contextlib.closing(results):
                for result in results:
                    if kept:
                        kept.add(result)
                    _count(result, summary)
                    _save_trace(options, result)
                    if settings.bug and summary.findings:
                        return
        except KeyboardInterrupt:
            _print(options, summary)
            raise


def _save_trace(options: argparse.Namespace, result: SwarmResult) -> None:
    """Save a run in which something was found, without running it again."""
    if result.found is not None and options.traces is not None:
        options.traces.mkdir(exist_ok=True)
        path = options.traces / f"seed-{result.seed}.jsonl"
        path.write_text(result.trace, encoding="utf-8", newline="\n")
        path = options.traces / f"seed-{result.seed}.run.jsonl"
        path.write_text(result.run_file, encoding="ascii", newline="\n")


def _count(result: SwarmResult, summary: Summary) -> None:
    summary.add(result)
    if result.found is not None:
        say(summary.finding(result))


def _print(options: argparse.Namespace, summary: Summary) -> None:
    for line in summary.lines():
        say(line)
    if options.json is not None:
        text = json.dumps(summary.to_dict(), indent=2, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8", newline="\n")


@contextlib.contextmanager
def _executor(jobs: int, dask: str | None) -> Iterator[Executor | None]:
    """Provide what runs the seeds: processes here, or the Dask cluster whose scheduler is given."""
    if dask is None:
        with processes(jobs) as executor:
            yield executor
        return
    try:
        distributed = import_module("distributed")
    except ImportError:
        raise BadInput('--dask needs Dask: pip install "kvraft[dask]"') from None
    with distributed.Client(dask) as client:
        yield client.get_executor()
