"""The consensus module: Raft as a pure state machine.

Messages, ticks and proposals go in; what must be made durable, what may be sent and what is
committed comes out.  There is no socket, file, thread, clock or randomness of its own in here: time
comes as ticks, randomness from a given generator.  So the same code runs in a notebook, a simulator
and a server.

The contract with the owner, a loop::

    ready = raft.ready()
    1. make ready.hard_state, then ready.entries durable      (one sync)
    2. send ready.messages
    3. apply ready.committed, serve ready.reads
    raft.advance()                                            (what was handed out is done)

Invariants (Raft Figure 3 follows from them):

- Nothing that depends on a term, a vote or an entry is in ``messages`` unless that term, vote or
  entry is durable already or stands in the same :class:`Ready`.
- A leader only appends to its log.  A follower drops entries only where they conflict with the
  leader's, and never at or below its commit index.
- An entry counts for a member, the leader included, only once it is durable there; and only
  entries of the leader's own term are committed by counting (§5.4.2).
- ``next index > match index`` for every follower; match indexes never fall within a term.

Source: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
Version)*, 2014, here "Raft"; Ongaro's thesis, 2014, for reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NamedTuple

from kvraft.errors import BadInput, NotLeader
from kvraft.events import Committed, Report, RoleChanged, Superseded, Voted, ignore
from kvraft.log import Log
from kvraft.membership import Configuration, committed_index, won
from kvraft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from kvraft.record import NOOP, ORIGIN, Entry, HardState, Position, Record


class Role(StrEnum):
    """What a member is in its current term (Raft §5.1)."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class Options:
    """Times in ticks, sizes in bytes.

    An election timeout is drawn anew each time from ``election_ticks`` up to, not including, twice
    that (Raft §5.2).  ``max_batch_bytes`` bounds the entries of one message, except that one entry
    always fits.
    """

    election_ticks: int = 15
    heartbeat_ticks: int = 5
    max_batch_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        if not 1 <= self.heartbeat_ticks < self.election_ticks:
            raise BadInput(
                f"a heartbeat every {self.heartbeat_ticks} ticks does not keep members from an "
                f"election after {self.election_ticks}"
            )
        if self.max_batch_bytes < 1:
            raise BadInput("max_batch_bytes must be at least 1")


# ── what goes out ───────────────────────────────────────────────────────────────────────────────


class ReadReady(NamedTuple):
    """The read ``token`` may be served once everything through ``index`` is applied."""

    token: int
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index


class Ready(NamedTuple):
    """What the owner is to do now, in this order; see the module docstring."""

    hard_state: HardState | None
    entries: tuple[Entry, ...]
    messages: tuple[Message, ...]
    committed: tuple[Entry, ...]
    reads: tuple[ReadReady, ...]
    failed_reads: tuple[int, ...]


@dataclass(slots=True)
class Progress:
    """What a leader knows of a follower (Raft Figure 2, "volatile state on leaders")."""

    next: int
    match: int = 0
    sent: int = 0  # the last entry of the latest message that carried any
    round: int = 0  # the latest heartbeat round that it answered

    @property
    def waiting(self) -> bool:
        """Whether entries were sent and are not answered yet: until then no more are."""
        return self.sent >= self.next


@dataclass(frozen=True, slots=True)
class Status:
    """Everything there is to see of a consensus module at one moment."""

    member: str
    role: Role
    term: int
    vote: str | None
    leader: str | None
    commit_index: int
    first_index: int
    last_index: int
    replicated: int
    progress: dict[str, tuple[int, int]]  # follower → next index, match index
    votes: dict[str, bool]


