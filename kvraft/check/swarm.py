"""A swarm of random lives: each a small cluster under one seed that everything is done to.

A life draws its options from its seed: three or five members, tiny segments, memtables, messages
and budgets.  Clients write, delete and read, move money between accounts, count, and overwrite
forty keys at once; meanwhile members crash, also in the middle of a write, disks fill up, fail and
are lost, messages are lost, the network is cut, clocks go wrong.  After each step of the world that
reports anything all checkers look; what costs more is looked at every so often, and at the end,
when all is healed::

    draw ──► live: act, act, act, … ──► heal ──► settle ──► last look
                │ faults come and go meanwhile
                ╰─ every step: WorldChecker, TransactionChecker, CutChecker

Three things are checked besides that need no model: the sum of all accounts never changes, a large
transaction is there whole or not at all, and the counter counts what its clients were told.

Invariant: a life is a function of its seed and of the code, so what it found can be seen again.

A range of lives must reach what it is for: :data:`REACHED` names what none of may be missing.

Sources: Groce et al., *Swarm Testing*, ISSTA 2012 (why options are drawn, too); Will Wilson on
FoundationDB's simulation, 2014; Antithesis on "sometimes" assertions.
"""

from __future__ import annotations

import errno
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from kvraft.check.invariants import WorldChecker
from kvraft.check.properties import Violation
from kvraft.check.retention import CutChecker
from kvraft.check.transactions import Effect, TransactionChecker
from kvraft.client import Client, ReadFailed
from kvraft.compaction import Levelled, Tiered
from kvraft.display import counted
from kvraft.draft import Draft
from kvraft.errors import BadInput, Busy, Forgotten, NotLeader
from kvraft.events import (
    Compacted,
    Crashed,
    Event,
    Failed,
    Flushed,
    Lost,
    Partitioned,
    SegmentDropped,
    Sent,
    SessionExpired,
    SnapshotTaken,
    Superseded,
    TailCut,
    Trace,
)
from kvraft.raft import Options as RaftOptions
from kvraft.record import Timestamp
from kvraft.replica import Options, Replica
from kvraft.sim.disk import SimDisk
from kvraft.sim.world import MILLI, World
from kvraft.tail import FRAME_BYTES
from kvraft.ticket import Ticket
from kvraft.transaction import Answer, Stage

__all__ = ["REACHED", "Life", "Result", "live", "tell"]

ACTS = 150
ACCOUNTS = tuple(b"account/%d" % number for number in range(4))
BALANCE = 100
LARGE = tuple(b"large/%02d" % number for number in range(40))
COUNTER = b"counter"
KEYS = tuple(b"key/%d" % number for number in range(10))

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
"""What lives count, and what some life of a longer range must come by."""
ENOUGH = 100
"""How many lives are a longer range."""

_EVENTS: dict[str, type[Event]] = {
    "sessions expired": SessionExpired,
    "crashes": Crashed,
    "disks that failed": Failed,
    "partitions": Partitioned,
    "messages lost": Lost,
    "torn tails cut": TailCut,
    "entries superseded": Superseded,
    "flushes": Flushed,
    "compactions": Compacted,
    "segments dropped": SegmentDropped,
    "snapshots installed": SnapshotTaken,
}


class _Watched(World):
    """A world that is looked at after each step, whoever makes it."""

    watch: Callable[[], None] | None = None

    def step(self) -> None:
        """Let the next event happen, and look."""
        super().step()
        if self.watch is not None:
            self.watch()


