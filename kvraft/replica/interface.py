"""The options of a member, and what one drain of it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kvraft.inputs import instance, whole_number
from kvraft.lsm import CompactionStrategy, Levelled, check_strategy
from kvraft.raft import Message, RaftOptions
from kvraft.transaction import Reply


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """Sizes in bytes, times in milliseconds, and the timing of consensus in ticks.

    - ``memtable_bytes``: a memtable of that size is flushed;
    - ``segment_bytes``: a segment of the log of that size is sealed;
    - ``log_bytes``: how much sealed log may wait for a memtable that fills slowly; beyond it the
      memtable is flushed, however small it is;
    - ``retain_bytes``: how much sealed log is kept for followers (replica/retention.py);
    - ``reserve_bytes``: how much of the disk must be free for new writes to be taken; it should
      cover a flush and a segment, since a flush is how space is regained;
    - ``stall_memtables``: how many memtables may wait to be flushed before new writes have to wait;
    - ``strategy``: which tables are merged;
    - ``history_millis``: how far back one can read at a timestamp;
    - ``session_millis``: how long an unused session is kept, in log time (replica/sessions.py).  It
      **must be the same on every member**, since their state depends on it;
    - ``skew_millis``: how far a client's clock may be ahead of the members' (replica/skew.py).
    """

    memtable_bytes: int = 4 << 20
    segment_bytes: int = 1 << 20
    log_bytes: int = 16 << 20
    retain_bytes: int = 16 << 20
    reserve_bytes: int = 8 << 20
    stall_memtables: int = 4
    strategy: CompactionStrategy = field(default_factory=Levelled)
    history_millis: int = 0
    session_millis: int = 3_600_000
    skew_millis: int = 500
    raft: RaftOptions = field(default_factory=RaftOptions)

    def __post_init__(self) -> None:
        """Raise ``BadInput`` for invalid options."""
        for name in ("log_bytes", "retain_bytes", "reserve_bytes", "history_millis", "skew_millis"):
            whole_number(getattr(self, name), name, minimum=0)
        for name in ("memtable_bytes", "segment_bytes", "stall_memtables", "session_millis"):
            whole_number(getattr(self, name), name, minimum=1)
        instance(self.raft, RaftOptions, "raft")
        check_strategy(self.strategy)


class Drained(NamedTuple):
    """What one drain returns: messages for members, and replies for clients.

    ``synced`` is whether the disk was synced for it.  ``early`` are messages for members that need
    not wait for that sync (thesis §10.2.1).
    """

    early: tuple[Message, ...]
    messages: tuple[Message, ...]
    replies: tuple[Reply, ...]
    synced: bool
