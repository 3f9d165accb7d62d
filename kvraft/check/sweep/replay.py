"""Run files on the bench: replayed with every checker, and made small action by action.

::

    run file ──► judge_record ──► the property that broke, at which step of the trace
                   ╰─ each action at its time, one that cannot be done is left out; then the end
    shrink_record ──► without these actions? this member? these writes? this pause? ──► what is left

A record that is returned here ends in the microsecond in which the property broke, or a start
failed: opened in the sandbox, that is the moment it shows.  What broke only in the code under test,
which failed in the middle of a step, ends one microsecond before it, so that it can be opened; and
what showed only after everything was repaired (liveness, the answers of clients) ends with the last
action.

Invariant: each record that is returned was replayed, and broke the property that it names.

Source: Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kvraft.check.bugs import Bug
from kvraft.check.properties import Violation
from kvraft.check.shrink import shrink
from kvraft.check.sweep.judged import JudgedRun
from kvraft.display import counted
from kvraft.errors import BadInput, Busy, NotLeader
from kvraft.sim import MILLISECOND, VERBS, Action, Argument, Run, RunRecord

NONE = Bug("none")
"""Kvraft's own classes."""
BUDGET = 400
"""How many smaller runs are tried."""


def broken_by(error: Exception | None) -> str:
    """Return the property that is broken, the type of any other error, ``""`` for none."""
    if isinstance(error, Violation):
        return str(error.property)
    return "" if error is None else type(error).__name__


@dataclass(frozen=True, slots=True)
class Judgement:
    """How ``run`` went: ``error`` is what was found, if anything, at ``step`` of its trace.

    ``record`` is what was done until then, ``left_out`` what could not be done, and ``played`` how
    many steps the trace had at the end of the file.  ``late`` is whether it was found only after
    that, when everything was repaired.
    """

    error: Exception | None
    step: int
    run: Run
    record: RunRecord
    left_out: tuple[Action, ...]
    played: int
    late: bool

    @property
    def broken(self) -> str:
        """The property that broke, the type of any other error, ``""`` for none."""
        return broken_by(self.error)

    @property
    def sentence(self) -> str:
        """What was found, and where."""
        if self.error is None:
            return f"Nothing breaks: {counted(self.step + 1, 'step')} with every checker."
        at = self.run.trace[self.step].at / 1_000 if self.step >= 0 else 0
        what = self.error.what if isinstance(self.error, Violation) else str(self.error)
        return f"“{self.broken}” breaks at step {self.step:,} ({at:,.1f} ms): {what}"


def judge_record(record: RunRecord, code: Bug = NONE, *, to_end: bool = True) -> Judgement:
    """Replay a run file with every checker, in members and clients of the classes in ``code``.

    Without ``to_end`` it is not repaired afterwards, nor are clients served again.
    """
    run = Run.begin(record, consensus=code.consensus, replica=code.replica, client=code.client)
    left_out: list[Action] = []
    judged = JudgedRun(run)
    error: Exception | None = None
    played = 0
    try:
        _play(judged, record, left_out)
        played = len(run.trace)
        judged.look()
        if run.world.time.has_due(record.until + 1):  # a step in which the code under test failed
            run.run_to(record.until + 1)
        if to_end:
            judged.repair()
            judged.end()
    except Exception as found:
        error = found
    step = len(run.trace) - 1
    late = judged.ends_at is not None
    if late:  # the repair does not belong to what was done
        kept = run.record((record.until, played))
    judged.stop(error)
    if not late:
        kept = judged.record()
    played = played or len(run.trace)
    run.world.close()
    return Judgement(error, step, run, kept, tuple(left_out), played, late)


def _play(judged: JudgedRun, record: RunRecord, left_out: list[Action]) -> None:
    """Do each action at its time, and note those that cannot be done."""
    for action in record.actions:
        judged.run.run_to(action.at)
        try:
            judged.do(action.verb, *action.arguments)
        except (BadInput, Busy, NotLeader) as refusal:
            if refusal is judged.failed_start:
                raise
            left_out.append(action)
    judged.run.finish(record)


# ── smaller ─────────────────────────────────────────────────────────────────────────────────────


def shrink_record(
    record: RunRecord,
    code: Bug = NONE,
    *,
    budget: int = BUDGET,
    alive: Callable[[], object] = lambda: None,
) -> Judgement:
    """Return a run that breaks what ``record`` breaks, with as little as possible.

    ``alive`` is called before each run.  Raises :class:`~kvraft.errors.BadInput` if ``record``
    breaks nothing.
    """
    first = judge_record(record, code)
    if not first.broken:
        raise BadInput("nothing breaks in this run, so it cannot be made smaller")
    smaller = _Smaller(first, code, budget, alive)
    smaller.drop_verbs()
    smaller.drop_actions()
    smaller.drop_members()
    smaller.simplify()
    smaller.hurry()
    smaller.drop_actions()
    return smaller.best


