"""When faults happen, when they end, and how everything is repaired.

A fault is struck at a moment of world time, and plans its own end::

    strike ──► what is broken now        due: ends, and the next blow of what comes in blows
       ╰─────► plan(later, repair) ────► do_due ──► repaired
       ╰─────► wait_for(what takes steps of the world) ──► do_waiting, between two acts of clients

Invariant: what is due is done in the order of its time, and at one time in the order planned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from kvraft.check.sweep.judged import JudgedRun
from kvraft.disk import replacement_name
from kvraft.errors import BadInput, Busy, NotLeader, TimedOut
from kvraft.sim import MILLISECOND

Fault = Callable[["Faults"], object]
"""What strikes a world; it returns ``False`` if there was nothing to strike."""

REQUESTS = 1_200
"""How often the replacement of a lost member is asked for, every 50 milliseconds."""
ALWAYS = ("members", "transfer")
"""What may happen in any run, since it takes other faults to go wrong."""

SCRIPTS = (
    ("members", "isolation"),
    ("members", "crash"),
    ("members", "split-change"),
    ("stay-away", "members", "members"),
    ("isolation", "transfer"),
    ("clogging", "outlived", "transfer"),
    ("outlived", "isolation"),
    ("duplicates", "outlived"),
    ("duplicates", "short-lived"),
    ("short-lived", "transfer"),
    ("duplicates", "transfer"),
    ("duplicates", "churn"),
    ("reordering", "time-out", "time-out"),
    ("reordering", "churn"),
    ("deaf-leader", "transfer"),
    ("deaf-leader", "isolation"),
    ("transfer", "pause"),
    ("one-way", "transfer"),
    ("severed-link", "crash-loop"),
    ("severed-link", "rolling-restart"),
    ("bridge", "crash-loop"),
    ("slow-link", "crash-loop"),
)
"""Faults that make each other worse when one comes soon after the other.

