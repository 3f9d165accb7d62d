"""The swarm: random runs of small clusters, under every kind of fault.

A run draws its options from its seed: three or five members, tiny segments, memtables, messages
and budgets.  Clients act (``clients.py``) while faults come and go (``faults/``).  All
that they do is an action of a run (``kvraft.sim.Run``), in which every checker looks after each
step (judged.py)::

    draw ──► act, act, act, … ──► repair ──► the end: liveness, and a last look
              │ with faults
              ╰─ verbs ──► JudgedRun ──► a run file, in which no chance is left

Invariants: a run is a function of its seed and of the code, so a finding can be repeated; and its
actions give the same trace without the swarm.

A long range of runs must reach everything in :data:`REACHED`, or the swarm itself is at fault.

Sources: Groce et al., *Swarm Testing*, ISSTA 2012 (why options are drawn, too); Will Wilson on
FoundationDB's simulation, 2014; Antithesis on "sometimes" assertions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from kvraft.check.history import Effect
from kvraft.check.marks import MARKS
from kvraft.check.sweep.clients import Clients
from kvraft.check.sweep.faults import KINDS, Faults
from kvraft.check.sweep.judged import JudgedRun
from kvraft.client import Client
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
from kvraft.sim import Run

ACTS = 150

REACHED = (
    "transactions applied",
    "transactions discarded",
    "transactions in conflict",
    "transactions repeated",
    "large transactions applied",
    "giant transactions applied",
    "reads compared",
    "pages compared",
    "sessions expired",
    "crashes",
    "power cuts during a call",
    "crashes between steps of a drain",
    "disks that failed",
    "losses noticed",
    "promotions refused as too early",
    "writes refused as overloaded",
    "writes refused for their stamp",
    "partitions",
    "messages lost",
    "torn tails truncated",
    "entries superseded",
    "flushes",
    "compactions",
    "segments dropped",
    "snapshots installed",
    *MARKS,
    *(f"fault {name}" for name in KINDS),
)
"""What runs count; some run of a long range must reach each of them."""

_EVENTS: dict[str, type[Event]] = {
    "sessions expired": SessionExpired,
    "crashes": MemberCrashed,
    "disks that failed": MemberStopped,
    "partitions": NetworkPartitioned,
    "messages lost": MessageLost,
    "torn tails truncated": TailTruncated,
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
    Effect.DISCARDED: "transactions discarded",
}


def draw_options(random: Random) -> ReplicaOptions:
    """Return random options, small enough that much happens in a short run."""
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
            lease_ticks=random.choice((0, 10)),
            pre_vote=random.random() < 0.7,
        ),
    )


class SwarmRun:
    """One run under ``seed``: ``acts`` of clients among faults; then everything is repaired.

    Every member runs ``replica`` and ``consensus``, every client is a ``client``; there are three
    or five ``members`` by chance, or as many as given.  :meth:`run` raises what a checker found;
    ``tally`` counts what the run reached, and ``acted`` has the acts that happened, each with the
    number of events before it.

    Each act is drawn from a stream of its own, by its number, so it stays what it is when others
    are left out: with ``only``, the acts of these numbers happen.
    """

    def __init__(
        self,
        seed: int,
        *,
        replica: type[Replica] = Replica,
        consensus: type[Raft] = Raft,
        client: type[Client] = Client,
        acts: int = ACTS,
        only: Sequence[int] | None = None,
        members: int | None = None,
        faults: Iterable[str] = KINDS,
    ) -> None:
        random = self._random = Random(f"swarm/{seed}")
        self.seed = seed
        self._acts = range(acts) if only is None else only
        self._trouble = random.choice((0.05, 0.1, 0.2))
        """The chance that a fault comes with an act."""
        self.options = draw_options(random)
        drawn = random.choice((3, 3, 5))
        run = Run(
            members or drawn,
            seed=seed,
            options=self.options,
            reorder=random.random() < 0.3,
            replica=replica,
            consensus=consensus,
            client=client,
        )
        names = [f"c{number}" for number in range(random.randint(2, 4))]
        # With small chunks a giant would take too long.
        giants = int(random.random() < 0.3 and self.options.raft.max_batch_bytes > 1_000)
        beheadings, losses = random.choice((0, 2, 4)), random.choice((0, 1, 2, 4))
        every = 400 if giants else random.choice((50, 150, 400))
        self.judged = JudgedRun(run, every=every, after=self._stepped)
        """The run that is recorded and judged: all acts and faults go through it."""
        self.tally = self.judged.tally
        self.world = run.world
        shared = (self.judged, random, names)
        kinds = {name: KINDS[name] for name in faults}
        self.faults = Faults(*shared, kinds=kinds, beheadings=beheadings, losses=losses)
        self.clients = Clients(*shared, giants, self.faults.present)
        self.faults.write_large = self.clients.write_large
        self.faults.write_some = self.clients.write_some
        self.faults.read_at = self.clients.read_at
        self.acted: list[tuple[int, int]] = []  # acts so far, each with the events before it

    @property
    def trace(self) -> Trace:
        """The events of the run."""
        return self.world.trace

    def run(self) -> None:
        """Run; raise :class:`~kvraft.check.Violation` for what a checker found.

        Any other error is a finding as well.
        """
        try:
            self.start()
            self.faults.draw()
            for number in self._acts:
                self.acted.append((number, len(self.trace)))
                self._random.seed(f"swarm/{self.seed}/{number}")
                if self._random.random() < self._trouble:
                    self.faults.strike_soon()
                self._act()
                self.faults.do_due()
                self.faults.do_waiting()
                self.world.run_for(self._random.choice((1, 2, 5, 15, 40)))
            self._random.seed(f"swarm/{self.seed}/end")
            self._end()
        except Exception as error:
            self.judged.stop(error)
            raise
        finally:
            self._count()
            self.world.close()

    def start(self) -> None:
        """Wait for a leader, and write the first data."""
        self.world.run_until(lambda: self.world.leader() is not None)
        self.clients.begin()

    def _act(self) -> None:
        self._random.choice(self.clients.acts())()

    def _stepped(self) -> None:
        self.faults.do_due()

    def _end(self) -> None:
        """Repair everything, and see the cluster at work again."""
        faults = self.faults
        faults.end_all()
        faults.do_waiting()
        faults.end_all()
        self.judged.repair()
        self.judged.end()

    def _count(self) -> None:
        """Count what happened in the run."""
        tally, transactions = self.tally, self.judged.transactions
        for fates in transactions.model.fates.values():
            for fate in fates:
                tally[_NAMES[fate.effect]] += 1
        for name, kind in _EVENTS.items():
            tally[name] += len(self.trace.of(kind))
        in_drains = sum(seat.cut_short for seat in self.world.seats.values())
        tally["crashes between steps of a drain"] = in_drains
        others = tally["crashes between calls"] + tally["power cuts during a start"] + in_drains
        tally["power cuts during a call"] = tally["crashes"] - others
        kinds = Counter(
            step.event.kind for step in self.trace if isinstance(step.event, MessageSent)
        )
        tally["writes refused as overloaded"] = kinds["Overloaded"]
        tally["writes refused for their stamp"] = kinds["Rejected"]
        self.clients.count_large()
        tally["reads compared"] += transactions.reads
        tally["pages compared"] += transactions.pages
