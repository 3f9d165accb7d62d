"""Lesson 12: a learner's discard rule and condition, compared with ours; interleavings to predict.

``gather`` is tried on every short log, the shortest first, then on long ones drawn from a seed, and
compared with :class:`~kvraft.transaction.TransactionAssembler`.  ``holds`` is tried in every small
situation, and compared with what :class:`~kvraft.replica.StateMachine` decides over a real tree.
So a learner always sees the shortest situation in which a rule fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from random import Random
from typing import NamedTuple

from kvraft.client import Conflict, DraftTransaction
from kvraft.course.answers import shown, yes_or_no
from kvraft.course.guard import Broken, Wrong, called
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.lsm import Tree
from kvraft.record import (
    NOOP,
    Entry,
    Kind,
    Position,
    Record,
    Row,
    Timestamp,
    TxnId,
    Version,
    configuration_record,
    expectation,
)
from kvraft.replica import StateMachine
from kvraft.sim import SimDisk, World
from kvraft.transaction import CompleteTransaction, TransactionAssembler

# ── the discard rule ────────────────────────────────────────────────────────────────────────────

Split = tuple[list[list[int]], list[list[int]]]
"""The transactions that are complete, and those that were discarded, each a list of its indexes."""

GatherRule = Callable[[list[Entry]], Split]

WRITERS = (TxnId("ann", 0, 1), TxnId("ann", 0, 2), TxnId("bob", 0, 1))
SHORT = 4
LONG_LOGS = 150


def _record(txn: TxnId, commit: bool) -> Record:
    return Record(Kind.PUT, b"key", b"", 1, txn, commit)


LETTERS: tuple[Record, ...] = (
    *(_record(txn, commit) for txn in WRITERS for commit in (False, True)),
    NOOP,
    configuration_record(b"members"),
)


def logs() -> Iterator[list[Entry]]:
    """Yield every log of up to :data:`SHORT` entries, the shortest first, then long ones."""
    for length in range(SHORT + 1):
        for records in product(LETTERS, repeat=length):
            yield _log(records)
    random = Random("gather")
    for _ in range(LONG_LOGS):
        yield _log([random.choice(LETTERS) for _ in range(random.randrange(5, 40))])


def _log(records: Sequence[Record]) -> list[Entry]:
    return [Entry(1, index, record) for index, record in enumerate(records, 1)]


def right_split(entries: Sequence[Entry]) -> Split:
    """Return what the real module finds in a log."""
    gatherer = TransactionAssembler()
    complete: list[list[int]] = []
    discarded: list[list[int]] = []
    for entry in entries:
        for ended in gatherer.take(entry):
            found = complete if isinstance(ended, CompleteTransaction) else discarded
            found.append([each.index for each in ended.entries])
    return complete, discarded


def log_words(entries: Sequence[Entry]) -> str:
    """Return a log as text; a star is the commit mark."""
    names = {Kind.NOOP: "no-op", Kind.CONFIGURATION: "configuration"}
    parts = [names.get(e.record.kind, f"{e.record.txn}{'*' * e.record.commit}") for e in entries]
    return ", ".join(parts) or "nothing"


def _split(rule: GatherRule, entries: list[Entry]) -> Split:
    answer = called(lambda: rule(list(entries)), "your rule")

    def read() -> Split:
        complete, discarded = ([[int(index) for index in each] for each in part] for part in answer)
        return complete, discarded

    try:
        return called(read)
    except Broken:
        raise Broken(
            f"your rule gives {shown(answer)}: give two lists of lists of indexes, complete and "
            "discarded."
        ) from None


@exercise("12.1")
def check_gather(rule: GatherRule) -> str:
    """Print whether ``rule`` finds the complete and the discarded transactions of every log."""
    need_function(lambda: rule([]))
    count = discarded = 0
    for entries in logs():
        right = right_split(entries)
        with within(f"For a log of {log_words(entries)},"):
            answer = _split(rule, entries)
        if answer != right:
            raise Wrong(_difference(answer, right, entries), f"A log of {log_words(entries)}:")
        count, discarded = count + 1, discarded + len(right[1])
    return f"It agrees with the module about {count:,} logs and {discarded:,} discarded prefixes."


def _difference(answer: Split, right: Split, entries: Sequence[Entry]) -> str:
    for name, mine, due in zip(("complete", "discarded"), answer, right, strict=True):
        if mine != due:
            hint = ""
            if not due and not right[1] and entries and not entries[-1].record.commit:
                hint = " A transaction that has not ended is open: neither complete nor discarded."
            return f"{due or 'nothing'} is {name}, and your rule says {mine or 'nothing'}.{hint}"
    return ""


# ── the condition ───────────────────────────────────────────────────────────────────────────────

ReadSet = dict[bytes, Timestamp]
VersionMap = dict[bytes, Version]
HoldsRule = Callable[[ReadSet, VersionMap], bool]
"""``holds(reads, versions)``."""

STATES: tuple[Version | None, ...] = (
    None,
    Version(5, b"1"),
    Version(5, None),
    Version(7, b"1"),
    Version(7, None),
)
READ: tuple[Timestamp | None, ...] = (None, 0, 5, 7)
"""What may have been read: not this key, no version, or the version of that time."""


class ConflictCase(NamedTuple):
    """What a transaction read of two keys, and their versions when it is applied."""

    reads: tuple[tuple[bytes, Timestamp], ...]
    versions: tuple[tuple[bytes, Version], ...]

    def __str__(self) -> str:
        read = [f"{k.decode()} at {t}" if t else f"nothing of {k.decode()}" for k, t in self.reads]
        held = [
            f"{k.decode()} {'was deleted' if v.value is None else 'was written'} at {v.timestamp}"
            for k, v in self.versions
        ]
        return f"Read: {', '.join(read) or 'nothing'}. Now: {', '.join(held) or 'no key is there'}."


def cases() -> Iterator[ConflictCase]:
    """Yield every situation with up to two keys, those with fewer reads first."""
    found = []
    for states in product(STATES, repeat=2):
        for reads in product(READ, repeat=2):
            keys = (b"a", b"b")
            if not all(_possible(*both) for both in zip(reads, states, strict=True)):
                continue
            read = tuple((k, r) for k, r in zip(keys, reads, strict=True) if r is not None)
            held = tuple((k, v) for k, v in zip(keys, states, strict=True) if v is not None)
            found.append(ConflictCase(read, held))
    yield from sorted(found, key=_size)


def _possible(read: Timestamp | None, version: Version | None) -> bool:
    """Return whether a key that was read at ``read`` can have ``version`` later.

    Timestamps only rise, and none is used twice."""
    if not read or version is None:
        return True
    return version.timestamp > read or (version.timestamp == read and version.value is not None)


def _size(case: ConflictCase) -> tuple[int, list[bytes]]:
    keys = [key for key, _ in (*case.reads, *case.versions)]
    return len(keys), keys


def right_holds(case: ConflictCase) -> bool:
    """Return what the real state machine decides over a tree with these versions."""
    tree = Tree.open(SimDisk())
    rows: list[Row] = [(key, version.timestamp, version.value) for key, version in case.versions]
    if rows:
        tree.apply(rows, Position(1, 1))
    txn = TxnId("ann", 0, 1)
    asked = [Entry(1, 2 + n, expectation(k, at, 99, txn)) for n, (k, at) in enumerate(case.reads)]
    return StateMachine(tree, lifetime=1).conflict(tuple(asked)) == 0


@exercise("12.2")
def check_holds(rule: HoldsRule) -> str:
    """Print whether ``rule`` admits a transaction exactly if what it read is unchanged."""
    need_function(lambda: rule({}, {}), "condition")

    def wrong_in(case: ConflictCase) -> str:
        answer = yes_or_no(lambda: rule(dict(case.reads), dict(case.versions)))
        right = right_holds(case)
        return "" if answer is right else _why(case, right)

    return f"It decides as the state machine does in {agrees(cases(), wrong_in)} situations."


def _why(case: ConflictCase, right: bool) -> str:
    held = dict(case.versions)
    if right:
        gone = any(at == 0 and key in held for key, at in case.reads)
        more = " A deleted key has no value, like one that never existed." if gone else ""
        return f"Nothing that it read has changed, and your rule says that it has.{more}"
    for key, at in case.reads:
        version = held.get(key)
        if version is not None and version.value is not None and version.timestamp != at:
            same = " The value may be the same, but it was written again." if at else ""
            return f"{key.decode()} was written since, and your rule does not see it.{same}"
    return "What it read no longer exists, and your rule does not see it."


# ── interleavings ───────────────────────────────────────────────────────────────────────────────

INTERLEAVINGS = (
    "ann reads, ann commits, bob reads, bob commits",
    "ann reads, bob reads, ann commits, bob commits",
    "ann reads, bob reads, bob commits, ann commits",
    "bob reads, bob commits, ann reads, ann commits",
    "ann reads, eve writes x, ann commits",
    "ann reads, eve writes y, ann commits",
)
"""Orders of events, each of which begins with x = 1 and y = 1."""


def play(order: str) -> list[int]:
    """Play one of :data:`INTERLEAVINGS` on a simulated cluster; return x and y at its end."""
    world = World(3, seed=3)
    world.client("start").write({b"x": b"1", b"y": b"1"})
    plans = {"ann": (b"x", b"y", 10), "bob": (b"y", b"x", 100)}
    drafts: dict[str, DraftTransaction] = {}
    for step in order.split(", "):
        who, does, *what = step.split()
        if does == "writes":
            world.client(who).put(what[0].encode(), b"5")
        elif does == "reads":
            source, target, more = plans[who]
            draft = drafts[who] = world.client(who).transaction()
            draft.put(target, b"%d" % (int(draft.get(source) or b"0") + more))
        else:
            with suppress(Conflict):  # then it had no effect
                world.client(who).wait_for(drafts[who].submit())
    return [int(world.client("start").get(key) or b"0") for key in (b"x", b"y")]
