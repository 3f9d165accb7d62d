"""What a leader does: "volatile state on leaders, reinitialized after election", and its decisions.

A :class:`Leadership` is made when its member wins an election and dropped when it follows again, so
that nothing of one leadership is ever mistaken for another's.  What outlives leadership (term, log,
commit index, open proposals) is in the :class:`~kvraft.raft.Core`.  A leader that steps down
changes the core's ``role``; ``raft/raft.py`` then drops its leadership.

::

    propose ──► log ──► replication ──────────────────────► followers
                             │                                  │ answers
                 commit ◄── count: match indexes of a quorum ◄──┘

Invariants:

- It only appends to its log (Figure 3, "leader append-only").
- An entry counts for a member, this one included, only once it is durable there.
- Only entries of its own term are committed by counting (§5.4.2).
- A read waits for a heartbeat round that begins after it was asked for, unless the lease holds, and
  no longer than ``election_ticks``.
- No change of voters begins unless the newcomers, and a majority of the new voters, were heard
  recently.

Sources: Raft Figure 2 ("rules for servers: leaders"), §5.3, §5.4.2, §6, §8; thesis §3.10, §4.2,
§6.2, §6.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kvraft.display import counted
from kvraft.errors import BadInput, Busy
from kvraft.events import TransferEnded, TransferStarted
from kvraft.raft.admission import inadmissible_reason
from kvraft.raft.core import Core
from kvraft.raft.interface import FollowerStatus, Role
from kvraft.raft.log import Log
from kvraft.raft.messages import AppendEntriesReply, InstallSnapshotReply, TimeoutNow
from kvraft.raft.quorum import Configuration, committed_index, vote_result
from kvraft.raft.reads import Lease, RemoteReader, WaitingRead, WaitingReads
from kvraft.raft.replication import Replication
from kvraft.record import NOOP, Entry, Record, configuration_record

AdvanceCommit = Callable[[int, int, Mapping[str, int], Configuration, Log], int]


class Leadership:
    """The leadership of one member for one term; planted bugs name other classes for its parts."""

    lease_type, reads_type = Lease, WaitingReads

    def __init__(self, core: Core, advance_commit: AdvanceCommit) -> None:
        self.core = core
        self._advance_commit = advance_commit
        self._options = core.options
        self._replication = Replication(core)
        self._reads = self.reads_type()
        self._lease = self.lease_type(core.options.lease_ticks)
        self._elapsed = 0  # ticks since the last heartbeat
        self._quiet_ticks = 0  # ticks since the last check that a quorum is heard
        self._transfer_ticks = 0  # ticks since the transfer began
        self.transfer: str | None = None  # the member that leadership is being transferred to
        self._replication.watch_members()
        # At the start of its term a leader does not know which older entries are committed, and may
        # not count them (§5.4.2).  "To find out, it needs to commit an entry from its term" (§8).
        self._noop_index, _ = self.append([NOOP])

    # ── time ────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Advance time by one tick: send heartbeats, expire what waits, check the quorum."""
        core, shortest = self.core, self._options.election_ticks
        self.count_ticks(1)
        if self.transfer and self._transfer_ticks >= shortest:
            # "If leadership transfer does not complete after about an election timeout, the prior
            # leader aborts the transfer and resumes accepting client requests" (thesis §3.10).
            self._end_transfer("it was not elected in time")
            if not self._leads:  # a change that had waited for the transfer removed this member
                return
        for waiting in self._reads.expire(core.ticks - shortest):
            core.fail(waiting.who)
        if self._quiet_ticks >= shortest:
            self._quiet_ticks = 0
            if not self._replication.hears_quorum() and self._options.check_quorum:
                # "A leader in Raft steps down if an election timeout elapses without a successful
                # round of heartbeats to a majority of its cluster; this allows clients to retry
                # their requests with another server" (thesis §6.2).
                self.step_down()
                return
        if self._elapsed >= self._options.heartbeat_ticks:
            self.heartbeat()

    def count_ticks(self, count: int) -> None:
        """Count ticks, and do nothing else: see :meth:`kvraft.raft.Raft.quiet_ticks`."""
        self._elapsed += count
        self._quiet_ticks += count
        self._transfer_ticks += count

    def quiet_ticks(self) -> int:
        """Return how many of the next ticks only count: no heartbeat is due, no check, no end."""
        if self.transfer is not None or self._reads:
            return 0
        options = self._options
        due = min(
            options.heartbeat_ticks - self._elapsed,
            options.election_ticks - self._quiet_ticks,
            self._lease.left(self.core.ticks),
        )
        return max(0, due - 1)

    def heartbeat(self) -> None:
        """Make the next Ready begin a round of heartbeats, to prevent elections (§5.2)."""
        self._elapsed = 0
        self._replication.round_due = True

    @property
    def _leads(self) -> bool:
        return self.core.role is Role.LEADER

    def step_down(self) -> None:
        """Stop leading, and know of no leader."""
        self.fail_reads()
        self.core.follow(self.core.term, None)

    # ── proposals (Raft §5.3, §6) ───────────────────────────────────────────────────────────────

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append a client's records; see :meth:`kvraft.raft.Raft.propose`."""
        core = self.core
        self._check_no_transfer()
        waiting = core.log.last_index - core.commit_index
        if waiting >= self._options.max_uncommitted:
            # A leader that is cut off from its quorum must not fill its memory and disk.
            raise Busy(f"{core.member} has {counted(waiting, 'entry')} waiting to be committed")
        first, last = self.append(records)
        core.proposals.add(first, last, core.term)
        return first, last

    def propose_change(self, voters: tuple[str, ...], learners: tuple[str, ...]) -> int:
        """Append the first step to other members; see :meth:`kvraft.raft.Raft.propose_change`.

        A planted bug overrides this.
        """
        core = self.core
        self._check_no_transfer()
        index, configuration = core.configurations[-1]
        if configuration.joint or index > core.commit_index:
            # Two changes at once could have majorities that do not meet (§6).
            raise Busy(f"the change of members at entry {index} is under way")
        change = configuration.change_to(voters, learners)
        self._check_change(change)
        record = configuration_record(change.to_bytes())
        reason = inadmissible_reason([record])
        if reason:
            raise BadInput(f"no follower would take this change: {reason}")
        index, _ = self.append([record])
        core.proposals.add(index, index, core.term)
        return index

    def append(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append to the leader's own log; return first and last index (§5.3).

        The next Ready sends the entries and has them saved.
        """
        core = self.core
        first, term = core.log.last_index + 1, core.term
        entries = [Entry(term, first + n, record) for n, record in enumerate(records)]
        if core.append(entries):
            self._watch_members()
        return first, entries[-1].index

    def _check_no_transfer(self) -> None:
        """Raise ``Busy`` during a transfer: "the prior leader stops accepting new client requests",
        or its successor might never hold the whole log (thesis §3.10).
        """
        if self.transfer:
            raise Busy(f"{self.core.member} is handing leadership over to {self.transfer}")

    def _check_change(self, change: Configuration) -> None:
        """Raise :class:`~kvraft.errors.Busy` unless ``change`` may begin now.

        A new voter must have caught up as a learner, or commitment would wait for it (thesis
        §4.2.1): it must hold what was committed when the latest heartbeat was sent, and have been
        heard within ``election_ticks``.  A majority of the new voters must have been heard, too, or
        nothing more could be committed, this change included.  Raises
        :class:`~kvraft.errors.BadInput` for a newcomer that is not a learner, or lost its log.
        """
        core, replication = self.core, self._replication
        if core.commit_index < self._noop_index:
            # Otherwise a change of an older leader, neither committed nor known here, could be
            # under way (Ongaro's correction of single-server changes, raft-dev, 2015).
            raise Busy(f"{core.member} leads term {core.term}, but has committed nothing in it yet")
        for name in change.voters:
            if name in change.outgoing or name in core.configuration.voters or name == core.member:
                continue  # it votes already
            progress = replication.progress.get(name)
            if progress is None:
                raise BadInput(f"{name} cannot vote before it caught up: add it as a learner first")
            if progress.lost_entries:
                raise BadInput(f"{name} cannot vote: it lost entries that it had acknowledged")
            if progress.match < max(1, replication.round_commit):
                raise Busy(
                    f"{name} cannot vote yet: it holds the log through {progress.match} of "
                    f"{replication.round_commit}"
                )
            if not replication.heard_recently(name):
                raise Busy(f"{name} cannot vote yet: it has not been heard for a while")
        heard = {name: replication.heard_recently(name) for name in change.voters}
        if not vote_result(Configuration(change.voters), heard):
            silent = " ".join(name for name in heard if not heard[name])
            raise Busy(
                f"with voters {' '.join(heard)} nothing would be committed: {silent} has not been "
                "heard for a while"
            )

    # ── sending and hearing ─────────────────────────────────────────────────────────────────────

    def wants_to_send(self) -> bool:
        """Return whether :meth:`send` would send anything."""
        return self._replication.wants_to_send()

    def send(self) -> None:
        """Send news to each follower; in a new round, send at least a heartbeat to each (§5.2)."""
        replication = self._replication
        new_round = replication.round_due
        if new_round:  # one round serves all reads that gathered
            replication.begin_round()
            self._lease.began(replication.round, self.core.ticks)
            self._confirm_round()  # a single member needs no answers
        replication.send(to_all=new_round)

    def on_append_reply(self, reply: AppendEntriesReply) -> None:
        """Act on a follower's reply: confirm reads, commit, hand over, forget a removed member."""
        news = self._replication.on_append_reply(reply)
        if news is None:
            return
        if news.round:
            self._confirm_round()
        if news.holds_more:
            self._on_progress(reply.sender)
        self._replication.forget_if_left(reply.sender)

    def on_snapshot_reply(self, reply: InstallSnapshotReply) -> None:
        """Act on a follower's reply to a chunk of a snapshot."""
        if self._replication.on_snapshot_reply(reply):
            self._on_progress(reply.sender)

    def _on_progress(self, name: str) -> None:
        """Act on a follower's higher match index: it may complete a quorum, or a transfer."""
        self.count()
        if self._leads and name == self.transfer:
            self._order_election(name)

    def log_begins_after(self, base: int) -> None:
        """Note that the entries through ``base`` are no longer in the log."""
        self._replication.log_begins_after(base)

    # ── commitment (Raft §5.3, §5.4.2) ──────────────────────────────────────────────────────────

    def count(self) -> None:
        """Commit what a quorum holds, as far as the rule of commitment allows (§5.4.2)."""
        core, replication = self.core, self._replication
        match = replication.match()
        everywhere = min(map(match.__getitem__, replication.members))
        core.all_replicated_index = max(core.all_replicated_index, everywhere)
        commit, term = core.commit_index, core.term
        index = self._advance_commit(commit, term, match, core.configuration, core.log)
        if index > commit:
            core.commit_through(index)
            self._confirm_round()  # reads may have waited for this index
            self._finish_change()

    # ── membership and transfer (Raft §6; thesis §3.10, §4) ─────────────────────────────────────

    def _watch_members(self) -> None:
        """Act on a configuration as soon as it is in the log."""
        self._replication.watch_members()
        if self.transfer is not None and self.transfer not in self.core.configuration.voting:
            self._end_transfer("it is no longer a voter")  # so it could not win

    def _finish_change(self) -> None:
        """Take the next step of a change that is committed: end it, or step down when removed."""
        core = self.core
        if core.configuration_index > core.commit_index:
            return
        configuration = core.configuration
        if configuration.joint:
            # "Once C_old,new has been committed … it is now safe for the leader to create a log
            # entry describing C_new" (§6).
            self.append([configuration_record(configuration.leave_joint().to_bytes())])
        elif core.member not in configuration.voters and not self._awaits_successor():
            # The leader "steps down (returns to follower state) once it has committed the C_new log
            # entry": until then it manages a cluster that it is not part of (§6).
            self._step_down_when_removed(configuration)

    def _awaits_successor(self) -> bool:
        """Whether leadership is being transferred to a member without the whole log yet."""
        return (
            self.transfer is not None
            and self._replication.progress[self.transfer].match < self.core.log.last_index
        )

    def _step_down_when_removed(self, configuration: Configuration) -> None:
        """Hand over and follow: this member is no longer a voter (§6).

        The successor is the one asked for, else the most complete voter.  Without the order to
        stand, the cluster would have no leader for a whole election timeout.
        """
        progress = self._replication.progress
        self._replication.round_due = True
        self.send()  # each member hears that the change is committed
        successor = self.transfer
        if successor is None:
            successor = max(configuration.voters, key=lambda name: progress[name].match)
        self._order_election(successor)
        self.step_down()

    def begin_transfer(self, to: str) -> None:
        """Hand over to ``to`` as soon as it holds the whole log."""
        self.transfer, self._transfer_ticks = to, 0
        self.core.report(TransferStarted(to))
        self._order_election(to)

    def cancel_transfer(self) -> None:
        """End a pending transfer without success."""
        if self.transfer is not None:
            self._end_transfer("it was cancelled")

    def _end_transfer(self, reason: str) -> None:
        """End the transfer without success, and take proposals again."""
        assert self.transfer is not None
        to, self.transfer = self.transfer, None
        self.core.report(TransferEnded(to, reason))
        if self.core.commit_index >= self._noop_index:
            self._finish_change()  # which may have waited for this

    def _order_election(self, to: str) -> None:
        """Order ``to`` to begin an election, if it holds the whole log: else it might not win."""
        core = self.core
        if self._replication.progress[to].match == core.log.last_index:
            # Voters grant this election at once, so the lease no longer protects reads.
            self._lease.end()
            core.outbox.early.append(TimeoutNow(core.member, to, core.term, cluster=core.cluster))

    # ── reads (Raft §8; thesis §6.4) ────────────────────────────────────────────────────────────

    @property
    def lease(self) -> bool:
        """Whether reads may be served at once: no other member can have been elected yet."""
        core = self.core
        return self._lease.holds(core.ticks) and core.commit_index >= self._noop_index

    def read(self, who: int | RemoteReader) -> None:
        """Serve a read now, under the lease, or once the next round is answered.

        A planted bug overrides this.
        """
        # More may be committed from before this leader's no-op than it knows; the index of the
        # no-op is at least as high (§8).
        core, round = self.core, self._replication.round
        index = max(core.commit_index, self._noop_index)
        if self.lease:
            core.serve(who, index)
        else:
            # "A leader must check whether it has been deposed before processing a read-only
            # request", by "heartbeat messages with a majority of the cluster" (§8).
            self._reads.add(WaitingRead(who, index, round + 1, core.ticks))
            self._replication.round_due = True

    def fail_reads(self) -> None:
        """Fail all waiting reads: this leader can no longer confirm them."""
        for waiting in self._reads.expire(self.core.ticks):
            self.core.fail(waiting.who)

    def _confirm_round(self) -> None:
        """Serve the reads, and extend the lease, for the rounds that a quorum has answered."""
        if not self._reads and not self._lease.waits:
            return
        core = self.core
        answered = committed_index(core.configuration, self._replication.rounds())
        self._lease.answered(answered)
        for waiting in self._reads.release(answered, core.commit_index):
            core.serve(waiting.who, waiting.index)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def waiting_reads(self) -> int:
        """How many reads wait for a round."""
        return len(self._reads)

    @property
    def changes(self) -> tuple[int, int]:
        """See :attr:`kvraft.raft.Raft.changes`."""
        return self._replication.raised, self._replication.turned

    def followers(self) -> dict[str, FollowerStatus]:
        """Return what this leader knows of each follower."""
        return self._replication.followers()
