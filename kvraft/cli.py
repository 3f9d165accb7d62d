"""The command line: ``kvraft tour``, ``kvraft swarm``, ``kvraft verify`` and others.

An error that kvraft raises on purpose is printed as one sentence, with exit status 1; wrong usage
exits with 2, as argparse has it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kvraft import __version__
from kvraft.disk import Disk, RealDisk
from kvraft.errors import BadInput, KvraftError
from kvraft.events import Trace
from kvraft.plural import counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (the process's, by default) name; return its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without our signs shows others
    options = _parser().parse_args(arguments)
    status: int | None = 0
    try:
        status = options.run(options)
    except KvraftError as error:
        print(f"kvraft: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"kvraft: {error.filename or 'disk'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kvraft",
        description="A replicated key/value database to read, step through, break and run.",
    )
    parser.add_argument("--version", action="version", version=f"kvraft {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    tour = commands.add_parser(
        "tour",
        help="replay real earthquakes into a cluster that is made to fail, and tell the story",
        description="Replay 1,707 real earthquakes into three simulated members: an election, "
        "commits, a dead leader, an undone transaction, flushes, log cuts, a crash, a recovery.",
    )
    tour.add_argument("--seed", type=int, default=1, help="another seed, another history (1)")
    tour.add_argument("--save", type=Path, metavar="DIR", help="write pictures and trace there")
    tour.add_argument("--file", type=Path, metavar="CSV", help="replay this catalogue instead")
    tour.add_argument(
        "--data", type=Path, metavar="DIR", help="keep the members' real files in this new folder"
    )
    tour.set_defaults(run=_tour)

    play = commands.add_parser(
        "play",
        help="play a scenario, such as figure_8, and tell what happens line by line",
        description="Play a situation of data/scenarios, or a file of your own, in a cluster of "
        "consensus modules, with every safety property checked after each step.",
    )
    play.add_argument("scenario", nargs="?", help="a name, or a file .txt; none lists all names")
    play.add_argument("--planted", metavar="BUG", help="give all members this bug, and see")
    play.set_defaults(run=_play)

    swarm = commands.add_parser(
        "swarm",
        help="live random lives of small clusters, with everything checked after each step",
        description="Try to break a cluster: clients write and read while members crash, disks "
        "fail and fill up, messages are lost and clocks go wrong. A seed is one life. Ends with "
        "status 1 if anything was found.",
    )
    swarm.add_argument(
        "--seeds", type=_range, default=range(1, 21), metavar="A-B", help="which lives (1-20)"
    )
    swarm.add_argument("--planted", metavar="MISTAKE", help="give all members this mistake")
    swarm.add_argument("--trace", type=Path, metavar="FILE", help="of one life: write it there")
    swarm.set_defaults(run=_swarm)

    soak = commands.add_parser(
        "soak",
        help="transactions without end, to see that disk and memory stay bounded",
        description="Let three members with tiny segments and memtables take transactions without "
        "end, while they crash and clients come and go, and measure their disks and memory.",
    )
    soak.add_argument("--transactions", type=int, default=100_000, help="how many (100,000)")
    soak.add_argument("--seed", type=int, default=1, help="another seed, another history (1)")
    soak.add_argument("--out", type=Path, metavar="FILE", help="write all samples there, as JSON")
    soak.add_argument("--figure", type=Path, metavar="FILE", help="draw them: .png or .svg")
    soak.set_defaults(run=_soak)

    verify = commands.add_parser(
        "verify",
        help="check every checksum of a data directory, and say what it holds",
        description="Check log, manifest and tables of a member, a store or a tree; write nothing.",
    )
    verify.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    verify.add_argument(
        "--owner", metavar="CLUSTER/MEMBER", help="refuse the directory of any other member"
    )
    verify.set_defaults(run=_verify)

    look = commands.add_parser(
        "inspect",
        help="print what the bytes of a log, of tables, of a manifest or of a tree mean",
        description="Look into the files of a member, a store or a tree, sound or damaged.",
    )
    look.add_argument("what", choices=["log", "table", "manifest", "tree"])
    look.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    look.add_argument("--number", type=int, help="of one table (all)")
    look.add_argument("--rows", action="store_true", help="every row of a table, too")
    look.add_argument("--json", action="store_true", help="one JSON document")
    look.set_defaults(run=_inspect)

    repair = commands.add_parser(
        "repair",
        help="make a new manifest for tables whose manifest is lost or damaged",
        description="Rebuild a manifest from the tables that are sound, and put the rest aside.",
    )
    repair.add_argument("directory", type=Path, metavar="DIR", help="where the tables are")
    repair.add_argument("--dry-run", action="store_true", help="only say what would be done")
    repair.set_defaults(run=_repair)

    rebuild = commands.add_parser(
        "rebuild",
        help="set a member's files aside, so that another member can begin there",
        description="Set aside all files of a member whose disk forgot what it promised: damaged, "
        "wiped in part, or an old copy. Nothing is deleted. The member comes back under another "
        "name, by a change of members.",
    )
    rebuild.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    rebuild.set_defaults(run=_rebuild)

    dump = commands.add_parser(
        "dump",
        help="write keys and values as lines of JSON",
        description="Write what a tree or store holds, a line a key; see load.",
    )
    dump.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    dump.add_argument("--out", type=Path, metavar="FILE", help="write there, not to the terminal")
    for name in ("prefix", "start", "stop"):
        dump.add_argument(f"--{name}", type=os.fsencode, metavar="KEY", help=f"{name} of the keys")
    dump.add_argument("--at", type=int, metavar="TIMESTAMP", help="as it was then")
    dump.set_defaults(run=_dump)

    fill = commands.add_parser(
        "load",
        help="put lines of JSON into a store",
        description="Put what dump wrote into the store in DIR, a new one if there is none.",
    )
    fill.add_argument("directory", type=Path, metavar="DIR", help="where the store is")
    fill.add_argument("file", type=Path, metavar="FILE", help="lines of JSON; - for standard input")
    fill.set_defaults(run=_load)

    bench = commands.add_parser(
        "bench",
        help="measure a part, beside a peer measured in the same run",
        description="Measure a part of kvraft and print medians, and ratios to a peer.",
    )
    bench.add_argument("part", choices=["consensus", "storage"], help="what to measure")
    bench.add_argument("--rounds", type=int, default=5, help="how often, for a median (5)")
    bench.add_argument("--records", type=int, help="how many there are, for storage (100,000)")
    bench.set_defaults(run=_bench)
    return parser


def _play(options: argparse.Namespace) -> None:
    from kvraft.check import scenario
    from kvraft.check.planted import planted
    from kvraft.sim.cluster import Cluster
    from kvraft.viz.words import story_line

    if options.scenario is None:
        for name in scenario.names():
            print(f"{name:30} {scenario.load(name).title}")
        return
    consensus = planted(options.planted) if options.planted else None
    chosen = scenario.load(options.scenario)
    print(f"{chosen.title}\n\n{chosen.prose}", flush=True)
    told = 0

    def tell(cluster: Cluster, line: str) -> None:
        nonlocal told
        print(f"\n{line or 'To begin with'}")
        for step in range(told, len(cluster.trace)):
            print(f"    {story_line(cluster.trace, step)}")
        told = len(cluster.trace)

    played = chosen.play(consensus=consensus, tell=tell)
    print(f"\n{played.cluster}", flush=True)
    if played.violation is not None:
        print(f"\nAs expected, this breaks {played.violation}.")


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        seeds = range(int(first), int(last or first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a seed, such as 7, nor a range, 1-9")
    return seeds


def _swarm(options: argparse.Namespace) -> int:
    from kvraft.check.planted_storage import planted_storage
    from kvraft.check.swarm import live, tell
    from kvraft.replica import Replica

    replica = planted_storage(options.planted) if options.planted else Replica
    if options.trace is not None and len(options.seeds) > 1:
        raise BadInput("a trace is of one life: name one seed")
    results = (live(seed, replica=replica, trace=options.trace) for seed in options.seeds)
    found = False
    for line in tell(results, planted=options.planted or ""):
        found |= line.startswith("seed")
        print(line, flush=True)
    return int(found)


def _soak(options: argparse.Namespace) -> None:
    from kvraft.check.soak import Soak
    from kvraft.tools.progress import progress

    if options.figure is not None:
        if options.figure.suffix not in (".png", ".svg"):
            raise BadInput(f"a figure is a .png or a .svg, not {options.figure.name}")
        _need_matplotlib()
    for file in (options.out, options.figure):
        if file is not None and not file.parent.is_dir():
            raise BadInput(f"{file.parent} is not a directory")
    soak = Soak(options.transactions, options.seed)
    began = time.perf_counter()
    for _ in progress(soak.run(), "samples", options.transactions // soak.every):
        pass
    seconds = time.perf_counter() - began
    for line in soak.lines():
        print(line)
    print(f"{soak.applied / seconds:,.0f} transactions a second, {seconds:,.0f} s in all")
    if options.out is not None:
        text = json.dumps(soak.to_dict(), separators=(",", ":"))
        options.out.write_text(text + "\n", encoding="utf-8", newline="\n")
    if options.figure is not None:
        from kvraft.viz.picture import save
        from kvraft.viz.soak import plot_soak

        save(plot_soak(soak.world.members, soak.samples, soak.outages), options.figure)
        print(f"The figure is in {options.figure}.")


def _verify(options: argparse.Namespace) -> None:
    from kvraft.verify import verify

    for line in verify(options.directory, options.owner):
        print(line)


def _inspect(options: argparse.Namespace) -> int:
    from kvraft.tools import inspect
    from kvraft.tools.place import look_into

    disk = look_into(options.directory)
    try:
        if options.what == "table":
            document = inspect.table(disk, options.number, rows=options.rows)
        else:
            document = getattr(inspect, options.what)(disk)
    finally:
        disk.close()
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for line in inspect.lines(document):
            print(line)
    return int(inspect.damaged(document))


def _repair(options: argparse.Namespace) -> None:
    from kvraft.tools.repair import repair

    for line in repair(options.directory, dry_run=options.dry_run):
        print(line)


def _rebuild(options: argparse.Namespace) -> None:
    from kvraft.identity import ASIDE, set_aside
    from kvraft.tools.place import open_place

    disk = open_place(options.directory)
    try:
        aside = set_aside(disk)
    finally:
        disk.close()
    print(f"{options.directory}: {counted(len(aside), 'file')} set aside, as {ASIDE}…")
    print("What they promised is forgotten, so their member must not come back under its old name:")
    print("let a new one begin here, by a change of members that removes the old.")


def _dump(options: argparse.Namespace) -> None:
    from kvraft.tools.transfer import dump

    lines = dump(
        options.directory,
        prefix=options.prefix,
        start=options.start or b"",
        stop=options.stop,
        at=options.at,
    )
    if options.out is None:
        for line in lines:
            print(line)
        return
    with options.out.open("w", encoding="utf-8", newline="\n") as file:
        count = sum(file.write(f"{line}\n") > 0 for line in lines)
    print(f"{options.out} has {counted(count, 'key')}.")


def _load(options: argparse.Namespace) -> None:
    from kvraft.tools.transfer import load

    if str(options.file) == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
        count = load(options.directory, sys.stdin)
    else:
        with options.file.open(encoding="utf-8", errors="surrogateescape") as file:
            count = load(options.directory, file)
    print(f"{counted(count, 'key')} put into {options.directory}.")


def _bench(options: argparse.Namespace) -> None:
    from kvraft.bench import consensus, storage

    if options.rounds < 1:
        raise BadInput(f"a benchmark takes at least one round, not {options.rounds}")
    if options.part == "consensus":
        lines = consensus.run(options.rounds)
    else:
        lines = storage.run(options.rounds, options.records)
    for line in lines:
        print(line, flush=True)


def _tour(options: argparse.Namespace) -> None:
    from kvraft.sim import SimDisk
    from kvraft.tour import Tour, load
    from kvraft.viz import text

    quakes = load(options.file)
    if options.save is not None:
        _prepare(options.save)
    disk = _real_disks(options.data) if options.data is not None else lambda member: SimDisk()
    began = time.perf_counter()
    tour = Tour(quakes, seed=options.seed, disk=disk)
    print(f"{counted(len(quakes), 'earthquake')}, seed {options.seed}", flush=True)
    for title, lines in tour.run():
        print(f"\n{title}")
        for line in lines:
            print(f"  {line}", flush=True)
    seconds = time.perf_counter() - began
    tour.world.close()
    rate = tour.applied / seconds
    print(f"\n{counted(tour.applied, 'transaction')} in {seconds:.1f} s: {rate:,.0f} a second.")
    print(f"Trace: {counted(len(tour.trace), 'event')}, sha256 {tour.trace.digest()}\n")
    print(text.overview(tour.trace))
    if options.save is not None:
        _save(options.save, tour.trace)


def _real_disks(folder: Path) -> Callable[[str], Disk]:
    """Return a maker of real disks, one folder a member, all below a folder that is empty now."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is not a directory")
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty, and nothing is written over")
    return lambda member: RealDisk(folder / member)


def _need_matplotlib() -> None:
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise BadInput("pictures need matplotlib: pip install 'kvraft[plot]'") from None


def _prepare(folder: Path) -> None:
    """Find out before the tour, not after it, whether its pictures can be drawn and saved."""
    _need_matplotlib()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is not a directory")
    folder.mkdir(parents=True, exist_ok=True)


def _save(folder: Path, trace: Trace) -> None:
    from kvraft.viz import plots
    from kvraft.viz.picture import save

    for name, plot in plots.ALL.items():
        save(plot(trace), folder / f"{name}.png")
    with (folder / "trace.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        trace.save(file)
    print(f"\nSaved {', '.join(plots.ALL)} (.png) and trace.jsonl in {folder}.")


if __name__ == "__main__":
    sys.exit(main())
