"""What a benchmark measures: rows, samples, and the clocks that they are taken with.

A workload is a generator.  It does one piece of work, yields a :class:`Sample` of it, and goes on
when it is asked for the next; so several workloads can take turns (``bench/rounds.py``).  It yields
``None`` for a row that it has nothing to measure for, which keeps all of them in step.

This file imports nothing of kvraft: the process that measures another version has it, too.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

QUIET = 0.0005
"""Seconds of CPU time in one :data:`PAUSE` from which threads in the background are at work."""
PAUSE = 0.01
PATIENCE = 60.0
"""Seconds after which nobody waits for background threads any longer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report: what was measured, and in which unit.

    ``by_wall`` means that the disk is the subject, so that it is compared by wall time; all else is
    compared by CPU time.  ``peer_row`` is the row of a peer that this one is compared with where
    the peer has none of this name.
    """

    name: str
    unit: str
    by_wall: bool = False
    more_is_better: bool = False
    peer_row: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a row by CPU time and by wall time; what has no time has it twice."""

    row: Row
    cpu: float
    wall: float


Samples = Iterator[Sample | None]


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark: what it is, how much it does by default and at least, and its workload.

    ``samples`` takes the name of a peer, or ``""`` for kvraft, a seed, how many records to do it
    with and an empty directory.  ``peers`` returns the names of the peers, each with what pip must
    install for it, ``""`` if it is here.
    """

    title: str
    records: int
    least: int
    samples: Callable[[str, int, int, Path], Samples]
    peers: Callable[[], dict[str, str]] = dict


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that some work took: of CPU time in all threads, and of wall time in the caller's."""

    cpu: float
    wall: float

    def per(self, row: Row, count: float, scale: float = 1e6) -> Sample:
        """Return the cost of one of ``count`` operations: in microseconds, unless ``scale``."""
        return Sample(row, self.cpu / count * scale, self.wall / count * scale)

    def rate(self, row: Row, count: float) -> Sample:
        """Return how many of ``count`` operations were done in a second."""
        return Sample(row, count / max(self.cpu, 1e-9), count / max(self.wall, 1e-9))


def amount(row: Row, value: float) -> Sample:
    """Return a sample of what is not a time, such as bytes."""
    return Sample(row, value, value)


def timed(do: Callable[[], object]) -> Spent:
    """Return what ``do`` costs.

    CPU time counts until the threads that it left at work are idle: an engine that compacts in the
    background pays for that, too, and does not disturb the next measurement.
    """
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    do()
    wall = time.perf_counter() - wall
    return Spent(_cpu_when_idle() - cpu, wall)


def _cpu_when_idle() -> float:
    """Return the CPU time of this process once no thread of it uses any."""
    now = time.process_time()
    for _ in range(round(PATIENCE / PAUSE)):
        time.sleep(PAUSE)
        before, now = now, time.process_time()
        if now - before < QUIET:
            return before
    return now


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had resident; 0 if nobody knows."""
    status = Path("/proc/self/status")
    if status.exists():  # of this process alone: getrusage counts its parent before it was started
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
