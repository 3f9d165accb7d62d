"""The story of the tour: one cluster, real reports, and everything that can go wrong, once.

Each act of :class:`Tour` makes something happen and returns what happened, as sentences with
figures taken from the trace and from the members themselves.  The acts belong in the order of
:data:`ACTS`; the command line runs them all, the notebook one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

from kvraft.client import Ticket
from kvraft.course.tour.earthquakes import Catalogue, Quake, reports
from kvraft.disk import Disk
from kvraft.display import counted, listed
from kvraft.errors import BadInput, KvraftError
from kvraft.events import (
    EntriesSuperseded,
    Flushed,
    MemberStarted,
    MessageSent,
    RoleChanged,
    SegmentDropped,
    SegmentSealed,
    SnapshotInstalled,
    SnapshotReceived,
    Trace,
    TransactionDiscarded,
    VoteGranted,
)
from kvraft.raft import AppendEntries, RaftOptions
from kvraft.record import RESERVED_PREFIX, TxnId
from kvraft.replica import ReplicaOptions
from kvraft.sim import SimDisk, World
from kvraft.transaction import Stage

OPTIONS = ReplicaOptions(
    memtable_bytes=96 * 1024,
    segment_bytes=64 * 1024,
    log_bytes=512 * 1024,
    retain_bytes=512 * 1024,
    raft=RaftOptions(max_batch_bytes=640),
)
"""Small sizes, so that flushes and truncation happen often enough to watch."""


class TourFailed(KvraftError):
    """The tour ended wrong: a write was lost, or a member differs from the dict."""


class TornTransaction(NamedTuple):
    """A transaction of which no follower has or will get more than the first ``count`` records."""

    txn: TxnId
    count: int  # type: ignore[assignment]  # the field's word, at the price of tuple.count
    member: str


class Tour:
    """The tour through ``quakes`` under ``seed``, on disks that ``disk`` makes."""

    ACTS: ClassVar[dict[str, str]] = {
        "elect": "An election",
        "first_report": "One write, end to end",
        "first_third": "Commits, flushes and truncation",
        "leader_dies": "The leader dies with half a transaction copied",
        "old_leader_returns": "The old leader returns",
        "follower_away": "A follower is away",
        "follower_returns": "The follower comes back from its own disk",
        "stays_away": "It stays away for too long",
        "comes_back_late": "It comes back: is what it needs still in the log?",
        "finish": "To the end",
    }
    """The acts in their order, each with its title."""

    def __init__(
        self,
        quakes: list[Quake],
        *,
        seed: int = 1,
        disk: Callable[[str], Disk] = lambda name: SimDisk(),
    ) -> None:
        self.reports = reports(quakes)
        if len(self.reports) < 12:
            raise BadInput("the tour needs at least 6 events to tell its story")
        self.world = World(3, seed=seed, options=OPTIONS, cluster="tour", disk=disk)
        self.catalogue = Catalogue()
        self.applied = 0
        """How many transactions the clients know to be applied."""
        self.fallen = ""
        """The leader that died in the middle of a transaction."""
        self.away = ""
        """The follower that was away for a while."""
        self._next = 0
        self._open: dict[str, Ticket] = {}  # by network: a network reports one thing at a time

    @property
    def trace(self) -> Trace:
        """Everything that happened so far."""
        return self.world.trace

    def run(self) -> Iterator[tuple[str, list[str]]]:
        """Run all acts; yield the title of each and what happened in it."""
        for name, title in self.ACTS.items():
            yield title, getattr(self, name)()

    # ── the acts ────────────────────────────────────────────────────────────────────────────────

    def elect(self) -> list[str]:
        """Three members start as followers; one of them becomes leader."""
        world = self.world
        world.run_until(lambda: world.leader() is not None)
        leader = self._leader()
        term = world.replicas[leader].raft.term
        votes = [s.who for s in self.trace.of(VoteGranted) if s.event == VoteGranted(term, leader)]
        return [
            f"{leader} becomes leader of term {term} after {_ms(world.now)}, "
            f"with the votes of {listed(sorted(votes))}."
        ]

    def first_report(self) -> list[str]:
        """One report goes all the way; its ticket records the stages."""
        report = self.reports[self._next]
        ticket = self._submit()
        self.world.run_until(lambda: ticket.done)
        self._collect()
        start = ticket.history[0][0]
        stages = ", ".join(f"{stage} +{at - start} ms" for at, stage, _ in ticket.history)
        count = len(ticket.transaction.records)
        return [
            f"The first report ({report.quake.place}) is transaction {ticket.txn}: {count} "
            f"records, log entries {ticket.index - count + 1} to {ticket.index}.",
            f"Its ticket says {stages}.",
        ]

    def first_third(self) -> list[str]:
        """Reports arrive; memtables are flushed; the log is truncated after them."""
        return self._replay(len(self.reports) // 3)

    def leader_dies(self) -> list[str]:
        """The leader dies while only a part of a transaction is on its followers.

        Every replica discards the part, and the client's retry, under the same id, is applied.
        """
        world = self.world
        self._replay_until(lambda: self._torn() is not None)
        torn = self._torn()
        if torn is None:
            raise TourFailed("the reports ran out before the leader could die at the right moment")
        self.fallen = self._leader()
        world.crash(self.fallen)
        world.drop(lambda message: message.sender == self.fallen)  # its cables go dead, too
        ticket = self._open[torn.txn.client]
        lines = [
            f"{self.fallen} leads and dies at {_ms(world.now)}: {torn.count} of the "
            f"{len(ticket.transaction.records)} records of {torn.txn} are on {torn.member}."
        ]
        died = world.now
        world.run_until(lambda: ticket.done and len(self._discarded(torn.txn)) == 2)
        leader = self._leader()
        takeover = self._takeover(leader, died)
        discarded = self._discarded(torn.txn)
        event, who = next(iter(discarded.values())), listed(sorted(discarded))
        return [
            *lines,
            f"{leader} takes over {_ms(takeover - died)} later. The no-op of its term ends the "
            f"open transaction: {who} discard entries {event.first} to {event.last}.",
            f"The client sends {ticket.txn} again under the same id ({ticket.attempts} sendings "
            f"in all): it is {ticket.stage} at index {ticket.index}.",
        ]

    def old_leader_returns(self) -> list[str]:
        """The dead leader starts from its own disk; what only it had is superseded."""
        lines = self._restart(self.fallen)
        gone = self.trace.of(EntriesSuperseded, who=self.fallen)
        if gone and isinstance(event := gone[-1].event, EntriesSuperseded):
            count = event.last - event.first + 1
            most = "The last" if count == 1 else f"The last {count}"
            lines.append(f"{most} of them had no majority: superseded.")
        return lines

    def follower_away(self) -> list[str]:
        """A follower is down while reports continue: the log it will need is kept for it."""
        world = self.world
        others = (self._leader(), self.fallen)
        self.away = next(name for name in world.members if name not in others)
        world.crash(self.away)
        lines = [f"{self.away} crashes at {_ms(world.now)}; the other two continue."]
        lines += self._replay(len(self.reports) // 6)
        leader = world.replicas[self._leader()]
        needs = leader.pins().needed_from(self.away) or 1
        return [
            *lines,
            f"{leader.member} has flushed through {leader.marks.flushed}, but keeps its log from "
            f"{leader.marks.first} on: {self.away} may need all after {needs - 1}.",
        ]

    def follower_returns(self) -> list[str]:
        """The follower restarts from its own disk and catches up; the log is truncated."""
        began, before = self.world.now, len(self.trace.of(SegmentDropped))
        lines = self._restart(self.away)
        caught_up = self.world.now
        self.world.run_for(300)  # the next heartbeats let every member know that it caught up
        dropped = len(self.trace.of(SegmentDropped)) - before
        return [
            *lines,
            f"It has what it missed {_ms(caught_up - began)} later. No member needs the old log "
            f"any longer: {dropped} segments are dropped.",
        ]

    def stays_away(self) -> list[str]:
        """The follower is down for so long that the budget of log for it is used up."""
        world = self.world
        world.crash(self.away)
        lines = [f"{self.away} crashes again, at {_ms(world.now)}, and stays down."]
        lines += self._replay(len(self.reports) // 4)
        leader = world.replicas[self._leader()]
        held = sum(segment.size for segment in leader.wal.segments)
        needs = leader.pins().needed_from(self.away)
        if needs is not None:  # a short tour
            return [*lines, f"The log from {needs} on is still kept for it."]
        return [
            *lines,
            f"No more than {OPTIONS.retain_bytes // 1024} KiB of log are kept for a follower: "
            f"{leader.member} has {held // 1024} KiB, from {leader.marks.first} on, and no "
            f"longer keeps any for {self.away}.",
        ]

    def comes_back_late(self) -> list[str]:
        """If the log that it needs is gone, it is sent the leader's tables unchanged."""
        world = self.world
        before = len(self.trace)
        lines = self._restart(self.away)
        news = self.trace[before:]
        chunks = [
            s for s in news.of(MessageSent) if getattr(s.event, "kind", "") == "InstallSnapshot"
        ]
        taken = [s.event for s in news.of(SnapshotReceived, who=self.away)]
        installed = [s.event for s in news.of(SnapshotInstalled, who=self.away)]
        world.run_for(300)
        for one, other in zip(taken, installed, strict=True):
            assert isinstance(one, SnapshotReceived)
            assert isinstance(other, SnapshotInstalled)
            lines.append(
                f"It takes a snapshot of everything through {one.index}: {one.size:,} bytes in "
                f"{counted(len(chunks), 'chunk')}, the "
                f"{counted(len(other.tables), 'table')} of the leader, "
                f"unchanged. Its log continues after {one.index}."
            )
        return lines if taken else [*lines, "It has what it missed from the log of the others."]

    def finish(self) -> list[str]:
        """The rest of the reports; then every member must equal a plain dict."""
        lines = self._replay(len(self.reports) - self._next)
        self.world.settle()
        self.check()
        world = self.world
        trace = self.trace
        return [
            *lines,
            f"After {world.now / 1e6:.1f} s of virtual time all {self.applied:,} transactions are "
            f"applied, in {len(trace.of(Flushed)):,} flushes; {len(trace.of(SegmentSealed)):,} log "
            f"segments were sealed, {len(trace.of(SegmentDropped)):,} dropped.",
            f"{listed(world.members)} have the same {len(self.catalogue.map):,} keys, equal to a "
            f"plain dict that replayed the same file.",
        ]

    def check(self) -> None:
        """Raise :class:`TourFailed` unless every member equals the dict."""
        for name in self.world.members:
            held = self.map_of(name)
            if held != self.catalogue.map:
                wrong = {k for k, _ in held.items() ^ self.catalogue.map.items()}
                raise TourFailed(
                    f"{name} differs from the dict in {counted(len(wrong), 'key')}: {min(wrong)!r}"
                )

    def map_of(self, name: str) -> dict[bytes, bytes]:
        """Return all keys and values of a running member, except kvraft's own rows."""
        rows = self.world.replicas[name].tree.scan()
        return {key: value for key, value in rows if not key.startswith(RESERVED_PREFIX)}

    # ── replaying ───────────────────────────────────────────────────────────────────────────────

    def _replay(self, count: int) -> list[str]:
        """Replay ``count`` reports and wait for all of them."""
        world = self.world
        began, first = world.now, self.applied
        flushes, dropped = len(self.trace.of(Flushed)), len(self.trace.of(SegmentDropped))
        goal = self._next + count
        self._replay_until(lambda: self._next >= goal)
        world.run_until(self._all_done)
        self._collect()
        done = self.applied - first
        return [
            f"{counted(done, 'transaction')} in {_ms(world.now - began)}; "
            f"{len(self.trace.of(Flushed)) - flushes} flushes, "
            f"{counted(len(self.trace.of(SegmentDropped)) - dropped, 'log segment')} dropped."
        ]

    def _replay_until(self, condition: Callable[[], bool]) -> None:
        """Submit reports in the order of the file until ``condition`` holds.

        Each network has a client of its own, which sends one report at a time, so that its writes
        stay in order.
        """
        while not condition() and self._next < len(self.reports):
            network = self.reports[self._next].quake.network
            ticket = self._open.get(network)
            if ticket is None or ticket.done:
                self._collect()
                self._submit()
            else:
                self.world.run_until(lambda t=ticket: t.done or condition())  # type: ignore[misc]

    def _submit(self) -> Ticket:
        report = self.reports[self._next]
        self._next += 1
        client = self.world.client(report.quake.network)
        ticket = client.submit(self.catalogue.writes(report))
        self._open[report.quake.network] = ticket
        return ticket

    def _collect(self) -> None:
        """Count the tickets that are done; each must have been applied."""
        for network, ticket in list(self._open.items()):
            if ticket.done:
                if ticket.stage is not Stage.APPLIED:
                    raise TourFailed(f"{ticket.txn} is {ticket.stage}: {ticket.reason}")
                del self._open[network]
                self.applied += 1

    def _all_done(self) -> bool:
        return all(ticket.done for ticket in self._open.values())

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def _leader(self) -> str:
        leader = self.world.leader()
        assert leader is not None, "the acts before this one end with a leader"
        return leader

    def _torn(self) -> TornTransaction | None:
        """Return a transaction that would be torn if the leader died now, or ``None``."""
        world = self.world
        leader = self._leader()
        followers = [r for name, r in world.replicas.items() if name != leader]
        longest = max(followers, key=lambda replica: replica.marks.last)
        last = longest.marks.last
        if last <= longest.marks.committed or any(r.raft.log.last.index > last for r in followers):
            return None  # a follower is about to save more
        newest = longest.raft.log.slice(last, last)[0].record
        coming = [message for each in followers for message in world.inbox(each.member)]
        if newest.commit or any(_carries_more(message, last) for message in coming):
            return None
        uncommitted = longest.raft.log.slice(longest.marks.committed + 1, last)
        count = sum(entry.record.txn == newest.txn for entry in uncommitted)
        return TornTransaction(newest.txn, count, longest.member) if newest.txn.client else None

    def _discarded(self, txn: TxnId) -> dict[str, TransactionDiscarded]:
        """Return the event of each member that has discarded a copy of ``txn``, by member."""
        steps = self.trace.of(TransactionDiscarded)
        return {
            step.who: step.event
            for step in steps
            if isinstance(step.event, TransactionDiscarded) and step.event.txn == str(txn)
        }

    def _takeover(self, leader: str, after: int) -> int:
        """Return when ``leader`` first became leader after the moment ``after``."""
        for step in self.trace.of(RoleChanged, who=leader):
            if step.at > after and getattr(step.event, "role", "") == "leader":
                return step.at
        raise TourFailed(f"{leader} never became leader")

    def _restart(self, name: str) -> list[str]:
        self.world.restart(name)
        found = self.trace.of(MemberStarted, who=name)[-1].event
        assert isinstance(found, MemberStarted)
        self.world.run_until(self._caught_up)
        return [
            f"{name} starts from its own disk: tables through index {found.flushed}, "
            f"log entries {found.first} to {found.last}, term {found.term}."
        ]

    def _caught_up(self) -> bool:
        lasts = {replica.marks.applied for replica in self.world.replicas.values()}
        return len(lasts) == 1


def _carries_more(message: object, last: int) -> bool:
    """Return whether ``message`` brings a follower entries after ``last``."""
    return (
        isinstance(message, AppendEntries)
        and bool(message.entries)
        and message.entries[-1].index > last
    )


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:,.0f} ms"
