"""One transaction, and a leader that is killed at every step of it: what becomes of the records.

The world is deterministic, so a run can be repeated, each time with the power cut one step later
(:func:`kill_leader_everywhere`)::

    start ──► submit ──┬──┬──┬──┬──┬──┬──► applied      one run a step; every message of the dead
                       ✕  ✕  ✕  ✕  ✕  ✕                 leader that is still in flight is lost
                       │
                       └──► election ──► retry ──► the dead leader restarts, the cluster settles

After each step of each run, every running member is asked how many of the transaction's keys it
holds.  A transaction is there in full or not at all, so the answer must be all of them or none.

What the log made of each copy is worked out by :class:`~kvraft.check.history.Model`, which shares
no code with the members, so this judges members with a bug, too.

Sources: Raft §5.4.2, §8; crash-at-every-point testing as in ALICE (Pillai et al., OSDI 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from kvraft import clock
from kvraft.check.history import Effect, Fate, Model
from kvraft.client import Ticket
from kvraft.errors import BadInput
from kvraft.raft import RaftOptions
from kvraft.record import Entry, Record, entry_size
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import World

SEED = 10
RECORDS = 5
OPTIONS = ReplicaOptions(raft=RaftOptions(max_batch_bytes=70))
"""A message has room for one record of the transaction, so it is replicated piece by piece."""

Hook = Callable[[World, str], None]
"""Called with a world and its leader, which is about to die or has just died."""


def nothing(world: World, leader: str) -> None:
    """Do nothing."""


class CopyEnd(StrEnum):
    """What became of the copy that the dead leader had appended, or would have."""

    NEVER = "never appended"
    LOST = "lost"  # no other member had any of it, and another entry replaced it
    DISCARDED = "discarded"
    COMPLETED = "completed"


class LeaderDeath(NamedTuple):
    """One run: the leader died after ``step`` steps of the transaction.

    - ``held``: how many of its entries were in the log of each member at that moment;
    - ``moment``: the number of that step in the trace of ``world``;
    - ``end``: what became of these entries;
    - ``fates``: what the log made of all copies, in log order;
    - ``seen``: how many of its keys any member ever held at one time, ascending;
    - ``ticket``: the client's.
    """

    step: int
    leader: str
    held: tuple[tuple[str, int], ...]
    moment: int
    end: CopyEnd
    fates: tuple[Fate, ...]
    seen: tuple[int, ...]
    ticket: Ticket
    world: World

    @property
    def records(self) -> int:
        """How many records the transaction has."""
        return len(self.ticket.transaction.records)

    @property
    def whole(self) -> bool:
        """Whether every member always held all of it or nothing, and in the end all."""
        return set(self.seen) <= {0, self.records} and keys_held(self) == [self.records] * 3

    @property
    def applied(self) -> int:
        """How many of its copies took effect; exactly once means 1."""
        return sum(fate.effect is Effect.APPLIED for fate in self.fates)

    def __str__(self) -> str:
        held = ", ".join(f"{name} {count}" for name, count in self.held)
        ticket = self.ticket
        return f"step {self.step}: {held}; {self.end}; sent {ticket.sent}, {ticket.stage}"


class WitnessedWorld(World):
    """A world that looks after each step how many of ``keys`` each member holds."""

    keys: Sequence[bytes] = ()

    def __init__(self, members: int = 3, **options: Any) -> None:
        self.seen: set[int] = set()
        self._looked: dict[str, tuple[int, int]] = {}
        super().__init__(members, **options)
        lifetime = next(iter(self.replicas.values())).options.session_millis
        self.model = Model(clock.pack(lifetime))
        """The state that the committed log leads to."""

    def stepped(self) -> None:
        """Look at every member."""
        with self.undisturbed():
            self._look()

    def _look(self) -> None:
        for name, replica in self.replicas.items():
            model, log, committed = self.model, replica.raft.log, replica.raft.commit_index
            if committed > model.last >= log.first_index - 1:
                for entry in log.slice(model.last + 1, committed):
                    model.take(entry)
            # What a member holds changes only when it applies something or restarts.
            now = id(replica), replica.tree.applied.index
            if self.keys and self._looked.get(name) != now:
                self._looked[name] = now
                self.seen.add(sum(replica.tree.get(key) is not None for key in self.keys))


# ── runs ───────────────────────────────────────────────────────────────────────────────────────


def _begin(
    records: int, value: bytes, seed: int, options: ReplicaOptions, replica: type[Replica]
) -> tuple[WitnessedWorld, Ticket]:
    """Return a world in which client ``ann`` has just submitted the transaction, and the ticket."""
    if records < 1:
        raise BadInput(f"a transaction has at least one record, not {records}")
    world = WitnessedWorld(3, seed=seed, options=options, replica=replica, slowest=4_000)
    world.run_until(lambda: world.leader() is not None)
    world.client("bob").put(b"b", b"1")
    world.client("ann").register()  # now it knows the leader
    world.settle()
    world.keys = [b"k%d" % number for number in range(records)]
    return world, world.client("ann").submit([(key, value) for key in world.keys])


def count_steps(
    *,
    records: int = RECORDS,
    value: bytes = b"v",
    seed: int = SEED,
    options: ReplicaOptions = OPTIONS,
    replica: type[Replica] = Replica,
) -> int:
    """Return how many steps it takes until the client knows that its transaction is applied."""
    world, ticket = _begin(records, value, seed, options, replica)
    count = 0
    while not ticket.done:
        world.step()
        count += 1
    return count


def kill_leader_at(
    step: int,
    *,
    records: int = RECORDS,
    value: bytes = b"v",
    seed: int = SEED,
    options: ReplicaOptions = OPTIONS,
    replica: type[Replica] = Replica,
    before: Hook = nothing,
    after: Hook = nothing,
) -> LeaderDeath:
    """Kill the leader ``step`` steps after the transaction was submitted; return what came of it.

    ``before`` and ``after`` are called around its death.  The client retries by itself; the dead
    member restarts when the client knows how its transaction ended.  Raises
    :class:`~kvraft.errors.BadInput` if ``records`` is less than 1.
    """
    world, ticket = _begin(records, value, seed, options, replica)
    leader = world.leader() or ""
    start, term = world.replicas[leader].marks.last, world.replicas[leader].raft.term
    for _ in range(step):
        world.step()
    before(world, leader)
    held = tuple((name, max(r.marks.last - start, 0)) for name, r in world.replicas.items())
    moment = len(world.trace)
    world.crash(leader)
    world.drop(lambda message: message.sender == leader)
    after(world, leader)
    world.run_until(lambda: ticket.done)
    if leader not in world.replicas:
        world.restart(leader)
    world.settle()
    world.run_until(lambda: _caught_up(world, leader))
    fates = tuple(world.model.fates.get(ticket.txn, ()))
    end = _end(fates, dict(held)[leader], term, world.model)
    seen = tuple(sorted(world.seen))
    return LeaderDeath(step, leader, held, moment, end, fates, seen, ticket, world)


def kill_leader_everywhere(steps: Iterable[int] | None = None, **run: Any) -> list[LeaderDeath]:
    """Kill the leader at each of ``steps``, by default at every one, in a run of its own.

    ``run`` are options of :func:`kill_leader_at`.
    """
    if steps is None:
        given = {k: v for k, v in run.items() if k not in ("before", "after")}
        steps = range(count_steps(**given) + 1)
    return [kill_leader_at(step, **run) for step in steps]


def keys_held(death: LeaderDeath) -> list[int]:
    """Return how many of the transaction's keys each running member holds now, by name."""
    world = death.world
    keys = [record.key for record in death.ticket.transaction.records]
    return [
        sum(world.replicas[name].tree.get(key) is not None for key in keys)
        for name in sorted(world.replicas)
    ]


