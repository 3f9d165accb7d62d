"""Lesson 01: a learner's ``grant_vote`` and a learner's timeouts are tried.

A rule is first tried in all small situations, the smallest first, so that the one printed is the
shortest in which it is wrong.  A rule that passes votes in :data:`STORMS` clusters, where messages
are lost, repeated and reordered, and members crash, watched by a
:class:`~kvraft.check.raft.RaftChecker`; then in the four situations in which a well-known teaching
implementation could have had two leaders in one term.

A range of timeouts is measured: :data:`TRIALS` crashes of a leader, and short network failures
that a leader should survive.

The rule to find is that of Raft §5.2 and §5.4.1; the range of timeouts, §5.6 and §9.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from random import Random

from kvraft.check import Violation, scenario
from kvraft.check.raft import watch
from kvraft.course.answers import value_of, yes_or_no
from kvraft.course.guard import Broken, Wrong
from kvraft.course.lesson import agrees, ends, need_answer, need_function, within
from kvraft.course.verdicts import exercise
from kvraft.raft import Raft, RaftOptions, RequestVote, Role
from kvraft.raft import safety as rules
from kvraft.record import ORIGIN, Position
from kvraft.sim import (
    PAPER_LATENCY,
    Cluster,
    failed_first_share,
    median_trial,
    paper_options,
    run_election_trials,
)

VoteRule = Callable[[RequestVote, int, str | None, Position], bool]
"""``grant_vote(ask, term, vote, last)``."""

STORMS = 200
STEPS = 120

SITUATIONS = ("candidacy_not_saved", "term_not_saved", "vote_reset", "old_votes_counted")
"""Scenarios of four bugs that one implementation had; here they are played without the bugs."""


# ── a rule ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class VoteSituation:
    """n1 asks n3, in ``term``, for its vote; ``theirs`` and ``ours`` are the ends of their logs."""

    term: int
    vote: str | None
    ours: Position
    asked: int  # the term of the request
    theirs: Position

    @property
    def size(self) -> tuple[int, int, int]:
        """The sort key: the smaller, the simpler the situation."""
        return self.term, self.ours.index + self.theirs.index, self.vote is not None

    def ask(self, rule: VoteRule) -> bool:
        """Return what ``rule`` decides here."""
        request = RequestVote("n1", "n3", self.asked, *self.theirs)
        return rule(request, self.term, self.vote, self.ours)

    def __str__(self) -> str:
        voted = f"voted for {self.vote} there" if self.vote else "has not voted there"
        return (
            f"A member is in term {self.term} and {voted}; its log {ends(self.ours)}. "
            f"n1 asks for a vote in term {self.asked}; its log {ends(self.theirs)}."
        )


def situations() -> list[VoteSituation]:
    """Return every small situation that can occur, the smallest first."""
    return sorted(_situations(), key=lambda situation: situation.size)


def _situations() -> Iterator[VoteSituation]:
    last = [ORIGIN, *(Position(*end) for end in product(range(1, 4), range(1, 4)))]
    for term in range(1, 5):
        for asked, vote, ours, theirs in product(
            range(1, term + 1), (None, "n1", "n2"), last, last
        ):
            if ours.term <= term and theirs.term < asked:
                yield VoteSituation(term, vote, ours, asked, theirs)


@exercise("01.2")
def check_grant_vote(rule: VoteRule) -> str:
    """Print whether ``rule`` is Raft's rule of voting, or the first case where it is not."""
    need_function(lambda: VoteSituation(1, None, ORIGIN, 1, ORIGIN).ask(rule))
    tried = agrees(situations(), lambda situation: _compare(rule, situation))
    known = [scenario.load(name) for name in SITUATIONS]
    with within("In a cluster with faults"):
        try:
            leaders = sum(storm(rule, seed) for seed in range(STORMS))
            for story in known:
                play_with_rule(story, rule)
        except Violation as violation:
            raise Wrong(f"it breaks a promise: {violation}") from violation
    return (
        f"It agrees with Raft in {tried:,} situations; it elected {leaders:,} leaders "
        f"in {STORMS} clusters with faults, never two in a term; and it held in the "
        f"{len(SITUATIONS)} situations in which another implementation did not."
    )


def _compare(rule: VoteRule, situation: VoteSituation) -> str:
    """Return what is wrong with what ``rule`` decides, ``""`` if nothing is."""
    right = situation.ask(rules.grant_vote)
    answer = yes_or_no(lambda: situation.ask(rule))
    if answer == right:
        return ""
    does, does_not = ("gives", "does not") if answer else ("refuses", "gives it")
    return f"Your rule {does} the vote, and Raft {does_not}: {_reason(situation)}."


def _reason(situation: VoteSituation) -> str:
    """Return which part of the rule decides here."""
    ours, theirs = situation.ours, situation.theirs
    if situation.asked < situation.term:
        return f"that is an election of term {situation.asked}, which is over here"
    if situation.vote == "n2":
        return "the vote of this term is given away"
    if theirs.term < ours.term:
        return "its last entry is of an older term, so its log is less up-to-date"
    if theirs.term > ours.term:
        return "the term of the last entry decides before the length, and its is higher"
    if theirs.index < ours.index:
        return "both logs end in the same term, and its is shorter"
    if situation.vote == "n1":
        return "n1 has the vote already, and may have missed the answer"
    return "the vote is free, and its log is as up-to-date"


