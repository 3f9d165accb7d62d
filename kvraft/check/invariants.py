"""What must hold in a world after every step.

:class:`MarksChecker` looks at the members' states only, and remembers what it has seen.
:class:`WorldChecker` looks at disks and messages, too, and checks all of ``properties.py``.  Call
``check()`` after each step of a world; it raises :class:`Violation`.  Both read disks without
meeting, or using up, the faults that a simulated disk has in store for its member.

Raft's properties (Figure 3) and the storage engine's:

- **Election safety**: at most one leader a term, which has the votes of a majority on their disks.
- **State-machine safety**: two members never hold different committed entries at one index, and
  what was committed once stays.
- **Leader completeness**: a leader of a later term holds every entry committed before.
- **The five marks** never cross: ``first ≤ flushed + 1``, ``flushed ≤ applied ≤ committed ≤ last``.
- **Nothing goes back**: term and flushed never fall, not even in a crash; first does not fall while
  a member runs; a vote does not change within its term; what a log held on disk is there after a
  restart, but for what was being replaced.
- **The log is kept**: everything above the flushed mark is in the log on disk, which holds nothing
  that the log in memory has dropped, and no entry of a later term than the member knows of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from kvraft.check.moved import News
from kvraft.check.properties import Property, Violation
from kvraft.check.raft import ObservedMember, RaftChecker
from kvraft.raft import Log, Message, Raft, Role
from kvraft.record import Entry, HardState
from kvraft.replica import Replica
from kvraft.sim import Seat, World
from kvraft.wal import Wal

MARKS = "the five marks"
LOG_KEPT = "the log is kept"
_MESSAGES = frozenset(get_args(Message))


class MarksChecker:
    """Checks the members of one world, at a cost that does not grow with the length of the log."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._leader_of: dict[int, str] = {}
        self._committed: dict[int, Entry] = {}
        self._through: dict[str, int] = {}  # committed entries compared so far, by member
        self._highest = 0
        self._floors: dict[str, tuple[Replica, tuple[int, int, int]]] = {}
        self._votes: dict[tuple[str, int], str] = {}
        self._led: set[tuple[str, int]] = set()

    def check(self) -> None:
        """Check every running member; raise :class:`Violation` for the first broken property."""
        with self._world.undisturbed():
            for name, replica in self._world.replicas.items():
                self.check_member(name, replica)

    def check_member(self, name: str, replica: Replica) -> None:
        """Check one running member, whose disk must not fail meanwhile."""
        self._check_marks(name, replica)
        self._check_term_and_vote(name, replica)
        self._check_log_on_disk(name, replica)
        self._check_committed(name, replica)
        self._check_leader(name, replica)

    def _check_marks(self, name: str, replica: Replica) -> None:
        m = replica.marks
        if not (m.first <= m.flushed + 1 and m.flushed <= m.applied <= m.committed <= m.last):
            raise Violation(MARKS, (name,), f"the marks of {name} cross: {m}")
        floor = (replica.wal.hard_state.term, m.flushed, m.first)
        runs, before = self._floors.get(name, (replica, floor))
        if runs is not replica:  # a restart may find segments that were about to be dropped
            before = (*before[:2], m.first)
        if any(now < then for now, then in zip(floor, before, strict=True)):
            what = f"term, flushed or first of {name} went back, from {before} to {floor}"
            raise Violation(Property.NOTHING_GOES_BACK, (name,), what)
        self._floors[name] = (replica, floor)
        unsaved = replica.unsaved
        installs = unsaved is not None and unsaved.snapshot is not None
        if replica.raft.log.first_index > m.flushed + 1 and not installs:
            what = f"{name} lacks log entries above its flushed mark {m.flushed}"
            raise Violation(MARKS, (name,), what)

    def _check_term_and_vote(self, name: str, replica: Replica) -> None:
        # The vote on disk counts: one that is not saved was not sent either, and a crash undoes it.
        term, vote = replica.wal.hard_state
        if vote is not None:
            first = self._votes.setdefault((name, term), vote)
            if first != vote:
                what = f"{name} voted for {first} and {vote} in term {term}"
                raise Violation(Property.ONE_VOTE, (name,), what)

    def _check_log_on_disk(self, name: str, replica: Replica) -> None:
        wal, log = replica.wal, replica.raft.log
        if wal.last_index > wal.base.index and wal.term(wal.last_index) > wal.hard_state.term:
            what = f"the log of {name} ends in term {wal.term(wal.last_index)}, which it has not "
            what += f"heard of: it restarts in term {wal.hard_state.term}"
            raise Violation(LOG_KEPT, (name,), what)
        if replica.unsaved is None and wal.last_index > log.last_index:
            what = f"{name} holds entries through {wal.last_index} on disk, but has dropped those "
            what += f"after {log.last_index}, which nothing replaces"
            raise Violation(LOG_KEPT, (name,), what)

    def _check_committed(self, name: str, replica: Replica) -> None:
        log, commit = replica.raft.log, replica.raft.commit_index
        start = max(self._through.get(name, 0) + 1, log.first_index)
        if start > commit:  # it restarted, so its commit index may be lower
            self._through[name] = min(self._through.get(name, 0), commit)
            return
        for entry in log.slice(start, commit):
            other = self._committed.setdefault(entry.index, entry)
            if other != entry:
                what = f"entry {entry.index} was committed as {other} and as {entry}"
                raise Violation(Property.STATE_MACHINE_SAFETY, (name,), what)
        self._through[name] = commit
        self._highest = max(self._highest, commit)

    def _check_leader(self, name: str, replica: Replica) -> None:
        raft = replica.raft
        if raft.role is not Role.LEADER:
            return
        other = self._leader_of.setdefault(raft.term, name)
        if other != name:
            what = f"{other} and {name} both lead term {raft.term}"
            raise Violation(Property.ELECTION_SAFETY, (other, name), what)
        if (name, raft.term) not in self._led and raft.term == max(self._leader_of):
            self._led.add((name, raft.term))
            self._check_completeness(name, replica)

    def _check_completeness(self, name: str, replica: Replica) -> None:
        log = replica.raft.log
        if log.last_index < self._highest:
            what = f"the log of {name}, leader of term {replica.raft.term}, ends at "
            what += f"{log.last_index}, but entry {self._highest} is committed"
            raise Violation(Property.LEADER_COMPLETENESS, (name,), what)
        for entry in log.slice(log.first_index, self._highest):
            committed = self._committed.get(entry.index, entry)
            if committed != entry:
                what = f"leader {name} holds entry {entry.index} of term {entry.term}, "
                what += f"but that of term {committed.term} is committed"
                raise Violation(Property.LEADER_COMPLETENESS, (name,), what)


