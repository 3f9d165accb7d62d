"""A run as a value: members, seed, options and actions, from which all else follows.

A :class:`Run` has a world, and is the way to touch it: what is done through it can be replayed,
forked and saved.  Look at :attr:`Run.world`, but act through the run.

Invariants:

- An action at microsecond *t* comes after all that was due at or before *t*; so the world stands
  still only after the last step of a microsecond.  With that, the same members, seed, options and
  actions give the same trace, byte for byte.
- A fork shares nothing with its original that changes.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from kvraft import __version__, inputs
from kvraft.client import Client
from kvraft.errors import BadInput, KvraftError, TimedOut
from kvraft.events import Trace
from kvraft.raft import Raft
from kvraft.replica import Replica, ReplicaOptions
from kvraft.sim.runs.action import Action, Argument
from kvraft.sim.runs.file import (
    LONGEST_RUN,
    MOST_ACTIONS,
    RunRecord,
    footprint,
    parse_run,
    read_run,
)
from kvraft.sim.runs.ladder import Ladder, copy_world
from kvraft.sim.runs.verb import NotNow, Verb
from kvraft.sim.runs.verbs import find_verb
from kvraft.sim.timeline import MILLISECOND
from kvraft.sim.world import World


class Run:
    """A world of ``members`` under ``seed``, after the ``actions``, which are its whole history.

    ``members``, ``options``, ``reorder``, ``consensus``, ``replica`` and ``client`` are those of a
    :class:`~kvraft.sim.World`.  Raises :class:`~kvraft.errors.BadInput` for invalid arguments, here
    and in every method.
    """

    def __init__(
        self,
        members: int | Sequence[str] = 3,
        *,
        seed: int = 0,
        options: ReplicaOptions | None = None,
        actions: Iterable[Action] = (),
        reorder: bool = False,
        consensus: type[Raft] = Raft,
        replica: type[Replica] = Replica,
        client: type[Client] = Client,
    ) -> None:
        self.members = inputs.members(members)
        self.seed = seed
        self.options = ReplicaOptions() if options is None else options
        self.reorder = reorder
        self.consensus, self.replica, self.client = consensus, replica, client
        self.world = World(
            self.members,
            seed=seed,
            options=self.options,
            reorder=reorder,
            consensus=consensus,
            replica=replica,
            client=client,
        )
        """The world as it is now: to look at."""
        self.difference = ""
        """How it differs from the file that it was loaded from, if another kvraft wrote that."""
        self._actions: list[Action] = []
        self._began: list[int] = []  # of each action: how many steps the trace had before it
        self._ladder = Ladder()
        self._ladder.add(self.world, 0)
        self._replay(actions)

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def trace(self) -> Trace:
        """All events so far."""
        return self.world.trace

    @property
    def now(self) -> int:
        """Microseconds since the start of the world."""
        return self.world.now

    @property
    def actions(self) -> tuple[Action, ...]:
        """What was done so far, in order."""
        return tuple(self._actions)

    @property
    def steps_before(self) -> tuple[int, ...]:
        """How many steps the trace had before each action: its first step has that number."""
        return tuple(self._began)

    def __repr__(self) -> str:
        return f"<Run of {len(self._actions)} actions: {self.world!r}>"

    def at(self, step: int) -> World:
        """Return a copy of the world as it was after ``step`` of the trace: to look at.

        It is the world after the last step of that microsecond, or before the next action in it.
        """
        return self.fork(step).world

    # ── acting ──────────────────────────────────────────────────────────────────────────────────

    def refusal(self, verb: str, *arguments: object, **named: object) -> str:
        """Return in one sentence why this cannot be done now, ``""`` if it can."""
        try:
            self._check(verb, arguments, named)
        except BadInput as error:
            return str(error)
        return ""

    def act(self, verb: str, *arguments: object, **named: object) -> Action:
        """Do what ``verb`` says (:data:`~kvraft.sim.VERBS`) with ``arguments``, and return it.

        Raises :class:`~kvraft.errors.BadInput` with what :meth:`refusal` returns, and
        :class:`~kvraft.errors.Busy` if the leader cannot do it now; then nothing was done.
        """
        self.perform(verb, *arguments, **named)
        return self._actions[-1]

    def perform(self, verb: str, *arguments: object, **named: object) -> Any:
        """Do the same as :meth:`act`, and return what comes of it: a ticket, a pending read.

        For most verbs that is nothing.
        """
        self.run_to(self.now)
        found, bound = self._check(verb, arguments, named)
        steps = len(self.trace)
        result = found.do(self.world, *bound)
        self._actions.append(Action(self.now, verb, found.shortened(bound)))
        self._began.append(steps)
        return result

    def _check(
        self, verb: str, arguments: Sequence[object], named: Mapping[str, object]
    ) -> tuple[Verb, tuple[Argument, ...]]:
        """Return the verb and its arguments; raise ``BadInput`` if it cannot be done now."""
        found = find_verb(verb)
        bound = found.bind(self.world, arguments, named)
        if why := found.refuse(self.world, *bound):
            raise NotNow(f"{verb}: {why}")
        if len(self._actions) >= MOST_ACTIONS:
            raise BadInput(f"a run can have {MOST_ACTIONS:,} actions, and this one has them")
        return found, bound

    # ── going on ────────────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """Advance to the next microsecond in which anything happens, and execute all of it."""
        if self.world.time.next is None:
            raise TimedOut("nothing will ever happen: no member runs and no client waits")
        self.run_to(self.world.time.next)

    def run_for(self, millis: int) -> None:
        """Run for ``millis`` milliseconds."""
        millis = inputs.whole_number(millis, "a time to run for", minimum=0)
        self.run_to(self.now + millis * MILLISECOND)

    def run_until(self, condition: Callable[[], bool], *, limit: int = 60_000) -> None:
        """Run until ``condition`` holds; :class:`~kvraft.errors.TimedOut` after ``limit`` ms."""
        inputs.function(condition, "what is waited for")
        until = self.now + inputs.whole_number(limit, "the limit", minimum=0) * MILLISECOND
        while not condition():
            due = self.world.time.next
            if due is None or due > until:
                raise TimedOut(f"what was waited for did not happen within {limit} ms")
            self.run_to(due)

    def run_to(self, until: int) -> None:
        """Do all that is due by ``until``, in microseconds, and take the rungs on the way."""
        world, time = self.world, self.world.time
        if until > LONGEST_RUN * MILLISECOND:
            raise BadInput(f"a run can last {LONGEST_RUN // 1_000} s, and this would be more")
        while (due := time.next) is not None and due <= until:
            if len(self.trace) >= self._ladder.due and due > time.now:  # between two microseconds
                self._ladder.add(world, len(self._actions))
            world.step()
        time.now = until

    def _replay(self, actions: Iterable[Action]) -> None:
        """Do ``actions``, each at its time."""
        for at, verb, arguments in actions:
            if at < self.now:
                raise BadInput(f"actions come in order of time: {verb} at {at} is after {self.now}")
            self.run_to(at)
            self.act(verb, *arguments)

    # ── going back ──────────────────────────────────────────────────────────────────────────────

    def fork(self, step: int | None = None, *, at: int | None = None) -> Run:
        """Return another run that has the same past and a future of its own.

        It begins now, or after ``step`` of the trace (see :meth:`at`), or ``at`` microseconds.
        """
        moment, count = self._moment(step, at)
        twin = copy.copy(self)
        rung = self._ladder.below(moment, count)
        twin._ladder = self._ladder.through(rung)
        if (moment, count) == (self.now, len(self._actions)):
            twin.world = copy_world(self.world, self.trace)
            twin._actions, twin._began = list(self._actions), list(self._began)
        else:
            twin.world = copy_world(rung.world, islice(self.trace, rung.steps))
            twin._actions, twin._began = self._actions[: rung.actions], self._began[: rung.actions]
            twin._replay(self._actions[rung.actions : count])
            twin.run_to(moment)
        return twin

    def _moment(self, step: int | None, at: int | None) -> tuple[int, int]:
        """Return the time of a moment, and how many actions were done by then."""
        if step is not None and at is not None:
            raise BadInput("a fork begins after a step or at a time, not both")
        if step is not None:
            steps = len(self.trace)
            if not 0 <= inputs.whole_number(step, "the number of a step") < steps:
                raise BadInput(f"the trace has steps 0 to {steps - 1}, not {step}")
            return self.trace[step].at, bisect_right(self._began, step)
        if at is None:
            return self.now, len(self._actions)
        if not 0 <= inputs.whole_number(at, "a time in microseconds") <= self.now:
            raise BadInput(f"the past of this run is 0 to {self.now} microseconds, not {at}")
        return at, bisect_right(self._actions, at, key=attrgetter("at"))

    # ── files ───────────────────────────────────────────────────────────────────────────────────

    def record(self, moment: tuple[int, int] | None = None) -> RunRecord:
        """Return what a run file says of it: up to now, or up to an earlier moment.

        That is a time in microseconds, and how many steps the trace had then, when all actions
        until that time were done.
        """
        until, steps = moment or (self.now, len(self.trace))
        return RunRecord(
            __version__,
            self.members,
            self.seed,
            self.options,
            self.reorder,
            _foreign(self.consensus, Raft),
            _foreign(self.replica, Replica),
            _foreign(self.client, Client),
            until,
            footprint(self.trace[:steps]),
            tuple(action for action in self._actions if action.at <= until),
        )

    def to_text(self) -> str:
        """Return the text of a run file (runs/file.py)."""
        return self.record().to_text()

    def save(self, path: str | Path) -> None:
        """Write a run file."""
        Path(path).write_text(self.to_text(), encoding="ascii", newline="\n")

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        consensus: type[Raft] | None = None,
        replica: type[Replica] | None = None,
        client: type[Client] | None = None,
    ) -> Run:
        """Return the run that :meth:`save` wrote, replayed; see :meth:`parse`."""
        text = read_run(path)
        return cls.parse(text, str(path), consensus=consensus, replica=replica, client=client)

    @classmethod
    def parse(
        cls,
        text: str,
        name: str = "run",
        *,
        consensus: type[Raft] | None = None,
        replica: type[Replica] | None = None,
        client: type[Client] | None = None,
    ) -> Run:
        """Return the run in ``text``, replayed; errors call it ``name``.

        ``consensus``, ``replica`` and ``client`` are the classes that it ran, if not kvraft's own.
        Raises :class:`~kvraft.errors.BadInput` if the file is damaged or needs other classes, and
        if it does not replay to the letter.  A file of another version of kvraft may not: then the
        run is what this version makes of it, and :attr:`difference` says where it differs.
        """
        record = parse_run(text, name)
        _check_class("consensus", record.consensus, consensus, Raft, name)
        _check_class("replica", record.replica, replica, Replica, name)
        _check_class("client", record.client, client, Client, name)
        run = cls.begin(record, consensus=consensus, replica=replica, client=client)
        refused = run._play(record, name)
        run.difference = record.footprint.difference(run.trace) or refused
        run.difference += f"; {refused}" if refused and refused != run.difference else ""
        if run.difference and record.version == __version__:
            raise BadInput(f"{name} does not replay to the letter: {run.difference}")
        return run

    @classmethod
    def begin(
        cls,
        record: RunRecord,
        *,
        consensus: type[Raft] | None = None,
        replica: type[Replica] | None = None,
        client: type[Client] | None = None,
    ) -> Run:
        """Return the run of a file as it was at its beginning, before any of its actions."""
        return cls(
            record.members,
            seed=record.seed,
            options=record.options,
            reorder=record.reorder,
            consensus=consensus or Raft,
            replica=replica or Replica,
            client=client or Client,
        )

    def _play(self, record: RunRecord, name: str) -> str:
        """Do what a file says; return why it had to stop early, ``""`` if it had not to."""
        for line, action in enumerate(record.actions, 2):
            try:
                self._replay([action])
            except KvraftError as error:
                return f"{name}, line {line}: {error}"
        self.finish(record)
        return ""

    def finish(self, record: RunRecord) -> None:
        """Go on to the end of a file, after its last action.

        If that is in the same microsecond, what the action left to be done may not be done yet.
        """
        if self.now < record.until or len(self.trace) < record.footprint.steps:
            self.run_to(record.until)


def _foreign(code: type, own: type) -> str:
    """Return the name of a class that is not kvraft's own, ``""`` for its own."""
    return "" if code is own else code.__name__


def _check_class(what: str, wanted: str, given: type | None, own: type, name: str) -> None:
    """Raise ``BadInput`` unless the class that is given is the one that a file names."""
    found = "" if given is None else _foreign(given, own)
    if found == wanted:
        return
    passed = f"{what}={found or own.__name__}" if given else f"no {what}"
    needed = f"the class {wanted}: pass it as {what}=" if wanted else f"kvraft's own {own.__name__}"
    raise BadInput(f"{name}, line 1: this run needs {needed}, and was given {passed}")