class Raft:
    """One member's part in consensus.

    ``log`` and ``hard_state`` are what its disk holds, ``committed`` is an index that is known to
    be committed (what the tree had flushed); entries above it are handed out as they commit.
    """

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        log: Log,
        hard_state: HardState,
        *,
        random: Random,
        options: Options | None = None,
        committed: int = 0,
        report: Report = ignore,
    ) -> None:
        if member not in configuration.voters:
            raise BadInput(f"{member} is not one of the members {', '.join(configuration.voters)}")
        self.member = member
        self.configuration = configuration
        self.log = log
        self.role = Role.FOLLOWER
        self.term, self.vote = hard_state
        self.leader: str | None = None
        self.commit_index = committed
        self._options = options or Options()
        self._random = random
        self._report = report
        self._peers = tuple(name for name in configuration.voters if name != member)
        self._elapsed = 0
        self._timeout = self._draw_timeout()
        self._noop_index = 0  # of this leader's term
        self._votes: dict[str, bool] = {}
        self._progress: dict[str, Progress] = {}
        self._replicated = 0
        self._round = 0
        self._reads: list[tuple[int, int, int]] = []  # token, index, round that must be answered
        # What the next ready() hands out, and what the last one did.
        self._saved = hard_state
        self._durable = self._saving = log.last_index
        self._unsaved = log.last_index + 1  # the first entry not handed out for saving
        self._handed_out = committed
        self._messages: list[Message] = []
        self._ready_reads: list[ReadReady] = []
        self._failed_reads: list[int] = []
        self._told: tuple[Role, int, str | None] = (self.role, self.term, None)

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Let one tick of time pass: elections time out, leaders send heartbeats (§5.2)."""
        self._elapsed += 1
        if self.role is Role.LEADER:
            if self._elapsed >= self._options.heartbeat_ticks:
                self._heartbeat()
        elif self._elapsed >= self._timeout:
            self._campaign()

    def step(self, message: Message) -> None:
        """Take a message.  One from an unknown member is ignored; ``BadInput`` if not for us."""
        if message.to != self.member:
            raise BadInput(f"a message for {message.to} was given to {self.member}")
        if message.sender not in self._peers:
            return
        if message.term > self.term:  # §5.1: whoever is behind follows
            leader = message.sender if isinstance(message, AppendEntries) else None
            self._become_follower(message.term, leader)
        match message:
            case RequestVote():
                self._on_request_vote(message)
            case RequestVoteReply():
                self._on_vote_reply(message)
            case AppendEntries():
                self._on_append_entries(message)
            case AppendEntriesReply():
                self._on_append_reply(message)

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Append ``records`` to the leader's log, all of them; return first and last index (§5.3).

        Raises :class:`~kvraft.errors.NotLeader` on any other member.
        """
        if not records:
            raise BadInput("a proposal needs at least one record")
        if self.role is not Role.LEADER:
            raise NotLeader(self.member, self.leader)
        first = self.log.last_index + 1
        self.log.append(Entry(self.term, first + n, record) for n, record in enumerate(records))
        return first, self.log.last_index

    def read_index(self, token: int) -> None:
        """Ask for the index as of which a read is linearizable (§8, thesis §6.4).

        ``token`` comes back in :attr:`Ready.reads` once a majority has answered a heartbeat that
        was sent after this call, or in :attr:`Ready.failed_reads` if leadership is lost before.
        """
        if self.role is not Role.LEADER:
            raise NotLeader(self.member, self.leader)
        # What was committed before this leader's no-op may be more than it knows: the no-op's
        # index bounds it (§8).
        index = max(self.commit_index, self._noop_index)
        self._reads.append((token, index, self._round + 1))

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def has_ready(self) -> bool:
        """Return whether :meth:`ready` would hand out anything."""
        return bool(
            self._saved != (self.term, self.vote)
            or self._unsaved <= self.log.last_index
            or self._handed_out < self.commit_index
            or self._messages
            or self._ready_reads
            or self._failed_reads
            or self._wants_round()
        )

    def ready(self) -> Ready:
        """Hand out what is to be done; :meth:`advance` must follow before the next call."""
        if self.role is Role.LEADER:
            if self._wants_round():  # one round serves all reads that gathered
                self._begin_round(repeat=False)
            self._replicate()
        state = HardState(self.term, self.vote)
        ready = Ready(
            state if state != self._saved else None,
            self.log.slice(self._unsaved) if self._unsaved <= self.log.last_index else (),
            tuple(self._messages),
            self.log.slice(self._handed_out + 1, self.commit_index)
            if self._handed_out < self.commit_index
            else (),
            tuple(self._ready_reads),
            tuple(self._failed_reads),
        )
        self._saved = state
        self._unsaved = self.log.last_index + 1
        self._saving = self.log.last_index
        self._handed_out = self.commit_index
        self._messages, self._ready_reads, self._failed_reads = [], [], []
        return ready

    def advance(self) -> None:
        """What the last :meth:`ready` handed out is done: its entries are durable."""
        self._durable = self._saving
        if self.role is Role.LEADER:
            self._advance_commit()

    # ── looking at it, and cutting the log ──────────────────────────────────────────────────────

    @property
    def replicated(self) -> int:
        """An index through which every member holds the log durably, as far as this one knows."""
        return self._replicated

    def compact(self, index: int) -> None:
        """Forget the entries through ``index``: they are gone from the log on disk."""
        if index > self.log.base.index:
            self.log.drop_through(index)

    def status(self) -> Status:
        """Return everything there is to see."""
        return Status(
            self.member,
            self.role,
            self.term,
            self.vote,
            self.leader,
            self.commit_index,
            self.log.first_index,
            self.log.last_index,
            self._replicated,
            {name: (p.next, p.match) for name, p in self._progress.items()},
            dict(self._votes),
        )

    # ── elections (Raft §5.2, §5.4.1) ───────────────────────────────────────────────────────────

    def _campaign(self) -> None:
        """Begin an election for the next term, with this member's own vote."""
        self._become(Role.CANDIDATE, self.term + 1, None)
        self._vote_for(self.member)
        self._votes = {self.member: True}
        self._elapsed, self._timeout = 0, self._draw_timeout()
        last = (self.log.last_index, self.log.last_term)
        self._messages += [RequestVote(self.member, to, self.term, *last) for to in self._peers]
        self._count_votes()

    def _on_request_vote(self, ask: RequestVote) -> None:
        """Vote once a term, and only for a candidate whose log is as complete as ours (§5.4.1)."""
        complete = (ask.last_term, ask.last_index) >= (self.log.last_term, self.log.last_index)
        granted = ask.term == self.term and self.vote in (None, ask.sender) and complete
        if granted:
            self._vote_for(ask.sender)
            self._elapsed, self._timeout = 0, self._draw_timeout()
        self._messages.append(RequestVoteReply(self.member, ask.sender, self.term, granted))

    def _on_vote_reply(self, reply: RequestVoteReply) -> None:
        if self.role is Role.CANDIDATE and reply.term == self.term:
            self._votes[reply.sender] = reply.granted
            self._count_votes()

    def _count_votes(self) -> None:
        if won(self.configuration, self._votes):
            self._become_leader()

    def _become_leader(self) -> None:
        """Take over: a no-op of the new term lets older entries commit (§5.4.2, §8)."""
        self._become(Role.LEADER, self.term, self.member)
        self._progress = {name: Progress(next=self.log.last_index + 1) for name in self._peers}
        self._noop_index = self.log.last_index + 1
        self.log.append([Entry(self.term, self._noop_index, NOOP)])
        self._heartbeat()

    def _become_follower(self, term: int, leader: str | None) -> None:
        if self.role is Role.LEADER:  # its clock counted heartbeats until now
            self._elapsed, self._timeout = 0, self._draw_timeout()
        self._failed_reads += [token for token, _, _ in self._reads]
        self._reads = []
        self._progress = {}
        self._become(Role.FOLLOWER, term, leader)

    def _become(self, role: Role, term: int, leader: str | None) -> None:
        """Change role, term or leader.  A vote is kept for as long as its term lasts."""
        if term != self.term:
            self.vote = None
        if role is not Role.CANDIDATE:
            self._votes = {}
        self.role, self.term, self.leader = role, term, leader
        if self._told != (now := (role, term, leader)):
            self._told = now
            self._report(RoleChanged(role.value, term, leader or ""))

    def _vote_for(self, candidate: str) -> None:
        if self.vote != candidate:
            self.vote = candidate
            self._report(Voted(self.term, candidate))

    def _draw_timeout(self) -> int:
        return self._random.randrange(
            self._options.election_ticks, 2 * self._options.election_ticks
        )

    # ── replication, as a leader (Raft §5.3) ────────────────────────────────────────────────────

    def _heartbeat(self) -> None:
        """Tell every follower that there is a leader; repeat what may have been lost."""
        self._elapsed = 0
        self._begin_round(repeat=True)

    def _begin_round(self, *, repeat: bool) -> None:
        """Send to every follower; entries that are on their way only if ``repeat``."""
        self._round += 1
        for name, progress in self._progress.items():
            self._send_append(name, empty=progress.waiting and not repeat)
        self._confirm_reads()

    def _replicate(self) -> None:
        """Send new entries to each follower that has answered all before."""
        for name in self._progress:
            self._send_rest(name)

    def _send_rest(self, to: str) -> None:
        progress = self._progress[to]
        if not progress.waiting and progress.next <= self.log.last_index:
            self._send_append(to)

    def _send_append(self, to: str, *, empty: bool = False) -> None:
        progress = self._progress[to]
        previous = progress.next - 1
        if previous < self.log.base.index:
            raise BadInput(
                f"{to} needs entry {progress.next}, but the log begins at {self.log.first_index}: "
                "it was cut before every member had it"
            )
        entries: tuple[Entry, ...] = ()
        if progress.next <= self.log.last_index and not empty:
            entries = self.log.slice(progress.next, max_bytes=self._options.max_batch_bytes)
            progress.sent = entries[-1].index
        self._messages.append(
            AppendEntries(
                self.member,
                to,
                self.term,
                previous,
                self.log.term(previous),
                entries,
                self.commit_index,
                self._replicated,
                self._round,
            )
        )

    def _on_append_reply(self, reply: AppendEntriesReply) -> None:
        """Note what a follower has, or where to try next (§5.3)."""
        if self.role is not Role.LEADER or reply.term != self.term or reply.round == 0:
            return
        progress = self._progress[reply.sender]
        progress.round = max(progress.round, reply.round)
        if reply.success:
            progress.match = max(progress.match, reply.match)
            progress.next = max(progress.next, progress.match + 1)
            self._advance_commit()
        else:
            # Skip all entries of a conflicting term at once, never below what is known to match.
            common = self.log.last_not_above(reply.hint_term, reply.hint_index)
            back = max(progress.match, common) + 1
            if back < progress.next:  # else it was heard before
                progress.next, progress.sent = back, 0
        self._send_rest(reply.sender)
        self._confirm_reads()

    # ── replication, as a follower (Raft §5.3) ──────────────────────────────────────────────────

    def _on_append_entries(self, append: AppendEntries) -> None:
        """Take a leader's entries if they follow on ours, else say where ours and its may meet."""
        if append.term < self.term:
            # Round 0: its sender may lead our term by the time it reads this, with another log and
            # other rounds, and must not take it for an answer to an append of that term.
            self._reply_append(append._replace(round=0), success=False)
            return
        self._become_follower(append.term, append.sender)
        self._elapsed = 0
        self._replicated = max(self._replicated, append.replicated)
        log = self.log
        previous = append.prev_index
        if previous > log.last_index or (
            previous >= log.base.index and log.term(previous) != append.prev_term
        ):
            index = log.last_not_above(append.prev_term, min(previous, log.last_index))
            term = log.term(index) if index >= log.base.index else 0
            self._reply_append(append, success=False, hint=Position(index, term))
            return
        self._take_entries(append.entries)
        match = previous + len(append.entries)
        # Only what this message covers is known to be the leader's: what may follow is not.
        self._commit_through(min(append.commit, match))
        self._reply_append(append, success=True, match=match)

    def _take_entries(self, entries: tuple[Entry, ...]) -> None:
        """Append what is new.  Drop ours only where it conflicts: the message may be an old one."""
        log = self.log
        skip = 0
        for entry in entries:
            if entry.index > log.last_index:
                break
            if entry.index > log.base.index and log.term(entry.index) != entry.term:
                self._supersede(entry.index)
                break
            skip += 1
        if skip < len(entries):
            log.append(entries[skip:])

    def _supersede(self, index: int) -> None:
        """Drop the entry at ``index`` and all behind it: the leader's log differs."""
        if index <= self.commit_index:
            raise AssertionError(f"{self.member}: committed entry {index} would be superseded")
        self._report(Superseded(index, self.log.last_index))
        self.log.truncate_from(index)
        self._unsaved = min(self._unsaved, index)
        self._saving = min(self._saving, index - 1)
        self._durable = min(self._durable, index - 1)

    def _reply_append(
        self, append: AppendEntries, *, success: bool, match: int = 0, hint: Position = ORIGIN
    ) -> None:
        reply = AppendEntriesReply(
            self.member, append.sender, self.term, success, match, *hint, append.round
        )
        self._messages.append(reply)

    # ── commitment and reads (Raft §5.3, §5.4.2, §8) ────────────────────────────────────────────

    def _advance_commit(self) -> None:
        """Commit what a majority holds, counting only entries of this term (§5.4.2, Figure 8)."""
        match = {name: progress.match for name, progress in self._progress.items()}
        match[self.member] = self._durable
        self._replicated = max(self._replicated, min(match.values()))
        index = committed_index(self.configuration, match)
        if index > self.commit_index and self.log.term(index) == self.term:
            self._commit_through(index)
        self._confirm_reads()

    def _commit_through(self, index: int) -> None:
        if index > self.commit_index:
            self.commit_index = index
            self._report(Committed(index))

    def _wants_round(self) -> bool:
        return any(round > self._round for _, _, round in self._reads)

    def _confirm_reads(self) -> None:
        """Release the reads whose round a majority has answered (thesis §6.4)."""
        if not self._reads:
            return
        rounds = {name: progress.round for name, progress in self._progress.items()}
        rounds[self.member] = self._round
        answered = committed_index(self.configuration, rounds)
        still: list[tuple[int, int, int]] = []
        for token, index, round in self._reads:
            if round <= answered and index <= self.commit_index:
                self._ready_reads.append(ReadReady(token, index))
            else:
                still.append((token, index, round))
        self._reads = still
