"""Hybrid logical clock: stamps that follow wall time, yet never repeat and never run backwards.

A stamp is 48 bits of milliseconds since the Unix epoch and 16 bits of a counter, packed into one
integer, so comparing stamps is comparing integers::

    63                              16 15             0
    ┌─────────────────────────────────┬────────────────┐
    │ milliseconds                    │ counter        │
    └─────────────────────────────────┴────────────────┘

Time itself comes from outside, as a function: a simulated world hands in virtual time.

Invariants:

- Every stamp a clock gives is greater than every stamp it gave or observed before.
- A stamp runs ahead of the largest time seen by at most one millisecond per 65,536 stamps.

Source: Kulkarni et al., *Logical Physical Clocks*, OPODIS 2014.
"""

from __future__ import annotations

from collections.abc import Callable

from kvraft.record import Timestamp

_COUNTER_BITS = 16
_MAX_MILLIS = (1 << 48) - 1


def pack(millis: int, counter: int = 0) -> Timestamp:
    """Return the stamp for ``millis`` since the epoch and a ``counter`` below 65,536."""
    return millis << _COUNTER_BITS | counter


def unpack(stamp: Timestamp) -> tuple[int, int]:
    """Return the milliseconds and the counter of ``stamp``."""
    return stamp >> _COUNTER_BITS, stamp & ((1 << _COUNTER_BITS) - 1)


def show(stamp: Timestamp) -> str:
    """Return ``stamp`` for people: milliseconds, and the counter where it is not zero."""
    millis, counter = unpack(stamp)
    return f"{millis}ms+{counter}" if counter else f"{millis}ms"


class HybridClock:
    """A hybrid logical clock over ``millis``, a function that tells milliseconds since the epoch.

    >>> clock = HybridClock(lambda: 7)
    >>> [show(clock.now()) for _ in range(3)]
    ['7ms', '7ms+1', '7ms+2']
    """

    def __init__(self, millis: Callable[[], int]) -> None:
        self._millis = millis
        self._last: Timestamp = 0

    def now(self) -> Timestamp:
        """Return a stamp above every stamp given or observed before, at or after wall time."""
        millis = min(max(self._millis(), 0), _MAX_MILLIS)
        # A counter that overflows carries into the milliseconds: still greater, still unique.
        self._last = max(pack(millis), self._last + 1)
        return self._last

    def observe(self, stamp: Timestamp) -> None:
        """Take note of a stamp that somebody else gave: later stamps will be above it."""
        self._last = max(self._last, stamp)