class KeptLog(NamedTuple):
    """A log on disk, whose entries ``through`` some index are not being replaced."""

    wal: Wal
    through: int


def log_on_disk(replica: Replica) -> KeptLog:
    """Return what the disk of a member must hold of its log if the member goes down now."""
    wal, unsaved = replica.wal, replica.unsaved
    through = wal.last_index
    if unsaved is not None and unsaved.entries:
        through = min(through, unsaved.entries[0].index - 1)
    if unsaved is not None and unsaved.snapshot is not None:  # which may replace all of it
        through = min(through, unsaved.snapshot.last.index)
    return KeptLog(wal, through)


class WorldChecker:
    """Checks one world, with its disks and messages, for every property.

    Call :meth:`check_moved` after each step of the world: a step changes one member, as a rule, and
    only members that did anything are looked at.  :meth:`check` looks at all of them, whoever
    changed them: a test, for example.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._marks = MarksChecker(world)
        self._raft = RaftChecker(self._look_at, self._names)
        self._seen: dict[str, ObservedMember] = {}
        self._last_id = 0  # of the messages checked
        self._last: dict[str, tuple[object, ...]] = {}
        self._led: dict[str, int] = {}  # the latest term of each that led
        self._kept: dict[str, KeptLog] = {}
        self._news = News(world)

    def check(self) -> None:
        """Check every member that changed and every new message; raises :class:`Violation`."""
        self._news.gather()
        self._check(self._world.members, self._news)

    def check_moved(self, news: News) -> None:
        """Check the members that did anything, and the messages that are new."""
        self._check(news.members, news)

    def _check(self, names: Sequence[str], news: News) -> None:
        seats = self._world.seats
        with self._world.undisturbed(names):
            changed = []
            for name in names:
                replica = seats[name].replica
                if replica is not None and self._has_changed(name, replica):
                    self._marks.check_member(name, replica)
                    self._check_kept(name, replica)
                    changed.append(name)
                self._seen[name] = self._see(name, seats[name])
            self._check_messages(news)
            for name in changed:
                self._raft.stepped(name)
                self._check_elected(name)

    def _check_elected(self, name: str) -> None:
        """Check that a new leader has a majority of each half: votes are on the voters' disks."""
        leader = self._seen[name].raft
        if leader is None or leader.role is not Role.LEADER or self._led.get(name) == leader.term:
            return
        self._led[name] = leader.term
        for voters in filter(None, (leader.configuration.voters, leader.configuration.outgoing)):
            votes = [voter for voter in voters if voter == name or self._voted(voter, leader)]
            if 2 * len(votes) <= len(voters):
                what = f"{name} leads term {leader.term} with the votes of "
                what += f"{' '.join(votes) or 'nobody'}, out of {' '.join(voters)}"
                raise Violation(Property.ELECTION_SAFETY, (name,), what)

    def _voted(self, voter: str, leader: Raft) -> bool:
        """Return whether a member voted for ``leader``, as far as its disk still says."""
        seen = self._seen.get(voter)
        if seen is None:
            return False
        term, vote = seen.hard_state
        return term > leader.term or (term, vote) == (leader.term, leader.member)

    def _look_at(self, name: str) -> ObservedMember:
        return self._seen[name]

    def _names(self) -> Iterable[str]:
        return self._seen

    def _has_changed(self, name: str, replica: Replica) -> bool:
        raft, wal, tree, log = replica.raft, replica.wal, replica.tree, replica.raft.log
        now = (
            *(raft, raft.term, raft.vote, raft.role, raft.commit_index, raft.lease),
            *(log.base, log.last_index, log.last_term, raft.configuration_index),
            *(wal.hard_state, wal.first_index, wal.last_index),
            *(tree.flushed, tree.applied_index, replica.unsaved is None),
        )
        before, self._last[name] = self._last.get(name), now
        return now != before

    def _check_kept(self, name: str, replica: Replica) -> None:
        """Check that a member which has restarted holds what its log held on disk before."""
        before = self._kept.get(name)
        if before is None or before.wal is replica.wal:
            return
        then, now, through = before.wal, replica.wal, before.through
        if through <= max(then.base.index, now.base.index):
            return
        if now.last_index < through or now.term(through) != then.term(through):
            what = f"{name} held entry {through} of term {then.term(through)} on disk, and has "
            what += f"restarted with a log that ends at {now.last_index}"
            what += f" in term {now.term(now.last_index)}" if now.last_index >= through else ""
            raise Violation(Property.NOTHING_GOES_BACK, (name,), what)

    def _check_messages(self, news: News) -> None:
        for id, message in news.messages:
            if id > self._last_id:
                self._last_id = id
                if type(message) in _MESSAGES:
                    self._raft.sent(message)

    def _see(self, name: str, seat: Seat) -> ObservedMember:
        """Return a member as it is now; one that is down, as it was when it went down.

        A step can save, send and then fail, so what it held in the step before is not enough.
        """
        replica = seat.replica or seat.fallen
        if replica is None:  # it never ran
            return ObservedMember(None, HardState(), Log(), 0)
        raft, wal, durable = replica.raft, replica.wal, replica.wal.last_index
        if replica.unsaved is not None and replica.unsaved.entries:
            durable = min(durable, replica.unsaved.entries[0].index - 1)
        self._kept[name] = log_on_disk(replica)
        runs = raft if seat.replica is not None else None
        # Ticks that wait in its inbox are taken before it acts on any message.
        late = seat.paused or any(message is None for message in seat.inbox)
        return ObservedMember(runs, wal.hard_state, raft.log, durable, paused=late)
