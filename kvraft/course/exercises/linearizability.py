"""Lesson 11: a learner's checker judges call histories, and is compared with the package's.

The histories are on one key and short, the shortest first: some that show one error each, then
many drawn from a fixed seed, about half of which have an order.  At the end come those of two
recorded clusters, of which one answered with an old value.

Source: Herlihy and Wing, *Linearizability*, TOPLAS 1990.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from kvraft.check.bugs import find_bug
from kvraft.check.history import Operation, Verdict, judge, record
from kvraft.course.answers import yes_or_no
from kvraft.course.guard import Wrong
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.raft import Raft, RaftOptions
from kvraft.replica import ReplicaOptions
from kvraft.sim import World
from kvraft.transaction import ReadReply

KEY = b"x"


class Call(NamedTuple):
    """One call: ``does`` is "put" or "get", ``value`` what was put or seen, ``None`` for nothing.

    ``returned`` is ``None`` if it has no answer; only puts are without.
    """

    client: str
    called: int
    returned: int | None
    does: str
    value: int | None

    def __str__(self) -> str:
        what = f"{'put' if self.does == 'put' else 'got'} {self.value}"
        end = "without an answer" if self.returned is None else f"to {self.returned}"
        return f"{self.client} {what} from {self.called} {end}"


History = tuple[Call, ...]
Checker = Callable[[list[Call]], bool]
"""``linearizable(history)``."""

# ── histories ───────────────────────────────────────────────────────────────────────────────────

TELLING: tuple[History, ...] = (
    (Call("ann", 0, 5, "get", None),),
    (Call("ann", 0, 5, "get", 1),),
    (Call("ann", 0, 5, "put", 1), Call("bob", 6, 9, "get", None)),
    (Call("ann", 0, 5, "put", 1), Call("bob", 5, 9, "get", None)),
    (Call("ann", 0, 9, "put", 1), Call("bob", 2, 4, "get", 1)),
    (Call("ann", 0, None, "put", 1), Call("bob", 6, 9, "get", None)),
    (Call("ann", 0, None, "put", 1), Call("bob", 6, 9, "get", 1)),
    (
        Call("ann", 0, 9, "put", 1),
        Call("bob", 1, 3, "get", 1),
        Call("eve", 5, 8, "get", None),
    ),
    (
        Call("ann", 0, None, "put", 1),
        Call("bob", 1, 3, "get", 1),
        Call("eve", 5, 8, "get", None),
    ),
    (
        Call("ann", 0, 6, "put", 1),
        Call("bob", 1, 4, "put", 2),
        Call("eve", 7, 9, "get", 2),
        Call("eve", 10, 12, "get", 1),
    ),
)
"""Each is the simplest in which one error shows."""
DRAWN = 240
"""How many more are drawn, half of them with an order."""


def order_of(history: Iterable[Call]) -> Verdict:
    """Return the package's verdict on a history."""
    return judge(_operation(call) for call in history)


def _operation(call: Call) -> Operation:
    cell = {KEY: None if call.value is None else b"%d" % call.value}
    reads, writes = ({}, cell) if call.does == "put" else (cell, {})
    return Operation(call.client, call.called, call.returned, reads, writes)


@cache
def histories() -> tuple[History, ...]:
    """Return the histories on which a checker is tried, the shortest first."""
    random = Random("lesson 11")
    drawn: list[History] = []
    counts: Counter[bool] = Counter()
    while len(drawn) < DRAWN:
        history = draw(random)
        verdict = order_of(history).linearizable
        if 2 * counts[verdict] < DRAWN:
            counts[verdict] += 1
            drawn.append(history)
    return tuple(sorted((*TELLING, *drawn), key=lambda each: (len(each), str(each))))


def draw(random: Random) -> History:
    """Return a history of two to six calls by two or three clients, each of which waits."""
    calls: list[Call] = []
    free = dict.fromkeys(("ann", "bob", "eve")[: random.randint(2, 3)], 0)
    for _ in range(random.randint(2, 6)):
        client = random.choice(list(free))
        called = free[client] + random.randint(0, 3)
        returned: int | None = called + random.randint(1, 6)
        free[client] = called + 7
        if random.random() < 0.5:
            if random.random() < 0.3:
                returned = None
            calls.append(Call(client, called, returned, "put", random.randint(1, 2)))
        else:
            value = random.choice((None, 1, 2))
            calls.append(Call(client, called, returned, "get", value))
    return tuple(sorted(calls, key=lambda call: call.called))


# ── what clusters did ───────────────────────────────────────────────────────────────────────────


def recorded(consensus: type[Raft]) -> History:
    """Return what clients saw of one key while its leader was cut off and asked all the same."""
    options = ReplicaOptions(raft=RaftOptions(check_quorum=False))
    world = World(3, seed=252, options=options, consensus=consensus)
    calls = record(world)
    ann, bob = world.client("ann"), world.client("bob")
    ann.put(KEY, b"3")
    old = world.leader()
    world.partition([old or ""], [name for name in world.members if name != old])
    bob.put(KEY, b"9")
    ann.leader = old
    ann.get(KEY)
    world.close()
    writes = [
        Call(
            each.client,
            each.called,
            each.returned,
            "put",
            int(each.ticket.transaction.records[0].value),
        )
        for each in calls.writes
    ]
    reads = [
        Call(each.client, each.called, each.returned, "get", int(each.answer.value or 0))
        for each in calls.reads
        if isinstance(each.answer, ReadReply)
    ]
    return tuple(sorted((*writes, *reads), key=lambda call: call.called))


# ── the check ───────────────────────────────────────────────────────────────────────────────────


@exercise("11.3")
def check_linearizable(checker: Checker) -> str:
    """Print whether ``checker`` knows the histories that an order explains, or the first not."""
    need_function(lambda: checker(list(TELLING[0])), "function")
    count = agrees(map(Shown, histories()), lambda case: _compare(checker, case.history))
    with within("What clients of a cluster saw:"):
        for consensus in (Raft, find_bug("reads unconfirmed").consensus):
            if wrong := _compare(checker, recorded(consensus)):
                raise Wrong(wrong)
    return f"It agrees about {count} histories, and finds the old value that a cluster returned."


class Shown(NamedTuple):
    """A history as it is named to a learner."""

    history: History

    def __str__(self) -> str:
        return "; ".join(map(str, self.history)) + ":"


def _compare(checker: Checker, history: Sequence[Call]) -> str:
    """Return what is wrong in the answer of ``checker``, ``""`` if nothing is."""
    answer = yes_or_no(lambda: checker(list(history)), "Your function")
    verdict = order_of(history)
    if answer == verdict.linearizable:
        return ""
    return _why_none(history, verdict) if answer else _why_one(history, verdict)


def _why_none(history: Sequence[Call], verdict: Verdict) -> str:
    assert verdict.stuck is not None
    who = verdict.stuck.operation.client
    late = 1 + max(call.returned or call.called for call in history)
    timeless = [call._replace(called=0, returned=late) for call in history]
    if not order_of(timeless).linearizable:
        return f"No order explains what {who} saw."
    return f"{who} saw what had been replaced: only time turned around would explain it."


def _why_one(history: Sequence[Call], verdict: Verdict) -> str:
    order = ", then ".join(
        f"{point.operation.client}'s {_did(point.operation)}" for point in verdict.points
    )
    certain = [call for call in history if call.returned is not None]
    if not order_of(certain).linearizable:
        return f"A put without an answer may have taken effect. An order: {order}."
    return f"Calls that overlap may come in either order. An order: {order}."


def _did(operation: Operation) -> str:
    return "put" if operation.writes else "get"
