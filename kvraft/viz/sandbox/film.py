"""A film: the history of a trace that grows, with what pictures of any step need.

A film knows more than the state after each step (:class:`~kvraft.viz.trace.TraceHistory`), each
with the step at which it came to be known::

    flights      messages on their way at a step, and how much of the way they have travelled
    committed    what the cluster has committed, also where a member does not know it
    lights       which properties hold (kvraft/check/lights.py)
    moments      the steps of elections, commits, flushes, compactions, truncations, faults, …
    timers       when each member's election timer runs out: known from the world alone

Invariants:

- Everything but timers is a function of the trace.  A recorded trace has no timers.
- What is known of a step does not depend on when one looks.  (One exception: a message that has
  not arrived yet is placed by when it is due, if a world says so.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from kvraft.check import Lights
from kvraft.copying import immutable
from kvraft.events import (
    CommitAdvanced,
    CompactionStarted,
    DiskChanged,
    DiskCorrupted,
    DiskFilled,
    DiskLimited,
    DiskWiped,
    Event,
    Flushed,
    LinkChanged,
    Marks,
    MemberCrashed,
    MemberPaused,
    MemberResumed,
    MemberStarted,
    MemberStopped,
    MessageDelayed,
    MessageDelivered,
    MessageLost,
    MessageSent,
    NetworkHealed,
    NetworkLossy,
    NetworkPartitioned,
    RoleChanged,
    SegmentDropped,
    TicketMoved,
    Trace,
    TransactionApplied,
)
from kvraft.sim import MILLISECOND, World
from kvraft.viz.trace import ClusterState, TraceHistory

TICK = 10 * MILLISECOND
"""Microseconds between two ticks of a member in a world."""
USUAL = 1_400
"""Microseconds that a message takes if nobody knows."""

ELECTION, COMMIT, FLUSH, COMPACTION, TRUNCATION, FAULT, BROKEN = (
    "election",
    "commit",
    "flush",
    "compaction",
    "truncation",
    "fault",
    "broken light",
)
MOMENTS = (ELECTION, COMMIT, FLUSH, COMPACTION, TRUNCATION, FAULT, BROKEN)
"""The kinds of moments that one can jump to."""

_FAULTS = (
    *(MemberCrashed, MemberStarted, MemberStopped, NetworkPartitioned, NetworkHealed),
    *(MemberPaused, MemberResumed, LinkChanged),
    *(DiskFilled, DiskLimited, DiskChanged, DiskCorrupted, DiskWiped, NetworkLossy),
)


@immutable
class Flight(NamedTuple):
    """A message on its way: it has travelled ``share`` of the way, 0 to 1."""

    id: int
    sender: str
    sent: MessageSent
    share: float


@immutable
class Timer(NamedTuple):
    """An election timer, known from ``step`` on: it runs from ``since`` to ``until``, in µs."""

    step: int
    since: int
    until: int

    def left(self, at: int) -> float:
        """Return what share of it is left at that time."""
        length = max(self.until - self.since, 1)
        return min(max((self.until - at) / length, 0.0), 1.0)


def leader_of(state: ClusterState) -> str:
    """Return who leads the highest term; if nobody does, who runs in it, or just is a member."""

    def rank(name: str) -> tuple[bool, bool, int]:
        member = state.members[name]
        return member.role == "leader", member.running, member.term

    return max(state.members, key=rank)  # the first of equals


class Sent(NamedTuple):
    """A message that was sent in ``step`` at ``at``."""

    step: int
    at: int
    sender: str
    message: MessageSent


class Ended(NamedTuple):
    """How a message ended, in ``step`` at ``at``: it was delivered, or lost for ``reason``."""

    step: int
    at: int
    reason: str


class Film(TraceHistory):
    """The history of ``trace`` with what pictures need; call :meth:`glance` while a world runs."""

    def __init__(self, trace: Trace) -> None:
        self.lights = Lights()
        self.moments: dict[str, list[int]] = {kind: [] for kind in MOMENTS}
        """The steps of each kind of moment, in order."""
        self.sent: dict[int, Sent] = {}
        """All messages that were sent, by number, in order."""
        self.ended: dict[int, Ended] = {}
        """Those that have arrived or are lost."""
        self._sent_in: list[int] = []  # steps
        self._sent_ids: list[int] = []
        self._first_seen: dict[str, int] = {}  # member → time
        self._clients: dict[str, int] = {}  # client → step
        self._committed: list[tuple[int, int]] = []  # (step, index), both rising
        self._terms: dict[int, int] = {}  # of committed entries, by index
        self._peaks: list[tuple[int, int]] = []  # (step, bytes), both rising
        self._tickets: list[tuple[int, str, str]] = []  # (step, transaction, stage)
        self._timers: dict[str, list[Timer]] = {}
        self._due: dict[int, int] = {}  # of messages: when they arrive
        self._moves: dict[str, int] = {}
        self._recent: dict[int, ClusterState] = {}
        super().__init__(trace)

    # ── folding ─────────────────────────────────────────────────────────────────────────────────

    def noticed(self, step: int, state: ClusterState) -> None:
        """Take note of one step; see :class:`~kvraft.viz.trace.TraceHistory`."""
        at, who, event = self.trace[step]
        if who in state.members and who not in self._first_seen:
            self._first_seen[who] = at
        if who and who not in state.members:
            self._clients.setdefault(who, step)
        broken = len(self.lights.broken)
        self.lights.take(step, who, event)
        if len(self.lights.broken) > broken:
            self.moments[BROKEN].append(step)
        match event:
            case MessageSent():
                self.sent[event.id] = Sent(step, at, who, event)
                self._sent_in.append(step)
                self._sent_ids.append(event.id)
            case MessageDelayed():
                self._due[event.id] = event.arrives
            case MessageDelivered():
                self.ended[event.id] = Ended(step, at, "")
            case MessageLost():
                self.ended[event.id] = Ended(step, at, event.reason)
            case Marks():
                self._commit(step, state, who, event)
            case TicketMoved():
                self._tickets.append((step, event.txn, event.stage))
            case TransactionApplied():
                if not self._peaks or event.memtable_size > self._peaks[-1][1]:
                    self._peaks.append((step, event.memtable_size))
            case _:
                self._note_moment(step, event)

    def _note_moment(self, step: int, event: Event) -> None:
        if isinstance(event, RoleChanged):
            if event.role == "leader":
                self.moments[ELECTION].append(step)
        elif isinstance(event, Flushed):
            self.moments[FLUSH].append(step)
        elif isinstance(event, CompactionStarted):
            self.moments[COMPACTION].append(step)
        elif isinstance(event, SegmentDropped):
            self.moments[TRUNCATION].append(step)
        elif isinstance(event, _FAULTS) and self.trace[step].at > 0:  # all start at 0
            self.moments[FAULT].append(step)
        elif isinstance(event, CommitAdvanced):
            known = self._committed[-1][1] if self._committed else 0
            if event.index > known:
                self._committed.append((step, event.index))
                self.moments[COMMIT].append(step)

    def _commit(self, step: int, state: ClusterState, who: str, marks: Marks) -> None:
        """Keep the terms of what is committed: log and marks of ``who`` fit together here."""
        if not self._committed or marks.committed > self._committed[-1][1]:
            self._committed.append((step, marks.committed))
        for entry in reversed(state.members[who].log):
            if entry.index <= marks.committed:
                if entry.index in self._terms:
                    break
                self._terms[entry.index] = entry.term

    # ── while a world runs ──────────────────────────────────────────────────────────────────────

    def glance(self, world: World) -> None:
        """Note what is not in the trace: timers, and when messages are due."""
        step = len(self.trace) - 1
        for name, seat in world.seats.items():
            if self._moves.get(name) == seat.moves:
                continue
            self._moves[name] = seat.moves
            if seat.replica is not None:
                status = seat.replica.raft.status()
                since = world.now - status.elapsed * TICK
                timer = Timer(step, since, since + status.timeout * TICK)
                known = self._timers.setdefault(name, [])
                if not known or known[-1][1:] != timer[1:]:
                    known.append(timer)
        for id, envelope in reversed(world.network.in_flight.items()):
            if self._due.get(id) == envelope.arrives:
                break
            self._due[id] = envelope.arrives

    def hurry(self, world: World) -> None:
        """Note again when messages are due: somebody delayed or hastened one."""
        for id, envelope in world.network.in_flight.items():
            self._due[id] = envelope.arrives

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self.trace)

    def at(self, step: int) -> ClusterState:
        """Return the state after ``step``, of those members that were there by then."""
        self.follow()
        state = self._recent.get(step)
        if state is None:
            state = super().at(step)
            state.members = {
                name: member
                for name, member in state.members.items()
                if self._first_seen[name] <= state.at
            }
            if len(self._recent) > 3:
                self._recent.clear()
            self._recent[step] = state
        return state

    def flights(self, step: int) -> list[Flight]:
        """Return the messages on their way after ``step``, in the order in which they were sent."""
        now, found = self.at(step).at, []
        for id, (sender, message) in self.at(step).in_flight.items():
            start = self.sent[id].at
            ended = self.ended.get(id)
            end = ended.at if ended else self._due.get(id, max(start + USUAL, now + USUAL // 4))
            share = (now - start) / (end - start) if end > start else 0.0
            found.append(Flight(id, sender, message, min(max(share, 0.0), 1.0)))
        return found

    def due(self, id: int, sent: int) -> int:
        """Return when a message that was sent at ``sent`` arrives, as far as anybody knows."""
        ended = self.ended.get(id)
        return ended.at if ended else self._due.get(id, sent + USUAL)

    def last_messages(self, step: int, count: int) -> list[Sent]:
        """Return the last messages between members that were sent by ``step``, oldest first."""
        found: list[Sent] = []
        members = self.at(step).members
        place = bisect_right(self._sent_in, step)
        for id in map(self._sent_ids.__getitem__, range(place - 1, -1, -1)):
            one = self.sent[id]
            if one.sender in members and one.message.to in members:
                found.append(one)
                if len(found) == count:
                    break
        found.reverse()
        return found

    def messages_since(self, first: int, step: int) -> list[Sent]:
        """Return all messages that were sent in steps ``first`` to ``step``, oldest first."""
        low, high = bisect_left(self._sent_in, first), bisect_right(self._sent_in, step)
        return [self.sent[id] for id in self._sent_ids[low:high]]

    def messages(self, first: int, step: int) -> list[Sent]:
        """Return all messages that were sent in steps ``first`` to ``step``, oldest first."""
        low, high = bisect_left(self._sent_in, first), bisect_right(self._sent_in, step)
        return [self.sent[id] for id in self._sent_ids[low:high]]

    def committed(self, step: int) -> int:
        """Return the highest index that any member knew to be committed by ``step``."""
        place = bisect_right(self._committed, step, key=lambda pair: pair[0])
        return self._committed[place - 1][1] if place else 0

    def committed_term(self, index: int) -> int:
        """Return the term of the committed entry at ``index``, 0 if it is not known."""
        return self._terms.get(index, 0)

    def peak(self, step: int) -> int:
        """Return the size of the largest memtable so far, in bytes."""
        place = bisect_right(self._peaks, step, key=lambda pair: pair[0])
        return self._peaks[place - 1][1] if place else 0

    def tickets(self, step: int) -> list[tuple[str, str]]:
        """Return each transaction, and what its client knew of it after ``step``, in words."""
        stages: dict[str, list[str]] = {}
        for at, txn, stage in self._tickets:
            if at > step:
                break
            stages.setdefault(txn, []).append(stage)
        found = []
        for txn, seen in stages.items():
            sent = seen.count("SENT")
            found.append((txn, seen[-1] + (f", sent {sent} times" if sent > 1 else "")))
        return found

    def clients(self, step: int) -> list[str]:
        """Return the clients that have done anything by ``step``, in that order."""
        members = set(self.names)  # which may have spoken before they were known as such
        return [
            name for name, first in self._clients.items() if first <= step and name not in members
        ]

    def timer(self, name: str, step: int) -> Timer | None:
        """Return the election timer of a member as it was after ``step``, if that is known."""
        known = self._timers.get(name, [])
        place = bisect_right(known, step, key=lambda timer: timer.step)
        return known[place - 1] if place else None

    # ── moving ──────────────────────────────────────────────────────────────────────────────────

    def settled(self, step: int) -> int:
        """Return the last step of the microsecond of ``step``."""
        at = self.trace[step].at
        while step + 1 < len(self.trace) and self.trace[step + 1].at == at:
            step += 1
        return step

    def step_at(self, at: int) -> int:
        """Return the last step at or before that time, 0 if there is none."""
        steps = range(len(self.trace))
        return max(bisect_right(steps, at, key=lambda number: self.trace[number].at) - 1, 0)

    def before(self, step: int) -> int:
        """Return the last step of the microsecond before that of ``step``, or ``step`` itself."""
        at = self.trace[step].at
        for number in range(step - 1, -1, -1):
            if self.trace[number].at < at:
                return number
        return step

    def jump(self, kind: str, step: int, *, back: bool = False) -> int | None:
        """Return the next step of a kind of moment after ``step``, or the last before its time."""
        steps: Sequence[int] = self.moments[kind]
        if back:
            before = self.before(step)
            place = bisect_right(steps, before) - 1 if before < step else -1
        else:
            place = bisect_right(steps, step)
        return steps[place] if 0 <= place < len(steps) else None

    def fork(self, trace: Trace) -> Film:
        """Return a film of another trace that begins like this one, with what the world says."""
        other = Film(trace)
        last = len(trace) - 1
        other._timers = {
            name: [timer for timer in timers if timer.step <= last]
            for name, timers in self._timers.items()
        }
        other._due = {id: due for id, due in self._due.items() if id in other.sent}
        return other