def draw_options(random: Random) -> Options:
    """Return options that make much happen in a short life."""
    levelled = Levelled(tables=2, level_bytes=4_000, fanout=3, table_bytes=1_000)
    return Options(
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


@dataclass(order=True, slots=True)
class _Due:
    """Something to be done at a time of the world."""

    at: int
    number: int
    what: Callable[[], None]


class Life:
    """The life of one cluster under ``seed``: clients do so many ``acts`` in trouble, then peace.

    ``replica`` is what every member runs.  :meth:`run` raises what a checker found; ``tally`` says
    what the life came by, ``trace`` all that happened.
    """

    def __init__(self, seed: int, *, replica: type[Replica] = Replica, acts: int = ACTS) -> None:
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
        )
        self._world_checker = WorldChecker(self.world)
        self.transactions = TransactionChecker(self.world)
        budget = self.options.retain_bytes
        self._cuts = CutChecker(self.world.trace, self.world.members, budget)
        self._names = [f"c{number}" for number in range(random.randint(2, 4))]
        # Small chunks would make a giant of a life, too.
        self._giants = int(random.random() < 0.3 and self.options.raft.max_batch_bytes > 1_000)
        self._swords = random.choice((0, 2, 4))
        self._losses = random.choice((0, 0, 1, 2))
        self._gone: list[str] = []  # members that lost their disks, and came back as others
        self._drafts: list[tuple[str, Draft]] = []
        self._tickets: list[tuple[str, Ticket]] = []  # with what they are for
        self._stamps: list[Timestamp] = [0]  # times that can be asked for
        self._due: list[_Due] = []
        self._planned = 0
        self._steps = 0  # those in which anything was reported
        self._seen = 0  # so much of the trace
        self._every = 400 if self._giants else random.choice((50, 150, 400))
        """After how many steps what costs more is looked at."""

    @property
    def trace(self) -> Trace:
        """All that happened."""
        return self.world.trace

    def run(self) -> None:
        """Live; raise :class:`~kvraft.check.properties.Violation` for what a checker found.

        Any other error is a finding as well.
        """
        self.world.watch = self._watch
        try:
            self._begin()
            faults = self._faults()
            for _ in range(self._acts):
                if self._random.random() < self._trouble:
                    self._later(0, 40, self._random.choice(faults))
                self._act()
                self._repair()
                self.world.run_for(self._random.choice((1, 2, 5, 15, 40)))
            self._end()
        finally:
            self._count()
            self.world.close()

    def _watch(self) -> None:
        if len(self.trace) > self._seen:  # else time has passed, and nothing more
            self._seen = len(self.trace)
            self._steps += 1
            self._world_checker.check()
            self.transactions.check()
            self._cuts.check()
            if self._steps % self._every == 0:
                self._look()
        self._repair()

    def _look(self) -> None:
        """Look at whole members."""
        self.transactions.check_members()
        with self.world.undisturbed():
            for name, replica in self.world.replicas.items():
                oldest, newest = replica.tree.horizon, replica.tree.timestamp
                for at in {oldest: 0, (oldest + newest) // 2: 0, newest: 0}:
                    check_rows(name, dict(replica.tree.scan(b"a", b"z", at=at)))

    # ── beginning and end ───────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self.world.run_until(lambda: self.world.leader() is not None)
        self.world.client("bank").write(dict.fromkeys(ACCOUNTS, b"%d" % BALANCE))

    def _end(self) -> None:
        """Repair all there is, wait for everyone, and look for the last time."""
        while self._due:
            heapq.heappop(self._due).what()
        self._make_whole()
        world, tickets = self.world, [ticket for _, ticket in self._tickets]
        world.run_until(lambda: all(ticket.done for ticket in tickets))
        last = world.client("last").submit({b"key/last": b"alive"})
        world.run_until(lambda: last.done)
        if last.stage is not Stage.APPLIED:
            raise Violation("progress", (), f"all is healed, and {last.txn} ended {last.reason}")
        world.settle()
        self._look()
        self.transactions.check_members(moments=6)
        self.transactions.check_tickets([*tickets, last])
        applied = {r.tree.applied for r in world.replicas.values()}
        if len(world.replicas) != len(self._members) or len(applied) != 1:
            raise Violation("progress", (), f"all is healed, and members are at {sorted(applied)}")
        self._check_counter()

    def _make_whole(self) -> None:
        self.world.heal()
        self.world.network.loss = 0.0
        for name in self._members:
            self._mend(name)
            self.world.set_clock(name, 0)
            self._restart(name)

    def _check_counter(self) -> None:
        told = [ticket.stage for kind, ticket in self._tickets if kind == "count"]
        surely, maybe = told.count(Stage.APPLIED), told.count(Stage.UNKNOWN)
        for name, replica in self.world.replicas.items():
            value = int(replica.tree.get(COUNTER) or 0)
            if not surely <= value <= surely + maybe:
                what = f"{name} counted {value}; {surely} were told so, {maybe} do not know"
                raise Violation("exactly once", (name,), what)

    def _count(self) -> None:
        """Sum up what happened."""
        tally, model = self.tally, self.transactions.model
        for fates in model.fates.values():
            for fate in fates:
                tally[_NAMES[fate.effect]] += 1
        for name, kind in _EVENTS.items():
            tally[name] += len(self.trace.of(kind))
        others = tally["crashes between calls"] + tally["power cuts during a start"]
        tally["power cuts during a call"] = tally["crashes"] - others
        kinds = Counter(step.event.kind for step in self.trace if isinstance(step.event, Sent))
        tally["writes put off"], tally["stamps refused"] = kinds["Later"], kinds["Refusal"]
        large = [t for kind, t in self._tickets if kind == "large" and t.stage is Stage.APPLIED]
        tally["large transactions applied"] += len(large)
        tally["giant transactions applied"] += sum(_size(ticket) > FRAME_BYTES for ticket in large)
        tally["reads compared"] += self.transactions.reads
        tally["pages compared"] += self.transactions.pages

    # ── what clients do ─────────────────────────────────────────────────────────────────────────

    def _act(self) -> None:
        many = (self._write,) * 5 + (self._begin_draft,) * 4 + (self._end_draft,) * 4
        few = (self._read, self._scan, self._write_large, self._retry, self._guest)
        rare = (self._behead, self._forget)
        self._random.choice((*many, *few, *rare))()

    def _client(self) -> Client:
        return self.world.client(self._random.choice(self._names))

    def _submit(self, kind: str, ticket: Ticket) -> None:
        self._tickets.append((kind, ticket))
        self._stamps.append(ticket.timestamp)

    def _write(self) -> None:
        random, writes = self._random, {}
        for key in random.sample(KEYS, random.randint(1, 4)):
            value = b"%d" % random.randrange(1_000) * random.choice((1, 1, 30))
            writes[key] = None if random.random() < 0.3 else value
        self._submit("write", self._client().submit(writes, timeout=self._patience()))

    def _patience(self) -> int:
        return self._random.choice((300, 1_500, 10_000))

    def _write_large(self) -> None:
        """One transaction that is more than a message, a segment and a memtable can take.

        Once in some lives it is more than a frame of the log can take, too.
        """
        times = self._random.choice((5, 40))
        if self._giants and self._random.random() < 0.1:
            self._giants, times = 0, 10_000
        writes = dict.fromkeys(LARGE, b"%03d" % len(self._tickets) * times)
        self._submit("large", self._client().submit(writes, timeout=self._patience()))

    def _behead(self) -> None:
        """The leader dies when a follower has a large transaction in part."""
        leader = self.world.leader()
        if leader is None or not self._swords:
            return
        self._swords -= 1
        self._write_large()
        for _ in range(200):
            self.world.step()
            others = [r.raft.log for name, r in self.world.replicas.items() if name != leader]
            logs = [log for log in others if log.last_index >= log.first_index]
            with self.world.undisturbed():
                ends = [log.slice(log.last_index)[0] for log in logs]
            if any(end.record.kind.is_data and not end.record.commit for end in ends):
                break
        if leader in self.world.replicas:
            self.world.crash(leader)
            self.tally["crashes between calls"] += 1
            self.world.drop(lambda message: message.sender == leader)
            self._later(20, 600, lambda: self._restart(leader))

    def _guest(self) -> None:
        """Somebody comes by a name that others had before, writes once, and never comes again."""
        name = f"guest{self._random.randint(1, 3)}"
        with suppress(BadInput):  # nobody is called so, or is not done yet
            self.world.dismiss(name)
        ticket = self.world.client(name).submit({self._random.choice(KEYS): b"guest"})
        self._submit("guest", ticket)

    def _retry(self) -> None:
        ended = (Stage.ABORTED, Stage.UNKNOWN)
        failed = [t for kind, t in self._tickets if t.stage in ended and kind != "guest"]
        if failed:
            ticket = self._random.choice(failed)
            self.world.client(ticket.txn.client).retry(ticket, timeout=self._patience())

    def _forget(self) -> None:
        """A member loses its disk: it is noticed, and comes back as another member."""
        name = self._victim()
        if not self._losses or name == self.world.leader():
            return
        self._losses -= 1
        if name in self.world.replicas:
            self.world.crash(name)
            self.tally["crashes between calls"] += 1
        self._mend(name)
        disk = self._disk(name)
        disk.restore()  # another disk takes its place: what was to happen to the old one does not
        disk.wipe()
        try:
            self.world.restart(name)
        except Forgotten:
            self.tally["losses noticed"] += 1
        else:
            raise Violation("nothing is forgotten", (name,), f"{name} starts with an empty disk")
        self._gone.append(name)
        self.world.replace(name, self.world.rebuild(name))

    def _begin_draft(self) -> None:
        """Read what a transaction is to depend on; it is sent some time later."""
        draft = self._client().transaction()
        kind = self._random.choice(("count", "transfer", "transfer", "touch"))
        try:
            if kind == "count":
                draft.put(COUNTER, b"%d" % (int(draft.get(COUNTER) or 0) + 1))
            elif kind == "touch":
                key = self._random.choice(KEYS)
                draft.put(key, b"touched") if draft.get(key) is None else draft.delete(key)
            else:
                self._transfer(draft)
        except ReadFailed:
            return
        self._drafts.append((kind, draft))

    def _transfer(self, draft: Draft) -> None:
        source, target = self._random.sample(ACCOUNTS, 2)
        amount = self._random.randint(1, 9)
        draft.put(source, b"%d" % (int(draft.get(source) or 0) - amount))
        draft.put(target, b"%d" % (int(draft.get(target) or 0) + amount))

    def _end_draft(self) -> None:
        if self._drafts:
            at = self._random.randrange(len(self._drafts))
            kind, draft = self._drafts.pop(at)
            self._submit(kind, draft.submit(timeout=self._patience()))

    def _read(self) -> None:
        random, client = self._random, self._client()
        member = random.choice((None, *self._members))
        at = random.choice(self._stamps[-20:]) if random.random() < 0.3 else None
        stale = member is not None and random.random() < 0.3
        key = random.choice((*KEYS, COUNTER, *ACCOUNTS))
        try:
            client.read(key, at=at, member=member, stale=stale, timeout=400)
        except ReadFailed:
            self.tally["reads without an answer"] += 1

    def _scan(self) -> None:
        """Read all there is, a few keys a page, while everything goes on."""
        member, rows = self._random.choice((None, *self._members)), self._random.choice((2, 5, 99))
        reverse, client = self._random.random() < 0.3, self._client()
        with suppress(ReadFailed):
            list(client.scan(reverse=reverse, member=member, page_rows=rows, timeout=400))

    # ── what happens to members ─────────────────────────────────────────────────────────────────

    def _later(self, fastest: int, slowest: int, what: Callable[[], None]) -> None:
        """Plan ``what`` between so many milliseconds from now."""
        at = self.world.now + self._random.randint(fastest, slowest) * MILLI
        self._planned += 1
        heapq.heappush(self._due, _Due(at, self._planned, what))

    def _repair(self) -> None:
        """Do what is due: faults that begin, and faults that end."""
        while self._due and self._due[0].at <= self.world.now:
            heapq.heappop(self._due).what()

    def _faults(self) -> tuple[Callable[[], None], ...]:
        """Return the kinds of faults of this life: not all of them, so that each gets its turn."""
        kinds = (
            self._crash,
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

    @property
    def _members(self) -> list[str]:
        return [name for name in self.world.members if name not in self._gone]

    def _victim(self) -> str:
        leader = self.world.leader()
        if leader is not None and self._random.random() < 0.5:
            return leader
        return self._random.choice(self._members)

    def _disk(self, name: str) -> SimDisk:
        disk = self.world.disk(name)
        assert isinstance(disk, SimDisk)
        return disk

    def _crash(self, fastest: int = 20, slowest: int = 600) -> None:
        name = self._victim()
        if name in self.world.replicas:
            self.world.crash(name)
            self.tally["crashes between calls"] += 1
        self._later(fastest, slowest, lambda: self._restart(name))

    def _stay_away(self) -> None:
        self._crash(1_500, 3_000)

    def _cut_power(self) -> None:
        """The power goes in the middle of one of the next calls to a disk."""
        name = self._victim()
        self._disk(name).fail_at(self._random.randint(1, 30), self._random)
        self._later(100, 600, lambda: self._restart(name))

    def _break_disk(self) -> None:
        """One of the next calls to a disk fails; the process dies of it, and maybe its host."""
        name, random = self._victim(), self._random
        self._disk(name).break_at(random.randint(1, 30), error=errno.EIO, random=random)
        self._later(100, 600, lambda: self._restart(name))

    def _fill_disk(self) -> None:
        name = self._victim()
        disk = self._disk(name)
        used = sum(disk.size(file) for file in disk.names())
        disk.capacity = used + self._random.choice((0, 500, 4_000))
        self._later(200, 1_500, lambda: self._restart(name))

    def _partition(self) -> None:
        members = self._members
        some = self._random.sample(members, self._random.randint(1, len(members) - 1))
        client = self._random.choice(self._names)
        self.world.client(client)
        self.world.partition(some + ([client] if self._random.random() < 0.3 else []))
        self._later(100, 1_200, self.world.heal)

    def _lose_messages(self) -> None:
        self.world.network.loss = self._random.choice((0.05, 0.3))
        self._later(100, 1_000, self._lose_no_more)

    def _lose_no_more(self) -> None:
        self.world.network.loss = 0.0

    def _lose_answers(self) -> None:
        """Whatever is on its way to a client is lost, for a while again and again."""
        self.world.drop(lambda message: isinstance(message, Answer))
        if self._random.random() < 0.95:
            self._later(1, 3, self._lose_answers)

    def _set_clock(self) -> None:
        name = self._random.choice((*self._members, *self._names))
        if name in self._names:
            self.world.client(name)
        self.world.set_clock(name, self._random.choice((-2_000, -300, 100, 450, 2_000)))
        usual = self._random.choice((-100, 0, 200))
        self._later(100, 800, lambda: self.world.set_clock(name, usual))

    def _transfer_leadership(self) -> None:
        try:
            self.world.transfer(self._random.choice(self._members))
        except (NotLeader, Busy, BadInput):
            self.tally["transfers refused"] += 1

    def _mend(self, name: str) -> None:
        disk = self._disk(name)
        disk.mend()
        disk.capacity = None
        if name in self.world.replicas:
            disk.restore()  # the power that was to be cut never was

    def _restart(self, name: str) -> None:
        """Let a member run again on a sound disk, if it does not."""
        if name in self._gone:
            return
        self._mend(name)
        if name in self.world.replicas:
            return
        disk = self._disk(name)
        if self._random.random() < 0.5:
            reorder = self._random.random() < 0.5
            disk.crash(self._random, reorder=reorder)  # the machine was off, not only the process
        if self._random.random() < 0.2:
            disk.fail_at(self._random.randint(1, 12), self._random)
        if not self.world.restart(name):
            self.tally["power cuts during a start"] += 1
            self._restart(name)


_NAMES = {
    Effect.APPLIED: "transactions applied",
    Effect.CONFLICT: "transactions in conflict",
    Effect.REPEATED: "transactions repeated",
    Effect.UNDONE: "transactions undone",
}


def _size(ticket: Ticket) -> int:
    return sum(len(record.value) for record in ticket.transaction.records)


def check_rows(name: str, rows: dict[bytes, bytes]) -> None:
    """Check what needs no model, in all rows of the member ``name`` at one moment."""
    balances = [int(rows[key]) for key in ACCOUNTS if key in rows]
    if balances and (len(balances) < len(ACCOUNTS) or sum(balances) != BALANCE * len(ACCOUNTS)):
        raise Violation("all or none", (name,), f"the accounts of {name} hold {balances}")
    large = {rows.get(key) for key in LARGE}
    if len(large) > 1:
        what = f"{name} holds {len(large)} different values of one large transaction"
        raise Violation("all or none", (name,), what)


# ── many lives ──────────────────────────────────────────────────────────────────────────────────


class Result(NamedTuple):
    """How the life under ``seed`` went: ``found`` is ``None`` or what was wrong."""

    seed: int
    found: str | None
    tally: Counter[str]

    @property
    def again(self) -> str:
        """The command that shows it again."""
        return f"kvraft swarm --seeds {self.seed}"


def live(
    seed: int,
    *,
    replica: type[Replica] = Replica,
    acts: int = ACTS,
    trace: Path | None = None,
) -> Result:
    """Live one life and tell how it went; whatever goes wrong in it is a finding.

    ``trace`` is a file to write all that happened to, as JSON lines.
    """
    life, found = Life(seed, replica=replica, acts=acts), None
    try:
        life.run()
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    if trace is not None:
        with trace.open("w", encoding="utf-8", newline="\n") as file:
            life.trace.save(file)
    return Result(seed, found, life.tally)


def tell(results: Iterable[Result], *, planted: str = "") -> Iterator[str]:
    """Yield lines about ``results``: what was found and how to see it again, and then totals.

    That :data:`ENOUGH` lives never came by something of :data:`REACHED` is a finding, too.

    With ``planted``, the name of a mistake that every member makes, stop where it is found.
    """
    total: Counter[str] = Counter()
    lives = found = 0
    for result in results:
        lives += 1
        total += result.tally
        if result.found is not None:
            found += 1
            again = result.again + (f' --planted "{planted}"' if planted else "")
            yield f"seed {result.seed}: {result.found}\n    see it again: {again}"
            if planted:
                break
    missing = [name for name in REACHED if not total[name]]
    if missing and lives >= ENOUGH:
        yield f"seeds: no life came by {', '.join(missing)}"
    yield f"{counted(lives, 'life')}, {found:,} with a finding"
    names = [*REACHED, *sorted(total.keys() - set(REACHED))]
    yield from (f"{total[name]:>12,} {name}" for name in names)
