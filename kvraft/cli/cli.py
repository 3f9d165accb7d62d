"""The command line: the commands and options of ``kvraft``, and how every command ends.

An error that kvraft raises on purpose, or that the system raises for a file, is printed as one
sentence.  What can be checked before a command starts is checked then: numbers, and where its
output is to go.  Exit statuses:

=== ============================================================================================
0   done, and nothing was found
1   something was found: damage, a foreign file, a broken rule
2   nothing was looked at: wrong usage, bad input, no such file, no permission, in use
130 ended by Ctrl-C
=== ============================================================================================
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from kvraft import __version__
from kvraft.cli import commands
from kvraft.cli.terminal import say
from kvraft.cli.values import figure_file, output_file, output_folder, seeds, whole
from kvraft.errors import BadInput, FilesChanged, KvraftError, Locked

FOUND, REFUSED, INTERRUPTED = 1, 2, 130

STATUSES = (
    "Exit status: 0 done, and nothing was found; 1 something was found, such as damage or a broken "
    "rule; 2 wrong usage, bad input, no such file, or in use; 130 ended by Ctrl-C."
)
KEY_HELP = {
    "prefix": "only keys that begin so",
    "start": "only keys from this one on",
    "stop": "only keys before this one",
}
WIDEST = 100
"""Columns of the widest help, for long lines are hard to read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (the process's, by default) name; return its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that lacks a sign of ours shows another
    options = parser().parse_args(arguments)
    try:
        status: int | None = options.run(options)
        if sys.stdout is not None:  # it is if the caller closed it
            sys.stdout.flush()
    except KvraftError as error:
        say(f"kvraft: {error}", sys.stderr)
        return REFUSED if isinstance(error, BadInput | Locked | FilesChanged) else FOUND
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        say(f"kvraft: {error.filename or 'output'}: {error.strerror or error}", sys.stderr)
        return REFUSED
    return status or 0


# ── commands and their options ──────────────────────────────────────────────────────────────────


class _Help(argparse.HelpFormatter):
    """Help as wide as the terminal, but no wider than is easy to read."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, WIDEST) - 2
        super().__init__(prog, max_help_position=min(24, width // 3), width=width)


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence and where to read on."""

    def __init__(self, **options: object) -> None:
        super().__init__(formatter_class=_Help, epilog=STATUSES, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Print ``message`` as one sentence, and end with status 2."""
        say(f"kvraft: {message} ({self.prog} --help says more)", sys.stderr)
        sys.exit(REFUSED)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = _Parser(
        prog="kvraft",
        description="A replicated key/value database to read, step through, break and run.",
    )
    whole.add_argument("--version", action="version", version=f"kvraft {__version__}")
    whole.set_defaults(run=lambda options: whole.print_help())
    adders = whole.add_subparsers(metavar="COMMAND", title="commands")
    for add in _COMMANDS:
        add(adders)
    return whole


_Adders: TypeAlias = "argparse._SubParsersAction[_Parser]"
"""What argparse adds commands to; generic for mypy only."""


def _add_lab(adders: _Adders) -> None:
    lab = adders.add_parser(
        "lab",
        help="copy the lessons to your own folder and open them in JupyterLab",
        description="Copy the lessons to your own folder and open the first in JupyterLab. What "
        "you changed there is never overwritten.",
    )
    lab.add_argument(
        "directory",
        type=output_folder,
        nargs="?",
        default=Path("kvraft-lessons"),
        metavar="DIR",
        help="the folder to copy to (kvraft-lessons)",
    )
    lab.add_argument(
        "--update",
        action="store_true",
        help="copy newer versions, too: in place of lessons that you did not change, and beside "
        "those that you did",
    )
    lab.add_argument("--no-open", action="store_true", help="only copy")
    lab.add_argument(
        "--jupyter",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag for JupyterLab, such as --jupyter=--no-browser; as often as needed",
    )
    lab.set_defaults(run=commands.lab)


def _add_tour(adders: _Adders) -> None:
    tour = adders.add_parser(
        "tour",
        help="replay real earthquakes into a cluster that is made to fail, and tell what happens",
        description="Replay 1,707 real earthquakes into three simulated members: an election, "
        "commits, a dead leader, an undone transaction, flushes, log truncation, a crash, a "
        "recovery.",
    )
    tour.add_argument(
        "--seed",
        type=whole(0, "a seed"),
        default=1,
        metavar="N",
        help="another seed gives another history (1)",
    )
    tour.add_argument(
        "--save", type=output_folder, metavar="DIR", help="save the pictures and the trace there"
    )
    tour.add_argument("--file", type=Path, metavar="CSV", help="replay this catalogue instead")
    tour.add_argument(
        "--data",
        type=output_folder,
        metavar="DIR",
        help="keep the members' real files in this new folder",
    )
    tour.set_defaults(run=commands.tour)


def _add_play(adders: _Adders) -> None:
    play = adders.add_parser(
        "play",
        help="play a scenario, such as figure_8, and show what happens line by line",
        description="Play a scenario of data/scenarios, or a file of your own, in a cluster of "
        "consensus modules, with every safety property checked after each step.",
    )
    play.add_argument(
        "scenario", nargs="?", help="a name, or a .txt file; without it, all names are listed"
    )
    play.add_argument("--bug", metavar="NAME", help="plant this bug in all members")
    play.set_defaults(run=commands.play)


def _add_swarm(adders: _Adders) -> None:
    swarm = adders.add_parser(
        "swarm",
        help="make random runs of small clusters, with everything checked after each step",
        description="Try to break a cluster: clients write and read while members crash, disks "
        "fail and fill up, messages are lost and clocks go wrong. A seed is one run. Ends with "
        "status 1 if anything was found.",
    )
    swarm.add_argument(
        "--seeds", type=seeds, default=range(1, 21), metavar="A-B", help="which runs (1-20)"
    )
    swarm.add_argument("--bug", metavar="NAME", help="plant this bug in all members")
    swarm.add_argument(
        "--trace", type=output_file, metavar="FILE", help="write the trace of one run there"
    )
    swarm.set_defaults(run=commands.swarm)


def _add_soak(adders: _Adders) -> None:
    soak = adders.add_parser(
        "soak",
        help="run many transactions, to see that disk and memory stay bounded",
        description="Let three members with tiny segments and memtables take very many "
        "transactions, while they crash and clients come and go, and measure their disks and "
        "memory.",
    )
    soak.add_argument(
        "--transactions",
        type=whole(1, "transactions"),
        default=100_000,
        metavar="N",
        help="how many (100,000)",
    )
    soak.add_argument(
        "--seed",
        type=whole(0, "a seed"),
        default=1,
        metavar="N",
        help="another seed gives another history (1)",
    )
    soak.add_argument(
        "--out", type=output_file, metavar="FILE", help="write all samples to this file, as JSON"
    )
    soak.add_argument(
        "--figure", type=figure_file, metavar="FILE", help="draw the samples: .png or .svg"
    )
    soak.set_defaults(run=commands.soak)


def _add_verify(adders: _Adders) -> None:
    verify = adders.add_parser(
        "verify",
        help="check every checksum of a data directory, and say what it holds",
        description="Check log, manifest and tables of a member, a store or a tree; write nothing.",
    )
    verify.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    verify.add_argument(
        "--owner",
        metavar="NAME",
        help="refuse a directory that belongs to any other CLUSTER/MEMBER",
    )
    verify.set_defaults(run=commands.verify)


def _add_inspect(adders: _Adders) -> None:
    look = adders.add_parser(
        "inspect",
        help="print what the bytes of a log, of tables, of a manifest or of a tree mean",
        description="Print what is in the files of a member, a store or a tree, valid or damaged.",
    )
    look.add_argument(
        "what",
        choices=["log", "table", "manifest", "tree"],
        metavar="WHAT",
        help="log, table, manifest or tree",
    )
    look.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    look.add_argument(
        "--number",
        type=whole(1, "a table's number"),
        metavar="N",
        help="only this table (all)",
    )
    look.add_argument("--rows", action="store_true", help="print every row of a table, too")
    look.add_argument("--json", action="store_true", help="print one JSON document")
    look.set_defaults(run=commands.inspect)


def _add_repair(adders: _Adders) -> None:
    repair = adders.add_parser(
        "repair",
        help="make a new manifest for tables whose manifest is lost or damaged",
        description="Rebuild a manifest from the valid tables, and set the rest aside.",
    )
    repair.add_argument("directory", type=Path, metavar="DIR", help="where the tables are")
    repair.add_argument("--dry-run", action="store_true", help="only print what would be done")
    repair.set_defaults(run=commands.repair)


def _add_rebuild(adders: _Adders) -> None:
    rebuild = adders.add_parser(
        "rebuild",
        help="set a member's files aside, so that another member can begin there",
        description="Set aside all files of a member whose disk no longer holds what it promised "
        "to keep: damaged, partly wiped, or an old copy. Nothing is deleted. The member comes back "
        "under another name, by a change of members.",
    )
    rebuild.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    rebuild.set_defaults(run=commands.rebuild)


def _add_dump(adders: _Adders) -> None:
    dump = adders.add_parser(
        "dump",
        help="write keys and values as lines of JSON",
        description="Write what a tree or a store holds, one line per key, as load reads it.",
    )
    dump.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    dump.add_argument(
        "--out", type=output_file, metavar="FILE", help="write to this file, not to standard output"
    )
    for name in ("prefix", "start", "stop"):
        dump.add_argument(f"--{name}", type=os.fsencode, metavar="KEY", help=KEY_HELP[name])
    dump.add_argument(
        "--at",
        type=whole(0, "a timestamp"),
        metavar="TIMESTAMP",
        help="as it was at this time",
    )
    dump.set_defaults(run=commands.dump)


def _add_load(adders: _Adders) -> None:
    fill = adders.add_parser(
        "load",
        help="put lines of JSON into a store",
        description="Put what dump wrote into the store in DIR; make a new one if there is none.",
    )
    fill.add_argument("directory", type=output_folder, metavar="DIR", help="where the store is")
    fill.add_argument("file", type=Path, metavar="FILE", help="lines of JSON; - for standard input")
    fill.set_defaults(run=commands.load)


def _add_bench(adders: _Adders) -> None:
    bench = adders.add_parser(
        "bench",
        help="measure a part, and a peer beside it",
        description="Measure a part of kvraft and print medians, and ratios to a peer measured "
        "in the same run.",
    )
    bench.add_argument(
        "part", choices=["consensus", "storage"], metavar="PART", help="consensus or storage"
    )
    bench.add_argument(
        "--rounds",
        type=whole(1, "rounds"),
        default=5,
        metavar="N",
        help="how many rounds, for a median (5)",
    )
    bench.add_argument(
        "--records",
        type=whole(100, "records"),
        metavar="N",
        help="how many records, for storage (100,000)",
    )
    bench.set_defaults(run=commands.bench)


_COMMANDS = (
    _add_lab,
    _add_tour,
    _add_play,
    _add_swarm,
    _add_soak,
    _add_verify,
    _add_inspect,
    _add_repair,
    _add_rebuild,
    _add_dump,
    _add_load,
    _add_bench,
)
"""What adds each command, in the order of the help: what needs no files comes first."""
