"""Situations of the literature, which chance takes long to find: played with any members.

They are acts like any others, judged like any others, and a right implementation survives them.
Which members play which part, and a few acts that are left out, are drawn from the seed.

============= =====================================================================================
figure_8      an entry of an older term reaches a majority, and its leader dies (Raft §5.4.2)
late_answers  a leader loses its entries, leads again, and hears answers of its first term
late_reads    a follower asks about a read, crashes, asks again, and the first answer comes (§8)
late_votes    a candidate stands twice, and the votes of the first time come late (§5.2)
longer_log    a long log of an old term against a short one of a newer term (§5.4.1)
second_vote   a member votes, crashes, returns, and is asked by another candidate (§5.2)
more_answers  two stand in one term, and what one is answered arrives again and again (§5.2)
old_appends   what a leader sent first arrives last (§5.3)
own_tail      a deposed leader has entries of its own, and gets a heartbeat only (Figure 2)
============= =====================================================================================

One is of time, and is played where clocks run: what a voter promised and has forgotten
(:func:`forgotten_promise`; thesis §6.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kvraft.check.trial.acts import ALL, NEWEST, Act
from kvraft.check.trial.draws import Draws
from kvraft.raft import AppendEntriesReply, Role

LEFT_OUT = (0.0, 0.0, 0.03)
"""The share of acts that are left out, in one of so many situations."""
PATIENCE = 20
"""In how many ticks a member that runs answers its leader, as a rule."""


def classics(draws: Draws) -> Iterator[Act]:
    """Yield the acts of a few situations that are drawn; between them all agree."""
    random, names = draws.random, list(draws.cluster.members)
    situations = [*_CLASSICS.values(), *[_late_reads] * draws.can("read")]
    for number, chosen in enumerate(random.sample(situations, random.randint(2, 4))):
        if number:
            yield from _regroup(draws)
        random.shuffle(names)
        left_out = random.choice(LEFT_OUT)
        for act in chosen(_Cast(draws, names)):
            if random.random() >= left_out:
                yield act


def _regroup(draws: Draws) -> Iterator[Act]:
    """Yield that all are back, and have the log of the one whose log is the newest."""
    members = draws.cluster.members
    for name in members:
        yield ("restart", name)
    names = sorted(members, key=lambda name: members[name].log.last[::-1])
    cast = _Cast(draws, [names.pop(), *names])
    yield from cast.elect(cast.one, names)
    for name in names:
        for _ in range(6):
            if cast.last(name) < cast.last(cast.one):
                yield from cast.send(cast.one, name, 1)


class _Cast:
    """The members of a cluster, each in its part: ``one`` leads first, ``two`` next."""

    def __init__(self, draws: Draws, names: Sequence[str]) -> None:
        self._cluster, self.draws = draws.cluster, draws
        self.one, self.two, self.three, *self.rest = names
        half = len(names) // 2
        self.others = [self.three, *self.rest][:half]
        """As many as make a majority with one more."""

    def last(self, name: str) -> int:
        """Return the index of the last entry of a member."""
        return self._cluster.members[name].log.last_index

    def stand(self, name: str) -> Iterator[Act]:
        """Yield that a member stands, which it does only once it leads no longer."""
        raft = self._cluster.rafts.get(name)
        if raft is not None and raft.role is Role.LEADER:
            yield ("crash", name, "")
            yield ("restart", name)
        yield ("timeout", name)

    def elect(self, name: str, voters: Sequence[str], answers: bool = True) -> Iterator[Act]:
        """Yield elections in which only ``voters`` are asked, until one is won."""
        for _ in range(8):
            yield from self.stand(name)
            for ask in ("PreVote", "RequestVote"):
                for voter in voters:
                    yield ("deliver", ask, name, voter, ALL)
                    if answers or ask == "PreVote":
                        yield ("deliver", f"{ask}Reply", voter, name, ALL)
            raft = self._cluster.rafts.get(name)
            if raft is None or raft.role is Role.LEADER or not answers:
                return

    def send(
        self, leader: str, name: str, rounds: int, late: bool = False, which: int = ALL
    ) -> Iterator[Act]:
        """Yield appends and their answers; with ``late`` copies of the answers stay in flight."""
        for _ in range(rounds):
            yield ("deliver", "AppendEntries", leader, name, which)
            if late:
                yield ("duplicate", "AppendEntriesReply", name, leader, NEWEST)
            yield ("deliver", "AppendEntriesReply", name, leader, NEWEST)


def _figure_8(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, cast.others)
    yield from cast.elect(cast.two, cast.others)
    old = cast.last(cast.one)
    yield from cast.elect(cast.one, cast.others)
    for name in cast.others:
        for _ in range(30):  # one message at a time: the old entry, and not the new one
            yield from cast.send(cast.one, name, 1, which=0)
            if cast.last(name) >= old:
                break
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


def _late_reads(cast: _Cast) -> Iterator[Act]:
    """A read that is asked for twice under one number, as its asker counts from one again."""
    yield from cast.elect(cast.one, [cast.two, *cast.others])
    for name in (cast.two, *cast.others):
        yield from cast.send(cast.one, name, 3)
    yield cast.draws.read_at(cast.two)
    yield ("deliver", "ReadIndex", cast.two, cast.one, ALL)
    for name in cast.others:
        yield from cast.send(cast.one, name, 1)
    yield ("crash", cast.two, "")
    yield ("restart", cast.two)
    yield ("propose", cast.one, "x1")
    for name in cast.others:
        yield from cast.send(cast.one, name, 2)
    yield ("timeout", cast.one)  # a heartbeat, by which it knows its leader again
    yield ("deliver", "AppendEntries", cast.one, cast.two, NEWEST)
    yield cast.draws.read_at(cast.two)
    yield ("deliver", "ReadIndexReply", cast.one, cast.two, ALL)


def _late_votes(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, cast.others, answers=False)
    yield from cast.stand(cast.one)
    for name in cast.others:
        yield ("deliver", "RequestVoteReply", name, cast.one, ALL)
    yield from cast.stand(cast.two)
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
        yield from cast.stand(name)
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
        yield from cast.stand(name)
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


def _own_tail(cast: _Cast) -> Iterator[Act]:
    yield from cast.elect(cast.one, [cast.two, *cast.others])
    for name in (cast.two, *cast.others):
        yield from cast.send(cast.one, name, 3)
    for key in ("x1", "x2", "x3"):
        yield ("propose", cast.one, key)
    yield from cast.elect(cast.two, cast.others)
    for key in ("y1", "y2"):
        yield ("propose", cast.two, key)
    for name in cast.others:
        yield from cast.send(cast.two, name, 4)
    yield ("timeout", cast.two)
    yield ("deliver", "AppendEntries", cast.two, cast.one, NEWEST)
    yield ("deliver", "AppendEntriesReply", cast.one, cast.two, NEWEST)


def forgotten_promise(draws: Draws) -> Iterator[Act]:
    """Yield that voters answer their leader, forget it in a crash, and are asked to elect another.

    The other one has not heard that leader for so long that it may stand at any time; but the
    leader may rely on what it was answered.
    """
    cluster, leader = draws.cluster, draws.leader()
    others = [name for name in cluster.members if name != leader]
    if len(others) < 2:
        return
    draws.random.shuffle(others)
    cast = _Cast(draws, [leader, *others])
    yield ("sever", cast.one, cast.two)
    yield ("run", 2 * cluster.options.election_ticks)
    for name in cast.others:
        for _ in range(PATIENCE):
            if cluster.find(sender=name, to=leader, kind=AppendEntriesReply):
                break
            yield ("run", 1)
    for name in cast.others:
        yield ("deliver", "AppendEntriesReply", name, leader, ALL)
    for name in cast.others:
        yield ("crash", name, "")
        yield ("restart", name)
    yield from cast.elect(cast.two, cast.others)
    yield ("heal",)


_CLASSICS: dict[str, Callable[[_Cast], Iterator[Act]]] = {
    "figure_8": _figure_8,
    "late_answers": _late_answers,
    "late_votes": _late_votes,
    "longer_log": _longer_log,
    "second_vote": _second_vote,
    "more_answers": _more_answers,
    "old_appends": _old_appends,
    "own_tail": _own_tail,
}
