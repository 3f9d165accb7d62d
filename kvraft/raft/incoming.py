"""A leader's snapshot on its way to this member, chunk by chunk (Raft §7, Figure 13).

Chunks may be lost, come twice, late or out of order, and those of another snapshot may still be
under way: of one that its leader has given up since, and which may be as long and end at the same
entry.

Invariant: the chunks kept are those of one snapshot, from its first byte on, without a gap.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.raft.interface import SnapshotChunk
from kvraft.raft.messages import InstallSnapshot
from kvraft.record import Position


class IncomingSnapshot(NamedTuple):
    """A snapshot of which the first ``received`` bytes have come, all from one leader's term."""

    number: int
    last: Position
    size: int
    received: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of it has come."""
        return self.received == self.size


def take_chunk(
    before: IncomingSnapshot | None, chunk: InstallSnapshot
) -> tuple[IncomingSnapshot | None, SnapshotChunk | None]:
    """Return what has come once ``chunk`` has, and what of it is to be kept, if anything.

    The first chunk always begins anew; any other counts for its own snapshot only.  Nothing at all
    is returned for a chunk of a snapshot that its leader has given up.
    """
    if before is not None and chunk.snapshot_number < before.number:
        return None, None
    place = Position(chunk.last_index, chunk.last_term)
    now = IncomingSnapshot(chunk.snapshot_number, place, chunk.size)
    if before is not None and chunk.offset > 0 and before[:3] == now[:3]:
        now = before
    if chunk.offset != now.received:  # it came twice, or one before it was lost
        return now, None
    kept = SnapshotChunk(now.received, chunk.data)
    return now._replace(received=now.received + len(chunk.data)), kept
