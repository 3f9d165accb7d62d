"""A history of calls as a figure: who called what when, and the moment at which it took effect.

:func:`plot_history` draws a verdict (check/history).  If there is an order, it has all operations
with their moments, numbered; if not, the smallest window that has none::

    ann   ├─1──── put x=1 ─┤             a bar from call to return, a numbered point in it
    bob                  ╞══ saw x=0 ══╡     the one that is stuck: red, hatched, no point
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kvraft.check.history import Operation, Verdict
from kvraft.display import counted
from kvraft.record import label
from kvraft.viz.figures.style import named, one_panel, some, titled
from kvraft.viz.svg import BLACK, GREY, ORANGE, RED, SKY

_HEIGHT = 0.5
STUCK = "no moment fits"
LETTERS = 31
"""How many letters fit into a line, about."""


def plot_history(verdict: Verdict) -> Figure:
    """Draw the operations that ``verdict`` ordered, or the smallest window that has no order.

    ``verdict.story`` says the same in words.  Raises :class:`~kvraft.errors.BadInput` if there were
    no operations.
    """
    stuck = verdict.stuck
    points = verdict.points if stuck is None else stuck.points
    shown = [point.operation for point in points] if stuck is None else list(stuck.window)
    some(shown, "nobody called anything")
    ends = [operation.returned or operation.called for operation in shown]
    began, ended = min(each.called for each in shown), max(ends)
    margin = max(1, (ended - began) // 12)
    rows = _rows(shown)
    room = (began - margin) / 1_000, (ended + 2 * margin) / 1_000
    letter = (room[1] - room[0]) / LETTERS
    lanes = [_levels(row, letter, room) for _, row in rows]
    tops = [sum(1.25 + 0.42 * max(above) for above in lanes[: at + 1]) for at in range(len(rows))]
    figure, axes = one_panel(0.4 + 0.5 * tops[-1], grid=False)
    order = {id(point.operation): (n, point.at) for n, point in enumerate(points, 1)}
    for y, (_, row), levels in zip(tops, rows, lanes, strict=True):
        for operation, level in zip(row, levels, strict=True):
            _draw(axes, operation, y, ended + margin, order.get(id(operation)))
            _name(axes, operation, y, level, _place(operation, letter, room))
            if stuck is not None and operation is stuck.operation:
                _mark_stuck(axes, operation, y, letter, room)
    axes.set_yticks(tops, [client for client, _ in rows])
    axes.set_ylim(tops[-1] + 0.9, 0)
    axes.set_xlim(*room)
    named(axes, right="milliseconds")
    return titled(figure, _title(verdict, len(shown)))


def _words(operation: Operation) -> str:
    """Return what an operation did, in few letters."""
    cells = [f"saw {label(key)}={_value(value)}" for key, value in operation.reads.items()]
    cells += [f"put {label(key)}={_value(value)}" for key, value in operation.writes.items()]
    more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
    end = "" if operation.returned is not None else ", no answer"
    return ", ".join(cells[:3]) + more + end


def _value(value: bytes | None) -> str:
    return "∅" if value is None else f"{label(value):.12}"


def _place(operation: Operation, letter: float, room: tuple[float, float]) -> float:
    """Return where the name of an operation begins: at its bar, or so that it ends in the panel."""
    return max(min(operation.called / 1_000, room[1] - letter * len(_words(operation))), room[0])


def _levels(row: Sequence[Operation], letter: float, room: tuple[float, float]) -> list[int]:
    """Return how high above its bar each operation is named, so that no two names overlap."""
    levels: list[int] = []
    ends: list[float] = []
    for operation in row:
        start = _place(operation, letter, room)
        level = next((n for n, end in enumerate(ends) if end < start), len(ends))
        ends[level : level + 1] = [start + letter * len(_words(operation))]
        levels.append(level)
    return levels


def _rows(operations: Sequence[Operation]) -> list[tuple[str, list[Operation]]]:
    """Return a row for each client, and more if it had several calls under way at once."""
    rows: list[tuple[str, list[Operation]]] = []
    for operation in sorted(operations, key=lambda each: (each.client, each.called)):
        for client, row in rows:
            before = row[-1].returned
            if client == operation.client and before is not None and before < operation.called:
                row.append(operation)
                break
        else:
            rows.append((operation.client, [operation]))
    return rows


def _draw(
    axes: Axes, operation: Operation, y: float, end: int, placed: tuple[int, int] | None
) -> None:
    """Draw one operation: a bar, open at its end if its outcome is unknown, and its point."""
    start, known = operation.called / 1_000, operation.returned is not None
    stop = (operation.returned or end) / 1_000
    face = ORANGE if operation.writes else SKY
    axes.barh(
        y,
        stop - start,
        _HEIGHT,
        start,
        color=face,
        alpha=0.55 if known else 0.3,
        edgecolor=BLACK if known else GREY,
        linestyle="-" if known else "--",
    )
    if placed is not None:
        number, at = placed
        disc = {"boxstyle": "circle,pad=0.15", "facecolor": BLACK}
        axes.text(at / 1_000, y, str(number), color="white", ha="center", va="center", bbox=disc)


def _name(axes: Axes, operation: Operation, y: float, level: int, at: float) -> None:
    start, bottom = operation.called / 1_000, y - _HEIGHT / 2 - 0.05
    text = axes.text(at, bottom - 0.42 * level, _words(operation))
    text.set_verticalalignment("bottom")
    if level:  # a line to the bar that it names
        axes.plot([start, start], [bottom, bottom - 0.42 * level], color=GREY, linewidth=0.8)


def _mark_stuck(
    axes: Axes, operation: Operation, y: float, letter: float, room: tuple[float, float]
) -> None:
    start, stop = operation.called / 1_000, (operation.returned or 0) / 1_000
    axes.barh(
        y, stop - start, _HEIGHT, start, fill=False, edgecolor=RED, hatch="///", linewidth=2.5
    )
    half = letter * len(STUCK) / 2
    middle = max(min((start + stop) / 2, room[1] - half), room[0] + half)
    axes.text(middle, y + _HEIGHT / 2 + 0.08, STUCK, color=RED, ha="center", va="top")


def _title(verdict: Verdict, count: int) -> str:
    if verdict.stuck is None:
        return f"An order explains {counted(count, 'operation')}: here is one"
    who = verdict.stuck.operation.client
    return f"No order of these {counted(count, 'operation')} explains what {who} saw"
