"""What clients do in a run of the swarm: writes, reads and transactions drawn by chance.

Clients write, delete and read, move money between accounts, increment a counter, and overwrite
forty keys at once.  No two writes of a key have one value, so that a read shows which one it saw.
Three invariants need no model (:func:`check_rows`, :meth:`Clients.check_counter`): the sum of all
accounts never changes, a large transaction is there in full or not at all, and the counter counts
every acknowledged increment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

from kvraft.check.properties import Violation
from kvraft.client import Client, DraftTransaction, ReadFailed, Ticket
from kvraft.errors import BadInput
from kvraft.record import Timestamp
from kvraft.sim import World
from kvraft.transaction import Stage
from kvraft.wal import MAX_ENTRIES_FRAME_BYTES

ACCOUNTS = tuple(b"account/%d" % number for number in range(4))
BALANCE = 100
LARGE = tuple(b"large/%02d" % number for number in range(40))
COUNTER = b"counter"
KEYS = tuple(b"key/%d" % number for number in range(10))


class Clients:
    """The clients ``names`` of one world; each act is something that one of them does.

    ``giants`` is how many transactions they write that are larger than a frame of the log;
    ``members`` returns the members that can be asked; ``tally`` counts what only clients know.
    """

    def __init__(
        self,
        world: World,
        random: Random,
        names: list[str],
        tally: Counter[str],
        giants: int,
        members: Callable[[], list[str]],
    ) -> None:
        self._world, self._random, self._names, self._tally = world, random, names, tally
        self._giants, self._members = giants, members
        self.tickets: list[tuple[str, Ticket]] = []
        """Every transaction submitted, with its kind."""
        self._drafts: list[tuple[str, DraftTransaction]] = []
        self._stamps: list[Timestamp] = [0]  # timestamps that reads may ask for

    def fill_accounts(self) -> None:
        """Write the first balances."""
        self._world.client("bank").write(dict.fromkeys(ACCOUNTS, b"%d" % BALANCE))

    def acts(self) -> tuple[Callable[[], None], ...]:
        """Return the acts of clients; one is the likelier, the more often it is listed."""
        many = (self._write,) * 5 + (self._begin_draft,) * 4 + (self._end_draft,) * 4
        reads = (self._read,) * 3 + (self._start_read, self._scan)
        return (*many, *reads, self.write_large, self._retry, self._guest)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def _client(self) -> Client:
        return self._world.client(self._random.choice(self._names))

    def _patience(self) -> int:
        return self._random.choice((300, 1_500, 10_000))

    def _submitted(self, kind: str, ticket: Ticket) -> None:
        self.tickets.append((kind, ticket))
        self._stamps.append(ticket.timestamp)

    def _write(self) -> None:
        random, writes = self._random, {}
        for key in random.sample(KEYS, random.randint(1, 4)):
            value = b"%d " % len(self.tickets) * random.choice((1, 1, 30))
            writes[key] = None if random.random() < 0.3 else value
        self._submitted("write", self._client().submit(writes, timeout=self._patience()))

    def write_large(self) -> None:
        """Write a transaction larger than a message, a segment or a memtable may be.

        A giant is larger than a frame of the log, too.
        """
        times = self._random.choice((5, 40))
        if self._giants and self._random.random() < 0.1:
            self._giants, times = 0, 10_000
        writes = dict.fromkeys(LARGE, b"%03d" % len(self.tickets) * times)
        self._submitted("large", self._client().submit(writes, timeout=self._patience()))

    def _guest(self) -> None:
        """Take a name that other clients had before, write once, and leave."""
        name = f"guest{self._random.randint(1, 3)}"
        with suppress(BadInput):  # no client has that name, or it is not done yet
            self._world.dismiss(name)
        value = b"guest %d" % len(self.tickets)
        ticket = self._world.client(name).submit({self._random.choice(KEYS): value})
        self._submitted("guest", ticket)

    def _retry(self) -> None:
        ended = (Stage.ABORTED, Stage.UNKNOWN)
        failed = [t for kind, t in self.tickets if t.stage in ended and kind != "guest"]
        if failed:
            ticket = self._random.choice(failed)
            self._world.client(ticket.txn.client).retry(ticket, timeout=self._patience())

    # ── transactions that depend on what they read ──────────────────────────────────────────────

    def _begin_draft(self) -> None:
        """Read what a transaction depends on; it is sent some time later."""
        draft = self._client().transaction()
        kind = self._random.choice(("count", "transfer", "transfer", "touch"))
        try:
            if kind == "count":
                draft.put(COUNTER, b"%d" % (int(draft.get(COUNTER) or 0) + 1))
            elif kind == "touch":
                key = self._random.choice(KEYS)
                value = b"touched %d" % len(self.tickets)
                draft.put(key, value) if draft.get(key) is None else draft.delete(key)
            else:
                self._transfer(draft)
        except ReadFailed:
            return
        self._drafts.append((kind, draft))

    def _transfer(self, draft: DraftTransaction) -> None:
        source, target = self._random.sample(ACCOUNTS, 2)
        amount = self._random.randint(1, 9)
        draft.put(source, b"%d" % (int(draft.get(source) or 0) - amount))
        draft.put(target, b"%d" % (int(draft.get(target) or 0) + amount))

    def _end_draft(self) -> None:
        if self._drafts:
            at = self._random.randrange(len(self._drafts))
            kind, draft = self._drafts.pop(at)
            self._submitted(kind, draft.submit(timeout=self._patience()))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        random, client = self._random, self._client()
        member = random.choice((None, *self._members()))
        at = random.choice(self._stamps[-20:]) if random.random() < 0.3 else None
        stale = member is not None and random.random() < 0.3
        key = random.choice((*KEYS, COUNTER, *ACCOUNTS))
        try:
            client.read(key, at=at, member=member, stale=stale, timeout=400)
        except ReadFailed:
            self._tally["reads without an answer"] += 1

    def _start_read(self) -> None:
        """Ask for a key, and go on before there is an answer."""
        key, member = self._random.choice(KEYS), self._random.choice((None, *self._members()))
        self._client().start_read(key, member=member, timeout=self._patience())

    def _scan(self) -> None:
        """Scan the whole map, a few keys a page, while other acts and faults go on."""
        member = self._random.choice((None, *self._members()))
        rows = self._random.choice((2, 5, 99))
        reverse, client = self._random.random() < 0.3, self._client()
        with suppress(ReadFailed):
            list(client.scan(reverse=reverse, member=member, page_rows=rows, timeout=400))

    # ── at the end ──────────────────────────────────────────────────────────────────────────────

    def check_counter(self) -> None:
        """Check that each member counted every acknowledged increment once."""
        stages = [ticket.stage for kind, ticket in self.tickets if kind == "count"]
        surely, maybe = stages.count(Stage.APPLIED), stages.count(Stage.UNKNOWN)
        for name, replica in self._world.replicas.items():
            value = int(replica.tree.get(COUNTER) or 0)
            if not surely <= value <= surely + maybe:
                what = f"{name} counted {value}, but {surely} increments were acknowledged and "
                what += f"{maybe} ended unknown"
                raise Violation("exactly once", (name,), what)

    def count_large(self) -> None:
        """Count the large transactions that were applied."""
        large = [t for kind, t in self.tickets if kind == "large" and t.stage is Stage.APPLIED]
        sizes = [sum(len(record.value) for record in t.transaction.records) for t in large]
        self._tally["large transactions applied"] += len(large)
        self._tally["giant transactions applied"] += sum(
            size > MAX_ENTRIES_FRAME_BYTES for size in sizes
        )


def check_rows(name: str, rows: dict[bytes, bytes]) -> None:
    """Check the invariants that need no model on all ``rows`` of the member ``name``."""
    balances = [int(rows[key]) for key in ACCOUNTS if key in rows]
    if balances and (len(balances) < len(ACCOUNTS) or sum(balances) != BALANCE * len(ACCOUNTS)):
        raise Violation("all or none", (name,), f"the accounts of {name} hold {balances}")
    large = {rows.get(key) for key in LARGE}
    if len(large) > 1:
        what = f"{name} holds {len(large)} different values of one large transaction"
        raise Violation("all or none", (name,), what)
