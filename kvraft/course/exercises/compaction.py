"""Lesson 08: what is merged next, a learner's ``pick``, and a learner's rule for tombstones.

:data:`SITUATIONS` are tables to look at; what :data:`LEVELLED` picks from them is the answer.

A learner's ``pick`` is the strategy of a real tree under load.  What it returns is checked before
the tree executes it: it could name tables that do not exist, or let two tables of a level overlap.
The rest is measured.

A learner's ``may_drop`` is first tried in small situations, those with the fewest tables first, and
compared with the rule of ``lsm/compaction.py``.  Then it replaces that rule (:func:`dropping_by`),
and real trees are merged with it.

Source: Luo and Carey, *LSM-based Storage Techniques*, VLDB J. 2020, §2.2; LevelDB impl.md
(compactions, "obsolete" tombstones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from random import Random
from typing import NamedTuple
from unittest import mock

from kvraft.course.answers import yes_or_no
from kvraft.course.guard import Broken, Wrong, called
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.errors import KvraftError
from kvraft.lsm import CompactionTask, Levelled, Tiered, compaction
from kvraft.record import Timestamp, label
from kvraft.sim import SMALL_TREE, TreeLoad, amplification_of, random_writes
from kvraft.sstable import TableMetadata, read_order, span_of

KIB = 1024


def table(number: int, level: int, first: str, last: str, kib: float = 4) -> TableMetadata:
    """Return a table of ``kib`` KiB with keys ``first`` to ``last``; higher numbers are newer."""
    size, stop = round(kib * KIB), last.encode() + b"\0"
    start, stamps = first.encode(), (10 * number, 10 * number + 9)
    return TableMetadata(number, level, 60, 60, 0, 0, size, start, stop, *stamps, digest=number)


# ── what is merged next ─────────────────────────────────────────────────────────────────────────

LEVELLED = Levelled(tables=4, level_bytes=40 * KIB, fanout=10, table_bytes=16 * KIB)
"""Level 0 is full with four tables, level 1 with 40 KiB, level 2 with 400 KiB."""

SITUATIONS: dict[str, tuple[TableMetadata, ...]] = {
    "A": read_order(
        [
            table(9, 0, "f", "p"),
            table(8, 0, "c", "k"),
            table(7, 0, "e", "m"),
            table(6, 0, "d", "l"),
            table(1, 1, "a", "b", 6),
            table(2, 1, "c", "h", 8),
            table(3, 1, "i", "n", 8),
            table(4, 1, "q", "t", 8),
            table(5, 1, "u", "z", 8),
        ]
    ),
    "B": read_order(
        [
            table(19, 0, "b", "x"),
            table(18, 0, "a", "y"),
            table(17, 0, "c", "z"),
            table(11, 1, "a", "f", 12),
            table(12, 1, "g", "k", 18),
            table(13, 1, "l", "s", 12),
            table(14, 1, "t", "z", 9),
            table(1, 2, "a", "c", 14),
            table(2, 2, "d", "g", 12),
            table(3, 2, "m", "n", 12),
            table(4, 2, "o", "q", 12),
            table(5, 2, "u", "y", 9),
        ]
    ),
    "C": read_order(
        [
            table(29, 0, "b", "x"),
            table(28, 0, "a", "y"),
            table(27, 0, "c", "z"),
            table(26, 0, "d", "w"),
            table(21, 1, "a", "g", 16),
            table(22, 1, "h", "l", 16),
            table(23, 1, "m", "r", 16),
            table(24, 1, "s", "z", 16),
            table(1, 2, "b", "i", 15),
            table(2, 2, "k", "k", 10),
            table(3, 2, "t", "u", 10),
        ]
    ),
}
"""Tables, by the name of the situation."""


# ── a strategy ──────────────────────────────────────────────────────────────────────────────────

PickRule = Callable[[Sequence[TableMetadata]], CompactionTask | None]
"""``pick(tables)``, as in :class:`~kvraft.lsm.CompactionStrategy`."""

WRITES, KEYS = 5_000, 2_000
MOST_WRITTEN, MOST_READ = 5.5, 5.0
"""The bounds: bytes written for each byte put in, blocks looked at for each key asked for."""
AT_REST = 40
"""The most compactions after the last write until nothing is left to merge."""
FOREVER = "It merges forever: when are tables fine as they are?"
DEEPEST = 9


class LearnersStrategy:
    """The strategy of a tree that asks a learner's ``pick``.

    ``wrong`` is the first task that a tree cannot execute, or why there is none; after it nothing
    is merged.
    """

    def __init__(self, pick: PickRule) -> None:
        self.wrong: Wrong | None = None
        self._pick = pick

    def pick(self, tables: Sequence[TableMetadata]) -> CompactionTask | None:
        """Return the task of the learner's ``pick`` if a tree can execute it, else ``None``."""
        if self.wrong:
            return None
        try:
            task = self._pick(tables)
            if task is not None and not isinstance(task, CompactionTask):
                raise Broken(f"it gives a {type(task).__name__}: give a CompactionTask, or None.")
            if impossible := called(partial(_impossible, task, tables), "the task"):
                raise Wrong(impossible)
        except Wrong as wrong:
            self.wrong = wrong.within(f"For {_listed(tables)}")
            return None
        return task and task._replace(inputs=tuple(task.inputs))


