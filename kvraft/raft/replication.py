"""How a leader copies its log to the others: who is sent what, and what their answers tell.

::

    log ──► send: appends, window by window, or a snapshot ──► followers
                                                                  │
            who holds how much, who was heard, in which round ◄───┘ answers

Every message of a leader names the *round* of heartbeats in which it left, and an answer repeats
it: so the leader knows which of its messages an answer came after, whatever the network did.

Invariants:

- ``next index > match index`` for every follower; match indexes never fall (``raft/progress.py``).
- A follower that lacks what is no longer in the log is sent a snapshot, and only while it is heard.
- In a new round everybody is sent something, if only a heartbeat.
- Whoever leaves the configuration is sent the log until it knows that, or falls silent.

What follows from the answers (commitment, reads, changes of members) is for ``raft/leader.py``; the
methods here return what is new.

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

_PATIENCE = 20  # election timeouts that a snapshot in part waits for a silent follower


class News(NamedTuple):
    """What an answer told: a later ``round`` is answered, the follower ``holds_more``."""

    round: bool
    holds_more: bool


class Replication:
    """What the leader of one term knows of its followers."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.members: tuple[str, ...] = ()
        self.progress: dict[str, Progress] = {}
        """Of everyone who is sent the log; a few of them may have left already."""
        self.round = 0
        """The latest round of heartbeats; the first is 1."""
        self.round_due = True
        """Whether a round is to begin with the next Ready.  Everybody is to hear a new leader."""
        self.round_commit = 0
        """The commit index when the latest round began."""
        self._looked = core.ticks  # when it was checked last that a quorum is heard
        self._snapshots = 0  # how many were begun to be sent

    def watch_members(self) -> None:
        """Keep track of everyone in the configuration in force.

        Who leaves is sent the log for a little longer, so that it hears of it: else it would take
        the silence for a dead leader, and ask for votes for ever (§6).  One that needs a snapshot
        first would not have it in that time, and is let go at once, with the tables and the log
        that the snapshot keeps.
        """
        core, before = self.core, self.progress
        self.members = core.configuration.members
        # "nextIndex: initialized to leader last log index + 1" (Figure 2)
        self.progress = {
            name: before.get(name) or Progress(next=core.log.last_index + 1)
            for name in self.members
            if name != core.member
        }
        if not before.keys() >= self.progress.keys():
            self.round_due = True  # newcomers are to hear at once
        for name, progress in before.items():
            left = name not in self.members
            behind = progress.match < core.configuration_index
            if left and behind and progress.state is not ProgressState.SNAPSHOT:
                self.progress[name] = progress

    def forget_if_left(self, name: str) -> None:
        """Send ``name`` no more if it has left, and holds the entry that says so."""
        progress = self.progress.get(name)
        if progress is None or name in self.members:
            return
        if progress.match >= self.core.configuration_index:
            del self.progress[name]

    # ── who is heard (thesis §6.2) ──────────────────────────────────────────────────────────────

    def hears_quorum(self) -> bool:
        """Return whether a quorum was heard since this was last asked."""
        core = self.core
        heard = {name: self._active(progress) for name, progress in self.progress.items()}
        heard[core.member] = True
        for name in list(self.progress):
            if name not in self.members:  # it left, and had time to hear so
                del self.progress[name]
        long_ago = core.ticks - _PATIENCE * core.options.election_ticks
        for progress in self.progress.values():
            if progress.state is ProgressState.SNAPSHOT and not progress.heard_since(long_ago + 1):
                progress.begin(ProgressState.PROBE)  # let go of it: it keeps log and tables
        self._looked = core.ticks
        return vote_result(core.configuration, heard) is True

    def heard_lately(self, name: str) -> bool:
        """Whether a member was heard within an election timeout; this one always is."""
        core = self.core
        since = core.ticks - core.options.election_ticks + 1
        progress = self.progress.get(name)
        return name == core.member or (progress is not None and progress.heard_since(since))

    def _active(self, progress: Progress) -> bool:
        """Whether a follower was heard since this was last checked of a quorum."""
        return progress.heard_since(self._looked)

    # ── sending (Raft §5.3, §7; thesis §10.2) ───────────────────────────────────────────────────

    def wants_to_send(self) -> bool:
        """Return whether :meth:`send` would send anything."""
        return self.round_due or any(
            self._has_news(*follower) for follower in self.progress.items()
        )

    def begin_round(self) -> None:
        """Begin a round of heartbeats: all that is sent from now on belongs to it."""
        self.round += 1
        self.round_due = False
        self.round_commit = self.core.commit_index

    def send(self, *, to_all: bool) -> None:
        """Send what is new to each follower; and ``to_all`` the others a heartbeat."""
        for name, progress in self.progress.items():
            if self._has_news(name, progress):
                while self._has_news(name, progress):
                    self._send_content(name, progress)
            elif to_all:
                self._send_heartbeat(name, progress)

    def _has_news(self, name: str, progress: Progress) -> bool:
        """Return whether there is something to send to a follower, and it may be sent now."""
        log, base = self.core.log, self.core.log.base
        gone = progress.next <= base.index and progress.last_sent < base.index
        if gone and progress.state is not ProgressState.SNAPSHOT:
            # The next entry is gone: whatever is on its way, only a snapshot can follow on it (§7).
            # It is opened once the follower is heard, for it keeps tables from being removed.  Who
            # has left is sent none: it is let go before it could have all of it.
            if name not in self.members:
                return False
            snapshot = self.core.snapshot
            return self._active(progress) and snapshot is not None and snapshot.last >= base
        if progress.paused(self.core.options.window):
            return False
        return progress.state is ProgressState.SNAPSHOT or progress.next <= log.last_index

    def _send_heartbeat(self, to: str, progress: Progress) -> None:
        """Send an append without entries.

        It follows on the last entry sent: if that one was lost, the answer will tell.
        """
        in_log = progress.next > self.core.log.base.index
        self._send_append(to, progress.next - 1 if in_log else 0, ())

    def _send_content(self, to: str, progress: Progress) -> None:
        """Send the next entries, or the next chunk of a snapshot if the log begins after them."""
        log, offer = self.core.log, self.core.snapshot
        if (
            progress.state is not ProgressState.SNAPSHOT
            and progress.next <= log.base.index
            and offer
        ):
            progress.begin(ProgressState.SNAPSHOT)
            progress.snapshot = offer.open()
            self._snapshots += 1
            progress.number = self._snapshots
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
            core.replicated,
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
            progress.number,
            core.cluster,
        )
        core.outbox.early.append(chunk)
        progress.sent(snapshot.last.index)
        progress.sent_round = self.round

    def log_begins_after(self, base: int) -> None:
        """Entries through ``base`` are gone.

        A follower that has said nothing yet may hold all that is gone, so it is asked from there
        on; only one that refuses needs a snapshot.
        """
        for progress in self.progress.values():
            if progress.state is ProgressState.PROBE and progress.match == 0:
                progress.next = max(progress.next, base + 1)

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────

    def on_append_reply(self, reply: AppendEntriesReply) -> News | None:
        """Note what a follower has, or where to try next (§5.3); ``None`` if that means nothing."""
        core, progress = self.core, self.progress.get(reply.sender)
        if progress is None or reply.round == 0:  # a stranger; or it answers an older term
            return None
        last = core.log.last_index
        if max(reply.match, reply.prev_index) > last or reply.round > self.round:
            # Nobody holds what this leader never had.  Counted, it would commit what nobody saved.
            what = f"it holds {reply.match} in round {reply.round}, and I have {last}, {self.round}"
            core.refuse(reply, what)
            return None
        progress.last_heard = core.ticks
        before, match = progress.state, progress.match
        if reply.success:  # "update nextIndex and matchIndex for follower" (Figure 2)
            progress.matched(reply.match, self.round)
            if progress.state is ProgressState.SNAPSHOT:
                self._nudge(progress, reply.round)
        else:  # "decrement nextIndex and retry"
            self._look_for_loss(reply, progress)
            # Skip all entries of a conflicting term at once, never below what is known to match.
            meet = core.log.find_conflict_by_term(reply.hint_term, reply.hint_index)
            progress.rejected(reply.prev_index, meet)
        if progress.state is not before:
            self._report(reply.sender, progress)
        answered = reply.round > progress.round
        if answered:
            progress.round = reply.round
        return News(answered, progress.match > match)

    def _look_for_loss(self, reply: AppendEntriesReply, progress: Progress) -> None:
        """Report, once, a follower that no longer holds what it acknowledged as durable.

        Its match index stays: others were told that it holds this, and a majority may rest on it.
        As it refuses whatever follows, it counts for nothing new.
        """
        if not progress.lost_entries and progress.retracts_acknowledgement(
            reply.prev_index, reply.round
        ):
            progress.lost_entries = True
            self.core.report(
                AcknowledgedEntriesLost(reply.sender, progress.match, reply.hint_index)
            )

    def _nudge(self, progress: Progress, round: int) -> None:
        """A follower is alive.  If it has not answered a chunk from before, that one was lost."""
        if progress.match >= self.core.log.base.index:  # it caught up some other way
            progress.begin(ProgressState.REPLICATE)
        elif progress.in_flight and round > progress.sent_round:
            progress.in_flight.clear()

    def on_snapshot_reply(self, reply: InstallSnapshotReply) -> bool:
        """A follower took a chunk, or all of them (§7); return whether it holds more now."""
        progress = self.progress.get(reply.sender)
        if progress is None:
            return False
        progress.last_heard = self.core.ticks
        snapshot = progress.snapshot
        if snapshot is None or snapshot.last.index != reply.last_index:
            return False
        if reply.done:
            progress.begin(ProgressState.REPLICATE)
            progress.matched(reply.last_index, self.round)
            self._report(reply.sender, progress)
            return True
        if progress.in_flight and reply.offset == progress.offset:
            return False  # the chunk is on its way: this answers one that was sent twice
        if reply.offset <= snapshot.size:
            progress.offset = reply.offset  # where it wants to go on, whatever we thought
            progress.in_flight.clear()
        return False

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    def match(self) -> dict[str, int]:
        """Return the index through which each member's disk holds the log, this one's included."""
        match = {name: progress.match for name, progress in self.progress.items()}
        match[self.core.member] = self.core.durable_index
        return match

    def rounds(self) -> dict[str, int]:
        """Return the latest round that each member answered; this one answers at once."""
        rounds = {name: progress.round for name, progress in self.progress.items()}
        rounds[self.core.member] = self.round
        return rounds

    def followers(self) -> dict[str, FollowerStatus]:
        """Return what is known of each follower."""
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
