"""The command line: the commands and options of ``kvraft``, and how every command ends.

An error that kvraft raises on purpose, or that the system raises for a file, is printed as one
sentence.  Numbers and the places of output are checked before a command starts.  Exit statuses:

=== ============================================================================================
0   done, and nothing was found
1   something was found: damage, a foreign file, a broken rule
2   nothing was checked: wrong usage, bad input, no such file, no permission, in use
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
from kvraft.cli import commands, judging
from kvraft.cli.terminal import say
from kvraft.cli.values import figure_file, names, output_file, output_folder, whole_number
from kvraft.errors import BadInput, FilesChanged, KvraftError, Locked

FOUND, REFUSED, INTERRUPTED = 1, 2, 130

STATUSES = (
    "Exit status: 0 done, and nothing was found; 1 something was found, such as damage or a broken "
    "rule; 2 wrong usage, bad input, no such file, or in use; 130 ended by Ctrl-C."
)
KEY_HELP = {
    "prefix": "only keys with this prefix",
    "start": "only this key and those after it",
    "stop": "only keys before this one",
}
WIDEST = 100
"""The most columns of help: longer lines are hard to read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in ``arguments`` (by default the process's); return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals that cannot show a character
    options = parser().parse_args(arguments)
    try:
        status: int | None = options.run(options)
        if sys.stdout is not None:  # None if the caller closed it
            sys.stdout.flush()
    except KvraftError as error:
        say(f"kvraft: {error}", sys.stderr)
        return REFUSED if isinstance(error, BadInput | Locked | FilesChanged) else FOUND
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        say(f"kvraft: {error.filename or 'output'}: {error.strerror or error}", sys.stderr)
        return REFUSED
    return status or 0


# ── commands and their options ──────────────────────────────────────────────────────────────────


class _Help(argparse.HelpFormatter):
    """Help as wide as the terminal, up to :data:`WIDEST`."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, WIDEST) - 2
        super().__init__(prog, max_help_position=min(24, width // 3), width=width)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, with a pointer to ``--help``."""

    def __init__(self, **options: object) -> None:
        super().__init__(formatter_class=_Help, epilog=STATUSES, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Print ``message`` as one sentence, and end with status 2."""
        say(f"kvraft: {message} (see {self.prog} --help)", sys.stderr)
        sys.exit(REFUSED)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    kvraft = _Parser(
        prog="kvraft",
        description="A replicated key/value database to read, step through, break and run.",
    )
    kvraft.add_argument("--version", action="version", version=f"kvraft {__version__}")
    kvraft.set_defaults(run=lambda options: kvraft.print_help())
    adders = kvraft.add_subparsers(metavar="COMMAND", title="commands")
    for add in _COMMANDS:
        add(adders)
    return kvraft


PARTS = ("storage", "replica", "consensus", "world", "python")
"""What ``bench`` measures; its files are loaded only when it runs."""

_Adders: TypeAlias = "argparse._SubParsersAction[_Parser]"
"""What argparse adds commands to; it is generic for mypy only."""


def _add_lab(adders: _Adders) -> None:
    lab = adders.add_parser(
        "lab",
        help="copy the lessons to your own folder and open them in JupyterLab",
        description="Copy the lessons to your own folder and open the first in JupyterLab. Your "
        "changes there are never overwritten.",
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
        help="also copy newer versions: they replace lessons that you did not change, and are put "
        "next to those that you did",
    )
    lab.add_argument("--no-open", action="store_true", help="only copy")
    lab.add_argument(
        "--jupyter",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag for JupyterLab, such as --jupyter=--no-browser; may be repeated",
    )
    lab.set_defaults(run=commands.lab)


def _add_playground(adders: _Adders) -> None:
    playground = adders.add_parser(
        "playground",
        help="build the page in which a cluster runs in the browser, and serve it",
        description="Build a page in which a cluster runs in the browser, with Python in the page, "
        "and serve it on 127.0.0.1. Python for the browser comes from npm, once. Any static server "
        "can serve the folder, and the page asks no other server for anything.",
    )
    playground.add_argument(
        "directory",
        type=output_folder,
        nargs="?",
        default=Path("kvraft-playground"),
        metavar="DIR",
        help="the folder to build in (kvraft-playground)",
    )
    playground.add_argument(
        "--port",
        type=whole_number(0, "a port"),
        default=8_000,
        metavar="N",
        help="the port to serve it on, 0 for a free one (8000)",
    )
    playground.add_argument("--no-serve", action="store_true", help="only build")
    playground.set_defaults(run=commands.playground)


def _add_tour(adders: _Adders) -> None:
    tour = adders.add_parser(
        "tour",
        help="replay real earthquakes into a cluster that is made to fail, and narrate it",
        description="Replay 1,707 real earthquakes into three simulated members: an election, "
        "commits, a dead leader, a discarded transaction, flushes, log truncation, a crash, a "
        "recovery.",
    )
    tour.add_argument(
        "--seed",
        type=whole_number(0, "a seed"),
        default=1,
        metavar="N",
        help="another seed gives another run (1)",
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


def _add_verify(adders: _Adders) -> None:
    verify = adders.add_parser(
        "verify",
        help="check every checksum of a data directory, and describe its contents",
        description="Check log, manifest and tables of a member, a store or a tree. Nothing is "
        "written.",
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
        help="print the contents of a log, of tables, of a manifest or of a tree",
        description="Print the contents of the files of a member, a store or a tree, whether valid "
        "or damaged.",
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
        type=whole_number(1, "a table's number"),
        metavar="N",
        help="only this table (all tables)",
    )
    look.add_argument("--rows", action="store_true", help="also print every row of a table")
    look.add_argument("--json", action="store_true", help="print one JSON document")
    look.set_defaults(run=commands.inspect)


def _add_repair(adders: _Adders) -> None:
    repair = adders.add_parser(
        "repair",
        help="make a new manifest for tables whose manifest is lost or damaged",
        description="Rebuild the manifest from the valid tables, and set all other files aside.",
    )
    repair.add_argument("directory", type=Path, metavar="DIR", help="where the tables are")
    repair.add_argument("--dry-run", action="store_true", help="only print what would be done")
    repair.set_defaults(run=commands.repair)


def _add_rebuild(adders: _Adders) -> None:
    rebuild = adders.add_parser(
        "rebuild",
        help="set a member's files aside, so that a new member can start there",
        description="Set aside all files of a member whose disk no longer holds what it promised "
        "to keep: because it is damaged, partly wiped, or an old copy. Nothing is deleted. The "
        "member must return under another name, by a change of members.",
    )
    rebuild.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    rebuild.set_defaults(run=commands.rebuild)


def _add_dump(adders: _Adders) -> None:
    dump = adders.add_parser(
        "dump",
        help="write keys and values as lines of JSON",
        description="Write the contents of a tree or a store, one line per key, for load to read.",
    )
    dump.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    dump.add_argument(
        "--out", type=output_file, metavar="FILE", help="write to this file, not to standard output"
    )
    for name in ("prefix", "start", "stop"):
        dump.add_argument(f"--{name}", type=os.fsencode, metavar="KEY", help=KEY_HELP[name])
    dump.add_argument(
        "--at",
        type=whole_number(0, "a timestamp"),
        metavar="TIMESTAMP",
        help="as of this timestamp",
    )
    dump.set_defaults(run=commands.dump)


def _add_load(adders: _Adders) -> None:
    fill = adders.add_parser(
        "load",
        help="put lines of JSON into a store",
        description="Put what dump wrote into the store in DIR, which is created if need be.",
    )
    fill.add_argument("directory", type=output_folder, metavar="DIR", help="where the store is")
    fill.add_argument("file", type=Path, metavar="FILE", help="lines of JSON; - for standard input")
    fill.set_defaults(run=commands.load)


def _add_bench(adders: _Adders) -> None:
    bench = adders.add_parser(
        "bench",
        help="measure a part of kvraft, next to a peer or to another version",
        description="Measure a part of kvraft in turns with its peers, or with another version, "
        "and print medians, and ratios of paired rounds with their spread.",
    )
    named = f"{', '.join(PARTS[:-1])} or {PARTS[-1]}"
    bench.add_argument("part", choices=PARTS, metavar="PART", help=named)
    bench.add_argument(
        "--rounds",
        type=whole_number(1, "rounds"),
        default=5,
        metavar="N",
        help="how many rounds (5)",
    )
    bench.add_argument(
        "--records",
        type=whole_number(1, "records"),
        metavar="N",
        help="how many records to do it with",
    )
    bench.add_argument(
        "--peers",
        type=names,
        metavar="A,B",
        help="compare with these peers only, or with none (all that are installed)",
    )
    bench.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="compare with the version of kvraft in this checkout, too",
    )
    bench.add_argument(
        "--wall", action="store_true", help="compare by wall time, not by CPU time, in all rows"
    )
    bench.add_argument(
        "--json", type=output_file, metavar="FILE", help="write all samples to this file, as JSON"
    )
    bench.add_argument(
        "--figure", type=figure_file, metavar="FILE", help="draw the ratios: .png or .svg"
    )
    bench.set_defaults(run=commands.bench)


def _add_grade(adders: _Adders) -> None:
    grade = adders.add_parser(
        "grade",
        help="check the exercises of lessons that learners hand in, and print a table",
        description="Run the exercises of each handed-in notebook, each in a process of its own, "
        "and print a table of learner, exercise, result and words. The checks are those of LESSON. "
        "It is honest grading, and not proof against cheating.",
    )
    grade.add_argument("lesson", type=Path, metavar="LESSON", help="the lesson, as it was given")
    grade.add_argument(
        "papers",
        type=Path,
        nargs="+",
        metavar="PAPER",  # a longer word is too wide, as Python 3.13 folds it
        help="a learner's notebook, or a folder of them",
    )
    grade.add_argument(
        "--csv", type=output_file, metavar="FILE", help="also write the table to this file"
    )
    grade.add_argument(
        "--seconds",
        type=whole_number(1, "the seconds"),
        default=60,
        metavar="N",
        help="how long one exercise may run (60)",
    )
    grade.add_argument(
        "--memory",
        type=whole_number(200, "the megabytes"),
        default=2_000,
        metavar="MB",
        help="how much memory one exercise may use, where the system can limit it (2,000)",
    )
    grade.set_defaults(run=commands.grade)


_COMMANDS = (
    _add_lab,
    _add_grade,
    _add_playground,
    _add_tour,
    judging.add_play,
    judging.add_swarm,
    judging.add_zoo,
    judging.add_check,
    judging.add_soak,
    _add_verify,
    _add_inspect,
    _add_repair,
    _add_rebuild,
    _add_dump,
    _add_load,
    _add_bench,
)
"""The functions that add the commands, in the order of the help: those without files first."""
