"""A foreign consensus module as a guest: kvraft's clusters run it like their own.

A :class:`Guest` stands between a cluster and somebody's class.  It passes calls on, looks at every
answer before anybody relies on it, and works out by itself what can be seen of the member::

    Cluster ── tick, step, propose ──► Guest ──► MyRaft
            ◄── Ready, checked ─────── │  ◄───── Ready
                                       ╰ log, commit index, configuration, events

So an implementation needs little: of the constructor's arguments those that it wants, ``tick``,
``step``, ``propose``, ``has_ready``, ``ready``, ``advance``, and the attributes ``role`` and
``term``.  Its log is what it handed out to be saved, its commit index how far it handed out
committed entries.

Invariants:

- Whatever the foreign code raises or returns, the error that leaves here is a
  :class:`~kvraft.check.Violation`, or one with which a member refuses a request.
- Nothing is asked of it for the abilities that it lacks.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from random import Random
from types import CoroutineType, GeneratorType, TracebackType
from typing import Any, ClassVar

from kvraft.check.properties import Violation
from kvraft.check.trial.answers import AnswerChecker, check_applied, nonsense
from kvraft.check.trial.promises import METHODS, Ability
from kvraft.errors import BadInput, Busy, KvraftError, NotLeader
from kvraft.events import CommitAdvanced, EntriesSuperseded, EventSink, RoleChanged, ignore
from kvraft.raft import (
    Configuration,
    FollowerStatus,
    Log,
    Message,
    Raft,
    RaftOptions,
    Ready,
    Role,
)
from kvraft.record import Entry, HardState, Kind, Record

GIVEN = ("member", "configuration", "log", "hard_state")
GIVEN_IF_WANTED = ("random", "incarnation", "options", "committed", "cluster")
"""The arguments by name, of which a constructor is given those that it takes."""
METHODS_NEEDED = ("tick", "step", "propose", "has_ready", "ready", "advance")
READIES = 1_000
"""How many Readies may follow on one input."""
_REFUSALS = (NotLeader, Busy)


class Stuck(KvraftError):
    """A foreign implementation does not answer: nothing more can be judged."""


class Guest(Raft):
    """One member that runs a foreign module; :func:`guest_class` makes a class of it.

    ``make`` makes the foreign module, ``title`` is what reports call it.
    """

    make: ClassVar[Callable[..., Any]]
    title: ClassVar[str]
    abilities: ClassVar[Collection[Ability]]

    def __init__(
        self,
        member: str,
        configuration: Configuration,
        log: Log,
        hard_state: HardState,
        *,
        random: Random,
        incarnation: int,
        options: RaftOptions | None = None,
        committed: int = 0,
        cluster: str = "kvraft",
        report: EventSink = ignore,
    ) -> None:
        self._name, self._report = member, report
        self._options = options or RaftOptions()
        self._mine = Log(log.base, log.slice(log.first_index))
        self._vote, self._commit = hard_state.vote, committed
        self._known = [(log.base.index, configuration)]
        self._follow_configurations(self._mine.slice(log.first_index))
        self._check = AnswerChecker(self.title, member, cluster)
        self._readies = 0
        named = {
            "random": random,
            "incarnation": incarnation,
            "options": self._options,
            "committed": committed,
            "cluster": cluster,
        }
        own = Log(log.base, log.slice(log.first_index))  # it may do with it what it likes
        arguments = (member, configuration, own, hard_state)
        wanted = wanted_arguments(self.make, named)
        self._guest: Any = self._call("__init__", lambda: type(self).make(*arguments, **wanted))
        self._seen = (self.role, self.term)

    def _call(self, what: str, ask: Callable[[], Any]) -> Any:
        """Return what the foreign code returns; raise a violation for whatever it raises."""
        try:
            return ask()
        except (Violation, Stuck, *_REFUSALS):
            raise
        except (Exception, SystemExit) as error:
            raise self._raised(what, error) from None

    def _raised(self, what: str, error: BaseException) -> Violation:
        return nonsense(self._name, f"{self.title}.{what} raises {error_words(error)}")

    def _input(self, what: str, *arguments: object) -> Any:
        """Call a method with an input, and report what is new in its role."""
        self._readies = 0
        try:
            answer = getattr(self._guest, what)(*arguments)
        except (Violation, Stuck, *_REFUSALS):
            raise
        except (Exception, SystemExit) as error:
            raise self._raised(what, error) from None
        if isinstance(answer, GeneratorType | CoroutineType):
            answer.close()
            made = "async" if isinstance(answer, CoroutineType) else "a generator, by its yield"
            self._check.wrong(f".{what} is {made}, and nothing of it has run; make it a method")
        self._notice()
        return answer

    def _notice(self) -> None:
        now = (self.role, self.term)
        if now != self._seen:
            self._seen = now
            self._report(RoleChanged(now[0].value, now[1], self.leader or ""))

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────

    def tick(self, *, disk_full: bool = False) -> bool:
        """Pass one tick on."""
        self._input("tick")
        return True

    def timeout(self) -> None:
        """Run the timer out: by its own method, or by as many ticks as a timer can take."""
        if callable(getattr(self._guest, "timeout", None)):
            self._input("timeout")
            return
        for _ in range(self._options.election_ticks + self._options.spread_ticks):
            self.tick()
            if self.has_ready():
                return

    def step(self, message: Message) -> bool:
        """Pass a message on."""
        self._input("step", message)
        return True

    def propose(self, records: Sequence[Record]) -> tuple[int, int]:
        """Propose records; return where they are."""
        last, records = self._mine.last_index, tuple(records)
        return self._check.place(self._input("propose", records), len(records), last)

    def propose_change(self, voters: Sequence[str], learners: Sequence[str] = ()) -> int:
        """Propose other members; return the entry's index."""
        answer = self._ask_ability("propose_change", tuple(voters), tuple(learners))
        return self._check.number("a change of members at", answer)

    def transfer_leader(self, to: str) -> None:
        """Begin a transfer of leadership."""
        self._ask_ability("transfer_leader", to)

    def read_index(self, token: int) -> None:
        """Ask for a read."""
        self._ask_ability("read_index", token)

    def compact(self, index: int, snapshot: Any = None) -> None:
        """Have it forget entries, unless it cannot: then nobody truncates its log either."""
        if Ability.SNAPSHOTS in self.abilities:
            self._ask_ability("compact", index, snapshot)
            if index > self._mine.base.index:
                self._known = [(index, self.configuration_at(index)), *self._after(index)]
                self._mine.drop_through(index)

    def _ask_ability(self, what: str, *arguments: object) -> Any:
        """Call a method of an ability, which may refuse a request that makes no sense."""
        try:
            self._readies = 0
            answer = getattr(self._guest, what)(*arguments)
        except (BadInput, *_REFUSALS):
            raise
        except (Exception, SystemExit) as error:
            raise self._raised(what, error) from None
        self._notice()
        return answer

    # ── outputs ─────────────────────────────────────────────────────────────────────────────────

    def has_ready(self) -> bool:
        """Return whether it has anything to do, which must end."""
        more = bool(self._call("has_ready", lambda: self._guest.has_ready()))
        if more and self._readies > READIES:
            self._check.wrong(f"still has a Ready after {READIES:,} of them, without any input")
        return more

    def ready(self) -> Ready:
        """Return what it asks for, checked, and take note of it."""
        self._readies += 1
        answer = self._call("ready", lambda: self._guest.ready())
        ready = self._check.ready(answer, self._mine, self._commit)
        if ready.hard_state is not None:
            self._vote = ready.hard_state.vote
        if ready.snapshot is not None:
            last, configuration, _ = ready.snapshot
            self._mine.reset(last)
            self._known, self._commit = [(last.index, configuration)], last.index
        if ready.entries:
            self._take_entries(ready.entries)
        if ready.committed:
            check_applied(self._name, ready.committed, self._mine)
            self._commit = ready.committed[-1].index
            self._report(CommitAdvanced(self._commit))
        return ready

    def _take_entries(self, entries: Sequence[Entry]) -> None:
        first = entries[0].index
        if first <= self._mine.last_index:
            self._report(EntriesSuperseded(first, self._mine.last_index))
            self._mine.truncate_from(first)
            self._known = [known for known in self._known if known[0] < first]
        self._mine.append(entries)
        self._follow_configurations(entries)

    def _follow_configurations(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.record.kind is Kind.CONFIGURATION:
                found = Configuration.from_bytes(entry.record.value)
                self._known.append((entry.index, found))

    def _after(self, index: int) -> list[tuple[int, Configuration]]:
        return [known for known in self._known if known[0] > index]

    def advance(self) -> None:
        """Report that all of the last Ready is done."""
        self._call("advance", lambda: self._guest.advance())
        self._notice()

    # ── looking at it ───────────────────────────────────────────────────────────────────────────

    @property
    def member(self) -> str:
        """The name of this member."""
        return self._name

    @property
    def options(self) -> RaftOptions:
        """The options it was made with."""
        return self._options

    @property
    def role(self) -> Role:
        """Its role, as it says."""
        try:  # not by _call: it is looked at after each step, and by each checker
            role = self._guest.role
        except (Exception, SystemExit) as error:
            raise self._raised("role", error) from None
        return role if type(role) is Role else self._check.role(role)

    @property
    def term(self) -> int:
        """Its term, as it says."""
        try:
            term = self._guest.term
        except (Exception, SystemExit) as error:
            raise self._raised("term", error) from None
        return self._check.number("the term", term)

    @property
    def vote(self) -> str | None:
        """The vote that it asked to save last."""
        return self._vote

    @property
    def leader(self) -> str | None:
        """The leader that it knows, if it says."""
        known = getattr(self._guest, "leader", None)
        return known if isinstance(known, str) else None

    @property
    def log(self) -> Log:
        """The log: what it handed out to be saved."""
        return self._mine

    @property
    def commit_index(self) -> int:
        """How far it handed out committed entries."""
        return self._commit

    @property
    def durable_index(self) -> int:
        """The last index: disks of a cluster are instant."""
        return self._mine.last_index

    @property
    def configuration(self) -> Configuration:
        """The newest configuration in its log."""
        return self._known[-1][1]

    @property
    def configuration_index(self) -> int:
        """The index that it comes from."""
        return self._known[-1][0]

    def configuration_at(self, index: int) -> Configuration:
        """Return the configuration as of ``index``."""
        return next(made for at, made in reversed(self._known) if at <= index)

    @property
    def lease(self) -> bool:
        """Whether it holds a lease, if it can."""
        return Ability.LEASES in self.abilities and bool(getattr(self._guest, "lease", False))

    @property
    def followers(self) -> dict[str, FollowerStatus]:
        """Nothing: what a foreign leader knows of its followers is its own business."""
        return {}


def guest_class(
    make: Callable[..., Any], title: str, abilities: Collection[Ability]
) -> type[Guest]:
    """Return the class of guests that ``make`` makes."""
    contents = {"make": staticmethod(make), "title": title, "abilities": frozenset(abilities)}
    return type(f"Guest_{title.rpartition(':')[2]}", (Guest,), contents)


def abilities_of(kind: object) -> list[Ability]:
    """Return the abilities that a class has methods for."""
    return [ability for ability, method in METHODS.items() if hasattr(kind, method)]


def check_methods(kind: type, title: str) -> None:
    """Raise ``BadInput`` unless a class has the methods that a consensus module needs."""
    missing = [name for name in METHODS_NEEDED if not callable(getattr(kind, name, None))]
    if missing:
        raise BadInput(
            f"{title} lacks the method{'s' * (len(missing) > 1)} {', '.join(missing)}: a consensus "
            f"module has {', '.join(METHODS_NEEDED)}, and the attributes role and term"
        )
    try:
        signature = inspect.signature(kind)
    except (TypeError, ValueError):  # of a class written in C
        return
    try:
        signature.bind(*GIVEN, **wanted_arguments(kind, dict.fromkeys(GIVEN_IF_WANTED)))
    except TypeError as error:
        raise BadInput(
            f"{title} cannot be made: {error}; it is given {', '.join(GIVEN)}, and by name what it "
            f"takes of {', '.join(GIVEN_IF_WANTED)}"
        ) from None


def wanted_arguments(make: Callable[..., Any], named: dict[str, Any]) -> dict[str, Any]:
    """Return those of the ``named`` arguments that ``make`` takes."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # of a class written in C
        return named
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return named
    takes = {each.name for each in parameters}
    return {name: value for name, value in named.items() if name in takes}


def error_words(error: BaseException) -> str:
    """Return what was raised and where, in a few words."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}{f': {text:.200}' if text else ''}{_place(error.__traceback__)}"


_PACKAGE = str(Path(__file__).parents[2])


def _place(traceback: TracebackType | None) -> str:
    """Return the last line of foreign code in a traceback."""
    place = ""
    while traceback is not None:
        file, number = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        if not file.startswith(_PACKAGE):
            text = linecache.getline(file, number).strip()
            place = f" ({Path(file).name}, line {number}{f': {text:.80}' if text else ''})"
        traceback = traceback.tb_next
    return place
