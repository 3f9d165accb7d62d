"""The consensus module: Raft as a pure state machine.

Messages, ticks and proposals go in; what must be made durable, what may be sent and what is
committed comes out.  There is no socket, file, thread, clock or randomness of its own in here: time
comes as ticks, randomness from a given generator.  So the same code runs in a notebook, a
simulator, a model checker and a server.

The contract with the owner, a loop (``raft/interface.py`` says what else there is to see to)::

    ready = raft.ready()
    1. send ready.early                           (may overlap with 2: thesis §10.2.1)
    2. keep ready.chunks, which need not be durable yet;
       make durable, in one sync: ready.hard_state, ready.snapshot, ready.entries
    3. send ready.messages
    4. apply ready.snapshot, then ready.committed; tell of ready.decided; serve ready.reads
    raft.advance()                                (what was handed out is done)

What is in which file; each imports only from those below it::

    raft         what a user sees: this file
    leader       proposals, commitment, changes of members, transfer, reads
    replication  what is sent to followers, and what their answers tell
    election     time-outs, pre-votes, votes, leader stickiness
    follower     taking a leader's entries and snapshots
    core         term, vote, role, log, configurations, commit index; outbox: the next Ready
    rules        the two rules of safety
    progress, reads, fates, incoming    one follower; reads that wait; proposals; a snapshot
    log, messages, admission, membership, contract    the vocabulary

Invariants (Raft Figure 3 follows from them):

- Nothing that depends on a term, a vote or an entry of this member leaves before that term, vote or
  entry is durable.  (What a leader appends does not depend on its own disk.)
- A leader only appends to its log.  A follower drops entries only where they conflict with the
  leader's, and never at or below its commit index.
- An entry counts for a member, the leader included, only once it is durable there; and only
  entries of the leader's own term are committed by counting (§5.4.2).
- The configuration in force is the newest in the log, and a new one is not begun before the last
  one is committed (§6).
- What a leader takes is what its followers take: one rule, ``raft/admission.py``, asked at the
  door.
- A read is served, or has failed, within two election timeouts.
- No message, whatever is in it, raises an exception; one that nobody sound would send changes
  nothing and is reported as :class:`~kvraft.events.MessageRejected`.

Sources: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
Version)*, 2014, here "Raft"; Ongaro, *Consensus: Bridging Theory and Practice*, 2014, here
"thesis".
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kvraft.errors import BadInput, NotLeader
from kvraft.events import EventSink, ignore
from kvraft.raft import safety as rules
from kvraft.raft.admission import check_number, check_proposal, inadmissible_reason, wrong_value
from kvraft.raft.core import Core
from kvraft.raft.election import Election
from kvraft.raft.follower import Follower
from kvraft.raft.interface import (
    DecidedProposal,
    FollowerStatus,
    ProposalOutcome,
    RaftOptions,
    ReadReady,
    Ready,
    ReceivedSnapshot,
    Role,
    SnapshotChunk,
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

__all__ = [
    "DecidedProposal",
    "ProposalOutcome",
    "Raft",
    "RaftOptions",
    "ReadReady",
    "Ready",
    "ReceivedSnapshot",
    "Role",
    "SnapshotChunk",
    "Status",
]


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

    Raises :class:`~kvraft.errors.WrongType` and :class:`~kvraft.errors.BadInput` if these are not
    what they should be or do not fit together.  Not safe for threads.
    """

    grant_vote = staticmethod(rules.grant_vote)
    """The rule of voting.  To be overridden, by who wants to see what it is for."""
    advance_commit = staticmethod(rules.advance_commit)
    """The rule of commitment.  To be overridden likewise."""
    core_type, follower_type, leader_type = Core, Follower, Leadership
    """The classes of its parts.  A subclass may name others: planted bugs are made so."""

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
                raise wrong_value(f"a member begins with a {kind.__name__}", part, kind)
        check_number("incarnation", incarnation)
        check_number("a term", hard_state.term)
        why = inadmissible_reason([entry.record for entry in log.slice(log.released + 1)])
        if why:
            raise BadInput(f"the log of {member} holds what no follower would take: {why}")
        if hard_state.term < log.last_term:
            raise BadInput(f"the log of {member} is of term {log.last_term}, after its own")
        if not log.base.index <= committed <= log.last_index:
            raise BadInput(f"entry {committed} is said to be committed, but it is not in the log")
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
        self._election = Election(self._core, self.grant_vote)
        self._follower = self.follower_type(self._core)
        self._leader: Leadership | None = None  # while this member leads

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self, *, full: bool = False) -> None:
        """Let one tick of time pass: elections time out, leaders send heartbeats (§5.2).

        ``disk_full`` says that the owner has no space: until it says otherwise, nothing is taken
        from a leader that has to be stored.
        """
        core = self._core
        core.full = full
        core.ticks += 1
        core.outbox.failed_reads += core.asking.give_up(core.ticks - core.options.election_ticks)
        if self._leader is not None:
            self._leader.tick()
            self._keep_role()
            return
        core.timer.elapsed += 1
        if core.timer.elapsed >= core.timer.timeout:
            self.timeout()

    def timeout(self) -> None:
        """Let the timer run out now: a leader sends heartbeats, a voter begins an election."""
        core = self._core
        core.timer.restart()
        core.heard_at = None  # this member itself gives that leader up
        if self._leader is not None:
            self._leader.heartbeat()
        else:
            self._election.stand()
            self._keep_role()

    def step(self, message: Message) -> None:
        """Take a message.  One that cannot be meant is reported and otherwise ignored."""
        core = self._core
        why = malformed_reason(message, core.member, core.cluster)
        if why:
            core.refuse(message, why)
        elif message.term <= core.term or self._enter_term_of(message):
            self._dispatch(message)
            self._keep_role()

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append ``records`` to the leader's log, all of them; return first and last index (§5.3).

        What becomes of them is told in :attr:`Ready.decided`, unless this member crashes: then
        nobody can tell.  Raises :class:`~kvraft.errors.BadInput` for records that no follower would
        take (``raft/admission.py``) or that are not a client's, :class:`~kvraft.errors.NotLeader`
        on any other member, and :class:`~kvraft.errors.Busy` during a transfer of leadership and
        while ``max_uncommitted`` entries wait already.
        """
        check_proposal(records)
        return self._leads().propose(records)

    def propose_change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Begin to make ``voters`` and ``learners`` the members; return the entry's index (§6).

        Several may be added, removed and exchanged at once; the cluster passes through a joint
        configuration and leaves it by itself.  Who is to vote must have been a learner before, and
        must have caught up and be heard (thesis §4.2.1).  Raises :class:`~kvraft.errors.NotLeader`,
        :class:`~kvraft.errors.Busy` while another change is under way, a newcomer lags or is
        silent, or most of the new voters are, and
        :class:`~kvraft.errors.BadInput` for a change that makes no sense.
        """
        named = names_of("voters", voters), names_of("learners", learners)
        return self._leads().propose_change(*named)

    def transfer_leader(self, to: str) -> None:
        """Hand leadership over to the voter ``to``, as soon as it has the whole log (thesis §3.10).

        Nothing is proposed meanwhile.  It is given up after ``election_ticks``, or once ``to`` is
        no voter any more; :meth:`cancel_transfer` calls it off, another call replaces it.  Raises
        :class:`~kvraft.errors.NotLeader`, and :class:`~kvraft.errors.BadInput` if ``to`` is no
        other voter.
        """
        leader = self._leads()
        if to == self.member or to not in self.configuration.voting:
            raise BadInput(
                f"leadership cannot pass from {self.member} to {to!r}: not another voter"
            )
        leader.begin_transfer(to)

    def cancel_transfer(self) -> None:
        """Call a transfer of leadership off, if one is pending: proposals are taken again at once.

        Who was told to stand already may be elected all the same.  Raises
        :class:`~kvraft.errors.NotLeader`.
        """
        self._leads().cancel_transfer()
        self._keep_role()

    def read_index(self, token: int) -> None:
        """Ask for the index as of which a read is linearizable (§8, thesis §6.4).

        ``token``, a whole number from 0 to 2**63 - 1 that means something to the caller, comes back
        in :attr:`Ready.reads` once the leader has shown that it leads: by a majority's answers to a
        heartbeat that was sent after this call, or by its lease.  It comes back in
        :attr:`Ready.failed_reads` if leadership is lost before, and in any case within two election
        timeouts (of ``election_ticks``; one for the answer and one for what it waits for).  A
        follower asks its leader.  Raises :class:`~kvraft.errors.NotLeader` if it knows none.
        """
        check_number("the token of a read", token)
        if self._leader is not None:
            self._leader.read(token)
        elif self.leader is None:
            raise NotLeader(self.member, None)
        else:
            self._follower.ask(self.leader, token)

    def compact(self, index: int, snapshot: SnapshotSource | None = None) -> None:
        """Forget the entries through ``index``: they are gone from the log on disk.

        ``snapshot``, which reaches at least as far, is what followers are sent from now on that
        would need them (§7); without one, what they were sent so far.  An ``index`` that is not
        above the log's base forgets nothing.  Raises :class:`~kvraft.errors.BadInput` for entries
        that are not durable here, or were not handed out as committed, and for a snapshot that ends
        before them or is not committed.
        """
        core, log = self._core, self.log
        check_number("the index to forget through", index)
        if index > (known := min(core.outbox.handed_out, core.durable_index)):
            raise BadInput(f"entry {index} cannot be forgotten: {known} is the last that may be")
        base = max(index, log.base.index)
        if snapshot is not None and not base <= snapshot.last.index <= core.commit_index:
            raise BadInput(
                f"a snapshot through entry {snapshot.last.index} is of no use: the log begins "
                f"after {base}, and is committed through {core.commit_index}"
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
        core = self._core
        return core.outbox.waits(core.log, (core.term, core.vote), core.commit_index) or (
            self._leader is not None and self._leader.wants_to_send()
        )

    def ready(self) -> Ready:
        """Hand out what is to be done; :meth:`advance` must follow before the next call.

        Raises :class:`~kvraft.errors.BadInput` otherwise: the next advance would count as durable
        what the caller may never have saved.
        """
        core = self._core
        core.outbox.check_free()
        if self._leader is not None:
            self._leader.send()
        return core.outbox.ready(core.log, HardState(core.term, core.vote), core.commit_index)

    def advance(self) -> None:
        """What the last :meth:`ready` handed out is done: its entries are durable.

        Raises :class:`~kvraft.errors.BadInput` if nothing was handed out since the last call.
        """
        self._core.outbox.advance()
        if self._leader is not None:
            self._leader.count()
            self._keep_role()

    # ── which part takes an input ───────────────────────────────────────────────────────────────

    def _leads(self) -> Leadership:
        if self._leader is None:
            raise NotLeader(self.member, self.leader)
        return self._leader

    def _enter_term_of(self, message: Message) -> bool:
        """Whoever is behind follows (§5.1).  Return whether the message is looked at any further.

        "If one server's current term is smaller than the other's, then it updates its current term
        to the larger value.  If a candidate or leader discovers that its term is out of date, it
        immediately reverts to follower state."
        """
        match message:
            case PreVote() | PreVoteReply(granted=True):
                return True  # of a term that nobody has entered
            case RequestVote() if self._election.sticks_to_leader(message):
                return False
            case AppendEntries() | InstallSnapshot():
                leader: str | None = message.sender
            case _:
                leader = None
        if self._leader is not None:
            self._leader.fail_reads()  # what only the leader of the old term could finish
        self._core.follow(message.term, leader)
        self._keep_role()
        return True

    def _keep_role(self) -> None:
        """Make a leader of who has won an election, and none of who follows again."""
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
                if leader is not None and message.term == self.term:  # not of an older leadership
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
                if leader is not None and message.term == self.term:
                    leader.on_snapshot_reply(message)
            case ReadIndex():
                asker = RemoteReader(message.sender, message.incarnation, message.token)
                if leader is not None:
                    leader.read(asker)
                else:
                    self._core.answer(asker, -1)
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
        """What it was made with."""
        return self._core.options

    @property
    def role(self) -> Role:
        """What it is in its term."""
        return self._core.role

    @property
    def term(self) -> int:
        """The latest term that it has seen."""
        return self._core.term

    @property
    def vote(self) -> str | None:
        """Who got its vote in that term."""
        return self._core.vote

    @property
    def leader(self) -> str | None:
        """The leader of that term, if it is known."""
        return self._core.leader

    @property
    def log(self) -> Log:
        """The log that it was given.  The owner may release entries in it, and change nothing."""
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
        return self._core.replicated

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
        """What followers are sent that need more than the log still holds (§7)."""
        return self._core.snapshot

    @property
    def receiving(self) -> bool:
        """Whether a snapshot is on its way to this member, and some of it has come."""
        return self._core.incoming is not None

    @property
    def lease(self) -> bool:
        """Whether this member may serve reads at once: it leads, and nobody else can yet."""
        return self._leader is not None and self._leader.lease

    @property
    def followers(self) -> dict[str, FollowerStatus]:
        """What this leader knows of each follower; empty on any other member."""
        return self._leader.followers() if self._leader is not None else {}

    def status(self) -> Status:
        """Return everything there is to see."""
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
            all_replicated_index=core.replicated,
            elapsed=core.timer.elapsed,
            timeout=core.timer.timeout,
            lease=self.lease,
            transfer=leader.transfer if leader else None,
            votes=dict(core.votes),
            progress=self.followers,
            waiting_reads=len(core.asking) + (leader.waiting_reads if leader else 0),
            undecided=len(core.fates),
        )
