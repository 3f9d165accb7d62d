"""Back-pressure: how much of the long work each writer has to do.

A tree that is used by itself has no thread of its own, so writers flush and compact, in slices.
How much work waits is its **pressure**: 0 when none does, 1 when writers should wait for it.  Below
1 a writer does one slice for every KiB that is written; from 1 on every write does one or more, so
that the waiting work always comes to an end.

Invariant: one write does a bounded number of slices, however much work waits.

Source: LevelDB db_impl (MakeRoomForWrite), in slices instead of sleeps.
"""

from __future__ import annotations

SLICE_BYTES = 1024
"""How much may be written for each slice of long work while the pressure is below 1."""

DELETE_BYTES = 80
"""How much a delete counts as written, beyond its row in a table: its entry in the log is longer,
and how much log may wait for a flush is bounded."""

REMOVED_BYTES = 1 << 20
"""How many bytes of files one slice removes: small files go together, a larger one by itself."""

MOST_SLICES = 64
"""How many slices one write does at most."""


def slices(pressure: float) -> int:
    """Return how many slices of long work a write does: one, or more from a pressure of 1 on."""
    return min(1 + int(16 * max(0.0, pressure - 1)), MOST_SLICES)


def room_after(pressure: float) -> int:
    """Return how many bytes may be written until the next slice is due."""
    return SLICE_BYTES if pressure < 1 else 0
