"""The command ``kvraft check``: what it prints of a trial.

The verdicts are printed as they are in the report, then each broken property with the steps that
break it and what happened in them.  With ``--json -`` standard output has the report and nothing
else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from kvraft.check.trial import Report, Verdict
from kvraft.cli.terminal import say
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import Marks, MemberStarted, Trace
from kvraft.trial import judge_apart, judge_command
from kvraft.viz.sandbox import Film, clients_panel, cold, page
from kvraft.viz.trace import story_line

MOST = 12
"""How much of what happened in one step is printed."""
LEFT_OUT = (Marks, MemberStarted)
"""What is not printed: it is about disks and tables, of which a consensus module knows nothing."""


def check_subject(options: argparse.Namespace) -> int:
    """Judge it, and print what was found; return 1 if anything is broken."""
    report = _report(options)
    for note in report.notes:
        say(f"kvraft: {report.subject}: {note}", sys.stderr)
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    if options.json == Path("-"):
        print(text, end="")
    else:
        print_report(report)
        if options.json is not None:
            options.json.write_text(text, encoding="utf-8")
    first = min(report.broken, key=lambda verdict: verdict.run, default=None)
    if first is not None:
        _keep(first, options)
    return int(first is not None)


def _report(options: argparse.Namespace) -> Report:
    """Judge the class or the command."""
    if (options.subject is None) == (options.command is None):
        raise BadInput("name what is to be judged: MODULE:CLASS, or --command 'node myraft.js'")
    if options.command is not None:
        if options.without:
            raise BadInput("--without is for a class: a command has no more than it must have")
        limits = {} if options.seconds is None else {"seconds": options.seconds}
        return judge_command(options.command, runs=options.runs, seed=options.seed, **limits)
    return judge_apart(
        options.subject,
        runs=options.runs,
        seed=options.seed,
        without=options.without,
        seconds=options.seconds,
    )


def print_report(report: Report) -> None:
    """Print the verdicts, and how each broken property is broken."""
    say(str(report))
    for verdict in report.broken:
        left = len(verdict.lines)
        steps = f"{counted(left, 'step')} of {verdict.of} {'is' if left == 1 else 'are'} needed"
        say(f"\n{verdict.name} is broken in run {verdict.run}: {steps if left else 'at its start'}")
        done = 0
        for line, stop in verdict.lines:
            say(f"  {line}")
            if verdict.trace is not None:
                _print_story(verdict.trace, done, min(stop, len(verdict.trace)))
            done = stop
        say(f"  {verdict.what}")


def _print_story(trace: Trace, start: int, stop: int) -> None:
    steps = [step for step in range(start, stop) if not isinstance(trace[step].event, LEFT_OUT)]
    for step in steps[:MOST]:
        say(f"      {story_line(trace, step)}")
    if len(steps) > MOST:
        say(f"      … and {len(steps) - MOST:,} more")


def _keep(verdict: Verdict, options: argparse.Namespace) -> None:
    """Save and draw a broken property's run, as the options want."""
    if options.save is not None:
        options.save.write_text(verdict.saved, encoding="utf-8")
    if options.picture is not None and verdict.trace is not None:
        options.picture.write_text(drawn(verdict.trace, options.picture.suffix), encoding="utf-8")


def drawn(trace: Trace, suffix: str) -> str:
    """Return a run as a space-time diagram of its end, or as a page that plays it."""
    if suffix == ".html":
        return page(Film(trace), panels=("ring", "logs", "space-time", "lights"))
    return cold(clients_panel(Film(trace), len(trace) - 1))
