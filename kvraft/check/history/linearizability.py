"""Linearizability: is there one order of all operations that explains what every client saw?

An operation takes effect at one moment between its call and its return.  So a history is right if
each operation can be given such a moment, and if one map, used by one operation after the other in
the order of these moments, returns what the clients got::

    alice   ├── put x=1 ──•────┤
    bob          ├───────•── get x: 0 ──┤          order: bob's get, alice's put, carol's get
    carol                 ├──•─ get x: 1 ─┤

:func:`judge` looks for such an order (order_search.py).  Operations on keys that nothing joins,
neither a transaction nor a scan, are judged apart, since linearizability is local (Herlihy and
Wing, Theorem 1).  If there is no order, it names the operation that cannot be explained, and a
smallest window of the history in which nobody can.

Invariants:

- The verdict depends on the operations, not on the order in which they are listed.
- Two operations at the same microsecond overlap: only one that returned *before* the other's call
  comes before it.

Sources: Herlihy and Wing, *Linearizability*, TOPLAS 1990; Wing and Gong, *Testing and Verifying
Concurrent Objects*, JPDC 1993; Lowe, *Testing for Linearizability*, CCPE 2017.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kvraft.check.history.operations import Operation, Point, Stuck, Value, Verdict
from kvraft.check.history.order_search import Cells, Event, Map, OrderSearch, Step, TooHard


def judge(operations: Iterable[Operation], *, most: float = float("inf")) -> Verdict:
    """Return whether ``operations`` can be ordered, from an empty map, and how.

    The time it takes grows with their number, and steeply with how many are under way at once on
    keys that are joined.  Raises :class:`~kvraft.check.history.TooHard` if a search would look at
    more than ``most`` situations.
    """
    points: list[Point] = []
    stuck: list[Stuck] = []
    for part in parts(operations):
        history = _History(part, most)
        if history.has_order():
            points += history.points
        else:
            stuck.append(history.explain())
    if stuck:
        return Verdict((), min(stuck, key=lambda found: _by_return(found.operation)))
    return Verdict(tuple(sorted(points, key=lambda point: point.at)), None)


def points_of(order: Iterable[Operation]) -> tuple[Point, ...] | None:
    """Return the moments at which operations take effect in ``order``, ``None`` if they cannot.

    An order that should be right, such as that of the log, need not be searched for.
    """
    now, cells, points = 0, dict[bytes, Value](), []
    for operation in order:
        now = max(now, operation.called)
        late = operation.returned is not None and operation.returned < now
        if late or any(cells.get(key) != value for key, value in operation.reads.items()):
            return None
        cells |= operation.writes
        points.append(Point(operation, now))
    return tuple(points)


def parts(operations: Iterable[Operation]) -> list[list[Operation]]:
    """Return the operations in groups that share no key, each by time of call."""
    leader: dict[bytes, bytes] = {}  # the first key of the group, by any of its keys

    def find(key: bytes) -> bytes:
        while (above := leader.setdefault(key, key)) != key:
            leader[key] = key = leader[above]
        return key

    all_operations = sorted(operations, key=_by_call)
    for operation in all_operations:
        first, *others = sorted(operation.keys)
        for key in others:
            leader[find(key)] = find(first)
    groups: dict[bytes, list[Operation]] = {}
    for operation in all_operations:
        groups.setdefault(find(min(operation.keys)), []).append(operation)
    return list(groups.values())


def _by_call(operation: Operation) -> tuple[int, str, int]:
    """Return the place of an operation in a list: equal histories are then searched alike."""
    returned = operation.returned
    return operation.called, operation.client, -1 if returned is None else returned


def _by_return(operation: Operation) -> tuple[int, str, int]:
    return operation.returned or 0, operation.client, operation.called


class _History:
    """The operations of one part, by their place in it, and what the search finds in them."""

    def __init__(self, operations: Sequence[Operation], most: float) -> None:
        self._operations = operations
        self._most = most
        self._keys = sorted({key for operation in operations for key in operation.keys})
        self._number = {key: number for number, key in enumerate(self._keys)}
        self._events = sorted(
            event
            for place, operation in enumerate(operations)
            for event in _events(place, operation)
        )
        self._failed: int | None = None
        self._nothing: Map = (None,) * len(self._keys)
        self._last = OrderSearch({}, ())

    @property
    def points(self) -> tuple[Point, ...]:
        """The order that the last search found, as far as it came."""
        points = []
        path = next(iter(self._last.situations)).path
        while path is not None:
            points.append(Point(self._operations[path.step], path.at))
            path = path.before
        return tuple(reversed(points))

    def has_order(self) -> bool:
        """Return whether all operations can be ordered from an empty map."""
        self._failed = self._search(self._events, [self._nothing])
        return self._failed is None

    def explain(self) -> Stuck:
        """Return why there is no order, by the last quiet moment from which there is none."""
        for first in reversed(self._quiet_moments()):
            before = self._events[:first]
            maps = self._maps_after(before)
            unknown = [e for e in before if self._operations[e.step].returned is None]
            events = [*unknown, *self._events[first:]]
            failed = self._failure(events, maps)
            if failed is not None:
                break
        else:
            raise AssertionError("a history with an order was to be explained")
        events = events[: self._first_failure(events, maps, failed)]
        stuck = events[-1].step
        possible = self._possible(events, maps)
        events = self._smallest(events, maps)
        self._failure([event for event in events if event.step != stuck], maps)  # for its points
        calls = [event.step for event in events if not event.returns]
        return Stuck(
            self._operations[stuck],
            possible,
            tuple(self._operations[place] for place in calls),
            tuple(dict(zip(self._keys, cells, strict=True)) for cells in maps),
            self.points,
        )

    def _quiet_moments(self) -> list[int]:
        """Return after how many events, up to the failure, nothing under way must take effect."""
        moments, under_way = [0], 0
        for seen, event in enumerate(self._events, 1):
            if self._operations[event.step].returned is not None:
                under_way += -1 if event.returns else 1
                if not under_way:
                    moments.append(seen)
            if seen == self._failed:
                break
        return moments

    def _maps_after(self, events: Sequence[Event]) -> list[Map]:
        """Return the maps that some orders of ``events`` make, if there is one."""
        self._search(events, [self._nothing])
        return list(dict.fromkeys(situation.cells for situation in self._last.situations))

    def _first_failure(self, events: Sequence[Event], maps: Sequence[Map], least: int) -> int:
        """Return how many ``events`` it takes until they have no order, more than ``least``."""
        few, many = least, len(events)
        while few + 1 < many:
            middle = min((few + many) // 2, few + 2 * (few - least) + 1)  # it is near, as a rule
            if self._failure(events[:middle], maps) is None:
                few = middle
            else:
                many = middle
        return many

    def _steps(self, events: Sequence[Event]) -> dict[int, Step]:
        """Return the steps that are called in ``events``; those that do not return are optional."""
        called = dict.fromkeys(event.step for event in events if not event.returns)
        returned = {event.step for event in events if event.returns}
        return {
            place: Step(
                self._cells(self._operations[place].reads),
                self._cells(self._operations[place].writes),
                place not in returned,
            )
            for place in called
        }

    def _cells(self, values: Mapping[bytes, Value]) -> Cells:
        return tuple(sorted((self._number[key], value) for key, value in values.items()))

    def _search(self, events: Sequence[Event], maps: Sequence[Map]) -> int | None:
        """Return at which of ``events`` it is clear that they have no order, if at any."""
        search = self._last = OrderSearch(self._steps(events), maps, self._most)
        for place, event in enumerate(events):
            if not search.take(event):
                return place
        return None

    def _failure(self, events: Sequence[Event], maps: Sequence[Map]) -> int | None:
        """Do the same for an explanation, which may be longer where a search would be too hard."""
        try:
            return self._search(events, maps)
        except TooHard:
            return None

    def _possible(
        self, events: Sequence[Event], maps: Sequence[Map]
    ) -> dict[bytes, tuple[Value, ...]]:
        """Return what the keys that the last operation saw may have held meanwhile."""
        stuck = events[-1].step
        search = OrderSearch(self._steps([e for e in events if e.step != stuck]), maps)
        held: dict[Map, None] = {}
        called = False
        for event in events:
            if event.step == stuck:
                called = True
            else:
                search.take(event)
            if called:
                held |= search.possible_maps(event.at)
        return {
            key: tuple(dict.fromkeys(cells[self._number[key]] for cells in held))
            for key in self._operations[stuck].reads
        }

    def _smallest(self, events: list[Event], maps: Sequence[Map]) -> list[Event]:
        """Return as few of ``events`` as still have no order, those of whole operations.

        Left out may be what only reads, and a write whose values nobody reads who stays: an order
        of everything would still be one without them.
        """
        last = events[-1]
        size = len(events) // 2
        while size:
            kept = [event.step for event in events if not event.returns and event.step != last.step]
            for start in range(0, len(kept), size):
                out = set(kept[start : start + size])
                rest = [event for event in events if event.step not in out]
                if self._may_leave(out, rest) and self._failure(rest, maps) is not None:
                    events = rest
            size //= 2
        return events

    def _may_leave(self, out: set[int], rest: Iterable[Event]) -> bool:
        """Return whether nobody in ``rest`` reads what the operations in ``out`` write."""
        read = {cell for event in rest for cell in self._operations[event.step].reads.items()}
        return all(read.isdisjoint(self._operations[place].writes.items()) for place in out)


def _events(place: int, operation: Operation) -> list[Event]:
    """Return the call of an operation, and its return if it has one."""
    call = Event(operation.called, False, place)
    if operation.returned is None:
        return [call]
    return [call, Event(operation.returned, True, place)]
