"""What a log survives, and what that costs: measured by doing it, and drawn.

- :func:`truncations` ends a log after each of its bytes, and :func:`flips` turns over each of its
  bits, one at a time.  After each the log is read as :meth:`kvraft.wal.Wal.open` reads it, and
  what that gives is compared with what was written.
- :func:`group_commits` saves the same entries in batches of several sizes and counts syncs.

Outcomes are judged by the log's own history: what it contained when only the frames up to some
offset had been written.  Counts, never times, so every machine finds the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kvraft.errors import Corruption, ForeignFile
from kvraft.record import Entry, HardState
from kvraft.sim import SimDisk
from kvraft.viz.figures.style import lane, legend, named, one_panel, some, stacked, titled
from kvraft.viz.panels import dissect, segments_of
from kvraft.viz.svg import BLACK, BLUE, GREEN, GREY, ORANGE, RED
from kvraft.wal import Recovery, Wal, recover

_HEADER = "the header of this segment is damaged: "

_LogState = tuple[HardState, list[Entry]]
"""What a log contains: the hard state, and the entries that count."""


class FileOutcome(StrEnum):
    """What came of a log whose bytes were changed."""

    SAME = "not noticed, nothing lost"
    TRUNCATED = "truncated as a torn tail"
    REFUSED = "refused"
    WRONG = "opened with wrong contents"


# ── every end ───────────────────────────────────────────────────────────────────────────────────


class Truncation(NamedTuple):
    """The newest segment ended after ``size`` bytes: how many ``entries`` were found then."""

    size: int
    entries: int
    outcome: FileOutcome


def truncations(disk: SimDisk, owner: str) -> list[Truncation]:
    """End the newest segment of the log of ``owner`` after each of its bytes, and read the log."""
    name, history = segments_of(disk)[-1], _history(disk, owner)
    copy = disk.copy()
    found: list[Truncation] = []
    for size in reversed(range(disk.size(name) + 1)):
        copy.truncate(name, size)
        entries, outcome, _, _ = _read(copy, owner, history)
        found.append(Truncation(size, entries, outcome))
    return found[::-1]


def plot_truncations(found: Sequence[Truncation]) -> Figure:
    """Draw how many entries are found, over the number of bytes that are left."""
    some(found)
    figure, axes = one_panel(2.2)
    kept = [each for each in found if each.outcome != FileOutcome.REFUSED]
    refused = [each.size for each in found if each.outcome == FileOutcome.REFUSED]
    sizes, entries = [each.size for each in kept], [each.entries for each in kept]
    axes.step(sizes, entries, where="post", color=BLUE, lw=2)
    whole = [each for each in kept if each.outcome == FileOutcome.SAME]
    sizes, entries = [each.size for each in whole], [each.entries for each in whole]
    axes.plot(sizes, entries, "o", color=BLACK, label="a frame ends: nothing to truncate")
    if refused:
        ends, label = (min(refused) - 0.5, max(refused) + 0.5), "in the header: refused"
        axes.axvspan(*ends, facecolor=RED, alpha=0.25, hatch="///", label=label)
    named(axes, "entries found", "bytes of the segment that are left")
    axes.set_xlim(left=0)
    legend(figure)
    outcomes = Counter(each.outcome for each in found)
    return titled(
        figure,
        f"Of {len(found):,} truncations {outcomes[FileOutcome.TRUNCATED]:,} leave a torn tail and "
        f"{outcomes[FileOutcome.WRONG]} wrong contents",
    )


# ── every bit ───────────────────────────────────────────────────────────────────────────────────


class Flip(NamedTuple):
    """One bit was turned over: ``at`` is where the log was truncated, or refused, and ``why``."""

    offset: int
    bit: int
    outcome: FileOutcome
    at: int
    why: str


class Flips(NamedTuple):
    """All flips of the segment ``name``, and where each frame begins and what it is."""

    name: str
    flips: list[Flip]
    frames: list[tuple[int, str]]

    @property
    def outcomes(self) -> dict[str, int]:
        """How many flips had each outcome."""
        return {
            str(outcome): n for outcome, n in Counter(flip.outcome for flip in self.flips).items()
        }


def flips(disk: SimDisk, owner: str, bits: Iterable[int] = range(8)) -> Flips:
    """Turn over each bit of the newest segment of the log of ``owner``, one at a time.

    ``bits`` says which bits of each byte.  The log is unchanged when this returns.
    """
    name, history = segments_of(disk)[-1], _history(disk, owner)
    copy, wanted = disk.copy(), list(bits)
    found: list[Flip] = []
    for offset in range(disk.size(name)):
        for bit in wanted:
            copy.corrupt(name, offset, 1 << bit)
            _, outcome, at, why = _read(copy, owner, history)
            found.append(Flip(offset, bit, outcome, at, why))
            copy.corrupt(name, offset, 1 << bit)
    frames = [(piece.start, piece.short) for piece in dissect(disk, owner)[name]]
    return Flips(name, found, frames)


OUTCOME_COLOURS = {
    FileOutcome.REFUSED: BLUE,
    FileOutcome.TRUNCATED: ORANGE,
    FileOutcome.SAME: GREY,
    FileOutcome.WRONG: RED,
}


def plot_flips(maps: Mapping[str, Flips]) -> Figure:
    """Draw what the log reported over the offset of each flipped bit; one panel for each log."""
    some(maps)
    reasons = sorted({flip.why for found in maps.values() for flip in found.flips}, reverse=True)
    figure, panels = stacked([0.8 + 0.42 * len(reasons)] * len(maps))
    for axes, (name, found) in zip(panels, maps.items(), strict=True):
        named(axes, f"{name}:")
        _map(axes, found, reasons)
    named(panels[-1], right="offset of the flipped bit in the file (bytes)")
    total = Counter(flip.outcome for found in maps.values() for flip in found.flips)
    key = [
        Patch(color=OUTCOME_COLOURS[outcome], label=outcome.value)
        for outcome in OUTCOME_COLOURS
        if total[outcome]
    ]
    legend(figure, key)
    return titled(
        figure,
        f"{sum(total.values()):,} bits flipped, one at a time: {total[FileOutcome.REFUSED]:,} "
        f"refused, {total[FileOutcome.TRUNCATED]:,} truncated, {total[FileOutcome.WRONG]} wrong",
    )


def _map(axes: Axes, found: Flips, reasons: Sequence[str]) -> None:
    """Draw a bar over every offset where a flip was reported, in the row of the reason."""
    for row, why in enumerate(reasons):
        for outcome, colour in OUTCOME_COLOURS.items():
            offsets = {
                flip.offset for flip in found.flips if (flip.why, flip.outcome) == (why, outcome)
            }
            spans = [(offset, 1) for offset in sorted(offsets)]
            height = 0.45 if outcome != FileOutcome.TRUNCATED else 0.3
            axes.broken_barh(spans, (row, height), color=colour, linewidth=0)
        lane(axes, row, why)
    end = max(flip.offset for flip in found.flips) + 1
    axes.set(xlim=(0, end), ylim=(len(reasons) - 0.5, -1.9), yticks=[])
    rows = list(range(len(reasons)))
    for start, label in found.frames:
        axes.vlines([start] * len(rows), rows, [row + 0.45 for row in rows], color=BLACK, lw=1)
        axes.vlines(start, -0.6, -0.5, color=BLACK, lw=1)
        side, left = (1, "left") if start < end / 2 else (-1, "right")
        axes.annotate(
            label,
            (start, -0.65),
            xytext=(2 * side, 0),
            textcoords="offset points",
            va="bottom",
            ha=left,
            rotation=90,
        )


# ── syncs ───────────────────────────────────────────────────────────────────────────────────────


class GroupCommit(NamedTuple):
    """``entries`` entries were saved ``batch`` at a time: what that took, and how many bytes."""

    batch: int
    entries: int
    syncs: int
    size: int


class CountingDisk(SimDisk):
    """A simulated disk that counts ``syncs`` of files, and the bytes ``written`` to them."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = self.written = 0

    def append(self, name: str, data: bytes) -> None:
        """Write ``data`` at the end of a file."""
        super().append(name, data)
        self.written += len(data)

    def sync(self, name: str) -> None:
        """Make the bytes of a file durable."""
        super().sync(name)
        self.syncs += 1


