"""What a leader does and knows: "volatile state on leaders, reinitialized after election".

A :class:`Leader` is made when its member wins an election and dropped when it steps down, so that
nothing of one leadership is ever mistaken for another's.  What outlives leadership (term, log,
commit index, the fate of proposals) belongs to :class:`~kvraft.raft.Raft`, whose part this is.

::

    propose ──► log ──► send: appends, window by window ──► followers
                             │                                  │ replies
                 commit ◄── count: match indexes of a quorum ◄──┘

Invariants:

- It only appends to its log (Figure 3, "leader append-only").
- ``next index > match index`` for every follower; match indexes never fall.
- An entry counts for a member, this one included, only once it is durable there.
- A read waits for a heartbeat round that begins after it was asked for, unless the lease holds, and
  no longer than ``election_ticks``.
- Nobody becomes a voter, and no change of voters begins, on the word of members that are silent.

Sources: Raft Figure 2 ("rules for servers: leaders"), §5.3, §5.4.2, §6, §7, §8; thesis §3.10,
§4.2, §6.2, §6.4, §10.2.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import TYPE_CHECKING

from kvraft.contract import FollowerStatus
from kvraft.errors import BadInput, Busy
from kvraft.events import LogLost, ProgressChanged, TransferBegan, TransferEnded
from kvraft.log import Snapshot
from kvraft.membership import Configuration, committed_index, vote_result
from kvraft.messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    TimeoutNow,
)
from kvraft.progress import Progress, State
from kvraft.reads import Asker, Reads, Waiting
from kvraft.record import NOOP, Entry, configuration_record

if TYPE_CHECKING:
    from kvraft.raft import Raft

_PATIENCE = 20  # election timeouts that a snapshot in part waits for a silent follower


class Leader:
    """The leadership of one member for one term; ``raft`` is the member."""

    def __init__(self, raft: Raft) -> None:
        self._raft = raft
        self._options = raft.options
        self._members: tuple[str, ...] = ()
        self._progress: dict[str, Progress] = {}
        self._reads = Reads()
        self._round = 0
        self._round_due = True  # everybody is to hear of the new leader
        self._round_ticks: deque[tuple[int, int]] = deque()  # when rounds not answered began
        self._round_commit = 0  # the commit index when the latest round began
        self._lease_ticks = self._options.lease_ticks
        self._leased_at: int | None = None  # when the latest answered round began
        self._elapsed = 0  # ticks since the last heartbeat
        self._quiet_ticks = 0  # since it was checked that a quorum is heard
        self._looked = raft.ticks  # when that was
        self._snapshots = 0  # how many were begun to be sent
        self._transfer_ticks = 0
        self.transfer: str | None = None
        """Whom leadership is being handed to."""
        self.watch_members()
        # A no-op of the new term lets older entries commit, and tells how far they do (§5.4.2, §8).
        self.noop_index = raft.log.last_index + 1
        raft.log.append([Entry(raft.term, self.noop_index, NOOP)])

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Let one tick pass: heartbeats, and a look at whether a quorum still answers."""
        self._elapsed += 1
        self._quiet_ticks += 1
        self._transfer_ticks += 1
        if self.transfer and self._transfer_ticks >= self._options.election_ticks:
            self._end_transfer("it was not elected in time")
            if self._raft.leading is not self:
                return
        for waiting in self._reads.give_up(self._raft.ticks - self._options.election_ticks):
            self._raft.fail_read(waiting)
        if self._quiet_ticks >= self._options.election_ticks:
            self._quiet_ticks = 0
            if not self._hears_quorum() and self._options.check_quorum:
                self._raft.step_down()  # others may lead by now (thesis §6.2)
                return
        if self._elapsed >= self._options.heartbeat_ticks:
            self.heartbeat()

    def heartbeat(self) -> None:
        """Begin a round of heartbeats with the next Ready."""
        self._elapsed = 0
        self._round_due = True

    def _hears_quorum(self) -> bool:
        """Return whether a quorum was heard since this was last asked."""
        heard = {name: self._active(progress) for name, progress in self._progress.items()}
        heard[self._raft.member] = True
        for name in list(self._progress):
            if name not in self._members:  # it left, and had time to hear so
                del self._progress[name]
        long_ago = self._raft.ticks - _PATIENCE * self._options.election_ticks
        for progress in self._progress.values():
            if progress.state is State.SNAPSHOT and not progress.heard_since(long_ago + 1):
                progress.begin(State.PROBE)  # let go of it: it keeps log and tables
        self._looked = self._raft.ticks
        return vote_result(self._raft.configuration, heard) is True

    def _active(self, progress: Progress) -> bool:
        """Whether a follower was heard since this was last checked of a quorum."""
        return progress.heard_since(self._looked)

    # ── sending (Raft §5.3, §7; thesis §10.2) ───────────────────────────────────────────────────

    def wants_to_send(self) -> bool:
        """Return whether :meth:`send` would send anything."""
        return (
            self._round_due
            or self._reads.want(self._round)
            or any(self._has_news(*follower) for follower in self._progress.items())
        )

    def send(self) -> None:
        """Send what is new to each follower; in a new round, send something to everybody."""
        new_round = self._round_due or self._reads.want(self._round)
        if new_round:  # one round serves all reads that gathered
            self._begin_round()
        for name, progress in self._progress.items():
            if self._has_news(name, progress):
                while self._has_news(name, progress):
                    self._send_content(name, progress)
            elif new_round:
                self._send_heartbeat(name, progress)

    def _begin_round(self) -> None:
        self._round += 1
        self._round_due = False
        self._round_commit = self._raft.commit_index
        if self._lease_ticks:
            self._round_ticks.append((self._round, self._raft.ticks))
        self._confirm_round()

    def _has_news(self, name: str, progress: Progress) -> bool:
        """Return whether there is something to send to a follower, and it may be sent now."""
        log, snapshot = self._raft.log, self._raft.snapshot
        reach = max(progress.next, progress.last_sent + 1)
        if progress.state is not State.SNAPSHOT and reach <= log.base.index:
            # The next entry is gone: whatever is on its way, only a snapshot can follow on it.  It
            # is opened once the follower is heard, for it keeps tables from being removed.  Who
            # has left is sent none: it is let go before it could have all of it.
            if name not in self._members:
                return False
            return self._active(progress) and snapshot is not None and snapshot.last >= log.base
        if progress.paused(self._options.window):
            return False
        return progress.state is State.SNAPSHOT or progress.next <= log.last_index

    def _send_heartbeat(self, to: str, progress: Progress) -> None:
        """Send an append without entries.

        It follows on the last entry sent: if that one was lost, the answer will tell.
        """
        in_log = progress.next > self._raft.log.base.index
        self._send_append(to, progress.next - 1 if in_log else 0, ())

    def _send_content(self, to: str, progress: Progress) -> None:
        """Send the next entries, or the next chunk of a snapshot if the log begins behind them."""
        log = self._raft.log
        offer = self._raft.snapshot
        if progress.state is not State.SNAPSHOT and progress.next <= log.base.index and offer:
            progress.begin(State.SNAPSHOT)
            progress.snapshot = offer.open()
            self._snapshots += 1
            progress.number = self._snapshots
            self._report_progress(to, progress)
        if progress.snapshot is not None:
            self._send_chunk(to, progress, progress.snapshot)
            return
        entries = log.batch(progress.next, self._options.max_batch_bytes)
        self._send_append(to, progress.next - 1, entries)
        progress.sent(entries[-1].index)

    def _send_append(self, to: str, previous: int, entries: tuple[Entry, ...]) -> None:
        raft = self._raft
        append = AppendEntries(
            raft.member,
            to,
            raft.term,
            previous,
            raft.log.term(previous) if previous else 0,
            entries,
            raft.commit_index,
            raft.replicated,
            self._round,
            raft.cluster,
        )
        raft.post_early(append)

    def _send_chunk(self, to: str, progress: Progress, snapshot: Snapshot) -> None:
        raft = self._raft
        data = snapshot.read(progress.offset, self._options.max_batch_bytes)
        chunk = InstallSnapshot(
            raft.member,
            to,
            raft.term,
            *snapshot.last,
            snapshot.configuration,
            snapshot.size,
            progress.offset,
            data,
            zlib.crc32(data),
            progress.number,
            raft.cluster,
        )
        raft.post_early(chunk)
        progress.sent(snapshot.last.index)
        progress.sent_round = self._round

    def follow_cut(self, base: int) -> None:
        """The log begins behind ``base`` now.

        A follower that has said nothing yet may hold all that is gone, so it is asked from there
        on; only one that refuses needs a snapshot.
        """
        for progress in self._progress.values():
            if progress.state is State.PROBE and progress.match == 0:
                progress.next = max(progress.next, base + 1)

    # ── hearing from followers ──────────────────────────────────────────────────────────────────

    def on_append_reply(self, reply: AppendEntriesReply) -> None:
        """Note what a follower has, or where to try next (§5.3)."""
        progress = self._progress.get(reply.sender)
        if progress is None or reply.round == 0:
            return
        last = self._raft.log.last_index
        if max(reply.match, reply.prev_index) > last or reply.round > self._round:
            what = (
                f"it holds {reply.match} in round {reply.round}, and I have {last}, {self._round}"
            )
            self._raft.refuse(reply, what)
            return
        progress.heard = self._raft.ticks
        before, match = progress.state, progress.match
        if reply.success:
            progress.matched(reply.match, self._round)
            if progress.state is State.SNAPSHOT:
                self._nudge(progress, reply.round)
        else:
            # Skip all entries of a conflicting term at once, never below what is known to match.
            self._look_for_loss(reply, progress)
            meet = self._raft.log.last_not_above(reply.hint_term, reply.hint_index)
            progress.refused(reply.prev_index, meet)
        if progress.state is not before:
            self._report_progress(reply.sender, progress)
        if reply.round > progress.round:
            progress.round = reply.round
            self._confirm_round()
        if progress.match > match:
            self._moved(reply.sender)
        if reply.sender not in self._members and progress.match >= self._raft.configuration_index:
            self._progress.pop(reply.sender, None)  # it knows now that it left

    def _look_for_loss(self, reply: AppendEntriesReply, progress: Progress) -> None:
        """Report, once, a follower that no longer holds what it acknowledged as durable.

        Its match index stays: others were told that it holds this, and a majority may rest on it.
        As it refuses whatever follows, it counts for nothing new.
        """
        if not progress.lost and progress.takes_back(reply.prev_index, reply.round):
            progress.lost = True
            self._raft.report(LogLost(reply.sender, progress.match, reply.hint_index))

    def _nudge(self, progress: Progress, round: int) -> None:
        """A follower is alive.  If it has not answered a chunk from before, that one was lost."""
        if progress.match >= self._raft.log.base.index:  # it caught up some other way
            progress.begin(State.REPLICATE)
        elif progress.in_flight and round > progress.sent_round:
            progress.in_flight.clear()

    def on_snapshot_reply(self, reply: InstallSnapshotReply) -> None:
        """A follower took a chunk, or all of them (§7)."""
        progress = self._progress.get(reply.sender)
        if progress is None:
            return
        progress.heard = self._raft.ticks
        snapshot = progress.snapshot
        if snapshot is None or snapshot.last.index != reply.last_index:
            return
        if reply.done:
            progress.begin(State.REPLICATE)
            progress.matched(reply.last_index, self._round)
            self._report_progress(reply.sender, progress)
            self._moved(reply.sender)
        elif progress.in_flight and reply.offset == progress.offset:
            return  # it is on its way: this answers a chunk that was sent twice
        elif reply.offset <= snapshot.size:
            progress.offset = reply.offset  # where it wants to go on, whatever we thought
            progress.in_flight.clear()

    def _moved(self, name: str) -> None:
        """A follower holds more than before."""
        self.count()
        if self._raft.leading is self and name == self.transfer:
            self._order_election(name)

    def _report_progress(self, name: str, progress: Progress) -> None:
        state = progress.state.value
        self._raft.report(ProgressChanged(name, state, progress.next, progress.match))

    # ── commitment (Raft §5.3, §5.4.2) ──────────────────────────────────────────────────────────

    def count(self) -> None:
        """Commit what a quorum holds, as far as the rule of commitment allows."""
        raft = self._raft
        match = {name: progress.match for name, progress in self._progress.items()}
        match[raft.member] = raft.durable_index
        raft.note_replicated(min(match[name] for name in self._members))
        commit, term = raft.commit_index, raft.term
        index = raft.advance_commit(commit, term, match, raft.configuration, raft.log)
        if index > commit:
            raft.commit_through(index)
            self._confirm_round()
            self._finish_change()

    # ── membership and transfer (Raft §6; thesis §3.10, §4) ─────────────────────────────────────

    def watch_members(self) -> None:
        """Keep track of everyone in the configuration in force.

        Who leaves is sent the log for a little longer, so that it hears of it: else it would take
        the silence for a dead leader, and ask for votes for ever.  One that needs a snapshot first
        would not have it in that time, and is let go at once, with the tables and the log that the
        snapshot keeps.
        """
        raft = self._raft
        before = self._progress
        self._members = raft.configuration.members
        self._progress = {
            name: before.get(name) or Progress(next=raft.log.last_index + 1)
            for name in self._members
            if name != raft.member
        }
        if not before.keys() >= self._progress.keys():
            self._round_due = True  # newcomers are to hear at once
        for name, progress in before.items():
            left = name not in self._members
            behind = progress.match < raft.configuration_index
            if left and behind and progress.state is not State.SNAPSHOT:
                self._progress[name] = progress
        if self.transfer is not None and self.transfer not in raft.configuration.voting:
            self._end_transfer("it is not a voter any more")

    def check_change(self, change: Configuration) -> None:
        """Raise :class:`~kvraft.errors.Busy` unless ``change`` may begin now.

        Who is to vote must have caught up as a learner, or committing would wait for it (thesis
        §4.2.1): it must hold what was committed when the latest heartbeat was sent, and have been
        heard within ``election_ticks``.  So must a majority of the new voters, or nothing could be
        committed any more, this change included.  :class:`~kvraft.errors.BadInput` is raised for a
        newcomer that is not a learner, or lost its log.
        """
        raft = self._raft
        if raft.commit_index < self.noop_index:
            raise Busy(f"{raft.member} leads term {raft.term}, but has committed nothing in it yet")
        for name in change.voters:
            if name in change.outgoing or name in raft.configuration.voters or name == raft.member:
                continue
            progress = self._progress.get(name)
            if progress is None:
                raise BadInput(f"{name} cannot vote before it caught up: add it as a learner first")
            if progress.lost:
                raise BadInput(f"{name} cannot vote: it lost entries that it had acknowledged")
            if progress.match < max(1, self._round_commit):
                raise Busy(
                    f"{name} cannot vote yet: it holds the log through {progress.match} of "
                    f"{self._round_commit}"
                )
            if not self._heard_lately(name):
                raise Busy(f"{name} cannot vote yet: it has not been heard for a while")
        heard = {name: self._heard_lately(name) for name in change.voters}
        if not vote_result(Configuration(change.voters), heard):
            silent = " ".join(name for name in heard if not heard[name])
            raise Busy(
                f"with voters {' '.join(heard)} nothing would be committed: {silent} has not been "
                "heard for a while"
            )

    def _heard_lately(self, name: str) -> bool:
        """Whether a member was heard within an election timeout; this one always is."""
        since = self._raft.ticks - self._options.election_ticks + 1
        progress = self._progress.get(name)
        return name == self._raft.member or (progress is not None and progress.heard_since(since))

    def _finish_change(self) -> None:
        """Once a change is committed: leave the joint configuration; leave, if we were removed."""
        raft = self._raft
        if raft.configuration_index > raft.commit_index:
            return
        configuration = raft.configuration
        if configuration.joint:
            raft.append_own([configuration_record(configuration.leave().to_bytes())])
        elif raft.member not in configuration.voters and not self._awaits_heir():
            self._retire(configuration)

    def _awaits_heir(self) -> bool:
        """Whether leadership is being handed to somebody who does not hold the whole log yet."""
        return (
            self.transfer is not None
            and self._progress[self.transfer].match < self._raft.log.last_index
        )

    def _retire(self, configuration: Configuration) -> None:
        """Hand over and follow: this member votes no more (§6).

        The heir is who was asked for, else the most complete voter.
        """
        self._round_due = True
        self.send()  # everybody may hear that this is committed
        heir = self.transfer
        if heir is None:
            heir = max(configuration.voters, key=lambda name: self._progress[name].match)
        self._order_election(heir)
        self._raft.step_down()

    def begin_transfer(self, to: str) -> None:
        """Hand over to ``to`` as soon as it holds the whole log."""
        self.transfer, self._transfer_ticks = to, 0
        self._raft.report(TransferBegan(to))
        self._order_election(to)

    def cancel_transfer(self) -> None:
        """Hand over to nobody, if somebody is being handed over to."""
        if self.transfer is not None:
            self._end_transfer("it was called off")

    def _end_transfer(self, why: str) -> None:
        """Hand over no more, and take proposals again."""
        assert self.transfer is not None
        to, self.transfer = self.transfer, None
        self._raft.report(TransferEnded(to, why))
        if self._raft.commit_index >= self.noop_index:
            self._finish_change()  # which may have waited for this

    def _order_election(self, to: str) -> None:
        """Tell ``to`` to begin an election, if it holds the whole log."""
        raft = self._raft
        if self._progress[to].match == raft.log.last_index:
            self._end_lease()
            raft.post_early(TimeoutNow(raft.member, to, raft.term, cluster=raft.cluster))

    # ── reads (Raft §8; thesis §6.4) ────────────────────────────────────────────────────────────

    @property
    def lease(self) -> bool:
        """Whether reads may be served at once: nobody else can have been elected yet."""
        return (
            self._leased_at is not None
            and self._raft.ticks - self._leased_at < self._lease_ticks
            and self._raft.commit_index >= self.noop_index
        )

    def _end_lease(self) -> None:
        """Give the lease up for this term: an ordered election heeds none, however late."""
        self._leased_at = None
        self._round_ticks.clear()
        self._lease_ticks = 0

    def read(self, who: int | Asker) -> None:
        """Serve a read now, under the lease, or once the next round is answered."""
        # What was committed before this leader's no-op may be more than it knows: the no-op's
        # index bounds it (§8).
        index = max(self._raft.commit_index, self.noop_index)
        if self.lease:
            self._raft.serve(Waiting(who, index, 0, self._raft.ticks))
        else:
            self._reads.add(Waiting(who, index, self._round + 1, self._raft.ticks))

    def give_up_reads(self) -> list[Waiting]:
        """Return the reads that wait, and wait for none of them any more."""
        return self._reads.give_up(self._raft.ticks)

    def _confirm_round(self) -> None:
        """See which rounds a quorum has answered: reads go out, the lease grows."""
        if not self._reads and not self._round_ticks:
            return
        raft = self._raft
        rounds = {name: progress.round for name, progress in self._progress.items()}
        rounds[raft.member] = self._round
        answered = committed_index(raft.configuration, rounds)
        while self._round_ticks and self._round_ticks[0][0] <= answered:
            self._leased_at = self._round_ticks.popleft()[1]
        for waiting in self._reads.release(answered, raft.commit_index):
            raft.serve(waiting)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def waiting_reads(self) -> int:
        """How many reads wait for a round."""
        return len(self._reads)

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
                p.lost,
            )
            for name, p in self._progress.items()
        }
