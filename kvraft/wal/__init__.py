"""The log on disk: Raft's log and the storage engine's write-ahead log are this one thing.

Consensus appends to the newest segment all the time; the tree decides when the oldest segments are
no longer needed::

    wal           the open log: save, append, read, drop the oldest segments, reset after a snapshot
    │  files      its segments: begin one, seal one, remove one
    │  │  writer      the active segment: what is buffered, handed over, synced
    │  ▼  │
    ▼  recovery   what the files contain after a crash, and what can be known of the log's end
    writes        puts and deletes of a log without consensus, packed and read at once
    segment       the bytes of a segment: header, hard state, entries, seal
    index         in memory: which frame contains an entry, and its term

Invariants:

- Hard state and entries are durable before any message that depends on them leaves (Raft Figure 2,
  persistent state).
- A file is never overwritten: an entry that supersedes another one is in a later frame (Raft §5.3).
- Only the newest segment may end in a torn write, which was never acknowledged.  Any other defect
  is :class:`~kvraft.errors.Corruption`, and a promised log is never shortened silently.
- The segments form one contiguous log, whenever a crash comes; the oldest are removed first.
- After a failed write or sync the log stops.  A full disk is the exception: the write is undone,
  and the log continues as it was.

Sources: Raft §5.3, §7, Figure 2; etcd wal; LevelDB log_format; Rebello et al., ATC 2020; Alagappan
et al., FAST 2018.
"""

from kvraft.wal.recovery import Recovery, TakeWrites, recover
from kvraft.wal.segment import (
    HEADER_SEED,
    FrameKind,
    Segment,
    frame_kind_name,
    log_owner,
    read_segment_header,
    unpack_hard_state,
)
from kvraft.wal.wal import SEGMENT_BYTES, Durability, Wal
from kvraft.wal.writer import MAX_ENTRIES_FRAME_BYTES
from kvraft.wal.writes import pack_write, pack_writes, unpack_writes

__all__ = [
    "HEADER_SEED",
    "MAX_ENTRIES_FRAME_BYTES",
    "SEGMENT_BYTES",
    "Durability",
    "FrameKind",
    "Recovery",
    "Segment",
    "TakeWrites",
    "Wal",
    "frame_kind_name",
    "log_owner",
    "pack_write",
    "pack_writes",
    "read_segment_header",
    "recover",
    "unpack_hard_state",
    "unpack_writes",
]
