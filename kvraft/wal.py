"""The log on disk: Raft's log and the storage engine's write-ahead log, in one row of segments.

Consensus appends to the newest segment all the time; the tree decides when the oldest are no longer
needed::

    0000000000000004-0000000000000029.wal      sealed   ← dropped first, whole
    0000000000000005-0000000000000041.wal      sealed
    0000000000000006-0000000000000058.wal      active   ← written last
    └── segment id ──┘ └─ first index ─┘       (hexadecimal)

A segment is a row of frames (``frame.py``)::

    HEADER      JSON: format, owner, segment, first, term_before (of entry first - 1), and the
                hard state so far, so that older segments can go: term, vote
    HARD_STATE  term (8 bytes, little-endian), whether a vote follows (1), the vote
    ENTRIES     one save's entries as ``record.py`` packs them; a large save makes several frames
    CLOSED      empty: the log was closed here; more may follow
    SEAL        empty: nothing follows

Invariants:

- A save is one append and one sync: hard state first, then entries (Raft Figure 2, "persistent
  state ... updated on stable storage before responding to RPCs").
- Entries are contiguous and their terms never fall.  Entries that begin at or below the last index
  supersede it and all behind it (Raft §5.3): nothing is cut out of the file, the later frame wins.
- Only the newest segment is active.  Each other one ends with a SEAL; ids have no gap; each begins
  at the index after the last one of the log as it was then.
- A segment file is made aside, synced and renamed, so it always has a whole header.
- Nothing is written behind a failed write or sync: the log is stopped.

Recovery reads the segments in order.  A torn end of the newest one was never acknowledged and is
cut; everything else that does not add up is :class:`~kvraft.errors.Damage`.  Not to be told from a
torn write, and so cut, is damage to the very last frame of an active segment (a CLOSED frame
shields the ones before it); not to be seen here is the loss of whole files at either end.

Sources: etcd wal (overwriting by index, hard state at the head of each segment, segment names).
"""

from __future__ import annotations

import json
import re
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from kvraft import disk as files
from kvraft import frame
from kvraft.disk import TEMPORARY, Disk
from kvraft.errors import BadInput, Damage, Foreign, Stopped
from kvraft.events import (
    Appended,
    Report,
    SegmentDropped,
    SegmentOpened,
    SegmentSealed,
    TailCut,
    ignore,
)
from kvraft.frame import Frame
from kvraft.record import (
    ORIGIN,
    Entry,
    HardState,
    Position,
    entry_size,
    label,
    pack_entries,
    unpack_entries,
)

FORMAT = 1
SEGMENT_BYTES = 4 * 1024 * 1024
FRAME_BYTES = 1024 * 1024
"""A frame takes entries up to this many bytes, or one that is larger."""

HEADER, HARD_STATE, ENTRIES, CLOSED, SEAL = range(1, 6)

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")
_HEADER_SEED = frame.seed_of("kvraft log segment")  # a header can be read whoever owns it
_HARD_STATE = struct.Struct("<Q?")
_CRC_BYTES = 4  # behind the payload of a frame


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the log.  It was begun for index ``first``, its sequence number is ``id``.

    ``low`` and ``high`` are the smallest and the largest index in it, superseded entries included;
    an empty one has ``low == first`` and ``high == first - 1``.  ``size`` is in bytes.
    """

    id: int
    first: int
    low: int
    high: int
    size: int
    sealed: bool = False

    @property
    def name(self) -> str:
        """The name of its file; names sort by id."""
        return f"{self.id:016x}-{self.first:016x}.wal"


class Batch(NamedTuple):
    """Where the live entries ``first`` … ``last`` are: in one frame, ``length`` bytes long.

    Superseded entries of the frame are not counted: ``start`` is the index it really begins with.
    """

    first: int
    last: int
    file: str
    offset: int
    length: int
    synced: int


class Torn(NamedTuple):
    """The torn end of the newest segment: ``size`` bytes from ``offset`` on, and what is wrong."""

    file: str
    offset: int
    size: int
    why: str
