"""One run of a trial: a cluster of guests, the acts, and the end that every run comes to.

::

    acts, drawn ──────────► the end: healed, all restarted ──► a leader? ──► a write everywhere?
      every step and message checked (check/raft)           in time           in time

The end is the same for every run, and is what liveness is judged by.  A run whose acts are known is
repeated by :func:`replay`, also with fewer acts.

Source: Raft §5.2, §5.6 (when a leader must be there), §8 (what was acknowledged).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from kvraft.check.properties import Property, Violation
from kvraft.check.raft import watch
from kvraft.check.trial.acts import Act, perform
from kvraft.check.trial.guest import Stuck
from kvraft.check.trial.promises import Ability, Promise
from kvraft.check.trial.schedules import Plan, acts_of
from kvraft.display import counted
from kvraft.errors import KvraftError
from kvraft.raft import Message, Raft, ReadReady
from kvraft.record import Entry
from kvraft.sim import Cluster

TIMEOUTS = 10
"""How many election timeouts a cluster has to find a leader, and then to apply a write."""


@dataclass(slots=True)
class PlayedRun:
    """How a run went: what was done, as acts and as lines of a scenario, and what broke, if any.

    Each line comes with how many steps the trace had after it.  ``ended`` is whether the end was
    begun, ``cluster`` how it was then.
    """

    plan: Plan
    cluster: Cluster
    acts: list[Act] = field(default_factory=list)
    lines: list[tuple[str, int]] = field(default_factory=list)
    ended: bool = False
    violation: Violation | None = None
    error: KvraftError | None = None
    """What stopped it but no property that was asked about: a cluster beyond repair."""


class Acknowledgements:
    """A watcher that remembers what leaders applied of what was proposed to them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._proposed: dict[tuple[str, int], Entry] = {}
        self._through: dict[str, int] = {}
        self.acknowledged: dict[int, Entry] = {}

    def proposed(self, name: str) -> None:
        """Take note of what a member has just appended."""
        log = self._cluster.members[name].log
        if log.last_index >= log.first_index:
            self._proposed[name, log.last_index] = log.slice(log.last_index)[0]

    def sent(self, message: Message) -> None:
        """Nothing: a message acknowledges nothing to a client."""

    def asked(self, name: str, token: int) -> None:
        """Nothing: reads acknowledge nothing that was written."""

    def served(self, name: str, read: ReadReady) -> None:
        """Nothing: reads acknowledge nothing that was written."""

    def stepped(self, name: str) -> None:
        """Take note of what a member has applied since it was looked at."""
        applied = self._cluster.members[name].applied
        for entry in applied[min(self._through.get(name, 0), len(applied)) :]:
            if self._proposed.get((name, entry.index)) == entry:
                self.acknowledged.setdefault(entry.index, entry)
        self._through[name] = len(applied)

    def freeze(self) -> None:
        """Take no more note: what follows need not have reached every member when it is checked."""
        self._proposed.clear()

    def check(self, names: Iterable[str], *, allowed: bool) -> None:
        """Raise unless these members have applied all that was acknowledged, or it is allowed."""
        for name in () if allowed else names:
            applied = self._cluster.members[name].applied
            for index, entry in self.acknowledged.items():
                if index > len(applied) or applied[index - 1] != entry:
                    what = f"{name} has not applied {entry.record.key.decode()}, entry {index}, "
                    what += "which a leader had acknowledged"
                    raise Violation(Promise.ACKNOWLEDGED, (name,), what)


