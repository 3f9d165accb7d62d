"""How a leader copies its log to the others: what each is sent, and what their answers mean.

::

    log ──► send: appends, window by window, or a snapshot ──► followers
                                                                  │
     match indexes, who was heard, rounds that are answered ◄─────┘ answers

Every append names the *round* of heartbeats in which it left, and the answer repeats it: so the
leader knows which of its messages an answer came after, whatever the network did.

Invariants:

- ``next index > match index`` for every follower; match indexes never fall (``raft/progress.py``).
- A follower that lacks what is no longer in the log is sent a snapshot, and only while it is heard.
- In a new round every member is sent something, if only a heartbeat.
- A member that leaves the configuration is sent the log until it knows that, or falls silent.

``raft/leader.py`` draws the conclusions (commitment, reads, changes of members) from what the
methods here return.

Sources: Raft §5.3, §7, Figures 2 and 13; thesis §4.2.2, §10.2.1.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from kvraft.events import AcknowledgedEntriesLost, ProgressChanged
from kvraft.raft.core import Core
from kvraft.raft.interface import FollowerStatus
from kvraft.raft.log import Snapshot
from kvraft.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
)
from kvraft.raft.progress import Progress, ProgressState
from kvraft.raft.quorum import vote_result
from kvraft.record import Entry

_SNAPSHOT_PATIENCE = 20  # election timeouts for which a snapshot waits for a silent follower


class News(NamedTuple):
    """What is new in an answer: a later ``round`` is answered, the follower ``holds_more``."""

    round: bool
    holds_more: bool


class Replication:
    """What the leader of one term knows of its followers."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.members: tuple[str, ...] = ()
        self.progress: dict[str, Progress] = {}
        """Each member that is sent the log, some of which may have left the configuration."""
        self.round = 0
        """The latest round of heartbeats; the first is 1."""
        self.round_due = True
        """Whether the next Ready begins a round: so the others hear of a new leader at once."""
        self.round_commit = 0
        """The commit index when the latest round began."""
        self.raised = 0
        """How often a match index rose."""
        self.turned = 0
        """How often anything else changed that decides what a follower is sent next."""
        self._quorum_checked = core.ticks  # the tick of the last check that a quorum is heard
        self._snapshots = 0  # how many snapshots this leadership began to send

    def watch_members(self) -> None:
        """Track the members of the configuration in force, and for a while those who left it.

        A member that leaves is sent the log until it holds the entry that removes it, for an
        election timeout at most: otherwise it would take the silence for a dead leader, and ask for
        votes again and again (§6).  It never learns that the entry is committed, and need not: a
        member goes by the newest configuration in its log, committed or not.  One that needs a
        snapshot first would not get it in that time; it is dropped at once, which releases the
        tables and the log that the snapshot pins.
        """
        core, before = self.core, self.progress
        self.turned += 1
        self.members = core.configuration.members
        # "nextIndex: initialized to leader last log index + 1" (Figure 2)
        self.progress = {
            name: before.get(name) or Progress(next=core.log.last_index + 1)
            for name in self.members
            if name != core.member
        }
        if not before.keys() >= self.progress.keys():
            self.round_due = True  # newcomers hear from their leader at once
        for name, progress in before.items():
            left = name not in self.members
            unaware = progress.match < core.configuration_index
            if left and unaware and progress.state is not ProgressState.SNAPSHOT:
                self.progress[name] = progress

    def forget_if_left(self, name: str) -> None:
        """Stop sending to ``name`` if it has left, and holds the entry that removed it."""
        progress = self.progress.get(name)
        if progress is None or name in self.members:
            return
        if progress.match >= self.core.configuration_index:
            del self.progress[name]
            self.turned += 1

    # ── who is heard (thesis §6.2) ──────────────────────────────────────────────────────────────

    def hears_quorum(self) -> bool:
        """Return whether a quorum was heard since the last call; drop what is no longer worth it.

        That is members that left, and snapshots for followers that have long been silent.  The
        leader calls this once in an election timeout.
        """
        core = self.core
        heard = {name: self._active(progress) for name, progress in self.progress.items()}
        heard[core.member] = True
        for name in list(self.progress):
            if name not in self.members:  # it had an election timeout to learn that it left
                del self.progress[name]
                self.turned += 1
        long_ago = core.ticks - _SNAPSHOT_PATIENCE * core.options.election_ticks
        for name, progress in self.progress.items():
            if progress.state is ProgressState.SNAPSHOT and not progress.heard_since(long_ago + 1):
                # Close the snapshot: an open one keeps log and tables from being removed.
                progress.begin(ProgressState.PROBE)
                self.turned += 1
                self._report(name, progress)
        self._quorum_checked = core.ticks
        return vote_result(core.configuration, heard) is True

    def heard_recently(self, name: str) -> bool:
        """Return whether a member was heard within an election timeout; this one always is."""
        core = self.core
        since = core.ticks - core.options.election_ticks + 1
        progress = self.progress.get(name)
        return name == core.member or (progress is not None and progress.heard_since(since))

    def _active(self, progress: Progress) -> bool:
        """Whether a follower was heard since the last check of the quorum."""
        return progress.heard_since(self._quorum_checked)

    # ── sending (Raft §5.3, §7; thesis §10.2) ───────────────────────────────────────────────────

    def wants_to_send(self) -> bool:
        """Return whether :meth:`send` would send anything."""
        progress = self.progress
        return self.round_due or any(map(self._has_news, progress, progress.values()))

    def begin_round(self) -> None:
        """Begin a round of heartbeats: everything sent from now on belongs to it."""
        self.round += 1
        self.round_due = False
        self.round_commit = self.core.commit_index

    def send(self, *, to_all: bool) -> None:
        """Send news to each follower, and a heartbeat to the others if ``to_all``."""
        for name, progress in self.progress.items():
            silent = to_all
            while self._has_news(name, progress):
                self._send_content(name, progress)
                silent = False
            if silent:
                self._send_heartbeat(name, progress)

    def _has_news(self, name: str, progress: Progress) -> bool:
        """Return whether there is something to send to a follower, and it may be sent now."""
        core = self.core
        log, state = core.log, progress.state
        if progress.next > log.last_index and state is not ProgressState.SNAPSHOT:
            return False  # most often: it has been sent everything
        base = log.base
        gone = progress.next <= base.index and progress.last_sent < base.index
        if gone and state is not ProgressState.SNAPSHOT:
            # The next entry is gone: whatever is in flight, only a snapshot can follow on it (§7).
            # It is opened once the follower is heard, because it keeps tables from being removed.
            # A member that left is sent none: it is dropped before it could receive all of it.
            if name not in self.members:
                return False
            snapshot = core.snapshot
            return self._active(progress) and snapshot is not None and snapshot.last >= base
        return not progress.paused(core.options.window)

    def _send_heartbeat(self, to: str, progress: Progress) -> None:
        """Send an append without entries, which shows that this leader is alive (§5.2).

        It follows on the last entry sent: if that entry was lost, the follower refuses.
        """
        in_log = progress.next > self.core.log.base.index
        self._send_append(to, progress.next - 1 if in_log else 0, ())

    def _send_content(self, to: str, progress: Progress) -> None:
        """Send the next entries, or the next chunk of a snapshot if the log begins after them."""
        log, source = self.core.log, self.core.snapshot
        gone = progress.next <= log.base.index
        if gone and source and progress.state is not ProgressState.SNAPSHOT:
            # "The leader must occasionally send snapshots to followers that lag behind", which
            # happens "when the leader has already discarded the next log entry" (§7).
            progress.begin(ProgressState.SNAPSHOT)
            progress.snapshot = source.open()
            self._snapshots += 1
            progress.snapshot_number = self._snapshots
            self.turned += 1
            self._report(to, progress)
        if progress.snapshot is not None:
            self._send_chunk(to, progress, progress.snapshot)
            return
        entries = log.batch(progress.next, self.core.options.max_batch_bytes)
        self._send_append(to, progress.next - 1, entries)
        progress.sent(entries[-1].index)

    def _send_append(self, to: str, previous: int, entries: tuple[Entry, ...]) -> None:
        core = self.core
        append = AppendEntries(
            core.member,
            to,
            core.term,
            previous,
            core.log.term(previous) if previous else 0,
            entries,
            core.commit_index,
            core.all_replicated_index,
            self.round,
            core.cluster,
        )
        # Early: followers write to their disks while this leader writes to its own, one latency
        # instead of two (thesis §10.2.1).  It counts itself only once its own disk is done.
        core.outbox.early.append(append)

    def _send_chunk(self, to: str, progress: Progress, snapshot: Snapshot) -> None:
        core = self.core
        data = snapshot.read(progress.offset, core.options.max_batch_bytes)
        chunk = InstallSnapshot(
            core.member,
            to,
            core.term,
            *snapshot.last,
            snapshot.configuration,
            snapshot.size,
            progress.offset,
            data,
            zlib.crc32(data),
            progress.snapshot_number,
            core.cluster,
        )
        core.outbox.early.append(chunk)
        progress.sent(snapshot.last.index)
        progress.sent_round = self.round

    def log_begins_after(self, base: int) -> None:
        """Note that the entries through ``base`` are no longer in the log.

        A follower that has not answered yet may hold all of them, so it is probed after ``base``;
        only one that refuses needs a snapshot.
        """
        for progress in self.progress.values():
            if progress.state is ProgressState.PROBE and progress.match == 0:
                progress.next = max(progress.next, base + 1)
                self.turned += 1

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────

    def on_append_reply(self, reply: AppendEntriesReply) -> News | None:
        """Record what a follower holds, or where to try next (§5.3); return what is new.

        ``None`` is returned for a reply that means nothing.
        """
        core, progress = self.core, self.progress.get(reply.sender)
        if progress is None or reply.round == 0:
            return None  # no member, or an answer to an append of an older term (see follower.py)
        last = core.log.last_index
        if max(reply.match, reply.prev_index) > last or reply.round > self.round:
            # No follower holds what this leader never had.  If the reply counted, entries would be
            # committed that no member saved.
            what = f"it holds {reply.match} in round {reply.round}, and I have {last}, {self.round}"
            core.reject(reply, what)
            return None
        progress.last_heard = core.ticks
        before, match = progress.state, progress.match
        if reply.success:  # "update nextIndex and matchIndex for follower" (Figure 2)
            progress.matched(reply.match, self.round)
            if progress.state is ProgressState.SNAPSHOT:
                self._resume_snapshot(progress, reply.round)
        else:  # "if AppendEntries fails …: decrement nextIndex and retry" (Figure 2)
            self._detect_loss(reply, progress)
            # Skip all entries of a conflicting term at once, never below what is known to match.
            meet = core.log.find_conflict_by_term(reply.hint_term, reply.hint_index)
            self.turned += progress.rejected(reply.prev_index, meet)
        if progress.state is not before:
            self.turned += 1
            self._report(reply.sender, progress)
        self.raised += progress.match > match
        answered = reply.round > progress.round
        if answered:
            progress.round = reply.round
        return News(answered, progress.match > match)

    def _detect_loss(self, reply: AppendEntriesReply, progress: Progress) -> None:
        """Report, once, a follower that no longer holds what it acknowledged as durable.

        Its match index stays: entries may have been committed because of it.  As it refuses
        whatever follows, it counts for nothing new.
        """
        if not progress.lost_entries and progress.retracts_acknowledgement(
            reply.prev_index, reply.round
        ):
            progress.lost_entries = True
            self.core.report(
                AcknowledgedEntriesLost(reply.sender, progress.match, reply.hint_index)
            )

    def _resume_snapshot(self, progress: Progress, round: int) -> None:
        """Send a chunk again if it was lost: its follower answered a later heartbeat, but not it.

        A follower that caught up some other way needs no snapshot any longer.
        """
        if progress.match >= self.core.log.base.index:
            progress.begin(ProgressState.REPLICATE)
        elif progress.in_flight and round > progress.sent_round:
            progress.in_flight.clear()

    def on_snapshot_reply(self, reply: InstallSnapshotReply) -> bool:
        """Record that a follower took a chunk, or all (§7); return whether it holds more now."""
        progress = self.progress.get(reply.sender)
        if progress is None:
            return False
        progress.last_heard = self.core.ticks
        self.turned += 1
        snapshot = progress.snapshot
        if snapshot is None or snapshot.last.index != reply.last_index:
            return False  # it answers a chunk of a snapshot that is over
        if reply.done:
            progress.begin(ProgressState.REPLICATE)
            progress.matched(reply.last_index, self.round)
            self._report(reply.sender, progress)
            return True
        if progress.in_flight and reply.offset == progress.offset:
            return False  # the chunk at this offset is in flight: the one before it came twice
        if reply.offset <= snapshot.size:
            progress.offset = reply.offset  # the follower knows best: it may have restarted
            progress.in_flight.clear()
        return False

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    def match(self) -> dict[str, int]:
        """Return the index through which each member holds the log durably, this one included."""
        match = {name: progress.match for name, progress in self.progress.items()}
        match[self.core.member] = self.core.durable_index
        return match

    def rounds(self) -> dict[str, int]:
        """Return the latest round that each member answered; this one answers at once."""
        rounds = {name: progress.round for name, progress in self.progress.items()}
        rounds[self.core.member] = self.round
        return rounds

    def followers(self) -> dict[str, FollowerStatus]:
        """Return what this leader knows of each follower."""
        return {
            name: FollowerStatus(
                p.state.value,
                p.next,
                p.match,
                len(p.in_flight),
                self._active(p),
                p.snapshot.last.index if p.snapshot else 0,
                p.last_sent,
                p.lost_entries,
            )
            for name, p in self.progress.items()
        }

    def _report(self, name: str, progress: Progress) -> None:
        state = progress.state.value
        self.core.report(ProgressChanged(name, state, progress.next, progress.match))
