"""What a put costs a cluster: three members in one process, their messages handed over.

A put passes everything but a network and a disk's latency.  A client builds a transaction of one
record; the leader gets a batch of them at once; then all drain until nothing is left to send, and
apply, flush and compact.  Disks are in memory, and the cost is CPU time: three members and the
client's own share (:func:`kvraft.transaction.build_transaction`) together::

    build a batch ──► leader ──► appends ──► followers ──► answers ──► committed, applied, answered
                                                                       (followers: one batch later)

Members are driven as any world drives them, through the doors of a member alone (submit, receive,
drain, work).  The peer, *store*, is one :class:`~kvraft.store.Store` of this version that gets the
same batches: what it costs less is the price of consensus, three copies and exactly once.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from kvraft.bench.measure import Part, Row, Samples, Spent, timed
from kvraft.clock import HybridClock
from kvraft.lsm import TreeOptions, WriteBatch
from kvraft.raft import Configuration
from kvraft.record import TxnId
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import SimDisk
from kvraft.store import Store
from kvraft.transaction import Register, Registered, Stage, Submit, WriteReply, build_transaction
from kvraft.wal import Durability

BATCHES = (1, 16, 64, 256)
CLIENTS = 16
"""How many clients put in turn: one has no more than 32 transactions open at a time."""
WARM = 1024
"""Puts before those that are measured."""
STORE = "store"
KEY, VALUE = b"%016d", b"v" * 128

_MEMTABLE_BYTES = 1 << 20  # small enough for a few flushes in each measurement


class Trio:
    """Three members on disks in memory, of which the first leads; and registered clients."""

    def __init__(self) -> None:
        names = ("n1", "n2", "n3")
        self._millis = 1_700_000_000_000
        self._clock = HybridClock(lambda: self._millis)
        options = ReplicaOptions(memtable_bytes=_MEMTABLE_BYTES)
        self.members = {
            name: Replica(
                name,
                Configuration(names),
                SimDisk(),
                random=Random(name),
                incarnation=1,
                options=options,
                new=True,
                millis=lambda: self._millis,
            )
            for name in names
        }
        self.leader = self.members["n1"]
        self.applied = 0
        self._keys = Random(1)
        self._puts = 0
        self._incarnations: list[int] = []  # of the clients, each of which puts in its turn
        self.leader.raft.timeout()
        self._settle()
        for number in range(CLIENTS):
            self.leader.register(Register("bench", "n1", number, 1))
            self._settle()

    def put(self, batch: int) -> None:
        """Hand the leader a batch of puts of random keys; return when all that follows is done."""
        self._millis += 1
        for _ in range(batch):
            sequence, client = divmod(self._puts, CLIENTS)
            self._puts += 1
            txn = TxnId("bench", self._incarnations[client], sequence + 1)
            key = KEY % self._keys.randrange(10**9)
            transaction = build_transaction(txn, [(key, VALUE)], self._clock.now())
            self.leader.submit(Submit("bench", "n1", transaction, 1))
        self._settle()

    def _settle(self) -> None:
        """Drain all members until there are no messages, then do their long work."""
        members = self.members.values()
        posted = self._drain(self.leader)
        while posted:
            for message in posted:
                self.members[message.to].receive(message)
            posted = [message for member in members for message in self._drain(member)]
        for member in members:
            while member.has_work:
                member.work()

    def _drain(self, member: Replica) -> list:  # type: ignore[type-arg]
        drained = member.drain()
        for reply in drained.replies:
            if isinstance(reply, WriteReply):
                self.applied += reply.stage is Stage.APPLIED
            elif isinstance(reply, Registered):
                self._incarnations.append(reply.incarnation)
        return [*drained.early, *drained.messages]


def samples(peer: str, seed: int, records: int, place: Path) -> Samples:
    """Yield what a put costs, for each size of batch."""
    for batch in BATCHES:
        times = max(1, records // batch // (2 if batch == 1 else 1))
        row = Row(f"batch {batch}", "µs a put")
        yield (_one_store if peer else _three_members)(batch, times).per(row, times * batch)


def _three_members(batch: int, times: int) -> Spent:
    trio = Trio()
    for _ in range(WARM // batch):
        trio.put(batch)  # warm, and with sessions whose windows are full
    before = trio.applied

    def put() -> None:
        for _ in range(times):
            trio.put(batch)

    spent = timed(put)
    if trio.applied - before != times * batch:
        raise RuntimeError(f"{trio.applied - before} of {times * batch} puts were applied")
    return spent


def _one_store(batch: int, times: int) -> Spent:
    options = TreeOptions(memtable_bytes=_MEMTABLE_BYTES)
    store = Store.open(SimDisk(), options=options, durability=Durability.SYNC)
    keys = Random(1)

    def put() -> None:
        for _ in range(times):
            writes = WriteBatch()
            for _ in range(batch):
                writes.put(KEY % keys.randrange(10**9), VALUE)
            store.write(writes)

    return timed(put)


PART = Part(
    title="a put of a cluster: three members in one process, 16-byte keys, 128-byte values",
    records=16_384,
    least=256,
    samples=samples,
    peers=lambda: {STORE: ""},
)
