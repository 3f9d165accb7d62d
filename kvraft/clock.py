"""Hybrid logical clock: timestamps that follow wall time, but never repeat and never run backwards.

A timestamp is 48 bits of milliseconds since the Unix epoch and 16 bits of a counter, packed into
one integer, so comparing timestamps is comparing integers::

    63                              16 15             0
    ┌─────────────────────────────────┬────────────────┐
    │ milliseconds                    │ counter        │
    └─────────────────────────────────┴────────────────┘

Wall time comes from a function that the caller gives: a simulated world passes virtual time.

Invariants:

- Every timestamp of a clock is greater than every one it gave or observed before.
- A timestamp runs ahead of the largest time seen by at most one millisecond per 65,536 timestamps.

Source: Kulkarni et al., *Logical Physical Clocks*, OPODIS 2014.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.record import Timestamp

_COUNTER_BITS = 16
_MAX_MILLIS = (1 << 48) - 1


def pack(millis: int, counter: int = 0) -> Timestamp:
    """Return the timestamp for ``millis`` since the epoch and a ``counter`` below 65,536."""
    return millis << _COUNTER_BITS | counter


def unpack(stamp: Timestamp) -> tuple[int, int]:
    """Return the milliseconds and the counter of ``stamp``."""
    return stamp >> _COUNTER_BITS, stamp & ((1 << _COUNTER_BITS) - 1)


def show(stamp: Timestamp) -> str:
    """Return ``stamp`` as text: milliseconds, and the counter if it is not zero."""
    millis, counter = unpack(stamp)
    return f"{millis}ms+{counter}" if counter else f"{millis}ms"


class HybridClock:
    """A hybrid logical clock over ``millis``, which returns milliseconds since the Unix epoch.

    >>> clock = HybridClock(lambda: 7)
    >>> [show(clock.now()) for _ in range(3)]
    ['7ms', '7ms+1', '7ms+2']
    """

    def __init__(self, millis: Callable[[], int]) -> None:
        self._millis = millis
        self._last: Timestamp = 0

    def now(self) -> Timestamp:
        """Return a timestamp above all that were given or observed, not before wall time."""
        millis = min(max(self._millis(), 0), _MAX_MILLIS)
        # A counter that overflows carries into the milliseconds: still greater, still unique.
        self._last = max(pack(millis), self._last + 1)
        return self._last

    def observe(self, stamp: Timestamp) -> None:
        """Raise the clock above ``stamp``, which another clock gave."""
        self._last = max(self._last, stamp)
