"""What all parts of the consensus module share: "persistent" and "volatile state on all servers".

A :class:`Core` holds term, vote and role, the log and the configurations in it, the commit index,
the timer, and the next Ready (``raft/outbox.py``).  It makes the few transitions that more than one
part needs; the parts decide when.

Invariants:

- The term never falls, and a vote lasts as long as its term (Figure 2).
- The commit index never falls, and no entry at or below it is dropped.
- The configuration in force is the newest in the log, committed or not (§6).
- Each proposal and each read that was asked for here gets an outcome, unless the member restarts.

Sources: Raft Figure 2 ("state"), §5.1, §6.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from kvraft.events import (
    CommitAdvanced,
    ConfigurationChanged,
    EntriesSuperseded,
    EventSink,
    MessageRejected,
    RoleChanged,
    VoteGranted,
    ignore,
)
from kvraft.raft.incoming import IncomingSnapshot
from kvraft.raft.interface import RaftOptions, ReadReady, Role
from kvraft.raft.log import Log, SnapshotSource
from kvraft.raft.messages import ReadIndexReply
from kvraft.raft.outbox import Outbox
from kvraft.raft.proposals import OpenProposals
from kvraft.raft.quorum import Configuration
from kvraft.raft.reads import ForwardedReads, RemoteReader
from kvraft.record import Entry, HardState, Kind


class Timer:
    """The election timer, in ticks."""

    def __init__(self, options: RaftOptions, random: Random) -> None:
        self._options = options
        self._random = random
        self.elapsed = 0
        self.timeout = 0
        self.draw()

    def restart(self) -> None:
        """Start the same timeout again."""
        self.elapsed = 0

    def draw(self) -> None:
        """Start a newly drawn timeout.

        "Election timeouts are chosen randomly from a fixed interval", each time, so that members
        that split a vote do not split the next one too (§5.2).
        """
        shortest = self._options.election_ticks
        self.elapsed = 0
        self.timeout = self._random.randrange(shortest, shortest + self._options.spread_ticks)


class Core:
    """The state of one member; the arguments are those of :class:`~kvraft.raft.Raft`."""

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        log: Log,
        hard_state: HardState,
        *,
        random: Random,
        incarnation: int,
        options: RaftOptions,
        committed: int,
        cluster: str,
        report: EventSink,
    ) -> None:
        self.member = member
        self.cluster = cluster
        self.options = options
        self.report = report
        self.incarnation = incarnation
        self.ticks = 0
        """How many ticks have passed since the start."""
        self.disk_full = False
        """Whether the owner has no space: then nothing is taken that has to be stored."""
        self.role = Role.FOLLOWER
        self.term, self.vote = hard_state
        self.leader: str | None = None
        self.votes: dict[str, bool] = {}
        """The replies to this member's own election, or pre-vote, by voter."""
        self.heard_at: int | None = None
        """The tick in which this member last heard from a leader."""
        self.timer = Timer(options, random)
        self.log = log
        self.commit_index = committed
        self.all_replicated_index = 0
        """An index through which every member holds the log durably, as far as this one knows."""
        self.snapshot: SnapshotSource | None = None
        """The source of what followers are sent that need more than the log still holds."""
        self.incoming: IncomingSnapshot | None = None
        """The snapshot that a leader is sending to this member."""
        self.configurations = [(log.base.index, configuration)]
        self.outbox = Outbox(hard_state, log.last_index, committed)
        self.forwarded_reads = ForwardedReads()
        self.proposals = OpenProposals()
        self._reported: tuple[Role, int, str | None] = (self.role, self.term, None)
        self._adopt(log.slice(log.released + 1))

    @property
    def durable_index(self) -> int:
        """The last index that this member's own disk holds for certain."""
        return self.outbox.durable

    # ── terms and roles (Raft §5.1) ─────────────────────────────────────────────────────────────

    def follow(self, term: int, leader: str | None) -> None:
        """Be a follower in ``term``, of ``leader`` if it is known."""
        if self.role is Role.FOLLOWER and (term, leader) == (self.term, self.leader):
            return
        if self.role is Role.LEADER:
            # A leader's timer does not run: without a new timeout, a deposed leader could stand at
            # once, against the one that has just been elected.
            self.timer.draw()
        self.fail_asked_reads()
        self.become(Role.FOLLOWER, term, leader)

    def fail_asked_reads(self) -> None:
        """Fail the reads that wait for the previous leader's answer: no other member has it."""
        self.outbox.failed_reads += self.forwarded_reads.fail_asked()

    def become(self, role: Role, term: int, leader: str | None) -> None:
        """Change role, term or leader.  Planted bugs override this.

        A vote is kept for as long as its term lasts, whatever the role: otherwise two candidates
        could get it, and both win (§5.2).  A snapshot in part is dropped with the term of its
        leader, because the chunks of the next leader's snapshot need not fit it.
        """
        if term != self.term:
            self.vote = None
            self.incoming = None
        self.votes = {}
        self.role, self.term, self.leader = role, term, leader
        if self._reported != (now := (role, term, leader)):
            self._reported = now
            self.report(RoleChanged(role.value, term, leader or ""))

    def vote_for(self, candidate: str) -> None:
        """Give this term's vote to ``candidate``."""
        if self.vote != candidate:
            self.vote = candidate
            self.report(VoteGranted(self.term, candidate))

    # ── the log and its configurations (Raft §5.3, §6) ──────────────────────────────────────────

    def append(self, entries: Sequence[Entry]) -> bool:
        """Append ``entries``, to be saved with the next Ready; return whether they change members.

        They follow one on another: their leader, or :func:`malformed_reason`, saw to that.

        "A server always uses the latest configuration in its log, regardless of whether the entry
        is committed" (§6).
        """
        self.log.extend(entries)
        return self._adopt(entries)

    def supersede(self, index: int) -> None:
        """Drop the entry at ``index`` and all after it: the leader's log differs (§5.3)."""
        self.report(EntriesSuperseded(index, self.log.last_index))
        self.log.truncate_from(index)
        self.outbox.truncated(index)
        if self.configuration_index >= index:
            # A configuration goes with its entry: "a server must be prepared to fall back to the
            # previous configuration in its log" (thesis §4.1).
            self.configurations = [c for c in self.configurations if c[0] < index]
            self._report_configuration()

    def _adopt(self, entries: Sequence[Entry]) -> bool:
        """Act on the configurations in ``entries`` from the moment that they are in the log."""
        if Kind.CONFIGURATION not in [entry.record.kind for entry in entries]:
            return False
        self.configurations += [
            (entry.index, Configuration.from_bytes(entry.record.value))
            for entry in entries
            if entry.record.kind is Kind.CONFIGURATION
        ]
        self._report_configuration()
        return True

    def _report_configuration(self) -> None:
        index, now = self.configurations[-1]
        self.report(ConfigurationChanged(index, now.voters, now.outgoing, now.learners))

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.configurations[-1][1]

    @property
    def configuration_index(self) -> int:
        """The index of the entry that the configuration in force comes from, or of the base."""
        return self.configurations[-1][0]

    def configuration_at(self, index: int) -> Configuration:
        """Return the configuration as of ``index``, which is not below the log's base."""
        return next(found for at, found in reversed(self.configurations) if at <= index)

    def forget_configurations(self, index: int) -> None:
        """Drop all configurations up to ``index`` but the newest: the log begins after it now."""
        while len(self.configurations) > 1 and self.configurations[1][0] <= index:
            del self.configurations[0]

    def replace_configuration(self, index: int, configuration: Configuration) -> None:
        """Replace all configurations with that of a snapshot through ``index``."""
        self.configurations = [(index, configuration)]
        self._report_configuration()

    # ── commitment (Raft §5.3) ──────────────────────────────────────────────────────────────────

    def commit_through(self, index: int) -> None:
        """Raise the commit index to ``index``, which never lowers it.

        The caller must know that the entries here equal the leader's through ``index``.
        """
        if index > self.commit_index:
            self.commit_index = index
            if self.report is not ignore:
                self.report(CommitAdvanced(index))
            self.settle()

    def settle(self) -> None:
        """Decide proposals and release reads that have waited for the commit index."""
        self.outbox.decided += self.proposals.decide(self.commit_index, self.log)
        self.release_reads()

    # ── reads (Raft §8; thesis §6.4) ────────────────────────────────────────────────────────────

    def release_reads(self) -> None:
        """Hand out the reads whose index is committed here by now."""
        self.outbox.reads += self.forwarded_reads.release(self.commit_index)

    def serve(self, who: int | RemoteReader, index: int) -> None:
        """Serve a read of this leader's as of ``index``: here, or by an answer to a follower."""
        if isinstance(who, RemoteReader):
            self.answer(who, index)
        else:
            self.outbox.reads.append(ReadReady(who, index))

    def fail(self, who: int | RemoteReader) -> None:
        """Fail a read that this leader was asked for."""
        if isinstance(who, RemoteReader):
            self.answer(who, -1)
        else:
            self.outbox.failed_reads.append(who)

    def answer(self, reader: RemoteReader, index: int) -> None:
        """Answer a follower's question; ``index`` is -1 if there is no answer."""
        to, incarnation, token = reader
        self.outbox.messages.append(
            ReadIndexReply(
                self.member, to, self.term, incarnation, token, index, cluster=self.cluster
            )
        )

    # ── malformed messages ──────────────────────────────────────────────────────────────────────

    def reject(self, message: object, reason: str) -> None:
        """Report a message that is ignored."""
        sender = getattr(message, "sender", "")
        self.report(
            MessageRejected(type(message).__name__, sender if type(sender) is str else "", reason)
        )
