"""Every message is checked when it leaves: what it says must be true of its sender.

A term, a vote or an entry is on the sender's disk before a message says so (Raft Figure 2); a
member votes once a term (§5.2); at most one member acts as the leader of a term (Figure 3).
"""

from __future__ import annotations

from kvraft.check.properties import Property
from kvraft.check.raft.observed import ObservedMember, ObservedMembers
from kvraft.raft import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
    Role,
    TimeoutNow,
)


class MessageChecker:
    """Compares each message with its sender's disk, and remembers votes and leaders."""

    def __init__(self, members: ObservedMembers) -> None:
        self._members = members
        self._leader_of: dict[int, str] = {}
        self._votes: dict[tuple[str, int], str] = {}

    def leads(self, name: str, term: int) -> None:
        """Record that ``name`` acts as the leader of ``term``; no other member may."""
        first = self._leader_of.setdefault(term, name)
        if first != name:
            what = f"{first} and {name} both lead term {term}"
            self._members.fail(Property.ELECTION_SAFETY, (first, name), what)

    def sent(self, message: Message) -> None:
        """Check a ``message`` that leaves: its sender's disk must hold what it says (Figure 2)."""
        name, term = message.sender, message.term
        seen = self._members.look(name)
        if isinstance(message, AppendEntries | InstallSnapshot | TimeoutNow):
            self.leads(name, term)
        asks_ahead = isinstance(message, PreVote) or (
            isinstance(message, PreVoteReply) and message.granted
        )
        if term > seen.hard_state.term and not asks_ahead:
            self._fail_durable(name, f"sends term {term}", f"term {seen.hard_state.term}")
        if term < seen.hard_state.term:  # a vote in a term that is over does no harm
            return
        match message:
            case RequestVote():
                self._check_vote(name, seen, term, name)
            case RequestVoteReply(granted=True):
                self._check_vote(name, seen, term, message.to)
            case AppendEntriesReply(success=True):
                self._check_acknowledged(name, seen, message.match)
            case InstallSnapshotReply(done=True):
                self._check_acknowledged(name, seen, message.last_index)

    def _check_vote(self, name: str, seen: ObservedMember, term: int, candidate: str) -> None:
        first = self._votes.setdefault((name, term), candidate)
        if first != candidate:
            what = f"{name} votes for {first} and for {candidate} in term {term}"
            self._members.fail(Property.ONE_VOTE, (name,), what)
        if seen.hard_state != (term, candidate):
            holds = f"vote {seen.hard_state.vote} in term {seen.hard_state.term}"
            self._fail_durable(name, f"votes for {candidate} in term {term}", holds)

    def _check_acknowledged(self, name: str, seen: ObservedMember, match: int) -> None:
        """Check that an acknowledged entry is on disk, and is the leader's."""
        if seen.durable < match:
            self._fail_durable(name, f"acknowledges entry {match}", f"the log to {seen.durable}")
        leader = self._leader_of.get(seen.hard_state.term)
        led = self._members.look(leader).raft if leader else None
        if led is None or led.role is not Role.LEADER or led.term != seen.hard_state.term:
            return
        if match > led.log.last_index:
            what = f"acknowledges entry {match}, but the log of {leader} ends at"
            self._members.fail(
                Property.DURABLE_FIRST, (name,), f"{name} {what} {led.log.last_index}"
            )
        elif match > max(led.log.base.index, seen.log.base.index):
            mine, its = seen.log.term(match), led.log.term(match)
            if mine != its:
                what = f"acknowledges entry {match} of {leader}, of term {its}"
                self._fail_durable(name, what, f"one of term {mine}")

    def _fail_durable(self, name: str, says: str, holds: str) -> None:
        what = f"{name} {says}, but its disk holds {holds}"
        self._members.fail(Property.DURABLE_FIRST, (name,), what)
