"""The next Ready, and how far the owner has got with the Readies before it.

Three marks divide the log between what the disk holds, what the owner is saving, and what the next
Ready asks it to save; two divide what is committed::

       durable            saving                last
     ─────┴──────────────────┴────────────────────┘
      on this  with the owner:    entries of the
      disk     advance() makes    next Ready
               it durable

            handed out                 commit index
     ───────────┴───────────────────────────┘
      committed entries        committed entries
      of earlier Readies       of the next Ready

- ``durable``: through here the disk holds the log.  A leader counts itself only so far;
- ``saving``: the last entry that was handed out to be saved;
- ``handed_out``: the last committed entry that was handed out.

Invariants: ``durable <= saving <= last``, ``handed_out <= commit index``.  :meth:`Outbox.ready`
moves ``saving`` and ``handed_out`` to the right end, :meth:`Outbox.advance` moves ``durable`` to
``saving``.  Only superseded entries move a mark to the left: what replaces a dropped entry is not
durable, though the entry that was at its index was; so it is saved, and counted, again.

Source: thesis §10.2.1 (what may leave before the disk is done); the Ready of etcd's raft.
"""

from __future__ import annotations

from kvraft.errors import BadInput
from kvraft.raft.interface import DecidedProposal, ReadReady, Ready, ReceivedSnapshot, SnapshotChunk
from kvraft.raft.log import Log
from kvraft.raft.messages import Message
from kvraft.record import HardState


class Outbox:
    """Gathers what the owner must do; ``state`` and ``last`` are what its disk holds."""

    def __init__(self, state: HardState, last: int, committed: int) -> None:
        self.durable = self.saving = last
        self.handed_out = committed
        self.early: list[Message] = []
        """Messages that do not depend on this member's own disk."""
        self.messages: list[Message] = []
        """Messages that may leave once everything else in the same Ready is durable."""
        self.chunks: list[SnapshotChunk] = []
        self.received: ReceivedSnapshot | None = None
        self.decided: list[DecidedProposal] = []
        self.reads: list[ReadReady] = []
        self.failed_reads: list[int] = []
        self._saved: tuple[int, str | None] = state
        self._busy = False  # whether the owner has not advanced past the last Ready yet

    def has_output(self, log: Log, state: tuple[int, str | None], commit_index: int) -> bool:
        """Return whether :meth:`ready` would hand out anything."""
        return bool(
            self.messages
            or self.early
            or self.saving < log.last_index
            or self.handed_out < commit_index
            or self._saved != state
            or self.chunks
            or self.received
            or self.decided
            or self.reads
            or self.failed_reads
        )

    def check_free(self) -> None:
        """Raise ``BadInput`` if the last Ready is not done yet."""
        if self._busy:
            raise BadInput("the last ready() is not done yet: advance() comes first")

    def ready(self, log: Log, state: tuple[int, str | None], commit_index: int) -> Ready:
        """Return everything gathered so far, and start to gather for the next Ready."""
        self._busy = True
        changed = None if state == self._saved else HardState(*state)
        if changed is not None:
            # "Updated on stable storage before responding to RPCs" (Figure 2): a term must be
            # durable before anything says that it was entered, an early message included.
            self.messages = self.early + self.messages
            self.early = []
        last = log.last_index
        ready = Ready(
            tuple(self.early),
            changed,
            tuple(self.chunks),
            self.received,
            log.slice(self.saving + 1, last) if self.saving < last else (),
            tuple(self.messages),
            log.slice(self.handed_out + 1, commit_index) if self.handed_out < commit_index else (),
            tuple(self.decided),
            tuple(self.reads),
            tuple(self.failed_reads),
        )
        self._saved, self.saving, self.handed_out = state, last, commit_index
        self.received, self.chunks = None, []
        self.early, self.messages, self.decided = [], [], []
        self.reads, self.failed_reads = [], []
        return ready

    def advance(self) -> bool:
        """Note that the last Ready is done; return whether more of the log is durable now.

        Raises ``BadInput`` if there is none.
        """
        if not self._busy:
            raise BadInput("there is nothing to advance past: ready() comes first")
        self._busy = False
        before, self.durable = self.durable, self.saving
        return self.durable > before

    def truncated(self, index: int) -> None:
        """Note that the entry at ``index`` and all after it were dropped, saved or not."""
        self.saving = min(self.saving, index - 1)
        self.durable = min(self.durable, index - 1)

    def replaced(self, snapshot: ReceivedSnapshot) -> None:
        """Note that ``snapshot`` replaced the whole log: no entry is left to save or to apply."""
        self.durable = self.saving = self.handed_out = snapshot.last.index
        self.received = snapshot