def _listed(tables: Sequence[TableMetadata]) -> str:
    if not tables:
        return "no tables at all"
    shown = [f"{t.number} (level {t.level}, {t.size / KIB:.1f} KiB)" for t in tables[:6]]
    return f"the tables {', '.join(shown)}{' and more' if len(tables) > 6 else ''},"


def _impossible(task: CompactionTask | None, tables: Sequence[TableMetadata]) -> str:
    """Return why a tree cannot execute ``task``, ``""`` if it can."""
    if task is None:
        return ""
    inputs, level = list(task.inputs), task.level
    if not inputs or any(each not in tables for each in inputs):
        return "it names tables that do not exist, or no table."
    if len(set(inputs)) < len(inputs):
        return "it names a table twice."
    if level not in range(DEEPEST + 1):
        return f"it names level {level!r}: levels are 0 to {DEEPEST} here."
    if type(task.table_bytes) is not int or task.table_bytes < KIB:
        return "table_bytes is not a whole number from 1024 on."
    if task.move and (level == 0 or not compaction.disjoint(inputs)):
        return "tables can be moved to a level below 0 only, and if their spans do not overlap."
    start, stop = span_of(inputs)
    for other in tables if level else ():
        if other.level == level and other not in inputs and other.overlaps(start, stop):
            return f"the result may overlap table {other.number} of level {level}."
    return ""


@exercise("08.2")
def check_pick(pick: PickRule) -> str:
    """Print whether a tree with the strategy ``pick`` stops merging in the end, and its cost."""
    strategy = LearnersStrategy(pick)
    need_function(lambda: pick(()), "strategy")
    try:
        return _tried(strategy)
    except KvraftError as error:
        raise Wrong(f"The tree stopped: {error}") from error


def _tried(strategy: LearnersStrategy) -> str:
    """Put a tree with ``strategy`` under load; return its cost, or raise what is wrong."""
    load, random, samples = TreeLoad(replace(SMALL_TREE, strategy=strategy)), Random("probes"), []
    counts = load.tree.counts
    for key, value in random_writes(8, WRITES, KEYS):
        load.write(key, value)
        if load.writes % 20 == 0:
            samples.append(load.sample(random))
        if strategy.wrong:
            raise strategy.wrong
        if counts.compactions > AT_REST + DEEPEST * counts.flushes:  # each level, for each table
            raise Wrong(FOREVER)
    begun = counts.compactions
    while load.tree.has_work:
        load.tree.work()
        if counts.compactions > begun + AT_REST:
            raise Wrong(FOREVER)
    load.tree.verify()
    cost = amplification_of(samples)
    if strategy.wrong:
        raise strategy.wrong
    if any(sample.wrong for sample in samples):
        raise Wrong("The tree gave a wrong answer: please report that!")
    measured = f"{cost.write:.1f} bytes written for each put in, {cost.read:.1f} blocks for a read"
    if cost.read > MOST_READ:
        raise Wrong(
            f"{measured}: reads may cost {MOST_READ:g}. A read must search too many tables."
        )
    if cost.write > MOST_WRITTEN:
        raise Wrong(
            f"{measured}: writes may cost {MOST_WRITTEN:g}. Large tables are rewritten too often."
        )
    return (
        f"{WRITES:,} writes, at rest in the end: {measured}, {cost.space:.1f} bytes of disk "
        "for each byte alive."
    )


# ── a rule for tombstones ───────────────────────────────────────────────────────────────────────

DropRule = Callable[[bytes, Timestamp, Sequence[TableMetadata]], bool]
"""``may_drop(key, timestamp, others)``."""

KEY, TIMESTAMP = b"k", 5


