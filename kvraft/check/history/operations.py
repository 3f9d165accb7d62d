"""The operations of a history, the moments found for them, and the verdict, also in words.

::

    Operation   one call: who, when, what it read and wrote     ├── put x=1 ──┤
    Point       the moment at which it takes effect                  •
    Stuck       why there is no such moment for one of them, with a smallest window
    Verdict     all points, or what is stuck

Invariant: an operation is never changed, so a verdict can point at the operations that it judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kvraft.display import counted
from kvraft.errors import BadInput

Value = bytes | None
"""What a key holds; ``None`` if it holds nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One call of a client: what it saw and what it wrote, all at one moment.

    ``called`` and ``returned`` are microseconds; ``returned`` is ``None`` if the client never
    learnt whether it took effect.  ``reads`` has each key that was seen with its value, ``writes``
    each key that was written; both values are ``None`` for "nothing".  A put only writes, a get
    only reads, a transaction that was applied does both.  What certainly had no effect and saw
    nothing does not count as an operation.
    """

    client: str
    called: int
    returned: int | None
    reads: Mapping[bytes, Value]
    writes: Mapping[bytes, Value]

    def __post_init__(self) -> None:
        if self.returned is not None and self.returned < self.called:
            what = f"an operation of {self.client} returned at {self.returned} µs, before it was "
            raise BadInput(what + f"called at {self.called} µs")
        if not self.reads and not self.writes:
            raise BadInput(f"an operation of {self.client} neither reads nor writes a key")

    def __str__(self) -> str:
        """Return what the client did: ``read x = b'1', put y = b'2'``."""
        read = [f"saw {key!r:.40} = {show_value(value)}" for key, value in self.reads.items()]
        wrote = [
            f"deleted {key!r:.40}" if value is None else f"put {key!r:.40} = {value!r:.40}"
            for key, value in self.writes.items()
        ]
        more = len(read) + len(wrote) - 6
        return ", ".join([*read, *wrote][:6]) + (f" and {more} more" if more > 0 else "")

    @property
    def keys(self) -> frozenset[bytes]:
        """The keys that it reads or writes."""
        return frozenset(self.reads) | frozenset(self.writes)


class Point(NamedTuple):
    """The moment ``at``, in microseconds, at which an operation takes effect in the order found."""

    operation: Operation
    at: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why no order exists.

    ``operation`` cannot be explained: whatever takes effect before it, the keys that it saw do not
    hold what it saw.  ``possible`` has the values that each of them may hold, one at a time.
    ``window`` is a smallest set of operations, ``operation`` among them, that has no order from any
    map in ``before``; these are all that the operations before the window allow.  ``points`` orders
    the rest of the window, without it.
    """

    operation: Operation
    possible: Mapping[bytes, tuple[Value, ...]]
    window: tuple[Operation, ...]
    before: tuple[Mapping[bytes, Value], ...]
    points: tuple[Point, ...]

    def __str__(self) -> str:
        """Return one sentence: who saw what, and what could have been there."""
        operation = self.operation
        wrong = [k for k, value in operation.reads.items() if value not in self.possible[k]]
        keys = (wrong or list(operation.reads))[:3]
        saw = " and ".join(f"{key!r} = {show_value(operation.reads[key])}" for key in keys)
        allowed = " and ".join(
            f"{key!r} = {' or '.join(map(show_value, self.possible[key][:4]))}" for key in keys
        )
        when = f"between {operation.called} and {operation.returned} µs"
        return (
            f"{operation.client} saw {saw} {when}, where every order of the operations allows "
            f"only {allowed}"
        )


def show_value(value: Value) -> str:
    """Return a value for a sentence."""
    return "nothing" if value is None else f"{value!r:.40}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What :func:`judge` found.

    ``points`` has the moment of every operation that has to take effect, by time, if ``stuck`` is
    ``None``; else the history is not linearizable.
    """

    points: tuple[Point, ...]
    stuck: Stuck | None

    @property
    def linearizable(self) -> bool:
        """Whether there is an order."""
        return self.stuck is None

    @property
    def story(self) -> str:
        """Say what was found: the stuck operation, and its window as far as it can be ordered."""
        if self.stuck is None:
            return f"{counted(len(self.points), 'operation')} can be ordered"
        stuck = self.stuck
        placed = {id(point.operation): point.at for point in stuck.points}
        lines = [f"{stuck}:"]
        for operation in sorted(stuck.window, key=lambda each: each.called):
            at = placed.get(id(operation))
            end = "no answer" if operation.returned is None else _millis(operation.returned)
            mark = "effect never" if at is None else f"effect at {_millis(at)}"
            mark = "STUCK" if operation is stuck.operation else mark
            when = f"{_millis(operation.called)} to {end}"
            lines.append(f"  {operation.client}: {operation} ({when}; {mark})")
        return "\n".join(lines)


def _millis(micros: int) -> str:
    return f"{micros / 1_000:,.3f} ms"
