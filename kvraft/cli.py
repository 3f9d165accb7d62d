"""The command line: ``kvraft tour`` and ``kvraft verify``.

Errors that kvraft raises on purpose are printed as one sentence, with exit status 1; wrong usage
exits with 2, as argparse does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kvraft import __version__
from kvraft.errors import KvraftError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (the process's, by default) name; return its status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KvraftError as error:
        print(f"kvraft: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has had enough
        sys.stderr.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kvraft", description="A replicated key/value database to read, step through and break."
    )
    parser.add_argument("--version", action="version", version=f"kvraft {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    tour = commands.add_parser(
        "tour",
        help="replay real earthquakes into a cluster that is made to fail, and tell the story",
        description="Replay 1,707 real earthquakes into three simulated members: an election, "
        "commits, a dead leader, an undone transaction, flushes, log cuts, a crash and a recovery.",
    )
    tour.add_argument("--seed", type=int, default=1, help="another seed, another history (1)")
    tour.add_argument("--save", type=Path, metavar="DIR", help="write pictures and trace there")
    tour.add_argument("--file", type=Path, metavar="CSV", help="replay this catalogue instead")
    tour.add_argument(
        "--data", type=Path, metavar="DIR", help="keep the members' files in this new directory"
    )
    tour.set_defaults(run=_tour)

    verify = commands.add_parser(
        "verify",
        help="check every checksum of a member's data directory, and say what it holds",
        description="Check log, manifest and tables of one member, without writing anything.",
    )
    verify.add_argument("directory", type=Path, metavar="DIR", help="a directory of one member")
    verify.add_argument(
        "--owner", metavar="CLUSTER/MEMBER", help="refuse a directory of any other member"
    )
    verify.set_defaults(run=_verify)
    return parser