class TombstoneSituation(NamedTuple):
    """A tombstone of :data:`KEY` at :data:`TIMESTAMP` is merged; ``others`` take no part."""

    others: tuple[TableMetadata, ...]

    @property
    def right(self) -> bool:
        """Whether the real rule drops the tombstone."""
        merged = replace(_other(0, b"k", b"k\0", TIMESTAMP, TIMESTAMP), tombstones=1)
        return compaction.droppable([merged], self.others)(KEY, TIMESTAMP)

    def __str__(self) -> str:
        begins = f"A tombstone of {KEY.decode()}, timestamp {TIMESTAMP}."
        if not self.others:
            return f"{begins} There are no other tables."
        tables = [
            f"one on level {each.level} with keys {_span(each)}, timestamps "
            f"{each.min_timestamp} to {each.max_timestamp}"
            for each in self.others
        ]
        return f"{begins} Other tables: {'; '.join(tables)}."


def _span(info: TableMetadata) -> str:
    return f"from {label(info.start)} on{f', below {label(info.stop)}' if info.stop else ''}"


def _other(level: int, start: bytes, stop: bytes, oldest: int, newest: int) -> TableMetadata:
    return TableMetadata(level + 1, level, 2, 2, 0, 0, 100, start, stop, oldest, newest, 0)


OTHERS = (
    _other(2, b"a", b"z", 1, 3),  # older, and may hold k
    _other(1, b"a", b"z", 1, 3),
    _other(0, b"a", b"z", 1, 3),
    _other(1, b"a", b"z", 3, 8),  # in part older
    _other(0, b"a", b"z", 6, 9),  # newer
    _other(1, b"a", b"z", 6, 9),
    _other(2, b"k", b"k\0", 4, 4),  # just k
    _other(1, b"a", b"k", 1, 3),  # stops before k
    _other(2, b"l", b"z", 1, 3),  # starts after k
    _other(1, b"a", b"", 1, 3),  # without an end
)


def situations() -> list[TombstoneSituation]:
    """Return small situations, those with the fewest tables first."""
    pairs = [pair for pair in product(OTHERS, OTHERS) if pair[0] is not pair[1]]
    return [
        TombstoneSituation(()),
        *(TombstoneSituation((each,)) for each in OTHERS),
        *map(TombstoneSituation, pairs),
    ]


@contextmanager
def dropping_by(rule: DropRule) -> Iterator[None]:
    """Drop tombstones by ``rule`` in every merge while this context lasts."""

    def droppable(
        inputs: Sequence[TableMetadata], others: Sequence[TableMetadata]
    ) -> Callable[..., bool]:
        return lambda key, timestamp: rule(key, timestamp, others)

    with mock.patch.object(compaction, "droppable", droppable):
        yield


@exercise("08.3")
def check_may_drop(rule: DropRule) -> str:
    """Print whether ``rule`` drops exactly the tombstones that may be dropped."""
    need_function(lambda: rule(KEY, TIMESTAMP, ()))
    count = agrees(situations(), lambda case: _compare(rule, case))
    with within("In a real tree"):
        wrong, gone = _merged_by(rule)
        if wrong:
            raise Wrong(wrong)
    return (
        f"It agrees in all {count} situations; in real trees it dropped {gone:,} "
        "tombstones, and nothing came back."
    )


def _compare(rule: DropRule, case: TombstoneSituation) -> str:
    """Return what is wrong with what ``rule`` decides, ``""`` if nothing is."""
    answer = yes_or_no(lambda: rule(KEY, TIMESTAMP, case.others))
    if answer == case.right:
        return ""
    if answer:
        return "Your rule drops it. An older value of k may be there, and would come back."
    return "Your rule keeps it. Nothing older of k can be there, so what would it hide?"


def _merged_by(rule: DropRule) -> tuple[str, int]:
    """Merge real trees with ``rule``; return what went wrong, and how many tombstones went."""
    gone = 0
    for strategy in (Levelled(2, 2 * KIB, 2, KIB), Tiered(2)):
        load = TreeLoad(replace(SMALL_TREE, memtable_bytes=512, strategy=strategy))
        with dropping_by(rule):
            for key, value in random_writes(5, 600, 40, deletes=0.5):
                load.write(key, value, slices=4)
            load.tree.compact()
        gone += load.tree.counts.tombstones_dropped
        for key, value in load.model.items():
            if value is None and load.tree.get(key) is not None:
                return f"the deleted key {label(key)} came back.", gone
        if sum(info.tombstones for info in load.tree.tables):
            return "tombstones are left when all tables are one.", gone
    return "", gone
