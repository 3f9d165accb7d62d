"""Planted bugs of replication: what a follower takes and answers, and what a leader commits."""

from __future__ import annotations

from collections.abc import Mapping

from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    Configuration,
    Core,
    Follower,
    Log,
    Message,
    Raft,
    Ready,
    committed_index,
)


class OlderTermsCounted(Raft):
    """A leader commits entries of older terms by counting replicas (§5.4.2, Figure 8)."""

    @staticmethod
    def advance_commit(
        commit_index: int,
        term: int,
        match: Mapping[str, int],
        configuration: Configuration,
        log: Log,
    ) -> int:
        """Return the highest index that a quorum holds, whatever the term of its entry."""
        return max(commit_index, committed_index(configuration, match))


class _DropsTheRest(Follower):
    def take_entries(self, append: AppendEntries) -> bool:
        taken = super().take_entries(append)
        end = append.prev_index + len(append.entries)
        if taken and self.core.commit_index <= end < self.core.log.last_index:
            self.core.supersede(end + 1)
        return taken


class TruncatesAlways(Raft):
    """A follower drops its entries after those of an append without a conflict (Figure 2)."""

    follower_type = _DropsTheRest


class _BelievesTheCommitIndex(Follower):
    def on_append_entries(self, append: AppendEntries) -> None:
        super().on_append_entries(append)
        core = self.core
        if core.leader == append.sender and core.log.has(append.prev_index, append.prev_term):
            core.commit_through(min(append.commit, core.log.last_index))


class CommitsOwnTail(Raft):
    """A follower commits as far as its leader, past the entries known to match (Figure 2)."""

    follower_type = _BelievesTheCommitIndex


class _ComparesIndexes(Follower):
    def on_append_entries(self, append: AppendEntries) -> None:
        log, previous = self.core.log, append.prev_index
        if log.base.index <= previous <= log.last_index:
            append = append._replace(prev_term=log.term(previous))
        super().on_append_entries(append)


class PredecessorUnchecked(Raft):
    """A follower appends wherever its log is long enough, whatever the entry before (§5.3)."""

    follower_type = _ComparesIndexes


class _ComparesForEntries(Follower):
    def on_append_entries(self, append: AppendEntries) -> None:
        log = self.core.log
        if not append.entries and append.prev_index >= log.base.index:
            previous = min(append.prev_index, log.last_index)
            append = append._replace(prev_index=previous, prev_term=log.term(previous))
        super().on_append_entries(append)


class HeartbeatsUnchecked(Raft):
    """A follower compares logs only if an append has entries, and answers yes to heartbeats."""

    follower_type = _ComparesForEntries


class WholeLogAcknowledged(Raft):
    """A follower acknowledges all of its log, not only what the append covers (Figure 2)."""

    def ready(self) -> Ready:
        """Hand out acknowledgements of everything in the log."""
        ready, last = super().ready(), self.log.last_index
        return ready._replace(
            messages=tuple(
                message._replace(match=last)
                if isinstance(message, AppendEntriesReply) and message.success
                else message
                for message in ready.messages
            )
        )


class RefusalsCounted(Raft):
    """A leader takes the hint in a refusal, where logs may meet, for what the follower holds."""

    def step(self, message: Message) -> bool:
        """Handle a refusal as an acknowledgement."""
        if isinstance(message, AppendEntriesReply) and not message.success:
            hint = min(message.hint_index, self.log.last_index)
            message = message._replace(success=True, match=hint)
        return super().step(message)


class OldAcknowledgementsCounted(Raft):
    """A leader counts what it was answered in an earlier term (Figure 2)."""

    def step(self, message: Message) -> bool:
        """Handle an answer of an earlier term as one of this term."""
        if isinstance(message, AppendEntriesReply) and message.term < self.term:
            message = message._replace(term=self.term, round=min(1, message.round))
        return super().step(message)


class _Hasty(Core):
    @property
    def durable_index(self) -> int:
        return self.log.last_index


class CountsUnsaved(Raft):
    """A leader counts itself before its own disk has the entry (thesis §10.2.1)."""

    core_type = _Hasty


class _KeepsItsMarks(Core):
    def supersede(self, index: int) -> None:
        saving, durable = self.outbox.saving, self.outbox.durable
        super().supersede(index)
        self.outbox.saving, self.outbox.durable = saving, durable


class RewrittenNotSaved(Raft):
    """What replaces a superseded entry counts as saved, since the old entry was."""

    core_type = _KeepsItsMarks


BUGS = {
    "older terms counted": OlderTermsCounted,
    "truncates always": TruncatesAlways,
    "commits own tail": CommitsOwnTail,
    "predecessor unchecked": PredecessorUnchecked,
    "heartbeats unchecked": HeartbeatsUnchecked,
    "whole log acknowledged": WholeLogAcknowledged,
    "refusals counted": RefusalsCounted,
    "old acknowledgements counted": OldAcknowledgementsCounted,
    "counts unsaved": CountsUnsaved,
    "rewritten not saved": RewrittenNotSaved,
}
"""The planted bugs of this place by name."""
