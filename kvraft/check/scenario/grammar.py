"""Parsing a scenario: each line of text becomes an action on a cluster.

The language is described in ``scenario.py``.  A line is parsed by the method named after its first
word; a step becomes an action, which is a function of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, get_args

from kvraft.check.bugs import consensus_bug
from kvraft.check.properties import Property, named
from kvraft.check.scenario.expect import (
    NONE,
    Expectation,
    UnmetExpectation,
    expect_leader,
    read_expectations,
)
from kvraft.check.scenario.words import ScenarioLine
from kvraft.errors import BadInput, Busy, KvraftError, NotLeader
from kvraft.raft import Message, Raft, RaftOptions
from kvraft.record import HardState
from kvraft.sim import Cluster, MessageFilter

ScenarioAction = Callable[[Cluster], object]

KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Message)}
REFUSALS: dict[str, type[KvraftError]] = {
    error.__name__: error for error in (BadInput, Busy, NotLeader)
}


@dataclass(slots=True)
class Setup:
    """The situation in which a scenario starts."""

    members: list[str] = field(default_factory=list)
    learners: list[str] = field(default_factory=list)
    options: RaftOptions = field(default_factory=RaftOptions)
    logs: dict[str, list[int]] = field(default_factory=dict)
    hard_states: dict[str, HardState] = field(default_factory=dict)
    consensus: type[Raft] = Raft
    unwatched: list[Property] = field(default_factory=list)
    seed: int = 0
    latency: tuple[int, int] = (1, 1)


class Line(NamedTuple):
    """One step or expectation: its line number, its text, and the action it stands for."""

    number: int
    text: str
    action: ScenarioAction


def read(text: str, file: str) -> tuple[str, str, Setup, tuple[Line, ...], Property | None]:
    """Return title, prose, set-up, steps, and the property that the last step breaks, if any.

    Raises :class:`~kvraft.errors.BadInput`, which names file and line, for anything wrong.
    """
    title, *rest = text.splitlines() or [""]
    if not title.strip() or title.startswith("#"):
        raise BadInput(f"{file}, line 1: a scenario begins with its title")
    reader = _Reader(file)
    for number, line in enumerate(rest, 2):
        if line.strip():
            reader.read(number, line.strip())
    if not reader.lines:
        raise BadInput(f"{file}: this scenario has no steps")
    prose = " ".join(reader.prose)
    return title.strip(), prose, reader.setup, tuple(reader.lines), reader.violation


class _Reader:
    """Reads one file; ``members`` are those that exist by the current line."""

    def __init__(self, file: str) -> None:
        self.setup = Setup()
        self.prose: list[str] = []
        self.lines: list[Line] = []
        self.violation: Property | None = None
        self.members: list[str] = []
        self._file = file

    def read(self, number: int, text: str) -> None:
        if text.startswith("#"):
            if not self.lines:
                self.prose.append(text.lstrip("# "))
            return
        words = ScenarioLine(self._file, number, text)
        verb = words.take("a step")
        if self.violation is not None:
            raise words.wrong("nothing can follow a violation")
        if verb == "violation":
            if not self.lines:
                raise words.wrong("no step before this line could break anything")
            self.violation = self._property(words)
        elif verb in _SETUP:
            if self.lines:
                raise words.wrong(f"{verb!r} must come before the first step")
            _SETUP[verb](self, words)
        else:
            if not self.members:
                raise words.wrong("the members must be named before the first step")
            self.lines.append(Line(number, text, self._step(verb, words)))
        words.end()

    def _step(self, verb: str, words: ScenarioLine) -> ScenarioAction:
        if verb not in _STEPS:
            raise words.wrong(f"there is no step {verb!r}: {', '.join(_STEPS)}")
        return _STEPS[verb](self, words)

    # ── set-up ──────────────────────────────────────────────────────────────────────────────────

    def _property(self, words: ScenarioLine) -> Property:
        try:
            return named(" ".join(words.until()))
        except BadInput as error:
            raise words.wrong(str(error)) from None

    def do_members(self, words: ScenarioLine) -> None:
        self.setup.members = [words.take("a name"), *words.until()]
        self.members = [*self.setup.members, *self.setup.learners]

    def do_learners(self, words: ScenarioLine) -> None:
        self.setup.learners = [words.take("a name"), *words.until()]
        self.members = [*self.setup.members, *self.setup.learners]

    def do_options(self, words: ScenarioLine) -> None:
        kinds = {f.name: f.type for f in fields(RaftOptions)}
        given: dict[str, Any] = {}
        for word in words.until():
            name, _, value = word.partition("=")
            if name not in kinds:
                raise words.wrong(f"there is no option {name!r}: {', '.join(kinds)}")
            if kinds[name] == "bool" and value in ("yes", "no"):
                given[name] = value == "yes"
            elif kinds[name] == "int" and value.isdecimal():
                given[name] = int(value)
            else:
                raise words.wrong(f"the option {name} cannot be {value!r}")
        try:
            self.setup.options = RaftOptions(**given)
        except BadInput as error:
            raise words.wrong(str(error)) from None

    def do_log(self, words: ScenarioLine) -> None:
        name, terms = words.member(self.members), []
        while words.next:
            terms.append(words.count("a term"))
        if terms != sorted(terms) or 0 in terms:
            raise words.wrong("the terms of a log begin at 1 and never fall")
        self.setup.logs[name] = terms

    def do_term(self, words: ScenarioLine) -> None:
        name, term = words.member(self.members), words.count("a term")
        vote = None
        if words.skip(","):
            words.must("vote")
            vote = words.member(self.members)
        self.setup.hard_states[name] = HardState(term, vote)

    def do_bug(self, words: ScenarioLine) -> None:
        try:
            self.setup.consensus = consensus_bug(" ".join(words.until()))
        except BadInput as error:
            raise words.wrong(str(error)) from None

    def do_unwatched(self, words: ScenarioLine) -> None:
        self.setup.unwatched.append(self._property(words))

    def do_seed(self, words: ScenarioLine) -> None:
        self.setup.seed = words.count("a seed")

    def do_latency(self, words: ScenarioLine) -> None:
        least, most = words.count("the least ticks"), words.count("the most ticks")
        if not 1 <= least <= most:
            raise words.wrong(f"messages cannot take {least} to {most} ticks")
        self.setup.latency = least, most

    # ── steps ───────────────────────────────────────────────────────────────────────────────────

    def _pick(self, words: ScenarioLine) -> MessageFilter:
        pick: MessageFilter = {}
        if words.next in KINDS:
            pick["kind"] = KINDS[words.take("a kind")]
        while words.next:
            match words.take("which"):
                case "from":
                    pick["sender"] = words.member(self.members)
                case "to":
                    pick["to"] = words.member(self.members)
                case "number":
                    pick["id"] = words.count("a number")
                case other:
                    raise words.wrong(f"{other!r} does not say which messages")
        return pick

    def do_deliver(self, words: ScenarioLine) -> ScenarioAction:
        pick = self._pick(words)
        return lambda cluster: cluster.deliver(**pick)

    def do_drop(self, words: ScenarioLine) -> ScenarioAction:
        pick = self._pick(words)
        return lambda cluster: cluster.drop(**pick)

    def do_duplicate(self, words: ScenarioLine) -> ScenarioAction:
        pick = self._pick(words)
        return lambda cluster: cluster.duplicate(**pick)

    def do_settle(self, words: ScenarioLine) -> ScenarioAction:
        return lambda cluster: cluster.settle()

    def do_timeout(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        return lambda cluster: cluster.timeout(name)

    def do_tick(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        times = words.count("a number of ticks") if words.next else 1

        def tick(cluster: Cluster) -> None:
            for _ in range(times):
                cluster.tick(name)

        return tick

    def do_run(self, words: ScenarioLine) -> ScenarioAction:
        ticks = words.count("a number of ticks")
        return lambda cluster: cluster.run(ticks)

    def do_crash(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        step = words.take("a step of a drain") if words.skip("after") else ""
        return lambda cluster: cluster.crash(name, after=step)

    def do_restart(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        return lambda cluster: cluster.restart(name)

    def do_add(self, words: ScenarioLine) -> ScenarioAction:
        name = words.take("a name")
        self.members.append(name)
        return lambda cluster: cluster.add(name)

    def do_propose(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        keys = [words.take("a key"), *words.until()]
        return lambda cluster: cluster.propose(name, *keys)

    def do_change(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        words.must("to")
        voters = words.until("learners")
        learners = words.until() if words.skip("learners") else []
        return lambda cluster: cluster.propose_change(name, voters, learners)

    def do_transfer(self, words: ScenarioLine) -> ScenarioAction:
        name = words.member(self.members)
        words.must("to")
        to = words.member(self.members)
        return lambda cluster: cluster.transfer(name, to)

    def do_read(self, words: ScenarioLine) -> ScenarioAction:
        name, token = words.member(self.members), words.count("a number")
        return lambda cluster: cluster.read(name, token)

    def do_snapshot(self, words: ScenarioLine) -> ScenarioAction:
        name, index = words.member(self.members), words.count("an index")
        return lambda cluster: cluster.truncate_log(name, index)

    def do_partition(self, words: ScenarioLine) -> ScenarioAction:
        groups: list[list[str]] = [[]]
        while words.next:
            if words.skip("|"):
                groups.append([])
            else:
                groups[-1].append(words.member(self.members))
        return lambda cluster: cluster.partition(*groups)

    def do_sever(self, words: ScenarioLine) -> ScenarioAction:
        sender = words.member(self.members)
        words.must("to")
        to = words.member(self.members)
        return lambda cluster: cluster.cut_link(sender, to)

    def do_heal(self, words: ScenarioLine) -> ScenarioAction:
        return lambda cluster: cluster.heal()

    def do_refuse(self, words: ScenarioLine) -> ScenarioAction:
        name = words.take("an error")
        error = REFUSALS.get(name)
        if error is None:
            raise words.wrong(f"there is no error {name!r}: {', '.join(REFUSALS)}")
        action = self._step(words.take("a step"), words)

        def refused(cluster: Cluster) -> None:
            try:
                action(cluster)
            except error:
                return
            raise UnmetExpectation(f"expected this to raise {name}")

        return refused

    # ── expectations ────────────────────────────────────────────────────────────────────────────

    def do_expect(self, words: ScenarioLine) -> ScenarioAction:
        if words.skip("leader"):
            name = NONE if words.skip(NONE) else words.member(self.members)
            return lambda cluster: expect_leader(cluster, name)
        wanted = not words.skip("not")
        if not wanted or words.next == "flying":
            words.must("flying")
            return self._expect_flying(self._pick(words), wanted)
        member = words.member(self.members)
        expected = read_expectations(words, self.members)
        return lambda cluster: _expect(cluster, member, expected)

    def _expect_flying(self, pick: MessageFilter, wanted: bool) -> ScenarioAction:
        def expect(cluster: Cluster) -> None:
            if bool(cluster.find(**pick)) is not wanted:
                raise UnmetExpectation(
                    f"expected this {'to be' if wanted else 'not to be'} in flight"
                )

        return expect


def _expect(cluster: Cluster, member: str, expected: list[Expectation]) -> None:
    for expectation in expected:
        expectation.check(cluster, member)


def _named(*names: str) -> dict[str, Any]:
    return {name: getattr(_Reader, f"do_{name}") for name in names}


_SETUP: dict[str, Callable[[_Reader, ScenarioLine], None]] = _named(
    "members", "learners", "options", "log", "term", "bug", "unwatched", "seed", "latency"
)
_STEPS: dict[str, Callable[[_Reader, ScenarioLine], ScenarioAction]] = _named(
    *("deliver", "drop", "duplicate", "settle", "timeout", "tick", "run", "crash", "restart"),
    *("add", "propose", "change", "transfer", "read", "snapshot", "partition", "sever", "heal"),
    *("refuse", "expect"),
)
