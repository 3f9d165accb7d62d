"""The trial of a replica: whole clusters of it in runs of the swarm, with every checker.

A replica is a subclass of :class:`~kvraft.replica.Replica`, which clients and faults meet as they
meet kvraft's own.  A run stops at the first thing that breaks, so what is reported is what broke
first; it is made small by leaving out acts, then actions (check/sweep), and is a run file::

    seed 1, 2, 3, … ──► SwarmRun ──► what broke first ──► fewer acts ──► fewer actions

>>> from kvraft.replica import Replica
>>> judge_replica(Replica, runs=1).verdict("one state machine").outcome.value
'holds'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvraft import inputs
from kvraft.check.bugs import Bug
from kvraft.check.history import Promise as Answers
from kvraft.check.invariants import MARKS
from kvraft.check.liveness import Liveness
from kvraft.check.properties import Property, Violation
from kvraft.check.shrink import shrink
from kvraft.check.storage import RetentionProperty
from kvraft.check.sweep import (
    Judgement,
    SwarmRun,
    error_of,
    history_lines,
    judge_record,
    shrink_record,
)
from kvraft.check.trial.guest import error_words
from kvraft.check.trial.promises import Promise
from kvraft.check.trial.report import Outcome, Report, Verdict
from kvraft.replica import Replica
from kvraft.sim import RunRecord

RUNS = 20
"""How many runs a trial of a replica has."""
SHRINKING = 100
"""How many runs are tried to shrink one finding."""

REPLICA: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            Promise.ANSWERS,
            *Property,
            MARKS,
            "nothing is forgotten",
            *RetentionProperty,
            *Answers,
            "all or none",
            *Liveness,
            "progress",
        )
    )
)
"""What a replica is judged by, in the order of the report."""


def judge_replica(
    made: type[Replica],
    *,
    title: str = "",
    runs: int = RUNS,
    seed: int = 1,
    alive: Callable[[], object] = lambda: None,
    shrinking: int = SHRINKING,
) -> Report:
    """Judge a class of replicas; the arguments are those of ``judge_consensus``.

    Raises :class:`~kvraft.errors.BadInput` for numbers that make no sense.
    """
    inputs.whole_number(runs, "the number of runs", minimum=1)
    inputs.whole_number(seed, "a seed", minimum=0)
    trial = _Trial(made, runs, alive, shrinking)
    found: dict[str, Verdict] = {}
    for number in range(1, runs + 1):
        name, what, run = trial.play(seed + number - 1)
        if name and name not in found:
            found[name] = trial.shrunk(name, what, number, run)
    names = [*REPLICA, *(name for name in found if name not in REPLICA)]
    verdicts = [found.get(name) or Verdict(name, Outcome.HOLDS, runs) for name in names]
    return Report(title or made.__name__, "replica", runs, seed, verdicts)


class _Trial:
    def __init__(
        self, made: type[Replica], runs: int, alive: Callable[[], object], shrinking: int
    ) -> None:
        self._made, self._runs, self._alive, self._shrinking = made, runs, alive, shrinking

    def play(self, seed: int, only: Sequence[int] | None = None) -> tuple[str, str, SwarmRun]:
        """Play a run; return what broke in it, if anything, how, and the run."""
        self._alive()
        run = SwarmRun(seed, replica=self._made, only=only)
        error = error_of(run)
        if isinstance(error, Violation):
            return error.property, error.what, run
        return (Promise.ANSWERS, f"it raises {error_words(error)}", run) if error else ("", "", run)

    def shrunk(self, name: str, what: str, number: int, run: SwarmRun) -> Verdict:
        """Return the verdict on what broke in the run of that number, made small."""
        acts, first = [act for act, _ in run.acted], run.judged.record()

        def breaks(only: Sequence[int]) -> bool:
            return self.play(run.seed, only)[0] == name

        few = shrink(acts, breaks, budget=self._shrinking)
        if len(few) < len(acts):
            _, what, run = self.play(run.seed, few)
        record, of = run.judged.record(), len(first.actions)
        small = self._fewer_actions(name, record)
        if small is None:  # it broke only as the swarm has it, such as in a look that came then
            lines = [(line, len(run.trace)) for line in history_lines(record)]
            shrunk = lines, of, record.to_text(), run.trace
        else:
            trace = small.run.trace[: small.step + 1]
            ends = [*small.run.steps_before[1:], len(trace)]
            words = list(history_lines(small.record)) or ["elect a leader"]
            lines = list(zip(words, ends, strict=False))
            what = small.error.what if isinstance(small.error, Violation) else what
            shrunk = lines, of, small.record.to_text(), trace
        return Verdict(name, Outcome.BROKEN, self._runs, number, what, *shrunk)

    def _fewer_actions(self, name: str, record: RunRecord) -> Judgement | None:
        """Return the smallest run that breaks the same, ``None`` if its actions alone do not."""
        code = Bug("on trial", replica=self._made)
        self._alive()
        first = judge_record(record, code)
        property = first.broken if isinstance(first.error, Violation) else Promise.ANSWERS
        if not first.broken or property != name:
            return None
        self._alive()
        return shrink_record(record, code, budget=2 * self._shrinking, alive=self._alive)
