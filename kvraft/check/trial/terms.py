"""One term at a time: who stands, who votes, who gets the entries, and what comes too late.

Logs that diverge over several terms come of it (Raft Figures 7 and 8), and answers that arrive in
another term than they were for: single steps drawn at random hardly ever make either::

    a member stands ──► some vote ──► it leads, appends ──► some get it, some answer ──► next term
      one of few          (or two stand in one term)          copies stay in flight
      rivals                                                    └──► arrive later, out of order

Each run has habits of its own, for some bugs need that something happens often, and others that it
never does.  Members are chosen so that an election can be won, more often than chance would have
it: a term without a leader shows little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from kvraft.check.trial.acts import ALL, NEWEST, Act
from kvraft.check.trial.draws import Draws
from kvraft.raft import AppendEntriesReply, PreVote, RequestVoteReply, Role

_ANSWERS = (RequestVoteReply, AppendEntriesReply)
ELECTIONS = 16
"""How many elections there are in a run."""


class _Habits(NamedTuple):
    """How often things happen in one run; shares are of 1."""

    rivals: Sequence[str]  # who stands as a rule: one who led before leads again
    crashes: float
    late: float  # something old arrives after an election, and after that once more
    copies: float  # a message is sent twice, and the copy stays in flight
    answered: float
    split: float  # a second member stands in the same term
    silent: float  # no vote arrives in time
    stubborn: float  # those that are asked may have newer logs
    rounds: Sequence[int]  # how often a leader and its followers talk
    proposals: int  # most of them in one term
    few: bool  # at most one follower gets what a leader has
    extras: Sequence[Callable[[], Act]]  # what else is asked for, and how often
    asked: float


def _habits(names: Sequence[str], extras: Sequence[Callable[[], Act]], random: Random) -> _Habits:
    count = 2 if random.random() < 0.5 else random.randint(2, len(names))
    return _Habits(
        random.sample(names, count),
        crashes=random.choice((0.0, 0.2, 0.5)),
        late=random.choice((0.0, 0.3, 0.7)),
        copies=random.choice((0.0, 0.2, 0.6)),
        answered=random.choice((0.6, 0.9, 1.0)),
        split=random.choice((0.0, 0.1, 0.5)),
        silent=random.choice((0.0, 0.1, 0.3)),
        stubborn=random.choice((0.1, 0.2, 0.6)),
        rounds=random.choice(((0, 3), (0, 0, 1, 3), (0, 1, 2, 4, 6))),
        proposals=random.choice((0, 0, 1, 3)),
        few=random.random() < 0.4,
        extras=random.sample(extras, random.randint(min(1, len(extras)), len(extras))),
        asked=random.choice((0.2, 0.5, 0.9)),
    )


def terms(draws: Draws, elections: int = ELECTIONS) -> Iterator[Act]:
    """Yield elections, each with what some members get to know of them."""
    random, names = draws.random, list(draws.cluster.members)
    habits = _habits(names, draws.extras, random)
    for _ in range(elections):
        candidate, voters = _candidate(draws, habits)
        yield from _stand(draws, candidate)
        if random.random() < habits.split:
            voters = voters[: random.randint(1, len(voters) or 1)]
            yield from _second(draws, candidate, habits)
        while random.random() < habits.late:
            yield _late(draws, candidate)
        yield from _ask(draws, candidate, voters, habits)
        for _ in range(random.randint(0, habits.proposals)):
            yield ("propose", candidate, draws.key())
        while random.random() < habits.late:
            yield _late(draws, candidate)
        yield from _spread(draws, candidate, voters, habits)
        if habits.extras and random.random() < habits.asked:
            yield random.choice(habits.extras)()
            yield from _spread(draws, candidate, voters, habits)
        if random.random() < habits.crashes:
            yield draws.crash()
        yield from draws.returns(random.randint(0, 2))


def _candidate(draws: Draws, habits: _Habits) -> tuple[str, list[str]]:
    """Return a candidate and its voters: as a rule just enough, and such as may say yes."""
    random = draws.random
    for _ in range(4):
        candidate = random.choice(habits.rivals) if random.random() < 0.8 else draws.member()
        others = [name for name in draws.cluster.members if name != candidate]
        enough = (len(others) + 1) // 2
        willing = _no_newer(draws, candidate, others)
        if len(willing) >= enough:
            break
    if len(willing) >= enough and random.random() >= habits.stubborn:
        others = willing
    count = enough if random.random() < 0.75 else random.randint(0, len(others))
    return candidate, random.sample(others, count)


def _no_newer(draws: Draws, candidate: str, others: Sequence[str]) -> list[str]:
    """Return those whose log is no newer than that of the candidate (§5.4.1)."""
    logs = {name: draws.cluster.members[name].log.last[::-1] for name in (candidate, *others)}
    return [name for name in others if name in draws.rafts and logs[name] <= logs[candidate]]


def _stand(draws: Draws, candidate: str) -> Iterator[Act]:
    """Yield elections of one member, as a rule until its term is one that nobody has seen."""
    random = draws.random
    if candidate not in draws.rafts:
        yield ("restart", candidate)
    elif draws.rafts[candidate].role is Role.LEADER:
        if random.random() < 0.4:
            return  # it stands only once it leads no longer
        yield ("crash", candidate, "")
        yield ("restart", candidate)
    yield ("timeout", candidate)
    while candidate in draws.rafts and random.random() < 0.9:
        rafts = draws.rafts
        seen = max((raft.term for name, raft in rafts.items() if name != candidate), default=0)
        if rafts[candidate].term > seen or rafts[candidate].role is Role.PRE_CANDIDATE:
            return
        yield ("timeout", candidate)


def _second(draws: Draws, candidate: str, habits: _Habits) -> Iterator[Act]:
    """Yield that another member stands in the same term, and is heard by some, first or last."""
    random = draws.random
    others = [name for name in draws.rafts if name != candidate]
    if candidate not in draws.rafts or not others:
        return
    second, term = random.choice(others), draws.rafts[candidate].term
    for _ in range(3):
        if second in draws.rafts and draws.rafts[second].term < term:
            yield ("timeout", second)
    for name in random.sample(others, random.randint(0, len(others))):
        yield ("deliver", "RequestVote", second, name, ALL)
        if random.random() < habits.copies / 2:
            yield ("duplicate", "RequestVoteReply", name, second, NEWEST)
        if random.random() < 0.7:
            yield ("deliver", "RequestVoteReply", name, second, ALL)
        if random.random() < 0.2:
            yield ("crash", name, "")
            yield ("restart", name)


def _ask(draws: Draws, candidate: str, voters: Sequence[str], habits: _Habits) -> Iterator[Act]:
    """Yield questions to some members, and most of the answers; the others come late."""
    asks = ["RequestVote"]
    if draws.cluster.find(sender=candidate, kind=PreVote):
        asks.insert(0, "PreVote")
    heard = 0.0 if draws.random.random() < habits.silent else 0.92
    for ask in asks:
        for name in voters:
            yield ("deliver", ask, candidate, name, ALL)
            if draws.random.random() < habits.copies / 2:
                yield ("duplicate", f"{ask}Reply", name, candidate, NEWEST)
            if draws.random.random() < heard:
                yield ("deliver", f"{ask}Reply", name, candidate, ALL)


def _spread(draws: Draws, leader: str, voters: Sequence[str], habits: _Habits) -> Iterator[Act]:
    """Yield what some followers get from a leader, and what it gets back."""
    random = draws.random
    asked, answer = ("", "") if habits.extras else ("AppendEntries", "AppendEntriesReply")
    others = voters
    if random.random() < 0.5:
        others = [name for name in draws.cluster.members if name != leader]
    most = min(1, len(others)) if habits.few else len(others)
    some = random.sample(others, random.randint(min(1, len(others)), most))
    for _ in range(random.choice(habits.rounds)):
        if random.random() < 0.15:
            yield ("timeout", leader)  # heartbeats, if it leads
        for name in some:
            yield from _copied(draws, asked, leader, name, habits)
            if random.random() < habits.answered:
                yield from _copied(draws, answer, name, leader, habits)


def _copied(draws: Draws, kind: str, sender: str, to: str, habits: _Habits) -> Iterator[Act]:
    """Yield that messages arrive; a copy of the last may stay in flight, with all before it."""
    if draws.random.random() < habits.copies:
        yield ("duplicate", kind, sender, to, NEWEST)
        yield ("deliver", kind, sender, to, NEWEST)
    else:
        yield ("deliver", kind, sender, to, ALL)


def _late(draws: Draws, leader: str) -> Act:
    """Return what delivers a message late: as a rule an answer to what ``leader`` was before."""
    random, raft = draws.random, draws.rafts.get(leader)
    if raft is not None and random.random() < 0.7:
        came = [letter.message for letter in draws.cluster.find(to=leader)]
        old = [m for m in came if m.term < raft.term and isinstance(m, _ANSWERS)]
        if old:
            return draws.done_to_one("deliver", old)
    return draws.message(random.choice(("deliver", "deliver", "duplicate")))
