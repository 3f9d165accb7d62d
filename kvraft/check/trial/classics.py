"""Situations of the literature, which chance takes long to find: played with any members.

They are acts like any others, judged like any others, and a right implementation survives them.
Which members play which part, and a few acts that are left out, are drawn from the seed.

============= =====================================================================================
figure_8      an entry of an older term reaches a majority, and its leader dies (Raft §5.4.2)
late_answers  a leader loses its entries, leads again, and hears answers of its first term
late_votes    a candidate stands twice, and the votes of the first time come late (§5.2)
longer_log    a long log of an old term against a short one of a newer term (§5.4.1)
second_vote   a member votes, crashes, returns, and is asked by another candidate (§5.2)
more_answers  two stand in one term, and what one is answered arrives again and again (§5.2)
old_appends   what a leader sent first arrives last (§5.3)
============= =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from kvraft.check.trial.acts import ALL, NEWEST, Act
from kvraft.raft import Role
from kvraft.sim import Cluster

LEFT_OUT = 0.03
"""The share of acts that are left out."""


def classic(cluster: Cluster, random: Random) -> Iterator[Act]:
    """Yield the acts of one situation, drawn by ``random``."""
    names = list(cluster.members)
    random.shuffle(names)
    chosen = random.choice(tuple(_CLASSICS.values()))
    for act in chosen(_Cast(cluster, names)):
        if random.random() >= LEFT_OUT:
            yield act


class _Cast:
    """The members of a cluster, each in its part: ``one`` leads first, ``two`` next."""

    def __init__(self, cluster: Cluster, names: Sequence[str]) -> None:
        self._cluster = cluster
        self.one, self.two, self.three, *self.rest = names
        half = len(names) // 2
        self.others = [self.three, *self.rest][:half]
        """As many as make a majority with one more."""

    def elect(self, name: str, voters: Sequence[str], answers: bool = True) -> Iterator[Act]:
        """Yield elections in which only ``voters`` are asked, until one is won."""
        raft = self._cluster.rafts.get(name)
        if raft is not None and raft.role is Role.LEADER:  # it stands only once it leads no longer
            yield ("crash", name, "")
            yield ("restart", name)
        for _ in range(8):
            yield ("timeout", name)
            for ask in ("PreVote", "RequestVote"):
                for voter in voters:
                    yield ("deliver", ask, name, voter, ALL)
                    if answers or ask == "PreVote":
                        yield ("deliver", f"{ask}Reply", voter, name, ALL)
            raft = self._cluster.rafts.get(name)
            if raft is None or raft.role is Role.LEADER or not answers:
                return

    def send(self, leader: str, name: str, rounds: int, late: bool = False) -> Iterator[Act]:
        """Yield appends and their answers; with ``late`` copies of the answers stay in flight."""
        for _ in range(rounds):
            yield ("deliver", "AppendEntries", leader, name, ALL)
            if late:
                yield ("duplicate", "AppendEntriesReply", name, leader, NEWEST)
            yield ("deliver", "AppendEntriesReply", name, leader, NEWEST)


def _figure_8(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, cast.others)
    yield from cast.elect(cast.two, cast.others)
    yield from cast.elect(cast.one, cast.others)
    for name in cast.others:
        yield from cast.send(cast.one, name, 2)
    yield from cast.elect(cast.two, cast.others)
    for name in cast.others:
        yield from cast.send(cast.two, name, 3)


def _late_answers(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, [cast.two, *cast.others])
    yield ("propose", cast.one, "x1")
    yield ("propose", cast.one, "x2")
    yield from cast.send(cast.one, cast.two, 5, late=True)
    yield from cast.elect(cast.three, [*cast.rest, *cast.others])
    yield from cast.send(cast.three, cast.one, 3)
    yield from cast.elect(cast.one, [cast.three, *cast.rest])
    yield ("propose", cast.one, "x3")
    yield from cast.send(cast.one, cast.three, 3)
    yield ("deliver", "AppendEntriesReply", cast.two, cast.one, ALL)
    yield from cast.elect(cast.two, [cast.three, *cast.rest])


def _late_votes(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, cast.others, answers=False)
    yield ("timeout", cast.one)
    for name in cast.others:
        yield ("deliver", "RequestVoteReply", name, cast.one, ALL)
    yield ("timeout", cast.two)
    yield from cast.elect(cast.two, cast.others)


def _longer_log(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, cast.others)
    for key in ("x1", "x2", "x3"):
        yield ("propose", cast.one, key)
    yield from cast.elect(cast.two, cast.others)
    yield ("propose", cast.two, "y1")
    for name in cast.others:
        yield from cast.send(cast.two, name, 4)
    yield from cast.elect(cast.one, cast.others)
    for name in cast.others:
        yield from cast.send(cast.one, name, 4)


def _second_vote(cast: _Cast) -> Iterator[Act]:
    for name in (cast.one, cast.two):
        yield ("timeout", name)
    for voter in cast.others:
        yield ("deliver", "RequestVote", cast.one, voter, ALL)
        yield ("crash", voter, "")
        yield ("restart", voter)
        yield ("deliver", "RequestVote", cast.two, voter, ALL)
        for name in (cast.one, cast.two):
            yield ("deliver", "RequestVoteReply", voter, name, ALL)
    for name in (cast.one, cast.two):
        yield from cast.send(name, cast.three, 2)


def _more_answers(cast: _Cast) -> Iterator[Act]:
    for name in (cast.one, cast.two):
        yield ("timeout", name)
    yield ("deliver", "RequestVote", cast.one, cast.three, ALL)
    yield ("duplicate", "RequestVoteReply", cast.three, cast.one, NEWEST)
    yield ("duplicate", "RequestVoteReply", cast.three, cast.one, NEWEST)
    yield ("deliver", "RequestVoteReply", cast.three, cast.one, ALL)
    for name in cast.rest:
        yield ("deliver", "RequestVote", cast.two, name, ALL)
        yield ("deliver", "RequestVoteReply", name, cast.two, ALL)
    yield from cast.send(cast.one, cast.three, 2)


def _old_appends(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, [cast.two, *cast.others])
    for name in (cast.two, *cast.others):
        yield ("propose", cast.one, f"x-{name}")
        yield ("duplicate", "AppendEntries", cast.one, name, ALL)
        yield from cast.send(cast.one, name, 1)
        yield from cast.send(cast.one, name, 4)
    for name in (cast.two, *cast.others):
        yield ("deliver", "AppendEntries", cast.one, name, ALL)
    yield ("crash", cast.one, "")
    yield from cast.elect(cast.two, cast.others)


_CLASSICS: dict[str, Callable[[_Cast], Iterator[Act]]] = {
    "figure_8": _figure_8,
    "late_answers": _late_answers,
    "late_votes": _late_votes,
    "longer_log": _longer_log,
    "second_vote": _second_vote,
    "more_answers": _more_answers,
    "old_appends": _old_appends,
}
