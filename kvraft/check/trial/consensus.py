"""The trial of a consensus module: many runs, and the smallest way to break each property.

Each run stops where it breaks first.  If that property is broken already, the run is repeated with
it allowed, so that one bug does not hide another; what raises there proves nothing and is left out.

>>> from kvraft.raft import Raft
>>> report = judge_consensus(Raft, runs=3)
>>> report.broken, report.lacks
([], {})
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Any

from kvraft import inputs
from kvraft.check.properties import Property, Violation
from kvraft.check.shrink import shrink
from kvraft.check.trial.acts import Act
from kvraft.check.trial.guest import abilities_of, check_methods, guest_class
from kvraft.check.trial.probe import probe
from kvraft.check.trial.promises import CONSENSUS, METHODS, NEEDS, Ability, Promise
from kvraft.check.trial.report import Outcome, Report, Verdict
from kvraft.check.trial.run import PlayedRun, play_plan, replay
from kvraft.check.trial.schedules import draw_plan
from kvraft.errors import BadInput
from kvraft.raft import Raft, RaftOptions

RUNS = 200
"""How many runs a trial has, unless asked for another number."""
SHRINKING = 600
"""How many runs are tried to shrink one finding."""
CONSEQUENCES = (Promise.ANSWERS, Promise.LEADER, Promise.PROGRESS)
"""What proves nothing in a run that broke something else before."""


def judge_consensus(
    make: Callable[..., Any],
    *,
    title: str = "",
    runs: int = RUNS,
    seed: int = 1,
    without: Collection[str] = (),
    alive: Callable[[], object] = lambda: None,
    shrinking: int = SHRINKING,
) -> Report:
    """Judge a consensus module: a class, or whatever makes one when called like it.

    ``title`` is what the report calls it.  The runs have the seeds from ``seed`` on, and the
    abilities in ``without`` are not tried.  ``alive`` is called before each run; at most
    ``shrinking`` runs are tried to shrink one finding.

    Raises :class:`~kvraft.errors.BadInput` for a class that lacks a method, and for an unknown
    ability.
    """
    inputs.whole_number(runs, "the number of runs", minimum=1)
    inputs.whole_number(seed, "a seed", minimum=0)
    title = title or getattr(make, "__name__", "the module")
    judge = _judge_of(make, title, without, alive, shrinking)
    for run in range(1, runs + 1):
        judge.play(run, seed + run - 1)
    verdicts = [judge.verdict(name, runs) for name in CONSENSUS]
    has = [*map(str, judge.abilities)]
    return Report(title, "consensus", runs, seed, verdicts, has, judge.lacks)


def first_broken(
    make: Callable[..., Any],
    *,
    title: str = "",
    runs: int = RUNS,
    without: Collection[str] = (),
    shrinking: int = SHRINKING,
) -> Verdict | None:
    """Return the verdict on what the first run that breaks anything breaks, ``None`` if none does.

    The arguments are those of :func:`judge_consensus`, whose runs these are.
    """
    title = title or getattr(make, "__name__", "the module")
    judge = _judge_of(make, title, without, lambda: None, shrinking)
    for run in range(1, runs + 1):
        judge.play(run, run)
        if judge.broken:
            return judge.verdict(judge.broken[0], runs)
    return None


def _judge_of(
    make: Callable[..., Any],
    title: str,
    without: Collection[str],
    alive: Callable[[], object],
    shrinking: int,
) -> _Judge:
    """Return what plays the runs of a module, once it is known what that lacks."""
    if isinstance(make, type):
        check_methods(make, title)
    has, lacks = _abilities(make, title, without)
    alive()
    lacks |= probe(guest_class(make, title, has), has)
    abilities = [ability for ability in has if ability not in lacks]
    return _Judge(guest_class(make, title, abilities), abilities, lacks, alive, shrinking)


def _abilities(
    make: Callable[..., Any], title: str, without: Collection[str]
) -> tuple[list[Ability], dict[str, str]]:
    """Return the abilities that are there, and for each other one why it is not tried."""
    for name in without:
        if name not in tuple(Ability):
            raise BadInput(f"there is no ability {name!r} to do without: {', '.join(Ability)}")
    has, lacks = [], {}
    for ability in Ability:
        if ability in without:
            lacks[str(ability)] = "switched off"
        elif ability not in abilities_of(make):
            why = f"{title} has no {METHODS[ability]}"
            lacks[str(ability)] = why if isinstance(make, type) else "no line of a command has it"
        else:
            has.append(ability)
    return has, lacks


class _Judge:
    """Plays runs, and keeps the first that breaks each property."""

    def __init__(
        self,
        consensus: type[Raft],
        abilities: Sequence[Ability],
        lacks: dict[str, str],
        alive: Callable[[], object],
        shrinking: int,
    ) -> None:
        self._consensus = consensus
        self.abilities, self.lacks = abilities, lacks
        """What the module can do, and for each other ability why it is not tried."""
        self._alive, self._shrinking = alive, shrinking
        self._found: dict[str, tuple[int, PlayedRun]] = {}
        self._whole = 0
        """How many runs came to their end, after which what they did not break holds in them."""

    @property
    def broken(self) -> list[str]:
        """What is broken, in the order in which that was found."""
        return list(self._found)

    def play(self, run: int, seed: int) -> None:
        """Play one run, again and again with what it broke allowed, until it breaks nothing new."""
        plan = draw_plan(seed, self.abilities)
        broken: list[str] = []
        while True:
            self._alive()
            played = play_plan(plan, self._consensus, self.abilities, but=broken)
            violation = played.violation
            if violation is None or violation.property in broken:
                self._whole += violation is None and played.error is None
                return
            if broken and violation.property in CONSEQUENCES:
                return
            broken.append(violation.property)
            self._found.setdefault(violation.property, (run, played))
            if violation.property in CONSEQUENCES:
                return

    def verdict(self, name: str, runs: int) -> Verdict:
        """Return the verdict on one property, with what broke it made small."""
        if name in NEEDS and NEEDS[name] in self.lacks:
            return Verdict(name, Outcome.NOT_TRIED, what=self.lacks[NEEDS[name]])
        if name not in self._found and not self._whole:
            return Verdict(name, Outcome.NOT_TRIED, what="no run comes to its end")
        if name not in self._found:
            return Verdict(name, Outcome.HOLDS, self._whole)
        run, played = self._found[name]
        small = self._shrunk(name, played)
        assert small.violation is not None
        return Verdict(
            name,
            Outcome.BROKEN,
            runs,
            run,
            small.violation.what,
            small.lines,
            len(played.acts),
            scenario_text(name, small),
            small.cluster.trace,
        )

    def _shrunk(self, name: str, played: PlayedRun) -> PlayedRun:
        """Return a run with as few acts, and members, as break the same property."""
        plan, end = played.plan, played.ended
        but = [each for each in CONSENSUS if each not in (name, Promise.ANSWERS)]

        def breaks(acts: Sequence[Act], members: int = plan.members) -> bool:
            self._alive()
            fewer = plan._replace(members=members)
            again = replay(fewer, self._consensus, acts, end=end, but=but)
            return again.violation is not None and again.violation.property == name

        acts = shrink(played.acts, breaks, budget=self._shrinking)
        fewer = next((n for n in range(2, plan.members) if breaks(acts, n)), plan.members)
        plan = plan._replace(members=fewer)
        return replay(plan, self._consensus, acts, end=end, but=but, trace=True)


def scenario_text(name: str, played: PlayedRun) -> str:
    """Return a scenario that repeats a run, for ``kvraft play``."""
    plan, violation = played.plan, played.violation
    assert isinstance(violation, Violation)
    usual, drawn = asdict(RaftOptions()), asdict(plan.options)
    options = "".join(
        f" {each}={_word(drawn[each])}" for each in drawn if drawn[each] != usual[each]
    )
    least, most = plan.latency
    head = [
        f"{violation.property}: {violation.what}",
        f"members {' '.join(f'n{number}' for number in range(1, plan.members + 1))}",
        *([f"options{options}"] if options else []),
        f"latency {least} {most}",
        f"seed {plan.seed}",
        *(f"unwatched {each}" for each in Property if each != name),
    ]
    if name in tuple(Property):
        ends = [f"violation {name}"]
    else:
        ends = ["# Here it breaks; a scenario has no words for this property."]
    return "\n".join([*head, "", *(line for line, _ in played.lines), *ends, ""])


def _word(option: int) -> str:
    """Return an option as scenarios have it."""
    return ("no", "yes")[option] if isinstance(option, bool) else str(option)
