"""Planted bugs of the replica: when an entry takes effect, and when it may be dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvraft import clock
from kvraft.raft import Log, Raft, Ready, Role
from kvraft.record import Entry, Kind
from kvraft.replica import Pins, Replica, StateMachine, tree_pin
from kvraft.transaction import (
    CompleteTransaction,
    DiscardedTransaction,
    Redirect,
    Rejected,
    Reply,
    Stage,
    Submit,
    TransactionAssembler,
    WriteReply,
)
from kvraft.wal import Segment

# ── log truncation ──────────────────────────────────────────────────────────────────────────────


class TruncatesByFlushedMark(Replica):
    """The log is truncated at the flushed mark, though followers or snapshots may need it."""

    def pins(self) -> Pins:
        """Return the pin of the tree only."""
        return Pins((tree_pin(self.tree.flushed.index),))


class TruncatesByAppliedMark(Replica):
    """The log is truncated at the applied mark, though memtables are lost in a crash."""

    def pins(self) -> Pins:
        """Return pins in which the tree needs nothing that is applied."""
        return Pins((tree_pin(self.tree.applied.index), *tuple(super().pins())[1:]))

    def may_drop(self, segment: Segment) -> bool:
        """Whether ``segment`` is not pinned."""
        known = min(self.raft.commit_index, self.raft.durable_index)
        return segment.sealed and segment.high <= known and self.pins().frees(segment)


# ── drains ──────────────────────────────────────────────────────────────────────────────────────


class SendsBeforeSaving(Replica):
    """All messages leave at once, and what they say is made durable while they travel."""

    def begin(self) -> Ready | None:
        """Return what consensus wants done, with every message as an early one."""
        ready = super().begin()
        if ready is None:
            return None
        self.unsaved = ready._replace(early=(), messages=())
        return self.unsaved._replace(early=ready.early + ready.messages)


# ── applying ────────────────────────────────────────────────────────────────────────────────────


class AppliesWhatIsAppended(Replica):
    """A record takes effect when it is appended, not when it is committed."""

    _through = 0

    def save(self, ready: Ready) -> bool:
        """Save ``ready``, and apply its new entries at once."""
        saved = super().save(ready)
        for entry in ready.entries if saved else ():
            if entry.index > max(self._through, self.tree.applied.index):
                self._through = entry.index
                super().take(entry)
        return saved

    def take(self, entry: Entry) -> None:
        """Apply a committed entry, unless it was applied when it was appended."""
        if entry.index > max(self._through, self.tree.applied.index):
            super().take(entry)


class _NothingDiscarded(TransactionAssembler):
    """Takes a torn transaction for a complete one."""

    def take(self, entry: Entry) -> Sequence[CompleteTransaction | DiscardedTransaction]:
        """Return the transactions that ``entry`` ends, all as complete ones."""
        return [CompleteTransaction(ended.entries) for ended in super().take(entry)]


class DiscardsWhatItBegan(Replica):
    """Only the leader that appended a transaction knows, from memory, that it must be discarded."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that discards nothing."""
        machine = super().new_machine()
        machine.gatherer = _NothingDiscarded()
        return machine


class _NoConflicts(StateMachine):
    """Finds no conflict."""

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return 0, which means no conflict."""
        return 0


class ChecksBeforeAppending(Replica):
    """A leader checks expectations before it appends, and no member checks them when it applies."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that finds no conflict."""
        return _NoConflicts(self.tree, clock.pack(self.options.session_millis), self.report)

    def submit(self, request: Submit) -> None:
        """Accept a transaction if all its expectations hold in what this member has applied."""
        asked = [Entry(0, 0, record) for record in request.transaction.records]
        conflict = StateMachine.conflict(self.machine, tuple(asked))
        if conflict and self.raft.role is Role.LEADER:
            txn, why = request.transaction.id, "what it read was written since"
            self.reply(Rejected(self.member, request.sender, txn, request.attempt, 0, why))
        else:
            super().submit(request)


class _TombstonesCount(StateMachine):
    """Compares expectations with the timestamps of tombstones, too."""

    def conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return the number of the first expectation that fails, where tombstones are versions."""
        for number, entry in enumerate(entries, 1):
            key, value = entry.record.key, entry.record.value
            if entry.record.kind is Kind.EXPECT:
                found = self.tree.version(key)
                if (found.timestamp if found else 0) != int.from_bytes(value, "little"):
                    return number
        return 0


class ExpectsTombstones(Replica):
    """A deleted key differs from one that never was, until compaction drops its tombstone."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that looks at tombstones."""
        return _TombstonesCount(self.tree, clock.pack(self.options.session_millis), self.report)


class _OneByOne(TransactionAssembler):
    """Takes each record for a transaction of its own."""

    def take(self, entry: Entry) -> Sequence[CompleteTransaction | DiscardedTransaction]:
        """Return the record as a complete transaction."""
        return [CompleteTransaction((entry,))] if entry.record.kind.is_data else []


class RecordsOneByOne(Replica):
    """A record takes effect when it is committed, not when its transaction is complete."""

    def new_machine(self) -> StateMachine:
        """Return a state machine that waits for no commit mark."""
        machine = super().new_machine()
        machine.gatherer = _OneByOne()
        return machine


class CommittedOnRestart(Raft):
    """A member that restarts takes everything in its log for committed."""

    def __init__(self, member: str, configuration: Any, log: Log, *args: Any, **rest: Any) -> None:
        super().__init__(member, configuration, log, *args, **{**rest, "committed": log.last_index})


# ── answers ─────────────────────────────────────────────────────────────────────────────────────


class AnswersAtAppend(Replica):
    """A leader answers that a write is done once it is in its own log."""

    def reply(self, reply: Reply) -> None:
        """Queue the news of an append as the final answer."""
        if isinstance(reply, WriteReply) and reply.stage is Stage.APPENDED:
            reply = reply._replace(stage=Stage.APPLIED)
        super().reply(reply)


class LossIsFailure(Replica):
    """A leader that steps down says that what it appended will never be applied."""

    def reply(self, reply: Reply) -> None:
        """Queue a redirect that denies what was appended."""
        if isinstance(reply, Redirect):
            reply = reply._replace(may_still_apply=False)
        super().reply(reply)


BUGS = {
    "truncates by the flushed mark": TruncatesByFlushedMark,
    "truncates by the applied mark": TruncatesByAppliedMark,
    "messages before the save": SendsBeforeSaving,
    "apply on append": AppliesWhatIsAppended,
    "discard from memory": DiscardsWhatItBegan,
    "checked before appending": ChecksBeforeAppending,
    "expects tombstones": ExpectsTombstones,
    "records one by one": RecordsOneByOne,
    "committed on restart": CommittedOnRestart,
    "answers at append": AnswersAtAppend,
    "loss is failure": LossIsFailure,
}
"""The planted bugs of this place by name."""
