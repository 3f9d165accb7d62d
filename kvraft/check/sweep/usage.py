"""What a member uses, on its disk and in its memory, and whether that grows.

:func:`usage_of` measures one member at one moment.  :func:`fit_trend` fits a line to measurements
over a number of transactions; what is bounded has no trend::

    bytes │   ╭╮  ╭╮   ╭╮   ╭╮  ╭╮          level: the mean of the second half
          │  ╭╯╰──╯╰─╌╌╯╰╌╌╌╯╰╌╌╯╰─╌        change: how far the line climbs over it
          │ ╭╯          ┊
          └─┴───────────┴──────────── transactions
                        half: by then key space, sessions and levels are full

``Usage.items`` finds leaks that nobody thought of: it counts the items of all lists, dicts and sets
that can be reached from the member.

Invariant: a usage depends on the member's state alone, so equal runs measure the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain
from math import sqrt
from random import Random
from statistics import fmean, linear_regression
from typing import NamedTuple

from kvraft.disk import is_segment, table_number
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.record import entry_size
from kvraft.replica import Replica
from kvraft.sim import SimDisk

FLAT = 0.05
"""A value grows if it climbs by more than this share of its level over half a soak."""

BATCHES = 12
"""How many means a line is fitted to: neighbouring samples are correlated, long means hardly."""
ERRORS = 4
"""How many standard errors of a slope count as noise: chance exceeds that once in 400 times.

(Student's t with ``BATCHES - 2`` degrees of freedom.)
"""


class Usage(NamedTuple):
    """What one member uses, in bytes; ``sessions`` and ``items`` are counts.

    A member that is not ``up`` uses only its disk.
    """

    up: bool
    log: int  # on disk: segments
    tables: int  # on disk: SSTables
    other: int  # on disk: all other files
    entries: int  # of the log, in memory
    memtables: int
    cache: int  # blocks of tables
    sessions: int
    items: int  # see count_items()

    @property
    def disk(self) -> int:
        """Bytes of all files."""
        return self.log + self.tables + self.other

    @property
    def memory(self) -> int:
        """Bytes in memory."""
        return self.entries + self.memtables + self.cache


DISK = ("disk", "log", "tables", "other")
"""The fields of :class:`Usage` that survive a crash."""
MEMORY = ("entries", "memtables", "cache", "sessions", "items")
"""The fields of :class:`Usage` that do not."""


def usage_of(disk: SimDisk, replica: Replica | None) -> Usage:
    """Measure the member on ``disk``, whose ``replica`` is ``None`` while it is down."""
    sizes = {file: disk.size(file) for file in disk.names()}
    log = sum(size for file, size in sizes.items() if is_segment(file))
    tables = sum(size for file, size in sizes.items() if table_number(file) is not None)
    other = sum(sizes.values()) - log - tables
    if replica is None:
        return Usage(False, log, tables, other, 0, 0, 0, 0, 0)
    stats, entries = replica.tree.stats(), replica.raft.log
    return Usage(
        True,
        log,
        tables,
        other,
        sum(map(entry_size, entries.slice(entries.released + 1))),
        stats.memtable_bytes,
        stats.cache_bytes,
        len(replica.machine.sessions),
        count_items(replica),
    )


def count_items(root: object) -> int:
    """Return how many items all containers hold that can be reached from ``root``, each once.

    Not followed are classes, disks, and the values that records are made of.
    """
    seen: dict[int, object] = {}  # keeps the objects, so that no id is reused
    count = 0
    todo: list[object] = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | SimDisk | Random | Enum):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict | list | set | frozenset | deque):
            count += len(thing)
        todo += [each for each in _contents(thing) if type(each) not in _ATOMS]
    return count


_ATOMS = (int, str, bytes, bytearray, bool, float, type(None))


def _contents(thing: object) -> Iterable[object]:
    if isinstance(thing, tuple) and type(thing) is not tuple:
        return ()  # a record, or another value that never changes
    parts: list[Iterable[object]] = [getattr(thing, "__dict__", {}).values()]
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        parts.append([getattr(thing, slot, None) for slot in slots])
    if isinstance(thing, dict):
        parts += [thing.keys(), thing.values()]
    elif isinstance(thing, tuple | list | set | frozenset | deque):
        parts.append(thing)
    return chain.from_iterable(parts)


class Trend(NamedTuple):
    """The largest value of all samples; of the second half, the mean and a line fitted to it.

    ``slope`` is per million transactions, ``change`` over the second half as a share of ``level``.
    ``noise`` is that for :data:`ERRORS` standard errors of the slope.  ``ends`` are the values of
    the line where the second half begins and where it ends.
    """

    peak: int
    level: float
    slope: float
    change: float
    noise: float
    ends: tuple[float, float]

    @property
    def grows(self) -> bool:
        """Whether it climbs by more than :data:`FLAT` and by more than noise explains."""
        return self.change > max(FLAT, self.noise)


def second_half(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ``points`` of the second half of the transactions, at least three."""
    late = [point for point in points if 2 * point[0] >= points[-1][0]]
    return late if len(late) >= 3 else list(points[-3:])


def fit_trend(points: Sequence[tuple[int, int]]) -> Trend:
    """Return the trend of ``points`` (transactions, value): a line through their second half.

    The line is fitted to means, by least squares.

    Raises :class:`~kvraft.errors.BadInput` for fewer than six.
    """
    if len(points) < 6:
        raise BadInput(
            f"no trend can be seen in {counted(len(points), 'sample')}: take at least six"
        )
    late = second_half(points)
    xs, ys = zip(*_means(late), strict=True)
    slope, start = linear_regression(xs, ys)
    middle = fmean(xs)
    off = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    error = sqrt(off / (len(xs) - 2) / sum((x - middle) ** 2 for x in xs))
    level = fmean(y for _, y in late)
    share = (late[-1][0] - late[0][0]) / level if level else 0.0
    peak = max(y for _, y in points)
    ends = start + slope * late[0][0], start + slope * late[-1][0]
    return Trend(peak, level, slope * 1e6, slope * share, ERRORS * error * share, ends)


def _means(points: Sequence[tuple[int, int]]) -> Iterator[tuple[float, float]]:
    """Yield the means of up to :data:`BATCHES` stretches of ``points``, of about equal length."""
    count = min(BATCHES, len(points))
    for at in range(count):
        xs, ys = zip(
            *points[len(points) * at // count : len(points) * (at + 1) // count], strict=True
        )
        yield fmean(xs), fmean(ys)