def group_commits(entries: Sequence[Entry], batches: Iterable[int]) -> list[GroupCommit]:
    """Save ``entries`` again for each size of batch, and count the syncs and bytes it takes."""
    found = []
    for batch in batches:
        disk = CountingDisk()
        wal = Wal.open(disk, "n1")
        disk.syncs = disk.written = 0
        for start in range(0, len(entries), batch):
            wal.save(None, entries[start : start + batch])
        found.append(GroupCommit(batch, len(entries), disk.syncs, disk.written))
    return found


def plot_group_commits(found: Sequence[GroupCommit]) -> Figure:
    """Draw syncs and bytes per entry against the size of a batch."""
    some(found)
    figure, (above, below) = stacked([1.4, 1.4])
    sizes = [row.batch for row in found]
    syncs = [row.syncs / row.entries for row in found]
    above.plot(sizes, syncs, color=BLUE, marker="o", label="counted")
    above.plot(sizes, [1 / size for size in sizes], color=BLACK, ls=":", label="1 / batch")
    above.set(xscale="log", yscale="log")
    bytes_each = [row.size / row.entries for row in found]
    below.plot(sizes, bytes_each, color=GREEN, marker="s", ls="--", label="counted")
    below.set_ylim(bottom=0)
    named(above, "syncs per entry")
    named(below, "bytes written per entry", "entries per save")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    ticks = [size for at, size in enumerate(sizes) if at % 2 == 0]
    below.set_xticks(ticks, [f"{size:,}" for size in ticks])
    below.minorticks_off()
    legend(figure)
    least, most = min(found), max(found)
    less = 1 - most.size / least.size
    return titled(
        figure,
        f"{least.entries:,} entries: {least.syncs:,} syncs in saves of {least.batch}, "
        f"{most.syncs:,} in saves of {most.batch:,}, and {less:.0%} fewer bytes",
    )