Which of them a run has is drawn, and how soon.
"""


@dataclass(order=True, slots=True)
class _Due:
    """Something planned for a moment of world time."""

    at: int
    number: int
    what: Callable[[], object]


class Faults:
    """The faults of one run with the clients ``names``; ``kinds`` are those that may happen.

    ``beheadings`` is how often a leader dies in the middle of a large transaction, ``losses`` how
    many disks may be lost.  ``write_large`` has a client write a large transaction, ``write_some``
    has some write small ones, ``read_at`` has one read at the member that it is given.

    A fault looks at :attr:`world`, and acts through :meth:`do` and nothing else: so it is recorded,
    and is replayed without the swarm.
    """

    def __init__(
        self,
        judged: JudgedRun,
        random: Random,
        names: list[str],
        *,
        kinds: dict[str, Fault],
        beheadings: int,
        losses: int,
    ) -> None:
        self.judged, self.world, self.tally = judged, judged.world, judged.tally
        self.random, self.names = random, names
        self.kinds = kinds
        self.beheadings, self.losses = beheadings, losses
        self.write_large: Callable[[], None] = lambda: None
        self.write_some: Callable[[], None] = lambda: None
        self.read_at: Callable[[str], None] = lambda member: None
        self.between: list[str] = []
        """Members that alone join some which do not reach each other."""
        self.gone: list[str] = []
        """Members that lost their disks and were replaced by new members."""
        self.doubts: dict[str, Callable[[], None]] = {}
        """Members whose disk may not hold what it should, and how one starts that is down."""
        self.leases = judged.run.options.raft.lease_ticks > 0
        self._due: list[_Due] = []
        self._waiting: list[Callable[[], None]] = []
        self._planned = 0
        self.drawn: list[str] = []
        """The kinds of this run, each as often as it is likely."""
        self.scripts: list[tuple[str, ...]] = []
        """Those of :data:`SCRIPTS` that this run has."""
        self._striking = False

    def do(self, verb: str, *arguments: object) -> bool:
        """Do what a verb says (``kvraft.sim.VERBS``), unless it cannot be done now; return whether.

        What was due at this microsecond comes first, as in every run.
        """
        return self.judged.attempt(verb, *arguments)

    def seed(self) -> int:
        """Return a seed for a verb in which chance decides something."""
        return self.random.getrandbits(32)

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
        self.drawn = [name for name in chosen for _ in range(self.random.choice((1, 1, 3)))]
        possible = [script for script in SCRIPTS if set(script) <= set(self.kinds)]
        self.scripts = self.random.sample(possible, min(4, len(possible)))

    def strike_soon(self) -> None:
        """Plan a fault of a kind that was drawn, or a few that make each other worse."""
        if not self.scripts or self.random.random() < 0.65:
            self.plan(0, 40, partial(self.strike, self.random.choice(self.drawn)))
            return
        pace, after = self.random.choice((10, 60, 300)), 0
        for name in self.random.choice(self.scripts):
            self.plan(after, after + pace, partial(self.strike, name))
            after += pace

    def follow(self, *names: str) -> None:
        """Make one of the faults ``names`` happen now, of those whose kinds were drawn."""
        if drawn := [name for name in names if name in self.drawn]:
            self.strike(self.random.choice(drawn))

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
        """Start the faults that are due, and end those that are over, between two microseconds.

        Not while another one is struck: what it does lets the world finish its microsecond.
        """
        while not self._striking and self._due and self._due[0].at <= self.world.now:
            if self.world.time.has_due(self.world.now):
                return
            self._strike_next()

    def _strike_next(self) -> None:
        self._striking = True
        try:
            heapq.heappop(self._due).what()
        finally:
            self._striking = False

    def do_waiting(self) -> None:
        """Do what waits until the world may be stepped."""
        while self._waiting:
            self._waiting[0]()
            self._waiting.pop(0)

    def end_all(self) -> None:
        """Do everything that is planned, now; then repair what is still broken."""
        while self._due:
            self._strike_next()
        self.heal()
        self.do("lose", 0)
        for name in self.members:
            self.resume(name)
            self.repair(name)
            if self.world.ahead(name):
                self.do("set_clock", name, 0)
            self.restart(name)

    # ── whom, and back to work ──────────────────────────────────────────────────────────────────

    def victim(self) -> str:
        """Return a random member, more often than not the leader, or one in the middle of things.

        That is a member that is being sent a snapshot, or that alone joins others, or a leader amid
        a change of members.
        """
        leader = self.world.leader()
        luck = self.random.random()
        between = [name for name in self.between if name in self.members]
        if between and self.random.random() < 0.5:
            return self.random.choice(between)
        if leader is not None:
            raft = self.world.replicas[leader].raft
            receiving = [n for n, f in raft.followers.items() if f.snapshot and n in self.members]
            if luck < 0.4 and receiving:
                return self.random.choice(receiving)
            if luck < 0.5 or (luck < 0.8 and raft.configuration.joint):
                return leader
        return self.random.choice(self.members)

    def cut(self, one: str, other: str) -> None:
        """Cut two members off from each other."""
        self.do("cut", one, other)
        self.do("cut", other, one)

    def reconnect(self, one: str, other: str) -> None:
        """Repair the links of two members to each other."""
        self.do("repair", one, other)
        self.do("repair", other, one)

    def heal(self) -> None:
        """End the partition, and repair all links."""
        self.do("heal")

    def kill(self, name: str) -> None:
        """Crash a member, if it runs."""
        if self.do("crash", name):
            self.tally["crashes between calls"] += 1

    def time_out(self, name: str) -> bool:
        """Make the timer of a member run out, if it may: leases trust that none is early."""
        return not self.leases and self.do("timeout", name)

    def resume(self, name: str) -> None:
        """End the pause of a member, if it is paused."""
        self.do("resume", name)

    def repair(self, name: str) -> None:
        """Give a member a disk that works; what was planned and never came is cancelled."""
        self.do("repair_disk", name)

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
        if self.random.random() < 0.5:  # the machine was off, not only the process
            self.do("switch_off", name, self.seed(), self.random.random() < 0.5)
        if "power-cut-at-start" in self.drawn and self.random.random() < 0.3:
            self.do("cut_power", name, self.random.randint(1, 12), self.seed())
        self.do("restart", name)
        if name not in self.world.replicas:
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
        """Have a new member take the place of a lost one, as an operator does.

        First the lost one leaves and the new one joins as a learner, then it votes.
        """
        new = replacement_name(name)
        self.do("rebuild", name)
        for learns in (True, False):
            for _ in range(REQUESTS):
                wanted = self.world.change_to_replace(name, new, learns=learns)
                if wanted == ():
                    break
                if wanted:
                    self.ask(*wanted)
                self.world.run_for(50)
            else:
                raise TimedOut(f"{new} could not replace {name}")

    def ask(self, voters: Sequence[str], learners: Sequence[str]) -> str:
        """Ask for a change of members; return why it is refused, ``""`` if it is not."""
        try:
            self.judged.do("change", list(voters), list(learners))
        except (Busy, NotLeader, BadInput) as refusal:
            return str(refusal)
        return ""