def ruled(rule: VoteRule) -> type[Raft]:
    """Return the consensus module with ``rule`` for voting."""

    class Ruled(Raft):
        @staticmethod
        def grant_vote(ask: RequestVote, term: int, vote: str | None, last: Position) -> bool:
            return rule(ask, term, vote, last)

    return Ruled


def storm(rule: VoteRule, seed: int) -> int:
    """Run elections of 3 or 5 members under ``rule`` with faults; return the number of leaders.

    Raises :class:`~kvraft.check.Violation` if it breaks what Raft promises, and whatever
    the rule raises.
    """
    random = Random(f"grant_vote/{seed}")
    options = RaftOptions(pre_vote=False, check_quorum=False)
    cluster = Cluster(
        3 + 2 * (seed % 2), seed=seed, options=options, consensus=ruled(rule), trace=False
    )
    checker = watch(cluster)
    led: list[int] = []
    for _ in range(STEPS):
        _random_event(cluster, random)
        rafts = cluster.rafts.values()
        led += [r.term for r in rafts if r.role is Role.LEADER and r.term not in led]
    for name in cluster.members:
        if name not in cluster.rafts:
            cluster.restart(name)
    cluster.settle()
    checker.check_everything()
    return len(led)


def _random_event(cluster: Cluster, random: Random) -> None:
    """Make one random event happen; mostly a message arrives."""
    up = list(cluster.rafts)
    down = [name for name in cluster.members if name not in up]
    messages = cluster.in_flight
    kinds = ("arrive",) * 24 + ("time out", "lose", "repeat", "crash", "restart", "propose")
    match random.choice(kinds):
        case "arrive" if messages:
            cluster.deliver(id=random.choice(messages).id)
        case "lose" if messages:
            cluster.drop(id=random.choice(messages).id)
        case "repeat" if messages:
            cluster.duplicate(id=random.choice(messages).id)
        case "crash" if up:
            cluster.crash(random.choice(up))
        case "restart" if down:
            cluster.restart(random.choice(down))
        case "propose" if (leader := cluster.leader()) is not None:
            cluster.propose(leader, "key")
        case _ if up:
            cluster.timeout(random.choice(up))


def play_with_rule(story: scenario.Scenario, rule: VoteRule) -> None:
    """Play the steps of a scenario with members that have ``rule`` and no planted bug.

    Raises :class:`~kvraft.check.Violation` as :func:`storm` does.
    """
    cluster = story.cluster(consensus=ruled(rule), trace=False)
    watch(cluster)
    for line in story.lines:
        if not line.text.startswith(("expect", "violation")):
            line.action(cluster)


# ── a range of timeouts ────────────────────────────────────────────────────────────────────────

TRIALS = 200
HEARTBEAT = 40
"""The time between two heartbeats, in milliseconds."""
HICCUP = 60
"""How long the network fails, in milliseconds."""
HICCUPS = 20

MEDIAN = 170
FAILED = 0.08
"""The two limits: half of the outages end within :data:`MEDIAN` ms; at most :data:`FAILED` of the
first elections fail.  In a thousand crashes 130 to 280 ms gives 157 ms and 3.6%: far enough
from both limits that the range decides, not which two hundred crashes are tried."""


@exercise("01.3", functions=False)
def check_range(low: object, high: object) -> str:
    """Print whether timeouts from ``low`` to ``high`` milliseconds meet the two limits."""
    need_answer(low, "put two numbers in place of the dots")
    need_answer(high, "put two numbers in place of the dots")
    low, high = value_of(low), value_of(high)
    if not (type(low) is int and type(high) is int and HEARTBEAT < low <= high <= 2_000):
        raise Broken(f"Give whole milliseconds, {HEARTBEAT} < low ≤ high ≤ 2,000.")
    trials = run_election_trials(paper_options(low, high, HEARTBEAT), TRIALS, equal=True)
    half, failed = median_trial(trials), failed_first_share(trials)
    deposed = hiccups(low, high)
    found = (
        f"half of the outages end within {half.millis} ms, {failed:.1%} of the first elections "
        f"fail, and {deposed} of {HICCUPS} hiccups depose the leader"
    )
    if deposed:
        hint = f"How long is it from one heartbeat to the next, if {HICCUP} ms of them are lost?"
    elif failed > FAILED:
        hint = "Too many candidates wake within one broadcast of each other."
    elif half.millis > MEDIAN or not half.elected:
        hint = "The members wait longer than they need to."
    else:
        return f"With {low} to {high} ms, {found}."
    raise Wrong(hint, f"With {low} to {high} ms, {found}.")


def hiccups(low: int, high: int) -> int:
    """Return in how many of :data:`HICCUPS` short network failures the leader is deposed."""
    return sum(_deposed(low, high, seed) for seed in range(HICCUPS))


def _deposed(low: int, high: int, seed: int) -> bool:
    """Isolate a leader for :data:`HICCUP` ms; the seed sets the moment between two heartbeats."""
    options = paper_options(low, high, HEARTBEAT)
    cluster = Cluster(5, seed=seed, options=options, latency=PAPER_LATENCY, trace=False)
    cluster.timeout("n1")
    cluster.settle()
    cluster.run(low + seed * options.heartbeat_ticks // HICCUPS)
    cluster.partition(["n1"])
    cluster.run(HICCUP)
    cluster.heal()
    cluster.run(low)
    return max(raft.term for raft in cluster.rafts.values()) > 1
