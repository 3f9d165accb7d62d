"""When faults happen, when they end, and how everything is repaired.

A fault is struck at a moment of world time, and plans its own end::

    strike ──► what is broken now        due: ends, and the next blow of what comes in blows
       ╰─────► plan(later, repair) ────► do_due ──► repaired
       ╰─────► wait_for(what takes steps of the world) ──► do_waiting, between two acts of clients

Invariant: what is due is done in the order of its time, and at one time in the order planned.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from kvraft.check.properties import Violation
from kvraft.errors import Corruption, KvraftError, StateLost
from kvraft.sim import MILLISECOND, SimDisk, World

Fault = Callable[["Faults"], object]
"""What strikes a world; it returns ``False`` if there was nothing to strike."""


ALWAYS = ("members", "transfer")
"""What may happen in any run, since it takes other faults to go wrong."""


@dataclass(order=True, slots=True)
class _Due:
    """Something planned for a moment of world time."""

    at: int
    number: int
    what: Callable[[], object]


class Faults:
    """The faults of one world with the clients ``names``; ``kinds`` are those that may happen.

    ``beheadings`` is how often a leader dies in the middle of a large transaction, ``losses`` how
    many disks may be lost.  ``tally`` counts what happened.  ``write_large`` has a client
    write a large transaction.
    """

    def __init__(
        self,
        world: World,
        random: Random,
        names: list[str],
        tally: Counter[str],
        *,
        kinds: dict[str, Fault],
        beheadings: int,
        losses: int,
    ) -> None:
        self.world, self.random, self.names, self.tally = world, random, names, tally
        self.kinds = kinds
        self.beheadings, self.losses = beheadings, losses
        self.write_large: Callable[[], None] = lambda: None
        self.gone: list[str] = []
        """Members that lost their disks and were replaced by new members."""
        self.doubts: dict[str, Callable[[], None]] = {}
        """Members whose disk may not hold what it should, and how one starts that is down."""
        self.leases = next(iter(world.replicas.values())).options.raft.lease_ticks > 0
        self._due: list[_Due] = []
        self._waiting: list[Callable[[], None]] = []
        self._planned = 0
        self._drawn: list[str] = []

    @property
    def members(self) -> list[str]:
        """The members that have not lost their disks."""
        return [name for name in self.world.members if name not in self.gone]

    @property
    def alone(self) -> bool:
        """Whether there is one member only, which has no links to others."""
        return len(self.members) < 2

    def current(self) -> list[str]:
        """Return the members of the leader's configuration; there must be a leader."""
        leader = self.world.leader()
        assert leader is not None
        return list(self.world.replicas[leader].raft.configuration.members)

    def present(self) -> list[str]:
        """Return :attr:`members`."""
        return self.members

    def draw(self) -> None:
        """Draw the kinds of this run, a random subset so that none hides another, and how often.

        Those in :data:`ALWAYS` are in each subset.
        """
        few = min(3, len(self.kinds))
        chosen = self.random.sample(list(self.kinds), self.random.randint(few, len(self.kinds)))
        chosen = [name for name in chosen if name not in ALWAYS]
        chosen += [name for name in ALWAYS if name in self.kinds]
        self._drawn = [name for name in chosen for _ in range(self.random.choice((1, 1, 3)))]

    def strike_soon(self) -> None:
        """Plan a fault of a kind that was drawn."""
        self.plan(0, 40, partial(self.strike, self.random.choice(self._drawn)))

    def strike(self, name: str) -> None:
        """Make the fault ``name`` happen now, and count it if it does."""
        if self.kinds[name](self) is not False:
            self.tally[f"fault {name}"] += 1

    # ── when ────────────────────────────────────────────────────────────────────────────────────

    def plan(self, fastest: int, slowest: int, what: Callable[[], object]) -> None:
        """Plan ``what`` for between ``fastest`` and ``slowest`` milliseconds from now."""
        at = self.world.now + self.random.randint(fastest, slowest) * MILLISECOND
        self._planned += 1
        heapq.heappush(self._due, _Due(at, self._planned, what))

    def wait_for(self, what: Callable[[], None]) -> None:
        """Have ``what``, which makes the world step, done as soon as nothing else does."""
        self._waiting.append(what)

    def do_due(self) -> None:
        """Start the faults that are due, and end those that are over."""
        while self._due and self._due[0].at <= self.world.now:
            heapq.heappop(self._due).what()

    def do_waiting(self) -> None:
        """Do what waits until the world may be stepped."""
        while self._waiting:
            self._waiting[0]()
            self._waiting.pop(0)

    def end_all(self) -> None:
        """Do everything that is planned, now; then repair what is still broken."""
        while self._due:
            heapq.heappop(self._due).what()
        self.world.heal()
        self.world.network.loss = 0.0
        for name in self.members:
            self.resume(name)
            self.repair(name)
            self.world.set_clock(name, 0)
            self.restart(name)

    # ── whom, and back to work ──────────────────────────────────────────────────────────────────

    def victim(self) -> str:
        """Return a random member, more often than not the leader, or one in the middle of things.

        That is a member that is being sent a snapshot, or a leader amid a change of members.
        """
        leader = self.world.leader()
        luck = self.random.random()
        if leader is not None:
            raft = self.world.replicas[leader].raft
            receiving = [n for n, f in raft.followers.items() if f.snapshot and n in self.members]
            if luck < 0.4 and receiving:
                return self.random.choice(receiving)
            if luck < 0.5 or (luck < 0.8 and raft.configuration.joint):
                return leader
        return self.random.choice(self.members)

    def disk(self, name: str) -> SimDisk:
        """Return the disk of a member."""
        return self.world.sim_disk(name)

    def kill(self, name: str) -> None:
        """Crash a member, if it runs."""
        if name in self.world.replicas:
            self.world.crash(name)
            self.tally["crashes between calls"] += 1

    def time_out(self, name: str) -> bool:
        """Make the timer of a member run out, if it may: leases trust that none is early."""
        seat = self.world.seats[name]
        if self.leases or not seat.up or seat.paused:
            return False
        self.world.timeout(name)
        return True

    def resume(self, name: str) -> None:
        """End the pause of a member, if it is paused."""
        if self.world.seats[name].paused:
            self.world.resume(name)

    def repair(self, name: str) -> None:
        """Give a member a disk that works; what was planned and never came is cancelled."""
        disk = self.disk(name)
        disk.repair()
        disk.capacity = None
        self.world.slow_disk(name)
        if name in self.world.replicas:
            disk.restore()
            self.world.seats[name].cut_after = None

    def restart(self, name: str) -> None:
        """Restart a member on a working disk, if it does not run."""
        if name in self.gone:
            return
        if name in self.doubts and name not in self.world.replicas:
            self.doubts.pop(name)()
            return
        self.repair(name)
        if name in self.world.replicas:
            return
        disk = self.disk(name)
        if self.random.random() < 0.5:
            reorder = self.random.random() < 0.5
            disk.crash(self.random, reorder=reorder)  # the machine was off, not only the process
        if "power-cut-at-start" in self._drawn and self.random.random() < 0.3:
            disk.fail_at(self.random.randint(1, 12), self.random)
        if not self.world.restart(name):
            self.tally["fault power-cut-at-start"] += 1
            self.restart(name)

    # ── members whose disk is lost ──────────────────────────────────────────────────────────────

    def may_lose(self, name: str) -> bool:
        """Return whether the disk of ``name`` may be lost: the others hold all that is committed.

        They do if it is one of three voters or more, of which no other is lost, and does not lead.
        """
        leader = self.world.leader()
        if not self.losses or name == leader or leader is None or self._waiting or self.doubts:
            return False
        now = self.world.replicas[leader].raft.configuration
        there = [other for other in now.voters if other not in self.gone]
        return len(there) == len(now.voters) >= 3 and not now.joint

    def lose(self, name: str, why: str) -> None:
        """Count a member that is down as lost, and have a new one take its place."""
        self.losses -= 1
        self.gone.append(name)
        self.tally[why] += 1
        self.wait_for(partial(self._replace, name))

    def _replace(self, name: str) -> None:
        self.world.replace(name, self.world.rebuild(name))

    def must_refuse(self, name: str, what: str) -> None:
        """Check that a member which is down does not start on its disk, of which ``what`` is true.

        Raises :class:`~kvraft.check.Violation` if it does.
        """
        try:
            self.world.restart(name)
        except (StateLost, Corruption):
            return
        except KvraftError as error:
            raise Violation("nothing is forgotten", (name,), f"{name}: {error}") from error
        raise Violation("nothing is forgotten", (name,), f"{name} starts with {what}")
