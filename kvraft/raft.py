"""The consensus module: Raft as a pure state machine.

Messages, ticks and proposals go in; what must be made durable, what may be sent and what is
committed comes out.  There is no socket, file, thread, clock or randomness of its own in here: time
comes as ticks, randomness from a given generator.  So the same code runs in a notebook, a
simulator, a model checker and a server.

The contract with the owner, a loop (``contract.py`` says what else there is to see to)::

    ready = raft.ready()
    1. send ready.early                           (may overlap with 2: thesis §10.2.1)
    2. keep ready.chunks, which need not be durable yet;
       make durable, in one sync: ready.hard_state, ready.snapshot, ready.entries
    3. send ready.messages
    4. apply ready.snapshot, then ready.committed; tell of ready.decided; serve ready.reads
    raft.advance()                                (what was handed out is done)

What is in which file: ``messages.py`` the messages and what makes one malformed, ``log.py`` the
log, ``membership.py`` quorums, ``rules.py`` the two rules of safety, ``leader.py`` what only a
leader does, with ``progress.py`` what it knows of a follower and ``reads.py`` the reads that wait,
``fates.py`` what became of proposals, ``incoming.py`` a snapshot on its way, ``admission.py`` what
may stand in a log at all, ``contract.py`` options, Ready and Status.  Here is what every member
does.

Invariants (Raft Figure 3 follows from them):

- Nothing that depends on a term, a vote or an entry of this member leaves before that term, vote or
  entry is durable.  (What a leader appends does not depend on its own disk.)
- A leader only appends to its log.  A follower drops entries only where they conflict with the
  leader's, and never at or below its commit index.
- An entry counts for a member, the leader included, only once it is durable there; and only
  entries of the leader's own term are committed by counting (§5.4.2).
- The configuration in force is the newest in the log, and a new one is not begun before the last
  one is committed (§6).
- What a leader takes is what its followers take: one rule, ``admission.py``, asked at the door.
- A read is served, or has failed, within two election timeouts.
- No message, whatever is in it, raises an exception; one that nobody sound would send changes
  nothing and is reported as :class:`~kvraft.events.Refused`.

Sources: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
Version)*, 2014, here "Raft"; Ongaro, *Consensus: Bridging Theory and Practice*, 2014, here
"thesis".
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kvraft import rules
from kvraft.admission import check_number, records_problem, wrong
from kvraft.contract import (
    Chunk,
    Decided,
    Fate,
    Options,
    ReadReady,
    Ready,
    Received,
    Role,
    Status,
)
from kvraft.display import counted
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.events import (
    Committed,
    ConfigurationChanged,
    Refused,
    Report,
    RoleChanged,
    SnapshotTaken,
    Superseded,
    Voted,
    ignore,
)
from kvraft.fates import Fates
from kvraft.incoming import Incoming, take
from kvraft.leader import Leader
from kvraft.log import Log, Offer
from kvraft.membership import Configuration, names_of, vote_result
from kvraft.messages import (
    CLUSTER,
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
    problem,
)
from kvraft.reads import Asker, Asking, Waiting
from kvraft.record import (
    ORIGIN,
    Entry,
    HardState,
    Kind,
    Position,
    Record,
    configuration_record,
    is_name,
)

__all__ = ["Decided", "Fate", "Options", "Raft", "ReadReady", "Ready", "Received", "Role", "Status"]


class Raft:
    """One member's part in consensus.

    ``configuration`` is in force as of the log's base, or as of the last entry that is not in
    memory; configurations in the log behind that supersede it.  The member need not be part of it:
    it may be waiting to be added.  ``log`` and ``hard_state`` are what its disk holds,
    ``committed`` is an index that is known to be committed (what the tree had flushed); entries
    above it are handed out as they commit.  ``incarnation`` is a number from 0 to 2**63 - 1 that no
    earlier start of this member was given; ``random`` draws election timeouts (``contract.py``
    says more about both).  ``report`` is called with each event, within the call that caused it.

    Raises :class:`~kvraft.errors.WrongType` and :class:`~kvraft.errors.BadInput` if these are not
    what they should be or do not fit together.  Not safe for threads.
    """

    grant_vote = staticmethod(rules.grant_vote)
    advance_commit = staticmethod(rules.advance_commit)

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        log: Log,
        hard_state: HardState,
        *,
        random: Random,
        incarnation: int,
        options: Options | None = None,
        committed: int = 0,
        cluster: str = CLUSTER,
        report: Report = ignore,
    ) -> None:
        for what, name in (("member", member), ("cluster", cluster)):
            if not is_name(name):
                raise wrong(f"a {what} needs a name that can be written down", name, str)
        parts = ((configuration, Configuration), (log, Log), (random, Random))
        for part, kind in (*parts, (hard_state, HardState)):
            if not isinstance(part, kind):
                raise wrong(f"a member begins with a {kind.__name__}", part, kind)
        check_number("incarnation", incarnation)
        check_number("a term", hard_state.term)
        why = records_problem([entry.record for entry in log.slice(log.released + 1)])
        if why:
            raise BadInput(f"the log of {member} holds what no follower would take: {why}")
        if hard_state.term < log.last_term:
            raise BadInput(f"the log of {member} is of term {log.last_term}, after its own")
        if not log.base.index <= committed <= log.last_index:
            raise BadInput(f"entry {committed} is said to be committed, but it is not in the log")
        self.member = member
        self.cluster = cluster
        self.log = log
        self.incarnation = incarnation
        self.role = Role.FOLLOWER
        self.term, self.vote = hard_state
        self.leader: str | None = None
        self.commit_index = committed
        self.replicated = 0
        """An index through which every member holds the log durably, as far as this one knows."""
        self.leading: Leader | None = None
        """What there is to being a leader, while this member is one."""
        self.ticks = 0
        """How much time has passed since the start."""
        self.full = False
        """Set by the owner while it has no space: then nothing is taken that has to be stored."""
        self.options = options or Options()
        self.report = report
        self._random = random
        self._snapshot: Offer | None = None
        self._configurations = [(log.base.index, configuration)]
        self._elapsed = 0  # ticks since the timer was reset
        self._heard_at: int | None = None  # the tick in which a leader was heard last
        self._timeout = self._draw_timeout()
        self._votes: dict[str, bool] = {}
        self._incoming: Incoming | None = None
        self._asking = Asking()
        self._fates = Fates()
        # What the next ready() hands out, and what the last one did.
        self._busy = False  # whether the owner is still at what the last one handed out
        self._saved = hard_state
        self._durable = self._saving = log.last_index
        self._unsaved = log.last_index + 1  # the first entry not handed out for saving
        self._handed_out = committed
        self._early: list[Message] = []
        self._messages: list[Message] = []
        self._chunks: list[Chunk] = []
        self._received: Received | None = None
        self._decided: list[Decided] = []
        self._ready_reads: list[ReadReady] = []
        self._failed_reads: list[int] = []
        self._told: tuple[Role, int, str | None] = (self.role, self.term, None)
        self._adopt(_configurations_of(log.slice(log.released + 1)))

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Let one tick of time pass: elections time out, leaders send heartbeats (§5.2)."""
        self.ticks += 1
        self._failed_reads += self._asking.give_up(self.ticks - self.options.election_ticks)
        if self.leading is not None:
            self.leading.tick()
            return
        self._elapsed += 1
        if self._elapsed >= self._timeout:
            self.timeout()

    def timeout(self) -> None:
        """Let the timer run out now: a leader sends heartbeats, a voter begins an election."""
        self._elapsed = 0
        self._heard_at = None  # this member itself gives that leader up
        if self.leading is not None:
            self.leading.heartbeat()
        elif self._may_stand:
            if self.options.pre_vote:
                self._ask_first()
            else:
                self._campaign()

    def step(self, message: Message) -> None:
        """Take a message.  One that cannot be meant is reported and otherwise ignored."""
        why = problem(message, self.member, self.cluster)
        if why:
            self.refuse(message, why)
        elif message.term <= self.term or self._enter_term_of(message):
            getattr(self, _HANDLERS[type(message)])(message)

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append ``records`` to the leader's log, all of them; return first and last index (§5.3).

        What becomes of them is told in :attr:`Ready.decided`, unless this member crashes: then
        nobody can tell.  Raises :class:`~kvraft.errors.BadInput` for records that no follower would
        take (``admission.py``) or that are not a client's, :class:`~kvraft.errors.NotLeader` on any
        other member, and :class:`~kvraft.errors.Busy` during a transfer of leadership and while
        ``max_uncommitted`` entries wait already.
        """
        if not isinstance(records, list | tuple):
            raise wrong("a proposal is a list or tuple of records", records, list)
        why = records_problem(records)
        if why:
            raise BadInput(f"no follower would take this proposal: {why}")
        kinds = {record.kind for record in records}
        alone = kinds == {Kind.REGISTER} and len(records) == 1
        if not ((kinds and kinds <= _PROPOSED) or alone):
            raise BadInput(
                "a proposal needs records of a client's data, or the registration of a client alone"
            )
        self._check_leads()
        waiting = self.log.last_index - self.commit_index
        if waiting >= self.options.max_uncommitted:
            raise Busy(f"{self.member} has {counted(waiting, 'entry')} waiting to be committed")
        first, last = self.append_own(records)
        self._fates.add(first, last, self.term)
        return first, last

    def propose_change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Begin to make ``voters`` and ``learners`` the members; return the entry's index (§6).

        Several may be added, removed and exchanged at once; the cluster passes through a joint
        configuration and leaves it by itself.  Who is to vote must have been a learner before, and
        must have caught up and be heard (thesis §4.2.1).  Raises :class:`~kvraft.errors.NotLeader`,
        :class:`~kvraft.errors.Busy` while another change is under way, a newcomer lags or is
        silent, or most of the new voters are, and
        :class:`~kvraft.errors.BadInput` for a change that makes no sense.
        """
        names_of("voters", voters), names_of("learners", learners)
        leading = self._check_leads()
        index, configuration = self._configurations[-1]
        if configuration.joint or index > self.commit_index:
            raise Busy(f"the change of members at entry {index} is under way")
        change = configuration.change_to(tuple(voters), tuple(learners))
        leading.check_change(change)
        record = configuration_record(change.to_bytes())
        why = records_problem([record])
        if why:
            raise BadInput(f"no follower would take this change: {why}")
        index, _ = self.append_own([record])
        self._fates.add(index, index, self.term)
        return index

    def transfer_leader(self, to: str) -> None:
        """Hand leadership over to the voter ``to``, as soon as it has the whole log (thesis §3.10).

        Nothing is proposed meanwhile.  It is given up after ``election_ticks``, or once ``to`` is
        no voter any more; :meth:`cancel_transfer` calls it off, another call replaces it.  Raises
        :class:`~kvraft.errors.NotLeader`, and :class:`~kvraft.errors.BadInput` if ``to`` is no
        other voter.
        """
        leading = self.leading
        if leading is None:
            raise NotLeader(self.member, self.leader)
        if to == self.member or to not in self.configuration.voting:
            raise BadInput(
                f"leadership cannot pass from {self.member} to {to!r}: not another voter"
            )
        leading.begin_transfer(to)

    def cancel_transfer(self) -> None:
        """Call a transfer of leadership off, if one is pending: proposals are taken again at once.

        Who was told to stand already may be elected all the same.  Raises
        :class:`~kvraft.errors.NotLeader`.
        """
        if self.leading is None:
            raise NotLeader(self.member, self.leader)
        self.leading.cancel_transfer()

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
        if self.leading is not None:
            self.leading.read(token)
        elif self.leader is None:
            raise NotLeader(self.member, None)
        else:
            number = self._asking.ask(token, self.ticks)
            ask = (self.incarnation, number, self.cluster)
            self._messages.append(ReadIndex(self.member, self.leader, self.term, *ask))

    def compact(self, index: int, snapshot: Offer | None = None) -> None:
        """Forget the entries through ``index``: they are gone from the log on disk.

        ``snapshot``, which reaches at least as far, is what followers are sent from now on that
        would need them (§7).  Raises :class:`~kvraft.errors.BadInput` for entries that are not
        durable here, or were not handed out as committed, and for a snapshot that ends before.
        """
        check_number("the index to forget through", index)
        if index > (known := min(self._handed_out, self._durable)):
            raise BadInput(f"entry {index} cannot be forgotten: {known} is the last that may be")
        if snapshot is not None:
            self._check_offer(snapshot, max(index, self.log.base.index))
        if index > self.log.base.index:
            self.log.drop_through(index)
            while len(self._configurations) > 1 and self._configurations[1][0] <= index:
                del self._configurations[0]
            if self.leading is not None:
                self.leading.follow_cut(index)
        if snapshot is not None:
            self._snapshot = snapshot

    @property
    def snapshot(self) -> Offer | None:
        """What followers are sent that need more than the log still holds (§7).

        It is to be set by the owner; ``None``, and nothing is sent to them.  Raises
        :class:`~kvraft.errors.BadInput` if it ends before the log begins, or is not committed.
        """
        return self._snapshot

    @snapshot.setter
    def snapshot(self, snapshot: Offer | None) -> None:
        if snapshot is not None:
            self._check_offer(snapshot, self.log.base.index)
        self._snapshot = snapshot

    def _check_offer(self, snapshot: Offer, base: int) -> None:
        end = snapshot.last.index
        if not base <= end <= self.commit_index:
            raise BadInput(
                f"a snapshot through entry {end} is of no use: the log begins after {base}, and is "
                f"committed through {self.commit_index}"
            )

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def has_ready(self) -> bool:
        """Return whether :meth:`ready` would hand out anything."""
        return bool(
            self._messages
            or self._early
            or self._unsaved <= self.log.last_index
            or self._handed_out < self.commit_index
            or self._saved != (self.term, self.vote)
            or self._chunks
            or self._received
            or self._decided
            or self._ready_reads
            or self._failed_reads
            or (self.leading is not None and self.leading.wants_to_send())
        )

    def ready(self) -> Ready:
        """Hand out what is to be done; :meth:`advance` must follow before the next call.

        Raises :class:`~kvraft.errors.BadInput` otherwise: the next advance would count as durable
        what the caller may never have saved.
        """
        if self._busy:
            raise BadInput("what ready() handed out last is not done yet: advance() comes first")
        self._busy = True
        if self.leading is not None:
            self.leading.send()
        state = HardState(self.term, self.vote)
        changed = state != self._saved
        if changed:  # a term must be durable before anything says that it was entered
            self._messages = self._early + self._messages
            self._early = []
        last = self.log.last_index
        ready = Ready(
            tuple(self._early),
            state if changed else None,
            tuple(self._chunks),
            self._received,
            self.log.slice(self._unsaved) if self._unsaved <= last else (),
            tuple(self._messages),
            self.log.slice(self._handed_out + 1, self.commit_index)
            if self._handed_out < self.commit_index
            else (),
            tuple(self._decided),
            tuple(self._ready_reads),
            tuple(self._failed_reads),
        )
        self._saved, self._received, self._chunks = state, None, []
        self._unsaved, self._saving = last + 1, last
        self._handed_out = self.commit_index
        self._early, self._messages, self._decided = [], [], []
        self._ready_reads, self._failed_reads = [], []
        return ready

    def advance(self) -> None:
        """What the last :meth:`ready` handed out is done: its entries are durable.

        Raises :class:`~kvraft.errors.BadInput` if nothing was handed out since the last call.
        """
        if not self._busy:
            raise BadInput("nothing was handed out that could be done: ready() comes first")
        self._busy = False
        self._durable = self._saving
        if self.leading is not None:
            self.leading.count()

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the newest in the log, committed or not (§6)."""
        return self._configurations[-1][1]

    @property
    def configuration_index(self) -> int:
        """The index of the entry that the configuration in force comes from, or of the base."""
        return self._configurations[-1][0]

    @property
    def durable_index(self) -> int:
        """The last index that this member's own disk holds for certain."""
        return self._durable

    @property
    def receiving(self) -> bool:
        """Whether a snapshot is on its way to this member, and some of it has come."""
        return self._incoming is not None

    @property
    def lease(self) -> bool:
        """Whether this member may serve reads at once: it leads, and nobody else can yet."""
        return self.leading is not None and self.leading.lease

    def configuration_at(self, index: int) -> Configuration:
        """Return the configuration as of ``index``, which is not below the log's base."""
        return next(found for at, found in reversed(self._configurations) if at <= index)

    def status(self) -> Status:
        """Return everything there is to see."""
        leading, asked = self.leading, len(self._asking)
        return Status(
            member=self.member,
            role=self.role,
            term=self.term,
            vote=self.vote,
            leader=self.leader,
            configuration=self.configuration,
            configuration_index=self.configuration_index,
            first_index=self.log.first_index,
            commit_index=self.commit_index,
            durable_index=self._durable,
            last_index=self.log.last_index,
            last_term=self.log.last_term,
            replicated=self.replicated,
            elapsed=self._elapsed,
            timeout=self._timeout,
            lease=self.lease,
            transfer=leading.transfer if leading else None,
            votes=dict(self._votes),
            progress=leading.followers() if leading else {},
            waiting_reads=asked + (leading.waiting_reads if leading else 0),
            undecided=len(self._fates),
        )

    # ── what the leader's part, leader.py, asks of the rest ─────────────────────────────────────

    def append_own(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append to the leader's own log; it is sent and saved by the next Ready."""
        first, term = self.log.last_index + 1, self.term
        entries = [Entry(term, first + n, record) for n, record in enumerate(records)]
        last = entries[-1].index
        self.log.append(entries)
        self._adopt(_configurations_of(entries))
        return first, last

    def post_early(self, message: Message) -> None:
        """Send what does not depend on this member's own disk (thesis §10.2.1)."""
        self._early.append(message)

    def note_replicated(self, index: int) -> None:
        """Every member holds the log through ``index``."""
        self.replicated = max(self.replicated, index)

    def fail_read(self, waiting: Waiting) -> None:
        """A read that waited at this leader is given up."""
        if isinstance(waiting.who, Asker):
            self._answer_asker(waiting.who, -1)
        else:
            self._failed_reads.append(waiting.who)

    def step_down(self) -> None:
        """Lead no more, and know of no leader."""
        self._follow(self.term, None)

    def refuse(self, message: object, why: str) -> None:
        """Report a message that is ignored."""
        sender = getattr(message, "sender", "")
        self.report(Refused(type(message).__name__, sender if type(sender) is str else "", why))

    def _check_leads(self) -> Leader:
        if self.leading is None:
            raise NotLeader(self.member, self.leader)
        if self.leading.transfer:
            raise Busy(f"{self.member} is handing leadership over to {self.leading.transfer}")
        return self.leading

    # ── terms and roles (Raft §5.1) ─────────────────────────────────────────────────────────────

    def _enter_term_of(self, message: Message) -> bool:
        """Whoever is behind follows.  Return whether the message is to be looked at any further."""
        match message:
            case PreVote() | PreVoteReply(granted=True):
                return True  # of a term that nobody has entered
            case RequestVote() if self._must_not_depose(message):
                return False
            case AppendEntries() | InstallSnapshot():
                self._follow(message.term, message.sender)
            case _:
                self._follow(message.term, None)
        return True

    def _must_not_depose(self, ask: RequestVote) -> bool:
        """Whether a leader lives that ``ask`` would depose, and did not order the election (§6)."""
        return self.options.check_quorum and not ask.transfer and self._shielded

    @property
    def _shielded(self) -> bool:
        """Whether a leader was heard so lately that no candidate may be listened to.

        That leader may hold a lease, whatever this member has learned of newer terms since.  A
        restarted member has forgotten whom it heard.  Where leases rely on what it promised, it
        keeps quiet until any such promise is over.
        """
        if self.options.lease_ticks and self.ticks < self.options.election_ticks:
            return True
        if self.leading is not None or self._heard_at is None:
            return self.leading is not None
        return self.ticks - self._heard_at < self.options.election_ticks

    def _follow(self, term: int, leader: str | None) -> None:
        """Be a follower in ``term``, of ``leader`` if it is known."""
        if self.role is Role.FOLLOWER and (term, leader) == (self.term, self.leader):
            return
        if self.leading is not None:  # fail what only a leader can finish
            self._elapsed, self._timeout = 0, self._draw_timeout()
            for waiting in self.leading.give_up_reads():
                self.fail_read(waiting)
            self.leading = None
        self._failed_reads += self._asking.give_up_asked()
        self.become(Role.FOLLOWER, term, leader)

    def become(self, role: Role, term: int, leader: str | None) -> None:
        """Change role, term or leader.  A vote is kept for as long as its term lasts."""
        if term != self.term:
            self.vote = None
            self._incoming = None
        self._votes = {}
        self.role, self.term, self.leader = role, term, leader
        if self._told != (now := (role, term, leader)):
            self._told = now
            self.report(RoleChanged(role.value, term, leader or ""))

    # ── elections (Raft §5.2, §5.4.1; thesis §3.10, §9.6) ───────────────────────────────────────

    @property
    def _may_stand(self) -> bool:
        """Whether this member votes; or did until a change that may not be committed yet.

        It may be the only one who can commit that change, though its own vote no longer counts
        (thesis §4.2.2).
        """
        if self.member in self.configuration.voting:
            return True
        if self.configuration_index <= self.commit_index or len(self._configurations) < 2:
            return False
        return self.member in self._configurations[-2][1].voting

    def _ask_first(self) -> None:
        """Ask whether an election could be won, and enter no new term before (thesis §9.6)."""
        self._failed_reads += self._asking.give_up_asked()
        self.become(Role.PRE_CANDIDATE, self.term, None)
        self._elapsed, self._timeout = 0, self._draw_timeout()
        last = self.log.last
        self._messages += [
            PreVote(self.member, to, self.term + 1, *last, cluster=self.cluster)
            for to in self.configuration.voting
            if to != self.member
        ]
        self._votes = {self.member: True}
        self._count_votes()

    def _campaign(self, *, transfer: bool = False) -> None:
        """Begin an election for the next term, with this member's own vote."""
        self._failed_reads += self._asking.give_up_asked()
        self.become(Role.CANDIDATE, self.term + 1, None)
        self._vote_for(self.member)
        self._elapsed, self._timeout = 0, self._draw_timeout()
        last = self.log.last
        self._messages += [
            RequestVote(self.member, to, self.term, *last, transfer, cluster=self.cluster)
            for to in self.configuration.voting
            if to != self.member
        ]
        self._votes = {self.member: True}
        self._count_votes()

    def _on_pre_vote(self, ask: PreVote) -> None:
        """Say whether we would vote so.  Nothing here changes: neither term, vote nor timer."""
        granted = (
            ask.term > self.term and not self._shielded and rules.up_to_date(ask, self.log.last)
        )
        term = ask.term if granted else self.term
        reply = PreVoteReply(self.member, ask.sender, term, granted, cluster=self.cluster)
        self._messages.append(reply)

    def _on_pre_vote_reply(self, reply: PreVoteReply) -> None:
        if self.role is Role.PRE_CANDIDATE and (not reply.granted or reply.term == self.term + 1):
            self._votes[reply.sender] = reply.granted
            self._count_votes()

    def _on_request_vote(self, ask: RequestVote) -> None:
        """Vote once a term, and only for a candidate whose log is as complete as ours (§5.4.1)."""
        granted = not self._must_not_depose(ask) and self.grant_vote(
            ask, self.term, self.vote, self.log.last
        )
        if granted:
            self._vote_for(ask.sender)
            self._elapsed, self._timeout = 0, self._draw_timeout()
        reply = RequestVoteReply(self.member, ask.sender, self.term, granted, cluster=self.cluster)
        self._messages.append(reply)

    def _on_append_reply(self, reply: AppendEntriesReply) -> None:
        if self.leading is not None and reply.term == self.term:
            self.leading.on_append_reply(reply)

    def _on_snapshot_reply(self, reply: InstallSnapshotReply) -> None:
        if self.leading is not None and reply.term == self.term:
            self.leading.on_snapshot_reply(reply)

    def _on_vote_reply(self, reply: RequestVoteReply) -> None:
        if self.role is Role.CANDIDATE and reply.term == self.term:
            self._votes[reply.sender] = reply.granted
            self._count_votes()

    def _count_votes(self) -> None:
        result = vote_result(self.configuration, self._votes)
        if result is False:  # the timer runs on
            self.become(Role.FOLLOWER, self.term, None)
        elif result and self.role is Role.PRE_CANDIDATE:
            self._campaign()
        elif result:
            self.become(Role.LEADER, self.term, self.member)
            self._elapsed = 0
            self.leading = Leader(self)

    def _on_timeout_now(self, order: TimeoutNow) -> None:
        """The leader hands over to us: no need to ask first, nor to wait (thesis §3.10)."""
        if (
            order.term == self.term
            and order.sender == self.leader
            and self.member in self.configuration.voting
        ):
            self._campaign(transfer=True)

    def _vote_for(self, candidate: str) -> None:
        if self.vote != candidate:
            self.vote = candidate
            self.report(Voted(self.term, candidate))

    def _draw_timeout(self) -> int:
        shortest = self.options.election_ticks
        return self._random.randrange(shortest, shortest + self.options.spread_ticks)

    # ── replication, as a follower (Raft §5.3) ──────────────────────────────────────────────────

    def _on_append_entries(self, append: AppendEntries) -> None:
        """Take a leader's entries if they follow on ours, else say where ours and its may meet."""
        if append.term < self.term:
            # Round 0: its sender may lead our term by the time it reads this, with another log and
            # other rounds, and must not take it for an answer to an append of that term.
            self._reply_append(append, round=0, success=False)
            return
        if self._rival(append):
            return
        self._follow(append.term, append.sender)
        self._elapsed, self._heard_at = 0, self.ticks
        log, previous = self.log, append.prev_index
        if previous >= log.base.index and not log.holds(previous, append.prev_term):
            index = log.last_not_above(append.prev_term, min(previous, log.last_index))
            self._reply_append(append, success=False, hint=Position(index, log.term(index)))
            return
        if not self.take_entries(append):
            return
        match = previous + len(append.entries)
        self.note_replicated(min(append.replicated, match))
        # Only what this message covers is known to be the leader's: what may follow is not.
        self.commit_through(min(append.commit, match))
        self._reply_append(append, success=True, match=match)

    def _rival(self, message: AppendEntries | InstallSnapshot) -> bool:
        """Refuse a message of somebody else who claims to lead this term."""
        if self.leader not in (None, message.sender) and message.term == self.term:
            self.refuse(message, f"{self.leader} leads term {self.term}")
            return True
        return False

    def take_entries(self, append: AppendEntries) -> bool:
        """Append what is new.  Drop ours only where it conflicts: the message may be an old one."""
        entries, log = append.entries, self.log
        new = max(0, log.first_index - append.prev_index - 1)  # what is older was cut off
        while new < len(entries) and entries[new].index <= log.last_index:
            if log.term(entries[new].index) != entries[new].term:
                break
            new += 1
        entries = entries[new:]
        if not entries:
            return True
        if self.full:  # no answer, which would only have them sent again at once
            return False
        if entries[0].index <= self.commit_index:
            self.refuse(append, f"entry {entries[0].index} conflicts with a committed one")
            return False
        if entries[0].term < log.term(entries[0].index - 1):
            self.refuse(append, f"entry {entries[0].index} is of an older term than the one before")
            return False
        configurations = _configurations_of(entries)
        if entries[0].index <= log.last_index:
            self.supersede(entries[0].index)
        log.append(entries)
        self._adopt(configurations)
        return True

    def supersede(self, index: int) -> None:
        """Drop the entry at ``index`` and all behind it: the leader's log differs."""
        self.report(Superseded(index, self.log.last_index))
        self.log.truncate_from(index)
        self._unsaved = min(self._unsaved, index)
        self._saving = min(self._saving, index - 1)
        self._durable = min(self._durable, index - 1)
        if self.configuration_index >= index:  # a configuration goes with its entry (§6)
            self._configurations = [c for c in self._configurations if c[0] < index]
            self._report_configuration()

    def _reply_append(
        self,
        append: AppendEntries,
        *,
        success: bool,
        match: int = 0,
        hint: Position = ORIGIN,
        round: int | None = None,
    ) -> None:
        self._messages.append(
            AppendEntriesReply(
                self.member,
                append.sender,
                self.term,
                success,
                append.prev_index,
                match,
                *hint,
                append.round if round is None else round,
                self.cluster,
            )
        )

    # ── snapshots, as a follower (Raft §7) ──────────────────────────────────────────────────────

    def _on_install_snapshot(self, chunk: InstallSnapshot) -> None:
        """Gather the chunks of a snapshot; take it once it is whole, if it tells anything new."""
        if chunk.term < self.term:
            self._reply_chunk(chunk, 0)
            return
        if self._rival(chunk):
            return
        self._follow(chunk.term, chunk.sender)
        self._elapsed, self._heard_at = 0, self.ticks
        last = Position(chunk.last_index, chunk.last_term)
        if self._received is not None or self.full:
            return  # its owner is to take the one before first, or has no space; it is sent again
        if self.log.holds(*last):  # all of it is in the log, and so known to be committed
            self.commit_through(last.index)
        if last.index <= self.commit_index:
            self._incoming = None
            self._reply_chunk(chunk, chunk.size, done=True)
            return
        incoming, kept = take(self._incoming, chunk)
        if incoming is None:
            return
        self._incoming = incoming
        self._chunks += [] if kept is None else [kept]
        self._reply_chunk(chunk, incoming.reached, done=incoming.whole)
        if incoming.whole:
            self._incoming = None
            self._take_snapshot(Received(last, chunk.configuration, chunk.size))

    def _take_snapshot(self, snapshot: Received) -> None:
        """Let a snapshot stand in for the whole log."""
        index = snapshot.last.index
        self.log.reset(snapshot.last)
        self.commit_index = self._handed_out = index
        self._durable = self._saving = index
        self._unsaved = index + 1
        self._received = snapshot
        self._configurations = [(index, snapshot.configuration)]
        self.report(SnapshotTaken(*snapshot.last, snapshot.size))
        self._report_configuration()
        self._decide()
        self._ready_reads += self._asking.release(index)

    def _reply_chunk(self, chunk: InstallSnapshot, offset: int, *, done: bool = False) -> None:
        self._messages.append(
            InstallSnapshotReply(
                self.member, chunk.sender, self.term, chunk.last_index, offset, done, self.cluster
            )
        )

    # ── commitment (Raft §5.3, §5.4.2) ──────────────────────────────────────────────────────────

    def commit_through(self, index: int) -> None:
        """Everything through ``index`` is committed, the leader says or this leader found."""
        if index > self.commit_index:
            self.commit_index = index
            if self.report is not ignore:
                self.report(Committed(index))
            self._decide()
            self._ready_reads += self._asking.release(index)

    def _decide(self) -> None:
        """Say what became of the proposals that commitment has reached."""
        self._decided += self._fates.decide(self.commit_index, self.log)

    # ── membership (Raft §6) ────────────────────────────────────────────────────────────────────

    def _adopt(self, configurations: list[tuple[int, Configuration]]) -> None:
        """Act on configurations from the moment that they are in the log."""
        if configurations:
            self._configurations += configurations
            self._report_configuration()
            if self.leading is not None:
                self.leading.watch_members()

    def _report_configuration(self) -> None:
        index, now = self._configurations[-1]
        self.report(ConfigurationChanged(index, now.voters, now.outgoing, now.learners))

    # ── reads (Raft §8; thesis §6.4) ────────────────────────────────────────────────────────────

    def serve(self, read: Waiting) -> None:
        """A read that waited at this leader may be served."""
        if isinstance(read.who, Asker):
            self._answer_asker(read.who, read.index)
        else:
            self._ready_reads.append(ReadReady(read.who, read.index))

    def _on_read_index(self, ask: ReadIndex) -> None:
        asker = Asker(ask.sender, ask.asker, ask.token)
        if self.leading is not None:
            self.leading.read(asker)
        else:
            self._answer_asker(asker, -1)

    def _answer_asker(self, asker: Asker, index: int) -> None:
        to, start, token = asker
        self._messages.append(
            ReadIndexReply(self.member, to, self.term, start, token, index, cluster=self.cluster)
        )

    def _on_read_index_reply(self, reply: ReadIndexReply) -> None:
        if reply.asker == self.incarnation:
            failed = self._asking.answered(reply.token, reply.index, self.ticks)
            self._failed_reads += [] if failed is None else [failed]
            self._ready_reads += self._asking.release(self.commit_index)


_PROPOSED = frozenset((Kind.PUT, Kind.DELETE, Kind.EXPECT))


def _configurations_of(entries: Sequence[Entry]) -> list[tuple[int, Configuration]]:
    """Return the configurations among ``entries``, which may stand in a log."""
    if Kind.CONFIGURATION not in [entry.record.kind for entry in entries]:
        return []
    return [
        (entry.index, Configuration.from_bytes(entry.record.value))
        for entry in entries
        if entry.record.kind is Kind.CONFIGURATION
    ]


_HANDLERS = {
    RequestVote: "_on_request_vote",
    RequestVoteReply: "_on_vote_reply",
    PreVote: "_on_pre_vote",
    PreVoteReply: "_on_pre_vote_reply",
    AppendEntries: "_on_append_entries",
    AppendEntriesReply: "_on_append_reply",
    InstallSnapshot: "_on_install_snapshot",
    InstallSnapshotReply: "_on_snapshot_reply",
    ReadIndex: "_on_read_index",
    ReadIndexReply: "_on_read_index_reply",
    TimeoutNow: "_on_timeout_now",
}
