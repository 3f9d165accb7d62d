"""The search for an order, against trying all of them; and what it says when there is none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kvraft.check.history import Operation, Verdict, judge

KEYS = (b"x", b"y")
VALUES = (None, b"1", b"2")


def brute_force(operations: list[Operation]) -> bool:
    """Try every order of every choice of operations; those without an outcome may be left out."""
    certain = [o for o in operations if o.returned is not None]
    unknown = [o for o in operations if o.returned is None]
    for choice in range(2 ** len(unknown)):
        chosen = certain + [o for number, o in enumerate(unknown) if choice >> number & 1]
        if any(_legal(order) for order in permutations(chosen)):
            return True
    return False


def _legal(order: tuple[Operation, ...]) -> bool:
    state: dict[bytes, bytes | None] = {}
    latest = -1  # a call
    for operation in order:
        if operation.returned is not None and operation.returned < latest:
            return False  # it returned before one that is ordered before it was called
        latest = max(latest, operation.called)
        if any(state.get(key) != value for key, value in operation.reads.items()):
            return False
        state.update(operation.writes)
    return True


def held(verdict: Verdict, operations: list[Operation]) -> None:
    """Check the order that a verdict gives: it is legal, in time and complete."""
    state: dict[bytes, bytes | None] = {}
    for operation, at in verdict.points:
        assert operation.called <= at
        assert operation.returned is None or at <= operation.returned
        assert all(state.get(key) == value for key, value in operation.reads.items())
        state.update(operation.writes)
    done = {id(point.operation) for point in verdict.points}
    assert len(done) == len(verdict.points)
    assert done.issuperset(id(o) for o in operations if o.returned is not None)


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Return up to six operations on two keys, at few different times, so that many are at once."""
    operations = []
    for number in range(draw(st.integers(0, 6))):
        called = draw(st.integers(0, 8))
        length = draw(st.integers(0, 5))
        values = st.sampled_from(VALUES)
        cells = st.dictionaries(st.sampled_from(KEYS), values, max_size=2)
        reads, writes = draw(cells), draw(cells)
        if reads or writes:
            lost = bool(writes) and draw(st.integers(0, 3)) == 0
            returned = None if lost else called + length
            operations.append(Operation(f"c{number}", called, returned, reads, writes))
    return operations


@settings(max_examples=400)
@given(histories(), st.randoms(use_true_random=False))
@example([], Random(0))
def test_it_agrees_with_trying_every_order_and_is_blind_to_the_order_of_lines(operations, random):
    verdict = judge(operations)
    assert verdict.linearizable == brute_force(operations)
    shuffled = random.sample(operations, len(operations))
    assert judge(shuffled).linearizable == verdict.linearizable
    if verdict.stuck is None:
        held(verdict, operations)
    else:
        _explained(verdict, operations)


def _times(count: int) -> Iterator[list[tuple[int, int]]]:
    """Yield every way in which operations overlap, in the order of their calls."""
    for ends in product(range(count), repeat=count):
        if all(end >= number for number, end in enumerate(ends)):
            # Between two calls, or after the last, it matters not in which order others return.
            yield [(2 * number, 2 * end + 1) for number, end in enumerate(ends)]


def test_it_agrees_with_trying_every_order_of_all_histories_of_three_operations_on_a_key():
    """Reads, writes, writes of which nobody knows, and writes that depend on what was read."""
    kept, gone, written = {}, {b"x": None}, {b"x": b"1"}
    sorts = [(reads, kept, False) for reads in (gone, written)]
    sorts += list(product((kept, gone, written), (gone, written), (False,)))
    sorts += [(kept, writes, True) for writes in (gone, written)]
    judged = set()
    for kinds in product(sorts, repeat=3):
        for times in _times(3):
            operations = [
                Operation(f"c{number}", called, None if lost else returned, reads, writes)
                for number, ((reads, writes, lost), (called, returned)) in enumerate(
                    zip(kinds, times, strict=True)
                )
            ]
            linearizable = judge(operations).linearizable
            assert linearizable == brute_force(operations)
            assert judge(operations[::-1]).linearizable == linearizable
            judged.add(linearizable)
    assert judged == {False, True}


def _explained(verdict: Verdict, operations: list[Operation]) -> None:
    """Check that the window has no order from what was before, and needs each of its members."""
    stuck = verdict.stuck
    assert stuck is not None
    assert stuck.operation in stuck.window
    for key in stuck.operation.reads:
        assert stuck.possible[key]
    assert not all(stuck.possible[key] == (value,) for key, value in stuck.operation.reads.items())
    cut = stuck.operation.returned
    seen = [
        o
        if o.returned is not None and o.returned <= cut
        else Operation(o.client, o.called, None, o.reads, o.writes)
        for o in stuck.window
        if o.writes or (o.returned is not None and o.returned <= cut)
    ]
    for before in stuck.before:
        start = Operation("before", -2, -1, {}, before)
        assert not brute_force([start, *seen])
