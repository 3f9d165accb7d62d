"""The hybrid logical clock never repeats, never runs backwards, and stays near the time given."""

import doctest

from hypothesis import given, settings
from hypothesis import strategies as st

from kvraft import clock as module
from kvraft.clock import HybridClock, pack, show, unpack


def test_the_example_in_the_docstring_holds():
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


times = st.integers(-5, 50) | st.integers(0, 1 << 50)
steps = st.lists(st.tuples(times, st.none() | st.integers(0, 1 << 60)), max_size=40)


@given(steps)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_every_stamp_is_above_all_given_or_observed_before(steps):
    at = [0]
    clock = HybridClock(lambda: at[0])
    highest = 0
    for millis, observed in steps:
        at[0] = millis  # wall time may jump either way
        if observed is not None:
            clock.observe(observed)
            highest = max(highest, observed)
        stamp = clock.now()
        # At wall time, unless something before was as late: then one above that, no further.
        wall = pack(min(max(millis, 0), (1 << 48) - 1))
        assert stamp == max(wall, highest + 1)
        highest = stamp


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 16) - 1))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_a_stamp_holds_milliseconds_and_counter_in_64_bits(millis, counter):
    stamp = pack(millis, counter)
    assert unpack(stamp) == (millis, counter)
    assert stamp < 1 << 64
    assert show(stamp).startswith(f"{millis}ms")


def test_a_counter_that_overflows_carries_into_the_milliseconds():
    clock = HybridClock(lambda: 7)
    clock.observe(pack(7, (1 << 16) - 1))
    assert show(clock.now()) == "8ms"
    assert show(clock.now()) == "8ms+1"
