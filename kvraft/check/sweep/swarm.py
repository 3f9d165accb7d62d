"""The swarm: random runs of small clusters, under every fault there is.

A run draws its options from its seed: three or five members, tiny segments, memtables, messages
and budgets.  Clients act (``swarm_clients.py``) while faults come and go (``swarm_faults.py``).
After each step of the world that reports anything all checkers look; what costs more is looked at
every so often, and at the end, when all is repaired::

    draw ──► act, act, act, … ──► repair ──► settle ──► last look
              │ faults come and go meanwhile
              ╰─ every step: WorldChecker, TransactionChecker, RetentionChecker

Invariant: a run is a function of its seed and of the code, so what it found can be seen again.

A range of runs must reach what it is for: :data:`REACHED` names what none of may be missing.

Sources: Groce et al., *Swarm Testing*, ISSTA 2012 (why options are drawn, too); Will Wilson on
FoundationDB's simulation, 2014; Antithesis on "sometimes" assertions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from kvraft.check.invariants import WorldChecker
from kvraft.check.model import Effect
from kvraft.check.properties import Violation
from kvraft.check.retention import RetentionChecker
from kvraft.check.sweep.clients import Clients, check_rows
from kvraft.check.sweep.faults import Faults
from kvraft.check.transactions import TransactionChecker
from kvraft.display import counted
from kvraft.events import (
    Compacted,
    EntriesSuperseded,
    Event,
    Flushed,
    MemberCrashed,
    MemberStopped,
    MessageLost,
    MessageSent,
    NetworkPartitioned,
    SegmentDropped,
    SessionExpired,
    SnapshotReceived,
    TailTruncated,
    Trace,
)
from kvraft.lsm import Levelled, Tiered
from kvraft.raft import Raft, RaftOptions
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import World
from kvraft.transaction import Stage

ACTS = 150

REACHED = (
    "transactions applied",
    "transactions undone",
    "transactions in conflict",
    "transactions repeated",
    "large transactions applied",
    "giant transactions applied",
    "reads compared",
    "pages compared",
    "sessions expired",
    "crashes",
    "power cuts during a call",
    "disks that failed",
    "losses noticed",
    "writes put off",
    "stamps refused",
    "partitions",
    "messages lost",
    "torn tails cut",
    "entries superseded",
    "flushes",
    "compactions",
    "segments dropped",
    "snapshots installed",
)
"""What runs count, and what some run of a longer range must reach."""
ENOUGH = 100
"""How many runs are a longer range."""

_EVENTS: dict[str, type[Event]] = {
    "sessions expired": SessionExpired,
    "crashes": MemberCrashed,
    "disks that failed": MemberStopped,
    "partitions": NetworkPartitioned,
    "messages lost": MessageLost,
    "torn tails cut": TailTruncated,
    "entries superseded": EntriesSuperseded,
    "flushes": Flushed,
    "compactions": Compacted,
    "segments dropped": SegmentDropped,
    "snapshots installed": SnapshotReceived,
}
_NAMES = {
    Effect.APPLIED: "transactions applied",
    Effect.CONFLICT: "transactions in conflict",
    Effect.REPEATED: "transactions repeated",
    Effect.UNDONE: "transactions undone",
}


class _Watched(World):
    """A world that is looked at after each step, whoever makes it."""

    watch: Callable[[], None] | None = None

    def step(self) -> None:
        """Let the next event happen, and look."""
        super().step()
        if self.watch is not None:
            self.watch()


def draw_options(random: Random) -> ReplicaOptions:
    """Return options that make much happen in a short run."""
    levelled = Levelled(tables=2, level_bytes=4_000, fanout=3, table_bytes=1_000)
    return ReplicaOptions(
        memtable_bytes=random.choice((500, 1_500, 5_000)),
        segment_bytes=random.choice((300, 1_000, 3_000)),
        log_bytes=random.choice((2_000, 6_000)),
        retain_bytes=random.choice((0, 2_000, 6_000)),
        reserve_bytes=random.choice((0, 3_000, 8_000)),
        stall_memtables=random.choice((1, 2, 4)),
        strategy=random.choice((levelled, Tiered(tables=3))),
        history_millis=random.choice((0, 200, 60_000)),
        session_millis=random.choice((600, 1_500, 60_000)),
        raft=RaftOptions(
            max_batch_bytes=random.choice((150, 1_000, 65_536)),
            window=random.choice((1, 2, 16)),
            max_uncommitted=random.choice((60, 1_000)),
            lease_ticks=random.choice((0, 0, 10)),
        ),
    )


class SwarmRun:
    """One run under ``seed``: clients do so many ``acts`` among faults; then all is repaired.

    ``replica`` and ``consensus`` are what every member runs.  :meth:`run` raises what a checker
    found; ``tally`` counts what the run reached.
    """

    def __init__(
        self,
        seed: int,
        *,
        replica: type[Replica] = Replica,
        consensus: type[Raft] = Raft,
        acts: int = ACTS,
    ) -> None:
        random = self._random = Random(f"swarm/{seed}")
        self.seed = seed
        self.tally: Counter[str] = Counter()
        self._acts = acts
        self._trouble = random.choice((0.02, 0.05, 0.1))
        """How likely a fault comes with each act."""
        self.options = draw_options(random)
        self.world = _Watched(
            random.choice((3, 3, 5)),
            seed=seed,
            options=self.options,
            reorder=random.random() < 0.3,
            replica=replica,
            consensus=consensus,
        )
        self._world_checker = WorldChecker(self.world)
        self.transactions = TransactionChecker(self.world)
        budget = self.options.retain_bytes
        self._truncations = RetentionChecker(self.world.trace, self.world.members, budget)
        names = [f"c{number}" for number in range(random.randint(2, 4))]
        # Small chunks would take a giant for ever.
        giants = int(random.random() < 0.3 and self.options.raft.max_batch_bytes > 1_000)
        beheadings, losses = random.choice((0, 2, 4)), random.choice((0, 0, 1, 2))
        shared = (self.world, random, names, self.tally)
        self.faults = Faults(*shared, beheadings, losses)
        self.clients = Clients(*shared, giants, lambda: self.faults.members)
        self._steps = 0  # those in which anything was reported
        self._seen = 0  # so much of the trace
        self._every = 400 if giants else random.choice((50, 150, 400))
        """After how many steps what costs more is looked at."""

    @property
    def trace(self) -> Trace:
        """All that happened."""
        return self.world.trace

    def run(self) -> None:
        """Run; raise :class:`~kvraft.check.Violation` for what a checker found.

        Any other error is a finding as well.
        """
        self.world.watch = self._watch
        try:
            self.begin()
            kinds = self.faults.draw()
            for _ in range(self._acts):
                if self._random.random() < self._trouble:
                    self.faults.plan(0, 40, self._random.choice(kinds))
                self._act()
                self.faults.do_due()
                self.world.run_for(self._random.choice((1, 2, 5, 15, 40)))
            self._end()
        finally:
            self._count()
            self.world.close()

    def begin(self) -> None:
        """Elect a leader, and write what clients begin with."""
        self.world.run_until(lambda: self.world.leader() is not None)
        self.clients.begin()

    def _act(self) -> None:
        behead = partial(self.faults.behead, self.clients.write_large)
        rare: tuple[Callable[[], None], ...] = (behead, self.faults.lose_disk)
        self._random.choice((*self.clients.acts(), *rare))()

    def _watch(self) -> None:
        if len(self.trace) > self._seen:  # else time has passed, and nothing more
            self._seen = len(self.trace)
            self._steps += 1
            self._world_checker.check()
            self.transactions.check()
            self._truncations.check()
            if self._steps % self._every == 0:
                self._look()
        self.faults.do_due()

    def _look(self) -> None:
        """Look at whole members."""
        self.transactions.check_members()
        with self.world.undisturbed():
            for name, replica in self.world.replicas.items():
                oldest, newest = replica.tree.horizon, replica.tree.timestamp
                for at in {oldest: 0, (oldest + newest) // 2: 0, newest: 0}:
                    check_rows(name, dict(replica.tree.scan(b"a", b"z", at=at)))

    def _end(self) -> None:
        """Repair all there is, wait for everyone, and look for the last time."""
        self.faults.end_all()
        world, tickets = self.world, [ticket for _, ticket in self.clients.tickets]
        world.run_until(lambda: all(ticket.done for ticket in tickets))
        last = world.client("last").submit({b"key/last": b"alive"})
        world.run_until(lambda: last.done)
        if last.stage is not Stage.APPLIED:
            raise Violation("progress", (), f"all is repaired, and {last.txn} ended {last.reason}")
        world.settle()
        self._look()
        self.transactions.check_members(moments=6)
        self.transactions.check_tickets([*tickets, last])
        applied = {r.tree.applied for r in world.replicas.values()}
        if len(world.replicas) != len(self.faults.members) or len(applied) != 1:
            what = f"all is repaired, and members are at {sorted(applied)}"
            raise Violation("progress", (), what)
        self.clients.check_counter()

    def _count(self) -> None:
        """Sum up what happened."""
        tally = self.tally
        for fates in self.transactions.model.fates.values():
            for fate in fates:
                tally[_NAMES[fate.effect]] += 1
        for name, kind in _EVENTS.items():
            tally[name] += len(self.trace.of(kind))
        others = tally["crashes between calls"] + tally["power cuts during a start"]
        tally["power cuts during a call"] = tally["crashes"] - others
        kinds = Counter(
            step.event.kind for step in self.trace if isinstance(step.event, MessageSent)
        )
        tally["writes put off"], tally["stamps refused"] = kinds["Overloaded"], kinds["Rejected"]
        self.clients.count_large()
        tally["reads compared"] += self.transactions.reads
        tally["pages compared"] += self.transactions.pages


# ── many runs ───────────────────────────────────────────────────────────────────────────────────


class SwarmResult(NamedTuple):
    """How the run under ``seed`` went: ``found`` is ``None`` or what was wrong."""

    seed: int
    found: str | None
    tally: Counter[str]

    @property
    def again(self) -> str:
        """The command that shows it again."""
        return f"kvraft swarm --seeds {self.seed}"


def run_seed(
    seed: int,
    *,
    replica: type[Replica] = Replica,
    consensus: type[Raft] = Raft,
    acts: int = ACTS,
    trace: Path | None = None,
) -> SwarmResult:
    """Run one seed and return how it went; whatever goes wrong in it is a finding.

    ``trace`` is a file to write all that happened to, as JSON lines.
    """
    run, found = SwarmRun(seed, replica=replica, consensus=consensus, acts=acts), None
    try:
        run.run()
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    if trace is not None:
        with trace.open("w", encoding="utf-8", newline="\n") as file:
            run.trace.save(file)
    return SwarmResult(seed, found, run.tally)


def summary(results: Iterable[SwarmResult], *, planted: str = "") -> Iterator[str]:
    """Yield lines about ``results``: what was found and how to see it again, and then totals.

    That :data:`ENOUGH` runs never reached something of :data:`REACHED` is a finding, too.

    With ``planted``, the name of a bug that every member has, stop where it is found.
    """
    total: Counter[str] = Counter()
    runs = found = 0
    for result in results:
        runs += 1
        total += result.tally
        if result.found is not None:
            found += 1
            again = result.again + (f' --planted "{planted}"' if planted else "")
            yield f"seed {result.seed}: {result.found}\n    see it again: {again}"
            if planted:
                break
    missing = [name for name in REACHED if not total[name]]
    if missing and runs >= ENOUGH:
        yield f"seeds: no run reached {', '.join(missing)}"
    yield f"{counted(runs, 'run')}, {found:,} with a finding"
    names = [*REACHED, *sorted(total.keys() - set(REACHED))]
    yield from (f"{total[name]:>12,} {name}" for name in names)
