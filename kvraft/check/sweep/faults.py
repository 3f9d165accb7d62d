"""The faults in a run of the swarm: everything the environment does to members and their messages.

Members crash, also in the middle of a write; disks fail, fill up and are lost; messages are lost,
the network is partitioned, clocks go wrong.  Each fault, and its end, is planned for a moment of
world time.  :meth:`Faults.restart` makes a member run again on a working disk, whatever happened.
"""

from __future__ import annotations

import errno
import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from kvraft.check.properties import Violation
from kvraft.errors import BadInput, Busy, NotLeader, StateLost
from kvraft.sim import MILLISECOND, DrainStep, SimDisk, World
from kvraft.transaction import WriteReply


@dataclass(order=True, slots=True)
class _Due:
    """Something planned for a moment of world time."""

    at: int
    number: int
    what: Callable[[], object]


class Faults:
    """The faults of one world with the clients ``names``.

    ``beheadings`` is how often a leader dies in the middle of a large transaction, ``losses`` how
    often a member loses its disk.  ``tally`` counts what no event of the world reports.
    """

    def __init__(
        self,
        world: World,
        random: Random,
        names: list[str],
        tally: Counter[str],
        beheadings: int,
        losses: int,
    ) -> None:
        self._world, self._random, self._names, self._tally = world, random, names, tally
        self._beheadings = beheadings
        self.losses = losses
        """How many disks may still be lost."""
        self.gone: list[str] = []
        """Members that lost their disks and were replaced by new members."""
        self._due: list[_Due] = []
        self._planned = 0

    @property
    def members(self) -> list[str]:
        """The members that have not lost their disks."""
        return [name for name in self._world.members if name not in self.gone]

    def present(self) -> list[str]:
        """Return :attr:`members`."""
        return self.members

    def draw(self) -> tuple[Callable[[], None], ...]:
        """Return the kinds of faults of a run: a random subset, so that none hides another."""
        kinds = (
            self._crash,
            self._crash_in_drain,
            self._stay_away,
            self._cut_power,
            self._break_disk,
            self._fill_disk,
            self._partition,
            self._lose_messages,
            self._lose_answers,
            self._set_clock,
            self._transfer_leadership,
        )
        return tuple(self._random.sample(kinds, self._random.randint(3, len(kinds))))

    # ── when ────────────────────────────────────────────────────────────────────────────────────

    def plan(self, fastest: int, slowest: int, what: Callable[[], None]) -> None:
        """Plan ``what`` for between ``fastest`` and ``slowest`` milliseconds from now."""
        at = self._world.now + self._random.randint(fastest, slowest) * MILLISECOND
        self._planned += 1
        heapq.heappush(self._due, _Due(at, self._planned, what))

    def do_due(self) -> None:
        """Start the faults that are due, and end those that are over."""
        while self._due and self._due[0].at <= self._world.now:
            heapq.heappop(self._due).what()

    def end_all(self) -> None:
        """Do everything that is planned, now; then repair what is still broken."""
        while self._due:
            heapq.heappop(self._due).what()
        self._world.heal()
        self._world.network.loss = 0.0
        for name in self.members:
            self._repair(name)
            self._world.set_clock(name, 0)
            self.restart(name)

    # ── members that crash ──────────────────────────────────────────────────────────────────────

    def victim(self) -> str:
        """Return a random member, more often than not the leader."""
        leader = self._world.leader()
        if leader is not None and self._random.random() < 0.5:
            return leader
        return self._random.choice(self.members)

    def _kill(self, name: str) -> None:
        if name in self._world.replicas:
            self._world.crash(name)
            self._tally["crashes between calls"] += 1

    def _crash(self, fastest: int = 20, slowest: int = 600) -> None:
        name = self.victim()
        self._kill(name)
        self.plan(fastest, slowest, partial(self.restart, name))

    def _crash_in_drain(self) -> None:
        """Crash a member between two steps of one of its next drains."""
        name = self.victim()
        if name in self._world.replicas:
            self._world.crash(name, after=self._random.choice(tuple(DrainStep)))
        self.plan(100, 600, partial(self.restart, name))

    def _stay_away(self) -> None:
        self._crash(1_500, 3_000)

    def behead(self, write_large: Callable[[], None]) -> None:
        """Kill the leader when a follower's log ends inside a large transaction."""
        leader = self._world.leader()
        if leader is None or not self._beheadings:
            return
        self._beheadings -= 1
        write_large()
        for _ in range(200):
            self._world.step()
            others = [r.raft.log for name, r in self._world.replicas.items() if name != leader]
            logs = [log for log in others if log.last_index >= log.first_index]
            with self._world.undisturbed():
                ends = [log.slice(log.last_index)[0] for log in logs]
            if any(end.record.kind.is_data and not end.record.commit for end in ends):
                break
        if leader in self._world.replicas:
            self._kill(leader)
            self._world.drop(lambda message: message.sender == leader)
            self.plan(20, 600, partial(self.restart, leader))

    def restart(self, name: str) -> None:
        """Restart a member on a working disk, if it does not run."""
        if name in self.gone:
            return
        self._repair(name)
        if name in self._world.replicas:
            return
        disk = self.disk(name)
        if self._random.random() < 0.5:
            reorder = self._random.random() < 0.5
            disk.crash(self._random, reorder=reorder)  # the machine was off, not only the process
        if self._random.random() < 0.2:
            disk.fail_at(self._random.randint(1, 12), self._random)
        if not self._world.restart(name):
            self._tally["power cuts during a start"] += 1
            self.restart(name)

    # ── disks ───────────────────────────────────────────────────────────────────────────────────

    def disk(self, name: str) -> SimDisk:
        """Return the disk of a member."""
        disk = self._world.disk(name)
        assert isinstance(disk, SimDisk)
        return disk

    def _repair(self, name: str) -> None:
        disk = self.disk(name)
        disk.repair()
        disk.capacity = None
        if name in self._world.replicas:  # what was planned and never came is cancelled
            disk.restore()
            self._world.seats[name].cut_after = None

    def _cut_power(self) -> None:
        """Cut the power in the middle of one of the next calls to a disk."""
        name = self.victim()
        self.disk(name).fail_at(self._random.randint(1, 30), self._random)
        self.plan(100, 600, partial(self.restart, name))

    def _break_disk(self) -> None:
        """Make one of the next calls to a disk fail, of which the process dies, maybe its host."""
        name, random = self.victim(), self._random
        self.disk(name).break_at(random.randint(1, 30), error=errno.EIO, random=random)
        self.plan(100, 600, partial(self.restart, name))

    def _fill_disk(self) -> None:
        name = self.victim()
        disk = self.disk(name)
        used = sum(disk.size(file) for file in disk.names())
        disk.capacity = used + self._random.choice((0, 500, 4_000))
        self.plan(200, 1_500, partial(self.restart, name))

    def lose_disk(self) -> None:
        """Wipe a member's disk: it must notice, and a new member replaces it."""
        name = self.victim()
        if not self.losses or name == self._world.leader():
            return
        self.losses -= 1
        self._kill(name)
        self._repair(name)
        disk = self.disk(name)
        disk.restore()  # a new disk: what was planned for the old one is cancelled
        disk.wipe()
        try:
            self._world.restart(name)
        except StateLost:
            self._tally["losses noticed"] += 1
        else:
            raise Violation("nothing is forgotten", (name,), f"{name} starts with an empty disk")
        self.gone.append(name)
        self._world.replace(name, self._world.rebuild(name))

    # ── network, clocks, leadership ─────────────────────────────────────────────────────────────

    def _partition(self) -> None:
        members = self.members
        some = self._random.sample(members, self._random.randint(1, len(members) - 1))
        client = self._random.choice(self._names)
        self._world.client(client)
        self._world.partition(some + ([client] if self._random.random() < 0.3 else []))
        self.plan(100, 1_200, self._world.heal)

    def _lose_messages(self) -> None:
        self._world.network.loss = self._random.choice((0.05, 0.3))
        self.plan(100, 1_000, self._stop_losing)

    def _stop_losing(self) -> None:
        self._world.network.loss = 0.0

    def _lose_answers(self) -> None:
        """Lose every answer that is in flight to a client, repeatedly for a while."""
        self._world.drop(lambda message: isinstance(message, WriteReply))
        if self._random.random() < 0.95:
            self.plan(1, 3, self._lose_answers)

    def _set_clock(self) -> None:
        name = self._random.choice((*self.members, *self._names))
        if name in self._names:
            self._world.client(name)
        self._world.set_clock(name, self._random.choice((-2_000, -300, 100, 450, 2_000)))
        usual = self._random.choice((-100, 0, 200))
        self.plan(100, 800, partial(self._world.set_clock, name, usual))

    def _transfer_leadership(self) -> None:
        try:
            self._world.transfer(self._random.choice(self.members))
        except (NotLeader, Busy, BadInput):
            self._tally["transfers refused"] += 1
