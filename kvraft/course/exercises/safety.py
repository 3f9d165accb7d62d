"""Lesson 03: a learner's schedule is replayed, and a learner's ``up_to_date`` elects leaders.

A schedule is a text in the language of scenarios (``check/scenario/``), steps only.  It is played
with members that commit entries of older terms by counting, and a
:class:`~kvraft.check.raft.RaftChecker` finds whether it breaks a property.  Its length is the
number of events: a message that arrives, a timeout, a crash, a restart, a proposal.  Losing a
message costs nothing, since it may as well be in flight forever.

A rule is first tried on all small pairs of logs, the smallest first.  Where it is wrong, the
explorer looks for a shortest run in which that breaks a property.  A rule that passes is explored,
too, from the situations in :data:`STARTS`.

Source: Raft §5.4.1 (whose log is at least as up-to-date), §5.4.2 and Figure 8.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from kvraft.check import Violation, scenario
from kvraft.check.bugs import OlderTermsCounted
from kvraft.check.explore import NO_TIME, ExplorationBounds, ExplorationReport, explore
from kvraft.check.raft import watch
from kvraft.check.scenario import Line
from kvraft.course.answers import yes_or_no
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import agrees, ends, need_answer, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.display import counted
from kvraft.errors import BadInput, KvraftError, NotLeader
from kvraft.events import MessageDelivered
from kvraft.raft import Raft, RequestVote, Role
from kvraft.raft import safety as rules
from kvraft.record import ORIGIN, HardState, Position
from kvraft.sim import Cluster

# ── a schedule ──────────────────────────────────────────────────────────────────────────────────

START = """Figure 8 (b) with three members: n1 as s1, n2 as s3, n3 as s5
members n1 n2 n3
options pre_vote=no check_quorum=no max_batch_bytes=1
log n1: 1
log n3: 2
term n1: 2
term n2: 2, vote n3
"""
"""n1 led term 1, and n3 term 2; each wrote an entry that no other member got."""

EVENTS = ("timeout", "crash", "restart", "propose")
STEPS = ("deliver", "drop", "duplicate", "settle", *EVENTS)
MOST = 12
"""The most events that a schedule may take."""


def start(consensus: type[Raft] = OlderTermsCounted, *, trace: bool = True) -> Cluster:
    """Return three members in the situation in which a schedule begins."""
    return scenario.parse(f"{START}settle", "start").cluster(consensus=consensus, trace=trace)


class Replay(NamedTuple):
    """The result of a schedule, up to the step that broke a property, if one did."""

    cluster: Cluster
    events: int
    violation: Violation | None


def replay(schedule: str, consensus: type[Raft] = OlderTermsCounted) -> Replay:
    """Play ``schedule``, one step a line.

    Raises :class:`~kvraft.errors.BadInput` if it is malformed."""
    cluster, done = start(consensus), 0
    watch(cluster)
    for number, text in enumerate(schedule.splitlines(), 1):
        if not (text := text.partition("#")[0].strip()):
            continue
        step = _read(number, text)
        done += text.split()[0] in EVENTS
        try:
            step.action(cluster)
        except Violation as violation:
            return Replay(cluster, done + _arrived(cluster), violation)
        except KvraftError as error:
            raise BadInput(f"line {number} cannot be executed: {error} (in: {text})") from error
    return Replay(cluster, done + _arrived(cluster), None)


def _read(number: int, text: str) -> Line:
    if text.split()[0] not in STEPS:
        raise BadInput(f"line {number} begins with none of {', '.join(STEPS)} (in: {text})")
    try:
        return scenario.parse(START + text).lines[0]
    except BadInput as error:
        raise BadInput(f"line {number}: {str(error).partition(': ')[2]}") from error


def _arrived(cluster: Cluster) -> int:
    return len(cluster.trace.of(MessageDelivered))


@exercise("03.2", functions=False)
def check_schedule(schedule: str) -> str:
    """Print whether ``schedule`` breaks a property in at most :data:`MOST` events."""
    need_answer(schedule, "write a schedule in place of the three dots, one step a line")
    if not isinstance(schedule, str):
        raise Broken("Give a text with one step a line.")
    try:
        played = replay(schedule)
    except BadInput as error:
        raise Wrong(f"In your schedule {error}.") from error
    events = counted(played.events, "event")
    if played.violation is None:
        raise Wrong(_missing(played.cluster), f"{events}, and no property is broken.")
    if played.events > MOST:
        raise Wrong(f"It does break {played.violation.property}, but in {events}.")
    if replay(schedule, Raft).violation is not None:
        raise Wrong("It breaks a property with the rule in place, too: please report that!")
    return f"{events}: {played.violation}. With the rule, nothing breaks."


def _missing(cluster: Cluster) -> str:
    """Return a hint for a schedule that broke no property."""
    rafts = cluster.rafts.values()
    known = max((raft.commit_index for raft in rafts), default=0)
    if not known and not any(raft.role is Role.LEADER for raft in rafts):
        return "No member leads at its end."
    if not known:
        return "No entry is committed: whose entry of an older term can a majority come to have?"
    return f"Entry {known} is committed: who lacks it, and can still be elected?"


# ── a rule ──────────────────────────────────────────────────────────────────────────────────────

UpToDateRule = Callable[[RequestVote, Position], bool]
"""``up_to_date(ask, last)``."""

LIMIT = 20_000
"""The number of states after which an exploration ends."""


class Logs(NamedTuple):
    """The ends of two logs: the candidate's and the voter's."""

    theirs: Position
    ours: Position

    def ask(self, rule: UpToDateRule) -> bool:
        """Return what ``rule`` decides for them."""
        term = max(self.theirs.term, self.ours.term) + 1
        return rule(RequestVote("n1", "n2", term, *self.theirs), self.ours)

    def __str__(self) -> str:
        return f"The candidate's log {ends(self.theirs)}, the voter's {ends(self.ours)}."


def situations() -> list[Logs]:
    """Return all pairs of short logs' ends, those of the shortest logs first."""
    last = [ORIGIN, *(Position(*end) for end in product(range(1, 5), range(1, 5)))]
    pairs = [Logs(theirs, ours) for theirs, ours in product(last, last)]
    return sorted(pairs, key=lambda pair: sum(pair.theirs) + sum(pair.ours))


