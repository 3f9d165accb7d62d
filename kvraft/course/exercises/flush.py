"""Lesson 06: a learner's flush trigger runs in members; a learner's ``kept`` is compared with ours.

A trigger is not compared with the real one, because many are right.  It decides in a whole member
(:class:`~kvraft.sim.SingleMember`) under four loads, and is judged by the result: how large
memtables grow, how much log is kept while there is time for work, and how many memtables there are
compared with the member's own rule.

``kept`` decides which versions of a key a flush must write.  It is tried in all small situations,
the smallest first, and compared with :func:`kvraft.lsm.retain`; then with trees with open views,
whose flushes must write as many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from random import Random
from typing import NamedTuple

from kvraft.course.answers import shown, yes_or_no
from kvraft.course.guard import Broken, Wrong, called
from kvraft.course.lesson import agrees, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.events import MemtableFrozen
from kvraft.lsm import RetainedTimes, Tree, View, retain
from kvraft.record import Row, Timestamp
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import Gauge, SimDisk, SingleMember

# ── when to freeze ──────────────────────────────────────────────────────────────────────────────

Trigger = Callable[[int, int, int], bool]
"""``should_freeze(memtable_bytes, log_bytes, waiting)``."""

MEMTABLE_BYTES = 8 * 1024
LOG_BYTES = 16 * 1024
LIMITS = ReplicaOptions(
    memtable_bytes=MEMTABLE_BYTES,
    segment_bytes=2 * 1024,
    log_bytes=LOG_BYTES,
    stall_memtables=1_000,  # so that a rule that freezes too often shows
)

SLACK = 6 * 1024
"""The bytes of log above the limit that may gather while a memtable is being flushed."""


class WriteLoad(NamedTuple):
    """``writes`` writes to ``keys`` keys in turn, each followed by ``slices`` slices of work."""

    description: str
    writes: int
    keys: int
    value_bytes: int
    slices: int

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys and values to write."""
        for number in range(self.writes):
            yield b"key %04d" % (number % self.keys), b"%d" % number + b"." * self.value_bytes


LOADS = (
    WriteLoad("300 writes to new keys", 300, 300, 200, 1),
    WriteLoad("500 writes to the same 4 keys", 500, 4, 60, 1),
    WriteLoad("250 writes to the same 4 keys, and no time for long work", 250, 4, 60, 0),
    WriteLoad("200 writes to new keys, and no time for long work", 200, 200, 200, 0),
)


class LoadOutcome(NamedTuple):
    """The result of a load: a gauge after each write, and the memtables that were frozen."""

    gauges: list[Gauge]
    frozen: list[MemtableFrozen]


def run(load: WriteLoad, trigger: Trigger | None = None) -> LoadOutcome:
    """Run ``load`` on a member under ``trigger``, or under its own rule if ``None``.

    Then the member crashes, and must still have what was written.  Raises
    :class:`~kvraft.course.guard.Broken` if the trigger raises or returns no ``bool``.
    """

    class Triggered(Replica):
        def should_freeze(self, memtable_bytes: int, log_bytes: int, waiting: int) -> bool:
            if trigger is None:
                return super().should_freeze(memtable_bytes, log_bytes, waiting)
            asked = trigger
            return yes_or_no(lambda: asked(memtable_bytes, log_bytes, waiting), "your rule")

    member = SingleMember(LIMITS, replica=Triggered)
    gauges = member.drive(load.pairs(), load.slices)
    frozen = [step.event for step in member.trace.of(MemtableFrozen)]
    member.crash()
    for key, value in dict(load.pairs()).items():
        assert member.get(key) == value
    return LoadOutcome(gauges, [event for event in frozen if isinstance(event, MemtableFrozen)])


@exercise("06.2")
def check_should_freeze(trigger: Trigger) -> str:
    """Print whether ``trigger`` keeps memory and log within bounds, without many small tables."""
    need_function(lambda: trigger(0, 0, 0))
    longest = count = 0
    for load in LOADS:
        with within(f"In {load.description},"):
            outcome = run(load, trigger)
            if wrong := _judge(load, outcome):
                raise Wrong(wrong)
        count += len(outcome.frozen)
        if load.slices:
            longest = max(longest, *(gauge.log for gauge in outcome.gauges))
    return (
        f"Under {len(LOADS)} loads the member froze {count} memtables, and kept at most "
        f"{longest:,} bytes of log while there was time to flush."
    )


def _judge(load: WriteLoad, outcome: LoadOutcome) -> str:
    """Return what is wrong with the outcome of a load, ``""`` if nothing is."""
    largest = max(gauge.memtable for gauge in outcome.gauges)
    if largest > MEMTABLE_BYTES + 1024:
        return (
            f"the memtable grew to {largest:,} bytes: from {MEMTABLE_BYTES:,} on it is full, "
            "in any case."
        )
    count, needed = len(outcome.frozen), len(run(load).frozen)
    if count > needed + needed // 2:
        smallest = min(event.size for event in outcome.frozen)
        waited = max(gauge.waiting for gauge in outcome.gauges)
        many = f"it froze {count} memtables where {needed} are enough, the smallest of {smallest:,}"
        if waited > 1:
            return (
                f"{many} bytes, and up to {waited} waited at a time. The one that waits will "
                "release the log when it is flushed: another small one after it does not help."
            )
        return f"{many} bytes. Each becomes a table that reads must search."
    log = max(gauge.log for gauge in outcome.gauges)
    if load.slices and log > LOG_BYTES + SLACK:
        return (
            f"the member kept {log:,} bytes of log: beyond {LOG_BYTES:,} the memtable must be "
            "flushed, however small it is."
        )
    return ""