class _Player:
    """Plays one run."""

    def __init__(
        self, plan: Plan, consensus: type[Raft], but: Collection[str], trace: bool
    ) -> None:
        names = [f"n{number}" for number in range(1, plan.members + 1)]
        self._failed: Violation | None = None
        make = partial(
            Cluster,
            names,
            seed=plan.seed,
            options=plan.options,
            latency=plan.latency,
            trace=trace,
        )
        try:
            self.cluster = make(consensus=consensus)
        except Violation as error:  # it cannot start: only an empty stage can be shown
            self.cluster, self._failed = make(), error
        self.played = PlayedRun(plan, self.cluster)
        self._but = but
        self._acknowledgements = Acknowledgements(self.cluster)
        self._last: list[bytes] = []  # the keys proposed in the end
        watch(self.cluster, but=[each for each in Property if each in but])
        self.cluster.watchers.append(self._acknowledgements)

    def do(self, act: Act) -> None:
        """Do one act, and keep what it was."""
        played = self.played
        try:
            lines = perform(self.cluster, act)
        except Violation as error:
            self._keep(error.__notes__)
            raise
        if act[0] == "propose" and lines and not played.ended and lines[0].startswith("propose"):
            self._acknowledgements.proposed(act[1])
        self._keep(lines)

    def _keep(self, lines: Sequence[str]) -> None:
        """Keep lines; ticks that follow one another are one line."""
        for line in lines:
            kept = self.played.lines
            if kept and kept[-1][0].startswith("run ") and line.startswith("run "):
                line = f"run {int(kept.pop()[0][4:]) + int(line[4:])}"
            kept.append((line, len(self.cluster.trace)))

    def play(self, acts: Iterable[Act], end: bool) -> PlayedRun:
        """Do the acts, and then what every run ends with, until something breaks."""
        played = self.played
        if self._failed is not None:
            played.violation = self._failed
            return played
        try:
            for act in acts:
                played.acts.append(act)
                self.do(act)
            played.ended = end
            if end:
                self._end()
        except Violation as error:
            played.violation = error
        except Stuck:
            raise
        except (KvraftError, LookupError, AssertionError) as error:
            if not self._but:
                raise
            played.error = KvraftError(str(error))  # follows from what was broken and allowed
        return played

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def _end(self) -> None:
        """Repair everything; then there must be a leader, and a write must be applied."""
        self._acknowledgements.freeze()
        self.do(("heal",))
        for name in list(self.cluster.members):
            self.do(("restart", name))
        self._stop_removed()
        if self._within(self._has_leader, Promise.LEADER, "there is no leader") and self._within(
            self._applied_everywhere, Promise.PROGRESS, "no write is applied by every member"
        ):
            self._acknowledgements.check(self._kept(), allowed=Promise.ACKNOWLEDGED in self._but)

    def _kept(self) -> tuple[str, ...]:
        """Return the members by the newest log."""
        rafts = self.cluster.rafts.values()
        return max(rafts, key=lambda raft: raft.log.last[::-1]).configuration.members

    def _stop_removed(self) -> None:
        """Turn those members off that were removed: they would disturb the others (§6)."""
        kept = self._kept()
        for name in self.cluster.rafts:
            if name not in kept:
                self.do(("crash", name, ""))

    def _has_leader(self) -> bool:
        return self.cluster.leader() is not None

    def _applied_everywhere(self) -> bool:
        """Propose to each leader, once a term; return whether one of these is applied by all."""
        leader = self.cluster.leader()
        if leader is not None:
            key = f"last{self.cluster.rafts[leader].term}"
            if key.encode() not in self._last:
                self.do(("propose", leader, key))
                if not self.played.lines[-1][0].startswith("refuse"):
                    self._last.append(key.encode())
        members = [self.cluster.members[name] for name in self._kept()]
        return bool(self._last) and all(
            any(entry.record.key in self._last for entry in member.applied) for member in members
        )

    def _within(self, condition: Callable[[], bool], promise: Promise, what: str) -> bool:
        """Let time pass until ``condition`` holds; return whether it does, in time."""
        options = self.cluster.options
        limit = TIMEOUTS * (options.election_ticks + options.spread_ticks)
        for _ in range(limit):
            if condition():
                return True
            for name in self._kept():
                self.do(("restart", name))  # a crash that was planned may come only now
            self.do(("run", 1))
        if promise not in self._but:
            why = f"{what} within {TIMEOUTS} election timeouts, {counted(limit, 'tick')}"
            raise Violation(promise, self._kept(), why)
        return False


def play_plan(
    plan: Plan, consensus: type[Raft], abilities: Collection[Ability], *, but: Collection[str] = ()
) -> PlayedRun:
    """Play the run of a plan; the properties in ``but`` may be broken."""
    player = _Player(plan, consensus, but, trace=False)
    return player.play(acts_of(plan, player.cluster, abilities), end=True)


def replay(
    plan: Plan,
    consensus: type[Raft],
    acts: Sequence[Act],
    *,
    end: bool,
    but: Collection[str] = (),
    trace: bool = False,
) -> PlayedRun:
    """Play these acts, and then the end if it is wanted."""
    return _Player(plan, consensus, but, trace=trace).play(acts, end=end)
