"""The states of a whole cluster, as numbers, and the states that follow each of them.

A state is a few numbers::

    ((17, 4, 9), 3, 12, (2, 5, 5, 31))
      │          │  │    └ the messages in flight, sorted: here message 5 is in flight twice
      │          │  └ what the bounds still allow
      │          └ the history of the run
      └ the state of each member, with its disk

Each number stands for a value in a table (:class:`Interned`), and equal values have one number.
What a member does next depends on its own state and the input alone, so the consensus module
computes each such pair once, however many states of the cluster share it.

Invariant: the tables only grow, and their values never change.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Generic, NamedTuple, TypeVar

from kvraft.check.explore.clone import clone, fingerprint
from kvraft.check.explore.history import RunHistory, check_history, extend_history, initial_history
from kvraft.check.explore.transitions import (
    Action,
    ExploredMember,
    Transition,
    TransitionResult,
    take_transition,
)
from kvraft.check.properties import Violation
from kvraft.errors import BadInput
from kvraft.raft import Message
from kvraft.record import Entry, Kind
from kvraft.sim import Cluster

K = TypeVar("K", bound=Hashable)
ClusterStateKey = tuple[tuple[int, ...], int, int, tuple[int, ...]]


class ExplorationBounds(NamedTuple):
    """How often each kind of step may happen in one run; deliveries and losses are unlimited.

    ``timeouts`` start elections (or pre-votes); ``heartbeats`` are rounds in addition to what a
    leader must send anyway; ``copies`` is how often a message arrives and stays in flight, ``lags``
    how often a disk is slow.
    """

    timeouts: int = 2
    heartbeats: int = 0
    proposals: int = 0
    crashes: int = 0
    copies: int = 0
    lags: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{n} {what}" for what, n in self._asdict().items() if n) or "deliveries"


_FIELD = {Action.TIMEOUT: 0, Action.HEARTBEAT: 1, Action.PROPOSE: 2, Action.CRASH: 3}
_COPIES, _LAGS = 4, 5


class Interned(Generic[K]):
    """A table of values: equal values have one number, counted from 0."""

    def __init__(self) -> None:
        self.values: list[K] = []
        self._number_of: dict[K, int] = {}

    def of(self, value: K) -> int:
        """Return the number of ``value``."""
        number = self._number_of.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


@dataclass(slots=True, eq=False)
class LocalEffect:
    """What a step does to one member, in numbers; if ``quiet``, no other member is affected."""

    step: Transition
    after: int
    sent: tuple[int, ...]
    moved: TransitionResult
    quiet: bool


@dataclass(slots=True, eq=False)
class LocalState:
    """A state of one member, and the effects that are known to follow."""

    member: ExploredMember
    name: str
    shape: int  # the same for all states that differ by names only
    log: int  # in memory
    disk: int
    own: tuple[Action, ...]  # its actions that need no message
    effects: dict[object, LocalEffect | None]  # by input; None if there is no effect
    lagging: dict[object, LocalEffect | None]


class StateSpace:
    """All states that can follow ``start`` within ``bounds``; explorer.py walks through them.

    ``first`` is the state of ``start``.
    """

    def __init__(
        self, start: Cluster, bounds: ExplorationBounds, *, but: Collection[str], symmetry: bool
    ) -> None:
        self.asked = 0
        """How often the consensus module itself was given an input."""
        self._but = but
        self._names = tuple(start.members)
        self._place = {name: place for place, name in enumerate(self._names)}
        self._bounds = bounds
        self._logs: Interned[tuple[Entry, ...]] = Interned()
        self._states: Interned[object] = Interned()  # of members, frozen
        self._locals: dict[int, LocalState] = {}
        self._letters: Interned[object] = Interned()  # messages, frozen
        self._messages: dict[int, Message] = {}
        self._to: dict[int, int] = {}
        self._pasts: Interned[RunHistory] = Interned()
        self._lefts: Interned[ExplorationBounds] = Interned()
        self._spent: dict[tuple[int, int], int] = {}
        self._futures: dict[tuple[int, LocalEffect], int | Violation] = {}
        self._judged: dict[object, Violation | None] = {}
        for name in start.members:
            _check_start(start, name)
        self._renamings = _renamings(start) if symmetry else [tuple(range(len(self._names)))]
        self._mappings = [
            {self._names[who]: name for who, name in zip(order, self._names, strict=True)}
            for order in self._renamings
        ]
        self._renamed_locals: list[dict[int, int]] = [{} for _ in self._renamings]
        self._renamed_letters: list[dict[int, int]] = [{} for _ in self._renamings]
        self._renamed_pasts: list[dict[int, int]] = [{} for _ in self._renamings]
        self._ways: dict[tuple[int, ...], list[int]] = {}
        self.first = self._begin(start)

    def _begin(self, start: Cluster) -> ClusterStateKey:
        members = []
        for m in start.members.values():
            assert m.raft is not None
            log = m.log.slice(1)
            members.append(ExploredMember(clone(m.raft), m.configuration, m.hard_state, log))
        flying = sorted(self._letter(letter.message) for letter in start.in_flight)
        return (
            tuple(self._local(member) for member in members),
            self._pasts.of(initial_history(members)),
            self._lefts.of(self._bounds),
            tuple(flying),
        )

    # ── values and their numbers ────────────────────────────────────────────────────────────────

    def _local(self, member: ExploredMember) -> int:
        number = self._states.of(member.fingerprint({}))
        if number not in self._locals:
            own = [Action.CRASH]
            own += [Action.HEARTBEAT, Action.PROPOSE] if member.leads else [Action.TIMEOUT]
            if member.writing is not None:
                own.append(Action.SYNC)
            local = LocalState(
                member,
                member.raft.member,
                0,
                self._logs.of(member.raft.log.slice(1)),
                self._logs.of(member.log),
                tuple(own),
                {},
                {},
            )
            self._locals[number] = local
            local.shape = min(self._rename_local(way, number) for way in range(len(self._mappings)))
        return number

    def _letter(self, message: Message) -> int:
        number = self._letters.of(fingerprint(message, {}))
        if number not in self._messages:
            self._messages[number] = message
            self._to[number] = self._place[message.to]
        return number

    def _spend(self, left: int, field: int) -> int:
        """Return the bounds that are left after one more step of a kind, -1 if there are none."""
        found = self._spent.get((left, field))
        if found is None:
            have = self._lefts.values[left]
            less = [n - (at == field) for at, n in enumerate(have)]
            found = self._lefts.of(ExplorationBounds(*less)) if have[field] else -1
            self._spent[left, field] = found
        return found

    # ── the next states ─────────────────────────────────────────────────────────────────────────

    def following(
        self, state: ClusterStateKey
    ) -> Iterator[tuple[Transition, ClusterStateKey | Violation]]:
        """Yield each possible next step, with the state it leads to or the property it breaks."""
        members, _, left, flying = state
        for number in members:
            local = self._locals[number]
            for do in local.own:
                after = left if do is Action.SYNC else self._spend(left, _FIELD[do])
                if after >= 0:
                    proposed = self._bounds.proposals - self._lefts.values[left].proposals
                    key = (do, proposed + 1) if do is Action.PROPOSE else do
                    yield from self._apply(state, local, key, after, flying)
        before = -1
        more = self._spend(left, _COPIES)
        for at, letter in enumerate(flying):
            if letter != before:
                before = letter
                local = self._locals[members[self._to[letter]]]
                yield from self._apply(state, local, letter, left, flying[:at] + flying[at + 1 :])
                if more >= 0:
                    yield from self._apply(state, local, letter, more, flying, copy=True)

    def _apply(
        self,
        state: ClusterStateKey,
        local: LocalState,
        key: object,
        left: int,
        flying: tuple[int, ...],
        *,
        copy: bool = False,
    ) -> Iterator[tuple[Transition, ClusterStateKey | Violation]]:
        effect = local.effects[key] if key in local.effects else self._ask(local, key, lags=False)
        if effect is None:
            return
        yield self._reach(state, effect, left, flying, copy)
        if effect.moved.saved and local.member.writing is None:
            left = self._spend(left, _LAGS)
            if left >= 0:
                known = local.lagging
                effect = known[key] if key in known else self._ask(local, key, lags=True)
                if effect is not None:
                    yield self._reach(state, effect, left, flying, copy)

    def _ask(self, local: LocalState, key: object, *, lags: bool) -> LocalEffect | None:
        """Give the consensus module an input that is new in this state; record the effect."""
        self.asked += 1
        if isinstance(key, int):
            step = Transition(Action.RECEIVE, local.name, self._messages[key], lags=lags)
        elif isinstance(key, tuple):
            step = Transition(Action.PROPOSE, local.name, number=key[1], lags=lags)
        else:
            assert isinstance(key, Action)
            step = Transition(key, local.name, lags=lags)
        moved = take_transition(local.member, step, self._but)
        number = self._local(moved.after)
        after = self._locals[number]
        sent = tuple(self._letter(message) for message in moved.sent)
        effect: LocalEffect | None = None
        if after is not local or sent or moved.broken:
            leads = after.member.leads not in (0, local.member.leads)
            changed = (after.log, after.disk) != (local.log, local.disk)
            quiet = not (leads or changed or moved.committed or moved.broken)
            effect = LocalEffect(step, number, sent, moved, quiet)
        (local.lagging if lags else local.effects)[key] = effect
        return effect

    def _reach(
        self,
        state: ClusterStateKey,
        effect: LocalEffect,
        left: int,
        flying: tuple[int, ...],
        copy: bool,
    ) -> tuple[Transition, ClusterStateKey | Violation]:
        members, past, _, _ = state
        place = self._place[effect.step.member]
        members = (*members[:place], effect.after, *members[place + 1 :])
        step = effect.step._replace(copy=True) if copy else effect.step
        if not effect.quiet:
            now = self._remember(past, effect)
            broken = now if isinstance(now, Violation) else self._judge(members, now)
            if isinstance(now, Violation) or broken is not None:
                assert isinstance(broken, Violation)
                return step, broken
            past = now
        if effect.sent:
            flying = tuple(sorted(flying + effect.sent))
        return step, (members, past, left, flying)

    # ── properties of the whole cluster ─────────────────────────────────────────────────────────

    def _remember(self, past: int, effect: LocalEffect) -> int | Violation:
        """Return the history after a step, or the property that the step breaks by itself."""
        found = self._futures.get((past, effect))
        if found is None:
            try:
                found = self._pasts.of(
                    extend_history(self._pasts.values[past], effect.moved, self._but)
                )
            except Violation as violation:
                found = violation
            self._futures[past, effect] = found
        return found

    def _judge(self, members: tuple[int, ...], past: int) -> Violation | None:
        """Return the property that is broken among members and history, if any."""
        locals_ = [self._locals[number] for number in members]
        key = (past, *[(local.log, local.disk, local.member.leads) for local in locals_])
        if key not in self._judged:
            try:
                check_history(
                    [local.member for local in locals_], self._pasts.values[past], self._but
                )
                self._judged[key] = None
            except Violation as violation:
                self._judged[key] = violation
        return self._judged[key]

    # ── names ───────────────────────────────────────────────────────────────────────────────────

    def canonical(self, state: ClusterStateKey) -> ClusterStateKey:
        """Return one representative of all states that differ from ``state`` by names only.

        Members are ordered by shape, the lowest first.  Where shapes are equal, all orders are
        tried, and the least state is taken.
        """
        members, past, left, flying = state
        shapes = [self._locals[number].shape for number in members]
        ranks = sorted(shapes)
        pattern = tuple([ranks.index(shape) for shape in shapes])
        ways = self._ways.get(pattern)
        if ways is None:
            sorted_by = [tuple(pattern[who] for who in order) for order in self._renamings]
            ways = [way for way, ranks_ in enumerate(sorted_by) if ranks_ == min(sorted_by)]
            self._ways[pattern] = ways
        if len(ways) == 1:
            return self._rename(ways[0], members, past, left, flying)
        return min(self._rename(way, members, past, left, flying) for way in ways)

    def _rename(
        self, way: int, members: tuple[int, ...], past: int, left: int, flying: tuple[int, ...]
    ) -> ClusterStateKey:
        known, letters = self._renamed_locals[way], self._renamed_letters[way]
        pasts = self._renamed_pasts[way]
        if past not in pasts:
            pasts[past] = self._rename_past(way, past)
        for letter in flying:
            if letter not in letters:
                letters[letter] = self._rename_letter(way, letter)
        return (
            tuple([known[members[who]] for who in self._renamings[way]]),
            pasts[past],
            left,
            tuple(sorted([letters[letter] for letter in flying])),
        )

    def _rename_local(self, way: int, number: int) -> int:
        renamed = self._states.of(self._locals[number].member.fingerprint(self._mappings[way]))
        self._renamed_locals[way][number] = renamed
        return renamed

    def _rename_letter(self, way: int, letter: int) -> int:
        names, message = self._mappings[way], self._messages[letter]
        return self._letter(message._replace(sender=names[message.sender], to=names[message.to]))

    def _rename_past(self, way: int, past: int) -> int:
        names, (leaders, ledger) = self._mappings[way], self._pasts.values[past]
        renamed = tuple(sorted((term, names[name]) for term, name in leaders))
        return self._pasts.of(RunHistory(renamed, ledger))


def _check_start(start: Cluster, name: str) -> None:
    """Raise :class:`BadInput` if a member is in a state that cannot be explored."""
    member = start.members[name]
    if member.raft is None:
        raise BadInput(f"{name} is down: restart it; a member that is down only looks slow")
    if member.log.base.index:
        raise BadInput(f"the log of {name} was truncated at {member.log.base.index}: not explored")
    if any(entry.record.kind is Kind.CONFIGURATION for entry in member.log.slice(1)):
        raise BadInput(f"the log of {name} holds a change of members: not explored")


def _renamings(start: Cluster) -> list[tuple[int, ...]]:
    """Return the orders of members that leave every configuration the same."""
    names = tuple(start.members)
    parts = [
        [names.index(name) for name in part]
        for m in start.members.values()
        for part in (m.configuration.voters, m.configuration.outgoing, m.configuration.learners)
    ]
    return [
        order
        for order in permutations(range(len(names)))
        if all(sorted(order[who] for who in part) == sorted(part) for part in parts)
    ]
