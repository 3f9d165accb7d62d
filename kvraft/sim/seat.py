"""A member at work in a simulated world: when it takes its input, and how long work takes.

A :class:`Seat` is a member's place: its disk stays, its replica comes and goes::

    ticks, messages ──► inbox ──► (no drain is under way) ──► a drain ──► what may be sent
                                                                │
                                  slices of long work ◄─────────╯  between messages, one at a time

    a drain    begin ───── 500 µs ─────► save ──► finish ──► begin … until nothing is begun
               early messages leave      synced   the other messages leave

- A drain that must sync the disk takes time, and a crash may come between any two of its steps: the
  early messages have left and nothing is saved, or all is saved and nothing else has left.
- A member in a drain takes no input.  What arrives meanwhile is taken together afterwards, which is
  group commit.
- A member that was busy or paused first catches up on the ticks that it missed, unless it was
  paused *without* ticks: as a virtual machine that was suspended, and does not know it.
- A crash loses the memory and what the disk had not synced (:class:`~kvraft.sim.SimDisk`); what the
  member has sent is still in flight.

Most of what reaches an idle member leaves nothing to drain, and the drain is left out
(:meth:`Seat.leaves_nothing`).  Most of its ticks only count the time; the seat counts them instead,
and passes them on as soon as anybody asks for the replica (:attr:`Seat.replica`).

Invariants: equal :attr:`Seat.moves` mean equal state, but for the time that has passed; what a
member has planned before it went down never happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from random import Random
from typing import Protocol

from kvraft.disk import MEMBER, Disk, live_files
from kvraft.errors import BadInput, Stopped
from kvraft.events import (
    Event,
    MemberCrashed,
    MemberPaused,
    MemberResumed,
    MemberStopped,
    TimerExpired,
)
from kvraft.replica import Replica
from kvraft.sim.disk import PowerCut, SimDisk
from kvraft.sim.inbox import give, is_message
from kvraft.sim.network import AnyMessage
from kvraft.sim.timeline import TICK, Timeline

SYNC = 500
"""Microseconds that a sync of a member's disk takes, unless its disk is made slow."""
SLICE = 300
"""Microseconds between two slices of long work."""
NEVER = 1 << 62
"""A time in microseconds that no world reaches."""


class DrainStep(StrEnum):
    """A step of a drain after which a crash leaves something half done."""

    BEGIN = "begin"
    """The early messages have left, and nothing is saved."""
    SAVE = "save"
    """All is saved, and no other message has left."""

    @classmethod
    def named(cls, name: str) -> DrainStep:
        """Return the step of that name; raises :class:`~kvraft.errors.BadInput` for any other."""
        if name not in tuple(cls):
            raise BadInput(f"a crash comes after {' or '.join(cls)}, not after {name!r}")
        return cls(name)


