"""A snapshot that a leader sends to this member, chunk by chunk (Raft §7, Figure 13).

Chunks may be lost, come twice, late or out of order.  Chunks of another snapshot may still be in
flight: of one that its leader has given up, and which may be as long and end at the same entry.

Invariant: the chunks kept are those of one snapshot, from its first byte on, without a gap.
"""

from __future__ import annotations

from typing import NamedTuple

from kvraft.raft.interface import SnapshotChunk
from kvraft.raft.messages import InstallSnapshot
from kvraft.record import Position


class IncomingSnapshot(NamedTuple):
    """A snapshot of which the first ``received`` bytes have come, all in one leader's term."""

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
    """Return the snapshot with ``chunk`` added, and what the owner must keep of it, if anything.

    Another snapshot starts again from its first byte; a chunk counts for its own snapshot only.
    Returns ``(None, None)`` for a chunk of a snapshot that its leader has given up.
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
