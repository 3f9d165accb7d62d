"""The tables of a tree, level by level, folded from its own events.

Invariant: after each event the live tables are those of the tree, in the order in which it reads
them.  What a trace leaves out is filled in: keys of a table on a disk that was in use before are
unknown, and tables of a snapshot count as level 0 until they are merged or opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from kvraft.copying import immutable
from kvraft.events import (
    Compacted,
    CompactionStarted,
    Event,
    Flushed,
    MemberCrashed,
    MemberStopped,
    SnapshotInstalled,
    TableRemoved,
    TableWritten,
    Trace,
    TreeOpened,
)
from kvraft.record import label
from kvraft.sstable import TableMetadata

TABLE_EVENTS = (
    *(Compacted, CompactionStarted, Flushed, MemberCrashed, MemberStopped),
    *(SnapshotInstalled, TableRemoved, TableWritten, TreeOpened),
)
"""The events that :meth:`TreeTables.take` looks at."""


@immutable
class TableBox(NamedTuple):
    """One table as a picture shows it; ``first`` and ``last`` are keys, as text."""

    number: int
    level: int
    size: int
    first: str
    last: str


def box_of(info: TableMetadata) -> TableBox:
    """Return the picture of a table."""
    last = label(info.stop.removesuffix(b"\0"))
    return TableBox(info.number, info.level, info.size, label(info.start), last)


def key_of_label(shown: str) -> bytes:
    """Return the key that :func:`~kvraft.record.label` made a text of."""
    return shown.encode("ascii").decode("unicode_escape").encode("latin-1")


@dataclass(slots=True)
class TreeTables:
    """The tables of a tree, level 0 newest first, as its events report.

    ``merging`` are the numbers of those being merged and ``into`` the level that the result goes
    to, -1 if nothing is merged; ``fresh`` is what the last event brought; ``dead`` are live no
    more, but their files are there.
    """

    live: list[TableBox] = field(default_factory=list)
    merging: tuple[int, ...] = ()
    into: int = -1
    fresh: tuple[int, ...] = ()
    dead: list[TableBox] = field(default_factory=list)
    known: dict[int, TableBox] = field(default_factory=dict)
    """All tables that were ever written, by number."""

    def take(self, event: Event) -> None:
        """Change by one event."""
        match event:
            case TableWritten():
                box = TableBox(event.table, 0, event.size, event.first_key, event.last_key)
                self.known[event.table] = box
            case Flushed(table=number) if number:
                self.live.insert(0, self._box(number))
                self.fresh = (number,)
            case CompactionStarted():
                self.merging, self.into, self.fresh = event.inputs, event.level, ()
            case Compacted():
                self._replace(event)
            case TableRemoved():
                self.dead = [box for box in self.dead if box.number != event.table]
            case TreeOpened():
                opened = zip(event.tables, event.sizes, event.levels, strict=True)
                self.live = [self._box(number, size, level) for number, size, level in opened]
                self.merging, self.into, self.fresh, self.dead = (), -1, (), []
            case SnapshotInstalled():
                self.live = [self._box(number) for number in event.tables]
                self.merging, self.into, self.fresh, self.dead = (), -1, event.tables, []
            case MemberCrashed() | MemberStopped():
                self.merging, self.into = (), -1

    def _box(self, number: int, size: int = 0, level: int = 0) -> TableBox:
        found = self.known.get(number, TableBox(number, level, size, "", ""))
        return found._replace(level=level)

    def _replace(self, event: Compacted) -> None:
        known = {box.number: box for box in self.live}
        places = [at for at, box in enumerate(self.live) if box.number in event.inputs]
        place = min(places, default=0)
        gone = [box for box in self.live if box.number in event.inputs]
        made = [
            known.get(number, self._box(number))._replace(level=event.level)
            for number in event.outputs
        ]
        self.live[place:place] = made
        self.live = [box for box in self.live if box not in gone]
        self.dead += [box for box in gone if box.number not in event.outputs]
        self.merging, self.into, self.fresh = (), -1, event.outputs

    def rows(self) -> list[tuple[str, list[TableBox]]]:
        """Return the rows of a picture, and what stands before each."""
        unsorted = [box for box in self.live if box.level == 0]
        rows = [("" if at else "level 0", [box]) for at, box in enumerate(unsorted)]
        deeper = sorted((box for box in self.live if box.level), key=_place)
        for level, boxes in groupby(deeper, lambda box: box.level):
            rows.append((f"level {level}", list(boxes)))
        dead = _packed(self.dead)
        rows += [("" if at else "on disk", boxes) for at, boxes in enumerate(dead)]
        return rows

    def __str__(self) -> str:
        counts = dict.fromkeys(sorted({box.level for box in self.live}), 0)
        for box in self.live:
            counts[box.level] += 1
        says = ", ".join(f"{count} on level {level}" for level, count in counts.items())
        says = f"tables: {says or 'none'}"
        if self.merging:
            says += f"; {_numbers(self.merging)} are merged into level {self.into}"
        if self.dead:
            says += f"; {_numbers([box.number for box in self.dead])} on disk only"
        return says


def tables_at(trace: Trace, step: int, member: str) -> TreeTables:
    """Return the tables of ``member`` after ``step`` of a trace that begins with an empty tree."""
    found = TreeTables()
    for number in range(step + 1):
        _, who, event = trace[number]
        if who == member and isinstance(event, TABLE_EVENTS):
            found.take(event)
    return found


def _packed(boxes: Sequence[TableBox]) -> list[list[TableBox]]:
    """Return ``boxes`` in as few rows as the first place that is free gives."""
    rows: list[list[TableBox]] = []
    for box in sorted(boxes, key=lambda box: key_of_label(box.first)):
        first = key_of_label(box.first)
        free = [row for row in rows if key_of_label(row[-1].last) < first]
        if free:
            free[0].append(box)
        else:
            rows.append([box])
    return rows


def _place(box: TableBox) -> tuple[int, bytes]:
    return box.level, key_of_label(box.first)


def _numbers(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))
