"""Lesson 09: a learner's ``may_drop`` and budget run inside members of simulated clusters.

A rule is not compared with the real one.  It decides for every member of a cluster which segments
to remove, and is judged by the result, the easiest error to understand first:

- **crash**: all members lose their memory; every acknowledged write must survive;
- **few keys**: the same, with much log that is in no table, because the memtable does not fill;
- **back in time**: a follower was away for less than the budget, and must need no snapshot;
- **another leader**: the same, if another member leads when it returns;
- **away for good**: log kept for an absent member must not grow beyond the budget;
- **at rest**: when everything is in tables and on every member, no sealed segment may be left;
- **chance**: crashes and absences drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from kvraft.course.answers import value_of, yes_or_no
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import need_answer, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.errors import BadInput, Corruption, KvraftError, TimedOut
from kvraft.events import Marks, SnapshotReceived
from kvraft.lsm import Levelled
from kvraft.raft import RaftOptions, Role
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim import KEY_COUNT, World, last_follower, write_values, write_values_for
from kvraft.wal import Segment

RETAIN_BYTES = 12 * 1024
LIMITS = ReplicaOptions(
    memtable_bytes=4 * 1024,
    segment_bytes=1024,
    retain_bytes=RETAIN_BYTES,
    strategy=Levelled(tables=2, level_bytes=32 * 1024, table_bytes=16 * 1024),
    raft=RaftOptions(max_batch_bytes=4 * 1024),
)
"""Small segments and memtables, so that a second of writing fills dozens of them."""

ROUNDS = 4

# ── a rule for dropping segments ────────────────────────────────────────────────────────────────

TruncationRule = Callable[[Segment, Marks, list[int], int], bool]
"""``may_drop(segment, marks, matches, retained)``."""


class TruncationTrial(NamedTuple):
    """A situation to try a rule in; ``run`` returns what went wrong, ``""`` if nothing did."""

    description: str
    run: Callable[[TruncationRule], str]


def ruled(rule: TruncationRule | None) -> type[Replica]:
    """Return members that truncate their logs by ``rule``, or by their own rule if it is ``None``.

    They pin what follows a snapshot in flight themselves.  They raise
    :class:`~kvraft.course.guard.Wrong` if a rule gives no answer, or drops the active segment.
    """
    if rule is None:
        return Replica
    asked = rule

    class Ruled(Replica):
        def may_drop(self, segment: Segment) -> bool:
            given = (segment, self.marks, matches_of(self), retained_from(self, segment))
            answer = yes_or_no(lambda: asked(*given), "your rule")
            if answer and not segment.sealed:
                raise Wrong(
                    "your rule drops the active segment, which is still being written; a segment "
                    "has an end only when it is sealed."
                )
            in_flight = [p for p in self.pins() if p.pinned_by.startswith("snapshot for ")]
            return answer and not any(pin.needed_from <= segment.high for pin in in_flight)

    return Ruled


def matches_of(replica: Replica) -> list[int]:
    """Return the index through which each other member has the log, as far as ``replica`` knows.

    Members that the log can no longer help, which are sent a snapshot, are left out.  A follower
    knows one number for all.
    """
    if replica.raft.role is not Role.LEADER:
        return [replica.raft.all_replicated_index]
    base = replica.wal.base.index
    return [
        max(follower.match, base)
        for follower in replica.raft.followers.values()
        if follower.next_unsent > base
    ] or [replica.wal.last_index]


def retained_from(replica: Replica, segment: Segment) -> int:
    """Return the bytes of sealed log from ``segment`` on."""
    return sum(s.size for s in replica.wal.segments if s.sealed and s.id >= segment.id)


@exercise("09.2")
def check_may_drop(rule: TruncationRule) -> str:
    """Print whether members that truncate their logs by ``rule`` lose nothing and keep no more."""
    empty = Segment(1, 1, 1, 8, 1024, sealed=True)
    need_function(lambda: rule(empty, Marks(1, 0, 0, 0, 8), [8, 8], 1024))
    for trial in TRIALS:
        with within(f"{trial.description}:"):
            if wrong := judge(trial, rule):
                raise Wrong(wrong)
    return (
        f"In {len(TRIALS)} situations, the last of them {ROUNDS} runs full of crashes, no "
        "write was lost, no snapshot was sent needlessly, and no log was kept forever."
    )


def judge(trial: TruncationTrial, rule: TruncationRule) -> str:
    """Return what went wrong with ``rule`` in ``trial``, ``""`` if nothing did."""
    try:
        return trial.run(rule)
    except BadInput as error:
        return f"a member cannot continue: it still needs entries that are gone ({error})."
    except Corruption as error:
        return (
            "after a crash a member cannot start: rows are gone that were in no table and no "
            f"longer in the log ({error})."
        )
    except TimedOut:
        return "the cluster cannot continue: no member leads, or one never catches up."
    except KvraftError as error:
        return f"the cluster stopped: {error}."


class _Run:
    """A world whose members truncate their logs by ``rule``, and what was written to it."""

    def __init__(self, rule: TruncationRule | None, seed: int = 9) -> None:
        self.world = World(3, seed=seed, options=LIMITS, replica=ruled(rule))
        self.written: dict[bytes, bytes] = {}

    def write(self, count: int, keys: int = KEY_COUNT) -> None:
        self.written |= write_values(self.world, count, keys=keys)

    def lose_one(self, writes: int) -> str:
        """Crash a follower, write without it, and return its name."""
        away = last_follower(self.world)
        self.world.crash(away)
        self.write(writes)
        return away

    def crash_all(self) -> None:
        for name in self.world.members:
            self.world.crash(name)
        for name in self.world.members:
            self.world.restart(name)
        self.write(1)

    def lost(self) -> str:
        """Return which written value a running member has lost, ``""`` if none."""
        self.world.settle()
        for name, replica in self.world.replicas.items():
            for key, value in self.written.items():
                if replica.tree.get(key) != value:
                    return f"{name} has lost what was written to {key.decode()}."
        return ""

    def sealed_bytes(self) -> int:
        """Return the most bytes of sealed log on a running member."""
        return max(map(_sealed_bytes, self.world.replicas.values()))


def _sealed_bytes(replica: Replica) -> int:
    return sum(segment.size for segment in replica.wal.segments if segment.sealed)


def _crash(rule: TruncationRule) -> str:
    run = _Run(rule)
    run.write(110)
    run.crash_all()
    return run.lost()


def _few_keys(rule: TruncationRule) -> str:
    run = _Run(rule)
    run.write(150, keys=4)
    run.crash_all()
    return run.lost()


def _back_in_time(rule: TruncationRule) -> str:
    run = _Run(rule)
    run.write(110)
    away = run.lose_one(70)
    run.world.restart(away)
    return run.lost() or _needless(run, away)


def _needless(run: _Run, away: str) -> str:
    if not run.world.trace.of(SnapshotReceived):
        return ""
    return (
        f"{away} came back, the log since then was well within the budget, and yet it had to be "
        "sent a snapshot: the entries that it lacks must stay."
    )


def _another_leader(rule: TruncationRule) -> str:
    run = _Run(rule)
    world = run.world
    run.write(110)
    away = run.lose_one(70)
    other = next(name for name in world.replicas if name != world.leader())
    world.transfer(other)
    world.run_until(lambda: world.leader() == other)
    world.restart(away)
    run.write(1)
    return run.lost() or _needless(run, away)


def _away_for_good(rule: TruncationRule) -> str:
    run = _Run(rule)
    run.write(110)
    away = run.lose_one(20)
    most = 0
    for _ in range(14):
        run.write(20)
        most = max(most, run.sealed_bytes())
    if most > RETAIN_BYTES + 4 * LIMITS.segment_bytes:
        return (
            f"a member kept {most:,} bytes of sealed log. Log is kept for an absent member only "
            f"while no more than {RETAIN_BYTES:,} bytes are retained."
        )
    run.world.restart(away)
    return run.lost()


def _at_rest(rule: TruncationRule) -> str:
    run = _Run(rule)
    run.write(100)
    while any(r.wal.segments[-1].high >= r.wal.segments[-1].first for r in _all(run)):
        run.write(1)  # until all newest segments are empty
    run.world.settle()
    for replica in _all(run):
        replica.tree.freeze()
    run.world.run_for(200)  # flushes and truncation end, heartbeats spread the all-replicated index
    for replica in _all(run):
        left = [segment for segment in replica.wal.segments if segment.sealed]
        if left:
            plural = "" if len(left) == 1 else "s"
            return (
                f"all members have entries 1 to {replica.marks.last}, also in tables, and yet "
                f"{replica.member} still has {len(left)} sealed segment{plural}, the last one "
                f"through entry {left[-1].high}."
            )
    return run.lost()


def _all(run: _Run) -> list[Replica]:
    return list(run.world.replicas.values())


def _by_chance(rule: TruncationRule) -> str:
    for seed in range(ROUNDS):
        random = Random(f"truncation/{seed}")
        run = _Run(rule, seed)
        run.write(20)
        for _ in range(7):
            name = random.choice(run.world.members)
            run.world.crash(name)
            if random.random() < 0.7:
                run.write(random.randrange(5, 60))
            run.world.restart(name)
            if random.random() < 0.5:
                run.write(random.randrange(1, 20))
        run.crash_all()
        lost = run.lost()
        if lost:
            return lost
    return ""


TRIALS = (
    TruncationTrial("All members crash in the middle of their work", _crash),
    TruncationTrial(
        "The same four keys are overwritten 150 times, and all members crash", _few_keys
    ),
    TruncationTrial("A follower is away while 70 entries are written", _back_in_time),
    TruncationTrial("Another member leads when a follower comes back", _another_leader),
    TruncationTrial("A follower is away for good", _away_for_good),
    TruncationTrial("Nothing is left to do", _at_rest),
    TruncationTrial("Members come and go by chance", _by_chance),
)

# ── a budget ────────────────────────────────────────────────────────────────────────────────────

BREAK_MILLIS = 800
"""How long a restart takes: a member that is back by then should need no snapshot."""
LOG_BYTES = 28 * 1024
"""The room for sealed log on the leader's disk, in bytes."""


