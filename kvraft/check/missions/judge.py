"""The judge: whether a run has reached the goal of a mission, by its actions and trace alone.

::

    open ──► reached       the goal held after a step; with how many actions
      ├────► impossible    the learner gave up, or the end came: names the rule in the way
      ├────► over          the same where it could have been reached
      ╰────► void          the run is not one of this mission, or used what it leaves out

Invariant: judging a run changes nothing in it, and how often it is judged changes no verdict.
"""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple
from weakref import WeakKeyDictionary

from kvraft.check.missions.facts import Facts
from kvraft.check.missions.mission import Mission, play
from kvraft.display import counted
from kvraft.errors import BadInput, TimedOut
from kvraft.sim import MILLISECOND, Run


class State(StrEnum):
    """Where a mission stands in a run."""

    OPEN = "open"
    REACHED = "reached"
    IMPOSSIBLE = "impossible"
    OVER = "over"
    VOID = "void"


class Verdict(NamedTuple):
    """``state`` after so many ``actions`` of the learner; ``step`` is where the goal was reached.

    ``step`` is -1 while it was not.
    """

    state: State
    actions: int
    step: int
    words: str


class _Fold:
    """The facts of one run, as far as it was judged."""

    def __init__(self, mission: Mission) -> None:
        self._mission = mission
        self._facts = Facts(mission.members)
        self._seen = 0
        self._acted = 0
        self.step = -1

    def follow(self, run: Run) -> None:
        """Judge the steps that are new."""
        begins, holds = run.steps_before, self._mission.reached.holds
        for step, (at, who, event) in enumerate(run.trace.since(self._seen), self._seen):
            while self._acted < len(begins) and begins[self._acted] <= step:
                self._facts.acted(run.actions[self._acted])
                self._acted += 1
            self._facts.take(step, at, who, event)
            if self.step < 0 and holds(self._facts, who, event):
                self.step = step
        self._seen = len(run.trace)


class Judge:
    """Judges runs of ``mission``, and gives its hints, one by one."""

    def __init__(self, mission: Mission) -> None:
        self.mission = mission
        self.hints: list[str] = []
        """The hints that were given."""
        self.gave_up = False
        self._folds: WeakKeyDictionary[Run, _Fold] = WeakKeyDictionary()

    def hint(self) -> str:
        """Return the next hint; raises ``BadInput`` if there is no other."""
        if len(self.hints) == len(self.mission.hints):
            raise BadInput("there are no more hints")
        self.hints.append(self.mission.hints[len(self.hints)])
        return self.hints[-1]

    def give_up(self) -> None:
        """End the mission: its verdicts now say how it is done, or why it cannot be."""
        self.gave_up = True

    def refusal(self, verb: str) -> str:
        """Return in one sentence why a verb may not be used here, ``""`` if it may."""
        return f"this mission is one without {verb}" if verb in self.mission.without else ""

    def verdict(self, run: Run) -> Verdict:
        """Return where the mission stands after all that happened in ``run``."""
        mission, ready = self.mission, len(self.mission.setup)
        acts = run.actions[ready:]
        if why := self._void(run):
            return Verdict(State.VOID, len(acts), -1, why)
        fold = self._folds.setdefault(run, _Fold(mission))
        fold.follow(run)
        if fold.step >= 0:
            used = sum(begun <= fold.step for begun in run.steps_before[ready:])
            return Verdict(State.REACHED, used, fold.step, self._reached(used))
        late = run.now > (mission.begins + mission.millis) * MILLISECOND
        if late or self.gave_up or len(acts) > mission.actions:
            state = State.IMPOSSIBLE if mission.impossible else State.OVER
            return Verdict(state, len(acts), -1, self._ended())
        return Verdict(State.OPEN, len(acts), -1, f"{counted(len(acts), 'action')} so far.")

    def _void(self, run: Run) -> str:
        mission, ready = self.mission, len(self.mission.setup)
        own = [(action.at, action.verb) for action in mission.setup]
        if [action[:2] for action in run.actions[:ready]] != own or any(
            action.at < mission.begins * MILLISECOND for action in run.actions[ready:]
        ):
            return "This run parts from the mission before it begins, so it does not count."
        used = next((act.verb for act in run.actions[ready:] if act.verb in mission.without), "")
        return f"This run used {used}, and the mission is one without it." if used else ""

    def _reached(self, used: int) -> str:
        done = f"Reached with {counted(used, 'action')}"
        if self.mission.impossible:
            return f"{done}, which should be impossible: the rule, or this mission, has a bug."
        if used < self.mission.best:
            return (
                f"{done}: better than the best way known so far, which takes {self.mission.best}."
            )
        best = "the best known way" if used == self.mission.best else "the best known way takes"
        return f"{done}: {best}{'' if used == self.mission.best else f' {self.mission.best}'}."

    def _ended(self) -> str:
        if self.mission.impossible:
            return f"Impossible: {self.mission.impossible}. {self.mission.because}"
        return f"Over. The best known way takes {counted(self.mission.best, 'action')}:"


def rehearse(mission: Mission) -> Verdict:
    """Play the solution of a mission, and return the verdict; without one, that of giving up.

    For who writes a mission.  Raises :class:`~kvraft.errors.BadInput` if the goal is reached before
    anybody acts, or before the last action of the solution, or not at all.
    """
    judge, run = Judge(mission), mission.begin()
    if judge.verdict(run).state is not State.OPEN:
        raise BadInput(f"{mission.name}.toml: the goal is reached before anybody acts")
    if mission.impossible:
        judge.give_up()
        return judge.verdict(run)
    play(run, mission.solution)
    with suppress(TimedOut):
        while judge.verdict(run).state is State.OPEN:
            run.step()
    verdict = judge.verdict(run)
    if verdict.state is not State.REACHED:
        raise BadInput(f"{mission.name}.toml: the field 'solution' does not reach the goal")
    if verdict.actions < mission.best:
        raise BadInput(
            f"{mission.name}.toml: the field 'solution' reaches the goal with "
            f"{counted(verdict.actions, 'action')}, so the others are not needed"
        )
    return verdict