def ruled(rule: UpToDateRule) -> type[Raft]:
    """Return the consensus module with ``rule`` for comparing logs; a vote is still given once."""

    class Ruled(Raft):
        @staticmethod
        def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
            return ask.term == term and vote in (None, ask.sender) and rule(ask, last)

    return Ruled


def committed_without_n3(consensus: type[Raft]) -> Cluster:
    """Return a cluster led by n1 in which an entry is committed that n3 never got."""
    cluster = Cluster(3, options=NO_TIME, consensus=consensus)
    cluster.timeout("n1")
    cluster.settle()
    cluster.propose("n1", "x")
    cluster.deliver(to="n2")
    cluster.drop(to="n3")
    cluster.deliver(to="n1")
    return cluster


def long_log_of_an_old_term(consensus: type[Raft]) -> Cluster:
    """Return a cluster with three entries of term 1 on n3, one of term 2 on n1, none committed."""
    return Cluster(
        3,
        options=NO_TIME,
        consensus=consensus,
        logs={"n1": [2], "n3": [1, 1, 1]},
        hard_states={name: HardState(2) for name in ("n1", "n2", "n3")},
    )


STARTS: tuple[tuple[Callable[[type[Raft]], Cluster], ExplorationBounds, str], ...] = (
    (
        committed_without_n3,
        ExplorationBounds(timeouts=1),
        "n1 has committed entry 2, which n3 never got",
    ),
    (
        long_log_of_an_old_term,
        ExplorationBounds(timeouts=2),
        "n3 has three entries of term 1, n1 has one of term 2, and n2 has none",
    ),
)
"""Where an exploration begins, its bounds, and the situation as text."""


@exercise("03.3")
def check_up_to_date(rule: UpToDateRule) -> str:
    """Print whether ``rule`` compares logs as Raft does, or where not, and the harm that does."""
    need_function(lambda: Logs(ORIGIN, ORIGIN).ask(rule))
    try:
        pairs = agrees(situations(), lambda pair: _compare(rule, pair))
    except Broken:
        raise
    except Wrong as wrong:
        raise Wrong("\n".join((wrong.words, *_consequence(rule))), wrong.case) from None
    with within("In a cluster"):
        try:
            reports = explored(rule)
        except NotLeader:
            raise Wrong("no member is elected, though all logs are empty.") from None
        for report in reports:
            if report.violation is not None:
                raise Wrong(f"it breaks a property: {report.violation}")
    states = sum(report.states for report in reports)
    return (
        f"It agrees with Raft on all {pairs} pairs of logs, and nothing broke in "
        f"{states:,} states that a cluster with it can reach."
    )


def _compare(rule: UpToDateRule, pair: Logs) -> str:
    """Return what is wrong with what ``rule`` decides, ``""`` if nothing is."""
    right = pair.ask(rules.up_to_date)
    answer = yes_or_no(lambda: pair.ask(rule))
    if answer == right:
        return ""
    return f"Your rule says {answer}, Raft {right}: {_reason(pair)}."


def _reason(pair: Logs) -> str:
    """Return which part of the rule decides here."""
    theirs, ours = pair
    if theirs == ours:
        return "two logs that end alike are equally up-to-date"
    if theirs.term != ours.term:
        which = "higher" if theirs.term > ours.term else "lower"
        return f"the term of its last entry is the {which} one, and that decides before any length"
    which = "longer" if theirs.index > ours.index else "shorter"
    return f"both end in the same term, and its is the {which} one"


def explored(rule: UpToDateRule) -> list[ExplorationReport]:
    """Explore what may happen under ``rule``; stop at the first violation.

    Raises :class:`~kvraft.errors.NotLeader` if no member is elected where all logs are empty.
    """
    reports: list[ExplorationReport] = []
    for begin, bounds, _ in STARTS:
        reports.append(explore(begin(ruled(rule)), bounds, limit=LIMIT))
        if reports[-1].violation is not None:
            break
    return reports


def _consequence(rule: UpToDateRule) -> list[str]:
    """Return, in lines, a shortest run in which a wrong rule breaks a property, if one is found."""
    try:
        reports = explored(rule)
    except NotLeader:
        return ["The result: three members with empty logs elect no leader."]
    except Broken:
        return []
    report, (_, _, where) = reports[-1], STARTS[len(reports) - 1]
    if report.violation is None:
        return []
    steps = [f"{number:4}. {step}" for number, step in enumerate(report.trace, 1)]
    return [f"What can happen where {where}:", *steps, f"Then {report.violation}"]
