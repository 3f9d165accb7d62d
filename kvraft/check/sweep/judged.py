"""A run with every checker at work: what is done to its world is recorded and judged.

::

    do(verb, …) ──► Run: the world changes, an action is recorded
                      │
                      ╰─ after every step: WorldChecker, TransactionChecker, RetentionChecker,
                         EqualityChecker, marks; after some steps, what is expensive
    end()       ──► everything is repaired ──► check_liveness ──► last look, and judge_calls

The swarm acts through it, and so does who replays a run file (replay.py): both find the same.

Invariants:

- A run that is judged has the trace of one that is not, as far as its actions go: what
  :meth:`JudgedRun.end` adds comes after them.
- A member starts on its own disk, and on no other: one whose disk is empty or an old copy refuses,
  and so does one that must see that its disk is damaged (doubt.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from kvraft.check.equality import EqualityChecker
from kvraft.check.history import Effect, TransactionChecker, judge_calls, record
from kvraft.check.invariants import WorldChecker
from kvraft.check.liveness import check_liveness
from kvraft.check.marks import MarkSpotter
from kvraft.check.moved import News
from kvraft.check.properties import Violation
from kvraft.check.storage import RetentionChecker
from kvraft.check.sweep.doubt import Doubt, look
from kvraft.check.sweep.rows import FILLED, check_counter, check_rows
from kvraft.errors import Corruption, StateLost
from kvraft.record import TxnId
from kvraft.replica import Replica
from kvraft.sim import NotNow, Run, RunRecord

EVERY = 50
"""After how many steps the expensive checks run, unless somebody else says."""
_OTHER_DISKS = {"wipe": "an empty disk", "bring_copy": "an old copy of its disk"}
_DOUBTS = ("corrupt", "lie_about_syncs", "misdirect", "go_stale")


class JudgedRun:
    """A run that is judged; it must have no clients yet.

    ``every`` is after how many steps the expensive checks run, and ``after`` is called after each
    step, when all checkers have looked.  Everything here raises
    :class:`~kvraft.check.Violation` for what a checker finds; any other error is a finding as well.
    """

    def __init__(
        self, run: Run, *, every: int = EVERY, after: Callable[[], object] = lambda: None
    ) -> None:
        self.run, self.world = run, run.world
        self.tally: Counter[str] = Counter()
        """What the run reached."""
        self.ends_at: tuple[int, int] | None = None
        """When its record ends: the time in microseconds, and how many steps the trace has then."""
        self.calls = record(self.world)
        self.transactions = TransactionChecker(self.world)
        self._after, self._every = after, every
        self._news = News(self.world)
        self._world_checker = WorldChecker(self.world)
        self._equality = EqualityChecker(self.world)
        self._marks = MarkSpotter(self.world, self.tally)
        budget = run.options.retain_bytes
        self._truncations = RetentionChecker(self.world.trace, self.world.members, budget)
        self._steps = self._seen = 0  # steps that reported an event, and events looked at
        self._other_disks: dict[str, str] = {}  # what members have instead of their own
        self._damaged: set[str] = set()
        self.failed_start: Exception | None = None
        """What a start failed with, and the run with it."""
        self._banked = False
        self._looked: dict[str, tuple[object, ...]] = {}  # what members had when all was looked at
        self.world.watch = self._watch

    @property
    def lost(self) -> set[str]:
        """The members whose disks are lost or old, or that are down with a damaged one.

        Nothing is expected of them.
        """
        damaged = {name for name in self._damaged if name not in self.world.replicas}
        return damaged | self._other_disks.keys()

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def do(self, verb: str, *arguments: object) -> Any:
        """Do what a verb says, and return what comes of it; see :meth:`~kvraft.sim.Run.perform`."""
        name = str(arguments[0]) if arguments else ""
        starts = verb == "restart" and name in self._damaged and name not in self.world.replicas
        doubt = self.doubt(name) if starts else Doubt()
        result = self.run.perform(verb, *arguments)
        if self.world.watch is not None:  # after stop() nobody looks any more
            self.transactions.check_action(self._news)
        if verb in _OTHER_DISKS:
            self._other_disks[name] = _OTHER_DISKS[verb]
        elif verb in _DOUBTS:
            self._damaged.add(name)
        elif verb == "restart":
            self._judge_start(name, result, doubt)
        elif verb == "write" and self.run.actions[-1].arguments[1] == FILLED:
            self._banked = True
        return result

    def attempt(self, verb: str, *arguments: object) -> bool:
        """Do what a verb says, unless it cannot be done now; return whether it was done."""
        try:
            self.do(verb, *arguments)
        except NotNow:
            return False
        return True

    def doubt(self, name: str) -> Doubt:
        """Return what is wrong with the disk of a member that is down."""
        seat = self.world.seats[name]
        return look(self.world.sim_disk(name), f"kvraft/{name}", seat.fallen)

    def _judge_start(self, name: str, error: Exception | None, doubt: Doubt) -> None:
        """Judge how a start went, which may fail by a fault of the disk or of the power."""
        noticed = isinstance(error, StateLost | Corruption)
        other = self._other_disks.get(name)
        if other and not noticed:
            if error is not None:
                raise Violation("nothing is forgotten", (name,), f"{name}: {error}") from error
            if name in self.world.replicas:
                raise Violation("nothing is forgotten", (name,), f"{name} starts with {other}")
        known = other or (noticed and name in self._damaged) or isinstance(error, OSError)
        if error is not None and not known:
            self.failed_start = error
            raise error
        if name in self.world.replicas and name in self._damaged:
            if doubt.refuse:
                what = f"{name} starts on a disk of which it must see: {doubt.refuse}"
                raise Violation("nothing is forgotten", (name,), what)
            if doubt.whole:
                self._damaged.discard(name)
                self.world.sim_disk(name).forgive()

    # ── what is kept of it ──────────────────────────────────────────────────────────────────────

    def stop(self, error: Exception | None) -> None:
        """End it, with what was found: nobody looks any more, and :meth:`record` is settled.

        What a checker found, or a start that failed, ends with its microsecond.  If the code under
        test failed in the middle of a step, the end is one microsecond before.
        """
        run = self.run
        self.world.watch = None
        if self.ends_at is not None:
            return
        try:
            if error in (None, self.failed_start) or isinstance(error, Violation):
                run.run_to(run.now)
                self.ends_at = run.now, len(run.trace)
                return
        except Exception:
            pass  # so it fails in the rest of this microsecond, and ends before it, too
        before = max(0, run.now - 1)
        self.ends_at = before, sum(step.at <= before for step in run.trace)

    def record(self) -> RunRecord:
        """Return what a run file says of it, once it is over."""
        return self.run.record(self.ends_at)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        if len(self.world.trace) > self._seen:  # otherwise only time has passed
            self._seen = len(self.world.trace)
            self._steps += 1
            self._news.gather()
            self._world_checker.check_moved(self._news)
            self.transactions.check_moved(self._news)
            self._truncations.check()
            self._equality.check_moved(self._news)
            self._marks.check(self._news.members)
            if self._steps % self._every == 0:
                self.look()
        self._after()

    def look(self) -> None:
        """Run the expensive checks, on everything that members hold, where it may have changed."""
        replicas = self.world.replicas
        now = {name: _rows_of(replica) for name, replica in replicas.items()}
        moved = [name for name in now if self._looked.get(name) != now[name]]
        self._looked = now
        self.transactions.check_members(moved)
        if not self._banked:
            return
        with self.world.undisturbed():
            for name in moved:
                tree = replicas[name].tree
                oldest, newest = tree.horizon, tree.timestamp
                for at in {oldest: 0, (oldest + newest) // 2: 0, newest: 0}:
                    check_rows(name, dict(tree.scan(b"a", b"z", at=at)))

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def repair(self) -> None:
        """Repair whatever is broken."""
        if not self.world.network.whole:
            self.do("heal")
        self.attempt("lose", 0)
        for name in self.world.members:
            self.attempt("resume", name)
            self.attempt("repair_disk", name)
            if self.world.ahead(name):
                self.do("set_clock", name, 0)
            if name not in self.lost:
                self.attempt("restart", name)

    def end(self) -> None:
        """See the cluster at work again, in which nothing is broken, and check a last time."""
        world = self.world
        self.run.run_to(self.run.now)
        self.ends_at = self.run.now, len(self.run.trace)
        if self._without_majority():
            return
        world.client("last")
        check_liveness(world, list(world.clients.values()))
        world.settle()
        self.look()
        self.transactions.check_members(moments=6)
        self.transactions.check_tickets(call.ticket for call in self.calls.writes)
        self._judge_calls()
        there = self._current()
        applied = {replica.tree.applied for replica in there}
        if not set(world.members) - self.lost <= world.replicas.keys() or len(applied) != 1:
            what = f"after all repairs, members have applied {sorted(applied)}"
            raise Violation("progress", (), what)
        for replica in there if self._banked else ():
            check_counter(replica, self.calls.writes)

    def _without_majority(self) -> bool:
        """Return whether so many disks were lost that nothing can be expected."""
        there = set(self.world.members) - self.lost
        latest = max(
            self.world.replicas.values(),
            key=lambda replica: replica.raft.commit_index,
            default=None,
        )
        if latest is None:
            return not there
        now = latest.raft.configuration
        groups = [group for group in (now.voters, now.outgoing) if group]
        return any(2 * len(there & set(group)) <= len(group) for group in groups)

    def _current(self) -> list[Replica]:
        """Return the members of the leader's configuration, as far as their disks are whole."""
        leader = self.world.leader()
        assert leader is not None
        names = self.world.replicas[leader].raft.configuration.members
        there = self.world.replicas
        return [there[name] for name in names if name in there and name not in self.lost]

    def _judge_calls(self) -> None:
        """Judge what clients called and got, from outside the client library."""
        outcome = self.transactions.model.outcome

        def place(txn: TxnId) -> int:
            fate = outcome(txn)
            return fate.index if fate is not None and fate.effect is Effect.APPLIED else 0

        judged = judge_calls(self.calls, place)
        self.tally["calls ordered"] += judged.operations
        if judged.how != "log":
            self.tally[f"histories ordered by {judged.how}"] += 1


def _rows_of(replica: Replica) -> tuple[object, ...]:
    """Return what shows, without reading them, whether a member can hold other rows than before."""
    tree = replica.tree
    memory = tree.immutable_memtables, tree.memtable_rows, tree.memtable_size
    return replica, tree.applied_index, tree.tables, tree.horizon, *memory
