"""What each command of ``kvraft`` does, with the options that cli/cli.py has read.

Each function is one command: it takes its options, prints, and returns its exit status; ``None``
means 0.  It imports what it needs when it runs, so that no command waits for what another needs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from kvraft.cli.terminal import columns, say
from kvraft.disk import Disk
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import Trace


def lab(options: argparse.Namespace) -> int:
    """Copy the lessons, and open them."""
    from kvraft.course import copies as lessons

    if not options.no_open:
        lessons.need_jupyterlab()
    copied = lessons.copy_lessons(options.directory, update=options.update)
    for line in lessons.report(options.directory, copied):
        say(line)
    return 0 if options.no_open else lessons.open_lessons(options.directory, options.jupyter)


def grade(options: argparse.Namespace) -> None:
    """Grade papers, row by row."""
    from kvraft.course import grading

    rows = []
    limits = grading.Limits(options.seconds, options.memory)

    def noted() -> Iterator[grading.Row]:
        for row in grading.grade(options.lesson, options.papers, limits):
            rows.append(row)
            yield row

    for line in grading.text_rows(noted()):
        print(line, flush=True)
    if options.csv:
        options.csv.write_text(grading.csv_text(rows), encoding="utf-8")


def playground(options: argparse.Namespace) -> None:
    """Build the playground, and serve it until Ctrl-C."""
    from kvraft.viz.playground import build, serve

    build.build(options.directory)
    say(f"The playground is in {options.directory}: any static server can serve it.")
    if options.no_serve:
        return
    with serve.server(options.directory, options.port) as server:
        say(f"It is at http://{serve.HOST}:{server.server_port}/ until Ctrl-C.")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def play(options: argparse.Namespace) -> int:
    """Play a scenario or a run, or list all scenarios."""
    from kvraft.cli import playing

    return playing.play(options)


def swarm(options: argparse.Namespace) -> int:
    """Run small clusters at random, and print what was found in them."""
    from kvraft.cli.sweep import sweep

    return sweep(options)


def zoo(options: argparse.Namespace) -> int:
    """Print the zoo or the story of one bug, or hunt for bugs."""
    from kvraft.check.bugs import catalogue, find_exhibit, zoo_lines
    from kvraft.check.sweep import processes
    from kvraft.check.zoo import hunt_lines, shown_lines

    named = [find_exhibit(" ".join(options.bug))] if options.bug else []
    if options.hunt is None:
        if options.json is not None or options.run_files is not None:
            raise BadInput("what a hunt finds is written there: add --hunt")
        for line in shown_lines(named[0]) if named else zoo_lines(catalogue().values()):
            say(line)
        return 0
    named += map(find_exhibit, options.hunt)
    hunted = named or list(catalogue().values())
    missed = 0
    with processes(min(options.jobs, len(hunted))) as executor:
        stores = {"path": options.json, "folder": options.run_files}
        for line, found in hunt_lines(hunted, options.runs, **stores, executor=executor):
            say(line)
            missed += not found
    return int(missed > 0)


def check(options: argparse.Namespace) -> int:
    """Put somebody's own implementation on trial."""
    from kvraft.cli.trial import check_subject

    return check_subject(options)


def soak(options: argparse.Namespace) -> None:
    """Run many transactions, and print what grew."""
    from kvraft.check.sweep import Soak
    from kvraft.tools import progress_bar

    if options.figure is not None:
        _need_matplotlib()
    soak = Soak(options.transactions, options.seed)
    began = time.perf_counter()
    for _ in progress_bar(soak.run(), "samples", options.transactions // soak.every):
        pass
    seconds = time.perf_counter() - began
    for line in soak.lines():
        say(line)
    say(f"{soak.applied / seconds:,.0f} transactions a second, {seconds:,.0f} s in all")
    if options.out is not None:
        with _written_whole(options.out) as file:
            file.write(json.dumps(soak.to_dict(), separators=(",", ":")) + "\n")
    if options.figure is not None:
        from kvraft.viz.figures import plot_soak, save

        save(plot_soak(soak.world.members, soak.samples, soak.outages), options.figure)
        say(f"The figure is in {options.figure}.")


def verify(options: argparse.Namespace) -> None:
    """Check a data directory."""
    from kvraft.tools import verify

    for line in verify(options.directory, options.owner):
        say(line)


def inspect(options: argparse.Namespace) -> int:
    """Print the contents of files."""
    from kvraft.tools import inspect, inspect_directory, inspect_text

    disk = inspect_directory(options.directory)
    try:
        document = inspect.look(disk, options.what, options.number, rows=options.rows)
    finally:
        disk.close()
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        for line in inspect_text.lines(document):
            say(line)
    return int(inspect.damaged(document))


def repair(options: argparse.Namespace) -> None:
    """Make a new manifest."""
    from kvraft.tools import repair

    for line in repair(options.directory, dry_run=options.dry_run):
        say(line)


def rebuild(options: argparse.Namespace) -> None:
    """Set a member's files aside."""
    from kvraft.disk import ASIDE_PREFIX, set_aside
    from kvraft.tools import open_directory

    disk = open_directory(options.directory)
    try:
        aside = set_aside(disk)
    finally:
        disk.close()
    say(f"{options.directory}: {counted(len(aside), 'file')} set aside, as {ASIDE_PREFIX}…")
    say("The member's promises went with them, so it must not return under its old name:")
    say("start a new member here, and remove the old one by a change of members.")


def dump(options: argparse.Namespace) -> None:
    """Write keys and values as lines of JSON."""
    from kvraft.tools import dump

    lines = dump(
        options.directory,
        prefix=options.prefix,
        start=options.start or b"",
        stop=options.stop,
        at=options.at,
        notice=lambda text: say(f"kvraft: {text}", sys.stderr),
    )
    if options.out is None:
        for line in lines:
            print(line)
        return
    with _written_whole(options.out) as file:
        count = sum(file.write(f"{line}\n") > 0 for line in lines)
    say(f"{options.out} has {counted(count, 'key')}.")


def load(options: argparse.Namespace) -> None:
    """Put lines of JSON into a store."""
    from kvraft.tools import load

    not_text = "surrogateescape"  # load reports the line that is not UTF-8
    if str(options.file) == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors=not_text)
        count = load(options.directory, sys.stdin)
    else:
        with options.file.open(encoding="utf-8", errors=not_text) as file:
            count = load(options.directory, file)
    say(f"{counted(count, 'key')} put into {options.directory}.")


