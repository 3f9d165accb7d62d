"""What clients do in a run of the swarm: writes, reads and transactions drawn by chance.

Clients write, delete and read, move money between accounts, increment a counter, and overwrite
forty keys at once.  They wait for long or hardly at all, and the last of them is silent for so long
at times that its session expires.  No two writes of a key have one value, but for empty ones, so
that a read shows which one it saw.
What they keep true needs no model to be seen broken (rows.py).

Each act is a verb or two of the run (``kvraft.sim.VERBS``), and waits for an answer by letting the
world go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from kvraft.check.sweep.judged import JudgedRun
from kvraft.check.sweep.rows import ACCOUNTS, COUNTER, FILLED, LARGE
from kvraft.client import PendingRead, Ticket, WriteFailed, next_page
from kvraft.record import Timestamp
from kvraft.sim import NotNow
from kvraft.transaction import Scan, ScanPage, Stage
from kvraft.wal import MAX_ENTRIES_FRAME_BYTES

KEYS = tuple(f"key/{number}" for number in range(10))
_ACCOUNTS = tuple(account.decode() for account in ACCOUNTS)
_COUNTER = COUNTER.decode()


class Clients:
    """The clients ``names`` of one run; each act is something that one of them does.

    ``giants`` is how many transactions they write that are larger than a frame of the log;
    ``members`` returns the members that can be asked.
    """

    def __init__(
        self,
        judged: JudgedRun,
        random: Random,
        names: list[str],
        giants: int,
        members: Callable[[], list[str]],
    ) -> None:
        self._judged, self._random, self._names = judged, random, names
        self._giants, self._members = giants, members
        self.tickets: list[tuple[str, Ticket]] = []
        """Every transaction submitted, with its kind."""
        self._drafts: list[tuple[str, str, Sequence[str]]] = []  # kind, client, keys it read
        self._stamps: list[Timestamp] = [0]  # timestamps that reads may ask for

    def begin(self) -> None:
        """Write the first balances, and have every client appear."""
        ticket = self._judged.do("write", "bank", FILLED)
        self._judged.world.run_until(lambda: ticket.done)
        if ticket.stage is not Stage.APPLIED:
            raise WriteFailed(ticket)
        for name in self._names:
            self._judged.do("get", name, _COUNTER)

    def acts(self) -> tuple[Callable[[], None], ...]:
        """Return the acts of clients; one is the likelier, the more often it is listed."""
        many = (self._write,) * 5 + (self._begin_draft,) * 4 + (self._end_draft,) * 4
        reads = (self._read,) * 3 + (self._start_read, self._scan)
        return (*many, *reads, self.write_large, self._retry, self._retry, self._guest)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def _client(self) -> str:
        """Return a client, seldom the last of them: it is the one that is silent for long."""
        often = self._names[: len(self._names) - (self._random.random() < 0.9)]
        return self._random.choice(often)

    def _patience(self) -> int:
        """Return a timeout in milliseconds; the shortest may pass while leaders change."""
        return self._random.choice((40, 300, 1_500, 10_000))

    def _submit(self, kind: str, verb: str, *arguments: object) -> None:
        """Submit a transaction, unless it depends on a read that had no answer."""
        try:
            ticket = self._judged.do(verb, *arguments)
        except NotNow:
            return
        self.tickets.append((kind, ticket))
        self._stamps.append(ticket.timestamp)

    def _write(self) -> None:
        random, writes = self._random, []
        for key in random.sample(KEYS, random.randint(1, 4)):
            value = f"{len(self.tickets)} " * random.choice((0, 1, 1, 1, 1, 30))
            writes.append((key, None if random.random() < 0.3 else value))
        self._submit("write", "write", self._client(), writes, (), self._patience())

    def write_some(self) -> None:
        """Have clients write at once, so that some of it is under way whatever happens next."""
        for _ in range(self._random.randint(2, 4)):
            self._write()

    def write_large(self) -> None:
        """Write a transaction larger than a message, a segment or a memtable may be.

        A giant is larger than a frame of the log, too.
        """
        times = self._random.choice((5, 40))
        if self._giants and self._random.random() < 0.1:
            self._giants, times = 0, 10_000
        value, client = f"{len(self.tickets):03}", self._client()
        self._submit("large", "write_large", client, len(LARGE), value, times, self._patience())

    def _guest(self) -> None:
        """Take a name that other clients had before, write once, and leave."""
        name = f"guest{self._random.randint(1, 3)}"
        self._judged.attempt("dismiss", name)
        pair = (self._random.choice(KEYS), f"guest {len(self.tickets)}")
        self._submit("guest", "put", name, *pair)

    def _retry(self) -> None:
        """Submit again what failed, more often than not what may have taken effect."""
        ended = (Stage.ABORTED, Stage.UNKNOWN)
        failed = [t for kind, t in self.tickets if t.stage in ended and kind != "guest"]
        unknown = [ticket for ticket in failed if ticket.stage is Stage.UNKNOWN]
        if failed:
            likely = unknown if self._random.random() < 0.8 else failed
            ticket = self._random.choice(likely or failed)
            client = ticket.txn.client
            number = self._judged.world.hosts.tickets[client].index(ticket) + 1
            self._judged.do("retry", client, number, self._patience())

    # ── transactions that depend on what they read ──────────────────────────────────────────────

    def _begin_draft(self) -> None:
        """Read what a transaction depends on; it is sent some time later."""
        client, kind = (
            self._client(),
            self._random.choice(("count", "transfer", "transfer", "touch")),
        )
        keys: Sequence[str] = [_COUNTER]
        if kind == "transfer":
            keys = self._random.sample(_ACCOUNTS, 2)
        elif kind == "touch":
            keys = [self._random.choice(KEYS)]
        if all(self._answer("get", client, key) for key in keys):
            self._drafts.append((kind, client, keys))

    def _end_draft(self) -> None:
        if not self._drafts:
            return
        kind, client, keys = self._drafts.pop(self._random.randrange(len(self._drafts)))
        patience = self._patience()
        if kind == "touch":
            there = self._random.random() < 0.5
            writes = [(keys[0], f"touched {len(self.tickets)}" if there else None)]
            self._submit(kind, "write", client, writes, keys, patience)
            return
        amount = self._random.randint(1, 9) if kind == "transfer" else 1
        amounts = zip(keys, (str(amount), str(-amount)), strict=False)
        self._submit(kind, "increment", client, list(amounts), patience)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def _answer(self, verb: str, *arguments: object) -> Any:
        """Ask for something and wait; return the answer, ``None`` if there is none."""
        read: PendingRead = self._judged.do(verb, *arguments)
        self._judged.world.run_until(lambda: read.done)
        if read.answer is None or read.answer.error:
            self._judged.tally["reads without an answer"] += 1
            return None
        return read.answer

    def _read(self) -> None:
        random, client = self._random, self._client()
        member = random.choice(("", *self._members()))
        at = random.choice(self._stamps[-20:]) if random.random() < 0.3 else 0
        stale = member != "" and random.random() < 0.3
        key = random.choice((*KEYS, _COUNTER, *_ACCOUNTS))
        self._answer("get", client, key, member, stale, at, 400)

    def _start_read(self) -> None:
        """Ask for a key, and go on before there is an answer."""
        key, member = self._random.choice(KEYS), self._random.choice(("", *self._members()))
        self._judged.do("get", self._client(), key, member, False, 0, self._patience())

    def read_at(self, member: str) -> None:
        """Ask a member for a key, and go on before there is an answer."""
        key = self._random.choice(KEYS)
        self._judged.attempt("get", self._client(), key, member, False, 0, 400)

    def _scan(self) -> None:
        """Scan the whole map, a few keys a page, while faults go on."""
        member = self._random.choice(("", *self._members()))
        rows = self._random.choice((2, 5, 99))
        reverse, client = self._random.random() < 0.3, self._client()
        scan: Scan | None = Scan("", "", 0, 0, b"", None, rows, reverse, member != "", False, None)
        while scan is not None:
            ends = scan.start.decode(), (scan.stop or b"").decode()
            page = self._answer("scan", client, *ends, rows, reverse, member, scan.at or 0, 400)
            if not isinstance(page, ScanPage):
                return
            scan = next_page(scan, page)

    # ── at the end ──────────────────────────────────────────────────────────────────────────────

    def count_large(self) -> None:
        """Count the large transactions that were applied."""
        large = [t for kind, t in self.tickets if kind == "large" and t.stage is Stage.APPLIED]
        sizes = [sum(len(record.value) for record in t.transaction.records) for t in large]
        tally = self._judged.tally
        tally["large transactions applied"] += len(large)
        tally["giant transactions applied"] += sum(size > MAX_ENTRIES_FRAME_BYTES for size in sizes)
