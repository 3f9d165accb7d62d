"""What the judge costs: the checkers of the swarm, each by itself, and the order of 10,000 calls.

::

    step of a loaded world ──► News ──► members   transactions   retention   equality   marks
                                        ╰── after each of them, the processor's clock is read ──╯

Nobody pays for a checker that was not made: a world calls nothing but its own ``stepped``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from time import process_time_ns

from kvraft import check
from kvraft.bench.measure import Row, Samples, Spent, timed
from kvraft.check import WorldChecker, history
from kvraft.check.history import TransactionChecker
from kvraft.check.storage import RetentionChecker
from kvraft.sim import World

CALLS = 10_000
"""How many calls of clients are put in order."""
CALLERS, KEYS = 8, 10
TURN = 1_000
"""Microseconds from one call's effect to the next one's."""

MEMBERS = "judge: logs, votes and marks"
TRANSACTIONS = "judge: transactions, reads"
RETENTION = "judge: dropped segments"
EQUALITY = "judge: equal states"
COVERAGE = "judge: coverage marks"
FAMILIES = {
    name: Row(name, "µs an event")
    for name in (MEMBERS, TRANSACTIONS, RETENTION, EQUALITY, COVERAGE)
}
"""What each family of checkers costs for an event of the trace."""
ORDER = Row(f"{CALLS:,} calls put in order", "ms")


class Checkers:
    """The checkers of the swarm, which look after each step of ``world`` that reported anything."""

    def __init__(self, world: World) -> None:
        self.spent: Counter[str] = Counter()
        """Nanoseconds of CPU time, by family."""
        self._trace = world.trace
        self._seen = 0
        self._families = dict(_families(world))

    def look(self) -> None:
        """Check what the last step changed."""
        if len(self._trace) > self._seen:
            self._seen = len(self._trace)
            before = process_time_ns()
            for name, check_it in self._families.items():
                check_it()
                now = process_time_ns()
                self.spent[name] += now - before
                before = now

    def samples(self, events: int) -> Samples:
        """Yield what each family cost for one of ``events``; an older version lacks some."""
        for name, row in FAMILIES.items():
            seconds = self.spent[name] / 1e9
            yield Spent(seconds, seconds).per(row, events) if name in self._families else None


def _families(world: World) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what to call after each step, by family; an older version has no news, and fewer."""
    budget = next(iter(world.replicas.values())).options.retain_bytes
    members, transactions = WorldChecker(world), TransactionChecker(world)
    retention = RetentionChecker(world.trace, world.members, budget)
    if not hasattr(check, "News"):
        yield MEMBERS, members.check
        yield TRANSACTIONS, transactions.check
        yield RETENTION, retention.check
        return
    from kvraft.check.equality import EqualityChecker
    from kvraft.check.marks import MarkSpotter

    news, equality = check.News(world), EqualityChecker(world)
    marks = MarkSpotter(world, Counter())

    def check_members() -> None:
        news.gather()  # for all of them
        members.check_moved(news)

    yield MEMBERS, check_members
    yield TRANSACTIONS, lambda: transactions.check_moved(news)
    yield RETENTION, retention.check
    yield EQUALITY, lambda: equality.check_moved(news)
    yield COVERAGE, lambda: marks.check(news.members)


def order_calls(seed: int) -> Samples:
    """Yield how long the search for an order of :data:`CALLS` calls takes; older ones have none."""
    if not hasattr(history, "judge"):
        yield None
        return
    calls = list(calls_at_once(seed))
    yield timed(lambda: history.judge(calls)).per(ORDER, 1, 1e3)


def calls_at_once(seed: int) -> Iterator[history.Operation]:
    """Yield the puts and gets of clients that take turns, each under way before the last returned.

    Their effects are :data:`TURN` apart; when in its call that is, only this function knows.
    """
    random, cells = Random(f"calls/{seed}"), dict[bytes, bytes]()
    most = TURN * CALLERS // 2  # before a client's next call
    for number in range(CALLS):
        key, value = b"key/%d" % random.randrange(KEYS), b"%d" % number
        at = TURN * (number + CALLERS)
        called, returned = at - random.randrange(most), at + random.randrange(most)
        client = f"c{number % CALLERS}"
        if random.random() < 0.5:
            yield history.Operation(client, called, returned, {key: cells.get(key)}, {})
        else:
            cells[key] = value
            yield history.Operation(client, called, returned, {}, {key: value})
