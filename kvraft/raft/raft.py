"""The consensus module as its owner sees it: what goes in, what comes out, and which part acts.

The owner runs this loop (``raft/interface.py`` says what else it must do)::

    ready = raft.ready()
    1. send ready.early                           (may overlap with 2: thesis §10.2.1)
    2. keep ready.chunks, which need not be durable yet;
       make durable, in one sync: ready.hard_state, ready.snapshot, ready.entries
    3. send ready.messages
    4. apply ready.snapshot, then ready.committed; report ready.decided; serve ready.reads
    raft.advance()                                (all that ready held is done)

Invariants: a part changes ``role``, and only this file then makes or drops the
:class:`~kvraft.raft.Leadership`; a message of a newer term changes the term before any part sees
it (§5.1); a message that is malformed reaches no part.

Source: Raft §5.1, Figure 2 ("rules for servers").
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kvraft.errors import BadInput, NotLeader
from kvraft.events import EventSink, ignore
from kvraft.raft import safety
from kvraft.raft.admission import check_number, check_proposal, inadmissible_reason, wrong_value
from kvraft.raft.core import Core
from kvraft.raft.election import Election
from kvraft.raft.follower import Follower
from kvraft.raft.interface import (
    FollowerStatus,
    RaftOptions,
    Ready,
    Role,
    Status,
)
from kvraft.raft.leader import Leadership
from kvraft.raft.log import Log, SnapshotSource
from kvraft.raft.messages import (
    DEFAULT_CLUSTER,
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
    malformed_reason,
)
from kvraft.raft.quorum import Configuration, names_of
from kvraft.raft.reads import RemoteReader
from kvraft.record import HardState, Record, is_name


class Raft:
    """One member's part in consensus.

    ``configuration`` is in force as of the log's base, or as of the last entry that is not in
    memory; configurations in the log after that supersede it.  The member need not be part of it:
    it may be waiting to be added.  ``log`` and ``hard_state`` are what its disk holds,
    ``committed`` is an index that is known to be committed (what the tree had flushed); entries
    above it are handed out as they commit.  ``incarnation`` is a number from 0 to 2**63 - 1 that no
    earlier start of this member was given; ``random`` draws election timeouts
    (``raft/interface.py`` says more about both).  ``report`` is called with each event, within the
    call that caused it.

    Raises :class:`~kvraft.errors.WrongType` for an argument of the wrong type and
    :class:`~kvraft.errors.BadInput` for arguments that do not fit together.  Not thread-safe.
    """

    grant_vote = staticmethod(safety.grant_vote)
    """The rule of voting.  A subclass may override it, to show what the rule prevents."""
    advance_commit = staticmethod(safety.advance_commit)
    """The rule of commitment.  A subclass may override it, too."""
    core_type, election_type, follower_type, leader_type = Core, Election, Follower, Leadership
    """The classes of the parts.  A subclass may name others, as planted bugs do."""

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        log: Log,
        hard_state: HardState,
        *,
        random: Random,
        incarnation: int,
        options: RaftOptions | None = None,
        committed: int = 0,
        cluster: str = DEFAULT_CLUSTER,
        report: EventSink = ignore,
    ) -> None:
        for what, name in (("member", member), ("cluster", cluster)):
            if not is_name(name):
                raise wrong_value(f"a {what} needs a name that can be written down", name, str)
        parts = ((configuration, Configuration), (log, Log), (random, Random))
        for part, kind in (*parts, (hard_state, HardState)):
            if not isinstance(part, kind):
                raise wrong_value(f"a member starts with a {kind.__name__}", part, kind)
        check_number("incarnation", incarnation)
        check_number("a term", hard_state.term)
        reason = inadmissible_reason([entry.record for entry in log.slice(log.released + 1)])
        if reason:
            raise BadInput(f"the log of {member} holds what no follower would take: {reason}")
        if hard_state.term < log.last_term:
            raise BadInput(f"the log of {member} is of term {log.last_term}, after its own")
        if not log.base.index <= committed <= log.last_index:
            raise BadInput(f"entry {committed} cannot be committed: it is not in the log")
        self._core = self.core_type(
            member,
            configuration,
            log,
            hard_state,
            random=random,
            incarnation=incarnation,
            options=options or RaftOptions(),
            committed=committed,
            cluster=cluster,
            report=report,
        )
        self._election = self.election_type(self._core, self.grant_vote)
        self._follower = self.follower_type(self._core)
        self._leader: Leadership | None = None  # while this member leads
        self._quiet = 0  # how many of the next ticks only count; 0 from each input on

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self, *, disk_full: bool = False) -> bool:
        """Advance time by one tick: elections time out, leaders send heartbeats (§5.2).

        With ``disk_full`` the owner has no space: until a tick without it, this member takes
        nothing from a leader that would have to be stored.

        Return whether anything may have changed but how much time has passed.  If not, there is
        nothing in the next Ready either, and the tick cost next to nothing.
        """
        core = self._core
        if self.quiet:
            self.pass_ticks(1)
            core.disk_full = disk_full
            return False
        core.disk_full = disk_full
        core.ticks += 1
        self._act_on_tick()
        return True

    @property
    def quiet(self) -> int:
        """How many of the next ticks will change nothing: :meth:`quiet_ticks`, kept until then."""
        if not self._quiet:
            self._quiet = self.quiet_ticks()
        return self._quiet

    def pass_ticks(self, count: int) -> None:
        """Take ``count`` ticks at once, at most :attr:`quiet`, with space on the owner's disk."""
        core = self._core
        core.disk_full = False
        core.ticks += count
        self._quiet -= count
        if self._leader is not None:
            self._leader.count_ticks(count)
        else:
            core.timer.elapsed += count

    def quiet_ticks(self) -> int:
        """Return how many of the next ticks will change nothing, unless there is an input before.

        They only count what time has passed: no timer runs out, no lease ends and nothing waits.
        """
        core = self._core
        if core.forwarded_reads or self.has_ready():
            return 0
        if self._leader is not None:
            return self._leader.quiet_ticks()
        return max(0, core.timer.timeout - core.timer.elapsed - 1)

    def _act_on_tick(self) -> None:
        """Let expire what has waited long enough, and run the timers."""
        core = self._core
        expired = core.ticks - core.options.election_ticks
        core.outbox.failed_reads += core.forwarded_reads.expire(expired)
        if self._leader is not None:
            self._leader.tick()
            self._follow_role()
            return
        core.timer.elapsed += 1
        if core.timer.elapsed >= core.timer.timeout:
            self.timeout()

    def timeout(self) -> None:
        """Run the timer out now: a leader sends heartbeats, a voter begins an election (§5.2)."""
        core, self._quiet = self._core, 0
        core.timer.restart()
        # A member that stands has given up its leader, so it may listen to other candidates.
        core.heard_at = None
        if self._leader is not None:
            self._leader.heartbeat()
        else:
            self._election.stand()
            self._follow_role()

    def step(self, message: Message) -> bool:
        """Take a message; return whether it was one.

        One that no correct member would send is reported and ignored.
        """
        core, self._quiet = self._core, 0
        reason = malformed_reason(message, core.member, core.cluster)
        if reason:
            core.reject(message, reason)
            return False
        if message.term <= core.term or self._enter_term_of(message):
            self._dispatch(message)
            self._follow_role()
        return True

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append ``records`` to the leader's log, all of them; return first and last index (§5.3).

        :attr:`Ready.decided` reports their outcome, unless this member crashes before: then the
        outcome is unknown.  Raises :class:`~kvraft.errors.BadInput` for records that no follower
        would take (``raft/admission.py``) or that are not a client's,
        :class:`~kvraft.errors.NotLeader` on any other member, and :class:`~kvraft.errors.Busy`
        during a transfer of leadership and while ``max_uncommitted`` entries wait already.
        """
        check_proposal(records)
        return self._require_leader().propose(records)

    def propose_change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Begin to make ``voters`` and ``learners`` the members; return the entry's index (§6).

        Several may be added, removed and exchanged at once; the cluster passes through a joint
        configuration and leaves it by itself.  A new voter must have been a learner before, must
        have caught up, and must have been heard recently (thesis §4.2.1).

        Raises :class:`~kvraft.errors.NotLeader`; :class:`~kvraft.errors.Busy` while another change
        is under way, while a new voter lags or is silent, and while most of the new voters are
        silent; :class:`~kvraft.errors.BadInput` for a change that makes no sense.
        """
        named = names_of("voters", voters), names_of("learners", learners)
        return self._require_leader().propose_change(*named)

    def transfer_leader(self, to: str) -> None:
        """Hand leadership over to the voter ``to``, as soon as it has the whole log (thesis §3.10).

        The leader takes no proposals until then.  The transfer ends without success after
        ``election_ticks``, or once ``to`` is no longer a voter; :meth:`cancel_transfer` cancels it,
        another call replaces it.  Raises :class:`~kvraft.errors.NotLeader`, and
        :class:`~kvraft.errors.BadInput` if ``to`` is not another voter.
        """
        leader = self._require_leader()
        if to == self.member or to not in self.configuration.voting:
            raise BadInput(
                f"leadership cannot pass from {self.member} to {to!r}: not another voter"
            )
        leader.begin_transfer(to)

    def cancel_transfer(self) -> None:
        """Cancel a pending transfer of leadership: the leader takes proposals again at once.

        A member that was already ordered to stand may still be elected.  Raises
        :class:`~kvraft.errors.NotLeader`.
        """
        self._require_leader().cancel_transfer()
        self._follow_role()

    def read_index(self, token: int) -> None:
        """Ask for the index as of which a read is linearizable (§8, thesis §6.4).

        ``token``, a whole number from 0 to 2**63 - 1 that means something to the caller, returns in
        :attr:`Ready.reads` once the leader has shown that it leads: by a majority's answers to a
        heartbeat that was sent after this call, or by its lease.  It returns in
        :attr:`Ready.failed_reads` if leadership is lost before, and in any case within two election
        timeouts (of ``election_ticks``: one for the answer, one for its index to commit here).  A
        follower asks its leader.  Raises :class:`~kvraft.errors.NotLeader` if it knows none.
        """
        check_number("the token of a read", token)
        self._quiet = 0
        if self._leader is not None:
            self._leader.read(token)
        elif self.leader is None:
            raise NotLeader(self.member, None)
        else:
            self._follower.ask_leader(self.leader, token)

    def compact(self, index: int, snapshot: SnapshotSource | None = None) -> None:
        """Forget the entries through ``index``, which the owner removes from the log on disk.

        From now on, followers that need these entries are sent ``snapshot``, which covers at least
        as much (§7); without one, the snapshot given before.  An ``index`` that is not above the
        log's base forgets nothing.  Raises :class:`~kvraft.errors.BadInput` for entries that are
        not durable here, or were not handed out as committed, and for a snapshot that ends before
        them or is not committed.
        """
        core, log, self._quiet = self._core, self.log, 0
        check_number("the index to forget through", index)
        if index > (known := min(core.outbox.handed_out, core.durable_index)):
            raise BadInput(f"entry {index} cannot be forgotten: {known} is the last that may be")
        base = max(index, log.base.index)
        if snapshot is not None and not base <= snapshot.last.index <= core.commit_index:
            raise BadInput(
                f"a snapshot through entry {snapshot.last.index} is of no use: the log begins "
                f"after {base} and is committed through {core.commit_index}"
            )
        if index > log.base.index:
            log.drop_through(index)
            core.forget_configurations(index)
            if self._leader is not None:
                self._leader.log_begins_after(index)
        if snapshot is not None:
            core.snapshot = snapshot

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def has_ready(self) -> bool:
        """Return whether :meth:`ready` would hand out anything."""
        core, leader = self._core, self._leader
        return core.outbox.has_output(core.log, (core.term, core.vote), core.commit_index) or (
            leader is not None and leader.wants_to_send()
        )

    def ready(self) -> Ready:
        """Return what the owner must do; :meth:`advance` must follow before the next call.

        Raises :class:`~kvraft.errors.BadInput` otherwise: the next advance would count as durable
        what the caller may never have saved.
        """
        core = self._core
        core.outbox.check_free()
        if self._leader is not None:
            self._leader.send()
        return core.outbox.ready(core.log, (core.term, core.vote), core.commit_index)

    def advance(self) -> None:
        """Note that everything the last :meth:`ready` returned is done: its entries are durable.

        Raises :class:`~kvraft.errors.BadInput` if nothing was handed out since the last call.
        """
        self._quiet = 0
        more = self._core.outbox.advance()
        if more and self._leader is not None:
            self._leader.count()  # the leader's own disk may complete the quorum
            self._follow_role()

    # ── which part takes an input ───────────────────────────────────────────────────────────────

    def _require_leader(self) -> Leadership:
        """Return the leadership, which is about to be asked for something."""
        self._quiet = 0
        if self._leader is None:
            raise NotLeader(self.member, self.leader)
        return self._leader

    def _enter_term_of(self, message: Message) -> bool:
        """Enter the newer term of ``message`` (§5.1); return whether a part should take it.

        "If one server's current term is smaller than the other's, then it updates its current term
        to the larger value.  If a candidate or leader discovers that its term is out of date, it
        immediately reverts to follower state."
        """
        match message:
            case PreVote() | PreVoteReply(granted=True):
                return True  # it names a term that its candidate has not entered (thesis §9.6)
            case RequestVote() if self._election.sticks_to_leader(message):
                return False  # entering its term would depose a leader that works (§6)
            case AppendEntries() | InstallSnapshot():
                leader: str | None = message.sender  # only the leader of a term sends these
            case _:
                leader = None  # the term is newer, but who leads it is not known yet
        if self._leader is not None:
            self._leader.fail_reads()  # only the leader of the old term could confirm them
        self._core.follow(message.term, leader)
        self._follow_role()
        return True

    def _follow_role(self) -> None:
        """Make a :class:`Leadership` after a won election; drop it when this member follows."""
        leads = self._core.role is Role.LEADER
        if leads and self._leader is None:
            self._leader = self.leader_type(self._core, self.advance_commit)
        elif not leads:
            self._leader = None

    def _dispatch(self, message: Message) -> None:
        """Hand a message to the part that it is for."""
        leader, election, follower = self._leader, self._election, self._follower
        match message:
            case AppendEntries():
                follower.on_append_entries(message)
            case AppendEntriesReply():
                # Match indexes and rounds of an older leadership mean nothing in this one.
                if leader is not None and message.term == self.term:
                    leader.on_append_reply(message)
            case RequestVote():
                election.on_request_vote(message)
            case RequestVoteReply():
                election.on_vote_reply(message)
            case PreVote():
                election.on_pre_vote(message)
            case PreVoteReply():
                election.on_pre_vote_reply(message)
            case InstallSnapshot():
                follower.on_install_snapshot(message)
            case InstallSnapshotReply():
                if leader is not None and message.term == self.term:  # as above
                    leader.on_snapshot_reply(message)
            case ReadIndex():
                reader = RemoteReader(message.sender, message.incarnation, message.token)
                if leader is not None:
                    leader.read(reader)
                else:  # an answer at once lets the reader retry elsewhere before it times out
                    self._core.answer(reader, -1)
            case ReadIndexReply():
                follower.on_read_index_reply(message)
            case TimeoutNow():
                election.on_timeout_now(message)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def member(self) -> str:
        """The name of this member."""
        return self._core.member

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return self._core.cluster

    @property
    def options(self) -> RaftOptions:
        """The options it was made with."""
        return self._core.options

    @property
    def role(self) -> Role:
        """Its role in its term."""
        return self._core.role

    @property
    def term(self) -> int:
        """The latest term that it has seen."""
        return self._core.term

    @property
    def vote(self) -> str | None:
        """The candidate that got its vote in that term."""
        return self._core.vote

    @property
    def leader(self) -> str | None:
        """The leader of that term, if it is known."""
        return self._core.leader

    @property
    def log(self) -> Log:
        """The log that it was given.  The owner may release entries in it, nothing else."""
        return self._core.log

    @property
    def commit_index(self) -> int:
        """The last index that is known to be committed."""
        return self._core.commit_index

    @property
    def durable_index(self) -> int:
        """The last index that this member's own disk holds for certain."""
        return self._core.durable_index

    @property
    def all_replicated_index(self) -> int:
        """An index through which every member holds the log durably, as far as this one knows."""
        return self._core.all_replicated_index

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the newest in the log, committed or not (§6)."""
        return self._core.configuration

    @property
    def configuration_index(self) -> int:
        """The index of the entry that the configuration in force comes from, or of the base."""
        return self._core.configuration_index

    def configuration_at(self, index: int) -> Configuration:
        """Return the configuration as of ``index``, which is not below the log's base."""
        return self._core.configuration_at(index)

    @property
    def snapshot(self) -> SnapshotSource | None:
        """The source of what followers are sent that need more than the log still holds (§7)."""
        return self._core.snapshot

    @property
    def receiving(self) -> bool:
        """Whether this member has received a snapshot in part."""
        return self._core.incoming is not None

    @property
    def lease(self) -> bool:
        """Whether this member may serve reads at once: no other member can lead yet."""
        return self._leader is not None and self._leader.lease

    @property
    def followers(self) -> dict[str, FollowerStatus]:
        """What this leader knows of each follower; empty on any other member."""
        return self._leader.followers() if self._leader is not None else {}

    @property
    def changes(self) -> tuple[int, int]:
        """How often this leader learned that a follower holds more, and that it needs other things.

        While neither number changes, nothing in :attr:`followers` changes that matters to anybody
        who keeps the log for them.  On any other member both are -1.
        """
        return self._leader.changes if self._leader is not None else (-1, -1)

    def status(self) -> Status:
        """Return the whole state that can be seen, as one value."""
        core, leader = self._core, self._leader
        return Status(
            member=core.member,
            role=core.role,
            term=core.term,
            vote=core.vote,
            leader=core.leader,
            configuration=core.configuration,
            configuration_index=core.configuration_index,
            first_index=core.log.first_index,
            commit_index=core.commit_index,
            durable_index=core.durable_index,
            last_index=core.log.last_index,
            last_term=core.log.last_term,
            all_replicated_index=core.all_replicated_index,
            elapsed=core.timer.elapsed,
            timeout=core.timer.timeout,
            lease=self.lease,
            transfer=leader.transfer if leader else None,
            votes=dict(core.votes),
            progress=self.followers,
            waiting_reads=len(core.forwarded_reads) + (leader.waiting_reads if leader else 0),
            undecided=len(core.proposals),
        )
