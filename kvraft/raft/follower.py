"""What every member does on a leader's word: take entries, take a snapshot, ask about reads.

A leader's word is an AppendEntries or an InstallSnapshot of the current term: there is one leader a
term, so whoever sends one *is* the leader, and a candidate that hears it gives up (§5.2).

Invariants:

- Entries are dropped only where they conflict with the leader's, and never at or below the commit
  index (Figure 2, "AppendEntries RPC").
- What is acknowledged equals the leader's log, and the answer waits for this member's disk.
- Committed is what the leader says, but only as far as this log is known to equal the leader's.
- A snapshot is taken only if it tells anything new.

The part has no state of its own: it acts on the :class:`~kvraft.raft.Core`.

Sources: Raft §5.3, §7, Figures 2 and 13; thesis §6.4 (reads at a follower).
"""

from __future__ import annotations

from kvraft.events import SnapshotReceived
from kvraft.raft.core import Core
from kvraft.raft.incoming import take_chunk
from kvraft.raft.interface import ReceivedSnapshot
from kvraft.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    ReadIndex,
    ReadIndexReply,
)
from kvraft.record import ORIGIN, Position


class Follower:
    """The part of one member that follows."""

    def __init__(self, core: Core) -> None:
        self.core = core

    # ── replication (Raft §5.3) ─────────────────────────────────────────────────────────────────

    def on_append_entries(self, append: AppendEntries) -> None:
        """Take a leader's entries if they follow on ours, else say where ours and its may meet.

        To be overridden: planted bugs do.
        """
        core = self.core
        if append.term < core.term:
            # "Reply false if term < currentTerm" (Figure 2), so that a deposed leader learns of it.
            # Round 0: its sender may lead our term by the time it reads this, with another log and
            # other rounds, and must not take it for an answer to an append of that term.
            self._reply_append(append, round=0, success=False)
            return
        if not self._heeds(append):
            return
        log, previous = core.log, append.prev_index
        if previous >= log.base.index and not log.has(previous, append.prev_term):
            # The consistency check: "reply false if log doesn't contain an entry at prevLogIndex
            # whose term matches prevLogTerm".  The hint lets the leader skip all entries of a term
            # at once instead of one a message (the optimisation at the end of §5.3).
            index = log.find_conflict_by_term(append.prev_term, min(previous, log.last_index))
            self._reply_append(append, success=False, hint=Position(index, log.term(index)))
            return
        if not self.take_entries(append):
            return
        match = previous + len(append.entries)
        core.replicated = max(core.replicated, min(append.all_replicated_index, match))
        # "commitIndex = min(leaderCommit, index of last new entry)": only what this message covers
        # is known to be the leader's.  What follows here may be of a leader that was deposed.
        core.commit_through(min(append.commit, match))
        self._reply_append(append, success=True, match=match)

    def _heeds(self, message: AppendEntries | InstallSnapshot) -> bool:
        """Follow the sender, which leads this term; refuse anybody else who claims to lead it.

        Two leaders of a term cannot be (§5.2), so the claim is a fault or a lie.
        """
        core = self.core
        if core.leader not in (None, message.sender) and message.term == core.term:
            core.refuse(message, f"{core.leader} leads term {core.term}")
            return False
        core.follow(message.term, message.sender)
        core.timer.restart()
        core.heard_at = core.ticks
        return True

    def take_entries(self, append: AppendEntries) -> bool:
        """Append what is new in a leader's message; return whether it can be acknowledged.

        To be overridden: planted bugs do.  "If an existing entry conflicts with a new one (same
        index but different terms), delete the existing entry and all that follow it".  *If*: the
        message may be an old one, and what follows may have been acknowledged since.
        """
        core = self.core
        entries, log = append.entries, core.log
        new = max(0, log.first_index - append.prev_index - 1)  # what is older was cut off
        while new < len(entries) and entries[new].index <= log.last_index:
            if log.term(entries[new].index) != entries[new].term:
                break
            new += 1
        entries = entries[new:]
        if not entries:
            return True
        if core.full:  # no answer, which would only have them sent again at once
            return False
        # No leader sends the next two (Leader Completeness, §5.4.3; terms never fall along a log).
        # Whoever does is at fault; obeying it would lose what a client was told is safe.
        if entries[0].index <= core.commit_index:
            core.refuse(append, f"entry {entries[0].index} conflicts with a committed one")
            return False
        if entries[0].term < log.term(entries[0].index - 1):
            core.refuse(append, f"entry {entries[0].index} is of an older term than the one before")
            return False
        if entries[0].index <= log.last_index:
            core.supersede(entries[0].index)
        core.append(entries)
        return True

    def _reply_append(
        self,
        append: AppendEntries,
        *,
        success: bool,
        match: int = 0,
        hint: Position = ORIGIN,
        round: int | None = None,
    ) -> None:
        core = self.core
        core.outbox.messages.append(
            AppendEntriesReply(
                core.member,
                append.sender,
                core.term,
                success,
                append.prev_index,
                match,
                *hint,
                append.round if round is None else round,
                core.cluster,
            )
        )

    # ── snapshots (Raft §7) ─────────────────────────────────────────────────────────────────────

    def on_install_snapshot(self, chunk: InstallSnapshot) -> None:
        """Gather the chunks of a snapshot; take it once it is whole, if it tells anything new."""
        core = self.core
        if chunk.term < core.term:  # "reply immediately if term < currentTerm" (Figure 13)
            self._reply_chunk(chunk, 0)
            return
        if not self._heeds(chunk):
            return
        last = Position(chunk.last_index, chunk.last_term)
        if core.outbox.received is not None or core.full:
            return  # its owner is to take the one before first, or has no space; it is sent again
        if core.log.has(*last):
            # "If existing log entry has same index and term as snapshot's last included entry,
            # retain log entries following it" (Figure 13): all of it is here, so nothing is taken.
            core.commit_through(last.index)
        if last.index <= core.commit_index:  # it would take the member back
            core.incoming = None
            self._reply_chunk(chunk, chunk.size, done=True)
            return
        incoming, kept = take_chunk(core.incoming, chunk)
        if incoming is None:
            return
        core.incoming = incoming
        core.outbox.chunks += [] if kept is None else [kept]
        self._reply_chunk(chunk, incoming.received, done=incoming.whole)
        if incoming.whole:
            core.incoming = None
            self._take_snapshot(ReceivedSnapshot(last, chunk.configuration, chunk.size))

    def _take_snapshot(self, snapshot: ReceivedSnapshot) -> None:
        """Let a snapshot stand in for the whole log: "discard the entire log" (Figure 13)."""
        core = self.core
        index = snapshot.last.index
        core.log.reset(snapshot.last)
        core.commit_index = index
        core.outbox.replaced(snapshot)
        core.report(SnapshotReceived(*snapshot.last, snapshot.size))
        core.replace_configuration(index, snapshot.configuration)
        core.settle()

    def _reply_chunk(self, chunk: InstallSnapshot, offset: int, *, done: bool = False) -> None:
        core = self.core
        core.outbox.messages.append(
            InstallSnapshotReply(
                core.member, chunk.sender, core.term, chunk.last_index, offset, done, core.cluster
            )
        )

    # ── reads (Raft §8; thesis §6.4) ────────────────────────────────────────────────────────────

    def ask(self, leader: str, token: int) -> None:
        """Ask ``leader`` as of which index the read ``token`` may be served here."""
        core = self.core
        number = core.asking.ask(token, core.ticks)
        core.outbox.messages.append(
            ReadIndex(core.member, leader, core.term, core.incarnation, number, core.cluster)
        )

    def on_read_index_reply(self, reply: ReadIndexReply) -> None:
        """Take an answer: the read waits on, until its index is committed here.

        Answers to another start of this member are not for any question of this one.
        """
        core = self.core
        if reply.incarnation == core.incarnation:
            failed = core.asking.answered(reply.token, reply.index, core.ticks)
            core.outbox.failed_reads += [] if failed is None else [failed]
            core.release_reads()
