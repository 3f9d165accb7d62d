"""The options of the commands that run clusters to find out whether they are right.

::

    play     one situation or one saved run, step by step
    swarm    many runs drawn by chance    what it does: sweep.py
    zoo      the planted bugs, and how soon runs find them
    check    an implementation of one's own    what it prints: trial.py
    soak     one very long run
"""

from __future__ import annotations

import argparse
import os
from typing import Any, TypeAlias

from kvraft.cli import commands
from kvraft.cli.values import (
    acts,
    figure_file,
    names,
    output_file,
    output_folder,
    picture_file,
    seeds,
    whole_number,
)

Adders: TypeAlias = "argparse._SubParsersAction[Any]"
"""What argparse adds commands to; it is generic for mypy only."""


def default_jobs() -> int:
    """Return how many processes run seeds by default: as many as there are cores to use."""
    allowed = getattr(os, "sched_getaffinity", None)  # where a process can be held to some of them
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def add_play(adders: Adders) -> None:
    """Add ``kvraft play``: a scenario or a run, step by step."""
    play = adders.add_parser(
        "play",
        help="play a scenario, such as figure_8, or a saved run, and show what happens",
        description="Play a scenario of data/scenarios, or a file of your own, in a cluster of "
        "consensus modules, with every safety property checked after each step. Or play a run that "
        "was saved, or that kvraft swarm wrote, with members complete and every checker: what "
        "breaks, at which step, and is it the same to the letter?",
    )
    play.add_argument(
        "scenario",
        nargs="?",
        help="a name, a .txt file, or the .jsonl file of a run; without it, all names are listed",
    )
    play.add_argument("--bug", metavar="NAME", help="plant this bug in every member")
    play.add_argument(
        "--with",
        dest="subject",
        metavar="CLASS",
        help="play a scenario with your own consensus module, such as mymodule:MyRaft",
    )
    play.add_argument(
        "--picture",
        type=picture_file,
        metavar="FILE",
        help="draw a run around where it breaks, or ends: a space-time diagram (.svg), or a page "
        "that plays it (.html)",
    )
    play.add_argument(
        "--seconds",
        type=whole_number(1, "the seconds"),
        default=60,
        metavar="N",
        help="how long your own class may take (%(default)s)",
    )
    play.set_defaults(run=commands.play)


def add_swarm(adders: Adders) -> None:
    """Add ``kvraft swarm``: random runs."""
    swarm = adders.add_parser(
        "swarm",
        help="run small clusters at random, with everything checked after each step",
        description="Try to break a cluster: clients write and read while members crash, disks "
        "fail and fill up, messages are lost and clocks go wrong. Each seed is one run. The exit "
        "status is 1 if anything was found.",
    )
    swarm.add_argument(
        "--seeds", type=seeds, default=range(1, 21), metavar="A-B", help="the seeds to run (1-20)"
    )
    swarm.add_argument("--bug", metavar="NAME", help="plant this bug in every member")
    swarm.add_argument(
        "--members",
        type=whole_number(1, "members"),
        metavar="N",
        help="how many members (3 or 5, drawn by each run)",
    )
    swarm.add_argument(
        "--faults",
        type=names,
        default=[],
        metavar="A,B",
        help="which kinds of faults may happen (all); a name that none has lists them",
    )
    swarm.add_argument(
        "--acts", type=acts, metavar="N,N", help="leave out all acts but these, by their numbers"
    )
    swarm.add_argument(
        "--shrink",
        action="store_true",
        help="find the fewest actions and members that still break what breaks, and print them; "
        "needs a single seed",
    )
    swarm.add_argument(
        "--twice",
        action="store_true",
        help="run each seed a second time, in another interpreter: it must be the same run",
    )
    _add_places(swarm)
    swarm.set_defaults(run=commands.swarm)


def _add_places(swarm: argparse.ArgumentParser) -> None:
    """Add the options that change no run: where runs happen, and where what they found goes."""
    swarm.add_argument(
        "--jobs",
        type=whole_number(1, "jobs"),
        default=default_jobs(),
        metavar="N",
        help="how many runs at once (%(default)s, the cores of this machine)",
    )
    swarm.add_argument(
        "--dask", metavar="ADDRESS", help="run them on the Dask cluster with this scheduler instead"
    )
    swarm.add_argument(
        "--results",
        type=output_file,
        metavar="FILE",
        help="append each result to this file, and do not run again what it holds",
    )
    swarm.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the totals to this file, as JSON"
    )
    swarm.add_argument(
        "--traces",
        type=output_folder,
        metavar="DIR",
        help="write each run in which something is found to this folder: its trace, and what was "
        "done, for kvraft play",
    )
    swarm.add_argument(
        "--trace",
        type=output_file,
        metavar="FILE",
        help="write the trace there, whatever is found; needs a single seed",
    )
    swarm.add_argument(
        "--run",
        dest="run_file",
        type=output_file,
        metavar="FILE",
        help="write what was done until something was found there, for kvraft play; needs a single "
        "seed",
    )