class Surroundings(Protocol):
    """What a seat or a client needs of its world."""

    time: Timeline

    def send(self, message: AnyMessage, after: int = 0) -> None:
        """Send a message after ``after`` microseconds."""

    def report(self, who: str, event: Event) -> None:
        """File an event of ``who``."""

    def stream(self, concern: str) -> Random:
        """Return the stream of random numbers for a concern."""

    def millis(self, name: str = "") -> int:
        """Return the time of ``name``'s clock, in milliseconds since the Unix epoch."""

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Step until ``condition`` holds."""


class Seat:
    """A member's place in the world: its disk stays, its replica comes and goes.

    ``replica`` is ``None`` while it is down.  ``inbox`` is the input that waits; ``None`` in it is
    a tick.  The member takes no input before ``busy_until``, in microseconds, and does nothing at
    all while it is ``paused``.
    """

    def __init__(self, world: Surroundings, name: str, disk: Disk) -> None:
        self.name = name
        self.disk = disk
        self.sync_micros = SYNC
        """How long a sync of its disk takes; more makes it a slow disk."""
        self._replica: Replica | None = None
        self._passed = 0  # ticks that its replica does not know of yet, since they only count
        self.fallen: Replica | None = None
        """Its replica as it was when it went down, for observers; it must not be used."""
        self.new = True
        """Whether it has never started, and its disk was empty."""
        self.incarnation = 0
        self.inbox: list[AnyMessage | None] = []
        self.busy_until = 0
        self.paused = False
        self._pause_ends = 0  # microseconds
        self._misses_ticks = False  # whether the ticks of a pause never come
        self._put_off: list[Callable[[], None]] = []  # what it would have done in a pause
        self._world = world
        self.time = world.time
        self.cut_after: DrainStep | None = None
        """The step of its next drain with something to save after which its power is cut."""
        self.cut_short = 0
        """How many drains were cut short like that."""
        self.moves = 0
        """How often its replica did anything, came, went, or stood still: equal counts, equal
        state."""
        self.draining = False
        """Whether a drain is under way, which waits for the disk."""
        self._at_rest = False  # whether nothing at all was left to do when the last drain ended
        self._waking = False
        self._working = False

    @property
    def replica(self) -> Replica | None:
        """Its replica, which knows of all time that has passed; ``None`` while it is down."""
        if self._passed:
            self.pass_time()
        return self._replica

    def pass_time(self) -> None:
        """Pass on the ticks that its replica does not know of."""
        if self._passed:
            assert self._replica is not None
            self._replica.pass_ticks(self._passed)
            self._passed = 0

    @property
    def up(self) -> bool:
        """Whether it has a replica, which need not know of any time for this."""
        return self._replica is not None

    # ── up and down ─────────────────────────────────────────────────────────────────────────────

    def start(self, make: Callable[[Seat, bool], Replica]) -> bool:
        """Start it from what its disk holds; return whether it runs, not if its power is cut.

        ``make(seat, new)`` makes the replica; ``new`` is whether its disk may be empty.
        """
        files = live_files(self.disk)
        if self.incarnation == 0:
            self.new = MEMBER not in files
        self.incarnation += 1
        new = self.new and files in ([], [MEMBER])  # else an earlier first start got further
        self.moves += 1
        try:
            self._replica = make(self, new)
        except PowerCut:
            self.cut_power()
            return False
        self.new, self.fallen = False, None
        self.plan(self.time.now + TICK, self.tick)
        return True

    def pause(self, until: int | None, *, ticks: bool) -> None:
        """Do nothing until that time, or until :meth:`resume`; a later end replaces an earlier one.

        Without ``ticks`` those of the pause never come.
        """
        self.paused, self._misses_ticks = True, not ticks
        self.moves += 1
        self._world.report(self.name, MemberPaused(ticks))
        self._pause_ends = NEVER if until is None else max(self._pause_ends, until)
        if until is not None:
            self.plan(until, self._end_pause)

    def _end_pause(self) -> None:
        if self.paused and self._pause_ends <= self.time.now:
            self.resume()

    def resume(self) -> None:
        """End a pause, and do what was put off."""
        self.paused, self._pause_ends = False, 0
        self.moves += 1
        self._world.report(self.name, MemberResumed())
        while self._put_off and not self.paused:
            self._put_off.pop(0)()

    def run_out_timer(self) -> None:
        """Make the timer of its replica run out now."""
        assert self.replica is not None
        self._world.report(self.name, TimerExpired())
        self.replica.raft.timeout()
        self.moves += 1
        self.wake_soon()

    def cut_power(self) -> None:
        """Lose its memory and its unsynced bytes."""
        self._take_down()
        lost = 0
        if isinstance(self.disk, SimDisk):
            lost = self.disk.crash(self._world.stream(f"crash/{self.name}/{self.incarnation}"))
        self._world.report(self.name, MemberCrashed(lost))

    def fail(self, error: Exception) -> None:
        """Take it down for an error that it raised."""
        if isinstance(error, PowerCut):
            self.cut_power()
        else:
            self._take_down()
            self._world.report(self.name, MemberStopped(str(error)))

    def close(self) -> None:
        """Stop it, cleanly unless its disk fails, and close the disk."""
        if self.replica is not None:
            try:
                self.replica.close()
            except (OSError, PowerCut) as error:
                self.fail(error)
            self._replica = None
        self.disk.close()

    def _take_down(self) -> None:
        self.moves += 1
        self.fallen = self.replica
        self._replica = self.cut_after = None
        self.inbox = []
        self.draining = self._waking = self._working = self._at_rest = False
        self.busy_until = self._pause_ends = 0
        self.paused, self._put_off = False, []

    # ── at work ─────────────────────────────────────────────────────────────────────────────────

    def plan(self, at: int, action: Callable[[], None]) -> None:
        """Plan an action of the member, which is dropped if it goes down before."""
        self.time.plan(at, self._do, self.incarnation, action)

    def _do(self, incarnation: int, action: Callable[[], None]) -> None:
        if self._replica is not None and self.incarnation == incarnation:
            action()

    def _plan_step(self, at: int, step: Callable[[Replica], None]) -> None:
        """Plan a step of its replica, which is put off while it is paused."""
        self.time.plan(at, self._take_step, self.incarnation, step)

    def _take_step(self, incarnation: int, step: Callable[[Replica], None]) -> None:
        if self._replica is None or self.incarnation != incarnation:
            return
        if self.paused:
            self._put_off.append(partial(self._take_step, incarnation, step))
            return
        self.moves += 1
        self._attempt(step)

    def _attempt(self, step: Callable[[Replica], None]) -> None:
        """Let its replica take a step; if its disk fails in it, or its power, it goes down."""
        replica = self.replica
        assert replica is not None
        try:
            step(replica)
        except (Stopped, PowerCut) as error:
            self.fail(error)

    def tick(self) -> None:
        """Take a tick, or put it into the inbox while it has other things to do; plan the next.

        Most ticks of a member at rest only count: it learns of them when it is needed.
        """
        resting = self._at_rest and not self.inbox and self.busy_until <= self.time.now
        if resting and not self.paused:
            replica = self._replica
            assert replica is not None
            if self._passed < replica.raft.quiet and self.disk.free_bytes() is None:
                self._passed += 1
            else:
                self._attempt(self._tick_at_rest)
        elif not (self.paused and self._misses_ticks):
            self.hand(None)
        self.time.plan(self.time.now + TICK, self._do, self.incarnation, self.tick)

    def _tick_at_rest(self, replica: Replica) -> None:
        if replica.tick():
            self.moves += 1
            self._drain(replica)

    def hand(self, message: AnyMessage | None) -> None:
        """Put a message or a tick into its inbox, which it takes when no drain is under way."""
        self.inbox.append(message)
        if self.draining:
            return  # taken when the drain ends
        if self.busy_until <= self.time.now:
            if self._replica is not None:
                self.wake()
        elif not self._waking:
            self._waking = True
            self.plan(self.busy_until, self.wake)

    def wake_soon(self) -> None:
        """Plan a drain after a direct call, once its disk is idle."""
        self.plan(max(self.time.now, self.busy_until), self.wake)

    def wake(self) -> None:
        """Take the inbox, and drain, unless a drain is under way."""
        if self.paused:
            if self.wake not in self._put_off:
                self._put_off.append(self.wake)
        elif not self.draining:
            self._waking = False
            self.moves += 1
            self._attempt(self._take_inbox)

    def _take_inbox(self, replica: Replica) -> None:
        inbox, self.inbox = self.inbox, []
        if len(inbox) > 1:
            # Ticks first: its time must be right before it acts on anything (a lease).
            inbox.sort(key=is_message)
        for message in inbox:
            give(replica, message)
        self._drain(replica)

    def leaves_nothing(self, replica: Replica) -> bool:
        """Return whether it had come to rest, and took nothing since that a drain would end."""
        return self._at_rest and replica.settled

    def _drain(self, replica: Replica) -> None:
        """Take the steps of a drain until one has to wait for the disk, or nothing is left."""
        ready = replica.begin()
        if ready is None and self.leaves_nothing(replica):
            return
        while ready is not None:
            self._send(ready.early)  # these do not wait for the disk
            if ready.must_sync:
                self.draining, self.busy_until = True, self.time.now + self.sync_micros
                self._at_rest = False
                self._plan_step(self.busy_until, self._save)
                self._cut_power_if(DrainStep.BEGIN)
                return
            if not replica.save(ready):
                break
            self._send(replica.finish(ready))
            ready = replica.begin()
        self._rest(replica)

    def _save(self, replica: Replica) -> None:
        """Make durable what was begun; the next step is an event of its own."""
        assert replica.unsaved is not None
        if replica.save(replica.unsaved):
            self._plan_step(self.time.now, self._finish)
            self._cut_power_if(DrainStep.SAVE)
        else:
            self._rest(replica)

    def _finish(self, replica: Replica) -> None:
        """Send what waited for the disk, and take the next steps."""
        assert replica.unsaved is not None
        self._send(replica.finish(replica.unsaved))
        self._drain(replica)

    def _rest(self, replica: Replica) -> None:
        """End a drain; what has arrived meanwhile is taken next."""
        self.draining = False
        self._send(replica.rest())
        if self.inbox and not self._waking:
            self._waking = True
            self.plan(max(self.time.now, self.busy_until), self.wake)
        self._plan_work(replica)
        # Work that found the disk full is not planned: it waits for a tick, as the unsaved does.
        self._at_rest = not (self._working or replica.stuck)

    def _send(self, messages: Iterable[AnyMessage]) -> None:
        for message in messages:
            self._world.send(message)

    def _cut_power_if(self, step: DrainStep) -> None:
        """Cut the power if it is planned for after ``step``."""
        if self.cut_after is step:
            self.cut_short += 1
            self.cut_power()

    def _plan_work(self, replica: Replica) -> None:
        if replica.has_work and not self._working:
            self._working = True
            self._plan_step(self.time.now + SLICE, self._work)

    def _work(self, replica: Replica) -> None:
        self._working = self._at_rest = False
        replica.work()
        self._plan_work(replica)