def _caught_up(world: World, name: str) -> bool:
    leader = world.leader()
    if leader is None:
        return False
    return world.replicas[name].marks.applied == world.replicas[leader].marks.applied


def _end(fates: Sequence[Fate], appended: int, term: int, model: Model) -> CopyEnd:
    """Return what became of the first copy: its committed entries have the dead leader's term."""
    if not appended:
        return CopyEnd.NEVER
    for fate in fates:
        if model.entries[fate.index - 1].term == term:
            return CopyEnd.DISCARDED if fate.effect is Effect.DISCARDED else CopyEnd.COMPLETED
    return CopyEnd.LOST


# ── what may happen around a death ──────────────────────────────────────────────────────────────


def flush_all(world: World, leader: str) -> None:
    """Make every member flush its memtable and truncate its log as far as nothing pins it."""
    for replica in world.replicas.values():
        replica.tree.freeze()
        while replica.has_work:
            replica.work()


def restart_others(world: World, leader: str) -> None:
    """Crash all other members, too, and restart them at once."""
    for name in list(world.replicas):
        world.crash(name)
        world.restart(name)


def force_snapshot(world: World, leader: str) -> None:
    """Write and flush so much that the dead leader will need a snapshot."""
    for number in range(30):
        world.client("bob").put(b"more %d" % number, b"." * 60)
    world.settle()
    flush_all(world, leader)


def log_bytes(records: Sequence[Record]) -> int:
    """Return how many bytes the entries of ``records`` take in the log."""
    return sum(entry_size(Entry(1, 1, record)) for record in records)