def add_zoo(adders: Adders) -> None:
    """Add ``kvraft zoo``: the planted bugs."""
    zoo = adders.add_parser(
        "zoo",
        help="list the planted bugs and what finds them, the story of one, or hunt for them",
        description="The zoo: bugs that are planted to see whether the checks find them. Without "
        "arguments it lists all; with the name of one, it says what goes wrong, where that was "
        "seen, the command that finds it, and the shortest known run that has it.",
    )
    zoo.add_argument("bug", nargs="*", help="the name of a bug")
    zoo.add_argument(
        "--hunt",
        nargs="*",
        metavar="NAME",
        help="run the swarm with these bugs, or with all, one after another until each is found; "
        "the exit status is 1 if one is not",
    )
    zoo.add_argument(
        "--runs",
        type=whole_number(1, "runs"),
        metavar="N",
        help="how many runs a hunt may take for each (60, or 300 where it takes luck)",
    )
    zoo.add_argument(
        "--json",
        type=output_file,
        metavar="FILE",
        help="store what a hunt finds there, after each bug",
    )
    zoo.add_argument(
        "--run-files",
        type=output_folder,
        metavar="DIR",
        help="make the run that finds a bug small, which takes time, and write it to this folder",
    )
    zoo.add_argument(
        "--jobs",
        type=whole_number(1, "jobs"),
        default=default_jobs(),
        metavar="N",
        help="how many bugs are hunted for at once (%(default)s, the cores of this machine)",
    )
    zoo.set_defaults(run=commands.zoo)


def add_check(adders: Adders) -> None:
    """Add ``kvraft check``: an implementation of one's own on trial."""
    check = adders.add_parser(
        "check",
        help="put your own consensus module, replica or tree on trial: a verdict for each property",
        description="Judge a class of yours, such as mymodule:MyRaft, :MyReplica or :MyTree: every "
        "property, in many runs. What breaks is made small, and shown in words. The exit status is "
        "1 if anything is broken.",
    )
    check.add_argument(
        "subject",
        nargs="?",
        metavar="CLASS",
        help="a class of a module in this folder: mine:MyRaft",
    )
    check.add_argument(
        "--command",
        metavar="LINE",
        help="judge what this starts instead, in any language, such as 'node myraft.js': see the "
        "page 'Your own Raft' of the book",
    )
    check.add_argument(
        "--runs",
        type=whole_number(1, "runs"),
        metavar="N",
        help="how many runs (200; 100 of a tree, 30 of a command), or 20 of a replica",
    )
    check.add_argument(
        "--seed",
        type=whole_number(0, "a seed"),
        default=1,
        metavar="N",
        help="the seed of the first run (1)",
    )
    check.add_argument(
        "--without",
        type=names,
        default=[],
        metavar="A,B",
        help="do not try these: snapshots, membership, leases, reads, transfers (without this, "
        "what it lacks is found out)",
    )
    check.add_argument(
        "--seconds",
        type=whole_number(1, "the seconds"),
        metavar="N",
        help="how long one run may take (10; 120 of a replica), or an answer of a command (10)",
    )
    _add_check_outputs(check)


def _add_check_outputs(check: argparse.ArgumentParser) -> None:
    """Add the options that say where the report goes."""
    check.add_argument(
        "--json",
        type=output_file,
        metavar="FILE",
        help="write the report to this file, as JSON; - for standard output and nothing else there",
    )
    check.add_argument(
        "--save",
        type=output_file,
        metavar="FILE",
        help="save the run that breaks the first property: a scenario for kvraft play, of a "
        "replica a run file (.jsonl) for it, of a tree its calls",
    )
    check.add_argument(
        "--picture",
        type=picture_file,
        metavar="FILE",
        help="draw that run: a space-time diagram (.svg), or a page that plays it (.html)",
    )
    check.set_defaults(run=commands.check)


def add_soak(adders: Adders) -> None:
    """Add ``kvraft soak``: one very long run."""
    soak = adders.add_parser(
        "soak",
        help="run many transactions, to see that disk and memory stay bounded",
        description="Run very many transactions on three members with tiny segments and memtables, "
        "which crash while clients come and go, and measure their disks and memory.",
    )
    soak.add_argument(
        "--transactions",
        type=whole_number(1, "transactions"),
        default=100_000,
        metavar="N",
        help="how many (100,000)",
    )
    soak.add_argument(
        "--seed",
        type=whole_number(0, "a seed"),
        default=1,
        metavar="N",
        help="another seed gives another run (1)",
    )
    soak.add_argument(
        "--out", type=output_file, metavar="FILE", help="write all samples to this file, as JSON"
    )
    soak.add_argument(
        "--figure", type=figure_file, metavar="FILE", help="draw the samples: .png or .svg"
    )
    soak.set_defaults(run=commands.soak)
