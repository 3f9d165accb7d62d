"""The environment of a world: power, processes, links, messages and disks, all of which can fail.

What is done here is done *to* the members; they learn of it only by what follows::

    members     crash  timeout  pause  resume  set_clock
    links       partition  cut_link  slow_link  lose_on_link  clog_link  repair_link  heal  lose
    messages    drop  duplicate  delay  deliver
    disks       fill_disk  extend_disk  slow_disk  corrupt_disk  wipe_disk  lie_about_syncs
                misdirect  remember_disk  go_stale
                break_disk  cut_power  switch_off  copy_disk  bring_copy  repair_disk

All but the clocks are reported to the trace, so that a look back shows what was the case then.

Invariant: what is done to one link or message draws no random number, so it changes no other one's
luck.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from random import Random
from typing import Any

from kvraft import inputs
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import (
    DiskChanged,
    DiskCorrupted,
    DiskExtended,
    DiskLimited,
    DiskWiped,
    Event,
    LinkChanged,
    NetworkHealed,
    NetworkLossy,
    NetworkPartitioned,
    Trace,
)
from kvraft.sim.carrier import Carrier
from kvraft.sim.disk import SimDisk
from kvraft.sim.network import INTACT, AnyMessage, Envelope, Network
from kvraft.sim.seat import SYNC, DrainStep, Seat
from kvraft.sim.timeline import MILLISECOND, Timeline


class Environment(ABC):
    """Time, network and the seats of the members, which are in :attr:`seats` by name.

    With ``trace`` false no events are kept.
    """

    def __init__(self, network: Network, *, trace: bool) -> None:
        self.time = Timeline()
        self.trace = Trace()
        """All events; empty without ``trace``, which saves time and memory."""
        self.network = network
        self.traced = inputs.flag(trace, "trace")
        self._carrier = Carrier(
            network,
            self.time,
            deliver=self.hand_over,
            why_gone=self.why_gone,
            report=self.report if self.traced else None,
        )
        self.seats: dict[str, Seat] = {}
        """The seats of all members that were ever started, by name."""
        self._ahead: dict[str, int] = {}  # of clocks: milliseconds, by member or client
        self._copies: dict[str, SimDisk] = {}  # of disks, by member
        self.watch: Callable[[], object] | None = None
        """Looks at the world after each step, if given; copies of a run's world have none."""

    @property
    def now(self) -> int:
        """Microseconds since the start of the world."""
        return self.time.now

    @property
    def in_flight(self) -> list[Envelope]:
        """The messages on their way, in the order in which they were sent."""
        return list(self.network.in_flight.values())

    def report(self, who: str, event: Event) -> None:
        """File an event in the trace, if there is one."""
        if self.traced:
            self.trace.file(self.now, who, event)

    # ── who there is ────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def is_client(self, name: str) -> bool:
        """Return whether there is a client of that name."""

    @abstractmethod
    def hand_over(self, message: AnyMessage) -> None:
        """Give a message to its receiver, which is there."""

    def why_gone(self, name: str) -> str:
        """Return why nothing can be delivered to ``name``, ``""`` if it can."""
        if name in self.seats:
            return "" if self.seats[name].up else f"{name} is down"
        return "" if self.is_client(name) else f"{name} is gone"

    def check_known(self, name: str) -> str:
        """Return ``name``; raise ``BadInput`` unless it is a member or a client."""
        if inputs.text(name, "a name") not in self.seats and not self.is_client(name):
            raise BadInput(f"there is neither a member nor a client called {name}")
        return name

    def seat_of(self, name: str) -> Seat:
        """Return the seat of a member, running or not."""
        if inputs.text(name, "the name of a member") not in self.seats:
            raise BadInput(f"there is no member called {name}: {', '.join(self.seats)}")
        return self.seats[name]

    def running_seat(self, name: str) -> Seat:
        """Return the seat of a member that runs."""
        seat = self.seat_of(name)
        if seat.replica is None:
            raise BadInput(f"{name} does not run")
        return seat

    # ── members ─────────────────────────────────────────────────────────────────────────────────

    def crash(self, name: str, *, after: str = "") -> None:
        """Cut the power of a member: its memory and its unsynced bytes are gone.

        With ``after``, "begin" or "save", that happens after this step of its next drain with
        something to save (seat.py).
        """
        seat = self.running_seat(name)
        if after:
            seat.cut_after = DrainStep.named(after)
        else:
            seat.cut_power()

    def timeout(self, name: str) -> None:
        """Make the timer of a member run out now: an election, or a leader's heartbeats."""
        seat = self.running_seat(name)
        if seat.paused:
            raise BadInput(f"{name} is paused")
        seat.run_out_timer()

    def pause(self, name: str, millis: int | None = None, *, ticks: bool = True) -> None:
        """Stop a member's process for ``millis`` milliseconds, without them until it is resumed.

        What arrives meanwhile waits.  Then the member first catches up on the ticks that it missed,
        as every owner of a consensus module must (raft/interface.py).  Without ``ticks`` it is not
        given them: it does not know that time has passed, and may trust a lease that has run out.
        """
        seat = self.running_seat(name)
        inputs.flag(ticks, "ticks")
        if millis is not None:
            inputs.whole_number(millis, "the length of a pause", minimum=0)
        seat.pause(None if millis is None else self.now + millis * MILLISECOND, ticks=ticks)

    def resume(self, name: str) -> None:
        """End the pause of a member."""
        seat = self.running_seat(name)
        if not seat.paused:
            raise BadInput(f"{name} is not paused")
        seat.resume()

    def set_clock(self, name: str, ahead: int) -> None:
        """Set the clock of a member or client ``ahead`` milliseconds of the world's time.

        ``ahead`` may be negative.  All clocks run at the same speed.
        """
        self.check_known(name)
        self._ahead[name] = inputs.whole_number(ahead, "how far a clock is ahead")

    def ahead(self, name: str) -> int:
        """Return how many milliseconds a clock is ahead of the world's time."""
        return self._ahead.get(name, 0)

    def forget(self, name: str) -> None:
        """Forget the clock and the links of a client that was removed."""
        self._ahead.pop(name, None)
        self.network.forget(name)

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def partition(self, *groups: Collection[str]) -> None:
        """Partition the network into ``groups``; members in none of them form one more group.

        Clients that are in no group reach all members.
        """
        found = inputs.groups(groups, self.check_known)
        named = [name for group in found for name in group]
        rest = [name for name in self.seats if name not in named]
        whole = [sorted(group) for group in found] + ([rest] if rest else [])
        self.network.partition(whole)
        self.report("", NetworkPartitioned(tuple(" ".join(group) for group in whole)))

    def cut_link(self, sender: str, to: str) -> None:
        """Cut a link in one direction: what ``sender`` sends to ``to`` is lost."""
        self._change_link(sender, to, cut=True)

    def clog_link(self, sender: str, to: str) -> None:
        """Clog a link: what ``sender`` sends to ``to`` waits at its end until it is repaired."""
        self._change_link(sender, to, clogged=True)

    def slow_link(self, sender: str, to: str, millis: int) -> None:
        """Make messages from ``sender`` to ``to`` take ``millis`` milliseconds longer."""
        inputs.whole_number(millis, "how much longer messages take", minimum=0)
        self._change_link(sender, to, slower=millis * MILLISECOND)

    def lose_on_link(self, sender: str, to: str, percent: int) -> None:
        """Lose that share of the messages from ``sender`` to ``to``, at random."""
        inputs.whole_number(percent, "how many percent are lost", minimum=0)
        if percent > 100:
            raise BadInput(f"no more than 100 percent of messages can be lost, not {percent}")
        self._change_link(sender, to, loss=percent)

    def repair_link(self, sender: str, to: str) -> None:
        """Make a link in one direction as good as new; what waited there arrives."""
        self._change_link(sender, to, **INTACT._asdict())

    def _change_link(self, sender: str, to: str, **changes: Any) -> None:
        link = self.check_known(sender), self.check_known(to)
        if sender == to:
            raise BadInput(f"there is no link from {sender} to itself")
        before = self.network.link(*link)
        state = before._replace(**changes)
        self.network.set_link(*link, state)
        self.report("", LinkChanged(*link, state.cut, state.clogged, state.slower, state.loss))
        if before.clogged and not state.clogged:
            self._carrier.release(*link)

    def heal(self) -> None:
        """End the partition, and repair all links."""
        self.network.heal()
        self.report("", NetworkHealed())
        self._carrier.release()

    def lose(self, percent: int) -> None:
        """Lose that share of all messages that are sent from now on, at random."""
        inputs.whole_number(percent, "how many percent are lost", minimum=0)
        self.network.loss = percent / 100
        self.report("", NetworkLossy(percent))

    # ── messages ────────────────────────────────────────────────────────────────────────────────

    def send(self, message: AnyMessage, after: int = 0) -> None:
        """Send a message after ``after`` microseconds, as if its sender had."""
        self._carrier.send(message, after)

    def drop(self, which: Callable[[AnyMessage], bool] | int) -> int:
        """Lose messages in flight, one by its id or all that ``which`` selects; return how many."""
        return self._carrier.drop(which)

    def duplicate(self, id: int) -> None:
        """Send a message between members once more; the copy arrives right after it.

        A client's connection never delivers twice, and clients rely on that (client/__init__.py).
        """
        if why := self.why_never_twice(envelope := self.message(id)):
            raise BadInput(why)
        self._carrier.duplicate(envelope)

    def why_never_twice(self, envelope: Envelope) -> str:
        """Return why a message cannot be duplicated, ``""`` if it can."""
        ends = (envelope.message.sender, envelope.message.to)
        client = next((name for name in ends if name not in self.seats), "")
        return f"the connection of {client} never delivers a message twice" if client else ""

    def delay(self, id: int, millis: int) -> None:
        """Have a message in flight arrive ``millis`` milliseconds later than it would.

        Later messages on its link may overtake it.
        """
        inputs.whole_number(millis, "the length of a delay", minimum=1)
        self._carrier.delay(self.message(id), millis * MILLISECOND)

    def deliver(self, id: int) -> None:
        """Have a message in flight arrive now, before what is ahead of it on its link.

        It is lost if its receiver is down or cannot be reached, as it would be later.
        """
        self._carrier.deliver(self.message(id))

    def message(self, id: int) -> Envelope:
        """Return the message in flight with that number."""
        found = self.network.in_flight.get(inputs.whole_number(id, "the number of a message"))
        if found is None:
            raise BadInput(f"message {id} is not in flight")
        return found

    # ── disks ───────────────────────────────────────────────────────────────────────────────────

    def fill_disk(self, name: str, free: int = 0) -> None:
        """Leave room for ``free`` more bytes on the simulated disk of a member."""
        disk, free = self.sim_disk(name), inputs.whole_number(free, "free bytes", minimum=0)
        disk.capacity = sum(map(disk.size, disk.names())) + free
        self.report(name, DiskLimited(free))

    def extend_disk(self, name: str) -> None:
        """Give the simulated disk of a member all the room it wants."""
        self.sim_disk(name).capacity = None
        self.report(name, DiskExtended())

    def slow_disk(self, name: str, micros: int = SYNC) -> None:
        """Make each sync of the disk of a member take so many microseconds, by default the usual.

        That of a drain which is under way takes what it began with.
        """
        seat = self.seat_of(name)
        seat.sync_micros = inputs.whole_number(micros, "how long a sync takes", minimum=0)
        self.report(name, DiskChanged(f"takes {micros:,} µs for a sync"))

    def break_disk(self, name: str, call: int, *, reads: bool = False, seed: int = 0) -> None:
        """Make a call to the simulated disk of a member fail, of which the process dies.

        It is the ``call``-th from now on of those that write, or of those that read; ``seed`` says
        what is left of one that writes (:meth:`SimDisk.break_at`).
        """
        disk = self.sim_disk(name)
        if reads:
            disk.break_at(call, kinds=("read",))
        else:
            disk.break_at(call, random=Random(seed))
        what = "read" if reads else "write"
        self.report(name, DiskChanged(f"fails in {what} {call} from now on"))

    def cut_power(self, name: str, call: int, seed: int = 0) -> None:
        """Cut the power of a member in the middle of the ``call``-th write to its disk from now on.

        ``seed`` says how much of an append is on the disk then.  A start is one of many calls, so
        the power of a member that is down may be cut while it starts.
        """
        self.sim_disk(name).fail_at(call, Random(seed))
        self.report(name, DiskChanged(f"loses its power in write {call} from now on"))

    def switch_off(self, name: str, seed: int = 0, *, reorder: bool = False) -> None:
        """Switch off the machine of a member that is down; ``seed`` says what its disk loses.

        When only a process died, what it had written and not synced is still there.
        """
        disk = self.sim_disk(name)
        if why := self.why_in_use(name):
            raise BadInput(why)
        lost = disk.crash(Random(seed), reorder=reorder)
        self.report(name, DiskChanged(f"was off, and lost {counted(lost, 'byte')}"))

    def copy_disk(self, name: str) -> None:
        """Copy the simulated disk of a member as it can be read now; a later copy replaces it."""
        self._copies[name] = self.sim_disk(name).backup()
        self.report(name, DiskChanged("is copied"))

    def bring_copy(self, name: str) -> None:
        """Give a member that is down the copy of its disk instead of the disk that it had."""
        if why := self.why_in_use(name) or self.why_no_copy(name):
            raise BadInput(why)
        self.seats[name].disk = self._copies.pop(name)
        self.report(name, DiskChanged("is an old copy from now on"))

    def why_no_copy(self, name: str) -> str:
        """Return why there is no copy of a member's disk to bring, ``""`` if there is."""
        return "" if name in self._copies else f"there is no copy of the disk of {name}"

    def repair_disk(self, name: str) -> None:
        """Give a member a disk that works: it has room and its usual speed, and will not fail.

        What was lost or damaged stays so.
        """
        disk, seat = self.sim_disk(name), self.seats[name]
        disk.repair()
        disk.restore()
        disk.capacity, seat.sync_micros, seat.cut_after = None, SYNC, None
        self.report(name, DiskExtended())
        self.report(name, DiskChanged("works as it should"))

    def why_no_repair(self, name: str) -> str:
        """Return why the disk of a member needs no repair, ``""`` if it does."""
        seat = self.seat_of(name)
        works = seat.cut_after is None and seat.sync_micros == SYNC and self.sim_disk(name).works
        return f"the disk of {name} works as it should" if works else ""

    def corrupt_disk(self, name: str, file: str, offset: int, mask: int = 0xFF) -> None:
        """Flip the bits of ``mask`` in one byte of a file on the simulated disk of a member."""
        disk = self.sim_disk(name)
        if inputs.text(file, "the name of a file") not in disk.names():
            raise BadInput(f"there is no file {file} on the disk of {name}")
        disk.corrupt(file, offset, mask)
        self.report(name, DiskCorrupted(file, offset, mask))

    def lie_about_syncs(self, name: str, percent: int = 100, seed: int = 0) -> None:
        """Make syncs of the disk of a member succeed and do nothing, until it is repaired.

        ``seed`` says which, so many ``percent`` of all.
        """
        self.sim_disk(name).lie_about_syncs(Random(seed), percent / 100)
        self.report(name, DiskChanged(f"lies about {percent} % of its syncs"))

    def misdirect(self, name: str, call: int, seed: int = 0) -> None:
        """Make the ``call``-th append to the disk of a member land elsewhere, as ``seed`` says."""
        self.sim_disk(name).misdirect_at(call, Random(seed))
        self.report(name, DiskChanged(f"misdirects append {call} from now on"))

    def remember_disk(self, name: str) -> None:
        """Have the disk of a member remember what it holds now: see :meth:`go_stale`."""
        self.sim_disk(name).remember()
        self.report(name, DiskChanged("remembers what it holds"))

    def go_stale(self, name: str, sector: int = 512, seed: int = 0) -> None:
        """Have a sector of a member's disk hold what was remembered; ``seed`` says which."""
        file = self.sim_disk(name).go_stale(Random(seed), sector)
        self.report(name, DiskChanged(f"has a stale sector in {file}" if file else "is not stale"))

    def wipe_disk(self, name: str) -> None:
        """Lose all files of a member that is down and has a simulated disk."""
        disk = self.sim_disk(name)
        if why := self.why_in_use(name):
            raise BadInput(why)
        files = len(disk.names())
        disk.wipe()
        self.report(name, DiskWiped(files))

    def why_in_use(self, name: str) -> str:
        """Return who uses the disk of a member, as a reason not to touch it; ``""`` if nobody."""
        disk = self.seat_of(name).disk
        users = [s.name for s in self.seats.values() if s.disk is disk and s.replica is not None]
        return f"{users[0]} runs, so its files are in use" if users else ""

    def sim_disk(self, name: str) -> SimDisk:
        """Return the disk of a member; raise ``BadInput`` if it is not simulated."""
        disk = self.seat_of(name).disk
        if not isinstance(disk, SimDisk):
            raise BadInput(f"the disk of {name} is not simulated")
        return disk
