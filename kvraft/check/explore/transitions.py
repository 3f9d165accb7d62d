"""What one member can do next, and what follows: the local half of the explorer.

An :class:`ExploredMember` is a consensus module with its disk.  :func:`take_transition` gives it
one input, handles the Ready that follows by the rules of raft/raft.py, and returns what was sent
and committed.  An input takes no time, except that the disk may *lag*: then the early messages have
left, and nothing else has happened, until the disk has written or the member crashes.

The invariants checked here concern one member only: what it says is on its disk before (Figure 2),
terms and votes never go back, a leader only appends.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kvraft.check.explore.clone import LEAST, Fingerprint, clone, fingerprint
from kvraft.check.properties import Property, Violation
from kvraft.errors import Busy, NotLeader
from kvraft.raft import (
    AppendEntriesReply,
    Configuration,
    Log,
    Message,
    PreVote,
    PreVoteReply,
    Raft,
    Ready,
    RequestVote,
    RequestVoteReply,
    Role,
)
from kvraft.record import ORIGIN, Entry, HardState, Kind, Record, TxnId
from kvraft.sim import summarize_message

NO_EXCEPTION = "nothing raises"
"""The promise of raft/raft.py that no message makes it raise, as a property that can break."""


class Action(StrEnum):
    """The kinds of input."""

    TIMEOUT = "timeout"
    HEARTBEAT = "heartbeat"
    PROPOSE = "propose"
    CRASH = "crash"
    RECEIVE = "receive"
    SYNC = "sync"


class Transition(NamedTuple):
    """One thing that happens; ``str`` returns it in words.

    ``number`` counts proposals.  With ``copy`` the message stays in flight, to arrive again.  With
    ``lags`` the member's disk has not written anything yet; ``SYNC`` is when it has.
    """

    do: Action
    member: str
    message: Message | None = None
    number: int = 0
    copy: bool = False
    lags: bool = False

    @property
    def record(self) -> Record:
        """What is proposed."""
        n = self.number
        return Record(Kind.PUT, b"x%d" % n, b"", n, TxnId("explorer", 0, n), True)

    def __str__(self) -> str:
        return f"{self.member} {self._what()}{', and its disk lags' if self.lags else ''}"

    def _what(self) -> str:
        match self.do:
            case Action.TIMEOUT:
                return "times out"
            case Action.HEARTBEAT:
                return "sends heartbeats"
            case Action.PROPOSE:
                return f"takes proposal x{self.number}"
            case Action.CRASH:
                return "crashes and restarts"
            case Action.SYNC:
                return "finishes writing to its disk"
            case Action.RECEIVE:
                assert self.message is not None
                return (
                    f"receives {'a copy of ' if self.copy else ''}{describe_message(self.message)}"
                )


def describe_message(message: Message) -> str:
    """Return a message in words."""
    term, first, last, note = summarize_message(message)
    entries = f"entries {first} to {last} " if last > first else f"entry {first} " if last else ""
    return f"{type(message).__name__} of term {term} from {message.sender} ({entries}{note})"


@dataclass(slots=True)
class ExploredMember:
    """A consensus module with its disk: ``hard_state`` and ``log``, all of it from entry 1 on.

    ``writing`` is what the disk should write and has not written yet.
    """

    raft: Raft
    configuration: Configuration
    hard_state: HardState
    log: tuple[Entry, ...]
    writing: Ready | None = None

    def clone(self) -> ExploredMember:
        """Return an independent copy."""
        raft = clone(self.raft)
        return ExploredMember(raft, self.configuration, self.hard_state, self.log, self.writing)

    def fingerprint(self, names: dict[str, str]) -> Fingerprint:
        """Return the fingerprint of its state, with members renamed by ``names``."""
        term, vote = self.hard_state
        vote = names.get(vote, vote) if vote else None
        return (
            fingerprint(self.raft, names),
            term,
            vote,
            self.log,
            fingerprint(self.writing, names),
        )

    def restart(self) -> None:
        """Lose everything except the disk, and start again from it."""
        old = self.raft
        self.writing = None
        self.raft = type(old)(
            old.member,
            self.configuration,
            Log(ORIGIN, self.log),
            self.hard_state,
            random=LEAST,
            incarnation=0,  # only reads need it
            options=old.options,
            cluster=old.cluster,
        )

    @property
    def leads(self) -> int:
        """The term that this member leads, or 0."""
        return self.raft.term if self.raft.role is Role.LEADER else 0


@dataclass(slots=True)
class TransitionResult:
    """The outcome of a step: the member ``after`` it, and the property that it has ``broken``.

    ``committed`` are the entries that this member now knows, or reports, to be committed.  If it
    ``saved``, the step wrote to the disk, so the disk might have lagged.
    """

    step: Transition
    after: ExploredMember
    sent: list[Message]
    committed: list[Entry]
    saved: bool = False
    broken: Violation | None = None


def take_transition(
    before: ExploredMember, step: Transition, but: Collection[str] = ()
) -> TransitionResult:
    """Return what ``step`` does to a copy of ``before``; properties in ``but`` may be broken."""
    moved = TransitionResult(step, before.clone(), [], [])
    try:
        if step.do is Action.CRASH:
            moved.after.restart()
        else:
            _give(moved.after, step)
        _handle_ready(moved, but)
        _check_progress(before, moved, but)
    except Violation as violation:
        moved.broken = violation
    except Exception as error:
        what = f"{step.member} raises {type(error).__name__}: {error}"
        if NO_EXCEPTION not in but:
            moved.broken = Violation(NO_EXCEPTION, (step.member,), what)
    raft, known = moved.after.raft, 0 if step.do is Action.CRASH else before.raft.commit_index
    if moved.broken is None and raft.commit_index > known:
        moved.committed += raft.log.slice(known + 1, raft.commit_index)
    return moved


def _give(member: ExploredMember, step: Transition) -> None:
    """Give the input to the consensus module."""
    raft = member.raft
    match step.do:
        case Action.TIMEOUT | Action.HEARTBEAT:
            raft.timeout()
        case Action.PROPOSE:
            try:
                raft.propose([step.record])
            except (Busy, NotLeader):
                return
        case Action.RECEIVE:
            assert step.message is not None
            raft.step(step.message)


def _handle_ready(moved: TransitionResult, but: Collection[str]) -> None:
    """Handle each Ready, until there is none, or the disk is busy or starts to lag."""
    member = moved.after
    if moved.step.do is Action.SYNC and member.writing is not None:
        ready, member.writing = member.writing, None
        _finish(moved, ready, but)
    while member.writing is None and member.raft.has_ready():
        ready = member.raft.ready()
        _send(moved, ready.early, but)
        saves = bool(ready.hard_state or ready.entries)
        moved.saved = moved.saved or saves
        if saves and moved.step.lags:
            member.writing = ready._replace(early=())
        else:
            _finish(moved, ready, but)


def _finish(moved: TransitionResult, ready: Ready, but: Collection[str]) -> None:
    """Save, then send, then apply."""
    member = moved.after
    if ready.hard_state is not None:
        _check_hard_state(member, ready.hard_state, but)
        member.hard_state = ready.hard_state
    if ready.entries:
        member.log = member.log[: ready.entries[0].index - 1] + ready.entries
    _send(moved, ready.messages, but)
    moved.committed += ready.committed
    member.raft.advance()


# ── the properties of one member ────────────────────────────────────────────────────────────────


def _send(moved: TransitionResult, messages: Sequence[Message], but: Collection[str]) -> None:
    for message in messages:
        if Property.DURABLE_FIRST not in but:
            _check_durable(moved.after, message)
        moved.sent.append(message)


def _check_durable(member: ExploredMember, message: Message) -> None:
    """Check a ``message`` that leaves: the disk must hold what it says (Figure 2)."""
    name, (term, vote) = member.raft.member, member.hard_state
    asks_ahead = isinstance(message, PreVote) or (
        isinstance(message, PreVoteReply) and message.granted
    )
    says, holds = "", f"vote {vote or 'none'} in term {term}"
    if message.term > term and not asks_ahead:
        says = f"sends term {message.term}"
    match message:
        case RequestVote() if message.term == term and vote != name:
            says = f"votes for itself in term {term}"
        case RequestVoteReply(granted=True) if message.term == term and vote != message.to:
            says = f"votes for {message.to} in term {term}"
        case AppendEntriesReply(success=True) if message.match > len(member.log):
            says, holds = f"acknowledges entry {message.match}", f"the log to {len(member.log)}"
    if says:
        what = f"{name} {says}, but its disk holds {holds}"
        raise Violation(Property.DURABLE_FIRST, (name,), what)


def _check_hard_state(member: ExploredMember, new: HardState, but: Collection[str]) -> None:
    """Check that the term never falls and that a vote in a term stays (§5.2)."""
    name, old = member.raft.member, member.hard_state
    if new.term < old.term:
        what = f"the term on the disk of {name} falls from {old.term} to {new.term}"
    elif new.term > old.term or old.vote in (None, new.vote):
        return
    elif new.vote is None:
        what = f"{name} forgets on its disk that it voted for {old.vote} in term {old.term}"
    else:
        what = f"{name} votes for {old.vote} and for {new.vote} in term {old.term}"
        if Property.ONE_VOTE not in but:
            raise Violation(Property.ONE_VOTE, (name,), what)
        return
    if Property.NOTHING_GOES_BACK not in but:
        raise Violation(Property.NOTHING_GOES_BACK, (name,), what)


def _check_progress(before: ExploredMember, moved: TransitionResult, but: Collection[str]) -> None:
    """Check that the commit index never falls and a leader only appends, except in a crash."""
    if moved.step.do is Action.CRASH:
        return
    old, new, name = before.raft, moved.after.raft, before.raft.member
    if new.commit_index < old.commit_index and Property.NOTHING_GOES_BACK not in but:
        what = f"the commit index of {name} falls from {old.commit_index} to {new.commit_index}"
        raise Violation(Property.NOTHING_GOES_BACK, (name,), what)
    if before.leads and before.leads == moved.after.leads:
        had, has = old.log.slice(1), new.log.slice(1)
        if has[: len(had)] != had and Property.LEADER_APPEND_ONLY not in but:
            what = f"{name} leads term {new.term} and drops or changes entries of its log"
            raise Violation(Property.LEADER_APPEND_ONLY, (name,), what)