# ── which versions to keep ──────────────────────────────────────────────────────────────────────

VersionList = list[tuple[Timestamp, bytes | None]]
"""The versions of one key, oldest first: timestamp and value, ``None`` for a tombstone."""

KeepRule = Callable[[VersionList, list[Timestamp]], VersionList]
"""``kept(versions, views)``."""

ROUNDS = 12


class VersionsCase(NamedTuple):
    """The versions of one key, and the times at which views are open, ascending."""

    versions: tuple[tuple[Timestamp, bytes | None], ...]
    views: tuple[Timestamp, ...]

    def right(self) -> VersionList:
        """Return the versions that the real module keeps."""
        rows: list[Row] = [(b"k", timestamp, value) for timestamp, value in self.versions]
        return [
            (timestamp, value) for _, timestamp, value in retain(rows, RetainedTimes(self.views))
        ]

    def ask(self, rule: KeepRule) -> VersionList:
        """Return the versions that ``rule`` keeps; raises ``Broken`` if they are not versions."""
        answer = called(lambda: rule(list(self.versions), list(self.views)))
        if not isinstance(answer, list | tuple) or any(v not in self.versions for v in answer):
            raise Broken(f"Your rule gives {shown(answer)}: give a list of some of the versions.")
        return list(answer)

    def __str__(self) -> str:
        versions = ", ".join(
            f"{timestamp} {'tombstone' if value is None else 'value'}"
            for timestamp, value in self.versions
        )
        views = ", ".join(map(str, self.views))
        return f"Versions {versions}; {f'views open at {views}' if views else 'no view is open'}."


def cases() -> Iterator[VersionsCase]:
    """Yield every small situation, the smallest first."""
    for count in range(1, 5):
        for open_ in range(4):
            for times in combinations(range(1, 6), count):
                for views in combinations(range(7), open_):
                    for dead in (None, count - 1, 0):
                        versions = [(t, None if n == dead else b"v") for n, t in enumerate(times)]
                        yield VersionsCase(tuple(versions), views)


@exercise("06.3")
def check_kept(rule: KeepRule) -> str:
    """Print whether ``rule`` keeps the versions that a reader can still see, and no others."""
    need_function(lambda: rule([(1, b"v")], []))
    count = agrees(cases(), lambda case: _compare(rule, case))
    with within("For a tree"):
        rows = sum(_compare_with_tree(rule, seed) for seed in range(ROUNDS))
    return (
        f"It agrees with the module in {count:,} situations, and {ROUNDS} trees with open "
        f"views flushed as many rows as it says: {rows:,}."
    )


def _compare(rule: KeepRule, case: VersionsCase) -> str:
    """Return what is wrong with what ``rule`` keeps, ``""`` if nothing is."""
    right, answer = case.right(), case.ask(rule)
    missing = [timestamp for timestamp, value in right if (timestamp, value) not in answer]
    spare = [timestamp for timestamp, value in answer if (timestamp, value) not in right]
    if missing and missing[-1] == right[-1][0]:
        end = " It is a tombstone, and hides versions in tables." if right[-1][1] is None else ""
        return f"Your rule drops {missing[-1]}, which is the newest: all new readers see it.{end}"
    if missing:
        view = next(view for view in case.views if view >= missing[0])
        return f"Your rule drops {missing[0]}: it is what the view at {view} sees."
    if spare:
        return f"Your rule keeps {spare[0]}, which no reader can see any longer."
    if answer != right:
        return "Your rule keeps the right versions in another order, or one of them twice."
    return ""


def _compare_with_tree(rule: KeepRule, seed: int) -> int:
    """Write to a tree with views and flush it; return how many rows the flush wrote.

    Raises :class:`~kvraft.course.guard.Wrong` if ``rule`` would have written another number, or if
    a view would read another value from the versions that it keeps.
    """
    random = Random(f"kept/{seed}")
    tree = Tree.open(SimDisk())
    history: dict[bytes, VersionList] = {}
    views: list[View] = []
    for _ in range(60):
        key = random.choice((b"a", b"b", b"c"))
        value = None if random.random() < 0.3 else b"%d" % tree.timestamp
        if value is None:
            tree.delete(key)
        else:
            tree.put(key, value)
        history.setdefault(key, []).append((tree.timestamp, value))
        if random.random() < 0.15:
            views.append(tree.view())
        if views and random.random() < 0.1:
            views.pop(random.randrange(len(views))).close()
    times = sorted({view.timestamp for view in views})
    tree.flush()
    rows = 0
    for key, versions in history.items():
        found = VersionsCase(tuple(versions), tuple(times)).ask(rule)
        rows += len(found)
        for view in views:
            if view.get(key) != _seen(found, view.timestamp):
                raise Wrong("a view would read another value.")
    written = sum(info.rows for info in tree.tables)
    if rows != written:
        raise Wrong(f"a flush writes {written} rows, your rule {rows}.")
    return rows


def _seen(versions: Sequence[tuple[Timestamp, bytes | None]], at: Timestamp) -> bytes | None:
    return next((value for timestamp, value in reversed(versions) if timestamp <= at), None)
