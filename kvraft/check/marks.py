"""Coverage marks: what a long range of runs must have met, or the sweep itself is at fault.

A checker that never sees a joint configuration left by a crash says nothing about it.  So the
recovery paths and the transitions of Raft that are hard to reach have names here, and each is
noticed when a run takes it.  :class:`MarkSpotter` reads the trace as it grows; for leases, which no
event reports, it looks at leaders.

Invariant: marks count what happened; they judge nothing, and change nothing.

Sources: TigerBeetle's coverage marks; Antithesis on "sometimes" assertions.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from kvraft.events import (
    Compacted,
    CompactionStarted,
    ConfigurationChanged,
    EntriesAppended,
    EntriesSuperseded,
    Event,
    Flushed,
    MemberCrashed,
    MemberResumed,
    MemberStarted,
    MemberStopped,
    MessageDelivered,
    MessageLost,
    MessageSent,
    RoleChanged,
    SnapshotReceived,
    SpaceRecovered,
    TableWritten,
    TransactionDiscarded,
    TransferEnded,
    TransferStarted,
)
from kvraft.raft import Role
from kvraft.sim import MILLISECOND, World

MARKS: dict[str, str] = {
    "split vote": "a term had candidates and no leader",
    "quorum lost": "a leader stepped down in its term, since it heard no quorum",
    "vote refused": "a member refused its vote",
    "old reply": "a reply of an older term arrived",
    "reply overtaken": "a reply arrived after one that was sent later",
    "log replaced over terms": "entries of several terms were superseded at once",
    "transaction undone": "a transaction was discarded, since its end never came",
    "joint left after a crash": "the leader of a joint configuration crashed, and it was left",
    "configuration rolled back": "a configuration went with its superseded entry",
    "learner became voter": "a learner caught up and got a vote",
    "leader removed": "a leader stepped down, because a change removed it",
    "member rejoined": "a member that was removed was added again",
    "transfer done": "the member that leadership was handed to was the next to lead",
    "transfer given up": "a leader gave up handing over, and took proposals again",
    "lease lost by a pause": "a leader held a lease before it stood still, and none after",
    "lease lost by a transfer": "a leader gave its lease up in order to hand over",
    "lease lost by a restart": "a leader went down with a lease",
    "snapshot resumed": "a chunk was lost, and the transfer went on where it was",
    "snapshot after a crash": "a receiver crashed among chunks, and installed a snapshot later",
    "table without manifest": "a crash came after a table was written, and before it counted",
    "compaction cut short": "a crash came in a compaction",
    "space returned": "a disk was full, and had space again",
}
"""The marks, and what each means."""

_ALONE: dict[type[Event], str] = {
    TransactionDiscarded: "transaction undone",
    TransferEnded: "transfer given up",
    SpaceRecovered: "space returned",
}
"""Events that are a mark by themselves."""
_TAKEN = {
    *_ALONE,
    *(RoleChanged, ConfigurationChanged, TransferStarted, SnapshotReceived),
    *(MessageSent, MessageDelivered, MessageLost, EntriesAppended, EntriesSuperseded),
    *(MemberStarted, MemberCrashed, MemberStopped, MemberResumed),
    *(TableWritten, Flushed, CompactionStarted, Compacted),
}


class MarkSpotter:
    """Reads the trace of ``world`` as it grows, and counts marks in ``tally``."""

    def __init__(self, world: World, tally: Counter[str]) -> None:
        self._world, self._tally = world, tally
        self._seen = 0
        self._leases = next(iter(world.replicas.values())).options.raft.lease_ticks > 0
        self._term: dict[str, int] = {}
        self._role: dict[str, str] = {}
        self._stood: dict[int, bool] = {}  # terms with candidates: whether one of them led
        self._sent: dict[int, tuple[str, MessageSent]] = {}
        self._newest_reply: dict[tuple[str, str], int] = {}  # by sender and receiver
        self._terms: dict[str, dict[int, int]] = defaultdict(dict)  # of entries, by index
        self._configurations: dict[str, ConfigurationChanged] = {}
        self._learners: set[str] = set()
        self._members: set[str] = set()
        self._removed: set[str] = set()
        self._orphaned: dict[int, tuple[str, ...]] = {}  # joint when their leader went: voters
        self._handing: str | None = None
        self._held: dict[str, int] = {}  # terms of leases that were held when last looked at
        self._resumed: dict[str, int] = {}  # when a member last went on after a pause
        self._handed: set[str] = set()  # since then
        self._lost_chunk: set[str] = set()  # by receiver
        self._going_on: set[str] = set()  # receivers of chunks after one was lost
        self._cut_off: set[str] = set()  # receivers that crashed among chunks
        self._receiving: set[str] = set()
        self._written: set[str] = set()  # members with a table that does not count yet
        self._merging: set[str] = set()

    def check(self, moved: list[str]) -> None:
        """Take the new events, and look at the leases of members that ``moved``."""
        trace = self._world.trace
        for _, who, event in trace.since(self._seen):
            if type(event) in _TAKEN:
                self._take(who, event)
        self._seen = len(trace)
        if self._leases:
            for name in moved:
                self._look_at_lease(name)

    def _take(self, who: str, event: Event) -> None:
        match event:
            case MessageSent():
                self._message_sent(who, event)
            case MessageDelivered():
                self._delivered(who, event)
            case MessageLost():
                self._lost(event)
            case EntriesAppended():
                self._terms[who].update(enumerate(event.terms, event.first))
            case EntriesSuperseded():
                self._superseded(who, event)
            case RoleChanged():
                self._role_changed(who, event)
            case ConfigurationChanged():
                self._configured(who, event)
            case TransferStarted():
                self._handing = event.member
                self._handed.add(who)
            case SnapshotReceived():
                self._snapshot(who)
            case MemberStarted():
                self._role[who], self._term[who] = "follower", event.term
            case MemberCrashed() | MemberStopped():
                self._down(who)
            case MemberResumed():
                self._resumed[who] = self._world.now
            case TableWritten():
                self._written.add(who)
            case Flushed():
                self._written.discard(who)
            case CompactionStarted():
                self._merging.add(who)
            case Compacted():
                self._merging.discard(who)
                self._written.discard(who)
            case _:
                self._tally[_ALONE[type(event)]] += 1

    # ── elections ───────────────────────────────────────────────────────────────────────────────

    def _role_changed(self, who: str, event: RoleChanged) -> None:
        before, term = self._role.get(who), self._term.get(who, 0)
        self._role[who], self._term[who] = event.role, event.term
        if event.role == "candidate":
            if event.term not in self._stood:
                self._tally["split vote"] += sum(not led for led in self._stood.values())
                self._stood = {event.term: False}
        elif event.role == "leader":
            self._stood[event.term] = True
            if self._handing is not None:
                self._tally["transfer done"] += who == self._handing
                self._handing = None
        elif before == "leader" and term == event.term:
            now = self._configurations.get(who)
            gone = now is not None and who not in (*now.voters, *now.outgoing)
            self._tally["leader removed" if gone else "quorum lost"] += 1

    # ── messages ────────────────────────────────────────────────────────────────────────────────

    def _message_sent(self, who: str, event: MessageSent) -> None:
        kind = event.kind
        if kind.endswith("Reply") and event.term:
            self._sent[event.id] = who, event
            if kind == "RequestVoteReply" and event.note == "refused":
                self._tally["vote refused"] += 1
            elif who in self._lost_chunk and event.note.startswith("go on at "):
                self._lost_chunk.discard(who)
                if event.note != "go on at 0":
                    self._going_on.add(who)
        elif kind == "InstallSnapshot":
            self._sent[event.id] = who, event

    def _delivered(self, who: str, event: MessageDelivered) -> None:
        sender, sent = self._sent.pop(event.id, ("", None))
        if sent is None:
            return
        if sent.kind == "InstallSnapshot":
            self._receiving.add(who)
            return
        if sent.term < self._term.get(who, 0):
            self._tally["old reply"] += 1
        link = sender, who
        newest = self._newest_reply.get(link, 0)
        self._tally["reply overtaken"] += event.id < newest
        self._newest_reply[link] = max(newest, event.id)

    def _lost(self, event: MessageLost) -> None:
        _, sent = self._sent.pop(event.id, ("", None))
        if sent is not None and sent.kind == "InstallSnapshot":
            self._lost_chunk.add(sent.to)

    def _snapshot(self, who: str) -> None:
        self._tally["snapshot resumed"] += who in self._going_on
        self._tally["snapshot after a crash"] += who in self._cut_off
        for each in (self._going_on, self._cut_off, self._lost_chunk, self._receiving):
            each.discard(who)
        self._terms[who].clear()

    # ── logs and members ────────────────────────────────────────────────────────────────────────

    def _superseded(self, who: str, event: EntriesSuperseded) -> None:
        terms = self._terms[who]
        gone = {terms.pop(index, 0) for index in range(event.first, event.last + 1)} - {0}
        self._tally["log replaced over terms"] += len(gone) > 1

    def _configured(self, who: str, event: ConfigurationChanged) -> None:
        before = self._configurations.get(who)
        self._configurations[who] = event
        if before is not None and event.index < before.index:
            self._tally["configuration rolled back"] += 1
        if event.outgoing:
            return
        for index, voters in list(self._orphaned.items()):
            if event.index > index:
                del self._orphaned[index]
                self._tally["joint left after a crash"] += sorted(voters) == sorted(event.voters)
        if self._role.get(who) == "leader":
            now = {*event.voters, *event.learners}
            self._tally["learner became voter"] += len(self._learners & set(event.voters))
            self._tally["member rejoined"] += len(now & self._removed)
            self._removed = (self._removed | (self._members - now)) - now
            self._members, self._learners = now, set(event.learners)

    def _down(self, who: str) -> None:
        now = self._configurations.pop(who, None)
        if self._role.get(who) == "leader":
            if now is not None and now.outgoing:
                self._orphaned[now.index] = now.voters
            self._tally["lease lost by a restart"] += who in self._held
        if who in self._receiving:
            self._cut_off.add(who)
        self._tally["table without manifest"] += who in self._written
        self._tally["compaction cut short"] += who in self._merging
        for each in (self._written, self._merging, self._receiving):
            each.discard(who)
        self._held.pop(who, None)

    # ── leases ──────────────────────────────────────────────────────────────────────────────────

    def _look_at_lease(self, name: str) -> None:
        replica = self._world.seats[name].replica
        if replica is None:
            return
        raft = replica.raft
        if raft.role is Role.LEADER and raft.lease:
            self._held[name] = raft.term
        elif self._held.pop(name, None) is not None:
            self._tally["lease lost by a transfer"] += name in self._handed
            resumed = self._resumed.get(name)
            soon = resumed is not None and self._world.now - resumed <= 20 * MILLISECOND
            self._tally["lease lost by a pause"] += soon
        if name not in self._held:
            self._handed.discard(name)