def bench(options: argparse.Namespace) -> None:
    """Run a benchmark."""
    from kvraft.bench import PARTS, chosen_peers, run
    from kvraft.tools import progress_bar

    if options.figure is not None:
        _need_matplotlib()
        if not options.against and not chosen_peers(PARTS[options.part], options.peers):
            raise BadInput("a figure shows ratios, and there is nothing to compare with")
    for name, library in PARTS[options.part].peers().items():
        if library and options.peers is None:
            say(f"{name} is left out: {library} is not installed", sys.stderr)
    result = run(
        options.part,
        rounds=options.rounds,
        records=options.records,
        peers=options.peers,
        against=options.against,
        wall=options.wall,
        watch=lambda rounds: progress_bar(rounds, "rounds", options.rounds),
    )
    for line in result.lines():
        print(line)
    if options.json is not None:
        with _written_whole(options.json) as file:
            file.write(json.dumps(result.to_dict(), indent=1) + "\n")
    if options.figure is not None:
        from kvraft.viz.figures import plot_ratios, ratios_text, save

        save(plot_ratios(result), options.figure, ratios_text(result))
        say(f"The figure is in {options.figure}.")


def tour(options: argparse.Namespace) -> None:
    """Run the tour, and print it chapter by chapter."""
    from kvraft.course.tour import Tour, load
    from kvraft.sim import SimDisk
    from kvraft.viz.trace import text

    quakes = load(options.file)
    if options.save is not None:
        _prepare(options.save)
    disk = _real_disks(options.data) if options.data is not None else lambda member: SimDisk()
    began = time.perf_counter()
    tour = Tour(quakes, seed=options.seed, disk=disk)
    say(f"{counted(len(quakes), 'earthquake')}, seed {options.seed}")
    for title, lines in tour.run():
        say(f"\n{title}")
        for line in lines:
            say(f"  {line}")
    seconds = time.perf_counter() - began
    tour.world.close()
    rate = tour.applied / seconds
    say(f"\n{counted(tour.applied, 'transaction')} in {seconds:.1f} s: {rate:,.0f} a second.")
    say(f"Trace: {counted(len(tour.trace), 'event')}, sha256 {tour.trace.digest()}\n")
    width = columns()
    say(text.overview(tour.trace, text.WIDTH if width is None else min(text.WIDTH, width - 6)))
    if options.save is not None:
        _save(options.save, tour.trace)


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[TextIO]:
    """Yield a file to write that replaces ``path`` once it is complete.

    If writing fails, the old file stays.  A device or a pipe is written directly.
    """
    special = path.exists() and not path.is_file()
    half = path if special else path.with_name(f"{path.name}.part")
    try:
        with half.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        if not special:
            os.replace(half, path)
    finally:
        if not special:
            half.unlink(missing_ok=True)


def _real_disks(folder: Path) -> Callable[[str], Disk]:
    """Return a function that makes a real disk for a member, in a subfolder of ``folder``."""
    from kvraft.disk import RealDisk

    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty, and nothing is overwritten")
    return lambda member: RealDisk(folder / member)


def _need_matplotlib() -> None:
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise BadInput("pictures need matplotlib: pip install 'kvraft[plot]'") from None


def _prepare(folder: Path) -> None:
    """Check before the tour whether its pictures can be drawn and saved."""
    _need_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)


def _save(folder: Path, trace: Trace) -> None:
    from kvraft.viz.figures import plots, save

    for name, plot in plots.ALL.items():
        save(plot(trace), folder / f"{name}.png")
    with (folder / "trace.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        trace.save(file)
    say(f"\nSaved {', '.join(plots.ALL)} (.png) and trace.jsonl in {folder}.")
