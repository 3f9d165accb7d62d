"""What the consensus module and its owner exchange, apart from messages and entries.

The module is a state machine without I/O; its owner does the I/O.  Options go in when the module is
made; a :class:`Ready` comes out whenever there is something to do; a :class:`Status` can be read at
any time.

The loop that an owner runs is in ``raft/raft.py``.  What else safety requires of it:

- **A new incarnation for each start.**  A member that asks its leader about a read must not take
  the answer to a question from before a crash, so each start needs a number that no earlier start
  of this member was given: a counter on its disk, a boot count, or 64 bits from the operating
  system's entropy; never from a generator with a seed.
- **Ticks before input.**  The module knows time only from ticks.  A process that stood still (a
  debugger, a laptop that slept, a machine that was moved) must be given all ticks that passed
  before any other input, or a lease that has long expired looks valid: a stale read.
- **One thread at a time.**  Nothing here takes a lock; a tick during a step breaks any invariant.
- **Ready, then advance.**  After :meth:`~kvraft.raft.Raft.ready` comes
  :meth:`~kvraft.raft.Raft.advance`, once all of it is done; input may come in between.  An owner
  whose disk failed must not advance.

And for progress only: ``random`` draws election timeouts and decides nothing else.  Members whose
generators have the same seed draw the same timeouts, stand together, and elect no leader for long:
give each its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import NamedTuple

from kvraft.display import counted, html_table
from kvraft.errors import BadInput, WrongType
from kvraft.raft.messages import Message
from kvraft.raft.quorum import Configuration
from kvraft.record import Entry, HardState, Position


class Role(StrEnum):
    """The role of a member in its current term (Raft §5.1; thesis §9.6 for the pre-candidate)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class RaftOptions:
    """Options of a member.  Times are in ticks, sizes in bytes.

    - ``election_ticks``, ``spread_ticks``: each election timeout is drawn at random, from the first
      up to, not including, the sum of both (Raft §5.2).  With a spread of 1 all timeouts are equal:
      members that start together stand together, and split the vote again and again;
    - ``heartbeat_ticks``: a leader sends at least one message in that time;
    - ``max_batch_bytes``: how many bytes of entries, or of a snapshot, one message takes; a single
      entry always fits;
    - ``window``: how many appends to a follower may be in flight;
    - ``max_uncommitted``: how many entries may wait to be committed before proposals are refused;
    - ``pre_vote``: ask whether an election could be won before entering a new term for it (thesis
      §9.6);
    - ``check_quorum``: a leader that has not heard from a quorum for ``election_ticks`` steps down,
      and members that hear from a leader do not listen to candidates (thesis §4.2.3, §6.2);
    - ``lease_ticks``: how long after it sent a heartbeat that a quorum answered a leader serves
      reads at once (thesis §6.4.1); 0, the default, for never.  This **assumes clocks**: no
      member's clock may pass ``election_ticks - 1`` ticks while another's passes ``lease_ticks``.

    Raises :class:`~kvraft.errors.WrongType` for anything but whole numbers and true or false, and
    :class:`~kvraft.errors.BadInput` for values that make no sense.
    """

    election_ticks: int = 15
    spread_ticks: int = 15
    heartbeat_ticks: int = 5
    max_batch_bytes: int = 64 * 1024
    window: int = 16
    max_uncommitted: int = 64 * 1024
    pre_vote: bool = True
    check_quorum: bool = True
    lease_ticks: int = 0

    def __post_init__(self) -> None:
        for option in fields(self):
            value, kind = getattr(self, option.name), type(option.default)
            if type(value) is not kind:
                raise WrongType(
                    f"{option.name} should be of type {kind.__name__}, not {value!r:.60}"
                )
        if not 1 <= self.heartbeat_ticks < self.election_ticks:
            raise BadInput(
                f"a heartbeat every {counted(self.heartbeat_ticks, 'tick')} does not keep members "
                f"from an election after {self.election_ticks}"
            )
        for name in ("spread_ticks", "max_batch_bytes", "window", "max_uncommitted"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1")
        if not 0 <= self.lease_ticks < self.election_ticks:
            raise BadInput(
                f"a lease of {counted(self.lease_ticks, 'tick')} would outlast the "
                f"{self.election_ticks} ticks after which another member may be elected"
            )
        if self.lease_ticks and not self.check_quorum:
            raise BadInput("a lease needs check_quorum: without it, any candidate ends the lease")


# ── what goes out ───────────────────────────────────────────────────────────────────────────────


class ReadReady(NamedTuple):
    """The read ``token`` may be served once everything through ``index`` is applied."""

    token: int
    index: int  # type: ignore[assignment]  # the field's word, at the price of tuple.index


class ProposalOutcome(StrEnum):
    """The outcome of a proposal."""

    COMMITTED = "committed"
    SUPERSEDED = "superseded"
    """Another leader's entry was committed instead of one of its entries: it has no effect."""
    UNKNOWN = "unknown"
    """A snapshot covers its place, so this member cannot tell."""


class DecidedProposal(NamedTuple):
    """The outcome of the proposal at ``first`` … ``last`` in ``term``: records, or a change of
    members.  Entries that a leader appends by itself have none.
    """

    first: int
    last: int
    term: int
    outcome: ProposalOutcome


class SnapshotChunk(NamedTuple):
    """A part of a leader's snapshot that the owner must keep: ``data`` at ``offset``, in bytes.

    Chunks come in order, each where the one before it ends.  A chunk at 0 starts a snapshot from
    scratch: the chunks kept before it are of no use any longer (Raft Figure 13).
    """

    offset: int
    data: bytes


class ReceivedSnapshot(NamedTuple):
    """The chunks handed out so far make a whole snapshot of ``size`` bytes."""

    last: Position
    configuration: Configuration
    size: int


class Ready(NamedTuple):
    """What the owner must do now, in the order of the fields; see raft/raft.py."""

    early: tuple[Message, ...] = ()
    hard_state: HardState | None = None
    chunks: tuple[SnapshotChunk, ...] = ()
    snapshot: ReceivedSnapshot | None = None
    entries: tuple[Entry, ...] = ()
    messages: tuple[Message, ...] = ()
    committed: tuple[Entry, ...] = ()
    decided: tuple[DecidedProposal, ...] = ()
    reads: tuple[ReadReady, ...] = ()
    failed_reads: tuple[int, ...] = ()

    @property
    def must_sync(self) -> bool:
        """Whether something in it must be durable before ``messages`` leave."""
        return bool(self.entries or self.hard_state or self.snapshot)


# ── the state that can be seen ──────────────────────────────────────────────────────────────────


class FollowerStatus(NamedTuple):
    """A follower as its leader sees it.

    ``snapshot`` is the last index of the snapshot that it is being sent, ``sent`` the last entry of
    the appends that are not answered; either is 0 if there is none.  ``active`` is whether it was
    heard since the leader last checked its quorum.  With ``lost_entries`` it has lost entries that
    it had acknowledged as durable.
    """

    state: str
    next: int
    match: int
    in_flight: int
    active: bool
    snapshot: int = 0
    sent: int = 0
    lost_entries: bool = False

    @property
    def next_unsent(self) -> int:
        """The first index that the follower lacks if every append in flight arrives."""
        return max(self.next, self.sent + 1)


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a consensus module at one moment.  ``str`` shows all of it."""

    member: str
    role: Role
    term: int
    vote: str | None
    leader: str | None
    configuration: Configuration
    configuration_index: int
    first_index: int
    commit_index: int
    durable_index: int
    last_index: int
    last_term: int
    all_replicated_index: int
    elapsed: int  # ticks since the election timer was restarted
    timeout: int  # ticks
    lease: bool
    transfer: str | None
    votes: dict[str, bool]
    progress: dict[str, FollowerStatus]
    waiting_reads: int
    undecided: int  # proposals

    def _repr_html_(self) -> str:
        """Return a small table for a notebook: the member, and whom it leads."""
        rows = [
            ("term", f"{self.term}, voted for {self.vote or 'nobody'}"),
            ("leader", self.leader or "unknown"),
            ("members", str(self.configuration)),
            ("log", f"{self.first_index} to {self.last_index}"),
            ("durable, committed", f"through {self.durable_index}, through {self.commit_index}"),
            ("timer", f"{self.elapsed} of {counted(self.timeout, 'tick')}"),
        ]
        for name, follower in self.progress.items():
            silent = "" if follower.active else ", silent"
            rows.append((name, f"{follower.state}, match {follower.match}{silent}"))
        return html_table(f"{self.member}: {self.role}", rows)

    def __str__(self) -> str:
        lines = [
            f"{self.member}: {self.role} in term {self.term}, leader {self.leader or 'unknown'}, "
            f"voted for {self.vote or 'nobody'}",
            f"  log {self.first_index} to {self.last_index} of term {self.last_term}: durable "
            f"through {self.durable_index}, committed through {self.commit_index}, on every member "
            f"through {self.all_replicated_index}",
            f"  members {self.configuration} (entry {self.configuration_index})",
            f"  timer {self.elapsed} of {counted(self.timeout, 'tick')}, "
            f"{counted(self.undecided, 'proposal')} undecided, "
            f"{counted(self.waiting_reads, 'read')} waiting",
        ]
        if self.votes:
            votes = (f"{name} {'yes' if yes else 'no'}" for name, yes in self.votes.items())
            lines.append(f"  votes: {', '.join(votes)}")
        for name, follower in self.progress.items():
            lines.append(
                f"  {name}: {follower.state}, match {follower.match}, next {follower.next}, "
                f"{follower.in_flight} in flight{'' if follower.active else ', silent'}"
                f"{', lost its log' if follower.lost_entries else ''}"
            )
        return "\n".join(lines)