# ── inside ──────────────────────────────────────────────────────────────────────────────────────


def _contents(disk: SimDisk, owner: str) -> _LogState:
    found = recover(disk, owner)
    return found.hard_state, _entries(disk, owner, found)


def _entries(disk: SimDisk, owner: str, found: Recovery) -> list[Entry]:
    """Return the entries that count, read from where recovery found them."""
    return Wal.open(disk, owner, found=found, read_only=True).entries()


def _history(disk: SimDisk, owner: str) -> dict[int, _LogState]:
    """Return what the log contained when its newest segment ended after each frame, by that end."""
    name = segments_of(disk)[-1]
    ends = [piece.end for piece in dissect(disk, owner)[name] if piece.kind]
    copy = disk.copy()
    history: dict[int, _LogState] = {}
    for end in reversed(ends):
        copy.truncate(name, end)
        history[end] = _contents(copy, owner)
    return history


def _read(
    disk: SimDisk, owner: str, history: dict[int, _LogState]
) -> tuple[int, FileOutcome, int, str]:
    """Return how many entries a changed log has, its outcome, where that was decided, and why."""
    name = segments_of(disk)[-1]
    try:
        found = recover(disk, owner)
    except Corruption as damage:
        return 0, FileOutcome.REFUSED, damage.offset, damage.what.removeprefix(_HEADER)
    except ForeignFile:
        return 0, FileOutcome.REFUSED, 0, "this log is another's"
    end = found.torn.offset if found.torn else disk.size(name)
    entries = _entries(disk, owner, found)
    if (found.hard_state, entries) != history.get(end):
        outcome = FileOutcome.WRONG
    else:
        outcome = FileOutcome.TRUNCATED if found.torn else FileOutcome.SAME
    return len(entries), outcome, end, found.torn.reason if found.torn else "nothing"
