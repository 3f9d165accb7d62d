"""What a put costs a cluster: three members in one process, their messages handed over.

A put passes everything but a network and a disk's latency.  A client builds a transaction of one
record; the leader gets a batch of them at once; then all drain until nothing is left to send, and
apply, flush and compact.  Disks are in memory, and the cost is CPU time: three members and the
client's own share (:func:`kvraft.transaction.build_transaction`) together::

    build a batch ──► leader ──► appends ──► followers ──► answers ──► committed, applied, answered
                                                                       (followers: one batch later)

Members are driven as any world drives them, through the doors of a member alone (submit, receive,
drain, work), so the same script measures other versions of kvraft, too::

    PYTHONPATH=/another/tree python kvraft/bench/replica.py
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from random import Random
from statistics import median

from kvraft.clock import HybridClock
from kvraft.display import counted
from kvraft.raft import Configuration
from kvraft.record import TxnId
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import SimDisk
from kvraft.transaction import Register, Registered, Stage, Submit, WriteReply, build_transaction

BATCHES = (1, 16, 64, 256)
CLIENTS = 16
"""How many clients put in turn: one has no more than 32 transactions open at a time."""
PUTS = 16_384
"""How many puts one measurement makes; half as many where each is committed by itself."""
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


def measure(batch: int, puts: int = PUTS) -> float:
    """Return the CPU time of a put in microseconds, for ``puts`` puts in batches of ``batch``."""
    trio = Trio()
    for _ in range(1_024 // batch):
        trio.put(batch)  # warm, and with sessions whose windows are full
    before = trio.applied
    times = max(1, puts // batch)
    gc.collect()
    began = time.process_time()
    for _ in range(times):
        trio.put(batch)
    took = time.process_time() - began
    if trio.applied - before != times * batch:
        raise RuntimeError(f"{trio.applied - before} of {times * batch} puts were applied")
    return 1e6 * took / (times * batch)


def run(rounds: int = 5) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"A put of a cluster of three, 16 + 128 bytes; medians of {counted(rounds, 'round')}."
    yield ""
    yield "batch  µs of CPU a put   least    most"
    found: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for _ in range(rounds):
        for batch in BATCHES:
            found[batch].append(measure(batch, PUTS // 2 if batch == 1 else PUTS))
    for batch, times in found.items():
        yield f"{batch:>5}  {median(times):>15.1f}  {min(times):>6.1f}  {max(times):>6.1f}"


if __name__ == "__main__":
    for line in run(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(line)
