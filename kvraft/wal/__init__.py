"""Room."""

from kvraft.wal.recovery import Recovery, recover
from kvraft.wal.segment import (
    CLOSED,
    ENTRIES,
    HARD_STATE,
    HEADER,
    HEADER_SEED,
    SEAL,
    Segment,
    frame_kind_name,
    log_owner,
    read_segment_header,
    unpack_hard_state,
)
from kvraft.wal.wal import SEGMENT_BYTES, Durability, Wal
from kvraft.wal.writer import MAX_ENTRIES_FRAME_BYTES

__all__ = [
    "CLOSED",
    "ENTRIES",
    "HARD_STATE",
    "HEADER",
    "HEADER_SEED",
    "MAX_ENTRIES_FRAME_BYTES",
    "SEAL",
    "SEGMENT_BYTES",
    "Durability",
    "Recovery",
    "Segment",
    "Wal",
    "frame_kind_name",
    "log_owner",
    "read_segment_header",
    "recover",
    "unpack_hard_state",
]
