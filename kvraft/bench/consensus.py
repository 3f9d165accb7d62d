"""The consensus module alone: members in one process, their messages delivered at once.

Disks are instant here, so what is measured is Raft itself: entries committed a second, for
proposals of different sizes, and messages handled a second.  The floor next to it is a plain loop
over the very same messages that does the least possible: it looks each one up by its type and
appends its entries to a list.

The last two lines show whether any step costs more as the log grows: the same work is done at the
start of a log and after 200,000 entries.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from random import Random
from statistics import median

from kvraft.display import counted
from kvraft.raft import AppendEntries, Configuration, Log, Message, Raft
from kvraft.record import Entry, HardState, Kind, Record, TxnId

ENTRIES = 32_768
"""Entries committed in one measurement; a sixteenth of that where each is proposed by itself."""

LONG_LOG = 200_000
"""How many entries come before the work whose cost must not have grown."""


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

    def commit(self, records: list[Record], times: int) -> float:
        """Propose ``records`` this many times, each committed before the next; return seconds."""
        gc.collect()
        began = time.perf_counter()
        for _ in range(times):
            self.leader.propose(records)
            self.settle()
        return time.perf_counter() - began


def floor(messages: list[Message], members: tuple[str, ...]) -> float:
    """Return the seconds of a loop that does the least possible with ``messages``."""
    logs: dict[str, list[Entry]] = {name: [] for name in members}

    def append(message: AppendEntries) -> None:
        logs[message.to].extend(message.entries)

    def note(message: Message) -> None:
        terms[message.sender] = message.term

    terms: dict[str, int] = {}
    handlers = {AppendEntries: append}
    gc.collect()
    began = time.perf_counter()
    for message in messages:
        handlers.get(type(message), note)(message)  # type: ignore[arg-type]
    return time.perf_counter() - began


def run(rounds: int = 5) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"Consensus alone, in memory; medians of {counted(rounds, 'round')}."
    yield ""
    yield "members  batch  entries/s  messages/s  floor messages/s  ours/floor"
    for size in (3, 5):
        for batch in (1, 16, 256):
            yield _measure(size, batch, rounds)
    yield ""
    early, late = _as_the_log_grows(rounds)
    yield "entries/s at batch 16, three members"
    yield f"  at the start of a log {early:>9,.0f}"
    yield f"   after {LONG_LOG:,} entries {late:>8,.0f}  ({late / early:.2f} of it)"


def _measure(size: int, batch: int, rounds: int) -> str:
    records = [_record(n) for n in range(batch)]
    times = max(1, (ENTRIES if batch > 1 else ENTRIES // 16) // batch)
    entry_rates, message_rates, floor_rates = [], [], []
    kept = Mesh(size, keep=True)
    kept.commit(records, times)
    for _ in range(rounds):
        mesh = Mesh(size)
        before = mesh.count
        seconds = mesh.commit(records, times)
        entry_rates.append(times * batch / seconds)
        message_rates.append((mesh.count - before) / seconds)
        floor_rates.append(len(kept.messages) / floor(kept.messages, tuple(kept.members)))
    entries, messages, least = map(median, (entry_rates, message_rates, floor_rates))
    return (
        f"{size:>7}  {batch:>5}  {entries:>9,.0f}  {messages:>10,.0f}  {least:>16,.0f}"
        f"  {messages / least:>10.3f}"
    )


def _as_the_log_grows(rounds: int) -> tuple[float, float]:
    """Return entries a second at the start of a log, and after many entries."""
    records = [_record(n) for n in range(16)]
    large = [_record(n) for n in range(1_000)]
    long = Mesh(3)
    long.commit(large, LONG_LOG // 1_000)
    early, late = [], []
    for _ in range(rounds):
        early.append(16 * 500 / Mesh(3).commit(records, 500))
        late.append(16 * 500 / long.commit(records, 500))
    return median(early), median(late)


def _record(number: int) -> Record:
    """A record of a 16-byte key and a 100-byte value."""
    return Record(Kind.PUT, b"%016d" % number, b"v" * 100, number, TxnId("bench", 0, number), True)