@exercise("09.3", functions=False)
def check_retain_bytes(retain_bytes: Any) -> str:
    """Print whether this budget avoids a snapshot after a restart, and too much log on the disk."""
    need_answer(retain_bytes)
    retain_bytes = value_of(retain_bytes)
    if type(retain_bytes) is not int or retain_bytes < 0:
        raise Broken("A budget is a whole number of bytes, 0 or more.")
    snapshots = after_a_break(retain_bytes)
    if snapshots:
        raise Wrong(
            f"After {BREAK_MILLIS} ms the follower came back and had to be sent a "
            f"snapshot: {retain_bytes:,} bytes are less than the log that was written meanwhile."
        )
    most = log_while_away(retain_bytes)
    if most > LOG_BYTES:
        raise Wrong(
            f"While a follower was away for long, the leader kept {most:,} bytes of "
            f"sealed log, and there is room for {LOG_BYTES:,}."
        )
    return (
        f"A follower that is back within {BREAK_MILLIS} ms needs no snapshot, and the "
        f"leader never kept more than {most:,} bytes of sealed log."
    )


def after_a_break(retain_bytes: int) -> int:
    """Return how many snapshots a follower is sent that was away for a short while."""
    world = _budgeted(retain_bytes)
    away = last_follower(world)
    world.crash(away)
    write_values_for(world, BREAK_MILLIS)
    world.restart(away)
    world.settle()
    return len(world.trace.of(SnapshotReceived))


def log_while_away(retain_bytes: int) -> int:
    """Return the most bytes of sealed log on the leader while a follower is away for long."""
    world = _budgeted(retain_bytes)
    leader = world.replicas[world.leader() or ""]
    world.crash(last_follower(world))
    most = 0
    for _ in range(60):
        write_values_for(world, BREAK_MILLIS // 10)
        most = max(most, _sealed_bytes(leader))
    return most


def _budgeted(retain_bytes: int) -> World:
    options = ReplicaOptions(
        memtable_bytes=LIMITS.memtable_bytes,
        segment_bytes=LIMITS.segment_bytes,
        retain_bytes=retain_bytes,
        strategy=LIMITS.strategy,
        raft=LIMITS.raft,
    )
    world = World(3, seed=9, options=options)
    write_values(world, 110)
    return world
