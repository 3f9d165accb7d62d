"""The same writes through trees of different strategies, and what they cost.

Time is counted in writes, and long work in slices: after each write the tree does a few slices, so
that a run is the same on every machine::

    write, slices of work, write, slices of work, …        every so often a TreeSample

A plain ``dict`` holds what the tree *should* hold.  From it follows how many bytes are alive, and
whether the tree's answers are right.

Sources: Luo and Carey, *LSM-based Storage Techniques*, VLDB J. 2020, §2.3 (what is measured);
Athanassoulis et al., *Designing Access Methods: The RUM Conjecture*, EDBT 2016.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from random import Random
from statistics import fmean
from typing import NamedTuple

from kvraft import inputs
from kvraft.errors import BadInput
from kvraft.events import Event, Trace
from kvraft.lsm import CompactionTask, Tree, TreeOptions
from kvraft.sim.disk import SimDisk
from kvraft.sim.timeline import MILLISECOND
from kvraft.sstable import TableMetadata

SMALL_TREE = TreeOptions(memtable_bytes=4096, block_bytes=512, bits_per_key=0)
"""Small memtables and blocks, without filters: a hundred writes show what else takes a million."""

PROBES = 40
"""How many random keys are read for each sample."""

LoadWrite = tuple[bytes, bytes | None]
"""A key and its new value; ``None`` deletes it."""


class NoCompaction:
    """The strategy that never merges tables."""

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return ``None``."""
        return None


class ChosenTables:
    """The strategy that merges the tables ``numbers`` into ``level`` once, and then no others."""

    def __init__(self, numbers: Sequence[int], level: int) -> None:
        self._numbers, self._level = set(numbers), level

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return the task of merging the tables, if all of them are there."""
        found = tuple(table for table in tables if table.number in self._numbers)
        if not found or len(found) < len(self._numbers):
            return None
        self._numbers = set()
        return CompactionTask(found, self._level, 1 << 62)


def key_of(number: int) -> bytes:
    """Return the key of a number; keys are in the order of their numbers."""
    return b"key %04d" % number


def random_writes(seed: int, count: int, keys: int, deletes: float = 0.2) -> Iterator[LoadWrite]:
    """Yield ``count`` writes to random keys out of ``keys``; the share ``deletes`` are deletes."""
    inputs.whole_number(keys, "the number of keys", minimum=1)
    inputs.probability(deletes, "the share of deletes")
    random = Random(f"load/{seed}")
    for number in range(inputs.whole_number(count, "the number of writes", minimum=0)):
        key = key_of(random.randrange(keys))
        yield key, None if random.random() < deletes else b"%06d" % number * 6


class TreeSample(NamedTuple):
    """What a tree costs after ``writes`` writes.

    ``runs`` are level and bytes of its sorted runs, the oldest first: each table of level 0 is one,
    and each deeper level.
    """

    writes: int
    runs: tuple[tuple[int, int], ...]
    write: float  # bytes written to tables so far, for each byte put
    read: float  # blocks read, for each key read
    space: float  # bytes of tables on disk, unfinished ones too, for each live byte
    pressure: float
    wrong: int  # wrong answers


@dataclass(slots=True)
class TreeLoad:
    """A tree under load.  ``model`` is what it should hold, ``trace`` what it reported.

    ``model`` has ``None`` for deleted keys.  A write takes a millisecond of the trace's time.
    """

    options: TreeOptions = SMALL_TREE
    disk: SimDisk = field(default_factory=SimDisk)
    model: dict[bytes, bytes | None] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)
    writes: int = 0
    tree: Tree = field(init=False)

    def __post_init__(self) -> None:
        """Open the tree."""
        inputs.instance(self.options, TreeOptions, "the options of a load")
        self.tree = Tree.open(self.disk, owner="tree", options=self.options, report=self._report)

    def _report(self, event: Event) -> None:
        self.trace.file(self.writes * MILLISECOND, "tree", event)

    def write(self, key: bytes, value: bytes | None, slices: int = 1) -> None:
        """Set ``key`` to ``value``, or delete it; then do up to ``slices`` slices of long work."""
        inputs.whole_number(slices, "a number of slices", minimum=0)
        self.writes += 1
        if value is None:
            self.tree.delete(key)
        else:
            self.tree.put(key, value)
        self.model[key] = value
        for _ in range(slices):
            if self.tree.has_work:
                self.tree.work()

    def merge(self, numbers: Sequence[int], level: int) -> None:
        """Merge the tables ``numbers`` into ``level`` now, whatever the strategy would do.

        The tree is reopened with :class:`ChosenTables` as its strategy.  Raises ``BadInput`` if
        there are no such tables.
        """
        inputs.whole_number(level, "the level to merge into", minimum=0)
        asked = {inputs.whole_number(number, "the number of a table") for number in numbers}
        missing = asked - {table.number for table in self.tree.tables}
        if missing or not numbers:
            raise BadInput(f"there are no tables {sorted(missing)} to merge")
        self.tree.flush()
        self.tree.close()
        options = replace(self.options, strategy=ChosenTables(numbers, level))
        self.tree = Tree.open(self.disk, owner="tree", options=options, report=self._report)
        while self.tree.has_work:
            self.tree.work()

    @property
    def alive(self) -> int:
        """The bytes of all live keys and their values."""
        pairs = self.model.items()
        return sum(len(key) + len(value) for key, value in pairs if value is not None)

    def sample(self, random: Random) -> TreeSample:
        """Return what the tree costs now; ``random`` draws the keys to read.

        They are drawn from all keys that were ever written, deleted ones included.
        """
        tree, before = self.tree, self.tree.stats().counts
        asked = random.choices(list(self.model), k=PROBES)
        wrong = sum(tree.get(key) != self.model[key] for key in asked)
        stats = tree.stats()
        looked = stats.counts.tables_probed - stats.counts.filter_negatives
        looked -= before.tables_probed - before.filter_negatives
        names = [name for name in self.disk.names() if name.endswith(".sst")]
        return TreeSample(
            self.writes,
            runs_of(tree.tables),
            stats.write_amplification,
            looked / PROBES,
            sum(map(self.disk.size, names)) / max(self.alive, 1),
            tree.pressure,
            wrong,
        )


def runs_of(tables: Sequence[TableMetadata]) -> tuple[tuple[int, int], ...]:
    """Return level and bytes of each sorted run in ``tables``, the oldest first."""
    runs: list[tuple[int, int]] = []
    for level, found in groupby(tables, lambda table: table.level):
        sizes = [table.size for table in found]
        runs += [(0, size) for size in sizes] if level == 0 else [(level, sum(sizes))]
    return tuple(reversed(runs))


def run_load(
    options: TreeOptions, writes: Sequence[LoadWrite], *, slices: int = 1, every: int = 20
) -> list[TreeSample]:
    """Apply ``writes`` to a new tree; return a sample after every ``every``-th of them."""
    inputs.whole_number(every, "how often a sample is taken, in writes,", minimum=1)
    load, random, samples = TreeLoad(options), Random("probes"), []
    for key, value in writes:
        load.write(key, value, slices)
        if load.writes % every == 0:
            samples.append(load.sample(random))
    return samples


class Amplification(NamedTuple):
    """The amplifications of a run: write at its end, read and space on average."""

    write: float
    read: float
    space: float


def amplification_of(samples: Sequence[TreeSample]) -> Amplification:
    """Return what the run with these samples cost; there must be at least one."""
    reads, spaces = [each.read for each in samples], [each.space for each in samples]
    return Amplification(samples[-1].write, fmean(reads), fmean(spaces))
