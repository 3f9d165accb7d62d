"""Planted bugs of reads: as of which index they are served, who confirms it, and for how long."""

from __future__ import annotations

from kvraft.raft import (
    Core,
    Election,
    Follower,
    Leadership,
    Lease,
    Raft,
    ReadIndexReply,
    ReadReady,
    RemoteReader,
    Role,
    WaitingRead,
    WaitingReads,
)
from kvraft.record import MAX_NUMBER


class _ServesAtOnce(Leadership):
    def read(self, who: int | RemoteReader) -> None:
        if isinstance(who, RemoteReader):
            super().read(who)
        else:
            self.core.serve(who, self.core.commit_index)


class ReadsUnconfirmed(Raft):
    """A leader serves reads at once, without confirming that it still leads (§8)."""

    leader_type = _ServesAtOnce


class _AsOfAnyIndex(WaitingReads):
    def add(self, waiting: WaitingRead) -> None:
        super().add(waiting._replace(index=0))


class _KnowsAtOnce(Leadership):
    reads_type = _AsOfAnyIndex


class ReadsBeforeItsTerm(Raft):
    """A new leader serves reads before an entry of its own term is committed (§8)."""

    leader_type = _KnowsAtOnce


class _AnyRound(WaitingReads):
    def add(self, waiting: WaitingRead) -> None:
        super().add(waiting._replace(round=waiting.round - 1))


class _TakesEarlierRounds(Leadership):
    reads_type = _AnyRound


class EarlierRoundCounts(Raft):
    """Answers to heartbeats that left before a read was asked for confirm it (thesis §6.4)."""

    leader_type = _TakesEarlierRounds


class _NeverAsks(Follower):
    def ask_leader(self, leader: str, token: int) -> None:
        self.core.outbox.reads.append(ReadReady(token, self.core.commit_index))


class FollowerNeverAsks(Raft):
    """A follower serves reads as of what it knows to be committed, without asking its leader."""

    follower_type = _NeverAsks


class _DoesNotWait(Core):
    def release_reads(self) -> None:
        self.outbox.reads += self.forwarded_reads.release(MAX_NUMBER)


class FollowerDoesNotWait(Raft):
    """A follower learns the read index, and serves before it has applied so much (§6.4)."""

    core_type = _DoesNotWait


class _TakesAnyAnswer(Follower):
    def on_read_index_reply(self, reply: ReadIndexReply) -> None:
        super().on_read_index_reply(reply._replace(incarnation=self.core.incarnation))


class AnswersOfAnEarlierStart(Raft):
    """A member that restarted takes an answer to its earlier self: their numbers are equal."""

    follower_type = _TakesAnyAnswer


class _Endless(Lease):
    def end(self) -> None:
        """Do nothing."""


class _KeepsItsLease(Leadership):
    lease_type = _Endless


class LeaseKeptInTransfer(Raft):
    """A leader keeps its lease though it has ordered another member to stand (§6.4.1)."""

    leader_type = _KeepsItsLease


class _Long(Lease):
    def __init__(self, ticks: int) -> None:
        super().__init__(4 * ticks)


class _TrustsLong(Leadership):
    lease_type = _Long


class LeaseTooLong(Raft):
    """A lease lasts longer than the shortest election timeout (thesis §6.4.1)."""

    leader_type = _TrustsLong


class _ForgetsItsPromise(Election):
    def hears_leader(self) -> bool:
        core = self.core
        if core.role is Role.LEADER:
            return True
        return (
            core.heard_at is not None and core.ticks - core.heard_at < core.options.election_ticks
        )


class PromiseForgotten(Raft):
    """A member that restarts votes at once, though a lease relies on what it answered before."""

    election_type = _ForgetsItsPromise


class _ListensToAll(Election):
    def hears_leader(self) -> bool:
        return False


class NoStickiness(Raft):
    """A member that hears its leader votes for others all the same (§6, thesis §4.2.3)."""

    election_type = _ListensToAll


BUGS = {
    "reads unconfirmed": ReadsUnconfirmed,
    "reads before its term": ReadsBeforeItsTerm,
    "earlier round counts": EarlierRoundCounts,
    "follower never asks": FollowerNeverAsks,
    "follower does not wait": FollowerDoesNotWait,
    "answers of an earlier start": AnswersOfAnEarlierStart,
    "lease kept in transfer": LeaseKeptInTransfer,
    "lease too long": LeaseTooLong,
    "promise forgotten": PromiseForgotten,
    "no stickiness": NoStickiness,
}
"""The planted bugs of this place by name."""
