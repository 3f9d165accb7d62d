"""What must hold among consensus modules after every step.

:class:`RaftChecker` sees the members' roles, terms, logs and commit indexes, their disks, and each
message that leaves.  It keeps its own record of what it saw:

============ ==============================================================================
``known``    every entry that was ever in a log, by index and term, with its predecessor's
             term: by induction, index and term then name a whole log (Figure 3, log matching)
``ledger``   every entry that was ever committed, by index
============ ==============================================================================

Two logs that end in the same entry are therefore the same log, and to follow a log it is enough to
look at its end: a check costs as much as what changed, however long the log.
:meth:`RaftChecker.check_everything` compares the rest, once at the end.

Messages are checked in ``messages.py``, changes of members in ``changes.py``; the properties and
their sources are in ``check/properties.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kvraft.check.properties import Property
from kvraft.check.raft.changes import ChangeChecker
from kvraft.check.raft.messages import MessageChecker
from kvraft.check.raft.observed import (
    ObservedMember,
    ObservedMembers,
    PreviousState,
    covers,
    entry_at,
    place,
)
from kvraft.raft import Configuration, Log, Message, Raft, ReadReady, Role
from kvraft.record import Entry, Kind, Position
from kvraft.sim import Cluster


class RaftChecker:
    """Checks all members: ``names`` returns their names, up or down, and ``look`` shows one.

    Call :meth:`sent` for each message that leaves, :meth:`asked` and :meth:`served` for reads, and
    :meth:`stepped` after each step of a member; all of them raise
    :class:`~kvraft.check.Violation`.  :func:`watch` connects a checker to a cluster.  The
    properties in ``but`` may be broken.
    """

    def __init__(
        self,
        look: Callable[[str], ObservedMember],
        names: Callable[[], Iterable[str]],
        *,
        but: Sequence[Property] = (),
    ) -> None:
        self._members = ObservedMembers(look, names, but)
        self._messages = MessageChecker(self._members)
        self._changes = ChangeChecker(self._members)
        self._past: dict[str, PreviousState] = {}
        self._known: dict[tuple[int, int], tuple[Entry, int]] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._through: dict[int, int] = {}  # term → the last index that its leader committed
        self._configurations: list[tuple[int, Configuration]] = []  # the committed ones
        self.ledger: dict[int, Entry] = {}
        """Every entry that is known to be committed, by index."""
        self.committed = 0
        """The highest of these indexes."""

    # ── messages and reads ──────────────────────────────────────────────────────────────────────

    def sent(self, message: Message) -> None:
        """Check a ``message`` that leaves: its sender's disk must hold what it says (Figure 2)."""
        self._messages.sent(message)

    def asked(self, name: str, token: int) -> None:
        """Record that a read starts at a member: it must see what is committed by now."""
        self._asked[name, token] = self.committed

    def served(self, name: str, read: ReadReady) -> None:
        """Check a read that a member serves: its index covers what was committed at the start."""
        least = self._asked.pop((name, read.token), 0)
        if read.index < least:
            what = (
                f"{name} serves read {read.token} as of entry {read.index}, "
                f"but {least} was committed when it was requested"
            )
            self._members.fail(Property.FRESH_READS, (name,), what)

    # ── after each step ─────────────────────────────────────────────────────────────────────────

    def stepped(self, name: str) -> None:
        """Check everything that a step of the member ``name`` may have changed."""
        seen = self._members.look(name)
        raft = seen.raft
        if raft is None:
            return
        past = self._past.get(name)
        if past is None:
            past = self._past[name] = self._meet(raft)
        self._check_going_back(name, past, seen)
        self._follow_log(name, past, raft)
        self._check_commit(name, raft)
        self._changes.check(name, past, raft, self.committed)
        self._check_leader(name, past, raft)
        self._check_lease(name, raft)
        if seen.applied:
            self._check_applied(name, seen.applied)
        past.raft, past.hard_state, past.commit = raft, seen.hard_state, raft.commit_index
        past.led = raft.term if raft.role is Role.LEADER else 0

    def _meet(self, raft: Raft) -> PreviousState:
        """Accept the state that a member starts with: how it came about was not observed."""
        base = raft.log.base
        past = PreviousState(log=Log(base))
        past.configurations.append((base.index, raft.configuration_at(base.index)))
        if not self._configurations:
            self._configurations = past.configurations[:]
        return past

    def _check_going_back(self, name: str, past: PreviousState, seen: ObservedMember) -> None:
        (term, vote), (before, voted) = seen.hard_state, past.hard_state
        assert seen.raft is not None
        base, commit = seen.raft.log.base.index, seen.raft.commit_index
        if term < before:
            what = f"the term on the disk of {name} falls from {before} to {term}"
        elif term == before and voted not in (None, vote):
            what = f"the vote on the disk of {name} changes from {voted} to {vote} in term {term}"
        elif seen.raft is past.raft and base < past.log.base.index:
            what = f"the base of the log of {name} falls from {past.log.base.index} to {base}"
        elif seen.raft is past.raft and commit < past.commit:
            what = f"the commit index of {name} falls from {past.commit} to {commit}"
        else:
            return
        self._members.fail(Property.NOTHING_GOES_BACK, (name,), what)

    # ── logs ────────────────────────────────────────────────────────────────────────────────────

    def _follow_log(self, name: str, past: PreviousState, raft: Raft) -> None:
        """Find the dropped and the new entries, from the end of the log backwards."""
        old, new = past.log, raft.log
        if new.base.index < old.base.index and new.has(*old.base):
            # It crashed before the segments were gone that it had dropped: they are there again.
            kept = old.slice(old.base.index + 1) if old.last_index > old.base.index else ()
            back = new.slice(new.first_index, old.base.index)
            old.reset(new.base)
            old.append((*back, *kept))
        if old.has(*new.base):
            meet = min(old.last_index, new.last_index)
            while meet > new.base.index and entry_at(old, meet) != entry_at(new, meet):
                meet -= 1
            self._drop(name, past, raft, meet)
            if new.base.index > old.base.index:
                old.drop_through(new.base.index)
        else:  # a snapshot replaced the whole log, or was lost in a crash before it was saved
            meet = new.base.index
            self._drop(name, past, raft, max(meet, old.base.index))
            old.reset(new.base)
            past.configurations = [(meet, raft.configuration_at(meet))]
            if raft is past.raft:
                self._check_taken(name, *past.configurations[0])
            else:
                past.raft = None  # which configuration its log began with is not known
        self._check_base(name, new.base)
        for entry in new.slice(meet + 1):
            self._check_known(name, entry, old.last_term)
            old.append((entry,))
            if entry.record.kind is Kind.CONFIGURATION:
                past.new.append(entry)

    def _check_taken(self, name: str, index: int, taken: Configuration) -> None:
        """Check the members that came with a snapshot through ``index``: those committed by then.

        Nothing is known of what was committed in a step that a crash cut short.
        """
        if index > self.committed:
            return
        committed = next((c for at, c in reversed(self._configurations) if at <= index), taken)
        if taken != committed:
            what = f"{name} goes by members {taken} as of a snapshot through {index}, "
            what += f"but {committed} are committed there"
            self._members.fail(Property.ONE_CHANGE, (name,), what)

    def _drop(self, name: str, past: PreviousState, raft: Raft, meet: int) -> None:
        """Check and forget the entries above ``meet``, which are not in the log any more."""
        if meet < past.log.last_index:
            self._check_dropped(name, past, raft, past.log.slice(meet + 1))
            past.log.truncate_from(meet + 1)
            past.configurations = [c for c in past.configurations if c[0] <= meet]

    def _check_base(self, name: str, base: Position) -> None:
        committed = self.ledger.get(base.index)
        if committed is not None and committed.term != base.term:
            what = (
                f"the log of {name} begins after entry {base.index} of term {base.term}, "
                f"but the entry committed there is of term {committed.term}"
            )
            self._members.fail(Property.STATE_MACHINE_SAFETY, (name,), what)

    def _check_known(self, name: str, entry: Entry, before: int) -> None:
        """Check an entry that is new in a log: it and all before it are the same in every log."""
        known = self._known.setdefault((entry.index, entry.term), (entry, before))
        if known != (entry, before):
            what = f"entry {entry.index} of term {entry.term} at {name} is {_show(entry, before)}, "
            self._members.fail(Property.LOG_MATCHING, (name,), what + f"elsewhere {_show(*known)}")

    def _check_dropped(
        self, name: str, past: PreviousState, raft: Raft, dropped: Sequence[Entry]
    ) -> None:
        """Check ``dropped`` entries: a leader drops none, and a committed one stays on a quorum."""
        first, last = dropped[0].index, dropped[-1].index
        if past.led and past.raft is raft and (raft.role, raft.term) == (Role.LEADER, past.led):
            what = f"{name}, leader of term {raft.term}, drops entries {first} to {last}"
            self._members.fail(Property.LEADER_APPEND_ONLY, (name,), what)
        lost = [entry for entry in dropped if self.ledger.get(entry.index) == entry]
        if lost and self._configurations:
            self._check_held(lost[-1], (self._configurations[-1][1].voters,), f"{name} drops it")

    # ── commitment ──────────────────────────────────────────────────────────────────────────────

    def _check_commit(self, name: str, raft: Raft) -> None:
        """Compare the last entry that a member knows to be committed; record the new ones."""
        log, commit = raft.log, raft.commit_index
        at = min(commit, self.committed)
        if at > log.base.index and (entry := entry_at(log, at)) != self.ledger.get(at, entry):
            other = self.ledger[at]
            what = f"{name} commits entry {at} of term {entry.term}, but the one of term "
            what += f"{other.term} is committed"
            self._members.fail(Property.STATE_MACHINE_SAFETY, (name,), what)
        new = log.slice(max(self.committed, log.base.index) + 1, commit)
        if not new:
            return
        self.committed, self._through[raft.term] = commit, commit
        for entry in new:
            self.ledger[entry.index] = entry
            if entry.record.kind is Kind.CONFIGURATION:
                committed = Configuration.from_bytes(entry.record.value)
                self._configurations.append((entry.index, committed))
                # Its leader may have left a joint configuration in the same step.
                self._check_held(entry, _halves(committed), f"{name} commits it")
        self._check_held(new[-1], _halves(raft.configuration), f"{name} commits it")
        for leader in self._members.running():
            if leader.role is Role.LEADER and leader.term > raft.term:
                self._check_complete(leader, new[-1])

    def _check_held(self, entry: Entry, halves: Iterable[Sequence[str]], why: str) -> None:
        """Check that ``entry`` is on the disks of a majority of each of ``halves``."""
        for voters in halves:
            hold = [name for name in voters if self._members.holds(name, entry)]
            if voters and 2 * len(hold) <= len(voters):
                what = f"{place(entry)} is only on the disks of {' '.join(hold) or 'no member'}, "
                what += f"out of {' '.join(voters)}, and {why}"
                self._members.fail(Property.COMMITTED_KEPT, voters, what)

    def _check_applied(self, name: str, applied: Sequence[Entry]) -> None:
        """Compare the last applied entry with the committed one, and check that none is missing."""
        last = applied[-1]
        if last.index != len(applied) or self.ledger.get(last.index) != last:
            what = f"{name} applied {place(last)} as its entry number {len(applied)}, "
            what += "where another one is committed"
            self._members.fail(Property.STATE_MACHINE_SAFETY, (name,), what)

    # ── leaders ─────────────────────────────────────────────────────────────────────────────────

    def _check_leader(self, name: str, past: PreviousState, raft: Raft) -> None:
        if raft.role is not Role.LEADER:
            return
        self._messages.leads(name, raft.term)
        if past.led == raft.term:
            return
        earlier = [index for term, index in self._through.items() if term < raft.term]
        if earlier:
            self._check_complete(raft, self.ledger[max(earlier)])

    def _check_complete(self, leader: Raft, committed: Entry) -> None:
        if not covers(leader.log, committed):
            what = (
                f"{leader.member} leads term {leader.term} without {place(committed)}, "
                "which is committed"
            )
            self._members.fail(Property.LEADER_COMPLETENESS, (leader.member,), what)

    def _check_lease(self, name: str, raft: Raft) -> None:
        if raft.role is not Role.LEADER or self._members.look(name).paused:
            return
        for other in self._members.running(awake=True):
            older, newer = (raft, other) if raft.term < other.term else (other, raft)
            if older.lease and newer.role is Role.LEADER and older.term < newer.term:
                what = (
                    f"{older.member} holds a lease in term {older.term}, "
                    f"but {newer.member} leads term {newer.term}"
                )
                self._members.fail(Property.ONE_LEASE, (older.member, newer.member), what)

    # ── everything ──────────────────────────────────────────────────────────────────────────────

    def check_everything(self) -> None:
        """Compare every entry of every log, and everything applied; the cost grows with them."""
        for name in self._members.names():
            seen = self._members.look(name)
            before = seen.log.base.term
            for entry in seen.log.slice(seen.log.first_index, seen.durable):
                self._check_known(name, entry, before)
                before = entry.term
            for index, entry in enumerate(seen.applied, 1):
                if self.ledger[index] != entry:
                    self._check_applied(name, seen.applied[:index])
            commit = seen.raft.commit_index if seen.raft else seen.log.base.index
            for entry in seen.log.slice(seen.log.first_index, min(commit, seen.durable)):
                if self.ledger[entry.index] != entry:
                    what = f"{place(entry)} in the log of {name} is not the committed one"
                    self._members.fail(Property.STATE_MACHINE_SAFETY, (name,), what)


def watch(cluster: Cluster, *, but: Sequence[Property] = ()) -> RaftChecker:
    """Check everything that happens in ``cluster`` from now on; return the checker.

    A step that breaks a property, other than those in ``but``, raises
    :class:`~kvraft.check.Violation`.
    """

    def look(name: str) -> ObservedMember:
        member = cluster.members[name]
        log = member.log
        return ObservedMember(member.raft, member.hard_state, log, log.last_index, member.applied)

    checker = RaftChecker(look, lambda: cluster.members, but=but)
    cluster.watchers.append(checker)
    for name in cluster.members:
        checker.stepped(name)
    return checker


def _halves(configuration: Configuration) -> tuple[tuple[str, ...], ...]:
    return configuration.voters, configuration.outgoing


def _show(entry: Entry, before: int) -> str:
    record = entry.record
    return f"{record.kind.name} {record.key!r} of {record.txn} after term {before}"
