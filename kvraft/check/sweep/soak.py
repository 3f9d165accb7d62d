"""A soak: a long stream of transactions, and whether what a member uses grows.

Three simulated members with tiny segments, memtables and budgets take a given number of
transactions.  Clients come, keep their windows full, and leave; members crash, also in the middle
of a write, and now and then one stays down until it needs a snapshot.  At regular intervals each
member is measured, on its disk and in its memory::

    submit ──► run ──► collect ──► crash, restart ──► submit ──► …     every `every` transactions
                          │                                            a UsageSample is taken
                          ╰─ applied writes also go into a dict

What is bounded has no trend (``usage.py``).  At the end every member must hold what a plain dict
with the same writes holds.

Invariant: a soak is a function of its seed, its length and of the code: the same samples each time.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from kvraft.check.properties import Violation
from kvraft.check.sweep.usage import DISK, MEMORY, Trend, Usage, fit_trend, usage_of
from kvraft.client import Client, Ticket
from kvraft.display import counted
from kvraft.errors import BadInput
from kvraft.events import Event, Trace
from kvraft.lsm import Levelled
from kvraft.record import Kind
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import MILLISECOND, SimDisk, World
from kvraft.transaction import SESSION_WINDOW, Stage

SMALL = ReplicaOptions(
    memtable_bytes=16 << 10,
    segment_bytes=8 << 10,
    log_bytes=64 << 10,
    retain_bytes=128 << 10,
    reserve_bytes=0,
    strategy=Levelled(tables=4, level_bytes=64 << 10, fanout=8, table_bytes=16 << 10),
    session_millis=500,
)
"""Everything so small that a few thousand transactions fill it many times over."""

KEYS = 2_000
CLIENTS = 8
SAMPLES = 500
"""How many samples a soak takes, about."""

_STAYS = (1, 1, 1, 1, 1, 1, 1, 1, 100, 1_000)  # how many transactions a client submits
_QUIET = (1_000, 4_000)  # transactions between two outages: minimum, maximum
_SHORT = (20, 300)  # milliseconds
_LEAST = 50  # bytes of log that any transaction takes
_MOMENT = 4  # milliseconds of the world in which nothing is submitted or collected


class UsageSample(NamedTuple):
    """What all ``members`` use after ``transactions``, ``at`` microseconds of world time."""

    transactions: int
    at: int
    members: tuple[Usage, ...]


@dataclass(slots=True)
class MemberOutage:
    """``member`` crashed after ``since`` transactions, and runs again since ``until``."""

    member: str
    since: int
    until: int | None = None
    due: int = 0  # world time, or transactions if it is long
    long: bool = False


def usage_points(samples: Sequence[UsageSample], member: int, kind: str) -> list[tuple[int, int]]:
    """Return (transactions, value) of what a :class:`Usage` names ``kind``.

    ``member`` is its number, from 0.  While it is down there are no values of its memory.
    """
    found = ((sample.transactions, sample.members[member]) for sample in samples)
    return [(x, getattr(usage, kind)) for x, usage in found if usage.up or kind in DISK]


def usage_trends(
    members: Sequence[str], samples: Sequence[UsageSample]
) -> dict[tuple[str, str], Trend]:
    """Return the trend of each field of :class:`Usage` for each member, by both names."""
    return {
        (kind, name): fit_trend(usage_points(samples, number, kind))
        for kind in (*DISK, *MEMORY)
        for number, name in enumerate(members)
    }


class CountingTrace(Trace):
    """A trace that keeps no event, only how many of each class there were: ``counts``."""

    def __init__(self, before: Trace) -> None:
        super().__init__()
        self.counts = Counter(type(event).__name__ for _, _, event in before)

    def file(self, at: int, who: str, event: Event) -> None:
        """Count one event."""
        self.counts[type(event).__name__] += 1


@dataclass(slots=True)
class _Visitor:
    """A client with its open tickets; it will submit ``left`` more transactions."""

    client: Client
    left: int
    tickets: list[Ticket] = field(default_factory=list)


class Soak:
    """A soak of ``transactions`` under ``seed``, with a sample after each ``every`` of them.

    ``replica`` is what every member runs.  ``samples``, ``outages`` and ``tally`` (counts of events
    and of how transactions ended) grow during :meth:`run`.
    """

    def __init__(
        self,
        transactions: int,
        seed: int = 1,
        *,
        every: int | None = None,
        options: ReplicaOptions = SMALL,
        replica: type[Replica] = Replica,
    ) -> None:
        if transactions < 100:
            raise BadInput(
                f"{counted(transactions, 'transaction')} show no trend: take 100 or more"
            )
        if every is not None and every < 1:
            raise BadInput(f"a sample is taken after at least one transaction, not after {every}")
        self.transactions, self.seed = transactions, seed
        self.every = every or max(1, transactions // SAMPLES)
        self.options = options
        self.samples: list[UsageSample] = []
        self.outages: list[MemberOutage] = []
        self.applied = 0
        self.ended: Counter[str] = Counter()
        """How many transactions ended in which stage, and how many clients there were."""
        self.world = World(3, seed=seed, options=options, replica=replica)
        self._trace = self.world.trace = CountingTrace(self.world.trace)
        self._random = Random(f"soak/{seed}")
        self._visitors: list[_Visitor] = []
        self._model: dict[bytes, tuple[int, bytes | None]] = {}  # place and value of the latest
        self._maybe: set[tuple[bytes, bytes | None]] = set()  # writes that ended UNKNOWN
        self._submitted = 0
        self._next_outage = self._random.randint(*_QUIET)

    @property
    def tally(self) -> dict[str, int]:
        """How often each kind of event happened, by name."""
        return dict(sorted(self._trace.counts.items()))

    @property
    def digest(self) -> str:
        """The SHA-256 of all samples: equal digests mean equal runs."""
        text = json.dumps(self.samples, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def run(self) -> Iterator[UsageSample]:
        """Run until all transactions are applied; yield each sample when it is taken.

        Raises :class:`~kvraft.check.Violation` if at the end a member does not hold
        what a dict with the same writes holds.
        """
        world = self.world
        world.run_until(lambda: world.leader() is not None)
        self._visitors = [self._visitor() for _ in range(CLIENTS)]
        due = 0
        while self.applied < self.transactions:
            if self.applied >= due:
                due = self.applied + self.every
                yield self._sample()
            self._fill()
            world.run_for(_MOMENT)
            self._collect()
            self._trouble()
        self._end_outage()
        world.settle()
        yield self._sample()
        self._check_maps()
        world.close()

    # ── clients ─────────────────────────────────────────────────────────────────────────────────

    def _visitor(self) -> _Visitor:
        self.ended["clients"] += 1
        client = self.world.client(f"c{self.ended['clients']}")
        return _Visitor(client, self._random.choice(_STAYS))

    def _fill(self) -> None:
        """Make every client submit twice its window; the client queues what exceeds it."""
        wanted = self.transactions - self.applied
        wanted -= sum(len(visitor.tickets) for visitor in self._visitors)
        for number, visitor in enumerate(self._visitors):
            if not visitor.left and not visitor.tickets:
                self.world.dismiss(visitor.client.name)
                visitor = self._visitors[number] = self._visitor()
            some = min(visitor.left, wanted, 2 * SESSION_WINDOW - len(visitor.tickets))
            for _ in range(some):
                visitor.tickets.append(self._submit(visitor.client))
            visitor.left -= some
            wanted -= some

    def _submit(self, client: Client) -> Ticket:
        random = self._random
        self._submitted += 1
        value = b"%08d" % self._submitted  # no other transaction writes it
        if random.random() < 0.005:
            draft = client.transaction()
            key = self._key()
            draft.put(key, value + (draft.get(key) or b"")[:20])
            return draft.submit()
        writes: dict[bytes, bytes | None] = {}
        for _ in range(random.choice((1, 1, 2, 3))):
            long = value * random.randint(1, 8)
            writes[self._key()] = None if random.random() < 0.2 else long
        return client.submit(writes)

    def _key(self) -> bytes:
        return b"key/%05d" % self._random.randrange(KEYS)

    def _collect(self) -> None:
        """Record the transactions that ended."""
        for visitor in self._visitors:
            for ticket in visitor.tickets:
                if ticket.done:
                    self._note(ticket)
            visitor.tickets = [ticket for ticket in visitor.tickets if not ticket.done]

    def _note(self, ticket: Ticket) -> None:
        self.ended[ticket.stage.value] += 1
        self.applied += ticket.stage is Stage.APPLIED
        for kind, key, value, *_ in ticket.transaction.records:
            if kind is Kind.EXPECT:
                continue
            written = value if kind is Kind.PUT else None
            latest, _ = self._model.get(key, (0, None))
            if ticket.stage is Stage.UNKNOWN:
                self._maybe.add((key, written))
            elif ticket.stage is Stage.APPLIED and ticket.index > latest:
                self._model[key] = (ticket.index, written)  # answers may overtake each other

    def _check_maps(self) -> None:
        """Compare the members with the dict; a write that ended UNKNOWN may be there or not."""
        with self.world.undisturbed():
            maps = {
                name: dict(replica.tree.scan(prefix=b"key/"))
                for name, replica in self.world.replicas.items()
            }
        first = next(iter(maps.values()))
        for name, found in maps.items():
            pairs = [(key, found.get(key)) for key in {**found, **self._model, **first}]
            wrong = sum(
                value != first.get(key)
                or (value != self._model.get(key, (0, None))[1] and (key, value) not in self._maybe)
                for key, value in pairs
            )
            if wrong:
                raise Violation(
                    "the same map",
                    (name,),
                    f"{name} has the wrong value for {counted(wrong, 'key')}",
                )

    # ── what happens to members ─────────────────────────────────────────────────────────────────

    def _trouble(self) -> None:
        """Start the next outage, or end the current one, if it is due."""
        outage = self.outages[-1] if self.outages else None
        if outage is None or outage.until is not None:
            if self.applied >= self._next_outage:
                self._begin_outage()
        elif (self.applied if outage.long else self.world.now) >= outage.due:
            self._end_outage()
            self._next_outage = self.applied + self._random.randint(*_QUIET)

    def _begin_outage(self) -> None:
        """Crash a member, half of the time in the middle of one of its next disk calls."""
        random = self._random
        name = random.choice(self.world.members)
        outage = MemberOutage(name, self.applied, long=len(self.outages) % 4 == 0)
        self.outages.append(outage)
        short = self.world.now + random.randint(*_SHORT) * MILLISECOND
        enough = self.options.retain_bytes // _LEAST  # for the budget to be used up
        outage.due = self.applied + enough if outage.long else short
        if random.random() < 0.5:
            self._disk(name).fail_at(random.randint(1, 30), random)
        else:
            self.world.crash(name)

    def _end_outage(self) -> None:
        """Restart the member that is down, if any; sometimes its power fails during the start."""
        if not self.outages or self.outages[-1].until is not None:
            return
        outage, random = self.outages[-1], self._random
        disk = self._disk(outage.member)
        if outage.member in self.world.replicas:  # no disk call came in which to crash
            self.world.crash(outage.member)
        if random.random() < 0.2:
            disk.fail_at(random.randint(1, 8), random)
        if not self.world.restart(outage.member):
            self.world.restart(outage.member)
        outage.until = self.applied

    def _disk(self, name: str) -> SimDisk:
        disk = self.world.disk(name)
        assert isinstance(disk, SimDisk)
        return disk

    # ── measuring ───────────────────────────────────────────────────────────────────────────────

    def _sample(self) -> UsageSample:
        running = self.world.replicas
        members = tuple(
            usage_of(self._disk(name), running.get(name)) for name in self.world.members
        )
        self.samples.append(UsageSample(self.applied, self.world.now, members))
        return self.samples[-1]

    def trends(self) -> dict[tuple[str, str], Trend]:
        """Return the trend of each field of :class:`Usage` for each member, by both names."""
        return usage_trends(self.world.members, self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that was measured, as JSON values."""
        return {
            "seed": self.seed,
            "transactions": self.transactions,
            "every": self.every,
            "digest": self.digest,
            "ended": dict(sorted(self.ended.items())),
            "events": self.tally,
            "trends": [
                {"kind": kind, "member": name, **found._asdict(), "grows": found.grows}
                for (kind, name), found in self.trends().items()
            ],
            "outages": [[o.member, o.since, o.until, o.long] for o in self.outages],
            "members": self.world.members,
            "fields": Usage._fields,
            "samples": [[s.transactions, s.at, *map(list, s.members)] for s in self.samples],
        }

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        events, ended = self._trace.counts, self.ended
        yield (
            f"{counted(self.applied, 'transaction')} of {counted(ended['clients'], 'client')}, "
            f"{ended[Stage.ABORTED.value]:,} aborted, {ended[Stage.UNKNOWN.value]:,} unknown; "
            f"{self.world.now / 1e6:,.0f} s of world time"
        )
        yield (
            f"{events['MemberCrashed']:,} crashes, "
            f"{sum(outage.long for outage in self.outages):,} of them long; "
            f"{counted(events['SnapshotReceived'], 'snapshot')} installed"
        )
        yield (
            f"{events['Flushed']:,} flushes, {events['Compacted']:,} compactions, "
            f"{counted(events['SegmentDropped'], 'segment')} dropped, "
            f"{events['SessionExpired']:,} sessions expired"
        )
        yield f"\n{'':20}{'max':>12}{'level':>12}{'per million':>14}{'change':>9}"
        for (kind, name), found in self.trends().items():
            yield (
                f"{kind:12}{name:8}{found.peak:12,}{found.level:12,.0f}{found.slope:+14,.0f}"
                f"{found.change:+9.1%} ± {found.noise:.1%}{': it grows' if found.grows else ''}"
            )
        yield "\nAll members hold what a dict with the same writes holds."
        yield f"{counted(len(self.samples), 'sample')}, sha256 {self.digest}"
