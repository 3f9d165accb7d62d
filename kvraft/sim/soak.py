"""A soak: transactions without end through tiny segments and memtables, to see that nothing grows.

Clients keep their windows full, overwrite and delete a bounded set of keys, and are replaced now
and then, so that sessions come and go.  Members crash and come back; one in every few stays away
until its share of the log is used up and it has to be sent a snapshot::

    transactions ──► every so many a Sample: bytes on disk by kind, what is in memory
         crash ✕  restart ●   ✕ ─── away for long ─── ●

At the end every member must hold what a plain ``dict`` holds.  The same seed gives the same
samples.

Source: the name is from electronics: to leave a thing running until it fails.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from kvraft.client import Ticket
from kvraft.compaction import Levelled
from kvraft.errors import BadInput, KvraftError
from kvraft.record import RESERVED
from kvraft.replica import Options, Replica
from kvraft.segment import is_segment
from kvraft.sim.world import World
from kvraft.tableinfo import table_number
from kvraft.transaction import Stage

OPTIONS = Options(
    memtable_bytes=16 * 1024,
    segment_bytes=8 * 1024,
    log_bytes=64 * 1024,
    retain_bytes=64 * 1024,
    session_millis=20_000,
    strategy=Levelled(tables=4, level_bytes=128 * 1024, table_bytes=32 * 1024),
)
KEYS = 1_000
CLIENTS, WINDOW = 4, 16
SAMPLES = 200
CRASH_EVERY, LONG_EVERY, RENEW_EVERY = 2_000, 5, 5_000
"""A member crashes every so many transactions, every fifth time for long; clients are renewed."""


class SoakFailed(KvraftError):
    """A member does not hold what it should after a soak."""


class Sample(NamedTuple):
    """What the running members held after ``applied`` transactions, the most of any of them.

    ``log``, ``tables`` and ``other`` are bytes on disk, ``memory`` the bytes of memtables;
    ``entries`` are entries of the log in memory, ``down`` says how many members were.
    """

    applied: int
    log: int
    tables: int
    other: int
    memory: int
    entries: int
    sessions: int
    down: int


def sample(world: World, applied: int) -> Sample:
    """Measure the members of ``world``."""
    found = [_measure(world, name, replica) for name, replica in world.replicas.items()]
    log, tables, other, memory, entries, sessions = map(max, zip(*found, strict=True))
    down = len(world.members) - len(found)
    return Sample(applied, log, tables, other, memory, entries, sessions, down)


def _measure(world: World, name: str, replica: Replica) -> tuple[int, ...]:
    disk = world.disk(name)
    log = tables = other = 0
    for file in disk.names():
        size = disk.size(file)
        if is_segment(file):
            log += size
        elif table_number(file) is not None:
            tables += size
        else:
            other += size
    raft_log, stats = replica.raft.log, replica.tree.stats()
    in_memory = raft_log.last_index - raft_log.released
    return log, tables, other, stats.memtable_bytes, in_memory, len(replica.machine.sessions)


@dataclass(slots=True)
class _Away:
    """A member that is down until so many transactions are applied."""

    name: str
    until: int


class Soak:
    """``transactions`` transactions under ``seed``, with ``samples`` samples on the way."""

    def __init__(self, transactions: int, *, seed: int = 1, samples: int = SAMPLES) -> None:
        if transactions < 1 or samples < 1:
            raise BadInput("a soak needs transactions to carry out, and samples to take")
        self.transactions = transactions
        self.applied = 0
        self.crashes = 0
        self.snapshots = 0
        """How often a member that was away for long came back to a log that had gone on."""
        self.samples: list[Sample] = []
        self.model: dict[bytes, tuple[int, bytes | None]] = {}
        """What each key was set to last, with the log index of that."""
        self.world = World(3, seed=seed, options=OPTIONS, trace=False)
        self._every = max(1, transactions // samples)
        self._random = Random(f"soak/{seed}")
        self._open: list[Ticket] = []
        self._born = 0
        self._names = [self._new_name() for _ in range(CLIENTS)]
        self._away: _Away | None = None
        self._dead = 0  # crashes, to tell which is to be long

    def run(self) -> Iterator[Sample]:
        """Carry it out; yield each sample.  Raises :class:`SoakFailed` if something is wrong."""
        world = self.world
        world.run_until(lambda: world.leader() is not None)
        while self.applied < self.transactions:
            self._fill()
            world.run_for(5)
            before = self.applied
            self._collect()
            if before // CRASH_EVERY != self.applied // CRASH_EVERY:
                self._crash_one()
            if self._away and self.applied >= self._away.until:
                self._come_back()
            if before // RENEW_EVERY != self.applied // RENEW_EVERY:
                self._renew()
            if before // self._every != self.applied // self._every:
                self.samples.append(sample(world, self.applied))
                yield self.samples[-1]
        self._finish()

    def digest(self) -> str:
        """Return a digest of all samples: the same for the same seed."""
        return hashlib.sha256(json.dumps(self.samples).encode()).hexdigest()

    # ── clients ─────────────────────────────────────────────────────────────────────────────────

    def _new_name(self) -> str:
        self._born += 1
        return f"c{self._born}"

    def _fill(self) -> None:
        random = self._random
        counts = dict.fromkeys(self._names, 0)
        for ticket in self._open:
            if ticket.txn.client in counts:
                counts[ticket.txn.client] += 1
        for name, count in counts.items():
            client = self.world.client(name)
            for _ in range(WINDOW - count):
                writes: dict[bytes, bytes | None] = {}
                for _ in range(random.choice((1, 1, 1, 2, 4))):
                    key = b"key %04d" % random.randrange(KEYS)
                    fate = random.random()
                    writes[key] = None if fate < 0.1 else b"%d" % self._born + b"." * int(fate * 60)
                self._open.append(client.submit(writes, timeout=60_000))

    def _collect(self) -> None:
        still: list[Ticket] = []
        for ticket in self._open:
            if not ticket.done:
                still.append(ticket)
            elif ticket.stage is Stage.APPLIED:
                self.applied += 1
                for record in ticket.transaction.records:
                    value = None if record.kind.name == "DELETE" else record.value
                    if self.model.get(record.key, (0, None))[0] < ticket.index:
                        self.model[record.key] = (ticket.index, value)
            else:
                raise SoakFailed(f"{ticket.txn} ended {ticket.stage}: {ticket.reason}")
        self._open = still

    def _renew(self) -> None:
        """Let the oldest client go, once it has nothing open, and a new one come."""
        gone = self._names.pop(0)
        self._names.append(self._new_name())
        self.world.run_until(lambda: not self.world.client(gone).busy)
        self._collect()
        self.world.dismiss(gone)

    # ── members ─────────────────────────────────────────────────────────────────────────────────

    def _crash_one(self) -> None:
        if self._away is not None:
            return
        self._dead += 1
        self.crashes += 1
        name = self._random.choice(list(self.world.replicas))
        long = self._dead % LONG_EVERY == 0
        self._away = _Away(name, self.applied + (1_500 if long else 100))
        self.world.crash(name)

    def _come_back(self) -> None:
        assert self._away is not None
        world, name = self.world, self._away.name
        world.restart(name)
        first = min(r.marks.first for n, r in world.replicas.items() if n != name)
        self.snapshots += first > world.replicas[name].marks.last + 1
        self._away = None

    def _finish(self) -> None:
        """Settle, and compare every member with the dict."""
        world = self.world
        if self._away is not None:
            self._come_back()
        world.run_until(lambda: all(ticket.done for ticket in self._open))
        self._collect()
        world.settle()
        wanted = {key: value for key, (_, value) in self.model.items() if value is not None}
        for name, replica in world.replicas.items():
            held = {k: v for k, v in replica.tree.scan() if not k.startswith(RESERVED)}
            if held != wanted:
                wrong = {key for key, _ in held.items() ^ wanted.items()}
                raise SoakFailed(f"{name} differs from the dict in {len(wrong)} keys")


class Trend(NamedTuple):
    """The highest and the mean value of a series, and by how much of the mean it grows.

    ``growth`` is the slope of a straight line through the second half, times its length; ``error``
    is twice the standard error of that: growth within it is chance.
    """

    highest: int
    mean: float
    growth: float
    error: float


def trend(samples: Sequence[Sample], what: str) -> Trend:
    """Return the trend of one column of ``samples``, by least squares over its second half."""
    values = [int(getattr(each, what)) for each in samples]
    half = values[len(values) // 2 :]
    mean = sum(half) / len(half)
    middle = (len(half) - 1) / 2
    spread = sum((n - middle) ** 2 for n in range(len(half)))
    slope = sum((n - middle) * (v - mean) for n, v in enumerate(half)) / spread if spread else 0.0
    off = sum((v - mean - slope * (n - middle)) ** 2 for n, v in enumerate(half))
    error = 2 * (off / max(len(half) - 2, 1) / spread) ** 0.5 if spread else 0.0
    scale = len(half) / mean if mean else 0.0
    return Trend(max(values), mean, slope * scale, error * scale)
