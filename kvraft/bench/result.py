"""What a benchmark found: medians, ratios of paired rounds, a table, and JSON.

A ratio is how many times better kvraft is than a peer in the same round: more than 1 is better,
whether less time, fewer bytes or more work in a second is what counts.  Its spread is the lowest
and the highest of all rounds.  A report names no host and no directory.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from kvraft import __version__
from kvraft.bench.measure import Row, Sample
from kvraft.bench.rounds import KVRAFT, OURS, Round, commit_of
from kvraft.display import counted
from kvraft.errors import BadInput

FORMAT = 1
"""The version of the JSON document."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Result:
    """What some rounds measured; ``sides`` are the names, ours first, and the peers after it.

    ``title`` says what is measured, ``facts`` where and when, and ``wall`` whether all is compared
    by wall time.
    """

    part: str
    title: str
    sides: tuple[str, ...]
    rounds: tuple[Round, ...]
    facts: dict[str, str]
    wall: bool = False

    @property
    def peers(self) -> tuple[str, ...]:
        """Whom kvraft is compared with."""
        return self.sides[1:]

    @property
    def rows(self) -> tuple[Row, ...]:
        """What was measured, in the order of the work."""
        samples = (s for round in self.rounds for of in round.values() for s in of.values())
        return tuple(dict.fromkeys(sample.row for sample in samples))

    def values(self, side: str, row: Row) -> list[float]:
        """Return what ``side`` was measured at, round by round; nothing if it has no such row."""
        return [
            self._value(sample)
            for round in self.rounds
            if (sample := round[side].get(row.name)) is not None
        ]

    def ratios(self, peer: str, row: Row) -> list[float]:
        """Return how many times better kvraft was than ``peer``, round by round."""
        found = []
        for round in self.rounds:
            ours = round[KVRAFT].get(row.name)
            theirs = round[peer].get(row.name) or round[peer].get(row.peer_row)
            if ours is None or theirs is None:
                continue
            mine, other = self._value(ours), self._value(theirs)
            if mine > 0 and other > 0:  # else it was too short for the clock
                found.append(mine / other if row.more_is_better else other / mine)
        return found

    def _value(self, sample: Sample) -> float:
        return sample.wall if self.wall or sample.row.by_wall else sample.cpu

    def conclusion(self, peer: str) -> str:
        """Return in a sentence how kvraft compares with ``peer``: what a figure is titled."""
        spreads = [Spread.of(found) for row in self.rows if (found := self.ratios(peer, row))]
        if not spreads:
            return f"Nothing is measured of both kvraft and {peer}"
        better = sum(spread.low > 1 for spread in spreads)
        worse = sum(spread.high < 1 for spread in spreads)
        middle = median(spread.median for spread in spreads)
        return (
            f"Against {peer}, kvraft is better in {better} and worse in {worse} of "
            f"{counted(len(spreads), 'row')}; the median ratio is {figure(middle)}"
        )

    # ── as text ─────────────────────────────────────────────────────────────────────────────────

    def lines(self) -> Iterator[str]:
        """Yield the report: medians, then ratios with their spread, then a sentence a peer."""
        yield f"{self.title}; medians of {counted(len(self.rounds), 'round')} (lowest-highest)."
        clocks = "wall time" if self.wall else "CPU time, or by wall time where a row says so"
        yield f"Compared by {clocks}."
        yield ""
        yield from grid(["", "", *self.sides], [self._medians(row) for row in self.rows])
        if not self.peers:
            return
        yield ""
        yield f"How many times better {KVRAFT} is, paired round by round; more than 1 is better:"
        yield ""
        ratios = [self._ratios(row) for row in self.rows]
        yield from grid(["", *(f"than {peer}" for peer in self.peers)], ratios)
        yield ""
        for peer in self.peers:
            yield f"{self.conclusion(peer)}."

    def _medians(self, row: Row) -> list[str]:
        unit = f"{row.unit}, wall" if row.by_wall else row.unit
        ours = self.values(KVRAFT, row)
        cells = [_spread(ours) if ours else "-"]
        for peer in self.peers:
            theirs = self.values(peer, row)
            cells.append(figure(median(theirs)) if theirs else "-")
        return [row.name, unit, *cells]

    def _ratios(self, row: Row) -> list[str]:
        found = [self.ratios(peer, row) for peer in self.peers]
        return [row.name, *(_spread(each) if each else "-" for each in found)]

    # ── as JSON ─────────────────────────────────────────────────────────────────────────────────

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON: every sample, and what follows from them."""
        return {
            "format": FORMAT,
            "part": self.part,
            "title": self.title,
            "facts": self.facts,
            "wall": self.wall,
            "sides": list(self.sides),
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "rounds": [
                {
                    side: {name: [sample.cpu, sample.wall] for name, sample in samples.items()}
                    for side, samples in round.items()
                }
                for round in self.rounds
            ],
            "medians": {
                side: {row.name: median(v) for row in self.rows if (v := self.values(side, row))}
                for side in self.sides
            },
            "ratios": {
                peer: {
                    row.name: dataclasses.asdict(Spread.of(found)) | {"rounds": found}
                    for row in self.rows
                    if (found := self.ratios(peer, row))
                }
                for peer in self.peers
            },
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Return what :meth:`to_dict` wrote; ``BadInput`` if it is of another format."""
        if document.get("format") != FORMAT:
            raise BadInput(f"this benchmark has format {document.get('format')}, not {FORMAT}")
        rows = {row["name"]: Row(**row) for row in document["rows"]}
        rounds = tuple(
            {
                side: {name: Sample(rows[name], *times) for name, times in samples.items()}
                for side, samples in round.items()
            }
            for round in document["rounds"]
        )
        named = {name: document[name] for name in ("part", "title", "facts", "wall")}
        return cls(sides=tuple(document["sides"]), rounds=rounds, **named)


def facts() -> dict[str, str]:
    """Return what kind of machine this is, without a name of it, and the versions in use."""
    return {
        "kvraft": " ".join(filter(None, (__version__, commit_of(OURS)))),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} on {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count() or "unknown"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _processor() -> str:
    """Return the model of the processor, or ``unknown``."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    models = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(models, platform.processor() or "unknown")


def figure(value: float) -> str:
    """Return a number with three digits that matter, and no fewer before the point.

    >>> figure(1234.5), figure(56.78), figure(5.678), figure(0.05678)
    ('1,234', '56.8', '5.68', '0.057')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _spread(values: Sequence[float]) -> str:
    spread = Spread.of(values)
    if len(values) == 1:
        return figure(spread.median)
    return f"{figure(spread.median)} ({figure(spread.low)}-{figure(spread.high)})"


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: names to the left, figures to the right.

    A column with a heading is one of figures.
    """
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        padded = (
            cell.rjust(width) if head else cell.ljust(width)
            for head, cell, width in zip(heads, cells, widths, strict=True)
        )
        yield "  ".join(padded).rstrip()
