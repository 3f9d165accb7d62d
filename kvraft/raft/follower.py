"""What a follower does: take a leader's entries, take its snapshot, ask it about reads.

A term has at most one leader, so the sender of an AppendEntries or InstallSnapshot of the current
term *is* the leader, and a candidate that hears it gives up (§5.2).

Invariants:

- Entries are dropped only where they conflict with the leader's, and never at or below the commit
  index (Figure 2, "AppendEntries RPC").
- What is acknowledged equals the leader's log, and the answer waits for this member's disk.
- The commit index follows the leader's, but only as far as this log is known to equal the leader's.
- A snapshot is taken only if it covers more than this member knows to be committed.

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
    """One member's part in following a leader."""

    def __init__(self, core: Core) -> None:
        self.core = core

    # ── replication (Raft §5.3) ─────────────────────────────────────────────────────────────────

    def on_append_entries(self, append: AppendEntries) -> None:
        """Take a leader's entries if they follow on ours; else reply where the logs may meet.

        Planted bugs override this.
        """
        core = self.core
        if append.term < core.term:
            # "Reply false if term < currentTerm" (Figure 2), so that a deposed leader learns of it.
            # Round 0: its sender may lead our term by the time it reads this, with another log and
            # other rounds, and must not take it for an answer to an append of that term.
            self._reply_append(append, round=0, success=False)
            return
        if not self._follow_sender(append):
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
        everywhere = min(append.all_replicated_index, match)  # as with the commit index below
        core.all_replicated_index = max(core.all_replicated_index, everywhere)
        # "commitIndex = min(leaderCommit, index of last new entry)": only what this message covers
        # is known to be the leader's.  Later entries here may be of a leader that was deposed.
        core.commit_through(min(append.commit, match))
        self._reply_append(append, success=True, match=match)

    def _follow_sender(self, message: AppendEntries | InstallSnapshot) -> bool:
        """Follow the sender, which leads this term; return false if another member leads it.

        There cannot be two leaders of a term (§5.2), so the second one is at fault or lies.
        """
        core = self.core
        if core.leader not in (None, message.sender) and message.term == core.term:
            core.reject(message, f"{core.leader} leads term {core.term}")
            return False
        # "If AppendEntries RPC received from new leader: convert to follower" (Figure 2), and
        # restart the timer: a leader that is heard is not to be replaced.
        core.follow(message.term, message.sender)
        core.timer.restart()
        core.heard_at = core.ticks
        return True

    def take_entries(self, append: AppendEntries) -> bool:
        """Append the new entries of a leader's message; return whether it can be acknowledged.

        Planted bugs override this.  "If an existing entry conflicts with a new one (same index but
        different terms), delete the existing entry and all that follow it".  *If*: the message may
        be an old one, and the entries that follow may have been acknowledged since.
        """
        core = self.core
        entries, log = append.entries, core.log
        # Entries at or below the base are committed, so they equal the leader's.
        new = max(0, log.first_index - append.prev_index - 1)
        while new < len(entries) and entries[new].index <= log.last_index:
            if log.term(entries[new].index) != entries[new].term:
                break
            new += 1
        entries = entries[new:]
        if not entries:
            return True  # a heartbeat, or a repeated message: all of it is here
        if core.disk_full:
            return False  # no reply: a refusal would only make the leader send them again at once
        # No leader sends the next two (Leader Completeness, §5.4.3; terms never fall along a log).
        # Such a sender is at fault; obeying it would lose what a client takes for committed.
        if entries[0].index <= core.commit_index:
            core.reject(append, f"entry {entries[0].index} conflicts with a committed one")
            return False
        if entries[0].term < log.term(entries[0].index - 1):
            core.reject(append, f"entry {entries[0].index} is of an older term than the one before")
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
        """Gather the chunks of a snapshot; take it once it is whole, if it covers anything new."""
        core = self.core
        if chunk.term < core.term:  # "reply immediately if term < currentTerm" (Figure 13)
            self._reply_chunk(chunk, 0)
            return
        if not self._follow_sender(chunk):
            return
        last = Position(chunk.last_index, chunk.last_term)
        if core.outbox.received is not None or core.disk_full:
            # The owner must take the previous snapshot first, or has no space.  Without a reply the
            # leader sends the chunk again later.
            return
        if core.log.has(*last):
            # "If existing log entry has same index and term as snapshot's last included entry,
            # retain log entries following it" (Figure 13): all of it is here, so nothing is taken.
            core.commit_through(last.index)
        if last.index <= core.commit_index:
            # Taking it would undo committed entries; the leader learns that it need not send more.
            core.incoming = None
            self._reply_chunk(chunk, chunk.size, done=True)
            return
        incoming, kept = take_chunk(core.incoming, chunk)
        if incoming is None:
            return  # a late chunk of a snapshot that its leader has given up
        core.incoming = incoming
        core.outbox.chunks += [] if kept is None else [kept]
        self._reply_chunk(chunk, incoming.received, done=incoming.whole)
        if incoming.whole:
            core.incoming = None
            self._take_snapshot(ReceivedSnapshot(last, chunk.configuration, chunk.size))

    def _take_snapshot(self, snapshot: ReceivedSnapshot) -> None:
        """Replace the whole log with a snapshot: "discard the entire log" (Figure 13).

        This log ends before the snapshot's last entry, or has another entry there: no part of it is
        known to be worth keeping.
        """
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

    def ask_leader(self, leader: str, token: int) -> None:
        """Ask ``leader`` as of which index the read ``token`` may be served here."""
        core = self.core
        number = core.forwarded_reads.ask(token, core.ticks)
        core.outbox.messages.append(
            ReadIndex(core.member, leader, core.term, core.incarnation, number, core.cluster)
        )

    def on_read_index_reply(self, reply: ReadIndexReply) -> None:
        """Take an answer: the read waits until its index is committed here.

        An answer to an earlier start of this member does not answer a question of this one, though
        the tokens may be equal: it would serve a stale read.
        """
        core = self.core
        if reply.incarnation == core.incarnation:
            failed = core.forwarded_reads.answered(reply.token, reply.index, core.ticks)
            core.outbox.failed_reads += [] if failed is None else [failed]
            core.release_reads()
