"""The consensus module alone: members in one process, their messages delivered at once.

Disks are instant here, so what is measured is Raft itself: what an entry costs in proposals of
different sizes, and what a message costs.  The peer, *loop*, does the least possible with the very
same messages: it looks each one up by its type and appends its entries to a list.

The last two rows show whether any step costs more as the log grows: the same work is done at the
start of a log and after 200,000 entries.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from kvraft.bench.measure import Part, Row, Samples, timed
from kvraft.raft import AppendEntries, Configuration, Log, Message, Raft
from kvraft.record import Entry, HardState, Kind, Record, TxnId

SIZES = (3, 5)
BATCHES = (1, 16, 256)
SINGLY = 16
"""An entry that is proposed by itself costs as much as so many in a batch: as many fewer are."""
LONG = 6
"""How many times the records of a row come before the work whose cost must not have grown."""
LOOP = "loop"


class Mesh:
    """Members whose messages reach each other at once, and whose disks are instant."""

    def __init__(self, size: int, *, keep: bool = False) -> None:
        names = tuple(f"n{n + 1}" for n in range(size))
        self.messages: list[Message] = []
        self.count = 0
        self._keep = keep
        self.members = {
            name: Raft(
                name, Configuration(names), Log(), HardState(), random=Random(name), incarnation=1
            )
            for name in names
        }
        self.leader = self.members["n1"]
        self.leader.timeout()
        self.settle()

    def settle(self) -> None:
        """Deliver messages until there are none."""
        posted = self._collect()
        while posted:
            self.count += len(posted)
            if self._keep:
                self.messages += posted
            for message in posted:
                self.members[message.to].step(message)
            posted = self._collect()

    def _collect(self) -> list[Message]:
        posted: list[Message] = []
        for raft in self.members.values():
            while raft.has_ready():
                ready = raft.ready()
                posted += ready.early
                posted += ready.messages
                raft.advance()
        return posted

    def commit(self, records: list[Record], times: int) -> None:
        """Propose ``records`` this many times, each committed before the next."""
        for _ in range(times):
            self.leader.propose(records)
            self.settle()


def loop(messages: list[Message], members: tuple[str, ...]) -> dict[str, list[Entry]]:
    """Do the least possible with ``messages``; return the log of each member."""
    logs: dict[str, list[Entry]] = {name: [] for name in members}

    def append(message: AppendEntries) -> None:
        logs[message.to].extend(message.entries)

    def note(message: Message) -> None:
        terms[message.sender] = message.term

    terms: dict[str, int] = {}
    handlers = {AppendEntries: append}
    for message in messages:
        handlers.get(type(message), note)(message)  # type: ignore[arg-type]
    return logs


def samples(peer: str, seed: int, records: int, place: Path) -> Samples:
    """Yield what an entry and what a message costs, for each number of members and each batch."""
    for size in SIZES:
        for batch in BATCHES:
            times = records // batch // (SINGLY if batch == 1 else 1)
            yield from _committed(peer, size, batch, max(1, times))
    yield from _as_the_log_grows(peer, records)


def _committed(peer: str, size: int, batch: int, times: int) -> Samples:
    name = f"{size} members, batch {batch}"
    together, mesh = batch_of(batch), Mesh(size, keep=bool(peer))
    before = mesh.count
    spent = timed(lambda: mesh.commit(together, times))
    count = mesh.count - before
    if peer:
        messages, members = mesh.messages[-count:], tuple(mesh.members)
        spent = timed(lambda: loop(messages, members))
        yield None
    else:
        yield spent.per(Row(f"{name}: an entry", "µs"), times * batch)
    yield spent.per(Row(f"{name}: a message", "µs"), count)


def _as_the_log_grows(peer: str, records: int) -> Samples:
    mesh, together, large, times = Mesh(3), batch_of(16), batch_of(256), max(1, records // 64)
    for when in ("at the start of a log", f"after {LONG * records:,} entries"):
        if peer:
            yield None
        else:
            spent = timed(lambda: mesh.commit(together, times))
            yield spent.per(Row(f"an entry {when}", "µs"), times * len(together))
            mesh.commit(large, LONG * records // len(large))


def batch_of(size: int) -> list[Record]:
    """Return ``size`` records of a 16-byte key and a 100-byte value."""
    return [
        Record(Kind.PUT, b"%016d" % n, b"v" * 100, n, TxnId("bench", 0, n), True)
        for n in range(size)
    ]


PART = Part(
    title="consensus alone, in memory",
    records=32_768,
    least=256,
    samples=samples,
    peers=lambda: {LOOP: ""},
)