class _Smaller:
    """A run that is made smaller: ``best`` is the smallest so far that breaks the same."""

    def __init__(
        self, first: Judgement, code: Bug, budget: int, alive: Callable[[], object]
    ) -> None:
        self.best, self._code, self._budget, self._alive = first, code, budget, alive
        self._broken = first.broken

    @property
    def _actions(self) -> tuple[Action, ...]:
        return self.best.record.actions

    def _try(self, **changes: object) -> bool:
        """Try the best run with changes, and keep it if it breaks the same."""
        if self._budget <= 0:
            return False
        self._budget -= 1
        self._alive()
        record = replace(self.best.record, **changes)  # type: ignore[arg-type]
        found = judge_record(record, self._code, to_end=self.best.late)
        if found.broken == self._broken:
            self.best = found
        return found.broken == self._broken

    def drop_verbs(self) -> None:
        """Leave out all actions of a verb at once, the verb with the most of them first."""
        for verb, _ in Counter(action.verb for action in self._actions).most_common():
            self._try(actions=tuple(each for each in self._actions if each.verb != verb))

    def drop_actions(self) -> None:
        """Leave out actions, until each that is left is needed."""

        def breaks(actions: Sequence[Action]) -> bool:
            return self._try(actions=tuple(actions))

        shrink(self._actions, breaks, budget=self._budget)

    def drop_members(self) -> None:
        """Leave out members, with all that is done to them by name."""
        for name in reversed(self.best.record.members):
            others = tuple(other for other in self.best.record.members if other != name)
            actions = tuple(each for each in self._actions if name not in each.arguments)
            if others:
                self._try(members=others, actions=actions)

    def simplify(self) -> None:
        """Make single actions simpler, the last first."""
        for place in reversed(range(len(self._actions))):
            for simpler in _simpler(self._actions[place]) if place < len(self._actions) else ():
                before, after = self._actions[:place], self._actions[place + 1 :]
                if self._try(actions=(*before, simpler, *after)):
                    break

    def hurry(self) -> None:
        """Let less time pass: none after the last action, and none or half of it before each."""
        if self.best.late and self._actions:
            self._try(until=self._actions[-1].at)
        for place in reversed(range(len(self._actions))):
            if place < len(self._actions):
                before = self._actions[place - 1].at if place else 0
                pause = self._actions[place].at - before
                if pause >= MILLISECOND:
                    self._hasten(place, pause) or self._hasten(place, pause // 2)

    def _hasten(self, place: int, micros: int) -> bool:
        before, after = self._actions[:place], self._actions[place:]
        moved = tuple(action._replace(at=action.at - micros) for action in after)
        return self._try(actions=before + moved, until=self.best.record.until - micros)


def _simpler(action: Action) -> Iterator[Action]:
    """Yield what is simpler than an action: with defaults, fewer writes, shorter values."""
    parameters, given = VERBS[action.verb].parameters, action.arguments
    least = sum(parameter.default is None for parameter in parameters)
    for count in range(least, len(given)):
        yield action._replace(arguments=given[:count])
    for number, argument in enumerate(given):
        if isinstance(argument, tuple) and argument and isinstance(argument[0], tuple):
            yield from (_with(action, number, (row,)) for row in argument)
            yield _with(action, number, tuple(_shorter(row) for row in argument))


def _with(action: Action, number: int, argument: Argument) -> Action:
    arguments = list(action.arguments)
    arguments[number] = argument
    return action._replace(arguments=tuple(arguments))


def _shorter(row: Argument) -> Argument:
    """Return a pair of a key and a value with a short value."""
    if isinstance(row, tuple) and len(row) == 2 and isinstance(row[1], str):
        return (row[0], row[1].split(" ")[0][:8])
    return row


def history_lines(record: RunRecord) -> Iterator[str]:
    """Yield a line for each action of a run: when, and what is done."""
    for at, verb, arguments in record.actions:
        words = [_groups(*arguments)] if verb == "partition" else map(_word, arguments)
        yield f"{at / 1_000:>10,.1f} ms  {' '.join([verb.replace('_', ' '), *words])}"


def _groups(argument: Argument) -> str:
    """Return the groups into which a network falls; all others are in one more."""
    groups = argument if isinstance(argument, tuple) else ()
    return " | ".join(" ".join(map(str, group)) for group in groups if isinstance(group, tuple))


def _word(argument: Argument) -> str:
    if isinstance(argument, tuple):
        rows = [row for row in argument if isinstance(row, tuple)]
        if rows and all(len(row) == 2 and row[1] is None for row in rows):
            return " ".join(f"{row[0]}=" for row in rows)
        if rows and all(len(row) == 2 for row in rows):
            return " ".join(f"{row[0]}={row[1] or ''!s:.20}" for row in rows)
        return f"({' '.join(map(_word, argument))})"
    return "“”" if argument == "" else f"{argument!s:.30}"
